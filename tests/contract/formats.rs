//! Bodies and answers in JSON, XML and MessagePack (contract, section 13).

use serde_json::{Value, json};
use tollgate::policy::account::Digest;
use tollgate::policy::check::body::shapes::Shapes;
use tollgate::policy::format::kind::Format;
use tollgate::policy::format::{of_json, to_json};

use super::routes::{request, yaml};
use crate::support::{Backend, Gateway, Request, Response, VERSIONS, token};

const ANSWER: &str = r#"{"result":{"number":"DE 1 & 2","found":true,"days":[1],"none":null},"extra":2.5}"#;

const ANSWER_XML: &str = "<response><result><number>DE 1 &amp; 2</number><found>true</found><days>1</days><none/></result>\
     <extra>2.5</extra></response>";

/// A backend that answers `GET /v1/item/KIND` as its kind says, and everything else with the usual answer.
fn backend() -> Backend {
    Backend::start(|peer, request| {
        let request = String::from_utf8_lossy(request);
        let target = request.split(' ').nth(1).unwrap();
        let json = "Content-Type: application/json\r\nETag: \"e\"\r\nLink: <a>\r\n";
        match target.rsplit('/').next().unwrap() {
            "deep" => peer.answer_with("200 OK", json, ("[".repeat(200) + &"]".repeat(200)).as_bytes()),
            "long" => {
                let body = format!(r#"{{"{}":[{}0]}}"#, "n".repeat(9000), "0,".repeat(9000));
                peer.answer_with("200 OK", json, body.as_bytes())
            }
            "xml" => peer.answer_with("200 OK", "Content-Type: application/xml\r\n", b"<response/>"),
            "gone" => peer.answer_with("404 Not Found", json, br#"{"gone":true}"#),
            "failing" => peer.answer_with("500 Internal Server Error", json, b"{}"),
            _ => peer.answer_with("200 OK", json, ANSWER.as_bytes()),
        }
    })
}

const PRODUCT: &str = r#"formats: [json, xml, msgpack]
routes: [POST /v1/lookup, "GET /v1/item/{kind}"]
body:
  max: 4KiB
  schema:
    type: object
    required: [number]
    properties:
      number: { type: string, minLength: 1 }
      days: { type: [integer, "null"], maximum: 30 }
      countries: { type: array, items: { type: string, maxLength: 2 } }
      deep: { type: boolean }
      ratio: { type: number }
  problems: [{ at: /days, problem: no-such-day }]
answer_headers: [ETag, Link]
answers: { 404: {} }
credits:
  hold: [{ add: 1 }, { add: 2, if: { request: /deep, is: true } }, { add: 1 }]
  price: [{ add: 1 }, { add: 2, if: { request: /deep, is: true } }, { add: 1, if: { answer: /result/found, is: true } }]
"#;

const JSON_ALONE: &str = "routes: [POST /v2/lookup]\nbody: {}";

fn gateway(backend: &Backend) -> Gateway {
    let digest = Digest::of(token("paying").as_bytes()).text();
    let free = yaml(backend, &[("vat", PRODUCT), ("plain", JSON_ALONE)])
        .replace("rate: { limit: 600000/min }", "rate: { limit: 600000/min }\n    credits: { vat: unmetered }");
    let paying = format!(
        "  paying:\n    rate: {{ limit: 600000/min }}\n    credits: {{ vat: 10000 }}\n    tokens: [{{ name: n, hash: \"{digest}\", products: [vat] }}]\n\
         ledger: {{ volatile: true }}\nproblems: {{ no-such-day: {{ status: 400, detail: Choose another day. }} }}\n\
         limits: {{ response_bytes: 1MiB }}\n"
    );
    Gateway::start(&(free + &paying))
}

fn packed(json: &str) -> Vec<u8> {
    of_json(Format::MsgPack, json.as_bytes(), usize::MAX).unwrap()
}

fn lookup(content_type: &str, body: impl AsRef<[u8]>) -> Request {
    request("POST", "/v1/lookup").with("Content-Type", content_type).body(body)
}

/// The headers, in lower case, and the body that the backend got last.
fn got(backend: &Backend) -> (String, Value) {
    let request = backend.last_request();
    let end = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(request[..end].to_vec()).unwrap().to_ascii_lowercase();
    (head, serde_json::from_slice(&request[end..]).unwrap())
}

/// The error object of a response in whichever format, as JSON.
fn error_of(response: &Response) -> Value {
    match response.header("content-type").unwrap() {
        "application/json" => response.json(),
        "application/xml" | "text/xml" => {
            let text = std::str::from_utf8(response.body()).unwrap();
            let request = text.replacen("<response>", "<request>", 1).replace("</response>", "</request>");
            serde_json::from_slice(&to_json(Format::Xml, request.as_bytes(), &Shapes::default()).unwrap()).unwrap()
        }
        _ => serde_json::from_slice(&to_json(Format::MsgPack, response.body(), &Shapes::default()).unwrap()).unwrap(),
    }
}

#[test]
fn a_body_in_any_format_is_the_same_json_for_the_backend() {
    let backend = backend();
    let gateway = gateway(&backend);
    let json = r#"{"number":"DE 1","days":null,"countries":["DE"],"deep":true,"ratio":0.5,"other":{"a":["1","2"]}}"#;
    let xml = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<request xmlns=\"urn:a\">\n <number>DE 1</number>\n <days/>\n\
         <countries>DE</countries>\n <deep>true</deep> <ratio>0.5</ratio>\n <other><a>1</a><a>2</a></other>\n</request>\n";
    let pack = packed(json);
    let value: Value = serde_json::from_str(json).unwrap();
    for version in VERSIONS {
        for (content_type, body) in [
            ("application/json", json.as_bytes()),
            ("application/vnd.a+json", json.as_bytes()),
            ("application/xml", xml.as_bytes()),
            ("text/xml; charset=utf-8", xml.as_bytes()),
            ("Application/vnd.a+XML", xml.as_bytes()),
            ("application/msgpack", &pack),
            ("application/x-msgpack", &pack),
            ("application/vnd.msgpack", &pack),
        ] {
            let response = gateway.send(version, &lookup(content_type, body));
            response.assert_success();
            assert_eq!(response.header("vary"), Some("Accept, Origin"));
            let (head, body) = got(&backend);
            assert_eq!(body, value, "{content_type}");
            let types: Vec<&str> = head.lines().filter_map(|line| line.strip_prefix("content-type: ")).collect();
            let as_sent = content_type.contains("json");
            assert_eq!(types, [if as_sent { content_type } else { "application/json" }], "{head}");
            assert!(head.contains("\r\naccept: application/json\r\n"), "{head}");
        }
        gateway.send(version, &lookup("text/xml", format!("\u{feff}{xml}"))).assert_success();
        for refused in
            ["text/plain", "application/xml; charset=iso-8859-1", "application/x-protobuf", "application/soap"]
        {
            gateway.send(version, &lookup(refused, xml)).assert_problem("content-type-unsupported");
        }
        let coded = lookup("application/xml", xml).with("Content-Encoding", "gzip");
        gateway.send(version, &coded).assert_problem("content-type-unsupported");
    }
}

#[test]
fn what_is_wrong_with_a_body_is_the_same_problem_in_every_format() {
    let backend = backend();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for (json, xml, slug) in [
            ("{}", "<request><x/></request>", "body-invalid"),
            (r#"{"number":""}"#, "<request><number/></request>", "body-invalid"),
            (r#"{"number":"1","days":31}"#, "<request><number>1</number><days>31</days></request>", "no-such-day"),
            (r#"{"number":"1","days":"x"}"#, "<request><number>1</number><days>x</days></request>", "no-such-day"),
            (
                r#"{"deep":"yes","countries":["DE","DEU"]}"#,
                "<request><deep>yes</deep><countries>DE</countries><countries>DEU</countries></request>",
                "body-invalid",
            ),
            (r#"{"number":["1","2"]}"#, "<request><number>1</number><number>2</number></request>", "body-invalid"),
            (r#""1""#, "<request>1</request>", "body-invalid"),
            (
                r#"{"number":"1","deep":"maybe","ratio":"x"}"#,
                "<request><number>1</number><deep>maybe</deep><ratio>x</ratio></request>",
                "body-invalid",
            ),
        ] {
            let told = |content_type: &str, body: &[u8]| {
                let response = gateway.send(version, &lookup(content_type, body));
                response.assert_problem(slug);
                response.json()["error"]["detail"].as_str().unwrap().to_owned()
            };
            let expected = told("application/json", json.as_bytes());
            assert_eq!(told("text/xml", xml.as_bytes()), expected, "{xml}");
            assert_eq!(told("application/msgpack", &packed(json)), expected, "{json}");
        }
        let long = "x".repeat(5000);
        for (content_type, body, slug, detail) in [
            ("application/xml", b"".to_vec(), "body-empty", "Send one document in JSON, XML or MessagePack"),
            ("application/msgpack", b"".to_vec(), "body-empty", "Send one document in JSON, XML or MessagePack"),
            ("application/json", b"{\n  x".to_vec(), "body-malformed", "(line 2, column 3)"),
            (
                "application/xml",
                b"<request>\n <number a='1'/></request>".to_vec(),
                "body-malformed",
                "(line 2, column 2)",
            ),
            ("application/xml", b"{\"number\":\"1\"}".to_vec(), "body-malformed", "(line 1, column 1)"),
            ("application/xml", b"<answer/>".to_vec(), "body-malformed", "(line 1, column 1)"),
            ("application/msgpack", b"\x81\xa1n\xc4\x00".to_vec(), "body-malformed", "(byte 4)"),
            ("application/msgpack", b"<request/>".to_vec(), "body-malformed", "(byte 2)"),
            ("text/xml", format!("<request><number>{long}</number></request>").into_bytes(), "body-too-large", "4096"),
            ("application/msgpack", packed(&format!("{{\"number\":\"{long}\"}}")), "body-too-large", "4096"),
        ] {
            let response = gateway.send(version, &lookup(content_type, body));
            response.assert_problem(slug);
            let told = response.json()["error"]["detail"].as_str().unwrap().to_owned();
            assert!(told.contains(detail), "{told}");
        }
    }
    assert_eq!(backend.requests().len(), 0, "nothing of this reaches the backend");
}

#[test]
fn hostile_bodies_are_malformed() {
    let backend = backend();
    let gateway = gateway(&backend);
    let deep = "<a>".repeat(600);
    for version in VERSIONS {
        for xml in [
            "<!DOCTYPE r [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><request><number>&x;</number></request>",
            "<!DOCTYPE r [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'>]><request><number>&b;</number></request>",
            "<request><number>&b;</number></request>",
            "<request><number>1</number><?php x?></request>",
            "<request><number b='1'>1</number></request>",
            "<request>x<number>1</number></request>",
            "<request><number>1</number></request><request/>",
            &format!("<request>{deep}"),
        ] {
            gateway.send(version, &lookup("application/xml", xml)).assert_problem("body-malformed");
        }
        for pack in [
            b"\xdd\xff\xff\xff\xff".as_slice(),
            b"\xdf\xff\xff\xff\xff",
            b"\xdb\xff\xff\xff\xff",
            b"\xc6\xff\xff\xff\xff",
            b"\x82\xa6number\xa11\xa6number\xa12",
            b"\x81\xa6number\xd4\x01\x02",
            b"\x81\xa6number\xcb\x7f\xf8\0\0\0\0\0\0",
            b"\x81\x01\x02",
            b"\x81\xa6number\xa11\xc0",
            &[0x91; 1000],
        ] {
            gateway.send(version, &lookup("application/msgpack", pack)).assert_problem("body-malformed");
        }
    }
}

#[test]
fn an_answer_and_every_error_come_in_the_format_that_accept_prefers() {
    let backend = backend();
    let gateway = gateway(&backend);
    let body = r#"{"number":"1"}"#;
    for version in VERSIONS {
        for (accept, content_type) in [
            (None, "application/json"),
            (Some("*/*"), "application/json"),
            (Some("application/*"), "application/json"),
            (Some("application/json, application/xml"), "application/json"),
            (Some("application/xml"), "application/xml"),
            (Some("text/xml, application/json;q=0.9"), "text/xml"),
            (Some("text/*"), "text/xml"),
            (Some("application/json;q=0.1, application/msgpack;q=0.2"), "application/msgpack"),
            (Some("application/x-msgpack"), "application/x-msgpack"),
            (Some("application/vnd.msgpack, text/xml;q=0.5"), "application/vnd.msgpack"),
            (Some("*/*, application/json;q=0"), "application/xml"),
        ] {
            let with = |request: Request| match accept {
                Some(accept) => request.with("Accept", accept),
                None => request,
            };
            let response = gateway.send(version, &with(lookup("application/json", body)));
            assert_eq!(response.status(), 200, "{response:?}");
            assert_eq!(response.header("content-type"), Some(content_type), "{accept:?}");
            assert_eq!(response.header("vary"), Some("Accept, Origin"));
            assert_eq!(response.header("link"), Some("<a>"));
            let is_json = content_type == "application/json";
            assert_eq!(response.header("etag"), is_json.then_some("\"e\""), "it is of the backend's own bytes");
            match content_type {
                "application/json" => assert_eq!(response.body(), ANSWER.as_bytes(), "byte for byte"),
                "application/xml" | "text/xml" => assert_eq!(response.body(), ANSWER_XML.as_bytes()),
                _ => assert_eq!(response.body(), packed(ANSWER)),
            }
            let passed = gateway.send(version, &with(request("GET", "/v1/item/gone")));
            assert_eq!((passed.status(), passed.header("content-type")), (404, Some(content_type)));
            for (refused, status, slug) in [
                (lookup("application/json", "{"), 400, "body-malformed"),
                (request("GET", "/v1/item/failing"), 500, "upstream-failed"),
                (request("GET", "/v1/item/1").set("Auth-Token", "?"), 401, "token-unknown"),
                (request("GET", "/v1/item/1").without("Auth-Token"), 400, "token-missing"),
            ] {
                let response = gateway.send(version, &with(refused));
                assert_eq!((response.status(), response.header("content-type")), (status, Some(content_type)));
                assert_eq!(response.header("vary"), Some("Accept, Origin"));
                let error = error_of(&response);
                let members: Vec<&String> = error["error"].as_object().unwrap().keys().collect();
                assert_eq!(members, ["detail", "instance", "title", "type"]);
                assert_eq!(error["error"]["type"], format!("https://api.example.com/docs/problems/{slug}"));
            }
            // Nobody knows the product yet.
            let nowhere = gateway.send(version, &with(request("GET", "/nowhere")));
            match accept {
                Some("*/*, application/json;q=0") => nowhere.assert_problem_json("endpoint-unknown"),
                None | Some(_) => nowhere.assert_problem("endpoint-unknown"),
            }
        }
        for (accept, slug) in
            [("text/html", "accept-unsupported"), ("application/xml;q=0, image/*", "accept-unsupported")]
        {
            gateway.send(version, &lookup("application/json", body).with("Accept", accept)).assert_problem(slug);
        }
        let prefers = |accept: &str| gateway.send(version, &lookup("application/json", "{").with("Accept", accept));
        prefers("application/problem+json, application/xml;q=0.9").assert_problem_json("body-malformed");
        assert_eq!(
            prefers("application/problem+json;q=0.5, application/xml").header("content-type"),
            Some("application/xml")
        );
    }
}

#[test]
fn an_error_in_xml_has_the_four_members_in_their_order() {
    let backend = backend();
    let gateway = gateway(&backend);
    let sent = request("GET", "/v1/item/a%26b").set("Auth-Token", "?").with("Accept", "text/xml");
    for version in VERSIONS {
        let response = gateway.send(version, &sent);
        let text = std::str::from_utf8(response.body()).unwrap();
        let begins = "<response><error><type>https://api.example.com/docs/problems/token-unknown</type>\
             <title>Unauthorized</title><detail>";
        let ends = "</detail><instance>/v1/item/a%26b</instance></error></response>";
        assert!(text.starts_with(begins) && text.ends_with(ends), "{text}");
    }
}

#[test]
fn prices_see_the_same_value_in_every_format() {
    let backend = backend();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for (content_type, body, charged) in [
            ("application/json", br#"{"number":"1"}"#.to_vec(), 2),
            ("application/json", br#"{"number":"1","deep":true}"#.to_vec(), 4),
            ("application/xml", b"<request><number>1</number></request>".to_vec(), 2),
            ("application/xml", b"<request><number>1</number><deep>true</deep></request>".to_vec(), 4),
            ("application/xml", b"<request><number>1</number><deep>false</deep></request>".to_vec(), 2),
            ("application/msgpack", packed(r#"{"number":"1","deep":true}"#), 4),
        ] {
            for accept in ["application/json", "application/xml", "application/msgpack"] {
                let sent = lookup(content_type, &body).set("Auth-Token", &token("paying")).with("Accept", accept);
                let response = gateway.send(version, &sent);
                assert_eq!(response.status(), 200, "{response:?}");
                assert_eq!(response.number("X-Credits-Charged"), charged, "{content_type} {accept}");
            }
        }
    }
}

#[test]
fn an_answer_that_a_format_cannot_have_is_not_passed_and_not_charged() {
    let backend = backend();
    let gateway = gateway(&backend);
    for version in VERSIONS {
        for (kind, accept, status) in [
            ("deep", "application/json", 200),
            ("deep", "application/xml", 500),
            ("deep", "application/msgpack", 500),
            ("long", "application/json", 200),
            ("long", "application/xml", 500),
            ("long", "application/msgpack", 200),
            // The backend speaks JSON, whatever clients speak.
            ("xml", "application/json", 500),
            ("xml", "application/xml", 500),
        ] {
            let sent = request("GET", &format!("/v1/item/{kind}")).with("Accept", accept);
            let response = gateway.send(version, &sent.set("Auth-Token", &token("paying")));
            assert_eq!(response.status(), status, "{kind} {accept}");
            assert_eq!(response.header("x-credits-charged").is_some(), status == 200, "{kind} {accept}");
        }
    }
}

#[test]
fn a_product_with_json_alone_is_as_before() {
    let backend = backend();
    let gateway = gateway(&backend);
    let plain =
        |content_type: &str, body: &str| request("POST", "/v2/lookup").with("Content-Type", content_type).body(body);
    for version in VERSIONS {
        let response = gateway.send(version, &plain("application/json", "{}"));
        response.assert_success();
        assert_eq!(response.header("vary"), Some("Origin"));
        for other in ["application/xml", "application/msgpack", "application/a+json"] {
            gateway.send(version, &plain(other, "<request/>")).assert_problem("content-type-unsupported");
        }
        for other in ["application/xml", "application/msgpack"] {
            let refused = gateway.send(version, &plain("application/json", "{}").with("Accept", other));
            refused.assert_problem("accept-unsupported");
        }
        let malformed =
            gateway.send(version, &plain("application/json", "{").with("Accept", "application/json, text/xml"));
        malformed.assert_problem("body-malformed");
        assert!(
            malformed.json()["error"]["detail"].as_str().unwrap().starts_with("The body is not valid JSON (line 1")
        );
        assert_eq!(malformed.json()["error"]["title"], json!("Bad Request"));
    }
}
