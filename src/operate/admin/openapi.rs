//! The admin API as an OpenAPI 3.1 document, generated from the table of its operations and from
//! the types of its answers.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::answers;
use super::correction::{CorrectionBody, MAX_WORDS};
use super::readiness::Readiness;
use super::routes::{Access, Content, Kind, ROUTES, Route, Takes};
use crate::ledger::Corrected;
use crate::ledger::entry::Statement;
use crate::operate::shadow::ShadowDocument;
use crate::operate::stage::StageDocument;
use crate::site::status::notice::{NoticeBody, Shown};

/// The media types of metrics.
pub const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The media type of YAML (RFC 9512).
pub const YAML: &str = "application/yaml";
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The name of the token's scheme among the components.
const TOKEN: &str = "token";

/// The document.
pub fn document() -> Value {
    // OpenAPI 3.1 has the schemas of draft 2020-12.
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut answers = settings.clone().for_serialize().into_generator();
    let mut bodies = settings.for_deserialize().into_generator();
    let mut paths = Map::new();
    for route in &ROUTES {
        let operation = operation(route, &mut answers, &mut bodies);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(route.method.name().to_ascii_lowercase(), operation);
        }
    }
    let mut schemas = answers.take_definitions(true);
    schemas.extend(bodies.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tollgate's admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Operations on a running gateway. GET includes HEAD. Every refusal says why, and what to do instead.",
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { TOKEN: {
                "type": "http",
                "scheme": "bearer",
                "description": "The token of `admin_token`, if the configuration has one.",
            }},
        },
    })
}

fn operation(route: &Route, answers: &mut SchemaGenerator, bodies: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = route.parameters().map(path_parameter).collect();
    parameters.extend(route.query.iter().map(|parameter| {
        let (schema, empty) = match parameter.kind {
            Kind::Flag => (json!({ "type": "string" }), true),
            Kind::Number => (json!({ "type": "integer", "minimum": 0 }), false),
            Kind::Text => (json!({ "type": "string" }), false),
            Kind::Time => (json!({ "type": "string", "format": "date-time" }), false),
        };
        json!({
            "name": parameter.name,
            "in": "query",
            "description": parameter.about,
            "allowEmptyValue": empty,
            "schema": schema,
        })
    }));
    if route.takes == Takes::Correction {
        parameters.push(json!({
            "name": "Idempotency-Key",
            "in": "header",
            "required": true,
            "description": "A unique key for this change: if it is sent again with the same key, it is applied only once.",
            "schema": { "type": "string", "minLength": 1, "maxLength": MAX_WORDS },
        }));
    }
    let mut responses = Map::new();
    for (status, content, about) in route.replies() {
        let response = response(content, about, answers);
        responses.insert(status.as_u16().to_string(), response);
    }
    let mut operation = json!({
        "operationId": format!("{:?}", route.operation),
        "summary": route.summary,
        "parameters": parameters,
        "responses": responses,
    });
    let body = match route.takes {
        Takes::Nothing => None,
        Takes::ShadowStart => Some(schema::<answers::ShadowStart>(bodies)),
        Takes::Notice => Some(schema::<NoticeBody>(bodies)),
        Takes::Correction => Some(schema::<CorrectionBody>(bodies)),
    };
    if let Some(members) = operation.as_object_mut() {
        if let Some(body) = body {
            let content = json!({ "application/json": { "schema": body } });
            members.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
        }
        match route.access {
            Access::Anybody | Access::OwnName => {}
            // Either of the two: a configuration without a token requires none.
            Access::Operator => drop(members.insert("security".to_owned(), json!([{ TOKEN: [] }, {}]))),
        }
    }
    operation
}

fn path_parameter(name: &str) -> Value {
    let schema =
        if name == "notice" { json!({ "type": "integer" }) } else { json!({ "type": "string", "minLength": 1 }) };
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

fn response(content: Content, about: &str, schemas: &mut SchemaGenerator) -> Value {
    let schema = match content {
        Content::Metrics => {
            let text = json!({ "schema": { "type": "string" } });
            return json!({ "description": about, "content": { PROMETHEUS_TEXT: text, OPENMETRICS: text } });
        }
        Content::Status => schema::<answers::Status>(schemas),
        Content::Readiness => schema::<Readiness>(schemas),
        Content::Document => json!({ "type": "object" }),
        Content::Upstreams => schema::<answers::Upstreams>(schemas),
        Content::Config => {
            let yaml = json!({ "schema": { "type": "string" } });
            let json = json!({ "schema": schema::<answers::Config>(schemas) });
            return json!({ "description": about, "content": { YAML: yaml, "application/json": json } });
        }
        Content::Reloaded => schema::<answers::Reloaded>(schemas),
        Content::Upgraded => schema::<answers::Upgraded>(schemas),
        Content::Shadow => schema::<ShadowDocument>(schemas),
        Content::Shadowed => schema::<answers::Shadowed>(schemas),
        Content::Stage => schema::<StageDocument>(schemas),
        Content::Staged => schema::<answers::Staged>(schemas),
        Content::Notices => schema::<answers::Notices>(schemas),
        Content::Notice => schema::<Shown>(schemas),
        Content::Balances => schema::<answers::Balances>(schemas),
        Content::Balance => schema::<Statement>(schemas),
        Content::Entries => schema::<answers::Entries>(schemas),
        Content::Corrected => schema::<Corrected>(schemas),
        Content::Refusal => schema::<answers::Refusal>(schemas),
    };
    json!({ "description": about, "content": { "application/json": { "schema": schema } } })
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    Schema::to_value(generator.subschema_for::<T>())
}
