//! What is asked of a provider: where its endpoints are (OpenID Connect Discovery 1.0), its keys, and an ID token for a
//! code. All of it blocks, within the time limit of the configuration.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::sign_in::OidcSettings;
use crate::platform::post::Post;
use crate::policy::check::jwt::keys::{Algorithm, Keys, MAX_BYTES};
use crate::policy::check::jwt::{Unsigned, signed_claims};

/// For how long what was found of a provider counts.
const FOUND_FOR: Duration = Duration::from_secs(3600);

/// The shortest time between two fetches that tokens with unknown keys cause.
const LEAST_BETWEEN: Duration = Duration::from_secs(10);

/// How ID tokens may be signed: by what OpenID Connect Core, section 15.1, requires, and its successor on curves.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::Rs256, Algorithm::Es256];

/// Bytes of a provider's answers.
const MOST_BYTES: usize = 256 * 1024;

const TARGET: &str = "tollgate::portal";

/// Where a provider's endpoints are.
#[derive(Clone, Debug, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// The answer with an ID token.
#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

#[derive(Default)]
struct Known {
    metadata: Option<(Instant, Metadata)>,
    keys: Option<(Instant, Arc<Keys>)>,
}

/// A provider.
pub struct Provider {
    pub settings: OidcSettings,
    known: Mutex<Known>,
}

impl Provider {
    /// A provider of which nothing is known yet.
    pub fn of(settings: OidcSettings) -> Provider {
        Provider { settings, known: Mutex::new(Known::default()) }
    }

    /// Where browsers are sent to.
    ///
    /// # Errors
    /// Why it is not known.
    pub fn authorization_endpoint(&self) -> Result<String, String> {
        Ok(self.metadata()?.authorization_endpoint)
    }

    /// Whether its answers have `iss` (RFC 9207, section 3).
    ///
    /// # Errors
    /// Why it is not known.
    pub fn says_iss(&self) -> Result<bool, String> {
        Ok(self.metadata()?.authorization_response_iss_parameter_supported)
    }

    /// The ID token for a code (RFC 6749, section 4.1.3; RFC 7636, section 4.5).
    ///
    /// # Errors
    /// Why there is none.
    pub fn exchange(&self, code: &str, verifier: &str, redirect: &str) -> Result<String, String> {
        let metadata = self.metadata()?;
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", redirect)
            .append_pair("code_verifier", verifier);
        let mut headers = vec![("Accept".into(), "application/json".into())];
        match &self.settings.client_secret {
            Some(secret) => headers.push(("Authorization".into(), basic(&self.settings.client_id, secret).into())),
            None => drop(form.append_pair("client_id", &self.settings.client_id)),
        }
        let body = form.finish();
        let post = self.post(&metadata.token_endpoint);
        let answer = post.ask("application/x-www-form-urlencoded", &headers, body.as_bytes(), MOST_BYTES)?;
        let tokens: Tokens =
            serde_json::from_slice(&answer).map_err(|_| "its token endpoint answers without an ID token".to_owned())?;
        Ok(tokens.id_token)
    }

    /// The claims of an ID token that the provider has signed.
    ///
    /// # Errors
    /// Why it is not.
    pub fn verified(&self, token: &str) -> Result<Map<String, Value>, String> {
        let verify = |keys: &Keys| signed_claims(token.as_bytes(), keys, &ALGORITHMS);
        match verify(&*self.keys(false)?) {
            Err(Unsigned::UnknownKey) => verify(&*self.keys(true)?),
            other => other,
        }
        .map_err(|fault| fault.to_string())
    }

    fn metadata(&self) -> Result<Metadata, String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).metadata.clone();
        if let Some((_, metadata)) = known.filter(|(at, _)| at.elapsed() < FOUND_FOR) {
            return Ok(metadata);
        }
        let issuer = &*self.settings.issuer;
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let text = self.post(&url).fetch(MOST_BYTES)?;
        let metadata: Metadata =
            serde_json::from_slice(&text).map_err(|_| format!("{url} is not the document of a provider"))?;
        if metadata.issuer != issuer {
            return Err(format!("{url} says that it is of another issuer"));
        }
        // What was configured with TLS is not asked without it.
        let is_secure = issuer.starts_with("https:");
        let endpoints = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
        if endpoints.iter().any(|endpoint| is_secure && !endpoint.starts_with("https:")) {
            return Err(format!("{url} has an endpoint without TLS"));
        }
        let found = Some((Instant::now(), metadata.clone()));
        self.known.lock().unwrap_or_else(PoisonError::into_inner).metadata = found;
        Ok(metadata)
    }

    /// The provider's keys; newer ones, if those that are known are not enough.
    fn keys(&self, newer: bool) -> Result<Arc<Keys>, String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).keys.clone();
        let least = if newer { LEAST_BETWEEN } else { FOUND_FOR };
        if let Some((_, keys)) = known.filter(|(at, _)| at.elapsed() < least) {
            return Ok(keys);
        }
        let text = self.post(&self.metadata()?.jwks_uri).fetch(MAX_BYTES)?;
        let keys = Arc::new(Keys::parse(&text).map_err(|what| format!("its document of keys {what}"))?);
        let found = Some((Instant::now(), Arc::clone(&keys)));
        self.known.lock().unwrap_or_else(PoisonError::into_inner).keys = found;
        Ok(keys)
    }

    fn post(&self, url: &str) -> Post {
        Post::to(url, self.settings.authorities.clone(), self.settings.timeout, TARGET)
    }
}

/// A client's id and secret (RFC 6749, section 2.3.1).
fn basic(id: &str, secret: &str) -> String {
    let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret))))
}
