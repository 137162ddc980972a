//! Gateways with ledgers of their own, which share a PostgreSQL.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::*;
use crate::ledger::entry::Kind;
use crate::ledger::order::Stage;
use crate::ledger::store::tests::cluster::{self, Cluster};
use crate::ledger::store::tests::{database::location, new_in};
use crate::ledger::store::{PostgresSettings, open};
use crate::ledger::{Durability, LedgerSettings, Storage};
use crate::policy::credits::CreditAccount;
use crate::policy::http::transaction_id::TransactionId;

const PRODUCT: &str = "phone";

/// New identities wait for nobody.
fn terms() -> Terms {
    Terms { lag: 0, ..Terms::default() }
}

fn store(settings: &PostgresSettings) -> LeaseStore {
    LeaseStore::new(open(location(settings)).unwrap(), "edge", terms()).unwrap()
}

fn grant(settings: &PostgresSettings, credits: u64) {
    let amount = i64::try_from(credits).unwrap();
    let (account, product, kind, key) = ("acme", PRODUCT, Kind::Grant, "first");
    let change = Change { account, product, kind, amount, key, by: "test", why: "", at_ms: 0 };
    assert!(matches!(store(settings).change(&change).unwrap(), ChangeOutcome::Done(_)));
}

struct Gateway {
    ledger: Arc<Ledger>,
    account: Arc<CreditAccount>,
    until: Arc<AtomicU64>,
    orders: Sender<LeaseOrder>,
    thread: JoinHandle<()>,
}

impl Gateway {
    fn start(settings: &PostgresSettings, storage: Storage) -> Gateway {
        let account = Arc::new(CreditAccount::new("acme".into(), PRODUCT.into(), 0));
        let ledger_settings = LedgerSettings { storage, durability: Durability::Batch, cluster: None };
        let ledger = Arc::new(Ledger::open(Some(ledger_settings), vec![Arc::clone(&account)], None, None, None));
        let (orders, received) = channel();
        let until = Arc::new(AtomicU64::new(0));
        let (of_task, known) = (Arc::clone(&ledger), Arc::clone(&until));
        let settings = settings.clone();
        let thread = std::thread::spawn(move || {
            let figures = Arc::default();
            LeaseTask::open(&of_task, store(&settings), terms(), (&known, &figures)).unwrap().run(&received);
        });
        Gateway { ledger, account, until, orders, thread }
    }

    /// A lookup.
    fn buy(&self, credits: u32) -> Verdict {
        let begun = Instant::now();
        loop {
            let held = (boot_milliseconds() < self.until.load(Ordering::Acquire)).then(|| self.account.hold(credits));
            if let Some(Ok(hold)) = held {
                self.ledger.charge(&self.account, credits, TransactionId::random(), Stage::Delivered);
                hold.settle(credits);
                return Verdict::Try;
            }
            let (told, verdict) = oneshot::channel();
            self.orders.send(LeaseOrder::Short(Arc::clone(&self.account), credits, told)).unwrap();
            match verdict.blocking_recv().unwrap() {
                Verdict::Try => assert!(begun.elapsed() < Duration::from_secs(10)),
                verdict => return verdict,
            }
        }
    }

    /// Buys one once it is there: at most so long.
    fn buy_within(&self, patience: Duration) -> Duration {
        let begun = Instant::now();
        while self.buy(1) != Verdict::Try {
            assert!(begun.elapsed() < patience);
        }
        begun.elapsed()
    }

    fn end(self) {
        let (told, ended) = sync_channel(1);
        self.orders.send(LeaseOrder::End(told)).unwrap();
        ended.recv_timeout(Duration::from_secs(10)).unwrap();
        self.thread.join().unwrap();
        self.ledger.close();
    }

    /// The process ends without a word: what was charged is in the ledger's file.
    fn crash(self) {
        drop(self.orders);
        self.thread.join().unwrap();
        self.ledger.close();
    }
}

/// What the tables have as granted, allotted and spent.
fn totals(settings: &PostgresSettings) -> (i64, i64, i64) {
    let connection = open(location(settings)).unwrap();
    let query = "SELECT granted, allotted, \
                 (SELECT CAST(coalesce(sum(spent), 0) AS BIGINT) FROM credit_lease) FROM credit_balance";
    connection.query_row(query, (), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
}

fn file(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("tollgate-lease-task-{name}-{}.db", std::process::id()));
    remove(&path);
    path
}

fn remove(path: &std::path::Path) {
    for end in ["", "-wal", "-shm", ".lock"] {
        let _ = std::fs::remove_file(format!("{}{end}", path.display()));
    }
}

#[test]
fn the_last_three_credits_are_usable_on_five_gateways() {
    let settings = new_in(cluster::shared());
    grant(&settings, 3);
    let gateways: Vec<Gateway> = (0..5).map(|_| Gateway::start(&settings, Storage::Memory)).collect();
    gateways[0].buy_within(Duration::from_secs(20));
    for gateway in [&gateways[3], &gateways[1]] {
        let took = gateway.buy_within(Duration::from_secs(20));
        eprintln!("one of the last credits after {took:?}");
    }
    for gateway in &gateways {
        assert_eq!(gateway.buy(1), Verdict::Insufficient);
    }
    gateways.into_iter().for_each(Gateway::end);
    assert_eq!(totals(&settings), (3, 3, 3));
}

#[test]
fn gateways_that_crash_sell_exactly_what_was_granted() {
    let settings = new_in(cluster::shared());
    grant(&settings, 200);
    let files = [file("one"), file("two")];
    let mut sold = 0;
    for _ in 0..3 {
        let both = [0, 1].map(|which: usize| Gateway::start(&settings, Storage::File(files[which].clone())));
        for gateway in &both {
            gateway.buy_within(Duration::from_secs(20));
            sold += 1;
            for _ in 0..15 {
                assert_eq!(gateway.buy(1), Verdict::Try);
                sold += 1;
            }
        }
        both.into_iter().for_each(Gateway::crash);
    }
    let last = [0, 1].map(|which: usize| Gateway::start(&settings, Storage::File(files[which].clone())));
    last[0].buy_within(Duration::from_secs(20));
    sold += 1;
    // Once all have retired what they had before, all of it can be sold on each of them.
    last[1].buy_within(Duration::from_secs(20));
    sold += 1;
    let mut short = 0;
    while sold < 200 && short < 100 {
        match last[1].buy(1) {
            Verdict::Try => sold += 1,
            _ => short += 1,
        }
    }
    assert_eq!(sold, 200);
    assert_eq!(last[0].buy(1), Verdict::Insufficient);
    last.into_iter().for_each(Gateway::end);
    assert_eq!(totals(&settings), (200, 200, 200));
    files.iter().for_each(|file| remove(file));
}

#[test]
fn what_is_on_lease_is_sold_while_the_database_is_away() {
    let cluster = Cluster::start();
    let settings = new_in(&cluster);
    grant(&settings, 10_000);
    let gateway = Gateway::start(&settings, Storage::Memory);
    gateway.buy_within(Duration::from_secs(20));
    // Demand of some seconds.
    for _ in 0..40 {
        assert_eq!(gateway.buy(1), Verdict::Try);
        std::thread::sleep(Duration::from_millis(100));
    }
    cluster.kill();
    for _ in 0..40 {
        assert_eq!(gateway.buy(1), Verdict::Try);
        std::thread::sleep(Duration::from_millis(50));
    }
    cluster.start_again();
    // The server's start is an epoch: the counters are declared, and it goes on.
    for _ in 0..40 {
        assert_eq!(gateway.buy(1), Verdict::Try);
        std::thread::sleep(Duration::from_millis(50));
    }
    gateway.end();
    assert_eq!(totals(&settings), (10_000, 121, 121));
}
