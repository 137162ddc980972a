//! Look-ups, hashes, and what a text was made into before.

use super::*;
use crate::policy::account::samples::{account, key};

fn digest(number: u32) -> Digest {
    Digest::of(&number.to_le_bytes())
}

#[test]
fn a_token_is_found_by_its_digest_alone() {
    let mut accounts = Accounts::new(|| {});
    for number in 0..1000 {
        let name = number.to_string();
        let keys = [key(&name, digest(2 * number)), key(&name, digest(2 * number + 1))];
        assert_eq!(accounts.push(Arc::new(account(&name, keys))), Ok(vec![]));
    }
    assert_eq!((accounts.len(), accounts.tokens()), (1000, 2000));
    let found = accounts.find(&digest(1999)).unwrap();
    assert_eq!((&*found.account.name, found.account_index, found.token_index), ("999", 999, 1));
    assert!(accounts.find(&digest(2000)).is_none());
}

/// Digests that are made up can have any bytes in common.
#[test]
fn digests_have_different_hashes_whatever_they_have_in_common() {
    let hasher = DigestHasher::new();
    for varied in [[0, 1, 2], [8, 9, 10], [16, 17, 18], [24, 25, 26], [29, 30, 31], [0, 8, 16], [7, 15, 31]] {
        let (mut low, mut high) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        for number in 0..4096_u32 {
            let mut bytes = [0x5a; 32];
            for (index, byte) in varied.into_iter().zip(number.to_le_bytes()) {
                bytes[index] = byte;
            }
            let tag = hasher.tag(&Digest(bytes));
            low.insert(tag & 0xffff);
            high.insert(tag >> 16);
        }
        // Of 4096 in 65536 places, about 120 share one by chance.
        assert!(low.len() > 3700 && high.len() > 3700, "{varied:?}: {} and {}", low.len(), high.len());
    }
}

#[test]
fn a_digest_that_is_there_already_is_told_and_belongs_to_the_first() {
    let mut accounts = Accounts::new(|| {});
    assert_eq!(accounts.push(Arc::new(account("a", [key("one", digest(1))]))), Ok(vec![]));
    let again = account("b", [key("two", digest(2)), key("three", digest(1)), key("four", digest(2))]);
    let expected = [Twice { own: 1, slot: 0, first: 0 }, Twice { own: 2, slot: 1, first: 0 }];
    assert_eq!(accounts.push(Arc::new(again)), Ok(expected.to_vec()));
    assert_eq!(accounts.push(Arc::new(account("b", [key("five", digest(5))]))), Err(NameTaken { slot: 1 }));
    assert!(accounts.find(&digest(5)).is_none(), "nothing of it was added");
    assert_eq!((accounts.len(), accounts.tokens()), (2, 4));
    assert_eq!(&*accounts.find(&digest(1)).unwrap().account.name, "a");
}

#[test]
fn what_a_text_was_made_into_is_found_in_any_order() {
    let mut before = Accounts::new(|| {});
    let texts = ["", "one", "two\nthree", "four"];
    for text in texts {
        let first = before.len();
        for name in text.lines() {
            assert_eq!(before.push(Arc::new(account(name, []))), Ok(vec![]));
        }
        before.note(before.fingerprint(Text::Line, text), first);
    }
    let after = Accounts::following(&before);
    let mut unchanged = Unchanged::of(&before);
    for (text, known) in [
        ("one", true),
        ("two\nthree", true),
        ("five", false),
        ("", true),
        ("one", true),
        ("four", true),
        ("six", false),
        ("four", true),
    ] {
        let names = unchanged
            .find(after.fingerprint(Text::Line, text))
            .map(|accounts| accounts.map(|account| &*account.name).collect::<Vec<_>>());
        assert_eq!(names, known.then(|| text.lines().collect()), "{text:?}");
    }
    assert!(unchanged.find(after.fingerprint(Text::File, "one")).is_none(), "another kind of text");
}
