//! The books against a simple reference, over random histories of holds, answers, grants, crashes
//! and restarts; and what becomes of writes that fail.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};

use super::*;
use arc_swap::ArcSwap;
use futures_util::FutureExt;

use crate::ledger::bill::Bill;
use crate::ledger::entry::Kind;
use crate::ledger::order::BalanceState;
use crate::ledger::{Answer, Ledger, Storage};
use crate::policy::credits::Hold;
use crate::policy::http::transaction_id::TransactionId;
use crate::policy::problem::{Problem, Row};

/// Random histories that the books are compared over.
const HISTORIES: u32 = 100_000;

/// Histories that share one database: loading reads the balances of all of them.
const HISTORIES_A_DATABASE: u64 = 50;

#[derive(Clone, Debug)]
enum Step {
    Hold {
        credit_account: usize,
        amount: u32,
    },
    /// The answer of a hold goes out.
    Deliver {
        hold: usize,
        price: u32,
    },
    /// The charge of a hold is written (where that comes first), but the answer does not go out.
    Lose {
        hold: usize,
        price: u32,
    },
    /// A hold is dropped: refused, failed, or the client has gone.
    Drop {
        hold: usize,
    },
    /// The task writes what has come.
    Write,
    Grant {
        credit_account: usize,
        amount: i64,
        key: u8,
    },
    Adjust {
        credit_account: usize,
        amount: i64,
    },
    Crash,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let credit_account = 0..2_usize;
    let hold = 0..4_usize;
    prop_oneof![
        4 => (credit_account.clone(), 0..4_u32).prop_map(|(credit_account, amount)| Step::Hold { credit_account, amount }),
        4 => (hold.clone(), 0..5_u32).prop_map(|(hold, price)| Step::Deliver { hold, price }),
        1 => (hold.clone(), 0..5_u32).prop_map(|(hold, price)| Step::Lose { hold, price }),
        1 => hold.prop_map(|hold| Step::Drop { hold }),
        2 => Just(Step::Write),
        1 => (credit_account.clone(), 1..6_i64, 0..3_u8).prop_map(|(credit_account, amount, key)| Step::Grant { credit_account, amount, key }),
        1 => (credit_account, -4..4_i64).prop_map(|(credit_account, amount)| Step::Adjust { credit_account, amount }),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

/// What one credit account must have, by the simplest reckoning there is.
#[derive(Clone, Debug, Default)]
struct Reference {
    granted: i64,
    spent: i64,
    held: i64,
    /// What of it is written. The first grant is part of `granted` from the start, written or not.
    written_spent: i64,
    /// Keys that were used, with their amounts.
    keys: Vec<(u8, i64)>,
}

impl Reference {
    fn available(&self) -> i64 {
        self.granted - self.spent - self.held
    }
}

/// Everything that a process has, and that is gone when it dies.
struct Process {
    ledger: Ledger,
    credit_accounts: Vec<Arc<CreditAccount>>,
    task: RefCell<Task>,
}

impl Process {
    fn start(store: LedgerFile, durability: Durability, names: &[String; 2], first_grants: [u64; 2]) -> Process {
        let credit_accounts: Vec<Arc<CreditAccount>> = names
            .iter()
            .zip(first_grants)
            .map(|(name, grant)| Arc::new(CreditAccount::new(name.as_str().into(), "plate".into(), grant)))
            .collect();
        let (orders, received) = channel();
        let shared = Arc::new(Shared::default());
        let settings = LedgerSettings { storage: Storage::Memory, durability, cluster: None };
        let register = Arc::new(BalanceIndex::new(credit_accounts.clone()));
        let mut task = Task::new(settings, Arc::clone(&register), received, orders.clone(), Arc::clone(&shared), None);
        task.interval = Duration::ZERO;
        task.load(&store).unwrap();
        task.loaded = true;
        task.position = store.position().unwrap();
        task.store = Some(store);
        task.prove().unwrap();
        shared.stand(BalanceState::Usable);
        let ledger = Ledger {
            durability,
            register: ArcSwap::new(register),
            orders,
            thread: Some(std::thread::current()),
            shared,
        };
        Process { ledger, credit_accounts, task: RefCell::new(task) }
    }

    /// Lets the task work off all that it was sent.
    fn work(&self) {
        let mut task = self.task.borrow_mut();
        while let Ok(order) = task.orders.try_recv() {
            task.take(order);
        }
        task.write_charges();
        for question in std::mem::take(&mut task.questions) {
            task.answer(question);
        }
        assert!(task.store.is_some(), "nothing fails in memory");
    }

    fn answer_of<T>(&self, answer: Answer<T>) -> Result<T, Refusal> {
        self.work();
        match pin!(answer.wait()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => panic!("the task has worked, but not answered"),
        }
    }

    /// Bills for an answer up to the moment before it goes out.
    fn bill<'p>(&'p self, hold: Hold<'p>, price: u32) -> Bill<'p> {
        let mut bill = Bill::new(&self.ledger, hold, price, &TransactionId::random());
        {
            let mut recording = pin!(bill.record());
            let mut context = Context::from_waker(Waker::noop());
            if recording.as_mut().poll(&mut context).is_pending() {
                self.work();
                assert_eq!(recording.poll(&mut context), Poll::Ready(Ok(())));
            }
        }
        bill
    }

    /// What is written of each credit account.
    fn written(&self, names: &[String; 2]) -> [(i64, i64); 2] {
        let mut found = [(0, 0); 2];
        let task = self.task.borrow();
        let store = task.store.as_ref().unwrap();
        store
            .balances(|account, _, granted, spent| {
                if let Some(index) = names.iter().position(|name| name == account) {
                    found[index] = (granted.cast_signed(), spent.cast_signed());
                }
            })
            .unwrap();
        found
    }
}

fn new_store() -> LedgerFile {
    LedgerFile::open(&Storage::Memory, true).unwrap()
}

/// What both credit accounts must have.
struct References {
    of: [Reference; 2],
    /// What is written of lost answers, and taken back with the next write.
    take_back: [i64; 2],
    durability: Durability,
}

impl References {
    fn new(durability: Durability) -> References {
        let of = FIRST_GRANTS.map(|grant| Reference { granted: grant.cast_signed(), ..Reference::default() });
        References { of, take_back: [0; 2], durability }
    }

    fn writes_each(&self) -> bool {
        self.durability == Durability::Each
    }

    fn take_back(&mut self) {
        for (reference, back) in self.of.iter_mut().zip(&mut self.take_back) {
            reference.written_spent -= std::mem::take(back);
        }
    }

    /// Everything that was ordered is written.
    fn write(&mut self) {
        self.take_back();
        if !self.writes_each() {
            for reference in &mut self.of {
                reference.written_spent = reference.spent;
            }
        }
    }

    /// A hold ends, and so much of it was paid.
    fn end(&mut self, credit_account: usize, held: u32, paid: i64) {
        self.of[credit_account].held -= i64::from(held);
        if self.writes_each() && paid > 0 {
            self.take_back();
            self.of[credit_account].written_spent += paid;
        }
    }

    /// The promise of a ledger: what was written counts, and nothing else; nobody holds anything.
    fn restart(&mut self) {
        for reference in &mut self.of {
            reference.spent = reference.written_spent;
            reference.held = 0;
        }
    }
}

const FIRST_GRANTS: [u64; 2] = [5, 0];

/// Takes one step that does not end the process.
fn take<'p>(process: &'p Process, step: &Step, references: &mut References, holds: &mut Vec<(usize, Hold<'p>)>) {
    match step {
        Step::Hold { credit_account, amount } => {
            let reference = &mut references.of[*credit_account];
            let outcome = held(&process.ledger, process.credit_accounts.get(*credit_account), *amount);
            if i64::from(*amount) <= reference.available() {
                reference.held += i64::from(*amount);
                holds.push((*credit_account, outcome.unwrap()));
            } else {
                assert_eq!(outcome.unwrap_err().row, Row::CreditsInsufficient);
            }
        }
        Step::Deliver { hold, price } if *hold < holds.len() => {
            let (credit_account, hold) = holds.swap_remove(*hold);
            let paid = i64::from((*price).min(hold.amount()));
            references.of[credit_account].spent += paid;
            references.end(credit_account, hold.amount(), paid);
            let mut bill = process.bill(hold, *price);
            let receipt = bill.receipt().unwrap();
            assert_eq!(i64::from(receipt.charged), paid);
            assert_eq!(receipt.remaining.cast_signed(), references.of[credit_account].available());
            bill.fall_due();
        }
        Step::Lose { hold, price } if *hold < holds.len() => {
            let (credit_account, hold) = holds.swap_remove(*hold);
            let paid = i64::from((*price).min(hold.amount()));
            references.end(credit_account, hold.amount(), paid);
            if references.writes_each() {
                // Written, and taken back with the next write.
                references.take_back[credit_account] += paid;
            }
            drop(process.bill(hold, *price));
        }
        Step::Drop { hold } if *hold < holds.len() => {
            let (credit_account, hold) = holds.swap_remove(*hold);
            references.end(credit_account, hold.amount(), 0);
        }
        Step::Deliver { .. } | Step::Lose { .. } | Step::Drop { .. } => {}
        Step::Write | Step::Grant { .. } | Step::Adjust { .. } => {
            correct(process, step, &mut references.of);
            references.write();
        }
        Step::Crash | Step::Restart => unreachable!("they end the process"),
    }
}

fn assert_balances(process: &Process, references: &[Reference; 2], step: &Step) {
    for (credit_account, reference) in process.credit_accounts.iter().zip(references) {
        let snapshot = credit_account.snapshot();
        let [granted, available, held, spent] =
            [snapshot.granted, snapshot.available, snapshot.held, snapshot.spent].map(u64::cast_signed);
        assert_eq!(granted, available + held + spent, "{step:?}");
        let expected = [reference.granted, reference.available(), reference.held, reference.spent];
        assert_eq!([granted, available, held, spent], expected, "{step:?}");
    }
}

/// Plays one history, and compares the books with the reference after every step.
fn play(store: LedgerFile, number: u64, durability: Durability, steps: &[Step]) -> LedgerFile {
    let names = ["a", "b"].map(|name| format!("{name}-{number}"));
    let mut references = References::new(durability);
    let mut steps = steps.iter();
    let mut store = store;
    loop {
        let process = Process::start(store, durability, &names, FIRST_GRANTS);
        let mut holds: Vec<(usize, Hold<'_>)> = Vec::new();
        references.take_back = [0; 2];
        let mut ended = None;
        for step in steps.by_ref() {
            if matches!(step, Step::Crash | Step::Restart) {
                ended = Some(step);
                break;
            }
            take(&process, step, &mut references, &mut holds);
            assert_balances(&process, &references.of, step);
        }
        drop(holds);
        if !matches!(ended, Some(Step::Crash)) {
            process.work();
            references.write();
            for reference in &references.of {
                assert_eq!(reference.written_spent, reference.spent, "a process that ends in order loses nothing");
            }
        }
        references.restart();
        for ((granted, spent), reference) in process.written(&names).into_iter().zip(&references.of) {
            assert_eq!(spent, reference.spent);
            assert!(granted == reference.granted || (granted == 0 && reference.granted == 5 && spent == 0));
        }
        store = process.task.borrow_mut().store.take().unwrap();
        if ended.is_none() {
            return store;
        }
    }
}

/// A grant or an adjustment, in the books and in the reference; either also writes what has come.
fn correct(process: &Process, step: &Step, references: &mut [Reference; 2]) {
    let (index, kind, amount, key) = match step {
        Step::Grant { credit_account, amount, key } => (*credit_account, Kind::Grant, *amount, Some(*key)),
        Step::Adjust { credit_account, amount } if *amount != 0 => (*credit_account, Kind::Adjustment, *amount, None),
        _ => return process.work(),
    };
    let credit_account = Arc::clone(&process.credit_accounts[index]);
    let word = key.map_or_else(|| uuid::Uuid::new_v4().to_string(), |key| key.to_string());
    let correction = Correction { credit_account, kind, amount, key: word, by: "ann".to_owned(), why: String::new() };
    let outcome = process.answer_of(process.ledger.correct(correction));
    let reference = &mut references[index];
    let known = key.and_then(|key| reference.keys.iter().find(|(known, _)| *known == key).copied());
    match (known, outcome) {
        (Some((_, before)), Ok(corrected)) => assert!(corrected.again && before == amount),
        (Some((_, before)), Err(refusal)) => assert!(refusal == Refusal::KeyTaken && before != amount),
        (None, Ok(corrected)) => {
            assert!(!corrected.again && amount + reference.available() >= 0);
            reference.granted += amount;
            reference.keys.extend(key.map(|key| (key, amount)));
        }
        (None, Err(refusal)) => assert!(refusal == Refusal::TooLittle && amount + reference.available() < 0),
    }
}

#[test]
fn the_books_are_those_of_a_simple_reference_over_many_histories() {
    let number = RefCell::new(0_u64);
    let database = RefCell::new(None);
    let history = (prop_oneof![Just(Durability::Batch), Just(Durability::Each)], prop::collection::vec(step(), 1..24));
    let mut runner = TestRunner::new(Cases { cases: HISTORIES, failure_persistence: None, ..Cases::default() });
    let outcome = runner.run(&history, |(durability, steps)| {
        let this = *number.borrow();
        *number.borrow_mut() += 1;
        let store: Option<LedgerFile> = database.borrow_mut().take();
        let store = store.filter(|_| !this.is_multiple_of(HISTORIES_A_DATABASE)).unwrap_or_else(new_store);
        *database.borrow_mut() = Some(play(store, this, durability, &steps));
        Ok(())
    });
    outcome.unwrap();
    assert!(*number.borrow() >= u64::from(HISTORIES));
}

// ---- Writes that fail ----

fn scratch(name: &str) -> std::path::PathBuf {
    let directory = std::env::temp_dir().join(format!("tollgate-ledger-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// A task with one credit account of ten credits on a file.
fn task_on_a_file(directory: &std::path::Path, durability: Durability) -> (Task, Ledger) {
    let credit_account = Arc::new(CreditAccount::new("acme".into(), "plate".into(), 10));
    let (orders, received) = channel();
    let shared = Arc::new(Shared::default());
    let settings = LedgerSettings { storage: Storage::File(directory.join("ledger.db")), durability, cluster: None };
    let register = Arc::new(BalanceIndex::new(vec![credit_account]));
    let mut task = Task::new(settings, Arc::clone(&register), received, orders.clone(), Arc::clone(&shared), None);
    task.interval = Duration::ZERO;
    task.recover();
    (
        task,
        Ledger { durability, register: ArcSwap::new(register), orders, thread: Some(std::thread::current()), shared },
    )
}

fn work(task: &mut Task) {
    while let Ok(order) = task.orders.try_recv() {
        task.take(order);
    }
    if task.store.is_none() {
        task.recover();
    }
    task.write_charges();
    for question in std::mem::take(&mut task.questions) {
        task.answer(question);
    }
}

impl Ledger {
    /// Whether requests that cost something are served.
    fn is_usable(&self) -> bool {
        self.shared.standing() == BalanceState::Usable
    }
}

/// What a ledger that has its file holds, at once.
fn held<'p>(ledger: &Ledger, credit_account: Option<&'p Arc<CreditAccount>>, amount: u32) -> Result<Hold<'p>, Problem> {
    ledger.hold(credit_account, amount).now_or_never().unwrap()
}

/// The only credit account of a ledger.
fn credit_account(ledger: &Ledger) -> Arc<CreditAccount> {
    ledger.credit_account("acme", "plate").unwrap()
}

fn deliver(ledger: &Ledger) {
    let credit_account = credit_account(ledger);
    let hold = held(ledger, Some(&credit_account), 1).unwrap();
    Bill::new(ledger, hold, 1, &TransactionId::random()).fall_due();
}

fn spent_in_file(directory: &std::path::Path) -> u64 {
    let mut spent = 0;
    let store = LedgerFile::open(&Storage::File(directory.join("ledger.db")), false).unwrap();
    store.balances(|_, _, _, of_one| spent += of_one).unwrap();
    spent
}

#[test]
fn while_the_file_is_locked_nobody_can_hold_and_what_was_delivered_is_charged_once_after_it() {
    let directory = scratch("locked");
    let (mut task, ledger) = task_on_a_file(&directory, Durability::Batch);
    deliver(&ledger);
    work(&mut task);
    let other = rusqlite::Connection::open(directory.join("ledger.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    deliver(&ledger);
    for _ in 0..3 {
        work(&mut task);
        assert!(!ledger.is_usable());
        assert_eq!(held(&ledger, Some(&credit_account(&ledger)), 1).unwrap_err().row, Row::Internal, "never a 403");
    }
    other.execute_batch("ROLLBACK").unwrap();
    work(&mut task);
    assert!(ledger.is_usable());
    deliver(&ledger);
    work(&mut task);
    assert_eq!(credit_account(&ledger).snapshot().spent, 3);
    drop((task, other));
    assert_eq!(spent_in_file(&directory), 3);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn an_answer_that_waits_for_its_charge_is_refused_when_it_cannot_be_written() {
    let directory = scratch("each");
    let (mut task, ledger) = task_on_a_file(&directory, Durability::Each);
    let other = rusqlite::Connection::open(directory.join("ledger.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let credit_account = credit_account(&ledger);
    let hold = held(&ledger, Some(&credit_account), 1).unwrap();
    let mut bill = Bill::new(&ledger, hold, 1, &TransactionId::random());
    {
        let mut recording = pin!(bill.record());
        let mut context = Context::from_waker(Waker::noop());
        assert!(recording.as_mut().poll(&mut context).is_pending());
        work(&mut task);
        let Poll::Ready(Err(problem)) = recording.poll(&mut context) else { panic!("it was not refused") };
        assert_eq!(problem.row, Row::Internal);
    }
    drop(bill);
    other.execute_batch("ROLLBACK").unwrap();
    work(&mut task);
    assert_eq!(credit_account.snapshot().available, 10);
    drop((task, other));
    assert_eq!(spent_in_file(&directory), 0);
    std::fs::remove_dir_all(directory).unwrap();
}

/// A write can fail and be on the disk all the same: the disk takes it, but not the order to keep it.
#[test]
fn a_failed_write_that_is_there_after_all_is_not_written_again() {
    for durability in [Durability::Batch, Durability::Each] {
        for is_there in [true, false] {
            let directory = scratch("doubt");
            let (mut task, ledger) = task_on_a_file(&directory, durability);
            let credit_account = &credit_account(&ledger);
            let (sender, mut written) = tokio::sync::oneshot::channel();
            let stage = match durability {
                Durability::Batch => Stage::Delivered,
                Durability::Each => Stage::Waiting(sender),
            };
            credit_account.hold(2).unwrap().settle(if durability == Durability::Batch { 2 } else { 0 });
            ledger.charge(credit_account, 2, TransactionId::random(), stage);
            while let Ok(order) = task.orders.try_recv() {
                task.take(order);
            }
            let mut batch = task.gather();
            if is_there {
                let at = now().unwrap();
                task.store.as_mut().unwrap().write(&batch.drafts, &[], &at, batch.position).unwrap();
            }
            for charge in &mut batch.charges {
                if let Stage::Waiting(waiting) = &mut charge.stage {
                    waiting_is_over(waiting);
                }
            }
            task.doubt = Some(batch);
            task.fail(LedgerFault::new("on purpose"));
            assert!(written.try_recv().is_err(), "nobody is told that it was written");
            work(&mut task);
            work(&mut task);
            assert!(ledger.is_usable());
            let delivered = if durability == Durability::Batch { 2 } else { 0 };
            assert_eq!(credit_account.snapshot().spent, delivered);
            drop(task);
            assert_eq!(spent_in_file(&directory), delivered, "{durability:?} {is_there}");
            std::fs::remove_dir_all(directory).unwrap();
        }
    }
}

#[test]
fn a_grant_that_failed_but_is_there_counts_and_an_adjustment_that_is_not_there_is_undone() {
    for (amount, is_there, available) in [(7, true, 17), (7, false, 10), (-4, true, 6), (-4, false, 10)] {
        let directory = scratch("correction");
        let (mut task, ledger) = task_on_a_file(&directory, Durability::Batch);
        let credit_account = &credit_account(&ledger);
        if amount < 0 {
            assert!(credit_account.balance().withdraw(4));
        }
        let mut batch = Batch { position: task.next_position(), ..Batch::default() };
        batch.first_grant(credit_account);
        batch.drafts.push(Draft { key: Some("k".to_owned()), ..draft(credit_account, Kind::Adjustment, amount) });
        batch.correction = Some((Arc::clone(credit_account), amount));
        if is_there {
            let at = now().unwrap();
            task.store.as_mut().unwrap().write(&batch.drafts, &[], &at, batch.position).unwrap();
        }
        task.doubt = Some(batch);
        task.fail(LedgerFault::new("on purpose"));
        work(&mut task);
        assert_eq!(credit_account.snapshot().available, available, "{amount} {is_there}");
        // Sent again with its key, it has happened once.
        let (kind, key) = (Kind::Adjustment, "k".to_owned());
        let again = Correction {
            credit_account: Arc::clone(credit_account),
            kind,
            amount,
            key,
            by: "ann".to_owned(),
            why: String::new(),
        };
        let answer = ledger.correct(again);
        work(&mut task);
        let corrected = answer.wait_here().unwrap();
        assert_eq!((corrected.again, corrected.balance.cast_signed()), (is_there, 10 + amount));
        std::fs::remove_dir_all(directory).unwrap();
    }
}

#[test]
fn a_file_that_vanishes_is_not_taken_for_a_new_one_and_counts_again_when_it_is_back() {
    let directory = scratch("gone");
    let (file, away) = (directory.join("ledger.db"), directory.join("away.db"));
    let (mut task, ledger) = task_on_a_file(&directory, Durability::Batch);
    deliver(&ledger);
    work(&mut task);
    std::fs::rename(&file, &away).unwrap();
    deliver(&ledger);
    for _ in 0..3 {
        work(&mut task);
        assert!(!ledger.is_usable() && !file.exists());
    }
    // A copy is as good as the file itself, an older one is not.
    std::fs::copy(&away, &file).unwrap();
    work(&mut task);
    assert!(ledger.is_usable());
    work(&mut task);
    drop(task);
    assert_eq!(spent_in_file(&directory), 2);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn an_older_copy_in_its_place_is_refused() {
    let directory = scratch("older");
    let file = directory.join("ledger.db");
    let (mut task, ledger) = task_on_a_file(&directory, Durability::Batch);
    let fold = "PRAGMA wal_checkpoint(TRUNCATE)";
    rusqlite::Connection::open(&file).unwrap().query_row(fold, [], |_| Ok(())).unwrap();
    std::fs::copy(&file, directory.join("older.db")).unwrap();
    deliver(&ledger);
    work(&mut task);
    std::fs::rename(directory.join("older.db"), &file).unwrap();
    deliver(&ledger);
    work(&mut task);
    assert!(!ledger.is_usable());
    // The journal of the newer one would make it whole.
    std::fs::remove_file(directory.join("ledger.db-wal")).unwrap();
    work(&mut task);
    assert!(!ledger.is_usable());
    assert!(task.faults.last().unwrap().to_string().contains("another history"), "{:?}", task.faults);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn many_charges_of_one_licence_share_a_row_and_a_few_have_one_each() {
    let directory = scratch("rows");
    let (mut task, ledger) = task_on_a_file(&directory, Durability::Batch);
    let (credit_account, kind, by) = (credit_account(&ledger), Kind::Grant, "ann".to_owned());
    let answer =
        ledger.correct(Correction { credit_account, kind, amount: 50, key: "k".to_owned(), by, why: String::new() });
    work(&mut task);
    answer.wait_here().unwrap();
    for count in [3, 40] {
        for _ in 0..count {
            deliver(&ledger);
        }
        work(&mut task);
    }
    let rows = task.store.as_ref().unwrap().page(&Page { rows: 1000, ..Page::default() }).unwrap();
    let charges: Vec<(i64, i64)> =
        rows.iter().filter(|row| row.kind == Kind::Charge).map(|row| (row.amount, row.lookups)).collect();
    assert_eq!(charges, [(-1, 1), (-1, 1), (-1, 1), (-40, 40)]);
    assert!(
        rows.iter().any(|row| row.reference.len() == 36) && rows.iter().any(|row| row.reference.starts_with("batch "))
    );
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_ledger_that_is_closed_has_written_everything() {
    let directory = scratch("closed");
    let settings = LedgerSettings {
        storage: Storage::File(directory.join("ledger.db")),
        durability: Durability::Batch,
        cluster: None,
    };
    let credit_accounts = vec![Arc::new(CreditAccount::new("acme".into(), "plate".into(), 10))];
    let ledger = Ledger::open(Some(settings), credit_accounts, None, None, None);
    deliver(&ledger);
    deliver(&ledger);
    ledger.close();
    assert_eq!(spent_in_file(&directory), 2);
    assert!(held(&ledger, Some(&credit_account(&ledger)), 1).is_err());
    std::fs::remove_dir_all(directory).unwrap();
}
