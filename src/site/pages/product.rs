//! The description of one product for pages and OpenAPI: its endpoints, headers, fields, prices and
//! deadlines.

use std::sync::Arc;

use serde_json::Value;

use super::answered;
use super::draft::Own;
use super::example::request::{Body, Example};
use super::fields::{self, Field};
use super::prices::{self, Prices};
use crate::platform::count::counted;
use crate::platform::pace;
use crate::policy::check::body::Schema;
use crate::policy::check::header::HeaderRule;
use crate::policy::check::parameter::ParameterRule;
use crate::policy::check::token::TokenPlace;
use crate::policy::http::media::MediaType;
use crate::policy::idempotency::{IdempotencyRule, MAX_KEY};
use crate::policy::route::Route;
use crate::policy::{Policy, Product};

/// The description of one product.
#[derive(Debug)]
pub struct View<'p> {
    pub product: &'p Product,
    /// The last part of its page's path, unique among products.
    pub slug: String,
    pub title: String,
    pub description: String,
    /// Its routes, those that are alike together.
    pub groups: Vec<Group<'p>>,
    pub token_places: Vec<String>,
    pub headers: Vec<HeaderView>,
    pub accept: String,
    pub content_type: String,
    /// What bodies can be: `JSON or XML`.
    pub formats: String,
    /// A body of the first route that takes one, as JSON.
    pub example_body: Option<String>,
    pub deadline: DeadlineView,
    /// How requests can be sent again.
    pub again: Option<AgainView>,
    pub preflight_headers: String,
    pub preflight_seconds: u64,
}

/// Routes with the same parameters, body, answer and prices.
#[derive(Debug)]
pub struct Group<'p> {
    pub routes: Vec<&'p Route>,
    pub parameters: Vec<ParameterView>,
    /// `None`: its requests have no body.
    pub body: Option<BodyView>,
    pub answer: Vec<Field>,
    /// What becomes of lookups that end with another status than 200, as sentences.
    pub others: Vec<String>,
    pub prices: Option<Prices>,
    pub curl: String,
}

impl Group<'_> {
    /// What follows a heading where a product has several groups: their first route.
    pub fn heading(&self, groups: usize) -> String {
        match (groups, self.routes.first()) {
            (0 | 1, _) | (_, None) => String::new(),
            (_, Some(route)) => format!(": {} {}", route.method, route.path.text),
        }
    }

    /// The same after a label.
    pub fn label(&self, label: &str, groups: usize) -> String {
        format!("{label}{}", self.heading(groups))
    }
}

/// A parameter of a path or a query.
#[derive(Debug)]
pub struct ParameterView {
    pub name: String,
    /// `path` or `query`.
    pub place: &'static str,
    pub is_required: bool,
    pub takes: String,
    pub says: String,
}

impl View<'_> {
    /// All routes, in the order of the configuration.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.product.routes.iter()
    }

    /// The prices of the groups that have any, and what follows the product's title there.
    pub fn prices(&self) -> Vec<(String, &Prices)> {
        let priced = self.groups.iter().filter_map(|group| Some((group, group.prices.as_ref()?)));
        priced.map(|(group, prices)| (group.heading(self.groups.len()), prices)).collect()
    }

    /// An example of the first route.
    pub fn curl(&self) -> &str {
        self.groups.first().map_or("", |group| &group.curl)
    }

    /// The most bytes of a body; `None` if no route takes one.
    pub fn most_bytes(&self) -> Option<usize> {
        self.groups.iter().filter_map(|group| Some(group.body.as_ref()?.max_bytes)).max()
    }
}

/// A header that clients may send.
#[derive(Debug)]
pub struct HeaderView {
    pub name: String,
    pub takes: String,
    pub says: &'static str,
}

/// The rules for bodies.
#[derive(Debug)]
pub struct BodyView {
    pub max_bytes: usize,
    pub fields: Vec<Field>,
}

/// How long requests may take.
#[derive(Debug)]
pub struct DeadlineView {
    pub header: Option<String>,
    pub min: u64,
    pub max: u64,
    pub default: u64,
}

/// How requests can be sent again.
#[derive(Debug)]
pub struct AgainView {
    pub header: String,
    /// For how long, in words.
    pub keep: String,
}

/// The descriptions of all products.
pub fn all<'p>(policy: &'p Policy, own: &Own) -> Vec<View<'p>> {
    let mut views: Vec<View<'p>> = Vec::new();
    for product in &policy.products {
        pace::step();
        let mut view = view(product, own);
        if views.iter().any(|earlier| earlier.slug == view.slug) {
            view.slug = format!("{}-{}", view.slug, product.index);
        }
        views.push(view);
    }
    views
}

fn view<'p>(product: &'p Product, own: &Own) -> View<'p> {
    let schemas = product.routes.iter().filter_map(|route| route.body.as_ref()?.schema.as_deref());
    let schema = schemas.map(Schema::document).next();
    let said = |keyword: &str| schema.and_then(|schema| schema.get(keyword)).and_then(Value::as_str);
    let types = |types: &[MediaType]| types.iter().map(MediaType::name).collect::<Vec<_>>().join(", ");
    let mut alike: Vec<Vec<&'p Route>> = Vec::new();
    for route in &product.routes {
        match alike.iter_mut().find(|known| known.first().is_some_and(|known| is_alike(known, route))) {
            Some(known) => known.push(route),
            None => alike.push(vec![route]),
        }
    }
    View {
        product,
        slug: slug(&product.name),
        title: said("title").unwrap_or(&product.name).to_owned(),
        description: said("description").unwrap_or_default().to_owned(),
        groups: alike.into_iter().filter_map(|routes| group(product, routes, own)).collect(),
        token_places: product.token_places.iter().map(TokenPlace::to_string).collect(),
        headers: product.headers.iter().map(|rule| header(product, rule)).chain(key(product)).collect(),
        accept: types(&product.media.served),
        content_type: types(&product.media.taken),
        formats: product.media.formats.in_words(),
        example_body: example_body(product, own),
        deadline: DeadlineView {
            header: product.deadline.header.as_ref().map(|name| name.to_string()),
            min: product.deadline.min_seconds,
            max: product.deadline.max_seconds,
            default: product.deadline.default.as_secs(),
        },
        again: product.idempotency.as_ref().map(again),
        preflight_headers: product.preflight.allowed_headers.to_string(),
        preflight_seconds: product.preflight.max_age_seconds,
    }
}

fn example_body(product: &Product, own: &Own) -> Option<String> {
    let route = product.routes.iter().find(|route| route.body.is_some())?;
    match Example::good(product, route, own.examples).body {
        Body::Text(body) => Some(body),
        Body::Nothing | Body::Spaces(_) | Body::NeverSent(_) => None,
    }
}

/// Whether two routes are told of as one: they have no parameters, and all else in common.
fn is_alike(one: &Route, other: &Route) -> bool {
    let same = |one: Option<*const ()>, other: Option<*const ()>| one == other;
    let of_body = |route: &Route| {
        let body = route.body.as_ref()?;
        Some((body.max_bytes, body.schema.as_ref().map(|schema| Arc::as_ptr(schema).cast::<()>())))
    };
    one.parameters.is_empty()
        && other.parameters.is_empty()
        && of_body(one) == of_body(other)
        && same(pointer(one.tariff.as_ref()), pointer(other.tariff.as_ref()))
        && Arc::ptr_eq(&one.answers, &other.answers)
        && same(pointer(one.answer_schema.as_ref()), pointer(other.answer_schema.as_ref()))
}

fn pointer<T>(shared: Option<&Arc<T>>) -> Option<*const ()> {
    shared.map(|shared| Arc::as_ptr(shared).cast())
}

fn group<'p>(product: &'p Product, routes: Vec<&'p Route>, own: &Own) -> Option<Group<'p>> {
    let route = *routes.first()?;
    let schema = route.body.as_ref().and_then(|body| body.schema.as_ref()).map(|schema| schema.document());
    let example = Example::good(product, route, own.examples);
    Some(Group {
        parameters: route.parameters.iter().enumerate().map(|(index, rule)| parameter(route, index, rule)).collect(),
        body: route.body.as_ref().map(|body| BodyView {
            max_bytes: body.max_bytes,
            fields: schema.map(|schema| fields::of(schema, schema)).unwrap_or_default(),
        }),
        answer: route.answer_schema.as_ref().map(|schema| fields::of(schema, schema)).unwrap_or_default(),
        others: answered::sentences(route),
        prices: route.tariff.as_deref().map(prices::of),
        curl: example.curl(&own.site.api_url),
        routes,
    })
}

fn again(rule: &IdempotencyRule) -> AgainView {
    let seconds = rule.keep.as_secs().max(1);
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute")];
    let unit = units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    let (unit, word) = unit.unwrap_or((1, "second"));
    AgainView { header: rule.header.to_string(), keep: counted(seconds / unit, word) }
}

fn parameter(route: &Route, index: usize, rule: &ParameterRule) -> ParameterView {
    ParameterView {
        name: rule.name.to_string(),
        place: if index < route.path.parameters() { "path" } else { "query" },
        is_required: rule.is_required,
        takes: rule.shape.words(" or "),
        says: rule.description.to_string(),
    }
}

/// A name as the last part of a path.
fn slug(name: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let slug: String = name.chars().map(plain).collect();
    let slug = slug.trim_matches('-');
    if slug.is_empty() { "product".to_owned() } else { slug.to_owned() }
}

fn header(product: &Product, rule: &HeaderRule) -> HeaderView {
    let says = super::headers::says(product, rule);
    HeaderView { name: rule.name.to_string(), takes: rule.shape.words(" or "), says }
}

/// The header with the key of a request, unless it is among the headers that have a rule.
fn key(product: &Product) -> Option<HeaderView> {
    let rule = product.idempotency.as_ref().filter(|rule| !rule.is_ruled)?;
    let takes = format!("1 to {MAX_KEY} visible characters, bare or in quotes");
    Some(HeaderView { name: rule.header.to_string(), takes, says: super::headers::KEY })
}
