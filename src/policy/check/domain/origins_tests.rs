//! Origins against the lists of all tokens, one by one.

use proptest::prelude::*;

use super::*;
use crate::policy::account::directory::change::AccountChange;
use crate::policy::account::samples::{account, key, token};
use crate::policy::account::{Digest, Expiry, Token};
use crate::policy::check::domain::Pattern;

const PATTERNS: [&str; 6] = [
    "a.example.com",
    "*.example.com",
    "b.example.org",
    "https://a.example.com",
    "capacitor://localhost",
    "*.a.example.com",
];

const ASKED: [&str; 9] = [
    "https://a.example.com",
    "http://a.example.com:8080",
    "https://x.a.example.com",
    "https://example.com",
    "https://b.example.org",
    "capacitor://localhost",
    "capacitor://other",
    "null",
    "https://a.example.com@evil.example",
];

/// A token with a list of some of the patterns, or without one, for some of three products.
fn of(list: Option<&[usize]>, products: &[u8]) -> Token {
    let patterns =
        |list: &[usize]| list.iter().map(|index| Pattern::parse(PATTERNS[*index]).unwrap()).collect::<Vec<_>>();
    let domains = list.map_or(Domains::Any, |list| Domains::listed(patterns(list), false));
    let mut set = ProductSet::default();
    products.iter().for_each(|product| set.insert(*product));
    Token { domains, products: set, ..token(true, Expiry::Never, 0) }
}

/// What the lists of all tokens say, looked at one by one.
fn expected(accounts: &Accounts, product: Option<u8>, origin: &[u8]) -> bool {
    let covers = |token: &Token| match product {
        Some(product) => token.products.contains(product),
        None => (0..3).any(|product| token.products.contains(product)),
    };
    accounts.keys().any(|key| covers(&key.token) && key.token.domains.contains_origin(origin))
}

fn check(accounts: &Accounts, origins: &Origins) {
    for origin in ASKED {
        for product in [None, Some(0), Some(1), Some(2)] {
            let allowed = expected(accounts, product, origin.as_bytes());
            assert_eq!(origins.contain(product, origin.as_bytes()), allowed, "{origin} for {product:?}");
        }
    }
}

type Drawn = (u8, Option<Vec<(Option<Vec<usize>>, Vec<u8>)>>);

fn changes() -> impl Strategy<Value = Vec<Drawn>> {
    let list = prop::option::weighted(0.9, prop::collection::vec(0..PATTERNS.len(), 0..3));
    let tokens = prop::collection::vec((list, prop::collection::vec(0..3_u8, 1..3)), 0..3);
    prop::collection::vec((0..6_u8, prop::option::weighted(0.7, tokens)), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn after_any_changes_they_are_those_of_the_tokens(changes in changes()) {
        let (mut accounts, mut origins) = (Accounts::new(|| {}), Origins::default());
        let mut digest = 0_u32;
        for (name, tokens) in changes {
            let name = name.to_string();
            let change = match tokens {
                None => AccountChange::Remove(name.as_str().into()),
                Some(tokens) => {
                    let keys = tokens.iter().map(|(list, products)| {
                        digest += 1;
                        let token = of(list.as_deref(), products);
                        crate::policy::account::Key { token, ..key("", Digest::of(&digest.to_le_bytes())) }
                    });
                    AccountChange::Put(Arc::new(account(&name, keys.collect::<Vec<_>>())))
                }
            };
            let (accounts_before, origins_before) = (accounts.clone(), origins.clone());
            let after = accounts.with(&[change]);
            origins = origins.with(&after.changed);
            accounts = after.accounts;
            check(&accounts, &origins);
            check(&accounts_before, &origins_before);
            check(&accounts, &Origins::of(&accounts, || {}));
        }
        let all: Vec<_> = accounts.iter().map(|account| AccountChange::Remove(Arc::clone(&account.name))).collect();
        let origins = origins.with(&accounts.with(&all).changed);
        prop_assert!(origins.entries.is_empty() && !origins.any.covers(None) && origins.with_scheme == 0);
    }
}

#[test]
fn the_same_lists_change_nothing() {
    let one = |list| {
        Arc::new(account("a", [crate::policy::account::Key { token: of(list, &[1]), ..key("", Digest::of(b"1")) }]))
    };
    let changed = |before, after| [Changed { slot: 0, before: Some(before), after: Some(after) }];
    let origins = Origins::default().with(&[Changed { slot: 0, before: None, after: Some(one(Some(&[0]))) }]);
    let listed = |origins: &Origins| origins.entries.iter().map(|entry| Arc::as_ptr(&entry.listed)).collect::<Vec<_>>();
    let same = origins.with(&changed(one(Some(&[0])), one(Some(&[0]))));
    assert_eq!(listed(&same), listed(&origins), "nothing was copied");
    let other = origins.with(&changed(one(Some(&[0])), one(None)));
    assert!(other.entries.is_empty() && other.any.covers(Some(1)) && !other.any.covers(Some(0)));
}
