//! Files that were cut short anywhere: what was committed before is there, or the file is refused.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::open_file::MAX_JOURNAL_BYTES;
use super::*;
use crate::ledger::Storage;
use crate::ledger::entry::timestamp;
use crate::ledger::journal::Standing;
use crate::ledger::lock::{self, beside};

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
        product: Arc::from("plate"),
        kind,
        amount,
        lookups: 1,
        reference: Reference::Batch,
        key: None,
        by: "test".to_owned(),
        why: String::new(),
    }
}

fn write(store: &mut LedgerFile, drafts: &[Draft], batch: i64) {
    store.write(drafts, &[], &timestamp(1_700_000_000_000).unwrap(), Position { batch, nonce: batch }).unwrap();
}

/// What the ledger in a directory has spent and seen last, or why it is refused. A program that another test starts has
/// the lock of the file before for as long as it is only a copy of this process, so that a taken one is tried again.
fn reopened(directory: &Path) -> Result<(u64, i64), LedgerFault> {
    let storage = Storage::File(directory.join("ledger.db"));
    let begun = Instant::now();
    let store = loop {
        match LedgerFile::open(&storage, false) {
            Err(fault) if fault.is_taken() && begun.elapsed() < Duration::from_secs(10) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            opened => break opened?,
        }
    };
    let mut spent = 0;
    store.balances(|_, _, _, of_one| spent += of_one)?;
    Ok((spent, store.position()?.batch))
}

/// A ledger with two writes in its file and a third one in its journal alone: both files' bytes.
fn with_a_journal(directory: &Path) -> (Vec<u8>, Vec<u8>) {
    let path = directory.join("ledger.db");
    let mut store = LedgerFile::open(&Storage::File(path.clone()), true).unwrap();
    write(&mut store, &[draft(Kind::Grant, 1000)], 1);
    // Rows of several pages, so that the last page is one of theirs.
    let many: Vec<Draft> = (0..200).map(|_| draft(Kind::Charge, -1)).collect();
    write(&mut store, &many, 2);
    store.fold().unwrap();
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
    let mut store = LedgerFile::open(&Storage::File(path.clone()), true).unwrap();
    write(&mut store, &[draft(Kind::Grant, 5)], 1);
    drop(store);
    lay(&directory, &fs::read(&path).unwrap(), &journal);
    assert!(reopened(&directory).is_err());
    fs::remove_dir_all(directory).unwrap();
    fs::remove_dir_all(other).unwrap();
}

#[test]
fn a_database_of_which_nothing_is_left_is_refused_and_its_journal_stays() {
    let directory = scratch("nothing");
    let (database, journal) = with_a_journal(&directory);
    for length in [0, 1, 2, 99, 100, 511] {
        lay(&directory, &database[..length], &journal);
        reopened(&directory).unwrap_err();
        let path = directory.join("ledger.db");
        assert_eq!(fs::read(&path).unwrap(), database[..length], "{length} bytes");
        assert!(fs::read(beside(&path, "-wal")).is_ok_and(|left| left == journal), "{length} bytes: the journal");
    }
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_ledger_that_does_not_say_its_last_write_is_refused_before_anything_is_written() {
    let directory = scratch("position");
    let (database, mut journal) = with_a_journal(&directory);
    lay(&directory, &database, &[]);
    let path = directory.join("ledger.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("DELETE FROM position; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(connection);
    let database = fs::read(&path).unwrap();
    journal[0] = 0;
    lay(&directory, &database, &journal);
    reopened(&directory).unwrap_err();
    assert!(fs::read(&path).unwrap() == database && fs::read(beside(&path, "-wal")).unwrap() == journal);
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_ledger_is_made_whole_or_not_at_all() {
    let directory = scratch("made");
    let storage = Storage::File(directory.join("ledger.db"));
    // What a process left behind that was killed while it made one.
    fs::write(directory.join("ledger.db.new"), b"half").unwrap();
    assert!(LedgerFile::open(&storage, false).is_err(), "only who may make one makes one");
    assert!(LedgerFile::open(&storage, true).is_ok());
    fs::remove_file(directory.join("ledger.db")).unwrap();
    fs::write(directory.join("ledger.db-wal"), b"journal").unwrap();
    let refused = LedgerFile::open(&storage, true).unwrap_err();
    assert!(refused.to_string().contains("its journal (-wal) is there"), "{refused}");
    fs::remove_dir_all(directory).unwrap();
    let refused = LedgerFile::open(&storage, true).unwrap_err();
    assert!(refused.to_string().contains("its directory does not exist"), "{refused}");
}

/// A ledger with one grant, closed.
fn small(directory: &Path) -> PathBuf {
    let path = directory.join("ledger.db");
    let mut store = LedgerFile::open(&Storage::File(path.clone()), true).unwrap();
    write(&mut store, &[draft(Kind::Grant, 1000)], 1);
    path
}

#[test]
fn only_a_file_is_a_ledger_and_nothing_else_is_opened() {
    let directory = scratch("kinds");
    let fifo = directory.join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for (name, target) in [("device.db", "/dev/zero"), ("fifo.db", "fifo"), ("directory.db", ".")] {
        let path = directory.join(name);
        std::os::unix::fs::symlink(target, &path).unwrap();
        let refused = LedgerFile::open(&Storage::File(path.clone()), true).map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains("name a file"), "{name}: {refused}");
        assert!(!lock::is_taken(&path), "{name}");
    }
    assert!(
        !Path::new("/dev/zero.lock").exists() && !directory.join("fifo.lock").exists(),
        "nothing is made beside it"
    );
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn one_file_has_one_owner_whatever_it_is_called() {
    let directory = scratch("names");
    let path = small(&directory);
    let storage = |name: &str| Storage::File(directory.join(name));
    std::os::unix::fs::symlink(&path, directory.join("symbolic.db")).unwrap();
    std::os::unix::fs::symlink(directory.join("symbolic.db"), directory.join("further.db")).unwrap();
    std::os::unix::fs::symlink(&directory, directory.join("directory")).unwrap();
    fs::hard_link(&path, directory.join("hard.db")).unwrap();
    fs::write(directory.join("mounted.db"), b"").unwrap();
    let mount = |words: &[&str]| {
        let command =
            std::process::Command::new(words[0]).args(&words[1..]).args([directory.join("mounted.db")]).output();
        command.is_ok_and(|output| output.status.success())
    };
    let mut names = vec!["ledger.db", "symbolic.db", "further.db", "directory/ledger.db", "hard.db"];
    let is_mounted = mount(&["mount", "--bind", path.to_str().unwrap()]);
    if is_mounted {
        names.push("mounted.db");
    } else {
        println!("not tried through a mount, which this user may not make");
    }
    fs::copy(&path, directory.join("copy.db")).unwrap();

    // The second name is refused while nobody has the file, too: which of the two has the journal?
    for name in ["ledger.db", "hard.db"] {
        let refused = LedgerFile::open(&storage(name), false).unwrap_err();
        assert!(refused.to_string().contains("second name"), "{name}: {refused}");
    }
    fs::rename(directory.join("hard.db"), directory.join("kept.db")).unwrap();
    fs::remove_file(directory.join("kept.db")).unwrap();
    let store = LedgerFile::open(&storage("ledger.db"), false).unwrap();
    fs::hard_link(&path, directory.join("hard.db")).unwrap();
    for name in &names {
        let refused = LedgerFile::open(&storage(name), false).map(|_| ()).unwrap_err();
        assert!(refused.is_taken(), "{name}: {refused}");
        assert!(lock::is_taken(&directory.join(name)), "{name}");
    }
    assert!(LedgerFile::open(&storage("copy.db"), false).is_ok(), "a copy is another file");
    // Nobody's look at the file has ended SQLite's own locks on it.
    let other = Connection::open(&path).unwrap();
    other.busy_timeout(Duration::ZERO).unwrap();
    store.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(other.execute_batch("BEGIN IMMEDIATE").is_err());
    store.connection.execute_batch("ROLLBACK").unwrap();
    drop((other, store));

    fs::remove_file(directory.join("hard.db")).unwrap();
    for name in names.iter().filter(|name| **name != "hard.db") {
        assert!(!lock::is_taken(&directory.join(name)), "{name}");
        assert!(LedgerFile::open(&storage(name), false).is_ok(), "{name}");
    }
    if is_mounted {
        assert!(mount(&["umount"]));
    }
    fs::remove_file(&path).unwrap();
    let refused = LedgerFile::open(&storage("symbolic.db"), true).unwrap_err();
    assert!(refused.to_string().contains("a link to a file that does not exist"), "{refused}");
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_copy_beside_a_journal_of_another_copy_is_refused_and_neither_is_changed() {
    let directory = scratch("older");
    let path = directory.join("ledger.db");
    let files = |directory: &Path| {
        let path = directory.join("ledger.db");
        (fs::read(&path).unwrap(), fs::read(beside(&path, "-wal")).unwrap())
    };
    let mut store = LedgerFile::open(&Storage::File(path.clone()), true).unwrap();
    write(&mut store, &[draft(Kind::Grant, 1000)], 1);
    store.fold().unwrap();
    let older = files(&directory).0;
    let charge = || draft(Kind::Charge, -1);
    write(&mut store, &[charge()], 2);
    let (_, left_behind) = files(&directory);
    store.fold().unwrap();
    write(&mut store, &[charge(), charge()], 3);
    let (fitting, journal) = files(&directory);
    let anew = directory.join("anew.db");
    store.connection.execute("VACUUM INTO ?1", [anew.to_str().unwrap()]).unwrap();
    let newer = fs::read(&anew).unwrap();
    drop(store);

    let other = scratch("older-other");
    lay(&other, &older, &[]);
    let mut forked = LedgerFile::open(&Storage::File(other.join("ledger.db")), false).unwrap();
    write(&mut forked, &[charge(), charge(), charge()], 7);
    drop(forked);
    let forked = fs::read(other.join("ledger.db")).unwrap();

    for (database, journal, what) in [
        (&older, &journal, "an older copy, and the newest journal"),
        (&forked, &journal, "an older copy that was used, and the newest journal"),
        (&forked, &left_behind, "the same, and a journal that was left behind"),
    ] {
        lay(&other, database, journal);
        let refused = reopened(&other).unwrap_err();
        assert!(refused.to_string().contains("belongs to another copy"), "{what}: {refused}");
        assert!(files(&other) == (database.clone(), journal.clone()), "{what}: something was changed");
    }
    // What was seen to fit is whole, or refused.
    lay(&other, &newer, &journal);
    assert!(reopened(&other).map_or(true, |found| found == (3, 3)));
    lay(&other, &fitting, &journal);
    assert_eq!(reopened(&other), Ok((3, 3)));
    for directory in [directory, other] {
        fs::remove_dir_all(directory).unwrap();
    }
}

#[test]
fn a_long_journal_is_folded_and_says_where_it_begins() {
    let directory = scratch("long");
    let path = small(&directory);
    let mut store = LedgerFile::open(&Storage::File(path.clone()), false).unwrap();
    let many: Vec<Draft> = (0..2000).map(|_| draft(Kind::Grant, 1)).collect();
    let (mut longest, mut folded) = (0, 0);
    for batch in 2..40 {
        write(&mut store, &many, batch);
        let length = store.file.as_ref().unwrap().journal_bytes();
        folded += usize::from(length < longest);
        longest = longest.max(length);
        let standing = Standing::of(&store.connection).unwrap();
        let alone = Standing::of_file_alone(&path).unwrap();
        assert!(standing.follows(&alone) && standing.base == Some(alone.position), "{standing:?} {alone:?}");
    }
    assert!(folded >= 2 && longest < 2 * MAX_JOURNAL_BYTES, "{folded} times, {longest} bytes");
    fs::remove_dir_all(directory).unwrap();
}
