//! Idle connections to one server.
//!
//! Pingora's pool watches each connection with a task of its own, which costs a request more than everything here. Here
//! a connection is checked when it is taken, and all of them twice a second (`upstream/keep.rs`), so that one that the
//! server has closed is never used and soon removed.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, ReadBuf};

/// The number of shards, so that threads do not wait for each other.
const SHARDS: usize = 16;

/// How long a connection may be idle when the capacity is nearly used up.
const SHORTEST: Duration = Duration::from_secs(1);

/// The limit of idle connections to all servers together.
#[derive(Debug)]
pub struct Capacity {
    most: usize,
    taken: Arc<AtomicUsize>,
}

impl Capacity {
    /// Capacity for this many connections.
    pub fn new(most: usize) -> Capacity {
        Capacity { most, taken: Arc::default() }
    }

    fn enter(&self) -> Option<Permit> {
        let permit = Permit(Arc::clone(&self.taken));
        (permit.0.fetch_add(1, Ordering::Relaxed) < self.most).then_some(permit)
    }

    /// Whether less than a quarter is free.
    fn is_short(&self) -> bool {
        self.taken.load(Ordering::Relaxed) > self.most / 4 * 3
    }
}

/// The share of the capacity of one connection.
#[derive(Debug)]
struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The idle connections to one server, in one shard per thread.
#[derive(Debug)]
pub struct Idle<S> {
    shelves: [Mutex<Vec<Waiting<S>>>; SHARDS],
}

#[derive(Debug)]
struct Waiting<S> {
    stream: S,
    since: Instant,
    _permit: Permit,
}

impl<S> Default for Idle<S> {
    fn default() -> Idle<S> {
        Idle { shelves: Default::default() }
    }
}

impl<S: AsyncRead + Unpin> Idle<S> {
    /// An open connection, as far as can be known. The last one used is taken first, so that surplus connections
    /// expire.
    pub fn take(&self) -> Option<S> {
        let own = own_shelf();
        (own..SHARDS).chain(0..own).find_map(|shard| {
            let mut page_table = self.page_table(shard)?;
            while let Some(mut waiting) = page_table.pop() {
                if is_open(&mut waiting.stream) {
                    return Some(waiting.stream);
                }
            }
            None
        })
    }

    /// Keeps a connection, if there is room.
    pub fn put(&self, mut stream: S, room: &Capacity, now: Instant) {
        if let Some(permit) = room.enter()
            && is_open(&mut stream)
            && let Some(mut page_table) = self.page_table(own_shelf())
        {
            page_table.push(Waiting { stream, since: now, _permit: permit });
        }
    }

    /// Closes connections that have been idle for too long, or that the server has closed.
    pub fn sweep(&self, longest: Duration, room: &Capacity, now: Instant) {
        let longest = if room.is_short() { longest.min(SHORTEST) } else { longest };
        for mut page_table in (0..SHARDS).filter_map(|shard| self.page_table(shard)) {
            page_table.retain_mut(|waiting| {
                now.saturating_duration_since(waiting.since) < longest && is_open(&mut waiting.stream)
            });
        }
    }

    fn page_table(&self, shard: usize) -> Option<MutexGuard<'_, Vec<Waiting<S>>>> {
        self.shelves.get(shard).map(|page_table| page_table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The shard of this thread.
fn own_shelf() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS);
    }
    OWN.get()
}

/// Whether the server has neither closed a connection nor sent something unrequested.
fn is_open(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut byte = [0];
    let mut nobody = Context::from_waker(Waker::noop());
    Pin::new(stream).poll_read(&mut nobody, &mut ReadBuf::new(&mut byte)).is_pending()
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    /// A mock connection that returns nothing, or something when it is read.
    struct Told(u8, Arc<Mutex<Vec<u8>>>);

    impl AsyncRead for Told {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
            match self.1.lock().unwrap().contains(&self.0) {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            }
        }
    }

    const LONGEST: Duration = Duration::from_secs(60);

    #[test]
    fn the_last_that_was_used_is_the_next_and_a_closed_one_is_none() {
        let (idle, room, now) = (Idle::default(), Capacity::new(10), Instant::now());
        let closed = Arc::default();
        for number in 0..4 {
            idle.put(Told(number, Arc::clone(&closed)), &room, now);
        }
        closed.lock().unwrap().extend([2, 7]);
        idle.put(Told(7, Arc::clone(&closed)), &room, now);
        let taken: Vec<u8> = std::iter::from_fn(|| idle.take()).map(|stream| stream.0).collect();
        assert_eq!(taken, [3, 1, 0]);
        assert_eq!(room.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_another_thread_has_put_back_is_found() {
        let (idle, room, now) = (Idle::default(), Capacity::new(10), Instant::now());
        std::thread::scope(|scope| {
            scope.spawn(|| idle.put(Told(1, Arc::default()), &room, now));
        });
        assert!(idle.take().is_some() && idle.take().is_none());
    }

    #[test]
    fn none_waits_longer_than_it_may_or_than_the_server_wants() {
        let (idle, room, begun) = (Idle::default(), Capacity::new(10), Instant::now());
        let closed = Arc::default();
        for number in 0..3 {
            let at = begun + Duration::from_secs(10 * u64::from(number));
            idle.put(Told(number, Arc::clone(&closed)), &room, at);
        }
        idle.sweep(LONGEST, &room, begun + LONGEST - Duration::from_millis(1));
        assert_eq!(room.taken.load(Ordering::Relaxed), 3);
        idle.sweep(LONGEST, &room, begun + LONGEST);
        assert_eq!(room.taken.load(Ordering::Relaxed), 2);
        closed.lock().unwrap().push(2);
        idle.sweep(LONGEST, &room, begun + LONGEST);
        assert_eq!(idle.take().map(|stream| stream.0), Some(1));
    }

    #[test]
    fn no_more_wait_than_may_and_near_that_they_wait_shortly() {
        let (idle, room, now) = (Idle::default(), Capacity::new(4), Instant::now());
        for number in 0..6 {
            idle.put(Told(number, Arc::default()), &room, now);
        }
        assert_eq!(room.taken.load(Ordering::Relaxed), 4);
        idle.sweep(LONGEST, &room, now + SHORTEST);
        assert_eq!(room.taken.load(Ordering::Relaxed), 0);
    }
}
