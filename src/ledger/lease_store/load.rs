//! The part of the centre that a message is about: read, and locked as `lease_store.rs` says.

use std::collections::BTreeSet;

use super::names::OwnerNames;
use super::rows::{self, counters, key, number, of_keys};
use crate::ledger::lease::centre::{Balance, Centre, Cluster, NodeRow};
use crate::ledger::lease::message::{Counters, Epoch, Key, NodeId};
use crate::ledger::store::Connection;
use crate::ledger::store::sql::{OptionalExtension, Result, Row, ToSql, params};

/// A part of the centre, and what it was read with.
pub struct Part<'t> {
    pub database: &'t Connection,
    pub names: &'t mut OwnerNames,
    pub centre: Centre,
    /// The history of the database.
    pub history: String,
}

/// How a balance is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Nobody else decides by it.
    Decide,
    /// Nobody removes it.
    Keep,
}

type CreditRow<V> = ((Key, NodeId), V);

impl<'t> Part<'t> {
    /// The epoch, and every identity that has not ended, with this one in any state.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn begin(database: &'t Connection, names: &'t mut OwnerNames, own: Option<NodeId>) -> Result<Part<'t>> {
        const EPOCH: &str = "SELECT epoch, nonce, opened, history, credit_history() FROM credit_cluster";
        let read = |row: Row<'_>| {
            let epoch = Epoch { number: number(row, 0)?, nonce: row.get::<i64>(1)?.cast_unsigned() };
            let history: String = row.get(4)?;
            // The types have a number for it, of which only matters whether it is the same.
            let timeline = u64::from(row.text(3)? != history);
            Ok((Cluster { epoch, timeline: 0, opened: row.get(2)? }, timeline, history))
        };
        let mut found: (Cluster, u64, String) = database.query_row(EPOCH, (), read)?;
        if !found.0.opened || found.1 != found.0.timeline {
            found = database.query_row(&format!("{EPOCH} FOR UPDATE"), (), read)?;
        }
        let (cluster, server_timeline, history) = found;
        let centre = Centre { cluster, server_timeline, ..Centre::default() };
        let mut part = Part { database, names, centre, history };
        part.nodes(own)?;
        Ok(part)
    }

    fn nodes(&mut self, own: Option<NodeId>) -> Result<()> {
        const COLUMNS: &str = "SELECT id, incarnation, state, epoch, nonce, beat, fence_after FROM credit_node WHERE";
        let read = |row: Row<'_>| {
            let epoch = Epoch { number: number(row, 3)?, nonce: row.get::<i64>(4)?.cast_unsigned() };
            let (incarnation, state, beat) = (number(row, 1)?, rows::state(row.text(2)?)?, number(row, 5)?);
            Ok((
                NodeId(row.get::<i64>(0)?.cast_unsigned()),
                NodeRow { incarnation, state, epoch, beat, fence_after: number(row, 6)? },
            ))
        };
        if let Some(id) = own {
            let of_id = format!("{COLUMNS} id = ?1 FOR UPDATE");
            let found = self.database.query_row(&of_id, [id.0.cast_signed()], read).optional()?;
            self.centre.nodes.extend(found);
        }
        let not_ended = format!("{COLUMNS} state IN ('live', 'draining')");
        let mut statement = self.database.prepare(&not_ended)?;
        let others = statement.query_map((), read)?.filter(|found| !matches!(found, Ok((id, _)) if Some(*id) == own));
        self.centre.nodes.extend(others.collect::<Result<Vec<_>>>()?);
        Ok(())
    }

    /// All leases of an identity.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn leases_of(&mut self, id: NodeId) -> Result<()> {
        let query = "SELECT account, subject, period, node, taken, returned, spent FROM credit_lease WHERE node = ?1";
        let found = self.rows(query, params![id.0.cast_signed()], |row| counters(row, 4))?;
        self.centre.leases.extend(found);
        Ok(())
    }

    /// Leases of an identity of some keys.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn own_leases(&mut self, keys: &BTreeSet<Key>, id: NodeId) -> Result<()> {
        let query = concat!(
            "SELECT l.account, l.subject, l.period, l.node, l.taken, l.returned, l.spent FROM ",
            of_keys!(),
            " JOIN credit_lease l ON l.account = k.account AND l.subject = k.subject AND l.period = k.period \
              WHERE l.node = ?2"
        );
        if keys.is_empty() {
            return Ok(());
        }
        let keys = rows::keys(keys, self.names)?;
        let found: Vec<CreditRow<Counters>> =
            self.rows(query, params![keys, id.0.cast_signed()], |row| counters(row, 4))?;
        self.centre.leases.extend(found);
        Ok(())
    }

    /// Leases of some keys: those of an identity, and others that have credits left.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn leases_for(&mut self, keys: &BTreeSet<Key>, id: NodeId) -> Result<()> {
        let query = concat!(
            "SELECT l.account, l.subject, l.period, l.node, l.taken, l.returned, l.spent FROM ",
            of_keys!(),
            " JOIN credit_lease l ON l.account = k.account AND l.subject = k.subject AND l.period = k.period \
              WHERE l.node = ?2 OR l.taken - l.returned - l.spent > 0"
        );
        let keys = rows::keys(keys, self.names)?;
        let found: Vec<CreditRow<Counters>> =
            self.rows(query, params![keys, id.0.cast_signed()], |row| counters(row, 4))?;
        self.centre.leases.extend(found);
        Ok(())
    }

    /// The recalls of an identity.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn recalls_of(&mut self, id: NodeId) -> Result<()> {
        let query = "SELECT account, subject, period, node FROM credit_recall WHERE node = ?1";
        let found = self.rows(query, params![id.0.cast_signed()], |_| Ok(()))?;
        self.centre.recalls.extend(found.into_iter().map(|((key, node), ())| ((node, key), ())));
        Ok(())
    }

    /// The recalls of some keys. Those of an identity that has ended meanwhile do not count.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn recalls_for(&mut self, keys: &BTreeSet<Key>) -> Result<()> {
        let query = concat!(
            "SELECT r.account, r.subject, r.period, r.node FROM ",
            of_keys!(),
            " JOIN credit_recall r ON r.account = k.account AND r.subject = k.subject AND r.period = k.period \
              JOIN credit_node n ON n.id = r.node WHERE n.state IN ('live', 'draining')"
        );
        let keys = rows::keys(keys, self.names)?;
        let found = self.rows(query, params![keys], |_| Ok(()))?;
        self.centre.recalls.extend(found.into_iter().map(|((key, node), ())| ((node, key), ())));
        Ok(())
    }

    /// What is unpaid of an identity.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn unpaid_of(&mut self, id: NodeId) -> Result<()> {
        let query = "SELECT account, subject, period, node, credits FROM credit_unpaid WHERE node = ?1";
        let found = self.rows(query, params![id.0.cast_signed()], |row| number(row, 4))?;
        self.centre.unpaid.extend(found);
        Ok(())
    }

    /// Some balances, in one order for everybody.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn balances(&mut self, keys: &BTreeSet<Key>, lock: Lock) -> Result<()> {
        const OF_KEYS: &str = concat!(
            "SELECT b.account, b.subject, b.period, b.granted, b.allotted, b.deficit FROM ",
            of_keys!(),
            " JOIN credit_balance b ON b.account = k.account AND b.subject = k.subject AND b.period = k.period \
              ORDER BY b.account, b.subject, b.period"
        );
        if keys.is_empty() {
            return Ok(());
        }
        let lock = match lock {
            Lock::Decide => "FOR NO KEY UPDATE OF b",
            Lock::Keep => "FOR KEY SHARE OF b",
        };
        let json = rows::keys(keys, self.names)?;
        let mut statement = self.database.prepare(&format!("{OF_KEYS} {lock}"))?;
        let names = &mut *self.names;
        let found = statement.query_map(params![json], |row| {
            let (granted, allotted, deficit) = (number(row, 3)?, number(row, 4)?, number(row, 5)?);
            Ok((key(row, names)?, Balance { granted, allotted, deficit }))
        })?;
        let found: Vec<(Key, Balance)> = found.collect::<Result<_>>()?;
        self.centre.balances.extend(found);
        Ok(())
    }

    /// The keys of quotas among these and among those that were read: their balances say whether their period is over.
    pub fn quotas(&self, keys: &BTreeSet<Key>) -> BTreeSet<Key> {
        let of_leases = self.centre.leases.iter().map(|((key, _), _)| key);
        keys.iter().copied().chain(of_leases).filter(|key| key.period > 0).collect()
    }

    /// The rows of a query whose first columns are a key and an identity.
    fn rows<V>(
        &mut self,
        query: &str,
        values: &[&dyn ToSql],
        read: impl Fn(Row<'_>) -> Result<V>,
    ) -> Result<Vec<CreditRow<V>>> {
        let mut statement = self.database.prepare(query)?;
        let names = &mut *self.names;
        let found = statement.query_map(values, |row| {
            let node = NodeId(row.get::<i64>(3)?.cast_unsigned());
            Ok(((key(row, names)?, node), read(row)?))
        })?;
        found.collect()
    }
}
