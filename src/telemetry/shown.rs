//! Histograms in the text format of Prometheus.

use std::fmt;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::counters::{BOUNDS_NANOS, Histogram};

/// A histogram as it is shown.
#[derive(Debug)]
pub struct Shown<'h>(pub &'h Histogram);

impl EncodeMetric for Shown<'_> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let (counts, nanos) = self.0.sums();
        let bounds = BOUNDS_NANOS.into_iter().map(seconds).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        encoder.encode_histogram::<NoLabelSet>(seconds(nanos), counts.iter().sum(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// Nanoseconds as seconds, exact to well below a nanosecond for months.
#[expect(clippy::cast_precision_loss, reason = "a sum of times needs no more than 53 bits")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
