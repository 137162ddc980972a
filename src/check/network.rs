//! Networks of addresses, and which address a client has behind trusted proxies.
//!
//! An IPv4-mapped IPv6 address is its IPv4 address, in a list as in a peer (contract, section 6).
//! Which lists a token has is not this file's business.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use crate::head::{Lines, decimal};
use crate::problem::{Problem, Row};

/// The address that a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Address(IpAddr),
    /// X-Forwarded-For, where it counts, holds something else than an address.
    Unknown,
}

/// Where requests may come from.
#[derive(Clone, Debug, Default)]
pub enum Networks {
    /// No list was given: every address passes, and so does an unknown one.
    #[default]
    Any,
    Listed(Box<Ranges>),
}

/// Sorted ranges that neither overlap nor touch, ends included.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// A list of networks; an empty one lets nobody pass.
    pub fn listed(networks: impl IntoIterator<Item = IpNet>) -> Networks {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for network in networks {
            match network {
                IpNet::V4(block) => v4.push((block.network().to_bits(), block.broadcast().to_bits())),
                IpNet::V6(block) => v6.push((block.network().to_bits(), block.broadcast().to_bits())),
            }
        }
        Networks::Listed(Box::new(Ranges {
            v4: merged(v4),
            v6: merged(v6),
        }))
    }

    /// Whether the address is inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        match self {
            Networks::Any => true,
            Networks::Listed(ranges) => match address.to_canonical() {
                IpAddr::V4(address) => within(&ranges.v4, address.to_bits()),
                IpAddr::V6(address) => within(&ranges.v6, address.to_bits()),
            },
        }
    }

    /// Lets the client pass or not.
    ///
    /// # Errors
    /// `ip-not-allowed`.
    pub fn allow(&self, client: Client) -> Result<(), Problem> {
        let allowed = match (self, client) {
            (Networks::Any, Client::Address(_) | Client::Unknown) => true,
            (Networks::Listed(_), Client::Address(address)) => self.contains(address),
            (Networks::Listed(_), Client::Unknown) => false,
        };
        if allowed {
            Ok(())
        } else {
            Err(Problem::new(
                Row::IpNotAllowed,
                "the client address is in none of the token's networks",
            ))
        }
    }
}

/// The client of a request: the peer, unless the peer is one of the `trusted` proxies. Then all
/// lines of X-Forwarded-For are read from the right, and the first address that is not trusted is
/// the client; when all are trusted, the leftmost one.
pub fn client(trusted: &Networks, peer: IpAddr, lines: &Lines<'_>) -> Client {
    if !trusted.contains(peer) {
        return Client::Address(peer);
    }
    let mut client = peer;
    let forwarded = lines
        .fields
        .iter()
        .rev()
        .filter(|field| field.name.eq_ignore_ascii_case("x-forwarded-for"));
    for entry in forwarded.flat_map(|field| field.value.rsplit(|byte| *byte == b',')) {
        let text = std::str::from_utf8(entry.trim_ascii()).ok();
        let address = text.and_then(|text| text.parse::<IpAddr>().ok());
        let Some(address) = address else { return Client::Unknown };
        client = address.to_canonical();
        if !trusted.contains(client) {
            break;
        }
    }
    Client::Address(client)
}

/// Parses an address or a CIDR block as a configuration writes it.
///
/// # Errors
/// Says what is wrong with the text and what to write instead, without repeating it.
pub fn parse_network(text: &str) -> Result<IpNet, &'static str> {
    const NO_ADDRESS: &str = "is not an address; write one as in 203.0.113.7 or 2001:db8::1";
    const NO_NETWORK: &str = "is not a network; write an address and a prefix, as in 203.0.113.0/24";
    // The address is parsed by the standard library, which takes no short and no octal forms.
    let network = match text.split_once('/') {
        Some((address, prefix)) => {
            let address = address.parse::<IpAddr>().map_err(|_| NO_NETWORK)?;
            let prefix = decimal(prefix.as_bytes())
                .and_then(|prefix| u8::try_from(prefix).ok())
                .ok_or(NO_NETWORK)?;
            IpNet::new(address, prefix).map_err(|_| NO_NETWORK)?
        }
        None => IpNet::from(text.parse::<IpAddr>().map_err(|_| NO_ADDRESS)?),
    };
    if network.trunc() != network {
        return Err("has bits set behind its prefix; write the network's first address, or a longer prefix");
    }
    unmapped(network).ok_or(NO_NETWORK)
}

/// The IPv4 block of an IPv4-mapped IPv6 block.
fn unmapped(network: IpNet) -> Option<IpNet> {
    const MAPPED_PREFIX: u8 = 96;
    match network {
        IpNet::V6(block) if block.prefix_len() >= MAPPED_PREFIX => match mapped(block.network()) {
            Some(address) => IpNet::new(address, block.prefix_len() - MAPPED_PREFIX).ok(),
            None => Some(network),
        },
        IpNet::V4(_) | IpNet::V6(_) => Some(network),
    }
}

fn mapped(address: Ipv6Addr) -> Option<IpAddr> {
    address.to_ipv4_mapped().map(IpAddr::V4)
}

/// Sorts ranges and joins those that overlap or touch.
fn merged<N: Ord + Copy + Successor>(mut ranges: Vec<(N, N)>) -> Box<[(N, N)]> {
    ranges.sort_unstable();
    let mut joined: Vec<(N, N)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match joined.last_mut() {
            Some((_, end)) if end.successor().is_none_or(|next| first <= next) => *end = last.max(*end),
            _ => joined.push((first, last)),
        }
    }
    joined.into_boxed_slice()
}

trait Successor: Sized {
    fn successor(self) -> Option<Self>;
}

impl Successor for u32 {
    fn successor(self) -> Option<u32> {
        self.checked_add(1)
    }
}

impl Successor for u128 {
    fn successor(self) -> Option<u128> {
        self.checked_add(1)
    }
}

fn within<N: Ord + Copy>(ranges: &[(N, N)], number: N) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= number);
    after
        .checked_sub(1)
        .and_then(|at| ranges.get(at))
        .is_some_and(|(_, last)| number <= *last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Networks {
        Networks::listed(texts.iter().map(|text| parse_network(text).unwrap()))
    }

    #[test]
    fn a_list_holds_its_blocks_and_nothing_else() {
        let networks = list(&["10.0.0.0/8", "203.0.113.7", "2001:db8::/32", "::ffff:192.0.2.0/120"]);
        for (address, inside) in [
            ("10.255.255.255", true),
            ("::ffff:10.0.0.1", true),
            ("11.0.0.0", false),
            ("203.0.113.7", true),
            ("203.0.113.8", false),
            ("2001:db8:ffff::", true),
            ("2001:db9::", false),
            ("192.0.2.9", true),
            ("192.0.3.0", false),
            ("::1", false),
        ] {
            assert_eq!(networks.contains(address.parse().unwrap()), inside, "{address}");
        }
    }

    #[test]
    fn the_widest_and_the_narrowest_blocks_work() {
        assert!(list(&["0.0.0.0/0"]).contains("255.255.255.255".parse().unwrap()));
        assert!(!list(&["0.0.0.0/0"]).contains("::1".parse().unwrap()));
        assert!(list(&["::/0"]).contains("ffff::".parse().unwrap()));
        assert!(list(&["1.2.3.4/32", "1.2.3.5/32"]).contains("1.2.3.5".parse().unwrap()));
        assert!(list(&["::1/128"]).contains("::1".parse().unwrap()));
    }

    #[test]
    fn what_is_not_a_network_is_refused() {
        for text in [
            "10.0.0.1/8",
            "010.0.0.0/8",
            "10.0/8",
            "10.0.0.0/33",
            "fe80::1%eth0",
            "2001:db8::1/32",
            "",
            "a",
            "::ffff:10.0.0.1/100",
        ] {
            assert!(parse_network(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_client_is_the_first_untrusted_address_from_the_right() {
        let trusted = list(&["10.0.0.0/8", "2001:db8::/32"]);
        for (peer, lines, expected) in [
            ("192.0.2.1", vec!["203.0.113.5"], Some("192.0.2.1")),
            ("10.0.0.1", vec![], Some("10.0.0.1")),
            ("10.0.0.1", vec!["203.0.113.5"], Some("203.0.113.5")),
            (
                "10.0.0.1",
                vec!["198.51.100.9, 203.0.113.5 ,10.0.0.2"],
                Some("203.0.113.5"),
            ),
            (
                "10.0.0.1",
                vec!["198.51.100.9", "203.0.113.5", "2001:db8::2"],
                Some("203.0.113.5"),
            ),
            ("10.0.0.1", vec!["10.0.0.3, 10.0.0.2"], Some("10.0.0.3")),
            ("10.0.0.1", vec!["::ffff:203.0.113.5"], Some("203.0.113.5")),
            ("10.0.0.1", vec!["203.0.113.5, unknown, 10.0.0.2"], None),
            ("10.0.0.1", vec!["203.0.113.5:443"], None),
            ("10.0.0.1", vec!["fe80::1%eth0"], None),
            ("10.0.0.1", vec!["0203.0.113.5"], None),
            ("10.0.0.1", vec!["203.0.113"], None),
            ("10.0.0.1", vec![""], None),
            ("10.0.0.1", vec!["\u{a0}203.0.113.5"], None),
            ("10.0.0.1", vec!["unknown, 203.0.113.5"], Some("203.0.113.5")),
        ] {
            let fields: Vec<_> = lines
                .iter()
                .map(|line| httparse::Header {
                    name: "X-Forwarded-For",
                    value: line.as_bytes(),
                })
                .collect();
            let lines = Lines {
                fields: &fields,
                ..Lines::UNREADABLE
            };
            let expected = expected.map_or(Client::Unknown, |address| Client::Address(address.parse().unwrap()));
            assert_eq!(
                client(&trusted, peer.parse().unwrap(), &lines),
                expected,
                "{peer} {fields:?}"
            );
        }
    }

    #[test]
    fn an_unknown_client_passes_only_where_nothing_is_listed() {
        assert!(Networks::Any.allow(Client::Unknown).is_ok());
        assert_eq!(
            list(&["0.0.0.0/0"]).allow(Client::Unknown).unwrap_err().row,
            Row::IpNotAllowed
        );
    }
}
