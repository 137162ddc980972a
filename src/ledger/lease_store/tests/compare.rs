//! The model's random schedules, with the centre of the model and the one in the database side by side: the same answers
//! and the same tables, through lost messages, crashes, failovers and backups.

use std::time::Instant;

use super::tables::{self, centre, connect};
use crate::ledger::lease::centre::{Balance, Centre};
use crate::ledger::lease::model::schedule::{EVENTS, Run};
use crate::ledger::lease::model::world::Call;
use crate::ledger::lease::terms::{Rule, Rules, Terms};
use crate::ledger::lease_store::centre::LeaseStore;
use crate::ledger::store::tests::cluster;
use crate::ledger::store::tests::new_in;
use crate::ledger::store::tests::pooler::Pooler;
use crate::ledger::store::{Connection, PostgresSettings};

/// The most keys of a schedule.
const KEYS: u32 = 4;

/// The two centres, and a connection that looks at the tables.
struct Both {
    store: LeaseStore,
    tables: Connection,
}

impl Both {
    /// With one way for messages, and another to look.
    fn new(way: &PostgresSettings, direct: &PostgresSettings) -> Both {
        let tables = connect(direct);
        tables::say_history(&tables);
        Both { store: centre(way, KEYS), tables }
    }

    /// Runs a schedule, and returns the first difference, with the number of its event.
    fn run(&mut self, seed: u64, broken: Option<Rule>) -> Option<String> {
        let mut run = Run::new(seed, broken);
        run.world.calls = Some(Vec::new());
        self.store.agree_on(Terms { rules: Rules::default(), ..run.setup.terms });
        tables::replace(&mut self.tables, &run.world.centre);
        for event in 0..EVENTS {
            run.event();
            let calls = run.world.calls.replace(Vec::new()).unwrap();
            if calls.is_empty() {
                continue;
            }
            for call in calls {
                if let Some(difference) = self.call(call) {
                    return Some(format!("schedule {seed}, event {event}: {difference}"));
                }
            }
            let (expected, found) = (without_empty(&run.world.centre), without_empty(&tables::read(&self.tables)));
            if expected != found {
                return Some(format!("schedule {seed}, event {event}: the tables are {found:#?} not {expected:#?}"));
            }
        }
        run.world.centre.nodes.iter().find_map(|(id, _)| {
            let expected: Vec<_> = run.world.centre.recalled(id).collect();
            let mut found = self.store.recalled(id).unwrap();
            found.sort();
            (expected != found).then(|| format!("schedule {seed}: {found:?} are recalled of {id:?}, not {expected:?}"))
        })
    }

    /// The same in the database; a difference.
    fn call(&mut self, call: Call) -> Option<String> {
        let differs = |what: String, is_same: bool| (!is_same).then_some(what);
        match call {
            Call::Serve(request, nonce, expected) => {
                let found = self.store.serve(&request, nonce).unwrap();
                differs(format!("{request:?} is answered {found:?}, not {expected:?}"), found == expected)
            }
            Call::Look(nonce, expected) => {
                let found = self.store.heartbeats(nonce).unwrap();
                differs(format!("the heartbeats are {found:?}, not {expected:?}"), found == expected)
            }
            Call::Fence(fence, nonce, expected) => {
                let found = self.store.fence(&fence, nonce).unwrap();
                differs(format!("{fence:?} is answered {found:?}, not {expected:?}"), found == expected)
            }
            Call::Promoted(centre) => {
                tables::replace(&mut self.tables, &centre);
                None
            }
        }
    }
}

/// Balances without anything are as none.
fn without_empty(centre: &Centre) -> Centre {
    let mut centre = centre.clone();
    centre.balances.retain(|_, balance| *balance != Balance::default());
    centre
}

/// How many schedules: a few, or as many as somebody wishes.
fn schedules() -> u64 {
    std::env::var("TOLLGATE_LEASE_SCHEDULES").ok().and_then(|text| text.parse().ok()).unwrap_or(16)
}

#[test]
fn random_schedules_are_the_same_in_the_database() {
    let begun = Instant::now();
    let seeds = schedules();
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                let settings = new_in(cluster::shared());
                let mut both = Both::new(&settings, &settings);
                for seed in (0..seeds).filter(|seed| seed % 2 == half) {
                    assert_eq!(both.run(seed, None), None);
                }
            });
        }
    });
    println!("{seeds} schedules of {EVENTS} events in {:.1} s", begun.elapsed().as_secs_f64());
}

#[test]
fn they_are_the_same_through_a_pooler_in_transaction_mode() {
    let cluster = cluster::shared();
    let settings = new_in(cluster);
    let pooler = Pooler::start(cluster);
    let mut both = Both::new(&pooler.settings(&settings), &settings);
    for seed in 100..103 {
        assert_eq!(both.run(seed, None), None);
    }
}

/// Each of these is another centre than the one in the database.
#[test]
fn a_difference_would_be_noticed() {
    let settings = new_in(cluster::shared());
    let mut both = Both::new(&settings, &settings);
    let rules = [
        Rule::AtMostHalf,
        Rule::Recall,
        Rule::EndedReportsNothing,
        Rule::EpochForEachTimeline,
        Rule::ClosedUntilAllHaveDeclared,
    ];
    for rule in rules {
        assert!((0..30).any(|seed| both.run(seed, Some(rule)).is_some()), "{rule:?}");
    }
}
