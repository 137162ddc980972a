//! Files that are not a store, of another version, damaged, full or read-only; and concurrent users of one file.

use super::*;
use crate::ledger::Storage;
use crate::ledger::file::LedgerFile;
use crate::ledger::store::accounts::{self, AccountPatch};
use crate::ledger::store::{Store, tokens, whole};

#[test]
fn a_file_of_something_else_or_of_a_newer_version_is_refused_in_words() {
    let bench = Bench::new("refused");
    let file = |name: &str| bench.directory.join(name);
    let make = |name: &str, sql: &str| rusqlite::Connection::open(file(name)).unwrap().execute_batch(sql).unwrap();
    let ledger = LedgerFile::open(&Storage::File(file("ledger.db")), true).unwrap();
    drop(ledger);
    make("other.db", "CREATE TABLE users (id INTEGER)");
    make("marked.db", "PRAGMA application_id = 7");
    std::fs::write(file("text.db"), "name: acme\n".repeat(100)).unwrap();
    drop(open(&file("newer.db")).unwrap());
    make("newer.db", "UPDATE store_layout SET layout = 99, readable_from = 99");
    std::fs::create_dir(file("directory")).unwrap();
    for (name, words) in [
        ("ledger.db", "or the ledger"),
        ("other.db", "another program"),
        ("marked.db", "another program"),
        ("text.db", "is not a store"),
        ("newer.db", "newer version of this program (layout 99, and this one knows "),
        ("directory", "name a file"),
        ("nowhere/store.db", "directory does not exist"),
    ] {
        let before = std::fs::read(file(name)).ok();
        let refused = open(&file(name)).err().unwrap().to_string();
        assert!(refused.contains(words), "{name}: {refused}");
        assert_eq!(std::fs::read(file(name)).ok(), before, "{name} is as it was");
    }
    make("newer.db", "UPDATE store_layout SET layout = 99, readable_from = 1");
    assert!(open(&file("newer.db")).is_ok(), "a migration that only adds leaves the release before its file");
    for name in ["lost.db", "empty.db", "nearly-empty.db"] {
        std::fs::write(file(&format!("{name}-wal")), "what was committed").unwrap();
        if name != "lost.db" {
            std::fs::write(file(name), if name == "empty.db" { "" } else { "S" }).unwrap();
        }
        let refused = open(&file(name)).err().unwrap().to_string();
        assert!(refused.contains("its journal (-wal) is there"), "{name}: {refused}");
        assert!(std::fs::read(file(&format!("{name}-wal"))).is_ok_and(|left| left == b"what was committed"), "{name}");
        std::fs::remove_file(file(&format!("{name}-wal"))).unwrap();
    }
    std::fs::write(file("empty.db"), "").unwrap();
    assert!(open(&file("empty.db")).is_ok(), "an empty file becomes a store");
    assert!(open(&bench.file()).is_ok());
}

#[test]
fn a_full_disk_and_a_file_that_can_only_be_read_refuse_changes_and_are_read() {
    let mut bench = Bench::new("full");
    let account = bench.done(|writing| accounts::create(writing, &draft("acme"))).id;
    let pages: i64 = bench.connection.query_row("PRAGMA page_count", (), |row| row.get(0)).unwrap();
    for (name, broken, mended, words) in [
        ("max_page_count", pages, 1_000_000, "the disk is full; free some space"),
        ("query_only", 1, 0, "allow this user to write"),
    ] {
        bench.connection.sqlite().unwrap().pragma_update(None, name, broken).unwrap();
        // Enough to need a new page.
        let big = AccountPatch { display: Some("x".repeat(500)), ..AccountPatch::default() };
        let many = |writing: &mut Writing<'_>| {
            for number in 0..200 {
                accounts::create(writing, &AccountDraft { display: "x".repeat(500), ..draft(&format!("n{number}")) })?;
            }
            accounts::update(writing, &account, None, &big)
        };
        let refused = bench.refused(many);
        assert!(matches!(refused, StoreError::Unavailable { .. }) && refused.to_string().contains(words), "{refused}");
        assert_eq!(accounts::get(&bench.connection, &account).unwrap().display, "acme Ltd", "{name}");
        bench.connection.sqlite().unwrap().pragma_update(None, name, mended).unwrap();
    }
    bench.done(|writing| accounts::create(writing, &draft("bee")));
}

#[test]
fn a_damaged_row_is_named_and_the_others_are_read() {
    let mut bench = Bench::new("damaged");
    let ids = ["a", "b", "c", "d"].map(|name| bench.done(|writing| accounts::create(writing, &draft(name))).id);
    for id in &ids {
        bench.done(|writing| tokens::create(writing, id, &token("web")));
    }
    let damage = "PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF;";
    bench.connection.execute_batch(damage).unwrap();
    for (sql, id) in [
        ("UPDATE account SET state = 'odd' WHERE id = ?1", &ids[0]),
        ("UPDATE token SET state = 'odd' WHERE account_id = ?1", &ids[1]),
        ("UPDATE account_limit SET period = 'fortnight' WHERE account_id = ?1", &ids[2]),
    ] {
        assert_eq!(bench.connection.execute(sql, [id]).unwrap(), 1);
    }
    let (mut read, mut damaged) = (Vec::new(), Vec::new());
    whole::each(&bench.connection, |account| match account {
        Ok(account) => read.push((account.account.id, account.tokens.len())),
        Err(error) => damaged.push(error),
    })
    .unwrap();
    assert_eq!(read, [(ids[3].clone(), 1)]);
    assert_eq!(damaged.len(), 3);
    for error in damaged {
        assert!(matches!(error, StoreError::Corrupted { .. }), "{error}");
        assert!(!error.to_string().contains("acme"), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_was_put_in_the_place_of_the_store_is_the_store() {
    let bench = Bench::new("replaced");
    let store = Store::open(&bench.file(), Box::new(Counting(0))).unwrap();
    store.write(bench.act(None), |writing| accounts::create(writing, &draft("acme"))).await.unwrap();
    let other = bench.directory.join("other.db");
    {
        let mut connection = open(&other).unwrap();
        let act = bench.act(None);
        transact(&mut connection, act, &mut Counting(9), None, |writing| accounts::create(writing, &draft("bee")))
            .unwrap();
    }
    for ending in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(bench.directory.join(format!("tollgate.db{ending}")));
    }
    std::fs::rename(&other, bench.file()).unwrap();
    store.write(bench.act(None), |writing| accounts::create(writing, &draft("cat"))).await.unwrap();
    let names = store.read(|connection| {
        let mut names = std::collections::BTreeSet::new();
        whole::each(connection, |account| {
            names.insert(account.map_or_else(|error| error.to_string(), |account| account.account.name));
        })?;
        Ok(names)
    });
    assert_eq!(names.await.unwrap().into_iter().collect::<Vec<_>>(), ["bee", "cat"]);
}
