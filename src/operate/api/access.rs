//! What operations of the API are carried out on, and whose key a request shows.

use std::sync::Arc;
use std::time::Duration;

use super::caller::{Caller, Scope, Secret};
use super::in_force::InForce;
use super::problem::{Kind, Problem};
use super::refusal::refused;
use crate::ledger::Ledger;
use crate::ledger::store::{Store, Via, keys as stored_keys};
use crate::operate::reload::Reloader;
use crate::operate::status_recorder::Recorder;
use crate::policy::account::Digest;

/// What operations are carried out on.
pub struct Api {
    pub store: Arc<Store>,
    /// Where credits are; `None` for the command line, where no gateway runs.
    pub ledger: Option<Arc<Ledger>>,
    /// Where notices of the status page are; `None` for the command line, where no gateway runs.
    pub recorder: Option<Recorder>,
    /// What loads configurations, if the gateway's can change.
    pub reloader: Option<Reloader>,
    /// What requests are judged by.
    pub in_force: InForce,
    /// How long the answer to a change waits until requests are judged by it; zero where no gateway runs.
    pub patience: Duration,
}

impl Api {
    /// The caller whose key this is.
    ///
    /// # Errors
    /// `unauthenticated` when there is no such key, or not any more.
    pub async fn caller(&self, secret: &Secret, at_ms: i64) -> Result<Caller, Problem> {
        let digest = Digest::of(secret.bytes());
        let found = self.store.read(move |connection| stored_keys::find(connection, &digest, at_ms)).await;
        let Some(key) = found.map_err(refused)? else {
            let why = "This key is not known, has ended, or was revoked. Ask an operator for one.";
            return Err(Problem::new(Kind::Unauthenticated, why));
        };
        Ok(Caller {
            via: Via::Api,
            actor: format!("key:{}", key.id),
            id: key.id,
            role: key.role,
            account: key.account_id,
            scopes: key.scopes.iter().filter_map(|scope| Scope::of(scope)).collect(),
        })
    }
}
