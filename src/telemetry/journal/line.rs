//! The lines of a journal: JSON objects, one for each decision, and two kinds that say how to read them.
//!
//! A file begins with a [`Beginning`]. A [`Rules`] line says what a policy looked at, before the first decision that
//! was made with it. Each other line is a [`Decision`]. `docs/journal.md` describes the members; a reader of this
//! version passes over members that it does not know.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of these lines. It changes when a member changes its meaning.
pub const VERSION: u32 = 1;

/// Whether a member has what it has most often, and is left out.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The first line of a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Beginning {
    /// The version of the lines.
    pub journal: u32,
    /// The program that wrote it.
    pub program: String,
    /// When the file was begun.
    pub begun: String,
    /// What was kept of addresses: all of them, or nothing.
    pub addresses: bool,
    /// A digest by which the key of digests is known; `None`: values were left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What the rules of a policy were, each as a short digest: a rule with the same one decides the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// The version of the policy.
    pub rules_of: String,
    /// Every place where tokens were looked for.
    pub token_places: Vec<String>,
    /// Every header that was looked at, in lower case.
    pub headers: Vec<String>,
    /// The paths that were served.
    pub paths: Vec<String>,
    pub products: BTreeMap<String, ProductRules>,
}

/// Those of a product.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProductRules {
    /// The rules of headers, each by its name in lower case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// How lookups with a key are taken; missing where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<String>,
    /// By method and path.
    pub routes: BTreeMap<String, RouteRules>,
}

/// Those of a route; what is missing is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteRules {
    /// The rules of parameters, each by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// The rule of bodies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// What becomes of the backend's answers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub answers: String,
    /// The prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
}

/// How far a request came: the step that ended it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The bytes were no head that could be judged.
    Head,
    /// A check of the head before its parameters.
    #[default]
    Checks,
    Parameters,
    Headers,
    /// The body did not arrive, or was too large.
    Arrival,
    /// The body broke a rule.
    Body,
    /// The key of the request was used for another one.
    Key,
    Credits,
    /// The backend was asked, or was to be asked.
    Backend,
    /// The request has its answer.
    Answer,
}

impl Step {
    /// All of them in their order.
    pub const ALL: [Step; 10] = [
        Step::Head,
        Step::Checks,
        Step::Parameters,
        Step::Headers,
        Step::Arrival,
        Step::Body,
        Step::Key,
        Step::Credits,
        Step::Backend,
        Step::Answer,
    ];
}

/// A name and what is kept of its value: all of it, a keyed digest, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// HMAC-SHA-256, its first 32 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac: Option<String>,
}

/// A token by its digest, and where it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenToken {
    pub place: String,
    /// SHA-256, as the configuration has it.
    pub sha256: String,
}

/// One decision. What is missing is not known, or is 0, false or empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Decision<'a> {
    /// When it was made, in UTC, to the nanosecond.
    #[serde(borrow)]
    pub time: Cow<'a, str>,
    #[serde(borrow)]
    pub transaction_id: Cow<'a, str>,
    /// The version of the policy.
    #[serde(borrow)]
    pub policy: Cow<'a, str>,
    /// The version of HTTP: 1.0, 1.1 or 2.
    #[serde(borrow)]
    pub http: Cow<'a, str>,
    /// What the listener serves, if not everything: lookups or pages.
    #[serde(borrow, skip_serializing_if = "is_default")]
    pub serves: Cow<'a, str>,
    /// The other end of the connection: an address, or unix.
    #[serde(borrow, skip_serializing_if = "is_default")]
    pub peer: Cow<'a, str>,
    /// The addresses of X-Forwarded-For, the last 16 of them; `?` for one that is no address.
    #[serde(skip_serializing_if = "is_default")]
    pub forwarded_for: Vec<String>,
    #[serde(borrow, skip_serializing_if = "is_default")]
    pub method: Cow<'a, str>,
    /// The host that the request is for.
    #[serde(borrow, skip_serializing_if = "is_default")]
    pub host: Cow<'a, str>,
    /// The path as the configuration has it; `None` for one that it does not have.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub path: Option<Cow<'a, str>>,
    /// The parameters of the path and of the query that have a rule.
    #[serde(skip_serializing_if = "is_default")]
    pub parameters: Vec<Member>,
    /// Parameters of the query without a rule.
    #[serde(skip_serializing_if = "is_default")]
    pub undeclared: u64,
    /// Bytes of the target and of all header lines, and the number of the lines.
    #[serde(skip_serializing_if = "is_default")]
    pub head: (u64, u64, u64),
    /// The headers that the checks look at, in their order.
    #[serde(skip_serializing_if = "is_default")]
    pub headers: Vec<Member>,
    #[serde(skip_serializing_if = "is_default")]
    pub tokens: Vec<SeenToken>,
    /// A header for tokens had several lines.
    #[serde(skip_serializing_if = "is_default")]
    pub token_twice: bool,
    /// The token was signed by an identity provider.
    #[serde(skip_serializing_if = "is_default")]
    pub signed: bool,
    /// Bytes that the head states of its body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_length: Option<u64>,
    /// The body came in chunks.
    #[serde(skip_serializing_if = "is_default")]
    pub chunked: bool,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub account: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub token: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub product: Option<Cow<'a, str>>,
    /// The method and path of the product's route.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub route: Option<Cow<'a, str>>,
    /// The step that ended it.
    pub step: Step,
    /// The status of the answer; 0 without one.
    pub status: u16,
    /// The problem that it was refused with.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Cow<'a, str>>,
    /// Why, in the words of the log.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// The lists that are only watched and would have refused it.
    #[serde(skip_serializing_if = "is_default")]
    pub watched: Vec<String>,
    /// The backend was asked.
    #[serde(skip_serializing_if = "is_default")]
    pub asked: bool,
    /// The status of the backend's answer.
    #[serde(skip_serializing_if = "is_default")]
    pub upstream_status: u16,
    /// Lookups of this route cost the account credits.
    #[serde(skip_serializing_if = "is_default")]
    pub pays: bool,
    /// What it cost, in credits.
    #[serde(skip_serializing_if = "is_default")]
    pub charged: u32,
    /// The whole answer was handed to the connection.
    #[serde(skip_serializing_if = "is_default")]
    pub delivered: bool,
    /// The answer was that of an earlier request with the same key.
    #[serde(skip_serializing_if = "is_default")]
    pub replayed: bool,
    /// Microseconds from the end of the head to the end of the answer.
    pub total_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_us: Option<u64>,
    pub own_us: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub bytes_in: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub bytes_out: u64,
}

/// Any line.
#[derive(Clone, Debug, PartialEq)]
pub enum Line<'a> {
    Beginning(Beginning),
    Rules(Box<Rules>),
    Decision(Box<Decision<'a>>),
}

impl<'a> Line<'a> {
    /// Whether a line is a decision's, by its first member.
    pub fn is_decision(text: &str) -> bool {
        text.starts_with("{\"time\":\"")
    }

    /// Reads a line.
    ///
    /// # Errors
    /// That it is none of this version, in words.
    pub fn read(text: &'a str) -> Result<Line<'a>, String> {
        let broken = |error: serde_json::Error| error.to_string();
        if Line::is_decision(text) {
            return serde_json::from_str(text).map(|decision| Line::Decision(Box::new(decision))).map_err(broken);
        }
        if text.starts_with("{\"journal\"") {
            let beginning: Beginning = serde_json::from_str(text).map_err(broken)?;
            if beginning.journal != VERSION {
                return Err(format!(
                    "is of version {} of the journal; this program reads {VERSION}",
                    beginning.journal
                ));
            }
            return Ok(Line::Beginning(beginning));
        }
        if text.starts_with("{\"rules_of\"") {
            return serde_json::from_str(text).map(|rules| Line::Rules(Box::new(rules))).map_err(broken);
        }
        Err("is no line of a journal".to_owned())
    }

    /// Appends the line, with its end.
    ///
    /// # Errors
    /// Those of the writer of JSON, which no line causes.
    pub fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        match self {
            Line::Beginning(beginning) => serde_json::to_writer(&mut *out, beginning)?,
            Line::Rules(rules) => serde_json::to_writer(&mut *out, rules)?,
            Line::Decision(decision) => serde_json::to_writer(&mut *out, decision)?,
        }
        out.push(b'\n');
        Ok(())
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
