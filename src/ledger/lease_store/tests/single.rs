//! Grants, limits and periods, which the model's schedules do not have.

use super::tables::{PRODUCT, account, centre, connect, read, say_history};
use crate::ledger::lease::centre::Balance;
use crate::ledger::lease::message::Key;
use crate::ledger::lease::terms::Terms;
use crate::ledger::lease_store::centre::LeaseStore;
use crate::ledger::lease_store::grants::Grant;
use crate::ledger::store::tests::{cluster, new_in};
use crate::ledger::store::{Location, open};

#[test]
fn a_key_grants_once_and_its_row_stays() {
    let settings = new_in(cluster::shared());
    let (mut one, mut other, tables) = (centre(&settings, 2), centre(&settings, 2), connect(&settings));
    say_history(&tables);
    let account = account(1);
    let grant =
        |credits, key| Grant { account: &account, product: PRODUCT, credits, key, by: "ann", why: "", at_ms: 9 };
    let new = [
        one.grant(&grant(10, "a")).unwrap(),
        other.grant(&grant(10, "a")).unwrap(),
        other.grant(&grant(5, "b")).unwrap(),
        one.grant(&grant(5, "b")).unwrap(),
    ];
    assert_eq!(new, [true, false, true, false]);
    tables.execute_batch("UPDATE test_history SET history = '1'; UPDATE credit_cluster SET history = '1'").unwrap();
    let key = Key { owner: 1, period: 0 };
    assert_eq!(read(&tables).balances.get(key), Some(&Balance { granted: 15, allotted: 0, deficit: 0 }));
    for statement in ["UPDATE credit_entry SET amount = 1", "DELETE FROM credit_entry", "TRUNCATE credit_entry"] {
        assert!(tables.execute_batch(statement).is_err(), "{statement}");
    }
    assert!(one.grant(&grant(1 << 40, "too much")).is_err());
    assert!(one.grant(&grant(u64::MAX, "no number")).is_err());
    assert_eq!(read(&tables).balances.get(key).map(|balance| balance.granted), Some(15));
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
