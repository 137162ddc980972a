//! `tollgate portal`: inviting people to the Self Service Portal, and helping those who have lost what they sign in with.
//! Nobody has a password before they choose one.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;

use super::keys::{AccountRole, OperatorRole};
use super::manage::{Access, account, each, new_key, show};
use crate::operate::api::client::Asked;
use crate::operate::api::people::{NewInvitation, NewPasswordLink, User};
use crate::operate::failure::Failure;

/// What can be done with people of the portal.
#[derive(Subcommand)]
pub enum Command {
    /// Invite an operator, or somebody to an account, and print a link, which works once and for three days. The first
    /// operator is invited on the machine that has the store.
    Invite(Invite),
    /// Take away somebody's password, one-time passwords and sessions, and print a link to choose a new password, which
    /// works once and for an hour.
    Reset(Reset),
}

/// Whose sign-in is reset.
#[derive(Args)]
pub struct Reset {
    #[command(flatten)]
    access: Access,
    /// Their address of mail.
    email: String,
}

/// An invitation.
#[derive(Args)]
#[group(id = "whom", required = true, multiple = false, args = ["operator", "account"])]
pub struct Invite {
    #[command(flatten)]
    access: Access,
    /// An operator with this address of mail.
    #[arg(long, value_name = "EMAIL", conflicts_with = "email")]
    operator: Option<String>,
    /// To the account with this name or id.
    #[arg(long, requires = "email")]
    account: Option<String>,
    /// What they will be: admin, support or auditor as an operator; owner, member or viewer in an account. Default: admin,
    /// or member.
    #[arg(long)]
    role: Option<String>,
    /// The address of mail of somebody who is invited to an account.
    email: Option<String>,
}

/// Carries a command out; its output goes to `out`.
///
/// # Errors
/// A message for the operator.
pub fn run(command: Command, out: &mut impl Write) -> Result<(), Failure> {
    match command {
        Command::Invite(asked) => invite(asked, out),
        Command::Reset(asked) => reset(asked, out),
    }
}

fn reset(asked: Reset, out: &mut impl Write) -> Result<(), Failure> {
    let Reset { access, email } = asked;
    let url = access.portal_url()?;
    let client = access.open()?;
    let email = email.trim().to_ascii_lowercase();
    let mut found = None;
    each::<User>(&client, &Asked::get("/users"), |user| {
        if user.email.as_ref() == Some(&email) {
            found = Some(user);
        }
        Ok(())
    })?;
    let user = found.ok_or_else(|| format!("no user of the portal has the address {email}"))?;
    let made: NewPasswordLink = client.ask(&Asked::make(format!("/users/{}/reset", user.id), new_key(), None))?;
    let text = |made: &NewPasswordLink| {
        let path = made.path.as_deref().unwrap_or("/ (was shown before)");
        format!(
            "{url}{path}\nIt is for {}, works once, and until {}. It is shown this once.\n",
            made.email, made.ends_at
        )
    };
    show(&made, access.json, text, out)
}

fn invite(asked: Invite, out: &mut impl Write) -> Result<(), Failure> {
    let Invite { access, operator, account: named, role, email } = asked;
    let role = role_of(named.is_some(), role.as_deref())?;
    let url = access.portal_url()?;
    let client = access.open()?;
    let (path, email) = match (named, email, operator) {
        (Some(named), Some(email), _) => (format!("/accounts/{}/members", account(&client, &named)?.id), email),
        (_, _, Some(email)) => ("/users".to_owned(), email),
        (_, _, None) => return Err(Failure::Arguments("name an operator, or an account and an address".into())),
    };
    let body = json!({ "email": email, "role": role });
    let made: NewInvitation = client.ask(&Asked::make(path, new_key(), Some(body)))?;
    let text = |made: &NewInvitation| {
        let path = made.path.as_deref().unwrap_or("/ (was shown before)");
        let (email, ends) = (&made.invitation.email, made.invitation.ends_at);
        format!("{url}{path}\nIt is for {email}, works once, and until {ends}. It is shown this once.\n")
    };
    show(&made, access.json, text, out)
}

/// The word of a role, of the right kind.
fn role_of(is_of_account: bool, role: Option<&str>) -> Result<&'static str, Failure> {
    use clap::ValueEnum;
    let wrong = |words: &str| Failure::Arguments(format!("--role is none of its kind; write {words}").into());
    if is_of_account {
        let role = role.map_or(Ok(AccountRole::Member), |role| AccountRole::from_str(role, false));
        return match role.map_err(|_| wrong("owner, member or viewer"))? {
            AccountRole::Owner => Ok("owner"),
            AccountRole::Member => Ok("member"),
            AccountRole::Viewer => Ok("viewer"),
        };
    }
    let role = role.map_or(Ok(OperatorRole::Admin), |role| OperatorRole::from_str(role, false));
    match role.map_err(|_| wrong("admin, support or auditor"))? {
        OperatorRole::Admin => Ok("admin"),
        OperatorRole::Support => Ok("support"),
        OperatorRole::Auditor => Ok("auditor"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_of_their_kind() {
        for (is_of_account, role, word) in [
            (false, None, Some("admin")),
            (false, Some("auditor"), Some("auditor")),
            (false, Some("owner"), None),
            (true, None, Some("member")),
            (true, Some("owner"), Some("owner")),
            (true, Some("admin"), None),
        ] {
            assert_eq!(role_of(is_of_account, role).ok(), word, "{role:?}");
        }
    }
}
