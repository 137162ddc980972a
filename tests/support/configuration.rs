//! The configuration of most tests: every kind of token, small limits where a test asks for them.

use std::fmt::Write as _;
use std::net::SocketAddr;

use tollgate::policy::account::Digest;

use super::{CANARY, closed_port};

/// The token with this name.
pub fn token(name: &str) -> String {
    format!("{CANARY}-{name}")
}

/// A configuration that is being put together.
pub struct Configuration {
    /// The keys of the upstream of most products.
    lookup: String,
    top: String,
    limits: Vec<(String, String)>,
}

impl Configuration {
    pub fn new(backend: SocketAddr) -> Configuration {
        Configuration::of_upstream(&format!("servers: [{backend}], host: lookup.internal"))
    }

    /// With an upstream of these keys.
    pub fn of_upstream(keys: &str) -> Configuration {
        Configuration { lookup: keys.to_owned(), top: String::new(), limits: Vec::new() }
    }

    /// Believes X-Forwarded-For of clients on this machine.
    pub fn behind_a_proxy(mut self) -> Configuration {
        self.top += "trusted_proxies: [127.0.0.1/32]\n";
        self
    }

    /// More lines at the top level.
    pub fn with(mut self, lines: &str) -> Configuration {
        self.top += lines;
        self
    }

    /// More keys of the upstream `lookup`.
    pub fn upstream(mut self, keys: &str) -> Configuration {
        self.lookup += &format!(", {keys}");
        self
    }

    pub fn limit(mut self, name: &str, value: &str) -> Configuration {
        self.limits.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The YAML. Its tokens: `live` works everywhere; `disabled`, `expired`, `other` (of the e-mail
    /// product), `ip`, `domain`, `domain-or-none`, `web` and `app` are restricted; `second` is like `live`, and
    /// another account's; the accounts `small-0` to
    /// `small-9` have three requests an hour and the tokens `small-N`, `small-N-second`,
    /// `small-N-disabled` and `small-N-ip` each.
    pub fn yaml(self) -> String {
        let Configuration { lookup, top, limits } = self;
        let closed = closed_port();
        let mut yaml = format!(
            "h2c: true\nworkers: 2\npublic_url: https://api.example.com/docs\n{top}\
             upstreams:\n\
             \x20 lookup: {{ {lookup} }}\n\
             \x20 down: {{ servers: [{closed}] }}\n"
        );
        if !limits.is_empty() {
            yaml += "limits:\n";
            for (name, value) in limits {
                writeln!(yaml, "  {name}: {value}").unwrap();
            }
        }
        yaml += "products:\n";
        let phone = "[POST /phone/validate/v2, POST /phone/validation/v2]";
        for (name, upstream, routes, schema) in [
            ("phone", "lookup", phone, "phone.schema.json"),
            ("email", "lookup", "[POST /email/validate/v2]", "email.schema.json"),
            ("down", "down", "[POST /phone/down]", "phone.schema.json"),
            ("web", "lookup", "[POST /web/v1]", "phone.schema.json"),
        ] {
            let problems = if schema.starts_with("phone") { PHONE_PROBLEMS } else { "" };
            write!(
                yaml,
                "  {name}:\n    upstream: {upstream}\n    routes: {routes}\n{HEADERS}\
                 \x20   body:\n      max: 16KiB\n      schema: {schema}\n{problems}"
            )
            .unwrap();
        }
        yaml += OWN_ROWS;
        yaml += "accounts:\n  main:\n    rate: { limit: 600000/min }\n    tokens:\n";
        for (name, products, rest) in [
            ("live", "phone, down", ""),
            ("disabled", "phone", ", disabled: true"),
            ("expired", "phone", ", expires: 2020-01-01"),
            ("other", "email", ""),
            ("ip", "phone", ", networks: [203.0.113.0/24, 198.51.100.7, \"2001:db8::/32\"]"),
            ("domain", "phone", ", domains: [app.example.com, \"*.shop.example.com\", bücher.example]"),
            ("domain-or-none", "phone", ", domains: [app.example.com], absent: allow"),
            ("web", "web", ", domains: [app.example.com, \"*.shop.example.com\"]"),
            (
                "app",
                "web",
                ", domains: [\"capacitor://localhost\", \"chrome-extension://gmbmikajjgmnabiglmofipeabaddhgne\", \"https://secure.example.com\"]",
            ),
        ] {
            yaml += &token_line(name, products, rest);
        }
        yaml += "  second:\n    rate: { limit: 600000/min }\n    tokens:\n";
        yaml += &token_line("second", "phone, down", "");
        for account in 0..10 {
            write!(yaml, "  small-{account}:\n    rate: {{ limit: 3/h, burst: 3 }}\n    tokens:\n").unwrap();
            for (name, rest) in
                [("", ""), ("-second", ""), ("-disabled", ", disabled: true"), ("-ip", ", networks: [203.0.113.0/24]")]
            {
                yaml += &token_line(&format!("small-{account}{name}"), "phone", rest);
            }
        }
        yaml
    }
}

fn token_line(name: &str, products: &str, rest: &str) -> String {
    let hash = Digest::of(token(name).as_bytes()).text();
    format!("      - {{ name: {name}, hash: \"{hash}\", products: [{products}]{rest} }}\n")
}

const HEADERS: &str = r#"    token_headers: [Auth-Token, x-app-key]
    deadline: { header: Timeout-Seconds, min: 2s, max: 15s, default: 15s }
    headers:
      Reference-ID: { pattern: '[A-Za-z0-9_\-/:.,() ]+', max: 256, echo: true, problem: reference-id-invalid }
      Add-Metadata: { one_of: ["true", "false"], ignore_case: true, problem: add-metadata-invalid }
"#;

const PHONE_PROBLEMS: &str = "      problems:
        - { at: /number, when: missing, problem: number-missing }
        - { at: /cache_value_days, problem: cache-days-unsupported }
        - { at: /supplementary_live_status, problem: live-status-country-unsupported }
";

const OWN_ROWS: &str = "problems:
  number-missing: { status: 400, detail: \"The body has no number. Send one.\" }
  cache-days-unsupported: { status: 400, detail: \"The cache days are out of range. Send fewer.\" }
  live-status-country-unsupported: { status: 400, detail: \"There is no live status there. Ask for another country.\" }
";
