//! The configuration as operators are shown it while it is in force: as it was written, with every
//! default filled in, and without what is secret.
//!
//! Defaults are taken from what was compiled, so that they cannot differ from it. What can be a
//! secret is hidden whatever it is: the digests of tokens, and the values of added headers and keys,
//! also where they only name a variable or a file.

use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::Config;
use super::units::Bytes;
use crate::downstream::listener::{At, Listener};
use crate::ledger;
use crate::platform::pace;
use crate::policy::account::{Account, Expiry, Token};
use crate::policy::check::header::Shape;
use crate::policy::rate::{Allowance, Rate};
use crate::policy::{Policy, Product, Upstream};
use crate::telemetry::access_log;
use crate::upstream::settings::{BreakerRule, HealthRule, Probe};

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

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

/// Everything but the accounts.
pub fn effective(written: AsWritten, config: &Config) -> Value {
    let mut root = Value::Object(written.rest);
    let policy = &config.policy;
    if let (None, Some(Listener { at: At::Address(address), .. })) = (root.get("listeners"), config.listeners.0.first())
    {
        fill(&mut root, "listen", address.to_string());
    }
    if root.get("listen").is_some() {
        fill(&mut root, "h2c", false);
    }
    for listener in root.get_mut("listeners").and_then(Value::as_array_mut).into_iter().flatten() {
        listener_defaults(listener);
    }
    fill(&mut root, "workers", config.workers);
    fill(&mut root, "admin", config.admin.to_string());
    fill(&mut root, "admin_exposed", false);
    hide(&mut root, "admin_token");
    fill(&mut root, "admin_hosts", json!([]));
    fill(&mut root, "trusted_proxies", json!([]));
    fill(&mut root, "include", json!([]));
    limits(section(&mut root, "limits"), policy);
    for upstream in &policy.upstreams {
        upstream_defaults(section(section(&mut root, "upstreams"), &upstream.name), upstream);
    }
    for product in &policy.products {
        pace::step();
        product_defaults(section(section(&mut root, "products"), &product.name), product);
    }
    if let Some(settings) = &config.ledger {
        let ledger = section(&mut root, "ledger");
        fill(ledger, "volatile", settings.place == ledger::Storage::Memory);
        fill(
            ledger,
            "durability",
            match settings.durability {
                ledger::Durability::Batch => "batch",
                ledger::Durability::Each => "each",
            },
        );
    }
    fill(&mut root, "enquiry_rate", allowance(policy.account_info.window.allowance()));
    sampling(&mut root, config);
    root
}

/// The accounts of a policy, as far as they are shown, and how many there are.
pub fn accounts(policy: &Policy) -> (Value, usize) {
    let shown = policy.accounts.iter().take(MAX_SHOWN_ACCOUNTS);
    let shown = shown.map(|known| (known.name.to_string(), account(known, policy)));
    (shown.collect::<Map<_, _>>().into(), policy.accounts.len())
}

fn account(account: &Account, policy: &Policy) -> Value {
    let rate = match &account.rate {
        Rate::Unlimited => json!({ "unlimited": true }),
        Rate::Limited(window, _) => allowance(window.allowance()),
    };
    let credits = account
        .credit_accounts
        .iter()
        .map(|credit_account| (credit_account.product.to_string(), credit_account.first_grant.into()));
    let tokens: Vec<Value> = account.keys.iter().map(|key| token(&key.token, policy)).collect();
    json!({ "rate": rate, "credits": credits.collect::<Map<_, _>>(), "tokens": tokens })
}

fn token(token: &Token, policy: &Policy) -> Value {
    let products = policy.products.iter().filter(|product| token.products.contains(product.place));
    let mut shown = json!({
        "name": &*token.name,
        "hash": HIDDEN,
        "products": products.map(|product| &*product.name).collect::<Vec<_>>(),
        "disabled": !token.enabled,
    });
    if let Expiry::LastDay(day) = token.expiry {
        let day = chrono::DateTime::from_timestamp(i64::from(day) * 86_400, 0).unwrap_or_default();
        fill(&mut shown, "expires", day.format("%Y-%m-%d").to_string());
    }
    if let Some(blocks) = token.networks.blocks() {
        let blocks: Vec<String> = blocks.iter().map(ToString::to_string).collect();
        fill(&mut shown, "networks", blocks);
    }
    if let Some((patterns, allow_absent)) = token.domains.patterns() {
        fill(&mut shown, "domains", patterns);
        fill(&mut shown, "absent", if allow_absent { "allow" } else { "deny" });
    }
    shown
}

fn listener_defaults(listener: &mut Value) {
    fill(listener, "h2c", false);
    if listener.get("unix").is_some() {
        fill(listener, "mode", "0660");
    }
    if let Some(tls) = listener.get_mut("tls").filter(|tls| tls.get("client_ca").is_some()) {
        fill(tls, "client_certificate", "required");
    }
}

fn limits(limits: &mut Value, policy: &Policy) {
    let all = &policy.limits;
    fill(limits, "header_bytes", size(all.head.header_bytes));
    fill(limits, "headers", all.head.header_lines);
    fill(limits, "target_bytes", size(all.head.target_bytes));
    fill(limits, "head_timeout", time(all.head_timeout));
    fill(limits, "handshake_timeout", time(all.handshake_timeout));
    fill(limits, "body_timeout", time(all.body_timeout));
    fill(limits, "idle_timeout", time(all.idle_timeout));
    fill(limits, "write_timeout", time(all.write_timeout));
    fill(limits, "connections", all.connections);
    fill(limits, "requests", all.requests);
    fill(limits, "response_bytes", size(all.response_bytes));
    fill(limits, "drain_bytes", size(usize::try_from(all.drain_bytes).unwrap_or(usize::MAX)));
}

fn upstream_defaults(shown: &mut Value, upstream: &Upstream) {
    fill(shown, "resolve_every", time(upstream.resolve_every));
    fill(shown, "host", &*upstream.host);
    fill(shown, "connect_timeout", time(upstream.connect_timeout));
    fill(shown, "idle_timeout", time(upstream.idle_timeout));
    fill(shown, "slow_after", time(upstream.slow_after));
    for server in shown.get_mut("servers").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::String(address) = server {
            *server = json!({ "address": address });
        }
        fill(server, "weight", 1);
    }
    let headers = shown.get_mut("add_headers").and_then(Value::as_object_mut);
    headers.into_iter().flat_map(Map::values_mut).for_each(|value| *value = HIDDEN.into());
    if let (Some(tls), Some(shown)) = (&upstream.tls, shown.get_mut("tls")) {
        fill(shown, "server_name", &*tls.settings().server_name.to_str());
    }
    if let Some(HealthRule { probe, interval, timeout, failures, successes }) = &upstream.health {
        let shown = section(shown, "health_check");
        match probe {
            Probe::Connect => fill(shown, "tcp", true),
            Probe::Get { status, .. } => {
                fill(shown, "tcp", false);
                fill(shown, "status", *status);
            }
        }
        fill(shown, "interval", time(*interval));
        fill(shown, "timeout", time(*timeout));
        fill(shown, "failures", *failures);
        fill(shown, "successes", *successes);
    }
    let ejection = section(shown, "ejection");
    fill(ejection, "failures", upstream.ejection.failures);
    fill(ejection, "time", time(upstream.ejection.time));
    let BreakerRule { failures, error_percent, window, min_requests, open_for } = upstream.breaker;
    if let Some(shown) = shown.get_mut("breaker") {
        fill(shown, "failures", failures);
        fill(shown, "error_percent", error_percent);
        fill(shown, "window", time(window));
        fill(shown, "min_requests", min_requests);
        fill(shown, "open_for", time(open_for));
    }
}

fn product_defaults(shown: &mut Value, product: &Product) {
    let names = |types: &[crate::policy::http::media::MediaType]| {
        types.iter().map(|media| media.name().to_owned()).collect::<Vec<_>>()
    };
    fill(shown, "accept", names(&product.media.served));
    fill(shown, "content_type", names(&product.media.taken));
    let deadline = section(shown, "deadline");
    fill(deadline, "min", time(Duration::from_secs(product.deadline.min_seconds)));
    fill(deadline, "max", time(Duration::from_secs(product.deadline.max_seconds)));
    fill(deadline, "default", time(product.deadline.default));
    for rule in &product.headers {
        let shown = section(section(shown, "headers"), &rule.name);
        match &rule.shape {
            Shape::Pattern { max_bytes, .. } => fill(shown, "max", *max_bytes),
            Shape::OneOf { ignore_case, .. } => fill(shown, "ignore_case", *ignore_case),
        }
        fill(shown, "echo", rule.echo);
    }
    if let Some(rule) = &product.body {
        let body = section(shown, "body");
        fill(body, "max", size(rule.max_bytes));
        fill(body, "strict", false);
        for problem in body.get_mut("problems").and_then(Value::as_array_mut).into_iter().flatten() {
            fill(problem, "when", "any");
        }
    }
    fill(shown, "preflight_max_age", time(Duration::from_secs(product.preflight.max_age_seconds)));
}

fn sampling(root: &mut Value, config: &Config) {
    let sampling = &config.policy.sampling;
    let metrics = section(root, "metrics");
    fill(metrics, "by_account", sampling.by_account);
    fill(metrics, "by_token", sampling.by_token);
    fill(metrics, "max_series", sampling.max_series);
    if let Some(access_log::AccessLogSettings { reference_key, names, .. }) = &config.outlets.access_log {
        let log = section(root, "access_log");
        fill(log, "names", names.word());
        fill(section(log, "sample"), "ok", sampling.ok_lines.get());
        if reference_key.is_some() {
            hide(log, "reference_key");
        }
    }
    let tracing = section(root, "tracing");
    fill(tracing, "traceparent", sampling.traceparent);
    if let Some(settings) = &config.outlets.otlp {
        let otlp = section(tracing, "otlp");
        fill(otlp, "sample", sampling.spans.get());
        fill(otlp, "trust_sampled", sampling.trust_sampled);
        fill(otlp, "service_name", &*settings.service_name);
    }
}

/// A value of a mapping, unless it is written.
fn fill(mapping: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(mapping) = mapping.as_object_mut() {
        mapping.entry(key).or_insert_with(|| value.into());
    }
}

/// A mapping within a mapping, which is there from now on.
fn section<'v>(mapping: &'v mut Value, key: &str) -> &'v mut Value {
    // A value of another kind was refused before; indexing makes a mapping of a blank one.
    let within = &mut mapping[key];
    if !within.is_object() {
        *within = json!({});
    }
    within
}

fn hide(mapping: &mut Value, key: &str) {
    if let Some(value) = mapping.get_mut(key) {
        *value = HIDDEN.into();
    }
}

fn allowance(allowance: Allowance) -> Value {
    let Allowance { limit, period, burst } = allowance;
    let unit = match period.as_secs() {
        1 => "s",
        60 => "min",
        3600 => "h",
        _ => "d",
    };
    json!({ "limit": format!("{limit}/{unit}"), "burst": burst })
}

fn size(bytes: usize) -> String {
    Bytes(bytes).to_string()
}

fn time(duration: Duration) -> String {
    match duration.subsec_nanos() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}
