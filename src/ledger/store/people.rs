//! The records of people, as they are read, shown and audited. None of them has a password's hash, a sealed secret or a
//! digest of something secret, but those that say so and are not serialized.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::records::{Role, words};
use crate::policy::account::Digest;

words! {
    /// Whether a user may sign in.
    UserState {
        /// They may.
        Active = "active",
        /// They may not, until they are enabled again.
        Disabled = "disabled",
    }
}

words! {
    /// How a user has signed in.
    How {
        /// With a password alone.
        Password = "password",
        /// With a password and a one-time password.
        OneTimePassword = "one-time-password",
        /// With a password and a recovery code.
        RecoveryCode = "recovery-code",
        /// With a link or a code that was sent by mail.
        EmailLink = "email-link",
        /// By accepting an invitation.
        Invitation = "invitation",
        /// By an OpenID Connect provider.
        Oidc = "oidc",
        /// By a proxy in front of the portal that authenticates.
        Proxy = "proxy",
    }
}

words! {
    /// What a one-time link is for.
    TicketKind {
        /// Becoming a member of an account, or an operator.
        Invite = "invite",
        /// Signing in.
        EmailLink = "email-link",
        /// Setting another password.
        PasswordReset = "password-reset",
    }
}

/// A user of the portal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserInfo {
    /// A UUIDv7, 32 hexadecimal digits.
    pub id: String,
    /// The address of mail, in lower case; none for users of a provider that has said none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether somebody has shown that they read mail to the address.
    pub email_proven: bool,
    /// The identity provider and its name for the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The display name.
    pub display: String,
    /// Whether there is a password.
    pub has_password: bool,
    /// Whether a one-time password is asked for.
    pub has_totp: bool,
    /// The role among operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<Role>,
    /// Whether they may sign in.
    pub state: UserState,
    /// Grows with each change.
    pub row_version: i64,
    /// Milliseconds since 1970, UTC.
    pub created_at: i64,
}

impl UserInfo {
    /// How people call them: the address of mail, or the display name.
    pub fn name(&self) -> &str {
        self.email.as_deref().unwrap_or(&self.display)
    }
}

/// A user of an identity provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// The provider, as in `iss`.
    pub issuer: String,
    /// The user, as in `sub`.
    pub subject: String,
}

/// What a user proves themselves with. It is never serialized.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The password's hash as a PHC text.
    pub password: Option<String>,
    /// The secret of one-time passwords, sealed.
    pub totp: Option<Vec<u8>>,
    /// The newest step whose one-time password was used.
    pub totp_step: i64,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// A member of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// The account's id.
    pub account_id: String,
    /// The user's id.
    pub user_id: String,
    /// The user's address of mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The user's display name.
    pub display: String,
    /// Whether the user may sign in.
    pub state: UserState,
    /// The role in the account.
    pub role: Role,
    /// Grows with each change.
    pub row_version: i64,
    /// Milliseconds since 1970, UTC.
    pub created_at: i64,
}

/// An account that a user is a member of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belonging {
    /// The account's id.
    pub account_id: String,
    /// The account's name.
    pub account: String,
    /// The user's role in it.
    pub role: Role,
}

/// A browser that is signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// The digest of its secret, 64 hexadecimal digits: what lists call it.
    pub id: String,
    /// The user's id.
    pub user_id: String,
    /// How the user has signed in.
    pub how: How,
    /// Milliseconds since 1970, UTC, as all times here.
    pub created_at: i64,
    /// When it was used last, accurate to a minute.
    pub seen_at: i64,
    /// When the user has last proven who they are.
    pub strong_at: i64,
    /// When it ends at the latest.
    pub ends_at: i64,
    /// The address that it began from.
    pub address: String,
    /// The browser, in words for people.
    pub browser: String,
}

/// A one-time link, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TicketInfo {
    /// A UUIDv7, 32 hexadecimal digits.
    pub id: String,
    /// What it is for.
    pub kind: TicketKind,
    /// Whose it is: an address of mail in lower case.
    pub email: String,
    /// The account that it is an invitation to; none: to be an operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The role of an invitation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whether its use shows that the address is the user's.
    pub proves: bool,
    /// Who has made it.
    pub created_by: String,
    /// Milliseconds since 1970, UTC.
    pub created_at: i64,
    /// When it ends.
    pub ends_at: i64,
}

/// A one-time link with what is compared with. It is never serialized.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    pub info: TicketInfo,
    pub digest: Digest,
    /// The digest of the value in the cookie of the browser that it is bound to.
    pub browser: Option<[u8; 32]>,
    /// The keyed digest of the code that replaces it.
    pub code: Option<[u8; 32]>,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ticket").field("info", &self.info).finish_non_exhaustive()
    }
}

/// A new one-time link.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewTicket {
    /// Its secret, which is not stored: `None` if the answer is repeated.
    #[serde(skip)]
    #[schemars(skip)]
    pub secret: Option<String>,
    /// What is stored of it.
    pub ticket: TicketInfo,
}

impl fmt::Debug for NewTicket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NewTicket").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}
