//! What operators ask the process: health, metrics, upstreams, and the credits of accounts.
//!
//! The listener is loopback unless the configuration says otherwise. Credits are money: a browser
//! cannot be made to ask for them, since requests with an `Origin` are refused, and from another
//! machine the configuration's token is needed. Clients of the lookup APIs never come here.

pub mod client;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::policy::account::Digest;
use crate::config::shown;
use crate::gateway::Gateway;
use crate::ledger::entry::{FIRST_GRANT, Kind, Statement};
use crate::ledger::store::MAX_PAGE_ROWS;
use crate::ledger::{Correction, Ledger, Page, Refusal};
use crate::policy::credits::balance::MAX_CREDITS;
use crate::policy::credits::CreditAccount;
use crate::operate::reload::Reloader;
use crate::site::status::notice::{self, NoticeBody, Shown, Wanted};
use crate::operate::status_recorder::{self, Recorder, unix_seconds};
use crate::operate::upgrade::Upgrader;

/// Bytes of a request's body: a correction is a few words.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Characters of a key, of an operator's name, and of a reason.
const MAX_WORDS: usize = 500;

/// Answers operators.
pub struct Admin {
    gateway: Arc<Gateway>,
    ledger: Arc<Ledger>,
    recorder: Recorder,
    registry: Registry,
    operators: Operators,
    /// Other machines can reach the listener.
    exposed: bool,
}

/// What operators may do, and who they are.
pub struct Operators {
    /// `None` for a configuration that is no file.
    pub reloader: Option<Reloader>,
    /// `None` for the same reason.
    pub upgrader: Option<Upgrader>,
    pub token: Option<Digest>,
}

/// A refusal of an operator's request: the status, and what to do instead.
type AdminError = (StatusCode, Cow<'static, str>);

/// A grant or an adjustment, as it is sent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorrectionBody {
    /// Credits; an adjustment may be negative.
    pub amount: i64,
    /// Who says so. Default: `admin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(default)]
    pub why: String,
}

/// The answer to an upgrade.
#[derive(Debug, Serialize, Deserialize)]
pub struct Upgraded {
    pub status: String,
    /// The number of the process that serves now.
    pub process: u32,
}

impl Admin {
    /// An admin listener at an address, which shows these metrics.
    pub fn new(
        gateway: Arc<Gateway>,
        ledger: Arc<Ledger>,
        recorder: Recorder,
        registry: Registry,
        address: SocketAddr,
        operators: Operators,
    ) -> Admin {
        let exposed = !address.ip().to_canonical().is_loopback();
        Admin { gateway, ledger, recorder, registry, operators, exposed }
    }

    async fn answer(&self, session: &mut ServerSession) -> Result<(StatusCode, Value), AdminError> {
        let head = session.req_header();
        let (method, uri, headers) = (head.method.clone(), head.uri.clone(), head.headers.clone());
        let segments: Vec<String> = uri
            .path()
            .split('/')
            .skip(1)
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        if segments == ["healthz"] {
            return only(&method, Method::GET).map(|()| (StatusCode::OK, json!({ "status": "ok" })));
        }
        if segments == ["readyz"] {
            only(&method, Method::GET)?;
            return Ok(self.readiness());
        }
        self.authorize(&headers)?;
        let query = uri.query().unwrap_or_default();
        match segments.as_slice() {
            ["upstreams"] => only(&method, Method::GET).map(|()| (StatusCode::OK, self.gateway.upstreams().as_json())),
            ["config"] => only(&method, Method::GET).map(|()| (StatusCode::OK, self.config())),
            ["reload"] => {
                only(&method, Method::POST)?;
                self.reload().await
            }
            ["upgrade"] => {
                only(&method, Method::POST)?;
                self.upgrade().await
            }
            ["status", rest @ ..] => self.status(rest, &method, session).await,
            ["credits"] => {
                only(&method, Method::GET)?;
                Ok((StatusCode::OK, self.balances(number(query, "skip")?, number(query, "limit")?)))
            }
            ["credits", "entries"] => {
                only(&method, Method::GET)?;
                self.entries(None, query).await
            }
            ["accounts", account, "credits"] => {
                only(&method, Method::GET)?;
                let register = self.ledger.register_of_licences();
                let of_account = register.all().iter().filter(|credit_account| *credit_account.account == **account);
                let balances: Vec<Statement> = of_account.map(Statement::of).collect();
                if balances.is_empty() {
                    return Err(unknown_account());
                }
                Ok((StatusCode::OK, json!({ "balances": balances })))
            }
            ["accounts", account, "credits", product, rest @ ..] => {
                let credit_account = &self.ledger.credit_account(account, product).ok_or_else(unknown_account)?;
                match rest {
                    [] => only(&method, Method::GET).map(|()| (StatusCode::OK, json!(Statement::of(credit_account)))),
                    ["history"] => {
                        only(&method, Method::GET)?;
                        self.entries(Some(Arc::clone(credit_account)), query).await
                    }
                    ["grants"] => {
                        only(&method, Method::POST)?;
                        self.correct(credit_account, Kind::Grant, &headers, session).await
                    }
                    ["adjustments"] => {
                        only(&method, Method::POST)?;
                        self.correct(credit_account, Kind::Adjustment, &headers, session).await
                    }
                    _ => Err(no_page()),
                }
            }
            _ => Err(no_page()),
        }
    }

    /// Lets an operator at what is not for everybody.
    fn authorize(&self, headers: &HeaderMap) -> Result<(), AdminError> {
        if headers.contains_key(header::ORIGIN) {
            return Err((StatusCode::FORBIDDEN, "Requests of web pages are refused here. Use a program.".into()));
        }
        let shown = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
            .map(Digest::of);
        match (&self.operators.token, shown) {
            (Some(wanted), Some(shown)) if *wanted == shown => Ok(()),
            (Some(_), _) => Err((
                StatusCode::UNAUTHORIZED,
                "The admin token is missing or wrong. Send it as Authorization: Bearer TOKEN.".into(),
            )),
            (None, _) if self.exposed => Err((
                StatusCode::FORBIDDEN,
                "Other machines can reach this listener. Give the configuration an admin_token to ask for this.".into(),
            )),
            (None, _) => Ok(()),
        }
    }

    /// Whether clients should be sent here: not any more once the process is to end, unless a
    /// successor serves here already.
    fn readiness(&self) -> (StatusCode, Value) {
        let handed_over = self.operators.upgrader.as_ref().is_some_and(Upgrader::has_handed_over);
        if self.gateway.is_stopping() && !handed_over {
            (StatusCode::SERVICE_UNAVAILABLE, json!({ "status": "stopping" }))
        } else {
            (StatusCode::OK, json!({ "status": "ready" }))
        }
    }

    /// The configuration in force.
    fn config(&self) -> Value {
        let policy = &self.gateway.snapshot().policy;
        let mut config = policy.shown.clone();
        let (accounts, number) = shown::accounts(policy);
        if let Some(config) = config.as_object_mut() {
            config.insert("accounts".to_owned(), accounts);
        }
        json!({ "config": config, "accounts_in_all": number })
    }

    async fn reload(&self) -> Result<(StatusCode, Value), AdminError> {
        let Some(reloader) = &self.operators.reloader else {
            return Err((StatusCode::CONFLICT, "The configuration is part of the program. It cannot change.".into()));
        };
        match reloader.reload().await {
            Ok(summary) => Ok((StatusCode::OK, json!({ "status": "reloaded", "detail": summary }))),
            Err(mistakes) => Err((StatusCode::UNPROCESSABLE_ENTITY, format!("Nothing was changed. {mistakes}").into())),
        }
    }

    async fn upgrade(&self) -> Result<(StatusCode, Value), AdminError> {
        let Some(upgrader) = &self.operators.upgrader else {
            return Err((StatusCode::CONFLICT, "The demo has no successor. End it, and start it again.".into()));
        };
        match upgrader.upgrade().await {
            Ok(process) => Ok((StatusCode::OK, json!(Upgraded { status: "upgraded".to_owned(), process }))),
            Err(why) => Err((StatusCode::CONFLICT, format!("Nothing was changed. {why}").into())),
        }
    }

    /// What operators say on the status page.
    async fn status(
        &self,
        rest: &[&str],
        method: &Method,
        session: &mut ServerSession,
    ) -> Result<(StatusCode, Value), AdminError> {
        let wanted = match rest {
            ["notices"] => {
                only(method, Method::GET)?;
                let notices = self.recorder.list().await.map_err(not_taken)?;
                return Ok((StatusCode::OK, json!({ "notices": notices })));
            }
            ["notices", id, "close"] => {
                only(method, Method::POST)?;
                let id = id.parse().map_err(|_| not_taken(status_recorder::Refused::Unknown))?;
                let closed = self.recorder.close(id).await.map_err(not_taken)?;
                return Ok((StatusCode::OK, json!(Shown::of(&closed, unix_seconds()))));
            }
            ["notes"] => Wanted::Note,
            ["maintenance"] => Wanted::Maintenance,
            _ => return Err(no_page()),
        };
        only(method, Method::POST)?;
        let bytes = read_body(session).await?;
        let body: NoticeBody = serde_json::from_slice(&bytes).map_err(|_| {
            let what = "The body is not understood. Send {\"text\": \"…\", \"product\": \"phone\", \"by\": \"ann\"}, and for \
                        maintenance from and to, as in 2026-11-25T22:00:00Z.";
            (StatusCode::BAD_REQUEST, what.into())
        })?;
        let now = unix_seconds();
        let notice = notice::notice(wanted, body, now).map_err(|what| (StatusCode::BAD_REQUEST, what.into()))?;
        let added = self.recorder.add(notice).await.map_err(not_taken)?;
        Ok((StatusCode::CREATED, json!(Shown::of(&added, now))))
    }

    fn balances(&self, skip: Option<u64>, limit: Option<u64>) -> Value {
        let as_count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let limit = limit.unwrap_or(u64::from(MAX_PAGE_ROWS)).clamp(1, u64::from(MAX_PAGE_ROWS));
        let register = self.ledger.register_of_licences();
        let page = register.all().iter().skip(skip.map_or(0, as_count)).take(as_count(limit));
        json!({ "balances": page.map(Statement::of).collect::<Vec<_>>() })
    }

    async fn entries(&self, credit_account: Option<Arc<CreditAccount>>, query: &str) -> Result<(StatusCode, Value), AdminError> {
        let after = i64::try_from(number(query, "after")?.unwrap_or(0)).unwrap_or(i64::MAX);
        let rows = number(query, "limit")?.unwrap_or(u64::from(MAX_PAGE_ROWS));
        let rows = u32::try_from(rows).unwrap_or(MAX_PAGE_ROWS);
        let entries = self.ledger.page(Page { credit_account, after, rows }).wait().await.map_err(refused)?;
        Ok((StatusCode::OK, json!({ "entries": entries })))
    }

    async fn correct(
        &self,
        credit_account: &Arc<CreditAccount>,
        kind: Kind,
        headers: &HeaderMap,
        session: &mut ServerSession,
    ) -> Result<(StatusCode, Value), AdminError> {
        let key = headers.get("Idempotency-Key").and_then(|key| key.to_str().ok()).map(unquoted);
        let bytes = read_body(session).await?;
        let body: CorrectionBody = serde_json::from_slice(&bytes).map_err(|_| {
            let what = "The body is not understood. Send {\"amount\": 100, \"by\": \"ann\", \"why\": \"invoice 17\"}.";
            (StatusCode::BAD_REQUEST, what.into())
        })?;
        let correction =
            correction(Arc::clone(credit_account), kind, key, body).map_err(|what| (StatusCode::BAD_REQUEST, what))?;
        let corrected = self.ledger.correct(correction).wait().await.map_err(refused)?;
        let status = if corrected.again { StatusCode::OK } else { StatusCode::CREATED };
        Ok((status, json!(corrected)))
    }
}

/// Checks an operator's correction.
///
/// # Errors
/// What to write instead.
pub fn correction(
    credit_account: Arc<CreditAccount>,
    kind: Kind,
    key: Option<&str>,
    body: CorrectionBody,
) -> Result<Correction, Cow<'static, str>> {
    let CorrectionBody { amount, by, why } = body;
    let by = by.unwrap_or_else(|| "admin".to_owned());
    let Some(key) = key.filter(|key| !key.trim().is_empty()) else {
        return Err(
            "There is no key. Send Idempotency-Key: a word that this change alone has, so that it happens once.".into(),
        );
    };
    if key == FIRST_GRANT {
        return Err("The key is that of the configuration's own grant. Choose another.".into());
    }
    let too_long = |text: &str| text.len() > MAX_WORDS || text.chars().any(char::is_control);
    if [key, by.as_str(), why.as_str()].into_iter().any(too_long) {
        return Err(
            format!("The key, the name or the reason is no line of at most {MAX_WORDS} bytes. Shorten it.").into()
        );
    }
    let fits = match kind {
        Kind::Grant => amount > 0,
        Kind::Adjustment | Kind::Charge | Kind::Refund => amount != 0,
    };
    if !fits || amount.unsigned_abs() > MAX_CREDITS {
        return Err(format!(
            "The amount does not fit. Write a whole number from 1 to {MAX_CREDITS}; an adjustment may be negative."
        )
        .into());
    }
    Ok(Correction { credit_account, kind, amount, key: key.to_owned(), by, why })
}

fn refused(refusal: Refusal) -> AdminError {
    let status = match refusal {
        Refusal::Unusable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::KeyTaken => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::TooMuch | Refusal::TooLittle => StatusCode::CONFLICT,
    };
    (status, format!("Nothing was done: {refusal}.").into())
}

fn not_taken(refused: status_recorder::Refused) -> AdminError {
    let status = match refused {
        status_recorder::Refused::TooMany => StatusCode::CONFLICT,
        status_recorder::Refused::Unknown => StatusCode::NOT_FOUND,
        status_recorder::Refused::NoProduct => StatusCode::UNPROCESSABLE_ENTITY,
        status_recorder::Refused::Ledger(_) | status_recorder::Refused::Ended => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("Nothing was done: {refused}.").into())
}

fn only(method: &Method, allowed: Method) -> Result<(), AdminError> {
    if *method == allowed {
        Ok(())
    } else {
        Err((StatusCode::METHOD_NOT_ALLOWED, format!("This page has another method. Use {allowed}.").into()))
    }
}

fn no_page() -> AdminError {
    let pages = "There is no such page. Ask for /healthz, /readyz, /metrics, /config, /reload, /upgrade, /upstreams, /status/notices, /credits, /credits/entries, \
                 /accounts/ID/credits, or below it PRODUCT, PRODUCT/history, PRODUCT/grants or PRODUCT/adjustments.";
    (StatusCode::NOT_FOUND, pages.into())
}

fn unknown_account() -> AdminError {
    let what = "No account of this name has credits for it. Look at /credits for those that have.";
    (StatusCode::NOT_FOUND, what.into())
}

/// A number of the query; `None` if it is not there.
fn number(query: &str, name: &str) -> Result<Option<u64>, AdminError> {
    let Some((_, value)) = url::form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name) else {
        return Ok(None);
    };
    let what = || (StatusCode::BAD_REQUEST, format!("{name} is not a number. Write it in digits.").into());
    value.parse().map(Some).map_err(|_| what())
}

/// The key itself: the header's value may stand in quotes, as structured headers have it (RFC 9651).
fn unquoted(key: &str) -> &str {
    key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key)
}

async fn read_body(session: &mut ServerSession) -> Result<Vec<u8>, AdminError> {
    let mut body = Vec::new();
    while let Ok(Some(piece)) = session.read_request_body().await {
        if body.len().saturating_add(piece.len()) > MAX_BODY_BYTES {
            session.set_keepalive(None);
            return Err((StatusCode::PAYLOAD_TOO_LARGE, "The body is over 64 KiB. Send less.".into()));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        if request.method == Method::GET && request.uri.path() == "/metrics" {
            let mut text = String::new();
            // Writing into a string cannot fail.
            let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
            return page(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text);
        }
        let (status, body) = self
            .answer(session)
            .await
            .unwrap_or_else(|(status, detail)| (status, json!({ "status": "refused", "detail": detail })));
        page(status, "application/json", body.to_string())
    }
}

fn page(status: StatusCode, content_type: &'static str, body: String) -> Response<Vec<u8>> {
    let length = body.len();
    let mut response = Response::new(body.into_bytes());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}
