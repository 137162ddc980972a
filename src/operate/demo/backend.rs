//! The lookup backend of the demo: it answers what can be derived from a number or an address
//! alone.
//!
//! It knows the validity, type and formats of phone numbers from the numbering plans in the
//! `phonenumber` crate, and the syntax of e-mail addresses. It deliberately does nothing that needs
//! a network: it never claims that a line is live, that a number was ported or that it is
//! disposable; `confidence` is "Unknown" in every answer about a valid phone number, and members
//! that it cannot know are absent. It fails if the client's reference asks for it. It checks no
//! token, no header beyond `Add-Metadata` and no schema, since the gateway in front of it does. It
//! logs nothing.

use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use phonenumber::Mode;
use phonenumber::metadata::DATABASE;
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use serde_json::{Map, Value, json};
use std::panic::catch_unwind;
use std::time::Duration;

use super::numbers::{ParsedNumber, read_number, territory_of_iso};

/// The longest request body that is read, in bytes; a longer one is refused.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The number of compiled patterns that the numbering-plan database caches. The crate's own limit
/// of 100 is less than the plans that share +1 need for one number, so each such lookup would
/// compile them again.
const PATTERNS_KEPT: usize = 1000;

/// Answers phone and e-mail lookups over HTTP. It has no state.
pub struct LookupBackend;

#[async_trait]
impl ServeHttp for LookupBackend {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let body = match read_body(session).await {
            Ok(body) => body,
            Err((status, detail)) => {
                // The rest of the body must not be read as the next request.
                session.set_keepalive(None);
                return answer(status, &json!({ "error": detail }));
            }
        };
        if let Some(failure) = asked_failure(session).await {
            return failure;
        }
        let req = session.req_header();
        let add_metadata = session.get_header_bytes("Add-Metadata").eq_ignore_ascii_case(b"true");
        let target = req.uri.path_and_query().map_or("/", |target| target.as_str());
        let mut resp = route(&req.method, target, add_metadata, &body);
        if req.method == Method::HEAD {
            resp.body_mut().clear();
        }
        resp
    }
}

/// The duration of a lookup that is asked to be slow: longer than any deadline of the demo.
const SLOW: Duration = Duration::from_secs(20);

/// The failure that a client asks for by its reference, so that the problems of a failing backend
/// can be tried out. The demo's pages document the references.
async fn asked_failure(session: &ServerSession) -> Option<Response<Vec<u8>>> {
    match session.get_header_bytes("Reference-ID") {
        b"demo/slow" => {
            tokio::time::sleep(SLOW).await;
            None
        }
        b"demo/unavailable" => {
            let mut resp = answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "Asked to be unavailable." }));
            resp.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
            Some(resp)
        }
        b"demo/failed" => Some(answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": "Asked to fail." }))),
        _ => None,
    }
}

/// Loads the numbering plans, so that the first request does not wait for them.
pub fn warm_up() {
    if let Ok(mut patterns) = DATABASE.cache().lock() {
        patterns.set_capacity(PATTERNS_KEPT);
    }
    // The plans of +1 and +44 are each shared by several territories, and are the most expensive to
    // compile.
    for number in ["+12015550123", "+447400123456"] {
        lookup_phone(&json!({ "number": number, "output_format": "NATIONAL" }), true);
    }
}

/// Judges one phone lookup. `body` is the request body; members that are absent, null, empty or of
/// another type count as not asked for. Pure: the same body always has the same answer.
///
/// `output_format` is E164, INTERNATIONAL, NATIONAL or RFC3966 in any case. Without one, and for
/// any other (formats of a single country, such as NANP, are not known here), the answer is the
/// international one: `+`, the calling code, then the number grouped as its country groups it.
pub fn lookup_phone(body: &Value, add_metadata: bool) -> Value {
    let number = text(body, "number");
    let region = territory_of_iso(text(body, "country_iso"));
    // The text that reaches the crate is ASCII and short, and no such text is known to make it
    // panic. But it has panicked in the past, on slices inside characters and on odd `tel:` links,
    // and it has unwraps that are safe only with its own data. A panic must not end the connection,
    // and says nothing about the number, which is then "Unknown", not "Bad format".
    let judged = catch_unwind(|| read_number(number, region));
    let mut result = Map::new();
    let sent = body.get("number").cloned();
    result.insert("number".to_owned(), sent.unwrap_or_else(|| json!("")));
    let (phone_type, reading) = match &judged {
        Ok(Some(reading)) => (reading.phone_type, Some(reading)),
        Ok(None) => ("Bad format", None),
        Err(_) => ("Unknown", None),
    };
    let written = |mode| reading.map_or_else(String::new, |reading| reading.written(mode));
    let mode = mode_of(text(body, "output_format"));
    result.insert("validated_phone_number".to_owned(), written(Mode::E164).into());
    result.insert("formatted_phone_number".to_owned(), written(mode).into());
    result.insert("phone_type".to_owned(), phone_type.into());
    // Whether a line is live cannot be derived from a number, and for a text that is not a number
    // there is nothing to be confident about.
    result.insert("confidence".to_owned(), "Unknown".into());
    let mut answer = json!({ "result": result });
    if add_metadata && let Some(members) = answer.as_object_mut() {
        let metadata = reading.map_or_else(|| json!({}), ParsedNumber::metadata);
        members.insert("metadata".to_owned(), metadata);
    }
    answer
}

/// Judges one e-mail lookup by the syntax of the address alone: "Bad format" or "Unknown", never
/// more. Quoted local parts and addresses in brackets, which mail providers do not give out, count
/// as "Bad format".
pub fn lookup_email(body: &Value) -> Value {
    let email = text(body, "email");
    let domain = email_domain(email);
    json!({ "result": {
        "email": body.get("email").cloned().unwrap_or_else(|| json!("")),
        "confidence": if domain.is_some() { "Unknown" } else { "Bad format" },
        "domain": domain.unwrap_or_default(),
    }})
}

/// Reads the whole body.
async fn read_body(session: &mut ServerSession) -> Result<Vec<u8>, (StatusCode, &'static str)> {
    let mut body = Vec::new();
    loop {
        match session.read_request_body().await {
            Ok(Some(chunk)) if body.len().saturating_add(chunk.len()) > BODY_BYTES_MAX => {
                return Err((StatusCode::PAYLOAD_TOO_LARGE, "The body is over 1 MiB."));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(_) => return Err((StatusCode::BAD_REQUEST, "The body ended early.")),
        }
    }
}

fn route(method: &Method, target: &str, add_metadata: bool, body: &[u8]) -> Response<Vec<u8>> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if let Some(asked) = asked_by_path(method, path, query) {
        return answer(StatusCode::OK, &lookup_phone(&asked, add_metadata));
    }
    let lookup = match (method, path) {
        (&Method::POST, "/phone/validate/v2" | "/phone/validation/v2") => lookup_phone,
        (&Method::POST, "/email/validate/v2") => |body: &Value, _| lookup_email(body),
        _ => {
            return answer(StatusCode::NOT_FOUND, &json!({ "error": "No such lookup." }));
        }
    };
    match serde_json::from_slice::<Value>(body) {
        Ok(body) if body.is_object() => answer(StatusCode::OK, &lookup(&body, add_metadata)),
        _ => answer(StatusCode::BAD_REQUEST, &json!({ "error": "The body is not a JSON object." })),
    }
}

/// What a lookup by path and query asks, as a body would.
fn asked_by_path(method: &Method, path: &str, query: &str) -> Option<Value> {
    let number = path.strip_prefix("/phone/validate/v2/").filter(|_| *method == Method::GET)?;
    if number.is_empty() || number.contains('/') {
        return None;
    }
    let number = percent_encoding::percent_decode_str(number).decode_utf8_lossy();
    let mut members = url::form_urlencoded::parse(query.as_bytes());
    let country = members.find(|(name, _)| name == "country_iso").map(|(_, country)| country.into_owned());
    Some(json!({ "number": number, "country_iso": country }))
}

fn answer(status: StatusCode, body: &Value) -> Response<Vec<u8>> {
    let body = body.to_string().into_bytes();
    let length = body.len();
    let mut resp = Response::new(body);
    *resp.status_mut() = status;
    let headers = resp.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    // Pingora adds no framing to the answers of a `ServeHttp`; without a length it would have to
    // close the connection.
    headers.insert(header::CONTENT_LENGTH, length.into());
    resp
}

/// A string member of the body; anything else counts as absent.
fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn mode_of(output_format: &str) -> Mode {
    match output_format.to_ascii_uppercase().as_str() {
        "E164" => Mode::E164,
        "NATIONAL" => Mode::National,
        "RFC3966" => Mode::Rfc3966,
        _ => Mode::International,
    }
}

/// The domain of an address in lower case, if the address is well formed.
fn email_domain(email: &str) -> Option<String> {
    let (local, domain) = email.rsplit_once('@')?;
    // Characters beyond ASCII are allowed on both sides since RFC 6531.
    let local_fits = local.len() <= 64
        && local.split('.').all(|atom| {
            !atom.is_empty() && atom.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c))
        });
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let (_, top) = domain.rsplit_once('.')?;
    let domain_fits = domain.split('.').all(label_fits) && !top.chars().all(|c| c.is_ascii_digit());
    (email.len() <= 254 && local_fits && domain_fits).then(|| domain.to_lowercase())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::numbers::territories;
    use super::*;

    fn judged(number: &str, country_iso: &str) -> (String, String) {
        let answer = lookup_phone(&json!({ "number": number, "country_iso": country_iso }), false);
        let member = |name: &str| answer["result"][name].as_str().unwrap().to_owned();
        assert_eq!(member("number"), number);
        assert_eq!(member("confidence"), "Unknown");
        assert_eq!(answer.get("metadata"), None);
        (member("validated_phone_number"), member("phone_type"))
    }

    #[test]
    fn numbers_are_judged_by_their_numbering_plan() {
        #[rustfmt::skip]
        let table = [
            // number,               country, E.164,              phone_type
            ("+447400123456",        "",      "+447400123456",    "Mobile"),
            ("07400 123456",         "GBR",   "+447400123456",    "Mobile"),
            ("+44 (0)20 7031 3000",  "",      "+442070313000",    "Landline"),
            ("+4420-7031-3000",      "",      "+442070313000",    "Landline"),
            ("+44 7624 123456",      "",      "+447624123456",    "Mobile"),
            ("0800 123 4567",        "gb",    "+448001234567",    "Toll free"),
            ("+44 9012345678",       "",      "+449012345678",    "Premium"),
            ("0180 5 012345",        "DE",    "+491805012345",    "Shared cost"),
            ("+44 5612345678",       "",      "+445612345678",    "VoIP"),
            ("+44 7012345678",       "",      "+447012345678",    "Personal number"),
            ("+44 7640123456",       "",      "+447640123456",    "Pager"),
            ("+44 5512345678",       "",      "+445512345678",    "Universal access number"),
            ("+1 650-253-0000",      "",      "+16502530000",     "Mobile or landline"),
            ("(650) 253-0000",       "us",    "+16502530000",     "Mobile or landline"),
            ("1-800-FLOWERS",        "USA",   "+18003569377",     "Toll free"),
            ("+1 900 253 0000",      "",      "+19002530000",     "Premium"),
            ("030 123456",           "DEU",   "+4930123456",      "Landline"),
            ("+33 6 12 34 56 78",    "",      "+33612345678",     "Mobile"),
            ("０９０-１２３４-５６７８",  "JPN",   "+819012345678",    "Mobile"),
            ("+55 11 96123-4567",    "",      "+5511961234567",   "Mobile"),
            ("+91 81234 56789",      "",      "+918123456789",    "Mobile"),
            ("0412 345 678",         "AUS",   "+61412345678",     "Mobile"),
            ("+27 71 123 4567",      "",      "+27711234567",     "Mobile"),
            ("+39 06 698 12345",     "",      "+390669812345",    "Landline"),
            ("+7 800 123-45-67",     "",      "+78001234567",     "Toll free"),
            ("8 (800) 123-45-67",    "RUS",   "+78001234567",     "Toll free"),
            ("+41 860 123456789",    "",      "+41860123456789",  "Voicemail only"),
            ("+800 1234 5678",       "",      "+80012345678",     "Toll free"),
            ("0011 44 7400 123456",  "AU",    "+447400123456",    "Mobile"),
            ("tel:03-331-6005;phone-context=+64", "", "+6433316005", "Landline"),
            ("+44 20 7031 3000 ext. 12", "",  "+442070313000",    "Landline"),
            ("07400 123456",         "",      "",                 "Bad format"),
            ("07400 123456",         "XYZ",   "",                 "Bad format"),
            ("+44 791234567",        "",      "",                 "Bad format"),
            ("+976 533214038",       "",      "",                 "Bad format"),
            ("+1 650 253 00001",     "",      "",                 "Bad format"),
            ("+999 123456789",       "",      "",                 "Bad format"),
            ("call me",              "GB",    "",                 "Bad format"),
            ("+",                    "GB",    "",                 "Bad format"),
            ("",                     "GB",    "",                 "Bad format"),
        ];
        for (number, country, e164, phone_type) in table {
            let expected = (e164.to_owned(), phone_type.to_owned());
            assert_eq!(judged(number, country), expected, "{number} {country}");
        }
    }

    #[test]
    fn the_format_is_the_asked_one_and_else_international() {
        for (output_format, formatted) in [
            (json!("E164"), "+442070313000"),
            (json!("national"), "020 7031 3000"),
            (json!("Rfc3966"), "tel:+44-20-7031-3000"),
            (json!("INTERNATIONAL"), "+44 20 7031 3000"),
            (json!("NANP"), "+44 20 7031 3000"),
            (json!(""), "+44 20 7031 3000"),
            (json!(null), "+44 20 7031 3000"),
        ] {
            let body = json!({ "number": "+442070313000", "output_format": output_format });
            let answer = lookup_phone(&body, false);
            assert_eq!(answer["result"]["formatted_phone_number"], formatted);
        }
    }

    #[test]
    fn metadata_comes_only_when_asked_for() {
        let of = |number: &str| lookup_phone(&json!({ "number": number }), true)["metadata"].take();
        assert_eq!(
            of("+44 1534 456789"),
            json!({
                "country_iso_alpha2": "JE", "country_iso_alpha3": "JEY",
                "country_calling_code": "44", "national_number": "1534456789",
            })
        );
        assert_eq!(
            of("+390669812345")["national_number"],
            json!("0669812345"),
            "the zero is part of an Italian number"
        );
        assert_eq!(of("+80012345678"), json!({ "country_calling_code": "800", "national_number": "12345678" }));
        assert_eq!(of("12"), json!({}));
    }

    #[test]
    fn unset_members_and_odd_bodies_do_no_harm() {
        let unset = json!({
            "number": "+442070313000", "output_format": null, "country_iso": "",
            "cache_value_days": "", "get_ported_date": null, "supplementary_live_status": [],
        });
        let result = lookup_phone(&unset, false)["result"].take();
        assert_eq!(result["phone_type"], "Landline");
        assert_eq!(result.get("ported_date"), None);
        assert_eq!(result.get("disposable_number"), None);
        for body in [json!(null), json!([]), json!({}), json!({ "number": 7 })] {
            let result = lookup_phone(&body, false)["result"].take();
            assert_eq!(result["phone_type"], "Bad format");
        }
    }

    #[test]
    fn every_numbering_plan_has_its_iso_codes() {
        for plan in DATABASE.iter().filter(|plan| plan.id() != "001") {
            let (alpha3, _) = territories().find(|(_, id)| *id == plan.id()).unwrap();
            let id = territory_of_iso(&alpha3.to_ascii_lowercase()).unwrap();
            assert_eq!(id.as_ref(), plan.id());
            assert_eq!(territory_of_iso(plan.id()), Some(id));
        }
        assert_eq!(territory_of_iso(""), None);
        assert_eq!(territory_of_iso("é1"), None);
    }

    #[test]
    fn no_text_makes_the_parser_panic() {
        let alphabet: Vec<char> = "00112233445566778899++-. ()/x*#,;=tel:ext\u{663}\u{FF13}é\u{1F4A9}\0"
            .chars()
            .chain(";phone-context=+;isub=".chars())
            .collect();
        let countries: Vec<&str> = territories().map(|(alpha3, _)| alpha3).collect();
        let mut state = 88_172_645_463_325_252_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
        };
        for _ in 0..3000 {
            let number: String = (0..random(40)).map(|_| alphabet[random(alphabet.len())]).collect();
            let (_, phone_type) = judged(&number, countries[random(countries.len())]);
            assert_ne!(phone_type, "Unknown", "the parser panicked on {number:?}");
        }
        for number in ["9".repeat(250), "9".repeat(100_000), "+-".repeat(100_000)] {
            assert_eq!(judged(&number, "GB").1, "Bad format");
        }
    }

    #[test]
    fn addresses_are_judged_by_their_syntax_alone() {
        for (email, confidence, domain) in [
            ("someone@Example.COM", "Unknown", "example.com"),
            ("a.b+c@mail.example.co.uk", "Unknown", "mail.example.co.uk"),
            ("jörg@münchen.example", "Unknown", "münchen.example"),
            ("", "Bad format", ""),
            ("someone", "Bad format", ""),
            ("@example.com", "Bad format", ""),
            ("someone@", "Bad format", ""),
            ("someone@localhost", "Bad format", ""),
            ("someone@10.0.0.1", "Bad format", ""),
            ("some one@example.com", "Bad format", ""),
            ("a..b@example.com", "Bad format", ""),
            ("a@b@example.com", "Bad format", ""),
            ("someone@-example.com", "Bad format", ""),
            ("someone@example.com.", "Bad format", ""),
        ] {
            let expected = json!({ "email": email, "confidence": confidence, "domain": domain });
            let answer = lookup_email(&json!({ "email": email }));
            assert_eq!(answer["result"], expected);
        }
        let long = format!("{}@example.com", "a".repeat(65));
        assert_eq!(email_domain(&long), None);
    }

    #[test]
    fn only_the_lookups_are_found_and_only_json_objects_are_read() {
        let body = br#"{"number":"+442070313000"}"#;
        for (method, path, body, status) in [
            (Method::POST, "/phone/validate/v2", body.as_slice(), 200),
            (Method::POST, "/phone/validation/v2", body, 200),
            (Method::POST, "/email/validate/v2", br#"{"email":"a@b.c"}"#, 200),
            (Method::GET, "/phone/validate/v2", b"", 404),
            (Method::GET, "/phone/validate/v2/%2B447400123456?country_iso=GBR", b"", 200),
            (Method::GET, "/phone/validate/v2/1/2", b"", 404),
            (Method::POST, "/phone/validate/v2/", body, 404),
            (Method::POST, "/", b"", 404),
            (Method::POST, "/phone/validate/v2", b"", 400),
            (Method::POST, "/phone/validate/v2", b"[]", 400),
            (Method::POST, "/email/validate/v2", b"\xff", 400),
        ] {
            let resp = route(&method, path, false, body);
            assert_eq!(resp.status(), status, "{method} {path}");
            assert!(serde_json::from_slice::<Value>(resp.body()).unwrap().is_object());
            let length = resp.body().len().to_string();
            assert_eq!(resp.headers()[header::CONTENT_LENGTH], *length);
        }
    }
}
