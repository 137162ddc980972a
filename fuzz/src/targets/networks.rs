//! Networks and X-Forwarded-For, against networks that are looked at one by one and a second reading of the contract.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use tollgate::policy::check::network::{Client, Networks, client, parse_network};
use tollgate::policy::http::head::{Field, Lines, Peer};

use crate::memory;

/// An input: networks behind each other, the peer, and lines of X-Forwarded-For, between line ends.
pub fn run(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let (Some(networks), Some(peer)) = (lines.next(), lines.next()) else { return };
    let text = String::from_utf8_lossy(networks);
    let networks: Vec<IpNet> = text.split(' ').filter_map(|text| network(text)).collect();
    let list = Networks::listed(networks.iter().copied());
    let blocks = list.blocks().unwrap();
    assert_eq!(Networks::listed(blocks.iter().copied()), list, "{blocks:?}");
    let peer = std::str::from_utf8(peer).ok().and_then(|peer| peer.parse::<IpAddr>().ok());
    let values: Vec<&[u8]> = lines.collect();
    let fields: Vec<Field<'_>> = values.iter().map(|value| Field { name: "x-forwarded-for", value }).collect();
    let head = Lines { fields: &fields, ..Lines::UNREADABLE };
    let found =
        memory::within(0, "finding the client", || client(&list, peer.map_or(Peer::Local, Peer::Address), &head));
    let is_listed = |address: IpAddr| networks.iter().any(|network| network.contains(&address.to_canonical()));
    let edges = networks.iter().flat_map(|network| [network.network(), network.broadcast()]);
    for address in edges.chain(peer) {
        assert_eq!(list.contains(address), is_listed(address), "{address}");
    }
    assert_eq!(found, expected(&is_listed, peer, &values));
}

/// A network that the configuration takes: what others read in its text.
fn network(text: &str) -> Option<IpNet> {
    let network = parse_network(text).ok()?;
    assert_eq!(parse_network(&network.to_string()), Ok(network), "{text}");
    let known = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).expect("others read it");
    assert_eq!(known.trunc(), known);
    let is_mapped = |address: IpAddr| matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    match network {
        IpNet::V4(_) if is_mapped(known.network()) => {
            assert_eq!(network.network(), known.network().to_canonical());
            assert_eq!(network.prefix_len() + 96, known.prefix_len());
        }
        IpNet::V4(_) | IpNet::V6(_) => assert_eq!(network, known),
    }
    Some(network)
}

/// The client by docs/contract.md, section 6.
fn expected(is_listed: &impl Fn(IpAddr) -> bool, peer: Option<IpAddr>, values: &[&[u8]]) -> Client {
    let mut client = match peer.map(|peer| peer.to_canonical()) {
        Some(peer) if !is_listed(peer) => return Client::Address(peer),
        Some(peer) => Client::Address(peer),
        None => Client::Unknown,
    };
    let all = values.join(&b","[..]);
    let elements: Vec<&[u8]> = all.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
    for element in elements.into_iter().rev().filter(|element| !element.is_empty()) {
        let Some(address) = std::str::from_utf8(element).ok().and_then(address) else { return Client::Unknown };
        client = Client::Address(address.to_canonical());
        if !is_listed(address) {
            break;
        }
    }
    client
}

fn address(text: &str) -> Option<IpAddr> {
    let port = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        (is_number && digits.parse::<u16>().is_ok()).then_some(())
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        if !after.is_empty() {
            port(after.strip_prefix(':')?)?;
        }
        return address.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    match text.split_once(':') {
        Some((address, digits)) if !digits.contains(':') && address.contains('.') => {
            port(digits)?;
            Some(IpAddr::V4(address.parse().ok()?))
        }
        _ => text.parse().ok(),
    }
}
