//! What the model does not say about a node by itself.

use super::super::message::{Answer, Counters, Epoch, Key, NodeId, Outcome, Refusal};
use super::super::terms::{Terms, Time};
use super::{Kind, Node, Record, State};

const KEY: Key = Key { owner: 1, period: 3 };
const EPOCH: Epoch = Epoch { number: 1, nonce: 0 };

fn terms() -> Terms {
    Terms::default()
}

/// Sends a request and has it answered a second later.
fn exchange(node: &mut Node, kind: Kind, now: Time, result: Result<Outcome, Refusal>) {
    let request = node.send(kind, now, &terms()).unwrap();
    let answer = Answer { to: request.identity.id, number: request.number, result };
    node.receive(&answer, now + 1_000, &terms());
}

/// An identity that is live since 11 seconds after it was begun, and has so much on lease.
fn live(taken: u64) -> Node {
    let mut node = Node::new(NodeId(4), 0);
    exchange(&mut node, Kind::Join, 0, Ok(Outcome::Joined(EPOCH)));
    let rows = vec![(KEY, Counters { taken, ..Counters::default() })];
    exchange(&mut node, Kind::Report, 10_000, Ok(Outcome::Reported(rows)));
    assert_eq!(node.state, State::Live);
    node
}

#[test]
fn a_new_identity_waits_for_the_lag_and_joins_again_after_a_failover() {
    let mut node = Node::new(NodeId(4), 0);
    assert_eq!(node.due(), Some(Kind::Join));
    exchange(&mut node, Kind::Join, 0, Ok(Outcome::Joined(EPOCH)));
    // It was acknowledged after a second.
    for (now, state) in [(1_000, State::Joining), (10_999, State::Joining)] {
        node.tick(now, &terms());
        assert_eq!((now, node.state, node.due()), (now, state, Some(Kind::Report)));
    }
    let newer = Epoch { number: 2, nonce: 5 };
    exchange(&mut node, Kind::Report, 9_000, Err(Refusal::Epoch(newer)));
    assert_eq!(node.due(), Some(Kind::Join));
    exchange(&mut node, Kind::Join, 10_000, Ok(Outcome::Joined(newer)));
    node.tick(20_999, &terms());
    assert_eq!(node.state, State::Joining);
    node.tick(21_000, &terms());
    assert_eq!(node.state, State::Live);
}

#[test]
fn an_identity_expires_its_time_after_the_sending_of_what_was_acknowledged() {
    let mut node = live(9);
    // Sent at 10 seconds.
    assert!(node.hold(KEY, 2, 129_999, &terms()));
    assert!(!node.hold(KEY, 2, 130_000, &terms()));
    assert_eq!((node.state, node.due()), (State::Expired, Some(Kind::Retire)));
    // The request that holds some still ends; until then there is no last word.
    assert_eq!(node.send(Kind::Retire, 131_000, &terms()), None);
    node.settle(KEY, 2, 1, &terms());
    exchange(&mut node, Kind::Retire, 132_000, Err(Refusal::Ended));
    assert_eq!((node.state, node.due()), (State::Fenced, Some(Kind::Late)));
    exchange(&mut node, Kind::Late, 133_000, Err(Refusal::Closed));
    exchange(&mut node, Kind::Late, 134_000, Ok(Outcome::Ended { settled: true }));
    assert_eq!((node.state, node.due()), (State::Fenced, None));
}

#[test]
fn a_successor_has_the_identity_with_what_is_held_and_what_is_unknown() {
    let mut node = live(9);
    assert!(node.hold(KEY, 2, 11_000, &terms()));
    node.send(Kind::Report, 11_000, &terms()).unwrap();
    let before = node.clone();
    let mut successor = node.hand_over(&terms());
    assert_eq!((successor.identity.id, successor.identity.incarnation), (NodeId(4), 1));
    assert_eq!((successor.renewed, successor.pending()), (before.renewed, None));
    assert_eq!(successor.leases, before.leases);
    assert!(!successor.hold(KEY, 8, 12_000, &terms()) && successor.hold(KEY, 7, 12_000, &terms()));
}

#[test]
fn a_restart_has_the_last_word_of_its_journal_and_sells_nothing() {
    let mut node = live(9);
    assert!(node.hold(KEY, 5, 11_000, &terms()));
    node.settle(KEY, 3, 3, &terms());
    let record: Record = node.record();
    let mut ended = Node::from_journal(&record, 50, &terms());
    assert!(!ended.hold(KEY, 1, 50, &terms()));
    let request = ended.send(Kind::Retire, 60, &terms()).unwrap();
    assert_eq!((ended.due(), ended.record()), (Some(Kind::Retire), record));
    // An answer to the process before counts for nothing.
    let earlier = Answer { to: NodeId(4), number: 1, result: Ok(Outcome::Ended { settled: true }) };
    ended.receive(&earlier, 70, &terms());
    assert_eq!(ended.state, State::Expired);
    ended.receive(&Answer { number: request.number, ..earlier }, 80, &terms());
    assert_eq!((ended.state, ended.due()), (State::Retired, None));
}

#[test]
fn what_is_returned_is_reported_and_a_period_that_is_over_is_forgotten() {
    let mut node = live(9);
    node.give_back(KEY, 4, &terms());
    node.recall(KEY);
    assert!(!node.hold(KEY, 1, 11_000, &terms()));
    node.forget(KEY);
    assert!(node.leases.get(KEY).is_some_and(|lease| lease.counters.returned == 9));
    let rows = vec![(KEY, Counters { taken: 9, returned: 9, spent: 0 })];
    exchange(&mut node, Kind::Report, 12_000, Ok(Outcome::Reported(rows)));
    node.forget(KEY);
    assert!(node.leases.is_empty());
}

#[test]
fn a_node_that_drains_serves_and_then_has_its_last_word() {
    let mut node = live(9);
    assert!(node.hold(KEY, 1, 11_000, &terms()));
    node.drain();
    assert_eq!((node.due(), node.send(Kind::Acquire(Vec::new()), 12_000, &terms())), (Some(Kind::Report), None));
    exchange(&mut node, Kind::Report, 12_000, Err(Refusal::Unknown));
    assert_eq!(node.due(), Some(Kind::Declare));
    node.settle(KEY, 1, 0, &terms());
    node.send(Kind::Retire, 13_000, &terms()).unwrap();
    assert!(!node.hold(KEY, 1, 13_000, &terms()));
    // Not answered, and sent again.
    node.give_up();
    exchange(&mut node, Kind::Retire, 14_000, Ok(Outcome::Ended { settled: true }));
    assert_eq!(node.state, State::Retired);
}

#[test]
fn the_janitor_waits_for_the_slowest_clock_and_the_longest_request() {
    assert_eq!(terms().fence_after(), 120_000 + 2_400 + 60_000 + 5_000);
}
