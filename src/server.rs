//! The process around the gateway: its services, the ledger, signals, start and stop.
//!
//! How its sockets come to be is `sockets.rs`. What requests get is `gateway.rs`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch, ShutdownWatch};
use pingora_core::services::ServiceReadyNotifier;
use pingora_core::services::background::{BackgroundService, background_service};
use pingora_core::services::listening::Service;
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::Admin;
use crate::config::Config;
use crate::demo::backend::LookupBackend;
use crate::descriptors::Descriptors;
use crate::gateway::Gateway;
use crate::ledger::Ledger;
use crate::listener::Listeners;
use crate::reload::{Reloader, Watched};
use crate::renewal::{self, Renewal};
use crate::status::recorder::Recorder;
use crate::upstream::figures::Metrics;
use crate::{arrival, sockets};

/// How often it is looked whether the last connection is gone.
const IDLE_CHECK: Duration = Duration::from_millis(50);

/// What a process serves.
#[derive(Debug)]
pub struct Plan {
    pub config: Config,
    /// The files that the configuration is from, if they are to be watched.
    pub watched: Option<Watched>,
    /// Where the demo's own lookup backend listens, if there is to be one.
    pub demo_backend: Option<SocketAddr>,
}

/// Serves until a signal ends it: SIGTERM lets requests in flight finish, SIGINT does not.
/// `ready` is called once clients can connect, `idle` when nothing is in flight any more after a
/// SIGTERM.
///
/// # Errors
/// A message for the operator when an address cannot be listened on, or when the process may have
/// too few file descriptors.
pub fn run(plan: Plan, ready: impl FnOnce() + Send + 'static, idle: fn()) -> Result<(), String> {
    let Plan { config, watched, demo_backend } = plan;
    let descriptors = Descriptors::claim(&config.policy.limits)?;
    sockets::try_out(&config.listeners, [Some(config.admin), demo_backend].into_iter().flatten())?;
    let conf = ServerConf {
        threads: config.workers,
        grace_period_seconds: Some(config.policy.longest_request().as_secs() + 1),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let start = config.start();
    let (policy, started) = (Arc::new(config.policy), Instant::now());
    let ledger = Arc::new(Ledger::start(config.ledger, &policy, started));
    let gateway = Arc::new(Gateway::new(policy, Arc::clone(&ledger), descriptors, started));
    let recorder = Recorder::start(Arc::clone(&gateway), Arc::clone(&ledger));
    let listeners = config.listeners;

    let mut clients =
        Service::new("gateway".to_owned(), Front { gateway: Arc::clone(&gateway), listeners: Arc::clone(&listeners) });
    for listener in sockets::in_order(&listeners) {
        clients.add_listener(sockets::endpoint(listener));
    }
    let clients = server.add_service(clients);
    let keeper = server.add_service(background_service("upstreams", Keeper(Arc::clone(&gateway))));
    clients.add_dependency(&keeper);
    let (shared, books) = (Arc::clone(&gateway), Arc::clone(&ledger));
    let reloader = watched.map(|watched| Reloader::start(watched, start, shared, books));
    let figures = renewal::Figures::default();
    let mut registry = Registry::default();
    ledger.register(&mut registry);
    gateway.arrivals().register(&mut registry);
    figures.register(&mut registry);
    if let Some(reloader) = &reloader {
        reloader.register(&mut registry);
        server.add_service(background_service("hangups", Hangups(reloader.clone())));
    }
    let shared = Arc::clone(&gateway);
    registry.register_collector(Box::new(Metrics(Box::new(move || shared.upstreams()))));
    let (shared, books) = (Arc::clone(&gateway), Arc::clone(&ledger));
    let admin = Admin::new(shared, books, recorder.clone(), reloader, registry, config.admin, config.admin_token);
    let mut admin = Service::new("admin".to_owned(), admin);
    admin.threads = Some(1);
    admin.add_tcp(&config.admin.to_string());
    server.add_service(admin);
    if let Some(address) = demo_backend {
        let mut backend = Service::new("demo backend".to_owned(), LookupBackend);
        backend.threads = Some(1);
        backend.add_tcp(&address.to_string());
        server.add_service(backend);
    }
    // A change of the configuration can bring certificates where there were none.
    let renewal = Renewal { listeners: Arc::clone(&listeners), gateway: Arc::clone(&gateway), figures };
    server.add_service(background_service("renewal", renewal));
    let mut watch =
        background_service("watch", Watch { gateway, ledger: Arc::clone(&ledger), recorder: recorder.clone(), idle });
    watch.threads = Some(1);
    server.add_service(watch);

    std::thread::spawn(move || {
        sockets::wait_for_all(&listeners, config.admin);
        ready();
    });
    server.run(RunArgs { shutdown_signal: Box::new(Signals) });
    recorder.flush();
    ledger.close();
    Ok(())
}

/// The gateway as the one app of its service, shared with the watch.
struct Front {
    gateway: Arc<Gateway>,
    listeners: Arc<Listeners>,
}

#[async_trait]
impl ServerApp for Front {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        if let Some(listener) = self.listeners.of(|| arrival::local(&stream)) {
            self.gateway.serve(stream, listener, shutdown).await;
        }
        None
    }
}

/// Loads the configuration anew at each SIGHUP.
struct Hangups(Reloader);

#[async_trait]
impl BackgroundService for Hangups {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let Ok(mut hangup) = signal(SignalKind::hangup()) else {
            log::error!("SIGHUP cannot be received; the configuration is watched all the same");
            return;
        };
        loop {
            tokio::select! {
                // An error means that the server is gone, which is the end as well.
                _ = shutdown.changed() => return,
                received = hangup.recv() => match received {
                    Some(()) => self.0.reload_soon(),
                    None => return,
                },
            }
        }
    }
}

/// Keeps the upstreams; clients can connect once it was tried to resolve their names.
struct Keeper(Arc<Gateway>);

#[async_trait]
impl BackgroundService for Keeper {
    async fn start_with_ready_notifier(&self, mut shutdown: ShutdownWatch, ready: ServiceReadyNotifier) {
        tokio::select! {
            // An error means that the server is gone, which is the end as well.
            _ = shutdown.changed() => {}
            () = self.0.keep_upstreams(|| ready.notify_ready()) => {}
        }
    }
}

/// Ends the process as soon as the last connection is gone after a SIGTERM.
struct Watch {
    gateway: Arc<Gateway>,
    ledger: Arc<Ledger>,
    recorder: Recorder,
    idle: fn(),
}

#[async_trait]
impl BackgroundService for Watch {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        // An error means that the server is gone, which is the end as well.
        let _ = shutdown.changed().await;
        self.gateway.stop();
        // A connection that was accepted a moment ago is counted by then.
        tokio::time::sleep(IDLE_CHECK).await;
        while self.gateway.open_connections() > 0 {
            tokio::time::sleep(IDLE_CHECK).await;
        }
        self.recorder.flush();
        self.ledger.close();
        (self.idle)();
    }
}

/// The signals that end the process. SIGQUIT, with which Pingora hands its sockets to a successor,
/// would be an outage without one, and is treated like SIGTERM.
struct Signals;

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let (Ok(mut terminate), Ok(mut quit), Ok(mut interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::quit()), signal(SignalKind::interrupt()))
        else {
            log::error!("signals cannot be received; the process stops");
            return ShutdownSignal::FastShutdown;
        };
        tokio::select! {
            _ = terminate.recv() => ShutdownSignal::GracefulTerminate,
            _ = quit.recv() => ShutdownSignal::GracefulTerminate,
            _ = interrupt.recv() => ShutdownSignal::FastShutdown,
        }
    }
}
