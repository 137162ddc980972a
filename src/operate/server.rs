//! The process around the gateway: its services, the ledger, signals, start and stop.
//!
//! How its sockets come to be is `sockets.rs`. What requests get is `gateway.rs`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch, ShutdownWatch};
use pingora_core::services::ServiceReadyNotifier;
use pingora_core::services::background::{BackgroundService, background_service};
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::downstream::listener::Listeners;
use crate::downstream::sockets::Sockets;
use crate::downstream::{accept, serve};
use crate::gateway::{Gateway, refusal_log};
use crate::ledger::Ledger;
use crate::operate::admin::connection::AdminApp;
use crate::operate::admin::{Admin, Operators};
use crate::operate::certificates::{self, Renewal};
use crate::operate::demo::backend::LookupBackend;
use crate::operate::expiry_metrics::Ends;
use crate::operate::reload::{Reloader, Watched};
use crate::operate::status_recorder::Recorder;
use crate::operate::upgrade::{Predecessor, Upgrader};
use crate::platform::descriptors::Descriptors;
use crate::platform::{logging, supervisor};
use crate::policy::LONGEST_GRACE;
use crate::telemetry::Telemetry;
use crate::upstream::figures::Metrics;

/// How often it is looked whether the last connection is gone.
const IDLE_CHECK: Duration = Duration::from_millis(50);

/// How long the end of an idle process waits all the same.
const IDLE_GRACE: Duration = Duration::from_millis(150);

/// What a process serves.
#[derive(Debug)]
pub struct Plan {
    pub config: Config,
    /// The files that the configuration is from, if they are to be watched.
    pub watched: Option<Watched>,
    /// Where the demo's own lookup backend listens, if there is to be one.
    pub demo_backend: Option<SocketAddr>,
    /// The process that this one follows.
    pub predecessor: Option<Predecessor>,
}

/// Serves until a signal ends it: SIGTERM lets requests in flight finish, SIGINT does not; so does a
/// successor that has taken over. `ready` is called once clients are served, `idle` when nothing is
/// in flight any more after the end has begun.
///
/// # Errors
/// A message for the operator when an address cannot be listened on, or when the process may have
/// too few file descriptors.
pub fn run(plan: Plan, ready: impl FnOnce() + Send + 'static, idle: fn()) -> Result<(), String> {
    let Plan { config, watched, demo_backend, mut predecessor } = plan;
    logging::each_second(refusal_log::say_left_out);
    let descriptors = Descriptors::claim()?;
    // Whoever tries the demo out has not chosen its limits.
    if let Some(shortage) = descriptors.shortage(&config.policy.limits).filter(|_| demo_backend.is_none()) {
        log::warn!("{shortage}");
    }
    let taken_over = predecessor.as_mut().map(Predecessor::take_sockets).unwrap_or_default();
    let others = [Some(config.admin), demo_backend].into_iter().flatten();
    let sockets = Arc::new(Sockets::open(&config.listeners, others, taken_over)?);
    let conf = ServerConf {
        threads: config.workers,
        // The watch ends the process, within the grace of the configuration in force then.
        grace_period_seconds: Some(LONGEST_GRACE.as_secs().saturating_add(1)),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let start = config.start();
    let (policy, started) = (Arc::new(config.policy), Instant::now());
    let line = predecessor.as_ref().map(Predecessor::line).transpose()?;
    let ledger = Arc::new(Ledger::start(config.ledger, &policy, started, line));
    let telemetry = Arc::new(Telemetry::start(config.outlets));
    let (books, seen) = (Arc::clone(&ledger), Arc::clone(&telemetry));
    let gateway = Arc::new(Gateway::new(policy, config.settings, books, seen, descriptors, started));
    let recorder = Recorder::start(Arc::clone(&gateway), Arc::clone(&ledger));
    let listeners = config.listeners;

    let (begun, all_begun) = channel();
    let front = Front { gateway: Arc::clone(&gateway), listeners: Arc::clone(&listeners) };
    let clients = server.add_service(sockets.serve("gateway", front, &listeners, begun.clone())?);
    let keeper = server.add_service(background_service("upstreams", UpstreamMaintenance(Arc::clone(&gateway))));
    clients.add_dependency(&keeper);
    if let Some(address) = demo_backend {
        server.add_service(sockets.serve_one("demo backend", LookupBackend, address, begun.clone())?);
    }
    let upgrader = Upgrader::new(Arc::clone(&gateway), Arc::clone(&ledger), recorder.clone(), Arc::clone(&sockets));
    let file = watched.as_ref().map(|watched| watched.path.clone());
    let offered = watched.is_some().then(|| upgrader.clone());
    let reloader = watched.map(|watched| Reloader::start(watched, start, Arc::clone(&gateway), Arc::clone(&ledger)));
    // A change of the configuration can bring certificates where there were none.
    let renewal = Renewal {
        listeners: Arc::clone(&listeners),
        gateway: Arc::clone(&gateway),
        figures: certificates::CertificateMetrics::default(),
    };
    let ends = Ends::new(Arc::clone(&gateway), Arc::clone(&ledger), Arc::clone(&listeners));
    let registry = metrics(&gateway, &ledger, ends, &renewal.figures, reloader.as_ref(), started);
    server.add_service(background_service("renewal", renewal));
    let (token, hosts) = (config.admin_token, config.admin_hosts);
    let operators = Operators {
        reloader: reloader.clone(),
        upgrader: offered,
        config: file,
        token,
        hosts,
        listeners: Arc::clone(&listeners),
    };
    let admin =
        Admin::new(Arc::clone(&gateway), Arc::clone(&ledger), recorder.clone(), registry, config.admin, operators);
    let connections = descriptors.shares(&gateway.snapshot().policy.limits).operators;
    let admin = AdminApp::new(admin, connections);
    server.add_service(sockets.serve_one("admin", admin, config.admin, begun)?);
    if let Some(reloader) = reloader {
        server.add_service(background_service(
            "signals",
            RequestedChanges { reloader, upgrader: upgrader.clone(), telemetry: Arc::clone(&telemetry) },
        ));
    }
    if let Some(interval) = supervisor::watchdog() {
        server.add_service(background_service("watchdog", Watchdog(interval)));
    }
    let mut watch = background_service(
        "watch",
        ShutdownWatcher { gateway, ledger: Arc::clone(&ledger), recorder: recorder.clone(), sockets, idle },
    );
    watch.threads = Some(1);
    server.add_service(watch);

    std::thread::spawn(move || {
        // Nobody sends: this ends once all services have begun, and let their ends go.
        let _ = all_begun.recv();
        ready();
        match predecessor {
            Some(predecessor) => predecessor.follow(),
            None => supervisor::tell("READY=1"),
        }
    });
    server.run(RunArgs { shutdown_signal: Box::new(Signals(upgrader)) });
    recorder.flush();
    ledger.close();
    telemetry.flush();
    Ok(())
}

/// The metrics of everything that is counted.
fn metrics(
    gateway: &Arc<Gateway>,
    ledger: &Ledger,
    ends: Ends,
    certificates: &certificates::CertificateMetrics,
    reloader: Option<&Reloader>,
    started: Instant,
) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ends));
    ledger.register(&mut registry);
    gateway.arrivals().register(&mut registry);
    certificates.register(&mut registry);
    if let Some(reloader) = reloader {
        reloader.register(&mut registry);
    }
    registry.register_collector(Box::new(super::metrics::Metrics { gateway: Arc::clone(gateway), started }));
    let shared = Arc::clone(gateway);
    registry.register_collector(Box::new(Metrics(Box::new(move || shared.upstreams()))));
    registry
}

/// The gateway as the one app of its service, shared with the watch.
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

/// What operators can wish for by a signal: SIGHUP loads the configuration and opens the access log
/// anew, SIGUSR2 upgrades.
struct RequestedChanges {
    reloader: Reloader,
    upgrader: Upgrader,
    telemetry: Arc<Telemetry>,
}

#[async_trait]
impl BackgroundService for RequestedChanges {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let (Ok(mut hangup), Ok(mut user)) = (signal(SignalKind::hangup()), signal(SignalKind::user_defined2())) else {
            log::error!("SIGHUP and SIGUSR2 cannot be received; the admin listener takes the same wishes");
            return;
        };
        loop {
            tokio::select! {
                // An error means that the server is gone, which is the end as well.
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

/// Tells the supervisor that the process is alive, until it is about to end: a supervisor that hears
/// nothing for twice as long starts another one.
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

/// Keeps the upstreams; clients can connect once it was tried to resolve their names.
struct UpstreamMaintenance(Arc<Gateway>);

#[async_trait]
impl BackgroundService for UpstreamMaintenance {
    async fn start_with_ready_notifier(&self, mut shutdown: ShutdownWatch, ready: ServiceReadyNotifier) {
        tokio::select! {
            // An error means that the server is gone, which is the end as well.
            _ = shutdown.changed() => {}
            () = self.0.keep_upstreams(|| ready.notify_ready()) => {}
        }
    }
}

/// Ends the process as soon as the last connection is gone after a SIGTERM or an upgrade, and with it
/// the process before, if that still has some; at the latest when the grace is over.
struct ShutdownWatcher {
    gateway: Arc<Gateway>,
    ledger: Arc<Ledger>,
    sockets: Arc<Sockets>,
    recorder: Recorder,
    idle: fn(),
}

#[async_trait]
impl BackgroundService for ShutdownWatcher {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        // An error means that the server is gone, which is the end as well.
        let _ = shutdown.changed().await;
        self.gateway.stop();
        self.sockets.close();
        let idle = async {
            // A connection that was accepted a moment ago is counted by then, and what operators were
            // told is on its way.
            tokio::time::sleep(IDLE_GRACE).await;
            while self.gateway.open_connections() > 0 || self.ledger.has_predecessor() {
                tokio::time::sleep(IDLE_CHECK).await;
            }
        };
        let grace = self.gateway.snapshot().policy.grace();
        tokio::select! {
            () = idle => {}
            () = tokio::time::sleep(grace) => {
                log::warn!("{} connections are cut, for the grace is over", self.gateway.open_connections());
            }
            () = interrupted() => {}
        }
        self.recorder.flush();
        self.ledger.close();
        self.gateway.telemetry().flush();
        (self.idle)();
    }
}

/// Comes back at a SIGINT, which is for those who do not want to wait.
async fn interrupted() {
    match signal(SignalKind::interrupt()) {
        Ok(mut interrupt) => drop(interrupt.recv().await),
        Err(_) => std::future::pending().await,
    }
}

/// What ends the process: signals, and a successor. SIGQUIT, with which Pingora hands its sockets to
/// a successor, would be an outage without one, and is treated like SIGTERM.
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
