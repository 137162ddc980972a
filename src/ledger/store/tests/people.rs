//! Users, members, sessions, one-time links and guesses: what they do, what they refuse, and that no secret that was
//! ever issued is in the file.

use super::*;
use crate::ledger::store::attempts::{self, Guesses};
use crate::ledger::store::people::{How, Identity, TicketKind, UserInfo, UserState};
use crate::ledger::store::records::Role;
use crate::ledger::store::sessions::{self, SessionDraft};
use crate::ledger::store::tickets::{self, Binding, TicketDraft};
use crate::ledger::store::users::{self, UserDraft, UserPage, UserPatch};
use crate::ledger::store::{accounts, audit, memberships, upkeep};
use crate::policy::account::Digest;

on_both_engines! {
    an_address_and_an_identity_belong_to_one_user,
    the_last_admin_stays_and_whoever_is_disabled_is_signed_out,
    the_last_owner_stays_and_a_closed_account_has_no_members,
    a_link_is_used_once_and_ends,
    a_code_is_tried_five_times_in_the_browser_that_has_asked,
    sessions_end_one_by_one_or_all_but_one_and_get_another_secret,
    a_one_time_password_and_a_recovery_code_count_once,
    whoever_proves_an_address_removes_what_others_have_set_before,
    guesses_are_limited_and_come_back_with_the_time,
    what_has_ended_is_removed_and_the_audit_tells_all_without_a_secret,
}

const HOUR: i64 = 3_600_000;

impl Bench {
    fn user(&mut self, email: &str, operator: Option<Role>) -> UserInfo {
        let draft = UserDraft { email: Some(email.to_owned()), operator, ..UserDraft::default() };
        self.done(|writing| users::create(writing, &draft))
    }

    fn account_of(&mut self, name: &str) -> String {
        self.done(|writing| accounts::create(writing, &draft(name))).id
    }

    fn session(&mut self, user: &str, number: u8) -> [u8; 32] {
        let digest = [number; 32];
        let draft = SessionDraft {
            user_id: user.to_owned(),
            how: How::Password,
            digest,
            ends_at: self.now + 12 * HOUR,
            browser: "Firefox\n on Linux".to_owned(),
        };
        self.done(|writing| sessions::begin(writing, &draft));
        digest
    }

    fn actions(&self) -> Vec<String> {
        let rows = audit::page(&self.connection, &audit::AuditPage { rows: 1000, ..Default::default() }).unwrap();
        rows.into_iter().rev().map(|row| row.action).collect()
    }
}

fn invitation(email: &str, account: Option<&str>, role: Role) -> TicketDraft {
    TicketDraft {
        kind: TicketKind::Invite,
        email: email.to_owned(),
        account_id: account.map(str::to_owned),
        role: Some(role),
        proves: false,
        ends_at: NOW + 72 * HOUR,
    }
}

fn an_address_and_an_identity_belong_to_one_user() {
    let mut bench = Bench::new("users");
    let ann = bench.user(" Ann@Example.COM ", None);
    assert_eq!(ann.email.as_deref(), Some("ann@example.com"));
    assert_eq!(users::find_by_email(&bench.connection, "ann@example.com").unwrap(), Some(ann.clone()));
    let again = UserDraft { email: Some("ANN@example.com".to_owned()), ..UserDraft::default() };
    assert!(matches!(
        bench.refused(|writing| users::create(writing, &again)),
        StoreError::Taken { field: "email", .. }
    ));
    for email in ["ann", "", "ann@", "ann@exämple.com", "a b@example.com"] {
        let wrong = UserDraft { email: Some(email.to_owned()), ..UserDraft::default() };
        assert!(
            matches!(bench.refused(|writing| users::create(writing, &wrong)), StoreError::Invalid { .. }),
            "{email}"
        );
    }
    let identity = Identity { issuer: "https://id.example.com".to_owned(), subject: "17".to_owned() };
    let linked = bench.done(|writing| users::set_identity(writing, &ann.id, &identity));
    assert_eq!((linked.identity.as_ref(), linked.row_version), (Some(&identity), 2));
    assert_eq!(users::find_by_identity(&bench.connection, &identity).unwrap(), Some(linked));
    let other = Identity { subject: "18".to_owned(), ..identity.clone() };
    assert!(matches!(bench.refused(|writing| users::set_identity(writing, &ann.id, &other)), StoreError::State { .. }));
    let bob = bench.user("bob@example.com", None);
    assert!(matches!(
        bench.refused(|writing| users::set_identity(writing, &bob.id, &identity)),
        StoreError::Taken { field: "subject", .. }
    ));
    let two_without = [1, 2].map(|number| UserDraft {
        identity: Some(Identity { issuer: "i".to_owned(), subject: number.to_string() }),
        ..UserDraft::default()
    });
    for draft in &two_without {
        bench.done(|writing| users::create(writing, draft));
    }
    let page = |after: Option<String>| UserPage { after, rows: 3, operators: false };
    let first = users::list(&bench.connection, &page(None)).unwrap();
    let rest = users::list(&bench.connection, &page(Some(first[2].id.clone()))).unwrap();
    assert_eq!((first.len(), rest.len()), (3, 1));
}

fn the_last_admin_stays_and_whoever_is_disabled_is_signed_out() {
    let mut bench = Bench::new("admins");
    let ann = bench.user("ann@example.com", Some(Role::Admin));
    let bob = bench.user("bob@example.com", Some(Role::Support));
    let disabled = UserPatch { state: Some(UserState::Disabled), ..UserPatch::default() };
    let role = |role| UserPatch { operator: Some(role), ..UserPatch::default() };
    for patch in [&disabled, &role(None), &role(Some(Role::Auditor))] {
        let refused = bench.refused(|writing| users::update(writing, &ann.id, None, patch));
        assert!(matches!(refused, StoreError::State { why } if why.contains("last operator")), "{patch:?}");
    }
    assert!(matches!(
        bench.refused(|writing| users::update(writing, &bob.id, None, &role(Some(Role::Owner)))),
        StoreError::Invalid { .. }
    ));
    let session = bench.session(&ann.id, 1);
    bench.done(|writing| users::update(writing, &bob.id, Some(1), &role(Some(Role::Admin))));
    assert!(matches!(
        bench.refused(|writing| users::update(writing, &bob.id, Some(1), &role(None))),
        StoreError::Conflict { row_version: 2, .. }
    ));
    assert!(sessions::find(&bench.connection, &session).unwrap().is_some());
    let after = bench.done(|writing| users::update(writing, &ann.id, None, &disabled));
    assert_eq!((after.state, after.row_version), (UserState::Disabled, 2));
    assert_eq!(sessions::find(&bench.connection, &session).unwrap(), None);
    let draft = SessionDraft {
        user_id: ann.id.clone(),
        how: How::Oidc,
        digest: [9; 32],
        ends_at: NOW + HOUR,
        browser: String::new(),
    };
    assert!(matches!(bench.refused(|writing| sessions::begin(writing, &draft)), StoreError::State { .. }));
    // Ann is an admin who may not sign in: Bob is the last one again.
    assert!(matches!(
        bench.refused(|writing| users::update(writing, &bob.id, None, &role(None))),
        StoreError::State { .. }
    ));
    // A provider's word is final.
    bench.done(|writing| users::set_operator_as_told(writing, &bob.id, None));
    assert_eq!(users::get(&bench.connection, &bob.id).unwrap().operator, None);
}

fn the_last_owner_stays_and_a_closed_account_has_no_members() {
    let mut bench = Bench::new("members");
    let account = bench.account_of("acme");
    let (ann, bob) = (bench.user("ann@example.com", None).id, bench.user("bob@example.com", None).id);
    let add = |role| {
        let (account, user) = (account.clone(), ann.clone());
        move |writing: &mut Writing<'_>| memberships::add(writing, &account, &user, role)
    };
    assert!(matches!(bench.refused(add(Role::Admin)), StoreError::Invalid { .. }));
    assert_eq!(bench.done(add(Role::Member)).role, Role::Member);
    assert_eq!(bench.done(add(Role::Owner)).role, Role::Owner, "a higher role counts");
    assert_eq!(bench.done(add(Role::Viewer)).role, Role::Owner, "a lower one does not");
    bench.done(|writing| memberships::add(writing, &account, &bob, Role::Viewer));
    let last = |error: &StoreError| matches!(error, StoreError::State { why } if why.contains("last owner"));
    assert!(last(&bench.refused(|writing| memberships::remove(writing, &account, &ann, None))));
    assert!(last(&bench.refused(|writing| memberships::set_role(writing, &account, &ann, None, Role::Member))));
    let stale = bench.refused(|writing| memberships::set_role(writing, &account, &bob, Some(7), Role::Owner));
    assert!(matches!(stale, StoreError::Conflict { row_version: 1, .. }));
    bench.done(|writing| memberships::set_role(writing, &account, &bob, Some(1), Role::Owner));
    // An owner who may not sign in is none.
    let disabled = UserPatch { state: Some(UserState::Disabled), ..UserPatch::default() };
    bench.done(|writing| users::update(writing, &bob, None, &disabled));
    assert!(last(&bench.refused(|writing| memberships::remove(writing, &account, &ann, None))));
    let enabled = UserPatch { state: Some(UserState::Active), ..UserPatch::default() };
    bench.done(|writing| users::update(writing, &bob, None, &enabled));
    let removed = bench.done(|writing| memberships::remove(writing, &account, &ann, Some(2)));
    assert_eq!((removed.role, removed.email.as_deref()), (Role::Owner, Some("ann@example.com")));
    assert!(matches!(
        bench.refused(|writing| memberships::remove(writing, &account, &ann, None)),
        StoreError::NotFound { what: "member" }
    ));
    let other = bench.account_of("beta");
    bench.done(|writing| memberships::add(writing, &other, &bob, Role::Viewer));
    let names = |bench: &Bench| -> Vec<(String, Role)> {
        let found = memberships::of_user(&bench.connection, &bob).unwrap();
        found.into_iter().map(|found| (found.account, found.role)).collect()
    };
    assert_eq!(names(&bench), [("acme".to_owned(), Role::Owner), ("beta".to_owned(), Role::Viewer)]);
    bench.done(|writing| tickets::invite(writing, &invitation("eve@example.com", Some(&account), Role::Owner)));
    bench.done(|writing| accounts::close(writing, &account, None));
    assert_eq!(names(&bench), [("beta".to_owned(), Role::Viewer)]);
    assert_eq!(memberships::list(&bench.connection, &account).unwrap(), []);
    assert_eq!(tickets::invitations(&bench.connection, Some(&account), NOW).unwrap(), []);
    assert!(matches!(bench.refused(add(Role::Owner)), StoreError::State { .. }));
}

fn a_link_is_used_once_and_ends() {
    let mut bench = Bench::new("tickets");
    let account = bench.account_of("acme");
    let draft = invitation("Bob@example.com", Some(&account), Role::Member);
    let wrong = TicketDraft { role: Some(Role::Admin), ..draft.clone() };
    assert!(matches!(bench.refused(|writing| tickets::invite(writing, &wrong)), StoreError::Invalid { .. }));
    let first = bench.done(|writing| tickets::invite(writing, &draft));
    let second = bench.done(|writing| tickets::invite(writing, &draft));
    let digest = |secret: &Option<String>| Digest::of(secret.as_ref().unwrap().as_bytes());
    let (first, second) = (digest(&first.secret), digest(&second.secret));
    assert_eq!(tickets::find(&bench.connection, &first, NOW).unwrap(), None, "the newer invitation has replaced it");
    let found = tickets::find(&bench.connection, &second, NOW).unwrap().unwrap();
    assert_eq!((&*found.info.email, found.info.role), ("bob@example.com", Some(Role::Member)));
    assert_eq!(tickets::find(&bench.connection, &second, NOW + 72 * HOUR).unwrap(), None, "it has ended");
    assert!(tickets::spend(&bench.connection, &second, NOW).unwrap());
    assert!(!tickets::spend(&bench.connection, &second, NOW).unwrap());
    assert_eq!(tickets::find(&bench.connection, &second, NOW).unwrap(), None);
    assert_eq!(tickets::invitations(&bench.connection, Some(&account), NOW).unwrap(), []);
    let waiting = bench.done(|writing| tickets::invite(writing, &draft)).ticket;
    let foreign = bench.account_of("beta");
    for of in [None, Some(&*foreign)] {
        let refused = bench.refused(|writing| tickets::withdraw(writing, of, &waiting.id, None));
        assert!(matches!(refused, StoreError::NotFound { what: "invitation" }));
    }
    bench.done(|writing| tickets::withdraw(writing, Some(&account), &waiting.id, Some(1)));
    assert_eq!(tickets::invitations(&bench.connection, Some(&account), NOW).unwrap(), []);
}

fn a_code_is_tried_five_times_in_the_browser_that_has_asked() {
    let mut bench = Bench::new("codes");
    let link = TicketDraft {
        kind: TicketKind::EmailLink,
        account_id: None,
        role: None,
        ends_at: NOW + HOUR / 4,
        ..invitation("ann@example.com", None, Role::Admin)
    };
    let bind = |digest: &Digest| Binding { browser: [4; 32], code: *digest.bytes() };
    bench.done(|writing| tickets::send(writing, &link, Some(&bind)));
    let tried = |bench: &Bench, browser: u8, is_right: bool, now: i64| {
        let found = tickets::try_code(&bench.connection, &[browser; 32], now, |digest, code| {
            assert_eq!(digest.bytes(), code);
            is_right
        });
        found.unwrap().is_some()
    };
    assert!(!tried(&bench, 5, true, NOW), "another browser");
    assert!(!tried(&bench, 4, true, NOW + HOUR / 4), "too late");
    assert!(!tried(&bench, 4, false, NOW) && tried(&bench, 4, true, NOW));
    for _ in 2..tickets::MAX_TRIES {
        assert!(!tried(&bench, 4, false, NOW));
    }
    assert!(!tried(&bench, 4, true, NOW), "it was tried too often");
    for number in 0..2 * tickets::MAX_OF_ADDRESS {
        bench.now = NOW + number;
        bench.done(|writing| tickets::send(writing, &link, Some(&bind)));
    }
    let waiting: i64 = bench.connection.query_row("SELECT COUNT(*) FROM ticket", (), |row| row.get(0)).unwrap();
    assert_eq!(waiting, tickets::MAX_OF_ADDRESS);
}

fn sessions_end_one_by_one_or_all_but_one_and_get_another_secret() {
    let mut bench = Bench::new("sessions");
    let (ann, bob) = (bench.user("ann@example.com", None).id, bench.user("bob@example.com", None).id);
    let (one, two, three) = (bench.session(&ann, 1), bench.session(&ann, 2), bench.session(&ann, 3));
    let count = |bench: &Bench| sessions::list(&bench.connection, &ann, NOW).unwrap().len();
    let found = sessions::find(&bench.connection, &one).unwrap().unwrap();
    assert_eq!((&*found.browser, &*found.address, found.id.len()), ("Firefox on Linux", "203.0.113.9", 64));
    assert!(!bench.done(|writing| sessions::end(writing, &bob, &one)), "somebody else's");
    assert!(bench.done(|writing| sessions::end(writing, &ann, &one)));
    assert_eq!(count(&bench), 2);
    assert!(sessions::strengthen(&bench.connection, &two, &[7; 32], NOW + 5).unwrap());
    assert!(!sessions::strengthen(&bench.connection, &two, &[8; 32], NOW + 5).unwrap());
    let strong = sessions::find(&bench.connection, &[7; 32]).unwrap().unwrap();
    assert_eq!((strong.strong_at, strong.created_at), (NOW + 5, NOW));
    let user = bench.done(|writing| users::set_password(writing, &ann, Some("$argon2id$x"), Some(&[7; 32])));
    assert!(user.has_password && sessions::find(&bench.connection, &three).unwrap().is_none());
    assert_eq!(count(&bench), 1);
    for number in 0..60 {
        bench.session(&ann, 100 + number);
    }
    assert_eq!(i64::try_from(count(&bench)).unwrap(), sessions::MAX_SESSIONS);
    assert_eq!(sessions::list(&bench.connection, &ann, NOW + 12 * HOUR).unwrap(), []);
}

fn a_one_time_password_and_a_recovery_code_count_once() {
    let mut bench = Bench::new("totp");
    let ann = bench.user("ann@example.com", None).id;
    assert!(!users::use_step(&bench.connection, &ann, 5).unwrap(), "there is none yet");
    let codes = [[1; 32], [2; 32]];
    bench.done(|writing| users::set_totp(writing, &ann, Some((b"sealed", 4)), &codes, None));
    let used = |bench: &Bench, step| users::use_step(&bench.connection, &ann, step).unwrap();
    assert!(!used(&bench, 4) && used(&bench, 5) && !used(&bench, 5) && !used(&bench, 3) && used(&bench, 6));
    let code = |bench: &Bench, digest: [u8; 32]| users::use_recovery_code(&bench.connection, &ann, &digest).unwrap();
    assert!(code(&bench, [1; 32]) && !code(&bench, [1; 32]) && !code(&bench, [3; 32]));
    assert_eq!(users::recovery_codes(&bench.connection, &ann).unwrap(), 1);
    let credentials = users::credentials(&bench.connection, &ann).unwrap();
    assert_eq!((credentials.totp.as_deref(), credentials.totp_step), (Some(b"sealed".as_slice()), 6));
    assert_eq!(format!("{credentials:?}"), "***");
    bench.done(|writing| users::set_totp(writing, &ann, None, &[], None));
    assert_eq!(users::recovery_codes(&bench.connection, &ann).unwrap(), 0);
}

fn whoever_proves_an_address_removes_what_others_have_set_before() {
    let mut bench = Bench::new("proof");
    let ann = bench.user("ann@example.com", None).id;
    bench.done(|writing| users::set_password(writing, &ann, Some("$argon2id$of-somebody-else"), None));
    bench.done(|writing| users::set_totp(writing, &ann, Some((b"sealed", 4)), &[[1; 32]], None));
    let session = bench.session(&ann, 1);
    let proven = bench.done(|writing| users::prove_email(writing, &ann));
    assert!(proven.email_proven && !proven.has_password && !proven.has_totp);
    assert!(sessions::find(&bench.connection, &session).unwrap().is_none());
    assert_eq!(users::recovery_codes(&bench.connection, &ann).unwrap(), 0);
    bench.done(|writing| users::set_password(writing, &ann, Some("$argon2id$own"), None));
    let again = bench.done(|writing| users::prove_email(writing, &ann));
    assert!(again.has_password, "only the first proof removes anything");
}

fn guesses_are_limited_and_come_back_with_the_time() {
    let bench = Bench::new("guesses");
    let guesses = Guesses { burst: 3, every_ms: 1000 };
    let take = |key: u8, now: i64| attempts::take(&bench.connection, &[key; 32], guesses, now).unwrap();
    assert_eq!([take(1, NOW), take(1, NOW), take(1, NOW), take(1, NOW)], [Ok(()), Ok(()), Ok(()), Err(1000)]);
    assert_eq!(take(2, NOW), Ok(()), "another key");
    assert_eq!([take(1, NOW + 999), take(1, NOW + 1000), take(1, NOW + 1000)], [Err(1), Ok(()), Err(1000)]);
    assert_eq!(take(1, NOW + 60_000), Ok(()));
    assert_eq!(take(1, NOW - 86_400_000), Err(1000), "a clock that was set back locks nobody out for a day");
    attempts::forget(&bench.connection, &[1; 32]).unwrap();
    assert_eq!(take(1, NOW), Ok(()));
}

fn what_has_ended_is_removed_and_the_audit_tells_all_without_a_secret() {
    let mut bench = Bench::new("ended");
    let account = bench.account_of("acme");
    let made =
        bench.done(|writing| tickets::invite(writing, &invitation("ann@example.com", Some(&account), Role::Owner)));
    let secret = made.secret.clone().unwrap();
    assert!(!format!("{made:?}").contains(&secret));
    assert!(!serde_json::to_string(&made).unwrap().contains(&secret));
    let ann = bench.user("ann@example.com", None).id;
    bench.done(|writing| memberships::add(writing, &account, &ann, Role::Owner));
    bench.done(|writing| users::set_password(writing, &ann, Some("$argon2id$hash"), None));
    bench.session(&ann, 1);
    attempts::take(&bench.connection, &[1; 32], Guesses { burst: 1, every_ms: 10 }, NOW).unwrap().unwrap();
    let actions = ["account.create", "user.invite", "user.create", "member.add", "user.password", "user.sign-in"];
    assert_eq!(bench.actions(), actions);
    let rows = audit::page(&bench.connection, &audit::AuditPage { rows: 10, ..Default::default() }).unwrap();
    let told = serde_json::to_string(&rows).unwrap();
    assert!(!told.contains("argon2id") && !told.contains(&secret), "{told}");
    assert!(matches!(audit::check(&bench.connection).unwrap(), audit::Chain::Whole { rows: 6 }));
    assert!(!bench.bytes().windows(secret.len()).any(|window| window == secret.as_bytes()));
    let counts = |bench: &Bench| -> Vec<i64> {
        let rows = bench.rows();
        let of = |table: &str| rows.iter().find(|(name, _)| name == table).unwrap().1;
        ["session", "ticket", "attempt"].map(of).to_vec()
    };
    assert_eq!(counts(&bench), [1, 1, 1]);
    upkeep::step(&mut bench.connection, &KEPT, NOW + 9).unwrap();
    assert_eq!(counts(&bench), [1, 1, 1]);
    upkeep::step(&mut bench.connection, &KEPT, NOW + 12 * HOUR).unwrap();
    assert_eq!(counts(&bench), [0, 1, 0]);
    upkeep::step(&mut bench.connection, &KEPT, NOW + 72 * HOUR).unwrap();
    assert_eq!(counts(&bench), [0, 0, 0]);
}

#[test]
fn owners_are_told_of_what_was_changed_since_they_are_told_at_all() {
    use crate::ledger::store::change_mail::{begin, next, told};
    let mut bench = Bench::new("change-mail");
    let (ann, bob) = (bench.user("ann@example.com", None), bench.user("bob@example.com", None));
    let (acme, other) = (bench.account_of("acme"), bench.account_of("other"));
    bench.done(|writing| memberships::add(writing, &acme, &ann.id, Role::Owner));
    assert_eq!(next(&bench.connection, i64::MAX).unwrap(), None, "nobody has asked for it");
    begin(&bench.connection).unwrap();
    assert_eq!(next(&bench.connection, i64::MAX).unwrap(), None, "what was before is not told");
    bench.done(|writing| memberships::add(writing, &acme, &bob.id, Role::Member));
    bench.done(|writing| memberships::add(writing, &other, &bob.id, Role::Member));
    assert_eq!(next(&bench.connection, 0).unwrap(), None, "it is not told yet");
    let untold = next(&bench.connection, i64::MAX).unwrap().unwrap();
    let [account] = &*untold.accounts else { panic!("{untold:?}") };
    assert_eq!((&*account.account, &*account.owners), ("acme", ["ann@example.com".to_owned()].as_slice()));
    let changes: Vec<_> = account.changes.iter().map(|change| (&*change.action, &*change.subject)).collect();
    assert_eq!(changes, [("member.add", "bob@example.com")]);
    assert_eq!(next(&bench.connection, i64::MAX).unwrap(), Some(untold.clone()), "until it is noted");
    told(&bench.connection, untold.until).unwrap();
    assert_eq!(next(&bench.connection, i64::MAX).unwrap(), None);
    begin(&bench.connection).unwrap();
    assert_eq!(next(&bench.connection, i64::MAX).unwrap(), None, "it begins once");
}
