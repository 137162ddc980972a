//! Where tokens were used from in the last week: adding to it, and reading it, most requests first.
//!
//! Requests are counted in `telemetry/sources.rs`. What is kept is limited for each token, kind and day, so that the
//! sources with the most requests are known, and all requests are counted in one row more.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::error::StoreError;
use super::records::ListKind;
use super::sql::{Connection, params};
use super::tokens;
use crate::telemetry::sources::{DAY_MS, SourceCount, SourceKey, SourceKind};

/// The sources of a token, a kind and a day that are kept, and that are shown of a token and a kind: those with the
/// most requests.
pub const MOST_KEPT: usize = 50;

/// Sources that are kept of a day until those beyond [`MOST_KEPT`] are removed, so that a new one can catch up.
const MOST_UNTIL_TRIMMED: i64 = 100;

/// How long a source is shown after its last request, in milliseconds.
pub const SOURCES_KEPT_MS: i64 = 7 * DAY_MS;

/// The age of the beginning of a day, in milliseconds, at which its sources are removed.
pub(super) const SOURCES_REMOVED_MS: i64 = SOURCES_KEPT_MS + DAY_MS;

/// One source of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The list that it is about.
    pub kind: ListKind,
    /// An address or a network, the entry of a list of domains, or one of the words of `telemetry/sources.rs`.
    pub value: String,
    pub requests: i64,
    /// The last of them, in milliseconds since 1970, UTC.
    pub last_at: i64,
}

/// The sources of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenSources {
    /// All requests that its lists have let pass, those of sources that are not kept included.
    pub requests: i64,
    /// Most requests first, at most [`MOST_KEPT`] of each kind.
    pub sources: Vec<Source>,
}

/// Adds counts, in one transaction.
///
/// # Errors
/// Errors of the database; nothing is added then.
pub fn add(connection: &mut Connection, rows: &[(SourceKey, SourceCount)]) -> Result<(), StoreError> {
    let transaction = connection.recording()?;
    // The places that a source has come to.
    let mut grown = BTreeSet::new();
    {
        let mut insert = transaction.prepare_cached(
            "INSERT INTO token_source (digest, kind, day, value, requests, last_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (digest, kind, day, value) DO UPDATE SET \
             requests = token_source.requests + excluded.requests, \
             last_at = CASE WHEN excluded.last_at > token_source.last_at THEN excluded.last_at \
             ELSE token_source.last_at END RETURNING requests",
        )?;
        for (SourceKey { digest, kind, day, value }, count) in rows {
            let requests = i64::try_from(count.requests).unwrap_or(i64::MAX);
            let values = params![digest, kind.word(), day, value, requests, count.last_at];
            let now: i64 = insert.query_row(values, |row| row.get(0))?;
            if now == requests && *kind != SourceKind::Use {
                grown.insert((digest, *kind, *day));
            }
        }
    }
    for (digest, kind, day) in grown {
        trim(&transaction, digest, kind, day)?;
    }
    Ok(transaction.commit()?)
}

/// Removes what is beyond those with the most requests, once there are far more.
fn trim(connection: &Connection, digest: &[u8; 32], kind: SourceKind, day: i64) -> Result<(), StoreError> {
    const OF: &str = "FROM token_source WHERE digest = ?1 AND kind = ?2 AND day = ?3";
    let values = params![digest, kind.word(), day];
    let count: i64 =
        connection.prepare_cached(&format!("SELECT COUNT(*) {OF}"))?.query_row(values, |row| row.get(0))?;
    if count > MOST_UNTIL_TRIMMED {
        let most = format!("SELECT value {OF} ORDER BY requests DESC, last_at DESC LIMIT {MOST_KEPT}");
        connection.prepare_cached(&format!("DELETE {OF} AND value NOT IN ({most})"))?.execute(values)?;
    }
    Ok(())
}

/// Where a token was used from in the seven days before a moment. With `with_replaced`, what the tokens were used from
/// that it has replaced counts as well, since that is about to come with this one.
///
/// # Errors
/// That the token does not exist, or errors of the database.
pub fn of(
    connection: &Connection,
    (account_id, token_id): (&str, &str),
    with_replaced: bool,
    now_ms: i64,
) -> Result<TokenSources, StoreError> {
    tokens::get(connection, account_id, token_id)?;
    let since = now_ms.saturating_sub(SOURCES_KEPT_MS);
    let query = "WITH RECURSIVE line (id, digest, replaces) AS ( \
                 SELECT id, digest, replaces FROM token WHERE account_id = ?1 AND id = ?2 \
                 UNION SELECT before.id, before.digest, before.replaces FROM line \
                 JOIN token AS before ON before.account_id = ?1 AND before.id = line.replaces WHERE ?3 = 1) \
                 SELECT seen.kind, seen.value, seen.requests, seen.last_at FROM line \
                 JOIN token_source AS seen ON seen.digest = line.digest \
                 WHERE seen.day >= ?4 AND seen.last_at > ?5";
    let mut statement = connection.prepare_cached(query)?;
    let first_day = since - since.rem_euclid(DAY_MS);
    let mut rows = statement.query(params![account_id, token_id, i64::from(with_replaced), first_day, since])?;
    let mut found: BTreeMap<(ListKind, String), (i64, i64)> = BTreeMap::new();
    let mut all = TokenSources::default();
    while let Some(row) = rows.next()? {
        let (requests, last_at): (i64, i64) = (row.get(2)?, row.get(3)?);
        let Some(kind) = ListKind::from_word(&row.get::<String>(0)?) else {
            all.requests = all.requests.saturating_add(requests);
            continue;
        };
        let (sum, last) = found.entry((kind, row.get(1)?)).or_insert((0, last_at));
        (*sum, *last) = (sum.saturating_add(requests), last_at.max(*last));
    }
    let source = |((kind, value), (requests, last_at))| Source { kind, value, requests, last_at };
    all.sources = found.into_iter().map(source).collect();
    all.sources.sort_by_key(|source| Reverse((source.requests, source.last_at)));
    let mut shown = [0; ListKind::ALL.len()];
    all.sources.retain(|source| {
        let number = ListKind::ALL.iter().position(|kind| *kind == source.kind);
        number.and_then(|number| shown.get_mut(number)).is_some_and(|shown| {
            *shown += 1;
            *shown <= MOST_KEPT
        })
    });
    Ok(all)
}
