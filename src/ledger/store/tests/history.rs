//! The change log, the audit, and operations that are sent again.

use super::*;
use crate::ledger::store::accounts::{self, AccountPatch};
use crate::ledger::store::audit::{self, AuditPage, Chain};
use crate::ledger::store::changes::{self, CHANGES_KEPT_MS, ChangeKind, Moment, Since};
use crate::ledger::store::writing::IDEMPOTENCY_KEPT_MS;
use crate::ledger::store::{tokens, upkeep};

on_both_engines! {
    whoever_knows_a_moment_learns_what_has_changed_since,
    what_is_old_is_removed_but_the_newest_version,
    an_operation_that_is_sent_again_does_nothing_again,
    what_the_check_refuses_is_not_committed,
    the_audit_says_who_did_what_and_any_change_of_it_is_found,
}

fn marks(since: Since) -> Vec<(ChangeKind, String)> {
    match since {
        Since::Changed { mut marks, .. } => {
            marks.sort();
            marks
        }
        Since::Unknown { .. } => panic!("the moment is in the log"),
    }
}

fn whoever_knows_a_moment_learns_what_has_changed_since() {
    let mut bench = Bench::new("changes");
    let begin = changes::moment(&bench.connection).unwrap();
    assert_eq!(begin, Moment::default());
    let first = bench.try_do(|writing| accounts::create(writing, &draft("acme"))).unwrap();
    let second = bench.try_do(|writing| accounts::create(writing, &draft("bee"))).unwrap();
    bench.done(|writing| tokens::create(writing, &first.value.id, &token("web")));
    bench.done(|writing| tokens::create(writing, &first.value.id, &token("app")));
    let account = |id: &str| (ChangeKind::Account, id.to_owned());
    let both = {
        let mut both = vec![account(&first.value.id), account(&second.value.id)];
        both.sort();
        both
    };
    let since = |moment| changes::since(&bench.connection, moment).unwrap();
    assert_eq!(marks(since(begin)), both);
    assert_eq!(marks(since(first.at)), both);
    assert_eq!(marks(since(second.at)), [account(&first.value.id)]);
    let now = changes::moment(&bench.connection).unwrap();
    assert_eq!((now.version, marks(since(now))), (4, vec![]));
    // The same version with another nonce is another history: a store that was restored and went on.
    for unknown in [Moment { nonce: 1, ..second.at }, Moment { version: 9, ..now }, Moment { version: 3, nonce: 7 }] {
        assert_eq!(since(unknown), Since::Unknown { now });
    }
}

fn what_is_old_is_removed_but_the_newest_version() {
    let mut bench = Bench::new("upkeep");
    let first = bench.try_do(|writing| accounts::create(writing, &draft("acme"))).unwrap();
    let second = bench.try_do(|writing| accounts::create(writing, &draft("bee"))).unwrap();
    let idempotency = Idempotency { scope: "ann".to_owned(), key: "k".to_owned(), request: [1; 32] };
    let act = bench.act(Some(idempotency));
    let third = transact(&mut bench.connection, act, &mut bench.random, None, |writing| {
        accounts::create(writing, &draft("cat"))
    });
    let third = third.unwrap();
    let count = |bench: &Bench, table: &str| bench.rows().into_iter().find(|(name, _)| name == table).unwrap().1;
    assert!(!upkeep::step(&mut bench.connection, &KEPT, NOW + IDEMPOTENCY_KEPT_MS - 1).unwrap());
    assert_eq!((count(&bench, "change"), count(&bench, "idempotency")), (3, 1));
    assert!(!upkeep::step(&mut bench.connection, &KEPT, NOW + CHANGES_KEPT_MS).unwrap());
    assert_eq!((count(&bench, "change"), count(&bench, "idempotency")), (1, 0));
    let since = |moment| changes::since(&bench.connection, moment).unwrap();
    assert!(matches!(since(third.at), Since::Changed { .. }));
    for forgotten in [Moment::default(), first.at, second.at] {
        assert!(matches!(since(forgotten), Since::Unknown { .. }));
    }
}

fn an_operation_that_is_sent_again_does_nothing_again() {
    let mut bench = Bench::new("again");
    let account = bench.done(|writing| accounts::create(writing, &draft("acme"))).id;
    let idempotency = |scope: &str, key: &str, request| {
        Some(Idempotency { scope: scope.to_owned(), key: key.to_owned(), request: [request; 32] })
    };
    let send = |bench: &mut Bench, idempotency| {
        let act = bench.act(idempotency);
        let create = |writing: &mut Writing<'_>| {
            let number = bench_number(writing);
            tokens::create(writing, &account, &token(&format!("t{number}")))
        };
        transact(&mut bench.connection, act, &mut bench.random, None, create)
    };
    let first = send(&mut bench, idempotency("ann", "k", 1)).unwrap();
    assert!(!first.replayed && first.value.secret.is_some());
    let before = bench.rows();
    let again = send(&mut bench, idempotency("ann", "k", 1)).unwrap();
    assert_eq!((again.replayed, &again.value.token), (true, &first.value.token));
    assert_eq!((again.value.secret, bench.rows()), (None, before.clone()), "the token is not kept");
    assert_eq!(send(&mut bench, idempotency("ann", "k", 2)).unwrap_err(), StoreError::KeyReused);
    for key in ["", "a b", "ä", &"k".repeat(256)] {
        let refused = send(&mut bench, idempotency("ann", key, 1)).unwrap_err();
        assert!(matches!(refused, StoreError::Invalid { .. }), "{refused}");
    }
    assert_eq!(bench.rows(), before);
    assert!(!send(&mut bench, idempotency("bob", "k", 1)).unwrap().replayed, "somebody else's key is another one");
    bench.now += IDEMPOTENCY_KEPT_MS;
    assert!(!send(&mut bench, idempotency("ann", "k", 2)).unwrap().replayed, "after 48 hours it is a new one");
}

/// A number that no token has yet.
fn bench_number(writing: &Writing<'_>) -> i64 {
    writing.database().query_row("SELECT COUNT(*) FROM token", (), |row| row.get(0)).unwrap()
}

fn what_the_check_refuses_is_not_committed() {
    let mut bench = Bench::new("check");
    let before = bench.rows();
    let check = |connection: &Connection, accounts: &[String]| {
        assert_eq!(accounts.len(), 1);
        let account = accounts::get(connection, &accounts[0])?;
        if account.name == "bad" { Err(StoreError::invalid("products", "cannot be")) } else { Ok(()) }
    };
    let act = bench.act(None);
    let refused = transact(&mut bench.connection, act.clone(), &mut bench.random, Some(&check), |writing| {
        accounts::create(writing, &draft("bad"))
    });
    assert!(matches!(refused, Err(StoreError::Invalid { .. })));
    assert_eq!(bench.rows(), before);
    let good = transact(&mut bench.connection, act, &mut bench.random, Some(&check), |writing| {
        accounts::create(writing, &draft("good"))
    });
    assert!(good.is_ok());
}

fn the_audit_says_who_did_what_and_any_change_of_it_is_found() {
    let mut bench = Bench::new("audit");
    let account = bench.done(|writing| accounts::create(writing, &draft("acme"))).id;
    let patch = AccountPatch { display: Some("Acme".to_owned()), ..AccountPatch::default() };
    bench.done(|writing| accounts::update(writing, &account, None, &patch));
    bench.done(|writing| tokens::create(writing, &account, &token("web")));
    bench.done(|writing| accounts::create(writing, &draft("bee")));
    let page = |account_id: Option<&String>, before, rows| {
        let page = AuditPage { account_id: account_id.cloned(), before, rows };
        let found = audit::page(&bench.connection, &page).unwrap();
        found.into_iter().map(|row| (row.id, row.action)).collect::<Vec<_>>()
    };
    let all = ["account.create", "token.create", "account.update", "account.create"];
    assert_eq!(page(None, None, 10), [4, 3, 2, 1].into_iter().zip(all.map(str::to_owned)).collect::<Vec<_>>());
    assert_eq!(page(Some(&account), None, 2).iter().map(|row| row.0).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(page(Some(&account), Some(2), 2).iter().map(|row| row.0).collect::<Vec<_>>(), [1]);
    let row = audit::page(&bench.connection, &AuditPage { before: Some(3), rows: 1, ..AuditPage::default() }).unwrap();
    let row = &row[0];
    assert_eq!((&*row.actor, &*row.via, &*row.address, &*row.subject), ("key:ann", "api", "203.0.113.9", "acme"));
    assert!(row.before.as_ref().is_some_and(|before| before.contains("acme Ltd")));
    assert!(row.after.as_ref().is_some_and(|after| after.contains("\"Acme\"")));
    assert_eq!(audit::check(&bench.connection).unwrap(), Chain::Whole { rows: 4 });

    for refused in ["UPDATE audit SET actor = 'nobody' WHERE id = 2", "DELETE FROM audit WHERE id = 4"] {
        assert!(bench.connection.execute(refused, ()).is_err(), "{refused}");
    }
    let unguarded = match bench.connection.engine() {
        Engine::Sqlite => "DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_removed",
        Engine::Postgres => "ALTER TABLE audit DISABLE TRIGGER USER",
    };
    bench.connection.execute_batch(unguarded).unwrap();
    let zeros = match bench.connection.engine() {
        Engine::Sqlite => "UPDATE audit SET previous = zeroblob(32) WHERE id = 2",
        Engine::Postgres => "UPDATE audit SET previous = decode(repeat('00', 32), 'hex') WHERE id = 2",
    };
    for (forged, at) in [
        ("UPDATE audit SET at = at + 1 WHERE id = 2", 2),
        ("UPDATE audit SET version = 9 WHERE id = 2", 2),
        ("UPDATE audit SET account_id = NULL WHERE id = 1", 1),
        ("UPDATE audit SET actor = 'nobody' WHERE id = 2", 2),
        ("UPDATE audit SET via = 'cli' WHERE id = 4", 4),
        ("UPDATE audit SET address = '' WHERE id = 2", 2),
        ("UPDATE audit SET action = 'account.close' WHERE id = 1", 1),
        ("UPDATE audit SET subject = 'bee' WHERE id = 1", 1),
        ("UPDATE audit SET before_json = NULL WHERE id = 2", 2),
        ("UPDATE audit SET after_json = '{}' WHERE id = 3", 3),
        ("UPDATE audit SET actor = actor || via, via = '' WHERE id = 2", 2),
        (zeros, 2),
        ("DELETE FROM audit WHERE id = 2", 2),
        ("DELETE FROM audit WHERE id = 4", 4),
        ("DELETE FROM audit", 1),
    ] {
        let transaction = bench.connection.writing().unwrap();
        assert_ne!(transaction.execute(forged, ()).unwrap(), 0, "{forged}");
        assert_eq!(audit::check(&transaction).unwrap(), Chain::Broken { at }, "{forged}");
    }
}
