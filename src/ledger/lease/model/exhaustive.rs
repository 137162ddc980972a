//! The protocol in every order of events within bounds.

use std::time::Instant;

use super::search::{Reach, explore};
use super::setup::Setup;

/// One after the other, so that each may use two threads.
#[test]
fn probe() {
    let states = std::env::var("STATES").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let base = Setup::PLAIN.with(|s| { s.terms.ttl = 2; s.terms.lag = 1; });
    let failover = base.with(|s| {
        s.name = "2n 2c failover crash, ids 2, t0";
        s.budget.failovers = 1;
        s.budget.crashes = 1;
        s.identities = 2;
    });
    let f3 = base.with(|s| { s.name="2n 1c failover crash ids2 t3"; s.granted=1; s.most_taken=1; s.identities=2; s.budget.crashes=1; s.budget.failovers=1; s.budget.ticks=3; });
    let three = base.with(|s| {
        s.name = "3n 3c failover crash m1 t0";
        s.nodes = 3; s.granted = 3; s.most_taken = 1;
        s.budget.failovers = 1;
        s.budget.crashes = 1;
    });
    let delays = base.with(|s| { s.name = "2n 1c delays crash loss m1"; s.granted=1; s.most_taken=1; s.delays=true; s.budget.losses=1; s.budget.crashes=1; });
    let drains = base.with(|s| { s.name = "2n 2c drain handover crash returns"; s.budget.drains = 1; s.budget.hand_overs = 1; s.returns = true; s.identities = 2; s.budget.crashes=1;});
    for setup in [failover, f3, three, three.with(|s| { s.name = "3n 3c failover crash m2 t0"; s.most_taken=2; }), three.with(|s| { s.name = "3n 3c failover crash m1 t1"; s.budget.ticks = 1;}),
       delays, drains, f3.with(|s| {s.name = "2n 1c t4 crash diskloss ids2 (ttl2)"; s.budget.failovers=0; s.budget.ticks=4; s.budget.disk_losses = 1;}),
       base.with(|s| {s.name="backup"; s.backup = true; s.budget.failovers=1; s.budget.ticks=2; s.joined=false; s.granted=1; s.most_taken=1; s.identities=2})] {
        let begun = Instant::now();
        let explored = explore(&setup, Reach { threads: 2, most_states: states, heal_one_of: 64 });
        println!("{}: {} states, depth {}, complete {}, healed {}, {:?}", setup.name, explored.states, explored.depth, explored.complete, explored.healed, begun.elapsed());
        if let Some(f) = explored.found {
            println!("{:?} {}", f.wrong, f.figures);
            for a in f.path { println!("  {a:?}"); }
        }
    }
}
