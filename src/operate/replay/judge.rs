//! Judges a recorded decision under the candidate: by the gateway's own chain, then by the steps behind it, of which a
//! journal knows how far the request came.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::beside::{Beside, Digests, headers, parameters, single};
use super::candidate::Candidate;
use super::chain::{Chained, Turned};
use super::in_flight::InFlight;
use super::paths::Served;
use super::price::price;
use super::request::Request;
use super::verdict::{Outcome, Price, Undecided, Verdict};
use crate::policy::Product;
use crate::policy::answers::Treatment;
use crate::policy::problem::{Problem, Row};
use crate::policy::trail::Trail;
use crate::telemetry::journal::line::{Decision, ProductRules, RouteRules, Rules, Step};
use crate::telemetry::journal::rules::name_of;

/// The problem of requests whose client has disconnected.
const GONE: &str = "client-gone";

/// Judges decisions in the order of their times. Rates and quotas count from nothing.
pub struct Judge<'c> {
    candidate: &'c Candidate,
    served: Served,
    /// The time of the first decision.
    began: Option<Duration>,
    in_flight: InFlight<'c>,
}

impl<'c> Judge<'c> {
    /// A judge for a candidate.
    pub fn new(candidate: &'c Candidate) -> Judge<'c> {
        Judge { candidate, served: Served::of(candidate), began: None, in_flight: InFlight::default() }
    }

    /// Judges a decision that was made with these rules.
    pub fn judge(&mut self, decision: &Decision<'_>, then: Option<&Rules>) -> Verdict {
        let Some(then) = then else { return Verdict::Undecided(Undecided::Rules) };
        if decision.step == Step::Head {
            // What was no head is none under any policy, but for its limits.
            let is_limit = decision.reason.as_deref().is_some_and(|reason| reason.contains("than the limit"));
            return if is_limit { Verdict::Undecided(Undecided::Head) } else { as_then(decision) };
        }
        if let Some(refused) = self.beyond_limits(decision) {
            return self.refused(decision, None, refused);
        }
        if decision.problem.as_deref() == Some("overloaded") && decision.step == Step::Checks {
            return Verdict::Undecided(Undecided::Load);
        }
        if decision.signed {
            return Verdict::Undecided(Undecided::SignedToken);
        }
        if decision.path.is_none() {
            return self.unknown_path(decision, then);
        }
        if !self.served.is_certain(decision, then) {
            return Verdict::Undecided(Undecided::Path);
        }
        let Some(request) = Request::of(decision) else { return Verdict::Undecided(Undecided::Head) };
        let began = *self.began.get_or_insert(request.at);
        self.in_flight.end_until(request.at);
        let Ok(chained) = Chained::run(&self.candidate.policy, &request, began) else {
            return Verdict::Undecided(Undecided::Head);
        };
        if let Some(kind) = chained.unseen(decision, then) {
            return Verdict::Undecided(kind);
        }
        match chained.turn {
            Err(problem) => self.refused(decision, chained.trail.product, problem),
            Ok(Turned::Own) if decision.step == Step::Headers => Verdict::Undecided(Undecided::Headers),
            Ok(Turned::Own) => let_pass(decision, Step::Headers),
            Ok(Turned::Lookup(admission)) => {
                let verdict = self.behind_head(decision, then, &chained.trail, admission.deadline());
                let ends = request.at.saturating_add(Duration::from_micros(decision.total_us));
                self.in_flight.add(ends, *admission);
                verdict
            }
        }
    }

    /// The limits of heads, by the sizes that were recorded.
    fn beyond_limits(&self, decision: &Decision<'_>) -> Option<Problem> {
        let limits = &self.candidate.policy.limits.head;
        let (target, bytes, lines) = decision.head;
        let is_beyond = [(target, limits.target_bytes), (bytes, limits.header_bytes), (lines, limits.header_lines)]
            .into_iter()
            .any(|(recorded, limit)| usize::try_from(recorded).is_ok_and(|recorded| recorded > limit));
        is_beyond.then_some(Problem::new(Row::MalformedRequest, "the head is larger than the limit"))
    }

    fn unknown_path(&mut self, decision: &Decision<'_>, then: &Rules) -> Verdict {
        let is_unknown = decision.problem.as_deref() == Some("endpoint-unknown");
        match self.served.is_within(then) {
            true if is_unknown || self.candidate.rules.token_places == then.token_places => as_then(decision),
            true => Verdict::Undecided(Undecided::TokenPlace),
            false => Verdict::Undecided(Undecided::Path),
        }
    }

    fn refused(&self, decision: &Decision<'_>, product: Option<&Product>, problem: Problem) -> Verdict {
        let wording = product.map_or(&self.candidate.policy.wording, |product| &product.wording);
        let slug = &*wording.words(problem.row).slug;
        let outcome = match decision.problem.as_deref() {
            Some(then) if then == slug => Outcome::AsThen,
            Some(_) | None => Outcome::Refused(Arc::from(slug)),
        };
        Verdict::Decided { outcome, price: Price::Known(0) }
    }

    /// The steps of a lookup behind the checks of its head, in their order.
    fn behind_head(&self, decision: &Decision<'_>, then: &Rules, trail: &Trail<'c>, deadline: Duration) -> Verdict {
        let (Some(product), Some(route)) = (trail.product, trail.route) else {
            return Verdict::Undecided(Undecided::Rules);
        };
        let (name, none) = (name_of(route), (ProductRules::default(), RouteRules::default()));
        // The rules of then are those that the request was judged by, if it had the same product and route.
        let had = |now: &str, then: &Option<Cow<'_, str>>| then.as_deref() == Some(now);
        let then_product = then.products.get(&*product.name).filter(|_| had(&product.name, &decision.product));
        let then_product = then_product.unwrap_or(&none.0);
        let now_product = self.candidate.rules.products.get(&*product.name).unwrap_or(&none.0);
        let then_route = then_product.routes.get(&name).filter(|_| had(&name, &decision.route));
        let now_route = now_product.routes.get(&name).unwrap_or(&none.1);
        let taken = self.candidate.taken.get(usize::from(product.index));
        let of_route = taken.and_then(|taken| taken.routes.get(usize::from(route.index)));
        let (Some(taken), Some(taken_route)) = (taken, of_route) else {
            return Verdict::Undecided(Undecided::Rules);
        };
        let of_parameters = Digests { then: then_route.map(|rules| &rules.parameters), now: &now_route.parameters };
        let of_headers = Digests { then: Some(&then_product.headers), now: &now_product.headers };
        let body = then_route.and_then(|rules| rules.body.as_ref());
        let limit = route.body.as_ref().map_or(0, |rule| rule.max_bytes);
        let too_large = || too_large(decision, limit, body == now_route.body.as_ref());
        let key = (then_product.idempotency.as_ref(), now_product.idempotency.as_ref());
        let steps: [(Step, Undecided, &dyn Fn() -> Beside); 6] = [
            (Step::Parameters, Undecided::Parameters, &|| parameters(decision, taken_route, &of_parameters)),
            (Step::Headers, Undecided::Headers, &|| headers(decision, &taken.headers, &of_headers)),
            (Step::Arrival, Undecided::Body, &too_large),
            (Step::Body, Undecided::Body, &|| single(decision, Step::Body, body, now_route.body.as_ref())),
            (Step::Key, Undecided::Key, &|| keyed(decision, key)),
            (Step::Credits, Undecided::Balance, &|| balance(decision, trail)),
        ];
        for (step, kind, judge) in steps {
            match judge() {
                Beside::Pass => {}
                Beside::Refuse(row) => {
                    return self.refused(decision, Some(product), Problem::new(row, "judged beside the chain"));
                }
                Beside::AsThen => return as_then(decision),
                // What refused then is passed already: that much is certain.
                Beside::Unknown if decision.step < step => return let_further(),
                Beside::Unknown => return Verdict::Undecided(kind),
            }
        }
        if decision.step < Step::Backend {
            return let_further();
        }
        self.answered(decision, (then_route, now_route), trail, deadline)
    }

    /// What becomes of the backend's answer, and what it costs.
    fn answered(
        &self,
        decision: &Decision<'_>,
        (then_route, now_route): (Option<&RouteRules>, &RouteRules),
        trail: &Trail<'c>,
        deadline: Duration,
    ) -> Verdict {
        let problem = decision.problem.as_deref();
        let took = Duration::from_micros(decision.upstream_us.unwrap_or(0));
        let is_late = problem == Some("deadline-exceeded");
        if (is_late && deadline > took) || (!is_late && decision.asked && took > deadline) {
            return Verdict::Undecided(Undecided::Deadline);
        }
        let price = |is_answered| price(decision, is_answered, trail, (then_route, now_route));
        let has_same_answers = then_route.is_some_and(|then| then.answers == now_route.answers);
        if has_same_answers || problem == Some(GONE) || decision.upstream_status == 0 {
            return Verdict::Decided { outcome: Outcome::AsThen, price: price(problem.is_none()) };
        }
        let (Some(product), Some(route)) = (trail.product, trail.route) else {
            return Verdict::Undecided(Undecided::Rules);
        };
        match route.answers.of(decision.upstream_status) {
            Some(Treatment::Pass(passing)) => {
                let is_same = problem.is_none() && passing.status.code() == decision.status;
                let outcome = if is_same { Outcome::AsThen } else { Outcome::Answered };
                Verdict::Decided { outcome, price: price(true) }
            }
            Some(Treatment::Refuse(row, _)) => {
                self.refused(decision, Some(product), Problem::new(*row, "by the backend's status"))
            }
            None => Verdict::Undecided(Undecided::Answer),
        }
    }
}

fn as_then(decision: &Decision<'_>) -> Verdict {
    Verdict::Decided { outcome: Outcome::AsThen, price: Price::Known(decision.charged) }
}

fn let_further() -> Verdict {
    Verdict::Decided { outcome: Outcome::LetFurther, price: Price::Undecided(Undecided::Price) }
}

/// A request that all checks up to a step let pass, where nothing comes behind it.
fn let_pass(decision: &Decision<'_>, step: Step) -> Verdict {
    if decision.step <= step {
        Verdict::Decided { outcome: Outcome::Answered, price: Price::Known(0) }
    } else {
        as_then(decision)
    }
}

/// A body that is larger than it may be, or that has not arrived.
fn too_large(decision: &Decision<'_>, limit: usize, is_same_rule: bool) -> Beside {
    let bytes = decision.content_length.unwrap_or(0).max(decision.bytes_in);
    let arrived = usize::try_from(bytes).unwrap_or(usize::MAX);
    let was_too_large = decision.problem.as_deref() == Some("body-too-large");
    match (arrived > limit, decision.step == Step::Arrival) {
        (true, _) => Beside::Refuse(Row::BodyTooLarge),
        // Of a body without a stated length no more was read than it was allowed.
        (false, true) if was_too_large && !is_same_rule => Beside::Unknown,
        (false, true) => Beside::AsThen,
        (false, false) => Beside::Pass,
    }
}

/// Whether a key was used before.
fn keyed(decision: &Decision<'_>, (then, now): (Option<&String>, Option<&String>)) -> Beside {
    match (decision.step == Step::Key || decision.replayed, then == now) {
        (true, true) if decision.replayed => Beside::Pass,
        (true, true) => Beside::AsThen,
        (true, false) => Beside::Unknown,
        (false, true) => Beside::Pass,
        // Answers of earlier requests may be what the candidate gives.
        (false, false) if now.is_none() => Beside::Pass,
        (false, false) => Beside::Unknown,
    }
}

/// Whether the credits suffice: nobody knows what an account has left where other requests cost something else.
fn balance(decision: &Decision<'_>, trail: &Trail<'_>) -> Beside {
    if decision.step == Step::Credits && trail.pays() { Beside::Unknown } else { Beside::Pass }
}
