//! PROXY headers: what is stated is what another implementation reads, and not a byte behind the header is taken.

use std::net::IpAddr;

use ppp::{HeaderResult, v1, v2};
use tollgate::downstream::proxy_protocol;

use crate::{memory, oracle};

pub fn run(data: &[u8]) {
    let mut rest = data;
    // A header has at most 16 and 4096 bytes; the buffer grows by doubling.
    let stated = memory::within(16 * 1024, "a PROXY header", || oracle::now(proxy_protocol::read(&mut rest)));
    let Ok(stated) = stated else { return };
    let (header, behind) = data.split_at(data.len() - rest.len());
    assert_eq!(behind, rest);
    let mut alone = header;
    assert_eq!(oracle::now(proxy_protocol::read(&mut alone)), Ok(stated));
    assert!(alone.is_empty());
    for end in [header.len() - 1, header.len() / 2] {
        assert!(oracle::now(proxy_protocol::read(&mut &header[..end])).is_err(), "a header that is cut short");
    }
    match (stated, other(header)) {
        // Whatever follows UNKNOWN is ignored, which others first want to be text.
        (None, None) => {}
        (stated, other) => assert_eq!(other, Some(stated), "another implementation reads another address"),
    }
}

/// A line of version 1 without zeros in front of its ports, which the protocol does not forbid and the other
/// implementation does.
fn without_leading_zeros(header: &[u8]) -> Vec<u8> {
    let line = std::str::from_utf8(header).ok().filter(|line| line.starts_with("PROXY TCP"));
    let Some(line) = line.and_then(|line| line.strip_suffix("\r\n")) else { return header.to_vec() };
    let words = line.split(' ').enumerate().map(|(index, word)| {
        let is_port = index >= 4 && word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_digit());
        let number = word.trim_start_matches('0');
        if is_port { if number.is_empty() { "0" } else { number } } else { word }
    });
    (words.collect::<Vec<_>>().join(" ") + "\r\n").into_bytes()
}

/// What the `ppp` crate reads from a header.
fn other(header: &[u8]) -> Option<Option<IpAddr>> {
    let header = without_leading_zeros(header);
    match HeaderResult::parse(&header) {
        HeaderResult::V1(Ok(parsed)) => {
            assert_eq!(parsed.header.len(), header.len());
            Some(match parsed.addresses {
                v1::Addresses::Tcp4(addresses) => Some(addresses.source_address.into()),
                v1::Addresses::Tcp6(addresses) => Some(addresses.source_address.into()),
                v1::Addresses::Unknown => None,
            })
        }
        HeaderResult::V2(Ok(parsed)) => {
            assert_eq!(parsed.header.len(), header.len());
            Some(match (parsed.command, parsed.addresses) {
                (v2::Command::Local, _) => None,
                (v2::Command::Proxy, v2::Addresses::IPv4(addresses)) => Some(addresses.source_address.into()),
                (v2::Command::Proxy, v2::Addresses::IPv6(addresses)) => Some(addresses.source_address.into()),
                (v2::Command::Proxy, v2::Addresses::Unix(_) | v2::Addresses::Unspecified) => None,
            })
        }
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => None,
    }
}
