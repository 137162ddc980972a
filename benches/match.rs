//! The cost of one look-up among 10 to 1,000,000 entries: tokens, networks, domains.
//!
//! Run with `cargo bench --bench match`.
#![allow(clippy::unwrap_used)] // A benchmark that cannot be set up may end in a panic.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use divan::Bencher;
use ipnet::{IpNet, Ipv4Net};
use tollgate::policy::account::directory::Accounts;
use tollgate::policy::account::{Account, CreditAccounts, Digest, Expiry, Key, ProductSet, Token};
use tollgate::policy::check::domain::{Domains, Pattern};
use tollgate::policy::check::network::Networks;
use tollgate::policy::rate::{Rate, Tat};

fn main() {
    // Many calls in one sample: a single one is near the precision of the clock.
    divan::Divan::from_args().sample_size(1000).main();
}

const SIZES: [u32; 6] = [10, 100, 1_000, 10_000, 100_000, 1_000_000];

/// Numbers in an order that no prefetcher can predict.
fn scattered(size: u32) -> impl FnMut() -> u32 {
    let mut state = 1_u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((state >> 33) % u64::from(size)).unwrap_or_default()
    }
}

#[divan::bench(args = SIZES)]
fn token(bencher: Bencher<'_, '_>, size: u32) {
    let mut accounts = Accounts::new(|| {});
    for number in 0..size {
        let token = Token {
            name: "bench".into(),
            products: ProductSet::default(),
            enabled: true,
            expiry: Expiry::Never,
            networks: Networks::Any,
            domains: Domains::Any,
        };
        let added = accounts.push(Arc::new(Account {
            name: number.to_string().into(),
            rate: Rate::Unlimited,
            meter: None,
            account_info_rate: Tat::default(),
            credit_accounts: CreditAccounts::None,
            keys: [Key { digest: Digest::of(&number.to_le_bytes()), token }].into(),
        }));
        assert!(added.is_ok());
    }
    let mut next = scattered(size);
    bencher.bench_local(|| accounts.find(black_box(&Digest::of(&next().to_le_bytes()))).is_some());
}

#[divan::bench(args = SIZES)]
fn network(bencher: Bencher<'_, '_>, size: u32) {
    // Every other block of sixteen addresses, so that none can be joined with its neighbour.
    let block = |number: u32| Ipv4Net::new(Ipv4Addr::from_bits(number << 5), 28).map(IpNet::V4).unwrap();
    let networks = Networks::listed((0..size).map(block));
    let mut next = scattered(size * 32);
    bencher.bench_local(|| networks.contains(black_box(IpAddr::V4(Ipv4Addr::from_bits(next())))));
}

#[divan::bench(args = SIZES)]
fn domain(bencher: Bencher<'_, '_>, size: u32) {
    let pattern = |number: u32| match number % 2 {
        0 => Pattern::Exact(format!("host{number}.example.com").into()),
        _ => Pattern::Below(format!("host{number}.example.com").into()),
    };
    let domains = Domains::listed((0..size).map(pattern), false);
    let origins: Vec<String> = (0..size.min(1000))
        .map(|number| number * (size / size.min(1000)))
        .map(|number| format!("https://{}host{number}.example.com", if number % 2 == 0 { "" } else { "a." }))
        .collect();
    let mut next = scattered(size.min(1000));
    bencher.bench_local(|| {
        let origin = origins.get(usize::try_from(next()).unwrap()).unwrap();
        domains.contains_origin(black_box(origin.as_bytes()))
    });
}
