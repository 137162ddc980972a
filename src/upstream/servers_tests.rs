//! Turns, caps and ejections, with made-up time.

use std::time::Duration;

use super::*;
use crate::upstream::settings::{HealthRule, Probe};

const ASKER: Asker<'static> = Asker::NOBODY;

const RULE: EjectionRule = EjectionRule { failures: 3, time: Duration::from_secs(10) };

fn at(milliseconds: u64) -> Now {
    Now { monotonic: Duration::from_millis(milliseconds), unix_seconds: 0, unix_nanos: 0 }
}

/// Servers A, B, C and so on, by weight.
fn roster(weights: &[u32]) -> Roster<()> {
    let server = |(index, weight): (usize, &u32)| {
        Arc::new(Server {
            name: "ABCDEFGH"[index..=index].into(),
            address: ([127, 0, 0, 1], 9000).into(),
            weight: *weight,
            max_requests: None,
            peer: (),
            state: Arc::default(),
        })
    };
    Roster::new(weights.iter().enumerate().map(server).collect())
}

fn capped(cap: u32) -> Roster<()> {
    let uncapped = roster(&[1, 1]);
    let servers = uncapped.servers.iter().map(|server| {
        let (name, state) = (Arc::clone(&server.name), Arc::default());
        Arc::new(Server { name, state, max_requests: Some(cap), peer: (), ..**server })
    });
    Roster::new(servers.collect())
}

/// The servers that get this many requests, one after the other.
fn turns(roster: &Roster<()>, count: usize, now: Now) -> String {
    let turn = |_| {
        let server = roster.choose(&mut Tried::default(), ASKER, now).unwrap();
        server.leave();
        &*server.name
    };
    (0..count).map(turn).collect()
}

fn take_down(server: &Server<()>) {
    let (interval, timeout) = (Duration::from_secs(1), Duration::from_secs(1));
    let rule = HealthRule { probe: Probe::Connect, interval, timeout, failures: 1, successes: 1 };
    assert!(server.state.health.count(false, &rule));
}

fn ejects(roster: &Roster<()>, index: usize, verdict: Verdict, now: Now) -> bool {
    roster.judge(&roster.servers[index], verdict, ASKER, RULE, now) == Shut::Everybody
}

fn fail(roster: &Roster<()>, index: usize, times: u32, now: Now) -> Vec<bool> {
    (0..times).map(|_| ejects(roster, index, Verdict::Unreachable, now)).collect()
}

#[test]
fn turns_follow_the_weights_smoothly() {
    for (weights, order) in [
        (vec![1], "AAAA"),
        (vec![1, 1, 1], "ABCABC"),
        (vec![5, 1, 1], "AABACAAAABACAA"),
        (vec![3, 1], "AABAAABA"),
        (vec![30, 10], "AABAAABA"),
        (vec![2, 3], "BABABBABAB"),
        (vec![100, 100], "ABAB"),
    ] {
        assert_eq!(turns(&roster(&weights), order.len(), at(0)), order, "{weights:?}");
    }
    let whole = plan(&[100; MAX_SERVERS - 1].into_iter().chain([99]).collect::<Vec<_>>());
    assert_eq!(whole.len(), 100 * (MAX_SERVERS - 1) + 99);
    assert!(plan(&[]).is_empty());
}

#[test]
fn a_server_that_is_down_leaves_the_others_their_shares() {
    let roster = roster(&[1, 1, 2]);
    take_down(&roster.servers[0]);
    let order = turns(&roster, 300, at(0));
    assert_eq!((order.matches('B').count(), order.matches('C').count()), (100, 200));
    take_down(&roster.servers[1]);
    take_down(&roster.servers[2]);
    assert_eq!(roster.choose(&mut Tried::default(), ASKER, at(0)).unwrap_err(), Lack::Unhealthy);
}

#[test]
fn each_server_is_tried_once() {
    let roster = roster(&[1, 5, 1]);
    let mut tried = Tried::default();
    let mut names: Vec<&str> = (0..3).map(|_| &*roster.choose(&mut tried, ASKER, at(0)).unwrap().name).collect();
    names.sort_unstable();
    assert_eq!(names, ["A", "B", "C"]);
    assert_eq!(roster.choose(&mut tried, ASKER, at(0)).unwrap_err(), Lack::Full);
    let nobody = Roster::<()>::new(Vec::new());
    assert_eq!(nobody.choose(&mut Tried::default(), ASKER, at(0)).unwrap_err(), Lack::Unresolved);
}

#[test]
fn a_full_server_is_passed_over_until_somebody_leaves() {
    let roster = capped(2);
    let choose = || roster.choose(&mut Tried::default(), ASKER, at(0)).map(|server| &*server.name);
    let mut names: Vec<_> = (0..4).map(|_| choose().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["A", "A", "B", "B"]);
    assert_eq!(choose().unwrap_err(), Lack::Full);
    assert_eq!(roster.servers[1].in_flight(), 2);
    roster.servers[1].leave();
    assert_eq!(choose(), Ok("B"));
    assert_eq!(choose().unwrap_err(), Lack::Full);
}

#[test]
fn failures_in_a_row_eject_for_a_time() {
    let roster = roster(&[1, 1]);
    assert_eq!(fail(&roster, 0, 2, at(0)), [false, false]);
    assert!(!ejects(&roster, 0, Verdict::Sound, at(0)));
    assert_eq!(fail(&roster, 0, 2, at(0)), [false, false], "a success ends the row");
    assert!(!ejects(&roster, 0, Verdict::Unknown, at(0)));
    assert_eq!(fail(&roster, 0, 3, at(0)), [true, false, false], "once");
    assert_eq!(roster.servers[0].standing(ASKER, at(9999)), ServerState::Ejected);
    assert_eq!(turns(&roster, 4, at(9999)), "BBBB");
    assert!(!roster.servers[0].has_returned(at(9999)));
    assert_eq!(turns(&roster, 4, at(10_000)).matches('A').count(), 2);
    assert!(roster.servers[0].has_returned(at(10_000)));
    assert!(!roster.servers[0].has_returned(at(10_000)), "told once");
    // One more failure is enough for another ejection; one success resets the count.
    assert_eq!(fail(&roster, 0, 1, at(10_001)), [true]);
    ejects(&roster, 0, Verdict::Sound, at(20_001));
    assert_eq!(fail(&roster, 0, 3, at(20_001)), [false, false, true]);
}

#[test]
fn the_last_one_that_serves_is_never_ejected() {
    let roster = roster(&[1, 1, 1]);
    assert_eq!(fail(&roster, 0, 3, at(0)), [false, false, true]);
    assert_eq!(fail(&roster, 1, 3, at(0)), [false, false, true]);
    assert_eq!(fail(&roster, 2, 9, at(0)), [false; 9]);
    assert_eq!(turns(&roster, 3, at(0)), "CCC");
    // If the others are unavailable for another reason, the ejected ones are used.
    take_down(&roster.servers[2]);
    let order = turns(&roster, 4, at(0));
    assert_eq!((order.matches('A').count(), order.matches('B').count()), (2, 2));
    take_down(&roster.servers[0]);
    take_down(&roster.servers[1]);
    assert_eq!(roster.choose(&mut Tried::default(), ASKER, at(0)).unwrap_err(), Lack::Unhealthy);
}

#[test]
fn a_rule_of_zero_failures_ejects_nobody() {
    let roster = roster(&[1, 1]);
    let never = EjectionRule { failures: 0, ..RULE };
    for _ in 0..100 {
        assert_eq!(roster.judge(&roster.servers[0], Verdict::Unreachable, ASKER, never, at(0)), Shut::Nobody);
    }
}

#[test]
fn many_at_once_never_pass_a_cap() {
    let roster = capped(3);
    let most = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    if let Ok(server) = roster.choose(&mut Tried::default(), ASKER, at(0)) {
                        most.fetch_max(server.in_flight(), Ordering::Relaxed);
                        server.leave();
                    }
                }
            });
        }
    });
    assert!(most.into_inner() <= 3);
    assert!(roster.servers.iter().all(|server| server.in_flight() == 0));
}

/// One account's requests fail everywhere: servers are ejected for it one after the other, except
/// for the last, and other accounts keep all of them.
#[test]
fn what_fails_for_one_account_alone_is_ejected_for_it_alone() {
    let roster = roster(&[1, 1]);
    let (one, other) = (Asker::numbered(1), Asker::numbered(2));
    let fail =
        |index: usize, asker, moment| roster.judge(&roster.servers[index], Verdict::Failed, asker, RULE, at(moment));
    assert_eq!([0; 3].map(|index| fail(index, one, 0)), [Shut::Nobody, Shut::Nobody, Shut::Asker]);
    assert_eq!([1; 3].map(|index| fail(index, one, 0)), [Shut::Nobody; 3], "its last one");
    let of = |asker| roster.choose(&mut Tried::default(), asker, at(1)).map(|server| &*server.name);
    assert_eq!([(); 4].map(|()| of(one)), [Ok("B"); 4]);
    assert!([(); 4].map(|()| of(other)).contains(&Ok("A")));
    assert_eq!(roster.servers[0].standing(ASKER, at(1)), ServerState::Healthy);
    // If a second account fails there as well, the server is at fault.
    assert_eq!(fail(0, other, 2), Shut::Everybody);
    assert_eq!([(); 4].map(|()| of(other)), [Ok("B"); 4]);
}
