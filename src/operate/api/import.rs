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
        broken.iter().cloned().for_each(|told| imported.refuse(told));
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
