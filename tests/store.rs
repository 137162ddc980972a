//! Accounts of the store beside those of files: what is tried out before it is changed, what cannot be in force, and
//! the same mistakes refused where no gateway runs.

use serde_json::{Value, json};

use crate::support::api::{STORE, account, admin_key, ask, done, gateway, tollgate};
use crate::support::{Backend, Configuration, Gateway, PATIENCE, Request, Scratch, VERSIONS, token, until};

/// A token of a new account: the paths of both, and the token itself.
fn new_token(gateway: &Gateway, key: &str, name: &str) -> (String, String, String) {
    let api = gateway.more(0);
    let made = ask(api, key, "POST", "/accounts", &[("Idempotency-Key", name)], &account(name)).body;
    let of_account = format!("/accounts/{}", made["id"].as_str().unwrap());
    let body = json!({ "name": "web", "products": ["phone"] });
    let once = format!("{name}-web");
    let made = ask(api, key, "POST", &format!("{of_account}/tokens"), &[("Idempotency-Key", &*once)], &body).body;
    let of_token = format!("{of_account}/tokens/{}", made["token"]["id"].as_str().unwrap());
    (of_account, of_token, made["secret"].as_str().unwrap().to_owned())
}

/// Tells whoever follows the store that an account has changed.
fn mark(database: &rusqlite::Connection, account: &str) {
    let text = format!(
        "BEGIN IMMEDIATE; UPDATE store_clock SET version = version + 1, nonce = nonce + 1; \
         INSERT INTO change SELECT version, 'account', '{account}', nonce, 0 FROM store_clock; COMMIT"
    );
    database.execute_batch(&text).unwrap();
}

/// What a draft of a list would do is what the list does once it is put: the same row, by the same address and page.
#[test]
fn a_draft_refuses_what_the_list_refuses_once_it_is_put() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend, "trusted_proxies: [127.0.0.1/32]\n");
    let (key, api) = (admin_key(&gateway), gateway.more(0));
    let (_, of_token, secret) = new_token(&gateway, &key, "initech");
    let test = format!("{of_token}/test");
    let list = |mode: &str, values: &[&str]| {
        let entries: Vec<Value> = values.iter().map(|value| json!({ "value": value })).collect();
        json!({ "mode": mode, "entries": entries })
    };
    for (kind, draft, address, origin) in [
        ("networks", list("enforce", &["203.0.113.0/24"]), "203.0.113.9", None),
        ("networks", list("enforce", &["203.0.113.0/24"]), "203.0.114.9", None),
        ("networks", list("enforce", &["2001:db8::/32"]), "2001:db8::7", None),
        ("networks", list("watch", &["203.0.113.0/24"]), "203.0.114.9", None),
        ("networks", list("any", &[]), "203.0.114.9", None),
        ("domains", list("enforce", &["*.Example.com"]), "203.0.113.9", Some("https://app.example.com")),
        ("domains", list("enforce", &["*.Example.com"]), "203.0.113.9", Some("https://example.com")),
        ("domains", list("enforce", &["app.example.com"]), "203.0.113.9", None),
        ("domains", list("watch", &["app.example.com"]), "203.0.113.9", Some("https://evil.example")),
    ] {
        let body = json!({ "address": address, "origin": origin, kind: draft });
        let told = ask(api, &key, "POST", &test, &[], &body);
        assert_eq!(told.status, 200, "{}", told.body);
        let before = ask(api, &key, "GET", &format!("{of_token}/{kind}"), &[], &Value::Null).body;
        let stored = ask(api, &key, "PUT", &format!("{of_token}/{kind}"), &[("If-Match", "*")], &draft).body;
        assert_eq!(told.body[kind]["entries"], stored["entries"], "the canonical form");
        let (mut lookup, proxied) = (Request::lookup("live").set("Auth-Token", &secret), address);
        lookup = lookup.set("X-Forwarded-For", proxied);
        if let Some(origin) = origin {
            lookup = lookup.set("Origin", origin);
        }
        let answer = gateway.send(VERSIONS[0], &lookup);
        let refused = if answer.status() == 200 { Value::Null } else { answer.json()["error"]["type"].clone() };
        let refused = refused.as_str().and_then(|of| of.rsplit('/').next());
        assert_eq!(told.body["refusal"]["problem"].as_str(), refused, "{body}: {}", told.body);
        if let Some(slug) = refused {
            assert_eq!(told.body["refusal"]["status"], answer.status());
            let check = told.body["checks"].as_array().unwrap().iter().find(|check| check["problem"] == slug);
            assert_eq!(check.unwrap()["verdict"], "refused");
        }
        let watched = draft["mode"] == "watch";
        assert_eq!(told.body[format!("{kind}_watched")], watched, "{}", told.body);
        // And back, so that drafts are tried out one by one.
        let (mode, entries) = (before["mode"].clone(), before["entries"].clone());
        let body = json!({ "mode": mode, "entries": entries });
        assert_eq!(ask(api, &key, "PUT", &format!("{of_token}/{kind}"), &[("If-Match", "*")], &body).status, 200);
    }
}

#[test]
fn a_request_is_tried_out_as_it_would_be_judged_and_nothing_comes_of_it() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend, "");
    let (key, api) = (admin_key(&gateway), gateway.more(0));
    let (of_account, of_token, secret) = new_token(&gateway, &key, "initech");
    let test = format!("{of_token}/test");
    let from = "203.0.113.9";
    let version = ask(api, &key, "GET", &of_token, &[], &Value::Null).etag;
    for (body, expected) in [
        (json!({ "address": from }), Value::Null),
        (json!({ "address": from, "path": "/email/validate/v2" }), json!("product-mismatch")),
        (json!({ "address": from, "path": "/nowhere" }), json!("endpoint-unknown")),
        (json!({ "address": from, "method": "GET" }), json!("endpoint-unknown")),
        (json!({ "address": from, "body": "{}" }), json!("content-type-unsupported")),
        (
            json!({ "address": from, "headers": { "Content-Type": "application/json" }, "body": "{}" }),
            json!("number-missing"),
        ),
        (
            json!({ "address": from, "headers": { "Content-Type": "application/json" }, "body": "{\"number\":\"1\"}" }),
            Value::Null,
        ),
    ] {
        let told = ask(api, &key, "POST", &test, &[], &body);
        assert_eq!((told.status, &told.body["refusal"]["problem"]), (200, &expected), "{body}: {}", told.body);
    }
    for (body, at) in [
        (json!({ "address": "nowhere" }), "/address"),
        (json!({ "address": from, "headers": { "auth-token": secret } }), "/headers"),
        (json!({ "address": from, "networks": { "mode": "enforce", "entries": [] } }), "/networks/entries"),
        (
            json!({ "address": from, "networks": { "mode": "enforce", "entries": [{ "value": "10.0.0.1/8" }] } }),
            "/networks/entries/0/value",
        ),
        (
            json!({ "address": from, "domains": { "mode": "any", "entries": [{ "value": "*.com" }] } }),
            "/domains/entries/0/value",
        ),
    ] {
        let told = ask(api, &key, "POST", &test, &[], &body);
        assert_eq!((told.status, told.body["errors"][0]["at"].as_str()), (422, Some(at)), "{}", told.body);
        assert!(!told.body.to_string().contains(&secret));
    }
    // States of the token and of its account count, as they are.
    for (path, expected) in [
        (format!("{of_token}/disable"), "token-disabled"),
        (format!("{of_token}/enable"), ""),
        (format!("{of_account}/suspend"), "token-disabled"),
        (format!("{of_account}/resume"), ""),
        (format!("{of_token}/revoke"), "token-unknown"),
    ] {
        assert_eq!(ask(api, &key, "POST", &path, &[("If-Match", "*")], &Value::Null).status, 200);
        let told = ask(api, &key, "POST", &test, &[], &json!({ "address": from })).body;
        assert_eq!(told["refusal"]["problem"].as_str().unwrap_or_default(), expected, "{path}: {told}");
    }
    assert_eq!(version, "\"1\"");
    assert_eq!(backend.requests().len(), 0, "nothing was sent");
    let audit = ask(api, &key, "GET", "/audit", &[], &Value::Null).body.to_string();
    assert!(!audit.contains("test"), "{audit}");
}

/// The commands that open the file themselves refuse what a gateway would, also while none runs.
#[test]
fn where_no_gateway_runs_the_same_mistakes_are_refused() {
    let backend = Backend::answering_json();
    let mut gateway = gateway(&backend, "");
    let made = done(&gateway, &["accounts", "create", "initech", "--rate", "600/min"], &[]);
    assert_eq!(made["name"], "initech");
    for is_running in [true, false] {
        if !is_running {
            gateway.kill();
        }
        for (words, told) in [
            (
                &["tokens", "create", "initech", "web", "--product", "nothing"][..],
                "covers nothing, which the configuration",
            ),
            (&["accounts", "create", "umbrella", "--plan", "gold"], "has the plan gold, which does not exist"),
            (&["accounts", "create", "umbrella", "--unlimited", "--product", "x=5"], "has the product x"),
            (&["accounts", "create", "main", "--unlimited"], "the name of an account in files"),
            (&["lists", "set", "initech", "web", "networks", "10.0.0.1/8"], "no token web"),
        ] {
            let refused = tollgate(&gateway, words, &[]);
            let why = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && why.contains(told), "{words:?}: {why}");
        }
    }
    let token = done(&gateway, &["tokens", "create", "initech", "web", "--product", "phone"], &[]);
    assert!(token["secret"].as_str().unwrap().starts_with("tg_"));
    // A request with the token itself is explained as well.
    let header = format!("Auth-Token: {}", token["secret"].as_str().unwrap());
    let explained = tollgate(&gateway, &["explain", "/email/validate/v2", "-X", "POST", "-H", &header], &[]);
    let told = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(told.contains("token web of account initech") && told.contains("product-mismatch"), "{told}");
    // A draft is judged by the configuration, and nothing is written.
    let verdict = |words: &[&str]| {
        let words = [&["tokens", "test", "initech", "web"], words].concat();
        let output = tollgate(&gateway, &words, &[]);
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(verdict(&["--from", "203.0.113.9"]).0, 0);
    let (code, told) = verdict(&["--from", "203.0.113.9", "--network", "203.0.114.0/24"]);
    assert!(code == 3 && told.contains("refused with 403 ip-not-allowed"), "{told}");
    let (code, told) = verdict(&["--domain", "App.Example.com", "--origin", "https://app.example.com"]);
    assert!(code == 0 && told.contains("draft of domains: app.example.com"), "{told}");
}

#[test]
fn what_files_have_as_well_is_a_conflict_that_is_listed_and_counted() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend, "");
    let (key, api) = (admin_key(&gateway), gateway.more(0));
    let (_, of_token, secret) = new_token(&gateway, &key, "initech");
    let nothing = json!({ "count": 0, "accounts": [] });
    assert_eq!(ask(api, &key, "GET", "/conflicts", &[], &Value::Null).body, nothing);
    // No operation can do this; another program that has the file can.
    let database = rusqlite::Connection::open(gateway.file("tollgate.db")).unwrap();
    let hash = tollgate::policy::account::Digest::of(token("live").as_bytes());
    database.execute("UPDATE token SET digest = ?1", [hash.bytes().as_slice()]).unwrap();
    mark(&database, of_token.split('/').nth(2).unwrap());
    let begun = std::time::Instant::now();
    let told = loop {
        let told = ask(api, &key, "GET", "/conflicts", &[], &Value::Null).body;
        if told["count"] == 1 {
            break told;
        }
        assert!(begun.elapsed().as_secs() < 20, "{told}");
    };
    assert_eq!(told["accounts"][0]["account"], "initech");
    assert!(told["accounts"][0]["why"][0].as_str().unwrap().contains("a token that the account main has"), "{told}");
    assert!(gateway.ask_admin("GET", "/metrics", &[], "").1.contains("tollgate_store_conflicts 1\n"));
    for environment in [&[][..], &[("TOLLGATE_API_KEY", &*key)]] {
        assert_eq!(done(&gateway, &["accounts", "conflicts"], environment), told);
    }
    let told = ask(api, &key, "POST", &format!("{of_token}/test"), &[], &json!({ "address": "203.0.113.9" })).body;
    assert!(told["conflicts"][0].as_str().unwrap().contains("the account main has"), "{told}");
    // The files' account goes on, and this one can be mended whatever is wrong with it.
    gateway.send(VERSIONS[0], &Request::lookup("live")).assert_success();
    assert_eq!(gateway.send(VERSIONS[0], &Request::lookup("live").set("Auth-Token", &secret)).status(), 401);
    let mended = ask(api, &key, "POST", &format!("{of_token}/revoke"), &[("If-Match", "*")], &Value::Null);
    assert_eq!(mended.status, 200, "{}", mended.body);
    assert_eq!(ask(api, &key, "GET", "/conflicts", &[], &Value::Null).body, nothing);
}

/// Rows that no operation can have written are named and left out, at the start and while it runs; everybody else is
/// served.
#[test]
fn damaged_rows_are_named_and_everybody_else_is_served() {
    let backend = Backend::answering_json();
    let scratch = Scratch::new();
    let file = scratch.path("tollgate.db");
    let store = format!(
        "ledger: {{ file: {} }}\nstore: {{ sqlite: {} }}\napi: {{ listen: $FREE }}\n",
        scratch.path("ledger.db").display(),
        file.display()
    );
    let yaml = Configuration::new(backend.address()).with(&store).yaml();
    let mut running = Gateway::start(&yaml);
    let (key, api) = (admin_key(&running), running.more(0));
    let made: Vec<(String, String)> = ["good", "state", "list", "limit", "bytes"]
        .map(|name| {
            let (of_account, of_token, secret) = new_token(&running, &key, name);
            let list = json!({ "mode": "enforce", "entries": [{ "value": "127.0.0.0/8" }] });
            ask(api, &key, "PUT", &format!("{of_token}/networks"), &[("If-Match", "*")], &list);
            (of_account.rsplit('/').next().unwrap().to_owned(), secret)
        })
        .into();
    let lookup = |running: &Gateway, secret: &str| {
        running.send(VERSIONS[0], &Request::lookup("live").set("Auth-Token", secret)).status()
    };
    assert!(made.iter().all(|(_, secret)| lookup(&running, secret) == 200));
    let database = rusqlite::Connection::open(&file).unwrap();
    database.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF;").unwrap();
    for (sql, (id, _)) in [
        "UPDATE account SET state = 'odd' WHERE id = ?1",
        "UPDATE token_entry SET value = 'nowhere' WHERE account_id = ?1",
        "UPDATE account_limit SET period = 'fortnight' WHERE account_id = ?1",
        "UPDATE account SET name = x'ff00' WHERE id = ?1",
    ]
    .iter()
    .zip(&made[1..])
    {
        // A column of text takes no bytes, whatever else is ignored.
        let _ = database.execute(sql, [id]);
        mark(&database, id);
    }
    drop(database);
    for is_restarted in [false, true] {
        if is_restarted {
            running.kill();
            running = Gateway::start(&yaml);
        }
        let api = running.more(0);
        let begun = std::time::Instant::now();
        let told = loop {
            let told = ask(api, &key, "GET", "/conflicts", &[], &Value::Null).body;
            if told["count"].as_u64() >= Some(3) || begun.elapsed().as_secs() > 20 {
                break told.to_string();
            }
        };
        for words in [&*made[1].0, "its state is unknown", &*made[3].0, "has an entry of networks that"] {
            assert!(told.contains(words), "{words}: {told}");
            until("the log has it as well", || running.output().contains(words));
        }
        // An account in force stays as it was; after a restart nobody knows how it was.
        assert_eq!(lookup(&running, &made[0].1), 200);
        let expected = if is_restarted { 401 } else { 200 };
        for (id, secret) in &made[1..4] {
            assert_eq!(lookup(&running, secret), expected, "{id}");
        }
        running.send(VERSIONS[0], &Request::lookup("live")).assert_success();
        let (_, of_token, secret) = new_token(&running, &key, if is_restarted { "after" } else { "beside" });
        assert_eq!(lookup(&running, &secret), 200, "changes of others come into force");
        assert_eq!(
            ask(api, &key, "POST", &format!("{of_token}/revoke"), &[("If-Match", "*")], &Value::Null).status,
            200
        );
    }
}

/// A process that ends leaves nothing beside the file, which can be copied as it is.
#[test]
fn at_the_end_everything_is_in_the_file_itself() {
    let backend = Backend::answering_json();
    let mut gateway = gateway(&backend, "");
    let key = admin_key(&gateway);
    let (of_account, ..) = new_token(&gateway, &key, "initech");
    gateway.terminate();
    assert!(gateway.wait_for_end(PATIENCE).is_some_and(|status| status.success()));
    std::fs::copy(gateway.file("tollgate.db"), gateway.file("copy.db")).unwrap();
    let copy = rusqlite::Connection::open(gateway.file("copy.db")).unwrap();
    let read = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
    let found = copy.query_row("SELECT account_id FROM token", [], read).unwrap();
    assert_eq!(format!("/accounts/{found}"), of_account);
}

/// A file of a newer version is refused in words by whatever would use it, and is left as it was.
#[test]
fn a_store_of_a_newer_version_is_refused_in_words() {
    let backend = Backend::answering_json();
    let mut gateway = gateway(&backend, "");
    done(&gateway, &["accounts", "create", "initech", "--unlimited"], &[]);
    gateway.kill();
    let database = rusqlite::Connection::open(gateway.file("tollgate.db")).unwrap();
    database.execute("UPDATE store_layout SET layout = 99, readable_from = 99", []).unwrap();
    drop(database);
    for words in [&["run"][..], &["check"], &["accounts", "list"], &["accounts", "export"], &["accounts", "import"]] {
        let refused = tollgate(&gateway, words, &[]);
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "{words:?}");
        assert!(why.contains("a newer version of this program (layout 99"), "{words:?}: {why}");
    }
}

/// From files to the store in one step, and back: `accounts` of the store, without a refused request.
#[test]
fn accounts_move_from_files_to_the_store_without_a_refused_request() {
    use std::fmt::Write as _;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    const MORE: usize = 1500;
    let backend = Backend::answering_json();
    let mut yaml = Configuration::new(backend.address()).with(STORE).yaml();
    for number in 0..MORE {
        let hash = tollgate::policy::account::Digest::of(format!("more-{number}").as_bytes()).text();
        writeln!(yaml, "  more-{number}: {{ rate: {{ unlimited: true }}, tokens: [{{ name: t, hash: \"{hash}\", products: [phone] }}] }}")
            .unwrap();
    }
    let gateway = Gateway::start(&yaml);
    let written = std::fs::read_to_string(gateway.config()).unwrap();
    let dry = done(&gateway, &["accounts", "import", "--dry-run"], &[]);
    let all = dry["created"].as_u64().unwrap();
    assert!(all as usize >= MORE && dry["refused"] == 0 && dry["in_files"] == all, "{dry}");
    assert_eq!(tollgate(&gateway, &["accounts", "list", "--json"], &[]).stdout, b"", "nothing was written");
    assert_eq!(done(&gateway, &["accounts", "import"], &[])["created"], all);
    assert_eq!(done(&gateway, &["accounts", "import"], &[])["unchanged"], all);
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for secret in [token("live"), "more-7".to_owned(), format!("more-{}", MORE - 1)] {
            let (gateway, stop, served) = (&gateway, &stop, &served);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let lookup = Request::lookup("live").set("Auth-Token", &secret);
                    assert_eq!(gateway.send(VERSIONS[0], &lookup).status(), 200);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let of_store = written.replace("sqlite: tollgate.db", "sqlite: tollgate.db, accounts: store");
        let (begin, end) = (of_store.find("accounts:\n").unwrap(), of_store.find("\nlisten: ").unwrap());
        let empty = of_store[..begin].to_owned() + &of_store[end..];
        for (text, conflicts) in [
            (of_store.clone(), 0),
            (written.replace("sqlite: tollgate.db", "sqlite: tollgate.db, accounts: files"), 0),
            (written.clone(), all),
            (of_store, 0),
            (empty, 0),
        ] {
            gateway.replace("tollgate.yaml", &text);
            let reloaded = tollgate(&gateway, &["reload"], &[]);
            assert!(reloaded.status.success(), "{}", String::from_utf8_lossy(&reloaded.stderr));
            until("conflicts are counted", || gateway.metric::<u64>("tollgate_store_conflicts") == conflicts);
            let before = served.load(Ordering::Relaxed);
            while served.load(Ordering::Relaxed) < before + 6 {
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    // Files that have what is in force from the store are a mistake, with its line.
    gateway.replace("tollgate.yaml", &written);
    let reloaded = tollgate(&gateway, &["reload"], &[]);
    let why = String::from_utf8_lossy(&reloaded.stderr).into_owned();
    assert!(!reloaded.status.success() && why.contains("is an account that the store has"), "{why}");
    // What was exported is put back as it was.
    let first = tollgate(&gateway, &["accounts", "export"], &[]).stdout;
    assert_eq!(first.split(|byte| *byte == b'\n').count() as u64, all + 1);
    gateway.replace("export.jsonl", std::str::from_utf8(&first).unwrap());
    let other = written.replace("sqlite: tollgate.db", "sqlite: other.db, accounts: store");
    gateway.replace("other.yaml", &other);
    let words = ["--config", gateway.file("other.yaml").to_str().unwrap()].map(str::to_owned);
    let with = |command: &[&'static str]| [command, &[&*words[0], &*words[1]]].concat();
    let export = gateway.file("export.jsonl");
    let import = [with(&["accounts", "import"]), vec![export.to_str().unwrap()]].concat();
    assert_eq!(done(&gateway, &import, &[])["created"], all);
    assert_eq!(tollgate(&gateway, &with(&["accounts", "export"]), &[]).stdout, first);
    // The summary of a check has the store's accounts, and a balance of each that pays.
    let checked = tollgate(&gateway, &with(&["check"]), &[]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains(&format!("{all} accounts")), "{said}");
}

/// Accounts are taken out of their files by the import itself, while clients use them: none is refused, few or many; and
/// files whose loss the configuration cannot bear are put back.
#[test]
fn adopted_accounts_are_taken_out_of_their_files_without_a_refused_request() {
    use std::fmt::Write as _;
    use std::sync::atomic::{AtomicBool, Ordering};
    const MANY: usize = 1500;
    let hash = |secret: &str| tollgate::policy::account::Digest::of(secret.as_bytes()).text();
    let few = format!(
        "accounts:\n  few: {{ rate: {{ unlimited: true }}, tokens: [{{ name: t, hash: \"{}\", products: [phone] }}] }}\n",
        hash("few")
    );
    let mut many = String::new();
    for number in 0..MANY {
        let digest = hash(&format!("many-{number}"));
        let token = json!({ "name": "t", "hash": digest, "products": ["phone"] });
        let account = json!({ "name": format!("many-{number}"), "rate": { "unlimited": true }, "tokens": [token] });
        writeln!(many, "{account}").unwrap();
    }
    let backend = Backend::answering_json();
    let include = "include: [accounts.d/few.yaml, 'accounts.d/*.jsonl']\n";
    let yaml = Configuration::new(backend.address()).with(STORE).with(include).yaml();
    let gateway = Gateway::start_with_files(&yaml, &[("accounts.d/few.yaml", &few), ("accounts.d/many.jsonl", &many)]);
    let file = |name: &str| gateway.file(&format!("accounts.d/{name}"));
    let paths = ["few.yaml", "many.jsonl"].map(|name| file(name).display().to_string());
    let adopt = |more: &[&str]| {
        let words = [&["accounts", "import", "--adopt"], more].concat();
        tollgate(&gateway, &words, &[])
    };
    let refused = adopt(&[]);
    assert!(!refused.status.success(), "only named files are emptied");
    let said = String::from_utf8(adopt(&["--dry-run", &paths[0]]).stdout).unwrap();
    assert!(
        said.contains("1 account is new, 0 have got tokens, 0 are as they were, 0 were refused; 1 token is new"),
        "{said}"
    );
    assert!(said.contains("would be emptied") && std::fs::read_to_string(file("few.yaml")).unwrap() == few, "{said}");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for secret in ["few".to_owned(), "many-7".to_owned(), format!("many-{}", MANY - 1)] {
            let (gateway, stop) = (&gateway, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let lookup = Request::lookup("live").set("Auth-Token", &secret);
                    assert_eq!(gateway.send(VERSIONS[0], &lookup).status(), 200, "{secret}");
                }
            });
        }
        for (path, text) in paths.iter().zip([&few, &many]) {
            let output = adopt(&[path]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(said.contains("was emptied") && !said.contains("in files of"), "{said}");
            assert_eq!(std::fs::read_to_string(format!("{path}.adopted")).unwrap(), *text);
            let reloaded = tollgate(&gateway, &["reload"], &[]);
            assert!(reloaded.status.success(), "{}", String::from_utf8_lossy(&reloaded.stderr));
        }
        until("nothing is in conflict", || gateway.metric::<u64>("tollgate_store_conflicts") == 0);
        stop.store(true, Ordering::Relaxed);
    });
    let disabled = tollgate(&gateway, &["tokens", "disable", "few", "t"], &[]);
    assert!(disabled.status.success(), "{}", String::from_utf8_lossy(&disabled.stderr));
    let lookup = Request::lookup("live").set("Auth-Token", "few");
    until("the store's account is in force", || gateway.send(VERSIONS[0], &lookup).status() != 200);
    // What cannot be in the store stays in its file.
    let taken = few.replace("few:", "other:");
    gateway.replace("accounts.d/other.yaml", &taken);
    let output = adopt(&[&file("other.yaml").display().to_string()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        !output.status.success() && said.contains("1 was refused") && said.contains("no file is emptied"),
        "{said}"
    );
    assert_eq!(std::fs::read_to_string(file("other.yaml")).unwrap(), taken);
    // A pattern that takes whatever there is would take what is kept as well.
    gateway.replace("accounts.d/few.yaml", &few.replace("few:", "one more:").replace(&hash("few"), &hash("one more")));
    let text = std::fs::read_to_string(gateway.config()).unwrap();
    let greedy = text.replace("accounts.d/few.yaml, 'accounts.d/*.jsonl'", "'accounts.d/few*'");
    std::fs::remove_file(file("few.yaml.adopted")).unwrap();
    gateway.replace("tollgate.yaml", &greedy);
    let output = adopt(&[&paths[0]]);
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && why.contains("these are as they were"), "{why}");
    assert!(std::fs::read_to_string(file("few.yaml")).unwrap().contains("one more"));
}
