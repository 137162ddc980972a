//! The table of problems: its rows. Its copy in docs/contract.md is compared in documents.rs.

use std::collections::HashSet;

use tollgate::policy::observer::{CHECKS, Check};
use tollgate::policy::problem::{Row, Status, TABLE};

#[test]
fn slugs_are_unique_and_made_of_lower_case_words() {
    let slugs: HashSet<_> = TABLE.iter().map(|definition| definition.slug).collect();
    assert_eq!(slugs.len(), TABLE.len());
    for slug in slugs {
        assert!(slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{slug}");
        assert!(!slug.starts_with('-') && !slug.ends_with('-'), "{slug}");
    }
}

#[test]
fn rows_stand_in_order_of_precedence() {
    assert!(TABLE.iter().map(|definition| definition.row).is_sorted());
    assert!(Row::BodyMalformed < Row::Own(0) && Row::Own(0) < Row::Own(1) && Row::Own(u16::MAX) < Row::BodyInvalid);
}

#[test]
fn rows_and_statuses_are_those_of_the_contract() {
    let expected = [
        ("malformed-request", 400),
        ("request-timeout", 408),
        ("overloaded", 503),
        ("endpoint-unknown", 404),
        ("token-missing", 400),
        ("token-unknown", 401),
        ("token-disabled", 403),
        ("token-expired", 403),
        ("product-mismatch", 403),
        ("ip-not-allowed", 403),
        ("domain-not-allowed", 403),
        ("rate-exceeded", 429),
        ("quota-exceeded", 429),
        ("concurrency-exceeded", 429),
        ("accept-unsupported", 406),
        ("content-type-unsupported", 415),
        ("timeout-invalid", 400),
        ("parameter-invalid", 400),
        ("reference-id-invalid", 400),
        ("add-metadata-invalid", 400),
        ("body-too-large", 400),
        ("body-empty", 400),
        ("body-malformed", 400),
        ("body-invalid", 400),
        ("idempotency-key-reused", 400),
        ("credits-insufficient", 403),
        ("credits-unavailable", 503),
        ("deadline-exceeded", 408),
        ("upstream-unavailable", 503),
        ("upstream-failed", 500),
        ("internal", 500),
    ];
    let rows = TABLE.map(|definition| (definition.slug, definition.status.code()));
    assert_eq!(rows, expected);
}

#[test]
fn checks_are_made_in_the_order_of_the_contracts_table() {
    let contract = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/contract.md")).unwrap();
    let (_, section) = contract.split_once("<!-- problems: begin -->").unwrap();
    let (table, _) = section.split_once("<!-- problems: end -->").unwrap();
    let slugs = table.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |").map(|(slug, _)| slug));
    let expected: Vec<Row> = slugs.filter_map(Row::from_slug).take_while(|row| *row < Row::DeadlineExceeded).collect();
    let mut seen = Vec::new();
    let mut again = Vec::new();
    for (check, rows) in CHECKS {
        assert_eq!(check.rows(), rows, "{check:?} stands in the table twice");
        // A preflight has a request of its own, and ends with it.
        for row in rows.iter().filter(|_| check != Check::Preflight) {
            // The keys of an identity provider may not be there yet; otherwise the row is the backend's.
            if *row == Row::UpstreamUnavailable {
                assert_eq!(check, Check::Principal);
                continue;
            }
            if seen.contains(row) { again.push((check, *row)) } else { seen.push(*row) }
        }
    }
    assert_eq!(seen, expected);
    let expected_again = [
        (Check::OneToken, Row::MalformedRequest),
        (Check::OneKey, Row::MalformedRequest),
        // The body may take too long as well, and one account may hold too much.
        (Check::BodySize, Row::RequestTimeout),
        (Check::Credits, Row::Overloaded),
    ];
    assert_eq!(again, expected_again);
}

#[test]
fn statuses_are_the_closed_set_without_its_successes() {
    assert_eq!(Status::ALL.map(Status::code), [400, 401, 403, 404, 406, 408, 415, 429, 500, 503]);
    for status in Status::ALL {
        let standard = http::StatusCode::from_u16(status.code()).unwrap();
        assert_eq!(standard.canonical_reason(), Some(status.phrase()));
        assert_eq!(Status::from_code(status.code()), Some(status));
    }
}

#[test]
fn details_say_what_to_do_and_name_no_inner_thing() {
    for definition in TABLE {
        let detail = definition.detail;
        assert!(
            detail.ends_with('.') && detail.matches(". ").count() >= 1,
            "{}: one sentence each: {detail}",
            definition.slug
        );
        for inner in ["upstream", "gateway", "Pingora", "config", "127.0.0.1", "panic", "yaml"] {
            assert!(!detail.contains(inner), "{}: {detail}", definition.slug);
        }
    }
}
