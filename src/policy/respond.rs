//! Writing an answer or a problem: the header rules of the contract, in one place.
//!
//! Every response goes through `write`, whatever happened and over whichever version of HTTP, so
//! that none can miss a header. What the response says was decided before.

use std::cell::RefCell;
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use crate::policy::answers::Passing;
use crate::policy::check::token::TokenPlace;
use crate::policy::credits::Receipt;
use crate::policy::format::{self, kind::Format};
use crate::policy::http::head::Lines;
use crate::policy::http::media::{ErrorForm, JSON, MediaType, PROBLEM_JSON};
use crate::policy::http::text_of_second::TextOfSecond;
use crate::policy::http::trace_context::Trace;
use crate::policy::http::transaction_id::TransactionId;
use crate::policy::limit::{Asker, LimitState, nearest};
use crate::policy::now::Now;
use crate::policy::page::Rendition;
use crate::policy::problem::messages::{ErrorShape, Wording};
use crate::policy::problem::{Hint, Problem, Status};
use crate::policy::rate::RateState;
use crate::policy::trail::Trail;
use crate::policy::{Policy, Preflight, cors};

/// `Access-Control-Expose-Headers` of every answer that a browser may read.
pub(crate) const EXPOSED_HEADERS: &str = "Reference-Id, Transaction-Id, X-Rate-Limit-Limit, X-Rate-Limit-Remaining, \
     X-Rate-Limit-Reset, RateLimit, RateLimit-Policy, Retry-After, X-Credits-Charged, X-Credits-Remaining";

/// What a response says.
#[derive(Clone, Copy)]
pub enum Outcome<'a> {
    /// The upstream's answer, and what it cost those who pay.
    Delivered(Delivered<'a>, Option<Receipt>),
    /// An answer of the gateway's own.
    Told(&'a [u8]),
    Preflight(&'a Preflight),
    Page(&'a Rendition),
    Refused(Problem),
}

/// An answer of an upstream, as it is passed on.
#[derive(Clone, Copy)]
pub struct Delivered<'a> {
    /// The body, as it came.
    pub body: &'a [u8],
    pub passing: &'a Passing,
    /// Its media type, if the product serves several kinds; otherwise the one that the client prefers.
    pub content_type: Option<&'a [u8]>,
    /// The headers that pass, by their index among those of the product.
    pub passed: &'a [(u8, Box<[u8]>)],
    /// It is that of an earlier request with the same key.
    pub is_replayed: bool,
}

impl<'a> Delivered<'a> {
    /// A 200 with a body and nothing else.
    pub fn plain(body: &'a [u8]) -> Delivered<'a> {
        Delivered { body, passing: Passing::plain(), content_type: None, passed: &[], is_replayed: false }
    }
}

impl Outcome<'_> {
    /// Why the client is refused, if it is.
    pub fn problem(&self) -> Option<Problem> {
        match self {
            Outcome::Refused(problem) => Some(*problem),
            Outcome::Delivered(..) | Outcome::Told(_) | Outcome::Preflight(_) | Outcome::Page(_) => None,
        }
    }
}

/// What caches may do with a response, and what of a request it depends on.
#[derive(Clone, Copy)]
struct Caching {
    /// `Cache-Control`.
    control: &'static str,
    /// `Vary`.
    vary: &'static str,
}

/// Answers to one client are never cached.
const NEVER_KEPT: Caching = Caching { control: "no-store", vary: "Origin" };

/// What browsers must not do with a page: run scripts, load anything from elsewhere, show it in a
/// frame, take it for another type, or tell others where its reader came from.
const PAGE_HEADERS: [(&str, &str); 3] = [
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
];

/// What a response's headers depend on.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a, 'p> {
    pub policy: &'p Policy,
    pub lines: &'a Lines<'a>,
    pub trail: Trail<'p>,
    pub transaction: &'a TransactionId,
    /// `None` where traces pass as they came.
    pub trace: Option<&'a Trace>,
    pub now: Now,
}

impl<'p> Context<'_, 'p> {
    /// The words of the request's product, or those for requests without one.
    pub fn wording(&self) -> &'p Wording {
        self.trail.product.map_or(&self.policy.wording, |product| &product.wording)
    }
}

/// Where a response goes: the bytes of HTTP/1, or the header map of HTTP/2.
pub trait Sink {
    /// The status; always first.
    fn status(&mut self, code: u16, phrase: &str);
    /// One header; the name as HTTP/1 writes it.
    fn header(&mut self, name: &str, value: &[u8]);
    /// The body; always last, and left out when there must be none.
    fn body(&mut self, body: &[u8]);
    /// The same of bytes that are kept, and need not be copied where they can be shared.
    fn kept_body(&mut self, body: &bytes::Bytes) {
        self.body(body);
    }
}

/// Writes a whole response; the bytes of its body.
pub fn write(sink: &mut impl Sink, context: &Context<'_, '_>, outcome: &Outcome<'_>) -> usize {
    match outcome {
        Outcome::Delivered(answer, receipt) => {
            let Delivered { body, passing, content_type, passed, is_replayed } = *answer;
            sink.status(passing.status.code(), passing.status.phrase());
            let content_type = content_type.unwrap_or_else(|| {
                let served = context.trail.product.and_then(|product| product.media.best_of_json(context.lines));
                served.map_or(JSON, MediaType::name).as_bytes()
            });
            sink.header("Content-Type", content_type);
            let control = if passed.is_empty() { NEVER_KEPT.control } else { pass_headers(sink, context, passed) };
            common_headers(sink, context, Caching { control, ..NEVER_KEPT });
            if is_replayed {
                sink.header("Idempotency-Replayed", b"true");
            }
            if let Some(receipt) = receipt {
                number(sink, "X-Credits-Charged", u64::from(receipt.charged));
                number(sink, "X-Credits-Remaining", receipt.remaining);
            }
            finish(sink, context, body)
        }
        Outcome::Told(body) => {
            sink.status(200, "OK");
            sink.header("Content-Type", JSON.as_bytes());
            common_headers(sink, context, NEVER_KEPT);
            finish(sink, context, body)
        }
        Outcome::Preflight(preflight) => {
            sink.status(204, "No Content");
            common_headers(sink, context, NEVER_KEPT);
            preflight_headers(sink, preflight);
            sink.body(b"");
            0
        }
        Outcome::Page(rendition) => page(sink, context, rendition),
        Outcome::Refused(problem) => refusal(sink, context, *problem),
    }
}

/// A 401 says by which schemes of Authorization the product takes tokens (RFC 9110, section 11.6.1).
fn challenges(sink: &mut impl Sink, context: &Context<'_, '_>) {
    let places = context.trail.product.map_or(&context.policy.token_places, |product| &product.token_places);
    for challenge in places.iter().filter_map(TokenPlace::challenge) {
        sink.header("WWW-Authenticate", challenge.as_bytes());
    }
}

/// Writes the headers of the answer that pass; returns the `Cache-Control` for an answer that has none of its own.
#[cold]
fn pass_headers(sink: &mut impl Sink, context: &Context<'_, '_>, passed: &[(u8, Box<[u8]>)]) -> &'static str {
    let names = context.trail.product.map_or([].as_slice(), |product| &product.answers.headers);
    let mut control = NEVER_KEPT.control;
    for (index, value) in passed {
        let Some(name) = names.get(usize::from(*index)) else { continue };
        sink.header(name, value);
        if name.eq_ignore_ascii_case("cache-control") {
            control = "";
        }
    }
    control
}

fn refusal(sink: &mut impl Sink, context: &Context<'_, '_>, problem: Problem) -> usize {
    let wording = context.wording();
    let words = wording.words(problem.row);
    sink.status(words.status.code(), words.status.phrase());
    let form = match context.trail.product {
        Some(product) => product.media.error(context.lines),
        None => ErrorForm::of_json(context.lines),
    };
    let (shape, format, content_type) = match form {
        ErrorForm::Object(format, name) => (ErrorShape::ErrorObject, format, name),
        ErrorForm::Problem => (ErrorShape::ProblemJson, Format::Json, PROBLEM_JSON),
    };
    sink.header("Content-Type", content_type.as_bytes());
    common_headers(sink, context, NEVER_KEPT);
    if words.status == Status::Unauthorized {
        challenges(sink, context);
    }
    match problem.hint {
        // Words of the detail.
        Hint::None | Hint::Broken(_) | Hint::At { .. } | Hint::AtByte(_) | Hint::Parameter { .. } => {}
        Hint::RetryAfter(seconds) => number(sink, "Retry-After", u64::from(seconds)),
        Hint::Allow(path) => sink.header("Allow", context.policy.paths.allow(path).as_bytes()),
    }
    with_scratch(|body| {
        let names = context.trail.route.map(|route| &route.names);
        words.write_object(body, shape, problem.hint, names, context.lines.path().as_bytes());
        match format {
            Format::Json => finish(sink, context, body),
            Format::Xml | Format::MsgPack => finish(sink, context, &rendered(format, body)),
        }
    })
}

/// An error object in another format. It is JSON of our own, of a few levels, so that there is always one.
#[cold]
fn rendered(format: Format, object: &[u8]) -> Vec<u8> {
    format::of_json(format, object, usize::MAX).unwrap_or_default()
}

/// A page, or a 304 if the client has it already. That has no Content-Length, which would be the
/// page's own (RFC 9110, section 15.4.5).
fn page(sink: &mut impl Sink, context: &Context<'_, '_>, rendition: &Rendition) -> usize {
    let encoded = rendition.encoded_for(context.lines);
    let known = encoded.is_known_to(context.lines);
    if known {
        sink.status(304, "Not Modified");
    } else {
        sink.status(200, "OK");
        sink.header("Content-Type", rendition.content_type.as_bytes());
        if let Some(coding) = encoded.coding {
            sink.header("Content-Encoding", coding.as_bytes());
        }
    }
    let control = rendition.freshness.cache_control();
    common_headers(sink, context, Caching { control, vary: "Accept, Accept-Encoding, Origin" });
    sink.header("ETag", encoded.etag.as_bytes());
    for (name, value) in PAGE_HEADERS {
        sink.header(name, value.as_bytes());
    }
    if known {
        sink.body(b"");
        return 0;
    }
    number(sink, "Content-Length", u64::try_from(encoded.bytes.len()).unwrap_or(u64::MAX));
    match context.lines.method {
        "HEAD" => {
            sink.body(b"");
            0
        }
        _ => {
            sink.kept_body(&encoded.bytes);
            encoded.bytes.len()
        }
    }
}

/// The headers of every response, of whichever status.
fn common_headers(sink: &mut impl Sink, context: &Context<'_, '_>, caching: Caching) {
    date_header(sink, context.now);
    sink.header("Transaction-Id", context.transaction.as_bytes());
    for (name, value) in references(context) {
        sink.header(name, value);
    }
    if !caching.control.is_empty() {
        sink.header("Cache-Control", caching.control.as_bytes());
    }
    let by_format = context.trail.product.is_some_and(|product| product.media.formats.are_several());
    sink.header("Vary", if by_format { b"Accept, Origin" } else { caching.vary.as_bytes() });
    if let Some(origin) = cors::shown_to(context.policy, &context.trail, context.lines) {
        sink.header("Access-Control-Allow-Origin", origin);
        let exposed = context.trail.product.map_or(EXPOSED_HEADERS, |product| &product.exposed_headers);
        sink.header("Access-Control-Expose-Headers", exposed.as_bytes());
    }
    if let Some(principal) = context.trail.principal {
        match &principal.account.meter {
            None => principal.account.rate.state(context.now).iter().for_each(|state| rate_headers(sink, state)),
            Some(meter) => {
                let product = context.trail.product.map(|product| &*product.name);
                limit_headers(sink, &meter.states(Asker { product, token: &principal.token.name }, context.now));
            }
        }
    }
}

/// The headers that are echoed, or generated if none or an invalid one was sent. Of a request
/// without a product these are the headers that any product echoes.
pub fn references<'c>(context: &'c Context<'_, '_>) -> impl Iterator<Item = (&'c str, &'c [u8])> {
    let rules = context.trail.product.map_or(&context.policy.echoed, |product| &product.headers);
    rules
        .iter()
        .filter(|rule| rule.echo)
        .map(|rule| (&*rule.name, rule.sound_value(context.lines).unwrap_or(context.transaction.as_bytes())))
}

/// The limits in the product's own names and in those of the IETF draft
/// (draft-ietf-httpapi-ratelimit-headers-10).
fn rate_headers(sink: &mut impl Sink, state: &RateState) {
    let allowance = &state.allowance;
    number(sink, "X-Rate-Limit-Limit", u64::from(allowance.limit.get()));
    number(sink, "X-Rate-Limit-Remaining", u64::from(state.remaining));
    number(sink, "X-Rate-Limit-Reset", state.reset_unix_seconds);
    let window = allowance.period.as_secs();
    text(sink, "RateLimit-Policy", format_args!("\"account\";q={};w={window}", allowance.limit));
    text(sink, "RateLimit", format_args!("\"account\";r={};t={}", state.remaining, state.reset_after_seconds));
}

/// The same of several limits: the product's own names tell the rate that is nearest to its end, those of the draft
/// all rates and quotas.
fn limit_headers(sink: &mut impl Sink, states: &[LimitState]) {
    if let Some(nearest) = nearest(states) {
        number(sink, "X-Rate-Limit-Limit", nearest.limit);
        number(sink, "X-Rate-Limit-Remaining", nearest.remaining);
        number(sink, "X-Rate-Limit-Reset", nearest.reset_unix_seconds);
    }
    list(sink, "RateLimit-Policy", states, |out, LimitState { name, limit, window_seconds, .. }| {
        write!(out, "\"{name}\";q={limit};w={window_seconds}")
    });
    list(sink, "RateLimit", states, |out, LimitState { name, remaining, reset_after_seconds, .. }| {
        write!(out, "\"{name}\";r={remaining};t={reset_after_seconds}")
    });
}

/// A header that is a list (RFC 9651, section 3.1); none where there is no member.
fn list(
    sink: &mut impl Sink,
    name: &str,
    states: &[LimitState],
    write: impl Fn(&mut &mut [u8], &LimitState) -> std::io::Result<()>,
) {
    // Three owners have four rates and two quotas each, and each is a name, a quota and a window.
    const LONGEST: usize = 1280;
    let mut buffer = [0_u8; LONGEST];
    let mut rest = buffer.as_mut_slice();
    for (index, state) in states.iter().enumerate() {
        let separator: &[u8] = if index == 0 { b"" } else { b", " };
        if rest.write_all(separator).and_then(|()| write(&mut rest, state)).is_err() {
            return;
        }
    }
    let length = LONGEST - rest.len();
    if length > 0 {
        sink.header(name, buffer.get(..length).unwrap_or_default());
    }
}

/// An allowed Origin has its Allow-Origin from the common headers already.
fn preflight_headers(sink: &mut impl Sink, preflight: &Preflight) {
    sink.header("Access-Control-Allow-Methods", preflight.allowed_methods.as_bytes());
    sink.header("Access-Control-Allow-Headers", preflight.allowed_headers.as_bytes());
    number(sink, "Access-Control-Max-Age", preflight.max_age_seconds);
}

fn finish(sink: &mut impl Sink, context: &Context<'_, '_>, body: &[u8]) -> usize {
    number(sink, "Content-Length", u64::try_from(body.len()).unwrap_or(u64::MAX));
    // A response to HEAD says how long its body would be and has none (RFC 9110, section 9.3.2).
    let body = if context.lines.method == "HEAD" { b"" } else { body };
    sink.body(body);
    body.len()
}

fn number(sink: &mut impl Sink, name: &str, number: u64) {
    text(sink, name, format_args!("{number}"));
}

/// A short header whose value is made of parts.
fn text(sink: &mut impl Sink, name: &str, value: std::fmt::Arguments<'_>) {
    const LONGEST: usize = 64;
    let mut buffer = [0_u8; LONGEST];
    let mut rest = buffer.as_mut_slice();
    // The longest value is two numbers of twenty digits and their frame.
    if rest.write_fmt(value).is_err() {
        return;
    }
    let length = LONGEST - rest.len();
    sink.header(name, buffer.get(..length).unwrap_or_default());
}

/// `Date` (RFC 9110, section 6.6.1), made once a second on each thread.
fn date_header(sink: &mut impl Sink, now: Now) {
    thread_local! {
        static LAST: TextOfSecond = const { TextOfSecond::new() };
    }
    let make = || {
        // The format has four digits for the year; `httpdate` panics beyond them.
        const LAST_SECOND_OF_9999: u64 = 253_402_300_799;
        let since_1970 = Duration::from_secs(now.unix_seconds.min(LAST_SECOND_OF_9999));
        httpdate::fmt_http_date(UNIX_EPOCH + since_1970)
    };
    LAST.with(|last| last.with(now.unix_seconds, make, |text| sink.header("Date", text.as_bytes())));
}

/// Lends a buffer of this thread, so that a refusal does not allocate for its body.
fn with_scratch<T>(fill: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    thread_local! {
        static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        fill(scratch)
    })
}

/// The bytes of an HTTP/1.1 response.
#[derive(Debug)]
pub struct Http1Sink<'a> {
    pub out: &'a mut Vec<u8>,
    /// What the `Connection` header says, if it must be sent.
    pub connection: Option<&'static str>,
}

impl Sink for Http1Sink<'_> {
    fn status(&mut self, code: u16, phrase: &str) {
        self.out.clear();
        // Writing into a vector cannot fail.
        let _ = write!(self.out, "HTTP/1.1 {code} {phrase}\r\n");
        if let Some(option) = self.connection {
            self.header("Connection", option.as_bytes());
        }
    }

    fn header(&mut self, name: &str, value: &[u8]) {
        write_field(self.out, name, value);
    }

    fn body(&mut self, body: &[u8]) {
        self.out.extend_from_slice(b"\r\n");
        self.out.extend_from_slice(body);
    }
}

/// Writes a header line as HTTP/1 has it.
pub fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// The header map and the body of an HTTP/2 response.
#[derive(Debug, Default)]
pub struct Http2Sink {
    pub response: http::Response<()>,
    pub body: bytes::Bytes,
    /// The body is that of a page, which is kept whether it is sent or not.
    pub is_shared: bool,
}

impl Sink for Http2Sink {
    fn status(&mut self, code: u16, _phrase: &str) {
        if let Ok(status) = http::StatusCode::from_u16(code) {
            *self.response.status_mut() = status;
        }
    }

    fn header(&mut self, name: &str, value: &[u8]) {
        let name = http::HeaderName::from_bytes(name.as_bytes());
        let value = http::HeaderValue::from_bytes(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            self.response.headers_mut().append(name, value);
        }
    }

    fn body(&mut self, body: &[u8]) {
        self.body = bytes::Bytes::copy_from_slice(body);
        self.is_shared = false;
    }

    fn kept_body(&mut self, body: &bytes::Bytes) {
        self.body = body.clone();
        self.is_shared = true;
    }
}
