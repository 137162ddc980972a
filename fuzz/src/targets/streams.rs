//! Whole connections of HTTP/2: what reaches the backend are requests that the `h2` crate alone understands in the same
//! bytes, each at most once.

use std::cell::OnceCell;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::io::{AsyncRead, ReadBuf};

use super::connections::{clean, is_same};
use crate::connection::Running;
use crate::oracle::Seen;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;

/// An input: frames, each with a kind, flags, a stream and a length of one byte each, and a payload.
pub fn run(mut data: &[u8]) {
    thread_local!(static RUNNING: OnceCell<Running> = const { OnceCell::new() });
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    while let [kind, flags, stream, length, rest @ ..] = data {
        let (payload, after) = rest.split_at(usize::from(*length).min(rest.len()));
        data = after;
        bytes.extend_from_slice(&[0, 0, u8::try_from(payload.len()).unwrap(), *kind, *flags, 0, 0, 0, *stream]);
        bytes.extend_from_slice(payload);
    }
    let mut understood = requests(&bytes);
    let wanted = understood.len();
    let (_, reached) = RUNNING.with(|running| {
        running.get_or_init(|| Running::start(true)).send_and_wait(&bytes, |answers| ended(answers) >= wanted)
    });
    for request in &reached {
        clean(request);
        let place = understood.iter().position(|known| is_same(request, known));
        let place = place.unwrap_or_else(|| panic!("the backend got {request:?}, and h2 understands {understood:?}"));
        understood.swap_remove(place);
    }
}

/// How many streams have ended in what the gateway has sent; all of them with a GOAWAY.
fn ended(mut answers: &[u8]) -> usize {
    let mut ended = 0;
    while let [_, middle, low, kind, flags, _, _, _, _, rest @ ..] = answers {
        match *kind {
            GOAWAY => return usize::MAX,
            RST_STREAM => ended += 1,
            0 | HEADERS if flags & END_STREAM != 0 => ended += 1,
            _ => {}
        }
        answers = rest.get(usize::from(u16::from_be_bytes([*middle, *low]))..).unwrap_or_default();
    }
    ended
}

/// The complete requests that `h2` reads from a connection that stays open behind the bytes.
fn requests(bytes: &[u8]) -> Vec<Seen> {
    let (mut open, mut seen) = (Vec::new(), Vec::new());
    let stream = tokio::io::join(StaysOpen(bytes), tokio::io::sink());
    let Some(Ok(mut connection)) = h2::server::handshake(stream).now_or_never() else { return seen };
    while let Some(Some(Ok((request, respond)))) = connection.accept().now_or_never() {
        open.push((request, respond));
    }
    for (request, _) in &mut open {
        let mut body = Vec::new();
        let is_whole = loop {
            match request.body_mut().data().now_or_never() {
                Some(Some(Ok(piece))) => body.extend_from_slice(&piece),
                Some(Some(Err(_))) | None => break false,
                Some(None) => break true,
            }
        };
        if is_whole {
            let headers = request.headers().iter();
            let headers = headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
            seen.push(Seen {
                method: request.method().to_string(),
                target: request.uri().path_and_query().map_or_else(String::new, ToString::to_string),
                headers: headers.collect(),
                body,
            });
        }
    }
    seen
}

/// Bytes that have come, and nothing else for now.
struct StaysOpen<'b>(&'b [u8]);

impl AsyncRead for StaysOpen<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if self.0.is_empty() {
            return Poll::Pending;
        }
        let (now, later) = self.0.split_at(self.0.len().min(to.remaining()));
        to.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}
