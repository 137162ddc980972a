//! The texts of problems, prepared when the configuration is loaded, so that a refusal only copies a few of them.
//!
//! Operators can replace every text, but the error object always has the same four members, all strings (contract,
//! section 2).

use std::sync::{Arc, LazyLock};

use crate::policy::problem::{Breach, Broken, Fault, Hint, ParameterFlaw, Row, Status, TABLE};

/// The prepared texts of all rows, for one product or for requests without one.
#[derive(Clone, Debug)]
pub struct Wording {
    /// All rows but `internal`, sorted.
    rows: Box<[(Row, Words)]>,
    /// The last row. It is also used for a missing row, so that every refusal has a text.
    internal: (Row, Words),
}

/// What details say of one route: the names of its fields and parameters, and its limits. They are escaped for JSON.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The fields of its body, by `Breach::field`.
    fields: Arc<[Box<str>]>,
    /// Descriptions of the schema's rules, by `Breach::rule`.
    rules: Arc<[Box<str>]>,
    /// The name of each parameter, and what its value must be.
    parameters: Box<[(Box<str>, Box<str>)]>,
    /// The most bytes of a body; `None` if requests have none.
    body_max: Option<usize>,
}

/// What details say of requests that have no route.
static NO_NAMES: LazyLock<Names> = LazyLock::new(Names::default);

impl Names {
    /// The names for a body with these fields and rules of its schema.
    pub fn of_body(
        max_bytes: usize,
        fields: impl Iterator<Item = String>,
        rules: impl Iterator<Item = String>,
    ) -> Names {
        let ready = |texts: &mut dyn Iterator<Item = String>| texts.map(|text| escaped(&text).into()).collect();
        let (mut fields, mut rules) = (fields, rules);
        Names { fields: ready(&mut fields), rules: ready(&mut rules), body_max: Some(max_bytes), ..Names::default() }
    }

    /// The same with parameters: their names, and what their values must be.
    pub fn with_parameters(&self, parameters: impl Iterator<Item = (String, String)>) -> Names {
        let parameters = parameters.map(|(name, words)| (escaped(&name).into(), escaped(&words).into())).collect();
        Names { parameters, ..self.clone() }
    }
}

/// One row's texts, as they are sent.
#[derive(Clone, Debug)]
pub struct Words {
    pub slug: Box<str>,
    pub status: Status,
    pub fault: Fault,
    title: Box<str>,
    /// The error object up to the detail, opening quote included.
    object_start: Box<str>,
    /// The same of the object of RFC 9457.
    problem_start: Box<str>,
    /// The detail, piece by piece.
    detail: Box<[Piece]>,
    /// The one for a route whose requests have no body, if it is another.
    detail_without_body: Option<Box<[Piece]>>,
}

/// A piece of a detail.
#[derive(Clone, Debug)]
enum Piece {
    /// JSON-escaped text.
    Text(Box<str>),
    /// The first field that breaks a rule.
    Field,
    /// Every field that breaks a rule, with a description of the rule.
    Rules,
    /// Where the body stops being a JSON document, in parentheses; nothing if that is not known.
    Position,
    /// The parameter that is wrong, and what its value must be.
    Parameter,
    /// The most bytes of a body.
    BodyMax,
}

/// The placeholders that are filled in when an answer is written.
const BLANKS: [(&str, Piece); 5] = [
    ("{field}", Piece::Field),
    ("{rules}", Piece::Rules),
    ("{position}", Piece::Position),
    ("{parameter}", Piece::Parameter),
    ("{body_max}", Piece::BodyMax),
];

/// Which of the two shapes an error object has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorShape {
    /// `{"error":{…}}`, `application/json`.
    ErrorObject,
    /// RFC 9457, `application/problem+json`.
    ProblemJson,
}

/// The text of a row, before it is prepared.
#[derive(Clone, Debug)]
pub struct Text {
    pub row: Row,
    pub slug: Box<str>,
    pub status: Status,
    pub fault: Fault,
    pub title: Option<Box<str>>,
    pub detail: String,
    /// The detail for a route whose requests have no body, if it is another.
    pub detail_without_body: Option<String>,
}

/// The value of `{field}` if the broken rule is not at a field that the schema names.
const TOP_LEVEL: &str = "its top level";

/// The same within `{rules}`.
const WHOLE_BODY: &str = "the body";

/// The value of `{parameter}` if nothing can be named.
const SOME_PARAMETER: &str = "a value is not allowed";

/// The value of `{rules}` if nothing can be named.
const SOME_RULE: &str = "a value is not allowed";

/// The same for a body that exceeded its budget.
const TOO_MUCH_WORK: &str = "the body is too complex to be validated";

/// Bytes of a request's path that an error object repeats (contract, section 2).
const MAX_INSTANCE_BYTES: usize = 256;

impl Wording {
    /// Prepares the texts of all rows. Without a text for `internal` it has the built-in one.
    pub fn new(public_url: &str, texts: Vec<Text>) -> Wording {
        let (internal, mut texts): (Vec<_>, Vec<_>) = texts.into_iter().partition(|text| text.row == Row::Internal);
        texts.sort_by_key(|text| text.row);
        let internal = internal.into_iter().next().unwrap_or_else(Text::internal);
        Wording {
            rows: texts.into_iter().map(|text| (text.row, Words::new(public_url, text))).collect(),
            internal: (internal.row, Words::new(public_url, internal)),
        }
    }

    /// The texts of a row. A missing row, which cannot happen, has those of `internal`.
    pub fn words(&self, row: Row) -> &Words {
        let (_, words) = self.find(row).and_then(|index| self.rows.get(index)).unwrap_or(&self.internal);
        words
    }

    /// The index of a row among all rows.
    pub fn index(&self, row: Row) -> Option<usize> {
        if row == Row::Internal { Some(self.rows.len()) } else { self.find(row) }
    }

    /// All rows in order of precedence.
    pub fn iter(&self) -> impl Iterator<Item = &(Row, Words)> {
        self.rows.iter().chain([&self.internal])
    }

    fn find(&self, row: Row) -> Option<usize> {
        self.rows.binary_search_by_key(&row, |(known, _)| *known).ok()
    }
}

impl Words {
    /// Appends the body of a refusal: the object of `shape` with the request's path as `instance`, and the names of its
    /// route where it has one.
    pub fn write_object(
        &self,
        out: &mut Vec<u8>,
        shape: ErrorShape,
        hint: Hint,
        names: Option<&Names>,
        instance: &[u8],
    ) {
        out.extend_from_slice(match shape {
            ErrorShape::ErrorObject => self.object_start.as_bytes(),
            ErrorShape::ProblemJson => self.problem_start.as_bytes(),
        });
        let has_no_body = names.is_some_and(|names| names.body_max.is_none());
        let detail = self.detail_without_body.as_ref().filter(|_| has_no_body).unwrap_or(&self.detail);
        let names = names.unwrap_or(&NO_NAMES);
        detail.iter().for_each(|piece| names.write(out, piece, hint));
        out.extend_from_slice(br#"","instance":""#);
        write_escaped(out, cut(instance));
        out.extend_from_slice(match shape {
            ErrorShape::ErrorObject => br#""}}"#.as_slice(),
            ErrorShape::ProblemJson => br#""}"#,
        });
    }
}

impl Names {
    fn write(&self, out: &mut Vec<u8>, piece: &Piece, hint: Hint) {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Field => out.extend_from_slice(self.field(hint).as_bytes()),
            Piece::Rules => self.write_rules(out, hint),
            Piece::Position => match hint {
                Hint::At { line, column } => {
                    out.extend_from_slice(format!(" (line {line}, column {column})").as_bytes());
                }
                Hint::AtByte(byte) => out.extend_from_slice(format!(" (byte {byte})").as_bytes()),
                Hint::None | Hint::RetryAfter(_) | Hint::Allow(_) | Hint::Broken(_) | Hint::Parameter { .. } => {}
            },
            Piece::Parameter => out.extend_from_slice(self.parameter(hint).as_bytes()),
            Piece::BodyMax => out.extend_from_slice(self.body_max.unwrap_or(0).to_string().as_bytes()),
        }
    }

    /// The first field that breaks a rule.
    fn field(&self, hint: Hint) -> &str {
        let first = match hint {
            Hint::Broken(broken) => broken.iter().next(),
            Hint::None
            | Hint::RetryAfter(_)
            | Hint::Allow(_)
            | Hint::At { .. }
            | Hint::AtByte(_)
            | Hint::Parameter { .. } => None,
        };
        self.name(first).unwrap_or(TOP_LEVEL)
    }

    fn name(&self, breach: Option<Breach>) -> Option<&str> {
        self.fields.get(usize::from(breach?.field?)).map(|field| &**field)
    }

    /// The parameter that is wrong: `number is missing`.
    fn parameter(&self, hint: Hint) -> String {
        let Hint::Parameter { index, flaw } = hint else { return SOME_PARAMETER.to_owned() };
        let known = self.parameters.get(usize::from(index));
        match (known, flaw) {
            (_, ParameterFlaw::Unknown) => "the query has a parameter that this endpoint does not know".to_owned(),
            (None, _) => SOME_PARAMETER.to_owned(),
            (Some((name, _)), ParameterFlaw::Missing) => format!("{name} is missing"),
            (Some((name, _)), ParameterFlaw::Repeated) => format!("{name} is sent more than once"),
            (Some((name, words)), ParameterFlaw::Invalid) => format!("{name} {words}"),
        }
    }

    /// Every rule that is broken: `number is required; days must be at most 30`.
    fn write_rules(&self, out: &mut Vec<u8>, hint: Hint) {
        let broken = match hint {
            Hint::Broken(broken) => broken,
            Hint::None
            | Hint::RetryAfter(_)
            | Hint::Allow(_)
            | Hint::At { .. }
            | Hint::AtByte(_)
            | Hint::Parameter { .. } => Broken::default(),
        };
        let mut between = "";
        for breach in broken.iter() {
            let rule = self.rules.get(usize::from(breach.rule)).map_or("breaks a rule", |rule| rule);
            for part in [between, self.name(Some(breach)).unwrap_or(WHOLE_BODY), " ", rule] {
                out.extend_from_slice(part.as_bytes());
            }
            between = "; ";
        }
        out.extend_from_slice(match (between, broken.has_more()) {
            ("", true) => TOO_MUCH_WORK.as_bytes(),
            ("", false) => SOME_RULE.as_bytes(),
            (_, true) => b"; and more",
            (_, false) => b"",
        });
    }
}

/// Splits a detail at its placeholders.
fn pieces(detail: &str) -> Box<[Piece]> {
    let mut pieces = Vec::new();
    let mut rest = detail;
    while let Some((at, blank, piece)) =
        BLANKS.iter().filter_map(|(blank, piece)| Some((rest.find(blank)?, *blank, piece))).min_by_key(|(at, ..)| *at)
    {
        pieces.push(Piece::Text(escaped(rest.get(..at).unwrap_or_default()).into()));
        pieces.push(piece.clone());
        rest = rest.get(at.saturating_add(blank.len())..).unwrap_or_default();
    }
    pieces.push(Piece::Text(escaped(rest).into()));
    pieces.into()
}

impl Text {
    /// The built-in text of the last row.
    fn internal() -> Text {
        let [.., internal] = &TABLE;
        Text {
            row: Row::Internal,
            slug: internal.slug.into(),
            status: internal.status,
            fault: internal.fault,
            title: None,
            detail: internal.detail.to_owned(),
            detail_without_body: None,
        }
    }
}

impl Words {
    /// Its title, as it is before it is escaped.
    pub fn title(&self) -> &str {
        &self.title
    }

    fn new(public_url: &str, text: Text) -> Words {
        let link = escaped(&format!("{public_url}/problems/{}", text.slug));
        let plain_title = text.title.as_deref().unwrap_or(text.status.phrase());
        let title = escaped(plain_title);
        let detail = pieces(&text.detail);
        let status = text.status.code();
        Words {
            object_start: format!(r#"{{"error":{{"type":"{link}","title":"{title}","detail":""#).into(),
            problem_start: format!(r#"{{"type":"{link}","title":"{title}","status":{status},"detail":""#).into(),
            title: plain_title.into(),
            slug: text.slug,
            status: text.status,
            fault: text.fault,
            detail,
            detail_without_body: text.detail_without_body.as_deref().map(pieces),
        }
    }
}

/// The beginning of a path, which does not end within a character.
fn cut(instance: &[u8]) -> &[u8] {
    let Some(head) = instance.get(..MAX_INSTANCE_BYTES) else { return instance };
    if head.len() == instance.len() {
        return instance;
    }
    let is_continuation = |byte: &u8| byte & 0xc0 == 0x80;
    let last = head.iter().rposition(|byte| !is_continuation(byte)).unwrap_or(0);
    let (before, character) = head.split_at(last);
    match std::str::from_utf8(character) {
        Err(error) if error.error_len().is_none() => before,
        Ok(_) | Err(_) => head,
    }
}

/// Escapes a text for a JSON string.
fn escaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    write_escaped(&mut out, text.as_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

/// Appends bytes, escaped for a JSON string; what is not UTF-8 becomes U+FFFD, and line separators that some log
/// readers and scripts cannot handle are escaped.
pub(crate) fn write_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    // The usual case: nothing to escape.
    if bytes.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
        out.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' => out.extend_from_slice(&[b'\\', u8::try_from(character).unwrap_or(b'?')]),
                '\u{0}'..='\u{1f}' | '\u{7f}' | '\u{2028}' | '\u{2029}' => {
                    let code = u32::from(character);
                    out.extend_from_slice(b"\\u");
                    for shift in [12, 8, 4, 0] {
                        let digit = usize::try_from(code >> shift & 0xf).unwrap_or(0);
                        out.push(HEX.get(digit).copied().unwrap_or(b'0'));
                    }
                }
                _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn wording(detail: &str) -> Wording {
        let text = Text {
            row: Row::BodyInvalid,
            slug: "body-invalid".into(),
            status: Status::BadRequest,
            fault: Fault::Client,
            title: None,
            detail: detail.to_owned(),
            detail_without_body: Some("No body.".to_owned()),
        };
        Wording::new("https://api.example.com", vec![text])
    }

    fn names() -> Names {
        let names = Names::of_body(7, ["a.b".to_owned()].into_iter(), ["must be \"x\"".to_owned()].into_iter());
        names.with_parameters([("id".to_owned(), "must be \"y\"".to_owned())].into_iter())
    }

    fn broken(field: Option<u16>) -> Hint {
        let mut broken = Broken::default();
        broken.push(Breach { field, rule: 0 });
        Hint::Broken(broken)
    }

    fn object(wording: &Wording, shape: ErrorShape, field: Option<u16>, instance: &[u8]) -> Value {
        hinted(wording, shape, broken(field), instance)
    }

    fn hinted(wording: &Wording, shape: ErrorShape, hint: Hint, instance: &[u8]) -> Value {
        let mut out = Vec::new();
        wording.words(Row::BodyInvalid).write_object(&mut out, shape, hint, Some(&names()), instance);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn the_object_has_four_strings_and_nothing_else() {
        let expected = json!({"error": {
            "type": "https://api.example.com/problems/body-invalid",
            "title": "Bad Request",
            "detail": "Look at a.b, \"there\".",
            "instance": "/p",
        }});
        assert_eq!(object(&wording("Look at {field}, \"there\"."), ErrorShape::ErrorObject, Some(0), b"/p"), expected);
    }

    #[test]
    fn problem_json_has_the_status_too_and_no_wrapper() {
        let object = object(&wording("Look at {field}."), ErrorShape::ProblemJson, None, b"/p");
        assert_eq!(
            object,
            json!({
                "type": "https://api.example.com/problems/body-invalid",
                "title": "Bad Request",
                "status": 400,
                "detail": "Look at its top level.",
                "instance": "/p",
            })
        );
    }

    #[test]
    fn every_row_has_words_and_internal_stands_for_a_missing_one() {
        let wording = wording("d");
        assert_eq!(&*wording.words(Row::BodyInvalid).slug, "body-invalid");
        for row in [Row::Internal, Row::TokenUnknown, Row::Own(7)] {
            assert_eq!((&*wording.words(row).slug, wording.words(row).status.code()), ("internal", 500));
        }
        assert_eq!(
            [Row::BodyInvalid, Row::Internal, Row::TokenUnknown].map(|row| wording.index(row)),
            [Some(0), Some(1), None]
        );
        assert_eq!(wording.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [Row::BodyInvalid, Row::Internal]);
        let own = Text { slug: "ours".into(), ..Text::internal() };
        assert_eq!(&*Wording::new("", vec![own]).words(Row::TokenUnknown).slug, "ours");
    }

    #[test]
    fn each_blank_is_filled_in_as_often_as_it_is_written() {
        let mut several = Broken::default();
        several.push(Breach { field: Some(0), rule: 0 });
        several.push(Breach { field: None, rule: 0 });
        several.push(Breach { field: None, rule: 0 });
        let mut many = Broken::default();
        (0..20).for_each(|field| many.push(Breach { field: Some(field), rule: 0 }));
        let eight = "a.b must be \"x\"; ".to_owned() + &["the body must be \"x\""; 7].join("; ");
        for (detail, hint, expected) in [
            ("{rules}.", Hint::Broken(several), "a.b must be \"x\"; the body must be \"x\".".to_owned()),
            ("{field}{field}", Hint::Broken(several), "a.ba.b".to_owned()),
            ("{rules}", Hint::Broken(many), eight + "; and more"),
            ("{rules}", Hint::Broken(Broken::TOO_MUCH_WORK), "the body is too complex to be validated".to_owned()),
            ("{rules}", Hint::None, "a value is not allowed".to_owned()),
            ("no{position}", Hint::At { line: 2, column: 7 }, "no (line 2, column 7)".to_owned()),
            ("no{position}.", Hint::AtByte(7), "no (byte 7).".to_owned()),
            ("no{position}.", Hint::None, "no.".to_owned()),
            ("{other} {\"field\"}", Hint::None, "{other} {\"field\"}".to_owned()),
        ] {
            let object = hinted(&wording(detail), ErrorShape::ErrorObject, hint, b"/p");
            assert_eq!(object["error"]["detail"], expected, "{detail}");
        }
    }

    #[test]
    fn the_instance_is_cut_at_256_bytes() {
        let long = object(&wording("d"), ErrorShape::ErrorObject, None, &[b'a'; 300]);
        assert_eq!(long["error"]["instance"].as_str().unwrap().len(), 256);
        for (before, character, rest) in [
            (254, "é", "b"),
            (255, "é", ""),
            (253, "€", "b"),
            (254, "€", "b"),
            (253, "𝄞", "b"),
            (256, "é", ""),
            (252, "𝄞", ""),
        ] {
            let path = "a".repeat(before) + character + rest;
            let cut = object(&wording("d"), ErrorShape::ErrorObject, None, path.as_bytes());
            let whole = before + character.len() <= 256;
            let expected = "a".repeat(before.min(256)) + if whole { character } else { "" };
            assert_eq!(cut["error"]["instance"], expected, "{before} {character}");
        }
        // Bytes that are no text are no character either.
        let odd = object(&wording("d"), ErrorShape::ErrorObject, None, &[0xff; 300]);
        assert_eq!(odd["error"]["instance"].as_str().unwrap().chars().count(), 256);
    }

    proptest! {
        #[test]
        fn any_bytes_make_a_json_string(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let object = object(&wording("d"), ErrorShape::ErrorObject, None, &bytes);
            let expected = String::from_utf8_lossy(&bytes).into_owned();
            prop_assert_eq!(object["error"]["instance"].as_str(), Some(expected.as_str()));
        }
    }
}
