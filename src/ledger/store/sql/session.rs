//! One connection to a server of PostgreSQL, and what drives it. Whoever asks it something waits for a limited time: a server
//! can stand still while the kernel of its machine goes on acknowledging.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, Socket};

use super::error::{Error, PostgresFault, Result};
use super::settings::{Encryption, PostgresSettings};
use super::tls::Tls;

/// How long it may take to connect to a server, and to hear whether it can be written.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long a connection that ends may take to say so.
const END_LIMIT: Duration = Duration::from_millis(100);

/// A connection.
pub(super) struct Session {
    client: Option<Client>,
    /// What was notified.
    woken: Arc<Notify>,
    driver: Option<JoinHandle<()>>,
    /// Of the calling thread alone: nothing happens on the connection while nobody waits for it.
    runtime: Option<Runtime>,
}

impl Session {
    /// Connects to the first of the servers that answers, and that can be written if there are several.
    ///
    /// # Errors
    /// Why none does: an error, and the same in words.
    pub(super) fn open(settings: &PostgresSettings) -> std::result::Result<Session, (Error, String)> {
        let unusable = |why: String| (lost(), why);
        let configs = settings.configs().map_err(unusable)?;
        let tls = match &settings.encryption {
            Encryption::None => None,
            Encryption::Verified { authorities } => Some(Tls::new(authorities.as_deref()).map_err(unusable)?),
        };
        apart(|| {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| unusable(error.to_string()))?;
            let (mut refused, mut whys) = (lost(), Vec::new());
            for (config, host) in configs.iter().zip(&settings.hosts) {
                let connected = match &tls {
                    None => runtime.block_on(connect(config, NoTls)),
                    Some(tls) => runtime.block_on(connect(config, tls.clone())),
                };
                match connected {
                    Ok((client, woken, driver)) => {
                        return Ok(Session {
                            client: Some(client),
                            woken,
                            driver: Some(driver),
                            runtime: Some(runtime),
                        });
                    }
                    Err((error, why)) => {
                        refused = if refused.is_lost() { error } else { refused };
                        whys.push(format!("{}: {why}", host.name));
                    }
                }
            }
            apart(|| drop(runtime));
            Err((refused, whys.join("; ")))
        })
    }

    /// Whether the connection is known to be gone.
    pub(super) fn is_closed(&self) -> bool {
        self.client.as_ref().is_none_or(Client::is_closed)
    }

    /// Asks the server something, and waits for so long.
    ///
    /// # Errors
    /// Those of the database; that the connection is lost if it does not answer, since then nothing is known of it any more.
    pub(super) fn ask<T: Send>(
        &self,
        limit: Duration,
        ask: impl AsyncFnOnce(&Client) -> std::result::Result<T, tokio_postgres::Error> + Send,
    ) -> Result<T> {
        let (Some(client), Some(runtime)) = (&self.client, &self.runtime) else { return Err(lost()) };
        let answered = apart(|| runtime.block_on(async { timeout(limit, ask(client)).await }));
        answered.map_or_else(|_| Err(lost()), |answered| answered.map_err(Error::from))
    }

    /// Waits for so long until something is notified; whether it was.
    ///
    /// # Errors
    /// That the connection is gone.
    pub(super) fn wait(&self, time: Duration) -> Result<bool> {
        let Some(runtime) = &self.runtime else { return Err(lost()) };
        let woken = apart(|| runtime.block_on(async { timeout(time, self.woken.notified()).await.is_ok() }));
        // The end of the connection wakes as well.
        if self.is_closed() { Err(lost()) } else { Ok(woken) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let (client, driver, runtime) = (self.client.take(), self.driver.take(), self.runtime.take());
        apart(|| {
            drop(client);
            if let (Some(runtime), Some(driver)) = (&runtime, driver) {
                // One that does not end in time ends with its socket.
                let _ = runtime.block_on(async { timeout(END_LIMIT, driver).await });
            }
            drop(runtime);
        });
    }
}

fn lost() -> Error {
    Error::Postgres(PostgresFault::LOST)
}

type Connected = (Client, Arc<Notify>, JoinHandle<()>);

async fn connect<T>(config: &Config, tls: T) -> std::result::Result<Connected, (Error, String)>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, connection) = match timeout(CONNECT_LIMIT, config.connect(tls)).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => {
            let why = words(&error);
            return Err((error.into(), why));
        }
        Err(_) => return Err((lost(), format!("it did not answer within {} s", CONNECT_LIMIT.as_secs()))),
    };
    let woken = Arc::new(Notify::new());
    let driver = tokio::spawn(drive(connection, Arc::clone(&woken)));
    Ok((client, woken, driver))
}

/// Passes messages until the connection ends.
async fn drive<S, T>(mut connection: Connection<S, T>, woken: Arc<Notify>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    loop {
        match std::future::poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(_))) => woken.notify_one(),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => break,
        }
    }
    drop(connection);
    woken.notify_one();
}

/// An error with its causes.
fn words(error: &tokio_postgres::Error) -> String {
    let mut why = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        why = format!("{why}: {deeper}");
        cause = deeper.source();
    }
    why
}

/// Runs something that blocks; on a thread of its own where a runtime may not be blocked.
fn apart<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    if tokio::runtime::Handle::try_current().is_err() {
        return run();
    }
    std::thread::scope(|scope| match scope.spawn(run).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
