//! Signing in as browsers do it: each way, what each refuses, and what nobody may learn.

use super::testing::{Bench, Mailbox, PASSWORD, from_base32, password_at};
use crate::ledger::store::people::UserState;
use crate::ledger::store::records::Role;
use crate::ledger::store::users::{self, UserDraft, UserPatch};
use crate::platform::clock::unix_milliseconds;

/// Another password than the one that everybody begins with.
const NEW: &str = "quite another password";

fn wrong(email: &'static str) -> [(&'static str, &'static str); 2] {
    [("email", email), ("password", "another long password")]
}

fn right(email: &'static str) -> [(&'static str, &'static str); 2] {
    [("email", email), ("password", PASSWORD)]
}

#[tokio::test]
async fn an_invitation_is_accepted_once_and_a_password_signs_in() {
    let bench = Bench::new();
    let account = bench.account("acme").await;
    let path = bench.invite("Bob@example.com", Some(&account), Role::Member).await;
    let browser = bench.browser();
    let page = browser.get(&path).await;
    assert!(page.status == 200 && page.text.contains("bob@example.com") && page.text.contains("acme"), "{}", page.text);
    for (password, again, status) in
        [("short", "short", 422), ("bob@example.com", "bob@example.com", 422), (PASSWORD, "another one here", 422)]
    {
        let refused = browser.post(&path, &[("password", password), ("again", again)]).await;
        assert_eq!(refused.status, status, "{password}");
    }
    let done = browser.post(&path, &[("password", PASSWORD), ("again", PASSWORD), ("display", "Bob")]).await;
    assert_eq!((done.status, &*done.location), (303, "/me/one-time-password?first"));
    assert_eq!(browser.get("/me/one-time-password?first").await.status, 200);
    let me = browser.get("/me").await;
    assert!(me.status == 200 && me.text.contains("Firefox on Linux") && me.text.contains("203.0.113.9"), "{}", me.text);
    assert_eq!(bench.browser().get(&path).await.status, 404, "it was used");
    assert_eq!(bench.browser().get("/invitation/abc").await.status, 404);

    let other = bench.browser();
    let to = [&right(" BOB@example.com ")[..], &[("to", "/accounts?x=1")]].concat();
    let signed = other.post("/sign-in", &to).await;
    assert_eq!((signed.status, &*signed.location), (303, "/accounts?x=1"));
    let away = bench.browser();
    for to in ["https://evil.example", "//evil.example", "/\\evil.example"] {
        let signed = away.post("/sign-in", &[&right("bob@example.com")[..], &[("to", to)]].concat()).await;
        assert_eq!((signed.status, &*signed.location), (303, "/"), "{to}");
    }
    // Each sign-in has another secret, and the one before is of no use.
    let before = away.jar.lock().unwrap().get("__Host-tg").cloned().unwrap();
    away.post("/sign-in?again", &right("bob@example.com")).await;
    assert_ne!(away.jar.lock().unwrap().get("__Host-tg"), Some(&before));
    let thief = bench.browser();
    thief.jar.lock().unwrap().insert("__Host-tg".to_owned(), before);
    assert_eq!(thief.get("/me").await.location, "/sign-in?to=%2Fme");
}

#[tokio::test]
async fn nobody_learns_who_is_a_user() {
    let mailbox = Mailbox::start();
    let bench = Bench::with("", &mailbox.alerts());
    bench.member("ann@example.com", None, Role::Admin).await;
    bench.member("bob@example.com", None, Role::Auditor).await;
    let bob = bench.user("bob@example.com").await.id;
    let disabled = UserPatch { state: Some(UserState::Disabled), ..UserPatch::default() };
    bench.done(move |writing| users::update(writing, &bob, None, &disabled)).await;
    let mut answers = Vec::new();
    for (number, form) in
        [wrong("ann@example.com"), wrong("eve@example.com"), right("bob@example.com"), wrong("not an address")]
            .into_iter()
            .enumerate()
    {
        let mut browser = bench.browser();
        browser.peer = format!("198.51.100.{number}").parse().unwrap();
        let answer = browser.post("/sign-in", &form).await;
        answers.push((answer.status, answer.text.replace(form[0].1, "")));
        let answer = browser.post("/sign-in/link", &[("email", form[0].1)]).await;
        assert!(answer.status == 200 && browser.jar.lock().unwrap().contains_key("__Host-tg-link"));
        answers.push((answer.status, answer.text));
    }
    assert!(answers.iter().step_by(2).all(|answer| *answer == answers[0] && answer.0 == 403), "{answers:?}");
    assert!(answers.iter().skip(1).step_by(2).all(|answer| *answer == answers[1]));
    mailbox.newest(1).await;
    assert_eq!(mailbox.count(), 1, "ann alone gets a message");
}

#[tokio::test]
async fn guesses_are_limited_for_users_who_are_not_there_as_well() {
    let bench = Bench::new();
    bench.member("ann@example.com", None, Role::Admin).await;
    for email in ["ann@example.com", "eve@example.com"] {
        let mut statuses = Vec::new();
        for number in 0..12 {
            let mut browser = bench.browser();
            browser.peer = format!("198.51.100.{number}").parse().unwrap();
            let answer = browser.post("/sign-in", &wrong(email)).await;
            if answer.status == 429 {
                assert!(answer.headers.contains_key("retry-after"));
            }
            statuses.push(answer.status);
        }
        assert_eq!(statuses, [[403; 10].as_slice(), &[429, 429]].concat(), "{email}");
    }
    let refused = bench.browser().post("/sign-in", &right("ann@example.com")).await;
    assert_eq!(refused.status, 429, "the right one neither");
}

#[tokio::test]
async fn forms_of_other_sites_and_without_the_sessions_word_change_nothing() {
    let bench = Bench::new();
    let browser = bench.member("ann@example.com", None, Role::Admin).await;
    let word = browser.get("/me").await.csrf().to_owned();
    let others = bench.member("bob@example.com", None, Role::Admin).await.get("/me").await.csrf().to_owned();
    for word in ["", "x", &others] {
        assert_eq!(browser.send("POST", "/sign-out", format!("csrf={word}")).await.status, 403);
    }
    assert_eq!(browser.get("/me").await.status, 200);
    let done = browser.send("POST", "/sign-out", format!("csrf={word}")).await;
    assert_eq!((done.status, &*done.location), (303, "/sign-in"));
    assert!(!browser.is_signed_in());
}

#[tokio::test]
async fn one_time_passwords_are_asked_for_and_count_once() {
    let bench = Bench::new();
    let browser = bench.member("ann@example.com", None, Role::Admin).await;
    let page = browser.get("/me/one-time-password").await;
    let draft = page.between("name=\"draft\" value=\"", "\"").to_owned();
    let secret = from_base32(page.between("<p><code>", "</code>"));
    let code = |steps: i64| password_at(&secret, unix_milliseconds() / 1000 + 30 * steps);
    let bad = browser.post("/me/one-time-password", &[("draft", &draft), ("code", "000000")]).await;
    assert_eq!(bad.status, 403, "a wrong first one turns nothing on");
    let on = browser.post("/me/one-time-password", &[("draft", &draft), ("code", &code(-1))]).await;
    assert_eq!(on.status, 200, "{}", on.text);
    let recovery = on.between("<li><code>", "</code>").to_owned();
    assert_eq!(browser.get("/me").await.status, 200, "the browser stays signed in");

    let other = bench.browser();
    let half = other.post("/sign-in", &right("ann@example.com")).await;
    assert_eq!((half.status, &*half.location, other.is_signed_in()), (303, "/sign-in/code", false));
    assert_eq!(other.get("/me").await.status, 303, "half is nothing");
    let used = other.post("/sign-in/code", &[("code", &code(-1))]).await;
    assert_eq!((used.status, other.is_signed_in()), (403, false), "it was used to turn it on");
    let done = other.post("/sign-in/code", &[("code", &code(0))]).await;
    assert_eq!((done.status, other.is_signed_in()), (303, true));

    for (again, status) in [(&recovery, 303), (&recovery, 403)] {
        let third = bench.browser();
        third.post("/sign-in", &right("ann@example.com")).await;
        assert_eq!(third.post("/sign-in/code", &[("code", &again.to_lowercase())]).await.status, status);
    }
    let guesser = bench.browser();
    guesser.post("/sign-in", &right("ann@example.com")).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(guesser.post("/sign-in/code", &[("code", "123456")]).await.status);
    }
    assert!(statuses.contains(&429) && !statuses.contains(&303), "{statuses:?}");
    assert_eq!(bench.browser().post("/sign-in/code", &[("code", &code(1))]).await.location, "/sign-in");
    let codes: i64 =
        bench.store.read(|c| Ok(c.query_row("SELECT COUNT(*) FROM recovery_code", (), |r| r.get(0))?)).await.unwrap();
    assert_eq!(codes, 9);
}

#[tokio::test]
async fn sensitive_acts_need_a_proof_that_is_not_old() {
    let bench = Bench::new();
    let browser = bench.member("ann@example.com", None, Role::Admin).await;
    let other = bench.browser();
    other.post("/sign-in", &right("ann@example.com")).await;
    bench.sql("UPDATE session SET strong_at = strong_at - 15 * 60000").await;
    let change = [("password", "another four plain words"), ("again", "another four plain words")];
    let asked = browser.post("/me/password", &change).await;
    assert_eq!((asked.status, &*asked.location), (303, "/sign-in/again?to=%2Fme"));
    assert_eq!(browser.get("/me/one-time-password").await.status, 303);
    let before = browser.jar.lock().unwrap().get("__Host-tg").cloned();
    let bad = browser.post("/sign-in/again", &[("password", "not the password"), ("to", "/me")]).await;
    assert_eq!(bad.status, 403);
    let good = browser.post("/sign-in/again", &[("password", PASSWORD), ("to", "//evil.example")]).await;
    assert_eq!((good.status, &*good.location), (303, "/"));
    assert_ne!(browser.jar.lock().unwrap().get("__Host-tg").cloned(), before, "the session has another secret");
    assert_eq!(browser.post("/me/password", &change).await.status, 303);
    assert_eq!(browser.get("/me").await.status, 200);
    assert_eq!(other.get("/me").await.status, 303, "all others are signed out");
    assert_eq!(bench.browser().post("/sign-in", &right("ann@example.com")).await.status, 403);
}

#[tokio::test]
async fn sessions_end_when_they_are_idle_and_one_by_one() {
    let bench = Bench::new();
    let account = bench.account("acme").await;
    let (desk, owner) = (
        bench.member("ann@example.com", None, Role::Auditor).await,
        bench.member("bob@example.com", Some(&account), Role::Owner).await,
    );
    bench.sql("UPDATE session SET seen_at = seen_at - 3600000").await;
    assert_eq!((desk.get("/me").await.status, owner.get("/me").await.status), (303, 200));
    bench.sql("UPDATE session SET created_at = created_at - 7 * 86400000").await;
    assert_eq!(owner.get("/me").await.status, 303);

    let (one, two) = (bench.browser(), bench.browser());
    for browser in [&one, &two] {
        browser.post("/sign-in", &right("bob@example.com")).await;
    }
    let page = one.get("/me").await;
    let id = page.between("name=\"session\" value=\"", "\"").to_owned();
    let stranger = bench.browser();
    stranger.post("/sign-in", &right("ann@example.com")).await;
    stranger.post("/me/sessions/end", &[("session", &id)]).await;
    let live = |browser: &super::testing::Browser<'_>| browser.is_signed_in();
    assert!(live(&one) && two.get("/me").await.status == 200, "nobody ends those of others");
    one.post("/me/sessions/end", &[("others", "1")]).await;
    assert_eq!((one.get("/me").await.status, two.get("/me").await.status), (200, 303));
}

#[tokio::test]
async fn a_link_by_mail_is_for_the_browser_that_has_asked() {
    let mailbox = Mailbox::start();
    let bench = Bench::with("", &mailbox.alerts());
    let account = bench.account("acme").await;
    bench.member("bob@example.com", Some(&account), Role::Owner).await;
    let browser = bench.browser();
    browser.post("/sign-in/link", &[("email", "Bob@example.com"), ("to", "/accounts")]).await;
    let mail = mailbox.newest(1).await;
    let path = mail.split_once("https://portal.example.com").unwrap().1.split_whitespace().next().unwrap().to_owned();
    assert!(path.starts_with("/sign-in/link/") && path.ends_with("?to=%2Faccounts"), "{mail}");
    let scanner = bench.browser();
    assert_eq!(scanner.get(&path).await.status, 403, "another browser");
    assert_eq!(scanner.post(&path, &[]).await.status, 404);
    let button = browser.get(&path).await;
    assert!(button.status == 200 && !browser.is_signed_in(), "a GET signs nobody in");
    let done = browser.post(&path, &[]).await;
    assert_eq!((done.status, &*done.location), (303, "/accounts"), "{}", done.text);
    assert_eq!(bench.browser().post(&path, &[]).await.status, 404);
    // Whoever has set the password before had not shown that the address is theirs.
    assert_eq!(bench.browser().post("/sign-in", &right("bob@example.com")).await.status, 403);

    let other = bench.browser();
    other.post("/sign-in/link", &[("email", "bob@example.com")]).await;
    let mail = mailbox.newest(2).await;
    let code = mail.split_once("type this code there: ").unwrap().1.lines().next().unwrap().trim().to_owned();
    assert_eq!(bench.browser().post("/sign-in/link-code", &[("code", &code)]).await.location, "/sign-in");
    let wrong = if code == "000 000" { "000 001" } else { "000 000" };
    assert_eq!(other.post("/sign-in/link-code", &[("code", wrong)]).await.status, 403);
    let done = other.post("/sign-in/link-code", &[("code", &code)]).await;
    assert_eq!((done.status, other.is_signed_in()), (303, true), "{}", done.text);
    let audit = bench.store.read(|connection| {
        let text: String = connection.query_row(
            "SELECT group_concat(coalesce(before_json, '') || coalesce(after_json, '')) FROM audit",
            (),
            |row| row.get(0),
        )?;
        Ok(text)
    });
    let (audit, secret) = (audit.await.unwrap(), path.split(['/', '?']).nth(3).unwrap().to_owned());
    assert!(!audit.contains(&secret) && !audit.contains("argon2"), "{audit}");
}

#[tokio::test]
async fn nobody_takes_over_a_user_by_inviting_them() {
    let bench = Bench::new();
    let (acme, beta) = (bench.account("acme").await, bench.account("beta").await);
    bench.member("bob@example.com", Some(&acme), Role::Owner).await;
    let path = bench.invite("bob@example.com", Some(&beta), Role::Owner).await;
    let stranger = bench.browser();
    assert!(stranger.get(&path).await.location.starts_with("/sign-in?to=%2Finvitation%2F"));
    let refused =
        stranger.post(&path, &[("password", "four other plain words"), ("again", "four other plain words")]).await;
    assert!(refused.location.starts_with("/sign-in?") && !stranger.is_signed_in());
    let other = bench.member("eve@example.com", Some(&acme), Role::Viewer).await;
    assert_eq!(other.post(&path, &[]).await.status, 409);
    let bob = bench.browser();
    bob.post("/sign-in", &right("bob@example.com")).await;
    assert!(bob.get(&path).await.text.contains("Accept"));
    assert_eq!(bob.post(&path, &[]).await.status, 303);
    let text = bob.get("/accounts").await.text;
    assert!(text.contains("acme") && text.contains("beta"), "{text}");
}

#[tokio::test]
async fn a_proxys_word_counts_from_its_address_and_once() {
    let portal = "  sign_in: { password: false, proxy: { header: X-Forwarded-Email, from: [10.0.0.5] } }";
    let bench = Bench::with(portal, "");
    bench.invite("ann@example.com", None, Role::Admin).await;
    let says = |peer: &str, lines: &[&str]| {
        let mut browser = bench.browser();
        browser.peer = peer.parse().unwrap();
        browser.headers = lines.iter().map(|line| ("x-forwarded-email", (*line).to_owned())).collect();
        browser
    };
    let direct = says("203.0.113.9", &["ann@example.com"]);
    assert_eq!((direct.get("/sign-in").await.status, direct.is_signed_in()), (200, false), "not from there");
    for (lines, status) in [
        (&["ann@example.com", "ann@example.com"][..], 400),
        (&["nobody"], 400),
        (&[], 200),
        (&["eve@example.com"], 403),
    ] {
        let browser = says("10.0.0.5", lines);
        assert_eq!((browser.get("/sign-in").await.status, browser.is_signed_in()), (status, false), "{lines:?}");
    }
    let mut ann = says("10.0.0.5", &["Ann@example.com"]);
    assert_eq!(ann.get("/sign-in?to=/me").await.location, "/me");
    assert_eq!(ann.get("/me").await.status, 200);
    assert_eq!(bench.user("ann@example.com").await.operator, Some(Role::Admin), "the invitation is accepted");
    ann.headers = vec![("x-forwarded-email", "eve@example.com".to_owned())];
    assert_eq!(ann.get("/me").await.status, 303, "the proxy says somebody else");
    assert_eq!(ann.post("/sign-in", &right("ann@example.com")).await.status, 404, "passwords are off");
}

#[tokio::test]
async fn a_forgotten_password_is_set_anew_once_by_a_link_that_is_mailed() {
    let mailbox = Mailbox::start();
    let bench = Bench::with("", &mailbox.alerts());
    let before = bench.member("ann@example.com", None, Role::Admin).await;
    let ann = bench.user("ann@example.com").await;
    // Somebody who signs in through a provider alone is given no password past it.
    let eve = UserDraft { email: Some("eve@example.com".to_owned()), email_proven: true, ..UserDraft::default() };
    bench.done(move |writing| users::create(writing, &eve)).await;
    let mut answers = Vec::new();
    for email in ["nobody@example.com", "eve@example.com", "Ann@example.com"] {
        let answer = bench.browser().post("/sign-in/forgotten", &[("email", email)]).await;
        answers.push((answer.status, answer.text));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.0 == 200), "{answers:?}");
    let mail = mailbox.newest(1).await;
    assert_eq!(mailbox.count(), 1, "ann alone gets a message");
    let path = mail.split_once("/sign-in/new-password/").unwrap().1;
    let path = format!("/sign-in/new-password/{}", &path[..64]);
    let browser = bench.browser();
    let page = browser.get(&path).await;
    assert!(page.status == 200 && page.text.contains("ann@example.com"), "{}", page.text);
    assert_eq!(before.get("/me").await.status, 200, "looking at the form changes nothing");
    for (password, again) in [("short", "short"), (NEW, PASSWORD)] {
        assert_eq!(browser.post(&path, &[("password", password), ("again", again)]).await.status, 422, "{password}");
    }
    let done = browser.post(&path, &[("password", NEW), ("again", NEW)]).await;
    assert!(done.status == 200 && !browser.is_signed_in(), "{}", done.text);
    assert_eq!(before.get("/me").await.status, 303, "all sessions have ended");
    assert_eq!(browser.post(&path, &[("password", NEW), ("again", NEW)]).await.status, 404, "it was used");
    assert_eq!(bench.browser().post("/sign-in", &right("ann@example.com")).await.status, 403, "the old one");
    let signed = bench.browser().post("/sign-in", &[("email", "ann@example.com"), ("password", NEW)]).await;
    assert_eq!(signed.status, 303);
    assert_eq!(bench.user("ann@example.com").await.has_totp, ann.has_totp);
}

#[tokio::test]
async fn an_administrator_takes_away_what_somebody_signs_in_with() {
    let bench = Bench::new();
    let ann = bench.member("ann@example.com", None, Role::Admin).await;
    let bob = bench.member("bob@example.com", None, Role::Support).await;
    let id = bench.user("bob@example.com").await.id;
    let sealed = id.clone();
    bench.done(move |writing| users::set_totp(writing, &sealed, Some((b"sealed", 1)), &[[1; 32]], None)).await;
    assert_eq!(bob.get("/me").await.status, 303, "of another way to prove it");
    let path = format!("/operator/users/{id}/reset");
    assert_eq!(
        bench.member("cy@example.com", None, Role::Support).await.post(&path, &[("once", "1")]).await.status,
        403
    );
    let made = ann.post(&path, &[("once", "2")]).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let link = made.text.split_once("/sign-in/new-password/").unwrap().1;
    let link = format!("/sign-in/new-password/{}", &link[..64]);
    let user = bench.user("bob@example.com").await;
    assert!(!user.has_password && !user.has_totp);
    assert_eq!(bench.browser().post("/sign-in", &right("bob@example.com")).await.status, 403);
    let browser = bench.browser();
    assert_eq!(browser.post(&link, &[("password", NEW), ("again", NEW)]).await.status, 200);
    let signed = browser.post("/sign-in", &[("email", "bob@example.com"), ("password", NEW)]).await;
    assert_eq!((signed.status, &*signed.location), (303, "/"), "no one-time password is asked for");
}
