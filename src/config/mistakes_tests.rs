//! Wrong configurations and the exact messages for each, as data.
//!
//! Below `mistakes/` each directory has a good configuration, `base.yaml`, and files of cases, which are separated by
//! blank lines. A case says what is changed, as a diff of whole lines, and then what `check` prints: the mistakes, or
//! the warnings if there are no mistakes. A case can have:
//!
//! ```text
//! # A remark.
//! -workers: 2                      a line that is taken out; it stands once in the text
//! +workers: 0                      a line that is put in
//!  listen: 127.0.0.1:8080          a line that stays, to say where the others stand
//! @                                the end of one change and the beginning of another
//! = accounts.d/b.jsonl             a file beside the configuration, with the lines below it
//! |{"name": "one"}
//! f:2:10: workers: is out of range; write a number from 1 to 1024, or remove it for one per core
//! ```
//!
//! `UPDATE=1 cargo test --lib mistakes` updates the messages.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::tests::Scratch;
use super::{Source, listener_tests, parse_following};
use crate::policy::seconds::Seconds;

/// The cases, from the root of the package.
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/mistakes");

/// When all of them are checked: 2026-11-25, 10:00 UTC.
const NOW: Seconds = 1_795_600_800;

/// One wrong configuration.
#[derive(Default)]
struct Case {
    /// The line that it begins at.
    line: usize,
    /// Everything except the messages, as it is written.
    told: String,
    /// What is replaced, and by what.
    changes: Vec<(String, String)>,
    /// Files beside the configuration, by name.
    files: Vec<(String, String)>,
    /// The expected messages.
    answer: String,
}

/// Reads the cases of a file.
fn cases(text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = Case::default();
    let mut in_change = false;
    for (number, line) in text.lines().chain([""]).enumerate() {
        if line.is_empty() {
            if !case.told.is_empty() {
                cases.push(std::mem::take(&mut case));
            }
            in_change = false;
            continue;
        }
        if case.told.is_empty() {
            case.line = number + 1;
        }
        let (mark, rest) = line.split_at(1);
        match mark {
            "#" => {}
            "@" => in_change = false,
            "=" => case.files.push((rest.trim().to_owned(), String::new())),
            "|" => case.files.last_mut().unwrap().1.extend([rest, "\n"]),
            "-" | "+" | " " => {
                if !in_change {
                    case.changes.push(Default::default());
                }
                in_change = true;
                let (old, new) = case.changes.last_mut().unwrap();
                old.extend(if mark == "+" { ["", ""] } else { [rest, "\n"] });
                new.extend(if mark == "-" { ["", ""] } else { [rest, "\n"] });
            }
            _ => {
                case.answer.extend([line, "\n"]);
                continue;
            }
        }
        case.told.extend([line, "\n"]);
    }
    cases
}

/// Replaces whole lines in a text, which must occur once.
fn changed(text: &str, changes: &[(String, String)]) -> String {
    let mut text = format!("\n{text}");
    for (old, new) in changes {
        let old = format!("\n{old}");
        assert_eq!(text.matches(&old).count(), 1, "the lines {old:?} stand elsewhere too, or nowhere");
        text = text.replace(&old, &format!("\n{new}"));
    }
    text.split_off(1)
}

/// The messages about a configuration in a directory, without that directory's name: its mistakes, or the warnings of a
/// good one.
fn answer(text: &str, scratch: &Scratch) -> String {
    let prefix = format!("{}/", scratch.path().display());
    let answer = match parse_following("f", text, &Source::from(scratch.path().to_owned()), None, NOW) {
        Ok(config) => config.warnings.iter().fold(String::new(), |text, warning| text + &format!("{warning}\n")),
        Err(mistakes) => mistakes.to_string(),
    };
    answer.replace(&prefix, "")
}

/// Every line says what is wrong, and after a semicolon what to write instead.
fn is_helpful(line: &str) -> bool {
    let what = line.split_once(": ").and_then(|(_, what)| what.split_once("; "));
    what.is_some_and(|(wrong, instead)| wrong.len() > 5 && instead.len() > 7)
}

/// Checks the cases of a file, or updates their messages; returns the number of cases.
fn check(path: &Path, base: &str, scratch: &Scratch) -> usize {
    let cases = cases(&fs::read_to_string(path).unwrap());
    let mut blessed = Vec::new();
    let mut failures = String::new();
    for case in &cases {
        let place = format!("{}:{}", path.display(), case.line);
        for (name, text) in &case.files {
            scratch.write(name, text);
        }
        let answer = answer(&changed(base, &case.changes), scratch);
        for (name, _) in &case.files {
            fs::remove_file(scratch.path().join(name)).unwrap();
        }
        assert!(!answer.is_empty(), "{place} is let pass");
        for line in answer.lines() {
            assert!(is_helpful(line), "{place}: {line}");
            assert!(!line.contains("BEGIN CERT") || line.contains("blocks"), "{place} shows a certificate: {line}");
        }
        if answer != case.answer {
            let _ = write!(failures, "\n{place} is answered with\n{answer}");
        }
        blessed.push(format!("{}{answer}", case.told));
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, blessed.join("\n")).unwrap();
    } else {
        assert!(failures.is_empty(), "{failures}\n(UPDATE=1 updates the messages)");
    }
    cases.len()
}

/// The files that cases may use: those beside the configurations of this project, and certificates.
fn files() -> Scratch {
    let scratch = listener_tests::scratch();
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, scratch.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    scratch
}

fn sorted(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn mistakes_are_told_as_their_cases_say() {
    let scratch = files();
    for directory in sorted(Path::new(DIRECTORY)) {
        let base = fs::read_to_string(directory.join("base.yaml")).unwrap();
        assert_eq!(answer(&base, &scratch), "", "{}", directory.display());
        for path in sorted(&directory).into_iter().filter(|path| !path.ends_with("base.yaml")) {
            let count = check(&path, &base, &scratch);
            println!("{count} cases in {}", path.display());
            assert!(count > 0, "{}", path.display());
        }
    }
}
