//! What becomes of accounts and plans that are imported into the store, for the command line and the management API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::store_feed;
use crate::ledger::store::export::{self, ExportLine};
use crate::ledger::store::import::{self, ImportedAccount, Tally};
use crate::ledger::store::{StoreError, Writing};
use crate::policy::Policy;

/// Refusals and warnings that are told one by one.
const MOST_TOLD: usize = 20;

/// What has become of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Imported {
    #[serde(flatten)]
    pub tally: Tally,
    /// Accounts of which nothing was written.
    pub refused: usize,
    /// Accounts that files of the configuration have, which count until they are taken out of them.
    pub in_files: usize,
    /// Accounts that cannot be in force as they are written.
    pub not_in_force: usize,
    /// The first of what was refused, and of what cannot be in force.
    pub told: Vec<Told>,
}

/// Something that was refused, or cannot be in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Told {
    /// Which one: an account, or a line.
    pub at: String,
    pub why: String,
}

/// One account, or plan, that is to be imported.
#[derive(Debug)]
pub enum Item {
    /// An account as files of the configuration have it.
    Account(Box<ImportedAccount>),
    /// A line of an export.
    Line {
        /// Where it stands.
        at: String,
        line: Box<ExportLine>,
    },
}

/// What becomes of an account that cannot be in force by the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is written, and told.
    IsKept,
    /// It is not written.
    IsRefused,
}

impl Item {
    /// A line of an export by its text.
    ///
    /// # Errors
    /// That it is none.
    pub fn line(at: String, text: &[u8]) -> Result<Item, Told> {
        match serde_json::from_slice::<ExportLine>(text) {
            Ok(line) => Ok(Item::Line { at, line: Box::new(line) }),
            Err(_) => Err(Told { at, why: "it is not a line of an export of this version".to_owned() }),
        }
    }

    fn write(&self, writing: &mut Writing<'_>) -> Result<Tally, StoreError> {
        match self {
            Item::Account(account) => import::account(writing, account),
            Item::Line { line, .. } => export::put_back(writing, line),
        }
    }

    fn at(&self) -> &str {
        match self {
            Item::Account(account) => &account.name,
            Item::Line { at, .. } => at,
        }
    }

    /// The name of an account, with its id where it comes from another store: what files say was compiled already, and
    /// what another store says may not fit this configuration.
    fn account(&self) -> Option<(&str, Option<&str>)> {
        match self {
            Item::Account(account) => Some((&account.name, None)),
            Item::Line { line, .. } => match &**line {
                ExportLine::Plan { .. } => None,
                ExportLine::Account { account, .. } => Some((&account.name, Some(&account.id))),
            },
        }
    }
}

impl Imported {
    /// Whether everything is in the store, and can be in force.
    pub fn is_whole(&self) -> bool {
        self.refused == 0 && self.not_in_force == 0
    }

    /// Imports items in a transaction, with a row of the audit that says where they come from. What is wrong with an item
    /// itself is told, and the others go on.
    ///
    /// # Errors
    /// Those of the database.
    pub fn add(
        &mut self,
        writing: &mut Writing<'_>,
        items: &[Item],
        from: &str,
        (policy, unfit): (&Policy, Unfit),
    ) -> Result<(), StoreError> {
        let mut all = Tally::default();
        for item in items {
            all.add(self.one(writing, item, (policy, unfit))?);
        }
        import::note(writing, from, all)?;
        self.tally.add(all);
        Ok(())
    }

    fn one(
        &mut self,
        writing: &mut Writing<'_>,
        item: &Item,
        (policy, unfit): (&Policy, Unfit),
    ) -> Result<Tally, StoreError> {
        let mut flaws = Vec::new();
        let done = writing.attempt(|writing| {
            let tally = item.write(writing)?;
            if let Some((_, Some(id))) = item.account().filter(|_| tally.created > 0) {
                flaws = store_feed::flaws(writing.database(), id, policy)?;
            }
            match flaws.first() {
                Some(flaw) if unfit == Unfit::IsRefused => Err(StoreError::invalid("account", flaw)),
                _ => Ok(tally),
            }
        });
        let tally = match done {
            Ok(tally) => tally,
            Err(error @ (StoreError::Unavailable { .. } | StoreError::InDoubt | StoreError::Unusable { .. })) => {
                return Err(error);
            }
            Err(error) => {
                self.refuse(Told { at: item.at().to_owned(), why: error.to_string() });
                return Ok(Tally::default());
            }
        };
        let Some((name, _)) = item.account() else { return Ok(tally) };
        if policy.accounts.slot_of(name).is_some_and(|slot| !policy.accounts.is_from_store(slot)) {
            self.in_files += 1;
        } else if !flaws.is_empty() {
            self.not_in_force += 1;
            self.tell(Told { at: item.at().to_owned(), why: format!("it {}", flaws.join("; it ")) });
        }
        Ok(tally)
    }

    /// Notes that an account is not imported.
    pub fn refuse(&mut self, told: Told) {
        self.refused += 1;
        self.tell(told);
    }

    fn tell(&mut self, told: Told) {
        if self.told.len() < MOST_TOLD {
            self.told.push(told);
        }
    }
}
