//! Who has signed in, as pages know them.

use crate::ledger::store::people::Belonging;
use crate::ledger::store::records::Role;
use crate::platform::portal_key::from_hexadecimal;

/// An account that a person is a member of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The id of the account.
    pub account: String,
    /// Its name.
    pub name: String,
    pub role: Role,
}

impl From<Belonging> for Membership {
    fn from(belonging: Belonging) -> Membership {
        let Belonging { account_id, account, role } = belonging;
        Membership { account: account_id, name: account, role }
    }
}

/// Somebody who has signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The id of the user.
    pub user: String,
    /// How pages call them: their name, or their e-mail address.
    pub name: String,
    /// The id of the session in the store, which is no secret.
    pub session: String,
    /// What each of their forms has to bring, so that no other site can send one (derived from the session, never stored).
    pub csrf: String,
    pub memberships: Vec<Membership>,
    /// Their role among operators.
    pub operator: Option<Role>,
    /// Until when sensitive acts are done without asking again, in milliseconds since 1970 in UTC.
    pub strong_until_ms: i64,
}

impl SignedIn {
    /// The digest of the session's secret.
    pub fn digest(&self) -> Option<[u8; 32]> {
        from_hexadecimal(&self.session)
    }

    /// Whether sensitive acts are done without asking again.
    pub fn is_strong(&self, now_ms: i64) -> bool {
        now_ms < self.strong_until_ms
    }
}
