//! What a replay has found, as text for people and as JSON for pipelines.

use std::fmt::Write;

use serde_json::{Value, json};

use super::replayed::Replayed;
use super::tally::{Changed, Example, OfAccount};
use crate::platform::count::{counted, either};

/// Accounts that are shown in text; JSON has all that were counted.
const MOST_ACCOUNTS: usize = 20;

/// Damages that are shown in text.
const MOST_DAMAGES: usize = 10;

/// What no replay says.
const NOTE: &str = "Rates and quotas count from nothing, by the times of the journal. What stands as undecided is not \
                    counted as a change.";

/// As text.
pub fn as_text(replayed: &Replayed, config: &str) -> String {
    let tally = &replayed.tally;
    let mut text = String::new();
    let undecided: u64 = tally.undecided.values().sum();
    // Writing to a string cannot fail, here and below.
    let files = counted(replayed.files.len(), "file");
    let _ = writeln!(text, "{} of {files}, judged by {config}\n", counted(tally.decisions, "decision"));
    for (count, what) in [
        (tally.same, "as they were"),
        (tally.refused_otherwise, "refused otherwise"),
        (tally.charged_otherwise, "charged otherwise"),
        (undecided, "undecided"),
    ] {
        let _ = writeln!(text, "  {count:>12}  {what}");
    }
    let (then, now) = tally.credits;
    let _ = writeln!(text, "\nCredits, where they are known: {then} then, {now} now");
    write_rows(&mut text, replayed);
    write_prices(&mut text, replayed);
    write_accounts(&mut text, replayed);
    if undecided > 0 {
        text += "\nUndecided, by what a journal does not have\n";
        for (kind, count) in &tally.undecided {
            let _ = writeln!(text, "  {count:>12}  {:<14}{}", kind.name(), kind.words());
        }
    }
    write_damages(&mut text, replayed);
    if replayed.late > 0 {
        let came = either(&replayed.late, "came", "came");
        let _ = writeln!(text, "\n{} {came} too late to be judged in order.", counted(replayed.late, "decision"));
    }
    let _ = writeln!(text, "\n{NOTE}");
    text
}

fn write_rows(text: &mut String, replayed: &Replayed) {
    let mut rows: Vec<_> = replayed.tally.rows.iter().collect();
    if rows.is_empty() {
        return;
    }
    rows.sort_by_key(|(_, changed)| std::cmp::Reverse(changed.count));
    *text += "\nRefused otherwise, by what was and what would be\n";
    for ((then, now), changed) in rows {
        let _ = writeln!(text, "  {:>12}  {then} -> {now}", changed.count);
        write_examples(text, replayed, changed);
    }
}

fn write_prices(text: &mut String, replayed: &Replayed) {
    let mut prices: Vec<_> = replayed.tally.prices.iter().collect();
    if prices.is_empty() {
        return;
    }
    prices.sort_by_key(|(_, changed)| std::cmp::Reverse(changed.count));
    *text += "\nCharged otherwise, by the credits then and now\n";
    for ((then, now), changed) in prices {
        let _ = writeln!(text, "  {:>12}  {then} -> {now}", changed.count);
        write_examples(text, replayed, changed);
    }
}

fn write_examples(text: &mut String, replayed: &Replayed, changed: &Changed) {
    for example in &changed.examples {
        let file = replayed.files.get(example.file).map_or("", |file| file);
        let who = match (&example.account, &example.token) {
            (Some(account), Some(token)) => format!(", token {token} of {account}"),
            (Some(account), None) => format!(", {account}"),
            (None, _) => String::new(),
        };
        let _ =
            writeln!(text, "{:16}{} at {}{who} ({file}:{})", "", example.transaction_id, example.time, example.line);
    }
}

fn write_accounts(text: &mut String, replayed: &Replayed) {
    let mut accounts: Vec<_> = replayed.tally.accounts.iter().collect();
    if accounts.is_empty() {
        return;
    }
    let weight = |of: &OfAccount| of.refused + of.let_in + of.refused_otherwise + of.charged_otherwise;
    accounts.sort_by_key(|(_, of)| std::cmp::Reverse(weight(of)));
    let _ = writeln!(
        text,
        "\n{:<24}{:>12}{:>12}{:>12}{:>12}{:>20}",
        "Account", "refused", "let in", "otherwise", "charged", "credits"
    );
    let more = accounts.len().saturating_sub(MOST_ACCOUNTS);
    for (name, of) in accounts.into_iter().take(MOST_ACCOUNTS) {
        let OfAccount { refused, let_in, refused_otherwise, charged_otherwise, credits: (then, now) } = of;
        let credits = format!("{then} -> {now}");
        let _ = writeln!(
            text,
            "{name:<24}{refused:>12}{let_in:>12}{refused_otherwise:>12}{charged_otherwise:>12}{credits:>20}"
        );
    }
    if more > 0 {
        let _ = writeln!(text, "and {}", counted(more, "more account"));
    }
}

fn write_damages(text: &mut String, replayed: &Replayed) {
    let damages = &replayed.damages;
    if damages.count == 0 {
        return;
    }
    let _ = writeln!(text, "\n{} could not be read", counted(damages.count, "part"));
    for one in damages.told.iter().take(MOST_DAMAGES) {
        let _ = writeln!(text, "  {}: {}", one.file, one.what);
    }
}

/// As one JSON document.
pub fn as_json(replayed: &Replayed, config: &str) -> String {
    let tally = &replayed.tally;
    let undecided: serde_json::Map<String, Value> =
        tally.undecided.iter().map(|(kind, count)| (kind.name().to_owned(), json!(count))).collect();
    let rows: Vec<Value> = tally
        .rows
        .iter()
        .map(|((then, now), changed)| {
            json!({ "then": then, "now": now, "count": changed.count, "examples": examples(replayed, changed) })
        })
        .collect();
    let prices: Vec<Value> = tally
        .prices
        .iter()
        .map(|((then, now), changed)| {
            json!({ "then": then, "now": now, "count": changed.count, "examples": examples(replayed, changed) })
        })
        .collect();
    let accounts: serde_json::Map<String, Value> =
        tally.accounts.iter().map(|(name, of)| (name.clone(), account(of))).collect();
    let damage: Vec<Value> =
        replayed.damages.told.iter().map(|one| json!({ "file": one.file, "what": one.what })).collect();
    let document = json!({
        "replay": 1,
        "config": config,
        "files": replayed.files,
        "decisions": tally.decisions,
        "same": tally.same,
        "refused_otherwise": tally.refused_otherwise,
        "charged_otherwise": tally.charged_otherwise,
        "undecided": undecided,
        "credits": { "then": tally.credits.0, "now": tally.credits.1 },
        "by_row": rows,
        "by_price": prices,
        "by_account": accounts,
        "late": replayed.late,
        "unreadable": { "count": replayed.damages.count, "first": damage },
    });
    format!("{document:#}\n")
}

fn account(of: &OfAccount) -> Value {
    let OfAccount { refused, let_in, refused_otherwise, charged_otherwise, credits: (then, now) } = of;
    json!({
        "refused": refused,
        "let_in": let_in,
        "refused_otherwise": refused_otherwise,
        "charged_otherwise": charged_otherwise,
        "credits": { "then": then, "now": now },
    })
}

fn examples(replayed: &Replayed, changed: &Changed) -> Vec<Value> {
    let example = |one: &Example| {
        json!({
            "file": replayed.files.get(one.file),
            "line": one.line,
            "transaction_id": one.transaction_id,
            "time": one.time,
            "account": one.account,
            "token": one.token,
        })
    };
    changed.examples.iter().map(example).collect()
}
