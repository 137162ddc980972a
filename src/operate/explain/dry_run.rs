//! A request before the checks of the gateway, with every outcome written down.
//!
//! Nothing is decided here: heads are judged by `head.rs`, then by `admit`, and what was admitted takes the steps
//! of `policy/lookup.rs`, as in `gateway.rs`. What is missing is whatever takes time or another machine: the
//! arrival of bytes, the deadline, and the backend.

use std::sync::Arc;

use crate::policy::account::Principal;
use crate::policy::admit::{Admission, Ingress, Turn, admit};
use crate::policy::check::body::TOO_LARGE;
use crate::policy::credits::Hold;
use crate::policy::http::head::{Field, Framing, Head, Lines, MAX_FIELDS, Scan, Version, scan};
use crate::policy::lookup::{BodyAwaited, Paid, Priced};
use crate::policy::observer::{Check, Observer};
use crate::policy::page::Page;
use crate::policy::problem::{Problem, Row};
use crate::policy::trail::Trail;
use crate::policy::{Policy, Preflight};

use super::asked::Asked;

/// What came of a request.
#[derive(Debug)]
pub struct DryRun<'a, 'p> {
    pub lines: Lines<'a>,
    /// `None` when the head was refused.
    pub head: Option<Head<'a>>,
    /// Every check that was made, in order, and its refusal if it refused.
    pub checks: Vec<(Check<'p>, Option<Problem>)>,
    pub trail: Trail<'p>,
    pub ending: Ending<'p>,
}

/// How a request ends, as far as the gateway alone decides.
#[derive(Debug)]
pub enum Ending<'p> {
    Refused(Problem),
    Preflight(&'p Preflight),
    Enquiry(Principal<'p>),
    /// A page, in the rendition with this index.
    Page(Arc<Page>, usize),
    /// It would go to the backend.
    Forwarded(Paid<'p>),
}

/// Writes down what it sees.
#[derive(Default)]
struct Recorder<'p>(Vec<(Check<'p>, Option<Problem>)>);

impl<'p> Observer<'p> for Recorder<'p> {
    fn saw(&mut self, check: Check<'p>, refusal: Option<Problem>) {
        self.0.push((check, refusal));
    }
}

/// Judges a request and hands what came of it to `tell`.
pub fn evaluate<'p, T>(policy: &'p Policy, asked: &Asked, tell: impl FnOnce(&DryRun<'_, 'p>) -> T) -> T {
    match asked.version {
        Version::Http2 => {
            let headers = asked.lower_case();
            let fields: Vec<_> = headers.iter().map(|(name, value)| Field { name, value }).collect();
            let lines = Lines {
                method: &asked.method,
                target: &asked.target,
                version: Version::Http2,
                authority: asked.authority(),
                fields: &fields,
            };
            tell(&judge(policy, asked, lines, None))
        }
        Version::Http10 | Version::Http11 => {
            let bytes = asked.head();
            let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let dry_run = match split(&bytes, &mut slots) {
                Ok(lines) => judge(policy, asked, lines, None),
                Err(problem) => judge(policy, asked, Lines::unreadable(&bytes), Some(problem)),
            };
            tell(&dry_run)
        }
    }
}

/// Splits the bytes of a head as a connection does once they are all there.
fn split<'a>(bytes: &'a [u8], slots: &'a mut [Field<'a>]) -> Result<Lines<'a>, Problem> {
    match scan(bytes, 0)? {
        Scan::Complete(end) => Lines::split(bytes.get(..end).unwrap_or_default(), slots),
        Scan::Partial(_) => Err(Problem::new(Row::MalformedRequest, "the connection ended within the head")),
    }
}

/// Judges lines, which are not even lines if there is a refusal already.
fn judge<'a, 'p>(policy: &'p Policy, asked: &Asked, lines: Lines<'a>, unreadable: Option<Problem>) -> DryRun<'a, 'p> {
    let mut recorder = Recorder::default();
    let mut trail = Trail::default();
    let judged = unreadable.map_or_else(|| Head::judge(lines, asked.peer, &policy.limits.head), Err);
    let (head, ending) = match recorder.pass(Check::Head, judged) {
        Ok(head) => {
            let ending = look_up(&mut recorder, policy, &head, asked, &mut trail);
            (Some(head), ending.unwrap_or_else(Ending::Refused))
        }
        Err(problem) => (None, Ending::Refused(problem)),
    };
    let Recorder(checks) = recorder;
    debug_assert!(checks.is_sorted_by_key(|(check, _)| check.position()), "checks are made in the order of CHECKS");
    DryRun { lines, head, checks, trail, ending }
}

/// The same turns as in the gateway, up to the backend's.
fn look_up<'p>(
    recorder: &mut Recorder<'p>,
    policy: &'p Policy,
    head: &Head<'_>,
    asked: &Asked,
    trail: &mut Trail<'p>,
) -> Result<Ending<'p>, Problem> {
    let admission = match admit(recorder, policy, head, asked.now, Ingress::OPEN, trail)? {
        Turn::Preflight(preflight) => return Ok(Ending::Preflight(preflight)),
        Turn::Enquiry(principal) => return Ok(Ending::Enquiry(principal)),
        Turn::Page(page, rendition) => return Ok(Ending::Page(page, rendition)),
        Turn::Lookup(admission) => admission,
    };
    let (awaited, body) = recorder.pass(Check::BodySize, arrive(admission, head, &asked.body))?;
    let priced = recorder.pass(Check::Body, awaited.judge(body))?;
    // Which keys were used is known to the running gateway alone.
    recorder.pass(Check::Idempotency, Ok(()))?;
    let paid = recorder.pass(Check::Credits, hold(priced))?;
    Ok(Ending::Forwarded(paid))
}

/// The bytes of the body that its framing lets arrive, within the limit.
fn arrive<'b, 'p>(
    admission: Admission<'p>,
    head: &Head<'_>,
    body: &'b [u8],
) -> Result<(BodyAwaited<'p>, &'b [u8]), Problem> {
    let awaited = admission.await_body(head)?;
    let arrived = match head.framing {
        Framing::None => b"".as_slice(),
        Framing::Chunked | Framing::Frames(_) => body,
        Framing::Length(length) => usize::try_from(length)
            .ok()
            .and_then(|length| body.get(..length))
            .ok_or(Problem::new(Row::RequestTimeout, "the head states more bytes than there are"))?,
    };
    if arrived.len() > awaited.limit() { Err(TOO_LARGE) } else { Ok((awaited, arrived)) }
}

/// Holds the highest price. An account begins with its first grant; what it has by now is in the ledger.
fn hold(priced: Priced<'_>) -> Result<Paid<'_>, Problem> {
    let Some(credit_account) = priced.credit_account() else { return Ok(priced.paid_with(Hold::nothing())) };
    if credit_account.snapshot().granted == 0 {
        credit_account.balance().grant(credit_account.first_grant);
    }
    let hold = credit_account.hold(priced.highest())?;
    Ok(priced.paid_with(hold))
}
