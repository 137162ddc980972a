//! The order of the checks, as one straight function.
//!
//! Cheap before dear, pure before consuming: the order is that of the rows in `problem.rs`, and a
//! test walks every combination of faults to hold the two together. What a check compares with
//! lives in `policy.rs` and `check/`; who refuses, and with which words, is decided nowhere else.

use std::sync::Arc;
use std::time::Duration;

use crate::account::Principal;
use crate::check::header::HeaderRule;
use crate::check::network::{Client, client};
use crate::cors;
use crate::head::{Head, Lines, One};
use crate::page::{Door, Page};
use crate::policy::{Policy, Preflight, Product, Route};
use crate::problem::{Hint, Problem, Row};
use crate::quota::Now;
use crate::quota::credits::Licence;
use crate::tariff::Tariff;

/// Whether the gateway has room for one more request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Free,
    Full,
}

/// By which way a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrance {
    pub room: Room,
    pub door: Door,
}

impl Entrance {
    /// One to everything, with room.
    pub const OPEN: Entrance = Entrance { room: Room::Free, door: Door::All };
}

/// What became known of a request on the way, also when it was refused: an answer's headers
/// depend on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trail<'p> {
    pub product: Option<&'p Product>,
    pub principal: Option<Principal<'p>>,
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
    pub fn licence(&self) -> Option<&'p Arc<Licence>> {
        self.principal.account.licences.of(self.product.place)
    }

    /// What the request costs those who pay.
    pub fn tariff(&self) -> Option<&'p Tariff> {
        self.product.tariff.as_ref().filter(|_| self.licence().is_some())
    }
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
    entrance: Entrance,
    trail: &mut Trail<'p>,
) -> Result<Turn<'p>, Problem> {
    let routed = policy.route(head, entrance.door); //                   (endpoint-unknown)
    let asked = cors::preflight(policy, head, entrance.door);
    trail.product = match routed.ok().or(asked) {
        Some(Route::Product(product)) => Some(product),
        Some(Route::Credits | Route::Page(_)) | None => None,
    };
    one_token(policy, trail.product, &head.lines)?; //                    malformed-request
    if entrance.room == Room::Full {
        return Err(overloaded("as many connections or requests as the limit"));
    }
    if let Some(route) = asked {
        let preflight = match route {
            Route::Product(product) => &product.preflight,
            // Nobody asks before a page is read.
            Route::Credits | Route::Page(_) => &policy.enquiry.preflight,
        };
        cors::allow_preflight(preflight, &head.lines)?; //                domain-not-allowed
        return Ok(Turn::Preflight(preflight));
    }
    let product = match routed? {
        //                                      endpoint-unknown
        Route::Product(product) => product,
        Route::Credits => return enquire(policy, head, now, trail).map(Turn::Enquiry),
        Route::Page(shelved) => {
            let page = shelved.page();
            let rendition = page.choose(&head.lines)?; //                 accept-unsupported
            return Ok(Turn::Page(page, rendition));
        }
    };
    let token = token(&product.token_headers, &head.lines)?; //           token-missing
    let principal = policy.principal(token)?; //                          token-unknown
    trail.principal = Some(principal);
    principal.authorize(now)?; //                                         token-disabled, token-expired
    principal.cover(product.place)?; //                                   product-mismatch
    let client = client(&policy.trusted_proxies, head.peer, &head.lines);
    principal.token.networks.allow(client)?; //                           ip-not-allowed
    principal.token.domains.allow(&head.lines)?; //                       domain-not-allowed
    principal.account.rate.take(now)?; //                                 rate-exceeded
    product.media.accept(&head.lines)?; //                                accept-unsupported
    if product.body.is_some() {
        product.media.take(&head.lines)?; //                              content-type-unsupported
    }
    let deadline = product.deadline.read(&head.lines)?; //                timeout-invalid
    let validate = |rule: &HeaderRule| rule.validate(&head.lines);
    product.headers.iter().try_for_each(validate)?; //                    reference-id-invalid, add-metadata-invalid
    Ok(Turn::Lookup(Admission { product, principal, client, deadline }))
}

/// Judges the head of a request about the account's credits, in the same order. Any valid token may
/// ask, whichever product it is for; the rate is the enquiry's own.
fn enquire<'p>(policy: &'p Policy, head: &Head<'_>, now: Now, trail: &mut Trail<'p>) -> Result<Principal<'p>, Problem> {
    let token = token(&policy.token_headers, &head.lines)?; //            token-missing
    let principal = policy.principal(token)?; //                          token-unknown
    trail.principal = Some(principal);
    principal.authorize(now)?; //                                         token-disabled, token-expired
    let client = client(&policy.trusted_proxies, head.peer, &head.lines);
    principal.token.networks.allow(client)?; //                           ip-not-allowed
    principal.token.domains.allow(&head.lines)?; //                       domain-not-allowed
    policy.enquiry.window.take(&principal.account.enquiries, now)?; //    rate-exceeded
    policy.enquiry.media.accept(&head.lines)?; //                         accept-unsupported
    let validate = |rule: &HeaderRule| rule.validate(&head.lines);
    policy.echoed.iter().try_for_each(validate)?; //                      reference-id-invalid
    Ok(principal)
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
fn token<'a>(headers: &[Box<str>], lines: &Lines<'a>) -> Result<&'a [u8], Problem> {
    headers
        .iter()
        .flat_map(|name| lines.values(name))
        .find(|value| !value.is_empty())
        .ok_or(Problem::new(Row::TokenMissing, "no token header has a value"))
}
