//! The API as an OpenAPI 3.1 document; `openapi/shown.rs` shows it as a page.
//!
//! Everything in it comes from the policy: paths, headers with their rules, the product's own
//! schema, and the problems that each status can have.

mod responses;
pub mod shown;

use serde_json::{Map, Value, json};

use super::draft::Own;
use super::example::EXAMPLE_KEY;
use super::example::request::Example;
use super::headers;
use super::product::View;
use crate::platform::count::counted;
use crate::policy::check::header::ValueShape;
use crate::policy::check::parameter::ParameterRule;
use crate::policy::check::token::TokenPlace;
use crate::policy::idempotency::{IdempotencyRule, MAX_KEY};
use crate::policy::paths::Endpoint;
use crate::policy::route::Route;
use crate::policy::{AccountInfo, Policy, Product};
use responses::{answer_headers, content_of, success};

/// The document.
pub fn document(policy: &Policy, own: &Own, products: &[View<'_>]) -> Value {
    let site = &own.site;
    let mut schemas = Map::new();
    schemas.insert("Error".to_owned(), error_object());
    schemas.insert("Problem".to_owned(), problem_object());
    let mut paths = Map::new();
    let mut tokens: Vec<&TokenPlace> = Vec::new();
    for view in products {
        let name = component(&view.slug);
        for (number, group) in view.groups.iter().enumerate() {
            let suffix = if number == 0 { String::new() } else { (number + 1).to_string() };
            let Some(first) = group.routes.first() else { continue };
            let mut named = |kind: &str, schema: Option<&Value>| {
                let key = format!("{name}{kind}{suffix}");
                let component = embedded(schema?, &key);
                schemas.insert(key.clone(), component);
                Some(key)
            };
            let schema = first.body.as_ref().and_then(|body| body.schema.as_ref()).map(|schema| schema.document());
            let components = Components {
                request: named("Request", schema),
                answer: named("Answer", first.answer_schema.as_deref()),
            };
            for route in &group.routes {
                insert(&mut paths, &route.path.text, &route.method, operation(policy, own, view, route, &components));
            }
        }
        tokens.extend(&view.product.token_places);
    }
    // It is routed where some product has prices, or somebody a quota.
    let account_info_path = policy.paths.find_anywhere(AccountInfo::PATH);
    if account_info_path.is_some_and(|path| path.endpoint(AccountInfo::METHOD) == Some(Endpoint::Credits)) {
        insert(&mut paths, AccountInfo::PATH, AccountInfo::METHOD, account_info(policy, own));
    }
    let schemes: Map<String, Value> = tokens.into_iter().map(|place| (scheme_name(place), scheme(place))).collect();
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

/// The components that have the schemas of a route.
struct Components {
    request: Option<String>,
    answer: Option<String>,
}

/// A schema by the name of its component.
fn referred(component: Option<&String>) -> Value {
    component.map_or_else(|| json!({}), |name| json!({ "$ref": format!("#/components/schemas/{name}") }))
}

fn operation(policy: &Policy, own: &Own, view: &View<'_>, route: &Route, components: &Components) -> Value {
    let product = view.product;
    let suffix = if route.index == 0 { String::new() } else { format!("-{}", u32::from(route.index) + 1) };
    let schema = referred(components.answer.as_ref());
    let success = success(policy, product, route, &schema);
    let mut responses = responses::of(policy, own, Some((product, route)), &success);
    responses::pass_on(&mut responses, policy, product, route, &schema);
    let mut operation = json!({
        "operationId": format!("{}{suffix}", view.slug),
        "tags": [view.title],
        "summary": view.title,
        "description": view.description,
        "security": security(&product.token_places),
        "parameters": parameters(product, route),
        "responses": responses,
    });
    let Some(members) = operation.as_object_mut() else { return operation };
    if let Some(body) = &route.body {
        let schema = referred(components.request.as_ref());
        let good = Example::good(product, route, own.examples).json();
        let taken = product.media.taken.iter();
        let content: Map<String, Value> =
            taken.map(|kind| (kind.name().to_owned(), content_of(kind, &schema, "request", good.as_ref()))).collect();
        let description = format!("At most {}.", counted(body.max_bytes, "byte"));
        members.insert(
            "requestBody".to_owned(),
            json!({ "required": true, "description": description, "content": content }),
        );
    }
    operation
}

/// The places that can carry the token are alternatives.
fn security(places: &[TokenPlace]) -> Vec<Value> {
    places.iter().map(|place| Value::Object(Map::from_iter([(scheme_name(place), json!([]))]))).collect()
}

/// The name of a place among the security schemes, of letters that it may have.
fn scheme_name(place: &TokenPlace) -> String {
    match place {
        TokenPlace::Header(name) => name.to_string(),
        TokenPlace::Bearer => "bearer".to_owned(),
        TokenPlace::Basic(_) => "basic".to_owned(),
        TokenPlace::Query(name) => {
            let plain =
                |letter: char| if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '-' };
            format!("query-{}", name.chars().map(plain).collect::<String>())
        }
    }
}

fn scheme(place: &TokenPlace) -> Value {
    match place {
        TokenPlace::Header(name) => json!({ "type": "apiKey", "in": "header", "name": name }),
        TokenPlace::Bearer => json!({ "type": "http", "scheme": "bearer" }),
        TokenPlace::Basic(_) => json!({ "type": "http", "scheme": "basic", "description": place.to_string() }),
        TokenPlace::Query(name) => json!({ "type": "apiKey", "in": "query", "name": name }),
    }
}

fn parameters(product: &Product, route: &Route) -> Vec<Value> {
    let numbered = route.parameters.iter().enumerate();
    let mut parameters: Vec<Value> = numbered
        .map(|(index, rule)| parameter(rule, if index < route.path.parameters() { "path" } else { "query" }))
        .collect();
    if let Some(name) = &product.deadline.header {
        let rule = &product.deadline;
        parameters.push(json!({
            "name": &**name, "in": "header", "required": false,
            "description": "The time limit of the request in seconds.",
            "schema": { "type": "integer", "minimum": rule.min_seconds, "maximum": rule.max_seconds, "default": rule.default.as_secs() },
        }));
    }
    for rule in &product.headers {
        let schema = shape(&rule.shape, true);
        let mut parameter = json!({ "name": &*rule.name, "in": "header", "required": false, "schema": schema });
        let says = headers::says(product, rule);
        if let (false, Some(members)) = (says.is_empty(), parameter.as_object_mut()) {
            members.insert("description".to_owned(), says.into());
        }
        parameters.push(parameter);
    }
    // Where a rule of its own says what a key is, it is among the headers.
    parameters.extend(product.idempotency.as_ref().filter(|rule| !rule.is_ruled).map(key_parameter));
    parameters
}

/// The header with the key of a request.
fn key_parameter(rule: &IdempotencyRule) -> Value {
    json!({
        "name": &*rule.header, "in": "header", "required": false,
        "description": headers::KEY,
        "schema": {
            "type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": r"^[!#-\[\]-~]+$", "example": EXAMPLE_KEY,
        },
    })
}

/// A parameter of a path or a query.
fn parameter(rule: &ParameterRule, place: &str) -> Value {
    let value = shape(&rule.shape, rule.is_required);
    let schema = if rule.may_repeat { json!({ "type": "array", "items": value }) } else { value };
    let mut parameter = json!({ "name": &*rule.name, "in": place, "required": rule.is_required, "schema": schema });
    let Some(members) = parameter.as_object_mut() else { return parameter };
    if !rule.description.is_empty() {
        members.insert("description".to_owned(), (*rule.description).into());
    }
    if !rule.example.is_empty() {
        let is_number = matches!(rule.shape, ValueShape::Number(_));
        let example = if is_number { number(&rule.example) } else { json!(&*rule.example) };
        let example = if rule.may_repeat { json!([example]) } else { example };
        members.insert("example".to_owned(), example);
    }
    parameter
}

/// The schema of a value; one that must be sent has at least a character.
fn shape(shape: &ValueShape, is_filled: bool) -> Value {
    let least = u8::from(is_filled);
    match shape {
        // Control characters are refused; lengths are counted in characters, of which a byte may be only a part.
        ValueShape::Any { max_bytes } => {
            json!({ "type": "string", "minLength": least, "maxLength": max_bytes, "pattern": "^[ -~]*$" })
        }
        ValueShape::OneOf { values, ignore_case } => one_of(values, *ignore_case),
        ValueShape::Pattern { max_bytes, .. } => {
            let pattern = shape.pattern().map_or_else(|| ".*".to_owned(), |pattern| format!("^(?:{pattern})$"));
            json!({ "type": "string", "minLength": least, "maxLength": max_bytes, "pattern": pattern })
        }
        ValueShape::Number(rule) => {
            let kind = ("type", json!(if rule.is_whole { "integer" } else { "number" }));
            let bounds = [("minimum", &rule.least), ("maximum", &rule.most)];
            let bounds = bounds.into_iter().filter_map(|(name, bound)| Some((name, number(bound.as_ref()?.as_str()))));
            std::iter::once(kind).chain(bounds).collect()
        }
    }
}

/// A number as JSON has it; the text if that cannot be.
fn number(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
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

/// The operation that shows an account's own credits.
fn account_info(policy: &Policy, own: &Own) -> Value {
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
        "security": security(&policy.token_places),
        "responses": responses::of(policy, own, None, &success),
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
