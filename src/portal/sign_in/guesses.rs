//! How often something can be tried: passwords and codes, by the address that they come from and by whose they are, and
//! mail that strangers ask for. Counts are in the store, so that a restart forgives nothing, under keyed digests.

use std::net::IpAddr;

use super::people::trouble;
use crate::ledger::store::attempts::{self, Guesses};
use crate::platform::portal_key::Purpose;
use crate::portal::state::Portal;
use crate::portal::visit::{Trouble, Visit};

/// Guesses from one address, or one network of IPv6. Many people can be behind one.
const OF_ADDRESS: Guesses = Guesses { burst: 30, every_ms: 4000 };

/// Guesses of one user's password.
const OF_USER: Guesses = Guesses { burst: 10, every_ms: 60_000 };

/// Guesses of one user's one-time passwords and recovery codes.
const OF_CODE: Guesses = Guesses { burst: 5, every_ms: 60_000 };

/// Messages to one address of mail.
const OF_MAIL: Guesses = Guesses { burst: 3, every_ms: 300_000 };

/// What is guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Password,
    Code,
    Mail,
}

impl Kind {
    const fn of_user(self) -> (&'static [u8], Guesses) {
        match self {
            Kind::Password => (b"password", OF_USER),
            Kind::Code => (b"code", OF_CODE),
            Kind::Mail => (b"mail", OF_MAIL),
        }
    }
}

/// Counts a guess of something that belongs to a user or to an address of mail, known or not. The inner error is how
/// many seconds to wait: it must not be tried then.
///
/// # Errors
/// Those of the store.
pub async fn take(visit: &Visit, kind: Kind, whose: &str) -> Result<Result<(), i64>, Trouble> {
    let by_address = visit.peer.map(|peer| key(&visit.portal, b"address", &network(peer.0)));
    let (label, limit) = kind.of_user();
    let by_user = key(&visit.portal, label, whose.as_bytes());
    let now_ms = visit.at_ms;
    let counted = visit.portal.store.maintain(move |connection| {
        // Both are read and written as one: another node counts as well.
        let transaction = connection.recording()?;
        if let Some(by_address) = by_address
            && let Err(wait) = attempts::take(&transaction, &by_address, OF_ADDRESS, now_ms)?
        {
            return Ok(Err(wait));
        }
        let taken = attempts::take(&transaction, &by_user, limit, now_ms)?;
        transaction.commit()?;
        Ok(taken)
    });
    let counted = counted.await.map_err(trouble)?;
    Ok(counted.map_err(|wait_ms| wait_ms.saturating_add(999) / 1000))
}

/// Forgets the guesses of what was right at last.
///
/// # Errors
/// Those of the store.
pub async fn forget(portal: &Portal, kind: Kind, whose: &str) -> Result<(), Trouble> {
    let key = key(portal, kind.of_user().0, whose.as_bytes());
    portal.store.maintain(move |connection| attempts::forget(connection, &key)).await.map_err(trouble)
}

fn key(portal: &Portal, label: &[u8], whose: &[u8]) -> [u8; 32] {
    portal.sign_in.key.digest(Purpose::Guesses, &[label, whose])
}

/// An address of IPv4, or the network of 64 bits that a customer has of IPv6.
fn network(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().into_iter().take(8).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_customer_of_ipv6_is_one_address() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:203.0.113.9"), of("203.0.113.9"));
        assert_ne!(of("203.0.113.9"), of("203.0.113.8"));
    }
}
