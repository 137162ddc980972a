//! The table of pages, and the way from a request to the handler of its page.
//!
//! What is refused before a handler is called is refused here, in this order: path, method, session, form (its site,
//! its size, the session's word), proof again where the page is sensitive, account or role.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawPathParams, Request};
use axum::http::header::REFERER;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::routing::{MethodFilter, MethodRouter};

use super::ask::Refusal;
use super::form::{self, Refused, Values};
use super::frame::Message;
use super::page::Page;
use super::person::SignedIn;
use super::sign_in::{again, session};
use super::state::{Portal, SignIn};
use super::visit::{Shown, Trouble, Visit, told};
use super::{change_mail, pages, sign_in};
use crate::config::portal::PortalSettings;
use crate::gateway::Gateway;
use crate::gateway::snapshot::Settings;
use crate::operate::api::access::Api;
use crate::operate::api::client::InProcess;
use crate::operate::api::connection::Peer;
use crate::platform::clock::unix_milliseconds;
use crate::platform::constant_time::is_same;
use crate::policy::check::network::{self, Client};
use crate::policy::http::head::{self, Lines};

/// The router over all pages.
///
/// # Errors
/// When the API cannot be set up, or two rows have one path and method.
pub fn router(settings: PortalSettings, api: &Arc<Api>, gateway: &Arc<Gateway>) -> Result<Router, String> {
    let (store, gateway) = (Arc::clone(&api.store), Arc::clone(gateway));
    let sign_in = SignIn::of(&settings, &store)?;
    let portal = Arc::new(Portal { api: InProcess::new(api)?, store, settings, gateway, sign_in });
    change_mail::start(&portal, api.ledger.clone());
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
    let person = session::current(&portal, &parts.headers, peer, at_ms).await;
    let context = Context { look: portal.look(), person };
    let Some(page) = page else { return context.trouble(Trouble::NotFound) };
    let form = if parts.method == Method::POST {
        match own_form(&portal, context.person.as_ref(), &parts.headers, body).await {
            Ok(form) => form,
            Err(refused) => return context.refuse(refused),
        }
    } else {
        Values::default()
    };
    let visit = Visit {
        peer: peer.map(|peer| client(&portal, peer, &parts.headers)),
        look: Arc::clone(&context.look),
        person: context.person.clone(),
        path: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        query: Values::read(parts.uri.query().unwrap_or_default().as_bytes()),
        portal,
        headers: parts.headers,
        values,
        form,
        connection: peer,
        at_ms,
    };
    if let (true, Some(person)) = (page.is_sensitive, &context.person)
        && let Some(elsewhere) = again::needed(person, at_ms, &before(&visit.headers))
    {
        return elsewhere;
    }
    context.answer(page.show(visit).await)
}

/// Where a browser is: behind one of the configuration's `trusted_proxies`, where that says.
fn client(portal: &Portal, peer: Peer, headers: &HeaderMap) -> Peer {
    let fields: Vec<httparse::Header<'_>> = headers
        .get_all("x-forwarded-for")
        .iter()
        .map(|value| httparse::Header { name: "x-forwarded-for", value: value.as_bytes() })
        .collect();
    let lines = Lines { fields: &fields, ..Lines::UNREADABLE };
    let policy = &portal.gateway.snapshot().policy;
    match network::client(&policy.trusted_proxies, head::Peer::Address(peer.0), &lines) {
        Client::Address(address) => Peer(address),
        Client::Unknown => peer,
    }
}

/// The form of a request, if a page of this portal has sent it, which the session's word shows.
async fn own_form(
    portal: &Portal,
    person: Option<&SignedIn>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Values, Refused> {
    if !form::is_of_this_site(headers, &portal.settings.public_url) {
        return Err(Refused::NotOurs);
    }
    let form = form::read(headers, body).await?;
    let has_word = person.is_none_or(|person| is_same(form.raw("csrf").as_bytes(), person.csrf.as_bytes()));
    if has_word { Ok(form) } else { Err(Refused::NotOurs) }
}

/// The page that a form was sent from, if it was one of the portal.
fn before(headers: &HeaderMap) -> String {
    let referer = headers.get(REFERER).and_then(|referer| url::Url::parse(referer.to_str().ok()?).ok());
    referer.map_or_else(|| "/".to_owned(), |referer| referer.path().to_owned())
}

/// What pages of errors are made with, also after a handler has taken the request.
struct Context {
    look: Arc<Settings>,
    person: Option<SignedIn>,
}

impl Context {
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
        told(&self.look, self.person.as_ref(), status, message)
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
        told(&self.look, self.person.as_ref(), status, Message::bad(title, text))
    }
}

fn failed(why: &str) -> (StatusCode, Message) {
    log::error!("a page of the portal cannot be shown: {why}");
    let text = "It is not your fault, and the gateway's log says what is wrong. Please try again in a while.";
    (StatusCode::INTERNAL_SERVER_ERROR, Message::bad("This page cannot be shown at the moment", text))
}
