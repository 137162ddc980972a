//! Importing accounts and plans: the lines of an export of a store.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::refusal::refused;
use super::route::{Call, Reply};
use crate::operate::importing::{Imported, Item, Told, Unfit};

/// Bytes of an import. More of them are several imports: what is there already stays as it is.
pub const BODY_BYTES: usize = 2 * 1024 * 1024;

/// What is imported.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportDraft {
    /// Lines as `tollgate accounts export` writes them.
    pub lines: String,
    /// Say what would be done, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What has become of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImportOutcome {
    /// Nothing was changed.
    pub dry_run: bool,
    #[serde(flatten)]
    pub imported: Imported,
}

/// The items of a text, and which lines are none.
fn items(text: &str) -> (Vec<Item>, Vec<Told>) {
    let (mut items, mut broken) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match Item::line(format!("line {}", index + 1), line.trim().as_bytes()) {
            Ok(item) => items.push(item),
            Err(told) => broken.push(told),
        }
    }
    (items, broken)
}

/// Imports accounts, or says what an import would do. What is wrong with an account itself is told, and the others go on.
pub async fn run(call: Call<ImportDraft>) -> Result<Reply<ImportOutcome>, Problem> {
    let (policy, dry_run) = (call.api.in_force.policy(), call.body.dry_run);
    let (items, broken) = items(&call.body.lines);
    let outcome = call.write(move |writing| {
        let mut imported = Imported::default();
        broken.into_iter().for_each(|told| imported.refuse(told));
        let rule = (&*policy, Unfit::IsRefused);
        if dry_run {
            writing.try_out(|writing| imported.add(writing, &items, "lines of an export", rule))?;
        } else {
            imported.add(writing, &items, "lines of an export", rule)?;
        }
        Ok(ImportOutcome { dry_run, imported })
    });
    let outcome = outcome.await.map_err(refused)?;
    Ok(Reply::of(outcome.value).again(outcome.replayed))
}

#[cfg(test)]
mod tests {
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
        let accounts =
            async || desk.done("GET", "/accounts", &Value::Null).await.body["items"].as_array().unwrap().len();
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
}
