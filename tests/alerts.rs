//! Alerts from outside: receivers that refuse, are late, die, redirect and are gone, a mail server of the same kind, and
//! a gateway that is killed, restarted and upgraded meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use tollgate::operate::api::shown::Day;

use crate::support::api::{account, admin_key, ask, tollgate};
use crate::support::mail::{Conduct, MailSink};
use crate::support::{After, Backend, Gateway, Peer, Request, Scratch, VERSIONS, paying};

/// The secrets of the receiver: the new one and the old one.
const SECRETS: [&[u8]; 2] = [b"a secret of thirty-two bytes: 01", b"a secret of thirty-two bytes: 02"];

/// Pauses between attempts add up to more than others wait for.
const PATIENCE: Duration = Duration::from_secs(60);

fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn secret(number: usize) -> String {
    format!("whsec_{}", STANDARD.encode(SECRETS[number]))
}

/// A webhook as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hook {
    id: String,
    body: String,
}

/// Reads a webhook, and verifies what it says of itself as its receiver would.
fn hook(request: &[u8]) -> Hook {
    let text = String::from_utf8(request.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:"))).unwrap();
        line.split_once(": ").unwrap().1.trim().to_owned()
    };
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let sent = UNIX_EPOCH + Duration::from_secs(timestamp.parse().unwrap());
    assert!(SystemTime::now().duration_since(sent).unwrap() < PATIENCE, "the time is that of the attempt");
    let expected: Vec<String> = SECRETS
        .iter()
        .map(|secret| {
            let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret).unwrap();
            mac.update(id.as_bytes());
            mac.update(b".");
            mac.update(timestamp.as_bytes());
            mac.update(b".");
            mac.update(body.as_bytes());
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        })
        .collect();
    assert_eq!(header("webhook-signature"), expected.join(" "));
    assert_eq!(header("content-type"), "application/json");
    Hook { id, body: body.to_owned() }
}

/// A receiver that notes everything, and answers each request as it is told to by its number.
fn receiver(behave: impl Fn(usize, &mut Peer) -> After + Send + Sync + 'static) -> (Backend, Arc<Mutex<Vec<Hook>>>) {
    let hooks: Arc<Mutex<Vec<Hook>>> = Arc::default();
    let seen = Arc::clone(&hooks);
    let backend = Backend::start(move |peer, request| {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(hook(request));
            seen.len()
        };
        behave(number, peer)
    });
    (backend, hooks)
}

/// A configuration with an account that pays, and a store; `alerts` are added to it.
fn configuration(backend: &Backend, scratch: &Scratch, credits: &str, alerts: &str) -> String {
    let yaml = paying(backend.address(), &scratch.ledger("each"), &[("acme", credits)]);
    let store = format!("store: {{ sqlite: {} }}\napi: {{ listen: $FREE }}\n", scratch.path("tollgate.db").display());
    format!("{yaml}{store}alerts:\n{alerts}")
}

fn webhook(receiver: &Backend) -> String {
    let address = receiver.address();
    format!("  webhook: {{ url: 'http://{address}/hooks', timeout: 1s, secrets: ['${{env:NEW}}', '${{env:OLD}}'] }}\n")
}

fn environment() -> [(&'static str, String); 2] {
    [("NEW", secret(0)), ("OLD", secret(1))]
}

fn start(yaml: &str) -> Gateway {
    let environment = environment();
    Gateway::start_with(yaml, &environment.each_ref().map(|(name, value)| (*name, &**value)))
}

fn look_up(gateway: &Gateway, times: usize) {
    (0..times).for_each(|_| gateway.send(VERSIONS[0], &Request::lookup("acme")).assert_success());
}

fn grant(gateway: &Gateway, key: &str, amount: u64) {
    let body = json!({ "amount": amount, "why": "a test" }).to_string();
    let target = "/accounts/acme/credits/phone/grants";
    let (status, answer) =
        gateway.ask_admin("POST", target, &[("Content-Type", "application/json"), ("Idempotency-Key", key)], &body);
    assert!((200..300).contains(&status), "{answer}");
}

/// The alerts that a gateway's command shows, the newest first.
fn alerts(gateway: &Gateway, more: &[&str]) -> Vec<Value> {
    let environment = environment();
    let environment = environment.each_ref().map(|(name, value)| (*name, &**value));
    let output = tollgate(gateway, &[&["alerts", "--json"], more].concat(), &environment);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One crossing is one event, however often its message is sent and whatever happens to the gateway; after the balance
/// has recovered, the next crossing is another one.
#[test]
fn a_low_balance_is_told_once_a_crossing_whatever_the_receiver_and_the_gateway_do() {
    let (backend, scratch) = (Backend::answering_json(), Scratch::new());
    let elsewhere = Backend::answering_json();
    let location = format!("Location: http://{}/\r\n", elsewhere.address());
    let (receiver, hooks) = receiver(move |number, peer| match number {
        1 => peer.answer_with("503 Service Unavailable", "Retry-After: 1\r\n", b"{}"),
        // It is too late.
        2 => peer.wait_for_close(),
        3 => After::Reset,
        4 => peer.answer_with("302 Found", &location, b""),
        _ => peer.answer_with("204 No Content", "", b""),
    });
    let yaml =
        configuration(&backend, &scratch, "5", &format!("  low_balance: {{ phone: 3 }}\n{}", webhook(&receiver)));
    let mut gateway = start(&yaml);
    look_up(&gateway, 2);
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(hooks.lock().unwrap().len(), 0, "three are left, which is not below three");
    look_up(&gateway, 1);
    wait("a second attempt", || hooks.lock().unwrap().len() >= 2);
    gateway.kill();
    drop(gateway);
    let gateway = start(&yaml);
    let delivered =
        |gateway: &Gateway| gateway.metric::<i64>("tollgate_alerts_sent_messages_total{channel=\"webhook\"}");
    wait("it is accepted", || delivered(&gateway) == 1);
    let first = hooks.lock().unwrap().clone();
    assert!(first.len() >= 5 && first.iter().all(|hook| *hook == first[0]), "the same each time: {first:?}");
    let body: Value = serde_json::from_str(&first[0].body).unwrap();
    let data = json!({ "account": "acme", "product": "phone", "balance": 2, "below": 3 });
    assert_eq!((&body["type"], &body["data"]), (&json!("tollgate.balance.low"), &data));
    assert!(elsewhere.requests().is_empty(), "redirects are not followed");

    // Neither a restart nor fewer credits tell it again.
    look_up(&gateway, 1);
    drop(gateway);
    let gateway = start(&yaml);
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(hooks.lock().unwrap().len(), first.len());
    assert_eq!(gateway.metric::<i64>("tollgate_alerts_open"), 1);
    grant(&gateway, "more", 10);
    wait("it is over", || gateway.metric::<i64>("tollgate_alerts_open") == 0);
    look_up(&gateway, 9);
    wait("it is told again", || hooks.lock().unwrap().len() > first.len());
    let last = hooks.lock().unwrap().last().unwrap().clone();
    assert_ne!(last.id, first[0].id);
    wait("it is accepted as well", || delivered(&gateway) == 1);
    let shown = alerts(&gateway, &[]);
    assert_eq!(shown.len(), 2);
    assert_eq!((&shown[0]["over_at"], &shown[0]["event"]), (&Value::Null, &json!(last.id)));
    assert_eq!(shown[1]["messages"][0]["state"], "delivered");
    assert!(shown[1]["over_at"].is_string() && shown[1]["messages"][0]["tries"].as_i64().unwrap() >= 5);
    assert_eq!(alerts(&gateway, &["--state", "open", "--account", "acme"]).len(), 1);
    assert!(!gateway.output().contains("whsec_") && !gateway.output().contains(&STANDARD.encode(SECRETS[0])));
}

#[test]
fn an_upgrade_tells_nothing_twice() {
    let (backend, scratch) = (Backend::answering_json(), Scratch::new());
    let (receiver, hooks) = receiver(|_, peer| peer.answer_with("200 OK", "", b"{}"));
    let webhook = webhook(&receiver).replace("${env:NEW}", &secret(0)).replace("${env:OLD}", &secret(1));
    let alerts = format!("  low_balance: {{ phone: 100 }}\n{webhook}");
    let mut gateway = Gateway::start_copy(&configuration(&backend, &scratch, "50", &alerts));
    wait("it is told", || hooks.lock().unwrap().len() == 1);
    for _ in 0..2 {
        assert_eq!(gateway.upgrade().0, 200);
        look_up(&gateway, 1);
    }
    // The last process looks as well, and knows what was told.
    wait("it looks", || gateway.metric::<i64>("tollgate_alerts_open") == 1);
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(hooks.lock().unwrap().len(), 1);
}

/// What is refused for good, or for too long, is given up, and everybody can see it; others are told all the same.
#[test]
fn what_is_given_up_is_visible() {
    let (backend, scratch) = (Backend::answering_json(), Scratch::new());
    let (receiver, hooks) = receiver(|_, peer| peer.answer_with("410 Gone", "", b"{}"));
    let sink = MailSink::start(|_| Conduct::Closed);
    let mail =
        format!("  mail: {{ server: 'smtp://{}', from: t@example.com, to: [ops@example.com] }}\n", sink.address());
    let alerts_of = format!("  low_balance: {{ phone: 9 }}\n  give_up_after: 3s\n{}{mail}", webhook(&receiver));
    let gateway = start(&configuration(&backend, &scratch, "5", &alerts_of));
    let given_up = |channel: &str| {
        gateway.metric::<i64>(&format!("tollgate_alerts_given_up_messages_total{{channel=\"{channel}\"}}"))
    };
    wait("both are given up", || given_up("webhook") == 1 && given_up("mail") == 1);
    assert_eq!(hooks.lock().unwrap().len(), 1, "who is gone is not asked again");
    let shown = alerts(&gateway, &[]);
    let messages: BTreeMap<&str, (&str, &str)> = shown[0]["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| {
            let text = |name: &str| message[name].as_str().unwrap();
            (text("channel"), (text("state"), text("fault")))
        })
        .collect();
    assert_eq!(messages["webhook"], ("given-up", "it answers 410"));
    assert_eq!(messages["mail"], ("given-up", "the mail server answers 421"));
    let output = gateway.output();
    assert!(output.contains("is given up: it answers 410") && !output.contains("ops@example.com"), "{output}");
}

/// The lines of a mail, unfolded.
fn unfolded(text: &str) -> String {
    text.replace("\n ", " ").replace("=\n", "")
}

/// An account's own wishes: days before a token ends, and an address; a token that is disabled and enabled again in
/// between is told once.
#[test]
fn a_token_that_ends_is_told_by_mail_to_whom_it_concerns() {
    let backend = Backend::answering_json();
    let sink = MailSink::start(|number| match number {
        0 => Conduct::Closed,
        1 => Conduct::RefuseRecipient(450),
        2 => Conduct::Die,
        _ => Conduct::Accept,
    });
    let alerts_of = format!(
        "alerts: {{ mail: {{ server: 'smtp://{}', from: gateway@example.net, timeout: 1s }} }}\n",
        sink.address()
    );
    let gateway = crate::support::api::gateway(&backend, &alerts_of);
    let (key, api) = (admin_key(&gateway), gateway.more(0));
    let made = ask(api, &key, "POST", "/accounts", &[("Idempotency-Key", "a")], &account("initech")).body;
    let path = format!("/accounts/{}", made["id"].as_str().unwrap());
    let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400;
    let day = Day(u32::try_from(today + 3).unwrap()).to_string();
    let body = json!({ "name": "wëb", "products": ["phone"], "expires": day });
    let token = ask(api, &key, "POST", &format!("{path}/tokens"), &[("Idempotency-Key", "t")], &body).body;
    let hint = token["token"]["hint"].as_str().unwrap().to_owned();
    let settings = format!("{path}/alerts/settings");
    let none = ask(api, &key, "GET", &settings, &[], &Value::Null);
    assert_eq!((none.etag.as_str(), &none.body["token_days"]), ("\"0\"", &Value::Null));
    for (body, at) in [
        (json!({ "mail": "nobody" }), "/mail"),
        (json!({ "token_days": 999 }), "/token_days"),
        (json!({ "balances": [{ "product": "nothing", "below": 1 }] }), "/balances/0/product"),
    ] {
        let refused = ask(api, &key, "PUT", &settings, &[("If-Match", "*")], &body);
        assert_eq!((refused.status, refused.body["errors"][0]["at"].as_str()), (422, Some(at)), "{}", refused.body);
    }
    let wanted = json!({ "token_days": 10, "mail": "ann@example.com" });
    assert_eq!(ask(api, &key, "PUT", &settings, &[("If-Match", "\"7\"")], &wanted).status, 412);
    let set = ask(api, &key, "PUT", &settings, &[("If-Match", "\"0\"")], &wanted);
    assert_eq!((set.status, set.etag.as_str()), (200, "\"1\""), "{}", set.body);
    let words = ["accounts", "alerts", "initech", "--token-days", "9", "--mail", "bob@example.com", "--below"];
    let nothing = tollgate(&gateway, &[&words[..], &["nothing=1"]].concat(), &[]);
    assert!(!nothing.status.success(), "no product has prices");
    let back = ["accounts", "alerts", "initech", "--below", "nothing=default", "--token-days", "8"];
    let said = String::from_utf8(tollgate(&gateway, &back, &[]).stdout).unwrap();
    assert_eq!(said, "tokens: told 8 days before the last one\nmail: ann@example.com\n");
    let told = || sink.taken().iter().filter(|taken| taken.is_told).count();
    wait("it is told", || told() == 1);
    let taken = sink.taken();
    assert!(taken.iter().all(|one| one.text == taken[0].text && one.to == "ann@example.com"), "{taken:?}");
    let text = unfolded(&taken.last().unwrap().text);
    for part in ["From: gateway@example.net", "To: ann@example.com", "Auto-Submitted: auto-generated", &*day] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let ids: Vec<&str> =
        taken.iter().filter_map(|taken| taken.text.lines().find(|line| line.starts_with("Message-ID"))).collect();
    assert!(ids.len() == taken.len() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    // Neither a pause of the token nor one of its account is a recovery.
    let of_token = format!("{path}/tokens/{}", token["token"]["id"].as_str().unwrap());
    for (act, undo) in [
        (format!("{of_token}/disable"), format!("{of_token}/enable")),
        (format!("{path}/suspend"), format!("{path}/resume")),
    ] {
        assert_eq!(ask(api, &key, "POST", &act, &[("If-Match", "*")], &Value::Null).status, 200);
        std::thread::sleep(Duration::from_secs(6));
        assert_eq!(ask(api, &key, "POST", &undo, &[("If-Match", "*")], &Value::Null).status, 200);
    }
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(told(), 1);
    let shown = ask(api, &key, "GET", &format!("{path}/alerts?state=open"), &[], &Value::Null).body;
    assert_eq!((&shown["items"][0]["last_day"], &shown["items"][0]["hint"]), (&json!(day), &json!(hint)));
    assert!(!shown.to_string().contains("ann@"), "addresses are shown with the settings alone");
    // A later last day is a recovery.
    let later = Day(u32::try_from(today + 30).unwrap()).to_string();
    assert_eq!(ask(api, &key, "PATCH", &of_token, &[("If-Match", "*")], &json!({ "expires": later })).status, 200);
    wait("it is over", || gateway.metric::<i64>("tollgate_alerts_open") == 0);
    assert!(!gateway.output().contains("ann@example.com"), "{}", gateway.output());
}
