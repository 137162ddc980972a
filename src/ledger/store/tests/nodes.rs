//! Gateways that share a store.

use super::*;
use crate::ledger::store::nodes::{self, LOST_MS, NodeIdentity};
use crate::ledger::store::upkeep;

on_both_engines! {
    gateways_say_which_version_they_have,
}

fn gateways_say_which_version_they_have() {
    let mut bench = Bench::new("nodes");
    let node = |number: i64| NodeIdentity {
        id: format!("{number:032}"),
        name: format!("edge-{number}"),
        program: "0.2.0".to_owned(),
        started_at: NOW + number,
    };
    for (number, applied) in [(2, 7), (1, 7), (2, 9)] {
        nodes::beat(&bench.connection, &node(number), applied, NOW).unwrap();
    }
    let found = nodes::list(&bench.connection, NOW).unwrap();
    let shown: Vec<_> = found.iter().map(|node| (&*node.identity.name, node.applied, node.is_there())).collect();
    assert_eq!(shown, [("edge-1", 7, true), ("edge-2", 9, true)]);
    // One that is silent does not count, and is forgotten after a day.
    let silent = "UPDATE node SET seen_at = seen_at - ?1 WHERE name = 'edge-1'";
    bench.connection.execute(silent, [LOST_MS]).unwrap();
    let found = nodes::list(&bench.connection, NOW).unwrap();
    assert_eq!(found.iter().map(nodes::Node::is_there).collect::<Vec<_>>(), [false, true]);
    let day_after = crate::platform::clock::unix_milliseconds().max(NOW) + 2 * 86_400_000;
    upkeep::step(&mut bench.connection, &KEPT, day_after).unwrap();
    assert_eq!(nodes::list(&bench.connection, NOW).unwrap(), []);
    nodes::beat(&bench.connection, &node(3), 9, NOW).unwrap();
    nodes::leave(&bench.connection, &node(3).id).unwrap();
    assert_eq!(nodes::list(&bench.connection, NOW).unwrap(), []);
}
