//! One health check of one server, over a connection of its own.
//!
//! What the checks of a server amount to is `health.rs`.

use pingora_core::connectors::TransportConnector;
use pingora_core::protocols::http::v1::client::HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::policy::Upstream;
use crate::policy::upstream::{HealthRule, Probe};

/// Interim answers (1xx) that are skipped before the final one.
const MAX_INTERIM_ANSWERS: u8 = 16;

/// Checks a server.
///
/// # Errors
/// What is wrong with it.
pub async fn check(
    connector: &TransportConnector,
    upstream: &Upstream,
    rule: &HealthRule,
    peer: &HttpPeer,
) -> Result<(), &'static str> {
    let asked = async {
        match &rule.probe {
            Probe::Connect => connector.new_stream(peer).await.map(|_| ()).map_err(|_| NO_CONNECTION),
            Probe::Get { path, status } => get(connector, upstream, path, *status, peer).await,
        }
    };
    timeout(rule.timeout, asked).await.unwrap_or(Err("the check took too long"))
}

const NO_CONNECTION: &str = "no connection could be made";

async fn get(
    connector: &TransportConnector,
    upstream: &Upstream,
    path: &str,
    status: u16,
    peer: &HttpPeer,
) -> Result<(), &'static str> {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", upstream.host).into_bytes();
    // A server that wants to be shown a key wants it of checks as well.
    request.extend_from_slice(upstream.added.lines());
    request.extend_from_slice(b"\r\n");
    let mut stream = connector.new_stream(peer).await.map_err(|_| NO_CONNECTION)?;
    let broken = |_| "the connection broke";
    stream.write_all(&request).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut session = HttpSession::new_with_options(stream, peer);
    for _ in 0..=MAX_INTERIM_ANSWERS {
        session.read_response().await.map_err(|_| "there was no answer of HTTP/1")?;
        match session.get_status() {
            Some(found) if found.is_informational() && found != 101 => {}
            Some(found) if found.as_u16() == status => return Ok(()),
            Some(_) | None => return Err("the answer had another status"),
        }
    }
    Err("there were interim answers without end")
}
