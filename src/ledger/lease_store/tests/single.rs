//! Grants, limits and periods, which the model's schedules do not have.

use std::sync::Arc;

use super::tables::{PRODUCT, account, centre, connect, read, say_history};
use crate::ledger::entry::Kind;
use crate::ledger::lease::centre::Balance;
use crate::ledger::lease::message::Outcome::Joined;
use crate::ledger::lease::message::{Body, Epoch, Identity, Key, NodeId, Request};
use crate::ledger::lease::terms::Terms;
use crate::ledger::lease_store::centre::LeaseStore;
use crate::ledger::lease_store::grants::{Change, Outcome};
use crate::ledger::page::Page;
use crate::ledger::store::tests::{cluster, new_in};
use crate::ledger::store::{Location, open};
use crate::policy::credits::CreditAccount;

fn change<'c>(account: &'c str, kind: Kind, amount: i64, key: &'c str) -> Change<'c> {
    Change { account, product: PRODUCT, kind, amount, key, by: "ann", why: "invoice 17", at_ms: 1_700_000_000_000 }
}

#[test]
fn a_key_changes_a_balance_once_and_its_row_stays() {
    use Kind::{Adjustment, Grant};
    let settings = new_in(cluster::shared());
    let (mut one, mut other, tables) = (centre(&settings, 2), centre(&settings, 2), connect(&settings));
    say_history(&tables);
    tables.execute_batch("UPDATE test_history SET history = '1'; UPDATE credit_cluster SET history = '1'").unwrap();
    let account = account(1);
    for (kind, amount, key, expected, granted) in [
        (Grant, 10, "a", "done", 10),
        (Grant, 10, "a", "again", 10),
        (Grant, 11, "a", "taken", 10),
        (Adjustment, 10, "a", "taken", 10),
        (Grant, 5, "b", "done", 15),
        (Adjustment, -15, "c", "done", 0),
        (Adjustment, -1, "d", "too little", 0),
        (Adjustment, 4, "d", "done", 4),
        (Grant, 1 << 40, "e", "too much", 4),
        (Grant, i64::MAX, "f", "too much", 4),
    ] {
        for store in [&mut one, &mut other] {
            let found = store.change(&change(&account, kind, amount, key)).unwrap();
            let word = match &found {
                Outcome::Done(entry) | Outcome::Again(entry) => {
                    assert_eq!((entry.kind, entry.amount, entry.key.as_deref()), (kind, amount, Some(key)));
                    assert_eq!(
                        (&*entry.by, &*entry.why, &*entry.at),
                        ("ann", "invoice 17", "2023-11-14T22:13:20.000Z")
                    );
                    if matches!(found, Outcome::Done(_)) { "done" } else { "again" }
                }
                Outcome::KeyTaken => "taken",
                Outcome::TooMuch => "too much",
                Outcome::TooLittle => "too little",
            };
            // The other one sends the same again.
            let expected = if word == "again" && expected == "done" { "again" } else { expected };
            assert_eq!(word, expected, "{kind:?} {amount} {key}");
        }
        let balance = Balance { granted, allotted: 0, deficit: 0 };
        assert_eq!(read(&tables).balances.get(Key { owner: 1, period: 0 }), Some(&balance), "{amount} {key}");
    }
    for statement in ["UPDATE credit_entry SET amount = 1", "DELETE FROM credit_entry", "TRUNCATE credit_entry"] {
        assert!(tables.execute_batch(statement).is_err(), "{statement}");
    }
    let entries = one.entries(&Page { rows: 2, ..Page::default() }).unwrap();
    assert_eq!(entries.iter().map(|entry| entry.amount).collect::<Vec<_>>(), [10, 5]);
    let page = |since, until| Page { since, until, account: Some(account.as_str().into()), rows: 9, ..Page::default() };
    for (since, until, rows) in [
        (None, None, 4),
        (Some(1_700_000_000), None, 4),
        (None, Some(1_700_000_000), 0),
        (Some(1_700_000_001), None, 0),
    ] {
        assert_eq!(one.entries(&page(since, until)).unwrap().len(), rows, "{since:?} {until:?}");
    }
    assert_eq!(one.entries(&Page { account: Some("nobody".into()), rows: 9, ..Page::default() }).unwrap(), []);
}

#[test]
fn what_is_written_of_an_account_is_granted_once_whoever_starts_first() {
    let settings = new_in(cluster::shared());
    let (mut one, mut other, tables) = (centre(&settings, 3), centre(&settings, 3), connect(&settings));
    say_history(&tables);
    tables.execute_batch("UPDATE test_history SET history = '1'; UPDATE credit_cluster SET history = '1'").unwrap();
    let known = |index, credits| Arc::new(CreditAccount::new(account(index).into(), PRODUCT.into(), credits));
    let accounts = [known(0, 40), known(1, 0), known(2, 7)];
    for _ in 0..2 {
        one.first_grants(&accounts, 9).unwrap();
        // Another gateway has a newer file already: what was granted stays.
        other.first_grants(&[known(2, 70), known(0, 50)], 9).unwrap();
    }
    let balances = read(&tables).balances;
    let granted = |owner| balances.get(Key { owner, period: 0 }).map(|balance| balance.granted);
    assert_eq!([granted(0), granted(1), granted(2)], [Some(40), None, Some(7)]);
    let whole = one.whole(&[Key { owner: 2, period: 0 }, Key { owner: 1, period: 0 }], NodeId(1)).unwrap();
    let mut granted: Vec<(u32, u64)> = whole.iter().map(|found| (found.key.owner, found.granted)).collect();
    granted.sort_unstable();
    assert_eq!(granted, [(1, 0), (2, 7)]);
}

#[test]
fn a_limit_can_be_lowered_and_a_period_that_is_over_is_forgotten() {
    let settings = new_in(cluster::shared());
    let (mut store, tables) = (centre(&settings, 1), connect(&settings));
    say_history(&tables);
    tables.execute_batch("UPDATE test_history SET history = '1'; UPDATE credit_cluster SET history = '1'").unwrap();
    let account = account(0);
    let key = Key { owner: 0, period: 20_260 };
    for limit in [100, 60] {
        store.set_limit(&account, PRODUCT, key.period, limit).unwrap();
        assert_eq!(read(&tables).balances.get(key).map(|balance| balance.granted), Some(limit));
    }
    store.close_period(&account, PRODUCT, key.period).unwrap();
    assert!(read(&tables).balances.is_empty());
}

#[test]
fn a_file_is_not_shared() {
    let file = std::env::temp_dir().join(format!("tollgate-no-centre-{}.db", std::process::id()));
    let connection = open(Location::File(file.clone())).unwrap();
    let refused = LeaseStore::new(connection, "edge-1", Terms::default()).err().unwrap();
    assert!(refused.to_string().contains("PostgreSQL"), "{refused}");
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_heartbeat_tells_how_long_the_silence_must_be_from_then_on() {
    let settings = new_in(cluster::shared());
    let (mut store, tables) = (centre(&settings, 1), connect(&settings));
    say_history(&tables);
    tables.execute_batch("UPDATE test_history SET history = '1'; UPDATE credit_cluster SET history = '1'").unwrap();
    let identity = Identity { id: NodeId(5), incarnation: 0 };
    let say =
        |store: &mut LeaseStore, epoch, body| store.serve(&Request { identity, epoch, number: 1, body }, 9).unwrap();
    let Ok(Joined(epoch)) = say(&mut store, Epoch::default(), Body::Join).result else { panic!("not joined") };
    // The next process of an upgrade may sell for longer.
    for ttl in [120_000, 600_000, 10_000] {
        let terms = Terms { ttl, ..Terms::default() };
        store.agree_on(terms);
        let report = Body::Report { draining: false, leases: Vec::new(), answered: Vec::new(), all: false };
        assert!(say(&mut store, epoch, report).result.is_ok());
        let row = read(&tables).nodes.get(identity.id).copied().unwrap();
        assert_eq!(row.fence_after, terms.fence_after(), "{ttl}");
    }
}
