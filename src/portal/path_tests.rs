//! Values of paths that would lead elsewhere, and what needs a proof of who somebody is.

use axum::http::Method;

use super::page::Door;
use super::router;
use super::testing::Person;
use super::walk_tests::{bench, form};
use crate::ledger::store::records::Role;

/// Values that would be another path of the API, or none, if they were taken as they are.
const ODD: [&str; 14] = [
    "%20",
    "x%20y",
    "%C3%A9",
    "%00",
    "%22",
    "..",
    "%2E%2E%2Fusers",
    "a%2Fb",
    "%3Fx%3D",
    "%23",
    "%25",
    "ID%2Fclose%3F",
    "ID%2Fclose%23",
    "ID%2Frevoke%23",
];

#[tokio::test]
async fn a_value_of_a_path_is_never_another_path() {
    let (bench, [own, _]) = bench().await;
    let owner = Person::new(&bench, "owner", Some(&own.account), Role::Owner).await;
    let admin = Person::new(&bench, "admin", None, Role::Admin).await;
    let names = ["{account}", "{token}", "{key}", "{user}", "{invitation}", "{notice}", "{act}"];
    let (mut asked, mut faults) = (0, Vec::new());
    for page in router::all() {
        let person = if page.door == Door::Operator { &admin } else { &owner };
        for (name, odd) in names.into_iter().flat_map(|name| ODD.map(|odd| (name, odd))) {
            if !page.path.contains(name) {
                continue;
            }
            let odd = odd.replace("ID", if name == "{account}" { &own.account } else { &own.token });
            let path = own.filled_in(&page.path.replacen(name, &odd, 1));
            let before = bench.commits().await;
            let answer = if page.method == Method::GET {
                person.browser.get(&path).await
            } else {
                person.post(&path, &form(&page, &own).1, &person.word, &[]).await
            };
            let is_changed = bench.commits().await != before;
            if answer.status != 404 || is_changed {
                faults.push(format!("{} {path}: {} {} {is_changed}", page.method, answer.status, answer.location));
            }
            asked += 1;
        }
    }
    assert!(asked > 500 && faults.is_empty(), "{} of {asked}: {faults:#?}", faults.len());
}

/// What gives away something that lasts: it takes a proof of who somebody is.
fn is_sensitive(path: &str) -> bool {
    let below = |start: &str| path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let of_account = path.strip_prefix("/accounts/{account}").unwrap_or_default();
    let of_desk = path.strip_prefix("/operator/accounts/{account}").unwrap_or_default();
    ["/tokens/new", "/tokens/{token}/rotate", "/keys"].contains(&of_account)
        || below("/accounts/{account}/members")
        || ["/close", "/credits", "/invite"].contains(&of_desk)
        || ["/operator/keys", "/operator/import/done", "/operator/shadow/promote", "/operator/shadow/drop"]
            .contains(&path)
        || below("/operator/users")
}

#[tokio::test]
async fn what_is_sensitive_is_done_after_a_proof_alone() {
    let (bench, [own, _]) = bench().await;
    let owner = Person::new(&bench, "owner", Some(&own.account), Role::Owner).await;
    let admin = Person::new(&bench, "admin", None, Role::Admin).await;
    bench.sql("UPDATE session SET strong_at = strong_at - 15 * 60000").await;
    let mut asked = 0;
    for page in router::all().into_iter().filter(|page| page.method == Method::POST) {
        assert_eq!(page.is_sensitive, is_sensitive(page.path), "{}", page.path);
        if !page.is_sensitive {
            continue;
        }
        let person = if page.door == Door::Operator { &admin } else { &owner };
        let (path, before) = (own.path(&page), bench.commits().await);
        let answer = person.post(&path, &form(&page, &own).1, &person.word, &[]).await;
        let is_changed = bench.commits().await != before;
        assert_eq!((answer.status, is_changed), (303, false), "{path}: {}", answer.text);
        assert!(answer.location.starts_with("/sign-in/again?to="), "{path}: {}", answer.location);
        let other = [("origin", "https://evil.example")];
        assert_eq!(person.post(&path, &form(&page, &own).1, &person.word, &other).await.status, 403);
        asked += 1;
    }
    assert!(asked >= 12, "{asked}");
}
