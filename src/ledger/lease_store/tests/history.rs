//! What makes a database another one: a server that starts again, and a copy that is put in its place.

use super::tables::{PRODUCT, account, centre};
use crate::ledger::entry::Kind;
use crate::ledger::lease::message::{Answer, Body, Counters, Epoch, Identity, Key, NodeId, Outcome, Refusal, Request};
use crate::ledger::lease_store::centre::LeaseStore;
use crate::ledger::lease_store::grants::{Change, Outcome as ChangeOutcome};
use crate::ledger::store::tests::cluster::{self, Cluster, USER};
use crate::ledger::store::tests::{at, new_in};

const KEY: Key = Key { owner: 0, period: 0 };
const TAKEN: Counters = Counters { taken: 7, returned: 1, spent: 3 };

fn ask(store: &mut LeaseStore, epoch: Epoch, body: Body, nonce: u64) -> Result<Outcome, Refusal> {
    let identity = Identity { id: NodeId(5), incarnation: 0 };
    let request = Request { identity, epoch, number: 3, body };
    let Answer { to, number, result } = store.serve(&request, nonce).unwrap();
    assert_eq!((to, number), (NodeId(5), 3));
    result
}

/// Joins, and returns the epoch.
fn join(store: &mut LeaseStore) -> Epoch {
    let (account, product, key) = (account(0), PRODUCT, "first");
    let change =
        Change { account: &account, product, kind: Kind::Grant, amount: 10, key, by: "test", why: "", at_ms: 0 };
    assert!(matches!(store.change(&change).unwrap(), ChangeOutcome::Done(_)));
    // The first transaction of all finds a history that it does not know.
    let Err(Refusal::Epoch(first)) = ask(store, Epoch::default(), Body::Join, 11) else { panic!("no epoch") };
    assert_eq!(first, Epoch { number: 1, nonce: 11 });
    assert_eq!(ask(store, first, Body::Join, 12), Ok(Outcome::Joined(first)));
    first
}

/// Whoever is asked next begins an epoch, in which counters are declared.
fn is_another(store: &mut LeaseStore, before: Epoch) {
    let report = Body::Report { draining: false, leases: Vec::new(), answered: Vec::new(), all: false };
    let refused = ask(store, before, report, u64::MAX);
    let epoch = Epoch { number: before.number + 1, nonce: u64::MAX };
    assert_eq!(refused, Err(Refusal::Epoch(epoch)));
    let declared = ask(store, epoch, Body::Declare(vec![(KEY, TAKEN)]), 14);
    assert_eq!(declared, Ok(Outcome::Declared(vec![(KEY, TAKEN)])));
}

#[test]
fn a_server_that_starts_again_begins_an_epoch() {
    let cluster = Cluster::start();
    let settings = new_in(&cluster);
    let mut store = centre(&settings, 1);
    let epoch = join(&mut store);
    assert_eq!(ask(&mut store, epoch, Body::Join, 13), Ok(Outcome::Joined(epoch)));
    cluster.kill();
    assert!(store.heartbeats(1).is_err());
    cluster.start_again();
    is_another(&mut store, epoch);
}

#[test]
fn a_copy_that_is_put_in_its_place_begins_an_epoch() {
    let cluster = cluster::shared();
    let settings = new_in(cluster);
    let mut store = centre(&settings, 1);
    let epoch = join(&mut store);
    drop(store);
    let copy = format!("{}_copy", settings.database);
    let create = format!("CREATE DATABASE {copy} OWNER {USER} TEMPLATE {}", settings.database);
    let began = std::time::Instant::now();
    while let Err(error) = cluster.administrator().batch_execute(&create) {
        assert!(began.elapsed().as_secs() < 10, "{error}");
    }
    is_another(&mut centre(&at(cluster, &copy), 1), epoch);
    // The other one is as it was.
    assert_eq!(ask(&mut centre(&settings, 1), epoch, Body::Join, 13), Ok(Outcome::Joined(epoch)));
}
