//! The people of an account, and invitations to it.

use askama::Template;
use axum::http::Method;
use serde_json::{Value, json};

use super::invitation::Invited;
use super::tokens::new_key;
use crate::ledger::store::records::Role;
use crate::operate::api::client::Asked;
use crate::operate::api::people::{Invitation, Member, NewInvitation};
use crate::portal::frame::{Frame, Message};
use crate::portal::page::{Page, account};
use crate::portal::visit::{AtAccount, Shown, above_form, rendered, status_with};
use crate::portal::words;

/// People of an account at the most.
pub const MOST_MEMBERS: usize = 2000;

/// These pages.
pub fn pages() -> Vec<Page> {
    const PATH: &str = "/accounts/{account}/members";
    vec![
        account(Method::GET, PATH, list),
        account(Method::POST, PATH, invite).sensitive(),
        account(Method::POST, "/accounts/{account}/members/{user}", change).sensitive(),
        account(Method::POST, "/accounts/{account}/members/{user}/remove", remove).sensitive(),
        account(Method::POST, "/accounts/{account}/invitations/{invitation}/withdraw", withdraw),
    ]
}

#[derive(Template)]
#[template(path = "portal/members.html")]
struct MembersPage<'s> {
    frame: Frame<'s>,
    base: String,
    members: Vec<Member>,
    invitations: Vec<Invitation>,
    invited: Option<Invited>,
    me: &'s str,
    may_own: bool,
    once: String,
    email: String,
}

async fn list(at: AtAccount) -> Shown {
    page(&at, None, None).await
}

async fn page(at: &AtAccount, invited: Option<Invited>, message: Option<Message>) -> Shown {
    let members: Vec<Member> = at.client.rows(&Asked::get(at.api_path("/members")), MOST_MEMBERS).await?;
    let invitations: Vec<Invitation> =
        at.client.rows_if_allowed(&Asked::get(at.api_path("/invitations")), MOST_MEMBERS).await?;
    let status = status_with(message.as_ref());
    let page = MembersPage {
        base: at.base(),
        members,
        invitations,
        invited,
        me: &at.person.user,
        may_own: at.may_own(),
        once: new_key(),
        email: at.form.text("email").to_owned(),
        frame: at.frame("/members", "Members").with(message),
    };
    rendered(status, &page)
}

async fn invite(at: AtAccount) -> Shown {
    let body = json!({ "email": at.form.text("email"), "role": at.form.text("role") });
    let asked = Asked::make(at.api_path("/members"), at.form.text("once").to_owned(), Some(body));
    match at.client.ask::<NewInvitation>(&asked).await {
        Ok(made) => page(&at, Invited::of(&at, made), None).await,
        Err(refusal) => page(&at, None, Some(above_form(refusal, &[])?)).await,
    }
}

async fn done(at: &AtAccount, asked: &Asked, message: &str) -> Shown {
    match at.client.ask::<Value>(asked).await {
        Ok(_) => Ok(at.done("/members", message)),
        Err(refusal) => page(at, None, Some(above_form(refusal, &[])?)).await,
    }
}

async fn change(at: AtAccount) -> Shown {
    let path = at.api_path(&format!("/members/{}", at.value(1)));
    let body = json!({ "role": at.form.text("role") });
    done(&at, &Asked::change(Method::PATCH, path, "*", Some(body)), "The role is changed.").await
}

async fn remove(at: AtAccount) -> Shown {
    let path = at.api_path(&format!("/members/{}", at.value(1)));
    done(&at, &Asked::change(Method::DELETE, path, "*", None), "They are no member any more.").await
}

async fn withdraw(at: AtAccount) -> Shown {
    let path = at.api_path(&format!("/invitations/{}", at.value(1)));
    done(&at, &Asked::change(Method::DELETE, path, "*", None), "The link of the invitation does not work any more.")
        .await
}
