//! The figures of accounts and of tokens, by the slots of accounts, as far as the configuration wants them.
//!
//! Names come from accounts alone, never from a request. An account that stays goes on counting where it
//! did, also when others come and go.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use super::counters::Count;
use crate::policy::account::Account;
use crate::policy::account::directory::Accounts;
use crate::policy::account::directory::change::Changed;
use crate::policy::check::watch::Watched;
use crate::policy::problem::{Row, Status};
use crate::policy::sharing::{SharedTable, Tagged};

/// What accounts and tokens beyond the series that are shown are counted as.
const OTHER: &str = "other";

/// 200, those of refusals, and none. Preflights have no token.
pub const STATUSES: usize = Status::ALL.len() + 2;

/// The figures of accounts or of tokens.
#[derive(Clone, Debug, Default)]
pub struct Named {
    of: Of,
    /// How many figures there may be.
    most: usize,
    /// How many there are, but for that of all further ones.
    number: usize,
    own: SharedTable<Own>,
    /// Of all further ones; `None` if nobody has any.
    other: Option<Arc<OfName>>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Of {
    #[default]
    Accounts,
    Tokens,
}

/// The figures of one account: its own, or those of its tokens.
#[derive(Clone, Debug)]
struct Own {
    slot: u32,
    figures: SmallVec<[Arc<OfName>; 1]>,
}

impl Tagged for Own {
    fn tag(&self) -> u32 {
        self.slot
    }
}

/// An account, or a token of one.
type Name = (Arc<str>, Option<Box<str>>);

/// The figures of an account or a token, one for each status.
#[derive(Debug)]
pub struct OfName {
    pub(crate) account: Arc<str>,
    /// `None` for an account.
    pub(crate) token: Option<Box<str>>,
    counts: [Count; STATUSES],
    /// Those that a list would have refused that is only watched, in the order of [`Watched::ROWS`]; most have none.
    watched: OnceLock<[Count; 2]>,
}

impl Named {
    /// Those of accounts, `most` of them, which go on with those before.
    pub(super) fn of_accounts(accounts: &Accounts, most: usize, before: Option<&Named>) -> Named {
        Named::new(Of::Accounts, accounts, most, before)
    }

    /// Those of their tokens.
    pub(super) fn of_tokens(accounts: &Accounts, most: usize, before: Option<&Named>) -> Named {
        Named::new(Of::Tokens, accounts, most, before)
    }

    fn new(of: Of, accounts: &Accounts, most: usize, before: Option<&Named>) -> Named {
        let known = before.into_iter().flat_map(Named::iter).map(|figures| (figures.key(), figures));
        let mut known: HashMap<Name, Arc<OfName>> = known.collect();
        let other = match of {
            Of::Accounts => (OTHER.into(), None),
            Of::Tokens => (OTHER.into(), Some(OTHER.into())),
        };
        let other = known.remove(&other).unwrap_or_else(|| OfName::new(other));
        let mut named = Named { of, most, number: 0, own: SharedTable::default(), other: Some(other) };
        for (slot, account) in accounts.by_slot() {
            if named.number >= most {
                break;
            }
            named.put(slot, account, |name| known.remove(name));
        }
        named
    }

    /// The same after changes of some accounts. What those go on with that stay is theirs; what is over
    /// has room for others.
    pub(super) fn with(&self, changed: &[Changed]) -> Named {
        let mut named = self.clone();
        if !named.are_wanted() {
            return named;
        }
        let gone: Vec<_> = changed.iter().map(|one| named.take(one.slot)).collect();
        for (one, gone) in changed.iter().zip(gone) {
            if let Some(account) = &one.after {
                let before = one.before.as_ref().filter(|before| before.name == account.name);
                let known = |name: &Name| gone.iter().find(|known| before.is_some() && known.key() == *name).cloned();
                named.put(one.slot, account, known);
            }
        }
        named
    }

    fn take(&mut self, slot: usize) -> SmallVec<[Arc<OfName>; 1]> {
        let gone = self.own.remove(short(slot), |own| index(own.slot) == slot);
        let gone = gone.map(|own| own.figures).unwrap_or_default();
        self.number = self.number.saturating_sub(gone.len());
        gone
    }

    /// Gives an account figures, as far as there is room.
    fn put(&mut self, slot: usize, account: &Account, mut known: impl FnMut(&Name) -> Option<Arc<OfName>>) {
        let mut figures: SmallVec<[Arc<OfName>; 1]> = SmallVec::new();
        let names: Vec<Name> = match self.of {
            Of::Accounts => vec![(Arc::clone(&account.name), None)],
            Of::Tokens => {
                let token =
                    |key: &crate::policy::account::Key| (Arc::clone(&account.name), Some(key.token.name.clone()));
                account.keys.iter().map(token).collect()
            }
        };
        for name in names.into_iter().take(self.most.saturating_sub(self.number)) {
            // Names that are equal have one slot, so that no series is shown twice.
            let same = figures.iter().chain(&self.other).find(|figures| figures.key() == name).cloned();
            figures.push(same.or_else(|| known(&name)).unwrap_or_else(|| OfName::new(name)));
        }
        self.number += figures.len();
        if !figures.is_empty() {
            self.own.insert(Own { slot: short(slot), figures });
        }
    }

    /// Whether they are counted at all.
    pub(super) fn are_wanted(&self) -> bool {
        self.other.is_some()
    }

    /// Counts a request of the account of a slot, or of the token that has an index there.
    pub(super) fn count(&self, slot: usize, token: usize, status: usize) {
        let Some(other) = &self.other else { return };
        let own = self.own.find(short(slot), |own| index(own.slot) == slot);
        let figures = own.and_then(|own| own.figures.get(token)).unwrap_or(other);
        if let Some(count) = figures.counts.get(status) {
            count.add_one();
        }
    }

    /// The counters, of the token that has an index in the account of a slot, for requests that lists would have refused
    /// that are only watched; `None` if there are no counters by name.
    pub(super) fn watched(&self, slot: usize, token: usize) -> Option<&[Count; 2]> {
        let other = self.other.as_ref()?;
        let own = self.own.find(short(slot), |own| index(own.slot) == slot);
        let figures = own.and_then(|own| own.figures.get(token)).unwrap_or(other);
        Some(figures.watched.get_or_init(Default::default))
    }

    /// All figures, each once, in the order of the accounts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Arc<OfName>> {
        let mut own: Vec<&Own> = self.own.iter().collect();
        own.sort_unstable_by_key(|own| own.slot);
        let mut seen = HashSet::new();
        let all = own.into_iter().flat_map(|own| &own.figures).chain(&self.other);
        all.filter(move |figures| seen.insert(Arc::as_ptr(figures))).cloned()
    }
}

impl OfName {
    fn new((account, token): Name) -> Arc<OfName> {
        Arc::new(OfName { account, token, counts: Default::default(), watched: OnceLock::new() })
    }

    fn key(&self) -> Name {
        (Arc::clone(&self.account), self.token.clone())
    }

    /// The slug of each row that a list would have refused with that is only watched, and how often.
    pub(crate) fn watched(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.watched.get().into_iter().flat_map(watched_sums).filter(|(_, count)| *count > 0)
    }

    /// Each status that there was, and how often; 0 stands for no answer.
    pub(crate) fn statuses(&self) -> impl Iterator<Item = (u16, u64)> {
        let statuses = [200, 0].into_iter().chain(Status::ALL.into_iter().map(Status::code));
        statuses.zip(&self.counts).map(|(status, count)| (status, count.sum())).filter(|(_, count)| *count > 0)
    }
}

/// What lists would have refused that are only watched: the slug of each row, and how often.
pub(crate) fn watched_sums(counts: &[Count; 2]) -> impl Iterator<Item = (&'static str, u64)> {
    let slug = |row: Row| row.definition().map_or("", |definition| definition.slug);
    Watched::ROWS.into_iter().map(slug).zip(counts.iter().map(Count::sum))
}

/// A slot as it is kept, which accounts have as a number of this size.
fn short(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}

fn index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}
