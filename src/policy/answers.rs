//! What becomes of a backend's answers, status by status (contract, section 11).
//!
//! A 200 is passed on unless a product or a route says otherwise; every status that neither names is a row of the table
//! of problems (`upstream/translate.rs`).

use std::sync::Arc;

use crate::policy::problem::{Row, Status};

/// What a product says of its backend's answers, or one of its routes.
#[derive(Debug, Default)]
pub struct Answers {
    /// In ascending order of the backend's status.
    by_status: Box<[(u16, Treatment)]>,
    /// Headers of answers that pass, by the names that clients see.
    pub headers: Box<[Box<str>]>,
    /// Whether the product serves types that are not JSON, so that the type of an answer says how it is judged.
    pub has_types: bool,
}

/// What becomes of an answer with one status.
#[derive(Clone, Debug)]
pub enum Treatment {
    Pass(Passing),
    /// A refusal, and whether it counts against availability whoever has to mend it.
    Refuse(Row, bool),
}

/// An answer that is passed on.
#[derive(Clone, Debug)]
pub struct Passing {
    pub status: PassedStatus,
    /// What clients get in place of the backend's body, as JSON.
    pub body: Option<Arc<[u8]>>,
    /// Whether it counts against the availability of the product.
    pub is_failure: bool,
}

/// The status under which an answer is passed on: 200 or one of those that refusals have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassedStatus {
    Ok,
    Other(Status),
}

/// A 200 of which a product says nothing.
static AS_IT_IS: Passing = Passing { status: PassedStatus::Ok, body: None, is_failure: false };

impl PassedStatus {
    /// The three digits on the wire.
    pub const fn code(self) -> u16 {
        match self {
            PassedStatus::Ok => 200,
            PassedStatus::Other(status) => status.code(),
        }
    }

    /// The standard reason phrase (RFC 9110, section 15).
    pub const fn phrase(self) -> &'static str {
        match self {
            PassedStatus::Ok => "OK",
            PassedStatus::Other(status) => status.phrase(),
        }
    }

    /// The status with this code, if answers can be passed on under it.
    pub fn from_code(code: u16) -> Option<PassedStatus> {
        if code == 200 { Some(PassedStatus::Ok) } else { Status::from_code(code).map(PassedStatus::Other) }
    }
}

impl Treatment {
    /// Whether an answer counts against availability by what the product says.
    pub fn is_failure(&self) -> bool {
        match self {
            Treatment::Pass(Passing { is_failure, .. }) | Treatment::Refuse(_, is_failure) => *is_failure,
        }
    }
}

impl Passing {
    /// A 200 as it is.
    pub fn plain() -> &'static Passing {
        &AS_IT_IS
    }
}

impl Answers {
    /// What a product says of some statuses, each once.
    pub fn new(mut by_status: Vec<(u16, Treatment)>, headers: Box<[Box<str>]>, has_types: bool) -> Answers {
        by_status.sort_by_key(|(status, _)| *status);
        Answers { by_status: by_status.into(), headers, has_types }
    }

    /// The same for one route, which says other things of some statuses, each once.
    pub fn with(&self, own: Vec<(u16, Treatment)>) -> Answers {
        let kept = self.by_status.iter().filter(|(status, _)| own.iter().all(|(known, _)| known != status)).cloned();
        Answers::new(kept.chain(own.iter().cloned()).collect(), self.headers.clone(), self.has_types)
    }

    /// What is said of a status; `None` if nothing is.
    #[inline]
    pub fn of(&self, status: u16) -> Option<&Treatment> {
        if self.by_status.is_empty() {
            return None;
        }
        self.by_status.iter().find(|(known, _)| *known == status).map(|(_, treatment)| treatment)
    }

    /// Everything that is said, in ascending order of the backend's status.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Treatment)> {
        self.by_status.iter().map(|(status, treatment)| (*status, treatment))
    }

    /// The statuses other than 200 under which answers are passed on, each once.
    pub fn passed_statuses(&self) -> Vec<u16> {
        let mut statuses: Vec<u16> = self
            .iter()
            .filter_map(|(_, treatment)| match treatment {
                Treatment::Pass(passing) => Some(passing.status.code()).filter(|code| *code != 200),
                Treatment::Refuse(..) => None,
            })
            .collect();
        statuses.sort_unstable();
        statuses.dedup();
        statuses
    }
}
