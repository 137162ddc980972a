//! Why a statement failed. No message repeats a value.

/// What a statement leads to.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a statement failed.
#[derive(Debug)]
pub enum Error {
    /// There is no such row.
    NoRow,
    /// A value is of an unexpected type.
    Unexpected,
    Sqlite(rusqlite::Error),
    Postgres(PostgresFault),
    /// The confirmation of a commit was lost, and the database could not be asked in time: it is not known whether it
    /// was done.
    InDoubt,
}

/// What PostgreSQL, or the way to it, has failed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostgresFault {
    /// Its SQLSTATE, if the server has answered.
    pub code: Option<Sqlstate>,
    /// Nothing more can be asked over this connection.
    pub is_lost: bool,
}

/// The five characters by which PostgreSQL names a failure (PostgreSQL, Appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sqlstate([u8; 5]);

impl Sqlstate {
    /// Its characters.
    pub fn word(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("?????")
    }

    /// A code by its five characters.
    pub(super) fn of(word: &str) -> Sqlstate {
        let mut code = [b'?'; 5];
        code.iter_mut().zip(word.bytes()).for_each(|(place, byte)| *place = byte);
        Sqlstate(code)
    }

    /// The first two: its class.
    pub fn class(&self) -> &str {
        self.word().get(..2).unwrap_or_default()
    }
}

impl PostgresFault {
    /// The connection is gone, or never was.
    pub const LOST: PostgresFault = PostgresFault { code: None, is_lost: true };

    /// A fault that the server has answered with.
    pub fn answered(word: &str) -> PostgresFault {
        let code = Sqlstate::of(word);
        // 57P01 to 57P05: the server, or somebody on it, has ended the connection. 08P01 is a pooler's word for it.
        let is_lost = matches!(word, "57P01" | "57P02" | "57P03" | "57P05") || code.class() == "08";
        PostgresFault { code: Some(code), is_lost }
    }

    /// Others have written the same meanwhile, so that it is right when it is done once more.
    pub fn is_raced(&self) -> bool {
        self.code.is_some_and(|code| matches!(code.word(), "40001" | "40P01"))
    }
}

impl Error {
    /// The connection is gone.
    pub const fn is_lost(&self) -> bool {
        matches!(self, Error::Postgres(PostgresFault { is_lost: true, .. }))
    }

    /// Others have written the same meanwhile, so that it is right when it is done once more.
    pub fn is_raced(&self) -> bool {
        matches!(self, Error::Postgres(fault) if fault.is_raced())
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        match error {
            rusqlite::Error::QueryReturnedNoRows => Error::NoRow,
            other => Error::Sqlite(other),
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Error {
        match error.code() {
            Some(code) => Error::Postgres(PostgresFault::answered(code.code())),
            None => Error::Postgres(PostgresFault::LOST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_the_connection_is_told_from_what_was_refused() {
        for (word, is_lost, is_raced) in [
            ("57P01", true, false),
            ("57P03", true, false),
            ("08006", true, false),
            ("08P01", true, false),
            ("40001", false, true),
            ("40P01", false, true),
            ("23505", false, false),
            ("57014", false, false),
            ("55P03", false, false),
        ] {
            let fault = PostgresFault::answered(word);
            assert_eq!((fault.is_lost, fault.is_raced()), (is_lost, is_raced), "{word}");
            assert_eq!(fault.code.unwrap().word(), word);
        }
    }
}
