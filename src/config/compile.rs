//! From the file as it is written to a policy: limits, upstreams, and all parts put together.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::account::rate_of;
use super::accounts::AccountsBuilder;
use super::problems::Rows;
use super::products::{self, ProductContext, listed};
use super::tls::client_tls;
use super::units::{Bytes, HostName, Parsed};
use super::{Config, Shortcuts, Source, credits, file, listeners, pages, status, telemetry, upstreams};
use crate::config::yaml::{Mistakes, Place, Written};
use crate::operate::status_recorder;
use crate::platform::pace;
use crate::policy::account::directory::Accounts;
use crate::policy::check::domain::Domains;
use crate::policy::check::header::HeaderRule;
use crate::policy::check::network::Networks;
use crate::policy::http::head::{HeadLimits, MAX_FIELDS};
use crate::policy::http::media::{Media, MediaType};
use crate::policy::page::PageTable;
use crate::policy::problem::messages::Wording;
use crate::policy::rate::{Allowance, Window};
use crate::policy::{AccountInfo, Endpoint, Limits, Paths, Policy, Preflight, Product, Upstream};
use crate::site::brand::Site;
use crate::site::pages::{Own, example};
use crate::site::status::publish;

const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9901);

/// Names of the admin listener beside its own.
pub const MAX_ADMIN_HOSTS: usize = 100;

/// More threads than this help nobody.
pub const MAX_WORKERS: usize = 1024;

/// Compiles a whole file.
pub fn compile(
    file: file::File,
    root: &Place,
    source: &Source,
    shortcuts: Option<&Shortcuts<'_>>,
    mistakes: &mut Mistakes,
) -> Option<Config> {
    for address in [&file.listen, &file.admin] {
        if let Written::Here(Parsed(address), place) = address
            && address.port() == 0
        {
            mistakes.push(place.clone(), "has the port 0; write the port to connect to");
        }
    }
    let own = listeners::compile(file.listen, file.h2c, file.listeners, root, source, mistakes);
    let admin = admin(file.admin, file.admin_exposed, &own, root, mistakes);
    let admin_hosts = admin_hosts(file.admin_hosts, mistakes);
    let workers = workers(file.workers, mistakes);
    let public_url = file.public_url.require(
        root,
        "public_url",
        "write the URL that clients know, as in https://api.example.com",
        mistakes,
    );
    let public_url = public_url.map(|url| url.0.0).unwrap_or_default();
    let trusted_proxies = trusted_proxies(file.trusted_proxies, root, mistakes);
    let limits = limits(file.limits.take().unwrap_or_default(), mistakes);
    let grace = grace(file.grace, mistakes);
    let upstreams: Vec<Upstream> =
        file.upstreams.0.into_iter().map(|entry| upstream(entry, &own, source, mistakes)).collect();
    if upstreams.is_empty() && !mistakes.touch(&root.key("upstreams")) {
        mistakes
            .push(root.key("upstreams"), "is missing; write at least one, as in lookup: { servers: [127.0.0.1:9001] }");
    }
    let token_headers = products::all_token_headers(&file.products);
    let mut rows = Rows::compile(file.problems, root, mistakes);
    let own_pages = pages::compile(file.pages, &public_url, source, mistakes);
    let site = own_pages.site.as_ref();
    if let (None, Some(place)) = (site, &own.for_pages) {
        mistakes.push(place.clone(), "is for pages, and there are none; remove `serve: false` of `pages`, or this");
    }
    let before = shortcuts.and_then(|shortcuts| shortcuts.predecessor).map(|predecessor| predecessor.policy);
    let around = ProductContext {
        root,
        upstreams: &upstreams,
        token_headers: &token_headers,
        source,
        public_url: &public_url,
        site,
        before,
    };
    if file.products.0.is_empty() && !mistakes.touch(&root.key("products")) {
        mistakes.push(root.key("products"), "is missing; write at least one product with its routes");
    }
    let mut paths = Paths::default();
    let mut compiled: Vec<Product> = Vec::new();
    for (number, entry) in file.products.0.into_iter().enumerate() {
        pace::step();
        compiled.extend(products::compile(entry, number, &around, &mut rows, &mut paths, mistakes));
    }
    rows.check_use(mistakes);
    if compiled.iter().any(|product| product.tariff.is_some())
        && !paths.insert(AccountInfo::METHOD, AccountInfo::PATH, Endpoint::Credits)
    {
        let what = "route GET /account/credits, where accounts are told of their credits; give that route another path";
        mistakes.push(root.key("products"), what);
    }
    let mut gathered = AccountsBuilder::new(&compiled, root, mistakes.clone(), shortcuts);
    gathered.add_all(file.accounts, mistakes);
    gathered.include(file.include.take().unwrap_or_default(), source, mistakes);
    let accounts = gathered.accounts;
    let somebody_pays = accounts.iter().any(|account| account.credit_accounts.iter().next().is_some());
    let ledger = credits::ledger(file.ledger, somebody_pays, root, source, mistakes);
    let (sampling, outlets) = telemetry::compile(file.metrics, file.access_log, file.tracing, &rows, source, mistakes);
    let window = enquiry_window(file.enquiry_rate, mistakes);
    let status = status::status(file.status, &compiled, mistakes);
    if !mistakes.is_empty() {
        return None;
    }
    for product in &mut compiled {
        product.preflight.origins = origins(product.place, &accounts);
    }
    let any_origin = || Domains::any_of(compiled.iter().map(|product| &product.preflight.origins));
    let mut echoed: Vec<HeaderRule> = Vec::new();
    for rule in compiled.iter().flat_map(|product| product.headers.iter()).filter(|rule| rule.echo) {
        if !echoed.iter().any(|known| known.name.eq_ignore_ascii_case(&rule.name)) {
            echoed.push(rule.clone());
        }
    }
    let written_headers: Vec<Box<str>> = every_token_header(&compiled);
    let account_info = AccountInfo {
        window,
        media: Media { served: MediaType::parse("application/json").into_iter().collect(), taken: Box::default() },
        preflight: Preflight {
            origins: any_origin(),
            allowed_methods: AccountInfo::METHOD.into(),
            allowed_headers: products::allowed_headers(&written_headers, None, &echoed).into(),
            max_age_seconds: PREFLIGHT_MAX_AGE_SECONDS,
        },
    };
    let in_general = |detail: &str| {
        detail.replace("{token_headers}", &written_headers.join(" or ")).replace("{accept}", "application/json")
    };
    let wording = Wording::new(&public_url, rows.texts(|text| in_general(&text.detail)), Vec::new());
    let origins = any_origin();
    let mut policy = Policy {
        limits,
        grace,
        trusted_proxies,
        upstreams: upstreams.into(),
        products: compiled.into(),
        paths,
        accounts,
        token_headers: token_headers.into_iter().map(Into::into).collect(),
        origins,
        echoed: echoed.into(),
        wording,
        account_info,
        sampling,
        shown: serde_json::Value::Null,
        site: Site::default(),
        pages: PageTable::default(),
        status,
    };
    if let Some(site) = own_pages.site {
        policy.site = site;
        let examples = match source {
            Source::Directory(_) => example::Tokens::Named,
            // The demo's are known to everybody.
            Source::Embedded(_) => example::Tokens::Demo,
        };
        let before = before.map(|before| &before.pages);
        crate::site::pages::publish(
            &mut policy,
            &Own { words: rows.words(), extra: own_pages.extra, examples },
            before,
        );
        publish::publish(&mut policy, status_recorder::unix_seconds(), before);
    }
    let admin_token = file.admin_token.take().map(|digest| digest.0);
    let listeners = Arc::new(own.listeners);
    Some(Config { listeners, workers, admin, admin_token, admin_hosts, ledger, outlets, policy })
}

/// How often an account may ask about its credits, unless the configuration says otherwise.
const ENQUIRY_ALLOWANCE: Allowance = Allowance {
    limit: NonZeroU32::MIN.saturating_add(59),
    period: Duration::from_secs(60),
    burst: NonZeroU32::MIN.saturating_add(9),
};

/// How long browsers may remember that they may ask about credits.
const PREFLIGHT_MAX_AGE_SECONDS: u64 = 600;

fn enquiry_window(rate: Written<file::Rate>, mistakes: &mut Mistakes) -> Window {
    let place = rate.place().cloned().unwrap_or_default();
    let allowance = rate.take().map(|rate| {
        let allowance = rate_of(rate, place.clone(), mistakes);
        if allowance.is_none() && !mistakes.touch(&place) {
            mistakes.push(
                place,
                "has no limit, and answering costs something; write one, as in { limit: 60/min, burst: 10 }",
            );
        }
        allowance
    });
    Window::new(allowance.flatten().unwrap_or(ENQUIRY_ALLOWANCE))
}

/// The headers of all products that carry tokens, as they are written, each once.
fn every_token_header(products: &[Product]) -> Vec<Box<str>> {
    let mut headers: Vec<Box<str>> = Vec::new();
    for header in products.iter().flat_map(|product| product.token_headers.iter()) {
        if !headers.iter().any(|known| known.eq_ignore_ascii_case(header)) {
            headers.push(header.clone());
        }
    }
    headers
}

fn trusted_proxies(written: file::Texts<IpNet>, root: &Place, mistakes: &mut Mistakes) -> Networks {
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

/// A name of the operator's choice, as logs show it.
pub fn check_name(name: &str, place: &Place, mistakes: &mut Mistakes) {
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        mistakes.push(place.clone(), "is not a name; write one of visible characters");
    }
}

fn admin(
    admin: file::Text<SocketAddr>,
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
            format!("is where clients connect already; choose another port than that of {key}"),
        );
    }
    if let Some(place) = place
        && !address.ip().to_canonical().is_loopback()
        && !exposed
    {
        mistakes.push(place, "can be reached from other machines; use a loopback address, or say admin_exposed: true");
    }
    address
}

fn admin_hosts(hosts: file::Texts<HostName>, mistakes: &mut Mistakes) -> Box<[Box<str>]> {
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
            format!("is out of range; write a number from 1 to {MAX_WORKERS}, or remove it for one a core"),
        );
    }
    number
}

fn limits(limits: file::Limits, mistakes: &mut Mistakes) -> Limits {
    let mut bytes = |written: file::Text<Bytes>, default: usize, range: std::ops::RangeInclusive<usize>| {
        let place = written.place().cloned();
        let bytes = written.take().map_or(default, |Parsed(Bytes(bytes))| bytes);
        out_of_range(
            place,
            range.contains(&bytes),
            || format!("a size from {} to {}", Bytes(*range.start()), Bytes(*range.end())),
            mistakes,
        );
        bytes
    };
    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;
    let header_bytes = bytes(limits.header_bytes, 16 * KIB, 256..=64 * KIB);
    let target_bytes = bytes(limits.target_bytes, 8 * KIB, 64..=64 * KIB);
    let response_bytes = bytes(limits.response_bytes, MIB, KIB..=64 * MIB);
    let drain_bytes = bytes(limits.drain_bytes, 64 * KIB, 0..=16 * MIB);
    let head_timeout = time(limits.head_timeout, 5, mistakes);
    let handshake_timeout = time(limits.handshake_timeout, 5, mistakes);
    let body_timeout = time(limits.body_timeout, 10, mistakes);
    let idle_timeout = time(limits.idle_timeout, 60, mistakes);
    let write_timeout = time(limits.write_timeout, 10, mistakes);
    let mut count = |written: Written<usize>, default: usize, most: usize| {
        let place = written.place().cloned();
        let count = written.take().unwrap_or(default);
        let range = || format!("a number from 1 to {most}");
        out_of_range(place, (1..=most).contains(&count), range, mistakes);
        count
    };
    Limits {
        head: HeadLimits { target_bytes, header_bytes, header_lines: count(limits.headers, 64, MAX_FIELDS) },
        head_timeout,
        handshake_timeout,
        body_timeout,
        idle_timeout,
        write_timeout,
        connections: count(limits.connections, 10_000, 10_000_000),
        requests: count(limits.requests, 10_000, 10_000_000),
        response_bytes,
        drain_bytes: u64::try_from(drain_bytes).unwrap_or(u64::MAX),
    }
}

/// A time-out, or its default.
pub fn time(written: file::Text<Duration>, default_seconds: u64, mistakes: &mut Mistakes) -> Duration {
    let place = written.place().cloned();
    let time = written.take().map_or(Duration::from_secs(default_seconds), |duration| duration.0);
    let sensible = Duration::from_millis(50)..=Duration::from_secs(3600);
    let range = || "a duration from 50ms to 1h".to_owned();
    out_of_range(place, sensible.contains(&time), range, mistakes);
    time
}

fn grace(written: file::Text<Duration>, mistakes: &mut Mistakes) -> Option<Duration> {
    let is_written = !matches!(written, Written::Missing);
    let grace = time(written, 1, mistakes);
    is_written.then_some(grace)
}

pub fn out_of_range(place: Option<Place>, fits: bool, range: impl FnOnce() -> String, mistakes: &mut Mistakes) {
    if let Some(place) = place
        && !fits
    {
        mistakes.push(place, format!("is out of range; write {}", range()));
    }
}

/// Compiles an upstream. One with mistakes comes back as well, so that those who name it do not
/// seem to be wrong.
fn upstream(
    (name, place, upstream): (String, Place, file::Upstream),
    own: &listeners::Compiled,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Upstream {
    check_name(&name, &place, mistakes);
    let servers = upstreams::servers(upstream.servers, &place, own, mistakes);
    let host_place = upstream.host.place().cloned();
    let first = || servers.first().map(|server| server.address.to_string());
    let host = upstream.host.take().or_else(first).unwrap_or_default();
    if let Some(place) = host_place
        && !crate::policy::http::head::is_authority(host.as_bytes())
    {
        mistakes.push(place, "is not a host; write one as in lookup.internal or lookup.internal:9001");
    }
    let tls = client_tls(upstream.tls, &host, source, mistakes);
    Upstream {
        name: name.into(),
        servers,
        tls,
        host: host.into(),
        connect_timeout: time(upstream.connect_timeout, 1, mistakes),
        idle_timeout: time(upstream.idle_timeout, 60, mistakes),
        resolve_every: time(upstream.resolve_every, 30, mistakes),
        slow_after: time(upstream.slow_after, 5, mistakes),
        added: upstreams::added(upstream.add_headers, source, mistakes),
        health: upstreams::health(upstream.health_check, mistakes),
        ejection: upstreams::ejection(upstream.ejection, mistakes),
        breaker: upstreams::breaker(upstream.breaker, mistakes),
    }
}

/// The Origins that some token of a product may be used from: any, if some token has no list.
fn origins(product: u8, accounts: &Accounts) -> Domains {
    let tokens = accounts.keys().map(|key| &key.token).inspect(|_| pace::step());
    Domains::any_of(tokens.filter(|token| token.products.contains(product)).map(|token| &token.domains))
}
