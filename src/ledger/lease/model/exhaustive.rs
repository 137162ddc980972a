//! The protocol in every order of events within bounds.

use std::time::Instant;

use super::search::{Reach, explore};
use super::setup::Setup;

/// One after the other, so that each may use two threads.
#[test]
fn probe() {
    let states = std::env::var("STATES").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let time = Setup::PLAIN.with(|s| {
        s.name = "time 3";
        s.budget.ticks = 3;
        s.budget.crashes = 1;
        s.identities = 2;
    });
    let failover = Setup::PLAIN.with(|s| {
        s.name = "failover t0";
        s.budget.failovers = 1;
        s.budget.crashes = 1;
        s.identities = 2;
        s.terms.ttl = 2;
        s.terms.lag = 1;
    });
    let three = Setup::PLAIN.with(|s| {
        s.name = "three";
        s.nodes = 3; s.granted = 3; s.most_taken = 1;
        s.budget.failovers = 1;
        s.budget.crashes = 1;
        s.terms.ttl = 2;
        s.terms.lag = 1;
    });
    for setup in [time, time.with(|s| {s.budget.ticks = 4; s.name = "time 4"}), time.with(|s| {s.budget.losses = 1; s.name = "time 3 loss"}), failover, failover.with(|s| {s.budget.ticks=3; s.name = "failover t3"}),
      failover.with(|s| {s.budget.ticks=4; s.most_taken=1; s.budget.crashes = 0; s.identities=1; s.name = "failover t4 c0"}), three, three.with(|s| { s.most_taken = 3; s.budget.crashes = 0; s.budget.failovers=0; s.name="three no faults" })] {
        let begun = Instant::now();
        let explored = explore(&setup, Reach { threads: 2, most_states: states, heal_one_of: 64 });
        println!("{}: {} states, depth {}, complete {}, healed {}, {:?}", setup.name, explored.states, explored.depth, explored.complete, explored.healed, begun.elapsed());
        if let Some(f) = explored.found {
            println!("{:?} {}", f.wrong, f.figures);
            for a in f.path { println!("  {a:?}"); }
        }
    }
}
