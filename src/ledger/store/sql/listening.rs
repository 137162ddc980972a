//! Being woken by other nodes: a connection that listens. It only wakes, and nothing is lost when it is deaf: what has
//! changed is in the change log, which is looked at anyway.

use std::time::Duration;

use postgres::Client;
use postgres::fallible_iterator::FallibleIterator as _;

use super::error::{Error, PostgresFault, Result};
use super::link::{apart, connect};
use super::settings::PostgresSettings;

/// The channel that a trigger of the clock notifies.
const LISTEN: &str = "LISTEN tollgate_store";

/// A connection that listens.
pub struct Listener(Option<Client>);

impl Listener {
    /// Listens from now on.
    ///
    /// # Errors
    /// That the server is away or refuses.
    pub fn open(settings: &PostgresSettings) -> Result<Listener> {
        let mut client = connect(settings)?;
        let listening = apart(|| client.batch_execute(LISTEN));
        let listener = Listener(Some(client));
        listening?;
        Ok(listener)
    }

    /// Waits until something has changed, or a time is over; whether something has.
    ///
    /// # Errors
    /// That the connection was lost.
    pub fn wait(&mut self, patience: Duration) -> Result<bool> {
        let Some(client) = &mut self.0 else { return Err(Error::Postgres(PostgresFault::LOST)) };
        apart(|| {
            let woken = client.notifications().timeout_iter(patience).next()?.is_some();
            // Several changes wake once.
            while client.notifications().iter().next()?.is_some() {}
            if !woken {
                client.is_valid(patience)?;
            }
            Ok(woken)
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let client = self.0.take();
        apart(|| drop(client));
    }
}
