//! Products: routes, headers and deadlines, compiled from the configuration. Bodies are `bodies.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use regex::bytes::RegexBuilder;

use super::bodies::{body_rule, schema};
use super::compile::{check_name, out_of_range};
use super::credits::tariff;
use super::problems::Rows;
use super::units::{HeaderName, Parsed};
use super::{Source, file};
use crate::config::yaml::{Entries, Listed, Mistakes, Place, Written};
use crate::platform::pace;
use crate::policy::account::MAX_PRODUCTS;
use crate::policy::check::body::Schema;
use crate::policy::check::domain::Domains;
use crate::policy::check::header::{DeadlineRule, HeaderRule, Shape};
use crate::policy::http::media::{Media, MediaType};
use crate::policy::problem::Row;
use crate::policy::problem::messages::{Text, Wording};
use crate::policy::{Endpoint, Paths, Policy, Preflight, Product, Upstream};
use crate::site::brand::Site;
use crate::upstream::settings::AddedHeaders;

/// What products are compiled with.
pub struct ProductContext<'c> {
    /// The root of the configuration.
    pub root: &'c Place,
    pub upstreams: &'c [Upstream],
    /// Every product's headers for tokens, in lower case.
    pub token_headers: &'c BTreeSet<String>,
    pub source: &'c Source,
    pub public_url: &'c str,
    /// Where pages are, if there are any.
    pub site: Option<&'c Site>,
    /// The policy that is followed, if there is one.
    pub before: Option<&'c Policy>,
}

impl<'c> ProductContext<'c> {
    /// The schemas of bodies that are compiled already.
    pub fn known_schemas(&self) -> impl Iterator<Item = &'c Schema> {
        let products = self.before.into_iter().flat_map(|before| &before.products);
        products.filter_map(|product| product.body.as_ref()?.schema.as_ref())
    }
}

/// The longest deadline that can be given; it also bounds how long a slow upstream is waited for.
const MAX_DEADLINE: Duration = Duration::from_secs(600);

/// Bytes of a header's value that may be let pass at most.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;

/// How long a preflight's answer may be remembered at most; browsers take no more.
const MAX_PREFLIGHT_AGE: Duration = Duration::from_secs(86_400);

/// What is said of an exceeded deadline where clients have no header to ask for another one.
const DEADLINE_EXCEEDED_WITHOUT_HEADER: &str =
    "There was no answer within the time allowed. Send the request again later.";

/// Bytes that a compiled expression of a header's pattern may take.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// Compiles one product and adds its routes to the paths.
pub fn compile(
    (name, place, product): (String, Place, file::Product),
    number: usize,
    around: &ProductContext<'_>,
    rows: &mut Rows,
    paths: &mut Paths,
    mistakes: &mut Mistakes,
) -> Option<Product> {
    let Some(product_place) = u8::try_from(number).ok().filter(|_| number < MAX_PRODUCTS) else {
        mistakes.push(place, "is one product too many; 64 fit into one configuration");
        return None;
    };
    check_name(&name, &place, mistakes);
    let upstream = upstream(product.upstream, &place, around, mistakes);
    let methods = routes(product.routes, &place, number, around, paths, mistakes);
    let token_headers = names(product.token_headers, &place, mistakes);
    let media = Media {
        served: media_types(product.accept, "accept", &place, mistakes),
        taken: media_types(product.content_type, "content_type", &place, mistakes),
    };
    let deadline = deadline(product.deadline, around, mistakes);
    let mut taken = ReservedHeaders {
        token_headers: around.token_headers,
        added: upstream.and_then(|place| around.upstreams.get(place)).map(|upstream| &upstream.added),
        seen: deadline.header.iter().map(|name| name.to_ascii_lowercase()).collect(),
    };
    let headers: Box<[HeaderRule]> =
        product.headers.0.into_iter().filter_map(|entry| header_rule(entry, &mut taken, rows, mistakes)).collect();
    let body = product.body.take().map(|body| body_rule(body, around, rows, mistakes));
    pace::step();
    let answer_schema = schema(product.answer_schema, around.source, mistakes).map(|(schema, _)| schema);
    let tariff = tariff(product.credits, body.as_ref(), mistakes);
    let max_age_place = product.preflight_max_age.place().cloned();
    let max_age = product.preflight_max_age.take().map_or(Duration::from_secs(600), |age| age.0);
    let fits = max_age.subsec_nanos() == 0 && max_age <= MAX_PREFLIGHT_AGE;
    out_of_range(max_age_place, fits, || "whole seconds up to 1d".to_owned(), mistakes);
    let fields = body.as_ref().and_then(|body| body.schema.as_ref()).map(|schema| schema.field_names().collect());
    let mut product = Product {
        name: name.into(),
        place: product_place,
        // Without one there is a mistake, and no policy is made.
        upstream: upstream.unwrap_or_default(),
        preflight: Preflight {
            origins: Domains::Any,
            allowed_methods: methods.into(),
            allowed_headers: allowed_headers(&token_headers, Some(&deadline), &headers).into(),
            max_age_seconds: max_age.as_secs(),
        },
        token_headers,
        accept: media.served.iter().map(MediaType::name).collect::<Vec<_>>().join(", ").into(),
        media,
        deadline,
        headers,
        body,
        answer_schema,
        tariff,
        wording: Wording::new("", Vec::new(), Vec::new()),
        traffic: Arc::default(),
    };
    product.wording =
        Wording::new(around.public_url, rows.texts(|text| filled(text, &product)), fields.unwrap_or_default());
    Some(product)
}

/// The headers of all products that carry tokens, in lower case, each once.
pub fn all_token_headers(products: &Entries<file::Product>) -> BTreeSet<String> {
    let lists = products.0.iter().filter_map(|(_, _, product)| product.token_headers.get());
    lists.flat_map(|list| &list.0).map(|(Parsed(HeaderName(name)), _)| name.to_ascii_lowercase()).collect()
}

fn upstream(
    written: Written<String>,
    parent: &Place,
    around: &ProductContext<'_>,
    mistakes: &mut Mistakes,
) -> Option<usize> {
    let place = written.place().cloned().unwrap_or_default();
    let name = written.require(parent, "upstream", "name one of `upstreams`", mistakes)?;
    let found = around.upstreams.iter().position(|upstream| *upstream.name == *name);
    // One that is there but could not be read is not unknown, and if there is none that is a
    // mistake already.
    let reported = || around.upstreams.is_empty() || mistakes.touch(&around.root.key("upstreams").key(&name));
    if found.is_none() && !reported() {
        let known = known(around.upstreams.iter().map(|upstream| &*upstream.name));
        mistakes.push(place, format!("names no upstream; {known}"));
    }
    found
}

/// The names that could have been meant.
pub fn known<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.collect();
    match names.as_slice() {
        [only] => format!("write {only}"),
        names => format!("write one of {}", names.join(", ")),
    }
}

/// Adds the routes to the paths; the methods, for preflights.
fn routes(
    routes: file::Texts<super::units::RouteText>,
    parent: &Place,
    number: usize,
    around: &ProductContext<'_>,
    paths: &mut Paths,
    mistakes: &mut Mistakes,
) -> String {
    let mut methods: Vec<Box<str>> = Vec::new();
    let routes = listed(routes, parent, "routes", "write at least one, as in [POST /phone/validate/v2]", mistakes);
    for (Parsed(route), place) in routes {
        if around.site.is_some_and(|site| site.reserves(&route.path)) {
            let what = "is where the gateway's own pages are; give the route another path, move the pages with `pages.path`, or say pages: { serve: false }";
            mistakes.push(place, what);
            continue;
        }
        if !paths.insert(&route.method, &route.path, Endpoint::Product(number)) {
            mistakes.push(place, "is routed already; give each method and path to one product, once");
        }
        if !methods.contains(&route.method) {
            methods.push(route.method);
        }
    }
    methods.join(", ")
}

fn names(names: file::Texts<HeaderName>, parent: &Place, mistakes: &mut Mistakes) -> Box<[Box<str>]> {
    let names = listed(names, parent, "token_headers", "write at least one, as in [Auth-Token]", mistakes);
    let mut kept: Vec<Box<str>> = Vec::new();
    for (Parsed(HeaderName(name)), place) in names {
        if kept.iter().any(|earlier| earlier.eq_ignore_ascii_case(&name)) {
            mistakes.push(place, "is listed already; remove it");
        } else {
            kept.push(name);
        }
    }
    kept.into()
}

fn media_types(types: file::Texts<MediaType>, key: &str, parent: &Place, mistakes: &mut Mistakes) -> Box<[MediaType]> {
    if types.is_missing() {
        return MediaType::parse("application/json").into_iter().collect();
    }
    let types = listed(types, parent, key, "write at least one, as in [application/json]", mistakes);
    for (Parsed(kind), place) in &types {
        if !kind.is_json() {
            let what = "is not JSON, and bodies and answers are; write application/json, or a type that ends in +json";
            mistakes.push(place.clone(), what);
        }
    }
    types.into_iter().map(|(Parsed(kind), _)| kind).collect()
}

/// The elements of a list that must be there and not be empty.
pub fn listed<T>(
    list: Written<Listed<T>>,
    parent: &Place,
    key: &str,
    instead: &str,
    mistakes: &mut Mistakes,
) -> Vec<(T, Place)> {
    let place = list.place().cloned();
    let elements = list.require(parent, key, instead, mistakes).map(|list| list.0).unwrap_or_default();
    // A list all of whose elements are wrong has its mistakes already, but is not empty.
    if let Some(place) = place
        && elements.is_empty()
        && !mistakes.touch(&place)
    {
        mistakes.push(place, format!("is an empty list; {instead}"));
    }
    elements
}

fn deadline(deadline: Written<file::Deadline>, around: &ProductContext<'_>, mistakes: &mut Mistakes) -> DeadlineRule {
    let place = deadline.place().cloned();
    let deadline = deadline.take().unwrap_or_default();
    if let Written::Here(Parsed(HeaderName(name)), place) = &deadline.header
        && around.token_headers.contains(&name.to_ascii_lowercase())
    {
        mistakes.push(place.clone(), IS_TOKEN_HEADER);
    }
    let mut seconds = |written: file::Text<Duration>, otherwise: Duration| {
        let place = written.place().cloned();
        let duration = written.take().map_or(otherwise, |duration| duration.0);
        if let Some(place) = place
            && (duration.subsec_nanos() != 0 || duration.is_zero() || duration > MAX_DEADLINE)
        {
            mistakes.push(place, "is not a deadline; write whole seconds from 1s to 600s");
        }
        duration
    };
    let default = seconds(deadline.default, Duration::from_secs(15));
    // Clients without a header ask for nothing, so that bounds that are not written bind nobody.
    let (lowest, highest) = match deadline.header {
        Written::Missing => (default, default),
        Written::Bad | Written::Here(..) => (Duration::from_secs(2), Duration::from_secs(15)),
    };
    let (min, max) = (seconds(deadline.min, lowest), seconds(deadline.max, highest));
    if let Some(place) = place
        && (min > max || default < min || default > max)
        && !mistakes.touch(&place)
    {
        mistakes.push(
            place,
            "does not fit together; write min, default and max in ascending order (unwritten they are 2s, 15s and 15s)",
        );
    }
    DeadlineRule {
        header: deadline.header.take().map(|name| name.0.0),
        min_seconds: min.as_secs(),
        max_seconds: max.as_secs(),
        default,
    }
}

const IS_TOKEN_HEADER: &str = "carries tokens, which nobody else may see; choose another header";

/// Headers that no further rule can be about.
struct ReservedHeaders<'c> {
    token_headers: &'c BTreeSet<String>,
    /// What the product's upstream is sent with every request.
    added: Option<&'c AddedHeaders>,
    /// In lower case.
    seen: Vec<String>,
}

impl ReservedHeaders<'_> {
    fn check(&mut self, name: &str, place: &Place, mistakes: &mut Mistakes) {
        let name = name.to_ascii_lowercase();
        if self.token_headers.contains(&name) {
            // Its value would be repeated to the backend, and with `echo` to the client.
            mistakes.push(place.clone(), IS_TOKEN_HEADER);
        } else if self.seen.contains(&name) {
            let what = "is a header that the product reads already; give each header one rule";
            mistakes.push(place.clone(), what);
        } else if self.added.is_some_and(|added| added.has(&name)) {
            let what = "is added to every request of the product's upstream; remove it here or there";
            mistakes.push(place.clone(), what);
        }
        self.seen.push(name);
    }
}

fn header_rule(
    (name, place, rule): (String, Place, file::HeaderRule),
    taken: &mut ReservedHeaders<'_>,
    rows: &mut Rows,
    mistakes: &mut Mistakes,
) -> Option<HeaderRule> {
    let name = match <HeaderName as super::units::FromText>::from_text(&name) {
        Ok(HeaderName(name)) => {
            taken.check(&name, &place, mistakes);
            Some(name)
        }
        Err(what) => {
            mistakes.push(place.clone(), what);
            None
        }
    };
    let row = rows.row(rule.problem, &place, mistakes);
    let (max_place, ignore_case_place) = (rule.max.place().cloned(), rule.ignore_case.place().cloned());
    let max_bytes = rule.max.take().unwrap_or(256);
    let ignore_case = rule.ignore_case.take().unwrap_or(false);
    let shape = match (rule.pattern, rule.one_of) {
        (Written::Here(pattern, place), Written::Missing) => {
            let fits = (1..=MAX_HEADER_BYTES).contains(&max_bytes);
            let range = || format!("a number from 1 to {MAX_HEADER_BYTES}");
            out_of_range(max_place, fits, range, mistakes);
            if let Some(place) = ignore_case_place {
                let what = "says nothing beside `pattern`; remove it, or begin the pattern with (?i)";
                mistakes.push(place, what);
            }
            pattern_shape(&pattern, place, max_bytes, mistakes)
        }
        (Written::Missing, one_of @ Written::Here(..)) => {
            if let Some(place) = max_place {
                mistakes.push(place, "says nothing beside `one_of`; remove it");
            }
            let values = listed(one_of, &place, "one_of", "write the values that may be sent", mistakes);
            Some(Shape::OneOf { values: values.into_iter().map(|(value, _)| value.into()).collect(), ignore_case })
        }
        (Written::Bad, _) | (_, Written::Bad) => None,
        (Written::Missing, Written::Missing) | (Written::Here(..), Written::Here(..)) => {
            mistakes.push(place, "does not say how the header must look; write one of `pattern` and `one_of`");
            None
        }
    };
    Some(HeaderRule { name: name?, shape: shape?, echo: rule.echo.take().unwrap_or(false), row: row? })
}

fn pattern_shape(pattern: &str, place: Place, max_bytes: usize, mistakes: &mut Mistakes) -> Option<Shape> {
    // Anchored at both ends whatever the operator wrote: a value matches whole or not at all.
    let build = |text: &str| RegexBuilder::new(text).unicode(false).size_limit(MAX_PATTERN_BYTES).build();
    // It must be whole by itself: brackets that close one another's group would lose the anchors.
    let anchored = build(pattern).and_then(|_| build(&format!(r"\A(?:{pattern})\z")));
    match anchored {
        Ok(expression) => Some(Shape::Pattern { expression, max_bytes }),
        Err(_) => {
            mistakes.push(
                place,
                "is not a regular expression that can be used; write one as in '[A-Za-z0-9-]+', without look-around, back-references and \\p",
            );
            None
        }
    }
}

/// `Access-Control-Allow-Headers`: every header that the product reads.
pub fn allowed_headers(token_headers: &[Box<str>], deadline: Option<&DeadlineRule>, headers: &[HeaderRule]) -> String {
    let mut names: Vec<&str> = vec!["Content-Type", "Accept"];
    names.extend(token_headers.iter().map(|name| &**name));
    names.extend(headers.iter().map(|rule| &*rule.name));
    names.extend(deadline.and_then(|deadline| deadline.header.as_deref()));
    names.join(", ")
}

/// A detail with the product's own names in its blanks.
fn filled(text: &Text, product: &Product) -> String {
    let built_in = text.row.definition().is_some_and(|row| row.detail == text.detail);
    if text.row == Row::DeadlineExceeded && built_in && product.deadline.header.is_none() {
        return DEADLINE_EXCEEDED_WITHOUT_HEADER.to_owned();
    }
    let detail = &text.detail;
    let types = |types: &[MediaType]| types.iter().map(MediaType::name).collect::<Vec<_>>().join(" or ");
    detail
        .replace("{token_headers}", &product.token_headers.join(" or "))
        .replace("{accept}", &types(&product.media.served))
        .replace("{content_type}", &types(&product.media.taken))
        .replace("{deadline_header}", product.deadline.header.as_deref().unwrap_or("(none)"))
        .replace("{deadline_min}", &product.deadline.min_seconds.to_string())
        .replace("{deadline_max}", &product.deadline.max_seconds.to_string())
        .replace("{body_max}", &product.body.as_ref().map_or(0, |body| body.max_bytes).to_string())
}
