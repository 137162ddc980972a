//! A candidate beside the configuration in force, in the real program: it says exactly what would change, has no effect, and
//! is promoted or dropped by one command.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::api::{Answer, account, admin_key, ask, done as command_done, gateway as with_store};
use crate::support::changes::{pair, rows};
use crate::support::{Backend, CANARY, Configuration, Gateway, Request, VERSIONS, Version, paying, token, until};

/// Runs `tollgate shadow`.
fn shadow(words: &[&str], config: &std::path::Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.arg("shadow").args(words).arg("--config").arg(config).output().unwrap()
}

fn done(words: &[&str], config: &std::path::Path) -> String {
    let output = shadow(words, config);
    let (told, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{words:?}: {told}{complaint}");
    told.into_owned()
}

fn refused(words: &[&str], config: &std::path::Path) -> String {
    let output = shadow(words, config);
    assert!(!output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The candidate that is the gateway's own configuration after a replacement, or that itself.
fn candidate(gateway: &Gateway, change: impl Fn(String) -> String) -> PathBuf {
    let path = gateway.file("candidate.yaml");
    fs::write(&path, change(fs::read_to_string(gateway.config()).unwrap())).unwrap();
    path
}

fn status(gateway: &Gateway) -> Value {
    serde_json::from_str(&done(&["status", "--json"], &gateway.config())).unwrap()
}

/// Waits until so many requests were judged.
fn judged(gateway: &Gateway, count: u64) -> Value {
    let (mut document, count) = (Value::Null, Value::from(count));
    for _ in 0..400 {
        let (status, body) = gateway.ask_admin("GET", "/shadow", &[], "");
        assert_eq!(status, 200, "{body}");
        document = serde_json::from_str(&body).unwrap();
        if document["decisions"] == count {
            return document;
        }
        std::thread::sleep(std::time::Duration::from_millis(25));
    }
    panic!("{count} decisions: {document:#} {}", gateway.output())
}

/// Requests of many kinds.
fn requests() -> Vec<Request> {
    let web = |origin: &str| Request::lookup("web").target("/web/v1").with("Origin", origin);
    vec![
        Request::lookup("live"),
        Request::lookup("live").with("Reference-ID", "order-c4n4ry-17"),
        Request::lookup("live").with("Reference-ID", "c4n4ry;"),
        Request::lookup("live").with("Timeout-Seconds", "c4n4ry"),
        Request::lookup("live").with("x-app-key", &token("other")),
        Request::lookup("live").body("{}"),
        Request::lookup("live").body(""),
        Request::lookup("live").body("x".repeat(20_000)),
        Request::lookup("live").set("Content-Type", "text/plain"),
        Request::lookup("nobody"),
        Request::lookup("live").without("Auth-Token"),
        Request::lookup("disabled"),
        Request::lookup("other"),
        Request::lookup("ip"),
        Request::lookup("live").target("/phone/c4n4ry"),
        Request::lookup("live").target("/phone/down"),
        web("https://app.example.com"),
        web("https://other.example.org"),
        Request::new("OPTIONS", "/web/v1")
            .with("Access-Control-Request-Method", "POST")
            .with("Origin", "https://app.example.com"),
        Request::new("GET", "/docs/problems/token-missing"),
    ]
}

/// Sends all of them over each version, and the account of three requests an hour four times; how many these are.
fn send_all(gateway: &Gateway) -> u64 {
    let mut sent = 0;
    for version in VERSIONS {
        for request in requests() {
            gateway.send(version, &request);
            sent += 1;
        }
    }
    for _ in 0..4 {
        gateway.send(Version::Http1, &Request::lookup("small-0"));
        sent += 1;
    }
    sent
}

#[test]
fn the_same_configuration_decides_the_same_and_has_no_effect() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    assert_eq!(status(&gateway)["state"], "none");
    // One of the three was used before.
    gateway.send(Version::Http1, &Request::lookup("small-0"));
    gateway.send(Version::Http1, &Request::lookup("small-1"));
    done(&["start"], &candidate(&gateway, |yaml| yaml));
    let sent = send_all(&gateway);
    let document = judged(&gateway, sent);
    assert_eq!((&document["state"], &document["same"]), (&"judging".into(), &sent.into()), "{document:#}");
    assert_eq!(gateway.metric::<u64>("tollgate_shadow_active"), 1);
    // Each was counted once, and two of three are left.
    assert_eq!(gateway.send(Version::Http1, &Request::lookup("small-1")).status(), 200);
    assert_eq!(gateway.send(Version::Http1, &Request::lookup("small-1")).status(), 200);
    assert_eq!(gateway.send(Version::Http1, &Request::lookup("small-1")).status(), 429);
    let all: u64 = backend.requests().len() as u64;
    let answered = document["decisions"].as_u64().unwrap();
    assert!(all < answered, "the backend is asked once for each request");
    done(&["drop"], &gateway.config());
    let ended = status(&gateway);
    assert_eq!((&ended["state"], &ended["why"]), (&"ended".into(), &"dropped".into()));
    assert!(refused(&["drop"], &gateway.config()).contains("no shadow"));
    gateway.wait_for_output("has ended, since it was dropped");
    assert!(!gateway.output().contains(CANARY) && !ended.to_string().contains(CANARY));
}

#[test]
fn a_change_is_named_exactly() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    let changed = candidate(&gateway, |yaml| {
        let line = yaml.lines().find(|line| line.contains("{ name: web,")).unwrap().to_owned();
        let small = "small-0:\n    rate: { limit: 3/h, burst: 3 }";
        assert!(yaml.contains(small));
        yaml.replace(&line, &line.replace(" }", ", disabled: true }"))
            .replace(small, "small-0:\n    rate: { limit: 1/h, burst: 1 }")
    });
    done(&["start"], &changed);
    let sent = send_all(&gateway);
    let document = judged(&gateway, sent);
    let mut found = rows(&document);
    found.sort();
    assert_eq!(
        found,
        [
            pair("answered", "rate-exceeded", 2),
            pair("answered", "token-disabled", 2),
            pair("domain-not-allowed", "token-disabled", 2)
        ],
        "{document:#}"
    );
    assert_eq!(document["same"], sent - 6);
    let of = |name: &str| document["by_account"].as_array().unwrap().iter().find(|of| of["account"] == name).cloned();
    assert_eq!(of("small-0").unwrap()["refused"], 2);
    assert_eq!(gateway.metric::<u64>("tollgate_shadow_decisions_total{result=\"different\"}"), 6);
    assert_eq!(gateway.metric::<u64>("tollgate_shadow_differences_total{then=\"answered\",now=\"rate-exceeded\"}"), 2);
    let text = done(&["status"], &gateway.config());
    assert!(text.contains("answered -> token-disabled") && !text.contains(CANARY), "{text}");
}

#[test]
fn prices_of_live_answers_are_known_and_live_balances_do_not_move() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&paying(backend.address(), "{ volatile: true }", &[("rich", "100"), ("poor", "9")]));
    let balances = || gateway.ask_admin("GET", "/credits", &[], "").1;
    let plain = candidate(&gateway, |yaml| {
        let begin = yaml.find("    credits:\n      hold:").unwrap();
        let end = begin + yaml[begin..].find("accounts:").unwrap();
        yaml.replace(&yaml[begin..end], "    credits:\n      hold: [{ add: 4 }]\n      price: [{ add: 4 }]\n")
    });
    done(&["start"], &plain);
    let before = balances();
    for name in ["rich", "rich", "poor", "poor", "poor"] {
        gateway.send(Version::Http1, &Request::lookup(name));
    }
    let document = judged(&gateway, 5);
    // The copy of a balance of nine pays four twice.
    let insufficient = rows(&document).iter().filter(|(_, now, _)| now == "credits-insufficient").count();
    assert_eq!(insufficient, 1, "{document:#}");
    assert_eq!(document["credits"]["now"], 16, "{document:#}");
    assert_ne!(balances(), before);
    let spent: Value = serde_json::from_str(&balances()).unwrap();
    let spent: u64 = spent["balances"].as_array().unwrap().iter().map(|of| of["spent"].as_u64().unwrap()).sum();
    assert_eq!(document["credits"]["then"], spent, "what is charged is what is in force");
}

#[test]
fn what_was_measured_is_promoted_and_nothing_else() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    let before = fs::read_to_string(gateway.config()).unwrap();
    let line = before.lines().find(|line| line.contains("{ name: live,")).unwrap().to_owned();
    let disabled = |yaml: String| yaml.replace(&line, &line.replace(" }", ", disabled: true }"));
    let live = || gateway.send(Version::Http1, &Request::lookup("live")).status();
    assert!(refused(&["promote"], &gateway.config()).contains("no shadow"));
    let path = candidate(&gateway, disabled);
    done(&["start"], &path);
    fs::write(&path, fs::read_to_string(&path).unwrap() + "\n").unwrap();
    assert!(refused(&["promote"], &gateway.config()).contains("have changed since"));
    assert_eq!((live(), fs::read_to_string(gateway.config()).unwrap() == before), (200, true));
    done(&["start"], &path);
    done(&["promote"], &gateway.config());
    assert_eq!(live(), 403);
    assert_eq!(fs::read_to_string(gateway.config()).unwrap(), fs::read_to_string(&path).unwrap());
    let kept = gateway.config().with_file_name("tollgate.yaml.before");
    assert_eq!(fs::read_to_string(kept).unwrap(), before);
    assert_eq!(status(&gateway)["why"], "promoted");
    assert_eq!(gateway.metric::<u64>("tollgate_shadow_ended_total{reason=\"promoted\"}"), 1);
    assert_eq!(gateway.metric::<u64>("tollgate_shadow_ended_total{reason=\"replaced\"}"), 1);
}

#[test]
fn a_candidate_is_loaded_as_a_configuration_is() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    let start = |path: &std::path::Path| {
        let body = serde_json::json!({ "config": path }).to_string();
        gateway.ask_admin("POST", "/shadow/start", &[], &body)
    };
    for (change, expected) in [
        ("nonsense: true\n", (422, "nonsense")),
        ("workers: 3\n", (422, "needs an upgrade")),
        (
            "tests: [{ name: a, request: { path: /none }, expect: { problem: token-missing } }]\n",
            (422, "the test \\\"a\\\" fails"),
        ),
    ] {
        let path = candidate(&gateway, |yaml| {
            let yaml = yaml.lines().filter(|line| !line.starts_with("workers:")).map(|line| line.to_owned() + "\n");
            yaml.collect::<String>() + change
        });
        let (status, body) = start(&path);
        assert!(status == expected.0 && body.contains(expected.1), "{change}: {status} {body}");
    }
    for (path, expected) in
        [(gateway.config(), "is in force"), (PathBuf::from("/etc/passwd"), "Put the candidate into the directory")]
    {
        let (status, body) = start(&path);
        assert!(status == 409 && body.contains(expected), "{status} {body}");
    }
    assert_eq!(status(&gateway)["state"], "none");
}

#[test]
fn a_change_of_the_configuration_in_force_ends_it_and_the_same_one_does_not() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    done(&["start"], &candidate(&gateway, |yaml| yaml));
    assert_eq!(gateway.ask_admin("POST", "/reload", &[], "").0, 200);
    gateway.send(Version::Http1, &Request::lookup("live"));
    assert_eq!(judged(&gateway, 1)["state"], "judging");
    // Neither does one that is refused, nor the same text afterwards.
    let text = fs::read_to_string(gateway.config()).unwrap();
    gateway.replace("tollgate.yaml", "nonsense: true\n");
    assert_eq!(gateway.ask_admin("POST", "/reload", &[], "").0, 422);
    gateway.replace("tollgate.yaml", &text);
    assert_eq!(gateway.ask_admin("POST", "/reload", &[], "").0, 200);
    assert_eq!(status(&gateway)["state"], "judging");
    gateway.replace("tollgate.yaml", &(text + "\n# Another one.\n"));
    until("the shadow ends", || status(&gateway)["state"] == "ended");
    assert_eq!(status(&gateway)["why"], "changed");
    assert_eq!(gateway.metric::<u64>("tollgate_shadow_active"), 0);
}

/// A gateway with a store, and accounts and tokens that are made by its management API.
struct Desk {
    gateway: Gateway,
    key: String,
    asked: Cell<u32>,
}

impl Desk {
    fn start(backend: &Backend) -> Desk {
        let gateway = with_store(backend, "");
        let key = admin_key(&gateway);
        Desk { gateway, key, asked: Cell::new(0) }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        let once = self.asked.replace(self.asked.get() + 1).to_string();
        let headers = [("Idempotency-Key", &*once), ("If-Match", "*")];
        ask(self.gateway.more(0), &self.key, method, path, &headers, body)
    }

    fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.ask(method, path, body);
        assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.body);
        answer.body
    }

    /// A new account with a token: the path of the token, and its secret.
    fn account(&self, name: &str) -> (String, String) {
        let made = self.done("POST", "/accounts", &account(name));
        let tokens = format!("/accounts/{}/tokens", made["id"].as_str().unwrap());
        let made = self.done("POST", &tokens, &json!({ "name": "web", "products": ["phone"] }));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (format!("{tokens}/{}", text(&made["token"]["id"])), text(&made["secret"]))
    }

    fn lookup(&self, secret: &str) -> u16 {
        self.gateway.send(Version::Http1, &Request::lookup("live").set("Auth-Token", secret)).status()
    }
}

/// Whoever has changed an account is answered after the candidate knows the change: not one of the requests that follow at
/// once is judged by the account before.
#[test]
fn accounts_of_the_store_are_copied_and_followed() {
    let backend = Backend::answering_json();
    let desk = Desk::start(&backend);
    let (of_before, before) = desk.account("before");
    assert_eq!(desk.lookup(&before), 200);
    // With another plan the accounts of the store are compiled anew for the candidate.
    for (number, more) in ["", "plans: { another: { rates: [5/min] } }\n"].into_iter().enumerate() {
        done(&["start"], &candidate(&desk.gateway, |yaml| yaml + more));
        let mut sent = 0;
        let mut looks_up = |secret: &str, expected: u16| {
            assert_eq!(desk.lookup(secret), expected);
            sent += 1;
        };
        for round in 0..5 {
            let (of_token, secret) = desk.account(&format!("during-{number}-{round}"));
            looks_up(&secret, 200);
            desk.done("POST", &format!("{of_token}/disable"), &Value::Null);
            looks_up(&secret, 403);
            desk.done("POST", &format!("{of_token}/revoke"), &Value::Null);
            looks_up(&secret, 401);
            desk.done("POST", &format!("{of_before}/disable"), &Value::Null);
            looks_up(&before, 403);
            desk.done("POST", &format!("{of_before}/enable"), &Value::Null);
            looks_up(&before, 200);
        }
        looks_up("unknown-token-c4n4ry", 401);
        let document = judged(&desk.gateway, sent);
        assert_eq!(document["same"], sent, "{more}: {document:#}");
    }
}

#[test]
fn administrators_promote_and_drop_by_the_management_api() {
    let backend = Backend::answering_json();
    let desk = Desk::start(&backend);
    assert_eq!(desk.done("GET", "/shadow", &Value::Null)["state"], "none");
    for path in ["/shadow/promote", "/shadow/drop"] {
        let answer = desk.ask("POST", path, &Value::Null);
        assert!(answer.status == 409 && answer.body.to_string().contains("no shadow"), "{path}: {}", answer.body);
    }
    let more = |yaml: String| yaml + "\n# The candidate.\n";
    let path = candidate(&desk.gateway, more);
    done(&["start"], &path);
    let support = keys_of(&desk.gateway, "support");
    for path in ["/shadow/promote", "/shadow/drop"] {
        let answer = ask(desk.gateway.more(0), &support, "POST", path, &[], &Value::Null);
        assert_eq!(answer.status, 403, "{path}: {}", answer.body);
    }
    let shown = ask(desk.gateway.more(0), &support, "GET", "/shadow", &[], &Value::Null);
    assert_eq!((shown.status, &shown.body["state"]), (200, &json!("judging")));
    let ended = desk.done("POST", "/shadow/drop", &Value::Null);
    assert_eq!((&ended["state"], &ended["why"]), (&json!("ended"), &json!("dropped")));
    done(&["start"], &path);
    let ended = desk.done("POST", "/shadow/promote", &Value::Null);
    assert_eq!((&ended["state"], &ended["why"]), (&json!("ended"), &json!("promoted")));
    assert_eq!(fs::read_to_string(desk.gateway.config()).unwrap(), fs::read_to_string(&path).unwrap());
    let audit = desk.done("GET", "/audit", &Value::Null).to_string();
    assert!(audit.contains("shadow.drop") && audit.contains("shadow.promote") && audit.contains("candidate.yaml"));
}

/// A new key of an operator in a role.
fn keys_of(gateway: &Gateway, role: &str) -> String {
    command_done(gateway, &["keys", "create", role, "--operator", role], &[])["secret"].as_str().unwrap().to_owned()
}

#[test]
fn a_promotion_that_cannot_be_written_changes_nothing() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    let before = fs::read_to_string(gateway.config()).unwrap();
    done(&["start"], &candidate(&gateway, |yaml| yaml + "\n# The candidate.\n"));
    // A directory is where the text before would be kept, and where the new one would be written.
    for name in ["tollgate.yaml.before.new", "tollgate.yaml.new"] {
        fs::create_dir(gateway.file(name)).unwrap();
        let why = refused(&["promote"], &gateway.config());
        assert!(why.contains("Nothing was changed.") && why.contains("Put the text of"), "{name}: {why}");
        assert_eq!(fs::read_to_string(gateway.config()).unwrap(), before, "{name}");
        assert_eq!(status(&gateway)["state"], "judging", "{name}");
        assert_eq!(gateway.send(Version::Http1, &Request::lookup("live")).status(), 200);
        fs::remove_dir(gateway.file(name)).unwrap();
    }
    assert_eq!(judged(&gateway, 2)["same"], 2);
    done(&["promote"], &gateway.config());
    assert_ne!(fs::read_to_string(gateway.config()).unwrap(), before);
    let left = fs::read_dir(gateway.config().parent().unwrap()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| !name.ends_with(".new")), "{left:?}");
}

/// A test of the candidate fails by now: the file gets its text back, and the candidate judges on.
#[test]
fn a_candidate_that_cannot_be_loaded_any_more_is_not_promoted() {
    let backend = Backend::answering_json();
    let desk = Desk::start(&backend);
    let (of_token, _) = desk.account("store");
    let test = "tests:\n  - name: stays good\n    request: { method: POST, path: /phone/validate/v2, account: store, token: web, \
                headers: { Content-Type: application/json }, body: { number: \"1\" } }\n    expect: { problem: none }\n";
    let before = fs::read_to_string(desk.gateway.config()).unwrap();
    done(&["start"], &candidate(&desk.gateway, |yaml| yaml + test));
    desk.done("POST", &format!("{of_token}/disable"), &Value::Null);
    let loads = desk.gateway.metric::<u64>("tollgate_config_reloads_total");
    let why = refused(&["promote"], &desk.gateway.config());
    assert!(why.contains("Nothing was changed.") && why.contains("the test \"stays good\" fails"), "{why}");
    assert_eq!(fs::read_to_string(desk.gateway.config()).unwrap(), before);
    // What the file says again is looked at, is what is in force, and ends nothing.
    until("the file is read again", || desk.gateway.metric::<u64>("tollgate_config_reloads_total") > loads);
    assert_eq!(status(&desk.gateway)["state"], "judging");
    assert_eq!(desk.gateway.metric::<f64>("tollgate_config_outdated_seconds"), 0.0);
    desk.done("POST", &format!("{of_token}/enable"), &Value::Null);
    done(&["promote"], &desk.gateway.config());
    assert_eq!(status(&desk.gateway)["why"], "promoted");
}

#[test]
fn a_candidate_with_the_same_text_ends_when_it_is_promoted() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    done(&["start"], &candidate(&gateway, |yaml| yaml));
    done(&["promote"], &gateway.config());
    assert_eq!(
        (status(&gateway)["why"].clone(), gateway.metric::<u64>("tollgate_shadow_active")),
        ("promoted".into(), 0)
    );
}

/// What a promotion has replaced is a candidate like any other.
#[test]
fn the_way_back_is_a_promotion_as_well() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    let before = fs::read_to_string(gateway.config()).unwrap();
    done(&["start"], &candidate(&gateway, |yaml| yaml + "\n# The candidate.\n"));
    done(&["promote"], &gateway.config());
    done(&["start"], &gateway.file("tollgate.yaml.before"));
    done(&["promote"], &gateway.config());
    assert_eq!(fs::read_to_string(gateway.config()).unwrap(), before);
}
