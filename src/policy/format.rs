//! Bodies and answers in other formats than JSON: XML and MessagePack (contract, section 13).
//!
//! Whatever a request comes in becomes JSON text before anything judges it, and an answer is JSON until it was judged and
//! priced. So one schema, one list of prices and one backend serve all formats. A body that is JSON never gets here.

pub mod kind;
mod msgpack;
mod tree;
mod xml;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod round_trip_tests;

use crate::policy::check::body::shapes::Shapes;
use crate::policy::problem::Problem;
use kind::{Format, NotRendered};

/// The elements that a request and an answer in XML are.
const REQUEST: &str = "request";
const RESPONSE: &str = "response";

/// The JSON text of a body in a format, by what its schema says of the places in it. The text is at most six times as
/// long as the body.
///
/// # Errors
/// `body-malformed`, with its place.
pub fn to_json(format: Format, body: &[u8], shapes: &Shapes) -> Result<Vec<u8>, Problem> {
    match format {
        Format::Json => Ok(body.to_vec()),
        Format::Xml => xml::read::to_json(body, shapes),
        Format::MsgPack => msgpack::read::to_json(body),
    }
}

/// A JSON document in a format, of at most so many bytes.
///
/// # Errors
/// Why it cannot be rendered.
pub fn of_json(format: Format, json: &[u8], limit: usize) -> Result<Vec<u8>, NotRendered> {
    render(format, RESPONSE, json, limit)
}

/// The body of a request in a format, for examples.
///
/// # Errors
/// Why there is none.
pub fn request_of_json(format: Format, json: &[u8]) -> Result<Vec<u8>, NotRendered> {
    render(format, REQUEST, json, usize::MAX)
}

fn render(format: Format, element: &str, json: &[u8], limit: usize) -> Result<Vec<u8>, NotRendered> {
    let document = || tree::read(json).map_err(|_| NotRendered::Unreadable);
    let rendered = match format {
        Format::Json => json.to_vec(),
        Format::Xml => xml::write::document(element, &document()?, limit)?,
        Format::MsgPack => msgpack::write::document(&document()?),
    };
    if rendered.len() > limit { Err(NotRendered::TooLarge) } else { Ok(rendered) }
}
