//! Accounts of the store change while clients are served: what changes counts at once, what an account has
//! used goes on being counted, and nobody else notices.
//!
//! The gateway runs in the test's own process, since the accounts come from nowhere but a call.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use tollgate::config::{self, Predecessor};
use tollgate::gateway::Gateway;
use tollgate::gateway::snapshot::Snapshot;
use tollgate::ledger::{Ledger, opening};
use tollgate::operate::reload::accounts::AccountSource;
use tollgate::operate::reload::{Reloader, WatchedConfig};
use tollgate::platform::descriptors::Descriptors;
use tollgate::policy::Policy;
use tollgate::policy::account::directory::change::{AccountChange, Clash, Conflict};
use tollgate::policy::account::{Account, Digest};
use tollgate::telemetry::Telemetry;

use crate::support::in_process::serve_on_threads;
use crate::support::{Backend, PATIENCE, Scratch, paying, token};

/// A gateway in this process, with accounts of files and of a store.
struct Running {
    scratch: Scratch,
    backend: Backend,
    gateway: Arc<Gateway>,
    ledger: Arc<Ledger>,
    reloader: Reloader,
    address: SocketAddr,
    store: Store,
}

/// A store that has its accounts as text, by name.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<HashMap<String, String>>>);

impl Store {
    /// An account beside the products of a configuration, with the credits that it has already.
    fn compile(&self, ledger: &Ledger, main: &str, name: &str) -> Option<Arc<Account>> {
        let text = self.0.lock().unwrap().get(name).cloned()?;
        let credit_account = |account: &str, product: &str| ledger.credit_account(account, product);
        let beside = Scratch::new();
        let path = beside.path("one.yaml");
        let without = config::parse("main.yaml", main, &config::Source::from(PathBuf::new())).unwrap();
        std::fs::write(&path, format!("{main}accounts:\n  {name}: {text}\n")).unwrap();
        let before = Predecessor { policy: &without.policy, credit_account: &credit_account };
        let (config, _) = config::load_and_note(&path, Some(&before));
        let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
        config.policy.accounts.by_name(name).cloned()
    }
}

/// What the reload asks when products are others.
struct Source {
    store: Store,
    main: PathBuf,
}

impl AccountSource for Source {
    fn compile_all(&self, _policy: &Policy) -> Vec<Arc<Account>> {
        let main = std::fs::read_to_string(&self.main).unwrap();
        let names: Vec<String> = self.store.0.lock().unwrap().keys().cloned().collect();
        let compiled = names.iter().map(|name| {
            let text = self.store.0.lock().unwrap()[name].clone();
            let main = main.split("accounts:\n").next().unwrap();
            let text = format!("{main}accounts:\n  {name}: {text}\n");
            let config = config::parse("store.yaml", &text, &config::Source::from(PathBuf::new())).unwrap();
            config.policy.accounts.by_name(name).cloned().unwrap()
        });
        compiled.collect()
    }
}

/// An account of the store, without its name.
fn account(rate: &str, credits: &str, tokens: &[&str]) -> String {
    let tokens = tokens.iter().map(|name| {
        let hash = Digest::of(token(name).as_bytes()).text();
        format!("{{ name: {name}, hash: \"{hash}\", products: [phone] }}")
    });
    let tokens = tokens.collect::<Vec<_>>().join(", ");
    format!("{{ rate: {rate}, credits: {{ phone: {credits} }}, tokens: [{tokens}] }}")
}

const UNLIMITED: &str = "{ unlimited: true }";

impl Running {
    fn start() -> Running {
        let scratch = Scratch::new();
        let backend = Backend::answering_json();
        let path = scratch.path("main.yaml");
        std::fs::write(&path, Running::main(&scratch, &backend, &[("file", "1000000")])).unwrap();
        let (config, read) = config::load_and_note(&path, None);
        let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let (start, started) = (config.start(), Instant::now());
        let policy = Arc::new(config.policy);
        let ledger = opening::start(config.ledger, &policy, started, None);
        let descriptors = Descriptors::claim().unwrap();
        let books = Arc::clone(&ledger);
        let gateway = Arc::new(Gateway::new(
            policy,
            config.settings,
            books,
            Arc::new(Telemetry::default()),
            descriptors,
            started,
        ));
        let store = Store::default();
        let source = Source { store: store.clone(), main: path.clone() };
        let watched = WatchedConfig { path, read, loaded_at: SystemTime::now() };
        let (gate, books) = (Arc::clone(&gateway), Arc::clone(&ledger));
        let reloader = Reloader::start(watched, start, gate, books, Some(Box::new(source)));
        let address = serve_on_threads(&gateway);
        Running { scratch, backend, gateway, ledger, reloader, address, store }
    }

    fn main(scratch: &Scratch, backend: &Backend, accounts: &[(&str, &str)]) -> String {
        // Accounts of a store are in force where there is one; nobody opens its file here.
        let text = "store: { sqlite: store.db }\n".to_owned();
        let text = text + &paying(backend.address(), &scratch.ledger("batch"), accounts);
        std::fs::copy("config/phone.schema.json", scratch.path("phone.schema.json")).unwrap();
        text.replace("phone.schema.json", &scratch.path("phone.schema.json").display().to_string())
    }

    fn products(scratch: &Scratch, backend: &Backend) -> String {
        Running::main(scratch, backend, &[]).replace("accounts:\n", "")
    }

    /// Sets what the store has for some accounts, and waits until it counts.
    fn change(&self, changes: &[(&str, Option<String>)]) -> Vec<Conflict> {
        for (name, text) in changes {
            let mut stored = self.store.0.lock().unwrap();
            match text {
                Some(text) => stored.insert((*name).to_owned(), text.clone()),
                None => stored.remove(*name),
            };
        }
        let names: Vec<String> = changes.iter().map(|(name, _)| (*name).to_owned()).collect();
        let (store, ledger) = (self.store.clone(), Arc::clone(&self.ledger));
        let main = Running::products(&self.scratch, &self.backend);
        let compile = move |_: &Snapshot| {
            let compiled = names.iter().map(|name| {
                let account = store.compile(&ledger, &main, name);
                account.map_or_else(|| AccountChange::Remove(name.as_str().into()), AccountChange::Put)
            });
            compiled.collect()
        };
        self.reloader.change_accounts(compile).blocking_recv().unwrap()
    }

    fn reload(&self, accounts: &[(&str, &str)], edit: impl Fn(String) -> String) -> Result<String, String> {
        let text = edit(Running::main(&self.scratch, &self.backend, accounts));
        std::fs::write(self.scratch.path("main.yaml"), text).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.reloader.reload()).map_err(|error| error.to_string())
    }

    fn status(&self, name: &str) -> u16 {
        Caller::connect(self.address).lookup(&token(name))
    }

    /// What the account has left.
    fn available(&self, account: &str) -> u64 {
        self.ledger.credit_account(account, "phone").unwrap().snapshot().available
    }
}

/// A client with one connection.
struct Caller {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Caller {
    fn connect(address: SocketAddr) -> Caller {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Caller { stream, answer: Vec::new() }
    }

    /// The status of one lookup. Answers and refusals both end with two braces.
    fn lookup(&mut self, token: &str) -> u16 {
        let body = r#"{"number":"+44 7400 123456"}"#;
        let request = format!(
            "POST /phone/validate/v2 HTTP/1.1\r\nHost: api.example.com\r\nAuth-Token: {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).unwrap();
        self.answer.clear();
        let mut piece = [0; 4096];
        while !self.answer.ends_with(b"}}") {
            let count = self.stream.read(&mut piece).unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&self.answer));
            self.answer.extend_from_slice(&piece[..count]);
        }
        std::str::from_utf8(&self.answer[9..12]).unwrap().parse().unwrap()
    }
}

#[test]
fn a_change_counts_for_the_next_request() {
    let running = Running::start();
    assert_eq!(running.status("file"), 200);
    assert_eq!(running.status("live"), 401);
    let one = |tokens: &[&str]| Some(account(UNLIMITED, "1000", tokens));
    assert_eq!(running.change(&[("acme", one(&["live"])), ("globex", one(&["other"]))]), []);
    assert_eq!((running.status("live"), running.status("other")), (200, 200));
    // Rotated, disabled, moved to another account, and gone.
    assert_eq!(running.change(&[("acme", one(&["new"]))]), []);
    assert_eq!((running.status("live"), running.status("new")), (401, 200));
    let disabled = one(&["new"]).map(|text| text.replace("{ name: new,", "{ name: new, disabled: true,"));
    assert_eq!(running.change(&[("acme", disabled)]), []);
    assert_eq!(running.status("new"), 403);
    assert_eq!(running.change(&[("globex", one(&["new", "other"])), ("acme", one(&[]))]), []);
    assert_eq!((running.status("new"), running.status("other")), (200, 200));
    assert_eq!(running.change(&[("globex", None)]), []);
    assert_eq!((running.status("new"), running.status("other"), running.status("file")), (401, 401, 200));
    // What files have is theirs.
    let name = Conflict { account: "file".into(), with: Clash::Name };
    let digest = Conflict { account: "acme".into(), with: Clash::Digest { token: 1, account: "file".into() } };
    assert_eq!(running.change(&[("file", one(&["mine"])), ("acme", one(&["live", "file"]))]), [name, digest]);
    assert_eq!((running.status("mine"), running.status("live"), running.status("file")), (401, 200, 200));
}

#[test]
fn what_was_used_goes_on_being_counted() {
    let running = Running::start();
    let limited =
        |limit: u32, tokens: &[&str]| Some(account(&format!("{{ limit: {limit}/d, burst: {limit} }}"), "1000", tokens));
    let _ = running.change(&[("acme", limited(3, &["live"]))]);
    let full = running.available("acme");
    assert_eq!([0; 4].map(|_| running.status("live")), [200, 200, 200, 429]);
    let price = (full - running.available("acme")) / 3;
    assert!(price > 0);
    // Another token, and then two more a day: three are used, whatever is said anew.
    let _ = running.change(&[("acme", limited(3, &["new"]))]);
    assert_eq!(running.status("new"), 429);
    let _ = running.change(&[("acme", limited(5, &["new"]))]);
    assert_eq!([0; 3].map(|_| running.status("new")), [200, 200, 429]);
    // Nobody gets the first grant twice, also not who was away.
    assert_eq!(running.available("acme"), full - 5 * price);
    let _ = running.change(&[("acme", None)]);
    let _ = running.change(&[("acme", Some(account(UNLIMITED, "1000", &["live"])))]);
    assert_eq!(running.status("live"), 200);
    assert_eq!(running.available("acme"), full - 6 * price);
}

#[test]
fn a_reload_of_files_keeps_the_accounts_of_the_store() {
    let running = Running::start();
    let _ = running.change(&[("acme", Some(account(UNLIMITED, "1000", &["live"])))]);
    let same = |text: String| text;
    running.reload(&[("file", "1000000"), ("more", "1000")], same).unwrap();
    assert_eq!(["file", "more", "live"].map(|name| running.status(name)), [200, 200, 200]);
    let kept = running.gateway.snapshot().policy.accounts.by_name("acme").cloned().unwrap();
    let mistake = running.reload(&[("file", "1000000"), ("acme", "1000")], same).unwrap_err();
    assert!(mistake.contains("is an account that the store has"), "{mistake}");
    assert_eq!(["file", "more", "live"].map(|name| running.status(name)), [200, 200, 200]);
    // Another product before this one gives it another place, so that accounts are compiled anew.
    let another = "products:\n  first: { upstream: lookup, routes: [POST /first], token_headers: [Auth-Token] }\n";
    running.reload(&[("file", "1000000")], |text| text.replace("products:\n", another)).unwrap();
    let snapshot = running.gateway.snapshot();
    let account = snapshot.policy.accounts.by_name("acme").unwrap();
    assert!(!Arc::ptr_eq(account, &kept) && account.keys[0].token.products.contains(1));
    assert_eq!(["file", "more", "live"].map(|name| running.status(name)), [200, 401, 200]);
    // What changes after it is changed beside the new files.
    let _ = running.change(&[("acme", None)]);
    assert_eq!(["file", "live"].map(|name| running.status(name)), [200, 401]);
}

/// Clients whose accounts stay as they are, while thousands of others come, change and go.
#[test]
fn ten_thousand_changes_fail_no_request() {
    const CLIENTS: usize = 3;
    const CHANGES: usize = 10_000;
    let running = Running::start();
    let steady: Vec<String> = (0..CLIENTS).map(|number| format!("steady{number}")).collect();
    for name in &steady {
        let _ = running.change(&[(name, Some(account(UNLIMITED, "1000000", &[name])))]);
    }
    // Accounts that were compiled before, with and without their token.
    let accounts: String = (0..200)
        .map(|number| format!("  a{number}: {}\n", account(UNLIMITED, "unmetered", &[&format!("a{number}")])))
        .collect();
    let main = Running::products(&running.scratch, &running.backend) + "accounts:\n";
    let compiled = |accounts: &str| {
        let config =
            config::parse("x.yaml", &(main.clone() + accounts), &config::Source::from(PathBuf::new())).unwrap();
        config.policy.accounts.iter().cloned().collect::<Vec<_>>()
    };
    let (on, off) = (compiled(&accounts), compiled(&accounts.replace("{ name:", "{ disabled: true, name:")));
    let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for name in &steady {
            let (running, done, served) = (&running, &done, &served);
            scope.spawn(move || {
                let (mut caller, token) = (Caller::connect(running.address), token(name));
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(caller.lookup(&token), 200);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 0..CHANGES {
            let (place, round) = (number % on.len(), number / on.len());
            let change = match round % 3 {
                0 => AccountChange::Put(Arc::clone(&on[place])),
                1 => AccountChange::Put(Arc::clone(&off[place])),
                _ => AccountChange::Remove(Arc::clone(&on[place].name)),
            };
            let told = running.reloader.change_accounts(move |_| vec![change]);
            // Now and then somebody waits for it, so that all of them meet requests.
            if number % 20 == 0 {
                assert_eq!(told.blocking_recv().unwrap(), []);
            }
        }
        assert_eq!(running.reloader.change_accounts(|_| Vec::new()).blocking_recv().unwrap(), []);
        done.store(true, Ordering::Relaxed);
    });
    assert!(served.load(Ordering::Relaxed) > 100, "{served:?}");
    // 50 rounds: the last one has switched all of them off.
    let snapshot = running.gateway.snapshot();
    assert_eq!(snapshot.policy.accounts.len(), 1 + CLIENTS + on.len());
    assert!(snapshot.policy.accounts.slots() <= 1 + CLIENTS + on.len());
    assert_eq!((running.status("a7"), running.status("file")), (403, 200));
}
