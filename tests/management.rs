//! The management API from outside: the real program with its listener, the command line on top of it, an
//! upgrade, a crash in the middle, and that nothing secret is written anywhere.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::api::{account, admin_key, ask, done, gateway, tollgate, try_ask};
use crate::support::{Authority, Backend, Configuration, Gateway, Request, Scratch, VERSIONS};

#[test]
fn the_command_line_does_the_same_beside_a_gateway_and_through_its_api() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend, "");
    let key = admin_key(&gateway);
    let url = format!("http://{}", gateway.more(0));
    let there = [("TOLLGATE_API_KEY", &*key), ("TOLLGATE_API_URL", &*url)];
    let of_configuration = [("TOLLGATE_API_KEY", &*key)];
    for (name, environment) in [("here", &[][..]), ("there", &there), ("of-configuration", &of_configuration)] {
        let made = done(&gateway, &["accounts", "create", name, "--rate", "600/min"], environment);
        assert_eq!((&made["name"], &made["state"]), (&json!(name), &json!("active")));
        let token = done(&gateway, &["tokens", "create", name, "web", "--product", "phone"], environment);
        assert!(token["secret"].as_str().unwrap().starts_with("tg_"));
        let list = ["lists", "set", name, "web", "networks", "203.0.113.0/24", "2001:db8::/32"];
        assert_eq!(done(&gateway, &list, environment)["entries"].as_array().unwrap().len(), 2);
        let list = ["lists", "add", name, "web", "networks", "198.51.100.7", "--note", "office"];
        assert_eq!(done(&gateway, &list, environment)["entries"].as_array().unwrap().len(), 3);
        let list = ["lists", "remove", name, "web", "networks", "198.51.100.7"];
        assert_eq!(done(&gateway, &list, environment)["entries"].as_array().unwrap().len(), 2);
        assert_eq!(done(&gateway, &["tokens", "disable", name, "web"], environment)["state"], "disabled");
        assert_eq!(done(&gateway, &["tokens", "enable", name, "web"], environment)["state"], "enabled");
        let rotated = done(&gateway, &["tokens", "rotate", name, "web", "--overlap", "7d"], environment);
        assert_eq!(rotated["token"]["replaces"], token["token"]["id"]);
        assert_eq!(done(&gateway, &["tokens", "revoke", name, "web"], environment)["state"], "revoked");
        assert_eq!(done(&gateway, &["accounts", "suspend", name], environment)["state"], "suspended");
        assert_eq!(done(&gateway, &["accounts", "resume", name], environment)["state"], "active");
        // People see columns, with names and without secrets.
        let shown = tollgate(&gateway, &["tokens", "list", name, "--all"], environment);
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.lines().count() == 3 && shown.contains("web") && !shown.contains(&"0".repeat(20)), "{shown}");
        let audit = tollgate(&gateway, &["audit", "list", "--account", name], environment);
        let audit = String::from_utf8(audit.stdout).unwrap();
        let who = if environment.is_empty() { "ann" } else { "key:" };
        assert!(audit.contains("token.rotate") && audit.lines().skip(1).all(|line| line.contains(who)), "{audit}");
        let refused = tollgate(&gateway, &["tokens", "disable", name, "nothing"], environment);
        assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("no token nothing"));
        let refused = tollgate(&gateway, &["lists", "add", name, "web", "networks", "1"], environment);
        assert!(!refused.status.success());
    }
    let names: Vec<String> = String::from_utf8(tollgate(&gateway, &["accounts", "list", "--json"], &there).stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["here", "of-configuration", "there"]);
    assert_eq!(done(&gateway, &["audit", "check"], &[])["whole"], true);
    let wrong = tollgate(&gateway, &["accounts", "list"], &[("TOLLGATE_API_KEY", "tg_0"), ("TOLLGATE_API_URL", &*url)]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("token of lookups"), "{wrong:?}");
    let missing = tollgate(&gateway, &["accounts", "list", "--api", &url], &[]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("TOLLGATE_API_KEY"), "{missing:?}");
}

/// What the API has answered judges the very next request: a token that is created, listed, disabled, moved to another
/// plan or revoked, and an account that is suspended.
#[test]
fn a_change_that_was_answered_judges_the_next_request() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend, "");
    let (key, api) = (admin_key(&gateway), gateway.more(0));
    let any = ("If-Match", "*");
    let made = ask(api, &key, "POST", "/accounts", &[("Idempotency-Key", "a")], &account("initech"));
    let of_account = format!("/accounts/{}", made.body["id"].as_str().unwrap());
    let tokens = format!("{of_account}/tokens");
    let body = json!({ "name": "web", "products": ["phone"] });
    let made = ask(api, &key, "POST", &tokens, &[("Idempotency-Key", "t")], &body).body;
    let secret = made["secret"].as_str().unwrap().to_owned();
    let of_token = format!("{tokens}/{}", made["token"]["id"].as_str().unwrap());
    // The slug of what a lookup is refused with, over each version of HTTP; empty if it is answered.
    let lookup = |secret: &str| {
        let lookup = Request::lookup("acme").set("Auth-Token", secret);
        VERSIONS.map(|version| {
            let answer = gateway.send(version, &lookup).json();
            let of = answer["error"]["type"].as_str().unwrap_or_default();
            of.rsplit('/').next().unwrap_or_default().to_owned()
        })
    };
    assert!(lookup(&secret).iter().all(String::is_empty));
    let list = |addresses: &[&str], mode: &str| {
        let entries: Vec<Value> = addresses.iter().map(|address| json!({ "value": address })).collect();
        json!({ "mode": mode, "entries": entries })
    };
    let networks = format!("{of_token}/networks");
    for (method, path, body, expected) in [
        ("POST", format!("{of_token}/disable"), Value::Null, "token-disabled"),
        ("POST", format!("{of_token}/enable"), Value::Null, ""),
        ("PUT", networks.clone(), list(&["203.0.113.0/24"], "enforce"), "ip-not-allowed"),
        ("PUT", networks.clone(), list(&["203.0.113.0/24"], "watch"), ""),
        ("PUT", networks.clone(), list(&["127.0.0.0/8"], "enforce"), ""),
        ("POST", format!("{of_account}/suspend"), Value::Null, "token-disabled"),
        ("POST", format!("{of_account}/resume"), Value::Null, ""),
    ] {
        let answer = ask(api, &key, method, &path, &[any], &body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(lookup(&secret).iter().all(|slug| slug == expected), "{path}: {:?}", lookup(&secret));
    }
    // A token that takes the place of this one, at once.
    let headers = [any, ("Idempotency-Key", "r")];
    let rotated = ask(api, &key, "POST", &format!("{of_token}/rotate"), &headers, &json!({ "overlap": "0" })).body;
    let next = rotated["secret"].as_str().unwrap().to_owned();
    assert!(lookup(&next).iter().all(String::is_empty), "{rotated}");
    // Without an overlap the one before is revoked.
    assert!(lookup(&secret).iter().all(|slug| slug == "token-unknown"), "{:?}", lookup(&secret));
    // A restart has what the store has.
    let mut gateway = gateway;
    assert_eq!(gateway.upgrade().0, 200);
    let again = gateway.send(VERSIONS[0], &Request::lookup("acme").set("Auth-Token", &next));
    again.assert_success();
}

#[test]
fn nothing_secret_is_in_the_log_or_the_store() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend, "access_log: { file: access.log }\n");
    let (key, api) = (admin_key(&gateway), gateway.more(0));
    let id = ask(api, &key, "POST", "/accounts", &[("Idempotency-Key", "a")], &account("acme")).body["id"].clone();
    let tokens = format!("/accounts/{}/tokens", id.as_str().unwrap());
    let body = json!({ "name": "web", "products": ["phone"] });
    let token = ask(api, &key, "POST", &tokens, &[("Idempotency-Key", "t")], &body).body;
    let token = token["secret"].as_str().unwrap().to_owned();
    // And where one went astray.
    for (path, body) in [
        (format!("/accounts/{token}"), Value::Null),
        ("/accounts".to_owned(), json!({ "name": token, "terms": { token.clone(): key } })),
        (format!("/accounts?name={token}"), Value::Null),
    ] {
        let method = if body.is_null() { "GET" } else { "POST" };
        assert!(ask(api, &key, method, &path, &[("Idempotency-Key", "x")], &body).status < 500);
    }
    assert_eq!(ask(api, &token, "GET", "/accounts", &[], &Value::Null).status, 401);
    let mut written = gateway.output().into_bytes();
    for name in ["tollgate.db", "tollgate.db-wal", "access.log"] {
        written.extend(std::fs::read(gateway.file(name)).unwrap_or_default());
    }
    assert!(written.len() > 4096, "the store was looked at");
    for secret in [&key, &token] {
        let secret = secret.split_once('_').unwrap().1.as_bytes();
        assert!(!written.windows(secret.len()).any(|window| window == secret), "a secret is written somewhere");
    }
}

#[test]
fn what_was_answered_is_there_after_a_crash_and_what_is_sent_again_happens_once() {
    const ROUNDS: usize = 6;
    let backend = Backend::answering_json();
    let scratch = Scratch::new();
    let store = format!(
        "ledger: {{ file: ledger.db }}\nstore: {{ sqlite: {} }}\napi: {{ listen: $FREE }}\n",
        scratch.path("tollgate.db").display()
    );
    let start = || Gateway::start(&Configuration::new(backend.address()).with(&store).yaml());
    let mut gateway = start();
    let key = admin_key(&gateway);
    let mut acknowledged = Vec::new();
    let mut sent_again = 0;
    for round in 0..ROUNDS {
        let api = gateway.more(0);
        // One after the other until the process dies under them.
        let process = gateway.process();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(60 + 37 * u64::try_from(round).unwrap()));
            Command::new("kill").args(["-KILL", &process.to_string()]).status().unwrap();
        });
        let mut in_doubt = None;
        for number in 0.. {
            let name = format!("n{round}-{number}");
            match try_ask(api, &key, "POST", "/accounts", &[("Idempotency-Key", &name)], &account(&name)) {
                Ok(answer) => {
                    assert_eq!(answer.status, 201, "{}", answer.body);
                    acknowledged.push(answer.body);
                }
                Err(_) => {
                    in_doubt = Some(name);
                    break;
                }
            }
        }
        killer.join().unwrap();
        gateway = start();
        let name = in_doubt.unwrap();
        let again = ask(gateway.more(0), &key, "POST", "/accounts", &[("Idempotency-Key", &name)], &account(&name));
        assert_eq!(again.status, 201, "{}", again.body);
        sent_again += usize::from(again.replayed);
        acknowledged.push(again.body);
    }
    println!("{} acknowledged, {sent_again} of {ROUNDS} in doubt were done before the crash", acknowledged.len());
    assert!(acknowledged.len() > ROUNDS);
    for known in &acknowledged {
        let path = format!("/accounts/{}", known["id"].as_str().unwrap());
        let found = ask(gateway.more(0), &key, "GET", &path, &[], &Value::Null);
        assert_eq!((found.status, &found.body), (200, known));
    }
    let listed = String::from_utf8(tollgate(&gateway, &["accounts", "list", "--json"], &[]).stdout).unwrap();
    assert_eq!(listed.lines().count(), acknowledged.len(), "nothing twice, and nothing that nobody asked for");
    assert_eq!(done(&gateway, &["audit", "check"], &[])["whole"], true);
}

#[test]
fn an_upgrade_hands_the_listener_over() {
    let backend = Backend::answering_json();
    let mut gateway = gateway(&backend, "");
    let (key, api) = (admin_key(&gateway), gateway.more(0));
    let made = ask(api, &key, "POST", "/accounts", &[("Idempotency-Key", "a")], &account("acme"));
    let path = format!("/accounts/{}", made.body["id"].as_str().unwrap());
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut asked = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let answer = ask(api, &key, "GET", &path, &[], &Value::Null);
                assert_eq!((answer.status, &*answer.etag), (200, "\"1\""));
                asked += 1;
            }
            asked
        });
        for _ in 0..2 {
            let (code, answer) = gateway.upgrade();
            assert_eq!(code, 200, "{answer}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(client.join().unwrap() > 2);
    });
}

#[test]
fn slow_and_many_connections_do_not_keep_others_out() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend, "");
    let (key, api) = (admin_key(&gateway), gateway.more(0));
    // One that sends half a head, one half a body, and more than there may be.
    let mut slow: Vec<TcpStream> = (0..80).map(|_| TcpStream::connect(api).unwrap()).collect();
    for stream in &mut slow {
        let _ = stream.write_all(b"GET /api/v1/accounts HTTP/1.1\r\nHost: a\r\nX: ");
    }
    let lookup = gateway.send(VERSIONS[0], &Request::lookup("live"));
    assert_eq!(lookup.status(), 200, "lookups do not notice");
    let begun = Instant::now();
    while try_ask(api, &key, "GET", "/accounts", &[], &Value::Null).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the slow ones were never cut off");
        std::thread::sleep(Duration::from_millis(200));
    }
    for stream in &mut slow {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    // A body that does not arrive.
    let mut stream = TcpStream::connect(api).unwrap();
    let head = format!(
        "POST /api/v1/accounts HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nIdempotency-Key: k\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[test]
fn over_tls_it_is_verified_and_speaks_http_1() {
    let backend = Backend::answering_json();
    let authority = Authority::new("operators");
    let issued = authority.issue(&["127.0.0.1", "localhost"]);
    let tls = "ledger: { file: ledger.db }\nstore: { sqlite: tollgate.db }\napi:\n  listen: $FREE\n  tls: { certificates: [{ certificate: api.pem, key: api.key }] }\n";
    let yaml = Configuration::new(backend.address()).with(tls).yaml();
    let files = [("api.pem", &*issued.certificate), ("api.key", &*issued.key), ("ca.pem", authority.pem())];
    let gateway = Gateway::start_with_files(&yaml, &files);
    let key = admin_key(&gateway);
    let environment = [("TOLLGATE_API_KEY", &*key)];
    let ca = gateway.file("ca.pem");
    let words = ["accounts", "create", "acme", "--unlimited", "--ca", ca.to_str().unwrap()];
    assert_eq!(done(&gateway, &words, &environment)["name"], "acme");
    let unknown = tollgate(&gateway, &["accounts", "list"], &environment);
    assert!(!unknown.status.success(), "an authority that nobody named is not believed: {unknown:?}");
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "-o", "/dev/null", "-w", "%{http_version}", "--cacert"])
        .arg(&ca)
        .args(["-H", &format!("Authorization: Bearer {key}")])
        .arg(format!("https://{}/api/v1/accounts", gateway.more(0)))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1.1", "{output:?}");
}
