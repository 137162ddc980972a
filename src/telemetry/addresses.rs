//! How much of the addresses of clients is kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The bits of a masked address that are kept.
const MASK_OF_V4: u32 = u32::MAX << (32 - 24);
const MASK_OF_V6: u128 = u128::MAX << (128 - 48);

/// How much of a client's address is kept for refusals, and of the sources of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addresses {
    /// All of it.
    #[default]
    Full,
    /// Its network: 24 bits of IPv4, 48 of IPv6.
    Masked,
    /// Nothing.
    Off,
}

impl Addresses {
    /// What is kept of an address; empty for nothing.
    pub fn kept(self, address: IpAddr) -> String {
        let address = address.to_canonical();
        let network = match address {
            IpAddr::V4(address) => Ipv4Net::new(address, 24).map(|network| IpNet::V4(network.trunc())),
            IpAddr::V6(address) => Ipv6Net::new(address, 48).map(|network| IpNet::V6(network.trunc())),
        };
        match (self, network) {
            (Addresses::Full, _) => address.to_string(),
            (Addresses::Masked, Ok(network)) => network.to_string(),
            (Addresses::Masked, Err(_)) | (Addresses::Off, _) => String::new(),
        }
    }

    /// The first address of what is kept of an address, as a number that is compared; all of it for [`Addresses::Off`],
    /// of which [`Addresses::kept`] shows nothing.
    pub fn cut(self, address: IpAddr) -> IpAddr {
        match (self, address.to_canonical()) {
            (Addresses::Full | Addresses::Off, address) => address,
            (Addresses::Masked, IpAddr::V4(address)) => Ipv4Addr::from_bits(address.to_bits() & MASK_OF_V4).into(),
            (Addresses::Masked, IpAddr::V6(address)) => Ipv6Addr::from_bits(address.to_bits() & MASK_OF_V6).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_is_kept_what_the_operator_wants() {
        for (address, masked) in [
            ("203.0.113.77", "203.0.113.0/24"),
            ("::ffff:203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(Addresses::Masked.kept(address), masked);
            assert_eq!(Addresses::Masked.kept(Addresses::Masked.cut(address)), masked);
            assert_eq!(masked.split('/').next(), Some(&*Addresses::Masked.cut(address).to_string()));
            assert_eq!(Addresses::Full.kept(address), address.to_canonical().to_string());
            assert_eq!(Addresses::Off.kept(address), "");
        }
    }
}
