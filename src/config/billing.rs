//! Where usage goes for billing: `billing`, as it is written, compiled and shown.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::collector::{header, plain_url};
use super::common::{number, time};
use super::fill::{duration, fill, hide};
use super::source::Source;
use super::tls::in_directory;
use crate::config::yaml::{Entries, Mistakes, Place, Written};
use crate::platform::tls::client::authorities;

/// How long the receiver may take, in seconds, unless it is said otherwise.
const TIMEOUT_SECONDS: u64 = 10;

/// Events of a batch, unless it is said otherwise, and at the most.
const BATCH: u32 = 200;
const MOST_OF_BATCH: u32 = 1000;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::Text;
    use crate::config::yaml::{Entries, Written};

    /// Where usage by the hour goes for billing, as batches of CloudEvents 1.0 in JSON; it needs `store`.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["url"]))]
    pub struct Billing {
        /// The URL of the receiver, https, or http on this machine.
        pub url: Written<String>,
        /// Headers of each batch; ${env:NAME} and ${file:PATH} work as in add_headers. Default: none.
        pub headers: Entries<String>,
        /// A PEM file of the authorities that verify the receiver. Default: those that this machine trusts.
        pub ca: Written<String>,
        /// The time limit for a batch. Default: 10s.
        pub timeout: Text<Duration>,
        /// Events of a batch, from 1 to 1000. Default: 200.
        #[schemars(range(min = 1, max = 1000))]
        pub batch: Written<u32>,
        /// The source of the events. Default: public_url.
        pub source: Written<String>,
    }
}

/// Where usage goes.
#[derive(Clone, PartialEq, Eq)]
pub struct BillingSettings {
    pub url: Box<str>,
    /// Their values are secrets.
    pub headers: Box<[(Box<str>, Box<str>)]>,
    /// The PEM file of the authorities; `None`: those of the machine.
    pub authorities: Option<PathBuf>,
    pub timeout: Duration,
    /// Events of a batch.
    pub batch: u32,
    pub source: Box<str>,
}

impl fmt::Debug for BillingSettings {
    /// Shows no header's value.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BillingSettings({}, {} headers ***)", self.url, self.headers.len())
    }
}

/// Compiles `billing` beside the URL of clients, and whether there is a store; there is none unless it is written.
pub fn billing(
    billing: Written<written::Billing>,
    (public_url, has_store): (&str, bool),
    source: &Source,
    mistakes: &mut Mistakes,
) -> Option<BillingSettings> {
    let place = billing.place()?.clone();
    if !has_store {
        let what = "sends what is in the store, and there is none; add one, as in store: { sqlite: tollgate.db }";
        mistakes.push(place.clone(), what);
    }
    let written::Billing { url, headers, ca, timeout, batch, source: of_events } = billing.take()?;
    let url = service_url(url, &place, mistakes);
    let headers = service_headers(headers, mistakes);
    let timeout = time(timeout, TIMEOUT_SECONDS, mistakes);
    let batch = number(batch, BATCH, 1..=MOST_OF_BATCH, mistakes);
    let at = of_events.place().cloned();
    let of_events = of_events.take().unwrap_or_else(|| public_url.to_owned());
    if let Some(at) = at
        && (of_events.trim().is_empty() || of_events.len() > 1024 || of_events.chars().any(char::is_control))
    {
        mistakes.push(at, "is not the source of events; write a URL, as in https://api.example.com");
    }
    let authorities = service_authorities(ca, url.as_deref(), &place, source, mistakes);
    Some(BillingSettings { url: url?, headers, authorities, timeout, batch, source: of_events.into() })
}

/// The URL of a service of the operator's, which has TLS unless it is on this machine.
pub fn service_url(url: Written<String>, parent: &Place, mistakes: &mut Mistakes) -> Option<Box<str>> {
    const WANTED: &str = "write the URL of a service, as in https://billing.example.com/events";
    let at = url.place().cloned().unwrap_or_default();
    let text = url.require(parent, "url", WANTED, mistakes)?;
    let Some(url) = plain_url(&text) else {
        mistakes.push(at, format!("is not a URL of http or https without a user, a query and a fragment; {WANTED}"));
        return None;
    };
    if url.scheme() != "https" && !is_here(&url) {
        mistakes.push(at, "is sent in the clear to another machine; write https");
        return None;
    }
    Some(url.as_str().into())
}

fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Headers of requests to a service.
pub fn service_headers(written: Entries<String>, mistakes: &mut Mistakes) -> Box<[(Box<str>, Box<str>)]> {
    let mut headers: Vec<(Box<str>, Box<str>)> = Vec::new();
    for (name, place, value) in written.0 {
        match header(&name, &value, &headers) {
            Ok(header) => headers.push(header),
            Err(what) => mistakes.push(place, what),
        }
    }
    headers.into()
}

/// The file of the authorities of a service with TLS.
pub fn service_authorities(
    ca: Written<String>,
    url: Option<&str>,
    parent: &Place,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Option<PathBuf> {
    let place = ca.place().cloned();
    if !url?.starts_with("https:") {
        if let Some(place) = place {
            mistakes.push(place, "is for a service with TLS; write https in `url`, or remove it");
        }
        return None;
    }
    let file = ca.take().map(|name| in_directory(source, name));
    if let Err(fault) = authorities(file.as_deref()) {
        mistakes.push(place.unwrap_or_else(|| parent.clone()), fault.what);
    }
    file
}

/// Shows what is not written, and hides what is secret.
pub fn fill_in(billing: &mut Value, settings: &BillingSettings) {
    fill(billing, "timeout", duration(settings.timeout));
    fill(billing, "batch", settings.batch);
    fill(billing, "source", &*settings.source);
    let written = billing.get_mut("headers").and_then(Value::as_object_mut);
    for (name, value) in written.into_iter().flatten() {
        hide(value, &["billing", "headers", name]);
    }
}
