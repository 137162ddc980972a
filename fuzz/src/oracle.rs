//! What hyper understands of bytes, as a server and as a client.

use std::convert::Infallible;
use std::future::Future;
use std::io::Cursor;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// More header lines than the gateway can read.
const MOST_LINES: usize = 256;

/// A request, read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Seen {
    async fn read(request: http::Request<impl hyper::body::Body<Data = Bytes>>) -> Option<Seen> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.ok()?.to_bytes().to_vec();
        let headers = parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
        Some(Seen {
            method: parts.method.to_string(),
            target: parts.uri.path_and_query().map_or_else(|| parts.uri.path().to_owned(), ToString::to_string),
            headers: headers.collect(),
            body,
        })
    }
}

/// A runtime of this thread alone.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs what waits for nothing but itself.
pub fn now<T>(work: impl Future<Output = T>) -> T {
    thread_local!(static RUNTIME: tokio::runtime::Runtime = runtime());
    RUNTIME.with(|runtime| runtime.block_on(work))
}

/// The complete requests that hyper's server reads from a connection, which ends after the bytes.
pub fn requests(bytes: &[u8]) -> Vec<Seen> {
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let stream = tokio::io::join(Cursor::new(bytes.to_vec()), tokio::io::sink());
    now(serve(stream, Arc::clone(&seen)));
    std::mem::take(&mut *seen.lock().unwrap())
}

/// Serves a connection with hyper, and keeps its requests. Each is answered with a small object.
pub async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, seen: Arc<Mutex<Vec<Seen>>>) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            if let Some(request) = Seen::read(request).await {
                seen.lock().unwrap().push(request);
            }
            Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from_static(b"{\"ok\":true}"))))
        }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.half_close(true).max_headers(MOST_LINES);
    // How it ends does not matter: what was read before was read.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

/// What hyper's client reads as the answer to a GET: its status and its whole body.
pub fn response(bytes: &[u8]) -> Result<(u16, Vec<u8>), String> {
    now(async {
        let stream = AfterRequest { bytes: bytes.to_vec(), read: 0, asked: false, waiting: None };
        let mut client = hyper::client::conn::http1::Builder::new();
        client.max_headers(MOST_LINES);
        let (mut sender, connection) =
            client.handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let ask = async {
            let request = http::Request::get("/").header("Host", "a").body(Empty::<Bytes>::new()).unwrap();
            let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
            Ok((status, body.to_bytes().to_vec()))
        };
        let mut connection = std::pin::pin!(connection);
        let mut ask = std::pin::pin!(ask);
        std::future::poll_fn(|context| {
            // The connection may end before its answer was looked at.
            let ended = connection.as_mut().poll(context).is_ready();
            match ask.as_mut().poll(context) {
                Poll::Pending if ended => ask.as_mut().poll(context),
                polled => polled,
            }
        })
        .await
    })
}

/// A backend whose answer is there as soon as something was asked, and which then closes.
struct AfterRequest {
    bytes: Vec<u8>,
    read: usize,
    asked: bool,
    waiting: Option<Waker>,
}

impl AsyncRead for AfterRequest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if !self.asked {
            self.waiting = Some(context.waker().clone());
            return Poll::Pending;
        }
        let rest = &self.bytes[self.read..];
        let taken = rest.len().min(to.remaining());
        to.put_slice(&rest[..taken]);
        self.read += taken;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for AfterRequest {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, from: &[u8]) -> Poll<std::io::Result<usize>> {
        self.asked = true;
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
        Poll::Ready(Ok(from.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
