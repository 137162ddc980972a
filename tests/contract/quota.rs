//! Quotas of the day and the month (contract, section 7).

use super::{gateway_with, number_of, unix_seconds};
use crate::support::{Backend, Gateway, PATIENCE, Request, Response, Scratch, VERSIONS, Version, paying, token};

const DAY: u64 = 86_400;

/// Seconds until the next midnight UTC.
fn until_midnight() -> u64 {
    DAY - unix_seconds() % DAY
}

/// The `r` and `t` of a limit in `RateLimit`.
fn told(response: &Response, name: &str) -> (u64, u64) {
    let list = response.header("RateLimit").unwrap_or_else(|| panic!("{response:?}"));
    let item = list.split(", ").find_map(|item| item.strip_prefix(&format!("\"{name}\";r=")));
    let (remaining, reset) = item.unwrap_or_else(|| panic!("{list} has no {name}")).split_once(";t=").unwrap();
    (remaining.parse().unwrap(), reset.parse().unwrap())
}

#[test]
fn a_quota_refuses_until_it_is_renewed() {
    let backend = Backend::answering_json();
    let accounts: Vec<(String, String)> = (0..VERSIONS.len())
        .map(|number| {
            (format!("metered-{number}"), "rate: { limit: 600/min }\n    quota: { day: 3, month: 2000 }".into())
        })
        .collect();
    let gateway = gateway_with(&backend, &accounts);
    for (number, version) in VERSIONS.into_iter().enumerate() {
        let request = || Request::lookup(&format!("metered-{number}"));
        let response = gateway.send(version, &request());
        response.assert_success();
        let policy = response.header("RateLimit-Policy").unwrap();
        let month = policy.strip_prefix(
            "\"account\";q=600;w=60, \"account-quota-day\";q=3;w=86400, \"account-quota-month\";q=2000;w=",
        );
        let month: u64 = month.unwrap_or_else(|| panic!("{policy}")).parse().unwrap();
        assert!((28 * DAY..=31 * DAY).contains(&month) && month.is_multiple_of(DAY), "{policy}");
        let (remaining, reset) = told(&response, "account-quota-day");
        assert_eq!(remaining, 2);
        assert!(reset.abs_diff(until_midnight()) <= 5, "{reset}");
        assert_eq!(told(&response, "account-quota-month").0, 1999);
        // The product's own names tell the rate.
        assert_eq!(
            (number_of(&response, "X-Rate-Limit-Limit"), number_of(&response, "X-Rate-Limit-Remaining")),
            (600, 599)
        );
        // Requests that are refused before the quota is asked do not count, later ones do.
        let response = gateway.send(version, &request().target("/email/validate/v2"));
        response.assert_problem("product-mismatch");
        assert_eq!(told(&response, "account-quota-day").0, 2);
        let response = gateway.send(version, &request().with("Accept", "text/html"));
        response.assert_problem("accept-unsupported");
        assert_eq!(told(&response, "account-quota-day").0, 1);
        gateway.send(version, &request()).assert_success();
        for _ in 0..2 {
            let response = gateway.send(version, &request());
            response.assert_problem("quota-exceeded");
            assert!(number_of(&response, "Retry-After").abs_diff(until_midnight()) <= 5, "{response:?}");
            // Nothing is counted in the month when the day refuses.
            assert_eq!((told(&response, "account-quota-day").0, told(&response, "account-quota-month").0), (0, 1997));
        }
        // What comes before it comes before it still.
        gateway.send(version, &request().target("/email/validate/v2")).assert_problem("product-mismatch");
    }
}

/// The rate comes before the quota, and both before everything that is looked at behind them.
#[test]
fn rows_come_in_the_order_of_the_table() {
    let backend = Backend::answering_json();
    let account = |terms: &str| (format!("order-{}", terms.len()), terms.to_owned());
    let [both, quota] = [
        account("rate: { limit: 1/d }\n    quota: { month: 1 }"),
        account("rate: { unlimited: true }\n    quota: { month: 1 }"),
    ];
    let gateway = gateway_with(&backend, &[both.clone(), quota.clone()]);
    for (name, slug) in [(&both.0, "rate-exceeded"), (&quota.0, "quota-exceeded")] {
        gateway.send(Version::Http1, &Request::lookup(name)).assert_success();
        for request in
            [Request::lookup(name), Request::lookup(name).with("Accept", "text/html"), Request::lookup(name).body("{")]
        {
            gateway.send(Version::Http2, &request).assert_problem(slug);
        }
    }
    // Without a rate there are no headers of one.
    let response = gateway.send(Version::Http1, &Request::lookup(&quota.0));
    assert_eq!((response.header("X-Rate-Limit-Limit"), told(&response, "account-quota-month").0), (None, 0));
}

/// A token and a product have quotas beside that of the account.
#[test]
fn tokens_and_products_have_quotas_of_their_own() {
    let backend = Backend::answering_json();
    let yaml = super::yaml_with(
        &backend,
        &[("owner".to_owned(), "rate: { unlimited: true }\n    quota: { day: 5 }".to_owned())],
    );
    let second = format!(
        "      - {{ name: second, hash: \"{}\", products: [phone], quota: {{ day: 1 }} }}\n",
        tollgate::policy::account::Digest::of(token("owner-second").as_bytes()).text()
    );
    let yaml =
        yaml.replace("\n  down:\n    upstream: down\n", "\n  down:\n    upstream: down\n    quota: { day: 1 }\n");
    let gateway = Gateway::start(&(yaml + &second));
    let send = |request: Request| gateway.send(Version::Http1, &request);
    // The token's is used up, and the account's goes on.
    send(Request::lookup("owner-second")).assert_success();
    let refused = send(Request::lookup("owner-second"));
    refused.assert_problem("quota-exceeded");
    assert_eq!((told(&refused, "account-quota-day").0, told(&refused, "token-quota-day").0), (4, 0));
    send(Request::lookup("owner")).assert_success();
    // So is the product's.
    let down = || Request::lookup("owner").target("/phone/down");
    send(down()).assert_problem("upstream-unavailable");
    let refused = send(down());
    refused.assert_problem("quota-exceeded");
    assert_eq!((told(&refused, "account-quota-day").0, told(&refused, "product-quota-day").0), (2, 0));
    let response = send(Request::lookup("owner"));
    response.assert_success();
    assert!(!response.header("RateLimit").unwrap().contains("product"), "{response:?}");
    // All of it is told.
    let question = Request::new("GET", "/account/credits").with("Auth-Token", &token("owner-second"));
    let told = send(question).json();
    let limits: Vec<_> = told["limits"].as_array().unwrap().iter().map(|limit| limit.to_string()).collect();
    for (name, expected) in [
        ("account-quota-day", "\"limit\":5"),
        ("product-quota-day", "\"product\":\"down\""),
        ("token-quota-day", "\"remaining\":0"),
    ] {
        let limit = limits.iter().find(|limit| limit.contains(name)).unwrap_or_else(|| panic!("{limits:?}"));
        assert!(limit.contains(expected) && limit.contains("\"renewed\":\"day\""), "{limit}");
    }
    assert_eq!(told["rate"], serde_json::Value::Null);
    // It is what the OpenAPI document says.
    let document = send(Request::new("GET", "/docs/openapi.json")).json();
    let schema = document.pointer("/paths/~1account~1credits/get/responses/200/content/application~1json/schema");
    let validator = jsonschema::draft202012::new(schema.unwrap()).unwrap();
    assert!(validator.is_valid(&told), "{told}");
    assert!(!validator.is_valid(&serde_json::json!({ "credits": [], "rate": null })), "limits are always told");
}

/// Whatever is done to the process, a quota is used up once.
#[test]
fn what_was_used_of_a_quota_stays_used() {
    let backend = Backend::answering_json();
    let ways = [("batch", "reload"), ("each", "restart"), ("batch", "upgrade"), ("batch", "kill"), ("each", "kill")];
    for (durability, way) in ways {
        let scratch = Scratch::new();
        let yaml = paying(backend.address(), &scratch.ledger(durability), &[("acme", "500")]);
        let with = |quota: &str| {
            yaml.replace("rate: { unlimited: true }", &format!("rate: {{ unlimited: true }}\n    quota: {quota}"))
        };
        let mut gateway = Gateway::start(&with("{ month: 9 }"));
        for _ in 0..7 {
            gateway.send(Version::Http1, &Request::lookup("acme")).assert_success();
        }
        let changed = with("{ month: 9, day: 100 }");
        let what = format!("{durability}, {way}");
        let rewritten = || {
            let text = std::fs::read_to_string(gateway.config()).unwrap();
            text.replace("quota: { month: 9 }", "quota: { month: 9, day: 100 }")
        };
        match way {
            "reload" => {
                std::fs::write(gateway.config(), rewritten()).unwrap();
                assert_eq!(gateway.ask_admin("POST", "/reload", &[], "").0, 200, "{what}");
            }
            "upgrade" => {
                std::fs::write(gateway.config(), rewritten()).unwrap();
                assert_eq!(gateway.upgrade().0, 200, "{what}");
                let question = Request::new("GET", "/account/credits").with("Auth-Token", &token("acme"));
                gateway.send(Version::Http1, &question).assert_success();
            }
            "restart" => {
                gateway.terminate();
                assert!(gateway.wait_for_end(PATIENCE).is_some());
                gateway = Gateway::start(&changed);
            }
            _ => {
                // With `each` it is on the disk before the answer; with `batch` 50 ms later.
                if durability == "batch" {
                    std::thread::sleep(std::time::Duration::from_millis(500));
                }
                gateway.kill();
                gateway = Gateway::start(&changed);
            }
        }
        println!("{what}");
        for remaining in [1, 0] {
            let response = gateway.send(Version::Http1, &Request::lookup("acme"));
            response.assert_success();
            assert_eq!(told(&response, "account-quota-month").0, remaining, "{what}");
        }
        gateway.send(Version::Http1, &Request::lookup("acme")).assert_problem("quota-exceeded");
    }
}
