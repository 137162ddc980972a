//! The collector of OpenTelemetry that spans go to: what the configuration says of it and, where that says nothing,
//! the environment.
//!
//! A key that is written wins over its variable, as OpenTelemetry's specification has it where there is a file of
//! configuration ("Declarative configuration": the environment counts only where the file refers to it); what is
//! not written is taken from the variables that every exporter obeys ("OpenTelemetry Protocol Exporter" and
//! "Environment Variable Specification"). Without `otlp` no variable makes spans. `OTEL_SDK_DISABLED` alone
//! outdoes what is written: it is there to switch everything off at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde_json::Value;
use url::Url;

use super::common::time;
use super::fill::{duration, fill, hide, section};
use super::source::Source;
use super::tls::in_directory;
use super::upstreams::plain_value;
use crate::config::yaml::{Mistakes, Place, Written};
use crate::platform::tls::client::authorities;
use crate::policy::http::media::is_token;
use crate::telemetry::otlp::{Attributes, OtlpSettings};

/// The path of OTLP's traces where an endpoint has none.
const TRACES_PATH: &str = "/v1/traces";

/// How long a collector may take, in seconds, unless it is said otherwise: OpenTelemetry's own default.
const TIMEOUT_SECONDS: u64 = 10;

/// Headers for a collector, and attributes of the gateway.
const MAX_HEADERS: usize = 32;
const MAX_ATTRIBUTES: usize = 64;

/// Bytes of an attribute's value.
const MAX_ATTRIBUTE_BYTES: usize = 1024;

/// Headers that are the exporter's own to say.
const OWN_HEADERS: [&str; 6] =
    ["content-type", "content-length", "host", "connection", "transfer-encoding", "content-encoding"];

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::Text;
    use crate::config::yaml::{Entries, Written};

    /// An OpenTelemetry collector. Keys that are not set are read from the environment variables that are named here.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Otlp {
        /// Its URL for OTLP over HTTP with JSON, http or https; the default path is /v1/traces.
        /// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, or OTEL_EXPORTER_OTLP_ENDPOINT with /v1/traces appended.
        pub endpoint: Written<String>,
        /// Headers of each request; ${env:NAME} and ${file:PATH} work as in add_headers. OTEL_EXPORTER_OTLP_HEADERS.
        /// Default: none.
        pub headers: Entries<String>,
        /// A PEM file of the authorities that verify the collector. OTEL_EXPORTER_OTLP_CERTIFICATE. Default: those
        /// that this machine trusts.
        pub ca: Written<String>,
        /// The time limit for a request. OTEL_EXPORTER_OTLP_TIMEOUT, in milliseconds. Default: 10s.
        pub timeout: Text<Duration>,
        /// The share of requests that get spans; those with an unsampled traceparent get none. Default: 1.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub sample: Written<f64>,
        /// Requests with a sampled traceparent always get spans; only for gateways that trusted clients use, since any
        /// client can set it. Default: false.
        pub trust_sampled: Written<bool>,
        /// The service.name of this gateway. OTEL_SERVICE_NAME. Default: tollgate.
        pub service_name: Written<String>,
        /// More attributes of this gateway, as in deployment.environment.name: production. OTEL_RESOURCE_ATTRIBUTES.
        /// Default: none.
        pub resource_attributes: Entries<String>,
    }
}

/// The environment, as a function of a variable's name.
pub type Variables<'v> = &'v dyn Fn(&str) -> Option<String>;

/// The environment of the process.
pub fn of_the_process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What is known of a collector while it is compiled.
struct Draft<'d> {
    variables: Variables<'d>,
    /// Where `otlp` is written: variables have no place.
    place: Place,
    mistakes: &'d mut Mistakes,
}

/// Compiles where spans go; `None` where they go nowhere.
pub fn compile(
    place: Place,
    otlp: written::Otlp,
    source: &Source,
    variables: Variables<'_>,
    mistakes: &mut Mistakes,
) -> Option<OtlpSettings> {
    let mut draft = Draft { variables, place, mistakes };
    let endpoint = draft.endpoint(otlp.endpoint);
    let headers = draft.headers(otlp.headers.0);
    let timeout = draft.timeout(otlp.timeout);
    let authorities = draft.authorities(otlp.ca, source, endpoint.as_deref());
    let attributes = draft.attributes(otlp.resource_attributes.0);
    let service_name = otlp.service_name.take().or_else(|| draft.variable("OTEL_SERVICE_NAME"));
    draft.look_at_protocol();
    if draft.variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        draft.mistakes.warn(draft.place, "sends nothing, since the variable OTEL_SDK_DISABLED says so");
        return None;
    }
    let named = attributes.iter().find(|(name, _)| &**name == "service.name").map(|(_, value)| value.clone());
    Some(OtlpSettings {
        endpoint: endpoint?,
        headers: headers.into(),
        authorities,
        timeout,
        service_name: service_name.map(Into::into).or(named).unwrap_or_else(|| "tollgate".into()),
        attributes: attributes.into(),
    })
}

impl Draft<'_> {
    /// A variable that is set; a blank one counts as unset ("Parsing empty value").
    fn variable(&self, name: &str) -> Option<String> {
        (self.variables)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// What the exporter of traces is told, or every exporter; and the name of the variable that says so.
    fn exporters(&self, what: &str) -> Option<(String, String)> {
        let names = [format!("OTEL_EXPORTER_OTLP_TRACES_{what}"), format!("OTEL_EXPORTER_OTLP_{what}")];
        names.into_iter().find_map(|name| self.variable(&name).map(|value| (name, value)))
    }

    /// Says what is wrong with a variable, and never shows its value.
    fn blame(&mut self, variable: &str, what: &str) {
        self.mistakes.push(self.place.clone(), format!("has its value from the variable {variable}, which {what}"));
    }

    fn endpoint(&mut self, written: Written<String>) -> Option<Box<str>> {
        const WANTED: &str = "is not the URL of a collector; write one as in http://127.0.0.1:4318 or https://otlp.example.com, and put credentials into `headers`";
        if let Written::Here(text, place) = written {
            let url = collector(&text, |url| {
                if url.path() == "/" {
                    url.set_path(TRACES_PATH);
                }
            });
            if url.is_none() {
                self.mistakes.push(place, WANTED);
            }
            return url;
        }
        if !written.is_missing() {
            return None;
        }
        let Some((name, text)) = self.exporters("ENDPOINT") else {
            let what = "is missing; write where the collector is, as in http://127.0.0.1:4318, or set OTEL_EXPORTER_OTLP_ENDPOINT";
            self.mistakes.push(self.place.key("endpoint"), what);
            return None;
        };
        // That of traces is the whole URL, that of all signals what their paths are added to.
        let url = collector(&text, |url| {
            if !name.contains("TRACES") {
                let base = url.path().trim_end_matches('/').to_owned();
                url.set_path(&format!("{base}{TRACES_PATH}"));
            }
        });
        if url.is_none() {
            self.blame(&name, "is not the URL of a collector; set one as in http://127.0.0.1:4318");
        }
        url
    }

    fn headers(&mut self, written: Vec<(String, Place, String)>) -> Vec<(Box<str>, Box<str>)> {
        let mut headers: Vec<(Box<str>, Box<str>)> = Vec::new();
        if written.is_empty() {
            let Some((variable, text)) = self.exporters("HEADERS") else { return headers };
            match pairs(&text) {
                Some(pairs) => {
                    for (name, value) in pairs {
                        match header(&name, &value, &headers) {
                            Ok(header) => headers.push(header),
                            Err(what) => self.blame(&variable, &format!("has a header that {what}")),
                        }
                    }
                }
                None => self.blame(&variable, "is not a list of headers; set it as in name=value,other=value"),
            }
            return headers;
        }
        for (name, place, value) in written {
            match header(&name, &value, &headers) {
                Ok(header) => headers.push(header),
                Err(what) => self.mistakes.push(place, what),
            }
        }
        headers
    }

    fn attributes(&mut self, written: Vec<(String, Place, String)>) -> Attributes {
        let mut attributes = Attributes::new();
        if written.is_empty() {
            let Some(text) = self.variable("OTEL_RESOURCE_ATTRIBUTES") else { return attributes };
            let pairs = pairs(&text).filter(|pairs| pairs.len() <= MAX_ATTRIBUTES);
            match pairs.filter(|pairs| pairs.iter().all(|(name, value)| is_attribute(name, value))) {
                Some(pairs) => {
                    // Of one that is set twice the last counts.
                    for (name, value) in pairs {
                        attributes.retain(|(known, _)| **known != *name);
                        attributes.push((name.into(), value.into()));
                    }
                }
                None => self.blame(
                    "OTEL_RESOURCE_ATTRIBUTES",
                    "is not a list of attributes; set it as in deployment.environment.name=production,region=eu",
                ),
            }
            return attributes;
        }
        for (name, place, value) in written {
            if !is_attribute(&name, &value) {
                let what = format!(
                    "is not an attribute; write a name without spaces, and up to {MAX_ATTRIBUTE_BYTES} bytes of text"
                );
                self.mistakes.push(place, what);
            } else if attributes.len() == MAX_ATTRIBUTES {
                self.mistakes.push(place, format!("is one attribute too many; {MAX_ATTRIBUTES} can be told"));
                break;
            } else {
                attributes.push((name.into(), value.into()));
            }
        }
        attributes
    }

    fn timeout(&mut self, written: super::units::Text<Duration>) -> Duration {
        let variable = if written.is_missing() { self.exporters("TIMEOUT") } else { None };
        let Some((name, text)) = variable else { return time(written, TIMEOUT_SECONDS, self.mistakes) };
        let milliseconds = text.parse().ok().filter(|milliseconds| (50..=3_600_000).contains(milliseconds));
        if milliseconds.is_none() {
            self.blame(&name, "is not a number of milliseconds; set one from 50 to 3600000");
        }
        milliseconds.map_or(Duration::from_secs(TIMEOUT_SECONDS), Duration::from_millis)
    }

    /// The file of the authorities, for a collector that speaks TLS.
    fn authorities(&mut self, written: Written<String>, source: &Source, endpoint: Option<&str>) -> Option<PathBuf> {
        let is_tls = endpoint?.starts_with("https:");
        let place = written.place().cloned();
        if let Some(place) = place.clone().filter(|_| !is_tls) {
            self.mistakes.push(place, "is for a collector with TLS; write https in `endpoint`, or remove it");
            return None;
        }
        if !is_tls {
            return None;
        }
        let variable = if written.is_missing() { self.exporters("CERTIFICATE") } else { None };
        let file = match (&variable, written.take()) {
            (Some((_, path)), _) => Some(Path::new(path).to_owned()),
            (None, Some(name)) => Some(in_directory(source, name)),
            (None, None) => None,
        };
        if let Err(fault) = authorities(file.as_deref()) {
            match (&variable, place) {
                (Some((name, _)), _) => self.blame(name, &format!("names a file that {}", fault.what)),
                (None, place) => self.mistakes.push(place.unwrap_or_else(|| self.place.clone()), fault.at_its_key()),
            }
        }
        file
    }

    fn look_at_protocol(&mut self) {
        if let Some((name, protocol)) = self.exporters("PROTOCOL")
            && protocol != "http/json"
        {
            let what = format!("sends http/json, whatever the variable {name} says");
            self.mistakes.warn(self.place.clone(), what);
        }
    }
}

/// The URL of a collector, with its path made whole; `None` if it is none.
fn collector(text: &str, whole: impl FnOnce(&mut Url)) -> Option<Box<str>> {
    let mut url = plain_url(text)?;
    whole(&mut url);
    Some(url.as_str().into())
}

/// A URL of http or https that has a host and nothing that could be a secret: what proves who asks belongs into headers,
/// which are never shown.
pub(super) fn plain_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain).then_some(url)
}

/// The names and values of `name=value,name=value`, which are percent-encoded (W3C Baggage); `None` if it is
/// something else.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let decoded = |text: &str| Some(percent_decode_str(text.trim()).decode_utf8().ok()?.into_owned());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((decoded(name)?, decoded(value)?))
    };
    text.split(',').filter(|part| !part.trim().is_empty()).map(pair).collect()
}

/// A header beside others.
pub(super) fn header(name: &str, value: &str, known: &[(Box<str>, Box<str>)]) -> Result<(Box<str>, Box<str>), String> {
    if !is_token(name.as_bytes()) {
        return Err("is not a header's name; use letters, digits and hyphens, as in X-Api-Key".to_owned());
    }
    if OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return Err("is set by the exporter itself; remove it".to_owned());
    }
    if known.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
        return Err("is there already; remove it".to_owned());
    }
    if known.len() == MAX_HEADERS {
        return Err(format!("is one header too many; {MAX_HEADERS} can be sent"));
    }
    Ok((name.into(), plain_value(value)?))
}

fn is_attribute(name: &str, value: &str) -> bool {
    let is_name = !name.is_empty() && name.len() <= 256 && name.bytes().all(|byte| byte.is_ascii_graphic());
    is_name && value.len() <= MAX_ATTRIBUTE_BYTES && !value.chars().any(char::is_control)
}

/// Shows what is not written, and hides what is secret. What only the environment says of headers and authorities
/// stays there.
pub fn fill_in(tracing: &mut Value, settings: &OtlpSettings) {
    let otlp = section(tracing, "otlp");
    fill(otlp, "endpoint", &*settings.endpoint);
    fill(otlp, "timeout", duration(settings.timeout));
    fill(otlp, "service_name", &*settings.service_name);
    let written = otlp.get_mut("headers").and_then(Value::as_object_mut);
    for (name, value) in written.into_iter().flatten() {
        hide(value, &["tracing", "otlp", "headers", name]);
    }
}

#[cfg(test)]
#[path = "collector_tests.rs"]
mod tests;
