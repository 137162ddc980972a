//! Rollups, tested against days of UTC, against their limits, and against a simple model.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::telemetry::latency::bucket;

const NOON: Seconds = 20_000 * DAY + 12 * HOUR;

fn counted(answered: u64, failed: u64) -> Counted {
    let mut latency = Histogram::default();
    latency.add(bucket(Duration::from_millis(10)), answered);
    Counted { latency, failed }
}

fn product() -> Arc<str> {
    "plate".into()
}

#[test]
fn no_traffic_is_no_availability_and_a_single_failure_is_never_rounded_away() {
    for (answered, failed, expected) in [
        (0, 0, None),
        (1, 0, Some(100_000)),
        (0, 1, Some(0)),
        (999, 1, Some(99_900)),
        (u64::MAX / 2, 1, Some(99_999)),
        (2, 1, Some(66_666)),
    ] {
        assert_eq!(Tally { answered, failed }.availability(), expected, "{answered} {failed}");
    }
}

#[test]
fn days_are_days_of_utc() {
    let mut history = History::new(60);
    let midnight = 20_001 * DAY;
    history.count(&product(), midnight - 1, &counted(1, 1));
    history.count(&product(), midnight, &counted(4, 0));
    let series = history.of("plate").unwrap();
    assert_eq!(series.days(midnight, 1).tally, Tally { answered: 4, failed: 0 });
    assert_eq!(series.days(midnight, 2).tally, Tally { answered: 5, failed: 1 });
    assert_eq!(series.days(midnight - 1, 1).tally.total(), 6, "nothing is newer than today");
    assert_eq!(series.days(midnight + DAY, 1).tally.total(), 0, "no requests today");
}

#[test]
fn windows_of_days_have_that_many_days() {
    let mut history = History::new(60);
    for day in 0..DAYS_KEPT + 5 {
        history.count(&product(), NOON - day * DAY, &counted(1, 0));
    }
    history.forget(NOON);
    let series = history.of("plate").unwrap();
    for (days, expected) in [(1, 1), (7, 7), (30, 30), (90, 90), (400, 90)] {
        assert_eq!(series.days(NOON, days).tally.answered, expected, "{days} days");
    }
}

#[test]
fn what_is_kept_is_bounded_however_much_is_counted() {
    let mut history = History::new(60);
    for minute in 0..3 * STEPS_KEPT {
        let now = NOON + minute * 60 * 97;
        for number in 0..2 * MAX_SERIES {
            if number < 3 || minute == 0 {
                history.count(&format!("product-{number}").into(), now, &counted(1, 1));
            }
        }
        history.forget(now);
    }
    assert!(history.series.len() <= MAX_SERIES);
    for series in history.series.values() {
        assert!(series.steps.len() as u64 <= STEPS_KEPT);
        assert!(series.hours.len() as u64 <= HOURS_KEPT);
        assert!(series.days.len() as u64 <= DAYS_KEPT);
        assert!(series.unsaved.len() as u64 <= STEPS_KEPT + HOURS_KEPT + DAYS_KEPT);
    }
}

#[test]
fn a_product_that_comes_after_too_many_takes_the_place_of_the_quietest() {
    let mut history = History::new(60);
    for number in 0..MAX_SERIES {
        let number = u64::try_from(number).unwrap();
        history.count(&format!("product-{number}").into(), NOON + number * DAY, &counted(1, 0));
    }
    history.count(&"new".into(), NOON, &counted(1, 0));
    assert!(history.of("new").is_some() && history.of("product-0").is_none() && history.of("product-1").is_some());
}

#[test]
fn what_another_process_has_counted_is_added_once() {
    let mut before = History::new(60);
    before.count(&product(), NOON, &counted(3, 1));
    let mut after = History::new(60);
    after.count(&product(), NOON, &counted(2, 0));
    before.unsaved().iter().for_each(|entry| after.absorb(entry));
    let series = after.of("plate").unwrap();
    let both = Tally { answered: 5, failed: 1 };
    assert_eq!((series.days(NOON, 1).tally, series.last(60, 60, NOON, 0)), (both, both));
    assert_eq!(after.unsaved().len(), 3, "the counts of both have to be saved as one entry");

    let mut idle = History::new(60);
    before.unsaved().iter().for_each(|entry| idle.absorb(entry));
    assert!(idle.unsaved().is_empty(), "what is in the file is not saved again");
    let mut others = History::new(7);
    before.unsaved().iter().for_each(|entry| others.absorb(entry));
    let series = others.of("plate").unwrap();
    assert_eq!((series.steps.len(), series.hours.len(), series.days.len()), (0, 1, 1));
}

#[test]
fn steps_of_another_length_begin_anew_and_days_go_on() {
    let mut history = History::new(60);
    history.count(&product(), NOON, &counted(3, 1));
    history.set_step(60);
    assert_eq!(history.of("plate").unwrap().last(300, 60, NOON, 0).total(), 4);
    history.set_step(5);
    let series = history.of("plate").unwrap();
    assert_eq!((series.steps.len(), series.days(NOON, 1).tally.total()), (0, 4));
    assert!(history.unsaved().iter().all(|entry| entry.seconds != 60 && entry.seconds != 5));
}

#[test]
fn failures_that_were_told_count_as_answers() {
    let mut history = History::new(60);
    history.count(&product(), NOON, &counted(8, 2));
    history.count(&product(), NOON + 300, &counted(7, 3));
    let series = history.of("plate").unwrap();
    for (since, expected) in [(0, 5), (NOON, 5), (NOON + 59, 5), (NOON + 60, 3), (NOON + 300, 3), (NOON + 360, 0)] {
        let tally = series.last(3600, 60, NOON + 300, since);
        assert_eq!((tally.failed, tally.total()), (expected, 20), "since {}", since - NOON.min(since));
    }
}

proptest! {
    /// Compares with a simple model: a list of counts and their times.
    #[test]
    fn windows_have_what_was_counted_in_them(
        counts in proptest::collection::vec((0_u64..4000, 0_u64..5, 0_u64..5), 1..60),
        window in 1_u64..3000,
    ) {
        let mut history = History::new(10);
        let mut now = NOON;
        let mut all = Vec::new();
        for (pause, answered, failed) in counts {
            now += pause / 10;
            history.count(&product(), now, &counted(answered, failed));
            history.forget(now);
            all.push((now, answered, failed));
        }
        let Some(series) = history.of("plate") else { return Ok(()) };
        let found = series.last(window, 10, now, 0);
        // An entry counts as a whole if a part of it is in the window.
        let sum = |slack: u64| {
            let within = all.iter().filter(|(at, ..)| *at + window + slack > now);
            within.fold((0, 0), |sum, (_, answered, failed)| (sum.0 + answered, sum.1 + failed))
        };
        let (least, most) = (sum(0), sum(10));
        prop_assert!((least.0..=most.0).contains(&found.answered), "{found:?} {least:?} {most:?}");
        prop_assert!((least.1..=most.1).contains(&found.failed), "{found:?} {least:?} {most:?}");
    }
}
