//! What an ID token has to claim (OpenID Connect Core 1.0, section 3.1.3.7), and who it says somebody is.

use serde_json::{Map, Value};

/// How far clocks may differ, in seconds.
const LEEWAY: i64 = 60;

/// How long ago a user may have been asked, who is to be asked again, in seconds.
const FRESH: i64 = 300;

/// What a token has to be for.
pub struct Expected<'e> {
    pub issuer: &'e str,
    pub client: &'e str,
    pub nonce: &'e str,
    /// In seconds since 1970.
    pub now: i64,
    /// The user has to have been asked just now.
    pub is_fresh: bool,
}

/// Who somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    pub subject: String,
    /// The address of mail, if the provider has verified it.
    pub email: Option<String>,
    pub display: String,
    pub groups: Vec<String>,
}

/// Who a token says somebody is, if it is for us, now, and for this flow.
///
/// # Errors
/// What is wrong with it, without anything of it.
pub fn who(claims: &Map<String, Value>, expected: &Expected<'_>, groups: &str) -> Result<Who, &'static str> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if text("iss") != Some(expected.issuer) {
        return Err("the ID token is of another issuer");
    }
    if !is_for(claims, expected.client) {
        return Err("the ID token is for another client");
    }
    check_times(claims, expected)?;
    if text("nonce") != Some(expected.nonce) {
        return Err("the ID token is not of what this browser has begun");
    }
    let subject = text("sub").filter(|subject| subject.len() <= 255).ok_or("the ID token does not say who")?;
    let is_verified = matches!(claims.get("email_verified"), Some(Value::Bool(true)));
    let display = text("name").unwrap_or_default();
    Ok(Who {
        subject: subject.to_owned(),
        email: text("email").filter(|_| is_verified).map(str::to_owned),
        display: display.chars().filter(|char| !char.is_control()).take(100).collect(),
        groups: texts(claims.get(groups)),
    })
}

/// Whether a token is for a client: alone, or among others and issued to it.
fn is_for(claims: &Map<String, Value>, client: &str) -> bool {
    let audiences = texts(claims.get("aud"));
    let party = claims.get("azp");
    let is_party = party.is_none_or(|party| party.as_str() == Some(client));
    audiences.iter().any(|audience| audience == client) && is_party && (audiences.len() == 1 || party.is_some())
}

fn check_times(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), &'static str> {
    let time = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or("a time of the ID token is not a whole number"),
    };
    let now = expected.now;
    let (ends, begun) =
        (time("exp")?.ok_or("the ID token has no exp")?, time("iat")?.ok_or("the ID token has no iat")?);
    if now >= ends.saturating_add(LEEWAY) {
        return Err("the ID token has ended");
    }
    if begun > now.saturating_add(LEEWAY) || time("nbf")?.is_some_and(|from| from > now.saturating_add(LEEWAY)) {
        return Err("the ID token is of the future");
    }
    let asked = time("auth_time")?;
    if expected.is_fresh && asked.is_none_or(|asked| now.saturating_sub(asked) > FRESH) {
        return Err("the provider has not asked the user again");
    }
    Ok(())
}

/// A text, or a list of texts.
fn texts(value: Option<&Value>) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match value {
        Some(Value::Array(values)) => values.iter().filter_map(text).collect(),
        Some(value) => text(value).into_iter().collect(),
        None => Vec::new(),
    }
}
