//! The layouts of the store, one file each, and the migrations between them.
//!
//! A migration only adds, so that the previous release can still use the file: an upgrade runs both at once, and can be
//! reverted. `readable_from` is the oldest layout whose program still understands the file.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::error::StoreError;

/// One step: its number, the oldest layout whose program can use the file after it, what is portable, and what this
/// engine alone has.
struct Migration {
    layout: i64,
    readable_from: i64,
    portable: &'static str,
    own: &'static str,
}

const MIGRATIONS: [Migration; 8] = [
    Migration {
        layout: 1,
        readable_from: 1,
        portable: include_str!("migrations/0001.sql"),
        own: include_str!("migrations/0001.sqlite.sql"),
    },
    Migration { layout: 2, readable_from: 1, portable: include_str!("migrations/0002.sql"), own: "" },
    Migration { layout: 3, readable_from: 1, portable: include_str!("migrations/0003.sql"), own: "" },
    Migration { layout: 4, readable_from: 1, portable: include_str!("migrations/0004.sql"), own: "" },
    Migration { layout: 5, readable_from: 1, portable: include_str!("migrations/0005.sql"), own: "" },
    Migration { layout: 6, readable_from: 1, portable: include_str!("migrations/0006.sql"), own: "" },
    Migration { layout: 7, readable_from: 1, portable: include_str!("migrations/0007.sql"), own: "" },
    Migration { layout: 8, readable_from: 1, portable: include_str!("migrations/0008.sql"), own: "" },
];

/// The placeholders of the portable files for this engine.
const WORDS: [(&str, &str); 4] =
    [("@clustered", "STRICT, WITHOUT ROWID"), ("@heap", "STRICT"), ("@bytes", "BLOB"), ("@int", "INTEGER")];

const LAYOUT: &str = "
CREATE TABLE IF NOT EXISTS store_layout (
  only_row @int NOT NULL PRIMARY KEY CHECK (only_row = 1),
  layout @int NOT NULL,
  readable_from @int NOT NULL
) @heap;
";

/// The SQL of this engine.
fn translated(portable: &str) -> String {
    WORDS.iter().fold(portable.to_owned(), |sql, (word, meaning)| sql.replace(word, meaning))
}

/// Migrates a file to the layout of this program, in one transaction with the write lock.
///
/// # Errors
/// That the file is of a newer program, or those of the database.
pub fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let newest = MIGRATIONS.last().map_or(0, |newest| newest.layout);
    // Most files are up to date, and need no lock.
    if layout(connection)?.is_some_and(|(layout, _)| layout == newest) {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(&translated(LAYOUT))?;
    let (found, readable_from) = layout(&transaction)?.unwrap_or_default();
    if readable_from > newest {
        return Err(newer(found, newest));
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.layout > found) {
        transaction.execute_batch(&translated(migration.portable))?;
        transaction.execute_batch(migration.own)?;
        let set = "INSERT INTO store_layout VALUES (1, ?1, ?2) \
                   ON CONFLICT (only_row) DO UPDATE SET layout = ?1, readable_from = ?2";
        transaction.execute(set, params![migration.layout, migration.readable_from])?;
    }
    Ok(transaction.commit()?)
}

/// Whether a file can be read as it is.
///
/// # Errors
/// That it is of a newer program, or not migrated yet.
pub fn check(connection: &Connection) -> Result<(), StoreError> {
    let newest = MIGRATIONS.last().map_or(0, |newest| newest.layout);
    match layout(connection)? {
        Some((found, readable_from)) if readable_from > newest => Err(newer(found, newest)),
        Some((found, _)) if found >= newest => Ok(()),
        Some(_) | None => Err(StoreError::Unusable {
            why: "the store is of an older version of this program; the gateway brings it up to date when it starts"
                .to_owned(),
        }),
    }
}

fn newer(found: i64, newest: i64) -> StoreError {
    StoreError::Unusable {
        why: format!(
            "the store is of a newer version of this program (layout {found}, and this one knows {newest}); use that version, or put back the copy that was made before it"
        ),
    }
}

/// The layout of a file, and the oldest one whose program understands it; `None` in a new file.
fn layout(connection: &Connection) -> Result<Option<(i64, i64)>, StoreError> {
    let known = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'store_layout'";
    if connection.query_row(known, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    let query = "SELECT layout, readable_from FROM store_layout";
    Ok(connection.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}
