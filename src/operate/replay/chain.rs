//! The gateway's own checks of a head, and what of them a journal cannot say.

use std::time::Duration;

use super::request::Request;
use super::verdict::Undecided;
use crate::policy::Policy;
use crate::policy::admit::{Admission, Turn, admit};
use crate::policy::check::network::Networks;
use crate::policy::observer::{Check, Observer};
use crate::policy::problem::Problem;
use crate::policy::trail::Trail;
use crate::telemetry::journal::line::{Decision, Rules};
use crate::telemetry::journal::rules::headers_of;

/// Remembers the check that refused.
#[derive(Default)]
struct Last<'p>(Option<Check<'p>>);

impl<'p> Observer<'p> for Last<'p> {
    fn saw(&mut self, check: Check<'p>, _refusal: Option<Problem>) {
        self.0 = Some(check);
    }
}

/// What the chain has decided.
pub struct Chained<'c> {
    pub trail: Trail<'c>,
    /// The last check that was made.
    last: Option<Check<'c>>,
    pub turn: Result<Turned<'c>, Problem>,
}

/// How a request goes on.
pub enum Turned<'c> {
    /// A preflight, a page, or what an account asks about itself.
    Own,
    Lookup(Box<Admission<'c>>),
}

impl<'c> Chained<'c> {
    /// Runs the gateway's own checks of a request's head, by a clock that began at a moment since 1970.
    ///
    /// # Errors
    /// That the request is no head.
    pub fn run(policy: &'c Policy, request: &Request, began: Duration) -> Result<Chained<'c>, Problem> {
        request.with_head(|head| {
            let (mut last, mut trail) = (Last::default(), Trail::default());
            let turn = admit(&mut last, policy, head, request.now(began), request.ingress, &mut trail);
            let turn = turn.map(|turn| match turn {
                Turn::Preflight(_) | Turn::Enquiry(_) | Turn::Page(..) => Turned::Own,
                Turn::Lookup(admission) => Turned::Lookup(Box::new(admission)),
            });
            Chained { trail, last: last.0, turn }
        })
    }

    /// What the chain has looked at that the journal does not have.
    pub fn unseen(&self, decision: &Decision<'_>, then: &Rules) -> Option<Undecided> {
        let reached = |check: Check<'_>| self.last.is_some_and(|last| last.position() >= check.position());
        let stopped_at =
            |check: Check<'_>| self.turn.is_err() && self.last.is_some_and(|last| last.position() == check.position());
        let trail = &self.trail;
        if let Some(product) = trail.product {
            let is_new = |place: &String| !then.token_places.contains(place);
            if stopped_at(Check::Token)
                && product.token_places.iter().map(ToString::to_string).any(|place| is_new(&place))
            {
                return Some(Undecided::TokenPlace);
            }
            if stopped_at(Check::Principal) && !product.issuers.is_empty() {
                return Some(Undecided::SignedToken);
            }
            if reached(Check::Accept) {
                let is_new = |name: &String| !then.headers.contains(name);
                let is_long = |name: &str| {
                    ["accept", "content-type", "content-encoding"].contains(&name)
                        || product.deadline.header.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(name))
                };
                let is_left_out = decision.headers.iter().any(|member| member.value.is_none() && is_long(&member.name));
                if is_left_out || headers_of(product).iter().any(is_new) {
                    return Some(Undecided::Headers);
                }
            }
        }
        let lists = trail.principal.map(|principal| &principal.token.networks);
        let is_listed = matches!(lists, Some(networks @ Networks::Listed(_)) if !networks.is_watched());
        (decision.peer.is_empty() && is_listed && reached(Check::Networks)).then_some(Undecided::Address)
    }
}
