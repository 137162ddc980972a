//! The request that is asked about, and the bytes of its head.
//!
//! What is made of the request is `dry_run.rs`; the flags that describe one are `flags.rs`.

use crate::policy::http::head::{Peer, Version};
use crate::policy::now::Now;

/// What a `Host` header says when nobody wrote one.
const ANY_HOST: &str = "localhost";

/// A request that somebody asks about.
#[derive(Clone, Debug)]
pub struct Asked {
    pub version: Version,
    pub peer: Peer,
    pub method: String,
    pub target: String,
    /// Names and values, as they were written.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub now: Now,
}

impl Asked {
    /// The head as HTTP/1.1 sends it: with a Host, and with the length of the body unless its
    /// framing is told already.
    pub fn head(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        let mut line = |name: &str, value: &[u8]| {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        };
        if !has(&self.headers, "host") {
            line("Host", ANY_HOST.as_bytes());
        }
        for (name, value) in &self.headers {
            line(name, value);
        }
        if !self.body.is_empty() && !has(&self.headers, "content-length") && !has(&self.headers, "transfer-encoding") {
            line("Content-Length", self.body.len().to_string().as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// The host that HTTP/2 names in its own field.
    pub fn authority(&self) -> Option<&str> {
        let written = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        written.map_or(Some(ANY_HOST), |(_, value)| std::str::from_utf8(value).ok())
    }

    /// The headers as HTTP/2 sends them: names in lower case, and no Host.
    pub fn lower_case(&self) -> Vec<(String, &[u8])> {
        let named = self.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_slice()));
        named.filter(|(name, _)| name != "host").collect()
    }
}

/// Whether a header of this name is among some.
pub(super) fn has(headers: &[(String, Vec<u8>)], name: &str) -> bool {
    headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
}
