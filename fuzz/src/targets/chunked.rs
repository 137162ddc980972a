//! The chunked coding: the same body in whatever pieces it comes, which is hyper's body as well, and the next request
//! begins where hyper finds it; and every body that is encoded is decoded.

use tollgate::policy::http::chunked::Decoder;

use crate::{memory, oracle};

/// How far some input leads.
#[derive(Debug, PartialEq, Eq)]
enum Decoded {
    /// The whole body, and the bytes that it took.
    Whole(Vec<u8>, usize),
    /// The body so far.
    Part(Vec<u8>),
    Refused,
}

pub fn run(data: &[u8]) {
    let Some((step, bytes)) = super::step(data) else { return };
    let decoded = decode(bytes, bytes.len().max(1));
    assert_eq!(decode(bytes, step), decoded, "in pieces of {step}");
    if let Decoded::Whole(body, end) = &decoded {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice();
        let seen = oracle::requests(&[head, &bytes[..*end], b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
        assert_eq!(seen.len(), 2, "hyper finds another end");
        assert_eq!((&seen[0].body, seen[1].target.as_str()), (body, "/next"));
    }
    memory::within(0, "decoding", || {
        let _ = Decoder::default().advance(bytes, |_| Ok(()));
    });
    let mut encoded = Vec::new();
    for chunk in bytes.chunks(step) {
        encoded.extend_from_slice(format!("{:x};{:x}\r\n", chunk.len(), step).as_bytes());
        encoded.extend_from_slice(&[chunk, b"\r\n"].concat());
    }
    encoded.extend_from_slice(b"0\r\nA: b\r\n\r\n");
    assert_eq!(decode(&encoded, step), Decoded::Whole(bytes.to_vec(), encoded.len()));
}

fn decode(input: &[u8], step: usize) -> Decoded {
    let (mut decoder, mut body, mut waiting, mut end) = (Decoder::default(), Vec::new(), Vec::new(), 0);
    for piece in input.chunks(step) {
        waiting.extend_from_slice(piece);
        let take = |data: &[u8]| {
            body.extend_from_slice(data);
            Ok(())
        };
        let Ok(used) = decoder.advance(&waiting, take) else { return Decoded::Refused };
        waiting.drain(..used);
        end += used;
        if decoder.is_done() {
            return Decoded::Whole(body, end);
        }
    }
    Decoded::Part(body)
}
