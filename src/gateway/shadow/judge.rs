//! How a candidate judges one request: the steps of the gateway, on copies of the request's bytes.
//!
//! The backend is not asked a second time: its answer, or that there was none, counts for both. What a candidate lets pass
//! that the policy in force has refused is not followed further, since nobody has read what comes behind.

use std::time::Duration;

use crate::policy::admit::{Admission, Turn, admit};
use crate::policy::check::body::TOO_LARGE;
use crate::policy::credits::{CreditAccount, Hold};
use crate::policy::http::head::Head;
use crate::policy::lookup::{BodyAwaited, Paid, Priced};
use crate::policy::now::Now;
use crate::policy::observer::Unobserved;
use crate::policy::problem::{Problem, Row};
use crate::policy::trail::Trail;
use crate::policy::{Policy, Product};
use crate::telemetry::shadow::head_copy::HeadCopy;
use crate::telemetry::shadow::{AnswerCopy, EndItem, HeadItem, Then};
use crate::upstream::translate::{self, Kind};

/// What the live balance of an account for a product was granted, in credits; `None` if there is none.
pub type Granted = Box<dyn Fn(&str, &str) -> Option<u64> + Send>;

/// A request whose head the candidate has judged.
pub struct Open<'p> {
    pub head: HeadCopy,
    pub now: Now,
    turn: Result<Turn<'p>, Problem>,
    product: Option<&'p Product>,
}

/// What a request would be under the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it was.
    AsThen,
    /// With an answer of this status.
    Answered(u16),
    Refused(Problem),
    /// It would not be refused as it was, and what comes behind that check was not seen.
    LetFurther,
}

/// The outcome, and the price in credits if it is known.
pub type Judged = (Outcome, Option<u32>);

/// Judges a head. `has_other_limits` is whether the candidate limits heads otherwise than the policy in force.
pub fn head(policy: &Policy, item: HeadItem, has_other_limits: bool) -> Open<'_> {
    let HeadItem { number: _, head, now, ingress } = item;
    let mut trail = Trail::default();
    let turn = head.with(|head| {
        if has_other_limits {
            Head::judge(head.lines, head.peer, &policy.limits.head)?;
        }
        admit(&mut Unobserved, policy, head, now, ingress, &mut trail)
    });
    Open { head, now, turn, product: trail.product }
}

impl<'p> Open<'p> {
    /// What would have become of the request, now that it is over. Its place among those in flight is free again.
    pub fn judge(self, end: &EndItem, granted: &Granted) -> (HeadCopy, Judged) {
        let Open { head, now, turn, .. } = self;
        let refused = |problem| (Outcome::Refused(problem), Some(0));
        let judged = match turn {
            Err(problem) => refused(problem),
            // Only what the process cannot do stands in the way of these.
            Ok(Turn::Preflight(_) | Turn::Enquiry(_) | Turn::Page(..)) if is_of_load(end) => (Outcome::AsThen, Some(0)),
            Ok(Turn::Preflight(_)) => (Outcome::Answered(204), Some(0)),
            Ok(Turn::Enquiry(_) | Turn::Page(..)) => (Outcome::Answered(200), Some(0)),
            Ok(Turn::Lookup(admission)) => {
                head.with(|head| look_up(admission, head, now, end, granted)).unwrap_or_else(refused)
            }
        };
        (head, judged)
    }

    /// The product that the candidate has for it.
    pub fn product(&self) -> Option<&'p Product> {
        self.product
    }
}

/// Whether it was refused for what happened to the process or the connection, and not by the policy.
fn is_of_load(end: &EndItem) -> bool {
    match &end.then {
        Then::Refused(row, _) => matches!(row, Row::Internal | Row::Overloaded | Row::RequestTimeout),
        Then::Answered(_) | Then::Gone => false,
    }
}

fn was_refused_with(end: &EndItem, wanted: Row) -> bool {
    matches!(&end.then, Then::Refused(row, _) if *row == wanted)
}

/// The steps behind an admitted head.
fn look_up(
    admission: Admission<'_>,
    head: &Head<'_>,
    now: Now,
    end: &EndItem,
    granted: &Granted,
) -> Result<Judged, Problem> {
    let deadline = admission.deadline();
    let awaited = admission.await_body(head)?;
    let Some(body) = &end.body else { return Ok(unread(&awaited, end)) };
    if body.len() > awaited.limit() {
        return Err(TOO_LARGE);
    }
    let priced = awaited.judge(body)?;
    if end.is_replayed {
        return Ok((Outcome::AsThen, Some(end.charged)));
    }
    let paid = pay(priced, granted)?;
    if is_of_load(end) {
        return Ok((Outcome::AsThen, Some(0)));
    }
    let Some(exchanged_after) = end.exchanged_after else { return Ok(unsent(end)) };
    receive(paid, end, (deadline, exchanged_after), now)
}

/// What became of a request whose body was not read.
fn unread(awaited: &BodyAwaited<'_>, end: &EndItem) -> Judged {
    let was_as_large = was_refused_with(end, Row::BodyTooLarge) && awaited.limit() <= end.body_limit;
    if is_of_load(end) || was_as_large || was_refused_with(end, Row::DeadlineExceeded) {
        (Outcome::AsThen, Some(0))
    } else {
        (Outcome::LetFurther, None)
    }
}

/// What became of a request that was not sent, though the candidate would have sent it.
fn unsent(end: &EndItem) -> Judged {
    // Which keys were used is known to the running gateway alone.
    let as_then = [Row::DeadlineExceeded, Row::IdempotencyKeyReused];
    if as_then.into_iter().any(|row| was_refused_with(end, row)) {
        (Outcome::AsThen, Some(0))
    } else {
        (Outcome::LetFurther, None)
    }
}

/// Holds the highest price.
fn pay<'p>(priced: Priced<'p>, granted: &Granted) -> Result<Paid<'p>, Problem> {
    let Some(credit_account) = priced.credit_account() else { return Ok(priced.paid_with(Hold::nothing())) };
    let highest = priced.highest();
    let held = credit_account.hold(highest).or_else(|_| {
        follow(credit_account, granted);
        credit_account.hold(highest)
    });
    Ok(priced.paid_with(held?))
}

/// Grants a copy what its live balance was granted since, or takes it back.
fn follow(copy: &CreditAccount, granted: &Granted) {
    let Some(live) = granted(&copy.account, &copy.product) else { return };
    let own = copy.snapshot().granted;
    // What cannot be counted stays as it is.
    let _ = match live.checked_sub(own) {
        Some(more) => copy.balance().grant(more),
        None => copy.balance().withdraw(own.saturating_sub(live)),
    };
}

/// What the candidate makes of the backend's answer.
fn receive(
    paid: Paid<'_>,
    end: &EndItem,
    (deadline, exchanged_after): (Duration, Duration),
    now: Now,
) -> Result<Judged, Problem> {
    if exchanged_after >= deadline {
        return Err(Problem::new(Row::DeadlineExceeded, "the request's deadline has passed"));
    }
    if was_refused_with(end, Row::DeadlineExceeded) {
        return Ok((Outcome::LetFurther, None));
    }
    if end.upstream_status == 0 {
        return Ok((Outcome::AsThen, Some(0)));
    }
    let (product, route) = (paid.admission().product(), paid.admission().route());
    let passing = translate::status(end.upstream_status, None, now, &route.answers)?;
    let status = passing.status.code();
    let Some(AnswerCopy { body, content_type, is_replaced }) = &end.answer else {
        // Of what was not passed on the body is not known, and what was no answer at all is none for either.
        let is_none = was_refused_with(end, Row::UpstreamFailed) && end.upstream_status == 200;
        return Ok(if is_none { (Outcome::AsThen, Some(0)) } else { (Outcome::LetFurther, None) });
    };
    let (body, content_type) = match &passing.body {
        Some(instead) => (&**instead, None),
        None if *is_replaced => return Ok((Outcome::Answered(status), None)),
        None => (&**body, content_type.as_deref()),
    };
    let kind = if route.answers.has_types { translate::kind(content_type, &product.media)? } else { Kind::Json };
    let price = translate::body(body, kind, end.upstream_status, paid.tariff(), paid.passed())?;
    let price = paid.receipt(price).map_or(0, |receipt| receipt.charged);
    paid.into_hold().settle(price);
    Ok((Outcome::Answered(status), Some(price)))
}
