//! Which gateways have the store, and which of its versions each has in force.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::in_force::InForce;
use super::problem::Problem;
use super::refusal::refused;
use super::route::{Call, NoBody, Reply};
use super::shown::Time;
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
        Ok((now.version, nodes::list(connection, unix_milliseconds())?))
    });
    let (version, mut found) = found.await.map_err(refused)?;
    // A file has one gateway, which tells nobody.
    if let (true, InForce::Gateway(_, feed)) = (store.location().file().is_some(), &call.api.in_force) {
        found = vec![feed.itself()];
    }
    let nodes: Vec<Node> = found.into_iter().map(Node::from).collect();
    let there = nodes.iter().filter(|node| node.is_there);
    let in_force_on = there.clone().filter(|node| node.version >= version).count();
    Ok(Reply::of(Nodes { version, there: there.count(), in_force_on, nodes }))
}
