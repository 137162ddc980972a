//! What the management API answers instead of what was asked: a closed list of kinds, each with its
//! status, written as `application/problem+json` (RFC 9457).
//!
//! No value of a request is repeated in an answer: it could be a secret. What is said is where it
//! stands, what is wrong with it, and what to write instead.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The media type of a problem (RFC 9457, section 3).
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Where the kinds are explained, below the API's root.
pub const PAGES: &str = "/api/v1/problems/";

/// Seconds after which it is worth trying again when the store could not be written.
const RETRY_SECONDS: &str = "5";

/// A kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    MalformedBody,
    InvalidBody,
    InvalidQuery,
    Unauthenticated,
    ScopeMissing,
    RoleTooLow,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    Conflict,
    VersionDiffers,
    BodyTooLarge,
    NotJson,
    VersionMissing,
    KeyMissing,
    KeyOfAnother,
    StoreUnavailable,
    Internal,
}

/// All kinds, in the order in which they are listed.
pub const KINDS: [Kind; 18] = [
    Kind::MalformedBody,
    Kind::InvalidQuery,
    Kind::KeyMissing,
    Kind::Unauthenticated,
    Kind::ScopeMissing,
    Kind::RoleTooLow,
    Kind::NotFound,
    Kind::MethodNotAllowed,
    Kind::RequestTimeout,
    Kind::Conflict,
    Kind::VersionDiffers,
    Kind::BodyTooLarge,
    Kind::NotJson,
    Kind::InvalidBody,
    Kind::KeyOfAnother,
    Kind::VersionMissing,
    Kind::Internal,
    Kind::StoreUnavailable,
];

impl Kind {
    /// Its slug, its status and its title.
    const fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Kind::MalformedBody => ("malformed-body", StatusCode::BAD_REQUEST, "The body is not one JSON value"),
            Kind::InvalidBody => {
                ("invalid-body", StatusCode::UNPROCESSABLE_ENTITY, "The body does not say what is needed")
            }
            Kind::InvalidQuery => {
                ("invalid-query", StatusCode::BAD_REQUEST, "A parameter or a header is not understood")
            }
            Kind::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED, "A management key is needed"),
            Kind::ScopeMissing => ("scope-missing", StatusCode::FORBIDDEN, "The key lacks a scope"),
            Kind::RoleTooLow => ("role-too-low", StatusCode::FORBIDDEN, "The key's role may not do this"),
            Kind::NotFound => ("not-found", StatusCode::NOT_FOUND, "There is no such thing"),
            Kind::MethodNotAllowed => {
                ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "This path has other methods")
            }
            Kind::RequestTimeout => ("request-timeout", StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time"),
            Kind::Conflict => ("conflict", StatusCode::CONFLICT, "The state does not allow this"),
            Kind::VersionDiffers => {
                ("version-differs", StatusCode::PRECONDITION_FAILED, "Somebody else has changed it meanwhile")
            }
            Kind::BodyTooLarge => ("body-too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            Kind::NotJson => ("not-json", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body has to be JSON"),
            Kind::VersionMissing => ("version-missing", StatusCode::PRECONDITION_REQUIRED, "If-Match is needed"),
            Kind::KeyMissing => ("idempotency-key-missing", StatusCode::BAD_REQUEST, "Idempotency-Key is needed"),
            Kind::KeyOfAnother => (
                "idempotency-key-reused",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The Idempotency-Key belongs to another request",
            ),
            Kind::StoreUnavailable => {
                ("store-unavailable", StatusCode::SERVICE_UNAVAILABLE, "The store cannot be used at the moment")
            }
            Kind::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "The gateway has failed"),
        }
    }

    /// What it means, and what to do.
    pub const fn about(self) -> &'static str {
        match self {
            Kind::MalformedBody => {
                "The body is missing, is not JSON (RFC 8259), has a member twice, or stands where none is taken."
            }
            Kind::InvalidBody => {
                "The body is JSON, but members are missing, unknown, or have values that cannot be taken. The list \
                 `errors` has each of them with what to write instead."
            }
            Kind::InvalidQuery => {
                "A parameter of the query or a header is unknown, repeated, or has a value that cannot be taken. The \
                 list `errors` has each of them with what to write instead."
            }
            Kind::Unauthenticated => {
                "There is no management key in `Authorization: Bearer`, or it is not known, has ended or was deleted. \
                 Tokens of lookups are never taken here."
            }
            Kind::ScopeMissing => {
                "The key is good, but it was not made for this. Use one with the scope that `detail` names."
            }
            Kind::RoleTooLow => "The key has the scope, but this takes a higher role. `detail` says which.",
            Kind::NotFound => "The path leads nowhere, or to something that is not there or not yours to see.",
            Kind::MethodNotAllowed => "The header `Allow` lists the methods that this path has.",
            Kind::RequestTimeout => "The body has to arrive within 10 seconds after the head. Send it again.",
            Kind::Conflict => {
                "What was asked for does not go together with what is there: a name is taken, an account is closed, a \
                 token was revoked, a balance is too low. `detail` says which."
            }
            Kind::VersionDiffers => {
                "`If-Match` has another version than the one in force (RFC 9110, section 13.1.1). Nothing was \
                 changed. `current` has the newer state, and the header `ETag` its version: look at it, and ask again \
                 with that."
            }
            Kind::BodyTooLarge => "`detail` says how many bytes it may have.",
            Kind::NotJson => "Send the header `Content-Type: application/json`.",
            Kind::VersionMissing => {
                "Whatever exists is changed only by those who say which version they have seen (RFC 6585, section 3). \
                 Read it, and send its `ETag` as `If-Match`; `If-Match: *` changes whatever is there."
            }
            Kind::KeyMissing => {
                "Send `Idempotency-Key` with a word that this request alone has, of 1 to 100 visible ASCII \
                 characters, such as a new UUID: however often the request is sent, it happens once."
            }
            Kind::KeyOfAnother => {
                "A request with this key but with another path or body was answered already. Choose a new key."
            }
            Kind::StoreUnavailable => {
                "Nothing was changed. Lookups go on with what was in force. The gateway's log says what is wrong; \
                 when that is mended, the same request can be sent again."
            }
            Kind::Internal => {
                "The gateway's log says how. Whether anything was changed is not known: read it before you ask again."
            }
        }
    }

    /// The last part of its type.
    pub const fn slug(self) -> &'static str {
        self.row().0
    }

    pub const fn status(self) -> StatusCode {
        self.row().1
    }

    pub const fn title(self) -> &'static str {
        self.row().2
    }

    /// The kind with a slug.
    pub fn of(slug: &str) -> Option<Kind> {
        KINDS.into_iter().find(|kind| kind.slug() == slug)
    }
}

/// One thing that is wrong in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldError {
    /// Where it stands: a JSON Pointer into the body (RFC 6901), `?name` for a parameter of the query, or
    /// the name of a header.
    pub at: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to write instead.
    pub fix: String,
}

impl FieldError {
    /// One at some place.
    pub fn new(at: impl Into<String>, problem: impl Into<String>, fix: impl Into<String>) -> FieldError {
        FieldError { at: at.into(), problem: problem.into(), fix: fix.into() }
    }
}

/// A problem as it is sent.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct Told {
    /// Its kind: a path on this listener that explains it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same words for each problem of this kind.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What to do about this one.
    pub detail: String,
    /// Everything that is wrong with the request, where that are several things.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The state that is in force, for `version-differs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Value>,
}

/// A problem of one request.
#[derive(Debug)]
pub struct Problem(Box<Told>, Kind, Option<HeaderValue>);

impl Problem {
    /// One of a kind, with what to do about it.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Problem {
        let told = Told {
            kind: format!("{PAGES}{}", kind.slug()),
            title: kind.title().to_owned(),
            status: kind.status().as_u16(),
            detail: detail.into().into_owned(),
            errors: Vec::new(),
            current: None,
        };
        Problem(Box::new(told), kind, None)
    }

    /// One of a kind with nothing to add.
    pub fn plain(kind: Kind) -> Problem {
        Problem::new(kind, kind.about())
    }

    /// Nothing that the caller may see is there.
    pub fn not_found(what: &str) -> Problem {
        Problem::new(Kind::NotFound, format!("There is no {what} of this id that this key may see."))
    }

    /// The body has faults.
    pub fn body(errors: Vec<FieldError>) -> Problem {
        Problem::listed(Kind::InvalidBody, "Nothing was changed.", errors)
    }

    /// Parameters or headers have faults.
    pub fn query(errors: Vec<FieldError>) -> Problem {
        Problem::listed(Kind::InvalidQuery, "Nothing was done.", errors)
    }

    fn listed(kind: Kind, outcome: &str, errors: Vec<FieldError>) -> Problem {
        let what = if errors.len() == 1 { "the one thing" } else { "everything" };
        let mut problem = Problem::new(kind, format!("{outcome} `errors` has {what} to mend."));
        problem.0.errors = errors;
        problem
    }

    /// Somebody else has changed it: what is there now, and its version.
    pub fn version_differs(current: Value, version: &HeaderValue) -> Problem {
        let mut problem = Problem::plain(Kind::VersionDiffers);
        problem.0.current = Some(current);
        problem.2 = Some(version.clone());
        problem
    }

    /// What is told.
    pub fn told(&self) -> &Told {
        &self.0
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.1
    }

    /// The answer.
    pub fn answer(self) -> Response<Body> {
        let Problem(told, kind, version) = self;
        let body = serde_json::to_vec(&told).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = kind.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(version) = version {
            headers.insert(ETAG, version);
        }
        // RFC 9110, section 11.6.1, and RFC 6750, section 3.
        if kind == Kind::Unauthenticated {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tollgate management\""));
        }
        if kind == Kind::StoreUnavailable {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
        }
        response
    }

    /// The answer to a method that a path does not have (RFC 9110, section 15.5.6).
    pub fn other_method(allowed: &HeaderValue) -> Response<Body> {
        let mut response = Problem::plain(Kind::MethodNotAllowed).answer();
        response.headers_mut().insert(ALLOW, allowed.clone());
        response
    }
}

/// A version as `ETag` writes it (RFC 9110, section 8.8.3).
pub fn etag(version: i64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_is_listed_once_with_a_status_of_its_own_kind_and_words() {
        let slugs: BTreeSet<&str> = KINDS.into_iter().map(Kind::slug).collect();
        assert_eq!(slugs.len(), KINDS.len());
        let mut statuses: Vec<u16> = KINDS.into_iter().map(|kind| kind.status().as_u16()).collect();
        assert!(statuses.is_sorted(), "{statuses:?}");
        statuses.dedup();
        assert!(statuses.iter().all(|status| *status >= 400));
        for kind in KINDS {
            assert_eq!(Kind::of(kind.slug()), Some(kind));
            assert!(kind.about().ends_with('.') && !kind.title().ends_with('.'), "{kind:?}");
        }
        assert_eq!(Kind::of("nothing"), None);
    }
}
