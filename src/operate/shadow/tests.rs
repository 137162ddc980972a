//! Tests of judging twice: requests that were made up, under configurations that differ in one thing.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{ShadowDocument, Stage};
use crate::config::{self, Config, Source};
use crate::gateway::Gateway;
use crate::gateway::shadow::shadows::Shadows;
use crate::gateway::shadow::state::Why;
use crate::gateway::shadow::{Candidate, Shadow};
use crate::ledger::opening;
use crate::operate::reload::accounts::{AccountSource, beside, changes_beside};
use crate::operate::reload::shadow::watch;
use crate::platform::descriptors::Descriptors;
use crate::policy::Policy;
use crate::policy::account::directory::change::AccountChange;
use crate::policy::account::{Account, Digest};
use crate::policy::admit::Ingress;
use crate::policy::http::head::{Field, Framing, Head, Lines, Peer, Version};
use crate::policy::http::transaction_id::TransactionId;
use crate::policy::now::Now;
use crate::policy::problem::Row;
use crate::telemetry::Telemetry;
use crate::telemetry::shadow::{Begun, Over, Then};

const BASE: &str = r#"
public_url: https://api.example.com
upstreams: { lookup: { servers: ["127.0.0.1:9001"] } }
ledger: { volatile: true }
products:
  vat:
    upstream: lookup
    token_in: [header Auth-Token]
    deadline: { header: Timeout-Seconds, min: 2s, max: 15s, default: 15s }
    headers:
      Reference-ID: { pattern: "[a-z]+", problem: reference-id-invalid }
    routes:
      - route: POST /v1/vat
        body: { max: 100B, schema: { type: object } }
    answers:
      404: { status: 200, price: [{ add: 1 }] }
    credits: { hold: [{ add: 3 }], price: [{ add: 2 }] }
accounts:
  acme:
    rate: { limit: 6/h, burst: 6 }
    credits: { vat: 100 }
    tokens: [{ name: web, hash: "HASH", products: [vat] }]
"#;

/// How long a thread may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn policy(edits: &[(&str, &str)]) -> Policy {
    configuration(edits).policy
}

fn configuration(edits: &[(&str, &str)]) -> Config {
    let mut text = BASE.to_owned();
    for (old, new) in edits {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    let text = text.replace("HASH", &Digest::of(b"secret").text());
    let parsed = config::parse("f", &text, &Source::Embedded(&[]));
    let config = parsed.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    for credit_account in config.policy.credit_accounts() {
        assert!(credit_account.balance().grant(credit_account.first_grant));
    }
    config
}

fn at(second: u64) -> Now {
    Now { monotonic: Duration::from_secs(second), unix_seconds: 1_800_000_000 + second, unix_nanos: 0 }
}

/// One request, and what became of it.
#[derive(Clone)]
struct Sent {
    token: &'static [u8],
    path: &'static str,
    second: u64,
    body: Option<&'static [u8]>,
    answer: Option<&'static [u8]>,
    status: u16,
    then: Then,
    charged: u32,
    exchanged_after: Option<Duration>,
}

/// A lookup that was answered.
fn answered() -> Sent {
    Sent {
        token: b"secret",
        path: "/v1/vat",
        second: 0,
        body: Some(b"{}"),
        answer: Some(b"{\"valid\":true}"),
        status: 200,
        then: Then::Answered(200),
        charged: 2,
        exchanged_after: Some(Duration::from_millis(5)),
    }
}

/// One that was refused before it was sent; with its body if that was read.
fn refused(row: Row, slug: &str, body: Option<&'static [u8]>) -> Sent {
    let then = Then::Refused(row, slug.into());
    Sent { then, body, answer: None, status: 0, charged: 0, exchanged_after: None, ..answered() }
}

fn begin<'f>(shadow: &'f Shadow, sent: &Sent) -> Begun<'f> {
    let length = sent.body.map_or(0, <[u8]>::len).to_string();
    let fields = [
        Field { name: "Host", value: b"api.example.com" },
        Field { name: "Auth-Token", value: sent.token },
        Field { name: "Content-Type", value: b"application/json" },
        Field { name: "Content-Length", value: length.as_bytes() },
        Field { name: "Reference-ID", value: b"abc" },
    ];
    let lines = Lines { method: "POST", target: sent.path, version: Version::Http11, authority: None, fields: &fields };
    let head = Head {
        lines,
        path: sent.path,
        query: None,
        framing: Framing::Length(u64::try_from(sent.body.map_or(0, <[u8]>::len)).unwrap()),
        expects_continue: false,
        keep_alive: true,
        peer: Peer::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    };
    shadow.feed().begin(&head, Ingress::OPEN, at(sent.second)).expect("there is room")
}

fn end(mut begun: Begun<'_>, sent: &Sent) {
    sent.body.into_iter().for_each(|body| begun.body(body));
    sent.answer.into_iter().for_each(|answer| begun.answer(answer, None, false));
    begun.end(Over {
        transaction: TransactionId::EXAMPLE,
        then: sent.then.clone(),
        account: Some("acme".into()),
        body_limit: 100,
        upstream_status: sent.status,
        is_replayed: false,
        charged: sent.charged,
        exchanged_after: sent.exchanged_after,
    });
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn start(in_force: &Policy, candidate: &Policy, before_each: fn()) -> Arc<Shadow> {
    let candidate = Candidate { file: "candidate.yaml", policy: candidate, in_force, granted: Box::new(|_, _| None) };
    Shadow::start_with(candidate, at(0), before_each).unwrap()
}

/// What a candidate makes of requests, one after the other.
fn found(edits: &[(&str, &str)], requests: &[Sent]) -> ShadowDocument {
    let in_force = policy(&[]);
    let shadow = start(&in_force, &policy(edits), || {});
    for sent in requests {
        end(begin(&shadow, sent), sent);
    }
    let shadows = Shadows::default();
    shadows.begins(&shadow);
    let expected = u64::try_from(requests.len()).unwrap();
    until("all are judged", || shadow.state().tally().decisions == expected);
    let live = in_force.credit_accounts().next().unwrap().snapshot();
    assert_eq!((live.granted, live.available, live.held), (100, 100, 0), "nothing live has moved");
    let document = ShadowDocument::of(&shadows);
    assert!(shadow.state().end(Why::Dropped));
    document
}

/// The rows that change, and the prices.
fn changes(document: &ShadowDocument) -> (Vec<String>, Vec<String>) {
    let rows = document.by_row.iter().map(|row| format!("{} {} -> {}", row.count, row.then, row.now));
    let prices = document.by_price.iter().map(|price| format!("{} {} -> {}", price.count, price.then, price.now));
    (rows.collect(), prices.collect())
}

#[test]
fn the_same_policy_differs_in_nothing() {
    let gone = Sent { then: Then::Gone, charged: 0, ..answered() };
    let requests = [
        answered(),
        Sent { status: 404, answer: Some(b"{}"), charged: 1, ..answered() },
        refused(Row::BodyMalformed, "body-malformed", Some(b"{")),
        Sent { path: "/v1/none", ..refused(Row::EndpointUnknown, "endpoint-unknown", None) },
        Sent { token: b"unknown", ..refused(Row::TokenUnknown, "token-unknown", None) },
        Sent {
            exchanged_after: Some(Duration::from_secs(15)),
            ..refused(Row::DeadlineExceeded, "deadline-exceeded", Some(b"{}"))
        },
        Sent {
            exchanged_after: Some(Duration::ZERO),
            ..refused(Row::UpstreamUnavailable, "upstream-unavailable", Some(b"{}"))
        },
        refused(Row::Internal, "internal", Some(b"{}")),
        // The seventh of its hour.
        refused(Row::RateExceeded, "rate-exceeded", None),
        gone,
    ];
    let document = found(&[], &requests);
    assert_eq!((document.decisions, document.same, document.undecided), (10, 9, 1), "{document:?}");
    assert_eq!((document.credits.then, document.credits.now), (3, 3));
    assert!(document.by_row.is_empty() && document.by_price.is_empty() && document.by_account.is_empty());
}

#[test]
fn a_change_is_named_exactly() {
    let web = "products: [vat] }";
    type Table<'t> = [(&'t [(&'t str, &'t str)], Sent, &'t str, &'t str)];
    let table: &Table<'_> = &[
        (&[(web, "products: [vat], disabled: true }")], answered(), "1 answered -> token-disabled", "1 2 -> 0"),
        (
            &[(web, "products: [vat], networks: [203.0.113.0/24] }")],
            answered(),
            "1 answered -> ip-not-allowed",
            "1 2 -> 0",
        ),
        (&[("\"[a-z]+\"", "\"[x-z]+\"")], answered(), "1 answered -> reference-id-invalid", "1 2 -> 0"),
        (&[("max: 100B", "max: 1B")], answered(), "1 answered -> body-too-large", "1 2 -> 0"),
        (&[("type: object", "type: array")], answered(), "1 answered -> body-invalid", "1 2 -> 0"),
        (&[("price: [{ add: 2 }]", "price: [{ add: 3 }]")], answered(), "", "1 2 -> 3"),
        (
            &[("price: [{ add: 2 }]", "price: [{ add: 2 }, { add: 1, if: { answer: /valid, is: true } }]")],
            answered(),
            "",
            "1 2 -> 3",
        ),
        (
            &[("404: { status: 200, price: [{ add: 1 }] }", "410: { status: 200 }")],
            Sent { status: 404, answer: Some(b"{}"), charged: 1, ..answered() },
            "1 answered -> upstream-failed",
            "1 1 -> 0",
        ),
        (&[("credits: { vat: 100 }", "credits: { vat: unmetered }")], answered(), "", "1 2 -> 0"),
        (
            &[("default: 15s", "default: 2s")],
            Sent { exchanged_after: Some(Duration::from_secs(3)), ..answered() },
            "1 answered -> deadline-exceeded",
            "1 2 -> 0",
        ),
        (&[("POST /v1/vat", "PUT /v1/vat")], answered(), "1 answered -> endpoint-unknown", "1 2 -> 0"),
        (&[], refused(Row::TokenDisabled, "token-disabled", None), "1 token-disabled -> let further", ""),
        (
            &[("type: object", "type: [object, array]")],
            refused(Row::BodyInvalid, "body-invalid", Some(b"[]")),
            "1 body-invalid -> let further",
            "",
        ),
        (
            &[],
            refused(Row::CreditsInsufficient, "credits-insufficient", Some(b"{}")),
            "1 credits-insufficient -> let further",
            "",
        ),
        (
            &[("max: 100B", "max: 200B")],
            refused(Row::BodyTooLarge, "body-too-large", None),
            "1 body-too-large -> let further",
            "",
        ),
    ];
    for (edits, sent, row, price) in table {
        let document = found(edits, std::slice::from_ref(sent));
        let expected = |text: &str| if text.is_empty() { Vec::new() } else { vec![text.to_owned()] };
        assert_eq!(changes(&document), (expected(row), expected(price)), "{edits:?} {document:?}");
        assert_eq!(document.by_account.len(), 1);
    }
}

#[test]
fn rates_and_balances_begin_with_what_is_used_and_count_for_themselves() {
    let rate = ("limit: 6/h, burst: 6", "limit: 2/h, burst: 2");
    let at_second = |second| Sent { second, ..answered() };
    let document = found(&[rate], &[at_second(0), at_second(1), at_second(2), at_second(3)]);
    assert_eq!(changes(&document).0, ["2 answered -> rate-exceeded"]);
    assert_eq!(document.by_row[0].examples.len(), 2);

    let in_force = policy(&[]);
    let account = in_force.accounts.by_name("acme").unwrap();
    assert_eq!([account.rate.take(at(0)), account.rate.take(at(0))], [Ok(()), Ok(())]);
    let credits = in_force.credit_accounts().next().unwrap();
    credits.hold(94).unwrap().settle(94);
    let shadow = start(&in_force, &policy(&[]), || {});
    for _ in 0..5 {
        end(begin(&shadow, &answered()), &answered());
    }
    until("all are judged", || shadow.state().tally().decisions == 5);
    let rows: Vec<_> = shadow.state().tally().rows.keys().cloned().collect();
    // Four of the rate are left, and six credits, of which each holds three and pays two.
    assert_eq!(rows, [("answered".into(), "credits-insufficient".into()), ("answered".into(), "rate-exceeded".into())]);
    assert_eq!(account.rate.take(at(0)), Ok(()));
    assert_eq!(credits.snapshot().available, 6);
}

#[test]
fn what_was_granted_meanwhile_is_granted_to_the_copy() {
    let in_force = policy(&[]);
    let candidate = policy(&[]);
    let credits = Arc::clone(in_force.credit_accounts().next().unwrap());
    credits.hold(100).unwrap().settle(100);
    let live = Arc::clone(&credits);
    let granted = Box::new(move |_: &str, _: &str| Some(live.snapshot().granted));
    let shadow =
        Shadow::start(Candidate { file: "candidate.yaml", policy: &candidate, in_force: &in_force, granted }, at(0))
            .unwrap();
    for (grant, expected) in [(0, "credits-insufficient"), (50, "answered")] {
        assert!(credits.balance().grant(grant));
        let before = shadow.state().tally().clone();
        end(begin(&shadow, &answered()), &answered());
        until("it is judged", || shadow.state().tally().decisions == before.decisions + 1);
        let is_same = shadow.state().tally().same > before.same;
        assert_eq!(is_same, expected == "answered");
    }
}

#[test]
fn a_candidate_that_panics_or_is_slow_ends_and_nobody_waits() {
    let panics: fn() = || panic!("on purpose");
    let spins: fn() = || {
        let begun = crate::platform::pace::used();
        while crate::platform::pace::used() - begun < Duration::from_millis(400) {
            std::hint::spin_loop();
        }
    };
    for (hook, why) in [(panics, Why::Panicked), (spins, Why::Slow)] {
        let in_force = policy(&[]);
        let shadow = start(&in_force, &policy(&[]), hook);
        let begun = Instant::now();
        end(begin(&shadow, &answered()), &answered());
        let took = begun.elapsed();
        until("it ends", || shadow.state().ended().is_some());
        assert_eq!(shadow.state().ended().map(|(why, _)| why), Some(why));
        assert!(took < Duration::from_millis(300), "{took:?}");
        let shadows = Shadows::default();
        shadows.begins(&shadow);
        assert_eq!((ShadowDocument::of(&shadows).state, shadows.running().is_none()), (Stage::Ended, true));
        assert!(shadows.ended().contains(&(why, 1)));
    }
}

#[test]
fn what_does_not_fit_is_lost_and_counted() {
    let in_force = policy(&[]);
    // It judges nothing before it is told to.
    static GO: AtomicBool = AtomicBool::new(false);
    let shadow = start(&in_force, &policy(&[]), || {
        while !GO.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let most = crate::telemetry::shadow::MOST_OPEN;
    let open: Vec<Begun<'_>> = (0..most).map(|_| begin(&shadow, &answered())).collect();
    let fields = [Field { name: "Host", value: b"api.example.com" }];
    let lines = Lines { fields: &fields, target: "/", method: "GET", ..Lines::UNREADABLE };
    let head = Head {
        lines,
        path: "/",
        query: None,
        framing: Framing::None,
        expects_continue: false,
        keep_alive: true,
        peer: Peer::Local,
    };
    assert!(shadow.feed().begin(&head, Ingress::OPEN, at(0)).is_none());
    assert_eq!(shadow.state().queued().lost(), 1);
    open.into_iter().for_each(|begun| end(begun, &answered()));
    GO.store(true, Ordering::Relaxed);
    until("all are judged", || shadow.state().tally().decisions == u64::try_from(most).unwrap());
    assert!(shadow.feed().begin(&head, Ingress::OPEN, at(0)).is_some(), "there is room again");
}

fn gateway() -> Gateway {
    let config = configuration(&[]);
    let (policy, started) = (Arc::new(config.policy), Instant::now());
    let ledger = opening::start(config.ledger, &policy, started, None);
    let descriptors = Descriptors::claim().unwrap();
    Gateway::new(policy, config.settings, ledger, Arc::new(Telemetry::default()), descriptors, started)
}

/// Nobody can stop a thread that does not come to an end, but requests leave it nothing any more.
#[test]
fn a_candidate_that_does_not_come_to_an_end_is_let_go_after_ten_seconds() {
    static GO: AtomicBool = AtomicBool::new(false);
    static IS_STUCK: AtomicBool = AtomicBool::new(false);
    let gateway = gateway();
    let candidate = Candidate {
        file: "candidate.yaml",
        policy: &policy(&[]),
        in_force: &gateway.snapshot().policy,
        granted: Box::new(|_, _| None),
    };
    let stuck: fn() = || {
        IS_STUCK.store(true, Ordering::Relaxed);
        while !GO.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let shadow = Shadow::start_with(candidate, at(0), stuck).unwrap();
    gateway.shadows().begins(&shadow);
    gateway.shadow_by(Some(Arc::clone(&shadow)));
    // Nothing is under way yet, for however long.
    assert!(watch(&gateway, Instant::now() + Duration::from_secs(60)).is_none());
    let sent = begin(&shadow, &answered());
    until("it is stuck", || IS_STUCK.load(Ordering::Relaxed));
    let now = Instant::now();
    assert!(watch(&gateway, now + Duration::from_secs(9)).is_none() && shadow.state().ended().is_none());
    assert!(watch(&gateway, now + Duration::from_secs(11)).is_some(), "the snapshot before comes back");
    assert_eq!(shadow.state().ended().map(|(why, _)| why), Some(Why::Slow));
    assert!(gateway.snapshot().shadow.is_none() && gateway.shadows().running().is_none());
    assert!(watch(&gateway, now + Duration::from_secs(12)).is_none(), "it is let go once");
    // A request that has begun ends as ever.
    end(sent, &answered());
    GO.store(true, Ordering::Relaxed);
    assert_eq!(shadow.state().tally().decisions, 0);
}

/// A store with some accounts.
struct Stored(Vec<Arc<Account>>);

impl AccountSource for Stored {
    fn compile_all(&self, _policy: &Policy) -> Vec<Arc<Account>> {
        unreachable!("a candidate is not in force")
    }

    fn named(&self, _policy: &Policy, names: &[Arc<str>]) -> Result<Vec<Arc<Account>>, String> {
        let found = self.0.iter().filter(|account| names.contains(&account.name));
        if names.iter().any(|name| &**name == "damaged") { Err("damaged".into()) } else { Ok(found.cloned().collect()) }
    }
}

#[test]
fn a_candidate_has_the_accounts_that_the_store_would_give_it() {
    let store = ("ledger: { volatile: true }", "ledger: { file: ledger.db }\nstore: { sqlite: store.db }");
    let account = Arc::clone(policy(&[]).accounts.by_name("acme").unwrap());
    let stored = Stored(vec![Arc::clone(&account)]);
    let in_force = policy(&[store]);
    let another_product = ("products: [vat]", "products: [vat, two]");
    let two =
        ("accounts:", "  two: { upstream: lookup, routes: [POST /two], token_in: [header Auth-Token] }\naccounts:");
    let no_file = ("acme:", "other:");

    // It is in a file of the policy in force, and in none of the candidate's.
    for edits in [&[store, no_file][..], &[store, no_file, two, another_product]] {
        let mut candidate = policy(edits);
        // The file's account has the token of the stored one.
        candidate = candidate.alone(None, || {});
        beside(&mut candidate, &in_force, Some(&stored)).unwrap();
        assert!(candidate.accounts.by_name("acme").is_some(), "{edits:?}");
    }
    let mut without = policy(&[no_file]);
    beside(&mut without, &in_force, Some(&stored)).unwrap();
    assert!(without.accounts.by_name("acme").is_none(), "a candidate without a store has none of its accounts");

    let names = |changes: &[AccountChange]| {
        let name = |change: &AccountChange| match change {
            AccountChange::Put(account) => format!("put {}", account.name),
            AccountChange::Remove(name) => format!("remove {name}"),
        };
        changes.iter().map(name).collect::<Vec<_>>()
    };
    let changes = [AccountChange::Put(account), AccountChange::Remove("gone".into())];
    let of = |candidate: &Policy, changes: &[AccountChange]| {
        changes_beside(changes, (candidate, &in_force), Some(&stored)).map(|changes| names(&changes))
    };
    assert_eq!(of(&policy(&[store]), &changes).unwrap(), ["put acme", "remove gone"]);
    assert_eq!(of(&policy(&[]), &changes).unwrap(), [""; 0]);
    let other = policy(&[store, two, another_product]);
    assert_eq!(of(&other, &changes).unwrap(), ["remove gone", "put acme"], "as the store says now");
    assert_eq!(of(&other, &[AccountChange::Remove("damaged".into())]).unwrap_err(), "damaged");
}
