//! Signed tokens of an identity provider: JSON Web Tokens (RFC 7519) as compact JWS (RFC 7515), whose claims name an
//! account and one of its tokens.
//!
//! A signature is verified once for each token: what was verified is remembered, and costs the next request a look-up.
//! Only asymmetric algorithms are known, each is named in the configuration, and a key is used for the algorithms of its
//! own kind alone, so that no token can choose how it is verified (RFC 8725, sections 3.1 and 3.2). Where keys come from
//! is `keys.rs`'s caller's business.

pub mod keys;
mod verified;

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use keys::{Algorithm, KeySet, Keys};
pub use verified::Bearer;
use verified::{Verified, VerifiedTokens};

use crate::policy::account::Digest;
use crate::policy::problem::{Hint, Problem, Row};
use crate::policy::seconds::Seconds;

/// The largest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The `Retry-After` while the keys of an issuer have never been there, in seconds.
const SECONDS_UNTIL_KEYS: u32 = 5;

/// An identity provider.
pub struct Issuer {
    /// Its name in the configuration.
    pub name: Box<str>,
    /// The value of `iss`.
    pub issuer: Box<str>,
    /// One of them must be in `aud`.
    pub audiences: Box<[Box<str>]>,
    pub algorithms: Box<[Algorithm]>,
    /// The claim that names the account.
    pub account_claim: Box<str>,
    pub token: TokenName,
    /// How far clocks may differ, in seconds.
    pub leeway: Seconds,
    pub keys: Arc<KeySet>,
    verified: VerifiedTokens,
}

/// Which token of the account a signed token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenName {
    /// The one that a claim names.
    Claim(Box<str>),
    /// Always this one.
    Fixed(Box<str>),
}

impl fmt::Debug for Issuer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Issuer { name, issuer, audiences, algorithms, account_claim, token, leeway, .. } = self;
        write!(formatter, "Issuer({name} {issuer} {audiences:?} {algorithms:?} {account_claim} {token:?} {leeway})")
    }
}

const fn refused(reason: &'static str) -> Problem {
    Problem::new(Row::TokenUnknown, reason)
}

/// The refusal of what is no token of ours and no signed token.
pub const NOT_SIGNED: Problem = refused("no token has this digest, and it is not a signed token");

/// Whether a token may be a signed one: three parts, of which the first is a JSON object in Base64.
pub fn may_be_signed(token: &[u8]) -> bool {
    token.starts_with(b"ey")
        && token.len() <= MAX_TOKEN_BYTES
        && token.iter().filter(|byte| **byte == b'.').count() == 2
}

impl Issuer {
    /// A provider of which nothing was verified yet.
    pub fn new(
        name: Box<str>,
        issuer: Box<str>,
        audiences: Box<[Box<str>]>,
        algorithms: Box<[Algorithm]>,
        (account_claim, token): (Box<str>, TokenName),
        leeway: Seconds,
        keys: Arc<KeySet>,
    ) -> Issuer {
        let verified = VerifiedTokens::default();
        Issuer { name, issuer, audiences, algorithms, account_claim, token, leeway, keys, verified }
    }

    /// What is known of a token that was verified by the keys in force before.
    pub fn remembered(&self, digest: &Digest, now: Seconds) -> Option<Result<Bearer, Problem>> {
        let keys = self.keys.current()?;
        let verified = self.verified.get(digest, keys.generation())?;
        Some(self.has_begun(verified.not_before, now).map(|()| verified.bearer))
    }

    fn has_begun(&self, not_before: Seconds, now: Seconds) -> Result<(), Problem> {
        let has_begun = now.saturating_add(self.leeway) >= not_before;
        if has_begun { Ok(()) } else { Err(refused("the signed token is not valid yet")) }
    }

    /// Verifies a token and remembers it.
    fn verify(&self, parts: &Parts<'_>, digest: &Digest, now: Seconds) -> Result<Bearer, Problem> {
        let unavailable = Problem::new(Row::UpstreamUnavailable, "the keys of the issuer have never been fetched");
        let keys = self.keys.current().ok_or(unavailable.with(Hint::RetryAfter(SECONDS_UNTIL_KEYS)))?;
        let algorithm = parts.text_of_head("alg").and_then(Algorithm::from_name);
        let algorithm = algorithm.filter(|algorithm| self.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(refused("the algorithm of the signed token is not one of the issuer's"))?;
        self.check_signature(&keys, algorithm, parts)?;
        let claims = Claims(&parts.claims);
        let expires = claims.seconds("exp")?.ok_or(refused("the signed token has no exp"))?;
        let not_before = claims.seconds("nbf")?.unwrap_or(0);
        if !claims.has_audience(&self.audiences) {
            return Err(refused("the signed token is for another audience"));
        }
        let missing = refused("the signed token lacks a claim that names its account or token");
        let account = claims.text(&self.account_claim).ok_or(missing)?.into();
        let token = match &self.token {
            TokenName::Fixed(name) => Arc::from(&**name),
            TokenName::Claim(claim) => claims.text(claim).ok_or(missing)?.into(),
        };
        let bearer = Bearer { account, token, ends: expires.saturating_add(self.leeway) };
        let verified = Verified { bearer: bearer.clone(), not_before, generation: keys.generation() };
        self.verified.put(*digest, verified, now);
        self.has_begun(not_before, now).map(|()| bearer)
    }

    fn check_signature(&self, keys: &Keys, algorithm: Algorithm, parts: &Parts<'_>) -> Result<(), Problem> {
        let id = parts.text_of_head("kid");
        let mut tried = keys.of(id, algorithm).peekable();
        if tried.peek().is_none() {
            // It may be newer than the keys that are known.
            self.keys.want();
            return Err(refused("the issuer has no key for the signed token"));
        }
        let is_signed = tried.any(|key| key.verifies(algorithm, parts.signed, &parts.signature));
        if is_signed { Ok(()) } else { Err(refused("the signature is wrong")) }
    }
}

/// The bearer of a token with this digest that one of some issuers has signed.
///
/// # Errors
/// `token-unknown`, or `upstream-unavailable` while the issuer's keys have never been there.
pub fn bearer(issuers: &[Arc<Issuer>], token: &[u8], digest: &Digest, now: Seconds) -> Result<Bearer, Problem> {
    if issuers.is_empty() || !may_be_signed(token) {
        return Err(NOT_SIGNED);
    }
    if let Some(known) = issuers.iter().find_map(|issuer| issuer.remembered(digest, now)) {
        return known;
    }
    let parts = Parts::of(token)?;
    let issuer = Claims(&parts.claims).text("iss").and_then(|iss| issuers.iter().find(|known| *known.issuer == *iss));
    issuer.ok_or(refused("the signed token has another issuer"))?.verify(&parts, digest, now)
}

/// A compact JWS, decoded but not verified.
struct Parts<'t> {
    /// What is signed.
    signed: &'t [u8],
    head: Map<String, Value>,
    claims: Map<String, Value>,
    signature: Vec<u8>,
}

impl<'t> Parts<'t> {
    fn of(token: &'t [u8]) -> Result<Parts<'t>, Problem> {
        let malformed = refused("the signed token is malformed");
        let mut dots = token.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at);
        let (first, second) = dots.next().zip(dots.next()).ok_or(malformed)?;
        let object = |range: std::ops::Range<usize>| -> Option<Map<String, Value>> {
            let bytes = URL_SAFE_NO_PAD.decode(token.get(range)?).ok()?;
            match crate::policy::check::body::document::parse(&bytes).ok()? {
                Value::Object(members) => Some(members),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
            }
        };
        let head = object(0..first).ok_or(malformed)?;
        let claims = object(first + 1..second).ok_or(malformed)?;
        let signature = token.get(second + 1..).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or(malformed)?;
        // Extensions that must be understood, and are not (RFC 7515, section 4.1.11).
        if head.contains_key("crit") || head.contains_key("b64") {
            return Err(refused("the signed token asks for an extension"));
        }
        Ok(Parts { signed: token.get(..second).unwrap_or_default(), head, claims, signature })
    }

    fn text_of_head(&self, name: &str) -> Option<&str> {
        self.head.get(name)?.as_str()
    }
}

/// The claims of a token.
struct Claims<'c>(&'c Map<String, Value>);

impl<'c> Claims<'c> {
    /// A claim that is a text, and not an empty one.
    fn text(&self, name: &str) -> Option<&'c str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// A moment; one that is there must be a number (RFC 7519, section 2, NumericDate).
    fn seconds(&self, name: &str) -> Result<Option<Seconds>, Problem> {
        let wrong = refused("a time of the signed token is not a number");
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => match (value.as_u64(), value.as_f64()) {
                (Some(seconds), _) => Ok(Some(seconds)),
                // Fractions are allowed; the token ends with its last whole second.
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                (None, Some(seconds)) if seconds >= 0.0 => Ok(Some(seconds as Seconds)),
                _ => Err(wrong),
            },
        }
    }

    /// Whether `aud`, a text or a list of texts, has one of some audiences.
    fn has_audience(&self, wanted: &[Box<str>]) -> bool {
        let is_wanted = |value: &Value| value.as_str().is_some_and(|text| wanted.iter().any(|one| **one == *text));
        match self.0.get("aud") {
            Some(Value::Array(audiences)) => audiences.iter().any(is_wanted),
            Some(value) => is_wanted(value),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests;
