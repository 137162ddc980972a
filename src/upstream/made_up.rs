//! An answer that no backend has sent, for judging a request that is not sent: it is read, translated and priced by the
//! functions that a real one takes, from bytes that are here already.

use futures_util::FutureExt;
use pingora_core::{Error, ErrorType};

use crate::policy::Product;
use crate::policy::now::Now;
use crate::policy::problem::{Problem, Row};
use crate::policy::route::Route;
use crate::upstream::exchange::{self, Answer};
use crate::upstream::response::{Incoming, ResponseFault};
use crate::upstream::translate::{self, Kind};

/// What is made up of a backend. Its `Debug` shows no bytes.
#[derive(Clone)]
pub enum MadeUp {
    /// No server of it can be connected to.
    Unreachable,
    /// It answers with these bytes: a head and a body of HTTP/1.1.
    Answered(Box<[u8]>),
}

impl std::fmt::Debug for MadeUp {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            MadeUp::Unreachable => "Unreachable",
            MadeUp::Answered(_) => "Answered(***)",
        })
    }
}

impl MadeUp {
    /// An answer with a status, headers and a body. Its length is added, unless a header says how it is framed.
    pub fn answer(status: u16, headers: &[(String, String)], body: &[u8]) -> MadeUp {
        let is_framing = |name: &str| ["content-length", "transfer-encoding"].contains(&&*name.to_ascii_lowercase());
        let mut bytes = format!("HTTP/1.1 {status} Made Up\r\n");
        for (name, value) in headers {
            bytes.extend([name, ": ", value, "\r\n"]);
        }
        if !headers.iter().any(|(name, _)| is_framing(name)) {
            bytes += &format!("Content-Length: {}\r\n", body.len());
        }
        MadeUp::Answered([bytes.as_bytes(), b"\r\n", body].concat().into())
    }

    /// What would become of it, as [`Exchange::forward`](exchange::Exchange::forward) has it: the answer as it is passed
    /// on, and what `judge` makes of its body. `limit` is the most bytes of a body.
    ///
    /// # Errors
    /// `upstream-unavailable`, `upstream-failed`, or what the answer's status means.
    pub fn receive<'a, T>(
        &self,
        (product, route): (&'a Product, &'a Route),
        limit: usize,
        now: Now,
        judge: impl FnOnce(&[u8], Kind, u16) -> Result<T, Problem>,
    ) -> Result<(Answer<'a>, T), Problem> {
        let mut bytes = match self {
            MadeUp::Unreachable => return Err(translate::connecting(&Error::new(ErrorType::ConnectRefused))),
            MadeUp::Answered(bytes) => &**bytes,
        };
        let read = async {
            let mut incoming = Incoming::new(&mut bytes, Vec::new());
            let head = incoming.head(&route.answers).await?;
            let translated = translate::status(head.status, head.retry_after.as_deref(), now, &route.answers);
            let passing = translated?;
            let (body, _) = incoming.body(&head, limit).await.map_err(ResponseFault::problem)?;
            exchange::judged(head, body, passing, (product, &route.answers), judge)
        };
        // All bytes are there, so that nothing is waited for.
        let waits = Problem::new(Row::Internal, "a made-up answer was waited for");
        read.now_or_never().unwrap_or(Err(waits))
    }
}
