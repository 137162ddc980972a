//! The state of a world: the centre, its replica, the janitor, the nodes with their journals, and what is on the way.

use std::sync::Arc;

use super::super::centre::{Centre, NodeRow, RowState};
use super::super::janitor::Janitor;
use super::super::message::{Answer, Body, Epoch, Fence, Heartbeats, Key, NodeId, Request};
use super::super::node::{Node, Record, State};
use super::super::table::Table;
use super::super::terms::Time;
use super::setup::{Budget, Setup};

/// Slots in the number of an identity: its slot and which one of that slot it is.
const MOST_NODES: u64 = 8;

/// A message on the way.
#[derive(Clone, Debug)]
pub enum Letter {
    Request(Request),
    Answer(Answer),
}

impl Letter {
    pub fn number(&self) -> u64 {
        match self {
            Letter::Request(request) => request.number,
            Letter::Answer(answer) => answer.number,
        }
    }
}

/// A request of a client that holds credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    pub key: Key,
    pub amount: u64,
    pub since: Time,
}

/// What is known of an identity beside the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ghost {
    /// Credits that its clients have got answers for.
    pub delivered: u64,
    /// Of these, the most that may remain uncharged: they were on no disk, or a failover has lost their charge after
    /// the end of the identity.
    pub gift: u64,
    /// Its journal is gone.
    pub disk_lost: bool,
}

/// A machine of the cluster.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The process, unless it has crashed.
    pub node: Option<Node>,
    /// What is on its disk.
    pub journal: Option<Record>,
    pub holds: Vec<InFlight>,
    pub letters: Vec<Letter>,
    /// Which identity of this machine is the newest.
    pub generation: u64,
    /// How fast its clock is, in percent of the janitor's.
    pub clock_rate: u64,
}

/// What the centre was asked to do, and what it has answered.
#[derive(Clone, Debug)]
pub enum Call {
    /// With a nonce.
    Serve(Request, u64, Answer),
    Look(u64, Heartbeats),
    Fence(Fence, u64, bool),
    /// It was replaced by this one.
    Promoted(Arc<Centre>),
}

/// Everything.
#[derive(Clone, Debug)]
pub struct World {
    pub now: Time,
    pub centre: Arc<Centre>,
    /// What a failover returns to, if it is not the present state.
    pub replica: Option<Arc<Centre>>,
    /// Since when.
    pub marked: Time,
    pub janitor: Janitor,
    pub slots: Vec<Arc<Slot>>,
    pub ghosts: Table<(NodeId, Key), Ghost>,
    pub left: Budget,
    /// The number of the newest epoch's nonce.
    pub nonce: u64,
    /// What the centre was asked since this was emptied, if anybody wants to know.
    pub calls: Option<Vec<Call>>,
}

/// The number of an identity.
pub fn id_of(slot: usize, generation: u64) -> NodeId {
    NodeId(generation * MOST_NODES + slot as u64)
}

/// The slot of an identity.
pub fn slot_of(id: NodeId) -> usize {
    (id.0 % MOST_NODES) as usize
}

pub fn key_of(index: u32) -> Key {
    // Each second key is a quota, in its first period.
    Key { owner: index, period: index % 2 }
}

impl World {
    /// All nodes are known to the centre and live, or have just begun to join.
    pub fn new(setup: &Setup) -> World {
        let mut centre = Centre::default();
        for index in 0..setup.keys {
            match key_of(index) {
                key if key.period > 0 => centre.set_limit(key, setup.granted),
                key => centre.grant(key, setup.granted),
            }
        }
        let mut slots = Vec::new();
        for index in 0..setup.nodes {
            let mut node = Node::new(id_of(index, 0), 0);
            let epoch = centre.cluster.epoch;
            if setup.joined {
                (node.state, node.epoch, node.declared, node.joined) = (State::Live, epoch, true, Some(0));
                let fence_after = setup.terms.fence_after();
                let row = NodeRow { incarnation: 0, state: RowState::Live, epoch, beat: 0, fence_after };
                centre.nodes.insert(node.identity.id, row);
            }
            let journal = Some(node.record());
            let join = Request { identity: node.identity, epoch: Epoch::default(), number: 0, body: Body::Join };
            let letters = if setup.joins_late { vec![Letter::Request(join)] } else { Vec::new() };
            let (node, holds) = (Some(node), Vec::new());
            slots.push(Arc::new(Slot { node, journal, holds, letters, generation: 0, clock_rate: 100 }));
        }
        World {
            now: 0,
            centre: Arc::new(centre),
            replica: None,
            marked: 0,
            janitor: Janitor::default(),
            slots,
            ghosts: Table::default(),
            left: setup.budget,
            nonce: 0,
            calls: None,
        }
    }

    /// Notes what the centre was asked.
    pub fn note(&mut self, call: impl FnOnce() -> Call) {
        if let Some(calls) = &mut self.calls {
            calls.push(call());
        }
    }

    /// What the clock of a machine shows.
    pub fn clock(&self, slot: usize) -> Time {
        self.now * self.slots[slot].clock_rate / 100
    }

    /// A slot that is going to change. States share what is the same in them.
    pub fn slot(&mut self, index: usize) -> &mut Slot {
        Arc::make_mut(&mut self.slots[index])
    }

    pub fn centre(&mut self) -> &mut Centre {
        Arc::make_mut(&mut self.centre)
    }

    /// Credits that requests in flight of a node really hold.
    pub fn really_held(&self, slot: usize, key: Key) -> u64 {
        self.slots[slot].holds.iter().filter(|hold| hold.key == key).map(|hold| hold.amount).sum()
    }

    /// The process that speaks for an identity, if there is one.
    pub fn process(&self, id: NodeId) -> Option<&Node> {
        self.slots[slot_of(id)].node.as_ref().filter(|node| node.identity.id == id)
    }

    /// Every identity that there was, with every key.
    pub fn identities(&self) -> impl Iterator<Item = NodeId> {
        self.slots
            .iter()
            .enumerate()
            .flat_map(|(index, slot)| (0..=slot.generation).map(move |generation| id_of(index, generation)))
    }
}
