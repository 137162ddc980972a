//! The documents: every relative link leads somewhere, every command runs, the generated table is the
//! program's own, and the README stays short.
//!
//! CONTRIBUTING.md describes the info strings of code blocks. Each document runs in a separate directory, with its own
//! ports, in the order of its blocks.

mod markdown;
mod run;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use tollgate::policy::problem::table_as_markdown;

use self::markdown::{Part, anchors, broken, documents, links, parts, root, straight};
use self::run::Run;
use crate::support::{Backend, Configuration, Gateway};

/// The longest README: one screen of text and a picture.
const README_LINES: usize = 120;
const README_WORDS: usize = 900;

/// The markers around the generated table.
const TABLE_BEGINS: &str = "<!-- problems: begin -->\n\n";
const TABLE_ENDS: &str = "\n<!-- problems: end -->";

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut mistakes = Vec::new();
    let mut followed = 0;
    for (path, text) in documents() {
        for link in links(&text) {
            followed += 1;
            if let Some(why) = broken(&path, &text, &link) {
                mistakes.push(format!("{}: {link}: {why}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(mistakes.is_empty(), "{mistakes:#?}");
    assert!(followed > 50, "only {followed} links were found");
}

#[test]
fn a_broken_link_is_found() {
    let here = root().join("docs/README.md");
    let text = "# One\n## A `b` (c)\n[x](#one) [y](#a-b-c)\n";
    assert!(links(text).iter().all(|link| broken(&here, text, link).is_none()));
    for link in ["nothing.md", "#two", "contract.md#section-99", "../../elsewhere.md", "../Cargo.toml#section"] {
        assert!(broken(&here, text, link).is_some(), "{link}");
    }
}

#[test]
fn every_document_can_be_reached_from_the_readme() {
    let documents = documents();
    let mut seen = HashSet::from([root().join("README.md")]);
    let mut waiting: Vec<PathBuf> = seen.iter().cloned().collect();
    while let Some(path) = waiting.pop() {
        let Some((_, text)) = documents.iter().find(|(known, _)| *known == path) else { continue };
        for link in links(text) {
            let file = link.split('#').next().unwrap_or_default();
            let to = straight(&path.parent().unwrap().join(file));
            if !file.is_empty() && seen.insert(to.clone()) {
                waiting.push(to);
            }
        }
    }
    let lost: Vec<_> = documents.iter().filter(|(path, _)| !seen.contains(path)).map(|(path, _)| path).collect();
    assert!(lost.is_empty(), "no link leads to {lost:?}");
}

/// Two branches that have changed the same lines leave marks, which have to go with one of the two.
#[test]
fn no_document_has_the_marks_of_a_merge() {
    for (path, text) in documents() {
        let mark = text.lines().find(|line| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> "));
        assert_eq!(mark, None, "{}", path.display());
    }
}

/// Every citation of the contract in source text names an existing section.
#[test]
fn every_section_of_the_contract_that_is_cited_is_there() {
    let contract = anchors(&fs::read_to_string(root().join("docs/contract.md")).unwrap());
    let mut cited = 0;
    for (path, text) in [root().join("src"), root().join("tests")].iter().flat_map(|place| sources(place)) {
        if path.ends_with("documents.rs") {
            continue;
        }
        for words in ["contract, section ", "contract section "] {
            for rest in text.split(words).skip(1) {
                let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
                cited += 1;
                assert!(contract.contains(&format!("section-{number}")), "{}: {number}", path.display());
            }
        }
    }
    assert!(cited >= 20, "only {cited} citations were found");
}

/// The text of every file of Rust below a directory.
fn sources(place: &Path) -> Vec<(PathBuf, String)> {
    let mut waiting = vec![place.to_owned()];
    let mut found = Vec::new();
    while let Some(place) = waiting.pop() {
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

/// The last cell of each row of the threat model names tests: functions, or files of tests/.
#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let text = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let code: String = [root().join("src"), root().join("tests")]
        .iter()
        .flat_map(|place| sources(place))
        .map(|(_, text)| text)
        .collect();
    // The tables of connections name settings, and their tests above them.
    let text = text.split("## HTTP/2 and connections").next().unwrap_or_default();
    let rows = text.lines().filter(|line| line.starts_with("| ") && line.ends_with("` |"));
    let cells = rows.filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    let mut named = 0;
    for test in cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
        named += 1;
        let is_there = match test.ends_with(".rs") {
            true => root().join("tests").join(test).exists(),
            false => code.contains(&format!("fn {test}(")),
        };
        assert!(is_there, "there is no test {test}");
    }
    assert!(named >= 40, "only {named} tests were found");
}

#[test]
fn every_alert_has_a_heading() {
    let alerts = fs::read_to_string(root().join("deploy/prometheus/alerts.yml")).unwrap();
    let headings = anchors(&fs::read_to_string(root().join("docs/runbooks.md")).unwrap());
    let names: Vec<&str> =
        alerts.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: ")).map(str::trim).collect();
    assert!(names.len() >= 13, "only {} alerts were found", names.len());
    for name in names {
        assert!(headings.contains(&name.to_lowercase()), "docs/runbooks.md has no heading {name}");
    }
}

#[test]
fn every_metric_is_in_the_table() {
    let text = fs::read_to_string(root().join("docs/observability.md")).unwrap();
    let backend = Backend::answering_json();
    let gateway = Gateway::start(&Configuration::new(backend.address()).yaml());
    let mut names = 0;
    for line in gateway.ask_admin("GET", "/metrics", &[], "").1.lines() {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else { continue };
        let shown = if kind == "counter" {
            format!("`{}_total`", name.trim_end_matches("_total"))
        } else {
            format!("`{name}`")
        };
        names += 1;
        assert!(text.contains(&shown), "docs/observability.md has no {shown}");
    }
    assert!(names >= 30, "only {names} metrics were found");
}

/// With UPDATE=1 the table is put into the document.
#[test]
fn the_contract_has_the_table_of_problems() {
    let path = root().join("docs/contract.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(TABLE_BEGINS).expect("a place for the table");
    let (table, behind) = rest.split_once(TABLE_ENDS).expect("an end of the table");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{before}{TABLE_BEGINS}{}{TABLE_ENDS}{behind}", table_as_markdown())).unwrap();
        return;
    }
    assert_eq!(table, table_as_markdown(), "run UPDATE=1 cargo test --test main documents");
}

#[test]
fn the_readme_is_one_screen() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let (lines, words) = (text.lines().count(), text.split_whitespace().count());
    assert!(lines <= README_LINES, "{lines} lines; move something to docs/");
    assert!(words <= README_WORDS, "{words} words; move something to docs/");
}

#[test]
fn a_block_that_is_not_run_says_why() {
    for (path, text) in documents() {
        let mut before = String::new();
        for part in parts(&text) {
            match part {
                Part::Line(line) => before = line,
                Part::Block(block) if block.info.contains("no-run") => {
                    let why = before.trim_start().starts_with("<!-- not run by the tests: ");
                    assert!(why, "{}:{} is not run and does not say why", path.display(), block.line);
                }
                Part::Block(_) | Part::Directive(_) => {}
            }
        }
    }
}

/// Runs every document that has something to run, all at once; returns the number of blocks.
fn run(wanted: impl Fn(&Path) -> bool) -> usize {
    let documents = documents();
    std::thread::scope(|scope| {
        let runs: Vec<_> = documents
            .iter()
            .filter(|(path, _)| wanted(path))
            .map(|(path, text)| {
                scope.spawn(|| {
                    let mut run = Run::of(path);
                    parts(text).iter().for_each(|part| run.take(part));
                    run.blocks
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().expect("a document that runs")).sum()
    })
}

#[test]
fn the_commands_of_the_readme_run() {
    assert!(run(|path| path == root().join("README.md")) >= 5);
}

#[test]
fn the_commands_of_the_documents_run() {
    let docs = root().join("docs");
    assert!(run(|path| path.starts_with(&docs)) >= 15);
}

#[test]
fn a_block_that_fails_is_found() {
    let path = root().join("docs/README.md");
    for text in [
        "```sh\nfalse\n```\n",
        "```sh\necho a\n```\n<!-- docs-test: prints b -->\n",
        "```sh background\ntrue\n```\n",
        "```yaml\npublic_url: https://api.example.com\nproducts: {}\nno_such_key: 1\n```\n",
        "```shell\ntrue\n```\n",
    ] {
        let failed = std::panic::catch_unwind(|| {
            let mut run = Run::of(&path);
            parts(text).iter().for_each(|part| run.take(part));
        });
        assert!(failed.is_err(), "{text}");
    }
}
