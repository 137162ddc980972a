//! The formats of bodies and answers, each with an example, for people.

use super::product::View;
use crate::policy::format::kind::{Format, Formats};
use crate::policy::format::{of_json, request_of_json};
use crate::policy::problem::messages::ErrorShape;
use crate::policy::problem::{Hint, Row};

/// A format that some product has.
#[derive(Debug)]
pub struct FormatView {
    pub name: &'static str,
    /// Its media types.
    pub types: String,
    /// What its bytes are shown as.
    pub shown_as: &'static str,
    /// The body of a request, if a product takes one.
    pub request: Option<String>,
    /// An error object.
    pub error: String,
}

/// The formats of all products, and of the examples those of the first product that has several.
pub fn of(products: &[View<'_>]) -> Vec<FormatView> {
    let all = Formats::new(products.iter().flat_map(|view| view.product.media.formats.iter()));
    let with_several = products.iter().find(|view| view.product.media.formats.are_several());
    let Some(view) = with_several.or(products.first()) else { return Vec::new() };
    let with_body = products.iter().filter(|view| view.product.media.formats == all).chain([view]);
    let body = with_body.into_iter().find_map(|view| view.example_body.clone());
    let mut error = Vec::new();
    let words = view.product.wording.words(Row::TokenUnknown);
    let path = view.routes().next().map_or("/", |route| &route.path.text);
    words.write_object(&mut error, ErrorShape::ErrorObject, Hint::None, None, path.as_bytes());
    all.iter()
        .map(|format| FormatView {
            name: format.name(),
            types: format.types().join(", "),
            shown_as: if format == Format::MsgPack { ", in hexadecimal digits" } else { "" },
            request: body
                .as_ref()
                .and_then(|body| request_of_json(format, body.as_bytes()).ok())
                .map(|body| shown(format, &body)),
            error: of_json(format, &error, usize::MAX).map_or_else(|_| String::new(), |error| shown(format, &error)),
        })
        .collect()
}

/// Bytes as text: those of MessagePack in hexadecimal digits.
pub fn shown(format: Format, bytes: &[u8]) -> String {
    match format {
        Format::Json | Format::Xml => String::from_utf8_lossy(bytes).into_owned(),
        Format::MsgPack => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
    }
}
