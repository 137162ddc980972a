//! One health check of one server, over a connection of its own, which is made like those of
//! requests: a server whose certificate is not accepted fails its checks.
//!
//! The results are counted in `health.rs`.

use pingora_core::ErrorType;
use pingora_core::protocols::Stream;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::policy::answers::Answers;
use crate::upstream::connector::{Connections, Connector};
use crate::upstream::response::Incoming;
use crate::upstream::settings::Upstream;
use crate::upstream::settings::{HealthRule, Probe};
use crate::upstream::translate;

/// Checks a server.
///
/// # Errors
/// What is wrong with it.
pub async fn check(
    connections: &Connections,
    upstream: &Upstream,
    rule: &HealthRule,
    connector: &Connector,
) -> Result<(), &'static str> {
    let asked = async {
        match &rule.probe {
            Probe::Connect => connect(connections, connector).await.map(|_| ()),
            Probe::Get { path, status } => get(connections, upstream, path, *status, connector).await,
        }
    };
    timeout(rule.timeout, asked).await.unwrap_or(Err("the check took too long"))
}

async fn connect(connections: &Connections, connector: &Connector) -> Result<Stream, &'static str> {
    connector.new_stream(connections).await.map_err(|error| match error.etype() {
        ErrorType::InvalidCert | ErrorType::TLSHandshakeFailure | ErrorType::TLSHandshakeTimedout => {
            translate::connecting(&error).reason
        }
        _ => "no connection could be made",
    })
}

async fn get(
    connections: &Connections,
    upstream: &Upstream,
    path: &str,
    status: u16,
    connector: &Connector,
) -> Result<(), &'static str> {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", upstream.host).into_bytes();
    // Checks send the added headers too, since a server that requires a key requires it of checks
    // as well.
    request.extend_from_slice(upstream.added.lines());
    request.extend_from_slice(b"\r\n");
    let mut stream = connect(connections, connector).await?;
    let broken = |_| "the connection broke";
    stream.write_all(&request).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let head = Incoming::new(&mut stream, request)
        .head(&Answers::default())
        .await
        .map_err(|_| "there was no answer of HTTP/1")?;
    if head.status == status { Ok(()) } else { Err("the answer had another status") }
}
