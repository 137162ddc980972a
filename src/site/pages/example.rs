//! Example requests: a valid one for each product, the same with one thing wrong, and both as a
//! curl command.
//!
//! Whether a body really breaks the intended rule is verified with the check that clients' bodies
//! go through.

mod breach;
mod curl;
pub mod request;

use request::{Body, Example};
use serde_json::{Map, Value};

use crate::policy::check::token::{Carried, TokenPlace};
use crate::policy::http::head::{Field, Lines, Version};
use crate::policy::problem::guide::entry::{Change, Holder, Provoke};
use crate::policy::problem::{Hint, Problem, Row};
use crate::policy::route::Route;
use crate::policy::{Limits, Product};

/// The tokens that examples use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// The demo's tokens, which are public.
    Demo,
    /// A shell variable, with a remark about the token it stands for.
    Named,
}

/// The most routes of a product that are tried for an example of a refusal.
const MAX_ROUTES_TRIED: usize = 8;

/// The `Retry-After` of example answers, in seconds.
const RETRY_AFTER_SECONDS: u32 = 5;

/// A language that each of several requests has of its own, in a shell.
const NUMBERED_LANGUAGE: &str = "x-$n";

/// A key of a request, for examples.
pub const EXAMPLE_KEY: &str = "c2f1a7e4-5d0b-4f6e-9a53-7b1d2e8f9c60";

/// The deadline of the example for deadline-exceeded, in seconds, if the product accepts it.
const SHORT_DEADLINE_SECONDS: u64 = 2;

impl Example {
    /// A request that a route of a product accepts.
    pub fn good(product: &Product, route: &Route, tokens: Tokens) -> Example {
        let mut example = Example {
            method: route.method.clone(),
            path: route.example_target().into(),
            headers: Vec::new(),
            body: Body::Nothing,
            times: 1,
            remark: None,
            hint: Hint::None,
        };
        example.set_token(product, Holder::Good, tokens);
        if let Some(rule) = &route.body {
            let kind = product.media.taken.first().map_or("application/json", |kind| kind.name());
            example.headers.push(("Content-Type".to_owned(), kind.to_owned()));
            let body =
                rule.schema.as_ref().map_or_else(|| Value::Object(Map::new()), |schema| sample(schema.document()));
            example.body = Body::Text(body.to_string());
        }
        example
    }

    /// A request that is refused with a row, if that can happen for the product, and its route.
    pub fn provoking<'p>(
        product: &'p Product,
        row: Row,
        limits: &Limits,
        tokens: Tokens,
    ) -> Option<(Example, &'p Route)> {
        let routes = product.routes.iter().take(MAX_ROUTES_TRIED);
        routes.into_iter().find_map(|route| Some((Example::refused((product, route), row, limits, tokens)?, route)))
    }

    fn refused((product, route): (&Product, &Route), row: Row, limits: &Limits, tokens: Tokens) -> Option<Example> {
        let mut example = Example::good(product, route, tokens);
        match row.guide().provoke {
            Provoke::By(changes) => {
                for change in changes {
                    example.change(*change, limits, (product, route), tokens)?;
                }
            }
            Provoke::Often(holder) => {
                example.set_token(product, holder, tokens);
                let spent = holder == Holder::Spent;
                if spent {
                    route.tariff.as_ref()?;
                }
                // The demo's tokens for it have two requests a minute, two a day, and five credits.
                example.times = match tokens {
                    Tokens::Demo if spent => 6,
                    Tokens::Demo => 3,
                    Tokens::Named => 1,
                };
            }
            Provoke::KeyReused => {
                let rule = product.idempotency.as_ref()?;
                example.headers.push((rule.header.to_string(), EXAMPLE_KEY.to_owned()));
                example.headers.push(("Accept-Language".to_owned(), NUMBERED_LANGUAGE.to_owned()));
                example.times = 2;
                example.remark = Some("The second request has the key of the first, and asks for another language.");
            }
            Provoke::While(remark) => example.remark = Some(remark),
            Provoke::Demo(reference) => example.fail_in_the_demo(product, reference, tokens)?,
            Provoke::BreakingRule => breach::of(&mut example, product, route, row)?,
            Provoke::Never => return None,
        }
        example.hint = match (row, example.hint) {
            (
                Row::RateExceeded
                | Row::QuotaExceeded
                | Row::ConcurrencyExceeded
                | Row::Overloaded
                | Row::CreditsUnavailable
                | Row::UpstreamUnavailable,
                _,
            ) => Hint::RetryAfter(RETRY_AFTER_SECONDS),
            (_, hint) => hint,
        };
        Some(example)
    }

    fn change(
        &mut self,
        change: Change,
        limits: &Limits,
        (product, route): (&Product, &Route),
        tokens: Tokens,
    ) -> Option<()> {
        match change {
            Change::Target(target) => self.path = target.into(),
            Change::Token(holder) => self.set_token(product, holder, tokens),
            Change::WithoutToken => self.remove_token(product),
            Change::TokenTwice => {
                let token = self.headers.iter().find(|(name, _)| is_token(product, name))?.clone();
                self.headers.insert(0, token);
            }
            Change::Header(name, value) => self.headers.push((name.to_owned(), value.to_owned())),
            Change::DeadlineTooLong => {
                let name = product.deadline.header.as_ref()?;
                let seconds = product.deadline.max_seconds.saturating_add(1);
                self.headers.push((name.to_string(), seconds.to_string()));
            }
            Change::ContentType(kind) => {
                route.body.as_ref()?;
                self.headers.retain(|(name, _)| name != "Content-Type");
                self.headers.push(("Content-Type".to_owned(), kind.to_owned()));
            }
            Change::Body(text) => {
                // The hint in the answer: where the body stops being a JSON document.
                let refusal = route.body.as_ref()?.judge(text.as_bytes()).err();
                self.hint = refusal.map_or(Hint::None, |problem| problem.hint);
                self.body = Body::Text(text.to_owned());
            }
            Change::BodyTooLarge => self.body = Body::Spaces(route.body.as_ref()?.max_bytes.saturating_add(1)),
            Change::BodyNeverSent => {
                route.body.as_ref()?;
                self.body = Body::NeverSent(limits.body_timeout.as_secs().saturating_add(2));
                self.remark = Some("The body is never sent; the response arrives after some seconds.");
            }
        }
        Some(())
    }

    /// Only the demo's backend fails on request: the reference says how.
    fn fail_in_the_demo(&mut self, product: &Product, reference: &str, tokens: Tokens) -> Option<()> {
        if tokens == Tokens::Named {
            return None;
        }
        let echoed = product.headers.iter().find(|rule| rule.echo)?;
        self.headers.push((echoed.name.to_string(), reference.to_owned()));
        if let (Some(name), true) = (&product.deadline.header, reference.ends_with("slow")) {
            let seconds = SHORT_DEADLINE_SECONDS.max(product.deadline.min_seconds);
            self.headers.push((name.to_string(), seconds.to_string()));
        }
        Some(())
    }

    fn set_token(&mut self, product: &Product, holder: Holder, tokens: Tokens) {
        self.remove_token(product);
        let Some(place) = product.token_places.first() else { return };
        let (token, remark) = match tokens {
            Tokens::Demo => (demo_token(holder), None),
            Tokens::Named => named_token(holder),
        };
        match (place, place.example(token)) {
            // A shell cannot put a variable into Base64; curl can.
            (TokenPlace::Basic(_), Carried::Header(..)) if token == VARIABLE => {
                self.headers.insert(0, ("Authorization".to_owned(), format!("Basic {token}")));
            }
            (_, Carried::Header(name, value)) => self.headers.insert(0, (name.to_owned(), value)),
            (_, Carried::Query(member)) => {
                let member = if token == VARIABLE { member.replace("%24", "$") } else { member };
                let separator = if self.path.contains('?') { '&' } else { '?' };
                self.path = format!("{}{separator}{member}", self.path).into();
            }
        }
        self.remark = remark;
    }

    fn remove_token(&mut self, product: &Product) {
        self.headers.retain(|(name, _)| !is_token(product, name));
        let Some((path, query)) = self.path.split_once('?') else { return };
        let kept: Vec<&str> = query
            .split('&')
            .filter(|member| {
                let name = member.split('=').next().unwrap_or_default();
                !product.token_parameters.iter().any(|known| **known == *name)
            })
            .collect();
        let separator = if kept.is_empty() { "" } else { "?" };
        self.path = format!("{path}{separator}{}", kept.join("&")).into();
    }

    /// The body as JSON, if it is JSON.
    pub fn json(&self) -> Option<Value> {
        match &self.body {
            Body::Text(text) => serde_json::from_str(text).ok(),
            Body::Nothing | Body::Spaces(_) | Body::NeverSent(_) => None,
        }
    }

    /// The head of the request, as the gateway reads it.
    pub fn with_lines<T>(&self, read: impl FnOnce(&Lines<'_>) -> T) -> T {
        let fields: Vec<Field<'_>> =
            self.headers.iter().map(|(name, value)| Field { name, value: value.as_bytes() }).collect();
        read(&Lines {
            method: &self.method,
            target: &self.path,
            version: Version::Http11,
            authority: None,
            fields: &fields,
        })
    }
}

fn is_token(product: &Product, name: &str) -> bool {
    let mut headers = product.token_places.iter().filter_map(TokenPlace::header);
    headers.any(|known| known.eq_ignore_ascii_case(name))
}

fn demo_token(holder: Holder) -> &'static str {
    match holder {
        Holder::Good => "demo-live",
        Holder::Nobody => "no-such-token",
        Holder::Disabled => "demo-disabled",
        Holder::Expired => "demo-expired",
        Holder::OtherProduct => "demo-other-product",
        Holder::OtherNetwork => "demo-ip",
        Holder::OtherDomain => "demo-domain",
        Holder::Throttled => "demo-throttled",
        Holder::OutOfQuota => "demo-quota",
        Holder::Spent => "demo-metered",
    }
}

const VARIABLE: &str = "$TOKEN";

fn named_token(holder: Holder) -> (&'static str, Option<&'static str>) {
    match holder {
        Holder::Good => (VARIABLE, None),
        Holder::Nobody => ("no-such-token", None),
        Holder::Disabled => (VARIABLE, Some("TOKEN is a disabled token.")),
        Holder::Expired => (VARIABLE, Some("TOKEN is an expired token.")),
        Holder::OtherProduct => (VARIABLE, Some("TOKEN is a token for another product.")),
        Holder::OtherNetwork => {
            (VARIABLE, Some("TOKEN is a token with a list of IP addresses that does not contain yours."))
        }
        Holder::OtherDomain => (VARIABLE, Some("TOKEN is a token with a list of web domains.")),
        Holder::Throttled => (VARIABLE, Some("Send it more often than your rate limit allows.")),
        Holder::OutOfQuota => (VARIABLE, Some("TOKEN is a token whose quota is used up.")),
        Holder::Spent => (VARIABLE, Some("TOKEN is a token of an account without credits.")),
    }
}

/// The most references, and levels of members, that a sample follows.
const MAX_SAMPLE_DEPTH: usize = 8;

/// A body that a schema is likely to accept: every required member, with the schema's own example
/// if it has one.
fn sample(schema: &Value) -> Value {
    match sample_of(schema, schema, 0) {
        Value::String(_) => Value::Object(Map::new()),
        other => other,
    }
}

fn sample_of(schema: &Value, root: &Value, depth: usize) -> Value {
    if let Some(example) = first_example(schema) {
        return example;
    }
    if depth >= MAX_SAMPLE_DEPTH {
        return plain_value(schema);
    }
    let deeper = depth.saturating_add(1);
    let referred = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
    if let Some(target) = referred.and_then(|pointer| root.pointer(pointer)) {
        return sample_of(target, root, deeper);
    }
    let first = |keyword: &str| schema.get(keyword).and_then(Value::as_array).and_then(|values| values.first());
    if let Some(value) = schema.get("const").or_else(|| first("enum")) {
        return value.clone();
    }
    if let Some(branch) = first("anyOf").or_else(|| first("oneOf")).filter(|_| schema.get("type").is_none()) {
        return sample_of(branch, root, deeper);
    }
    let of_all = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
    let mut members = Map::new();
    for part in of_all {
        if let Value::Object(more) = sample_of(part, root, deeper) {
            members.extend(more);
        }
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for name in required {
        let property = schema.get("properties").and_then(|properties| properties.get(name)).unwrap_or(&Value::Null);
        members.insert(name.to_owned(), sample_of(property, root, deeper));
    }
    match plain_value(schema) {
        Value::Array(_) if schema.get("minItems").and_then(Value::as_u64).is_some_and(|least| least > 0) => {
            let item = schema.get("items").unwrap_or(&Value::Null);
            Value::Array(vec![sample_of(item, root, deeper)])
        }
        Value::Object(_) => Value::Object(members),
        // Without a type, required members say that it is an object.
        Value::String(_) if !members.is_empty() => Value::Object(members),
        plain => plain,
    }
}

fn first_example(schema: &Value) -> Option<Value> {
    schema.get("examples").and_then(Value::as_array).and_then(|examples| examples.first()).cloned()
}

/// A value of a schema's type.
fn plain_value(schema: &Value) -> Value {
    let kind = schema.get("type").and_then(|kind| match kind {
        Value::String(kind) => Some(kind.as_str()),
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    });
    match kind {
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| 1.into()),
        Some("boolean") => true.into(),
        Some("array") => Value::Array(Vec::new()),
        Some("object") => Value::Object(Map::new()),
        Some(_) | None => "example".into(),
    }
}

/// The problem from which the answer of an example is made.
pub fn problem(example: &Example, row: Row) -> Problem {
    Problem::new(row, "an example of a page").with(example.hint)
}
