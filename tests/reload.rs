//! The configuration changes while clients are served: no client is affected, and a broken one changes nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tollgate::policy::account::Digest;

use crate::support::{Backend, Gateway, PATIENCE, Request, Scratch, VERSIONS, paying, token};

/// The longest time until a change of a file has to be in force.
const SOON: Duration = Duration::from_secs(1);

/// What a busy machine may add to it.
const SLACK: Duration = Duration::from_secs(2);

fn reload(gateway: &Gateway) -> (u16, String) {
    gateway.ask_admin("POST", "/reload", &[], "")
}

fn status(gateway: &Gateway, account: &str) -> u16 {
    gateway.send(VERSIONS[0], &Request::lookup(account)).status()
}

/// Waits until a token gets this answer; returns how long it took.
fn until(gateway: &Gateway, account: &str, wanted: u16) -> Duration {
    let begun = Instant::now();
    while status(gateway, account) != wanted {
        assert!(begun.elapsed() < PATIENCE, "{account} is not answered with {wanted}: {}", gateway.output());
        std::thread::sleep(Duration::from_millis(10));
    }
    begun.elapsed()
}

/// The running configuration with another account, or without one.
fn with_accounts(gateway: &Gateway, backend: &Backend, accounts: &[(&str, &str)]) -> String {
    let text = fs::read_to_string(gateway.config()).unwrap();
    let addresses: String = text
        .lines()
        .filter(|line| line.starts_with("listen:") || line.starts_with("admin:"))
        .fold(String::new(), |lines, line| lines + line + "\n");
    paying(backend.address(), "{ volatile: true }", accounts) + &addresses
}

#[test]
fn every_way_to_change_a_file_counts_within_a_second() {
    let backend = Backend::answering_json();
    let yaml = paying(backend.address(), "{ volatile: true }", &[("acme", "1000")]);
    let gateway = Gateway::start(&yaml);
    let config = gateway.config();
    let both = with_accounts(&gateway, &backend, &[("acme", "1000"), ("globex", "1000")]);
    let one = with_accounts(&gateway, &backend, &[("acme", "1000")]);
    let directory = config.parent().unwrap().to_owned();
    let in_place = |text: &str| fs::write(&config, text).unwrap();
    let renamed = |text: &str| {
        let beside = directory.join("next.yaml");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, &config).unwrap();
    };
    // As Kubernetes does it: the file is a link through a directory that is a link, which is swapped.
    let generation = AtomicUsize::new(0);
    let swapped = |text: &str| {
        let name = format!("generation-{}", generation.fetch_add(1, Ordering::Relaxed));
        fs::create_dir(directory.join(&name)).unwrap();
        fs::write(directory.join(&name).join("tollgate.yaml"), text).unwrap();
        let _ = fs::remove_file(directory.join("data-new"));
        symlink(&name, directory.join("data-new")).unwrap();
        fs::rename(directory.join("data-new"), directory.join("data")).unwrap();
        if fs::read_link(&config).is_err() {
            symlink("data/tollgate.yaml", directory.join("link")).unwrap();
            fs::rename(directory.join("link"), &config).unwrap();
        }
    };
    type Change<'a> = &'a dyn Fn(&str);
    for (way, change) in [("in place", &in_place as Change<'_>), ("renamed", &renamed), ("swapped", &swapped)] {
        change(&both);
        let taken = until(&gateway, "globex", 200);
        assert!(taken < SOON + SLACK, "{way}: a new token counts after {taken:?}");
        change(&one);
        let taken = until(&gateway, "globex", 401);
        assert!(taken < SOON + SLACK, "{way}: a revoked token counts for {taken:?}");
        assert_eq!(status(&gateway, "acme"), 200);
    }
    // Touched, but not changed.
    let before = gateway.metric::<f64>("tollgate_config_reloads_total");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(fs::canonicalize(&config).unwrap(), text).unwrap();
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(gateway.metric::<f64>("tollgate_config_reloads_total"), before);
}

#[test]
fn included_files_that_come_change_and_go_count_and_others_do_not() {
    let backend = Backend::answering_json();
    let yaml = paying(backend.address(), "{ volatile: true }", &[("acme", "1000")]) + "include: [\"more-*.jsonl\"]\n";
    let gateway = Gateway::start(&yaml);
    let directory = gateway.config().parent().unwrap().to_owned();
    let hash = tollgate::policy::account::Digest::of(token("globex").as_bytes()).text();
    let line = format!(
        r#"{{"name":"globex","rate":{{"unlimited":true}},"credits":{{"phone":5}},"tokens":[{{"name":"t","hash":"{hash}","products":["phone"]}}]}}"#
    );
    fs::write(directory.join("other.jsonl"), &line).unwrap();
    fs::write(directory.join("more-1.jsonl"), &line).unwrap();
    until(&gateway, "globex", 200);
    assert_eq!(gateway.metric::<f64>("tollgate_config_reloads_total"), 1.0);
    fs::write(directory.join("more-1.jsonl"), line.replace("\"name\":\"t\"", "\"name\":\"t\",\"disabled\":true"))
        .unwrap();
    until(&gateway, "globex", 403);
    // A schema that is mended is loaded without a change of the configuration itself.
    let schema = directory.join("phone.schema.json");
    let good = fs::read(&schema).unwrap();
    fs::write(&schema, "{").unwrap();
    assert_eq!(reload(&gateway).0, 422);
    fs::write(&schema, good).unwrap();
    fs::remove_file(directory.join("more-1.jsonl")).unwrap();
    until(&gateway, "globex", 401);
    assert_eq!(status(&gateway, "acme"), 200);
}

/// One account per line.
fn line_of(account: &str, more: &str) -> String {
    let digest = Digest::of(token(account).as_bytes()).text();
    format!(
        r#"{{"name":"{account}","rate":{{"unlimited":true}},"credits":{{"phone":50}},"tokens":[{{"name":"t","hash":"{digest}"{more},"products":["phone"]}}]}}"#
    )
}

/// A gateway with an account in `accounts.d/a.jsonl`.
fn with_an_included_account(backend: &Backend) -> Gateway {
    let yaml = paying(backend.address(), "{ volatile: true }", &[("acme", "1000")]) + "include: [accounts.d/*]\n";
    Gateway::start_with_files(&yaml, &[("accounts.d/a.jsonl", &line_of("globex", ""))])
}

fn outdated(gateway: &Gateway) -> f64 {
    gateway.metric("tollgate_config_outdated_seconds")
}

/// Whatever has kept the files from being loaded, as soon as it has gone they count as they are.
#[test]
fn what_keeps_the_files_from_being_loaded_does_so_only_while_it_is_there() {
    let backend = Backend::answering_json();
    type Step<'a> = &'a dyn Fn(&std::path::Path);
    let dangling: Step<'_> = &|path| symlink("user@host.1234:5678", path).unwrap();
    let to_a_device: Step<'_> = &|path| symlink("/dev/zero", path).unwrap();
    let fifo: Step<'_> = &|path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    let broken: Step<'_> = &|path| fs::write(path, "accounts: [").unwrap();
    let folder: Step<'_> = &|path| fs::create_dir(path).unwrap();
    let file_gone: Step<'_> = &|path| fs::remove_file(path).unwrap();
    let folder_gone: Step<'_> = &|path| fs::remove_dir(path).unwrap();
    // What the link leads to comes.
    let mended: Step<'_> = &|path| {
        fs::write(path.with_file_name("user@host.1234:5678"), "accounts: {}").unwrap();
        fs::rename(path.with_file_name("user@host.1234:5678"), path).unwrap();
    };
    for (what, obstacle, end) in [
        ("a dangling link", dangling, file_gone),
        ("a link that is mended", dangling, mended),
        ("a device", to_a_device, file_gone),
        ("a FIFO", fifo, file_gone),
        ("a broken file", broken, file_gone),
        ("a directory", folder, folder_gone),
    ] {
        let gateway = with_an_included_account(&backend);
        assert_eq!((status(&gateway, "globex"), outdated(&gateway)), (200, 0.0), "{what}");
        let directory = gateway.file("accounts.d");
        let in_the_way = directory.join("other.yaml");
        obstacle(&in_the_way);
        fs::write(directory.join("a.jsonl"), line_of("globex", r#","disabled":true"#)).unwrap();
        gateway.wait_for_output("the configuration was not changed");
        assert_eq!(status(&gateway, "globex"), 200, "{what}: a broken configuration changes nothing");
        assert!(outdated(&gateway) > 0.0, "{what}");
        end(&in_the_way);
        let taken = until(&gateway, "globex", 403);
        assert!(taken < SOON + SLACK, "{what}: a disabled token is good for {taken:?}");
        let begun = Instant::now();
        while outdated(&gateway) != 0.0 {
            assert!(begun.elapsed() < PATIENCE, "{what}: the files are in force");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A file that is named and not there is waited for, and so is a directory, and a certificate.
#[test]
fn what_is_missing_is_waited_for() {
    let backend = Backend::answering_json();
    for (include, file, content) in [
        ("late.jsonl", "late.jsonl", line_of("globex", "")),
        ("late.d/*.jsonl", "late.d/a.jsonl", line_of("globex", "")),
    ] {
        let gateway = Gateway::start(&paying(backend.address(), "{ volatile: true }", &[("acme", "1000")]));
        let text = fs::read_to_string(gateway.config()).unwrap();
        fs::write(gateway.config(), text + &format!("include: [\"{include}\"]\n")).unwrap();
        gateway.wait_for_output("the configuration was not changed");
        let path = gateway.config().with_file_name(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        let taken = until(&gateway, "globex", 200);
        assert!(taken < SOON + SLACK, "{include}: {taken:?}");
    }
}

#[test]
fn a_load_that_has_failed_is_told_once_however_often_it_is_tried() {
    let backend = Backend::answering_json();
    let gateway = with_an_included_account(&backend);
    fs::write(gateway.file("accounts.d").join("b.jsonl"), "{}").unwrap();
    let begun = Instant::now();
    while outdated(&gateway) < 4.0 {
        assert!(begun.elapsed() < PATIENCE, "{}", gateway.output());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(gateway.output().matches("was not changed").count(), 1, "{}", gateway.output());
    assert_eq!(gateway.metric::<f64>("tollgate_config_reload_failures_total"), 1.0);
}

#[test]
fn a_change_counts_within_its_second_while_another_file_is_touched_all_the_time() {
    let backend = Backend::answering_json();
    let gateway = with_an_included_account(&backend);
    let directory = gateway.file("accounts.d");
    fs::write(directory.join("x.jsonl"), line_of("initech", "")).unwrap();
    until(&gateway, "initech", 200);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                // Longer each time, so that no two looks see the same.
                number += 1;
                fs::write(directory.join("x.jsonl"), line_of("initech", "") + &"\n".repeat(number)).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        std::thread::sleep(Duration::from_millis(300));
        fs::write(directory.join("a.jsonl"), line_of("globex", r#","disabled":true"#)).unwrap();
        let taken = until(&gateway, "globex", 403);
        stop.store(true, Ordering::Relaxed);
        assert!(taken < SOON + SLACK, "a disabled token is good for {taken:?}");
    });
    // The last look may have met the other file while it was written.
    until(&gateway, "initech", 200);
}

/// Files that would take all memory, or never end, while a gateway has little memory.
#[test]
fn no_file_takes_the_memory_or_the_time_of_the_process() {
    const MEMORY: &str = "--data=1500000000";
    let backend = Backend::answering_json();
    let yaml = paying(backend.address(), "{ volatile: true }", &[("acme", "1000")]) + "include: [accounts.d/*]\n";
    let gateway = Gateway::start_under(&["prlimit", MEMORY], &yaml.replace("include: [accounts.d/*]\n", ""));
    let directory = gateway.file("accounts.d");
    fs::create_dir(&directory).unwrap();
    let good = fs::read_to_string(gateway.config()).unwrap();
    let with_include = good.clone() + "include: [accounts.d/*]\n";
    let anchor = format!("x: &n \"{}\"\n", "x".repeat(100_000));
    let aliases = format!("{anchor}y: [{}]\n{good}", vec!["*n"; 20_000].join(","));
    for (what, main, told) in [
        ("aliases of a long text", &*aliases, "stand for more than 4 MiB of text"),
        ("a line without an end", &*with_include, "is longer than 4 MiB"),
        ("a link to a device", &*with_include, "is a device, not a file"),
        ("a FIFO", &*with_include, "is a FIFO, not a file"),
    ] {
        let path = directory.join("a.jsonl");
        let _ = fs::remove_file(&path);
        match what {
            "a line without an end" => fs::File::create(&path).unwrap().set_len(64 << 20).unwrap(),
            "a link to a device" => symlink("/dev/zero", &path).unwrap(),
            "a FIFO" => assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success()),
            _ => {}
        }
        fs::write(gateway.config(), main).unwrap();
        let begun = Instant::now();
        let (code, answer) = reload(&gateway);
        assert_eq!(code, 422, "{what}: {answer}");
        assert!(answer.contains(told), "{what}: {}", answer.chars().take(500).collect::<String>());
        assert!(begun.elapsed() < PATIENCE, "{what}");
        assert_eq!(status(&gateway, "acme"), 200, "{what}");
    }
}

#[test]
fn a_signal_and_the_admin_listener_load_it_at_once() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&paying(backend.address(), "{ volatile: true }", &[("acme", "1000")]));
    let before = gateway.metric::<f64>("tollgate_config_last_reload_success_timestamp_seconds");
    fs::write(gateway.config(), with_accounts(&gateway, &backend, &[("globex", "1000")])).unwrap();
    let (code, answer) = reload(&gateway);
    assert_eq!(code, 200, "{answer}");
    assert!(answer.contains("1 account"), "{answer}");
    assert_eq!((status(&gateway, "acme"), status(&gateway, "globex")), (401, 200));
    assert!(gateway.metric::<f64>("tollgate_config_last_reload_success_timestamp_seconds") > before);
    fs::write(gateway.config(), with_accounts(&gateway, &backend, &[("acme", "1000")])).unwrap();
    gateway.signal("HUP");
    until(&gateway, "acme", 200);
    let demo = gateway.ask_admin("GET", "/readyz", &[], "");
    assert_eq!(demo.0, 200);
}

#[test]
fn a_broken_configuration_changes_nothing_and_is_told_once() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&paying(backend.address(), "{ volatile: true }", &[("acme", "1000")]));
    let good = fs::read_to_string(gateway.config()).unwrap();
    let broken = [
        (good.replace("routes: [", "routes: [GET /other, "), None),
        (good.replace("accounts:", "accuonts:"), Some("accuonts: is not a key here")),
        (good.clone() + "listen: 127.0.0.1:1\n", Some("listen")),
        (good.replace("  acme:\n", "  acme:\n    limits: {}\n"), Some("accounts.acme.limits")),
        (String::new(), Some("is empty")),
        ("\u{0}".to_owned(), Some(":1:")),
        (good.replace("workers: 2", "workers: 3"), Some("workers: has changed, which needs an upgrade")),
        (good.replace("h2c: true", "h2c: false"), Some("listeners: has changed, which needs an upgrade")),
        (good.replace("volatile: true", "file: other.db"), Some("ledger: has changed, which needs an upgrade")),
    ];
    let mut failures = 0.0;
    for (text, said) in &broken {
        fs::write(gateway.config(), text).unwrap();
        let (code, answer) = reload(&gateway);
        let Some(said) = said else {
            assert_eq!(code, 200, "{answer}");
            continue;
        };
        failures += 1.0;
        assert_eq!(code, 422, "{answer}");
        assert!(answer.contains("Nothing was changed"), "{answer}");
        let begun = Instant::now();
        loop {
            let output = gateway.output();
            let told: Vec<&str> = output.lines().filter(|line| line.contains("was not changed")).collect();
            if told.len() as f64 >= failures {
                assert_eq!(told.len() as f64, failures, "one line for each: {output}");
                let last = told[told.len() - 1];
                assert!(last.contains("tollgate.yaml:") && last.contains(said), "{said}: {last}");
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{said} is not told: {output}");
        }
        assert_eq!(gateway.metric::<f64>("tollgate_config_reload_failures_total"), failures);
        assert_eq!(gateway.ask_admin("GET", "/readyz", &[], "").0, 200);
        assert_eq!(status(&gateway, "acme"), 200, "the last good one stays");
    }
    fs::write(gateway.config(), &good).unwrap();
    assert_eq!(reload(&gateway).0, 200);
}

#[test]
fn credits_and_rates_go_on_where_they_were() {
    let scratch = Scratch::new();
    let backend = Backend::answering_json();
    let yaml = paying(backend.address(), &scratch.ledger("batch"), &[("acme", "5"), ("globex", "5")])
        .replace("rate: { unlimited: true }", "rate: { limit: 10/h, burst: 10 }");
    let gateway = Gateway::start(&yaml);
    let look_up = |account: &str| {
        let response = gateway.send(VERSIONS[0], &Request::lookup(account));
        response.assert_success();
        (response.number("X-Credits-Remaining"), response.number("X-Rate-Limit-Remaining"))
    };
    assert_eq!(look_up("acme"), (4, 9));
    assert_eq!(reload(&gateway).0, 200);
    assert_eq!(look_up("acme"), (3, 8));
    // The first grant was given; another number of the configuration is not another grant.
    let text = fs::read_to_string(gateway.config()).unwrap();
    fs::write(gateway.config(), text.replace("phone: 5", "phone: 500")).unwrap();
    assert_eq!(reload(&gateway).0, 200);
    assert_eq!(look_up("acme"), (2, 7));
    // An account that goes and comes back has what it had.
    let (kept, removed) =
        text.split_once("  globex:\n").map(|(kept, rest)| (kept.to_owned(), rest.to_owned())).unwrap();
    let after = removed.split_once("listen:").map(|(_, rest)| format!("listen:{rest}")).unwrap();
    assert_eq!(look_up("globex"), (4, 9));
    fs::write(gateway.config(), kept + &after).unwrap();
    assert_eq!(reload(&gateway).0, 200);
    assert_eq!(status(&gateway, "globex"), 401);
    fs::write(gateway.config(), &text).unwrap();
    assert_eq!(reload(&gateway).0, 200);
    assert_eq!(look_up("globex").0, 3);
    // Of a changed rate, as much is used as before.
    fs::write(gateway.config(), text.replace("10/h, burst: 10", "20/h, burst: 20")).unwrap();
    assert_eq!(reload(&gateway).0, 200);
    assert_eq!(look_up("acme"), (1, 16));
    // A request that is under way settles with the balance that it has held from.
    let begun = Instant::now();
    loop {
        let (code, body) = gateway.ask_admin("GET", "/accounts/acme/credits/phone", &[], "");
        assert_eq!(code, 200);
        if body.contains(r#""balance":1,"#) && body.contains(r#""held":0,"#) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{body}");
    }
}

/// A plan is changed and the process restarted, upgraded, or told to load it: whatever is done, what
/// was used stays used.
#[test]
fn a_changed_allowance_starts_with_what_was_used_of_the_one_before() {
    let backend = Backend::answering_json();
    // The allowance, requests until the change, the next allowance, and what is left after one more
    // request; `None` if that is refused.
    for (before, used, after, remaining) in [
        ("10/d, burst: 10", 10, "1000/d, burst: 1000", Some(989)),
        ("1000/d, burst: 1000", 15, "10/d, burst: 10", None),
        ("1000/d, burst: 1000", 4, "10/h, burst: 10", Some(5)),
        ("10/d, burst: 10", 3, "10/d, burst: 20", Some(16)),
    ] {
        for way in ["reload", "restart", "upgrade"] {
            let scratch = Scratch::new();
            let yaml = paying(backend.address(), &scratch.ledger("batch"), &[("acme", "50")]);
            let with = |rate: &str| yaml.replace("rate: { unlimited: true }", &format!("rate: {{ limit: {rate} }}"));
            let mut gateway = Gateway::start(&with(before));
            for _ in 0..used {
                gateway.send(VERSIONS[0], &Request::lookup("acme")).assert_success();
            }
            let text = fs::read_to_string(gateway.config()).unwrap();
            let changed = text.replace(&format!("limit: {before}"), &format!("limit: {after}"));
            assert_ne!(text, changed);
            match way {
                "reload" => {
                    fs::write(gateway.config(), changed).unwrap();
                    assert_eq!(reload(&gateway).0, 200);
                }
                "upgrade" => {
                    fs::write(gateway.config(), changed).unwrap();
                    assert_eq!(gateway.upgrade().0, 200);
                }
                _ => {
                    gateway.terminate();
                    assert!(gateway.wait_for_end(PATIENCE).is_some());
                    gateway = Gateway::start(&with(after));
                }
            }
            println!("{before}, {used} used, {way} to {after}");
            if way == "upgrade" {
                // A successor serves before it knows what was used, and counts both together then. This question
                // is answered once it has the ledger.
                let question = Request::new("GET", "/account/credits").with("Auth-Token", &token("acme"));
                gateway.send(VERSIONS[0], &question).assert_success();
            }
            let response = gateway.send(VERSIONS[0], &Request::lookup("acme"));
            match remaining {
                Some(remaining) => {
                    response.assert_success();
                    let found: u64 = response.number("X-Rate-Limit-Remaining");
                    assert_eq!(found, remaining, "{before}, {used} used, {way} to {after}");
                }
                None => response.assert_problem("rate-exceeded"),
            }
        }
    }
}

/// One account a line, of which one changes, one goes and one comes.
#[test]
fn lines_that_change_leave_the_others_with_what_they_have_used() {
    let scratch = Scratch::new();
    let backend = Backend::answering_json();
    let yaml = paying(backend.address(), &scratch.ledger("batch"), &[("first", "1")]) + "include: ['*.jsonl']\n";
    let gateway = Gateway::start(&yaml);
    let line = |account: &str, limit: u32| {
        let digest = Digest::of(token(account).as_bytes()).text();
        format!(
            r#"{{"name":"{account}","rate":{{"limit":"{limit}/h"}},"credits":{{"phone":9}},"tokens":[{{"name":"t","hash":"{digest}","products":["phone"]}}]}}"#
        )
    };
    let set = |lines: &[String]| {
        fs::write(gateway.config().with_file_name("accounts.jsonl"), lines.join("\n")).unwrap();
        let (code, answer) = reload(&gateway);
        assert_eq!(code, 200, "{answer}");
    };
    let look_up = |account: &str| {
        let response = gateway.send(VERSIONS[0], &Request::lookup(account));
        response.assert_success();
        (response.number("X-Credits-Remaining"), response.number("X-Rate-Limit-Remaining"))
    };
    set(&[line("kept", 10), line("changed", 10), line("gone", 10)]);
    for account in ["kept", "changed", "gone"] {
        assert_eq!(look_up(account), (8, 9), "{account}");
    }
    set(&[line("new", 10), line("kept", 10), line("changed", 20)]);
    assert_eq!(look_up("new"), (8, 9));
    assert_eq!(look_up("kept"), (7, 8));
    assert_eq!(look_up("changed"), (7, 18), "of another rate as much is used as before");
    assert_eq!(status(&gateway, "gone"), 401);
    // Whoever comes back has what it had.
    set(&[line("gone", 10), line("kept", 10), line("changed", 20)]);
    assert_eq!(look_up("gone").0, 7);
    assert_eq!(look_up("kept"), (6, 7));
    assert_eq!(look_up("changed"), (6, 17));
    // What is broken changes nothing, whatever stays as it was.
    fs::write(gateway.config().with_file_name("accounts.jsonl"), [line("kept", 10), line("kept", 10)].join("\n"))
        .unwrap();
    let (code, answer) = reload(&gateway);
    assert_eq!(code, 422, "{answer}");
    assert!(answer.contains("accounts.jsonl:2:1: is an account that exists already"), "{answer}");
    assert_eq!(look_up("gone").0, 6);
}

#[test]
fn a_request_under_way_ends_with_the_configuration_it_began_with() {
    let backend = Backend::start(|peer, _| {
        std::thread::sleep(Duration::from_millis(700));
        peer.answer(crate::support::ANSWER)
    });
    let gateway = Gateway::start(&paying(backend.address(), "{ volatile: true }", &[("acme", "5")]));
    let mut client = gateway.connect();
    client.request(&Request::lookup("acme"));
    backend.wait_for_requests(1);
    fs::write(gateway.config(), with_accounts(&gateway, &backend, &[("globex", "5")])).unwrap();
    assert_eq!(reload(&gateway).0, 200);
    assert_eq!(status(&gateway, "acme"), 401);
    let response = client.response();
    response.assert_success();
    assert_eq!(response.number("X-Credits-Remaining"), 4);
}

/// A thousand changes while clients send one request after the other.
#[test]
fn a_thousand_reloads_fail_no_request() {
    const RELOADS: usize = 1000;
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&paying(backend.address(), "{ volatile: true }", &[("acme", "1000000000")]));
    let texts = [
        with_accounts(&gateway, &backend, &[("acme", "1000000000")]),
        with_accounts(&gateway, &backend, &[("acme", "1000000000"), ("globex", "7")]),
    ];
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = gateway.connect();
                while !stop.load(Ordering::Relaxed) {
                    client.request(&Request::lookup("acme"));
                    client.response().assert_success();
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 0..RELOADS {
            fs::write(gateway.config(), &texts[number % 2]).unwrap();
            let (code, answer) = reload(&gateway);
            assert_eq!(code, 200, "{answer}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    let sent = sent.load(Ordering::Relaxed);
    let begun = Instant::now();
    // The last answers may have gone out a moment before they are charged.
    let charged = loop {
        let (_, body) = gateway.ask_admin("GET", "/accounts/acme/credits/phone", &[], "");
        let charged: usize = body.split(r#""spent":"#).nth(1).unwrap().trim_end_matches('}').parse().unwrap();
        if charged == sent {
            break charged;
        }
        assert!(charged < sent && begun.elapsed() < PATIENCE, "{charged} of {sent} answers are charged");
    };
    assert!(charged > RELOADS, "{charged} requests are no load");
    assert!(gateway.metric::<f64>("tollgate_config_reloads_total") >= RELOADS as f64);
    assert_eq!(status(&gateway, "nobody"), 401);
}

/// Every beginning of a configuration, and thousands of mutations, while it serves: it never ends,
/// and what is broken never comes into force.
#[test]
fn no_text_ends_the_process() {
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&paying(backend.address(), "{ volatile: true }", &[("acme", "1000000")]));
    let good = fs::read_to_string(gateway.config()).unwrap();
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut refused = 0;
    let mut try_text = |bytes: &[u8]| {
        fs::write(gateway.config(), bytes).unwrap();
        let (code, _) = reload(&gateway);
        assert!(code == 200 || code == 422);
        if code == 422 {
            refused += 1;
        } else {
            // A text that is good is in force; the next must be compared with one that has the token.
            fs::write(gateway.config(), &good).unwrap();
            assert_eq!(reload(&gateway).0, 200);
        }
    };
    for end in 0..good.len() {
        try_text(&good.as_bytes()[..end]);
    }
    for _ in 0..2000 {
        let mut bytes = good.clone().into_bytes();
        for _ in 0..=random(3) {
            let place = random(bytes.len());
            match random(4) {
                0 => bytes[place] = random(256) as u8,
                1 => bytes.insert(place, b"{}[]:,'\"&*!|> \n\t#-"[random(18)]),
                2 => drop(bytes.remove(place)),
                _ => {
                    let end = (place + random(40)).min(bytes.len());
                    bytes.drain(place..end);
                }
            }
        }
        try_text(&bytes);
    }
    assert!(refused > 1000, "{refused}");
    assert_eq!(status(&gateway, "acme"), 200, "the last good one is in force");
}
