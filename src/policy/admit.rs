//! The order of the checks, as one straight function.
//!
//! The order is that of the rows in `problem.rs`: cheap before expensive, and nothing about products and lists
//! for somebody without a valid token. Three checks consume something, those of rates, quotas and requests in
//! flight, and they come before the checks of headers and body, which consume nothing: so an account cannot have an unlimited number of invalid requests
//! judged (contract, section 3). Credits are held last (`lookup.rs`), when nothing else can refuse.
//!
//! Which rows a check can refuse with is `Check::rows`. What it compares with is in `policy.rs` and `check/`.

use std::sync::Arc;
use std::time::Duration;

use crate::policy::account::Principal;
use crate::policy::check::header::HeaderRule;
use crate::policy::check::jwt::Issuer;
use crate::policy::check::network::{Client, client};
use crate::policy::check::token::{TokenPlace, disagree, has_several_lines, token};
use crate::policy::format::kind::Format;
use crate::policy::http::head::{Head, Lines};
use crate::policy::limit::Asker;
use crate::policy::meter::Seat;
use crate::policy::now::Now;
use crate::policy::observer::{Check, Observer};
use crate::policy::page::{ListenerScope, Page};
use crate::policy::problem::{Hint, Problem, Row};
use crate::policy::route::Route;
use crate::policy::trail::Trail;
use crate::policy::{Handler, Policy, Preflight, Product, cors};

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

/// What passed all checks of the head. Only `admit` makes one, and what a backend gets can only be made of one
/// (`lookup.rs`): what was not permitted cannot be forwarded.
#[derive(Debug)]
pub struct Admission<'p> {
    product: &'p Product,
    route: &'p Route,
    principal: Principal<'p>,
    client: Client,
    deadline: Duration,
    format: Format,
    /// The request's place among those of its account, given back when the admission ends.
    _seat: Seat,
}

impl<'p> Admission<'p> {
    /// The product that the request is for.
    pub fn product(&self) -> &'p Product {
        self.product
    }

    /// The route that the request has.
    pub fn route(&self) -> &'p Route {
        self.route
    }

    /// Who is asking.
    pub fn principal(&self) -> Principal<'p> {
        self.principal
    }

    /// The address that the request comes from.
    pub fn client(&self) -> Client {
        self.client
    }

    /// The format of its body.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The time the request may take, counted from the moment its head was read.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }
}

/// How a request goes on.
#[derive(Debug)]
pub enum Turn<'p> {
    /// A CORS preflight (contract, section 9).
    Preflight(&'p Preflight),
    /// An account asks about its credits.
    Enquiry(Principal<'p>),
    /// Somebody reads a page: this one, in the rendition at this index.
    Page(Arc<Page>, usize),
    /// A request for the product; its body is the next to be judged.
    Lookup(Admission<'p>),
}

/// Judges a head, check by check, in the order of the rows. The observer is notified of every check: the
/// gateway's is [`Unobserved`](crate::policy::observer::Unobserved), and `explain` brings one that writes down.
///
/// # Errors
/// The first row that applies.
pub fn admit<'p>(
    observer: &mut impl Observer<'p>,
    policy: &'p Policy,
    head: &Head<'_>,
    now: Now,
    ingress: Ingress,
    trail: &mut Trail<'p>,
) -> Result<Turn<'p>, Problem> {
    let lines = &head.lines;
    let routed = policy.handler(head, ingress.scope);
    let preflight = cors::preflight(policy, head, ingress.scope);
    if let Some(Handler::Lookup(product, route)) = routed.ok().or(preflight) {
        trail.product = Some(product);
        trail.route = routed.is_ok().then_some(route);
    }
    observer.pass(Check::OneToken, one_token(policy, trail.product, head))?;
    observer.pass(Check::OneKey, one_key(trail.product, lines))?;
    observer.pass(Check::Room, enter(policy, trail.product, ingress.headroom, head, now))?;
    if let Some(handler) = preflight {
        let preflight = match handler {
            Handler::Lookup(product, _) => &product.preflight,
            // Pages are read without a preflight.
            Handler::Credits | Handler::Page(_) => &policy.account_info.preflight,
        };
        observer.pass(Check::Preflight, cors::allow_preflight(policy, trail.product, lines))?;
        return Ok(Turn::Preflight(preflight));
    }
    let (product, route) = match observer.pass(Check::Route, routed)? {
        Handler::Lookup(product, route) => (product, route),
        Handler::Credits => return admit_account_info(observer, policy, head, now, trail).map(Turn::Enquiry),
        Handler::Page(page_entry) => {
            let page = page_entry.page();
            let rendition = observer.pass(Check::Accept, page.choose(lines))?;
            return Ok(Turn::Page(page, rendition));
        }
    };
    let principal = identify(observer, policy, (&product.token_places, &product.issuers), head, now, trail)?;
    observer.pass(Check::Product, principal.cover(product.index))?;
    let client = locate(observer, policy, principal, head, trail)?;
    let seat = allow(observer, principal, product, now, trail)?;
    observer.pass(Check::Accept, product.media.accept(lines))?;
    let format = match &route.body {
        Some(_) => observer.pass(Check::ContentType, product.media.take(lines))?,
        None => Format::Json,
    };
    let deadline = observer.pass(Check::Deadline, product.deadline.read(lines))?;
    observer.pass(Check::Parameters, route.judge_parameters(head, &product.token_parameters))?;
    validate(observer, &product.headers, lines)?;
    Ok(Turn::Lookup(Admission { product, route, principal, client, deadline, format, _seat: seat }))
}

/// Judges the head of a request about the account's credits, in the same order. Any valid token may
/// ask, whichever product it is for; these requests have a rate of their own.
fn admit_account_info<'p>(
    observer: &mut impl Observer<'p>,
    policy: &'p Policy,
    head: &Head<'_>,
    now: Now,
    trail: &mut Trail<'p>,
) -> Result<Principal<'p>, Problem> {
    let (lines, account_info) = (&head.lines, &policy.account_info);
    let principal = identify(observer, policy, (&policy.token_places, &policy.issuers), head, now, trail)?;
    locate(observer, policy, principal, head, trail)?;
    observer.pass(Check::Rate, account_info.window.take(&principal.account.account_info_rate, now))?;
    observer.pass(Check::Accept, account_info.media.accept(lines))?;
    validate(observer, &policy.echoed, lines)?;
    Ok(principal)
}

/// Judges who is asking: a token in one of these places that is known and in force. Inlined, like all that
/// stands between `admit` and its checks: a call would cost as much as some checks do.
#[inline(always)]
fn identify<'p>(
    observer: &mut impl Observer<'p>,
    policy: &'p Policy,
    (places, issuers): (&[TokenPlace], &[Arc<Issuer>]),
    head: &Head<'_>,
    now: Now,
    trail: &mut Trail<'p>,
) -> Result<Principal<'p>, Problem> {
    let token = observer.pass(Check::Token, token(places, head))?;
    let (principal, ends) = observer.pass(Check::Principal, policy.bearer(&token, issuers, now.unix_seconds))?;
    trail.principal = Some(principal);
    let in_force = if now.unix_seconds < ends { principal.authorize(now) } else { Err(SIGNED_TOKEN_IS_OVER) };
    observer.pass(Check::InForce, in_force)?;
    Ok(principal)
}

/// The refusal of a signed token after its end.
const SIGNED_TOKEN_IS_OVER: Problem = Problem::new(Row::TokenExpired, "the signed token has expired");

/// Judges from where a token is used.
#[inline(always)]
fn locate<'p>(
    observer: &mut impl Observer<'p>,
    policy: &'p Policy,
    principal: Principal<'p>,
    head: &Head<'_>,
    trail: &mut Trail<'p>,
) -> Result<Client, Problem> {
    let client = client(&policy.trusted_proxies, head.peer, &head.lines);
    observer.pass(Check::Networks, principal.token.networks.allow(client, &mut trail.watched))?;
    observer.pass(Check::Domains, principal.token.domains.allow(&head.lines, &mut trail.watched))?;
    Ok(client)
}

/// Counts the request in what its account may use: rates, quotas, requests in flight. Each is counted in all limits
/// of its kind or in none, and what was counted stays so if a later check refuses.
#[inline(always)]
fn allow<'p>(
    observer: &mut impl Observer<'p>,
    principal: Principal<'p>,
    product: &'p Product,
    now: Now,
    trail: &mut Trail<'p>,
) -> Result<Seat, Problem> {
    let Some(meter) = &principal.account.meter else {
        observer.pass(Check::Rate, principal.account.rate.take(now))?;
        observer.pass(Check::Quota, Ok(()))?;
        observer.pass(Check::Concurrency, Ok(()))?;
        return Ok(Seat::default());
    };
    let asker = Asker { product: Some(&product.name), token: &principal.token.name };
    observer.pass(Check::Rate, meter.take_rates(asker, now))?;
    trail.counted = observer.pass(Check::Quota, meter.take_quotas(asker, now))?;
    observer.pass(Check::Concurrency, meter.enter())
}

/// Judges the headers that have rules of their own, in the order of the configuration.
#[inline(always)]
fn validate<'p>(observer: &mut impl Observer<'p>, rules: &'p [HeaderRule], lines: &Lines<'_>) -> Result<(), Problem> {
    rules.iter().try_for_each(|rule| observer.pass(Check::Header(&rule.name), rule.validate(lines)))
}

/// Lets a request in as far as there is room. Whether the token is known is only asked where room is left for those
/// alone: then unknown clients get `overloaded`, which comes before all rows about their token, and known ones continue
/// in the order of the rows.
#[inline(always)]
fn enter(
    policy: &Policy,
    product: Option<&Product>,
    headroom: Headroom,
    head: &Head<'_>,
    now: Now,
) -> Result<(), Problem> {
    match headroom {
        Headroom::Free => Ok(()),
        Headroom::Reserved if is_known(policy, product, head, now) => Ok(()),
        Headroom::Reserved => Err(overloaded("what room is left is for known tokens")),
        Headroom::Full => Err(overloaded("as many connections or requests as the limit")),
    }
}

/// Whether a request's token is one of ours, whatever it may be used for.
fn is_known(policy: &Policy, product: Option<&Product>, head: &Head<'_>, now: Now) -> bool {
    let (places, issuers) = match product {
        Some(product) => (&product.token_places, &product.issuers),
        None => (&policy.token_places, &policy.issuers),
    };
    token(places, head).is_ok_and(|token| policy.is_known(&token, issuers, now.unix_seconds))
}

/// Why an account is refused that shares the last part of the gateway's requests with others.
pub const SHARE_USED: &str = "there is little room, and the account has its share of the requests in flight";

/// The refusal of a gateway at its limit.
pub const fn overloaded(reason: &'static str) -> Problem {
    Problem::new(Row::Overloaded, reason).with(Hint::RetryAfter(SECONDS_UNTIL_ROOM))
}

/// The `Retry-After` of a full gateway: lookups take about as long.
const SECONDS_UNTIL_ROOM: u32 = 1;

/// Refuses what is not one key, where a product takes the key of a request.
#[inline(always)]
fn one_key(product: Option<&Product>, lines: &Lines<'_>) -> Result<(), Problem> {
    match product.and_then(|product| product.idempotency.as_ref()) {
        None => Ok(()),
        Some(rule) => rule.check(lines),
    }
}

/// Refuses a token that is sent twice: two lines of a token header, one parameter twice, or two places with different
/// tokens. Without a product every product's places count.
fn one_token(policy: &Policy, product: Option<&Product>, head: &Head<'_>) -> Result<(), Problem> {
    let malformed = |reason| Err(Problem::new(Row::MalformedRequest, reason));
    if has_several_lines(&policy.token_headers, &head.lines) {
        return malformed("several lines of a token header");
    }
    let conflict = match product {
        Some(product) => disagree(&product.token_places, head),
        None => policy.products.iter().any(|product| disagree(&product.token_places, head)),
    };
    if conflict { malformed("different tokens in two places") } else { Ok(()) }
}
