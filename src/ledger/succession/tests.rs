//! Three processes that have a ledger one after the other, as three ledgers of one process.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::*;
use crate::ledger::bill::Bill;
use crate::ledger::file::LedgerFile;
use crate::ledger::{Durability, Ledger, LedgerSettings, Storage};
use crate::policy::credits::Hold;
use crate::policy::problem::{Problem, Row};

const PATIENCE: Duration = Duration::from_secs(10);

/// A ledger with one credit account of ten credits, which takes over from another one.
struct Process {
    ledger: Ledger,
    account: Arc<CreditAccount>,
    /// The end of its line to the next one, as the end of the process closes it.
    line: Mutex<Option<UnixStream>>,
}

impl Process {
    fn start(file: &Path, durability: Durability, predecessor: Option<Channel>) -> Process {
        let account = Arc::new(CreditAccount::new("acme".into(), "plate".into(), 10));
        let storage = Storage::File(file.to_owned());
        let settings = LedgerSettings { storage, durability, cluster: None };
        let ledger = Ledger::open(Some(settings), vec![Arc::clone(&account)], None, predecessor, None);
        Process { ledger, account, line: Mutex::default() }
    }

    /// Hands over to a next one, which has the balances from then on.
    fn followed(&self, file: &Path, durability: Durability) -> Process {
        let (near, far) = Channel::pair().unwrap();
        let next = Process::start(file, durability, Some(far));
        assert!(next.ledger.has_predecessor() && !next.ledger.has_balances());
        *self.line.lock().unwrap() = near.another().ok().map(|line| UnixStream::from(line.into_end()));
        self.ledger.hand_over(near);
        until(|| next.ledger.has_balances());
        next
    }

    /// Nothing of the process is left.
    fn end(self) {
        self.ledger.close();
        let line = self.line.lock().unwrap().take();
        line.unwrap().shutdown(Shutdown::Both).unwrap();
    }

    fn hold(&self, credits: u32) -> Result<Hold<'_>, Problem> {
        wait(self.ledger.hold(Some(&self.account), credits))
    }

    fn bill<'p>(&'p self, hold: Hold<'p>, price: u32) -> Bill<'p> {
        Bill::new(&self.ledger, hold, price, &TransactionId::random())
    }

    /// Available, held and spent.
    fn balance(&self) -> [u64; 3] {
        let balance = self.account.snapshot();
        [balance.available, balance.held, balance.spent]
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "in vain");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn file(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("tollgate-succession-{name}-{}.db", std::process::id()));
    remove(&path);
    path
}

fn remove(path: &Path) {
    for end in ["", "-wal", "-shm", ".lock"] {
        let _ = std::fs::remove_file(format!("{}{end}", path.display()));
    }
}

fn spent_in(path: &Path) -> u64 {
    let mut spent = 0;
    let file = LedgerFile::open(&Storage::File(path.to_owned()), false).unwrap();
    file.balances(|_, _, _, of_one| spent += of_one).unwrap();
    spent
}

#[test]
fn what_requests_of_the_process_before_hold_is_held_and_charged_by_the_next() {
    let path = file("charges");
    let before = Process::start(&path, Durability::Batch, None);
    let (kept, given_back) = (before.hold(3).unwrap(), before.hold(2).unwrap());
    let next = before.followed(&path, Durability::Batch);
    assert_eq!(next.balance(), [5, 5, 0]);
    let mut bill = before.bill(kept, 1);
    assert_eq!(bill.fall_due(), 1);
    until(|| next.balance() == [5, 4, 1]);
    drop((bill, given_back));
    // A hold that ends without a charge is known at the end of the process before.
    before.end();
    until(|| next.balance() == [9, 0, 1] && !next.ledger.has_predecessor());
    next.ledger.close();
    assert_eq!(spent_in(&path), 1);
    remove(&path);
}

#[test]
fn a_request_of_the_process_before_gets_its_hold_from_the_next() {
    let path = file("holds");
    let before = Process::start(&path, Durability::Batch, None);
    let next = before.followed(&path, Durability::Batch);
    let hold = before.hold(4).unwrap();
    assert_eq!((hold.left(), next.balance()), (6, [6, 4, 0]));
    assert_eq!(before.hold(7).unwrap_err().row, Row::CreditsInsufficient);
    let own = next.hold(6).unwrap();
    assert_eq!(before.hold(1).unwrap_err().row, Row::CreditsInsufficient);
    assert_eq!(before.bill(hold, 4).fall_due(), 4);
    until(|| next.balance() == [0, 6, 4]);
    drop(own);
    next.ledger.close();
    assert_eq!(spent_in(&path), 4);
    // Nobody has the file any more.
    until(|| before.hold(1).is_err());
    remove(&path);
}

#[test]
fn an_answer_that_waits_for_its_charge_gets_it_from_the_next_and_one_that_is_not_sent_is_refunded() {
    let path = file("each");
    let before = Process::start(&path, Durability::Each, None);
    let next = before.followed(&path, Durability::Each);
    let mut sent = before.bill(before.hold(1).unwrap(), 1);
    wait(sent.record()).unwrap();
    assert!(sent.is_written());
    assert_eq!((sent.fall_due(), next.balance()), (1, [9, 0, 1]));
    let mut not_sent = before.bill(before.hold(2).unwrap(), 2);
    wait(not_sent.record()).unwrap();
    assert_eq!(next.balance(), [7, 0, 3]);
    drop(not_sent);
    until(|| next.balance() == [9, 0, 1]);
    next.ledger.close();
    assert_eq!(spent_in(&path), 1);
    // Whoever waits for a process that has ended is told that nothing was written.
    let mut late = before.bill(Hold::nothing(), 1);
    assert!(wait(late.record()).is_ok());
    remove(&path);
}

#[test]
fn the_first_of_three_processes_is_served_by_the_last() {
    let path = file("three");
    let first = Process::start(&path, Durability::Batch, None);
    let held = first.hold(1).unwrap();
    let second = first.followed(&path, Durability::Batch);
    let third = second.followed(&path, Durability::Batch);
    assert_eq!(third.balance(), [9, 1, 0]);
    let hold = first.hold(5).unwrap();
    assert_eq!((hold.left(), third.balance()), (4, [4, 6, 0]));
    assert_eq!(first.hold(5).unwrap_err().row, Row::CreditsInsufficient);
    assert_eq!((first.bill(hold, 5).fall_due(), first.bill(held, 1).fall_due()), (5, 1));
    until(|| third.balance() == [4, 0, 6]);
    third.ledger.close();
    assert_eq!(spent_in(&path), 6);
    remove(&path);
}

#[test]
fn a_process_that_ends_before_it_hands_over_leaves_the_file_to_the_next() {
    let path = file("gone");
    let before = Process::start(&path, Durability::Batch, None);
    let hold = before.hold(2).unwrap();
    assert_eq!(before.bill(hold, 2).fall_due(), 2);
    let (near, far) = Channel::pair().unwrap();
    before.ledger.close();
    let next = Process::start(&path, Durability::Batch, Some(far));
    assert!(!next.ledger.has_balances());
    drop(near);
    until(|| next.ledger.has_balances());
    assert_eq!(next.balance(), [8, 0, 2]);
    next.ledger.close();
    remove(&path);
}
