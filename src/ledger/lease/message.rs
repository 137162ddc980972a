//! What nodes and the centre say to each other.

use super::terms::Time;

/// An account's credits for a product, or one of its quotas in one period: what leases are taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// A number that stands for an account and product, or for an account and quota.
    pub owner: u32,
    /// Zero for credits; the number of the period for a quota, whose next period is another key.
    pub period: u32,
}

/// Under which the centre knows a node. A node gets a new one at each start and after each expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// An identity, and which process of an upgrade speaks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub id: NodeId,
    pub incarnation: u64,
}

/// The time between two failovers. Two replicas that never heard of each other can be promoted to the same number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    pub number: u64,
    pub nonce: u64,
}

/// The counters of one lease, in credits. Each only grows, and `spent + returned <= taken`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub taken: u64,
    pub returned: u64,
    pub spent: u64,
}

impl Counters {
    /// Credits that are on lease or were spent of it: what the lease uses of its balance.
    pub fn allotted(&self) -> u64 {
        self.taken.saturating_sub(self.returned)
    }

    /// Credits that are on lease and were not spent, as far as these counters say.
    pub fn outstanding(&self) -> u64 {
        self.allotted().saturating_sub(self.spent)
    }

    /// The later state of both, for counters that each only grow.
    pub fn maximum(&self, other: &Counters) -> Counters {
        Counters {
            taken: self.taken.max(other.taken),
            returned: self.returned.max(other.returned),
            spent: self.spent.max(other.spent),
        }
    }
}

/// A wish for credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    pub key: Key,
    /// Credits that would be enough for a while.
    pub want: u64,
    /// The least that helps: the highest price.
    pub floor: u64,
    /// Whether the node asks again for requests that wait already: holders are not recalled once more.
    pub again: bool,
}

/// A request of a node, each of which is one transaction of the centre.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub identity: Identity,
    pub epoch: Epoch,
    /// Of this request among those of its identity.
    pub number: u64,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Join,
    /// A heartbeat, with totals, and the keys whose recall is answered by them.
    Report {
        draining: bool,
        leases: Vec<(Key, Counters)>,
        answered: Vec<Key>,
        /// Whether the answer has all leases: what was asked for and not answered may have been taken.
        all: bool,
    },
    Acquire(Vec<Ask>),
    /// All counters, after the epoch changed.
    Declare(Vec<(Key, Counters)>),
    /// The last word of an identity that sells nothing any more.
    Retire(Vec<(Key, Counters)>),
    /// Charges of an identity that was ended before it could report them.
    Late(Vec<(Key, Counters)>),
}

/// The answer to a request, which is also an acknowledgement: the transaction is committed as far as the cluster's
/// replication promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub to: NodeId,
    pub number: u64,
    pub result: Result<Outcome, Refusal>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Joined(Epoch),
    /// The rows as they are now: all of them after an answer was lost, so that no acquisition stays unknown, or those that
    /// were reported.
    Reported(Vec<(Key, Counters)>),
    Acquired(Vec<Acquired>),
    Declared(Vec<(Key, Counters)>),
    /// The identity is ended. `settled` if the centre has written all its charges, as spent or as unpaid.
    Ended {
        settled: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquired {
    pub key: Key,
    /// Credits that were granted to this request; zero if there were fewer than its floor.
    pub got: u64,
    /// The least that would have helped, as asked.
    pub floor: u64,
    /// The total that the node has taken.
    pub taken: u64,
    /// Credits that are left at the centre.
    pub available: u64,
    /// Live identities, for what counts as little.
    pub nodes: u64,
    /// Holders that were asked to return what they do not need, and have not answered.
    pub recalled: u64,
}

/// A refusal is an answer, not a rollback: what the transaction did before it is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another epoch is in force: the node must declare its counters in it.
    Epoch(Epoch),
    /// Not all live identities have declared yet.
    Closed,
    /// The identity was fenced or is retired.
    Ended,
    /// The centre does not know the identity.
    Unknown,
}

/// A request to fence an identity that has had the same heartbeat for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    pub id: NodeId,
    pub beat: u64,
    pub epoch: Epoch,
}

/// The heartbeats of all identities that have not ended, as the centre has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heartbeats {
    pub epoch: Epoch,
    pub beats: Vec<(NodeId, Heartbeat)>,
}

/// What the centre has of the heartbeat of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Counts them.
    pub number: u64,
    /// For how long it must have been the same before the identity may be fenced, by the identity's own terms: gateways may
    /// have others while they are being changed.
    pub fence_after: Time,
}

/// When a request was sent, by the node's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    pub number: u64,
    pub sent: Time,
    /// Whether its answer says all that was taken.
    pub settles: bool,
}
