//! A backend at its limit: one customer's flood costs that customer, and nobody else notices it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{ANSWER, Backend, Gateway, Request, Response, VERSIONS, Version, paying, until};

/// A backend that answers one request each time the sender is used, and the most requests that it had at a time.
fn holding() -> (Sender<()>, Arc<AtomicUsize>, Backend) {
    let (release, released) = channel();
    let released = Mutex::new(released);
    let (in_flight, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let peak = Arc::clone(&most);
    let backend = Backend::start(move |peer, _| {
        peak.fetch_max(in_flight.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        released.lock().unwrap().recv().unwrap();
        in_flight.fetch_sub(1, Ordering::SeqCst);
        peer.answer(ANSWER)
    });
    (release, most, backend)
}

/// A gateway with such a limit in front of the backend, and accounts that pay.
fn limited(backend: &Backend, limit: &str) -> Gateway {
    let accounts = [("noisy", "1000"), ("quiet", "1000")];
    let yaml = paying(backend.address(), "{ volatile: true }", &accounts);
    let with_limit = format!("host: lookup.internal, concurrency_limit: {{ {limit} }}");
    Gateway::start(&yaml.replace("host: lookup.internal", &with_limit))
}

fn metric(gateway: &Gateway, name: &str, more: &str) -> u64 {
    gateway.metric(&format!("tollgate_upstream_{name}{{upstream=\"lookup\"{more}}}"))
}

fn shed(gateway: &Gateway) -> u64 {
    metric(gateway, "shed_total", ",reason=\"queue-full\"")
}

fn credits(gateway: &Gateway, account: &str) -> [u64; 2] {
    let (status, body) = gateway.ask_admin("GET", &format!("/accounts/{account}/credits/phone"), &[], "");
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    ["held", "spent"].map(|name| body[name].as_u64().unwrap())
}

fn lookup(account: &str) -> Request {
    Request::lookup(account).with("Reference-ID", account)
}

/// How many of the answers are good; all others are refused as overloaded, with a time to come again.
fn good(answers: Vec<Response>) -> usize {
    let all = answers.len();
    let refused: Vec<Response> = answers.into_iter().filter(|answer| answer.status() != 200).collect();
    for answer in &refused {
        answer.assert_problem("overloaded");
        assert!((1..=60).contains(&answer.number("Retry-After")));
        assert_eq!(answer.header("X-Credits-Charged"), None);
    }
    all - refused.len()
}

#[test]
fn a_flood_costs_the_customer_whose_it_is_and_nobody_else() {
    let (release, most, backend) = holding();
    let gateway = limited(&backend, "min: 2, max: 2, max_queue: 10, max_wait: 9s");
    std::thread::scope(|scope| {
        let start = |account: &'static str, count: usize, version: Version| -> Vec<_> {
            let gateway = &gateway;
            let send = move || gateway.send(version, &lookup(account).with("Timeout-Seconds", "15"));
            (0..count).map(|_| scope.spawn(send)).collect()
        };
        let noisy = start("noisy", 50, Version::Http1);
        until("the queue is full, and the rest is refused", || shed(&gateway) == 38);
        assert_eq!((metric(&gateway, "in_flight", ""), metric(&gateway, "waiting", "")), (2, 10));
        // Only those in flight hold credits: nobody pays for waiting.
        assert_eq!(credits(&gateway, "noisy")[1], 0);
        assert!(credits(&gateway, "noisy")[0] <= 8, "{:?}", credits(&gateway, "noisy"));
        let mut quiet = start("quiet", 3, Version::Http1);
        quiet.extend(start("quiet", 2, Version::Http2));
        until("places were made in the queue", || shed(&gateway) == 43);
        assert_eq!((metric(&gateway, "waiting", ""), backend.requests().len()), (10, 2));
        for _ in 0..12 {
            release.send(()).unwrap();
        }
        let quiet = quiet.into_iter().map(|answer| answer.join().unwrap()).collect();
        let noisy = noisy.into_iter().map(|answer| answer.join().unwrap()).collect();
        assert_eq!((good(quiet), good(noisy)), (5, 7));
    });
    assert_eq!(most.load(Ordering::SeqCst), 2, "more than the limit were in flight");
    assert_eq!(backend.requests().len(), 12);
    until("all is settled", || credits(&gateway, "noisy")[0] == 0 && credits(&gateway, "quiet")[0] == 0);
    assert_eq!((credits(&gateway, "noisy")[1], credits(&gateway, "quiet")[1]), (7, 5));
    assert_eq!(metric(&gateway, "wait_seconds_count", ""), 55 - 2 - 38);
}

#[test]
fn who_had_less_than_its_share_is_next() {
    let (release, _, backend) = holding();
    let gateway = limited(&backend, "min: 1, max: 1, max_wait: 9s");
    std::thread::scope(|scope| {
        let gateway = &gateway;
        let start = |account: &'static str| scope.spawn(move || gateway.send(Version::Http1, &lookup(account)));
        let waits = |count| until("one more waits", || metric(gateway, "waiting", "") == count);
        let first = start("noisy");
        backend.wait_for_requests(1);
        let mut answers = vec![first];
        for count in 1..=3 {
            answers.push(start("noisy"));
            waits(count);
        }
        answers.push(start("quiet"));
        waits(4);
        release.send(()).unwrap();
        backend.wait_for_requests(2);
        assert!(String::from_utf8_lossy(&backend.last_request()).contains("eference-ID: quiet"));
        for _ in 0..4 {
            release.send(()).unwrap();
        }
        assert_eq!(good(answers.into_iter().map(|answer| answer.join().unwrap()).collect()), 5);
    });
}

#[test]
fn a_wait_ends_with_its_bound_its_deadline_or_its_client() {
    let (release, _, backend) = holding();
    for (limit, wanted) in [("max_wait: 300ms", "overloaded"), ("max_wait: 9s", "deadline-exceeded")] {
        for version in VERSIONS {
            let gateway = limited(&backend, &format!("min: 1, max: 1, {limit}"));
            std::thread::scope(|scope| {
                let before = backend.requests().len();
                let first = scope.spawn(|| gateway.send(version, &lookup("noisy").with("Timeout-Seconds", "15")));
                backend.wait_for_requests(before + 1);
                let begun = Instant::now();
                let answer = gateway.send(version, &lookup("quiet").with("Timeout-Seconds", "2"));
                answer.assert_problem(wanted);
                assert!(begun.elapsed() < Duration::from_secs(3));
                let late = metric(&gateway, "shed_total", ",reason=\"waited\"");
                assert_eq!(late, u64::from(wanted == "overloaded"));
                // One whose client disconnects does not wait any more, and the next one gets its place.
                if wanted == "deadline-exceeded" {
                    let mut leaves = gateway.connect();
                    leaves.request(&lookup("quiet"));
                    until("it waits", || metric(&gateway, "waiting", "") == 1);
                    drop(leaves);
                }
                until("nobody waits", || metric(&gateway, "waiting", "") == 0);
                release.send(()).unwrap();
                first.join().unwrap().assert_success();
                assert_eq!(backend.requests().len(), before + 1);
                until("all seats are free", || metric(&gateway, "in_flight", "") == 0);
            });
        }
    }
}

#[test]
fn a_reload_changes_the_limit_and_loses_nobody_who_waits() {
    let (release, most, backend) = holding();
    let gateway = limited(&backend, "min: 1, max: 1, max_wait: 9s");
    std::thread::scope(|scope| {
        let answers: Vec<_> = (0..4).map(|_| scope.spawn(|| gateway.send(Version::Http1, &lookup("noisy")))).collect();
        until("three wait", || metric(&gateway, "waiting", "") == 3);
        let yaml = std::fs::read_to_string(gateway.config()).unwrap();
        std::fs::write(gateway.config(), yaml.replace("min: 1, max: 1", "min: 3, max: 3")).unwrap();
        let (status, body) = gateway.ask_admin("POST", "/reload", &[], "");
        assert_eq!(status, 200, "{body}");
        backend.wait_for_requests(3);
        assert_eq!((metric(&gateway, "concurrency_limit", ""), metric(&gateway, "waiting", "")), (3, 1));
        for _ in 0..4 {
            release.send(()).unwrap();
        }
        assert_eq!(good(answers.into_iter().map(|answer| answer.join().unwrap()).collect()), 4);
    });
    assert_eq!(most.load(Ordering::SeqCst), 3);
    let (_, shown) = gateway.ask_admin("GET", "/upstreams", &[], "");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["upstreams"][0]["concurrency"]["limit"], 3);
}

#[test]
fn the_last_places_of_the_gateway_itself_are_not_for_the_one_that_has_the_others() {
    let (release, _, backend) = holding();
    let accounts = [("noisy", "1000"), ("quiet", "1000")];
    let yaml = paying(backend.address(), "{ volatile: true }", &accounts)
        + "limits: { requests: 10, reserved_percent: 50, share_requests: true }\n";
    let gateway = Gateway::start(&yaml);
    std::thread::scope(|scope| {
        let gateway = &gateway;
        let start = |account: &'static str, version| scope.spawn(move || gateway.send(version, &lookup(account)));
        let noisy: Vec<_> = (0..5).map(|_| start("noisy", Version::Http1)).collect();
        backend.wait_for_requests(5);
        for version in VERSIONS {
            let refused = gateway.send(version, &lookup("noisy"));
            refused.assert_problem("overloaded");
            assert_eq!(refused.number("Retry-After"), 1);
        }
        // A third of the ten is for each of two, and one more that may come.
        let quiet: Vec<_> = VERSIONS.into_iter().map(|version| start("quiet", version)).collect();
        backend.wait_for_requests(5 + quiet.len());
        for _ in 0..5 + quiet.len() {
            release.send(()).unwrap();
        }
        let answers: Vec<Response> = noisy.into_iter().chain(quiet).map(|answer| answer.join().unwrap()).collect();
        answers.iter().for_each(Response::assert_success);
        // Once they are answered, there is room again.
        release.send(()).unwrap();
        gateway.send(Version::Http1, &lookup("noisy")).assert_success();
    });
    assert_eq!((credits(&gateway, "noisy")[1], credits(&gateway, "quiet")[1]), (6, VERSIONS.len() as u64));
}
