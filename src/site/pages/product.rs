//! The description of one product for pages and OpenAPI: its endpoints, headers, fields, prices and
//! deadlines.

use serde_json::Value;

use super::draft::Own;
use super::example::request::Example;
use super::fields::{self, Field};
use super::prices::{self, Prices};
use crate::platform::pace;
use crate::policy::check::header::{HeaderRule, Shape};
use crate::policy::http::media::MediaType;
use crate::policy::problem::Row;
use crate::policy::{Policy, Product};

/// The description of one product.
#[derive(Debug)]
pub struct View<'p> {
    pub product: &'p Product,
    /// The last part of its page's path, unique among products.
    pub slug: String,
    pub title: String,
    pub description: String,
    pub routes: Vec<(String, String)>,
    pub token_headers: Vec<String>,
    pub headers: Vec<HeaderView>,
    pub accept: String,
    pub content_type: String,
    /// `None`: its requests have no body.
    pub body: Option<BodyView>,
    pub answer: Vec<Field>,
    pub prices: Option<Prices>,
    pub deadline: DeadlineView,
    pub preflight_headers: String,
    pub preflight_seconds: u64,
    pub curl: String,
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

/// The descriptions of all products.
pub fn all<'p>(policy: &'p Policy, own: &Own) -> Vec<View<'p>> {
    let mut views: Vec<View<'p>> = Vec::new();
    for product in &policy.products {
        pace::step();
        let mut view = view(policy, product, own);
        if views.iter().any(|earlier| earlier.slug == view.slug) {
            view.slug = format!("{}-{}", view.slug, product.index);
        }
        views.push(view);
    }
    views
}

fn view<'p>(policy: &'p Policy, product: &'p Product, own: &Own) -> View<'p> {
    let schema = product.body.as_ref().and_then(|body| body.schema.as_ref()).map(|schema| schema.document());
    let said = |keyword: &str| schema.and_then(|schema| schema.get(keyword)).and_then(Value::as_str);
    let types = |types: &[MediaType]| types.iter().map(MediaType::name).collect::<Vec<_>>().join(", ");
    View {
        product,
        slug: slug(&product.name),
        title: said("title").unwrap_or(&product.name).to_owned(),
        description: said("description").unwrap_or_default().to_owned(),
        routes: policy.paths.of(product.index).into_iter().map(|(m, p)| (m.to_owned(), p.to_owned())).collect(),
        token_headers: product.token_headers.iter().map(|name| name.to_string()).collect(),
        headers: product.headers.iter().map(header).collect(),
        accept: types(&product.media.served),
        content_type: types(&product.media.taken),
        body: product.body.as_ref().map(|body| BodyView {
            max_bytes: body.max_bytes,
            fields: schema.map(|schema| fields::of(schema, schema)).unwrap_or_default(),
        }),
        answer: product.answer_schema.as_ref().map(|schema| fields::of(schema, schema)).unwrap_or_default(),
        prices: product.tariff.as_ref().map(prices::of),
        deadline: DeadlineView {
            header: product.deadline.header.as_ref().map(|name| name.to_string()),
            min: product.deadline.min_seconds,
            max: product.deadline.max_seconds,
            default: product.deadline.default.as_secs(),
        },
        preflight_headers: product.preflight.allowed_headers.to_string(),
        preflight_seconds: product.preflight.max_age_seconds,
        curl: Example::good(policy, product, own.examples)
            .map(|example| example.curl(&own.site.api_url))
            .unwrap_or_default(),
    }
}

/// A name as the last part of a path.
fn slug(name: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let slug: String = name.chars().map(plain).collect();
    let slug = slug.trim_matches('-');
    if slug.is_empty() { "product".to_owned() } else { slug.to_owned() }
}

fn header(rule: &HeaderRule) -> HeaderView {
    let takes = match &rule.shape {
        Shape::Pattern { max_bytes, .. } => match pattern(&rule.shape) {
            Some(pattern) => format!("at most {max_bytes} characters that match {pattern}"),
            None => format!("at most {max_bytes} characters"),
        },
        Shape::OneOf { values, ignore_case } => {
            let case = if *ignore_case { ", in any case of letters" } else { "" };
            format!("{}{case}", values.join(" or "))
        }
    };
    let says = match (rule.echo, rule.row) {
        (true, _) => super::headers::ECHOED,
        (false, Row::AddMetadataInvalid) => "Whether the response contains metadata. Default: false.",
        (false, _) => "",
    };
    HeaderView { name: rule.name.to_string(), takes, says }
}

/// The pattern of a header's rule, as the operator wrote it.
pub fn pattern(shape: &Shape) -> Option<&str> {
    match shape {
        Shape::Pattern { expression, .. } => {
            expression.as_str().strip_prefix(r"\A(?:").and_then(|rest| rest.strip_suffix(r")\z"))
        }
        Shape::OneOf { .. } => None,
    }
}
