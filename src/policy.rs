//! The compiled policy: everything that a request is judged with, immutable once it is made.
//!
//! `config.rs` makes one from the operator's YAML; a request holds one from start to end. All values here are valid.
//! Only the rates and credits of accounts change, in place (`rate.rs`, `credits.rs`).

pub mod account;
pub(crate) mod account_info;
pub mod admit;
pub mod answers;
pub mod calendar;
pub mod check;
pub(crate) mod cors;
pub mod credits;
pub mod format;
pub mod http;
pub mod idempotency;
pub mod limit;
pub mod lookup;
pub mod meter;
pub mod now;
pub mod observer;
pub mod page;
pub mod paths;
pub mod plan;
pub mod problem;
pub mod product_set;
pub mod rate;
pub mod respond;
pub mod route;
pub mod seconds;
pub mod sharing;
pub mod staging;
pub mod tariff;
pub mod trail;
pub mod weight;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::account::directory::Accounts;
use crate::policy::account::directory::change::{AccountChange, Changed, Changes, Conflict};
use crate::policy::account::{Account, Digest, Principal};
use crate::policy::answers::Answers;
use crate::policy::check::domain::origins::Origins;
use crate::policy::check::header::{DeadlineRule, HeaderRule};
use crate::policy::check::jwt::{self, Issuer};
use crate::policy::check::network::Networks;
use crate::policy::check::token::{TokenPlace, is_misspelt, token};
use crate::policy::credits::CreditAccount;
use crate::policy::http::head::{Head, HeadLimits};
use crate::policy::http::media::Media;
use crate::policy::idempotency::IdempotencyRule;
use crate::policy::now::Now;
use crate::policy::page::{ListenerScope, PageEntry, PageTable};
use crate::policy::paths::{Endpoint, Paths};
use crate::policy::plan::{Allowances, Plan};
use crate::policy::problem::messages::Wording;
use crate::policy::problem::{Hint, Problem, Row};
use crate::policy::rate::Window;
use crate::policy::route::Route;
use crate::policy::seconds::Seconds;

/// The longest that the end of a process may take.
pub const LONGEST_GRACE: Duration = Duration::from_secs(3600);

/// Everything that requests are judged with. Where only single accounts change, the next one has the same frame.
#[derive(Debug)]
pub struct Policy {
    pub frame: Arc<Frame>,
    pub accounts: Accounts,
    /// The Origins that some token may be used from.
    pub origins: Origins,
}

/// All of a policy but its accounts, and what is made of those.
#[derive(Debug)]
pub struct Frame {
    pub limits: Limits,
    /// How long the end of the process waits for requests in flight; `None`: as long as the longest
    /// can take.
    pub grace: Option<Duration>,
    pub trusted_proxies: Networks,
    pub products: Box<[Product]>,
    pub paths: Paths,
    /// Those that accounts can name, in the order of the configuration.
    pub plans: Box<[Arc<Plan>]>,
    /// Accounts of the store count beside these of files.
    pub has_store: bool,
    /// Every header that carries a token of some product, in lower case: none goes upstream, and
    /// none may stand twice.
    pub token_headers: Box<[Box<str>]>,
    /// Every place where some product takes tokens, each once.
    pub token_places: Box<[TokenPlace]>,
    /// Every identity provider whose tokens some product takes.
    pub issuers: Box<[Arc<Issuer>]>,
    /// Every header that some product echoes, each once.
    pub echoed: Box<[HeaderRule]>,
    /// The words for problems of requests that have no product.
    pub wording: Wording,
    pub account_info: AccountInfo,
    pub pages: PageTable,
}

/// Where an account is told of its credits: served by the gateway itself, to any valid token.
#[derive(Debug)]
pub struct AccountInfo {
    /// Its own rate, for each account.
    pub window: Window,
    pub media: Media,
    pub preflight: Preflight,
}

impl AccountInfo {
    /// The method and path, where some product has prices. HEAD goes with GET (RFC 9110, section 9.3.2).
    pub const METHOD: &str = "GET";
    pub const PATH: &str = "/account/credits";
}

/// What the preflight of a request is answered with (contract, section 9).
#[derive(Debug)]
pub struct Preflight {
    /// `Access-Control-Allow-Methods`.
    pub allowed_methods: Box<str>,
    /// `Access-Control-Allow-Headers`.
    pub allowed_headers: Box<str>,
    /// Those of them that the gateway itself does not read.
    pub added_headers: Box<[Box<str>]>,
    pub max_age_seconds: u64,
}

/// What one request or connection may use of the gateway.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub head: HeadLimits,
    /// From the first byte of a head, or the opening of a connection, to the head's end.
    pub head_timeout: Duration,
    /// From the opening of a connection with TLS to the end of its handshake.
    pub handshake_timeout: Duration,
    /// From the head's end to the body's.
    pub body_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// To hand one whole answer to the client's network.
    pub write_timeout: Duration,
    pub connections: usize,
    /// Requests between the end of their head and the end of their answer.
    pub requests: usize,
    /// The part of both, in percent, that only clients with a known token may have.
    pub reserved_percent: usize,
    /// Accounts share `requests` by weight once only the reserved part is left.
    pub share_requests: bool,
    /// The largest body that an upstream may answer with.
    pub response_bytes: usize,
    /// How much of an unwanted body is read and discarded to keep the connection.
    pub drain_bytes: u64,
    /// Answers that are kept for lookups that are sent again, in bytes, of all accounts together.
    pub kept_answer_bytes: usize,
}

/// One lookup API.
#[derive(Debug)]
pub struct Product {
    pub name: Arc<str>,
    /// Its place in the policy, which a token's set of products counts.
    pub index: u8,
    /// The place of its upstream among those of the snapshot.
    pub upstream: usize,
    /// Where requests can carry their token; of several that have one the first counts.
    pub token_places: Box<[TokenPlace]>,
    /// The parameters of queries among them, which are not forwarded.
    pub token_parameters: Box<[Box<str>]>,
    /// The identity providers whose signed tokens it takes.
    pub issuers: Box<[Arc<Issuer>]>,
    pub media: Media,
    /// What the backend is asked to answer with: the served media types.
    pub accept: Box<str>,
    pub deadline: DeadlineRule,
    /// How it takes lookups that are sent again; `None`: each is a lookup of its own.
    pub idempotency: Option<IdempotencyRule>,
    pub headers: Box<[HeaderRule]>,
    /// Its methods and paths, in the order of the configuration; at least one.
    pub routes: Box<[Route]>,
    /// What becomes of the backend's answers where a route says nothing else.
    pub answers: Arc<Answers>,
    /// `Access-Control-Expose-Headers` of its answers.
    pub exposed_headers: Box<str>,
    /// What the backend is told of who asks, and in which header.
    pub caller_headers: Box<[(CallerFact, Box<str>)]>,
    /// Some of its lookups cost credits.
    pub is_priced: bool,
    /// The index of the product whose credits pay for them: its own, or that of another one.
    pub balance: u8,
    /// What each account may use of it, beside what the account may use.
    pub allowances: Allowances,
    pub preflight: Preflight,
    pub wording: Wording,
}

impl Product {
    /// Whether accounts have credits for it, rather than for another product that pays for it.
    pub fn has_balance(&self) -> bool {
        self.is_priced && self.balance == self.index
    }

    /// The statuses other than 200 under which its routes pass answers on, in ascending order, each once.
    pub fn passed_statuses(&self) -> Vec<u16> {
        let mut statuses: Vec<u16> = self.routes.iter().flat_map(|route| route.answers.passed_statuses()).collect();
        statuses.sort_unstable();
        statuses.dedup();
        statuses
    }
}

/// What a backend can be told of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerFact {
    Account,
    Token,
    Product,
    Address,
}

/// Who answers a request.
#[derive(Clone, Copy, Debug)]
pub enum Handler<'p> {
    /// A backend, with a route of a product.
    Lookup(&'p Product, &'p Route),
    /// The gateway, about the account's credits.
    Credits,
    Page(&'p PageEntry),
}

/// All that is not about accounts.
impl Deref for Policy {
    type Target = Frame;

    fn deref(&self) -> &Frame {
        &self.frame
    }
}

impl Frame {
    /// Who answers a request's path and method.
    ///
    /// # Errors
    /// `endpoint-unknown`, with the methods that the path has.
    pub fn handler(&self, head: &Head<'_>, scope: ListenerScope) -> Result<Handler<'_>, Problem> {
        let unknown = |reason| Problem::new(Row::EndpointUnknown, reason);
        let path =
            self.paths.find(head).filter(|path| path.is_behind(scope)).ok_or(unknown("no route has the path"))?;
        path.endpoint(head.lines.method)
            .and_then(|endpoint| self.at(endpoint))
            .ok_or(unknown("the path has no such method").with(Hint::Allow(path.index)))
    }

    /// The name of the product whose credits pay for one.
    pub fn balance_name<'p>(&'p self, product: &'p Product) -> &'p str {
        self.products.get(usize::from(product.balance)).map_or(&*product.name, |balance| &*balance.name)
    }

    /// What an endpoint stands for.
    pub fn at(&self, endpoint: Endpoint) -> Option<Handler<'_>> {
        match endpoint {
            Endpoint::Lookup { product, route } => {
                let product = self.products.get(usize::from(product))?;
                Some(Handler::Lookup(product, product.routes.get(usize::from(route))?))
            }
            Endpoint::Credits => Some(Handler::Credits),
            Endpoint::Page(index) => self.pages.at(index).map(Handler::Page),
        }
    }

    /// How long requests in flight can take at the most, from their head to the end of the answer.
    pub fn longest_request(&self) -> Duration {
        let deadline = self.products.iter().map(|product| product.deadline.max_seconds).max().unwrap_or(0);
        Duration::from_secs(deadline).saturating_add(self.limits.write_timeout)
    }

    /// How long the end of the process waits for requests in flight.
    pub fn grace(&self) -> Duration {
        self.grace.unwrap_or_else(|| self.longest_request().saturating_add(Duration::from_secs(1)).min(LONGEST_GRACE))
    }
}

impl Policy {
    /// A frame with accounts. `pace` is called for each token, of which there may be millions.
    pub fn new(frame: Frame, accounts: Accounts, pace: fn()) -> Policy {
        let origins = Origins::of(&accounts, pace);
        Policy { frame: Arc::new(frame), accounts, origins }
    }

    /// Adds the accounts of the store to those of files, before anybody uses the policy; what of them cannot
    /// be used comes back.
    pub fn take_in(&mut self, accounts: impl IntoIterator<Item = Arc<Account>>, pace: fn()) -> Vec<Conflict> {
        let conflicts = self.accounts.take_in(accounts);
        self.origins = Origins::of(&self.accounts, pace);
        conflicts
    }

    /// The same policy with one account at the most, for judging a request that is not sent.
    pub fn alone(&self, account: Option<Arc<Account>>, pace: fn()) -> Policy {
        let mut accounts = Accounts::new(pace);
        accounts.take_in(account);
        let origins = Origins::of(&accounts, pace);
        Policy { frame: Arc::clone(&self.frame), accounts, origins }
    }

    /// The same policy with copies of some of its accounts and no others, for judging a request that is not sent. Which
    /// Origins may ask stays as it is with all accounts.
    pub fn with_copies(&self, copies: impl IntoIterator<Item = Arc<Account>>, pace: fn()) -> Policy {
        let mut accounts = Accounts::new(pace);
        accounts.take_in(copies);
        Policy { frame: Arc::clone(&self.frame), accounts, origins: self.origins.clone() }
    }

    /// The same policy with copies of all its accounts, for judging requests without an effect.
    pub fn copied(&self, copy: impl Fn(&Account) -> Account) -> Policy {
        let accounts = self.accounts.copied(copy);
        Policy { frame: Arc::clone(&self.frame), accounts, origins: self.origins.clone() }
    }

    /// The policy after changes of some of the store's accounts, which costs the same however many there are;
    /// with it comes what has changed and what could not be.
    pub fn with(&self, changes: &[AccountChange]) -> (Policy, Vec<Changed>, Vec<Conflict>) {
        let Changes { accounts, changed, conflicts } = self.accounts.with(changes);
        let origins = self.origins.with(&changed);
        (Policy { frame: Arc::clone(&self.frame), accounts, origins }, changed, conflicts)
    }

    /// The credit accounts of all accounts.
    pub fn credit_accounts(&self) -> impl Iterator<Item = &Arc<CreditAccount>> + Clone {
        self.accounts.iter().flat_map(|account| account.credit_accounts.iter())
    }

    /// Who a token belongs to: one of ours, or one that an identity provider has signed; and the first second in which a
    /// signed one does not count any more.
    ///
    /// # Errors
    /// `token-unknown`, or `upstream-unavailable` while the provider's keys have never been there.
    #[inline]
    pub fn bearer(
        &self,
        token: &[u8],
        issuers: &[Arc<Issuer>],
        now: Seconds,
    ) -> Result<(Principal<'_>, Seconds), Problem> {
        let is_ours_alone = issuers.is_empty();
        // What is misspelt has the form of our own tokens, and none that could be signed.
        let digest = digest(token).map_err(|misspelt| if is_ours_alone { misspelt } else { jwt::NOT_SIGNED })?;
        match self.accounts.find(&digest) {
            Some(principal) => Ok((principal, Seconds::MAX)),
            None if is_ours_alone => Err(UNKNOWN_TOKEN),
            None => self.signed_bearer(token, &digest, issuers, now),
        }
    }

    /// Who asks for a lookup, if the token is known and in force; `None` for other requests, and for those that are refused
    /// before.
    pub fn asker(&self, head: &Head<'_>, scope: ListenerScope, now: Now) -> Option<Principal<'_>> {
        let Handler::Lookup(product, _) = self.handler(head, scope).ok()? else { return None };
        let token = token(&product.token_places, head).ok()?;
        let (principal, ends) = self.bearer(&token, &product.issuers, now.unix_seconds).ok()?;
        let is_in_force = now.unix_seconds < ends && principal.authorize(now).is_ok();
        is_in_force.then_some(principal)
    }

    #[inline(never)]
    fn signed_bearer(
        &self,
        token: &[u8],
        digest: &Digest,
        issuers: &[Arc<Issuer>],
        now: Seconds,
    ) -> Result<(Principal<'_>, Seconds), Problem> {
        let bearer = jwt::bearer(issuers, token, digest, now)?;
        let nobody = Problem::new(Row::TokenUnknown, "no account has the name and the token that a signed token names");
        let principal = self.accounts.named(&bearer.account, &bearer.token).ok_or(nobody)?;
        Ok((principal, bearer.ends))
    }

    /// Whether a token is known already, without a signature.
    pub fn is_known(&self, token: &[u8], issuers: &[Arc<Issuer>], now: Seconds) -> bool {
        let is_remembered = |digest: &Digest| issuers.iter().any(|issuer| issuer.remembered(digest, now).is_some());
        digest(token).is_ok_and(|digest| self.accounts.find(&digest).is_some() || is_remembered(&digest))
    }

    /// Who a token of ours belongs to.
    ///
    /// # Errors
    /// `token-unknown`.
    pub fn principal(&self, token: &[u8]) -> Result<Principal<'_>, Problem> {
        self.accounts.find(&digest(token)?).ok_or(UNKNOWN_TOKEN)
    }
}

/// The refusal of a token that nobody has.
const UNKNOWN_TOKEN: Problem = Problem::new(Row::TokenUnknown, "no token has this digest");

/// The digest of a token, which is computed once for each request.
///
/// # Errors
/// `token-unknown` for one that nobody can have.
#[inline]
fn digest(token: &[u8]) -> Result<Digest, Problem> {
    let misspelt = Problem::new(Row::TokenUnknown, "the token's checksum is wrong: it was not copied as it is");
    if is_misspelt(token) { Err(misspelt) } else { Ok(Digest::of(token)) }
}
