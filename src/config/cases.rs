//! `tests`: requests and what must come of them, which are run before a configuration comes into force.
//!
//! Only what is written is checked here. What comes of a request is `operate/cases.rs`.

mod shown;
pub mod written;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::bounds::{MAX_TEST_HEADERS, MAX_TESTS};
use super::common::{check_name, known, listed};
use super::units::{Arrival, BackendUse, HeaderText, Method, Parsed, Target, Text};
use crate::config::yaml::{Entries, Listed, Mistakes, Place, Written};
use crate::policy::credits::balance::MAX_CREDITS;
use crate::policy::http::head::{Peer, Version};
use crate::policy::http::media::is_token;
use crate::upstream::made_up::MadeUp;
pub use shown::{fill_in, is_secret};

/// The most bytes of all their headers and bodies together.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The slug that says that no problem is expected.
pub const NO_PROBLEM: &str = "none";

/// A test without mistakes. Its `Debug` shows nothing of its request, which can have a token.
pub struct TestCase {
    pub name: Box<str>,
    /// Where it is written.
    pub place: Place,
    pub request: Request,
    /// The credits of the account before the request, if they are stated.
    pub credits: Option<u64>,
    pub answer: Option<MadeUp>,
    pub expected: Expected,
}

impl fmt::Debug for TestCase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TestCase({})", self.name)
    }
}

/// The request of a test.
#[derive(Clone)]
pub struct Request {
    pub version: Version,
    pub peer: Peer,
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// In seconds since 1970; `None`: when the tests run.
    pub at: Option<u64>,
    pub bearer: Option<Bearer>,
}

/// Whose token a request has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    pub account: String,
    pub token: String,
}

/// What is expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub status: Option<u16>,
    pub problem: Option<String>,
    pub price: Option<u32>,
    pub held: Option<u32>,
    pub headers: Vec<(String, String)>,
    pub absent_headers: Vec<String>,
    pub upstream: Option<BackendUse>,
}

/// Compiles all tests.
pub fn compile(tests: Written<Listed<written::Test>>, root: &Place, mistakes: &mut Mistakes) -> Box<[TestCase]> {
    if tests.is_missing() {
        return Box::default();
    }
    let written = listed(tests, root, "tests", "write at least one, or remove the key", mistakes);
    let (mut names, mut cases, mut bytes) = (BTreeSet::new(), Vec::new(), 0_usize);
    for (test, place) in written {
        if cases.len() == MAX_TESTS {
            mistakes.push(place, format!("is one test too many; write at most {MAX_TESTS}"));
            break;
        }
        let name_place = test.name.place().cloned();
        let Some(case) = case(test, place, mistakes) else { continue };
        if let Some(place) = name_place.filter(|_| !names.insert(case.name.clone())) {
            mistakes.push(place, "is the name of a test before it; choose another");
        }
        let of_headers = case.request.headers.iter().map(|(name, value)| name.len().saturating_add(value.len()));
        let of_answer = match &case.answer {
            Some(MadeUp::Answered(bytes)) => bytes.len(),
            Some(MadeUp::Unreachable) | None => 0,
        };
        let of_case = of_headers.sum::<usize>().saturating_add(case.request.body.len()).saturating_add(of_answer);
        bytes = bytes.saturating_add(of_case);
        if bytes > MAX_BYTES {
            let most = MAX_BYTES / (1024 * 1024);
            let what = format!("has more than the {most} MiB that all tests may have together; write smaller bodies");
            mistakes.push(case.place, what);
            break;
        }
        cases.push(case);
    }
    cases.into()
}

fn case(test: written::Test, place: Place, mistakes: &mut Mistakes) -> Option<TestCase> {
    let written::Test { name, request, credits, answer, expect } = test;
    let name_place = name.place().cloned().unwrap_or_else(|| place.key("name"));
    let name = name.require(&place, "name", "write one that says what is tested", mistakes);
    name.iter().for_each(|name| check_name(name, &name_place, mistakes));
    let request_place = request.place().cloned().unwrap_or_else(|| place.key("request"));
    let request = request.require(&place, "request", "write the request, as in { path: /v1/lookup }", mistakes);
    let request = request.map(|request| compile_request(request, &request_place, mistakes));
    if let Written::Here(more, place) = &credits
        && *more > MAX_CREDITS
    {
        mistakes.push(place.clone(), format!("is out of range; write a number from 0 to {MAX_CREDITS}"));
    }
    let answer = compile_answer(answer, mistakes);
    let expect_place = expect.place().cloned().unwrap_or_else(|| place.key("expect"));
    let expect = expect.require(&place, "expect", EXPECT_WANTED, mistakes)?;
    let expected = compile_expected(expect, &expect_place, mistakes);
    let (name, request) = (name?.into(), request??);
    Some(TestCase { name, place, request, credits: credits.take(), answer, expected })
}

/// What to write where nothing is expected.
const EXPECT_WANTED: &str = "write what must come of it, as in { problem: token-unknown }";

fn compile_request(request: written::Request, place: &Place, mistakes: &mut Mistakes) -> Option<Request> {
    let written::Request { method, path, headers, body, account, token, from, http2, at } = request;
    let path = path.require(place, "path", "write a path, as in /v1/lookup", mistakes);
    let headers = compile_headers(headers, mistakes);
    let body = body.take().map(bytes_of);
    let wanted = match (&account, &token) {
        (Written::Here(..), Written::Missing) => Some(("token", "write the name of one of the account's tokens")),
        (Written::Missing, Written::Here(..)) => Some(("account", "write the name of the token's account")),
        (Written::Here(..) | Written::Missing | Written::Bad, _) => None,
    };
    wanted.into_iter().for_each(|(key, what)| mistakes.push(place.key(key), format!("is missing; {what}")));
    let bearer = account.take().zip(token.take()).map(|(account, token)| Bearer { account, token });
    let default_method = if body.is_some() { "POST" } else { "GET" };
    Some(Request {
        version: if http2.take().unwrap_or(false) { Version::Http2 } else { Version::Http11 },
        peer: from.take().map_or(DEFAULT_PEER, |Parsed(peer)| peer),
        method: method.take().map_or_else(|| default_method.to_owned(), |Parsed(Method(method))| method.into()),
        target: path.map(|Parsed(Target(path))| path.into())?,
        headers,
        body: body.unwrap_or_default(),
        at: at.take().map(|Parsed(Arrival(at))| at),
        bearer,
    })
}

/// Where requests come from, unless a test says otherwise.
pub const DEFAULT_PEER: Peer = Peer::Address(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

fn compile_answer(answer: Written<written::MadeUpAnswer>, mistakes: &mut Mistakes) -> Option<MadeUp> {
    let written::MadeUpAnswer { status, headers, body, unreachable } = answer.take()?;
    if unreachable.take() == Some(true) {
        let others = [status.place(), body.place(), headers.0.first().map(|(_, place, _)| place)];
        for place in others.into_iter().flatten() {
            mistakes.push(place.clone(), "has no effect with `unreachable`; remove one of them");
        }
        return Some(MadeUp::Unreachable);
    }
    if let Written::Here(status, place) = &status
        && !(200..=599).contains(status)
    {
        mistakes.push(place.clone(), "is not the status of an answer; write one from 200 to 599");
    }
    let body = body.take().map(bytes_of).unwrap_or_default();
    Some(MadeUp::answer(status.take().unwrap_or(200), &compile_headers(headers, mistakes), &body))
}

fn compile_expected(expect: written::Expect, place: &Place, mistakes: &mut Mistakes) -> Expected {
    let written::Expect { status, problem, price, held, headers, absent_headers, upstream } = expect;
    let is_nothing = [status.is_missing(), problem.is_missing(), price.is_missing(), held.is_missing()]
        .into_iter()
        .chain([headers.0.is_empty(), absent_headers.is_missing(), upstream.is_missing()])
        .all(|missing| missing);
    if is_nothing && !mistakes.touch(place) {
        mistakes.push(place.clone(), format!("expects nothing; {EXPECT_WANTED}"));
    }
    if let Written::Here(status, place) = &status
        && !(100..=599).contains(status)
    {
        mistakes.push(place.clone(), "is not a status; write one as in 200");
    }
    let absent = absent_headers.take().map(|Listed(names)| names).unwrap_or_default();
    for (name, place) in &absent {
        check_header_name(name, place, mistakes);
    }
    Expected {
        status: status.take(),
        problem: problem.take(),
        price: price.take(),
        held: held.take(),
        headers: compile_headers(headers, mistakes),
        absent_headers: absent.into_iter().map(|(name, _)| name).collect(),
        upstream: word(upstream),
    }
}

fn word(written: Text<BackendUse>) -> Option<BackendUse> {
    written.take().map(|Parsed(word)| word)
}

fn compile_headers(headers: Entries<Parsed<HeaderText>>, mistakes: &mut Mistakes) -> Vec<(String, String)> {
    let mut compiled = Vec::with_capacity(headers.0.len());
    for (name, place, Parsed(HeaderText(value))) in headers.0 {
        if compiled.len() == MAX_TEST_HEADERS {
            mistakes.push(place, format!("is one header too many; write at most {MAX_TEST_HEADERS}"));
            break;
        }
        check_header_name(&name, &place, mistakes);
        compiled.push((name, value.into()));
    }
    compiled
}

fn check_header_name(name: &str, place: &Place, mistakes: &mut Mistakes) {
    if !is_token(name.as_bytes()) {
        mistakes.push(place.clone(), "is not a header's name; write one as in Auth-Token");
    }
}

/// A text as it is, and everything else as JSON.
fn bytes_of(body: Value) -> Vec<u8> {
    match body {
        Value::String(text) => text.into_bytes(),
        other => other.to_string().into_bytes(),
    }
}

/// Says of a slug that no problem has which ones there are, if one is meant.
pub fn unknown_problem(slug: &str, slugs: &[&str]) -> Option<String> {
    if slug == NO_PROBLEM || slugs.contains(&slug) {
        return None;
    }
    let close = crate::config::yaml::closest(slug, slugs);
    let instead = known(close.into_iter());
    Some(if close.is_some() { instead } else { "`tollgate problems` lists them".to_owned() })
}
