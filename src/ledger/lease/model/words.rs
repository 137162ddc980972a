//! Events in words, for who reads a counterexample.

use super::super::message::{Body, NodeId, Refusal, Request};
use super::action::{Action, Plain};
use super::setup::Setup;
use super::world::{Letter, World, slot_of};

fn node(slot: usize) -> String {
    format!("node {}", slot + 1)
}

fn plain(plain: Plain) -> &'static str {
    match plain {
        Plain::Join => "joins with a new identity",
        Plain::Report => "sends a heartbeat with its totals",
        Plain::Declare => "declares its counters",
        Plain::Retire => "sends its last word",
        Plain::Late => "sends its late charges",
    }
}

fn body(request: &Request) -> &'static str {
    match request.body {
        Body::Join => "request to join",
        Body::Report { .. } => "report",
        Body::Acquire(_) => "acquisition",
        Body::Declare(_) => "declaration",
        Body::Retire(_) => "last word",
        Body::Late(_) => "late charges",
    }
}

impl World {
    /// What an event is in this state, before it happens.
    pub fn describe(&self, action: Action) -> String {
        match action {
            Action::Hold(slot, _, amount) => format!("a request holds {amount} at {}", node(slot)),
            Action::Settle(slot, _, 0) => format!("a request gives its hold back at {}", node(slot)),
            Action::Settle(slot, _, charged) => format!("{} answers a request and charges {charged}", node(slot)),
            Action::Send(slot, kind) => format!("{} {}", node(slot), plain(kind)),
            Action::Acquire(slot, ask) => format!("{} asks for {}", node(slot), ask.want),
            Action::Arrive(slot, letter) => self.arrives(slot, letter),
            Action::Lose(slot, _) => format!("a message of {} is lost", node(slot)),
            Action::GiveUp(slot) => format!("{} gives up waiting", node(slot)),
            Action::GiveBack(slot, _, most) => format!("{} returns {most}", node(slot)),
            Action::Recall(slot, _) => format!("{} answers a recall", node(slot)),
            Action::Believe(slot, _) => format!("{} reads what it has taken", node(slot)),
            Action::Flush(slot) => format!("{} writes its journal", node(slot)),
            Action::Crash(slot) => format!("{} crashes", node(slot)),
            Action::LoseDisk(slot) => format!("{} is lost with its disk", node(slot)),
            Action::Restart(slot) => format!("{} starts and reads its journal", node(slot)),
            Action::Rejoin(slot) => format!("{} takes a new identity", node(slot)),
            Action::HandOver(slot) => format!("{} is upgraded and hands its identity over", node(slot)),
            Action::Drain(slot) => format!("{} drains", node(slot)),
            Action::Fence(NodeId(id)) => format!("the janitor fences {}", node(slot_of(NodeId(id)))),
            Action::Mark => "the replica falls behind".to_owned(),
            Action::CatchUp => "the replica catches up".to_owned(),
            Action::Failover => "the replica is promoted: what it has not heard of is lost".to_owned(),
            Action::Tick => "time passes".to_owned(),
        }
    }

    fn arrives(&self, slot: usize, letter: usize) -> String {
        match &self.slots[slot].letters[letter] {
            Letter::Request(request) => format!("the {} of {} arrives", body(request), node(slot)),
            Letter::Answer(answer) => match &answer.result {
                Ok(_) => format!("{} gets its answer", node(slot)),
                Err(Refusal::Epoch(_)) => format!("{} hears of a new epoch", node(slot)),
                Err(refusal) => format!("{} is refused: {refusal:?}", node(slot)),
            },
        }
    }
}

/// A way through a world, one event in a line.
pub fn tell(setup: &Setup, path: &[Action]) -> String {
    let mut world = World::new(setup);
    let mut lines = Vec::new();
    for action in path {
        lines.push(format!("    {}. {}", lines.len() + 1, world.describe(*action)));
        world.apply(*action, setup);
    }
    lines.join("\n")
}
