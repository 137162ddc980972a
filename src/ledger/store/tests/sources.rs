//! Where tokens are used from: adding up, limits, the week, tokens that were replaced.

use super::*;
use crate::ledger::store::records::ListKind;
use crate::ledger::store::sources::{self, MOST_KEPT, SOURCES_KEPT_MS, Source, TokenSources};
use crate::ledger::store::{accounts, tokens, upkeep};
use crate::policy::account::Digest;
use crate::telemetry::sources::{DAY_MS, SourceCount, SourceKey, SourceKind};

on_both_engines! {
    sources_are_added_up_over_a_week_and_no_longer,
    the_sources_with_the_most_requests_are_kept,
    what_replaces_a_token_is_about_to_be_used_from_the_same_places,
}

fn row(secret: &str, kind: SourceKind, value: &str, requests: u64, last_at: i64) -> (SourceKey, SourceCount) {
    let digest = *Digest::of(secret.as_bytes()).bytes();
    let day = last_at - last_at.rem_euclid(DAY_MS);
    (SourceKey { digest, kind, day, value: value.into() }, SourceCount { requests, last_at })
}

/// What was seen of a network, in all three rows that a request has.
fn seen(secret: &str, address: &str, requests: u64, last_at: i64) -> Vec<(SourceKey, SourceCount)> {
    [(SourceKind::Use, ""), (SourceKind::Network, address), (SourceKind::Domain, "(none)")]
        .map(|(kind, value)| row(secret, kind, value, requests, last_at))
        .into()
}

/// An account with a token, and the token's secret.
fn account_with_token(bench: &mut Bench) -> (String, String, String) {
    let account = bench.done(|writing| accounts::create(writing, &draft("acme"))).id;
    let made = bench.try_do(|writing| {
        let made = tokens::create(writing, &account, &token("web"))?;
        Ok((made.token.id, made.secret.unwrap_or_default()))
    });
    let (id, secret) = made.unwrap().value;
    (account, id, secret)
}

fn networks(found: &TokenSources) -> Vec<(&str, i64, i64)> {
    let of = found.sources.iter().filter(|source| source.kind == ListKind::Network);
    of.map(|source| (&*source.value, source.requests, source.last_at)).collect()
}

fn sources_are_added_up_over_a_week_and_no_longer() {
    let mut bench = Bench::new("sources");
    let (account, id, secret) = account_with_token(&mut bench);
    let old = NOW - SOURCES_KEPT_MS;
    for rows in [
        seen(&secret, "203.0.113.9", 5, NOW - DAY_MS),
        seen(&secret, "203.0.113.9", 7, NOW - 1000),
        seen(&secret, "203.0.113.9", 1, NOW - 3000),
        seen(&secret, "198.51.100.7", 20, NOW - 2 * DAY_MS),
        seen(&secret, "192.0.2.1", 100, old - 1),
        seen(&secret, "192.0.2.2", 1, old + 1),
        seen("another token", "192.0.2.3", 1, NOW),
    ] {
        sources::add(&mut bench.connection, &rows).unwrap();
    }
    let found = sources::of(&bench.connection, (&account, &id), false, NOW).unwrap();
    let wanted = [("198.51.100.7", 20, NOW - 2 * DAY_MS), ("203.0.113.9", 13, NOW - 1000), ("192.0.2.2", 1, old + 1)];
    assert_eq!((networks(&found), found.requests), (wanted.to_vec(), 34));
    let of_pages = Source { kind: ListKind::Domain, value: "(none)".to_owned(), requests: 34, last_at: NOW - 1000 };
    assert_eq!(found.sources[0], of_pages, "most requests first, whatever the kind");
    let refused = sources::of(&bench.connection, (&account, "0"), false, NOW).unwrap_err();
    assert_eq!(refused, StoreError::NotFound { what: "token" });

    assert!(!upkeep::step(&mut bench.connection, &KEPT, NOW).unwrap());
    let again = sources::of(&bench.connection, (&account, &id), false, NOW).unwrap();
    assert_eq!(again, found, "what is shown is not removed");
    assert!(!upkeep::step(&mut bench.connection, &KEPT, NOW + SOURCES_KEPT_MS + DAY_MS).unwrap());
    assert!(bench.rows().contains(&("token_source".to_owned(), 0)));
}

fn the_sources_with_the_most_requests_are_kept() {
    let mut bench = Bench::new("most-sources");
    let (account, id, secret) = account_with_token(&mut bench);
    // A few that are heavy, among many that are seen once, in several turns.
    for turn in 0..10 {
        let mut rows = Vec::new();
        for number in 0..40 {
            rows.push(row(&secret, SourceKind::Network, &format!("2001:db8::{turn}:{number}"), 1, NOW + turn));
        }
        for number in 0..20 {
            rows.push(row(&secret, SourceKind::Network, &format!("203.0.113.{number}"), 2, NOW + turn));
        }
        rows.push(row(&secret, SourceKind::Use, "", 80, NOW + turn));
        sources::add(&mut bench.connection, &rows).unwrap();
    }
    let found = sources::of(&bench.connection, (&account, &id), false, NOW + 10).unwrap();
    assert_eq!((found.sources.len(), found.requests), (MOST_KEPT, 800), "all requests are known");
    assert!(found.sources[..20].iter().all(|source| source.value.starts_with("203.0.113.") && source.requests == 20));
    let kept: i64 = bench.connection.query_row("SELECT COUNT(*) FROM token_source", (), |row| row.get(0)).unwrap();
    assert!(kept <= 101, "{kept}");
}

fn what_replaces_a_token_is_about_to_be_used_from_the_same_places() {
    let mut bench = Bench::new("replaced-sources");
    let (account, id, secret) = account_with_token(&mut bench);
    let made = bench.try_do(|writing| {
        let made = tokens::rotate(writing, &account, &id, None, 1000)?;
        Ok((made.token.id, made.secret.unwrap_or_default()))
    });
    let (next, next_secret) = made.unwrap().value;
    sources::add(&mut bench.connection, &seen(&secret, "203.0.113.9", 5, NOW)).unwrap();
    sources::add(&mut bench.connection, &seen(&next_secret, "203.0.113.9", 1, NOW)).unwrap();
    for (token, with_replaced, requests) in [(&id, true, 5), (&next, false, 1), (&next, true, 6)] {
        let found = sources::of(&bench.connection, (&account, token), with_replaced, NOW).unwrap();
        assert_eq!((networks(&found), found.requests), (vec![("203.0.113.9", requests, NOW)], requests));
    }
}
