//! Messages that are posted to a service of the operator's, and documents that are fetched from one: HTTP and TLS by the `ureq` library, without proxies and
//! redirects, and with the authorities of a file or of the machine.

use std::path::PathBuf;
use std::time::Duration;

use super::tls::client::authorities;
use super::tls::provider;

/// The longest that a service's Retry-After is followed.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// A service.
#[derive(Debug)]
pub struct Post {
    agent: ureq::Agent,
    url: Box<str>,
}

/// Why a message was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAccepted {
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// What the service has asked for (RFC 9110, section 10.2.3).
    pub retry_after: Option<Duration>,
    /// In words, without anything of the message.
    pub why: String,
}

impl Post {
    /// A service at a URL, whose certificate an authority of a file, or of the machine, vouches for.
    pub fn to(url: &str, trusted: Option<PathBuf>, timeout: Duration, target: &'static str) -> Post {
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false);
        if url.starts_with("https:") {
            // They could be read when the configuration was; if they are gone since, nobody is trusted.
            let found = authorities(trusted.as_deref()).unwrap_or_else(|fault| {
                log::error!(target: target, "the authorities that vouch for the service cannot be read: {fault}");
                Vec::new()
            });
            let roots: Vec<_> =
                found.iter().map(|certificate| ureq::tls::Certificate::from_der(certificate).to_owned()).collect();
            let tls = ureq::tls::TlsConfig::builder()
                .unversioned_rustls_crypto_provider(provider())
                .root_certs(ureq::tls::RootCerts::new_with_certs(&roots));
            config = config.tls_config(tls.build());
        }
        Post { agent: config.build().into(), url: url.into() }
    }

    /// Sends a message; it is accepted with any status of success.
    ///
    /// # Errors
    /// Why it was not.
    pub fn send(&self, media_type: &str, headers: &[(Box<str>, Box<str>)], body: &[u8]) -> Result<(), NotAccepted> {
        let mut request = self.agent.post(&*self.url).content_type(media_type);
        for (name, value) in headers {
            request = request.header(&**name, &**value);
        }
        let answer = request.send(body).map_err(|error| NotAccepted {
            status: None,
            retry_after: None,
            why: error.to_string(),
        })?;
        let status = answer.status().as_u16();
        if (200..=299).contains(&status) {
            return Ok(());
        }
        let seconds = answer.headers().get("retry-after").and_then(|text| text.to_str().ok()?.trim().parse().ok());
        let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
        Err(NotAccepted { status: Some(status), retry_after, why: format!("it answers {status}") })
    }
}

impl Post {
    /// Sends a message, and returns what the service answers, of at most so many bytes.
    ///
    /// # Errors
    /// Why there is no answer of success, without anything of it.
    pub fn ask(
        &self,
        media_type: &str,
        headers: &[(Box<str>, Box<str>)],
        body: &[u8],
        most: usize,
    ) -> Result<Vec<u8>, String> {
        let mut request = self.agent.post(&*self.url).content_type(media_type);
        for (name, value) in headers {
            request = request.header(&**name, &**value);
        }
        let mut answer = request.send(body).map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        if status != 200 {
            return Err(format!("it answers {status}"));
        }
        let limit = u64::try_from(most).unwrap_or(u64::MAX);
        answer.body_mut().with_config().limit(limit).read_to_vec().map_err(|error| error.to_string())
    }

    /// Fetches the service's document, of at most so many bytes.
    ///
    /// # Errors
    /// Why there is none.
    pub fn fetch(&self, most: usize) -> Result<Vec<u8>, String> {
        let mut answer = self.agent.get(&*self.url).call().map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        if status != 200 {
            return Err(format!("it answers {status}"));
        }
        let limit = u64::try_from(most).unwrap_or(u64::MAX);
        answer.body_mut().with_config().limit(limit).read_to_vec().map_err(|error| error.to_string())
    }
}

/// How long is waited after a number of failures in a row: twice as long each time, up to five minutes.
pub fn pause(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(300);
    FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST)
}
