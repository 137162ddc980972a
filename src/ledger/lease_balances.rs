//! The balances of a gateway as leases fill them: the driver's [`Balances`] over the ledger and its file.
//!
//! A lease is granted to the balance that requests use, and what is returned is withdrawn from it, as an operator's grants
//! and adjustments are. Nobody else may grant then. The journal is the truth: what failed is looked up there before
//! anything else is done. All of this blocks; it is for the thread that drives leases.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Ledger;
use super::entry::Kind;
use super::lease::driver::{Balances, Usage};
use super::lease::message::{Counters, Identity, Key, NodeId};
use super::lease::terms::Time;
use super::lease_journal::{self, BY, JournalRecord};
use super::lease_store::names::OwnerNames;
use super::question::{Correction, Refusal};
use crate::policy::credits::CreditAccount;

/// How often it is tried to take back what requests are holding at the same time.
const WITHDRAWALS: u32 = 8;

/// A lease as the journal has it.
#[derive(Clone, Copy, Debug, Default)]
struct Lease {
    counters: Counters,
    spent_before: u64,
    /// Of what was returned, what the driver knows.
    told: u64,
    /// What was spent of the balance when the journal was read last.
    seen: Option<u64>,
}

/// The balances of a gateway.
pub struct LedgerBalances {
    ledger: Arc<Ledger>,
    id: NodeId,
    accounts: BTreeMap<Key, Arc<CreditAccount>>,
    leases: BTreeMap<Key, Lease>,
    /// Something was written of which it is not known whether it is in the journal.
    is_in_doubt: bool,
    until: Arc<AtomicU64>,
    /// Why no identity could begin, as it was logged.
    told: Option<Refusal>,
}

impl LedgerBalances {
    /// Reads what the journal has of the identity before. `until` is the time until which requests may hold credits.
    ///
    /// # Errors
    /// That the ledger cannot be used.
    pub fn open(
        ledger: Arc<Ledger>,
        names: &mut OwnerNames,
        until: Arc<AtomicU64>,
    ) -> Result<(LedgerBalances, Option<JournalRecord>), Refusal> {
        let record = ledger.run(|file| {
            lease_journal::prepare(file)?;
            lease_journal::record(file)
        });
        let record = record.wait_here()?;
        let id = record.as_ref().map_or(NodeId(0), |record| record.identity.id);
        let (accounts, leases) = (BTreeMap::new(), BTreeMap::new());
        let mut balances = LedgerBalances { ledger, id, accounts, leases, is_in_doubt: false, until, told: None };
        for lease in record.iter().flat_map(|record| &record.leases) {
            if let Some(owner) = names.number(&lease.account, &lease.product) {
                let key = Key { owner, period: 0 };
                if !balances.know(key, names) {
                    balances.know_gone(key, &lease.account, &lease.product)?;
                }
                let (counters, spent_before) = (lease.counters, lease.spent_before);
                balances.leases.insert(key, Lease { counters, spent_before, told: counters.returned, seen: None });
            }
        }
        Ok((balances, record))
    }

    /// Knows the credit account of a key from here on, as it is in force. Returns whether there is one.
    pub fn know(&mut self, key: Key, names: &OwnerNames) -> bool {
        let name = names.name(key.owner).filter(|_| key.period == 0);
        let found = name.and_then(|name| self.ledger.credit_account(&name.account, &name.subject));
        if let Some(account) = found {
            self.accounts.insert(key, account);
        }
        self.accounts.contains_key(&key)
    }

    /// Knows a credit account that is in force no more: what it has on lease is returned all the same.
    fn know_gone(&mut self, key: Key, account: &str, product: &str) -> Result<(), Refusal> {
        let gone = Arc::new(CreditAccount::new(account.into(), product.into(), 0));
        let known = Arc::clone(&gone);
        let read = self.ledger.run(move |file| file.balance(&known.account, &known.product));
        if let Some((granted, spent)) = read.wait_here()? {
            gone.balance().load(granted, spent);
        }
        self.accounts.insert(key, gone);
        Ok(())
    }

    /// All credit accounts in force.
    pub fn in_force(&self) -> Vec<Arc<CreditAccount>> {
        self.ledger.register_of_licences().all().map(Arc::clone).collect()
    }

    /// Reads again what the journal has of balances that have changed, or of all if something is in doubt, after what was
    /// charged was written. Returns whether it could be.
    pub fn refresh(&mut self) -> bool {
        let mut changed = Vec::new();
        for (key, account) in &self.accounts {
            let spent = account.snapshot().spent;
            let seen = self.leases.get(key).map(|lease| lease.seen);
            // What was never taken has not changed.
            if self.is_in_doubt || seen.is_some_and(|seen| seen != Some(spent)) {
                changed.push((*key, Arc::clone(account), spent));
            }
        }
        let accounts: Vec<Arc<CreditAccount>> = changed.iter().map(|(_, account, _)| Arc::clone(account)).collect();
        if accounts.is_empty() {
            return true;
        }
        let read = self.ledger.run(move |file| lease_journal::some(file, &accounts));
        let Ok(found) = read.wait_here() else { return false };
        for ((key, _, spent), found) in changed.into_iter().zip(found) {
            if let Some(found) = found {
                let lease = self.leases.entry(key).or_default();
                (lease.counters, lease.spent_before, lease.seen) = (found.counters, found.spent_before, Some(spent));
            }
        }
        self.is_in_doubt = false;
        true
    }

    /// Begins an identity in the journal.
    ///
    /// # Errors
    /// That the one before, or the ledger itself, has credits left, or that the ledger cannot be used.
    pub fn take_identity(&mut self, id: NodeId) -> Result<(), Refusal> {
        let identity = Identity { id, incarnation: 0 };
        self.ledger.run(move |file| lease_journal::begin(file, identity)).wait_here()?;
        (self.id, self.is_in_doubt) = (id, false);
        self.leases.clear();
        // Those that are in force no more have nothing any more.
        let ledger = Arc::clone(&self.ledger);
        self.accounts.retain(|_, account| {
            let (name, product) = account.key();
            ledger.credit_account(name, product).is_some_and(|in_force| Arc::ptr_eq(&in_force, account))
        });
        Ok(())
    }

    /// Whether requests may hold credits at a time.
    pub fn may_sell(&self, now: Time) -> bool {
        now < self.until.load(Ordering::Acquire)
    }

    /// Goes on in the journal with the identity of the process before.
    ///
    /// # Errors
    /// That the ledger cannot be used.
    pub fn go_on_with(&mut self, identity: Identity) -> Result<(), Refusal> {
        self.ledger.run(move |file| lease_journal::begin(file, identity)).wait_here()
    }

    /// Of all that was spent of the balance of a key in this process, and in those before with its ledger, how much was not
    /// spent in this identity.
    pub fn spent_before(&self, key: Key) -> u64 {
        let spent = || self.accounts.get(&key).map_or(0, |account| account.snapshot().spent);
        self.leases.get(&key).map_or_else(spent, |lease| lease.spent_before)
    }

    /// Shows what all gateways together have of a key.
    pub fn show(&self, key: Key, granted: u64, spent_by_others: u64) {
        if let Some(account) = self.accounts.get(&key) {
            let signed = |credits: u64| i64::try_from(credits).unwrap_or(i64::MAX);
            account.share(granted, signed(spent_by_others).saturating_sub(signed(self.spent_before(key))));
        }
    }

    /// Writes a row of a lease. Returns whether the journal has it; if that is not known, it is in doubt.
    fn write(&mut self, key: Key, kind: Kind, amount: i64, total: u64) -> Result<(), Refusal> {
        let Some(account) = self.accounts.get(&key) else { return Err(Refusal::TooLittle) };
        let correction = Correction {
            credit_account: Arc::clone(account),
            kind,
            amount,
            key: lease_journal::key(self.id, kind, total),
            by: BY.to_owned(),
            why: String::new(),
        };
        let written = self.ledger.correct_here(correction).wait_here();
        self.is_in_doubt |= matches!(written, Err(Refusal::Unusable(_)));
        written.map(|_| ())
    }

    /// Whether nothing is in doubt, or is not any more.
    fn is_sure(&mut self) -> bool {
        !self.is_in_doubt || self.refresh()
    }
}

impl Balances for LedgerBalances {
    fn usage(&self, key: Key) -> Usage {
        let Some(account) = self.accounts.get(&key) else { return Usage::default() };
        let lease = self.leases.get(&key).copied().unwrap_or_default();
        let balance = account.snapshot();
        // What is written before its answer can still be refunded; what is written after it may not be there yet.
        let delivered = balance.spent.saturating_sub(lease.spent_before);
        Usage { available: balance.available, spent: lease.counters.spent.min(delivered) }
    }

    fn add(&mut self, key: Key, taken: u64) -> bool {
        if !self.is_sure() {
            return false;
        }
        let before = self.leases.get(&key).map_or(0, |lease| lease.counters.taken);
        let Ok(amount) = i64::try_from(taken.saturating_sub(before)) else { return false };
        if amount > 0 && self.write(key, Kind::Grant, amount, taken).is_err() {
            return false;
        }
        match self.leases.get_mut(&key) {
            Some(lease) => lease.counters.taken = lease.counters.taken.max(taken),
            // What was spent before is in the journal.
            None => {
                self.leases.insert(key, Lease::default());
                self.is_in_doubt = !self.refresh();
            }
        }
        true
    }

    fn take_back(&mut self, key: Key) -> u64 {
        if !self.is_sure() {
            return 0;
        }
        let Some(account) = self.accounts.get(&key).map(Arc::clone) else { return 0 };
        for _ in 0..WITHDRAWALS {
            let available = account.balance().available();
            let returned = self.leases.get(&key).map_or(0, |lease| lease.counters.returned);
            let Ok(amount) = i64::try_from(available) else { break };
            if amount == 0 {
                break;
            }
            match self.write(key, Kind::Adjustment, -amount, returned + available) {
                Ok(()) => {
                    self.leases.entry(key).or_default().counters.returned = returned + available;
                    break;
                }
                // Requests were faster.
                Err(Refusal::TooLittle) => {}
                Err(Refusal::Unusable(_) | Refusal::KeyTaken | Refusal::TooMuch | Refusal::Unavailable) => break,
            }
        }
        let Some(lease) = self.leases.get_mut(&key) else { return 0 };
        let new = lease.counters.returned.saturating_sub(lease.told);
        lease.told = lease.counters.returned;
        new
    }

    fn sell_until(&mut self, time: Time) {
        self.until.store(time, Ordering::Release);
    }

    fn begin(&mut self, id: NodeId) -> bool {
        let begun = self.take_identity(id);
        if let Err(refusal) = begun
            && self.told != Some(refusal)
        {
            log::error!(target: "tollgate::leases", "credits cannot be sold: {refusal}");
        }
        self.told = begun.err();
        begun.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::order::Stage;
    use crate::ledger::{Durability, LedgerSettings, Storage};
    use crate::policy::http::transaction_id::TransactionId;

    const KEY: Key = Key { owner: 0, period: 0 };

    fn ledger(storage: Storage) -> (Arc<Ledger>, Arc<CreditAccount>) {
        let account = Arc::new(CreditAccount::new("acme".into(), "phone".into(), 0));
        let settings = LedgerSettings { storage, durability: Durability::Batch, cluster: None };
        (Arc::new(Ledger::open(Some(settings), vec![Arc::clone(&account)], None, None, None)), account)
    }

    fn open(ledger: &Arc<Ledger>) -> (LedgerBalances, Option<JournalRecord>) {
        let mut names = OwnerNames::default();
        assert_eq!(names.number("acme", "phone"), Some(0));
        let (mut balances, record) = LedgerBalances::open(Arc::clone(ledger), &mut names, Arc::default()).unwrap();
        assert!(balances.know(KEY, &names));
        (balances, record)
    }

    fn buy(ledger: &Ledger, account: &Arc<CreditAccount>, credits: u32) {
        account.hold(credits).unwrap().settle(credits);
        ledger.charge(account, credits, TransactionId::random(), Stage::Delivered);
    }

    #[test]
    fn a_lease_fills_the_balance_that_requests_use() {
        let (ledger, account) = ledger(Storage::Memory);
        let (mut balances, record) = open(&ledger);
        assert!(record.is_none() && balances.begin(NodeId(7)));
        assert!(balances.add(KEY, 10) && balances.add(KEY, 10) && balances.add(KEY, 12));
        assert_eq!(balances.usage(KEY), Usage { available: 12, spent: 0 });
        buy(&ledger, &account, 4);
        let hold = account.hold(3).unwrap();
        // Not in the journal yet, as far as this knows.
        assert_eq!(balances.usage(KEY), Usage { available: 5, spent: 0 });
        assert!(balances.refresh());
        assert_eq!(balances.usage(KEY), Usage { available: 5, spent: 4 });
        assert_eq!((balances.take_back(KEY), balances.take_back(KEY)), (5, 0));
        assert!(!balances.begin(NodeId(8)), "a request holds credits of this identity");
        drop(hold);
        assert_eq!(balances.take_back(KEY), 3);
        assert!(balances.begin(NodeId(8)));
        assert!(balances.add(KEY, 2));
        assert_eq!(balances.usage(KEY), Usage { available: 2, spent: 0 });
    }

    #[test]
    fn what_is_written_of_accounts_is_not_granted_in_the_journal_of_a_cluster() {
        let account = Arc::new(CreditAccount::new("acme".into(), "phone".into(), 7));
        let location = crate::ledger::store::Location::File("store.db".into());
        let (time_to_live, replica_lag) = (std::time::Duration::from_secs(10), std::time::Duration::ZERO);
        let cluster = crate::ledger::leases::ClusterSettings { location, time_to_live, replica_lag };
        let settings =
            LedgerSettings { storage: Storage::Memory, durability: Durability::Batch, cluster: Some(cluster) };
        // As `tollgate status` opens it beside a gateway that is stopped.
        let ledger = Ledger::open(Some(settings), vec![Arc::clone(&account)], None, None, None);
        assert!(ledger.run(|file| lease_journal::prepare(file)).wait_here().is_ok());
        assert_eq!(account.snapshot().granted, 0);
        let begun = ledger.run(|file| lease_journal::begin(file, Identity { id: NodeId(1), incarnation: 0 }));
        assert_eq!(begun.wait_here(), Ok(()));
        ledger.close();
    }

    #[test]
    fn an_account_that_is_gone_gives_back_what_it_has_on_lease() {
        let path = std::env::temp_dir().join(format!("tollgate-lease-gone-{}.db", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let (first, account) = ledger(Storage::File(path.clone()));
        let (mut balances, _) = open(&first);
        assert!(balances.begin(NodeId(7)) && balances.add(KEY, 10));
        buy(&first, &account, 4);
        first.close();
        drop(balances);
        let settings =
            LedgerSettings { storage: Storage::File(path.clone()), durability: Durability::Batch, cluster: None };
        let without = Arc::new(Ledger::open(Some(settings), Vec::new(), None, None, None));
        let mut names = OwnerNames::default();
        let (mut balances, record) = LedgerBalances::open(Arc::clone(&without), &mut names, Arc::default()).unwrap();
        assert_eq!(record.unwrap().leases.len(), 1);
        assert_eq!(balances.usage(KEY), Usage { available: 6, spent: 4 });
        assert_eq!((balances.take_back(KEY), balances.begin(NodeId(8))), (6, true));
        without.close();
        for end in ["", "-wal", "-shm", ".lock"] {
            let _ = std::fs::remove_file(format!("{}{end}", path.display()));
        }
    }

    #[test]
    fn a_restart_finds_what_the_identity_had() {
        let path = std::env::temp_dir().join(format!("tollgate-lease-balances-{}.db", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let (first, account) = ledger(Storage::File(path.clone()));
        let (mut balances, _) = open(&first);
        assert!(balances.begin(NodeId(7)) && balances.add(KEY, 10));
        buy(&first, &account, 4);
        first.close();
        drop(balances);
        let (second, _) = ledger(Storage::File(path.clone()));
        let (mut balances, record) = open(&second);
        let record = record.unwrap();
        assert_eq!(record.identity, Identity { id: NodeId(7), incarnation: 0 });
        assert_eq!(record.leases[0].counters, Counters { taken: 10, returned: 0, spent: 4 });
        assert_eq!(balances.usage(KEY), Usage { available: 6, spent: 4 });
        assert_eq!(balances.take_back(KEY), 6);
        assert!(balances.begin(NodeId(8)));
        second.close();
        for end in ["", "-wal", "-shm", ".lock"] {
            let _ = std::fs::remove_file(format!("{}{end}", path.display()));
        }
    }
}
