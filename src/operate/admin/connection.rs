//! The connections of the admin listener: their limits, and their HTTP/1.
//!
//! Heads and bodies are read by the code that reads those of clients, with limits of their own, so
//! that HTTP/1.0, kept connections, framing and time-outs are the same on both. The operations are
//! in `admin.rs`.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use http::StatusCode;
use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;
use tokio::sync::Notify;

use super::routes::Takes;
use super::{Admin, Answer, MAX_BODY_BYTES, Request, query_of};
use crate::downstream::accept;
use crate::downstream::http1::{Connection, HeadError};
use crate::downstream::listener::Local;
use crate::gateway::{Downstream, Unanswered};
use crate::policy::Limits;
use crate::policy::admit::Headroom;
use crate::policy::http::head::{Head, HeadLimits, Lines, MAX_FIELDS, Peer};
use crate::policy::respond::write_field;

/// The limits of one connection of an operator.
const LIMITS: Limits = Limits {
    head: HeadLimits { target_bytes: 8 * 1024, header_bytes: 16 * 1024, header_lines: 64 },
    head_timeout: Duration::from_secs(5),
    handshake_timeout: Duration::from_secs(5),
    body_timeout: Duration::from_secs(5),
    idle_timeout: Duration::from_secs(75),
    write_timeout: Duration::from_secs(5),
    connections: 0,
    requests: 0,
    reserved_percent: 0,
    response_bytes: 0,
    drain_bytes: 64 * 1024,
    kept_answer_bytes: 0,
    share_requests: false,
};

/// The admin listener as a Pingora app.
pub struct AdminApp {
    admin: Admin,
    seats: Seats,
}

impl AdminApp {
    /// An app with this many connections at a time.
    pub fn new(admin: Admin, connections: usize) -> AdminApp {
        AdminApp { admin, seats: Seats::new(connections) }
    }
}

#[async_trait]
impl ServerApp for AdminApp {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        // Without a seat the connection is closed: all others are busy.
        let mut seat = self.seats.take()?;
        let own = accept::local(&stream).and_then(|local| match local {
            Local::Address(address) => Some(address.ip()),
            Local::Unix(_) => None,
        });
        self.serve(Connection::new(stream, LIMITS, shutdown.clone()), own, &mut seat).await;
        None
    }
}

impl AdminApp {
    /// Serves a connection until it ends, or until its seat is given away while it is idle.
    async fn serve(&self, mut connection: Connection, own: Option<IpAddr>, seat: &mut Seat<'_>) {
        let mut head = Vec::new();
        let mut first = true;
        loop {
            seat.falls_quiet();
            let read = tokio::select! {
                biased;
                read = connection.read_head(&mut head, first) => read,
                () = seat.wanted() => return,
            };
            seat.is_busy();
            let lives_on = match read {
                Ok(()) => self.answer(&mut connection, &head, own).await,
                Err(HeadError::Nothing) => return,
                Err(HeadError::Refused(problem)) => {
                    let answer = Answer::refused(StatusCode::BAD_REQUEST, problem.reason);
                    write(&mut connection, &Lines::unreadable(&head), &answer, false).await.map(|()| false)
                }
            };
            match lives_on {
                Ok(true) => first = false,
                Ok(false) => return connection.linger().await,
                Err(()) => return,
            }
        }
    }

    /// Answers one request; returns whether the connection is kept, or an error if nothing more can
    /// be sent.
    async fn answer(&self, connection: &mut Connection, head: &[u8], own: Option<IpAddr>) -> Result<bool, ()> {
        let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let refused = |reason: &str| Answer::refused(StatusCode::BAD_REQUEST, reason);
        let lines = match Lines::split(head, &mut slots) {
            Ok(lines) if lines.target.starts_with('/') => lines,
            Ok(lines) => {
                return write(connection, &lines, &refused("the target is not a path"), false).await.map(|()| false);
            }
            Err(problem) => {
                let lines = Lines::unreadable(head);
                return write(connection, &lines, &refused(problem.reason), false).await.map(|()| false);
            }
        };
        // Framing is judged as it is for clients. The path is not: nothing is forwarded, and names of
        // accounts may have encoded dots and slashes.
        let framing = match Head::judge(Lines { target: "/", ..lines }, Peer::Local, &LIMITS.head) {
            Ok(head) => head,
            Err(problem) => return write(connection, &lines, &refused(problem.reason), false).await.map(|()| false),
        };
        connection.begin(&framing, Headroom::Free);
        let answer = match self.outcome(connection, lines, own).await {
            Ok(answer) => answer,
            Err(Unanswered::Gone) => return Err(()),
            Err(Unanswered::Refused(problem)) => refused(problem.reason),
        };
        let keep = connection.may_live_on();
        write(connection, &lines, &answer, keep).await?;
        Ok(keep && connection.skip_body().await)
    }

    /// Finds the operation, reads the body, and runs it.
    async fn outcome(
        &self,
        connection: &mut Connection,
        lines: Lines<'_>,
        own: Option<IpAddr>,
    ) -> Result<Answer, Unanswered> {
        let (route, values) = match self.admin.route(&lines, own) {
            Ok(found) => found,
            Err(answer) => return Ok(answer),
        };
        match route.takes {
            Takes::Nothing => {}
            Takes::ShadowStart | Takes::Notice | Takes::Correction => {
                match connection.read_body(MAX_BODY_BYTES).await {
                    Ok(()) => {}
                    Err(Unanswered::Refused(problem)) if problem == crate::policy::check::body::TOO_LARGE => {
                        return Ok(Answer::refused(
                            StatusCode::PAYLOAD_TOO_LARGE,
                            "The body is over 64 KiB. Send less.",
                        ));
                    }
                    Err(Unanswered::Refused(problem)) => return Err(Unanswered::Refused(problem)),
                    Err(Unanswered::Gone) => return Err(Unanswered::Gone),
                }
            }
        }
        let request = Request { route, values, lines, query: query_of(&lines), body: connection.body() };
        Ok(self.admin.carry_out(&request).await.unwrap_or_else(Answer::from))
    }
}

/// Sends an answer, without its body for HEAD (RFC 9110, section 9.3.2).
async fn write(connection: &mut Connection, lines: &Lines<'_>, answer: &Answer, keep: bool) -> Result<(), ()> {
    let option = connection.option(lines.version, keep);
    let out = connection.out();
    out.clear();
    // Writing into a vector cannot fail.
    let _ = write!(out, "HTTP/1.1 {} {}\r\n", answer.status.as_u16(), answer.status.canonical_reason().unwrap_or(""));
    let mut header = |name: &str, value: &str| write_field(out, name, value.as_bytes());
    header("Date", &httpdate::fmt_http_date(SystemTime::now()));
    header("Content-Type", answer.content_type);
    header("Content-Length", &answer.body.len().to_string());
    // Balances and figures are out of date at once.
    header("Cache-Control", "no-store");
    header("X-Content-Type-Options", "nosniff");
    if let Some(allow) = &answer.allow {
        header("Allow", allow);
    }
    // The credentials that a client needs (RFC 9110, section 11.6.1; RFC 6750, section 3).
    if answer.status == StatusCode::UNAUTHORIZED {
        header("WWW-Authenticate", "Bearer realm=\"tollgate admin\"");
    }
    if let Some(option) = option {
        header("Connection", option);
    }
    out.extend_from_slice(b"\r\n");
    if lines.method != "HEAD" {
        out.extend_from_slice(answer.body.as_bytes());
    }
    connection.write_out().await
}

/// Limits the connections of a listener: when all seats are taken, the connection that has been
/// idle for the longest time gives its seat to the next.
#[derive(Debug)]
struct Seats {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    count: usize,
    /// Idle connections, in the order in which they became idle, each with its notification to
    /// close.
    quiet: BTreeMap<u64, Arc<Notify>>,
    next: u64,
}

/// The seat of one connection, freed when this is dropped.
#[derive(Debug)]
struct Seat<'s> {
    seats: &'s Seats,
    wanted: Arc<Notify>,
    /// Its number among the idle ones.
    quiet: Option<u64>,
}

impl Seats {
    fn new(most: usize) -> Seats {
        Seats { most, taken: Mutex::default() }
    }

    /// A seat, if one is free or an idle connection can be closed.
    fn take(&self) -> Option<Seat<'_>> {
        let mut taken = self.lock();
        if taken.count >= self.most {
            let (_, longest) = taken.quiet.pop_first()?;
            longest.notify_one();
        } else {
            taken.count += 1;
        }
        Some(Seat { seats: self, wanted: Arc::default(), quiet: None })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat<'_> {
    /// The connection is idle from now on, and its seat can be given to another.
    fn falls_quiet(&mut self) {
        let mut taken = self.seats.lock();
        let number = taken.next;
        taken.next += 1;
        taken.quiet.insert(number, Arc::clone(&self.wanted));
        self.quiet = Some(number);
    }

    /// The connection has a request. If its seat has just been given away, it is answered anyway,
    /// in an extra seat.
    fn is_busy(&mut self) {
        let mut taken = self.seats.lock();
        if let Some(number) = self.quiet.take()
            && taken.quiet.remove(&number).is_none()
        {
            taken.count += 1;
        }
    }

    /// Returns when the seat was given to another.
    async fn wanted(&self) {
        self.wanted.notified().await;
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        let given_away = self.quiet.is_some_and(|number| taken.quiet.remove(&number).is_none());
        if !given_away {
            taken.count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_longest_quiet_gives_its_seat_away_and_busy_ones_keep_theirs() {
        let seats = Seats::new(2);
        let (mut first, mut second) = (seats.take().unwrap(), seats.take().unwrap());
        assert!(seats.take().is_none(), "nobody is quiet");
        first.falls_quiet();
        second.falls_quiet();
        let third = seats.take().unwrap();
        assert_eq!((first.wanted.notified().now_or_never(), second.wanted.notified().now_or_never()), (Some(()), None));
        second.is_busy();
        assert!(seats.take().is_none(), "the one that is quiet was told to go already");
        drop(first);
        assert_eq!(seats.lock().count, 2, "its seat is the third's");
        drop((second, third));
        let taken = seats.lock();
        assert_eq!((taken.count, taken.quiet.len()), (0, 0));
    }

    #[test]
    fn whoever_is_told_to_go_while_its_request_arrives_is_counted() {
        let seats = Seats::new(1);
        let mut first = seats.take().unwrap();
        first.falls_quiet();
        let second = seats.take().unwrap();
        first.is_busy();
        assert_eq!(seats.lock().count, 2);
        drop((first, second));
        assert_eq!(seats.lock().count, 0);
    }
}
