//! Files that were cut short anywhere: what was committed before is there, or the file is refused.

use std::sync::Arc;

use super::*;
use crate::ledger::entry::timestamp;

/// A directory in memory, where there is one: thousands of files are opened.
fn scratch(name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let directory = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let directory = directory.join(format!("tollgate-store-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

fn draft(kind: Kind, amount: i64) -> Draft {
    Draft {
        account: Arc::from("acme"),
        product: Arc::from("phone"),
        kind,
        amount,
        lookups: 1,
        reference: Reference::Batch,
        key: None,
        by: "test".to_owned(),
        why: String::new(),
    }
}

fn write(store: &mut Store, drafts: &[Draft], batch: i64) {
    store.write(drafts, &timestamp(1_700_000_000_000).unwrap(), Position { batch, nonce: batch }).unwrap();
}

/// What the ledger in a directory has spent and seen last, or why it is refused.
fn reopened(directory: &Path) -> Result<(u64, i64), LedgerFault> {
    let store = Store::open(&Storage::File(directory.join("ledger.db")), false)?;
    let mut spent = 0;
    store.balances(|_, _, _, of_one| spent += of_one)?;
    Ok((spent, store.position()?.batch))
}

/// A ledger with two writes in its file and a third one in its journal alone: both files' bytes.
fn with_a_journal(directory: &Path) -> (Vec<u8>, Vec<u8>) {
    let path = directory.join("ledger.db");
    let mut store = Store::open(&Storage::File(path.clone()), true).unwrap();
    write(&mut store, &[draft(Kind::Grant, 1000)], 1);
    // Rows of several pages, so that the last page is one of theirs.
    let many: Vec<Draft> = (0..200).map(|_| draft(Kind::Charge, -1)).collect();
    write(&mut store, &many, 2);
    store.check_whole(&path).unwrap();
    write(&mut store, &[draft(Kind::Charge, -7)], 3);
    (fs::read(&path).unwrap(), fs::read(beside(&path, "-wal")).unwrap())
}

fn lay(directory: &Path, database: &[u8], journal: &[u8]) {
    let path = directory.join("ledger.db");
    fs::write(&path, database).unwrap();
    fs::write(beside(&path, "-wal"), journal).unwrap();
    let _ = fs::remove_file(beside(&path, "-shm"));
}

#[test]
fn a_journal_that_is_cut_anywhere_leaves_what_was_committed_before() {
    let directory = scratch("journal");
    let (database, journal) = with_a_journal(&directory);
    assert!(journal.len() > 4096, "the third write is in the journal");
    for length in 0..=journal.len() {
        lay(&directory, &database, &journal[..length]);
        let expected = if length == journal.len() { (207, 3) } else { (200, 2) };
        assert_eq!(reopened(&directory), Ok(expected), "{length} of {} bytes", journal.len());
    }
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_database_that_is_cut_in_its_last_page_is_refused_or_whole() {
    let directory = scratch("database");
    let (database, journal) = with_a_journal(&directory);
    for cut in 1..=4096 {
        lay(&directory, &database[..database.len() - cut], &[]);
        assert!(reopened(&directory).is_err(), "{cut} bytes are missing");
        // The journal may have what is missing, or not.
        lay(&directory, &database[..database.len() - cut], &journal);
        assert!(reopened(&directory).map_or(true, |found| found == (207, 3)), "{cut} bytes are missing");
    }
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_journal_over_a_database_that_is_not_its_own_is_refused() {
    let directory = scratch("foreign");
    let (_, journal) = with_a_journal(&directory);
    let other = scratch("foreign-other");
    let path = other.join("ledger.db");
    let mut store = Store::open(&Storage::File(path.clone()), true).unwrap();
    write(&mut store, &[draft(Kind::Grant, 5)], 1);
    drop(store);
    lay(&directory, &fs::read(&path).unwrap(), &journal);
    assert!(reopened(&directory).is_err());
    fs::remove_dir_all(directory).unwrap();
    fs::remove_dir_all(other).unwrap();
}

#[test]
fn a_ledger_is_made_whole_or_not_at_all() {
    let directory = scratch("made");
    let place = Storage::File(directory.join("ledger.db"));
    // What a process left behind that was killed while it made one.
    fs::write(directory.join("ledger.db.new"), b"half").unwrap();
    assert!(Store::open(&place, false).is_err(), "only who may make one makes one");
    assert!(Store::open(&place, true).is_ok());
    fs::remove_file(directory.join("ledger.db")).unwrap();
    fs::write(directory.join("ledger.db-wal"), b"journal").unwrap();
    let refused = Store::open(&place, true).unwrap_err();
    assert!(refused.to_string().contains("its journal (-wal) is there"), "{refused}");
    fs::remove_dir_all(directory).unwrap();
    let refused = Store::open(&place, true).unwrap_err();
    assert!(refused.to_string().contains("its directory is not there"), "{refused}");
}
