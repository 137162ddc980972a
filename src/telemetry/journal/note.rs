//! What a request leaves for the journal: copies of a few texts and numbers, in a queue in memory.
//!
//! A request only copies: what is written of it, and what is left out or digested, is decided by the journal's own
//! thread (`note_reader.rs`). A token is not among the copies, only its digest.

use std::net::IpAddr;
use std::time::Duration;

use super::bytes::{Pen, Reading};
use super::line::Step;
use crate::policy::account::Digest;
use crate::policy::admit::SHARE_USED;
use crate::policy::check::header::{BROKEN_HEADER, SEVERAL_LINES};
use crate::policy::check::token::has_several_lines;
use crate::policy::credits::TOO_MUCH_HELD;
use crate::policy::http::head::{Framing, Head, Lines, Peer, Version};
use crate::policy::page::ListenerScope;
use crate::policy::problem::{Hint, Problem, Row};
use crate::policy::trail::Trail;
use crate::policy::{Policy, Product};
use crate::telemetry::seen::Seen;
use crate::telemetry::tables::{Ending, Times};

/// Bytes of a usual head's copy.
const USUAL_BYTES: usize = 768;

/// Bytes of the longest value of a header that is copied; of a longer one the name is.
pub const MAX_VALUE_BYTES: usize = 512;

/// The headers that are looked at whatever the product says.
pub const ALWAYS_READ: [&str; 8] = [
    "accept",
    "content-type",
    "content-encoding",
    "origin",
    "referer",
    "host",
    "x-forwarded-for",
    "access-control-request-method",
];

/// What is kept of a head while its request is served.
#[derive(Debug)]
pub struct KeptHead {
    bytes: Vec<u8>,
    /// A check of the head has refused it.
    refused: bool,
}

/// The names of the headers of a product, or of all, that have rules.
pub fn ruled<'p>(policy: &'p Policy, product: Option<&'p Product>) -> impl Iterator<Item = &'p str> {
    let rules = product.map_or(&policy.echoed, |product| &product.headers);
    let deadline = product.and_then(|product| product.deadline.header.as_deref());
    let key = product.and_then(|product| product.idempotency.as_ref()).map(|rule| &*rule.header);
    rules.iter().map(|rule| &*rule.name).chain(deadline).chain(key)
}

impl KeptHead {
    /// What the journal needs of a head that was judged at a moment.
    pub fn of(
        policy: &Policy,
        head: &Head<'_>,
        trail: &Trail<'_>,
        scope: ListenerScope,
        (seconds, nanos): (u64, u32),
        refused: bool,
    ) -> KeptHead {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        let mut pen = Pen(&mut bytes);
        pen.number(seconds);
        pen.number(nanos.into());
        pen.byte(match scope {
            ListenerScope::All => 0,
            ListenerScope::Lookups => 1,
            ListenerScope::Pages => 2,
        });
        write_peer(&mut pen, head.peer);
        write_framing(&mut pen, head.framing);
        let lines = &head.lines;
        pen.size(lines.target.len());
        pen.size(lines.fields.iter().map(|field| field.name.len() + field.value.len() + 4).sum());
        pen.size(lines.fields.len());
        pen.text(lines.method.as_bytes());
        pen.maybe(lines.authority.map(str::as_bytes));
        let template = match trail.route {
            Some(route) => Some(&*route.path.text),
            None => policy.paths.find(head).map(crate::policy::paths::Path::template),
        };
        pen.maybe(template.map(str::as_bytes));
        pen.text(if template.is_some() { head.path.as_bytes() } else { b"" });
        pen.text(if trail.route.is_some() { head.query.unwrap_or_default().as_bytes() } else { b"" });
        write_tokens(&mut pen, policy, head, trail);
        write_fields(&mut pen, policy, trail, lines);
        KeptHead { bytes, refused }
    }
}

fn write_peer(pen: &mut Pen<'_>, peer: Peer) {
    match peer {
        Peer::Local => pen.byte(0),
        Peer::Address(IpAddr::V4(address)) => {
            pen.byte(4);
            pen.0.extend_from_slice(&address.octets());
        }
        Peer::Address(IpAddr::V6(address)) => {
            pen.byte(6);
            pen.0.extend_from_slice(&address.octets());
        }
    }
}

fn write_framing(pen: &mut Pen<'_>, framing: Framing) {
    match framing {
        Framing::None | Framing::Frames(None) => pen.byte(0),
        Framing::Length(length) | Framing::Frames(Some(length)) => {
            pen.byte(1);
            pen.number(length);
        }
        Framing::Chunked => pen.byte(2),
    }
}

/// The digests of the tokens, each with its place, by the number of the place in the policy.
fn write_tokens(pen: &mut Pen<'_>, policy: &Policy, head: &Head<'_>, trail: &Trail<'_>) {
    let of_principal = trail.principal.and_then(|who| who.account.keys.get(who.token_index)).map(|key| key.digest);
    let mut is_signed = of_principal.is_some();
    let at = pen.0.len();
    pen.byte(0);
    pen.byte(u8::from(has_several_lines(&policy.token_headers, &head.lines)));
    let count_at = pen.0.len();
    pen.byte(0);
    let mut count = 0_u8;
    for (place, number) in policy.token_places.iter().zip(0_u8..) {
        // The tokens of a request that was let in are all the same, as far as its product looks for them.
        let known = of_principal.filter(|_| {
            trail.product.is_some_and(|product| product.issuers.is_empty() && product.token_places.contains(place))
        });
        place.each(head, &mut |token| {
            let digest = known.unwrap_or_else(|| Digest::of(&token));
            is_signed &= of_principal != Some(digest);
            count = count.saturating_add(1);
            pen.byte(number);
            pen.0.extend_from_slice(digest.bytes());
        });
    }
    for (at, value) in [(at, u8::from(is_signed)), (count_at, count)] {
        if let Some(byte) = pen.0.get_mut(at) {
            *byte = value;
        }
    }
}

/// The lengths of names, each a bit, so that a name of another length is compared with none of them.
#[derive(Clone, Copy)]
struct Lengths(u64);

impl Lengths {
    const fn and(self, name: &str) -> Lengths {
        let longest = u64::BITS as usize - 1;
        Lengths(self.0 | 1 << if name.len() < longest { name.len() } else { longest })
    }

    const fn of_always_read() -> Lengths {
        let (mut lengths, mut rest) = (Lengths(0), ALWAYS_READ.as_slice());
        while let [name, others @ ..] = rest {
            lengths = lengths.and(name);
            rest = others;
        }
        lengths
    }

    fn has(self, name: &str) -> bool {
        self.0 | Lengths(0).and(name).0 == self.0
    }
}

/// The headers that something looks at.
fn write_fields(pen: &mut Pen<'_>, policy: &Policy, trail: &Trail<'_>, lines: &Lines<'_>) {
    const OF_ALWAYS_READ: Lengths = Lengths::of_always_read();
    let is_same = |name: &str, known: &str| name.len() == known.len() && name.eq_ignore_ascii_case(known);
    let lengths = ruled(policy, trail.product).fold(OF_ALWAYS_READ, Lengths::and);
    for field in lines.fields.iter().filter(|field| lengths.has(field.name)) {
        let name = field.name;
        let is_token = policy.token_headers.iter().any(|known| is_same(name, known));
        let is_read = ALWAYS_READ.iter().any(|known| is_same(name, known))
            || ruled(policy, trail.product).any(|known| is_same(name, known));
        if is_read && !is_token {
            pen.byte(1);
            pen.text(name.as_bytes());
            pen.maybe(Some(field.value).filter(|value| value.len() <= MAX_VALUE_BYTES));
        }
    }
    pen.byte(0);
}

/// The step that ended a request.
fn step(seen: &Seen<'_>, kept: Option<&KeptHead>) -> Step {
    let problem = match seen.ending {
        Ending::Answered | Ending::Passed(_) | Ending::Preflight => return Step::Answer,
        Ending::Gone if seen.asked.since.is_some() => return Step::Backend,
        Ending::Gone => return Step::Arrival,
        Ending::Refused(problem) => problem,
    };
    match kept {
        None => Step::Head,
        Some(kept) if kept.refused => step_of_head(problem),
        Some(_) if seen.asked.since.is_some() => Step::Backend,
        Some(_) if problem.reason == SHARE_USED => Step::Checks,
        // It had passed all checks when there was no room for it at its backend.
        Some(_) if problem.row == Row::Overloaded && problem.reason != TOO_MUCH_HELD => Step::Backend,
        Some(_) => step_behind_head(problem.row),
    }
}

fn step_of_head(problem: Problem) -> Step {
    match problem.hint {
        Hint::Parameter { .. } => Step::Parameters,
        Hint::None | Hint::RetryAfter(_) | Hint::Allow(_) | Hint::Broken(_) | Hint::AtByte(_) | Hint::At { .. } => {
            if [BROKEN_HEADER, SEVERAL_LINES].contains(&problem.reason) { Step::Headers } else { Step::Checks }
        }
    }
}

fn step_behind_head(row: Row) -> Step {
    match row {
        Row::BodyTooLarge | Row::RequestTimeout => Step::Arrival,
        Row::IdempotencyKeyReused => Step::Key,
        Row::CreditsInsufficient | Row::CreditsUnavailable | Row::Overloaded => Step::Credits,
        Row::DeadlineExceeded | Row::UpstreamUnavailable | Row::UpstreamFailed | Row::Internal => Step::Backend,
        Row::MalformedRequest
        | Row::EndpointUnknown
        | Row::TokenMissing
        | Row::TokenUnknown
        | Row::TokenDisabled
        | Row::TokenExpired
        | Row::ProductMismatch
        | Row::IpNotAllowed
        | Row::DomainNotAllowed
        | Row::RateExceeded
        | Row::QuotaExceeded
        | Row::ConcurrencyExceeded
        | Row::AcceptUnsupported
        | Row::ContentTypeUnsupported
        | Row::TimeoutInvalid
        | Row::ParameterInvalid
        | Row::ReferenceIdInvalid
        | Row::AddMetadataInvalid
        | Row::BodyEmpty
        | Row::BodyMalformed
        | Row::Own(_)
        | Row::BodyInvalid => Step::Body,
    }
}

/// Writes the note of a request that is over.
pub fn write(out: &mut Vec<u8>, seen: &Seen<'_>, kept: Option<&KeptHead>, times: &Times, charged: u32) {
    let begins = out.len();
    let mut pen = Pen(out);
    // The length takes this place once it is known.
    pen.number(0);
    pen.size(std::ptr::from_ref(&*seen.policy.frame).addr());
    pen.0.extend_from_slice(&seen.id);
    pen.byte(match seen.version {
        Version::Http10 => 0,
        Version::Http11 => 1,
        Version::Http2 => 2,
    });
    pen.text(kept.map_or(b"", |kept| &kept.bytes));
    let principal = seen.trail.principal;
    pen.maybe(principal.map(|who| who.account.name.as_bytes()));
    pen.maybe(principal.map(|who| who.token.name.as_bytes()));
    pen.byte(seen.trail.product.map_or(u8::MAX, |product| product.index));
    pen.number(seen.trail.route.map_or(u64::MAX, |route| route.index.into()));
    let step = step(seen, kept);
    pen.byte(Step::ALL.iter().zip(0_u8..).find(|(known, _)| **known == step).map_or(0, |(_, number)| number));
    let problem = seen.problem();
    pen.maybe(problem.map(|(slug, _, _)| slug.as_bytes()));
    pen.maybe(problem.map(|(_, _, reason)| reason.as_bytes()));
    let [networks, domains] = seen.trail.watched.flags();
    let flags = [seen.delivered, seen.is_replayed, seen.asked.since.is_some(), seen.trail.pays(), networks, domains];
    pen.byte(flags.iter().zip(0_u8..).fold(0, |byte, (flag, bit)| byte | u8::from(*flag) << bit));
    pen.number(seen.status().into());
    pen.number(seen.asked.status.into());
    pen.number(charged.into());
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    pen.number(micros(times.total));
    pen.number(times.upstream.map_or(u64::MAX, micros));
    pen.number(micros(times.own));
    pen.size(seen.bytes.0);
    pen.size(seen.bytes.1);
    let length = u64::try_from(out.len() - begins - size_of::<u64>()).unwrap_or_default();
    if let Some(place) = out.get_mut(begins..begins + size_of::<u64>()) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

/// The notes in a buffer, one after the other.
pub fn notes(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let mut reading = Reading(rest);
        let length = usize::try_from(reading.number()?).ok()?;
        let (note, behind) = reading.0.split_at_checked(length)?;
        rest = behind;
        Some(note)
    })
}
