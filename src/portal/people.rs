//! What pages call people: the audit knows them by ids.

use std::collections::HashMap;

use super::ask::{Client, Refusal};
use super::person::SignedIn;
use crate::operate::api::client::Asked;
use crate::operate::api::people::{Member, User};

/// People that are looked up at the most.
const MOST: usize = 5000;

/// Names by ids.
pub struct Names {
    me: String,
    known: HashMap<String, String>,
}

impl Names {
    /// The members of an account.
    ///
    /// # Errors
    /// The API's refusal.
    pub async fn of_account(client: &Client, account: &str, me: &SignedIn) -> Result<Names, Refusal> {
        let path = format!("/accounts/{account}/members");
        let members: Vec<Member> = client.rows(&Asked::get(path), MOST).await?;
        let name = |member: Member| {
            let name = if member.display.is_empty() { member.email.unwrap_or_default() } else { member.display };
            (member.user, name)
        };
        Ok(Names { me: me.user.clone(), known: members.into_iter().map(name).collect() })
    }

    /// All users, as far as an operator may see them.
    ///
    /// # Errors
    /// The API's refusal.
    pub async fn of_users(client: &Client, me: &SignedIn) -> Result<Names, Refusal> {
        let users: Vec<User> = client.rows_if_allowed(&Asked::get("/users"), MOST).await?;
        let name = |user: User| (user.id, user.email.unwrap_or(user.display));
        Ok(Names { me: me.user.clone(), known: users.into_iter().map(name).collect() })
    }

    /// What an actor of the audit is called.
    pub fn of(&self, actor: &str) -> String {
        match actor.split_once(':') {
            Some(("user", id)) if id == self.me => "you".to_owned(),
            Some(("user", id)) => {
                self.known.get(id).cloned().unwrap_or_else(|| "an operator of the service".to_owned())
            }
            Some(("key", id)) => format!("the key {}", id.get(..8).unwrap_or(id)),
            _ => actor.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_are_called_by_their_names() {
        let known = [("1".to_owned(), "Bob".to_owned())].into();
        let names = Names { me: "2".to_owned(), known };
        for (actor, called) in [
            ("user:1", "Bob"),
            ("user:2", "you"),
            ("user:3", "an operator of the service"),
            ("key:0123456789abcdef", "the key 01234567"),
            ("gateway", "gateway"),
        ] {
            assert_eq!(names.of(actor), called);
        }
    }
}
