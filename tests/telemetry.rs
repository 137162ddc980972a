//! Telemetry: each request is counted once and has one log line, no secret reaches either, and
//! clients are served whatever happens to the log.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    Backend, CANARY, Configuration, Gateway, Request, Response, VERSIONS, Version, paying, token, until,
};

const LOG: &str = "access_log: { file: access.log }\n";

/// The lines of a file beside the configuration, each of which has to be JSON.
fn lines(gateway: &Gateway, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(gateway.file(name)).unwrap_or_default();
    // What is being written has no end yet.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn wait_for_lines(gateway: &Gateway, count: usize) -> Vec<Value> {
    until(&format!("{count} lines"), || lines(gateway, "access.log").len() >= count);
    lines(gateway, "access.log")
}

fn metrics(gateway: &Gateway) -> String {
    gateway.ask_admin("GET", "/metrics", &[], "").1
}

fn count(gateway: &Gateway, labels: &str) -> u64 {
    gateway.metric(&format!("tollgate_requests_total{{{labels}}}"))
}

/// All that was counted, of every kind.
fn counted(gateway: &Gateway) -> u64 {
    let text = metrics(gateway);
    let values = text.lines().filter(|line| line.starts_with("tollgate_requests_total{"));
    values.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn every_request_is_counted_once_and_has_one_line() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).with(LOG).yaml());
    let cases: [(Request, &str, &str); 6] = [
        (Request::lookup("live"), "phone", ""),
        (Request::lookup("nobody"), "phone", "token-unknown"),
        (Request::lookup("live").target("/nowhere"), "", "endpoint-unknown"),
        (Request::lookup("live").body("{}"), "phone", "number-missing"),
        (Request::lookup("live").target("/phone/down"), "down", "upstream-unavailable"),
        (Request::lookup("disabled"), "phone", "token-disabled"),
    ];
    let mut answers: Vec<(Response, &str, &str, Version)> = Vec::new();
    for (request, product, problem) in &cases {
        for version in VERSIONS {
            answers.push((gateway.send(version, request), product, problem, version));
        }
    }
    let lines = wait_for_lines(&gateway, answers.len());
    assert_eq!(lines.len(), answers.len());
    for (answer, product, problem, version) in &answers {
        let transaction = answer.header("Transaction-Id").unwrap();
        let own: Vec<&Value> = lines.iter().filter(|line| line["transaction_id"] == transaction).collect();
        let [line] = own[..] else { panic!("{} lines of {answer:?}", own.len()) };
        let text = |name: &str| line[name].as_str().unwrap_or_default();
        assert_eq!(
            (line["status"].as_u64(), text("problem"), text("product")),
            (Some(answer.status().into()), *problem, *product)
        );
        assert_eq!(text("protocol"), if *version == Version::Http1 { "HTTP/1.1" } else { "HTTP/2" });
        assert_eq!(line["bytes_out"].as_u64(), Some(answer.body().len() as u64), "{line}");
        assert_eq!(text("reason").is_empty(), problem.is_empty(), "{line}");
        assert_eq!((text("method"), &line["delivered"]), ("POST", &Value::Bool(true)));
        assert!(line["own_us"].as_u64() <= line["total_us"].as_u64(), "{line}");
        let known = !["token-unknown", "endpoint-unknown"].contains(problem);
        assert_eq!(text("account"), if known { "main" } else { "" }, "{line}");
        assert_eq!(text("route").is_empty(), *problem == "endpoint-unknown", "{line}");
        assert!(text("time").ends_with('Z') && text("time").len() == "2026-01-01T00:00:00.000Z".len(), "{line}");
    }
    let delivered: Vec<&Value> = lines.iter().filter(|line| line["status"] == 200).collect();
    for line in delivered {
        assert_eq!(
            (&line["upstream"], &line["upstream_status"], &line["token"]),
            (&"lookup".into(), &200.into(), &"live".into())
        );
        assert_eq!(line["server"], backend.address().to_string());
        assert!(line["bytes_in"].as_u64() > Some(0) && line["upstream_us"].as_u64() <= line["total_us"].as_u64());
    }
    for (request, product, problem) in &cases {
        let status = answers.iter().find(|(_, _, known, _)| known == problem).unwrap().0.status();
        assert_eq!(
            count(&gateway, &format!("product=\"{product}\",problem=\"{problem}\",status=\"{status}\"")),
            2,
            "{request:?}"
        );
    }
    assert_eq!(counted(&gateway), answers.len() as u64);
    for (histogram, requests) in [("request", 8), ("own", 8), ("upstream", 2)] {
        let name = format!("tollgate_{histogram}_duration_seconds_count{{product=\"phone\"}}");
        assert_eq!(gateway.metric::<u64>(&name), requests, "{name}");
    }
    let text = metrics(&gateway);
    let last = text.lines().rfind(|line| line.starts_with("tollgate_own_duration_seconds_bucket")).unwrap();
    assert!(last.contains("le=\"+Inf\""), "{last}");
    let connections = |kind: &str| -> u64 {
        gateway.metric(&format!("tollgate_upstream_connections_total{{upstream=\"lookup\",kind=\"{kind}\"}}"))
    };
    assert!(connections("new") >= 1);
    assert_eq!(connections("new") + connections("reused"), 2);
}

#[test]
fn a_client_that_hangs_up_and_bytes_that_are_no_request_are_counted_too() {
    let backend = Backend::silent();
    let gateway = Gateway::start(&Configuration::new(backend.address()).with(LOG).yaml());
    let mut client = gateway.connect();
    client.request(&Request::lookup("live"));
    backend.wait_for_requests(1);
    drop(client);
    assert_eq!(gateway.exchange("nonsense\r\n\r\n").status(), 400);
    until("a client that is gone", || count(&gateway, "product=\"phone\",problem=\"client-gone\",status=\"\"") == 1);
    assert_eq!(count(&gateway, "product=\"\",problem=\"malformed-request\",status=\"400\""), 1);
    let lines = wait_for_lines(&gateway, 2);
    let gone = lines.iter().find(|line| line["problem"] == "client-gone").unwrap();
    assert_eq!((&gone["status"], &gone["delivered"], &gone["upstream"]), (&0.into(), &false.into(), &"lookup".into()));
    assert!(gone["upstream_us"].as_u64() > Some(0), "{gone}");
    let unreadable = lines.iter().find(|line| line["problem"] == "malformed-request").unwrap();
    assert_eq!((&unreadable["method"], unreadable.get("route")), (&"_OTHER".into(), None));
}

#[test]
fn nothing_that_a_client_sends_is_in_a_line_or_a_figure() {
    let backend = Backend::answering_json();
    let more = format!("{LOG}metrics: {{ by_account: true, by_token: true }}\n");
    let gateway = Gateway::start(&Configuration::new(backend.address()).with(&more).yaml());
    let canaries = |request: Request| {
        request
            .with("X-C4n4ry", CANARY)
            .with("Cookie", &format!("a={CANARY}"))
            .with("Authorization", &format!("Bearer {CANARY}"))
            .with("User-Agent", CANARY)
            .with("traceparent", CANARY)
            .with("tracestate", &format!("{CANARY}={CANARY}"))
            .with("Reference-ID", CANARY)
            .with("Forwarded", CANARY)
    };
    let odd = "\"\\\u{2028}\u{1b}[31m";
    let requests = [
        Request::lookup("live"),
        Request::lookup("live").target(&format!("/phone/validate/v2?{CANARY}={CANARY}")),
        Request::lookup("live").target(&format!("/{CANARY}/{CANARY}")),
        Request::lookup("live").method("C4N4RY"),
        Request::lookup("nobody"),
        Request::lookup("live").set("Reference-ID", &format!("{CANARY}!")),
        Request::lookup("live").body(format!("{{\"{CANARY}\":\"{CANARY}\"}}")),
        Request::lookup("live").body(format!("{CANARY}{odd}")),
        Request::lookup("live").set("Auth-Token", &token("live")).with("Auth-Token", CANARY),
        Request::lookup("live").set("Content-Type", CANARY),
        Request::lookup("live").set("Accept", &format!("{CANARY}/{CANARY}")),
    ];
    for request in &requests {
        for version in VERSIONS {
            let _ = gateway.send(version, &canaries(request.clone()));
        }
    }
    for garbage in [format!("{CANARY}\r\n\r\n"), format!("GET /{CANARY} HTTP/1.1\r\n{CANARY}\r\n\r\n")] {
        let _ = gateway.exchange(garbage);
    }
    let sent = 2 * requests.len() + 2;
    let lines = wait_for_lines(&gateway, sent);
    assert_eq!((lines.len(), counted(&gateway)), (sent, sent as u64));
    let log = fs::read_to_string(gateway.file("access.log")).unwrap();
    for text in [&log, &metrics(&gateway), &gateway.output()] {
        assert!(!text.to_lowercase().contains(CANARY), "{text}");
        assert!(!text.contains("900123"), "{text}");
    }
    assert!(log.bytes().all(|byte| byte == b'\n' || !byte.is_ascii_control()));
    // The same reference has the same digest, which is not that of the reference alone.
    let digests: Vec<&str> = lines.iter().filter_map(|line| line["reference_hash"].as_str()).collect();
    assert!(
        digests.len() > 10 && digests.iter().all(|digest| *digest == digests[0] && digest.len() == 32),
        "{digests:?}"
    );
}

#[test]
fn a_line_is_found_by_its_reference_with_the_key() {
    let backend = Backend::answering_json();
    let log = "access_log: { file: access.log, reference_key: \"${env:TOLLGATE_TEST_KEY}\" }\n";
    let yaml = Configuration::new(backend.address()).with(log).yaml();
    let key = "0123456789abcdef";
    let gateway = Gateway::start_with(&yaml, &[("TOLLGATE_TEST_KEY", key)]);
    gateway.send(Version::Http1, &Request::lookup("live").with("Reference-ID", "order 17/4"));
    let lines = wait_for_lines(&gateway, 1);
    // printf 'order 17/4' | openssl dgst -sha256 -hmac 0123456789abcdef
    assert_eq!(lines[0]["reference_hash"], HMAC_OF_THE_REFERENCE);
}

const HMAC_OF_THE_REFERENCE: &str = "c2e9ed406a57c55c3a7b2af3e729f4dd";

#[test]
fn answered_requests_can_be_left_out() {
    let backend = Backend::answering_json();
    let log = "access_log: { file: access.log, sample: { ok: 0 } }\n";
    let gateway = Gateway::start(&Configuration::new(backend.address()).with(log).yaml());
    for name in ["live", "nobody", "live", "nobody"] {
        gateway.send(Version::Http1, &Request::lookup(name));
    }
    let statuses: Vec<Value> = wait_for_lines(&gateway, 2).iter().map(|line| line["status"].clone()).collect();
    assert_eq!(statuses, [401, 401]);
    assert_eq!(count(&gateway, "product=\"phone\",problem=\"\",status=\"200\""), 2);
}

#[test]
fn a_log_that_was_moved_away_is_opened_anew_and_no_line_is_lost() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).with(LOG).yaml());
    let ask = || gateway.send(Version::Http1, &Request::lookup("live"));
    (0..20).for_each(|_| drop(ask()));
    until("a file", || gateway.file("access.log").exists());
    fs::rename(gateway.file("access.log"), gateway.file("access.log.1")).unwrap();
    (0..20).for_each(|_| drop(ask()));
    gateway.signal("HUP");
    until("a new file", || gateway.file("access.log").exists());
    (0..20).for_each(|_| drop(ask()));
    let all = || lines(&gateway, "access.log").len() + lines(&gateway, "access.log.1").len();
    until("all lines", || all() == 60);
    assert!(lines(&gateway, "access.log").len() >= 20);
    assert_eq!(gateway.metric::<u64>("tollgate_access_log_dropped_total"), 0);
}

#[test]
fn the_last_lines_are_written_when_the_gateway_ends() {
    let backend = Backend::answering_json();
    let mut gateway = Gateway::start(&Configuration::new(backend.address()).with(LOG).yaml());
    assert_eq!(gateway.send(Version::Http1, &Request::lookup("live")).status(), 200);
    gateway.terminate();
    assert!(gateway.wait_for_end(Duration::from_secs(10)).is_some());
    assert_eq!(lines(&gateway, "access.log").len(), 1);
}

#[test]
fn a_log_that_cannot_be_written_costs_lines_alone() {
    let backend = Backend::answering_json();
    for (file, why) in [("/dev/full", "No space left on device"), ("not/there/access.log", "No such file")] {
        let log = format!("access_log: {{ file: {file} }}\n");
        let gateway = Gateway::start(&Configuration::new(backend.address()).with(&log).yaml());
        for _ in 0..10 {
            assert_eq!(gateway.send(Version::Http1, &Request::lookup("live")).status(), 200, "{file}");
        }
        until("lost lines", || gateway.metric::<u64>("tollgate_access_log_dropped_total") == 10);
        gateway.wait_for_output(why);
        assert_eq!(gateway.output().matches("lines are dropped").count(), 1, "once: {}", gateway.output());
    }
}

#[test]
fn a_reader_that_sleeps_holds_up_nobody() {
    let backend = Backend::answering_json();
    let directory = crate::support::directory();
    let pipe = directory.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut reader = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&pipe).unwrap();
    let log = format!("access_log: {{ file: {} }}\n", pipe.display());
    let mut gateway = Gateway::start(&Configuration::new(backend.address()).with(&log).yaml());
    let mut client = gateway.connect();
    // Far more lines than a pipe takes, which is 64 KiB.
    for _ in 0..400 {
        client.request(&Request::lookup("live"));
        assert_eq!(client.response().status(), 200);
    }
    let mut text = String::new();
    // Somebody reads a part of it, and then nobody any more.
    let mut part = [0; 16 * 1024];
    let mut taken = 0;
    until("lines in the pipe", || {
        taken = reader.read(&mut part).unwrap_or(0);
        taken > 0
    });
    text += std::str::from_utf8(&part[..taken]).unwrap();
    for line in text[..text.rfind('\n').unwrap()].lines() {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["status"], 200);
    }
    gateway.terminate();
    let begun = Instant::now();
    assert!(gateway.wait_for_end(Duration::from_secs(10)).is_some(), "the end does not wait for the reader");
    assert!(begun.elapsed() < Duration::from_secs(5));
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn names_have_figures_where_the_configuration_wants_them_and_no_more_than_it_says() {
    let backend = Backend::answering_json();
    // One account and one token have series of their own.
    let more = "metrics: { by_account: true, by_token: true, max_series: 12 }\n";
    let gateway = Gateway::start(&Configuration::new(backend.address()).with(more).yaml());
    for name in ["live", "live", "disabled", "small-0", "nobody"] {
        gateway.send(Version::Http1, &Request::lookup(name));
    }
    for (series, wanted) in [
        ("tollgate_account_requests_total{account=\"main\",status=\"200\"}", 2),
        ("tollgate_account_requests_total{account=\"main\",status=\"403\"}", 1),
        ("tollgate_account_requests_total{account=\"other\",status=\"200\"}", 1),
        ("tollgate_token_requests_total{account=\"main\",token=\"live\",status=\"200\"}", 2),
        ("tollgate_token_requests_total{account=\"other\",token=\"other\",status=\"403\"}", 1),
        ("tollgate_token_requests_total{account=\"other\",token=\"other\",status=\"200\"}", 1),
    ] {
        // A request is counted right after its answer has gone out.
        until(series, || gateway.metric::<u64>(series) == wanted);
    }
    let text = metrics(&gateway);
    assert_eq!(text.lines().filter(|line| line.starts_with("tollgate_account_requests_total{")).count(), 3);
    assert!(!text.contains("small-0"));
    let quiet = Gateway::start(&Configuration::new(backend.address()).yaml());
    quiet.send(Version::Http1, &Request::lookup("live"));
    assert!(!metrics(&quiet).contains("account=\""));
}

#[test]
fn figures_go_on_over_a_reload() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    for name in ["live", "nobody"] {
        gateway.send(Version::Http1, &Request::lookup(name));
    }
    let text = fs::read_to_string(gateway.config()).unwrap();
    // One more own row, and one more product before the others.
    let text = text
        .replace("problems:\n  number-missing", "problems:\n  added: { status: 400, detail: Added. }\n  number-missing")
        .replace(
            "products:\n",
            "products:\n  first:\n    upstream: down\n    routes: [POST /first]\n    token_headers: [T]\n    \
             body: { schema: { properties: { a: true } }, problems: [{ at: /a, problem: added }] }\n",
        );
    gateway.replace("tollgate.yaml", &text);
    let (status, said) = gateway.ask_admin("POST", "/reload", &[], "");
    assert_eq!(status, 200, "{said}");
    for name in ["live", "nobody"] {
        gateway.send(Version::Http1, &Request::lookup(name));
    }
    assert_eq!(count(&gateway, "product=\"phone\",problem=\"\",status=\"200\""), 2);
    assert_eq!(count(&gateway, "product=\"phone\",problem=\"token-unknown\",status=\"401\""), 2);
    assert_eq!(count(&gateway, "product=\"first\",problem=\"added\",status=\"400\""), 0);
    assert!(metrics(&gateway).contains("product=\"first\",problem=\"added\""));
    assert_eq!(gateway.metric::<u64>("tollgate_request_duration_seconds_count{product=\"phone\"}"), 4);
}

#[test]
fn connections_are_seen_in_their_states() {
    let backend = Backend::silent();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    let connections = |protocol: &str, state: &str| -> u64 {
        gateway.metric(&format!("tollgate_connections{{protocol=\"{protocol}\",state=\"{state}\"}}"))
    };
    assert_eq!(connections("http1", "active"), 0);
    let mut idle = gateway.connect();
    idle.request(&Request::lookup("nobody"));
    assert_eq!(idle.response().status(), 401);
    let mut active = gateway.connect();
    active.request(&Request::lookup("live"));
    let mut second = gateway.connect_http2();
    assert_eq!(second.exchange(&Request::lookup("nobody")).status(), 401);
    backend.wait_for_requests(1);
    until("both of HTTP/1", || connections("http1", "idle") == 1 && connections("http1", "active") == 1);
    until("the one of HTTP/2", || connections("http2", "idle") == 1 && connections("http2", "active") == 0);
    assert_eq!(gateway.metric::<u64>("tollgate_requests_in_flight"), 1);
    drop((idle, active, second));
    until("none", || {
        ["http1", "http2"].iter().all(|protocol| connections(protocol, "idle") + connections(protocol, "active") == 0)
    });
    assert_eq!(gateway.metric::<u64>("tollgate_requests_in_flight"), 0);
    let text = metrics(&gateway);
    for name in [
        "tollgate_build_info{version=\"",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
        "process_open_fds ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name}");
    }
}

#[test]
fn the_configuration_in_force_is_shown_without_its_secrets() {
    let text = include_str!("../config/gateway.yaml");
    let operator = tollgate::policy::account::Digest::of(b"operator").text();
    let shown_digest = text.lines().find_map(|line| line.strip_prefix("admin_token: ")).unwrap().trim_matches('"');
    let yaml = text
        .replace(shown_digest, &operator)
        .replace("X-Gateway: tollgate", "X-Gateway: \"${env:TOLLGATE_TEST_HEADER}\"")
        .replace("  # otlp: {", "  otlp: {")
        .replace("https://otlp.example.com\", ca: tls/collector-ca.pem", "http://127.0.0.1:4318\"")
        .replace("include: [accounts.d/*.yaml, accounts.d/*.jsonl]", "");
    let gateway = Gateway::start_with(&yaml, &[("TOLLGATE_TEST_HEADER", "s3cret-header")]);
    assert_eq!(gateway.ask_admin("GET", "/config", &[], "").0, 401);
    let authorized = [("Authorization", "Bearer operator"), ("Accept", "application/json")];
    assert_eq!(gateway.ask_admin("POST", "/config", &authorized, "").0, 405);
    let (status, body) = gateway.ask_admin("GET", "/config", &authorized, "");
    assert_eq!(status, 200, "{body}");
    let mut secrets = vec!["s3cret-header", "000102030405060708090a0b0c0d0e0f"];
    secrets.extend(yaml.match_indices("sha256:").map(|(at, _)| &yaml[at..at + 71]));
    assert_eq!(secrets.len(), 6);
    for secret in &secrets {
        assert!(!body.contains(secret.trim_start_matches("sha256:")), "{secret} in {body}");
    }
    // Whoever does not ask for JSON gets YAML, with as few secrets.
    let (status, yaml) = gateway.ask_admin("GET", "/config", &authorized[..1], "");
    assert_eq!(status, 200, "{yaml}");
    assert!(yaml.contains("\nadmin_token: ${file:secrets/admin_token}\n"), "{yaml}");
    for secret in &secrets {
        assert!(!yaml.contains(secret.trim_start_matches("sha256:")), "{secret} in {yaml}");
    }
    let whole: Value = serde_json::from_str(&body).unwrap();
    let config = &whole["config"];
    for (pointer, wanted) in [
        ("/admin_token", "${file:secrets/admin_token}".into()),
        ("/access_log/reference_key", "${file:secrets/access_log.reference_key}".into()),
        ("/upstreams/lookup/add_headers/X-Gateway", "${env:TOLLGATE_TEST_HEADER}".into()),
        ("/accounts/acme/tokens/0/hash", "${file:secrets/accounts.acme.tokens.0.hash}".into()),
        ("/accounts/acme/tokens/0/domains", serde_json::json!(["app.acme.example", "*.acme.example"])),
        ("/accounts/acme/tokens/1/networks", serde_json::json!(["203.0.113.0/24", "2001:db8::/32"])),
        ("/accounts/acme/tokens/1/expires", "2027-06-30".into()),
        ("/accounts/acme/rate/limit", "150/min".into()),
        ("/accounts/hooli/plan", "gold".into()),
        ("/accounts/hooli/tokens/0/networks", serde_json::json!({ "mode": "watch", "list": ["198.51.100.0/24"] })),
        ("/accounts/hooli/tokens/0/quota/day", 1000.into()),
        ("/accounts/pied-piper/rates/0/burst", 2.into()),
        ("/plans/gold/rates/1/burst", 20.into()),
        ("/plans/gold/rates/0/limit", "10/s".into()),
        ("/accounts/acme/credits/phone", 1000.into()),
        ("/upstreams/lookup/servers/0/weight", 1.into()),
        ("/upstreams/lookup/servers/1/weight", 3.into()),
        ("/products/phone/body/problems/1/when", "any".into()),
        ("/tracing/otlp/sample", 0.01.into()),
        ("/limits/head_timeout", "5s".into()),
    ] {
        assert_eq!(config.pointer(pointer), Some(&wanted), "{pointer} of {config:#}");
    }
    assert_eq!(whole["accounts_in_all"], 4);
}

#[test]
fn the_configuration_in_force_has_its_defaults_and_is_the_one_in_force() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    let config = || -> Value {
        let (status, body) = gateway.ask_admin("GET", "/config", &[("Accept", "application/json")], "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["config"].take()
    };
    let shown = config();
    for (pointer, wanted) in [
        ("/limits/header_bytes", Value::from("16KiB")),
        ("/limits/connections", 10_000.into()),
        ("/upstreams/down/connect_timeout", "1s".into()),
        ("/upstreams/down/ejection/failures", 5.into()),
        ("/products/web/accept/0", "application/json".into()),
        ("/products/web/headers/Reference-ID/max", 256.into()),
        ("/products/web/body/strict", false.into()),
        ("/products/web/preflight_max_age", "600s".into()),
        ("/enquiry_rate/limit", "60/min".into()),
        ("/metrics/max_series", 1000.into()),
        ("/tracing/traceparent", true.into()),
        ("/admin_exposed", false.into()),
        ("/accounts/small-0/rate", serde_json::json!({ "limit": "3/h", "burst": 3 })),
    ] {
        assert_eq!(shown.pointer(pointer), Some(&wanted), "{pointer} of {shown:#}");
    }
    assert!(shown.get("access_log").is_none() && shown.pointer("/upstreams/lookup/breaker").is_none());
    // What is shown, but for the accounts, is a configuration that says the same.
    let text = fs::read_to_string(gateway.config()).unwrap();
    gateway.replace("tollgate.yaml", &text.replace("  down: {", "  down: { connect_timeout: 7s,"));
    assert_eq!(gateway.ask_admin("POST", "/reload", &[], "").0, 200);
    assert_eq!(config().pointer("/upstreams/down/connect_timeout"), Some(&"7s".into()));
    gateway.replace("tollgate.yaml", &text.replace("  down: {", "  down: { connect_timeout: nonsense,"));
    assert_eq!(gateway.ask_admin("POST", "/reload", &[], "").0, 422);
    assert_eq!(config().pointer("/upstreams/down/connect_timeout"), Some(&"7s".into()));
}

/// The lines of the process log about single requests.
fn told(gateway: &Gateway) -> Vec<Value> {
    let text = gateway.output();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["target"] == "tollgate::request").collect()
}

#[test]
fn refusals_write_one_line_a_second_and_count_the_others() {
    const SENT: u64 = 400;
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    let since = Instant::now();
    let mut client = gateway.connect();
    for _ in 0..SENT {
        client.request(&Request::lookup("live").target("/phone/down"));
        assert_eq!(client.response().status(), 503);
    }
    let seconds = usize::try_from(since.elapsed().as_secs()).unwrap() + 2;
    // A line is about one request if it says which, and about those that were left out before it.
    let of = |line: &Value| u64::from(line["transaction_id"].is_string()) + line["left_out"].as_u64().unwrap();
    until("all refusals to be told of", || told(&gateway).iter().map(of).sum::<u64>() == SENT);
    let lines = told(&gateway);
    assert!(lines.len() <= 2 * seconds, "{} lines in {seconds} s", lines.len());
    let first = &lines[0];
    for (member, wanted) in [
        ("level", Value::from("WARN")),
        ("status", 503.into()),
        ("problem", "upstream-unavailable".into()),
        ("product", "down".into()),
        ("account", "main".into()),
        ("token", "live".into()),
    ] {
        assert_eq!(first[member], wanted, "{member} of {first}");
    }
    assert!(first.get("upstream_status").is_none(), "{first}");
    let time = first["time"].as_str().unwrap();
    assert!(time.ends_with('Z') && time.len() == "2026-01-01T00:00:00.000Z".len(), "{time}");
}

#[test]
fn a_refusal_tells_what_the_upstream_has_answered() {
    let backend = Backend::start(|peer, _| peer.answer_with("500 Oh", "", b"{}"));
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    assert_eq!(gateway.send(Version::Http1, &Request::lookup("live")).status(), 500);
    until("the line", || !told(&gateway).is_empty());
    assert_eq!(told(&gateway)[0]["upstream_status"], 500);
}

#[test]
fn lines_of_refusals_are_sampled_by_their_problem() {
    let backend = Backend::answering_json();
    let log = "access_log: { file: access.log, sample: { refused: { token-unknown: 0, malformed-request: 0 } } }\n";
    let gateway = Gateway::start(&Configuration::new(backend.address()).with(log).yaml());
    for _ in 0..50 {
        assert_eq!(gateway.send(Version::Http1, &Request::lookup("nobody")).status(), 401);
    }
    assert_eq!(gateway.exchange("nonsense\r\n\r\n").status(), 400);
    assert_eq!(gateway.send(Version::Http1, &Request::lookup("disabled")).status(), 403);
    let lines = wait_for_lines(&gateway, 1);
    assert_eq!((lines.len(), &lines[0]["problem"]), (1, &"token-disabled".into()));
    assert_eq!(count(&gateway, "product=\"phone\",problem=\"token-unknown\",status=\"401\""), 50, "figures have all");
}

#[test]
fn lines_have_the_names_that_are_chosen() {
    let backend = Backend::answering_json();
    for (names, members) in [
        ("otel", ["timestamp", "http.request.method", "http.response.status_code", "http.route", "error.type"]),
        ("ecs", ["@timestamp", "http.request.method", "http.response.status_code", "url.path", "error.code"]),
    ] {
        let log = format!("access_log: {{ file: access.log, names: {names} }}\n");
        let gateway = Gateway::start(&Configuration::new(backend.address()).with(&log).yaml());
        gateway.send(Version::Http1, &Request::lookup("disabled"));
        let line = wait_for_lines(&gateway, 1).remove(0);
        for member in members {
            assert!(line.get(member).is_some(), "{names} has no {member}: {line}");
        }
        assert_eq!(line["http.response.status_code"], 403);
        assert_eq!(line.get("event.duration").is_some(), names == "ecs");
        assert!(line.get("status").is_none() && line.get("total_us").is_none(), "{line}");
    }
}

#[test]
fn what_ends_or_runs_out_is_shown() {
    let backend = Backend::answering_json();
    let more = "metrics: { by_account: true }\n";
    let accounts = [("acme", "5"), ("spent", "1"), ("none", "0")];
    let yaml = paying(backend.address(), "{ volatile: true }", &accounts) + more;
    let yaml = yaml.replace("absent: allow", "absent: allow, expires: 2099-12-31");
    let gateway = Gateway::start(&yaml);
    assert_eq!(gateway.metric::<u64>("tollgate_account_balance_credits{account=\"acme\",product=\"phone\"}"), 5);
    // A balance of 0 is told of whoever had credits; nobody is to be woken for an account that was never to have any.
    gateway.send(Version::Http1, &Request::lookup("spent")).assert_success();
    let text = metrics(&gateway);
    assert!(text.contains("tollgate_account_balance_credits{account=\"spent\",product=\"phone\"} 0\n"), "{text}");
    assert!(!text.contains("tollgate_account_balance_credits{account=\"none\""), "{text}");
    // 2100-01-01T00:00:00Z: the last day is good, whole.
    assert_eq!(gateway.metric::<u64>("tollgate_token_expiry_timestamp_seconds"), 4_102_444_800);
    let quiet = Gateway::start(&Configuration::new(backend.address()).yaml());
    assert!(!metrics(&quiet).contains("tollgate_account_balance_credits"));
}

#[test]
fn promtool_has_no_complaint() {
    let backend = Backend::answering_json();
    let more = "metrics: { by_account: true, by_token: true }\n";
    let gateway = Gateway::start(&(paying(backend.address(), "{ volatile: true }", &[("acme", "5")]) + more));
    let text = metrics(&gateway);
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    // `make deploy-check` installs it, and asks it again.
    let Ok(mut child) = child else { return println!("promtool is not on this machine") };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}
