//! Concurrent users of one store.

use std::sync::Arc;

use super::*;
use crate::ledger::store::Store;
use crate::ledger::store::accounts::{self, AccountPatch};

on_both_engines! {
    two_writers_at_once_lose_nothing,
}

fn two_writers_at_once_lose_nothing() {
    let bench = Bench::new("writers");
    tokio::runtime::Runtime::new().unwrap().block_on(two_writers(&bench));
}

async fn two_writers(bench: &Bench) {
    let store = Arc::new(Store::open(&bench.location, Box::new(Counting(0))).unwrap());
    let made = store.write(bench.act(None), |writing| accounts::create(writing, &draft("acme"))).await.unwrap();
    let id = made.value.id;
    let display = |text: String| AccountPatch { display: Some(text), ..AccountPatch::default() };
    // Everybody has seen the first version: one is done, the others get the newer state.
    let all = (0..8).map(|number| {
        let (store, act, id) = (Arc::clone(&store), bench.act(None), id.clone());
        let patch = display(format!("number {number}"));
        tokio::spawn(
            async move { store.write(act, move |writing| accounts::update(writing, &id, Some(1), &patch)).await },
        )
    });
    let mut done = Vec::new();
    for one in all.collect::<Vec<_>>() {
        match one.await.unwrap() {
            Ok(outcome) => done.push(outcome.value),
            Err(error) => assert!(matches!(error, StoreError::Conflict { row_version: 2, .. }), "{error}"),
        }
    }
    assert_eq!(done.len(), 1);
    let read = {
        let id = id.clone();
        store.read(move |connection| accounts::get(connection, &id)).await.unwrap()
    };
    assert_eq!(read, done[0]);
    assert!(store.wait_for_commit(1, std::time::Duration::ZERO) >= 2, "each commit has woken who follows");

    // Another process, or another node: a connection of its own.
    let mut other = open(&bench.location).unwrap();
    let mut random = Counting(1 << 40);
    transact(&mut other, bench.act(None), &mut random, None, |writing| accounts::create(writing, &draft("bee")))
        .unwrap();
    let count = store.read(accounts::count).await.unwrap();
    assert_eq!(count, 2);

    // An operation that panics has changed nothing, and the next one is done.
    let broken = store.write(bench.act(None), |_| -> Result<i64, StoreError> { panic!("a fault of the test") }).await;
    assert!(matches!(broken, Err(StoreError::Unavailable { .. })));
    assert!(store.write(bench.act(None), |writing| accounts::create(writing, &draft("cat"))).await.is_ok());
}
