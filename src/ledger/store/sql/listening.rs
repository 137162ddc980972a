//! Being woken by other nodes: a connection that listens. It only wakes, and nothing is lost when it is deaf: what has
//! changed is in the change log, which is looked at anyway.

use std::time::Duration;

use super::error::{Error, PostgresFault, Result};
use super::link::connect;
use super::session::Session;
use super::settings::PostgresSettings;

/// The channel that a trigger of the clock notifies.
const LISTEN: &str = "LISTEN tollgate_store";

/// How long the server may take to say that it is still there.
const STILL_THERE: Duration = Duration::from_secs(5);

/// A connection that listens.
pub struct Listener(Session);

impl Listener {
    /// Listens from now on.
    ///
    /// # Errors
    /// That the server is away or refuses.
    pub fn open(settings: &PostgresSettings) -> Result<Listener> {
        let session = connect(settings)?;
        session.ask(STILL_THERE, async |client| client.batch_execute(LISTEN).await)?;
        Ok(Listener(session))
    }

    /// Waits until something has changed, or a time is over; whether something has. Several changes wake once.
    ///
    /// # Errors
    /// That the connection was lost.
    pub fn wait(&mut self, patience: Duration) -> Result<bool> {
        let woken = self.0.wait(patience)?;
        if !woken {
            self.0.ask(STILL_THERE, async |client| client.check_connection().await)?;
        }
        if self.0.is_closed() { Err(Error::Postgres(PostgresFault::LOST)) } else { Ok(woken) }
    }
}
