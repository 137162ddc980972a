//! A test that is made of a request: it says what comes of it now, and names the account and the token in place of the
//! secret that the request has.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_yaml::{Mapping, Value};

use super::judge::{self, Came, Unknown};
use crate::config::cases::{Bearer, DEFAULT_PEER, Expected, Request, TestCase, is_secret};
use crate::config::units::BackendUse;
use crate::config::yaml::Place;
use crate::operate::explain::asked::Asked;
use crate::operate::explain::carried;
use crate::operate::explain::dry_run::{self, Ending};
use crate::operate::explain::seen;
use crate::policy::Policy;
use crate::policy::check::parameter::{member, members};
use crate::policy::check::token::TokenPlace;
use crate::policy::http::head::{Peer, Version};
use crate::policy::now::Now;

/// A token that nobody has, in place of another one that nobody has.
const NOBODYS_TOKEN: &str = "not-a-known-token";

/// Why no test can be made of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRecorded {
    /// There is no such account.
    Account,
    /// The account has no such token.
    Token,
    /// A header or the body is not UTF-8.
    Text,
    /// Two headers have one name.
    TwoHeaders,
    /// Without the very token something else would come of it.
    DependsOnToken,
    /// The token stands in another part of the request as well.
    TokenElsewhere,
}

impl fmt::Display for NotRecorded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            NotRecorded::Account => "no account has the name of --account, in files or in the store",
            NotRecorded::Token => "the account has no token of the name of --token",
            NotRecorded::Text => "a header or the body is not UTF-8, which a test cannot write",
            NotRecorded::TwoHeaders => "two headers have one name, which a test cannot write",
            NotRecorded::DependsOnToken => {
                "what comes of the request depends on the token itself, which is not printed; write the test by hand, \
                 with the token as \"${env:NAME}\""
            }
            NotRecorded::TokenElsewhere => {
                "the token stands in another part of the request as well, and is not printed; leave it out there"
            }
        })
    }
}

impl std::error::Error for NotRecorded {}

impl From<Unknown> for NotRecorded {
    fn from(unknown: Unknown) -> NotRecorded {
        match unknown {
            Unknown::Account => NotRecorded::Account,
            Unknown::Token => NotRecorded::Token,
        }
    }
}

/// The test of a request, as YAML below `tests`. `bearer` is whose token it has, if its headers do not say so; without a
/// name it gets one that says what comes of it.
///
/// # Errors
/// Why there is none.
pub fn record(
    policy: &Policy,
    asked: &Asked,
    bearer: Option<Bearer>,
    name: Option<String>,
) -> Result<String, NotRecorded> {
    let now = asked.now.unix_seconds;
    let as_asked = TestCase {
        name: "".into(),
        place: Place::default(),
        request: request(asked, bearer.clone())?,
        credits: None,
        answer: None,
        expected: Expected::default(),
    };
    let came = judge::judge(&as_asked, policy, now)?;
    let bare = TestCase { request: without_secrets(asked, &as_asked.request, policy), ..as_asked };
    let same = judge::judge(&bare, policy, now)?;
    if (&same.refusal, same.held, same.upstream) != (&came.refusal, came.held, came.upstream) {
        return Err(NotRecorded::DependsOnToken);
    }
    let path = bare.request.target.split('?').next().unwrap_or_default();
    let name = name.unwrap_or_else(|| format!("{} {path} {}", bare.request.method, told(&came)));
    // The name of a token can be the token itself, and stands in the configuration already.
    let nameless = yaml(&name, &Request { bearer: None, ..bare.request.clone() }, &came);
    if secrets(asked, policy).iter().any(|secret| nameless.contains(secret)) {
        return Err(NotRecorded::TokenElsewhere);
    }
    Ok(yaml(&name, &bare.request, &came))
}

/// The request as a test has it, with all its headers.
fn request(asked: &Asked, bearer: Option<Bearer>) -> Result<Request, NotRecorded> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in &asked.headers {
        if headers.iter().any(|(known, _)| known == name) {
            return Err(NotRecorded::TwoHeaders);
        }
        headers.push((name.clone(), String::from_utf8(value.clone()).map_err(|_| NotRecorded::Text)?));
    }
    std::str::from_utf8(&asked.body).map_err(|_| NotRecorded::Text)?;
    Ok(Request {
        version: asked.version,
        peer: asked.peer,
        method: asked.method.clone(),
        target: asked.target.clone(),
        headers,
        body: asked.body.clone(),
        at: Some(asked.now.unix_seconds),
        bearer,
    })
}

/// The request without what is or can be a token: in its place is the name of its token, or a token that nobody has.
fn without_secrets(asked: &Asked, request: &Request, policy: &Policy) -> Request {
    let mut bare = request.clone();
    bare.headers.retain(|(name, _)| !is_secret(name, &policy.products));
    bare.target = without_tokens(&request.target, policy);
    let has_token = bare.headers.len() < request.headers.len() || bare.target != request.target;
    if bare.bearer.is_none() && has_token {
        match bearer_of(asked, policy) {
            Some(bearer) => bare.bearer = Some(bearer),
            None => {
                let mut without = Asked { headers: Vec::new(), target: bare.target.clone(), ..asked.clone() };
                carried::put(&mut without, NOBODYS_TOKEN, policy);
                bare.target = without.target;
                let put = without.headers.into_iter();
                bare.headers.extend(put.map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned())));
            }
        }
    }
    bare
}

/// Whose token a request has.
fn bearer_of(asked: &Asked, policy: &Policy) -> Option<Bearer> {
    let copies = judge::askers(asked, policy).into_iter().map(|account| Arc::new(account.unused(None)));
    let copies = policy.with_copies(copies, || {});
    dry_run::evaluate(&copies, asked, |dry_run| {
        let principal = dry_run.trail.principal?;
        Some(Bearer { account: principal.account.name.to_string(), token: principal.token.name.to_string() })
    })
}

fn is_token_parameter(name: &str, policy: &Policy) -> bool {
    let is_it = |place: &TokenPlace| matches!(place, TokenPlace::Query(known) if *known.as_bytes() == *member(name));
    policy.token_places.iter().any(is_it)
}

fn without_tokens(target: &str, policy: &Policy) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let kept = members(query).filter(|(name, _)| !is_token_parameter(name, policy));
    let kept: Vec<String> =
        kept.map(|(name, value)| value.map_or_else(|| name.to_owned(), |value| format!("{name}={value}"))).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

/// Every text of a request that can be a token.
fn secrets(asked: &Asked, policy: &Policy) -> Vec<String> {
    const SHORTEST: usize = 4;
    let mut found = Vec::new();
    dry_run::evaluate(&policy.with_copies([], || {}), asked, |dry_run| {
        if !matches!(dry_run.ending, Ending::Refused(_)) || dry_run.head.is_some() {
            found = seen::secrets(policy, &dry_run.lines);
        }
    });
    let texts = found.into_iter().filter_map(|secret| String::from_utf8(secret).ok());
    texts.filter(|secret| secret.len() >= SHORTEST && secret != NOBODYS_TOKEN).collect()
}

/// What came, in the name of a test.
fn told(came: &Came) -> String {
    match (&came.refusal, came.upstream) {
        (Some(refusal), _) => format!("is refused with {}", refusal.problem),
        (None, BackendUse::Asked) => "goes to its upstream".to_owned(),
        (None, BackendUse::Never) => "is answered by the gateway".to_owned(),
    }
}

/// A text that is not taken for a reference.
fn text(value: &str) -> Value {
    value.replace("${", "$${").into()
}

fn yaml(name: &str, request: &Request, came: &Came) -> String {
    let mut test = Mapping::new();
    test.insert("name".into(), text(name));
    test.insert("request".into(), written_request(request).into());
    let mut expect = Mapping::new();
    if let Some(answer) = &came.answer {
        expect.insert("status".into(), answer.status.into());
    }
    if let Some(refusal) = &came.refusal {
        expect.insert("problem".into(), text(&refusal.problem));
    }
    if came.upstream == BackendUse::Asked {
        expect.insert("held".into(), came.held.into());
    }
    expect.insert("upstream".into(), came.upstream.word().into());
    test.insert("expect".into(), expect.into());
    // Text and numbers can always be written.
    let list = serde_yaml::to_string(&[test]).unwrap_or_default();
    let indented = list.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") });
    let hint = match came.upstream {
        BackendUse::Asked => "  # With `answer`, what the client gets and pays can be expected as well.\n",
        BackendUse::Never => "",
    };
    format!("tests:\n{hint}{}", indented.collect::<String>())
}

fn written_request(request: &Request) -> Mapping {
    let Request { version, peer, method, target, headers, body, at, bearer } = request;
    let mut written = Mapping::new();
    written.insert("method".into(), text(method));
    written.insert("path".into(), text(target));
    if let Some(Bearer { account, token }) = bearer {
        written.insert("account".into(), text(account));
        written.insert("token".into(), text(token));
    }
    if !headers.is_empty() {
        let headers = headers.iter().map(|(name, value)| (text(name), text(value)));
        written.insert("headers".into(), headers.collect::<Mapping>().into());
    }
    if !body.is_empty() {
        written.insert("body".into(), text(&String::from_utf8_lossy(body)));
    }
    match peer {
        Peer::Local => drop(written.insert("from".into(), "unix".into())),
        Peer::Address(address) if *peer != DEFAULT_PEER => {
            drop(written.insert("from".into(), address.to_string().into()))
        }
        Peer::Address(_) => {}
    }
    if *version == Version::Http2 {
        written.insert("http2".into(), true.into());
    }
    if let Some(unix_seconds) = *at {
        let at = seen::time(Now { monotonic: Duration::ZERO, unix_seconds, unix_nanos: 0 });
        written.insert("at".into(), at.into());
    }
    written
}
