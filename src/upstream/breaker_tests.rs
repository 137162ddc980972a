//! The breaker, with made-up time.

use super::*;
use Verdict::{Sound, Unknown, Unreachable as Failed};

const ASKER: Asker<'static> = Asker::NOBODY;

fn at(milliseconds: u64) -> Now {
    Now { monotonic: Duration::from_millis(milliseconds), unix_seconds: 0, unix_nanos: 0 }
}

fn by_row(failures: u32) -> Breaker {
    Breaker::new(BreakerRule { failures, open_for: Duration::from_secs(5), ..BreakerRule::NEVER })
}

fn by_share(error_percent: u32, min_requests: u32) -> Breaker {
    let (window, open_for) = (Duration::from_secs(8), Duration::from_secs(5));
    Breaker::new(BreakerRule { failures: 0, error_percent, window, min_requests, open_for })
}

/// Lets one request through and judges it at once.
fn request(breaker: &Breaker, moment: Now, verdict: Verdict) -> Change {
    let pass = breaker.enter(ASKER, moment).unwrap();
    breaker.judge(pass, verdict, ASKER, moment)
}

#[test]
fn failures_in_a_row_open_it() {
    for (verdicts, opens) in [
        (vec![Failed, Failed, Failed], true),
        (vec![Failed, Failed, Sound, Failed, Failed], false),
        (vec![Failed, Failed, Unknown, Failed], true),
        (vec![Sound, Unknown, Unknown, Unknown], false),
    ] {
        let breaker = by_row(3);
        let changes: Vec<Change> = verdicts.iter().map(|verdict| request(&breaker, at(7), *verdict)).collect();
        assert_eq!(changes.last() == Some(&Change::Opened), opens, "{verdicts:?}");
        assert!(changes.iter().rev().skip(1).all(|change| *change == Change::Nothing), "{verdicts:?}");
        assert_eq!(breaker.phase(at(7)), if opens { Phase::Open } else { Phase::Closed });
    }
}

#[test]
fn an_open_one_says_how_long_and_then_lets_one_try() {
    let breaker = by_row(1);
    assert_eq!(request(&breaker, at(1000), Failed), Change::Opened);
    assert_eq!(breaker.enter(ASKER, at(1000)), Err(Duration::from_secs(5)));
    assert_eq!(breaker.enter(ASKER, at(5999)), Err(Duration::from_millis(1)));
    assert_eq!(breaker.phase(at(5999)), Phase::Open);
    assert_eq!(breaker.phase(at(6000)), Phase::HalfOpen);
    let dry_run = breaker.enter(ASKER, at(6000)).unwrap();
    assert_eq!(breaker.phase(at(6000)), Phase::HalfOpen);
    assert_eq!(breaker.enter(ASKER, at(9000)), Err(Duration::ZERO), "one at a time");
    // The trial fails: another five seconds from then.
    assert_eq!(breaker.judge(dry_run, Failed, ASKER, at(9000)), Change::Nothing);
    assert_eq!(breaker.enter(ASKER, at(13_999)), Err(Duration::from_millis(1)));
    // The next trial is inconclusive, and the one after it succeeds.
    assert_eq!(request(&breaker, at(14_000), Unknown), Change::Nothing);
    assert_eq!(request(&breaker, at(14_000), Sound), Change::Closed);
    assert_eq!(breaker.phase(at(14_000)), Phase::Closed);
    assert_eq!(request(&breaker, at(14_000), Sound), Change::Nothing);
}

#[test]
fn verdicts_from_before_it_opened_say_nothing_after_it_closed() {
    let breaker = by_row(2);
    let before: Vec<Pass> = (0..10).map(|_| breaker.enter(ASKER, at(0)).unwrap()).collect();
    let (first, late) = before.split_at(2);
    assert_eq!(breaker.judge(first[0], Failed, ASKER, at(1)), Change::Nothing);
    assert_eq!(breaker.judge(first[1], Failed, ASKER, at(1)), Change::Opened);
    assert_eq!(breaker.judge(late[0], Failed, ASKER, at(2)), Change::Nothing, "while it is open");
    assert_eq!(request(&breaker, at(5001), Sound), Change::Closed);
    for pass in &late[1..] {
        assert_eq!(breaker.judge(*pass, Failed, ASKER, at(5002)), Change::Nothing);
    }
    assert_eq!(breaker.phase(at(5002)), Phase::Closed);
}

#[test]
fn a_share_of_failures_opens_it_once_there_are_enough_requests() {
    // Requests with their times in milliseconds, and whether the last one opens the breaker.
    for (percent, least, requests, opens) in [
        (50, 4, vec![(0, Failed), (1, Failed), (2, Failed)], false),
        (50, 4, vec![(0, Failed), (1, Failed), (2, Sound), (3, Sound)], false),
        (50, 4, vec![(0, Sound), (1, Sound), (2, Failed), (3, Failed)], true),
        (50, 4, vec![(0, Sound), (1, Sound), (2, Sound), (3, Failed)], false),
        // Failures and successes that are older than the window do not count.
        (50, 4, vec![(0, Failed), (1, Failed), (8000, Sound), (8001, Failed)], false),
        (50, 3, vec![(0, Sound), (1, Sound), (8000, Sound), (8001, Failed), (8002, Failed)], true),
        (50, 4, vec![(0, Failed), (1000, Sound), (7000, Sound), (7999, Failed)], true),
        (100, 1, vec![(0, Failed)], true),
        (1, 2, vec![(0, Sound), (1, Failed)], true),
    ] {
        let breaker = by_share(percent, least);
        let mut last = Change::Nothing;
        for (moment, verdict) in &requests {
            assert_eq!(last, Change::Nothing, "{requests:?}");
            last = request(&breaker, at(*moment), *verdict);
        }
        assert_eq!(last == Change::Opened, opens, "{percent} % of {least}: {requests:?}");
    }
}

#[test]
fn without_a_rule_it_never_opens() {
    let breaker = Breaker::new(BreakerRule::NEVER);
    for moment in 0..10_000 {
        assert_eq!(request(&breaker, at(moment), Failed), Change::Nothing);
    }
    assert_eq!(breaker.phase(at(10_000)), Phase::Closed);
}

#[test]
fn full_counts_keep_their_share() {
    let mut part = Part { number: 7, requests: u16::MAX, failures: 30_000 };
    assert_eq!(Part::unpack(part.pack()), part);
    part = part.with(true);
    assert_eq!(part, Part { number: 7, requests: 32_768, failures: 15_001 });
    let breaker = by_share(50, 100);
    for _ in 0..200_000 {
        assert_eq!(request(&breaker, at(5), Sound), Change::Nothing);
    }
    let failures = (0..200_000).position(|_| request(&breaker, at(5), Failed) == Change::Opened).unwrap();
    assert!((30_000..70_000).contains(&failures), "{failures}");
}

#[test]
fn of_many_at_once_one_tries_and_one_opens() {
    let breaker = by_row(4);
    let opened = AtomicU32::new(0);
    let tried = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    if let Ok(pass) = breaker.enter(ASKER, at(1)) {
                        let change = breaker.judge(pass, Failed, ASKER, at(1));
                        opened.fetch_add(u32::from(change == Change::Opened), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                tried.fetch_add(u32::from(breaker.enter(ASKER, at(6000)).is_ok()), Ordering::Relaxed);
            });
        }
    });
    assert_eq!((opened.into_inner(), tried.into_inner()), (1, 1));
}

/// Slow, broken or abandoned: whatever happens to one account's requests, others pass.
#[test]
fn one_account_alone_opens_it_for_itself_alone() {
    let names = [1, 2, 3].map(Asker::numbered);
    let [one, other, third] = names;
    let fail = |breaker: &Breaker, asker, moment| {
        let pass = breaker.enter(asker, at(moment)).unwrap();
        breaker.judge(pass, Verdict::Failed, asker, at(moment))
    };
    for breaker in [by_row(25), by_share(50, 25)] {
        // Twenty-five requests at once, all of which fail, while other accounts are idle.
        let passes: Vec<Pass> = (0..25).map(|_| breaker.enter(one, at(0)).unwrap()).collect();
        let changes: Vec<Change> =
            passes.iter().map(|pass| breaker.judge(*pass, Verdict::Failed, one, at(1))).collect();
        assert_eq!(changes.last(), Some(&Change::OpenedForOne));
        assert!(changes.iter().all(|change| *change != Change::Opened));
        assert_eq!(breaker.enter(one, at(2)), Err(Duration::from_millis(4999)));
        assert_eq!(breaker.phase(at(2)), Phase::Closed);
        assert!(breaker.enter(other, at(2)).is_ok());
        assert!(breaker.enter(one, at(5001)).is_ok(), "and not for ever");
    }
    // The same number of failures by two accounts is the upstream's fault.
    let breaker = by_row(4);
    assert_eq!([one, one, other].map(|asker| fail(&breaker, asker, 0)), [Change::Nothing; 3]);
    assert_eq!(fail(&breaker, other, 0), Change::Opened);
    // A failed trial of one account shuts nobody else out, until another account's trial fails as well.
    let dry_run = breaker.enter(one, at(5000)).unwrap();
    assert_eq!(breaker.judge(dry_run, Verdict::Failed, one, at(5000)), Change::Nothing);
    assert!(breaker.enter(one, at(5001)).is_err());
    let dry_run = breaker.enter(other, at(5001)).unwrap();
    assert_eq!(breaker.judge(dry_run, Verdict::Failed, other, at(5001)), Change::Nothing);
    assert!(names.iter().all(|asker| breaker.enter(*asker, at(5002)).is_err()));
    let dry_run = breaker.enter(one, at(10_002)).unwrap();
    breaker.judge(dry_run, Verdict::Failed, one, at(10_002));
    let dry_run = breaker.enter(third, at(10_003)).unwrap();
    assert_eq!(breaker.judge(dry_run, Verdict::Sound, third, at(10_003)), Change::Closed);
}

/// Whether everybody is shut out is decided without the worst account, even if it has most of the traffic.
#[test]
fn a_share_that_one_account_makes_alone_shuts_nobody_else_out() {
    let names = [1, 2, 3, 4].map(Asker::numbered);
    for bad in [1, 2] {
        let breaker = by_share(50, 20);
        let mut opened = false;
        for round in 0..200 {
            for (index, asker) in names.iter().enumerate() {
                let Ok(pass) = breaker.enter(*asker, at(round)) else { continue };
                let verdict = if index < bad { Verdict::Failed } else { Sound };
                opened |= breaker.judge(pass, verdict, *asker, at(round)) == Change::Opened;
            }
        }
        // If two of four accounts fail, half of all requests fail; without one of them it is a third.
        assert!(!opened, "{bad}");
    }
    let breaker = by_share(50, 20);
    let changes: Vec<Change> = (0..40)
        .filter_map(|turn| {
            let asker = names[turn % 4];
            let pass = breaker.enter(asker, at(5)).ok()?;
            Some(breaker.judge(pass, if turn % 4 < 3 { Verdict::Failed } else { Sound }, asker, at(5)))
        })
        .collect();
    assert!(changes.contains(&Change::Opened), "three of four are the upstream's");
}
