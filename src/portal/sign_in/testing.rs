//! The portal in the process of a test, and browsers that use it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use crate::config;
use crate::gateway::Gateway;
use crate::ledger::opening;
use crate::ledger::store::accounts::{self, AccountDraft};
use crate::ledger::store::people::{TicketKind, UserInfo};
use crate::ledger::store::randomness::SystemRandomness;
use crate::ledger::store::records::{AccountTerms, Role, Terms};
use crate::ledger::store::tickets::{self, TicketDraft};
use crate::ledger::store::{Act, Store, StoreError, Via, Writing, users};
use crate::operate::api::access::Api;
use crate::operate::api::client::InProcess;
use crate::operate::api::connection::Peer;
use crate::operate::api::in_force::InForce;
use crate::operate::reload::{Reloader, WatchedConfig};
use crate::operate::status_recorder::Recorder;
use crate::operate::store_feed::StoreFeed;
use crate::platform::clock::unix_milliseconds;
use crate::platform::descriptors::Descriptors;
use crate::portal::router::router;
use crate::telemetry::Telemetry;

const CONFIGURATION: &str = "
public_url: https://api.example.com
upstreams: { lookup: { servers: [127.0.0.1:9001] } }
products:
  plate: { upstream: lookup, routes: [POST /lookup], token_headers: [Auth-Token] }
  phone:
    upstream: lookup
    routes: [POST /phone]
    token_headers: [Auth-Token]
    body: { schema: { type: object } }
    credits: { hold: [{ add: 1 }], price: [{ add: 1 }] }
store: { sqlite: store.db }
ledger: { file: ledger.db }
";

/// A password that is long enough.
pub const PASSWORD: &str = "four plain words here";

/// The portal over a store of its own.
pub struct Bench {
    service: TowerToHyperService<Router>,
    pub store: Arc<Store>,
    /// The API in this process.
    pub inside: InProcess,
    pub reloader: Reloader,
    pub directory: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Bench {
    /// A portal with these lines below `portal`, and these at the end.
    pub fn with(portal: &str, rest: &str) -> Bench {
        Bench::over(portal, rest, Vec::new())
    }

    /// The same over a store that has these accounts, which are in force and have their credits.
    pub fn over(portal: &str, rest: &str, drafts: Vec<AccountDraft>) -> Bench {
        let directory = std::env::temp_dir().join(format!("tollgate-portal-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&directory).unwrap();
        let text = format!("{CONFIGURATION}portal:\n  public_url: https://portal.example.com\n{portal}\n{rest}");
        let (path, loaded_at) = (directory.join("gateway.yaml"), SystemTime::now());
        std::fs::write(&path, text).unwrap();
        let (config, read) = config::load_and_note(&path, None);
        let mut config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let (watched, start) = (WatchedConfig { path, read, loaded_at }, config.start());
        let store = Arc::new(Store::open(&directory.join("store.db"), Box::new(SystemRandomness)).unwrap());
        for draft in drafts {
            store.write_here(act(), move |writing| accounts::create(writing, &draft).map(drop)).unwrap();
        }
        let feed = StoreFeed::load(&config.store.unwrap(), Arc::clone(&store), &mut config.policy).unwrap();
        let (policy, started) = (Arc::new(config.policy), Instant::now());
        let ledger = opening::start(config.ledger, &policy, started, None);
        let (descriptors, telemetry) = (Descriptors::claim().unwrap(), Arc::new(Telemetry::default()));
        let books = Arc::clone(&ledger);
        let gateway = Arc::new(Gateway::new(policy, config.settings, books, telemetry, descriptors, started));
        let in_force = InForce::Gateway(Arc::clone(&gateway), feed);
        let recorder = Some(Recorder::start(Arc::clone(&gateway), Arc::clone(&ledger)));
        let reloader = Reloader::start(watched, start, Arc::clone(&gateway), Arc::clone(&ledger), None);
        let (of_api, ledger, patience) = (Arc::clone(&store), Some(ledger), Duration::ZERO);
        let of_api = Api { store: of_api, ledger, recorder, reloader: Some(reloader.clone()), in_force, patience };
        let api = Arc::new(of_api);
        let router = router(config.portal.unwrap(), &api, &gateway).unwrap();
        let inside = InProcess::new(&api).unwrap();
        Bench { service: TowerToHyperService::new(router), store, inside, reloader, directory }
    }

    pub fn new() -> Bench {
        Bench::with("", "")
    }

    pub async fn done<T: serde::Serialize + serde::de::DeserializeOwned + Send + 'static>(
        &self,
        operation: impl FnMut(&mut Writing<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.write(act(), operation).await.unwrap().value
    }

    /// The path of a new invitation.
    pub async fn invite(&self, email: &str, account: Option<&str>, role: Role) -> String {
        let draft = TicketDraft {
            kind: TicketKind::Invite,
            email: email.to_owned(),
            account_id: account.map(str::to_owned),
            role: Some(role),
            proves: account.is_none(),
            ends_at: unix_milliseconds() + 1_000_000,
        };
        let secret = self.done(move |writing| Ok(tickets::invite(writing, &draft)?.secret)).await;
        format!("/invitation/{}", secret.unwrap())
    }

    /// The id of a new account.
    pub async fn account(&self, name: &str) -> String {
        let (name, display, products) = (name.to_owned(), String::new(), Vec::new());
        let draft = AccountDraft { name, display, terms: AccountTerms::Own(Terms::default()), products };
        self.done(move |writing| Ok(accounts::create(writing, &draft)?.id)).await
    }

    /// A browser that has accepted an invitation with [`PASSWORD`].
    pub async fn member(&self, email: &str, account: Option<&str>, role: Role) -> Browser<'_> {
        let path = self.invite(email, account, role).await;
        let browser = self.browser();
        let form = [("password", PASSWORD), ("again", PASSWORD), ("display", "")];
        let answer = browser.post(&path, &form).await;
        assert_eq!((answer.status, &*answer.location), (303, "/me/one-time-password?first"), "{}", answer.text);
        browser
    }

    pub async fn user(&self, email: &str) -> UserInfo {
        let email = email.to_owned();
        self.store.read(move |connection| users::find_by_email(connection, &email)).await.unwrap().unwrap()
    }

    /// Changes the store as time would.
    pub async fn sql(&self, sql: &'static str) {
        self.store.maintain(move |connection| Ok(connection.execute_batch(sql)?)).await.unwrap();
    }

    pub fn browser(&self) -> Browser<'_> {
        Browser {
            bench: self,
            jar: Mutex::default(),
            peer: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
            headers: Vec::new(),
        }
    }
}

/// What a test does in the store.
fn act() -> Act {
    let (actor, at_ms) = ("test".to_owned(), unix_milliseconds());
    Act { actor, via: Via::CommandLine, address: String::new(), at_ms, idempotency: None }
}

/// A browser with its cookies.
pub struct Browser<'b> {
    bench: &'b Bench,
    pub jar: Mutex<BTreeMap<String, String>>,
    pub peer: IpAddr,
    /// Beside those of every browser.
    pub headers: Vec<(&'static str, String)>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub location: String,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// What stands between two texts.
    pub fn between(&self, before: &str, after: &str) -> &str {
        let (_, rest) = self.text.split_once(before).unwrap_or_else(|| panic!("{}", self.text));
        rest.split_once(after).unwrap().0
    }

    /// The session's word in a form.
    pub fn csrf(&self) -> &str {
        self.between("name=\"csrf\" value=\"", "\"")
    }
}

impl<'b> Browser<'b> {
    /// A browser with the same cookies that sends other headers.
    pub fn sending(&self, headers: &[(&'static str, &str)]) -> Browser<'b> {
        let jar = Mutex::new(self.jar.lock().unwrap().clone());
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Browser { bench: self.bench, jar, peer: self.peer, headers }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, String::new()).await
    }

    /// Sends a form with the word of the session, if there is one.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let page = if self.is_signed_in() { self.get("/me").await.text } else { String::new() };
        let csrf = page.split_once("name=\"csrf\" value=\"").map_or("", |(_, rest)| rest.split('"').next().unwrap());
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(form).append_pair("csrf", csrf);
        self.send("POST", path, text.finish()).await
    }

    pub fn is_signed_in(&self) -> bool {
        self.jar.lock().unwrap().contains_key("__Host-tg")
    }

    pub async fn send(&self, method: &str, path: &str, body: String) -> Answer {
        let cookies: Vec<String> =
            self.jar.lock().unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0");
        if self.headers.iter().all(|(name, _)| *name != "sec-fetch-site") {
            let site = if method == "POST" { "same-origin" } else { "cross-site" };
            request = request.header("sec-fetch-site", site);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        if method == "POST" {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let request = request.extension(Peer(self.peer)).body(Body::from(body)).unwrap();
        let answered = self.bench.service.call(request).await.unwrap();
        let (parts, body) = answered.into_parts();
        for line in parts.headers.get_all(SET_COOKIE) {
            self.keep(line.to_str().unwrap());
        }
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let location = parts.headers.get("location").map_or("", |value| value.to_str().unwrap()).to_owned();
        Answer { status: parts.status.as_u16(), location, headers: parts.headers, text }
    }

    fn keep(&self, line: &str) {
        assert!(line.contains("; Path=/; ") && line.contains("; HttpOnly; SameSite=Lax; Secure"), "{line}");
        let (name, rest) = line.split_once('=').unwrap();
        let value = rest.split(';').next().unwrap();
        let mut jar = self.jar.lock().unwrap();
        if line.contains("Max-Age=0;") {
            jar.remove(name);
        } else {
            jar.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// A server that takes mail, and what it has taken.
pub struct Mailbox {
    pub address: SocketAddr,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Mailbox {
    pub fn start() -> Mailbox {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, taken) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let letters = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                stream.write_all(b"220 here\r\n").unwrap();
                while let Some(Ok(line)) = lines.next() {
                    if line.starts_with("DATA") {
                        stream.write_all(b"354 go on\r\n").unwrap();
                        let text: Vec<String> =
                            lines.by_ref().map(Result::unwrap).take_while(|line| line != ".").collect();
                        letters.lock().unwrap().push(text.join("\n"));
                    }
                    let answer: &[u8] = if line.starts_with("QUIT") { b"221 bye\r\n" } else { b"250 good\r\n" };
                    stream.write_all(answer).unwrap();
                }
            }
        });
        Mailbox { address, taken }
    }

    /// The configuration of alerts that send through it.
    pub fn alerts(&self) -> String {
        format!("alerts: {{ mail: {{ server: \"smtp://{}\", from: portal@example.com }} }}", self.address)
    }

    pub fn count(&self) -> usize {
        self.taken.lock().unwrap().len()
    }

    /// The first message with these words.
    pub async fn with(&self, words: &str) -> String {
        for _ in 0..500 {
            let texts: Vec<String> = self.taken.lock().unwrap().clone();
            // Long lines are broken (RFC 2045, section 6.7).
            let mut texts = texts.into_iter().map(|text| text.replace("=\n", "").replace("=3D", "="));
            if let Some(text) = texts.find(|text| text.contains(words)) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("there is no message with {words:?}");
    }

    /// The newest of so many messages.
    pub async fn newest(&self, count: usize) -> String {
        for _ in 0..500 {
            if self.count() >= count {
                let text = self.taken.lock().unwrap().last().unwrap().clone();
                // Long lines are broken (RFC 2045, section 6.7).
                return text.replace("=\n", "").replace("=3D", "=");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("there is no message {count}");
    }
}

/// The bytes of base32 in groups.
pub fn from_base32(text: &str) -> Vec<u8> {
    let mut bits = String::new();
    for letter in text.bytes().filter(|byte| *byte != b' ') {
        let value = if letter.is_ascii_digit() { letter - b'2' + 26 } else { letter - b'A' };
        bits += &format!("{value:05b}");
    }
    bits.as_bytes()
        .chunks_exact(8)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect()
}

/// The one-time password of a time.
pub fn password_at(secret: &[u8], seconds: i64) -> String {
    crate::platform::totp::password(secret, seconds.div_euclid(30))
}
