//! The OpenAPI document as a page, read from the same document that programs get.

use serde_json::Value;

use crate::platform::pace;
use crate::site::pages::fields::{self, Field};

/// One operation as the page shows it, read from the document.
#[derive(Debug, Default)]
pub struct Operation {
    pub id: String,
    pub method: String,
    pub path: String,
    pub summary: String,
    pub description: String,
    pub tokens: Vec<String>,
    pub parameters: Vec<Parameter>,
    pub body: Vec<Field>,
    pub answer: Vec<Field>,
    pub responses: Vec<Response>,
}

/// A header of a request, as the page shows it.
#[derive(Debug)]
pub struct Parameter {
    pub name: String,
    pub kind: String,
    pub description: String,
}

/// A response of an operation, as the page shows it.
#[derive(Debug)]
pub struct Response {
    pub status: String,
    pub description: String,
    pub problems: Vec<String>,
    pub headers: Vec<String>,
}

/// The operations of the document.
pub fn operations(document: &Value) -> Vec<Operation> {
    let paths = document.get("paths").and_then(Value::as_object);
    let all = paths.into_iter().flatten().flat_map(|(path, methods)| {
        methods.as_object().into_iter().flatten().map(move |(method, operation)| (path, method, operation))
    });
    all.map(|(path, method, operation)| {
        pace::step();
        shown(document, path, method, operation)
    })
    .collect()
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn keys(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_object).map(|members| members.keys().cloned().collect()).unwrap_or_default()
}

fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn shown(document: &Value, path: &str, method: &str, operation: &Value) -> Operation {
    let schema_of = |content: Option<&Value>| {
        let first = content.and_then(|content| content.get("content")).and_then(Value::as_object);
        let schema = first.and_then(|content| content.values().next()).and_then(|content| content.get("schema"));
        schema.map(|schema| fields::of(document, schema)).unwrap_or_default()
    };
    let responses = operation.get("responses").and_then(Value::as_object);
    Operation {
        id: text(operation, "operationId"),
        method: method.to_ascii_uppercase(),
        path: path.to_owned(),
        summary: text(operation, "summary"),
        description: text(operation, "description"),
        tokens: items(operation.get("security")).flat_map(|scheme| keys(Some(scheme))).collect(),
        parameters: items(operation.get("parameters"))
            .map(|parameter| Parameter {
                name: text(parameter, "name"),
                kind: parameter.get("schema").map(|schema| fields::kind(document, schema)).unwrap_or_default(),
                description: text(parameter, "description"),
            })
            .collect(),
        body: schema_of(operation.get("requestBody")),
        answer: schema_of(responses.and_then(|responses| responses.get("200"))),
        responses: responses
            .into_iter()
            .flatten()
            .map(|(status, response)| {
                let problems: Vec<String> =
                    items(response.get("x-problems")).filter_map(Value::as_str).map(str::to_owned).collect();
                Response {
                    status: status.clone(),
                    description: if problems.is_empty() { text(response, "description") } else { String::new() },
                    problems,
                    headers: keys(response.get("headers")),
                }
            })
            .collect(),
    }
}
