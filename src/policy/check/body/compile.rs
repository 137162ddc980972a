//! Compiles a JSON Schema document to a program, or finds all of its mistakes.
//!
//! A document is one file: references point into it, by pointers, anchors and `$id`s, and a `$dynamicRef` is resolved
//! for each path to it, so a program needs no dynamic scope. Its expansion is limited. Keywords that the draft does not
//! define are mistakes, since a misspelt one would accept everything; those that begin with `x-` are annotations.

mod compiler;
pub mod flaw;
mod leaves;
mod nodes;
mod references;
mod survey;

use serde_json::Value;

use super::keywords::Draft;
use super::program::Program;
use compiler::Compiler;
use flaw::{Flaw, FlawKind};

/// Compiles a document; `step` is called after each piece of the work, which may take long in all.
///
/// # Errors
/// Everything that is wrong with it.
pub fn compile(document: &Value, step: fn()) -> Result<Program, Vec<Flaw>> {
    let flaw = |at: &str, what: String| vec![Flaw { at: at.to_owned(), kind: FlawKind::Says(what) }];
    let Some(draft) = Draft::of(document) else {
        let what =
            "names a draft that is not known; write https://json-schema.org/draft/2020-12/schema, or leave it out";
        return Err(flaw("/$schema", what.to_owned()));
    };
    let mut compiler = Compiler::new(document, draft, step);
    compiler.survey(document);
    // Checked by the library only afterwards, so that it never gets a schema that is too large.
    if compiler.flaws.is_empty()
        && let Err(error) = jsonschema::meta::validate(document)
    {
        let keyword = error.kind().keyword().to_owned();
        let what = format!("is not allowed there by JSON Schema (its rule {keyword}); look it up in the draft");
        return Err(flaw(error.instance_path().as_str(), what));
    }
    if compiler.flaws.is_empty() {
        compiler.assemble(document);
    }
    compiler.finish()
}
