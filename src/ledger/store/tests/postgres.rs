//! What only a database has: nodes that write at once and wake each other, a history that was put back, a pooler.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::cluster::{Cluster, PASSWORD, USER};
use super::database::{act, location, make, names, over_the_port, store};
use super::pooler::Pooler;
use super::*;
use crate::ledger::store::accounts::{self, AccountPatch};
use crate::ledger::store::changes::{self, Moment, Since};
use crate::ledger::store::records::{AccountState, Role};
use crate::ledger::store::users::UserDraft;
use crate::ledger::store::{memberships, users};

#[test]
fn nodes_that_write_at_once_keep_every_rule_and_readers_miss_nothing() {
    const NODES: u64 = 6;
    const EACH: u64 = 15;
    let settings = new_in(cluster::shared());
    let is_over = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut connection = open(location(&settings)).unwrap();
            let (mut known, mut seen) = (Moment::default(), BTreeSet::new());
            loop {
                let is_last = is_over.load(Ordering::Acquire);
                let snapshot = connection.transaction().unwrap();
                let Since::Changed { now, marks } = changes::since(&snapshot, known).unwrap() else {
                    panic!("history has not forked")
                };
                seen.extend(marks.into_iter().map(|(_, id)| accounts::get(&snapshot, &id).unwrap().name));
                known = now;
                if is_last {
                    return seen;
                }
            }
        });
        let writers: Vec<_> = (0..NODES)
            .map(|node| {
                let settings = &settings;
                scope.spawn(move || {
                    let store = store(settings, node + 1);
                    for number in 0..EACH {
                        make(&store, &format!("{node}-{number}")).unwrap();
                        // One of all of them gets the name.
                        let _ = make(&store, &format!("same-{number}"));
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        is_over.store(true, Ordering::Release);
        reader.join().unwrap()
    });
    let all = names(&settings);
    assert_eq!(all.len() as u64, NODES * EACH + EACH);
    assert_eq!(seen, all);
}

#[test]
fn of_two_owners_that_nodes_remove_at_once_one_stays() {
    let settings = new_in(cluster::shared());
    let stores = [store(&settings, 1), store(&settings, 2)];
    let account = make(&stores[0], "acme").unwrap().value;
    for round in 0..10 {
        let of = account.clone();
        let owners = stores[0].write_here(act(), move |writing| {
            [0, 1]
                .map(|which| {
                    let email = Some(format!("owner-{round}-{which}@example.com"));
                    let id = users::create(writing, &UserDraft { email, ..UserDraft::default() })?.id;
                    memberships::add(writing, &of, &id, Role::Owner)?;
                    Ok(id)
                })
                .into_iter()
                .collect::<Result<Vec<String>, StoreError>>()
        });
        // Those of the rounds before are gone, but for the one that stayed.
        let owners = owners.unwrap().value;
        let of = account.clone();
        let connection = open(location(&settings)).unwrap();
        for member in memberships::list(&connection, &account).unwrap() {
            let (of, id) = (of.clone(), member.user_id.clone());
            if !owners.contains(&id) {
                stores[0].write_here(act(), move |writing| memberships::remove(writing, &of, &id, None)).unwrap();
            }
        }
        let removed: usize = std::thread::scope(|scope| {
            let both: Vec<_> = stores
                .iter()
                .zip(owners)
                .map(|(store, id)| {
                    let of = account.clone();
                    scope.spawn(move || {
                        store.write_here(act(), move |writing| memberships::remove(writing, &of, &id, None)).is_ok()
                    })
                })
                .collect();
            both.into_iter().map(|one| usize::from(one.join().unwrap())).sum()
        });
        assert_eq!(removed, 1, "round {round}");
    }
}

#[test]
fn a_store_that_was_put_back_is_another_history() {
    let cluster = cluster::shared();
    let settings = new_in(cluster);
    let first = store(&settings, 1);
    make(&first, "acme").unwrap();
    drop(first);
    let copy = format!("{}_copy", settings.database);
    let create = format!("CREATE DATABASE {copy} OWNER {USER} TEMPLATE {}", settings.database);
    let began = std::time::Instant::now();
    while let Err(error) = cluster.administrator().batch_execute(&create) {
        assert!(began.elapsed().as_secs() < 10, "{error}");
    }
    let (gone_on, back) = (store(&settings, 2), store(&at(cluster, &copy), 3));
    let known = make(&gone_on, "bee").unwrap().at;
    let other = make(&back, "cat").unwrap().at;
    assert_eq!(known.version, other.version);
    let connection = open(location(&at(cluster, &copy))).unwrap();
    assert_eq!(changes::since(&connection, known).unwrap(), Since::Unknown { now: other });
}

#[test]
fn a_pooler_in_transaction_mode_may_stand_between() {
    let cluster = cluster::shared();
    let settings = new_in(cluster);
    let pooler = Pooler::start(cluster);
    let pooled = pooler.settings(&settings);
    // Ten connections of five nodes share two of the server.
    std::thread::scope(|scope| {
        for node in 0..5 {
            let pooled = &pooled;
            scope.spawn(move || {
                let store = store(pooled, node + 1);
                for number in 0..8 {
                    let id = make(&store, &format!("{node}-{number}")).unwrap().value;
                    let patch = AccountPatch { state: Some(AccountState::Suspended), ..AccountPatch::default() };
                    store.write_here(act(), move |writing| accounts::update(writing, &id, None, &patch)).unwrap();
                }
            });
        }
    });
    assert_eq!(names(&pooled).len(), 40);
    let servers =
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let connection = open(location(&settings)).unwrap();
    assert!(connection.query_row(servers, (), |row| row.get::<i64>(0)).unwrap() <= 2);
}

#[test]
fn a_change_of_another_node_wakes_whoever_follows() {
    let settings = PostgresSettings { poll: Duration::from_secs(60), ..new_in(cluster::shared()) };
    let (one, other) = (store(&settings, 1), store(&settings, 2));
    let mut slowest = Duration::ZERO;
    let mut seen = one.wait_for_commit(0, Duration::ZERO);
    for number in 0..20 {
        // It listens from some moment on; what was before it is found by looking.
        let patience = if number == 0 { 5 } else { 2 };
        let began = std::time::Instant::now();
        make(&other, &format!("n{number}")).unwrap();
        let committed = began.elapsed();
        let woken = one.wait_for_commit(seen, Duration::from_secs(patience));
        if number > 0 {
            assert!(woken > seen, "woken in time");
            slowest = slowest.max(began.elapsed().saturating_sub(committed));
        }
        seen = woken;
    }
    eprintln!("woken within {slowest:?} after a commit");
    assert!(slowest < Duration::from_secs(1));
}

#[test]
fn a_database_that_is_away_is_named_and_says_nothing_secret() {
    let nobody = over_the_port(&at(cluster::shared(), "nowhere"), cluster::free_port());
    let refused = open(location(&nobody)).err().unwrap();
    assert!(refused.is_passing() && refused.to_string().contains("cannot be reached"), "{refused}");
    let missing = at(cluster::shared(), "nowhere");
    let refused = open(location(&missing)).err().unwrap().to_string();
    assert!(refused.contains("no database of that name") && refused.contains("3D000"), "{refused}");
    assert!(!format!("{nobody:?} {nobody} {:?}", location(&nobody)).contains(PASSWORD));
}

#[test]
fn a_dry_run_of_an_import_works_on_a_copy() {
    let settings = new_in(cluster::shared());
    let made = store(&settings, 1);
    for name in ["acme", "bee"] {
        make(&made, name).unwrap();
    }
    let mut copy = crate::ledger::store::copy_of(location(&settings)).unwrap();
    assert_eq!(accounts::count_all(&copy).unwrap(), 2);
    transact(&mut copy, act(), &mut Counting(1 << 40), None, |writing| accounts::create(writing, &draft("cat")))
        .unwrap();
    assert_eq!((accounts::count_all(&copy).unwrap(), names(&settings).len()), (3, 2));
    let empty = at(cluster::shared(), &cluster::shared().empty());
    assert_eq!(accounts::count_all(&crate::ledger::store::copy_of(location(&empty)).unwrap()).unwrap(), 0);
}

#[test]
fn a_server_that_stands_still_is_given_up_and_the_next_one_is_asked() {
    let (one, other) = (Cluster::start(), Cluster::start());
    let (first, second) = (new_in(&one), new_in(&other));
    assert_eq!(first.database, second.database);
    let hosts = first.hosts.iter().chain(&second.hosts).cloned().collect();
    let both = PostgresSettings { hosts, ..first };
    let mut connection = open(location(&both)).unwrap();
    let port = |connection: &mut Connection| -> Result<i64, StoreError> {
        let transaction = connection.leasing()?;
        Ok(transaction.query_row("SELECT CAST(current_setting('port') AS BIGINT)", (), |row| row.get(0))?)
    };
    assert_eq!(port(&mut connection).unwrap(), i64::from(one.port));
    one.stand_still();
    let begun = Instant::now();
    // Connections to it are still made, and get no answer.
    while port(&mut connection) != Ok(i64::from(other.port)) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
    one.go_on();
}
