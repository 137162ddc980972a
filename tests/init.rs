//! `tollgate init`: what it writes is accepted, served and answers its own curl; nothing is overwritten; wrong flags are 2.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::{Backend, closed_port, directory};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tollgate");

fn init(directory: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("init").args(words).current_dir(directory).stdin(Stdio::null());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Writes a configuration, checks it, serves it, and runs the curl that was printed; returns what the curl said.
fn asked(words: &[&str], backend: &Backend) -> String {
    let directory = directory();
    let url = format!("http://{}", backend.address());
    let listen = closed_port().to_string();
    let all: Vec<&str> = words.iter().copied().chain(["--listen", &listen, "--yes"]).collect();
    let words: Vec<String> = all.iter().map(|word| word.replace("$BACKEND", &url)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words.contains(&"openapi.yaml") {
        std::fs::write(directory.join("openapi.yaml"), OPENAPI).unwrap();
    }
    let output = init(&directory, &words);
    let said = text(&output.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let check = Command::new(PROGRAM)
        .args(["check", "--deny-warnings", "--config", "gateway.yaml"])
        .current_dir(&directory)
        .output()
        .unwrap();
    assert!(check.status.success() && check.stderr.is_empty(), "{check:?}");
    let path = directory.join("gateway.yaml");
    let yaml = std::fs::read_to_string(&path).unwrap();
    let token = said.lines().map(str::trim).find(|line| line.starts_with("tg_")).expect("a token");
    assert!(!yaml.contains(token) && yaml.contains("hash: \"sha256:"), "{yaml}");
    // The admin listener's port may be somebody else's here.
    let mine = yaml.replace("admin: 127.0.0.1:9901", &format!("admin: {}", closed_port()));
    std::fs::write(&path, mine).unwrap();
    let mut gateway = Command::new(PROGRAM)
        .args(["run", "--config", "gateway.yaml"])
        .current_dir(&directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(gateway.stdout.as_mut().unwrap()), &mut line).unwrap();
    let curl = said.split("Ask it:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let answer = Command::new("bash").args(["-c", curl]).env("no_proxy", "*").output().unwrap();
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    text(&answer.stdout)
}

const OPENAPI: &str = r##"openapi: 3.0.3
info: { title: Company lookups, version: "1" }
servers: [{ url: https://api.example.com }]
security: [{ key: [] }]
paths:
  /companies/search:
    post:
      operationId: search
      requestBody:
        required: true
        content: { application/json: { schema: { $ref: "#/components/schemas/Search" } } }
      responses:
        200:
          description: Companies
          content: { application/json: { schema: { type: array, items: { $ref: "#/components/schemas/Company" } } } }
        404: { description: Nobody has this name }
components:
  securitySchemes: { key: { type: apiKey, in: header, name: X-Api-Key } }
  schemas:
    Search:
      type: object
      required: [name, where]
      properties:
        name: { type: string, minLength: 2, example: ACME }
        where: { $ref: "#/components/schemas/Place" }
    Place: { type: object, required: [country], properties: { country: { type: string, pattern: "^[A-Z]{2}$", example: DE } } }
    Company: { type: object, properties: { name: { type: string }, parent: { $ref: "#/components/schemas/Company" } } }
"##;

#[test]
fn what_it_writes_answers_its_own_curl() {
    let backend = Backend::answering_json();
    for (words, line) in [
        (
            &["--backend", "$BACKEND", "--route", "GET /v1/vat/{number}", "--example", "number=DE 1"][..],
            "GET /v1/vat/DE%201 HTTP/1.1",
        ),
        (
            &["--backend", "$BACKEND/api/v2/", "--route", "GET /v1/vat/{number}", "--token-in", "query key"],
            "GET /api/v2/v1/vat/1 HTTP/1.1",
        ),
        (
            &["--backend", "$BACKEND", "--route", "POST /v1/lookup", "--token-in", "basic password"],
            "POST /v1/lookup HTTP/1.1",
        ),
        (
            &["--backend", "$BACKEND", "--route", "DELETE /v1/lookup", "--token-in", "header X-Key", "--product", "x"],
            "DELETE /v1/lookup HTTP/1.1",
        ),
        (&["--backend", "$BACKEND", "--from-openapi", "openapi.yaml"], "POST /companies/search HTTP/1.1"),
    ] {
        let answer = asked(words, &backend);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{words:?}: {answer}");
        let sent = text(&backend.last_request());
        assert_eq!(sent.lines().next().unwrap().trim_end(), line);
    }
}

#[test]
fn nothing_is_overwritten_without_being_asked_to() {
    let directory = directory();
    let words = ["--backend", "http://127.0.0.1:9001", "--route", "GET /a"];
    assert!(init(&directory, &words).status.success());
    let first = std::fs::read_to_string(directory.join("gateway.yaml")).unwrap();
    let again = init(&directory, &words);
    assert_eq!((again.status.code(), again.stdout.len()), (Some(1), 0));
    assert!(text(&again.stderr).contains("gateway.yaml is there already"), "{again:?}");
    assert_eq!(std::fs::read_to_string(directory.join("gateway.yaml")).unwrap(), first);
    let forced = init(&directory, &[&words[..], &["--force"]].concat());
    assert!(forced.status.success());
    assert_ne!(std::fs::read_to_string(directory.join("gateway.yaml")).unwrap(), first, "another token");
    std::fs::write(directory.join("openapi.yaml"), OPENAPI).unwrap();
    std::fs::write(directory.join("company-lookups.search.schema.json"), "mine").unwrap();
    let beside = init(&directory, &["--from-openapi", "openapi.yaml", "--out", "other.yaml"]);
    assert_eq!(beside.status.code(), Some(1), "{beside:?}");
    assert!(!directory.join("other.yaml").exists());
    assert_eq!(std::fs::read_to_string(directory.join("company-lookups.search.schema.json")).unwrap(), "mine");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_missing_or_wrong_flag_is_told_in_words() {
    let directory = directory();
    let backend = ["--backend", "http://127.0.0.1:9001"];
    for (words, code, what) in [
        (&[][..], 2, "--backend is missing"),
        (&backend[..], 2, "--route is missing"),
        (&["--backend", "ftp://a", "--route", "GET /a"], 2, "not HTTP"),
        (&["--backend", "http://127.0.0.1:9001", "--route", "FETCH /a"], 2, "has a method that cannot be routed"),
        (
            &["--backend", "http://127.0.0.1:9001", "--route", "GET /a", "--token-in", "cookie"],
            2,
            "is not a place for tokens",
        ),
        (&["--backend", "http://127.0.0.1:9001", "--route", "GET /a", "--public-url", "me"], 2, "is not a public URL"),
        (
            &["--backend", "http://127.0.0.1:9001", "--route", "GET /a", "--product", "A B"],
            2,
            "is not a name for a product",
        ),
        (&["--backend", "http://127.0.0.1:9001", "--route", "GET /a", "--route", "GET /b"], 2, "more than once"),
        (&["--backend", "http://127.0.0.1:9001", "--route", "GET /a", "--example", "b=1"], 2, "no parameter of /a"),
        (
            &["--backend", "http://127.0.0.1:9001", "--route", "GET /a", "--listen", "127.0.0.1:9001"],
            2,
            "the backend's own address",
        ),
        (&["--backend", "http://127.0.0.1:9001", "--route", "GET /problems"], 1, "the gateway's own pages"),
        (&["--from-openapi", "nowhere.yaml"], 1, "nowhere.yaml"),
        (
            &["--backend", "http://127.0.0.1:9001", "--route", "GET /a", "--out", "no/such/place.yaml"],
            1,
            "cannot write",
        ),
    ] {
        let output = init(&directory, words);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(said.contains(what) && output.stdout.is_empty(), "{words:?}: {said}");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "{words:?}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}

/// A backend on the usual port of the gateway, and one with TLS.
#[test]
fn the_gateway_moves_away_from_its_backend_and_uses_tls() {
    let directory = directory();
    let words = ["--backend", "http://localhost:8080", "--route", "GET /a"];
    assert!(init(&directory, &words).status.success());
    let yaml = std::fs::read_to_string(directory.join("gateway.yaml")).unwrap();
    assert!(
        yaml.contains("\nlisten: 127.0.0.1:8081\n") && yaml.contains("\npublic_url: \"http://127.0.0.1:8081\"\n"),
        "{yaml}"
    );
    assert!(yaml.lines().count() <= 40, "{yaml}");
    let words = ["--backend", "https://lookup.example.com/api", "--route", "GET /a", "--out", "tls.yaml"];
    let output = init(&directory, &words);
    // A machine without authorities cannot verify anybody, and says so.
    if output.status.success() {
        let yaml = std::fs::read_to_string(directory.join("tls.yaml")).unwrap();
        for line in
            ["servers: [\"lookup.example.com:443\"]", "host: \"lookup.example.com\"", "tls: {}", "rewrite: /api/a"]
        {
            assert!(yaml.contains(line), "{line}: {yaml}");
        }
    }
    std::fs::remove_dir_all(directory).unwrap();
}
