//! Gateways that share a PostgreSQL: each sees the changes of the others, and what happens while it is away, or comes
//! back with less than it had.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::api::{account, admin_key, ask, done};
use crate::support::cluster::{Cluster, USER, shared};
use crate::support::{Backend, Configuration, Gateway, Request, VERSIONS, until};

/// A gateway with its store in a database.
fn gateway(backend: &Backend, cluster: &Cluster, database: &str, more: &str) -> Gateway {
    let store = format!(
        "ledger: {{ file: ledger.db }}\napi: {{ listen: $FREE }}\n\
         store: {{ postgres: {{ hosts: ['{}:{}'], database: {database}, user: {USER}{more} }} }}\n",
        cluster.directory.display(),
        cluster.port
    );
    Gateway::start(&Configuration::new(backend.address()).with(&store).yaml())
}

/// A new account with a token: the path of the token, and the token itself.
fn new_token(gateway: &Gateway, key: &str, name: &str) -> (String, String) {
    let api = gateway.more(0);
    let made = ask(api, key, "POST", "/accounts", &[("Idempotency-Key", name)], &account(name));
    assert_eq!(made.status, 201, "{}", made.body);
    let tokens = format!("/accounts/{}/tokens", made.body["id"].as_str().unwrap());
    let (once, body) = (format!("{name}-web"), json!({ "name": "web", "products": ["phone"] }));
    let made = ask(api, key, "POST", &tokens, &[("Idempotency-Key", &*once)], &body).body;
    (format!("{tokens}/{}", made["token"]["id"].as_str().unwrap()), made["secret"].as_str().unwrap().to_owned())
}

fn status(gateway: &Gateway, secret: &str) -> u16 {
    gateway.send(VERSIONS[0], &Request::lookup("live").set("Auth-Token", secret)).status()
}

fn set(gateway: &Gateway, key: &str, token: &str, deed: &str) {
    let done = ask(gateway.more(0), key, "POST", &format!("{token}/{deed}"), &[("If-Match", "*")], &Value::Null);
    assert_eq!(done.status, 200, "{}", done.body);
}

/// How long it takes until a change by one gateway is in force on another: the median and the longest of some.
fn until_in_force(one: &Gateway, other: &Gateway, key: &str, rounds: usize) -> (Duration, Duration) {
    let (token, secret) = new_token(one, key, "measured");
    until("the token is known", || status(other, &secret) == 200);
    let mut took: Vec<Duration> = (0..rounds)
        .map(|round| {
            let (deed, expected) = if round % 2 == 0 { ("disable", false) } else { ("enable", true) };
            // Between two looks, wherever that is.
            std::thread::sleep(Duration::from_millis(37 * round as u64 % 500));
            set(one, key, &token, deed);
            let begun = Instant::now();
            while (status(other, &secret) == 200) != expected {
                assert!(begun.elapsed() < Duration::from_secs(10), "{deed} is not in force");
                std::thread::sleep(Duration::from_millis(1));
            }
            begun.elapsed()
        })
        .collect();
    took.sort();
    (took[took.len() / 2], took[took.len() - 1])
}

#[test]
fn a_change_by_one_gateway_is_in_force_on_the_others() {
    let (backend, cluster) = (Backend::answering_json(), shared());
    for (more, limit) in [("", 250), (", pooler: transaction, poll: 500ms", 1500)] {
        let database = cluster.empty();
        let both = [(), ()].map(|()| gateway(&backend, cluster, &database, more));
        let key = admin_key(&both[0]);
        let (median, longest) = until_in_force(&both[0], &both[1], &key, 20);
        eprintln!("in force on the other gateway after {median:?}, at most {longest:?} (postgres{more})");
        assert!(median < Duration::from_millis(limit), "{median:?}");
        // Everybody has the last change in force, and says so.
        until("both have said what they have in force", || {
            let nodes = ask(both[1].more(0), &key, "GET", "/nodes", &[], &Value::Null).body;
            (nodes["there"].as_i64(), nodes["in_force_on"].as_i64()) == (Some(2), Some(2))
        });
        let told = done(&both[0], &["cluster", "status"], &[]);
        assert_eq!(told["nodes"].as_array().unwrap().len(), 2, "{told}");
    }
}

#[test]
fn a_database_that_is_away_stops_no_lookup_and_is_waited_for_at_the_start() {
    let (backend, cluster) = (Backend::answering_json(), Cluster::start());
    let database = cluster.empty();
    let first = gateway(&backend, &cluster, &database, "");
    let key = admin_key(&first);
    let (token, secret) = new_token(&first, &key, "acme");
    until("the token is known", || status(&first, &secret) == 200);
    cluster.kill();
    for _ in 0..20 {
        assert_eq!(status(&first, &secret), 200);
    }
    let refused = ask(first.more(0), &key, "POST", &format!("{token}/disable"), &[("If-Match", "*")], &Value::Null);
    assert_eq!(refused.status, 503, "{}", refused.body);
    until("it is counted", || first.metric::<f64>("tollgate_store_stale_seconds") > 0.5);
    let second = std::thread::scope(|scope| {
        let second = scope.spawn(|| gateway(&backend, &cluster, &database, ""));
        std::thread::sleep(Duration::from_secs(2));
        assert!(!second.is_finished());
        cluster.start_again();
        second.join().unwrap()
    });
    assert!(second.output().contains("nothing is served until it answers"), "{}", second.output());
    assert_eq!(status(&second, &secret), 200);
    set(&second, &key, &token, "disable");
    until("it is in force on both", || status(&first, &secret) != 200 && status(&second, &secret) != 200);
}

#[test]
fn a_database_that_has_lost_commits_is_what_counts_on_every_gateway() {
    let (backend, cluster) = (Backend::answering_json(), Cluster::start());
    let database = cluster.empty();
    let both = [(), ()].map(|()| gateway(&backend, &cluster, &database, ""));
    let key = admin_key(&both[0]);
    let (token, secret) = new_token(&both[0], &key, "acme");
    until("the token is known to both", || both.iter().all(|gateway| status(gateway, &secret) == 200));
    let copy = |from: &str, to: &str| {
        let directory = |name: &str| cluster.directory.join(name);
        let _ = std::fs::remove_dir_all(directory(to));
        assert!(Command::new("cp").arg("-a").args([directory(from), directory(to)]).status().unwrap().success());
    };
    // A standby that is behind: what it has now.
    cluster.kill();
    copy("data", "behind");
    cluster.start_again();
    until("the change is made", || {
        let path = format!("{token}/disable");
        ask(both[0].more(0), &key, "POST", &path, &[("If-Match", "*")], &Value::Null).status == 200
    });
    until("the change is in force", || both.iter().all(|gateway| status(gateway, &secret) != 200));
    // It takes over, and goes on with other changes of the same versions.
    cluster.kill();
    std::fs::remove_dir_all(cluster.directory.join("data")).unwrap();
    copy("behind", "data");
    cluster.start_again();
    let begun = Instant::now();
    until("what is lost is not in force any more", || both.iter().all(|gateway| status(gateway, &secret) == 200));
    let (_, other) = loop {
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| new_token(&both[1], &key, "bee")));
        if let Ok(made) = made {
            break made;
        }
    };
    until("what is new is in force", || both.iter().all(|gateway| status(gateway, &other) == 200));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    for gateway in &both {
        assert!(gateway.output().contains("all accounts are read anew"), "{}", gateway.output());
    }
}
