//! The keys at the root of the configuration. The mappings below it are in the files of their topics, each in a module
//! `written`.
//!
//! `config/gateway.yaml` explains the keys and their defaults; a test compares it with these types. `compile.rs` checks
//! the values together. The doc comments of the fields are shown by editors: `schema.rs` makes the JSON Schema of the
//! configuration from these types, so every key needs a description.
#![deny(clippy::missing_docs_in_private_items)]

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::account::written::Account;
use crate::config::alerts::written::Alerts;
use crate::config::api::written::Api;
use crate::config::billing::written::Billing;
use crate::config::cases::written::Test;
use crate::config::cluster::written::Cluster;
use crate::config::journal::written::Journal;
use crate::config::jwt::written::Issuer;
use crate::config::ledger::written::Ledger;
use crate::config::limits::written::Limits;
use crate::config::listeners::written::Listener;
use crate::config::pages::written::Pages;
use crate::config::plans::written::Plan;
use crate::config::portal::written::Portal;
use crate::config::problems::written::Problem;
use crate::config::products::written::Product;
use crate::config::rates::written::Rate;
use crate::config::staging::written::StagedReload;
use crate::config::status::written::Status;
use crate::config::store::written::Store;
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
    /// The address and port for clients. Default: 127.0.0.1:8080, or none beside `listeners`.
    pub listen: Text<SocketAddr>,
    /// Allow HTTP/2 without TLS (h2c with prior knowledge). Default: false.
    pub h2c: Written<bool>,
    /// More listeners, beside `listen` or instead of it. Default: none.
    #[schemars(length(min = 1, max = crate::config::bounds::MAX_LISTENERS))]
    pub listeners: Written<Listed<Listener>>,
    /// Threads that serve clients. Default: one per core.
    #[schemars(range(min = 1, max = crate::config::bounds::MAX_WORKERS))]
    pub workers: Written<usize>,
    /// The address of the admin API: /healthz, /metrics, /upstreams and the credits of accounts. Default:
    /// 127.0.0.1:9901.
    pub admin: Text<SocketAddr>,
    /// Let `admin` be an address that other machines can reach. Default: false.
    pub admin_exposed: Written<bool>,
    /// The digest of a token that operators must show for everything but /healthz and /metrics, as `tollgate token
    /// hash` prints it, or a reference to it (${env:NAME} or ${file:PATH}). Default: no token is needed, but an exposed
    /// listener without one does not serve credits and upstreams.
    pub admin_token: Text<Referred<Digest>>,
    /// Host names for `admin` beside its address and localhost. Requests for other names are refused, against DNS
    /// rebinding. Default: none.
    #[schemars(length(max = crate::config::bounds::MAX_ADMIN_HOSTS))]
    pub admin_hosts: Texts<HostName>,
    /// The base URL of links to problem pages. No default.
    pub public_url: Text<PublicUrl>,
    /// The look of problem and reference pages, and where they are served.
    pub pages: Written<Pages>,
    /// Proxies in front of this gateway whose X-Forwarded-For is trusted: addresses and networks. Default: none.
    #[schemars(length(min = 1))]
    pub trusted_proxies: Texts<IpNet>,
    /// Limits of requests and connections.
    pub limits: Written<Limits>,
    /// How long requests in flight may take after a SIGTERM or an upgrade; the process ends as soon as the last
    /// connection is closed. Default: as long as the longest deadline and an answer can take, and 1s more.
    pub grace: Text<Duration>,
    /// Backends (HTTP/1.1), each with a name of your choice.
    #[schemars(extend("minProperties" = 1))]
    pub upstreams: Entries<Upstream>,
    /// Identity providers whose signed tokens (JSON Web Tokens) products take, by names that products use.
    pub jwt: Entries<Issuer>,
    /// Lookup APIs, each with a name of your choice.
    #[schemars(extend("minProperties" = 1, "maxProperties" = crate::policy::account::MAX_PRODUCTS))]
    pub products: Entries<Product>,
    /// The products' own problems, and your texts for built-in ones, which `tollgate problems` lists.
    pub problems: Entries<Problem>,
    /// Where credits are recorded; required as soon as an account has credits. The used part of rates is stored there
    /// as well.
    pub ledger: Written<Ledger>,
    /// Accounts, tokens, lists and management keys that change while the gateway runs, beside those of files.
    /// Default: none.
    pub store: Written<Store>,
    /// Several gateways that share the credits of accounts; it needs `store.postgres`. Default: this gateway sells alone what
    /// is in its ledger.
    pub cluster: Written<Cluster>,
    /// Where usage by the hour goes for billing; it needs `store`. Default: nowhere.
    pub billing: Written<Billing>,
    /// What is told of low balances and of tokens that are about to end; it needs `store`. Default: nothing.
    pub alerts: Written<Alerts>,
    /// The management API, by which what is in the store is changed; it needs `store`. Default: none.
    pub api: Written<Api>,
    /// The Self Service Portal, in which customers and operators see and change what is in the store; it needs
    /// `store`. Default: none.
    pub portal: Written<Portal>,
    /// The rate limit of GET /account/credits, which returns an account's balances and rate. Default: { limit: 60/min,
    /// burst: 10 }.
    pub enquiry_rate: Written<Rate>,
    /// Metrics by account and by token, beside those by product. Default: none.
    pub metrics: Written<Metrics>,
    /// One line of JSON for each request. Default: none.
    pub access_log: Written<AccessLog>,
    /// Files with every decision, which `tollgate replay` judges again under another configuration. Default: none.
    pub journal: Written<Journal>,
    /// Has a changed configuration come into force for a share of the accounts first, and go back if refusals or failures
    /// rise. Default: it is in force for all accounts at once.
    pub staged_reload: Written<StagedReload>,
    /// Traces by W3C Trace Context.
    pub tracing: Written<Tracing>,
    /// The status pages.
    pub status: Written<Status>,
    /// What accounts may use, by names that they say in `plan`. Default: none.
    pub plans: Entries<Plan>,
    /// Customers, each with a name of your choice.
    pub accounts: Entries<Account>,
    /// Files with more accounts: YAML files with a key `accounts`, and JSON Lines files (.jsonl) with one account per
    /// line. Paths and patterns, relative to this file's directory.
    pub include: Written<Listed<String>>,
    /// Requests and what must come of them. They are run before the configuration comes into force, and one that fails
    /// is a mistake. Default: none.
    #[schemars(length(min = 1, max = crate::config::bounds::MAX_TESTS))]
    pub tests: Written<Listed<Test>>,
}
