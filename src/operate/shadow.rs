//! What a shadow has found, as operators read it: the document of the admin API, and its metrics.
//!
//! How a candidate judges is `gateway/shadow.rs`; when it begins and ends is `reload/shadow.rs`.

mod metrics;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gateway::shadow::shadows::Shadows;
use crate::gateway::shadow::state::State;
use crate::gateway::shadow::tally::{Changed, OfAccount, Tally};
use crate::policy::seconds::Seconds;
use crate::site::status::notice::Moment;

pub use metrics::ShadowMetrics;

/// Whether a candidate judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ShadowStage")]
pub enum Stage {
    /// There has been none since the process began.
    None,
    Judging,
    /// It has ended, and what it has found is still here.
    Ended,
}

/// A shadow and what it has found. Counts are requests, and amounts are credits.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Shadow")]
pub struct ShadowDocument {
    pub state: Stage,
    /// The file of the candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// When it began (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Why it ended: dropped, promoted, replaced, changed, panicked or slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Requests that were judged twice.
    pub decisions: u64,
    /// Those that would end as they did and cost the same.
    pub same: u64,
    /// Those that would end with another row or another status.
    pub refused_otherwise: u64,
    /// Those that would cost something else.
    pub charged_otherwise: u64,
    /// Those whose clients have disconnected, or that were too large to be copied.
    pub undecided: u64,
    /// Requests that were not judged twice, since there was no room for their copies.
    pub lost: u64,
    /// Of requests of which both are known.
    pub credits: ThenNow,
    /// The processor time of the thread that judges, in seconds.
    pub processor_seconds: f64,
    /// The most frequent first.
    pub by_row: Vec<ByRow>,
    /// The most frequent first.
    pub by_price: Vec<ByPrice>,
    /// The account with the most changes first.
    pub by_account: Vec<ByAccount>,
}

/// Credits under the policy in force, and under the candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ShadowCredits")]
pub struct ThenNow {
    pub then: u64,
    pub now: u64,
}

/// Requests that would end otherwise in the same way.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ShadowRow")]
pub struct ByRow {
    /// How they ended: the slug of a problem, `answered`, or `answered with` a status.
    pub then: String,
    /// How they would: the same, or `let further` where nobody has read what comes behind the check that refused them.
    pub now: String,
    pub count: u64,
    pub examples: Vec<Example>,
}

/// Requests that would be charged otherwise in the same way.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ShadowPrice")]
pub struct ByPrice {
    pub then: u32,
    pub now: u32,
    pub count: u64,
    pub examples: Vec<Example>,
}

/// A request by which something can be looked up.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ShadowExample")]
pub struct Example {
    /// As its client has received it.
    pub transaction_id: String,
    /// When it came (RFC 3339).
    pub time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// What changes for an account.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ShadowAccount")]
pub struct ByAccount {
    /// Its name; `(unknown)` for requests without a known token, `(further)` for all accounts beyond the first thousand.
    pub account: String,
    /// Requests that had an answer and would be refused.
    pub refused: u64,
    /// Requests that were refused and would not be so.
    pub let_in: u64,
    /// Requests that would end with another problem or another status.
    pub otherwise: u64,
    pub charged_otherwise: u64,
    /// Of those that would be charged otherwise.
    pub credits: ThenNow,
}

impl From<(u64, u64)> for ThenNow {
    fn from((then, now): (u64, u64)) -> ThenNow {
        ThenNow { then, now }
    }
}

impl ShadowDocument {
    /// What is known of the shadow that judges, or of the last one.
    pub fn of(shadows: &Shadows) -> ShadowDocument {
        match shadows.last() {
            None => ShadowDocument::found(&Tally::default(), None),
            Some(state) => {
                let tally = state.tally().clone();
                ShadowDocument::found(&tally, Some(&state))
            }
        }
    }

    fn found(tally: &Tally, state: Option<&Arc<State>>) -> ShadowDocument {
        let ended = state.and_then(|state| state.ended());
        ShadowDocument {
            state: match (state, ended) {
                (None, _) => Stage::None,
                (Some(_), None) => Stage::Judging,
                (Some(_), Some(_)) => Stage::Ended,
            },
            config: state.map(|state| state.file().to_owned()),
            began: state.map(|state| time(state.began())),
            ended: ended.map(|(_, at)| time(at)),
            why: ended.map(|(why, _)| why.name().to_owned()),
            decisions: tally.decisions,
            same: tally.same,
            refused_otherwise: tally.refused_otherwise,
            charged_otherwise: tally.charged_otherwise,
            undecided: tally.undecided,
            lost: state.map_or(0, |state| state.queued().lost()),
            credits: tally.credits.into(),
            processor_seconds: state.map_or(0.0, |state| state.used().as_secs_f64()),
            by_row: by_row(tally),
            by_price: by_price(tally),
            by_account: by_account(tally),
        }
    }
}

fn time(seconds: Seconds) -> String {
    Moment(seconds).text()
}

fn by_row(tally: &Tally) -> Vec<ByRow> {
    let row = |((then, now), changed): (&(Box<str>, Box<str>), &Changed)| ByRow {
        then: then.to_string(),
        now: now.to_string(),
        count: changed.count,
        examples: examples(changed),
    };
    let mut rows: Vec<ByRow> = tally.rows.iter().map(row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.count));
    rows
}

fn by_price(tally: &Tally) -> Vec<ByPrice> {
    let price = |((then, now), changed): (&(u32, u32), &Changed)| ByPrice {
        then: *then,
        now: *now,
        count: changed.count,
        examples: examples(changed),
    };
    let mut prices: Vec<ByPrice> = tally.prices.iter().map(price).collect();
    prices.sort_by_key(|price| std::cmp::Reverse(price.count));
    prices
}

fn by_account(tally: &Tally) -> Vec<ByAccount> {
    let account = |(name, of): (&Arc<str>, &OfAccount)| {
        let OfAccount { refused, let_in, otherwise, charged_otherwise, credits } = *of;
        ByAccount { account: name.to_string(), refused, let_in, otherwise, charged_otherwise, credits: credits.into() }
    };
    let mut accounts: Vec<ByAccount> = tally.accounts.iter().map(account).collect();
    let weight = |of: &ByAccount| {
        of.refused.saturating_add(of.let_in).saturating_add(of.otherwise).saturating_add(of.charged_otherwise)
    };
    accounts.sort_by_key(|of| std::cmp::Reverse(weight(of)));
    accounts
}

fn examples(changed: &Changed) -> Vec<Example> {
    let example = |one: &crate::gateway::shadow::tally::Example| Example {
        transaction_id: one.transaction_id.clone(),
        time: time(one.at),
        account: one.account.as_deref().map(str::to_owned),
    };
    changed.examples.iter().map(example).collect()
}
