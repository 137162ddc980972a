//! Crossings and their messages: once for each crossing, whoever notes it, and taken by one at a time.

use super::*;
use crate::ledger::store::alert_settings::{self, AlertSettings, BalanceThreshold, OwnSettings};
use crate::ledger::store::alerts::{self, Alert, AlertKind, AlertPage, Attempt, Channel, Crossing, Message, Recipient};
use crate::ledger::store::records::AccountState;
use crate::ledger::store::{accounts, tokens, upkeep};

on_both_engines! {
    a_crossing_is_noted_once_until_it_is_over,
    a_message_is_taken_by_one_and_left_to_the_next_if_that_one_dies,
    what_waits_for_a_channel_that_is_gone_is_given_up,
    alerts_that_are_over_are_removed_when_they_are_old,
    what_an_account_wants_is_checked_kept_and_forgotten_with_it,
    a_token_that_is_not_in_force_for_a_while_has_not_recovered,
}

fn low(account: &str, level: i64) -> (Crossing, Vec<Recipient>) {
    let what = Crossing {
        kind: AlertKind::LowBalance,
        account: account.to_owned(),
        subject: "plate".to_owned(),
        product: "plate".to_owned(),
        token: String::new(),
        hint: String::new(),
        level,
        threshold: 100,
    };
    (what, vec![(Channel::Webhook, String::new()), (Channel::Mail, "ops@example.com".to_owned())])
}

impl Bench {
    fn note(&mut self, crossings: &[(Crossing, Vec<Recipient>)], over: &[i64], at: i64) -> usize {
        alerts::note(&mut self.connection, &mut self.random, crossings, over, at).unwrap()
    }

    fn take(&mut self, channel: Channel, at: i64) -> Option<(Message, Alert)> {
        alerts::take(&mut self.connection, channel, at, at + 1000).unwrap()
    }

    fn settings(&mut self, id: &str, settings: &AlertSettings) -> Result<i64, StoreError> {
        let outcome = self.try_do(|writing| alert_settings::set(writing, id, None, settings));
        outcome.map(|outcome| outcome.value.row_version)
    }
}

fn a_crossing_is_noted_once_until_it_is_over() {
    let mut bench = Bench::new("crossing");
    assert_eq!(bench.note(&[low("acme", 7), low("bee", 1)], &[], NOW), 2);
    // Another process, or the same one after a crash, sees less of it.
    assert_eq!(bench.note(&[low("acme", 3)], &[], NOW + 1), 0);
    let open = alerts::open_ones(&bench.connection).unwrap();
    assert_eq!(
        open.iter().map(|alert| (&*alert.what.account, alert.what.level)).collect::<Vec<_>>(),
        [("acme", 7), ("bee", 1)]
    );
    let figures = alerts::figures(&bench.connection).unwrap();
    assert_eq!((figures.open, figures.waiting, figures.oldest), (2, 4, Some(NOW)));
    assert_eq!(bench.note(&[], &[open[0].id], NOW + 2), 0);
    assert_eq!(bench.note(&[low("acme", 5)], &[], NOW + 3), 1, "it has recovered in between");
    let page = |wanted: AlertPage| -> Vec<i64> {
        let wanted = AlertPage { rows: 10, ..wanted };
        alerts::page(&bench.connection, &wanted).unwrap().into_iter().map(|(alert, _)| alert.id).collect()
    };
    assert_eq!(page(AlertPage::default()), [3, 2, 1]);
    assert_eq!(page(AlertPage { account: Some("acme".to_owned()), ..AlertPage::default() }), [3, 1]);
    assert_eq!(page(AlertPage { is_open: Some(false), ..AlertPage::default() }), [1]);
    assert_eq!(
        page(AlertPage { before: Some(3), kind: Some("low-balance".to_owned()), ..AlertPage::default() }),
        [2, 1]
    );
    assert_eq!(page(AlertPage { kind: Some("token-ends".to_owned()), ..AlertPage::default() }), [0; 0]);
}

fn a_message_is_taken_by_one_and_left_to_the_next_if_that_one_dies() {
    let mut bench = Bench::new("taken");
    bench.note(&[low("acme", 7), low("bee", 1)], &[], NOW);
    let (first, alert) = bench.take(Channel::Webhook, NOW).unwrap();
    assert_eq!((&*alert.what.account, first.tries), ("acme", 1));
    let (second, _) = bench.take(Channel::Webhook, NOW).unwrap();
    assert_eq!(bench.take(Channel::Webhook, NOW), None, "both are taken");
    let (again, alert_again) = bench.take(Channel::Webhook, NOW + 1000).unwrap();
    assert_eq!((again.id, again.tries, alert_again), (first.id, 2, alert), "whoever took it has died");
    let settle = |id, attempt: &Attempt, at| alerts::settle(&bench.connection, id, attempt, at).unwrap();
    settle(first.id, &Attempt::Delivered, NOW + 5);
    settle(first.id, &Attempt::GivenUp { fault: "late".to_owned() }, NOW + 6);
    settle(second.id, &Attempt::Later { due_at: NOW + 5000, fault: "it answers 503".to_owned() }, NOW + 6);
    assert_eq!(bench.take(Channel::Webhook, NOW + 4999), None);
    let (third, _) = bench.take(Channel::Webhook, NOW + 5000).unwrap();
    assert_eq!((third.id, third.fault.as_deref()), (second.id, Some("it answers 503")));
    alerts::settle(&bench.connection, third.id, &Attempt::GivenUp { fault: "it answers 410".to_owned() }, NOW + 9)
        .unwrap();
    let found = alerts::page(&bench.connection, &AlertPage { rows: 10, ..AlertPage::default() }).unwrap();
    let states: Vec<(&str, &str, Option<i64>)> = found
        .iter()
        .flat_map(|(_, messages)| messages)
        .map(|message| (&*message.channel, &*message.state, message.done_at))
        .collect();
    let expected = [
        ("webhook", "given-up", Some(NOW + 9)),
        ("mail", "waiting", None),
        ("webhook", "delivered", Some(NOW + 5)),
        ("mail", "waiting", None),
    ];
    assert_eq!(states, expected);
}

fn what_waits_for_a_channel_that_is_gone_is_given_up() {
    let mut bench = Bench::new("channel gone");
    bench.note(&[low("acme", 7)], &[], NOW);
    assert_eq!(alerts::give_up(&bench.connection, Channel::Mail, "it is gone", NOW + 1).unwrap(), 1);
    assert_eq!(alerts::give_up(&bench.connection, Channel::Mail, "it is gone", NOW + 2).unwrap(), 0);
    assert_eq!(alerts::figures(&bench.connection).unwrap().waiting, 1, "the webhook's is still sent");
    assert_eq!(bench.take(Channel::Mail, NOW + 1), None);
}

fn alerts_that_are_over_are_removed_when_they_are_old() {
    let mut bench = Bench::new("old alerts");
    bench.note(&[low("acme", 7), low("bee", 1)], &[], NOW);
    bench.note(&[], &[1], NOW + 5);
    let kept = i64::try_from(KEPT.usage.as_millis()).unwrap();
    assert!(!upkeep::step(&mut bench.connection, &KEPT, NOW + 4 + kept).unwrap());
    assert_eq!(alerts::page(&bench.connection, &AlertPage { rows: 9, ..AlertPage::default() }).unwrap().len(), 2);
    assert!(!upkeep::step(&mut bench.connection, &KEPT, NOW + 5 + kept).unwrap());
    let left = alerts::page(&bench.connection, &AlertPage { rows: 9, ..AlertPage::default() }).unwrap();
    assert_eq!(left.iter().map(|(alert, messages)| (alert.id, messages.len())).collect::<Vec<_>>(), [(2, 2)]);
}

fn what_an_account_wants_is_checked_kept_and_forgotten_with_it() {
    let mut bench = Bench::new("wanted alerts");
    let acme = bench.done(|writing| accounts::create(writing, &draft("acme")));
    let threshold = |product: &str, below| BalanceThreshold { product: product.to_owned(), below };
    let wanted = AlertSettings {
        balances: vec![threshold("vat", 0), threshold("plate", 50)],
        token_days: Some(0),
        mail: Some("ann@example.com".to_owned()),
    };
    for (wrong, field) in [
        (AlertSettings { mail: Some("ann".to_owned()), ..wanted.clone() }, "mail"),
        (AlertSettings { token_days: Some(366), ..wanted.clone() }, "token_days"),
        (
            AlertSettings { balances: vec![threshold("a", 1), threshold("a", 2)], ..wanted.clone() },
            "balances[1].product",
        ),
        (AlertSettings { balances: vec![threshold("a", u64::MAX)], ..wanted.clone() }, "balances[0].below"),
    ] {
        let refused = bench.settings(&acme.id, &wrong).unwrap_err();
        assert!(matches!(&refused, StoreError::Invalid { field: told, .. } if told == field), "{refused}");
    }
    assert_eq!(bench.settings(&acme.id, &wanted).unwrap(), 1);
    assert_eq!(bench.settings(&acme.id, &wanted).unwrap(), 1, "the same in another order is no change");
    let stale = bench.try_do(|writing| alert_settings::set(writing, &acme.id, Some(0), &AlertSettings::default()));
    assert!(matches!(stale, Err(StoreError::Conflict { row_version: 1, .. })));
    let own = OwnSettings::read(&bench.connection).unwrap();
    assert_eq!(own.of("acme").unwrap().balances, [threshold("plate", 50), threshold("vat", 0)]);
    let audited: Vec<String> = bench
        .connection
        .prepare("SELECT after_json FROM audit WHERE action = 'account.alerts'")
        .unwrap()
        .query_map((), |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(audited[0].contains("\"has_mail\":true") && !audited[0].contains("ann@"), "{audited:?}");
    bench.done(|writing| accounts::close(writing, &acme.id, None));
    assert!(OwnSettings::read(&bench.connection).unwrap().is_empty());
    let refused = bench.settings(&acme.id, &wanted).unwrap_err();
    assert!(matches!(refused, StoreError::State { .. }), "{refused}");
}

fn a_token_that_is_not_in_force_for_a_while_has_not_recovered() {
    let mut bench = Bench::new("paused");
    let acme = bench.done(|writing| accounts::create(writing, &draft("acme")));
    let ends = tokens::TokenDraft { last_day: Some(20_900), ..token("web") };
    let made = bench.done(|writing| tokens::create(writing, &acme.id, &ends));
    let digest: Vec<u8> = bench.connection.query_row("SELECT digest FROM token", (), |row| row.get(0)).unwrap();
    let digest = crate::policy::account::Digest::from_bytes(digest.try_into().unwrap());
    let is_paused = |bench: &Bench, day| alerts::is_paused_token(&bench.connection, &digest, day).unwrap();
    assert_eq!(alerts::hint(&bench.connection, &digest).unwrap(), made.token.hint);
    assert!(is_paused(&bench, 20_900) && !is_paused(&bench, 20_901));
    let suspend = accounts::AccountPatch { state: Some(AccountState::Suspended), ..Default::default() };
    bench.done(|writing| accounts::update(writing, &acme.id, None, &suspend));
    assert!(is_paused(&bench, 20_900) && alerts::is_suspended(&bench.connection, "acme").unwrap());
    bench.done(|writing| tokens::revoke(writing, &acme.id, &made.token.id, None));
    assert!(!is_paused(&bench, 20_900) && !alerts::is_suspended(&bench.connection, "nobody").unwrap());
}
