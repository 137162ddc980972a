//! Finds out whether the kernel can prove that a request was not processed, after the backend closed the connection
//! over which it was sent.
//!
//! A backend that closes idle connections can close one at the moment when a request is on its way. The proof needs
//! three facts together, which Linux reports (tcp(7), `TCP_INFO`):
//!
//! 1. The backend has closed its side (a FIN, which reads as the end of the stream), and nothing of an
//!    answer came before it.
//! 2. No byte of the request was ever acknowledged. Every segment acknowledges all that has arrived,
//!    and so the FIN says that the close came before the request.
//! 3. The request was answered by a reset: the socket was already closed, or it was closed with unread bytes of the
//!    request.
//!
//! A reset alone proves nothing: an application can read a request, act on it, and abort the connection before its
//! kernel has acknowledged a byte, which looks the same from here. Neither does a FIN that acknowledges. Such requests
//! are not sent again (RFC 9110, section 9.2.2).

use std::time::Duration;

use pingora_core::protocols::Stream;
use pingora_core::protocols::l4::ext::TCP_INFO;

/// States of a connection, with Linux's numbers.
const TCP_CLOSE: u8 = 7;
const TCP_CLOSE_WAIT: u8 = 8;

/// The first pause while waiting for the reset after the end of the stream; pauses double. The request has to reach the
/// backend, and the reset has to come back.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const PAUSES: u32 = 7;

/// What is known so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Unprocessed,
    /// The reset, or an acknowledgement, may still come.
    NotYet,
    /// It may have been processed.
    Nothing,
}

/// Whether the bytes last written on a connection cannot have been processed; the end of the connection was read since.
/// The caller's deadline limits the time.
pub async fn is_unprocessed(stream: &Stream, written: usize) -> bool {
    let mut pause = FIRST_PAUSE;
    for _ in 0..PAUSES {
        let Some(info) = stream.get_socket_digest().and_then(|digest| digest.tcp_info()) else { return false };
        match known(&info, written) {
            Known::Unprocessed => return true,
            Known::Nothing => return false,
            Known::NotYet => {}
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2);
    }
    false
}

fn known(info: &TCP_INFO, written: usize) -> Known {
    // The acknowledged bytes include the SYN. A kernel before 4.18 does not report what was sent, so nothing is ever
    // proved there.
    let sent = info.tcpi_bytes_sent.saturating_sub(info.tcpi_bytes_retrans);
    let unacknowledged = sent.saturating_sub(info.tcpi_bytes_acked.saturating_sub(1));
    // With TLS, more bytes than these were sent, and all of them count.
    if u64::try_from(written).is_ok_and(|written| unacknowledged < written) {
        return Known::Nothing;
    }
    match info.tcpi_state {
        TCP_CLOSE => Known::Unprocessed,
        TCP_CLOSE_WAIT => Known::NotYet,
        _ => Known::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{Ipv4Addr, Shutdown, TcpListener};
    use std::os::fd::AsRawFd;
    use std::time::Instant;

    use pingora_core::protocols::l4::stream::Stream as Inner;
    use pingora_core::protocols::{GetSocketDigest, SocketDigest};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const REQUEST: &[u8] = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";

    /// What a backend does with an idle connection, before the next request is written and after it.
    struct Backend {
        name: &'static str,
        before: fn(&std::net::TcpStream),
        after: fn(std::net::TcpStream),
        closes_before: bool,
        is_unprocessed: bool,
    }

    fn abort(stream: std::net::TcpStream) {
        stream.set_nonblocking(true).unwrap();
        tokio::net::TcpStream::from_std(stream).unwrap().set_zero_linger().unwrap();
    }

    fn read_request(mut stream: &std::net::TcpStream) {
        stream.read_exact(&mut [0; REQUEST.len()]).unwrap();
    }

    const BACKENDS: [Backend; 5] = [
        Backend {
            name: "closed before the request, without a word",
            before: |_| {},
            after: drop,
            closes_before: true,
            is_unprocessed: true,
        },
        Backend {
            name: "closed its side, read the request, and ended",
            before: |stream| stream.shutdown(Shutdown::Write).unwrap(),
            after: |stream| read_request(&stream),
            closes_before: false,
            is_unprocessed: false,
        },
        Backend {
            name: "read the request and closed",
            before: |_| {},
            after: |stream| read_request(&stream),
            closes_before: false,
            is_unprocessed: false,
        },
        Backend {
            name: "read the request and broke off",
            before: |_| {},
            after: |stream| {
                read_request(&stream);
                abort(stream);
            },
            closes_before: false,
            is_unprocessed: false,
        },
        Backend {
            name: "left the request unread and closed",
            before: |_| {},
            after: drop,
            closes_before: false,
            is_unprocessed: false,
        },
    ];

    #[tokio::test]
    async fn only_what_was_never_acknowledged_by_a_closed_backend_is_unprocessed() {
        for backend in BACKENDS {
            let (name, expected) = (backend.name, backend.is_unprocessed);
            let mut stream = sent_to(backend).await;
            let ended = matches!(stream.read(&mut [0; 1]).await, Ok(0));
            let begun = Instant::now();
            let found = ended && super::is_unprocessed(&stream, REQUEST.len()).await;
            assert_eq!(found, expected, "{name}, ended {ended}");
            assert!(begun.elapsed() < Duration::from_secs(5));
        }
    }

    /// A connection that has served a request before, on which a backend got the next one.
    async fn sent_to(Backend { name, before, after, closes_before, .. }: Backend) -> Stream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().unwrap();
        // The previous request does not matter.
        client.write_all(b"before").await.unwrap();
        server.read_exact(&mut [0; 6]).unwrap();
        std::io::Write::write_all(&mut server, b"answer").unwrap();
        client.read_exact(&mut [0; 6]).await.unwrap();
        let descriptor = client.as_raw_fd();
        let mut inner = Inner::from(client);
        inner.set_socket_digest(SocketDigest::from_raw_fd(descriptor));
        let mut stream: Stream = Box::new(inner);

        before(&server);
        let mut server = Some(server);
        if closes_before {
            after(server.take().unwrap());
        }
        let written = stream.write_all(REQUEST).await;
        let _ = stream.flush().await;
        assert!(written.is_ok(), "{name}");
        if let Some(server) = server {
            after(server);
        }
        stream
    }
}
