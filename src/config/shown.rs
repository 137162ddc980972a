//! The configuration in force for operators: as it was written, with every default filled in, and without secrets.
//!
//! Defaults are taken from the compiled values, so that they cannot differ. All possible secrets are hidden: the
//! digests of tokens, and the values of added headers and keys. References to variables or files are shown as they are
//! written; a literal value is replaced by a reference to a file, so that the text is a valid configuration once these
//! files exist.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::alerts::{self, AlertsSettings};
use super::api::{self, ApiListener};
use super::billing::{self, BillingSettings};
use super::fill::{SECRETS, fill, hide, section};
use super::portal::{self, PortalSettings};
use super::store::{self, Sources, StoreSettings};
use super::{account, cases, jwt, ledger, limits, listeners, plans, products, rates, telemetry, upstreams};
use crate::downstream::listener::{At, Listener, Listeners};
use crate::gateway::snapshot::{KeySource, Settings};
use crate::ledger::LedgerSettings;
use crate::platform::count::{counted, either};
use crate::platform::pace;
use crate::policy::check::jwt::Issuer;
use crate::policy::plan::Plan;
use crate::policy::rate::Allowance;
use crate::policy::staging::StagingRules;
use crate::policy::{Limits, Policy, Product};
use crate::telemetry::Outlets;
use crate::telemetry::sampling::Sampling;
use crate::upstream::settings::Upstream;

/// The most accounts that are shown; there may be millions.
const MAX_SHOWN_ACCOUNTS: usize = 1000;

/// A file as it is written, of its accounts their names alone.
#[derive(Debug, Default, Deserialize)]
pub struct AsWritten {
    #[serde(default)]
    accounts: Option<BTreeMap<String, IgnoredAny>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// The compiled values, from which defaults are taken.
pub struct Compiled<'c> {
    pub listeners: &'c Listeners,
    pub workers: usize,
    pub admin: SocketAddr,
    pub limits: &'c Limits,
    pub upstreams: &'c [Upstream],
    pub products: &'c [Product],
    pub issuers: &'c [Arc<Issuer>],
    pub key_sources: &'c [KeySource],
    pub plans: &'c [Arc<Plan>],
    pub sources: Sources,
    pub ledger: Option<&'c LedgerSettings>,
    pub store: Option<&'c StoreSettings>,
    pub api: Option<&'c ApiListener>,
    pub portal: Option<&'c PortalSettings>,
    pub billing: Option<&'c BillingSettings>,
    pub alerts: Option<&'c AlertsSettings>,
    pub enquiry_rate: Allowance,
    pub sampling: &'c Sampling,
    pub outlets: &'c Outlets,
    pub staging: Option<&'c StagingRules>,
}

/// Everything but the accounts, of which the first that the file itself has are named.
pub fn effective(written: AsWritten, compiled: &Compiled<'_>) -> Value {
    let mut root = Value::Object(written.rest);
    if let Some(accounts) = written.accounts {
        let names = accounts.into_keys().take(MAX_SHOWN_ACCOUNTS).map(|name| (name, Value::Null));
        fill(&mut root, "accounts", names.collect::<Map<_, _>>());
    }
    if let (None, Some(Listener { at: At::Address(address), .. })) =
        (root.get("listeners"), compiled.listeners.0.first())
    {
        fill(&mut root, "listen", address.to_string());
    }
    if root.get("listen").is_some() {
        fill(&mut root, "h2c", false);
    }
    for listener in root.get_mut("listeners").and_then(Value::as_array_mut).into_iter().flatten() {
        listeners::fill_in(listener);
    }
    fill(&mut root, "workers", compiled.workers);
    fill(&mut root, "admin", compiled.admin.to_string());
    fill(&mut root, "admin_exposed", false);
    if let Some(token) = root.get_mut("admin_token") {
        hide(token, &["admin_token"]);
    }
    fill(&mut root, "admin_hosts", serde_json::json!([]));
    fill(&mut root, "trusted_proxies", json!([]));
    fill(&mut root, "include", json!([]));
    limits::fill_in(section(&mut root, "limits"), compiled.limits);
    for upstream in compiled.upstreams {
        upstreams::fill_in(section(section(&mut root, "upstreams"), &upstream.name), upstream);
    }
    for product in compiled.products {
        pace::step();
        products::fill_in(section(section(&mut root, "products"), &product.name), product);
    }
    jwt::fill_in(&mut root, compiled.issuers, compiled.key_sources);
    plans::fill_in(&mut root, compiled.plans);
    if let (Some(store), Some(settings)) = (root.get_mut("store"), compiled.store) {
        store::fill_in(store, compiled.sources, settings);
    }
    if let Some(settings) = compiled.ledger {
        ledger::fill_in(section(&mut root, "ledger"), settings);
    }
    let cluster = compiled.ledger.and_then(|settings| settings.cluster.as_ref());
    if let (Some(shown), Some(settings)) = (root.get_mut("cluster"), cluster) {
        super::cluster::fill_in(shown, settings);
    }
    if let Some(listener) = compiled.api {
        api::fill_in(section(&mut root, "api"), listener);
    }
    if let Some(settings) = compiled.portal {
        portal::fill_in(section(&mut root, "portal"), settings);
    }
    if let Some(settings) = compiled.billing {
        billing::fill_in(section(&mut root, "billing"), settings);
    }
    if let Some(settings) = compiled.alerts {
        alerts::fill_in(section(&mut root, "alerts"), settings);
    }
    fill(&mut root, "enquiry_rate", rates::shown(compiled.enquiry_rate));
    telemetry::fill_in(&mut root, compiled.sampling, compiled.outlets);
    if let Some(tests) = root.get_mut("tests") {
        cases::fill_in(tests, compiled.products);
    }
    if let (Some(shown), Some(settings)) = (root.get_mut("journal"), &compiled.outlets.journal) {
        super::journal::fill_in(shown, settings);
    }
    if let (Some(shown), Some(rules)) = (root.get_mut("staged_reload"), compiled.staging) {
        super::staging::fill_in(shown, rules);
    }
    root
}

/// The accounts of a policy that are shown, and the number of all accounts.
pub fn accounts(policy: &Policy) -> (Value, usize) {
    let shown = policy.accounts.listed(MAX_SHOWN_ACCOUNTS).into_iter();
    let shown = shown.map(|known| (known.name.to_string(), account::shown(known, policy)));
    (shown.collect::<Map<_, _>>().into(), policy.accounts.len())
}

/// The configuration in force as YAML that can be loaded: in the order of the configuration, with the accounts of the
/// file itself. Others stay where they are: in included files, and in the store.
///
/// # Errors
/// Errors of the YAML writer, which no configuration causes.
pub fn yaml(policy: &Policy, settings: &Settings) -> Result<String, serde_yaml::Error> {
    let mut text = format!(
        "# The configuration in force, with its defaults. `tollgate check` takes it, beside the files that it names.\n\
         # A secret that was written out is shown as ${{file:{SECRETS}/…}}: put it into that file to use this text.\n"
    );
    let mut root = settings.shown.clone();
    let (mut shown, all) = (0, policy.accounts.len());
    if let Some(Value::Object(accounts)) = root.get_mut("accounts") {
        accounts.retain(|name, account| {
            let known = policy.accounts.by_name(name);
            known.inspect(|known| *account = account::shown(known, policy)).is_some()
        });
        shown = accounts.len();
    }
    if shown < all {
        text += &format!(
            "# Of {}, {shown} {} shown: those of this file, at most {MAX_SHOWN_ACCOUNTS} of them. Accounts of \
             `include` and of the store stay there.\n",
            counted(all, "account"),
            either(&shown, "is", "are"),
        );
    }
    // An empty list would be a mistake, so it is left out.
    if let Some(root) = root.as_object_mut() {
        root.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
    }
    let mut root = serde_yaml::to_value(root)?;
    order(&mut root, "upstreams", settings.upstreams.iter().map(|upstream| &*upstream.name));
    order(&mut root, "plans", policy.plans.iter().map(|plan| &*plan.name));
    order(&mut root, "products", policy.products.iter().map(|product| &*product.name));
    order(&mut root, "problems", policy.wording.iter().map(|(_, words)| &*words.slug));
    order(&mut root, "accounts", policy.accounts.listed(MAX_SHOWN_ACCOUNTS).into_iter().map(|account| &*account.name));
    for product in &policy.products {
        if let Some(shown) = root.get_mut("products").and_then(|products| products.get_mut(&*product.name)) {
            order(shown, "headers", product.headers.iter().map(|rule| &*rule.name));
        }
    }
    Ok(text + &serde_yaml::to_string(&root)?)
}

/// Puts the entries of a mapping into the order in which they were written.
fn order<'n>(parent: &mut serde_yaml::Value, key: &str, names: impl Iterator<Item = &'n str>) {
    let Some(serde_yaml::Value::Mapping(mapping)) = parent.get_mut(key) else { return };
    let mut before = std::mem::take(mapping);
    let known = names.filter_map(|name| before.shift_remove(name).map(|value| (name.into(), value)));
    let mut ordered: serde_yaml::Mapping = known.collect();
    ordered.extend(before);
    *mapping = ordered;
}
