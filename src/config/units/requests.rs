//! The parts of a request that is only judged: its method, its target, a header's value, where it comes from and when.

use std::net::IpAddr;

use chrono::{DateTime, NaiveDate, NaiveTime};
use schemars::{Schema, json_schema};

use super::text::{FromText, matching};
use crate::policy::http::head::Peer;
use crate::policy::http::media::is_token;

/// A method, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method(pub Box<str>);

impl FromText for Method {
    fn from_text(text: &str) -> Result<Method, &'static str> {
        if is_token(text.as_bytes()) { Ok(Method(text.into())) } else { Err("is not a method; write one as in POST") }
    }

    fn schema() -> Schema {
        matching("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
    }
}

/// A path with its query, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(pub Box<str>);

impl FromText for Target {
    fn from_text(text: &str) -> Result<Target, &'static str> {
        let is_one_word = !text.bytes().any(|byte| byte == b' ' || byte.is_ascii_control());
        if text.starts_with('/') && is_one_word {
            Ok(Target(text.into()))
        } else {
            Err("is not a path; write one as in /v1/lookup?detail=full, with a space as %20")
        }
    }

    fn schema() -> Schema {
        matching("^/[^ ]*$")
    }
}

/// The value of a header, as it is sent. It may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderText(pub Box<str>);

impl FromText for HeaderText {
    fn from_text(text: &str) -> Result<HeaderText, &'static str> {
        match text.contains(['\r', '\n', '\0']) {
            false => Ok(HeaderText(text.into())),
            true => Err("is not a header's value; write it in one line"),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

impl FromText for Peer {
    fn from_text(text: &str) -> Result<Peer, &'static str> {
        const WANTED: &str = "is not an address; write one as in 203.0.113.9 or 2001:db8::1, or unix";
        if text == "unix" {
            return Ok(Peer::Local);
        }
        text.parse::<IpAddr>().map(Peer::Address).map_err(|_| WANTED)
    }

    fn schema() -> Schema {
        matching("^(unix|[0-9a-fA-F.:]+)$")
    }
}

/// When a request comes, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival(pub u64);

impl FromText for Arrival {
    fn from_text(text: &str) -> Result<Arrival, &'static str> {
        const WANTED: &str =
            "is not a time; write a day or a time from 1970 on, as in 2027-06-30 or 2027-06-30T23:59:59Z";
        let time = DateTime::parse_from_rfc3339(text).map(|time| time.timestamp()).or_else(|_| {
            NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| day.and_time(NaiveTime::MIN).and_utc().timestamp())
        });
        time.ok().and_then(|seconds| u64::try_from(seconds).ok()).map(Arrival).ok_or(WANTED)
    }

    fn schema() -> Schema {
        matching("^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?$")
    }
}

/// Whether a backend is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendUse {
    /// The request is sent to it.
    Asked,
    /// The gateway answers by itself.
    Never,
}

impl BackendUse {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            BackendUse::Asked => "asked",
            BackendUse::Never => "never",
        }
    }
}

impl FromText for BackendUse {
    fn from_text(text: &str) -> Result<BackendUse, &'static str> {
        match text {
            "asked" => Ok(BackendUse::Asked),
            "never" => Ok(BackendUse::Never),
            _ => Err("is not known; write asked or never"),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "enum": ["asked", "never"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days_or_moments() {
        for (text, seconds) in [
            ("1970-01-02", Some(86_400)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("2027-06-30T23:59:59Z", Some(1_814_399_999)),
            ("1969-12-31", None),
            ("soon", None),
        ] {
            assert_eq!(Arrival::from_text(text).ok(), seconds.map(Arrival), "{text}");
        }
    }

    #[test]
    fn what_could_be_two_requests_is_no_part_of_one() {
        assert!(Target::from_text("/a?b=%20").is_ok() && HeaderText::from_text("").is_ok());
        for text in ["", "a", "/a b", "/a\r\nX: y", "http://h/"] {
            assert!(Target::from_text(text).is_err(), "{text:?}");
        }
        for text in ["a\r\nb: c", "a\nb", "\0"] {
            assert!(HeaderText::from_text(text).is_err(), "{text:?}");
        }
        assert!(Method::from_text("GET /").is_err() && Peer::from_text("here").is_err());
        assert_eq!(Peer::from_text("unix"), Ok(Peer::Local));
    }
}
