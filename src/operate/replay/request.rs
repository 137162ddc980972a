//! A recorded decision as the head of a request: what the journal has in clear as it was, and stand-ins for the rest.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::candidate::stand_in;
use crate::policy::admit::{Headroom, Ingress};
use crate::policy::check::token::{BasicPart, Carried, TokenPlace};
use crate::policy::http::head::{Field, Framing, Head, HeadLimits, Lines, Peer, Version};
use crate::policy::now::Now;
use crate::policy::page::ListenerScope;
use crate::policy::problem::Problem;
use crate::policy::route::parameter_name;
use crate::telemetry::journal::line::{Decision, Member};
use crate::telemetry::journal::note_reader::unix_time;

/// What stands for a segment of a path whose value the journal does not have.
const SEGMENT: &str = "-";

/// What stands for the key of a request that is one.
const KEY: &str = "key";

/// Stand-ins are longer than what they stand for: the limits of heads are compared with what was recorded.
const NO_LIMITS: HeadLimits =
    HeadLimits { target_bytes: usize::MAX, header_bytes: usize::MAX, header_lines: usize::MAX };

/// The parts of a head.
#[derive(Debug)]
pub struct Request {
    version: Version,
    method: String,
    target: String,
    authority: Option<String>,
    fields: Vec<(String, String)>,
    peer: Peer,
    framing: Framing,
    pub ingress: Ingress,
    /// When it was judged, since 1970.
    pub at: Duration,
}

impl Request {
    /// The request of a decision whose path is known; `None` if the line does not say what its kind says.
    pub fn of(decision: &Decision<'_>) -> Option<Request> {
        let version = match &*decision.http {
            "1.0" => Version::Http10,
            "1.1" => Version::Http11,
            "2" => Version::Http2,
            _ => return None,
        };
        let (seconds, nanos) = unix_time(&decision.time)?;
        let mut request = Request {
            version,
            method: decision.method.clone().into_owned(),
            target: path(decision)?,
            authority: None,
            fields: Vec::with_capacity(decision.headers.len() + decision.tokens.len() + 2),
            peer: match &*decision.peer {
                "unix" => Peer::Local,
                "" => Peer::Address(IpAddr::from([0, 0, 0, 0])),
                address => Peer::Address(address.parse().ok()?),
            },
            framing: framing(version, decision),
            ingress: Ingress {
                headroom: Headroom::Free,
                scope: match &*decision.serves {
                    "" => ListenerScope::All,
                    "lookups" => ListenerScope::Lookups,
                    "pages" => ListenerScope::Pages,
                    _ => return None,
                },
            },
            at: Duration::new(seconds, nanos),
        };
        request.add_host(decision);
        request.add_tokens(decision);
        let forwarded = decision.forwarded_for.join(", ");
        if !forwarded.is_empty() {
            request.fields.push(("x-forwarded-for".to_owned(), forwarded));
        }
        for Member { name, value, hmac: _ } in &decision.headers {
            request.fields.push((name.clone(), value.as_deref().unwrap_or(KEY).to_owned()));
        }
        Some(request)
    }

    fn add_host(&mut self, decision: &Decision<'_>) {
        let host = if decision.host.is_empty() { "unknown" } else { &*decision.host };
        match self.version {
            Version::Http2 => self.authority = Some(host.to_owned()),
            Version::Http10 | Version::Http11 => self.fields.push(("host".to_owned(), host.to_owned())),
        }
    }

    /// The digests of tokens where the tokens were; both parts of Basic are one line.
    fn add_tokens(&mut self, decision: &Decision<'_>) {
        let of = |place: &TokenPlace| {
            let name = place.to_string();
            decision.tokens.iter().find(|token| token.place == name).map(|token| stand_in(&token.sha256))
        };
        let (user, password) = (TokenPlace::Basic(BasicPart::User), TokenPlace::Basic(BasicPart::Password));
        let both = of(&user).zip(of(&password));
        for token in &decision.tokens {
            let place = place(&token.place);
            let carried = match (&place, both) {
                (TokenPlace::Basic(BasicPart::Password), Some(_)) => continue,
                (TokenPlace::Basic(BasicPart::User), Some((user, password))) => {
                    Carried::Header("authorization", format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
                }
                _ => place.example(stand_in(&token.sha256)),
            };
            match carried {
                Carried::Header(name, value) => self.fields.push((name.to_owned(), value)),
                Carried::Query(member) => {
                    let mark = if self.target.contains('?') { '&' } else { '?' };
                    // Writing to a string cannot fail.
                    let _ = write!(self.target, "{mark}{member}");
                }
            }
        }
        // Lines without a token are not told one by one.
        if let (true, Some(name)) = (
            decision.token_twice,
            decision.tokens.first().and_then(|token| place(&token.place).header().map(str::to_owned)),
        ) {
            self.fields.push((name, String::new()));
        }
    }

    /// Hands its head to a function.
    ///
    /// # Errors
    /// That the stand-ins are no head, which no line of this program's causes.
    pub fn with_head<T>(&self, judge: impl FnOnce(&Head<'_>) -> T) -> Result<T, Problem> {
        let fields: Vec<Field<'_>> =
            self.fields.iter().map(|(name, value)| Field { name, value: value.as_bytes() }).collect();
        let lines = Lines {
            method: &self.method,
            target: &self.target,
            version: self.version,
            authority: self.authority.as_deref(),
            fields: &fields,
        };
        let head = Head::judge(lines, self.peer, &NO_LIMITS)?;
        Ok(judge(&Head { framing: self.framing, ..head }))
    }

    /// The time of the judgement, by a clock that began at a moment since 1970.
    pub fn now(&self, began: Duration) -> Now {
        Now {
            monotonic: self.at.saturating_sub(began),
            unix_seconds: self.at.as_secs(),
            unix_nanos: self.at.subsec_nanos(),
        }
    }
}

/// The path, with stand-ins for its parameters; one that is empty in the journal was missing.
fn path(decision: &Decision<'_>) -> Option<String> {
    let template = decision.path.as_deref()?;
    let mut values = decision.parameters.iter();
    let segments: Vec<&str> = template
        .split('/')
        .map(|segment| match parameter_name(segment) {
            None => segment,
            Some(_) => {
                values.next().map_or(SEGMENT, |member| if member.value.as_deref() == Some("") { "" } else { SEGMENT })
            }
        })
        .collect();
    Some(segments.join("/"))
}

fn framing(version: Version, decision: &Decision<'_>) -> Framing {
    match (version, decision.chunked, decision.content_length) {
        (Version::Http2, _, length) => Framing::Frames(length),
        (Version::Http10 | Version::Http11, true, _) => Framing::Chunked,
        (Version::Http10 | Version::Http11, false, Some(length)) => Framing::Length(length),
        (Version::Http10 | Version::Http11, false, None) => Framing::None,
    }
}

/// The place that is called so in a journal.
fn place(name: &str) -> TokenPlace {
    let known = [TokenPlace::Bearer, TokenPlace::Basic(BasicPart::User), TokenPlace::Basic(BasicPart::Password)];
    if let Some(found) = known.into_iter().find(|known| known.to_string() == name) {
        return found;
    }
    match name.strip_prefix('?') {
        Some(parameter) => TokenPlace::Query(parameter.into()),
        None => TokenPlace::Header(name.into()),
    }
}
