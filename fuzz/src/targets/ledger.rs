//! The ledger's file and its journal with bytes changed and cut off: it is refused, or what was committed is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tollgate::ledger::entry::{Draft, Kind, Position, Reference};
use tollgate::ledger::file::LedgerFile;
use tollgate::ledger::{LedgerFault, Page, Storage};

/// A ledger with one write in its file and another in its journal.
struct Base {
    path: PathBuf,
    database: Vec<u8>,
    journal: Vec<u8>,
}

/// The bytes before the first page of a journal.
const JOURNAL_HEAD_BYTES: usize = 32;

/// What the first and the second write leave: what was granted and spent, and their number.
const STATES: [(u64, u64, i64); 2] = [(1000, 200, 2), (1000, 207, 3)];

/// An input: edits of five bytes each: where (which file and a place) and what.
pub fn run(data: &[u8]) {
    static BASE: OnceLock<Base> = OnceLock::new();
    let base = BASE.get_or_init(Base::new);
    let (mut database, mut journal) = (base.database.clone(), base.journal.clone());
    let mut is_database_whole = true;
    for edit in data.chunks_exact(5).take(32) {
        let place = usize::from(u16::from_be_bytes([edit[1], edit[2]]));
        let file = if edit[0] & 1 == 0 { &mut journal } else { &mut database };
        is_database_whole &= edit[0] & 1 == 0;
        let at = (place | usize::from(edit[0] & 2) << 15) % file.len().max(1);
        match edit[0] & 12 {
            0 | 4 => file.iter_mut().skip(at).take(1).for_each(|byte| *byte = edit[3]),
            8 => file.truncate(at),
            _ => {
                let from: Vec<u8> =
                    file.iter().skip(usize::from(edit[3]) * 64).take(usize::from(edit[4])).copied().collect();
                file.iter_mut().skip(at).zip(from).for_each(|(byte, other)| *byte = other);
            }
        }
    }
    fs::write(&base.path, &database).unwrap();
    let _ = fs::remove_file(beside(&base.path, "-shm"));
    fs::write(beside(&base.path, "-wal"), &journal).unwrap();
    let ledger = LedgerFile::open(&Storage::File(base.path.clone()), false);
    // Other damage may be found only when something is written, with what was in the journal in the file by then.
    if ledger.is_err() && (is_database_whole || database.len() < base.database.len()) {
        assert_eq!(fs::read(&base.path).unwrap(), database, "a file that is refused was changed");
        // By its head a journal is known for one.
        let is_journal = journal.get(..JOURNAL_HEAD_BYTES) == base.journal.get(..JOURNAL_HEAD_BYTES);
        let left = fs::read(beside(&base.path, "-wal")).unwrap_or_default();
        assert!(!is_journal || left == journal, "its journal was changed");
    }
    match ledger.and_then(|ledger| contents(ledger, is_database_whole)) {
        Err(_) => {}
        Ok(state) if is_database_whole => assert!(STATES.contains(&state), "{state:?} was never committed"),
        Ok((granted, spent, _)) => assert!(granted >= spent, "{granted} granted and {spent} spent"),
    }
}

/// What a ledger has in it, after a charge that is written, or not.
fn contents(mut ledger: LedgerFile, is_whole: bool) -> Result<(u64, u64, i64), LedgerFault> {
    let position = ledger.position()?;
    let (mut granted, mut spent) = (0, 0);
    ledger.balances(|_, _, of_one, spent_of_one| {
        granted += of_one;
        spent += spent_of_one;
    })?;
    let page = Page { credit_account: None, account: None, since: None, until: None, after: 0, rows: 300 };
    if let Ok(rows) = ledger.page(&page) {
        assert!(rows.len() <= 300 && (!is_whole || rows.is_sorted_by_key(|row| row.id)));
    }
    let next = Position { batch: position.batch.wrapping_add(1), nonce: 7 };
    if ledger.write(&[draft(Kind::Charge, -1)], &[], AT, next).is_ok() {
        assert_eq!(ledger.position()?.batch, next.batch);
    }
    Ok((granted, spent, position.batch))
}

const AT: &str = "2026-11-29T00:00:00.000Z";

fn draft(kind: Kind, amount: i64) -> Draft {
    let (account, product) = (Arc::from("acme"), Arc::from("phone"));
    let by = "fuzz".to_owned();
    Draft { account, product, kind, amount, lookups: 1, reference: Reference::Batch, key: None, by, why: String::new() }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// A directory in memory, where there is one, for this process.
pub fn scratch(name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let directory = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let directory = directory.join(format!("tollgate-fuzz-{name}-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    directory
}

impl Base {
    fn new() -> Base {
        let path = scratch("ledger").join("ledger.db");
        let place = Storage::File(path.clone());
        let write = |ledger: &mut LedgerFile, drafts: &[Draft], batch: i64| {
            ledger.write(drafts, &[], AT, Position { batch, nonce: batch }).unwrap();
        };
        let mut ledger = LedgerFile::open(&place, true).unwrap();
        write(&mut ledger, &[draft(Kind::Grant, 1000)], 1);
        write(&mut ledger, &(0..200).map(|_| draft(Kind::Charge, -1)).collect::<Vec<_>>(), 2);
        // Its journal is written into the file when it is closed, and is begun anew when it is opened.
        drop(ledger);
        let mut ledger = LedgerFile::open(&place, false).unwrap();
        write(&mut ledger, &[draft(Kind::Charge, -7)], 3);
        let database = fs::read(&path).unwrap();
        let journal = fs::read(beside(&path, "-wal")).unwrap();
        drop(ledger);
        let base = Base { path, database, journal };
        fs::write(&base.path, &base.database).unwrap();
        fs::write(beside(&base.path, "-wal"), &base.journal).unwrap();
        let _ = fs::remove_file(beside(&base.path, "-shm"));
        let ledger = LedgerFile::open(&Storage::File(base.path.clone()), false);
        assert_eq!(ledger.and_then(|ledger| contents(ledger, true)), Ok(STATES[1]), "the base is sound");
        base
    }
}
