//! A page for each problem that a client can get, and their index.
//!
//! The texts come from `policy/problem/guide/` and from the configuration; the object and the headers are written by
//! the code that answers clients. HTML and JSON are made from the same view.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use serde::Serialize;

use super::draft::{Drafted, Own, rendered};
use super::example;
use super::example::request::{Body, Example};
use super::headers;
use super::shell::Shell;
use crate::platform::pace;
use crate::policy::account::{Account, Expiry, Principal, ProductSet, Token};
use crate::policy::calendar::Calendar;
use crate::policy::check::domain::Domains;
use crate::policy::check::network::Networks;
use crate::policy::http::transaction_id::TransactionId;
use crate::policy::limit::{Asker, Limits, Owner, Usage, Used};
use crate::policy::meter::Meter;
use crate::policy::now::Now;
use crate::policy::page::{Draft, Freshness};
use crate::policy::plan::{Allowances, Quota};
use crate::policy::problem::guide::entry::Retry;
use crate::policy::problem::messages::Words;
use crate::policy::problem::{Fault, Row};
use crate::policy::rate::{Rate, Tat, Window};
use crate::policy::respond::{self, Context, Http1Sink, Outcome};
use crate::policy::route::Route;
use crate::policy::trail::Trail;
use crate::policy::{Policy, Product};
use crate::site::brand::Link;
use crate::site::destinations::Destination;

/// The time of the example answers. It is fixed, so that a page changes only when its text does.
const MOMENT: Now = Now { monotonic: std::time::Duration::ZERO, unix_seconds: 1_767_225_600, unix_nanos: 0 };

/// Everything that a page says about a problem.
#[derive(Debug, Serialize)]
pub struct View {
    pub slug: String,
    pub status: u16,
    pub title: String,
    /// Who has to fix it (client, gateway or upstream), in words that clients understand.
    pub at_fault: &'static str,
    pub meaning: String,
    pub causes: Vec<String>,
    pub remedy: Vec<String>,
    pub retry: RetryView,
    /// The whole answer in HTTP/1.1, and the object alone.
    pub answer: String,
    pub object: serde_json::Value,
    pub headers: Vec<HeaderView>,
    /// A command that causes it; `None` if no request can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<&'static str>,
    pub url: String,
    /// Where to go for more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub see: Vec<SeeView>,
    /// The status page, if the service may be at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_status: Option<String>,
}

/// What code should do.
#[derive(Debug, Serialize)]
pub struct RetryView {
    pub worth_it: bool,
    pub words: &'static str,
}

/// Where to go for more.
#[derive(Debug, Serialize)]
pub struct SeeView {
    pub title: &'static str,
    pub url: String,
}

/// A header of the answer.
#[derive(Debug, Serialize)]
pub struct HeaderView {
    pub name: String,
    pub value: String,
    pub says: &'static str,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemHtml<'a> {
    shell: Shell<'a>,
    view: &'a View,
}

#[derive(Template)]
#[template(path = "problems.html")]
struct IndexHtml<'a> {
    shell: Shell<'a>,
    views: &'a [View],
    /// The error object of a common problem.
    object: String,
}

/// The pages of all problems, and their index, each with its path. `window` is the rate of most accounts.
pub fn pages(policy: &Policy, own: &Own, window: Option<&Arc<Window>>) -> Vec<Drafted> {
    let view = |(row, words): &(Row, Words)| {
        pace::step();
        view(policy, own, window, *row, words)
    };
    let views: Vec<View> = policy.wording.iter().map(view).collect();
    let mut pages = vec![("/problems".to_owned(), index(own, &views))];
    for view in &views {
        let path = format!("/problems/{}", view.slug);
        let mut shell = Shell::new(&own.site, &path, &*view.slug, &*view.meaning);
        shell.trail = vec![Link::new("Problems", "/problems")];
        shell.alternate = Some("application/json");
        let value = serde_json::to_value(view).unwrap_or_default();
        let html = rendered(&ProblemHtml { shell, view });
        pages.push((path, vec![html, Draft::json(&value, Freshness::Document)]));
    }
    pages
}

fn index(own: &Own, views: &[View]) -> Vec<Draft> {
    let about = "Every problem that a response can report, what it means and how to fix it.";
    let mut shell = Shell::new(&own.site, "/problems", "Problems", about);
    shell.alternate = Some("application/json");
    let list = views.iter().map(|view| {
        serde_json::json!({ "slug": view.slug, "status": view.status, "title": view.title, "meaning": view.meaning, "url": view.url })
    });
    let value = serde_json::json!({ "problems": list.collect::<Vec<_>>() });
    let known = views.iter().find(|view| view.slug == "token-unknown").or(views.first());
    let object = known.map(|view| in_order(&view.object)).unwrap_or_default();
    let html = rendered(&IndexHtml { shell, views, object });
    vec![html, Draft::json(&value, Freshness::Document)]
}

/// An error object on several lines, its members in the order in which they are sent.
fn in_order(object: &serde_json::Value) -> String {
    let member = |name: &str| object.pointer(&format!("/error/{name}")).cloned().unwrap_or_default();
    let lines = ["type", "title", "detail", "instance"].map(|name| format!("    \"{name}\": {}", member(name)));
    format!("{{\n  \"error\": {{\n{}\n  }}\n}}", lines.join(",\n"))
}

/// The product and the route of an example.
type Asked<'p> = (&'p Product, &'p Route);

/// An example, and what it asks for.
fn example_of<'p>(policy: &'p Policy, own: &Own, row: Row) -> (Option<Asked<'p>>, Option<Example>) {
    let of = |product: &'p Product| {
        let (example, route) = Example::provoking(product, row, &policy.limits, own.examples)?;
        Some(((product, route), example))
    };
    match policy.products.iter().find_map(of) {
        Some((asked, example)) => (Some(asked), Some(example)),
        None => (policy.products.first().and_then(|product| Some((product, product.routes.first()?))), None),
    }
}

fn view(policy: &Policy, own: &Own, window: Option<&Arc<Window>>, row: Row, words: &Words) -> View {
    let guide = row.guide();
    let own_words = own.words.iter().find(|(slug, _)| *slug == words.slug).map(|(_, words)| words.clone());
    let own_words = own_words.unwrap_or_default();
    let (asked, example) = example_of(policy, own, row);
    let shown = example.clone().or_else(|| asked.map(|(product, route)| Example::good(product, route, own.examples)));
    let (answer, headers, object) =
        shown.map(|example| answer(policy, asked, window, row, &example)).unwrap_or_default();
    let listed = |own: Vec<String>, otherwise: &[&str]| {
        if own.is_empty() { otherwise.iter().map(|text| (*text).to_owned()).collect() } else { own }
    };
    let ours = words.fault != Fault::Client || words.status.code() == 408;
    let service_status = (ours && own.site.has_status).then(|| own.site.url("/status"));
    let mut see = see(own, row, own_words.detail.as_deref());
    see.retain(|place| service_status.as_ref() != Some(&place.url));
    let headers = headers
        .into_iter()
        .map(|(name, value)| HeaderView { says: headers::meaning(policy, &name), name, value })
        .collect();
    View {
        slug: words.slug.to_string(),
        status: words.status.code(),
        title: words.title().to_owned(),
        at_fault: match words.fault {
            Fault::Client => "the request, the token or the account",
            Fault::Gateway => "this service",
            Fault::Upstream => "the lookup service behind this API",
        },
        meaning: own_words.meaning.unwrap_or_else(|| meaning_of(policy, row)),
        causes: listed(own_words.causes, guide.causes),
        remedy: listed(own_words.remedy, guide.remedy),
        retry: RetryView { worth_it: guide.retry.is_worth_it(), words: Retry::words(guide.retry) },
        answer,
        object,
        headers,
        curl: example.as_ref().map(|example| example.curl(&own.site.api_url)),
        remark: example.and_then(|example| example.remark),
        url: own.site.url(&format!("/problems/{}", words.slug)),
        see,
        service_status,
    }
}

/// The destinations that the detail of a row names: the built-in one and the operator's.
fn see(own: &Own, row: Row, detail: Option<&str>) -> Vec<SeeView> {
    let built_in = row.definition().map_or("", |definition| definition.detail);
    let details = format!("{built_in} {}", detail.unwrap_or_default());
    let link = |(destination, url): (Destination, &str)| {
        let is_mail = destination == Destination::Support && !url.contains("://");
        SeeView { title: destination.title(), url: if is_mail { format!("mailto:{url}") } else { url.to_owned() } }
    };
    let destinations = match row.definition() {
        Some(definition) => own.site.destinations.for_problem(definition.slug),
        None => own.site.destinations.clone(),
    };
    destinations.named_in(&details).into_iter().map(link).collect()
}

/// The meaning of a row; for the operator's own rows, the fields, parameters or headers of their rule.
fn meaning_of(policy: &Policy, row: Row) -> String {
    let meaning = row.guide().meaning;
    if !matches!(row, Row::Own(_)) {
        return meaning.to_owned();
    }
    let mut about: Vec<String> = Vec::new();
    for product in &policy.products {
        for route in &product.routes {
            let schema = route.body.as_ref().and_then(|body| body.schema.as_ref());
            let mappings = schema.into_iter().flat_map(|schema| schema.mappings()).filter(|mapping| mapping.row == row);
            about.extend(
                mappings.map(|mapping| format!("the field {}", mapping.at.trim_start_matches('/').replace('/', "."))),
            );
            let rules = route.parameters.iter().filter(|rule| rule.row == row);
            about.extend(rules.map(|rule| format!("the parameter {}", rule.name)));
        }
        let rules = product.headers.iter().filter(|rule| rule.row == row);
        about.extend(rules.map(|rule| format!("the header {}", rule.name)));
    }
    about.sort_unstable();
    about.dedup();
    if about.is_empty() {
        meaning.to_owned()
    } else {
        format!("The request breaks a rule about {}.", about.join(" and "))
    }
}

/// An answer as clients get it: its bytes, headers and object.
fn answer(
    policy: &Policy,
    asked: Option<Asked<'_>>,
    window: Option<&Arc<Window>>,
    row: Row,
    example: &Example,
) -> (String, Vec<(String, String)>, serde_json::Value) {
    let (product, route) = asked.unzip();
    let mut problem = example::problem(example, row);
    let known = product.zip(window).map(|(product, window)| asker(product, window, row));
    if let Some((_, account)) = &known {
        let asker = Asker { product: product.map(|product| &*product.name), token: "example" };
        let refused = match &account.meter {
            Some(meter) => meter.take_quotas(asker, MOMENT).err(),
            None => account.rate.take(MOMENT).err(),
        };
        problem = refused.filter(|refused| refused.row == row).unwrap_or(problem);
    }
    // The gateway waits for a body only when the head has passed every check.
    let was_admitted = matches!(example.body, Body::NeverSent(_));
    let principal =
        known.as_ref().map(|(token, account)| Principal { token, token_index: 0, account, account_index: 0 });
    let trail = Trail {
        product: product.filter(|_| row > Row::EndpointUnknown || was_admitted),
        route: route.filter(|_| row > Row::EndpointUnknown || was_admitted),
        principal: principal.filter(|_| row > Row::TokenUnknown || was_admitted),
        ..Trail::default()
    };
    let transaction = TransactionId::EXAMPLE;
    let mut out = Vec::new();
    example.with_lines(|lines| {
        let context = Context { policy, lines, trail, transaction: &transaction, trace: None, now: MOMENT };
        let connection = row.closes().then_some("close");
        let mut sink = Http1Sink { out: &mut out, connection };
        respond::write(&mut sink, &context, &Outcome::Refused(problem));
    });
    let text = String::from_utf8_lossy(&out).replace("\r\n", "\n");
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let object = serde_json::from_str(body).unwrap_or_default();
    (text.clone(), headers, object)
}

/// The limits of an account whose quota of a day is used up.
fn out_of_quota(window: &Window) -> Arc<Meter> {
    let quota = Quota { day: Some(EXAMPLE_QUOTA), month: None };
    let allowances = Allowances { rates: [window.allowance()].into(), quota };
    let limits = Arc::new(Limits::of(&[(Owner::Account, allowances)]));
    let meter = Meter::new("example".into(), None, limits, None);
    let began = Calendar::Day.period(MOMENT.unix_seconds).start;
    let used = Used::Quota { calendar: Calendar::Day, began, used: EXAMPLE_QUOTA.get() };
    meter.add(&[Usage { owner: Owner::Account, used }], MOMENT);
    Arc::new(meter)
}

/// Requests of a day in an example.
const EXAMPLE_QUOTA: NonZeroU64 = NonZeroU64::MIN.saturating_add(9_999);

/// A made-up token and account for a product, so that an example has the headers of a known account. It has the most
/// frequent rate, which is used up if that is the problem.
fn asker(product: &Product, window: &Arc<Window>, row: Row) -> (Token, Account) {
    let mut products = ProductSet::default();
    products.insert(product.index);
    let counted = Tat::default();
    if row == Row::RateExceeded {
        counted.raise(MOMENT.monotonic.saturating_add(window.carried(Duration::MAX, window.interval())));
    }
    let token = Token {
        name: "example".into(),
        products,
        enabled: true,
        expiry: Expiry::Never,
        networks: Networks::Any,
        domains: if row == Row::DomainNotAllowed { Domains::listed([], false) } else { Domains::Any },
    };
    let account = Account {
        name: "example".into(),
        rate: Rate::Limited(Arc::clone(window), counted),
        meter: (row == Row::QuotaExceeded).then(|| out_of_quota(window)),
        account_info_rate: Tat::default(),
        credit_accounts: Default::default(),
        keys: Default::default(),
    };
    (token, account)
}
