//! Content-Type and Accept: against the `mime` crate where it reads them; and the order and the lines of Accept do not
//! matter.

use mime::Mime;
use tollgate::policy::check::watch::Watched;
use tollgate::policy::format::kind::Formats;
use tollgate::policy::http::head::{Field, Lines};
use tollgate::policy::http::media::{Media, MediaType, prefers_problem_json, takes_coding};

use crate::memory;

const SERVED: [&str; 3] = ["application/json", "text/html", "application/problem+json"];
const TAKEN: [&str; 2] = ["application/json", "text/csv"];

/// An input: a Content-Type and elements of Accept, between line ends.
pub fn run(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let Some(content_type) = lines.next() else { return };
    let elements: Vec<&[u8]> = lines.collect();
    let types = |names: &[&str]| names.iter().map(|name| MediaType::parse(name).unwrap()).collect();
    let media = Media { served: types(&SERVED), taken: types(&TAKEN), formats: Formats::default() };
    let takes = taken(&media, content_type);
    if let Some(expected) = expected_of_type(content_type) {
        assert_eq!(takes, expected, "{}", content_type.escape_ascii());
    }
    let best = |lines: &[&[u8]]| -> Option<String> {
        let fields: Vec<Field<'_>> = lines.iter().map(|value| Field { name: "Accept", value }).collect();
        let lines = Lines { fields: &fields, ..Lines::UNREADABLE };
        let (best, _) = memory::within(0, "Accept", || (media.best(&lines), prefers_problem_json(&lines)));
        assert_eq!(best.is_some(), media.accept(&lines).is_ok());
        best.map(|best| best.name().to_owned())
    };
    let fields = [Field { name: "accept-encoding", value: content_type }];
    let _ = takes_coding(&Lines { fields: &fields, ..Lines::UNREADABLE }, "gzip");
    let _ = Watched::default();
    // A quotation that is not closed goes on to the end of its line.
    if elements.iter().any(|element| element.contains(&b'"')) {
        return;
    }
    let found = best(&elements);
    let mut others = elements.clone();
    others.reverse();
    assert_eq!(best(&others), found, "the order of lines matters");
    assert_eq!(best(&[&elements.join(&b" ,\t"[..])]), found, "one line is not several");
    if let Some(expected) = expected_of_accept(&elements) {
        assert_eq!(found.as_deref(), expected);
    }
}

fn taken(media: &Media, content_type: &[u8]) -> bool {
    let fields = [Field { name: "content-type", value: content_type }];
    memory::within(0, "a Content-Type", || media.take(&Lines { fields: &fields, ..Lines::UNREADABLE }).is_ok())
}

/// Whether a Content-Type is taken, if it is a well-formed one.
fn expected_of_type(content_type: &[u8]) -> Option<bool> {
    let parsed: Mime = std::str::from_utf8(content_type).ok()?.parse().ok()?;
    let charsets: Vec<_> = parsed.params().filter(|(name, _)| *name == mime::CHARSET).collect();
    let is_utf8 = match charsets.as_slice() {
        [] => true,
        [(_, charset)] if ["utf-8", "utf8"].contains(&charset.as_str()) => true,
        [(_, charset)] if ["utf-16", "latin1", "iso-8859-1"].contains(&charset.as_str()) => false,
        // It has more names, and more than one parameter has no meaning that others agree on.
        _ => return None,
    };
    Some(is_utf8 && TAKEN.contains(&parsed.essence_str()))
}

/// The served type that well-formed elements prefer; `None` if one of them is not.
fn expected_of_accept(elements: &[&[u8]]) -> Option<Option<&'static str>> {
    let mut ranges = Vec::new();
    for element in elements {
        // `mime` has no elements, and takes a range for a type.
        if element.contains(&b',') {
            return None;
        }
        if element.trim_ascii().is_empty() {
            continue;
        }
        let parsed: Mime = std::str::from_utf8(element.trim_ascii()).ok()?.parse().ok()?;
        // It also takes what ends with its slash.
        if parsed.subtype().as_str().is_empty() {
            return None;
        }
        let weights: Vec<_> = parsed.params().filter(|(name, _)| *name == "q").collect();
        let weight = match weights.as_slice() {
            [] => 1.0,
            [(_, weight)] => well_formed(weight.as_str())?,
            _ => return None,
        };
        ranges.push((parsed.type_().as_str().to_owned(), subtype(&parsed), weight));
    }
    let mut best: Option<(&str, f64)> = None;
    for served in SERVED {
        let (kind, rest) = served.split_once('/').unwrap();
        let of = |kind: &str, rest: &str| {
            let weights = ranges.iter().filter(|range| (range.0.as_str(), range.1.as_str()) == (kind, rest));
            weights.map(|range| range.2).reduce(f64::max)
        };
        let weight = of(kind, rest).or_else(|| of(kind, "*")).or_else(|| of("*", "*"));
        let weight = weight.unwrap_or(if ranges.is_empty() { 1.0 } else { 0.0 });
        if weight > 0.0 && best.is_none_or(|(_, known)| weight > known) {
            best = Some((served, weight));
        }
    }
    Some(best.map(|(name, _)| name))
}

fn subtype(parsed: &Mime) -> String {
    parsed.suffix().map_or_else(|| parsed.subtype().to_string(), |suffix| format!("{}+{suffix}", parsed.subtype()))
}

/// A weight as RFC 9110, section 12.4.2, has it.
fn well_formed(text: &str) -> Option<f64> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = digits.len() <= 3 && digits.bytes().all(|digit| digit.is_ascii_digit());
    let is_weight = are_digits && (whole == "0" || whole == "1" && digits.bytes().all(|digit| digit == b'0'));
    if is_weight { text.parse().ok() } else { None }
}
