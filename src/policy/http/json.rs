//! Writes JSON objects directly into a buffer.
//!
//! It is for records of requests: their members are known, and no text may break a line.

use crate::policy::problem::messages::write_escaped;

/// An object that is being written.
pub struct Object<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> Object<'o> {
    /// Opens an object at the end of the buffer.
    pub fn open(out: &'o mut Vec<u8>) -> Object<'o> {
        out.push(b'{');
        Object { out, empty: true }
    }

    /// A member whose value the caller writes next.
    pub fn member(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.extend_from_slice(if self.empty { b"\"" } else { b",\"" });
        self.empty = false;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// A text.
    pub fn text(&mut self, name: &str, text: &str) {
        let out = self.member(name);
        out.push(b'"');
        write_escaped(out, text.as_bytes());
        out.push(b'"');
    }

    /// A text that may be unknown; then the member is left out.
    pub fn known(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// A whole number.
    pub fn number(&mut self, name: &str, number: u64) {
        write_number(self.member(name), number);
    }

    /// Closes the object.
    pub fn close(self) {
        self.out.push(b'}');
    }
}

/// Decimal digits.
pub fn write_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut length = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        length += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - length..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_json_on_one_line_whatever_its_texts_are() {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        object.text("a", "\"\\\r\n\u{1b}[31m\u{2028}\u{0}é");
        object.known("b", None);
        object.number("c", u64::MAX);
        object.number("d", 0);
        object.close();
        let text = String::from_utf8(out).unwrap();
        assert!(text.chars().all(|letter| !letter.is_control() && letter != '\u{2028}'), "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, serde_json::json!({ "a": "\"\\\r\n\u{1b}[31m\u{2028}\u{0}é", "c": u64::MAX, "d": 0 }));
        for number in [1, 9, 10, 1234, 18_446_744_073_709_551_615] {
            let mut out = Vec::new();
            write_number(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }
}
