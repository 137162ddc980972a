//! Background work for upstreams: resolving names, checking servers, and logging the end of
//! ejections.
//!
//! Requests never wait for it.

use std::time::Duration;

use futures_util::future::{join, join_all, join3};
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::{sleep, timeout};

use super::servers::Server;
use super::{Pool, Upstreams, probe, resolve};
use crate::upstream::connector::{Connections, Connector};
use crate::upstream::settings::{Address, HealthRule};

/// How long the first lookup of the names may keep clients waiting at the start.
const FIRST_LOOKUP_PATIENCE: Duration = Duration::from_secs(2);

/// How often ended ejections are logged and expired idle connections are closed.
const TURN: Duration = Duration::from_millis(500);

impl Upstreams<Connector> {
    /// Runs the background work for as long as it is polled. `ready` is called once each name was
    /// looked up, or its lookup has taken too long.
    pub async fn keep(&self, connections: &Connections, ready: impl FnOnce()) {
        let (looked_up, mut all_looked_up) = channel(1);
        let kept = join_all(self.pools.iter().map(|pool| keep_one(pool, connections, looked_up.clone())));
        drop(looked_up);
        let told = async move {
            // Nothing is ever sent: the channel closes when the last name was looked up.
            let _ = timeout(FIRST_LOOKUP_PATIENCE, all_looked_up.recv()).await;
            ready();
        };
        join(kept, told).await;
    }
}

async fn keep_one(pool: &Pool<Connector>, connections: &Connections, looked_up: Sender<()>) {
    let names = pool.upstream.servers.iter().enumerate().filter_map(|(index, server)| match &server.address {
        Address::Socket(_) => None,
        Address::Name { host, port } => Some(resolve::follow(pool, index, host, *port, looked_up.clone())),
    });
    let names = join_all(names);
    drop(looked_up);
    let turns = async {
        loop {
            sleep(TURN).await;
            pool.welcome_back(pool.clock.now());
            pool.roster.load().servers().iter().for_each(|server| server.peer.sweep(connections));
        }
    };
    join3(names, check(pool, connections), turns).await;
}

/// Checks all servers of an upstream at intervals.
async fn check(pool: &Pool<Connector>, connections: &Connections) {
    let Some(rule) = &pool.upstream.health else { return };
    loop {
        let roster = pool.roster.load_full();
        join_all(roster.servers().iter().map(|server| check_one(pool, connections, rule, server))).await;
        sleep(rule.interval).await;
    }
}

async fn check_one(pool: &Pool<Connector>, connections: &Connections, rule: &HealthRule, server: &Server<Connector>) {
    let outcome = probe::check(connections, &pool.upstream, rule, &server.peer).await;
    if outcome.is_err() {
        pool.tally.failed_checks.inc();
    }
    if server.state.health.count(outcome.is_ok(), rule) {
        let (upstream, address) = (&pool.upstream.name, server.address);
        match outcome {
            Ok(()) => log::info!(target: "tollgate::upstream", "upstream {upstream}: server {address} is healthy"),
            Err(what) => {
                log::warn!(target: "tollgate::upstream", "upstream {upstream}: server {address} is unhealthy: {what}");
            }
        }
    }
}
