//! Digests, what a token may do, and how much memory an account takes.

use std::time::Duration;

use super::directory::ENTRY_BYTES;
use super::samples::{account, token};
use super::{Account, Digest, Expiry, Principal};
use crate::policy::now::Now;
use crate::policy::problem::Row;

#[test]
fn a_digest_reads_what_it_writes_and_shows_nothing() {
    let digest = Digest::of(b"demo-live");
    assert_eq!(Digest::parse(&digest.text()), Ok(digest));
    assert_eq!(Digest::parse(&digest.text().to_uppercase().replace("SHA256", "sha256")), Ok(digest));
    assert_eq!(Digest::of(b"abc").text(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(format!("{digest:?}"), "***");
    for text in ["", "abc", "sha256:", "sha256:00", "md5:00", &digest.text().replace('a', "g")] {
        assert!(Digest::parse(text).is_err(), "{text}");
    }
}

#[test]
fn disabled_comes_before_expired_before_another_product() {
    let account = account("a", []);
    let day = 20_000;
    let at = |seconds| Now { monotonic: Duration::ZERO, unix_seconds: seconds, unix_nanos: 0 };
    let last_second = (u64::from(day) + 1) * 86_400 - 1;
    for (token, now, expected) in [
        (token(true, Expiry::LastDay(day), 1), at(last_second), None),
        (token(true, Expiry::LastDay(day), 1), at(last_second + 1), Some(Row::TokenExpired)),
        (token(true, Expiry::Until(1_800_000_000), 1), at(1_799_999_999), None),
        (token(true, Expiry::Until(1_800_000_000), 1), at(1_800_000_000), Some(Row::TokenExpired)),
        (token(false, Expiry::Until(1_800_000_000), 1), at(1_800_000_000), Some(Row::TokenDisabled)),
        (token(true, Expiry::Never, 1), at(u64::MAX), None),
        (token(true, Expiry::Never, 2), at(0), Some(Row::ProductMismatch)),
        (token(true, Expiry::LastDay(day), 2), at(last_second + 1), Some(Row::TokenExpired)),
        (token(false, Expiry::LastDay(day), 2), at(last_second + 1), Some(Row::TokenDisabled)),
    ] {
        let principal = Principal { token: &token, token_index: 0, account: &account, account_index: 0 };
        let verdict = principal.authorize(now).and_then(|()| principal.cover(1));
        assert_eq!(verdict.err().map(|problem| problem.row), expected, "{token:?}");
    }
}

#[test]
fn a_million_accounts_stay_small() {
    // An account with one token, both counts of its `Arc`, its place in the list, and its share of two tables
    // that are filled by half.
    let per_account = size_of::<Account>() + 3 * size_of::<usize>() + 2 * (ENTRY_BYTES + 2);
    assert!(per_account <= 252, "{per_account} bytes");
}
