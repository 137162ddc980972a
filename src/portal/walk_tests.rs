//! Every page as everybody: each row of the table of pages, of the own account, of another one, and of one that is not
//! there; and every form as others would send it.

use axum::http::Method;
use serde_json::json;

use super::page::{Door, Page};
use super::router;
use super::sign_in::testing::{Answer, Bench};
use super::testing::{Form, Objects, Person, unique, with_credits};
use crate::ledger::store::memberships;
use crate::ledger::store::records::Role;
use crate::platform::clock::unix_milliseconds;
use crate::portal::words::HOUR_MS;

/// A portal with two accounts that are in force.
pub async fn bench() -> (Bench, [Objects; 2]) {
    let bench = Bench::over("", "", vec![with_credits("own", ""), with_credits("foreign", "")]);
    let accounts = bench.ask(Method::GET, "/accounts", serde_json::Value::Null).await;
    let id = |name: &str| {
        let items = accounts["items"].as_array().unwrap();
        items.iter().find(|item| item["name"] == name).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let own = Objects::of(&bench, id("own"), "own".to_owned(), "web").await;
    let foreign = Objects::of(&bench, id("foreign"), "foreign".to_owned(), "web").await;
    (bench, [own, foreign])
}

/// Whom a path has to let in. A page at a path that has no rule here fails the test.
fn door_of(path: &str) -> Door {
    let below = |start: &str| path == start || path.starts_with(&format!("{start}/"));
    match path {
        "/" | "/accounts" | "/fix/{problem}" | "/sign-out" | "/sign-in/again" => Door::SignedIn,
        _ if below("/me") => Door::SignedIn,
        _ if below("/accounts/{account}") => Door::Account,
        _ if below("/operator") => Door::Operator,
        _ if below("/sign-in") || below("/assets") || path == "/invitation/{ticket}" => Door::Open,
        _ => panic!("{path} has no rule: say in the walk whom it lets in"),
    }
}

#[test]
fn every_page_has_the_door_of_its_path() {
    let pages = router::all();
    assert!(pages.len() > 80, "{}", pages.len());
    for page in &pages {
        assert_eq!(page.door, door_of(page.path), "{} {}", page.method, page.path);
        assert!([Method::GET, Method::POST].contains(&page.method), "{} {}", page.method, page.path);
    }
}

/// Where somebody is sent who has not signed in.
fn to_sign_in(path: &str) -> String {
    format!("/sign-in?to={}", url::form_urlencoded::byte_serialize(path.as_bytes()).collect::<String>())
}

fn assert_sent_to_sign_in(answer: &Answer, path: &str) {
    assert_eq!((answer.status, &*answer.location), (303, &*to_sign_in(path)), "{path}: {}", answer.text);
}

/// A page is shown, or leads on to another one of the portal, which is not that of signing in.
fn assert_shown(answer: &Answer, who: &str, path: &str) {
    let is_shown = answer.status == 200 || answer.status == 303 && !answer.location.starts_with("/sign-in?to=");
    assert!(is_shown, "{path} as {who}: {} {} {}", answer.status, answer.location, answer.text);
}

/// Pages that show nothing to viewers: what has addresses of clients is for members.
fn is_hidden_from(page: &Page, role: Option<Role>) -> bool {
    role == Some(Role::Viewer) && ["/accounts/{account}/refusals", "/accounts/{account}/audit"].contains(&page.path)
}

async fn look(page: &Page, person: &Person<'_>, own: &Objects, foreign: &Objects) {
    let path = own.path(page);
    let answer = person.browser.get(&path).await;
    let is_nobody = person.role.is_none();
    match page.door {
        Door::Open if ["/sign-in", "/assets/style.css"].contains(&page.path) => {
            assert_shown(&answer, person.name, &path)
        }
        Door::Open => {
            let is_open = [200, 303, 400, 404].contains(&answer.status) && !answer.location.starts_with("/sign-in?to=");
            assert!(is_open, "{path} as {}: {} {}", person.name, answer.status, answer.location);
        }
        Door::SignedIn | Door::Account | Door::Operator if is_nobody => assert_sent_to_sign_in(&answer, &path),
        Door::SignedIn => assert_shown(&answer, person.name, &path),
        Door::Operator if person.is_operator() => assert_eq!(answer.status, 200, "{path}: {}", answer.text),
        Door::Operator => {
            let nothing = person.browser.get("/operator/nothing").await;
            assert_eq!((answer.status, &answer.text), (404, &nothing.text), "{path} as {}", person.name);
        }
        Door::Account => {
            let status = if is_hidden_from(page, person.role) { 403 } else { 200 };
            assert_eq!(answer.status, status, "{path} as {}: {}", person.name, answer.text);
            look_at_another(page, person, own, foreign).await;
        }
    }
}

/// Another's account is as one that is not there, and what it has is not in the own account; operators see both.
async fn look_at_another(page: &Page, person: &Person<'_>, own: &Objects, foreign: &Objects) {
    let path = foreign.path(page);
    let answer = person.browser.get(&path).await;
    let nothing = person.browser.get(&foreign.in_account(&"0".repeat(32)).path(page)).await;
    assert_eq!(nothing.status, 404, "{path} as {}", person.name);
    if person.is_operator() {
        assert_eq!(answer.status, 200, "{path} as {}: {}", person.name, answer.text);
    } else {
        assert_eq!((answer.status, &answer.text), (404, &nothing.text), "{path} as {}", person.name);
        assert_eq!(answer.headers, nothing.headers, "{path} as {}", person.name);
    }
    if page.path.contains("{token}") {
        let path = foreign.in_account(&own.account).path(page);
        assert_eq!(person.browser.get(&path).await.status, 404, "{path} as {}", person.name);
    }
}

#[tokio::test]
async fn every_page_lets_in_whom_its_row_names_and_nobody_else() {
    let (bench, [own, foreign]) = bench().await;
    let people = Person::all(&bench, &own.account, &foreign.account).await;
    let mut looked = 0;
    for page in router::all().into_iter().filter(|page| page.method == Method::GET) {
        for person in &people {
            // Whoever owns the other account sees that one, and not the first.
            let (own, foreign) = if person.name == "owner of another" { (&foreign, &own) } else { (&own, &foreign) };
            look(&page, person, own, foreign).await;
            looked += 1;
        }
    }
    assert!(looked > 300, "{looked}");
}

/// Whom a form is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Whoever sees the page: it changes nothing.
    All,
    /// Members of the account from this role on.
    Members(Role),
    /// Operators from this role on.
    Operators(Role),
    /// Signing in, which has tests of its own.
    SigningIn,
}

impl For {
    fn allows(self, role: Role) -> bool {
        let rank = |role: Role| match role {
            Role::Viewer | Role::Auditor => 0,
            Role::Member | Role::Support => 1,
            Role::Owner | Role::Admin => 2,
        };
        match self {
            For::All => true,
            For::Members(least) => role.is_of_account() && rank(role) >= rank(least),
            For::Operators(least) => !role.is_of_account() && rank(role) >= rank(least),
            For::SigningIn => false,
        }
    }
}

/// A line of an export: a plan.
fn plan(name: &str) -> String {
    let plan = json!({ "name": name, "terms": {}, "products": ["plate"], "row_version": 1, "created_at": 0 });
    json!({ "plan": plan }).to_string()
}

/// A form that does what its page is for, and whom it is for. A page that takes a form and has no row here fails the walk.
pub fn form(page: &Page, objects: &Objects) -> (For, Form) {
    let (viewer, member, owner) = (For::All, For::Members(Role::Member), For::Members(Role::Owner));
    let (support, admin) = (For::Operators(Role::Support), For::Operators(Role::Admin));
    let filled =
        |pairs: &[(&'static str, &str)]| pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let once = unique();
    let email = format!("{once}@example.com");
    let key = |role: &str| filled(&[("name", "k"), ("role", role), ("scope", "read"), ("once", &once)]);
    let list = |entry, version| {
        filled(&[("mode", "enforce"), ("entries", entry), ("step", "save"), ("sure", "1"), ("version", version)])
    };
    let rest = page.path.trim_start_matches("/accounts/{account}");
    match rest {
        "/tokens/new" => (member, filled(&[("name", &once), ("product", "plate"), ("once", &once)])),
        "/tokens/{token}" => {
            (member, filled(&[("name", "renamed"), ("product", "plate"), ("version", &objects.token_version)]))
        }
        "/tokens/{token}/enable" | "/tokens/{token}/disable" => (member, Form::new()),
        "/tokens/{token}/revoke" => (member, filled(&[("name", &objects.token_name)])),
        "/tokens/{token}/rotate" => (member, filled(&[("overlap", "24h"), ("once", &once)])),
        "/tokens/{token}/networks" => (member, list("198.51.100.0/24", &objects.networks_version)),
        "/tokens/{token}/domains" => (member, list("app.example.com", &objects.domains_version)),
        "/tokens/{token}/networks/confirm" | "/tokens/{token}/domains/confirm" => (member, Form::new()),
        "/tokens/{token}/networks/undo" | "/tokens/{token}/domains/undo" => (member, Form::new()),
        "/tokens/{token}/test" => (viewer, filled(&[("address", "203.0.113.9")])),
        "/refusals/fix" => {
            (member, filled(&[("list", "networks"), ("token", &objects.token), ("value", "198.51.100.7")]))
        }
        "/alerts" => (member, filled(&[("token_days", "7"), ("version", &objects.alerts_version)])),
        "/members" => (owner, filled(&[("email", &email), ("role", "viewer"), ("once", &once)])),
        "/members/{user}" => (owner, filled(&[("role", "member")])),
        "/members/{user}/remove" | "/invitations/{invitation}/withdraw" => (owner, Form::new()),
        "/keys" => (owner, key("viewer")),
        "/keys/{key}/revoke" => (owner, Form::new()),
        "/operator/find" => (For::Operators(Role::Auditor), filled(&[("text", "acme")])),
        "/operator/import" | "/operator/import/done" => (admin, filled(&[("lines", &plan(&once)), ("once", &once)])),
        "/operator/accounts/new" => (support, filled(&[("name", &once), ("once", &once)])),
        "/operator/accounts/{account}" => {
            (support, filled(&[("display", "Acme"), ("version", &objects.account_version)]))
        }
        "/operator/accounts/{account}/suspend" | "/operator/accounts/{account}/resume" => (support, Form::new()),
        "/operator/accounts/{account}/close" => (support, filled(&[("name", &objects.name)])),
        "/operator/accounts/{account}/tokens/{token}/{act}" => (support, Form::new()),
        "/operator/accounts/{account}/credits" => {
            let grant = [("kind", "grant"), ("product", "phone"), ("amount", "5"), ("why", "a gift"), ("once", &*once)];
            (admin, filled(&grant))
        }
        "/operator/accounts/{account}/invite" => {
            (admin, filled(&[("email", &email), ("role", "owner"), ("once", &once)]))
        }
        "/operator/users" => (admin, filled(&[("email", &email), ("role", "auditor"), ("once", &once)])),
        "/operator/users/{user}/{act}" | "/operator/invitations/{invitation}/withdraw" => (admin, Form::new()),
        "/operator/keys" => (admin, key("auditor")),
        "/operator/keys/{key}/revoke" => (admin, Form::new()),
        "/operator/status" => (support, filled(&[("text", "all is well"), ("once", &once)])),
        "/operator/status/{notice}/close" => (support, Form::new()),
        "/operator/shadow/promote" | "/operator/shadow/drop" => (admin, Form::new()),
        path if [Door::Open, Door::SignedIn].contains(&page.door) => {
            let known = ["/sign-in", "/sign-out", "/me", "/invitation"].iter().any(|start| path.starts_with(start));
            assert!(known, "{path} takes a form, and the walk has none for it");
            (For::SigningIn, filled(&[("email", &email), ("password", "four plain words here"), ("others", "1")]))
        }
        path => panic!("{path} takes a form, and the walk has none for it"),
    }
}

/// A form on its way: which, whose, and about what.
struct Sent<'w> {
    bench: &'w Bench,
    page: &'w Page,
    person: &'w Person<'w>,
    objects: &'w Objects,
}

impl Sent<'_> {
    /// What a form is answered, and whether anything was written.
    async fn answer(&self, word: &str, headers: &[(&'static str, &str)]) -> (Answer, bool) {
        let (_, form) = form(self.page, self.objects);
        let path = self.objects.path(self.page);
        if self.person.is_operator() && self.page.door == Door::Account {
            // That they look is written once an hour.
            self.person.browser.get(&format!("/accounts/{}", self.objects.account)).await;
        }
        let (hour, before) = (unix_milliseconds() / HOUR_MS, self.bench.commits().await);
        let answer = self.person.post(&path, &form, word, headers).await;
        let is_changed = self.bench.commits().await != before;
        let is_same_hour = hour == unix_milliseconds() / HOUR_MS;
        (answer, is_changed && is_same_hour)
    }

    /// Nothing is done for forms of others.
    async fn assert_only_own_forms(&self, word_of_another: &str) {
        const OWN: &str = "https://portal.example.com";
        let word = &*self.person.word;
        let of_browsers: [(&str, &[(&'static str, &str)]); 5] = [
            (word, &[("origin", "https://evil.example")]),
            (word, &[("origin", "null"), ("sec-fetch-site", "none")]),
            (word, &[("sec-fetch-site", "cross-site")]),
            (word, &[("origin", OWN), ("sec-fetch-site", "cross-site")]),
            (word, &[("origin", "https://api.example.com"), ("sec-fetch-site", "same-site")]),
        ];
        let of_words: [(&str, &[(&'static str, &str)]); 3] =
            [("", &[]), (word_of_another, &[("origin", OWN)]), ("x", &[("sec-fetch-site", "none")])];
        let of_words = if self.person.role.is_some() { of_words.as_slice() } else { &[] };
        for (word, headers) in of_browsers.iter().chain(of_words) {
            let (answer, is_changed) = self.answer(word, headers).await;
            let what = format!("{} as {} with {word:?} {headers:?}", self.page.path, self.person.name);
            assert_eq!((answer.status, is_changed), (403, false), "{what}: {}", answer.text);
            assert!(answer.text.contains("was not sent by this site"), "{what}: {}", answer.text);
        }
    }

    /// Who may do it does it, and everybody else is told that they may not.
    async fn assert_done_for_those_who_may(&self) {
        let (whom, _) = form(self.page, self.objects);
        let (answer, is_changed) = self.answer(&self.person.word, &[]).await;
        let what = format!("{} as {}: {} {}", self.page.path, self.person.name, answer.location, answer.text);
        let Some(role) = self.person.role else {
            assert_sent_to_sign_in(&answer, &self.objects.path(self.page));
            return assert!(!is_changed, "{what}");
        };
        if whom.allows(role) {
            assert!([200, 303].contains(&answer.status) && !answer.location.starts_with("/sign-in"), "{what}");
            // Credits are written to the ledger, and there is no shadow.
            let elsewhere = ["/operator/find", "/operator/accounts/{account}/credits"];
            let is_elsewhere = elsewhere.contains(&self.page.path) || self.page.path.starts_with("/operator/shadow/");
            return assert_eq!(is_changed, whom != For::All && !is_elsewhere, "{what}");
        }
        if self.page.door == Door::Operator && role.is_of_account() {
            assert_eq!(answer.status, 404, "{what}");
        } else {
            assert!([403, 422].contains(&answer.status) && answer.text.contains("You may not do this"), "{what}");
        }
        assert!(!is_changed, "{what}");
    }

    /// Another's account is as one that is not there.
    async fn assert_nothing_is_there(&self) {
        let (answer, is_changed) = self.answer(&self.person.word, &[]).await;
        let objects = self.objects.in_account(&"0".repeat(32));
        let (nothing, _) = Sent { objects: &objects, ..*self }.answer(&self.person.word, &[]).await;
        let what = format!("{} as {}", self.page.path, self.person.name);
        assert_eq!((answer.status, is_changed), (404, false), "{what}: {}", answer.text);
        assert_eq!((answer.text, answer.headers), (nothing.text, nothing.headers), "{what}");
    }
}

/// New objects for a form, which somebody is a member of.
async fn objects_for(bench: &Bench, page: &Page, person: &Person<'_>, in_force: &Objects) -> Objects {
    if page.path == "/operator/accounts/{account}/credits" {
        // Only what is in force has credits.
        return in_force.clone();
    }
    let mut objects = Objects::new(bench).await;
    if page.path.contains("{notice}") && [Some(Role::Support), Some(Role::Admin)].contains(&person.role) {
        objects.notice = bench.notice("all is well").await;
    }
    if let Some(role) = person.role.filter(|role| role.is_of_account()) {
        let (account, user) = (objects.account.clone(), person.id.clone());
        bench.done(move |writing| memberships::add(writing, &account, &user, role).map(drop)).await;
    }
    objects
}

#[tokio::test]
async fn every_form_is_taken_from_the_own_pages_and_from_those_who_may_alone() {
    let (bench, [own, foreign]) = bench().await;
    let people = Person::all(&bench, &own.account, &foreign.account).await;
    let mut sent = 0;
    for page in router::all().into_iter().filter(|page| page.method == Method::POST) {
        for (index, person) in people.iter().enumerate() {
            bench.sql("UPDATE session SET seen_at = CAST(strftime('%s', 'now') AS INTEGER) * 1000").await;
            let objects = objects_for(&bench, &page, person, &own).await;
            let form = Sent { bench: &bench, page: &page, person, objects: &objects };
            let another = &people[1 + index % (people.len() - 1)];
            assert_ne!(another.word, person.word);
            form.assert_only_own_forms(&another.word).await;
            if [Door::Account, Door::Operator].contains(&page.door) {
                form.assert_done_for_those_who_may().await;
            }
            if page.door == Door::Account && person.role.is_some_and(Role::is_of_account) {
                let objects = if person.name == "owner of another" { &own } else { &foreign };
                Sent { objects, ..form }.assert_nothing_is_there().await;
            }
            sent += 1;
        }
    }
    assert!(sent > 250, "{sent}");
}
