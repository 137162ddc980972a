//! Operations on users: people who sign in to the portal. An operator is a user with a role; a customer is one with
//! memberships of accounts.

use super::error::StoreError;
use super::fields;
use super::people::{Credentials, Identity, UserInfo, UserState};
use super::records::Role;
use super::sql::{self, Connection, OptionalExtension, Row, ToSql, params, params_from_iter};
use super::writing::{Writing, expect};
use crate::platform::mail;

/// The most rows of one page of a list.
pub const MAX_PAGE_ROWS: u32 = 1000;

/// The most bytes of the name of a provider, and of its name for a user (OpenID Connect Core, section 2: 255).
const MAX_IDENTITY: usize = 1024;

/// The values of a new user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserDraft {
    /// The address of mail, in any case.
    pub email: Option<String>,
    pub email_proven: bool,
    pub identity: Option<Identity>,
    pub display: String,
    pub operator: Option<Role>,
}

/// Changes of a user; what is `None` is not changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPatch {
    pub display: Option<String>,
    /// Another role among operators, or none.
    pub operator: Option<Option<Role>>,
    pub state: Option<UserState>,
}

/// Which users of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPage {
    /// Only those that were made after this one, by its id: the last of the page before.
    pub after: Option<String>,
    /// The number of rows, at most [`MAX_PAGE_ROWS`].
    pub rows: u32,
    /// Only operators.
    pub operators: bool,
}

/// An address of mail as it is stored and compared: in lower case, without spaces around it.
///
/// # Errors
/// What to write instead, without repeating it.
pub fn address(field: &str, email: &str) -> Result<String, StoreError> {
    let email = email.trim().to_ascii_lowercase();
    mail::check_address(&email).map_err(|why| StoreError::invalid(field, why))?;
    Ok(email)
}

/// Makes a user.
///
/// # Errors
/// An invalid value, or an address or an identity that is taken.
pub fn create(writing: &mut Writing<'_>, draft: &UserDraft) -> Result<UserInfo, StoreError> {
    fields::text("display", &draft.display)?;
    let email = draft.email.as_deref().map(|email| address("email", email)).transpose()?;
    if let Some(email) = &email
        && find_by_email(writing.database(), email)?.is_some()
    {
        return Err(StoreError::Taken { field: "email", why: "is the address of an existing user" });
    }
    if let Some(identity) = &draft.identity {
        check_identity(writing.database(), identity)?;
    }
    check_operator(draft.operator)?;
    let user = UserInfo {
        id: writing.new_id()?,
        email,
        email_proven: draft.email_proven,
        identity: draft.identity.clone(),
        display: draft.display.clone(),
        has_password: false,
        has_totp: false,
        operator: draft.operator,
        state: UserState::Active,
        row_version: 1,
        created_at: writing.act().at_ms,
    };
    let insert = "INSERT INTO app_user (id, email, email_proven, issuer, subject, display, password, totp, totp_step, \
                  operator, state, row_version, created_at) \
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL, NULL, 0, ?7, ?8, ?9, ?10)";
    writing.database().prepare_cached(insert)?.execute(params![
        user.id,
        user.email,
        user.email_proven,
        user.identity.as_ref().map(|identity| &identity.issuer),
        user.identity.as_ref().map(|identity| &identity.subject),
        user.display,
        user.operator.map(Role::word),
        user.state.word(),
        user.row_version,
        user.created_at,
    ])?;
    writing.note("user.create", None, user.name(), None, Some(&user))?;
    Ok(user)
}

/// Changes a user that is at an expected version, or at any. Whoever is disabled, or becomes another kind of operator,
/// is signed out everywhere.
///
/// # Errors
/// An invalid value, a user that does not exist or has changed, or the last operator who may do everything.
pub fn update(
    writing: &mut Writing<'_>,
    id: &str,
    expected: Option<i64>,
    patch: &UserPatch,
) -> Result<UserInfo, StoreError> {
    let before = get(writing.database(), id)?;
    expect("user", expected, before.row_version, &before)?;
    let mut after = before.clone();
    if let Some(display) = &patch.display {
        fields::text("display", display)?;
        after.display.clone_from(display);
    }
    if let Some(operator) = patch.operator {
        check_operator(operator)?;
        after.operator = operator;
    }
    after.state = patch.state.unwrap_or(after.state);
    if after == before {
        return Ok(before);
    }
    keep_an_admin(writing.database(), &before, &after)?;
    write(writing, "user.update", &before, after)
}

/// Sets the role among operators that an identity provider or a proxy says, whose word is final: also of the last one.
///
/// # Errors
/// A user that does not exist, or a role of accounts.
pub fn set_operator_as_told(
    writing: &mut Writing<'_>,
    id: &str,
    operator: Option<Role>,
) -> Result<UserInfo, StoreError> {
    check_operator(operator)?;
    let before = get(writing.database(), id)?;
    if before.operator == operator {
        return Ok(before);
    }
    let after = UserInfo { operator, ..before.clone() };
    write(writing, "user.update", &before, after)
}

/// Makes a user one of an identity provider as well: from now on the two are one.
///
/// # Errors
/// A user that does not exist or has another identity, or an identity that is taken.
pub fn set_identity(writing: &mut Writing<'_>, id: &str, identity: &Identity) -> Result<UserInfo, StoreError> {
    let before = get(writing.database(), id)?;
    if before.identity.as_ref() == Some(identity) {
        return Ok(before);
    }
    if before.identity.is_some() {
        return Err(StoreError::State { why: "the user has another identity at the provider" });
    }
    check_identity(writing.database(), identity)?;
    let after = UserInfo { identity: Some(identity.clone()), ..before.clone() };
    write(writing, "user.identity", &before, after)
}

fn write(
    writing: &mut Writing<'_>,
    action: &'static str,
    before: &UserInfo,
    mut after: UserInfo,
) -> Result<UserInfo, StoreError> {
    after.row_version = before.row_version.saturating_add(1);
    let update = "UPDATE app_user SET display = ?2, operator = ?3, state = ?4, issuer = ?5, subject = ?6, \
                  row_version = ?7 WHERE id = ?1";
    writing.database().prepare_cached(update)?.execute(params![
        after.id,
        after.display,
        after.operator.map(Role::word),
        after.state.word(),
        after.identity.as_ref().map(|identity| &identity.issuer),
        after.identity.as_ref().map(|identity| &identity.subject),
        after.row_version,
    ])?;
    if after.state == UserState::Disabled || after.operator != before.operator {
        end_sessions(writing, &after.id, None)?;
    }
    writing.note(action, None, after.name(), Some(before), Some(&after))?;
    Ok(after)
}

/// Sets or removes the password, by its hash. All sessions of the user end but the one that is kept.
///
/// # Errors
/// A user that does not exist.
pub fn set_password(
    writing: &mut Writing<'_>,
    id: &str,
    hash: Option<&str>,
    kept: Option<&[u8; 32]>,
) -> Result<UserInfo, StoreError> {
    let update = "UPDATE app_user SET password = ?2, row_version = row_version + 1 WHERE id = ?1";
    set(writing, "user.password", id, kept, |database| database.prepare_cached(update)?.execute(params![id, hash]))
}

/// Sets or removes the sealed secret of one-time passwords, with the digests of its recovery codes. All sessions of the
/// user end but the one that is kept.
///
/// # Errors
/// A user that does not exist.
pub fn set_totp(
    writing: &mut Writing<'_>,
    id: &str,
    sealed: Option<(&[u8], i64)>,
    recovery: &[[u8; 32]],
    kept: Option<&[u8; 32]>,
) -> Result<UserInfo, StoreError> {
    let update = "UPDATE app_user SET totp = ?2, totp_step = ?3, row_version = row_version + 1 WHERE id = ?1";
    let (secret, step) = sealed.map_or((None, 0), |(secret, step)| (Some(secret), step));
    set(writing, "user.one-time-password", id, kept, |database| {
        database.prepare_cached("DELETE FROM recovery_code WHERE user_id = ?1")?.execute([id])?;
        for digest in recovery {
            let insert = "INSERT INTO recovery_code (user_id, digest) VALUES (?1, ?2)";
            database.prepare_cached(insert)?.execute(params![id, digest.as_slice()])?;
        }
        database.prepare_cached(update)?.execute(params![id, secret, step])
    })
}

/// Notes that somebody has shown that they read mail to the user's address. What was set before by somebody who has not
/// is removed: the password, one-time passwords, and sessions.
///
/// # Errors
/// A user that does not exist.
pub fn prove_email(writing: &mut Writing<'_>, id: &str) -> Result<UserInfo, StoreError> {
    let before = get(writing.database(), id)?;
    if before.email_proven {
        return Ok(before);
    }
    remove(writing, "user.address-proven", id, "email_proven = 1")
}

/// Takes the password and the one-time passwords away, and ends all sessions.
///
/// # Errors
/// A user that does not exist.
pub fn remove_proofs(writing: &mut Writing<'_>, id: &str) -> Result<UserInfo, StoreError> {
    remove(writing, "user.reset", id, "email_proven = email_proven")
}

/// Removes whatever a user signs in with here, and sets one more column.
fn remove(
    writing: &mut Writing<'_>,
    action: &'static str,
    id: &str,
    and: &'static str,
) -> Result<UserInfo, StoreError> {
    let update = format!(
        "UPDATE app_user SET {and}, password = NULL, totp = NULL, totp_step = 0, row_version = row_version + 1 \
         WHERE id = ?1"
    );
    set(writing, action, id, None, |database| {
        database.prepare_cached("DELETE FROM recovery_code WHERE user_id = ?1")?.execute([id])?;
        database.prepare_cached(&update)?.execute([id])
    })
}

/// Ends all sessions of a user but one, and returns how many.
///
/// # Errors
/// Errors of the database.
pub fn end_sessions(writing: &mut Writing<'_>, user_id: &str, kept: Option<&[u8; 32]>) -> Result<usize, StoreError> {
    let kept = kept.map_or_else(Vec::new, |kept| kept.to_vec());
    let delete = "DELETE FROM session WHERE user_id = ?1 AND digest <> ?2";
    Ok(writing.database().prepare_cached(delete)?.execute(params![user_id, kept])?)
}

fn set(
    writing: &mut Writing<'_>,
    action: &'static str,
    id: &str,
    kept: Option<&[u8; 32]>,
    change: impl FnOnce(&Connection) -> sql::Result<usize>,
) -> Result<UserInfo, StoreError> {
    let before = get(writing.database(), id)?;
    change(writing.database())?;
    end_sessions(writing, id, kept)?;
    let after = get(writing.database(), id)?;
    writing.note(action, None, after.name(), Some(&before), Some(&after))?;
    Ok(after)
}

/// Accepts the one-time password of a step, unless it or a later one was used already: then it is false.
///
/// # Errors
/// Errors of the database.
pub fn use_step(connection: &Connection, id: &str, step: i64) -> Result<bool, StoreError> {
    let update = "UPDATE app_user SET totp_step = ?2 WHERE id = ?1 AND totp IS NOT NULL AND totp_step < ?2";
    Ok(connection.prepare_cached(update)?.execute(params![id, step])? == 1)
}

/// Uses a recovery code, by its digest; false if it is none.
///
/// # Errors
/// Errors of the database.
pub fn use_recovery_code(connection: &Connection, id: &str, digest: &[u8; 32]) -> Result<bool, StoreError> {
    let delete = "DELETE FROM recovery_code WHERE user_id = ?1 AND digest = ?2";
    Ok(connection.prepare_cached(delete)?.execute(params![id, digest.as_slice()])? == 1)
}

/// How many recovery codes are left.
///
/// # Errors
/// Errors of the database.
pub fn recovery_codes(connection: &Connection, id: &str) -> Result<i64, StoreError> {
    let query = "SELECT COUNT(*) FROM recovery_code WHERE user_id = ?1";
    Ok(connection.prepare_cached(query)?.query_row([id], |row| row.get(0))?)
}

/// A user by the id.
///
/// # Errors
/// That there is none, or errors of the database.
pub fn get(connection: &Connection, id: &str) -> Result<UserInfo, StoreError> {
    one(connection, "id = ?1", params![id])?.ok_or(StoreError::NotFound { what: "user" })
}

/// The user with an address of mail, in lower case.
///
/// # Errors
/// Errors of the database.
pub fn find_by_email(connection: &Connection, email: &str) -> Result<Option<UserInfo>, StoreError> {
    one(connection, "email = ?1", params![email])
}

/// The user whom an identity provider knows by a name.
///
/// # Errors
/// Errors of the database.
pub fn find_by_identity(connection: &Connection, identity: &Identity) -> Result<Option<UserInfo>, StoreError> {
    one(connection, "issuer = ?1 AND subject = ?2", params![identity.issuer, identity.subject])
}

/// What a user proves themselves with.
///
/// # Errors
/// That there is no such user, or errors of the database.
pub fn credentials(connection: &Connection, id: &str) -> Result<Credentials, StoreError> {
    let query = "SELECT password, totp, totp_step FROM app_user WHERE id = ?1";
    let found = connection
        .prepare_cached(query)?
        .query_row([id], |row| Ok(Credentials { password: row.get(0)?, totp: row.get(1)?, totp_step: row.get(2)? }));
    found.optional()?.ok_or(StoreError::NotFound { what: "user" })
}

/// Users in the order in which they were made.
///
/// # Errors
/// Errors of the database.
pub fn list(connection: &Connection, page: &UserPage) -> Result<Vec<UserInfo>, StoreError> {
    let after = page.after.clone().unwrap_or_default();
    let rows = page.rows.clamp(1, MAX_PAGE_ROWS);
    let only = if page.operators { " AND operator IS NOT NULL" } else { "" };
    let query = format!("SELECT {COLUMNS} FROM app_user WHERE id > ?1{only} ORDER BY id LIMIT {rows}");
    let mut statement = connection.prepare_cached(&query)?;
    let found = statement.query_map([after], row_of)?;
    found.map(|row| row?).collect()
}

fn one(connection: &Connection, condition: &str, values: &[&dyn ToSql]) -> Result<Option<UserInfo>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM app_user WHERE {condition}");
    let found = connection.prepare_cached(&query)?.query_row(params_from_iter(values), row_of).optional()?;
    found.transpose()
}

/// Refuses to leave the portal without an operator who may do everything.
fn keep_an_admin(connection: &Connection, before: &UserInfo, after: &UserInfo) -> Result<(), StoreError> {
    let is_admin = |user: &UserInfo| user.operator == Some(Role::Admin) && user.state == UserState::Active;
    if !is_admin(before) || is_admin(after) {
        return Ok(());
    }
    let query = "SELECT COUNT(*) FROM app_user WHERE operator = 'admin' AND state = 'active' AND id <> ?1";
    let others: i64 = connection.prepare_cached(query)?.query_row([&before.id], |row| row.get(0))?;
    if others > 0 {
        return Ok(());
    }
    Err(StoreError::State { why: "this is the last operator who may do everything; make another one first" })
}

fn check_operator(operator: Option<Role>) -> Result<(), StoreError> {
    if operator.is_none_or(|role| !role.is_of_account()) {
        return Ok(());
    }
    Err(StoreError::invalid("role", "is a role of accounts; write admin, support or auditor"))
}

fn check_identity(connection: &Connection, identity: &Identity) -> Result<(), StoreError> {
    for (field, text) in [("issuer", &identity.issuer), ("subject", &identity.subject)] {
        if text.is_empty() || text.len() > MAX_IDENTITY || text.chars().any(char::is_control) {
            let why = format!("is not the name of a user of a provider; it has 1 to {MAX_IDENTITY} visible bytes");
            return Err(StoreError::invalid(field, why));
        }
    }
    match find_by_identity(connection, identity)? {
        Some(_) => Err(StoreError::Taken { field: "subject", why: "is another user's" }),
        None => Ok(()),
    }
}

const COLUMNS: &str = "id, email, email_proven, issuer, subject, display, password IS NOT NULL, totp IS NOT NULL, \
                       operator, state, row_version, created_at";

fn row_of(row: Row<'_>) -> sql::Result<Result<UserInfo, StoreError>> {
    let id: String = row.get(0)?;
    let operator = row.get::<Option<String>>(8)?;
    let role = operator.as_deref().map(Role::from_word);
    let (Some(state), false) = (UserState::from_word(row.text(9)?), role == Some(None)) else {
        return Ok(Err(StoreError::corrupted("app_user", &id, "its role or its state is none")));
    };
    let identity = row.get::<Option<String>>(3)?.zip(row.get::<Option<String>>(4)?);
    Ok(Ok(UserInfo {
        id,
        email: row.get(1)?,
        email_proven: row.get(2)?,
        identity: identity.map(|(issuer, subject)| Identity { issuer, subject }),
        display: row.get(5)?,
        has_password: row.get(6)?,
        has_totp: row.get(7)?,
        operator: role.flatten(),
        state,
        row_version: row.get(10)?,
        created_at: row.get(11)?,
    }))
}
