//! Answers of backends: the same in whatever pieces they come; and what is taken for a 200 hyper's client takes for one,
//! with the same body.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tollgate::policy::answers::Answers;
use tollgate::upstream::response::Incoming;

use crate::{memory, oracle};

/// The most bytes of a body here.
const LIMIT: usize = 4096;

/// What an answer may take: a buffer that grows by doubling, the body that is copied out of chunks, and what it is read by.
const MEMORY: usize = 4 * (LIMIT + 8192) + 16 * 1024;

/// Bytes that arrive in pieces, and then the end.
struct Pieces<'b> {
    bytes: &'b [u8],
    step: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let (now, later) = self.bytes.split_at(self.step.min(self.bytes.len()).min(to.remaining()));
        to.put_slice(now);
        self.bytes = later;
        Poll::Ready(Ok(()))
    }
}

pub fn run(data: &[u8]) {
    let Some((step, bytes)) = super::step(data) else { return };
    let whole = read(bytes, usize::MAX);
    assert_eq!(read(bytes, step), whole, "in pieces of {step}");
    if let Ok((200, body)) = whole {
        assert_eq!(oracle::response(bytes), Ok((200, body)));
    }
}

/// The status and the body, or that there is none.
fn read(bytes: &[u8], step: usize) -> Result<(u16, Vec<u8>), &'static str> {
    let mut pieces = Pieces { bytes, step };
    memory::within(MEMORY, "an answer", || {
        oracle::now(async {
            let mut incoming = Incoming::new(&mut pieces, Vec::new());
            let head = incoming.head(&Answers::default()).await.map_err(|problem| problem.reason)?;
            // The body of no other status is read.
            if head.status != 200 {
                return Ok((head.status, Vec::new()));
            }
            let (body, _) = incoming.body(&head, LIMIT).await.map_err(|_| "too large or broken")?;
            Ok((head.status, body.to_vec()))
        })
    })
}
