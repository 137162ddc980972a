//! The chunked coding of HTTP/1.1 (RFC 9112, section 7.1), read strictly.
//!
//! `httparse` reads chunk sizes more leniently than contract section 8 allows, so the few rules are
//! written out here. Extensions and trailers are read within limits and dropped.

use crate::policy::problem::{Problem, Row};

/// The most bytes of one line of the coding: a size with its extensions, or a trailer.
const MAX_LINE_BYTES: usize = 1024;

/// Trailer lines of one body.
const MAX_TRAILER_LINES: u8 = 16;

/// Hexadecimal digits of a chunk's size.
const MAX_SIZE_DIGITS: usize = 8;

/// A decoder between two pieces of input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoder {
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Size,
    /// This many bytes of the chunk are left.
    Data(u64),
    DataEnd,
    /// This many trailer lines have been read.
    Trailers(u8),
    Done,
}

impl Decoder {
    /// Whether the whole body has been read.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Reads as much of `input` as can be judged, hands the data to `take`, and returns how many
    /// bytes were used up.
    ///
    /// # Errors
    /// `malformed-request` when the input is not the chunked coding; whatever `take` returns.
    pub fn advance(
        &mut self,
        input: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), Problem>,
    ) -> Result<usize, Problem> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            match self.state {
                State::Done => return Ok(used),
                State::Data(left) => {
                    let there = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let (data, _) = rest.split_at(there);
                    if data.is_empty() {
                        return Ok(used);
                    }
                    take(data)?;
                    used += there;
                    let left = left.saturating_sub(u64::try_from(there).unwrap_or(u64::MAX));
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                }
                State::Size | State::DataEnd | State::Trailers(_) => {
                    let Some(line) = line(rest)? else { return Ok(used) };
                    used += line.len() + 2;
                    self.state = self.state.after(line)?;
                }
            }
        }
    }
}

impl State {
    /// The state after a line of the coding.
    fn after(self, line: &[u8]) -> Result<State, Problem> {
        match self {
            State::Size => Ok(match size(line)? {
                0 => State::Trailers(0),
                size => State::Data(size),
            }),
            State::DataEnd if line.is_empty() => Ok(State::Size),
            State::DataEnd => Err(malformed("a chunk is longer than its size")),
            State::Trailers(_) if line.is_empty() => Ok(State::Done),
            State::Trailers(MAX_TRAILER_LINES) => Err(malformed("too many trailers")),
            State::Trailers(read) if is_field(line) => Ok(State::Trailers(read + 1)),
            State::Trailers(_) => Err(malformed("a trailer is not a header line")),
            State::Data(_) | State::Done => Ok(self),
        }
    }
}

/// The next line without its CR LF; `None` while its end has not arrived.
fn line(input: &[u8]) -> Result<Option<&[u8]>, Problem> {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => match input.get(..end).and_then(|line| line.strip_suffix(b"\r")) {
            Some(line) if line.len() <= MAX_LINE_BYTES => Ok(Some(line)),
            Some(_) => Err(malformed("a line of the chunked coding is too long")),
            None => Err(malformed("a bare LF in the chunked coding")),
        },
        // The CR of a line that is as long as it may be can have come without its LF.
        None if input.len() > MAX_LINE_BYTES + 1 => Err(malformed("a line of the chunked coding is too long")),
        None => Ok(None),
    }
}

/// The size at the beginning of a chunk; what follows a semicolon is an extension.
fn size(line: &[u8]) -> Result<u64, Problem> {
    let (digits, extension) = match line.iter().position(|byte| *byte == b';') {
        Some(at) => line.split_at(at),
        None => (line, b"".as_slice()),
    };
    if digits.is_empty() || digits.len() > MAX_SIZE_DIGITS {
        return Err(malformed("a chunk size is missing or too long"));
    }
    if extension.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(malformed("a control byte in a chunk extension"));
    }
    digits.iter().try_fold(0, |size: u64, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(malformed("a chunk size is not hexadecimal"))?;
        Ok(size * 16 + u64::from(digit))
    })
}

/// Whether a trailer line is a name, a colon and a value.
fn is_field(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else {
        return false;
    };
    let (name, value) = line.split_at(colon);
    crate::policy::http::media::is_token(name) && !value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
}

const fn malformed(reason: &'static str) -> Problem {
    Problem::new(Row::MalformedRequest, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes input that arrives in pieces of `step` bytes: the body and the bytes after it.
    fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, Vec<u8>), &'static str> {
        let mut decoder = Decoder::default();
        let mut body = Vec::new();
        let mut waiting = Vec::new();
        for piece in input.chunks(step) {
            waiting.extend_from_slice(piece);
            let take = |data: &[u8]| {
                body.extend_from_slice(data);
                Ok(())
            };
            let used = decoder.advance(&waiting, take).map_err(|problem| problem.reason)?;
            waiting.drain(..used);
        }
        if decoder.is_done() { Ok((body, waiting)) } else { Err("not done") }
    }

    #[test]
    fn sound_bodies_are_read_in_any_pieces() {
        for (input, body, rest) in [
            ("0\r\n\r\n", "", ""),
            ("3\r\nabc\r\n0\r\n\r\n", "abc", ""),
            ("3\r\nabc\r\nA\r\n0123456789\r\n000\r\n\r\nGET /", "abc0123456789", "GET /"),
            ("3;a=b;c=\"d\"\r\nabc\r\n0;x\r\nT: v\r\nU:\r\n\r\n", "abc", ""),
            ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", ""),
        ] {
            for step in 1..=input.len() {
                let decoded = decode(input.as_bytes(), step).map(|(body, _)| body);
                assert_eq!(decoded.as_deref(), Ok(body.as_bytes()), "{input:?} by {step}");
            }
            assert_eq!(decode(input.as_bytes(), input.len()).unwrap().1, rest.as_bytes());
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_in_whatever_pieces_it_comes() {
        let with_line_of = |bytes: usize| format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(bytes - 2));
        for step in [1, 2, MAX_LINE_BYTES, MAX_LINE_BYTES + 1, MAX_LINE_BYTES + 2, 5000] {
            let longest = decode(with_line_of(MAX_LINE_BYTES).as_bytes(), step);
            assert_eq!(longest.map(|(body, _)| body), Ok(b"abc".to_vec()), "by {step}");
            let longer = decode(with_line_of(MAX_LINE_BYTES + 1).as_bytes(), step);
            assert_eq!(longer, Err("a line of the chunked coding is too long"), "by {step}");
        }
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_malformed() {
        let long_extension = format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(2000));
        let many_trailers = format!("0\r\n{}\r\n", "T: v\r\n".repeat(17));
        for (input, reason) in [
            ("3\nabc\r\n0\r\n\r\n", "a bare LF in the chunked coding"),
            ("3\r\nabc\n0\r\n\r\n", "a bare LF in the chunked coding"),
            ("3\r\nabcd\r\n0\r\n\r\n", "a chunk is longer than its size"),
            ("0x3\r\nabc\r\n0\r\n\r\n", "a chunk size is not hexadecimal"),
            ("+3\r\nabc\r\n0\r\n\r\n", "a chunk size is not hexadecimal"),
            ("-3\r\nabc\r\n0\r\n\r\n", "a chunk size is not hexadecimal"),
            ("3 \r\nabc\r\n0\r\n\r\n", "a chunk size is not hexadecimal"),
            (" 3\r\nabc\r\n0\r\n\r\n", "a chunk size is not hexadecimal"),
            ("3 ;x\r\nabc\r\n0\r\n\r\n", "a chunk size is not hexadecimal"),
            ("\r\nabc\r\n0\r\n\r\n", "a chunk size is missing or too long"),
            (";x\r\nabc\r\n0\r\n\r\n", "a chunk size is missing or too long"),
            ("100000003\r\nabc\r\n0\r\n\r\n", "a chunk size is missing or too long"),
            ("3;\0\r\nabc\r\n0\r\n\r\n", "a control byte in a chunk extension"),
            ("3;a\rb\r\nabc\r\n0\r\n\r\n", "a control byte in a chunk extension"),
            ("0\r\nno colon\r\n\r\n", "a trailer is not a header line"),
            ("0\r\nT : v\r\n\r\n", "a trailer is not a header line"),
            (&long_extension, "a line of the chunked coding is too long"),
            (&many_trailers, "too many trailers"),
        ] {
            assert_eq!(decode(input.as_bytes(), input.len()), Err(reason), "{input:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(input in proptest::collection::vec(any::<u8>(), 0..100), step in 1..20_usize) {
            let _ = decode(&input, step);
        }

        #[test]
        fn what_is_encoded_is_decoded(chunks in proptest::collection::vec("[a-z\r\n]{1,20}", 0..8), step in 1..30_usize) {
            let mut input = String::new();
            for chunk in &chunks {
                input += &format!("{:x}\r\n{chunk}\r\n", chunk.len());
            }
            input += "0\r\n\r\n";
            prop_assert_eq!(decode(input.as_bytes(), step).unwrap().0, chunks.concat().into_bytes());
        }
    }
}
