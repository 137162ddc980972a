//! Parameters of the query: those that an operation has, each once, with a value that it can have.

use std::collections::BTreeMap;

use super::problem::{FieldError, Problem};
use crate::site::status::notice::Moment;

/// Rows of a page, unless `limit` says otherwise.
const DEFAULT_LIMIT: u32 = 50;

/// Rows of a page at the most.
pub const MOST_ROWS: u32 = 200;

/// Rows of a sheet at the most.
pub const MOST_SHEET_ROWS: u32 = 5000;

/// Bytes of a text to look for, or of a cursor.
pub const MOST_BYTES: usize = 300;

/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Rows of a page, from 1 to [`MOST_ROWS`].
    Limit,
    /// Rows of a sheet, from 1 to [`MOST_SHEET_ROWS`].
    SheetLimit,
    /// The `next` of the page before.
    Cursor,
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A time as RFC 3339 writes it.
    Time,
}

/// A parameter of the query.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub kind: Kind,
    pub about: &'static str,
}

/// The rows of a page.
pub const LIMIT: Parameter =
    Parameter { name: "limit", kind: Kind::Limit, about: "Rows at the most, from 1 to 200. Default: 50." };

/// The rows of a sheet.
pub const SHEET_LIMIT: Parameter = Parameter {
    name: "limit",
    kind: Kind::SheetLimit,
    about: "Rows at the most, from 1 to 5000. Default: 50. `Link` has the rest (RFC 8288).",
};

/// Where a page begins.
pub const AFTER: Parameter = Parameter {
    name: "after",
    kind: Kind::Cursor,
    about: "The `next` of the page before; without it, the first page is answered.",
};

/// The parameters of one request.
#[derive(Clone, Debug, Default)]
pub struct Query(BTreeMap<&'static str, String>);

impl Query {
    /// Reads the query of a request for an operation that has these parameters.
    ///
    /// # Errors
    /// `invalid-query` with everything that is wrong.
    pub fn read(query: &str, known: &[Parameter]) -> Result<Query, Problem> {
        let mut values = BTreeMap::new();
        let mut faults = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let Some(parameter) = known.iter().find(|parameter| *parameter.name == *name) else {
                let names: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
                let fix = match names.join(", ") {
                    none if none.is_empty() => "remove it: this path has no parameters".to_owned(),
                    names => format!("remove it: this path has {names}"),
                };
                // The name is not repeated: it could be anything.
                faults.push(FieldError::new("?", "has a parameter that is not known", fix));
                continue;
            };
            let at = || format!("?{}", parameter.name);
            if let Some(fix) = parameter.kind.fix(&value) {
                faults.push(FieldError::new(at(), "has a value that is not understood", fix));
            } else if values.insert(parameter.name, value.into_owned()).is_some() {
                faults.push(FieldError::new(at(), "is there twice", "write it once"));
            }
        }
        if faults.is_empty() { Ok(Query(values)) } else { Err(Problem::query(faults)) }
    }

    /// The text of a parameter.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The rows of a page.
    pub fn limit(&self) -> u32 {
        self.text(LIMIT.name).and_then(|limit| limit.parse().ok()).unwrap_or(DEFAULT_LIMIT)
    }

    /// The cursor that a page begins after.
    pub fn after(&self) -> Option<&str> {
        self.text(AFTER.name)
    }

    /// The time that a parameter says, in milliseconds since 1970, UTC.
    pub fn milliseconds(&self, name: &str) -> Option<i64> {
        i64::try_from(self.time(name)?.0).ok()?.checked_mul(1000)
    }

    /// The query of the page that begins after a cursor.
    pub fn following(&self, next: &str) -> String {
        let others = self.0.iter().filter(|(name, _)| **name != AFTER.name);
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(others).append_pair(AFTER.name, next);
        query.finish()
    }

    /// The time that a parameter says.
    pub fn time(&self, name: &str) -> Option<Moment> {
        self.text(name).and_then(|time| Moment::parse(time).ok())
    }
}

impl Kind {
    /// What to write instead of a value, if it is not one of this kind.
    fn fix(self, value: &str) -> Option<String> {
        let is_good = match self {
            Kind::Limit => value.parse().is_ok_and(|limit: u32| (1..=MOST_ROWS).contains(&limit)),
            Kind::SheetLimit => value.parse().is_ok_and(|limit: u32| (1..=MOST_SHEET_ROWS).contains(&limit)),
            Kind::Cursor | Kind::Text => {
                !value.is_empty() && value.len() <= MOST_BYTES && !value.contains(char::is_control)
            }
            Kind::Word(words) => words.contains(&value),
            Kind::Time => Moment::parse(value).is_ok(),
        };
        (!is_good).then(|| match self {
            Kind::Limit => format!("write a number from 1 to {MOST_ROWS}"),
            Kind::SheetLimit => format!("write a number from 1 to {MOST_SHEET_ROWS}"),
            Kind::Cursor => "write the `next` of the page before".to_owned(),
            Kind::Text => format!("write a text of 1 to {MOST_BYTES} bytes in one line"),
            Kind::Word(words) => format!("write one of {}", words.join(", ")),
            Kind::Time => "write a time in UTC, as in 2026-11-01T00:00:00Z".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Parameter; 4] = [
        LIMIT,
        AFTER,
        Parameter { name: "state", kind: Kind::Word(&["active", "closed"]), about: "" },
        Parameter { name: "since", kind: Kind::Time, about: "" },
    ];

    #[test]
    fn a_query_is_read_whole_or_every_fault_is_told_with_its_place() {
        for (query, expected) in [
            ("", Ok((50, None))),
            ("limit=200&after=a%20b", Ok((200, Some("a b")))),
            ("state=active&since=2026-11-01T00:00:00Z", Ok((50, None))),
            ("limit=0", Err(vec!["?limit"])),
            ("limit=201&state=x&other=1", Err(vec!["?limit", "?state", "?"])),
            ("limit=1&limit=2", Err(vec!["?limit"])),
            ("limit", Err(vec!["?limit"])),
            ("after=a%0Ab&since=yesterday", Err(vec!["?after", "?since"])),
            ("Limit=1", Err(vec!["?"])),
        ] {
            let read = Query::read(query, &KNOWN);
            let found = match &read {
                Ok(query) => Ok((query.limit(), query.after())),
                Err(problem) => Err(problem.told().errors.iter().map(|fault| &*fault.at).collect::<Vec<_>>()),
            };
            assert_eq!(found, expected, "{query}");
        }
    }
}
