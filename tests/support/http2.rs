//! A client of HTTP/2: without TLS it knows beforehand that the gateway speaks it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::client::path_of;
use super::{PATIENCE, Request, Response, TlsSettings};

/// One connection of HTTP/2.
pub struct Http2 {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
    connection: tokio::task::JoinHandle<()>,
    public_url: String,
}

async fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

async fn begin<S>(stream: S, window: u32) -> (SendRequest<Bytes>, tokio::task::JoinHandle<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = h2::client::Builder::new().initial_window_size(window).handshake(stream).await.unwrap();
    (sender, tokio::spawn(async move { drop(connection.await) }))
}

/// A request that was begun and not yet answered.
pub struct Stream {
    answer: ResponseFuture,
    sending: SendStream<Bytes>,
    path: Option<String>,
    to_head: bool,
}

impl Http2 {
    /// Connects; a window bounds what the gateway may send on a stream.
    pub(super) fn connect(address: SocketAddr, public_url: &str, window: u32) -> Http2 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (sender, connection) = runtime.block_on(async { begin(tcp(address).await, window).await });
        Http2 { runtime, sender, connection, public_url: public_url.to_owned() }
    }

    /// Connects over TLS, where the gateway has to choose HTTP/2.
    pub(super) fn connect_tls(address: SocketAddr, public_url: &str, settings: &TlsSettings) -> Http2 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (sender, connection) = runtime.block_on(async {
            let connector = tokio_rustls::TlsConnector::from(settings.config());
            let stream = connector.connect(settings.name(), tcp(address).await).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
            begin(stream, 65_535).await
        });
        Http2 { runtime, sender, connection, public_url: public_url.to_owned() }
    }

    /// Sends a whole request and reads the answer.
    pub fn exchange(&mut self, request: &Request) -> Response {
        let mut stream = self.begin(request, request.body.is_empty());
        if !request.body.is_empty() {
            self.data(&mut stream, &request.body, true);
        }
        self.response(stream)
    }

    /// Sends the head of a request.
    pub fn begin(&mut self, request: &Request, end: bool) -> Stream {
        let mut builder = http::Request::builder().method(request.method.as_str());
        let uri = if request.method == "CONNECT" {
            request.target.clone()
        } else if request.target.starts_with('/') {
            format!("http://api.example.com{}", request.target)
        } else {
            request.target.clone()
        };
        builder = builder.uri(uri);
        for (name, value) in &request.headers {
            builder = builder.header(name.as_str(), value.as_slice());
        }
        let message = builder.body(()).unwrap();
        let sender = self.sender.clone();
        let (answer, sending) = self.runtime.block_on(async {
            let mut sender = sender.ready().await.unwrap();
            sender.send_request(message, end).unwrap()
        });
        Stream { answer, sending, path: path_of(&request.target), to_head: request.method == "HEAD" }
    }

    /// Sends a piece of the body as fast as the gateway takes it. A stream that the gateway has
    /// ended already takes nothing more.
    pub fn data(&mut self, stream: &mut Stream, body: &[u8], end: bool) {
        let sending = &mut stream.sending;
        self.runtime.block_on(async {
            let mut rest = Bytes::copy_from_slice(body);
            while !rest.is_empty() {
                sending.reserve_capacity(rest.len());
                let granted = timeout(PATIENCE, std::future::poll_fn(|context| sending.poll_capacity(context)));
                let Some(Ok(granted)) = granted.await.expect("the gateway takes the body or ends the stream") else {
                    return;
                };
                let piece = rest.split_to(granted.min(rest.len()));
                if sending.send_data(piece, end && rest.is_empty()).is_err() {
                    return;
                }
            }
        });
    }

    /// Ends the request with trailers.
    pub fn trailers(&mut self, stream: &mut Stream, name: &'static str, value: &str) {
        let mut trailers = http::HeaderMap::new();
        trailers.insert(name, value.parse().unwrap());
        stream.sending.send_trailers(trailers).unwrap();
    }

    /// Takes the request back.
    pub fn reset(&mut self, mut stream: Stream) {
        stream.sending.send_reset(h2::Reason::CANCEL);
    }

    /// Keeps the connection going until something has happened elsewhere.
    pub fn drive(&mut self, happened: impl Fn() -> bool) {
        let begun = Instant::now();
        self.runtime.block_on(async {
            while !happened() {
                assert!(begun.elapsed() < PATIENCE, "waited in vain");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
    }

    /// Reads the answer, which has to follow the rules of every response.
    pub fn response(&mut self, stream: Stream) -> Response {
        self.response_or_error(stream).expect("an answer")
    }

    /// Reads the answer, unless the stream or the connection ends in an error of HTTP/2.
    pub fn response_or_error(&mut self, stream: Stream) -> Option<Response> {
        let Stream { answer, sending, path, to_head } = stream;
        let (parts, body) = self.runtime.block_on(async {
            let answer = timeout(PATIENCE, answer).await.expect("an answer in time");
            let (parts, mut incoming) = answer.ok()?.into_parts();
            let mut body = Vec::new();
            while let Some(piece) = timeout(PATIENCE, incoming.data()).await.expect("a body in time") {
                let piece = piece.ok()?;
                incoming.flow_control().release_capacity(piece.len()).unwrap();
                body.extend_from_slice(&piece);
            }
            Some((parts, body))
        })?;
        drop(sending);
        let response = Response {
            status: parts.status.as_u16(),
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
                .collect(),
            body,
            public_url: self.public_url.clone(),
            path,
            to_head,
        };
        response.assert_rules();
        Some(response)
    }

    /// Waits for the gateway to end the connection.
    pub fn assert_ends(self) {
        let Http2 { runtime, sender, connection, .. } = self;
        runtime.block_on(async {
            timeout(PATIENCE, connection).await.expect("the end in time").unwrap();
        });
        drop(sender);
    }
}
