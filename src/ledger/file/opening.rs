//! Opening the ledger's file: creating it, checking it before a byte is written, and folding its journal.
//!
//! Reading and writing are in `file.rs`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::LedgerFile;
use super::open_file::{JOURNAL, MAX_JOURNAL_BYTES, OpenFile};
use crate::ledger::fault::LedgerFault;
use crate::ledger::journal::{self, Standing};
use crate::ledger::lock::{self, beside};
use crate::ledger::settings::Storage;
use crate::ledger::usage;

/// Marks the file as a ledger: "toll" in ASCII.
const APPLICATION_ID: i64 = 0x746f_6c6c;

/// The layout of the tables below.
const LAYOUT: i64 = 1;

/// How long to wait for another program's lock on the database.
const BUSY_PATIENCE: Duration = Duration::from_millis(200);

/// The interval of one request of each account's rate, in a separate table, since earlier versions write whole rows of
/// `rate`. A row counts while its time is that of the rate's row.
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

impl LedgerFile {
    /// Opens a ledger and checks that nothing of it is missing. A file that does not exist is only created with
    /// `create`: a ledger that has disappeared must not be mistaken for a new one.
    ///
    /// # Errors
    /// What is wrong with the file, and how to fix it.
    pub fn open(storage: &Storage, create: bool) -> Result<LedgerFile, LedgerFault> {
        match storage {
            Storage::Memory => {
                let connection = Connection::open_in_memory()?;
                connection.execute_batch(TABLES)?;
                connection.execute_batch(RATE_INTERVAL)?;
                connection.execute_batch(usage::TABLES)?;
                Ok(LedgerFile { connection, file: None })
            }
            Storage::File(path) => LedgerFile::open_file(path, create),
        }
    }

    fn open_file(path: &Path, create: bool) -> Result<LedgerFile, LedgerFault> {
        let real = lock::real_name(path)?;
        let name = lock::take_name(&real)?;
        match fs::metadata(&real) {
            Ok(found) if is_empty(&found) => {
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
        let mut store = LedgerFile { connection, file: Some(file) };
        // If the file is refused, both files are unchanged.
        store.keep_journal(true)?;
        store.identify()?;
        store.check_journal(alone)?;
        store.check_sums()?;
        store.check_length(&real)?;
        store.keep_journal(false)?;
        store.prepare()?;
        Ok(store)
    }

    /// Sets whether the journal is kept when the connection is closed. Otherwise it is written into the database and
    /// removed.
    pub(super) fn keep_journal(&self, keep: bool) -> Result<(), LedgerFault> {
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)?;
        Ok(())
    }

    /// Checks whether the file is a ledger that this program can write. The first access also reads the journal, and
    /// changes neither.
    fn identify(&self) -> Result<(), LedgerFault> {
        let connection = &self.connection;
        connection.busy_timeout(BUSY_PATIENCE)?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        if connection.is_readonly(rusqlite::MAIN_DB)? {
            return Err(LedgerFault::new("the file cannot be written; allow this user to write it"));
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
        // Read in any case: a row that is damaged must be found before something is written.
        let whole = Standing::of(&self.connection)?;
        let Some(alone) = alone else { return Ok(()) };
        // A copy made by VACUUM INTO has the same rows on other pages.
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

    /// Reads every row, to find broken pages, and a journal that was applied to another file without either showing it.
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
        self.connection.execute_batch(usage::TABLES)?;
        self.fold()
    }

    /// Writes the journal into the database and begins a new one, unless somebody reads the old one.
    pub(super) fn fold(&mut self) -> Result<(), LedgerFault> {
        // Lookups must not wait for readers.
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

    pub(super) fn fold_if_long(&mut self) -> Result<(), LedgerFault> {
        if self.file.as_ref().is_some_and(|file| file.journal_bytes() >= file.fold_at) { self.fold() } else { Ok(()) }
    }
}

/// Whether SQLite takes a file for an empty one, beside which it removes the journal: it says so of a single byte as well.
pub(in crate::ledger) fn is_empty(found: &fs::Metadata) -> bool {
    found.len() <= 1
}

/// Creates a new ledger, completely or not at all.
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
    // Only for this user, since it has the names of customers.
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
