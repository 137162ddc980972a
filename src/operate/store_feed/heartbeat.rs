//! The heartbeat of this gateway among those that share its store: that it is there, and which version it has in force. A
//! file is not shared.

use std::time::{Duration, Instant};

use crate::ledger::store::nodes::{self, NodeIdentity};
use crate::ledger::store::{Connection, StoreError};
use crate::platform::clock::unix_milliseconds;
use crate::platform::machine;

/// How often it says that it is there.
const BEAT_INTERVAL: Duration = Duration::from_secs(3);

/// How often at the most it says that another version is in force.
const NEWS_INTERVAL: Duration = Duration::from_millis(200);

/// When it was written last, and with which version.
#[derive(Debug, Default)]
pub struct Heartbeat {
    last: Option<(Instant, i64)>,
}

impl Heartbeat {
    /// Writes it, if it is time.
    pub fn beat(&mut self, connection: &Connection, identity: &NodeIdentity, applied: i64) {
        if connection.sqlite().is_some() {
            return;
        }
        let is_time = self
            .last
            .is_none_or(|(at, version)| at.elapsed() >= if version == applied { BEAT_INTERVAL } else { NEWS_INTERVAL });
        if !is_time {
            return;
        }
        self.last = Some((Instant::now(), applied));
        log_failure(nodes::beat(connection, identity, applied, unix_milliseconds()));
    }
}

/// Says that this gateway ends.
pub fn leave(connection: &Connection, identity: &NodeIdentity) {
    if connection.sqlite().is_none() {
        log_failure(nodes::leave(connection, &identity.id));
    }
}

fn log_failure(written: Result<(), StoreError>) {
    if let Err(error) = written {
        log::warn!(target: "tollgate::store", "the other gateways could not be told of this one: {error}");
    }
}

/// Who this gateway is from now on.
pub fn identity() -> NodeIdentity {
    NodeIdentity {
        id: uuid::Uuid::new_v4().simple().to_string(),
        name: machine::name(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: unix_milliseconds(),
    }
}
