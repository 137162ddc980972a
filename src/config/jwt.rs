//! `jwt`: identity providers whose signed tokens products take.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::billing::{service_authorities, service_url};
use super::common::{check_name, known, listed, out_of_range};
use super::fill::{duration, fill, section};
use super::source::Source;
use super::units::Text;
use crate::config::yaml::{Entries, Listed, Mistakes, Place, Written};
use crate::gateway::snapshot::KeySource;
use crate::policy::Policy;
use crate::policy::check::jwt::keys::{Algorithm, KeySet, Keys, MAX_BYTES};
use crate::policy::check::jwt::{Issuer, TokenName};
use crate::policy::seconds::Seconds;

/// How far clocks may differ, unless the configuration says otherwise, in seconds.
const LEEWAY_SECONDS: u64 = 60;

/// How often keys are fetched, unless the configuration says otherwise.
const REFRESH: Duration = Duration::from_secs(300);

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::Text;
    use crate::config::yaml::{Listed, Written};

    /// An identity provider that signs JSON Web Tokens.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["issuer", "audience", "algorithms", "jwks", "account_claim"]))]
    pub struct Issuer {
        /// The value of `iss`, just as the provider writes it.
        pub issuer: Written<String>,
        /// Values of `aud`, of which a token must have one.
        #[schemars(length(min = 1))]
        pub audience: Written<Listed<String>>,
        /// How tokens may be signed: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA.
        #[schemars(length(min = 1))]
        pub algorithms: Written<Listed<String>>,
        /// Where the public keys are.
        pub jwks: Written<Jwks>,
        /// The claim that names the account.
        pub account_claim: Written<String>,
        /// The claim that names the account's token whose products and lists count. Either this or `token`.
        pub token_claim: Written<String>,
        /// The name of the account's token whose products and lists count.
        pub token: Written<String>,
        /// How far clocks may differ. Default: 60s.
        pub leeway: Text<Duration>,
    }

    /// A JSON Web Key Set (RFC 7517): a file, or a URL.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("oneOf" = [{"required": ["file"]}, {"required": ["url"]}]))]
    pub struct Jwks {
        /// A file beside this one; it is loaded again when it changes.
        pub file: Written<String>,
        /// A URL, https, or http on this machine. Keys that were fetched count until newer ones have been.
        pub url: Written<String>,
        /// With `url`: a PEM file of the authorities that verify the server. Default: those that this machine trusts.
        pub ca: Written<String>,
        /// With `url`: how often they are fetched, from 10s to 1d; a token with an unknown key has them fetched sooner.
        /// Default: 5m.
        pub refresh: Text<Duration>,
    }
}

/// The providers, and where the keys of those are fetched that have a URL.
#[derive(Default)]
pub struct Compiled {
    pub issuers: Vec<Arc<Issuer>>,
    pub sources: Vec<KeySource>,
    /// Those that have a mistake, so that a product that names one is not reported.
    broken: Vec<String>,
}

/// Compiles `jwt`. Keys of a URL that the policy before has fetched count until newer ones have been.
pub fn compile(
    issuers: Entries<written::Issuer>,
    source: &Source,
    before: Option<&Policy>,
    mistakes: &mut Mistakes,
) -> Compiled {
    let mut compiled = Compiled::default();
    for (name, place, issuer) in issuers.0 {
        check_name(&name, &place, mistakes);
        match one(&name, &place, issuer, source, before, mistakes) {
            Some((issuer, key_source)) => {
                if let Some(known) = compiled.issuers.iter().find(|known| known.issuer == issuer.issuer) {
                    let what = format!("has the same issuer as {}; write all audiences there", known.name);
                    mistakes.push(place, what);
                }
                compiled.issuers.push(Arc::new(issuer));
                compiled.sources.extend(key_source);
            }
            None => compiled.broken.push(name),
        }
    }
    compiled
}

fn one(
    name: &str,
    place: &Place,
    written: written::Issuer,
    source: &Source,
    before: Option<&Policy>,
    mistakes: &mut Mistakes,
) -> Option<(Issuer, Option<KeySource>)> {
    let written::Issuer { issuer, audience, algorithms, jwks, account_claim, token_claim, token, leeway } = written;
    let issuer = issuer.require(place, "issuer", "write the value of `iss`, as in https://id.example.com/", mistakes);
    let audiences = listed(audience, place, "audience", "write at least one, as in [lookups]", mistakes);
    let algorithms = algorithms_of(algorithms, place, mistakes);
    let claim = account_claim.require(place, "account_claim", "name the claim, as in sub", mistakes);
    let token = token_name(token_claim, token, place, mistakes);
    let leeway_place = leeway.place().cloned();
    let leeway: Seconds = leeway.take().map_or(LEEWAY_SECONDS, |leeway| leeway.0.as_secs());
    out_of_range(leeway_place, leeway <= 600, || "a duration from 0s to 10m".to_owned(), mistakes);
    let jwks_place = jwks.place().cloned().unwrap_or_default();
    let jwks = jwks.require(place, "jwks", "write { file: keys.json } or { url: https://… }", mistakes)?;
    let (keys, key_source) = keys(name, jwks, &jwks_place, source, before, mistakes)?;
    let audiences = audiences.into_iter().map(|(audience, _)| audience.into()).collect();
    let names = (claim?.into(), token?);
    Some((Issuer::new(name.into(), issuer?.into(), audiences, algorithms, names, leeway, keys), key_source))
}

fn algorithms_of(written: Written<Listed<String>>, place: &Place, mistakes: &mut Mistakes) -> Box<[Algorithm]> {
    let algorithms = listed(written, place, "algorithms", "write at least one, as in [RS256]", mistakes);
    let mut found = Vec::new();
    for (name, place) in algorithms {
        match Algorithm::from_name(&name) {
            Some(algorithm) => found.push(algorithm),
            None => {
                let known = known(Algorithm::ALL.iter().map(|(_, name)| *name));
                mistakes.push(place, format!("is not an algorithm that tokens can be verified by; {known}"));
            }
        }
    }
    found.into()
}

fn token_name(
    claim: Written<String>,
    fixed: Written<String>,
    place: &Place,
    mistakes: &mut Mistakes,
) -> Option<TokenName> {
    match (claim, fixed) {
        (Written::Here(claim, _), Written::Missing) => Some(TokenName::Claim(claim.into())),
        (Written::Missing, Written::Here(name, _)) => Some(TokenName::Fixed(name.into())),
        (Written::Bad, _) | (_, Written::Bad) => None,
        (Written::Missing, Written::Missing) | (Written::Here(..), Written::Here(..)) => {
            let what = "does not say which token of the account counts; write one of `token_claim` and `token`";
            mistakes.push(place.clone(), what);
            None
        }
    }
}

/// The keys of a provider, and where they are fetched.
fn keys(
    name: &str,
    jwks: written::Jwks,
    place: &Place,
    source: &Source,
    before: Option<&Policy>,
    mistakes: &mut Mistakes,
) -> Option<(Arc<KeySet>, Option<KeySource>)> {
    let written::Jwks { file, url, ca, refresh } = jwks;
    match (file, url) {
        (Written::Here(file, at), Written::Missing) => {
            for place in [ca.place(), refresh.place()].into_iter().flatten() {
                mistakes.push(place.clone(), "is for a URL; remove it, or write `url`");
            }
            let keys = read(&file, source).map_err(|what| mistakes.push(at, what)).ok()?;
            let set = KeySet::default();
            set.replace(keys);
            Some((Arc::new(set), None))
        }
        (Written::Missing, url @ Written::Here(..)) => {
            let url = service_url(url, place, mistakes);
            let authorities = service_authorities(ca, url.as_deref(), place, source, mistakes);
            let every = interval(refresh, mistakes);
            let known = before.into_iter().flat_map(|before| &before.issuers).find(|known| *known.name == *name);
            let keys = known.map_or_else(Arc::default, |known| Arc::clone(&known.keys));
            let key_source = KeySource { issuer: name.into(), url: url?, authorities, every, keys: Arc::clone(&keys) };
            Some((keys, Some(key_source)))
        }
        (Written::Bad, _) | (_, Written::Bad) => None,
        (Written::Missing, Written::Missing) | (Written::Here(..), Written::Here(..)) => {
            mistakes.push(place.clone(), "has no place of keys; write one of `file` and `url`");
            None
        }
    }
}

fn interval(refresh: Text<Duration>, mistakes: &mut Mistakes) -> Duration {
    let place = refresh.place().cloned();
    let every = refresh.take().map_or(REFRESH, |refresh| refresh.0);
    let sensible = (Duration::from_secs(10)..=Duration::from_secs(86_400)).contains(&every);
    out_of_range(place, sensible, || "a duration from 10s to 1d".to_owned(), mistakes);
    every
}

fn read(file: &str, source: &Source) -> Result<Keys, String> {
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    let text = source.small_text(file, most);
    let text = text.map_err(|error| {
        format!("names a file that cannot be read ({error}); write its path from this file's directory")
    })?;
    Keys::parse(text.as_bytes()).map_err(|what| format!("names a file that {what}"))
}

/// The providers that a product takes tokens of.
pub fn of_product(
    names: Written<Listed<String>>,
    compiled: &Compiled,
    parent: &Place,
    mistakes: &mut Mistakes,
) -> Box<[Arc<Issuer>]> {
    if names.is_missing() {
        return Box::default();
    }
    let names = listed(names, parent, "jwt", "name at least one of the top level's `jwt`", mistakes);
    let mut found: Vec<Arc<Issuer>> = Vec::new();
    for (name, place) in names {
        match compiled.issuers.iter().find(|issuer| *issuer.name == *name) {
            Some(issuer) if found.iter().any(|known| Arc::ptr_eq(known, issuer)) => {
                mistakes.push(place, "is listed already; remove it");
            }
            Some(issuer) => found.push(Arc::clone(issuer)),
            None if compiled.broken.contains(&name) => {}
            None => mistakes.push(place, "is not one of the top level's `jwt`; add it there, or correct the name"),
        }
    }
    found.into()
}

/// Shows what is not written.
pub fn fill_in(root: &mut Value, issuers: &[Arc<Issuer>], sources: &[KeySource]) {
    for issuer in issuers {
        let shown = section(section(root, "jwt"), &issuer.name);
        fill(shown, "leeway", duration(Duration::from_secs(issuer.leeway)));
        if let Some(source) = sources.iter().find(|source| source.issuer == issuer.name) {
            fill(section(shown, "jwks"), "refresh", duration(source.every));
        }
    }
}
