//! The tables as the types of the model, read and replaced as a whole.

use std::sync::Arc;

use crate::ledger::lease::centre::{Balance, Centre, Cluster, NodeRow};
use crate::ledger::lease::message::{Counters, Epoch, Key, NodeId};
use crate::ledger::lease::table::Table;
use crate::ledger::lease::terms::Terms;
use crate::ledger::lease_store::centre::LeaseStore;
use crate::ledger::lease_store::rows;
use crate::ledger::store::sql::{Result, Row, params};
use crate::ledger::store::{Connection, Location, PostgresSettings, open};

pub const PRODUCT: &str = "phone";

/// Keys of the model have accounts of these names.
pub fn account(owner: u32) -> String {
    format!("account-{owner}")
}

pub fn connect(settings: &PostgresSettings) -> Connection {
    open(Location::Postgres(Arc::new(settings.clone()))).unwrap()
}

/// A centre with names for so many keys of the model.
pub fn centre(settings: &PostgresSettings, keys: u32) -> LeaseStore {
    let mut store = LeaseStore::new(connect(settings), "edge-1", Terms::default()).unwrap();
    for owner in 0..keys {
        assert_eq!(store.names().number(&account(owner), PRODUCT), Some(owner));
    }
    store
}

/// Lets the database's history be what the test says.
pub fn say_history(connection: &Connection) {
    let function = "CREATE TABLE test_history (history TEXT NOT NULL); INSERT INTO test_history VALUES (''); \
                    CREATE OR REPLACE FUNCTION credit_history() RETURNS TEXT LANGUAGE sql STABLE AS \
                    'SELECT history FROM test_history'";
    connection.execute_batch(function).unwrap();
}

/// Puts all rows in the place of what is there.
pub fn replace(connection: &mut Connection, centre: &Centre) {
    let number = |number: u64| i64::try_from(number).unwrap();
    let transaction = connection.leasing().unwrap();
    for table in ["credit_recall", "credit_unpaid", "credit_lease", "credit_node", "credit_balance"] {
        transaction.execute(&format!("DELETE FROM {table}"), ()).unwrap();
    }
    let write = |statement: &str, values: Vec<i64>, texts: &[&str]| {
        let values = values.iter().map(|value| format!("{value}"));
        let texts = texts.iter().map(|text| format!("'{text}'"));
        let all: Vec<String> = texts.chain(values).collect();
        transaction.execute(&format!("INSERT INTO {statement} VALUES ({})", all.join(", ")), ()).unwrap();
    };
    for (id, row) in centre.nodes.iter() {
        let columns = "credit_node (state, name, id, incarnation, epoch, nonce, beat, fence_after, joined_at, seen_at)";
        let (incarnation, beat) = (number(row.incarnation), number(row.beat));
        let (epoch, nonce, fence_after) = (number(row.epoch.number), number(row.epoch.nonce), number(row.fence_after));
        let values = vec![number(id.0), incarnation, epoch, nonce, beat, fence_after, 0, 0];
        write(columns, values, &[rows::word(row.state), "edge"]);
    }
    for (key, row) in centre.balances.iter() {
        let columns = "credit_balance (account, subject, period, granted, allotted, deficit)";
        let values = vec![key.period.into(), number(row.granted), number(row.allotted), number(row.deficit)];
        write(columns, values, &[&account(key.owner), PRODUCT]);
    }
    for ((key, id), row) in centre.leases.iter() {
        let columns = "credit_lease (account, subject, period, node, taken, returned, spent)";
        let values = vec![key.period.into(), number(id.0), number(row.taken), number(row.returned), number(row.spent)];
        write(columns, values, &[&account(key.owner), PRODUCT]);
    }
    for ((id, key), ()) in centre.recalls.iter() {
        let columns = "credit_recall (account, subject, period, node)";
        write(columns, vec![key.period.into(), number(id.0)], &[&account(key.owner), PRODUCT]);
    }
    for ((key, id), credits) in centre.unpaid.iter() {
        let columns = "credit_unpaid (account, subject, period, node, credits)";
        write(columns, vec![key.period.into(), number(id.0), number(*credits)], &[&account(key.owner), PRODUCT]);
    }
    let Cluster { epoch, timeline, opened } = centre.cluster;
    let set = "UPDATE credit_cluster SET epoch = ?1, nonce = ?2, opened = ?3, history = ?4";
    let history = timeline.to_string();
    transaction.execute(set, params![number(epoch.number), number(epoch.nonce), opened, history]).unwrap();
    let server = centre.server_timeline.to_string();
    transaction.execute("UPDATE test_history SET history = ?1", params![server]).unwrap();
    transaction.commit().unwrap();
}

/// All rows.
pub fn read(connection: &Connection) -> Centre {
    let epoch = |row: Row<'_>, first| -> Result<Epoch> {
        Ok(Epoch { number: rows::number(row, first)?, nonce: rows::number(row, first + 1)? })
    };
    let history = |row: Row<'_>, column| -> Result<u64> { Ok(row.text(column)?.parse().unwrap()) };
    let query = "SELECT epoch, nonce, opened, history, credit_history() FROM credit_cluster";
    let (cluster, server_timeline) = connection
        .query_row(query, (), |row| {
            let cluster = Cluster { epoch: epoch(row, 0)?, timeline: history(row, 3)?, opened: row.get(2)? };
            Ok((cluster, history(row, 4)?))
        })
        .unwrap();
    let nodes = all(connection, "id, incarnation, state, epoch, nonce, beat, fence_after FROM credit_node", |row| {
        let (incarnation, state, beat) = (rows::number(row, 1)?, rows::state(row.text(2)?)?, rows::number(row, 5)?);
        let (epoch, fence_after) = (epoch(row, 3)?, rows::number(row, 6)?);
        Ok((NodeId(rows::number(row, 0)?), NodeRow { incarnation, state, epoch, beat, fence_after }))
    });
    let balances = all(connection, "account, period, granted, allotted, deficit FROM credit_balance", |row| {
        let number = |column| rows::number(row, column);
        Ok((key(row)?, Balance { granted: number(2)?, allotted: number(3)?, deficit: number(4)? }))
    });
    let leases = all(connection, "account, period, node, taken, returned, spent FROM credit_lease", |row| {
        let counters: Counters = rows::counters(row, 3)?;
        Ok(((key(row)?, NodeId(rows::number(row, 2)?)), counters))
    });
    let recalls = all(connection, "account, period, node FROM credit_recall", |row| {
        Ok(((NodeId(rows::number(row, 2)?), key(row)?), ()))
    });
    let unpaid = all(connection, "account, period, node, credits FROM credit_unpaid", |row| {
        Ok(((key(row)?, NodeId(rows::number(row, 2)?)), rows::number(row, 3)?))
    });
    Centre { server_timeline, cluster, nodes, balances, leases, recalls, unpaid }
}

fn key(row: Row<'_>) -> Result<Key> {
    let owner = row.text(0)?.strip_prefix("account-").unwrap().parse().unwrap();
    Ok(Key { owner, period: row.get(1)? })
}

fn all<K: Ord + Copy, V>(
    connection: &Connection,
    of: &str,
    read: impl FnMut(Row<'_>) -> Result<(K, V)>,
) -> Table<K, V> {
    let mut statement = connection.prepare(&format!("SELECT {of}")).unwrap();
    statement.query_map((), read).unwrap().map(|row| row.unwrap()).collect()
}
