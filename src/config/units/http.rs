//! What HTTP names: routes, headers, places of tokens and their digests, media types, statuses.

use schemars::{Schema, json_schema};

use super::text::{FromText, matching};
use crate::policy::account::Digest;
use crate::policy::check::token::{AUTHORIZATION, BasicPart, TokenPlace};
use crate::policy::http::media::{MediaType, is_token};
use crate::policy::problem::Status;
use crate::policy::route::parameter_name;

/// `POST /path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteText {
    pub method: Box<str>,
    pub path: Box<str>,
}

impl FromText for RouteText {
    fn from_text(text: &str) -> Result<RouteText, &'static str> {
        const WANTED: &str = "is not a route; write a method and a path, as in POST /v1/lookup";
        let (method, path) = text.split_once(' ').ok_or(WANTED)?;
        // HEAD and CONNECT would need different framing of answers; OPTIONS is for preflights.
        if !matches!(method, "GET" | "POST" | "PUT" | "PATCH" | "DELETE") {
            return Err("has a method that cannot be routed; use GET, POST, PUT, PATCH or DELETE");
        }
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) || path.contains(['?', '#']) {
            return Err(WANTED);
        }
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        for segment in path.split('/').filter(|segment| segment.contains(['*', '{', '}'])) {
            if !parameter_name(segment).is_some_and(is_name) {
                return Err(
                    "has a *, { or } in its path that is not a whole segment {name}; write a parameter as in /v1/vat/{number}, or encode them (%2A, %7B, %7D) if they are literal",
                );
            }
        }
        let mut names: Vec<&str> = path.split('/').filter_map(parameter_name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
            return Err("has two parameters with one name in its path; give each a name of its own");
        }
        crate::policy::http::head::check_path(path).map_err(
            |_| "has a path that no request can have; leave out dot segments, empty segments, ; and encoded slashes",
        )?;
        Ok(RouteText { method: method.into(), path: path.into() })
    }

    fn schema() -> Schema {
        matching(r"^(GET|POST|PUT|PATCH|DELETE) /(([^?#;*{}\\\s/]+|\{[A-Za-z0-9_-]+\})(/|$))*$")
    }
}

/// The name of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderName(pub Box<str>);

impl FromText for HeaderName {
    fn from_text(text: &str) -> Result<HeaderName, &'static str> {
        // Headers for framing and routing, those that the gateway itself reads, and those of its answers.
        const TAKEN: [&str; 29] = [
            "accept",
            "accept-encoding",
            "allow",
            "cache-control",
            "connection",
            "content-encoding",
            "content-length",
            "content-type",
            "date",
            "expect",
            "forwarded",
            "host",
            "keep-alive",
            "origin",
            "proxy-connection",
            "ratelimit",
            "ratelimit-policy",
            "referer",
            "retry-after",
            "te",
            "traceparent",
            "tracestate",
            "trailer",
            "transaction-id",
            "transfer-encoding",
            "upgrade",
            "vary",
            "via",
            "x-forwarded-for",
        ];
        const TAKEN_FAMILIES: [&str; 2] = ["access-control-", "x-rate-limit-"];
        if !is_token(text.as_bytes()) || text.contains('_') {
            return Err("is not a header's name; use letters, digits and hyphens, as in Auth-Token");
        }
        let lower_case = text.to_ascii_lowercase();
        if TAKEN.contains(&&*lower_case) || TAKEN_FAMILIES.iter().any(|family| lower_case.starts_with(family)) {
            return Err("is a header with a fixed meaning in HTTP or in the gateway; choose another one");
        }
        Ok(HeaderName(text.into()))
    }

    fn schema() -> Schema {
        matching(r"^[!#$%&'*+.^`|~0-9A-Za-z-]+$")
    }
}

/// The name of a header that web pages may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHeader(pub Box<str>);

impl FromText for AllowedHeader {
    fn from_text(text: &str) -> Result<AllowedHeader, &'static str> {
        if !is_token(text.as_bytes()) || text.contains(['_', '*']) {
            return Err("is not a header's name; use letters, digits and hyphens, as in X-App-Version");
        }
        Ok(AllowedHeader(text.into()))
    }

    fn schema() -> Schema {
        matching(r"^[!#$%&'+.^`|~0-9A-Za-z-]+$")
    }
}

/// The name of a header of answers that passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerHeader(pub Box<str>);

impl FromText for AnswerHeader {
    fn from_text(text: &str) -> Result<AnswerHeader, &'static str> {
        // Framing and connections, what the gateway itself says, and what would be about another origin than its own.
        const NEVER: [&str; 21] = [
            "alt-svc",
            "connection",
            "content-encoding",
            "content-length",
            "content-type",
            "date",
            "keep-alive",
            "proxy-authenticate",
            "proxy-connection",
            "ratelimit",
            "ratelimit-policy",
            "retry-after",
            "set-cookie",
            "strict-transport-security",
            "te",
            "trailer",
            "transaction-id",
            "transfer-encoding",
            "upgrade",
            "vary",
            "www-authenticate",
        ];
        const PREFIXES: [&str; 3] = ["access-control-", "x-rate-limit-", "x-credits-"];
        if !is_token(text.as_bytes()) {
            return Err("is not a header's name; use letters, digits and hyphens, as in ETag");
        }
        let lower = text.to_ascii_lowercase();
        if NEVER.contains(&&*lower) || PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
            return Err("is a header of answers that the gateway writes itself or never passes on; remove it");
        }
        Ok(AnswerHeader(text.into()))
    }

    fn schema() -> Schema {
        matching(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
    }
}

/// The mistake of a token header whose value has a scheme first.
pub const IS_AUTHORIZATION: &str =
    "has a scheme before the token; write token_in: [bearer], or basic user or basic password";

impl FromText for TokenPlace {
    fn from_text(text: &str) -> Result<TokenPlace, &'static str> {
        const WANTED: &str =
            "is not a place for tokens; write header NAME, bearer, basic user, basic password or query NAME";
        let (kind, rest) = text.split_once(' ').map_or((text, ""), |(kind, rest)| (kind, rest.trim()));
        match (kind, rest) {
            ("bearer", "") => Ok(TokenPlace::Bearer),
            ("basic", "user") => Ok(TokenPlace::Basic(BasicPart::User)),
            ("basic", "password") => Ok(TokenPlace::Basic(BasicPart::Password)),
            ("header", name) if name.eq_ignore_ascii_case(AUTHORIZATION) => Err(IS_AUTHORIZATION),
            ("header", name) if !name.is_empty() => {
                HeaderName::from_text(name).map(|HeaderName(name)| TokenPlace::Header(name))
            }
            ("query", name) if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(TokenPlace::Query(name.into()))
            }
            _ => Err(WANTED),
        }
    }

    fn schema() -> Schema {
        matching(r"^(header\s+\S+|bearer|basic\s+(user|password)|query\s+\S+)$")
    }
}

impl FromText for Digest {
    fn from_text(text: &str) -> Result<Digest, &'static str> {
        Digest::parse(text)
    }

    fn schema() -> Schema {
        matching("^sha256:[0-9A-Fa-f]{64}$")
    }
}

impl FromText for MediaType {
    fn from_text(text: &str) -> Result<MediaType, &'static str> {
        MediaType::parse(text)
    }

    fn schema() -> Schema {
        matching(r"^[^\s/*;,]+/[^\s/*;,]+$")
    }
}

impl FromText for Status {
    fn from_text(text: &str) -> Result<Status, &'static str> {
        text.parse()
            .ok()
            .and_then(Status::from_code)
            .ok_or("is not a status of a problem; use 400, 401, 403, 404, 406, 408, 415, 429, 500 or 503")
    }

    fn schema() -> Schema {
        json_schema!({ "enum": Status::ALL.map(Status::code) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_and_headers_are_ones_that_a_request_can_have() {
        for text in ["POST /a/b", "GET /"] {
            assert!(RouteText::from_text(text).is_ok(), "{text}");
        }
        for text in [
            "/a",
            "POST",
            "POST a",
            "POST /a/*",
            "POST /a/{id",
            "POST /a/{id}.json",
            "POST /a/{}",
            "POST /{a}/{a}",
            "CONNECT /a",
            "post /a",
            "POST /a//b",
            "POST /a/../b",
            "POST /a?b",
            "POST /a b",
        ] {
            assert!(RouteText::from_text(text).is_err(), "{text}");
        }
        for (text, sound) in [
            ("Auth-Token", true),
            ("auth_token", false),
            ("Host", false),
            ("X-Forwarded-For", false),
            ("Traceparent", false),
            ("x-rate-limit-limit", false),
            ("Access-Control-Allow-Origin", false),
            ("a b", false),
            ("", false),
        ] {
            assert_eq!(HeaderName::from_text(text).is_ok(), sound, "{text}");
        }
    }
}
