//! Changes of the store's accounts against a plain map, and what stays as it was.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::policy::account::Digest;
use crate::policy::account::samples::{account, key};

fn digest(number: u32) -> Digest {
    Digest::of(&number.to_le_bytes())
}

fn put(name: &str, tokens: &[u32]) -> AccountChange {
    let keys = tokens.iter().map(|token| key(&token.to_string(), digest(*token)));
    AccountChange::Put(Arc::new(account(name, keys)))
}

fn remove(name: &str) -> AccountChange {
    AccountChange::Remove(name.into())
}

/// Accounts of a file: `f0` and `f1`, with the tokens 1000 and 1001.
fn files() -> Accounts {
    let mut accounts = Accounts::new(|| {});
    for number in 0..2_u32 {
        let name = format!("f{number}");
        let own = account(&name, [key("own", digest(1000 + number))]);
        assert_eq!(accounts.push(Arc::new(own)), Ok(vec![]));
    }
    accounts
}

fn names<'a>(accounts: impl IntoIterator<Item = &'a Arc<Account>>) -> Vec<&'a str> {
    accounts.into_iter().map(|account| &*account.name).collect()
}

/// What the store has: its accounts with their tokens.
type Plain = BTreeMap<u8, Vec<u32>>;

fn check(accounts: &Accounts, plain: &Plain) {
    let tokens: usize = plain.values().map(Vec::len).sum();
    assert_eq!((accounts.len(), accounts.tokens()), (2 + plain.len(), 2 + tokens));
    for name in 0..=u8::MAX {
        let known = accounts.by_name(&name.to_string());
        assert_eq!(known.is_some(), plain.contains_key(&name), "{name}");
        let own = known.into_iter().flat_map(|account| account.keys.iter().map(|key| &*key.token.name));
        assert!(own.eq(plain.get(&name).into_iter().flatten().map(ToString::to_string)), "{name}");
    }
    for token in 0..60 {
        let owner = plain.iter().find(|(_, tokens)| tokens.contains(&token)).map(|(name, _)| name.to_string());
        let found = accounts.find(&digest(token));
        assert_eq!(found.map(|found| found.account.name.to_string()), owner, "token {token}");
        if let Some(found) = found {
            let at_its_slot = accounts.at(found.account_index).unwrap();
            assert!(std::ptr::eq(&**at_its_slot, found.account));
            assert_eq!(at_its_slot.keys[found.token_index].digest, digest(token));
        }
    }
    for file in 0..2 {
        let found = accounts.find(&digest(1000 + file)).unwrap();
        assert_eq!(found.account_index, usize::try_from(file).unwrap());
    }
    let mut expected: Vec<String> = plain.keys().map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(names(accounts.listed(usize::MAX)), [vec!["f0".to_owned(), "f1".into()], expected].concat());
    assert_eq!(accounts.iter().count(), accounts.len());
    assert_eq!(accounts.from_store().count(), plain.len());
}

fn batches() -> impl Strategy<Value = Vec<Vec<(u8, Option<Vec<u32>>)>>> {
    // Few names and tokens, so that tokens move between accounts all the time.
    let tokens = prop::option::weighted(0.7, prop::collection::vec(0..60_u32, 0..4));
    prop::collection::vec(prop::collection::vec((0..40_u8, tokens), 1..5), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn changes_leave_what_a_plain_map_would_have(batches in batches()) {
        let (mut accounts, mut plain) = (files(), Plain::new());
        let mut kept = Vec::new();
        for batch in batches {
            kept.push((accounts.clone(), plain.clone()));
            let mut changes = Vec::new();
            for (name, tokens) in batch {
                match tokens {
                    None => {
                        plain.remove(&name);
                        changes.push(remove(&name.to_string()));
                    }
                    Some(mut tokens) => {
                        tokens.sort_unstable();
                        tokens.dedup();
                        // A store has no two tokens of one digest: who had it is changed by the same batch.
                        for (other, theirs) in &mut plain {
                            if *other != name && theirs.iter().any(|token| tokens.contains(token)) {
                                theirs.retain(|token| !tokens.contains(token));
                                changes.push(put(&other.to_string(), theirs));
                            }
                        }
                        changes.push(put(&name.to_string(), &tokens));
                        plain.insert(name, tokens);
                    }
                }
            }
            let before = accounts;
            let after = before.with(&changes);
            prop_assert_eq!(&after.conflicts, &[]);
            for changed in &after.changed {
                let named = changed.after.as_ref().or(changed.before.as_ref()).unwrap();
                prop_assert!(before.by_name(&named.name).map(Arc::as_ptr) == changed.before.as_ref().map(Arc::as_ptr));
                prop_assert!(after.accounts.by_name(&named.name).map(Arc::as_ptr) == changed.after.as_ref().map(Arc::as_ptr));
            }
            accounts = after.accounts;
            // Who stays keeps its slot, and nobody has a slot that somebody else has.
            for (slot, account) in before.by_slot() {
                let now = accounts.slot_of(&account.name);
                prop_assert!(now.is_none_or(|now| now == slot), "{} was at {}, and is at {:?}", account.name, slot, now);
            }
            let slots = accounts.by_slot().map(|(slot, _)| slot).max().unwrap_or(0);
            prop_assert!(slots <= 2 + 40, "slots are used again: {}", slots);
        }
        kept.push((accounts, plain));
        for (accounts, plain) in &kept {
            check(accounts, plain);
        }
    }
}

#[test]
fn accounts_of_files_stay_and_what_collides_with_them_is_told() {
    let files = files();
    let Changes { accounts, changed, conflicts } =
        files.with(&[put("f0", &[1]), remove("f1"), put("a", &[2, 1001, 3])]);
    let clash = Clash::Digest { token: 1, account: "f1".into() };
    let expected =
        [("f0", Clash::Name), ("a", clash)].map(|(account, with)| Conflict { account: account.into(), with });
    assert_eq!(conflicts, expected);
    assert_eq!((changed.len(), names(accounts.iter())), (1, vec!["f0", "f1", "a"]));
    let owner = |token| accounts.find(&digest(token)).map(|found| &*found.account.name);
    assert_eq!([1, 2, 1001, 3].map(owner), [None, Some("a"), Some("f1"), Some("a")]);
    // What could not be found is not taken from whom it belongs to.
    let without = accounts.with(&[remove("a")]).accounts;
    assert_eq!(without.find(&digest(1001)).map(|found| &*found.account.name), Some("f1"));
    assert!(without.find(&digest(2)).is_none());

    let mut taken_in = files.clone();
    let all = [put("f0", &[1]), put("a", &[2, 1001, 3])].map(|change| change.after().cloned().unwrap());
    assert_eq!(taken_in.take_in(all), expected);
    assert_eq!(names(taken_in.iter()), ["f0", "f1", "a"]);
}

#[test]
fn a_token_is_unknown_at_once_and_the_snapshot_before_still_knows_it() {
    let before = files().with(&[put("a", &[1, 2])]).accounts;
    let after = before.with(&[put("a", &[2])]).accounts;
    assert!(before.find(&digest(1)).is_some() && after.find(&digest(1)).is_none());
    assert!(after.find(&digest(2)).is_some());
    assert!(after.with(&[remove("a")]).accounts.find(&digest(2)).is_none());
    assert!(before.with(&[remove("nobody")]).changed.is_empty());
}

#[test]
fn of_several_changes_of_one_account_the_last_counts() {
    let accounts = files();
    for (changes, expected) in [
        (vec![put("a", &[1]), put("a", &[2])], Some(2)),
        (vec![put("a", &[1]), remove("a")], None),
        (vec![remove("a"), put("a", &[2])], Some(2)),
    ] {
        let Changes { accounts, changed, conflicts } = accounts.with(&changes);
        assert_eq!((changed.len(), conflicts), (usize::from(expected.is_some()), vec![]));
        assert!(accounts.find(&digest(1)).is_none());
        assert_eq!(accounts.find(&digest(2)).is_some(), expected.is_some());
    }
}
