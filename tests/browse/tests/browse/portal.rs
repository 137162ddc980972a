//! The portal of the demo, as people use it: customers and an operator, with and without script, on a desktop and on a
//! phone. What a page does to a lookup is asked of the gateway itself.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use thirtyfour::prelude::*;

use crate::support::{
    DESKTOP, PHONE, Process, browser, console, devtools, free_address, picture, run, scheme, target, violations, window,
};

/// The password that the people of these tests choose.
const PASSWORD: &str = "four words make sense";

/// How long something may take that happens by itself.
const PATIENCE: Duration = Duration::from_secs(40);

/// How long a page may be on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(10);

/// How long a change may take until requests are judged by it.
const IN_FORCE: Duration = Duration::from_secs(1);

/// The demo with its portal.
struct Demo {
    _process: Process,
    gateway: String,
    portal: String,
    customer: String,
    operator: String,
}

fn demo() -> Demo {
    let (listen, admin, portal) = (free_address(), free_address(), free_address());
    let addresses = [("--listen", listen), ("--admin", admin), ("--portal", portal)];
    let mut child = Command::new(target().join("debug/tollgate"))
        .arg("demo")
        .args(addresses.iter().flat_map(|(name, address)| [(*name).to_owned(), address.to_string()]))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let portal = format!("http://{portal}");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut link = |words: &str| {
        let line = lines.find_map(|line| Some(line.unwrap()).filter(|line| line.contains(words))).unwrap();
        line.split_whitespace().find(|word| word.starts_with(&portal)).unwrap().to_owned()
    };
    let (customer, operator) = (link("as a customer"), link("as an operator"));
    Demo { _process: Process(child), gateway: format!("http://{listen}"), portal, customer, operator }
}

/// The status of a lookup with a token, from a page if one is named.
fn lookup(demo: &Demo, token: &str, origin: Option<&str>) -> u16 {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = agent.post(format!("{}/phone/validate/v2", demo.gateway));
    request = request.header("Auth-Token", token).header("Content-Type", "application/json");
    if let Some(origin) = origin {
        request = request.header("Origin", origin);
    }
    request.send("{\"number\":\"+44 7400 123456\"}").unwrap().status().as_u16()
}

/// Waits until a lookup has a status, no longer than a change may take.
async fn becomes(demo: &Demo, token: &str, status: u16) {
    let begun = Instant::now();
    loop {
        let found = lookup(demo, token, None);
        if found == status {
            return;
        }
        assert!(begun.elapsed() < IN_FORCE, "a lookup is answered {found}, not {status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Somebody at a browser.
struct Person<'b> {
    client: &'b WebDriver,
    /// Whether pages may run scripts.
    has_script: bool,
    axe: &'b str,
    seen: Vec<String>,
}

impl Person<'_> {
    async fn open(&mut self, url: &str) {
        self.client.goto(url).await.unwrap();
        self.look().await;
    }

    /// axe finds no barrier on the page, which is as wide as the window, and the console says nothing.
    async fn look(&mut self) {
        let url = self.client.current_url().await.unwrap();
        let path = url.path().to_owned();
        if !self.has_script || self.seen.contains(&path) {
            return;
        }
        for (size, colours) in [(PHONE, "dark"), (DESKTOP, "light")] {
            window(self.client, size).await;
            scheme(self.client, colours).await;
            let found = violations(self.client, self.axe).await;
            assert!(found.is_empty(), "{path}, {colours}: {found:?}");
            let widths = run(self.client, "return [document.documentElement.scrollWidth, window.innerWidth]").await;
            assert!(widths[0].as_u64() <= widths[1].as_u64(), "{path}: is {widths} pixels wide");
        }
        let said = console(self.client).await;
        assert!(said.iter().all(|line| line.contains("422")), "{path}: the console says {said:?}");
        self.seen.push(path);
    }

    /// The text of the page; empty while it is on its way.
    async fn text(&self) -> String {
        match self.client.find(By::Css("main")).await {
            Ok(main) => main.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Something of a page that may be on its way.
    async fn find(&self, by: By, what: &str) -> WebElement {
        let begun = Instant::now();
        loop {
            match self.client.find(by.clone()).await {
                Ok(found) => return found,
                Err(error) if begun.elapsed() > ON_ITS_WAY => {
                    panic!("there is no {what} in {}: {error}", self.text().await)
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn says(&self, words: &str) {
        let begun = Instant::now();
        loop {
            let text = self.text().await;
            if text.contains(words) {
                return;
            }
            assert!(begun.elapsed() < ON_ITS_WAY, "{words:?} is not in {text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The first button with these words.
    async fn button(&self, words: &str) -> WebElement {
        self.find(By::XPath(format!("//main//button[contains(normalize-space(.), \"{words}\")]")), words).await
    }

    async fn press(&mut self, words: &str) {
        self.button(words).await.click().await.unwrap();
        self.look().await;
    }

    async fn follow(&mut self, words: &str) {
        self.find(By::LinkText(words), words).await.click().await.unwrap();
        self.look().await;
    }

    async fn fill(&self, name: &str, value: &str) {
        let field = self.find(By::Css(format!("main [name={name}]")), name).await;
        field.clear().await.unwrap();
        field.send_keys(value).await.unwrap();
    }

    async fn choose(&self, selector: &str) {
        self.find(By::Css(selector), selector).await.click().await.unwrap();
    }

    async fn secret(&self) -> String {
        self.find(By::Css("main .secret code"), "secret").await.text().await.unwrap()
    }

    async fn here(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url.as_str().split('?').next().unwrap().to_owned()
    }

    /// Accepts an invitation.
    async fn accept(&mut self, link: &str) {
        self.open(link).await;
        self.fill("password", PASSWORD).await;
        self.fill("again", PASSWORD).await;
        self.press("Accept").await;
        self.says("One-time passwords").await;
        self.follow("Not now").await;
    }

    async fn sign_out(&mut self) {
        self.client
            .find(By::XPath("//header//button[contains(., \"Sign out\")]"))
            .await
            .unwrap()
            .click()
            .await
            .unwrap();
        self.look().await;
    }

    async fn sign_in(&mut self, demo: &Demo, email: &str) {
        self.open(&format!("{}/sign-in", demo.portal)).await;
        self.fill("email", email).await;
        self.fill("password", PASSWORD).await;
        self.press("Sign in").await;
    }
}

/// A token is made, used, disabled and enabled; its list locks nobody out unseen, and a refusal is mended by its button.
async fn tokens(demo: &Demo, person: &mut Person<'_>, account: &str) -> String {
    person.open(&format!("{account}/tokens")).await;
    person.follow("New token").await;
    person.fill("name", "mobile app").await;
    person.choose("input[name=product][value=email]").await;
    person.press("Make the token").await;
    let token = person.secret().await;
    becomes(demo, &token, 200).await;
    person.follow("Go on to mobile app").await;
    let page = person.here().await;
    person.press("Disable").await;
    person.says("is disabled").await;
    becomes(demo, &token, 403).await;
    person.press("Enable").await;
    becomes(demo, &token, 200).await;

    person.open(&format!("{page}/networks")).await;
    person.choose("input[name=mode][value=enforce]").await;
    person.fill("entries", "203.0.113.5/24 # office").await;
    person.press("Show what would change").await;
    person.says("write 203.0.113.0/24").await;
    person.fill("entries", "203.0.113.0/24 # office").await;
    // What was used is known after a while.
    let begun = Instant::now();
    loop {
        person.press("Show what would change").await;
        person.says("added: 203.0.113.0/24").await;
        if person.text().await.contains("127.0.0.1") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the source is not told: {}", person.text().await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    person.press("Save").await;
    person.says("Nothing was saved yet").await;
    becomes(demo, &token, 200).await;
    person.choose("input[name=sure]").await;
    person.press("Save").await;
    person.says("The list is saved").await;
    becomes(demo, &token, 403).await;

    let begun = Instant::now();
    loop {
        person.open(&format!("{account}/refusals?token=mobile+app")).await;
        if person.text().await.contains("Add 127.0.0.1 to token mobile app") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the refusal is not shown: {}", person.text().await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    person.press("Add 127.0.0.1 to token mobile app").await;
    person.says("127.0.0.1 is added").await;
    becomes(demo, &token, 200).await;

    person.open(&format!("{page}/networks")).await;
    person.press("Undo the last change").await;
    becomes(demo, &token, 403).await;
    person.open(&format!("{page}/networks")).await;
    person.choose("input[name=mode][value=any]").await;
    person.choose("input[name=on_trial]").await;
    person.press("Save").await;
    person.says("This list is on trial").await;
    becomes(demo, &token, 200).await;
    person.press("Keep the list as it is now").await;
    person.says("The list stays as it is").await;
    page_of_token(demo, person, &page, &token).await
}

/// A domain is allowed, a request tried out, the token rotated, and the old one revoked; the new token.
async fn page_of_token(demo: &Demo, person: &mut Person<'_>, page: &str, token: &str) -> String {
    person.open(&format!("{page}/domains")).await;
    person.choose("input[name=mode][value=enforce]").await;
    person.fill("entries", "app.example.com").await;
    person.choose("input[name=absent][value=allow]").await;
    person.press("Save").await;
    if person.text().await.contains("Nothing was saved yet") {
        person.choose("input[name=sure]").await;
        person.press("Save").await;
    }
    person.says("The list is saved").await;
    assert_eq!(lookup(demo, token, Some("https://evil.example")), 403);
    assert_eq!(lookup(demo, token, Some("https://app.example.com")), 200);

    person.open(&format!("{page}/test")).await;
    person.fill("address", "192.0.2.7").await;
    person.fill("origin", "https://evil.example").await;
    person.press("Test").await;
    person.says("domain-not-allowed").await;
    person.fill("origin", "https://app.example.com").await;
    person.press("Test").await;
    person.says("The token lets it pass").await;

    person.open(page).await;
    person.press("Rotate").await;
    let new = person.secret().await;
    becomes(demo, &new, 200).await;
    assert_eq!(lookup(demo, token, None), 200, "the old one goes on");
    person.open(page).await;
    person.says("Another token has taken its place").await;
    person.fill("name", "mobile app").await;
    person.client.find(By::Css("#revoke")).await.unwrap().send_keys("mobile app").await.unwrap();
    person.press("Revoke for good").await;
    becomes(demo, token, 401).await;
    new
}

/// What somebody could call something to have it run by whoever looks at it.
const HOSTILE: &str = "\"><img src=x onerror=window.hit=1><script>window.hit=1</script>\u{202e}' onfocus='window.hit=1";

/// Names and notes that try to be script are text on every page that shows them; a form on another site changes nothing.
async fn hostile(person: &mut Person<'_>, account: &str) {
    person.open(&format!("{account}/tokens/new")).await;
    person.fill("name", "kiosk").await;
    person.choose("input[name=product][value=email]").await;
    person.press("Make the token").await;
    person.follow("Go on to kiosk").await;
    let page = person.here().await;
    person.open(&format!("{page}/networks")).await;
    person.choose("input[name=mode][value=watch]").await;
    // Typed by a script: a driver's keyboard has no marks of direction.
    let entries = json!(format!("192.0.2.0/24 # {HOSTILE}")).to_string();
    set(person, "entries", &entries).await;
    person.press("Show what would change").await;
    person.says("192.0.2.0/24").await;
    person.press("Save").await;
    person.says("The list is saved").await;
    person.open(&format!("{account}/keys")).await;
    set(person, "name", &json!(HOSTILE).to_string()).await;
    person.press("Make the key").await;
    for path in ["", "/tokens", "/keys", "/audit", "/usage", "/refusals"] {
        person.client.goto(&format!("{account}{path}")).await.unwrap();
        assert!(run(person.client, "return window.hit ?? null").await.is_null(), "{path} runs a name");
    }
    person.client.goto(&format!("{page}/networks")).await.unwrap();
    assert!(run(person.client, "return window.hit ?? null").await.is_null(), "the list runs a note");

    // A form on another site, which the browser sends by itself, with whatever cookies it has.
    let other = format!(
        "data:text/html,<form method=post action='{page}/disable'><input name=csrf value=guessed></form>\
         <script>document.forms[0].submit()</script>"
    );
    person.client.goto(&other).await.unwrap();
    person.says("This form was not sent by this site").await;
    // The console says that it was refused.
    assert_eq!(console(person.client).await.len(), 1);
    person.client.goto(&page).await.unwrap();
    person.says("Enabled").await;
}

/// Sets a field to a text that is written as JSON.
async fn set(person: &Person<'_>, name: &str, json: &str) {
    let script = format!("document.querySelector('main [name={name}]').value = {json}");
    run(person.client, &script).await;
}

/// Usage, credits, alerts, keys, members and history.
async fn the_rest(demo: &Demo, person: &mut Person<'_>, account: &str) {
    person.open(&format!("{account}/usage")).await;
    person.says("Requests a day").await;
    person.client.find(By::Css("select[name=by] option[value=hour]")).await.unwrap().click().await.unwrap();
    person.press("Show").await;
    person.says("web shop").await;
    person.open(&format!("{account}/credits")).await;
    person.follow("phone").await;
    person.says("grant").await;
    person.open(&format!("{account}/alerts")).await;
    person.fill("below", "1000").await;
    person.fill("token_days", "many").await;
    person.press("Save").await;
    person.says("Nothing was changed").await;
    person.fill("token_days", "14").await;
    person.press("Save").await;
    person.says("Saved.").await;

    person.open(&format!("{account}/keys")).await;
    person.fill("name", "nightly job").await;
    person.press("Make the key").await;
    assert!(person.secret().await.starts_with("tgm_"));
    person.press("Revoke").await;
    person.says("Revoked").await;

    person.open(&format!("{account}/members")).await;
    person.fill("email", "viewer@harbour.example").await;
    person.press("Make the link").await;
    let link = person.secret().await;
    person.open(&format!("{account}/audit")).await;
    person.says("token.revoke").await;
    person.sign_out().await;
    person.accept(&link).await;
    person.open(&format!("{account}/tokens")).await;
    person.says("web shop").await;
    let text = person.text().await;
    let forms = person.client.find_all(By::Css("main form")).await.unwrap();
    assert!(!text.contains("New token") && forms.is_empty(), "a viewer changes nothing: {text}");
    person.sign_out().await;
    person.sign_in(demo, "owner@harbour-books.example").await;
    person.says("Harbour Books").await;
    person.open(&format!("{}/me", demo.portal)).await;
    person.sign_out().await;
}

/// An operator finds a customer by a token, looks at what it sees, gives credits, and suspends it for a while.
async fn operator(demo: &Demo, person: &mut Person<'_>, token: &str) {
    person.accept(&demo.operator).await;
    for page in [
        "/operator",
        "/operator/refusals",
        "/operator/usage",
        "/operator/plans",
        "/operator/users",
        "/operator/keys",
        "/operator/shadow",
        "/operator/audit",
        "/operator/accounts/new",
    ] {
        person.open(&format!("{}{page}", demo.portal)).await;
    }
    person.open(&format!("{}/operator", demo.portal)).await;
    person.fill("text", token).await;
    person.press("Find").await;
    person.says("harbour-books").await;
    assert!(!person.client.source().await.unwrap().contains(token), "a token is shown again");
    person.follow("harbour-books").await;
    let page = person.here().await;
    person.fill("amount", "500").await;
    person.fill("why", "invoice 17").await;
    person.press("Write it down").await;
    person.says("The credits are written down").await;
    person.press("Suspend").await;
    becomes(demo, token, 403).await;
    person.press("Resume").await;
    becomes(demo, token, 200).await;
    person.follow("See what the customer sees").await;
    let body = person.client.find(By::Css("body")).await.unwrap().text().await.unwrap();
    assert!(body.contains("You look at this account as an operator"), "{body}");
    person.open(&page).await;
    reset(demo, person).await;
}

/// Somebody has lost what they sign in with: an operator makes a link, with which they choose a new password.
async fn reset(demo: &Demo, person: &mut Person<'_>) {
    person.open(&format!("{}/operator/users", demo.portal)).await;
    person.press("Reset sign-in of viewer@harbour.example").await;
    person.says("cannot sign in until they have chosen a new password").await;
    let link = person.secret().await;
    person.sign_out().await;
    person.sign_in(demo, "viewer@harbour.example").await;
    person.says("This did not work").await;
    // The console says that it was refused.
    console(person.client).await;
    person.open(&link).await;
    for name in ["password", "again"] {
        person.fill(name, "another four plain words").await;
    }
    person.press("Set the password").await;
    person.says("Your password is set").await;
    person.open(&format!("{}/sign-in", demo.portal)).await;
    person.fill("email", "viewer@harbour.example").await;
    person.fill("password", "another four plain words").await;
    person.press("Sign in").await;
    person.says("Harbour Books").await;
    person.open(&format!("{}/me", demo.portal)).await;
    person.sign_out().await;
}

async fn with(has_script: bool) {
    let axe = std::fs::read_to_string(target().join("axe/package/axe.min.js"))
        .expect("axe-core, which `tests/browse/run` gets");
    let demo = demo();
    let (_driver, client) = browser().await;
    devtools(&client, "Emulation.setScriptExecutionDisabled", json!({ "value": !has_script })).await;
    let mut person = Person { client: &client, has_script, axe: &axe, seen: Vec::new() };
    person.accept(&demo.customer).await;
    person.says("left for about").await;
    let account = person.here().await;
    if has_script {
        pictures(&person, &account).await;
    }
    let token = tokens(&demo, &mut person, &account).await;
    if has_script {
        hostile(&mut person, &account).await;
    }
    the_rest(&demo, &mut person, &account).await;
    operator(&demo, &mut person, &token).await;
    let seen = person.seen.len();
    client.quit().await.unwrap();
    println!("portal, script {has_script}: {seen} pages looked at");
}

/// Pictures of pages at two widths.
async fn pictures(person: &Person<'_>, account: &str) {
    let pages = [
        ("", "overview"),
        ("/tokens", "tokens"),
        ("/tokens/new", "new-token"),
        ("/usage", "usage"),
        ("/refusals", "refusals"),
        ("/credits", "credits"),
        ("/members", "members"),
        ("/audit", "history"),
    ];
    for (page, name) in pages {
        for (size, width, colours) in [(DESKTOP, "desktop", "light"), (PHONE, "phone", "dark")] {
            window(person.client, size).await;
            scheme(person.client, colours).await;
            person.client.goto(&format!("{account}{page}")).await.unwrap();
            picture(person.client, &format!("portal-{name}-{width}")).await;
        }
    }
    window(person.client, DESKTOP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_help_themselves_in_the_portal() {
    with(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_help_themselves_without_script() {
    with(false).await;
}
