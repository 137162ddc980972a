//! The words of each problem, made ready at start-up so that a refusal is a few copies.
//!
//! Operators can replace every text; what may never vary is the shape of the error object
//! (contract, section 2): four members, all strings.

use crate::policy::problem::{Fault, Row, Status, TABLE};

/// The ready words of all rows, for one product or for requests without one.
#[derive(Clone, Debug)]
pub struct Wording {
    /// All rows but `internal`, sorted.
    rows: Box<[(Row, Words)]>,
    /// The last row. It stands for a row that is missing as well, so that every refusal has words.
    internal: (Row, Words),
    /// What `{field}` stands for: the product's fields, by `Hint::Field`.
    fields: Box<[Box<str>]>,
}

/// One row's words, as they go on the wire.
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
    detail: Detail,
}

/// A JSON-escaped detail, around the name of the field.
#[derive(Clone, Debug)]
enum Detail {
    Whole(Box<str>),
    AroundField(Box<str>, Box<str>),
}

/// Which of the two shapes an error object has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `{"error":{…}}`, `application/json`.
    ErrorObject,
    /// RFC 9457, `application/problem+json`.
    ProblemJson,
}

/// The text of a row, before it is made ready.
#[derive(Clone, Debug)]
pub struct Text {
    pub row: Row,
    pub slug: Box<str>,
    pub status: Status,
    pub fault: Fault,
    pub title: Option<Box<str>>,
    pub detail: String,
}

/// What `{field}` stands for when the breach is not at a field that the schema names.
const TOP_LEVEL: &str = "its top level";

/// Bytes of a request's path that an error object repeats (contract, section 2).
const MAX_INSTANCE_BYTES: usize = 256;

impl Wording {
    /// Makes the words of all rows ready. Without a text for `internal` it has the built-in one.
    pub fn new(public_url: &str, texts: Vec<Text>, fields: Vec<String>) -> Wording {
        let (internal, mut texts): (Vec<_>, Vec<_>) = texts.into_iter().partition(|text| text.row == Row::Internal);
        texts.sort_by_key(|text| text.row);
        let internal = internal.into_iter().next().unwrap_or_else(Text::internal);
        Wording {
            rows: texts.into_iter().map(|text| (text.row, Words::new(public_url, text))).collect(),
            internal: (internal.row, Words::new(public_url, internal)),
            fields: fields.iter().map(|field| escaped(field).into()).collect(),
        }
    }

    /// The words of a row. A row that is missing, which start-up rules out, has those of `internal`.
    pub fn words(&self, row: Row) -> &Words {
        let (_, words) = self.find(row).and_then(|place| self.rows.get(place)).unwrap_or(&self.internal);
        words
    }

    /// The place of a row among all rows.
    pub fn place(&self, row: Row) -> Option<usize> {
        if row == Row::Internal { Some(self.rows.len()) } else { self.find(row) }
    }

    /// All rows in order of precedence.
    pub fn iter(&self) -> impl Iterator<Item = &(Row, Words)> {
        self.rows.iter().chain([&self.internal])
    }

    fn find(&self, row: Row) -> Option<usize> {
        self.rows.binary_search_by_key(&row, |(known, _)| *known).ok()
    }

    /// Appends the body of a refusal: the object of `shape` with the request's path as `instance`.
    pub fn write_object(&self, out: &mut Vec<u8>, words: &Words, shape: Shape, field: Option<u16>, instance: &[u8]) {
        out.extend_from_slice(match shape {
            Shape::ErrorObject => words.object_start.as_bytes(),
            Shape::ProblemJson => words.problem_start.as_bytes(),
        });
        match &words.detail {
            Detail::Whole(detail) => out.extend_from_slice(detail.as_bytes()),
            Detail::AroundField(before, after) => {
                let field = field.and_then(|place| self.fields.get(usize::from(place)));
                out.extend_from_slice(before.as_bytes());
                out.extend_from_slice(field.map_or(TOP_LEVEL, |field| field).as_bytes());
                out.extend_from_slice(after.as_bytes());
            }
        }
        out.extend_from_slice(br#"","instance":""#);
        write_escaped(out, instance.get(..MAX_INSTANCE_BYTES).unwrap_or(instance));
        out.extend_from_slice(match shape {
            Shape::ErrorObject => br#""}}"#.as_slice(),
            Shape::ProblemJson => br#""}"#,
        });
    }
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
        let detail = match text.detail.split_once("{field}") {
            Some((before, after)) => Detail::AroundField(escaped(before).into(), escaped(after).into()),
            None => Detail::Whole(escaped(&text.detail).into()),
        };
        let status = text.status.code();
        Words {
            object_start: format!(r#"{{"error":{{"type":"{link}","title":"{title}","detail":""#).into(),
            problem_start: format!(r#"{{"type":"{link}","title":"{title}","status":{status},"detail":""#).into(),
            title: plain_title.into(),
            slug: text.slug,
            status: text.status,
            fault: text.fault,
            detail,
        }
    }
}

/// A text as it stands between the quotes of a JSON string.
fn escaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    write_escaped(&mut out, text.as_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

/// Appends bytes as they stand between the quotes of a JSON string; what is not UTF-8 becomes
/// U+FFFD, and the line separators that some readers of logs and scripts trip over are escaped.
pub(crate) fn write_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    // Nearly every text is like that.
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
        };
        Wording::new("https://api.example.com", vec![text], vec!["a.b".into()])
    }

    fn object(wording: &Wording, shape: Shape, field: Option<u16>, instance: &[u8]) -> Value {
        let mut out = Vec::new();
        wording.write_object(&mut out, wording.words(Row::BodyInvalid), shape, field, instance);
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
        assert_eq!(object(&wording("Look at {field}, \"there\"."), Shape::ErrorObject, Some(0), b"/p"), expected);
    }

    #[test]
    fn problem_json_has_the_status_too_and_no_wrapper() {
        let object = object(&wording("Look at {field}."), Shape::ProblemJson, None, b"/p");
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
            [Row::BodyInvalid, Row::Internal, Row::TokenUnknown].map(|row| wording.place(row)),
            [Some(0), Some(1), None]
        );
        assert_eq!(wording.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [Row::BodyInvalid, Row::Internal]);
        let own = Text { slug: "ours".into(), ..Text::internal() };
        assert_eq!(&*Wording::new("", vec![own], Vec::new()).words(Row::TokenUnknown).slug, "ours");
    }

    #[test]
    fn the_instance_is_cut_at_256_bytes() {
        let long = object(&wording("d"), Shape::ErrorObject, None, &[b'a'; 300]);
        assert_eq!(long["error"]["instance"].as_str().unwrap().len(), 256);
    }

    proptest! {
        #[test]
        fn any_bytes_make_a_json_string(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let object = object(&wording("d"), Shape::ErrorObject, None, &bytes);
            let expected = String::from_utf8_lossy(&bytes).into_owned();
            prop_assert_eq!(object["error"]["instance"].as_str(), Some(expected.as_str()));
        }
    }
}
