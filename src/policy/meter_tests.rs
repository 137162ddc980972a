//! Several limits at once: what refuses, what is counted, and what a change of the limits does to what was used.

use std::num::NonZeroU64;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::*;
use crate::policy::limit::nearest;
use crate::policy::rate::Allowance;

/// 2026-11-29T12:00:00Z, in the middle of a day and near the end of a month.
const NOON: u64 = 1_795_953_600;
const DAY_LEFT: u64 = 12 * 3600;
const MONTH_LEFT: u64 = DAY_LEFT + 86_400;

const ANYBODY: Asker<'static> = Asker { product: Some("plate"), token: "web" };

/// So many seconds after noon.
fn at(seconds: u64) -> Now {
    Now { monotonic: Duration::from_secs(1000 + seconds), unix_seconds: NOON + seconds, unix_nanos: 0 }
}

/// `limit/period`, all of it at once.
fn rate(limit: u32, seconds: u64) -> Allowance {
    let limit = NonZeroU32::new(limit).unwrap();
    Allowance { limit, period: Duration::from_secs(seconds), burst: limit }
}

fn allowances(rates: &[Allowance], day: u64, month: u64) -> Allowances {
    Allowances { rates: rates.into(), quota: Quota { day: NonZeroU64::new(day), month: NonZeroU64::new(month) } }
}

fn meter(owners: &[(Owner, Allowances)], concurrency: u32) -> Arc<Meter> {
    Arc::new(Meter::new("acme".into(), None, Arc::new(Limits::of(owners)), NonZeroU32::new(concurrency)))
}

fn of_account(rates: &[Allowance], day: u64, month: u64) -> Arc<Meter> {
    meter(&[(Owner::Account, allowances(rates, day, month))], 0)
}

/// What is left of each limit, by its name.
fn left(meter: &Meter, asker: Asker<'_>, now: Now) -> Vec<(&'static str, u64)> {
    meter.states(asker, now).iter().map(|state| (state.name, state.remaining)).collect()
}

/// Takes what a request takes, in the order of the checks.
fn take(meter: &Meter, asker: Asker<'_>, now: Now) -> Result<bool, Problem> {
    meter.take_rates(asker, now)?;
    meter.take_quotas(asker, now)
}

#[test]
fn the_first_limit_that_is_used_up_refuses_and_nothing_is_counted_in_the_others() {
    let two_rates = [rate(2, 60), rate(5, 86_400)];
    for (what, meter, passes, row, wait, remaining) in [
        (
            "the rate of a minute",
            of_account(&two_rates, 0, 0),
            2,
            Row::RateExceeded,
            30,
            vec![("account-minute", 0), ("account-day", 3)],
        ),
        (
            "of two that are used up the longer wait counts",
            of_account(&[rate(3, 60), rate(3, 86_400)], 0, 0),
            3,
            Row::RateExceeded,
            28_800,
            vec![("account-minute", 0), ("account-day", 0)],
        ),
        (
            "the quota of a day",
            of_account(&[rate(9, 60)], 2, 50),
            2,
            Row::QuotaExceeded,
            DAY_LEFT,
            // Requests that are refused behind the rates count there (contract, section 7).
            vec![("account", 6), ("account-quota-day", 0), ("account-quota-month", 48)],
        ),
        (
            "of two quotas that are used up the later renewal counts",
            of_account(&[], 3, 3),
            3,
            Row::QuotaExceeded,
            MONTH_LEFT,
            vec![("account-quota-day", 0), ("account-quota-month", 0)],
        ),
        (
            "the token's, beside those of the account and the product",
            meter(
                &[
                    (Owner::Account, allowances(&[rate(9, 60)], 0, 0)),
                    (Owner::Product("plate".into()), allowances(&[rate(8, 60)], 0, 0)),
                    (Owner::Product("email".into()), allowances(&[rate(1, 60)], 0, 0)),
                    (Owner::Token("web".into()), allowances(&[rate(1, 60)], 0, 7)),
                    (Owner::Token("other".into()), allowances(&[rate(1, 60)], 0, 0)),
                ],
                0,
            ),
            1,
            Row::RateExceeded,
            60,
            vec![("account", 8), ("product", 7), ("token", 0), ("token-quota-month", 6)],
        ),
    ] {
        for _ in 0..passes {
            assert!(take(&meter, ANYBODY, at(0)).is_ok(), "{what}");
        }
        let refused = take(&meter, ANYBODY, at(0)).unwrap_err();
        let wait = u32::try_from(wait).unwrap();
        assert_eq!((refused.row, refused.hint), (row, Hint::RetryAfter(wait)), "{what}");
        assert_eq!(left(&meter, ANYBODY, at(0)), remaining, "{what}");
        // Whoever waits as long as they are told is let through.
        assert!(take(&meter, ANYBODY, at(u64::from(wait))).is_ok(), "{what}");
    }
}

#[test]
fn limits_of_others_do_not_count() {
    let meter = meter(
        &[
            (Owner::Product("plate".into()), allowances(&[rate(1, 60)], 0, 0)),
            (Owner::Token("web".into()), allowances(&[], 1, 0)),
        ],
        0,
    );
    for (product, token, passes) in [
        (Some("plate"), "other", true),
        (Some("plate"), "other", false),
        (Some("email"), "web", true),
        (Some("email"), "web", false),
        (Some("email"), "other", true),
        (None, "other", true),
    ] {
        assert_eq!(take(&meter, Asker { product, token }, at(0)).is_ok(), passes, "{product:?} {token}");
    }
}

#[test]
fn requests_that_compete_are_counted_in_all_limits_or_in_none() {
    // Each of two kinds of askers has a limit of its own that refuses most of its requests.
    let meter = meter(
        &[
            (Owner::Account, allowances(&[rate(5000, 3600)], 900, 0)),
            (Owner::Token("a".into()), allowances(&[rate(60, 3600)], 0, 0)),
            (Owner::Token("b".into()), allowances(&[], 0, 70)),
        ],
        0,
    );
    let [a, b] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    std::thread::scope(|scope| {
        for (token, passed) in [("a", &a), ("b", &b), ("a", &a), ("b", &b)] {
            let meter = &meter;
            scope.spawn(move || {
                for _ in 0..500 {
                    let asker = Asker { product: None, token };
                    if meter.take_rates(asker, at(0)).is_ok() && meter.take_quotas(asker, at(0)).is_ok() {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!((a.into_inner(), b.into_inner()), (60, 70));
    // What the token's rate has refused is counted nowhere; what the quota has refused is counted in the rate before.
    let asker = |token| Asker { product: None, token };
    assert_eq!(
        left(&meter, asker("a"), at(0)),
        [("account", 5000 - 60 - 1000), ("token", 0), ("account-quota-day", 770)]
    );
    assert_eq!(left(&meter, asker("b"), at(0))[2], ("token-quota-month", 0));
}

#[test]
fn a_quota_is_renewed_at_midnight_and_on_the_first_of_a_month() {
    let meter = of_account(&[], 2, 3);
    for (seconds, passes) in [
        (0, true),
        (1, true),
        (2, false),
        (DAY_LEFT - 1, false),
        (DAY_LEFT, true),
        (DAY_LEFT, false),
        (MONTH_LEFT, true),
    ] {
        assert_eq!(take(&meter, ANYBODY, at(seconds)).is_ok(), passes, "{seconds} s after noon");
    }
    let states = meter.states(ANYBODY, at(0));
    let told: Vec<_> = states.iter().map(|state| (state.limit, state.window_seconds)).collect();
    assert_eq!(told, [(2, 86_400), (3, 30 * 86_400)], "the clock was set back into November");
}

/// What the limits are called, those before, how often they are used, those after, and what is left then.
type Change = (&'static str, Arc<Meter>, u32, Arc<Meter>, Vec<u64>);

fn changes_of_limits() -> Vec<Change> {
    let minute_and_day = [rate(10, 60), rate(100, 86_400)];
    vec![
        (
            "the same",
            of_account(&minute_and_day, 50, 500),
            4,
            of_account(&minute_and_day, 50, 500),
            vec![6, 96, 46, 496],
        ),
        ("more", of_account(&[rate(10, 60)], 50, 0), 4, of_account(&[rate(20, 60)], 80, 0), vec![16, 76]),
        ("less than was used", of_account(&[rate(10, 60)], 50, 0), 8, of_account(&[rate(5, 60)], 6, 0), vec![0, 0]),
        (
            "one rate more: it takes over from the one in which most is used",
            of_account(&[rate(10, 60)], 0, 90),
            4,
            of_account(&[rate(2, 1), rate(10, 60), rate(100, 86_400)], 0, 90),
            vec![0, 6, 96, 86],
        ),
        ("one rate less", of_account(&minute_and_day, 0, 90), 4, of_account(&[rate(50, 86_400)], 0, 90), vec![46, 86]),
        (
            "another period",
            of_account(&[rate(10, 60)], 0, 90),
            4,
            of_account(&[rate(1000, 86_400)], 0, 90),
            vec![996, 86],
        ),
        (
            "a quota that is new",
            of_account(&[rate(10, 60)], 0, 90),
            4,
            of_account(&[rate(10, 60)], 20, 90),
            vec![6, 20, 86],
        ),
        (
            "a quota that is gone",
            of_account(&[rate(10, 60)], 20, 90),
            4,
            of_account(&[rate(10, 60)], 0, 90),
            vec![6, 86],
        ),
        (
            "a token's and a product's",
            meter(
                &[
                    (Owner::Product("plate".into()), allowances(&[rate(10, 60)], 9, 0)),
                    (Owner::Token("web".into()), allowances(&[rate(10, 60)], 9, 0)),
                ],
                0,
            ),
            3,
            meter(
                &[
                    (Owner::Product("email".into()), allowances(&[rate(10, 60)], 9, 0)),
                    (Owner::Product("plate".into()), allowances(&[rate(20, 60)], 9, 0)),
                    (Owner::Token("web".into()), allowances(&[rate(10, 60)], 5, 0)),
                ],
                0,
            ),
            vec![17, 7, 6, 2],
        ),
    ]
}

/// What was used stays used, in requests, but no more than the new limit has: while the process runs, and over a
/// restart or an upgrade, whose clock begins anew.
#[test]
fn a_change_of_the_limits_means_the_same_at_a_reload_and_at_a_restart() {
    for (what, before, used, after, remaining) in changes_of_limits() {
        for _ in 0..used {
            take(&before, ANYBODY, at(0)).unwrap();
        }
        let restarted = Meter::new("acme".into(), None, Arc::clone(&after.limits), None);
        // The clock of another process begins anew.
        let begun = Now { monotonic: Duration::from_secs(3), ..at(0) };
        restarted.add(&before.usage(at(0)), begun);
        after.inherit(&before, at(0));
        for (way, meter, now) in [("reload", &*after, at(0)), ("restart", &restarted, begun)] {
            let left: Vec<u64> = left(meter, ANYBODY, now).into_iter().map(|(_, left)| left).collect();
            assert_eq!(left, remaining, "{what}, {way}");
        }
    }
}

#[test]
fn a_plan_that_comes_back_goes_on_with_its_quota() {
    let [gold, small, again] = [of_account(&[], 0, 90), of_account(&[], 20, 0), of_account(&[], 0, 90)];
    for _ in 0..5 {
        take(&gold, ANYBODY, at(0)).unwrap();
    }
    small.inherit(&gold, at(10));
    take(&small, ANYBODY, at(10)).unwrap();
    again.inherit(&small, at(20));
    assert_eq!(left(&again, ANYBODY, at(20)), [("account-quota-month", 85)]);
    // In another month nothing of it counts.
    let [small, again] = [of_account(&[], 20, 0), of_account(&[], 0, 90)];
    small.inherit(&gold, at(30));
    again.inherit(&small, at(MONTH_LEFT));
    assert_eq!(left(&again, ANYBODY, at(MONTH_LEFT)), [("account-quota-month", 90)]);
}

/// Requests that began with the configuration before are counted where the others are.
#[test]
fn no_request_is_lost_or_counted_twice_while_a_configuration_takes_over() {
    let meters: Vec<Arc<Meter>> = (0..20).map(|_| of_account(&[rate(100_000, 1)], 0, 3000)).collect();
    let passed = AtomicUsize::new(0);
    let current = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                // Somebody always has a configuration that is not the newest any more.
                for number in 0..1500 {
                    let newest = current.load(Ordering::Acquire);
                    let meter = &meters[newest.saturating_sub(number % 3)];
                    if take(meter, ANYBODY, at(0)).is_ok() {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for (index, pair) in meters.windows(2).enumerate() {
            pair[1].inherit(&pair[0], at(0));
            current.store(index + 1, Ordering::Release);
            // What was published is looked at once more.
            pair[1].inherit(&pair[0], at(0));
        }
    });
    assert_eq!(passed.into_inner(), 3000);
    assert_eq!(left(&meters[0], ANYBODY, at(0)), left(&meters[19], ANYBODY, at(0)));
    assert_eq!(left(&meters[19], ANYBODY, at(0))[1].1, 0);
}

#[test]
fn what_is_written_down_and_what_is_handed_over_are_the_whole() {
    let [meter, successor] = [of_account(&[], 50, 0), of_account(&[], 50, 0)];
    for _ in 0..5 {
        take(&meter, ANYBODY, at(0)).unwrap();
    }
    // The file has all that was counted, and a successor begins with it.
    successor.add(&meter.written(at(0)), at(0));
    for _ in 0..3 {
        take(&meter, ANYBODY, at(1)).unwrap();
    }
    take(&successor, ANYBODY, at(1)).unwrap();
    successor.add(&meter.hand_over(at(1)), at(1));
    successor.add(&meter.hand_over(at(1)), at(1));
    assert_eq!(left(&successor, ANYBODY, at(1)), [("account-quota-day", 50 - 5 - 3 - 1)]);
    // What came from another process is not handed on as its own.
    let used: Vec<u64> = successor.hand_over(at(1)).iter().map(used_of).collect();
    assert_eq!(used, [1]);
}

fn used_of(usage: &Usage) -> u64 {
    match usage.used {
        Used::Quota { used, .. } => used,
        Used::Rate { .. } => panic!("{usage:?}"),
    }
}

#[test]
fn seats_are_given_back_whatever_happens() {
    let [before, after] = [meter(&[], 2), meter(&[], 2)];
    let first = before.enter().unwrap();
    let caught = std::panic::catch_unwind(|| {
        let _second = before.enter().unwrap();
        panic!("a request fails");
    });
    assert!(caught.is_err());
    let second = before.enter().unwrap();
    let refused = before.enter().unwrap_err();
    assert_eq!((refused.row, refused.hint), (Row::ConcurrencyExceeded, Hint::RetryAfter(1)));
    // Those that began with the configuration before are in flight behind it too.
    after.inherit(&before, at(0));
    assert_eq!(after.in_flight().unwrap().0, 2);
    assert!(after.enter().is_err());
    drop(first);
    let third = before.enter().unwrap();
    assert!(after.enter().is_err());
    drop((second, third));
    assert_eq!(after.in_flight().unwrap().0, 0);
    // Without a limit nobody has a seat.
    let unlimited = meter(&[], 0);
    assert!(unlimited.enter().is_ok_and(|seat| seat.0.is_none()));
}

#[test]
fn there_are_never_more_in_flight_than_may_be() {
    let meter = meter(&[], 3);
    let most = AtomicUsize::new(0);
    let there = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    if let Ok(seat) = meter.enter() {
                        most.fetch_max(there.fetch_add(1, Ordering::AcqRel) + 1, Ordering::AcqRel);
                        std::hint::spin_loop();
                        there.fetch_sub(1, Ordering::AcqRel);
                        drop(seat);
                    }
                }
            });
        }
    });
    assert!((1..=3).contains(&most.into_inner()));
    assert_eq!(meter.in_flight().unwrap().0, 0);
}

#[test]
fn the_rate_that_is_nearest_to_its_end_has_the_fewest_requests_left() {
    let meter = of_account(&[rate(5, 1), rate(4, 60), rate(100, 86_400)], 1, 0);
    for (used, name) in [(0, "account-minute"), (1, "account-minute")] {
        for _ in 0..used {
            take(&meter, ANYBODY, at(0)).unwrap();
        }
        assert_eq!(nearest(&meter.states(ANYBODY, at(0))).unwrap().name, name);
    }
    let equal = of_account(&[rate(5, 1), rate(5, 60)], 0, 0);
    take(&equal, ANYBODY, at(0)).unwrap();
    assert_eq!(nearest(&equal.states(ANYBODY, at(0))).unwrap().name, "account-minute", "it takes longer to be whole");
    assert_eq!(nearest(&of_account(&[], 1, 0).states(ANYBODY, at(0))), None);
}
