//! What the demo's portal has to show: two customers with tokens, a month of usage that is made up, refusals to mend, and
//! links to sign in with.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};

use super::words::{DAY_MS, HOUR_MS};
use crate::ledger::store::randomness::SystemRandomness;
use crate::ledger::store::{Store, usage};
use crate::operate::api::access::Api;
use crate::operate::api::client::{Asked, Client};
use crate::operate::api::in_force::InForce;
use crate::operate::api::people::NewInvitation;
use crate::operate::api::shown::{Account, NewToken};
use crate::operate::failure::Failure;
use crate::policy::Policy;
use crate::policy::account::Digest;
use crate::telemetry::usage::{RefusalRow, UsageRow};

/// Days of usage that are made up.
const DAYS: i64 = 30;

/// Who the demo's data says has made it.
const ACTOR: &str = "demo";

/// The product that customers use.
const PRODUCT: &str = "phone";

/// A token of a customer that works, and paths that people sign in with.
#[derive(Debug)]
pub struct Filled {
    /// Accepts an invitation as the owner of a customer's account.
    pub customer_path: String,
    /// Accepts an invitation as an operator.
    pub operator_path: String,
}

/// A customer of the demo.
struct Customer {
    name: &'static str,
    display: &'static str,
    credits: u64,
    /// Requests of a usual hour.
    busy: u64,
    tokens: &'static [&'static str],
}

const CUSTOMERS: [Customer; 2] = [
    Customer {
        name: "harbour-books",
        display: "Harbour Books (made up)",
        credits: 25_000,
        busy: 12,
        tokens: &["web shop", "nightly batch", "old app"],
    },
    Customer {
        name: "lighthouse-travel",
        display: "Lighthouse Travel (made up)",
        credits: 4_000,
        busy: 3,
        tokens: &["booking site"],
    },
];

/// A store with everything in it, at a path where none is.
///
/// # Errors
/// Why it could not be made.
pub fn fill(path: &Path, policy: Arc<Policy>, now_ms: i64) -> Result<Filled, Failure> {
    let opened = Store::open(path, Box::new(SystemRandomness));
    let store = Arc::new(opened.map_err(|error| format!("{}: {error}", path.display()))?);
    let (in_force, patience) = (InForce::Configuration(policy), Duration::ZERO);
    let api =
        Arc::new(Api { store: Arc::clone(&store), ledger: None, recorder: None, reloader: None, in_force, patience });
    let client = Client::here(&api, ACTOR.to_owned())?;
    let mut customer_path = String::new();
    for (index, customer) in CUSTOMERS.iter().enumerate() {
        let account = account(&client, customer)?;
        let (used, refused) = tokens(&client, &account, customer, now_ms)?;
        let added = store.maintain_here(move |connection| usage::add(connection, &used, &refused));
        added.map_err(|error| error.to_string())?;
        let path = format!("/accounts/{}/members", account.id);
        let owner = invited(&client, &path, &format!("owner@{}.example", customer.name), "owner")?;
        if index == 0 {
            customer_path = owner;
        }
    }
    let operator_path = invited(&client, "/users", "operator@tollgate.example", "admin")?;
    Ok(Filled { customer_path, operator_path })
}

fn make<T: serde::de::DeserializeOwned>(client: &Client, path: &str, body: Value) -> Result<T, Failure> {
    Ok(client.ask(&Asked::make(path, uuid::Uuid::new_v4().to_string(), Some(body)))?)
}

fn account(client: &Client, customer: &Customer) -> Result<Account, Failure> {
    let body = json!({
        "name": customer.name,
        "display": customer.display,
        "terms": { "own": { "rates": [{ "period": "minute", "requests": 150, "burst": 150 }] } },
        "products": [{ "product": PRODUCT, "funds": { "credits": { "first_grant": customer.credits } } }],
    });
    make(client, "/accounts", body)
}

fn invited(client: &Client, path: &str, email: &str, role: &str) -> Result<String, Failure> {
    let made: NewInvitation = make(client, path, json!({ "email": email, "role": role }))?;
    Ok(made.path.unwrap_or_default())
}

/// The tokens of a customer, what they have used, and what was refused of late.
fn tokens(
    client: &Client,
    account: &Account,
    customer: &Customer,
    now_ms: i64,
) -> Result<(Vec<UsageRow>, Vec<RefusalRow>), Failure> {
    let (mut used, mut refused) = (Vec::new(), Vec::new());
    for (index, name) in customer.tokens.iter().enumerate() {
        let path = format!("/accounts/{}/tokens", account.id);
        let made: NewToken = make(client, &path, json!({ "name": name, "products": [PRODUCT] }))?;
        let digest = Digest::of(made.secret.unwrap_or_default().as_bytes());
        let one = format!("{path}/{}", made.token.id);
        let change = |method, rest: &str, body| {
            client.ask::<Value>(&Asked::change(method, format!("{one}{rest}"), "*", body)).map(drop)
        };
        if index == 0 {
            let networks = [json!({ "value": "203.0.113.0/28", "note": "offices" }), json!({ "value": "127.0.0.1" })];
            change(Method::PUT, "/networks", Some(json!({ "mode": "enforce", "entries": networks })))?;
            let domains = [json!({ "value": "www.harbour.example", "note": "the shop" })];
            let list = json!({ "mode": "enforce", "entries": domains, "absent": "allow" });
            change(Method::PUT, "/domains", Some(list))?;
            refused.extend(refusals(account, name, now_ms));
        }
        if *name == "old app" {
            change(Method::POST, "/disable", None)?;
        }
        used.extend(month(account, name, digest, (customer.busy, index), now_ms));
    }
    Ok((used, refused))
}

/// A month of usage of a token, by a rule that looks like days and weeks.
fn month(account: &Account, token: &str, digest: Digest, (busy, index): (u64, usize), now_ms: i64) -> Vec<UsageRow> {
    let last_hour = now_ms.div_euclid(HOUR_MS) * HOUR_MS;
    let hours = (1..DAYS * 24).map(|back| last_hour - back * HOUR_MS);
    let row = |hour: i64, outcome: &str, requests: u64, credits: u64| UsageRow {
        hour,
        account: account.name.as_str().into(),
        token: token.into(),
        digest,
        product: PRODUCT.into(),
        outcome: outcome.into(),
        requests,
        credits,
        watched: [0, 0],
        last_at: hour + HOUR_MS - 1,
    };
    hours
        .flat_map(|hour| {
            let (of_day, day) = (hour.rem_euclid(DAY_MS) / HOUR_MS, hour.div_euclid(DAY_MS));
            let is_open = (7..20).contains(&of_day);
            // 1970 began with a Thursday.
            let is_weekend = matches!(day.rem_euclid(7), 2 | 3);
            let wave = u64::try_from((day * 7 + of_day * 3).rem_euclid(5)).unwrap_or_default();
            let factor = if is_open { 2 + wave } else { 1 } / if is_weekend { 2 } else { 1 };
            let requests = busy * factor / (1 + index as u64 * 2);
            let mut rows = vec![row(hour, "", requests, requests)];
            if wave == 4 && is_open {
                rows.push(row(hour, "body-malformed", 1 + busy / 4, 0));
            }
            rows.retain(|row| row.requests > 0);
            rows
        })
        .collect()
}

/// Refusals of the last hours that the portal can mend.
fn refusals(account: &Account, token: &str, now_ms: i64) -> Vec<RefusalRow> {
    let row = |back: i64, problem: &str, reason: &'static str, address: &str, host: &str, requests: u64| RefusalRow {
        minute: (now_ms - back * HOUR_MS / 4).div_euclid(60_000) * 60_000,
        account: account.name.as_str().into(),
        token: token.into(),
        product: PRODUCT.into(),
        problem: problem.into(),
        is_watched: false,
        reason,
        address: address.to_owned(),
        host: host.to_owned(),
        requests,
        transaction: *uuid::Uuid::new_v4().as_bytes(),
    };
    vec![
        row(9, "body-malformed", "the body is not one JSON value", "", "", 2),
        row(2, "ip-not-allowed", "the address is in none of the networks", "203.0.113.44", "", 5),
        row(1, "domain-not-allowed", "the domain is not listed", "", "app.harbour.example", 17),
    ]
}
