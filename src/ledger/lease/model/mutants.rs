//! Each rule broken by itself, in a world as small as shows what goes wrong.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::terms::Rule;
use super::check::Wrong;
use super::search::{Explored, Found, Reach, explore};
use super::setup::Setup;
use super::words::tell;

/// A rule, the world, and what must be found.
struct Mutant {
    rule: Rule,
    setup: Setup,
    found: Option<Wrong>,
    /// Too many states for every run of the tests.
    deep: bool,
}

/// How many rules there are.
const RULES: usize = 29;

fn mutant(rule: Rule, found: Option<Wrong>, change: impl FnOnce(&mut Setup)) -> Mutant {
    let setup = Setup::PLAIN.with(|setup| setup.granted = 1).with(change);
    Mutant { rule, setup, found, deep: false }
}

/// The same in a world of many states.
fn deep(rule: Rule, found: Option<Wrong>, change: impl FnOnce(&mut Setup)) -> Mutant {
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

#[rustfmt::skip]
fn mutants() -> Vec<Mutant> {
    use Wrong::{ChargedTwice, Deficit, Oversold, Stuck, Unbalanced};
    vec![
        mutant(Rule::SellAfterTheAcknowledgement, Some(Oversold), |s| s.asks_in_vain = true),
        mutant(Rule::BelieveWritesOnly, None, |s| { failover(s); s.synchronous = true; s.budget.crashes = 1; }),
        mutant(Rule::OnlyTheAnswerThatIsWaitedFor, Some(Unbalanced), delayed(1)),
        mutant(Rule::TotalsNotDifferences, Some(ChargedTwice), |s| { s.granted = 2; s.budget.losses = 1; }),
        mutant(Rule::ReturnAtHomeFirst, Some(Oversold), |_| ()),
        deep(Rule::AtMostHalf, None, |s| { s.granted = 3; s.most_taken = 3; s.asks_in_vain = true; }),
        mutant(Rule::Recall, Some(Stuck), |s| s.asks_in_vain = true),
        mutant(Rule::DirectMode, None, |s| { s.granted = 3; s.most_taken = 3; s.terms.low_factor = 8; }),
        mutant(Rule::ExpiredSellsNothing, Some(Oversold), ticks(4)),
        deep(Rule::ExpiredStaysExpired, Some(Oversold), late_failover),
        mutant(Rule::TimeFromTheSending, Some(Oversold), |s| { ticks(5)(s); s.terms.ttl = 3; }),
        mutant(Rule::FenceAfterTheLastRequest, Some(Oversold), ticks(3)),
        mutant(Rule::FenceComparesTheHeartbeat, None, ticks(5)),
        deep(Rule::CountAnewInEachEpoch, Some(Oversold), late_failover),
        mutant(Rule::RetireWithoutHolds, Some(Oversold), |s| s.budget.drains = 1),
        mutant(Rule::LastWordEndsSelling, Some(Oversold), |s| s.budget.drains = 1),
        mutant(Rule::NewIdentityAfterRestart, Some(Oversold), |s| { ticks(3)(s); s.budget.crashes = 1; }),
        mutant(Rule::EndedReportsNothing, Some(Unbalanced), |s| { s.delays = true; s.budget.ticks = 2; }),
        mutant(Rule::LateChargesNeedRoom, Some(Deficit), ticks(3)),
        mutant(Rule::HandOverHolds, Some(Oversold), |s| s.budget.hand_overs = 1),
        deep(Rule::OnlyTheNewestIncarnation, None, |s| { s.delays = true; s.budget.hand_overs = 1; s.budget.crashes = 1; }),
        mutant(Rule::EpochForEachTimeline, Some(Oversold), failover),
        deep(Rule::NonceOfTheEpoch, Some(Unbalanced), |s| { delayed(2)(s); s.budget.ticks = 1; }),
        mutant(Rule::ClosedUntilAllHaveDeclared, Some(Oversold), failover),
        mutant(Rule::DeclareBeforeReport, Some(Unbalanced), failover),
        mutant(Rule::DeclareByMaximum, Some(Unbalanced), |s| { delayed(1)(s); s.granted = 2; }),
        deep(Rule::TheEndedDoNotDeclare, Some(Oversold), late_failover),
        mutant(Rule::LateChargesWaitForTheOpening, Some(Oversold), late_failover),
        mutant(Rule::NewIdentityWaitsForTheReplica, Some(Oversold), |s| { failover(s); s.joined = false; }),
    ]
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
        let heal_one_of = u64::from(mutant.found == Some(Wrong::Stuck));
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
            None => println!("{:?}: nothing in {states} states", mutant.rule),
        }
        assert_eq!(found.map(|found| found.wrong), mutant.found, "{:?}, {states} states", mutant.rule);
        assert!(mutant.found.is_some() || complete, "{:?}: {states} states are not all", mutant.rule);
    }
}

fn nothing_is_found(mutants: &[Mutant]) {
    let searches: Vec<(Setup, Reach)> =
        mutants.iter().map(|mutant| (mutant.setup, Reach { heal_one_of: 8, ..REACH })).collect();
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
