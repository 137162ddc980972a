//! The gateway: one request from its judged head to its outcome, over any version of HTTP.
//!
//! Admission, body, hold, exchange and response are called here, in this order. Reading and writing bytes is in
//! `downstream/`; the order of the checks is in `policy/admit.rs`.

pub mod accounts;
mod found;
pub mod idempotency;
mod look_up;
pub(crate) mod refusal_log;
pub(crate) mod settlement;
pub mod shadow;
pub(crate) mod shares;
pub mod snapshot;
pub mod stage;
pub mod stages;
pub(crate) mod unsent;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use pingora_timeout::timeout;
use tokio::sync::{Notify, Semaphore, oneshot};

use crate::gateway::settlement::Settlement;
use crate::ledger::bill::Bill;
use crate::ledger::leases::CREDITS_UNAVAILABLE;
use crate::ledger::{CANNOT_BE_USED, Ledger};
use crate::platform::clock::Clock;
use crate::platform::descriptors::{Descriptors, Shares};
use crate::policy::admit::{Headroom, Ingress, Turn, admit};
use crate::policy::check::network::{self, Client};
use crate::policy::check::{domain, watch::Watched};
use crate::policy::http::head::{Head, Lines};
use crate::policy::now::Now;
use crate::policy::observer::Unobserved;
use crate::policy::page::ListenerScope;
use crate::policy::problem::{Problem, Row};
use crate::policy::respond::{self, Context, Outcome, Sink};
use crate::policy::trail::Trail;
use crate::policy::{Limits, Policy, account_info};
use crate::telemetry::accept_metrics::AcceptMetrics;
use crate::telemetry::request_record::RequestRecord;
use crate::telemetry::sources::SourceCounts;
use crate::telemetry::staging::Accounts;
use crate::telemetry::usage::{Origin, Usage};
use crate::telemetry::{Occupied, Telemetry};
use crate::upstream::Upstreams;
use crate::upstream::connector::{Connections, Connector};

use found::Lookup;
use idempotency::KeptAnswers;
use shadow::Shadow;
use shadow::shadows::Shadows;
use shares::Shares as AccountShares;
use snapshot::{Settings, Snapshot};
use stage::Stage;
use stages::Stages;
use unsent::Unsent;

/// How long a request for an account's balances waits while another process has the ledger.
const BALANCES_PATIENCE: Duration = Duration::from_secs(5);

/// How long an answer waits until it is on the disk that its request was counted in a quota.
const COUNT_PATIENCE: Duration = Duration::from_secs(5);

/// How long the rest of an unwanted body is read and discarded, so that the connection can be kept. The client has its
/// answer already, and most have sent the body with the head.
pub(crate) const DRAIN_ALLOWANCE: Duration = Duration::from_secs(1);

/// Everything that connections share.
pub struct Gateway {
    current: ArcSwap<Snapshot>,
    /// Notified after each publish.
    published: Notify,
    ledger: Arc<Ledger>,
    arrivals: AcceptMetrics,
    telemetry: Arc<Telemetry>,
    backends: Connections,
    descriptors: Descriptors,
    /// Answers that are kept for lookups that are sent again.
    answers: KeptAnswers,
    clock: Clock,
    connections: AtomicUsize,
    requests: AtomicUsize,
    /// Lookups by account, where accounts share them.
    in_flight: AccountShares,
    /// Requests that were refused before their product was known.
    turned_away: AtomicU64,
    /// Limits the bodies that are judged on separate threads.
    judging: Arc<Semaphore>,
    /// Bodies that were refused because judging them took too many steps.
    over_budget: AtomicU64,
    /// Bytes of answers that wait for clients of HTTP/2 to make room for them.
    pub(crate) unsent: Unsent,
    /// The memory of decoded HTTP/2 heads in bytes.
    pub(crate) heads: AtomicUsize,
    stopping: AtomicBool,
    /// The candidate that judges beside the policy in force, or the last that did.
    shadows: Shadows,
    /// The configuration that is staged, or the last that was.
    stages: Stages,
}

/// What the gateway needs from the connection of a request.
pub(crate) trait Downstream {
    /// Reads the whole body, at most `limit` bytes, within the time limit of a body.
    fn read_body(&mut self, limit: usize) -> impl Future<Output = Result<(), Unanswered>> + Send;
    /// The body that was read.
    fn body(&self) -> &[u8];
    /// Returns when the client has disconnected.
    fn gone(&mut self) -> impl Future<Output = ()> + Send;
}

/// Why a request has no answer from an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    Refused(Problem),
    /// The client disconnected, so there is nobody to answer.
    Gone,
}

impl From<Problem> for Unanswered {
    fn from(problem: Problem) -> Unanswered {
        Unanswered::Refused(problem)
    }
}

/// The result of a request for its connection.
// Not boxed, since that would cost each request an allocation.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Answered<'g> {
    /// The response is in the sink, and its settlement goes with it.
    Written(Settlement<'g>),
    /// There is no response, since the client has disconnected.
    Gone,
}

impl Gateway {
    /// A gateway for a policy. Nothing is bound or connected yet. Its clock counts from `started`, and requests are
    /// reported to `telemetry`.
    pub fn new(
        policy: Arc<Policy>,
        settings: Settings,
        ledger: Arc<Ledger>,
        telemetry: Arc<Telemetry>,
        descriptors: Descriptors,
        started: Instant,
    ) -> Gateway {
        let shares = descriptors.shares(&policy.limits);
        if let Some(journal) = telemetry.journal() {
            journal.announce(&policy.frame);
        }
        Gateway {
            current: ArcSwap::from_pointee(Snapshot::new(policy, settings)),
            published: Notify::new(),
            ledger,
            arrivals: AcceptMetrics::default(),
            telemetry,
            backends: Connections::new(shares.idle_upstream),
            descriptors,
            answers: KeptAnswers::in_memory(),
            clock: Clock::since(started),
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            in_flight: AccountShares::default(),
            turned_away: AtomicU64::new(0),
            judging: Arc::new(Semaphore::new(judging_threads())),
            over_budget: AtomicU64::new(0),
            unsent: Unsent::default(),
            heads: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            shadows: Shadows::default(),
            stages: Stages::default(),
        }
    }

    /// The same with what keeps answers for lookups that are sent again.
    #[must_use]
    pub fn keeping(self, answers: KeptAnswers) -> Gateway {
        Gateway { answers, ..self }
    }

    /// The answers that are kept for lookups that are sent again.
    pub fn answers(&self) -> &KeptAnswers {
        &self.answers
    }

    /// The count of open connections.
    pub(crate) fn connections(&self) -> &AtomicUsize {
        &self.connections
    }

    /// The shares of the file descriptors for connections and requests.
    pub(crate) fn shares(&self, limits: &Limits) -> Shares {
        self.descriptors.shares(limits)
    }

    /// Counts of connections that ended before their first request.
    pub fn arrivals(&self) -> &AcceptMetrics {
        &self.arrivals
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// The candidate that judges beside the policy in force, or the last that did.
    pub fn shadows(&self) -> &Shadows {
        &self.shadows
    }

    /// Has a candidate judge beside the configuration in force from now on, or none. Only the thread that exchanges snapshots
    /// may call this.
    pub fn shadow_by(&self, shadow: Option<Arc<Shadow>>) -> Arc<Snapshot> {
        let before = self.snapshot();
        // Upstreams are the same: nobody who keeps them has to be told.
        self.current.store(Arc::new(before.shadowed_by(shadow)));
        before
    }

    /// The configuration that is staged, or the last that was.
    pub fn stages(&self) -> &Stages {
        &self.stages
    }

    /// Has the configuration in force beside another one before, or for all accounts. Only the thread that exchanges snapshots
    /// may call this.
    pub fn stage_by(&self, stage: Option<Arc<Stage<Snapshot>>>) -> Arc<Snapshot> {
        let before = self.snapshot();
        self.current.store(Arc::new(before.staged_beside(stage)));
        before
    }

    /// Puts a snapshot in force as a whole; returns the previous one.
    pub fn publish(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        if let Some(journal) = self.telemetry.journal() {
            journal.announce(&snapshot.policy.frame);
        }
        let before = self.current.swap(Arc::new(snapshot));
        self.published.notify_waiters();
        before
    }

    /// The running upstreams.
    pub fn upstreams(&self) -> Arc<Upstreams<Connector>> {
        Arc::clone(self.snapshot().exchange.upstreams())
    }

    /// Runs the background work of the upstreams in force for as long as it is polled.
    pub async fn keep_upstreams(&self, ready: impl FnOnce()) {
        let mut ready = Some(ready);
        loop {
            let mut published = std::pin::pin!(self.published.notified());
            // From here on no notification is missed.
            published.as_mut().enable();
            let upstreams = self.upstreams();
            let first = ready.take();
            let kept = upstreams.keep(&self.backends, || first.into_iter().for_each(|ready| ready()));
            tokio::select! {
                () = kept => return,
                () = published => {}
            }
        }
    }

    /// Marks the process as stopping: no further clients should be sent here.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether the process is stopping.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// The destinations to which requests report.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// The number of requests between the end of their head and the end of their answer.
    pub fn requests_in_flight(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// The number of open connections.
    pub fn open_connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The number of bodies that were refused because judging them took too many steps.
    pub fn bodies_over_budget(&self) -> u64 {
        self.over_budget.load(Ordering::Relaxed)
    }

    /// The number of requests that were refused unread since the last call.
    pub fn take_turned_away(&self) -> u64 {
        self.turned_away.swap(0, Ordering::Relaxed)
    }

    /// The current time of both clocks.
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// Counts a request as in flight until the guard is dropped. Its headroom is the lesser of that of its connection
    /// and that of requests.
    pub(crate) fn enter(&self, connection: Ingress, limits: &Limits) -> (Occupied<'_>, Ingress) {
        let (occupied, before) = Occupied::one_of(&self.requests);
        let headroom = Headroom::beside(before, self.descriptors.shares(limits).requests, limits.reserved_percent);
        (occupied, Ingress { headroom: connection.headroom.max(headroom), ..connection })
    }

    /// The current headroom of a connection. One that was accepted beyond a limit is checked again for each of its
    /// requests; once there is room, it keeps it.
    pub(crate) fn room_now(&self, headroom: Headroom, limits: &Limits) -> Headroom {
        match headroom {
            Headroom::Free => Headroom::Free,
            Headroom::Reserved | Headroom::Full => {
                let others = self.open_connections().saturating_sub(1);
                Headroom::beside(others, self.descriptors.shares(limits).connections, limits.reserved_percent)
            }
        }
    }

    /// A record for a request whose head was complete at `since`.
    pub(crate) fn record<'r>(&'r self, snapshot: &'r Snapshot, lines: &Lines<'_>, since: Instant) -> RequestRecord<'r> {
        RequestRecord::of(&self.telemetry, &snapshot.tables, &snapshot.policy, lines, since)
    }

    /// The configuration that judges a request, where one in force is not yet for all accounts; with its record.
    pub(crate) fn choose<'r>(
        &'r self,
        snapshot: &'r Snapshot,
        head: &Head<'_>,
        scope: ListenerScope,
        since: Instant,
    ) -> (&'r Snapshot, RequestRecord<'r>) {
        let (snapshot, counts, accounts) = match &snapshot.stage {
            None => (snapshot, snapshot.staging.as_deref(), None),
            Some(stage) => {
                let before = &**stage.before();
                let accounts = stage.accounts((&before.policy, &snapshot.policy), head, scope, self.now());
                let judges = if accounts == Some(Accounts::Others) { before } else { snapshot };
                (judges, accounts.map(|_| stage.counts()), accounts)
            }
        };
        let mut record = self.record(snapshot, &head.lines, since);
        record.staged(counts, accounts);
        (snapshot, record)
    }

    /// Answers a request whose head could be judged. `respond` writes the outcome to the connection's sink; it gets
    /// whether the connection ends after it, and returns the bytes of the body.
    pub(crate) async fn answer<'g, D: Downstream>(
        &'g self,
        snapshot: &'g Snapshot,
        head: &Head<'_>,
        downstream: &mut D,
        mut record: RequestRecord<'g>,
        ingress: Ingress,
        respond: impl FnOnce(&mut D, &Context<'_, '_>, &Outcome<'_>, bool) -> usize,
    ) -> Answered<'g> {
        let (transaction, trace) = (record.transaction(), record.trace());
        let (policy, now) = (&*snapshot.policy, self.now());
        let mut trail = Trail::default();
        let internal = Problem::new(Row::Internal, "a panic while the request was served");
        // A panic becomes an `internal` answer instead of a closed connection.
        let admitted = AssertUnwindSafe(|| admit(&mut Unobserved, policy, head, now, ingress, &mut trail));
        let turn = catch_unwind(admitted).unwrap_or(Err(internal));
        record.admitted(&trail, &head.lines);
        let shadow = snapshot.shadow.as_deref().map(Shadow::feed);
        record.judged(head, ingress, now, turn.is_err(), shadow);
        if let Some(usage) = self.telemetry.usage() {
            note_origin(usage, &mut record, (policy, head, &trail), turn.as_ref().err(), now);
        }
        let counted = self.count(&trail);
        let context =
            Context { policy, lines: &head.lines, trail, transaction: &transaction, trace: trace.as_ref(), now };
        let (told, page, found);
        let (mut bill, mut lead, mut share) = (Bill::nothing(&self.ledger), None, None);
        let outcome = match turn {
            Ok(Turn::Preflight(preflight)) => Outcome::Preflight(preflight),
            Ok(Turn::Enquiry(_)) if timeout(BALANCES_PATIENCE, self.ledger.known()).await.is_err() => {
                Outcome::Refused(CANNOT_BE_USED)
            }
            Ok(Turn::Enquiry(principal)) => match self.ledger.known_of(principal.credit_accounts()).await {
                Ok(()) => {
                    told = account_info::tell(principal, now);
                    Outcome::Told(&told)
                }
                Err(_) => Outcome::Refused(CREDITS_UNAVAILABLE),
            },
            Ok(Turn::Page(found, rendition)) => {
                page = found;
                page.rendition(rendition).map_or(Outcome::Refused(internal), Outcome::Page)
            }
            Ok(Turn::Lookup(admission)) => {
                let lookup = Lookup { snapshot, head, context: &context, headroom: ingress.headroom };
                let looked_up = AssertUnwindSafe(self.look_up(lookup, admission, downstream, &mut record));
                match looked_up.catch_unwind().await.unwrap_or(Err(internal.into())) {
                    Ok(looked_up) => {
                        (found, bill, lead, share) = (looked_up.found, looked_up.bill, looked_up.lead, looked_up.share);
                        Outcome::Delivered(found.delivered(), bill.receipt())
                    }
                    Err(Unanswered::Refused(problem)) => Outcome::Refused(problem),
                    Err(Unanswered::Gone) => return Answered::Gone,
                }
            }
            Err(problem) => Outcome::Refused(problem),
        };
        // What was counted of a quota is written down first, as a charge is: a crash loses neither.
        let is_written = is_written(counted).await;
        let outcome = match outcome {
            Outcome::Delivered(..) if !is_written => {
                (bill, lead) = (Bill::nothing(&self.ledger), None);
                Outcome::Refused(CANNOT_BE_USED)
            }
            outcome => outcome,
        };
        let context = Context { now: self.now(), ..context };
        let problem = outcome.problem();
        problem.inspect(|problem| refusal_log::refused(&context, *problem, record.upstream_status()));
        let bytes = respond(downstream, &context, &outcome, problem.is_some_and(|problem| problem.row.closes()));
        record.answered(&outcome, bytes);
        Answered::Written(Settlement::new(bill, record, lead, share))
    }

    /// Has it written down that quotas have counted a request, if any have.
    fn count(&self, trail: &Trail<'_>) -> Option<oneshot::Receiver<()>> {
        let meter = trail.principal.filter(|_| trail.counted)?.account.meter.as_ref()?;
        self.ledger.count(meter)
    }

    /// Refuses a request whose head could not be judged.
    pub(crate) fn refuse<'r>(
        &'r self,
        snapshot: &'r Snapshot,
        sink: &mut impl Sink,
        lines: &Lines<'_>,
        problem: Problem,
    ) -> Settlement<'r> {
        let mut record = self.record(snapshot, lines, Instant::now());
        let (transaction, trail, policy) = (record.transaction(), Trail::default(), &*snapshot.policy);
        record.admitted(&trail, lines);
        let context = Context { policy, lines, trail, transaction: &transaction, trace: None, now: self.now() };
        if problem.row == Row::Overloaded {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
        }
        refusal_log::refused(&context, problem, 0);
        let outcome = Outcome::Refused(problem);
        let bytes = respond::write(sink, &context, &outcome);
        record.answered(&outcome, bytes);
        Settlement::new(Bill::nothing(&self.ledger), record, None, None)
    }
}

/// Where a request came from, as far as that says how to mend its refusal: its address if its token is not known or may
/// not be used from there, the host of the page if that is what the token may not be used on.
#[cold]
fn origin_of(policy: &Policy, head: &Head<'_>, trail: &Trail<'_>, refused: Option<&Problem>) -> Origin {
    let row = refused.map(|problem| problem.row);
    let wants_address = trail.watched.networks || trail.principal.is_none() || row == Some(Row::IpNotAllowed);
    let address = match network::client(&policy.trusted_proxies, head.peer, &head.lines) {
        Client::Address(address) if wants_address => Some(address),
        Client::Address(_) | Client::Unknown => None,
    };
    let wants_host = trail.watched.domains || row == Some(Row::DomainNotAllowed);
    let host = if wants_host { domain::named(&head.lines) } else { None };
    Origin { address, host }
}

/// Notes where a request came from that is refused, or watched, and where its token is used from.
fn note_origin(
    usage: &Usage,
    record: &mut RequestRecord<'_>,
    (policy, head, trail): (&Policy, &Head<'_>, &Trail<'_>),
    refused: Option<&Problem>,
    now: Now,
) {
    if refused.is_some() || trail.watched != Watched::default() {
        record.came_from(origin_of(policy, head, trail, refused));
    }
    if let Some(sources) = usage.sources() {
        count_source(sources, policy, head, trail, refused, now);
    }
}

/// Counts where a token is used from, if its lists have let the request pass: whatever else refuses it comes later in
/// the order of the rows.
fn count_source(
    sources: &SourceCounts,
    policy: &Policy,
    head: &Head<'_>,
    trail: &Trail<'_>,
    refused: Option<&Problem>,
    now: Now,
) {
    let Some(principal) = trail.principal else { return };
    if refused.is_none_or(|problem| problem.row > Row::DomainNotAllowed) {
        let client = network::client(&policy.trusted_proxies, head.peer, &head.lines);
        sources.count(&principal, client, &head.lines, now);
    }
}

/// Whether what had to be written before an answer leaves is on the disk.
async fn is_written(counted: Option<oneshot::Receiver<()>>) -> bool {
    match counted {
        None => true,
        Some(written) => matches!(timeout(COUNT_PATIENCE, written).await, Ok(Ok(()))),
    }
}

/// The most bodies that are judged on separate threads at the same time: half of the processors are left for requests.
fn judging_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2))
}
