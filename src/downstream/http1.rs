//! A client's HTTP/1 connection: heads and bodies in, responses out, one request after the other.
//!
//! Heads are read here and not by Pingora's own session, which cannot tell an idle connection from a slow head, buffers
//! a megabyte before it refuses, and escapes bytes before they can be checked. The stream and its buffers are
//! Pingora's. Requests are judged in `gateway.rs`.

use std::io::{self, Cursor};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;
use pingora_timeout::{sleep, timeout};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::gateway::settlement::Settlement;
use crate::gateway::{Answered, DRAIN_ALLOWANCE, Downstream, Gateway, Unanswered};
use crate::policy::Limits;
use crate::policy::admit::{Headroom, Ingress, overloaded};
use crate::policy::check::body::TOO_LARGE;
use crate::policy::http::chunked::Decoder;
use crate::policy::http::head::{Framing, Head, Lines, MAX_FIELDS, Peer, Scan, Version, scan};
use crate::policy::problem::{Problem, Row};
use crate::policy::respond::{self, Http1Sink};
use crate::telemetry::Occupied;

/// The most bytes of one read.
const READ_BYTES: usize = 4096;

/// The buffer of an idle connection in bytes: most requests are smaller. It is small, since there may be thousands of
/// idle connections.
const IDLE_BYTES: usize = 1024;

/// The initial buffer of an answer in bytes: most are smaller.
const ANSWER_BYTES: usize = 2048;

/// The bytes of an answer that are written first: at most one TLS record (RFC 8446, section 5.1). If that write fails,
/// the client can read nothing.
const FIRST_BYTES: usize = 16 * 1024;

/// The pauses between the interim responses that find out whether a client that closed its side is still connected.
/// Clients tolerate a few of them.
const PROBE_PAUSES: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(500), Duration::from_secs(2)];

/// How long a closing connection waits for the client to read the answer and close its side. A connection that is
/// closed with unread bytes is reset, and a reset can discard the answer before the client has read it.
const LINGER: Duration = Duration::from_secs(1);

/// How long an idle connection may still begin a request during a shutdown. Its answer says `close`; closing at once
/// could lose a request that is on its way.
const LAST_CALL: Duration = Duration::from_secs(1);

/// The most bytes that are read and discarded during that time.
const LINGER_BYTES: usize = 1 << 20;

/// The start of the HTTP/2 preface, up to the blank line (RFC 9113, section 3.4). It cannot begin an HTTP/1 request.
const HTTP2_PREFACE_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// Serves a connection until it ends. If it turns out to use HTTP/2 and that is allowed, returns it with what has been
/// read from it.
pub(crate) async fn serve(
    gateway: &Gateway,
    stream: Stream,
    peer: Peer,
    ingress: Ingress,
    h2c: bool,
    shutdown: &ShutdownWatch,
) -> Option<impl AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    let _open = Occupied::one_of(&gateway.telemetry().connections.http1);
    let mut connection = Connection::new(stream, gateway.snapshot().policy.limits, shutdown.clone());
    let mut ingress = ingress;
    let mut head = Vec::new();
    let mut first = true;
    loop {
        let ended = match connection.read_head(&mut head, first).await {
            Ok(()) if first && h2c && head == HTTP2_PREFACE_HEAD => return Some(connection.unread(head)),
            // Boxed, so that it does not make idle connections larger.
            Ok(()) => Box::pin(answer(gateway, &mut connection, &head, peer, &mut ingress)).await,
            Err(HeadError::Nothing) => return None,
            Err(HeadError::Refused(problem)) => {
                refuse_unreadable(gateway, &mut connection, &head, problem).await;
                Ended::Last
            }
        };
        match ended {
            Ended::Reusable => {}
            Ended::Last => {
                connection.linger().await;
                return None;
            }
            Ended::Broken => return None,
        }
        first = false;
    }
}

/// Refuses a connection without reading from it, when there are too many even for that.
pub(crate) async fn refuse_unheard(gateway: &Gateway, stream: Stream, shutdown: &ShutdownWatch) {
    let mut connection = Connection::new(stream, gateway.snapshot().policy.limits, shutdown.clone());
    connection.refuse(gateway, &Lines::UNREADABLE, overloaded("far more connections than the limit")).await;
}

/// The state of a connection after a request.
enum Ended {
    Reusable,
    /// The answer was written; the connection must be closed.
    Last,
    /// Nothing more can be sent.
    Broken,
}

/// Why no head could be read.
pub(crate) enum HeadError {
    /// The connection ended, or was idle for too long, between two requests: there is nothing to answer.
    Nothing,
    Refused(Problem),
}

/// Answers one request.
async fn answer(
    gateway: &Gateway,
    connection: &mut Connection,
    head: &[u8],
    peer: Peer,
    own_entrance: &mut Ingress,
) -> Ended {
    let read_at = Instant::now();
    let _active = Occupied::one_of(&gateway.telemetry().connections.active_http1);
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let lines = match Lines::split(head, &mut slots) {
        Ok(lines) => lines,
        Err(problem) => {
            refuse_unreadable(gateway, connection, head, problem).await;
            return Ended::Last;
        }
    };
    // The request uses this snapshot to its end, even if the configuration is reloaded.
    let snapshot = gateway.snapshot();
    connection.limits = snapshot.policy.limits;
    let head = match Head::judge(lines, peer, &connection.limits.head) {
        Ok(head) => head,
        Err(problem) => return connection.refuse(gateway, &lines, problem).await,
    };
    let own_room = gateway.room_now(own_entrance.headroom, &connection.limits);
    own_entrance.headroom = own_room;
    let (occupied, ingress) = gateway.enter(*own_entrance, &connection.limits);
    connection.begin(&head, own_room);
    let (snapshot, record) = gateway.choose(&snapshot, &head, ingress.scope, read_at);
    let answered = gateway
        .answer(snapshot, &head, connection, record, ingress, |connection, context, outcome, last| {
            let turned_away =
                own_room != Headroom::Free && outcome.problem().is_some_and(|problem| problem.row == Row::Overloaded);
            connection.keep_alive &=
                !last && !turned_away && connection.can_skip_body() && !*connection.shutdown.borrow();
            let option = connection.connection_option(context.lines.version);
            connection.out.clear();
            respond::write(&mut Http1Sink { out: &mut connection.out, connection: option }, context, outcome)
        })
        .await;
    match answered {
        Answered::Gone => Ended::Broken,
        Answered::Written(settlement) => {
            // A connection of a known client counts against the limit, and may stay.
            if settlement.account().is_some() {
                own_entrance.headroom = Headroom::Free;
            }
            // Neither discarding the rest of a body nor a refusal counts as a request in flight.
            let place = settlement.is_served_customer().then_some(occupied);
            let written = connection.send(settlement).await;
            drop(place);
            if written.is_err() {
                Ended::Broken
            } else if connection.keep_alive && connection.skip_body().await {
                Ended::Reusable
            } else {
                Ended::Last
            }
        }
    }
}

/// Refuses bytes that cannot be parsed as a head, with as much of the path as can be recognized.
async fn refuse_unreadable(gateway: &Gateway, connection: &mut Connection, bytes: &[u8], problem: Problem) {
    connection.refuse(gateway, &Lines::unreadable(bytes), problem).await;
}

/// One connection and what has been read from it.
pub(crate) struct Connection {
    stream: Stream,
    limits: Limits,
    shutdown: ShutdownWatch,
    /// Bytes that have arrived and are not part of a request yet.
    input: Vec<u8>,
    body: Vec<u8>,
    /// The rest of the request's body.
    pending: Pending,
    /// The client waits for `100 Continue`.
    expects_continue: bool,
    /// Interim responses are allowed; HTTP/1.0 has none.
    takes_interim: bool,
    keep_alive: bool,
    out: Vec<u8>,
}

/// The unread rest of a body.
#[derive(Clone, Copy, Debug)]
enum Pending {
    Nothing,
    Length(u64),
    Chunked(Decoder),
    /// The end of the body cannot be found any more: the connection must be closed.
    Lost,
}

impl Connection {
    pub(crate) fn new(stream: Stream, limits: Limits, shutdown: ShutdownWatch) -> Connection {
        Connection {
            stream,
            limits,
            shutdown,
            input: Vec::new(),
            body: Vec::new(),
            pending: Pending::Nothing,
            expects_continue: false,
            takes_interim: false,
            keep_alive: false,
            out: Vec::new(),
        }
    }

    /// Reads up to the end of a head, which is moved into `head`. On an error `head` has what has arrived so far.
    pub(crate) async fn read_head(&mut self, head: &mut Vec<u8>, first: bool) -> Result<(), HeadError> {
        head.clear();
        self.drop_blank_line();
        if self.input.is_empty() {
            self.input.shrink_to(IDLE_BYTES);
            for buffer in [&mut self.body, &mut self.out, &mut *head] {
                *buffer = Vec::new();
            }
            // A new connection has the time limit of a head, a used one that of an idle connection.
            let allowance = if first { self.limits.head_timeout } else { self.limits.idle_timeout };
            let since = Instant::now();
            self.wait_for_request(allowance).await?;
            if self.drop_blank_line() {
                self.wait_for_request(allowance.saturating_sub(since.elapsed())).await?;
            }
        }
        match self.find_end_of_head().await {
            Ok(end) => {
                head.extend_from_slice(self.input.get(..end).unwrap_or_default());
                self.input.drain(..end);
                Ok(())
            }
            Err(problem) => {
                std::mem::swap(head, &mut self.input);
                Err(HeadError::Refused(problem))
            }
        }
    }

    /// Reads until a whole head has arrived, within its time limit and size limits; returns where it ends.
    async fn find_end_of_head(&mut self) -> Result<usize, Problem> {
        let begun = Instant::now();
        let mut scanned = 0;
        loop {
            match scan(&self.input, scanned)? {
                Scan::Complete(end) => return Ok(end),
                Scan::Partial(next) => scanned = next,
            }
            if self.input.len() > self.limits.head.head_bytes() {
                return Err(Problem::new(Row::MalformedRequest, "the head is longer than the limits"));
            }
            let left = self.limits.head_timeout.saturating_sub(begun.elapsed());
            match timeout(left, self.read_more()).await {
                Ok(true) => {}
                Ok(false) => {
                    return Err(Problem::new(Row::MalformedRequest, "the connection ended within the head"));
                }
                Err(_) => {
                    return Err(Problem::new(Row::RequestTimeout, "the head did not arrive in its allowance"));
                }
            }
        }
    }

    /// Drops the line end that old clients send after a body (RFC 9112, section 2.2): a connection with nothing else in
    /// its buffer is idle.
    fn drop_blank_line(&mut self) -> bool {
        let blank = self.input == b"\r\n";
        if blank {
            self.input.clear();
        }
        blank
    }

    /// Waits for the first byte of a request, within a time limit that a shutdown shortens.
    async fn wait_for_request(&mut self, allowance: Duration) -> Result<(), HeadError> {
        self.input.reserve(IDLE_BYTES);
        let stopping = *self.shutdown.borrow();
        let allowance = if stopping { allowance.min(LAST_CALL) } else { allowance };
        let arrived = tokio::select! {
            biased;
            read = timeout(allowance, self.stream.read_buf(&mut self.input)) => matches!(read, Ok(Ok(1..))),
            _ = self.shutdown.changed(), if !stopping => {
                let read = timeout(allowance.min(LAST_CALL), self.stream.read_buf(&mut self.input)).await;
                matches!(read, Ok(Ok(1..)))
            }
        };
        if arrived { Ok(()) } else { Err(HeadError::Nothing) }
    }

    /// Reads what has arrived; `false` at the end of the stream or on an error.
    async fn read_more(&mut self) -> bool {
        self.input.reserve(READ_BYTES);
        matches!(self.stream.read_buf(&mut self.input).await, Ok(1..))
    }

    /// Prepares for the body of a request.
    pub(crate) fn begin(&mut self, head: &Head<'_>, headroom: Headroom) {
        self.body.clear();
        self.out.reserve(ANSWER_BYTES);
        self.pending = match head.framing {
            Framing::None | Framing::Length(0) | Framing::Frames(_) => Pending::Nothing,
            Framing::Length(length) => Pending::Length(length),
            Framing::Chunked => Pending::Chunked(Decoder::default()),
        };
        self.expects_continue = head.expects_continue;
        self.takes_interim = head.lines.version == Version::Http11;
        self.keep_alive = head.keep_alive && headroom != Headroom::Full;
    }

    /// Whether the rest of the body can be read and discarded, so that the connection can be kept. A client that waits
    /// for `100 Continue` may or may not send its body, so the next request could not be found.
    fn can_skip_body(&self) -> bool {
        match self.pending {
            Pending::Nothing => true,
            Pending::Length(left) => left <= self.limits.drain_bytes && !self.expects_continue,
            Pending::Chunked(_) => !self.expects_continue,
            Pending::Lost => false,
        }
    }

    /// Whether the connection can be kept after the answer to the request.
    pub(crate) fn may_live_on(&self) -> bool {
        self.keep_alive && self.can_skip_body() && !*self.shutdown.borrow()
    }

    /// The buffer that `write_out` sends.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// The `Connection` header of the answer, once it is known whether the connection is kept.
    pub(crate) fn option(&mut self, version: Version, lives_on: bool) -> Option<&'static str> {
        self.keep_alive = lives_on;
        self.connection_option(version)
    }

    /// The `Connection` header of the answer; HTTP/1.1 needs none to keep the connection (RFC 9112, section 9.3).
    fn connection_option(&self, version: Version) -> Option<&'static str> {
        match (self.keep_alive, version) {
            (false, _) => Some("close"),
            (true, Version::Http10) => Some("keep-alive"),
            (true, Version::Http11 | Version::Http2) => None,
        }
    }

    /// Reads and discards the rest of the body, within limits; returns whether that succeeded.
    pub(crate) async fn skip_body(&mut self) -> bool {
        let limit = usize::try_from(self.limits.drain_bytes).unwrap_or(usize::MAX);
        self.body.clear();
        let allowance = self.limits.body_timeout.min(DRAIN_ALLOWANCE);
        matches!(timeout(allowance, self.receive(limit)).await, Ok(Ok(())))
    }

    /// Moves the rest of the body into `self.body`, at most `limit` bytes of it.
    async fn receive(&mut self, limit: usize) -> Result<(), Problem> {
        loop {
            match self.pending {
                Pending::Nothing => return Ok(()),
                Pending::Lost => return Err(TOO_LARGE),
                Pending::Length(left) => {
                    let left_bytes = usize::try_from(left).map_err(|_| TOO_LARGE)?;
                    if self.body.len().saturating_add(left_bytes) > limit {
                        return Err(TOO_LARGE);
                    }
                    let there = left_bytes.min(self.input.len());
                    self.body.extend_from_slice(self.input.get(..there).unwrap_or_default());
                    self.input.drain(..there);
                    let left = left.saturating_sub(u64::try_from(there).unwrap_or(u64::MAX));
                    if left == 0 {
                        self.pending = Pending::Nothing;
                        continue;
                    }
                    self.pending = Pending::Length(left);
                }
                Pending::Chunked(mut decoder) => {
                    // If the decoder stops half-way, the position in the input is lost.
                    self.pending = Pending::Lost;
                    let body = &mut self.body;
                    let used = decoder.advance(&self.input, |data| {
                        if body.len().saturating_add(data.len()) > limit {
                            return Err(TOO_LARGE);
                        }
                        body.extend_from_slice(data);
                        Ok(())
                    })?;
                    self.input.drain(..used);
                    if decoder.is_done() {
                        self.pending = Pending::Nothing;
                        continue;
                    }
                    self.pending = Pending::Chunked(decoder);
                }
            }
            if !self.read_more().await {
                return Err(Problem::new(Row::MalformedRequest, "the connection ended within the body"));
            }
        }
    }

    /// Refuses a request whose framing is ambiguous; the connection is closed after the answer.
    async fn refuse(&mut self, gateway: &Gateway, lines: &Lines<'_>, problem: Problem) -> Ended {
        let snapshot = gateway.snapshot();
        self.out.clear();
        let mut sink = Http1Sink { out: &mut self.out, connection: Some("close") };
        let settlement = gateway.refuse(&snapshot, &mut sink, lines, problem);
        match self.send(settlement).await {
            Ok(()) => Ended::Last,
            Err(()) => Ended::Broken,
        }
    }

    /// Sends the answer that the sink has collected, and settles the request.
    async fn send(&mut self, mut settlement: Settlement<'_>) -> Result<(), ()> {
        let allowance = self.limits.write_timeout;
        match timeout(allowance, self.hand_over(&mut settlement)).await {
            Ok(Ok(())) => {
                settlement.delivered();
                Ok(())
            }
            Ok(Err(_)) | Err(_) => {
                settlement.broken_off();
                Err(())
            }
        }
    }

    /// Writes the answer to the connection. The settlement begins, and charges a priced answer, at the first byte that
    /// may have left: a first write that fails or is pending has sent nothing, and what is in the stream's own buffer
    /// leaves when it is flushed.
    async fn hand_over(&mut self, settlement: &mut Settlement<'_>) -> io::Result<()> {
        let first = self.out.get(..FIRST_BYTES).unwrap_or(&self.out);
        let written = self.stream.write(first).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        if let Some(rest) = self.out.get(written..).filter(|rest| !rest.is_empty()) {
            settlement.begun();
            self.stream.write_all(rest).await?;
        }
        if let Some(flushed) = self.stream.flush().now_or_never() {
            return flushed.map(|()| settlement.begun());
        }
        settlement.begun();
        self.stream.flush().await
    }

    /// Sends what the sink has collected.
    pub(crate) async fn write_out(&mut self) -> Result<(), ()> {
        let send = async {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await
        };
        match timeout(self.limits.write_timeout, send).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(()),
        }
    }

    /// Returns the connection's stream, with what has been read from it put back in front.
    fn unread(self, mut head: Vec<u8>) -> impl AsyncRead + AsyncWrite + Unpin + Send + 'static {
        head.extend_from_slice(&self.input);
        let (reader, writer) = tokio::io::split(self.stream);
        tokio::io::join(Cursor::new(head).chain(reader), writer)
    }

    /// Closes our side, and waits for a limited time for the client to read the answer and close its own.
    pub(crate) async fn linger(mut self) {
        let drain = async {
            // Fails if the connection is closed already.
            let _ = self.stream.shutdown().await;
            let mut thrown_away = 0;
            while thrown_away < LINGER_BYTES {
                self.input.clear();
                if !self.read_more().await {
                    break;
                }
                thrown_away += self.input.len();
            }
        };
        let _ = timeout(LINGER, drain).await;
    }
}

impl Downstream for Connection {
    async fn read_body(&mut self, limit: usize) -> Result<(), Unanswered> {
        let nothing_there = self.input.is_empty() && !matches!(self.pending, Pending::Nothing);
        if std::mem::take(&mut self.expects_continue) && nothing_there {
            self.out.clear();
            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            self.write_out().await.map_err(|()| Unanswered::Gone)?;
        }
        match timeout(self.limits.body_timeout, self.receive(limit)).await {
            Ok(outcome) => outcome.map_err(Unanswered::Refused),
            Err(_) => Err(Problem::new(Row::RequestTimeout, "the body did not arrive in its allowance").into()),
        }
    }

    fn body(&self) -> &[u8] {
        &self.body
    }

    /// Watches the connection during the exchange with the upstream. Bytes that arrive belong to the next request; when
    /// they reach the size of a head, nothing more is read, and this waits forever.
    async fn gone(&mut self) {
        while self.input.len() <= self.limits.head.head_bytes() {
            self.input.reserve(READ_BYTES);
            match self.stream.read_buf(&mut self.input).await {
                Ok(1..) => {}
                Ok(0) => return self.probed().await,
                Err(_) => return,
            }
        }
        std::future::pending().await
    }
}

impl Connection {
    /// Finds out whether a client that has closed its side is still connected: a full close and a half-close look the
    /// same from here. An interim response, which every HTTP/1.1 client can discard (RFC 9110, section 15.2.1), makes
    /// the kernel of a disconnected client reply with a reset, so that writing the next one fails. Returns if the
    /// client is disconnected, and waits forever if not. HTTP/1.0 has no interim responses: such a client counts as
    /// connected, and gets its answer.
    async fn probed(&mut self) {
        const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
        if !self.takes_interim {
            return std::future::pending().await;
        }
        for pause in PROBE_PAUSES {
            // A single call writes all or nothing, so that a cancelled probe leaves no partial line.
            if !matches!(self.stream.write(INTERIM).await, Ok(written) if written == INTERIM.len())
                || self.stream.flush().await.is_err()
            {
                return;
            }
            sleep(pause).await;
        }
        std::future::pending().await
    }
}
