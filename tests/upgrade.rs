//! One process hands over to the next while clients are served: no client is affected, and a
//! successor that does not serve changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Backend, Gateway, PATIENCE, Request, Scratch, VERSIONS, Version, paying, send_signal, until};

fn status(gateway: &Gateway, account: &str) -> u16 {
    gateway.send(VERSIONS[0], &Request::lookup(account)).status()
}

/// What the ledger's file says of an account: granted and spent.
fn in_file(scratch: &Scratch, account: &str) -> (i64, i64) {
    let sql = "SELECT sum(CASE WHEN kind IN ('grant', 'adjustment') THEN amount ELSE 0 END), \
               -sum(CASE WHEN kind IN ('charge', 'refund') THEN amount ELSE 0 END) FROM entry WHERE account = ?1";
    scratch.database().query_row(sql, [account], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

/// Replaces the program by a script, which its successor will be.
fn replace_program(gateway: &Gateway, script: &str) {
    let new = gateway.file("program.new");
    fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, gateway.program()).unwrap();
}

/// Twenty upgrades while clients of both versions send one request after the other, over connections
/// that are kept and over new ones: every one is answered with 200, and paid for once.
#[test]
fn twenty_upgrades_fail_no_request_and_lose_no_credit() {
    const UPGRADES: usize = 20;
    for durability in ["batch", "each"] {
        let backend = Backend::answering_json();
        let scratch = Scratch::new();
        let yaml = paying(backend.address(), &scratch.ledger(durability), &[("acme", "1000000")]);
        let mut gateway = Gateway::start(&yaml);
        let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
        let address = gateway.address();
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|number| {
                    let mut client = gateway.connect();
                    let (stop, sent) = (&stop, &sent);
                    scope.spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            client.request(&Request::lookup("acme"));
                            let response = client.response();
                            assert_eq!(response.status(), 200, "client {number}: {response:?}");
                            sent.fetch_add(1, Ordering::Relaxed);
                            // Some say that they want no more than one answer, the others are told.
                            if response.header("Connection") == Some("close") || number == 0 {
                                client.reconnect(address);
                            }
                        }
                    })
                })
                .collect();
            let upgrades: Vec<_> = (0..UPGRADES)
                .map(|_| {
                    let upgrade = gateway.upgrade();
                    let response = gateway.send(Version::Http2, &Request::lookup("acme"));
                    sent.fetch_add(usize::from(response.status() == 200), Ordering::Relaxed);
                    let (ready, _) = gateway.ask_admin("GET", "/readyz", &[], "");
                    (upgrade, response, ready)
                })
                .collect();
            stop.store(true, Ordering::Relaxed);
            for client in clients {
                client.join().unwrap();
            }
            for ((code, answer), response, ready) in upgrades {
                assert_eq!((code, ready), (200, 200), "{answer}");
                response.assert_success();
            }
        });
        let sent = sent.load(Ordering::Relaxed);
        assert!(sent > UPGRADES * 4, "{sent} requests are no load");
        until("every answer is charged", || in_file(&scratch, "acme").1 == sent as i64);
        let statement = || gateway.ask_admin("GET", "/accounts/acme/credits/phone", &[], "").1;
        // What was held for the processes before is given back once they have ended.
        until("the balance is what the file says", || {
            let statement: serde_json::Value = serde_json::from_str(&statement()).unwrap();
            statement["held"] == 0 && statement["spent"] == sent && statement["balance"] == 1_000_000 - sent
        });
    }
}

/// The last credits of an account are sold once, whichever process sells them.
#[test]
fn upgrades_sell_no_credit_twice() {
    const CREDITS: usize = 700;
    let backend = Backend::answering_json();
    let scratch = Scratch::new();
    let yaml = paying(backend.address(), &scratch.ledger("batch"), &[("acme", &CREDITS.to_string())]);
    let mut gateway = Gateway::start(&yaml);
    let (delivered, upgraded, address) = (AtomicUsize::new(0), AtomicUsize::new(0), gateway.address());
    std::thread::scope(|scope| {
        for _ in 0..6 {
            let mut client = gateway.connect();
            let (delivered, upgraded) = (&delivered, &upgraded);
            scope.spawn(move || {
                // One refusal may come while a process that has ended meanwhile still holds credits.
                while upgraded.load(Ordering::Relaxed) < 2 || delivered.load(Ordering::Relaxed) < CREDITS {
                    client.request(&Request::lookup("acme"));
                    let response = client.response();
                    match response.status() {
                        200 => drop(delivered.fetch_add(1, Ordering::Relaxed)),
                        _ => response.assert_problem("credits-insufficient"),
                    }
                    if response.header("Connection") == Some("close") {
                        client.reconnect(address);
                    }
                }
            });
        }
        let begun = Instant::now();
        while delivered.load(Ordering::Relaxed) < CREDITS && begun.elapsed() < PATIENCE {
            if gateway.upgrade().0 == 200 {
                upgraded.fetch_add(1, Ordering::Relaxed);
            }
        }
        while upgraded.load(Ordering::Relaxed) < 2 {
            upgraded.fetch_add(usize::from(gateway.upgrade().0 == 200), Ordering::Relaxed);
        }
    });
    assert_eq!(delivered.load(Ordering::Relaxed), CREDITS);
    until("all are charged", || in_file(&scratch, "acme") == (CREDITS as i64, CREDITS as i64));
    gateway.send(Version::Http1, &Request::lookup("acme")).assert_problem("credits-insufficient");
}

#[test]
fn a_successor_that_does_not_serve_changes_nothing() {
    let backend = Backend::answering_json();
    let scratch = Scratch::new();
    let mut gateway = Gateway::start_copy(&paying(backend.address(), &scratch.ledger("batch"), &[("acme", "1000")]));
    let good = fs::read_to_string(gateway.config()).unwrap();
    let first = gateway.process();
    let reads = "head -c 0; ";
    for (what, script, answer) in [
        ("ends at once", "exit 7".to_owned(), "exit status: 7"),
        ("is killed", "kill -9 $$".to_owned(), "signal: 9"),
        ("is no gateway", "echo hello >&2; exit 0".to_owned(), "ended before it served"),
        ("hears and says nothing", format!("{reads} sleep 1; exit 3"), "exit status: 3"),
        ("says nonsense", "echo nonsense >&0; sleep 5".to_owned(), "Cannot understand the successor"),
        (
            "has another command line",
            format!("exec {} run --config /nowhere", env!("CARGO_BIN_EXE_tollgate")),
            "/nowhere",
        ),
    ] {
        replace_program(&gateway, &script);
        let (code, told) = gateway.upgrade();
        assert_eq!(code, 409, "{what}: {told}");
        assert!(told.contains("Nothing was changed.") && told.contains(answer), "{what}: {told}");
        assert_eq!(status(&gateway, "acme"), 200, "{what}");
        assert_eq!(gateway.ask_admin("GET", "/readyz", &[], "").0, 200, "{what}");
    }
    // One that is not there, and one that is no program.
    fs::remove_file(gateway.program()).unwrap();
    let (code, told) = gateway.upgrade();
    assert!(code == 409 && told.contains("cannot be started"), "{told}");
    fs::write(gateway.program(), "no program").unwrap();
    let (code, told) = gateway.upgrade();
    assert!(code == 409 && told.contains("cannot be started"), "{told}");
    assert_eq!(status(&gateway, "acme"), 200);
    // A good program with a configuration that is broken: the answer says where.
    fs::remove_file(gateway.program()).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_tollgate"), gateway.program()).unwrap();
    fs::write(gateway.config(), good.replace("public_url:", "public_ulr:")).unwrap();
    let (code, told) = gateway.upgrade();
    assert!(code == 409 && told.contains("public_ulr"), "{told}");
    assert_eq!(status(&gateway, "acme"), 200);
    // And at last one that serves.
    fs::write(gateway.config(), &good).unwrap();
    let (code, told) = gateway.upgrade();
    assert_eq!(code, 200, "{told}");
    assert_ne!(gateway.latest(), first);
    assert_eq!(status(&gateway, "acme"), 200);
    assert!(gateway.wait_for_end(PATIENCE).is_some_and(|status| status.success()), "the first process ends");
    assert_eq!(status(&gateway, "acme"), 200);
}

/// A successor that hangs is given up after half a minute, and the process before serves all the
/// while; a SIGTERM in between is not kept waiting by it.
#[test]
fn a_successor_that_hangs_is_given_up() {
    let backend = Backend::answering_json();
    let mut gateway = Gateway::start_copy(&paying(backend.address(), "{ volatile: true }", &[("acme", "1000")]));
    replace_program(&gateway, &format!("echo $$ > {}; exec sleep 1000", gateway.file("pid").display()));
    let begun = Instant::now();
    let (code, told) = gateway.upgrade();
    assert!(code == 409 && told.contains("did not serve within 30 s"), "{told}");
    assert!(begun.elapsed() < Duration::from_secs(40));
    let hung = fs::read_to_string(gateway.file("pid")).unwrap().trim().parse().unwrap();
    assert!(!send_signal(hung, "0"), "a successor that was given up is ended");
    assert_eq!(status(&gateway, "acme"), 200);
    let program = gateway.program();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| gateway.ask_admin("POST", "/upgrade", &[], ""));
        until("the successor is there", || {
            fs::read_to_string(program.with_file_name("pid")).is_ok_and(|pid| pid.trim() != hung.to_string())
        });
        let second = gateway.ask_admin("POST", "/upgrade", &[], "");
        assert!(second.0 == 409 && second.1.contains("in progress"), "{second:?}");
        gateway.terminate();
        let _ = asked.join();
    });
    assert!(gateway.wait_for_end(PATIENCE).is_some());
}

/// Slow requests of the process before do not keep the ledger from its successor, and nothing that
/// they hold can be sold again; what they do not need is given back.
#[test]
fn requests_in_flight_keep_their_credits_and_hold_nobody_up() {
    let backend = Backend::start(|peer, request| {
        if request.windows(5).any(|bytes| bytes == b"?slow") {
            std::thread::sleep(Duration::from_secs(3));
        }
        peer.answer(crate::support::ANSWER)
    });
    let scratch = Scratch::new();
    let mut gateway = Gateway::start(&paying(backend.address(), &scratch.ledger("batch"), &[("acme", "3")]));
    let mut slow = gateway.connect();
    slow.request(&Request::lookup("acme").target("/phone/validate/v2?slow"));
    let mut late = gateway.connect();
    backend.wait_for_requests(1);
    assert_eq!(gateway.upgrade().0, 200);
    // The successor has two of the three credits, and sells them at once.
    let begun = Instant::now();
    let response = gateway.send(Version::Http1, &Request::lookup("acme"));
    response.assert_success();
    assert_eq!(response.number("X-Credits-Remaining"), 1);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    // A connection of the process before begins its last request: it pays from the same balance.
    late.request(&Request::lookup("acme"));
    let response = late.response_to("POST", "/phone/validate/v2");
    response.assert_success();
    assert_eq!(response.header("Connection"), Some("close"));
    gateway.send(Version::Http1, &Request::lookup("acme")).assert_problem("credits-insufficient");
    slow.response_to("POST", "/phone/validate/v2?slow").assert_success();
    assert!(gateway.wait_for_end(PATIENCE).is_some_and(|status| status.success()));
    until("all three are charged", || in_file(&scratch, "acme") == (3, 3));
    gateway.send(Version::Http1, &Request::lookup("acme")).assert_problem("credits-insufficient");
}

/// What a process before holds when it dies is given back.
#[test]
fn a_process_that_dies_after_handing_over_leaves_its_holds() {
    let backend = Backend::start(|peer, request| {
        if request.windows(5).any(|bytes| bytes == b"?slow") {
            std::thread::sleep(Duration::from_secs(60));
        }
        peer.answer(crate::support::ANSWER)
    });
    let scratch = Scratch::new();
    let mut gateway = Gateway::start(&paying(backend.address(), &scratch.ledger("batch"), &[("acme", "1")]));
    let mut slow = gateway.connect();
    slow.request(&Request::lookup("acme").target("/phone/validate/v2?slow"));
    backend.wait_for_requests(1);
    assert_eq!(gateway.upgrade().0, 200);
    gateway.send(Version::Http1, &Request::lookup("acme")).assert_problem("credits-insufficient");
    gateway.kill();
    until("the credit is there again", || status(&gateway, "acme") == 200);
    until("it is charged", || in_file(&scratch, "acme") == (1, 1));
}

/// What only a new process can change is changed by an upgrade: addresses and workers.
#[test]
fn an_upgrade_changes_what_a_reload_cannot() {
    let backend = Backend::answering_json();
    let socket = |gateway: &Gateway| gateway.file("gateway.sock");
    let yaml = paying(backend.address(), "{ volatile: true }", &[("acme", "1000")])
        + "listeners:\n  - { address: $FREE }\n  - { unix: gateway.sock }\n";
    let mut gateway = Gateway::start(&yaml);
    let (kept, gone) = (gateway.address(), gateway.more(0));
    let text = fs::read_to_string(gateway.config()).unwrap();
    let fresh = crate::support::closed_port();
    let changed = text.replace(&gone.to_string(), &fresh.to_string()).replace("workers: 2", "workers: 1");
    fs::write(gateway.config(), changed).unwrap();
    let (code, told) = gateway.ask_admin("POST", "/reload", &[], "");
    assert!(code == 422 && told.contains("tollgate upgrade"), "{told}");
    assert_eq!(gateway.upgrade().0, 200);
    assert!(gateway.wait_for_end(PATIENCE).is_some());
    for address in [kept, fresh] {
        assert!(std::net::TcpStream::connect(address).is_ok(), "{address}");
    }
    assert!(std::os::unix::net::UnixStream::connect(socket(&gateway)).is_ok());
    assert!(std::net::TcpStream::connect(gone).is_err(), "{gone} is not listened on any more");
    assert_eq!(status(&gateway, "acme"), 200);
}

/// A service manager that is notified over a socket (sd_notify).
struct Supervisor {
    scratch: Scratch,
    socket: UnixDatagram,
}

impl Supervisor {
    fn new() -> Supervisor {
        let scratch = Scratch::new();
        let socket = UnixDatagram::bind(scratch.path("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Supervisor { scratch, socket }
    }

    fn path(&self) -> String {
        self.scratch.path("notify").display().to_string()
    }

    fn told(&self) -> String {
        let mut bytes = [0; 200];
        let length = self.socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }
}

/// SIGUSR2 also starts an upgrade, and the supervisor is notified.
#[test]
fn a_signal_upgrades_and_the_supervisor_is_told() {
    let backend = Backend::answering_json();
    let supervisor = Supervisor::new();
    let told = || supervisor.told();
    let yaml = paying(backend.address(), "{ volatile: true }", &[("acme", "1000")]);
    let mut gateway = Gateway::start_with(&yaml, &[("NOTIFY_SOCKET", &supervisor.path())]);
    assert_eq!(told(), "READY=1");
    gateway.signal("USR2");
    let main = told();
    gateway.follow(main.strip_prefix("MAINPID=").unwrap().parse().unwrap());
    assert!(gateway.wait_for_end(PATIENCE).is_some_and(|status| status.success()));
    assert_eq!(status(&gateway, "acme"), 200);
    send_signal(gateway.latest(), "TERM");
    assert_eq!(told(), "STOPPING=1");
}

/// A supervisor with a watchdog is notified that the process is alive, and then that it stops.
#[test]
fn a_watchdog_is_told_that_the_process_is_alive() {
    let backend = Backend::answering_json();
    let supervisor = Supervisor::new();
    let told = || supervisor.told();
    let yaml = paying(backend.address(), "{ volatile: true }", &[("acme", "1000")]);
    let environment = [("NOTIFY_SOCKET", &*supervisor.path()), ("WATCHDOG_USEC", "200000")];
    let gateway = Gateway::start_with(&yaml, &environment);
    let words: Vec<String> = std::iter::repeat_with(told).take(4).collect();
    assert!(words.iter().filter(|word| *word == "WATCHDOG=1").count() >= 3, "{words:?}");
    assert!(words.iter().any(|word| word == "READY=1"), "{words:?}");
    gateway.terminate();
    while told() != "STOPPING=1" {}
}

/// A ledger that cannot be written is not handed over: only the old process knows its charges.
#[test]
fn a_broken_ledger_stays_where_its_charges_are() {
    let backend = Backend::answering_json();
    let scratch = Scratch::new();
    let mut gateway = Gateway::start(&paying(backend.address(), &scratch.ledger("batch"), &[("acme", "1000")]));
    assert_eq!(status(&gateway, "acme"), 200);
    fs::rename(scratch.path("ledger.db"), scratch.path("elsewhere.db")).unwrap();
    until("the ledger is missed", || status(&gateway, "acme") == 500);
    let (code, told) = gateway.upgrade();
    assert!(code == 409 && told.contains("Fix the ledger first"), "{told}");
    fs::rename(scratch.path("elsewhere.db"), scratch.path("ledger.db")).unwrap();
    until("the ledger is there again", || status(&gateway, "acme") == 200);
    assert_eq!(gateway.upgrade().0, 200);
    assert_eq!(status(&gateway, "acme"), 200);
}
