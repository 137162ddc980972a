//! Requests, and a client that sends their bytes over HTTP/1, whole or in pieces.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use super::wire::Wire;
use super::{PATIENCE, Response, token};

/// A version of HTTP that clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http1,
    Http2,
}

pub const VERSIONS: [Version; 2] = [Version::Http1, Version::Http2];

/// A request that both versions can express.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers of its own.
    pub fn new(method: &str, target: &str) -> Request {
        Request { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// A sound lookup with the token of this name.
    pub fn lookup(name: &str) -> Request {
        Request::new("POST", "/phone/validate/v2")
            .with("Auth-Token", &token(name))
            .with("Content-Type", "application/json")
            .body(r#"{"number":"+44 7700 c4n4ry 900123"}"#)
    }

    pub fn method(mut self, method: &str) -> Request {
        method.clone_into(&mut self.method);
        self
    }

    pub fn target(mut self, target: &str) -> Request {
        target.clone_into(&mut self.target);
        self
    }

    /// One more header line.
    pub fn with(self, name: &str, value: &str) -> Request {
        self.with_bytes(name, value.as_bytes())
    }

    /// One more header line, of any bytes.
    pub fn with_bytes(mut self, name: &str, value: &[u8]) -> Request {
        self.headers.push((name.to_owned(), value.to_vec()));
        self
    }

    pub fn without(mut self, name: &str) -> Request {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// This header in place of any other lines of its name.
    pub fn set(self, name: &str, value: &str) -> Request {
        self.without(name).with(name, value)
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Request {
        self.body = body.as_ref().to_vec();
        self
    }

    /// The head of HTTP/1.1, with a Host unless there is one, and a Content-Length unless the
    /// framing is told already.
    pub fn head(&self) -> Vec<u8> {
        let has = |name: &str| self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        if !has("host") {
            bytes.extend_from_slice(b"Host: api.example.com\r\n");
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if !has("content-length") && !has("transfer-encoding") && !self.body.is_empty() {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// The whole request of HTTP/1.1.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// The path that an error's `instance` must name, when the target has one.
pub(super) fn path_of(target: &str) -> Option<String> {
    let rest = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    };
    let path = rest.split('?').next()?;
    (path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()))
        .then(|| path[..path.len().min(256)].to_owned())
}

/// One connection of HTTP/1.
pub struct Client {
    wire: Wire,
    input: Vec<u8>,
    public_url: String,
    path: Option<String>,
    to_head: bool,
}

impl Client {
    pub(super) fn over(wire: Wire, public_url: &str) -> Client {
        Client { wire, input: Vec::new(), public_url: public_url.to_owned(), path: None, to_head: false }
    }

    /// Goes on with a new connection.
    pub fn reconnect(&mut self, address: std::net::SocketAddr) {
        self.wire = Wire::tcp(address);
        self.input.clear();
    }

    /// What the bytes travel on.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Sends a whole request.
    pub fn request(&mut self, request: &Request) {
        self.send(request.bytes());
    }

    /// Sends bytes that begin with a request line, whose path the answers must name.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let mut words = bytes.split(|byte| b" \r\n".contains(byte));
        self.to_head = words.next() == Some(b"HEAD");
        self.path = words.next().and_then(|target| std::str::from_utf8(target).ok()).and_then(path_of);
        self.wire.write_all(bytes).and_then(|()| self.wire.flush()).unwrap();
    }

    /// Sends further bytes. That the gateway has closed already is no fault of the test.
    pub fn more(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.wire.write_all(bytes.as_ref());
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        self.wire.finish();
    }

    /// Reads one final response, which has to follow the rules of every response.
    pub fn response(&mut self) -> Response {
        let response = self.any_response();
        response.assert_rules();
        response
    }

    /// Reads the response to a request that was sent in pieces.
    pub fn response_to(&mut self, method: &str, target: &str) -> Response {
        self.to_head = method == "HEAD";
        self.path = path_of(target);
        self.response()
    }

    /// Reads the response to bytes of which no path can be made out for certain.
    pub fn any_path_response(&mut self) -> Response {
        self.path = None;
        self.response()
    }

    /// Reads to the end of the connection, and returns how many bytes there were.
    pub fn rest(&mut self) -> usize {
        let mut count = 0;
        loop {
            count += self.input.len();
            self.input.clear();
            if !self.read() {
                return count;
            }
        }
    }

    /// Reads one response, interim or final, and returns its status.
    pub fn any_status(&mut self) -> u16 {
        self.any_response().status
    }

    /// Reads one final response and those before it that are interim.
    pub fn final_response(&mut self) -> Response {
        loop {
            let response = self.any_response();
            if response.status >= 200 {
                response.assert_rules();
                return response;
            }
        }
    }

    /// Reads one interim response and returns its status.
    pub fn interim(&mut self) -> u16 {
        let response = self.any_response();
        assert!(response.status < 200, "not interim: {response:?}");
        response.status
    }

    fn any_response(&mut self) -> Response {
        let end = loop {
            if let Some(at) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(
                self.read(),
                "the connection ended before the head of an answer: {:?}",
                String::from_utf8_lossy(&self.input)
            );
        };
        let head: Vec<u8> = self.input.drain(..end).collect();
        let mut slots = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Response::new(&mut slots);
        assert!(parsed.parse(&head).unwrap().is_complete());
        assert_eq!(parsed.version, Some(1), "the answer is not of HTTP/1.1");
        let status = parsed.code.unwrap();
        if status >= 200 {
            let phrase = http::StatusCode::from_u16(status).unwrap().canonical_reason();
            assert_eq!(parsed.reason, phrase);
        }
        let headers: Vec<(String, Vec<u8>)> =
            parsed.headers.iter().map(|header| (header.name.to_ascii_lowercase(), header.value.to_vec())).collect();
        let mut response = Response {
            status,
            headers,
            body: Vec::new(),
            public_url: self.public_url.clone(),
            path: self.path.clone(),
            to_head: self.to_head,
        };
        if status >= 200 && status != 204 && status != 304 && !self.to_head {
            let length = response.number("Content-Length") as usize;
            while self.input.len() < length {
                assert!(self.read(), "the connection ended before the end of a body");
            }
            response.body = self.input.drain(..length).collect();
        }
        response
    }

    /// Reads some bytes; false at the end of the connection.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 16_384];
        match self.wire.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.input.extend_from_slice(&buffer[..count]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came for {PATIENCE:?}")
            }
            Err(_) => false,
        }
    }

    /// Waits for the end of the connection, before which no byte may come.
    pub fn assert_ends(&mut self) {
        while self.input.is_empty() && self.read() {}
        assert!(self.input.is_empty(), "bytes before the end: {:?}", String::from_utf8_lossy(&self.input));
    }

    /// Checks that no byte comes and the connection does not end for so long.
    pub fn assert_silent(&mut self, allowance: Duration) {
        assert!(self.input.is_empty(), "bytes are there");
        self.wire.assert_silent(allowance);
    }
}
