//! A client's HTTP/2 connection: every stream is one request.
//!
//! Frames, flow control and their floods are the `h2` crate's; the limits here bound what one
//! connection can hold, and `http2/wire.rs` what it can send and leave unread. Pingora's session on
//! top of `h2` answers some refusals itself, without an error object, so streams are taken from
//! `h2` directly. What a request means is `gateway.rs`.

pub(crate) mod abuse;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::Request;
use pingora_core::server::ShutdownWatch;
use pingora_timeout::{sleep, timeout};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::gateway::{Answered, Downstream, Gateway, Snapshot, Unanswered};
use crate::policy::Limits;
use crate::policy::admit::Ingress;
use crate::policy::check::body::TOO_LARGE;
use crate::policy::http::head::{Field, Head, Lines, Peer, Version};
use crate::policy::problem::{Problem, Row};
use crate::policy::respond::{self, Http2Sink};
use crate::telemetry::{Busy, Occupied};
use abuse::{Conduct, Wire};

/// Requests of one connection at a time.
const MAX_CONCURRENT_STREAMS: u32 = 100;

/// Decoded bytes of one head. The `h2` crate answers a larger one with a bare 431, which is not in
/// the contract; so this is well above the head limits, and the gateway's own refusal comes first.
const MAX_HEADER_LIST_BYTES: u32 = 256 * 1024;

/// Bytes that a client may send on one stream before we read them.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// Bytes that a client may send on all streams together before we read them.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Bytes of one answer that wait in memory while the client's network takes no more. What is longer
/// is handed over bit by bit, within the allowance of an answer.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Streams that the client has reset before we took them from `h2`. One more ends the connection:
/// nobody changes their mind so often within one read (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;

/// Streams that we have reset, and of which late frames are still put up with for a time.
const MAX_RESETS_REMEMBERED: usize = 50;

/// How long that is.
const RESETS_REMEMBERED_FOR: Duration = Duration::from_secs(1);

/// Streams that we had to reset for the client's faults in the protocol. One more ends the
/// connection, since each costs us more than the client (CVE-2025-8671).
const MAX_FAULTY_STREAMS: usize = 256;

/// How long a connection without open streams, which was told to end, waits for the client to do so.
const IDLE_STOP_ALLOWANCE: Duration = Duration::from_secs(1);

/// Serves a connection until it ends.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    gateway: &Arc<Gateway>,
    stream: S,
    peer: Peer,
    ingress: Ingress,
    shutdown: &ShutdownWatch,
) {
    let _open = Occupied::one_of(&gateway.telemetry().connections.http2);
    let limits = gateway.snapshot().policy.limits;
    let mut options = h2::server::Builder::new();
    options
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_concurrent_reset_streams(MAX_RESETS_REMEMBERED)
        .reset_stream_duration(RESETS_REMEMBERED_FOR)
        .max_local_error_reset_streams(Some(MAX_FAULTY_STREAMS));
    let conduct = Arc::new(Conduct::default());
    let wire = Wire::new(stream, Arc::clone(&conduct), limits.write_timeout);
    let Ok(Ok(mut connection)) = timeout(limits.head_timeout, options.handshake::<_, Bytes>(wire)).await else {
        return;
    };
    let mut shutdown = shutdown.clone();
    // Once the connection is to end, the time by which it has ended, whatever the client does.
    let mut stop_by: Option<Instant> = None;
    // Every stream's task holds a receiver, so the number of receivers is the number of streams.
    let (streams, _) = watch::channel(());
    let busy = Arc::new(Busy::default());
    // The first request has the allowance of a head; only then is a quiet connection an idle one.
    let mut quiet_allowance = limits.head_timeout;
    loop {
        tokio::select! {
            biased;
            accepted = accept(&mut connection) => {
                let Some((request, respond)) = accepted else { return };
                quiet_allowance = limits.idle_timeout;
                if conduct.gives_up_too_often() && stop_by.is_none() {
                    stop_by = Some(Instant::now() + IDLE_STOP_ALLOWANCE);
                    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                }
                conduct.begun();
                let (gateway, conduct) = (Arc::clone(gateway), Arc::clone(&conduct));
                let alive = streams.subscribe();
                let busy = Arc::clone(&busy);
                tokio::spawn(async move {
                    let _busy = busy.enter(&gateway.telemetry().connections.active_http2);
                    let answered = answer(&gateway, request, respond, peer, ingress, &conduct).await;
                    conduct.ended(answered);
                    drop(alive);
                });
            }
            () = idle(&streams, quiet_allowance), if stop_by.is_none() => {
                stop_by = Some(Instant::now() + IDLE_STOP_ALLOWANCE);
                conduct.leaves();
                connection.graceful_shutdown();
            }
            _ = shutdown.changed(), if stop_by.is_none() => {
                let open = streams.receiver_count() > 0;
                let allowance = if open { gateway.snapshot().policy.grace() } else { IDLE_STOP_ALLOWANCE };
                stop_by = Some(Instant::now() + allowance);
                conduct.leaves();
                connection.graceful_shutdown();
            }
            () = until(stop_by) => return,
        }
    }
}

/// The next request; `None` when the connection has ended, in order or not.
async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S, Bytes>,
) -> Option<(Request<RecvStream>, SendResponse<Bytes>)> {
    connection.accept().await?.ok()
}

/// Comes back at a time, or never.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep(time.saturating_duration_since(Instant::now())).await,
        None => std::future::pending().await,
    }
}

/// Returns when no stream has been open for so long.
async fn idle(streams: &watch::Sender<()>, allowance: Duration) {
    streams.closed().await;
    sleep(allowance).await;
}

/// Answers one request; whether the client has taken the answer.
async fn answer(
    gateway: &Gateway,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    peer: Peer,
    ingress: Ingress,
    conduct: &Conduct,
) -> bool {
    let read_at = Instant::now();
    let (parts, incoming) = request.into_parts();
    let fields: Vec<Field<'_>> =
        parts.headers.iter().map(|(name, value)| Field { name: name.as_str(), value: value.as_bytes() }).collect();
    let lines = Lines {
        method: parts.method.as_str(),
        target: parts.uri.path_and_query().map_or("", |target| target.as_str()),
        version: Version::Http2,
        authority: parts.uri.authority().map(|authority| authority.as_str()),
        fields: &fields,
    };
    // One configuration from here to the end of the request.
    let snapshot = gateway.snapshot();
    let limits = snapshot.policy.limits;
    let mut client = ClientStream {
        incoming,
        respond,
        body: Vec::new(),
        gateway,
        conduct,
        limits,
        sink: Http2Sink::default(),
        continues: false,
    };
    let head = match Head::judge(lines, peer, &limits.head) {
        Ok(head) => head,
        Err(problem) => return client.refuse(&snapshot, &lines, problem).await,
    };
    let (_occupied, ingress) = gateway.enter(ingress, &limits);
    client.continues = head.expects_continue;
    let mut record = gateway.record(&snapshot, &lines, read_at);
    let answered = gateway
        .answer(&snapshot, &head, &mut client, &mut record, ingress, |client, context, outcome, _last| {
            respond::write(&mut client.sink, context, outcome)
        })
        .await;
    match answered {
        Answered::Written(bill) => {
            let taken = client.send().await;
            if taken {
                bill.delivered();
                record.delivered();
            }
            drop(record);
            client.finish().await;
            taken
        }
        Answered::Gone => false,
    }
}

/// One stream, both ways.
struct ClientStream<'g> {
    gateway: &'g Gateway,
    conduct: &'g Conduct,
    limits: Limits,
    incoming: RecvStream,
    respond: SendResponse<Bytes>,
    body: Vec<u8>,
    sink: Http2Sink,
    /// The client waits for `100 Continue`.
    continues: bool,
}

impl ClientStream<'_> {
    async fn refuse(mut self, snapshot: &Snapshot, lines: &Lines<'_>, problem: Problem) -> bool {
        let mut record = self.gateway.refuse(snapshot, &mut self.sink, lines, problem);
        let taken = self.send().await;
        if taken {
            record.delivered();
        }
        drop(record);
        self.finish().await;
        taken
    }

    /// Sends the response that the sink has collected; whether all of it was taken.
    async fn send(&mut self) -> bool {
        let limits = self.limits;
        let Http2Sink { response, body } = std::mem::take(&mut self.sink);
        let Ok(mut stream) = self.respond.send_response(response, body.is_empty()) else {
            return false;
        };
        match timeout(limits.write_timeout, send_body(&mut stream, body, self.conduct, &self.gateway.unsent)).await {
            Ok(taken) => taken,
            Err(_) => {
                stream.send_reset(Reason::CANCEL);
                false
            }
        }
    }

    /// Reads and drops what is left of the body, within limits: a stream that is dropped over it is
    /// reset (RFC 9113, section 8.1), and some clients take the reset for the answer.
    async fn finish(mut self) {
        let limits = self.limits;
        self.body.clear();
        let limit = usize::try_from(limits.drain_bytes).unwrap_or(usize::MAX);
        let _ = timeout(limits.body_timeout, self.receive(limit)).await;
    }

    async fn receive(&mut self, limit: usize) -> Result<(), Problem> {
        while let Some(piece) = self.incoming.data().await {
            let piece = piece.map_err(|_| Problem::new(Row::MalformedRequest, "the stream ended within the body"))?;
            // Released even if it is refused next: the connection's window is shared.
            let _ = self.incoming.flow_control().release_capacity(piece.len());
            self.conduct.took(piece.len());
            if self.body.len().saturating_add(piece.len()) > limit {
                return Err(TOO_LARGE);
            }
            self.body.extend_from_slice(&piece);
        }
        Ok(())
    }
}

/// Hands a body to the client as fast as its windows and its network allow; whether all of it was
/// taken. A client that leaves too many answers waiting loses this one.
async fn send_body(stream: &mut SendStream<Bytes>, mut body: Bytes, conduct: &Conduct, unsent: &AtomicUsize) -> bool {
    let mut waiting = None;
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let at_once = if conduct.is_stalled() { None } else { capacity(stream).now_or_never() };
        let capacity = match at_once {
            Some(capacity) => capacity,
            None => {
                if waiting.is_none() {
                    waiting = conduct.let_wait(body.len(), unsent);
                }
                if waiting.is_none() {
                    stream.send_reset(Reason::ENHANCE_YOUR_CALM);
                    return false;
                }
                conduct.flowing().await;
                capacity(stream).await
            }
        };
        let Some(capacity) = capacity else { return false };
        let piece = body.split_to(capacity.min(body.len()));
        if stream.send_data(piece, body.is_empty()).is_err() {
            return false;
        }
    }
    true
}

/// How many bytes the client's windows have room for, once they have some; `None` when it is gone.
async fn capacity(stream: &mut SendStream<Bytes>) -> Option<usize> {
    poll_fn(|context| stream.poll_capacity(context)).await?.ok()
}

impl Downstream for ClientStream<'_> {
    async fn read_body(&mut self, limit: usize) -> Result<(), Unanswered> {
        if std::mem::take(&mut self.continues) {
            let mut interim = http::Response::new(());
            *interim.status_mut() = http::StatusCode::CONTINUE;
            let _ = self.respond.send_informational(interim);
        }
        let allowance = self.limits.body_timeout;
        match timeout(allowance, self.receive(limit)).await {
            Ok(outcome) => outcome.map_err(Unanswered::Refused),
            Err(_) => Err(Problem::new(Row::RequestTimeout, "the body did not arrive in its allowance").into()),
        }
    }

    fn body(&self) -> &[u8] {
        &self.body
    }

    async fn gone(&mut self) {
        // Any reset, and any end of the connection, is the end of the client's interest.
        let _ = poll_fn(|context| self.respond.poll_reset(context)).await;
    }
}
