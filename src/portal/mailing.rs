//! Mail of the portal to single people, for which no answer waits.

use std::sync::Arc;

use crate::platform::mail::{Mail, Mailer};

/// Sends a message on a thread that may block; that it was not sent is in the log, without its address.
pub async fn send(mailer: Arc<Mailer>, mail: Mail, what: &'static str) {
    if let Ok(Err(fault)) = tokio::task::spawn_blocking(move || mailer.send(&mail)).await {
        log::warn!(target: "tollgate::portal", "{what} was not sent: {}", fault.why);
    }
}
