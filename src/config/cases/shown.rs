//! `tests` as they are shown, without the tokens of their requests.

use serde_json::Value;

use crate::config::fill::{fill, hide, reference};
use crate::policy::Product;
use crate::policy::check::parameter::{member, members};
use crate::policy::check::token::TokenPlace;

/// Shows what is not written, and hides tokens.
pub fn fill_in(tests: &mut Value, products: &[Product]) {
    for (index, test) in tests.as_array_mut().into_iter().flatten().enumerate() {
        let number = index.to_string();
        let Some(request) = test.get_mut("request").filter(|request| request.is_object()) else { continue };
        let has_body = request.get("body").is_some();
        fill(request, "method", if has_body { "POST" } else { "GET" });
        fill(request, "from", "127.0.0.1");
        fill(request, "http2", false);
        let headers = request.get_mut("headers").and_then(Value::as_object_mut);
        for (name, value) in headers.into_iter().flatten() {
            if is_secret(name, products) {
                hide(value, &["tests", &number, name]);
            }
        }
        if let Some(Value::String(path)) = request.get_mut("path") {
            *path = without_tokens(path, products, &number);
        }
    }
}

/// Whether a header of a request is or can be a secret.
pub fn is_secret(name: &str, products: &[Product]) -> bool {
    const USUAL: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    let mut places = products.iter().flat_map(|product| product.token_places.iter());
    USUAL.into_iter().any(is) || places.any(|place| place.header().is_some_and(is))
}

/// A path whose parameters have no tokens.
fn without_tokens(path: &str, products: &[Product], number: &str) -> String {
    let Some((before, query)) = path.split_once('?') else { return path.to_owned() };
    let is_token = |name: &[u8]| {
        let mut places = products.iter().flat_map(|product| product.token_places.iter());
        places.any(|place| matches!(place, TokenPlace::Query(known) if known.as_bytes() == name))
    };
    let shown = members(query).map(|(name, value)| match value {
        Some(value) if is_token(&member(name)) && !value.starts_with("${") => {
            format!("{name}={}", reference(&["tests", number, name]))
        }
        Some(value) => format!("{name}={value}"),
        None => name.to_owned(),
    });
    format!("{before}?{}", shown.collect::<Vec<_>>().join("&"))
}
