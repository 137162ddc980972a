//! Media types: what a client accepts (RFC 9110, section 12.5.1) and what its body is (8.3).
//!
//! The types of a product come from the configuration.

use crate::policy::format::kind::{Format, Formats};
use crate::policy::http::head::{Lines, One};
use crate::policy::problem::{Problem, Row};

/// A type and subtype in lower case, without parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// `type/subtype`.
    name: Box<str>,
}

/// The media types of one product: those it can answer with, and those a body may have.
#[derive(Clone, Debug)]
pub struct Media {
    pub served: Box<[MediaType]>,
    pub taken: Box<[MediaType]>,
    /// The formats between which the gateway converts. Only of a product that has several do types say a format.
    pub formats: Formats,
}

/// What an error object is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorForm<'m> {
    /// The plain object in a format, under a media type of it.
    Object(Format, &'m str),
    /// RFC 9457, always JSON.
    Problem,
}

/// The weight of a type in thousandths, as Accept gives it; 0 is "not acceptable".
type Weight = u16;

const FULL: Weight = 1000;

impl MediaType {
    /// Parses `type/subtype`.
    ///
    /// # Errors
    /// Says what to write instead, without repeating the text.
    pub fn parse(text: &str) -> Result<MediaType, &'static str> {
        const WANTED: &str = "is not a media type; write one as in application/json, without parameters";
        let (kind, subtype) = text.split_once('/').ok_or(WANTED)?;
        if !is_token(kind.as_bytes()) || !is_token(subtype.as_bytes()) || kind == "*" || subtype == "*" {
            return Err(WANTED);
        }
        Ok(MediaType { name: text.to_ascii_lowercase().into() })
    }

    /// The type of bytes of which nothing is known (RFC 2046, section 4.5.1).
    pub fn any_bytes() -> MediaType {
        MediaType { name: "application/octet-stream".into() }
    }

    /// `type/subtype`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a document of this type is JSON (RFC 6839, section 3.1).
    pub fn is_json(&self) -> bool {
        let (_, subtype) = split_at_byte(self.name.as_bytes(), b'/');
        subtype == b"json" || subtype.ends_with(b"+json")
    }
}

impl Media {
    /// Accepts the request if it accepts one of the served types.
    ///
    /// # Errors
    /// `accept-unsupported`.
    pub fn accept(&self, lines: &Lines<'_>) -> Result<(), Problem> {
        match self.best(lines) {
            Some(_) => Ok(()),
            None => Err(Problem::new(Row::AcceptUnsupported, "no media range of Accept matches a served type")),
        }
    }

    /// The served type that the request prefers; of several the first.
    pub fn best(&self, lines: &Lines<'_>) -> Option<&MediaType> {
        preferred(lines, self.served.iter()).and_then(|index| self.served.get(index))
    }

    /// The served type that the request prefers for an answer that is JSON: a type of JSON, or of a format that JSON is
    /// converted to; of several the first.
    pub fn best_of_json(&self, lines: &Lines<'_>) -> Option<&MediaType> {
        match &*self.served {
            [only] => Some(only),
            several => {
                let possible = || several.iter().filter(|served| self.is_rendered(served));
                preferred(lines, possible()).and_then(|index| possible().nth(index))
            }
        }
    }

    /// Whether an answer that is JSON can be had in this type.
    pub fn is_rendered(&self, media_type: &MediaType) -> bool {
        media_type.is_json() || (self.formats.are_several() && self.format(media_type).is_some())
    }

    /// The format of an answer that is JSON.
    #[inline]
    pub fn rendition(&self, lines: &Lines<'_>) -> Format {
        if !self.formats.are_several() {
            return Format::Json;
        }
        self.best_of_json(lines).and_then(|best| self.format(best)).unwrap_or(Format::Json)
    }

    /// What errors are written as.
    pub fn error(&self, lines: &Lines<'_>) -> ErrorForm<'_> {
        if !self.formats.are_several() {
            return ErrorForm::of_json(lines);
        }
        let best = self.best_of_json(lines);
        let weight = best.map_or(0, |best| weight_of_type(lines, best.name()));
        if lines.values("accept").next().is_some() && weight_of_type(lines, PROBLEM_JSON) > weight {
            return ErrorForm::Problem;
        }
        best.map_or(ErrorForm::PLAIN, |best| match self.format(best).unwrap_or(Format::Json) {
            Format::Json => ErrorForm::PLAIN,
            format => ErrorForm::Object(format, best.name()),
        })
    }

    /// The format of a type, among those of the product.
    fn format(&self, media_type: &MediaType) -> Option<Format> {
        self.formats.of(media_type.name.as_bytes())
    }

    /// The served type that a Content-Type names, whatever its parameters are.
    pub fn served(&self, content_type: &[u8]) -> Option<&MediaType> {
        let essence = split_outside_quotes(content_type, b';').next().unwrap_or_default().trim_ascii();
        self.served.iter().find(|served| served.is(essence))
    }

    /// Appends the served types that the request accepts, as a list: what the backend is asked for. All formats are asked
    /// for as JSON.
    pub fn write_accepted(&self, out: &mut Vec<u8>, lines: &Lines<'_>) {
        let accepted = self.served.iter().filter(|served| weight_of_type(lines, served.name()) > 0);
        let mut separator = "";
        let mut asks_json = false;
        for served in accepted {
            let name = match self.formats.are_several() && self.is_rendered(served) {
                true if asks_json => continue,
                true => JSON,
                false => served.name(),
            };
            asks_json |= name == JSON;
            out.extend_from_slice(separator.as_bytes());
            out.extend_from_slice(name.as_bytes());
            separator = ", ";
        }
    }

    /// Accepts the request if its body has an accepted type, in UTF-8 and without encoding; returns its format.
    ///
    /// # Errors
    /// `content-type-unsupported`.
    pub fn take(&self, lines: &Lines<'_>) -> Result<Format, Problem> {
        let refused = |reason| Err(Problem::new(Row::ContentTypeUnsupported, reason));
        let content_type = match lines.one("content-type") {
            One::Value(value) => value,
            One::Absent => return refused("no Content-Type"),
            One::Several => return refused("several Content-Type lines"),
        };
        let mut parts = split_outside_quotes(content_type, b';');
        let essence = parts.next().unwrap_or_default().trim_ascii();
        let format = match self.formats.are_several() {
            true => self.formats.of(essence),
            false => self.taken.iter().any(|taken| taken.is(essence)).then_some(Format::Json),
        };
        let Some(format) = format else { return refused("the Content-Type is not one that the product takes") };
        for parameter in parts {
            let (name, value) = split_pair(parameter);
            if name.eq_ignore_ascii_case(b"charset") && !is_utf8_label(unquoted(value)) {
                return refused("the charset is not UTF-8");
            }
        }
        let codings = lines.values("content-encoding").flat_map(|value| value.split(|byte| *byte == b','));
        if codings.map(<[u8]>::trim_ascii).any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
        {
            return refused("a Content-Encoding");
        }
        Ok(format)
    }
}

impl MediaType {
    fn is(&self, essence: &[u8]) -> bool {
        essence.eq_ignore_ascii_case(self.name.as_bytes())
    }
}

impl ErrorForm<'static> {
    /// The plain object as JSON.
    pub const PLAIN: ErrorForm<'static> = ErrorForm::Object(Format::Json, JSON);

    /// What errors of requests are written as that have no product, or one with JSON alone.
    pub fn of_json(lines: &Lines<'_>) -> ErrorForm<'static> {
        if prefers_problem_json(lines) { ErrorForm::Problem } else { ErrorForm::PLAIN }
    }
}

/// Whether a client prefers a problem of RFC 9457 to the plain error object.
pub fn prefers_problem_json(lines: &Lines<'_>) -> bool {
    lines.values("accept").next().is_some() && weight_of_type(lines, PROBLEM_JSON) > weight_of_type(lines, JSON)
}

/// The names of UTF-8: every label that the WHATWG Encoding standard has for it, and the names that
/// the IANA registry has for US-ASCII, whose every text is the same in UTF-8. (A browser would read
/// the latter as windows-1252; a body that has more than ASCII in it has to be UTF-8 here.)
const UTF8_LABELS: [&str; 17] = [
    "utf-8",
    "utf8",
    "unicode-1-1-utf-8",
    "unicode11utf8",
    "unicode20utf8",
    "x-unicode20utf8",
    "us-ascii",
    "ascii",
    "us",
    "ansi_x3.4-1968",
    "ansi_x3.4-1986",
    "iso-ir-6",
    "iso_646.irv:1991",
    "iso646-us",
    "ibm367",
    "cp367",
    "csascii",
];

/// Whether a text in this charset is UTF-8.
fn is_utf8_label(label: &[u8]) -> bool {
    let label = label.trim_ascii();
    UTF8_LABELS.iter().any(|known| label.eq_ignore_ascii_case(known.as_bytes()))
}

/// The media type of an error object.
pub const JSON: &str = "application/json";

/// The media type of a problem of RFC 9457.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The index of the type that a request prefers; of several the first, and `None` if it accepts
/// none.
pub fn preferred<'m>(lines: &Lines<'_>, types: impl Iterator<Item = &'m MediaType>) -> Option<usize> {
    let mut best: Option<(usize, Weight)> = None;
    for (index, media_type) in types.enumerate() {
        let weight = weight_of_type(lines, &media_type.name);
        if weight > 0 && best.is_none_or(|(_, known)| weight > known) {
            best = Some((index, weight));
        }
    }
    best.map(|(index, _)| index)
}

/// Whether a client accepts a content coding (RFC 9110, section 12.5.3). Without the header, none
/// is used, since not every program that reads pages can decode it.
pub fn takes_coding(lines: &Lines<'_>, coding: &str) -> bool {
    let (mut named, mut any) = (None, None);
    for element in lines.values("accept-encoding").flat_map(|value| value.split(|byte| *byte == b',')) {
        let mut parts = element.split(|byte| *byte == b';');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let weight = weight_of(parts);
        if name.eq_ignore_ascii_case(coding.as_bytes()) {
            named = Some(weight);
        } else if name == b"*" {
            any = Some(weight);
        }
    }
    named.or(any).is_some_and(|weight: Weight| weight > 0)
}

/// The weight that the Accept lines give to a type: that of the most specific range which
/// matches. Parameters of a range other than its weight are ignored. Without Accept, or with
/// nothing in it, everything has full weight.
fn weight_of_type(lines: &Lines<'_>, name: &str) -> Weight {
    let (kind, subtype) = split_at_byte(name.as_bytes(), b'/');
    let mut best: Option<(u8, Weight)> = None;
    let mut ranges_seen = false;
    for range in lines.values("accept").flat_map(|value| split_outside_quotes(value, b',')) {
        let range = range.trim_ascii();
        if range.is_empty() {
            continue;
        }
        ranges_seen = true;
        let mut parts = split_outside_quotes(range, b';');
        let (range_kind, range_subtype) = split_at_byte(parts.next().unwrap_or_default().trim_ascii(), b'/');
        let specificity = match (range_kind, range_subtype) {
            // Java's HttpURLConnection writes `*` alone, up to Java 18.
            (b"*", b"*" | b"") => 0,
            (_, b"*") if range_kind.eq_ignore_ascii_case(kind) => 1,
            _ if range_kind.eq_ignore_ascii_case(kind) && range_subtype.eq_ignore_ascii_case(subtype) => 2,
            _ => continue,
        };
        let weight = weight_of(parts);
        let outdone =
            best.is_some_and(|(other, known)| other > specificity || (other == specificity && known >= weight));
        if !outdone {
            best = Some((specificity, weight));
        }
    }
    match best {
        Some((_, weight)) => weight,
        None if ranges_seen => 0,
        None => FULL,
    }
}

/// The `q` of a range's parameters (RFC 9110, section 12.4.2). One that cannot be read counts as
/// full, since strictness could only refuse (contract, section 4): `.2` is 0.2, digits beyond the
/// third are dropped, and what is no number from 0 to 1 says nothing.
fn weight_of<'a>(mut parameters: impl Iterator<Item = &'a [u8]>) -> Weight {
    let weight = parameters.find_map(|parameter| {
        let (name, value) = split_pair(parameter);
        name.eq_ignore_ascii_case(b"q").then_some(value)
    });
    let Some(text) = weight.map(unquoted) else { return FULL };
    let (whole, digits) = split_at_byte(text, b'.');
    let is_number = !(whole.is_empty() && digits.is_empty()) && digits.iter().all(u8::is_ascii_digit);
    if !is_number || !whole.iter().all(|digit| *digit == b'0') {
        return FULL;
    }
    let thousandths =
        (0..3).fold(0, |weight, index| weight * 10 + digits.get(index).map_or(0, |digit| Weight::from(digit - b'0')));
    // Hardly anything is still not nothing.
    let is_nothing = digits.iter().all(|digit| *digit == b'0');
    if is_nothing { 0 } else { thousandths.max(1) }
}

/// The two sides of the first such byte, or all and nothing.
fn split_at_byte(bytes: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == separator) {
        Some(at) => (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..).unwrap_or_default()),
        None => (bytes, b""),
    }
}

/// The name and the value of a `name=value` parameter, trimmed.
fn split_pair(parameter: &[u8]) -> (&[u8], &[u8]) {
    let (name, value) = split_at_byte(parameter, b'=');
    (name.trim_ascii(), value.trim_ascii())
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

/// The pieces between separators that do not stand in a quoted string (RFC 9110, section 5.6.4).
fn split_outside_quotes(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    bytes.split(move |byte| {
        if escaped {
            escaped = false;
            return false;
        }
        match byte {
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        *byte == separator && !quoted
    })
}

/// A token of RFC 9110, section 5.6.2.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn media() -> Media {
        let json: Box<[MediaType]> = vec![MediaType::parse("application/json").unwrap()].into();
        Media { served: json.clone(), taken: json, formats: Formats::default() }
    }

    fn with<T>(fields: &[(&'static str, &str)], judge: impl FnOnce(&Lines<'_>) -> T) -> T {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        judge(&Lines { fields: &fields, ..Lines::UNREADABLE })
    }

    #[test]
    fn accept_follows_weights_and_specificity() {
        for (accept, passes, problem_json) in [
            ("*/*", true, false),
            ("application/*", true, false),
            ("Application/JSON", true, false),
            ("application/json;charset=utf-8", true, false),
            ("text/html, application/json;q=0.1", true, false),
            ("text/html, */*;q=0.001", true, false),
            ("", true, false),
            (" , ", true, false),
            ("application/json;q=0", false, false),
            ("application/json; Q=0.000", false, false),
            ("*/*, application/json;q=0", false, true),
            ("application/json;q=0.5, application/*;q=0", true, false),
            ("*/*;q=0", false, false),
            ("text/html", false, false),
            ("application/xml;x=\"a,application/json\"", false, false),
            // The default of Java's HttpURLConnection, version 8 to 18.
            ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", true, false),
            ("*", true, false),
            ("*;q=0", false, false),
            ("*;q=.0", false, false),
            ("*;q=.5, application/problem+json;q=.6", true, true),
            // A weight that cannot be read counts as 1.
            ("application/json;q=2", true, false),
            ("application/json;q=-1", true, false),
            ("application/json;q=", true, false),
            ("application/json;q=.", true, false),
            ("application/json;q=0,5", false, false),
            ("application/json;q=high", true, false),
            ("application/json;q=0x0", true, false),
            ("application/json;q=1.5, application/problem+json", true, false),
            ("application/json;q=0.1234", true, false),
            ("application/json;q=0.0001", true, false),
            ("application/json;q=\"0.5\", application/problem+json;q=0.6", true, true),
            ("application/json;q=00", false, false),
            ("application/json;q=0.", false, false),
            ("application/json;q=0.0000", false, false),
            ("application/problem+json", false, true),
            ("application/problem+json, */*;q=0.5", true, true),
            ("application/json, application/problem+json", true, false),
            ("application/json;q=0.5, application/problem+json", true, true),
            ("application/json, application/problem+json;q=0.9", true, false),
        ] {
            let fields = [("Accept", accept)];
            assert_eq!(with(&fields, |lines| media().accept(lines).is_ok()), passes, "{accept}");
            assert_eq!(with(&fields, prefers_problem_json), problem_json, "{accept}");
        }
        assert!(with(&[], |lines| media().accept(lines).is_ok()), "absent means anything");
        assert!(with(&[("Accept", "text/html"), ("accept", "application/json")], |lines| media()
            .accept(lines)
            .is_ok()));
    }

    #[test]
    fn the_content_type_is_json_in_utf_8_unencoded() {
        for (fields, passes) in [
            (vec![("Content-Type", "application/json")], true),
            (vec![("content-type", "APPLICATION/Json ; charset=UTF-8")], true),
            (vec![("Content-Type", "application/json; charset=\"utf-8\"; v=1")], true),
            (vec![("Content-Type", "application/json;charset=utf8")], true),
            (vec![("Content-Type", "application/json; charset = Unicode-1-1-UTF-8")], true),
            (vec![("Content-Type", "application/json;charset=\" x-unicode20utf8 \"")], true),
            (vec![("Content-Type", "application/json;charset=us-ascii")], true),
            (vec![("Content-Type", "application/json; charset=\"ANSI_X3.4-1968\"")], true),
            (vec![("Content-Type", "application/json; charset=utf-8; charset=utf-16")], false),
            (vec![("Content-Type", "application/json; charset=utf-16")], false),
            (vec![("Content-Type", "application/json; charset=windows-1252")], false),
            (vec![("Content-Type", "application/json; charset=utf")], false),
            (vec![("Content-Type", "application/json; charset=")], false),
            (vec![("Content-Type", "application/json"), ("Content-Encoding", "identity")], true),
            (vec![], false),
            (vec![("Content-Type", "")], false),
            (vec![("Content-Type", "text/json")], false),
            (vec![("Content-Type", "application/json, text/html")], false),
            (vec![("Content-Type", "application/json; charset=latin1")], false),
            (vec![("Content-Type", "application/json"), ("Content-Type", "application/json")], false),
            (vec![("Content-Type", "application/json"), ("Content-Encoding", "gzip")], false),
            (vec![("Content-Type", "application/json"), ("Content-Encoding", "identity, br")], false),
        ] {
            assert_eq!(with(&fields, |lines| media().take(lines).is_ok()), passes, "{fields:?}");
        }
    }

    #[test]
    fn a_format_is_chosen_by_weight_and_json_without_a_preference() {
        let formats = Formats::new(Format::ALL);
        let types = formats.iter().flat_map(Format::types).map(|name| MediaType::parse(name).unwrap());
        let types: Box<[MediaType]> = types.collect();
        let media = Media { served: types.clone(), taken: types, formats };
        const XML: &str = "application/xml";
        const PACK: &str = "application/msgpack";
        for (accept, form, asked) in [
            ("", ErrorForm::PLAIN, "application/json"),
            ("*/*", ErrorForm::PLAIN, "application/json"),
            ("application/*", ErrorForm::PLAIN, "application/json"),
            ("text/html", ErrorForm::PLAIN, ""),
            ("application/xml, application/json", ErrorForm::PLAIN, "application/json"),
            (XML, ErrorForm::Object(Format::Xml, XML), "application/json"),
            ("text/*", ErrorForm::Object(Format::Xml, "text/xml"), "application/json"),
            ("Text/XML;q=0.2, */*;q=0.1", ErrorForm::Object(Format::Xml, "text/xml"), "application/json"),
            (
                "application/json;q=0.5, application/msgpack;q=0.6",
                ErrorForm::Object(Format::MsgPack, PACK),
                "application/json",
            ),
            ("*/*;q=0.5, application/json;q=0", ErrorForm::Object(Format::Xml, XML), "application/json"),
            ("application/problem+json", ErrorForm::Problem, ""),
            ("application/problem+json, application/xml", ErrorForm::Object(Format::Xml, XML), "application/json"),
            ("application/problem+json, application/xml;q=0.9", ErrorForm::Problem, "application/json"),
        ] {
            let fields = [("Accept", accept)];
            assert_eq!(with(&fields, |lines| media.error(lines)), form, "{accept}");
            let mut out = Vec::new();
            with(&fields, |lines| media.write_accepted(&mut out, lines));
            assert_eq!(String::from_utf8(out).unwrap(), asked, "{accept}");
        }
        for (content_type, format) in [
            ("application/json", Some(Format::Json)),
            ("application/vnd.api+json", Some(Format::Json)),
            ("text/xml; charset=utf-8", Some(Format::Xml)),
            ("application/soap+xml", Some(Format::Xml)),
            ("application/vnd.msgpack", Some(Format::MsgPack)),
            ("application/xml; charset=iso-8859-1", None),
            ("text/plain", None),
        ] {
            let fields = [("Content-Type", content_type)];
            assert_eq!(with(&fields, |lines| media.take(lines).ok()), format, "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z/*;,=q0-9.\" \\\\]{0,60}") {
            with(&[("Accept", &text), ("Content-Type", &text)], |lines| {
                let _ = (media().accept(lines), media().take(lines), prefers_problem_json(lines));
            });
        }
    }
}
