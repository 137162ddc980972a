//! What operators ask the process: health, metrics, upstreams, and the credits of accounts.
//!
//! The listener is loopback unless the configuration says otherwise. Credits are money: a browser
//! cannot be made to ask for them, since requests with an `Origin` and those for a foreign name are
//! refused, and from another machine the configuration's token is needed. Clients of the lookup APIs
//! never come here. Which operations there are is `routes.rs`; how connections are served is
//! `connection.rs`.

pub mod answers;
pub mod client;
pub mod connection;
pub mod correction;
pub mod openapi;
pub mod readiness;
pub mod routes;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use http::StatusCode;
use prometheus_client::registry::Registry;
use serde::Serialize;
use serde_json::json;

use crate::config::shown;
use crate::downstream::listener::Listeners;
use crate::gateway::Gateway;
use crate::ledger::entry::{Kind, Statement};
use crate::ledger::file::MAX_PAGE_ROWS;
use crate::ledger::{Ledger, Page, Refusal};
use crate::operate::reload::Reloader;
use crate::operate::reload::shadow::{ShadowError, Wanted as WantedShadow};
use crate::operate::reload::staged::StageCommand;
use crate::operate::shadow::ShadowDocument;
use crate::operate::stage::StageDocument;
use crate::operate::status_recorder::{self, Recorder};
use crate::operate::upgrade::Upgrader;
use crate::platform::clock::unix_seconds;
use crate::policy::account::Digest;
use crate::policy::credits::CreditAccount;
use crate::policy::http::head::{Lines, One};
use crate::policy::http::media::{self, MediaType, preferred};
use crate::site::status::notice::{self, Moment, NoticeBody, Shown, Wanted};
use correction::{CorrectionBody, correction};
use readiness::Readiness;
use routes::{Access, Found, Operation, Route};

/// The query parameter that requests every check of the readiness.
const VERBOSE: &str = "verbose";

/// Bytes of a request's body: a correction is a few words.
const MAX_BODY_BYTES: usize = 64 * 1024;

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
    /// The file of the configuration.
    pub config: Option<PathBuf>,
    pub token: Option<Digest>,
    /// Where clients connect, with certificates.
    pub listeners: Arc<Listeners>,
    /// Names that the listener has beside its address and those of this machine.
    pub hosts: Box<[Box<str>]>,
}

/// A refusal of an operator's request: the status, and what to do instead.
type AdminError = (StatusCode, Cow<'static, str>);

/// One answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub content_type: &'static str,
    /// What `Allow` says, for a path that has other methods.
    pub allow: Option<String>,
    pub body: String,
}

/// What an operation is carried out with.
struct Request<'r> {
    route: &'static Route,
    /// The values of the path's parameters.
    values: Vec<String>,
    lines: Lines<'r>,
    query: &'r str,
    body: &'r [u8],
}

impl Answer {
    fn json(status: StatusCode, value: &impl Serialize) -> Answer {
        // By way of a value, so that the order of members does not follow that of our types.
        let body = json!(value).to_string();
        Answer { status, content_type: "application/json", allow: None, body }
    }

    fn ok(value: &impl Serialize) -> Answer {
        Answer::json(StatusCode::OK, value)
    }

    /// A refusal, as the command line and people read it.
    pub fn refused(status: StatusCode, detail: &str) -> Answer {
        let (status_text, detail) = ("refused".to_owned(), detail.to_owned());
        Answer::json(status, &answers::Refusal { status: status_text, detail })
    }
}

impl From<AdminError> for Answer {
    fn from((status, detail): AdminError) -> Answer {
        Answer::refused(status, &detail)
    }
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

    /// The operation that a request asks for, if whoever asks may have it. `own` is the address that
    /// the connection came to.
    ///
    /// # Errors
    /// The answer to a request that has none.
    fn route(&self, lines: &Lines<'_>, own: Option<IpAddr>) -> Result<(&'static Route, Vec<String>), Answer> {
        let (route, values) = match routes::find(lines.method, lines.path()) {
            Found::Route(route, values) => (route, values),
            Found::OtherMethod(allowed) => {
                let detail = format!("This path has other methods. Use one of them: {allowed}.");
                let refused = Answer::refused(StatusCode::METHOD_NOT_ALLOWED, &detail);
                return Err(Answer { allow: Some(allowed), ..refused });
            }
            Found::Nothing => {
                let paths = routes::paths().collect::<Vec<_>>().join(", ");
                return Err(Answer::refused(
                    StatusCode::NOT_FOUND,
                    &format!("There is no such path. Ask for one of these: {paths}."),
                ));
            }
        };
        // What works and what does not is for operators.
        let details = route.operation == Operation::Readiness && asks_for(query_of(lines), VERBOSE);
        match if details { Access::Operator } else { route.access } {
            Access::Anybody => {}
            Access::OwnName => self.check_host(lines, own)?,
            Access::Operator => {
                self.check_host(lines, own)?;
                self.authorize(lines)?;
            }
        }
        Ok((route, values))
    }

    /// Refuses a request for a foreign name: a web page whose name was made to lead to this machine
    /// would be of the same origin as this listener (DNS rebinding). Programs of HTTP/1.0 may name
    /// nobody; browsers always do.
    fn check_host(&self, lines: &Lines<'_>, own: Option<IpAddr>) -> Result<(), AdminError> {
        let One::Value(host) = lines.one("host") else { return Ok(()) };
        let host = std::str::from_utf8(host).unwrap_or_default();
        if is_own_name(host, own, &self.operators.hosts) {
            return Ok(());
        }
        let detail =
            "This listener has another name. Ask for its address or for localhost, or list the name under admin_hosts.";
        Err((StatusCode::MISDIRECTED_REQUEST, detail.into()))
    }

    /// Lets an operator at what is not for everybody.
    fn authorize(&self, lines: &Lines<'_>) -> Result<(), AdminError> {
        if lines.values("origin").next().is_some() {
            return Err((StatusCode::FORBIDDEN, "Requests of web pages are refused here. Use a program.".into()));
        }
        let shown = match lines.one("authorization") {
            One::Value(value) => bearer(value).map(Digest::of),
            One::Absent | One::Several => None,
        };
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

    async fn carry_out(&self, request: &Request<'_>) -> Result<Answer, AdminError> {
        match request.route.operation {
            Operation::Health => Ok(Answer::ok(&answers::Status { status: "ok".to_owned() })),
            Operation::Readiness => Ok(self.readiness(request.query)),
            Operation::Metrics => Ok(self.metrics(&request.lines)),
            Operation::Document => Ok(Answer::ok(&openapi::document())),
            Operation::Upstreams => Ok(Answer::ok(&self.gateway.upstreams().as_json())),
            Operation::Config if prefers_json(&request.lines) => Ok(Answer::ok(&self.config())),
            Operation::Config => self.config_as_yaml(),
            Operation::Reload => self.reload(request.query).await,
            Operation::Upgrade => self.upgrade(request.query).await,
            Operation::Shadow => Ok(Answer::ok(&ShadowDocument::of(self.gateway.shadows()))),
            Operation::Stage => Ok(Answer::ok(&StageDocument::of(self.gateway.stages()))),
            Operation::PromoteStage => self.stage(StageCommand::Promote, "promoted").await,
            Operation::GoBack => self.stage(StageCommand::Back, "back").await,
            Operation::StartShadow => self.start_shadow(request.body).await,
            Operation::PromoteShadow => self.shadow(WantedShadow::Promote, "promoted").await,
            Operation::DropShadow => self.shadow(WantedShadow::Drop, "dropped").await,
            Operation::Notices => self.notices().await,
            Operation::Note => self.add_notice(Wanted::Note, request.body).await,
            Operation::Maintenance => self.add_notice(Wanted::Maintenance, request.body).await,
            Operation::CloseNotice => self.close_notice(&request.values).await,
            Operation::Balances => self.balances(request.query).await,
            Operation::Entries => self.entries(None, request.query).await,
            Operation::BalancesOfAccount => self.balances_of(&request.values).await,
            Operation::Balance => {
                let found = vec![self.credit_account(&request.values)?];
                let statements = self.statements(found).await?;
                statements.first().map(Answer::ok).ok_or_else(unknown_account)
            }
            Operation::History => {
                let credit_account = self.credit_account(&request.values)?;
                self.entries(Some(credit_account), request.query).await
            }
            Operation::Grant => self.correct(Kind::Grant, request).await,
            Operation::Adjust => self.correct(Kind::Adjustment, request).await,
        }
    }

    /// Whether clients should be sent here: not any more once the process is to end, unless a
    /// successor serves here already.
    fn readiness(&self, query: &str) -> Answer {
        let handed_over = self.operators.upgrader.as_ref().is_some_and(Upgrader::has_handed_over);
        let stopping = self.gateway.is_stopping() && !handed_over;
        let listeners = &self.operators.listeners;
        let mut found = Readiness::of(&self.gateway, &self.ledger, listeners, stopping, SystemTime::now());
        let status = if found.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        if !asks_for(query, VERBOSE) {
            found.checks.clear();
        }
        Answer::json(status, &found)
    }

    /// The metrics in the format that the client would rather have; by default that of every
    /// Prometheus.
    fn metrics(&self, lines: &Lines<'_>) -> Answer {
        let formats = ["text/plain", "application/openmetrics-text"].map(MediaType::parse);
        let wants_openmetrics = preferred(lines, formats.iter().flatten()) == Some(1);
        let mut body = String::new();
        // Writing into a string cannot fail.
        let _ = if wants_openmetrics {
            prometheus_client::encoding::text::encode(&mut body, &self.registry)
        } else {
            prometheus_client::encoding::prometheus_text::encode(&mut body, &self.registry)
        };
        let content_type = if wants_openmetrics { openapi::OPENMETRICS } else { openapi::PROMETHEUS_TEXT };
        Answer { status: StatusCode::OK, content_type, allow: None, body }
    }

    /// The configuration in force as one that can be loaded.
    fn config_as_yaml(&self) -> Result<Answer, AdminError> {
        let text = {
            let snapshot = self.gateway.snapshot();
            shown::yaml(&snapshot.policy, &snapshot.settings)
        };
        let body = text.map_err(|error| {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}. Ask for application/json.").into())
        })?;
        Ok(Answer { status: StatusCode::OK, content_type: openapi::YAML, allow: None, body })
    }

    /// The configuration in force.
    fn config(&self) -> answers::Config {
        let snapshot = self.gateway.snapshot();
        let policy = &snapshot.policy;
        let mut config = snapshot.settings.shown.clone();
        let (accounts, accounts_in_all) = shown::accounts(policy);
        if let Some(config) = config.as_object_mut() {
            config.insert("accounts".to_owned(), accounts);
        }
        answers::Config { config, accounts_in_all }
    }

    /// Refuses what is meant for a process of another configuration: addresses are taken over by
    /// whoever comes first, and files are copied with the address in them.
    fn check_config(&self, query: &str) -> Result<(), AdminError> {
        let Some(wanted) = text(query, "config") else { return Ok(()) };
        let same = |own: &Path| own.canonicalize().is_ok_and(|own| own == Path::new(&*wanted));
        if self.operators.config.as_deref().is_some_and(same) {
            return Ok(());
        }
        let whole = |own: &PathBuf| own.canonicalize().unwrap_or_else(|_| own.clone()).display().to_string();
        let own = self.operators.config.as_ref().map_or_else(|| "its own".to_owned(), whole);
        let detail = format!(
            "Nothing was changed. This process serves another configuration, {own}, and not {wanted}. Ask the one that serves it."
        );
        Err((StatusCode::CONFLICT, detail.into()))
    }

    /// Loads the configuration, and reopens the access log, as SIGHUP does.
    async fn reload(&self, query: &str) -> Result<Answer, AdminError> {
        self.check_config(query)?;
        self.gateway.telemetry().reopen();
        let Some(reloader) = &self.operators.reloader else {
            return Err((StatusCode::CONFLICT, "The configuration is part of the program. It cannot change.".into()));
        };
        match reloader.reload().await {
            Ok(detail) => Ok(Answer::ok(&answers::Reloaded { status: "reloaded".to_owned(), detail })),
            Err(why) => Err((StatusCode::UNPROCESSABLE_ENTITY, format!("Nothing was changed. {why}").into())),
        }
    }

    async fn upgrade(&self, query: &str) -> Result<Answer, AdminError> {
        self.check_config(query)?;
        let Some(upgrader) = &self.operators.upgrader else {
            return Err((StatusCode::CONFLICT, "The demo has no successor. End it, and start it again.".into()));
        };
        match upgrader.upgrade().await {
            Ok(process) => Ok(Answer::ok(&answers::Upgraded { status: "upgraded".to_owned(), process })),
            Err(why) => Err((StatusCode::CONFLICT, format!("Nothing was changed. {why}").into())),
        }
    }

    async fn start_shadow(&self, body: &[u8]) -> Result<Answer, AdminError> {
        let body: answers::ShadowStart = serde_json::from_slice(body).map_err(|_| {
            let what = "The body is not understood. Send {\"config\": \"/etc/tollgate/candidate.yaml\"}.";
            (StatusCode::BAD_REQUEST, what.into())
        })?;
        self.shadow(WantedShadow::Start(body.config.into()), "started").await
    }

    /// Starts, promotes or drops a candidate.
    async fn shadow(&self, wanted: WantedShadow, done: &str) -> Result<Answer, AdminError> {
        let Some(reloader) = &self.operators.reloader else {
            return Err((StatusCode::CONFLICT, "The configuration is part of the program. It cannot change.".into()));
        };
        match reloader.shadow(wanted).await {
            Ok(detail) => Ok(Answer::ok(&answers::Shadowed { status: done.to_owned(), detail })),
            Err(ShadowError::Refused(why)) => Err((StatusCode::CONFLICT, why)),
            Err(ShadowError::Mistakes(mistakes)) => {
                Err((StatusCode::UNPROCESSABLE_ENTITY, format!("Nothing was changed. {mistakes}").into()))
            }
        }
    }

    /// Ends the stage of a configuration.
    async fn stage(&self, wanted: StageCommand, done: &str) -> Result<Answer, AdminError> {
        let refused = |why: &'static str| (StatusCode::CONFLICT, why.into());
        let Some(reloader) = &self.operators.reloader else {
            return Err(refused("The configuration is part of the program. It cannot change."));
        };
        match reloader.stage(wanted).await {
            Some(Ok(detail)) => Ok(Answer::ok(&answers::Staged { status: done.to_owned(), detail })),
            Some(Err(why)) => Err(refused(why)),
            None => Err(refused("The process is about to end.")),
        }
    }

    async fn notices(&self) -> Result<Answer, AdminError> {
        let notices = self.recorder.list().await.map_err(not_taken)?;
        Ok(Answer::ok(&answers::Notices { notices }))
    }

    async fn close_notice(&self, values: &[String]) -> Result<Answer, AdminError> {
        let id = values
            .first()
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| not_taken(status_recorder::Refused::Unknown))?;
        let closed = self.recorder.close(id).await.map_err(not_taken)?;
        Ok(Answer::ok(&Shown::of(&closed, unix_seconds())))
    }

    /// What operators say on the status page.
    async fn add_notice(&self, wanted: Wanted, body: &[u8]) -> Result<Answer, AdminError> {
        let body: NoticeBody = serde_json::from_slice(body).map_err(|_| {
            let what = "The body is not understood. Send {\"text\": \"…\", \"product\": \"plate\", \"by\": \"ann\"}, and for \
                        maintenance from and to, as in 2026-11-25T22:00:00Z.";
            (StatusCode::BAD_REQUEST, what.into())
        })?;
        let now = unix_seconds();
        let notice = notice::notice(wanted, body, now).map_err(|what| (StatusCode::BAD_REQUEST, what.into()))?;
        let added = self.recorder.add(notice).await.map_err(not_taken)?;
        Ok(Answer::json(StatusCode::CREATED, &Shown::of(&added, now)))
    }

    async fn balances(&self, query: &str) -> Result<Answer, AdminError> {
        let as_count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let skip = number(query, "skip")?.map_or(0, as_count);
        let limit = number(query, "limit")?.unwrap_or(u64::from(MAX_PAGE_ROWS)).clamp(1, u64::from(MAX_PAGE_ROWS));
        let register = self.ledger.register_of_licences();
        let page = register.all().skip(skip).take(as_count(limit)).map(Arc::clone).collect();
        Ok(Answer::ok(&answers::Balances { balances: self.statements(page).await? }))
    }

    /// What these have: where gateways share credits, with all of them together.
    async fn statements(&self, of: Vec<Arc<CreditAccount>>) -> Result<Vec<Statement>, AdminError> {
        self.ledger.known_of(of.clone()).await.map_err(refused)?;
        Ok(of.iter().map(Statement::of).collect())
    }

    async fn balances_of(&self, values: &[String]) -> Result<Answer, AdminError> {
        let account = values.first().map_or("", String::as_str);
        let register = self.ledger.register_of_licences();
        let of_account = register.all().filter(|credit_account| *credit_account.account == *account);
        let balances = self.statements(of_account.map(Arc::clone).collect()).await?;
        if balances.is_empty() { Err(unknown_account()) } else { Ok(Answer::ok(&answers::Balances { balances })) }
    }

    /// The credit account that a path names.
    fn credit_account(&self, values: &[String]) -> Result<Arc<CreditAccount>, AdminError> {
        let [account, product] = values else { return Err(unknown_account()) };
        self.ledger.credit_account(account, product).ok_or_else(unknown_account)
    }

    async fn entries(&self, credit_account: Option<Arc<CreditAccount>>, query: &str) -> Result<Answer, AdminError> {
        let after = i64::try_from(number(query, "after")?.unwrap_or(0)).unwrap_or(i64::MAX);
        let rows = number(query, "limit")?.unwrap_or(u64::from(MAX_PAGE_ROWS));
        let rows = u32::try_from(rows).unwrap_or(MAX_PAGE_ROWS);
        let account = text(query, "account").filter(|_| credit_account.is_none()).map(Into::into);
        let (since, until) = (time(query, "since")?, time(query, "until")?);
        let page = Page { credit_account, account, since, until, after, rows };
        let entries = self.ledger.page(page).wait().await.map_err(refused)?;
        Ok(Answer::ok(&answers::Entries { entries }))
    }

    async fn correct(&self, kind: Kind, request: &Request<'_>) -> Result<Answer, AdminError> {
        let credit_account = self.credit_account(&request.values)?;
        let key = match request.lines.one("idempotency-key") {
            One::Value(key) => std::str::from_utf8(key).ok().map(unquoted),
            One::Absent | One::Several => None,
        };
        let body: CorrectionBody = serde_json::from_slice(request.body).map_err(|_| {
            let what = "The body is not understood. Send {\"amount\": 100, \"by\": \"ann\", \"why\": \"invoice 17\"}.";
            (StatusCode::BAD_REQUEST, what.into())
        })?;
        let correction = correction(credit_account, kind, key, body).map_err(|what| (StatusCode::BAD_REQUEST, what))?;
        let corrected = self.ledger.correct(correction).wait().await.map_err(refused)?;
        let status = if corrected.again { StatusCode::OK } else { StatusCode::CREATED };
        Ok(Answer::json(status, &corrected))
    }
}

fn refused(refusal: Refusal) -> AdminError {
    let status = match refusal {
        Refusal::Unusable(_) | Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
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

fn unknown_account() -> AdminError {
    let what = "No account of this name has credits for it. Look at /credits for those that have.";
    (StatusCode::NOT_FOUND, what.into())
}

/// A text of the query; `None` if it is not there.
fn text<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    url::form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name).map(|(_, value)| value)
}

/// A time of the query, in seconds since 1970; `None` if it is not there.
fn time(query: &str, name: &str) -> Result<Option<u64>, AdminError> {
    let Some(text) = text(query, name) else { return Ok(None) };
    let what = |what: &str| (StatusCode::BAD_REQUEST, format!("{name} {what}.").into());
    Moment::parse(&text).map(|moment| Some(moment.0)).map_err(what)
}

/// A number of the query; `None` if it is not there.
fn number(query: &str, name: &str) -> Result<Option<u64>, AdminError> {
    let Some(value) = text(query, name) else { return Ok(None) };
    let what = || (StatusCode::BAD_REQUEST, format!("{name} is not a number. Write it in digits.").into());
    value.parse().map(Some).map_err(|_| what())
}

/// Whether a flag of the query is there.
fn asks_for(query: &str, name: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes()).any(|(known, _)| known == name)
}

/// The query of a request.
fn query_of<'l>(lines: &Lines<'l>) -> &'l str {
    lines.target.split_once('?').map_or("", |(_path, query)| query)
}

/// The key itself: the header's value may stand in quotes, as structured headers have it (RFC 9651).
fn unquoted(key: &str) -> &str {
    key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key)
}

/// The token of `Authorization: Bearer TOKEN`; the scheme's letters may be of either case (RFC 9110,
/// section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"Bearer ";
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(token.trim_ascii())
}

/// Whether a `Host` is one of this listener: a name or an address of the machine itself, the address
/// that the connection came to, or a configured name. Ports are not compared: a tunnel has its own.
fn is_own_name(host: &str, own: Option<IpAddr>, configured: &[Box<str>]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _port)| address),
        None => host.split_once(':').map_or(host, |(name, _port)| name),
    };
    if let Ok(address) = name.parse::<IpAddr>() {
        let address = address.to_canonical();
        return address.is_loopback()
            || own.is_some_and(|own| own.to_canonical() == address)
            || configured
                .iter()
                .any(|known| known.parse::<IpAddr>().is_ok_and(|known| known.to_canonical() == address));
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || configured.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a program would rather have JSON than YAML, which it gets if it says nothing.
fn prefers_json(lines: &Lines<'_>) -> bool {
    let types = [openapi::YAML, media::JSON].map(MediaType::parse);
    preferred(lines, types.iter().flatten()) == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_own_name_or_a_foreign_one() {
        let configured: [Box<str>; 2] = ["tollgate.internal".into(), "192.0.2.7".into()];
        for (host, own, expected) in [
            ("localhost", "127.0.0.1", true),
            ("LOCALHOST:9901", "127.0.0.1", true),
            ("localhost.", "127.0.0.1", true),
            ("127.0.0.1:9901", "127.0.0.1", true),
            ("127.9.9.9", "10.0.0.5", true),
            ("[::1]:9901", "::1", true),
            ("10.0.0.5:9901", "10.0.0.5", true),
            ("10.0.0.5:9901", "::ffff:10.0.0.5", true),
            ("10.0.0.6:9901", "10.0.0.5", false),
            ("192.0.2.7", "10.0.0.5", true),
            ("Tollgate.internal:9901", "10.0.0.5", true),
            ("tollgate.internal.attacker.example", "10.0.0.5", false),
            ("attacker.example:9901", "127.0.0.1", false),
            ("localhost.attacker.example", "127.0.0.1", false),
            ("127.0.0.1.attacker.example", "127.0.0.1", false),
            ("", "127.0.0.1", false),
        ] {
            assert_eq!(is_own_name(host, own.parse().ok(), &configured), expected, "{host} on {own}");
        }
    }

    #[test]
    fn a_token_stands_behind_its_scheme() {
        for (value, expected) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc", Some("abc")),
            ("Basic abc", None),
            ("Bearer", None),
            ("abc", None),
        ] {
            assert_eq!(bearer(value.as_bytes()), expected.map(str::as_bytes), "{value}");
        }
    }
}
