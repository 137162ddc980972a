//! What requests leave for a shadow, a candidate policy that judges them a second time: copies, in a bounded queue.
//!
//! A request only copies, and never waits: what does not fit is lost and counted. The candidate judges on a thread of its
//! own (`gateway/shadow.rs`). A request is two items: its head when it is admitted, so that the candidate's rates count in
//! the order of those in force, and its end with what has become known by then.

pub mod head_copy;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use crate::policy::account::directory::change::AccountChange;
use crate::policy::admit::Ingress;
use crate::policy::http::head::Head;
use crate::policy::http::transaction_id::TransactionId;
use crate::policy::now::Now;
use crate::policy::problem::Row;
use head_copy::HeadCopy;

/// Requests whose head is in the queue or judged, and whose end is not judged yet, at the most.
pub const MOST_OPEN: usize = 16 * 1024;

/// Bytes of all copies of heads, bodies and answers that are not judged yet, at the most.
pub const MOST_BYTES: usize = 32 * 1024 * 1024;

/// Places of the queue: two for each open request, so that its end always has one, and some for changes of accounts.
const PLACES: usize = 2 * MOST_OPEN + 64;

/// One thing for the thread that judges.
pub enum Item {
    Head(Box<HeadItem>),
    End(Box<EndItem>),
    /// Accounts of the store have changed: copies of them, made for the candidate.
    Accounts(Vec<AccountChange>),
}

/// The head of a request.
pub struct HeadItem {
    /// By which its end is known.
    pub number: u64,
    pub head: HeadCopy,
    /// When it was judged.
    pub now: Now,
    pub ingress: Ingress,
}

/// What became of a request under the policy in force.
pub struct EndItem {
    /// That of its head.
    pub number: u64,
    pub transaction: TransactionId,
    pub then: Then,
    /// The account, if it is known.
    pub account: Option<Arc<str>>,
    /// Its body, if it arrived.
    pub body: Option<Box<[u8]>>,
    /// The most bytes that its body could have.
    pub body_limit: usize,
    /// The backend's answer, if it was passed on.
    pub answer: Option<AnswerCopy>,
    /// The status of the backend's answer; 0 if there was none.
    pub upstream_status: u16,
    /// The answer is that of an earlier request with the same key.
    pub is_replayed: bool,
    /// The credits that it was charged.
    pub charged: u32,
    /// From the end of its head to the end of the exchange, if it was sent.
    pub exchanged_after: Option<Duration>,
    /// Some of the copies did not fit.
    pub is_cut: bool,
    bytes: usize,
}

/// How a request has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// With an answer of this status.
    Answered(u16),
    /// With a row, and the slug that its client has read.
    Refused(Row, Box<str>),
    /// Its client has disconnected.
    Gone,
}

/// An answer of a backend that was passed on.
pub struct AnswerCopy {
    pub body: Box<[u8]>,
    pub content_type: Option<Box<[u8]>>,
    /// The policy in force has put another body in its place, which is the one here.
    pub is_replaced: bool,
}

/// The end of the queue that requests write to.
pub struct Feed {
    sender: SyncSender<Item>,
    queued: Arc<Queued>,
    /// The number of the next request.
    next: AtomicU64,
}

/// How full the queue is, and whether anybody reads it.
#[derive(Debug, Default)]
pub struct Queued {
    open: AtomicUsize,
    bytes: AtomicUsize,
    /// Requests that did not fit.
    lost: AtomicU64,
    is_over: AtomicBool,
}

/// A queue: where requests write, and where the thread reads.
pub fn queue() -> (Feed, Receiver<Item>, Arc<Queued>) {
    let (sender, receiver) = sync_channel(PLACES);
    let queued = Arc::new(Queued::default());
    (Feed { sender, queued: Arc::clone(&queued), next: AtomicU64::new(0) }, receiver, queued)
}

impl Feed {
    /// Copies the head of a request that was judged at a moment; `None` if there is no room for it.
    pub fn begin(&self, head: &Head<'_>, ingress: Ingress, now: Now) -> Option<Begun<'_>> {
        if self.queued.is_over.load(Ordering::Relaxed) {
            return None;
        }
        if !self.queued.open(HeadCopy::bytes_of(head)) {
            self.queued.lost.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let item = HeadItem { number, head: HeadCopy::of(head), now, ingress };
        let bytes = item.head.bytes();
        if self.sender.try_send(Item::Head(Box::new(item))).is_err() {
            self.queued.close(bytes);
            return None;
        }
        Some(Begun { feed: self, number, body: None, answer: None, bytes: 0, is_cut: false })
    }

    /// Has accounts changed. Whether there was room for it.
    pub fn change_accounts(&self, changes: Vec<AccountChange>) -> bool {
        self.sender.try_send(Item::Accounts(changes)).is_ok()
    }
}

impl Queued {
    /// Makes room for a request.
    fn open(&self, bytes: usize) -> bool {
        if self.open.fetch_add(1, Ordering::Relaxed) >= MOST_OPEN {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        if !self.reserve(bytes) {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        true
    }

    fn reserve(&self, bytes: usize) -> bool {
        let has_room = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= MOST_BYTES;
        if !has_room {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        has_room
    }

    fn close(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// A request was judged whose head and end these are.
    pub fn judged(&self, head: &HeadCopy, end: &EndItem) {
        self.close(head.bytes().saturating_add(end.bytes));
    }

    /// The end of a request came whose head was lost.
    pub fn judged_without_head(&self, end: &EndItem) {
        self.close(end.bytes);
    }

    /// A head was lost whose end will come.
    pub fn forgot(&self, head: &HeadCopy) {
        self.bytes.fetch_sub(head.bytes(), Ordering::Relaxed);
    }

    /// Nobody reads any more.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Requests that did not fit.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Counts requests that are not compared as lost.
    pub fn lose(&self, requests: usize) {
        self.lost.fetch_add(u64::try_from(requests).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A request whose head was copied.
pub struct Begun<'f> {
    feed: &'f Feed,
    number: u64,
    body: Option<Box<[u8]>>,
    answer: Option<AnswerCopy>,
    /// Those of the copies here.
    bytes: usize,
    is_cut: bool,
}

/// What is known of a request once it is over, beside what was copied.
pub struct Over {
    pub transaction: TransactionId,
    pub then: Then,
    pub account: Option<Arc<str>>,
    pub body_limit: usize,
    pub upstream_status: u16,
    pub is_replayed: bool,
    pub charged: u32,
    pub exchanged_after: Option<Duration>,
}

impl Begun<'_> {
    /// Copies the body, which has arrived as a whole.
    pub fn body(&mut self, body: &[u8]) {
        if self.reserve(body.len()) {
            self.body = Some(body.into());
        }
    }

    /// Copies the body of the backend's answer as it was judged, and its media type if it was looked at.
    pub fn answer(&mut self, body: &[u8], content_type: Option<&[u8]>, is_replaced: bool) {
        if self.reserve(body.len()) {
            self.answer =
                Some(AnswerCopy { body: body.into(), content_type: content_type.map(Into::into), is_replaced });
        }
    }

    fn reserve(&mut self, bytes: usize) -> bool {
        let has_room = !self.is_cut && self.feed.queued.reserve(bytes);
        self.is_cut |= !has_room;
        if has_room {
            self.bytes = self.bytes.saturating_add(bytes);
        }
        has_room
    }

    /// The request is over.
    pub fn end(self, over: Over) {
        let Begun { feed, number, body, answer, bytes, is_cut } = self;
        let Over { transaction, then, account, body_limit, upstream_status, is_replayed, charged, exchanged_after } =
            over;
        let end = EndItem {
            number,
            transaction,
            then,
            account,
            body,
            body_limit,
            answer,
            upstream_status,
            is_replayed,
            charged,
            exchanged_after,
            is_cut,
            bytes,
        };
        // Without a thread that reads it, nobody counts either.
        let _ = feed.sender.try_send(Item::End(Box::new(end)));
    }
}
