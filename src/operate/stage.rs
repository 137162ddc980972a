//! A configuration that is staged, as operators read it: the document of the admin API, and its metrics.
//!
//! When one is staged and what becomes of it is `reload/staged.rs`.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gateway::Gateway;
use crate::gateway::stages::{StageReport, Stages};
use crate::policy::staging::{BothEnds, Ends};
use crate::site::status::notice::Moment;

/// Whether a configuration is staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "StageState")]
pub enum StageState {
    /// None was since the process began.
    None,
    /// It is in force for a share of the accounts.
    Staged,
    /// It is no longer.
    Ended,
}

/// A configuration that is staged, or the last that was.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Stage")]
pub struct StageDocument {
    pub state: StageState,
    /// When it began (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<String>,
    /// When it is in force for all accounts unless refusals or failures rise, or when it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// What became of it: promoted, refusals, failures, taken_back or replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The percentage of the accounts for which it is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_percent: Option<u32>,
    /// The accounts for which it is in force in any case, since they have changed themselves.
    pub changed_accounts: usize,
    /// Requests of the share, under the staged configuration, and in as long a time before.
    pub share: BeforeAndNow,
    /// Requests of all other accounts, under the configuration before.
    pub others: BeforeAndNow,
}

/// How requests ended.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StageEnds")]
pub struct EndsDocument {
    pub requests: u64,
    /// With 4xx.
    pub refused: u64,
    /// With 5xx.
    pub failed: u64,
}

/// The same before and since.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StageBeforeAndNow")]
pub struct BeforeAndNow {
    pub before: EndsDocument,
    pub now: EndsDocument,
}

impl From<Ends> for EndsDocument {
    fn from(ends: Ends) -> EndsDocument {
        EndsDocument { requests: ends.requests, refused: ends.refused, failed: ends.failed }
    }
}

impl StageDocument {
    /// What is known of it.
    pub fn of(stages: &Stages) -> StageDocument {
        match stages.last() {
            Some(report) => StageDocument::of_report(&report),
            None => StageDocument {
                state: StageState::None,
                began: None,
                ends: None,
                outcome: None,
                share_percent: None,
                changed_accounts: 0,
                share: BeforeAndNow::default(),
                others: BeforeAndNow::default(),
            },
        }
    }

    fn of_report(report: &StageReport) -> StageDocument {
        let (before, now) = report.ends();
        let both = |of: fn(&BothEnds) -> Ends| BeforeAndNow { before: of(&before).into(), now: of(&now).into() };
        let (state, ends, outcome) = match report.ended {
            None => (StageState::Staged, report.began.saturating_add(report.rules.lasts.as_secs()), None),
            Some((outcome, at)) => (StageState::Ended, at, Some(outcome.name().to_owned())),
        };
        StageDocument {
            state,
            began: Some(Moment(report.began).text()),
            ends: Some(Moment(ends).text()),
            outcome,
            share_percent: Some(report.rules.share.0),
            changed_accounts: report.changed_accounts,
            share: both(|ends| ends.share),
            others: both(|ends| ends.others),
        }
    }
}

/// Shows the configuration that is staged.
pub struct StageMetrics(pub Arc<Gateway>);

impl fmt::Debug for StageMetrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StageMetrics")
    }
}

impl Collector for StageMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stages = self.0.stages();
        let staged = stages.last().filter(|report| report.ended.is_none());
        let help = "Whether a configuration is in force for a share of the accounts alone";
        let active = encoder.encode_descriptor("tollgate_stage_active", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::from(staged.is_some())).encode(active)?;
        let help = "Configurations that were staged, by what became of them";
        let mut ended = encoder.encode_descriptor("tollgate_stage_ended", help, None, MetricType::Counter)?;
        for (outcome, count) in stages.ended() {
            ConstCounter::new(count).encode(ended.encode_family(&[("outcome", outcome.name())])?)?;
        }
        let Some(report) = staged else { return Ok(()) };
        let help = "Requests since a configuration was staged, by whether it is in force for their accounts, and by how they \
                    ended";
        let mut requests = encoder.encode_descriptor("tollgate_stage_requests", help, None, MetricType::Counter)?;
        let (_, now) = report.ends();
        for (accounts, ends) in [("share", now.share), ("others", now.others)] {
            let answered = ends.requests.saturating_sub(ends.refused).saturating_sub(ends.failed);
            for (result, count) in [("answered", answered), ("refused", ends.refused), ("failed", ends.failed)] {
                let labels = [("accounts", accounts), ("result", result)];
                ConstCounter::new(count).encode(requests.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
