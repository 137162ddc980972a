//! Several gateways with requests, and a centre that can be away, in simulated time.

use std::collections::BTreeMap;

use super::super::centre::Centre;
use super::super::message::{Counters, Key, NodeId};
use super::super::node::{Node, State};
use super::super::terms::{Terms, Time};
use super::{Balances, Driver, Next, Usage, Verdict};

const KEY: Key = Key { owner: 1, period: 0 };
/// A step of the simulation, in milliseconds; a message and its answer take one.
const STEP: Time = 10;
/// The most messages of a gateway in one step.
const BURST: u32 = 8;

/// Balances without threads.
#[derive(Default)]
struct Till {
    available: BTreeMap<Key, u64>,
    spent: BTreeMap<Key, u64>,
    taken: BTreeMap<Key, u64>,
    until: Time,
}

impl Till {
    /// A lookup: held and spent at once.
    fn sell(&mut self, key: Key, credits: u64, now: Time) -> bool {
        let available = self.available.entry(key).or_default();
        let sold = now < self.until && *available >= credits;
        if sold {
            *available -= credits;
            *self.spent.entry(key).or_default() += credits;
        }
        sold
    }
}

impl Balances for Till {
    fn usage(&self, key: Key) -> Usage {
        let of = |table: &BTreeMap<Key, u64>| table.get(&key).copied().unwrap_or_default();
        Usage { available: of(&self.available), spent: of(&self.spent) }
    }

    fn add(&mut self, key: Key, taken: u64) -> bool {
        let before = self.taken.insert(key, taken).unwrap_or_default();
        *self.available.entry(key).or_default() += taken - before;
        true
    }

    fn take_back(&mut self, key: Key) -> u64 {
        self.available.insert(key, 0).unwrap_or_default()
    }

    fn sell_until(&mut self, time: Time) {
        self.until = time;
    }

    fn begin(&mut self, _: NodeId) -> bool {
        assert!(self.available.values().all(|available| *available == 0));
        self.spent.clear();
        self.taken.clear();
        true
    }
}

struct Gateway {
    driver: Driver,
    till: Till,
    /// A request that waits for a verdict.
    waits: bool,
    verdict: Option<Verdict>,
    messages: u64,
}

struct World {
    now: Time,
    centre: Centre,
    terms: Terms,
    gateways: Vec<Gateway>,
    is_away: bool,
    identities: u64,
}

impl World {
    fn new(granted: u64, gateways: u64) -> World {
        let mut centre = Centre::default();
        centre.grant(KEY, granted);
        let terms = Terms { lag: 0, ..Terms::default() };
        let gateway = |id| Gateway {
            driver: Driver::new(Node::new(NodeId(id), 0), terms, 0),
            till: Till::default(),
            waits: false,
            verdict: None,
            messages: 0,
        };
        let mut world = World {
            now: 0,
            centre,
            terms,
            gateways: (0..gateways).map(gateway).collect(),
            is_away: false,
            identities: gateways,
        };
        world.pass(100);
        world
    }

    fn pass(&mut self, time: Time) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            for index in 0..self.gateways.len() {
                self.drive(index);
            }
            self.check();
        }
    }

    fn drive(&mut self, index: usize) {
        for _ in 0..BURST {
            let (now, nonce) = (self.now, self.now);
            let Gateway { driver, till, messages, .. } = &mut self.gateways[index];
            let next = driver.next(now, till);
            if self.is_away && !matches!(next, Next::Wait(_) | Next::Begin) {
                driver.failed(now);
                continue;
            }
            match next {
                Next::Send(request) => {
                    *messages += 1;
                    let answer = self.centre.serve(&request, nonce, &self.terms);
                    driver.answered(&answer, now, till);
                }
                Next::Recalls(id) => {
                    let keys: Vec<Key> = self.centre.recalled(id).collect();
                    driver.recalled(&keys, till);
                }
                Next::Look => driver.looked(&self.centre.heartbeats(nonce, &self.terms), now),
                Next::Fence(fence) => {
                    self.centre.fence(&fence, nonce, &self.terms);
                }
                Next::Begin => {
                    driver.begin(NodeId(self.identities), now, till);
                    self.identities += 1;
                }
                Next::Wait(until) => {
                    assert!(until > now);
                    break;
                }
            }
        }
        let gateway = &mut self.gateways[index];
        for (key, verdict) in gateway.driver.verdicts() {
            assert_eq!(key, KEY);
            gateway.verdict = gateway.waits.then_some(verdict);
        }
    }

    /// What is available, on lease and spent is what was granted.
    fn check(&self) {
        let balance = self.centre.balances.get(KEY).unwrap();
        let leased: u64 = self.centre.leases.iter().map(|(_, row)| row.allotted()).sum();
        assert_eq!(leased, balance.allotted);
        let here = |gateway: &Gateway| gateway.till.usage(KEY).available;
        let available: u64 = self.gateways.iter().map(here).sum();
        assert!(available + self.spent() <= balance.granted, "{:?}", self.centre);
    }

    /// Credits that were spent, of identities that live and of those before.
    fn spent(&self) -> u64 {
        let of_row = |id| self.centre.leases.get((KEY, id)).map_or(0, |row: &Counters| row.spent);
        let living = self.gateways.iter().map(|gateway| {
            let id = gateway.driver.node().identity.id;
            gateway.till.usage(KEY).spent.saturating_sub(of_row(id))
        });
        self.centre.leases.iter().map(|(_, row)| row.spent).sum::<u64>() + living.sum::<u64>()
    }

    /// A request, which waits if it has to; what it is told, and how long it took.
    fn buy(&mut self, index: usize, credits: u64) -> (Verdict, Time) {
        let begun = self.now;
        loop {
            let now = self.now;
            let gateway = &mut self.gateways[index];
            if gateway.till.sell(KEY, credits, now) {
                return (Verdict::Try, now - begun);
            }
            gateway.driver.short(KEY, credits, now);
            (gateway.waits, gateway.verdict) = (true, None);
            while self.gateways[index].verdict.is_none() {
                assert!(self.now - begun < 10_000, "no verdict");
                self.pass(STEP);
            }
            let gateway = &mut self.gateways[index];
            gateway.waits = false;
            match gateway.verdict.take() {
                Some(Verdict::Try) | None => {}
                Some(verdict) => return (verdict, self.now - begun),
            }
        }
    }
}

#[test]
fn the_last_credits_are_usable_on_every_gateway() {
    for holder in 0..5 {
        for buyer in 0..5 {
            let mut world = World::new(3, 5);
            assert_eq!(world.buy(holder, 1).0, Verdict::Try);
            for _ in 0..2 {
                let (verdict, took) = world.buy(buyer, 1);
                assert_eq!(verdict, Verdict::Try);
                assert!(took <= 1_500, "{took} ms");
            }
            for index in 0..5 {
                assert_eq!(world.buy(index, 1).0, Verdict::Insufficient, "gateway {index}");
            }
            assert_eq!(world.spent(), 3);
        }
    }
}

#[test]
fn what_others_hold_without_need_is_recalled() {
    let mut world = World::new(100, 3);
    for _ in 0..10 {
        assert_eq!(world.buy(0, 1).0, Verdict::Try);
    }
    world.pass(3_000);
    assert!(world.gateways[0].till.usage(KEY).available > 20);
    for _ in 0..90 {
        let (verdict, took) = world.buy(1, 1);
        assert_eq!(verdict, Verdict::Try);
        assert!(took <= 1_500, "{took} ms");
    }
    assert_eq!(world.buy(2, 1).0, Verdict::Insufficient);
}

#[test]
fn a_minute_without_the_centre_refuses_nothing_at_normal_demand() {
    let mut world = World::new(1_000_000, 2);
    let mut refused = 0;
    let mut second = |world: &mut World, credits: u64| {
        for index in 0..2 {
            for _ in 0..credits {
                refused += u64::from(world.buy(index, 1).0 != Verdict::Try);
            }
        }
        world.pass(1_000);
    };
    for _ in 0..90 {
        second(&mut world, 20);
    }
    let before: u64 = world.gateways.iter().map(|gateway| gateway.messages).sum();
    for _ in 0..60 {
        second(&mut world, 20);
    }
    let messages = world.gateways.iter().map(|gateway| gateway.messages).sum::<u64>() - before;
    // A heartbeat a second, and some acquisitions.
    assert!(messages < 150, "{messages} messages");
    world.is_away = true;
    for _ in 0..60 {
        second(&mut world, 20);
    }
    world.is_away = false;
    for _ in 0..30 {
        second(&mut world, 20);
    }
    assert_eq!(refused, 0);
    assert_eq!(world.spent(), 240 * 40);
    assert!(world.gateways.iter().all(|gateway| gateway.driver.node().state == State::Live));
}

#[test]
fn without_the_centre_for_long_nothing_is_sold_and_then_it_goes_on() {
    let mut world = World::new(10_000, 2);
    for _ in 0..20 {
        assert_eq!(world.buy(0, 10).0, Verdict::Try);
        world.pass(1_000);
    }
    world.is_away = true;
    world.pass(world.terms.ttl);
    assert_eq!(world.gateways[0].driver.node().state, State::Expired);
    let (verdict, took) = world.buy(0, 10);
    assert!(verdict == Verdict::Unavailable && took <= 1_100, "{verdict:?} after {took} ms");
    world.is_away = false;
    world.pass(10_000);
    // Another identity; nothing was lost.
    assert_eq!(world.buy(0, 10).0, Verdict::Try);
    assert_eq!(world.spent(), 210);
    assert!(world.centre.unpaid.is_empty());
}

#[test]
fn a_gateway_that_is_gone_is_fenced_and_what_it_had_is_sold_by_others() {
    let mut world = World::new(100, 2);
    assert_eq!(world.buy(0, 1).0, Verdict::Try);
    world.pass(5_000);
    let gone = world.gateways.remove(0);
    assert!(gone.till.usage(KEY).available > 0);
    // What is left can be had at once, the rest only when the other one is fenced.
    let mut sold = 0;
    while world.buy(0, 1).0 == Verdict::Try {
        sold += 1;
    }
    assert!(sold < 99);
    world.pass(world.terms.fence_after() + 10_000);
    while world.buy(0, 1).0 == Verdict::Try {
        sold += 1;
    }
    assert_eq!(sold, 99);
}

#[test]
fn a_failover_is_declared_and_goes_on() {
    let mut world = World::new(1_000, 2);
    for index in 0..2 {
        assert_eq!(world.buy(index, 5).0, Verdict::Try);
    }
    world.pass(5_000);
    let replica = world.centre.clone();
    for index in 0..2 {
        assert_eq!(world.buy(index, 100).0, Verdict::Try);
    }
    world.pass(5_000);
    world.centre = Centre { server_timeline: 2, ..replica };
    world.pass(5_000);
    for index in 0..2 {
        assert_eq!(world.buy(index, 5).0, Verdict::Try);
    }
    world.pass(5_000);
    assert!(world.centre.cluster.opened);
    assert_eq!((world.centre.cluster.epoch.number, world.spent()), (2, 220));
}

#[test]
fn an_outage_beside_a_gateway_that_is_gone_is_over_once_that_is_fenced() {
    let mut world = World::new(10_000, 3);
    for index in 0..3 {
        assert_eq!(world.buy(index, 5).0, Verdict::Try);
    }
    world.pass(5_000);
    world.gateways.remove(0);
    // The database starts again after longer than all can sell: in the epoch that begins then, nobody is live.
    world.is_away = true;
    world.pass(world.terms.ttl + 10_000);
    world.centre.server_timeline = 2;
    world.is_away = false;
    world.pass(10_000);
    assert!(!world.centre.cluster.opened);
    world.pass(world.terms.fence_after());
    assert!(world.centre.cluster.opened);
    for index in 0..2 {
        assert_eq!(world.buy(index, 5).0, Verdict::Try);
    }
    assert_eq!(world.centre.unpaid.iter().count(), 0);
}

#[test]
fn a_hot_account_on_fifty_gateways_makes_at_most_fifty_transactions_a_second() {
    /// How often each gateway sells something, in milliseconds.
    const SALE: Time = 100;
    let mut world = World::new(100_000_000, 50);
    let sell_for = |world: &mut World, time: Time| {
        for _ in 0..time / SALE {
            for index in 0..50 {
                assert_eq!(world.buy(index, 4).0, Verdict::Try);
            }
            world.pass(SALE);
        }
        world.gateways.iter().map(|gateway| gateway.messages).sum::<u64>()
    };
    let before = sell_for(&mut world, 20_000);
    let messages = sell_for(&mut world, 60_000) - before;
    assert!(messages <= 50 * 60, "{messages} in a minute");
    println!("{:.1} transactions a second", f64::from(u32::try_from(messages).unwrap()) / 60.0);
}

#[test]
fn a_gateway_that_ends_returns_everything() {
    let mut world = World::new(1_000, 2);
    assert_eq!(world.buy(0, 7).0, Verdict::Try);
    world.gateways[0].driver.drain();
    world.pass(200);
    let id = NodeId(0);
    assert_eq!(world.centre.leases.get((KEY, id)).map(Counters::allotted), Some(7));
    assert!(world.centre.nodes.get(id).unwrap().has_ended());
}
