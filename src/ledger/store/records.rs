//! What the store keeps, as it is read, shown and audited. Nothing here has a secret in it: a token's digest is in
//! [`StoredToken`] alone, which is not shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::account::Digest;

/// An enumeration whose words are the same in the file and in JSON.
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

words! {
    /// Whether an account may use anything.
    AccountState {
        /// Its tokens are judged by what they say.
        Active = "active",
        /// Its tokens are refused as if they were switched off.
        Suspended = "suspended",
        /// For good: its tokens are unknown. Its name stays taken, since the ledger knows it.
        Closed = "closed",
    }
}

words! {
    /// Whether a token may be used.
    TokenState {
        /// It is judged by what it says.
        Enabled = "enabled",
        /// It is refused until it is enabled again.
        Disabled = "disabled",
        /// For good: it is unknown.
        Revoked = "revoked",
    }
}

words! {
    /// What a list of networks or domains does.
    ListMode {
        /// There is no restriction, whatever is in the list.
        Any = "any",
        /// What the list does not have is counted, and let through.
        Watch = "watch",
        /// What the list does not have is refused.
        Enforce = "enforce",
    }
}

words! {
    /// What is done with requests without Origin and Referer where domains are listed.
    Absent {
        /// They pass.
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
    /// What the holder of a management key is.
    Role {
        /// Operator: everything.
        Admin = "admin",
        /// Operator: all but grants and keys.
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

/// So many requests in a period, and so many of them at once.
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
    /// Rates, one a period; none is no limit.
    pub rates: Vec<RateLimit>,
    /// Requests by the calendar.
    #[serde(skip_serializing_if = "QuotaLimit::is_empty")]
    pub quota: QuotaLimit,
    /// Requests in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub concurrency: Option<u32>,
}

/// What an account may use: what a plan says, or what is said here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccountTerms {
    /// The plan of this name, of the configuration or of the store.
    Plan(String),
    /// Terms of its own.
    Own(Terms),
}

/// What an account has of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProductFunds {
    /// Lookups cost credits, and the account began with so many.
    Credits {
        /// Given once, when the account has its first balance.
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
    /// How logs, the ledger and people call it; it never changes.
    pub name: String,
    /// What it is called in lists, or nothing.
    pub display: String,
    /// Whether it may use anything.
    pub state: AccountState,
    /// What it may use.
    pub terms: AccountTerms,
    /// What it has of each product.
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
    /// How logs and people call it.
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
    /// When it ends, in milliseconds since 1970, UTC: a token that another one replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<i64>,
    /// What its list of networks does.
    pub networks_mode: ListMode,
    /// What its list of domains does.
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

/// A token that has just been made. The token itself is here and nowhere else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewToken {
    /// The token, which is not kept: `None` where the answer is given once more.
    #[serde(skip)]
    #[schemars(skip)]
    pub secret: Option<String>,
    /// What is kept of it.
    pub token: TokenInfo,
}

/// A management key that has just been made, like [`NewToken`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewKey {
    /// The key, which is not kept: `None` where the answer is given once more.
    #[serde(skip)]
    #[schemars(skip)]
    pub secret: Option<String>,
    /// What is kept of it.
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
    /// What it is for, in words.
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
    /// Of domains only: requests without Origin and Referer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub absent: Option<Absent>,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoredPlan {
    /// How accounts name it.
    pub name: String,
    /// What its accounts may use.
    pub terms: Terms,
    /// What tokens of its accounts cover that name nothing themselves.
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
    /// How people call it.
    pub name: String,
    /// The account that it is for; none for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// What its holder is.
    pub role: Role,
    /// What it may be used for, in words that the API knows.
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

/// A token with everything that judges a request.
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
