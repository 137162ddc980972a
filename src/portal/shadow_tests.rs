//! Tests of the page of a shadow: who sees what, and that a candidate comes into force or is dropped from there.

use crate::ledger::store::records::Role;
use crate::operate::reload::shadow::Wanted;
use crate::portal::sign_in::testing::{Bench, Browser};

const PAGE: &str = "/operator/shadow";

/// Has the configuration with one more line judge beside itself.
async fn start(bench: &Bench) -> String {
    let text = std::fs::read_to_string(bench.directory.join("gateway.yaml")).unwrap() + "# The candidate.\n";
    let path = bench.directory.join("candidate.yaml");
    std::fs::write(&path, &text).unwrap();
    bench.reloader.shadow(Wanted::Start(path)).await.unwrap();
    text
}

/// What the page says after a form of it was sent.
async fn after(browser: &Browser<'_>, act: &str) -> String {
    let answer = browser.post(&format!("{PAGE}/{act}"), &[]).await;
    assert!(answer.status == 303 && answer.location.starts_with(PAGE), "{act}: {} {}", answer.status, answer.text);
    browser.get(&answer.location).await.text
}

#[tokio::test]
async fn an_administrator_promotes_and_drops_a_candidate() {
    let bench = Bench::new();
    let admin = bench.member("admin@example.com", None, Role::Admin).await;
    assert!(admin.get(PAGE).await.text.contains("There is no candidate."));
    assert!(after(&admin, "promote").await.contains("There is no shadow any more."));

    start(&bench).await;
    let page = admin.get(PAGE).await.text;
    assert!(page.contains("judges every request") && page.contains("Put it in force") && page.contains("Drop it"));
    let page = after(&admin, "drop").await;
    assert!(page.contains("The candidate was dropped.") && page.contains("(dropped)"), "{page}");
    assert!(!page.contains("Put it in force"));

    let text = start(&bench).await;
    let page = after(&admin, "promote").await;
    assert!(page.contains("The candidate is in force.") && page.contains("(promoted)"), "{page}");
    assert_eq!(std::fs::read_to_string(bench.directory.join("gateway.yaml")).unwrap(), text);
    let history = admin.get("/operator/audit").await.text;
    assert!(history.contains("shadow.promote") && history.contains("shadow.drop"), "{history}");
}

#[tokio::test]
async fn what_cannot_be_promoted_is_said_above_the_candidate_that_judges_on() {
    let bench = Bench::new();
    let admin = bench.member("admin@example.com", None, Role::Admin).await;
    let text = start(&bench).await;
    std::fs::write(bench.directory.join("candidate.yaml"), text + "# Another one.\n").unwrap();
    let answer = admin.post("/operator/shadow/promote", &[]).await;
    assert_eq!(answer.status, 422);
    assert!(
        answer.text.contains("have changed since") && answer.text.contains("judges every request"),
        "{}",
        answer.text
    );
    let in_force = std::fs::read_to_string(bench.directory.join("gateway.yaml")).unwrap();
    assert!(!in_force.contains("candidate"));
}

#[tokio::test]
async fn others_than_administrators_look_and_change_nothing() {
    let bench = Bench::new();
    start(&bench).await;
    for (email, role) in [("support@example.com", Role::Support), ("auditor@example.com", Role::Auditor)] {
        let browser = bench.member(email, None, role).await;
        let page = browser.get(PAGE).await.text;
        assert!(page.contains("judges every request") && !page.contains("Put it in force"), "{page}");
        for act in ["promote", "drop"] {
            let answer = browser.post(&format!("{PAGE}/{act}"), &[]).await;
            assert_eq!(answer.status, 403, "{email} {act}: {}", answer.text);
        }
        assert!(browser.get(PAGE).await.text.contains("judges every request"));
    }
}
