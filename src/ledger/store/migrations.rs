//! The layouts of the store, one file each, and the migrations between them.
//!
//! A migration only adds, so that the previous release can still use the store: an upgrade runs both at once, and can be
//! reverted. `readable_from` is the oldest layout whose program still understands the store.

use super::error::StoreError;
use super::sql::{Connection, Engine, OptionalExtension, params};

/// One step: its number, the oldest layout whose program can use the store after it, what is portable, and what an
/// engine alone has.
struct Migration {
    layout: i64,
    readable_from: i64,
    portable: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

const fn step(layout: i64, portable: &'static str) -> Migration {
    Migration { layout, readable_from: 1, portable, sqlite: "", postgres: "" }
}

const MIGRATIONS: [Migration; 11] = [
    Migration {
        sqlite: include_str!("migrations/0001.sqlite.sql"),
        postgres: include_str!("migrations/0001.postgres.sql"),
        ..step(1, include_str!("migrations/0001.sql"))
    },
    step(2, include_str!("migrations/0002.sql")),
    step(3, include_str!("migrations/0003.sql")),
    step(4, include_str!("migrations/0004.sql")),
    step(5, include_str!("migrations/0005.sql")),
    step(6, include_str!("migrations/0006.sql")),
    step(7, include_str!("migrations/0007.sql")),
    step(8, include_str!("migrations/0008.sql")),
    step(9, include_str!("migrations/0009.sql")),
    step(10, include_str!("migrations/0010.sql")),
    Migration { postgres: include_str!("migrations/0011.postgres.sql"), ..step(11, "") },
];

const LAYOUT: &str = "
CREATE TABLE IF NOT EXISTS store_layout (
  only_row @int NOT NULL PRIMARY KEY CHECK (only_row = 1),
  layout @int NOT NULL,
  readable_from @int NOT NULL
) @heap;
";

/// Migrates a store to the layout of this program, in one transaction with a lock that all programs take.
///
/// # Errors
/// That the store is of a newer program, or those of the database.
pub fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let newest = MIGRATIONS.last().map_or(0, |newest| newest.layout);
    // Most files are up to date, and need no lock.
    if layout(connection)?.is_some_and(|(layout, _)| layout == newest) {
        return Ok(());
    }
    let engine = connection.engine();
    let transaction = connection.migrating()?;
    transaction.execute_batch(&engine.translated(LAYOUT))?;
    let (found, readable_from) = layout(&transaction)?.unwrap_or_default();
    if readable_from > newest {
        return Err(newer(found, newest));
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.layout > found) {
        transaction.execute_batch(&engine.translated(migration.portable))?;
        transaction.execute_batch(match engine {
            Engine::Sqlite => migration.sqlite,
            Engine::Postgres => migration.postgres,
        })?;
        let set = "INSERT INTO store_layout VALUES (1, ?1, ?2) \
                   ON CONFLICT (only_row) DO UPDATE SET layout = ?1, readable_from = ?2";
        transaction.execute(set, params![migration.layout, migration.readable_from])?;
    }
    Ok(transaction.commit()?)
}

/// Whether a store can be read as it is.
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

/// Whether there is a store at all.
///
/// # Errors
/// Errors of the database.
pub fn is_there(connection: &Connection) -> Result<bool, StoreError> {
    Ok(layout(connection)?.is_some())
}

fn newer(found: i64, newest: i64) -> StoreError {
    StoreError::Unusable {
        why: format!(
            "the store is of a newer version of this program (layout {found}, and this one knows {newest}); use that version, or put back the copy that was made before it"
        ),
    }
}

/// The layout of a store, and the oldest one whose program understands it; `None` in a new one.
fn layout(connection: &Connection) -> Result<Option<(i64, i64)>, StoreError> {
    let known = match connection.engine() {
        Engine::Sqlite => "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'store_layout'",
        Engine::Postgres => "SELECT 1 WHERE to_regclass('store_layout') IS NOT NULL",
    };
    if connection.query_row(known, (), |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    let query = "SELECT layout, readable_from FROM store_layout";
    Ok(connection.query_row(query, (), |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}
