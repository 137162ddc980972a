//! The counters of one configuration. There is one for everything that a request can be counted as,
//! created when the configuration is loaded, so that counting is a single index into a list.
//!
//! Names come only from the configuration and the table of problems, never from a request. Counters
//! of what stays the same in a new configuration keep their values.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::counters::{Count, Histogram};
use super::sampling::Sampling;
use super::traffic::Traffic;
use crate::policy::account::Principal;
use crate::policy::check::watch::Watched;
use crate::policy::problem::messages::Wording;
use crate::policy::problem::{Problem, Row, Status};
use crate::policy::{Policy, Product};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// 200.
    Answered,
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

/// The name for all accounts and tokens without a series of their own.
pub const OTHER: &str = "other";

/// All counters of a configuration.
#[derive(Debug)]
pub struct Tables {
    pub(crate) products: Box<[Arc<OfProduct>]>,
    /// Requests without a product.
    pub(crate) elsewhere: Arc<OfProduct>,
    pub(crate) accounts: Named,
    pub(crate) tokens: Named,
    /// The counts of each product for the status page, in the order of the policy.
    traffic: Box<[Arc<Traffic>]>,
    /// Which requests have lines and spans.
    pub sampling: Sampling,
    /// The names of the upstreams, by the index that products use.
    upstreams: Box<[Box<str>]>,
}

/// The counters of a product.
#[derive(Debug)]
pub struct OfProduct {
    pub(crate) name: Arc<str>,
    /// Requests that lists would have refused that are only watched, in the order of [`Watched::ROWS`].
    pub(crate) watched: Arc<[Count; 2]>,
    answered: Arc<Kind>,
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

/// The counters of accounts or of tokens, by their indexes.
#[derive(Debug, Default)]
pub struct Named {
    own: Box<[Arc<OfName>]>,
    /// Those of all further ones; `None` if there are no counters by name.
    other: Option<Arc<OfName>>,
}

/// An account, or a token of one.
type Name = (Arc<str>, Option<Box<str>>);

/// The counters of an account or a token, one for each status.
#[derive(Debug)]
pub struct OfName {
    pub(crate) account: Arc<str>,
    /// `None` for an account.
    pub(crate) token: Option<Box<str>>,
    counts: [Count; STATUSES],
    /// Those that a list would have refused that is only watched, in the order of [`Watched::ROWS`]; most have none.
    watched: OnceLock<[Count; 2]>,
}

/// 200, the statuses of refusals, and no answer. Preflights have no token.
pub const STATUSES: usize = Status::ALL.len() + 2;

impl Tables {
    /// The counters of a policy; those that the previous policy has too are shared with it.
    pub fn new(policy: &Policy, sampling: Sampling, upstreams: Box<[Box<str>]>, before: Option<&Tables>) -> Tables {
        let known = |product: &Product| {
            let products = before.map_or([].as_slice(), |before| &before.products);
            products.iter().find(|known| known.name == product.name).map(|known| &**known)
        };
        let of_product =
            |product: &Product| Arc::new(OfProduct::new(Arc::clone(&product.name), &product.wording, known(product)));
        let elsewhere = before.map(|before| &*before.elsewhere);
        let most = sampling.max_series / STATUSES;
        let accounts = policy.accounts.iter().map(|account| (Arc::clone(&account.name), None));
        let tokens = policy.accounts.iter().flat_map(|account| {
            account.keys.iter().map(|key| (Arc::clone(&account.name), Some(key.token.name.clone())))
        });
        let traffic = |product: &Product| {
            let products = before.map_or([].as_slice(), |before| &before.products);
            let place = products.iter().position(|known| known.name == product.name);
            before.zip(place).and_then(|(before, place)| before.traffic.get(place)).map(Arc::clone).unwrap_or_default()
        };
        Tables {
            traffic: policy.products.iter().map(traffic).collect(),
            products: policy.products.iter().map(of_product).collect(),
            elsewhere: Arc::new(OfProduct::new("".into(), &policy.wording, elsewhere)),
            accounts: match sampling.by_account {
                true => Named::new(accounts.take(most), None, before.map(|before| &before.accounts)),
                false => Named::default(),
            },
            tokens: match sampling.by_token {
                true => Named::new(tokens.take(most), Some(OTHER), before.map(|before| &before.tokens)),
                false => Named::default(),
            },
            sampling,
            upstreams,
        }
    }

    /// The counts of a product for the status page.
    pub fn traffic(&self, product: &Product) -> Option<&Arc<Traffic>> {
        self.traffic.get(usize::from(product.place))
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
        let place = product.map(|product| usize::from(product.place));
        let figures = place.and_then(|place| self.products.get(place)).unwrap_or(&self.elsewhere);
        figures.count(wording, ending, times);
        if let Some(principal) = principal
            && (self.accounts.other.is_some() || self.tokens.other.is_some())
        {
            let status = place_of_status(wording, ending);
            self.accounts.count(principal.account_place, status);
            self.tokens.count(principal.token_place, status);
        }
    }

    /// Counts a request that lists would have refused that are only watched.
    #[cold]
    pub fn watched(&self, product: Option<&Product>, principal: Option<Principal<'_>>, watched: Watched) {
        let place = product.map(|product| usize::from(product.place));
        let figures = place.and_then(|place| self.products.get(place)).unwrap_or(&self.elsewhere);
        let of_token = principal.and_then(|principal| self.tokens.at(principal.token_place));
        let of_token = of_token.map(|figures| figures.watched.get_or_init(Default::default));
        for counts in [Some(&*figures.watched), of_token].into_iter().flatten() {
            for (count, _) in counts.iter().zip(watched.flags()).filter(|(_, watched)| *watched) {
                count.add_one();
            }
        }
    }

    /// The counters of all products, and of requests without a product.
    pub(crate) fn of_products(&self) -> impl Iterator<Item = &OfProduct> {
        self.products.iter().chain([&self.elsewhere]).map(|figures| &**figures)
    }
}

impl OfProduct {
    fn new(name: Arc<str>, wording: &Wording, before: Option<&OfProduct>) -> OfProduct {
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
            name,
            answered: kind("", 200),
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
            Ending::Preflight => Some(&self.preflight),
            Ending::Gone => Some(&self.gone),
            Ending::Refused(problem) => wording.place(problem.row).and_then(|place| self.refused.get(place)),
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
        [&self.answered, &self.preflight, &self.gone].into_iter().chain(&self.refused)
    }
}

impl Named {
    fn new(names: impl Iterator<Item = Name>, other: Option<&str>, before: Option<&Named>) -> Named {
        let mut known: HashMap<Name, Arc<OfName>> =
            before.into_iter().flat_map(Named::iter).map(|figures| (figures.key(), Arc::clone(figures))).collect();
        // Equal names share an entry, so that no series is exported twice.
        let mut figures = |key: Name| {
            let new = |(account, token)| {
                Arc::new(OfName { account, token, counts: Default::default(), watched: OnceLock::new() })
            };
            Arc::clone(known.entry(key.clone()).or_insert_with(|| new(key)))
        };
        let other = figures((OTHER.into(), other.map(Into::into)));
        Named { own: names.map(figures).collect(), other: Some(other) }
    }

    fn at(&self, place: usize) -> Option<&Arc<OfName>> {
        self.own.get(place).or(self.other.as_ref())
    }

    fn count(&self, place: usize, status: usize) {
        if let Some(count) = self.at(place).and_then(|figures| figures.counts.get(status)) {
            count.add_one();
        }
    }

    /// All counters, each once.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<OfName>> {
        let mut seen = std::collections::HashSet::new();
        self.own.iter().chain(&self.other).filter(move |figures| seen.insert(Arc::as_ptr(figures)))
    }
}

impl OfName {
    fn key(&self) -> Name {
        (Arc::clone(&self.account), self.token.clone())
    }

    /// The slug of each row that a list would have refused with that is only watched, and how often.
    pub(crate) fn watched(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.watched.get().into_iter().flat_map(watched_sums).filter(|(_, count)| *count > 0)
    }

    /// Each status that occurred, and how often; 0 means no answer.
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

/// The index of an ending's status in [`OfName::counts`].
fn place_of_status(wording: &Wording, ending: Ending) -> usize {
    match ending {
        Ending::Answered | Ending::Preflight => 0,
        Ending::Gone => 1,
        Ending::Refused(problem) => {
            let status = wording.words(problem.row).status;
            Status::ALL.iter().position(|known| *known == status).map_or(usize::MAX, |place| place.saturating_add(2))
        }
    }
}
