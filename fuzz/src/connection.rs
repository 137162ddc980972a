//! A whole gateway in this process, and a backend behind it, which is hyper's server and keeps what reaches it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tollgate::config::{self, Config, Source};
use tollgate::downstream::listener::{At, Listener};
use tollgate::downstream::serve;
use tollgate::gateway::Gateway;
use tollgate::ledger::opening;
use tollgate::platform::descriptors::Descriptors;
use tollgate::policy::account::Digest;
use tollgate::policy::page::ListenerScope;
use tollgate::telemetry::Telemetry;

use crate::oracle::{self, Seen};

/// What a client has to send to be let in.
pub const TOKEN: &str = "t";

/// Longer than any connection may take whose client has closed its side.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long answers are waited for that a client's windows may hold back.
const MOMENT: Duration = Duration::from_millis(50);

/// A gateway that serves connections one after the other.
pub struct Running {
    runtime: tokio::runtime::Runtime,
    gateway: Arc<Gateway>,
    listener: Listener,
    reached: Arc<Mutex<Vec<Seen>>>,
}

impl Running {
    /// Starts a gateway. Over a listener with `h2c` clients may speak HTTP/2 at once.
    pub fn start(h2c: bool) -> Running {
        let runtime = oracle::runtime();
        let reached: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let backend = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = backend.local_addr().unwrap().port();
        let kept = Arc::clone(&reached);
        runtime.spawn(async move {
            loop {
                let (stream, _) = backend.accept().await.unwrap();
                tokio::spawn(oracle::serve(stream, Arc::clone(&kept)));
            }
        });
        let digest = Digest::of(TOKEN.as_bytes()).text();
        let text = format!(
            "listen: 127.0.0.1:1\nadmin: 127.0.0.1:2\nworkers: 1\npublic_url: http://127.0.0.1\n\
             upstreams: {{ backend: {{ servers: [127.0.0.1:{port}], host: backend.example }} }}\n\
             products:\n  with:\n    upstream: backend\n    token_headers: [Auth-Token]\n    \
             routes: [POST /lookup, POST /hidden]\n    body: {{ max: 4KiB }}\n  \
             without:\n    upstream: backend\n    token_headers: [Auth-Token]\n    routes: [GET /plain]\n\
             accounts:\n  tests:\n    rate: {{ unlimited: true }}\n    \
             tokens: [{{ name: t, hash: \"{digest}\", products: [with, without] }}]\n"
        );
        let Config { policy, settings, .. } = config::parse("fuzz.yaml", &text, &Source::Embedded(&[])).unwrap();
        let (policy, started) = (Arc::new(policy), Instant::now());
        let ledger = opening::start(None, &policy, started, None);
        let (descriptors, telemetry) = (Descriptors::claim().unwrap(), Arc::new(Telemetry::default()));
        let gateway = Arc::new(Gateway::new(policy, settings, ledger, telemetry, descriptors, started));
        let at = At::Unix { path: "/nowhere".into(), mode: 0o600 };
        let listener = Listener { at, h2c, tls: None, proxies: None, serves: ListenerScope::All };
        Running { runtime, gateway, listener, reached }
    }

    /// Sends bytes over a connection of their own, waits for a moment until what has come is enough, closes the client's
    /// side and reads to the end; returns the same as [`Running::send`].
    pub fn send_and_wait(&self, bytes: &[u8], is_enough: impl Fn(&[u8]) -> bool) -> (Vec<u8>, Vec<Seen>) {
        self.talk(bytes, async |client: &mut DuplexStream, answers: &mut Vec<u8>| {
            let wait =
                async { while !is_enough(answers) && client.read_buf(answers).await.is_ok_and(|read| read > 0) {} };
            let _ = tokio::time::timeout(MOMENT, wait).await;
        })
    }

    /// Sends bytes over a connection of their own, closes the client's side and reads to the end; returns what the
    /// client has got and what has reached the backend.
    pub fn send(&self, bytes: &[u8]) -> (Vec<u8>, Vec<Seen>) {
        self.talk(bytes, async |_: &mut DuplexStream, _: &mut Vec<u8>| {})
    }

    fn talk(
        &self,
        bytes: &[u8],
        before_the_end: impl AsyncFnOnce(&mut DuplexStream, &mut Vec<u8>),
    ) -> (Vec<u8>, Vec<Seen>) {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let (_running, shutdown) = tokio::sync::watch::channel(false);
        let mut answers = Vec::new();
        let talk = async {
            let _ = client.write_all(bytes).await;
            before_the_end(&mut client, &mut answers).await;
            let _ = client.shutdown().await;
            let _ = client.read_to_end(&mut answers).await;
        };
        let served = serve::serve(&self.gateway, Box::new(server), &self.listener, &shutdown);
        self.runtime.block_on(async {
            let both = async { tokio::join!(served, talk) };
            tokio::time::timeout(PATIENCE, both).await.expect("a connection whose client has closed its side ends");
        });
        (answers, std::mem::take(&mut *self.reached.lock().unwrap()))
    }
}
