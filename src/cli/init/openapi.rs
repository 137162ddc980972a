//! A draft from a backend's OpenAPI document: its operations become routes, and whatever cannot be taken over is noted.
//!
//! A document is not trusted: its size, the number of its operations, of references and of the values that are made from
//! it have limits, and what it says becomes part of the configuration only in quotes.

mod document;
mod operations;
mod parameters;
mod schemas;
mod security;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::Value;

pub use self::document::Document;
use self::operations::{Operation, Operations};
use super::arguments::Command;
use super::backend::Backend;
use super::beginning::{addresses, missing};
use super::draft::{Draft, in_a_line};
use super::names::slug;
use super::notes::Notes;
use super::questions::Questions;
use crate::config::units::RouteText;
use crate::operate::failure::Failure;
use crate::platform::pace::Allowance;

/// The most processor time for a document.
const MAX_TIME: Duration = Duration::from_secs(30);

/// The most operations that are taken over.
const MAX_OPERATIONS: usize = 200;

/// Keys of a document that this reads; others are noted.
const KNOWN: [&str; 7] = ["openapi", "info", "servers", "paths", "components", "security", "jsonSchemaDialect"];

/// A draft from a document.
///
/// # Errors
/// Why the document cannot be used, or a flag that is missing.
pub fn draft(
    command: &Command,
    document: &Document,
    questions: &mut Option<Questions<'_>>,
    notes: &mut Notes,
) -> Result<Draft, Failure> {
    let _allowance = Allowance::new(MAX_TIME);
    let operations = chosen(document, command, notes)?;
    let backend = match (&command.backend, server(document, notes), &mut *questions) {
        (Some(backend), ..) => backend.clone(),
        (None, Ok(backend), _) => backend,
        (None, Err(what), Some(questions)) => {
            questions.say(&format!("{what}.\n"))?;
            questions.ask("Your backend's URL", Some("http://127.0.0.1:9001"), Backend::parse)?
        }
        (None, Err(what), None) => {
            return Err(missing(
                "--backend",
                &format!("{what}: say where the backend is, as in --backend http://127.0.0.1:9001"),
            ));
        }
    };
    let (listen, public_url) = addresses(command, &backend, questions)?;
    let title =
        document.root.pointer("/info/title").and_then(Value::as_str).map(in_a_line).filter(|title| !title.is_empty());
    let named = command.product.clone().or_else(|| title.as_deref().map(slug)).filter(|name| !name.is_empty());
    let product = named.unwrap_or_else(|| "lookup".to_owned());
    for key in document.root.as_object().into_iter().flatten().map(|(key, _)| key) {
        if !KNOWN.contains(&key.as_str()) {
            notes.add(format!("`{}` of the document is left out", in_a_line(key)), "the top");
        }
    }
    let mut draft = Draft { title, ..command.draft(backend, listen, public_url, product) };
    if command.token_in.is_empty() {
        let stated: Vec<(&str, &Value)> = operations.iter().map(|one| (one.at.as_str(), one.value)).collect();
        let found = security::places(document, &stated, notes);
        (draft.token_places, draft.backend_key) = (found.places, found.header);
    } else {
        draft.token_places.clone_from(&command.token_in);
    }
    Operations { document, notes, draft: &mut draft }.take(&operations);
    if draft.routes.is_empty() {
        return Err(format!(
            "{}{} has no operation that can be served; nothing was written",
            notes.text(),
            document.name
        )
        .into());
    }
    Ok(draft)
}

/// The operations to take over: those that flags name, or all.
fn chosen<'d>(document: &'d Document, command: &Command, notes: &mut Notes) -> Result<Vec<Operation<'d>>, Failure> {
    let all = operations::all(document, notes);
    let name = &document.name;
    let is_wanted = |one: &Operation<'_>| {
        command.routes.iter().any(|RouteText { method, path }| **method == *one.method && **path == *one.path)
    };
    for RouteText { method, path } in &command.routes {
        if !all.iter().any(|one| **method == *one.method && **path == *one.path) {
            let what = format!(
                "--route {method} {path} is not an operation of {name}; write its method and its path as they are there"
            );
            return Err(Failure::Arguments(what.into()));
        }
    }
    let chosen: Vec<Operation<'d>> = match command.routes.is_empty() {
        true => all,
        false => all.into_iter().filter(is_wanted).collect(),
    };
    if chosen.is_empty() {
        return Err(format!("{}{name} has no operations; its key `paths` has them", notes.text()).into());
    }
    if chosen.len() > MAX_OPERATIONS {
        let count = chosen.len();
        let what = format!(
            "{name} has {count} operations, and at most {MAX_OPERATIONS} are taken over; name those that you sell with --route, once for each, as in --route 'GET /v1/vat/{{number}}'"
        );
        return Err(what.into());
    }
    Ok(chosen)
}

/// The backend that the document's first server is.
fn server(document: &Document, notes: &mut Notes) -> Result<Backend, String> {
    let servers = document.root.get("servers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let [first, others @ ..] = servers else { return Err("the document names no server".to_owned()) };
    for (number, _) in others.iter().enumerate() {
        notes.add("a further server of the document is left out", format!("servers[{}]", number.saturating_add(1)));
    }
    let mut url = first.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
    let variables = first.get("variables").and_then(Value::as_object);
    for (name, variable) in variables.into_iter().flatten().take(MAX_OPERATIONS) {
        let value = variable.get("default").and_then(Value::as_str).unwrap_or_default();
        notes.add("a variable of the server has its default", format!("servers[0].variables.{}", in_a_line(name)));
        url = url.replace(&format!("{{{name}}}"), value);
        if url.len() > 4096 {
            return Err("the document's server has a URL that is too long".to_owned());
        }
    }
    if !url.contains("://") {
        return Err(format!("the document's server {} has no host", in_a_line(&url)));
    }
    Backend::parse(&url).map_err(|what| format!("the document's server {what}"))
}
