//! Where people begin: the one account that they have, a choice of several, or the desk of operators. And the pages
//! that problem details lead to, which lead on to what mends the problem.

use askama::Template;
use axum::http::{Method, StatusCode};

use crate::portal::answer;
use crate::portal::frame::{Frame, may_see};
use crate::portal::page::{Page, signed_in};
use crate::portal::person::{Membership, SignedIn};
use crate::portal::visit::{Entered, Shown, rendered};
use crate::portal::words;

/// These pages.
pub fn pages() -> Vec<Page> {
    vec![
        signed_in(Method::GET, "/", start),
        signed_in(Method::GET, "/accounts", choose),
        signed_in(Method::GET, "/fix/{problem}", fix),
    ]
}

async fn start(entered: Entered) -> Shown {
    Ok(answer::see_other(&first(&entered.person)))
}

/// Where somebody begins.
fn first(person: &SignedIn) -> String {
    match (person.operator, &*person.memberships) {
        (Some(_), []) => "/operator".to_owned(),
        (None, [only]) => format!("/accounts/{}", only.account),
        _ => "/accounts".to_owned(),
    }
}

#[derive(Template)]
#[template(path = "portal/accounts.html")]
struct Accounts<'s> {
    frame: Frame<'s>,
    memberships: &'s [Membership],
    is_operator: bool,
    /// What every link of an account goes on with.
    rest: String,
}

async fn choose(entered: Entered) -> Shown {
    shown(&entered, String::new())
}

fn shown(entered: &Entered, rest: String) -> Shown {
    let person = &entered.person;
    let frame = entered.frame("Accounts");
    let page = Accounts { frame, memberships: &person.memberships, is_operator: person.operator.is_some(), rest };
    rendered(StatusCode::OK, &page)
}

/// The page that mends a problem, below an account's.
pub fn page_for(problem: &str) -> &'static str {
    match problem {
        "credits-insufficient" | "credits-unavailable" => "/credits",
        "rate-exceeded" | "quota-exceeded" | "concurrency-exceeded" => "/usage",
        "ip-not-allowed" | "domain-not-allowed" => "/refusals",
        problem if problem.starts_with("token-") || problem == "product-mismatch" => "/tokens",
        _ => "/refusals",
    }
}

async fn fix(entered: Entered) -> Shown {
    let page = page_for(entered.value(0));
    match (&entered.person.operator, &*entered.person.memberships) {
        (_, [only]) => {
            let page = if may_see(only.role, page) { page } else { "" };
            Ok(answer::see_other(&format!("/accounts/{}{page}", only.account)))
        }
        (Some(_), []) => Ok(answer::see_other("/operator")),
        _ => shown(&entered, page.to_owned()),
    }
}
