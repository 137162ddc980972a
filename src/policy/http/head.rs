//! Parses the head of a request, and refuses ambiguous framing.
//!
//! Whatever two parsers could read differently is `malformed-request` (contract, section 8): the
//! checks are made on the bytes as they were sent, before anything is normalised. `httparse` splits
//! the lines, which are judged here. Nothing here depends on routes, tokens or products, or reads
//! from connections.

use std::fmt;
use std::net::IpAddr;

use crate::policy::problem::{Problem, Row};

/// One header line: a name and the bytes of its value, both borrowed from the request.
pub type Field<'a> = httparse::Header<'a>;

/// The most header lines that any configuration can allow.
pub const MAX_FIELDS: usize = 128;

/// Bytes of a request line beside its target: the method, the version and the spaces.
pub const REQUEST_LINE_OVERHEAD: usize = 64;

/// Options of all Connection lines together; every header is compared with each of them.
const MAX_CONNECTION_OPTIONS: usize = 16;

/// Empty lines that may stand before a request line (RFC 9112, section 2.2).
const MAX_LEADING_BLANK_LINES: usize = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
    Http2,
}

/// How the length of the body is given (RFC 9112, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body: neither Content-Length nor Transfer-Encoding.
    None,
    /// Exactly this many bytes.
    Length(u64),
    /// Only the chunked coding.
    Chunked,
    /// HTTP/2 frames; with the length if the request states it.
    Frames(Option<u64>),
}

/// The largest head that is read, part by part. Units are bytes unless named otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    pub target_bytes: usize,
    pub header_bytes: usize,
    pub header_lines: usize,
}

impl HeadLimits {
    /// Bytes after which a head without an end is refused.
    pub fn head_bytes(&self) -> usize {
        self.target_bytes + self.header_bytes + REQUEST_LINE_OVERHEAD
    }
}

/// The lines of a head, split but not judged: what is known even of a refused request.
#[derive(Clone, Copy)]
pub struct Lines<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub version: Version,
    /// `:authority` of HTTP/2; in HTTP/1 the authority is in the `Host` field.
    pub authority: Option<&'a str>,
    pub fields: &'a [Field<'a>],
}

impl fmt::Debug for Lines<'_> {
    /// Shows nothing that a client sent but the method: a target or a field can hold a secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Lines({} ***, {} fields)", self.method, self.fields.len())
    }
}

impl<'a> Lines<'a> {
    /// The lines of an unreadable request.
    pub const UNREADABLE: Lines<'static> =
        Lines { method: "", target: "", version: Version::Http11, authority: None, fields: &[] };

    /// What can be recognized in bytes that are not a head: the method and the path, if there are any. Bytes that
    /// begin with `HEAD` and a space ask for an answer without content, whatever follows (RFC 9110, section 9.3.2).
    pub fn unreadable(bytes: &'a [u8]) -> Lines<'a> {
        let text = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
        let method = text.split(|byte| *byte == b' ').next().filter(|method| method.len() < text.len());
        let method = method.filter(|method| method.iter().all(|byte| byte.is_ascii_uppercase())).unwrap_or_default();
        let method = std::str::from_utf8(method).unwrap_or_default();
        let words = bytes.split(|byte| b" \r\n".contains(byte)).filter(|word| !word.is_empty());
        let target = words.skip(1).map(printable_start).next().unwrap_or_default();
        let target = std::str::from_utf8(target).ok().filter(|target| target.starts_with('/')).unwrap_or_default();
        Lines { method, target, ..Lines::UNREADABLE }
    }

    /// Splits the bytes of a whole HTTP/1 head.
    ///
    /// # Errors
    /// `malformed-request` when they are not a request line and header lines of RFC 9112, or when
    /// there are more header lines than `slots`.
    pub fn split(bytes: &'a [u8], slots: &'a mut [Field<'a>]) -> Result<Lines<'a>, Problem> {
        let mut request = httparse::Request::new(slots);
        match request.parse(bytes) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(malformed("the head ends early")),
            Err(error) => return Err(malformed(reason_of(error))),
        }
        let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
            return Err(malformed("the request line is not complete"));
        };
        let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        Ok(Lines { method, target, version, authority: None, fields: request.headers })
    }

    /// The values of all lines with this name, in any case of letters.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// The lines with this name: none, one or several.
    pub fn one(&self, name: &str) -> One<'a> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (None, _) => One::Absent,
            (Some(value), None) => One::Value(value),
            (Some(_), Some(_)) => One::Several,
        }
    }

    /// The host that the request is for, with its port if it names one: that of the target, else of the Host header
    /// (RFC 9112, section 3.3).
    pub fn host(&self) -> Option<&'a [u8]> {
        let named = self.authority.or_else(|| absolute_form(self.target).map(|(authority, _rest)| authority));
        named.map(str::as_bytes).or_else(|| self.values("host").next())
    }

    /// The path as it was sent, without the query; of an absolute-form target the part after the
    /// authority (RFC 9112, section 3.2).
    pub fn path(&self) -> &'a str {
        let path_and_query = match absolute_form(self.target) {
            Some((_authority, rest)) => rest,
            None => self.target,
        };
        path_and_query.split_once('?').map_or(path_and_query, |(path, _query)| path)
    }
}

/// The bytes before the first one that is not a visible ASCII character.
fn printable_start(bytes: &[u8]) -> &[u8] {
    bytes.iter().position(|byte| !byte.is_ascii_graphic()).map_or(bytes, |end| bytes.split_at(end).0)
}

/// The lines with one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum One<'a> {
    Absent,
    Value(&'a [u8]),
    Several,
}

/// The facts of a request whose framing is unambiguous.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    pub lines: Lines<'a>,
    /// The path that is matched with routes and forwarded unchanged.
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub framing: Framing,
    /// The client waits for `100 Continue` before it sends the body (RFC 9110, section 10.1.1).
    pub expects_continue: bool,
    /// Whether the client wants to keep the connection (RFC 9112, section 9.3).
    pub keep_alive: bool,
    pub peer: Peer,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Address(IpAddr),
    /// A process on this machine that connected through a Unix socket. It has no address, and is a
    /// proxy for others.
    Local,
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Head({:?}, {:?})", self.lines, self.framing)
    }
}

impl Framing {
    /// The length of the body, when the head states one.
    pub fn stated_length(self) -> Option<u64> {
        match self {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Frames(length) => length,
            Framing::Chunked => None,
        }
    }
}

impl<'a> Head<'a> {
    /// Judges the lines of a request.
    ///
    /// # Errors
    /// `malformed-request`, as contract section 8 lists them.
    pub fn judge(lines: Lines<'a>, peer: Peer, limits: &HeadLimits) -> Result<Head<'a>, Problem> {
        check_limits(&lines, limits)?;
        if lines.method == "CONNECT" {
            return Err(malformed("CONNECT is not served"));
        }
        let (path, query) = check_target(&lines)?;
        let facts = Facts::gather(&lines)?;
        facts.check_host(&lines)?;
        Ok(Head {
            lines,
            path,
            query,
            framing: facts.framing(lines.version)?,
            expects_continue: facts.expects_continue && lines.version != Version::Http10,
            keep_alive: facts.keep_alive.unwrap_or(lines.version != Version::Http10),
            peer,
        })
    }
}

/// The values of the framing lines, collected in one pass.
#[derive(Default)]
struct Facts<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
    chunked: bool,
    expects_continue: bool,
    keep_alive: Option<bool>,
    connection_options: usize,
}

impl<'a> Facts<'a> {
    /// `Upgrade` is not among them: it is an offer, which a server may ignore (RFC 9110, section 7.8).
    /// It is not forwarded either, nor is `HTTP2-Settings`, so that no backend can take it up.
    fn gather(lines: &Lines<'a>) -> Result<Facts<'a>, Problem> {
        let mut facts = Facts::default();
        for field in lines.fields {
            let name = field.name;
            // The lengths of the names exclude nearly all other headers.
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => facts.read_host(field.value)?,
                6 if name.eq_ignore_ascii_case("expect") => {
                    facts.expects_continue |= field.value.eq_ignore_ascii_case(b"100-continue");
                }
                10 if name.eq_ignore_ascii_case("connection") => facts.read_connection(field.value)?,
                14 if name.eq_ignore_ascii_case("content-length") => {
                    let length = decimal(field.value).ok_or(malformed("Content-Length is not a number"))?;
                    if facts.length.replace(length).is_some() {
                        return Err(malformed("several Content-Length lines"));
                    }
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    if facts.chunked || !field.value.eq_ignore_ascii_case(b"chunked") {
                        return Err(malformed("a Transfer-Encoding that is not one chunked"));
                    }
                    facts.chunked = true;
                }
                _ => {}
            }
        }
        Ok(facts)
    }

    fn read_host(&mut self, value: &'a [u8]) -> Result<(), Problem> {
        match self.host.replace(value) {
            None => Ok(()),
            Some(_) => Err(malformed("several Host lines")),
        }
    }

    fn read_connection(&mut self, value: &[u8]) -> Result<(), Problem> {
        for option in value.split(|byte| *byte == b',') {
            self.connection_options += 1;
            if self.connection_options > MAX_CONNECTION_OPTIONS {
                return Err(malformed("too many Connection options"));
            }
            let option = option.trim_ascii();
            if option.eq_ignore_ascii_case(b"close") {
                // Close takes precedence over keep-alive, whatever their order.
                self.keep_alive = Some(false);
            } else if option.eq_ignore_ascii_case(b"keep-alive") && self.keep_alive.is_none() {
                self.keep_alive = Some(true);
            }
        }
        Ok(())
    }

    fn check_host(&self, lines: &Lines<'_>) -> Result<(), Problem> {
        if let Some(host) = self.host
            && !is_authority(host)
        {
            return Err(malformed("the Host is not a host and a port"));
        }
        match (lines.version, self.host, lines.authority) {
            (Version::Http11, None, _) => return Err(malformed("no Host")),
            (Version::Http2, None, None) => return Err(malformed("no authority")),
            (Version::Http10 | Version::Http11 | Version::Http2, _, _) => {}
        }
        if let Some(authority) = lines.authority
            && !is_authority(authority.as_bytes())
        {
            return Err(malformed("the authority is not a host and a port"));
        }
        let named_in_target = lines.authority.or(absolute_form(lines.target).map(|(authority, _rest)| authority));
        match (named_in_target, self.host) {
            (Some(authority), Some(host)) if !authority.as_bytes().eq_ignore_ascii_case(host) => {
                Err(malformed("the target and the Host name two hosts"))
            }
            _ => Ok(()),
        }
    }

    fn framing(&self, version: Version) -> Result<Framing, Problem> {
        match (version, self.chunked, self.length) {
            (_, true, Some(_)) => Err(malformed("Content-Length with Transfer-Encoding")),
            (Version::Http10, true, None) => Err(malformed("Transfer-Encoding in HTTP/1.0")),
            (Version::Http2, true, None) => Err(malformed("Transfer-Encoding in HTTP/2")),
            (Version::Http2, false, length) => Ok(Framing::Frames(length)),
            (Version::Http11, true, None) => Ok(Framing::Chunked),
            (Version::Http10 | Version::Http11, false, Some(length)) => Ok(Framing::Length(length)),
            (Version::Http10 | Version::Http11, false, None) => Ok(Framing::None),
        }
    }
}

/// Where the head of a request ends in the bytes that have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// More bytes are needed; the next scan can begin at this index.
    Partial(usize),
    /// The head is complete and has this many bytes, including a leading blank line.
    Complete(usize),
}

/// Looks for the end of a head, from `start` on, which an earlier scan returned (or 0).
///
/// # Errors
/// `malformed-request` as soon as the bytes cannot become a head: a bare LF, a first byte that
/// begins no method. The client then need not wait for a time-out.
pub fn scan(bytes: &[u8], start: usize) -> Result<Scan, Problem> {
    let text_start = blank_lines(bytes)?;
    if let Some(first) = bytes.get(text_start)
        && !first.is_ascii_alphanumeric()
        && !b"!#$%&'*+-.^_`|~\r".contains(first)
    {
        return Err(malformed("the first byte begins no method"));
    }
    let mut line_start = start.max(text_start);
    while let Some(rest) = bytes.get(line_start..)
        && let Some(length) = memchr::memchr(b'\n', rest)
    {
        let line = rest.get(..length).unwrap_or_default();
        let Some(line) = line.strip_suffix(b"\r") else {
            return Err(malformed("a bare LF"));
        };
        line_start += length + 1;
        if line.is_empty() {
            return Ok(Scan::Complete(line_start));
        }
    }
    Ok(Scan::Partial(line_start))
}

/// How many bytes of blank lines stand before the request line.
fn blank_lines(bytes: &[u8]) -> Result<usize, Problem> {
    let mut skipped = 0;
    while bytes.get(skipped..).is_some_and(|rest| rest.starts_with(b"\r\n")) {
        skipped += 2;
        if skipped > 2 * MAX_LEADING_BLANK_LINES {
            return Err(malformed("blank lines before the request line"));
        }
    }
    Ok(skipped)
}

fn check_limits(lines: &Lines<'_>, limits: &HeadLimits) -> Result<(), Problem> {
    if lines.target.len() > limits.target_bytes {
        return Err(malformed("the target is longer than the limit"));
    }
    if lines.fields.len() > limits.header_lines {
        return Err(malformed("more header lines than the limit"));
    }
    // Two bytes each for the colon and space, and for the line's end.
    let bytes: usize = lines.fields.iter().map(|field| field.name.len() + field.value.len() + 4).sum();
    if bytes > limits.header_bytes {
        return Err(malformed("more header bytes than the limit"));
    }
    Ok(())
}

/// Splits the target into path and query, and refuses what a backend could read as another path.
fn check_target<'a>(lines: &Lines<'a>) -> Result<(&'a str, Option<&'a str>), Problem> {
    let target = lines.target;
    if let Some(reason) = target.bytes().find_map(|byte| match byte {
        b'#' => Some("a fragment in the target"),
        0x21..=0x7e => None,
        _ => Some("a control or non-ASCII byte in the target"),
    }) {
        return Err(malformed(reason));
    }
    let rest = match absolute_form(target) {
        Some((authority, rest)) if is_authority(authority.as_bytes()) => rest,
        Some(_) => return Err(malformed("the target's authority is not a host and a port")),
        None => target,
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    if path == "*" {
        return Ok((path, query));
    }
    if !path.starts_with('/') {
        return Err(malformed("the target is not a path"));
    }
    check_path(path).map(|()| (path, query)).map_err(malformed)
}

/// Refuses what a backend may decode, collapse or cut: the decision must be about exactly the path
/// that is forwarded (contract, section 8).
///
/// # Errors
/// Why the path is refused.
pub fn check_path(path: &str) -> Result<(), &'static str> {
    let bytes = path.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\\' => return Err("a backslash in the path"),
            b';' => return Err("a semicolon in the path"),
            b'%' => match bytes.get(at + 1..at + 3) {
                Some(b"2f" | b"2F" | b"5c" | b"5C") => return Err("an encoded slash in the path"),
                Some(b"2e" | b"2E") => return Err("an encoded dot in the path"),
                Some(b"00") => return Err("an encoded NUL in the path"),
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {}
                _ => return Err("a broken percent-encoding in the path"),
            },
            _ => {}
        }
    }
    // The first piece is what is before the leading slash.
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => return Err("a dot segment in the path"),
            "" if segments.peek().is_some() => return Err("an empty segment in the path"),
            _ => {}
        }
    }
    Ok(())
}

/// The authority and the rest of an absolute-form target; an authority alone is followed by `/`.
fn absolute_form(target: &str) -> Option<(&str, &str)> {
    let scheme_end = target.find("://")?;
    let scheme = target.get(..scheme_end)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let rest = target.get(scheme_end + 3..)?;
    match rest.find(['/', '?']) {
        Some(end) if rest.as_bytes().get(end) == Some(&b'/') => Some(rest.split_at(end)),
        _ => Some((rest, "/")),
    }
}

/// A host and an optional port, nothing else: no userinfo, no odd characters, not empty.
pub fn is_authority(bytes: &[u8]) -> bool {
    let (host, port) = if bytes.first() == Some(&b'[') {
        let Some(end) = bytes.iter().position(|byte| *byte == b']') else {
            return false;
        };
        let (address, rest) = bytes.split_at(end);
        let address = address.get(1..).and_then(|address| std::str::from_utf8(address).ok());
        if address.and_then(|address| address.parse::<std::net::Ipv6Addr>().ok()).is_none() {
            return false;
        }
        match rest.get(1..) {
            Some([]) => return true,
            Some([b':', port @ ..]) => (b"v6".as_slice(), Some(port)),
            _ => return false,
        }
    } else {
        match bytes.iter().position(|byte| *byte == b':') {
            Some(at) => (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..)),
            None => (bytes, None),
        }
    };
    let host_is_plain =
        !host.is_empty() && host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte));
    let port_is_number = port.is_none_or(|port| port.len() <= 5 && decimal(port).is_some_and(|port| port <= 65_535));
    host_is_plain && port_is_number
}

/// A number of decimal digits and nothing else, that fits.
pub fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn malformed(reason: &'static str) -> Problem {
    Problem::new(Row::MalformedRequest, reason)
}

fn reason_of(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "a header name has an odd byte",
        httparse::Error::HeaderValue => "a header value has an odd byte",
        httparse::Error::NewLine => "a line does not end with CR LF",
        httparse::Error::Status => "the request line is not one",
        httparse::Error::Token => "the method or the target has an odd byte",
        httparse::Error::TooManyHeaders => "more header lines than can be read",
        httparse::Error::Version => "the version is not HTTP/1.0 or HTTP/1.1",
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
