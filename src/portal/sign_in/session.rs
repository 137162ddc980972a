//! Who has signed in: a secret of 256 random bits in a cookie, whose digest is in the store with the user.

use axum::body::Body;
use axum::http::header::USER_AGENT;
use axum::http::{HeaderMap, Response};

use super::cookies::Cookie;
use super::people::{act, trouble};
use super::proxy;
use super::randomness::random;
use crate::ledger::store::people::{How, SessionInfo, UserInfo, UserState};
use crate::ledger::store::randomness::hexadecimal;
use crate::ledger::store::records::Role;
use crate::ledger::store::sessions::{self, SessionDraft};
use crate::ledger::store::{memberships, users};
use crate::operate::api::connection::Peer;
use crate::platform::portal_key::{PortalKey, Purpose, from_hexadecimal};
use crate::policy::account::Digest;
use crate::portal::answer::{self, with_cookie};
use crate::portal::person::{Membership, SignedIn};
use crate::portal::state::Portal;
use crate::portal::visit::{Trouble, Visit};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// How long a proof of who somebody is lets them do sensitive things.
pub const STRONG_MS: i64 = 15 * MINUTE_MS;

/// How exactly it is known when a session was used last.
const SEEN_MS: i64 = MINUTE_MS;

/// How long a session may be idle, and how long it lasts at most.
struct Lifetime {
    idle_ms: i64,
    most_ms: i64,
}

const OF_MEMBERS: Lifetime = Lifetime { idle_ms: 12 * HOUR_MS, most_ms: 7 * 24 * HOUR_MS };
const OF_OPERATORS: Lifetime = Lifetime { idle_ms: HOUR_MS, most_ms: 12 * HOUR_MS };

impl Lifetime {
    const fn of(operator: Option<Role>) -> &'static Lifetime {
        if operator.is_some() { &OF_OPERATORS } else { &OF_MEMBERS }
    }
}

/// Who shows a session that is in force.
pub async fn current(portal: &Portal, headers: &HeaderMap, peer: Option<Peer>, now_ms: i64) -> Option<SignedIn> {
    let secret = Cookie::Session.of(headers, portal.settings.is_secure())?;
    let digest = digest_of(&secret)?;
    let found = portal.store.read(move |connection| {
        let Some(session) = sessions::find(connection, &digest)? else { return Ok(None) };
        let user = users::get(connection, &session.user_id)?;
        let memberships = memberships::of_user(connection, &session.user_id)?;
        Ok(Some((session, user, memberships)))
    });
    let (session, user, memberships) = match found.await {
        Ok(found) => found?,
        Err(error) => {
            log::error!(target: "tollgate::portal", "sessions cannot be read: {error}");
            return None;
        }
    };
    if !is_in_force(&session, &user, now_ms) {
        return None;
    }
    // Whom a proxy has signed in is signed in as long as it says so.
    if session.how == How::Proxy && proxy::shown(portal, headers, peer).ok().flatten() != user.email {
        return None;
    }
    if now_ms.saturating_sub(session.seen_at) >= SEEN_MS {
        let seen = portal.store.maintain(move |connection| sessions::seen(connection, &digest, now_ms)).await;
        if let Err(error) = seen {
            log::warn!(target: "tollgate::portal", "it cannot be noted that a session was used: {error}");
        }
    }
    Some(SignedIn {
        user: user.id.clone(),
        name: if user.display.is_empty() { user.name().to_owned() } else { user.display.clone() },
        session: session.id,
        csrf: csrf(&portal.sign_in.key, &secret),
        memberships: memberships.into_iter().map(Membership::from).collect(),
        operator: user.operator,
        strong_until_ms: session.strong_at.saturating_add(STRONG_MS),
    })
}

/// Whether a session of a user has not ended.
pub fn is_in_force(session: &SessionInfo, user: &UserInfo, now_ms: i64) -> bool {
    let Lifetime { idle_ms, most_ms } = Lifetime::of(user.operator);
    user.state == UserState::Active
        && now_ms < session.ends_at
        && now_ms < session.created_at.saturating_add(*most_ms)
        && now_ms < session.seen_at.saturating_add(*idle_ms)
}

/// The digest of a secret, if it is written like one of ours.
fn digest_of(secret: &str) -> Option<[u8; 32]> {
    from_hexadecimal::<32>(secret)?;
    Some(*Digest::of(secret.as_bytes()).bytes())
}

/// The word in the forms of a session.
fn csrf(key: &PortalKey, secret: &str) -> String {
    hexadecimal(&key.digest(Purpose::Csrf, &[secret.as_bytes()]))
}

/// Signs a user in with a new session, and leads on to a path of the portal. The session that the browser had ends.
///
/// # Errors
/// Those of the store.
pub async fn begin(visit: &Visit, user: &UserInfo, how: How, to: &str) -> Result<Response<Body>, Trouble> {
    let secret = hexadecimal(&random::<32>()?);
    let Lifetime { most_ms, .. } = Lifetime::of(user.operator);
    let draft = SessionDraft {
        user_id: user.id.clone(),
        how,
        digest: *Digest::of(secret.as_bytes()).bytes(),
        ends_at: visit.at_ms.saturating_add(*most_ms),
        browser: browser(&visit.headers),
    };
    let before = visit.person.as_ref().and_then(|person| Some((person.user.clone(), person.digest()?)));
    let begun = visit.portal.store.write(act(visit, &user.id), move |writing| {
        if let Some((user, digest)) = &before {
            sessions::end(writing, user, digest)?;
        }
        sessions::begin(writing, &draft).map(drop)
    });
    begun.await.map_err(trouble)?;
    let is_secure = visit.portal.settings.is_secure();
    let response = with_cookie(answer::see_other(to), &Cookie::Session.set(&secret, most_ms / 1000, is_secure));
    Ok(with_cookie(response, &Cookie::Step.remove(is_secure)))
}

/// Notes that whoever has signed in has proven again who they are: the session has another secret from now on, which the
/// answer brings to the browser.
///
/// # Errors
/// Those of the store.
pub async fn renew(visit: &Visit, person: &SignedIn, response: Response<Body>) -> Result<Response<Body>, Trouble> {
    let secret = hexadecimal(&random::<32>()?);
    let (renewed, now_ms) = (*Digest::of(secret.as_bytes()).bytes(), visit.at_ms);
    let Some(digest) = person.digest() else { return Ok(response) };
    let done = visit
        .portal
        .store
        .maintain(move |connection| sessions::strengthen(connection, &digest, &renewed, now_ms))
        .await
        .map_err(trouble)?;
    if !done {
        return Ok(response);
    }
    let Lifetime { most_ms, .. } = Lifetime::of(person.operator);
    let cookie = Cookie::Session.set(&secret, most_ms / 1000, visit.portal.settings.is_secure());
    Ok(with_cookie(response, &cookie))
}

/// The browser in words for people, by the names that it says itself.
fn browser(headers: &HeaderMap) -> String {
    let text = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let first =
        |words: &[(&str, &'static str)]| words.iter().find(|(word, _)| text.contains(word)).map(|(_, name)| *name);
    let name = first(&[
        ("Firefox/", "Firefox"),
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let system = first(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (name, system) {
        (Some(name), Some(system)) => format!("{name} on {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => "another program".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_end_when_they_are_idle_or_old_and_those_of_operators_earlier() {
        let session = |created: i64, seen: i64| SessionInfo {
            id: String::new(),
            user_id: String::new(),
            how: How::Password,
            created_at: created * HOUR_MS,
            seen_at: seen * HOUR_MS,
            strong_at: 0,
            ends_at: (created + 7 * 24) * HOUR_MS,
            address: String::new(),
            browser: String::new(),
        };
        let user = |operator, state| UserInfo {
            id: String::new(),
            email: None,
            email_proven: false,
            identity: None,
            display: String::new(),
            has_password: true,
            has_totp: false,
            operator,
            state,
            row_version: 1,
            created_at: 0,
        };
        let (member, desk) = (user(None, UserState::Active), user(Some(Role::Auditor), UserState::Active));
        for (user, created, seen, now, good) in [
            (&member, 0, 0, 11, true),
            (&member, 0, 0, 12, false),
            (&member, 0, 160, 167, true),
            (&member, 0, 167, 168, false),
            (&desk, 0, 0, 0, true),
            (&desk, 0, 0, 1, false),
            (&desk, 0, 11, 11, true),
            (&desk, 0, 12, 12, false),
            (&user(None, UserState::Disabled), 0, 0, 0, false),
        ] {
            let found = is_in_force(&session(created, seen), user, now * HOUR_MS);
            assert_eq!(found, good, "{user:?} {created} {seen} {now}");
        }
    }

    #[test]
    fn only_what_is_written_like_a_secret_is_looked_up() {
        assert!(digest_of(&"ab".repeat(32)).is_some());
        for text in ["", "ab", &"zz".repeat(32), &"ab".repeat(33)] {
            assert_eq!(digest_of(text), None);
        }
        let key = PortalKey::from_bytes([1; 32]);
        assert_ne!(csrf(&key, "one"), csrf(&key, "two"));
    }

    #[test]
    fn browsers_have_names() {
        for (text, name) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X) AppleWebKit/537 Chrome/150 Safari/537", "Chrome on macOS"),
            ("curl/8.0", "curl"),
            ("<script>", "another program"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, text.parse().unwrap());
            assert_eq!(browser(&headers), name);
        }
    }
}
