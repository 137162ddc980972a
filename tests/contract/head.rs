//! The rules of request headers, value by value (contract, section 4).

use super::{REFERENCE, check, gateway, lookup};
use crate::support::{Backend, Request, Response, VERSIONS};

#[test]
fn a_reference_is_echoed_made_or_refused() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let longest = "a".repeat(256);
    let too_long = "a".repeat(257);
    let refused = Some("reference-id-invalid");
    for version in VERSIONS {
        for (reference, slug) in [
            (REFERENCE, None),
            ("a", None),
            ("a  b", None),
            (&longest, None),
            (&too_long, refused),
            ("", refused),
            ("a;b", refused),
            ("a\tb", refused),
            ("a\"b", refused),
            ("<a>", refused),
            ("ä", refused),
        ] {
            for request in [lookup(), lookup().without("Content-Type"), Request::lookup("nobody")] {
                let response = gateway.send(version, &request.clone().with("Reference-ID", reference));
                if slug.is_none() {
                    assert_eq!(response.header("reference-id"), Some(reference), "{version:?}");
                } else {
                    assert_ne!(response.header("reference-id"), Some(reference), "{version:?}");
                }
                if request.headers == lookup().headers && request.body == lookup().body {
                    check(&response, slug);
                }
            }
        }
        let twice = lookup().with("Reference-ID", "one").with("Reference-ID", "two");
        let response = gateway.send(version, &twice);
        response.assert_problem("reference-id-invalid");
        assert!(!["one", "two", "one, two"].contains(&response.header("Reference-ID").unwrap()));
        // If none is sent, one is generated: a new UUID each time.
        let made: Vec<String> =
            (0..2).map(|_| gateway.send(version, &lookup()).header("Reference-ID").unwrap().to_owned()).collect();
        assert!(made.iter().all(|made| uuid::Uuid::parse_str(made).is_ok()), "{made:?}");
        assert_ne!(made[0], made[1]);
    }
}

/// Values of a header, and whether they pass.
type Values = &'static [(&'static str, bool)];

/// Headers, the problem of a wrong value, and values.
const TABLES: [(&str, &str, Values); 5] = [
    (
        "Add-Metadata",
        "add-metadata-invalid",
        &[
            ("true", true),
            ("false", true),
            ("True", true),
            ("FALSE", true),
            ("", false),
            ("1", false),
            ("yes", false),
            ("true, true", false),
        ],
    ),
    (
        "Timeout-Seconds",
        "timeout-invalid",
        &[
            ("2", true),
            ("15", true),
            ("1", false),
            ("0", false),
            ("16", false),
            ("", false),
            ("+5", false),
            ("-5", false),
            ("5.0", false),
            ("5s", false),
            ("0x5", false),
            ("five", false),
            ("99999999999999999999999", false),
        ],
    ),
    (
        "Accept",
        "accept-unsupported",
        &[
            ("*/*", true),
            ("application/*", true),
            ("application/json", true),
            ("Application/JSON", true),
            ("application/json; charset=utf-8", true),
            ("text/html, application/json;q=0.001", true),
            ("text/html,application/xhtml+xml,*/*;q=0.8", true),
            // The default of Java's HttpURLConnection, version 8 to 18.
            ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", true),
            ("*", true),
            ("application/json;q=.2", true),
            ("application/json;q=1.5", true),
            ("application/json;q=high", true),
            ("application/json;q=", true),
            ("*;q=0", false),
            ("application/json;q=.0", false),
            ("text/html", false),
            ("application/xml", false),
            ("application/json;q=0", false),
            ("*/*;q=0", false),
            ("*/*, application/json;q=0", false),
            ("application/*;q=0, */*", false),
        ],
    ),
    (
        "Content-Type",
        "content-type-unsupported",
        &[
            ("application/json", true),
            ("APPLICATION/Json", true),
            ("application/json; charset=utf-8", true),
            ("application/json;charset=\"UTF-8\"", true),
            ("application/json; version=1", true),
            ("application/json; charset=utf8", true),
            ("application/json;charset=\"UTF8\"", true),
            ("application/json;charset=unicode-1-1-utf-8", true),
            ("application/json;charset=x-unicode20utf8", true),
            ("application/json;charset=US-ASCII", true),
            ("application/json;charset=\"us-ascii\"", true),
            ("application/json; charset=windows-1252", false),
            ("application/json; charset=iso-8859-1", false),
            ("application/json; charset=utf-16", false),
            ("text/json", false),
            ("application/jsonp", false),
            ("application/x-www-form-urlencoded", false),
            ("multipart/form-data; boundary=a", false),
            ("", false),
            ("application/json, text/html", false),
        ],
    ),
    (
        "Content-Encoding",
        "content-type-unsupported",
        &[("identity", true), ("Identity", true), ("gzip", false), ("br", false), ("identity, gzip", false)],
    ),
];

#[test]
fn the_other_headers_have_their_tables() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for (name, slug, rows) in TABLES {
            for (value, passes) in rows {
                println!("{version:?} {name}: {value}");
                let response = gateway.send(version, &lookup().set(name, value));
                // What is not served is said in the form that the client prefers.
                check_either(&response, (!passes).then_some(slug));
            }
        }
        for (name, slug, value) in [
            ("Add-Metadata", "add-metadata-invalid", "true"),
            ("Timeout-Seconds", "timeout-invalid", "5"),
            ("Content-Type", "content-type-unsupported", "application/json"),
        ] {
            let twice = lookup().without(name).with(name, value).with(name, value);
            gateway.send(version, &twice).assert_problem(slug);
        }
        // Lines of Accept are one list.
        let two = lookup().with("Accept", "text/html").with("Accept", "application/json");
        gateway.send(version, &two).assert_success();
    }
}

/// Success, or this problem in one of its two forms.
fn check_either(response: &Response, slug: Option<&str>) {
    match slug {
        Some(slug) if response.header("Content-Type") == Some("application/problem+json") => {
            response.assert_problem_json(slug);
        }
        _ => check(response, slug),
    }
}
