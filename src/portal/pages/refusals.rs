//! What an account was refused, and the way to mend it: a button where one will do.

use askama::Template;
use axum::http::Method;
use serde_json::{Value, json};

use super::tokens::MOST_TOKENS;
use crate::ledger::store::records::TokenState;
use crate::operate::api::client::Asked;
use crate::operate::api::shown::{Page as Rows, Token};
use crate::operate::api::usage::ShownRefusal;
use crate::portal::frame::{Frame, Message};
use crate::portal::page::{Page, account};
use crate::portal::visit::{AtAccount, Shown, Trouble, above_form, rendered, status_with};
use crate::portal::words;

/// These pages.
pub fn pages() -> Vec<Page> {
    const PATH: &str = "/accounts/{account}/refusals";
    vec![account(Method::GET, PATH, list), account(Method::POST, "/accounts/{account}/refusals/fix", mend)]
}

/// What mends a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fix {
    /// An entry for a list of a token: the list, the token's id and name, the entry.
    Entry { list: &'static str, token: String, name: String, value: String },
    /// A token that is to be enabled: its id and name.
    Enable { token: String, name: String },
    /// Another page, below the account's, with what to do there.
    Page { path: String, words: String },
    /// What only the client can do.
    Words(&'static str),
}

/// A refusal with what mends it.
struct Row {
    refusal: ShownRefusal,
    fix: Fix,
}

#[derive(Template)]
#[template(path = "portal/refusals.html")]
struct RefusalsPage<'s> {
    frame: Frame<'s>,
    base: String,
    rows: Vec<Row>,
    problem: String,
    token: String,
    tokens: Vec<String>,
    next: Option<String>,
    may_edit: bool,
    problems_url: Option<String>,
}

/// What mends a refusal of a token.
fn fix(refusal: &ShownRefusal, token: Option<&Token>) -> Fix {
    let entry = |list, value: &Option<String>| {
        let (token, value) = (token?, value.as_ref()?);
        Some(Fix::Entry { list, token: token.id.clone(), name: token.name.clone(), value: value.clone() })
    };
    let of_token = |rest: &str, words: &str| match token {
        Some(token) => Fix::Page { path: format!("/tokens/{}{rest}", token.id), words: words.to_owned() },
        None => Fix::Page { path: "/tokens".to_owned(), words: "See the tokens".to_owned() },
    };
    match &*refusal.problem {
        "ip-not-allowed" => entry("networks", &refusal.address)
            .unwrap_or_else(|| of_token("/networks", "See the addresses that it may be used from")),
        "domain-not-allowed" => entry("domains", &refusal.host)
            .unwrap_or_else(|| of_token("/domains", "Add the domain, or let requests pass that name no page")),
        "token-disabled" => match token {
            Some(token) if token.state == TokenState::Disabled => {
                Fix::Enable { token: token.id.clone(), name: token.name.clone() }
            }
            _ => of_token("", "See whether it is enabled"),
        },
        "token-expired" => of_token("", "Give it a later last day, or rotate it"),
        "product-mismatch" => of_token("", "Add the product to the token"),
        "credits-insufficient" => Fix::Page { path: "/credits".to_owned(), words: "See the credits".to_owned() },
        "rate-exceeded" => Fix::Words("Send fewer requests at once; the overview shows the rate that is left"),
        "quota-exceeded" => Fix::Words("Wait for the next day or month, or ask for a larger plan"),
        "concurrency-exceeded" => Fix::Words("Wait for answers before you send more requests"),
        _ => Fix::Words("The page of the problem says what to change in the request"),
    }
}

async fn list(at: AtAccount) -> Shown {
    shown(&at, None).await
}

async fn shown(at: &AtAccount, message: Option<Message>) -> Shown {
    let asked = Asked::get(at.api_path("/refusals")).with("limit", Some("50"));
    let asked = asked.with("problem", at.query.given("problem")).with("token", at.query.given("token"));
    let found: Rows<ShownRefusal> = at.client.ask(&asked.with("after", at.query.given("after"))).await?;
    let tokens: Vec<Token> = at.client.rows(&Asked::get(at.api_path("/tokens")), MOST_TOKENS).await?;
    let row = |refusal: ShownRefusal| {
        let of_name = |token: &&Token| Some(&token.name) == refusal.token.as_ref();
        let token =
            tokens.iter().filter(of_name).find(|token| token.state != TokenState::Revoked && token.ends_at.is_none());
        Row { fix: fix(&refusal, token), refusal }
    };
    let status = status_with(message.as_ref());
    let site = &at.look.site;
    let mut names: Vec<String> = tokens.iter().map(|token| token.name.clone()).collect();
    names.sort();
    names.dedup();
    let page = RefusalsPage {
        base: at.base(),
        rows: found.items.into_iter().map(row).collect(),
        problem: at.query.text("problem").to_owned(),
        token: at.query.text("token").to_owned(),
        tokens: names,
        next: found.next.map(|next| {
            let (problem, token) = (words::in_query(at.query.text("problem")), words::in_query(at.query.text("token")));
            format!("{}/refusals?problem={problem}&token={token}&after={next}", at.base())
        }),
        may_edit: at.may_edit(),
        problems_url: (!site.public_url.is_empty()).then(|| site.url("/problems/")),
        frame: at.frame("/refusals", "Refusals").with(message),
    };
    rendered(status, &page)
}

async fn mend(at: AtAccount) -> Shown {
    let list = match at.form.text("list") {
        "networks" => "networks",
        "domains" => "domains",
        _ => return Err(Trouble::NotFound),
    };
    let (token, value) = (at.form.text("token"), at.form.text("value"));
    let path = at.api_path(&format!("/tokens/{token}/{list}/entries"));
    let body = json!({ "value": value, "note": format!("added from a refusal on {}", words::day(at.at_ms)) });
    match at.client.ask::<Value>(&Asked::change(Method::POST, path, "*", Some(body))).await {
        Ok(_) => {
            let message = format!("{value} is added, and in force as of now. Earlier refusals stay in the list below.");
            Ok(at.done("/refusals", &message))
        }
        Err(refusal) => shown(&at, Some(above_form(refusal, &[404])?)).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(problem: &str, address: Option<&str>, host: Option<&str>) -> ShownRefusal {
        serde_json::from_value(json!({
            "id": 1, "at": "2026-11-29T10:00:00Z", "account": "acme", "token": "web", "product": "vat",
            "problem": problem, "watched": false, "reason": "", "address": address, "host": host, "requests": 3,
            "transaction_id": "x",
        }))
        .unwrap()
    }

    fn token(state: &str) -> Token {
        serde_json::from_value(json!({
            "id": "t", "account": "a", "name": "web", "hint": "tg_…", "state": state, "products": [], "expires": null,
            "ends_at": null, "networks": "enforce", "domains": "enforce", "absent": "deny", "replaces": null,
            "rates": [], "quota": {}, "last_used_at": null, "version": 1, "created_by": "x",
            "created_at": "2026-11-29T10:00:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn every_refusal_has_a_way_to_mend_it() {
        let enabled = token("enabled");
        let entry = |list, value: &str| Fix::Entry {
            list,
            token: "t".to_owned(),
            name: "web".to_owned(),
            value: value.to_owned(),
        };
        let of = |problem, address, host| fix(&refusal(problem, address, host), Some(&enabled));
        assert_eq!(of("ip-not-allowed", Some("203.0.113.9"), None), entry("networks", "203.0.113.9"));
        assert_eq!(of("domain-not-allowed", None, Some("app.example.com")), entry("domains", "app.example.com"));
        assert!(matches!(of("ip-not-allowed", None, None), Fix::Page { path, .. } if path == "/tokens/t/networks"));
        assert!(matches!(of("token-disabled", None, None), Fix::Page { .. }), "it is enabled already");
        let disabled = fix(&refusal("token-disabled", None, None), Some(&token("disabled")));
        assert_eq!(disabled, Fix::Enable { token: "t".to_owned(), name: "web".to_owned() });
        assert!(matches!(of("credits-insufficient", None, None), Fix::Page { path, .. } if path == "/credits"));
        assert!(matches!(of("body-invalid", None, None), Fix::Words(_)));
        assert!(
            matches!(fix(&refusal("token-expired", None, None), None), Fix::Page { path, .. } if path == "/tokens")
        );
    }
}
