//! Bodies of requests: JSON of a known shape, judged by the very schema that the OpenAPI document shows.
//!
//! The schema is made from the type that the handler gets, so that everything that is wrong is found at
//! once and told with its place; what a type cannot say (a network with host bits) is the handler's.

use std::marker::PhantomData;

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{PatternOptions, ValidationError, Validator};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::{FieldError, Kind, Problem};

/// Things that are wrong with one body and told at once.
const MOST_FAULTS: usize = 50;

/// Levels of nesting that a body may have: those of ours have four.
const MOST_LEVELS: usize = 16;

/// Bodies of one type.
pub struct Shape<B> {
    validator: Validator,
    kind: PhantomData<fn() -> B>,
}

/// The settings of every schema of the API: those of OpenAPI 3.1, which has the schemas of draft 2020-12.
pub fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    })
}

impl<B: DeserializeOwned + JsonSchema> Shape<B> {
    /// The shape of a type.
    ///
    /// # Errors
    /// When its schema is none, which a test of the route table finds.
    pub fn new() -> Result<Shape<B>, String> {
        let schema = SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<B>();
        let schema = schema.to_value();
        let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
        let validator = options.build(&schema).map_err(|error| error.to_string())?;
        Ok(Shape { validator, kind: PhantomData })
    }

    /// Reads a body.
    ///
    /// # Errors
    /// `malformed-body`, or `invalid-body` with everything that is wrong.
    pub fn read(&self, bytes: &[u8]) -> Result<B, Problem> {
        let malformed = |why: &'static str| Problem::new(Kind::MalformedBody, why);
        if bytes.is_empty() {
            return Err(malformed("The body is missing. Send a JSON object."));
        }
        if levels(bytes) > MOST_LEVELS {
            return Err(malformed("The body is nested deeper than anything that is taken here."));
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|error| {
            // The library's words could repeat what was sent; the place does not.
            let (line, column) = (error.line(), error.column());
            Problem::new(Kind::MalformedBody, format!("The body is not JSON from line {line}, column {column} on."))
        })?;
        let faults: Vec<FieldError> = self.validator.iter_errors(&value).flat_map(faults).take(MOST_FAULTS).collect();
        if !faults.is_empty() {
            return Err(Problem::body(faults));
        }
        // From the bytes, since a value has lost the members that are there twice.
        serde_json::from_slice(bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let what = if error.to_string().starts_with("duplicate field") {
                "has a member twice"
            } else {
                "has a value that is out of range"
            };
            Problem::new(Kind::MalformedBody, format!("The body {what}, at line {line}, column {column}."))
        })
    }
}

/// Refuses a body that does not say that it is JSON.
///
/// # Errors
/// `not-json`.
pub fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let is_json = match (values.next(), values.next()) {
        (Some(value), None) => {
            let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
            essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
        }
        _ => false,
    };
    if is_json { Ok(()) } else { Err(Problem::plain(Kind::NotJson)) }
}

/// The deepest nesting of brackets outside of strings.
fn levels(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// What one error of the library says, in words that repeat nothing of the body but names of members.
fn faults(error: ValidationError<'_>) -> Vec<FieldError> {
    let at = error.instance_path().to_string();
    let here = if at.is_empty() { "/".to_owned() } else { at.clone() };
    let one = |problem: &str, fix: String| vec![FieldError::new(here.clone(), problem, fix)];
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            // A name can be anything, even a secret that went astray: its place among the names is told by
            // its first characters.
            let told = |name: &String| {
                let fix = "remove it; the OpenAPI document lists the members that are taken";
                FieldError::new(format!("{at}/{}", shortened(name)), "is not a member that is known here", fix)
            };
            unexpected.iter().map(told).collect()
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![FieldError::new(format!("{at}/{name}"), "is missing", "write it")]
        }
        ValidationErrorKind::Type { kind } => {
            let wanted = match kind {
                TypeKind::Single(kind) => kind.to_string(),
                TypeKind::Multiple(kinds) => {
                    kinds.into_iter().map(|kind| kind.to_string()).collect::<Vec<_>>().join(" or ")
                }
            };
            one("is of another type", format!("write a value of the type {wanted}"))
        }
        ValidationErrorKind::Enum { options } => one("is none of the words", format!("write one of {options}")),
        ValidationErrorKind::Constant { expected_value } => one("is another value", format!("write {expected_value}")),
        ValidationErrorKind::MaxLength { limit } => one("is too long", format!("write at most {limit} characters")),
        ValidationErrorKind::MinLength { limit } => one("is too short", format!("write at least {limit} characters")),
        ValidationErrorKind::Maximum { limit } => one("is too large", format!("write at most {limit}")),
        ValidationErrorKind::Minimum { limit } => one("is too small", format!("write at least {limit}")),
        ValidationErrorKind::MaxItems { limit } => one("has too many elements", format!("write at most {limit}")),
        ValidationErrorKind::MinItems { limit } => one("has too few elements", format!("write at least {limit}")),
        ValidationErrorKind::Pattern { pattern } => {
            one("is not written as it has to be", format!("write text that matches {pattern}"))
        }
        ValidationErrorKind::Format { format } => one("is not of its format", format!("write a {format}")),
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            // Of several ways to write it, the one that came closest.
            let nearest = context.iter().min_by_key(|errors| errors.len());
            let nearest = nearest.into_iter().flatten().next().map(|error| error.kind().keyword().to_owned());
            one(
                "is none of what can be written here",
                format!("see the OpenAPI document; the nearest way fails at `{}`", nearest.unwrap_or_default()),
            )
        }
        other => one("is not as it has to be", format!("see `{}` in the OpenAPI document", other.keyword())),
    }
}

/// A name of a member that nobody knows, so short that no secret is told by it.
fn shortened(name: &str) -> String {
    const SHOWN: usize = 24;
    let shown: String = name.chars().take(SHOWN).map(|char| if char.is_control() { '?' } else { char }).collect();
    // RFC 6901, section 3.
    let shown = shown.replace('~', "~0").replace('/', "~1");
    if name.chars().count() > SHOWN { format!("{shown}…") } else { shown }
}
