//! What documents say that compare two configurations.

use serde_json::Value;

/// The pairs of rows that change, with how often.
pub fn rows(document: &Value) -> Vec<(String, String, u64)> {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let rows = document["by_row"].as_array().unwrap().iter();
    rows.map(|row| (text(row, "then"), text(row, "now"), row["count"].as_u64().unwrap())).collect()
}

/// One of them.
pub fn pair(then: &str, now: &str, count: u64) -> (String, String, u64) {
    (then.to_owned(), now.to_owned(), count)
}
