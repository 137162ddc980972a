//! The API as an OpenAPI 3.1 document; `openapi/shown.rs` shows it as a page.
//!
//! Everything in it comes from the policy: paths, headers with their rules, the product's own
//! schema, and the problems that each status can have.

pub mod shown;

use serde_json::{Map, Value, json};

use super::draft::Own;
use super::example::request::Example;
use super::headers;
use super::product::{View, pattern};
use crate::platform::count::counted;
use crate::platform::pace;
use crate::policy::check::header::Shape;
use crate::policy::problem::Row;
use crate::policy::{AccountInfo, Endpoint, Policy, Product};

/// The document.
pub fn document(policy: &Policy, own: &Own, products: &[View<'_>]) -> Value {
    let site = &own.site;
    let mut schemas = Map::new();
    schemas.insert("Error".to_owned(), error_object());
    schemas.insert("Problem".to_owned(), problem_object());
    let mut paths = Map::new();
    let mut tokens: Vec<String> = Vec::new();
    for view in products {
        let name = component(&view.slug);
        if let Some(schema) = view.product.body.as_ref().and_then(|body| body.schema.as_ref()) {
            let key = format!("{name}Request");
            schemas.insert(key.clone(), embedded(schema.document(), &key));
        }
        if let Some(schema) = &view.product.answer_schema {
            let key = format!("{name}Answer");
            schemas.insert(key.clone(), embedded(schema, &key));
        }
        for (number, (method, path)) in view.routes.iter().enumerate() {
            let operation = operation(policy, own, view, &name, number);
            insert(&mut paths, path, method, operation);
        }
        tokens.extend(view.token_headers.iter().cloned());
    }
    // It is routed where some product has prices, or somebody a quota.
    let account_info_path = policy.paths.find(AccountInfo::PATH);
    if account_info_path.is_some_and(|path| path.endpoint(AccountInfo::METHOD) == Some(Endpoint::Credits)) {
        insert(&mut paths, AccountInfo::PATH, AccountInfo::METHOD, account_info(policy, own, &tokens));
    }
    tokens.sort_unstable();
    tokens.dedup();
    let schemes: Map<String, Value> =
        tokens.iter().map(|name| (name.clone(), json!({ "type": "apiKey", "in": "header", "name": name }))).collect();
    let mut info = json!({
        "title": &*site.name,
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Every error has the same format: one object with four members, whose type links to the page about the problem.",
    });
    if let (Some(email), Some(info)) = (&site.support.email, info.as_object_mut()) {
        info.insert("contact".to_owned(), json!({ "email": &**email }));
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": info,
        "servers": [{ "url": &*site.api_url }],
        "externalDocs": { "url": site.url("/reference"), "description": "Reference" },
        "tags": products.iter().map(|view| json!({ "name": view.title })).collect::<Vec<_>>(),
        "components": { "schemas": schemas, "securitySchemes": schemes },
    });
    if let Some(members) = document.as_object_mut() {
        members.insert("paths".to_owned(), Value::Object(paths));
    }
    document
}

fn insert(paths: &mut Map<String, Value>, path: &str, method: &str, operation: Value) {
    let entry = paths.entry(path.to_owned()).or_insert_with(|| Value::Object(Map::new()));
    if let Some(entry) = entry.as_object_mut() {
        entry.insert(method.to_ascii_lowercase(), operation);
    }
}

/// A product's slug as the beginning of a component's name.
fn component(slug: &str) -> String {
    let words = slug.split('-').filter(|word| !word.is_empty());
    words.fold(String::new(), |name, word| {
        let (first, rest) = word.split_at(1);
        name + &first.to_ascii_uppercase() + rest
    })
}

fn operation(policy: &Policy, own: &Own, view: &View<'_>, name: &str, number: usize) -> Value {
    let product = view.product;
    let suffix = if number == 0 { String::new() } else { format!("-{}", number + 1) };
    let mut operation = json!({
        "operationId": format!("{}{suffix}", view.slug),
        "tags": [view.title],
        "summary": view.title,
        "description": view.description,
        "security": security(&view.token_headers),
        "parameters": parameters(product),
        "responses": responses(policy, own, Some(product), &success(policy, view, name)),
    });
    let Some(members) = operation.as_object_mut() else { return operation };
    if let Some(body) = &product.body {
        let schema = match body.schema {
            Some(_) => json!({ "$ref": format!("#/components/schemas/{name}Request") }),
            None => json!({}),
        };
        let good = Example::good(policy, product, own.examples).and_then(|example| example.json());
        let content: Map<String, Value> = product
            .media
            .taken
            .iter()
            .map(|kind| {
                let mut content = json!({ "schema": schema });
                if let (Some(good), Some(content)) = (&good, content.as_object_mut()) {
                    content.insert("example".to_owned(), good.clone());
                }
                (kind.name().to_owned(), content)
            })
            .collect();
        let description = format!("At most {}.", counted(body.max_bytes, "byte"));
        members.insert(
            "requestBody".to_owned(),
            json!({ "required": true, "description": description, "content": content }),
        );
    }
    operation
}

/// The headers that can carry the token are alternatives.
fn security(token_headers: &[String]) -> Vec<Value> {
    let one = |name: &String| Value::Object(Map::from_iter([(name.clone(), json!([]))]));
    token_headers.iter().map(one).collect()
}

fn parameters(product: &Product) -> Vec<Value> {
    let mut parameters: Vec<Value> = Vec::new();
    if let Some(name) = &product.deadline.header {
        let rule = &product.deadline;
        parameters.push(json!({
            "name": &**name, "in": "header", "required": false,
            "description": "The time limit of the request in seconds.",
            "schema": { "type": "integer", "minimum": rule.min_seconds, "maximum": rule.max_seconds, "default": rule.default.as_secs() },
        }));
    }
    for rule in &product.headers {
        let schema = match &rule.shape {
            Shape::OneOf { values, ignore_case } => one_of(values, *ignore_case),
            shape @ Shape::Pattern { max_bytes, .. } => {
                let pattern = pattern(shape).map_or_else(|| ".*".to_owned(), |pattern| format!("^(?:{pattern})$"));
                json!({ "type": "string", "minLength": 1, "maxLength": max_bytes, "pattern": pattern })
            }
        };
        let mut parameter = json!({ "name": &*rule.name, "in": "header", "required": false, "schema": schema });
        if let (true, Some(members)) = (rule.echo, parameter.as_object_mut()) {
            members.insert("description".to_owned(), headers::ECHOED.into());
        }
        parameters.push(parameter);
    }
    parameters
}

/// A schema for one of some values. If upper and lower case are the same, it is a pattern, since an
/// enum cannot express that.
fn one_of(values: &[Box<str>], ignore_case: bool) -> Value {
    if !ignore_case {
        return json!({ "type": "string", "enum": values });
    }
    let any_case = |letter: char| {
        if letter.is_ascii_alphabetic() {
            format!("[{}{}]", letter.to_ascii_uppercase(), letter.to_ascii_lowercase())
        } else {
            regex::escape(&letter.to_string())
        }
    };
    let alternatives: Vec<String> = values.iter().map(|value| value.chars().map(any_case).collect()).collect();
    json!({ "type": "string", "pattern": format!("^(?:{})$", alternatives.join("|")), "examples": values })
}

/// The answer to an accepted request.
fn success(policy: &Policy, view: &View<'_>, name: &str) -> Value {
    let product = view.product;
    let schema = match product.answer_schema {
        Some(_) => json!({ "$ref": format!("#/components/schemas/{name}Answer") }),
        None => json!({}),
    };
    let content: Map<String, Value> =
        product.media.served.iter().map(|kind| (kind.name().to_owned(), json!({ "schema": schema }))).collect();
    let mut named = answer_headers(policy, Some(product));
    if product.tariff.is_some() {
        named.extend(headers::CREDITS.iter().map(|meaning| described(meaning.name, meaning.says, meaning.number)));
    }
    json!({ "description": "The result of the lookup.", "headers": Value::Object(named), "content": content })
}

/// The headers of any answer.
fn answer_headers(policy: &Policy, product: Option<&Product>) -> Map<String, Value> {
    let transaction = &headers::TRANSACTION;
    let mut named = Map::from_iter([described(transaction.name, transaction.says, false)]);
    let rules = product.map_or(&policy.echoed, |product| &product.headers);
    named.extend(rules.iter().filter(|rule| rule.echo).map(|rule| described(&rule.name, headers::ECHOED, false)));
    named.extend(headers::RATE.iter().map(|meaning| described(meaning.name, meaning.says, meaning.number)));
    named
}

fn described(name: &str, says: &str, number: bool) -> (String, Value) {
    let schema = if number { json!({ "type": "integer", "minimum": 0 }) } else { json!({ "type": "string" }) };
    (name.to_owned(), json!({ "description": says, "schema": schema }))
}

/// Whether requests for a product, or about credits, can be refused with a row.
fn applies(product: Option<&Product>, row: Row) -> bool {
    let body = product.and_then(|product| product.body.as_ref());
    match row {
        Row::ContentTypeUnsupported | Row::BodyTooLarge | Row::BodyEmpty | Row::BodyMalformed | Row::BodyInvalid => {
            body.is_some()
        }
        Row::TimeoutInvalid => product.is_some_and(|product| product.deadline.header.is_some()),
        Row::ReferenceIdInvalid | Row::AddMetadataInvalid | Row::Own(_) => {
            let schema = body.and_then(|body| body.schema.as_ref());
            let in_body = schema.is_some_and(|schema| schema.mappings().iter().any(|mapping| mapping.row == row));
            let in_head = product.is_some_and(|product| product.headers.iter().any(|rule| rule.row == row));
            in_body || in_head || (product.is_none() && row == Row::ReferenceIdInvalid)
        }
        Row::ProductMismatch | Row::DeadlineExceeded | Row::UpstreamUnavailable | Row::UpstreamFailed => {
            product.is_some()
        }
        Row::CreditsInsufficient => product.is_some_and(|product| product.tariff.is_some()),
        Row::MalformedRequest
        | Row::RequestTimeout
        | Row::Overloaded
        | Row::EndpointUnknown
        | Row::TokenMissing
        | Row::TokenUnknown
        | Row::TokenDisabled
        | Row::TokenExpired
        | Row::IpNotAllowed
        | Row::DomainNotAllowed
        | Row::RateExceeded
        | Row::QuotaExceeded
        | Row::ConcurrencyExceeded
        | Row::AcceptUnsupported
        | Row::Internal => true,
    }
}

/// The responses of an operation: its success, and each status that a refusal can have.
fn responses(policy: &Policy, own: &Own, product: Option<&Product>, success: &Value) -> Value {
    let wording = product.map_or(&policy.wording, |product| &product.wording);
    let mut responses = Map::from_iter([("200".to_owned(), success.clone())]);
    let mut by_status: Vec<(u16, Vec<Row>)> = Vec::new();
    for (row, words) in wording.iter().filter(|(row, _)| applies(product, *row)) {
        let code = words.status.code();
        match by_status.iter_mut().find(|(known, _)| *known == code) {
            Some((_, rows)) => rows.push(*row),
            None => by_status.push((code, vec![*row])),
        }
    }
    by_status.sort_unstable_by_key(|(code, _)| *code);
    for (code, rows) in by_status {
        pace::step();
        let mut named = answer_headers(policy, product);
        if matches!(code, 429 | 503) {
            let meaning = &headers::RETRY_AFTER;
            named.extend([described(meaning.name, meaning.says, meaning.number)]);
        }
        if code == 404 {
            named.extend([described(headers::ALLOW.name, headers::ALLOW.says, false)]);
        }
        let slugs: Vec<&str> = rows.iter().map(|row| &*wording.words(*row).slug).collect();
        let links = slugs.iter().map(|slug| format!("[{slug}]({})", own.site.url(&format!("/problems/{slug}"))));
        responses.insert(
            code.to_string(),
            json!({
                "description": links.collect::<Vec<_>>().join(", "),
                "headers": named,
                "content": {
                    "application/json": { "schema": { "$ref": "#/components/schemas/Error" } },
                    "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
                },
                "x-problems": slugs,
            }),
        );
    }
    Value::Object(responses)
}

/// The operation that shows an account's own credits.
fn account_info(policy: &Policy, own: &Own, token_headers: &[String]) -> Value {
    let whole = json!({ "type": "integer", "minimum": 0 });
    let credits = json!({
        "type": "object",
        "required": ["product", "balance", "held", "spent", "granted"],
        "properties": { "product": { "type": "string" }, "balance": whole, "held": whole, "spent": whole, "granted": whole },
    });
    let rate = json!({
        "type": ["object", "null"],
        "required": ["limit", "period_seconds", "remaining", "reset"],
        "properties": { "limit": whole, "period_seconds": whole, "remaining": whole, "reset": whole },
    });
    let limit = json!({
        "type": "object",
        "required": ["name", "limit", "period_seconds", "remaining", "reset", "renewed"],
        "properties": {
            "name": { "type": "string", "description": "What the RateLimit headers call it." },
            "product": { "type": "string", "description": "Of a limit of the account for one product." },
            "limit": whole, "period_seconds": whole, "remaining": whole, "reset": whole,
            "renewed": { "enum": ["continuously", "day", "month"] },
        },
    });
    let concurrency = json!({
        "type": "object",
        "description": "Only of an account that may have so many requests in flight.",
        "required": ["limit", "in_flight"],
        "properties": { "limit": whole, "in_flight": whole },
    });
    let schema = json!({
        "type": "object",
        "required": ["credits", "rate", "limits"],
        "properties": {
            "credits": { "type": "array", "items": credits },
            "rate": rate,
            "limits": { "type": "array", "items": limit },
            "concurrency": concurrency,
        },
    });
    let success = json!({
        "description": "The account's balances, its rate limit, and all its limits and quotas.",
        "headers": answer_headers(policy, None),
        "content": { "application/json": { "schema": schema } },
    });
    json!({
        "operationId": "account-credits",
        "summary": "Credits of the account",
        "description": "The credits that the token's account has left, for each product. It costs nothing and has a rate limit of its own.",
        "security": security(token_headers),
        "responses": responses(policy, own, None, &success),
    })
}

fn members() -> Map<String, Value> {
    let text = |says: &str| json!({ "type": "string", "description": says });
    Map::from_iter([
        (
            "type".to_owned(),
            json!({ "type": "string", "format": "uri", "description": "A link to the page about this problem." }),
        ),
        ("title".to_owned(), text("The standard reason phrase of the status.")),
        ("detail".to_owned(), text("What was wrong, what to do, and where to get help.")),
        ("instance".to_owned(), text("The path of the request, without its query.")),
    ])
}

fn error_object() -> Value {
    json!({
        "type": "object",
        "description": "The format of all errors.",
        "required": ["error"],
        "additionalProperties": false,
        "properties": {
            "error": {
                "type": "object",
                "required": ["type", "title", "detail", "instance"],
                "additionalProperties": false,
                "properties": members(),
            },
        },
    })
}

fn problem_object() -> Value {
    let mut properties = members();
    properties
        .insert("status".to_owned(), json!({ "type": "integer", "description": "The status code of the response." }));
    json!({
        "type": "object",
        "description": "The same in the format of RFC 9457, for clients that prefer application/problem+json.",
        "required": ["type", "title", "status", "detail", "instance"],
        "additionalProperties": false,
        "properties": properties,
    })
}

/// A schema as a component: its references are rewritten to point into the component.
fn embedded(schema: &Value, name: &str) -> Value {
    match schema {
        Value::Object(members) => members
            .iter()
            .filter(|(key, _)| *key != "$schema" && *key != "$id")
            .map(|(key, value)| match value {
                Value::String(reference) if key == "$ref" => {
                    let within = reference.strip_prefix('#');
                    let reference = within.map(|pointer| format!("#/components/schemas/{name}{pointer}"));
                    (key.clone(), reference.map_or_else(|| value.clone(), Value::String))
                }
                value => (key.clone(), embedded(value, name)),
            })
            .collect(),
        Value::Array(items) => items.iter().map(|item| embedded(item, name)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => schema.clone(),
    }
}
