//! Operations on sessions: browsers that are signed in. A session is found by the digest of the secret in its cookie;
//! how long one may be idle is the caller's rule, and when it ends at the latest is stored.

use super::error::StoreError;
use super::fields::MAX_TEXT;
use super::people::{How, SessionInfo, UserState};
use super::randomness::hexadecimal;
use super::sql::{self, Connection, OptionalExtension, Row, params};
use super::users;
use super::writing::Writing;

/// The most sessions of a user: the oldest ends when there is one more.
pub const MAX_SESSIONS: i64 = 50;

/// The values of a new session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionDraft {
    pub user_id: String,
    pub how: How,
    /// The digest of the secret that the cookie has.
    pub digest: [u8; 32],
    /// When it ends at the latest, in milliseconds since 1970.
    pub ends_at: i64,
    /// The browser, in words for people.
    pub browser: String,
}

/// Signs a user in. The address is that of the act.
///
/// # Errors
/// A user that does not exist or is disabled.
pub fn begin(writing: &mut Writing<'_>, draft: &SessionDraft) -> Result<SessionInfo, StoreError> {
    let user = users::get(writing.database(), &draft.user_id)?;
    if user.state == UserState::Disabled {
        return Err(StoreError::State { why: "the user is disabled" });
    }
    let at = writing.act().at_ms;
    let session = SessionInfo {
        id: hexadecimal(&draft.digest),
        user_id: user.id.clone(),
        how: draft.how,
        created_at: at,
        seen_at: at,
        strong_at: at,
        ends_at: draft.ends_at,
        address: writing.act().address.clone(),
        browser: draft.browser.chars().filter(|char| !char.is_control()).take(MAX_TEXT).collect(),
    };
    let crowded = "DELETE FROM session WHERE user_id = ?1 AND digest NOT IN \
                   (SELECT digest FROM session WHERE user_id = ?1 ORDER BY created_at DESC LIMIT ?2)";
    writing.database().prepare_cached(crowded)?.execute(params![user.id, MAX_SESSIONS - 1])?;
    let insert = "INSERT INTO session \
                  (digest, user_id, how, created_at, seen_at, strong_at, ends_at, address, browser) \
                  VALUES (?1, ?2, ?3, ?4, ?4, ?4, ?5, ?6, ?7)";
    writing.database().prepare_cached(insert)?.execute(params![
        draft.digest.as_slice(),
        session.user_id,
        session.how.word(),
        at,
        session.ends_at,
        session.address,
        session.browser,
    ])?;
    writing.note("user.sign-in", None, user.name(), None, Some(&session))?;
    Ok(session)
}

/// Ends one session of a user; whoever has none of this name is told nothing.
///
/// # Errors
/// Errors of the database.
pub fn end(writing: &mut Writing<'_>, user_id: &str, digest: &[u8; 32]) -> Result<bool, StoreError> {
    let Some(before) = find(writing.database(), digest)?.filter(|found| found.user_id == user_id) else {
        return Ok(false);
    };
    writing.database().prepare_cached("DELETE FROM session WHERE digest = ?1")?.execute([digest.as_slice()])?;
    let user = users::get(writing.database(), user_id)?;
    writing.note("user.sign-out", None, user.name(), Some(&before), None)?;
    Ok(true)
}

/// The session whose secret has a digest. It may have ended.
///
/// # Errors
/// Errors of the database.
pub fn find(connection: &Connection, digest: &[u8; 32]) -> Result<Option<SessionInfo>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM session WHERE digest = ?1");
    connection.prepare_cached(&query)?.query_row([digest.as_slice()], row_of).optional()?.transpose()
}

/// The sessions of a user that have not ended, the newest first.
///
/// # Errors
/// Errors of the database.
pub fn list(connection: &Connection, user_id: &str, now_ms: i64) -> Result<Vec<SessionInfo>, StoreError> {
    let query =
        format!("SELECT {COLUMNS} FROM session WHERE user_id = ?1 AND ends_at > ?2 ORDER BY created_at DESC, digest");
    let mut statement = connection.prepare_cached(&query)?;
    let found = statement.query_map(params![user_id, now_ms], row_of)?;
    found.map(|row| row?).collect()
}

/// Notes that a session was used.
///
/// # Errors
/// Errors of the database.
pub fn seen(connection: &Connection, digest: &[u8; 32], now_ms: i64) -> Result<(), StoreError> {
    let update = "UPDATE session SET seen_at = ?2 WHERE digest = ?1 AND seen_at < ?2";
    connection.prepare_cached(update)?.execute(params![digest.as_slice(), now_ms])?;
    Ok(())
}

/// Notes that the user of a session has proven again who they are, and gives it another secret: the old one is unknown
/// from then on. False if there is no such session.
///
/// # Errors
/// Errors of the database.
pub fn strengthen(
    connection: &Connection,
    digest: &[u8; 32],
    renewed: &[u8; 32],
    now_ms: i64,
) -> Result<bool, StoreError> {
    let update = "UPDATE session SET digest = ?2, strong_at = ?3, seen_at = ?3 WHERE digest = ?1";
    Ok(connection.prepare_cached(update)?.execute(params![digest.as_slice(), renewed.as_slice(), now_ms])? == 1)
}

const COLUMNS: &str = "digest, user_id, how, created_at, seen_at, strong_at, ends_at, address, browser";

fn row_of(row: Row<'_>) -> sql::Result<Result<SessionInfo, StoreError>> {
    let id = hexadecimal(row.bytes(0)?);
    let Some(how) = How::from_word(row.text(2)?) else {
        return Ok(Err(StoreError::corrupted("session", &id, "how it began is not known")));
    };
    Ok(Ok(SessionInfo {
        id,
        user_id: row.get(1)?,
        how,
        created_at: row.get(3)?,
        seen_at: row.get(4)?,
        strong_at: row.get(5)?,
        ends_at: row.get(6)?,
        address: row.get(7)?,
        browser: row.get(8)?,
    }))
}
