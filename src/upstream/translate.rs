//! Translates the results of an upstream into the problems that a client may see (contract, section
//! 3).
//!
//! A 200 with one JSON document is passed on, and whatever the product says of other statuses and types; everything else
//! becomes one of the rows below, and no text of the upstream reaches the client.

use std::time::UNIX_EPOCH;

use pingora_core::{Error, ErrorType};
use serde::de::IgnoredAny;

use crate::policy::answers::{Answers, Passing, Treatment};
use crate::policy::format::kind::NotRendered;
use crate::policy::http::media::Media;
use crate::policy::now::Now;
use crate::policy::problem::{Hint, Problem, Row};
use crate::policy::tariff::{Passed, Tariff};

/// The largest `Retry-After` that is passed on, in seconds: one day.
const MAX_RETRY_AFTER_SECONDS: u64 = 86_400;

/// A backend that could not be reached.
pub const fn unavailable(reason: &'static str) -> Problem {
    Problem::new(Row::UpstreamUnavailable, reason)
}

/// An answer that cannot be passed on.
pub const fn failed(reason: &'static str) -> Problem {
    Problem::new(Row::UpstreamFailed, reason)
}

/// No connection could be made.
pub fn connecting(error: &Error) -> Problem {
    match error.etype() {
        ErrorType::ConnectTimedout => unavailable("connecting took too long"),
        ErrorType::ConnectRefused => unavailable("the server refused the connection"),
        ErrorType::InvalidCert => unavailable("the certificate of the server is not accepted"),
        ErrorType::TLSHandshakeFailure => unavailable("the TLS handshake failed"),
        ErrorType::TLSHandshakeTimedout => unavailable("connecting and the TLS handshake took too long"),
        _ => unavailable("no connection could be made"),
    }
}

/// The request could not be sent completely.
pub const fn sending() -> Problem {
    unavailable("the connection broke while the request was sent")
}

/// Judges the status of an answer.
///
/// A backend's 400 or 422 means that it does not accept this body: the client can correct it, so it
/// is `body-invalid`. Its 413 is `body-too-large` for the same reason. Its 429 is about all
/// requests of the gateway, not about this client's rate.
///
/// # Errors
/// The row of every status but 200 that the product does not name, and of those for which it names a row.
pub fn status<'a>(
    code: u16,
    retry_after: Option<&[u8]>,
    now: Now,
    answers: &'a Answers,
) -> Result<&'a Passing, Problem> {
    match answers.of(code) {
        Some(Treatment::Pass(passing)) => return Ok(passing),
        Some(Treatment::Refuse(row, _)) => {
            let problem = Problem::new(*row, "the product names this problem for the upstream's status");
            return Err(match (row, retry_after.and_then(|value| seconds(value, now))) {
                (Row::UpstreamUnavailable, Some(seconds)) => problem.with(Hint::RetryAfter(seconds)),
                _ => problem,
            });
        }
        None => {}
    }
    match code {
        200 => Ok(Passing::plain()),
        400 | 422 => Err(Problem::new(Row::BodyInvalid, "the upstream refused the body")),
        413 => Err(Problem::new(Row::BodyTooLarge, "the body is too large for the upstream")),
        401 | 403 => Err(failed("the upstream refused our credentials")),
        408 | 429 | 502 | 503 | 504 => {
            let problem = unavailable("the upstream said that it is not available");
            Err(retry_after
                .and_then(|value| seconds(value, now))
                .map_or(problem, |seconds| problem.with(Hint::RetryAfter(seconds))))
        }
        100..=199 => Err(failed("the upstream switched protocols or sent interim answers without end")),
        201..=299 => Err(failed("the upstream answered with another success than 200")),
        300..=399 => Err(failed("the upstream answered with a redirect")),
        400..=499 => Err(failed("the upstream answered with a status that cannot be passed on")),
        _ => Err(failed("the upstream answered with a failure of its own")),
    }
}

/// How the body of an answer is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It has to be one JSON document in UTF-8.
    Json,
    /// Any bytes of a type that the product serves.
    Opaque,
}

/// How an answer with this Content-Type is judged by a product that serves types which are not JSON. One without a type
/// has to be JSON.
///
/// # Errors
/// `upstream-failed` if the product does not serve the type.
pub fn kind(content_type: Option<&[u8]>, media: &Media) -> Result<Kind, Problem> {
    let Some(content_type) = content_type else { return Ok(Kind::Json) };
    match media.served(content_type) {
        Some(kind) if kind.is_json() => Ok(Kind::Json),
        Some(kind) if media.is_rendered(kind) => Err(failed("the answer is in a format that only the gateway writes")),
        Some(_) => Ok(Kind::Opaque),
        None => Err(failed("the answer has a media type that the product does not serve")),
    }
}

/// An answer that was good, but that a client cannot have in the format that it prefers.
pub const fn not_rendered(why: NotRendered) -> Problem {
    match why {
        NotRendered::Unreadable => failed("the answer is nested too deeply, or has too large a number, for its format"),
        NotRendered::TooLarge => failed("the answer is larger than the limit in the format that the client prefers"),
    }
}

/// Checks the body of an answer that is passed on, and returns its price in credits, by a tariff, the backend's status
/// and what was requested. Of an opaque body the price knows no member.
///
/// # Errors
/// `upstream-failed`.
pub fn body(body: &[u8], kind: Kind, code: u16, tariff: Option<&Tariff>, asked: Passed) -> Result<u32, Problem> {
    const NOT_JSON: Problem = failed("the answer is not JSON");
    if kind == Kind::Opaque {
        return Ok(tariff.map_or(0, |tariff| tariff.price(code, asked, tariff.nothing_told())));
    }
    let text = std::str::from_utf8(body).map_err(|_| failed("the answer is not UTF-8"))?;
    match tariff {
        None => serde_json::from_str::<IgnoredAny>(text).map(|_| 0).map_err(|_| NOT_JSON),
        Some(tariff) => tariff.read(text).map(|told| tariff.price(code, asked, told)).map_err(|_| NOT_JSON),
    }
}

/// Whole seconds from an upstream's `Retry-After`, seconds or a date (RFC 9110, section 10.2.3).
fn seconds(retry_after: &[u8], now: Now) -> Option<u32> {
    let text = std::str::from_utf8(retry_after).ok()?.trim();
    let seconds = match crate::policy::http::head::decimal(text.as_bytes()) {
        Some(seconds) => seconds,
        None => {
            let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
            date.as_secs().saturating_sub(now.unix_seconds)
        }
    };
    u32::try_from(seconds.clamp(1, MAX_RETRY_AFTER_SECONDS)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { monotonic: std::time::Duration::ZERO, unix_seconds: 784_111_700, unix_nanos: 0 };

    #[test]
    fn every_status_but_200_is_a_problem() {
        let answers = Answers::default();
        let rows = |code| status(code, None, NOW, &answers).err().map(|problem| problem.row);
        for (codes, row) in [
            (vec![200], None),
            (
                vec![101, 201, 204, 206, 301, 302, 304, 401, 403, 404, 405, 410, 500, 501, 505, 999],
                Some(Row::UpstreamFailed),
            ),
            (vec![408, 429, 502, 503, 504], Some(Row::UpstreamUnavailable)),
            (vec![400, 422], Some(Row::BodyInvalid)),
            (vec![413], Some(Row::BodyTooLarge)),
        ] {
            for code in codes {
                assert_eq!(rows(code), row, "{code}");
            }
        }
    }

    #[test]
    fn a_retry_after_is_whole_seconds_within_a_day() {
        for (value, seconds) in [
            ("7", Some(7)),
            ("0", Some(1)),
            ("99999999", Some(86_400)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(77)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(1)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(86_400)),
            ("soon", None),
            ("-1", None),
        ] {
            let hint = status(503, Some(value.as_bytes()), NOW, &Answers::default()).unwrap_err().hint;
            assert_eq!(hint, seconds.map_or(Hint::None, Hint::RetryAfter), "{value}");
        }
    }

    #[test]
    fn a_body_is_one_json_document() {
        for (text, passes) in [
            (br#"{"a":1}"#.as_slice(), true),
            (b"[]", true),
            (b"", false),
            (b"{", false),
            (b"{}{}", false),
            (b"<html>", false),
            (b"\"\xff\"", false),
            (b"\x1f\x8b\x08", false),
        ] {
            assert_eq!(body(text, Kind::Json, 200, None, Passed::default()).is_ok(), passes, "{text:?}");
        }
    }
}
