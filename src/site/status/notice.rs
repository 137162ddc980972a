//! Operators' notices: notes, and planned maintenance.
//!
//! They come from the configuration, or from the admin API and the command line; the latter have a
//! number and can be closed. The text is the operator's own; its length and times are checked here.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::history::DAY;
use crate::policy::seconds::Seconds;

/// The longest text, in bytes: a few sentences.
pub const MAX_TEXT: usize = 1_000;

/// The longest name of an author, in bytes.
pub const MAX_NAME: usize = 200;

/// The most notices that are shown or planned at the same time, separately for the command line and
/// the configuration.
pub const MAX_NOTICES: usize = 100;

/// The longest maintenance.
pub const MAX_MAINTENANCE: Seconds = 31 * DAY;

/// How far ahead maintenance can be planned.
pub const MAX_AHEAD: Seconds = 366 * DAY;

/// A moment, written as in RFC 3339, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Seconds);

impl Moment {
    /// Parses a text.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Moment, &'static str> {
        const WANTED: &str = "is not a time; write one as RFC 3339 has it, as in 2026-11-25T22:00:00Z";
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| WANTED)?;
        u64::try_from(time.timestamp()).map(Moment).map_err(|_| WANTED)
    }

    /// The text of a time, in UTC.
    pub fn text(self) -> String {
        self.utc().to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// The time in UTC; one beyond the range of the calendar is its first.
    pub fn utc(self) -> DateTime<Utc> {
        i64::try_from(self.0).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0)).unwrap_or_default()
    }
}

impl JsonSchema for Moment {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Moment, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        Moment::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The kind of a notice, with its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matter {
    /// An announcement, from a time until it is closed.
    Note { at: Seconds },
    /// Planned work.
    Maintenance { from: Seconds, to: Seconds },
}

impl Matter {
    /// Its name in files.
    pub fn word(self) -> &'static str {
        match self {
            Matter::Note { .. } => "note",
            Matter::Maintenance { .. } => "maintenance",
        }
    }
}

/// One notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its number; `None` for one in the configuration.
    pub id: Option<i64>,
    pub matter: Matter,
    /// The product it is about; `None` for all of them.
    pub product: Option<Arc<str>>,
    pub text: Arc<str>,
    /// When it was written; for one in the configuration, when it begins.
    pub written: Seconds,
    /// Its author, shown only to operators.
    pub by: Arc<str>,
    /// When it was closed.
    pub closed: Option<Seconds>,
}

/// The state of a notice at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has not begun.
    Planned,
    /// It has begun and is not over.
    Current,
    /// It is over.
    Past,
}

impl Notice {
    /// Its state.
    pub fn stage(&self, now: Seconds) -> Stage {
        let (from, to) = match self.matter {
            Matter::Note { at } => (at, None),
            Matter::Maintenance { from, to } => (from, Some(to)),
        };
        let to = [to, self.closed].into_iter().flatten().min();
        if to.is_some_and(|to| to <= now) {
            Stage::Past
        } else if from > now {
            Stage::Planned
        } else {
            Stage::Current
        }
    }

    /// When it is or was over, if that is known.
    pub fn ends(&self) -> Option<Seconds> {
        let to = match self.matter {
            Matter::Note { .. } => None,
            Matter::Maintenance { to, .. } => Some(to),
        };
        [to, self.closed].into_iter().flatten().min()
    }

    /// When it begins.
    pub fn begins(&self) -> Seconds {
        match self.matter {
            Matter::Note { at } => at,
            Matter::Maintenance { from, .. } => from,
        }
    }

    /// When it last changed.
    pub fn updated(&self) -> Seconds {
        self.closed.unwrap_or(self.written).max(self.written)
    }
}

/// Checks the text of a notice.
///
/// # Errors
/// What to write instead.
pub fn check_text(text: &str) -> Result<(), &'static str> {
    if text.trim().is_empty() {
        return Err("is empty; write what clients should know");
    }
    if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
        return Err("is not a single line of at most 1000 bytes; shorten it");
    }
    Ok(())
}

/// Checks the times of maintenance.
///
/// # Errors
/// What to write instead.
pub fn check_times(from: Seconds, to: Seconds) -> Result<(), &'static str> {
    if to <= from {
        return Err("is not after the beginning; write a later time");
    }
    if to - from > MAX_MAINTENANCE {
        return Err("is more than 31 days after the beginning; write an earlier time");
    }
    Ok(())
}

/// A notice as an operator sends it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewNotice")]
pub struct NoticeBody {
    pub text: String,
    /// The product it is about. Default: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The times of maintenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Moment>,
    /// Its author. Default: `admin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// The kind of notice that an operator sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Note,
    Maintenance,
}

/// Checks an operator's notice.
///
/// # Errors
/// A sentence that says what to write instead.
pub fn notice(wanted: Wanted, body: NoticeBody, now: Seconds) -> Result<Notice, String> {
    let NoticeBody { text, product, from, to, by } = body;
    let says = |key: &str, what: &str| format!("The {key} {what}.");
    check_text(&text).map_err(|what| says("text", what))?;
    let by = by.unwrap_or_else(|| "admin".to_owned());
    if by.len() > MAX_NAME || by.chars().any(char::is_control) {
        return Err(says("name", "is not a single line of at most 200 bytes; shorten it"));
    }
    let matter = match (wanted, from, to) {
        (Wanted::Note, None, None) => Matter::Note { at: now },
        (Wanted::Note, ..) => return Err("A note has no times. Leave out from and to, or plan maintenance.".to_owned()),
        (Wanted::Maintenance, Some(Moment(from)), Some(Moment(to))) => {
            check_times(from, to).map_err(|what| says("end", what))?;
            if to <= now {
                return Err(says("end", "has passed; write a later time"));
            }
            if from > now.saturating_add(MAX_AHEAD) {
                return Err(says("beginning", "is more than a year ahead; write an earlier time"));
            }
            Matter::Maintenance { from, to }
        }
        (Wanted::Maintenance, ..) => {
            return Err("Maintenance needs two times. Write from and to, as in 2026-11-25T22:00:00Z.".to_owned());
        }
    };
    Ok(Notice {
        id: None,
        matter,
        product: product.map(Into::into),
        text: text.trim().into(),
        written: now,
        by: by.into(),
        closed: None,
    })
}

/// A notice as operators see it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Notice")]
pub struct Shown {
    /// `None` for one in the configuration.
    pub id: Option<i64>,
    pub kind: String,
    /// planned, current or past.
    pub stage: String,
    pub product: Option<String>,
    pub from: Moment,
    pub to: Option<Moment>,
    pub text: String,
    pub by: String,
}

impl Shown {
    /// A notice as operators see it at a moment.
    pub fn of(notice: &Notice, now: Seconds) -> Shown {
        let stage = match notice.stage(now) {
            Stage::Planned => "planned",
            Stage::Current => "current",
            Stage::Past => "past",
        };
        Shown {
            id: notice.id,
            kind: notice.matter.word().to_owned(),
            stage: stage.to_owned(),
            product: notice.product.as_deref().map(str::to_owned),
            from: Moment(notice.begins()),
            to: notice.ends().map(Moment),
            text: notice.text.to_string(),
            by: notice.by.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Seconds = 1_780_000_000;

    fn body(text: &str, from: Option<u64>, to: Option<u64>) -> NoticeBody {
        NoticeBody { text: text.to_owned(), product: None, from: from.map(Moment), to: to.map(Moment), by: None }
    }

    #[test]
    fn times_are_those_of_rfc_3339() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-25T22:00:00Z", Some(1_795_644_000)),
            ("2026-11-25T23:00:00+01:00", Some(1_795_644_000)),
            ("2026-11-25T22:00:00.5Z", Some(1_795_644_000)),
            ("2026-11-25 22:00", None),
            ("2026-11-25", None),
            ("2026-13-25T22:00:00Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("tomorrow", None),
            ("", None),
        ] {
            assert_eq!(Moment::parse(text).ok().map(|moment| moment.0), expected, "{text}");
        }
        assert_eq!(Moment(1_795_644_000).text(), "2026-11-25T22:00:00Z");
    }

    #[test]
    fn notices_that_do_not_fit_are_refused_with_what_to_write() {
        let long = "x".repeat(MAX_TEXT + 1);
        for (wanted, body, expected) in [
            (Wanted::Note, body("Slow today.", None, None), Ok(())),
            (Wanted::Note, body(" ", None, None), Err("The text is empty")),
            (Wanted::Note, body("two\nlines", None, None), Err("The text is not a single line")),
            (Wanted::Note, body(&long, None, None), Err("The text is not a single line")),
            (Wanted::Note, body("x", Some(NOW), None), Err("A note has no times")),
            (Wanted::Maintenance, body("x", Some(NOW), Some(NOW + 60)), Ok(())),
            (Wanted::Maintenance, body("x", Some(NOW), None), Err("Maintenance needs two times")),
            (Wanted::Maintenance, body("x", Some(NOW + 60), Some(NOW + 60)), Err("The end is not after")),
            (Wanted::Maintenance, body("x", Some(NOW - 60), Some(NOW)), Err("The end has passed")),
            (Wanted::Maintenance, body("x", Some(NOW), Some(NOW + 32 * DAY)), Err("The end is more than 31 days")),
            (
                Wanted::Maintenance,
                body("x", Some(NOW + 367 * DAY), Some(NOW + 368 * DAY)),
                Err("The beginning is more than a year"),
            ),
        ] {
            let what = format!("{wanted:?} {body:?}");
            match (notice(wanted, body, NOW), expected) {
                (Ok(_), Ok(())) => {}
                (Err(said), Err(begins)) => assert!(said.starts_with(begins), "{said}"),
                (outcome, _) => panic!("{what}: {outcome:?}"),
            }
        }
    }

    #[test]
    fn a_notice_is_planned_then_current_then_past() {
        let maintenance = notice(Wanted::Maintenance, body("x", Some(NOW + 10), Some(NOW + 20)), NOW).unwrap();
        let note = notice(Wanted::Note, body("x", None, None), NOW).unwrap();
        let closed = Notice { closed: Some(NOW + 12), ..maintenance.clone() };
        for (notice, later, expected) in [
            (&maintenance, 0, Stage::Planned),
            (&maintenance, 10, Stage::Current),
            (&maintenance, 19, Stage::Current),
            (&maintenance, 20, Stage::Past),
            (&closed, 11, Stage::Current),
            (&closed, 12, Stage::Past),
            (&note, 0, Stage::Current),
            (&note, 1_000_000, Stage::Current),
        ] {
            assert_eq!(notice.stage(NOW + later), expected, "{notice:?} after {later} s");
        }
    }
}
