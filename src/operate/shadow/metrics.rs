//! The metrics of the shadow that judges, made when they are scraped.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::gateway::Gateway;
use crate::gateway::shadow::state::State;

/// Shows what the shadow of a gateway has found.
pub struct ShadowMetrics(pub Arc<Gateway>);

impl fmt::Debug for ShadowMetrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ShadowMetrics")
    }
}

impl Collector for ShadowMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let shadows = self.0.shadows();
        let running = shadows.running();
        let help = "Whether a candidate policy judges beside the one in force";
        let active = encoder.encode_descriptor("tollgate_shadow_active", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::from(running.is_some())).encode(active)?;
        let help = "Candidate policies that have ended, by why";
        let mut ended = encoder.encode_descriptor("tollgate_shadow_ended", help, None, MetricType::Counter)?;
        for (why, count) in shadows.ended() {
            ConstCounter::new(count).encode(ended.encode_family(&[("reason", why.name())])?)?;
        }
        running.map_or(Ok(()), |state| found(&mut encoder, &state))
    }
}

/// What the candidate has found that judges now. All of it begins anew with the next one.
fn found(encoder: &mut DescriptorEncoder<'_>, state: &State) -> Result<(), fmt::Error> {
    // Not held while the rest is written.
    let tally = state.tally().clone();
    let help = "Requests that the candidate has judged, by what came of it; lost ones it has not";
    let mut decisions = encoder.encode_descriptor("tollgate_shadow_decisions", help, None, MetricType::Counter)?;
    let differ = tally.decisions.saturating_sub(tally.same).saturating_sub(tally.undecided);
    for (result, count) in
        [("same", tally.same), ("different", differ), ("undecided", tally.undecided), ("lost", state.queued().lost())]
    {
        ConstCounter::new(count).encode(decisions.encode_family(&[("result", result)])?)?;
    }
    let help = "Requests that would end otherwise, by how they ended and how they would";
    let mut rows = encoder.encode_descriptor("tollgate_shadow_differences", help, None, MetricType::Counter)?;
    for ((then, now), changed) in &tally.rows {
        let labels = [("then", &**then), ("now", &**now)];
        ConstCounter::new(changed.count).encode(rows.encode_family(&labels)?)?;
    }
    let help = "Requests that would be charged otherwise";
    let charged = encoder.encode_descriptor("tollgate_shadow_charged_otherwise", help, None, MetricType::Counter)?;
    ConstCounter::new(tally.charged_otherwise).encode(charged)?;
    let help = "Credits of requests of which both prices are known, by which policy";
    let mut credits = encoder.encode_descriptor("tollgate_shadow_credits", help, None, MetricType::Counter)?;
    for (policy, count) in [("in_force", tally.credits.0), ("candidate", tally.credits.1)] {
        ConstCounter::new(count).encode(credits.encode_family(&[("policy", policy)])?)?;
    }
    let help = "Processor time of the thread that judges";
    let used = encoder.encode_descriptor("tollgate_shadow_cpu_seconds", help, None, MetricType::Counter)?;
    ConstCounter::new(state.used().as_secs_f64()).encode(used)
}
