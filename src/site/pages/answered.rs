//! Answers of a backend that are passed on under other statuses than its own 200, or with another body: what pages and
//! the OpenAPI document say of them (contract, section 11).

use serde_json::{Map, Value, json};

use crate::policy::answers::{Passing, Treatment};
use crate::policy::problem::Row;
use crate::policy::route::Route;

/// The answers that a route passes on, beside the 200 as it is: the backend's status, and how it is passed.
fn passed(route: &Route) -> impl Iterator<Item = (u16, &Passing)> {
    route.answers.iter().filter_map(|(status, treatment)| match treatment {
        Treatment::Pass(passing) if status != 200 || passing.status.code() != 200 || passing.body.is_some() => {
            Some((status, passing))
        }
        Treatment::Pass(_) | Treatment::Refuse(..) => None,
    })
}

/// Whether a route refuses with a row because of its backend's status.
pub fn refuses(route: &Route, row: Row) -> bool {
    route.answers.iter().any(|(_, treatment)| matches!(treatment, Treatment::Refuse(known, _) if *known == row))
}

/// What answers of one status can be, as JSON Schemas: the bodies that the configuration has, and `own` if the backend's
/// body can be passed on.
pub fn schemas(route: &Route, code: u16, own: &Value) -> Vec<Value> {
    let mut schemas: Vec<Value> = Vec::new();
    for (_, passing) in passed(route).filter(|(_, passing)| passing.status.code() == code) {
        let schema = match &passing.body {
            None => own.clone(),
            Some(body) => {
                serde_json::from_slice::<Value>(body).map_or_else(|_| json!({}), |body| json!({ "const": body }))
            }
        };
        if !schemas.contains(&schema) {
            schemas.push(schema);
        }
    }
    schemas
}

/// Adds schemas to the alternatives of each content of a response.
pub fn add(content: &mut Map<String, Value>, schemas: &[Value]) {
    for of_type in content.values_mut().filter_map(Value::as_object_mut) {
        let Some(known) = of_type.get("schema").cloned().filter(|_| !schemas.is_empty()) else { continue };
        let mut any = vec![known];
        for schema in schemas {
            if !any.contains(schema) {
                any.push(schema.clone());
            }
        }
        if any.len() > 1 {
            of_type.insert("schema".to_owned(), json!({ "anyOf": any }));
        }
    }
}

/// What a page says of these answers, a sentence for each.
pub fn sentences(route: &Route) -> Vec<String> {
    let mut sentences = Vec::new();
    for (status, passing) in passed(route) {
        let code = passing.status.code();
        let with = match (&passing.body, code) {
            (Some(body), _) => format!("{code} and {}", String::from_utf8_lossy(body)),
            (None, 200) => "200 and its own body".to_owned(),
            (None, _) => format!("{code} and its own body, which is no error object"),
        };
        sentences.push(format!("A lookup that ends with {status} is answered with {with}."));
    }
    sentences
}
