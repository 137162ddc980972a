//! Credits as customers and operators see them: holds, prices, receipts, the last credit, grants from the admin API and
//! the command line, and what survives a restart.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Barrier;
use std::time::Instant;

use serde_json::{Value, json};
use tollgate::policy::account::Digest;
use tollgate::policy::tariff::Passed;

use crate::support::{After, Backend, Gateway, PATIENCE, Request, Response, Scratch, VERSIONS, paying, token};

const VOLATILE: &str = "{ volatile: true }";

fn statement(gateway: &Gateway, account: &str) -> [u64; 4] {
    let (status, body) = gateway.ask_admin("GET", &format!("/accounts/{account}/credits/phone"), &[], "");
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    ["granted", "balance", "held", "spent"].map(|name| body[name].as_u64().unwrap())
}

/// Waits until an account's numbers are these.
fn wait_for(gateway: &Gateway, account: &str, expected: [u64; 4]) {
    let begun = Instant::now();
    while statement(gateway, account) != expected {
        assert!(begun.elapsed() < PATIENCE, "{:?} is not {expected:?}", statement(gateway, account));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn receipt(response: &Response) -> (u64, u64) {
    (response.number("X-Credits-Charged"), response.number("X-Credits-Remaining"))
}

#[test]
fn five_credits_buy_exactly_five_plain_lookups() {
    let backend = Backend::answering_json();
    for version in VERSIONS {
        let gateway = Gateway::start(&paying(backend.address(), VOLATILE, &[("acme", "5")]));
        for left in (0..5).rev() {
            let response = gateway.send(version, &Request::lookup("acme").with("Origin", "https://app.example.com"));
            response.assert_success();
            assert_eq!(receipt(&response), (1, left));
            assert!(response.header("Access-Control-Expose-Headers").unwrap().contains("X-Credits-Remaining"));
        }
        let before = backend.requests().len();
        let response = gateway.send(version, &Request::lookup("acme"));
        response.assert_problem("credits-insufficient");
        assert_eq!(response.header("X-Credits-Charged"), None);
        assert_eq!(backend.requests().len(), before, "the backend hears nothing of it");
        wait_for(&gateway, "acme", [5, 0, 0, 5]);
    }
}

#[test]
fn an_unmetered_account_gets_no_receipt() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&paying(backend.address(), VOLATILE, &[("acme", "1"), ("free", "unmetered")]));
    for version in VERSIONS {
        let response = gateway.send(version, &Request::lookup("free"));
        response.assert_success();
        assert_eq!((response.header("X-Credits-Charged"), response.header("X-Credits-Remaining")), (None, None));
    }
}

/// Each row of the phone prices: what is asked, what the backend answers, what is held and charged.
#[test]
fn every_price_of_the_phone_product() {
    let plain = r#""number":"1""#;
    let ported = r#""number":"1","get_ported_date":true"#;
    let mobile = r#""number":"1","supplementary_live_status":{"mobile":["GBR"],"landline":[]}"#;
    let landline = r#""number":"1","supplementary_live_status":{"landline":["GBR"]}"#;
    let all =
        r#""number":"1","get_ported_date":true,"supplementary_live_status":{"mobile":["GBR"],"landline":["FRA"]}"#;
    let unset = r#""number":"1","get_ported_date":null,"supplementary_live_status":[]"#;
    let unset_lists = r#""number":"1","get_ported_date":"","supplementary_live_status":{"mobile":null,"landline":""}"#;
    #[rustfmt::skip]
    let table = [
        // asked, answered result,                                                               held, charged
        (plain, json!({"phone_type":"Mobile","confidence":"Verified"}),                             1, 1),
        (plain, json!({"phone_type":"Landline","confidence":"No coverage"}),                        1, 1),
        (plain, json!({"phone_type":"Mobile","confidence":"No coverage"}),                          1, 0),
        (plain, json!({"phone_type":"MOBILE","confidence":"no Coverage"}),                          1, 0),
        (plain, json!({"phone_type":"Bad format","confidence":"Unknown"}),                          1, 0),
        (plain, json!({"phone_type":"BAD FORMAT","confidence":"Unknown"}),                          1, 0),
        (plain, json!({"phone_type":"Bad format","ported_date":"2020-01-01"}),                      1, 0),
        (plain, json!({"phone_type":"Unknown","confidence":"Unknown"}),                             1, 1),
        (plain, json!({}),                                                                          1, 1),
        (plain, json!({"phone_type":"Mobile","ported_date":null}),                                  1, 1),
        (plain, json!({"phone_type":"Mobile","ported_date":""}),                                    1, 1),
        (unset, json!({"phone_type":"Mobile","confidence":"Verified"}),                             1, 1),
        (unset_lists, json!({"phone_type":"Mobile","confidence":"Verified"}),                       1, 1),
        (ported, json!({"phone_type":"Mobile","confidence":"Verified"}),                            2, 1),
        (ported, json!({"phone_type":"Mobile","ported_date":"2020-01-01"}),                         2, 2),
        (ported, json!({"phone_type":"Mobile","confidence":"No coverage","ported_date":"2020"}),    2, 0),
        (mobile, json!({"phone_type":"Mobile","confidence":"Verified"}),                            2, 2),
        (mobile, json!({"phone_type":"Mobile","confidence":"Absent"}),                              2, 2),
        (mobile, json!({"phone_type":"Mobile","confidence":"Teleservice not provisioned"}),         2, 2),
        (mobile, json!({"phone_type":"Mobile","confidence":"DEAD"}),                                2, 2),
        (mobile, json!({"phone_type":"Mobile","confidence":"Unverified"}),                          2, 1),
        (mobile, json!({"phone_type":"Mobile","confidence":"Unknown"}),                             2, 1),
        (mobile, json!({"phone_type":"Mobile","confidence":"No coverage"}),                         2, 0),
        (landline, json!({"phone_type":"Landline","confidence":"Verified"}),                        2, 2),
        (all, json!({"phone_type":"Mobile","confidence":"Verified","ported_date":"2020-01-01"}),    3, 3),
        (all, json!({"phone_type":"Mobile","confidence":"Verified"}),                               3, 2),
        (all, json!({"phone_type":"Bad format"}),                                                   3, 0),
        // A date that was not requested was not held, and no more than the hold is charged.
        (plain, json!({"phone_type":"Mobile","ported_date":"2020-01-01"}),                          1, 1),
    ];
    let answers: std::sync::Mutex<Vec<Value>> = std::sync::Mutex::new(Vec::new());
    let answers = std::sync::Arc::new(answers);
    let next = std::sync::Arc::clone(&answers);
    let backend = Backend::start(move |peer, _| {
        let result = next.lock().unwrap().pop().unwrap();
        peer.answer(&json!({ "result": result }).to_string())
    });
    let accounts: Vec<(String, String)> =
        (0..=3).map(|credits| (format!("has-{credits}"), credits.to_string())).collect();
    let accounts: Vec<(&str, &str)> = accounts.iter().map(|(name, credits)| (&**name, &**credits)).collect();
    for (asked, answered, held, charged) in &table {
        let gateway = Gateway::start(&paying(backend.address(), VOLATILE, &accounts));
        let request = |account: String| Request::lookup(&account).body(format!("{{{asked}}}"));
        gateway.send(VERSIONS[0], &request(format!("has-{}", held - 1))).assert_problem("credits-insufficient");
        answers.lock().unwrap().push(answered.clone());
        let response = gateway.send(VERSIONS[0], &request(format!("has-{held}")));
        response.assert_success();
        assert_eq!(receipt(&response), (*charged, held - charged), "{asked} {answered}");
    }
}

#[test]
fn the_demo_backends_own_answers_have_their_prices() {
    for (body, price) in [
        (json!({"number": "+44 7400 123456"}), 1),
        (json!({"number": "+44 20 7946 0018"}), 1),
        (json!({"number": "call me"}), 0),
        (json!({"number": "+44 7400 12"}), 0),
        (json!({"number": "+44 7400 123456", "get_ported_date": true}), 1),
        (json!({"number": "+44 7400 123456", "supplementary_live_status": {"mobile": ["GBR"]}}), 1),
    ] {
        let config = tollgate::config::parse(
            "demo.yaml",
            tollgate::operate::demo::CONFIGURATION,
            &tollgate::operate::demo::SOURCE,
        )
        .unwrap();
        let tariff = config.policy.products[0].routes[0].tariff.as_deref().unwrap();
        let answer = tollgate::operate::demo::backend::lookup_phone(&body, false).to_string();
        let told = tariff.read(&answer).unwrap();
        assert_eq!(tariff.price(200, tariff.look_at(Some(&body), Passed::default()), told), price, "{body} {answer}");
    }
}

/// Whatever goes wrong behind the gateway costs nothing.
#[test]
fn anything_but_a_delivered_200_is_given_back() {
    type Behaviour = fn(&mut crate::support::Peer, &[u8]) -> After;
    let behaviours: [(&str, Behaviour); 8] = [
        ("upstream-unavailable", |peer, _| peer.answer_with("503 Service Unavailable", "", b"{}")),
        ("upstream-failed", |peer, _| peer.answer_with("500 Internal Server Error", "", b"{}")),
        ("upstream-failed", |peer, _| peer.answer_with("401 Unauthorized", "", b"{}")),
        ("body-invalid", |peer, _| peer.answer_with("422 Unprocessable Content", "", b"{}")),
        ("upstream-failed", |peer, _| peer.answer("<html>")),
        ("upstream-failed", |peer, _| {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
            After::Close
        }),
        ("upstream-unavailable", |_, _| After::Reset),
        ("deadline-exceeded", |peer, _| peer.wait_for_close()),
    ];
    for (slug, behave) in behaviours {
        let backend = Backend::start(behave);
        let gateway = Gateway::start(&paying(backend.address(), VOLATILE, &[("acme", "5")]));
        for version in VERSIONS {
            gateway.send(version, &Request::lookup("acme").with("Timeout-Seconds", "2")).assert_problem(slug);
            assert_eq!(statement(&gateway, "acme"), [5, 5, 0, 0], "{slug}");
        }
        gateway.send(VERSIONS[0], &Request::lookup("acme").body("{}")).assert_problem("body-invalid");
        assert_eq!(statement(&gateway, "acme"), [5, 5, 0, 0]);
    }
}

#[test]
fn a_request_in_flight_holds_its_price_and_a_client_that_hangs_up_gets_it_back() {
    let backend = Backend::silent();
    let gateway = Gateway::start(&paying(backend.address(), VOLATILE, &[("acme", "5")]));
    let mut client = gateway.connect();
    client.request(&Request::lookup("acme").body(r#"{"number":"c4n4ry","get_ported_date":true}"#));
    wait_for(&gateway, "acme", [5, 3, 2, 0]);
    // Credits held by one request cannot be used by another.
    let dear = Request::lookup("acme").body(
        r#"{"number":"c4n4ry","get_ported_date":true,"supplementary_live_status":{"mobile":["GBR"],"landline":["GBR"]}}"#,
    );
    let mut second = gateway.connect();
    second.request(&dear);
    wait_for(&gateway, "acme", [5, 0, 5, 0]);
    gateway.send(VERSIONS[0], &Request::lookup("acme")).assert_problem("credits-insufficient");
    drop(client);
    wait_for(&gateway, "acme", [5, 2, 3, 0]);
    drop(second);
    wait_for(&gateway, "acme", [5, 5, 0, 0]);
}

// ---- GET /account/credits ----

#[test]
fn an_account_is_told_of_its_credits_and_its_rate() {
    let backend = Backend::answering_json();
    let mut yaml = paying(backend.address(), VOLATILE, &[("acme", "5"), ("free", "unmetered")]);
    let rate = "  acme:\n    rate: { unlimited: true }";
    assert!(yaml.contains(rate));
    yaml = yaml.replace(rate, "  acme:\n    rate: { limit: 7/h }");
    yaml += "enquiry_rate: { limit: 60/h, burst: 4 }\n";
    let gateway = Gateway::start(&yaml);
    let ask = |account: &str| Request::new("GET", "/account/credits").with("Auth-Token", &token(account));
    gateway.send(VERSIONS[0], &Request::lookup("acme")).assert_success();
    // The answer may have gone out a moment before it is charged.
    wait_for(&gateway, "acme", [5, 4, 0, 1]);
    for version in VERSIONS {
        let response = gateway.send(version, &ask("acme"));
        assert_eq!(response.status(), 200);
        let told = response.json();
        assert_eq!(told["credits"], json!([{ "product": "phone", "balance": 4, "held": 0, "spent": 1, "granted": 5 }]));
        assert_eq!((told["rate"]["limit"].as_u64(), told["rate"]["remaining"].as_u64()), (Some(7), Some(6)));
        assert_eq!(told["rate"]["reset"].as_u64(), Some(response.number("X-Rate-Limit-Reset")));
        assert_eq!(response.number("X-Rate-Limit-Remaining"), 6, "not counted as a lookup");
    }
    let response = gateway.send(VERSIONS[0], &ask("free").set("Auth-Token", "").with("x-app-key", &token("free")));
    assert_eq!((response.status(), response.json()), (200, json!({ "credits": [], "limits": [], "rate": null })));
    // Two of four are used.
    for version in VERSIONS {
        assert_eq!(gateway.send(version, &ask("acme")).status(), 200);
    }
    for version in VERSIONS {
        let response = gateway.send(version, &ask("acme"));
        response.assert_problem("rate-exceeded");
        assert!((1..=60).contains(&response.number("Retry-After")));
    }
    gateway.send(VERSIONS[0], &Request::lookup("acme")).assert_success();
}

#[test]
fn who_may_not_ask_about_credits_is_refused_by_the_same_rows() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&paying(backend.address(), VOLATILE, &[("acme", "5")]));
    let ask = || Request::new("GET", "/account/credits").with("Auth-Token", &token("acme"));
    for version in VERSIONS {
        for (slug, request) in [
            ("token-missing", ask().without("Auth-Token")),
            ("token-unknown", ask().set("Auth-Token", &token("nobody"))),
            ("domain-not-allowed", ask().with("Origin", "https://evil.example")),
            ("accept-unsupported", ask().with("Accept", "text/html")),
            ("reference-id-invalid", ask().with("Reference-ID", "a;b")),
            ("endpoint-unknown", ask().target("/account")),
        ] {
            gateway.send(version, &request).assert_problem(slug);
        }
        let response = gateway.send(version, &ask().method("POST"));
        response.assert_problem("endpoint-unknown");
        assert_eq!(response.header("Allow"), Some("GET, HEAD"));
        let preflight = Request::new("OPTIONS", "/account/credits")
            .with("Origin", "https://app.example.com")
            .with("Access-Control-Request-Method", "GET");
        let response = gateway.send(version, &preflight);
        assert_eq!(response.status(), 204);
        assert_eq!(response.header("Access-Control-Allow-Methods"), Some("GET"));
        assert!(response.header("Access-Control-Allow-Headers").unwrap().contains("Auth-Token"));
        gateway.send(version, &preflight.set("Origin", "https://evil.example")).assert_problem("domain-not-allowed");
    }
}

// ---- The last credit ----

/// One credit and a thousand requests at a time, round after round.
#[test]
fn of_a_thousand_parallel_requests_one_gets_the_last_credit() {
    const ROUNDS: usize = 50;
    const THREADS: usize = 8;
    const CONNECTIONS_A_THREAD: usize = 125;
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&paying(backend.address(), VOLATILE, &[("acme", "0")]));
    let address = gateway.address();
    let request = Request::lookup("acme").bytes();
    let barrier = Barrier::new(THREADS + 1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut streams: Vec<TcpStream> =
                        (0..CONNECTIONS_A_THREAD).map(|_| TcpStream::connect(address).unwrap()).collect();
                    let mut successes = Vec::new();
                    for _ in 0..ROUNDS {
                        barrier.wait();
                        for stream in &mut streams {
                            stream.write_all(&request).unwrap();
                        }
                        successes.push(streams.iter_mut().map(read_status).filter(|status| *status == 200).count());
                        barrier.wait();
                    }
                    successes
                })
            })
            .collect();
        for round in 0..ROUNDS {
            let key = format!("round-{round}");
            let headers = [("Idempotency-Key", key.as_str())];
            let (status, body) =
                gateway.ask_admin("POST", "/accounts/acme/credits/phone/grants", &headers, r#"{"amount":1}"#);
            assert_eq!(status, 201, "{body}");
            barrier.wait();
            barrier.wait();
        }
        let counts: Vec<Vec<usize>> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        for round in 0..ROUNDS {
            assert_eq!(counts.iter().map(|counts| counts[round]).sum::<usize>(), 1, "round {round}");
        }
    });
    let rounds = ROUNDS as u64;
    wait_for(&gateway, "acme", [rounds, 0, 0, rounds]);
    assert_eq!(backend.requests().len(), ROUNDS, "nothing was looked up that was not paid");
}

/// Reads one whole response; its status, 200 or 403.
fn read_status(stream: &mut TcpStream) -> u16 {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the connection ended: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                assert!(status == 200 || (status == 403 && body.contains("credits-insufficient")), "{text}");
                return status;
            }
        }
    }
}

// ---- Operators ----

#[test]
fn grants_and_adjustments_happen_once_for_each_key() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&paying(backend.address(), VOLATILE, &[("acme", "5"), ("free", "unmetered")]));
    let send = |path: &str, key: &str, body: &str| {
        let headers = [("Idempotency-Key", key)];
        let (status, body) = gateway.ask_admin("POST", &format!("/accounts/{path}"), &headers, body);
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let (grants, adjustments) = ("acme/credits/phone/grants", "acme/credits/phone/adjustments");
    let (status, first) = send(grants, "invoice-17", r#"{"amount":100,"by":"ann","why":"invoice 17"}"#);
    assert_eq!((status, first["balance"].as_u64(), first["again"].as_bool()), (201, Some(105), Some(false)));
    let (status, again) = send(grants, "\"invoice-17\"", r#"{"amount":100,"by":"ann","why":"invoice 17"}"#);
    assert_eq!((status, &again["entry"], again["again"].as_bool()), (200, &first["entry"], Some(true)));
    assert_eq!(statement(&gateway, "acme"), [105, 105, 0, 0]);
    for (path, key, body, expected) in [
        (grants, "invoice-17", r#"{"amount":101}"#, 422),
        (adjustments, "invoice-17", r#"{"amount":100}"#, 422),
        (grants, "", r#"{"amount":1}"#, 400),
        (grants, "first-grant", r#"{"amount":1}"#, 400),
        (grants, "a", r#"{"amount":0}"#, 400),
        (grants, "a", r#"{"amount":-1}"#, 400),
        (grants, "a", r#"{"amount":1.5}"#, 400),
        (grants, "a", r#"{"amount":1,"amuont":1}"#, 400),
        (grants, "a", r#"{"amount":1,"why":"two\nlines"}"#, 400),
        (grants, "a", "", 400),
        (grants, "a", r#"{"amount":1099511627775}"#, 409),
        (adjustments, "a", r#"{"amount":-106}"#, 409),
        ("nobody/credits/phone/grants", "a", r#"{"amount":1}"#, 404),
        ("acme/credits/email/grants", "a", r#"{"amount":1}"#, 404),
        ("free/credits/phone/grants", "a", r#"{"amount":1}"#, 404),
        ("acme/credits/phone/refunds", "a", r#"{"amount":1}"#, 404),
    ] {
        let (status, answer) = send(path, key, body);
        assert_eq!(status, expected, "{path} {key} {body}: {answer}");
        assert!(answer["detail"].as_str().unwrap().ends_with('.'), "{answer}");
    }
    let (status, down) = send(adjustments, "b", r#"{"amount":-105,"why":"cancelled"}"#);
    assert_eq!((status, down["balance"].as_u64()), (201, Some(0)));
    gateway.send(VERSIONS[0], &Request::lookup("acme")).assert_problem("credits-insufficient");
    let (_, history) = gateway.ask_admin("GET", "/accounts/acme/credits/phone/history", &[], "");
    let history: Value = serde_json::from_str(&history).unwrap();
    let rows: Vec<(&str, i64, &str, &str)> = history["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap();
            (text("kind"), row["amount"].as_i64().unwrap(), text("by"), text("why"))
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("grant", 5, "configuration", "the account's first grant"),
            ("grant", 100, "ann", "invoice 17"),
            ("adjustment", -105, "admin", "cancelled"),
        ]
    );
}

#[test]
fn the_admin_listener_serves_no_web_page_and_asks_for_its_token() {
    let backend = Backend::answering_json();
    let yaml = paying(backend.address(), VOLATILE, &[("acme", "5")]);
    let open = Gateway::start(&yaml);
    let status =
        |gateway: &Gateway, path: &str, headers: &[(&str, &str)]| gateway.ask_admin("GET", path, headers, "").0;
    let path = "/accounts/acme/credits";
    assert_eq!(status(&open, path, &[]), 200);
    assert_eq!(status(&open, path, &[("Origin", "http://127.0.0.1:9901")]), 403);
    assert_eq!(open.ask_admin("DELETE", path, &[], "").0, 405);
    assert_eq!(status(&open, "/nothing", &[]), 404);
    let secret = token("admin");
    let closed = Gateway::start(&format!("{yaml}admin_token: \"{}\"\n", Digest::of(secret.as_bytes()).text()));
    let bearer = format!("Bearer {secret}");
    for (headers, expected) in [
        (vec![], 401),
        (vec![("Authorization", "Bearer wrong")], 401),
        (vec![("Authorization", secret.as_str())], 401),
        (vec![("Authorization", bearer.as_str())], 200),
    ] {
        assert_eq!(status(&closed, path, &headers), expected);
        assert_eq!(status(&closed, "/healthz", &headers), 200);
        assert_eq!(status(&closed, "/metrics", &headers), 200);
    }
}

fn tollgate(arguments: &[&str], config: &Path, environment: &[(&str, &str)]) -> Output {
    let [command, rest @ ..] = arguments else { panic!("no command") };
    Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["credits", command, "--config"])
        .arg(config)
        .args(rest)
        .env("USER", "ann")
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The same commands, with a gateway that has the ledger and without one.
#[test]
fn the_command_line_works_while_the_gateway_runs_and_when_it_does_not() {
    let scratch = Scratch::new();
    let backend = Backend::answering_json();
    let yaml = paying(backend.address(), &scratch.ledger("batch"), &[("acme", "5"), ("globex", "0")]);
    let config = scratch.path("stopped.yaml");
    std::fs::write(&config, format!("{yaml}listen: 127.0.0.1:1\nadmin: 127.0.0.1:2\n")).unwrap();
    std::fs::copy("config/phone.schema.json", scratch.path("phone.schema.json")).unwrap();
    let output = tollgate(&["show"], &config, &[]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not exist yet"), "{output:?}");
    // Before the first start.
    let text = said(&tollgate(&["grant", "acme", "phone", "10", "--key", "one", "--why", "a, \"b\""], &config, &[]));
    assert!(text.contains("was written: grant of 10 credits") && text.contains("balance: 15"), "{text}");
    let mut gateway = Gateway::start(&yaml);
    gateway.send(VERSIONS[0], &Request::lookup("acme")).assert_success();
    // Through the gateway.
    let running = gateway.config();
    let text = said(&tollgate(&["grant", "acme", "phone", "10", "--key", "one"], &running, &[]));
    assert!(text.contains("existed already") && text.contains("balance: 14"), "{text}");
    let text = said(&tollgate(&["grant", "globex", "phone", "7"], &running, &[]));
    assert!(text.contains("balance: 7"), "{text}");
    let text = said(&tollgate(&["adjust", "globex", "phone", "-3", "--why", "mistake"], &running, &[]));
    assert!(text.contains("adjustment of -3") && text.contains("balance: 4"), "{text}");
    let output = tollgate(&["adjust", "globex", "phone", "-5"], &running, &[]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("fewer credits"), "{output:?}");
    let output = tollgate(&["grant", "nobody", "phone", "5"], &running, &[]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("no account"));
    // If the gateway that has the ledger cannot be reached, nothing is written.
    let output = tollgate(&["grant", "acme", "phone", "1"], &config, &[]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not answer on its admin address"), "{output:?}");
    let while_running: Vec<String> = ["show", "export"]
        .into_iter()
        .map(|command| said(&tollgate(&[command], &running, &[])))
        .chain([said(&tollgate(&["history", "acme", "phone"], &running, &[]))])
        .collect();
    gateway.terminate();
    assert!(gateway.wait_for_end(PATIENCE).is_some_and(|status| status.success()));
    let when_stopped: Vec<String> = ["show", "export"]
        .into_iter()
        .map(|command| said(&tollgate(&[command], &config, &[])))
        .chain([said(&tollgate(&["history", "acme", "phone"], &config, &[]))])
        .collect();
    assert_eq!(while_running, when_stopped);
    let [show, export, history] = when_stopped.as_slice() else { panic!("three texts") };
    assert!(show.contains("acme") && show.contains("globex") && show.lines().count() == 3, "{show}");
    assert!(history.lines().count() == 4 && history.contains("charge"), "{history}");
    assert!(export.contains(r#""a, ""b""""#) && export.starts_with("id,at,account,"), "{export}");
    let lines = said(&tollgate(&["export", "--format", "jsonl"], &config, &[]));
    // The columns are the members of a row, and are there without any row as well.
    let columns = "id,at,account,product,kind,amount,lookups,reference,key,by,why\n";
    let none = said(&tollgate(&["export", "--until", "2020-01-01T00:00:00Z"], &config, &[]));
    assert_eq!((export.starts_with(columns), none.as_str()), (true, columns));
    let first = lines.lines().next().unwrap();
    let places = columns.trim_end().split(',').map(|column| first.find(&format!("\"{column}\":")).unwrap());
    assert!(places.is_sorted(), "{first}");
    let sum: i64 = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|row| row["account"] == "acme")
        .map(|row| row["amount"].as_i64().unwrap())
        .sum();
    assert_eq!(sum, 14, "the balance is the sum of the rows");
}

// ---- Restarts ----

#[test]
fn balances_survive_a_restart_and_the_first_grant_is_given_once() {
    for durability in ["batch", "each"] {
        let scratch = Scratch::new();
        let backend = Backend::answering_json();
        let ledger = scratch.ledger(durability);
        for spent in 1..=3 {
            // The configuration's number counts only when the ledger first sees the account.
            let first = if spent == 1 { "5" } else { "999" };
            let mut gateway = Gateway::start(&paying(backend.address(), &ledger, &[("acme", first)]));
            let response = gateway.send(VERSIONS[0], &Request::lookup("acme"));
            response.assert_success();
            assert_eq!(receipt(&response), (1, 5 - spent));
            gateway.terminate();
            assert!(gateway.wait_for_end(PATIENCE).is_some_and(|status| status.success()));
        }
        let sum: i64 = scratch.database().query_row("SELECT SUM(amount) FROM entry", [], |row| row.get(0)).unwrap();
        assert_eq!(sum, 2);
        // The file must not be readable by everybody, since it shows who the customers are.
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(scratch.path("ledger.db")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn what_was_used_of_a_rate_survives_a_restart_and_a_crash() {
    let scratch = Scratch::new();
    let backend = Backend::answering_json();
    let yaml = paying(backend.address(), &scratch.ledger("batch"), &[("acme", "50")])
        .replace("rate: { unlimited: true }", "rate: { limit: 6/h, burst: 6 }");
    let mut remaining = 6;
    for crash in [false, true, false] {
        let mut gateway = Gateway::start(&yaml);
        for _ in 0..2 {
            let response = gateway.send(VERSIONS[0], &Request::lookup("acme"));
            response.assert_success();
            remaining -= 1;
            assert_eq!(response.number("X-Rate-Limit-Remaining"), remaining);
        }
        if crash {
            // It is written every few seconds; two requests of this rate need 20 minutes.
            let full_in = |database: &rusqlite::Connection| -> i64 {
                let query = "SELECT COALESCE(MAX(full_at), 0) / 1000 - unixepoch() FROM rate";
                database.query_row(query, [], |row| row.get(0)).unwrap()
            };
            let (database, begun) = (scratch.database(), Instant::now());
            while full_in(&database) < 35 * 60 {
                assert!(begun.elapsed() < 2 * PATIENCE, "{}", full_in(&database));
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            gateway.kill();
        } else {
            gateway.terminate();
            assert!(gateway.wait_for_end(PATIENCE).is_some());
        }
    }
    let gateway = Gateway::start(&yaml);
    gateway.send(VERSIONS[0], &Request::lookup("acme")).assert_problem("rate-exceeded");
}

#[test]
fn rows_are_never_changed_and_the_database_holds_to_it() {
    let scratch = Scratch::new();
    let backend = Backend::answering_json();
    let mut gateway = Gateway::start(&paying(backend.address(), &scratch.ledger("each"), &[("acme", "5")]));
    gateway.send(VERSIONS[0], &Request::lookup("acme")).assert_success();
    gateway.kill();
    let database = scratch.database();
    for (statement, fails) in [
        ("UPDATE entry SET amount = 1", true),
        ("DELETE FROM entry", true),
        (
            "INSERT INTO entry (at, account, product, kind, amount, by) VALUES ('', 'acme', 'phone', 'charge', -5, 'x')",
            true,
        ),
        (
            "INSERT INTO entry (at, account, product, kind, amount, by) VALUES ('', 'acme', 'phone', 'charge', 5, 'x')",
            true,
        ),
        (
            "INSERT INTO entry (at, account, product, kind, amount, by) VALUES ('', 'acme', 'phone', 'gift', 5, 'x')",
            true,
        ),
        (
            "INSERT INTO entry (at, account, product, kind, amount, by) VALUES ('', 'acme', 'phone', 'grant', 5, 'x')",
            false,
        ),
    ] {
        assert_eq!(database.execute(statement, []).is_err(), fails, "{statement}");
    }
    let balance = "SELECT granted, spent FROM balance WHERE account = 'acme' AND product = 'phone'";
    let (granted, spent): (i64, i64) = database.query_row(balance, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!((granted, spent), (10, 1));
}

#[test]
fn two_gateways_never_count_in_one_ledger() {
    let scratch = Scratch::new();
    let backend = Backend::answering_json();
    let yaml = paying(backend.address(), &scratch.ledger("batch"), &[("acme", "5"), ("free", "unmetered")]);
    let mut first = Gateway::start(&yaml);
    let second = Gateway::start(&yaml);
    first.send(VERSIONS[0], &Request::lookup("acme")).assert_success();
    second.send(VERSIONS[0], &Request::lookup("acme")).assert_problem("internal");
    second.send(VERSIONS[0], &Request::lookup("free")).assert_success();
    assert!(second.output().contains("another process has the ledger"), "{}", second.output());
    first.terminate();
    assert!(first.wait_for_end(PATIENCE).is_some());
    let begun = Instant::now();
    loop {
        let response = second.send(VERSIONS[0], &Request::lookup("acme"));
        if response.status() == 200 {
            assert_eq!(receipt(&response), (1, 3), "it goes on where the first one ended");
            break;
        }
        response.assert_problem("internal");
        assert!(begun.elapsed() < PATIENCE);
    }
}
