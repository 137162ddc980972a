//! The counters of one configuration. There is one for everything that a request can be counted as,
//! created when the configuration is loaded, so that counting is a single index into a list.
//!
//! Names come only from the configuration and the table of problems, never from a request. Counters
//! of what stays the same in a new configuration keep their values.

use std::sync::Arc;
use std::time::Duration;

use super::by_account::{Named, STATUSES};
use super::counters::{Count, Histogram};
use super::sampling::Sampling;
use super::traffic::Traffic;
use crate::policy::account::Principal;
use crate::policy::account::directory::change::Changed;
use crate::policy::check::watch::Watched;
use crate::policy::problem::messages::Wording;
use crate::policy::problem::{Problem, Status};
use crate::policy::{Policy, Product};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// 200.
    Answered,
    /// An answer of a backend under another status.
    Passed(u16),
    /// 204.
    Preflight,
    Refused(Problem),
    /// The client disconnected before its answer, or did not read it.
    Gone,
}

/// The times of a request, from the end of its head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    pub total: Duration,
    /// `None` without an exchange.
    pub upstream: Option<Duration>,
    /// The total without the waits for the upstream and for the client's body.
    pub own: Duration,
}

/// The slug in metrics of a request whose client disconnected.
pub const CLIENT_GONE: &str = "client-gone";

/// All counters of a configuration.
#[derive(Debug)]
pub struct Tables {
    pub(crate) products: Arc<[Arc<OfProduct>]>,
    /// Requests without a product.
    pub(crate) elsewhere: Arc<OfProduct>,
    pub(crate) accounts: Named,
    pub(crate) tokens: Named,
    /// The counts of each product for the status page, in the order of the policy.
    traffic: Arc<[Arc<Traffic>]>,
    /// Which requests have lines and spans.
    pub sampling: Arc<Sampling>,
    /// The names of the upstreams, by the index that products use.
    upstreams: Arc<[Box<str>]>,
}

/// The counters of a product.
#[derive(Debug)]
pub struct OfProduct {
    pub(crate) name: Arc<str>,
    /// Requests that lists would have refused that are only watched, in the order of [`Watched::ROWS`].
    pub(crate) watched: Arc<[Count; 2]>,
    /// Answers that were those of earlier requests with the same key.
    pub(crate) replayed: Arc<Count>,
    answered: Arc<Kind>,
    /// Answers under other statuses that the product passes on.
    passed: Box<[Arc<Kind>]>,
    preflight: Arc<Kind>,
    gone: Arc<Kind>,
    /// In the order of the product's texts.
    refused: Box<[Arc<Kind>]>,
    pub(crate) total: Arc<Histogram>,
    pub(crate) upstream: Arc<Histogram>,
    pub(crate) own: Arc<Histogram>,
}

/// Requests that ended in the same way.
#[derive(Debug)]
pub struct Kind {
    /// Empty if nothing was refused.
    pub(crate) slug: Box<str>,
    /// 0 without an answer.
    pub(crate) status: u16,
    pub(crate) count: Count,
}

impl Tables {
    /// The counters of a policy; those that the previous policy has too are shared with it.
    pub fn new(policy: &Policy, sampling: Sampling, upstreams: Box<[Box<str>]>, before: Option<&Tables>) -> Tables {
        let known = |product: &Product| {
            let products = before.map_or([].as_slice(), |before| &before.products);
            products.iter().find(|known| known.name == product.name).map(|known| &**known)
        };
        let of_product = |product: &Product| {
            let passed = product.passed_statuses();
            Arc::new(OfProduct::new(Arc::clone(&product.name), &product.wording, &passed, known(product)))
        };
        let elsewhere = before.map(|before| &*before.elsewhere);
        let most = sampling.max_series / STATUSES;
        let traffic = |product: &Product| {
            let products = before.map_or([].as_slice(), |before| &before.products);
            let index = products.iter().position(|known| known.name == product.name);
            before.zip(index).and_then(|(before, index)| before.traffic.get(index)).map(Arc::clone).unwrap_or_default()
        };
        Tables {
            traffic: policy.products.iter().map(traffic).collect(),
            products: policy.products.iter().map(of_product).collect(),
            elsewhere: Arc::new(OfProduct::new("".into(), &policy.wording, &[], elsewhere)),
            accounts: match sampling.by_account {
                true => Named::of_accounts(&policy.accounts, most, before.map(|before| &before.accounts)),
                false => Named::default(),
            },
            tokens: match sampling.by_token {
                true => Named::of_tokens(&policy.accounts, most, before.map(|before| &before.tokens)),
                false => Named::default(),
            },
            sampling: Arc::new(sampling),
            upstreams: upstreams.into(),
        }
    }

    /// The same after changes of some accounts.
    pub fn with(&self, changed: &[Changed]) -> Tables {
        Tables {
            products: Arc::clone(&self.products),
            elsewhere: Arc::clone(&self.elsewhere),
            accounts: self.accounts.with(changed),
            tokens: self.tokens.with(changed),
            traffic: Arc::clone(&self.traffic),
            sampling: Arc::clone(&self.sampling),
            upstreams: Arc::clone(&self.upstreams),
        }
    }

    /// The counts of a product for the status page.
    pub fn traffic(&self, product: &Product) -> Option<&Arc<Traffic>> {
        self.traffic.get(usize::from(product.index))
    }

    /// The name of the upstream of a product.
    pub fn upstream(&self, product: &Product) -> Option<&str> {
        self.upstreams.get(product.upstream).map(|name| &**name)
    }

    /// Counts a request.
    pub fn count(
        &self,
        wording: &Wording,
        product: Option<&Product>,
        principal: Option<Principal<'_>>,
        ending: Ending,
        times: &Times,
    ) {
        let index = product.map(|product| usize::from(product.index));
        let figures = index.and_then(|index| self.products.get(index)).unwrap_or(&self.elsewhere);
        figures.count(wording, ending, times);
        if let Some(principal) = principal
            && (self.accounts.are_wanted() || self.tokens.are_wanted())
        {
            let status = index_of_status(wording, ending);
            self.accounts.count(principal.account_index, 0, status);
            self.tokens.count(principal.account_index, principal.token_index, status);
        }
    }

    /// Counts a request that lists would have refused that are only watched.
    #[cold]
    pub fn watched(&self, product: Option<&Product>, principal: Option<Principal<'_>>, watched: Watched) {
        let index = product.map(|product| usize::from(product.index));
        let figures = index.and_then(|index| self.products.get(index)).unwrap_or(&self.elsewhere);
        let of_token = principal.and_then(|who| self.tokens.watched(who.account_index, who.token_index));
        for counts in [Some(&*figures.watched), of_token].into_iter().flatten() {
            for (count, _) in counts.iter().zip(watched.flags()).filter(|(_, watched)| *watched) {
                count.add_one();
            }
        }
    }

    /// Counts an answer that was that of an earlier request with the same key.
    #[cold]
    pub fn replayed(&self, product: Option<&Product>) {
        if let Some(figures) = product.and_then(|product| self.products.get(usize::from(product.index))) {
            figures.replayed.add_one();
        }
    }

    /// The counters of all products, and of requests without a product.
    pub(crate) fn of_products(&self) -> impl Iterator<Item = &OfProduct> {
        self.products.iter().chain([&self.elsewhere]).map(|figures| &**figures)
    }
}

impl OfProduct {
    fn new(name: Arc<str>, wording: &Wording, passed: &[u16], before: Option<&OfProduct>) -> OfProduct {
        let kind = |slug: &str, status: u16| {
            let known = before.and_then(|before| {
                before.kinds().find(|known| *known.slug == *slug && known.status == status).map(Arc::clone)
            });
            known.unwrap_or_else(|| Arc::new(Kind { slug: slug.into(), status, count: Count::default() }))
        };
        let histogram =
            |of: fn(&OfProduct) -> &Arc<Histogram>| before.map_or_else(Arc::default, |before| Arc::clone(of(before)));
        OfProduct {
            watched: before.map_or_else(Arc::default, |before| Arc::clone(&before.watched)),
            replayed: before.map_or_else(Arc::default, |before| Arc::clone(&before.replayed)),
            name,
            answered: kind("", 200),
            passed: passed.iter().map(|status| kind("", *status)).collect(),
            preflight: kind("", 204),
            gone: kind(CLIENT_GONE, 0),
            refused: wording.iter().map(|(_, words)| kind(&words.slug, words.status.code())).collect(),
            total: histogram(|before| &before.total),
            upstream: histogram(|before| &before.upstream),
            own: histogram(|before| &before.own),
        }
    }

    fn count(&self, wording: &Wording, ending: Ending, times: &Times) {
        let kind = match ending {
            Ending::Answered => Some(&self.answered),
            Ending::Passed(status) => self.passed.iter().find(|kind| kind.status == status),
            Ending::Preflight => Some(&self.preflight),
            Ending::Gone => Some(&self.gone),
            Ending::Refused(problem) => wording.index(problem.row).and_then(|index| self.refused.get(index)),
        };
        if let Some(kind) = kind {
            kind.count.add_one();
        }
        self.total.add(times.total);
        self.own.add(times.own);
        if let Some(upstream) = times.upstream {
            self.upstream.add(upstream);
        }
    }

    /// All combinations that requests are counted by.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &Arc<Kind>> {
        [&self.answered, &self.preflight, &self.gone].into_iter().chain(&self.passed).chain(&self.refused)
    }
}

/// The index of an ending's status in [`OfName`](super::by_account::OfName)'s counts.
fn index_of_status(wording: &Wording, ending: Ending) -> usize {
    match ending {
        Ending::Answered | Ending::Preflight => 0,
        Ending::Gone => 1,
        Ending::Passed(status) => index_of(Status::from_code(status)),
        Ending::Refused(problem) => index_of(Some(wording.words(problem.row).status)),
    }
}

fn index_of(status: Option<Status>) -> usize {
    let index = Status::ALL.iter().position(|known| Some(*known) == status);
    index.map_or(usize::MAX, |index| index.saturating_add(2))
}
