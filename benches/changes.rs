//! What a change of one of the store's accounts costs where there are many: processor time, memory, and how long
//! requests take beside it.
//!
//! `make bench-changes`, with `ACCOUNTS`, `CHANGES`, `CHANGES_A_SECOND` and `SECONDS`. Everything is one process:
//! a gateway with a ledger in memory, a backend with one fixed answer, and clients that send one lookup after the
//! other. Half of the seconds have no changes, in turns, so that whatever else the machine does meets both.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A benchmark may end in a panic.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tollgate::config;
use tollgate::gateway::Gateway;
use tollgate::ledger::opening;
use tollgate::platform::descriptors::Descriptors;
use tollgate::policy::account::directory::change::AccountChange;
use tollgate::policy::account::{Account, Digest};
use tollgate::telemetry::Telemetry;

#[path = "../tests/support/in_process.rs"]
mod in_process;
use in_process::serve_on_threads;

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

fn main_text(backend: SocketAddr) -> String {
    format!(
        "public_url: https://api.example.com\nupstreams: {{ lookup: {{ servers: [{backend}] }} }}\n\
         products: {{ phone: {{ upstream: lookup, routes: [POST /lookup], token_headers: [Auth-Token] }} }}\n\
         ledger: {{ volatile: true }}\n"
    )
}

/// Accounts of some numbers, compiled from lines as a file has them.
fn compiled(directory: &Path, main: &str, numbers: impl Iterator<Item = usize>, disabled: bool) -> Vec<Arc<Account>> {
    let mut lines = String::new();
    for number in numbers {
        let hash = Digest::of(format!("token-{number}").as_bytes()).text();
        writeln!(
            lines,
            r#"{{"name":"account {number}","rate":{{"limit":"1000000/s"}},"tokens":[{{"name":"t","hash":"{hash}","products":["phone"],"disabled":{disabled}}}]}}"#
        )
        .unwrap();
    }
    std::fs::write(directory.join("accounts.jsonl"), lines).unwrap();
    let path = directory.join("main.yaml");
    std::fs::write(&path, format!("{main}include: [accounts.jsonl]\n")).unwrap();
    let config = config::load(&path).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    config.policy.accounts.iter().cloned().collect()
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Resident memory in MB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times.get(times.len() * percent / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

/// Answers each request with one and the same lookup.
fn backend() -> SocketAddr {
    const ANSWER: &str =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"result\":{}}";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                // A request without a body comes in one piece over loopback.
                while stream.read(&mut request).is_ok_and(|count| count > 0) {
                    stream.write_all(ANSWER.as_bytes()).unwrap();
                }
            });
        }
    });
    address
}

/// Sends a lookup and returns its status.
fn lookup(stream: &mut TcpStream, token: &str, answer: &mut Vec<u8>) -> u16 {
    let request =
        format!("POST /lookup HTTP/1.1\r\nHost: api.example.com\r\nAuth-Token: {token}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    answer.clear();
    let mut piece = [0; 4096];
    while !answer.ends_with(b"}}") {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(answer));
        answer.extend_from_slice(&piece[..count]);
    }
    std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap()
}

fn main() {
    let (number, changes) = (setting("ACCOUNTS", 1_000_000), setting("CHANGES", 2000));
    let directory: PathBuf = std::env::temp_dir().join(format!("tollgate-changes-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let main = main_text(backend());
    let all = compiled(&directory, &main, 0..number, false);
    // Scattered over all of them, with and without their tokens.
    let chosen = || (0..changes).map(|change| change.wrapping_mul(2_654_435_761) % (number - 100) + 100);
    let off = compiled(&directory, &main, chosen().collect::<std::collections::BTreeSet<_>>().into_iter(), true);
    let on: Vec<Arc<Account>> = off
        .iter()
        .map(|account| {
            let place: usize = account.name.trim_start_matches("account ").parse().unwrap();
            Arc::clone(&all[place])
        })
        .collect();

    let mut config = config::parse("main.yaml", &main, &config::Source::from(directory.clone())).unwrap();
    let before = resident();
    let begun = Instant::now();
    assert_eq!(config.policy.take_in(all.iter().cloned(), || {}), []);
    println!(
        "{number} accounts: {:.0} ms to take in, {:.1} MB for the list and the tables",
        begun.elapsed().as_secs_f64() * 1e3,
        resident() - before
    );
    let before = resident();
    let mut one_table = hashbrown::HashTable::new();
    for (place, account) in all.iter().enumerate() {
        let hash = (place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        one_table.insert_unique(hash, (hash, Arc::clone(account), place as u32, place as u32), |entry| entry.0);
    }
    let list = all.clone();
    println!("the same in one table of tokens and one list, which cannot be changed: {:.1} MB", resident() - before);
    drop((one_table, list, all));
    std::fs::remove_dir_all(&directory).unwrap();

    let (policy, started) = (Arc::new(config.policy), Instant::now());
    let ledger = opening::start(config.ledger, &policy, started, None);
    let descriptors = Descriptors::claim().unwrap();
    let telemetry = Arc::new(Telemetry::default());
    let gateway = Arc::new(Gateway::new(policy, config.settings, ledger, telemetry, descriptors, started));
    let address = serve_on_threads(&gateway);
    cost(&gateway, &on, &off);
    refused(&gateway, &on, &off, address);
    beside(&gateway, &on, &off, address);
}

/// Processor time of a change, with what frees the snapshot before.
fn cost(gateway: &Gateway, on: &[Arc<Account>], off: &[Arc<Account>]) {
    let mut times = Vec::new();
    let resident_before = resident();
    for (round, accounts) in [off, on].into_iter().enumerate() {
        for account in accounts {
            let begun = processor_time();
            drop(gateway.change_accounts(&[AccountChange::Put(Arc::clone(account))]));
            times.push(processor_time() - begun);
        }
        let found =
            gateway.snapshot().policy.accounts.by_name(&accounts[0].name).map(|account| account.keys[0].token.enabled);
        assert_eq!(found, Some(round == 1));
    }
    let mean = times.iter().sum::<Duration>().as_secs_f64() * 1e6 / times.len() as f64;
    println!(
        "{} changes one by one: {mean:.1} µs of processor time each, p50 {:.1}, p99 {:.1}; memory {:+.1} MB",
        times.len(),
        percentile(&mut times, 50),
        percentile(&mut times, 99),
        resident() - resident_before
    );
}

/// From the change to the first refusal.
fn refused(gateway: &Gateway, on: &[Arc<Account>], off: &[Arc<Account>], address: SocketAddr) {
    let (mut stream, mut answer, mut times) = (TcpStream::connect(address).unwrap(), Vec::new(), Vec::new());
    for (on, off) in on.iter().zip(off).take(500) {
        let token = format!("token-{}", on.name.trim_start_matches("account "));
        assert_eq!(lookup(&mut stream, &token, &mut answer), 200);
        let begun = Instant::now();
        drop(gateway.change_accounts(&[AccountChange::Put(Arc::clone(off))]));
        assert_eq!(lookup(&mut stream, &token, &mut answer), 403);
        times.push(begun.elapsed());
        drop(gateway.change_accounts(&[AccountChange::Put(Arc::clone(on))]));
    }
    println!(
        "from the change to the answer that refuses: p50 {:.0} µs, p99 {:.0} µs",
        percentile(&mut times, 50),
        percentile(&mut times, 99)
    );
}

/// Requests at full speed of two connections, beside changes and without.
fn beside(gateway: &Gateway, on: &[Arc<Account>], off: &[Arc<Account>], address: SocketAddr) {
    let (seconds, a_second) = (setting("SECONDS", 20), setting("CHANGES_A_SECOND", 1000));
    let (changing, done, failed) = (AtomicBool::new(false), AtomicBool::new(false), AtomicUsize::new(0));
    let times = Mutex::new([Vec::new(), Vec::new()]);
    let mut changed = 0;
    std::thread::scope(|scope| {
        for client in 0..2 {
            let (changing, done, failed, times) = (&changing, &done, &failed, &times);
            scope.spawn(move || {
                let (mut stream, mut answer) = (TcpStream::connect(address).unwrap(), Vec::new());
                let (mut own, mut turn) = ([Vec::new(), Vec::new()], 0_usize);
                while !done.load(Ordering::Relaxed) {
                    // The first hundred accounts stay as they are.
                    turn += 1;
                    let token = format!("token-{}", (client * 50) + turn % 50);
                    let kind = usize::from(changing.load(Ordering::Relaxed));
                    let begun = Instant::now();
                    if lookup(&mut stream, &token, &mut answer) != 200 {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    own[kind].push(begun.elapsed());
                }
                let mut times = times.lock().unwrap();
                times.iter_mut().zip(own).for_each(|(all, own)| all.extend(own));
            });
        }
        for second in 0..seconds {
            let with = second % 2 == 1;
            changing.store(with, Ordering::Relaxed);
            let begun = Instant::now();
            let mut sent = 0;
            while begun.elapsed() < Duration::from_secs(1) {
                std::thread::sleep(Duration::from_millis(1));
                while with && sent < begun.elapsed().as_millis() as usize * a_second / 1000 {
                    let (accounts, place) =
                        (if (changed / on.len()).is_multiple_of(2) { off } else { on }, changed % on.len());
                    drop(gateway.change_accounts(&[AccountChange::Put(Arc::clone(&accounts[place]))]));
                    (sent, changed) = (sent + 1, changed + 1);
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let [mut without, mut with] = times.into_inner().unwrap();
    let failed = failed.into_inner();
    println!("{changed} changes beside {} lookups, {} without changes; {failed} failed", with.len(), without.len());
    for percent in [50, 99] {
        let (with, without) = (percentile(&mut with, percent), percentile(&mut without, percent));
        println!("p{percent}: {with:.0} µs with changes, {without:.0} µs without: {:.3}", with / without);
    }
    assert_eq!(failed, 0);
}
