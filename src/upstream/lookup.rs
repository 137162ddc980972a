//! The result of a lookup of a server's name, and the time until the next one.

use std::net::SocketAddr;
use std::time::Duration;

use crate::upstream::settings::MAX_SERVERS;

/// When a name that has never been resolved is looked up again; also the `Retry-After` for clients.
pub const RETRY: Duration = Duration::from_secs(1);

/// Addresses in a fixed order, so that a resolver that rotates them changes nothing.
pub fn in_order(addresses: impl Iterator<Item = SocketAddr>) -> Box<[SocketAddr]> {
    let mut addresses: Vec<SocketAddr> = addresses.collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MAX_SERVERS);
    addresses.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_an_answer_means_nothing() {
        let address = |last| SocketAddr::from(([10, 0, 0, last], 80));
        let wanted = [address(1), address(2), address(3)];
        for order in [[3, 1, 2, 1], [1, 2, 3, 3], [2, 3, 1, 2]] {
            assert_eq!(*in_order(order.into_iter().map(address)), wanted);
        }
        assert_eq!(in_order((0..=255).map(address)).len(), MAX_SERVERS);
    }
}
