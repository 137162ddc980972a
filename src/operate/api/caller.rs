//! Who asks, and what they may do: scopes that a key was made for, and the role that it has.
//!
//! A key is of an operator, or of one account, whose objects are all that it ever sees. What an
//! operation asks for stands in its row of the route table; here is how the two are compared.

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{Kind, Problem};
use crate::ledger::store::Via;
use crate::ledger::store::records::Role;

/// What management keys begin with.
pub const PREFIX: &str = "tgm_";

/// What tokens of lookups begin with that this program makes.
const PREFIX_OF_LOOKUPS: &str = "tg_";

/// Bytes of a key at the most.
const MOST_BYTES: usize = 200;

/// What a key was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Reading everything that the role may see.
    Read,
    /// Making, changing, suspending and closing accounts.
    Accounts,
    /// Making, rotating, disabling and revoking tokens.
    Tokens,
    /// Networks and domains of tokens.
    Lists,
    /// Grants and adjustments of credits.
    Credits,
    /// What an account wants to be told.
    Alerts,
    /// Making and deleting management keys.
    Keys,
    /// Members of accounts, and users of the portal.
    Members,
}

/// All scopes.
pub const SCOPES: [Scope; 8] = [
    Scope::Read,
    Scope::Accounts,
    Scope::Tokens,
    Scope::Lists,
    Scope::Credits,
    Scope::Alerts,
    Scope::Keys,
    Scope::Members,
];

impl Scope {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Accounts => "accounts",
            Scope::Tokens => "tokens",
            Scope::Lists => "lists",
            Scope::Credits => "credits",
            Scope::Alerts => "alerts",
            Scope::Keys => "keys",
            Scope::Members => "members",
        }
    }

    /// Whether it is for what operators alone may do.
    pub const fn is_of_operators(self) -> bool {
        matches!(self, Scope::Accounts | Scope::Credits)
    }

    /// The scope with a word.
    pub fn of(word: &str) -> Option<Scope> {
        SCOPES.into_iter().find(|scope| scope.word() == word)
    }
}

/// The roles of operators, the lowest first: each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operator {
    /// Reads everything.
    Auditor,
    /// Everything but credits, keys and people.
    Support,
    Admin,
}

/// The roles in one account, the lowest first: each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// Reads.
    Viewer,
    /// Tokens and lists.
    Member,
    /// Keys and members of the account as well.
    Owner,
}

/// The rank of a role among operators, if it is one of theirs.
pub const fn operator(role: Role) -> Option<Operator> {
    match role {
        Role::Admin => Some(Operator::Admin),
        Role::Support => Some(Operator::Support),
        Role::Auditor => Some(Operator::Auditor),
        Role::Owner | Role::Member | Role::Viewer => None,
    }
}

/// The rank of a role in its account, if it is one of an account's.
pub const fn member(role: Role) -> Option<Member> {
    match role {
        Role::Owner => Some(Member::Owner),
        Role::Member => Some(Member::Member),
        Role::Viewer => Some(Member::Viewer),
        Role::Admin | Role::Support | Role::Auditor => None,
    }
}

/// Who may ask for an operation: the lowest role of each kind, `None` where no key of an account may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    pub operator: Operator,
    pub member: Option<Member>,
}

impl Who {
    /// Operators alone, of this role or a higher one.
    pub const fn operators(operator: Operator) -> Who {
        Who { operator, member: None }
    }

    /// Operators, and keys of the account that the path names.
    pub const fn both(operator: Operator, member: Member) -> Who {
        Who { operator, member: Some(member) }
    }

    /// Whether a role is enough.
    pub fn allows(self, role: Role) -> bool {
        match (operator(role), member(role)) {
            (Some(operator), _) => operator >= self.operator,
            (None, Some(member)) => self.member.is_some_and(|least| member >= least),
            (None, None) => false,
        }
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The id of the key or of the user; empty for the command line on the machine itself.
    pub id: String,
    /// How they ask.
    pub via: Via,
    /// What the audit calls them.
    pub actor: String,
    pub role: Role,
    /// The account whose key it is.
    pub account: Option<String>,
    pub scopes: Vec<Scope>,
}

/// Whoever asks inside this process: the command line on the machine that has the store, or the portal for
/// somebody who has signed in. A request from a connection cannot have this: it is no header, and is put onto
/// requests inside this process alone.
#[derive(Clone, Debug)]
pub struct Inside(pub Caller);

/// A management key as it was sent, which nothing shows.
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Its bytes, for digests.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl Caller {
    /// Whoever runs the command line on the machine that has the store's file: may do everything.
    pub fn machine(actor: String) -> Caller {
        let (id, role, scopes) = (String::new(), Role::Admin, SCOPES.to_vec());
        Caller { id, via: Via::CommandLine, actor, role, account: None, scopes }
    }

    /// Lets a caller at an operation.
    ///
    /// # Errors
    /// `scope-missing` or `role-too-low`.
    pub fn check(&self, scope: Scope, who: Who) -> Result<(), Problem> {
        if !self.scopes.contains(&scope) {
            let word = scope.word();
            return Err(Problem::new(Kind::ScopeMissing, format!("This takes a key with the scope {word}.")));
        }
        if who.allows(self.role) {
            return Ok(());
        }
        let allowed = Role::ALL.iter().filter(|role| who.allows(**role));
        let wanted = allowed.map(|role| role.word()).collect::<Vec<_>>().join(", ");
        Err(Problem::new(Kind::RoleTooLow, format!("This takes a key with one of these roles: {wanted}.")))
    }

    /// Lets a caller at what belongs to an account; what is another's is not there.
    ///
    /// # Errors
    /// `not-found`.
    pub fn check_account(&self, account: &str) -> Result<(), Problem> {
        match &self.account {
            Some(own) if own != account => Err(Problem::not_found("account")),
            Some(_) | None => Ok(()),
        }
    }
}

/// The key that a request shows.
///
/// # Errors
/// `unauthenticated` with what is wrong with it.
pub fn shown(headers: &HeaderMap) -> Result<Secret, Problem> {
    let refused = |why: &'static str| Err(Problem::new(Kind::Unauthenticated, why));
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return refused("Send one header Authorization: Bearer tgm_…, with a management key.");
    };
    let (scheme, key) = match line.as_bytes().iter().position(|byte| *byte == b' ') {
        Some(space) => line.as_bytes().split_at(space),
        None => (line.as_bytes(), b"".as_slice()),
    };
    let key = key.trim_ascii();
    if !scheme.eq_ignore_ascii_case(b"bearer") || key.is_empty() {
        return refused("Send the key as Authorization: Bearer tgm_…; no other scheme is taken.");
    }
    if key.starts_with(PREFIX.as_bytes()) && key.len() <= MOST_BYTES {
        return Ok(Secret(key.into()));
    }
    if key.starts_with(PREFIX_OF_LOOKUPS.as_bytes()) {
        return refused(
            "This is a token of lookups, which never manages anything. Use a management key, which begins with tgm_.",
        );
    }
    refused("This is not a management key, which begins with tgm_.")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn higher_roles_may_do_what_lower_ones_may_and_the_two_kinds_never_mix() {
        use Role::{Admin, Auditor, Member as Middle, Owner, Support, Viewer};
        for (who, may) in [
            (Who::operators(Operator::Auditor), &[Admin, Support, Auditor][..]),
            (Who::operators(Operator::Admin), &[Admin]),
            (Who::both(Operator::Support, Member::Member), &[Admin, Support, Owner, Middle]),
            (Who::both(Operator::Auditor, Member::Viewer), &[Admin, Support, Auditor, Owner, Middle, Viewer]),
        ] {
            let allowed: Vec<Role> = Role::ALL.iter().copied().filter(|role| who.allows(*role)).collect();
            assert_eq!(allowed, may, "{who:?}");
        }
    }

    #[test]
    fn words_and_values_are_the_same() {
        assert!(SCOPES.into_iter().all(|scope| Scope::of(scope.word()) == Some(scope)));
        assert_eq!(Scope::of("all"), None);
        assert!(Role::ALL.iter().all(|role| operator(*role).is_some() != member(*role).is_some()));
        assert!(Role::ALL.iter().all(|role| member(*role).is_some() == role.is_of_account()));
    }

    #[test]
    fn only_one_bearer_that_is_a_management_key_is_taken() {
        for (lines, good) in [
            (&["Bearer tgm_0123"][..], true),
            (&["bearer   tgm_0123 "], true),
            (&[], false),
            (&["Bearer tgm_1", "Bearer tgm_1"], false),
            (&["Bearer tg_0123"], false),
            (&["Bearer 0123"], false),
            (&["Basic tgm_0123"], false),
            (&["Bearer"], false),
            (&["Bearer "], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(AUTHORIZATION, HeaderValue::from_static(line));
            }
            let outcome = shown(&headers);
            assert_eq!(outcome.is_ok(), good, "{lines:?}");
            match outcome {
                Ok(secret) => assert_eq!(format!("{secret:?}"), "***"),
                Err(problem) => {
                    let lookups = lines.iter().any(|line| line.contains("tg_"));
                    assert_eq!(problem.told().detail.contains("token of lookups"), lookups, "{lines:?}");
                }
            }
        }
    }
}
