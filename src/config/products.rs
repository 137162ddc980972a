//! `products`: routes, headers, media types. Bodies are in `bodies.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::bodies::{body_rule, schema};
use super::common::{check_name, known, listed, out_of_range};
use super::fill::{duration, fill, section};
use super::headers::ReservedHeaders;
use super::problems::Rows;
use super::product_context::ProductContext;
use super::routes::{OfProduct, RoutesCompiler};
use super::units::{HeaderName, IS_AUTHORIZATION, Parsed, Texts};
use super::{answers, bodies, cors, deadline, formats, headers, idempotency, jwt, plans, routes};
use crate::config::yaml::{Entries, Mistakes, Place, Written};
use crate::platform::pace;
use crate::policy::account::MAX_PRODUCTS;
use crate::policy::answers::Answers;
use crate::policy::check::header::{DeadlineRule, HeaderRule};
use crate::policy::check::jwt::Issuer;
use crate::policy::check::token::{AUTHORIZATION, BasicPart, TokenPlace};
use crate::policy::http::media::{Media, MediaType};
use crate::policy::idempotency::IdempotencyRule;
use crate::policy::paths::{Endpoint, Paths};
use crate::policy::plan::Allowances;
use crate::policy::problem::Row;
use crate::policy::problem::messages::{Text, Wording};
use crate::policy::respond::EXPOSED_HEADERS;
use crate::policy::route::Route;
use crate::policy::{AccountInfo, CallerFact, Preflight, Product};

/// The longest time to cache a preflight's answer; browsers allow no more.
const MAX_PREFLIGHT_AGE: Duration = Duration::from_secs(86_400);

/// The detail of deadline-exceeded if clients have no header for the deadline.
const DEADLINE_EXCEEDED_WITHOUT_HEADER: &str =
    "The lookup took longer than the time allowed. Send the request again. Nothing was charged.";

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::answers::written::Answer;
    use crate::config::bodies::written::Body;
    use crate::config::credits::written::Credits;
    use crate::config::deadline::written::Deadline;
    use crate::config::formats::written::Format;
    use crate::config::headers::written::HeaderRule;
    use crate::config::idempotency::written::Idempotency;
    use crate::config::parameters::written::Undeclared;
    use crate::config::plans::written::{AnyRate, Quota};
    use crate::config::routes::written::AnyRoute;
    use crate::config::units::{AllowedHeader, AnswerHeader, HeaderName, HostName, Text, Texts};
    use crate::config::yaml::{Entries, Listed, Written};
    use crate::policy::check::token::TokenPlace;
    use crate::policy::http::media::MediaType;

    /// A lookup API.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["upstream", "routes"], "oneOf" = [{"required": ["token_headers"]}, {"required": ["token_in"]}]))]
    pub struct Product {
        /// One of `upstreams`.
        pub upstream: Written<String>,
        /// Methods and paths, whose segments may be parameters, as in "GET /v1/vat/{number}". A literal segment comes
        /// before a parameter.
        #[schemars(length(min = 1))]
        pub routes: Written<Listed<AnyRoute>>,
        /// The hosts that the routes are for: names without a port. Other hosts do not have them. Default: every host.
        #[schemars(length(min = 1))]
        pub hosts: Texts<HostName>,
        /// What becomes of parameters of a query that have no rule. Default: pass.
        pub undeclared_query: Written<Undeclared>,
        /// Headers that carry the token. They are never forwarded. Either this or `token_in`.
        #[schemars(length(min = 1))]
        pub token_headers: Texts<HeaderName>,
        /// Where the token can be: header NAME, bearer, basic user, basic password, query NAME. It is never forwarded.
        #[schemars(length(min = 1))]
        pub token_in: Texts<TokenPlace>,
        /// Identity providers of the top level's `jwt` whose tokens are taken in the same places. Default: none.
        #[schemars(length(min = 1))]
        pub jwt: Written<Listed<String>>,
        /// What bodies and answers can be, between which the gateway converts: json, which the backend speaks, xml and
        /// msgpack. With another than json, the types of bodies and answers follow from it. Default: `[json]`.
        #[schemars(length(min = 1))]
        pub formats: Written<Listed<Format>>,
        /// Media types that the product answers with. Answers of a JSON type must be JSON; those of another type pass as
        /// they are. Default: application/json.
        #[schemars(length(min = 1))]
        pub accept: Texts<MediaType>,
        /// Media types that a body may have. Default: application/json.
        #[schemars(length(min = 1))]
        pub content_type: Texts<MediaType>,
        /// The time limit of a request. Default: 15s, which clients cannot change.
        pub deadline: Written<Deadline>,
        /// Lookups that are safe to send again. Default: each request is a lookup of its own.
        pub idempotency: Written<Idempotency>,
        /// Headers that are validated if they are present, in this order.
        pub headers: Entries<HeaderRule>,
        /// The rules for the bodies of POST, PUT and PATCH. Without this key requests have no body.
        pub body: Written<Body>,
        /// A JSON Schema of answers, in a file beside this one or in place, only for the reference and OpenAPI; answers
        /// are not checked with it. Default: answers are not described.
        #[schemars(extend("type" = ["string", "object", "boolean"]))]
        pub answer_schema: Written<serde_json::Value>,
        /// What becomes of the backend's answers by their statuses, from 200 to 299 and from 400 to 599. Default: the body
        /// of a 200 passes, 400 and 422 are body-invalid, 413 is body-too-large, 408, 429, 502, 503 and 504 are
        /// upstream-unavailable, and everything else is upstream-failed.
        pub answers: Entries<Answer>,
        /// Headers of the backend's answers that clients see, at most 16. Default: none.
        #[schemars(length(min = 1))]
        pub answer_headers: Texts<AnswerHeader>,
        /// What the backend is told of who asks: headers that replace a client's own of these names. Default: nothing.
        pub caller_headers: Written<CallerHeaders>,
        /// The price of lookups, in whole credits. Without this key they cost nothing.
        pub credits: Written<Credits>,
        /// Another product with prices, whose credits of the account pay for these lookups as well. Default: the account has
        /// credits for this product.
        pub balance_of: Written<String>,
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

    /// Headers that tell the backend who asks. What a header cannot have of a name is percent-encoded.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct CallerHeaders {
        /// The name of the account.
        pub account: Text<HeaderName>,
        /// The name of the token.
        pub token: Text<HeaderName>,
        /// The name of the product.
        pub product: Text<HeaderName>,
        /// The client's address, if it is known.
        pub address: Text<HeaderName>,
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
    /// Some of its lookups cost credits.
    pub is_priced: bool,
    /// The index of the product whose credits pay for them.
    pub balance: u8,
    /// The product that it names for that.
    balance_of: Written<String>,
    /// What each account may use of it, beside what the account may use.
    pub allowances: Allowances,
    /// The index of its upstream in the policy; `None` if there is a mistake, which is reported already.
    upstream: Option<usize>,
    allowed_methods: Box<str>,
    preflight_max_age: Duration,
    added_headers: Box<[Box<str>]>,
    token_places: Box<[TokenPlace]>,
    issuers: Box<[Arc<Issuer>]>,
    media: Media,
    deadline: DeadlineRule,
    idempotency: Option<IdempotencyRule>,
    headers: Box<[HeaderRule]>,
    answers: Arc<Answers>,
    caller_headers: Box<[(CallerFact, Box<str>)]>,
    routes: Box<[Route]>,
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
    share_balances(&mut drafts, mistakes);
    paths.add_unfinished();
    rows.check_use(mistakes);
    if drafts.iter().any(|draft| draft.is_priced) {
        route_account_info(&mut paths, place, mistakes);
    }
    (drafts, paths)
}

/// Finds the products whose credits pay for others.
fn share_balances(drafts: &mut [Draft], mistakes: &mut Mistakes) {
    let own: Vec<(Arc<str>, u8, bool)> = drafts
        .iter()
        .map(|draft| (Arc::clone(&draft.name), draft.index, draft.is_priced && draft.balance_of.is_missing()))
        .collect();
    for draft in drafts {
        let Written::Here(name, place) = std::mem::take(&mut draft.balance_of) else { continue };
        match own.iter().find(|(known, ..)| **known == *name) {
            _ if !draft.is_priced => {
                mistakes.push(place, "has no effect without prices; add `credits`, or remove it");
            }
            Some((_, index, true)) if *index != draft.index => draft.balance = *index,
            Some(_) => {
                let what = "is not another product that has `credits` and no `balance_of`; name one that accounts have credits for";
                mistakes.push(place, what);
            }
            None => {
                let known = known(own.iter().filter(|(_, _, has_own)| *has_own).map(|(name, ..)| &**name));
                mistakes.push(place, format!("is not a product with credits of its own; {known}"));
            }
        }
    }
}

/// Routes the requests of accounts about themselves, which have a path of their own.
pub fn route_account_info(paths: &mut Paths, products_place: Place, mistakes: &mut Mistakes) {
    let is_free = [AccountInfo::METHOD, "HEAD"]
        .into_iter()
        .all(|method| paths.insert(None, method, AccountInfo::PATH, Endpoint::Credits).is_ok());
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
    let token_places = token_places(product.token_headers, product.token_in, &place, mistakes);
    let issuers = jwt::of_product(product.jwt, around.jwt, &place, mistakes);
    let media = formats::media(product.formats, product.accept, product.content_type, &place, mistakes);
    let deadline = deadline::compile(product.deadline, around, mistakes);
    let (answers, prices) = answers::compile(product.answers, product.answer_headers, &media, &place, rows, mistakes);
    let answers = Arc::new(answers);
    let mut taken = ReservedHeaders {
        token_headers: around.token_headers,
        added: upstream.and_then(|place| around.upstreams.get(place)).map(|upstream| &upstream.added),
        seen: deadline.header.iter().map(|name| name.to_ascii_lowercase()).collect(),
    };
    let headers: Box<[HeaderRule]> =
        product.headers.0.into_iter().filter_map(|entry| headers::compile(entry, &mut taken, rows, mistakes)).collect();
    let idempotency = idempotency::compile(product.idempotency, &deadline, &headers, around, mistakes);
    let caller_headers = caller_headers(product.caller_headers, &mut taken, mistakes);
    let of_product = OfProduct {
        index: product_index,
        body: product.body.take().map(|body| body_rule(body, around, rows, mistakes)),
        answers: Arc::clone(&answers),
        answer_schema: schema(product.answer_schema, around.source, mistakes).map(|read| Arc::new(read.schema)),
        undeclared: product.undeclared_query.take().map(Into::into).unwrap_or_default(),
        hosts: routes::hosts(product.hosts, &place, mistakes),
        prices,
    };
    pace::step();
    let mut compiler = RoutesCompiler::new(&of_product, around, rows, paths, mistakes);
    let (routes, allowed_methods) = compiler.compile(product.routes, product.credits, &place);
    formats::prepare(&routes, media.formats, &place, mistakes);
    let allowances = plans::allowances(product.rates, product.quota, &place, mistakes);
    let preflight_max_age = preflight_max_age(product.preflight_max_age, mistakes);
    let added_headers = more_headers(product.cors, &place, mistakes);
    Some(Draft {
        name: name.into(),
        index: product_index,
        is_priced: routes.iter().any(|route| route.tariff.is_some()),
        balance: product_index,
        balance_of: product.balance_of,
        allowances,
        upstream,
        allowed_methods: allowed_methods.into(),
        preflight_max_age,
        added_headers,
        token_places,
        issuers,
        media,
        deadline,
        idempotency,
        headers,
        answers,
        caller_headers,
        routes,
    })
}

impl Draft {
    /// Whether accounts have credits for it, rather than for another product that pays for it.
    pub fn has_balance(&self) -> bool {
        self.is_priced && self.balance == self.index
    }

    /// The product; `None` if it has no upstream.
    pub fn finish(self, public_url: &str, rows: &Rows) -> Option<Product> {
        let wording = Wording::new(public_url, rows.texts(|text| self.filled(text)));
        let token_parameters = self.token_places.iter().filter_map(|place| match place {
            TokenPlace::Query(name) => Some(name.clone()),
            TokenPlace::Header(_) | TokenPlace::Bearer | TokenPlace::Basic(_) => None,
        });
        let token_parameters = token_parameters.collect();
        let key = self.idempotency.as_ref().map(|rule| &*rule.header);
        let allowed_headers =
            cors::allowed_headers(&self.token_places, Some(&self.deadline), key, &self.headers, &self.added_headers);
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
            token_parameters,
            token_places: self.token_places,
            issuers: self.issuers,
            accept: self.media.served.iter().map(MediaType::name).collect::<Vec<_>>().join(", ").into(),
            media: self.media,
            deadline: self.deadline,
            idempotency: self.idempotency,
            headers: self.headers,
            exposed_headers: exposed_headers(&self.answers),
            answers: self.answers,
            caller_headers: self.caller_headers,
            routes: self.routes,
            is_priced: self.is_priced,
            balance: self.balance,
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
        let detail = formats::detail(text, self.media.formats);
        let types = |types: &[MediaType]| types.iter().map(MediaType::name).collect::<Vec<_>>().join(" or ");
        detail
            .replace("{token_headers}", &token_headers(&self.token_places))
            .replace("{token_places}", &token_places_in_words(&self.token_places))
            .replace("{accept}", &types(&self.media.served))
            .replace("{content_type}", &types(&self.media.taken))
            .replace("{deadline_header}", self.deadline.header.as_deref().unwrap_or("(none)"))
            .replace("{deadline_min}", &self.deadline.min_seconds.to_string())
            .replace("{deadline_max}", &self.deadline.max_seconds.to_string())
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
    let mut names = BTreeSet::new();
    for (_, _, product) in &products.0 {
        let headers = product.token_headers.get().into_iter().flat_map(|list| &list.0);
        names.extend(headers.map(|(Parsed(HeaderName(name)), _)| name.to_ascii_lowercase()));
        let places = product.token_in.get().into_iter().flat_map(|list| &list.0);
        let headers = places.filter_map(|(Parsed(place), _)| place.header());
        names.extend(headers.map(str::to_ascii_lowercase));
    }
    names
}

/// The headers among some places, for `{token_headers}`.
pub fn token_headers(places: &[TokenPlace]) -> String {
    places.iter().filter_map(TokenPlace::header).collect::<Vec<_>>().join(" or ")
}

/// Places in a sentence: `the header Auth-Token or x-app-key, or the query parameter key`.
pub fn token_places_in_words(places: &[TokenPlace]) -> String {
    let plain: Vec<&str> = places
        .iter()
        .filter_map(|place| match place {
            TokenPlace::Header(name) => Some(&**name),
            TokenPlace::Bearer | TokenPlace::Basic(_) | TokenPlace::Query(_) => None,
        })
        .collect();
    let mut words = Vec::new();
    if !plain.is_empty() {
        words.push(format!("the header {}", plain.join(" or ")));
    }
    for place in places {
        words.extend(match place {
            TokenPlace::Header(_) => None,
            TokenPlace::Bearer => Some("the header Authorization after the word Bearer".to_owned()),
            TokenPlace::Basic(BasicPart::User) => Some("the header Authorization as the user name of Basic".to_owned()),
            TokenPlace::Basic(BasicPart::Password) => {
                Some("the header Authorization as the password of Basic".to_owned())
            }
            TokenPlace::Query(name) => Some(format!("the query parameter {name}")),
        });
    }
    words.join(", or ")
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

/// The places of tokens, by exactly one of `token_headers` and `token_in`.
fn token_places(
    headers: Texts<HeaderName>,
    places: Texts<TokenPlace>,
    parent: &Place,
    mistakes: &mut Mistakes,
) -> Box<[TokenPlace]> {
    if let (Some(place), false) = (places.place(), headers.is_missing()) {
        mistakes.push(place.clone(), "stands beside `token_headers`; write all places here, and remove that");
    }
    let places: Vec<(TokenPlace, Place)> = if places.is_missing() {
        let instead = "write at least one, as in [Auth-Token], or token_in: [bearer]";
        let headers = listed(headers, parent, "token_headers", instead, mistakes).into_iter();
        headers.map(|(Parsed(HeaderName(name)), place)| (TokenPlace::Header(name), place)).collect()
    } else {
        let places = listed(places, parent, "token_in", "write at least one, as in [bearer]", mistakes);
        places.into_iter().map(|(Parsed(place), at)| (place, at)).collect()
    };
    let mut kept: Vec<TokenPlace> = Vec::new();
    for (place, at) in places {
        if matches!(&place, TokenPlace::Header(name) if name.eq_ignore_ascii_case(AUTHORIZATION)) {
            mistakes.push(at, IS_AUTHORIZATION);
        } else if kept.iter().any(|known| known.is_same(&place)) {
            mistakes.push(at, "is listed already; remove it");
        } else {
            kept.push(place);
        }
    }
    kept.into()
}

/// The headers that web pages may read of answers.
fn exposed_headers(answers: &Answers) -> Box<str> {
    answers.headers.iter().fold(EXPOSED_HEADERS.to_owned(), |list, name| format!("{list}, {name}")).into()
}

fn caller_headers(
    written: Written<written::CallerHeaders>,
    taken: &mut ReservedHeaders<'_>,
    mistakes: &mut Mistakes,
) -> Box<[(CallerFact, Box<str>)]> {
    let written::CallerHeaders { account, token, product, address } = written.take().unwrap_or_default();
    let facts = [
        (CallerFact::Account, account),
        (CallerFact::Token, token),
        (CallerFact::Product, product),
        (CallerFact::Address, address),
    ];
    let named = facts.into_iter().filter_map(|(fact, header)| match header {
        Written::Here(Parsed(HeaderName(name)), place) => {
            taken.check(&name, &place, mistakes);
            Some((fact, name))
        }
        Written::Missing | Written::Bad => None,
    });
    named.collect()
}

/// Shows what is not written.
pub fn fill_in(shown: &mut Value, product: &Product) {
    formats::fill_in(shown, &product.media);
    deadline::fill_in(section(shown, "deadline"), &product.deadline);
    plans::whole_rates(shown, &product.allowances);
    headers::fill_in(shown, &product.headers);
    if let Some(rule) = &product.idempotency {
        idempotency::fill_in(section(shown, "idempotency"), rule);
    }
    routes::fill_in(shown, &product.routes);
    let of_product = product.routes.iter().find_map(|route| route.body.as_ref());
    if let (Some(rule), Some(body)) = (of_product, shown.get_mut("body")) {
        bodies::fill_in(body, rule);
    }
    fill(shown, "preflight_max_age", duration(Duration::from_secs(product.preflight.max_age_seconds)));
}
