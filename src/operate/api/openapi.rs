//! The management API as an OpenAPI 3.1 document, made of the route table and of the types that handlers
//! take and answer.

use axum::http::{Method, StatusCode};
use schemars::Schema;
use schemars::generate::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::body::settings;
use super::caller::Who;
use super::problem::{self, Kind, Told};
use super::query::{self, MOST_BYTES, MOST_ROWS, MOST_SHEET_ROWS, Parameter};
use super::route::{Effect, MOST_KEY, Media, ROOT, Route};
use super::routes;
use crate::ledger::store::records::Role;

/// The name of the key's scheme among the components.
const KEY: &str = "managementKey";

/// The document of the whole API.
///
/// # Errors
/// When a row of the table has a type without a schema.
pub fn whole() -> Result<Value, String> {
    Ok(document(routes::all()?.iter()))
}

/// The document of a table.
pub fn document<'r>(routes: impl Iterator<Item = &'r Route>) -> Value {
    let mut answers = settings().for_serialize().into_generator();
    let mut bodies = settings().for_deserialize().into_generator();
    let problem = Schema::to_value(answers.subschema_for::<Told>());
    let mut paths = Map::new();
    for route in routes {
        let operation = operation(route, &problem, &mut answers, &mut bodies);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(route.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    let mut schemas = answers.take_definitions(true);
    // A type that is both taken and answered has one schema, unless the two differ.
    for (name, schema) in bodies.take_definitions(true) {
        schemas.entry(name).or_insert(schema);
    }
    let kinds: Vec<String> = problem::KINDS
        .into_iter()
        .map(|kind| format!("* `{}{}` ({}): {}", problem::PAGES, kind.slug(), kind.status().as_u16(), kind.title()))
        .collect();
    let description = format!(
        "What operators and customers do with accounts, tokens, lists, credits and keys.\n\nWhatever is refused is \
         answered with a problem (RFC 9457) of one of these types:\n\n{}",
        kinds.join("\n")
    );
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tollgate's management API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": description,
        },
        "servers": [{ "url": ROOT }],
        "security": [{ KEY: [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { KEY: {
                "type": "http",
                "scheme": "bearer",
                "description": "A management key, which begins with tgm_. `tollgate keys create` makes one.",
            }},
        },
    })
}

fn operation(route: &Route, problem: &Value, answers: &mut SchemaGenerator, bodies: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = route.parameters().map(path_parameter).collect();
    parameters.extend(route.query.iter().map(query_parameter));
    if route.effect.takes_key() {
        parameters.push(json!({
            "name": "Idempotency-Key",
            "in": "header",
            "required": route.effect.needs_key(),
            "description": "A word that this request alone has: however often it is sent, it happens once, and is answered the same for 48 hours.",
            "schema": {
                "type": "string",
                "pattern": format!("^([!#-\\[\\]-~]{{1,{MOST_KEY}}}|\"[!#-\\[\\]-~]{{1,{MOST_KEY}}}\")$"),
            },
        }));
    }
    if route.effect.needs_version() {
        parameters.push(json!({
            "name": "If-Match",
            "in": "header",
            "required": true,
            "description": "The `ETag` of what was read, or `*` for whatever is there.",
            "schema": { "type": "string", "pattern": "^(\\*|\"[0-9]{1,18}\")$" },
        }));
    }
    let roles: Vec<&str> = allowed(route.who).map(|role| role.word()).collect();
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "description": format!("Scope: {}. Roles: {}.", route.scope.word(), roles.join(", ")),
        "parameters": parameters,
        "responses": responses(route, problem, answers),
        "x-scope": route.scope.word(),
        "x-roles": roles,
    });
    if let (Some(schema), Some(members)) = ((route.takes)(bodies), operation.as_object_mut()) {
        let content = json!({ "application/json": { "schema": Schema::to_value(schema) } });
        members.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
    }
    operation
}

/// The roles that may ask.
fn allowed(who: Who) -> impl Iterator<Item = Role> {
    Role::ALL.iter().copied().filter(move |role| who.allows(*role))
}

fn path_parameter(name: &str) -> Value {
    let schema = match name {
        "list" => json!({ "type": "string", "enum": ["networks", "domains"] }),
        "product" | "plan" => json!({ "type": "string", "minLength": 1 }),
        _ => json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" }),
    };
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

fn query_parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.kind {
        query::Kind::Limit => json!({ "type": "integer", "minimum": 1, "maximum": MOST_ROWS }),
        query::Kind::SheetLimit => json!({ "type": "integer", "minimum": 1, "maximum": MOST_SHEET_ROWS }),
        query::Kind::Cursor | query::Kind::Text => {
            json!({ "type": "string", "minLength": 1, "maxLength": MOST_BYTES, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$" })
        }
        query::Kind::Word(words) => json!({ "type": "string", "enum": words }),
        query::Kind::Time => json!({ "type": "string", "format": "date-time" }),
    };
    json!({ "name": parameter.name, "in": "query", "description": parameter.about, "schema": schema })
}

/// Every answer of an operation: what it does, and what can be refused by what it asks for.
fn responses(route: &Route, problem: &Value, answers: &mut SchemaGenerator) -> Value {
    let mut headers = Map::new();
    if route.has_version {
        headers.insert(
            "ETag".to_owned(),
            json!({ "description": "The version that is shown.", "schema": { "type": "string" } }),
        );
    }
    if route.effect.takes_key() {
        headers.insert(
            "Idempotency-Replayed".to_owned(),
            json!({ "description": "`true` where an earlier request with this key has done it.", "schema": { "type": "string" } }),
        );
    }
    if route.effect.status() == StatusCode::CREATED {
        headers.insert(
            "Location".to_owned(),
            json!({ "description": "Where what was made can be read.", "schema": { "type": "string" } }),
        );
    }
    if route.media == Media::Csv {
        headers.insert(
            "Link".to_owned(),
            json!({ "description": "The next page, if there is one (`rel=\"next\"`).", "schema": { "type": "string" } }),
        );
    }
    let schema = (route.answers)(answers).map(Schema::to_value);
    let done = json!({
        "description": "Done.",
        "headers": headers,
        "content": { route.media.name(): { "schema": schema } },
    });
    let mut responses = Map::new();
    responses.insert(route.effect.status().as_u16().to_string(), done);
    let mut refused: Vec<Kind> =
        vec![Kind::InvalidQuery, Kind::Unauthenticated, Kind::ScopeMissing, Kind::NotFound, Kind::StoreUnavailable];
    if route.takes_body {
        refused.extend([Kind::RequestTimeout, Kind::BodyTooLarge, Kind::NotJson, Kind::InvalidBody]);
    }
    if route.effect != Effect::Read {
        refused.push(Kind::Conflict);
    }
    if route.effect.takes_key() {
        refused.push(Kind::KeyOfAnother);
    }
    if route.effect.needs_version() {
        refused.extend([Kind::VersionDiffers, Kind::VersionMissing]);
    }
    if route.method != Method::GET && !route.takes_body {
        refused.push(Kind::RequestTimeout);
    }
    for kind in refused {
        let described = json!({
            "description": kind.title(),
            "content": { problem::MEDIA_TYPE: { "schema": problem } },
        });
        // Several kinds can have one status; the first describes it.
        responses.entry(kind.status().as_u16().to_string()).or_insert(described);
    }
    Value::Object(responses)
}
