//! The records of the store, as they are read, shown and audited. They contain no secrets: a token's digest is only in
//! [`StoredToken`], which is not shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::account::Digest;
use crate::policy::weight::Weight;

/// An enumeration with the same words in the file and in JSON.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $($(#[$of])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The word in the file and in JSON.
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            /// The one with this word.
            pub fn from_word(word: &str) -> Option<$name> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }
    };
}

pub(super) use words;

words! {
    /// Whether an account may use anything.
    AccountState {
        /// Its tokens are judged normally.
        Active = "active",
        /// Its tokens are refused like disabled ones.
        Suspended = "suspended",
        /// Permanent: its tokens are unknown. Its name cannot be used again, since it is in the ledger.
        Closed = "closed",
    }
}

words! {
    /// Whether a token may be used.
    TokenState {
        /// It is judged normally.
        Enabled = "enabled",
        /// It is refused until it is enabled again.
        Disabled = "disabled",
        /// Permanent: it is unknown.
        Revoked = "revoked",
    }
}

words! {
    /// The mode of a list of networks or domains.
    ListMode {
        /// There is no restriction, whatever is in the list.
        Any = "any",
        /// What the list does not have is counted and accepted.
        Watch = "watch",
        /// What the list does not have is refused.
        Enforce = "enforce",
    }
}

words! {
    /// Whether requests without Origin and Referer are accepted if domains are listed.
    Absent {
        /// They are accepted.
        Allow = "allow",
        /// They are refused.
        Deny = "deny",
    }
}

words! {
    /// Which list of a token.
    ListKind {
        /// Addresses and networks that requests may come from.
        Network = "network",
        /// Hosts of Origin and Referer.
        Domain = "domain",
    }
}

words! {
    /// The role of the holder of a management key.
    Role {
        /// Operator: everything.
        Admin = "admin",
        /// Operator: everything except grants and keys.
        Support = "support",
        /// Operator: reads.
        Auditor = "auditor",
        /// Of an account: everything of it.
        Owner = "owner",
        /// Of an account: tokens, lists, alerts.
        Member = "member",
        /// Of an account: reads.
        Viewer = "viewer",
    }
}

impl Role {
    /// Whether it is a role within one account.
    pub const fn is_of_account(self) -> bool {
        matches!(self, Role::Owner | Role::Member | Role::Viewer)
    }
}

words! {
    /// Whether a management key may be used.
    KeyState {
        /// It may.
        Enabled = "enabled",
        /// Never again.
        Revoked = "revoked",
    }
}

words! {
    /// The period of a rate.
    Period {
        /// A second.
        Second = "second",
        /// A minute.
        Minute = "minute",
        /// An hour.
        Hour = "hour",
        /// A day, from any moment on.
        Day = "day",
    }
}

impl Period {
    /// Its length, in seconds.
    pub const fn seconds(self) -> u32 {
        match self {
            Period::Second => 1,
            Period::Minute => 60,
            Period::Hour => 3600,
            Period::Day => 86_400,
        }
    }
}

/// A number of requests in a period, and how many of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// The period.
    pub period: Period,
    /// Requests in it.
    #[schemars(range(min = 1))]
    pub requests: u32,
    /// Requests at once.
    #[schemars(range(min = 1))]
    pub burst: u32,
}

/// Requests by the calendar, in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QuotaLimit {
    /// In a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub day: Option<u64>,
    /// In a month.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub month: Option<u64>,
}

impl QuotaLimit {
    /// Whether it limits nothing.
    pub const fn is_empty(&self) -> bool {
        self.day.is_none() && self.month.is_none()
    }
}

/// What a plan allows, or an account by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Terms {
    /// Rates, one per period; none means no limit.
    pub rates: Vec<RateLimit>,
    /// Requests by the calendar.
    #[serde(skip_serializing_if = "QuotaLimit::is_empty")]
    pub quota: QuotaLimit,
    /// Requests in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub concurrency: Option<u32>,
    /// How much an account gets beside others when an upstream has no room for all; 1 if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = Weight::MAX))]
    pub weight: Option<u32>,
}

/// The limits of an account: those of a plan, or its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccountTerms {
    /// The plan of this name, of the configuration or of the store.
    Plan(String),
    /// Its own limits.
    Own(Terms),
}

/// An account's credits for a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProductFunds {
    /// Lookups cost credits, and the account began with this many.
    Credits {
        /// Granted once, when the account gets its first balance.
        first_grant: u64,
    },
    /// Lookups cost nothing.
    Unmetered,
}

/// A product of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountProduct {
    /// Its name in the configuration.
    pub product: String,
    /// How lookups are paid for.
    pub funds: ProductFunds,
}

/// A customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoredAccount {
    /// A UUIDv7, 32 hexadecimal digits.
    pub id: String,
    /// Its name in logs and in the ledger; it never changes.
    pub name: String,
    /// Its display name in lists, or empty.
    pub display: String,
    /// Whether it may use anything.
    pub state: AccountState,
    /// What it may use.
    pub terms: AccountTerms,
    /// Its credits for each product.
    pub products: Vec<AccountProduct>,
    /// Grows with each change of the account itself.
    pub row_version: i64,
    /// Milliseconds since 1970, UTC.
    pub created_at: i64,
}

/// A token, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenInfo {
    /// A UUIDv7, 32 hexadecimal digits.
    pub id: String,
    /// The account's id.
    pub account_id: String,
    /// Its name, as in logs.
    pub name: String,
    /// The first and last characters of the token.
    pub hint: String,
    /// Whether it may be used.
    pub state: TokenState,
    /// What it covers, by the names of the configuration.
    pub products: Vec<String>,
    /// Its last day in UTC, in days since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_day: Option<u32>,
    /// When it ends, in milliseconds since 1970, UTC, if another token replaces it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<i64>,
    /// The mode of its list of networks.
    pub networks_mode: ListMode,
    /// The mode of its list of domains.
    pub domains_mode: ListMode,
    /// With listed domains: requests without Origin and Referer.
    pub absent: Absent,
    /// The token that it replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// Rates of the token alone.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub rates: Vec<RateLimit>,
    /// Requests of the token alone, by the calendar.
    #[serde(skip_serializing_if = "QuotaLimit::is_empty", default)]
    pub quota: QuotaLimit,
    /// Grows with each change of the token or its lists.
    pub row_version: i64,
    /// Who has made it.
    pub created_by: String,
    /// Milliseconds since 1970, UTC.
    pub created_at: i64,
}

/// A new token. The token itself is only here.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewToken {
    /// The token, which is not stored: `None` if the answer is repeated.
    #[serde(skip)]
    #[schemars(skip)]
    pub secret: Option<String>,
    /// What is stored of it.
    pub token: TokenInfo,
}

/// A new management key, like [`NewToken`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewKey {
    /// The key, which is not stored: `None` if the answer is repeated.
    #[serde(skip)]
    #[schemars(skip)]
    pub secret: Option<String>,
    /// What is stored of it.
    pub key: KeyInfo,
}

impl std::fmt::Debug for NewToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("NewToken").field("token", &self.token).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("NewKey").field("key", &self.key).finish_non_exhaustive()
    }
}

/// An entry of a list, in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListEntry {
    /// The network or the domain.
    pub value: String,
    /// A note.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// A list of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenList {
    /// What it does.
    pub mode: ListMode,
    /// What it has.
    pub entries: Vec<ListEntry>,
    /// Only for domains: requests without Origin and Referer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub absent: Option<Absent>,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoredPlan {
    /// The name by which accounts refer to it.
    pub name: String,
    /// What its accounts may use.
    pub terms: Terms,
    /// The products of tokens of its accounts that name none themselves.
    pub products: Vec<String>,
    /// Grows with each change.
    pub row_version: i64,
    /// Milliseconds since 1970, UTC.
    pub created_at: i64,
}

/// A key of the management API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyInfo {
    /// A UUIDv7, 32 hexadecimal digits.
    pub id: String,
    /// The first and last characters of the key.
    pub hint: String,
    /// Its display name.
    pub name: String,
    /// Its account; none for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The role of its holder.
    pub role: Role,
    /// What it may be used for, in words that the API defines.
    pub scopes: Vec<String>,
    /// Whether it may be used.
    pub state: KeyState,
    /// When it ends, in milliseconds since 1970, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<i64>,
    /// Grows with each change.
    pub row_version: i64,
    /// Who has made it.
    pub created_by: String,
    /// Milliseconds since 1970, UTC.
    pub created_at: i64,
}

/// A token with everything that is needed to judge requests.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredToken {
    pub info: TokenInfo,
    pub digest: Digest,
    pub networks: Vec<ListEntry>,
    pub domains: Vec<ListEntry>,
}

/// An account with all its tokens, revoked ones too.
#[derive(Clone, Debug, PartialEq)]
pub struct WholeAccount {
    pub account: StoredAccount,
    pub tokens: Vec<StoredToken>,
}
