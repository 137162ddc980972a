//! Answers that are kept for lookups that are sent again: written in batches, and read by processes that have not written
//! them. They are removed once they have ended (`upkeep.rs`).
//!
//! What an answer is, and its secret, is known to `operate/answer_recorder.rs`: here it is sealed bytes.

use super::error::StoreError;
use super::sql::{Connection, params};

/// The bytes by which a process knows its own rows.
pub type Writer = [u8; 16];

/// An answer as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerRow {
    pub account: String,
    pub product: String,
    /// The digest of its key, and of its request.
    pub digest: [u8; 32],
    pub request: [u8; 32],
    /// The sealed answer.
    pub answer: Vec<u8>,
    /// When it ends, in milliseconds since 1970, UTC.
    pub ends_at: i64,
}

/// Writes answers, each in place of another one with its key, and removes others by the digests of their keys, in one
/// transaction.
///
/// # Errors
/// Errors of the database; nothing is written then.
pub fn write(
    connection: &mut Connection,
    writer: &Writer,
    rows: &[AnswerRow],
    removed: &[[u8; 32]],
) -> Result<(), StoreError> {
    let transaction = connection.recording()?;
    {
        let mut id = last_id(&transaction)?;
        let mut put = transaction.prepare_cached(
            "INSERT INTO kept_answer (id, writer, account, product, digest, request, answer, ends_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
             ON CONFLICT (digest) DO UPDATE SET id = excluded.id, writer = excluded.writer, account = excluded.account, \
             product = excluded.product, request = excluded.request, answer = excluded.answer, ends_at = excluded.ends_at",
        )?;
        for row in rows {
            id = id.saturating_add(1);
            let AnswerRow { account, product, digest, request, answer, ends_at } = row;
            put.execute(params![
                id,
                writer.as_slice(),
                account,
                product,
                digest.as_slice(),
                request.as_slice(),
                answer,
                ends_at
            ])?;
        }
        transaction.execute("UPDATE kept_answer_last SET id = ?1", [id])?;
        let mut remove = transaction.prepare_cached("DELETE FROM kept_answer WHERE digest = ?1")?;
        for digest in removed {
            remove.execute([digest.as_slice()])?;
        }
    }
    Ok(transaction.commit()?)
}

/// Answers that others have written behind an id and that have not ended, in the order of their ids, at most so many; and
/// the last id that was looked at.
///
/// # Errors
/// Errors of the database.
pub fn of_others(
    connection: &mut Connection,
    writer: &Writer,
    after: i64,
    now_ms: i64,
    most: usize,
) -> Result<(Vec<AnswerRow>, i64), StoreError> {
    let query = "SELECT id, account, product, digest, request, answer, ends_at FROM kept_answer \
                 WHERE id > ?1 AND writer <> ?2 AND ends_at > ?3 ORDER BY id LIMIT ?4";
    // Both are read at one moment, so that no row is passed over.
    let snapshot = connection.transaction()?;
    let newest = last_id(&snapshot)?;
    let mut statement = snapshot.prepare_cached(query)?;
    let most_rows = i64::try_from(most).unwrap_or(i64::MAX);
    let mut found = statement.query(params![after, writer.as_slice(), now_ms, most_rows])?;
    let (mut rows, mut last) = (Vec::new(), after);
    while let Some(row) = found.next()? {
        last = row.get(0)?;
        let [account, product] = [row.get(1)?, row.get(2)?];
        let [digest, request] = [row.get::<Vec<u8>>(3)?, row.get::<Vec<u8>>(4)?].map(|bytes| bytes.try_into());
        let (Ok(digest), Ok(request)) = (digest, request) else {
            return Err(StoreError::corrupted("kept_answer", "", "has a digest of another length"));
        };
        rows.push(AnswerRow { account, product, digest, request, answer: row.get(5)?, ends_at: row.get(6)? });
    }
    // What is behind fewer rows is this process's own, or has ended.
    let last = if rows.len() < most { newest.max(last) } else { last };
    Ok((rows, last))
}

/// The last id that was given.
fn last_id(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("SELECT id FROM kept_answer_last", (), |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::store::open;

    fn row(digest: u8, answer: &[u8], ends_at: i64) -> AnswerRow {
        let (account, product) = ("acme".to_owned(), "vat".to_owned());
        AnswerRow { account, product, digest: [digest; 32], request: [7; 32], answer: answer.to_vec(), ends_at }
    }

    #[test]
    fn what_one_process_has_written_others_read_once_and_until_it_ends() {
        let directory = std::env::temp_dir().join(format!("tollgate-answers-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&directory).unwrap();
        let mut connection = open(&directory.join("store.db")).unwrap();
        let (one, two): (Writer, Writer) = ([1; 16], [2; 16]);
        let rows: Vec<AnswerRow> = (0..5).map(|number| row(number, b"first", 100 + i64::from(number))).collect();
        write(&mut connection, &one, &rows, &[]).unwrap();
        assert_eq!(of_others(&mut connection, &one, 0, 0, 10).unwrap(), (vec![], 5), "its own");
        assert_eq!(
            of_others(&mut connection, &two, 0, 102, 10).unwrap(),
            (rows[3..].to_vec(), 5),
            "what has not ended"
        );
        // A page at a time, and nothing twice.
        let (first, last) = of_others(&mut connection, &two, 0, 0, 3).unwrap();
        assert_eq!((&first[..], last), (&rows[..3], 3));
        assert_eq!(of_others(&mut connection, &two, last, 0, 3).unwrap(), (rows[3..].to_vec(), 5));
        assert_eq!(of_others(&mut connection, &two, 5, 0, 3).unwrap(), (vec![], 5));
        // The newest ones go, and one is written anew: their numbers are not given again.
        write(&mut connection, &one, &[row(0, b"again", 900)], &[[3; 32], [4; 32], [9; 32]]).unwrap();
        assert_eq!(of_others(&mut connection, &two, 5, 0, 3).unwrap(), (vec![row(0, b"again", 900)], 6));
        assert_eq!(of_others(&mut connection, &two, 0, 0, 9).unwrap().0.len(), 3);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
