//! One admitted request to one upstream, and its answer back.
//!
//! The request is built anew from parsed parts and sent in one write; the answer is read
//! completely, within its limits, before a byte of it reaches the client. Backends use HTTP/1.1.
//! The caller enforces the deadline: dropping the future ends the exchange.

use std::io::Write;
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use pingora_core::protocols::Stream;
use tokio::io::AsyncWriteExt;

use crate::policy::admit::Admission;
use crate::policy::answers::{Answers, Passing, Treatment};
use crate::policy::check::network::Client;
use crate::policy::format::{self, kind::Format};
use crate::policy::http::head::Head;
use crate::policy::http::media::JSON;
use crate::policy::http::trace_context;
use crate::policy::lookup::Paid;
use crate::policy::problem::{Problem, Row};
use crate::policy::respond::{Context, Delivered, references, write_field};
use crate::policy::route::Route;
use crate::policy::{CallerFact, Policy, Product};
use crate::telemetry::seen::UpstreamTimes;
use crate::upstream::blame::Asker;
use crate::upstream::connector::{Connections, Connector};
use crate::upstream::gate::Gate;
use crate::upstream::response::{self, Body, Incoming, ResponseFault};
use crate::upstream::settings::Upstream;
use crate::upstream::translate::Kind;
use crate::upstream::unprocessed::is_unprocessed;
use crate::upstream::verdict::Verdict;
use crate::upstream::{Passage, Upstreams, translate};

/// Headers that the gateway sets itself, or that are for one connection only (RFC 9110, section
/// 7.6.1). Conditional, range and coding headers would make the backend return something else than
/// the whole answer.
const NEVER_FORWARDED: [&str; 33] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-authentication-info",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "http2-settings",
    "content-encoding",
    "accept-encoding",
    "range",
    "if-range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "transaction-id",
    "forwarded",
    "via",
    "accept",
    "x-real-ip",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "max-forwards",
];

/// The prefix of headers in which proxies describe the connection before them; only our own are
/// sent to a backend.
const X_FORWARDED: &str = "x-forwarded-";

/// The upstreams of a policy, ready to be connected to.
#[derive(Clone, Debug)]
pub struct Exchange {
    upstreams: Arc<Upstreams<Connector>>,
}

impl Exchange {
    /// Prepares the upstreams; no connection is made yet.
    pub fn new(upstreams: &[Upstream]) -> Exchange {
        Exchange { upstreams: Arc::new(Upstreams::new(upstreams, Connector::new)) }
    }

    /// The upstreams of the next policy, with the state of their servers.
    pub fn renewed(&self, upstreams: &[Upstream]) -> Exchange {
        Exchange { upstreams: Arc::new(self.upstreams.renewed(upstreams)) }
    }

    /// The running upstreams.
    pub fn upstreams(&self) -> &Arc<Upstreams<Connector>> {
        &self.upstreams
    }

    /// What requests of a product have to pass before they are sent, if its upstream has a limit.
    pub fn gate(&self, product: &Product) -> Option<&Arc<Gate>> {
        self.upstreams.pool(product.upstream)?.gate()
    }

    /// Sends a request to an upstream and reads its answer: the body of a 200, and the result of
    /// `judge`.
    ///
    /// A connection that the backend had closed while it was idle is replaced once. A request of
    /// which the kernel accepted every byte is sent again, once, only if the kernel can prove that
    /// the backend has not processed it (`unprocessed.rs`). Another server is tried only while no
    /// server has received a byte.
    ///
    /// # Errors
    /// `upstream-unavailable`, `upstream-failed`, or what the answer's status means.
    pub async fn forward<'a, T>(
        &self,
        connections: &Connections,
        (product, route, asker): (&'a Product, &'a Route, Asker<'_>),
        request: Vec<u8>,
        response_limit: usize,
        asked: &mut UpstreamTimes,
        judge: impl FnOnce(&[u8], Kind, u16) -> Result<T, Problem>,
    ) -> Result<(Answer<'a>, T), Problem> {
        let no_upstream = Problem::new(Row::Internal, "the product has no upstream");
        let mut passage = self.upstreams.pool(product.upstream).ok_or(no_upstream)?.enter(asker)?;
        let mut unreached = None;
        // This ends, since each server is tried at most once.
        loop {
            let server = passage.next_server().map_err(|problem| unreached.unwrap_or(problem))?;
            let connector = &server.peer;
            asked.server = Some(server.address);
            match send_once(connections, connector, &request, &passage).await {
                Ok((stream, reused)) => {
                    let exchange = Sent { connections, connector, stream, request, reused };
                    return exchange.receive(response_limit, asked, &mut passage, (product, route), judge).await;
                }
                // A server to which no connection could be made, or whose certificate is wrong, has
                // not received a byte, so another one may be tried.
                Err(Unsent::Unreached(problem)) => unreached = Some(passage.unreachable(problem)),
                Err(Unsent::Broken(problem)) => return Err(passage.failed(problem)),
            }
        }
    }
}

/// Why a request was not sent.
enum Unsent {
    /// There is no connection, and the server has not received a byte.
    Unreached(Problem),
    /// Part of it may have arrived.
    Broken(Problem),
}

/// Sends the request over an idle connection or a new one; returns whether it was idle.
async fn send_once(
    connections: &Connections,
    connector: &Connector,
    request: &[u8],
    passage: &Passage<'_, Connector>,
) -> Result<(Stream, bool), Unsent> {
    let unreached = |error: Box<pingora_core::Error>| Unsent::Unreached(translate::connecting(&error));
    let (mut stream, reused) = connector.get_stream(connections).await.map_err(unreached)?;
    passage.connected(reused);
    match send(&mut stream, request).await {
        Ok(()) => Ok((stream, reused)),
        Err(unsent) if !reused => Err(unsent),
        Err(_) => {
            // The peer had closed the idle connection, so the kernel refused the bytes. It may have
            // accepted some of them, so no other server is tried.
            Ok((send_anew(connections, connector, request, passage).await?, false))
        }
    }
}

/// Sends the request over a new connection, after an idle connection to the same server was broken.
async fn send_anew(
    connections: &Connections,
    connector: &Connector,
    request: &[u8],
    passage: &Passage<'_, Connector>,
) -> Result<Stream, Unsent> {
    let broken = |error: Box<pingora_core::Error>| Unsent::Broken(translate::connecting(&error));
    let mut stream = connector.new_stream(connections).await.map_err(broken)?;
    passage.connected(false);
    send(&mut stream, request).await?;
    Ok(stream)
}

async fn send(stream: &mut Stream, request: &[u8]) -> Result<(), Unsent> {
    let broken = |_| Unsent::Broken(translate::sending());
    stream.write_all(request).await.map_err(broken)?;
    stream.flush().await.map_err(broken)
}

/// A request that the kernel has accepted completely.
struct Sent<'c> {
    connections: &'c Connections,
    connector: &'c Connector,
    stream: Stream,
    /// Its bytes are kept only if the connection was idle; otherwise the answer reuses the buffer.
    request: Vec<u8>,
    /// The connection was idle before.
    reused: bool,
}

impl Sent<'_> {
    async fn receive<'a, T>(
        mut self,
        limit: usize,
        asked: &mut UpstreamTimes,
        passage: &mut Passage<'_, Connector>,
        (product, route): (&'a Product, &'a Route),
        judge: impl FnOnce(&[u8], Kind, u16) -> Result<T, Problem>,
    ) -> Result<(Answer<'a>, T), Problem> {
        let answers = &*route.answers;
        let mut incoming = match self.reused {
            true => Incoming::behind(&mut self.stream, self.request),
            false => Incoming::new(&mut self.stream, self.request),
        };
        let mut head = incoming.head(answers).await;
        if let Err(problem) = head
            && self.reused
        {
            let Some(request) = incoming.unanswered() else { return Err(passage.failed(problem)) };
            if !is_unprocessed(&self.stream, request.len()).await {
                return Err(passage.failed(problem));
            }
            passage.repeated();
            self.stream = match send_anew(self.connections, self.connector, &request, passage).await {
                Ok(stream) => stream,
                Err(Unsent::Unreached(problem) | Unsent::Broken(problem)) => return Err(passage.failed(problem)),
            };
            incoming = Incoming::new(&mut self.stream, request);
            head = incoming.head(answers).await;
        }
        let head = head.map_err(|problem| passage.failed(problem))?;
        let code = head.status;
        asked.status = code;
        let verdict = verdict_of(code, answers);
        asked.is_failure = answers.of(code).is_some_and(Treatment::is_failure);
        let translated = translate::status(code, head.retry_after.as_deref(), asked.now, answers);
        let passing = translated.inspect_err(|_| passage.answered(verdict))?;
        let (body, persistent) = incoming.body(&head, limit).await.map_err(|fault| match fault {
            ResponseFault::TooLarge => {
                passage.answered(verdict);
                fault.problem()
            }
            ResponseFault::Broken => passage.failed(fault.problem()),
        })?;
        let judged =
            judged(head, body, passing, (product, answers), judge).map_err(|problem| passage.failed(problem))?;
        passage.answered(verdict);
        if persistent {
            self.connector.keep(self.connections, self.stream);
        }
        Ok(judged)
    }
}

/// What is passed on of an answer that was read to its end, and what `judge` makes of it.
#[inline]
pub(super) fn judged<'a, T>(
    head: response::Head,
    body: Body,
    passing: &'a Passing,
    (product, answers): (&'a Product, &'a Answers),
    judge: impl FnOnce(&[u8], Kind, u16) -> Result<T, Problem>,
) -> Result<(Answer<'a>, T), Problem> {
    let code = head.status;
    let body = passing.body.as_ref().map_or(body, |instead| Body::from(instead.to_vec()));
    let (content_type, passed) = (head.content_type.filter(|_| passing.body.is_none()), head.passed);
    let kind = match answers.has_types {
        true => translate::kind(content_type.as_deref(), &product.media)?,
        false => Kind::Json,
    };
    let judged = judge(&body, kind, code)?;
    Ok((Answer { body, kind, passing, content_type, passed }, judged))
}

/// What the status of an answer says about its server: one that the product passes on says that it works, unless the
/// product says otherwise.
fn verdict_of(code: u16, answers: &Answers) -> Verdict {
    match answers.of(code) {
        None => Verdict::of_status(code),
        Some(treatment) if treatment.is_failure() => Verdict::Failed,
        Some(_) => Verdict::Sound,
    }
}

/// An answer that was judged, and is passed on.
pub struct Answer<'a> {
    pub body: Body,
    /// How it was judged.
    pub kind: Kind,
    pub passing: &'a Passing,
    /// Its media type, if the product serves several kinds.
    pub content_type: Option<Box<[u8]>>,
    /// The headers that pass, by their index among those of the product.
    pub passed: Vec<(u8, Box<[u8]>)>,
}

/// Headers about the very bytes of a body, which say nothing true of another rendition of it (RFC 9110, section 8.8.3; RFC
/// 9530).
const ABOUT_BYTES: [&str; 5] = ["etag", "content-md5", "digest", "content-digest", "repr-digest"];

impl<'a> Answer<'a> {
    /// As it is passed on.
    pub fn delivered(&self) -> Delivered<'_> {
        let Answer { body, passing, content_type, passed, .. } = self;
        Delivered { body, passing, content_type: content_type.as_deref(), passed, is_replayed: false }
    }

    /// The answer in a format. Only JSON is converted; anything else passes as it is.
    ///
    /// # Errors
    /// `upstream-failed` if there is no such rendition within the limit of an answer.
    pub fn rendered(self, format: Format, product: &Product, limit: usize) -> Result<Answer<'a>, Problem> {
        match (self.kind, format) {
            (Kind::Json, Format::Xml | Format::MsgPack) => {}
            (Kind::Json, Format::Json) | (Kind::Opaque, _) => return Ok(self),
        }
        let body = format::of_json(format, &self.body, limit).map_err(translate::not_rendered)?;
        let mut passed = self.passed;
        passed.retain(|(index, _)| {
            let name = product.answers.headers.get(usize::from(*index));
            !name.is_some_and(|name| ABOUT_BYTES.iter().any(|about| name.eq_ignore_ascii_case(about)))
        });
        Ok(Answer { body: Body::from(body), content_type: None, passed, ..self })
    }
}

/// Builds the request for the upstream into `out`, from parsed parts: the path that was judged,
/// our own Host and framing, the headers that may pass, and the body as it was validated
/// (contract, section 8). Nothing is sent that was not judged and paid for.
pub fn build(
    out: &mut Vec<u8>,
    paid: &Paid<'_>,
    head: &Head<'_>,
    body: &[u8],
    context: &Context<'_, '_>,
    upstreams: &[Upstream],
) -> Result<(), Problem> {
    let policy: &Policy = context.policy;
    let (admission, product) = (paid.admission(), paid.admission().product());
    let no_upstream = Problem::new(Row::Internal, "the product has no upstream");
    let upstream = upstreams.get(product.upstream).ok_or(no_upstream)?;
    out.clear();
    out.extend_from_slice(head.lines.method.as_bytes());
    out.push(b' ');
    admission.route().write_target(out, head, &product.token_parameters);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_field(out, "Host", upstream.host.as_bytes());
    // The client may prefer a type that the product does not serve; the backend must not choose it.
    match product.media.served.len() {
        1 => write_field(out, "Accept", product.accept.as_bytes()),
        _ => {
            out.extend_from_slice(b"Accept: ");
            product.media.write_accepted(out, &head.lines);
            out.extend_from_slice(b"\r\n");
        }
    }
    for (name, value) in references(context) {
        write_field(out, name, value);
    }
    write_field(out, "Transaction-Id", context.transaction.as_bytes());
    if let Some(trace) = context.trace {
        write_field(out, trace_context::PARENT, &trace.header());
        trace.state(&head.lines).for_each(|state| write_field(out, trace_context::STATE, state));
    }
    if let Client::Address(address) = admission.client() {
        // Writing into a vector cannot fail.
        let _ = write!(out, "X-Forwarded-For: {address}\r\n");
    }
    write_caller(out, admission);
    let is_caller = |name: &str| product.caller_headers.iter().any(|(_, caller)| name.eq_ignore_ascii_case(caller));
    let is_token = |name: &str| policy.token_headers.iter().any(|token| name.eq_ignore_ascii_case(token));
    let is_echoed = |name: &str| product.headers.iter().any(|rule| rule.echo && rule.name.eq_ignore_ascii_case(name));
    let is_trace = |name: &str| context.trace.is_some() && trace_context::is_ours(name);
    // What is sent is JSON then, whatever came.
    let is_type = |name: &str| paid.is_converted() && name.eq_ignore_ascii_case("content-type");
    for field in head.lines.fields {
        let name = field.name;
        let ours = is_never_forwarded(name)
            || is_token(name)
            || is_echoed(name)
            || is_trace(name)
            || is_caller(name)
            || is_type(name)
            || upstream.added.has(name);
        if !ours && (!is_nominated(head, name) || is_judged(product, name)) {
            write_field(out, field.name, field.value);
        }
    }
    out.extend_from_slice(upstream.added.lines());
    if paid.is_converted() {
        write_field(out, "Content-Type", JSON.as_bytes());
    }
    if admission.route().body.is_some() {
        let _ = write!(out, "Content-Length: {}\r\n", body.len());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    Ok(())
}

/// Tells the backend who asks, as far as the product says. Names of accounts and tokens are the operator's, and what of
/// them cannot be in a header is percent-encoded.
fn write_caller(out: &mut Vec<u8>, admission: &Admission<'_>) {
    let (product, principal) = (admission.product(), admission.principal());
    for (fact, header) in &product.caller_headers {
        let name = match fact {
            CallerFact::Account => &*principal.account.name,
            CallerFact::Token => &*principal.token.name,
            CallerFact::Product => &*product.name,
            CallerFact::Address => {
                if let Client::Address(address) = admission.client() {
                    let _ = write!(out, "{header}: {address}\r\n");
                }
                continue;
            }
        };
        // Writing into a vector cannot fail.
        let _ = write!(out, "{header}: {}\r\n", utf8_percent_encode(name, NOT_IN_A_NAME));
    }
}

/// What is percent-encoded of a name: what a header cannot have, and the sign itself.
const NOT_IN_A_NAME: &AsciiSet = &CONTROLS.add(b'%');

/// Whether a header was checked, so that the backend must get it. A Connection line cannot remove
/// it: it may not name a field that is meant for the recipient of the content (RFC 9110, section
/// 7.6.1), and a request that was admitted because of a header must not arrive without it.
#[cold]
fn is_judged(product: &Product, name: &str) -> bool {
    const BY_EVERY_PRODUCT: [&str; 3] = ["content-type", "origin", "referer"];
    let rules = product.headers.iter().map(|rule| &*rule.name);
    let mut judged = BY_EVERY_PRODUCT.into_iter().chain(rules).chain(product.deadline.header.as_deref());
    judged.any(|judged| name.eq_ignore_ascii_case(judged))
}

/// Whether the request's Connection lines name a header (RFC 9110, section 7.6.1).
fn is_nominated(head: &Head<'_>, name: &str) -> bool {
    head.lines
        .values("connection")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
}

/// Whether a header is set by the gateway, or could make the backend do something else than what
/// was judged.
fn is_never_forwarded(name: &str) -> bool {
    NEVER_FORWARDED.iter().any(|never| name.eq_ignore_ascii_case(never))
        || name.get(..X_FORWARDED.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(X_FORWARDED))
        || name.contains('_')
}
