//! Opening the store: creating it, checking whether it is one, and migrating it to the current layout.
//!
//! Any number of connections and processes may use a file at once: SQLite serializes writers, readers do not wait
//! (WAL), and each follows the change log. So an upgrade needs no handover, and the command line can write while a
//! gateway runs.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::OpenFlags;
use rusqlite::backup::Backup;

use super::act::{Act, Via};
use super::error::StoreError;
use super::export;
use super::location::Location;
use super::migrations;
use super::randomness::SystemRandomness;
use super::sql::Connection;
use super::writing::transact;
use crate::ledger::file::opening::is_empty;
use crate::ledger::lock::beside;

/// Marks the file as a store: "tgst" in ASCII.
const APPLICATION_ID: i64 = 0x7467_7374;

/// How long a writer waits for another: a large import writes in short transactions.
const BUSY_PATIENCE: Duration = Duration::from_secs(5);

/// Opens a store, and creates it if it does not exist.
///
/// # Errors
/// That it is something else, of a newer version, or cannot be opened.
pub fn open(location: impl Into<Location>) -> Result<Connection, StoreError> {
    match location.into() {
        Location::File(path) => open_file(&path),
        Location::Postgres(settings) => {
            let mut connection = Connection::to_postgres(&settings)?;
            migrations::migrate(&mut connection)?;
            Ok(connection)
        }
    }
}

fn open_file(path: &Path) -> Result<Connection, StoreError> {
    let is_new = match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            return Err(NO_FILE.into());
        }
        Ok(found) => is_empty(&found),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            refuse_to_begin_beside_a_journal(path)?;
            // Only for this user, since it has the names of customers.
            let made = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
            made.map_err(|error| unopened(&error))?;
            true
        }
        Err(error) => return Err(unopened(&error)),
    };
    if is_new {
        refuse_to_begin_beside_a_journal(path)?;
    }
    let connection = rusqlite::Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(BUSY_PATIENCE)?;
    let marked: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if marked != APPLICATION_ID {
        let objects: i64 = connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if !is_new && (marked != 0 || objects != 0) {
            return Err(ANOTHER.into());
        }
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    if connection.is_readonly(rusqlite::MAIN_DB)? {
        // Reading is still possible; writing returns the error.
        connection.pragma_update(None, "query_only", true)?;
        prepare(&connection)?;
        return Ok(connection.into());
    }
    // A commit is on the disk when it returns, and readers do not stop the writer.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    prepare(&connection)?;
    let mut connection = Connection::from(connection);
    migrations::migrate(&mut connection)?;
    Ok(connection)
}

/// Opens a store for reading alone, as it is: it is neither created nor migrated. `None` if it does not exist.
///
/// # Errors
/// That it is something else, of another version, or cannot be opened.
pub fn open_to_read(location: impl Into<Location>) -> Result<Option<Connection>, StoreError> {
    match location.into() {
        Location::File(path) => read_file(&path),
        Location::Postgres(settings) => {
            let connection = Connection::to_postgres(&settings)?;
            let is_there = migrations::is_there(&connection)?;
            if is_there {
                migrations::check(&connection)?;
            }
            Ok(is_there.then_some(connection))
        }
    }
}

fn read_file(path: &Path) -> Result<Option<Connection>, StoreError> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err(NO_FILE.into()),
        Ok(found) if found.len() == 0 => return Ok(None),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unopened(&error)),
    }
    let connection = rusqlite::Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY_PATIENCE)?;
    let marked: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if marked != APPLICATION_ID {
        return Err(ANOTHER.into());
    }
    prepare(&connection)?;
    let connection = Connection::from(connection);
    migrations::check(&connection)?;
    Ok(Some(connection))
}

/// A copy of a store in a temporary file without a name, which is gone when it is closed or the process ends; empty if
/// there is no store. Of a database it has the accounts and plans alone.
///
/// # Errors
/// That it is something else, of another version, or cannot be copied.
pub fn copy_of(location: impl Into<Location>) -> Result<Connection, StoreError> {
    const PAGES_AT_ONCE: i32 = 1000;
    let location = location.into();
    // SQLite's name for such a file.
    let mut copy = rusqlite::Connection::open("")?;
    let source = open_to_read(&location)?;
    if let Some(file) = source.as_ref().and_then(Connection::sqlite) {
        Backup::new(file, &mut copy)?.run_to_completion(PAGES_AT_ONCE, Duration::ZERO, None)?;
    }
    prepare(&copy)?;
    copy.pragma_update(None, "synchronous", "OFF")?;
    let mut copy = Connection::from(copy);
    migrations::migrate(&mut copy)?;
    if let (Some(mut database), Location::Postgres(_)) = (source, &location) {
        let snapshot = database.transaction()?;
        let at_ms = crate::platform::clock::unix_milliseconds();
        let (actor, address) = ("copy".to_owned(), String::new());
        let act = Act { actor, via: Via::CommandLine, address, at_ms, idempotency: None };
        transact(&mut copy, act, &mut SystemRandomness, None, |writing| export::copy(&snapshot, writing))?;
    }
    Ok(copy)
}

/// A file that cannot be used, in words.
struct Useless(&'static str);

impl From<Useless> for StoreError {
    fn from(Useless(why): Useless) -> StoreError {
        StoreError::Unusable { why: why.to_owned() }
    }
}

const NO_FILE: Useless = Useless("the store's name is not that of a file; name a file");
const JOURNAL_ALONE: Useless = Useless(
    "the store's file is gone or empty, but its journal (-wal) is there; put the file back, or remove the journal to begin a new store",
);
const ANOTHER: Useless = Useless("the file is a database of another program, or the ledger; name another file");

/// What was committed may be in the journal alone, which SQLite removes beside a file that is empty.
fn refuse_to_begin_beside_a_journal(path: &Path) -> Result<(), StoreError> {
    match fs::metadata(beside(path, "-wal")) {
        Ok(found) if found.len() > 0 => Err(JOURNAL_ALONE.into()),
        _ => Ok(()),
    }
}

fn prepare(connection: &rusqlite::Connection) -> Result<(), StoreError> {
    const STATEMENTS_KEPT: usize = 64;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(())
}

fn unopened(error: &std::io::Error) -> StoreError {
    let why = match error.kind() {
        ErrorKind::NotFound => "the store's directory does not exist; make it",
        ErrorKind::PermissionDenied => "this user may not open the store's file; fix its permissions",
        ErrorKind::StorageFull => "the store cannot be written, because the disk is full; free some space",
        ErrorKind::ReadOnlyFilesystem => "the store cannot be made, because its disk can only be read; name another",
        _ => "the store's file cannot be opened; check the health of its disk",
    };
    StoreError::Unavailable { why, code: None }
}
