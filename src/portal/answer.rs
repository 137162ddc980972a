//! What the portal sends: pages that no cache keeps and no other site frames, redirects, and files for download.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};

/// Where a page may load from: styles, pictures and the one script from the portal itself, and nothing from elsewhere.
/// Forms go back to it alone.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// The same, with forms that lead to an identity provider.
pub fn policy_with_forms_to(origin: &str) -> String {
    POLICY.replace("form-action 'self'", &format!("form-action 'self' {origin}"))
}

const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// An answer with the headers that all have.
pub fn plain(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "same-origin"),
        (OPENER, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A page.
pub fn html(status: StatusCode, text: String) -> Response<Body> {
    plain(status, "text/html; charset=utf-8", text)
}

/// A file that the browser saves under a name of ASCII letters, digits, `-` and `.`.
pub fn download(kind: &'static str, name: &str, text: String) -> Response<Body> {
    let mut response = plain(StatusCode::OK, kind, text);
    let value = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    response.headers_mut().insert(CONTENT_DISPOSITION, value.unwrap_or(HeaderValue::from_static("attachment")));
    response
}

/// A file that is the same until the program or the configuration changes, which its link says.
pub fn asset(kind: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = plain(StatusCode::OK, kind, body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=86400"));
    response
}

/// To a path of the portal, after a form was sent (RFC 9110, section 15.4.4).
pub fn see_other(path: &str) -> Response<Body> {
    let mut response = plain(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", Body::empty());
    let value = HeaderValue::try_from(inside(path)).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(LOCATION, value);
    response
}

/// A path of the portal itself; whatever could lead to another site is the start page.
pub fn inside(path: &str) -> &str {
    let leads_away = !path.starts_with('/')
        || path.starts_with("//")
        || path.bytes().any(|byte| matches!(byte, b'\\' | b'\r' | b'\n' | b'\t') || !byte.is_ascii_graphic());
    if leads_away { "/" } else { path }
}

/// Adds a cookie to an answer.
pub fn with_cookie(mut response: Response<Body>, cookie: &str) -> Response<Body> {
    if let Ok(value) = cookie.parse() {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_never_leads_to_another_site() {
        for (path, target) in [
            ("/accounts/1?x=1", "/accounts/1?x=1"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("javascript:alert(1)", "/"),
            ("/a\r\nSet-Cookie: x", "/"),
            ("/\t/evil.example", "/"),
            ("", "/"),
            ("/ü", "/"),
        ] {
            assert_eq!(see_other(path).headers()[LOCATION], target, "{path:?}");
        }
    }
}
