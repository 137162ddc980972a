//! The table of pages, and the way from a request to the handler of its page.
//!
//! What is refused before a handler is called is refused here, in this order: path, method, session, form (its site,
//! its size, the session's word), account or role. A row cannot be made without saying whom it lets in, and handlers
//! of accounts and operators are never called for others: what they take is made only here.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawPathParams, Request};
use axum::http::header::{REFERER, SET_COOKIE};
use axum::http::{Method, Response, StatusCode};
use axum::routing::{MethodFilter, MethodRouter};
use futures_util::future::BoxFuture;

use super::ask::{Client, Refusal};
use super::form::{self, Refused, Values};
use super::frame::Message;
use super::sign_in::{SignIn, again, session};
use super::visit::{AtAccount, AtDesk, Entered, Shown, Trouble, Visit};
use super::{Portal, answer, pages, sign_in};
use crate::config::portal::PortalSettings;
use crate::gateway::Gateway;
use crate::operate::api::access::Api;
use crate::operate::api::client::InProcess;
use crate::operate::api::connection::Peer;
use crate::platform::clock::unix_milliseconds;

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
    /// The same, done only for who has shown of late that it is them: whoever finds a browser open makes no token with it.
    pub fn sensitive(self) -> Page {
        Page { is_sensitive: true, ..self }
    }
}

/// A page for everybody.
pub fn open<F, R>(method: Method, path: &'static str, handler: F) -> Page
where
    F: Fn(Visit) -> R + Send + Sync + Copy + 'static,
    R: Future<Output = Shown> + Send + 'static,
{
    Page {
        method,
        path,
        door: Door::Open,
        is_sensitive: false,
        handler: Box::new(move |visit| Box::pin(handler(visit))),
    }
}

/// A page for whoever has signed in.
pub fn signed_in<F, R>(method: Method, path: &'static str, handler: F) -> Page
where
    F: Fn(Entered) -> R + Send + Sync + Copy + 'static,
    R: Future<Output = Shown> + Send + 'static,
{
    let handler: Handler = Box::new(move |visit| {
        Box::pin(async move {
            match enter(visit) {
                Ok(entered) => handler(entered).await,
                Err(elsewhere) => Ok(*elsewhere),
            }
        })
    });
    Page { method, path, door: Door::SignedIn, is_sensitive: false, handler }
}

/// A page of the account that is the first value of its path.
pub fn account<F, R>(method: Method, path: &'static str, handler: F) -> Page
where
    F: Fn(AtAccount) -> R + Send + Sync + Copy + 'static,
    R: Future<Output = Shown> + Send + 'static,
{
    let handler: Handler = Box::new(move |visit| {
        Box::pin(async move {
            match enter(visit) {
                Ok(entered) => handler(AtAccount::find(entered).await?).await,
                Err(elsewhere) => Ok(*elsewhere),
            }
        })
    });
    Page { method, path, door: Door::Account, is_sensitive: false, handler }
}

/// A page of operators.
pub fn operator<F, R>(method: Method, path: &'static str, handler: F) -> Page
where
    F: Fn(AtDesk) -> R + Send + Sync + Copy + 'static,
    R: Future<Output = Shown> + Send + 'static,
{
    let handler: Handler = Box::new(move |visit| {
        Box::pin(async move {
            let entered = match enter(visit) {
                Ok(entered) => entered,
                Err(elsewhere) => return Ok(*elsewhere),
            };
            let Some(role) = entered.person.operator else { return Err(Trouble::NotFound) };
            let client = Client::operator(&entered.portal.api, &entered.person, role, entered.peer);
            handler(AtDesk { role, client, entered }).await
        })
    });
    Page { method, path, door: Door::Operator, is_sensitive: false, handler }
}

/// Somebody who has signed in, or the way to do so, which leads back here.
fn enter(visit: Visit) -> Result<Entered, Box<Response<Body>>> {
    match visit.person.clone() {
        Some(person) => Ok(Entered { visit, person }),
        None => {
            let back: String = url::form_urlencoded::byte_serialize(visit.path.as_bytes()).collect();
            Err(Box::new(answer::see_other(&format!("/sign-in?to={back}"))))
        }
    }
}

/// The router over all pages.
///
/// # Errors
/// When the API cannot be set up, or two rows have one path and method.
pub fn router(settings: PortalSettings, api: &Arc<Api>, gateway: &Arc<Gateway>) -> Result<Router, String> {
    let (store, gateway) = (Arc::clone(&api.store), Arc::clone(gateway));
    let sign_in = SignIn::of(&settings, &store)?;
    let portal = Arc::new(Portal { api: InProcess::new(api)?, store, settings, gateway, sign_in });
    Ok(over(&portal, all()))
}

/// Every page.
pub fn all() -> Vec<Page> {
    let parts = [sign_in::pages(), pages::all()];
    parts.into_iter().flatten().collect()
}

fn over(portal: &Arc<Portal>, pages: Vec<Page>) -> Router {
    let mut paths: Vec<(&'static str, Vec<Page>)> = Vec::new();
    for page in pages {
        match paths.iter_mut().find(|(path, _)| *path == page.path) {
            Some((_, of_path)) => of_path.push(page),
            None => paths.push((page.path, vec![page])),
        }
    }
    let mut router = Router::new();
    for (path, of_path) in paths {
        let mut methods = MethodRouter::new();
        for page in of_path {
            let Ok(filter) = MethodFilter::try_from(page.method.clone()) else { continue };
            let (portal, page) = (Arc::clone(portal), Arc::new(page));
            methods = methods.on(filter, move |values: RawPathParams, request: Request| {
                let page = values.iter().all(|(name, value)| is_value(name, value)).then(|| Arc::clone(&page));
                let values = values.iter().map(|(_, value)| value.to_owned()).collect();
                serve(Arc::clone(&portal), page, values, request)
            });
        }
        let portal = Arc::clone(portal);
        let other = move |request: Request| serve(Arc::clone(&portal), None, Vec::new(), request);
        router = router.route(path, methods.fallback(other));
    }
    let portal = Arc::clone(portal);
    router.fallback(move |request: Request| serve(Arc::clone(&portal), None, Vec::new(), request))
}

/// Whether a value of a path can be what its name says. Ids become parts of paths of the API, and must not lead to others:
/// `ID/close#` before `/suspend` would close an account.
fn is_value(name: &str, value: &str) -> bool {
    let is_free = matches!(name, "product" | "problem");
    is_free || value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

async fn serve(portal: Arc<Portal>, page: Option<Arc<Page>>, values: Vec<String>, request: Request) -> Response<Body> {
    let at_ms = unix_milliseconds();
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().copied();
    let session = session::current(&portal, &parts.headers, peer, at_ms).await;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let query = Values::read(parts.uri.query().unwrap_or_default().as_bytes());
    let form = match parts.method {
        Method::POST if page.is_some() => Some(form::read(&parts.headers, body).await),
        _ => None,
    };
    let is_ours = form::is_of_this_site(&parts.headers, &portal.settings.public_url);
    let (form, refused) = match form {
        Some(Ok(form)) => (form, None),
        Some(Err(refused)) => (Values::default(), Some(refused)),
        None => (Values::default(), None),
    };
    let is_post = parts.method == Method::POST;
    let look = portal.look();
    let visit = Visit { portal, look, person: session, headers: parts.headers, path, values, query, form, peer, at_ms };
    // After its handler, nobody has what the page of an error is made with.
    let context = Context::of(&visit);
    let Some(page) = page else { return context.trouble(Trouble::NotFound) };
    let own_word = visit.person.as_ref().is_none_or(|person| form::is_same(visit.form.raw("csrf"), &person.csrf));
    if is_post && (refused.is_some() || !is_ours || !own_word) {
        return context.refuse(refused.unwrap_or(Refused::NotOurs));
    }
    if let (true, Some(person)) = (page.is_sensitive, visit.person.clone()) {
        let entered = Entered { visit, person };
        if let Some(elsewhere) = again::needed(&entered, &before(&entered)) {
            return elsewhere;
        }
        return context.answer((page.handler)(entered.visit).await);
    }
    context.answer((page.handler)(visit).await)
}

/// The page that a form was sent from, if it was one of the portal.
fn before(visit: &Visit) -> String {
    let referer = visit.headers.get(REFERER).and_then(|referer| url::Url::parse(referer.to_str().ok()?).ok());
    referer.map_or_else(|| "/".to_owned(), |referer| referer.path().to_owned())
}

/// What pages of errors are made with.
struct Context(Visit);

impl Context {
    fn of(visit: &Visit) -> Context {
        Context(Visit {
            portal: Arc::clone(&visit.portal),
            look: Arc::clone(&visit.look),
            person: visit.person.clone(),
            headers: visit.headers.clone(),
            path: visit.path.clone(),
            values: Vec::new(),
            query: Values::default(),
            form: Values::default(),
            peer: visit.peer,
            at_ms: visit.at_ms,
        })
    }

    fn answer(&self, shown: Shown) -> Response<Body> {
        shown.unwrap_or_else(|trouble| self.trouble(trouble))
    }

    fn trouble(&self, trouble: Trouble) -> Response<Body> {
        let (status, message) = match trouble {
            Trouble::NotFound | Trouble::Refused(Refusal::Nowhere) => {
                let text = "The address may be misspelt, or what it led to is not there any more, or not yours to see.";
                (StatusCode::NOT_FOUND, Message::bad("There is no such page", text))
            }
            Trouble::Refused(Refusal::Told(told)) => {
                let status = StatusCode::from_u16(told.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (status, Message::refused(&told))
            }
            Trouble::Refused(Refusal::Broken(why)) => failed(&why),
            Trouble::Template(error) => failed(&error.to_string()),
        };
        self.0.told(status, message)
    }

    fn refuse(&self, refused: Refused) -> Response<Body> {
        let (status, title, text) = match refused {
            Refused::NotOurs => (
                StatusCode::FORBIDDEN,
                "This form was not sent by this site, or is too old",
                "Nothing was changed. Open the page again, and send the form from there.",
            ),
            Refused::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "This is too much at once",
                "A form may have 2 MiB. Nothing was changed.",
            ),
            Refused::Broken => {
                (StatusCode::BAD_REQUEST, "The form did not arrive whole", "Nothing was changed. Please send it again.")
            }
        };
        self.0.told(status, Message::bad(title, text))
    }
}

fn failed(why: &str) -> (StatusCode, Message) {
    log::error!("a page of the portal cannot be shown: {why}");
    let text = "It is not your fault, and the gateway's log says what is wrong. Please try again in a while.";
    (StatusCode::INTERNAL_SERVER_ERROR, Message::bad("This page cannot be shown at the moment", text))
}

/// Adds a cookie to an answer.
pub fn with_cookie(mut response: Response<Body>, cookie: &str) -> Response<Body> {
    if let Ok(value) = cookie.parse() {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}
