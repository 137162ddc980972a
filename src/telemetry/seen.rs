//! What is known about a request once it is over, from which its metrics, log line and spans are
//! made.
//!
//! It is collected in `request_record.rs`.

use std::net::SocketAddr;
use std::time::Instant;

use smallvec::SmallVec;

use super::tables::{CLIENT_GONE, Ending, Tables};
use crate::policy::Policy;
use crate::policy::http::head::{Lines, Version};
use crate::policy::http::trace_context::Trace;
use crate::policy::http::transaction_id::TransactionId;
use crate::policy::now::Now;
use crate::policy::paths::Path;
use crate::policy::problem::Problem;
use crate::policy::problem::messages::Wording;
use crate::policy::trail::Trail;

/// What is known about a request.
pub struct Seen<'r> {
    pub policy: &'r Policy,
    pub tables: &'r Tables,
    pub version: Version,
    pub kept: Kept<'r>,
    /// The bytes of its Transaction-Id.
    pub id: [u8; 16],
    pub transaction: TransactionId,
    pub trace: Option<Trace>,
    pub trail: Trail<'r>,
    pub asked: UpstreamTimes,
    pub ending: Ending,
    /// The answer was sent completely.
    pub delivered: bool,
    /// The answer is that of an earlier request with the same key.
    pub is_replayed: bool,
    /// The bytes read of its body, and the bytes of the answer's body.
    pub bytes: (usize, usize),
    /// When its head was complete.
    pub begun: Instant,
}

/// What records need from a request's head. The head itself is not kept, since it may be large;
/// nothing here is longer than the longest reference.
#[derive(Default)]
pub struct Kept<'r> {
    /// The method, if it is a standard one; any other would be the client's own text.
    pub method: Option<&'static str>,
    /// The path, if it is in the configuration.
    pub route: Option<&'r str>,
    /// The first echoed header, if the client has sent a valid one.
    pub reference: Option<Reference>,
}

/// A reference; most are no longer than a UUID.
pub type Reference = SmallVec<[u8; 40]>;

impl<'r> Kept<'r> {
    pub(super) fn of(policy: &'r Policy, trail: &Trail<'r>, lines: &Lines<'_>) -> Kept<'r> {
        const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
        let rules = trail.product.map_or(&policy.echoed, |product| &product.headers);
        let reference = rules.iter().filter(|rule| rule.echo).find_map(|rule| rule.sound_value(lines));
        Kept {
            method: KNOWN.into_iter().find(|known| *known == lines.method),
            route: match trail.route {
                Some(route) => Some(&route.path.text),
                None => policy.paths.find_anywhere(lines.path()).map(Path::template),
            },
            reference: reference.map(Reference::from_slice),
        }
    }
}

impl<'r> Seen<'r> {
    /// The texts of the request's product, or those for requests without a product.
    pub fn wording(&self) -> &'r Wording {
        self.trail.product.map_or(&self.policy.wording, |product| &product.wording)
    }

    /// The problem's public code, its status, and why it applied.
    pub fn problem(&self) -> Option<(&'r str, u16, &'static str)> {
        match self.ending {
            Ending::Answered | Ending::Passed(_) | Ending::Preflight => None,
            Ending::Gone => Some((CLIENT_GONE, 0, "the client disconnected or did not read its answer")),
            Ending::Refused(Problem { row, reason, .. }) => {
                let words = self.wording().words(row);
                Some((&*words.slug, words.status.code(), reason))
            }
        }
    }

    /// The status of the answer; 0 if there was none.
    pub fn status(&self) -> u16 {
        match self.ending {
            Ending::Answered => 200,
            Ending::Passed(status) => status,
            Ending::Preflight => 204,
            Ending::Gone | Ending::Refused(_) => self.problem().map_or(0, |(_, status, _)| status),
        }
    }

    /// The upstream that was used.
    pub fn upstream(&self) -> Option<&'r str> {
        self.asked.since?;
        let product = self.trail.product?;
        self.tables.upstream(product)
    }

    pub(super) fn has_line(&self) -> bool {
        match self.ending {
            Ending::Answered | Ending::Passed(_) | Ending::Preflight => self.tables.sampling.ok_lines.includes(self.id),
            Ending::Refused(problem) => self.tables.sampling.lines_of(problem.row).includes(self.id),
            Ending::Gone => true,
        }
    }
}

/// The exchange with the upstream.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamTimes {
    pub now: Now,
    /// When the exchange began.
    pub since: Option<Instant>,
    /// The last server that was tried.
    pub server: Option<SocketAddr>,
    /// The status of its answer; 0 if there was none.
    pub status: u16,
    /// The product says that an answer with this status counts against its availability.
    pub is_failure: bool,
}
