//! Why a command, or the process itself, could not do what it was asked: what its user reads.
//!
//! Causes stay what they are until somebody writes them out. What is wrong with a single value of the
//! configuration is a mistake (`config/yaml/mistakes.rs`), and not known here.

use std::borrow::Cow;
use std::{fmt, io};

use crate::config::yaml::Mistakes;
use crate::downstream::sockets::ListenError;
use crate::ledger::Refusal;
use crate::operate::admin::client::AdminClientError;
use crate::operate::status_recorder::Refused;
use crate::operate::upgrade::PredecessorError;
use crate::platform::descriptors::DescriptorsError;

/// Why something was not done.
#[derive(Debug)]
pub enum Failure {
    /// The configuration has mistakes.
    Mistakes(Mistakes),
    /// The gateway that was asked does not answer, or refuses.
    Gateway(AdminClientError),
    /// The ledger does not answer.
    Ledger(Refusal),
    /// The ledger has not done it.
    NotDone(Refusal),
    /// The status page does not take it.
    Status(Refused),
    Listen(ListenError),
    Descriptors(DescriptorsError),
    Predecessor(PredecessorError),
    /// Something of the system failed: what, and why.
    System(Cow<'static, str>, io::Error),
    /// The output cannot be written.
    Output(io::Error),
    /// Arguments that are missing or contradict each other: what to write instead.
    Arguments(Cow<'static, str>),
    /// A sentence that says what is asked for, and what to do instead.
    Because(Cow<'static, str>),
    /// All that is to be said was printed.
    Printed,
}

impl Failure {
    /// What could not be done with the system, as in `cannot find a.yaml`.
    pub fn system(what: impl Into<Cow<'static, str>>) -> impl FnOnce(io::Error) -> Failure {
        let what = what.into();
        move |error| Failure::System(what, error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Mistakes(mistakes) => mistakes.fmt(formatter),
            Failure::Gateway(error) => error.fmt(formatter),
            Failure::Ledger(refusal) => refusal.fmt(formatter),
            Failure::NotDone(refusal) => write!(formatter, "nothing was done: {refusal}"),
            Failure::Status(refused) => refused.fmt(formatter),
            Failure::Listen(error) => error.fmt(formatter),
            Failure::Descriptors(error) => error.fmt(formatter),
            Failure::Predecessor(error) => error.fmt(formatter),
            Failure::System(what, error) => write!(formatter, "{what}: {error}"),
            Failure::Output(error) => write!(formatter, "cannot write: {error}"),
            Failure::Arguments(why) | Failure::Because(why) => formatter.write_str(why),
            Failure::Printed => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

macro_rules! made_of {
    ($($cause:ty => $variant:ident),+ $(,)?) => {
        $(impl From<$cause> for Failure {
            fn from(cause: $cause) -> Failure {
                Failure::$variant(cause)
            }
        })+
    };
}

made_of! {
    Mistakes => Mistakes,
    AdminClientError => Gateway,
    Refusal => Ledger,
    Refused => Status,
    ListenError => Listen,
    DescriptorsError => Descriptors,
    PredecessorError => Predecessor,
}

impl From<Cow<'static, str>> for Failure {
    fn from(why: Cow<'static, str>) -> Failure {
        Failure::Because(why)
    }
}

impl From<&'static str> for Failure {
    fn from(why: &'static str) -> Failure {
        Failure::Because(why.into())
    }
}

impl From<String> for Failure {
    fn from(why: String) -> Failure {
        Failure::Because(why.into())
    }
}
