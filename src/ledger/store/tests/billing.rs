//! Closed hours, the cursor behind what was accepted, and what is written late.

use super::*;
use crate::ledger::store::billing::{self, BilledRow};
use crate::ledger::store::{upkeep, usage};
use crate::policy::account::Digest;
use crate::telemetry::usage::{HOUR_MS, UsageRow};

on_both_engines! {
    what_is_written_late_is_an_event_of_its_own,
    what_is_removed_before_it_was_accepted_is_counted,
}

/// A minute: an hour is closed so long after its end.
const MINUTE: i64 = 60_000;

fn used(hour: i64, account: &str, requests: u64) -> UsageRow {
    UsageRow {
        hour: NOW + hour * HOUR_MS,
        account: account.into(),
        token: "web".into(),
        digest: Digest::of(b"web"),
        product: "plate".into(),
        outcome: "".into(),
        requests,
        credits: 0,
        watched: [0, 0],
        last_at: NOW,
    }
}

impl Bench {
    fn waiting(&mut self, at: i64) -> Vec<BilledRow> {
        let progress = billing::close_hours(&mut self.connection, &mut self.random, at).unwrap();
        let rows = billing::waiting(&self.connection, &progress, 100).unwrap();
        assert_eq!(billing::backlog(&self.connection, &progress).unwrap().0, i64::try_from(rows.len()).unwrap());
        rows
    }
}

fn what_is_written_late_is_an_event_of_its_own() {
    let mut bench = Bench::new("late");
    assert_eq!(billing::progress(&bench.connection).unwrap(), None);
    // What was used before it was configured is not sent.
    usage::add(&mut bench.connection, &[used(-1, "acme", 1)], &[]).unwrap();
    assert_eq!(bench.waiting(NOW + MINUTE), []);
    usage::add(&mut bench.connection, &[used(0, "acme", 5), used(0, "bee", 1)], &[]).unwrap();
    assert_eq!(bench.waiting(NOW + HOUR_MS + MINUTE - 1), [], "the hour is open");
    let first = bench.waiting(NOW + HOUR_MS + MINUTE);
    assert_eq!(first.iter().map(|row| (&*row.account, row.requests)).collect::<Vec<_>>(), [("acme", 5), ("bee", 1)]);
    usage::add(&mut bench.connection, &[used(0, "acme", 3)], &[]).unwrap();
    assert_eq!(bench.waiting(NOW + HOUR_MS + MINUTE), first, "a row of a closed hour never changes");
    // The clock that is set back opens nothing.
    assert_eq!(bench.waiting(NOW), first);
    billing::accepted(&bench.connection, &first[0], 1, NOW).unwrap();
    assert_eq!(bench.waiting(NOW + HOUR_MS + MINUTE), first[1..]);
    // A slower process is not set back, and counts nothing twice.
    billing::accepted(&bench.connection, &first[1], 1, NOW).unwrap();
    billing::accepted(&bench.connection, &first[0], 1, NOW).unwrap();
    let late = bench.waiting(NOW + 2 * HOUR_MS + MINUTE);
    assert_eq!(late.iter().map(|row| (row.hour, row.requests)).collect::<Vec<_>>(), [(NOW, 3)]);
    assert_eq!(billing::progress(&bench.connection).unwrap().unwrap().sent, 2);
    let stream = billing::progress(&bench.connection).unwrap().unwrap().stream;
    let mut ids: Vec<String> = first.iter().chain(&late).map(|row| row.event_id(&stream)).collect();
    assert!(ids.iter().all(|id| id.len() == 32));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    assert_ne!(first[0].event_id(&stream), first[0].event_id(&"0".repeat(32)), "another store has other ids");
}

fn what_is_removed_before_it_was_accepted_is_counted() {
    let mut bench = Bench::new("lost");
    bench.waiting(NOW + MINUTE);
    usage::add(&mut bench.connection, &[used(0, "acme", 5), used(0, "bee", 1), used(1, "acme", 1)], &[]).unwrap();
    let first = bench.waiting(NOW + HOUR_MS + MINUTE);
    billing::accepted(&bench.connection, &first[0], 1, NOW).unwrap();
    billing::failed(&bench.connection, "it answers 503", NOW).unwrap();
    let kept = i64::try_from(KEPT.usage.as_millis()).unwrap();
    assert!(!upkeep::step(&mut bench.connection, &KEPT, NOW + kept).unwrap());
    let progress = billing::progress(&bench.connection).unwrap().unwrap();
    assert_eq!((progress.sent, progress.lost, progress.fault.as_deref()), (1, 1, Some("it answers 503")));
    assert_eq!(bench.rows().into_iter().find(|(name, _)| name == "usage_hour").unwrap().1, 1);
}
