//! What tests of a database need: nodes that make accounts, and whether everything is there afterwards.

use std::collections::BTreeSet;

use super::cluster::PASSWORD;
use super::*;
use crate::ledger::store::audit::{self, Chain};
use crate::ledger::store::{Store, accounts, changes};

pub fn act() -> Act {
    Act { actor: "key:ann".to_owned(), via: Via::Api, address: String::new(), at_ms: NOW, idempotency: None }
}

pub fn location(settings: &PostgresSettings) -> Location {
    Location::Postgres(Arc::new(settings.clone()))
}

pub fn store(settings: &PostgresSettings, seed: u64) -> Store {
    Store::open(location(settings), Box::new(Counting(seed << 32))).unwrap()
}

pub fn make(store: &Store, name: &str) -> Result<Outcome<String>, StoreError> {
    let draft = draft(name);
    store.write_here(act(), move |writing| Ok(accounts::create(writing, &draft)?.id))
}

/// The names of all accounts, and that the chain of the audit and the change log are whole.
pub fn names(settings: &PostgresSettings) -> BTreeSet<String> {
    let connection = open(location(settings)).unwrap();
    assert!(matches!(audit::check(&connection).unwrap(), Chain::Whole { .. }));
    let version = changes::moment(&connection).unwrap().version;
    let counted = "SELECT COUNT(DISTINCT version) FROM change WHERE version <= ?1";
    let in_log: i64 = connection.query_row(counted, [version], |row| row.get(0)).unwrap();
    assert_eq!(in_log, version, "the log has every version");
    let mut statement = connection.prepare("SELECT name FROM account").unwrap();
    statement.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// The same database over the port, where passwords are asked for.
pub fn over_the_port(settings: &PostgresSettings, port: u16) -> PostgresSettings {
    PostgresSettings {
        hosts: vec![PostgresHost { name: "127.0.0.1".to_owned(), port }],
        password: PostgresPassword::Text(PASSWORD.to_owned()),
        ..settings.clone()
    }
}
