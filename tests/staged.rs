//! A changed configuration that is in force for a share of the accounts first: it is judged by it who is in the share, goes back
//! by itself if refusals rise, and nobody goes on with a right that was taken away.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tollgate::policy::account::Digest;
use tollgate::policy::staging::AccountShare;

use crate::support::{Backend, Gateway, Request, VERSIONS, token, until};

/// Customers of the tests, enough for both sides of a share of one half.
const ACCOUNTS: usize = 12;

/// The configuration of a test, whose parts change.
struct Staged {
    backend: SocketAddr,
    staging: &'static str,
    token_header: &'static str,
    /// Further keys of the product.
    product: &'static str,
    /// Further products.
    products: &'static str,
    rate: &'static str,
    disabled: Option<String>,
}

impl Staged {
    fn new(backend: &Backend, staging: &'static str) -> Staged {
        Staged {
            backend: backend.address(),
            staging,
            token_header: "Auth-Token",
            product: "",
            products: "",
            rate: "{ unlimited: true }",
            disabled: None,
        }
    }

    fn yaml(&self) -> String {
        let mut yaml = format!(
            "h2c: true\nworkers: 2\npublic_url: https://api.example.com\nstaged_reload: {}\n\
             upstreams:\n  lookup: {{ servers: [{}], host: lookup.internal }}\n\
             products:\n  phone:\n    upstream: lookup\n    routes: [POST /phone/validate/v2]\n\
             \x20   token_headers: [{}]\n    body: {{ max: 16KiB, schema: phone.schema.json }}\n\
             \x20   headers:\n\x20     Reference-ID: {{ pattern: '[A-Za-z0-9_\\-/:.,() ]+', echo: true, problem: reference-id-invalid }}\n{}{}accounts:\n",
            self.staging, self.backend, self.token_header, self.product, self.products
        );
        for name in accounts() {
            let hash = Digest::of(token(&name).as_bytes()).text();
            let disabled = if self.disabled.as_ref() == Some(&name) { ", disabled: true" } else { "" };
            writeln!(
                yaml,
                "  {name}:\n    rate: {}\n    tokens: [{{ name: web, hash: \"{hash}\", products: [phone]{disabled} }}]",
                self.rate
            )
            .unwrap();
        }
        yaml
    }

    /// Puts it in the place of the gateway's configuration and waits until it was loaded.
    fn load(&self, gateway: &Gateway) {
        let text = std::fs::read_to_string(gateway.config()).unwrap();
        let own = text.lines().filter(|line| line.starts_with("listen:") || line.starts_with("admin:"));
        let own = own.fold(String::new(), |lines, line| lines + line + "\n");
        std::fs::write(gateway.config(), self.yaml() + &own).unwrap();
        let (status, told) = gateway.ask_admin("POST", "/reload", &[], "");
        assert_eq!(status, 200, "{told}");
    }
}

fn accounts() -> impl Iterator<Item = String> {
    (0..ACCOUNTS).map(|number| format!("customer-{number}"))
}

/// Whether an account is in the share of one half.
fn is_in_share(account: &str) -> bool {
    AccountShare(50).has(account)
}

fn lookup(gateway: &Gateway, account: &str) -> u16 {
    gateway.send(VERSIONS[0], &Request::lookup(account)).status()
}

fn stage(gateway: &Gateway) -> Value {
    let (status, body) = gateway.ask_admin("GET", "/stage", &[], "");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Runs `tollgate stage`; what it says, and whether it was done.
fn command(gateway: &Gateway, word: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let output = command.args(["stage", word, "--config"]).arg(gateway.config()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[test]
fn a_changed_configuration_is_for_its_share_of_the_accounts_first() {
    let backend = Backend::answering_json();
    let own = Staged::new(&backend, "{ share_percent: 50, duration: 1h, min_requests: 100000 }");
    let gateway = Gateway::start(&own.yaml());
    assert_eq!(stage(&gateway)["state"], "none");
    assert!(!command(&gateway, "promote").0 && !command(&gateway, "back").0, "nothing is staged");
    let other = Staged { token_header: "x-other-token", ..own };
    other.load(&gateway);
    assert_eq!(gateway.metric::<u64>("tollgate_stage_active"), 1);
    let mut share = 0;
    for version in VERSIONS {
        for account in accounts() {
            let expected = if is_in_share(&account) { 400 } else { 200 };
            share += usize::from(is_in_share(&account));
            assert_eq!(gateway.send(version, &Request::lookup(&account)).status(), expected, "{account}");
        }
    }
    assert!(share > 0 && share < VERSIONS.len() * ACCOUNTS, "both sides have accounts");
    let document = stage(&gateway);
    assert_eq!((&document["state"], &document["share_percent"]), (&"staged".into(), &50.into()));
    assert_eq!(document["share"]["now"]["refused"], share, "{document:#}");
    assert_eq!(document["others"]["now"]["requests"], VERSIONS.len() * ACCOUNTS - share);
    let (_, told) = command(&gateway, "status");
    assert!(told.contains("in force for 50 % of the accounts"), "{told}");

    // A token that is switched off is so at once, wherever its account stands, and the rest is staged all the same.
    let off = accounts().find(|account| !is_in_share(account)).unwrap();
    let still = accounts().filter(|account| !is_in_share(account)).nth(1).unwrap();
    Staged { disabled: Some(off.clone()), ..other }.load(&gateway);
    assert_eq!((lookup(&gateway, &off), lookup(&gateway, &still)), (400, 200));
    assert_eq!((&stage(&gateway)["state"], &stage(&gateway)["changed_accounts"]), (&"staged".into(), &1.into()));
    // Loading the same again changes nothing.
    assert_eq!(gateway.ask_admin("POST", "/reload", &[], "").0, 200);
    assert_eq!((lookup(&gateway, &still), gateway.metric::<u64>("tollgate_stage_active")), (200, 1));

    let (done, told) = command(&gateway, "promote");
    assert!(done && told.contains("in force for all accounts"), "{told}");
    assert!(accounts().all(|account| lookup(&gateway, &account) == 400));
    assert_eq!(stage(&gateway)["outcome"], "promoted");
    assert_eq!(gateway.metric::<u64>("tollgate_stage_active"), 0);
}

#[test]
fn a_configuration_under_which_refusals_rise_goes_back_by_itself() {
    let backend = Backend::answering_json();
    let own = Staged::new(&backend, "{ share_percent: 50, duration: 1h, min_requests: 30 }");
    let gateway = Gateway::start(&own.yaml());
    let before = own.yaml();
    let of_share = accounts().filter(|account| is_in_share(account) && lookup(&gateway, account) == 200).count();
    // A first look at the counts, which is due once a second.
    std::thread::sleep(Duration::from_millis(1500));
    Staged { token_header: "x-other-token", ..own }.load(&gateway);
    assert_eq!(stage(&gateway)["share"]["before"]["requests"], of_share, "what came before is known");
    let begun = Instant::now();
    until("it goes back", || {
        for account in accounts() {
            let _ = lookup(&gateway, &account);
        }
        stage(&gateway)["state"] == "ended"
    });
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(stage(&gateway)["outcome"], "refusals", "{}", gateway.output());
    assert!(accounts().all(|account| lookup(&gateway, &account) == 200));
    gateway.wait_for_output("has gone back, since refusals have risen beyond their bound");
    assert_eq!(gateway.metric::<u64>("tollgate_stage_ended_total{outcome=\"refusals\"}"), 1);
    // The files say something else than what is in force, until they are mended; they are not loaded again by themselves.
    until("the files are out of force", || gateway.metric::<f64>("tollgate_config_outdated_seconds") > 1.5);
    assert!(accounts().all(|account| lookup(&gateway, &account) == 200));
    let text = std::fs::read_to_string(gateway.config()).unwrap();
    let own_lines = text.lines().filter(|line| line.starts_with("listen:") || line.starts_with("admin:"));
    let own_lines = own_lines.fold(String::new(), |lines, line| lines + line + "\n");
    std::fs::write(gateway.config(), before + &own_lines).unwrap();
    until("the files are in force", || gateway.metric::<f64>("tollgate_config_outdated_seconds") == 0.0);
    assert!(accounts().all(|account| lookup(&gateway, &account) == 200));
}

#[test]
fn a_configuration_that_changes_nothing_for_the_worse_is_for_all_after_its_time() {
    let backend = Backend::answering_json();
    let own = Staged::new(&backend, "{ share_percent: 50, duration: 10s, min_requests: 5 }");
    let gateway = Gateway::start(&own.yaml());
    for account in accounts() {
        let _ = lookup(&gateway, &account);
    }
    Staged { product: "    deadline: { header: Timeout-Seconds, min: 2s, max: 9s, default: 9s }\n", ..own }
        .load(&gateway);
    let begun = Instant::now();
    while stage(&gateway)["state"] == "staged" {
        accounts().for_each(|account| assert_eq!(lookup(&gateway, &account), 200));
        assert!(begun.elapsed() < Duration::from_secs(30), "it is staged for ever");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(stage(&gateway)["outcome"], "promoted");
    assert!(begun.elapsed() >= Duration::from_secs(9), "after {:?}", begun.elapsed());
}

#[test]
fn what_was_used_stays_used_through_a_stage() {
    let backend = Backend::answering_json();
    let own = Staged {
        rate: "{ limit: 4/h, burst: 4 }",
        ..Staged::new(&backend, "{ share_percent: 50, duration: 1h, min_requests: 100000 }")
    };
    let gateway = Gateway::start(&own.yaml());
    let share = accounts().find(|account| is_in_share(account)).unwrap();
    let other = accounts().find(|account| !is_in_share(account)).unwrap();
    let both = |gateway: &Gateway| [lookup(gateway, &share), lookup(gateway, &other)];
    assert_eq!(both(&gateway), [200, 200]);
    // With another product all accounts are compiled anew.
    let more = "  vat:\n    upstream: lookup\n    routes: [POST /vat]\n    token_headers: [Auth-Token]\n    body: { max: 16KiB }\n";
    Staged { products: more, ..own }.load(&gateway);
    assert_eq!(stage(&gateway)["state"], "staged");
    assert_eq!(both(&gateway), [200, 200]);
    let (done, told) = command(&gateway, "back");
    assert!(done, "{told}");
    assert_eq!(both(&gateway), [200, 200]);
    assert_eq!(gateway.ask_admin("POST", "/reload", &[], "").0, 200);
    assert_eq!(stage(&gateway)["state"], "staged", "what has gone back is staged again when it is asked for");
    assert_eq!(both(&gateway), [200, 200]);
    assert_eq!(both(&gateway), [429, 429]);
    assert!(command(&gateway, "promote").0);
    assert_eq!(both(&gateway), [429, 429]);
}
