//! The process around the gateway: its services, ledger, signals, start and stop.
//!
//! Sockets are opened in `downstream/sockets.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::Router;
use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch, ShutdownWatch};
use pingora_core::services::ServiceReadyNotifier;
use pingora_core::services::background::{BackgroundService, background_service};
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::api::ApiListener;
use crate::config::portal::PortalSettings;
use crate::config::{Config, Start};
use crate::downstream::listener::Listeners;
use crate::downstream::sockets::Sockets;
use crate::downstream::{accept, serve};
use crate::gateway::idempotency::KeptAnswers;
use crate::gateway::{Gateway, refusal_log};
use crate::ledger::store::randomness::SystemRandomness;
use crate::ledger::store::{Location, Store};
use crate::ledger::{Ledger, opening};
use crate::operate::admin::connection::AdminApp;
use crate::operate::admin::{Admin, Operators};
use crate::operate::alerts::Alerter;
use crate::operate::answer_recorder::{AnswerMetrics, AnswerRecorder};
use crate::operate::api::access::Api;
use crate::operate::api::connection::{ApiApp, OpenConnections};
use crate::operate::api::in_force::InForce;
use crate::operate::api::router;
use crate::operate::billing::Biller;
use crate::operate::cases::{self, Surroundings};
use crate::operate::certificates::{self, Renewal};
use crate::operate::demo::backend::LookupBackend;
use crate::operate::expiry_metrics::Ends;
use crate::operate::failure::Failure;
use crate::operate::jwks::KeyFetcher;
use crate::operate::reload::{Reloader, WatchedConfig};
use crate::operate::shadow::ShadowMetrics;
use crate::operate::stage::StageMetrics;
use crate::operate::status_recorder::Recorder;
use crate::operate::store_feed::StoreFeed;
use crate::operate::upgrade::{Predecessor, Upgrader};
use crate::operate::usage_recorder::UsageRecorder;
use crate::platform::answer_key::AnswerKey;
use crate::platform::clock::unix_seconds;
use crate::platform::count::counted;
use crate::platform::descriptors::{Descriptors, Shares};
use crate::platform::{logging, priority, supervisor};
use crate::policy::account::Digest;
use crate::policy::idempotency::Secret;
use crate::policy::{LONGEST_GRACE, Policy};
use crate::telemetry::Telemetry;
use crate::telemetry::usage::Usage;
use crate::upstream::figures::Metrics;

/// How often it is checked whether the last connection is closed.
const IDLE_CHECK: Duration = Duration::from_millis(50);

/// How long an idle process waits before it ends.
const IDLE_GRACE: Duration = Duration::from_millis(150);

/// Makes the pages of the portal over the management API.
pub type MakePortal = fn(PortalSettings, &Arc<Api>, &Arc<Gateway>) -> Result<Router, String>;

/// What a process serves.
#[derive(Debug)]
pub struct Plan {
    pub config: Config,
    /// The files of the configuration, if they are to be watched.
    pub watched: Option<WatchedConfig>,
    /// The address of the demo's own lookup backend, for the demo.
    pub demo_backend: Option<SocketAddr>,
    /// What makes the pages of the portal, if the configuration has one.
    pub portal: MakePortal,
    /// The process from which this one takes over.
    pub predecessor: Option<Predecessor>,
}

/// Serves until a signal or a successor ends it: SIGTERM and a successor let requests in flight
/// finish, SIGINT does not. `ready` is called once clients are served, `idle` when no request is in
/// flight after the shutdown has begun.
///
/// # Errors
/// That an address cannot be listened on, or that the process may have too few file descriptors.
pub fn run(plan: Plan, ready: impl FnOnce() + Send + 'static, idle: fn()) -> Result<(), Failure> {
    let Plan { mut config, watched, demo_backend, portal: make_portal, mut predecessor } = plan;
    logging::each_second(refusal_log::say_left_out);
    let descriptors = Descriptors::claim()?;
    // No warning for the demo, whose limits the operator has not chosen.
    if let Some(shortage) = descriptors.shortage(&config.policy.limits).filter(|_| demo_backend.is_none()) {
        log::warn!("{shortage}");
    }
    let taken_over = predecessor.as_mut().map(Predecessor::take_sockets).unwrap_or_default();
    let start = config.start();
    let (api, portal) = (config.api.take(), config.portal.take());
    let listens = AdminListener::take(&mut config);
    let of_portal = portal.as_ref().map(|portal| portal.listener.address);
    let others = [Some(listens.address), api.as_ref().map(|api| api.address), of_portal, demo_backend];
    let sockets = Arc::new(Sockets::open(&config.listeners, others.into_iter().flatten(), taken_over)?);
    let mut server = server_of(config.workers);
    let node = Node::start(config, descriptors, Arc::clone(&sockets), predecessor.as_ref())?;
    let controls = Controls::start(&node, watched, start);

    let (begun, all_begun) = channel();
    let clients = server.add_service(sockets.serve("gateway", node.front(), &node.listeners, begun.clone())?);
    let upstreams = UpstreamMaintenance(Arc::clone(&node.gateway));
    clients.add_dependency(server.add_service(background_service("upstreams", upstreams)));
    if let Some(address) = demo_backend {
        server.add_service(sockets.serve_one("demo backend", LookupBackend, address, begun.clone())?);
    }
    // Always running, since a change of the configuration can add certificates.
    let renewal = node.renewal(api.as_ref(), portal.as_ref());
    let registry = node.metrics(&renewal, controls.reloader.as_ref());
    server.add_service(background_service("renewal", renewal));
    let mut of_operators = Vec::new();
    for (name, app, address) in node.management(api, portal, make_portal, controls.reloader.clone())? {
        of_operators.push(app.open_connections());
        server.add_service(sockets.serve_one(name, app, address, begun.clone())?);
    }
    let address = listens.address;
    let admin = node.admin(listens, registry, &controls);
    server.add_service(sockets.serve_one("admin", admin, address, begun)?);
    controls.add_services(&mut server, &node);
    let mut watch = background_service("watch", node.shutdown_watcher(of_operators, idle));
    watch.threads = Some(1);
    server.add_service(watch);

    std::thread::spawn(move || {
        // Nothing is ever sent: this returns once all services have begun and dropped their
        // senders.
        let _ = all_begun.recv();
        ready();
        match predecessor {
            Some(predecessor) => predecessor.follow(),
            None => supervisor::tell("READY=1"),
        }
    });
    server.run(RunArgs { shutdown_signal: Box::new(Signals(controls.upgrader)) });
    node.close();
    Ok(())
}

/// Pingora's server, without services.
fn server_of(workers: usize) -> Server {
    let conf = ServerConf {
        threads: workers,
        // `ShutdownWatcher` ends the process, within the grace period of the configuration in force
        // then.
        grace_period_seconds: Some(LONGEST_GRACE.as_secs().saturating_add(1)),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    server
}

/// Where the admin listener is, and whom it lets in.
struct AdminListener {
    address: SocketAddr,
    /// The digest of the admin token, if there is one.
    token: Option<Digest>,
    /// Names in `Host` beside those of the machine itself.
    hosts: Box<[Box<str>]>,
}

impl AdminListener {
    fn take(config: &mut Config) -> AdminListener {
        let (address, token) = (config.admin, config.admin_token.take());
        AdminListener { address, token, hosts: std::mem::take(&mut config.admin_hosts) }
    }
}

/// What the services of a process share.
struct Node {
    gateway: Arc<Gateway>,
    ledger: Arc<Ledger>,
    telemetry: Arc<Telemetry>,
    recorder: Recorder,
    /// What writes usage and refusals, if there is a store.
    usage_recorder: Option<UsageRecorder>,
    /// What writes answers that are kept, if there is a store.
    answer_recorder: Option<AnswerRecorder>,
    /// What sends usage for billing, if it goes anywhere.
    biller: Option<Biller>,
    /// What fetches the keys of identity providers.
    key_fetcher: KeyFetcher,
    /// What tells of low balances and of tokens about to end, if anybody is told.
    alerter: Option<Arc<Alerter>>,
    listeners: Arc<Listeners>,
    sockets: Arc<Sockets>,
    descriptors: Descriptors,
    store: Option<Arc<Store>>,
    /// The store's changes on their way into the policy, if there is a store.
    feed: Option<StoreFeed>,
    started: Instant,
}

impl Node {
    /// Opens the store and the ledger, and starts what writes to them.
    fn start(
        config: Config,
        descriptors: Descriptors,
        sockets: Arc<Sockets>,
        predecessor: Option<&Predecessor>,
    ) -> Result<Node, Failure> {
        let store = config.store.as_ref().map(|store| open(&store.location)).transpose()?;
        let mut policy = config.policy;
        let of_store = config.store.as_ref().zip(store.as_ref());
        let feed = of_store.map(|(at, store)| StoreFeed::load(at, Arc::clone(store), &mut policy)).transpose()?;
        let tested = Surroundings { policy: &policy, has_read_store: true, now: unix_seconds() };
        for warning in cases::check(&config.tests, tested)? {
            log::warn!("{warning}");
        }
        let (policy, started) = (Arc::new(policy), Instant::now());
        let line = predecessor.map(Predecessor::line).transpose()?;
        let ledger = opening::start(config.ledger, &policy, started, line);
        let usage = config.store.as_ref().map(|store| Arc::new(Usage::new(store.addresses, store.counts_sources)));
        let usage_recorder = usage.clone().zip(store.clone()).map(|(usage, store)| UsageRecorder::start(usage, store));
        let biller = config.billing.zip(store.clone()).map(|(billing, store)| Biller::start(billing, store));
        let telemetry = Arc::new(Telemetry::start(config.outlets, usage));
        let (books, seen) = (Arc::clone(&ledger), Arc::clone(&telemetry));
        let key = store.as_ref().map_or(Ok(None), |store| answer_key(store, &policy))?;
        let answers = key
            .as_ref()
            .map_or_else(KeptAnswers::in_memory, |key| KeptAnswers::new(Secret::from_bytes(&key.secret()), true));
        let gateway = Gateway::new(policy, config.settings, books, seen, descriptors, started).keeping(answers);
        let gateway = Arc::new(gateway);
        let kept = key.zip(store.clone());
        let answer_recorder = kept.map(|(key, store)| AnswerRecorder::start(Arc::clone(&gateway), store, key));
        let (shared, books) = (Arc::clone(&gateway), Arc::clone(&ledger));
        let alerter = config.alerts.zip(store.clone());
        let alerter = alerter.map(|(alerts, store)| Arc::new(Alerter::start(alerts, store, shared, books)));
        let key_fetcher = KeyFetcher::start(Arc::clone(&gateway));
        let recorder = Recorder::start(Arc::clone(&gateway), Arc::clone(&ledger));
        let listeners = config.listeners;
        Ok(Node {
            gateway,
            ledger,
            telemetry,
            recorder,
            usage_recorder,
            answer_recorder,
            biller,
            key_fetcher,
            alerter,
            listeners,
            sockets,
            descriptors,
            store,
            feed,
            started,
        })
    }

    fn front(&self) -> Front {
        Front { gateway: Arc::clone(&self.gateway), listeners: Arc::clone(&self.listeners) }
    }

    /// What reads certificates again before they end.
    fn renewal(&self, api: Option<&ApiListener>, portal: Option<&PortalSettings>) -> Renewal {
        let own = [("the management API", api), ("the portal", portal.map(|portal| &portal.listener))];
        Renewal {
            listeners: Arc::clone(&self.listeners),
            own: own.into_iter().filter_map(|(owner, at)| Some((owner, at?.tls.clone()?))).collect(),
            gateway: Arc::clone(&self.gateway),
            figures: certificates::CertificateMetrics::default(),
        }
    }

    /// The metrics of everything that is counted.
    fn metrics(&self, renewal: &Renewal, reloader: Option<&Reloader>) -> Registry {
        let (gateway, ledger) = (&self.gateway, &self.ledger);
        let mut registry = Registry::default();
        let (shared, books, listeners) = (Arc::clone(gateway), Arc::clone(ledger), Arc::clone(&self.listeners));
        registry.register_collector(Box::new(Ends::new(shared, books, listeners, renewal.own.clone())));
        ledger.register(&mut registry);
        self.key_fetcher.register(&mut registry);
        gateway.arrivals().register(&mut registry);
        renewal.figures.register(&mut registry);
        if let Some(reloader) = reloader {
            reloader.register(&mut registry);
        }
        let of_gateway = super::metrics::Metrics { gateway: Arc::clone(gateway), started: self.started };
        registry.register_collector(Box::new(of_gateway));
        registry.register_collector(Box::new(ShadowMetrics(Arc::clone(gateway))));
        registry.register_collector(Box::new(StageMetrics(Arc::clone(gateway))));
        let shared = Arc::clone(gateway);
        registry.register_collector(Box::new(Metrics(Box::new(move || shared.upstreams()))));
        if let Some(feed) = &self.feed {
            feed.register(&mut registry);
        }
        if let Some(recorder) = &self.usage_recorder {
            recorder.register(&mut registry);
        }
        registry.register_collector(Box::new(AnswerMetrics(Arc::clone(gateway))));
        if let Some(recorder) = &self.answer_recorder {
            recorder.register(&mut registry);
        }
        if let Some(biller) = &self.biller {
            biller.register(&mut registry);
        }
        if let Some(alerter) = &self.alerter {
            alerter.register(&mut registry);
        }
        registry
    }

    fn admin(&self, listens: AdminListener, registry: Registry, controls: &Controls) -> AdminApp {
        let AdminListener { address, token, hosts } = listens;
        let operators = Operators {
            reloader: controls.reloader.clone(),
            upgrader: controls.file.is_some().then(|| controls.upgrader.clone()),
            config: controls.file.clone(),
            token,
            hosts,
            listeners: Arc::clone(&self.listeners),
        };
        let (gateway, ledger) = (Arc::clone(&self.gateway), Arc::clone(&self.ledger));
        let admin = Admin::new(gateway, ledger, self.recorder.clone(), registry, address, operators);
        AdminApp::new(admin, self.shares().operators)
    }

    /// The management API and the portal over it, as far as they are configured and there is a store for them: what
    /// each is called, what serves it, and where.
    fn management(
        &self,
        listener: Option<ApiListener>,
        portal: Option<PortalSettings>,
        make_portal: MakePortal,
        reloader: Option<Reloader>,
    ) -> Result<Vec<(&'static str, ApiApp, SocketAddr)>, Failure> {
        let (Some(store), Some(feed)) = (&self.store, &self.feed) else { return Ok(Vec::new()) };
        let (store, ledger) = (Arc::clone(store), Some(Arc::clone(&self.ledger)));
        let in_force = InForce::Gateway(Arc::clone(&self.gateway), feed.clone());
        let api = Arc::new(Api {
            store,
            ledger,
            recorder: Some(self.recorder.clone()),
            reloader,
            in_force,
            patience: UNTIL_IN_FORCE,
        });
        let connections = self.shares().api;
        let mut apps = Vec::new();
        if let Some(ApiListener { address, tls }) = listener {
            // Changes have to count also while requests use all processors.
            apps.push(("api", ApiApp::new(router::router(&api)?, tls, connections, priority::lower), address));
        }
        if let Some(settings) = portal {
            let ApiListener { address, tls } = settings.listener.clone();
            let pages = make_portal(settings, &api, &self.gateway)?;
            apps.push(("portal", ApiApp::new(pages, tls, connections, priority::run_when_idle), address));
        }
        Ok(apps)
    }

    fn shares(&self) -> Shares {
        self.descriptors.shares(&self.gateway.snapshot().policy.limits)
    }

    fn shutdown_watcher(&self, of_operators: Vec<OpenConnections>, idle: fn()) -> ShutdownWatcher {
        ShutdownWatcher {
            gateway: Arc::clone(&self.gateway),
            ledger: Arc::clone(&self.ledger),
            recorder: self.recorder.clone(),
            usage_recorder: self.usage_recorder.clone(),
            answer_recorder: self.answer_recorder.clone(),
            alerter: self.alerter.clone(),
            sockets: Arc::clone(&self.sockets),
            store: self.store.clone(),
            of_operators,
            idle,
        }
    }

    /// Writes what is to be written, once no request is served any more.
    fn close(&self) {
        if let Some(feed) = &self.feed {
            feed.stop();
        }
        if let Some(biller) = &self.biller {
            biller.stop();
        }
        self.key_fetcher.stop();
        self.recorder.flush();
        if let Some(recorder) = &self.usage_recorder {
            recorder.flush();
        }
        if let Some(recorder) = &self.answer_recorder {
            recorder.flush();
        }
        self.ledger.close();
        self.telemetry.flush();
    }
}

/// How operators change what the process serves.
struct Controls {
    /// The main file of the configuration, if its files are watched.
    file: Option<PathBuf>,
    /// What loads changed files and changes of the store's accounts, if the files are watched.
    reloader: Option<Reloader>,
    upgrader: Upgrader,
}

impl Controls {
    fn start(node: &Node, watched: Option<WatchedConfig>, start: Start) -> Controls {
        let (gateway, ledger) = (&node.gateway, &node.ledger);
        let file = watched.as_ref().map(|watched| watched.path.clone());
        let source = node.feed.as_ref().map(|feed| feed.source(Arc::clone(ledger)));
        let reloader =
            watched.map(|watched| Reloader::start(watched, start, Arc::clone(gateway), Arc::clone(ledger), source));
        if let (Some(feed), Some(reloader)) = (&node.feed, &reloader) {
            feed.follow(reloader.clone(), Arc::clone(gateway), Arc::clone(ledger));
        }
        let (sockets, recorder) = (Arc::clone(&node.sockets), node.recorder.clone());
        Controls { file, reloader, upgrader: Upgrader::new(Arc::clone(gateway), Arc::clone(ledger), recorder, sockets) }
    }

    /// Signals of operators, and the supervisor's watchdog.
    fn add_services(&self, server: &mut Server, node: &Node) {
        if let Some(reloader) = self.reloader.clone() {
            let (upgrader, telemetry) = (self.upgrader.clone(), Arc::clone(&node.telemetry));
            server.add_service(background_service("signals", RequestedChanges { reloader, upgrader, telemetry }));
        }
        if let Some(interval) = supervisor::watchdog() {
            server.add_service(background_service("watchdog", Watchdog(interval)));
        }
    }
}

/// How long an answer of the management API waits until its change is in force, which takes milliseconds.
const UNTIL_IN_FORCE: Duration = Duration::from_secs(1);

/// The key of answers that are kept in a store. Where several gateways share one, they share the key, and need it only if a
/// product keeps answers: nobody makes it for them.
fn answer_key(store: &Store, policy: &Policy) -> Result<Option<AnswerKey>, String> {
    match store.location() {
        Location::File(path) => AnswerKey::beside(path).map(Some),
        Location::Postgres(settings) if policy.products.iter().any(|product| product.idempotency.is_some()) => {
            AnswerKey::shared(&settings.portal_key).map(Some)
        }
        Location::Postgres(_) => Ok(None),
    }
}

/// Opens the store. A database that is away is waited for: without it nobody knows the accounts of the store, and their
/// requests would be refused as those of strangers.
fn open(location: &Location) -> Result<Arc<Store>, String> {
    /// The time between two attempts, and the attempts between two messages.
    const RETRY: (Duration, u32) = (Duration::from_secs(1), 30);
    for attempt in 0_u32.. {
        match Store::open(location, Box::new(SystemRandomness)) {
            Err(error) if error.is_passing() && location.file().is_none() => {
                if attempt.is_multiple_of(RETRY.1) {
                    log::warn!(target: "tollgate::store", "{location}: {error}; nothing is served until it answers");
                }
                std::thread::sleep(RETRY.0);
            }
            opened => return opened.map(Arc::new).map_err(|error| format!("{location}: {error}")),
        }
    }
    Err(format!("{location}: cannot be reached"))
}

/// The gateway as a Pingora app, shared with the `ShutdownWatcher`.
struct Front {
    gateway: Arc<Gateway>,
    listeners: Arc<Listeners>,
}

#[async_trait]
impl ServerApp for Front {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        if let Some(listener) = self.listeners.of(|| accept::local(&stream)) {
            serve::serve(&self.gateway, stream, listener, shutdown).await;
        }
        None
    }
}

/// Signals for changes: SIGHUP reloads the configuration and reopens the access log, SIGUSR2
/// upgrades.
struct RequestedChanges {
    reloader: Reloader,
    upgrader: Upgrader,
    telemetry: Arc<Telemetry>,
}

#[async_trait]
impl BackgroundService for RequestedChanges {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let (Ok(mut hangup), Ok(mut user)) = (signal(SignalKind::hangup()), signal(SignalKind::user_defined2())) else {
            log::error!("SIGHUP and SIGUSR2 cannot be received; use `tollgate reload` and `tollgate upgrade`");
            return;
        };
        loop {
            tokio::select! {
                // An error means that the server has ended, which is a shutdown as well.
                _ = shutdown.changed() => return,
                Some(()) = hangup.recv() => {
                    self.telemetry.reopen();
                    self.reloader.reload_soon();
                }
                Some(()) = user.recv() => self.upgrader.upgrade_soon(),
                else => return,
            }
        }
    }
}

/// Notifies the supervisor that the process is alive, until it is about to end. A supervisor
/// without notifications for twice the interval restarts the process.
struct Watchdog(Duration);

#[async_trait]
impl BackgroundService for Watchdog {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        loop {
            supervisor::tell("WATCHDOG=1");
            tokio::select! {
                () = tokio::time::sleep(self.0) => {}
                _ = shutdown.changed() => return,
            }
        }
    }
}

/// Runs the background work of upstreams; clients can connect once their names were looked up.
struct UpstreamMaintenance(Arc<Gateway>);

#[async_trait]
impl BackgroundService for UpstreamMaintenance {
    async fn start_with_ready_notifier(&self, mut shutdown: ShutdownWatch, ready: ServiceReadyNotifier) {
        tokio::select! {
            // An error means that the server has ended, which is a shutdown as well.
            _ = shutdown.changed() => {}
            () = self.0.keep_upstreams(|| ready.notify_ready()) => {}
        }
    }
}

/// Ends the process after a SIGTERM or an upgrade, as soon as the last connection is closed, here
/// and in a predecessor that is still running; at the latest when the grace period is over.
struct ShutdownWatcher {
    gateway: Arc<Gateway>,
    ledger: Arc<Ledger>,
    sockets: Arc<Sockets>,
    recorder: Recorder,
    store: Option<Arc<Store>>,
    usage_recorder: Option<UsageRecorder>,
    answer_recorder: Option<AnswerRecorder>,
    alerter: Option<Arc<Alerter>>,
    /// Those of the management API, which end with the answers that they wait for.
    /// Those of the management API and of the portal.
    of_operators: Vec<OpenConnections>,
    idle: fn(),
}

#[async_trait]
impl BackgroundService for ShutdownWatcher {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        // An error means that the server has ended, which is a shutdown as well.
        let _ = shutdown.changed().await;
        self.gateway.stop();
        self.sockets.close();
        let idle = async {
            // By then, a connection that was just accepted is counted, and answers to operators are
            // sent.
            tokio::time::sleep(IDLE_GRACE).await;
            let of_api = || self.of_operators.iter().map(OpenConnections::count).sum::<usize>();
            while self.gateway.open_connections() > 0 || of_api() > 0 || self.ledger.has_predecessor() {
                tokio::time::sleep(IDLE_CHECK).await;
            }
        };
        let grace = self.gateway.snapshot().policy.grace();
        tokio::select! {
            () = idle => {}
            () = tokio::time::sleep(grace) => {
                let open = counted(self.gateway.open_connections(), "connection");
                log::warn!("grace period over; closing {open}");
            }
            () = interrupted() => {}
        }
        self.recorder.flush();
        if let Some(recorder) = &self.usage_recorder {
            recorder.flush();
        }
        if let Some(recorder) = &self.answer_recorder {
            recorder.flush();
        }
        if let Some(alerter) = &self.alerter {
            // It may wait for a message, and other tasks need this thread.
            let alerter = Arc::clone(alerter);
            let _ = tokio::task::spawn_blocking(move || alerter.stop()).await;
        }
        self.ledger.close();
        if let Some(store) = &self.store {
            store.settle().await;
        }
        self.gateway.telemetry().flush();
        (self.idle)();
    }
}

/// Returns on SIGINT, which ends the process without waiting.
async fn interrupted() {
    match signal(SignalKind::interrupt()) {
        Ok(mut interrupt) => drop(interrupt.recv().await),
        Err(_) => std::future::pending().await,
    }
}

/// What ends the process: signals, and a successor. SIGQUIT, which makes Pingora hand its sockets
/// to a successor, would be an outage without one, and is treated like SIGTERM.
struct Signals(Upgrader);

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let (Ok(mut terminate), Ok(mut quit), Ok(mut interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::quit()), signal(SignalKind::interrupt()))
        else {
            log::error!("signals cannot be received; the process stops");
            return ShutdownSignal::FastShutdown;
        };
        let ends = tokio::select! {
            () = self.0.succeeded() => return ShutdownSignal::GracefulTerminate,
            _ = terminate.recv() => ShutdownSignal::GracefulTerminate,
            _ = quit.recv() => ShutdownSignal::GracefulTerminate,
            _ = interrupt.recv() => ShutdownSignal::FastShutdown,
        };
        supervisor::tell("STOPPING=1");
        ends
    }
}
