//! What the store refuses, as problems of the API.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::{FieldError, Kind, Problem, etag};
use crate::ledger::store::StoreError;

/// A refusal of the store that shows no state.
pub fn refused(error: StoreError) -> Problem {
    refused_with(error, Some)
}

/// A refusal of the store, whose newer state is shown as the type of the API.
pub fn refused_as<R: DeserializeOwned, A: Serialize + From<R>>(error: StoreError) -> Problem {
    refused_with(error, |newer| {
        let record: R = serde_json::from_value(newer).ok()?;
        serde_json::to_value(A::from(record)).ok()
    })
}

fn refused_with(error: StoreError, show: impl FnOnce(Value) -> Option<Value>) -> Problem {
    match error {
        StoreError::NotFound { what } => Problem::not_found(what),
        StoreError::Conflict { row_version, newer, .. } => {
            Problem::version_differs(show(*newer).unwrap_or(Value::Null), &etag(row_version))
        }
        StoreError::Taken { field, why } => Problem::new(Kind::Conflict, format!("The member {field} {why}.")),
        StoreError::Limit { what, most } => {
            Problem::new(Kind::Conflict, format!("There can be at most {most} {what}. Remove some first."))
        }
        StoreError::Invalid { field, why } => Problem::body(vec![fault(&field, &why)]),
        StoreError::State { why } => Problem::new(Kind::Conflict, sentence(why)),
        StoreError::KeyReused => Problem::plain(Kind::KeyOfAnother),
        StoreError::Unavailable { why, .. } => {
            log::error!(target: "tollgate::api", "the store could not do what was asked for: {error}");
            Problem::new(Kind::StoreUnavailable, format!("Nothing was changed: {why}."))
        }
        StoreError::InDoubt => {
            log::error!(target: "tollgate::api", "it is not known whether what was asked for was done: {error}");
            let what = "It is not known whether this was done: the database has not confirmed it in time. Send it again \
                        with the same Idempotency-Key, which does it once.";
            Problem::new(Kind::StoreUnavailable, what)
        }
        StoreError::Unusable { .. } | StoreError::Corrupted { .. } => {
            log::error!(target: "tollgate::api", "the store could not do what was asked for: {error}");
            Problem::plain(Kind::Internal)
        }
    }
}

/// A field as the store names it (`entries[3].value`), as a JSON Pointer, and its words in two.
pub fn fault(field: &str, why: &str) -> FieldError {
    let (problem, fix) = why.split_once("; ").unwrap_or((why, "see the OpenAPI document"));
    FieldError::new(pointer(field), problem, fix)
}

/// `entries[3].value` as `/entries/3/value`.
fn pointer(field: &str) -> String {
    field
        .split(['.', '[', ']'])
        .filter(|part| !part.is_empty())
        .fold(String::new(), |pointer, part| pointer + "/" + part)
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_says_has_a_place_a_fault_and_a_fix() {
        let refused = refused(StoreError::invalid("entries[3].value", "has host bits set; write 203.0.113.0/24"));
        assert_eq!(refused.kind(), Kind::InvalidBody);
        let expected = FieldError::new("/entries/3/value", "has host bits set", "write 203.0.113.0/24");
        assert_eq!(refused.told().errors, [expected]);
        assert_eq!(pointer("name"), "/name");
    }

    #[test]
    fn the_newer_state_is_told_with_its_version() {
        let newer = Box::new(serde_json::json!({ "name": "acme" }));
        let refused = refused(StoreError::Conflict { what: "account", row_version: 7, newer });
        assert_eq!(refused.told().current.as_ref().unwrap()["name"], "acme");
        let answer = refused.answer();
        assert_eq!((answer.status().as_u16(), answer.headers()["etag"].to_str().unwrap()), (412, "\"7\""));
    }
}
