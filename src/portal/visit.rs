//! What the handler of a page is given: who looks at it, what was sent, and the API as that person asks it.

use std::ops::Deref;
use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};

use super::answer;
use super::ask::{Client, Refusal};
use super::form::Values;
use super::frame::{Frame, Message};
use super::look::{self, Look};
use super::person::SignedIn;
use super::state::Portal;
use super::words::in_query;
use crate::gateway::snapshot::Settings;
use crate::ledger::store::randomness::hexadecimal;
use crate::ledger::store::records::Role;
use crate::operate::api::client::Asked;
use crate::operate::api::connection::Peer;
use crate::operate::api::shown::Account;
use crate::platform::constant_time::is_same;
use crate::policy::account::Digest;

/// What a handler answers. What it cannot show is a page as well.
pub type Shown = Result<Response<Body>, Trouble>;

/// Why there is no page as it was asked for.
#[derive(Debug)]
pub enum Trouble {
    /// There is no such page, or not for this person.
    NotFound,
    /// The API has refused.
    Refused(Refusal),
    /// The page could not be made.
    Template(askama::Error),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Trouble {
        if refusal.status() == 404 { Trouble::NotFound } else { Trouble::Refused(refusal) }
    }
}

impl From<askama::Error> for Trouble {
    fn from(error: askama::Error) -> Trouble {
        Trouble::Template(error)
    }
}

/// One request of a page.
pub struct Visit {
    pub portal: Arc<Portal>,
    /// The configuration in force, with the look of the pages.
    pub look: Arc<Settings>,
    /// Who has signed in, if anybody has.
    pub person: Option<SignedIn>,
    pub headers: HeaderMap,
    pub path: String,
    /// The values in the path, in its order.
    pub values: Vec<String>,
    pub query: Values,
    /// What was sent; empty unless the method is POST.
    pub form: Values,
    /// Where the browser is, as far as that is known.
    pub peer: Option<Peer>,
    /// Who has made the connection: the browser, or a proxy in front.
    pub connection: Option<Peer>,
    /// When it came, in milliseconds since 1970 in UTC.
    pub at_ms: i64,
}

impl Visit {
    /// A value of the path.
    pub fn value(&self, index: usize) -> &str {
        self.values.get(index).map_or("", String::as_str)
    }

    /// The frame of a page.
    pub fn frame(&self, title: impl Into<String>) -> Frame<'_> {
        Frame::new(&self.look.site, self.person.as_ref(), title)
    }

    /// What was done before this page was opened, as a redirect of the same session has said it. A link of somebody else
    /// puts no words onto a page.
    pub fn done_before(&self) -> Option<Message> {
        let (message, person) = (self.query.given("done")?, self.person.as_ref()?);
        is_same(mark(&person.csrf, message).as_bytes(), self.query.text("mark").as_bytes())
            .then(|| Message::done(message))
    }

    /// A page with this text, of something that went wrong or is done.
    pub fn told(&self, status: StatusCode, message: Message) -> Response<Body> {
        told(&self.look, self.person.as_ref(), status, message)
    }
}

/// A request of somebody who has signed in.
pub struct Entered {
    pub visit: Visit,
    pub person: SignedIn,
}

impl Deref for Entered {
    type Target = Visit;

    fn deref(&self) -> &Visit {
        &self.visit
    }
}

/// A request of an operator.
pub struct AtDesk {
    pub entered: Entered,
    pub role: Role,
    pub client: Client,
}

impl Deref for AtDesk {
    type Target = Entered;

    fn deref(&self) -> &Entered {
        &self.entered
    }
}

impl AtDesk {
    /// The frame of a page of operators, with their menu.
    pub fn frame(&self, section: &'static str, title: impl Into<String>) -> Frame<'_> {
        self.entered.visit.frame(title).at_desk(section)
    }

    /// To the page of a path, with a message.
    pub fn done(&self, path: &str, message: &str) -> Response<Body> {
        see_other_with(&self.person, path, message)
    }
}

/// A request about one account: of its members, or of an operator who looks at it.
pub struct AtAccount {
    pub entered: Entered,
    pub account: Account,
    pub role: Role,
    pub client: Client,
}

impl Deref for AtAccount {
    type Target = Entered;

    fn deref(&self) -> &Entered {
        &self.entered
    }
}

impl AtAccount {
    /// The account that the path names, if this person may see it. An account of somebody else is as one that is not
    /// there. That an operator looks is in the account's history.
    ///
    /// # Errors
    /// That it is not there, or that the look cannot be noted.
    pub async fn find(entered: Entered) -> Result<AtAccount, Trouble> {
        let id = entered.value(0).to_owned();
        let (api, person, peer) = (&entered.portal.api, &entered.person, entered.peer);
        let own = person.memberships.iter().find(|membership| membership.account == id);
        let (client, role) = match (own, person.operator) {
            (Some(own), _) => (Client::member(api, person, &id, own.role, peer), own.role),
            (None, Some(role)) => (Client::looking(api, person, role, peer), role),
            (None, None) => return Err(Trouble::NotFound),
        };
        let account: Account = client.ask(&Asked::get(format!("/accounts/{id}"))).await?;
        if own.is_none() {
            let address = peer.map_or_else(String::new, |peer| peer.0.to_string());
            let look = Look { user: &person.user, session: &person.session, address, at_ms: entered.at_ms };
            let noted = look::note(&entered.portal.store, look, &account).await;
            noted.map_err(|error| Trouble::Refused(Refusal::Broken(error.to_string())))?;
        }
        Ok(AtAccount { account, role, client, entered })
    }

    /// Where the account's pages are.
    pub fn base(&self) -> String {
        format!("/accounts/{}", self.account.id)
    }

    /// A path of the API below the account.
    pub fn api_path(&self, rest: &str) -> String {
        format!("/accounts/{}{rest}", self.account.id)
    }

    /// Whether this person may change tokens, lists and alerts.
    pub fn may_edit(&self) -> bool {
        matches!(self.role, Role::Owner | Role::Member)
    }

    /// Whether this person may change members and keys.
    pub fn may_own(&self) -> bool {
        self.role == Role::Owner
    }

    /// The frame of a page of the account, with its menu.
    pub fn frame(&self, section: &'static str, title: impl Into<String>) -> Frame<'_> {
        let name = if self.account.display.is_empty() { &self.account.name } else { &self.account.display };
        let message = self.done_before();
        self.entered.visit.frame(title).at_account(&self.account.id, name, self.role, section).with(message)
    }

    /// To a page below the account's, with a message.
    pub fn done(&self, rest: &str, message: &str) -> Response<Body> {
        see_other_with(&self.person, &format!("{}{rest}", self.base()), message)
    }
}

#[derive(Template)]
#[template(path = "portal/told.html")]
struct ToldPage<'s> {
    frame: Frame<'s>,
    message: Message,
    has_session: bool,
}

/// What is said above a form that the API has refused.
///
/// # Errors
/// The refusal, where it is not about what was sent: those are 400, 403, 409, 412 and 422, and `also`.
pub fn above_form(refusal: Refusal, also: &[u16]) -> Result<Message, Trouble> {
    match refusal {
        Refusal::Told(told) if matches!(told.status, 400 | 403 | 409 | 412 | 422) || also.contains(&told.status) => {
            Ok(Message::refused(&told))
        }
        refusal => Err(refusal.into()),
    }
}

/// The status of a page with a message, or without one.
pub fn status_with(message: Option<&Message>) -> StatusCode {
    message.map_or(StatusCode::OK, |message| message.status)
}

/// A page that is made of a template.
///
/// # Errors
/// Those of the template.
pub fn rendered(status: StatusCode, template: &impl Template) -> Shown {
    Ok(answer::html(status, template.render()?))
}

/// A page with nothing but a message.
pub fn told(look: &Settings, person: Option<&SignedIn>, status: StatusCode, message: Message) -> Response<Body> {
    let frame = Frame::new(&look.site, person, message.title.clone());
    let page = ToldPage { has_session: person.is_some(), frame, message };
    match page.render() {
        Ok(text) => answer::html(status, text),
        Err(error) => {
            log::error!("a page of the portal cannot be made: {error}");
            answer::plain(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", "The portal has failed.")
        }
    }
}

/// To a page, which shows a message above its text.
fn see_other_with(person: &SignedIn, path: &str, message: &str) -> Response<Body> {
    let mark = mark(&person.csrf, message);
    let message = in_query(message);
    let joint = if path.contains('?') { '&' } else { '?' };
    answer::see_other(&format!("{path}{joint}done={message}&mark={mark}"))
}

/// What shows that a session has said something itself.
fn mark(csrf: &str, message: &str) -> String {
    let digest = Digest::of(format!("{csrf}\n{message}").as_bytes());
    hexadecimal(&digest.bytes()[..16])
}
