//! The phone product (contract, section 10).

use super::{gateway, lookup};
use crate::support::{Backend, VERSIONS};

#[test]
fn odd_but_allowed_bodies_pass_unchanged() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for (place, body) in [
            r#"{"number":"c4n4ry"}"#,
            r#" {"number":" "} "#,
            "\r\n{\"number\"\t:\"not a number at all c4n4ry\"}\r\n",
            r#"{"number":"c4n4ry\u0000\ud83d\ude00 ☎"}"#,
            r#"{"number":"1","output_format":null,"cache_value_days":null,"country_iso":"","get_ported_date":null}"#,
            r#"{"number":"1","cache_value_days":0,"supplementary_live_status":{"mobile":[],"landline":null}}"#,
            r#"{"number":"1","cache_value_days":30,"supplementary_live_status":{"mobile":["GBR"]}}"#,
            r#"{"number":"1","supplementary_live_status":null,"get_disposable_number":""}"#,
            r#"{"number":"1","unknown":{"deep":[1,2,{"a":1.5e3}]}}"#,
            // Without its byte order mark it is the same body (section 11).
            "\u{feff}{\"number\":\"c4n4ry\"}",
        ]
        .into_iter()
        .enumerate()
        {
            let target = format!("/phone/validate/v2?{version:?}-{place}");
            gateway.send(version, &lookup().target(&target).body(body)).assert_success();
            let sent = String::from_utf8(backend.last_request()).unwrap();
            assert!(sent.starts_with(&format!("POST {target} HTTP/1.1\r\n")), "{sent}");
            assert_eq!(sent.split_once("\r\n\r\n").unwrap().1, body.trim_start_matches('\u{feff}'));
        }
    }
}

#[test]
fn a_refused_body_is_told_where_and_why_and_never_what_it_said() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for (body, slug, detail) in [
            (
                r#"{"output_format":"c4n4ry-secret","number":7,"country_iso":["c4n4ry"]}"#,
                "body-invalid",
                "The body does not follow the rules of this endpoint: output_format must have at most 10 characters; \
                 number must be a string; country_iso must be a string or null. Correct that and send it again.",
            ),
            (
                "{\n  \"number\": \"1\",\n  \"c4n4ry\" 1\n}",
                "body-malformed",
                "The body is not valid JSON (line 3, column 12). Send one JSON document in UTF-8, without duplicate names \
                 in an object, nested at most 32 levels deep.",
            ),
        ] {
            let response = gateway.send(version, &lookup().body(body));
            response.assert_problem(slug);
            assert_eq!(response.json()["error"]["detail"], detail);
        }
    }
}
