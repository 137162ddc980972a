//! What the engines say differently.

use std::fmt::Write as _;

/// The engine of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    /// What the placeholders of portable files stand for. Texts are compared byte by byte on both.
    const fn words(self) -> [(&'static str, &'static str); 5] {
        match self {
            Engine::Sqlite => [
                ("@clustered", "STRICT, WITHOUT ROWID"),
                ("@heap", "STRICT"),
                ("@bytes", "BLOB"),
                ("@int", "INTEGER"),
                (" TEXT", " TEXT"),
            ],
            Engine::Postgres => [
                ("@clustered", ""),
                ("@heap", ""),
                ("@bytes", "BYTEA"),
                ("@int", "BIGINT"),
                (" TEXT", " TEXT COLLATE \"C\""),
            ],
        }
    }

    /// The statements of a portable file, for this engine.
    pub fn translated(self, portable: &str) -> String {
        self.words().iter().fold(portable.to_owned(), |sql, (word, meaning)| sql.replace(word, meaning))
    }
}

/// A statement for PostgreSQL: `?1` is `$1`, a `?` without a number is the next one, and LIKE takes no notice of case,
/// as SQLite's.
pub(super) fn for_postgres(sql: &str) -> String {
    let mut translated = String::with_capacity(sql.len() + 8);
    let mut next = 0;
    let mut parts = sql.split('?');
    translated.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let rest = part.trim_start_matches(|digit: char| digit.is_ascii_digit());
        let number = part.strip_suffix(rest).unwrap_or_default();
        next = number.parse().unwrap_or(next + 1);
        // Writing into a String cannot fail.
        let _ = write!(translated, "${next}{rest}");
    }
    translated.replace(" LIKE ", " ILIKE ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_translated() {
        for (portable, expected) in [
            ("SELECT 1", "SELECT 1"),
            ("SELECT a FROM t WHERE b = ?1 AND c > ?12", "SELECT a FROM t WHERE b = $1 AND c > $12"),
            ("SELECT a FROM t WHERE b = ? AND c > ? LIMIT ?", "SELECT a FROM t WHERE b = $1 AND c > $2 LIMIT $3"),
            ("VALUES (?2, ?1)", "VALUES ($2, $1)"),
            ("a LIKE ?1 ESCAPE '\\'", "a ILIKE $1 ESCAPE '\\'"),
        ] {
            assert_eq!(for_postgres(portable), expected);
        }
        let table = "CREATE TABLE t (a @int, b @bytes, c TEXT NOT NULL) @clustered;";
        assert_eq!(
            Engine::Sqlite.translated(table),
            "CREATE TABLE t (a INTEGER, b BLOB, c TEXT NOT NULL) STRICT, WITHOUT ROWID;"
        );
        assert_eq!(
            Engine::Postgres.translated(table),
            "CREATE TABLE t (a BIGINT, b BYTEA, c TEXT COLLATE \"C\" NOT NULL) ;"
        );
    }
}
