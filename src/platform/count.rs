//! Numbers of things in sentences for people: one thing, two things.

use std::fmt::Display;

/// A number of things whose word gets an s where there are several.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, what: &str) -> String {
    let end = either(&count, "", "s");
    format!("{count} {what}{end}")
}

/// What is said of one thing, or of any other number of them.
pub fn either<N: PartialEq + From<u8>>(count: &N, one: &'static str, others: &'static str) -> &'static str {
    if *count == N::from(1) { one } else { others }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_several() {
        let said: Vec<String> = (0_u64..3).map(|count| counted(count, "more account")).collect();
        assert_eq!(said, ["0 more accounts", "1 more account", "2 more accounts"]);
        assert_eq!(
            (either(&1_i64, "is", "are"), either(&0_i64, "is", "are"), either(&-1_i64, "is", "are")),
            ("is", "are", "are")
        );
    }
}
