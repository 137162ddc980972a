//! Importing by the management API: a look at it, once, and only what can be in force.

use serde_json::{Value, json};

use crate::ledger::store::export;
use crate::operate::api::testing::{Answer, Desk};

/// The lines of a store with an account that has a token.
async fn exported() -> String {
    let desk = Desk::open().await;
    let account = desk.account("acme").await;
    desk.token(&account, "web").await;
    let lines = desk.api.store.read(|connection| {
        let mut lines = Vec::new();
        export::write(connection, &mut lines, || {}).unwrap();
        Ok(String::from_utf8(lines).unwrap())
    });
    lines.await.unwrap()
}

async fn import(desk: &Desk, lines: &str, dry_run: bool) -> Answer {
    desk.done("POST", "/accounts/import", &json!({ "lines": lines, "dry_run": dry_run })).await
}

#[tokio::test]
async fn an_import_does_what_its_dry_run_has_said_and_once() {
    let (lines, desk) = (exported().await, Desk::open().await);
    let lines = format!("{lines}\nno line of an export\n");
    let wanted = |dry_run: bool, created: u64| {
        json!({
            "dry_run": dry_run, "created": created, "extended": 0, "unchanged": 1 - created, "tokens": created,
            "refused": 1, "in_files": 0, "not_in_force": 0,
            "told": [{ "at": "line 3", "why": "it is not a line of an export of this version" }],
        })
    };
    let accounts = async || desk.done("GET", "/accounts", &Value::Null).await.body["items"].as_array().unwrap().len();
    assert_eq!(import(&desk, &lines, true).await.body, wanted(true, 1));
    assert_eq!(accounts().await, 0, "a dry run changes nothing");
    assert_eq!(import(&desk, &lines, false).await.body, wanted(false, 1));
    assert_eq!(accounts().await, 1);
    assert_eq!(import(&desk, &lines, false).await.body, wanted(false, 0), "what is there stays");
    let history = desk.done("GET", "/audit", &Value::Null).await.body;
    let imports = history["items"].as_array().unwrap().iter().filter(|row| row["action"] == "accounts.import");
    assert_eq!(imports.count(), 1, "{history}");
}

#[tokio::test]
async fn an_account_that_cannot_be_in_force_is_refused_and_the_others_are_not() {
    let (lines, desk) = (exported().await, Desk::open().await);
    let unfit = lines.replace("acme", "other").replace("\"plate\"", "\"no product\"");
    let told = import(&desk, &unfit, false).await.body;
    assert_eq!((&told["created"], &told["refused"]), (&json!(0), &json!(1)), "{told}");
    assert!(told["told"][0]["why"].as_str().unwrap().contains("product"), "{told}");
}
