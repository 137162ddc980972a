//! Products: routes, headers, bodies and deadlines, compiled from the configuration.

use std::time::Duration;

use regex::bytes::RegexBuilder;
use serde_json::Value;

use super::Source;
use super::file;
use super::problems::Rows;
use super::units::{Bytes, HeaderName, Parsed};
use crate::account::MAX_PRODUCTS;
use crate::check::body::{BodyRule, Mapping, Schema, When};
use crate::check::domain::Domains;
use crate::check::header::{DeadlineRule, HeaderRule, Shape};
use crate::check::media::{Media, MediaType};
use crate::policy::{Paths, Product, Upstream};
use crate::wording::Wording;
use crate::yaml::{Listed, Mistakes, Place, Written};

/// What products are compiled with.
pub struct Surroundings<'c> {
    pub upstreams: &'c [Upstream],
    pub source: &'c Source,
    pub public_url: &'c str,
}

/// The longest deadline that can be given; it also bounds how long a slow upstream is waited for.
const MAX_DEADLINE: Duration = Duration::from_secs(600);

/// Bytes that a compiled expression of a header's pattern may take.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// Compiles one product and adds its routes to the paths.
pub fn compile(
    (name, place, product): (String, Place, file::Product),
    number: usize,
    around: &Surroundings<'_>,
    rows: &mut Rows,
    paths: &mut Paths,
    mistakes: &mut Mistakes,
) -> Option<Product> {
    let Some(product_place) = u8::try_from(number).ok().filter(|_| number < MAX_PRODUCTS) else {
        mistakes.push(place, "is one product too many; 64 fit into one configuration");
        return None;
    };
    let upstream = upstream(product.upstream, &place, around.upstreams, mistakes);
    let methods = routes(product.routes, &place, number, paths, mistakes);
    let token_headers = names(product.token_headers, &place, mistakes);
    let media = Media {
        served: media_types(product.accept, "accept", &place, mistakes),
        taken: media_types(product.content_type, "content_type", &place, mistakes),
    };
    let deadline = deadline(product.deadline.take(), &place, mistakes);
    let headers: Box<[HeaderRule]> = product
        .headers
        .0
        .into_iter()
        .filter_map(|entry| header_rule(entry, rows, mistakes))
        .collect();
    let body = product
        .body
        .take()
        .map(|body| body_rule(body, around.source, rows, mistakes));
    let max_age = product
        .preflight_max_age
        .take()
        .map_or(Duration::from_secs(600), |age| age.0);
    let fields = body
        .as_ref()
        .and_then(|body| body.schema.as_ref())
        .map(|schema| schema.field_names().collect());
    let mut product = Product {
        name: name.into(),
        place: product_place,
        upstream: upstream?,
        allowed_methods: methods.into(),
        allowed_headers: allowed_headers(&token_headers, &deadline, &headers).into(),
        token_headers,
        accept: media
            .served
            .iter()
            .map(MediaType::name)
            .collect::<Vec<_>>()
            .join(", ")
            .into(),
        media,
        deadline,
        headers,
        body,
        origins: Domains::Any,
        preflight_max_age_seconds: max_age.as_secs(),
        wording: Wording::new("", Vec::new(), Vec::new()),
    };
    product.wording = Wording::new(
        around.public_url,
        rows.texts(|detail| filled(detail, &product)),
        fields.unwrap_or_default(),
    );
    Some(product)
}

fn upstream(
    written: Written<String>,
    parent: &Place,
    upstreams: &[Upstream],
    mistakes: &mut Mistakes,
) -> Option<usize> {
    let place = written.place().cloned().unwrap_or_default();
    let name = written.require(parent, "upstream", "name one of `upstreams`", mistakes)?;
    let found = upstreams.iter().position(|upstream| *upstream.name == *name);
    if found.is_none() {
        let known: Vec<_> = upstreams.iter().map(|upstream| &*upstream.name).collect();
        mistakes.push(
            place,
            format!("names no upstream; the upstreams are {}", known.join(", ")),
        );
    }
    found
}

/// Adds the routes to the paths; the methods, for preflights.
fn routes(
    routes: file::Texts<super::units::RouteText>,
    parent: &Place,
    number: usize,
    paths: &mut Paths,
    mistakes: &mut Mistakes,
) -> String {
    let mut methods: Vec<Box<str>> = Vec::new();
    let routes = listed(
        routes,
        parent,
        "routes",
        "write at least one, as in [POST /phone/validate/v2]",
        mistakes,
    );
    for (Parsed(route), place) in routes {
        if !paths.insert(&route.method, &route.path, number) {
            mistakes.push(
                place,
                "is routed already; give each method and path to one product, once",
            );
        }
        if !methods.contains(&route.method) {
            methods.push(route.method);
        }
    }
    methods.join(", ")
}

fn names(names: file::Texts<HeaderName>, parent: &Place, mistakes: &mut Mistakes) -> Box<[Box<str>]> {
    let names = listed(
        names,
        parent,
        "token_headers",
        "write at least one, as in [Auth-Token]",
        mistakes,
    );
    names.into_iter().map(|(Parsed(HeaderName(name)), _)| name).collect()
}

fn media_types(types: file::Texts<MediaType>, key: &str, parent: &Place, mistakes: &mut Mistakes) -> Box<[MediaType]> {
    if types.is_missing() {
        return MediaType::parse("application/json").into_iter().collect();
    }
    listed(
        types,
        parent,
        key,
        "write at least one, as in [application/json]",
        mistakes,
    )
    .into_iter()
    .map(|(Parsed(kind), _)| kind)
    .collect()
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
    let before = mistakes.len();
    let elements = list
        .require(parent, key, instead, mistakes)
        .map(|list| list.0)
        .unwrap_or_default();
    // A list all of whose elements are wrong has its mistakes already, but is not empty.
    if let Some(place) = place
        && elements.is_empty()
        && !mistakes
            .iter()
            .any(|mistake| mistake.place.path.starts_with(&*place.path))
        && mistakes.len() == before
    {
        mistakes.push(place, format!("is an empty list; {instead}"));
    }
    elements
}

fn deadline(deadline: Option<file::Deadline>, parent: &Place, mistakes: &mut Mistakes) -> DeadlineRule {
    let deadline = deadline.unwrap_or_default();
    let place = parent.key("deadline");
    let mut seconds = |written: file::Text<Duration>, otherwise: u64| {
        let place = written.place().cloned();
        let duration = written
            .take()
            .map_or(Duration::from_secs(otherwise), |duration| duration.0);
        if let Some(place) = place
            && (duration.subsec_nanos() != 0 || duration.is_zero() || duration > MAX_DEADLINE)
        {
            mistakes.push(place, "is not a deadline; write whole seconds from 1s to 600s");
        }
        duration
    };
    let (min, max, default) = (
        seconds(deadline.min, 2),
        seconds(deadline.max, 15),
        seconds(deadline.default, 15),
    );
    if min > max || default < min || default > max {
        mistakes.push(
            place,
            "does not fit together; min must not be above max, and default must lie between them",
        );
    }
    DeadlineRule {
        header: deadline.header.take().map(|name| name.0.0),
        min_seconds: min.as_secs(),
        max_seconds: max.as_secs(),
        default,
    }
}

fn header_rule(
    (name, place, rule): (String, Place, file::HeaderRule),
    rows: &mut Rows,
    mistakes: &mut Mistakes,
) -> Option<HeaderRule> {
    let name = match <HeaderName as super::units::FromText>::from_text(&name) {
        Ok(HeaderName(name)) => Some(name),
        Err(what) => {
            mistakes.push(place.clone(), what);
            None
        }
    };
    let row = rows.row(rule.problem, &place, mistakes);
    let max_bytes = rule.max.take().unwrap_or(256);
    let ignore_case = rule.ignore_case.take().unwrap_or(false);
    let shape = match (rule.pattern, rule.one_of) {
        (Written::Here(pattern, place), Written::Missing) => pattern_shape(&pattern, place, max_bytes, mistakes),
        (Written::Missing, one_of @ Written::Here(..)) => {
            let values = listed(one_of, &place, "one_of", "write the values that may be sent", mistakes);
            Some(Shape::OneOf {
                values: values.into_iter().map(|(value, _)| value.into()).collect(),
                ignore_case,
            })
        }
        (Written::Bad, _) | (_, Written::Bad) => None,
        (Written::Missing, Written::Missing) | (Written::Here(..), Written::Here(..)) => {
            mistakes.push(
                place,
                "says not how the header must look; write either `pattern` or `one_of`",
            );
            None
        }
    };
    Some(HeaderRule {
        name: name?,
        shape: shape?,
        echo: rule.echo.take().unwrap_or(false),
        row: row?,
    })
}

fn pattern_shape(pattern: &str, place: Place, max_bytes: usize, mistakes: &mut Mistakes) -> Option<Shape> {
    // Anchored at both ends whatever the operator wrote: a value matches whole or not at all.
    let anchored = format!(r"\A(?:{pattern})\z");
    match RegexBuilder::new(&anchored)
        .unicode(false)
        .size_limit(MAX_PATTERN_BYTES)
        .build()
    {
        Ok(expression) => Some(Shape::Pattern { expression, max_bytes }),
        Err(_) => {
            mistakes.push(
                place,
                "is not a regular expression that can be used; write one as in '[A-Za-z0-9-]+', without look-around",
            );
            None
        }
    }
}

fn body_rule(body: file::Body, source: &Source, rows: &mut Rows, mistakes: &mut Mistakes) -> BodyRule {
    let max_bytes = body.max.take().map_or(16 * 1024, |Parsed(Bytes(bytes))| bytes);
    let strict = body.strict.take().unwrap_or(false);
    let mut mappings = Vec::new();
    for (problem, place) in body.problems.take().unwrap_or_default().0 {
        let row = rows.row(problem.problem, &place, mistakes);
        let at_place = problem.at.place().cloned();
        let at = problem
            .at
            .require(&place, "at", "write a JSON Pointer, as in /number", mistakes);
        let when = match problem.when.take() {
            None | Some(file::When::Any) => When::Any,
            Some(file::When::Missing) => When::Missing,
        };
        if let (Some(at), Some(row)) = (at, row) {
            mappings.push((
                Mapping {
                    at: at.into(),
                    when,
                    row,
                },
                at_place.unwrap_or(place),
            ));
        }
    }
    let schema = schema(body.schema, source, mistakes).and_then(|(schema, place)| {
        let plain = mappings.iter().map(|(mapping, _)| mapping.clone()).collect();
        match Schema::compile(schema, strict, plain) {
            Ok(schema) => Some(schema),
            Err(error) => {
                mistakes.push(
                    place,
                    format!("is not a JSON Schema that can be used ({error}); mend it there"),
                );
                None
            }
        }
    });
    for (mapping, place) in mappings {
        if schema.as_ref().is_some_and(|schema| !schema.names(&mapping.at)) {
            mistakes.push(
                place,
                "is a place that the schema does not name; write a pointer to one of its properties",
            );
        }
    }
    BodyRule { max_bytes, schema }
}

/// A schema: a file beside the configuration, or the schema itself.
fn schema(written: Written<Value>, source: &Source, mistakes: &mut Mistakes) -> Option<(Value, Place)> {
    let Written::Here(value, place) = written else {
        return None;
    };
    match value {
        Value::String(name) => match source.text(&name).map(|text| serde_json::from_str(&text)) {
            Ok(Ok(schema)) => Some((schema, place)),
            Ok(Err(error)) => {
                let what = format!(
                    "names a file that is not JSON (line {}, column {}); mend it there",
                    error.line(),
                    error.column()
                );
                mistakes.push(place, what);
                None
            }
            Err(error) => {
                mistakes.push(
                    place,
                    format!("names a file that cannot be read ({error}); write its path from this file's directory"),
                );
                None
            }
        },
        Value::Object(_) | Value::Bool(_) => Some((value, place)),
        Value::Null | Value::Number(_) | Value::Array(_) => {
            mistakes.push(
                place,
                "is not a schema; write the name of a file, or a JSON Schema in place",
            );
            None
        }
    }
}

/// `Access-Control-Allow-Headers`: every header that the product reads.
fn allowed_headers(token_headers: &[Box<str>], deadline: &DeadlineRule, headers: &[HeaderRule]) -> String {
    let mut names: Vec<&str> = vec!["Content-Type", "Accept"];
    names.extend(token_headers.iter().map(|name| &**name));
    names.extend(headers.iter().map(|rule| &*rule.name));
    names.extend(deadline.header.as_deref());
    names.join(", ")
}

/// A detail with the product's own names in its blanks.
fn filled(detail: &str, product: &Product) -> String {
    let types = |types: &[MediaType]| types.iter().map(MediaType::name).collect::<Vec<_>>().join(" or ");
    detail
        .replace("{token_headers}", &product.token_headers.join(" or "))
        .replace("{accept}", &types(&product.media.served))
        .replace("{content_type}", &types(&product.media.taken))
        .replace(
            "{deadline_header}",
            product.deadline.header.as_deref().unwrap_or("(none)"),
        )
        .replace("{deadline_min}", &product.deadline.min_seconds.to_string())
        .replace("{deadline_max}", &product.deadline.max_seconds.to_string())
        .replace(
            "{body_max}",
            &product.body.as_ref().map_or(0, |body| body.max_bytes).to_string(),
        )
}
