//! Lists that are undone, on trial, confirmed, and put back when their time is over. Time is an argument.

use super::*;
use crate::ledger::store::audit::{self, AuditPage};
use crate::ledger::store::list_before::{self, ListOf, UNDO_MS, Waiting};
use crate::ledger::store::records::{Absent, ListEntry, ListKind, ListMode, TokenInfo, TokenList};
use crate::ledger::store::{accounts, lists, tokens, upkeep};

on_both_engines! {
    a_list_that_nobody_confirms_goes_back_after_its_time_and_once,
    a_list_that_is_confirmed_stays,
    changes_while_one_is_on_trial_are_on_trial_with_it,
    the_last_change_is_undone_within_ten_minutes,
    domains_go_back_with_what_they_say_of_requests_without_one,
    what_is_on_trial_stays_on_trial_in_the_token_that_takes_the_place,
}

const MINUTE: i64 = 60 * 1000;

fn list(values: &[&str]) -> TokenList {
    let entry = |value: &&str| ListEntry { value: (*value).to_owned(), note: String::new() };
    let mode = if values.is_empty() { ListMode::Any } else { ListMode::Enforce };
    TokenList { mode, entries: values.iter().map(entry).collect(), absent: None }
}

/// A token whose networks are changed.
struct Tried {
    bench: Bench,
    account: String,
    token: String,
}

impl Tried {
    fn new(name: &str) -> Tried {
        let mut bench = Bench::new(name);
        let account = bench.done(|writing| accounts::create(writing, &draft("acme"))).id;
        let token = bench.done(|writing| tokens::create(writing, &account, &token("web"))).token.id;
        Tried { bench, account, token }
    }

    fn of(&self) -> (String, String) {
        (self.account.clone(), self.token.clone())
    }

    fn change(&mut self, values: &[&str], confirm_within_ms: Option<i64>) {
        let (account_id, token_id) = self.of();
        let of = ListOf { account_id: &account_id, token_id: &token_id, kind: ListKind::Network };
        self.bench.done(|writing| lists::change(writing, of, None, &list(values), confirm_within_ms));
    }

    /// Does something else to the list; the refusal, if there is one.
    fn act(
        &mut self,
        deed: impl FnOnce(&mut Writing<'_>, ListOf<'_>, Option<i64>) -> Result<(TokenInfo, TokenList), StoreError>,
    ) -> Result<(), StoreError> {
        let (account_id, token_id) = self.of();
        let of = ListOf { account_id: &account_id, token_id: &token_id, kind: ListKind::Network };
        self.bench.try_do(|writing| deed(writing, of, None)).map(|_| ())
    }

    /// As the gateway does: what is due now goes back. Returns of how many lists it was true.
    fn go_back(&mut self) -> usize {
        let due = list_before::due(&self.bench.connection, self.bench.now, 100).unwrap();
        let done = due.iter().filter(|due| self.bench.done(|writing| lists::go_back(writing, due.of())));
        done.count()
    }

    fn values(&self) -> Vec<String> {
        let list = lists::get(&self.bench.connection, &self.account, &self.token, ListKind::Network).unwrap();
        assert_eq!(list.mode == ListMode::Any, list.entries.is_empty());
        list.entries.into_iter().map(|entry| entry.value).collect()
    }

    /// Minutes from the beginning until the list goes back, and until when the last change can be undone.
    fn waiting(&self) -> (Option<i64>, Option<i64>) {
        let of = ListOf { account_id: &self.account, token_id: &self.token, kind: ListKind::Network };
        let Waiting { goes_back_at, can_undo_until } =
            list_before::waiting(&self.bench.connection, of, self.bench.now).unwrap();
        let minutes = |at: i64| (at - NOW) / MINUTE;
        (goes_back_at.map(minutes), can_undo_until.map(minutes))
    }

    fn at(&mut self, minutes: i64) {
        self.bench.now = NOW + minutes * MINUTE;
    }

    /// The last rows of the audit: actor's interface and action, the newest first.
    fn audit(&self, rows: u32) -> Vec<String> {
        let page = AuditPage { rows, ..AuditPage::default() };
        let rows = audit::page(&self.bench.connection, &page).unwrap();
        rows.into_iter().map(|row| row.action).collect()
    }
}

fn a_list_that_nobody_confirms_goes_back_after_its_time_and_once() {
    let mut tried = Tried::new("goes-back");
    tried.change(&["203.0.113.9"], None);
    tried.change(&["198.51.100.7"], Some(15 * MINUTE));
    assert_eq!((tried.values(), tried.waiting()), (vec!["198.51.100.7".to_owned()], (Some(15), Some(10))));
    tried.at(14);
    assert_eq!((tried.go_back(), tried.values()), (0, vec!["198.51.100.7".to_owned()]));
    // Killed and started again: what waits is in the store.
    tried.bench.connection = open(&tried.bench.location).unwrap();
    tried.at(15);
    let due = list_before::due(&tried.bench.connection, tried.bench.now, 100).unwrap();
    assert_eq!((tried.go_back(), tried.values()), (1, vec!["203.0.113.9".to_owned()]));
    // Another process that has seen the same comes too late.
    assert!(!tried.bench.done(|writing| lists::go_back(writing, due[0].of())));
    assert_eq!(tried.go_back(), 0);
    assert_eq!(tried.audit(1), ["token.networks.go-back"]);
    assert_eq!(tried.waiting(), (None, Some(25)), "what went back can be undone as any change");
    tried.at(24);
    tried.act(lists::undo).unwrap();
    assert_eq!(tried.values(), ["198.51.100.7"]);
    let version = tokens::get(&tried.bench.connection, &tried.account, &tried.token).unwrap().row_version;
    assert_eq!(version, 5, "each change has a version");
    assert!(matches!(audit::check(&tried.bench.connection).unwrap(), audit::Chain::Whole { .. }));
}

fn a_list_that_is_confirmed_stays() {
    let mut tried = Tried::new("confirm");
    let refused = tried.act(lists::confirm).unwrap_err();
    assert!(refused.to_string().contains("nothing to confirm"), "{refused}");
    tried.change(&["203.0.113.9"], Some(MINUTE));
    let (account_id, token_id) = tried.of();
    let of = ListOf { account_id: &account_id, token_id: &token_id, kind: ListKind::Network };
    let refused = tried.bench.refused(|writing| lists::confirm(writing, of, Some(1)));
    assert!(matches!(refused, StoreError::Conflict { row_version: 2, .. }), "{refused}");
    tried.act(lists::confirm).unwrap();
    assert_eq!(tried.audit(2), ["token.networks.confirm", "token.networks"]);
    tried.at(60);
    assert_eq!((tried.go_back(), tried.values(), tried.waiting()), (0, vec!["203.0.113.9".to_owned()], (None, None)));
    tried.change(&["198.51.100.7"], Some(MINUTE));
    tried.at(61);
    let refused = tried.act(lists::confirm).unwrap_err();
    assert!(refused.to_string().contains("the time to confirm is over"), "{refused}");
    assert_eq!(tried.go_back(), 1);
    for time in [MINUTE - 1, 24 * 60 * MINUTE + 1] {
        let refused = tried.bench.refused(|writing| lists::change(writing, of, None, &list(&[]), Some(time)));
        assert!(refused.to_string().starts_with("confirm_within: is out of range"), "{refused}");
    }
}

fn changes_while_one_is_on_trial_are_on_trial_with_it() {
    let mut tried = Tried::new("on-trial");
    tried.change(&["203.0.113.9"], None);
    tried.change(&["198.51.100.7"], Some(5 * MINUTE));
    tried.at(2);
    tried.change(&["198.51.100.8"], None);
    assert_eq!(tried.waiting(), (Some(5), Some(12)), "the first one's time goes on");
    tried.change(&["198.51.100.9"], Some(10 * MINUTE));
    assert_eq!(tried.waiting(), (Some(12), Some(12)));
    tried.act(lists::undo).unwrap();
    assert_eq!((tried.values(), tried.waiting().0), (vec!["198.51.100.8".to_owned()], Some(12)));
    tried.at(12);
    assert_eq!((tried.go_back(), tried.values()), (1, vec!["203.0.113.9".to_owned()]));
    // Whoever puts the list before by hand has nothing to wait for.
    tried.change(&["198.51.100.7"], Some(5 * MINUTE));
    tried.change(&["203.0.113.9"], None);
    assert_eq!(tried.waiting().0, None);
    // What changes nothing is not on trial.
    tried.change(&["203.0.113.9"], Some(5 * MINUTE));
    assert_eq!(tried.waiting().0, None);
}

fn the_last_change_is_undone_within_ten_minutes() {
    let mut tried = Tried::new("undo");
    let refused = tried.act(lists::undo).unwrap_err();
    assert!(refused.to_string().contains("there is no change to undo"), "{refused}");
    tried.change(&["203.0.113.9"], None);
    tried.change(&["198.51.100.7", "198.51.100.8"], None);
    tried.at(9);
    tried.act(lists::undo).unwrap();
    assert_eq!(
        (tried.values(), tried.audit(1)),
        (vec!["203.0.113.9".to_owned()], vec!["token.networks.undo".to_owned()])
    );
    tried.act(lists::undo).unwrap();
    assert_eq!(tried.values(), ["198.51.100.7", "198.51.100.8"], "undoing is a change as well");
    tried.at(19);
    assert_eq!(tried.waiting(), (None, None));
    assert!(tried.act(lists::undo).is_err());
    assert!(tried.bench.rows().contains(&("list_before".to_owned(), 1)));
    assert!(!upkeep::step(&mut tried.bench.connection, &KEPT, tried.bench.now).unwrap());
    assert!(tried.bench.rows().contains(&("list_before".to_owned(), 0)));
    assert_eq!(UNDO_MS, 10 * MINUTE);
}

fn domains_go_back_with_what_they_say_of_requests_without_one() {
    let mut tried = Tried::new("domains-back");
    let (account_id, token_id) = tried.of();
    let of = ListOf { account_id: &account_id, token_id: &token_id, kind: ListKind::Domain };
    let domains = |values: &[&str], absent| TokenList { absent: Some(absent), ..list(values) };
    let first = domains(&["*.example.com"], Absent::Allow);
    tried.bench.done(|writing| lists::change(writing, of, None, &first, None));
    let second = domains(&["app.example.com"], Absent::Deny);
    tried.bench.done(|writing| lists::change(writing, of, None, &second, Some(MINUTE)));
    tried.at(1);
    assert_eq!(tried.go_back(), 1);
    assert_eq!(lists::get(&tried.bench.connection, &account_id, &token_id, ListKind::Domain).unwrap(), first);
    assert_eq!(tried.values(), Vec::<String>::new(), "the other list is as it was");
}

fn what_is_on_trial_stays_on_trial_in_the_token_that_takes_the_place() {
    let mut tried = Tried::new("rotated-trial");
    tried.change(&["203.0.113.9"], None);
    tried.change(&["198.51.100.7"], Some(5 * MINUTE));
    let (account, old) = tried.of();
    let next = tried.bench.done(|writing| tokens::rotate(writing, &account, &old, None, 60 * MINUTE)).token.id;
    let gone = tried.bench.done(|writing| tokens::rotate(writing, &account, &next, None, 0)).token.id;
    tried.at(5);
    // One of the three is revoked, and nobody waits for its list.
    assert_eq!(tried.go_back(), 2);
    assert_eq!(tried.values(), ["203.0.113.9"]);
    tried.token = gone;
    assert_eq!(tried.values(), ["203.0.113.9"]);
    assert_eq!(tried.go_back(), 0, "what cannot go back is forgotten");
}
