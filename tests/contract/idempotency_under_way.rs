//! Lookups with one key at the same time, and those whose client is gone (contract, section 14).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use super::idempotency::{backend, gateway, get, told, wait_for};
use super::routes::request;
use crate::support::{VERSIONS, until};

#[test]
fn a_second_request_waits_for_the_first_and_a_hundred_ask_once() {
    let backend = backend();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        let before = backend.requests().len();
        let (sent, barrier) = (get("slow", &format!("k-{version:?}")), Barrier::new(100));
        let told: Vec<(u64, bool, u64)> = std::thread::scope(|scope| {
            let ask = || {
                barrier.wait();
                told(&gateway.send(version, &sent))
            };
            let asked: Vec<_> = (0..100).map(|_| scope.spawn(ask)).collect();
            asked.into_iter().map(|asked| asked.join().unwrap()).collect()
        });
        let number = u64::try_from(before).unwrap();
        assert_eq!(told.iter().filter(|told| **told == (number, false, 2)).count(), 1, "{told:?}");
        assert_eq!(told.iter().filter(|told| **told == (number, true, 0)).count(), 99, "{told:?}");
        assert_eq!(backend.requests().len(), before + 1);
    }
    wait_for(&gateway, "ann", (4, 0));
    assert!(gateway.metric::<u64>("tollgate_idempotency_waits_total") > 100);
}

#[test]
fn whoever_waits_has_a_deadline_of_its_own_and_goes_on_as_the_first_would_have() {
    let backend = backend();
    let gateway = gateway(&backend);
    let version = VERSIONS[0];
    // The first one has two seconds, in which the backend says nothing; the second has five.
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| gateway.send(version, &get("late", "k").with("Timeout-Seconds", "2")));
        backend.wait_for_requests(1);
        let second = scope.spawn(|| gateway.send(version, &get("late", "k").with("Timeout-Seconds", "6")));
        let third = scope.spawn(|| gateway.send(version, &get("other", "k").with("Timeout-Seconds", "6")));
        third.join().unwrap().assert_problem("idempotency-key-reused");
        (first.join().unwrap(), second.join().unwrap())
    });
    first.assert_problem("deadline-exceeded");
    assert_eq!(told(&second), (1, false, 2), "it has asked itself");
    let slow = std::thread::scope(|scope| {
        let first = scope.spawn(|| gateway.send(version, &get("late", "l").with("Timeout-Seconds", "9")));
        backend.wait_for_requests(3);
        let second = scope.spawn(|| gateway.send(version, &get("late", "l").with("Timeout-Seconds", "2")));
        second.join().unwrap().assert_problem("deadline-exceeded");
        first.join().unwrap()
    });
    assert_eq!(told(&slow).0, 2);
    wait_for(&gateway, "ann", (4, 0));
}

/// Whoever loses the answer sends the request again: it is looked up once, and paid when it is delivered.
#[test]
fn a_client_that_is_gone_pays_nothing_and_its_answer_waits_for_it() {
    let backend = backend();
    let gateway = gateway(&backend);
    for (index, version) in VERSIONS.into_iter().enumerate() {
        let before = backend.requests().len();
        let sent = get("slow", &format!("k-{version:?}"));
        match index {
            0 => {
                let mut client = gateway.connect();
                client.request(&sent);
                backend.wait_for_requests(before + 1);
                drop(client);
            }
            _ => {
                let mut client = gateway.connect_http2();
                let stream = client.begin(&sent, true);
                client.drive(|| backend.requests().len() > before);
                client.reset(stream);
                // The reset has to be sent.
                client.exchange(&request("GET", "/v3/item"));
            }
        }
        let asked = backend.requests().len();
        let kept = || gateway.metric::<usize>("tollgate_idempotency_answers") == index + 1;
        until("the answer is kept", kept);
        let paid = u64::try_from(2 * index).unwrap();
        wait_for(&gateway, "ann", (paid, 0));
        let answer = told(&gateway.send(version, &sent));
        assert_eq!(answer, (u64::try_from(before).unwrap(), true, 2), "paid now");
        assert_eq!(told(&gateway.send(version, &sent)).2, 0);
        wait_for(&gateway, "ann", (paid + 2, 0));
        assert_eq!(backend.requests().len(), asked);
    }
    // One that comes while the lost one is under way waits for its answer, and pays it.
    let before = backend.requests().len();
    let mut client = gateway.connect();
    client.request(&get("slow", "both"));
    backend.wait_for_requests(before + 1);
    let second = std::thread::scope(|scope| {
        let second = scope.spawn(|| gateway.send(VERSIONS[0], &get("slow", "both")));
        std::thread::sleep(Duration::from_millis(50));
        drop(client);
        second.join().unwrap()
    });
    assert_eq!(told(&second), (u64::try_from(before).unwrap(), true, 2));
}

/// Twenty clients retry the same lookups, lose some answers, and pay each once.
#[test]
fn retries_of_many_clients_that_lose_answers_are_charged_once_each() {
    const KEYS: usize = 15;
    let backend = backend();
    let gateway = gateway(&backend);
    let delivered: Arc<Vec<AtomicUsize>> = Arc::new((0..KEYS).map(|_| AtomicUsize::new(0)).collect());
    std::thread::scope(|scope| {
        for client in 0..20_usize {
            let (gateway, delivered) = (&gateway, &delivered);
            scope.spawn(move || {
                for step in 0..KEYS {
                    let key = (client * 7 + step) % KEYS;
                    let sent = get(if key.is_multiple_of(3) { "slow" } else { "a" }, &format!("k-{key}"));
                    if (client + step).is_multiple_of(4) {
                        let mut lost = gateway.connect();
                        lost.request(&sent);
                        drop(lost);
                    }
                    let (_, _, charged) = told(&gateway.send(VERSIONS[client % 2], &sent));
                    delivered[key].fetch_add(usize::try_from(charged).unwrap(), Ordering::Relaxed);
                }
            });
        }
    });
    // Whoever has lost an answer may have been charged for it, if its first byte was handed over.
    for (key, charged) in delivered.iter().enumerate() {
        assert!(matches!(charged.load(Ordering::Relaxed), 0 | 2), "{key}: {charged:?}");
    }
    assert_eq!(backend.requests().len(), KEYS);
    wait_for(&gateway, "ann", (2 * u64::try_from(KEYS).unwrap(), 0));
}
