//! `tollgate accounts export`: all plans and accounts of the store as lines of JSON, which an import puts back exactly.

use std::io::{BufWriter, ErrorKind, Write};

use clap::Args;

use super::import::no_store;
use super::progress::Progress;
use crate::config;
use crate::config::argument::ConfigFile;
use crate::ledger::store::export::{self, ExportFault};
use crate::ledger::store::{StoreError, accounts, open_to_read};
use crate::operate::failure::Failure;

/// What is exported.
#[derive(Args)]
pub struct Export {
    #[command(flatten)]
    file: ConfigFile,
}

/// Writes everything to `out`.
///
/// # Errors
/// Why it was not done.
pub fn run(export: Export, out: &mut impl Write) -> Result<(), Failure> {
    let Export { file: ConfigFile { config: path } } = export;
    let config = config::load(&path)?;
    let store = config.store.as_ref().ok_or_else(|| no_store(&path))?;
    let told = |error: StoreError| Failure::from(format!("{}: {error}", store.location));
    let Some(mut connection) = open_to_read(&store.location).map_err(told)? else {
        return Err(format!("{} does not exist yet", store.location).into());
    };
    // All of it is from one moment, whoever writes meanwhile.
    let snapshot = connection.transaction().map_err(|error| told(error.into()))?;
    let count = accounts::count_all(&snapshot).map_err(told)?;
    let mut progress = Progress::new("exported", "accounts", usize::try_from(count).unwrap_or_default());
    let mut buffered = BufWriter::with_capacity(1 << 20, out);
    let written = export::write(&snapshot, &mut buffered, || progress.step(1));
    match written.and_then(|_| buffered.flush().map_err(ExportFault::Output)) {
        Ok(()) => Ok(()),
        // A reader that went away has what it wanted.
        Err(ExportFault::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(ExportFault::Output(error)) => Err(Failure::Output(error)),
        Err(ExportFault::Store(error)) => Err(told(error)),
    }
}
