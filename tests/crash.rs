//! The guarantees of the ledger under `kill -9`: at random moments under load, repeatedly, the
//! ledger is compared with what clients have received and what the backend has seen.
//!
//! A separate binary, since its load would disturb tests that depend on time.
#![allow(dead_code, unused_imports)] // Each binary uses a part of what tests share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::needless_borrows_for_generic_args
)]

mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::api::{admin_key, ask, done, tollgate};
use support::calls::{Caller, random};
use support::{Backend, Gateway, PATIENCE, Request, Scratch, VERSIONS, paying};

/// Kills of each kind of ledger.
const KILLS: usize = 110;

/// Clients at a time; each has one request in flight.
const CLIENTS: usize = 8;

const GRANTED: u64 = 1_000_000_000;

/// How old a charge can be that a crash loses in `batch`, beside the writes of the disk: the 50 ms of the promise, and
/// what a busy machine needs for this test's clients to read the clock.
const OLDEST_LOSS: Duration = Duration::from_secs(1);

/// The longest that the disk has taken for a page, written beside the ledger until told to stop and a last time after
/// that: a disk that others use can take seconds.
fn longest_write(path: &Path, stop: &AtomicBool) -> Duration {
    let mut file = std::fs::File::create(path).unwrap();
    let mut longest = Duration::ZERO;
    loop {
        let last = stop.load(Ordering::Relaxed);
        let begun = Instant::now();
        file.write_all(&[0; 4096]).unwrap();
        file.sync_data().unwrap();
        longest = longest.max(begun.elapsed());
        if last {
            return longest;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An answer that a client has received completely.
struct Received {
    transaction: String,
    at: Instant,
}

/// Sends lookups one after the other until the connection breaks.
fn load(address: SocketAddr, request: &[u8], count: &AtomicUsize) -> Vec<Received> {
    let mut received = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address) else { return received };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 4096];
    while stream.write_all(request).is_ok() {
        let mut bytes = Vec::new();
        let whole = loop {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break None,
                Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            }
            let text = String::from_utf8_lossy(&bytes);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
                if body.len() == value("Content-Length: ").parse::<usize>().unwrap() {
                    assert!(head.starts_with("HTTP/1.1 200 ") && value("X-Credits-Charged: ") == "1", "{text}");
                    break Some(value("Transaction-Id: "));
                }
            }
        };
        let Some(transaction) = whole else { break };
        received.push(Received { transaction, at: Instant::now() });
        count.fetch_add(1, Ordering::Relaxed);
    }
    received
}

/// One life of the gateway, ended by a kill.
struct Life {
    /// What clients have received, in the order of time.
    received: Vec<Received>,
    killed_at: Instant,
    longest_write: Duration,
}

impl Life {
    /// Asserts that the last of what was received, which is lost, is of the last moment: of the write under way and of
    /// the one that would have followed.
    fn assert_recent(&self, lost: u64, what: &str) {
        if let Some(oldest) = self.received.len().checked_sub(lost as usize).and_then(|index| self.received.get(index))
        {
            let age = self.killed_at.saturating_duration_since(oldest.at);
            let most = OLDEST_LOSS + 2 * self.longest_write;
            assert!(age <= most, "{what} was lost that was {age:?} old, of at most {most:?}");
        }
    }
}

fn life(scratch: &Scratch, yaml: &str, expected_balance: u64, lifetime: Duration) -> Life {
    let mut gateway = Gateway::start(yaml);
    let (_, body) = gateway.ask_admin("GET", "/accounts/acme/credits/phone", &[], "");
    let statement: serde_json::Value = serde_json::from_str(&body).unwrap();
    let number = |name: &str| statement[name].as_u64().unwrap();
    assert_eq!((number("granted"), number("balance"), number("held")), (GRANTED, expected_balance, 0));
    let (address, request) = (gateway.address(), Request::lookup("acme").bytes());
    let (count, stop, page) = (AtomicUsize::new(0), AtomicBool::new(false), scratch.path("page"));
    std::thread::scope(|scope| {
        let writes = scope.spawn(|| longest_write(&page, &stop));
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| load(address, &request, &count))).collect();
        let begun = Instant::now();
        while count.load(Ordering::Relaxed) == 0 && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(lifetime);
        let killed_at = Instant::now();
        gateway.kill();
        let mut received: Vec<Received> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        received.sort_by_key(|answer| answer.at);
        stop.store(true, Ordering::Relaxed);
        Life { received, killed_at, longest_write: writes.join().unwrap() }
    })
}

fn charged(scratch: &Scratch) -> u64 {
    let read = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    scratch.database().query_row("SELECT spent FROM balance", [], read).unwrap().cast_unsigned()
}

#[test]
fn a_crash_in_batch_loses_no_more_than_the_last_moment_and_charges_nothing_twice() {
    let scratch = Scratch::new();
    let backend = Backend::answering_json();
    let accounts = [("acme", &*GRANTED.to_string())];
    let yaml = paying(backend.address(), &scratch.ledger("batch"), &accounts);
    let (mut state, mut before, mut delivered, mut lost_most) = (1, 0, 0, 0);
    for kill in 0..KILLS {
        let lifetime = Duration::from_millis(random(&mut state, 150) + if kill % 10 == 0 { 1500 } else { 0 });
        let life = life(&scratch, &yaml, GRANTED - before, lifetime);
        let after = charged(&scratch);
        let (received_now, charged_now) = (life.received.len() as u64, after - before);
        assert!(charged_now <= received_now + CLIENTS as u64, "charged {charged_now} of {received_now} delivered");
        let lost = received_now.saturating_sub(charged_now);
        life.assert_recent(lost, &format!("kill {kill}: a charge"));
        lost_most = lost_most.max(lost);
        delivered += received_now;
        before = after;
    }
    assert!(delivered > 100 * KILLS as u64, "{delivered} answers are no load");
    assert!(backend.requests().len() as u64 >= delivered);
    println!("{KILLS} kills, {delivered} delivered, {before} charged, {lost_most} lost at most by one");
}

#[test]
fn a_crash_in_each_loses_no_charge_and_charges_no_more_than_was_in_flight() {
    let scratch = Scratch::new();
    let backend = Backend::answering_json();
    let accounts = [("acme", &*GRANTED.to_string())];
    let yaml = paying(backend.address(), &scratch.ledger("each"), &accounts);
    let (mut state, mut before, mut delivered, mut extra_most) = (2, 0, 0, 0);
    for kill in 0..KILLS {
        let lifetime = Duration::from_millis(random(&mut state, 150));
        let Life { received, .. } = life(&scratch, &yaml, GRANTED - before, lifetime);
        let database = scratch.database();
        let mut rows = database.prepare("SELECT reference FROM entry WHERE kind = 'charge'").unwrap();
        let rows: Vec<String> = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let written: BTreeSet<&String> = rows.iter().collect();
        assert_eq!(rows.len(), written.len(), "kill {kill}: a lookup was charged twice");
        for answer in &received {
            assert!(written.contains(&answer.transaction), "kill {kill}: a charge was lost");
        }
        let after = charged(&scratch);
        let extra = after - before - received.len() as u64;
        assert!(extra <= CLIENTS as u64, "kill {kill}: {extra} charges without an answer");
        extra_most = extra_most.max(extra);
        delivered += received.len() as u64;
        before = after;
    }
    assert!(delivered > 10 * KILLS as u64, "{delivered} answers are no load");
    println!("{KILLS} kills, {delivered} delivered, {before} charged, {extra_most} without an answer at most by one");
}

/// What the file says was used of the account's quota.
fn used(scratch: &Scratch) -> u64 {
    let read = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    scratch.database().query_row("SELECT used FROM limit_quota", [], read).unwrap().cast_unsigned()
}

/// A quota is counted as charges are: with `each` a crash loses no request that was answered, with `batch` those of the
/// last moment.
#[test]
fn a_crash_gives_no_quota_back_that_was_written_down() {
    for (durability, kills) in [("each", KILLS / 3), ("batch", KILLS / 3)] {
        let scratch = Scratch::new();
        let backend = Backend::answering_json();
        let accounts = [("acme", &*GRANTED.to_string())];
        let yaml = paying(backend.address(), &scratch.ledger(durability), &accounts)
            .replace("rate: { unlimited: true }", "rate: { unlimited: true }\n    quota: { month: 900000000 }");
        let (mut state, mut before, mut charged_before) = (3, 0, 0);
        for kill in 0..kills {
            let lifetime = Duration::from_millis(random(&mut state, 150));
            let life = life(&scratch, &yaml, GRANTED - charged_before, lifetime);
            let after = used(&scratch);
            let (counted, received_now) = (after - before, life.received.len() as u64);
            assert!(counted <= received_now + CLIENTS as u64, "kill {kill}: {counted} of {received_now}");
            let lost = received_now.saturating_sub(counted);
            assert!(durability == "batch" || lost == 0, "kill {kill}: {lost} requests were counted and lost");
            life.assert_recent(lost, &format!("kill {kill}: a count"));
            (before, charged_before) = (after, charged(&scratch));
        }
    }
}

/// Kills in a campaign over management calls; `make crashes` sets more.
fn management_kills() -> usize {
    std::env::var("TOLLGATE_CRASHES").map_or(10, |text| text.parse().unwrap())
}

/// Management calls of several clients at once, killed at random moments: what was acknowledged is there, what was under
/// way is done whole or not at all and happens once when it is sent again, keys are answered the same, and the audit is
/// as it was written.
#[test]
fn a_crash_loses_no_management_call_and_leaves_none_half_done() {
    const CALLERS: u64 = 4;
    let (scratch, backend) = (Scratch::new(), Backend::answering_json());
    let store = format!("store: {{ sqlite: {} }}\napi: {{ listen: $FREE }}\n", scratch.path("tollgate.db").display());
    let yaml = store + &paying(backend.address(), &scratch.ledger("each"), &[("filed", "1000")]);
    let mut gateway = Gateway::start(&yaml);
    let key = admin_key(&gateway);
    let mut callers: Vec<Caller> =
        (0..CALLERS).map(|number| Caller::new(format!("c{number}"), key.clone(), number)).collect();
    let (kills, mut state) = (management_kills(), 7);
    for kill in 0..kills {
        let api = gateway.more(0);
        std::thread::scope(|scope| {
            for caller in &mut callers {
                scope.spawn(move || caller.call_until_it_breaks(api));
            }
            std::thread::sleep(Duration::from_millis(50 + random(&mut state, 350)));
            gateway.kill();
        });
        gateway = Gateway::start(&yaml);
        let api = gateway.more(0);
        for caller in &mut callers {
            caller.send_again(api);
        }
        // Comparing all of it each time would take longer than the campaign.
        let last = kill + 1 == kills;
        for caller in callers.iter_mut().skip(if last { 0 } else { kill % 4 }).take(if last { 4 } else { 1 }) {
            caller.compare(api);
            for (secret, status) in caller.lookups().take(5) {
                let lookup = Request::lookup("filed").set("Auth-Token", secret);
                assert_eq!(gateway.send(VERSIONS[0], &lookup).status(), status, "{secret}");
            }
        }
        assert_eq!(ask(api, &key, "GET", "/audit/check", &[], &Value::Null).body["whole"], true, "kill {kill}");
        assert_eq!(ask(api, &key, "GET", "/conflicts", &[], &Value::Null).body["count"], 0);
    }
    let listed = String::from_utf8(tollgate(&gateway, &["accounts", "list", "--json"], &[]).stdout).unwrap();
    assert_eq!(listed.lines().count(), callers.iter().map(Caller::accounts).sum::<usize>(), "nothing twice");
    let sum = |of: fn(&Caller) -> usize| callers.iter().map(of).sum::<usize>();
    let (acknowledged, again, before) =
        (sum(|caller| caller.acknowledged), sum(|caller| caller.sent_again), sum(|caller| caller.done_before));
    println!(
        "{kills} kills, {acknowledged} calls acknowledged, {again} in doubt, {before} of them done before the crash"
    );
    assert!(acknowledged > 5 * kills, "{acknowledged} calls are no campaign");
}

/// An import that is killed has written whole transactions, and goes on when it is done again.
#[test]
fn an_import_that_is_killed_is_done_again() {
    use std::fmt::Write as _;
    const ACCOUNTS: usize = 6000;
    let (scratch, backend) = (Scratch::new(), Backend::answering_json());
    let store = format!("store: {{ sqlite: {} }}\napi: {{ listen: $FREE }}\n", scratch.path("tollgate.db").display());
    let yaml = store + &paying(backend.address(), &scratch.ledger("each"), &[("filed", "1000")]);
    let gateway = Gateway::start(&yaml);
    let mut lines = String::new();
    for number in 0..ACCOUNTS {
        let hash = tollgate::policy::account::Digest::of(format!("imported-{number}").as_bytes()).text();
        writeln!(
            lines,
            r#"{{"name":"n{number}","rate":{{"limit":"60/min"}},"credits":{{"phone":5}},"tokens":[{{"name":"t","hash":"{hash}","products":["phone"]}}]}}"#
        )
        .unwrap();
    }
    let file = scratch.path("accounts.jsonl");
    std::fs::write(&file, lines).unwrap();
    let words = ["accounts", "import", file.to_str().unwrap()];
    let written = || {
        let database = rusqlite::Connection::open(scratch.path("tollgate.db")).unwrap();
        database.query_row("SELECT COUNT(*) FROM account", [], |row| row.get::<_, i64>(0)).unwrap() as usize
    };
    for _ in 0..3 {
        let before = written();
        let mut import = std::process::Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(words)
            .env("TOLLGATE_CONFIG", gateway.config())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while written() == before && begun.elapsed() < PATIENCE && import.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(3));
        }
        import.kill().unwrap();
        import.wait().unwrap();
        assert_eq!(written() % 1000, 0, "whole transactions");
    }
    let before = written();
    let told = done(&gateway, &words, &[]);
    assert_eq!((told["unchanged"].as_u64(), told["refused"].as_u64()), (Some(before as u64), Some(0)), "{told}");
    assert_eq!((written(), done(&gateway, &["audit", "check"], &[])["whole"].clone()), (ACCOUNTS, true.into()));
    let lookup = Request::lookup("filed").set("Auth-Token", "imported-5999");
    support::until("the last one is in force", || gateway.send(VERSIONS[0], &lookup).status() == 200);
}
