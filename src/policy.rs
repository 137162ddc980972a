//! The compiled policy: everything that a request is judged with, immutable once it is made.
//!
//! `config.rs` makes one from the operator's YAML; a request holds one from start to end. Values
//! here cannot be wrong any more. Only the rates of accounts change, in place (`quota.rs`).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::account::{Account, Principal, Tokens};
use crate::check::body::BodyRule;
use crate::check::domain::Domains;
use crate::check::header::{DeadlineRule, HeaderRule};
use crate::check::media::Media;
use crate::check::network::Networks;
use crate::head::{Head, HeadLimits};
use crate::problem::{Hint, Problem, Row};
use crate::wording::Wording;

/// Everything that requests are judged with.
#[derive(Debug)]
pub struct Policy {
    pub limits: Limits,
    pub trusted_proxies: Networks,
    pub upstreams: Box<[Upstream]>,
    pub products: Box<[Product]>,
    pub paths: Paths,
    pub accounts: Vec<Account>,
    pub tokens: Tokens,
    /// Every header that carries a token of some product, in lower case: none goes upstream, and
    /// none may stand twice.
    pub token_headers: Box<[Box<str>]>,
    /// The Origins that some token of any product may be used from.
    pub origins: Domains,
    /// Every header that some product echoes, each once.
    pub echoed: Box<[HeaderRule]>,
    /// The words for problems of requests that have no product.
    pub wording: Wording,
}

/// What one request or connection may use of the gateway.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub head: HeadLimits,
    /// From the first byte of a head, or the opening of a connection, to the head's end.
    pub head_timeout: Duration,
    /// From the head's end to the body's.
    pub body_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// To hand one whole answer to the client's network.
    pub write_timeout: Duration,
    pub connections: usize,
    /// Requests between the end of their head and the end of their answer.
    pub requests: usize,
    /// The largest body that an upstream may answer with.
    pub response_bytes: usize,
    /// How much of a body that nobody wants is read so that the connection can live on.
    pub drain_bytes: u64,
}

/// A backend that speaks HTTP/1.1.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub name: Box<str>,
    pub servers: Box<[SocketAddr]>,
    /// The `Host` that the backend sees.
    pub host: Box<str>,
    pub connect_timeout: Duration,
    /// How long an idle connection is kept for the next request.
    pub idle_timeout: Duration,
}

/// One lookup API.
#[derive(Debug)]
pub struct Product {
    pub name: Box<str>,
    /// Its place in the policy, which a token's set of products counts.
    pub place: u8,
    /// The place of its upstream in the policy.
    pub upstream: usize,
    pub token_headers: Box<[Box<str>]>,
    pub media: Media,
    /// What the backend is asked to answer with: the served media types.
    pub accept: Box<str>,
    pub deadline: DeadlineRule,
    pub headers: Box<[HeaderRule]>,
    /// `None`: the product's requests have no body.
    pub body: Option<BodyRule>,
    /// The Origins that some token of the product may be used from.
    pub origins: Domains,
    /// `Access-Control-Allow-Methods` of a preflight: the methods of all its routes.
    pub allowed_methods: Box<str>,
    /// `Access-Control-Allow-Headers` of a preflight.
    pub allowed_headers: Box<str>,
    pub preflight_max_age_seconds: u64,
    pub wording: Wording,
}

/// A path that is served, and with which methods.
#[derive(Debug)]
pub struct Path {
    /// The place in the list of paths, for `Hint::Allow`.
    pub place: u16,
    pub methods: Box<[(Box<str>, usize)]>,
    /// `Allow`: the methods, separated by commas.
    pub allow: Box<str>,
}

/// All paths that are served.
#[derive(Debug, Default)]
pub struct Paths {
    by_path: HashMap<Box<str>, Path>,
    /// The `Allow` of each place.
    allow: Vec<Box<str>>,
}

impl Paths {
    /// Adds a method of a path; `false` if it is there already, and nothing changed.
    pub fn insert(&mut self, method: &str, path: &str, product: usize) -> bool {
        let Ok(place) = u16::try_from(self.allow.len()) else {
            return false;
        };
        let entry = self.by_path.entry(path.into()).or_insert_with(|| {
            self.allow.push("".into());
            Path { place, methods: Box::default(), allow: "".into() }
        });
        if entry.methods.iter().any(|(known, _)| **known == *method) {
            return false;
        }
        let mut methods = std::mem::take(&mut entry.methods).into_vec();
        methods.push((method.into(), product));
        entry.allow = methods.iter().map(|(method, _)| &**method).collect::<Vec<_>>().join(", ").into();
        entry.methods = methods.into();
        if let Some(allow) = self.allow.get_mut(usize::from(entry.place)) {
            allow.clone_from(&entry.allow);
        }
        true
    }

    /// How many pairs of method and path there are.
    pub fn routes(&self) -> usize {
        self.by_path.values().map(|path| path.methods.len()).sum()
    }

    /// The path, if it is served with any method.
    pub fn find(&self, path: &str) -> Option<&Path> {
        self.by_path.get(path)
    }

    /// The `Allow` header that a hint names.
    pub fn allow(&self, place: u16) -> &str {
        self.allow.get(usize::from(place)).map_or("", |allow| allow)
    }
}

impl Path {
    /// The product of a method.
    pub fn product(&self, method: &str) -> Option<usize> {
        self.methods.iter().find(|(known, _)| **known == *method).map(|(_, product)| *product)
    }
}

impl Policy {
    /// The product of a request's path and method.
    ///
    /// # Errors
    /// `endpoint-unknown`, with the methods that the path has.
    pub fn route(&self, head: &Head<'_>) -> Result<&Product, Problem> {
        let unknown = |reason| Problem::new(Row::EndpointUnknown, reason);
        let path = self.paths.find(head.path).ok_or(unknown("no route has the path"))?;
        path.product(head.lines.method)
            .and_then(|product| self.products.get(product))
            .ok_or(unknown("the path has no such method").with(Hint::Allow(path.place)))
    }

    /// How long requests in flight can take at the most, from their head to the end of the answer.
    pub fn longest_request(&self) -> Duration {
        let deadline = self.products.iter().map(|product| product.deadline.max_seconds).max().unwrap_or(0);
        Duration::from_secs(deadline).saturating_add(self.limits.write_timeout)
    }

    /// Who a token belongs to.
    ///
    /// # Errors
    /// `token-unknown`.
    pub fn principal(&self, token: &[u8]) -> Result<Principal<'_>, Problem> {
        let token = self.tokens.find(&crate::account::Digest::of(token));
        let account =
            token.and_then(|token| usize::try_from(token.account).ok()).and_then(|place| self.accounts.get(place));
        match (token, account) {
            (Some(token), Some(account)) => Ok(Principal { token, account }),
            _ => Err(Problem::new(Row::TokenUnknown, "no token has this digest")),
        }
    }
}
