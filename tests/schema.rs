//! The JSON Schema of the configuration: every key has a description, every file of `config/` is valid, and it refuses
//! only what `tollgate check` refuses.

use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::Value;
use tollgate::config::schema::{self, Kind};
use tollgate::config::units::{
    AllowedHeader, Bytes, FromText, HeaderName, Mode, PerPeriod, PublicUrl, RouteText, WebLink,
};
use tollgate::config::yaml::{self, Mistakes};
use tollgate::config::{self, Source};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

fn validator(kind: Kind) -> Validator {
    jsonschema::draft7::new(schema::of(kind).as_value()).unwrap()
}

/// A text as an editor's YAML parser sees it.
fn value(text: &str) -> Value {
    let mut mistakes = Mistakes::default();
    let read = yaml::read::<Value>("f", text, &mut mistakes);
    assert!(mistakes.is_empty(), "{mistakes}");
    read.unwrap().0
}

fn assert_valid(validator: &Validator, value: &Value, name: &str) {
    let errors: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{name}: {errors:#?}");
}

#[test]
fn every_key_of_every_mapping_has_words() {
    fn walk(schema: &Value, path: &str, keys: &mut usize) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            for (key, property) in properties {
                let words = property["description"].as_str().unwrap_or_default();
                assert!(words.len() > 10 && words.ends_with('.'), "{path}.{key} has no sentence: {words:?}");
                *keys += 1;
            }
        }
        match schema {
            Value::Object(members) => {
                members.iter().for_each(|(name, member)| walk(member, &format!("{path}.{name}"), keys));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, path, keys)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    for kind in [Kind::Config, Kind::Accounts, Kind::AccountLine] {
        let schema = schema::of(kind).to_value();
        assert!(jsonschema::meta::is_valid(&schema), "{kind:?}");
        let mut keys = 0;
        walk(&schema, "", &mut keys);
        println!("{kind:?} has {keys} keys");
        assert!(keys >= 15, "{kind:?} has {keys} keys");
    }
}

#[test]
fn every_file_of_the_directory_is_valid() {
    let mut files = 0;
    for folder in [directory(), directory().join("accounts.d")] {
        let in_accounts = folder.ends_with("accounts.d");
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let Some(end) = path.extension().and_then(|end| end.to_str()).filter(|_| path.is_file()) else { continue };
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.display().to_string();
            match end {
                "yaml" if in_accounts => assert_valid(&validator(Kind::Accounts), &value(&text), &name),
                "yaml" => assert_valid(&validator(Kind::Config), &value(&text), &name),
                "jsonl" => {
                    for line in text.lines().filter(|line| !line.trim().is_empty()) {
                        assert_valid(&validator(Kind::AccountLine), &value(line), &name);
                    }
                }
                "json" => assert!(jsonschema::meta::is_valid(&value(&text)), "{name}"),
                "md" | "svg" => continue,
                other => panic!("{name}: nothing is known of .{other}"),
            }
            files += 1;
        }
    }
    assert!(files >= 6, "{files} files");
}

/// Edits of `config/gateway.yaml`: what is replaced, which stands once, and by what.
type Edit = (&'static str, &'static str);

/// What both refuse.
const BAD: [Edit; 94] = [
    ("    expect: { problem: upstream-unavailable, price: 0 }", "    expect: {}"),
    (
        "    expect: { problem: upstream-unavailable, price: 0 }",
        "    expect: { problem: upstream-unavailable, price: -1 }",
    ),
    ("    expect: { problem: upstream-unavailable, price: 0 }\n", ""),
    ("    answer: { unreachable: true }", "    answer: { reachable: no }"),
    ("      status: 200\n      headers: { Content", "      status: 100\n      headers: { Content"),
    ("upstream: never }", "upstream: sometimes }"),
    ("      at: 2026-07-01T12:00:00Z", "      at: noon"),
    ("quota: { month: 1000 }", "quota: { month: 0 }"),
    ("quota: { month: 1000 }", "quota: { month: -1 }"),
    ("quota: { month: 1000 }", "quota: { week: 1000 }"),
    ("quota: { month: 1000 }", "quota: {}"),
    ("concurrency: 20", "concurrency: 0"),
    ("rates: [10/s, { limit", "rates: [10 a second, { limit"),
    ("rates: [2/s, 60/min]\n", "rates: []\n"),
    ("    rate: { limit: 10/min, burst: 10 }\n", ""),
    ("networks: { mode: watch,", "networks: { mode: log,"),
    ("networks: { mode: watch, list: [198.51.100.0/24] }", "networks: { mode: watch }"),
    ("\nlisten: 127.0.0.1:8080", "\nlisten: localhost:8080"),
    ("\nlisten: 127.0.0.1:8080", "\nlisten: 8080"),
    ("\nlisten: 127.0.0.1:8080", "\nlisten:"),
    ("\nh2c: false", "\nh2c: \"no\""),
    ("\nworkers: 2", "\nworkers: 0"),
    ("\nworkers: 2", "\nworkers: many"),
    ("\nworkers: 2", "\nworkers: '2'"),
    ("\nworkers: 2", "\nthreads: 2"),
    ("\nworkers: 2", "\nlisteners: []"),
    ("\nworkers: 2", "\nlisteners: [{ h2c: true }]"),
    ("\nworkers: 2", "\nlisteners: [{ address: 127.0.0.1:8443, unix: x }]"),
    ("\nworkers: 2", "\nlisteners: [{ address: 127.0.0.1:8443, tls: {} }]"),
    ("\nworkers: 2", "\nlisteners: [{ address: 127.0.0.1:8443, tls: { certificates: [{ key: k.pem }] } }]"),
    ("\nworkers: 2", "\nlisteners: [{ unix: s, mode: rwx }]"),
    ("\nworkers: 2", "\nlisteners: [{ address: 127.0.0.1:8443, proxy_protocol: { from: [] } }]"),
    ("public_url: https://api.example.com", "public_url: api.example.com"),
    ("public_url: https://api.example.com", ""),
    ("trusted_proxies: [10.0.0.0/8]", "trusted_proxies: []"),
    ("trusted_proxies: [10.0.0.0/8]", "trusted_proxies: [proxy.internal]"),
    ("  header_bytes: 16KiB", "  header_bytes: 16KB"),
    ("  headers: 64", "  headers: 129"),
    ("  head_timeout: 5s", "  head_timeout: 5"),
    ("  head_timeout: 5s", "  head_timeout: 5 seconds"),
    ("  connections: 10000", "  connections: -1"),
    ("  connections: 10000", "  connections: 1.5"),
    ("      - 127.0.0.1:9001\n", "      - 127.0.0.1\n"),
    ("weight: 3,", "weight: 101,"),
    ("weight: 3,", "wieght: 3,"),
    ("{ address: localhost:9002, weight", "{ weight"),
    ("resolve_every: 30s", "resolve_every: often"),
    ("health_check: { path: /healthz, status: 200, tcp: false,", "health_check: {"),
    ("health_check: { path: /healthz,", "health_check: { path: healthz,"),
    ("status: 200, tcp", "status: 99, tcp"),
    ("ejection: { failures: 5,", "ejection: { failures: -5,"),
    ("error_percent: 50,", "error_percent: 101,"),
    ("`upstreams`.\n    upstream: lookup\n", "`upstreams`.\n"),
    ("routes: [POST /phone/validate/v2, POST /phone/validation/v2]", "routes: []"),
    ("routes: [POST /phone/validate/v2, POST /phone/validation/v2]", "routes: [/phone/validate/v2]"),
    ("routes: [POST /phone/validate/v2, POST /phone/validation/v2]", "routes: [post /phone/validate/v2]"),
    ("routes: [POST /phone/validate/v2, POST /phone/validation/v2]", "routes: POST /phone/validate/v2"),
    ("token_headers: [Auth-Token, x-app-key]", "token_headers: [auth_token]"),
    ("token_headers: [Auth-Token, x-app-key]", "token_headers: []"),
    ("    accept: [application/json]\n", "    accept: [json]\n"),
    ("      - route: GET /v1/vat/{number}", "      - route: GET /v1/vat/num-{number}"),
    ("    undeclared_query: pass", "    undeclared_query: keep"),
    ("{ status: 200, price: [{ add: 1 }], failure: false }", "{ status: 200, price: [], failure: false }"),
    ("{ add: { answer: /surcharge, max: 3 } }", "{ add: { answer: /surcharge, count: /numbers, max: 3 } }"),
    ("token_in: [bearer, basic password,", "token_in: [bearer, basic words,"),
    ("answer_headers: [ETag, Cache-Control]", "answer_headers: []"),
    ("min: 2s, max: 15s,", "min: 2, max: 15s,"),
    ("pattern: '[A-Za-z0-9_\\-/:.,() ]+', max: 256, echo: true, problem", "max: 256, problem"),
    ("max: 256, echo: true, problem", "max: 0, echo: true, problem"),
    ("ignore_case: true, problem: add-metadata-invalid", "ignore_case: true"),
    ("one_of: [\"true\", \"false\"]", "one_of: []"),
    ("      schema: phone.schema.json", "      schema: 5"),
    ("      schema: phone.schema.json\n", ""),
    ("at: /number, when: missing", "at: number, when: missing"),
    ("at: /number, when: missing", "at: /number, when: absent"),
    ("        - { at: /cache_value_days, problem: cache-days-unsupported }", "        - { at: /cache_value_days }"),
    (
        "        - { add: 1, if: { request: /get_ported_date, is: true } }",
        "        - { if: { request: /get_ported_date, is: true } }",
    ),
    ("        - { add: 1, if: { request: /get_ported_date, is: true } }", "        - { add: 1, set: 1 }"),
    ("        - { add: 1, if: { request: /get_ported_date, is: true } }", "        - { add: 10001 }"),
    ("if: { request: /get_ported_date, is: true }", "if: { is: true }"),
    ("if: { request: /get_ported_date, is: true }", "if: { request: get_ported_date, is: true }"),
    ("if: { request: /get_ported_date, is: true }", "if: { request: /get_ported_date, answer: /x, is: true }"),
    ("preflight_max_age: 10m", "preflight_max_age: 10min"),
    ("  number-missing:\n    status: 400", "  number-missing:\n    status: 402"),
    ("  durability: batch", "  durability: always"),
    ("  volatile: false", "  volatile: maybe"),
    ("enquiry_rate: { limit: 60/min, burst: 10 }", "enquiry_rate: { limit: 60, burst: 10 }"),
    ("rate: { limit: 150/min, burst: 150 }\n    # For each", "rate: { limit: 0/min, burst: 150 }\n    # For each"),
    ("rate: { limit: 150/min, burst: 150 }\n    # For each", "rate: { burst: 150 }\n    # For each"),
    ("credits: { phone: 1000 }", "credits: { phone: plenty }"),
    ("credits: { phone: 1000 }", "credits: { phone: -1 }"),
    ("expires: 2027-06-30", "expires: June"),
    ("      - name: web\n        hash: \"sha256:ae63", "      - name: web\n        hash: \"ae63"),
    ("absent: deny\n      - name", "absent: forbid\n      - name"),
];

/// What the schema cannot say, and `tollgate check` refuses: what values mean beside each other, what
/// is in other files, and numbers with units.
const BEYOND: [Edit; 28] = [
    // What a name stands for.
    ("    plan: gold\n", "    plan: silver\n"),
    ("    plan: gold\n", "    plan: gold\n    quota: { day: 5 }\n"),
    ("rates: [2/s, 60/min]", "rates: [2/s, 60/s]"),
    ("`upstreams`.\n    upstream: lookup\n", "`upstreams`.\n    upstream: nowhere\n"),
    ("    content_type: [application/json]", "    content_type: [text/html]"),
    ("answer_headers: [ETag, Cache-Control]", "answer_headers: [Set-Cookie]"),
    ("      404: { status: 200, price", "      304: { status: 200, price"),
    ("rewrite: /check/{number}?on={date}", "rewrite: /check/{nobody}?on={date}"),
    ("credits: { phone: 1000 }", "credits: { fax: 1000 }"),
    ("products: [phone]\n        domains", "products: [fax]\n        domains"),
    ("problem: reference-id-invalid", "problem: no-such-problem"),
    ("      schema: phone.schema.json", "      schema: nowhere.json"),
    ("include: [accounts.d/*.yaml", "include: [nowhere/*.yaml"),
    ("at: /cache_value_days, problem", "at: /nowhere, problem"),
    // What stands twice, or beside something else.
    ("POST /phone/validation/v2]", "POST /phone/validate/v2]"),
    ("token_headers: [Auth-Token, x-app-key]", "token_headers: [Auth-Token, auth-token]"),
    ("admin: 127.0.0.1:9901", "admin: 127.0.0.1:8080"),
    ("admin: 127.0.0.1:9901", "admin: 192.0.2.1:9901"),
    ("  volatile: false", "  volatile: true"),
    ("min: 2s, max: 15s, default: 15s", "min: 9s, max: 15s, default: 5s"),
    // Numbers with units, and what an address, a day or a pattern can be.
    ("  head_timeout: 5s", "  head_timeout: 2h"),
    ("  header_bytes: 16KiB", "  header_bytes: 1B"),
    ("networks: [203.0.113.0/24,", "networks: [203.0.113.1/24,"),
    ("expires: 2027-06-30", "expires: 2027-02-29"),
    ("pattern: '[A-Za-z0-9_\\-/:.,() ]+'", "pattern: '['"),
    ("domains: [app.acme.example, \"*.acme.example\"]", "domains: [\"*.co.uk\"]"),
    // Headers that have a meaning already, and paths that no request can have.
    ("token_headers: [Auth-Token, x-app-key]", "token_headers: [Host]"),
    ("POST /phone/validation/v2]", "POST /phone/../v2]"),
];

fn edited((old, new): &Edit) -> String {
    let good = std::fs::read_to_string(directory().join("gateway.yaml")).unwrap();
    assert_eq!(good.matches(old).count(), 1, "{old:?}");
    good.replace(old, new)
}

/// Whether the schema and the gateway let a text pass.
fn judged(validator: &Validator, text: &str) -> (bool, bool) {
    let by_gateway = config::parse("f", text, &Source::from(directory())).is_ok();
    (validator.is_valid(&value(text)), by_gateway)
}

#[test]
fn both_refuse_the_same_bad_files() {
    let validator = validator(Kind::Config);
    assert_eq!(judged(&validator, &edited(&("\nworkers: 2", "\nworkers: 3"))), (true, true));
    let wrong: Vec<_> = BAD.iter().filter(|edit| judged(&validator, &edited(edit)) != (false, false)).collect();
    assert!(wrong.is_empty(), "not refused by both: {wrong:#?}");
    let wrong: Vec<_> = BEYOND.iter().filter(|edit| judged(&validator, &edited(edit)) != (true, false)).collect();
    assert!(wrong.is_empty(), "not what a schema cannot say: {wrong:#?}");
}

#[test]
fn bad_accounts_are_refused_in_their_own_files() {
    for (kind, text, good) in [
        (Kind::Accounts, "accounts: { a: { rate: { unlimited: true } } }", true),
        (Kind::Accounts, "accounts: { a: {} }", false),
        (Kind::Accounts, "listen: 127.0.0.1:8080", false),
        (Kind::AccountLine, r#"{"name": "a", "rate": {"limit": "5/s"}}"#, true),
        (Kind::AccountLine, r#"{"name": "a", "plan": "gold"}"#, true),
        (Kind::AccountLine, r#"{"name": "a", "rates": ["5/s", {"limit": "9/min"}], "concurrency": 2}"#, true),
        (Kind::AccountLine, r#"{"name": "a", "quota": {"day": 5}}"#, false),
        (Kind::AccountLine, r#"{"rate": {"limit": "5/s"}}"#, false),
        (Kind::AccountLine, r#"{"name": "a", "rate": {"limit": "5/s"}, "hash": 1}"#, false),
    ] {
        assert_eq!(validator(kind).is_valid(&value(text)), good, "{text}");
    }
}

/// A schema lets every text pass that the gateway reads, and none of those that it refuses here.
fn language<T: FromText>(good: &[&str], bad: &[&str]) {
    let validator = jsonschema::draft7::new(T::schema().as_value()).unwrap();
    let name = std::any::type_name::<T>();
    for (texts, sound) in [(good, true), (bad, false)] {
        for text in texts {
            assert_eq!(T::from_text(text.trim_matches('"')).is_ok(), sound, "{name}: {text}");
            // As YAML has it: text that is a number there is one.
            assert_eq!(validator.is_valid(&value(&format!("v: {text}"))["v"]), sound, "{name}: {text}");
        }
    }
}

#[test]
fn the_small_languages_are_the_same_to_both() {
    use tollgate::policy::account::{Digest, Expiry};
    use tollgate::policy::check::domain::Pattern;
    use tollgate::policy::http::media::MediaType;
    use tollgate::policy::problem::Status;
    use tollgate::upstream::settings::Address;
    language::<std::time::Duration>(&["500ms", "5 s", "1_000s", "2m", "1h", "7d"], &["5", "s", "5 sec", "-5s", "1.5s"]);
    language::<Bytes>(&["512", "512B", "16KiB", "1 MiB", "1_024"], &["1KB", "KiB", "-1B", "1.5MiB"]);
    language::<PerPeriod>(&["150/min", "1_000_000/s", "5 / hour", "1/day"], &["0/s", "5", "5/week", "/s"]);
    language::<std::net::SocketAddr>(&["127.0.0.1:80", "\"[::1]:80\""], &["localhost:80", "127.0.0.1", "80"]);
    language::<Address>(&["127.0.0.1:80", "a-1.b_c:9", "\"[::1]:80\""], &["host", "a b:80", "host:port"]);
    language::<ipnet::IpNet>(
        &["10.0.0.0/8", "10.0.0.1", "\"::1\"", "\"2001:db8::/32\""],
        &["host", "10.0.0.0/", "a/8"],
    );
    language::<Pattern>(
        &[
            "app.example.com",
            "\"*.example.com\"",
            "bücher.example",
            "127.0.0.1",
            "https://a.example",
            "https://*.a.example",
            "capacitor://localhost",
        ],
        &[
            "\"*\"",
            "https://a.example/",
            "https://a.example:80",
            "capacitor://",
            "a.example:80",
            "a.example.",
            "a.*.example",
        ],
    );
    language::<MediaType>(&["application/json", "application/pdf"], &["json", "\"*/json\"", "a/json;q=1"]);
    language::<Digest>(&[&format!("sha256:{}", "aF".repeat(32))], &["sha256:00", &"ab".repeat(32)]);
    language::<Expiry>(&["2027-06-30", "2027-6-3"], &["30.06.2027", "tomorrow", "2027-06"]);
    language::<Status>(&["400", "503"], &["200", "402", "many"]);
    language::<Mode>(&["\"0660\"", "660", "\"0o600\""], &["rw", "66a", "\"0888\""]);
    language::<RouteText>(&["POST /a/b", "GET /"], &["/a", "post /a", "POST a", "POST /a?b", "POST /a;b", "HEAD /a"]);
    language::<HeaderName>(&["Auth-Token", "x-app-key"], &["auth_token", "a b", "\"a:\""]);
    language::<AllowedHeader>(&["X-App-Version", "Accept"], &["X_App", "a b", "\"*\""]);
    language::<WebLink>(
        &["https://portal.example.com", "https://portal.example.com/#/tokens", "HTTP://a/b?c"],
        &["ftp://a", "portal.example.com", "https://u@a", "\"mailto:a@example.com\""],
    );
    language::<PublicUrl>(&["https://api.example.com", "HTTP://a/b"], &["ftp://a", "api.example.com", "https://a?b"]);
}
