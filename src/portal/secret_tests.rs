//! That nothing secret can be read in the store, whatever of it somebody gets hold of.

use std::fs;

use axum::http::Method;
use rusqlite::types::ValueRef;
use serde_json::json;

use super::sign_in::testing::{Bench, Mailbox, PASSWORD, from_base32, password_at};
use super::testing::{Person, unique};
use crate::ledger::store::randomness::hexadecimal;
use crate::ledger::store::records::Role;
use crate::platform::clock::unix_milliseconds;
use crate::platform::portal_key::from_hexadecimal;
use crate::policy::account::Digest;

/// Every text and every blob of every table, and the bytes of every file beside the key.
async fn dump(bench: &Bench) -> Vec<Vec<u8>> {
    let mut found = bench
        .store
        .read(|connection| {
            let connection = connection.sqlite().unwrap();
            let mut names = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'")?;
            let names: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            assert!(names.len() > 20, "{names:?}");
            let mut found = Vec::new();
            for name in names {
                let mut all = connection.prepare(&format!("SELECT * FROM {name}"))?;
                let columns = all.column_count();
                let mut rows = all.query([])?;
                while let Some(row) = rows.next()? {
                    for column in 0..columns {
                        if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = row.get_ref(column)? {
                            found.push(bytes.to_vec());
                        }
                    }
                }
            }
            Ok(found)
        })
        .await
        .unwrap();
    let files: Vec<_> = fs::read_dir(&bench.directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.iter().any(|file| file.ends_with("store.db-wal")), "{files:?}");
    let is_key = |name: &str| name.ends_with("portal-key");
    found.extend(files.iter().filter(|file| !is_key(&file.to_string_lossy())).map(|file| fs::read(file).unwrap()));
    found
}

fn has(dump: &[Vec<u8>], bytes: &[u8]) -> bool {
    dump.iter().any(|text| text.windows(bytes.len()).any(|window| window == bytes))
}

/// The ways in which a secret could be written.
fn ways(secret: &str) -> Vec<Vec<u8>> {
    let bare = secret.rsplit('_').next().unwrap();
    let mut ways = vec![secret.as_bytes().to_vec(), bare.to_uppercase().into_bytes(), bare.as_bytes().to_vec()];
    ways.extend(from_hexadecimal::<32>(bare.get(..64).unwrap_or("")).map(|bytes| bytes.to_vec()));
    ways.push(hexadecimal(secret.as_bytes()).into_bytes());
    ways
}

/// Sets up one-time passwords: the secret as text and as bytes, and a recovery code.
async fn one_time_passwords(person: &Person<'_>) -> (String, Vec<u8>, String) {
    let page = person.browser.get("/me/one-time-password").await;
    let draft = page.between("name=\"draft\" value=\"", "\"").to_owned();
    let text = page.between("<p><code>", "</code>").replace(' ', "");
    let secret = from_base32(&text);
    let code = password_at(&secret, unix_milliseconds() / 1000);
    let done = person.browser.post("/me/one-time-password", &[("draft", &draft), ("code", &code)]).await;
    assert_eq!(done.status, 200, "{}", done.text);
    (text, secret, done.between("<li><code>", "</code>").to_owned())
}

#[tokio::test]
async fn nothing_that_was_issued_can_be_read_in_the_store() {
    let mailbox = Mailbox::start();
    let bench = Bench::with("", &mailbox.alerts());
    let account = bench.account("acme").await;
    let invitation = bench.invite("ann@example.com", Some(&account), Role::Viewer).await;
    let owner = Person::new(&bench, "owner", Some(&account), Role::Owner).await;
    let base = format!("/accounts/{account}");
    let form = |name: &str| vec![("name", name.to_owned()), ("once", unique()), ("product", "plate".to_owned())];
    let made = owner.post(&format!("{base}/tokens/new"), &form("web"), &owner.word, &[]).await;
    let token = format!("tg_{}", made.between("id=\"secret\">tg_", "<"));
    assert_eq!(token.len(), 75, "{token}");
    let mut key = form("key");
    key.extend([("role", "viewer".to_owned()), ("scope", "read".to_owned())]);
    let key = owner.post(&format!("{base}/keys"), &key, &owner.word, &[]).await;
    let key = format!("tgm_{}", key.between("tgm_", "<"));
    let guest = vec![("email", "eve@example.com".to_owned()), ("role", "viewer".to_owned()), ("once", unique())];
    let link = owner.post(&format!("{base}/members"), &guest, &owner.word, &[]).await;
    let link = link.between("https://portal.example.com/invitation/", "<").to_owned();
    let stranger = bench.browser();
    stranger.post("/sign-in/link", &[("email", "owner@example.com")]).await;
    // The invitation was sent as well.
    let letter = mailbox.with("/sign-in/link/").await;
    let of_mail = letter.split_once("/sign-in/link/").unwrap().1;
    let of_mail = of_mail.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap().to_owned();
    let cookies: Vec<String> = [&owner.browser, &stranger]
        .into_iter()
        .flat_map(|browser| browser.jar.lock().unwrap().values().cloned().collect::<Vec<_>>())
        .collect();
    let (totp, totp_bytes, recovery) = one_time_passwords(&owner).await;
    let session = owner.browser.jar.lock().unwrap()["__Host-tg"].clone();
    let portal_key = fs::read_to_string(bench.directory.join("store.db.portal-key")).unwrap();

    let dump = dump(&bench).await;
    assert!(has(&dump, Digest::of(token.as_bytes()).bytes()), "digests are there, where secrets would be");
    assert!(has(&dump, Digest::of(session.as_bytes()).bytes()) && has(&dump, b"owner@example.com"));
    let invitation = invitation.trim_start_matches("/invitation/");
    let texts = [&*token, &key, &link, invitation, &of_mail, &session, PASSWORD, &totp, &recovery, &owner.word];
    let plain = recovery.replace('-', "");
    for secret in texts.into_iter().chain(cookies.iter().map(String::as_str)).chain([&*plain, portal_key.trim()]) {
        assert!(secret.len() >= 10, "{secret}");
        for way in ways(secret) {
            assert!(!has(&dump, &way), "{secret} is in the store");
        }
    }
    assert!(!has(&dump, &totp_bytes), "the secret of one-time passwords is in the store");
    let audit = bench.ask(Method::GET, "/audit", json!(null)).await.to_string();
    assert!(audit.contains("token.create") && !audit.contains(&token));
}
