//! Compiles the whole file to a policy: admin, limits, and assembling all parts.

use std::collections::BTreeSet;
use std::mem::take;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::accounts::AccountsBuilder;
use super::alerts::{self, AlertsSettings};
use super::api::{ApiListener, Beside};
use super::billing::{self, BillingSettings};
use super::bounds::{MAX_ADMIN_HOSTS, MAX_WORKERS};
use super::cases::{self, TestCase};
use super::common::{listed, out_of_range, time};
use super::following::{Around, Shortcuts};
use super::limits::limits;
use super::loaded::Config;
use super::portal::{self, PortalSettings};
use super::problems::Rows;
use super::product_context::ProductContext;
use super::products::Draft;
use super::references::referred;
use super::shown::AsWritten;
use super::source::Source;
use super::store::{Sources, StoreSettings};
use super::units::{HostName, Parsed, PublicUrl, Referred, Text, Texts};
use super::{cors, file, listeners, pages, plans, products, rates, shown, upstreams};
use crate::config::yaml::{Mistakes, Place, Written};
use crate::gateway::snapshot::Settings;
use crate::ledger;
use crate::platform::pace;
use crate::policy::account::Digest;
use crate::policy::account::directory::Accounts;
use crate::policy::check::header::HeaderRule;
use crate::policy::check::network::Networks;
use crate::policy::check::token::TokenPlace;
use crate::policy::format::kind::Formats;
use crate::policy::http::media::{Media, MediaType};
use crate::policy::page::PageTable;
use crate::policy::paths::Paths;
use crate::policy::plan::Plan;
use crate::policy::problem::messages::Wording;
use crate::policy::rate::{Allowance, Window};
use crate::policy::seconds::Seconds;
use crate::policy::staging::StagingRules;
use crate::policy::{AccountInfo, Frame, Limits, Policy, Preflight, Product};
use crate::site::pages::draft::Own;
use crate::site::pages::example;
use crate::site::status;
use crate::site::status::publish;
use crate::telemetry::Outlets;
use crate::telemetry::sampling::Sampling;
use crate::upstream::settings::Upstream;

const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9901);

/// The main file: where it begins, and its text, for those who look up a place once more.
#[derive(Clone, Copy)]
pub struct MainFile<'m> {
    pub root: &'m Place,
    pub text: &'m str,
}

/// Compiles a whole file. Pages show what is planned from now on, and tokens may be over by
/// now, in seconds of Unix time.
pub fn compile(
    file: file::File,
    written: AsWritten,
    main: MainFile<'_>,
    around: Around<'_>,
    shortcuts: Option<&Shortcuts<'_>>,
    mistakes: &mut Mistakes,
) -> Option<Config> {
    let drafted = draft(file, main, around, shortcuts, mistakes);
    if !mistakes.is_empty() {
        return None;
    }
    let before = shortcuts.and_then(|shortcuts| shortcuts.predecessor).map(|predecessor| predecessor.policy);
    let examples = match around.source {
        Source::Directory(_) | Source::Held(_) => example::Tokens::Named,
        // The demo's are known to everybody.
        Source::Embedded(_) => example::Tokens::Demo,
    };
    drafted.finish(written, examples, before.map(|before| &before.pages), around.now)
}

/// Everything that a file says, before it is put together. It is of use only if nothing was wrong.
struct Drafted {
    process: Process,
    public_url: Box<str>,
    trusted_proxies: Networks,
    limits: Limits,
    grace: Option<Duration>,
    upstreams: Box<[Upstream]>,
    token_headers: BTreeSet<String>,
    jwt: super::jwt::Compiled,
    rows: Rows,
    pages: pages::Compiled,
    products: Vec<Draft>,
    paths: Paths,
    plans: Box<[Arc<Plan>]>,
    accounts: Accounts,
    sources: Sources,
    ledger: Option<ledger::LedgerSettings>,
    store: Option<StoreSettings>,
    management: Management,
    enquiry_rate: Allowance,
    sampling: Sampling,
    outlets: Outlets,
    status: status::StatusSettings,
    staging: Option<StagingRules>,
    tests: Box<[TestCase]>,
}

/// Where the process listens, whom its admin listener lets in, and how many workers it has.
struct Process {
    own: listeners::Compiled,
    workers: usize,
    admin: SocketAddr,
    admin_token: Option<Digest>,
    admin_hosts: Box<[Box<str>]>,
}

impl Process {
    fn compile(file: &mut file::File, root: &Place, source: &Source, mistakes: &mut Mistakes) -> Process {
        check_ports([&file.listen, &file.admin], mistakes);
        let (listen, named) = (take(&mut file.listen), take(&mut file.listeners));
        let own = listeners::compile(listen, take(&mut file.h2c), named, root, source, mistakes);
        let admin = admin(take(&mut file.admin), take(&mut file.admin_exposed), &own, root, mistakes);
        Process {
            own,
            workers: workers(take(&mut file.workers), mistakes),
            admin,
            admin_token: admin_token(take(&mut file.admin_token), source, mistakes),
            admin_hosts: admin_hosts(take(&mut file.admin_hosts), mistakes),
        }
    }
}

/// What stands on the store: the management API, the portal, and what tells others of usage and balances.
struct Management {
    api: Option<ApiListener>,
    portal: Option<PortalSettings>,
    billing: Option<BillingSettings>,
    alerts: Option<AlertsSettings>,
}

/// The same as it is written.
struct ManagementKeys {
    api: Written<super::api::written::Api>,
    portal: Written<portal::written::Portal>,
    billing: Written<billing::written::Billing>,
    alerts: Written<alerts::written::Alerts>,
}

impl Management {
    fn compile(
        keys: ManagementKeys,
        (process, has_store): (&Process, bool),
        public_url: &str,
        products: &[Draft],
        source: &Source,
        mistakes: &mut Mistakes,
    ) -> Management {
        let beside = Beside { own: &process.own, admin: process.admin, other: None, has_store };
        let api = super::api::api(keys.api, &beside, source, mistakes);
        let beside = Beside { other: api.as_ref().map(|api| ("api", api.address)), ..beside };
        let billing = billing::billing(keys.billing, (public_url, has_store), source, mistakes);
        let priced: Vec<&str> = products.iter().filter(|one| one.has_balance()).map(|one| &*one.name).collect();
        let alerts = alerts::alerts(keys.alerts, (&priced, has_store), source, mistakes);
        let mail = alerts.as_ref().and_then(|alerts| alerts.mail.as_ref()).map(|mail| &mail.server);
        let portal = portal::portal(keys.portal, (&beside, mail), source, mistakes);
        Management { api, portal, billing, alerts }
    }
}

fn draft(
    mut file: file::File,
    main: MainFile<'_>,
    around: Around<'_>,
    shortcuts: Option<&Shortcuts<'_>>,
    mistakes: &mut Mistakes,
) -> Drafted {
    let (MainFile { root, text }, source) = (main, around.source);
    let process = Process::compile(&mut file, root, source, mistakes);
    let public_url = public_url(file.public_url, root, mistakes);
    let upstreams = upstreams::all(file.upstreams, &process.own, root, source, mistakes);
    let token_headers = products::all_token_headers(&file.products);
    let pages = pages::compile(file.pages, (&public_url, portal::url_of(&file.portal)), source, mistakes);
    let mut rows = Rows::compile(file.problems, pages.destinations.clone(), root, mistakes);
    check_for_pages(&process.own, &pages, mistakes);
    let before = shortcuts.and_then(|shortcuts| shortcuts.predecessor).map(|predecessor| predecessor.policy);
    let jwt = super::jwt::compile(take(&mut file.jwt), source, before, mistakes);
    let of_products = ProductContext {
        root,
        text,
        upstreams: &upstreams,
        token_headers: &token_headers,
        source,
        site: pages.site.as_ref(),
        jwt: &jwt,
        before,
    };
    let (products, mut paths) = products::compile(file.products, &of_products, &mut rows, mistakes);
    let places: Vec<(&str, u8)> = products.iter().map(|product| (&*product.name, product.index)).collect();
    let plans = plans::compile(file.plans, &places, &root.key("products"), mistakes);
    let sources = super::store::sources(&file.store);
    // Where the store's are not in force, files can have what it has.
    let around = Around { from_store: around.from_store.filter(|_| sources.store), ..around };
    let gathered = AccountsBuilder::new(&products, &plans, root, mistakes.clone(), around, shortcuts);
    let accounts = gathered.gather(file.accounts, file.include, sources.files, around, mistakes);
    let store = super::store::store(file.store, !file.portal.is_missing(), source, mistakes);
    let needs = needs(&accounts, store.is_some());
    let has_quotas = needs.quotas;
    let mut ledger = super::ledger::ledger(file.ledger, needs, root, source, mistakes);
    super::cluster::cluster(file.cluster, (store.as_ref(), ledger.as_mut()), root, mistakes);
    if needs_account_info(has_quotas, &sources, &products) {
        products::route_account_info(&mut paths, root.key("products"), mistakes);
    }
    let keys = ManagementKeys { api: file.api, portal: file.portal, billing: file.billing, alerts: file.alerts };
    let management = Management::compile(keys, (&process, store.is_some()), &public_url, &products, source, mistakes);
    let seen = (file.metrics, file.access_log, file.tracing, file.journal);
    let (sampling, outlets) = super::telemetry::compile(seen, &rows, source, mistakes);
    Drafted {
        process,
        status: super::status::status(file.status, &products, mistakes),
        staging: super::staging::staging(file.staged_reload, mistakes),
        tests: cases::compile(file.tests, root, mistakes),
        public_url,
        trusted_proxies: trusted_proxies(file.trusted_proxies, root, mistakes),
        limits: limits(file.limits.take().unwrap_or_default(), mistakes),
        grace: grace(file.grace, mistakes),
        upstreams,
        token_headers,
        jwt,
        rows,
        pages,
        products,
        paths,
        plans,
        accounts,
        sources,
        ledger,
        store,
        management,
        enquiry_rate: enquiry_rate(file.enquiry_rate, mistakes),
        sampling,
        outlets,
    }
}

/// Whether accounts can ask what they have left though no product has a price: quotas are told there as well, and the
/// accounts of the store, of which any can have one, come and go.
fn needs_account_info(has_quotas: bool, sources: &Sources, products: &[Draft]) -> bool {
    (has_quotas || sources.store) && !products.iter().any(|product| product.is_priced)
}

fn public_url(written: Text<PublicUrl>, root: &Place, mistakes: &mut Mistakes) -> Box<str> {
    written.require(root, "public_url", PUBLIC_URL_WANTED, mistakes).map(|url| url.0.0).unwrap_or_default()
}

/// What to write where the URL of clients is missing.
const PUBLIC_URL_WANTED: &str = "write the URL that clients know, as in https://api.example.com";

fn check_for_pages(own: &listeners::Compiled, pages: &pages::Compiled, mistakes: &mut Mistakes) {
    if let (None, Some(place)) = (&pages.site, &own.for_pages) {
        mistakes
            .push(place.clone(), "is for pages, which are switched off; remove `serve: false` from `pages`, or this");
    }
}

/// What accounts need written down.
fn needs(accounts: &Accounts, store: bool) -> super::ledger::Needs {
    super::ledger::Needs {
        credits: accounts.iter().any(|account| account.credit_accounts.iter().next().is_some()),
        quotas: accounts.iter().any(|account| account.meter.as_ref().is_some_and(|meter| meter.has_quota())),
        store,
    }
}

impl Drafted {
    /// What is shown of it in force, with these products.
    fn compiled<'c>(&'c self, products: &'c [Product]) -> shown::Compiled<'c> {
        shown::Compiled {
            listeners: &self.process.own.listeners,
            workers: self.process.workers,
            admin: self.process.admin,
            limits: &self.limits,
            upstreams: &self.upstreams,
            products,
            issuers: &self.jwt.issuers,
            key_sources: &self.jwt.sources,
            plans: &self.plans,
            sources: self.sources,
            ledger: self.ledger.as_ref(),
            store: self.store.as_ref(),
            api: self.management.api.as_ref(),
            portal: self.management.portal.as_ref(),
            billing: self.management.billing.as_ref(),
            alerts: self.management.alerts.as_ref(),
            enquiry_rate: self.enquiry_rate,
            sampling: &self.sampling,
            outlets: &self.outlets,
            staging: self.staging.as_ref(),
        }
    }

    /// Puts everything together, with the pages of the policy before as far as they are the same.
    fn finish(
        mut self,
        written: AsWritten,
        examples: example::Tokens,
        before: Option<&PageTable>,
        now: Seconds,
    ) -> Option<Config> {
        let drafts = take(&mut self.products).into_iter();
        let finished = drafts.map(|draft| draft.finish(&self.public_url, &self.rows));
        let products: Box<[Product]> = finished.collect::<Option<_>>()?;
        let echoed = echoed(&products);
        let token_places: Vec<TokenPlace> = every_token_place(&products);
        let shown = shown::effective(written, &self.compiled(&products));
        let served = self.pages.site.is_some();
        // Without a site there are no pages, and nobody looks at what it is like.
        let site = self.pages.site.unwrap_or_default();
        let own = Own { site, words: self.rows.words(), extra: self.pages.extra, examples };
        let frame = Frame {
            limits: self.limits,
            grace: self.grace,
            trusted_proxies: self.trusted_proxies,
            paths: self.paths,
            plans: self.plans,
            has_store: self.sources.store,
            token_headers: self.token_headers.into_iter().map(Into::into).collect(),
            wording: wording(&self.public_url, &self.rows, &token_places),
            account_info: account_info(self.enquiry_rate, &token_places, &echoed, &products),
            token_places: token_places.into(),
            issuers: self.jwt.issuers.into(),
            // Pages are put onto it below; until then there are none.
            pages: PageTable::default(),
            echoed,
            products,
        };
        let mut policy = Policy::new(frame, self.accounts, pace::step);
        if served {
            crate::site::pages::publish(&mut policy, &own, before);
            publish::publish(&mut policy, &own.site, &self.status, now, before);
        }
        let settings = Settings {
            upstreams: self.upstreams,
            key_sources: self.jwt.sources.into(),
            sampling: self.sampling,
            site: own.site,
            status: self.status,
            staging: self.staging,
            shown,
        };
        Some(Config {
            listeners: Arc::new(self.process.own.listeners),
            workers: self.process.workers,
            admin: self.process.admin,
            admin_token: self.process.admin_token,
            admin_hosts: self.process.admin_hosts,
            ledger: self.ledger,
            store: self.store,
            api: self.management.api,
            portal: self.management.portal,
            billing: self.management.billing,
            alerts: self.management.alerts,
            outlets: self.outlets,
            policy,
            settings,
            tests: self.tests,
            warnings: Vec::new(),
        })
    }
}

fn admin_token(written: Text<Referred<Digest>>, source: &Source, mistakes: &mut Mistakes) -> Option<Digest> {
    let Written::Here(Parsed(digest), place) = written else { return None };
    referred(digest, source).map_err(|what| mistakes.push(place, what)).ok()
}

fn check_ports(addresses: [&Text<SocketAddr>; 2], mistakes: &mut Mistakes) {
    for address in addresses {
        if let Written::Here(Parsed(address), place) = address
            && address.port() == 0
        {
            mistakes.push(place.clone(), "has the port 0; write the port to connect to");
        }
    }
}

/// Every header that some product echoes, each once.
fn echoed(products: &[Product]) -> Box<[HeaderRule]> {
    let mut echoed: Vec<HeaderRule> = Vec::new();
    for rule in products.iter().flat_map(|product| product.headers.iter()).filter(|rule| rule.echo) {
        if !echoed.iter().any(|known| known.name.eq_ignore_ascii_case(&rule.name)) {
            echoed.push(rule.clone());
        }
    }
    echoed.into()
}

/// The words for problems of requests that have no product.
fn wording(public_url: &str, rows: &Rows, token_places: &[TokenPlace]) -> Wording {
    let places = products::token_places_in_words(token_places);
    let headers = products::token_headers(token_places);
    let filled = |detail: &str| {
        let detail = detail.replace("{token_places}", &places).replace("{token_headers}", &headers);
        detail.replace("{accept}", "application/json").replace("{formats}", "JSON")
    };
    Wording::new(public_url, rows.texts(|text| filled(&text.detail)))
}

/// Where accounts are told of their credits.
fn account_info(
    rate: Allowance,
    token_places: &[TokenPlace],
    echoed: &[HeaderRule],
    products: &[Product],
) -> AccountInfo {
    let added = products.iter().flat_map(|product| product.preflight.added_headers.iter().cloned());
    let added_headers: Box<[Box<str>]> = added.collect();
    AccountInfo {
        window: Window::new(rate),
        media: Media {
            served: MediaType::parse("application/json").into_iter().collect(),
            taken: Box::default(),
            formats: Formats::default(),
        },
        preflight: Preflight {
            allowed_methods: AccountInfo::METHOD.into(),
            allowed_headers: cors::allowed_headers(token_places, None, None, echoed, &added_headers).into(),
            added_headers,
            max_age_seconds: PREFLIGHT_MAX_AGE_SECONDS,
        },
    }
}

/// How often an account may ask about its credits, unless the configuration says otherwise.
const ENQUIRY_ALLOWANCE: Allowance = Allowance {
    limit: NonZeroU32::MIN.saturating_add(59),
    period: Duration::from_secs(60),
    burst: NonZeroU32::MIN.saturating_add(9),
};

/// How long browsers may remember that they may ask about credits.
const PREFLIGHT_MAX_AGE_SECONDS: u64 = 600;

fn enquiry_rate(rate: Written<rates::written::Rate>, mistakes: &mut Mistakes) -> Allowance {
    let place = rate.place().cloned().unwrap_or_default();
    let allowance = rate.take().map(|rate| {
        let allowance = rates::rate_of(rate, place.clone(), mistakes);
        if allowance.is_none() && !mistakes.touch(&place) {
            mistakes.push(
                place,
                "has no limit, and answering costs something; write one, as in { limit: 60/min, burst: 10 }",
            );
        }
        allowance
    });
    allowance.flatten().unwrap_or(ENQUIRY_ALLOWANCE)
}

/// The places of all products that carry tokens, as they are written, each once.
fn every_token_place(products: &[Product]) -> Vec<TokenPlace> {
    let mut places: Vec<TokenPlace> = Vec::new();
    for place in products.iter().flat_map(|product| &product.token_places) {
        if !places.iter().any(|known| known.is_same(place)) {
            places.push(place.clone());
        }
    }
    places
}

fn trusted_proxies(written: Texts<IpNet>, root: &Place, mistakes: &mut Mistakes) -> Networks {
    match written {
        // Without a list nobody is trusted.
        Written::Missing => Networks::listed([]),
        written @ (Written::Bad | Written::Here(..)) => {
            let networks = listed(written, root, "trusted_proxies", "write networks, or remove the key", mistakes);
            listeners::check_trust(&networks, mistakes);
            Networks::listed(networks.into_iter().map(|(Parsed(network), _)| network))
        }
    }
}

fn admin(
    admin: Text<SocketAddr>,
    exposed: Written<bool>,
    own: &listeners::Compiled,
    root: &Place,
    mistakes: &mut Mistakes,
) -> SocketAddr {
    let place = admin.place().cloned();
    let address = admin.take().map_or(DEFAULT_ADMIN, |address| address.0);
    let exposed = exposed.take().unwrap_or(false);
    if let Some(key) = own.taken(address) {
        mistakes.push(
            place.clone().unwrap_or_else(|| root.key("admin")),
            format!("is used by {key} already; choose another port"),
        );
    }
    if let Some(place) = place
        && !address.ip().to_canonical().is_loopback()
        && !exposed
    {
        mistakes.push(place, "can be reached from other machines; use a loopback address, or set admin_exposed: true");
    }
    address
}

fn admin_hosts(hosts: Texts<HostName>, mistakes: &mut Mistakes) -> Box<[Box<str>]> {
    let place = hosts.place().cloned();
    let hosts = hosts.take().unwrap_or_default();
    let fits = hosts.0.len() <= MAX_ADMIN_HOSTS;
    out_of_range(place, fits, || format!("at most {MAX_ADMIN_HOSTS} names"), mistakes);
    hosts.0.into_iter().map(|(Parsed(HostName(name)), _)| name).collect()
}

fn workers(workers: Written<usize>, mistakes: &mut Mistakes) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let place = workers.place().cloned();
    let number = workers.take().unwrap_or_else(cores);
    if let Some(place) = place
        && !(1..=MAX_WORKERS).contains(&number)
    {
        mistakes.push(
            place,
            format!("is out of range; write a number from 1 to {MAX_WORKERS}, or remove it for one per core"),
        );
    }
    number
}

fn grace(written: Text<Duration>, mistakes: &mut Mistakes) -> Option<Duration> {
    let is_written = !matches!(written, Written::Missing);
    let grace = time(written, 1, mistakes);
    is_written.then_some(grace)
}
