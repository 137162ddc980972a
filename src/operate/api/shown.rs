//! What the API shows: the rows of the store with times as RFC 3339 writes them, and nothing secret.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Days, NaiveDate, SecondsFormat};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::ledger::store::audit::AuditRow;
use crate::ledger::store::records::{
    self, Absent, AccountProduct, AccountState, AccountTerms, KeyInfo, KeyState, ListMode, QuotaLimit, RateLimit, Role,
    StoredAccount, StoredPlan, Terms, TokenInfo, TokenState,
};

/// A time in milliseconds since 1970, written as RFC 3339 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::from_timestamp_millis(self.0).unwrap_or_default();
        formatter.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let time = DateTime::parse_from_rfc3339(&text);
        time.map(|time| Time(time.timestamp_millis())).map_err(|_| serde::de::Error::custom("is not a time"))
    }
}

impl JsonSchema for Time {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "pattern": "^(19[7-9][0-9]|[2-9][0-9]{3})-[0-9]{2}-[0-9]{2}[Tt][0-9:.]+([Zz]|[+-][0-9:]+)$",
        })
    }
}

/// A day in UTC, in days since 1970, written as in 2027-06-30.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub u32);

impl Day {
    /// Reads a day.
    ///
    /// # Errors
    /// That it is none of the calendar, or before 1970.
    pub fn parse(text: &str) -> Result<Day, &'static str> {
        const WANTED: &str = "is not a day; write one from 1970 on, as in 2027-06-30";
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| WANTED)?;
        let since = day.signed_duration_since(NaiveDate::default()).num_days();
        u32::try_from(since).map(Day).map_err(|_| WANTED)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NaiveDate::default().checked_add_days(Days::new(u64::from(self.0))) {
            Some(day) => write!(formatter, "{day}"),
            None => formatter.write_str("beyond the calendar"),
        }
    }
}

impl Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Day, D::Error> {
        Day::parse(&Cow::<'de, str>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Day {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Day".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date",
            "pattern": "^(19[7-9][0-9]|[2-9][0-9]{3})-[0-9]{2}-[0-9]{2}$",
        })
    }
}

/// One page of a list.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    /// The rows, in an order that stays.
    pub items: Vec<T>,
    /// What `after` is for the next page; null when this is the last one.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page of at most `limit` rows, made from one row more if there is one; `cursor` is that of a row.
    pub fn of(mut items: Vec<T>, limit: u32, cursor: impl FnOnce(&T) -> String) -> Page<T> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(cursor);
        Page { items, next }
    }
}

/// A customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    /// 32 hexadecimal digits.
    pub id: String,
    /// How logs, the ledger and people call it; it never changes.
    pub name: String,
    /// What it is called in lists.
    pub display: String,
    /// Whether it may use anything.
    pub state: AccountState,
    /// What it may use.
    pub terms: AccountTerms,
    /// What it has of each product with prices.
    pub products: Vec<AccountProduct>,
    /// What `ETag` says, without the quotes.
    pub version: i64,
    /// When it was made.
    pub created_at: Time,
}

impl From<StoredAccount> for Account {
    fn from(account: StoredAccount) -> Account {
        let StoredAccount { id, name, display, state, terms, products, row_version, created_at, .. } = account;
        Account { id, name, display, state, terms, products, version: row_version, created_at: Time(created_at) }
    }
}

/// A token, without what is secret of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The account's id.
    pub account: String,
    /// How logs and people call it.
    pub name: String,
    /// The first and last characters of the token.
    pub hint: String,
    /// Whether it may be used.
    pub state: TokenState,
    /// The products that it covers.
    pub products: Vec<String>,
    /// Its last day, in UTC; null: it does not expire.
    pub expires: Option<Day>,
    /// When it ends, since another token has replaced it.
    pub ends_at: Option<Time>,
    /// What its list of networks does.
    pub networks: ListMode,
    /// What its list of domains does.
    pub domains: ListMode,
    /// With listed domains: requests without Origin and Referer.
    pub absent: Absent,
    /// The id of the token that it has replaced.
    pub replaces: Option<String>,
    /// Rates of the token alone.
    pub rates: Vec<RateLimit>,
    /// Requests of the token alone, by the calendar.
    pub quota: QuotaLimit,
    /// When it was used last, accurate to a few seconds; null: it was not, or so long ago that it is not kept.
    pub last_used_at: Option<Time>,
    /// What `ETag` says, without the quotes.
    pub version: i64,
    /// Who has made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Time,
}

impl From<TokenInfo> for Token {
    fn from(token: TokenInfo) -> Token {
        Token {
            id: token.id,
            account: token.account_id,
            name: token.name,
            hint: token.hint,
            state: token.state,
            products: token.products,
            expires: token.last_day.map(Day),
            ends_at: token.not_after.map(Time),
            networks: token.networks_mode,
            domains: token.domains_mode,
            absent: token.absent,
            replaces: token.replaces,
            rates: token.rates,
            quota: token.quota,
            last_used_at: None,
            version: token.row_version,
            created_by: token.created_by,
            created_at: Time(token.created_at),
        }
    }
}

/// A token that was just made.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct NewToken {
    /// The token itself, which is shown this once and kept nowhere; null in an answer that is given again.
    pub secret: Option<String>,
    /// What is kept of it.
    pub token: Token,
}

impl From<records::NewToken> for NewToken {
    fn from(made: records::NewToken) -> NewToken {
        NewToken { secret: made.secret, token: made.token.into() }
    }
}

/// A management key, without what is secret of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Key {
    /// 32 hexadecimal digits.
    pub id: String,
    /// How people call it.
    pub name: String,
    /// The first and last characters of the key.
    pub hint: String,
    /// The id of the account that it is for; null: it is an operator's.
    pub account: Option<String>,
    /// What its holder is.
    pub role: Role,
    /// What it was made for.
    pub scopes: Vec<String>,
    /// Whether it may be used.
    pub state: KeyState,
    /// When it ends.
    pub ends_at: Option<Time>,
    /// What `ETag` says, without the quotes.
    pub version: i64,
    /// Who has made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Time,
}

impl From<KeyInfo> for Key {
    fn from(key: KeyInfo) -> Key {
        Key {
            id: key.id,
            name: key.name,
            hint: key.hint,
            account: key.account_id,
            role: key.role,
            scopes: key.scopes,
            state: key.state,
            ends_at: key.ends_at.map(Time),
            version: key.row_version,
            created_by: key.created_by,
            created_at: Time(key.created_at),
        }
    }
}

/// A management key that was just made.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct NewKey {
    /// The key itself, which is shown this once and kept nowhere; null in an answer that is given again.
    pub secret: Option<String>,
    /// What is kept of it.
    pub key: Key,
}

impl From<records::NewKey> for NewKey {
    fn from(made: records::NewKey) -> NewKey {
        NewKey { secret: made.secret, key: made.key.into() }
    }
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// How accounts name it.
    pub name: String,
    /// What its accounts may use.
    pub terms: Terms,
    /// What tokens of its accounts cover that name nothing themselves.
    pub products: Vec<String>,
    /// What `ETag` says, without the quotes.
    pub version: i64,
    /// When it was made.
    pub created_at: Time,
}

impl From<StoredPlan> for Plan {
    fn from(plan: StoredPlan) -> Plan {
        let StoredPlan { name, terms, products, row_version, created_at } = plan;
        Plan { name, terms, products, version: row_version, created_at: Time(created_at) }
    }
}

/// A row of the audit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Audited {
    /// Grows by one from row to row.
    pub id: i64,
    /// When it was done.
    pub at: Time,
    /// The id of the account that it was done to.
    pub account: Option<String>,
    /// Who has done it: `key:` and the id of a key, or a name on the machine.
    pub actor: String,
    /// How it came: api, cli, portal or gateway.
    pub via: String,
    /// Where it came from.
    pub address: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// What it was before.
    pub before: Option<serde_json::Value>,
    /// What it was after.
    pub after: Option<serde_json::Value>,
}

impl From<AuditRow> for Audited {
    fn from(row: AuditRow) -> Audited {
        let state = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
        Audited {
            id: row.id,
            at: Time(row.at),
            account: row.account_id,
            actor: row.actor,
            via: row.via,
            address: row.address,
            action: row.action,
            subject: row.subject,
            before: state(row.before),
            after: state(row.after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_read_as_they_are_written() {
        for (text, day) in
            [("1970-01-01", Ok(0)), ("2027-06-30", Ok(20_999)), ("1969-12-31", Err(())), ("2027-02-30", Err(()))]
        {
            let read = Day::parse(text);
            assert_eq!(read.map(|day| day.0).map_err(drop), day, "{text}");
            assert!(read.is_err() || read.is_ok_and(|day| day.to_string() == text));
        }
        let time: Time = serde_json::from_str("\"2026-11-29T02:00:00.250+01:00\"").unwrap();
        assert_eq!(time.to_string(), "2026-11-29T01:00:00.250Z");
    }

    #[test]
    fn a_page_says_where_the_next_one_begins() {
        let page = |rows: &[u8], limit| Page::of(rows.to_vec(), limit, ToString::to_string);
        assert_eq!((page(&[1, 2, 3], 2).items, page(&[1, 2, 3], 2).next), (vec![1, 2], Some("2".to_owned())));
        assert_eq!(page(&[1, 2], 2).next, None);
        assert_eq!(page(&[], 2).next, None);
    }
}
