//! A page: method, path, whom it lets in, and its handler.
//!
//! A page cannot be made without saying whom it lets in, and handlers of accounts and operators are never called for
//! others: what they take is made only here.

use std::future::Future;

use axum::body::Body;
use axum::http::{Method, Response};
use futures_util::future::BoxFuture;

use super::answer;
use super::ask::Client;
use super::visit::{AtAccount, AtDesk, Entered, Shown, Trouble, Visit};
use super::words::in_query;

type Handler = Box<dyn Fn(Visit) -> BoxFuture<'static, Shown> + Send + Sync>;

/// One page, or what a form does.
pub struct Page {
    pub method: Method,
    pub path: &'static str,
    /// Whom it lets in, in a word, for tests and documents.
    pub door: Door,
    /// It is done only for who has shown of late that it is them.
    pub is_sensitive: bool,
    handler: Handler,
}

/// Whom a page lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Everybody.
    Open,
    /// Whoever has signed in.
    SignedIn,
    /// Members of the account in the path, and operators who look.
    Account,
    /// Operators.
    Operator,
}

impl Page {
    fn of<F, R>(method: Method, path: &'static str, door: Door, handler: F) -> Page
    where
        F: Fn(Visit) -> R + Send + Sync + 'static,
        R: Future<Output = Shown> + Send + 'static,
    {
        let handler: Handler = Box::new(move |visit| Box::pin(handler(visit)));
        Page { method, path, door, is_sensitive: false, handler }
    }

    /// The same, done only for who has shown of late that it is them: whoever finds a browser open makes no token with it.
    pub fn sensitive(self) -> Page {
        Page { is_sensitive: true, ..self }
    }

    /// What the page answers to a request.
    ///
    /// # Errors
    /// Why there is no page as it was asked for.
    pub async fn show(&self, visit: Visit) -> Shown {
        (self.handler)(visit).await
    }
}

/// A page for everybody.
pub fn open<F, R>(method: Method, path: &'static str, handler: F) -> Page
where
    F: Fn(Visit) -> R + Send + Sync + Copy + 'static,
    R: Future<Output = Shown> + Send + 'static,
{
    Page::of(method, path, Door::Open, handler)
}

/// A page for whoever has signed in.
pub fn signed_in<F, R>(method: Method, path: &'static str, handler: F) -> Page
where
    F: Fn(Entered) -> R + Send + Sync + Copy + 'static,
    R: Future<Output = Shown> + Send + 'static,
{
    entered(method, path, Door::SignedIn, handler)
}

/// A page of the account that is the first value of its path.
pub fn account<F, R>(method: Method, path: &'static str, handler: F) -> Page
where
    F: Fn(AtAccount) -> R + Send + Sync + Copy + 'static,
    R: Future<Output = Shown> + Send + 'static,
{
    entered(method, path, Door::Account, move |entered| async move { handler(AtAccount::find(entered).await?).await })
}

/// A page of operators.
pub fn operator<F, R>(method: Method, path: &'static str, handler: F) -> Page
where
    F: Fn(AtDesk) -> R + Send + Sync + Copy + 'static,
    R: Future<Output = Shown> + Send + 'static,
{
    entered(method, path, Door::Operator, move |entered| async move {
        let Some(role) = entered.person.operator else { return Err(Trouble::NotFound) };
        let client = Client::operator(&entered.portal.api, &entered.person, role, entered.peer);
        handler(AtDesk { role, client, entered }).await
    })
}

/// A page whose handler is called only for somebody who has signed in.
fn entered<F, R>(method: Method, path: &'static str, door: Door, handler: F) -> Page
where
    F: Fn(Entered) -> R + Send + Sync + Copy + 'static,
    R: Future<Output = Shown> + Send + 'static,
{
    Page::of(method, path, door, move |visit| async move {
        match enter(visit) {
            Ok(entered) => handler(entered).await,
            Err(elsewhere) => Ok(*elsewhere),
        }
    })
}

/// Somebody who has signed in, or the way to do so, which leads back here.
fn enter(visit: Visit) -> Result<Entered, Box<Response<Body>>> {
    match visit.person.clone() {
        Some(person) => Ok(Entered { visit, person }),
        None => Err(Box::new(answer::see_other(&format!("/sign-in?to={}", in_query(&visit.path))))),
    }
}
