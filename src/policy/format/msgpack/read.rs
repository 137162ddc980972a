//! MessagePack as JSON text: one value and nothing behind it.
//!
//! Nothing is kept of it but the names of the maps that are open, so a length that promises more than there is takes no
//! memory. What JSON cannot say is refused: binary and extension types, names that are no texts, names that are there
//! twice, and numbers that are none.

use std::collections::BTreeSet;

use rmp::Marker;

use crate::policy::check::body::document::MAX_NESTING;
use crate::policy::problem::{Hint, Problem, Row};

/// The JSON text of a body. It is at most six times as long.
///
/// # Errors
/// `body-malformed`, with the byte where it stops being valid.
pub fn to_json(body: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut reader = Reader { body, at: 0, out: Vec::with_capacity(body.len().saturating_mul(2)) };
    reader.value(MAX_NESTING)?;
    if reader.at < body.len() {
        return Err(malformed(reader.at, "something follows the MessagePack document"));
    }
    Ok(reader.out)
}

fn malformed(at: usize, reason: &'static str) -> Problem {
    let byte = u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1);
    Problem::new(Row::BodyMalformed, reason).with(Hint::AtByte(byte))
}

struct Reader<'b> {
    body: &'b [u8],
    at: usize,
    out: Vec<u8>,
}

impl<'b> Reader<'b> {
    /// The next bytes, of which there must be so many.
    fn take(&mut self, count: usize) -> Result<&'b [u8], Problem> {
        let end = self.at.checked_add(count);
        let bytes = end.and_then(|end| self.body.get(self.at..end));
        let bytes = bytes.ok_or(malformed(self.body.len(), "the body ends within a MessagePack value"))?;
        self.at = self.at.saturating_add(count);
        Ok(bytes)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn marker(&mut self) -> Result<Marker, Problem> {
        let [marker] = self.number()?;
        Ok(Marker::from_u8(marker))
    }

    /// The length of one, two or four bytes.
    fn length<const N: usize>(&mut self) -> Result<usize, Problem> {
        let bytes: [u8; N] = self.number()?;
        // A usize has at least 32 bits here; one that has fewer could not have such a body either.
        Ok(bytes.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte)))
    }

    fn value(&mut self, nesting_left: u8) -> Result<(), Problem> {
        let at = self.at;
        let marker = self.marker()?;
        match marker {
            Marker::Null => self.out.extend_from_slice(b"null"),
            Marker::True => self.out.extend_from_slice(b"true"),
            Marker::False => self.out.extend_from_slice(b"false"),
            Marker::FixPos(number) => self.write(&number),
            Marker::FixNeg(number) => self.write(&number),
            Marker::U8 => self.number().map(|bytes| self.write(&u8::from_be_bytes(bytes)))?,
            Marker::U16 => self.number().map(|bytes| self.write(&u16::from_be_bytes(bytes)))?,
            Marker::U32 => self.number().map(|bytes| self.write(&u32::from_be_bytes(bytes)))?,
            Marker::U64 => self.number().map(|bytes| self.write(&u64::from_be_bytes(bytes)))?,
            Marker::I8 => self.number().map(|bytes| self.write(&i8::from_be_bytes(bytes)))?,
            Marker::I16 => self.number().map(|bytes| self.write(&i16::from_be_bytes(bytes)))?,
            Marker::I32 => self.number().map(|bytes| self.write(&i32::from_be_bytes(bytes)))?,
            Marker::I64 => self.number().map(|bytes| self.write(&i64::from_be_bytes(bytes)))?,
            Marker::F32 => {
                let number = f32::from_be_bytes(self.number()?);
                self.float(at, f64::from(number))?;
            }
            Marker::F64 => {
                let number = f64::from_be_bytes(self.number()?);
                self.float(at, number)?;
            }
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                let text = self.text(at, marker)?;
                self.write(text);
            }
            Marker::FixArray(length) => self.list(at, usize::from(length), nesting_left)?,
            Marker::Array16 => self.length::<2>().and_then(|length| self.list(at, length, nesting_left))?,
            Marker::Array32 => self.length::<4>().and_then(|length| self.list(at, length, nesting_left))?,
            Marker::FixMap(length) => self.map(at, usize::from(length), nesting_left)?,
            Marker::Map16 => self.length::<2>().and_then(|length| self.map(at, length, nesting_left))?,
            Marker::Map32 => self.length::<4>().and_then(|length| self.map(at, length, nesting_left))?,
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
                return Err(malformed(at, "a binary value, which JSON has not"));
            }
            Marker::Ext8 | Marker::Ext16 | Marker::Ext32 => {
                return Err(malformed(at, "a value of an extension type"));
            }
            Marker::FixExt1 | Marker::FixExt2 | Marker::FixExt4 | Marker::FixExt8 | Marker::FixExt16 => {
                return Err(malformed(at, "a value of an extension type"));
            }
            Marker::Reserved => return Err(malformed(at, "a byte that begins no value")),
        }
        Ok(())
    }

    /// Appends a text or a whole number. Writing it into a vector cannot fail.
    fn write(&mut self, value: &(impl serde::Serialize + ?Sized)) {
        let _ = serde_json::to_writer(&mut self.out, value);
    }

    fn float(&mut self, at: usize, number: f64) -> Result<(), Problem> {
        if !number.is_finite() {
            return Err(malformed(at, "a number that is infinite or none"));
        }
        self.write(&number);
        Ok(())
    }

    /// The text that a marker begins.
    fn text(&mut self, at: usize, marker: Marker) -> Result<&'b str, Problem> {
        let length = match marker {
            Marker::FixStr(length) => usize::from(length),
            Marker::Str8 => self.length::<1>()?,
            Marker::Str16 => self.length::<2>()?,
            Marker::Str32 => self.length::<4>()?,
            _ => return Err(malformed(at, "the name of a member is not a text")),
        };
        let begin = self.at;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes)
            .map_err(|error| malformed(begin.saturating_add(error.valid_up_to()), "a text is not UTF-8"))
    }

    fn list(&mut self, at: usize, length: usize, nesting_left: u8) -> Result<(), Problem> {
        let inner = deeper(at, nesting_left)?;
        self.out.push(b'[');
        for index in 0..length {
            if index > 0 {
                self.out.push(b',');
            }
            self.value(inner)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn map(&mut self, at: usize, length: usize, nesting_left: u8) -> Result<(), Problem> {
        let inner = deeper(at, nesting_left)?;
        let mut names: BTreeSet<&'b str> = BTreeSet::new();
        self.out.push(b'{');
        for index in 0..length {
            if index > 0 {
                self.out.push(b',');
            }
            let at = self.at;
            let marker = self.marker()?;
            let name = self.text(at, marker)?;
            if !names.insert(name) {
                return Err(malformed(at, "a repeated key"));
            }
            self.write(name);
            self.out.push(b':');
            self.value(inner)?;
        }
        self.out.push(b'}');
        Ok(())
    }
}

fn deeper(at: usize, nesting_left: u8) -> Result<u8, Problem> {
    nesting_left.checked_sub(1).ok_or(malformed(at, "nested too deeply"))
}
