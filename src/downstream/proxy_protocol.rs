//! The PROXY protocol, versions 1 and 2: a proxy states the client's address at the start of a
//! connection.
//!
//! The end of the header is found here, so that not a byte after it is consumed; the `proxy-header`
//! crate parses its content. Which peers may send it, and its time limit, are in `accept.rs`.

use std::net::IpAddr;

use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The start of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The start of version 1.
const GREETING: &[u8] = b"PROXY ";

/// The most bytes of a header of version 1, which is one line.
const MAX_LINE_BYTES: usize = 107;

/// The bytes of version 2 up to and including the length of the rest.
const FIXED_BYTES: usize = 16;

/// The most bytes of the rest: addresses and further information about the connection.
const MAX_REST_BYTES: usize = 4096;

/// The read buffer in bytes, so that a line costs few system calls. What is read beyond the header
/// stays with the connection.
pub const READ_BUFFER_BYTES: usize = 4096;

/// Why there is no valid header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstated {
    /// The connection ended before the header did.
    Ended,
    Malformed,
}

/// Reads a header: the client's address, or `None` if the connection is the proxy's own, such as a
/// health check.
///
/// # Errors
/// There is no valid header.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<IpAddr>, Unstated> {
    // The shortest header has fifteen bytes.
    let mut header = vec![0; SIGNATURE.len()];
    stream.read_exact(&mut header).await.map_err(|_| Unstated::Ended)?;
    if header == SIGNATURE {
        header.resize(FIXED_BYTES, 0);
        let fixed = header.get_mut(SIGNATURE.len()..).unwrap_or_default();
        stream.read_exact(fixed).await.map_err(|_| Unstated::Ended)?;
        let &[.., high, low] = header.as_slice() else { return Err(Unstated::Malformed) };
        let rest = usize::from(u16::from_be_bytes([high, low]));
        if rest > MAX_REST_BYTES {
            return Err(Unstated::Malformed);
        }
        header.resize(FIXED_BYTES + rest, 0);
        let rest = header.get_mut(FIXED_BYTES..).unwrap_or_default();
        stream.read_exact(rest).await.map_err(|_| Unstated::Ended)?;
    } else if header.starts_with(GREETING) {
        while !header.ends_with(b"\n") {
            if header.len() == MAX_LINE_BYTES {
                return Err(Unstated::Malformed);
            }
            header.push(stream.read_u8().await.map_err(|_| Unstated::Ended)?);
        }
    } else {
        return Err(Unstated::Malformed);
    }
    parse(&header)
}

fn parse(header: &[u8]) -> Result<Option<IpAddr>, Unstated> {
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    match ProxyHeader::parse(header, config) {
        Ok((parsed, length)) if length == header.len() => match parsed.proxied_address() {
            None => Ok(None),
            Some(stated) if stated.protocol == Protocol::Stream => Ok(Some(stated.source.ip())),
            Some(_) => Err(Unstated::Malformed),
        },
        Ok(_) | Err(_) => Err(Unstated::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of version 2 from its command, its family and what follows its length.
    fn second(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE, [command, family].as_slice(), &length, rest].concat()
    }

    fn read_now(bytes: &[u8]) -> (Result<Option<IpAddr>, Unstated>, usize) {
        let mut left = bytes;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let read = runtime.block_on(read(&mut left));
        (read, left.len())
    }

    #[test]
    fn headers_state_the_address_of_a_client() {
        let four = [203, 0, 113, 7, 10, 0, 0, 1, 0xc0, 0, 0, 80];
        let six = [[0x20, 1, 0x0d, 0xb8].as_slice(), &[0; 11], &[1], &[0; 16], &[0xc0, 0, 0, 80]].concat();
        let with_more = [four.as_slice(), &[4, 0, 3, 0, 0, 0]].concat();
        let v4 = Some("203.0.113.7".parse().unwrap());
        let v6 = Some("2001:db8::1".parse().unwrap());
        for (header, expected) in [
            (b"PROXY TCP4 203.0.113.7 10.0.0.1 49152 80\r\n".to_vec(), Ok(v4)),
            (b"PROXY TCP6 2001:db8::1 2001:db8::2 49152 80\r\n".to_vec(), Ok(v6)),
            (b"PROXY UNKNOWN\r\n".to_vec(), Ok(None)),
            (b"PROXY UNKNOWN ffff::1 ffff::1 1 2\r\n".to_vec(), Ok(None)),
            (second(0x21, 0x11, &four), Ok(v4)),
            (second(0x21, 0x21, &six), Ok(v6)),
            (second(0x21, 0x11, &with_more), Ok(v4)),
            (second(0x20, 0x11, &four), Ok(None)),
            (second(0x20, 0x00, &[]), Ok(None)),
            (second(0x21, 0x31, &[0; 216]), Ok(None)),
        ] {
            let (read, left) = read_now(&[&header, b"GET / HTTP/1.1".as_slice()].concat());
            assert_eq!(read, expected, "{}", header.escape_ascii());
            assert_eq!(left, 14, "{}", header.escape_ascii());
            for end in 0..header.len() {
                let cut = read_now(&header[..end]).0;
                assert_eq!(cut, Err(Unstated::Ended), "{}", header[..end].escape_ascii());
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_taken_beyond_the_header(
            start in 0..4_usize,
            mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        ) {
            let starts = [b"".as_slice(), b"PROXY ", b"PROXY TCP4 1.2.3.4 ", &SIGNATURE];
            bytes.splice(0..0, starts[start].iter().copied());
            let (read, left) = read_now(&bytes);
            if read.is_ok() {
                let header = &bytes[..bytes.len() - left];
                proptest::prop_assert!(header.ends_with(b"\r\n") || header.starts_with(&SIGNATURE));
                proptest::prop_assert_eq!(read_now(header), (read, 0));
            }
        }
    }

    #[test]
    fn what_is_no_header_states_nothing() {
        let four = [203, 0, 113, 7, 10, 0, 0, 1, 0xc0, 0, 0, 80];
        let long = format!("PROXY TCP4 {}\r\n", "1".repeat(200)).into_bytes();
        for bytes in [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00".to_vec(),
            b"PROXYxTCP4 203.0.113.7 10.0.0.1 49152 80\r\n".to_vec(),
            b"proxy TCP4 203.0.113.7 10.0.0.1 49152 80\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.7 10.0.0.1 49152 80\n".to_vec(),
            b"PROXY TCP4 203.0.113.7 10.0.0.1 49152\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::1 10.0.0.1 49152 80\r\n".to_vec(),
            b"PROXY TCP4 0203.0.113.7 10.0.0.1 49152 80\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.7 10.0.0.1 49152 99999\r\n".to_vec(),
            b"PROXY UDP4 203.0.113.7 10.0.0.1 49152 80\r\n".to_vec(),
            long,
            second(0x11, 0x11, &four),
            second(0x22, 0x11, &four),
            second(0x21, 0x12, &four),
            second(0x21, 0x41, &four),
            second(0x21, 0x11, &four[..11]),
            second(0x21, 0x11, &[0; MAX_REST_BYTES + 1]),
        ] {
            assert_eq!(read_now(&bytes).0, Err(Unstated::Malformed), "{}", bytes.escape_ascii());
        }
    }
}
