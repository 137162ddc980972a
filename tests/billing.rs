//! Usage for billing from outside: a receiver that refuses, answers too late, dies in between and comes back, and a
//! gateway that is killed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tollgate::ledger::store::randomness::SystemRandomness;
use tollgate::ledger::store::{billing, open, usage};
use tollgate::policy::account::Digest;
use tollgate::telemetry::usage::{HOUR_MS, UsageRow};

use crate::support::{Backend, Configuration, Gateway, Scratch, until};

/// Rows of each hour.
const ROWS: i64 = 30;

/// The hours that wait.
const HOURS: i64 = 4;

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A store whose hand-over began some hours ago, with usage of each hour since; requests and credits of it.
fn store_with_backlog(scratch: &Scratch) -> (i64, i64) {
    let mut store = open(&scratch.path("tollgate.db")).unwrap();
    let begin = now_ms() - (HOURS + 1) * HOUR_MS;
    billing::close_hours(&mut store, &mut SystemRandomness, begin).unwrap();
    let hour = begin - begin.rem_euclid(HOUR_MS);
    let row = |number: i64| UsageRow {
        hour: hour + (number / ROWS) * HOUR_MS,
        account: format!("account {}", number % ROWS).into(),
        token: "web".into(),
        digest: Digest::of(b"web"),
        product: "phone".into(),
        outcome: if number % 3 == 0 { "rate-exceeded".into() } else { "".into() },
        requests: u64::try_from(number).unwrap() + 1,
        credits: 2 * u64::try_from(number).unwrap(),
        watched: [0, 0],
        last_at: hour,
    };
    let rows: Vec<UsageRow> = (0..ROWS * HOURS).map(row).collect();
    usage::add(&mut store, &rows, &[]).unwrap();
    let sum = |of: fn(&UsageRow) -> u64| rows.iter().map(|row| i64::try_from(of(row)).unwrap()).sum::<i64>();
    (sum(|row| row.requests), sum(|row| row.credits))
}

#[test]
fn every_event_arrives_and_is_the_same_each_time_whatever_the_receiver_does() {
    let scratch = Scratch::new();
    let (requests, credits) = store_with_backlog(&scratch);
    // What the receiver has taken, by the events' ids, and how often each came.
    let taken: Arc<Mutex<BTreeMap<String, (Value, usize)>>> = Arc::default();
    let headers: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let number = Arc::new(Mutex::new(0));
    let receiver = {
        let (taken, headers, number) = (Arc::clone(&taken), Arc::clone(&headers), Arc::clone(&number));
        Backend::start(move |peer, request| {
            let turn = {
                let mut number = number.lock().unwrap();
                *number += 1;
                *number
            };
            let text = String::from_utf8(request.to_vec()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let wanted = |line: &&str| line.starts_with("content-type") || line.starts_with("authorization");
            headers.lock().unwrap().extend(head.to_lowercase().lines().filter(wanted).map(str::to_owned));
            let take = || {
                for event in serde_json::from_str::<Vec<Value>>(body).unwrap() {
                    let id = event["id"].as_str().unwrap().to_owned();
                    let mut taken = taken.lock().unwrap();
                    let (known, times) = taken.entry(id).or_insert_with(|| (event.clone(), 0));
                    assert_eq!(*known, event, "an event is the same whenever it comes");
                    *times += 1;
                }
            };
            match turn {
                1 => peer.answer_with("503 Service Unavailable", "Retry-After: 1\r\n", b"{}"),
                // It takes them, and says so too late.
                2 => {
                    take();
                    peer.wait_for_close()
                }
                // It takes them, and dies.
                3 => {
                    take();
                    crate::support::After::Reset
                }
                _ => {
                    take();
                    peer.answer_with("202 Accepted", "", b"")
                }
            }
        })
    };
    let backend = Backend::answering_json();
    let yaml = Configuration::new(backend.address())
        .with(&format!(
            "ledger: {{ file: {} }}\nstore: {{ sqlite: {} }}\nbilling: {{ url: 'http://{}/events', timeout: 1s, \
             batch: 50, headers: {{ Authorization: 'Bearer ${{env:BILLING_KEY}}' }} }}\n",
            scratch.path("ledger.db").display(),
            scratch.path("tollgate.db").display(),
            receiver.address()
        ))
        .yaml();
    let environment = [("BILLING_KEY", "s3cret")];
    let mut gateway = Gateway::start_with(&yaml, &environment);
    until("it was refused", || *number.lock().unwrap() >= 2);
    assert!(gateway.metric::<i64>("tollgate_billing_waiting_events") > 0);
    gateway.kill();
    let gateway = Gateway::start_with(&yaml, &environment);
    let begun = std::time::Instant::now();
    let all = usize::try_from(ROWS * HOURS).unwrap();
    while taken.lock().unwrap().len() < all || gateway.metric::<i64>("tollgate_billing_waiting_events") > 0 {
        assert!(begun.elapsed().as_secs() < 60, "{} of {all} have come", taken.lock().unwrap().len());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let taken = taken.lock().unwrap();
    let sum = |key: &str| -> i64 { taken.values().map(|(event, _)| event["data"][key].as_i64().unwrap()).sum() };
    assert_eq!((taken.len(), sum("requests"), sum("credits")), (all, requests, credits), "each once, by its id");
    assert!(taken.values().any(|(_, times)| *times > 1), "and some came more than once");
    let (event, _) = taken.values().next().unwrap();
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["type"], "tollgate.usage");
    let wanted = ["authorization: bearer s3cret", "content-type: application/cloudevents-batch+json"];
    assert_eq!(headers.lock().unwrap().iter().map(String::as_str).collect::<Vec<_>>(), wanted);
    assert!(!gateway.output().contains("s3cret"));
    let store = open(&scratch.path("tollgate.db")).unwrap();
    let progress = billing::progress(&store).unwrap().unwrap();
    assert_eq!((progress.sent, progress.lost, progress.fault), (ROWS * HOURS, 0, None));
}
