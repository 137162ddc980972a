//! What the files in `config/` state, compared with the keys that there are and with the defaults that
//! the compiler really has.

use std::fmt::Write as _;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::tests::{CONFIGURATION, directory, parsed};
use super::*;
use crate::policy::account::Expiry;
use crate::policy::check::header::ValueShape;
use crate::policy::format::kind::Formats;
use crate::policy::http::media::MediaType;
use crate::policy::idempotency::AnswerLimits;
use crate::upstream::settings::{BreakerRule, ConcurrencyLimit, Probe};

/// A text on the way to the reader: the keys of a type, told by itself.
fn keys_of<T: DeserializeOwned>() -> Vec<String> {
    let mut mistakes = Mistakes::default();
    yaml::read::<T>("f", "zzzzzzzzzzzz: 1", &mut mistakes);
    let text = mistakes.to_string();
    let (_, keys) = text.trim_end().split_once("the keys are ").unwrap();
    keys.split(", ").map(str::to_owned).collect()
}

/// `gateway.yaml` with the examples that need files of the operator's own as well.
pub(super) fn with_all_examples() -> String {
    let mut within = false;
    let mut text = String::new();
    for line in CONFIGURATION.lines() {
        within = ["# listeners:", "# jwt:", "# store:", "# api:", "# portal:", "# billing:", "# alerts:"]
            .contains(&line)
            || (within && !line.is_empty());
        let example = match line.strip_prefix("# ") {
            Some(example) if within => example.to_owned(),
            Some(_) | None => line
                .replace("    # tls: {", "    tls: {")
                .replace("    # jwt: [", "    jwt: [")
                .replace("    # idempotency: {", "    idempotency: {")
                .replace("  # otlp: {", "  otlp: {"),
        };
        let _ = writeln!(text, "{example}");
    }
    text
}

/// The store's other example, which stands as a comment within the first.
fn database() -> Value {
    let lines = CONFIGURATION.lines().filter_map(|line| line.strip_prefix("#   # "));
    let example = lines.skip_while(|line| *line != "postgres:").take_while(|line| !line.starts_with("Where"));
    let text: String = example.map(|line| line.to_owned() + "\n").collect();
    yaml::read("gateway.yaml", &text, &mut Mistakes::default()).unwrap().0
}

/// The example of a cluster, which needs the store's other example.
fn cluster() -> Value {
    let lines = CONFIGURATION.lines().skip_while(|line| *line != "# cluster:");
    let example = lines.map_while(|line| line.strip_prefix("# "));
    let text: String = example.map(|line| line.to_owned() + "\n").collect();
    yaml::read("gateway.yaml", &text, &mut Mistakes::default()).unwrap().0
}

/// What each kind of mapping is called, all of it that a file has, and the keys that it can have.
fn mappings(file: &Value) -> Vec<(&'static str, Vec<Value>, Vec<String>)> {
    let all = |value: &Value, key: &str| value[key].as_object().unwrap().values().cloned().collect::<Vec<_>>();
    let lists = |values: &[Value], key: &str| -> Vec<Value> {
        let lists = values.iter().filter_map(|value| value[key].as_array());
        lists.flatten().cloned().collect()
    };
    let below = |values: &[Value], key: &str| values.iter().map(|value| value[key].clone()).collect::<Vec<_>>();
    let listeners = lists(std::slice::from_ref(file), "listeners");
    let listener_tls = below(&listeners, "tls");
    let pages = vec![file["pages"].clone()];
    let upstreams = all(file, "upstreams");
    let products = all(file, "products");
    let bodies = below(&products, "body");
    let routes: Vec<Value> = lists(&products, "routes").into_iter().filter(Value::is_object).collect();
    let accounts = all(file, "accounts");
    let credits = [below(&products, "credits"), below(&routes, "credits")].concat();
    let price_lines: Vec<Value> = [lists(&credits, "hold"), lists(&credits, "price")].concat();
    let mut mappings = vec![
        ("the root", vec![file.clone(), cluster()], keys_of::<file::File>()),
        ("a cluster", vec![cluster()["cluster"].clone()], keys_of::<super::cluster::written::Cluster>()),
        ("a listener", listeners.clone(), keys_of::<listeners::written::Listener>()),
        ("a listener's TLS", listener_tls.clone(), keys_of::<tls::written::ListenerTls>()),
        ("a certificate", lists(&listener_tls, "certificates"), keys_of::<tls::written::CertificatePair>()),
        ("a PROXY protocol", below(&listeners, "proxy_protocol"), keys_of::<listeners::written::ProxyProtocol>()),
        ("pages", pages.clone(), keys_of::<pages::written::Pages>()),
        ("colours", below(&pages, "colours"), keys_of::<pages::written::Colours>()),
        ("a palette", vec![file["pages"]["colours"]["light"].clone()], keys_of::<pages::written::Palette>()),
        ("support", below(&pages, "support"), keys_of::<pages::written::Support>()),
        ("an extra page", lists(&pages, "extra"), keys_of::<pages::written::ExtraPage>()),
        ("limits", vec![file["limits"].clone()], keys_of::<limits::written::Limits>()),
        ("an upstream", upstreams.clone(), keys_of::<upstreams::written::Upstream>()),
        ("an upstream's TLS", below(&upstreams, "tls"), keys_of::<tls::written::UpstreamTls>()),
        ("a server", lists(&upstreams, "servers"), keys_of::<upstreams::written::Server>()),
        ("a health check", below(&upstreams, "health_check"), keys_of::<failures::written::HealthCheck>()),
        ("an ejection", below(&upstreams, "ejection"), keys_of::<failures::written::Ejection>()),
        ("a breaker", below(&upstreams, "breaker"), keys_of::<failures::written::Breaker>()),
        (
            "a limit of requests",
            below(&upstreams, "concurrency_limit"),
            keys_of::<super::concurrency_limit::written::ConcurrencyLimit>(),
        ),
        ("a product", products.clone(), keys_of::<products::written::Product>()),
        ("a route", routes.clone(), keys_of::<routes::written::Route>()),
        (
            "a parameter",
            [all(&routes[0], "parameters"), all(&routes[0], "query")].concat(),
            keys_of::<parameters::written::Parameter>(),
        ),
        ("an answer", all(&products[1], "answers"), keys_of::<answers::written::Answer>()),
        ("headers of the caller", below(&products, "caller_headers"), keys_of::<products::written::CallerHeaders>()),
        ("an identity provider", all(file, "jwt"), keys_of::<jwt::written::Issuer>()),
        ("its keys", below(&all(file, "jwt"), "jwks"), keys_of::<jwt::written::Jwks>()),
        ("a deadline", below(&products, "deadline"), keys_of::<deadline::written::Deadline>()),
        ("idempotency", below(&products, "idempotency"), keys_of::<idempotency::written::Idempotency>()),
        ("a header", all(&products[0], "headers"), keys_of::<headers::written::HeaderRule>()),
        ("a body", bodies.clone(), keys_of::<bodies::written::Body>()),
        ("a body's problem", lists(&bodies, "problems"), keys_of::<bodies::written::BodyProblem>()),
        ("a problem", all(file, "problems"), keys_of::<problems::written::Problem>()),
        ("an account", accounts.clone(), keys_of::<account::written::Account>()),
        ("a rate", below(&accounts, "rate"), keys_of::<rates::written::Rate>()),
        ("a plan", all(file, "plans"), keys_of::<plans::written::Plan>()),
        ("a quota", below(&all(file, "plans"), "quota"), keys_of::<plans::written::Quota>()),
        (
            "networks with a mode",
            below(&lists(&accounts, "tokens"), "networks"),
            keys_of::<crate::config::lists::written::NetworkList>(),
        ),
        (
            "domains with a mode",
            below(&lists(&accounts, "tokens"), "domains"),
            keys_of::<crate::config::lists::written::DomainList>(),
        ),
        ("a product's credits", credits.clone(), keys_of::<credits::written::Credits>()),
        ("a price line", price_lines.clone(), keys_of::<credits::written::PriceLine>()),
        ("a quantity", below(&price_lines, "add"), keys_of::<credits::written::Quantity>()),
        ("the ledger", vec![file["ledger"].clone()], keys_of::<ledger::written::Ledger>()),
        ("the store", vec![file["store"].clone(), database()], keys_of::<store::written::Store>()),
        ("its database", vec![database()["postgres"].clone()], keys_of::<super::postgres::written::Postgres>()),
        ("what the store keeps", vec![file["store"]["keep"].clone()], keys_of::<store::written::Keep>()),
        ("the API", vec![file["api"].clone()], keys_of::<api::written::Api>()),
        ("the portal", vec![file["portal"].clone()], keys_of::<portal::written::Portal>()),
        ("signing in", vec![file["portal"]["sign_in"].clone()], keys_of::<sign_in::written::SignIn>()),
        ("a provider", vec![file["portal"]["sign_in"]["oidc"].clone()], keys_of::<sign_in::written::Oidc>()),
        ("a proxy", vec![file["portal"]["sign_in"]["proxy"].clone()], keys_of::<sign_in::written::Proxy>()),
        ("the portal's TLS", vec![file["portal"]["tls"].clone()], keys_of::<tls::written::ListenerTls>()),
        ("the API's TLS", vec![file["api"]["tls"].clone()], keys_of::<tls::written::ListenerTls>()),
        ("a token", lists(&accounts, "tokens"), keys_of::<account::written::Token>()),
    ];
    mappings.extend(mappings_of_what_is_seen(file));
    mappings
}

/// Those of the topics that look at requests: metrics, access log, tracing and status.
fn mappings_of_what_is_seen(file: &Value) -> Vec<(&'static str, Vec<Value>, Vec<String>)> {
    let status = |key: &str| file["status"][key].as_array().cloned().unwrap_or_default();
    let tests = file["tests"].as_array().cloned().unwrap_or_default();
    let of_tests = |key: &str| tests.iter().map(|test| test[key].clone()).collect::<Vec<_>>();
    vec![
        ("a test", tests.clone(), keys_of::<cases::written::Test>()),
        ("its request", of_tests("request"), keys_of::<cases::written::Request>()),
        ("its answer", of_tests("answer"), keys_of::<cases::written::MadeUpAnswer>()),
        ("what it expects", of_tests("expect"), keys_of::<cases::written::Expect>()),
        ("billing", vec![file["billing"].clone()], keys_of::<billing::written::Billing>()),
        ("alerts", vec![file["alerts"].clone()], keys_of::<alerts::written::Alerts>()),
        ("their webhook", vec![file["alerts"]["webhook"].clone()], keys_of::<alerts::written::Webhook>()),
        ("their mail", vec![file["alerts"]["mail"].clone()], keys_of::<alerts::written::Mail>()),
        ("metrics", vec![file["metrics"].clone()], keys_of::<telemetry::written::Metrics>()),
        ("the access log", vec![file["access_log"].clone()], keys_of::<telemetry::written::AccessLog>()),
        ("its sample", vec![file["access_log"]["sample"].clone()], keys_of::<telemetry::written::LogSample>()),
        ("the journal", vec![file["journal"].clone()], keys_of::<super::journal::written::Journal>()),
        ("a staged reload", vec![file["staged_reload"].clone()], keys_of::<super::staging::written::StagedReload>()),
        ("tracing", vec![file["tracing"].clone()], keys_of::<telemetry::written::Tracing>()),
        ("OTLP", vec![file["tracing"]["otlp"].clone()], keys_of::<collector::written::Otlp>()),
        ("the status", vec![file["status"].clone()], keys_of::<status::written::Status>()),
        ("a burn rate", status("burn_rates"), keys_of::<status::written::BurnRate>()),
        ("a note", status("notes"), keys_of::<status::written::StatusNote>()),
        ("maintenance", status("maintenance"), keys_of::<status::written::StatusMaintenance>()),
    ]
}

#[test]
fn gateway_yaml_has_every_key() {
    let mut mistakes = Mistakes::default();
    let (file, _) = yaml::read::<Value>("gateway.yaml", &with_all_examples(), &mut mistakes).unwrap();
    // Conditions stand within each other, so that their keys are looked for in what explains them.
    for key in keys_of::<credits::written::Condition>() {
        assert!(
            CONFIGURATION.contains(&format!("    #     {key}")) || CONFIGURATION.contains(&format!(" {key} ")),
            "{key}"
        );
    }
    for (what, mappings, keys) in mappings(&file) {
        for key in keys {
            assert!(mappings.iter().any(|mapping| mapping.get(&key).is_some()), "{what} has no `{key}`");
        }
    }
    // A line of JSON Lines is an account with its name, and an included file has accounts alone.
    let mut of_line = keys_of::<account::written::Account>();
    of_line.insert(0, "name".to_owned());
    assert_eq!(keys_of::<account::written::AccountLine>(), of_line);
    assert_eq!(keys_of::<accounts::written::AccountsFile>(), ["accounts"]);
}

#[test]
fn gateway_yaml_has_every_word() {
    for (word, list) in [
        ("all", "serves"),
        ("lookups", "serves"),
        ("pages", "serves"),
        ("required", "client_certificate"),
        ("optional", "client_certificate"),
        ("unmetered", "credits"),
        ("each", "durability"),
        ("batch", "durability"),
        ("enforce", "mode"),
        ("watch", "mode"),
        ("allow", "absent"),
        ("deny", "absent"),
        ("missing", "when"),
        ("any", "when"),
    ] {
        assert!(CONFIGURATION.contains(word), "{list}: {word}");
    }
}

#[test]
fn the_files_of_the_directory_are_good() {
    for name in ["gateway.yaml", "demo.yaml"] {
        let config = load(&directory().join(name)).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        assert!(config.summary(name).starts_with(&format!("{name}: good\n")));
    }
}

/// Products of three kinds, and nothing that need not be written.
const MINIMAL: &str = "public_url: https://a.example\n\
     upstreams: { u: { servers: [127.0.0.1:9001, 127.0.0.1:9002] } }\n\
     products:\n  p:\n    upstream: u\n    routes: [POST /p]\n    token_headers: [T]\n\
     \x20   headers: { A: { pattern: a, problem: own }, B: { one_of: [b], problem: own } }\n\
     \x20   body: { schema: { properties: { m: true } }, problems: [{ at: /m, problem: own }] }\n\
     \x20 q: { upstream: u, routes: [POST /q], token_headers: [T], body: {} }\n\
     \x20 r: { upstream: u, routes: [POST /r], token_headers: [T] }\n\
     problems: { own: { status: 400, detail: d } }\n\
     accounts:\n  a:\n    rate: { limit: 7/s }\n\
     \x20   tokens: [{ name: t, hash: \"sha256:0000000000000000000000000000000000000000000000000000000000000001\", products: [p] }]\n";

fn minimal() -> Config {
    parsed(MINIMAL).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// `gateway.yaml` must say this.
fn states(phrase: &str) {
    assert!(CONFIGURATION.contains(phrase), "gateway.yaml does not say {phrase:?}");
}

#[test]
fn the_defaults_of_listeners_are_stated() {
    let config = minimal();
    let [listener] = &*config.listeners.0 else { panic!("one listener") };
    assert_eq!(*listener, crate::downstream::listener::Listener::plain("127.0.0.1:8080".parse().unwrap()));
    states("an address and a port. Default: 127.0.0.1:8080");
    states(&format!("of accounts. Default: {}.", config.admin));
    states("well (clients must know beforehand). Default: false.");
    states("Default: one per core.");
    assert_eq!(config.workers, std::thread::available_parallelism().unwrap().get());
    states("address that other machines can reach. Default: false.");
    states("The base URL of links to problem pages. No default.");
}

#[test]
fn the_defaults_of_pages_and_proxies_are_stated() {
    let config = minimal();
    let policy = &config.policy;
    let site = &config.settings.site;
    assert!(policy.pages.find("/problems").is_some());
    states("  # Default: true.\n  serve: true");
    states(&format!("# The name of the service. Default: {}.", site.name));
    for (scheme, palette) in [("light", site.light), ("dark", site.dark)] {
        let crate::site::colour::Palette { text, background, accent } = palette;
        states(&format!("{scheme}: {{ text: \"{text}\", background: \"{background}\", accent: \"{accent}\" }}"));
    }
    assert!(site.logo.is_none() && site.support.email.is_none() && site.menu.len() == 4);
    assert_eq!((&*site.public_url, &*site.api_url), ("https://a.example", "https://a.example"));
    states("# Default: none.\ntrusted_proxies:");
    for address in ["127.0.0.1", "10.0.0.1", "::1"] {
        assert!(!policy.trusted_proxies.contains(address.parse().unwrap()), "{address}");
    }
}

#[test]
fn the_defaults_of_limits_are_stated() {
    let config = minimal();
    let policy = &config.policy;
    states("The values here are the defaults.");
    let as_stated = parsed(CONFIGURATION).unwrap().policy.limits;
    assert_eq!(format!("{:?}", policy.limits), format!("{as_stated:?}"));
}

#[test]
fn the_defaults_of_upstreams_are_stated() {
    let config = minimal();
    let upstream = &config.settings.upstreams[0];
    states("Default: the first server.");
    assert_eq!(&*upstream.host, "127.0.0.1:9001");
    states(&format!("connecting to a server. Default: {}s.", upstream.connect_timeout.as_secs()));
    states(&format!("below the backend's own. Default: {}s.", upstream.idle_timeout.as_secs()));
    let server = &upstream.servers[0];
    states(&format!("from 1 to 100 (default {})", server.weight));
    states("that it may have at a time (default: any number)");
    assert_eq!(server.max_requests, None);
    states(&format!("addresses stay.\n    # Default: {}s.", upstream.resolve_every.as_secs()));
    states(&format!("only that account is shut out.\n    # Default: {}s.", upstream.slow_after.as_secs()));
    states("never shown. Default: none.");
    assert!(upstream.added.lines().is_empty());
    states("Without this key there are no checks.");
    assert!(upstream.health.is_none());
    let ejection = upstream.ejection;
    states(&format!("Default: {{ failures: {}, time: {}s }}.", ejection.failures, ejection.time.as_secs()));
    states("this key it never opens.");
    assert_eq!(upstream.breaker, BreakerRule::NEVER);
    states("Without this key there is no limit.");
    assert_eq!(upstream.concurrency_limit, None);
}

#[test]
fn the_defaults_of_a_limit_of_requests_are_stated() {
    let limited = MINIMAL.replace("9002] }", "9002], concurrency_limit: {} }");
    let limited = parsed(&limited).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let ConcurrencyLimit { min, max, initial, tolerance_percent, max_queue, max_wait } =
        limited.settings.upstreams[0].concurrency_limit.unwrap();
    states(&format!(
        "Defaults: min {min}, max\n    # {max}, initial {initial}, tolerance_percent {tolerance_percent}, max_queue {max_queue}, max_wait {max_wait:?}."
    ));
}

#[test]
fn the_defaults_of_health_checks_and_breakers_are_stated() {
    let watched = "9002], health_check: { path: /h }, breaker: {} }";
    let watched = parsed(&MINIMAL.replace("9002] }", watched)).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let health = watched.settings.upstreams[0].health.clone().unwrap();
    states(&format!(
        "Defaults: status 200, tcp false, interval {}s, timeout {}s, and\n    # {} failures or {} successes",
        health.interval.as_secs(),
        health.timeout.as_secs(),
        health.failures,
        health.successes
    ));
    assert_eq!(health.probe, Probe::Get { path: "/h".into(), status: 200 });
    let BreakerRule { failures, error_percent, window, min_requests, open_for } = watched.settings.upstreams[0].breaker;
    states(&format!(
        "Defaults: failures {failures}, error_percent {error_percent}, window {window:?}, min_requests {min_requests},\n    # open_for {open_for:?}."
    ));
}

#[test]
fn the_defaults_of_media_types_and_deadlines_are_stated() {
    let config = minimal();
    let policy = &config.policy;
    let [p, ..] = &*policy.products else { panic!("three products") };
    let names = |types: &[MediaType]| types.iter().map(|kind| kind.name().to_owned()).collect::<Vec<_>>();
    states("and that a body may have. Default: application/json.");
    states("Default: [json].");
    assert_eq!(p.media.formats, Formats::default());
    assert_eq!(
        (names(&p.media.served), names(&p.media.taken)),
        (vec!["application/json".to_owned()], vec!["application/json".to_owned()])
    );

    assert!(p.deadline.header.is_none());
    assert_eq!(p.deadline.default.as_secs(), 15);
    let named = parsed(&MINIMAL.replace("routes: [POST /r]", "routes: [POST /r], deadline: { header: D }")).unwrap();
    let named = &named.policy.products[2].deadline;
    states("Whole seconds;\n    # defaults: no header, ");
    states(&format!(
        "no header, min {}s, max {}s, default {}s.",
        named.min_seconds,
        named.max_seconds,
        named.default.as_secs()
    ));
}

#[test]
fn the_defaults_of_idempotency_are_stated() {
    states("Without this key each request is a lookup of its own.");
    assert!(minimal().policy.products.iter().all(|product| product.idempotency.is_none()));
    let with = parsed(&MINIMAL.replace("routes: [POST /r]", "routes: [POST /r], idempotency: {}")).unwrap();
    let rule = with.policy.products[2].idempotency.as_ref().unwrap();
    let AnswerLimits { answers, bytes, answer_bytes } = rule.limits;
    states(&format!(
        "idempotency: {{ header: {}, keep: {}h, answers: {answers}, bytes: {}, answer_bytes: {} }}",
        rule.header,
        rule.keep.as_secs() / 3600,
        units::Bytes(bytes),
        units::Bytes(answer_bytes)
    ));
    assert!(!rule.is_ruled);
}

#[test]
fn the_defaults_of_headers_and_bodies_are_stated() {
    let config = minimal();
    let policy = &config.policy;
    let [p, q, r] = &*policy.products else { panic!("three products") };
    let (ValueShape::Pattern { max_bytes, .. }, ValueShape::OneOf { ignore_case, .. }) =
        (&p.headers[0].shape, &p.headers[1].shape)
    else {
        panic!("a pattern and a list");
    };
    states(&format!("its length in bytes (default {max_bytes})"));
    states("in any case of letters (default false)");
    states("when it is absent (default false)");
    assert!(!ignore_case && !p.headers[0].echo && !p.headers[1].echo);

    states("Without this key requests have no body.");
    assert!(r.routes[0].body.is_none());
    let body = q.routes[0].body.as_ref().unwrap();
    states(&format!("# Bytes. Default: {}.", units::Bytes(body.max_bytes)));
    states("Default: any JSON.");
    assert!(body.schema.is_none() && body.judge(b"[0]").is_ok());
    states("does not name. Default: false, they are ignored.");
    assert!(p.routes[0].body.as_ref().unwrap().judge(br#"{"n":1}"#).is_ok());
    states("# (default: any)");
    assert!(
        matches!(p.routes[0].body.as_ref().unwrap().schema.as_ref().unwrap(), schema if format!("{schema:?}").contains("when: Any"))
    );
    states(&format!("answer to a preflight. Default: {}m.", p.preflight.max_age_seconds / 60));
    states("standard reason phrase as the title. Default: that phrase.");
}

#[test]
fn the_defaults_of_telemetry_are_stated() {
    let config = minimal();
    let sampling = &config.settings.sampling;
    states("Count requests by account, and by token, as well. Default: false.");
    assert!(!sampling.by_account && !sampling.by_token);
    states(&format!("all further ones are `other`. Default: {}.", sampling.max_series));
    states("One line of JSON for each request. Without this key there is none.");
    states("cannot fill the disk. Default: 1 for each.");
    states("Default: a random key with each start.");
    states("both are forwarded unchanged. Default: true.");
    states("that have spans (default 1)");
    states("Spans for a collector of OpenTelemetry (default: none)");
    assert!(sampling.traceparent && sampling.ok_lines.get() == 1.0 && sampling.spans.get() == 1.0);
    assert_eq!(config.outlets, crate::telemetry::Outlets::default());
    let traced = "tracing: { otlp: { endpoint: \"http://127.0.0.1:4318\" } }\naccounts:\n";
    let traced = parsed(&MINIMAL.replace("accounts:\n", traced)).unwrap().outlets.otlp.unwrap();
    states(&format!("of this gateway (default {};", traced.service_name));
    states(&format!("the time limit for a request (default {}s;", traced.timeout.as_secs()));
}

#[test]
fn the_defaults_of_accounts_are_stated() {
    let config = minimal();
    let policy = &config.policy;
    states("`burst`\n    # at once (default: the limit)");
    let state = policy
        .accounts
        .at(0)
        .unwrap()
        .rate
        .state(crate::policy::now::Now { monotonic: std::time::Duration::ZERO, unix_seconds: 0, unix_nanos: 0 })
        .unwrap();
    assert_eq!(state.allowance.burst.get(), 7);
    let token = &policy.accounts.keys().next().unwrap().token;
    states("disables it (default false)");
    assert!(token.enabled);
    states("its last day, in UTC (default: never)");
    assert_eq!(token.expiry, Expiry::Never);
    states("where requests may come from (default: anywhere)");
    assert!(matches!(token.networks, crate::policy::check::network::Networks::Any));
    states("*.host is any subdomain (default: any)");
    assert!(matches!(token.domains, crate::policy::check::domain::Domains::Any));
    states("without Origin and Referer (default deny)");
    let with_domains = parsed(&MINIMAL.replace("products: [p]", "products: [p], domains: [a.example]")).unwrap();
    let domains = &with_domains.policy.accounts.keys().next().unwrap().token.domains;
    let mut watched = crate::policy::check::watch::Watched::default();
    assert!(domains.allow(&crate::policy::http::head::Lines::UNREADABLE, &mut watched).is_err());
}

#[test]
fn accounts_have_the_weight_of_their_plan_or_their_own_or_one() {
    let config = parsed(CONFIGURATION).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    for (account, weight) in [("acme", 1), ("in-house", 1), ("hooli", 5), ("pied-piper", 2)] {
        assert_eq!(config.policy.accounts.by_name(account).unwrap().weight().get(), weight, "{account}");
    }
}
