//! One request as it is seen: what becomes known on its way is kept here, and reported once, when
//! nothing more can happen to it.
//!
//! It is reported when it is dropped, so that a request is counted whatever ended it. It decides
//! nothing and changes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::seen::{Kept, Seen, UpstreamTimes};
use super::tables::{Ending, Tables, Times};
use super::{Telemetry, access_line, otlp_span};
use crate::policy::Policy;
use crate::policy::http::head::Lines;
use crate::policy::http::trace_context::{Part, Trace};
use crate::policy::http::transaction_id::TransactionId;
use crate::policy::now::Now;
use crate::policy::problem::blame::Spent;
use crate::policy::respond::Outcome;
use crate::policy::trail::Trail;

/// A request and what is known of it.
pub struct RequestRecord<'r> {
    telemetry: &'r Telemetry,
    tables: &'r Tables,
    seen: Seen<'r>,
    body: Wait,
    upstream: Wait,
}

/// A time that is waited for somebody else.
#[derive(Clone, Copy, Debug, Default)]
struct Wait {
    since: Option<Instant>,
    whole: Option<Duration>,
}

impl Wait {
    fn end(&mut self) {
        self.whole = self.since.map(|since| since.elapsed());
    }

    /// How long it was; one that has not ended has lasted up to now.
    fn until(&self, now: Instant) -> Option<Duration> {
        self.whole.or_else(|| self.since.map(|since| now.saturating_duration_since(since)))
    }
}

impl<'r> RequestRecord<'r> {
    /// Sees a request whose head was complete at a moment.
    pub fn of(
        telemetry: &'r Telemetry,
        tables: &'r Tables,
        policy: &'r Policy,
        lines: &Lines<'_>,
        begun: Instant,
    ) -> Self {
        let id = *Uuid::new_v4().as_bytes();
        let rule = &tables.sampling;
        let trace = rule.traceparent.then(|| {
            let part = match telemetry.has_spans() {
                true => Part::Spans { chosen: rule.spans.includes(id), trusted: rule.trust_sampled },
                false => Part::None,
            };
            Trace::of(lines, id, part)
        });
        let nothing_yet = Now { monotonic: Duration::ZERO, unix_seconds: 0, unix_nanos: 0 };
        let seen = Seen {
            policy,
            tables,
            version: lines.version,
            kept: Kept::default(),
            id,
            transaction: TransactionId::of(id),
            trace,
            trail: Trail::default(),
            asked: UpstreamTimes { now: nothing_yet, since: None, server: None, status: 0 },
            ending: Ending::Gone,
            delivered: false,
            bytes: (0, 0),
            begun,
        };
        RequestRecord { telemetry, tables, seen, body: Wait::default(), upstream: Wait::default() }
    }

    /// When the request's head was complete.
    pub fn begun(&self) -> Instant {
        self.seen.begun
    }

    /// The request's identity.
    pub fn transaction(&self) -> TransactionId {
        self.seen.transaction
    }

    /// Its place in a trace; `None` where traces pass as they came.
    pub fn trace(&self) -> Option<Trace> {
        self.seen.trace
    }

    /// Who asks for what has become known. What records will say of the head is kept now.
    pub fn admitted(&mut self, trail: &Trail<'r>, lines: &Lines<'_>) {
        self.seen.trail = *trail;
        if self.telemetry.has_records() {
            self.seen.kept = Kept::of(self.seen.policy, trail, lines);
        }
    }

    /// Whose request it is, once that is known.
    pub fn account(&self) -> Option<&'r Arc<str>> {
        self.seen.trail.principal.map(|principal| &principal.account.name)
    }

    /// Whether there is an answer that is no refusal.
    pub fn is_answered(&self) -> bool {
        self.seen.ending == Ending::Answered
    }

    /// The wait for the client's body begins at a moment.
    pub fn body_begins(&mut self, at: Instant) {
        self.body.since = Some(at);
    }

    /// The body has come, with so many bytes, or has not.
    pub fn body_ends(&mut self, bytes: usize) {
        self.body.end();
        self.seen.bytes.0 = bytes;
    }

    /// The upstream begins to be asked: where to note what becomes of it.
    pub fn asks(&mut self, now: Now) -> &mut UpstreamTimes {
        self.seen.asked.now = now;
        self.upstream.since = Some(Instant::now());
        self.seen.asked.since = self.upstream.since;
        &mut self.seen.asked
    }

    /// The upstream has answered, or has failed.
    pub fn asked(&mut self) {
        self.upstream.end();
    }

    /// What the upstream has answered; 0 if it has not.
    pub fn upstream_status(&self) -> u16 {
        self.seen.asked.status
    }

    /// The answer is written, with so many bytes of a body, and can be sent.
    pub fn answered(&mut self, outcome: &Outcome<'_>, bytes: usize) {
        self.seen.ending = match outcome {
            Outcome::Delivered(..) | Outcome::Told(_) | Outcome::Page(_) => Ending::Answered,
            Outcome::Preflight(_) => Ending::Preflight,
            Outcome::Refused(problem) => Ending::Refused(*problem),
        };
        self.seen.bytes.1 = bytes;
    }

    /// The answer went out whole.
    pub fn delivered(&mut self) {
        self.seen.delivered = true;
    }
}

impl Drop for RequestRecord<'_> {
    fn drop(&mut self) {
        let RequestRecord { telemetry, tables, seen, body, upstream } = self;
        // Nobody has had the whole of what was not taken. Whether it is paid for is the bill's.
        if seen.ending == Ending::Answered && !seen.delivered {
            seen.ending = Ending::Gone;
        }
        let now = Instant::now();
        let total = now.saturating_duration_since(seen.begun);
        let upstream = upstream.until(now);
        let waits = upstream.unwrap_or_default().saturating_add(body.until(now).unwrap_or_default());
        let times = Times { total, upstream, own: total.saturating_sub(waits) };
        let Trail { product, principal } = seen.trail;
        tables.count(seen.wording(), product, principal, seen.ending, &times);
        if let Some(traffic) = product.and_then(|product| tables.traffic(product)) {
            match seen.ending {
                Ending::Answered => traffic.answered(total),
                Ending::Refused(problem) => {
                    traffic.refused(problem.row, Spent { in_all: total, on_body: body.whole });
                }
                Ending::Preflight | Ending::Gone => {}
            }
        }
        if let Some(log) = &telemetry.log
            && seen.has_line()
        {
            log.push(|out| access_line::write(out, seen, &times, log.names(), log.key()));
        }
        if let Some(exporter) = &telemetry.exporter
            && seen.trace.is_some_and(|trace| trace.is_sampled())
        {
            exporter.push(|out| otlp_span::write(out, seen, &times));
        }
    }
}
