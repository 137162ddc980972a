//! The rows that a statement has found.

use std::vec::IntoIter;

use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;

use super::error::{Error, Result};
use super::value::{FromSql, Value};

/// A row.
#[derive(Clone, Copy)]
pub enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

impl<'r> Row<'r> {
    /// What is in a column, from 0 on.
    ///
    /// # Errors
    /// That it is of another type.
    pub fn get<T: FromSql>(self, column: usize) -> Result<T> {
        T::from_sql(self.value(column)?)
    }

    /// The text in a column.
    ///
    /// # Errors
    /// That it is none.
    pub fn text(self, column: usize) -> Result<&'r str> {
        match self.value(column)? {
            Value::Text(text) => Ok(text),
            _ => Err(Error::Unexpected),
        }
    }

    /// The bytes in a column.
    ///
    /// # Errors
    /// That there are none.
    pub fn bytes(self, column: usize) -> Result<&'r [u8]> {
        match self.value(column)? {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(Error::Unexpected),
        }
    }

    fn value(self, column: usize) -> Result<Value<'r>> {
        match self {
            Row::Sqlite(row) => Value::of_sqlite(row.get_ref(column)?),
            Row::Postgres(row) => row.try_get(column).map_err(|_| Error::Unexpected),
        }
    }
}

/// The rows that a statement has found: read one by one from SQLite, and all at once from PostgreSQL.
pub enum Rows<'s> {
    Sqlite(rusqlite::Rows<'s>),
    Postgres { rows: IntoIter<tokio_postgres::Row>, current: Option<tokio_postgres::Row> },
}

impl Rows<'_> {
    /// Rows of PostgreSQL's.
    pub(super) fn of_postgres(rows: Vec<tokio_postgres::Row>) -> Rows<'static> {
        Rows::Postgres { rows: rows.into_iter(), current: None }
    }

    /// The next row.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn next(&mut self) -> Result<Option<Row<'_>>> {
        self.advance()?;
        Ok(self.get())
    }

    /// Goes on to the next row.
    ///
    /// # Errors
    /// Errors of the database.
    pub fn advance(&mut self) -> Result<()> {
        match self {
            Rows::Sqlite(rows) => rows.advance()?,
            Rows::Postgres { rows, current } => *current = rows.next(),
        }
        Ok(())
    }

    /// The row that was gone on to.
    pub fn get(&self) -> Option<Row<'_>> {
        match self {
            Rows::Sqlite(rows) => rows.get().map(Row::Sqlite),
            Rows::Postgres { current, .. } => current.as_ref().map(Row::Postgres),
        }
    }
}

/// Rows, each read by a function.
pub struct MappedRows<'s, F> {
    pub(super) rows: Rows<'s>,
    pub(super) read: F,
}

impl<T, F: FnMut(Row<'_>) -> Result<T>> Iterator for MappedRows<'_, F> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        match self.rows.next() {
            Ok(Some(row)) => Some((self.read)(row)),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// A row that may not be there.
pub trait OptionalExtension<T> {
    /// Nothing instead of the error that there is no row.
    ///
    /// # Errors
    /// Every other one.
    fn optional(self) -> Result<Option<T>>;
}

impl<T> OptionalExtension<T> for Result<T> {
    fn optional(self) -> Result<Option<T>> {
        match self {
            Ok(found) => Ok(Some(found)),
            Err(Error::NoRow) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
