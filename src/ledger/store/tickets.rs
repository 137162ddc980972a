//! Operations on tickets: links that can be used once, to accept an invitation, to sign in, or to set another password.

use super::error::StoreError;
use super::people::{NewTicket, Ticket, TicketInfo, TicketKind, UserState};
use super::randomness::{bytes, hexadecimal};
use super::records::Role;
use super::sql::{self, Connection, OptionalExtension, Row, params};
use super::tokens::open_account;
use super::users;
use super::writing::{Writing, expect};
use crate::policy::account::Digest;

/// The most invitations of one account, or of operators, that wait.
pub const MAX_INVITATIONS: usize = 200;

/// The most links for one address that wait, of each kind: the oldest ends when there is one more.
pub const MAX_OF_ADDRESS: i64 = 5;

/// The version of every ticket: one is made and ended, and never changed.
pub const VERSION: i64 = 1;

/// How often a code may be tried that replaces a link.
pub const MAX_TRIES: i64 = 5;

/// The values of a new ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketDraft {
    pub kind: TicketKind,
    /// An address of mail, in any case.
    pub email: String,
    /// The account of an invitation; none: to be an operator.
    pub account_id: Option<String>,
    /// The role of an invitation.
    pub role: Option<Role>,
    /// Whether its use shows that the address is the user's.
    pub proves: bool,
    /// When it ends, in milliseconds since 1970.
    pub ends_at: i64,
}

impl TicketDraft {
    /// A link for whoever reads mail to an address, which its use shows.
    pub fn to(email: String, kind: TicketKind, ends_at: i64) -> TicketDraft {
        TicketDraft { kind, email, account_id: None, role: None, proves: true, ends_at }
    }
}

/// What binds a link to a browser, and the code that replaces it.
#[derive(Clone, Copy)]
pub struct Binding {
    /// The digest of the value in the browser's cookie.
    pub browser: [u8; 32],
    /// The keyed digest of the code.
    pub code: [u8; 32],
}

/// Binds a ticket with this digest to a browser.
pub type Bind<'b> = &'b dyn Fn(&Digest) -> Binding;

/// Makes an invitation. One that waits already for the same address, account and role kind is replaced.
///
/// # Errors
/// An invalid value, an account that does not exist or is closed, or too many invitations.
pub fn invite(writing: &mut Writing<'_>, draft: &TicketDraft) -> Result<NewTicket, StoreError> {
    let email = users::address("email", &draft.email)?;
    let Some(role) = draft.role.filter(|role| role.is_of_account() == draft.account_id.is_some()) else {
        let why = "is a role of the wrong kind; owner, member and viewer are for accounts, the others for operators";
        return Err(StoreError::invalid("role", why));
    };
    if let Some(account) = &draft.account_id {
        open_account(writing.database(), account)?;
    }
    let now_ms = writing.act().at_ms;
    let before = "DELETE FROM ticket WHERE kind = 'invite' AND used_at IS NULL AND email = ?1 AND account_id IS NOT DISTINCT FROM ?2";
    writing.database().prepare_cached(before)?.execute(params![email, draft.account_id])?;
    if invitations(writing.database(), draft.account_id.as_deref(), now_ms)?.len() >= MAX_INVITATIONS {
        return Err(StoreError::Limit { what: "invitations that wait", most: MAX_INVITATIONS });
    }
    let made =
        insert(writing, &TicketDraft { email, kind: TicketKind::Invite, role: Some(role), ..draft.clone() }, None)?;
    let ticket = &made.ticket;
    writing.note("user.invite", ticket.account_id.as_deref(), &*ticket.email, None, Some(ticket))?;
    Ok(made)
}

/// Makes a link that is sent by mail: to sign in, which is bound to a browser, or to set another password.
///
/// # Errors
/// An invalid value.
pub fn send(writing: &mut Writing<'_>, draft: &TicketDraft, bind: Option<Bind<'_>>) -> Result<NewTicket, StoreError> {
    let email = users::address("email", &draft.email)?;
    let crowded = "DELETE FROM ticket WHERE email = ?1 AND kind = ?2 AND digest NOT IN \
                   (SELECT digest FROM ticket WHERE email = ?1 AND kind = ?2 ORDER BY created_at DESC LIMIT ?3)";
    let values = params![email, draft.kind.word(), MAX_OF_ADDRESS - 1];
    writing.database().prepare_cached(crowded)?.execute(values)?;
    let draft = TicketDraft { email, account_id: None, role: None, ..draft.clone() };
    let made = insert(writing, &draft, bind)?;
    let action = if draft.kind == TicketKind::EmailLink { "user.email-link" } else { "user.password-reset" };
    writing.note(action, None, &*made.ticket.email, None, Some(&made.ticket))?;
    Ok(made)
}

/// Takes away everything that a user signs in with here, ends all their sessions, and makes a link with which they choose
/// a new password. The address counts as proven once it is used: whoever makes the link hands it over.
///
/// # Errors
/// A user that does not exist, is disabled, or has no address of mail.
pub fn reset(writing: &mut Writing<'_>, user_id: &str, ends_at: i64) -> Result<NewTicket, StoreError> {
    let user = users::get(writing.database(), user_id)?;
    let Some(email) = user.email.filter(|_| user.state == UserState::Active) else {
        let why = "the user is disabled, or has no address of mail and signs in through an identity provider alone";
        return Err(StoreError::State { why });
    };
    users::remove_proofs(writing, user_id)?;
    send(writing, &TicketDraft::to(email, TicketKind::PasswordReset, ends_at), None)
}

fn insert(writing: &mut Writing<'_>, draft: &TicketDraft, bind: Option<Bind<'_>>) -> Result<NewTicket, StoreError> {
    let secret = hexadecimal(&bytes::<32>(writing.random())?);
    let digest = Digest::of(secret.as_bytes());
    let binding = bind.map(|bind| bind(&digest));
    let ticket = TicketInfo {
        id: writing.new_id()?,
        kind: draft.kind,
        email: draft.email.clone(),
        account_id: draft.account_id.clone(),
        role: draft.role,
        proves: draft.proves,
        created_by: writing.act().actor.clone(),
        created_at: writing.act().at_ms,
        ends_at: draft.ends_at,
    };
    let insert = "INSERT INTO ticket (digest, id, kind, email, account_id, role, proves, browser, code, tries, \
                  created_by, created_at, ends_at, used_at) \
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, ?10, ?11, ?12, NULL)";
    writing.database().prepare_cached(insert)?.execute(params![
        digest.bytes().as_slice(),
        ticket.id,
        ticket.kind.word(),
        ticket.email,
        ticket.account_id,
        ticket.role.map(Role::word),
        ticket.proves,
        binding.as_ref().map(|binding| binding.browser.as_slice()),
        binding.as_ref().map(|binding| binding.code.as_slice()),
        ticket.created_by,
        ticket.created_at,
        ticket.ends_at,
    ])?;
    Ok(NewTicket { secret: Some(secret), ticket })
}

/// The ticket with a secret's digest, if it can still be used.
///
/// # Errors
/// Errors of the database.
pub fn find(connection: &Connection, digest: &Digest, now_ms: i64) -> Result<Option<Ticket>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM ticket WHERE digest = ?1 AND used_at IS NULL AND ends_at > ?2");
    let mut statement = connection.prepare_cached(&query)?;
    statement.query_row(params![digest.bytes().as_slice(), now_ms], row_of).optional()?.transpose()
}

/// Uses a ticket: false if it was used before, or has ended.
///
/// # Errors
/// Errors of the database.
pub fn spend(connection: &Connection, digest: &Digest, now_ms: i64) -> Result<bool, StoreError> {
    let update = "UPDATE ticket SET used_at = ?2 WHERE digest = ?1 AND used_at IS NULL AND ends_at > ?2";
    Ok(connection.prepare_cached(update)?.execute(params![digest.bytes().as_slice(), now_ms])? == 1)
}

/// Tries a code in the place of a link: the newest ticket of a browser, if the code is its own. Each try counts, whether
/// it is right or wrong, and after [`MAX_TRIES`] none is taken any more.
///
/// # Errors
/// Errors of the database.
pub fn try_code(
    connection: &Connection,
    browser: &[u8; 32],
    now_ms: i64,
    is_right: impl FnOnce(&Digest, &[u8; 32]) -> bool,
) -> Result<Option<Ticket>, StoreError> {
    let query = format!(
        "SELECT {COLUMNS} FROM ticket WHERE browser = ?1 AND kind = 'email-link' AND used_at IS NULL AND ends_at > ?2 \
         AND tries < ?3 ORDER BY created_at DESC LIMIT 1"
    );
    let mut statement = connection.prepare_cached(&query)?;
    let found = statement.query_row(params![browser.as_slice(), now_ms, MAX_TRIES], row_of).optional()?;
    let Some(ticket) = found.transpose()? else { return Ok(None) };
    let update = "UPDATE ticket SET tries = tries + 1 WHERE digest = ?1";
    connection.prepare_cached(update)?.execute([ticket.digest.bytes().as_slice()])?;
    let is_right = ticket.code.is_some_and(|code| is_right(&ticket.digest, &code));
    Ok(is_right.then_some(ticket))
}

/// Invitations to an account, or to be an operator, that wait, in the order in which they were made.
///
/// # Errors
/// Errors of the database.
pub fn invitations(
    connection: &Connection,
    account_id: Option<&str>,
    now_ms: i64,
) -> Result<Vec<TicketInfo>, StoreError> {
    let query = format!(
        "SELECT {COLUMNS} FROM ticket WHERE kind = 'invite' AND account_id IS NOT DISTINCT FROM ?1 AND used_at IS NULL AND ends_at > ?2 \
         ORDER BY id"
    );
    let mut statement = connection.prepare_cached(&query)?;
    let found = statement.query_map(params![account_id, now_ms], row_of)?;
    found.map(|row| Ok(row??.info)).collect()
}

/// Invitations of an address of mail that wait, in the order in which they were made.
///
/// # Errors
/// Errors of the database.
pub fn invitations_of(connection: &Connection, email: &str, now_ms: i64) -> Result<Vec<Ticket>, StoreError> {
    let query = format!(
        "SELECT {COLUMNS} FROM ticket WHERE kind = 'invite' AND email = ?1 AND used_at IS NULL AND ends_at > ?2 \
         ORDER BY id"
    );
    let mut statement = connection.prepare_cached(&query)?;
    let found = statement.query_map(params![email, now_ms], row_of)?;
    found.map(|row| row?).collect()
}

/// Ends an invitation, and returns what it was.
///
/// # Errors
/// That there is none that waits, or that another version is expected.
pub fn withdraw(
    writing: &mut Writing<'_>,
    account_id: Option<&str>,
    id: &str,
    expected: Option<i64>,
) -> Result<TicketInfo, StoreError> {
    let now_ms = writing.act().at_ms;
    let waiting = invitations(writing.database(), account_id, now_ms)?;
    let found = waiting.into_iter().find(|ticket| ticket.id == id);
    let before = found.ok_or(StoreError::NotFound { what: "invitation" })?;
    expect("invitation", expected, VERSION, &before)?;
    writing.database().prepare_cached("DELETE FROM ticket WHERE id = ?1")?.execute([id])?;
    writing.note("user.withdraw", account_id, &*before.email, Some(&before), None)?;
    Ok(before)
}

const COLUMNS: &str =
    "digest, id, kind, email, account_id, role, proves, browser, code, created_by, created_at, ends_at";

fn row_of(row: Row<'_>) -> sql::Result<Result<Ticket, StoreError>> {
    let id: String = row.get(1)?;
    let kind = TicketKind::from_word(row.text(2)?);
    let role = row.get::<Option<String>>(5)?;
    let role = role.as_deref().map(Role::from_word);
    let (Some(kind), false) = (kind, role == Some(None)) else {
        return Ok(Err(StoreError::corrupted("ticket", &id, "its kind or its role is none")));
    };
    Ok(Ok(Ticket {
        info: TicketInfo {
            id,
            kind,
            email: row.get(3)?,
            account_id: row.get(4)?,
            role: role.flatten(),
            proves: row.get(6)?,
            created_by: row.get(9)?,
            created_at: row.get(10)?,
            ends_at: row.get(11)?,
        },
        digest: Digest::from_bytes(row.get(0)?),
        browser: row.get(7)?,
        code: row.get(8)?,
    }))
}
