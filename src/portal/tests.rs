//! What pages do beside showing and changing: tables for spreadsheets, the ways to what mends a problem, the ways back
//! after signing in, and what a customer is told of operators who look.

use axum::http::Method;
use serde_json::{Value, json};

use super::frame::may_see;
use super::sign_in::testing::{Answer, Bench, PASSWORD};
use super::testing::{Person, with_credits};
use super::words::HOUR_MS;
use crate::ledger::store::records::Role;
use crate::ledger::store::usage;
use crate::platform::clock::unix_milliseconds;
use crate::policy::account::Digest;
use crate::policy::problem::TABLE;
use crate::telemetry::usage::UsageRow;

/// What a spreadsheet would run.
const FORMULAS: [&str; 6] = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "=HYPERLINK(\"https://evil.example\",\"x\")"];

/// Rows of CSV by the names of its columns.
fn rows(sheet: &Answer) -> Vec<Vec<(String, String)>> {
    assert_eq!(sheet.status, 200, "{}", sheet.text);
    let mut reader = csv::Reader::from_reader(sheet.text.as_bytes());
    let names = reader.headers().unwrap().clone();
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let named = |row: &csv::StringRecord| {
        names.iter().zip(row).map(|(name, cell)| (name.to_owned(), cell.to_owned())).collect()
    };
    records.iter().map(named).collect()
}

/// No cell but numbers begins like a formula, and these texts are there as texts.
fn assert_no_formulas(sheet: &Answer, column: &str) {
    let rows = rows(sheet);
    for (name, cell) in rows.iter().flatten() {
        let is_number = cell.parse::<i64>().is_ok() && ["amount", "credits", "requests"].contains(&&**name);
        assert!(is_number || !cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']), "{name}: {cell}");
    }
    for formula in FORMULAS {
        let is_there = rows.iter().flatten().any(|(name, cell)| name == column && *cell == format!("'{formula}"));
        assert!(is_there || formula.starts_with('\t'), "{column} has no '{formula}");
    }
}

#[tokio::test]
async fn sheets_have_no_formulas() {
    let bench = Bench::over("", "", vec![with_credits("acme", "")]);
    let accounts = bench.ask(Method::GET, "/accounts", Value::Null).await;
    let id = accounts["items"][0]["id"].as_str().unwrap().to_owned();
    let hour = unix_milliseconds().div_euclid(HOUR_MS) * HOUR_MS;
    let used: Vec<UsageRow> = FORMULAS
        .into_iter()
        .map(|text| UsageRow {
            hour,
            account: "acme".into(),
            token: text.into(),
            digest: Digest::of(text.as_bytes()),
            product: text.into(),
            outcome: "body-malformed".into(),
            requests: 1,
            credits: 1,
            watched: [0, 0],
            last_at: hour,
        })
        .collect();
    bench.store.maintain(move |connection| usage::add(connection, &used, &[])).await.unwrap();
    for why in FORMULAS.into_iter().filter(|text| !text.starts_with('\t')) {
        let path = format!("/accounts/{id}/credits/phone/adjustments");
        bench.ask(Method::POST, &path, json!({ "amount": -5, "why": why })).await;
    }
    let viewer = Person::new(&bench, "viewer", Some(&id), Role::Viewer).await;
    let used = viewer.browser.get(&format!("/accounts/{id}/usage.csv?by=hour&days=1")).await;
    for column in ["token", "product"] {
        assert_no_formulas(&used, column);
    }
    assert_no_formulas(&viewer.browser.get(&format!("/accounts/{id}/credits/phone/entries.csv")).await, "why");
}

#[tokio::test]
async fn every_problem_leads_to_a_page_that_is_there() {
    let bench = Bench::new();
    let (acme, other) = (bench.account("acme").await, bench.account("other").await);
    let member = Person::new(&bench, "member", Some(&acme), Role::Member).await;
    let admin = Person::new(&bench, "admin", None, Role::Admin).await;
    let both = Person::new(&bench, "both", Some(&acme), Role::Owner).await;
    let (id, other_id) = (both.id.clone(), other.clone());
    let add = crate::ledger::store::memberships::add;
    bench.done(move |writing| add(writing, &other_id, &id, Role::Viewer).map(drop)).await;
    let slugs = TABLE.iter().map(|row| row.slug).chain(["number-missing", "none-of-ours", "..", "%2F%2Fevil.example"]);
    for slug in slugs {
        let path = format!("/fix/{slug}");
        let answer = member.browser.get(&path).await;
        assert_eq!(answer.status, 303, "{slug}");
        assert!(answer.location.starts_with(&format!("/accounts/{acme}/")), "{slug}: {}", answer.location);
        let page = member.browser.get(&answer.location).await;
        assert_eq!(page.status, 200, "{slug}: {} {}", answer.location, page.text);
        assert_eq!(admin.browser.get(&path).await.location, "/operator", "{slug}");
        let choice = both.browser.get(&path).await;
        let rest = answer.location.trim_start_matches(&format!("/accounts/{acme}"));
        // Viewers are not shown refusals.
        let rest_of_viewer = if may_see(Role::Viewer, rest) { rest } else { "" };
        for (account, rest) in [(&acme, rest), (&other, rest_of_viewer)] {
            assert!(choice.text.contains(&format!("href=\"/accounts/{account}{rest}\"")), "{slug}: {}", choice.text);
        }
    }
    let nobody = bench.browser().get("/fix/token-expired").await;
    assert_eq!(nobody.location, "/sign-in?to=%2Ffix%2Ftoken-expired");
}

/// Where a browser would go that is at the portal.
fn target(location: &str) -> url::Url {
    url::Url::parse("https://portal.example.com/sign-in").unwrap().join(location).unwrap()
}

fn assert_stays(answer: &Answer, what: &str) {
    if answer.status == 303 {
        let target = target(&answer.location);
        assert_eq!(target.origin().ascii_serialization(), "https://portal.example.com", "{what}: {}", answer.location);
    }
    for part in answer.text.split("href=\"").skip(1) {
        let link = part.split('"').next().unwrap();
        let is_own =
            link.starts_with("https://api.example.com/") || target(link).host_str() == Some("portal.example.com");
        assert!(is_own, "{what}: {link}");
    }
}

#[tokio::test]
async fn no_way_back_leads_to_another_site() {
    let bench = Bench::new();
    let browser = bench.member("ann@example.com", None, Role::Admin).await;
    for to in [
        "//evil.example",
        "///evil.example",
        "https://evil.example",
        "https:evil.example",
        "HTTPS://evil.example",
        "\\evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "\t//evil.example",
        " //evil.example",
        "/\r\n/evil.example",
        "/..//evil.example",
        "/.//evil.example",
        "/%2F/evil.example",
        "%2F%2Fevil.example",
        "/%5Cevil.example",
        "/%09/evil.example",
        "/a/../..//evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "@evil.example",
        ".evil.example",
        "/\u{2044}evil.example",
        "/\u{ff0f}evil.example",
    ] {
        // Once encoded, as a link has it, and twice.
        let once: String = url::form_urlencoded::byte_serialize(to.as_bytes()).collect();
        let twice: String = url::form_urlencoded::byte_serialize(once.as_bytes()).collect();
        for written in [&once, &twice] {
            for path in ["/sign-in?to=", "/sign-in?again&to=", "/sign-in/again?to=", "/sign-in/provider?to="] {
                let path = format!("{path}{written}");
                assert_stays(&browser.get(&path).await, &path);
                assert_stays(&bench.browser().get(&path).await, &path);
            }
        }
        assert_stays(&browser.post("/sign-in/again", &[("password", "wrong"), ("to", to)]).await, to);
        assert_stays(&bench.browser().get(&format!("//evil.example/{once}")).await, to);
        bench.sql("DELETE FROM attempt").await;
    }
    let form = [("email", "ann@example.com"), ("password", PASSWORD)];
    for to in ["/%2F/evil.example", "/..//evil.example", "//evil.example/%2e%2e", "/\\/evil.example"] {
        let answer = bench.browser().post("/sign-in", &[&form[..], &[("to", to)]].concat()).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        assert_stays(&answer, to);
    }
}

/// The looks in an account's history: who, where from, and through what.
async fn looks(bench: &Bench, account: &str) -> Vec<(String, String, String)> {
    let audit = bench.ask(Method::GET, &format!("/accounts/{account}/audit?action=operator.look"), Value::Null).await;
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let rows = audit["items"].as_array().unwrap().iter();
    rows.map(|row| (text(row, "actor"), text(row, "address"), text(row, "via"))).collect()
}

#[tokio::test]
async fn an_account_is_told_of_operators_who_look_once_a_session_and_an_hour() {
    let bench = Bench::new();
    let (acme, other) = (bench.account("acme").await, bench.account("other").await);
    let owner = Person::new(&bench, "owner", Some(&acme), Role::Owner).await;
    let mut auditor = Person::new(&bench, "auditor", None, Role::Auditor).await;
    auditor.browser.peer = "198.51.100.7".parse().unwrap();
    let hour = unix_milliseconds() / HOUR_MS;
    owner.browser.get(&format!("/accounts/{acme}")).await;
    owner.browser.get(&format!("/accounts/{other}")).await;
    auditor.browser.get(&format!("/operator/accounts/{acme}")).await;
    auditor.browser.get(&format!("/accounts/{}", "0".repeat(32))).await;
    assert_eq!((looks(&bench, &acme).await, looks(&bench, &other).await), (vec![], vec![]));
    for page in ["", "/tokens", "/usage.csv", "/refusals", "/audit"] {
        let answer = auditor.browser.get(&format!("/accounts/{acme}{page}")).await;
        assert_eq!(answer.status, 200, "{page}: {}", answer.text);
        assert!(page == "/usage.csv" || answer.text.contains("history says that you were here"), "{}", answer.text);
    }
    let look = (format!("user:{}", auditor.id), "198.51.100.7".to_owned(), "portal".to_owned());
    let seen = looks(&bench, &acme).await;
    let is_same_hour = || hour == unix_milliseconds() / HOUR_MS;
    assert!(seen.iter().all(|one| *one == look) && (seen.len() == 1 || !is_same_hour()), "{seen:?}");
    assert_eq!(looks(&bench, &other).await, []);
    // What is not of this hour is as if it had not been.
    bench.sql("UPDATE idempotency SET key = key || '-' WHERE scope LIKE 'look:%'").await;
    auditor.post(&format!("/accounts/{acme}/tokens/new"), &Vec::new(), &auditor.word, &[]).await;
    let again = Person { browser: bench.browser(), ..auditor };
    let form = [("email", "auditor@example.com"), ("password", PASSWORD)];
    assert_eq!(again.browser.post("/sign-in", &form).await.status, 303);
    again.browser.get(&format!("/accounts/{acme}/tokens")).await;
    again.browser.get(&format!("/accounts/{other}/tokens")).await;
    let seen = (looks(&bench, &acme).await.len(), looks(&bench, &other).await.len());
    assert!(seen == (3, 1) || !is_same_hour(), "{seen:?}");
    let history = owner.browser.get(&format!("/accounts/{acme}/audit")).await.text;
    assert!(history.contains("operator.look") && history.contains("an operator of the service"), "{history}");
}

#[tokio::test]
async fn a_look_that_cannot_be_noted_shows_nothing() {
    let bench = Bench::new();
    let acme = bench.account("acme").await;
    let owner = Person::new(&bench, "owner", Some(&acme), Role::Owner).await;
    let admin = Person::new(&bench, "admin", None, Role::Admin).await;
    bench.sql("PRAGMA query_only = 1").await;
    let path = format!("/accounts/{acme}/tokens");
    let (of_operator, of_owner) = (admin.browser.get(&path).await, owner.browser.get(&path).await);
    assert_eq!((of_operator.status, of_owner.status), (500, 200), "{}", of_operator.text);
    assert!(!of_operator.text.contains("acme"), "{}", of_operator.text);
    assert_eq!(admin.browser.get("/operator").await.status, 200);
}

#[tokio::test]
async fn a_link_of_somebody_else_puts_no_words_onto_a_page() {
    let bench = Bench::new();
    let acme = bench.account("acme").await;
    let owner = Person::new(&bench, "owner", Some(&acme), Role::Owner).await;
    let admin = Person::new(&bench, "admin", None, Role::Admin).await;
    let done =
        owner.post(&format!("/accounts/{acme}/alerts"), &vec![("version", "0".to_owned())], &owner.word, &[]).await;
    assert!(done.location.contains("?done=Saved."), "{}", done.text);
    assert!(owner.browser.get(&done.location).await.text.contains("<strong>Saved.</strong>"));
    let forged = done.location.replace("Saved.", "Call+0900+666");
    let pages = ["/tokens", "/alerts", "/members"].map(|page| format!("/accounts/{acme}{page}?done=Call+0900+666"));
    for path in pages.iter().chain([&forged, &"/me?done=Call+0900+666".to_owned()]) {
        assert!(!owner.browser.get(path).await.text.contains("0900"), "{path}");
    }
    for page in ["", "/status", "/users", "/keys", "/audit"] {
        let page = admin.browser.get(&format!("/operator{page}?done=Call+0900+666")).await;
        assert!(page.status == 200 && !page.text.contains("0900"), "{}", page.text);
    }
    assert!(
        !admin.browser.get(&done.location).await.text.contains("<strong>Saved.</strong>"),
        "the mark is the session's"
    );
}

#[tokio::test]
async fn a_field_of_a_form_is_never_another_path() {
    let bench = Bench::new();
    let acme = bench.account("acme").await;
    let owner = Person::new(&bench, "owner", Some(&acme), Role::Owner).await;
    let token = json!({ "name": "web", "products": ["plate"] });
    let token = bench.made(&format!("/accounts/{acme}/tokens"), token).await;
    for rest in ["/revoke#", "/disable?", "/../x", " ", "\u{e9}", ""] {
        let form =
            vec![("list", "networks".to_owned()), ("token", format!("{token}{rest}")), ("value", "?".to_owned())];
        let before = bench.commits().await;
        let answer = owner.post(&format!("/accounts/{acme}/refusals/fix"), &form, &owner.word, &[]).await;
        assert!([404, 422].contains(&answer.status), "{rest}: {} {}", answer.status, answer.text);
        assert_eq!(bench.commits().await, before, "{rest}");
    }
}
