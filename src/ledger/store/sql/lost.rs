//! What becomes of a commit whose confirmation was lost.
//!
//! Nothing is guessed: once there is a connection again, it is waited for the lock that the transaction has held until
//! its end, and then it is looked whether what it has written is there. If the database stays away, it is not known.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::error::{Error, PostgresFault, Result};
use super::link::{Kind, Link};
use super::value::Value;

/// How long a database that has gone away is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// The time between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// What a transaction has written and no other one has: a query that finds it, and the query's values.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    pub query: &'static str,
    pub values: [i64; 2],
}

impl Link {
    /// Commits a transaction that has left a mark.
    ///
    /// # Errors
    /// Errors of the database: nothing was done then, unless it is in doubt.
    pub(super) fn commit_marked(&self, kind: Kind, mark: Mark) -> Result<()> {
        match self.commit() {
            Err(error) if error.is_lost() => self.find(kind, mark),
            committed => committed,
        }
    }

    /// Looks for a mark until there is an answer.
    fn find(&self, kind: Kind, mark: Mark) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            match self.is_there(kind, mark) {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(Error::Postgres(PostgresFault::LOST)),
                Err(_) => sleep(RETRY_INTERVAL),
            }
        }
        Err(Error::InDoubt)
    }

    fn is_there(&self, kind: Kind, mark: Mark) -> Result<bool> {
        self.begin(kind)?;
        let [first, second] = mark.values.map(Value::Integer);
        let found = self.query(mark.query, &[first, second]);
        self.roll_back();
        Ok(!found?.is_empty())
    }
}
