//! Which gateways have the store, and which of its versions each has in force.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::in_force::InForce;
use super::problem::Problem;
use super::refusal::refused;
use super::route::{Call, NoBody, Reply};
use super::shown::Time;
use crate::ledger::lease_store::entries::{Overview, overview};
use crate::ledger::store::nodes::{self, Node as StoredNode};
use crate::ledger::store::{Store, changes};
use crate::platform::clock::unix_milliseconds;

/// The gateways that have the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Nodes {
    /// The newest version of the store.
    pub version: i64,
    /// How many gateways are there.
    pub there: usize,
    /// How many of these have the newest version in force.
    pub in_force_on: usize,
    /// The gateways of the last day, by the time of their start.
    pub nodes: Vec<Node>,
    /// What is on lease, if gateways share credits or have done so.
    pub credits: Option<SharedCredits>,
}

/// Credits that gateways share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SharedCredits {
    /// Counts the starts of the database, its failovers and backups that were put back.
    pub epoch: u64,
    /// Whether leases can be taken: not before all gateways were heard in the epoch, or have ended.
    pub open: bool,
    /// Charges of gateways that had ended, for which there were no credits left: gifts.
    pub unpaid: u64,
    /// What is on lease or spent beyond what was granted, after an old backup was put back.
    pub deficit: u64,
    /// Those that take leases, and those that have ended in the last day.
    pub leases: Vec<LeaseHolder>,
}

/// Who has credits on lease. A gateway has another id after each start, and after a time without the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeaseHolder {
    pub id: String,
    /// The name of its machine.
    pub name: String,
    /// `live`, `draining`, `retired`, or `fenced`: it was silent for too long, and what it had on lease was released.
    pub state: String,
    /// Whether it was heard in this epoch. Until all that live were, nothing can be taken on lease.
    pub declared: bool,
    /// How many seconds ago it was heard.
    pub quiet_seconds: i64,
    /// Credits that it has on lease and has not reported as spent.
    pub on_lease: u64,
}

impl From<Overview> for SharedCredits {
    fn from(found: Overview) -> SharedCredits {
        let leases = found.identities.into_iter().map(|identity| LeaseHolder {
            id: identity.id,
            name: identity.name,
            state: identity.state,
            declared: identity.declared,
            quiet_seconds: identity.quiet_ms / 1000,
            on_lease: identity.on_lease,
        });
        let (epoch, open, unpaid, deficit) = (found.epoch, found.is_open, found.unpaid, found.deficit);
        SharedCredits { epoch, open, unpaid, deficit, leases: leases.collect() }
    }
}

/// A gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Node {
    /// Its id, which is new at each start.
    pub id: String,
    /// The name of its machine.
    pub name: String,
    /// The version of its program.
    pub program: String,
    /// When it was started, by its own clock.
    pub started_at: Time,
    /// The version of the store that it has in force.
    pub version: i64,
    /// How many seconds ago it has said so.
    pub quiet_seconds: i64,
    /// Whether it is there: it has said so in the last 15 seconds.
    pub is_there: bool,
}

impl From<StoredNode> for Node {
    fn from(node: StoredNode) -> Node {
        let is_there = node.is_there();
        Node {
            id: node.identity.id,
            name: node.identity.name,
            program: node.identity.program,
            started_at: Time(node.identity.started_at),
            version: node.applied,
            quiet_seconds: node.quiet_ms / 1000,
            is_there,
        }
    }
}

/// The gateways, and what each has in force.
pub async fn list(call: Call<NoBody>) -> Result<Reply<Nodes>, Problem> {
    let store: &Store = &call.api.store;
    let found = store.read(|connection| {
        let now = changes::moment(connection)?;
        let credits = match connection.sqlite() {
            Some(_) => None,
            None => Some(overview(connection)?).filter(|found| !found.identities.is_empty()),
        };
        Ok((now.version, nodes::list(connection, unix_milliseconds())?, credits))
    });
    let (version, mut found, credits) = found.await.map_err(refused)?;
    // A file has one gateway, which tells nobody.
    if let (true, InForce::Gateway(_, feed)) = (store.location().file().is_some(), &call.api.in_force) {
        found = vec![feed.itself()];
    }
    let nodes: Vec<Node> = found.into_iter().map(Node::from).collect();
    let there = nodes.iter().filter(|node| node.is_there);
    let in_force_on = there.clone().filter(|node| node.version >= version).count();
    let credits = credits.map(SharedCredits::from);
    Ok(Reply::of(Nodes { version, there: there.count(), in_force_on, nodes, credits }))
}
