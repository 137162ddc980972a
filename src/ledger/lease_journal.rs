//! The journal of leases: which identity this gateway has, and what it has taken, returned and spent of each credit
//! account. It is a part of the ledger's file.
//!
//! A lease is a grant of the ledger, and what is returned an adjustment; both are rows like any other, by [`BY`], and a
//! trigger adds them up in the transaction that writes them. So the journal cannot contradict the balances, and after a
//! crash it has what the identity's last word needs. Quotas are not here yet. When something is written is decided by
//! whoever has leases.

use std::sync::Arc;

use rusqlite::{OptionalExtension, TransactionBehavior, params};

use super::entry::Kind;
use super::fault::LedgerFault;
use super::file::LedgerFile;
use super::lease::message::{Counters, Identity, NodeId};
use crate::policy::credits::CreditAccount;

/// Who has written the rows of leases.
pub const BY: &str = "lease";

/// What one identity has, and what was spent before it began. Earlier versions do not mind them.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS lease_identity (
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  id INTEGER NOT NULL,
  incarnation INTEGER NOT NULL CHECK (incarnation >= 0)
) STRICT;
CREATE TABLE IF NOT EXISTS lease (
  account TEXT NOT NULL,
  product TEXT NOT NULL,
  taken INTEGER NOT NULL,
  returned INTEGER NOT NULL CHECK (returned >= 0 AND returned <= taken),
  spent_before INTEGER NOT NULL,
  PRIMARY KEY (account, product)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS lease_is_counted AFTER INSERT ON entry WHEN new.by = 'lease' BEGIN
  INSERT INTO lease (account, product, taken, returned, spent_before)
    SELECT new.account, new.product, 0, 0,
      COALESCE((SELECT spent FROM balance WHERE account = new.account AND product = new.product), 0)
    WHERE true ON CONFLICT DO NOTHING;
  UPDATE lease SET
    taken = taken + CASE new.kind WHEN 'grant' THEN new.amount ELSE 0 END,
    returned = returned - CASE new.kind WHEN 'adjustment' THEN new.amount ELSE 0 END
  WHERE account = new.account AND product = new.product;
END;
";

/// What the journal has of one credit account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalLease {
    pub account: String,
    pub product: String,
    /// In credits. `spent` has charges that can still be refunded, too.
    pub counters: Counters,
    /// What the credit account had spent before.
    pub spent_before: u64,
}

/// What the journal has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRecord {
    pub identity: Identity,
    pub leases: Vec<JournalLease>,
}

/// The key of a row of a lease, by the total that is reached with it: each is written once, however often it is tried.
pub fn key(id: NodeId, kind: Kind, total: u64) -> String {
    format!("lease-{:016x}-{}-{total}", id.0, kind.word())
}

/// Makes the tables if they are not there. Rows of leases are counted from then on.
///
/// # Errors
/// Errors of the database.
pub fn prepare(file: &LedgerFile) -> Result<(), LedgerFault> {
    file.check_place()?;
    Ok(file.connection().execute_batch(TABLES)?)
}

/// What the journal has of the last identity; `None` if there was none.
///
/// # Errors
/// Errors of the database.
pub fn record(file: &LedgerFile) -> Result<Option<JournalRecord>, LedgerFault> {
    let connection = file.connection();
    let read = |row: &rusqlite::Row<'_>| {
        let id = NodeId(row.get::<_, i64>(0)?.cast_unsigned());
        Ok(Identity { id, incarnation: number(row.get(1)?) })
    };
    let identity = connection.query_row("SELECT id, incarnation FROM lease_identity", [], read).optional()?;
    let Some(identity) = identity else { return Ok(None) };
    let mut statement = connection.prepare_cached(&format!("{LEASES} ORDER BY account, product"))?;
    let leases = statement.query_map([], lease)?;
    Ok(Some(JournalRecord { identity, leases: leases.collect::<Result<_, _>>()? }))
}

/// What the journal has of some credit accounts, in their order; `None` for those that it has nothing of.
///
/// # Errors
/// Errors of the database.
pub fn some(file: &LedgerFile, accounts: &[Arc<CreditAccount>]) -> Result<Vec<Option<JournalLease>>, LedgerFault> {
    let of_one = format!("{LEASES} WHERE account = ?1 AND product = ?2");
    let mut statement = file.connection().prepare_cached(&of_one)?;
    let found =
        accounts.iter().map(|known| statement.query_row(params![known.account, known.product], lease).optional());
    Ok(found.collect::<Result<_, _>>()?)
}

const LEASES: &str = "SELECT account, product, taken, returned, spent - spent_before, spent_before FROM lease \
                      JOIN balance USING (account, product)";

fn lease(row: &rusqlite::Row<'_>) -> rusqlite::Result<JournalLease> {
    let counters = Counters { taken: number(row.get(2)?), returned: number(row.get(3)?), spent: number(row.get(4)?) };
    Ok(JournalLease { account: row.get(0)?, product: row.get(1)?, counters, spent_before: number(row.get(5)?) })
}

/// Begins an identity, or goes on with it as the next process of an upgrade.
///
/// # Errors
/// That another identity still has credits here, or the ledger has some that are no lease; errors of the database.
pub fn begin(file: &mut LedgerFile, identity: Identity) -> Result<(), LedgerFault> {
    file.check_place()?;
    let transaction = file.connection_mut().transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (id, incarnation) = (identity.id.0.cast_signed(), i64::try_from(identity.incarnation).unwrap_or(i64::MAX));
    let known = transaction.query_row("SELECT id FROM lease_identity", [], |row| row.get::<_, i64>(0)).optional()?;
    if known != Some(id) {
        let left = "SELECT 1 FROM balance WHERE granted > spent LIMIT 1";
        if transaction.query_row(left, [], |_| Ok(())).optional()?.is_some() {
            return Err(LedgerFault::new(
                "the ledger has credits that are not on lease; adjust its balances to zero, or begin a new ledger",
            ));
        }
        transaction.execute("DELETE FROM lease", [])?;
    }
    let put = "INSERT INTO lease_identity (only_row, id, incarnation) VALUES (1, ?1, ?2) \
               ON CONFLICT (only_row) DO UPDATE SET id = excluded.id, incarnation = excluded.incarnation";
    transaction.execute(put, params![id, incarnation])?;
    Ok(transaction.commit()?)
}

/// A sum that the tables keep from being negative.
fn number(sum: i64) -> u64 {
    u64::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ledger::Storage;
    use crate::ledger::entry::{Draft, Position, Reference, timestamp};

    fn write(file: &mut LedgerFile, kind: Kind, amount: i64, by: &str) {
        let draft = Draft {
            account: Arc::from("acme"),
            product: Arc::from("phone"),
            kind,
            amount,
            lookups: 1,
            reference: Reference::Batch,
            key: None,
            by: by.to_owned(),
            why: String::new(),
        };
        let position = file.position().unwrap();
        let next = Position { batch: position.batch + 1, nonce: position.nonce + 1 };
        file.write(&[draft], &[], &timestamp(1_700_000_000_000).unwrap(), next).unwrap();
    }

    fn counters(file: &LedgerFile) -> Vec<Counters> {
        record(file).unwrap().unwrap().leases.into_iter().map(|lease| lease.counters).collect()
    }

    #[test]
    fn the_journal_has_what_an_identity_took_returned_and_spent() {
        let mut file = LedgerFile::open(&Storage::Memory, true).unwrap();
        prepare(&file).unwrap();
        prepare(&file).unwrap();
        assert_eq!(record(&file).unwrap(), None);
        let first = Identity { id: NodeId(u64::MAX), incarnation: 0 };
        begin(&mut file, first).unwrap();
        write(&mut file, Kind::Grant, 10, BY);
        write(&mut file, Kind::Charge, -4, "gateway");
        write(&mut file, Kind::Refund, 1, "gateway");
        write(&mut file, Kind::Adjustment, -2, BY);
        assert_eq!(counters(&file), [Counters { taken: 10, returned: 2, spent: 3 }]);
        // An upgrade goes on, another identity cannot begin yet.
        let next = Identity { incarnation: 1, ..first };
        begin(&mut file, next).unwrap();
        assert_eq!(record(&file).unwrap().unwrap().identity, next);
        let second = Identity { id: NodeId(2), incarnation: 0 };
        assert!(begin(&mut file, second).is_err());
        assert_eq!(counters(&file), [Counters { taken: 10, returned: 2, spent: 3 }]);
        write(&mut file, Kind::Adjustment, -5, BY);
        begin(&mut file, second).unwrap();
        assert_eq!(counters(&file), []);
        write(&mut file, Kind::Grant, 6, BY);
        write(&mut file, Kind::Charge, -6, "gateway");
        assert_eq!(counters(&file), [Counters { taken: 6, returned: 0, spent: 6 }]);
        assert_eq!(record(&file).unwrap().unwrap().leases[0].spent_before, 3);
    }

    #[test]
    fn a_ledger_with_credits_of_its_own_has_no_leases() {
        let mut file = LedgerFile::open(&Storage::Memory, true).unwrap();
        prepare(&file).unwrap();
        write(&mut file, Kind::Grant, 10, "configuration");
        let refused = begin(&mut file, Identity { id: NodeId(1), incarnation: 0 }).unwrap_err();
        assert!(refused.to_string().contains("not on lease"), "{refused}");
    }

    #[test]
    fn a_key_is_of_one_total() {
        let keys = [(7, Kind::Grant, 5), (7, Kind::Adjustment, 5), (8, Kind::Grant, 5), (7, Kind::Grant, 6)];
        let keys: std::collections::BTreeSet<String> =
            keys.into_iter().map(|(id, kind, total)| key(NodeId(id), kind, total)).collect();
        assert_eq!(keys.len(), 4);
    }
}
