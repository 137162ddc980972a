//! Accounts and tokens for tests.

use super::{Account, CreditAccounts, Digest, Expiry, Key, ProductSet, Token};
use crate::policy::check::domain::Domains;
use crate::policy::check::network::Networks;
use crate::policy::rate::{Rate, Tat};

/// A token for one product, from anywhere.
pub fn token(enabled: bool, expiry: Expiry, product: u8) -> Token {
    let mut products = ProductSet::default();
    products.insert(product);
    Token { name: "t".into(), products, enabled, expiry, networks: Networks::Any, domains: Domains::Any }
}

/// A token that may do everything.
pub fn key(name: &str, digest: Digest) -> Key {
    Key { digest, token: Token { name: name.into(), ..token(true, Expiry::Never, 0) } }
}

/// An account that may use everything.
pub fn account(name: &str, keys: impl IntoIterator<Item = Key>) -> Account {
    Account {
        name: name.into(),
        rate: Rate::Unlimited,
        meter: None,
        account_info_rate: Tat::default(),
        credit_accounts: CreditAccounts::None,
        keys: keys.into_iter().collect(),
    }
}
