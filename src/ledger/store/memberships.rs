//! Operations on memberships: which users belong to which account, in which role. An account that has had an owner
//! keeps one.

use super::error::StoreError;
use super::people::{Belonging, Member, UserState};
use super::records::Role;
use super::sql::{self, Connection, OptionalExtension, Row, params};
use super::tokens::open_account;
use super::users;
use super::writing::{Writing, expect};

/// The most members of one account.
pub const MAX_MEMBERS: usize = 1000;

/// Makes a user a member of an account. Whoever is one already has the new role, if it is a higher one.
///
/// # Errors
/// A user or an account that does not exist, a closed account, a role of operators, or too many members.
pub fn add(writing: &mut Writing<'_>, account_id: &str, user_id: &str, role: Role) -> Result<Member, StoreError> {
    check_role(role)?;
    open_account(writing.database(), account_id)?;
    let user = users::get(writing.database(), user_id)?;
    if let Some(before) = find(writing.database(), account_id, user_id)? {
        return if rank(role) > rank(before.role) { write(writing, &before, role) } else { Ok(before) };
    }
    if list(writing.database(), account_id)?.len() >= MAX_MEMBERS {
        return Err(StoreError::Limit { what: "members of an account", most: MAX_MEMBERS });
    }
    let at = writing.act().at_ms;
    let insert =
        "INSERT INTO membership (account_id, user_id, role, row_version, created_at) VALUES (?1, ?2, ?3, 1, ?4)";
    writing.database().prepare_cached(insert)?.execute(params![account_id, user_id, role.word(), at])?;
    let after = get(writing.database(), account_id, user_id)?;
    writing.note("member.add", Some(account_id), user.name(), None, Some(&after))?;
    Ok(after)
}

/// Gives a member another role.
///
/// # Errors
/// A member that does not exist or has changed, a role of operators, or the last owner.
pub fn set_role(
    writing: &mut Writing<'_>,
    account_id: &str,
    user_id: &str,
    expected: Option<i64>,
    role: Role,
) -> Result<Member, StoreError> {
    check_role(role)?;
    let before = get(writing.database(), account_id, user_id)?;
    expect("member", expected, before.row_version, &before)?;
    if before.role == role {
        return Ok(before);
    }
    if role != Role::Owner {
        keep_an_owner(writing.database(), &before)?;
    }
    write(writing, &before, role)
}

fn write(writing: &mut Writing<'_>, before: &Member, role: Role) -> Result<Member, StoreError> {
    let after = Member { role, row_version: before.row_version.saturating_add(1), ..before.clone() };
    let update = "UPDATE membership SET role = ?3, row_version = ?4 WHERE account_id = ?1 AND user_id = ?2";
    writing.database().prepare_cached(update)?.execute(params![
        after.account_id,
        after.user_id,
        role.word(),
        after.row_version,
    ])?;
    writing.note("member.update", Some(&after.account_id), name(&after), Some(before), Some(&after))?;
    Ok(after)
}

/// Removes a member, and returns what they were.
///
/// # Errors
/// A member that does not exist or has changed, or the last owner.
pub fn remove(
    writing: &mut Writing<'_>,
    account_id: &str,
    user_id: &str,
    expected: Option<i64>,
) -> Result<Member, StoreError> {
    let before = get(writing.database(), account_id, user_id)?;
    expect("member", expected, before.row_version, &before)?;
    keep_an_owner(writing.database(), &before)?;
    let delete = "DELETE FROM membership WHERE account_id = ?1 AND user_id = ?2";
    writing.database().prepare_cached(delete)?.execute(params![account_id, user_id])?;
    writing.note("member.remove", Some(account_id), name(&before), Some(&before), None)?;
    Ok(before)
}

/// A member of an account.
///
/// # Errors
/// That there is none, or errors of the database.
pub fn get(connection: &Connection, account_id: &str, user_id: &str) -> Result<Member, StoreError> {
    find(connection, account_id, user_id)?.ok_or(StoreError::NotFound { what: "member" })
}

fn find(connection: &Connection, account_id: &str, user_id: &str) -> Result<Option<Member>, StoreError> {
    let query = format!("{QUERY} WHERE m.account_id = ?1 AND m.user_id = ?2");
    let found = connection.prepare_cached(&query)?.query_row([account_id, user_id], row_of).optional()?;
    found.transpose()
}

/// The members of an account, in the order in which their users were made.
///
/// # Errors
/// Errors of the database.
pub fn list(connection: &Connection, account_id: &str) -> Result<Vec<Member>, StoreError> {
    let query = format!("{QUERY} WHERE m.account_id = ?1 ORDER BY m.user_id");
    let mut statement = connection.prepare_cached(&query)?;
    let found = statement.query_map([account_id], row_of)?;
    found.map(|row| row?).collect()
}

/// The accounts that a user belongs to and that are not closed, by their names.
///
/// # Errors
/// Errors of the database.
pub fn of_user(connection: &Connection, user_id: &str) -> Result<Vec<Belonging>, StoreError> {
    let query = "SELECT a.id, a.name, m.role FROM membership m JOIN account a ON a.id = m.account_id \
                 WHERE m.user_id = ?1 AND a.state <> 'closed' ORDER BY a.name";
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query([user_id])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let account_id: String = row.get(0)?;
        let role = Role::from_word(&row.get::<String>(2)?);
        let role = role.ok_or_else(|| StoreError::corrupted("membership", &account_id, "its role is none"))?;
        found.push(Belonging { account_id, account: row.get(1)?, role });
    }
    Ok(found)
}

/// Refuses to leave an account without an owner who may sign in.
fn keep_an_owner(connection: &Connection, leaving: &Member) -> Result<(), StoreError> {
    if leaving.role != Role::Owner {
        return Ok(());
    }
    let query = "SELECT COUNT(*) FROM membership m JOIN app_user u ON u.id = m.user_id \
                 WHERE m.account_id = ?1 AND m.user_id <> ?2 AND m.role = 'owner' AND u.state = 'active'";
    let others: i64 =
        connection.prepare_cached(query)?.query_row([&leaving.account_id, &leaving.user_id], |row| row.get(0))?;
    if others > 0 {
        return Ok(());
    }
    Err(StoreError::State { why: "this is the last owner of the account; make another member an owner first" })
}

fn check_role(role: Role) -> Result<(), StoreError> {
    if role.is_of_account() {
        return Ok(());
    }
    Err(StoreError::invalid("role", "is a role of operators; write owner, member or viewer"))
}

fn rank(role: Role) -> u8 {
    match role {
        Role::Owner => 2,
        Role::Member => 1,
        Role::Viewer | Role::Admin | Role::Support | Role::Auditor => 0,
    }
}

fn name(member: &Member) -> &str {
    member.email.as_deref().unwrap_or(&member.display)
}

const QUERY: &str = "SELECT m.account_id, m.user_id, u.email, u.display, u.state, m.role, m.row_version, m.created_at \
                     FROM membership m JOIN app_user u ON u.id = m.user_id";

fn row_of(row: Row<'_>) -> sql::Result<Result<Member, StoreError>> {
    let user_id: String = row.get(1)?;
    let state = UserState::from_word(row.text(4)?);
    let role = Role::from_word(row.text(5)?);
    let (Some(state), Some(role)) = (state, role) else {
        return Ok(Err(StoreError::corrupted("membership", &user_id, "its role or its user's state is none")));
    };
    Ok(Ok(Member {
        account_id: row.get(0)?,
        user_id,
        email: row.get(2)?,
        display: row.get(3)?,
        state,
        role,
        row_version: row.get(6)?,
        created_at: row.get(7)?,
    }))
}
