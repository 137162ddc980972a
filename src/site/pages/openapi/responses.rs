//! The responses of operations in the OpenAPI document: what a lookup is answered with, and each status that a refusal or
//! an answer that is passed on can have.

use serde_json::{Map, Value, json};

use crate::platform::pace;
use crate::policy::check::parameter::Undeclared;
use crate::policy::format::kind::Format;
use crate::policy::format::request_of_json;
use crate::policy::http::media::{MediaType, PROBLEM_JSON};
use crate::policy::problem::Row;
use crate::policy::route::Route;
use crate::policy::{Policy, Product};
use crate::site::pages::answered;
use crate::site::pages::draft::Own;
use crate::site::pages::headers;

/// A body or an answer of one type, with an example where its format is text. Of XML the outermost element has a name.
pub fn content_of(kind: &MediaType, schema: &Value, element: &str, example: Option<&Value>) -> Value {
    let format = Format::of(kind.name().as_bytes());
    let mut schema = schema.clone();
    if let (Some(Format::Xml), Some(members)) = (format, schema.as_object_mut()) {
        members.insert("xml".to_owned(), json!({ "name": element }));
    }
    let example = example.and_then(|example| match format {
        None | Some(Format::Json) => Some(example.clone()),
        Some(Format::Xml) => {
            let xml = request_of_json(Format::Xml, example.to_string().as_bytes()).ok()?;
            Some(String::from_utf8_lossy(&xml).into())
        }
        Some(Format::MsgPack) => None,
    });
    let mut content = json!({ "schema": schema });
    if let (Some(example), Some(content)) = (example, content.as_object_mut()) {
        content.insert("example".to_owned(), example);
    }
    content
}

/// The error objects of a product, or of requests without one, by media type.
fn errors(product: Option<&Product>) -> Value {
    let formats = product.map(|product| product.media.formats).unwrap_or_default();
    let error = json!({ "$ref": "#/components/schemas/Error" });
    let types = formats.iter().flat_map(Format::types).filter_map(|name| MediaType::parse(name).ok());
    let mut content: Map<String, Value> =
        types.map(|kind| (kind.name().to_owned(), content_of(&kind, &error, "response", None))).collect();
    content.insert(PROBLEM_JSON.to_owned(), json!({ "schema": { "$ref": "#/components/schemas/Problem" } }));
    Value::Object(content)
}

/// An answer in each type that a product serves.
fn contents(product: &Product, schema: &Value) -> Map<String, Value> {
    let served = product.media.served.iter();
    served.map(|kind| (kind.name().to_owned(), content_of(kind, schema, "response", None))).collect()
}

/// The answer to an accepted request.
pub fn success(policy: &Policy, product: &Product, route: &Route, schema: &Value) -> Value {
    let mut content = contents(product, schema);
    answered::add(&mut content, &answered::schemas(route, 200, schema));
    let mut named = answer_headers(policy, Some(product));
    if route.tariff.is_some() {
        named.extend(headers::CREDITS.iter().map(|meaning| described(meaning.name, meaning.says, meaning.number)));
    }
    if product.idempotency.is_some() {
        named.extend([described(headers::REPLAYED.name, headers::REPLAYED.says, false)]);
    }
    json!({ "description": "The result of the lookup.", "headers": Value::Object(named), "content": content })
}

/// The headers of any answer.
pub fn answer_headers(policy: &Policy, product: Option<&Product>) -> Map<String, Value> {
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

/// Whether requests for a route of a product, or about credits, can be refused with a row.
fn applies(asked: Option<(&Product, &Route)>, row: Row) -> bool {
    let (product, route) = asked.unzip();
    if route.is_some_and(|route| answered::refuses(route, row)) {
        return true;
    }
    let body = route.and_then(|route| route.body.as_ref());
    match row {
        Row::ContentTypeUnsupported | Row::BodyTooLarge | Row::BodyEmpty | Row::BodyMalformed | Row::BodyInvalid => {
            body.is_some()
        }
        Row::TimeoutInvalid => product.is_some_and(|product| product.deadline.header.is_some()),
        Row::ParameterInvalid => route.is_some_and(|route| {
            route.undeclared == Undeclared::Refuse || route.parameters.iter().any(|rule| rule.row == row)
        }),
        Row::ReferenceIdInvalid | Row::AddMetadataInvalid | Row::Own(_) => {
            let schema = body.and_then(|body| body.schema.as_ref());
            let in_body = schema.is_some_and(|schema| schema.mappings().iter().any(|mapping| mapping.row == row));
            let in_target = route.is_some_and(|route| route.parameters.iter().any(|rule| rule.row == row));
            let in_head = product.is_some_and(|product| product.headers.iter().any(|rule| rule.row == row));
            in_body || in_target || in_head || (product.is_none() && row == Row::ReferenceIdInvalid)
        }
        Row::ProductMismatch | Row::DeadlineExceeded | Row::UpstreamUnavailable | Row::UpstreamFailed => {
            product.is_some()
        }
        Row::IdempotencyKeyReused => product.is_some_and(|product| product.idempotency.is_some()),
        Row::CreditsInsufficient | Row::CreditsUnavailable => route.is_some_and(|route| route.tariff.is_some()),
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
pub fn of(policy: &Policy, own: &Own, asked: Option<(&Product, &Route)>, success: &Value) -> Map<String, Value> {
    let product = asked.map(|(product, _)| product);
    let wording = product.map_or(&policy.wording, |product| &product.wording);
    let mut responses = Map::from_iter([("200".to_owned(), success.clone())]);
    let mut by_status: Vec<(u16, Vec<Row>)> = Vec::new();
    for (row, words) in wording.iter().filter(|(row, _)| applies(asked, *row)) {
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
                "content": errors(product),
                "x-problems": slugs,
            }),
        );
    }
    responses
}

/// Adds what answers can be that are passed on under another status than 200.
pub fn pass_on(responses: &mut Map<String, Value>, policy: &Policy, product: &Product, route: &Route, schema: &Value) {
    for code in route.answers.passed_statuses() {
        let schemas = answered::schemas(route, code, schema);
        let response = responses.entry(code.to_string()).or_insert_with(
            || json!({ "description": "", "headers": answer_headers(policy, Some(product)), "content": {} }),
        );
        let Some(response) = response.as_object_mut() else { continue };
        if let Some(Value::String(description)) = response.get_mut("description") {
            let before = if description.is_empty() { "" } else { "; or " };
            description.push_str(before);
            description.push_str("the answer of the lookup");
        }
        if let Some(Value::Object(content)) = response.get_mut("content") {
            for (name, of_type) in contents(product, schemas.first().unwrap_or(schema)) {
                content.entry(name).or_insert(of_type);
            }
            answered::add(content, &schemas);
        }
    }
}
