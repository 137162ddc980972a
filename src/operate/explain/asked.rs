//! The request that is asked about, from flags like those of curl to the bytes of its head.
//!
//! What is made of the request is `dry_run.rs`.

use std::ffi::OsString;
use std::net::IpAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime};
use clap::Args;

use crate::operate::failure::Failure;
use crate::platform::clock;
use crate::policy::http::head::{Peer, Version};
use crate::policy::now::Now;

/// Bytes of a body that is read from a file; routes allow far less.
const MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;

/// What a `Host` header says when nobody wrote one.
const ANY_HOST: &str = "localhost";

/// The flags that describe a request. They are curl's where curl has them.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// The method. Default: GET, or POST with a body.
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<String>,
    /// A header, as often as there are some. Unlike curl, nothing but Host and Content-Length is
    /// added to what is written here.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<OsString>,
    /// The body, or with @ the file that it is in (@- is standard input).
    #[arg(short = 'd', long = "data", visible_alias = "data-binary", value_name = "BODY")]
    body: Option<OsString>,
    /// The address that the request comes from, or `unix` for a Unix socket.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", value_parser = peer)]
    from: Peer,
    /// Judge it as a request of HTTP/2.
    #[arg(long)]
    http2: bool,
    /// When it comes, for tokens that expire: a day (its beginning, in UTC) or a time as in RFC 3339.
    /// Default: now.
    #[arg(long, value_name = "TIME", value_parser = unix_seconds)]
    at: Option<u64>,
    /// The path with its query, or a whole URL.
    target: String,
}

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

impl Flags {
    /// The request that they describe.
    ///
    /// # Errors
    /// What is wrong with a flag, and what to write instead.
    pub fn read(self) -> Result<Asked, Failure> {
        let body = self.body.map(read_body).transpose()?;
        let method = self.method.unwrap_or_else(|| if body.is_some() { "POST" } else { "GET" }.to_owned());
        let mut headers = self.headers.into_iter().map(header).collect::<Result<Vec<_>, _>>()?;
        let (host, target) = split_url(&self.target);
        if let Some(host) = host
            && !has(&headers, "host")
        {
            headers.push(("Host".to_owned(), host.as_bytes().to_vec()));
        }
        let unix_seconds = self.at.unwrap_or_else(clock::unix_seconds);
        Ok(Asked {
            version: if self.http2 { Version::Http2 } else { Version::Http11 },
            peer: self.from,
            method,
            target,
            headers,
            body: body.unwrap_or_default(),
            now: Now { monotonic: Duration::ZERO, unix_seconds, unix_nanos: 0 },
        })
    }
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

fn has(headers: &[(String, Vec<u8>)], name: &str) -> bool {
    headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
}

fn header(text: OsString) -> Result<(String, Vec<u8>), Failure> {
    const WANTED: &str = "a header is a name, a colon and a value, as in -H 'Auth-Token: …'";
    let bytes = text.into_vec();
    if bytes.iter().any(|byte| b"\r\n\0".contains(byte)) {
        return Err(format!("{WANTED}, in one line").into());
    }
    // curl writes `Name;` for a header without a value.
    let mut parts = bytes.splitn(2, |byte| *byte == b':');
    let (name, value) = match (parts.next(), parts.next(), bytes.strip_suffix(b";")) {
        (Some(name), Some(value), _) => (name, value.strip_prefix(b" ").unwrap_or(value)),
        (_, None, Some(name)) => (name, b"".as_slice()),
        (_, None, None) | (None, Some(_), _) => return Err(WANTED.into()),
    };
    let name = std::str::from_utf8(name).map_err(|_| WANTED)?;
    Ok((name.to_owned(), value.to_vec()))
}

fn read_body(text: OsString) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let Some(path) = text.as_bytes().strip_prefix(b"@") else {
        return Ok(text.into_vec());
    };
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    let mut body = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(MAX_BODY_BYTES).read_to_end(&mut body)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_BODY_BYTES).read_to_end(&mut body))
    };
    read.map(|_| body).map_err(Failure::system(format!("the body cannot be read from {}", path.display())))
}

/// The host of a whole URL, and what follows it.
fn split_url(text: &str) -> (Option<&str>, String) {
    let rest = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let Some(rest) = rest else { return (None, text.to_owned()) };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    (Some(host), if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
}

fn peer(text: &str) -> Result<Peer, String> {
    if text == "unix" {
        return Ok(Peer::Local);
    }
    text.parse::<IpAddr>()
        .map(Peer::Address)
        .map_err(|_| "write an address, as in 203.0.113.9 or 2001:db8::1, or unix".to_owned())
}

fn unix_seconds(text: &str) -> Result<u64, String> {
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.timestamp()).or_else(|_| {
        NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| day.and_time(NaiveTime::MIN).and_utc().timestamp())
    });
    time.ok()
        .and_then(|seconds| u64::try_from(seconds).ok())
        .ok_or_else(|| "write a day or a time from 1970 on, as in 2027-06-30 or 2027-06-30T23:59:59Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn asked(words: &[&str]) -> Result<Asked, Failure> {
        let line = Line::try_parse_from(["explain"].iter().chain(words)).map_err(|error| error.to_string())?;
        line.flags.read()
    }

    #[test]
    fn a_head_is_written_as_curl_would() {
        for (words, head) in [
            (&["/a?b"][..], "GET /a?b HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            (&["http://h:1/a", "-d", "xy"], "POST /a HTTP/1.1\r\nHost: h:1\r\nContent-Length: 2\r\n\r\n"),
            (&["https://h?q", "-X", "PUT"], "PUT /?q HTTP/1.1\r\nHost: h\r\n\r\n"),
            (
                &["/", "-H", "A: b: c", "-H", "host: x", "-H", "E;", "-H", "F:"],
                "GET / HTTP/1.1\r\nA: b: c\r\nhost: x\r\nE: \r\nF: \r\n\r\n",
            ),
            (
                &["/", "-d", "x", "-H", "Transfer-Encoding: chunked"],
                "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
        ] {
            let asked = asked(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
            assert_eq!(String::from_utf8(asked.head()).unwrap(), head, "{words:?}");
        }
    }

    #[test]
    fn times_are_days_or_moments() {
        for (text, seconds) in [
            ("1970-01-02", Some(86_400)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("2027-06-30T23:59:59Z", Some(1_814_399_999)),
            ("1969-12-31", None),
            ("soon", None),
        ] {
            assert_eq!(unix_seconds(text).ok(), seconds, "{text}");
        }
    }

    #[test]
    fn what_is_no_request_is_told() {
        for words in [
            &["/", "-H", "no colon"][..],
            &["/", "-H", "a: b\r\nc: d"],
            &["/", "-d", "@/nowhere/at/all"],
            &["/", "--from", "here"],
            &["/", "--at", "soon"],
            &[],
        ] {
            assert!(asked(words).is_err(), "{words:?}");
        }
    }
}
