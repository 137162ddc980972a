//! The byte stream under a client's HTTP/2 connection, and the limits on its abuse.
//!
//! The `h2` crate answers pings and settings, skips unknown frames, and waits to write without a
//! time limit. None of that makes it use more memory, but it lets a client keep us busy for
//! nothing, or keep a connection from which it does not read. Here, a client that sends too much
//! beside its requests loses its connection; `h2` handles the frames themselves.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

use super::blocks::{Blocks, Malformed};
use crate::gateway::unsent::{Share, Unsent};

/// The bytes that a connection may send beside its requests: pings, settings, window updates, frame
/// headers. That is some 70,000 pings, and as much as all its windows let it send before we read.
const OVERHEAD_BYTES: u64 = 1280 * 1024;

/// The bytes of these after which a connection is read slowly: [`TURN_BYTES`], and then nothing for
/// [`SLOW_PAUSE`]. A flood is cheap then. A normal client does not get here, since each of its
/// requests adds more to its budget than it uses.
const OVERHEAD_BYTES_AT_ONCE: u64 = 128 * 1024;
const SLOW_PAUSE: Duration = Duration::from_millis(10);

/// The bytes that each piece of a body costs, beside its frame header, so that tiny pieces are as
/// expensive as the work they cause.
const OVERHEAD_BYTES_A_PIECE: u64 = 64;

/// The bytes that each request adds to the budget: its head and, if its body is refused, a window.
const OVERHEAD_BYTES_A_REQUEST: u64 = 80 * 1024;

/// The most requests that a client may cancel on a connection beyond those whose answers it
/// receives. Proxies cancel all of theirs at once when a backend hangs; this is more than twice as
/// many as they may have open.
const MAX_GIVEN_UP: u64 = 256;

/// The most bytes of answers that may wait for one connection's client to read. A single answer may
/// always wait, however long it is.
const MAX_UNSENT_BYTES: usize = 1024 * 1024;

/// The most memory of decoded heads on one connection, in bytes: enough for a hundred usual
/// requests, or some thirty of the largest.
const MAX_HEAD_BYTES: usize = 1024 * 1024;

/// The most streams whose errors are remembered until they are judged: more than can be open at a
/// time.
const MAX_FAULTS_REMEMBERED: usize = 256;

/// The bytes that are read from one connection before others have their turn. In a flood of small
/// frames, they keep a thread busy for some 0.2 ms.
const TURN_BYTES: usize = 16 * 1024;

/// How long closing is delayed if the client is at fault. It slows down a client that floods one
/// connection after the other, and most of what it sends is never read.
const CLOSE_DELAY: Duration = Duration::from_millis(100);

/// The behaviour of a client on one connection so far.
#[derive(Debug, Default)]
pub(super) struct Conduct {
    /// Bytes that arrived, those that heads were decoded to, and the cost of pieces of bodies.
    received: AtomicU64,
    /// Bytes of bodies that were read.
    useful: AtomicU64,
    requests: AtomicU64,
    answered: AtomicU64,
    given_up: AtomicU64,
    unsent: AtomicUsize,
    heads: AtomicUsize,
    /// Requests were refused because this connection has no room: the client should open another
    /// one.
    pub(super) sent_away: Signal,
    /// A head exceeds the limit, and nothing more is read.
    pub(super) too_large: Signal,
    /// Errors in heads and trailers that `h2` does not report, by stream.
    faults: Mutex<VecDeque<(u32, Malformed)>>,
    /// A request of a known client was admitted, so the connection may stay.
    welcome: AtomicBool,
    /// Writes to the client are blocked at the moment.
    stalled: AtomicBool,
    /// Notified when they are possible again.
    flows: Notify,
    /// We are closing the connection, and the client is not at fault.
    leaving: AtomicBool,
}

/// Bytes of a connection, counted until this is dropped.
pub(super) struct Counted<'c> {
    of: &'c AtomicUsize,
    bytes: usize,
}

impl<'c> Counted<'c> {
    /// Counts bytes; also returns how many there were before.
    fn among(of: &'c AtomicUsize, bytes: usize) -> (Counted<'c>, usize) {
        let before = of.fetch_add(bytes, Ordering::Relaxed);
        (Counted { of, bytes }, before)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes of an answer that may have to wait for the client's windows.
pub(super) struct Waiting<'c> {
    bytes: Counted<'c>,
    /// `None` while nothing else waits on the connection.
    share: Option<Share<'c>>,
}

impl<'c> Waiting<'c> {
    /// The answer has to wait: it is counted for its account.
    pub(super) fn waits(&mut self, account: Option<&Arc<str>>, unsent: &'c Unsent) {
        self.share.get_or_insert_with(|| unsent.share_anyway(account, self.bytes.bytes));
    }
}

impl Conduct {
    /// Counts the start of a request.
    pub(super) fn begun(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a piece of a body with this many bytes.
    pub(super) fn took(&self, bytes: usize) {
        self.received.fetch_add(OVERHEAD_BYTES_A_PIECE, Ordering::Relaxed);
        self.useful.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Counts the end of a request, and whether the client has received the answer.
    pub(super) fn ended(&self, answered: bool) {
        let count = if answered { &self.answered } else { &self.given_up };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the client cancels too many requests: a reset is cheap for it, and makes us begin a
    /// request for nothing.
    pub(super) fn gives_up_too_often(&self) -> bool {
        let allowed = self.answered.load(Ordering::Relaxed).saturating_add(MAX_GIVEN_UP);
        self.given_up.load(Ordering::Relaxed) > allowed
    }

    /// Reserves room for an answer of this many bytes to wait, should it have to; `None` if too
    /// many bytes of this connection or of its account wait already. A single answer may always
    /// wait.
    pub(super) fn let_wait<'c>(
        &'c self,
        account: Option<&Arc<str>>,
        bytes: usize,
        unsent: &'c Unsent,
    ) -> Option<Waiting<'c>> {
        let (counted, before) = Counted::among(&self.unsent, bytes);
        if before == 0 {
            return Some(Waiting { bytes: counted, share: None });
        }
        if before.saturating_add(bytes) > MAX_UNSENT_BYTES {
            return None;
        }
        unsent.share(account, bytes).map(|share| Waiting { bytes: counted, share: Some(share) })
    }

    /// Counts the memory of a decoded head in bytes; `None` if this connection, or all together,
    /// have too many.
    pub(super) fn hold_head<'c>(
        &'c self,
        bytes: usize,
        heads: &'c AtomicUsize,
        most: usize,
    ) -> Option<[Counted<'c>; 2]> {
        let (own, before) = Counted::among(&self.heads, bytes);
        let (among_all, before_of_all) = Counted::among(heads, bytes);
        let fits = before.saturating_add(bytes) <= MAX_HEAD_BYTES && before_of_all.saturating_add(bytes) <= most;
        fits.then_some([own, among_all])
    }

    /// Remembers an error in a stream's head or trailers.
    fn found(&self, stream: u32, fault: Malformed) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.len() >= MAX_FAULTS_REMEMBERED {
            faults.pop_front();
        }
        faults.push_back((stream, fault));
    }

    /// Takes the error in a stream's head or trailers, if there is one that `h2` does not report.
    pub(super) fn fault_of(&self, stream: u32) -> Option<Malformed> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let index = faults.iter().position(|(of, _)| *of == stream)?;
        faults.remove(index).map(|(_, fault)| fault)
    }

    /// A request of a known client was admitted.
    pub(super) fn welcomes(&self) {
        self.welcome.store(true, Ordering::Relaxed);
    }

    /// Whether one was.
    pub(super) fn is_welcome(&self) -> bool {
        self.welcome.load(Ordering::Relaxed)
    }

    /// Whether writes to the client are blocked at the moment.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Acquire)
    }

    /// Returns when writes to the client are possible.
    pub(super) async fn flowing(&self) {
        told(&self.flows, || !self.is_stalled()).await;
    }

    fn stalls(&self, stalled: bool) {
        if self.stalled.swap(stalled, Ordering::AcqRel) && !stalled {
            self.flows.notify_waiters();
        }
    }

    /// The connection is to end, and the client is not at fault.
    pub(super) fn leaves(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Counts bytes that arrived and those that heads were decoded to, and compares them with those that the requests
    /// account for.
    fn received(&self, bytes: usize) -> Overhead {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let received = self.received.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let requests = self.requests.load(Ordering::Relaxed).saturating_mul(OVERHEAD_BYTES_A_REQUEST);
        let useful = self.useful.load(Ordering::Relaxed);
        let overhead = received.saturating_sub(requests.saturating_add(useful));
        if overhead > OVERHEAD_BYTES {
            Overhead::TooMuch
        } else if overhead > OVERHEAD_BYTES_AT_ONCE {
            Overhead::Much
        } else {
            Overhead::Usual
        }
    }
}

/// A flag that is set once, and that others can wait for.
#[derive(Debug, Default)]
pub(super) struct Signal {
    is_given: AtomicBool,
    gives: Notify,
}

impl Signal {
    pub(super) fn give(&self) {
        self.is_given.store(true, Ordering::Release);
        self.gives.notify_waiters();
    }

    /// Returns once it is set.
    pub(super) async fn given(&self) {
        told(&self.gives, || self.is_given.load(Ordering::Acquire)).await;
    }
}

/// Returns once a condition holds whose changes a `Notify` reports.
async fn told(of_it: &Notify, holds: impl Fn() -> bool) {
    loop {
        let mut told = std::pin::pin!(of_it.notified());
        // From here on no notification is missed.
        told.as_mut().enable();
        if holds() {
            return;
        }
        told.await;
    }
}

/// How much a client has sent beside its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overhead {
    Usual,
    /// More than a normal client needs.
    Much,
    /// So much that the connection ends.
    TooMuch,
}

/// A client's stream that fails if the client sends far too much beside its requests, or does not
/// read for longer than the time limit of an answer. Closing is delayed if the client is at fault.
pub(super) struct Wire<S> {
    stream: S,
    conduct: Arc<Conduct>,
    /// `None` once a head exceeded the limit: nothing more is read.
    blocks: Option<Blocks>,
    write_allowance: Duration,
    /// The time limit of a blocked write.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Bytes that were read in this turn.
    turn: usize,
    /// Nothing is read until then.
    pause: Option<Pin<Box<Sleep>>>,
    /// The client has closed its side.
    closed: bool,
    /// The connection is closed then, and nothing more is read until then.
    parting: Option<Pin<Box<Sleep>>>,
}

impl<S> Wire<S> {
    /// The stream of a connection whose heads may have this many decoded bytes.
    pub(super) fn new(stream: S, conduct: Arc<Conduct>, head_bytes: usize, write_allowance: Duration) -> Wire<S> {
        let blocks = Some(Blocks::new(head_bytes));
        Wire {
            stream,
            conduct,
            blocks,
            write_allowance,
            stalled: None,
            turn: 0,
            pause: None,
            closed: false,
            parting: None,
        }
    }

    /// Limits the time of a write that has to wait.
    fn within_allowance<T>(&mut self, context: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            return done;
        }
        self.conduct.stalls(true);
        let allowance = self.write_allowance;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(allowance)));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if let Some(parting) = &mut wire.parting {
            ready!(parting.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
        }
        if let Some(pause) = &mut wire.pause {
            ready!(pause.as_mut().poll(context));
            wire.pause = None;
        }
        if wire.turn >= TURN_BYTES {
            wire.turn = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(blocks) = &mut wire.blocks else { return Poll::Pending };
        let before = into.filled().len();
        let done = Pin::new(&mut wire.stream).poll_read(context, into);
        let read = into.filled().len().saturating_sub(before);
        wire.turn = if done.is_pending() { 0 } else { wire.turn + read };
        wire.closed |= done.is_ready() && read == 0;
        let new = into.filled().get(before..).unwrap_or_default();
        if blocks.read(new, |stream, fault| wire.conduct.found(stream, fault)).is_err() {
            into.set_filled(before);
            wire.blocks = None;
            wire.conduct.too_large.give();
            return Poll::Pending;
        }
        // A byte can be a whole line of the dynamic table: what it is decoded to counts as well, since that is the work.
        match wire.conduct.received(read.saturating_add(blocks.take_decoded())) {
            Overhead::TooMuch => {
                into.set_filled(before);
                wire.parting = Some(Box::pin(sleep(CLOSE_DELAY)));
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Overhead::Much if wire.turn >= TURN_BYTES => {
                wire.turn = 0;
                wire.pause = Some(Box::pin(sleep(SLOW_PAUSE)));
            }
            Overhead::Much | Overhead::Usual => {}
        }
        done
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// Ready when the connection may be closed: at once if the client has closed its side or is not
    /// at fault, otherwise after a delay.
    fn poll_parting(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.parting.is_none() && !self.conduct.leaving.load(Ordering::Relaxed) && !self.has_left(context) {
            self.parting = Some(Box::pin(sleep(CLOSE_DELAY)));
        }
        self.parting.as_mut().map_or(Poll::Ready(()), |parting| parting.as_mut().poll(context))
    }

    /// Whether the client has closed its side, which may be the last thing in what it has sent.
    fn has_left(&mut self, context: &mut Context<'_>) -> bool {
        let mut last = [0; 1024];
        let mut into = ReadBuf::new(&mut last);
        self.closed
            || match Pin::new(&mut self.stream).poll_read(context, &mut into) {
                Poll::Ready(read) => read.is_err() || into.filled().is_empty(),
                Poll::Pending => false,
            }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let done = Pin::new(&mut wire.stream).poll_write(context, bytes);
        wire.within_allowance(context, done)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let done = Pin::new(&mut wire.stream).poll_write_vectored(context, pieces);
        wire.within_allowance(context, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// `h2` flushes when a frame has been written completely: then the write is not blocked any
    /// more.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let done = Pin::new(&mut wire.stream).poll_flush(context);
        if matches!(done, Poll::Ready(Ok(()))) {
            wire.stalled = None;
            wire.conduct.stalls(false);
        }
        wire.within_allowance(context, done)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        ready!(wire.poll_parting(context));
        let done = Pin::new(&mut wire.stream).poll_shutdown(context);
        wire.within_allowance(context, done)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::gateway::unsent::MAX_UNSENT_BYTES_OF_ALL;
    use crate::gateway::unsent::Unsent;

    #[test]
    fn a_client_may_give_up_as_often_as_it_takes_answers_and_somewhat_more() {
        let conduct = Conduct::default();
        for _ in 0..MAX_GIVEN_UP {
            conduct.ended(false);
        }
        assert!(!conduct.gives_up_too_often());
        conduct.ended(false);
        assert!(conduct.gives_up_too_often());
        conduct.ended(true);
        assert!(!conduct.gives_up_too_often());
    }

    #[test]
    fn answers_wait_within_limits_and_one_always() {
        let (conduct, all, acme) = (Conduct::default(), Unsent::default(), Some(&Arc::from("acme")));
        let mut first = conduct.let_wait(acme, MAX_UNSENT_BYTES_OF_ALL + 1, &all);
        assert!(first.is_some());
        assert!(conduct.let_wait(acme, 1, &all).is_none());
        first.as_mut().unwrap().waits(acme, &all);
        drop(first);
        let first = conduct.let_wait(acme, MAX_UNSENT_BYTES - 1, &all);
        let second = conduct.let_wait(acme, 1, &all);
        assert!(first.is_some() && second.is_some());
        assert!(conduct.let_wait(acme, 1, &all).is_none());
        drop((first, second));
        assert_eq!(conduct.unsent.load(Ordering::Relaxed), 0);
        assert!(all.share(acme, MAX_UNSENT_BYTES_OF_ALL).is_some(), "nothing waits any more");
    }

    #[test]
    fn heads_are_bounded_for_each_connection_and_in_all() {
        let (one, other, all) = (Conduct::default(), Conduct::default(), AtomicUsize::new(0));
        let most = MAX_HEAD_BYTES + 10;
        let first = one.hold_head(MAX_HEAD_BYTES, &all, most);
        assert!(first.is_some());
        assert!(one.hold_head(1, &all, most).is_none(), "the connection has its own limit");
        let second = other.hold_head(10, &all, most);
        assert!(second.is_some());
        assert!(other.hold_head(1, &all, most).is_none(), "and all have one together");
        drop((first, second));
        assert_eq!((one.heads.into_inner(), other.heads.into_inner(), all.into_inner()), (0, 0, 0));
    }

    #[tokio::test]
    async fn a_signal_is_heard_by_those_who_wait_and_those_who_come_later() {
        let signal = Signal::default();
        let mut waiting = std::pin::pin!(signal.given());
        assert!(waiting.as_mut().now_or_never().is_none());
        signal.give();
        waiting.await;
        signal.given().await;
    }

    #[test]
    fn whoever_sends_without_a_pause_lets_others_have_their_turn() {
        let (conduct, flood) = (Arc::new(Conduct::default()), [0_u8; 2 * TURN_BYTES + 1]);
        let mut wire = Wire::new(flood.as_slice(), conduct, 1024, Duration::from_secs(1));
        let mut context = Context::from_waker(Waker::noop());
        let mut buffer = [0; TURN_BYTES];
        let mut read = || {
            let mut into = ReadBuf::new(&mut buffer);
            let done = Pin::new(&mut wire).poll_read(&mut context, &mut into);
            done.map(|done| done.map(|()| into.filled().len()).unwrap_or_default())
        };
        let seen: Vec<Poll<usize>> = (0..6).map(|_| read()).collect();
        let turn = Poll::Ready(TURN_BYTES);
        assert_eq!(seen, [turn, Poll::Pending, turn, Poll::Pending, Poll::Ready(1), Poll::Ready(0)]);
    }

    #[tokio::test]
    async fn whoever_sends_far_too_much_waits_for_its_end_as_well() {
        let sent = vec![0_u8; usize::try_from(OVERHEAD_BYTES).unwrap()];
        let conduct = Arc::new(Conduct::default());
        let mut wire = Wire::new(sent.as_slice(), Arc::clone(&conduct), 1024, Duration::from_secs(1));
        conduct.received(sent.len());
        let begun = std::time::Instant::now();
        let error = wire.read(&mut [0; 4096]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        assert!(begun.elapsed() >= CLOSE_DELAY, "{:?}", begun.elapsed());
    }

    /// One byte can be a whole line of the dynamic table (RFC 7541, section 6.1), and each costs 32 bytes more (RFC 9113,
    /// section 6.5.2).
    #[tokio::test]
    async fn a_head_counts_with_what_it_is_decoded_to() {
        const LINES: usize = 4000;
        for (number, expected) in [(1, Overhead::Much), (9, Overhead::Much), (10, Overhead::TooMuch)] {
            let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            for stream in 0..number {
                let block = [&b"\x40\x01a\x00"[..], &[0xbe; LINES - 1]].concat();
                let length = u32::try_from(block.len()).unwrap().to_be_bytes();
                sent.extend([length[1], length[2], length[3], 1, 4, 0, 0, 0, 2 * stream + 1]);
                sent.extend(block);
            }
            let conduct = Arc::new(Conduct::default());
            let mut wire = Wire::new(sent.as_slice(), Arc::clone(&conduct), 256 * 1024, Duration::from_secs(1));
            let mut all = Vec::new();
            // It ends with an error once there was too much.
            let _ = wire.read_to_end(&mut all).await;
            assert_eq!(conduct.received(0), expected, "{number} heads");
        }
    }

    #[tokio::test]
    async fn only_the_client_at_fault_waits_for_its_end() {
        let ending = |leave: fn(&Conduct, DuplexStream) -> Option<DuplexStream>| {
            let (client, ours) = duplex(1024);
            let conduct = Arc::new(Conduct::default());
            let wire = Wire::new(ours, Arc::clone(&conduct), 1024, Duration::from_secs(1));
            (leave(&conduct, client), wire)
        };
        let (_client, mut at_fault) = ending(|_, client| Some(client));
        let (_client, mut left_by_us) = ending(|conduct, client| {
            conduct.leaves();
            Some(client)
        });
        let (_, mut closed) = ending(|_, _| None);
        let mut context = Context::from_waker(Waker::noop());
        let mut poll = |wire: &mut Wire<DuplexStream>| Pin::new(wire).poll_shutdown(&mut context).is_ready();
        assert_eq!([&mut at_fault, &mut left_by_us, &mut closed].map(&mut poll), [false, true, true]);
        at_fault.shutdown().await.unwrap();
    }

    #[test]
    fn only_what_is_not_a_request_is_counted_against_a_client() {
        let conduct = Conduct::default();
        let bytes = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        assert_eq!(conduct.received(bytes(OVERHEAD_BYTES_AT_ONCE)), Overhead::Usual);
        assert_eq!(conduct.received(1), Overhead::Much);
        assert_eq!(conduct.received(bytes(OVERHEAD_BYTES - OVERHEAD_BYTES_AT_ONCE - 1)), Overhead::Much);
        assert_eq!(conduct.received(1), Overhead::TooMuch);
        conduct.took(bytes(OVERHEAD_BYTES_A_PIECE + 1));
        assert_eq!(conduct.received(0), Overhead::Much);
        conduct.took(1);
        assert_eq!(conduct.received(0), Overhead::TooMuch);
        conduct.begun();
        let left = OVERHEAD_BYTES_A_REQUEST - (OVERHEAD_BYTES_A_PIECE - 1);
        assert_eq!(conduct.received(bytes(left)), Overhead::Much);
        assert_eq!(conduct.received(1), Overhead::TooMuch);
    }

    #[tokio::test]
    async fn whoever_sends_far_more_than_requests_is_read_slowly() {
        const SENT: usize = 256 * 1024;
        let sent = vec![0_u8; SENT];
        let mut wire = Wire::new(sent.as_slice(), Arc::new(Conduct::default()), 1024, Duration::from_secs(1));
        let begun = std::time::Instant::now();
        let mut buffer = [0; 4096];
        while wire.read(&mut buffer).await.unwrap() > 0 {}
        let turns = (SENT - usize::try_from(OVERHEAD_BYTES_AT_ONCE).unwrap()) / TURN_BYTES;
        let least = SLOW_PAUSE * u32::try_from(turns - 1).unwrap();
        assert!(begun.elapsed() >= least, "{:?}", begun.elapsed());
    }
}
