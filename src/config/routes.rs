//! `routes` of a product: methods and paths with their parameters, and what is different for a single one.

use std::sync::Arc;

use serde_json::Value;

use super::bodies::{body_rule, schema};
use super::common::listed;
use super::credits::{Priced, PricesByStatus, tariff};
use super::problems::Rows;
use super::product_context::ProductContext;
use super::units::{HostName, Parsed, Texts};
use super::{answers, bodies, parameters};
use crate::config::yaml::{Listed, Mistakes, Place, Written};
use crate::platform::pace;
use crate::policy::answers::Answers;
use crate::policy::check::body::{BodyRule, Schema};
use crate::policy::check::parameter::{ParameterRule, Undeclared};
use crate::policy::paths::{Endpoint, NotAdded, Paths};
use crate::policy::problem::messages::Names;
use crate::policy::route::rewrite::{Part, Rewrite};
use crate::policy::route::{Route, Template, parameter_name};
use crate::policy::tariff::Tariff;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::answers::written::Answer;
    use crate::config::bodies::written::Body;
    use crate::config::credits::written::Credits;
    use crate::config::parameters::written::{Parameter, Undeclared};
    use crate::config::units::{FromText, Parsed, RouteText, Text};
    use crate::config::yaml::{Entries, Place, TEXT_OR_KEYS, Written};

    /// A route as a mapping: what is not written is as the product has it.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["route"]))]
    pub struct Route {
        /// A method and a path, whose segments may be parameters: GET /v1/vat/{number}.
        pub route: Text<RouteText>,
        /// The rules for parameters of the path, by their names. Default: any text of at most 256 bytes.
        pub parameters: Entries<Parameter>,
        /// The rules for parameters of the query, by their names. Default: none.
        pub query: Entries<Parameter>,
        /// What becomes of parameters of the query that have no rule. Default: as the product says.
        pub undeclared_query: Written<Undeclared>,
        /// The path and query that the backend gets, with parameters as {name}: /check?id={number}. Parameters of the
        /// query that it does not name follow. Default: the client's own path and query.
        pub rewrite: Written<String>,
        /// The rules for the body. Default: those of the product for POST, PUT and PATCH, else no body.
        pub body: Written<Body>,
        /// false: requests of this route have no body, although the product has one. Default: true.
        pub takes_body: Written<bool>,
        /// What becomes of the backend's answers by their statuses, in place of what the product says of these. Default: as
        /// the product says.
        pub answers: Entries<Answer>,
        /// A JSON Schema of answers, for the reference and OpenAPI. Default: that of the product.
        #[schemars(extend("type" = ["string", "object", "boolean"]))]
        pub answer_schema: Written<serde_json::Value>,
        /// The price of lookups. Default: that of the product.
        pub credits: Written<Credits>,
    }

    /// A route: a method and a path alone, or a mapping.
    #[derive(Debug, Default)]
    pub struct AnyRoute(pub Route);

    impl<'de> Deserialize<'de> for AnyRoute {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            /// The keys of a mapping.
            const KEYS: [&str; 10] = [
                "route",
                "parameters",
                "query",
                "undeclared_query",
                "rewrite",
                "body",
                "takes_body",
                "answers",
                "answer_schema",
                "credits",
            ];
            /// Reads either form.
            struct RouteVisitor;
            impl<'de> serde::de::Visitor<'de> for RouteVisitor {
                type Value = AnyRoute;

                fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    formatter.write_str("a method and a path, or a mapping")
                }

                fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<AnyRoute, E> {
                    let route = RouteText::from_text(text).map_err(E::custom)?;
                    let route = Written::Here(Parsed(route), Place::default());
                    Ok(AnyRoute(Route { route, ..Route::default() }))
                }

                fn visit_map<A: serde::de::MapAccess<'de>>(self, access: A) -> Result<AnyRoute, A::Error> {
                    Route::deserialize(serde::de::value::MapAccessDeserializer::new(access)).map(AnyRoute)
                }
            }
            deserializer.deserialize_struct(TEXT_OR_KEYS, &KEYS, RouteVisitor)
        }
    }
}

/// What routes have from their product, if they do not say otherwise.
pub struct OfProduct {
    pub index: u8,
    pub body: Option<BodyRule>,
    pub answers: Arc<Answers>,
    pub answer_schema: Option<Arc<Value>>,
    pub undeclared: Undeclared,
    /// The hosts that the routes are for; none is all.
    pub hosts: Vec<Box<str>>,
    /// The prices of answers by the backend's status.
    pub prices: PricesByStatus,
}

/// A route before its product's prices are known.
struct Draft {
    place: Place,
    route: Route,
    /// Whether it has prices of its own.
    is_priced: bool,
}

/// Compiles the routes of one product.
pub struct RoutesCompiler<'a, 'c> {
    of_product: &'a OfProduct,
    around: &'a ProductContext<'c>,
    rows: &'a mut Rows,
    paths: &'a mut Paths,
    mistakes: &'a mut Mistakes,
    /// The names of the product's own body, which most routes share.
    names: Option<Names>,
}

impl<'a, 'c> RoutesCompiler<'a, 'c> {
    /// Nothing yet.
    pub fn new(
        of_product: &'a OfProduct,
        around: &'a ProductContext<'c>,
        rows: &'a mut Rows,
        paths: &'a mut Paths,
        mistakes: &'a mut Mistakes,
    ) -> RoutesCompiler<'a, 'c> {
        RoutesCompiler { of_product, around, rows, paths, mistakes, names: None }
    }

    /// The routes, which are added to the paths, and their methods, for preflights.
    pub fn compile(
        &mut self,
        routes: Written<Listed<written::AnyRoute>>,
        credits: Written<super::credits::written::Credits>,
        parent: &Place,
    ) -> (Box<[Route]>, String) {
        let wanted = "write at least one, as in [POST /v1/lookup]";
        let routes = listed(routes, parent, "routes", wanted, self.mistakes);
        let mut drafts: Vec<Draft> = Vec::new();
        for (written::AnyRoute(route), place) in routes {
            pace::step();
            drafts.extend(self.draft(route, place, drafts.len()));
        }
        price(credits, &self.of_product.prices, &mut drafts, self.mistakes);
        let mut methods: Vec<Box<str>> = Vec::new();
        for Draft { route, place, .. } in &drafts {
            self.add(route, place);
            if !methods.contains(&route.method) {
                methods.push(route.method.clone());
            }
        }
        (drafts.into_iter().map(|draft| draft.route).collect(), methods.join(", "))
    }

    fn draft(&mut self, route: written::Route, place: Place, number: usize) -> Option<Draft> {
        let wanted = "write one, as in GET /v1/vat/{number}";
        let Parsed(text) = route.route.require(&place, "route", wanted, self.mistakes)?;
        let Ok(index) = u16::try_from(number) else {
            self.mistakes.push(place, "is one route too many for a product");
            return None;
        };
        let path = Template::new(&text.path);
        let mut parameters: Box<[ParameterRule]> =
            parameters::compile(&path, route.parameters, route.query, &place, self.rows, self.mistakes).into();
        if parameters.len() < path.parameters() {
            // A rule has a mistake, which is reported already.
            return None;
        }
        let rewrite = rewrite(route.rewrite, &mut parameters, self.mistakes);
        let has_own_body = !route.body.is_missing();
        let body = self.body(route.body, route.takes_body, &text.method);
        let answer_schema = schema(route.answer_schema, self.around.source, self.mistakes);
        let answer_schema = answer_schema.map(|read| Arc::new(read.schema));
        let is_priced = !route.credits.is_missing();
        let of_product = (&self.of_product.answers, &self.of_product.prices);
        let (answers, prices) = answers::of_route(route.answers, of_product, is_priced, self.rows, self.mistakes);
        let names = self.names(&body, has_own_body, &parameters);
        let mut compiled = Route {
            index,
            method: text.method,
            path,
            parameters,
            undeclared: route.undeclared_query.take().map_or(self.of_product.undeclared, Into::into),
            rewrite,
            body,
            tariff: None,
            answers,
            answer_schema: answer_schema.or_else(|| self.of_product.answer_schema.clone()),
            names,
        };
        let priced = Priced::of(std::iter::once(&compiled));
        compiled.tariff = tariff(route.credits, &prices, &priced, self.mistakes).map(Arc::new);
        Some(Draft { place, route: compiled, is_priced })
    }

    fn names(&mut self, body: &Option<BodyRule>, is_own: bool, parameters: &[ParameterRule]) -> Names {
        let names = match body {
            Some(rule) if !is_own => self.names.get_or_insert_with(|| names_of(Some(rule))).clone(),
            body => names_of(body.as_ref()),
        };
        match parameters {
            [] => names,
            rules => names.with_parameters(rules.iter().map(|rule| (rule.name.to_string(), rule.words()))),
        }
    }

    /// The rules for a route's body: its own, or those of its product if its method has a body.
    fn body(
        &mut self,
        own: Written<bodies::written::Body>,
        takes_body: Written<bool>,
        method: &str,
    ) -> Option<BodyRule> {
        let refuses = takes_body.get() == Some(&false);
        if let Written::Here(_, place) = &own {
            if method == "GET" {
                let what = "is for a method that has no body (RFC 9110, section 9.3.1); use POST";
                self.mistakes.push(place.clone(), what);
            }
            if refuses {
                self.mistakes.push(place.clone(), "contradicts `takes_body: false`; remove one of them");
            }
            return own.take().map(|body| body_rule(body, self.around, self.rows, self.mistakes));
        }
        if let Written::Here(true, place) = &takes_body
            && self.of_product.body.is_none()
        {
            self.mistakes.push(place.clone(), "has no effect without `body`; write its rules, or remove it");
        }
        let has_content = matches!(method, "POST" | "PUT" | "PATCH");
        self.of_product.body.clone().filter(|_| !refuses && has_content)
    }

    /// Adds a route to the paths of its hosts.
    fn add(&mut self, route: &Route, place: &Place) {
        if self.around.site.is_some_and(|site| site.reserves(&route.path.text)) {
            let what = "is a path of the gateway's own pages; give the route another path, move the pages with `pages.path`, or set pages: { serve: false }";
            self.mistakes.push(place.clone(), what);
            return;
        }
        let endpoint = Endpoint::Lookup { product: self.of_product.index, route: route.index };
        let hosts: Vec<Option<&str>> = match self.of_product.hosts.as_slice() {
            [] => vec![None],
            hosts => hosts.iter().map(|host| Some(&**host)).collect(),
        };
        let mut added = hosts.iter().map(|host| self.paths.insert(*host, &route.method, &route.path.text, endpoint));
        let what = match added.find_map(Result::err) {
            None => return,
            Some(NotAdded::Taken) => "is routed already; give each method and path to one product, once".to_owned(),
            Some(NotAdded::OtherNames(known)) => {
                format!("has the same path as {known} with other names of parameters; use the same names")
            }
            Some(NotAdded::Full) => "is one path too many; a configuration can have 65535".to_owned(),
        };
        drop(added);
        self.mistakes.push(place.clone(), what);
    }
}

/// Gives the product's prices to the routes that have none of their own.
fn price(
    credits: Written<super::credits::written::Credits>,
    prices: &PricesByStatus,
    drafts: &mut [Draft],
    mistakes: &mut Mistakes,
) {
    let place = credits.place().cloned();
    if let (None, Some((_, _, place))) = (&place, prices.first())
        && !drafts.iter().any(|draft| draft.is_priced)
    {
        mistakes
            .push(place.clone(), "has no effect without `credits`, whose `hold` says what is held for it; add them");
    }
    let priced = Priced::of(drafts.iter().filter(|draft| !draft.is_priced).map(|draft| &draft.route));
    let tariff: Option<Arc<Tariff>> = tariff(credits, prices, &priced, mistakes).map(Arc::new);
    if let (Some(place), true) = (place, !drafts.is_empty() && drafts.iter().all(|draft| draft.is_priced)) {
        mistakes.push(place, "has no effect, since each route has `credits` of its own; remove it here or there");
    }
    for draft in drafts.iter_mut().filter(|draft| !draft.is_priced) {
        draft.route.tariff.clone_from(&tariff);
    }
}

/// The names that details of a body's refusals have.
fn names_of(body: Option<&BodyRule>) -> Names {
    let Some(rule) = body else { return Names::default() };
    let schema = rule.schema.as_deref();
    let fields = schema.into_iter().flat_map(Schema::field_names);
    let rules = schema.into_iter().flat_map(Schema::rule_words).map(str::to_owned);
    Names::of_body(rule.max_bytes, fields, rules)
}

/// Compiles the path and query for the backend. A parameter that becomes a segment of a path may hold no slash.
fn rewrite(written: Written<String>, parameters: &mut [ParameterRule], mistakes: &mut Mistakes) -> Option<Rewrite> {
    let Written::Here(text, place) = written else { return None };
    let (target, query) = text.split_once('?').unwrap_or((&text, ""));
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !b"#*{}".contains(&byte));
    let mut part = |text: &str, in_path: bool| -> Result<Part, String> {
        let Some(name) = parameter_name(text) else {
            return match is_plain(text) {
                true => Ok(Part::Literal(text.into())),
                false => Err("is not a path and query for a backend; write one as in /check/{number}?country={country}, with a parameter as a whole segment or value".to_owned()),
            };
        };
        let index = parameters.iter().position(|rule| *rule.name == *name);
        let index = index.ok_or_else(|| {
            format!("names the parameter {name}, which the route does not have; add it to the path or to `query`")
        })?;
        if let Some(rule) = parameters.get_mut(index).filter(|_| in_path) {
            if !rule.is_required || rule.may_repeat {
                return Err(format!(
                    "has {name} as a segment of its path, so it must be sent once; write required: true, without `repeat`, for it"
                ));
            }
            rule.is_segment = true;
        }
        Ok(Part::Parameter(index))
    };
    let segments = target.split('/').skip(1).map(|text| part(text, true)).collect::<Result<Box<[_]>, _>>();
    let members = query.split('&').filter(|member| !member.is_empty());
    let members = members.map(|member| {
        let (name, value) = member.split_once('=').unwrap_or((member, ""));
        Ok((name.into(), part(value, false)?))
    });
    let members = members.collect::<Result<Box<[_]>, String>>();
    let is_path = target.starts_with('/') && crate::policy::http::head::check_path(target).is_ok();
    match (segments, members) {
        (Ok(segments), Ok(query)) if is_path => Some(Rewrite { segments, query }),
        (Err(what), _) | (_, Err(what)) => {
            mistakes.push(place, what);
            None
        }
        (Ok(_), Ok(_)) => {
            mistakes.push(place, "is not a path that a backend can be asked for; write one as in /check/{number}");
            None
        }
    }
}

/// The hosts of a product, in lower case.
pub fn hosts(hosts: Texts<HostName>, parent: &Place, mistakes: &mut Mistakes) -> Vec<Box<str>> {
    if hosts.is_missing() {
        return Vec::new();
    }
    let hosts = listed(hosts, parent, "hosts", "write names without a port, as in [vat.example.com]", mistakes);
    let mut kept: Vec<Box<str>> = Vec::new();
    for (Parsed(HostName(host)), place) in hosts {
        if kept.contains(&host) {
            mistakes.push(place, "is listed already; remove it");
        } else {
            kept.push(host);
        }
    }
    kept
}

/// Shows what is not written.
pub fn fill_in(shown: &mut Value, routes: &[Route]) {
    let shown = shown.get_mut("routes").and_then(Value::as_array_mut).into_iter().flatten();
    for (shown, route) in shown.zip(routes).filter(|(shown, _)| shown.is_object()) {
        parameters::fill_in(shown, &route.parameters);
        if let (Some(rule), Some(body)) = (&route.body, shown.get_mut("body")) {
            bodies::fill_in(body, rule);
        }
    }
}
