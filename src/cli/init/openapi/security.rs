//! Where clients of a document put their token.

use std::collections::BTreeSet;

use serde_json::Value;

use super::document::Document;
use crate::cli::init::draft::in_a_line;
use crate::cli::init::notes::Notes;
use crate::config::units::FromText;
use crate::policy::check::token::TokenPlace;

/// The places of tokens, and the header of the backend's own key if it takes one in a header.
pub struct Places {
    pub places: Vec<String>,
    pub header: Option<String>,
}

/// The places that the document's security schemes name.
pub fn places(document: &Document, operations: &[(&str, &Value)], notes: &mut Notes) -> Places {
    let mut found = Places { places: Vec::new(), header: None };
    let schemes = document.root.pointer("/components/securitySchemes").and_then(Value::as_object);
    let named = named(document, operations, notes);
    for (name, scheme) in schemes.into_iter().flatten() {
        let at = format!("components.securitySchemes.{}", in_a_line(name));
        if !named.is_empty() && !named.contains(name) {
            notes.add("a security scheme that no operation names is left out", at);
            continue;
        }
        match document.follow(scheme, &at) {
            Ok((scheme, _)) => found.add(scheme, &at, notes),
            Err(what) => notes.add(format!("a security scheme {what}"), at),
        }
    }
    if found.places.is_empty() {
        notes.add("no place for a token is taken over; clients send theirs as Authorization: Bearer", "security");
        found.places.push("bearer".to_owned());
    }
    found
}

/// The names of the schemes that operations want.
fn named(document: &Document, operations: &[(&str, &Value)], notes: &mut Notes) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let root = document.root.get("security").map(|list| ("security", list));
    let own = operations.iter().filter_map(|(at, operation)| Some((*at, operation.get("security")?)));
    for (at, list) in root.into_iter().chain(own) {
        let wanted = list.as_array().map(Vec::as_slice).unwrap_or_default();
        let is_open = wanted.iter().any(|one| one.as_object().is_some_and(serde_json::Map::is_empty));
        if wanted.is_empty() || is_open {
            notes.add("no token is wanted here; through the gateway every lookup needs one", at);
        }
        for one in wanted.iter().filter_map(Value::as_object) {
            if one.len() > 1 {
                notes.add(
                    "two schemes at once are wanted here; the gateway takes one token, in any of their places",
                    at,
                );
            }
            names.extend(one.keys().cloned());
        }
    }
    names
}

impl Places {
    fn add(&mut self, scheme: &Value, at: &str, notes: &mut Notes) {
        let text = |key: &str| scheme.get(key).and_then(Value::as_str).unwrap_or_default();
        let name = text("name");
        let place = match (text("type"), text("in"), text("scheme").to_ascii_lowercase().as_str()) {
            ("apiKey", "header", _) if name.eq_ignore_ascii_case("authorization") => {
                notes.add("a key in Authorization is taken as Authorization: Bearer", at);
                "bearer".to_owned()
            }
            ("apiKey", "header", _) => format!("header {name}"),
            ("apiKey", "query", _) => format!("query {name}"),
            ("apiKey", "cookie", _) => return notes.add("a key in a cookie is no place for a token", at),
            ("http", _, "bearer") => "bearer".to_owned(),
            ("http", _, "basic") => {
                notes.add(
                    "of Authorization: Basic, the password is the token; `basic user` would be the other part",
                    at,
                );
                "basic password".to_owned()
            }
            ("oauth2" | "openIdConnect", ..) => {
                notes.add("tokens of an authorization server are not checked, unless `jwt` names it: the gateway has tokens of its own, as Authorization: Bearer", at);
                "bearer".to_owned()
            }
            (kind, ..) => {
                return notes
                    .add(format!("a security scheme of the type {} is no place for a token", in_a_line(kind)), at);
            }
        };
        if let Err(what) = TokenPlace::from_text(&place) {
            return notes.add(format!("its place for a token {what}"), at);
        }
        if self.header.is_none() {
            self.header = match place.strip_prefix("header ") {
                Some(name) => Some(name.to_owned()),
                None => matches!(place.as_str(), "bearer" | "basic password").then(|| "Authorization".to_owned()),
            };
        }
        if !self.places.contains(&place) {
            self.places.push(place);
        }
    }
}
