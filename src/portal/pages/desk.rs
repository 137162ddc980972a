//! Operators: accounts, found by whatever is at hand, and everything that only operators do to one.

use askama::Template;
use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::invitation::Invited;
use super::members::MOST_MEMBERS;
use super::tokens::{MOST_TOKENS, new_key};
use crate::ledger::entry::Statement;
use crate::ledger::store::records::{AccountState, AccountTerms, ProductFunds, Role};
use crate::operate::api::client::Asked;
use crate::operate::api::find::{FoundAccount, FoundAccounts};
use crate::operate::api::nodes::Nodes;
use crate::operate::api::people::{Invitation, Member, NewInvitation};
use crate::operate::api::shown::{Account, Page as Rows, Plan, Token};
use crate::operate::store_feed::{AccountConflict, ConflictsShown};
use crate::portal::ask::Refusal;
use crate::portal::frame::{Frame, Message};
use crate::portal::page::{Page, operator};
use crate::portal::visit::{AtDesk, Shown, Trouble, above_form, rendered, status_with};
use crate::portal::words;

/// These pages.
pub fn pages() -> Vec<Page> {
    vec![
        operator(Method::GET, "/operator", list),
        operator(Method::POST, "/operator/find", find),
        operator(Method::GET, "/operator/accounts/new", new),
        operator(Method::POST, "/operator/accounts/new", create),
        operator(Method::GET, "/operator/accounts/{account}", show),
        operator(Method::POST, "/operator/accounts/{account}", change),
        operator(Method::POST, "/operator/accounts/{account}/suspend", |at| act(at, "suspend", "is suspended")),
        operator(Method::POST, "/operator/accounts/{account}/resume", |at| act(at, "resume", "is active again")),
        operator(Method::POST, "/operator/accounts/{account}/close", close).sensitive(),
        operator(Method::POST, "/operator/accounts/{account}/credits", credit).sensitive(),
        operator(Method::POST, "/operator/accounts/{account}/invite", invite).sensitive(),
        operator(Method::POST, "/operator/accounts/{account}/tokens/{token}/{act}", act_on_token),
    ]
}

#[derive(Template)]
#[template(path = "portal/desk.html")]
struct DeskPage<'s> {
    frame: Frame<'s>,
    accounts: Vec<Account>,
    found: Option<Vec<FoundAccount>>,
    conflicts: Vec<AccountConflict>,
    conflict_count: usize,
    nodes: Option<Nodes>,
    state: String,
    next: Option<String>,
    may_edit: bool,
    may_import: bool,
}

/// Whether an operator may change accounts.
fn may_edit(at: &AtDesk) -> bool {
    matches!(at.role, Role::Admin | Role::Support)
}

async fn list(at: AtDesk) -> Shown {
    let state = at.query.text("state").to_owned();
    let asked = Asked::get("/accounts").with("limit", Some("100")).with("state", at.query.given("state"));
    let rows: Rows<Account> = at.client.ask(&asked.with("after", at.query.given("after"))).await?;
    let conflicts: ConflictsShown = at.client.ask(&Asked::get("/conflicts")).await?;
    let page = DeskPage {
        accounts: rows.items,
        found: None,
        conflict_count: conflicts.count,
        nodes: Some(at.client.ask(&Asked::get("/nodes")).await?),
        conflicts: conflicts.accounts,
        next: rows.next.map(|next| format!("/operator?state={state}&after={next}")),
        state,
        may_edit: may_edit(&at),
        may_import: at.role == Role::Admin,
        frame: at.frame("/operator", "Accounts").with(at.done_before()),
    };
    rendered(StatusCode::OK, &page)
}

async fn find(at: AtDesk) -> Shown {
    // What was looked for may be a token: it is in no link, and not shown again.
    let asked = Asked::try_out("/find", json!({ "text": at.form.text("text") }));
    let (found, message) = match at.client.ask::<FoundAccounts>(&asked).await {
        Ok(found) => (found.items, None),
        Err(Refusal::Told(told)) if told.status == 422 => (Vec::new(), Some(Message::refused(&told))),
        Err(refusal) => return Err(refusal.into()),
    };
    let page = DeskPage {
        accounts: Vec::new(),
        found: Some(found),
        conflicts: Vec::new(),
        conflict_count: 0,
        nodes: None,
        state: String::new(),
        next: None,
        may_edit: may_edit(&at),
        may_import: false,
        frame: at.frame("/operator", "Accounts").with(message),
    };
    rendered(StatusCode::OK, &page)
}

#[derive(Template)]
#[template(path = "portal/desk_new.html")]
struct NewPage<'s> {
    frame: Frame<'s>,
    once: String,
    name: String,
    display: String,
    plan: String,
    plans: Vec<String>,
    products: Vec<String>,
}

/// The plans that an account can have: those of the store and those of the configuration.
async fn plans(at: &AtDesk) -> Result<Vec<String>, Refusal> {
    let mut names: Vec<String> =
        at.client.rows::<Plan>(&Asked::get("/plans"), 1000).await?.into_iter().map(|plan| plan.name).collect();
    let snapshot = at.portal.gateway.snapshot();
    names.extend(snapshot.policy.plans.iter().map(|plan| plan.name.to_string()));
    names.sort();
    names.dedup();
    Ok(names)
}

/// Products whose lookups have prices.
fn priced(at: &AtDesk) -> Vec<String> {
    let snapshot = at.portal.gateway.snapshot();
    let priced = snapshot.policy.products.iter().filter(|product| product.is_priced);
    priced.map(|product| product.name.to_string()).collect()
}

async fn new(at: AtDesk) -> Shown {
    new_page(&at, None).await
}

async fn new_page(at: &AtDesk, message: Option<Message>) -> Shown {
    let status = status_with(message.as_ref());
    let page = NewPage {
        once: new_key(),
        name: at.form.text("name").to_owned(),
        display: at.form.text("display").to_owned(),
        plan: at.form.text("plan").to_owned(),
        plans: plans(at).await?,
        products: priced(at),
        frame: at.frame("/operator", "New account").with(message),
    };
    rendered(status, &page)
}

/// The plan of a form, or no limits at all.
fn terms(plan: &str) -> Value {
    if plan.is_empty() { json!({ "own": {} }) } else { json!({ "plan": plan }) }
}

/// What a form says of products with prices: credits to begin with, or that they cost nothing.
fn funds(at: &AtDesk) -> Vec<Value> {
    let products = at.form.all("product").into_iter().zip(at.form.all("funds")).zip(at.form.all("credits"));
    let one = |((product, funds), credits): ((String, String), String)| match &*funds {
        "credits" => {
            let grant = credits.trim().parse::<u64>().map_or_else(|_| Value::from(credits.trim()), Value::from);
            Some(json!({ "product": product, "funds": { "credits": { "first_grant": grant } } }))
        }
        "unmetered" => Some(json!({ "product": product, "funds": "unmetered" })),
        _ => None,
    };
    products.filter_map(one).collect()
}

async fn create(at: AtDesk) -> Shown {
    let body = json!({
        "name": at.form.text("name"),
        "display": at.form.text("display"),
        "terms": terms(at.form.text("plan")),
        "products": funds(&at),
    });
    let asked = Asked::make("/accounts", at.form.text("once").to_owned(), Some(body));
    match at.client.ask::<Account>(&asked).await {
        Ok(made) => Ok(at.done(&format!("/operator/accounts/{}", made.id), "The account is made.")),
        Err(refusal) => new_page(&at, Some(above_form(refusal, &[])?)).await,
    }
}

#[derive(Template)]
#[template(path = "portal/desk_account.html")]
struct AccountPage<'s> {
    frame: Frame<'s>,
    account: Account,
    plan: String,
    plans: Vec<String>,
    balances: Vec<Statement>,
    products: Vec<(String, String)>,
    tokens: Vec<Token>,
    members: Vec<Member>,
    invitations: Vec<Invitation>,
    invited: Option<Invited>,
    once: String,
    may_edit: bool,
    may_grant: bool,
    now_ms: i64,
}

fn path(at: &AtDesk, rest: &str) -> String {
    format!("/accounts/{}{rest}", at.value(0))
}

async fn show(at: AtDesk) -> Shown {
    page(&at, None, None).await
}

async fn page(at: &AtDesk, invited: Option<Invited>, message: Option<Message>) -> Shown {
    let account: Account = at.client.ask(&Asked::get(path(at, ""))).await?;
    let balances = at.client.balances(&account.id).await?;
    let mut tokens: Vec<Token> = at.client.rows(&Asked::get(path(at, "/tokens")), MOST_TOKENS).await?;
    tokens.retain(|token| words::state(token, at.at_ms).0 != "Revoked");
    let funds = |product: &str| {
        let found = account.products.iter().find(|one| one.product == product);
        found.map_or("not used", |one| match one.funds {
            ProductFunds::Credits { .. } => "credits",
            ProductFunds::Unmetered => "unmetered",
        })
    };
    let products =
        priced(at).into_iter().map(|product| (funds(&product).to_owned(), product)).map(|(of, name)| (name, of));
    let status = status_with(message.as_ref());
    let page = AccountPage {
        products: products.collect(),
        plan: match &account.terms {
            AccountTerms::Plan(plan) => plan.clone(),
            AccountTerms::Own(_) => String::new(),
        },
        plans: plans(at).await?,
        balances,
        tokens,
        members: at.client.rows(&Asked::get(path(at, "/members")), MOST_MEMBERS).await?,
        invitations: at.client.rows_if_allowed(&Asked::get(path(at, "/invitations")), MOST_MEMBERS).await?,
        invited,
        once: new_key(),
        may_edit: may_edit(at),
        may_grant: at.role == Role::Admin,
        now_ms: at.at_ms,
        frame: at.frame("/operator", account.name.clone()).with(message).with(at.done_before()),
        account,
    };
    rendered(status, &page)
}

async fn done(at: &AtDesk, asked: &Asked, message: &str) -> Shown {
    match at.client.ask::<Value>(asked).await {
        Ok(_) => Ok(at.done(&format!("/operator/accounts/{}", at.value(0)), message)),
        Err(refusal) => page(at, None, Some(above_form(refusal, &[])?)).await,
    }
}

async fn change(at: AtDesk) -> Shown {
    let mut body = Map::new();
    body.insert("display".to_owned(), at.form.text("display").into());
    // The account's own limits are not in the form, and stay.
    let keeps_own = at.form.text("plan").is_empty() && at.form.text("plan_before").is_empty();
    if !keeps_own {
        body.insert("terms".to_owned(), terms(at.form.text("plan")));
    }
    let asked = Asked::change(Method::PATCH, path(&at, ""), at.form.version(), Some(body.into()));
    done(&at, &asked, "Saved.").await
}

async fn act(at: AtDesk, act: &'static str, is: &'static str) -> Shown {
    let asked = Asked::change(Method::POST, path(&at, &format!("/{act}")), "*", None);
    done(&at, &asked, &format!("The account {is}, as of now.")).await
}

async fn close(at: AtDesk) -> Shown {
    let account: Account = at.client.ask(&Asked::get(path(&at, ""))).await?;
    if at.form.text("name") != account.name {
        let text = format!("Write its name, {}, to close it for good.", account.name);
        return page(&at, None, Some(Message::bad("Nothing was closed", text))).await;
    }
    done(&at, &Asked::change(Method::POST, path(&at, "/close"), "*", None), "The account is closed for good.").await
}

async fn credit(at: AtDesk) -> Shown {
    let kind = match at.form.text("kind") {
        "grant" => "grants",
        "adjustment" => "adjustments",
        _ => return Err(Trouble::NotFound),
    };
    let amount = at.form.text("amount");
    let amount = amount.parse::<i64>().map_or_else(|_| Value::from(amount), Value::from);
    let product = percent_encoding::utf8_percent_encode(at.form.text("product"), percent_encoding::NON_ALPHANUMERIC);
    let body = json!({ "amount": amount, "why": at.form.text("why") });
    let asked =
        Asked::make(path(&at, &format!("/credits/{product}/{kind}")), at.form.text("once").to_owned(), Some(body));
    done(&at, &asked, "The credits are written down.").await
}

async fn invite(at: AtDesk) -> Shown {
    let body = json!({ "email": at.form.text("email"), "role": at.form.text("role") });
    let asked = Asked::make(path(&at, "/members"), at.form.text("once").to_owned(), Some(body));
    match at.client.ask::<NewInvitation>(&asked).await {
        Ok(made) => page(&at, Invited::of(&at, made), None).await,
        Err(refusal) => page(&at, None, Some(above_form(refusal, &[])?)).await,
    }
}

async fn act_on_token(at: AtDesk) -> Shown {
    let act = match at.value(2) {
        "enable" => "enable",
        "disable" => "disable",
        _ => return Err(Trouble::NotFound),
    };
    let rest = format!("/tokens/{}/{act}", at.value(1));
    done(&at, &Asked::change(Method::POST, path(&at, &rest), "*", None), &format!("The token is {act}d, as of now."))
        .await
}
