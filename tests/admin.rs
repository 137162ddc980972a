//! The admin listener: its operations are those in its document, its HTTP is the same as that of
//! client listeners, and it refuses unauthorized requests.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tollgate::policy::account::Digest;

use crate::support::{Backend, Configuration, Gateway, paying, token};

/// A ledger in memory.
const VOLATILE: &str = "{ volatile: true }";

/// An answer as it was received: the status, the headers in lower case, and the body.
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

fn connect(gateway: &Gateway) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(gateway.admin()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    BufReader::new(stream)
}

/// Reads an answer; `None` at the end of the connection. That to HEAD has no body.
fn read(stream: &mut BufReader<TcpStream>, head: bool) -> Option<Answer> {
    let mut line = String::new();
    if stream.read_line(&mut line).unwrap_or(0) == 0 {
        return None;
    }
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = if head { 0 } else { headers["content-length"].parse().unwrap() };
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    Some(Answer { status, headers, body: String::from_utf8(body).unwrap() })
}

fn send(stream: &mut BufReader<TcpStream>, text: &str) -> Option<Answer> {
    stream.get_mut().write_all(text.as_bytes()).unwrap();
    read(stream, text.starts_with("HEAD"))
}

fn ask(gateway: &Gateway, text: &str) -> Answer {
    send(&mut connect(gateway), text).unwrap()
}

fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n")
}

/// A request for an operation of the document, with parameters that exist.
fn example(path: &str, method: &str, operation: &Value) -> String {
    let path = path.replace("{account}", "acme").replace("{product}", "phone").replace("{notice}", "1");
    let body = match operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str() {
        Some(schema) if schema.ends_with("/Correction") => json!({ "amount": 7, "by": "ann", "why": "invoice 17" }),
        Some(_) if path.ends_with("maintenance") => {
            let tomorrow = DateTime::<Utc>::from(SystemTime::now() + Duration::from_secs(24 * 60 * 60));
            let (from, to) = (tomorrow, tomorrow + Duration::from_secs(60 * 60));
            json!({ "text": "A move.", "from": from.to_rfc3339(), "to": to.to_rfc3339() })
        }
        Some(_) => json!({ "text": "Some lookups are slow.", "product": "phone" }),
        None => Value::Null,
    };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let method = method.to_uppercase();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: {path}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Whether an answer is one that the document has for the operation.
fn assert_documented(document: &Value, operation: &Value, answer: &Answer) {
    let response = &operation["responses"][answer.status.to_string()];
    assert!(response.is_object(), "{} has no {}: {}", operation["operationId"], answer.status, answer.body);
    let content = &response["content"][answer.header("content-type")];
    assert!(content.is_object(), "{} is no {}", answer.header("content-type"), operation["operationId"]);
    if answer.header("content-type") != "application/json" {
        return;
    }
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "components": document["components"],
        "allOf": [content["schema"]],
    });
    let schema = jsonschema::validator_for(&schema).unwrap();
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let mistakes: Vec<String> = schema.iter_errors(&body).map(|error| error.to_string()).collect();
    assert!(mistakes.is_empty(), "{}: {mistakes:?} in {body}", operation["operationId"]);
}

#[test]
fn every_operation_answers_as_its_document_says() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&paying(backend.address(), VOLATILE, &[("acme", "5")]));
    let document: Value = serde_json::from_str(&ask(&gateway, &get("/openapi.json", "")).body).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let printed = Command::new(env!("CARGO_BIN_EXE_tollgate")).arg("admin-openapi").output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&printed.stdout).unwrap(), document);
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            // It starts a process that outlives the test; `upgrade.rs` asks for it.
            if path == "/upgrade" {
                continue;
            }
            // They need a file beside the configuration, and each other; `shadow.rs` and `staged.rs` ask for them.
            if path.starts_with("/shadow/") || path.starts_with("/stage/") {
                continue;
            }
            let request = example(path, method, operation);
            let answer = ask(&gateway, &request);
            assert!((200..300).contains(&answer.status), "{request} {}", answer.body);
            assert_documented(&document, operation, &answer);
            if method == "get" {
                let head = ask(&gateway, &request.replacen("GET", "HEAD", 1));
                assert_eq!((head.status, head.header("content-type")), (200, answer.header("content-type")), "{path}");
            }
            // What is not understood is a documented answer too.
            for (from, to) in [("acme", "nobody"), ("{\"", "{"), ("Host: localhost", "Host: attacker.example")] {
                let wrong = ask(&gateway, &request.replace(from, to));
                assert_documented(&document, operation, &wrong);
            }
            let other = ask(&gateway, &request.replacen(&method.to_uppercase(), "DELETE", 1));
            assert_eq!(other.status, 405, "{path}");
            let allowed = if method == "get" { "GET, HEAD" } else { "POST" };
            assert_eq!(other.header("allow"), allowed, "{path}");
            asked += 1;
        }
    }
    assert!(asked > 15, "{asked}");
    let missing = ask(&gateway, &get("/nothing", ""));
    assert_eq!(missing.status, 404);
    for path in document["paths"].as_object().unwrap().keys() {
        assert!(missing.body.contains(path.as_str()), "{path} is not in {}", missing.body);
    }
}

#[test]
fn a_foreign_host_is_refused_but_for_probes() {
    let backend = Backend::answering_json();
    let gateway =
        Gateway::start(&Configuration::new(backend.address()).with("admin_hosts: [tollgate.internal]\n").yaml());
    for (host, expected) in [
        ("localhost", 200),
        ("LOCALHOST:9901", 200),
        ("127.0.0.1", 200),
        ("[::1]:9901", 200),
        ("Tollgate.Internal:80", 200),
        ("attacker.example", 421),
        ("127.0.0.1.attacker.example:9901", 421),
        ("192.0.2.1", 421),
    ] {
        for path in ["/metrics", "/config", "/upstreams", "/openapi.json", "/readyz?verbose"] {
            let answer = ask(&gateway, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert_eq!(answer.status, expected, "{host} {path}: {}", answer.body);
        }
        for path in ["/healthz", "/readyz"] {
            let answer = ask(&gateway, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert_eq!(answer.status, 200, "{host} {path}");
        }
    }
    // A browser always names a host; programs of HTTP/1.0 need not.
    assert_eq!(ask(&gateway, "GET /metrics HTTP/1.0\r\n\r\n").status, 200);
}

#[test]
fn whoever_lacks_the_token_is_told_how_to_show_it() {
    let backend = Backend::answering_json();
    let digest = Digest::of(token("admin").as_bytes()).text();
    let gateway =
        Gateway::start(&Configuration::new(backend.address()).with(&format!("admin_token: \"{digest}\"\n")).yaml());
    for path in ["/config", "/readyz?verbose", "/upstreams"] {
        let refused = ask(&gateway, &get(path, ""));
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer realm=\"tollgate admin\""));
        let authorized = ask(&gateway, &get(path, &format!("Authorization: bearer {}\r\n", token("admin"))));
        assert_eq!((authorized.status, authorized.header("www-authenticate")), (200, ""), "{path}");
    }
    assert_eq!(ask(&gateway, &get("/readyz", "")).status, 200);
}

#[test]
fn connections_are_kept_as_the_client_listener_keeps_them() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    for (request, option, kept) in [
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "", true),
        ("HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "", true),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "close", false),
        ("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "keep-alive", true),
        ("GET /healthz HTTP/1.0\r\n\r\n", "close", false),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", "", true),
        ("GET /healthz HTTP/1.1\r\n\r\n", "close", false),
        ("GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "close", false),
        ("HEAD  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "close", false),
        ("HEAD /healthz HTTP/1.1\nHost: localhost\n\n", "close", false),
        ("GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "close", false),
    ] {
        let mut stream = connect(&gateway);
        let answer = send(&mut stream, request).unwrap();
        let sound = request.contains(" /healthz HTTP/1.0")
            || request.contains("T /healthz HTTP/1.1\r\nHost")
            || request.contains("D /healthz HTTP/1.1\r\nHost");
        assert_eq!(answer.status, if sound { 200 } else { 400 }, "{request}");
        assert_eq!(answer.header("connection"), option, "{request}");
        let again = if kept { send(&mut stream, &get("/healthz", "")) } else { read(&mut stream, false) };
        assert_eq!(again.map(|answer| answer.status), kept.then_some(200), "{request}");
    }
}

#[test]
fn a_head_has_five_seconds_and_a_body_a_limit() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&paying(backend.address(), VOLATILE, &[("acme", "5")]));
    let mut slow: Vec<BufReader<TcpStream>> = ["", "GET /healthz HTTP/1.1\r\nHost"]
        .into_iter()
        .map(|begun| {
            let mut stream = connect(&gateway);
            stream.get_mut().write_all(begun.as_bytes()).unwrap();
            stream
        })
        .collect();
    let since = Instant::now();
    assert!(read(&mut slow[0], false).is_none(), "a silent connection has no answer");
    assert_eq!(read(&mut slow[1], false).unwrap().status, 400);
    assert!((4..9).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    let path = "/accounts/acme/credits/phone/grants";
    let large =
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n\r\n{}", " ".repeat(70_000));
    assert_eq!(ask(&gateway, &large).status, 413);
}

#[test]
fn readiness_tells_operators_what_works_and_what_does_not() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    let short: Value = serde_json::from_str(&ask(&gateway, &get("/readyz", "")).body).unwrap();
    assert_eq!(short, json!({ "status": "ready" }));
    let whole: Value = serde_json::from_str(&ask(&gateway, &get("/readyz?verbose", "")).body).unwrap();
    let names: Vec<&str> =
        whole["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["process", "ledger", "upstream lookup", "upstream down", "certificates"]);
    assert!(whole["checks"].as_array().unwrap().iter().all(|check| check["ready"] == true), "{whole}");
}

#[test]
fn metrics_are_in_the_format_that_is_asked_for() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    for (accept, openmetrics) in [
        ("", false),
        ("Accept: */*\r\n", false),
        ("Accept: text/plain;version=0.0.4\r\n", false),
        ("Accept: text/html\r\n", false),
        ("Accept: application/openmetrics-text; version=1.0.0\r\n", true),
        (&format!("Accept: {prometheus}\r\n"), true),
    ] {
        let answer = ask(&gateway, &get("/metrics", accept));
        let wanted = if openmetrics {
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        } else {
            "text/plain; version=0.0.4; charset=utf-8"
        };
        assert_eq!(answer.header("content-type"), wanted, "{accept}");
        assert_eq!(answer.body.ends_with("# EOF\n"), openmetrics, "{accept}");
        let kind =
            if openmetrics { "# TYPE tollgate_requests counter" } else { "# TYPE tollgate_requests_total counter" };
        assert!(answer.body.contains(kind), "{accept}");
    }
}

fn tollgate(words: &[&str], gateway: &Gateway) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate")).args(words).env("TOLLGATE_CONFIG", gateway.config()).output().unwrap()
}

#[test]
fn a_reload_from_the_command_line_fails_when_the_reload_failed() {
    let backend = Backend::answering_json();
    let yaml = Configuration::new(backend.address()).yaml();
    let gateway = Gateway::start(&yaml);
    let good = tollgate(&["reload"], &gateway);
    assert!(good.status.success(), "{good:?}");
    let text = std::fs::read_to_string(gateway.config()).unwrap();
    for (from, to, says) in
        [("/phone/down]", "/phone/down, nonsense]", "is not a route"), ("workers: 2", "workers: 3", "workers")]
    {
        // The gateway itself has not seen the change when it is asked, or has refused it already.
        gateway.replace("tollgate.yaml", &text.replace(from, to));
        let failed = tollgate(&["reload"], &gateway);
        let said = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert!(!failed.status.success() && said.contains(says), "{failed:?}");
    }
}

#[test]
fn a_process_of_another_configuration_is_left_alone() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    let before = gateway.process();
    let text = std::fs::read_to_string(gateway.config()).unwrap();
    gateway.replace("copy.yaml", &text);
    let copy = gateway.file("copy.yaml");
    for command in ["upgrade", "reload"] {
        let refused = tollgate(&[command, "-c", copy.to_str().unwrap()], &gateway);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("serves another configuration"), "{command}: {refused:?}");
    }
    assert_eq!(gateway.latest(), before);
    assert_eq!(ask(&gateway, &get("/readyz", "")).status, 200);
}

#[test]
fn the_file_is_named_by_a_flag_by_the_environment_or_by_its_usual_place() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    let path = gateway.config();
    let path = path.to_str().unwrap();
    for words in [&["check"][..], &["check", "-c", path], &["check", "--config", path]] {
        let output = tollgate(words, &gateway);
        assert!(output.status.success(), "{words:?}: {output:?}");
    }
    let nowhere =
        Command::new(env!("CARGO_BIN_EXE_tollgate")).arg("check").env_remove("TOLLGATE_CONFIG").output().unwrap();
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("/etc/tollgate/gateway.yaml"), "{nowhere:?}");
    let help = Command::new(env!("CARGO_BIN_EXE_tollgate")).arg("--help").output().unwrap();
    assert!(String::from_utf8_lossy(&help.stdout).contains("TOLLGATE_ADMIN_TOKEN"));
}

#[test]
fn listings_are_json_for_programs() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&paying(backend.address(), VOLATILE, &[("acme", "5"), ("zeta", "7")]));
    for (words, pointer, wanted) in [
        (&["credits", "show", "--json"][..], "/balances/1/balance", json!(7)),
        (&["credits", "show", "acme", "--json"], "/balances/0/account", json!("acme")),
        (&["credits", "history", "zeta", "phone", "--json"], "/amount", json!(7)),
        (&["credits", "export", "--account", "zeta", "--format", "jsonl"], "/amount", json!(7)),
        (&["status", "list", "--json"], "/notices", json!([])),
        (&["problems", "--json"], "/problems/0/problem", json!("malformed-request")),
    ] {
        let output = tollgate(words, &gateway);
        assert!(output.status.success(), "{words:?}: {output:?}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document.pointer(pointer), Some(&wanted), "{words:?}: {document}");
    }
    // The future has no rows, and the past has all.
    for (words, rows) in [
        (&["--since", "2099-01-01T00:00:00Z"][..], 0),
        (&["--since", "2020-01-01T00:00:00Z"], 2),
        (&["--until", "2020-01-01T00:00:00Z"], 0),
        (&["--since", "2020-01-01T00:00:00Z", "--until", "2099-01-01T00:00:00Z", "--account", "acme"], 1),
    ] {
        let all: Vec<&str> = ["credits", "export", "--format", "jsonl"].iter().chain(words).copied().collect();
        let output = tollgate(&all, &gateway);
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), rows, "{words:?}: {output:?}");
    }
}

#[test]
fn an_explanation_names_what_cannot_be_read_and_can_be_short() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).behind_a_proxy().yaml());
    let explain = |words: &[&str]| {
        let all: Vec<&str> = ["explain", "--from", "127.0.0.1"].iter().chain(words).copied().collect();
        String::from_utf8(tollgate(&all, &gateway).stdout).unwrap()
    };
    let live = format!("Auth-Token: {}", token("live"));
    let words = ["/phone/validate/v2", "-X", "POST", "-H", &live, "-H"];
    let told = explain(&[&words[..], &["X-Forwarded-For: 203.0.113.9, unknown-7, 127.0.0.1"]].concat());
    assert!(told.contains("\"unknown-7\" in X-Forwarded-For is no address"), "{told}");
    let page = explain(&["/problems", "-X", "GET", "-c", concat!(env!("CARGO_MANIFEST_DIR"), "/config/demo.yaml")]);
    assert!(page.contains("GET /problems is a page of the gateway's own"), "{page}");
    assert!(!page.contains("tells an account of its credits"), "{page}");
    let short = explain(&[&words[..], &["Content-Type: text/plain", "--short"]].concat());
    assert!(!short.contains("not reached") && !short.contains("does not apply"), "{short}");
    assert!(short.contains("content-type-unsupported"), "{short}");
    // Nor the checks of what the request may leave out, and has left out.
    let json = ["Content-Type: application/json", "-d", r#"{"number":"1"}"#];
    let short = explain(&[&words[..], &json, &["--short"]].concat());
    assert!(short.contains("The request goes to the upstream"), "{short}");
    let rows = short.lines().filter(|line| line.starts_with("  "));
    let left_out =
        rows.filter(|row| row.contains(" no Accept") || row.contains(" no Timeout") || row.contains(" no Ref"));
    assert_eq!(left_out.count(), 0, "{short}");
    let with = ["-H", "Accept: */*", "-H", "Timeout-Seconds: 5", "-H", "Reference-ID: r"];
    let short = explain(&[&words[..], &json, &with, &["--short"]].concat());
    for row in ["accept-unsupported", "timeout-invalid", "reference-id-invalid"] {
        assert!(short.contains(row), "{row}: {short}");
    }
}
