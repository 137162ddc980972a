//! Guesses of passwords and codes, limited by the generic cell rate algorithm (GCRA) for every address and every user.
//! A key is a digest, so that the store has neither.

use super::error::StoreError;
use super::sql::{Connection, OptionalExtension, params};

/// How many guesses there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guesses {
    /// At once.
    pub burst: u32,
    /// The time after which there may be one more, in milliseconds.
    pub every_ms: i64,
}

/// Counts a guess. `Err` of the inner result is how many milliseconds to wait: the guess is not counted then.
///
/// # Errors
/// Errors of the database.
pub fn take(
    connection: &Connection,
    key: &[u8; 32],
    guesses: Guesses,
    now_ms: i64,
) -> Result<Result<(), i64>, StoreError> {
    let query = "SELECT tat FROM attempt WHERE digest = ?1";
    let known: Option<i64> =
        connection.prepare_cached(query)?.query_row([key.as_slice()], |row| row.get(0)).optional()?;
    let tolerance = guesses.every_ms.saturating_mul(i64::from(guesses.burst.saturating_sub(1)));
    // A clock that was set back must not lock anybody out for longer than a whole burst.
    let tat = known.unwrap_or(now_ms).clamp(now_ms, now_ms.saturating_add(tolerance).saturating_add(guesses.every_ms));
    let early = tat.saturating_sub(tolerance).saturating_sub(now_ms);
    if early > 0 {
        return Ok(Err(early));
    }
    let put = "INSERT INTO attempt (digest, tat) VALUES (?1, ?2) ON CONFLICT (digest) DO UPDATE SET tat = excluded.tat";
    connection.prepare_cached(put)?.execute(params![key.as_slice(), tat.saturating_add(guesses.every_ms)])?;
    Ok(Ok(()))
}

/// Forgets the guesses of a key: one of them was right.
///
/// # Errors
/// Errors of the database.
pub fn forget(connection: &Connection, key: &[u8; 32]) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM attempt WHERE digest = ?1")?.execute([key.as_slice()])?;
    Ok(())
}
