//! What is made from the definition of the command line: completions and the manual.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::directory;

/// A small configuration without mistakes.
const GOOD: &str = "public_url: https://api.example.com\nupstreams:\n  lookup: { servers: [127.0.0.1:9001] }\nproducts:\n  \
                    phone: { upstream: lookup, routes: [POST /phone], token_headers: [Auth-Token] }\n";

fn tollgate(words: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate")).args(words).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {output:?}");
    output.stdout
}

/// Whether a program reads a text without errors; `None` if it is not installed.
fn reads(program: &str, words: &[&str], text: &[u8]) -> Option<bool> {
    let mut command = Command::new(program);
    let child = command.args(words).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.ok()?;
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = child.wait_with_output().unwrap();
    let quiet = output.status.success() && output.stderr.is_empty();
    if !quiet {
        println!("{program}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Some(quiet)
}

#[test]
fn completions_are_scripts_of_their_shells() {
    for (shell, words, must_be_there) in
        [("bash", &["-n"][..], true), ("zsh", &["-n"], false), ("fish", &["--no-execute"], false)]
    {
        let script = tollgate(&["completions", shell]);
        let text = String::from_utf8(script.clone()).unwrap();
        for word in ["explain", "schema", "credits", "config"] {
            assert!(text.contains(word), "{shell} does not know {word}");
        }
        match reads(shell, words, &script) {
            Some(read) => assert!(read, "{shell}"),
            None => assert!(!must_be_there, "{shell} is not on this machine"),
        }
    }
}

#[test]
fn bash_completes_a_command() {
    let script = String::from_utf8(tollgate(&["completions", "bash"])).unwrap();
    let asks = "COMP_WORDS=(tollgate ex); COMP_CWORD=1; _tollgate tollgate ex tollgate; echo \"${COMPREPLY[@]}\"";
    // As a file: an argument may have 128 KiB.
    let directory = directory();
    let file = directory.join("complete.bash");
    std::fs::write(&file, format!("{script}\n{asks}")).unwrap();
    let output = Command::new("bash").arg(&file).output().unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "explain", "{output:?}");
}

#[test]
fn every_command_has_a_page_that_groff_reads() {
    let pages = directory();
    tollgate(&["man", "--into", pages.to_str().unwrap()]);
    let mut names: Vec<String> =
        std::fs::read_dir(&pages).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    for command in ["", "-run", "-check", "-explain", "-schema", "-credits-grant", "-token-new", "-completions"] {
        assert!(names.contains(&format!("tollgate{command}.1")), "{names:?}");
    }
    for name in &names {
        let page = std::fs::read(pages.join(name)).unwrap();
        assert_ne!(reads("groff", &["-ww", "-man", "-Tutf8", "-"], &page), Some(false), "{name}");
        assert!(page.windows(3).any(|line| line == b".SH"), "{name} has no section");
    }
    assert_ne!(reads("groff", &["-ww", "-man", "-Tutf8", "-"], &tollgate(&["man"])), Some(false));
    std::fs::remove_dir_all(pages).unwrap();
}

/// What scripts and editors rely on.
#[test]
fn check_tells_people_and_programs_the_same() {
    let directory = directory();
    let path = directory.join("gateway.yaml");
    let check = |text: &str, more: &[&str]| {
        std::fs::write(&path, text).unwrap();
        let words = ["check", "--config", path.to_str().unwrap()];
        let output = Command::new(env!("CARGO_BIN_EXE_tollgate")).args(words).args(more).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(directory.to_str().unwrap(), "D");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, err) = check(GOOD, &["--deny-warnings"]);
    assert!(code == Some(0) && out.starts_with("D/gateway.yaml: good\n") && err.is_empty(), "{out}{err}");
    let bad = GOOD.to_owned() + "  email: { upstream: lokup, routes: [POST /email], token_headers: [Auth-Token] }\n";
    let (code, out, err) = check(&bad, &[]);
    let expected = "D/gateway.yaml:6:22: products.email.upstream: is not an upstream; write lookup\n  \
                    6 |   email: { upstream: lokup, routes: [POST /email], token_headers: [Auth-Token] }\n    \
                    |                      ^\n";
    assert_eq!((code, &*out, &*err), (Some(1), "", expected));
    let (code, out, err) = check(&bad, &["--json"]);
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    let finding = serde_json::json!({
        "severity": "mistake", "file": "D/gateway.yaml", "line": 6, "column": 22, "key": "products.email.upstream",
        "message": "is not an upstream; write lookup",
    });
    assert_eq!((code, &*err), (Some(1), ""));
    assert_eq!(
        document,
        serde_json::json!({
            "version": 1, "config": "D/gateway.yaml", "good": false, "mistakes": 1, "warnings": 0,
            "findings": [finding], "summary": null,
        })
    );
    let (code, out, _) = check(GOOD, &["--json"]);
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &document["good"], &document["findings"]), (Some(0), &true.into(), &serde_json::json!([])));
    assert!(document["summary"].as_str().unwrap().contains("1 product on 1 route"), "{document}");
    std::fs::remove_dir_all(directory).unwrap();
}

/// As in `tollgate check 2>&1 | head -1`, and in scripts that close what they do not want.
#[test]
fn what_nobody_reads_changes_no_exit_status() {
    let directory = directory();
    let path = directory.join("gateway.yaml");
    for (text, code) in [(GOOD.to_owned(), 0), (GOOD.replace("lookup, routes", "lokup, routes"), 1)] {
        std::fs::write(&path, text).unwrap();
        for closed in ["2>&-", "2>&1 >&-", "2>&1 | true; exit ${PIPESTATUS[0]}"] {
            let script = format!("\"$0\" check -c \"$1\" {closed}");
            let words = ["-c", &script, env!("CARGO_BIN_EXE_tollgate"), path.to_str().unwrap()];
            let output = Command::new("bash").args(words).output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{closed}: {output:?}");
        }
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_new_token_covers_the_products_of_the_configuration_that_the_environment_names() {
    let directory = directory();
    let path = directory.join("gateway.yaml");
    std::fs::write(&path, GOOD).unwrap();
    let (file, program) = (path.to_str().unwrap(), env!("CARGO_BIN_EXE_tollgate"));
    for (words, variable) in [(&["token", "new", "-c", file][..], ""), (&["token", "new"], file)] {
        let mut command = Command::new(program);
        if !variable.is_empty() {
            command.env("TOLLGATE_CONFIG", variable);
        }
        let output = command.args(words).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("phone"), "{words:?}: {text}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}
