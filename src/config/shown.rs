//! The configuration as operators are shown it while it is in force: as it was written, with every
//! default filled in, and without what is secret.
//!
//! Defaults are taken from what was compiled, so that they cannot differ from it. What can be a
//! secret is hidden whatever it is: the digests of tokens, and the values of added headers and keys,
//! also where they only name a variable or a file.

use std::net::SocketAddr;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::fill::{fill, hide, section};
use super::{account, ledger, limits, listeners, products, rates, telemetry, upstreams};
use crate::downstream::listener::{At, Listener, Listeners};
use crate::ledger::LedgerSettings;
use crate::platform::pace;
use crate::policy::rate::Allowance;
use crate::policy::{Limits, Policy, Product, Upstream};
use crate::telemetry::Outlets;
use crate::telemetry::sampling::Sampling;

/// Accounts that are shown; there may be millions.
const MAX_SHOWN_ACCOUNTS: usize = 1000;

/// A file as it is written, but for its accounts.
#[derive(Debug, Default, Deserialize)]
pub struct AsWritten {
    #[serde(default, rename = "accounts")]
    _accounts: Option<IgnoredAny>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// What was compiled, where defaults are taken from.
pub struct Compiled<'c> {
    pub listeners: &'c Listeners,
    pub workers: usize,
    pub admin: SocketAddr,
    pub limits: &'c Limits,
    pub upstreams: &'c [Upstream],
    pub products: &'c [Product],
    pub ledger: Option<&'c LedgerSettings>,
    pub enquiry_rate: Allowance,
    pub sampling: &'c Sampling,
    pub outlets: &'c Outlets,
}

/// Everything but the accounts.
pub fn effective(written: AsWritten, compiled: &Compiled<'_>) -> Value {
    let mut root = Value::Object(written.rest);
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
    hide(&mut root, "admin_token");
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
    if let Some(settings) = compiled.ledger {
        ledger::fill_in(section(&mut root, "ledger"), settings);
    }
    fill(&mut root, "enquiry_rate", rates::shown(compiled.enquiry_rate));
    telemetry::fill_in(&mut root, compiled.sampling, compiled.outlets);
    root
}

/// The accounts of a policy, as far as they are shown, and how many there are.
pub fn accounts(policy: &Policy) -> (Value, usize) {
    let shown = policy.accounts.iter().take(MAX_SHOWN_ACCOUNTS);
    let shown = shown.map(|known| (known.name.to_string(), account::shown(known, policy)));
    (shown.collect::<Map<_, _>>().into(), policy.accounts.len())
}
