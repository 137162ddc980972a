//! Checks whether the journal (`-wal`) beside a database belongs to it, before SQLite writes a byte
//! of it into the database.
//!
//! SQLite applies any journal to any database that it finds beside it. With an older copy of the
//! database, the result is a mixture of both. So the first transaction of each journal records the
//! last write in the database before the journal began (its base), in the row that also has the
//! number of the last write. A database fits if it is at the base, or at any later write of the
//! same journal: all pages that have changed since are in the journal.

use std::path::Path;

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::entry::Position;

/// Characters of a path that have a special meaning in SQLite's URI file names.
const NOT_IN_NAMES: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#');

/// The position of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its last write.
    pub position: Position,
    /// The last write before its newest journal began; `None` in older ledgers, which do not record
    /// it.
    pub base: Option<Position>,
}

impl Standing {
    /// Reads it through a connection, which includes the journal.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn of(connection: &Connection) -> rusqlite::Result<Standing> {
        let position = |first: &str, second: &str| {
            let query = format!("SELECT {first}, {second} FROM position");
            connection.query_row(&query, [], |row| Ok(Position { batch: row.get(0)?, nonce: row.get(1)? }))
        };
        let base = if knows_base(connection)? { Some(position("base_batch", "base_nonce")?) } else { None };
        Ok(Standing { position: position("batch", "nonce")?, base })
    }

    /// Reads it from the database file without its journal, and without changing either; `None` if
    /// that is not possible, as after a crash during a checkpoint.
    pub fn of_file_alone(real_name: &Path) -> Option<Standing> {
        let name = percent_encode(real_name.as_os_str().as_encoded_bytes(), NOT_IN_NAMES);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(format!("file:{name}?immutable=1"), flags).ok()?;
        Standing::of(&connection).ok()
    }

    /// Whether the journal belongs to the database. `self` is the position with the journal, `file`
    /// the one without it.
    pub fn follows(&self, file: &Standing) -> bool {
        if self.position == file.position {
            return true;
        }
        let Some(base) = self.base else {
            // An earlier version has written the journal, without a base.
            return true;
        };
        let same_journal = file.base == Some(base) && (base.batch..=self.position.batch).contains(&file.position.batch);
        // This journal recorded a base for the first time.
        let first = file.base.is_none() && base == Position::default();
        file.position == base || same_journal || first
    }
}

/// Whether the ledger has columns for the base.
///
/// # Errors
/// Errors of the database.
pub fn knows_base(connection: &Connection) -> rusqlite::Result<bool> {
    let query = "SELECT 1 FROM pragma_table_info('position') WHERE name = 'base_batch'";
    Ok(connection.query_row(query, [], |_| Ok(())).optional()?.is_some())
}

/// Adds the columns for the base to an older ledger. Earlier versions ignore them.
///
/// # Errors
/// Errors of the database.
pub fn make_room(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "BEGIN IMMEDIATE; \
         ALTER TABLE position ADD COLUMN base_batch INTEGER NOT NULL DEFAULT 0; \
         ALTER TABLE position ADD COLUMN base_nonce INTEGER NOT NULL DEFAULT 0; \
         COMMIT;",
    )
}

/// Records the base, as the first transaction of a journal.
///
/// # Errors
/// Errors of the database.
pub fn begin(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("UPDATE position SET base_batch = batch, base_nonce = nonce", [])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(batch: i64, nonce: i64) -> Position {
        Position { batch, nonce }
    }

    #[test]
    fn a_journal_belongs_to_the_database_that_it_began_with_and_to_what_it_made_of_it() {
        let journal = Standing { position: at(9, 91), base: Some(at(5, 51)) };
        for (file, base, belongs, what) in [
            (at(5, 51), Some(at(2, 21)), true, "where the journal began"),
            (at(9, 91), Some(at(5, 51)), true, "all of it was written into the database already"),
            (at(9, 91), Some(at(2, 21)), true, "the same, and the row of the base not yet"),
            (at(7, 71), Some(at(5, 51)), true, "a part of it was"),
            (at(4, 41), Some(at(2, 21)), false, "an older copy"),
            (at(5, 52), Some(at(2, 21)), false, "another history with as many writes"),
            (at(7, 71), Some(at(2, 21)), false, "another history that has gone on from an older copy"),
            (at(12, 12), Some(at(5, 51)), false, "a newer one, and a journal that was left behind"),
            (at(4, 41), None, false, "an older copy from before bases were noted"),
        ] {
            assert_eq!(journal.follows(&Standing { position: file, base }), belongs, "{what}");
        }
        let by_an_earlier_version = Standing { position: at(9, 91), base: None };
        assert!(by_an_earlier_version.follows(&Standing { position: at(4, 41), base: None }));
        let first = Standing { position: at(9, 91), base: Some(at(0, 0)) };
        assert!(first.follows(&Standing { position: at(8, 81), base: None }));
        assert!(!first.follows(&Standing { position: at(12, 12), base: Some(at(7, 71)) }));
    }
}
