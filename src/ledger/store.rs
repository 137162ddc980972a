//! The ledger's file: an SQLite database with one row for each thing that happened to a balance.
//!
//! The database itself holds to the rules, so that they bind whoever opens it: rows cannot be
//! changed or removed, a trigger adds each of them to its balance in the same transaction, and no
//! balance can fall below zero. One process has the file at a time, by a lock on a file beside it.
//! What to do about a fault is not decided here.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, params, params_from_iter};

use super::LedgerFault;
use super::entry::{Draft, Entry, Kind, Position, Reference};
use super::question::Page;

/// Marks the file as a ledger: "toll" in ASCII.
const APPLICATION_ID: i64 = 0x746f_6c6c;

/// The layout of the tables below.
const LAYOUT: i64 = 1;

/// How long a lock of somebody else on the database is waited for.
const BUSY_PATIENCE: Duration = Duration::from_millis(200);

/// The ending of the file whose lock says that the ledger is in use.
const LOCK: &str = ".lock";

/// Rows that one page of a history has at the most.
pub const MAX_PAGE_ROWS: u32 = 1000;

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
  nonce INTEGER NOT NULL
) STRICT;
INSERT INTO position VALUES (1, 0, 0);
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
    connection: Connection,
    file: Option<OpenFile>,
}

/// What tells whether the path still leads to the file that was opened.
#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// Held for as long as the ledger is open.
    _lock: File,
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
                Ok(Store { connection, file: None })
            }
            Storage::File(path) => Store::open_file(path, create),
        }
    }

    fn open_file(path: &Path, create: bool) -> Result<Store, LedgerFault> {
        let lock = lock(path)?;
        match fs::metadata(path) {
            Ok(found) if found.len() == 0 => {
                return Err(LedgerFault::new(
                    "the file is empty; put the ledger back, or remove the file to begin a new one",
                ));
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => make(path)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(LedgerFault::new("the file is gone; put it back"));
            }
            Err(error) => return Err(error.into()),
        }
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let store = Store { connection, file: Some(OpenFile::new(path, lock)?) };
        store.prepare()?;
        store.check_whole(path)?;
        Ok(store)
    }

    fn prepare(&self) -> Result<(), LedgerFault> {
        let connection = &self.connection;
        connection.busy_timeout(BUSY_PATIENCE)?;
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
        // A commit is on the disk when it returns, and readers do not stop the writer.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        Ok(())
    }

    /// Finds a file that was cut short, which SQLite itself would only notice when it reads the
    /// part that is missing; and, by reading every row, broken pages and the journal of one file laid
    /// over another.
    fn check_whole(&self, path: &Path) -> Result<(), LedgerFault> {
        let fold = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy: i64 = self.connection.query_row(fold, [], |row| row.get(0))?;
        if busy == 0 {
            let number = |name: &str| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            let expected = number("page_count")?.saturating_mul(number("page_size")?);
            if i64::try_from(fs::metadata(path)?.len()).is_ok_and(|found| found < expected) {
                return Err(LedgerFault::new("the file was cut short; put a whole copy of the ledger back"));
            }
        }
        let sums = "SELECT (SELECT COALESCE(SUM(amount), 0) FROM entry) = \
                    (SELECT COALESCE(SUM(granted - spent), 0) FROM balance)";
        if !self.connection.query_row(sums, [], |row| row.get::<_, bool>(0))? {
            return Err(LedgerFault::new(
                "the balances are not the sums of the rows; put a sound copy of the ledger back",
            ));
        }
        Ok(())
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
        match fs::metadata(&file.path) {
            Ok(found) if (found.dev(), found.ino()) == (file.device, file.inode) => Ok(()),
            Ok(_) => Err(LedgerFault::new("another file stands in its place; put the ledger back")),
            Err(_) => Err(LedgerFault::new("the file is gone; put it back")),
        }
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

    /// When the bursts of accounts are whole again, in milliseconds since 1970. Those that already
    /// are have no row any more.
    ///
    /// # Errors
    /// Those of the database.
    pub fn rates(&self, now_ms: i64) -> Result<HashMap<String, i64>, LedgerFault> {
        self.connection.execute("DELETE FROM rate WHERE full_at <= ?1", [now_ms])?;
        let mut statement = self.connection.prepare("SELECT account, full_at FROM rate")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes when the bursts of some accounts are whole again.
    ///
    /// # Errors
    /// Those of the database.
    pub fn write_rates(&mut self, rows: &[(&str, i64)]) -> Result<(), LedgerFault> {
        self.check_place()?;
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        {
            let insert = "INSERT INTO rate VALUES (?1, ?2) ON CONFLICT DO UPDATE SET full_at = excluded.full_at";
            let mut insert = transaction.prepare_cached(insert)?;
            for row in rows {
                insert.execute(params![row.0, row.1])?;
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

    /// The rows of a page, the oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub fn page(&self, page: &Page) -> Result<Vec<Entry>, LedgerFault> {
        let rows = page.rows.clamp(1, MAX_PAGE_ROWS);
        let key = page.credit_account.as_ref().map(|credit_account| credit_account.key());
        let account = key.map(|(account, _)| account).or(page.account.as_deref());
        let product = key.map(|(_, product)| product);
        // Times are texts of one form, so that they sort as times do.
        let (since, until) = (page.since.map(written_at), page.until.map(written_at));
        let mut query = format!("SELECT {COLUMNS} FROM entry WHERE id > ?1");
        let mut values: Vec<Value> = vec![page.after.into(), rows.into()];
        let text = |text: &str| Value::from(text.to_owned());
        for (condition, value) in [
            ("account =", account.map(text)),
            ("product =", product.map(text)),
            ("at >=", since.map(Value::from)),
            ("at <", until.map(Value::from)),
        ] {
            if let Some(value) = value {
                values.push(value);
                query += &format!(" AND {condition} ?{}", values.len());
            }
        }
        query += " ORDER BY id LIMIT ?2";
        let mut statement = self.connection.prepare_cached(&query)?;
        let found = statement.query_map(params_from_iter(values), entry)?;
        Ok(found.collect::<Result<Vec<Entry>, _>>()?)
    }
}

/// A time as rows have it.
fn written_at(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    time.unwrap_or(DateTime::<Utc>::MAX_UTC).to_rfc3339_opts(SecondsFormat::Millis, true)
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
    fn new(path: &Path, lock: File) -> Result<OpenFile, LedgerFault> {
        let found = fs::metadata(path)?;
        Ok(OpenFile { path: path.to_owned(), device: found.dev(), inode: found.ino(), _lock: lock })
    }
}

/// A name beside the ledger.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Takes the ledger for this process: two that count for themselves would sell the same credit.
fn lock(path: &Path) -> Result<File, LedgerFault> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(beside(path, LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            Err(LedgerFault::new("another process has the ledger; stop it, or give each gateway a ledger of its own")
                .busy())
        }
        Err(fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Whether another process keeps this ledger.
pub fn is_taken(path: &Path) -> bool {
    beside(path, LOCK).exists() && lock(path).is_err_and(LedgerFault::is_taken)
}

/// Makes a new ledger: whole, or not at all.
fn make(path: &Path) -> Result<(), LedgerFault> {
    if beside(path, "-wal").exists() {
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
