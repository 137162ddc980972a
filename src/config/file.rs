//! The configuration exactly as it is written: one type for each mapping of the YAML.
//!
//! The keys, their meaning and their defaults stand in `config/gateway.yaml`, which a test compares
//! with these types. What the values mean together is `compile.rs`. The comments at the fields are what
//! editors show: `schema.rs` makes the JSON Schema of the configuration from these very types, so that
//! a key cannot be without words.
#![deny(clippy::missing_docs_in_private_items)]

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::units::{Bytes, Decimal, FromText, HeaderName, HostName, Mode, Parsed, PerPeriod, PublicUrl, RouteText};
use crate::config::yaml::{Entries, Listed, Place, TEXT_OR_KEYS, Written};
use crate::policy::account::{Digest, Expiry};
use crate::policy::check::domain::Pattern;
use crate::policy::http::media::MediaType;
use crate::policy::problem::Status as ProblemStatus;
use crate::site::colour::Colour;
use crate::site::status::notice::Moment;
use crate::upstream::settings::Address;

/// A value written as one text.
pub type Text<T> = Written<Parsed<T>>;

/// A list of values written as one text each.
pub type Texts<T> = Written<Listed<Parsed<T>>>;

/// The whole file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["public_url", "upstreams", "products"]))]
pub struct File {
    /// Where clients connect: an address and a port. Default: 127.0.0.1:8080, or none beside
    /// `listeners`.
    pub listen: Text<SocketAddr>,
    /// Speak HTTP/2 without TLS as well; clients must know beforehand. Default: false.
    pub h2c: Written<bool>,
    /// More listeners, beside `listen` or instead of it. Default: none.
    #[schemars(length(min = 1, max = super::listeners::MAX_LISTENERS))]
    pub listeners: Written<Listed<Listener>>,
    /// Threads that serve clients. Default: one for each core.
    #[schemars(range(min = 1, max = super::compile::MAX_WORKERS))]
    pub workers: Written<usize>,
    /// Where operators connect: /healthz, /metrics, /upstreams and the credits of accounts. Default:
    /// 127.0.0.1:9901.
    pub admin: Text<SocketAddr>,
    /// Let `admin` be an address that other machines can reach. Default: false.
    pub admin_exposed: Written<bool>,
    /// The digest of a token that operators must show for everything but /healthz and /metrics, as
    /// `tollgate token hash` prints it. Default: none is needed, but an exposed listener tells nothing of
    /// credits and upstreams without one.
    pub admin_token: Text<Digest>,
    /// Names by which operators reach `admin`, beside its address and localhost: a request for another
    /// name could be a web page's. Default: none.
    #[schemars(length(max = super::compile::MAX_ADMIN_HOSTS))]
    pub admin_hosts: Texts<HostName>,
    /// What links to problem pages begin with. No default.
    pub public_url: Text<PublicUrl>,
    /// What problem pages and reference pages look like, and where they are served.
    pub pages: Written<Pages>,
    /// Proxies in front of this gateway, whose X-Forwarded-For is believed: addresses and networks.
    /// Default: none.
    #[schemars(length(min = 1))]
    pub trusted_proxies: Texts<IpNet>,
    /// What one request or connection may use.
    pub limits: Written<Limits>,
    /// How long requests in flight may go on after a SIGTERM or an upgrade; the process ends as soon as
    /// the last connection is closed. Default: as long as the longest deadline and an answer can take,
    /// and 1s more.
    pub grace: Text<Duration>,
    /// Backends, which speak HTTP/1.1, each with a name of your choice.
    #[schemars(extend("minProperties" = 1))]
    pub upstreams: Entries<Upstream>,
    /// Lookup APIs, each with a name of your choice.
    #[schemars(extend("minProperties" = 1, "maxProperties" = crate::policy::account::MAX_PRODUCTS))]
    pub products: Entries<Product>,
    /// The products' own problems, and your words for any row; `tollgate problems` lists the built-in
    /// ones.
    pub problems: Entries<Problem>,
    /// Where credits are written down, which is needed as soon as an account has any. What accounts
    /// have used of their rates is kept there as well.
    pub ledger: Written<Ledger>,
    /// How often an account may ask for GET /account/credits, which answers its balances and its rate.
    /// Default: { limit: 60/min, burst: 10 }.
    pub enquiry_rate: Written<Rate>,
    /// Figures of accounts and tokens beside those of products. Default: none.
    pub metrics: Written<Metrics>,
    /// One line of JSON for each request. Default: none.
    pub access_log: Written<AccessLog>,
    /// Traces by W3C Trace Context.
    pub tracing: Written<Tracing>,
    /// The status pages, made from the requests that are served.
    pub status: Written<Status>,
    /// Customers, each with a name of your choice.
    pub accounts: Entries<Account>,
    /// More accounts: YAML files with a key `accounts`, and JSON Lines files (.jsonl) with one account a
    /// line. Paths and patterns of paths, from this file's directory.
    pub include: Written<Listed<String>>,
}

/// One more address or path where clients connect.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["address"]}, {"required": ["unix"]}]))]
pub struct Listener {
    /// An address and a port, IPv4 or IPv6; `[::]:443` takes both.
    pub address: Text<SocketAddr>,
    /// The path of a Unix socket, from this file's directory. Its peers have no address and are
    /// trusted like `trusted_proxies`.
    #[schemars(regex(pattern = r"\S"))]
    pub unix: Written<String>,
    /// Who may connect to the Unix socket, in octal digits. Default: "0660".
    pub mode: Text<Mode>,
    /// HTTP/2 without TLS as well. Default: false.
    pub h2c: Written<bool>,
    /// TLS 1.2 and 1.3, with HTTP/2 and HTTP/1.1. Default: none.
    pub tls: Written<ListenerTls>,
    /// Connections begin with a PROXY header, version 1 or 2, whose address counts as the peer's.
    /// Default: they do not.
    pub proxy_protocol: Written<ProxyProtocol>,
    /// What clients get there. Default: all, or lookups as soon as another listener says pages.
    pub serves: Written<Serves>,
}

/// What clients of a listener get.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Serves {
    /// Products and pages.
    All,
    /// Products alone.
    Lookups,
    /// Pages alone.
    Pages,
}

/// The pages for people: where, and how they look.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pages {
    /// Whether there are any. Default: true.
    pub serve: Written<bool>,
    /// What requests for them begin with. Default: the path of `public_url`, which is right unless a proxy
    /// in front cuts a part of it off; / is the root.
    pub path: Written<String>,
    /// Where clients send their lookups, as examples and OpenAPI name it. Default: `public_url` without
    /// `path`.
    pub api_url: Text<PublicUrl>,
    /// What the service is called. Default: API.
    pub name: Written<String>,
    /// An SVG or PNG file beside this one, at most 256KiB. Default: none.
    pub logo: Written<String>,
    /// Colours for light and dark screens. Text and accent must have a contrast of 4.5 with the background.
    pub colours: Written<Colours>,
    /// Whom readers can ask, at the foot of every page. Default: nobody.
    pub support: Written<Support>,
    /// Pages of your own in the menu, at /pages/ and their slug: Markdown files beside this one. Default:
    /// none.
    pub extra: Written<Listed<ExtraPage>>,
}

/// Colours of the pages.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Colours {
    /// For light screens.
    pub light: Written<Palette>,
    /// For dark screens.
    pub dark: Written<Palette>,
}

/// Colours for one kind of screen.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Palette {
    /// Of text, in hexadecimal digits.
    pub text: Text<Colour>,
    /// Of what is behind it, in hexadecimal digits.
    pub background: Text<Colour>,
    /// Of links, in hexadecimal digits.
    pub accent: Text<Colour>,
}

/// Whom readers can ask.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Support {
    /// An address of mail.
    pub email: Written<String>,
    /// A page where they can ask.
    pub url: Text<PublicUrl>,
}

/// A page of the operator's own words.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["title", "slug", "file"]))]
pub struct ExtraPage {
    /// What the menu calls it.
    pub title: Written<String>,
    /// The last part of its path.
    pub slug: Written<String>,
    /// A Markdown file beside this one. HTML in it is shown as text.
    pub file: Written<String>,
}

/// How clients speak TLS with a listener.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["certificates"]))]
pub struct ListenerTls {
    /// A client gets the certificate that has the name it asks for, exactly or by a wildcard; the first
    /// is for all others. Files that change are taken over within seconds.
    #[schemars(length(min = 1))]
    pub certificates: Written<Listed<CertificatePair>>,
    /// A PEM file of the authorities that clients' certificates must come from. Default: clients are
    /// not asked for one.
    pub client_ca: Written<String>,
    /// With `client_ca`: whether clients must have a certificate. Default: required.
    pub client_certificate: Written<ClientCertificate>,
}

/// A certificate and its key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["certificate", "key"]))]
pub struct CertificatePair {
    /// A PEM file of its own certificate, and behind it those up to its authority.
    pub certificate: Written<String>,
    /// A PEM file of its private key, without a passphrase.
    pub key: Written<String>,
}

/// Whether clients must have a certificate.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificate {
    /// They may have one.
    Optional,
    /// They must have one.
    Required,
}

/// The PROXY protocol of a listener.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyProtocol {
    /// The proxies that say so: addresses and networks. On a Unix socket it is left out.
    #[schemars(length(min = 1))]
    pub from: Texts<IpNet>,
}

/// What one request or connection may use of the gateway.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// All header lines of a request together. Default: 16KiB.
    pub header_bytes: Text<Bytes>,
    /// How many header lines there may be. Default: 64.
    #[schemars(range(min = 1, max = crate::policy::http::head::MAX_FIELDS))]
    pub headers: Written<usize>,
    /// The request target: path and query. Default: 8KiB.
    pub target_bytes: Text<Bytes>,
    /// From the first byte of a head to its end; also how long a new connection may stay silent.
    /// Default: 5s.
    pub head_timeout: Text<Duration>,
    /// From the opening of a connection with TLS to the end of its handshake. Default: 5s.
    pub handshake_timeout: Text<Duration>,
    /// From the end of the head to the end of the body. Default: 10s.
    pub body_timeout: Text<Duration>,
    /// Between two requests of a connection. Default: 60s.
    pub idle_timeout: Text<Duration>,
    /// To hand one whole answer over to the client. Default: 10s.
    pub write_timeout: Text<Duration>,
    /// Connections at a time; a thousand more still get their 503. Default: 10000.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub connections: Written<usize>,
    /// Requests at a time, from the end of the head to the end of the answer. Default: 10000.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub requests: Written<usize>,
    /// The largest body that a backend may answer with. Default: 1MiB.
    pub response_bytes: Text<Bytes>,
    /// How much of a refused request's body is read and dropped so that the connection can live on.
    /// Default: 64KiB.
    pub drain_bytes: Text<Bytes>,
}

/// A backend.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["servers"]))]
pub struct Upstream {
    /// Servers: an address or a name with a port each, or a mapping. Requests take turns.
    #[schemars(length(min = 1))]
    pub servers: Written<Listed<AnyServer>>,
    /// How often names are looked up, in the background. Default: 30s.
    pub resolve_every: Text<Duration>,
    /// The Host header that the backend sees. Default: the first server.
    pub host: Written<String>,
    /// Speak TLS with the servers, also in health checks; they are always verified. Default: none.
    pub tls: Written<UpstreamTls>,
    /// To reach a server. Default: 1s.
    pub connect_timeout: Text<Duration>,
    /// How long an idle connection is kept; choose it below the backend's own. Default: 60s.
    pub idle_timeout: Text<Duration>,
    /// A request that is given up counts as a failure of its server after this time. Default: 5s.
    pub slow_after: Text<Duration>,
    /// Headers that every request and health check gets, in place of a client's own. In their values
    /// ${env:NAME} is a variable of the environment and ${file:PATH} the text of a file. Default: none.
    pub add_headers: Entries<String>,
    /// Servers whose checks fail get no requests. Default: nobody checks.
    pub health_check: Written<HealthCheck>,
    /// A server with so many failures in a row gets no requests for a time. Default:
    /// { failures: 5, time: 10s }.
    pub ejection: Written<Ejection>,
    /// An upstream that fails too often gets no requests for a time. Default: it never opens.
    pub breaker: Written<Breaker>,
}

/// A server as a mapping.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["address"]))]
pub struct Server {
    /// An address or a name, with its port. Each address of a name is a server of its own.
    pub address: Text<Address>,
    /// Its share of the turns. Default: 1.
    #[schemars(range(min = 1, max = super::upstreams::MAX_WEIGHT))]
    pub weight: Written<u32>,
    /// Requests that it may have at a time. Default: any number.
    #[schemars(range(min = 1, max = super::upstreams::MAX_REQUESTS))]
    pub max_requests: Written<u32>,
}

/// A server: its address alone, or a mapping.
#[derive(Debug, Default)]
pub struct AnyServer(pub Server);

impl<'de> Deserialize<'de> for AnyServer {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ServerVisitor;
        impl<'de> serde::de::Visitor<'de> for ServerVisitor {
            type Value = AnyServer;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an address, or a mapping")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<AnyServer, E> {
                let address = Address::from_text(text).map_err(E::custom)?;
                let address = Written::Here(Parsed(address), Place::default());
                Ok(AnyServer(Server { address, ..Server::default() }))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, access: A) -> Result<AnyServer, A::Error> {
                Server::deserialize(serde::de::value::MapAccessDeserializer::new(access)).map(AnyServer)
            }
        }
        deserializer.deserialize_struct(TEXT_OR_KEYS, &["address", "weight", "max_requests"], ServerVisitor)
    }
}

/// How servers are asked whether they are well.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("anyOf" = [{"required": ["path"]}, {"required": ["tcp"]}]))]
pub struct HealthCheck {
    /// The path that is asked for.
    #[schemars(regex(pattern = "^/[!-~]*$"))]
    pub path: Written<String>,
    /// The status that is wanted. Default: 200.
    #[schemars(range(min = 200, max = 599))]
    pub status: Written<u32>,
    /// Only connect, and send no request. Default: false.
    pub tcp: Written<bool>,
    /// From one check to the next. Default: 5s.
    pub interval: Text<Duration>,
    /// How long a check may take. Default: 1s.
    pub timeout: Text<Duration>,
    /// Failures in a row after which a server gets no requests. Default: 3.
    #[schemars(range(min = 1, max = super::upstreams::MAX_IN_A_ROW))]
    pub failures: Written<u32>,
    /// Successes in a row after which it gets requests again. Default: 2.
    #[schemars(range(min = 1, max = super::upstreams::MAX_IN_A_ROW))]
    pub successes: Written<u32>,
}

/// When a server is left out for a time.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ejection {
    /// Failures in a row; 0 ejects nobody. Default: 5.
    #[schemars(range(min = 0, max = super::upstreams::MAX_IN_A_ROW))]
    pub failures: Written<u32>,
    /// How long the server gets no requests. Default: 10s.
    pub time: Text<Duration>,
}

/// When a whole upstream is left alone for a time.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Breaker {
    /// Failures in a row; 0 switches the condition off. Default: 5.
    #[schemars(range(min = 0, max = super::upstreams::MAX_IN_A_ROW))]
    pub failures: Written<u32>,
    /// The share of failures within `window`; 0 switches the condition off. Default: 50.
    #[schemars(range(min = 0, max = 100))]
    pub error_percent: Written<u32>,
    /// The time that `error_percent` looks at. Default: 10s.
    pub window: Text<Duration>,
    /// Requests within `window` before `error_percent` counts. Default: 20.
    #[schemars(range(min = 1, max = super::upstreams::MAX_REQUESTS))]
    pub min_requests: Written<u32>,
    /// How long clients get upstream-unavailable at once, before one request tries. Default: 5s.
    pub open_for: Text<Duration>,
}

/// How a backend is spoken to over TLS.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTls {
    /// The authorities that vouch for the servers, a PEM file. Default: those that this machine trusts.
    pub ca: Written<String>,
    /// The name that the servers' certificate must have. Default: that of `host`.
    pub server_name: Written<String>,
    /// What is shown to servers that ask for a certificate, a PEM file. Default: nothing.
    pub certificate: Written<String>,
    /// The private key of `certificate`, a PEM file.
    pub key: Written<String>,
}

/// A lookup API.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["upstream", "routes", "token_headers"]))]
pub struct Product {
    /// One of `upstreams`.
    pub upstream: Written<String>,
    /// Methods and paths. The request goes upstream with the same path.
    #[schemars(length(min = 1))]
    pub routes: Texts<RouteText>,
    /// Headers that carry the token. They never go upstream.
    #[schemars(length(min = 1))]
    pub token_headers: Texts<HeaderName>,
    /// Media types that the product answers with. Default: application/json.
    #[schemars(length(min = 1))]
    pub accept: Texts<MediaType>,
    /// Media types that a body may have. Default: application/json.
    #[schemars(length(min = 1))]
    pub content_type: Texts<MediaType>,
    /// The time a request may take as a whole. Default: 15s, of which clients have no say.
    pub deadline: Written<Deadline>,
    /// Headers that are validated when they are there, in this order.
    pub headers: Entries<HeaderRule>,
    /// What the body must be. Without this key requests have no body.
    pub body: Written<Body>,
    /// What answers are: a JSON Schema in a file beside this one, or the schema itself, for the reference
    /// and OpenAPI alone; answers are not checked with it. Default: nothing is said of them.
    #[schemars(extend("type" = ["string", "object", "boolean"]))]
    pub answer_schema: Written<serde_json::Value>,
    /// What lookups cost, in whole credits. Without this key they cost nothing.
    pub credits: Written<Credits>,
    /// How long browsers may remember the answer to a preflight. Default: 10m.
    pub preflight_max_age: Text<Duration>,
}

/// The time a request may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Deadline {
    /// The header by which clients ask for another deadline. Default: they have no say.
    pub header: Text<HeaderName>,
    /// The shortest that they may ask for, in whole seconds. Default: 2s.
    pub min: Text<Duration>,
    /// The longest. Default: 15s.
    pub max: Text<Duration>,
    /// What counts without the header. Default: 15s.
    pub default: Text<Duration>,
}

/// What a header must look like.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["problem"], "oneOf" = [{"required": ["pattern"]}, {"required": ["one_of"]}]))]
pub struct HeaderRule {
    /// A regular expression that the whole value must match.
    pub pattern: Written<String>,
    /// With `pattern`: bytes that the value may have. Default: 256.
    #[schemars(range(min = 1, max = super::products::MAX_HEADER_BYTES))]
    pub max: Written<usize>,
    /// The values that it may have.
    #[schemars(length(min = 1))]
    pub one_of: Written<Listed<String>>,
    /// With `one_of`: in any case of letters. Default: false.
    pub ignore_case: Written<bool>,
    /// Repeat it on every response, and make one when it is absent. Default: false.
    pub echo: Written<bool>,
    /// The row of a bad value, built-in or of `problems`.
    pub problem: Written<String>,
}

/// What a body must be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("dependencies" = {"strict": ["schema"], "problems": ["schema"]}))]
pub struct Body {
    /// Bytes that it may have. Default: 16KiB.
    pub max: Text<Bytes>,
    /// A JSON Schema: a file beside this one, or the schema itself. Default: any JSON.
    #[schemars(extend("type" = ["string", "object", "boolean"]))]
    pub schema: Written<serde_json::Value>,
    /// Refuse members that the schema does not name. Default: false, they are ignored.
    pub strict: Written<bool>,
    /// Which broken rule is which problem; anything else is body-invalid.
    pub problems: Written<Listed<BodyProblem>>,
}

/// A place in the body whose broken rules are a problem of their own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["at", "problem"]))]
pub struct BodyProblem {
    /// A JSON Pointer, which counts for everything below it.
    #[schemars(regex(pattern = "^/"))]
    pub at: Written<String>,
    /// Which breaches are meant; missing is absent, null or "" alone. Default: any.
    pub when: Written<When>,
    /// The row, built-in or of `problems`.
    pub problem: Written<String>,
}

/// What a product's lookups cost.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["hold", "price"]))]
pub struct Credits {
    /// The most that a request can cost, set aside before the backend is asked.
    #[schemars(length(min = 1, max = crate::policy::tariff::MAX_LINES))]
    pub hold: Written<Listed<PriceLine>>,
    /// What a delivered 200 costs in the end.
    #[schemars(length(min = 1, max = crate::policy::tariff::MAX_LINES))]
    pub price: Written<Listed<PriceLine>>,
}

/// One line of a price.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["add"]}, {"required": ["set"]}]))]
pub struct PriceLine {
    /// Credits that come on top.
    #[schemars(range(min = 0, max = crate::policy::tariff::MAX_LINE_CREDITS))]
    pub add: Written<u32>,
    /// The price, whatever was added; no further line is looked at.
    #[schemars(range(min = 0, max = crate::policy::tariff::MAX_LINE_CREDITS))]
    pub set: Written<u32>,
    /// When the line counts. Default: always.
    #[serde(rename = "if")]
    pub condition: Written<Condition>,
}

/// When a line of a price counts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["request"]}, {"required": ["answer"]}, {"required": ["all"]}, {"required": ["any"]}, {"required": ["not"]}]))]
pub struct Condition {
    /// A member of the request's body, by JSON Pointer.
    #[schemars(regex(pattern = "^/"))]
    pub request: Written<String>,
    /// A member of the answer's body, by JSON Pointer.
    #[schemars(regex(pattern = "^/"))]
    pub answer: Written<String>,
    /// The value that it has.
    pub is: Written<serde_json::Value>,
    /// The values that it may have.
    #[schemars(length(min = 1))]
    pub one_of: Written<Listed<serde_json::Value>>,
    /// With `is` or `one_of`: in any case of letters. Default: false.
    pub ignore_case: Written<bool>,
    /// true: it is there and is not null, "", [] or {}; false: the opposite.
    pub filled: Written<bool>,
    /// Conditions that all hold.
    #[schemars(length(min = 1))]
    pub all: Written<Listed<Condition>>,
    /// Conditions of which one holds.
    #[schemars(length(min = 1))]
    pub any: Written<Listed<Condition>>,
    /// A condition that does not hold.
    pub not: Written<Box<Condition>>,
}

/// Where and how credits are written down.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("anyOf" = [{"required": ["file"]}, {"required": ["volatile"]}]))]
pub struct Ledger {
    /// An SQLite database, its path from this file's directory; it is made when it is not there.
    #[schemars(regex(pattern = r"\S"))]
    pub file: Written<String>,
    /// batch: charges are written together within 50 ms, and a crash loses those. each: every answer
    /// waits until its charge is on the disk. Default: batch.
    pub durability: Written<Durability>,
    /// Keep credits in memory instead of in a file, for trying things out. Default: false.
    pub volatile: Written<bool>,
}

/// How sure a charge is when its answer goes out.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Charges are written together.
    Batch,
    /// Every answer waits for its charge.
    Each,
}

/// Whose requests are counted apart.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Count requests by account as well. Default: false.
    pub by_account: Written<bool>,
    /// Count requests by token as well. Default: false.
    pub by_token: Written<bool>,
    /// Series of each of the two; an account or a token has up to 12, one for each status. Those that come
    /// first in the configuration have their own, all further ones are `other`. Default: 1000.
    #[schemars(range(max = crate::telemetry::sampling::MAX_SERIES))]
    pub max_series: Written<usize>,
}

/// One line for each request.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLog {
    /// A file, its path from this file's directory, or stdout. SIGHUP opens it anew, for logrotate.
    pub file: Written<String>,
    /// What its members are called: tollgate, the product's own short names; otel, those of
    /// OpenTelemetry's semantic conventions; ecs, those of the Elastic Common Schema. Default: tollgate.
    pub names: Written<LogNames>,
    /// The share of requests that get a line. Default: all.
    pub sample: Written<LogSample>,
    /// The key of the HMAC-SHA-256 that stands for a reference that a client sends; ${env:NAME} and
    /// ${file:PATH} work as in add_headers. Default: a new key with each start.
    pub reference_key: Written<String>,
}

/// Which requests get a line.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSample {
    /// The share of answered requests (200 and 204) that get one. Default: 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ok: Written<f64>,
    /// The shares of refused requests, each by the slug of its problem. Default: 1 for each.
    pub refused: Entries<f64>,
}

/// What the members of a line are called.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogNames {
    #[default]
    Tollgate,
    Otel,
    Ecs,
}

/// Traces, and where spans go.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tracing {
    /// A sound traceparent of a client goes on to the backend with its tracestate, and any other is made
    /// anew; false: both pass as they came. Default: true.
    pub traceparent: Written<bool>,
    /// Spans for a collector of OpenTelemetry. Default: none.
    pub otlp: Written<Otlp>,
}

/// A collector of OpenTelemetry.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// Its OTLP over plain HTTP, which takes JSON; without a path, /v1/traces.
    pub endpoint: Written<String>,
    /// The share of requests that have spans; one whose traceparent is not sampled has none. Default: 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sample: Written<f64>,
    /// A request whose traceparent is sampled has spans beyond that share; for a gateway that only callers
    /// of your own can reach, since anybody can say so. Default: false.
    pub trust_sampled: Written<bool>,
    /// What the collector calls this gateway. Default: tollgate.
    pub service_name: Written<String>,
}

/// What the status pages say beside what was counted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Status {
    /// The part of requests that shall not fail through a fault of ours, in percent, from 50 to 99.999.
    /// Default: 99.9.
    pub objective: Text<Decimal>,
    /// With fewer failures in a long window there is no incident. Default: 10.
    pub min_failures: Written<u64>,
    /// An incident begins when failures use up what the objective allows `rate` times too fast in both
    /// windows, and ends when they no longer do in the short one.
    pub burn_rates: Written<Listed<BurnRate>>,
    /// What clients should know. Default: none.
    pub notes: Written<Listed<StatusNote>>,
    /// Planned maintenance; what fails meanwhile counts all the same. Default: none.
    pub maintenance: Written<Listed<StatusMaintenance>>,
}

/// How fast failures may come, and for how long.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["rate", "long", "short"]))]
pub struct BurnRate {
    /// How many times too fast, from 0.1 to 1000.
    pub rate: Text<Decimal>,
    /// The window that it has to last for, from 1s to 3d.
    pub long: Text<Duration>,
    /// The window that says whether it still lasts, from 1s to 3d.
    pub short: Text<Duration>,
}

/// Something that clients should know.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["at", "text"]))]
pub struct StatusNote {
    /// Since when (RFC 3339).
    pub at: Text<Moment>,
    /// Until when (RFC 3339). Default: as long as it stands here.
    pub until: Text<Moment>,
    /// The product that it is about. Default: all.
    pub product: Written<String>,
    /// One line of text.
    pub text: Written<String>,
}

/// Planned maintenance.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["from", "to", "text"]))]
pub struct StatusMaintenance {
    /// From when (RFC 3339).
    pub from: Text<Moment>,
    /// Up to when (RFC 3339), at most 31 days later.
    pub to: Text<Moment>,
    /// The product that it is about. Default: all.
    pub product: Written<String>,
    /// One line of text.
    pub text: Written<String>,
}

/// What an account has of a product: credits, or no need of any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Funds {
    /// So many credits, given once.
    FirstGrant(u64),
    /// Lookups cost nothing.
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

/// Which breaches at a place are meant.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Every breach.
    Any,
    /// The value is absent, null or "".
    Missing,
}

/// A row of the table of problems, or words for one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Problem {
    /// The status; an own row needs one, a built-in row keeps its own.
    pub status: Text<ProblemStatus>,
    /// Replaces the standard reason phrase as the title.
    #[schemars(regex(pattern = r"\S"))]
    pub title: Written<String>,
    /// What was wrong and what to do. It may hold {field}, {token_headers}, {accept}, {content_type},
    /// {deadline_header}, {deadline_min}, {deadline_max} and {body_max}.
    #[schemars(regex(pattern = r"\S"))]
    pub detail: Written<String>,
    /// What it means, for the row's page: one or two sentences.
    pub meaning: Written<String>,
    /// Usual causes, for the row's page.
    pub causes: Written<Listed<String>>,
    /// What mends it, for the row's page.
    pub remedy: Written<Listed<String>>,
}

/// A customer.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["rate"]))]
pub struct Account {
    /// Requests of all tokens of the account together.
    pub rate: Written<Rate>,
    /// For each product with prices that its tokens cover: the credits that the account begins with,
    /// given once; or unmetered, if lookups cost the account nothing.
    pub credits: Entries<Funds>,
    /// What it shows to be known. `tollgate token new` makes a token and prints its line.
    pub tokens: Written<Listed<Token>>,
}

/// One line of a JSON Lines file: an account with its name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name", "rate"]))]
pub struct AccountLine {
    /// The account's name.
    #[schemars(regex(pattern = r"\S"))]
    pub name: Written<String>,
    /// Requests of all tokens of the account together.
    pub rate: Written<Rate>,
    /// For each product with prices that its tokens cover: the credits that the account begins with,
    /// given once; or unmetered, if lookups cost the account nothing.
    pub credits: Entries<Funds>,
    /// What it shows to be known. `tollgate token new` makes a token and prints its line.
    pub tokens: Written<Listed<Token>>,
}

/// An included YAML file: accounts alone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccountsFile {
    /// Customers, each with a name of your choice.
    pub accounts: Entries<Account>,
}

/// So many requests in a period.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("anyOf" = [{"required": ["limit"]}, {"required": ["unlimited"]}]))]
pub struct Rate {
    /// A number of requests in a period (s, min, h, d), as in 150/min.
    pub limit: Text<PerPeriod>,
    /// Requests at once. Default: the limit.
    pub burst: Written<NonZeroU32>,
    /// Nothing is counted. Default: false.
    pub unlimited: Written<bool>,
}

/// What a customer shows to be known.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name", "hash", "products"]))]
pub struct Token {
    /// How logs call it.
    #[schemars(regex(pattern = r"\S"))]
    pub name: Written<String>,
    /// Its SHA-256 digest, as `tollgate token hash` prints it; the token itself is never written here.
    pub hash: Text<Digest>,
    /// What it covers.
    #[schemars(length(min = 1))]
    pub products: Written<Listed<String>>,
    /// Switches it off. Default: false.
    pub disabled: Written<bool>,
    /// Its last day, in UTC. Default: never.
    pub expires: Text<Expiry>,
    /// Where requests may come from: addresses and networks. Default: anywhere.
    #[schemars(length(min = 1))]
    pub networks: Texts<IpNet>,
    /// Web domains that browsers may call from; *.host is any subdomain. Default: any.
    #[schemars(length(min = 1))]
    pub domains: Texts<Pattern>,
    /// With `domains`: what is done with requests without Origin and Referer. Default: deny.
    pub absent: Written<Absent>,
}

/// What a token with a list of domains does with requests that have neither Origin nor Referer.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Absent {
    /// They pass.
    Allow,
    /// They are refused.
    Deny,
}
