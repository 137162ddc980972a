//! The tables of the status: writing twice, opening older and newer files, and limited size.

use std::path::PathBuf;

use super::*;
use crate::ledger::Storage;
use crate::site::status::book::Book;
use crate::site::status::{StatusSettings, example};

const NOW: Seconds = 20_000 * DAY + 15 * HOUR;

/// A ledger for one test, removed when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let directory = std::env::temp_dir().join(format!("tollgate-annals-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        Scratch(directory)
    }

    fn path(&self) -> PathBuf {
        self.0.join("ledger.db")
    }

    fn open(&self) -> LedgerFile {
        LedgerFile::open(&Storage::File(self.path()), true).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn changes(now: Seconds) -> Changes {
    let names: Vec<Arc<str>> = ["plate", "email"].map(Arc::from).into();
    let mut book = Book::new(StatusSettings::default());
    example::fill(&mut book, &names, now);
    let (entries, incidents) = book.unsaved();
    Changes { entries, incidents, now, step: 60 }
}

fn note(text: &str) -> Notice {
    Notice {
        id: None,
        matter: Matter::Note { at: NOW },
        product: Some("plate".into()),
        text: text.into(),
        written: NOW,
        by: "ann".into(),
        closed: None,
    }
}

/// Sorted, for comparing.
fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by(|one, other| {
        (one.seconds, one.start, &one.product).cmp(&(other.seconds, other.start, &other.product))
    });
    entries
}

#[test]
fn what_was_written_is_read_again_and_writing_it_twice_changes_nothing() {
    let scratch = Scratch::new("again");
    let changes = changes(NOW);
    let maintenance =
        Notice { matter: Matter::Maintenance { from: NOW, to: NOW + HOUR }, product: None, ..note("move") };
    for times in 1..=2 {
        let mut store = scratch.open();
        store.with_annals().unwrap();
        store.write_annals(&changes).unwrap();
        if times == 1 {
            assert_eq!(store.add_notice(note("slow")).unwrap().id, Some(1));
            assert_eq!(store.add_notice(maintenance.clone()).unwrap().id, Some(2));
        }
        let found = store.status_store(NOW).unwrap();
        assert_eq!(sorted(found.entries), sorted(changes.entries.clone()), "written {times} times");
        assert_eq!(found.incidents.len(), changes.incidents.len());
        assert!(changes.incidents.iter().all(|incident| found.incidents.contains(incident)));
        let expected = [Notice { id: Some(1), ..note("slow") }, Notice { id: Some(2), ..maintenance.clone() }];
        assert_eq!(found.notices, expected);
    }
}

#[test]
fn an_older_ledger_is_opened_without_loss_and_gets_the_tables() {
    let scratch = Scratch::new("older");
    drop(scratch.open());
    // A grant, without the tables of the status.
    let raw = rusqlite::Connection::open(scratch.path()).unwrap();
    let tables = "SELECT COUNT(*) FROM sqlite_schema WHERE name LIKE 'status%' AND type = 'table'";
    let count =
        |connection: &rusqlite::Connection| connection.query_row(tables, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count(&raw), 0, "a ledger without a status has no tables of it");
    let grant =
        "INSERT INTO entry (at, account, product, kind, amount, by) VALUES ('t', 'acme', 'plate', 'grant', 7, 'x')";
    raw.execute(grant, []).unwrap();
    drop(raw);
    let store = scratch.open();
    store.with_annals().unwrap();
    assert_eq!(store.status_store(NOW).unwrap(), StatusStore::default());
    assert_eq!(store.balance("acme", "plate").unwrap(), Some((7, 0)));
    assert_eq!(count(store.connection()), 5);
    // The layout of the ledger itself has not changed, so that the older program opens it too.
    let version: i64 = store.connection().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 1);
}

#[test]
fn tables_of_a_newer_program_are_left_alone_and_credits_go_on() {
    let scratch = Scratch::new("newer");
    let store = scratch.open();
    store.with_annals().unwrap();
    store.connection().execute("UPDATE status_layout SET layout = 2", []).unwrap();
    drop(store);
    let mut store = scratch.open();
    assert!(store.with_annals().unwrap_err().to_string().contains("another version"));
    assert!(store.with_annals().and_then(|()| store.write_annals(&changes(NOW))).is_err());
    assert_eq!(
        store.connection().query_row("SELECT COUNT(*) FROM status_count", [], |row| row.get::<_, i64>(0)).unwrap(),
        0
    );
    assert!(store.balance("acme", "plate").unwrap().is_none());
}

#[test]
fn the_file_does_not_grow_with_time() {
    let scratch = Scratch::new("growth");
    let mut store = scratch.open();
    store.with_annals().unwrap();
    store.write_annals(&changes(NOW)).unwrap();
    let id = store.add_notice(note("old")).unwrap().id.unwrap();
    store.close_notice(id, NOW).unwrap().unwrap();
    store.write_annals(&Changes { now: NOW + 200 * DAY, step: 60, ..Changes::default() }).unwrap();
    for table in ["status_count", "status_latency", "status_notice"] {
        let query = format!("SELECT COUNT(*) FROM {table}");
        assert_eq!(store.connection().query_row(&query, [], |row| row.get::<_, i64>(0)).unwrap(), 0, "{table}");
    }
    let open = "SELECT COUNT(*) FROM status_incident WHERE ended IS NOT NULL";
    assert_eq!(store.connection().query_row(open, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    // Steps of a length that is not used any more are removed at once.
    let odd = Entry {
        product: "plate".into(),
        seconds: 7,
        start: NOW,
        tally: Tally::default(),
        latency: Histogram::default(),
    };
    let later = Changes { entries: vec![odd], now: NOW, step: 60, ..Changes::default() };
    store.write_annals(&later).unwrap();
    assert!(store.status_store(NOW).unwrap().entries.is_empty());
}

#[test]
fn a_notice_is_closed_once() {
    let scratch = Scratch::new("close");
    let store = scratch.open();
    store.with_annals().unwrap();
    let id = store.add_notice(note("slow")).unwrap().id.unwrap();
    assert_eq!(store.close_notice(id, NOW + 5).unwrap().unwrap().closed, Some(NOW + 5));
    assert_eq!(store.close_notice(id, NOW + 9).unwrap(), None);
    assert_eq!(store.close_notice(id + 1, NOW).unwrap(), None);
    assert_eq!(store.status_store(NOW + 10).unwrap().notices[0].closed, Some(NOW + 5));
}
