//! The flags that describe a request, which are curl's where curl has them.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::asked::{Asked, has};
use crate::config::cases::DEFAULT_PEER;
use crate::config::units::{Arrival, FromText};
use crate::operate::failure::Failure;
use crate::platform::clock;
use crate::policy::http::head::{Peer, Version};
use crate::policy::now::Now;

/// Bytes of a body that is read from a file; routes allow far less.
const MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;

/// The flags that describe a request. They are curl's where curl has them.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(flatten)]
    rest: FlagsBesideTarget,
    /// The path with its query, or a whole URL.
    target: String,
}

/// All of them but the path.
#[derive(Args, Clone, Debug)]
pub struct FlagsBesideTarget {
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
}

impl Flags {
    /// The request that they describe.
    ///
    /// # Errors
    /// What is wrong with a flag, and what to write instead.
    pub fn read(self) -> Result<Asked, Failure> {
        self.rest.read(&self.target)
    }
}

impl FlagsBesideTarget {
    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        let FlagsBesideTarget { method, headers, body, from, http2, at } = self;
        let is_bare = method.is_none() && headers.is_empty() && body.is_none() && at.is_none();
        is_bare && !http2 && *from == DEFAULT_PEER
    }

    /// The request that they describe, with its path or a whole URL.
    ///
    /// # Errors
    /// What is wrong with a flag, and what to write instead.
    pub fn read(self, target: &str) -> Result<Asked, Failure> {
        let body = self.body.map(read_body).transpose()?;
        let method = self.method.unwrap_or_else(|| if body.is_some() { "POST" } else { "GET" }.to_owned());
        let mut headers = self.headers.into_iter().map(header).collect::<Result<Vec<_>, _>>()?;
        let (host, target) = split_url(target);
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

fn peer(text: &str) -> Result<Peer, &'static str> {
    Peer::from_text(text)
}

fn unix_seconds(text: &str) -> Result<u64, &'static str> {
    Arrival::from_text(text).map(|Arrival(seconds)| seconds)
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
