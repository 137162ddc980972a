//! Rates and quotas of an account as they are now: what of each is left, and when it is whole again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::in_force::InForce;
use super::problem::{Kind, Problem};
use super::refusal::refused;
use super::route::{Call, NoBody, Reply};
use super::shown::Time;
use crate::ledger::store::accounts;
use crate::policy::account::Account;
use crate::policy::limit::{Asker, LimitState, Owner};
use crate::policy::now::Now;

/// A rate or a quota at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Limit")]
pub struct ShownLimit {
    /// The product whose limit it is; null: it is for all products.
    pub product: Option<String>,
    /// The token whose limit it is; null: it is for all tokens.
    pub token: Option<String>,
    /// Requests in a period.
    pub limit: u64,
    /// The period: `continuously` of so many seconds, or a calendar's `day` or `month`.
    pub renewed: String,
    /// Seconds of the period.
    pub period_seconds: u64,
    /// Requests that are left.
    pub remaining: u64,
    /// When all of it is there again if nothing is asked until then.
    pub whole_at: Time,
}

/// All rates and quotas of an account.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AccountLimits {
    /// One for each limit; none where nothing is limited.
    pub items: Vec<ShownLimit>,
    /// Requests in flight, where they are limited.
    pub in_flight: Option<InFlight>,
}

/// Requests in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InFlight {
    /// How many there are.
    pub now: u32,
    /// How many there may be.
    pub limit: u32,
}

impl ShownLimit {
    fn of(owner: &Owner, state: &LimitState) -> ShownLimit {
        let (product, token) = match owner {
            Owner::Account => (None, None),
            Owner::Product(product) => (Some(product.to_string()), None),
            Owner::Token(token) => (None, Some(token.to_string())),
        };
        let seconds = i64::try_from(state.reset_unix_seconds).unwrap_or(i64::MAX / 1000);
        ShownLimit {
            product,
            token,
            limit: state.limit,
            renewed: state.calendar.map_or("continuously", |calendar| calendar.word()).to_owned(),
            period_seconds: state.window_seconds,
            remaining: state.remaining,
            whole_at: Time(seconds.saturating_mul(1000)),
        }
    }
}

/// The limits of an account.
pub async fn get(call: Call<NoBody>) -> Result<Reply<AccountLimits>, Problem> {
    let id = call.value(0).to_owned();
    let found = call.api.store.read(move |connection| accounts::get(connection, &id)).await;
    let name = found.map_err(refused)?.name;
    let InForce::Gateway(gateway, _) = &call.api.in_force else {
        return Err(Problem::new(
            Kind::StoreUnavailable,
            "No gateway runs here, and nothing else knows what was used.",
        ));
    };
    let (snapshot, now) = (gateway.snapshot(), gateway.now());
    let account = snapshot.policy.accounts.by_name(&name);
    let items = account.map(|account| of(account, now)).unwrap_or_default();
    let in_flight = account.and_then(|account| account.meter.as_ref()?.in_flight());
    let in_flight = in_flight.map(|(now, limit)| InFlight { now, limit: limit.get() });
    Ok(Reply::of(AccountLimits { items, in_flight }))
}

fn of(account: &Account, now: Now) -> Vec<ShownLimit> {
    let Some(meter) = &account.meter else {
        let states = account.limits(Asker { product: None, token: "" }, now);
        return states.iter().map(|state| ShownLimit::of(&Owner::Account, state)).collect();
    };
    let shared = meter.all("", now).into_iter();
    let of_tokens = account.keys.iter().flat_map(|key| {
        let all = meter.all(&key.token.name, now).into_iter();
        all.filter(|(owner, _)| matches!(owner, Owner::Token(_)))
    });
    let all = shared.filter(|(owner, _)| !matches!(owner, Owner::Token(_))).chain(of_tokens);
    all.map(|(owner, state)| ShownLimit::of(&owner, &state)).collect()
}
