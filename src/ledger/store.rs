//! The ledger's file: an SQLite database with one row for each thing that happened to a balance.
//!
//! The database itself holds to the rules, so that they bind whoever opens it: rows cannot be
//! changed or removed, a trigger adds each of them to its balance in the same transaction, and no
//! balance can fall below zero. One process has the file at a time (`lock.rs`). Nothing is written
//! before the file and the journal beside it were found to belong together (`journal.rs`). What to do
//! about a fault is not decided here.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, params};

use super::LedgerFault;
use super::entry::{Draft, Entry, Kind, Position, Reference};
use super::journal::{self, Standing};
use super::lock::{self, beside};
use super::rates::Used;

/// Marks the file as a ledger: "toll" in ASCII.
const APPLICATION_ID: i64 = 0x746f_6c6c;

/// The layout of the tables below.
const LAYOUT: i64 = 1;

/// How long a lock of somebody else on the database is waited for.
const BUSY_PATIENCE: Duration = Duration::from_millis(200);

/// The ending of SQLite's journal.
const JOURNAL: &str = "-wal";

/// Bytes of a journal after which it is written into the database: what SQLite itself takes, which
/// would not say where the next journal begins.
const MAX_JOURNAL_BYTES: u64 = 4 * 1024 * 1024;

/// Rows that one page of a history has at the most.
pub const MAX_PAGE_ROWS: u32 = 1000;

/// How long one request of each account's rate takes, in a table of its own: earlier versions, which
/// write whole rows of `rate`, do not know it. A row counts while its time is that of the rate's row.
const RATE_INTERVAL: &str = "
CREATE TABLE IF NOT EXISTS rate_interval (
  account TEXT PRIMARY KEY,
  full_at INTEGER NOT NULL,
  nanoseconds INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

const TABLES: &str = "
CREATE TABLE entry (
  id INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  account TEXT NOT NULL,
  product TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('grant', 'adjustment', 'charge', 'refund')),
  amount INTEGER NOT NULL,
  lookups INTEGER NOT NULL DEFAULT 0,
  reference TEXT NOT NULL DEFAULT '',
  key TEXT,
  by TEXT NOT NULL,
  why TEXT NOT NULL DEFAULT '',
  CHECK (CASE kind WHEN 'charge' THEN amount < 0 WHEN 'adjustment' THEN amount <> 0 ELSE amount > 0 END)
) STRICT;
CREATE INDEX entry_of ON entry (account, product, id);
CREATE UNIQUE INDEX entry_once ON entry (account, product, key) WHERE key IS NOT NULL;
CREATE TABLE balance (
  account TEXT NOT NULL,
  product TEXT NOT NULL,
  granted INTEGER NOT NULL DEFAULT 0,
  spent INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (account, product),
  CHECK (spent >= 0 AND granted >= spent)
) STRICT, WITHOUT ROWID;
CREATE TABLE position (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  batch INTEGER NOT NULL,
  nonce INTEGER NOT NULL,
  base_batch INTEGER NOT NULL DEFAULT 0,
  base_nonce INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO position (only, batch, nonce) VALUES (1, 0, 0);
CREATE TABLE rate (
  account TEXT PRIMARY KEY,
  full_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER entry_is_counted AFTER INSERT ON entry BEGIN
  INSERT INTO balance (account, product) VALUES (new.account, new.product) ON CONFLICT DO NOTHING;
  UPDATE balance SET
    granted = granted + CASE WHEN new.kind IN ('grant', 'adjustment') THEN new.amount ELSE 0 END,
    spent = spent - CASE WHEN new.kind IN ('charge', 'refund') THEN new.amount ELSE 0 END
  WHERE account = new.account AND product = new.product;
END;
CREATE TRIGGER entry_is_never_changed BEFORE UPDATE ON entry BEGIN
  SELECT RAISE(ABORT, 'rows of the ledger are never changed; add an adjustment');
END;
CREATE TRIGGER entry_is_never_removed BEFORE DELETE ON entry BEGIN
  SELECT RAISE(ABORT, 'rows of the ledger are never removed; add an adjustment');
END;
";

/// Where the books are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    File(PathBuf),
    /// In memory: gone with the process.
    Memory,
}

/// An open ledger.
#[derive(Debug)]
pub struct Store {
    /// Before the file, which has to be closed after it.
    connection: Connection,
    file: Option<OpenFile>,
}

/// What tells whether the path still leads to the file that was opened.
#[derive(Debug)]
struct OpenFile {
    /// As it was named.
    path: PathBuf,
    device: u64,
    inode: u64,
    journal: PathBuf,
    /// The journal's length, in bytes, at which it is written into the database next.
    fold_at: u64,
    /// Held for as long as the ledger is open.
    _file: File,
    _name: File,
}

impl Store {
    /// Opens a ledger and checks that nothing of it is missing. A file that is not there is made
    /// if `create` says so: a ledger that has vanished must not be taken for a new one.
    ///
    /// # Errors
    /// What is wrong with the file, and how to mend it.
    pub fn open(place: &Storage, create: bool) -> Result<Store, LedgerFault> {
        match place {
            Storage::Memory => {
                let connection = Connection::open_in_memory()?;
                connection.execute_batch(TABLES)?;
                connection.execute_batch(RATE_INTERVAL)?;
                Ok(Store { connection, file: None })
            }
            Storage::File(path) => Store::open_file(path, create),
        }
    }

    fn open_file(path: &Path, create: bool) -> Result<Store, LedgerFault> {
        let real = lock::real_name(path)?;
        let name = lock::take_name(&real)?;
        match fs::metadata(&real) {
            Ok(found) if found.len() == 0 => {
                return Err(LedgerFault::new(
                    "the file is empty; put the ledger back, or remove the file to begin a new one",
                ));
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => make(&real)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(LedgerFault::new("the file is gone; put it back"));
            }
            Err(error) => return Err(error.into()),
        }
        let file = OpenFile::new(path, &real, name)?;
        // Closed again before the connection that counts is opened.
        let alone = file.has_journal().then(|| Standing::of_file_alone(&real)).flatten();
        let connection = Connection::open_with_flags(&real, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let mut store = Store { connection, file: Some(file) };
        // Whoever is refused finds both files as they were.
        store.keep_journal(true)?;
        store.identify()?;
        store.check_journal(alone)?;
        store.check_sums()?;
        store.check_length(&real)?;
        store.keep_journal(false)?;
        store.prepare()?;
        Ok(store)
    }

    /// Whether the journal stays as it is when the connection is closed. Otherwise it is written into
    /// the database and removed.
    fn keep_journal(&self, keep: bool) -> Result<(), LedgerFault> {
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)?;
        Ok(())
    }

    /// Finds out whether the file is a ledger that this program can write. The first look at it reads
    /// the journal as well, and changes neither.
    fn identify(&self) -> Result<(), LedgerFault> {
        let connection = &self.connection;
        connection.busy_timeout(BUSY_PATIENCE)?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        if connection.is_readonly(rusqlite::MAIN_DB)? {
            return Err(LedgerFault::new("the file cannot be written; give this user the right to write it"));
        }
        let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        if number("application_id")? != APPLICATION_ID {
            return Err(LedgerFault::new("the file is a database, but no ledger; name another file"));
        }
        if number("user_version")? != LAYOUT {
            return Err(LedgerFault::new("the ledger is of another version of this program; use that one"));
        }
        Ok(())
    }

    /// Finds a journal that belongs to another copy of the ledger.
    fn check_journal(&self, alone: Option<Standing>) -> Result<(), LedgerFault> {
        let Some(alone) = alone else { return Ok(()) };
        let whole = Standing::of(&self.connection)?;
        // A copy that was made anew (VACUUM INTO) has the same rows on other pages.
        let is_sound = |answer: String| answer == "ok";
        if whole == alone
            || whole.follows(&alone)
                && self.connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).is_ok_and(is_sound)
        {
            return Ok(());
        }
        Err(LedgerFault::new(
            "the journal (-wal) beside the file belongs to another copy of it, and nothing of either was changed; put the copy back that the journal belongs to, or move the journal away to go on without what is written in it alone",
        ))
    }

    /// Finds, by reading every row, broken pages, and the journal of one file laid over another where
    /// neither says so.
    fn check_sums(&self) -> Result<(), LedgerFault> {
        let sums = "SELECT (SELECT COALESCE(SUM(amount), 0) FROM entry) = \
                    (SELECT COALESCE(SUM(granted - spent), 0) FROM balance)";
        if !self.connection.query_row(sums, [], |row| row.get::<_, bool>(0))? {
            return Err(LedgerFault::new(
                "the balances are not the sums of the rows; put a sound copy of the ledger back",
            ));
        }
        Ok(())
    }

    /// Writes the journal into the database, but keeps it, and finds a file that was cut short, which
    /// SQLite itself would only notice when it reads the part that is missing.
    fn check_length(&self, real: &Path) -> Result<(), LedgerFault> {
        let fold = "PRAGMA wal_checkpoint(FULL)";
        let busy: i64 = self.connection.query_row(fold, [], |row| row.get(0))?;
        if busy == 0 {
            let number = |name: &str| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            let expected = number("page_count")?.saturating_mul(number("page_size")?);
            if i64::try_from(fs::metadata(real)?.len()).is_ok_and(|found| found < expected) {
                return Err(LedgerFault::new("the file was cut short; put a whole copy of the ledger back"));
            }
        }
        Ok(())
    }

    fn prepare(&mut self) -> Result<(), LedgerFault> {
        // A commit is on the disk when it returns, and readers do not stop the writer.
        self.connection.pragma_update(None, "journal_mode", "WAL")?;
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        if !journal::knows_base(&self.connection)? {
            journal::make_room(&self.connection)?;
        }
        self.connection.execute_batch(RATE_INTERVAL)?;
        self.fold()
    }

    /// Writes the journal into the database and begins a new one, unless somebody reads the old one.
    fn fold(&mut self) -> Result<(), LedgerFault> {
        // Nobody who pays waits for somebody who reads.
        self.connection.busy_timeout(Duration::ZERO)?;
        let fold = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy = self.connection.query_row(fold, [], |row| row.get::<_, i64>(0));
        self.connection.busy_timeout(BUSY_PATIENCE)?;
        let is_new = busy? == 0;
        if is_new {
            journal::begin(&self.connection)?;
        }
        if let Some(file) = &mut self.file {
            let length = if is_new { 0 } else { file.journal_bytes() };
            file.fold_at = length.saturating_add(MAX_JOURNAL_BYTES);
        }
        Ok(())
    }

    fn fold_if_long(&mut self) -> Result<(), LedgerFault> {
        if self.file.as_ref().is_some_and(|file| file.journal_bytes() >= file.fold_at) { self.fold() } else { Ok(()) }
    }

    /// The database, for the tables of others.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The same, to begin transactions.
    pub(crate) fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Whether the path still leads to this file.
    ///
    /// # Errors
    /// That it does not.
    pub fn check_place(&self) -> Result<(), LedgerFault> {
        let Some(file) = &self.file else { return Ok(()) };
        let fault = match fs::metadata(&file.path) {
            Ok(found) if (found.dev(), found.ino()) == (file.device, file.inode) => return Ok(()),
            Ok(_) => LedgerFault::new("another file stands in its place; put the ledger back"),
            Err(_) => LedgerFault::new("the file is gone; put it back"),
        };
        // The journal that stands there now may be another one's, and is not to be removed.
        self.keep_journal(true)?;
        Err(fault)
    }

    /// The write that the file has seen last.
    ///
    /// # Errors
    /// Those of the database.
    pub fn position(&self) -> Result<Position, LedgerFault> {
        let read = |row: &Row<'_>| Ok(Position { batch: row.get(0)?, nonce: row.get(1)? });
        Ok(self.connection.query_row("SELECT batch, nonce FROM position", [], read)?)
    }

    /// Every balance: account, product, and the sums of what was granted and spent.
    ///
    /// # Errors
    /// Those of the database.
    pub fn balances(&self, mut each: impl FnMut(&str, &str, u64, u64)) -> Result<(), LedgerFault> {
        let query = "SELECT account, product, granted, spent FROM balance";
        let mut statement = self.connection.prepare(query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let credits = |column| row.get::<_, i64>(column).map(|sum| u64::try_from(sum).unwrap_or(0));
            let text = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str()?);
            each(text(0)?, text(1)?, credits(2)?, credits(3)?);
        }
        Ok(())
    }

    /// One balance: the sums of what was granted and spent; `None` if there is no row of it.
    ///
    /// # Errors
    /// Those of the database.
    pub fn balance(&self, account: &str, product: &str) -> Result<Option<(u64, u64)>, LedgerFault> {
        let query = "SELECT granted, spent FROM balance WHERE account = ?1 AND product = ?2";
        let mut statement = self.connection.prepare_cached(query)?;
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let found = statement.query_row(params![account, product], read).optional()?;
        Ok(found.map(|(granted, spent)| (u64::try_from(granted).unwrap_or(0), u64::try_from(spent).unwrap_or(0))))
    }

    /// Writes rows in one transaction, which is on the disk when this returns.
    ///
    /// # Errors
    /// Those of the database. The rows are then either all there or all not, and
    /// [`Store::position`] of a newly opened store tells which.
    pub fn write(&mut self, drafts: &[Draft], at: &str, position: Position) -> Result<(), LedgerFault> {
        self.check_place()?;
        self.fold_if_long()?;
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO entry (at, account, product, kind, amount, lookups, reference, key, by, why) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?;
            let batch = format!("batch {}", position.batch);
            for draft in drafts {
                let reference = match &draft.reference {
                    Reference::Batch => batch.as_str().into(),
                    Reference::Transaction(id) => String::from_utf8_lossy(id.as_bytes()),
                };
                insert.execute(params![
                    at,
                    &*draft.account,
                    &*draft.product,
                    draft.kind.word(),
                    draft.amount,
                    draft.lookups,
                    &*reference,
                    draft.key,
                    draft.by,
                    draft.why,
                ])?;
            }
            let mut moved = transaction.prepare_cached("UPDATE position SET batch = ?1, nonce = ?2")?;
            moved.execute(params![position.batch, position.nonce])?;
        }
        Ok(transaction.commit()?)
    }

    /// What accounts have used of their rates. Those whose burst is whole again have no row any more.
    ///
    /// # Errors
    /// Those of the database.
    pub fn rates(&self, now_ms: i64) -> Result<HashMap<String, Used>, LedgerFault> {
        self.connection.execute("DELETE FROM rate WHERE full_at <= ?1", [now_ms])?;
        self.connection.execute("DELETE FROM rate_interval WHERE full_at <= ?1", [now_ms])?;
        let query = "SELECT account, full_at, nanoseconds FROM rate LEFT JOIN rate_interval USING (account, full_at)";
        let mut statement = self.connection.prepare(query)?;
        let read = |row: &Row<'_>| Ok((row.get(0)?, Used { full_at: row.get(1)?, interval: row.get(2)? }));
        let rows = statement.query_map([], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes what some accounts have used of their rates.
    ///
    /// # Errors
    /// Those of the database.
    pub fn write_rates(&mut self, rows: &[(&str, Used)]) -> Result<(), LedgerFault> {
        self.check_place()?;
        self.fold_if_long()?;
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        {
            let insert = "INSERT INTO rate VALUES (?1, ?2) ON CONFLICT DO UPDATE SET full_at = excluded.full_at";
            let mut insert = transaction.prepare_cached(insert)?;
            let mut interval =
                transaction.prepare_cached("INSERT OR REPLACE INTO rate_interval VALUES (?1, ?2, ?3)")?;
            for (account, used) in rows {
                insert.execute(params![account, used.full_at])?;
                if used.interval.is_some() {
                    interval.execute(params![account, used.full_at, used.interval])?;
                }
            }
        }
        Ok(transaction.commit()?)
    }

    /// The row that has a key already.
    ///
    /// # Errors
    /// Those of the database.
    pub fn keyed(&self, account: &str, product: &str, key: &str) -> Result<Option<Entry>, LedgerFault> {
        let query = format!("SELECT {COLUMNS} FROM entry WHERE account = ?1 AND product = ?2 AND key = ?3");
        let mut statement = self.connection.prepare_cached(&query)?;
        Ok(statement.query_row(params![account, product, key], entry).optional()?)
    }

    /// Rows after an id, the oldest first: of one account's product, or of all.
    ///
    /// # Errors
    /// Those of the database.
    pub fn page(&self, of: Option<(&str, &str)>, after: i64, rows: u32) -> Result<Vec<Entry>, LedgerFault> {
        let rows = rows.clamp(1, MAX_PAGE_ROWS);
        let found = match of {
            Some((account, product)) => {
                let query = format!(
                    "SELECT {COLUMNS} FROM entry WHERE account = ?1 AND product = ?2 AND id > ?3 ORDER BY id LIMIT ?4"
                );
                let mut statement = self.connection.prepare_cached(&query)?;
                statement.query_map(params![account, product, after, rows], entry)?.collect()
            }
            None => {
                let query = format!("SELECT {COLUMNS} FROM entry WHERE id > ?1 ORDER BY id LIMIT ?2");
                let mut statement = self.connection.prepare_cached(&query)?;
                statement.query_map(params![after, rows], entry)?.collect::<Result<Vec<Entry>, _>>()
            }
        };
        Ok(found?)
    }
}

const COLUMNS: &str = "id, at, account, product, kind, amount, lookups, reference, key, by, why";

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let word: String = row.get(4)?;
    let kind = Kind::from_word(&word).ok_or(rusqlite::Error::InvalidQuery)?;
    Ok(Entry {
        id: row.get(0)?,
        at: row.get(1)?,
        account: row.get(2)?,
        product: row.get(3)?,
        kind,
        amount: row.get(5)?,
        lookups: row.get(6)?,
        reference: row.get(7)?,
        key: row.get(8)?,
        by: row.get(9)?,
        why: row.get(10)?,
    })
}

impl OpenFile {
    fn new(path: &Path, real: &Path, name: File) -> Result<OpenFile, LedgerFault> {
        let file = lock::take_file(real)?;
        let found = file.metadata()?;
        Ok(OpenFile {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
            journal: beside(real, JOURNAL),
            fold_at: MAX_JOURNAL_BYTES,
            _file: file,
            _name: name,
        })
    }

    fn has_journal(&self) -> bool {
        self.journal_bytes() > 0
    }

    fn journal_bytes(&self) -> u64 {
        fs::metadata(&self.journal).map_or(0, |found| found.len())
    }
}

/// Makes a new ledger: whole, or not at all.
fn make(path: &Path) -> Result<(), LedgerFault> {
    if beside(path, JOURNAL).exists() {
        return Err(LedgerFault::new(
            "the file is gone, but its journal (-wal) is there; put the file back, or remove the journal to begin a new ledger",
        ));
    }
    let unfinished = beside(path, ".new");
    if unfinished.exists() {
        fs::remove_file(&unfinished)?;
    }
    // The names of customers are nobody else's business.
    OpenOptions::new().create_new(true).write(true).mode(0o600).open(&unfinished)?;
    let connection = Connection::open_with_flags(&unfinished, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", LAYOUT)?;
    connection.execute_batch(&format!("BEGIN; {TABLES} COMMIT;"))?;
    connection.close().map_err(|(_, error)| error)?;
    fs::rename(&unfinished, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(File::open(directory)?.sync_all()?)
}

impl From<rusqlite::Error> for LedgerFault {
    /// Says what an operator can do; the database's own words can hold names of accounts.
    fn from(error: rusqlite::Error) -> LedgerFault {
        let Some(code) = error.sqlite_error_code() else {
            return LedgerFault::new(
                "the database has answered what was not asked; the file may be of another program",
            );
        };
        match code {
            ErrorCode::DiskFull => LedgerFault::new("the disk is full; make room on it"),
            ErrorCode::ReadOnly => LedgerFault::new("the file cannot be written; give this user the right to write it"),
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                LedgerFault::new("another program has locked the ledger; let it finish")
            }
            ErrorCode::DatabaseCorrupt => LedgerFault::new("the file is damaged; put a sound copy of the ledger back"),
            ErrorCode::NotADatabase => {
                LedgerFault::new("the file is no ledger; name another file, or put the ledger back")
            }
            ErrorCode::CannotOpen => {
                LedgerFault::new("the file cannot be opened; check that its directory is there and its rights")
            }
            ErrorCode::PermissionDenied => LedgerFault::new("this user may not open the file; mend its rights"),
            ErrorCode::SystemIoFailure => LedgerFault::new("the disk does not read or write; look at its health"),
            ErrorCode::OutOfMemory => LedgerFault::new("there is no memory left for the database; free some"),
            ErrorCode::ConstraintViolation => LedgerFault::new("a row breaks a rule of the ledger"),
            _ => LedgerFault::new("the database has failed; look at the file with the sqlite3 program"),
        }
    }
}

impl From<std::io::Error> for LedgerFault {
    fn from(error: std::io::Error) -> LedgerFault {
        match error.kind() {
            std::io::ErrorKind::NotFound => LedgerFault::new("its directory is not there; make it"),
            std::io::ErrorKind::PermissionDenied => {
                LedgerFault::new("this user may not open the file; mend its rights")
            }
            std::io::ErrorKind::ReadOnlyFilesystem => {
                LedgerFault::new("the file cannot be written; give this user the right to write it")
            }
            std::io::ErrorKind::StorageFull => LedgerFault::new("the disk is full; make room on it"),
            _ => LedgerFault::new("the disk does not read or write; look at its health"),
        }
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
