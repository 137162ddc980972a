//! The account's own information: its credits and its rate.
//!
//! Access is decided in `admit.rs`. The account's name is internal to the operator and not shown.

use serde_json::{Value, json};

use crate::policy::account::Principal;
use crate::policy::calendar::Calendar;
use crate::policy::credits::balance::BalanceSnapshot;
use crate::policy::limit::{Asker, LimitState, Owner, nearest};
use crate::policy::now::Now;

/// One JSON document about an account. Members of `credits` are whole numbers of credits, and
/// `granted` is always the sum of the other three; `reset` is seconds since 1970-01-01 UTC. `rate` is
/// the one that is nearest to its end; an account without a rate has null in its place. `limits` has all
/// rates and quotas of the account, of its products and of the token that asks, by the names of headers.
pub fn tell(principal: Principal<'_>, now: Now) -> Vec<u8> {
    let account = principal.account;
    let credits = account.credit_accounts.iter().map(|credit_account| {
        let BalanceSnapshot { granted, available, held, spent } = credit_account.shown();
        json!({
            "product": &*credit_account.product,
            "balance": available,
            "held": held,
            "spent": spent,
            "granted": granted,
        })
    });
    let states = account.limits(Asker { product: None, token: &principal.token.name }, now);
    let told = |state: &LimitState| {
        json!({
            "limit": state.limit,
            "period_seconds": state.window_seconds,
            "remaining": state.remaining,
            "reset": state.reset_unix_seconds,
        })
    };
    let all = match &account.meter {
        Some(meter) => meter.all(&principal.token.name, now),
        None => states.iter().map(|state| (Owner::Account, *state)).collect(),
    };
    let limits = all.iter().map(|(owner, state)| {
        let mut limit = told(state);
        let product = match owner {
            Owner::Product(product) => Some(&**product),
            Owner::Account | Owner::Token(_) => None,
        };
        if let Some(members) = limit.as_object_mut() {
            members.insert("name".to_owned(), state.name.into());
            members.insert("renewed".to_owned(), state.calendar.map_or("continuously", Calendar::word).into());
            members.extend(product.map(|product| ("product".to_owned(), product.into())));
        }
        limit
    });
    let mut document = json!({
        "credits": credits.collect::<Vec<Value>>(),
        "rate": nearest(&states).map(told),
        "limits": limits.collect::<Vec<Value>>(),
    });
    let in_flight = account.meter.as_ref().and_then(|meter| meter.in_flight());
    if let (Some((in_flight, most)), Some(members)) = (in_flight, document.as_object_mut()) {
        members.insert("concurrency".to_owned(), json!({ "limit": most, "in_flight": in_flight }));
    }
    document.to_string().into_bytes()
}
