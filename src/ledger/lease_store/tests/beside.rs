//! Several gateways that write at once, while one of them fences the others for no reason: nothing is sold twice,
//! nothing is charged twice, and nothing is lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::tables::{PRODUCT, account, centre, connect};
use crate::ledger::entry;
use crate::ledger::lease::message::{Ask, Fence, Key, NodeId};
use crate::ledger::lease::node::{Kind, Node, State};
use crate::ledger::lease::terms::Terms;
use crate::ledger::lease_store::centre::LeaseStore;
use crate::ledger::lease_store::grants::{Change, Outcome as ChangeOutcome};
use crate::ledger::store::PostgresSettings;
use crate::ledger::store::tests::{cluster, new_in};

const GATEWAYS: u64 = 5;
const ACCOUNTS: u32 = 3;
const GRANTED: u64 = 400;
/// Requests to the centre of each gateway.
const ROUNDS: u64 = 150;
/// The most messages until an identity that ends is settled.
const LAST_WORDS: u32 = 20;

/// Identities are never silent for too long, and new ones wait for nobody.
fn terms() -> Terms {
    Terms { ttl: u64::MAX / 4, lag: 0, ..Terms::default() }
}

/// Random numbers from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// A gateway without requests.
struct Gateway {
    store: LeaseStore,
    node: Node,
    dice: Dice,
    now: u64,
    /// Credits that were delivered, for each account.
    delivered: Vec<u64>,
}

impl Gateway {
    fn new(settings: &PostgresSettings, seed: u64) -> Gateway {
        let mut dice = Dice(seed);
        let node = Node::new(NodeId(dice.below(1 << 62)), 0);
        let delivered = vec![0; usize::try_from(ACCOUNTS).unwrap()];
        Gateway { store: centre(settings, ACCOUNTS), node, dice, now: 0, delivered }
    }

    fn exchange(&mut self, kind: Kind) {
        self.now += 1;
        let Some(request) = self.node.send(kind, self.now, &terms()) else { return };
        let nonce = self.dice.below(u64::MAX);
        match self.store.serve(&request, nonce) {
            Ok(answer) => self.node.receive(&answer, self.now, &terms()),
            Err(error) => panic!("{error}"),
        }
    }

    fn key(&mut self) -> Key {
        Key { owner: u32::try_from(self.dice.below(ACCOUNTS.into())).unwrap(), period: 0 }
    }

    fn round(&mut self) {
        for _ in 0..3 {
            let (key, amount) = (self.key(), 1 + self.dice.below(4));
            if self.node.hold(key, amount, self.now, &terms()) {
                let charged = self.dice.below(amount + 1);
                self.node.settle(key, amount, charged, &terms());
                self.delivered[usize::try_from(key.owner).unwrap()] += charged;
            }
        }
        if self.dice.below(4) == 0 {
            let key = self.key();
            self.node.give_back(key, self.dice.below(9), &terms());
        }
        for key in self.store.recalled(self.node.identity.id).unwrap() {
            self.node.recall(key);
        }
        let kind = match self.node.due() {
            Some(Kind::Report) if self.dice.below(3) > 0 => {
                let (key, want, floor) = (self.key(), 1 + self.dice.below(40), 1 + self.dice.below(4));
                Kind::Acquire(vec![Ask { key, want, floor, again: false }])
            }
            Some(due) => due,
            None => return self.begin_again(),
        };
        self.exchange(kind);
        if self.dice.below(40) == 0 {
            self.node.drain();
        }
    }

    /// Another identity, after the end of this one.
    fn begin_again(&mut self) {
        self.node = Node::new(NodeId(self.dice.below(1 << 62)), self.now);
    }

    fn end(mut self) -> Vec<u64> {
        self.node.drain();
        for _ in 0..LAST_WORDS {
            if let Some(due) = self.node.due() {
                self.exchange(due);
            }
        }
        assert!(self.node.state >= State::Retired && self.node.settled, "{:?}", self.node);
        self.delivered
    }
}

/// Fences whoever is there, in spite of heartbeats.
fn fence_at_random(settings: &PostgresSettings, is_over: &AtomicBool) -> u64 {
    let (mut store, mut dice, mut fenced) = (centre(settings, ACCOUNTS), Dice(77), 0);
    while !is_over.load(Ordering::Acquire) {
        let heartbeats = store.heartbeats(dice.below(u64::MAX)).unwrap();
        let count = heartbeats.beats.len() as u64;
        if count > 0 {
            let (id, beat) = heartbeats.beats[usize::try_from(dice.below(count)).unwrap()];
            let fence = Fence { id, beat: beat.number, epoch: heartbeats.epoch };
            fenced += u64::from(store.fence(&fence, dice.below(u64::MAX)).unwrap());
        }
        std::thread::sleep(std::time::Duration::from_millis(dice.below(30)));
    }
    fenced
}

#[test]
fn gateways_that_write_at_once_sell_what_there_is_and_no_more() {
    let settings = new_in(cluster::shared());
    let mut operator = centre(&settings, ACCOUNTS);
    for owner in 0..ACCOUNTS {
        let account = account(owner);
        let (credits, key) = (GRANTED, "first");
        let (product, kind, amount) = (PRODUCT, entry::Kind::Grant, i64::try_from(credits).unwrap());
        let change = Change { account: &account, product, kind, amount, key, by: "test", why: "", at_ms: 0 };
        assert!(matches!(operator.change(&change).unwrap(), ChangeOutcome::Done(_)));
    }
    let (is_over, running) = (AtomicBool::new(false), AtomicU64::new(GATEWAYS));
    let (delivered, fenced) = std::thread::scope(|scope| {
        let fencer = scope.spawn(|| fence_at_random(&settings, &is_over));
        let gateways: Vec<_> = (0..GATEWAYS)
            .map(|seed| {
                let (settings, is_over, running) = (&settings, &is_over, &running);
                scope.spawn(move || {
                    let mut gateway = Gateway::new(settings, seed + 1);
                    for _ in 0..ROUNDS {
                        gateway.round();
                    }
                    // Whoever is last is the last to be fenced.
                    if running.fetch_sub(1, Ordering::AcqRel) == 1 {
                        is_over.store(true, Ordering::Release);
                    }
                    gateway.end()
                })
            })
            .collect();
        let each: Vec<Vec<u64>> = gateways.into_iter().map(|one| one.join().unwrap()).collect();
        is_over.store(true, Ordering::Release);
        (each, fencer.join().unwrap())
    });
    assert!(fenced > 0);
    let tables = connect(&settings);
    for owner in 0..ACCOUNTS {
        let delivered: u64 = delivered.iter().map(|of| of[usize::try_from(owner).unwrap()]).sum();
        let sum = |query: &str| -> i64 { tables.query_row(query, [account(owner)], |row| row.get(0)).unwrap() };
        let number = |query: &str| u64::try_from(sum(query)).unwrap();
        let of_leases = |column: &str| {
            number(&format!("SELECT CAST(coalesce(sum({column}), 0) AS BIGINT) FROM credit_lease WHERE account = ?1"))
        };
        let (spent, allotted) = (of_leases("spent"), of_leases("taken - returned"));
        let unpaid = number("SELECT CAST(coalesce(sum(credits), 0) AS BIGINT) FROM credit_unpaid WHERE account = ?1");
        let of_balance = number("SELECT allotted FROM credit_balance WHERE account = ?1");
        println!("{owner}: {delivered} delivered, {spent} spent, {unpaid} unpaid, {fenced} fenced");
        assert_eq!(spent + unpaid, delivered, "each lookup is charged once");
        assert!(spent <= GRANTED, "{spent}");
        assert_eq!((allotted, of_balance), (spent, spent), "what has ended has nothing on lease");
        assert_eq!(sum("SELECT deficit FROM credit_balance WHERE account = ?1"), 0);
    }
}
