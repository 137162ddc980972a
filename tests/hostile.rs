//! A thousand slow clients of each kind at a time, and too few file descriptors: nobody is held
//! longer than allowed, good clients are answered meanwhile, and the program goes on by itself.
//!
//! A binary of its own, since its load would be in the way of tests that look at the clock. Its
//! tests take turns for the same reason. Floods of HTTP/2 are `tests/hostile/floods.py`.
#![allow(dead_code, unused_imports)] // Each binary uses a part of what tests share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::needless_borrows_for_generic_args
)]

mod support;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use support::{ANSWER, Backend, Configuration, Gateway, PATIENCE, Request, VERSIONS, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Slow clients at a time.
const SLOW: usize = 1000;

/// The allowances of these tests: long enough for a busy machine to open all connections in.
const ALLOWANCE: Duration = Duration::from_secs(2);

/// How much later than its allowance a client may be let go.
const SLACK: Duration = Duration::from_secs(1);

/// What the client itself may need to notice, when a thousand others notice at the same time.
const NOTICE: Duration = Duration::from_secs(2);

/// The tests of this file run one after the other.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What slow clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slow {
    Head,
    Body,
    Reader,
}

fn gateway(backend: &Backend) -> Gateway {
    let mut configuration = Configuration::new(backend.address());
    for name in ["head_timeout", "body_timeout", "idle_timeout", "write_timeout"] {
        configuration = configuration.limit(name, "2s");
    }
    Gateway::start(&configuration.yaml())
}

async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // The kernel doubles this; the gateway's side has to wait for the client all the same.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

/// Waits until the gateway has ended a connection, reading what it says.
async fn ended(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
}

/// Waits until the gateway has ended a connection, without reading from it.
async fn broken(stream: &mut TcpStream) {
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        match stream.try_write(b"\0") {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// How long the gateway keeps a slow client: from its connection, or for a reader from its answer's
/// first byte, since a backend needs a time of its own for a thousand of them.
async fn slow_http1(address: SocketAddr, slow: Slow) -> Duration {
    let mut stream = connect(address).await;
    let request = Request::lookup("live").bytes();
    let mut begun = Instant::now();
    match slow {
        Slow::Head => stream.write_all(&request[..60]).await.unwrap(),
        Slow::Body => stream.write_all(&request[..request.len() - 3]).await.unwrap(),
        Slow::Reader => {
            stream.write_all(&request).await.unwrap();
            let _ = stream.peek(&mut [0]).await;
            begun = Instant::now();
            broken(&mut stream).await;
        }
    }
    ended(&mut stream).await;
    begun.elapsed()
}

async fn slow_http2(address: SocketAddr, slow: Slow) -> Duration {
    let stream = connect(address).await;
    let mut begun = Instant::now();
    if slow == Slow::Head {
        let mut stream = stream;
        // The beginning of a connection, and that of a frame with a head.
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x40\x01\x04\0\0\0\x01\x82")
            .await
            .unwrap();
        ended(&mut stream).await;
        return begun.elapsed();
    }
    let window = if slow == Slow::Reader { 0 } else { 65_535 };
    let (mut sender, connection) =
        h2::client::Builder::new().initial_window_size(window).handshake::<_, Bytes>(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut head = http::Request::builder().method("POST").uri("http://api.example.com/phone/validate/v2");
    let request = Request::lookup("live");
    for (name, value) in &request.headers {
        head = head.header(name, &value[..]);
    }
    let (answer, mut sending) = sender.send_request(head.body(()).unwrap(), false).unwrap();
    let all = slow == Slow::Reader;
    let part = if all { request.body.len() } else { 3 };
    sending.send_data(Bytes::copy_from_slice(&request.body[..part]), all).unwrap();
    let answer = answer.await.unwrap();
    if all {
        begun = Instant::now();
        let mut body = answer.into_body();
        // The window stays shut, so that this ends with the stream.
        assert!(body.data().await.is_none_or(|piece| piece.is_err()));
    } else {
        assert_eq!(answer.status(), 408);
    }
    let taken = begun.elapsed();
    connection.abort();
    taken
}

/// Good lookups for as long as something else runs: how many, and the slowest.
fn good_while(gateway: &Gateway, done: &std::sync::atomic::AtomicBool) -> (usize, Duration) {
    let (mut count, mut slowest) = (0, Duration::ZERO);
    while !done.load(std::sync::atomic::Ordering::Relaxed) {
        for version in VERSIONS {
            let begun = Instant::now();
            // The other product's token, whose answers are short.
            let request = Request::lookup("other").target("/email/validate/v2").body(r#"{"email":"a@example.com"}"#);
            gateway.send(version, &request).assert_success();
            (count, slowest) = (count + 1, slowest.max(begun.elapsed()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    (count, slowest)
}

/// A backend whose answers for the slow are larger than what the kernel takes for a client.
fn backend() -> Backend {
    let long = Backend::long_answer(900_000);
    Backend::start(move |peer, request| {
        let short = request.starts_with(b"POST /email/");
        peer.answer(if short { ANSWER } else { &long })
    })
}

fn a_thousand(version: Version, slow: Slow) {
    let _turn = turn();
    rlimit::increase_nofile_limit(16_384).unwrap();
    let backend = backend();
    let gateway = gateway(&backend);
    let address = gateway.address();
    let done = std::sync::atomic::AtomicBool::new(false);
    let (taken, good) = std::thread::scope(|scope| {
        let good = scope.spawn(|| good_while(&gateway, &done));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let taken = runtime.block_on(async {
            let clients: Vec<_> = (0..SLOW)
                .map(|_| {
                    tokio::spawn(async move {
                        match version {
                            Version::Http1 => slow_http1(address, slow).await,
                            Version::Http2 => slow_http2(address, slow).await,
                        }
                    })
                })
                .collect();
            let mut taken = Vec::new();
            for client in clients {
                taken.push(tokio::time::timeout(4 * PATIENCE, client).await.expect("a client is held").unwrap());
            }
            taken
        });
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        (taken, good.join().unwrap())
    });
    let longest = taken.iter().max().unwrap();
    println!("{version:?} {slow:?}: longest {longest:?}, good {good:?}");
    assert!(*longest <= ALLOWANCE + SLACK + NOTICE, "held for {longest:?}");
    assert!(good.0 > 5 && good.1 < PATIENCE, "good clients: {good:?}");
}

#[test]
fn a_thousand_slow_heads() {
    VERSIONS.into_iter().for_each(|version| a_thousand(version, Slow::Head));
}

#[test]
fn a_thousand_slow_bodies() {
    VERSIONS.into_iter().for_each(|version| a_thousand(version, Slow::Body));
}

#[test]
fn a_thousand_slow_readers() {
    VERSIONS.into_iter().for_each(|version| a_thousand(version, Slow::Reader));
}

/// Bounds the file descriptors of a running program.
fn bound_descriptors(process: u32, soft: u64) {
    let limit = format!("--nofile={soft}:");
    let status = Command::new("prlimit").args(["--pid", &process.to_string(), &limit]).status().unwrap();
    assert!(status.success());
}

/// The processor time of a process so far.
fn processor_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // User and system time, in hundredths of a second on every Linux that matters.
    Duration::from_millis(10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()))
}

#[test]
fn without_descriptors_it_waits_and_goes_on_when_there_are_some() {
    let _turn = turn();
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).limit("head_timeout", "5s").yaml());
    gateway.send(Version::Http1, &Request::lookup("live")).assert_success();
    let open = std::fs::read_dir(format!("/proc/{}/fd", gateway.process())).unwrap().count() as u64;
    bound_descriptors(gateway.process(), open + 20);
    let before = processor_time(gateway.process());
    let begun = Instant::now();
    let held: Vec<_> = (0..100).map(|_| std::net::TcpStream::connect(gateway.address()).unwrap()).collect();
    std::thread::sleep(Duration::from_secs(4));
    let (seconds, used) = (begun.elapsed().as_secs() as usize, processor_time(gateway.process()) - before);
    let lines = gateway.output().matches("Accept() failed").count();
    println!("{lines} lines in {seconds} s, {used:?} of processor time");
    assert!((1..=seconds + 2).contains(&lines), "{lines} lines in {seconds} s");
    assert!(used < Duration::from_secs(1), "it spins: {used:?}");
    drop(held);
    let begun = Instant::now();
    gateway.send(Version::Http1, &Request::lookup("live")).assert_success();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn too_few_descriptors_for_the_limits_are_shared_out_and_further_clients_are_refused() {
    let _turn = turn();
    let backend = Backend::answering_json();
    let yaml = Configuration::new(backend.address()).yaml();
    let gateway = Gateway::start_under(&["prlimit", "--nofile=400:400"], &yaml);
    // The line comes by another pipe than the one that says that clients can connect.
    gateway.wait_for_output("400 file descriptors");
    let request = Request::lookup("live");
    let held: Vec<_> = (0..150)
        .map(|_| {
            let mut client = gateway.connect();
            client.request(&request);
            client
        })
        .map(|mut client| {
            let refused = client.response().status() != 200;
            (client, refused)
        })
        .collect();
    let refused = held.iter().filter(|(_, refused)| *refused).count();
    println!("{refused} of {} were refused", held.len());
    assert!((1..150).contains(&refused));
    let response = gateway.send(Version::Http1, &request);
    response.assert_problem("overloaded");
    assert!(!gateway.output().contains("Accept() failed"), "{}", gateway.output());
    drop(held);
    support::until("the gateway to serve again", || gateway.send(Version::Http1, &request).status() == 200);
}

#[test]
fn silent_connections_to_the_admin_listener_take_nothing_from_clients() {
    const SILENT: usize = 900;
    let _turn = turn();
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let backend = Backend::answering_json();
    let yaml = Configuration::new(backend.address()).yaml();
    // Too few descriptors for all of them.
    let gateway = Gateway::start_under(&["prlimit", "--nofile=800"], &yaml);
    let address = gateway.admin();
    let silent: Vec<std::net::TcpStream> =
        (0..SILENT).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let since = Instant::now();
    let mut longest = Duration::ZERO;
    while since.elapsed() < Duration::from_secs(2) {
        let begun = Instant::now();
        gateway.send(Version::Http1, &Request::lookup("live")).assert_success();
        longest = longest.max(begun.elapsed());
    }
    assert!(longest < Duration::from_secs(1), "a client waited for {longest:?}");
    // Operators are served as well, and see that most descriptors are free.
    assert_eq!(gateway.ask_admin("GET", "/healthz", &[], "").0, 200);
    let open: u64 = gateway.metric("process_open_fds");
    assert!(open < 400, "{open} descriptors");
    drop(silent);
}
