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
        ]
        .into_iter()
        .enumerate()
        {
            let target = format!("/phone/validate/v2?{version:?}-{place}");
            gateway.send(version, &lookup().target(&target).body(body)).assert_success();
            let sent = String::from_utf8(backend.last_request()).unwrap();
            assert!(sent.starts_with(&format!("POST {target} HTTP/1.1\r\n")), "{sent}");
            assert_eq!(sent.split_once("\r\n\r\n").unwrap().1, body);
        }
    }
}
