//! Reads a backend's answer completely, within limits (RFC 9112, sections 4, 6, 7 and 9).
//!
//! Of its head, only the status, the framing, `Retry-After`, and what the product names are used: no other header of a
//! backend reaches a client. If two parsers could disagree about where an answer ends, it is refused. The meaning of a status is in `translate.rs`.

use std::io::ErrorKind;
use std::ops::Deref;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::policy::answers::Answers;
use crate::policy::http::chunked::Decoder;
use crate::policy::http::head::decimal;
use crate::policy::problem::Problem;
use crate::upstream::translate::{failed, unavailable};

/// The most bytes of one head.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// The most header lines of one head.
const MAX_HEADER_LINES: usize = 128;

/// The most interim answers (1xx) that are skipped before the final one.
const MAX_INTERIM_ANSWERS: u8 = 16;

/// The bytes of one read, unless a body is known to be longer: most answers are shorter.
pub const READ_BYTES: usize = 4096;

/// Enough free space to read into, so that the buffer of the request is not enlarged.
const LEAST_ROOM: usize = 1024;

/// The most header lines that are passed on, and the most bytes of each.
const MAX_PASSED_LINES: usize = 32;
const MAX_PASSED_BYTES: usize = 4096;

const UNREADABLE: Problem = failed("the head of the answer cannot be parsed or is too large");

/// The relevant parts of the head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    /// The first `Retry-After`, as it was sent.
    pub retry_after: Option<Box<[u8]>>,
    /// The first `Content-Type`, if the product serves several kinds of types.
    pub content_type: Option<Box<[u8]>>,
    /// The headers that the product names, by their index there.
    pub passed: Vec<(u8, Box<[u8]>)>,
    framing: Framing,
    /// Whether the connection can be used again once the body has been read.
    persistent: bool,
}

/// Where a body ends (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    /// It ends with the connection.
    Close,
}

impl Head {
    /// Parses a head; returns it with its length in bytes, or `None` while its end has not arrived.
    ///
    /// # Errors
    /// `upstream-failed` if it is not an HTTP/1 head, or its framing is ambiguous.
    fn read(bytes: &[u8], answers: &Answers) -> Result<Option<(Head, usize)>, Problem> {
        // httparse skips blank lines, which belong to no answer.
        if !bytes.starts_with(b"H") {
            return Err(UNREADABLE);
        }
        let mut slots = [httparse::EMPTY_HEADER; MAX_HEADER_LINES];
        let mut response = httparse::Response::new(&mut slots);
        let length = match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(UNREADABLE),
        };
        let (Some(status), Some(minor)) = (response.code, response.version) else { return Err(UNREADABLE) };
        // httparse accepts a bare LF as a line end; a parser that does not would see other lines (RFC 9112, section
        // 2.2).
        if has_bare_lf(bytes.get(..length).unwrap_or_default()) {
            return Err(failed("the head of the answer has a bare LF"));
        }
        let is_1_1 = minor == 1;
        let mut head = Head {
            status,
            retry_after: None,
            content_type: None,
            passed: Vec::new(),
            framing: Framing::Close,
            persistent: is_1_1,
        };
        let (mut stated, mut is_chunked, mut is_closed, mut is_kept) = (None, false, false, false);
        for field in response.headers.iter() {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                let length = decimal(field.value).ok_or(failed("the answer's Content-Length is not a number"))?;
                if stated.replace(length).is_some_and(|other| other != length) {
                    return Err(failed("the answer has two lengths"));
                }
            } else if is("transfer-encoding") {
                if is_chunked || !is_1_1 || !field.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(failed("the answer has another transfer coding than chunked"));
                }
                is_chunked = true;
            } else if is("connection") {
                for option in field.value.split(|byte| *byte == b',') {
                    is_closed |= option.trim_ascii().eq_ignore_ascii_case(b"close");
                    is_kept |= option.trim_ascii().eq_ignore_ascii_case(b"keep-alive");
                }
            } else if is("retry-after") && head.retry_after.is_none() {
                head.retry_after = Some(field.value.into());
            } else if answers.has_types && head.content_type.is_none() && is("content-type") {
                head.content_type = Some(field.value.into());
            } else if !answers.headers.is_empty() {
                head.keep(field, &answers.headers);
            }
        }
        head.framing = match (stated, is_chunked) {
            // These never have a body, whatever the head says (RFC 9112, section 6.3).
            _ if matches!(status, 204 | 304) => Framing::Length(0),
            (Some(_), true) => return Err(failed("the answer has both a length and chunks")),
            (Some(length), false) => Framing::Length(length),
            (None, true) => Framing::Chunked,
            (None, false) => Framing::Close,
        };
        head.persistent = !is_closed && (is_1_1 || is_kept) && head.framing != Framing::Close;
        Ok(Some((head, length)))
    }

    /// Keeps a header that the product names, of several lines with one name the first ones.
    #[cold]
    fn keep(&mut self, field: &httparse::Header<'_>, names: &[Box<str>]) {
        let index = names.iter().position(|name| name.eq_ignore_ascii_case(field.name));
        if let Some(index) = index.and_then(|index| u8::try_from(index).ok())
            && self.passed.len() < MAX_PASSED_LINES
            && field.value.len() <= MAX_PASSED_BYTES
        {
            self.passed.push((index, field.value.into()));
        }
    }

    /// Whether another answer follows this one (RFC 9110, section 15.2). After a 101, another protocol follows.
    fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

/// Whether a line ends with anything but CR LF.
fn has_bare_lf(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at.checked_sub(1).and_then(|before| head.get(before)) != Some(&b'\r'))
}

/// An answer that is being read.
#[derive(Debug)]
pub struct Incoming<'s, S> {
    stream: &'s mut S,
    /// What has arrived.
    bytes: Vec<u8>,
    /// The start of what has not been parsed yet.
    start: usize,
    /// The bytes before those that have arrived: the request, if it is kept.
    kept: usize,
    /// The connection has ended without an error.
    ended: bool,
}

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFault {
    /// It is larger than the limit.
    TooLarge,
    /// It ended early, or its framing is wrong.
    Broken,
}

impl ResponseFault {
    /// The row that it is for clients.
    pub const fn problem(self) -> Problem {
        match self {
            ResponseFault::TooLarge => failed("the answer is larger than the limit"),
            ResponseFault::Broken => failed("the body of the answer was cut short or wrongly framed"),
        }
    }
}

/// A body that was read completely.
#[derive(Debug)]
pub struct Body {
    /// The body, and what precedes it.
    bytes: Vec<u8>,
    start: usize,
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body { bytes, start: 0 }
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

impl<'s, S: AsyncRead + Unpin> Incoming<'s, S> {
    /// The answer on a connection on which a request was sent. `buffer` is reused; its content is discarded.
    pub fn new(stream: &'s mut S, mut buffer: Vec<u8>) -> Incoming<'s, S> {
        buffer.clear();
        Incoming::behind(stream, buffer)
    }

    /// The same, but the request is kept: the answer follows it in its buffer.
    pub fn behind(stream: &'s mut S, request: Vec<u8>) -> Incoming<'s, S> {
        let kept = request.len();
        Incoming { stream, bytes: request, start: kept, kept, ended: false }
    }

    /// The kept request, if the connection ended before the first byte of an answer.
    pub fn unanswered(mut self) -> Option<Vec<u8>> {
        let nothing = self.bytes.len() == self.kept && self.ended;
        nothing.then(|| std::mem::take(&mut self.bytes))
    }

    /// The head of the final answer.
    ///
    /// # Errors
    /// `upstream-unavailable` if the backend closes without an answer, since it was not reachable; `upstream-failed` if
    /// the answer breaks off or is not HTTP.
    pub async fn head(&mut self, answers: &Answers) -> Result<Head, Problem> {
        for _ in 0..=MAX_INTERIM_ANSWERS {
            let head = self.next_head(answers).await?;
            if !head.is_interim() {
                return Ok(head);
            }
        }
        Err(failed("there were interim answers without end"))
    }

    async fn next_head(&mut self, answers: &Answers) -> Result<Head, Problem> {
        loop {
            let rest = self.rest();
            if !rest.is_empty()
                && let Some((head, length)) = Head::read(rest, answers)?
            {
                self.start += length;
                return Ok(head);
            }
            if rest.len() >= MAX_HEAD_BYTES {
                return Err(UNREADABLE);
            }
            let nothing_yet = rest.is_empty();
            if !self.read(LEAST_ROOM).await {
                return Err(match nothing_yet {
                    true => unavailable("the connection was closed without an answer"),
                    false => failed("the head of the answer was cut short"),
                });
            }
        }
    }

    /// The body after a head, and whether the connection can be used for another request.
    ///
    /// # Errors
    /// That it is larger than `limit`, in bytes, or broken.
    pub async fn body(mut self, head: &Head, limit: usize) -> Result<(Body, bool), ResponseFault> {
        match head.framing {
            Framing::Length(length) => {
                let length =
                    usize::try_from(length).ok().filter(|length| *length <= limit).ok_or(ResponseFault::TooLarge)?;
                while self.rest().len() < length {
                    let missing = length - self.rest().len();
                    if !self.read(missing).await {
                        return Err(ResponseFault::Broken);
                    }
                }
                // A connection with bytes after the answer is not used again.
                let persistent = head.persistent && self.rest().len() == length;
                self.bytes.truncate(self.start + length);
                Ok((Body { bytes: self.bytes, start: self.start }, persistent))
            }
            Framing::Chunked => {
                let mut decoder = Decoder::default();
                let mut body = Vec::new();
                let mut is_too_large = false;
                let mut take = |data: &[u8]| {
                    is_too_large = body.len() + data.len() > limit;
                    body.extend_from_slice(if is_too_large { &[] } else { data });
                    if is_too_large { Err(failed("the answer is larger than the limit")) } else { Ok(()) }
                };
                loop {
                    let used = decoder.advance(self.rest(), &mut take);
                    let Ok(used) = used else {
                        return Err(if is_too_large { ResponseFault::TooLarge } else { ResponseFault::Broken });
                    };
                    self.start += used;
                    if decoder.is_done() {
                        let persistent = head.persistent && self.rest().is_empty();
                        return Ok((body.into(), persistent));
                    }
                    // Removes what was parsed, to make room.
                    self.bytes.drain(..self.start);
                    self.start = 0;
                    if !self.read(READ_BYTES).await {
                        return Err(ResponseFault::Broken);
                    }
                }
            }
            Framing::Close => loop {
                if self.rest().len() > limit {
                    return Err(ResponseFault::TooLarge);
                }
                self.bytes.reserve(READ_BYTES);
                match self.stream.read_buf(&mut self.bytes).await {
                    Ok(0) => return Ok((Body { bytes: self.bytes, start: self.start }, false)),
                    Ok(_) => {}
                    Err(_) => return Err(ResponseFault::Broken),
                }
            },
        }
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Waits for more bytes, with room for at least this many; returns whether any arrived.
    async fn read(&mut self, room: usize) -> bool {
        self.bytes.reserve(room);
        match self.stream.read_buf(&mut self.bytes).await {
            Ok(read) => {
                self.ended = read == 0;
                read > 0
            }
            // TLS reports this if the connection ends without a close_notify.
            Err(error) => {
                self.ended = error.kind() == ErrorKind::UnexpectedEof;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use futures_util::FutureExt;
    use tokio::io::ReadBuf;

    use super::*;
    use crate::policy::problem::Row;

    /// Bytes that arrive in pieces, and then the end.
    struct Pieces<'b>(Vec<&'b [u8]>);

    impl AsyncRead for Pieces<'_> {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
            if let Some(first) = self.0.first_mut() {
                let (now, later) = first.split_at(first.len().min(to.remaining()));
                to.put_slice(now);
                *first = later;
                self.0.retain(|piece| !piece.is_empty());
            }
            Poll::Ready(Ok(()))
        }
    }

    /// The status, the body and whether the connection can be kept, from bytes that arrive in pieces.
    fn read(text: &str, step: usize, limit: usize) -> Result<(u16, String, bool), &'static str> {
        let mut pieces = Pieces(text.as_bytes().chunks(step).collect());
        let reading = async {
            let mut incoming = Incoming::new(&mut pieces, Vec::new());
            let head = incoming.head(&Answers::default()).await.map_err(|problem| match problem.row {
                Row::UpstreamUnavailable => "unavailable",
                _ => "failed",
            })?;
            let (body, persistent) = incoming.body(&head, limit).await.map_err(|fault| match fault {
                ResponseFault::TooLarge => "too large",
                ResponseFault::Broken => "broken",
            })?;
            Ok((head.status, String::from_utf8(body.to_vec()).unwrap(), persistent))
        };
        reading.now_or_never().unwrap()
    }

    /// What is read of an answer: its status, its body and whether the connection can be used again; or what fails.
    type Expected = Result<(u16, &'static str, bool), &'static str>;

    /// Answers by RFC 9112, section 6, of which bodies may have 20 bytes.
    const ANSWERS: &[(&str, Expected)] = &[
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Ok((200, "{}", true))),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-length: 2\r\n\r\n{}", Ok((200, "{}", true))),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", Err("failed")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}", Err("failed")),
        ("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}", Err("failed")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\n{}", Err("failed")),
        ("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n{}", Err("failed")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}", Err("failed")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n{}", Err("too large")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n", Err("too large")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", Err("broken")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Ok((200, "", true))),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n", Ok((200, "{}", false))),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x, Close\r\n\r\n{}", Ok((200, "{}", false))),
        ("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}", Ok((200, "{}", true))),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", Ok((200, "{}", false))),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}", Ok((200, "{}", true))),
        ("HTTP/1.1 200 OK\r\n\r\n{}", Ok((200, "{}", false))),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n{}", Ok((200, "{}", false))),
        ("HTTP/1.1 200 OK\r\n\r\n123456789012345678901", Err("too large")),
        ("HTTP/1.1 200 OK\r\n\r\n12345678901234567890", Ok((200, "12345678901234567890", false))),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\nT: v\r\n\r\n",
            Ok((200, "{}", true)),
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nHTTP", Ok((200, "{}", false))),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", Err("broken")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", Err("broken")),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n123456789012345678901\r\n0\r\n\r\n",
            Err("too large"),
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Err("failed")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n{}", Err("failed")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Err("failed")),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            Err("failed"),
        ),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", Err("failed")),
        ("HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}", Err("failed")),
        ("HTTP/1.1 200 OK\r\nA: b\r\n folded\r\nContent-Length: 2\r\n\r\n{}", Err("failed")),
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", Err("failed")),
        ("HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\n{}", Err("failed")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\n{}", Err("failed")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\n{}", Err("failed")),
        ("HTTP/1.1 200 OK\r\nA: b\nContent-Length: 2\r\n\r\n{}", Err("failed")),
        ("HTTP/1.1 103 Early\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Err("failed")),
        ("\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Err("failed")),
        ("\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Err("failed")),
        ("HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\n{}", Err("failed")),
        ("HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}", Err("failed")),
        ("SSH-2.0-x\r\n", Err("failed")),
        ("HTTP/1.1 200 OK\r\nContent-Le", Err("failed")),
        ("", Err("unavailable")),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Ok((101, "", false))),
    ];

    #[test]
    fn an_answer_ends_where_rfc_9112_says_it_does() {
        for (text, expected) in ANSWERS {
            reads(text, *expected);
        }
    }

    #[test]
    fn heads_and_interim_answers_have_limits() {
        let interim = "HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n";
        let last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        reads(interim, Err("unavailable"));
        reads(&(interim.repeat(16) + last), Ok((200, "{}", true)));
        reads(&(interim.repeat(17) + last), Err("failed"));
        reads(&format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEAD_BYTES)), Err("failed"));
        reads(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MAX_HEADER_LINES + 1)), Err("failed"));
    }

    /// A text is read like this in pieces of whatever size.
    fn reads(text: &str, expected: Expected) {
        let expected = expected.map(|(status, body, persistent)| (status, body.to_owned(), persistent));
        for step in [1, 2, 7, 100_000] {
            // What follows an answer may not have arrived yet when it ends.
            if step == 100_000 || !text.ends_with("HTTP") && !text.ends_with("OK\r\n") {
                assert_eq!(read(text, step, 20), expected, "{text:?} in pieces of {step}");
            }
        }
    }

    #[test]
    fn a_retry_after_is_the_first_of_its_lines() {
        let head = |lines: &str| {
            let text = format!("HTTP/1.1 503 Busy\r\n{lines}\r\n");
            Head::read(text.as_bytes(), &Answers::default()).unwrap().unwrap().0.retry_after
        };
        assert_eq!(head("Retry-After: 7\r\nretry-after: 8\r\n").as_deref(), Some(b"7".as_slice()));
        assert_eq!(head("Content-Length: 0\r\n"), None);
    }
}
