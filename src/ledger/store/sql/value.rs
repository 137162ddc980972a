//! Values that statements are given and rows have: numbers, texts, bytes, or nothing.

use std::error::Error as StdError;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use rusqlite::types::{ToSqlOutput, ValueRef};
use tokio_postgres::types::{IsNull, Type};

use super::error::{Error, Result};

/// A value, borrowed from whoever has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'v> {
    Null,
    Integer(i64),
    Text(&'v str),
    Bytes(&'v [u8]),
}

/// A value of its own, for statements whose values are known only when they are put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyValue {
    Integer(i64),
    Text(String),
}

impl From<i64> for AnyValue {
    fn from(number: i64) -> AnyValue {
        AnyValue::Integer(number)
    }
}

impl From<u32> for AnyValue {
    fn from(number: u32) -> AnyValue {
        AnyValue::Integer(number.into())
    }
}

impl From<String> for AnyValue {
    fn from(text: String) -> AnyValue {
        AnyValue::Text(text)
    }
}

/// Something that a statement can be given.
pub trait ToSql {
    /// Its value.
    fn value(&self) -> Value<'_>;
}

impl ToSql for Value<'_> {
    fn value(&self) -> Value<'_> {
        *self
    }
}

impl ToSql for AnyValue {
    fn value(&self) -> Value<'_> {
        match self {
            AnyValue::Integer(number) => Value::Integer(*number),
            AnyValue::Text(text) => Value::Text(text),
        }
    }
}

impl ToSql for i64 {
    fn value(&self) -> Value<'_> {
        Value::Integer(*self)
    }
}

impl ToSql for i32 {
    fn value(&self) -> Value<'_> {
        Value::Integer((*self).into())
    }
}

impl ToSql for u32 {
    fn value(&self) -> Value<'_> {
        Value::Integer((*self).into())
    }
}

impl ToSql for bool {
    fn value(&self) -> Value<'_> {
        Value::Integer((*self).into())
    }
}

impl ToSql for str {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl ToSql for String {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl ToSql for Arc<str> {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl ToSql for Box<str> {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl ToSql for [u8] {
    fn value(&self) -> Value<'_> {
        Value::Bytes(self)
    }
}

impl<const N: usize> ToSql for [u8; N] {
    fn value(&self) -> Value<'_> {
        Value::Bytes(self)
    }
}

impl ToSql for Vec<u8> {
    fn value(&self) -> Value<'_> {
        Value::Bytes(self)
    }
}

impl<T: ToSql> ToSql for Option<T> {
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, ToSql::value)
    }
}

impl<T: ToSql + ?Sized> ToSql for &T {
    fn value(&self) -> Value<'_> {
        (*self).value()
    }
}

/// The values of a statement, in the order of their numbers.
pub trait Params {
    /// All of them.
    fn values(&self) -> Vec<Value<'_>>;
}

impl Params for () {
    fn values(&self) -> Vec<Value<'_>> {
        Vec::new()
    }
}

impl<T: ToSql, const N: usize> Params for [T; N] {
    fn values(&self) -> Vec<Value<'_>> {
        self.iter().map(ToSql::value).collect()
    }
}

impl<T: ToSql> Params for &[T] {
    fn values(&self) -> Vec<Value<'_>> {
        self.iter().map(ToSql::value).collect()
    }
}

impl<T: ToSql> Params for Vec<T> {
    fn values(&self) -> Vec<Value<'_>> {
        self.iter().map(ToSql::value).collect()
    }
}

/// Values that come one after the other.
pub fn params_from_iter<I: IntoIterator<Item: ToSql>>(values: I) -> Vec<I::Item> {
    values.into_iter().collect()
}

/// Values of several types, each borrowed.
macro_rules! params {
    ($($value:expr),+ $(,)?) => {
        &[$(&$value as &dyn $crate::ledger::store::sql::value::ToSql),+] as &[&dyn $crate::ledger::store::sql::value::ToSql]
    };
}
pub(crate) use params;

/// Something that is read from a column.
pub trait FromSql: Sized {
    /// What a value is.
    ///
    /// # Errors
    /// That it is of another type.
    fn from_sql(value: Value<'_>) -> Result<Self>;
}

impl FromSql for i64 {
    fn from_sql(value: Value<'_>) -> Result<i64> {
        match value {
            Value::Integer(number) => Ok(number),
            _ => Err(Error::Unexpected),
        }
    }
}

impl FromSql for u32 {
    fn from_sql(value: Value<'_>) -> Result<u32> {
        u32::try_from(i64::from_sql(value)?).map_err(|_| Error::Unexpected)
    }
}

impl FromSql for bool {
    fn from_sql(value: Value<'_>) -> Result<bool> {
        Ok(i64::from_sql(value)? != 0)
    }
}

impl FromSql for String {
    fn from_sql(value: Value<'_>) -> Result<String> {
        match value {
            Value::Text(text) => Ok(text.to_owned()),
            _ => Err(Error::Unexpected),
        }
    }
}

impl FromSql for Vec<u8> {
    fn from_sql(value: Value<'_>) -> Result<Vec<u8>> {
        match value {
            Value::Bytes(bytes) => Ok(bytes.to_vec()),
            _ => Err(Error::Unexpected),
        }
    }
}

impl<const N: usize> FromSql for [u8; N] {
    fn from_sql(value: Value<'_>) -> Result<[u8; N]> {
        match value {
            Value::Bytes(bytes) => bytes.try_into().map_err(|_| Error::Unexpected),
            _ => Err(Error::Unexpected),
        }
    }
}

impl<T: FromSql> FromSql for Option<T> {
    fn from_sql(value: Value<'_>) -> Result<Option<T>> {
        match value {
            Value::Null => Ok(None),
            value => T::from_sql(value).map(Some),
        }
    }
}

impl<'v> Value<'v> {
    /// A value of SQLite's.
    pub(super) fn of_sqlite(value: ValueRef<'v>) -> Result<Value<'v>> {
        match value {
            ValueRef::Null => Ok(Value::Null),
            ValueRef::Integer(number) => Ok(Value::Integer(number)),
            ValueRef::Text(text) => std::str::from_utf8(text).map(Value::Text).map_err(|_| Error::Unexpected),
            ValueRef::Blob(bytes) => Ok(Value::Bytes(bytes)),
            ValueRef::Real(_) => Err(Error::Unexpected),
        }
    }

    /// The type that PostgreSQL is told. It finds out itself which type nothing has.
    pub(super) const fn postgres_type(self) -> Type {
        match self {
            Value::Null => Type::UNKNOWN,
            Value::Integer(_) => Type::INT8,
            Value::Text(_) => Type::TEXT,
            Value::Bytes(_) => Type::BYTEA,
        }
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl tokio_postgres::types::ToSql for Value<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> std::result::Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self {
            Value::Null => return Ok(IsNull::Yes),
            Value::Integer(number) => out.put_i64(*number),
            Value::Text(text) => out.put_slice(text.as_bytes()),
            Value::Bytes(bytes) => out.put_slice(bytes),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

impl<'v> tokio_postgres::types::FromSql<'v> for Value<'v> {
    fn from_sql(kind: &Type, raw: &'v [u8]) -> std::result::Result<Value<'v>, Box<dyn StdError + Sync + Send>> {
        Ok(match *kind {
            Type::INT8 => Value::Integer(i64::from_be_bytes(raw.try_into()?)),
            Type::INT4 => Value::Integer(i32::from_be_bytes(raw.try_into()?).into()),
            Type::BOOL => Value::Integer((raw != [0]).into()),
            Type::BYTEA => Value::Bytes(raw),
            _ => Value::Text(std::str::from_utf8(raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> std::result::Result<Value<'v>, Box<dyn StdError + Sync + Send>> {
        Ok(Value::Null)
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::INT4, Type::BOOL, Type::BYTEA, Type::TEXT, Type::VARCHAR, Type::NAME].contains(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_to_postgresql_and_come_back() {
        use tokio_postgres::types::{FromSql as _, ToSql as _};
        for value in
            [Value::Integer(i64::MIN), Value::Integer(7), Value::Text(""), Value::Text("ä…"), Value::Bytes(&[0, 255])]
        {
            let (kind, mut out) = (value.postgres_type(), BytesMut::new());
            assert!(matches!(value.to_sql(&kind, &mut out), Ok(IsNull::No)));
            assert_eq!(Value::from_sql(&kind, &out).unwrap(), value);
        }
        assert!(matches!(Value::Null.to_sql(&Type::UNKNOWN, &mut BytesMut::new()), Ok(IsNull::Yes)));
        assert_eq!(Value::from_sql(&Type::INT4, &[0, 0, 0, 9]).unwrap(), Value::Integer(9));
        assert_eq!(Value::from_sql(&Type::BOOL, &[1]).unwrap(), Value::Integer(1));
        assert!(!<Value<'_> as tokio_postgres::types::FromSql<'_>>::accepts(&Type::NUMERIC), "no number is cut off");
    }

    #[test]
    fn a_value_of_another_type_is_an_error() {
        use super::FromSql;
        assert!(<i64 as FromSql>::from_sql(Value::Text("7")).is_err());
        assert!(<String as FromSql>::from_sql(Value::Integer(7)).is_err());
        assert!(<[u8; 2] as FromSql>::from_sql(Value::Bytes(&[1])).is_err());
        assert!(<u32 as FromSql>::from_sql(Value::Integer(-1)).is_err());
        assert_eq!(<Option<i64> as FromSql>::from_sql(Value::Null).unwrap(), None);
        assert!(<bool as FromSql>::from_sql(Value::Integer(1)).unwrap());
    }
}
