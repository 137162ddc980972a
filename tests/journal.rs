//! The journal of a running gateway, and `tollgate replay` on it: every decision is there, nothing that a client alone
//! knows is, and judging again says exactly what a change of the configuration changes.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::changes::{pair, rows};
use crate::support::{Backend, CANARY, Configuration, Gateway, Request, VERSIONS, Version, paying, token, until};

const JOURNAL: &str = "journal: { directory: journal }\n";
const KEYED: &str = "journal: { directory: journal, key: 0123456789abcdef0123456789abcdef }\n";

fn files(gateway: &Gateway) -> Vec<PathBuf> {
    let entries = fs::read_dir(gateway.file("journal")).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The text of a file, as `zstdcat` shows it.
fn text(file: &Path) -> String {
    let mut text = String::new();
    let mut decoder = zstd::stream::read::Decoder::new(fs::File::open(file).unwrap()).unwrap();
    decoder.read_to_string(&mut text).unwrap();
    text
}

fn all(gateway: &Gateway) -> String {
    files(gateway).iter().map(|file| text(file)).collect()
}

/// Waits for so many decisions, and returns their lines.
fn decisions(gateway: &Gateway, count: u64) -> Vec<Value> {
    until(&format!("{count} decisions"), || gateway.metric::<u64>("tollgate_journal_decisions_total") >= count);
    let lines = all(gateway);
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line.get("time").is_some()).collect()
}

/// What `replay --json` prints, and its exit status.
fn replay(config: &Path, journal: &Path) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let output = command.args(["replay", "--json", "--config"]).arg(config).arg(journal).output().unwrap();
    let (told, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!told.contains(CANARY) && !complaint.contains(CANARY), "{told}{complaint}");
    let document = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}{complaint}"));
    (output.status.code().unwrap(), document)
}

/// The candidate that is the gateway's own configuration after a replacement.
fn candidate(gateway: &Gateway, change: impl Fn(String) -> String) -> PathBuf {
    let path = gateway.file("candidate.yaml");
    let before = fs::read_to_string(gateway.config()).unwrap();
    let after = change(before.clone());
    assert_ne!(before, after, "the change changes something");
    fs::write(&path, after).unwrap();
    path
}

/// Requests of many kinds, and what each is refused with.
fn requests() -> Vec<(Request, &'static str)> {
    let preflight = Request::new("OPTIONS", "/web/v1").with("Access-Control-Request-Method", "POST");
    let web = |origin: &str| Request::lookup("web").target("/web/v1").with("Origin", origin);
    vec![
        (Request::lookup("live"), ""),
        (Request::lookup("live").with("Reference-ID", "order-c4n4ry-17"), ""),
        (Request::lookup("live").with("Reference-ID", "c4n4ry;"), "reference-id-invalid"),
        (Request::lookup("live").with("Add-Metadata", "True"), ""),
        (Request::lookup("live").with("Add-Metadata", "c4n4ry"), "add-metadata-invalid"),
        (Request::lookup("live").with("Timeout-Seconds", "3"), ""),
        (Request::lookup("live").with("Timeout-Seconds", "c4n4ry"), "timeout-invalid"),
        (Request::lookup("live").target("/phone/validate/v2?number=c4n4ry"), ""),
        (Request::lookup("live").without("Auth-Token").with("x-app-key", &token("live")), ""),
        (Request::lookup("live").with("x-app-key", &token("other")), "malformed-request"),
        (Request::lookup("live").body(r#"{"number":"c4n4ry","cache_value_days":99}"#), "cache-days-unsupported"),
        (Request::lookup("live").body("{}"), "number-missing"),
        (Request::lookup("live").body(""), "body-empty"),
        (Request::lookup("live").body("x".repeat(20_000)), "body-too-large"),
        (Request::lookup("live").set("Content-Type", "text/plain"), "content-type-unsupported"),
        (Request::lookup("live").with("Accept", "text/html"), "accept-unsupported"),
        (Request::lookup("nobody"), "token-unknown"),
        (Request::lookup("live").without("Auth-Token"), "token-missing"),
        (Request::lookup("disabled"), "token-disabled"),
        (Request::lookup("expired"), "token-expired"),
        (Request::lookup("other"), "product-mismatch"),
        (Request::lookup("ip"), "ip-not-allowed"),
        (Request::lookup("live").target("/phone/c4n4ry"), "endpoint-unknown"),
        (Request::lookup("live").method("PUT"), "endpoint-unknown"),
        (Request::lookup("live").target("/phone/down"), "upstream-unavailable"),
        (web("https://app.example.com"), ""),
        (web("https://app.example.com:8443"), ""),
        (web("https://other.example.org"), "domain-not-allowed"),
        (web("null"), "domain-not-allowed"),
        (Request::lookup("web").target("/web/v1").with("Referer", "https://a.shop.example.com/c4n4ry?q=c4n4ry"), ""),
        (preflight.clone().with("Origin", "https://app.example.com"), ""),
        (preflight.with("Origin", "https://other.example.org"), "domain-not-allowed"),
        (Request::new("GET", "/status"), "endpoint-unknown"),
        (Request::new("GET", "/docs/problems/token-missing"), ""),
        (Request::lookup("small-0"), ""),
        (Request::lookup("small-0"), ""),
        (Request::lookup("small-0"), ""),
        (Request::lookup("small-0"), "rate-exceeded"),
    ]
}

/// Sends all of them over HTTP/1 and most over HTTP/2, and returns how many those are.
fn send_all(gateway: &Gateway) -> Vec<(Version, &'static str)> {
    let mut sent = Vec::new();
    for version in VERSIONS {
        for (request, problem) in requests() {
            let small = request.headers.iter().any(|(_, value)| value.ends_with(b"small-0"));
            if !(version == Version::Http2 && small) {
                gateway.send(version, &request);
                sent.push((version, problem));
            }
        }
    }
    gateway.exchange("nonsense c4n4ry\r\n\r\n");
    sent.push((Version::Http1, "malformed-request"));
    sent
}

/// A decision without what is another one in each run.
fn without_chance(line: &Value) -> String {
    let mut line = line.clone();
    let members = line.as_object_mut().unwrap();
    for name in ["time", "transaction_id", "policy", "tokens", "total_us", "upstream_us", "own_us"] {
        members.remove(name);
    }
    for list in ["parameters", "headers"] {
        for value in members.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            value.as_object_mut().unwrap().remove("hmac");
        }
    }
    line.to_string()
}

#[test]
fn every_decision_is_there_and_nothing_that_a_client_alone_knows() {
    for journal in [JOURNAL, KEYED] {
        let backend = Backend::answering_json();
        let gateway = Gateway::start(&Configuration::new(backend.address()).with(journal).yaml());
        let sent = send_all(&gateway);
        let lines = decisions(&gateway, sent.len() as u64);
        assert_eq!((lines.len(), gateway.metric::<u64>("tollgate_journal_lost_total")), (sent.len(), 0));
        let told: Vec<(&str, &str)> = lines
            .iter()
            .map(|line| (line["http"].as_str().unwrap(), line["problem"].as_str().unwrap_or_default()))
            .collect();
        let expected: Vec<(&str, &str)> = sent
            .iter()
            .map(|(version, problem)| (if *version == Version::Http1 { "1.1" } else { "2" }, *problem))
            .collect();
        let sorted = |mut all: Vec<(&'static str, String)>| {
            all.sort();
            all
        };
        let owned = |all: &[(&str, &str)]| {
            all.iter().map(|(http, problem)| (if *http == "2" { "2" } else { "1.1" }, (*problem).to_owned())).collect()
        };
        assert_eq!(sorted(owned(&told)), sorted(owned(&expected)));
        let text = all(&gateway);
        assert!(!text.contains(CANARY), "{}", text.lines().find(|line| line.contains(CANARY)).unwrap());
        assert!(!text.contains("44 7700") && !text.contains("order-"));
        // Digests, identities and times can have any four digits.
        let plain: Vec<String> = lines.iter().map(without_chance).collect();
        assert!(plain.iter().all(|line| !line.contains("7700")), "{plain:?}");
        let live = lines.iter().find(|line| line["problem"].is_null() && line["token"] == "live").unwrap();
        assert_eq!(
            (&live["account"], &live["route"], &live["upstream_status"], &live["status"], &live["peer"]),
            (&"main".into(), &"POST /phone/validate/v2".into(), &200.into(), &200.into(), &"127.0.0.1".into())
        );
        let digest = tollgate::policy::account::Digest::of(token("live").as_bytes()).text();
        assert_eq!(format!("sha256:{}", live["tokens"][0]["sha256"].as_str().unwrap()), digest);
        assert_eq!(text.contains("\"hmac\""), journal == KEYED);
        let file = &files(&gateway)[0];
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(text.starts_with("{\"journal\":1,\"program\":\"tollgate "), "{text}");
    }
}

#[test]
fn the_same_configuration_decides_the_same() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).with(JOURNAL).yaml());
    let sent = send_all(&gateway).len() as u64;
    decisions(&gateway, sent);
    let (status, document) = replay(&gateway.config(), &gateway.file("journal"));
    assert_eq!((status, &document["decisions"], &document["same"]), (0, &sent.into(), &sent.into()), "{document:#}");
    assert_eq!(document["unreadable"]["count"], 0);
}

#[test]
fn a_change_is_named_exactly() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).with(JOURNAL).yaml());
    let sent = send_all(&gateway).len() as u64;
    decisions(&gateway, sent);
    let token_line = |name: &str| {
        let yaml = fs::read_to_string(gateway.config()).unwrap();
        yaml.lines().find(|line| line.contains(&format!("{{ name: {name},"))).unwrap().to_owned()
    };
    let with = |name: &str, more: &str| {
        let line = token_line(name);
        let changed = line.replace(" }", &format!(", {more} }}"));
        candidate(&gateway, |yaml| yaml.replace(&line, &changed))
    };
    let served =
        |document: &Value| rows(document).into_iter().filter(|(then, ..)| then == "answered").collect::<Vec<_>>();

    let (status, document) = replay(&with("web", "disabled: true"), &gateway.file("journal"));
    assert_eq!(status, 3);
    assert_eq!(
        rows(&document),
        [pair("answered", "token-disabled", 6), pair("domain-not-allowed", "token-disabled", 4)],
        "{document:#}"
    );
    assert_eq!(document["by_account"]["main"]["refused"], 6);
    assert_eq!(document["undecided"], serde_json::json!({}));

    let (status, document) = replay(&with("live", "networks: [203.0.113.0/24]"), &gateway.file("journal"));
    assert_eq!(status, 3);
    assert_eq!(served(&document), [pair("answered", "ip-not-allowed", 12)], "{document:#}");

    let (_, document) = replay(&with("live", "networks: [127.0.0.0/8]"), &gateway.file("journal"));
    assert_eq!(document["same"], sent, "{document:#}");

    let lower = candidate(&gateway, |yaml| {
        yaml.replace("small-0:\n    rate: { limit: 3/h, burst: 3 }", "small-0:\n    rate: { limit: 1/h, burst: 1 }")
    });
    let (status, document) = replay(&lower, &gateway.file("journal"));
    assert_eq!((status, rows(&document)), (3, vec![pair("answered", "rate-exceeded", 2)]), "{document:#}");
    assert_eq!(document["by_row"][0]["examples"].as_array().unwrap().len(), 2);

    let more = candidate(&gateway, |yaml| {
        yaml.replace("small-0:\n    rate: { limit: 3/h, burst: 3 }", "small-0:\n    rate: { limit: 9/h, burst: 9 }")
    });
    let (status, document) = replay(&more, &gateway.file("journal"));
    assert_eq!((status, rows(&document)), (3, vec![pair("rate-exceeded", "let further", 1)]), "{document:#}");

    // What a journal does not have is counted, not guessed: the values of a header, a path that was not served.
    let other = candidate(&gateway, |yaml| yaml.replace("max: 256, echo: true", "max: 12, echo: true"));
    let (_, document) = replay(&other, &gateway.file("journal"));
    assert_eq!(document["undecided"]["headers"], 4, "{document:#}");
    let route = candidate(&gateway, |yaml| yaml.replace("POST /phone/validation/v2", "POST /phone/new"));
    let (_, document) = replay(&route, &gateway.file("journal"));
    assert_eq!(document["undecided"]["path"], 4, "{document:#}");
    let schema = candidate(&gateway, |yaml| yaml.replace("max: 16KiB", "max: 15KiB"));
    let (_, document) = replay(&schema, &gateway.file("journal"));
    assert!(document["undecided"]["body"].as_u64() > Some(10), "{document:#}");
}

#[test]
fn other_prices_are_told_where_the_answer_does_not_decide_them() {
    let backend = Backend::answering_json();
    let yaml = paying(backend.address(), "{ volatile: true }", &[("rich", "100"), ("poor", "1")]) + JOURNAL;
    let gateway = Gateway::start(&yaml);
    for name in ["rich", "rich", "rich", "poor", "poor", "poor"] {
        gateway.send(Version::Http1, &Request::lookup(name));
    }
    let lines = decisions(&gateway, 6);
    let charged: u64 = lines.iter().filter_map(|line| line["charged"].as_u64()).sum();
    let (status, document) = replay(&gateway.config(), &gateway.file("journal"));
    assert_eq!((status, document["credits"]["now"].as_u64()), (0, Some(charged)), "{document:#}");
    let insufficient = lines.iter().filter(|line| line["problem"] == "credits-insufficient").count() as u64;
    assert!(insufficient > 0 && charged > 0);
    assert_eq!(document["undecided"], serde_json::json!({ "balance": insufficient }));
    let plain = candidate(&gateway, |yaml| {
        let begin = yaml.find("    credits:\n      hold:").unwrap();
        let end = begin + yaml[begin..].find("accounts:").unwrap();
        yaml.replace(&yaml[begin..end], "    credits:\n      hold: [{ add: 5 }]\n      price: [{ add: 5 }]\n")
    });
    let (status, document) = replay(&plain, &gateway.file("journal"));
    let answered = 6 - insufficient;
    assert_eq!((status, document["charged_otherwise"].as_u64()), (3, Some(answered)), "{document:#}");
    assert_eq!(document["credits"]["now"].as_u64(), Some(5 * answered));
    assert_eq!(document["undecided"], serde_json::json!({ "balance": insufficient }));
}

#[test]
fn a_killed_gateway_leaves_a_file_that_can_be_read() {
    let backend = Backend::answering_json();
    let mut gateway = Gateway::start(&Configuration::new(backend.address()).with(JOURNAL).yaml());
    for _ in 0..20 {
        gateway.send(Version::Http1, &Request::lookup("live"));
    }
    decisions(&gateway, 20);
    gateway.send(Version::Http1, &Request::lookup("live"));
    gateway.kill();
    let file = files(&gateway).remove(0);
    let whole = fs::read(&file).unwrap();
    let (status, document) = replay(&gateway.config(), &file);
    assert_eq!((status, document["same"].as_u64()), (0, Some(20)), "{document:#}");
    // A frame that was not written to its end costs its own lines alone.
    let torn = gateway.file("torn.jsonl.zst");
    fs::write(&torn, [&whole[..], &whole[..whole.len() / 2]].concat()).unwrap();
    let (_, document) = replay(&gateway.config(), &torn);
    assert_eq!((document["same"].as_u64(), document["unreadable"]["count"].as_u64()), (Some(20), Some(1)));
    let said = document["unreadable"]["first"][0]["what"].as_str().unwrap();
    assert!(said.starts_with(&format!("byte {}", whole.len())), "{said}");
}

#[test]
fn a_journal_that_cannot_be_written_costs_no_request() {
    let backend = Backend::answering_json();
    let yaml = Configuration::new(backend.address()).with(JOURNAL).yaml();
    let gateway = Gateway::start_with_files(&yaml, &[("journal", "a file in the place of the directory")]);
    for _ in 0..30 {
        assert_eq!(gateway.send(Version::Http1, &Request::lookup("live")).status(), 200);
    }
    until("lost decisions", || gateway.metric::<u64>("tollgate_journal_lost_total") == 30);
    let output = gateway.output();
    assert_eq!(output.matches("cannot write the journal").count(), 1, "{output}");
    fs::remove_file(gateway.file("journal")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    gateway.send(Version::Http1, &Request::lookup("live"));
    assert_eq!(decisions(&gateway, 1).len(), 1);
    gateway.wait_for_output("the journal can be written again");
}

#[test]
fn a_replay_goes_on_whatever_it_reads() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).with(JOURNAL).yaml());
    gateway.send(Version::Http1, &Request::lookup("live"));
    decisions(&gateway, 1);
    let mut plain = all(&gateway);
    plain += "{\"time\":\"2026-01-01T00:00:00.000000000Z\",\"http\":3}\nnonsense\n{\"journal\":2}\n";
    let file = gateway.file("plain.jsonl");
    fs::write(&file, plain).unwrap();
    let (status, document) = replay(&gateway.config(), &file);
    assert_eq!((status, document["same"].as_u64(), document["unreadable"]["count"].as_u64()), (0, Some(1), Some(3)));
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let output = command.args(["replay", "--config"]).arg(gateway.config()).arg("/nowhere").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no decision could be read: /nowhere"));
}

const VAT: &str = r#"token_in: [header Auth-Token, bearer, basic user, query key]
headers: { Reference-ID: { pattern: "[A-Za-z0-9-]+", echo: true, problem: reference-id-invalid } }
routes:
  - route: GET /v1/vat/{number}
    parameters:
      number: { pattern: "[A-Za-z0-9]+", max: 20 }
    query:
      detail: { one_of: [full, short] }
      date: { pattern: "[0-9-]+" }
  - route: GET /v1/vat/list
"#;

fn vat(backend: &Backend, keys: &str) -> String {
    let digest = tollgate::policy::account::Digest::of(token("live").as_bytes()).text();
    let product: String = keys.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "h2c: true\nworkers: 2\npublic_url: https://api.example.com\n{KEYED}\
         upstreams:\n  lookup: {{ servers: [{}] }}\nproducts:\n  vat:\n    upstream: lookup\n{product}\
         accounts:\n  main:\n    rate: {{ unlimited: true }}\n    tokens: [{{ name: live, hash: \"{digest}\", products: [vat] }}]\n",
        backend.address()
    )
}

#[test]
fn parameters_are_digested_and_judged_by_what_is_known_of_them() {
    let backend = Backend::answering_json();
    let yaml = vat(&backend, VAT);
    let gateway = Gateway::start(&yaml);
    let get = |target: &str| Request::new("GET", target);
    let live = token("live");
    let basic = format!("Basic {}", base64(&format!("{live}:x")));
    let requests = [
        get("/v1/vat/DEc4n4ry").with("Auth-Token", &live),
        get("/v1/vat/DEc4n4ry?detail=full&date=2026&c4n4ry=1").with("Authorization", &format!("Bearer {live}")),
        get("/v1/vat/DEc4n4ry?detail=c4n4ry").with("Authorization", &basic),
        get(&format!("/v1/vat/DEc4n4ry?key={live}&detail=short&detail=short")),
        get("/v1/vat/c4n4ry-").with("Auth-Token", &live),
        get("/v1/vat/").with("Auth-Token", &live),
        get("/v1/vat/list").with("Auth-Token", &live),
        get("/v1/other").with("Auth-Token", &live),
        get("/v1/vat/x").with("Auth-Token", &live).with("Authorization", "Digest c4n4ry"),
    ];
    for request in &requests {
        gateway.send(Version::Http1, request);
    }
    let lines = decisions(&gateway, requests.len() as u64);
    assert!(!all(&gateway).contains(CANARY));
    let mut problems: Vec<&str> = lines.iter().filter_map(|line| line["problem"].as_str()).collect();
    problems.sort_unstable();
    assert_eq!(
        problems,
        ["endpoint-unknown", "parameter-invalid", "parameter-invalid", "parameter-invalid", "parameter-invalid"]
    );
    let full = lines.iter().find(|line| line["undeclared"] == 1).unwrap();
    let member = |name: &str| full["parameters"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    assert_eq!((&member("detail")["value"], &member("date")["value"]), (&"full".into(), &Value::Null));
    assert_eq!(member("number")["hmac"].as_str().map(str::len), Some(32));
    assert_eq!(full["path"], "/v1/vat/{number}");

    let (status, document) = replay(&gateway.config(), &gateway.file("journal"));
    let same = Some(requests.len() as u64);
    assert_eq!((status, document["same"].as_u64()), (0, same), "{document:#}");
    // What the journal has in clear is judged by the candidate's rule, what is required as well.
    for (old, new, rows_now, undecided) in [
        ("one_of: [full, short]", "one_of: [short]", vec![pair("answered", "parameter-invalid", 1)], "parameters"),
        (
            "date: { pattern: \"[0-9-]+\" }",
            "date: { pattern: \"[0-9-]+\", required: true }",
            vec![pair("answered", "parameter-invalid", 2)],
            "parameters",
        ),
        ("max: 20", "max: 19", vec![], "parameters"),
        ("GET /v1/vat/list", "GET /v1/vat/all", vec![], "path"),
    ] {
        let changed = candidate(&gateway, |yaml| yaml.replace(old, new));
        let (_, document) = replay(&changed, &gateway.file("journal"));
        let told: Vec<_> = rows(&document).into_iter().filter(|(then, ..)| then == "answered").collect();
        assert!(
            (rows_now.is_empty() || told == rows_now) && document["undecided"][undecided].as_u64() > Some(0),
            "{new}: {document:#}"
        );
    }
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}
