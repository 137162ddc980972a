//! Names, notes and parameters that try to be markup, on every page and in every answer to a form; and what every answer
//! has in its head.

use axum::http::Method;
use serde_json::json;

use super::router;
use super::sign_in::testing::{Answer, Bench};
use super::testing::{Form, Objects, Person, with_credits};
use super::words::HOUR_MS;
use crate::ledger::store::records::Role;
use crate::ledger::store::usage;
use crate::platform::clock::unix_milliseconds;
use crate::policy::account::Digest;
use crate::telemetry::usage::{RefusalRow, UsageRow};

/// What somebody could call something.
fn names() -> Vec<String> {
    let long = "<svg/onload=alert(1)>".repeat(12);
    vec![
        "<script>alert(1)</script>".to_owned(),
        "\"><img src=x onerror=alert(1)>".to_owned(),
        "' onmouseover='alert(1)' style='color:red".to_owned(),
        "</title></textarea></option></svg><!-- ]]> <style>*{color:red}</style>".to_owned(),
        "\u{202e}gpj.tcif\u{202c} \"quoted\" & &lt;b&gt; {{ 7*7 }}".to_owned(),
        "javascript:alert(1)//".to_owned(),
        long.chars().take(255).collect(),
    ]
}

/// The attributes that tags of pages have.
const ATTRIBUTES: &str = "\
    / action alt aria-current aria-describedby aria-hidden aria-label aria-live autocapitalize autocomplete \
    charset checked class colspan content cx cy d data-copy datetime defer disabled fill for height hidden high \
    href id inputmode lang low max maxlength method min minlength name open optimum pattern placeholder points r \
    readonly rel required role rows scope selected shape-rendering spellcheck src start step stroke tabindex \
    target text-anchor title transform type value viewBox viewbox width x x1 x2 xmlns y y1 y2 cols accept list \
    multiple rowspan size formaction data-label";

/// A tag with its attributes.
#[derive(Debug)]
struct Tag<'t> {
    name: &'t str,
    attributes: Vec<(&'t str, &'t str)>,
    /// What stands behind it.
    rest: &'t str,
}

/// Every tag of a page, as a browser reads them: a `<` that is text is written otherwise.
fn tags(page: &str) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    let mut rest = page;
    assert!(!page.contains("<!") || page.starts_with("<!doctype html>"), "{page}");
    while let Some((_, behind)) = rest.trim_start_matches("<!doctype html>").split_once('<') {
        let end = behind.find(|c: char| c.is_whitespace() || c == '>').unwrap();
        let (name, mut of_tag) = behind.split_at(end);
        let mut attributes = Vec::new();
        loop {
            of_tag = of_tag.trim_start();
            if let Some(behind) = of_tag.strip_prefix('>') {
                rest = behind;
                break;
            }
            let end = of_tag.find(|c: char| c.is_whitespace() || matches!(c, '>' | '=')).unwrap();
            let (attribute, behind) = of_tag.split_at(end);
            of_tag = behind;
            let mut value = "";
            if let Some(behind) = behind.strip_prefix("=\"") {
                (value, of_tag) = behind.split_once('"').unwrap();
            } else {
                assert!(!behind.starts_with('='), "a value has no quotes: {name} {attribute}{behind:.50}");
            }
            attributes.push((attribute, value));
        }
        tags.push(Tag { name, attributes, rest });
    }
    tags
}

/// What of a tag is not of a template.
fn faults_of(tag: &Tag<'_>) -> Vec<String> {
    let Tag { name, attributes, rest } = tag;
    let mut faults = Vec::new();
    if ["style", "img", "iframe", "object", "embed", "base"].contains(&name.trim_matches('/')) {
        faults.push(format!("<{name}>"));
    }
    for (attribute, value) in attributes {
        let is_own = value.starts_with('/') && !value.starts_with("//") || value.starts_with('#');
        let is_known = value.starts_with("https://api.example.com/") || value.starts_with("otpauth://totp/");
        let leads = ["href", "src", "action", "formaction"].contains(attribute);
        if !ATTRIBUTES.split(' ').any(|known| known == *attribute) || leads && !is_own && !is_known {
            faults.push(format!("<{name} {attribute}=\"{value}\">"));
        }
    }
    if *name == "script" {
        let is_file = attributes.iter().any(|(name, value)| *name == "src" && value.starts_with("/assets/"));
        if !is_file || !rest.starts_with("</script>") {
            faults.push(format!("a script stands in the page: {rest:.50}"));
        }
    }
    faults
}

/// Where a page has a script or style of its own, or a tag that no template has.
fn faults_of_page(page: &str) -> Vec<String> {
    tags(page).iter().flat_map(faults_of).collect()
}

/// What the head of an answer does not have.
fn faults_of_head(answer: &Answer, is_asset: bool) -> Vec<String> {
    let policy = "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; form-action 'self'; \
                  frame-ancestors 'none'; base-uri 'none'";
    let wanted = [
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cache-control", if is_asset && answer.status == 200 { "private, max-age=86400" } else { "no-store" }),
    ];
    let header = |name: &str| -> Vec<&str> {
        answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    };
    let wrong = wanted.into_iter().filter(|(name, value)| header(name) != [*value]);
    wrong.map(|(name, _)| format!("{name}: {:?}", header(name))).collect()
}

/// What is wrong with an answer.
fn faults(answer: &Answer, is_asset: bool) -> Vec<String> {
    let mut faults = faults_of_head(answer, is_asset);
    if answer.status >= 500 {
        faults.push(answer.status.to_string());
    }
    let kind = answer.headers["content-type"].to_str().unwrap();
    if kind.starts_with("text/html") {
        faults.extend(faults_of_page(&answer.text));
        return faults;
    }
    let disposition = answer.headers.get("content-disposition").map_or("", |value| value.to_str().unwrap());
    let is_download = disposition.starts_with("attachment; filename=\"");
    let known = ["text/plain", "text/css", "text/javascript", "image/svg+xml", "text/csv"];
    if !known.iter().any(|known| kind.starts_with(known)) || kind.starts_with("text/csv") != is_download {
        faults.push(format!("{kind} {disposition}"));
    }
    faults
}

/// What was used and refused by a token that is called so, for reasons that are called so.
async fn use_it(bench: &Bench, account: &str, text: &str) {
    let now_ms = unix_milliseconds();
    let used = ["", "body-malformed", text].map(|outcome| UsageRow {
        hour: now_ms.div_euclid(HOUR_MS) * HOUR_MS,
        account: account.into(),
        token: text.into(),
        digest: Digest::of(text.as_bytes()),
        product: text.into(),
        outcome: outcome.into(),
        requests: 3,
        credits: 3,
        watched: [1, 1],
        last_at: now_ms,
    });
    let refused = ["ip-not-allowed", "domain-not-allowed", "token-disabled", text].map(|problem| RefusalRow {
        minute: now_ms.div_euclid(60_000) * 60_000,
        account: account.into(),
        token: text.into(),
        product: text.into(),
        problem: problem.into(),
        is_watched: problem == text,
        reason: "a reason",
        address: text.to_owned(),
        host: text.to_owned(),
        requests: 2,
        transaction: *uuid::Uuid::new_v4().as_bytes(),
    });
    bench.store.maintain(move |connection| usage::add(connection, &used, &refused)).await.unwrap();
}

/// A portal in which everything is called so, and the account.
async fn called(text: &str) -> (Bench, Objects) {
    let bench = Bench::over("", "", vec![with_credits(text, text)]);
    let accounts = bench.ask(Method::GET, "/accounts", serde_json::Value::Null).await;
    let account = accounts["items"][0]["id"].as_str().unwrap().to_owned();
    let objects = Objects::of(&bench, account.clone(), text.to_owned(), text).await;
    use_it(&bench, text, text).await;
    let grant = json!({ "amount": 5, "why": text });
    bench.ask(Method::POST, &format!("/accounts/{account}/credits/phone/grants"), grant).await;
    bench.notice(text).await;
    (bench, objects)
}

/// Every parameter that a page may take.
fn parameters(text: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for name in
        ["done", "add", "problem", "token", "product", "outcome", "account", "address", "origin", "method", "path"]
    {
        query.append_pair(name, text);
    }
    query.append_pair("to", text).append_pair("revoked", "1").finish()
}

/// Every field that a form may have.
fn fields(text: &str) -> Form {
    const NAMES: &str = "name product expires email role entries mode absent step text address origin method path display plan \
        plan_before why amount kind list token value token_days mail below scope overlap code draft to session \
        funds credits version once password again problem until from title";
    let value = |name: &str| if name == "again" { format!("{text}x") } else { text.to_owned() };
    NAMES.split(' ').map(|name| (name, value(name))).collect()
}

/// What was looked at as everybody.
#[derive(Default)]
struct Found {
    faults: Vec<String>,
    /// Answers that show the text, as text.
    shown: usize,
}

impl Found {
    fn add(&mut self, answer: &Answer, path: &str, person: &Person<'_>, text: &str) {
        let found = faults(answer, path.starts_with("/assets/"));
        self.faults.extend(found.iter().map(|fault| format!("{path} as {} with {text:.30}: {fault}", person.name)));
        let escaped = askama::filters::escape(text, askama::filters::Html).unwrap().to_string();
        self.shown += usize::from(answer.text.contains(&escaped));
    }
}

/// Looks at every page, without parameters and with all of them.
async fn look_at_all(person: &Person<'_>, objects: &Objects, text: &str) -> Found {
    let mut found = Found::default();
    for page in router::all().iter().filter(|page| page.method == Method::GET) {
        let path = objects.path(page);
        for path in [format!("{path}?{}", parameters(text)), path] {
            found.add(&person.browser.get(&path).await, &path, person, text);
        }
    }
    found
}

/// Sends every form that does not end or change the session.
async fn send_all(person: &Person<'_>, objects: &Objects, text: &str) -> Found {
    let mut found = Found::default();
    for page in router::all().iter().filter(|page| page.method == Method::POST) {
        let path = objects.path(page);
        if !["/sign-out", "/me/one-time-password/remove"].contains(&&*path) {
            found.add(&person.post(&path, &fields(text), &person.word, &[]).await, &path, person, text);
        }
    }
    found
}

#[tokio::test]
async fn nothing_that_people_write_becomes_markup_and_every_answer_is_guarded() {
    let mut faults = Vec::new();
    for text in names() {
        let (bench, objects) = called(&text).await;
        let people = [
            Person::nobody(&bench),
            Person::new(&bench, "owner", Some(&objects.account), Role::Owner).await,
            Person::new(&bench, "viewer", Some(&objects.account), Role::Viewer).await,
            Person::new(&bench, "admin", None, Role::Admin).await,
        ];
        let mut found = Vec::new();
        for person in &people {
            found.push(look_at_all(person, &objects, &text).await);
        }
        for person in &people {
            found.push(send_all(person, &objects, &text).await);
        }
        let shown: Vec<usize> = found.iter().map(|found| found.shown).collect();
        let is_shown = shown[1] > 25 && shown[2] > 20 && shown[3] > 30 && shown[5] > 5 && shown[7] > 5;
        if !is_shown {
            faults.push(format!("{text} is shown on pages: {shown:?}"));
        }
        faults.extend(found.into_iter().flat_map(|found| found.faults));
    }
    assert!(faults.is_empty(), "{} faults: {:#?}", faults.len(), &faults[..faults.len().min(40)]);
}

#[test]
fn what_would_be_markup_is_found() {
    for bad in [
        "<p onclick=\"x\">",
        "<style>",
        "<p style=\"x\">",
        "<script>alert(1)</script>",
        "<script src=\"https://evil.example\"></script>",
        "<a href=\"javascript:alert(1)\">",
        "<a href=\"//evil.example\">",
        "<form action=\"https://evil.example\">",
        "<img src=\"x\">",
    ] {
        assert!(!faults_of_page(bad).is_empty(), "{bad}");
    }
    let good = "<p class=\"a\">&#60;script&#62;</p><script src=\"/assets/helpers.js\" defer></script>";
    assert_eq!(faults_of_page(good), [""; 0]);
}
