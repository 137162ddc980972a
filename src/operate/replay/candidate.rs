//! The policy that decisions are judged by again: the candidate's own, made ready for what a journal has.
//!
//! Two things are other than in a gateway. A journal has the digests of tokens, so each token here is known by the
//! digest of its digest's text, and that text stands where the token stood. And the values of parameters and headers are
//! left out or digested, so their rules are taken out of the chain and judged beside it (`rules.rs`), which changes
//! nothing of their order: they are the last checks of a head.

use std::path::Path;
use std::sync::Arc;

use crate::config::Config;
use crate::operate::explain;
use crate::operate::failure::Failure;
use crate::policy::account::Digest;
use crate::policy::account::directory::Accounts;
use crate::policy::check::header::HeaderRule;
use crate::policy::check::parameter::{ParameterRule, Undeclared};
use crate::policy::{Policy, Product};
use crate::telemetry::journal::line::Rules;
use crate::telemetry::journal::rules::{digits, of};

/// A candidate.
#[derive(Debug)]
pub struct Candidate {
    pub policy: Policy,
    /// The digests of its rules.
    pub rules: Rules,
    /// What was taken out of the chain, by the index of the product.
    pub taken: Box<[TakenProduct]>,
}

/// The rules of a product that are judged beside the chain.
#[derive(Debug)]
pub struct TakenProduct {
    pub headers: Box<[HeaderRule]>,
    /// By the index of the route.
    pub routes: Box<[TakenRoute]>,
}

/// The rules of a route that are judged beside the chain.
#[derive(Debug)]
pub struct TakenRoute {
    pub parameters: Box<[ParameterRule]>,
    pub undeclared: Undeclared,
    /// How many of the parameters are those of the path.
    pub of_path: usize,
}

/// The text that stands in the place of a token with this digest.
pub fn stand_in(sha256: &str) -> &str {
    sha256
}

impl Candidate {
    /// Reads a configuration, with the accounts of its store.
    ///
    /// # Errors
    /// Every mistake of the configuration, or that its store cannot be read.
    pub fn read(path: &Path) -> Result<Candidate, Failure> {
        let (Config { policy, .. }, _) = explain::read(path)?;
        Candidate::of(policy).ok_or("the configuration is in use elsewhere and cannot be made ready".into())
    }

    /// Makes a policy ready; `None` if it is shared with somebody.
    pub fn of(mut policy: Policy) -> Option<Candidate> {
        let rules = of(&policy.frame);
        let frame = Arc::get_mut(&mut policy.frame)?;
        frame.echoed = Box::default();
        let taken = frame.products.iter_mut().map(take).collect();
        let mut accounts: Vec<_> = policy.accounts.iter().map(Arc::clone).collect();
        policy.accounts = Accounts::new(|| {});
        for account in &mut accounts {
            for key in &mut Arc::get_mut(account)?.keys {
                let text = digits(key.digest.bytes(), key.digest.bytes().len());
                key.digest = Digest::of(stand_in(&text).as_bytes());
            }
        }
        // Nothing can conflict that has not before.
        let _ = policy.take_in(accounts, || {});
        Some(Candidate { policy, rules, taken })
    }
}

fn take(product: &mut Product) -> TakenProduct {
    let routes = product.routes.iter_mut().map(|route| TakenRoute {
        parameters: std::mem::take(&mut route.parameters),
        undeclared: std::mem::take(&mut route.undeclared),
        of_path: route.path.parameters(),
    });
    let routes = routes.collect();
    TakenProduct { headers: std::mem::take(&mut product.headers), routes }
}
