//! What operators see over all accounts: refusals, usage, plans, users, keys, history.

use askama::Template;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::audit::AuditPage;
use super::invitation::Invited;
use super::tokens::new_key;
use crate::ledger::store::people::UserState;
use crate::ledger::store::records::{KeyState, Role};
use crate::operate::api::audit::ChainCheck;
use crate::operate::api::caller::SCOPES;
use crate::operate::api::client::Asked;
use crate::operate::api::people::{Invitation, NewInvitation, NewPasswordLink, User};
use crate::operate::api::shown::{Audited, Key, NewKey, Page as Rows, Plan};
use crate::operate::api::usage::{ShownRefusal, Used};
use crate::portal::ask::Refusal;
use crate::portal::frame::{Frame, Message};
use crate::portal::page::{Page, operator};
use crate::portal::people::Names;
use crate::portal::visit::{AtDesk, Shown, Trouble, above_form, rendered, status_with};
use crate::portal::words;

/// Rows of a whole list at the most.
const MOST: usize = 5000;

/// These pages.
pub fn pages() -> Vec<Page> {
    vec![
        operator(Method::GET, "/operator/refusals", refusals),
        operator(Method::GET, "/operator/usage", usage),
        operator(Method::GET, "/operator/plans", plans),
        operator(Method::GET, "/operator/users", users),
        operator(Method::POST, "/operator/users", invite).sensitive(),
        operator(Method::POST, "/operator/users/{user}/{act}", act_on_user).sensitive(),
        operator(Method::POST, "/operator/invitations/{invitation}/withdraw", withdraw),
        operator(Method::GET, "/operator/keys", keys),
        operator(Method::POST, "/operator/keys", make_key).sensitive(),
        operator(Method::POST, "/operator/keys/{key}/revoke", revoke_key),
        operator(Method::GET, "/operator/audit", audit),
    ]
}

/// The frame of a page, with what was done before it was opened.
fn frame<'a>(at: &'a AtDesk, section: &'static str, title: &'static str) -> Frame<'a> {
    at.frame(section, title).with(at.done_before())
}

/// The link to the rows after a cursor, with the same choice of an account.
fn following(at: &AtDesk, path: &str, next: Option<String>) -> Option<String> {
    let account = words::in_query(at.query.text("account"));
    next.map(|next| format!("{path}?account={account}&after={next}"))
}

#[derive(Template)]
#[template(path = "portal/desk_refusals.html")]
struct RefusalsPage<'s> {
    frame: Frame<'s>,
    account: String,
    rows: Vec<ShownRefusal>,
    next: Option<String>,
}

async fn refusals(at: AtDesk) -> Shown {
    let asked = Asked::get("/refusals").with("limit", Some("100")).with("account", at.query.given("account"));
    let rows: Rows<ShownRefusal> = at.client.ask(&asked.with("after", at.query.given("after"))).await?;
    let page = RefusalsPage {
        account: at.query.text("account").to_owned(),
        rows: rows.items,
        next: following(&at, "/operator/refusals", rows.next),
        frame: frame(&at, "/operator/refusals", "Refusals"),
    };
    rendered(StatusCode::OK, &page)
}

#[derive(Template)]
#[template(path = "portal/desk_usage.html")]
struct UsagePage<'s> {
    frame: Frame<'s>,
    account: String,
    rows: Vec<Used>,
    next: Option<String>,
}

async fn usage(at: AtDesk) -> Shown {
    let asked = Asked::get("/usage").with("by", Some("day")).with("limit", Some("200"));
    let asked = asked.with("account", at.query.given("account")).with("after", at.query.given("after"));
    let rows: Rows<Used> = at.client.ask(&asked).await?;
    let page = UsagePage {
        account: at.query.text("account").to_owned(),
        rows: rows.items,
        next: following(&at, "/operator/usage", rows.next),
        frame: frame(&at, "/operator/usage", "Usage"),
    };
    rendered(StatusCode::OK, &page)
}

#[derive(Template)]
#[template(path = "portal/desk_plans.html")]
struct PlansPage<'s> {
    frame: Frame<'s>,
    plans: Vec<Plan>,
    of_configuration: Vec<String>,
}

async fn plans(at: AtDesk) -> Shown {
    let plans: Vec<Plan> = at.client.rows(&Asked::get("/plans"), MOST).await?;
    let snapshot = at.portal.gateway.snapshot();
    let page = PlansPage {
        plans,
        of_configuration: snapshot.policy.plans.iter().map(|plan| plan.name.to_string()).collect(),
        frame: frame(&at, "/operator/plans", "Plans"),
    };
    rendered(StatusCode::OK, &page)
}

#[derive(Template)]
#[template(path = "portal/desk_users.html")]
struct UsersPage<'s> {
    frame: Frame<'s>,
    users: Vec<User>,
    invitations: Vec<Invitation>,
    invited: Option<Invited>,
    reset: Option<NewPasswordLink>,
    me: &'s str,
    once: String,
    /// Nobody but administrators sees users.
    may_see: bool,
}

/// What an act has made, which is shown once.
#[derive(Default)]
struct Made {
    invited: Option<Invited>,
    reset: Option<NewPasswordLink>,
}

async fn users(at: AtDesk) -> Shown {
    users_page(&at, Made::default(), None).await
}

async fn users_page(at: &AtDesk, made: Made, message: Option<Message>) -> Shown {
    let Made { invited, reset } = made;
    let may_see = at.role == Role::Admin;
    let (users, invitations) = if may_see {
        (at.client.rows(&Asked::get("/users"), MOST).await?, at.client.rows(&Asked::get("/invitations"), MOST).await?)
    } else {
        (Vec::new(), Vec::new())
    };
    let status = status_with(message.as_ref());
    let (me, once) = (&*at.person.user, new_key());
    let frame = frame(at, "/operator/users", "Users").with(message);
    let page = UsersPage { frame, users, invitations, invited, reset, me, once, may_see };
    rendered(status, &page)
}

async fn invite(at: AtDesk) -> Shown {
    let body = json!({ "email": at.form.text("email"), "role": at.form.text("role") });
    let asked = Asked::make("/users", at.form.text("once").to_owned(), Some(body));
    match at.client.ask::<NewInvitation>(&asked).await {
        Ok(made) => users_page(&at, Made { invited: Invited::of(&at, made), reset: None }, None).await,
        Err(refusal) => refused(&at, refusal).await,
    }
}

async fn act_on_user(at: AtDesk) -> Shown {
    let path = format!("/users/{}", at.value(0));
    let asked = match at.value(1) {
        "reset" => return reset_user(&at, format!("{path}/reset")).await,
        act @ ("enable" | "disable") => Asked::change(Method::POST, format!("{path}/{act}"), "*", None),
        "role" => {
            let role = at.form.given("role").map_or(Value::Null, Value::from);
            Asked::change(Method::PATCH, path, "*", Some(json!({ "role": role })))
        }
        _ => return Err(Trouble::NotFound),
    };
    changed(&at, &asked).await
}

async fn reset_user(at: &AtDesk, path: String) -> Shown {
    match at.client.ask::<NewPasswordLink>(&Asked::make(path, at.form.text("once").to_owned(), None)).await {
        Ok(mut made) => {
            made.path = made.path.map(|path| format!("{}{path}", at.portal.settings.public_url));
            users_page(at, Made { invited: None, reset: Some(made) }, None).await
        }
        Err(refusal) => refused(at, refusal).await,
    }
}

async fn refused(at: &AtDesk, refusal: Refusal) -> Shown {
    users_page(at, Made::default(), Some(above_form(refusal, &[])?)).await
}

async fn withdraw(at: AtDesk) -> Shown {
    changed(&at, &Asked::change(Method::DELETE, format!("/invitations/{}", at.value(0)), "*", None)).await
}

async fn changed(at: &AtDesk, asked: &Asked) -> Shown {
    match at.client.ask::<Value>(asked).await {
        Ok(_) => Ok(at.done("/operator/users", "Saved.")),
        Err(refusal) => refused(at, refusal).await,
    }
}

#[derive(Template)]
#[template(path = "portal/desk_keys.html")]
struct KeysPage<'s> {
    frame: Frame<'s>,
    keys: Vec<Key>,
    made: Option<NewKey>,
    once: String,
    may_see: bool,
}

async fn keys(at: AtDesk) -> Shown {
    keys_page(&at, None, None).await
}

async fn keys_page(at: &AtDesk, made: Option<NewKey>, message: Option<Message>) -> Shown {
    let may_see = at.role == Role::Admin;
    let keys = if may_see { at.client.rows(&Asked::get("/keys"), MOST).await? } else { Vec::new() };
    let status = status_with(message.as_ref());
    let frame = frame(at, "/operator/keys", "Keys").with(message);
    let page = KeysPage { frame, keys, made, once: new_key(), may_see };
    rendered(status, &page)
}

async fn make_key(at: AtDesk) -> Shown {
    let form = &at.form;
    let body = json!({ "name": form.text("name"), "role": form.text("role"), "scopes": form.all("scope") });
    let asked = Asked::make("/keys", form.text("once").to_owned(), Some(body));
    match at.client.ask::<NewKey>(&asked).await {
        Ok(made) => keys_page(&at, Some(made), None).await,
        Err(refusal) => keys_page(&at, None, Some(above_form(refusal, &[])?)).await,
    }
}

async fn revoke_key(at: AtDesk) -> Shown {
    let asked = Asked::change(Method::POST, format!("/keys/{}/revoke", at.value(0)), "*", None);
    match at.client.ask::<Value>(&asked).await {
        Ok(_) => Ok(at.done("/operator/keys", "The key is revoked.")),
        Err(refusal) => keys_page(&at, None, Some(above_form(refusal, &[])?)).await,
    }
}

async fn audit(at: AtDesk) -> Shown {
    let asked = Asked::get("/audit").with("limit", Some("100")).with("after", at.query.given("after"));
    let rows: Rows<Audited> = at.client.ask(&asked).await?;
    let chain: ChainCheck = at.client.ask(&Asked::get("/audit/check")).await?;
    let broken = chain.broken_at.map(|row| {
        let text = format!("Row {row} is not as it was written, or is missing. Somebody has changed the file.");
        Message::bad("The history is not whole", text)
    });
    let page = AuditPage {
        rows: rows.items,
        next: following(&at, "/operator/audit", rows.next),
        shows_account: true,
        names: Names::of_users(&at.client, &at.person).await?,
        frame: frame(&at, "/operator/audit", "History").with(broken),
    };
    rendered(StatusCode::OK, &page)
}
