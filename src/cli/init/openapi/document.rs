//! An OpenAPI document as it was read, within limits, and what its references lead to.

use std::path::Path;

use serde_json::Value;

use crate::config::yaml::{self, Mistakes};
use crate::operate::failure::Failure;
use crate::platform::files;

/// The most bytes of a document.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The most references that lead on to another one.
const MAX_HOPS: usize = 32;

/// A document.
pub struct Document {
    /// How messages call it.
    pub name: String,
    pub root: Value,
    /// Whether it is of version 3.0, whose schemas have keywords of their own.
    pub is_3_0: bool,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// Why it cannot be used, and what would mend it.
    pub fn read(path: &Path) -> Result<Document, Failure> {
        let name = path.display().to_string();
        let text = files::text(path, MAX_BYTES).map_err(|why| Failure::from(format!("{name} {why}")))?;
        Document::parse(&name, &text)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(name: &str, text: &str) -> Result<Document, Failure> {
        let text = text.trim_start_matches('\u{feff}');
        let root = match text.trim_start().starts_with('{') {
            // Tabs may stand in JSON, and not in YAML.
            true => serde_json::from_str(text).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                format!("{name}:{line}:{column}: is not JSON, or is nested too deeply; correct the text here")
            })?,
            false => {
                let mut mistakes = Mistakes::default();
                let read = yaml::read::<Value>(name, text, &mut mistakes);
                match read {
                    Some((root, _)) if mistakes.is_empty() => root,
                    _ => return Err(Failure::Mistakes(mistakes)),
                }
            }
        };
        let is_3_0 = version(name, &root)?;
        Ok(Document { name: name.to_owned(), root, is_3_0 })
    }

    /// What a value is, after its references; the second is where that stands.
    ///
    /// # Errors
    /// Why a reference leads nowhere.
    pub fn follow<'d>(&'d self, value: &'d Value, at: &str) -> Result<(&'d Value, String), String> {
        let (mut value, mut at) = (value, at.to_owned());
        for _ in 0..MAX_HOPS {
            let Some(Value::String(reference)) = value.get("$ref") else { return Ok((value, at)) };
            value = self.find(reference)?;
            at.clone_from(reference);
        }
        Err(format!("is a reference that leads back to itself, or over more than {MAX_HOPS} others"))
    }

    /// What a reference names in the document.
    ///
    /// # Errors
    /// That it leads out of the document, or to nothing.
    pub fn find(&self, reference: &str) -> Result<&Value, String> {
        let pointer = reference.strip_prefix('#').ok_or_else(|| {
            format!("refers to {reference}, which is another document, and nothing is fetched; put it into this one")
        })?;
        let decoded = percent_encoding::percent_decode_str(pointer).decode_utf8().ok();
        let found = decoded.and_then(|pointer| self.root.pointer(&pointer));
        found.ok_or_else(|| format!("refers to {reference}, which is not in the document"))
    }
}

/// Whether it is of version 3.0.
fn version(name: &str, root: &Value) -> Result<bool, Failure> {
    if root.get("swagger").is_some() {
        let what =
            "is a document of Swagger 2.0; convert it to OpenAPI 3, for which there are converters, and try again";
        return Err(format!("{name} {what}").into());
    }
    let stated = match root.get("openapi") {
        Some(Value::String(version)) => version.clone(),
        Some(Value::Number(version)) => version.to_string(),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => String::new(),
    };
    match stated.as_str() {
        "3.0" => Ok(true),
        "3.1" => Ok(false),
        other if other.starts_with("3.0.") => Ok(true),
        other if other.starts_with("3.1.") => Ok(false),
        _ => Err(format!("{name} is not an OpenAPI document of version 3.0 or 3.1; its key `openapi` says which it is, as in openapi: 3.1.0").into()),
    }
}

/// A name as a part of a JSON Pointer.
pub fn step(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}
