//! Reconciles the file with the balances in memory: at the start, after each failure, and when a changed configuration
//! has new credit accounts.
//!
//! Writing is in `task.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Task, milliseconds, since_1970};
use crate::ledger::balance_index::BalanceIndex;
use crate::ledger::batch::address;
use crate::ledger::fault::LedgerFault;
use crate::ledger::file::LedgerFile;
use crate::ledger::order::{AccountsChange, BalanceState, Stage};
use crate::ledger::usage::Kept;
use crate::policy::Policy;
use crate::policy::credits::CreditAccount;

const TOO_MANY_CREDITS: LedgerFault = LedgerFault::new("a balance has more credits than can be counted; adjust it");

impl Task {
    /// Opens the file and reconciles it with the balances in memory. Only a successful write shows that the ledger can
    /// be used.
    pub(super) fn recover(&mut self) {
        let attempt = self
            .open()
            .and_then(|()| self.settle_doubt())
            .and_then(|()| self.read_unread())
            .and_then(|()| self.prove());
        match attempt {
            Ok(()) => {
                if !std::mem::take(&mut self.faults).is_empty() {
                    log::info!(target: "tollgate::ledger", "the ledger can be used again");
                }
                self.shared.stand(BalanceState::Usable);
            }
            Err(fault) => self.fail(fault),
        }
    }

    fn open(&mut self) -> Result<(), LedgerFault> {
        let store = LedgerFile::open(&self.settings.storage, !self.loaded)?;
        let position = store.position()?;
        if self.loaded {
            let ours = position == self.position || self.doubt.as_ref().is_some_and(|batch| position == batch.position);
            if !ours {
                return Err(LedgerFault::new(
                    "the file has another history than the one in use; put the newest copy back, or restart",
                ));
            }
        } else {
            self.load(&store)?;
            self.loaded = true;
        }
        self.position = position;
        self.store = Some(store);
        Ok(())
    }

    /// Reads every balance. Credit accounts that the file does not know begin with their first grant.
    pub(super) fn load(&mut self, store: &LedgerFile) -> Result<(), LedgerFault> {
        let mut known = vec![false; self.register.indexes()];
        let mut all_fit = true;
        store.balances(|account, product, granted, spent| {
            let index = self.register.index(account, product);
            let found = index.and_then(|index| Some((self.register.at(index)?, known.get_mut(index)?)));
            if let Some((credit_account, known)) = found {
                *known = true;
                all_fit &= credit_account.balance().load(granted, spent);
            }
        })?;
        if !all_fit {
            return Err(TOO_MANY_CREDITS);
        }
        // From last to first, since the last of the list is the next to be written.
        let indexes = known.into_iter().enumerate().rev().filter(|(_, known)| !known);
        let unknown = indexes.filter_map(|(index, _)| self.register.at(index));
        let is_due =
            |credit_account: &&Arc<CreditAccount>| self.settings.cluster.is_none() && credit_account.first_grant > 0;
        self.due = unknown.filter(is_due).cloned().collect();
        for credit_account in &self.due {
            credit_account.balance().grant(credit_account.first_grant);
        }
        self.due_set = self.due.iter().map(address).collect();
        if let Some(predecessor_holds) = &self.predecessor_holds {
            predecessor_holds.hold(&self.register);
        }
        if let Some(rates) = &mut self.rates {
            let used = store.rates(milliseconds(since_1970()))?;
            let mut limits: HashMap<String, Vec<Kept>> = HashMap::new();
            store.limits(since_1970(), |account, kept| match limits.get_mut(account) {
                Some(known) => known.push(kept),
                None => drop(limits.insert(account.to_owned(), vec![kept])),
            })?;
            rates.restore(|account| used.get(account).copied(), |account| limits.remove(account).unwrap_or_default());
        }
        Ok(())
    }

    /// Takes over the credit accounts of another policy. Those of the previous one keep their balances, also while
    /// requests still use them.
    pub(super) fn adopt(&mut self, policy: Arc<Policy>, register: Arc<BalanceIndex>) {
        let is_known = |credit_account: &Arc<CreditAccount>| {
            self.register
                .find(&credit_account.account, &credit_account.product)
                .is_some_and(|known| Arc::ptr_eq(known, credit_account))
        };
        if self.loaded && !Arc::ptr_eq(&self.register, &register) {
            self.unread.extend(register.all().filter(|credit_account| !is_known(credit_account)).map(Arc::clone));
        }
        self.rates = self.rates.take().map(|rates| rates.renewed(policy.accounts.clone()));
        self.register = register;
        if let Err(fault) = self.read_unread() {
            self.fail(fault);
        }
    }

    /// The same for some accounts.
    pub(super) fn change(&mut self, change: Box<AccountsChange>) {
        if self.loaded {
            self.unread.extend(change.new);
        }
        if let Some(rates) = &mut self.rates {
            rates.change(change.accounts, &change.slots);
        }
        self.register = change.register;
        if let Err(fault) = self.read_unread() {
            self.fail(fault);
        }
        let _ = change.done.send(());
    }

    /// Reads the balances of new credit accounts. Until then they have no credits, and nothing can be held while the
    /// file cannot be read.
    fn read_unread(&mut self) -> Result<(), LedgerFault> {
        let Some(store) = &self.store else { return Ok(()) };
        while let Some(credit_account) = self.unread.last() {
            match store.balance(&credit_account.account, &credit_account.product)? {
                Some((granted, spent)) if credit_account.balance().load(granted, spent) => {}
                Some(_) => return Err(TOO_MANY_CREDITS),
                None if self.settings.cluster.is_none() && credit_account.first_grant > 0 => {
                    credit_account.balance().grant(credit_account.first_grant);
                    self.due_set.insert(address(credit_account));
                    self.due.push(Arc::clone(credit_account));
                }
                None => {}
            }
            self.unread.pop();
        }
        Ok(())
    }

    /// Finds out whether the failed write is in the file.
    fn settle_doubt(&mut self) -> Result<(), LedgerFault> {
        let Some(batch) = self.doubt.take() else { return Ok(()) };
        if self.position == batch.position {
            self.written(batch);
        } else {
            self.not_written(batch);
        }
        Ok(())
    }

    /// Writes something, at least the number of the write.
    pub(super) fn prove(&mut self) -> Result<(), LedgerFault> {
        let batch = self.gather();
        self.commit(batch)
    }

    pub(super) fn fail(&mut self, fault: LedgerFault) {
        self.store = None;
        self.shared.unusable();
        self.shared.figures.failures.inc();
        // The latest is the last; one that was logged before is not logged again.
        let told = self.faults.contains(&fault);
        self.faults.retain(|known| *known != fault);
        self.faults.push(fault);
        if !told {
            log::error!(
                target: "tollgate::ledger",
                "the ledger {} cannot be used: {fault}; requests that cost credits are refused until then",
                self.settings.storage,
            );
        }
        // Dropping the sender informs the request that waits for its charge, or for what it was counted in.
        self.waiting.clear();
        let before = self.pending.len();
        self.pending.retain(|charge| !matches!(charge.stage, Stage::Waiting(_)));
        self.count_out(before - self.pending.len());
    }
}
