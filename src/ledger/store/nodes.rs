//! Gateways that share a store: each says every few seconds which version it has in force, so that whoever has disabled
//! a token sees where that holds.
//!
//! Only PostgreSQL has several. Clocks of machines are not compared: times are those of the database.

use super::error::StoreError;
use super::sql::{Connection, Engine, params};

/// After how long without a word a gateway does not count any more, in milliseconds.
pub const LOST_MS: i64 = 15_000;

/// How long it is known of a gateway that it was there.
pub(super) const NODES_KEPT_MS: i64 = 86_400_000;

/// What a gateway says of itself once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// 32 hexadecimal digits, new at each start.
    pub id: String,
    /// The name of its machine.
    pub name: String,
    /// Its version.
    pub program: String,
    /// In milliseconds since 1970, by its own clock.
    pub started_at: i64,
}

/// A gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub identity: NodeIdentity,
    /// The version of the store that it has in force.
    pub applied: i64,
    /// How long ago it has said so, in milliseconds.
    pub quiet_ms: i64,
}

impl Node {
    /// Whether it counts: it was there a moment ago.
    pub const fn is_there(&self) -> bool {
        self.quiet_ms < LOST_MS
    }
}

/// The time of the database, in milliseconds since 1970; that of this machine for a file.
fn now(connection: &Connection, now_ms: i64) -> Result<i64, StoreError> {
    let query = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";
    match connection.engine() {
        Engine::Sqlite => Ok(now_ms),
        Engine::Postgres => Ok(connection.query_row(query, (), |row| row.get(0))?),
    }
}

/// Says that a gateway is there, and which version it has in force.
///
/// # Errors
/// Errors of the database.
pub fn beat(connection: &Connection, node: &NodeIdentity, applied: i64, now_ms: i64) -> Result<(), StoreError> {
    let at = now(connection, now_ms)?;
    let put = "INSERT INTO node (id, name, program, started_at, applied, seen_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
               ON CONFLICT (id) DO UPDATE SET applied = excluded.applied, seen_at = excluded.seen_at";
    let values = params![node.id, node.name, node.program, node.started_at, applied, at];
    connection.prepare_cached(put)?.execute(values)?;
    Ok(())
}

/// Forgets a gateway that ends.
///
/// # Errors
/// Errors of the database.
pub fn leave(connection: &Connection, id: &str) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM node WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// All gateways of the last day, those that started first at the beginning.
///
/// # Errors
/// Errors of the database.
pub fn list(connection: &Connection, now_ms: i64) -> Result<Vec<Node>, StoreError> {
    let at = now(connection, now_ms)?;
    let query = "SELECT id, name, program, started_at, applied, seen_at FROM node ORDER BY started_at, id";
    let mut statement = connection.prepare_cached(query)?;
    let found = statement.query_map((), |row| {
        let identity =
            NodeIdentity { id: row.get(0)?, name: row.get(1)?, program: row.get(2)?, started_at: row.get(3)? };
        let seen_at: i64 = row.get(5)?;
        Ok(Node { identity, applied: row.get(4)?, quiet_ms: at.saturating_sub(seen_at).max(0) })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}
