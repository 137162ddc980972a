//! Outages as the book records them, restarts, and the limits of what is kept.

use std::time::Duration;

use super::*;
use crate::site::status::example;
use crate::site::status::history::HOUR;
use crate::site::status::notice::Matter;
use crate::telemetry::latency::bucket;

const NOW: Seconds = 20_000 * DAY + 15 * HOUR;

fn product() -> Arc<str> {
    "plate".into()
}

fn counted(answered: u64, failed: u64) -> Counted {
    let mut counted = Counted { failed, ..Counted::default() };
    counted.latency.add(bucket(Duration::from_millis(20)), answered);
    counted
}

/// Adds minutes of a product, each with this many answers and failures, in one state of its
/// servers' health.
fn pass(book: &mut Book, now: &mut Seconds, minutes: u64, answered: u64, failed: u64, health: Health) {
    for _ in 0..minutes {
        *now += 60;
        book.count(&product(), *now, &counted(answered, failed));
        book.look(*now, &[ProductState { product: product(), health }]);
    }
}

fn told(book: &Book) -> Vec<(Kind, Seconds, Option<Seconds>)> {
    let after = |at: Seconds| (at - NOW) / 60;
    book.incidents().map(|incident| (incident.kind, after(incident.started), incident.ended.map(after))).collect()
}

#[test]
fn an_outage_is_one_incident_of_each_kind_with_its_own_times() {
    let (mut book, mut now) = (Book::new(StatusSettings::default()), NOW);
    pass(&mut book, &mut now, 60, 100, 0, Health::Up);
    pass(&mut book, &mut now, 10, 0, 100, Health::Down);
    assert_eq!(told(&book), [(Kind::Backend, 61, None), (Kind::Failures, 61, None)]);
    // Six hours, since these failures stay in the windows of slower rules for that long.
    pass(&mut book, &mut now, 360, 100, 0, Health::Up);
    assert_eq!(told(&book), [(Kind::Backend, 61, Some(71)), (Kind::Failures, 61, Some(71))]);
    let failures = book.incidents().find(|incident| incident.kind == Kind::Failures).unwrap();
    let all_failed = Tally { answered: 0, failed: 1000 };
    assert_eq!((failures.tally, failures.rule), (all_failed, 0), "requests after its end are not part of it");
}

#[test]
fn a_second_outage_is_a_second_incident() {
    let (mut book, mut now) = (Book::new(StatusSettings::default()), NOW);
    pass(&mut book, &mut now, 60, 100, 0, Health::Up);
    for _ in 0..2 {
        pass(&mut book, &mut now, 5, 0, 100, Health::Up);
        pass(&mut book, &mut now, 30, 100, 0, Health::Up);
    }
    assert_eq!(told(&book), [(Kind::Failures, 96, Some(101)), (Kind::Failures, 61, Some(66))]);
}

#[test]
fn servers_that_are_not_known_yet_say_nothing() {
    let (mut book, mut now) = (Book::new(StatusSettings::default()), NOW);
    pass(&mut book, &mut now, 5, 0, 0, Health::Unknown);
    assert!(told(&book).is_empty());
    pass(&mut book, &mut now, 5, 0, 0, Health::Down);
    pass(&mut book, &mut now, 5, 0, 0, Health::Unknown);
    assert_eq!(told(&book), [(Kind::Backend, 6, None)], "unknown health does not end it");
}

#[test]
fn a_product_that_went_ends_its_incidents_and_keeps_its_history() {
    let (mut book, mut now) = (Book::new(StatusSettings::default()), NOW);
    pass(&mut book, &mut now, 30, 0, 100, Health::Down);
    for _ in 0..20 {
        now += 60;
        book.look(now, &[]);
    }
    assert!(book.incidents().all(|incident| incident.ended.is_some()));
    assert_eq!(book.history().of("plate").unwrap().days(now, 1).tally.failed, 3000);
    // The product is configured again, and its history continues.
    pass(&mut book, &mut now, 1, 100, 0, Health::Up);
    assert_eq!(book.history().of("plate").unwrap().days(now, 1).tally.total(), 3100);
}

#[test]
fn another_process_goes_on_where_this_one_has_stopped() {
    let (mut book, mut now) = (Book::new(StatusSettings::default()), NOW);
    pass(&mut book, &mut now, 60, 100, 0, Health::Up);
    pass(&mut book, &mut now, 10, 0, 100, Health::Up);
    let (entries, incidents) = book.unsaved();
    let mut next = Book::new(StatusSettings::default());
    next.absorb(&entries, incidents, Vec::new());
    assert_eq!(told(&next), [(Kind::Failures, 61, None)]);
    assert_eq!(next.unsaved(), (Vec::new(), Vec::new()), "nothing of it has changed");
    pass(&mut next, &mut now, 30, 100, 0, Health::Up);
    assert_eq!(told(&next), [(Kind::Failures, 61, Some(71))]);
}

#[test]
fn an_incident_that_was_found_before_the_older_one_was_read_is_the_same() {
    let (mut before, mut now) = (Book::new(StatusSettings::default()), NOW);
    pass(&mut before, &mut now, 10, 0, 100, Health::Up);
    let (entries, incidents) = before.unsaved();
    let mut after = Book::new(StatusSettings::default());
    pass(&mut after, &mut now, 5, 0, 100, Health::Up);
    after.absorb(&entries, incidents, Vec::new());
    assert_eq!(told(&after), [(Kind::Failures, 1, None)]);
}

#[test]
fn what_is_kept_is_bounded_and_old_incidents_go() {
    let (mut book, mut now) = (Book::new(StatusSettings::default()), NOW);
    for _ in 0..40 {
        pass(&mut book, &mut now, 3, 0, 100, Health::Down);
        pass(&mut book, &mut now, 30, 100, 0, Health::Up);
        now += 3 * DAY;
    }
    let first = now - DAYS_KEPT * DAY;
    assert!(book.incidents().count() <= 2 * 31, "{}", book.incidents().count());
    assert!(book.incidents().all(|incident| incident.ended.is_none_or(|ended| ended >= first - 4 * DAY)));
    let note = |id| Notice {
        id: Some(id),
        matter: Matter::Note { at: now },
        product: None,
        text: "x".into(),
        written: now,
        by: "x".into(),
        closed: None,
    };
    for id in 0..1000 {
        if !book.has_room(now) {
            break;
        }
        book.add(note(id), now);
        // Every second one is closed.
        if id % 2 == 1
            && let Some(open) = book.open_notice(id)
        {
            open.closed = Some(now);
        }
    }
    let open = book.notices().filter(|notice| notice.closed.is_none()).count();
    assert_eq!(open, MAX_NOTICES, "as many open ones as allowed");
    assert!(book.notices().count() <= 2 * MAX_NOTICES);
    assert!(!book.has_room(now));
}

#[test]
fn the_example_is_the_same_at_every_call() {
    let names: Vec<Arc<str>> = ["plate", "email"].map(Arc::from).into();
    let [one, other] = [(); 2].map(|()| {
        let mut book = Book::new(StatusSettings::default());
        example::fill(&mut book, &names, NOW);
        book.unsaved()
    });
    assert_eq!(one, other);
    assert!(one.1.len() >= 5, "{:?}", one.1);
}
