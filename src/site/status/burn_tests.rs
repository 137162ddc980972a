//! The rules of burn rates, applied to histories that are built minute by minute.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::site::status::history::{DAY, HOUR, History};
use crate::telemetry::latency::{Histogram, bucket};
use crate::telemetry::traffic::Counted;

const STEP: Seconds = 60;
const NOW: Seconds = 20_000 * DAY + 15 * HOUR;

/// A history from runs of minutes: how many, requests in each, failures in each. The last minute is
/// now.
fn history(minutes: &[(u64, u64, u64)]) -> History {
    let product: Arc<str> = "plate".into();
    let mut history = History::new(STEP);
    let all: u64 = minutes.iter().map(|(count, ..)| count).sum();
    let mut now = NOW - (all - 1) * 60;
    for (count, total, failed) in minutes {
        for _ in 0..*count {
            let mut latency = Histogram::default();
            latency.add(bucket(Duration::from_millis(5)), total - failed);
            history.count(&product, now, &Counted { latency, failed: *failed });
            now += 60;
        }
    }
    history.forget(NOW);
    history
}

fn read(minutes: &[(u64, u64, u64)], told_until: Seconds, open: Option<usize>) -> Measurement {
    Burn::default().read(history(minutes).of("plate").unwrap(), STEP, NOW, told_until, open)
}

#[test]
fn rules_fire_as_the_workbook_says() {
    // Runs of minutes: how many, requests in each, failures in each.
    for (minutes, expected, what) in [
        (&[(4000, 1000, 0)][..], None, "nothing fails"),
        (&[(4000, 1000, 1)][..], Some(2), "the budget is used up in its own time"),
        (&[(4000, 10_000, 9)][..], None, "a little slower"),
        (&[(4000, 1000, 0), (2, 1000, 1000)][..], Some(0), "two minutes of nothing but failures"),
        (&[(4000, 1000, 0), (60, 1000, 15)][..], Some(0), "an hour at 15 times the rate"),
        (&[(4000, 1000, 0), (60, 1000, 13)][..], None, "an hour at 13 times the rate is no hour's incident"),
        (&[(4000, 1000, 0), (360, 1000, 7)][..], Some(1), "six hours at 7 times the rate"),
        (&[(4000, 1000, 0), (10, 1000, 1000), (20, 1000, 0)][..], Some(1), "twenty minutes after an outage"),
        (&[(4000, 1000, 0), (1, 4, 4)][..], None, "four failures are a handful"),
        (&[(1, 9, 9)][..], None, "so are nine, also when there is nothing else"),
        (&[(1, 10, 10)][..], Some(0), "ten are not"),
    ] {
        let rule = match read(minutes, 0, None) {
            Measurement::Bad { rule, .. } => Some(rule),
            Measurement::Between | Measurement::Calm { .. } => None,
        };
        assert_eq!(rule, expected, "{what}");
    }
}

#[test]
fn an_incident_begins_with_its_first_failure() {
    let reading = read(&[(600, 100, 0), (3, 100, 100)], 0, None);
    assert_eq!(reading, Measurement::Bad { since: NOW - 120, rule: 0 });
}

#[test]
fn what_was_told_does_not_begin_another_incident() {
    let outage = &[(4000, 1000, 0), (10, 1000, 1000), (20, 1000, 0)];
    assert!(matches!(read(outage, NOW - 19 * 60, None), Measurement::Calm { .. }));
    let again = &[(4000, 1000, 0), (10, 1000, 1000), (20, 1000, 0), (5, 1000, 1000)];
    assert_eq!(read(again, NOW - 24 * 60, None), Measurement::Bad { since: NOW - 4 * 60, rule: 0 });
}

#[test]
fn an_open_incident_is_calm_when_its_own_short_window_is() {
    let after = |good: u64| read(&[(4000, 1000, 0), (10, 1000, 1000), (good, 1000, 0)], 0, Some(0));
    assert!(matches!(after(3), Measurement::Bad { rule: 0, .. }));
    // Slower rules apply for hours, which must not keep it open.
    for good in [6, 20, 200] {
        let Measurement::Calm { since } = after(good) else { panic!("{good} minutes after: {:?}", after(good)) };
        assert!(since == NOW - good * 60 + 60 || good > 9 && since == NOW, "{good} {}", NOW - since);
    }
    let edge = read(&[(600, 1000, 0), (60, 1000, 10)], 0, Some(0));
    assert_eq!(edge, Measurement::Between, "below the rate, but not below half of it");
    assert_eq!(read(&[(600, 1000, 0), (60, 1000, 5)], 0, Some(0)), Measurement::Calm { since: NOW });
}

#[test]
fn nobody_asking_is_calm() {
    let history = history(&[(1, 10, 10)]);
    let much_later = NOW + 4 * DAY;
    let reading = Burn::default().read(history.of("plate").unwrap(), STEP, much_later, 0, Some(0));
    assert_eq!(reading, Measurement::Calm { since: much_later });
}
