//! What the API shows of people: members of accounts, users of the portal, and invitations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shown::Time;
use crate::ledger::store::people::{self, NewTicket, TicketInfo, UserInfo, UserState};
use crate::ledger::store::records::Role;

/// Where the portal takes a one-time link of an invitation: this, and its secret.
pub const INVITATION_PATH: &str = "/invitation/";

/// For how long an invitation can be accepted, in milliseconds.
pub const INVITATION_MS: i64 = 3 * 86_400_000;

/// Where the portal takes a one-time link to choose a new password: this, and its secret.
pub const NEW_PASSWORD_PATH: &str = "/sign-in/new-password/";

/// For how long a link to choose a new password works, in milliseconds.
pub const RESET_MS: i64 = 3_600_000;

/// A member of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// The user's id, 32 hexadecimal digits.
    pub user: String,
    /// The account's id.
    pub account: String,
    /// The user's address of mail; null: an identity provider has named none.
    pub email: Option<String>,
    /// How the user is called.
    pub display: String,
    /// Whether the user may sign in.
    pub state: UserState,
    /// What the member may do: owner, member or viewer.
    pub role: Role,
    /// What `ETag` says, without the quotes.
    pub version: i64,
    /// Since when they are a member.
    pub created_at: Time,
}

impl From<people::Member> for Member {
    fn from(member: people::Member) -> Member {
        let people::Member { account_id, user_id, email, display, state, role, row_version, created_at } = member;
        let (version, created_at) = (row_version, Time(created_at));
        Member { user: user_id, account: account_id, email, display, state, role, version, created_at }
    }
}

/// A user of the portal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The address of mail, in small letters; null: an identity provider has named none.
    pub email: Option<String>,
    /// Whether the user has shown that the address is theirs.
    pub email_proven: bool,
    /// How the user is called.
    pub display: String,
    /// What they may do as an operator: admin, support or auditor; null: they are none.
    pub role: Option<Role>,
    /// Whether they may sign in.
    pub state: UserState,
    /// Whether they have a password.
    pub password: bool,
    /// Whether they are asked for a one-time password.
    pub one_time_password: bool,
    /// The identity provider that knows them.
    pub issuer: Option<String>,
    /// What `ETag` says, without the quotes.
    pub version: i64,
    /// When they were made.
    pub created_at: Time,
}

impl From<UserInfo> for User {
    fn from(user: UserInfo) -> User {
        User {
            id: user.id,
            email: user.email,
            email_proven: user.email_proven,
            display: user.display,
            role: user.operator,
            state: user.state,
            password: user.has_password,
            one_time_password: user.has_totp,
            issuer: user.identity.map(|identity| identity.issuer),
            version: user.row_version,
            created_at: Time(user.created_at),
        }
    }
}

/// An invitation that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Invitation {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Who is invited, by their address of mail.
    pub email: String,
    /// The id of the account; null: to be an operator.
    pub account: Option<String>,
    /// What they will be.
    pub role: Role,
    /// Who has invited them.
    pub created_by: String,
    /// When it was made.
    pub created_at: Time,
    /// When it ends.
    pub ends_at: Time,
}

impl From<TicketInfo> for Invitation {
    fn from(ticket: TicketInfo) -> Invitation {
        Invitation {
            id: ticket.id,
            email: ticket.email,
            account: ticket.account_id,
            // Every invitation has one: the store has no other.
            role: ticket.role.unwrap_or(Role::Viewer),
            created_by: ticket.created_by,
            created_at: Time(ticket.created_at),
            ends_at: Time(ticket.ends_at),
        }
    }
}

/// An invitation that was just made.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct NewInvitation {
    /// Where it is accepted, once: a path below the portal's URL. It is shown this once and kept nowhere; null in an
    /// answer that is given again.
    pub path: Option<String>,
    /// What is kept of it.
    pub invitation: Invitation,
}

impl From<NewTicket> for NewInvitation {
    fn from(made: NewTicket) -> NewInvitation {
        let path = made.secret.map(|secret| format!("{INVITATION_PATH}{secret}"));
        NewInvitation { path, invitation: made.ticket.into() }
    }
}

/// A link to choose a new password, that was just made.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct NewPasswordLink {
    /// Where the password is chosen, once: a path below the portal's URL. It is shown this once and kept nowhere; null in
    /// an answer that is given again.
    pub path: Option<String>,
    /// The user's address of mail.
    pub email: String,
    /// When it ends.
    pub ends_at: Time,
}

impl From<NewTicket> for NewPasswordLink {
    fn from(made: NewTicket) -> NewPasswordLink {
        let path = made.secret.map(|secret| format!("{NEW_PASSWORD_PATH}{secret}"));
        NewPasswordLink { path, email: made.ticket.email, ends_at: Time(made.ticket.ends_at) }
    }
}

/// Who is invited, and what they will be.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationBody {
    /// Their address of mail.
    #[schemars(length(min = 3, max = 254))]
    pub email: String,
    /// What they will be: owner, member or viewer in an account; admin, support or auditor as an operator.
    pub role: Role,
}
