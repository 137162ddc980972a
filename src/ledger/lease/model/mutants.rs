//! Each rule broken by itself, in a world as small as shows what goes wrong.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::terms::Rule;
use super::check::Wrong::{self, ChargedTwice, Deficit, Oversold, Stuck, Unbalanced};
use super::search::{Explored, Found, Reach, explore};
use super::setup::Setup;
use super::words::tell;

/// A rule, the world, and what must be found without it.
struct Mutant {
    rule: Rule,
    setup: Setup,
    /// Or why nothing is.
    found: Result<Wrong, &'static str>,
    /// Too many states for every run of the tests.
    deep: bool,
}

/// How many rules there are.
const RULES: usize = 30;

fn mutant(rule: Rule, found: Result<Wrong, &'static str>, change: impl FnOnce(&mut Setup)) -> Mutant {
    let setup = Setup::PLAIN.with(|setup| setup.granted = 1).with(change);
    Mutant { rule, setup, found, deep: false }
}

/// The same in a world of many states.
fn deep(rule: Rule, found: Result<Wrong, &'static str>, change: impl FnOnce(&mut Setup)) -> Mutant {
    Mutant { deep: true, ..mutant(rule, found, change) }
}

/// A failover that can lose what was committed in its tick, and times that let nodes live on.
fn failover(setup: &mut Setup) {
    setup.budget.failovers = 1;
    setup.terms.lag = 1;
    setup.terms.ttl = 2;
}

/// Times that let nodes live on from tick to tick, if they report.
fn ticks(ticks: u8) -> impl Fn(&mut Setup) {
    move |setup| {
        setup.budget.ticks = ticks;
        setup.terms.ttl = 2;
        setup.most_taken = 1;
    }
}

/// A failover beside what is lost with it.
fn late_failover(setup: &mut Setup) {
    failover(setup);
    ticks(3)(setup);
}

/// One node whose messages are late, and so many failovers.
fn delayed(failovers: u8) -> impl Fn(&mut Setup) {
    move |setup| {
        failover(setup);
        setup.nodes = 1;
        setup.budget.failovers = failovers;
        setup.budget.losses = 1;
        setup.delays = true;
    }
}

/// Acquisition and counters.
fn counters() -> Vec<Mutant> {
    vec![
        mutant(Rule::SellAfterTheAcknowledgement, Ok(Oversold), |s| s.asks_in_vain = true),
        mutant(
            Rule::BelieveWritesOnly,
            Err(
                "not needed for safety since all declare after a failover; without it, a lost commit can become a gift",
            ),
            |s| {
                failover(s);
                s.synchronous = true;
                s.budget.crashes = 1;
            },
        ),
        mutant(Rule::OnlyTheAnswerThatIsWaitedFor, Ok(Unbalanced), delayed(1)),
        mutant(Rule::TotalsNotDifferences, Ok(ChargedTwice), |s| {
            s.granted = 2;
            s.budget.losses = 1;
        }),
        mutant(Rule::ReturnAtHomeFirst, Ok(Oversold), |_| ()),
        deep(Rule::AtMostHalf, Err("not needed for safety: it shares what is left between nodes"), |s| {
            s.granted = 3;
            s.most_taken = 3;
            s.asks_in_vain = true;
        }),
        mutant(Rule::Recall, Ok(Stuck), |s| s.asks_in_vain = true),
        mutant(Rule::DirectMode, Err("not needed for safety: it saves recalls"), |s| {
            s.granted = 3;
            s.most_taken = 3;
            s.terms.low_factor = 8;
        }),
    ]
}

/// The time of an identity.
fn time() -> Vec<Mutant> {
    vec![
        mutant(Rule::ExpiredSellsNothing, Ok(Oversold), ticks(4)),
        deep(Rule::ExpiredStaysExpired, Ok(Oversold), late_failover),
        mutant(Rule::TimeFromTheSending, Ok(Oversold), |s| {
            ticks(5)(s);
            s.terms.ttl = 3;
        }),
        mutant(Rule::FenceAfterTheLastRequest, Ok(Oversold), ticks(3)),
        mutant(
            Rule::FenceComparesTheHeartbeat,
            Err("not needed while clocks are right: who was silent for so long has expired for good"),
            ticks(5),
        ),
        deep(Rule::CountAnewInEachEpoch, Ok(Oversold), late_failover),
    ]
}

/// The end of an identity.
fn ends() -> Vec<Mutant> {
    vec![
        mutant(Rule::RetireWithoutHolds, Ok(Oversold), |s| s.budget.drains = 1),
        mutant(Rule::LastWordEndsSelling, Ok(Oversold), |s| s.budget.drains = 1),
        mutant(Rule::NewIdentityAfterRestart, Ok(Oversold), |s| {
            ticks(3)(s);
            s.budget.crashes = 1;
        }),
        mutant(Rule::EndedReportsNothing, Ok(Unbalanced), |s| {
            s.delays = true;
            s.budget.ticks = 2;
        }),
        mutant(Rule::LateChargesNeedRoom, Ok(Deficit), ticks(3)),
        mutant(Rule::HandOverHolds, Ok(Oversold), |s| s.budget.hand_overs = 1),
        deep(
            Rule::OnlyTheNewestIncarnation,
            Err("the model is too weak: no process goes on after it has handed over; late messages alone do no harm"),
            |s| {
                s.delays = true;
                s.budget.hand_overs = 1;
                s.budget.crashes = 1;
            },
        ),
    ]
}

/// Failovers.
fn failovers() -> Vec<Mutant> {
    vec![
        mutant(Rule::EpochForEachTimeline, Ok(Oversold), failover),
        deep(Rule::NonceOfTheEpoch, Ok(Unbalanced), |s| {
            delayed(2)(s);
            s.budget.ticks = 1;
        }),
        mutant(Rule::ClosedUntilAllHaveDeclared, Ok(Oversold), failover),
        mutant(Rule::JoinInTheEpochThatItNames, Ok(Oversold), |s| {
            failover(s);
            s.joins_late = true;
        }),
        mutant(Rule::DeclareBeforeReport, Ok(Unbalanced), failover),
        mutant(Rule::DeclareByMaximum, Ok(Unbalanced), |s| {
            delayed(1)(s);
            s.granted = 2;
        }),
        deep(Rule::TheEndedDoNotDeclare, Ok(Oversold), late_failover),
        mutant(Rule::LateChargesWaitForTheOpening, Ok(Oversold), late_failover),
        mutant(Rule::NewIdentityWaitsForTheReplica, Ok(Oversold), |s| {
            failover(s);
            s.joined = false;
        }),
    ]
}

fn mutants() -> Vec<Mutant> {
    [counters(), time(), ends(), failovers()].into_iter().flatten().collect()
}

/// What a search may see of one world.
const REACH: Reach = Reach { threads: 1, most_states: 400_000, heal_one_of: 0 };

/// Runs searches on two threads.
fn run(searches: &[(Setup, Reach)]) -> Vec<Explored> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Explored)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((setup, reach)) = searches.get(index) else { return };
                    let explored = explore(setup, *reach);
                    results.lock().unwrap().push((index, explored));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, explored)| explored).collect()
}

fn each_mutant_is_found(mutants: &[Mutant]) {
    let search = |mutant: &Mutant| {
        // Only what stays so for ever is found by healing; anything else is found sooner by itself.
        let heal_one_of = u64::from(mutant.found == Ok(Wrong::Stuck));
        (mutant.setup.without(mutant.rule), Reach { heal_one_of, ..REACH })
    };
    let searches: Vec<(Setup, Reach)> = mutants.iter().map(search).collect();
    for (mutant, explored) in mutants.iter().zip(run(&searches)) {
        let Explored { states, complete, found, .. } = explored;
        match &found {
            Some(Found { wrong, figures, path }) => {
                println!("{:?}: {wrong:?}, {figures}; {states} states, {} events:", mutant.rule, path.len());
                println!("{}", tell(&mutant.setup.without(mutant.rule), path));
            }
            None => println!("{:?}: nothing in {states} states: {:?}", mutant.rule, mutant.found),
        }
        assert_eq!(found.map(|found| found.wrong), mutant.found.ok(), "{:?}, {states} states", mutant.rule);
        assert!(mutant.found.is_ok() || complete, "{:?}: {states} states are not all", mutant.rule);
    }
}

fn nothing_is_found(mutants: &[Mutant]) {
    let searches: Vec<(Setup, Reach)> =
        mutants.iter().map(|mutant| (mutant.setup, Reach { heal_one_of: 32, ..REACH })).collect();
    for (mutant, explored) in mutants.iter().zip(run(&searches)) {
        let told = explored.found.as_ref().map(|found| tell(&mutant.setup, &found.path)).unwrap_or_default();
        assert!(explored.found.is_none(), "{:?}: {:?}\n{told}", mutant.rule, explored.found);
        assert!(explored.complete, "{:?}: {} states are not all", mutant.rule, explored.states);
    }
}

/// Worlds that are looked at in every run of the tests, or only by `make lease-search`.
fn some(deep: bool) -> Vec<Mutant> {
    mutants().into_iter().filter(|mutant| mutant.deep == deep).collect()
}

#[test]
fn every_rule_is_needed() {
    each_mutant_is_found(&some(false));
}

#[test]
#[ignore = "make lease-search"]
fn every_rule_is_needed_in_larger_worlds() {
    each_mutant_is_found(&some(true));
}

#[test]
fn with_all_rules_nothing_goes_wrong_in_the_same_worlds() {
    nothing_is_found(&some(false));
}

#[test]
#[ignore = "make lease-search"]
fn with_all_rules_nothing_goes_wrong_in_the_larger_worlds() {
    nothing_is_found(&some(true));
}

#[test]
fn every_rule_has_a_world() {
    let all = mutants();
    let rules: HashSet<Rule> = all.iter().map(|mutant| mutant.rule).collect();
    assert_eq!((rules.len(), all.len()), (RULES, RULES));
}
