//! The Origins that some token may be used from, of each product and of all: who may ask in a preflight, and
//! who is shown an answer that came of no token (contract, section 9).
//!
//! Each entry of a list is there once, with how many tokens of each product have it, so that a token that
//! comes or goes changes the entries of its own list and no others.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap};
use smallvec::SmallVec;

use super::{DomainList, Domains, SchemeEntry, origin_host, parents};
use crate::policy::account::directory::Accounts;
use crate::policy::account::directory::change::Changed;
use crate::policy::account::{Account, ProductSet};
use crate::policy::sharing::{SharedTable, Tagged};

/// All Origins. A clone shares what is not changed in either of both.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    entries: SharedTable<Entry>,
    hasher: DefaultHashBuilder,
    /// Tokens that have no list.
    any: Counts,
    /// How many of the entries name a scheme.
    with_scheme: usize,
}

/// An entry, and how many tokens have it.
#[derive(Clone, Debug)]
struct Entry {
    tag: u32,
    listed: Arc<Listed>,
}

#[derive(Clone, Debug)]
struct Listed {
    /// `None`: http and https.
    scheme: Option<Box<str>>,
    host: Box<str>,
    /// Any subdomain of the host, not the host itself.
    below: bool,
    tokens: Counts,
}

impl Tagged for Entry {
    fn tag(&self) -> u32 {
        self.tag
    }
}

/// An entry of a list as it is looked for: its scheme, its host, and whether it is about subdomains.
type Key<'k> = (Option<&'k str>, &'k str, bool);

impl Listed {
    fn key(&self) -> Key<'_> {
        (self.scheme.as_deref(), &self.host, self.below)
    }
}

/// How many tokens there are of each product that has some.
#[derive(Clone, Debug, Default)]
struct Counts(SmallVec<[(u8, u32); 1]>);

impl Counts {
    fn add(&mut self, product: u8, tokens: u32) {
        match self.0.iter_mut().find(|(known, _)| *known == product) {
            Some((_, count)) => *count = count.saturating_add(tokens),
            None => self.0.push((product, tokens)),
        }
    }

    fn remove(&mut self, product: u8) {
        for (known, count) in &mut self.0 {
            if *known == product {
                *count = count.saturating_sub(1);
            }
        }
        self.0.retain(|(_, count)| *count > 0);
    }

    /// Whether there are any, of a product or at all.
    fn covers(&self, product: Option<u8>) -> bool {
        match product {
            Some(product) => self.0.iter().any(|(known, _)| *known == product),
            None => !self.0.is_empty(),
        }
    }
}

impl Origins {
    /// Those of all tokens. Millions of tokens may share a few lists: `pace` is called for each token.
    pub fn of(accounts: &Accounts, pace: fn()) -> Origins {
        let mut lists: HashMap<(*const DomainList, ProductSet), (&Domains, u32)> = HashMap::new();
        for token in accounts.keys().map(|key| &key.token) {
            pace();
            let list = enforced(&token.domains).map_or(std::ptr::null(), Arc::as_ptr);
            let (_, tokens) = lists.entry((list, token.products)).or_insert((&token.domains, 0));
            *tokens = tokens.saturating_add(1);
        }
        let mut origins = Origins::default();
        for ((_, products), (domains, tokens)) in lists {
            pace();
            origins.add(domains, products, tokens);
        }
        origins
    }

    /// The same after changes of some accounts. What has the lists that it had changes nothing.
    pub fn with(&self, changed: &[Changed]) -> Origins {
        let mut origins = self.clone();
        let others = || changed.iter().filter(|one| !have_same_lists(one.before.as_deref(), one.after.as_deref()));
        // What comes and goes at once stays where it is.
        for key in others().filter_map(|one| one.after.as_ref()).flat_map(|account| &account.keys) {
            origins.add(&key.token.domains, key.token.products, 1);
        }
        for key in others().filter_map(|one| one.before.as_ref()).flat_map(|account| &account.keys) {
            origins.remove(&key.token.domains, key.token.products);
        }
        origins
    }

    /// Whether an Origin of this value may ask: some token of a product, or of any, may be used from there.
    pub fn contain(&self, product: Option<u8>, origin: &[u8]) -> bool {
        let judged = if self.any.covers(product) {
            origin_host(origin, |_scheme, _host| true)
        } else {
            origin_host(origin, |scheme, host| {
                let listed = |key| self.find(key).is_some_and(|entry| entry.listed.tokens.covers(product));
                let by = |scheme| {
                    listed((scheme, host, false)) || parents(host).any(|parent| listed((scheme, parent, true)))
                };
                (scheme.is_web && by(None)) || (self.with_scheme > 0 && by(Some(scheme.name)))
            })
        };
        judged == Some(true)
    }

    fn tag(&self, key: Key<'_>) -> u32 {
        u32::try_from(self.hasher.hash_one(key) >> 32).unwrap_or_default()
    }

    fn find(&self, key: Key<'_>) -> Option<&Entry> {
        self.entries.find(self.tag(key), |entry| entry.listed.key() == key)
    }

    fn add(&mut self, domains: &Domains, products: ProductSet, tokens: u32) {
        let Some(list) = enforced(domains) else {
            products.iter().for_each(|product| self.any.add(product, tokens));
            return;
        };
        for key in keys(list) {
            let tag = self.tag(key);
            if self.find(key).is_none() {
                let (scheme, host, below) = key;
                let listed =
                    Listed { scheme: scheme.map(Into::into), host: host.into(), below, tokens: Counts::default() };
                self.with_scheme += usize::from(scheme.is_some());
                self.entries.insert(Entry { tag, listed: Arc::new(listed) });
            }
            if let Some(entry) = self.entries.find_mut(tag, |entry| entry.listed.key() == key) {
                let counts = &mut Arc::make_mut(&mut entry.listed).tokens;
                products.iter().for_each(|product| counts.add(product, tokens));
            }
        }
    }

    fn remove(&mut self, domains: &Domains, products: ProductSet) {
        let Some(list) = enforced(domains) else {
            products.iter().for_each(|product| self.any.remove(product));
            return;
        };
        for key in keys(list) {
            let tag = self.tag(key);
            let Some(entry) = self.entries.find_mut(tag, |entry| entry.listed.key() == key) else { continue };
            let counts = &mut Arc::make_mut(&mut entry.listed).tokens;
            products.iter().for_each(|product| counts.remove(product));
            if !counts.covers(None) {
                self.with_scheme -= usize::from(key.0.is_some());
                self.entries.remove(tag, |entry| entry.listed.key() == key);
            }
        }
    }
}

/// The list that requests are refused by; `None` if every Origin passes, as where a list is only watched.
fn enforced(domains: &Domains) -> Option<&Arc<DomainList>> {
    match domains {
        Domains::Listed(list) if !domains.is_watched() => Some(list),
        Domains::Listed(_) | Domains::Any => None,
    }
}

/// The entries of a list.
fn keys(list: &DomainList) -> impl Iterator<Item = Key<'_>> {
    let exact = list.exact.iter().map(|host| (None, &**host, false));
    let below = list.parents.iter().map(|host| (None, &**host, true));
    let with_scheme =
        list.with_scheme.iter().map(|SchemeEntry { scheme, host, below }| (Some(&**scheme), &**host, *below));
    exact.chain(below).chain(with_scheme)
}

/// Whether the tokens of an account may be used for the same products from the same places as before.
fn have_same_lists(before: Option<&Account>, after: Option<&Account>) -> bool {
    let (before, after) =
        (before.map_or([].as_slice(), |account| &account.keys), after.map_or([].as_slice(), |account| &account.keys));
    before.len() == after.len()
        && before.iter().zip(after).all(|(before, after)| {
            let same_list = match (&before.token.domains, &after.token.domains) {
                (Domains::Any, Domains::Any) => true,
                (Domains::Listed(before), Domains::Listed(after)) => Arc::ptr_eq(before, after) || before == after,
                (Domains::Any, Domains::Listed(_)) | (Domains::Listed(_), Domains::Any) => false,
            };
            same_list && before.token.products == after.token.products
        })
}

#[cfg(test)]
#[path = "origins_tests.rs"]
mod tests;
