//! The gate with tasks that wait: seats come to them, and none is lost when they give up.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;

use super::*;

fn rule(limit: u32, max_queue: u32, max_wait: Duration) -> ConcurrencyLimit {
    ConcurrencyLimit { min: limit, max: limit, initial: limit, tolerance_percent: 10, max_queue, max_wait }
}

fn gate(limit: u32, max_queue: u32, max_wait: Duration) -> Arc<Gate> {
    Arc::new(Gate::new(rule(limit, max_queue, max_wait), Clock::start()))
}

const LONG: Duration = Duration::from_secs(600);

fn enter(gate: &Arc<Gate>, account: &str) -> Result<Passing, Problem> {
    gate.enter(&account.into(), Weight::default())
}

fn seat(gate: &Arc<Gate>, account: &str) -> Seat {
    match enter(gate, account) {
        Ok(Passing::Seated(seat)) => seat,
        Ok(Passing::Waits(_)) => panic!("{account} waits"),
        Err(problem) => panic!("{account}: {problem:?}"),
    }
}

fn wait(gate: &Arc<Gate>, account: &str) -> Waiting {
    match enter(gate, account) {
        Ok(Passing::Waits(waiting)) => waiting,
        Ok(Passing::Seated(_)) => panic!("{account} has a seat"),
        Err(problem) => panic!("{account}: {problem:?}"),
    }
}

fn counts(gate: &Gate) -> (u32, usize) {
    let GateState { in_flight, waiting, .. } = gate.state();
    (in_flight, waiting)
}

fn refused(outcome: Granted) -> Problem {
    match outcome {
        Ok(_) => panic!("it has a seat"),
        Err(problem) => problem,
    }
}

#[tokio::test]
async fn a_seat_goes_to_who_waits_and_a_wait_that_is_given_up_leaves_none_behind() {
    let gate = gate(1, 10, LONG);
    let first = seat(&gate, "a");
    let (gives_up, second, gives_up_later) = (wait(&gate, "b"), wait(&gate, "c"), wait(&gate, "d"));
    assert_eq!(counts(&gate), (1, 3));
    drop(gives_up);
    assert_eq!(counts(&gate), (1, 2));
    drop(first);
    let second = second.seated().await.ok().unwrap();
    assert_eq!(counts(&gate), (1, 1));
    // It has its seat already when it gives up.
    drop(second);
    assert_eq!(counts(&gate), (1, 0));
    drop(gives_up_later);
    assert_eq!(counts(&gate), (0, 0));
}

#[tokio::test]
async fn the_account_with_the_most_that_waits_is_told_so_and_when_to_come_again() {
    let gate = gate(1, 2, LONG);
    let _seat = seat(&gate, "noisy");
    let (first, second) = (wait(&gate, "noisy"), wait(&gate, "noisy"));
    let problem = enter(&gate, "noisy").err().unwrap();
    assert_eq!((problem.row, problem.hint), (Row::Overloaded, Hint::RetryAfter(1)));
    let quiet = wait(&gate, "quiet");
    let problem = refused(second.seated().now_or_never().unwrap());
    assert_eq!((problem.row, problem.reason, problem.hint), (Row::Overloaded, QUEUE_FULL, Hint::RetryAfter(1)));
    assert_eq!((counts(&gate), gate.tally.full.get()), ((1, 2), 2));
    drop((first, quiet));
}

#[tokio::test]
async fn nobody_waits_longer_than_the_rule_says() {
    let gate = gate(1, 10, Duration::from_millis(50));
    let _seat = seat(&gate, "a");
    let problem = refused(wait(&gate, "b").seated().await);
    assert_eq!((problem.row, problem.reason, problem.hint), (Row::Overloaded, WAITED, Hint::RetryAfter(1)));
    assert_eq!((counts(&gate), gate.tally.late.get()), ((1, 0), 1));
}

#[tokio::test]
async fn another_rule_counts_those_in_flight_and_seats_those_that_wait() {
    let gate = gate(2, 10, LONG);
    let mut seats = vec![seat(&gate, "a"), seat(&gate, "a")];
    let waiting = [wait(&gate, "a"), wait(&gate, "b"), wait(&gate, "c")];
    gate.follow(rule(4, 10, LONG));
    assert_eq!(counts(&gate), (4, 1));
    gate.follow(rule(1, 10, LONG));
    seats.truncate(0);
    assert_eq!(counts(&gate), (2, 1), "a seat was given beyond the limit");
    drop(waiting);
    assert_eq!(counts(&gate), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_threads_that_come_and_give_up_at_any_moment_the_limit_holds_and_no_seat_is_lost() {
    const LIMIT: u32 = 3;
    let gate = gate(LIMIT, 20, Duration::from_millis(60));
    let in_flight = Arc::new(AtomicU32::new(0));
    let tasks = (0_u64..40).map(|task| {
        let (gate, in_flight) = (Arc::clone(&gate), Arc::clone(&in_flight));
        tokio::spawn(async move {
            let mut served = 0;
            for turn in 0..60 {
                let patience = Duration::from_micros((task * 61 + turn * 37) % 900);
                let passing = enter(&gate, if task % 2 == 0 { "noisy" } else { "other" });
                let seat = match passing {
                    Ok(Passing::Seated(seat)) => Some(seat),
                    Ok(Passing::Waits(waiting)) => {
                        tokio::time::timeout(patience, waiting.seated()).await.ok().and_then(Result::ok)
                    }
                    Err(_) => None,
                };
                if let Some(seat) = seat {
                    served += 1;
                    assert!(in_flight.fetch_add(1, Ordering::SeqCst) < LIMIT);
                    tokio::time::sleep(patience / 8).await;
                    in_flight.fetch_sub(1, Ordering::SeqCst);
                    drop(seat);
                }
                tokio::task::yield_now().await;
            }
            served
        })
    });
    let served: Vec<u32> = futures_util::future::join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    // How many depends on how busy the machine is; the first of all had free seats.
    assert!(served.iter().sum::<u32>() >= LIMIT);
    assert_eq!(counts(&gate), (0, 0));
}
