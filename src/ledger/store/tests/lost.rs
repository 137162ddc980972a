//! Confirmations that are lost, and a server that is killed: nothing that was confirmed is lost, and nothing is done
//! twice.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::database::{location, make, names, over_the_port, store};
use super::*;
use crate::ledger::store::{upkeep, usage};

/// Passes connections on to a server, and ends one at its COMMIT while `cuts` says how: before it arrives, or after it,
/// before the answer.
struct Proxy {
    port: u16,
    cuts: Arc<AtomicU32>,
}

const NEVER: u32 = 0;
const BEFORE: u32 = 1;
const AFTER: u32 = 2;

impl Proxy {
    fn start(server: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, cuts) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU32::new(NEVER)));
        let how = Arc::clone(&cuts);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let how = Arc::clone(&how);
                std::thread::spawn(move || pass(client, server, &how));
            }
        });
        Proxy { port, cuts }
    }
}

fn pass(mut client: TcpStream, mut server: TcpStream, how: &AtomicU32) {
    let (mut answers, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let is_cut = Arc::new(AtomicBool::new(false));
    let is_deaf = Arc::clone(&is_cut);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = answers.read(&mut bytes) {
            if !is_deaf.load(Ordering::Acquire) && back.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        let _ = back.shutdown(Shutdown::Both);
    });
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = client.read(&mut bytes) {
        let sent = &bytes[..length];
        if sent.windows(7).any(|window| window == b"COMMIT\0") {
            match how.swap(NEVER, Ordering::AcqRel) {
                BEFORE => break,
                AFTER => {
                    is_cut.store(true, Ordering::Release);
                    server.write_all(sent).unwrap();
                    std::thread::sleep(Duration::from_millis(50));
                    break;
                }
                _ => {}
            }
        }
        if server.write_all(sent).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
}

#[test]
fn a_confirmation_that_was_lost_is_looked_for_and_nothing_is_done_twice() {
    let cluster = cluster::shared();
    let settings = new_in(cluster);
    let proxy = Proxy::start(cluster.port);
    let store = store(&over_the_port(&settings, proxy.port), 1);
    let used = |hour| crate::telemetry::usage::UsageRow {
        hour,
        account: "acme".into(),
        token: "web".into(),
        digest: crate::policy::account::Digest::from_bytes([1; 32]),
        product: "plate".into(),
        outcome: "".into(),
        requests: 5,
        credits: 10,
        watched: [0, 0],
        last_at: hour,
    };
    let mut expected = BTreeSet::new();
    for (number, how) in [BEFORE, AFTER, NEVER, AFTER, BEFORE].into_iter().enumerate() {
        proxy.cuts.store(how, Ordering::Release);
        let made = make(&store, &format!("n{number}"));
        assert!(made.is_ok(), "{how}: {made:?}");
        expected.insert(format!("n{number}"));
        proxy.cuts.store(how, Ordering::Release);
        let row = used(NOW);
        let added = store.maintain_here(move |connection| usage::add(connection, std::slice::from_ref(&row), &[]));
        // One that was cut off before is refused, and whoever counts adds it again.
        assert_eq!(added.is_err(), how == BEFORE, "{how}: {added:?}");
    }
    assert_eq!(names(&settings), expected);
    let sum = "SELECT CAST(SUM(requests) AS BIGINT) FROM usage_hour";
    let connection = open(location(&settings)).unwrap();
    assert_eq!(connection.query_row(sum, (), |row| row.get::<i64>(0)).unwrap(), 15, "three times five");
    // What was written down of confirmations goes.
    let mut connection = connection;
    upkeep::step(&mut connection, &KEPT, crate::platform::clock::unix_milliseconds() + 86_400_000).unwrap();
    assert_eq!(connection.query_row("SELECT COUNT(*) FROM recorded", (), |row| row.get::<i64>(0)).unwrap(), 0);
}

/// How often the server is killed: three times, or as `TOLLGATE_DATABASE_CRASHES` says.
fn crashes() -> u64 {
    std::env::var("TOLLGATE_DATABASE_CRASHES").ok().and_then(|times| times.parse().ok()).unwrap_or(3)
}

#[test]
fn a_server_that_is_killed_has_lost_nothing_that_was_confirmed_and_done_nothing_that_was_refused() {
    let cluster = Cluster::start();
    let settings = new_in(&cluster);
    let stores = [store(&settings, 1), store(&settings, 2)];
    let (mut done, mut refused, mut doubted) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut longest = Duration::ZERO;
    for crash in 0..crashes() {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writers: Vec<_> = stores
                .iter()
                .enumerate()
                .map(|(node, store)| {
                    let is_over = &is_over;
                    scope.spawn(move || {
                        let mut outcomes = Vec::new();
                        for number in 0.. {
                            let name = format!("{crash}-{node}-{number}");
                            let outcome = make(store, &name);
                            outcomes.push((name, outcome.map(drop)));
                            if is_over.load(Ordering::Acquire) {
                                return outcomes;
                            }
                        }
                        outcomes
                    })
                })
                .collect();
            // Another moment each time.
            std::thread::sleep(Duration::from_millis(60 + crash * 37 % 140));
            let away = std::time::Instant::now();
            cluster.kill();
            cluster.start_again();
            longest = longest.max(away.elapsed());
            std::thread::sleep(Duration::from_millis(100));
            is_over.store(true, Ordering::Release);
            for (name, outcome) in writers.into_iter().flat_map(|writer| writer.join().unwrap()) {
                match outcome {
                    Ok(()) => done.insert(name),
                    Err(StoreError::InDoubt) => doubted.insert(name),
                    Err(StoreError::Unavailable { .. }) => refused.insert(name),
                    Err(other) => panic!("{name}: {other}"),
                };
            }
        });
    }
    let all = names(&settings);
    assert!(done.is_subset(&all), "confirmed and lost: {:?}", done.difference(&all).collect::<Vec<_>>());
    assert!(refused.is_disjoint(&all), "refused and done: {:?}", refused.intersection(&all).collect::<Vec<_>>());
    // What is in doubt is done, or it is not. Nothing is, unless the server was away for long.
    assert!(all.difference(&done).all(|name| doubted.contains(name)));
    assert!(doubted.is_empty() || longest > Duration::from_secs(10), "{longest:?}: {doubted:?}");
    let (done, refused, doubted) = (done.len(), refused.len(), doubted.len());
    eprintln!("{} crashes: {done} confirmed, {refused} refused, {doubted} in doubt; away for {longest:?}", crashes());
}
