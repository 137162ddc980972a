//! What the command line asks of the API: over its listener, or in this process by the very same router where
//! the store's file is on this machine. The store takes several writers, so that both work beside a gateway.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, IF_MATCH, LINK};
use axum::http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Limited};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Runtime;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use super::access::Api;
use super::caller::{Caller, Inside};
use super::connection::Peer;
use super::problem::Told;
use super::route::{IDEMPOTENCY_KEY, ROOT};
use super::router::router;

/// How long an answer may take: a change waits until it is in force.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of an answer: a page of lists is far smaller.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// The variable that has the management key.
pub const KEY_VARIABLE: &str = "TOLLGATE_API_KEY";

/// A request of the command line.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    /// Below the root of the API.
    pub path: String,
    pub query: Vec<(&'static str, String)>,
    /// The version that is to be changed, as `If-Match` has it.
    pub version: Option<String>,
    pub key: Option<String>,
    pub body: Option<Value>,
}

impl Asked {
    /// Reads something.
    pub fn get(path: impl Into<String>) -> Asked {
        Asked { method: Method::GET, path: path.into(), query: Vec::new(), version: None, key: None, body: None }
    }

    /// Makes something; however often it is sent, it happens once.
    pub fn make(path: impl Into<String>, key: String, body: Option<Value>) -> Asked {
        Asked { method: Method::POST, key: Some(key), body, ..Asked::get(path) }
    }

    /// Asks something that takes a body and changes nothing.
    pub fn try_out(path: impl Into<String>, body: Value) -> Asked {
        Asked { method: Method::POST, body: Some(body), ..Asked::get(path) }
    }

    /// Changes something that is at a version, or at any with `*`.
    pub fn change(method: Method, path: impl Into<String>, version: impl Into<String>, body: Option<Value>) -> Asked {
        Asked { method, version: Some(version.into()), body, ..Asked::get(path) }
    }

    /// The same, once for a key.
    pub fn once(self, key: String) -> Asked {
        Asked { key: Some(key), ..self }
    }

    /// The same with a parameter, if it has a value.
    pub fn with(mut self, name: &'static str, value: Option<impl Into<String>>) -> Asked {
        self.query.extend(value.map(|value| (name, value.into())));
        self
    }

    fn target(&self) -> String {
        let mut target = format!("{ROOT}{}", self.path);
        for (number, (name, value)) in self.query.iter().enumerate() {
            let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            let joint = if number == 0 { '?' } else { '&' };
            target += &format!("{joint}{name}={value}");
        }
        target
    }
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// The `after` of the next page, where a header names it.
    pub next: Option<String>,
}

impl Answer {
    /// What was asked for, or the problem in its place.
    ///
    /// # Errors
    /// The problem; of an answer that is neither, nothing.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Option<Box<Told>>> {
        if (200..300).contains(&self.status) {
            return serde_json::from_slice(&self.body).map_err(|_| None);
        }
        Err(serde_json::from_slice(&self.body).ok())
    }
}

/// Where the API is.
pub enum Client {
    /// On a listener, maybe of another machine.
    There { agent: ureq::Agent, url: String, key: String },
    /// In this process.
    Here { api: InProcess, runtime: Runtime, caller: Caller },
}

/// The authorities that an API's certificate may come from: those of this machine, and those of a PEM file.
///
/// # Errors
/// What is wrong with the file.
pub fn roots(file: Option<&Path>) -> Result<RootCerts, String> {
    let mut found = rustls_native_certs::load_native_certs().certs;
    if let Some(file) = file {
        let unusable = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
        let text = std::fs::read(file).map_err(|error| unusable(&error))?;
        let before = found.len();
        for certificate in CertificateDer::pem_slice_iter(&text) {
            found.push(certificate.map_err(|_| unusable(&"has something else than certificates in PEM"))?);
        }
        if found.len() == before {
            return Err(unusable(&"has no certificate in PEM; name the file of the API's authority"));
        }
    }
    let roots: Vec<Certificate<'static>> = found.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    Ok(RootCerts::new_with_certs(&roots))
}

impl Client {
    /// The API at a URL, which is asked with a key, over TLS with these authorities.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn there(url: &str, key: String, roots: RootCerts) -> Result<Client, String> {
        let url = url.trim_end_matches('/').trim_end_matches(ROOT);
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(
                "the API's URL begins with https:// or http://, as in https://tollgate.internal:9091".to_owned()
            );
        }
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(roots)
            .unversioned_rustls_crypto_provider(crate::platform::tls::provider())
            .build();
        let settings = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .max_redirects(0)
            // A proxy of the environment must not see keys and tokens.
            .proxy(None)
            .tls_config(tls)
            .build();
        Ok(Client::There { agent: settings.into(), url: url.to_owned(), key })
    }

    /// The API in this process, for somebody who has the machine.
    ///
    /// # Errors
    /// When it cannot be set up.
    pub fn here(api: &Arc<Api>, actor: String) -> Result<Client, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| format!("cannot begin: {error}"))?;
        Ok(Client::Here { api: InProcess::new(api)?, runtime, caller: Caller::machine(actor) })
    }

    /// Asks.
    ///
    /// # Errors
    /// What the operator can do about it.
    pub fn ask<T: DeserializeOwned>(&self, asked: &Asked) -> Result<T, String> {
        let answer = match self {
            Client::There { agent, url, key } => there(agent, url, key, asked)?,
            Client::Here { api, runtime, caller } => runtime.block_on(api.ask(caller.clone(), None, asked))?,
        };
        answer.read().map_err(|told| match told {
            Some(told) => self.refusal(&told),
            None => format!("what answers is no management API of this version: it said {}", answer.status),
        })
    }

    /// A refusal as lines for a terminal.
    fn refusal(&self, told: &Told) -> String {
        let mut text = format!("{}: {}", told.title, told.detail);
        for fault in &told.errors {
            text += &format!("\n  {} {}; {}", fault.at, fault.problem, fault.fix);
        }
        if told.status == 401 {
            text += &format!("\nThe key is taken from {KEY_VARIABLE}.");
        }
        text
    }
}

fn there(agent: &ureq::Agent, url: &str, key: &str, asked: &Asked) -> Result<Answer, String> {
    let mut request = ureq::http::Request::builder()
        .method(asked.method.as_str())
        .uri(format!("{url}{}", asked.target()))
        .header("Authorization", format!("Bearer {key}"));
    for (name, value) in headers(asked)?.iter() {
        request = request.header(name.as_str(), value.as_bytes());
    }
    let answered = match &asked.body {
        Some(body) => request.body(body.to_string()).map_err(|error| error.to_string()).and_then(|request| {
            agent.run(request).map_err(|error| format!("the API at {url} does not answer: {error}"))
        }),
        None => request.body(()).map_err(|error| error.to_string()).and_then(|request| {
            agent.run(request).map_err(|error| format!("the API at {url} does not answer: {error}"))
        }),
    };
    let mut answered = answered?;
    let limit = u64::try_from(MAX_ANSWER_BYTES).unwrap_or(u64::MAX);
    let body = answered.body_mut().with_config().limit(limit).read_to_vec();
    let body = body.map_err(|error| format!("the answer of {url} broke off: {error}"))?;
    Ok(Answer { status: answered.status().as_u16(), body, next: None })
}

/// The API in this process: its router, which checks whoever asks as it does with keys.
#[derive(Clone)]
pub struct InProcess(TowerToHyperService<Router>);

impl InProcess {
    /// The API over a store.
    ///
    /// # Errors
    /// When it cannot be set up.
    pub fn new(api: &Arc<Api>) -> Result<InProcess, String> {
        Ok(InProcess(TowerToHyperService::new(router(api)?)))
    }

    /// Asks for somebody, who asks from an address if there is one.
    ///
    /// # Errors
    /// That what is asked cannot be a request.
    pub async fn ask(&self, caller: Caller, from: Option<Peer>, asked: &Asked) -> Result<Answer, String> {
        let body = asked.body.as_ref().map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = Request::builder().method(asked.method.clone()).uri(asked.target()).body(body);
        let mut request = request.map_err(|error| error.to_string())?;
        request.headers_mut().extend(headers(asked)?);
        request.extensions_mut().insert(Inside(caller));
        if let Some(from) = from {
            request.extensions_mut().insert(from);
        }
        let answered = match self.0.call(request).await {
            Ok(answered) => answered,
            Err(never) => match never {},
        };
        let status = answered.status().as_u16();
        let next = next_page(answered.headers());
        let body = Limited::new(answered.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes().to_vec();
        Ok(Answer { status, body, next })
    }
}

/// The `after` of the page that `Link` names as the next (RFC 8288), for answers that cannot name it themselves.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let target = headers.get(LINK)?.to_str().ok()?.strip_prefix('<')?.split('>').next()?.to_owned();
    let query = target.split_once('?')?.1;
    url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "after").map(|(_, value)| value.into_owned())
}

fn headers(asked: &Asked) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let value = |text: &str| text.try_into().map_err(|_| "a key or a version has characters that no header can have");
    if asked.body.is_some() {
        headers.insert(CONTENT_TYPE, value("application/json")?);
    }
    if let Some(version) = &asked.version {
        headers.insert(IF_MATCH, value(version)?);
    }
    if let Some(key) = &asked.key {
        headers.insert(IDEMPOTENCY_KEY, value(key)?);
    }
    Ok(headers)
}
