//! What accounts are counted in, from what they may use: the same for accounts of files and of the store.

use std::collections::HashMap;
use std::sync::Arc;

use crate::policy::limit::{Limits, Owner};
use crate::policy::meter::Meter;
use crate::policy::plan::{Allowances, Terms};
use crate::policy::product_set::ProductSet;
use crate::policy::rate::{Allowance, Rate, Window};
use crate::policy::weight::Weight;

/// What windows differ by: the rate, the plan that it is from, and the weight.
type WindowKind = (Allowance, Option<Arc<str>>, Weight);

/// Windows and limits that accounts have in common, so that there is one of each kind, not one an account.
#[derive(Debug, Default)]
pub struct Counting {
    windows: HashMap<WindowKind, Arc<Window>>,
    limits: HashMap<Vec<(Owner, Allowances)>, Arc<Limits>>,
}

impl Counting {
    /// What an account is counted in: a rate by itself where that is its only limit, or all its limits together.
    /// Beside its own terms there are the limits of those `products`, with their places, that a token of it covers,
    /// and the limits of its tokens, by their names.
    pub fn of<'p>(
        &mut self,
        account: &Arc<str>,
        (terms, plan): (&Terms, Option<Arc<str>>),
        covered: ProductSet,
        products: impl Iterator<Item = (&'p Arc<str>, u8, &'p Allowances)>,
        tokens: impl Iterator<Item = (Box<str>, Allowances)>,
    ) -> (Rate, Option<Arc<Meter>>) {
        let of_products = products.filter(|(_, place, _)| covered.contains(*place));
        let of_products =
            of_products.map(|(name, _, allowances)| (Owner::Product(Arc::clone(name)), allowances.clone()));
        let of_tokens = tokens.map(|(name, allowances)| (Owner::Token(name), allowances));
        let mut owners: Vec<(Owner, Allowances)> =
            of_products.chain(of_tokens).filter(|(_, allowances)| !allowances.is_empty()).collect();
        if owners.is_empty() && plan.is_none() && *terms == Terms::default() {
            return (Rate::Unlimited, None);
        }
        if let Some(allowance) = terms.only_rate().filter(|_| owners.is_empty()) {
            let new = || Arc::new(Window::of_plan(plan.clone(), terms.weight, allowance));
            let window = self.windows.entry((allowance, plan.clone(), terms.weight)).or_insert_with(new);
            return (Rate::within(Arc::clone(window)), None);
        }
        owners.insert(0, (Owner::Account, terms.allowances.clone()));
        let limits = match self.limits.get(&owners) {
            Some(limits) => Arc::clone(limits),
            None => {
                let limits = Arc::new(Limits::of(&owners));
                self.limits.insert(owners, Arc::clone(&limits));
                limits
            }
        };
        let meter = Meter::new(Arc::clone(account), plan, limits, terms.concurrency).weighing(terms.weight);
        (Rate::Unlimited, Some(Arc::new(meter)))
    }
}
