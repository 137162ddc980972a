//! Several servers of one upstream: turns, ejection and return, and that a request reaches one of
//! them, once.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::{
    ANSWER, After, Authority, Backend, CANARY, Configuration, Gateway, Request, Response, TlsBackend, VERSIONS,
    Version, closed_port, directory, until,
};

/// A switch that changes the behaviour of a backend.
#[derive(Clone, Default)]
struct Switch(Arc<AtomicBool>);

impl Switch {
    fn turn(&self, on: bool) {
        self.0.store(on, Ordering::SeqCst);
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Waits within a backend's behaviour for as long as the switch is on.
    fn wait(&self) {
        until("a backend is let go on", || !self.is_on());
    }
}

/// A backend that says 503 while the switch is on, and answers well while it is off.
fn failing_while(switch: &Switch) -> Backend {
    let switch = switch.clone();
    Backend::start(move |peer, _| match switch.is_on() {
        true => peer.answer_with("503 Service Unavailable", "", b""),
        false => peer.answer(ANSWER),
    })
}

/// A backend that keeps requests waiting while the switch is on.
fn holding_while(switch: &Switch) -> Backend {
    let switch = switch.clone();
    Backend::start(move |peer, _| {
        switch.wait();
        peer.answer(ANSWER)
    })
}

fn start(upstream: &str) -> Gateway {
    Gateway::start(&Configuration::of_upstream(upstream).yaml())
}

/// A lookup of one of two accounts, which have two turns each: no account alone shuts others out.
fn look_up(gateway: &Gateway) -> Response {
    thread_local! {
        static TURN: Cell<usize> = const { Cell::new(0) };
    }
    let turn = TURN.replace(TURN.get() + 1);
    look_up_as(gateway, ["live", "live", "second", "second"][turn % 4])
}

fn look_up_as(gateway: &Gateway, account: &str) -> Response {
    gateway.send(Version::Http1, &Request::lookup(account))
}

/// How many lookups have reached a backend; checks are something else.
fn lookups(backend: &Backend) -> usize {
    backend.requests().iter().filter(|request| request.starts_with(b"POST ")).count()
}

/// A page of the admin listener.
fn page(gateway: &Gateway, path: &str) -> String {
    let (status, body) = gateway.ask_admin("GET", path, &[], "");
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// The upstream as the admin listener shows it.
fn shown(gateway: &Gateway) -> Value {
    let all: Value = serde_json::from_str(&page(gateway, "/upstreams")).unwrap();
    let upstreams = all["upstreams"].as_array().unwrap();
    upstreams.iter().find(|upstream| upstream["name"] == "lookup").unwrap().clone()
}

fn state(gateway: &Gateway, address: SocketAddr) -> String {
    let shown = shown(gateway);
    let servers = shown["servers"].as_array().unwrap();
    let server = servers.iter().find(|server| server["address"] == address.to_string());
    server.unwrap_or_else(|| panic!("{address} in {shown}"))["state"].as_str().unwrap().to_owned()
}

/// The value of a metric, by its name and labels.
fn metric(gateway: &Gateway, name: &str) -> u64 {
    let text = page(gateway, "/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {text}"));
    line.trim().parse().unwrap()
}

fn lines_with(gateway: &Gateway, text: &str) -> usize {
    gateway.output().lines().filter(|line| line.contains(text)).count()
}

#[test]
fn weights_are_kept_to_the_request() {
    let [one, three, four] = [(); 3].map(|()| Backend::answering_json());
    let gateway = start(&format!(
        "servers: [{}, {{ address: \"{}\", weight: 3 }}, {{ address: \"{}\", weight: 4 }}]",
        one.address(),
        three.address(),
        four.address()
    ));
    for _ in 0..40 {
        look_up(&gateway).assert_success();
    }
    assert_eq!([&one, &three, &four].map(lookups), [5, 15, 20]);
    let servers = shown(&gateway)["servers"].clone();
    assert_eq!(
        (&servers[1]["weight"], &servers[1]["in_flight"], &servers[1]["state"]),
        (&3.into(), &0.into(), &"healthy".into())
    );
}

#[test]
fn a_dead_server_is_left_out_and_comes_back() {
    let alive = Backend::answering_json();
    let dead = closed_port();
    let gateway = start(&format!("servers: [{dead}, {}], ejection: {{ failures: 2, time: 1s }}", alive.address()));
    for version in VERSIONS {
        for _ in 0..4 {
            gateway.send(version, &Request::lookup("live")).assert_success();
        }
    }
    assert_eq!(lookups(&alive), 8);
    assert!(metric(&gateway, "tollgate_upstream_retries_total{upstream=\"lookup\"}") >= 2);
    assert!(metric(&gateway, "tollgate_upstream_ejections_total{upstream=\"lookup\"}") >= 1);
    until("that is told", || lines_with(&gateway, "is ejected for 1s") >= 1);
    let back = Backend::start_at(dead, |peer, _| peer.answer(ANSWER));
    until("the server gets requests again", || {
        look_up(&gateway).assert_success();
        lookups(&back) > 1
    });
    until("that is told", || lines_with(&gateway, "gets requests again") >= 1);
    assert_eq!(state(&gateway, dead), "healthy");
    let up = format!("tollgate_upstream_server_up{{upstream=\"lookup\",server=\"{dead}\"}}");
    assert_eq!(metric(&gateway, &up), 1);
}

/// One server without checks, as `tollgate init` writes it: it is not left out, however often nobody was there.
#[test]
fn a_backend_that_starts_after_the_gateway_gets_the_next_request() {
    let later = closed_port();
    let gateway = start(&format!("servers: [{later}]"));
    for _ in 0..20 {
        look_up(&gateway).assert_problem("upstream-unavailable");
    }
    let backend = Backend::start_at(later, |peer, _| peer.answer(ANSWER));
    look_up(&gateway).assert_success();
    assert_eq!(backend.count("POST "), 1);
}

#[test]
fn a_failing_server_is_ejected_once_and_comes_back() {
    let (out_of_order, never) = (Switch::default(), Switch::default());
    let [bad, good] = [&out_of_order, &never].map(failing_while);
    out_of_order.turn(true);
    let servers = format!("servers: [{}, {}]", bad.address(), good.address());
    let gateway = start(&format!("{servers}, ejection: {{ failures: 3, time: 1h }}"));
    let failures = (0..20).filter(|_| look_up(&gateway).status() == 503).count();
    assert_eq!((failures, lookups(&bad), lookups(&good)), (3, 3, 17));
    assert_eq!(state(&gateway, bad.address()), "ejected");
    until("that is told", || lines_with(&gateway, "is ejected") == 1);
    let up = format!("tollgate_upstream_server_up{{upstream=\"lookup\",server=\"{}\"}}", bad.address());
    assert_eq!(metric(&gateway, &up), 0);
    assert_eq!(metric(&gateway, "tollgate_upstream_retries_total{upstream=\"lookup\"}"), 0, "503 is an answer");
    // The last one is never ejected.
    never.turn(true);
    assert!((0..20).all(|_| look_up(&gateway).status() == 503));
    assert_eq!((lookups(&bad), lookups(&good)), (3, 37));

    let gateway = start(&format!("{servers}, ejection: {{ failures: 1, time: 50ms }}"));
    never.turn(false);
    until("an ejection", || look_up(&gateway).status() == 503);
    out_of_order.turn(false);
    let before = lookups(&bad);
    until("the server gets requests again", || {
        look_up(&gateway).assert_success();
        lookups(&bad) > before
    });
}

#[test]
fn a_server_that_says_nothing_for_too_long_has_failed() {
    let (silent, good) = (Backend::silent(), Backend::answering_json());
    let servers = format!("servers: [{}, {}]", silent.address(), good.address());
    for (slow_after, state_then) in [("1h", "healthy"), ("1s", "ejected")] {
        let gateway = start(&format!("{servers}, slow_after: {slow_after}, ejection: {{ failures: 1, time: 1h }}"));
        for (account, state_then) in [("live", "healthy"), ("second", state_then)] {
            let request = Request::lookup(account).with("Timeout-Seconds", "2");
            until("it has the silent server's turn", || {
                let response = gateway.send(Version::Http1, &request);
                let waited = response.status() == 408;
                if waited {
                    response.assert_problem("deadline-exceeded");
                }
                waited
            });
            assert_eq!(state(&gateway, silent.address()), state_then, "{slow_after} {account}");
        }
        // A request that has timed out there is not sent there again.
        if slow_after == "1s" {
            (0..4).for_each(|_| look_up_as(&gateway, "live").assert_success());
        }
    }
}

#[test]
fn health_checks_turn_servers_off_and_on() {
    let unwell = Switch::default();
    let switch = unwell.clone();
    let checked = Backend::start(move |peer, request| match request.starts_with(b"GET /healthz?deep HTTP/1.1\r\n") {
        true if switch.is_on() => peer.answer_with("500 Internal Server Error", "", b""),
        true => peer.answer_with("204 No Content", "", b""),
        false => peer.answer(ANSWER),
    });
    let later = closed_port();
    let gateway = start(&format!(
        "servers: [{}, {later}], host: lookup.internal, add_headers: {{ X-Key: \"{CANARY}-key\" }}, \
         health_check: {{ path: \"/healthz?deep\", status: 204, interval: 50ms, timeout: 10s, failures: 2, successes: 2 }}",
        checked.address()
    ));
    until("one is found to be down", || state(&gateway, later) == "unhealthy");
    assert_eq!(state(&gateway, checked.address()), "healthy");
    let before = metric(&gateway, "tollgate_upstream_retries_total{upstream=\"lookup\"}");
    for _ in 0..10 {
        look_up(&gateway).assert_success();
    }
    assert_eq!(metric(&gateway, "tollgate_upstream_retries_total{upstream=\"lookup\"}"), before, "nobody tries it");

    unwell.turn(true);
    until("the other is down as well", || state(&gateway, checked.address()) == "unhealthy");
    let (refused, sent) = (look_up(&gateway), lookups(&checked));
    refused.assert_problem("upstream-unavailable");
    assert_eq!(refused.header("Retry-After"), Some("1"));
    let up = format!("tollgate_upstream_server_up{{upstream=\"lookup\",server=\"{}\"}}", checked.address());
    assert_eq!(metric(&gateway, &up), 0);
    unwell.turn(false);
    until("it is up again", || state(&gateway, checked.address()) == "healthy");
    look_up(&gateway).assert_success();
    assert_eq!(lookups(&checked), sent + 1);
    assert!(metric(&gateway, "tollgate_upstream_health_check_failures_total{upstream=\"lookup\"}") >= 4);
    for told in [
        format!("{} is unhealthy: the answer had another status", checked.address()),
        format!("{later} is unhealthy: no connection could be made"),
        format!("{} is healthy", checked.address()),
    ] {
        until(&told, || lines_with(&gateway, &told) == 1);
    }
    let check = checked.requests().into_iter().find(|request| request.starts_with(b"GET ")).unwrap();
    let check = String::from_utf8(check).unwrap();
    assert!(check.contains("\r\nHost: lookup.internal\r\n") && check.contains("\r\nX-Key: c4n4ry-key\r\n"), "{check}");
}

#[test]
fn a_check_by_connecting_sends_nothing() {
    let good = Backend::answering_json();
    let later = closed_port();
    let gateway = start(&format!(
        "servers: [{}, {later}], health_check: {{ tcp: true, interval: 50ms, timeout: 10s, failures: 1, successes: 1 }}",
        good.address()
    ));
    until("one is found to be down", || state(&gateway, later) == "unhealthy");
    look_up(&gateway).assert_success();
    let back = Backend::start_at(later, |peer, _| peer.answer(ANSWER));
    until("it is up", || state(&gateway, later) == "healthy");
    until("it gets requests", || {
        look_up(&gateway).assert_success();
        lookups(&back) > 0
    });
    assert_eq!(good.requests().len(), lookups(&good), "nothing but lookups");
}

#[test]
fn the_breaker_opens_fails_fast_and_tries_its_way_back() {
    let (out_of_order, held) = (Switch::default(), Switch::default());
    let switches = (out_of_order.clone(), held.clone());
    let backend = Backend::start(move |peer, _| {
        switches.1.wait();
        match switches.0.is_on() {
            true => peer.answer_with("502 Bad Gateway", "", b""),
            false => peer.answer(ANSWER),
        }
    });
    let with_breaker = |open_for: &str| {
        let breaker = format!("breaker: {{ failures: 3, error_percent: 0, open_for: {open_for} }}");
        start(&format!("servers: [{}], {breaker}", backend.address()))
    };
    let fail_until_open = |gateway: &Gateway| {
        until("the breaker opens", || {
            look_up(gateway).assert_problem("upstream-unavailable");
            shown(gateway)["breaker"] != "closed"
        });
    };
    out_of_order.turn(true);
    let gateway = with_breaker("1h");
    assert_eq!(shown(&gateway)["breaker"], "closed");
    assert_eq!(metric(&gateway, "tollgate_upstream_breaker_open{upstream=\"lookup\"}"), 0);
    fail_until_open(&gateway);
    assert_eq!(shown(&gateway)["breaker"], "open");
    assert_eq!(metric(&gateway, "tollgate_upstream_breaker_open{upstream=\"lookup\"}"), 1);
    for version in VERSIONS {
        let refused = gateway.send(version, &Request::lookup("live"));
        refused.assert_problem("upstream-unavailable");
        assert!((3500..=3600).contains(&refused.number("Retry-After")));
    }
    assert_eq!(lookups(&backend), 3, "nothing passes");

    let gateway = with_breaker("50ms");
    fail_until_open(&gateway);
    // Trials that fail keep it open; then one is held, and nobody else passes.
    until("trials", || {
        look_up(&gateway).assert_problem("upstream-unavailable");
        lookups(&backend) >= 8
    });
    held.turn(true);
    out_of_order.turn(false);
    let before = lookups(&backend);
    std::thread::scope(|scope| {
        let dry_run = scope.spawn(|| until("a trial succeeds", || look_up(&gateway).status() == 200));
        backend.wait_for_requests(before + 1);
        for _ in 0..5 {
            let refused = look_up(&gateway);
            refused.assert_problem("upstream-unavailable");
            assert_eq!(refused.header("Retry-After"), Some("1"));
        }
        assert_eq!(lookups(&backend), before + 1, "one at a time");
        assert_eq!(shown(&gateway)["breaker"], "half-open");
        held.turn(false);
        dry_run.join().unwrap();
    });
    for _ in 0..5 {
        look_up(&gateway).assert_success();
    }
    assert_eq!(shown(&gateway)["breaker"], "closed");
    for told in ["upstream lookup: the breaker is open", "upstream lookup: the breaker is closed"] {
        until(told, || lines_with(&gateway, told) == 1);
    }
}

#[test]
fn only_failures_of_the_server_open_the_breaker() {
    let statuses = Arc::new(AtomicUsize::new(0));
    let next = Arc::clone(&statuses);
    let backend = Backend::start(move |peer, _| {
        let answers =
            ["400 Bad Request", "404 Not Found", "408 Request Timeout", "429 Too Many", "500 Error", "200 OK"];
        peer.answer_with(answers[next.fetch_add(1, Ordering::SeqCst) % answers.len()], "", b"{}")
    });
    let breaker = "breaker: { failures: 1, error_percent: 1, min_requests: 1, open_for: 1h }";
    let gateway = start(&format!("servers: [{}], {breaker}", backend.address()));
    for _ in 0..12 {
        look_up(&gateway);
    }
    assert_eq!((lookups(&backend), shown(&gateway)["breaker"].as_str()), (12, Some("closed")));
    for answer in ["", "garbage\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<a/>"] {
        let backend = Backend::start(move |peer, _| {
            peer.send(answer);
            After::Close
        });
        let gateway = start(&format!("servers: [{}], {breaker}", backend.address()));
        for (account, reached, state) in
            [("live", 1, "closed"), ("live", 1, "closed"), ("second", 2, "open"), ("second", 2, "open")]
        {
            look_up_as(&gateway, account);
            assert_eq!((lookups(&backend), shown(&gateway)["breaker"].as_str()), (reached, Some(state)), "{answer}");
        }
        look_up_as(&gateway, "live").assert_problem("upstream-unavailable");
    }
}

/// Lookups that are slow by their input, given up by their clients or at their deadlines: however many
/// there are of one account, others are served, and nobody's server is ejected.
#[test]
fn what_one_account_gives_up_shuts_nobody_else_out() {
    let [first, second] = [(); 2].map(|()| {
        Backend::start(|peer, request| match String::from_utf8_lossy(request).contains("?slow") {
            true => peer.wait_for_close(),
            false => peer.answer(ANSWER),
        })
    });
    let rules = "slow_after: 50ms, ejection: { failures: 5, time: 1h }, \
                 breaker: { failures: 5, error_percent: 50, min_requests: 20, open_for: 1h }";
    let gateway = start(&format!("servers: [{}, {}], {rules}", first.address(), second.address()));
    let slow = Request::lookup("live").target("/phone/validate/v2?slow");
    let mut given_up: Vec<_> = (0..40).map(|_| gateway.connect()).collect();
    given_up.iter_mut().for_each(|client| client.request(&slow));
    until("all are under way", || lookups(&first) + lookups(&second) == 40);
    std::thread::sleep(std::time::Duration::from_millis(80));
    drop(given_up);
    until("they have ended", || first.all_closed() && second.all_closed());
    until("that has counted", || {
        metric(&gateway, "tollgate_upstream_accounts_shut_out_total{upstream=\"lookup\"}") > 0
    });
    assert_eq!(shown(&gateway)["breaker"], "closed");
    for backend in [&first, &second] {
        assert_eq!(state(&gateway, backend.address()), "healthy");
    }
    for version in VERSIONS {
        for _ in 0..20 {
            gateway.send(version, &Request::lookup("second")).assert_success();
        }
    }
    assert_eq!(metric(&gateway, "tollgate_upstream_ejections_total{upstream=\"lookup\"}"), 0);
    assert_eq!(metric(&gateway, "tollgate_upstream_breaker_open{upstream=\"lookup\"}"), 0);
    // Its own requests it has shut out, and the log says so.
    look_up_as(&gateway, "live").assert_problem("upstream-unavailable");
    until("that is told", || lines_with(&gateway, "requests of account main are refused for") == 1);
}

#[test]
fn full_servers_are_unavailable_for_a_second() {
    let held = Switch::default();
    let [one, two] = [(); 2].map(|()| holding_while(&held));
    held.turn(true);
    let gateway = start(&format!(
        "servers: [{{ address: \"{}\", max_requests: 1 }}, {{ address: \"{}\", max_requests: 2 }}]",
        one.address(),
        two.address()
    ));
    std::thread::scope(|scope| {
        let waiting = [(); 3].map(|()| scope.spawn(|| look_up(&gateway).assert_success()));
        one.wait_for_requests(1);
        two.wait_for_requests(2);
        for version in VERSIONS {
            let refused = gateway.send(version, &Request::lookup("live"));
            refused.assert_problem("upstream-unavailable");
            assert_eq!(refused.header("Retry-After"), Some("1"));
        }
        let servers = shown(&gateway)["servers"].clone();
        assert_eq!([0, 1].map(|place| servers[place]["in_flight"].as_u64()), [Some(1), Some(2)]);
        held.turn(false);
        for request in waiting {
            request.join().unwrap();
        }
    });
    assert_eq!((lookups(&one), lookups(&two)), (1, 2));
    for _ in 0..4 {
        look_up(&gateway).assert_success();
    }
}

#[test]
fn requests_and_checks_are_only_for_the_server_with_the_right_certificate() {
    let (authority, stranger) = (Authority::new("of the backend"), Authority::new("of somebody else"));
    for (check, wrong) in [
        ("", stranger.issue(&["lookup.internal"])),
        ("path: /healthz, ", stranger.issue(&["lookup.internal"])),
        ("path: /healthz, ", authority.issue(&["localhost", "127.0.0.1"])),
        ("tcp: true, ", stranger.issue(&["lookup.internal"])),
    ] {
        let wrong = TlsBackend::start(&wrong, None);
        let right = TlsBackend::start(&authority.issue(&["lookup.internal"]), None);
        let rule = match check {
            "" => String::new(),
            _ => format!(", health_check: {{ {check}interval: 50ms, timeout: 10s, failures: 2, successes: 1 }}"),
        };
        // A server that has a name of its own is verified by that of the upstream as well.
        let upstream = format!(
            "servers: [{}, \"localhost:{}\"], host: lookup.internal, tls: {{ ca: ca.pem }}, connect_timeout: 10s, \
             ejection: {{ failures: 0 }}{rule}",
            wrong.address(),
            right.address().port()
        );
        let yaml = Configuration::of_upstream(&upstream).yaml();
        let gateway = Gateway::start_with_files(&yaml, &[("ca.pem", authority.pem())]);
        if !check.is_empty() {
            until("it is found out", || state(&gateway, wrong.address()) == "unhealthy");
            let told = format!("{} is unhealthy: the certificate of the server is not accepted", wrong.address());
            until("that is told", || lines_with(&gateway, &told) == 1);
            until("the other one is checked", || right.handshakes() > 1);
        }
        until("the other one is known", || state(&gateway, right.address()) == "healthy");
        for version in VERSIONS {
            for _ in 0..3 {
                gateway.send(version, &Request::lookup("live")).assert_success();
            }
        }
        // Without checks it is found out with each request anew.
        let retries = metric(&gateway, "tollgate_upstream_retries_total{upstream=\"lookup\"}");
        assert_eq!(retries == 0, !check.is_empty(), "{check}: {retries} retries");
        assert!(wrong.refused() > 0, "{check}");
        assert_eq!((wrong.handshakes(), wrong.requests()), (0, 0), "{check}");
        assert!(if check.starts_with("path") { right.requests() > 6 } else { right.requests() == 6 }, "{check}");
        assert!(right.names().iter().all(|name| name.as_deref() == Some("lookup.internal")), "{check}");
    }
}

#[test]
fn renewed_authorities_reach_every_server() {
    let (old, new) = (Authority::new("of old"), Authority::new("of now"));
    let backends = [(); 2].map(|()| TlsBackend::start(&new.issue(&["localhost"]), None));
    let [one, two] = [0, 1].map(|place: usize| backends[place].address());
    // Without a host, the name is that of the first server.
    let upstream = format!(
        "servers: [\"localhost:{}\", {two}], tls: {{ ca: ca.pem }}, connect_timeout: 10s, \
         health_check: {{ path: /healthz, interval: 50ms, timeout: 10s, failures: 1, successes: 1 }}",
        one.port()
    );
    let yaml = Configuration::of_upstream(&upstream).yaml();
    let gateway = Gateway::start_with_files(&yaml, &[("ca.pem", old.pem())]);
    let all_are = |wanted: &str| [one, two].iter().all(|address| state(&gateway, *address) == wanted);
    until("the name is resolved", || shown(&gateway)["servers"][0]["state"] != "unresolved");
    until("both are found out", || all_are("unhealthy"));
    look_up(&gateway).assert_problem("upstream-unavailable");
    gateway.replace("ca.pem", new.pem());
    until("that is told", || lines_with(&gateway, "the certificates of upstream lookup were renewed") == 1);
    until("both are taken back", || all_are("healthy"));
    for _ in 0..4 {
        look_up(&gateway).assert_success();
    }
    assert!(backends.iter().all(|backend| backend.names().iter().all(|name| name.as_deref() == Some("localhost"))));
}

#[test]
fn names_are_resolved_and_those_that_cannot_be_do_no_harm() {
    let backend = Backend::answering_json();
    let port = backend.address().port();
    let gateway = start(&format!("servers: [nobody.invalid:80, \"localhost:{port}\"], resolve_every: 50ms"));
    until("the name is resolved", || look_up(&gateway).status() == 200);
    until("every turn is its", || (0..4).all(|_| look_up(&gateway).status() == 200));
    let shown = shown(&gateway);
    let servers = shown["servers"].as_array().unwrap();
    let of = |name: &str| servers.iter().find(|server| server["server"] == name).unwrap();
    assert_eq!(of("nobody.invalid:80")["state"], "unresolved");
    assert!(servers.iter().any(|server| server["address"] == format!("127.0.0.1:{port}")), "{shown}");
    let request = String::from_utf8(backend.last_request()).unwrap();
    assert!(request.contains("\r\nHost: nobody.invalid:80\r\n"), "the first server's name: {request}");

    let gateway = start("servers: [nobody.invalid:80]");
    for version in VERSIONS {
        let refused = gateway.send(version, &Request::lookup("live"));
        refused.assert_problem("upstream-unavailable");
        assert_eq!(refused.header("Retry-After"), Some("1"));
    }
    assert_eq!(metric(&gateway, "tollgate_upstream_server_up{upstream=\"lookup\",server=\"nobody.invalid:80\"}"), 0);
    until("it is told", || lines_with(&gateway, "nobody.invalid cannot be resolved; it gets no requests yet") == 1);
}

#[test]
fn added_headers_reach_the_backend_and_are_shown_to_nobody() {
    let secret = std::env::temp_dir().join(format!("tollgate-test-key-{}", std::process::id()));
    std::fs::write(&secret, format!("{CANARY}-backend-key\n")).unwrap();
    let backend = Backend::start(|peer, _| peer.answer_with("401 Unauthorized", "", b"{}"));
    let gateway = start(&format!(
        "servers: [{}], add_headers: {{ Authorization: \"Bearer ${{file:{}}}\", X-From: \"${{env:CARGO_PKG_NAME}}\" }}",
        backend.address(),
        secret.display()
    ));
    std::fs::remove_file(&secret).unwrap();
    for version in VERSIONS {
        // What a client sends under the same name is not passed on.
        let request = Request::lookup("live").with("authorization", "Basic guess").with("X-FROM", "nowhere");
        let response = gateway.send(version, &request);
        response.assert_problem("upstream-failed");
        assert!(!format!("{response:?}").contains("backend-key"));
        let sent = String::from_utf8(backend.last_request()).unwrap();
        assert_eq!(sent.to_ascii_lowercase().matches("\r\nauthorization: ").count(), 1, "{sent}");
        assert!(sent.contains("\r\nAuthorization: Bearer c4n4ry-backend-key\r\n"), "{sent}");
        assert!(sent.contains("\r\nX-From: tollgate\r\n") && !sent.contains("nowhere"), "{sent}");
    }
    for path in ["/upstreams", "/metrics"] {
        assert!(!page(&gateway, path).contains(CANARY), "{path}");
    }
    assert!(!gateway.output().contains("backend-key"));
}

#[test]
fn no_request_is_sent_twice_whatever_servers_do() {
    let behave = |after: After| {
        Backend::start(move |peer, request| match String::from_utf8_lossy(request).contains("?good") {
            true => peer.answer(ANSWER),
            false => after,
        })
    };
    let mut backends: Vec<Backend> = [After::Close, After::Reset].map(behave).into();
    backends.push(Backend::start(|peer, _| peer.answer_with("503 Service Unavailable", "", b"")));
    backends.push(Backend::start(|peer, _| {
        peer.send("garbage\r\n\r\n");
        After::Close
    }));
    backends.push(Backend::answering_json());
    let addresses: Vec<String> = backends.iter().map(|backend| backend.address().to_string()).collect();
    let gateway = start(&format!(
        "servers: [{}, {}], ejection: {{ failures: 2, time: 50ms }}, slow_after: 50ms",
        closed_port(),
        addresses.join(", ")
    ));
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (gateway, backends) = (&gateway, &backends);
            scope.spawn(move || {
                for round in 0..50 {
                    let kind = if round % 3 == 0 { "good" } else { "bad" };
                    let query = format!("{kind}-{client}-{round}");
                    let request = Request::lookup("live").target(&format!("/phone/validate/v2?{query}"));
                    let status = gateway.send(VERSIONS[round % 2], &request).status();
                    assert!([200, 500, 503].contains(&status), "{status}");
                    let sent: usize = backends.iter().map(|backend| backend.count(&format!("?{query} "))).sum();
                    assert_eq!(sent, 1, "{query}");
                }
            });
        }
    });
}

/// A resolver whose answers a file has: the machine's own look-up, with another list of hosts.
fn hosts_library() -> String {
    let libraries = std::fs::read_dir("/usr/lib").unwrap().filter_map(Result::ok).map(|entry| entry.path());
    let found = libraries.map(|directory| directory.join("libnss_wrapper.so")).find(|library| library.exists());
    found.expect("the Debian package libnss-wrapper").to_str().unwrap().to_owned()
}

/// A name that moves, grows, vanishes and comes back while clients are served.
#[test]
fn a_name_is_followed_to_its_new_addresses_without_a_failed_request() {
    let first = Backend::start(|peer, _| peer.answer(ANSWER));
    let port = first.address().port();
    let second = Backend::start_at(SocketAddr::from(([127, 0, 0, 2], port)), |peer, _| peer.answer(ANSWER));
    let hosts = directory();
    let file = hosts.join("hosts");
    // In one step, as no resolver should see half a file.
    let say = |lines: &str| {
        std::fs::write(hosts.join("next"), lines).unwrap();
        std::fs::rename(hosts.join("next"), &file).unwrap();
    };
    say("127.0.0.1 moving.example\n");
    let upstream = format!("servers: [\"moving.example:{port}\"], resolve_every: 100ms");
    let library = hosts_library();
    let environment = [("LD_PRELOAD", library.as_str()), ("NSS_WRAPPER_HOSTS", file.to_str().unwrap())];
    let gateway = Gateway::start_with(&Configuration::of_upstream(&upstream).yaml(), &environment);
    let goes_to = |what: &str, both: [bool; 2]| {
        until(what, || {
            let before = [lookups(&first), lookups(&second)];
            for _ in 0..4 {
                look_up(&gateway).assert_success();
            }
            [lookups(&first) > before[0], lookups(&second) > before[1]] == both
        });
    };
    goes_to("the first address is used", [true, false]);
    say("127.0.0.2 moving.example\n");
    goes_to("the name has moved", [false, true]);
    say("127.0.0.1 moving.example\n127.0.0.2 moving.example\n");
    goes_to("the name has two addresses", [true, true]);
    // While nobody knows the name, its last addresses stay.
    say("127.0.0.1 other.example\n");
    std::thread::sleep(std::time::Duration::from_millis(500));
    goes_to("the last addresses stay", [true, true]);
    say("127.0.0.1 moving.example\n");
    goes_to("the name is back", [true, false]);
    std::fs::remove_dir_all(hosts).unwrap();
}
