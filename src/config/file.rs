//! The whole configuration exactly as it is written: the root's keys. The mappings below stand in the
//! files of their topics, each in a module `written`.
//!
//! The keys, their meaning and their defaults stand in `config/gateway.yaml`, which a test compares
//! with these types. What the values mean together is `compile.rs`. The comments at the fields are what
//! editors show: `schema.rs` makes the JSON Schema of the configuration from these very types, so that
//! a key cannot be without words.
#![deny(clippy::missing_docs_in_private_items)]

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::account::written::Account;
use crate::config::ledger::written::Ledger;
use crate::config::limits::written::Limits;
use crate::config::listeners::written::Listener;
use crate::config::pages::written::Pages;
use crate::config::problems::written::Problem;
use crate::config::products::written::Product;
use crate::config::rates::written::Rate;
use crate::config::status::written::Status;
use crate::config::telemetry::written::{AccessLog, Metrics, Tracing};
use crate::config::units::{HostName, PublicUrl, Referred, Text, Texts};
use crate::config::upstreams::written::Upstream;
use crate::config::yaml::{Entries, Listed, Written};
use crate::policy::account::Digest;

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
    #[schemars(length(min = 1, max = crate::config::bounds::MAX_LISTENERS))]
    pub listeners: Written<Listed<Listener>>,
    /// Threads that serve clients. Default: one for each core.
    #[schemars(range(min = 1, max = crate::config::bounds::MAX_WORKERS))]
    pub workers: Written<usize>,
    /// Where operators connect: /healthz, /metrics, /upstreams and the credits of accounts. Default:
    /// 127.0.0.1:9901.
    pub admin: Text<SocketAddr>,
    /// Let `admin` be an address that other machines can reach. Default: false.
    pub admin_exposed: Written<bool>,
    /// The digest of a token that operators must show for everything but /healthz and /metrics, as
    /// `tollgate token hash` prints it, or ${env:NAME} or ${file:PATH} where that is. Default: none is needed, but an exposed listener tells nothing of
    /// credits and upstreams without one.
    pub admin_token: Text<Referred<Digest>>,
    /// Names by which operators reach `admin`, beside its address and localhost: a request for another
    /// name could be a web page's. Default: none.
    #[schemars(length(max = crate::config::bounds::MAX_ADMIN_HOSTS))]
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
