//! A mock backend that behaves as a test specifies, and records every byte that it received.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::PATIENCE;

/// What a sound answer says.
pub const ANSWER: &str = r#"{"result":{"number":"1","phone_type":"Mobile","confidence":"Verified"}}"#;

/// What happens to a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Keep,
    Close,
    /// Break it off so that the other side sees a reset.
    Reset,
}

/// One connection as the backend has seen it.
#[derive(Clone, Debug, Default)]
struct Record {
    /// Every byte that came.
    bytes: Vec<u8>,
    /// The whole requests among them.
    requests: Vec<Vec<u8>>,
    /// The gateway has closed the connection.
    closed: bool,
}

#[derive(Default)]
struct Log {
    records: Mutex<Vec<Record>>,
    /// The whole request that came last, on whichever connection.
    last: Mutex<Vec<u8>>,
    changed: Condvar,
}

impl Log {
    fn note(&self, connection: usize, change: impl FnOnce(&mut Record)) {
        change(&mut self.records.lock().unwrap()[connection]);
        self.changed.notify_all();
    }
}

/// A backend on a free port.
pub struct Backend {
    address: SocketAddr,
    log: Arc<Log>,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Backend {
    /// Calls `behave` with each whole request.
    pub fn start(behave: impl Fn(&mut Peer, &[u8]) -> After + Send + Sync + 'static) -> Backend {
        Backend::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), behave)
    }

    /// Listens at an address, and calls `behave` with each whole request.
    pub fn start_at(
        address: SocketAddr,
        behave: impl Fn(&mut Peer, &[u8]) -> After + Send + Sync + 'static,
    ) -> Backend {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let stop = Arc::new(AtomicBool::new(false));
        let behave = Arc::new(behave);
        let acceptor = {
            let (log, stop) = (Arc::clone(&log), Arc::clone(&stop));
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    let connection = {
                        let mut records = log.records.lock().unwrap();
                        records.push(Record::default());
                        records.len() - 1
                    };
                    let (log, behave) = (Arc::clone(&log), Arc::clone(&behave));
                    std::thread::spawn(move || serve(stream, connection, log, &*behave));
                }
            })
        };
        Backend { address, log, stop, acceptor: Some(acceptor) }
    }

    /// A backend that gives every request a sound answer.
    pub fn answering_json() -> Backend {
        Backend::start(|peer, _| peer.answer(ANSWER))
    }

    /// A sound answer that is longer by so many bytes.
    pub fn long_answer(bytes: usize) -> String {
        format!(r#"{{"result":{{"number":"1"}},"filler":"{}"}}"#, "a".repeat(bytes))
    }

    /// A backend whose answers are longer by so many bytes.
    pub fn answering_at_length(bytes: usize) -> Backend {
        let long = Backend::long_answer(bytes);
        Backend::start(move |peer, _| peer.answer(&long))
    }

    /// A backend that gives one request a sound answer each time the sender is used.
    pub fn answering_when_told() -> (Sender<()>, Backend) {
        let (release, released) = channel();
        let released = Mutex::new(released);
        let backend = Backend::start(move |peer, _| {
            released.lock().unwrap().recv().unwrap();
            peer.answer(ANSWER)
        });
        (release, backend)
    }

    /// A backend that gives every request a sound answer, and ends connections that have been idle for so
    /// long: at the very moment when a client may send another request.
    pub fn ending_idle(idle: Duration, after: After) -> Backend {
        Backend::start(move |peer, _| {
            peer.stream.set_read_timeout(Some(idle)).unwrap();
            peer.at_the_end = after;
            peer.answer(ANSWER)
        })
    }

    /// A backend that reads and says nothing until the gateway gives up.
    pub fn silent() -> Backend {
        Backend::start(|peer, _| peer.wait_for_close())
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The whole requests that came, of all connections.
    pub fn requests(&self) -> Vec<Vec<u8>> {
        let records = self.log.records.lock().unwrap();
        records.iter().flat_map(|record| record.requests.clone()).collect()
    }

    /// The whole request that came last.
    pub fn last_request(&self) -> Vec<u8> {
        self.log.last.lock().unwrap().clone()
    }

    /// Whether the gateway has closed every connection.
    pub fn all_closed(&self) -> bool {
        self.log.records.lock().unwrap().iter().all(|record| record.closed)
    }

    /// How many times this text reached the backend.
    pub fn count(&self, text: &str) -> usize {
        let records = self.log.records.lock().unwrap();
        records.iter().map(|record| String::from_utf8_lossy(&record.bytes).matches(text).count()).sum()
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.log.records.lock().unwrap().len()
    }

    /// Waits until so many whole requests have come.
    pub fn wait_for_requests(&self, count: usize) {
        self.wait("requests", |records| records.iter().map(|record| record.requests.len()).sum::<usize>() >= count);
    }

    /// Waits until the gateway has closed every connection.
    pub fn wait_for_closes(&self) {
        self.wait("closes", |records| records.iter().all(|record| record.closed));
    }

    fn wait(&self, what: &str, done: impl Fn(&[Record]) -> bool) {
        let records = self.log.records.lock().unwrap();
        let (records, _) = self.log.changed.wait_timeout_while(records, PATIENCE, |records| !done(records)).unwrap();
        assert!(done(&records), "the backend has waited in vain for {what}");
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The acceptor looks at the flag with the next connection.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn serve(stream: TcpStream, connection: usize, log: Arc<Log>, behave: &dyn Fn(&mut Peer, &[u8]) -> After) {
    stream.set_nodelay(true).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut peer = Peer { stream, input: Vec::new(), connection, log, at_the_end: After::Close };
    while let Some(request) = peer.read_request() {
        match behave(&mut peer, &request) {
            After::Keep => {}
            After::Close => return,
            After::Reset => return peer.reset(),
        }
    }
    if peer.at_the_end == After::Reset {
        peer.reset();
    }
}

/// The backend's side of one connection.
pub struct Peer {
    stream: TcpStream,
    input: Vec<u8>,
    connection: usize,
    log: Arc<Log>,
    /// What becomes of the connection when no further request comes in time.
    at_the_end: After,
}

impl Peer {
    /// Sends bytes; false if the gateway takes no more.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends a sound 200 with this body.
    pub fn answer(&mut self, body: &str) -> After {
        self.answer_with("200 OK", "", body.as_bytes())
    }

    /// Sends an answer with a sound Content-Length; `headers` are whole lines.
    pub fn answer_with(&mut self, status: &str, headers: &str, body: &[u8]) -> After {
        let kind = if headers.contains("Content-Type:") { "" } else { "Content-Type: application/json\r\n" };
        let mut bytes =
            format!("HTTP/1.1 {status}\r\n{kind}{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        self.send(bytes);
        After::Keep
    }

    /// Sends nothing until the gateway disconnects.
    pub fn wait_for_close(&mut self) -> After {
        while self.read() {}
        After::Close
    }

    fn read_request(&mut self) -> Option<Vec<u8>> {
        let end = loop {
            if let Some(at) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.read() {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&self.input[..end]).to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse::<usize>().unwrap());
        while self.input.len() < end + length {
            if !self.read() {
                return None;
            }
        }
        let request: Vec<u8> = self.input.drain(..end + length).collect();
        self.log.last.lock().unwrap().clone_from(&request);
        self.log.note(self.connection, |record| record.requests.push(request.clone()));
        Some(request)
    }

    fn read(&mut self) -> bool {
        let mut buffer = [0; 16_384];
        // A gateway that is gone without a close has been killed.
        let count = self.stream.read(&mut buffer).unwrap_or(0);
        self.input.extend_from_slice(&buffer[..count]);
        self.log.note(self.connection, |record| {
            record.bytes.extend_from_slice(&buffer[..count]);
            record.closed = count == 0;
        });
        count > 0
    }

    fn reset(self) {
        // The standard library cannot ask for a reset yet; the runtime's socket can.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _entered = runtime.enter();
        self.stream.set_nonblocking(true).unwrap();
        let stream = tokio::net::TcpStream::from_std(self.stream).unwrap();
        stream.set_zero_linger().unwrap();
    }
}

/// The pause between two bytes of a backend that drips.
pub const DRIP: Duration = Duration::from_millis(50);
