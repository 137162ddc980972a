//! The record of one request. It collects what becomes known about the request, and is reported
//! once, when the request is over.
//!
//! It is reported when it is dropped, so that every request is counted, however it ended. It does
//! not influence the request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::journal::note::{self, KeptHead};
use super::seen::{Kept, Seen, UpstreamTimes};
use super::shadow::{Begun, Feed, Over, Then};
use super::staging::{Accounts, StagingCounts};
use super::tables::{Ending, Tables, Times};
use super::usage::Origin;
use super::{Telemetry, access_line, otlp_span};
use crate::policy::Policy;
use crate::policy::admit::Ingress;
use crate::policy::answers::PassedStatus;
use crate::policy::check::watch::Watched;
use crate::policy::http::head::{Head, Lines};
use crate::policy::http::trace_context::{Part, Trace};
use crate::policy::http::transaction_id::TransactionId;
use crate::policy::now::Now;
use crate::policy::problem::blame::Spent;
use crate::policy::respond::Outcome;
use crate::policy::trail::Trail;

/// A request and what is known about it.
pub struct RequestRecord<'r> {
    telemetry: &'r Telemetry,
    tables: &'r Tables,
    seen: Seen<'r>,
    body: Wait,
    upstream: Wait,
    /// The wait for another request with the same key, and for a place among the requests of the upstream.
    other: Wait,
    /// The credits that it was charged.
    charged: u32,
    /// Where a refused request came from; only for a gateway with a store.
    origin: Option<Box<Origin>>,
    /// What the journal needs of its head; only with a journal.
    head: Option<KeptHead>,
    /// Where its end is counted for a configuration that is staged, and as one of which accounts, if its own does not say that.
    staging: Option<(&'r StagingCounts, Option<Accounts>)>,
    /// What a shadow judges; only beside one.
    shadowed: Option<Box<Begun<'r>>>,
}

/// Time spent waiting for the client, the upstream or other requests.
#[derive(Clone, Copy, Debug, Default)]
struct Wait {
    /// When it began, until it ends.
    since: Option<Instant>,
    /// All that have ended, together.
    whole: Option<Duration>,
}

impl Wait {
    fn end(&mut self) {
        if let Some(since) = self.since.take() {
            self.whole = Some(self.whole.unwrap_or_default().saturating_add(since.elapsed()));
        }
    }

    /// Its length; a wait that has not ended has lasted until now.
    fn until(&self, now: Instant) -> Option<Duration> {
        let open = self.since.map(|since| now.saturating_duration_since(since));
        match (self.whole, open) {
            (Some(whole), Some(open)) => Some(whole.saturating_add(open)),
            (whole, open) => whole.or(open),
        }
    }
}

impl<'r> RequestRecord<'r> {
    /// A record for a request whose head was complete at a moment.
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
            asked: UpstreamTimes { now: nothing_yet, since: None, server: None, status: 0, is_failure: false },
            ending: Ending::Gone,
            delivered: false,
            is_replayed: false,
            bytes: (0, 0),
            begun,
        };
        let [body, upstream, other] = [Wait::default(); 3];
        RequestRecord {
            telemetry,
            tables,
            seen,
            body,
            upstream,
            other,
            charged: 0,
            origin: None,
            head: None,
            staging: None,
            shadowed: None,
        }
    }

    /// Has its end counted for a configuration that is staged, as one of these accounts, else of those that its own belongs to.
    pub fn staged(&mut self, counts: Option<&'r StagingCounts>, accounts: Option<Accounts>) {
        self.staging = counts.map(|counts| (counts, accounts));
    }

    /// When the request's head was complete.
    pub fn begun(&self) -> Instant {
        self.seen.begun
    }

    /// The request's identity.
    pub fn transaction(&self) -> TransactionId {
        self.seen.transaction
    }

    /// Its position in a trace; `None` if trace headers are passed on unchanged.
    pub fn trace(&self) -> Option<Trace> {
        self.seen.trace
    }

    /// Sets the product, token and account, as far as they are known, and copies what records need
    /// from the head.
    pub fn admitted(&mut self, trail: &Trail<'r>, lines: &Lines<'_>) {
        self.seen.trail = *trail;
        if self.telemetry.has_records() {
            self.seen.kept = Kept::of(self.seen.policy, trail, lines);
        }
    }

    /// Keeps what the journal needs of a head that was judged at a moment, and whether it was refused, if there is a journal;
    /// and what a shadow judges, if there is one.
    pub fn judged(&mut self, head: &Head<'_>, ingress: Ingress, now: Now, is_refused: bool, shadow: Option<&'r Feed>) {
        if let Some(feed) = shadow {
            self.shadowed = feed.begin(head, ingress, now).map(Box::new);
        }
        if self.telemetry.journal.is_some() {
            let (policy, trail) = (self.seen.policy, &self.seen.trail);
            let at = (now.unix_seconds, now.unix_nanos);
            self.head = Some(KeptHead::of(policy, head, trail, ingress.scope, at, is_refused));
        }
    }

    /// The account, once it is known.
    pub fn account(&self) -> Option<&'r Arc<str>> {
        self.seen.trail.principal.map(|principal| &principal.account.name)
    }

    /// Whether there is an answer, and it is not a refusal.
    pub fn is_answered(&self) -> bool {
        matches!(self.seen.ending, Ending::Answered | Ending::Passed(_))
    }

    /// Starts the wait for the client's body.
    pub fn body_begins(&mut self, at: Instant) {
        self.body.since = Some(at);
    }

    /// The body has arrived as a whole.
    pub fn body_arrived(&mut self, body: &[u8]) {
        if let Some(shadowed) = &mut self.shadowed {
            shadowed.body(body);
        }
    }

    /// The backend's answer is passed on: its body, and its media type if it was looked at.
    pub fn answer_arrived(&mut self, body: &[u8], content_type: Option<&[u8]>, is_replaced: bool) {
        if let Some(shadowed) = &mut self.shadowed {
            shadowed.answer(body, content_type, is_replaced);
        }
    }

    /// Ends the wait for the body, of which this many bytes arrived.
    pub fn body_ends(&mut self, bytes: usize) {
        self.body.end();
        self.seen.bytes.0 = bytes;
    }

    /// Starts the exchange with the upstream; returns where to record it.
    pub fn asks(&mut self, now: Now) -> &mut UpstreamTimes {
        self.seen.asked.now = now;
        self.upstream.since = Some(Instant::now());
        self.seen.asked.since = self.upstream.since;
        &mut self.seen.asked
    }

    /// Ends the exchange, successful or not.
    pub fn asked(&mut self) {
        self.upstream.end();
    }

    /// Starts the wait for another request with the same key, or for a place among the requests of the upstream.
    pub fn other_begins(&mut self) {
        self.other.since = Some(Instant::now());
    }

    /// Ends that wait.
    pub fn other_ends(&mut self) {
        self.other.end();
    }

    /// The answer is that of an earlier request with the same key.
    pub fn replayed(&mut self) {
        self.seen.is_replayed = true;
    }

    /// The status of the upstream's answer; 0 without an answer.
    pub fn upstream_status(&self) -> u16 {
        self.seen.asked.status
    }

    /// The answer is ready to be sent, with a body of this many bytes.
    pub fn answered(&mut self, outcome: &Outcome<'_>, bytes: usize) {
        self.seen.ending = match outcome {
            Outcome::Delivered(answer, _) => match answer.passing.status {
                PassedStatus::Ok => Ending::Answered,
                PassedStatus::Other(status) => Ending::Passed(status.code()),
            },
            Outcome::Told(_) | Outcome::Page(_) => Ending::Answered,
            Outcome::Preflight(_) => Ending::Preflight,
            Outcome::Refused(problem) => Ending::Refused(*problem),
        };
        self.seen.bytes.1 = bytes;
    }

    /// The request was charged this many credits.
    pub fn charged(&mut self, credits: u32) {
        self.charged = self.charged.saturating_add(credits);
    }

    /// Where the request came from that a list has refused, or would have.
    pub fn came_from(&mut self, origin: Origin) {
        self.origin = Some(Box::new(origin));
    }

    /// The answer was sent completely.
    pub fn delivered(&mut self) {
        self.seen.delivered = true;
    }
}

impl Drop for RequestRecord<'_> {
    fn drop(&mut self) {
        let RequestRecord { telemetry, tables, seen, body, upstream, other, charged, origin, head, staging, shadowed } =
            self;
        // An answer that was not delivered completely counts as `Gone`. Whether it is charged is
        // decided elsewhere, by the bill.
        if matches!(seen.ending, Ending::Answered | Ending::Passed(_)) && !seen.delivered {
            seen.ending = Ending::Gone;
        }
        let now = Instant::now();
        let total = now.saturating_duration_since(seen.begun);
        let upstream = upstream.until(now);
        let waits = [upstream, body.until(now), other.until(now)];
        let waits = waits.into_iter().flatten().fold(Duration::ZERO, Duration::saturating_add);
        let times = Times { total, upstream, own: total.saturating_sub(waits) };
        let Trail { product, route: _, principal, watched, counted: _ } = seen.trail;
        tables.count(seen.wording(), product, principal, seen.ending, &times);
        if seen.is_replayed {
            tables.replayed(product);
        }
        if watched != Watched::default() {
            tables.watched(product, principal, watched);
        }
        if let Some(traffic) = product.and_then(|product| tables.traffic(product)) {
            match seen.ending {
                Ending::Gone | Ending::Preflight => {}
                _ if seen.asked.is_failure => traffic.failed(),
                Ending::Answered | Ending::Passed(_) => traffic.answered(total),
                Ending::Refused(problem) => {
                    traffic.refused(problem.row, Spent { in_all: total, on_body: body.whole });
                }
            }
        }
        if let Some((counts, accounts)) = staging {
            let own = || principal.map(|principal| counts.accounts_of(&principal.account.name));
            if let Some(accounts) = accounts.or_else(own) {
                counts.count(accounts, seen.ending, seen.status(), seen.asked.is_failure);
            }
        }
        if let Some(usage) = &telemetry.usage {
            usage.count(seen, *charged, origin.as_deref());
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
        if let Some(journal) = &telemetry.journal {
            journal.push(|out| note::write(out, seen, head.as_ref(), &times, *charged));
        }
        if let Some(shadowed) = shadowed.take() {
            let asked_after = seen.asked.since.map(|since| since.saturating_duration_since(seen.begun));
            let exchanged_after = asked_after.zip(times.upstream).map(|(asked, took)| asked.saturating_add(took));
            shadowed.end(over(seen, *charged, exchanged_after));
        }
    }
}

/// What a shadow compares with.
#[cold]
fn over(seen: &Seen<'_>, charged: u32, exchanged_after: Option<Duration>) -> Over {
    let then = match seen.ending {
        Ending::Answered | Ending::Passed(_) | Ending::Preflight => Then::Answered(seen.status()),
        Ending::Refused(problem) => Then::Refused(problem.row, seen.wording().words(problem.row).slug.clone()),
        Ending::Gone => Then::Gone,
    };
    Over {
        transaction: seen.transaction,
        then,
        account: seen.trail.principal.map(|principal| Arc::clone(&principal.account.name)),
        body_limit: seen.trail.route.and_then(|route| route.body.as_ref()).map_or(0, |rule| rule.max_bytes),
        upstream_status: seen.asked.status,
        is_replayed: seen.is_replayed,
        charged,
        exchanged_after,
    }
}
