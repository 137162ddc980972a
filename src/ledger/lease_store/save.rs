//! What a transaction has changed of its part of the centre, written.

use std::collections::{BTreeMap, BTreeSet};

use super::load::Part;
use super::rows::{self, CreditsRow, KeyRow, LeaseRow, column, of_keys};
use crate::ledger::lease::centre::{Centre, NodeRow};
use crate::ledger::lease::message::{Key, NodeId};
use crate::ledger::store::sql::{Error, Result, params};

/// The database's time, in milliseconds since 1970.
const NOW: &str = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";

impl Part<'_> {
    /// Writes the differences to what was read. Of identities only `id` can have changed; `name` is what people know it
    /// by.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn save(&self, before: &Centre, id: Option<NodeId>, name: &str) -> Result<()> {
        if before.cluster != self.centre.cluster {
            let cluster = self.centre.cluster;
            let set = "UPDATE credit_cluster SET epoch = ?1, nonce = ?2, opened = ?3, history = ?4";
            let (number, nonce) = (column(cluster.epoch.number)?, cluster.epoch.nonce.cast_signed());
            self.database.execute(set, params![number, nonce, cluster.opened, self.history])?;
        }
        let Some(id) = id else { return Ok(()) };
        let row = self.centre.nodes.get(id).copied();
        if let Some(row) = row.filter(|row| before.nodes.get(id) != Some(row)) {
            self.save_node(id, &row, before.nodes.get(id).is_none(), name)?;
        }
        self.save_leases(before, id)?;
        self.save_recalls(before)?;
        self.save_unpaid(before, id)
    }

    fn save_node(&self, id: NodeId, row: &NodeRow, is_new: bool, name: &str) -> Result<()> {
        let (incarnation, beat) = (column(row.incarnation)?, column(row.beat)?);
        let (epoch, nonce) = (column(row.epoch.number)?, row.epoch.nonce.cast_signed());
        let (id, state) = (id.0.cast_signed(), rows::word(row.state));
        if is_new {
            // Another transaction may have added it meanwhile, in another state: then this one begins anew.
            let add = format!("INSERT INTO credit_node VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, {NOW}, {NOW})");
            self.database
                .execute(&add, params![id, incarnation, state, epoch, nonce, beat, column(row.fence_after)?, name])?;
        } else {
            let set = format!(
                "UPDATE credit_node SET incarnation = ?2, state = ?3, epoch = ?4, nonce = ?5, beat = ?6, fence_after = ?7, \
                 seen_at = CASE WHEN beat = ?6 THEN seen_at ELSE {NOW} END WHERE id = ?1"
            );
            self.database
                .execute(&set, params![id, incarnation, state, epoch, nonce, beat, column(row.fence_after)?])?;
        }
        Ok(())
    }

    fn save_leases(&self, before: &Centre, id: NodeId) -> Result<()> {
        let (mut changed, mut differences) = (Vec::new(), BTreeMap::new());
        for ((key, node), row) in self.centre.leases.iter() {
            let known = before.leases.get((key, node)).copied();
            if node != id || known == Some(*row) {
                continue;
            }
            let (taken, returned, spent) = (row.taken, row.returned, row.spent);
            changed.push(LeaseRow { key: KeyRow::of(key, self.names)?, taken, returned, spent });
            let difference = column(row.allotted())? - column(known.unwrap_or_default().allotted())?;
            if difference != 0 {
                differences.insert(key, difference);
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        // The balances first: whoever decides by one of them knows the leases from then on.
        self.save_balances(&differences)?;
        let put = "INSERT INTO credit_lease (account, subject, period, node, taken, returned, spent) \
                   SELECT k.account, k.subject, k.period, ?2, k.taken, k.returned, k.spent \
                   FROM json_to_recordset(CAST(?1 AS json)) AS k \
                   (account text, subject text, period bigint, taken bigint, returned bigint, spent bigint) \
                   ON CONFLICT (account, subject, period, node) DO UPDATE SET \
                   taken = excluded.taken, returned = excluded.returned, spent = excluded.spent";
        self.database.execute(put, params![rows::json(&changed)?, id.0.cast_signed()])?;
        Ok(())
    }

    /// Adds to what is allotted, in one order of names for everybody.
    fn save_balances(&self, differences: &BTreeMap<Key, i64>) -> Result<()> {
        const LOCK: &str = concat!(
            "SELECT b.account FROM ",
            of_keys!(),
            " JOIN credit_balance b ON b.account = k.account AND b.subject = k.subject AND b.period = k.period \
              ORDER BY b.account, b.subject, b.period FOR NO KEY UPDATE OF b"
        );
        // A declaration can be of credits that the database knows nothing of: a backup that is older than their grant.
        const ADD: &str = concat!(
            "INSERT INTO credit_balance (account, subject, period, granted, allotted, deficit) \
             SELECT k.account, k.subject, k.period, 0, 0, 0 FROM ",
            of_keys!(),
            " ORDER BY k.account COLLATE \"C\", k.subject COLLATE \"C\", k.period ON CONFLICT DO NOTHING"
        );
        const CHANGE: &str = "UPDATE credit_balance b SET allotted = b.allotted + k.credits, \
             deficit = greatest(b.allotted + k.credits - b.granted, 0) \
             FROM json_to_recordset(CAST(?1 AS json)) AS k (account text, subject text, period bigint, credits bigint) \
             WHERE b.account = k.account AND b.subject = k.subject AND b.period = k.period";
        if differences.is_empty() {
            return Ok(());
        }
        let row =
            |(key, credits): (&Key, &i64)| Ok(CreditsRow { key: KeyRow::of(*key, self.names)?, credits: *credits });
        let changes = rows::json(&differences.iter().map(row).collect::<Result<Vec<_>>>()?)?;
        let keys = rows::keys(&differences.keys().copied().collect(), self.names)?;
        let found = self.database.prepare(LOCK)?.query_map(params![keys], |_| Ok(()))?.count();
        if found < differences.len() {
            self.database.execute(ADD, params![keys])?;
        }
        match self.database.execute(CHANGE, params![changes])? {
            changed if changed == differences.len() => Ok(()),
            _ => Err(Error::Unexpected),
        }
    }

    fn save_recalls(&self, before: &Centre) -> Result<()> {
        let differences = |from: &Centre, to: &Centre| -> Vec<(NodeId, Key)> {
            let more = to.recalls.iter().filter(|(recall, ())| from.recalls.get(*recall).is_none());
            more.map(|(recall, ())| recall).collect()
        };
        let add = concat!(
            "INSERT INTO credit_recall (node, account, subject, period) SELECT ?2, k.account, k.subject, k.period FROM ",
            of_keys!(),
            " ON CONFLICT DO NOTHING"
        );
        let remove = concat!(
            "DELETE FROM credit_recall r USING ",
            of_keys!(),
            " WHERE r.node = ?2 AND r.account = k.account AND r.subject = k.subject AND r.period = k.period"
        );
        for (statement, recalls) in
            [(add, differences(before, &self.centre)), (remove, differences(&self.centre, before))]
        {
            let nodes: BTreeSet<NodeId> = recalls.iter().map(|(node, _)| *node).collect();
            for node in nodes {
                let of_node = recalls.iter().filter(|(of, _)| *of == node).map(|(_, key)| *key);
                let keys = rows::keys(&of_node.collect(), self.names)?;
                self.database.execute(statement, params![keys, node.0.cast_signed()])?;
            }
        }
        Ok(())
    }

    fn save_unpaid(&self, before: &Centre, id: NodeId) -> Result<()> {
        let mut changed = Vec::new();
        for ((key, node), credits) in self.centre.unpaid.iter() {
            if node == id && before.unpaid.get((key, node)) != Some(credits) {
                changed.push(CreditsRow { key: KeyRow::of(key, self.names)?, credits: column(*credits)? });
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        let put = "INSERT INTO credit_unpaid (account, subject, period, node, credits) \
                   SELECT k.account, k.subject, k.period, ?2, k.credits FROM json_to_recordset(CAST(?1 AS json)) AS k \
                   (account text, subject text, period bigint, credits bigint) \
                   ON CONFLICT (account, subject, period, node) DO UPDATE SET credits = excluded.credits";
        self.database.execute(put, params![rows::json(&changed)?, id.0.cast_signed()])?;
        Ok(())
    }
}
