//! Dependencies: each direct one is listed with the reason why it is trusted, advisories fail a change but an
//! unreachable database does not, and the bill of materials is complete.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::Scratch;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The names of `[dependencies]` and `[dev-dependencies]`, as crates.io has them.
fn declared() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with('[') {
            inside = ["[dependencies]", "[dev-dependencies]"].contains(&line);
        } else if inside && let Some((name, rest)) = line.split_once(" = ") {
            let package = rest.split_once("package = \"").map(|(_, rest)| rest.split('"').next().unwrap());
            names.insert(package.unwrap_or(name).to_owned());
        }
    }
    names
}

#[test]
fn every_direct_dependency_has_its_reasons_to_be_trusted() {
    let text = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")).skip(1);
    let mut written = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_end_matches('|').split(" | ").map(str::trim).collect();
        let [name, keeper, why] = cells[..] else { panic!("{row}") };
        assert!(!keeper.is_empty() && why.len() > 5, "{row}");
        assert!(written.insert(name.to_owned()), "{name} is there twice");
    }
    assert!(written.len() > 40, "{written:?}");
    assert_eq!(written, declared());
}

/// Runs `.ci/advisories` with a mock cargo whose steps end with the given results.
fn advisories(fetch: u8, check: u8, has_copy: bool) -> Output {
    let scratch = Scratch::new();
    let cargo = scratch.path("cargo");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*'fetch db'*) exit {fetch};;\n*'check advisories'*) exit {check};;\nesac\nexit 9\n"
    );
    fs::write(&cargo, script).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    if has_copy {
        fs::create_dir_all(scratch.path("advisory-dbs").join("copy/crates")).unwrap();
    }
    let directory = cargo.parent().map(Path::to_owned).unwrap();
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap());
    Command::new(root().join(".ci/advisories")).env("PATH", path).env("CARGO_HOME", &directory).output().unwrap()
}

#[test]
fn an_advisory_fails_and_a_database_that_cannot_be_had_does_not() {
    for (fetch, check, has_copy, fails, says) in [
        (0, 0, false, false, "nothing new"),
        (0, 1, false, true, ""),
        (1, 0, false, false, "could not be fetched"),
        (1, 1, false, false, "could not be fetched"),
        (1, 1, true, true, "an earlier time"),
        (1, 0, true, false, "an earlier time"),
    ] {
        let output = advisories(fetch, check, has_copy);
        assert_eq!(!output.status.success(), fails, "{fetch} {check} {has_copy}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(says), "{fetch} {check} {has_copy}: {output:?}");
    }
}

#[test]
fn the_list_of_all_parts_is_whole() {
    let output = Command::new(root().join(".ci/sbom")).arg("--offline").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["bomFormat"], &document["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
    let components = document["components"].as_array().unwrap();
    let names: BTreeSet<&str> = components.iter().map(|component| component["name"].as_str().unwrap()).collect();
    for component in components {
        assert_eq!(component["hashes"][0]["content"].as_str().map(str::len), Some(64), "{component}");
        assert!(component["licenses"][0]["expression"].is_string(), "{component}");
    }
    let of_tests = ["divan", "loom", "postgres", "proptest", "rcgen"];
    let missing: Vec<String> =
        declared().into_iter().filter(|name| !names.contains(&**name) && !of_tests.contains(&&**name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(of_tests.iter().all(|name| !names.contains(name)));
    let references: BTreeSet<&str> =
        document["dependencies"].as_array().unwrap().iter().map(|entry| entry["ref"].as_str().unwrap()).collect();
    assert_eq!(references.len(), components.len() + 1, "every part and the program itself");
}
