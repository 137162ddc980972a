//! The metrics of alerts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::ledger::store::alerts::{AlertFigures, Channel};
use crate::platform::clock::unix_milliseconds;

type ByChannel = Family<[(&'static str, &'static str); 1], Counter>;

/// What is counted, and how it was at the last look.
#[derive(Clone, Debug, Default)]
pub struct AlertMetrics {
    sent: ByChannel,
    failures: ByChannel,
    given_up: ByChannel,
    open: Arc<AtomicI64>,
    waiting: Arc<AtomicI64>,
    /// When the oldest message that waits was made, in milliseconds since 1970; 0 for none.
    oldest: Arc<AtomicI64>,
    postponed: Arc<AtomicI64>,
}

const fn label(channel: Channel) -> [(&'static str, &'static str); 1] {
    [("channel", channel.word())]
}

impl AlertMetrics {
    /// Those of some channels, which begin at 0.
    pub fn of(channels: &[Channel]) -> AlertMetrics {
        let metrics = AlertMetrics::default();
        for channel in channels {
            for family in [&metrics.sent, &metrics.failures, &metrics.given_up] {
                drop(family.get_or_create(&label(*channel)));
            }
        }
        metrics
    }

    /// A message was accepted.
    pub fn sent(&self, channel: Channel) {
        self.sent.get_or_create(&label(channel)).inc();
    }

    /// An attempt has failed.
    pub fn failed(&self, channel: Channel) {
        self.failures.get_or_create(&label(channel)).inc();
    }

    /// A message is not tried any more.
    pub fn gave_up(&self, channel: Channel) {
        self.given_up.get_or_create(&label(channel)).inc();
    }

    /// How it is at a look.
    pub fn set(&self, figures: AlertFigures, postponed: usize) {
        self.open.store(figures.open, Ordering::Relaxed);
        self.waiting.store(figures.waiting, Ordering::Relaxed);
        self.oldest.store(figures.oldest.unwrap_or_default(), Ordering::Relaxed);
        self.postponed.store(i64::try_from(postponed).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Shows them.
    pub fn register(&self, registry: &mut Registry) {
        let AlertMetrics { sent, failures, given_up, .. } = self.clone();
        registry.register("tollgate_alerts_sent_messages", "Messages of alerts that were accepted", sent);
        registry.register("tollgate_alerts_failures", "Attempts to send a message of an alert that failed", failures);
        let help = "Messages of alerts that are not tried any more";
        registry.register("tollgate_alerts_given_up_messages", help, given_up);
        registry.register_collector(Box::new(self.clone()));
    }
}

impl Collector for AlertMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let oldest = self.oldest.load(Ordering::Relaxed);
        let age = if oldest == 0 { 0 } else { unix_milliseconds().saturating_sub(oldest).max(0) / 1000 };
        for (name, help, value) in [
            (
                "tollgate_alerts_open",
                "Balances below their threshold and tokens about to end that were told",
                self.open.load(Ordering::Relaxed),
            ),
            (
                "tollgate_alerts_waiting_messages",
                "Messages of alerts that were not accepted yet",
                self.waiting.load(Ordering::Relaxed),
            ),
            (
                "tollgate_alerts_oldest_waiting_seconds",
                "For how long the oldest of them has been waiting; 0 for none",
                age,
            ),
            (
                "tollgate_alerts_postponed",
                "Crossings that are told later, since too many messages wait",
                self.postponed.load(Ordering::Relaxed),
            ),
        ] {
            let of = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(of)?;
        }
        Ok(())
    }
}
