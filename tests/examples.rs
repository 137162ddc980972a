//! The configurations of `examples/`: each is checked, started in front of a stand-in, asked, refused once, and charged
//! what it says.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Backend, Gateway, PATIENCE, Request};

/// The token of all examples.
const TOKEN: &str = "try-me";

/// The variable that stands for a backend's own key.
const KEY: (&str, &str) = ("BACKEND_KEY", "backend-secret");

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Every configuration of an example.
fn configurations() -> Vec<PathBuf> {
    let below = |place: PathBuf| std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = below(directory()).filter(|path| path.is_dir()).flat_map(below).collect();
    found.retain(|path| path.extension().is_some_and(|kind| kind == "yaml"));
    found.sort();
    found
}

/// An example in front of a backend, with the files beside it.
fn start(name: &str, backend: &Backend) -> Gateway {
    let path = directory().join(name);
    let yaml = std::fs::read_to_string(&path).unwrap().replace("127.0.0.1:9001", &backend.address().to_string());
    let beside = std::fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let schemas: Vec<(String, String)> = beside
        .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap()))
        .collect();
    let files: Vec<(&str, &str)> = schemas.iter().map(|(name, text)| (&**name, &**text)).collect();
    Gateway::start_all_with(&yaml, &[KEY], &files)
}

/// An answer. Those of examples have no Reference-ID, which the other tests' client wants.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: serde_json::Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// What was charged, and what is left.
    fn charged(&self) -> (u64, u64) {
        assert_eq!(self.body.get("error").filter(|error| error.get("type").is_some()), None, "a refusal");
        let number = |name: &str| self.header(name).unwrap_or_else(|| panic!("no {name}")).parse().unwrap();
        (number("x-credits-charged"), number("x-credits-remaining"))
    }

    fn assert_problem(&self, slug: &str) {
        let kind = self.body["error"]["type"].as_str().unwrap_or_default();
        assert!(
            kind.ends_with(&format!("/problems/{slug}")) && self.status >= 400,
            "{slug}: {} {}",
            self.status,
            self.body
        );
    }
}

/// Sends a request over a connection of its own.
fn ask(gateway: &Gateway, request: &Request) -> Answer {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&request.clone().with("Connection", "close").bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers =
        lines.map(|line| line.split_once(": ").unwrap()).map(|(name, value)| (name.to_owned(), value.to_owned()));
    Answer { status, headers: headers.collect(), body: serde_json::from_str(body).unwrap() }
}

/// The request line that the backend got last.
fn asked(backend: &Backend) -> String {
    String::from_utf8(backend.last_request()).unwrap().lines().next().unwrap().to_owned()
}

/// A backend that answers by the path of a request: the first part that it contains decides.
fn answering(answers: &'static [(&str, &str, &str)]) -> Backend {
    Backend::start(move |peer, request| {
        let request = String::from_utf8_lossy(request);
        let line = request.lines().next().unwrap();
        let (_, status, body) = answers.iter().find(|(part, ..)| line.contains(part)).expect("an answer");
        peer.answer_with(status, "ETag: \"e\"\r\nCache-Control: max-age=60\r\nSet-Cookie: c=1\r\n", body.as_bytes())
    })
}

fn get(target: &str) -> Request {
    Request::new("GET", target)
}

fn post(target: &str, body: &str) -> Request {
    Request::new("POST", target).with("Content-Type", "application/json").body(body)
}

fn bearer(request: Request) -> Request {
    request.with("Authorization", &format!("Bearer {TOKEN}"))
}

#[test]
fn each_is_accepted_without_a_warning() {
    let all = configurations();
    assert!(all.len() >= 8, "{all:?}");
    for path in all {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.args(["check", "--deny-warnings", "--config"]).arg(&path).env(KEY.0, KEY.1);
        let output = command.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}: {output:?}", path.display());
    }
}

#[test]
fn phone_costs_a_credit_unless_the_number_cannot_exist() {
    let backend = Backend::start(|peer, request| {
        let valid = String::from_utf8_lossy(request).contains("7400");
        peer.answer(&format!(r#"{{"valid":{valid}}}"#))
    });
    let gateway = start("phone/tollgate.yaml", &backend);
    let lookup = |body: &str| ask(&gateway, &post("/v1/phone", body).with("X-Api-Key", TOKEN));
    let valid = lookup(r#"{"number":"+44 7400 123456"}"#);
    assert_eq!(valid.status, 200);
    assert_eq!(valid.charged(), (1, 99));
    assert_eq!(lookup(r#"{"number":"1"}"#).charged(), (0, 99));
    lookup("{}").assert_problem("number-missing");
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn vat_takes_a_404_for_an_answer() {
    let backend = answering(&[
        ("/check/DE811907980", "200 OK", r#"{"valid":true,"name":"A"}"#),
        ("/check/", "404 Not Found", r#"{"valid":false}"#),
    ]);
    let gateway = start("vat/tollgate.yaml", &backend);
    let lookup = |target: &str| ask(&gateway, &get(target).with("X-Api-Key", TOKEN));
    let found = lookup("/v1/vat/DE811907980?detail=full");
    assert_eq!(found.status, 200);
    assert_eq!((found.charged(), &*asked(&backend)), ((2, 98), "GET /check/DE811907980?detail=full HTTP/1.1"));
    let nobody = lookup("/v1/vat/DE1234567");
    assert_eq!(nobody.status, 200);
    assert_eq!((nobody.charged(), nobody.body["valid"].as_bool()), ((1, 97), Some(false)));
    lookup("/v1/vat/nonsense").assert_problem("parameter-invalid");
    lookup("/v1/vat/DE811907980?other=1").assert_problem("parameter-invalid");
}

#[test]
fn email_tells_the_backend_whose_request_it_is() {
    let backend = answering(&[("/v1/email", "200 OK", r#"{"exists":true}"#)]);
    let gateway = start("email/tollgate.yaml", &backend);
    let lookup = ask(&gateway, &bearer(get("/v1/email?address=a%40example.com&other=1")));
    assert_eq!(lookup.status, 200);
    assert_eq!(lookup.charged(), (1, 99));
    let sent = String::from_utf8(backend.last_request()).unwrap();
    for line in [
        "GET /v1/email?address=a@example.com HTTP/1.1",
        "X-Account: acme",
        "X-Token-Name: web",
        "X-Backend-Key: backend-secret",
    ] {
        assert!(sent.lines().any(|known| known.trim_end() == line), "{line}: {sent}");
    }
    assert!(!sent.contains(TOKEN));
    ask(&gateway, &bearer(get("/v1/email?address=nobody"))).assert_problem("address-invalid");
    ask(&gateway, &get("/v1/email?address=a%40example.com")).assert_problem("token-missing");
}

#[test]
fn batch_costs_what_is_counted() {
    let backend = answering(&[("/v1/email/batch", "200 OK", r#"{"results":[],"surcharge":2}"#)]);
    let gateway = start("batch/tollgate.yaml", &backend);
    let batch = |query: &str, body: &str| ask(&gateway, &bearer(post(&format!("/v1/email/batch{query}"), body)));
    let two = batch("?check=mailbox&check=domain", r#"{"addresses":["a@example.com","b@example.com"]}"#);
    assert_eq!(two.status, 200);
    assert_eq!(two.charged(), (2 * 2 + 2 * 5 + 2, 84));
    batch("", r#"{"addresses":[]}"#).assert_problem("body-invalid");
    batch("?check=all", r#"{"addresses":["a"]}"#).assert_problem("parameter-invalid");
    let many = format!(r#"{{"addresses":[{}"a"]}}"#, r#""a","#.repeat(19));
    assert_eq!(batch("", &many).charged(), (42, 42));
    batch("", &many).assert_problem("credits-insufficient");
}

#[test]
fn cdn_has_two_hosts_and_answers_that_can_be_kept() {
    let backend = answering(&[("/company/", "200 OK", r#"{"company":"A"}"#), ("/", "200 OK", r#"{"country":"DE"}"#)]);
    let gateway = start("cdn/tollgate.yaml", &backend);
    let from = |host: &str, address: &str| {
        let target = format!("/203.0.113.9?key={TOKEN}");
        ask(&gateway, &get(&target).with("Host", host).with("X-Forwarded-For", address))
    };
    for (host, member, cost) in
        [("country.example.com", "country", (1, 99)), ("company.example.com", "company", (5, 95))]
    {
        let response = from(host, "203.0.113.7");
        assert_eq!(response.status, 200);
        assert!(response.body[member].is_string());
        assert_eq!(response.charged(), cost, "{host}");
        assert_eq!((response.header("etag"), response.header("set-cookie")), (Some("\"e\""), None));
        assert_eq!(response.header("cache-control"), Some("max-age=60"));
    }
    from("country.example.com", "198.51.100.1").assert_problem("ip-not-allowed");
    from("other.example.com", "203.0.113.7").assert_problem("endpoint-unknown");
    assert!(!asked(&backend).contains(TOKEN));
}

#[test]
fn vies_costs_nothing_while_a_registry_is_down() {
    let backend = answering(&[
        ("/ms/DE/vat/811907980", "200 OK", r#"{"isValid":true,"userError":"VALID"}"#),
        ("/ms/DE/", "200 OK", r#"{"isValid":false,"userError":"INVALID"}"#),
        ("/ms/FR/", "200 OK", r#"{"isValid":false,"userError":"MS_UNAVAILABLE"}"#),
    ]);
    let gateway = start("contracts/vies.yaml", &backend);
    let lookup = |target: &str| ask(&gateway, &bearer(get(target)));
    let valid = lookup("/ms/DE/vat/811907980?requesterMemberStateCode=AT&requesterNumber=U12345678");
    assert_eq!(valid.status, 200);
    assert_eq!(valid.charged(), (1, 99));
    let line = "GET /taxation_customs/vies/rest-api/ms/DE/vat/811907980?requesterMemberStateCode=AT&requesterNumber=U12345678 HTTP/1.1";
    assert_eq!(asked(&backend), line);
    assert_eq!(lookup("/ms/DE/vat/1234567").charged(), (1, 98));
    assert_eq!(lookup("/ms/FR/vat/1234567").charged(), (0, 98));
    lookup("/ms/GB/vat/1234567").assert_problem("parameter-invalid");
}

#[test]
fn postcodes_are_one_by_get_or_many_by_post() {
    let backend = answering(&[
        ("GET /postcodes/OX49", "200 OK", r#"{"status":200,"result":{}}"#),
        ("GET ", "404 Not Found", r#"{"status":404,"error":"Postcode not found"}"#),
        ("POST ", "200 OK", r#"{"status":200,"result":[]}"#),
    ]);
    let gateway = start("contracts/postcodes.yaml", &backend);
    let send = |request: Request| ask(&gateway, &request.with("X-Api-Key", TOKEN));
    assert_eq!(send(get("/postcodes/OX49%205NU")).charged(), (1, 99));
    let nobody = send(get("/postcodes/ZZ9%209ZZ"));
    assert_eq!((nobody.status, nobody.charged(), nobody.body["status"].as_u64()), (404, (1, 98), Some(404)));
    let many = send(post("/postcodes?filter=postcode,longitude", r#"{"postcodes":["OX49 5NU","M32 0JG","NE30 1DP"]}"#));
    assert_eq!(many.charged(), (3, 95));
    send(post("/postcodes", r#"{"postcodes":"OX49 5NU"}"#)).assert_problem("body-invalid");
}

#[test]
fn ip_addresses_have_errors_that_cost_nothing() {
    let backend = answering(&[
        ("/203.0.113.9?", "200 OK", r#"{"ip":"203.0.113.9","country_code":"DE"}"#),
        ("/", "200 OK", r#"{"success":false,"error":{"code":106}}"#),
    ]);
    let gateway = start("contracts/ip.yaml", &backend);
    let lookup = |target: &str| ask(&gateway, &get(&format!("{target}access_key={TOKEN}")));
    assert_eq!(lookup("/203.0.113.9?hostname=1&language=pt-br&").charged(), (2, 98));
    assert_eq!(asked(&backend), "GET /203.0.113.9?access_key=backend-secret&hostname=1&language=pt-br HTTP/1.1");
    assert_eq!(lookup("/2001:db8::9?").charged(), (0, 98));
    lookup("/here?").assert_problem("parameter-invalid");
    ask(&gateway, &get("/203.0.113.9")).assert_problem("token-missing");
}
