//! Each rule broken by itself, in a world as small as shows what goes wrong.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::terms::Rule;
use super::check::Wrong;
use super::search::{Explored, Reach, explore};
use super::setup::Setup;

/// A rule, the world, and what must be found.
struct Mutant {
    rule: Rule,
    setup: Setup,
    found: Option<Wrong>,
}

fn mutant(rule: Rule, found: Option<Wrong>, change: impl FnOnce(&mut Setup)) -> Mutant {
    let setup = Setup::PLAIN.with(|setup| setup.granted = 1).with(change);
    Mutant { rule, setup, found }
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
        mutant(Rule::AtMostHalf, None, |s| { s.granted = 3; s.most_taken = 3; s.asks_in_vain = true; }),
        mutant(Rule::Recall, Some(Stuck), |s| s.asks_in_vain = true),
        mutant(Rule::DirectMode, None, |s| { s.granted = 3; s.most_taken = 3; s.terms.low_factor = 8; }),
        mutant(Rule::ExpiredSellsNothing, Some(Oversold), ticks(4)),
        mutant(Rule::ExpiredStaysExpired, Some(Oversold), late_failover),
        mutant(Rule::TimeFromTheSending, Some(Oversold), |s| { ticks(5)(s); s.terms.ttl = 3; }),
        mutant(Rule::FenceAfterTheLastRequest, Some(Oversold), ticks(3)),
        mutant(Rule::FenceComparesTheHeartbeat, None, ticks(5)),
        mutant(Rule::CountAnewInEachEpoch, Some(Oversold), late_failover),
        mutant(Rule::RetireWithoutHolds, Some(Oversold), |s| s.budget.drains = 1),
        mutant(Rule::LastWordEndsSelling, Some(Oversold), |s| s.budget.drains = 1),
        mutant(Rule::NewIdentityAfterRestart, Some(Oversold), |s| { ticks(3)(s); s.budget.crashes = 1; }),
        mutant(Rule::EndedReportsNothing, Some(Unbalanced), |s| { s.delays = true; s.budget.ticks = 2; }),
        mutant(Rule::LateChargesNeedRoom, Some(Deficit), ticks(3)),
        mutant(Rule::HandOverHolds, Some(Oversold), |s| s.budget.hand_overs = 1),
        mutant(Rule::OnlyTheNewestIncarnation, None, |s| { s.delays = true; s.budget.hand_overs = 1; s.budget.crashes = 1; }),
        mutant(Rule::EpochForEachTimeline, Some(Oversold), failover),
        mutant(Rule::NonceOfTheEpoch, Some(Unbalanced), |s| { delayed(2)(s); s.budget.ticks = 1; }),
        mutant(Rule::ClosedUntilAllHaveDeclared, Some(Oversold), failover),
        mutant(Rule::DeclareBeforeReport, Some(Unbalanced), failover),
        mutant(Rule::DeclareByMaximum, Some(Unbalanced), |s| { delayed(1)(s); s.granted = 2; }),
        mutant(Rule::TheEndedDoNotDeclare, Some(Oversold), late_failover),
        mutant(Rule::LateChargesWaitForTheOpening, Some(Oversold), late_failover),
        mutant(Rule::NewIdentityWaitsForTheReplica, Some(Oversold), |s| { failover(s); s.joined = false; }),
    ]
}

/// Runs a search for each, on two threads.
fn run(setups: &[(Setup, u64)], reach: Reach) -> Vec<Explored> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Explored)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((setup, heal_one_of)) = setups.get(index) else { return };
                    let begun = std::time::Instant::now();
                    let explored = explore(setup, Reach { heal_one_of: *heal_one_of, ..reach });
                    if std::env::var("SHOW").is_ok() {
                        println!("{:?} {} states depth {} complete {} {:?}", setup.terms.rules.broken, explored.states, explored.depth, explored.complete, begun.elapsed());
                        if let Some(f) = &explored.found { println!("  {:?} {} in {}", f.wrong, f.figures, f.path.len()); for a in &f.path { println!("     {a:?}"); } }
                    }
                    results.lock().unwrap().push((index, explored));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, explored)| explored).collect()
}

#[test]
fn mutated() {
    let only = std::env::var("ONLY").ok();
    let mutants: Vec<Mutant> = mutants().into_iter().filter(|m| only.as_ref().is_none_or(|o| format!("{:?}", m.rule) == *o)).collect();
    let most_states = std::env::var("STATES").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let sound = std::env::var("SOUND").is_ok();
    let setups: Vec<(Setup, u64)> = mutants.iter().map(|m| if sound { (m.setup, 4)} else { (m.setup.without(m.rule), if m.found == Some(Wrong::Stuck) { 1 } else { 0 })}).collect();
    let explored = run(&setups, Reach { threads: 1, most_states, heal_one_of: 8 });
    for (mutant, explored) in mutants.iter().zip(explored) {
        let found = explored.found.as_ref().map(|found| found.wrong);
        if found != mutant.found {
            println!("UNEXPECTED {:?}: {found:?}, {} states, complete {}", mutant.rule, explored.states, explored.complete);
        }
    }
}
