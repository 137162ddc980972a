//! `products`: routes, headers, media types. Bodies are in `bodies.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::bodies::{body_rule, schema};
use super::common::{check_name, known, listed, out_of_range};
use super::credits::tariff;
use super::fill::{duration, fill, section};
use super::headers::ReservedHeaders;
use super::problems::Rows;
use super::product_context::ProductContext;
use super::units::{HeaderName, Parsed, RouteText, Texts};
use super::{bodies, cors, deadline, headers, plans};
use crate::config::yaml::{Entries, Mistakes, Place, Written};
use crate::platform::pace;
use crate::policy::account::MAX_PRODUCTS;
use crate::policy::check::body::BodyRule;
use crate::policy::check::body::Schema;
use crate::policy::check::header::{DeadlineRule, HeaderRule};
use crate::policy::http::media::{Media, MediaType};
use crate::policy::plan::Allowances;
use crate::policy::problem::Row;
use crate::policy::problem::messages::{Text, Wording};
use crate::policy::tariff::Tariff;
use crate::policy::{AccountInfo, Endpoint, Paths, Preflight, Product};

/// The longest time to cache a preflight's answer; browsers allow no more.
const MAX_PREFLIGHT_AGE: Duration = Duration::from_secs(86_400);

/// The detail of deadline-exceeded if clients have no header for the deadline.
const DEADLINE_EXCEEDED_WITHOUT_HEADER: &str =
    "The lookup took longer than the time allowed. Send the request again. Nothing was charged.";

/// The detail of body-too-large if the product takes no body.
const BODY_WHERE_NONE_IS_TAKEN: &str = "This endpoint takes no body. Send the request without one.";

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::bodies::written::Body;
    use crate::config::credits::written::Credits;
    use crate::config::deadline::written::Deadline;
    use crate::config::headers::written::HeaderRule;
    use crate::config::plans::written::{AnyRate, Quota};
    use crate::config::units::{AllowedHeader, HeaderName, RouteText, Text, Texts};
    use crate::config::yaml::{Entries, Listed, Written};
    use crate::policy::http::media::MediaType;

    /// A lookup API.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["upstream", "routes", "token_headers"]))]
    pub struct Product {
        /// One of `upstreams`.
        pub upstream: Written<String>,
        /// Methods and paths. The request is forwarded with the same path.
        #[schemars(length(min = 1))]
        pub routes: Texts<RouteText>,
        /// Headers that carry the token. They are never forwarded.
        #[schemars(length(min = 1))]
        pub token_headers: Texts<HeaderName>,
        /// Media types that the product answers with. Default: application/json.
        #[schemars(length(min = 1))]
        pub accept: Texts<MediaType>,
        /// Media types that a body may have. Default: application/json.
        #[schemars(length(min = 1))]
        pub content_type: Texts<MediaType>,
        /// The time limit of a request. Default: 15s, which clients cannot change.
        pub deadline: Written<Deadline>,
        /// Headers that are validated if they are present, in this order.
        pub headers: Entries<HeaderRule>,
        /// The rules for the body. Without this key requests have no body.
        pub body: Written<Body>,
        /// A JSON Schema of answers, in a file beside this one or in place, only for the reference and OpenAPI; answers
        /// are not checked with it. Default: answers are not described.
        #[schemars(extend("type" = ["string", "object", "boolean"]))]
        pub answer_schema: Written<serde_json::Value>,
        /// The price of lookups, in whole credits. Without this key they cost nothing.
        pub credits: Written<Credits>,
        /// Requests of each account for this product, beside those of the account: one rate for each of the periods
        /// s, min, h and d. Default: any number.
        #[schemars(length(min = 1, max = 4))]
        pub rates: Written<Listed<AnyRate>>,
        /// Requests of each account for this product in a day or month. Default: any number.
        pub quota: Written<Quota>,
        /// How long browsers may remember the answer to a preflight. Default: 10m.
        pub preflight_max_age: Text<Duration>,
        /// Further settings for browsers.
        pub cors: Written<Cors>,
    }

    /// Settings for browsers (CORS).
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Cors {
        /// Headers that web pages may send in addition to those that the gateway reads (tokens, `headers`, the
        /// deadline's, Content-Type, Accept, traceparent, tracestate and Idempotency-Key). Default: none.
        #[schemars(length(min = 1))]
        pub allow_headers: Texts<AllowedHeader>,
    }
}

/// A product before its tokens are known. It becomes a [`Product`] once the allowed origins are known, so no preflight
/// can be answered without them.
pub struct Draft {
    pub name: Arc<str>,
    /// Its place in the policy, which a token's set of products counts.
    pub index: u8,
    /// What lookups cost; `None` if they cost nothing.
    pub tariff: Option<Tariff>,
    /// What each account may use of it, beside what the account may use.
    pub allowances: Allowances,
    /// The index of its upstream in the policy; `None` if there is a mistake, which is reported already.
    upstream: Option<usize>,
    allowed_methods: Box<str>,
    preflight_max_age: Duration,
    added_headers: Box<[Box<str>]>,
    token_headers: Box<[Box<str>]>,
    media: Media,
    deadline: DeadlineRule,
    headers: Box<[HeaderRule]>,
    body: Option<BodyRule>,
    answer_schema: Option<Value>,
}

/// Compiles all products, and the paths that lead to them and to the credits of accounts.
pub fn compile(
    products: Entries<written::Product>,
    around: &ProductContext<'_>,
    rows: &mut Rows,
    mistakes: &mut Mistakes,
) -> (Vec<Draft>, Paths) {
    let place = around.root.key("products");
    if products.0.is_empty() && !mistakes.touch(&place) {
        mistakes.push(place.clone(), "is missing; write at least one product with its routes");
    }
    let mut paths = Paths::default();
    let mut drafts: Vec<Draft> = Vec::new();
    for (number, entry) in products.0.into_iter().enumerate() {
        pace::step();
        drafts.extend(draft(entry, number, around, rows, &mut paths, mistakes));
    }
    rows.check_use(mistakes);
    if drafts.iter().any(|draft| draft.tariff.is_some()) {
        route_account_info(&mut paths, place, mistakes);
    }
    (drafts, paths)
}

/// Routes the requests of accounts about themselves, which have a path of their own.
pub fn route_account_info(paths: &mut Paths, products_place: Place, mistakes: &mut Mistakes) {
    let is_free = [AccountInfo::METHOD, "HEAD"]
        .into_iter()
        .all(|method| paths.insert(method, AccountInfo::PATH, Endpoint::Credits));
    if !is_free {
        let what = "route GET /account/credits, where accounts are told of their credits; give that route another path";
        mistakes.push(products_place, what);
    }
}

/// Compiles one product and adds its routes to the paths.
fn draft(
    (name, place, product): (String, Place, written::Product),
    number: usize,
    around: &ProductContext<'_>,
    rows: &mut Rows,
    paths: &mut Paths,
    mistakes: &mut Mistakes,
) -> Option<Draft> {
    let Some(product_index) = u8::try_from(number).ok().filter(|_| number < MAX_PRODUCTS) else {
        mistakes.push(place, "is one product too many; a configuration can have 64");
        return None;
    };
    check_name(&name, &place, mistakes);
    let upstream = upstream(product.upstream, &place, around, mistakes);
    let allowed_methods = routes(product.routes, &place, number, around, paths, mistakes).into();
    let token_headers = names(product.token_headers, &place, mistakes);
    let media = Media {
        served: media_types(product.accept, "accept", &place, mistakes),
        taken: media_types(product.content_type, "content_type", &place, mistakes),
    };
    let deadline = deadline::compile(product.deadline, around, mistakes);
    let mut taken = ReservedHeaders {
        token_headers: around.token_headers,
        added: upstream.and_then(|place| around.upstreams.get(place)).map(|upstream| &upstream.added),
        seen: deadline.header.iter().map(|name| name.to_ascii_lowercase()).collect(),
    };
    let headers: Box<[HeaderRule]> =
        product.headers.0.into_iter().filter_map(|entry| headers::compile(entry, &mut taken, rows, mistakes)).collect();
    let body = product.body.take().map(|body| body_rule(body, around, rows, mistakes));
    pace::step();
    let answer_schema = schema(product.answer_schema, around.source, mistakes).map(|read| read.schema);
    let tariff = tariff(product.credits, body.as_ref(), mistakes);
    let allowances = plans::allowances(product.rates, product.quota, &place, mistakes);
    let preflight_max_age = preflight_max_age(product.preflight_max_age, mistakes);
    let added_headers = more_headers(product.cors, &place, mistakes);
    Some(Draft {
        name: name.into(),
        index: product_index,
        tariff,
        allowances,
        upstream,
        allowed_methods,
        preflight_max_age,
        added_headers,
        token_headers,
        media,
        deadline,
        headers,
        body,
        answer_schema,
    })
}

impl Draft {
    /// The product; `None` if it has no upstream.
    pub fn finish(self, public_url: &str, rows: &Rows) -> Option<Product> {
        let schema = self.body.as_ref().and_then(|body| body.schema.as_deref());
        let fields = schema.into_iter().flat_map(Schema::field_names).collect();
        let broken_rules = schema.into_iter().flat_map(Schema::rule_words).map(str::to_owned).collect();
        let wording = Wording::new(public_url, rows.texts(|text| self.filled(text)), fields, broken_rules);
        let allowed_headers =
            cors::allowed_headers(&self.token_headers, Some(&self.deadline), &self.headers, &self.added_headers);
        Some(Product {
            name: self.name,
            index: self.index,
            upstream: self.upstream?,
            preflight: Preflight {
                allowed_methods: self.allowed_methods,
                allowed_headers: allowed_headers.into(),
                added_headers: self.added_headers,
                max_age_seconds: self.preflight_max_age.as_secs(),
            },
            token_headers: self.token_headers,
            accept: self.media.served.iter().map(MediaType::name).collect::<Vec<_>>().join(", ").into(),
            media: self.media,
            deadline: self.deadline,
            headers: self.headers,
            body: self.body,
            answer_schema: self.answer_schema,
            tariff: self.tariff,
            allowances: self.allowances,
            wording,
        })
    }

    /// A detail with its placeholders about the product filled in.
    fn filled(&self, text: &Text) -> String {
        let built_in = text.row.definition().is_some_and(|row| row.detail == text.detail);
        if text.row == Row::DeadlineExceeded && built_in && self.deadline.header.is_none() {
            return DEADLINE_EXCEEDED_WITHOUT_HEADER.to_owned();
        }
        if text.row == Row::BodyTooLarge && built_in && self.body.is_none() {
            return BODY_WHERE_NONE_IS_TAKEN.to_owned();
        }
        let detail = &text.detail;
        let types = |types: &[MediaType]| types.iter().map(MediaType::name).collect::<Vec<_>>().join(" or ");
        detail
            .replace("{token_headers}", &self.token_headers.join(" or "))
            .replace("{accept}", &types(&self.media.served))
            .replace("{content_type}", &types(&self.media.taken))
            .replace("{deadline_header}", self.deadline.header.as_deref().unwrap_or("(none)"))
            .replace("{deadline_min}", &self.deadline.min_seconds.to_string())
            .replace("{deadline_max}", &self.deadline.max_seconds.to_string())
            .replace("{body_max}", &self.body.as_ref().map_or(0, |body| body.max_bytes).to_string())
    }
}

/// The headers that `cors` adds to those that web pages may send.
fn more_headers(cors: Written<written::Cors>, parent: &Place, mistakes: &mut Mistakes) -> Box<[Box<str>]> {
    match cors.take().unwrap_or_default().allow_headers {
        Written::Missing => Box::default(),
        names @ (Written::Bad | Written::Here(..)) => {
            let names = listed(names, parent, "allow_headers", "write names, as in [X-App-Version]", mistakes);
            cors::added_headers(names, mistakes)
        }
    }
}

fn preflight_max_age(written: super::units::Text<Duration>, mistakes: &mut Mistakes) -> Duration {
    let place = written.place().cloned();
    let max_age = written.take().map_or(Duration::from_secs(600), |age| age.0);
    let fits = max_age.subsec_nanos() == 0 && max_age <= MAX_PREFLIGHT_AGE;
    out_of_range(place, fits, || "whole seconds up to 1d".to_owned(), mistakes);
    max_age
}

/// The headers of all products that carry tokens, in lower case, each once.
pub fn all_token_headers(products: &Entries<written::Product>) -> BTreeSet<String> {
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
    // Not reported if the upstream exists but could not be read, or if there are none: that is a mistake already.
    let reported = || around.upstreams.is_empty() || mistakes.touch(&around.root.key("upstreams").key(&name));
    if found.is_none() && !reported() {
        let known = known(around.upstreams.iter().map(|upstream| &*upstream.name));
        mistakes.push(place, format!("is not an upstream; {known}"));
    }
    found
}

/// Adds the routes to the paths; the methods, for preflights.
fn routes(
    routes: Texts<RouteText>,
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
            let what = "is a path of the gateway's own pages; give the route another path, move the pages with `pages.path`, or set pages: { serve: false }";
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

fn names(names: Texts<HeaderName>, parent: &Place, mistakes: &mut Mistakes) -> Box<[Box<str>]> {
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

fn media_types(types: Texts<MediaType>, key: &str, parent: &Place, mistakes: &mut Mistakes) -> Box<[MediaType]> {
    if types.is_missing() {
        return MediaType::parse("application/json").into_iter().collect();
    }
    let types = listed(types, parent, key, "write at least one, as in [application/json]", mistakes);
    for (Parsed(kind), place) in &types {
        if !kind.is_json() {
            let what = "is not a JSON type, but bodies and answers are JSON; write application/json, or a type that ends in +json";
            mistakes.push(place.clone(), what);
        }
    }
    types.into_iter().map(|(Parsed(kind), _)| kind).collect()
}

/// Shows what is not written.
pub fn fill_in(shown: &mut Value, product: &Product) {
    let names = |types: &[MediaType]| types.iter().map(|media| media.name().to_owned()).collect::<Vec<_>>();
    fill(shown, "accept", names(&product.media.served));
    fill(shown, "content_type", names(&product.media.taken));
    deadline::fill_in(section(shown, "deadline"), &product.deadline);
    plans::whole_rates(shown, &product.allowances);
    headers::fill_in(shown, &product.headers);
    if let Some(rule) = &product.body {
        bodies::fill_in(section(shown, "body"), rule);
    }
    fill(shown, "preflight_max_age", duration(Duration::from_secs(product.preflight.max_age_seconds)));
}
