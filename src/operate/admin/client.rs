//! The command line's client for the admin API of a running gateway.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::ledger::Storage;
use crate::ledger::lock::is_taken;

/// The time limit for an answer; an upgrade waits for a successor.
const PATIENCE: Duration = Duration::from_secs(45);

/// The most bytes of an answer; a page of rows is far smaller.
const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;

/// The environment variable with the admin token, if the configuration has one.
const TOKEN_VARIABLE: &str = "TOLLGATE_ADMIN_TOKEN";

/// The body of a refusal.
#[derive(serde::Deserialize)]
struct RefusalDocument {
    detail: String,
}

/// Why a running gateway has not done what it was asked.
#[derive(Debug)]
pub enum AdminClientError {
    /// The request's own body cannot be written as JSON.
    NotWritten(serde_json::Error),
    NoAnswer(SocketAddr, Box<ureq::Error>),
    /// The answer ended before its end.
    BrokenOff(SocketAddr, Box<ureq::Error>),
    /// Something else than a gateway of this version answers.
    NotUnderstood(SocketAddr),
    /// It refuses, in its own words.
    Refused(String),
    /// It wants the admin token; its own words.
    Unauthorized(String),
    /// It has nothing of the kind; what that means here.
    NotFound(&'static str),
}

impl fmt::Display for AdminClientError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdminClientError::NotWritten(error) => error.fmt(formatter),
            AdminClientError::NoAnswer(address, error) => {
                write!(formatter, "the gateway does not answer on its admin address {address}: {error}")
            }
            AdminClientError::BrokenOff(address, error) => {
                write!(formatter, "the gateway's answer on {address} broke off: {error}")
            }
            AdminClientError::NotUnderstood(address) => {
                write!(formatter, "what answers on {address} is no gateway of this version")
            }
            AdminClientError::Refused(detail) => formatter.write_str(detail),
            AdminClientError::Unauthorized(detail) => write!(formatter, "{detail} Set {TOKEN_VARIABLE} to it."),
            AdminClientError::NotFound(what) => formatter.write_str(what),
        }
    }
}

impl std::error::Error for AdminClientError {}

/// A gateway's admin listener.
pub struct Client {
    agent: ureq::Agent,
    address: SocketAddr,
    token: Option<String>,
    /// The error message for a 404.
    nothing: &'static str,
}

/// Percent-encodes a segment of a path.
pub fn encoded(segment: &str) -> String {
    percent_encoding::utf8_percent_encode(segment, percent_encoding::NON_ALPHANUMERIC).to_string()
}

impl Client {
    /// The admin listener of a configuration; `nothing` is what a 404 means.
    pub fn new(config: &Config, nothing: &'static str) -> Client {
        let settings = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            // The listener is on this machine; a proxy from the environment must not see credits.
            .proxy(None)
            .build();
        // A listener on all addresses is reached through the loopback address.
        let ip = match config.admin.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Client {
            agent: settings.into(),
            address: SocketAddr::new(ip, config.admin.port()),
            token: std::env::var(TOKEN_VARIABLE).ok(),
            nothing,
        }
    }

    /// The gateway that has the ledger of a configuration open; `None` if no process has, so that
    /// its file can be opened here. Without a file, only a running gateway has a ledger.
    pub fn of_ledger(config: &Config, nothing: &'static str) -> Option<Client> {
        let is_elsewhere = match config.ledger.as_ref().map(|settings| &settings.storage) {
            None | Some(Storage::Memory) => true,
            Some(Storage::File(file)) => is_taken(file),
        };
        is_elsewhere.then(|| Client::new(config, nothing))
    }

    /// Sends a GET.
    ///
    /// # Errors
    /// What the operator can do about it.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AdminClientError> {
        let mut request = self.agent.get(format!("http://{}{path}", self.address));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        self.read(request.call())
    }

    /// Sends a POST with a body and, if there is one, an idempotency key.
    ///
    /// # Errors
    /// What the operator can do about it.
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        key: Option<&str>,
        body: &impl Serialize,
    ) -> Result<T, AdminClientError> {
        let url = format!("http://{}{path}", self.address);
        let mut request = self.agent.post(url).header("Content-Type", "application/json");
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let body = serde_json::to_vec(body).map_err(AdminClientError::NotWritten)?;
        self.read(request.send(&body))
    }

    fn read<T: DeserializeOwned>(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, AdminClientError> {
        let address = self.address;
        let mut answer = answer.map_err(|error| AdminClientError::NoAnswer(address, error.into()))?;
        let bytes = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        let bytes = bytes.map_err(|error| AdminClientError::BrokenOff(address, error.into()))?;
        if answer.status().is_success() {
            return serde_json::from_slice(&bytes).map_err(|_| AdminClientError::NotUnderstood(address));
        }
        let refused: Option<RefusalDocument> = serde_json::from_slice(&bytes).ok();
        let detail =
            refused.map_or_else(|| format!("{address} answered {}", answer.status()), |refused| refused.detail);
        match answer.status().as_u16() {
            401 => Err(AdminClientError::Unauthorized(detail)),
            404 => Err(AdminClientError::NotFound(self.nothing)),
            _ => Err(AdminClientError::Refused(detail)),
        }
    }
}
