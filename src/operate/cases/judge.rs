//! What comes of the request of one test: it is judged by the functions that the gateway runs, on copies of accounts of
//! which nothing is used. So nothing live is counted, and no test depends on another one. Nothing is sent.

use std::sync::Arc;
use std::time::Duration;

use crate::config::cases::{Bearer, Request, TestCase};
use crate::config::units::BackendUse;
use crate::operate::explain::answer::{self, Answer};
use crate::operate::explain::asked::Asked;
use crate::operate::explain::carried;
use crate::operate::explain::dry_run::{self, DryRun, Ending};
use crate::policy::Policy;
use crate::policy::account::{Account, Digest, Expiry};
use crate::policy::lookup::Paid;
use crate::policy::now::Now;
use crate::policy::problem::{Problem, Row};
use crate::policy::respond::Outcome;
use crate::upstream::made_up::MadeUp;
use crate::upstream::translate;

/// What came of a request.
#[derive(Clone, Debug)]
pub struct Came {
    /// What the client gets; `None` where that is the backend's to say.
    pub answer: Option<Answer>,
    pub refusal: Option<Refusal>,
    /// The credits that were held before the backend was asked.
    pub held: u32,
    /// In credits; `None` where only the backend's answer would tell.
    pub price: Option<u32>,
    pub upstream: BackendUse,
    /// The token that was used is good now, and ends one day.
    pub ends: bool,
}

/// Why a client is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub row: Row,
    /// The slug of the problem, in the product's own words.
    pub problem: String,
    /// Why, in the words of the log.
    pub reason: &'static str,
}

/// Nobody has the account or the token that a test names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    Account,
    Token,
}

/// Judges the request of a test, which comes at `now`, in seconds since 1970, unless it says when.
///
/// # Errors
/// That the policy does not have the account or the token that it names.
pub fn judge(case: &TestCase, policy: &Policy, now: u64) -> Result<Came, Unknown> {
    let mut asked = asked(&case.request, now);
    let copies = match &case.request.bearer {
        Some(bearer) => {
            let (copy, secret) = copy_of(bearer, policy, case.credits)?;
            carried::put(&mut asked, &secret, policy);
            vec![copy]
        }
        None => askers(&asked, policy).iter().map(|account| Arc::new(account.unused(case.credits))).collect(),
    };
    Ok(judge_by(&policy.with_copies(copies, || {}), &asked, case.answer.as_ref()))
}

/// Judges a request by a policy with copies of accounts.
fn judge_by(policy: &Policy, asked: &Asked, made_up: Option<&MadeUp>) -> Came {
    dry_run::evaluate(policy, asked, |dry_run| {
        let token = dry_run.trail.principal;
        let ends = token.is_some_and(|one| one.token.expiry != Expiry::Never && one.authorize(asked.now).is_ok());
        let told = |answer, upstream| Came { answer, refusal: None, held: 0, price: Some(0), upstream, ends };
        match &dry_run.ending {
            Ending::Refused(problem) => Came {
                refusal: Some(refusal(policy, dry_run, *problem)),
                ..told(answer::of(policy, asked, dry_run), BackendUse::Never)
            },
            Ending::Preflight(_) | Ending::Enquiry(_) | Ending::Page(..) => {
                told(answer::of(policy, asked, dry_run), BackendUse::Never)
            }
            Ending::Forwarded(paid) => {
                let held = paid.held().unwrap_or_default();
                let asked_for = Came { held, ..told(None, BackendUse::Asked) };
                match made_up {
                    None => Came { price: Some(0).filter(|_| held == 0), ..asked_for },
                    Some(made_up) => answered((policy, asked, dry_run), (paid, made_up), asked_for),
                }
            }
        }
    })
}

/// What becomes of a made-up answer, by the steps of `gateway/look_up.rs` behind the exchange.
fn answered(
    (policy, asked, dry_run): (&Policy, &Asked, &DryRun<'_, '_>),
    (paid, made_up): (&Paid<'_>, &MadeUp),
    came: Came,
) -> Came {
    let (product, limit) = (paid.admission().product(), policy.limits.response_bytes);
    let judge = |body: &[u8], kind, status| translate::body(body, kind, status, paid.tariff(), paid.passed());
    let received =
        made_up.receive((product, paid.admission().route()), limit, asked.now, judge).and_then(|(answer, price)| {
            let rendition = product.media.rendition(&dry_run.lines);
            Ok((answer.rendered(rendition, product, limit)?, price))
        });
    let written = |outcome: &Outcome<'_>| Some(answer::written(policy, asked, dry_run, outcome));
    match received {
        Ok((answer, price)) => {
            let receipt = paid.receipt(price);
            let price = Some(receipt.map_or(0, |receipt| receipt.charged));
            Came { answer: written(&Outcome::Delivered(answer.delivered(), receipt)), price, ..came }
        }
        Err(problem) => Came {
            answer: written(&Outcome::Refused(problem)),
            refusal: Some(refusal(policy, dry_run, problem)),
            price: Some(0),
            ..came
        },
    }
}

fn refusal(policy: &Policy, dry_run: &DryRun<'_, '_>, problem: Problem) -> Refusal {
    let wording = dry_run.trail.product.map_or(&policy.wording, |product| &product.wording);
    Refusal { row: problem.row, problem: wording.words(problem.row).slug.to_string(), reason: problem.reason }
}

/// The request, at a time in seconds since 1970 unless it says when it comes.
pub fn asked(request: &Request, now: u64) -> Asked {
    let headers = request.headers.iter().map(|(name, value)| (name.clone(), value.as_bytes().to_vec()));
    Asked {
        version: request.version,
        peer: request.peer,
        method: request.method.clone(),
        target: request.target.clone(),
        headers: headers.collect(),
        body: request.body.clone(),
        now: Now { monotonic: Duration::ZERO, unix_seconds: request.at.unwrap_or(now), unix_nanos: 0 },
    }
}

/// The accounts whose tokens a request has, each once: more than one only where it will be refused.
pub fn askers<'p>(asked: &Asked, policy: &'p Policy) -> Vec<&'p Account> {
    let mut accounts: Vec<&Account> = Vec::new();
    // By a policy without accounts a request goes no further than to its tokens.
    dry_run::evaluate(&policy.with_copies([], || {}), asked, |dry_run| {
        let Some(head) = &dry_run.head else { return };
        for place in &policy.token_places {
            place.each(head, &mut |token| {
                let found = policy.bearer(&token, &policy.issuers, asked.now.unix_seconds);
                if let Ok((principal, _)) = found
                    && !accounts.iter().any(|known| known.name == principal.account.name)
                {
                    accounts.push(principal.account);
                }
            });
        }
    });
    accounts
}

/// A copy of the account that a test names, whose token is another one that exists for one request only.
fn copy_of(bearer: &Bearer, policy: &Policy, credits: Option<u64>) -> Result<(Arc<Account>, String), Unknown> {
    let account = policy.accounts.by_name(&bearer.account).ok_or(Unknown::Account)?;
    let mut copy = account.unused(credits);
    let secret = carried::secret();
    let key = copy.keys.iter_mut().find(|key| *key.token.name == *bearer.token).ok_or(Unknown::Token)?;
    key.digest = Digest::of(secret.as_bytes());
    Ok((Arc::new(copy), secret))
}
