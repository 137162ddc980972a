//! Cells of tables that people open with a spreadsheet.

/// A text as a cell that no spreadsheet runs as a formula: one that begins like a formula has an apostrophe before it
/// (OWASP, "CSV Injection").
pub fn cell(text: &str) -> String {
    let begins_formula =
        text.trim_start().starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
            || text.starts_with(['\t', '\r', '\n']);
    if begins_formula { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_a_formula_is_a_text() {
        for (text, expected) in [
            ("acme", "acme"),
            ("a=b", "a=b"),
            ("", ""),
            ("=1+1", "'=1+1"),
            ("+44", "'+44"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            (" =1", "' =1"),
            ("\t=1", "'\t=1"),
            ("＝1", "'＝1"),
        ] {
            assert_eq!(cell(text), expected, "{text}");
        }
    }
}
