//! From a request to the handler of its operation: the path, the key, the body within its limit, and what
//! the operation's row asks for.
//!
//! Everything that is refused before a handler is called is refused here, in this order: path, method, key,
//! scope, role, account, query, headers, body.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawPathParams, Request};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, IF_MATCH};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use axum::routing::{MethodFilter, MethodRouter, on};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use pingora_timeout::timeout;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::access::Api;
use super::body::check_media_type;
use super::caller::{self, Inside};
use super::connection::Peer;
use super::openapi;
use super::problem::{FieldError, Kind, Problem};
use super::query::Query;
use super::route::{Around, Effect, Expected, IDEMPOTENCY_KEY, MOST_KEY, ROOT, Route};
use super::routes;
use crate::ledger::store::Idempotency;
use crate::platform::clock::unix_milliseconds;

/// How long the bytes of a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The router over the whole table.
///
/// # Errors
/// When a row has a type without a schema.
pub fn router(api: &Arc<Api>) -> Result<Router, String> {
    let routes: Vec<Arc<Route>> = routes::all()?.into_iter().map(Arc::new).collect();
    let document: Bytes = openapi::document(routes.iter().map(|route| &**route)).to_string().into();
    let mut router = Router::new();
    let mut paths: Vec<&'static str> = routes.iter().map(|route| route.path).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        let mut methods: MethodRouter<(), Infallible> = MethodRouter::new();
        let mut allowed = Vec::new();
        for route in routes.iter().filter(|route| route.path == path) {
            let Some(filter) = filter(&route.method) else { return Err(format!("{} has no filter", route.method)) };
            allowed.push(route.method.as_str().to_owned());
            let (api, route) = (Arc::clone(api), Arc::clone(route));
            let serve = move |values: RawPathParams, request: Request| {
                let values = values.iter().map(|(_, value)| value.to_owned()).collect();
                answer(Arc::clone(&api), Arc::clone(&route), values, request)
            };
            methods = methods.on(filter, serve);
        }
        router = router.route(&format!("{ROOT}{path}"), with_others(methods, allowed));
    }
    let shown = move || std::future::ready(json_page(document.clone()));
    let problem = |values: RawPathParams| {
        let slug = values.iter().next().map(|(_, value)| value.to_owned()).unwrap_or_default();
        std::future::ready(kind_page(&slug))
    };
    Ok(router
        .route(&format!("{ROOT}/openapi.json"), with_others(on(MethodFilter::GET, shown), vec!["GET".to_owned()]))
        .route(
            &format!("{ROOT}/problems/{{problem}}"),
            with_others(on(MethodFilter::GET, problem), vec!["GET".to_owned()]),
        )
        .fallback(|| async {
            let detail = "There is no such path. GET /api/v1/openapi.json lists all of them.";
            Problem::new(Kind::NotFound, detail).answer()
        }))
}

fn filter(method: &Method) -> Option<MethodFilter> {
    MethodFilter::try_from(method.clone()).ok()
}

/// A path with what it says to OPTIONS and to methods that it does not have. HEAD goes with GET (RFC 9110,
/// section 9.3.2).
fn with_others(methods: MethodRouter<(), Infallible>, mut allowed: Vec<String>) -> MethodRouter<(), Infallible> {
    if allowed.iter().any(|method| method == "GET") {
        allowed.push("HEAD".to_owned());
    }
    allowed.push("OPTIONS".to_owned());
    allowed.sort_unstable();
    let allow = HeaderValue::try_from(allowed.join(", ")).unwrap_or(HeaderValue::from_static(""));
    let options = allow.clone();
    let told = move || {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(ALLOW, options.clone());
        std::future::ready(response)
    };
    let refused = move || std::future::ready(Problem::other_method(&allow));
    methods.on(MethodFilter::OPTIONS, told).fallback(refused)
}

/// What everybody may read without a key: it is the same on every machine.
fn json_page(body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// What a kind of problem means.
fn kind_page(slug: &str) -> Response<Body> {
    let Some(kind) = Kind::of(slug) else {
        return Problem::new(Kind::NotFound, "There is no problem of this name.").answer();
    };
    let page = json!({
        "type": format!("{ROOT}/problems/{slug}"),
        "title": kind.title(),
        "status": kind.status().as_u16(),
        "about": kind.about(),
    });
    json_page(page.to_string())
}

async fn answer(api: Arc<Api>, route: Arc<Route>, values: Vec<String>, request: Request) -> Response<Body> {
    match serve(api, &route, values, request).await {
        Ok(response) => response,
        Err(problem) => problem.answer(),
    }
}

async fn serve(api: Arc<Api>, route: &Route, values: Vec<String>, request: Request) -> Result<Response<Body>, Problem> {
    let at_ms = unix_milliseconds();
    let (parts, body) = request.into_parts();
    let caller = match parts.extensions.get::<Inside>() {
        Some(Inside(caller)) => caller.clone(),
        None => api.caller(&caller::shown(&parts.headers)?, at_ms).await?,
    };
    // Before anything of the request is looked at further: who may not ask learns nothing of it.
    route.admit(&caller, &values)?;
    let query = Query::read(parts.uri.query().unwrap_or_default(), route.query)?;
    let key = idempotency_key(&parts.headers, route.effect)?;
    let expected = expected(&parts.headers, route.effect)?;
    let body = read_body(route, &parts.headers, body).await?;
    let once = key.map(|key| Idempotency {
        scope: caller.id.clone(),
        key,
        request: request_digest(&parts.method, parts.uri.path(), expected, &body),
    });
    let address = parts.extensions.get::<Peer>().map_or_else(String::new, |Peer(address)| address.to_string());
    route
        .serve(
            Around { api, caller, values, query, path: parts.uri.path().to_owned(), expected, once, address, at_ms },
            body,
        )
        .await
}

/// SHA-256 of everything that makes a request another one.
fn request_digest(method: &Method, path: &str, expected: Option<Expected>, body: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    let expected = format!("{expected:?}");
    for part in [method.as_str().as_bytes(), path.as_bytes(), expected.as_bytes(), body] {
        hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// The key of a request that happens once: bare, or as the draft has it, a string of structured fields.
fn idempotency_key(headers: &HeaderMap, effect: Effect) -> Result<Option<String>, Problem> {
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    let line = match (lines.next(), lines.next()) {
        (None, _) if !effect.needs_key() => return Ok(None),
        (Some(_), _) if !effect.takes_key() => return Ok(None),
        (None, _) => return Err(Problem::plain(Kind::KeyMissing)),
        (Some(line), None) => line.as_bytes(),
        (Some(_), Some(_)) => {
            let fault = FieldError::new("Idempotency-Key", "is there twice", "send it once");
            return Err(Problem::query(vec![fault]));
        }
    };
    let line = line.trim_ascii();
    let bare = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    let is_good = (1..=MOST_KEY).contains(&bare.len())
        && bare.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
    match std::str::from_utf8(bare) {
        Ok(key) if is_good => Ok(Some(key.to_owned())),
        _ => {
            let fix = format!("send 1 to {MOST_KEY} visible ASCII characters without \" and \\");
            Err(Problem::query(vec![FieldError::new("Idempotency-Key", "is not a key", fix)]))
        }
    }
}

/// The version that a request wants to change (RFC 9110, section 13.1.1). A weak one never matches.
fn expected(headers: &HeaderMap, effect: Effect) -> Result<Option<Expected>, Problem> {
    if !effect.needs_version() {
        return Ok(None);
    }
    let mut lines = headers.get_all(IF_MATCH).iter();
    let line = match (lines.next(), lines.next()) {
        (None, _) => return Err(Problem::plain(Kind::VersionMissing)),
        (Some(line), None) => line.as_bytes().trim_ascii(),
        (Some(_), Some(_)) => b"",
    };
    if line == b"*" {
        return Ok(Some(Expected::Any));
    }
    let tag = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\""));
    let version = tag.filter(|tag| tag.iter().all(u8::is_ascii_digit));
    let version = version.and_then(|tag| std::str::from_utf8(tag).ok()?.parse().ok());
    version.map(|version| Some(Expected::Version(version))).ok_or_else(|| {
        let fix = "send the ETag of what you have read, as in If-Match: \"3\", or *";
        Problem::query(vec![FieldError::new("If-Match", "is not one version of ours", fix)])
    })
}

async fn read_body(route: &Route, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    if route.effect == Effect::Read && !route.takes_body {
        // What a body of GET means is nowhere said (RFC 9110, section 9.3.1); the connection passes it over.
        return Ok(Bytes::new());
    }
    if route.takes_body {
        check_media_type(headers)?;
    }
    let most = if route.takes_body { route.body_bytes } else { 0 };
    let limited = Limited::new(body, most).collect();
    let collected = timeout(BODY_TIMEOUT, limited).await.map_err(|_| Problem::plain(Kind::RequestTimeout))?;
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() && most == 0 => {
            Err(Problem::new(Kind::MalformedBody, "There is a body, and this takes none. Send it without."))
        }
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Problem::new(Kind::BodyTooLarge, format!("A body may have {most} bytes here.")))
        }
        Err(_) => Err(Problem::new(Kind::MalformedBody, "The body broke off.")),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(name: &HeaderName, lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn keys_are_taken_bare_and_as_structured_strings() {
        for (lines, expected) in [
            (&["abc"][..], Ok(Some("abc"))),
            (&["\"8e03978e-40d5-43dd-bc93-6894a57f9324\""], Ok(Some("8e03978e-40d5-43dd-bc93-6894a57f9324"))),
            (&[], Err(Kind::KeyMissing)),
            (&["a", "a"], Err(Kind::InvalidQuery)),
            (&[""], Err(Kind::InvalidQuery)),
            (&["\"\""], Err(Kind::InvalidQuery)),
            (&["a b"], Err(Kind::InvalidQuery)),
            (&["\"a"], Err(Kind::InvalidQuery)),
            (&["a\\b"], Err(Kind::InvalidQuery)),
        ] {
            let found = idempotency_key(&headers(&IDEMPOTENCY_KEY, lines), Effect::Create);
            let found = found.as_ref().map(Option::as_deref).map_err(Problem::kind);
            assert_eq!(found, expected, "{lines:?}");
        }
        let long = headers(&IDEMPOTENCY_KEY, &[]);
        assert_eq!(idempotency_key(&long, Effect::Change).ok(), Some(None), "a PATCH needs none");
    }

    #[test]
    fn a_change_names_one_version_or_all() {
        for (lines, wanted) in [
            (&["\"3\""][..], Ok(Some(Expected::Version(3)))),
            (&["*"], Ok(Some(Expected::Any))),
            (&[], Err(Kind::VersionMissing)),
            (&["3"], Err(Kind::InvalidQuery)),
            (&["W/\"3\""], Err(Kind::InvalidQuery)),
            (&["\"3\", \"4\""], Err(Kind::InvalidQuery)),
            (&["\"3\"", "\"3\""], Err(Kind::InvalidQuery)),
            (&["\"99999999999999999999\""], Err(Kind::InvalidQuery)),
        ] {
            let found = expected(&headers(&IF_MATCH, lines), Effect::Change).map_err(|problem| problem.kind());
            assert_eq!(found, wanted, "{lines:?}");
        }
    }

    #[test]
    fn another_path_version_or_body_is_another_request() {
        let base = request_digest(&Method::POST, "/a", None, b"x");
        assert_eq!(base, request_digest(&Method::POST, "/a", None, b"x"));
        for other in [
            request_digest(&Method::PUT, "/a", None, b"x"),
            request_digest(&Method::POST, "/ax", None, b""),
            request_digest(&Method::POST, "/a", Some(Expected::Any), b"x"),
            request_digest(&Method::POST, "/a", Some(Expected::Version(1)), b"x"),
            request_digest(&Method::POST, "/a", None, b"y"),
        ] {
            assert_ne!(base, other);
        }
    }
}
