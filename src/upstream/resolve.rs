//! Resolving the names of servers in the background, at intervals.
//!
//! A request never waits for a name. If one cannot be resolved, it keeps its last addresses.

use super::lookup::{RETRY, in_order};
use super::{Pool, Upstreams};
use crate::upstream::settings::Address;

/// Keeps the addresses of a name up to date; `index` is that of the server in the
/// configuration. `looked_up` is dropped after the first lookup, successful or not.
pub async fn follow<P, T>(pool: &Pool<P>, index: usize, host: &str, port: u16, looked_up: T) {
    let mut looked_up = Some(looked_up);
    let (mut known, mut failing) = (false, false);
    let name = &pool.upstream.name;
    loop {
        // The system's resolver blocks a separate thread, and has its own time-out.
        let addresses = tokio::net::lookup_host((host, port)).await.map(in_order).unwrap_or_default();
        let resolved = !addresses.is_empty();
        if resolved {
            known = true;
            let count = addresses.len();
            if pool.resolve(index, addresses) || failing {
                log::info!(target: "tollgate::upstream", "upstream {name}: {host} is resolved (addresses: {count})");
            }
        } else if !failing {
            let stays = if known { "its last addresses are kept" } else { "it gets no requests yet" };
            log::warn!(target: "tollgate::upstream", "upstream {name}: {host} cannot be resolved; {stays}");
        }
        failing = !resolved;
        looked_up.take();
        tokio::time::sleep(if known { pool.upstream.resolve_every } else { RETRY }).await;
    }
}

impl<P> Upstreams<P> {
    /// Looks up the names that have no addresses yet; blocks its thread until that is done.
    pub fn resolve_new(&self) {
        self.pools.iter().for_each(|pool| first(pool));
    }
}

/// Looks up every name that has no addresses yet, and waits for the result: before a new upstream
/// comes into force while clients are served, so that no request finds it without servers.
fn first<P>(pool: &Pool<P>) {
    for (index, server) in pool.upstream.servers.iter().enumerate() {
        if let Address::Name { host, port } = &server.address
            && pool.addresses_of(&server.address).is_none_or(|known| known.is_empty())
        {
            let found = std::net::ToSocketAddrs::to_socket_addrs(&(&**host, *port));
            let addresses = found.map(in_order).unwrap_or_default();
            if !addresses.is_empty() {
                pool.resolve(index, addresses);
            }
        }
    }
}
