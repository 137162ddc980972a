//! Operations on tokens. A token itself is shown once, when it is made; only its digest is stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::accounts;
use super::changes::ChangeKind;
use super::error::StoreError;
use super::fields;
use super::list_before;
use super::randomness;
use super::records::{
    Absent, AccountState, ListKind, ListMode, NewToken, QuotaLimit, RateLimit, StoredAccount, TokenInfo, TokenState,
};
use super::sql::{self, Connection, OptionalExtension, Row, params};
use super::terms;
use super::writing::{Writing, expect};
use crate::policy::account::Digest;
use crate::policy::check::token::sealed;

/// The most tokens of an account that are not revoked.
pub const MAX_TOKENS: usize = 1000;

/// The longest time for which a rotated token may stay valid, in milliseconds.
pub const MAX_OVERLAP_MS: i64 = 90 * 86_400 * 1000;

/// The prefix of tokens.
const TOKEN: &str = "tg_";

/// The characters of a token that its hint shows, from its beginning and from its end.
const HINT: (usize, usize) = (6, 4);

/// The values of a new token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenDraft {
    /// Its name, as in logs.
    pub name: String,
    /// What it covers, by the names of the configuration.
    #[serde(default)]
    pub products: Vec<String>,
    /// Its last day in UTC, in days since 1970.
    #[serde(default)]
    pub last_day: Option<u32>,
    /// Rates of the token alone.
    #[serde(default)]
    pub rates: Vec<RateLimit>,
    /// Requests of the token alone, by the calendar.
    #[serde(default)]
    pub quota: QuotaLimit,
}

/// Changes of a token; what is missing is not changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenPatch {
    /// Its name, as in logs.
    pub name: Option<String>,
    /// What it covers: all of it.
    pub products: Option<Vec<String>>,
    /// Enabled or disabled; revoking is a separate operation.
    pub state: Option<TokenState>,
    /// Its last day in UTC, in days since 1970; null for none.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "Option<u32>")]
    pub last_day: Option<Option<u32>>,
    /// Rates of the token alone: all of them.
    pub rates: Option<Vec<RateLimit>>,
    /// Requests of the token alone, by the calendar.
    pub quota: Option<QuotaLimit>,
}

/// A member that is present, null or not.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::<u32>::deserialize(deserializer).map(Some)
}

/// A secret, and what is stored of it.
pub(super) struct Secret {
    pub text: String,
    pub digest: Digest,
    pub hint: String,
}

/// A new secret of 256 random bits, with a checksum.
pub(super) fn secret(writing: &mut Writing<'_>, prefix: &str) -> Result<Secret, StoreError> {
    let text = sealed(&(prefix.to_owned() + &randomness::hexadecimal(&randomness::bytes::<32>(writing.random())?)));
    Ok(Secret { digest: Digest::of(text.as_bytes()), hint: hint(&text), text })
}

/// The first and the last characters of a secret.
fn hint(text: &str) -> String {
    let (first, last) = HINT;
    let begin: String = text.chars().take(first).collect();
    let end: String = text.chars().skip(text.chars().count().saturating_sub(last)).collect();
    format!("{begin}…{end}")
}

/// Makes a token.
///
/// # Errors
/// An account that does not exist or is closed, an invalid value, a name that is used already, or too many tokens.
pub fn create(writing: &mut Writing<'_>, account_id: &str, draft: &TokenDraft) -> Result<NewToken, StoreError> {
    let account = open_account(writing.database(), account_id)?;
    room_for_one(writing, account_id)?;
    let secret = secret(writing, TOKEN)?;
    let info = insert(writing, &account, draft, &secret.digest, secret.hint, None)?;
    writing.note("token.create", Some(account_id), subject(&account, &info.name), None, Some(&info))?;
    Ok(NewToken { secret: Some(secret.text), token: info })
}

/// Imports an existing token by its digest.
///
/// # Errors
/// Those of [`create`], or a digest that exists already.
pub fn adopt(
    writing: &mut Writing<'_>,
    account: &StoredAccount,
    draft: &TokenDraft,
    digest: &Digest,
) -> Result<TokenInfo, StoreError> {
    insert(writing, account, draft, digest, String::new(), None)
}

/// Makes a token that replaces another one, with the same name, products, limits and lists. The other one ends after
/// `overlap_ms`, to the second; with 0 it ends now.
///
/// # Errors
/// A token that does not exist, has changed, is revoked, or is replaced already; an overlap that is too long.
pub fn rotate(
    writing: &mut Writing<'_>,
    account_id: &str,
    id: &str,
    expected: Option<i64>,
    overlap_ms: i64,
) -> Result<NewToken, StoreError> {
    let account = open_account(writing.database(), account_id)?;
    let before = get(writing.database(), account_id, id)?;
    expect("token", expected, before.row_version, &before)?;
    if before.state == TokenState::Revoked {
        return Err(StoreError::State { why: "the token is revoked; make a new one" });
    }
    if before.not_after.is_some() {
        return Err(StoreError::State { why: "the token is replaced by another one already; rotate that one" });
    }
    if !(0..=MAX_OVERLAP_MS).contains(&overlap_ms) {
        return Err(StoreError::invalid("overlap", "is out of range; write at most 90 days"));
    }
    room_for_one(writing, account_id)?;
    // Requests are judged by whole seconds.
    let not_after = writing.act().at_ms.saturating_add(overlap_ms).div_euclid(1000).saturating_mul(1000);
    let ending = TokenInfo {
        not_after: Some(not_after),
        state: if overlap_ms == 0 { TokenState::Revoked } else { before.state },
        row_version: before.row_version.saturating_add(1),
        ..before.clone()
    };
    let end = "UPDATE token SET not_after = ?3, state = ?4, row_version = ?5 WHERE account_id = ?1 AND id = ?2";
    let values = params![account_id, id, not_after, ending.state.word(), ending.row_version];
    writing.database().prepare_cached(end)?.execute(values)?;
    let draft = TokenDraft {
        name: before.name.clone(),
        products: before.products.clone(),
        last_day: before.last_day,
        rates: before.rates.clone(),
        quota: before.quota,
    };
    let secret = secret(writing, TOKEN)?;
    let made = insert(writing, &account, &draft, &secret.digest, secret.hint, Some(&before))?;
    let subject = subject(&account, &before.name);
    writing.note("token.rotate", Some(account_id), subject, Some(&before), Some(&[&ending, &made]))?;
    Ok(NewToken { secret: Some(secret.text), token: made })
}

/// Changes a token that is at an expected version, or at any.
///
/// # Errors
/// An invalid value, a token that does not exist, has changed, or is revoked; a name that is used already.
pub fn update(
    writing: &mut Writing<'_>,
    account_id: &str,
    id: &str,
    expected: Option<i64>,
    patch: &TokenPatch,
) -> Result<TokenInfo, StoreError> {
    let account = open_account(writing.database(), account_id)?;
    let before = get(writing.database(), account_id, id)?;
    expect("token", expected, before.row_version, &before)?;
    if before.state == TokenState::Revoked {
        return Err(StoreError::State { why: "the token is revoked permanently; make a new one" });
    }
    let mut after = before.clone();
    if let Some(name) = &patch.name {
        fields::name("name", name)?;
        after.name.clone_from(name);
    }
    if let Some(products) = &patch.products {
        after.products = fields::products("products", products)?;
    }
    match patch.state {
        Some(TokenState::Revoked) => {
            return Err(StoreError::invalid("state", "cannot be set to revoked; revoke the token instead"));
        }
        Some(state) => after.state = state,
        None => {}
    }
    if let Some(last_day) = patch.last_day {
        after.last_day = last_day;
    }
    if let Some(rates) = &patch.rates {
        after.rates.clone_from(rates);
        after.rates.sort_by_key(|rate| rate.period);
    }
    if let Some(quota) = patch.quota {
        after.quota = quota;
    }
    terms::check("token", &after.rates, after.quota)?;
    if after == before {
        return Ok(before);
    }
    if after.name != before.name && after.not_after.is_none() {
        free_name(writing.database(), account_id, &after.name)?;
    }
    write_and_note(writing, "token.update", &account, &before, after)
}

/// Revokes a token permanently: it is unknown from then on.
///
/// # Errors
/// A token that does not exist or has changed.
pub fn revoke(
    writing: &mut Writing<'_>,
    account_id: &str,
    id: &str,
    expected: Option<i64>,
) -> Result<TokenInfo, StoreError> {
    let account = accounts::get(writing.database(), account_id)?;
    let before = get(writing.database(), account_id, id)?;
    expect("token", expected, before.row_version, &before)?;
    if before.state == TokenState::Revoked {
        return Ok(before);
    }
    let after = TokenInfo { state: TokenState::Revoked, ..before.clone() };
    write_and_note(writing, "token.revoke", &account, &before, after)
}

fn write_and_note(
    writing: &mut Writing<'_>,
    action: &'static str,
    account: &StoredAccount,
    before: &TokenInfo,
    after: TokenInfo,
) -> Result<TokenInfo, StoreError> {
    let after = write(writing, before, after)?;
    writing.note(action, Some(&account.id), subject(account, &after.name), Some(before), Some(&after))?;
    Ok(after)
}

/// Writes the changes of a token except its lists, which the caller records in the audit.
pub(super) fn write(
    writing: &mut Writing<'_>,
    before: &TokenInfo,
    mut after: TokenInfo,
) -> Result<TokenInfo, StoreError> {
    after.row_version = before.row_version.saturating_add(1);
    let (account_id, id) = (&*after.account_id, &*after.id);
    let update = "UPDATE token SET name = ?3, state = ?4, last_day = ?5, networks_mode = ?6, domains_mode = ?7, \
                  absent = ?8, row_version = ?9 WHERE account_id = ?1 AND id = ?2";
    writing.database().prepare_cached(update)?.execute(params![
        account_id,
        id,
        after.name,
        after.state.word(),
        after.last_day,
        after.networks_mode.word(),
        after.domains_mode.word(),
        after.absent.word(),
        after.row_version,
    ])?;
    if after.products != before.products {
        write_products(writing.database(), account_id, id, false, &after.products)?;
    }
    if (&after.rates, after.quota) != (&before.rates, before.quota) {
        terms::set(writing.database(), (account_id, id), false, &after.rates, after.quota)?;
    }
    writing.mark(ChangeKind::Account, account_id);
    Ok(after)
}

/// What the audit calls a token.
pub(super) fn subject(account: &StoredAccount, token: &str) -> String {
    format!("{} / {token}", account.name)
}

fn insert(
    writing: &mut Writing<'_>,
    account: &StoredAccount,
    draft: &TokenDraft,
    digest: &Digest,
    hint: String,
    replaces: Option<&TokenInfo>,
) -> Result<TokenInfo, StoreError> {
    fields::name("name", &draft.name)?;
    terms::check("token", &draft.rates, draft.quota)?;
    free_name(writing.database(), &account.id, &draft.name)?;
    if find(writing.database(), digest)?.is_some() {
        let why = "is the digest of an existing token; make a new token";
        return Err(StoreError::Taken { field: "digest", why });
    }
    let mut rates = draft.rates.clone();
    rates.sort_by_key(|rate| rate.period);
    let made = TokenInfo {
        id: writing.new_id()?,
        account_id: account.id.clone(),
        name: draft.name.clone(),
        hint,
        state: replaces.map_or(TokenState::Enabled, |before| before.state),
        products: fields::products("products", &draft.products)?,
        last_day: draft.last_day,
        not_after: None,
        networks_mode: replaces.map_or(ListMode::Any, |before| before.networks_mode),
        domains_mode: replaces.map_or(ListMode::Any, |before| before.domains_mode),
        absent: replaces.map_or(Absent::Deny, |before| before.absent),
        replaces: replaces.map(|before| before.id.clone()),
        rates,
        quota: draft.quota,
        row_version: 1,
        created_by: writing.act().actor.clone(),
        created_at: writing.act().at_ms,
    };
    write_new(writing, &made, digest)?;
    if let Some(before) = replaces {
        let copy = "INSERT INTO token_entry (account_id, token_id, kind, value, note) \
                    SELECT account_id, ?3, kind, value, note FROM token_entry WHERE account_id = ?1 AND token_id = ?2";
        let values = params![made.account_id, before.id, made.id];
        writing.database().prepare_cached(copy)?.execute(values)?;
        list_before::copy(writing.database(), &made.account_id, &before.id, &made.id)?;
    }
    Ok(made)
}

/// Writes a token that is not there, without its lists.
pub(super) fn write_new(writing: &mut Writing<'_>, made: &TokenInfo, digest: &Digest) -> Result<(), StoreError> {
    let insert = "INSERT INTO token (account_id, id, name, digest, hint, state, last_day, not_after, networks_mode, \
                  domains_mode, absent, replaces, row_version, created_by, created_at) \
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    let database = writing.database();
    database.prepare_cached(insert)?.execute(params![
        made.account_id,
        made.id,
        made.name,
        digest.bytes().as_slice(),
        made.hint,
        made.state.word(),
        made.last_day,
        made.not_after,
        made.networks_mode.word(),
        made.domains_mode.word(),
        made.absent.word(),
        made.replaces,
        made.row_version,
        made.created_by,
        made.created_at,
    ])?;
    write_products(database, &made.account_id, &made.id, true, &made.products)?;
    terms::set(database, (&made.account_id, &made.id), true, &made.rates, made.quota)?;
    writing.mark(ChangeKind::Account, &made.account_id);
    Ok(())
}

/// A token of an account.
///
/// # Errors
/// That it does not exist, or errors of the database.
pub fn get(connection: &Connection, account_id: &str, id: &str) -> Result<TokenInfo, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM token WHERE account_id = ?1 AND id = ?2");
    let found = connection.prepare_cached(&query)?.query_row(params![account_id, id], row_of).optional()?;
    with_rest(connection, found.ok_or(StoreError::NotFound { what: "token" })??)
}

/// The current token of an account with a name: not a revoked or replaced one.
///
/// # Errors
/// That there is none, or errors of the database.
pub fn get_named(connection: &Connection, account_id: &str, name: &str) -> Result<TokenInfo, StoreError> {
    let id = named(connection, account_id, name)?.ok_or(StoreError::NotFound { what: "token" })?;
    get(connection, account_id, &id)
}

/// All tokens of an account in the order in which they were made, revoked ones too.
///
/// # Errors
/// That the account does not exist, or errors of the database.
pub fn list(connection: &Connection, account_id: &str) -> Result<Vec<TokenInfo>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM token WHERE account_id = ?1 ORDER BY id");
    let mut statement = connection.prepare_cached(&query)?;
    let mut found = statement.query([account_id])?;
    let mut tokens = Vec::new();
    while let Some(row) = found.next()? {
        tokens.push(with_rest(connection, row_of(row)??)?);
    }
    if tokens.is_empty() {
        accounts::get(connection, account_id)?;
    }
    Ok(tokens)
}

/// Whether a token that comes from elsewhere has values that fit.
pub(super) fn check(token: &TokenInfo) -> Result<(), StoreError> {
    fields::id("id", &token.id)?;
    fields::name("name", &token.name)?;
    fields::text("hint", &token.hint)?;
    fields::products("products", &token.products)?;
    terms::check("token", &token.rates, token.quota)
}

/// The ids of the account and the token with a digest.
///
/// # Errors
/// Errors of the database.
pub fn find(connection: &Connection, digest: &Digest) -> Result<Option<(String, String)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT account_id, id FROM token WHERE digest = ?1")?;
    let found = statement.query_row([digest.bytes().as_slice()], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(found.optional()?)
}

fn named(connection: &Connection, account_id: &str, name: &str) -> Result<Option<String>, StoreError> {
    let query = "SELECT id FROM token \
                 WHERE account_id = ?1 AND name = ?2 AND state <> 'revoked' AND not_after IS NULL";
    let mut statement = connection.prepare_cached(query)?;
    Ok(statement.query_row(params![account_id, name], |row| row.get(0)).optional()?)
}

fn free_name(connection: &Connection, account_id: &str, name: &str) -> Result<(), StoreError> {
    match named(connection, account_id, name)? {
        None => Ok(()),
        Some(_) => Err(StoreError::Taken {
            field: "name",
            why: "is the name of another token of the account; choose another, or rotate that one",
        }),
    }
}

/// An account that is not closed.
pub(super) fn open_account(connection: &Connection, id: &str) -> Result<StoredAccount, StoreError> {
    let account = accounts::get(connection, id)?;
    if account.state == AccountState::Closed {
        return Err(StoreError::State { why: "the account is closed permanently; make a new one" });
    }
    Ok(account)
}

fn room_for_one(writing: &Writing<'_>, account_id: &str) -> Result<(), StoreError> {
    let query = "SELECT COUNT(*) FROM token \
                 WHERE account_id = ?1 AND state <> 'revoked' AND (not_after IS NULL OR not_after > ?2)";
    let values = params![account_id, writing.act().at_ms];
    let count: i64 = writing.database().prepare_cached(query)?.query_row(values, |row| row.get(0))?;
    if usize::try_from(count).is_ok_and(|count| count >= MAX_TOKENS) {
        return Err(StoreError::Limit { what: "tokens of an account that are not revoked", most: MAX_TOKENS });
    }
    Ok(())
}

/// The columns of [`row_of`].
pub(super) const COLUMNS: &str = "account_id, id, name, hint, state, last_day, not_after, networks_mode, \
                                  domains_mode, absent, replaces, row_version, created_by, created_at";

/// A token without its products and limits.
pub(super) fn row_of(row: Row<'_>) -> sql::Result<Result<TokenInfo, StoreError>> {
    let id: String = row.get(1)?;
    let word = |column: usize| row.text(column);
    let states = (
        TokenState::from_word(word(4)?),
        ListMode::from_word(word(7)?),
        ListMode::from_word(word(8)?),
        Absent::from_word(word(9)?),
    );
    let (Some(state), Some(networks_mode), Some(domains_mode), Some(absent)) = states else {
        return Ok(Err(StoreError::corrupted("token", &id, "its state or a mode is unknown")));
    };
    Ok(Ok(TokenInfo {
        account_id: row.get(0)?,
        id,
        name: row.get(2)?,
        hint: row.get(3)?,
        state,
        products: Vec::new(),
        last_day: row.get(5)?,
        not_after: row.get(6)?,
        networks_mode,
        domains_mode,
        absent,
        replaces: row.get(10)?,
        rates: Vec::new(),
        quota: QuotaLimit::default(),
        row_version: row.get(11)?,
        created_by: row.get(12)?,
        created_at: row.get(13)?,
    }))
}

fn with_rest(connection: &Connection, mut token: TokenInfo) -> Result<TokenInfo, StoreError> {
    let query = "SELECT product FROM token_product WHERE account_id = ?1 AND token_id = ?2 ORDER BY product";
    let mut statement = connection.prepare_cached(query)?;
    let products = statement.query_map(params![token.account_id, token.id], |row| row.get(0))?;
    token.products = products.collect::<Result<_, _>>()?;
    (token.rates, token.quota) = terms::of(connection, &token.account_id, &token.id)?;
    Ok(token)
}

fn write_products(
    connection: &Connection,
    account_id: &str,
    id: &str,
    is_new: bool,
    products: &[String],
) -> Result<(), StoreError> {
    if !is_new {
        let remove = "DELETE FROM token_product WHERE account_id = ?1 AND token_id = ?2";
        connection.prepare_cached(remove)?.execute(params![account_id, id])?;
    }
    let insert = "INSERT INTO token_product (account_id, token_id, product) VALUES (?1, ?2, ?3)";
    let mut insert = connection.prepare_cached(insert)?;
    for product in products {
        insert.execute(params![account_id, id, product])?;
    }
    Ok(())
}

/// The mode of one of a token's lists.
pub(super) const fn mode(token: &TokenInfo, kind: ListKind) -> ListMode {
    match kind {
        ListKind::Network => token.networks_mode,
        ListKind::Domain => token.domains_mode,
    }
}
