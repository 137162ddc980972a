//! A client's HTTP/2 connection: every stream is one request.
//!
//! The `h2` crate handles frames and flow control, and floods of them; the limits here bound what one connection can
//! hold, and those in `http2/abuse.rs` what it can send and leave unread. Pingora's session on top of `h2` answers some
//! refusals itself, without an error object, so streams are taken from `h2` directly. Requests are judged in
//! `gateway.rs`.

pub(crate) mod abuse;
pub mod blocks;
mod huffman;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::Request;
use http::request::Parts;
use pingora_core::server::ShutdownWatch;
use pingora_timeout::{sleep, timeout};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::gateway::settlement::Settlement;
use crate::gateway::snapshot::Snapshot;
use crate::gateway::{Answered, DRAIN_ALLOWANCE, Downstream, Gateway, Unanswered};
use crate::policy::Limits;
use crate::policy::admit::{Headroom, Ingress, overloaded};
use crate::policy::check::body::TOO_LARGE;
use crate::policy::http::head::{Field, Head, Lines, Peer, Version};
use crate::policy::problem::{Problem, Row};
use crate::policy::respond::{self, Http2Sink};
use crate::telemetry::{Busy, Occupied};
use abuse::{Conduct, Waiting, Wire};

/// The most requests of one connection at a time.
const MAX_CONCURRENT_STREAMS: u32 = 100;

/// The most decoded bytes of one head, as HTTP/2 counts them. It is well above the limits of heads, so that the
/// gateway's own refusal comes first; a larger one ends the connection with ENHANCE_YOUR_CALM, before `h2` can answer
/// it with a bare 431, which is not in the contract.
const MAX_HEADER_LIST_BYTES: usize = 256 * 1024;

/// The same limit for `h2`, which larger heads never reach.
const ADVERTISED_HEADER_LIST_BYTES: u32 = 256 * 1024;

/// The bytes that a client may send on one stream before we read them.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// The bytes that a client may send on all streams together before we read them.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// The bytes of one answer that are buffered while the client does not read. A longer answer is sent in pieces, within
/// the time limit of an answer.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// The most streams that the client may have reset before we took them from `h2`. One more ends the connection: no
/// normal client resets so many within one read (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;

/// The most streams that we have reset and whose late frames are still ignored.
const MAX_RESETS_REMEMBERED: usize = 50;

/// How long they are ignored.
const RESETS_REMEMBERED_FOR: Duration = Duration::from_secs(1);

/// The most streams that we may have reset because of the client's protocol errors. One more ends the connection, since
/// each costs us more than the client (CVE-2025-8671).
const MAX_FAULTY_STREAMS: usize = 256;

/// The memory of a field beside its own bytes: its entries in the map of the `http` crate.
const FIELD_BYTES: usize = 128;

/// The limit of decoded heads in memory, of all connections together, in bytes per request of `limits.requests`.
const HEAD_BYTES_A_REQUEST: usize = 4 * 1024;

/// The minimum of that limit.
const LEAST_HEAD_BYTES_OF_ALL: usize = 1024 * 1024;

/// How long a connection without open streams that was sent a GOAWAY waits for the client to close it.
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
    let conduct = Arc::new(Conduct::default());
    let wire = Wire::new(stream, Arc::clone(&conduct), MAX_HEADER_LIST_BYTES, limits.write_timeout);
    let Ok(Ok(mut connection)) = timeout(limits.head_timeout, options().handshake::<_, Bytes>(wire)).await else {
        return;
    };
    let mut shutdown = shutdown.clone();
    // Once the connection is to end, the time at which it is closed, whatever the client does.
    let mut stop_by: Option<Instant> = None;
    let (alive, _) = watch::channel(());
    let mut streams = Streams { gateway, peer, ingress, conduct: &conduct, alive, busy: Arc::new(Busy::default()) };
    // The first request has the time limit of a head; after it, a quiet connection is idle.
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
                streams.begin(request, respond, &limits);
            }
            () = conduct.sent_away.given(), if stop_by.is_none() => {
                stop_by = Some(Instant::now() + allowance_to_end(gateway, &streams.alive));
                conduct.leaves();
                connection.graceful_shutdown();
            }
            () = conduct.too_large.given(), if stop_by.is_none() => {
                stop_by = Some(Instant::now() + IDLE_STOP_ALLOWANCE);
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            }
            () = idle(&streams.alive, quiet_allowance), if stop_by.is_none() => {
                stop_by = Some(Instant::now() + IDLE_STOP_ALLOWANCE);
                conduct.leaves();
                connection.graceful_shutdown();
            }
            _ = shutdown.changed(), if stop_by.is_none() => {
                stop_by = Some(Instant::now() + allowance_to_end(gateway, &streams.alive));
                conduct.leaves();
                connection.graceful_shutdown();
            }
            () = until(stop_by) => return,
        }
    }
}

/// The settings of a connection.
fn options() -> h2::server::Builder {
    let mut options = h2::server::Builder::new();
    options
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .max_header_list_size(ADVERTISED_HEADER_LIST_BYTES)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_concurrent_reset_streams(MAX_RESETS_REMEMBERED)
        .reset_stream_duration(RESETS_REMEMBERED_FOR)
        .max_local_error_reset_streams(Some(MAX_FAULTY_STREAMS));
    options
}

/// What the streams of a connection share.
struct Streams<'a> {
    gateway: &'a Arc<Gateway>,
    peer: Peer,
    ingress: Ingress,
    conduct: &'a Arc<Conduct>,
    /// Every stream's task holds a receiver, so the number of receivers is the number of streams.
    alive: watch::Sender<()>,
    busy: Arc<Busy>,
}

impl Streams<'_> {
    /// Answers a request in a task of its own.
    fn begin(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>, limits: &Limits) {
        self.conduct.begun();
        self.ingress.headroom = match self.conduct.is_welcome() {
            true => Headroom::Free,
            false => self.gateway.room_now(self.ingress.headroom, limits),
        };
        let (gateway, conduct) = (Arc::clone(self.gateway), Arc::clone(self.conduct));
        let (peer, ingress) = (self.peer, self.ingress);
        let alive = self.alive.subscribe();
        let busy = Arc::clone(&self.busy);
        let is_too_large = is_too_large(request.headers(), limits);
        let answered = async move {
            let _busy = busy.enter(&gateway.telemetry().connections.active_http2);
            let Ended { taken, turned_away } = answer(&gateway, request, respond, peer, ingress, &conduct).await;
            conduct.ended(taken);
            drop(alive);
            if turned_away {
                conduct.sent_away.give();
            }
        };
        if is_too_large {
            // It is refused immediately, and its head is freed before another one is read, so that heads do not
            // pile up, however many connections send them.
            let mut answered = Box::pin(answered);
            if answered.as_mut().now_or_never().is_none() {
                tokio::spawn(answered);
            }
        } else {
            tokio::spawn(answered);
        }
    }
}

/// The next request; `None` if the connection has ended, normally or not.
async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S, Bytes>,
) -> Option<(Request<RecvStream>, SendResponse<Bytes>)> {
    connection.accept().await?.ok()
}

/// Whether a head exceeds the limits, so that it will be refused and its memory should be freed soon.
fn is_too_large(headers: &http::HeaderMap, limits: &Limits) -> bool {
    let bytes = || headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
    headers.len() > limits.head.header_lines || bytes() > limits.head.header_bytes
}

/// How long a connection that is to end may continue with its open streams.
fn allowance_to_end(gateway: &Gateway, streams: &watch::Sender<()>) -> Duration {
    if streams.receiver_count() > 0 { gateway.snapshot().policy.grace() } else { IDLE_STOP_ALLOWANCE }
}

/// Returns at a time, or never.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep(time.saturating_duration_since(Instant::now())).await,
        None => std::future::pending().await,
    }
}

/// Returns when no stream has been open for this long.
async fn idle(streams: &watch::Sender<()>, allowance: Duration) {
    streams.closed().await;
    sleep(allowance).await;
}

/// How a request ended.
struct Ended {
    /// The client has received the answer.
    taken: bool,
    /// There was no room on this connection, but there may be on another.
    turned_away: bool,
}

/// Answers one request.
async fn answer(
    gateway: &Gateway,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    peer: Peer,
    ingress: Ingress,
    conduct: &Conduct,
) -> Ended {
    let (head, incoming) = request.into_parts();
    // One configuration from here to the end of the request.
    let snapshot = gateway.snapshot();
    let mut client = ClientStream {
        incoming,
        respond,
        body: Vec::new(),
        gateway,
        conduct,
        limits: snapshot.policy.limits,
        sink: Http2Sink::default(),
        continues: false,
        turned_away: false,
    };
    // Boxed, so that a stream of which only the rest of the body is read is small.
    let taken = Box::pin(exchange(snapshot, head, &mut client, peer, ingress)).await;
    let turned_away = client.turned_away;
    let Some(taken) = taken else { return Ended { taken: false, turned_away } };
    client.finish().await;
    Ended { taken, turned_away }
}

/// Judges a request and sends its answer; returns whether the client has received it, or `None` without an answer.
async fn exchange(
    snapshot: Arc<Snapshot>,
    head: Parts,
    client: &mut ClientStream<'_>,
    peer: Peer,
    ingress: Ingress,
) -> Option<bool> {
    let (settlement, _place) = judge(client.gateway, &snapshot, head, client, peer, ingress).await?;
    Some(client.send(settlement).await)
}

/// Judges a request and writes its answer to the client's sink; returns its settlement and, unless it was refused, its
/// slot among the requests in flight. The head is freed here, so that a refused request keeps no memory.
async fn judge<'g>(
    gateway: &'g Gateway,
    snapshot: &'g Snapshot,
    head: Parts,
    client: &mut ClientStream<'_>,
    peer: Peer,
    own_entrance: Ingress,
) -> Option<(Settlement<'g>, Option<Occupied<'g>>)> {
    let read_at = Instant::now();
    let fields: Vec<Field<'_>> =
        head.headers.iter().map(|(name, value)| Field { name: name.as_str(), value: value.as_bytes() }).collect();
    let lines = Lines {
        method: head.method.as_str(),
        target: head.uri.path_and_query().map_or("", |target| target.as_str()),
        version: Version::Http2,
        authority: head.uri.authority().map(|authority| authority.as_str()),
        fields: &fields,
    };
    let limits = client.limits;
    let most = limits.requests.saturating_mul(HEAD_BYTES_A_REQUEST).max(LEAST_HEAD_BYTES_OF_ALL);
    let held = client.conduct.hold_head(bytes_of(&lines), &gateway.heads, most);
    let judged = match (held.as_ref(), client.fault()) {
        (None, _) => Err(overloaded("the heads of requests in flight have as many bytes as the limit")),
        (Some(_), Some(fault)) => Err(fault),
        (Some(_), None) => Head::judge(lines, peer, &limits.head),
    };
    let head = match judged {
        Ok(head) => head,
        Err(problem) => return Some((gateway.refuse(snapshot, &mut client.sink, &lines, problem), None)),
    };
    let (occupied, ingress) = gateway.enter(own_entrance, &limits);
    client.continues = head.expects_continue;
    let (snapshot, record) = gateway.choose(snapshot, &head, ingress.scope, read_at);
    let answered = gateway
        .answer(snapshot, &head, client, record, ingress, |client, context, outcome, _last| {
            client.turned_away = own_entrance.headroom != Headroom::Free
                && outcome.problem().is_some_and(|problem| problem.row == Row::Overloaded);
            respond::write(&mut client.sink, context, outcome)
        })
        .await;
    match answered {
        Answered::Written(settlement) => {
            if settlement.account().is_some() {
                client.conduct.welcomes();
            }
            let place = settlement.is_served_customer().then_some(occupied);
            Some((settlement, place))
        }
        Answered::Gone => None,
    }
}

/// The memory of a head in bytes.
fn bytes_of(lines: &Lines<'_>) -> usize {
    let fields = lines.fields.iter().map(|field| field.name.len() + field.value.len() + FIELD_BYTES);
    fields.fold(lines.target.len(), usize::saturating_add)
}

/// One stream, in both directions.
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
    turned_away: bool,
}

impl<'g> ClientStream<'g> {
    /// Sends the response that the sink has collected, and settles the request; returns whether all of it was sent. It
    /// is charged with its HEADERS, so these are only sent when the client's network accepts bytes, and when there is
    /// room for the body to wait for closed windows.
    async fn send(&mut self, mut settlement: Settlement<'_>) -> bool {
        let allowance = self.limits.write_timeout;
        let begun = timeout(allowance, self.begin(&mut settlement)).await.unwrap_or(Err(Reason::CANCEL));
        let (mut stream, body, mut waiting) = match begun {
            Ok(begun) => begun,
            Err(reason) => {
                // Nothing was sent, so nothing is charged.
                self.respond.send_reset(reason);
                settlement.broken_off();
                return false;
            }
        };
        let unsent = &self.gateway.unsent;
        let sending = send_body(&mut stream, body, self.conduct, || {
            if let Some(waiting) = waiting.as_mut() {
                waiting.waits(settlement.account(), unsent);
            }
        });
        let taken = timeout(allowance, sending).await.unwrap_or_else(|_| {
            stream.send_reset(Reason::CANCEL);
            false
        });
        if taken {
            settlement.delivered();
        } else {
            settlement.broken_off();
        }
        taken
    }

    /// Sends the head of the response; from here on a priced one is charged.
    ///
    /// # Errors
    /// The reason for resetting the stream instead of sending anything: the client has disconnected, or does not read
    /// too many answers.
    async fn begin(&mut self, settlement: &mut Settlement<'_>) -> Result<Begun<'g>, Reason> {
        let (conduct, unsent) = (self.conduct, &self.gateway.unsent);
        let Http2Sink { response, body, is_shared } = std::mem::take(&mut self.sink);
        let mut waiting = None;
        if !body.is_empty() && !is_shared {
            waiting = conduct.let_wait(settlement.account(), body.len(), unsent);
            if waiting.is_none() {
                return Err(Reason::ENHANCE_YOUR_CALM);
            }
        }
        if conduct.is_stalled() {
            tokio::select! {
                biased;
                _ = poll_fn(|context| self.respond.poll_reset(context)) => return Err(Reason::CANCEL),
                () = conduct.flowing() => {}
            }
        }
        let stream = self.respond.send_response(response, body.is_empty()).map_err(|_| Reason::CANCEL)?;
        settlement.begun();
        Ok((stream, body, waiting))
    }

    /// Reads and discards the rest of the body, for a limited time and within limits: a stream that is dropped with an
    /// unread body is reset with NO_ERROR (RFC 9113, section 8.1), and some clients mistake that for the answer.
    async fn finish(mut self) {
        let limits = self.limits;
        self.body.clear();
        let limit = usize::try_from(limits.drain_bytes).unwrap_or(usize::MAX);
        let _ = timeout(limits.body_timeout.min(DRAIN_ALLOWANCE), self.receive(limit)).await;
    }

    /// An error in the head or the trailers that `h2` does not report.
    fn fault(&self) -> Option<Problem> {
        let fault = self.conduct.fault_of(self.respond.stream_id().as_u32());
        fault.map(|fault| Problem::new(Row::MalformedRequest, fault.reason()))
    }

    async fn receive(&mut self, limit: usize) -> Result<(), Problem> {
        while let Some(piece) = self.incoming.data().await {
            let piece = piece.map_err(|_| Problem::new(Row::MalformedRequest, "the stream ended within the body"))?;
            // Released even if it is refused next, since the connection's window is shared.
            let _ = self.incoming.flow_control().release_capacity(piece.len());
            self.conduct.took(piece.len());
            if self.body.len().saturating_add(piece.len()) > limit {
                return Err(TOO_LARGE);
            }
            self.body.extend_from_slice(&piece);
        }
        // Trailers are dropped, since they are not used and may be as large as a head.
        if self.incoming.trailers().await.is_err() {
            return Err(Problem::new(Row::MalformedRequest, "the stream ended within the trailers"));
        }
        self.fault().map_or(Ok(()), Err)
    }
}

/// A response whose head was sent: its stream, its body, and its share of the bytes that may wait.
type Begun<'c> = (SendStream<Bytes>, Bytes, Option<Waiting<'c>>);

/// Sends a body as fast as the client's windows and network allow; returns whether all of it was sent. `waits` is
/// called when it cannot be sent at once.
async fn send_body(
    stream: &mut SendStream<Bytes>,
    mut body: Bytes,
    conduct: &Conduct,
    mut waits: impl FnMut(),
) -> bool {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let at_once = if conduct.is_stalled() { None } else { capacity(stream).now_or_never() };
        let capacity = match at_once {
            Some(capacity) => capacity,
            None => {
                waits();
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

/// Waits until the client's windows have room, and returns for how many bytes; `None` if the client has disconnected.
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
        // After a reset or the end of the connection, the client does not want the answer any more.
        let _ = poll_fn(|context| self.respond.poll_reset(context)).await;
    }
}
