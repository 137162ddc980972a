//! Picks up renewed certificates while the gateway runs, by checking their files at intervals.
//!
//! New handshakes use the new certificate; existing connections continue. The files are read and
//! judged in `platform/tls/follow.rs`; the intervals and the log lines are here.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use crate::downstream::listener::Listeners;
use crate::gateway::Gateway;
use crate::platform::tls::follow::{Files, Followed, Found};
use crate::platform::tls::server::ServerTls;

/// How often the files are checked.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Keeps the certificates of listeners and upstreams up to date.
pub struct Renewal {
    pub listeners: Arc<Listeners>,
    /// Those of the management API and of the portal, with the names of these.
    pub own: Vec<(&'static str, Arc<ServerTls>)>,
    pub gateway: Arc<Gateway>,
    pub figures: CertificateMetrics,
}

/// Counts the changes of files, by result.
#[derive(Clone, Debug, Default)]
pub struct CertificateMetrics {
    renewed: Counter,
    broken: Counter,
}

impl CertificateMetrics {
    /// Registers the counts as metrics.
    pub fn register(&self, registry: &mut Registry) {
        let what = "Changes of certificate files that came into force";
        registry.register("tollgate_certificates_renewed", what, self.renewed.clone());
        let what = "Changes of certificate files that could not be used, so that the last good certificates were kept";
        registry.register("tollgate_certificates_broken", what, self.broken.clone());
    }

    fn note<F: Files>(&self, followed: &Followed<F>, whose: impl fmt::Display) {
        match followed.look() {
            Found::NothingNew => {}
            Found::Renewed => {
                self.renewed.inc();
                log::info!("the certificates of {whose} were renewed");
                for overdue in followed.overdue(SystemTime::now()) {
                    log::warn!("{overdue}");
                }
            }
            Found::Broken(faults) => {
                self.broken.inc();
                let told = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; and ");
                log::error!("the certificates of {whose} are not replaced: {told}");
            }
        }
    }
}

impl Renewal {
    /// Checks all files once, on this thread, which has no other work.
    fn look(&self) {
        for listener in &self.listeners.0 {
            if let Some(tls) = &listener.tls {
                self.figures.note(tls, listener);
            }
        }
        for (owner, tls) in &self.own {
            self.figures.note(&**tls, owner);
        }
        for upstream in &self.gateway.snapshot().settings.upstreams {
            if let Some(tls) = &upstream.tls {
                self.figures.note(tls, format_args!("upstream {}", upstream.name));
            }
        }
    }
}

#[async_trait]
impl BackgroundService for Renewal {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => self.look(),
                _ = shutdown.changed() => return,
            }
        }
    }
}
