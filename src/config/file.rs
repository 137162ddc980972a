//! The configuration exactly as it is written: one type for each mapping of the YAML.
//!
//! The keys, their meaning and their defaults stand in `config/gateway.yaml`, which a test compares
//! with these types. What the values mean together is `compile.rs`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::units::{Bytes, Decimal, FromText, HeaderName, Mode, Parsed, PerPeriod, PublicUrl, RouteText};
use crate::account::{Digest, Expiry};
use crate::check::domain::Pattern;
use crate::check::media::MediaType;
use crate::policy::upstream::Address;
use crate::problem::Status as ProblemStatus;
use crate::site::colour::Colour;
use crate::status::notice::Moment;
use crate::yaml::{Entries, Listed, Place, TEXT_OR_KEYS, Written};

/// A value written as one text.
pub type Text<T> = Written<Parsed<T>>;

/// A list of values written as one text each.
pub type Texts<T> = Written<Listed<Parsed<T>>>;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    pub listen: Text<SocketAddr>,
    pub h2c: Written<bool>,
    pub listeners: Written<Listed<Listener>>,
    pub workers: Written<usize>,
    pub admin: Text<SocketAddr>,
    pub admin_exposed: Written<bool>,
    pub admin_token: Text<Digest>,
    pub public_url: Text<PublicUrl>,
    pub pages: Written<Pages>,
    pub trusted_proxies: Texts<IpNet>,
    pub limits: Written<Limits>,
    pub upstreams: Entries<Upstream>,
    pub products: Entries<Product>,
    pub problems: Entries<Problem>,
    pub ledger: Written<Ledger>,
    pub enquiry_rate: Written<Rate>,
    pub status: Written<Status>,
    pub accounts: Entries<Account>,
    pub include: Written<Listed<String>>,
}

/// One more address or path where clients connect.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listener {
    pub address: Text<SocketAddr>,
    pub unix: Written<String>,
    pub mode: Text<Mode>,
    pub h2c: Written<bool>,
    pub tls: Written<ListenerTls>,
    pub proxy_protocol: Written<ProxyProtocol>,
    pub serves: Written<Serves>,
}

/// What clients of a listener get.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Serves {
    All,
    Lookups,
    Pages,
}

/// The pages for people: where, and how they look.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pages {
    pub serve: Written<bool>,
    pub path: Written<String>,
    pub api_url: Text<PublicUrl>,
    pub name: Written<String>,
    pub logo: Written<String>,
    pub colours: Written<Colours>,
    pub support: Written<Support>,
    pub extra: Written<Listed<ExtraPage>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Colours {
    pub light: Written<Palette>,
    pub dark: Written<Palette>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Palette {
    pub text: Text<Colour>,
    pub background: Text<Colour>,
    pub accent: Text<Colour>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Support {
    pub email: Written<String>,
    pub url: Text<PublicUrl>,
}

/// A page of the operator's own words.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExtraPage {
    pub title: Written<String>,
    pub slug: Written<String>,
    pub file: Written<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerTls {
    pub certificates: Written<Listed<CertificatePair>>,
    pub client_ca: Written<String>,
    pub client_certificate: Written<ClientCertificate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CertificatePair {
    pub certificate: Written<String>,
    pub key: Written<String>,
}

/// Whether clients must have a certificate.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificate {
    Optional,
    Required,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyProtocol {
    pub from: Texts<IpNet>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub header_bytes: Text<Bytes>,
    pub headers: Written<usize>,
    pub target_bytes: Text<Bytes>,
    pub head_timeout: Text<Duration>,
    pub handshake_timeout: Text<Duration>,
    pub body_timeout: Text<Duration>,
    pub idle_timeout: Text<Duration>,
    pub write_timeout: Text<Duration>,
    pub connections: Written<usize>,
    pub requests: Written<usize>,
    pub response_bytes: Text<Bytes>,
    pub drain_bytes: Text<Bytes>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    pub servers: Written<Listed<Server>>,
    pub resolve_every: Text<Duration>,
    pub host: Written<String>,
    pub tls: Written<UpstreamTls>,
    pub connect_timeout: Text<Duration>,
    pub idle_timeout: Text<Duration>,
    pub slow_after: Text<Duration>,
    pub add_headers: Entries<String>,
    pub health_check: Written<HealthCheck>,
    pub ejection: Written<Ejection>,
    pub breaker: Written<Breaker>,
}

/// A server: its address alone, or a mapping.
#[derive(Debug, Default)]
pub struct Server {
    pub address: Text<Address>,
    pub weight: Written<u32>,
    pub max_requests: Written<u32>,
}

impl<'de> Deserialize<'de> for Server {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Keys {
            address: Text<Address>,
            weight: Written<u32>,
            max_requests: Written<u32>,
        }
        struct ServerVisitor;
        impl<'de> serde::de::Visitor<'de> for ServerVisitor {
            type Value = Server;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an address, or a mapping")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Server, E> {
                let address = Address::from_text(text).map_err(E::custom)?;
                Ok(Server { address: Written::Here(Parsed(address), Place::default()), ..Server::default() })
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, access: A) -> Result<Server, A::Error> {
                let Keys { address, weight, max_requests } =
                    Keys::deserialize(serde::de::value::MapAccessDeserializer::new(access))?;
                Ok(Server { address, weight, max_requests })
            }
        }
        deserializer.deserialize_struct(TEXT_OR_KEYS, &["address", "weight", "max_requests"], ServerVisitor)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthCheck {
    pub path: Written<String>,
    pub status: Written<u32>,
    pub tcp: Written<bool>,
    pub interval: Text<Duration>,
    pub timeout: Text<Duration>,
    pub failures: Written<u32>,
    pub successes: Written<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ejection {
    pub failures: Written<u32>,
    pub time: Text<Duration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Breaker {
    pub failures: Written<u32>,
    pub error_percent: Written<u32>,
    pub window: Text<Duration>,
    pub min_requests: Written<u32>,
    pub open_for: Text<Duration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTls {
    pub ca: Written<String>,
    pub server_name: Written<String>,
    pub certificate: Written<String>,
    pub key: Written<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Product {
    pub upstream: Written<String>,
    pub routes: Texts<RouteText>,
    pub token_headers: Texts<HeaderName>,
    pub accept: Texts<MediaType>,
    pub content_type: Texts<MediaType>,
    pub deadline: Written<Deadline>,
    pub headers: Entries<HeaderRule>,
    pub body: Written<Body>,
    pub answer_schema: Written<serde_json::Value>,
    pub credits: Written<Credits>,
    pub preflight_max_age: Text<Duration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Deadline {
    pub header: Text<HeaderName>,
    pub min: Text<Duration>,
    pub max: Text<Duration>,
    pub default: Text<Duration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderRule {
    pub pattern: Written<String>,
    pub max: Written<usize>,
    pub one_of: Written<Listed<String>>,
    pub ignore_case: Written<bool>,
    pub echo: Written<bool>,
    pub problem: Written<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Body {
    pub max: Text<Bytes>,
    pub schema: Written<serde_json::Value>,
    pub strict: Written<bool>,
    pub problems: Written<Listed<BodyProblem>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BodyProblem {
    pub at: Written<String>,
    pub when: Written<When>,
    pub problem: Written<String>,
}

/// What a product's lookups cost.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Credits {
    pub hold: Written<Listed<PriceLine>>,
    pub price: Written<Listed<PriceLine>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriceLine {
    pub add: Written<u32>,
    pub set: Written<u32>,
    #[serde(rename = "if")]
    pub condition: Written<Condition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Condition {
    pub request: Written<String>,
    pub answer: Written<String>,
    pub is: Written<serde_json::Value>,
    pub one_of: Written<Listed<serde_json::Value>>,
    pub ignore_case: Written<bool>,
    pub filled: Written<bool>,
    pub all: Written<Listed<Condition>>,
    pub any: Written<Listed<Condition>>,
    pub not: Written<Box<Condition>>,
}

/// Where and how credits are written down.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ledger {
    pub file: Written<String>,
    pub durability: Written<Durability>,
    pub volatile: Written<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    Batch,
    Each,
}

/// What the status pages say beside what was counted.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Status {
    pub objective: Text<Decimal>,
    pub min_failures: Written<u64>,
    pub burn_rates: Written<Listed<BurnRate>>,
    pub notes: Written<Listed<StatusNote>>,
    pub maintenance: Written<Listed<StatusMaintenance>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BurnRate {
    pub rate: Text<Decimal>,
    pub long: Text<Duration>,
    pub short: Text<Duration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatusNote {
    pub at: Text<Moment>,
    pub until: Text<Moment>,
    pub product: Written<String>,
    pub text: Written<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatusMaintenance {
    pub from: Text<Moment>,
    pub to: Text<Moment>,
    pub product: Written<String>,
    pub text: Written<String>,
}

/// What an account has of a product: credits, or no need of any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Funds {
    FirstGrant(u64),
    Unmetered,
}

impl<'de> Deserialize<'de> for Funds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Funds, D::Error> {
        struct FundsVisitor;
        impl serde::de::Visitor<'_> for FundsVisitor {
            type Value = Funds;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a whole number of credits, or unmetered")
            }

            fn visit_u64<E>(self, credits: u64) -> Result<Funds, E> {
                Ok(Funds::FirstGrant(credits))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Funds, E> {
                const WANTED: &str = "is neither; write a whole number of credits, or unmetered";
                if text == "unmetered" { Ok(Funds::Unmetered) } else { Err(E::custom(WANTED)) }
            }
        }
        deserializer.deserialize_any(FundsVisitor)
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    Any,
    Missing,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Problem {
    pub status: Text<ProblemStatus>,
    pub title: Written<String>,
    pub detail: Written<String>,
    pub meaning: Written<String>,
    pub causes: Written<Listed<String>>,
    pub remedy: Written<Listed<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Account {
    pub rate: Written<Rate>,
    pub credits: Entries<Funds>,
    pub tokens: Written<Listed<Token>>,
}

/// One line of a JSON Lines file: an account with its name.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountLine {
    pub name: Written<String>,
    pub rate: Written<Rate>,
    pub credits: Entries<Funds>,
    pub tokens: Written<Listed<Token>>,
}

/// An included YAML file: accounts alone.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountsFile {
    pub accounts: Entries<Account>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rate {
    pub limit: Text<PerPeriod>,
    pub burst: Written<NonZeroU32>,
    pub unlimited: Written<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Token {
    pub name: Written<String>,
    pub hash: Text<Digest>,
    pub products: Written<Listed<String>>,
    pub disabled: Written<bool>,
    pub expires: Text<Expiry>,
    pub networks: Texts<IpNet>,
    pub domains: Texts<Pattern>,
    pub absent: Written<Absent>,
}

/// What a token with a list of domains does with requests that have neither Origin nor Referer.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Absent {
    Allow,
    Deny,
}
