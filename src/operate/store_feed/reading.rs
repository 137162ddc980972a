//! What has changed in the store since a moment, read from one consistent state.

use crate::ledger::store::changes::{self, ChangeKind, Moment, Since};
use crate::ledger::store::records::{StoredPlan, WholeAccount};
use crate::ledger::store::{Connection, StoreError, accounts as accounts_in_store, plans, whole};

/// What has been read of the store at one moment.
pub struct Batch {
    pub now: Moment,
    pub plans: Vec<StoredPlan>,
    /// Accounts that are there, or what is wrong with their rows.
    pub accounts: Vec<Result<WholeAccount, StoreError>>,
    /// These are all: others that are in force are gone.
    pub is_all: bool,
}

/// What has changed since a moment, with accounts that are looked at again; `None` if there is nothing.
///
/// # Errors
/// Errors of the database.
pub fn read(connection: &mut Connection, known: Moment, again: &[String]) -> Result<Option<Batch>, StoreError> {
    // Most looks find nothing, and need no transaction.
    if again.is_empty() && changes::moment(connection)? == known {
        return Ok(None);
    }
    let snapshot = connection.transaction()?;
    let (now, mut ids) = match changes::since(&snapshot, known)? {
        Since::Changed { now, marks } if now == known && marks.is_empty() && again.is_empty() => return Ok(None),
        Since::Changed { now, marks } => {
            let mut ids = Vec::new();
            for (kind, id) in marks {
                match kind {
                    ChangeKind::Account => ids.push(id),
                    ChangeKind::Plan => ids.extend(plans::accounts_of(&snapshot, &id)?),
                    ChangeKind::Key | ChangeKind::Nothing => {}
                }
            }
            (now, ids)
        }
        Since::Unknown { now } => {
            log::warn!(
                target: "tollgate::store",
                "the store's history is not the one that was followed (it was restored, or long out of reach); all accounts are read anew"
            );
            let mut accounts = Vec::new();
            whole::each(&snapshot, |account| accounts.push(account))?;
            return Ok(Some(Batch { now, plans: plans::list(&snapshot)?, accounts, is_all: true }));
        }
    };
    for name in again {
        ids.extend(accounts_in_store::id_of(&snapshot, name)?);
    }
    ids.sort();
    ids.dedup();
    let accounts = ids.iter().map(|id| whole::one(&snapshot, id)).collect();
    Ok(Some(Batch { now, plans: plans::list(&snapshot)?, accounts, is_all: false }))
}
