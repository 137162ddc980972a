//! Long random schedules, each from a seed: five nodes, hundreds of credits, quotas, and every fault.

use std::time::Instant;

use super::super::message::{Ask, Key, NodeId};
use super::super::node::{Kind, State};
use super::super::terms::{Rule, Terms};
use super::action::Action;
use super::check::Wrong;
use super::setup::{Budget, Setup};
use super::world::{World, key_of};

/// Events of a schedule.
pub const EVENTS: u64 = 400;
/// One event of so many has its state checked; a schedule that fails is run again with all of them.
const CHECK_ONE_OF: u64 = 8;
/// One schedule of so many ends with healing.
const HEAL_ONE_OF: u64 = 8;

/// Random numbers from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one.
    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    fn one_of(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

const SETUP: Setup = Setup {
    name: "schedule",
    nodes: 5,
    keys: 4,
    granted: 400,
    most_taken: u64::MAX,
    identities: u64::MAX,
    holds: 8,
    budget: Budget {
        ticks: u8::MAX,
        crashes: u8::MAX,
        disk_losses: u8::MAX,
        failovers: u8::MAX,
        losses: u8::MAX,
        hand_overs: u8::MAX,
        drains: u8::MAX,
    },
    delays: true,
    batch: true,
    asks_in_vain: true,
    returns: true,
    terms: Terms {
        ttl: 5,
        longest_request: 2,
        margin: 0,
        clock_error_percent: 2,
        lag: 3,
        low_factor: 8,
        ..Setup::PLAIN.terms
    },
    ..Setup::PLAIN
};

/// A schedule that is being run.
pub struct Run {
    dice: Dice,
    pub world: World,
    pub setup: Setup,
    /// Which nodes no message reaches, and which of them reach no other.
    cut_off: Vec<bool>,
}

impl Run {
    pub fn new(seed: u64, broken: Option<Rule>) -> Run {
        let mut dice = Dice(seed);
        // Some clusters replicate synchronously, some go back to old backups, and some have just few credits.
        let setup = SETUP.with(|setup| {
            setup.synchronous = dice.one_of(4);
            setup.backup = dice.one_of(8);
            setup.batch = dice.one_of(2);
            setup.joined = !dice.one_of(4);
            setup.joins_late = dice.one_of(4);
            setup.terms.rules.broken = broken;
            setup.granted = [2, 20, 400][dice.index(3)];
            setup.nodes = 2 + dice.index(4);
            setup.keys = [1, 2, 4][dice.index(3)];
        });
        let mut world = World::new(&setup);
        for slot in 0..setup.nodes {
            world.slot(slot).clock_rate = 99 + dice.below(3);
        }
        Run { dice, world, cut_off: vec![false; setup.nodes], setup }
    }

    fn key(&mut self) -> Key {
        key_of(u32::try_from(self.dice.below(u64::from(self.setup.keys))).unwrap())
    }

    fn amount(&mut self) -> u64 {
        1 + self.dice.below(self.setup.granted.min(12))
    }

    /// The next event: mostly traffic, sometimes time, seldom a fault.
    pub fn event(&mut self) {
        let slot = self.dice.index(self.setup.nodes);
        match self.dice.below(100) {
            0..30 => self.traffic(slot),
            30..46 => self.message(slot),
            46..70 => self.request(slot),
            70..73 => self.credits(slot),
            73..84 => self.time(),
            84..97 => self.recover(slot),
            _ => self.fault(slot),
        }
    }

    fn traffic(&mut self, slot: usize) {
        let holds = self.world.slots[slot].holds.len();
        if holds < self.setup.holds && self.dice.one_of(2) {
            let (key, amount) = (self.key(), self.amount());
            self.apply(Action::Hold(slot, key, amount));
        } else if holds > 0 {
            let hold = self.dice.index(holds);
            let charged = self.dice.below(self.world.slots[slot].holds[hold].amount + 1);
            self.apply(Action::Settle(slot, hold, charged));
        }
    }

    fn message(&mut self, slot: usize) {
        let letters = self.world.slots[slot].letters.len();
        if letters == 0 || self.cut_off[slot] {
            return;
        }
        let letter = self.dice.index(letters);
        let lost = self.dice.one_of(12);
        self.apply(if lost { Action::Lose(slot, letter) } else { Action::Arrive(slot, letter) });
    }

    fn request(&mut self, slot: usize) {
        let Some(node) = &self.world.slots[slot].node else { return };
        if node.pending().is_some() {
            if self.dice.one_of(4) {
                self.apply(Action::GiveUp(slot));
            }
            return;
        }
        let due = node.due();
        let kind = if self.dice.one_of(2) {
            let (key, want, floor) = (self.key(), 1 + self.dice.below(2 * self.setup.granted), self.amount());
            Some(Kind::Acquire(vec![Ask { key, want, floor, again: self.dice.one_of(4) }]))
        } else {
            due
        };
        match kind {
            Some(kind) if self.dice.one_of(4) => self.world.send(slot, kind, &self.setup),
            kind => self.exchange(slot, kind),
        }
    }

    fn credits(&mut self, slot: usize) {
        let (key, most) = (self.key(), self.amount());
        match self.dice.below(3) {
            0 => self.apply(Action::GiveBack(slot, key, most)),
            1 => self.apply(Action::Flush(slot)),
            _ => {
                let id = self.world.slots[slot].node.as_ref().map(|node| node.identity.id);
                let recalled: Vec<Key> = id.into_iter().flat_map(|id| self.world.centre.recalled(id)).collect();
                recalled.into_iter().for_each(|key| self.apply(Action::Recall(slot, key)));
            }
        }
    }

    fn time(&mut self) {
        for slot in 0..self.setup.nodes {
            while let Some(hold) = self.world.overdue(slot, &self.setup) {
                let charged = self.dice.below(self.world.slots[slot].holds[hold].amount + 1);
                self.apply(Action::Settle(slot, hold, charged));
            }
        }
        for slot in 0..self.setup.nodes {
            if !self.dice.one_of(4) {
                let due = self.world.slots[slot].node.as_ref().and_then(|node| node.due());
                self.exchange(slot, due);
            }
        }
        self.apply(Action::Tick);
    }

    /// Sends a request and delivers what is on the way, unless the node is cut off.
    fn exchange(&mut self, slot: usize, kind: Option<Kind>) {
        if let Some(kind) = kind {
            self.world.send(slot, kind, &self.setup);
        }
        while !self.cut_off[slot] && !self.world.slots[slot].letters.is_empty() {
            self.apply(Action::Arrive(slot, 0));
        }
    }

    /// What ends a fault.
    fn recover(&mut self, slot: usize) {
        if self.dice.one_of(4) {
            self.cut_off[slot] = false;
        }
        let here = &self.world.slots[slot];
        let action = match &here.node {
            None if here.journal.is_some() => Action::Restart(slot),
            None => Action::Rejoin(slot),
            Some(node) if node.state >= State::Retired && node.settled => Action::Rejoin(slot),
            Some(_) => {
                let due: Vec<NodeId> =
                    self.world.janitor.due(self.world.now, &self.setup.terms).map(|fence| fence.id).collect();
                if due.is_empty() {
                    return;
                }
                Action::Fence(due[self.dice.index(due.len())])
            }
        };
        self.apply(action);
    }

    fn fault(&mut self, slot: usize) {
        let action = match self.dice.below(16) {
            0..4 => {
                self.cut_off[slot] = true;
                return;
            }
            4..6 => Action::Crash(slot),
            6 => Action::LoseDisk(slot),
            7..9 => Action::Drain(slot),
            9..11 => Action::HandOver(slot),
            11..14 => Action::Mark,
            _ => Action::Failover,
        };
        self.apply(action);
    }

    fn apply(&mut self, action: Action) {
        if action == Action::Mark && self.world.replica.is_some() {
            return;
        }
        self.world.apply(action, &self.setup);
        // What was promoted has followed nobody before, and nobody follows what is gone.
        if action == Action::Failover {
            self.world.replica = None;
        }
    }
}

/// Runs one schedule, and returns what is wrong, and after which event.
fn run(seed: u64, broken: Option<Rule>, check_one_of: u64) -> Option<(u64, Wrong, String)> {
    let mut run = Run::new(seed, broken);
    for event in 0..EVENTS {
        run.event();
        if event.is_multiple_of(check_one_of)
            && let Some((wrong, figures)) = run.world.wrong(&run.setup)
        {
            return Some((event, wrong, figures));
        }
    }
    let heals = seed.is_multiple_of(HEAL_ONE_OF);
    let wrong = run.world.wrong(&run.setup).or_else(|| heals.then(|| run.world.heal(&run.setup)).flatten());
    wrong.map(|(wrong, figures)| (EVENTS, wrong, figures))
}

/// Runs schedules on two threads.
fn run_all(seeds: u64) {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                for seed in (0..seeds).filter(|seed| seed % 2 == half) {
                    if run(seed, None, CHECK_ONE_OF).is_some() {
                        panic!("schedule {seed}: {:?}", run(seed, None, 1));
                    }
                }
            });
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    println!("{seeds} schedules of {EVENTS} events in {seconds:.1} s, {:.0} a second", seeds as f64 / seconds);
}

#[test]
fn random_schedules_break_nothing() {
    run_all(1_000);
}

#[test]
#[ignore = "make lease-search"]
fn a_million_random_schedules_break_nothing() {
    run_all(1_000_000);
}

/// Schedules would notice what they are for: some rules, each broken.
#[test]
fn random_schedules_notice_what_is_broken() {
    let rules = [Rule::SellAfterTheAcknowledgement, Rule::ReturnAtHomeFirst, Rule::Recall, Rule::HandOverHolds];
    for rule in rules {
        assert!((0..200).any(|seed| run(seed, Some(rule), 1).is_some()), "{rule:?}");
    }
}
