//! The shape of the code: which file may know which, and what the lower ones may not know at all.

use std::path::{Path, PathBuf};

/// Files that decide, and the modules of the crate that each may name. Whatever is not in a row is
/// above it.
const LAYERS: [(&str, &[&str]); 48] = [
    ("problem.rs", &[]),
    ("problem/guide.rs", &[]),
    ("site.rs", &[]),
    ("site/colour.rs", &[]),
    ("page.rs", &["check", "head", "problem"]),
    ("wording.rs", &["problem"]),
    ("head.rs", &["problem"]),
    ("check/media.rs", &["head", "problem"]),
    ("chunked.rs", &["check", "problem"]),
    ("check/network.rs", &["head", "problem"]),
    ("check/domain.rs", &["head", "problem"]),
    ("check/header.rs", &["head", "problem"]),
    ("check/body.rs", &["problem"]),
    ("tariff.rs", &[]),
    ("quota/balance.rs", &[]),
    ("quota/credits.rs", &["problem"]),
    ("quota.rs", &["problem"]),
    ("enquiry.rs", &["account", "quota"]),
    ("account.rs", &["check", "problem", "quota"]),
    ("policy/sight.rs", &[]),
    ("policy/upstream.rs", &[]),
    ("problem/blame.rs", &[]),
    ("status/latency.rs", &[]),
    ("status/traffic.rs", &["problem"]),
    ("status/history.rs", &[]),
    ("status/incident.rs", &[]),
    ("status/burn.rs", &[]),
    ("status/notice.rs", &[]),
    ("status/book.rs", &[]),
    ("status/report.rs", &[]),
    ("status/json.rs", &[]),
    ("status/feed.rs", &["site"]),
    ("status/html.rs", &["pages", "site"]),
    ("status/example.rs", &[]),
    (
        "policy.rs",
        &["account", "check", "head", "page", "problem", "quota", "site", "status", "tariff", "tls", "wording"],
    ),
    ("listener.rs", &["check", "page", "tls"]),
    ("sight/counters.rs", &[]),
    ("sight/queue.rs", &[]),
    ("sight/json.rs", &["wording"]),
    ("sight/trace.rs", &["head"]),
    ("sight/tables.rs", &["account", "policy", "problem", "wording"]),
    ("upstream/verdict.rs", &[]),
    ("upstream/health.rs", &["policy"]),
    ("upstream/breaker.rs", &["policy", "quota"]),
    ("upstream/servers.rs", &["policy", "quota"]),
    ("cors.rs", &["admit", "head", "page", "policy", "problem"]),
    ("observer.rs", &["problem"]),
    ("admit.rs", &["account", "check", "cors", "head", "page", "policy", "problem", "quota", "tariff", "observer"]),
];

/// What a check must not reach for: it is a pure function that a test calls.
const FORBIDDEN: [&str; 8] =
    ["pingora", "tokio", "std::fs", "std::env", "Instant::now", "SystemTime::now", "std::net::Tcp", "async fn"];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// A file without its tests and comments.
fn code(file: &str) -> String {
    let text = std::fs::read_to_string(source().join(file)).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn lower_files_know_only_what_is_below_them() {
    for (file, allowed) in LAYERS {
        for after in code(file).split("crate::").skip(1) {
            let module: String = after.chars().take_while(|letter| letter.is_ascii_alphanumeric()).collect();
            assert!(allowed.contains(&module.as_str()), "{file} names crate::{module}");
        }
    }
}

#[test]
fn checks_reach_for_no_clock_no_file_and_no_network() {
    for (file, _) in LAYERS {
        for word in FORBIDDEN {
            assert!(!code(file).contains(word), "{file} has {word}");
        }
    }
}

#[test]
fn every_file_says_first_what_it_is_for() {
    for file in files_below(&source()).into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "rs")) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{}", file.display());
    }
}

#[test]
fn only_main_may_end_the_process() {
    for file in files_below(&source()).into_iter().filter(|file| !file.ends_with("main.rs")) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("process::exit"), "{}", file.display());
    }
}
