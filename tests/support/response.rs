//! A response, and the rules of the contract that every response has to follow.

use std::fmt;
use std::time::{Duration, SystemTime};

use tollgate::policy::format::kind::Format;

use super::CANARY;

/// The whole set of statuses that leave the gateway.
const STATUSES: [u16; 11] = [200, 204, 400, 401, 403, 404, 406, 408, 415, 429, 500];
const UNAVAILABLE: u16 = 503;

pub struct Response {
    pub(super) status: u16,
    /// In the order they came, the names in lower case.
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    pub(super) public_url: String,
    /// The path that was asked for, when it is known.
    pub(super) path: Option<String>,
    /// The request was HEAD, whose answers have no body.
    pub(super) to_head: bool,
}

impl fmt::Debug for Response {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.status)?;
        for (name, value) in &self.headers {
            writeln!(formatter, "{name}: {}", value.escape_ascii())?;
        }
        write!(formatter, "\n{:.1000}", String::from_utf8_lossy(&self.body))
    }
}

impl Response {
    pub fn status(&self) -> u16 {
        self.status
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The values of all lines with this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| std::str::from_utf8(value).expect("a header in ASCII"))
            .collect()
    }

    /// The value of a header that is there at most once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() <= 1, "{name} stands twice: {self:?}");
        values.first().copied()
    }

    /// The value of a header that is there exactly once and is a number.
    pub fn number(&self, name: &str) -> u64 {
        let value = self.header(name).unwrap_or_else(|| panic!("no {name}: {self:?}"));
        value.parse().unwrap_or_else(|_| panic!("{name} is {value}"))
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks what holds for every response, whatever its status.
    pub fn assert_rules(&self) {
        let is_page = self.header("Content-Security-Policy").is_some();
        assert!(
            STATUSES.contains(&self.status) || self.status == UNAVAILABLE || (is_page && self.status == 304),
            "the status is outside the closed set: {self:?}"
        );
        let transaction = self.header("Transaction-Id").expect("a Transaction-Id");
        assert!(uuid::Uuid::parse_str(transaction).is_ok() && transaction.len() == 36, "{transaction}");
        let reference = self.header("Reference-ID").expect("a Reference-ID");
        assert!(
            (1..=256).contains(&reference.len())
                && reference.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-/:.,() ".contains(&byte)),
            "{reference}"
        );
        let date = httpdate::parse_http_date(self.header("Date").expect("a Date")).expect("a Date of HTTP");
        let now = SystemTime::now();
        let apart = now.duration_since(date).or_else(|_| date.duration_since(now)).unwrap();
        assert!(apart < Duration::from_secs(30), "{date:?} is not now");
        let vary = self.all("Vary").join(",");
        assert!(vary.split(',').any(|name| name.trim().eq_ignore_ascii_case("origin")), "Vary is {vary}");
        for inner in ["server", "x-powered-by", "via", "set-cookie", "x-internal", "transfer-encoding"] {
            assert!(self.all(inner).is_empty(), "{inner} in {self:?}");
        }
        if is_page {
            self.assert_page_rules();
        } else if self.status == 204 {
            assert!(self.body.is_empty() && self.all("Content-Length").is_empty(), "{self:?}");
        } else {
            let length = self.number("Content-Length");
            if self.to_head {
                assert!(self.body.is_empty() && length > 0, "{self:?}");
            } else {
                assert_eq!(length, self.body.len() as u64, "{self:?}");
                assert!(!self.body.is_empty(), "an empty body: {self:?}");
            }
            assert!(
                self.header("Content-Type").is_some_and(|kind| {
                    matches!(kind, "application/json" | "application/problem+json")
                        || Format::of(kind.as_bytes()).is_some()
                        || self.status() == 200
                }),
                "{self:?}"
            );
        }
    }

    /// Checks what holds for every page: browsers run nothing of it, and know whether it has changed.
    fn assert_page_rules(&self) {
        assert!(self.status == 200 || self.status == 304, "{self:?}");
        let policy = self.header("Content-Security-Policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(self.header("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(self.header("Referrer-Policy"), Some("no-referrer"));
        assert!(self.header("ETag").is_some_and(|tag| tag.starts_with('"') && tag.ends_with('"')), "{self:?}");
        if self.status == 304 {
            assert!(self.body.is_empty() && self.header("Content-Length").is_none(), "{self:?}");
        } else if self.to_head {
            assert!(self.body.is_empty() && self.number("Content-Length") > 0, "{self:?}");
        } else {
            assert_eq!(self.number("Content-Length"), self.body.len() as u64);
        }
    }

    /// The one kind of success: 200 and JSON.
    pub fn assert_success(&self) {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json();
    }

    /// Checks that the response is this problem, member by member.
    pub fn assert_problem(&self, slug: &str) {
        let status = status_of(slug);
        assert!(
            self.body.ends_with(b"}") || self.to_head,
            "not {slug}, but {}: {}",
            self.status,
            String::from_utf8_lossy(&self.body)
        );
        if !self.to_head {
            assert_eq!(self.header("Content-Type"), Some("application/json"), "{slug}");
            let body = self.json();
            let outer = body.as_object().expect("an object");
            assert_eq!(outer.keys().collect::<Vec<_>>(), ["error"], "{slug}");
            let error = outer["error"].as_object().expect("an object");
            let mut names: Vec<_> = error.keys().map(String::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, ["detail", "instance", "title", "type"], "{slug}");
            self.assert_members(error, slug);
        }
        assert_eq!(self.status, status, "{slug}: {}", String::from_utf8_lossy(&self.body));
        let retry_after = self.header("Retry-After");
        match slug {
            "rate-exceeded" | "quota-exceeded" | "concurrency-exceeded" | "credits-unavailable" | "overloaded" => {
                assert!(self.number("Retry-After") > 0)
            }
            "upstream-unavailable" => assert!(retry_after != Some("0")),
            _ => assert_eq!(retry_after, None, "{slug}"),
        }
    }

    /// Checks that the response is this problem as RFC 9457 has it.
    pub fn assert_problem_json(&self, slug: &str) {
        let status = status_of(slug);
        assert_eq!(self.status, status, "{slug}: {self:?}");
        assert_eq!(self.header("Content-Type"), Some("application/problem+json"), "{slug}");
        let body = self.json();
        let members = body.as_object().expect("an object");
        let mut names: Vec<_> = members.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["detail", "instance", "status", "title", "type"], "{slug}");
        assert_eq!(members["status"], serde_json::json!(status));
        self.assert_members(members, slug);
    }

    fn assert_members(&self, members: &serde_json::Map<String, serde_json::Value>, slug: &str) {
        let text = |name: &str| members[name].as_str().unwrap_or_else(|| panic!("{name} of {slug} is no string"));
        assert_eq!(
            text("type"),
            format!("{}/problems/{slug}", self.public_url),
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        let phrase = http::StatusCode::from_u16(status_of(slug)).unwrap().canonical_reason();
        assert_eq!(Some(text("title")), phrase, "{slug}");
        if let Some(path) = &self.path {
            assert_eq!(text("instance"), path, "{slug}");
        }
        // Links to pages begin with what the configuration says.
        let detail = text("detail").replace(&self.public_url, "");
        assert!(detail.ends_with('.'), "{slug}: {detail}");
        for inner in [CANARY, "127.0.0.1", "lookup.internal", "pingora", "::", "upstream", ".rs", "\n"] {
            assert!(!detail.contains(inner), "{slug} says {inner}: {detail}");
        }
        let has_blank =
            detail.split('{').skip(1).any(|rest| rest.starts_with(|letter: char| letter.is_ascii_lowercase()));
        assert!(!has_blank, "{slug} has a placeholder: {detail}");
    }
}

/// The status of a row of the contract.
fn status_of(slug: &str) -> u16 {
    match slug {
        "token-unknown" => 401,
        "token-disabled"
        | "token-expired"
        | "product-mismatch"
        | "ip-not-allowed"
        | "domain-not-allowed"
        | "credits-insufficient" => 403,
        "endpoint-unknown" => 404,
        "accept-unsupported" => 406,
        "request-timeout" | "deadline-exceeded" => 408,
        "content-type-unsupported" => 415,
        "rate-exceeded" | "quota-exceeded" | "concurrency-exceeded" => 429,
        "upstream-failed" | "internal" => 500,
        "upstream-unavailable" | "credits-unavailable" | "overloaded" => 503,
        "malformed-request"
        | "token-missing"
        | "timeout-invalid"
        | "parameter-invalid"
        | "mail-invalid"
        | "no-such-day"
        | "reference-id-invalid"
        | "add-metadata-invalid"
        | "body-too-large"
        | "body-empty"
        | "body-malformed"
        | "number-missing"
        | "cache-days-unsupported"
        | "live-status-country-unsupported"
        | "body-invalid"
        | "idempotency-key-reused" => 400,
        _ => panic!("{slug} is no row of the contract"),
    }
}
