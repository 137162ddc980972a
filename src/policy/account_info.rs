//! The account's own information: its credits and its rate.
//!
//! Access is decided in `admit.rs`. The account's name is internal to the operator and not shown.

use serde_json::{Value, json};

use crate::policy::account::Account;
use crate::policy::credits::balance::BalanceSnapshot;
use crate::policy::now::Now;

/// One JSON document about an account. Members of `credits` are whole numbers of credits, and
/// `granted` is always the sum of the other three; `reset` is seconds since 1970-01-01 UTC. An
/// account without a rate has null in its place.
pub fn tell(account: &Account, now: Now) -> Vec<u8> {
    let credits = account.credit_accounts.iter().map(|credit_account| {
        let BalanceSnapshot { granted, available, held, spent } = credit_account.snapshot();
        json!({
            "product": &*credit_account.product,
            "balance": available,
            "held": held,
            "spent": spent,
            "granted": granted,
        })
    });
    let rate = account.rate.state(now).map(|state| {
        json!({
            "limit": state.allowance.limit,
            "period_seconds": state.allowance.period.as_secs(),
            "remaining": state.remaining,
            "reset": state.reset_unix_seconds,
        })
    });
    json!({ "credits": credits.collect::<Vec<Value>>(), "rate": rate }).to_string().into_bytes()
}
