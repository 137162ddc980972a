//! How far usage was sent for billing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{Kind, Problem};
use super::refusal::refused;
use super::route::{Call, NoBody, Reply};
use super::shown::Time;
use crate::ledger::store::billing;

/// How far usage was sent for billing, and why not further.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Billing {
    /// The hours before this time are complete, and are sent.
    pub closed_until: Time,
    /// Events of these hours that were not accepted yet.
    pub waiting: i64,
    /// The hour of the oldest of them.
    pub oldest_waiting: Option<Time>,
    /// Events that were accepted.
    pub sent: i64,
    /// Events that were removed before they were accepted, since usage is kept no longer.
    pub lost: i64,
    /// When a batch was accepted last.
    pub accepted_at: Option<Time>,
    /// When it was tried last in vain; null if a batch was accepted since.
    pub failed_at: Option<Time>,
    /// Why it was in vain.
    pub fault: Option<String>,
}

/// How far usage was sent.
pub async fn get(call: Call<NoBody>) -> Result<Reply<Billing>, Problem> {
    let found = call.api.store.read(|connection| {
        let Some(progress) = billing::progress(connection)? else { return Ok(None) };
        let backlog = billing::backlog(connection, &progress)?;
        Ok(Some((progress, backlog)))
    });
    let Some((progress, (waiting, oldest))) = found.await.map_err(refused)? else {
        let why = "Usage is not sent anywhere: the configuration has no `billing`, or no gateway has begun yet.";
        return Err(Problem::new(Kind::NotFound, why));
    };
    Ok(Reply::of(Billing {
        closed_until: Time(progress.closed),
        waiting,
        oldest_waiting: oldest.map(Time),
        sent: progress.sent,
        lost: progress.lost,
        accepted_at: progress.accepted_at.map(Time),
        failed_at: progress.failed_at.map(Time),
        fault: progress.fault,
    }))
}
