//! The status page over real connections: what counts, incidents that open, close and survive, operators' notices, and
//! what is never shown.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::{
    ANSWER, Backend, CANARY, Gateway, PATIENCE, Request, Scratch, VERSIONS, Version, closed_port, paying, token, until,
};

/// Windows of a few seconds, so that an incident begins and ends while a test waits.
const SHORT: &str = "status: { min_failures: 3, burn_rates: [{ rate: 10, long: 4s, short: 2s }] }\n";

/// The name of the account of all tests here.
const CUSTOMER: &str = "globex-corporation";

/// A backend that says 503 while the switch is on.
fn failing_while(failing: &Arc<AtomicBool>) -> Backend {
    let failing = Arc::clone(failing);
    Backend::start(move |peer, _| match failing.load(Ordering::SeqCst) {
        true => peer.answer_with("503 Service Unavailable", "", b""),
        false => peer.answer(ANSWER),
    })
}

fn configuration(backend: &Backend, ledger: &str, more: &str) -> String {
    let yaml = paying(backend.address(), ledger, &[(CUSTOMER, "unmetered")]);
    // Failures shall reach the client and not the breaker.
    let upstream = format!("servers: [{}]", backend.address());
    yaml.replace(&upstream, &format!("{upstream}, breaker: {{ failures: 1000 }}")) + more
}

fn look_up(gateway: &Gateway, version: Version) -> u16 {
    gateway.send(version, &Request::lookup(CUSTOMER)).status()
}

/// A page as a browser gets it: the type and the text.
fn page(gateway: &Gateway, path: &str) -> (String, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    let mut response = agent.get(format!("http://{}{path}", gateway.address())).call().unwrap();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    (kind, response.body_mut().read_to_string().unwrap())
}

fn json(gateway: &Gateway) -> Value {
    serde_json::from_str(&page(gateway, "/status.json").1).unwrap()
}

/// The availability of a window of the product, in percent.
fn availability(gateway: &Gateway, window: usize) -> Option<f64> {
    json(gateway)["products"][0]["windows"][window]["availability_percent"].as_f64()
}

/// How many incidents there are, and how many of them go on.
fn incidents(gateway: &Gateway) -> (usize, usize) {
    let all = json(gateway)["incidents"].as_array().unwrap().clone();
    (all.len(), all.iter().filter(|incident| incident["ended"].is_null()).count())
}

fn tollgate(arguments: &[&str], config: &std::path::Path) -> Output {
    let [command, rest @ ..] = arguments else { panic!("a command") };
    let mut process = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    process.args(["status", command, "--config"]).arg(config).args(rest).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn an_outage_becomes_an_incident_that_ends_and_survives_restarts() {
    let failing = Arc::new(AtomicBool::new(false));
    let backend = failing_while(&failing);
    let scratch = Scratch::new();
    let yaml = configuration(&backend, &scratch.ledger("batch"), SHORT);
    let mut gateway = Gateway::start(&yaml);
    for version in VERSIONS {
        assert_eq!(look_up(&gateway, version), 200);
    }
    until("all is well", || availability(&gateway, 0) == Some(100.0));
    assert_eq!(incidents(&gateway), (0, 0));

    failing.store(true, Ordering::SeqCst);
    until("an incident", || {
        assert_eq!(look_up(&gateway, Version::Http1), 503);
        incidents(&gateway) == (1, 1)
    });
    let (_, html) = page(&gateway, "/status");
    assert!(html.contains("phone: requests are failing") && html.contains("Requests are failing: phone"), "{html}");
    assert_eq!(json(&gateway)["state"], "failing");
    let id = json(&gateway)["incidents"][0]["id"].clone();

    // A power cut loses at most what was counted since the last turn, and never an incident that was
    // shown: what is shown was written before.
    gateway.kill();
    drop(gateway);
    let gateway = Gateway::start(&yaml);
    until("the incident is there again", || incidents(&gateway).0 == 1);
    assert_eq!(json(&gateway)["incidents"][0]["id"], id);
    assert!(availability(&gateway, 3).is_some_and(|percent| percent < 100.0), "the failures are there again");

    failing.store(false, Ordering::SeqCst);
    assert_eq!(look_up(&gateway, Version::Http1), 200);
    until("the incident has ended", || incidents(&gateway) == (1, 0));
    assert_eq!(json(&gateway)["state"], "sound");
    let ended = json(&gateway)["incidents"][0].clone();

    let mut gateway = gateway;
    gateway.terminate();
    assert!(gateway.wait_for_end(PATIENCE).is_some());
    let gateway = Gateway::start(&yaml);
    until("the incident is history", || incidents(&gateway) == (1, 0));
    assert_eq!(json(&gateway)["incidents"][0], ended);
    let (kind, feed) = page(&gateway, "/status.atom");
    assert_eq!(kind, "application/atom+xml; charset=utf-8");
    assert!(feed.contains("requests failed (ended)"), "{feed}");
}

#[test]
fn nothing_of_a_customer_and_no_address_is_on_any_page() {
    let failing = Arc::new(AtomicBool::new(true));
    let backend = failing_while(&failing);
    let gateway = Gateway::start(&configuration(&backend, "{ volatile: true }", SHORT));
    until("an incident", || {
        look_up(&gateway, Version::Http1);
        incidents(&gateway).1 == 1
    });
    let address = backend.address();
    for path in ["/status", "/status.json", "/status.atom", "/status.schema.json"] {
        let (_, text) = page(&gateway, path);
        for secret in [CUSTOMER, &token(CUSTOMER), CANARY, &address.to_string(), "127.0.0.1", "lookup.internal", "503"]
        {
            // What counts against us names statuses, and no request.
            let explained = secret == "503" && path == "/status";
            assert!(explained || !text.contains(secret), "{path} has {secret}: {text}");
        }
        assert!(!text.contains(&format!(":{}", address.port())), "{path} has the backend's port");
    }
}

#[test]
fn what_counts_is_what_the_contract_says() {
    let failing = Arc::new(AtomicBool::new(false));
    let backend = failing_while(&failing);
    let gateway = Gateway::start(&configuration(
        &backend,
        "{ volatile: true }",
        &format!("{SHORT}limits: {{ body_timeout: 300ms }}\n"),
    ));
    // Nobody has asked: there is no availability, and not 100 %.
    assert_eq!(availability(&gateway, 0), None);
    let refused = [
        (Request::lookup("nobody"), 401),
        (Request::lookup(CUSTOMER).without("Auth-Token"), 400),
        (Request::lookup(CUSTOMER).body("{"), 400),
        (Request::lookup(CUSTOMER).set("Content-Type", "text/plain"), 415),
        (Request::lookup(CUSTOMER).set("Timeout-Seconds", "99"), 400),
        (Request::lookup(CUSTOMER).target("/nowhere"), 404),
    ];
    for version in VERSIONS {
        for (request, status) in &refused {
            assert_eq!(gateway.send(version, request).status(), *status);
        }
    }
    // The client's own body is late: its 408, and not ours.
    let mut slow = gateway.connect();
    let request = Request::lookup(CUSTOMER);
    slow.send(request.head());
    slow.response().assert_problem("request-timeout");
    // Longer than a turn of the recorder.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(availability(&gateway, 0), None, "refusals count neither way");

    for _ in 0..3 {
        assert_eq!(look_up(&gateway, Version::Http1), 200);
    }
    failing.store(true, Ordering::SeqCst);
    assert_eq!(look_up(&gateway, Version::Http2), 503);
    until("three of four", || availability(&gateway, 0) == Some(75.0));
    for window in 0..4 {
        assert_eq!(availability(&gateway, window), Some(75.0));
    }
    let today = json(&gateway)["products"][0]["windows"][0].clone();
    let (p50, p95) = (today["p50_ms"].as_f64().unwrap(), today["p95_ms"].as_f64().unwrap());
    assert!(0.0 < p50 && p50 <= p95 && p95 < 10_000.0, "{today}");
    assert_eq!(incidents(&gateway), (0, 0), "one failure is no incident");
}

#[test]
fn a_deadline_that_the_backend_has_used_up_counts_against_us() {
    let backend = Backend::silent();
    let gateway = Gateway::start(&configuration(&backend, "{ volatile: true }", SHORT));
    let request = Request::lookup(CUSTOMER).with("Timeout-Seconds", "2");
    gateway.send(Version::Http1, &request).assert_problem("deadline-exceeded");
    until("it counts", || availability(&gateway, 0) == Some(0.0));
}

#[test]
fn a_full_gateway_counts_against_us() {
    let backend = Backend::silent();
    let yaml = configuration(&backend, "{ volatile: true }", &format!("{SHORT}limits: {{ requests: 1 }}\n"));
    let gateway = Gateway::start(&yaml);
    let mut waiting = gateway.connect();
    waiting.request(&Request::lookup(CUSTOMER));
    backend.wait_for_requests(1);
    let refused = gateway.send(Version::Http1, &Request::lookup(CUSTOMER));
    refused.assert_problem("overloaded");
    drop(waiting);
    let asked = Request::new("GET", "/status.json");
    until("there is room again", || gateway.send(Version::Http1, &asked).status() == 200);
    until("it counts", || availability(&gateway, 0) == Some(0.0));
}

#[test]
fn servers_that_fail_their_health_checks_are_an_incident() {
    let failing = Arc::new(AtomicBool::new(false));
    let backend = failing_while(&failing);
    let yaml = configuration(&backend, "{ volatile: true }", SHORT).replace(
        "breaker:",
        "health_check: { path: /well, interval: 100ms, timeout: 1s, failures: 2, successes: 2 }, breaker:",
    );
    let gateway = Gateway::start(&yaml);
    failing.store(true, Ordering::SeqCst);
    until("an incident without any request", || incidents(&gateway) == (1, 1));
    let shown = json(&gateway);
    assert_eq!((&shown["incidents"][0]["kind"], &shown["state"]), (&"backend".into(), &"unavailable".into()));
    assert!(page(&gateway, "/status").1.contains("Not available: phone"));
    failing.store(false, Ordering::SeqCst);
    until("it has ended", || incidents(&gateway) == (1, 0));
}

const AHEAD: &str = "2999-01-01T00:00:00Z";
const LATER: &str = "2999-01-01T01:00:00Z";

/// Commands that are refused, and with which words.
const COMPLAINTS: &[(&[&str], &str)] = &[
    (&["maintenance", "Work.", "--from", AHEAD, "--to", LATER], "more than a year ahead"),
    (&["maintenance", "Work.", "--from", LATER, "--to", AHEAD], "not after the beginning"),
    (&["maintenance", "Work.", "--from", "2020-01-01T00:00:00Z", "--to", "2020-01-01T01:00:00Z"], "has passed"),
    (&["maintenance", "Work.", "--from", "tomorrow", "--to", LATER], "RFC 3339"),
    (&["maintenance", "Work.", "--from", AHEAD], "--to"),
    (&["note", "Odd.", "--product", "nothing"], "no product has this name"),
    (&["note", " "], "The text is empty"),
    (&["close", "77"], "no open notice"),
];

#[test]
fn operators_say_what_is_to_be_known_and_close_it() {
    let backend = Backend::answering_json();
    let scratch = Scratch::new();
    let noted = "status:\n  notes: [{ at: 2026-01-02T03:04:05Z, product: phone, text: From the file. }]\n";
    let yaml = configuration(&backend, &scratch.ledger("batch"), noted);
    let config = scratch.path("stopped.yaml");
    std::fs::write(&config, format!("{yaml}listen: 127.0.0.1:1\nadmin: 127.0.0.1:2\n")).unwrap();
    std::fs::copy("config/phone.schema.json", scratch.path("phone.schema.json")).unwrap();
    // Before the first start.
    assert_eq!(
        said(&tollgate(&["note", "Written before.", "--by", "ann-of-operations"], &config)),
        "note 1 was written\n"
    );
    let mut gateway = Gateway::start(&yaml);
    let running = gateway.config();
    until("both notes are shown", || json(&gateway)["notes"].as_array().unwrap().len() == 2);
    // While it runs, at once.
    for (arguments, complaint) in COMPLAINTS {
        for place in [&running, &config] {
            // The file's own gateway is not where it says.
            if place == &config && !complaint.contains("RFC") && *complaint != "--to" {
                continue;
            }
            let output = tollgate(arguments, place);
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && told.contains(complaint), "{arguments:?}: {told}");
        }
    }
    let soon = time_from_now(3600);
    let later = time_from_now(7200);
    let planned = ["maintenance", "A <b>database</b> moves.", "--product", "phone", "--from", &soon, "--to", &later];
    assert_eq!(said(&tollgate(&planned, &running)), "maintenance 2 was written\n");
    let shown = json(&gateway);
    assert_eq!(shown["maintenance"][0]["text"], "A <b>database</b> moves.");
    assert_eq!(
        (&shown["maintenance"][0]["from"], &shown["maintenance"][0]["stage"]),
        (&soon.as_str().into(), &"planned".into())
    );
    let (_, html) = page(&gateway, "/status");
    assert!(html.contains("A &#60;b&#62;database&#60;/b&#62; moves.") && !html.contains("<b>database"), "{html}");
    assert!(!html.contains("ann-of-operations"), "who says it is for operators alone");
    let list = said(&tollgate(&["list"], &running));
    assert!(list.contains("From the file.") && list.contains("Written before.") && list.lines().count() == 4, "{list}");

    // Requests of web pages are refused, and nothing but what is understood is taken.
    let from_a_page = gateway.ask_admin("POST", "/status/notes", &[("Origin", "https://evil.example")], "{}");
    assert_eq!(from_a_page.0, 403);
    for body in ["", "{}", r#"{"text":"x","colour":"red"}"#, r#"{"text":"x","from":"now"}"#] {
        assert_eq!(gateway.ask_admin("POST", "/status/notes", &[], body).0, 400, "{body}");
    }
    assert_eq!(gateway.ask_admin("GET", "/status/notes", &[], "").0, 405);

    assert_eq!(said(&tollgate(&["close", "1"], &running)), "note 1 was closed\n");
    assert_eq!(json(&gateway)["past"][0]["text"], "Written before.");
    gateway.kill();
    drop(gateway);
    // Stopped again: by the file itself.
    assert_eq!(said(&tollgate(&["close", "2"], &config)), "maintenance 2 was closed\n");
    assert!(!tollgate(&["close", "2"], &config).status.success());
    let gateway = Gateway::start(&yaml);
    until("both are past", || json(&gateway)["past"].as_array().unwrap().len() == 2);
    assert!(page(&gateway, "/status").1.contains("called off"));
}

/// A time so many seconds from now, as RFC 3339 has it.
fn time_from_now(seconds: u64) -> String {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    tollgate::site::status::notice::Moment(now + seconds).text()
}

#[test]
fn a_product_that_goes_and_comes_back_keeps_its_history() {
    let failing = Arc::new(AtomicBool::new(false));
    let backend = failing_while(&failing);
    let gateway = Gateway::start(&configuration(&backend, "{ volatile: true }", SHORT));
    assert_eq!(look_up(&gateway, Version::Http1), 200);
    failing.store(true, Ordering::SeqCst);
    assert_eq!(look_up(&gateway, Version::Http1), 503);
    until("one of two", || availability(&gateway, 0) == Some(50.0));
    let text = std::fs::read_to_string(gateway.config()).unwrap();
    let renamed = text
        .replace("\n  phone:\n", "\n  other:\n")
        .replace("[phone]", "[other]")
        .replace("{ phone: unmet", "{ other: unmet");
    gateway.replace("tollgate.yaml", &renamed);
    until("the other product is shown", || json(&gateway)["products"][0]["name"] == "other");
    assert_eq!(availability(&gateway, 0), None);
    gateway.replace("tollgate.yaml", &text);
    until("it is back", || json(&gateway)["products"][0]["name"] == "phone");
    assert_eq!(availability(&gateway, 0), Some(50.0));
}

#[test]
fn without_a_ledger_everything_is_there_until_the_process_ends() {
    let failing = Arc::new(AtomicBool::new(true));
    let backend = failing_while(&failing);
    let yaml = configuration(&backend, "{ volatile: true }", SHORT);
    // No account pays, so that none is needed.
    let begin = yaml.find("    credits:\n      hold:").unwrap();
    let end = begin + yaml[begin..].find("accounts:").unwrap();
    let yaml = format!("{}{}", &yaml[..begin], &yaml[end..]);
    let yaml = yaml.replace("ledger: { volatile: true }\n", "").replace("    credits: { phone: unmetered }\n", "");
    let mut gateway = Gateway::start(&yaml);
    assert_eq!(said(&tollgate(&["note", "In memory."], &gateway.config())), "note 1 was written\n");
    until("an incident", || {
        look_up(&gateway, Version::Http1);
        incidents(&gateway).1 == 1
    });
    assert_eq!(json(&gateway)["notes"][0]["text"], "In memory.");
    gateway.kill();
    drop(gateway);
    let gateway = Gateway::start(&yaml);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!((incidents(&gateway), json(&gateway)["notes"].as_array().unwrap().len()), ((0, 0), 0));
}

#[test]
fn a_ledger_that_fails_takes_nothing_from_the_status() {
    let failing = Arc::new(AtomicBool::new(false));
    let backend = failing_while(&failing);
    let scratch = Scratch::new();
    let gateway = Gateway::start(&configuration(&backend, &scratch.ledger("batch"), SHORT));
    let (there, away) = (scratch.path("ledger.db"), scratch.path("away.db"));
    std::fs::rename(&there, &away).unwrap();
    assert_eq!(look_up(&gateway, Version::Http1), 200);
    until("it counts all the same", || availability(&gateway, 0) == Some(100.0));
    let output = tollgate(&["note", "Lost?"], &gateway.config());
    assert!(String::from_utf8_lossy(&output.stderr).contains("the ledger cannot be used"), "{output:?}");
    std::fs::rename(&away, &there).unwrap();
    until("what was counted meanwhile is written", || {
        let rows = "SELECT COALESCE(SUM(answered), 0) FROM status_count WHERE seconds = 86400";
        scratch.database().query_row(rows, [], |row| row.get::<_, i64>(0)).is_ok_and(|answered| answered == 1)
    });
}

#[test]
fn the_pages_can_be_switched_off_and_the_port_is_closed_to_nothing() {
    let backend = closed_port();
    let yaml = paying(backend, "{ volatile: true }", &[(CUSTOMER, "unmetered")]);
    let gateway = Gateway::start(&(yaml + "pages: { serve: false }\n"));
    for path in ["/status", "/status.json", "/status.atom"] {
        let response = gateway.send(Version::Http1, &Request::new("GET", path));
        response.assert_problem("endpoint-unknown");
    }
}
