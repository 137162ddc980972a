//! Networks of addresses, and which address a client has behind trusted proxies.
//!
//! An IPv4-mapped IPv6 address is its IPv4 address, in a list as in a peer (contract, section 6).
//! The lists of tokens are in `account.rs`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use crate::policy::check::watch::Watched;
use crate::policy::http::head::{Lines, Peer, decimal};
use crate::policy::problem::{Problem, Row};

/// The address that a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Address(IpAddr),
    /// X-Forwarded-For, where it counts, holds something else than an address.
    Unknown,
}

/// Where requests may come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Networks {
    /// No list was given: every address passes, and so does an unknown one.
    #[default]
    Any,
    /// Tokens with the same list share it.
    Listed(Arc<Ranges>),
}

/// Sorted ranges that neither overlap nor touch, ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ranges {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
    /// Every address passes; the list tells which of them it would refuse.
    is_watched: bool,
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
        Networks::Listed(Arc::new(Ranges { v4: merged(v4), v6: merged(v6), is_watched: false }))
    }

    /// Whether the address is inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        match self {
            Networks::Any => true,
            Networks::Listed(ranges) => ranges.contain(address),
        }
    }

    /// The same list, of which is only watched what it would refuse.
    pub fn watched(self) -> Networks {
        match self {
            Networks::Any => Networks::Any,
            Networks::Listed(ranges) => {
                Networks::Listed(Arc::new(Ranges { is_watched: true, ..Ranges::clone(&ranges) }))
            }
        }
    }

    /// Whether what the list would refuse is only watched.
    pub fn is_watched(&self) -> bool {
        matches!(self, Networks::Listed(ranges) if ranges.is_watched)
    }

    /// The blocks that the list amounts to; `None` without a list.
    pub fn blocks(&self) -> Option<Vec<IpNet>> {
        let Networks::Listed(ranges) = self else { return None };
        let v4 = ranges.v4.iter().flat_map(|(from, to)| Ipv4Subnets::new((*from).into(), (*to).into(), 0));
        let v6 = ranges.v6.iter().flat_map(|(from, to)| Ipv6Subnets::new((*from).into(), (*to).into(), 0));
        Some(v4.map(IpNet::V4).chain(v6.map(IpNet::V6)).collect())
    }

    /// Accepts or refuses the client. What a list would refuse that is only watched is noted in `watched`.
    ///
    /// # Errors
    /// `ip-not-allowed`.
    pub fn allow(&self, client: Client, watched: &mut Watched) -> Result<(), Problem> {
        let Networks::Listed(ranges) = self else { return Ok(()) };
        let allowed = match client {
            Client::Address(address) => ranges.contain(address),
            Client::Unknown => false,
        };
        if allowed {
            return Ok(());
        }
        if ranges.is_watched {
            watched.networks = true;
            return Ok(());
        }
        Err(Problem::new(Row::IpNotAllowed, "the client address is in none of the token's networks"))
    }
}

impl Ranges {
    fn contain(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => within(&self.v4, address.to_bits()),
            IpAddr::V6(address) => within(&self.v6, address.to_bits()),
        }
    }
}

/// The client of a request: the peer, unless the peer is one of the `trusted` proxies. Then all
/// lines of X-Forwarded-For are read from the right, and the first address that is not trusted is
/// the client; when all are trusted, the leftmost one. A peer on a Unix socket is trusted as well,
/// and unknown as long as it states nobody. Empty elements are skipped; one that is no address ends
/// the walk, and the client is not known (contract, section 6).
pub fn client(trusted: &Networks, peer: Peer, lines: &Lines<'_>) -> Client {
    let mut client = match peer {
        Peer::Address(address) => {
            let address = address.to_canonical();
            if !trusted.contains(address) {
                return Client::Address(address);
            }
            Client::Address(address)
        }
        Peer::Local => Client::Unknown,
    };
    let forwarded = lines.fields.iter().rev().filter(|field| field.name.eq_ignore_ascii_case("x-forwarded-for"));
    for entry in forwarded.flat_map(|field| field.value.rsplit(|byte| *byte == b',')) {
        let entry = entry.trim_ascii();
        if entry.is_empty() {
            continue;
        }
        let Some(address) = stated_address(entry) else { return Client::Unknown };
        let address = address.to_canonical();
        client = Client::Address(address);
        if !trusted.contains(address) {
            break;
        }
    }
    client
}

/// The entries of X-Forwarded-For, the last first, each with its address or without one.
pub fn stated<'a>(entries: &'a [u8]) -> impl Iterator<Item = Option<IpAddr>> + 'a {
    let entries = entries.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty());
    entries.map(|entry| stated_address(entry).map(|address| address.to_canonical()))
}

/// The address of an element of X-Forwarded-For. Some load balancers write the port as well, which
/// is `ip:port` or `[v6]:port`, and some the brackets alone.
fn stated_address(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element).ok()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    if let Some(address) = bracketed() {
        return Some(address.into());
    }
    match text.parse::<SocketAddr>().ok()? {
        SocketAddr::V4(address) => Some((*address.ip()).into()),
        // An address with a zone has no meaning on another machine.
        SocketAddr::V6(address) if address.scope_id() == 0 && !text.contains('%') => Some((*address.ip()).into()),
        SocketAddr::V6(_) => None,
    }
}

/// Parses an address or a CIDR block as a configuration writes it.
///
/// # Errors
/// Says what is wrong with the text and what to write instead, without repeating it.
pub fn parse_network(text: &str) -> Result<IpNet, &'static str> {
    const NO_ADDRESS: &str = "is not an address; write one as in 203.0.113.7 or 2001:db8::1";
    const NO_NETWORK: &str = "is not a network; write an address and a prefix, as in 203.0.113.0/24";
    // The address is parsed by the standard library, which accepts no short and no octal forms; so must the prefix.
    let network = match text.split_once('/') {
        Some((_, prefix)) if prefix.len() > 1 && prefix.starts_with('0') => return Err(NO_NETWORK),
        Some((address, prefix)) => {
            let address = address.parse::<IpAddr>().map_err(|_| NO_NETWORK)?;
            let prefix = decimal(prefix.as_bytes()).and_then(|prefix| u8::try_from(prefix).ok()).ok_or(NO_NETWORK)?;
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
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| number <= *last)
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
            "10.0.0.0/08",
            "10.0.0.0/00",
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
            ("10.0.0.1", vec!["198.51.100.9, 203.0.113.5 ,10.0.0.2"], Some("203.0.113.5")),
            ("10.0.0.1", vec!["198.51.100.9", "203.0.113.5", "2001:db8::2"], Some("203.0.113.5")),
            ("10.0.0.1", vec!["10.0.0.3, 10.0.0.2"], Some("10.0.0.3")),
            ("10.0.0.1", vec!["::ffff:203.0.113.5"], Some("203.0.113.5")),
            ("10.0.0.1", vec!["203.0.113.5, unknown, 10.0.0.2"], None),
            ("10.0.0.1", vec!["203.0.113.5:443"], Some("203.0.113.5")),
            ("10.0.0.1", vec!["198.51.100.9, 203.0.113.5:443, 10.0.0.2:80"], Some("203.0.113.5")),
            ("10.0.0.1", vec!["[2001:db9::1]"], Some("2001:db9::1")),
            ("10.0.0.1", vec!["[2001:db9::1]:443"], Some("2001:db9::1")),
            ("10.0.0.1", vec!["[::ffff:203.0.113.5]:443"], Some("203.0.113.5")),
            ("10.0.0.1", vec!["203.0.113.5, , [2001:db8::2]:1,"], Some("203.0.113.5")),
            ("10.0.0.1", vec!["203.0.113.5:65536"], None),
            ("10.0.0.1", vec!["203.0.113.5:"], None),
            ("10.0.0.1", vec![":443"], None),
            ("10.0.0.1", vec!["203.0.113.5:443:1"], None),
            ("10.0.0.1", vec!["203.0.113.5 :443"], None),
            ("10.0.0.1", vec!["[203.0.113.5]"], None),
            ("10.0.0.1", vec!["[203.0.113.5]:443"], None),
            ("10.0.0.1", vec!["[2001:db9::1"], None),
            ("10.0.0.1", vec!["[2001:db9::1]443"], None),
            ("10.0.0.1", vec!["[fe80::1%1]:443"], None),
            ("10.0.0.1", vec!["[fe80::1%0]:443"], None),
            ("10.0.0.1", vec!["\"[2001:db9::1]:443\""], None),
            ("10.0.0.1", vec!["example.com:443"], None),
            ("10.0.0.1", vec!["fe80::1%eth0"], None),
            ("10.0.0.1", vec!["0203.0.113.5"], None),
            ("10.0.0.1", vec!["203.0.113"], None),
            ("10.0.0.1", vec![""], Some("10.0.0.1")),
            ("10.0.0.1", vec![" , ,"], Some("10.0.0.1")),
            ("10.0.0.1", vec!["203.0.113.5", "", ","], Some("203.0.113.5")),
            ("10.0.0.1", vec!["\u{a0}203.0.113.5"], None),
            ("10.0.0.1", vec!["unknown, 203.0.113.5"], Some("203.0.113.5")),
        ] {
            let fields: Vec<_> =
                lines.iter().map(|line| httparse::Header { name: "X-Forwarded-For", value: line.as_bytes() }).collect();
            let lines = Lines { fields: &fields, ..Lines::UNREADABLE };
            let expected = expected.map_or(Client::Unknown, |address| Client::Address(address.parse().unwrap()));
            assert_eq!(client(&trusted, Peer::Address(peer.parse().unwrap()), &lines), expected, "{peer} {fields:?}");
        }
    }

    #[test]
    fn a_peer_without_an_address_is_whom_it_states() {
        let trusted = list(&["10.0.0.0/8"]);
        for (lines, expected) in [
            (vec![], None),
            (vec!["203.0.113.5"], Some("203.0.113.5")),
            (vec!["198.51.100.9, 203.0.113.5, 10.0.0.2"], Some("203.0.113.5")),
            (vec!["10.0.0.3"], Some("10.0.0.3")),
            (vec!["203.0.113.5, unknown"], None),
            (vec![","], None),
        ] {
            let fields: Vec<_> =
                lines.iter().map(|line| httparse::Header { name: "X-Forwarded-For", value: line.as_bytes() }).collect();
            let lines = Lines { fields: &fields, ..Lines::UNREADABLE };
            let expected = expected.map_or(Client::Unknown, |text| Client::Address(text.parse().unwrap()));
            assert_eq!(client(&trusted, Peer::Local, &lines), expected, "{fields:?}");
        }
        assert_eq!(client(&Networks::listed([]), Peer::Local, &Lines::UNREADABLE), Client::Unknown);
    }

    #[test]
    fn an_unknown_client_passes_only_where_nothing_is_listed() {
        let mut watched = Watched::default();
        assert!(Networks::Any.allow(Client::Unknown, &mut watched).is_ok());
        let everything = list(&["0.0.0.0/0"]);
        assert_eq!(everything.allow(Client::Unknown, &mut watched).unwrap_err().row, Row::IpNotAllowed);
        assert_eq!(watched, Watched::default());
        assert!(everything.watched().allow(Client::Unknown, &mut watched).is_ok());
        assert_eq!(watched, Watched { networks: true, domains: false });
    }

    /// A source of numbers that lie near boundaries more often than not.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
        }

        fn below(&mut self, end: u64) -> u64 {
            (self.next() >> 8) % end
        }

        /// An address as text of bits: 32 or 128 of `0` and `1`. A few of them only, with a bit or
        /// a tail changed, so that blocks and addresses meet; and some are IPv4-mapped.
        fn bits(&mut self) -> String {
            let (mut bits, free) = match self.below(4) {
                0 => (format!("{}{}", "0".repeat(80), "1".repeat(16)) + &"0".repeat(32), 90),
                1 | 2 => ("0".repeat(32), 0),
                _ => (format!("0010{}", "0".repeat(124)), 0),
            };
            let length = bits.len();
            if self.below(3) == 0 {
                // All ones, or all zeros, from some place on.
                let from = self.pick(free, length);
                let digit = if self.below(2) == 0 { "1" } else { "0" };
                bits.replace_range(from.., &digit.repeat(length - from));
            }
            for _ in 0..self.below(4) {
                let at = self.pick(free, length);
                let flipped = if bits.as_bytes()[at] == b'0' { "1" } else { "0" };
                bits.replace_range(at..=at, flipped);
            }
            bits
        }

        fn pick(&mut self, from: usize, to: usize) -> usize {
            from + usize::try_from(self.below(u64::try_from(to - from).unwrap())).unwrap()
        }
    }

    fn address(bits: &str) -> IpAddr {
        let number = u128::from_str_radix(bits, 2).unwrap();
        match bits.len() {
            32 => IpAddr::from(std::net::Ipv4Addr::from(u32::try_from(number).unwrap())),
            _ => IpAddr::from(Ipv6Addr::from(number)),
        }
    }

    /// The bits that count: those of the IPv4 address, where one is mapped.
    fn plain(bits: &str) -> &str {
        let mapped = format!("{}{}", "0".repeat(80), "1".repeat(16));
        bits.strip_prefix(&*mapped).unwrap_or(bits)
    }

    /// Whether an address is in a block, by nothing but the letters of both.
    fn is_in(address: &str, block: &str, prefix: usize) -> bool {
        let (address, block_is_mapped) = (plain(address), plain(block).len() != block.len() && prefix >= 96);
        let (block, prefix) = if block_is_mapped { (plain(block), prefix - 96) } else { (block, prefix) };
        address.len() == block.len() && address[..prefix] == block[..prefix]
    }

    #[test]
    fn lists_agree_with_bits_compared_one_by_one() {
        const LISTS: usize = 25_000;
        const ADDRESSES: usize = 40;
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut inside = 0;
        for _ in 0..LISTS {
            let mut blocks = Vec::new();
            let mut networks = Vec::new();
            for _ in 0..=random.below(4) {
                let mut bits = random.bits();
                let prefix = random.pick(0, bits.len() + 1);
                let text = format!("{}/{prefix}", address(&bits));
                if bits[prefix..].contains('1') {
                    assert!(parse_network(&text).is_err(), "{text} has host bits");
                    let zeros = "0".repeat(bits.len() - prefix);
                    bits.replace_range(prefix.., &zeros);
                }
                let text = format!("{}/{prefix}", address(&bits));
                networks.push(parse_network(&text).unwrap_or_else(|fault| panic!("{text} {fault}")));
                blocks.push((bits, prefix));
            }
            let list = Networks::listed(networks);
            for _ in 0..ADDRESSES {
                let mut bits = if random.below(2) == 0 {
                    random.bits()
                } else {
                    // At or next to an edge of a block.
                    let (block, prefix) = &blocks[random.pick(0, blocks.len())];
                    let digit = if random.below(2) == 0 { "0" } else { "1" };
                    block[..*prefix].to_owned() + &digit.repeat(block.len() - prefix)
                };
                if random.below(4) == 0 {
                    let at = random.pick(0, bits.len());
                    bits.replace_range(at..=at, "1");
                }
                if bits.len() == 32 && random.below(8) == 0 {
                    bits = format!("{}{}{bits}", "0".repeat(80), "1".repeat(16));
                }
                let expected = blocks.iter().any(|(block, prefix)| is_in(&bits, block, *prefix));
                assert_eq!(list.contains(address(&bits)), expected, "{} in {blocks:?}", address(&bits));
                inside += usize::from(expected);
            }
        }
        println!("{inside} of {} addresses were inside", LISTS * ADDRESSES);
        assert!((LISTS * ADDRESSES / 10..LISTS * ADDRESSES * 9 / 10).contains(&inside), "{inside}");
    }

    /// The client as contract section 6 says it, over one text of all lines: `None` for an entry
    /// that counts and is neither empty nor an address. What is trusted is told by a list of texts.
    fn client_by_the_letter(peer: &str, lines: &[String], trusted: &[&str]) -> Option<String> {
        let is_trusted = |address: &str| trusted.contains(&address);
        let mut client = peer.to_owned();
        let joined = lines.join(",");
        let mut entries: Vec<&str> = if lines.is_empty() { Vec::new() } else { joined.split(',').collect() };
        while is_trusted(&client) {
            let Some(entry) = entries.pop() else { break };
            let entry = entry.trim_matches([' ', '\t']);
            if entry.is_empty() {
                continue;
            }
            let address = match entry.strip_prefix('[') {
                Some(rest) => rest.split_once(']').filter(|(_, port)| port.is_empty() || port.starts_with(':'))?.0,
                None if entry.matches(':').count() == 1 => entry.split_once(':')?.0,
                None => entry,
            };
            client = address.strip_prefix("::ffff:").unwrap_or(address).to_owned();
            if client.parse::<IpAddr>().is_err() {
                return None;
            }
        }
        Some(client)
    }

    #[test]
    fn clients_agree_with_the_letter_of_the_contract() {
        const REQUESTS: usize = 200_000;
        const TRUSTED: [&str; 3] = ["10.0.0.1", "10.0.0.2", "2001:db8::1"];
        let trusted = list(&TRUSTED);
        let entries = [
            "10.0.0.1",
            "10.0.0.2",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "203.0.113.5",
            "2001:db8::2",
            "::ffff:203.0.113.6",
            "unknown",
            "",
            "10.0.0.1:80",
            "[2001:db8::1]",
            "[2001:db8::1]:443",
            "203.0.113.7:9",
            "10.0.0",
            "010.0.0.1",
            "_hidden",
            "10.0.0.1 10.0.0.2",
        ];
        let mut random = Random(0x1234_5678_9abc_def1);
        let mut kinds = [0; 3];
        for _ in 0..REQUESTS {
            // Trusted entries more often than all others, so that walks are long.
            let entry = |random: &mut Random| {
                let end = if random.below(3) == 0 { entries.len() } else { 4 };
                let space = ["", " ", "\t", "  "][random.pick(0, 4)];
                format!("{space}{}{space}", entries[random.pick(0, end)])
            };
            let lines: Vec<String> = (0..random.below(4))
                .map(|_| (0..=random.below(3)).map(|_| entry(&mut random)).collect::<Vec<_>>().join(","))
                .collect();
            let peer = ["10.0.0.1", "2001:db8::1", "203.0.113.9"][random.pick(0, 3)];
            let fields: Vec<_> = lines
                .iter()
                .flat_map(|line| {
                    let field = |name, value| httparse::Header { name, value };
                    [field("X-Forwarded-FOR", line.as_bytes()), field("X-Other", b"10.0.0.2")]
                })
                .collect();
            let head = Lines { fields: &fields, ..Lines::UNREADABLE };
            let expected = client_by_the_letter(peer, &lines, &TRUSTED);
            kinds[match &expected {
                None => 0,
                Some(client) if client == peer => 1,
                Some(_) => 2,
            }] += 1;
            let expected = expected.map_or(Client::Unknown, |text| Client::Address(text.parse().unwrap()));
            assert_eq!(client(&trusted, Peer::Address(peer.parse().unwrap()), &head), expected, "{peer} {lines:?}");
        }
        println!("unknown, the peer, somebody else: {kinds:?}");
        assert!(kinds.iter().all(|count| *count > REQUESTS / 20), "{kinds:?}");
    }
}
