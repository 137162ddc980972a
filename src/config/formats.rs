//! `formats`, `accept` and `content_type` of a product: what its bodies and answers are.

use serde_json::Value;

use super::common::listed;
use super::fill::fill;
use super::units::{Parsed, Texts};
use crate::config::yaml::{Listed, Mistakes, Place, Written};
use crate::platform::pace;
use crate::policy::format::kind::{Format, Formats};
use crate::policy::http::media::{JSON, Media, MediaType};
use crate::policy::problem::Row;
use crate::policy::problem::messages::Text;
use crate::policy::route::Route;

/// Built-in details where JSON is one format among several.
const EMPTY_AMONG_SEVERAL: &str = "The request has no body. Send one document in {formats}.";
const MALFORMED_AMONG_SEVERAL: &str = "The body cannot be read in the format that its Content-Type names{position}. \
     Send one document in {formats}, with texts in UTF-8, without duplicate names in an object, nested at most 32 levels deep.";

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use schemars::JsonSchema;
    use serde::Deserialize;

    /// A format of bodies and answers.
    #[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum Format {
        /// JSON, which the backend speaks.
        Json,
        /// XML.
        Xml,
        /// MessagePack.
        Msgpack,
    }
}

impl From<written::Format> for Format {
    fn from(written: written::Format) -> Format {
        match written {
            written::Format::Json => Format::Json,
            written::Format::Xml => Format::Xml,
            written::Format::Msgpack => Format::MsgPack,
        }
    }
}

/// Compiles the media types of a product, and its formats.
pub fn media(
    formats: Written<Listed<written::Format>>,
    accept: Texts<MediaType>,
    content_type: Texts<MediaType>,
    parent: &Place,
    mistakes: &mut Mistakes,
) -> Media {
    let formats = compile(formats, parent, mistakes);
    if !formats.are_several() {
        return Media {
            served: media_types(accept, "accept", parent, mistakes),
            taken: json_types(content_type, parent, mistakes),
            formats,
        };
    }
    if let Some(place) = content_type.place() {
        mistakes.push(place.clone(), "follows from `formats`, which says what bodies are; remove one of them");
    }
    let types: Vec<MediaType> =
        formats.iter().flat_map(Format::types).filter_map(|name| MediaType::parse(name).ok()).collect();
    let mut served = types.clone();
    if !accept.is_missing() {
        let instead = "write types beside those of `formats`, as in [application/pdf], or remove it";
        for (Parsed(kind), place) in listed(accept, parent, "accept", instead, mistakes) {
            if formats.of(kind.name().as_bytes()).is_some() {
                mistakes.push(place, "follows from `formats`; list only types beside them here, or remove it");
            } else {
                served.push(kind);
            }
        }
    }
    Media { served: served.into(), taken: types.into(), formats }
}

fn compile(written: Written<Listed<written::Format>>, parent: &Place, mistakes: &mut Mistakes) -> Formats {
    if written.is_missing() {
        return Formats::default();
    }
    let place = written.place().cloned();
    let written =
        listed(written, parent, "formats", "write json and what else clients may use, as in [json, xml]", mistakes);
    let mut kept: Vec<Format> = Vec::new();
    let is_empty = written.is_empty();
    for (format, place) in written {
        let format = Format::from(format);
        if kept.contains(&format) {
            mistakes.push(place, "is listed already; remove it");
        } else {
            kept.push(format);
        }
    }
    if let Some(place) = place
        && !is_empty
        && !kept.contains(&Format::Json)
        && !mistakes.touch(&place)
    {
        let what = "does not have json, which the backend speaks and clients get by default; add json to the list";
        mistakes.push(place, what);
    }
    Formats::new(kept)
}

/// Prepares what XML has to know of the schemas of bodies.
pub fn prepare(routes: &[Route], formats: Formats, parent: &Place, mistakes: &mut Mistakes) {
    if !formats.has(Format::Xml) {
        return;
    }
    let schemas = routes.iter().filter_map(|route| route.body.as_ref()?.schema.as_deref());
    let is_partial = schemas.fold(false, |is_partial, schema| {
        pace::step();
        is_partial | schema.shapes().is_partial()
    });
    if is_partial {
        let what = "has xml, but a schema has more than 4096 places in which a value can stand, so that it cannot say what a text in XML is; leave xml out, or use fewer combinations of schemas";
        mistakes.push(parent.key("formats"), what);
    }
}

fn media_types(types: Texts<MediaType>, key: &str, parent: &Place, mistakes: &mut Mistakes) -> Box<[MediaType]> {
    if types.is_missing() {
        return MediaType::parse(JSON).into_iter().collect();
    }
    let types = listed(types, parent, key, "write at least one, as in [application/json]", mistakes);
    types.into_iter().map(|(Parsed(kind), _)| kind).collect()
}

/// The types that a body may have, all of them JSON.
fn json_types(types: Texts<MediaType>, parent: &Place, mistakes: &mut Mistakes) -> Box<[MediaType]> {
    for (Parsed(kind), place) in types.get().into_iter().flat_map(|types| &types.0) {
        let what = match Format::of(kind.name().as_bytes()) {
            Some(Format::Json) => continue,
            Some(Format::Xml | Format::MsgPack) => {
                "is not a JSON type, but the backend gets JSON; to have bodies converted, write `formats`, as in [json, xml, msgpack], in place of this key"
            }
            None => "is not a JSON type, but bodies are JSON; write application/json, or a type that ends in +json",
        };
        mistakes.push(place.clone(), what);
    }
    media_types(types, "content_type", parent, mistakes)
}

/// The detail of a row: the built-in ones say JSON, which is not all that there is where a product has several formats.
pub fn detail(text: &Text, formats: Formats) -> String {
    let is_built_in = text.row.definition().is_some_and(|row| row.detail == text.detail);
    let detail = match text.row {
        Row::BodyEmpty if is_built_in && formats.are_several() => EMPTY_AMONG_SEVERAL,
        Row::BodyMalformed if is_built_in && formats.are_several() => MALFORMED_AMONG_SEVERAL,
        _ => &text.detail,
    };
    detail.replace("{formats}", &formats.in_words())
}

/// Shows what is not written.
pub fn fill_in(shown: &mut Value, media: &Media) {
    let names = |types: &[MediaType]| types.iter().map(|media| media.name().to_owned()).collect::<Vec<_>>();
    let words: Vec<&str> = media.formats.iter().map(Format::word).collect();
    fill(shown, "formats", words);
    if !media.formats.are_several() {
        fill(shown, "accept", names(&media.served));
        fill(shown, "content_type", names(&media.taken));
    }
}
