//! The order of the checks, as one straight function.
//!
//! Cheap before dear, pure before consuming: the order is that of the rows in `problem.rs`, and a
//! test walks every combination of faults to hold the two together. What a check compares with
//! lives in `policy.rs` and `check/`; who refuses, and with which words, is decided nowhere else.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::policy::account::Principal;
use crate::policy::check::body::BodyRule;
use crate::policy::check::header::HeaderRule;
use crate::policy::check::network::{Client, client};
use crate::policy::credits::CreditAccount;
use crate::policy::http::head::{Head, Lines, One};
use crate::policy::now::Now;
use crate::policy::observer::{Check, Observer, Unobserved};
use crate::policy::page::{ListenerScope, Page};
use crate::policy::problem::{Hint, Problem, Row};
use crate::policy::tariff::{Passed, Tariff};
use crate::policy::trail::Trail;
use crate::policy::{Policy, Preflight, Product, Route, cors};

/// Whether the gateway has room for one more request. The less room, the later in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Headroom {
    Free,
    /// Only for clients whose token is known: strangers cannot hold what customers need.
    Reserved,
    Full,
}

impl Headroom {
    /// The room for one more where so many of the most are there already, of which a part, in percent, is
    /// reserved.
    pub fn beside(there: usize, most: usize, reserved_percent: usize) -> Headroom {
        let reserved = most.saturating_mul(reserved_percent) / 100;
        if there >= most {
            Headroom::Full
        } else if there >= most.saturating_sub(reserved) {
            Headroom::Reserved
        } else {
            Headroom::Free
        }
    }
}

/// By which way a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ingress {
    pub headroom: Headroom,
    pub scope: ListenerScope,
}

impl Ingress {
    /// One to everything, with room.
    pub const OPEN: Ingress = Ingress { headroom: Headroom::Free, scope: ListenerScope::All };
}

/// What passed all checks of the head. Only `admit` makes one, and the exchange with an upstream
/// demands it: what was not permitted cannot be forwarded.
#[derive(Debug)]
pub struct Admission<'p> {
    product: &'p Product,
    principal: Principal<'p>,
    client: Client,
    deadline: Duration,
}

impl<'p> Admission<'p> {
    /// The product that the request is for.
    pub fn product(&self) -> &'p Product {
        self.product
    }

    /// Who is asking.
    pub fn principal(&self) -> Principal<'p> {
        self.principal
    }

    /// The address that the request comes from.
    pub fn client(&self) -> Client {
        self.client
    }

    /// The time the request may take, counted from the moment its head was read.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The credits that the request is paid with; `None` if it costs nothing.
    pub fn credit_account(&self) -> Option<&'p Arc<CreditAccount>> {
        self.principal.account.credit_accounts.of(self.product.place)
    }

    /// What the request costs those who pay.
    pub fn tariff(&self) -> Option<&'p Tariff> {
        self.product.tariff.as_ref().filter(|_| self.credit_account().is_some())
    }

    /// How many bytes the request's body may have.
    ///
    /// # Errors
    /// `body-too-large` when the head states more, before any of it was read.
    pub fn body_limit(&self, head: &Head<'_>) -> Result<usize, Problem> {
        let limit = self.product.body.as_ref().map_or(0, |rule| rule.max_bytes);
        let stated = head.framing.stated_length().and_then(|length| usize::try_from(length).ok());
        if stated.is_some_and(|length| length > limit) {
            return Err(Problem::new(Row::BodyTooLarge, "the head states more bytes than the route allows"));
        }
        Ok(limit)
    }

    /// Judges the whole body, which has no more bytes than its limit.
    ///
    /// # Errors
    /// Those of the product's rule for bodies.
    pub fn judge(&self, body: &[u8]) -> Result<Judged, Problem> {
        let body = self.product.body.as_ref().map(|rule| rule.judge(body)).transpose()?;
        Ok(self.judged(body.as_ref()))
    }

    /// The same if it takes no longer than other requests of a thread can wait; `None` if it would.
    pub fn judge_at_once(&self, body: &[u8]) -> Option<Result<Judged, Problem>> {
        let Some(rule) = &self.product.body else { return Some(Ok(self.judged(None))) };
        rule.judge_at_once(body).map(|judged| judged.map(|body| self.judged(Some(&body))))
    }

    /// What the product's bodies must be.
    pub fn body_rule(&self) -> Option<&'p BodyRule> {
        self.product.body.as_ref()
    }

    /// What a body that was let pass means for the price.
    pub fn judged(&self, body: Option<&Value>) -> Judged {
        let tariff = self.tariff();
        let asked = tariff.map_or(Passed::default(), |tariff| tariff.look_at(body));
        Judged { asked, highest: tariff.map_or(0, |tariff| tariff.highest(asked)) }
    }
}

/// What a body that was let pass means for the price.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// Which tests of the prices it passes.
    pub asked: Passed,
    /// The credits that the request can cost at the most; 0 where nobody pays.
    pub highest: u32,
}

/// How a request goes on.
#[derive(Debug)]
pub enum Turn<'p> {
    /// A browser asks whether it may ask (contract, section 9).
    Preflight(&'p Preflight),
    /// An account asks about its credits.
    Enquiry(Principal<'p>),
    /// Somebody reads a page: this one, in the rendition at this place.
    Page(Arc<Page>, usize),
    /// A request for the product; its body is the next to be judged.
    Lookup(Admission<'p>),
}

/// Judges a head, check by check, in the order of the rows.
///
/// # Errors
/// The first row that applies.
pub fn admit<'p>(
    policy: &'p Policy,
    head: &Head<'_>,
    now: Now,
    ingress: Ingress,
    trail: &mut Trail<'p>,
) -> Result<Turn<'p>, Problem> {
    admit_observed(&mut Unobserved, policy, head, now, ingress, trail)
}

/// The same before an observer, who is told of every check: what explains a decision runs this very
/// function.
///
/// # Errors
/// The first row that applies.
pub fn admit_observed<'p>(
    observer: &mut impl Observer<'p>,
    policy: &'p Policy,
    head: &Head<'_>,
    now: Now,
    ingress: Ingress,
    trail: &mut Trail<'p>,
) -> Result<Turn<'p>, Problem> {
    let lines = &head.lines;
    let routed = policy.route(head, ingress.scope); //                                                    (endpoint-unknown)
    let asked = cors::preflight(policy, head, ingress.scope);
    trail.product = match routed.ok().or(asked) {
        Some(Route::Product(product)) => Some(product),
        Some(Route::Credits | Route::Page(_)) | None => None,
    };
    observer.pass(Check::OneToken, one_token(policy, trail.product, lines))?; //            malformed-request
    observer.pass(Check::Room, enter(policy, trail.product, ingress.headroom, lines))?; //                overloaded
    if let Some(route) = asked {
        let preflight = match route {
            Route::Product(product) => &product.preflight,
            // Nobody asks before a page is read.
            Route::Credits | Route::Page(_) => &policy.account_info.preflight,
        };
        observer.pass(Check::Preflight, cors::allow_preflight(preflight, lines))?; //       domain-not-allowed
        return Ok(Turn::Preflight(preflight));
    }
    let product = match observer.pass(Check::Route, routed)? {
        //                                                        endpoint-unknown
        Route::Product(product) => product,
        Route::Credits => return admit_account_info(observer, policy, head, now, trail).map(Turn::Enquiry),
        Route::Page(page_entry) => {
            let page = page_entry.page();
            let rendition = observer.pass(Check::Accept, page.choose(lines))?; //           accept-unsupported
            return Ok(Turn::Page(page, rendition));
        }
    };
    let token = observer.pass(Check::Token, token(&product.token_headers, lines))?; //      token-missing
    let principal = observer.pass(Check::Principal, policy.principal(token))?; //           token-unknown
    trail.principal = Some(principal);
    observer.pass(Check::InForce, principal.authorize(now))?; //                            token-disabled, token-expired
    observer.pass(Check::Product, principal.cover(product.place))?; //                      product-mismatch
    let client = client(&policy.trusted_proxies, head.peer, lines);
    observer.pass(Check::Networks, principal.token.networks.allow(client))?; //             ip-not-allowed
    observer.pass(Check::Domains, principal.token.domains.allow(lines))?; //                domain-not-allowed
    observer.pass(Check::Rate, principal.account.rate.take(now))?; //                       rate-exceeded
    observer.pass(Check::Accept, product.media.accept(lines))?; //                          accept-unsupported
    if product.body.is_some() {
        observer.pass(Check::ContentType, product.media.take(lines))?; //                   content-type-unsupported
    }
    let deadline = observer.pass(Check::Deadline, product.deadline.read(lines))?; //        timeout-invalid
    validate(observer, &product.headers, lines)?; //                                        reference-id-invalid, …
    Ok(Turn::Lookup(Admission { product, principal, client, deadline }))
}

/// Judges the head of a request about the account's credits, in the same order. Any valid token may
/// ask, whichever product it is for; the rate is the question for credits's own.
fn admit_account_info<'p>(
    observer: &mut impl Observer<'p>,
    policy: &'p Policy,
    head: &Head<'_>,
    now: Now,
    trail: &mut Trail<'p>,
) -> Result<Principal<'p>, Problem> {
    let lines = &head.lines;
    let token = observer.pass(Check::Token, token(&policy.token_headers, lines))?; //       token-missing
    let principal = observer.pass(Check::Principal, policy.principal(token))?; //           token-unknown
    trail.principal = Some(principal);
    observer.pass(Check::InForce, principal.authorize(now))?; //                            token-disabled, token-expired
    let client = client(&policy.trusted_proxies, head.peer, lines);
    observer.pass(Check::Networks, principal.token.networks.allow(client))?; //             ip-not-allowed
    observer.pass(Check::Domains, principal.token.domains.allow(lines))?; //                domain-not-allowed
    let account_info = &policy.account_info;
    observer.pass(Check::Rate, account_info.window.take(&principal.account.account_info_rate, now))?; // rate-exceeded
    observer.pass(Check::Accept, account_info.media.accept(lines))?; //                          accept-unsupported
    validate(observer, &policy.echoed, lines)?; //                                          reference-id-invalid
    Ok(principal)
}

/// Judges the headers that have rules of their own, in the order of the configuration. Inlined, like
/// all that stands between `admit` and its checks: a call would cost as much as some checks do.
#[inline(always)]
fn validate<'p>(observer: &mut impl Observer<'p>, rules: &'p [HeaderRule], lines: &Lines<'_>) -> Result<(), Problem> {
    rules.iter().try_for_each(|rule| observer.pass(Check::Header(&rule.name), rule.validate(lines)))
}

/// Lets a request in as far as there is room. Whether the token is known is only asked where room is
/// left for those alone: then whoever is unknown gets `overloaded`, which comes before all that would be
/// said of their token, and whoever is known goes on in the order of the rows.
#[inline(always)]
fn enter(policy: &Policy, product: Option<&Product>, headroom: Headroom, lines: &Lines<'_>) -> Result<(), Problem> {
    match headroom {
        Headroom::Free => Ok(()),
        Headroom::Reserved if is_known(policy, product, lines) => Ok(()),
        Headroom::Reserved => Err(overloaded("what room is left is for known tokens")),
        Headroom::Full => Err(overloaded("as many connections or requests as the limit")),
    }
}

/// Whether a request's token is one of ours, whatever it may be used for.
fn is_known(policy: &Policy, product: Option<&Product>, lines: &Lines<'_>) -> bool {
    let headers = product.map_or(&policy.token_headers, |product| &product.token_headers);
    token(headers, lines).and_then(|token| policy.principal(token)).is_ok()
}

/// The refusal of a gateway at its limit.
pub const fn overloaded(reason: &'static str) -> Problem {
    Problem::new(Row::Overloaded, reason).with(Hint::RetryAfter(SECONDS_UNTIL_ROOM))
}

/// What a client at a full gateway is told to wait: lookups take about as long.
const SECONDS_UNTIL_ROOM: u32 = 1;

/// Refuses a token that is sent twice: two lines of a token header, or two headers with different
/// tokens. Without a product every product's headers count.
fn one_token(policy: &Policy, product: Option<&Product>, lines: &Lines<'_>) -> Result<(), Problem> {
    let malformed = |reason| Err(Problem::new(Row::MalformedRequest, reason));
    if policy.token_headers.iter().any(|name| lines.one(name) == One::Several) {
        return malformed("several lines of a token header");
    }
    let disagree = |product: &Product| {
        let mut values =
            product.token_headers.iter().flat_map(|name| lines.values(name)).filter(|value| !value.is_empty());
        let first = values.next();
        values.any(|other| Some(other) != first)
    };
    let conflict = match product {
        Some(product) => disagree(product),
        None => policy.products.iter().any(disagree),
    };
    if conflict { malformed("different tokens in two headers") } else { Ok(()) }
}

/// The token of a request, from the first of some headers that has one. An empty header is no
/// token.
///
/// # Errors
/// `token-missing`.
pub fn token<'a>(headers: &[Box<str>], lines: &Lines<'a>) -> Result<&'a [u8], Problem> {
    headers
        .iter()
        .flat_map(|name| lines.values(name))
        .find(|value| !value.is_empty())
        .ok_or(Problem::new(Row::TokenMissing, "no token header has a value"))
}
