//! Raw bytes over real connections: public corpora of unusual requests and documents, if they are beside the
//! repository, and a table of our own that always runs.
//!
//! The backend must see nothing, or exactly the one clean request that was permitted. And whatever the client sent, it
//! gets complete answers of the closed set.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollgate::config::units::{FromText, RouteText};
use tollgate::policy::account::Digest;

const TOKEN: &str = "corpora-token";

/// The closed set of statuses (contract, section 1).
const STATUSES: [u16; 12] = [200, 204, 400, 401, 403, 404, 406, 408, 415, 429, 500, 503];

/// The longest time a connection may stay open: every time limit of the gateway under test is far shorter.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the corpora are, or `None` with a message.
fn shared(what: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("TOLLGATE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    if shared.join("corpora").is_dir() {
        return Some(shared);
    }
    println!(
        "skipped {what}: there is no {}; TOLLGATE_SHARED can name another place",
        shared.join("corpora").display()
    );
    None
}

/// A directory for one test, removed when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tollgate-corpora-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Ports that are free now, all different.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// The program under test, which ends with this value.
struct Gateway {
    child: Child,
    port: u16,
    _scratch: Scratch,
}

impl Gateway {
    /// Starts the program with some products in front of a backend.
    fn start(backend: u16, products: &str) -> Gateway {
        let scratch = Scratch::new();
        let [port, admin] = free_ports();
        let names: Vec<_> = products
            .lines()
            .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'))
            .filter(|name| !name.starts_with(' '))
            .collect();
        let digest = Digest::of(TOKEN.as_bytes()).text();
        let configuration = format!(
            "listen: 127.0.0.1:{port}\nadmin: 127.0.0.1:{admin}\nworkers: 2\npublic_url: http://127.0.0.1:{port}\n\
             limits: {{ head_timeout: 300ms, body_timeout: 300ms, idle_timeout: 60ms }}\n\
             upstreams: {{ backend: {{ servers: [127.0.0.1:{backend}], host: backend.example }} }}\n\
             products:\n{products}\
             problems:\n  number-missing: {{ status: 400, detail: There is no number. }}\n\
             accounts:\n  tests:\n    rate: {{ unlimited: true }}\n    tokens:\n      \
             - {{ name: t, hash: \"{digest}\", products: [{}] }}\n",
            names.join(", ")
        );
        let configuration = if products.contains("number-missing") {
            configuration
        } else {
            configuration.replace("problems:\n  number-missing: { status: 400, detail: There is no number. }\n", "")
        };
        let file = scratch.0.join("gateway.yaml");
        std::fs::write(&file, configuration).unwrap();
        let log = std::fs::File::create(scratch.0.join("log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["run", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let gateway = Gateway { child, port, _scratch: scratch };
        let log = std::fs::read_to_string(file.with_file_name("log")).unwrap();
        assert!(line.starts_with("tollgate listens on"), "{line}{log}");
        gateway
    }

    /// Sends bytes on a connection of their own and reads until the gateway closes it.
    fn send(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        // A gateway that has answered already need not take the rest.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            // A client that sends on after its answer can be reset; what came before counts.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the connection was neither used nor closed ({error}): {:?}", shown(bytes)),
        }
        answer
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..300).unwrap_or(bytes)).into_owned()
}

/// A request as the backend read it.
#[derive(Clone, Debug)]
struct Seen {
    /// Method and target.
    what: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A backend that answers every request with a small object, and keeps what it saw.
struct Backend {
    port: u16,
    seen: Arc<Mutex<Vec<Result<Seen, String>>>>,
}

impl Backend {
    fn start() -> Backend {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<_>>> = Arc::default();
        let kept = Arc::clone(&seen);
        // The thread ends with the process: there is one for each test.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || answer_all(stream, &kept));
            }
        });
        Backend { port, seen }
    }

    /// What was seen since the last call. Whatever is not a clean request is a failure.
    fn take(&self) -> Vec<Seen> {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.into_iter()
            .map(|seen| seen.unwrap_or_else(|fault| panic!("the backend saw something unclean: {fault}")))
            .collect()
    }
}

fn answer_all(stream: TcpStream, kept: &Mutex<Vec<Result<Seen, String>>>) {
    let mut out = stream.try_clone().unwrap();
    let mut input = BufReader::new(stream);
    loop {
        match read_request(&mut input) {
            Ok(Some(seen)) => kept.lock().unwrap().push(Ok(seen)),
            Ok(None) => return,
            Err(fault) => {
                kept.lock().unwrap().push(Err(fault));
                return;
            }
        }
        if out
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}")
            .is_err()
        {
            return;
        }
    }
}

/// Reads one request as strictly as RFC 9112 allows, and in the one form that the gateway builds.
fn read_request(input: &mut impl BufRead) -> Result<Option<Seen>, String> {
    let mut lines: Vec<String> = Vec::new();
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line).map_or(true, |read| read == 0) {
            return if lines.is_empty() { Ok(None) } else { Err("a head without an end".to_owned()) };
        }
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(format!("a line without CR LF: {:?}", shown(&line)));
        };
        if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(format!("a control byte: {:?}", shown(line)));
        }
        if line.is_empty() {
            break;
        }
        lines.push(String::from_utf8_lossy(line).into_owned());
    }
    let request_line = lines.first().cloned().unwrap_or_default();
    let words: Vec<_> = request_line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words.as_slice() else {
        return Err(format!("no request line: {request_line:?}"));
    };
    if !target.starts_with('/') || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("an odd target: {target:?}"));
    }
    let mut headers = Vec::new();
    for line in lines.iter().skip(1) {
        let (name, value) = line.split_once(": ").ok_or(format!("no header line: {line:?}"))?;
        if name.is_empty()
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-!#$%&'*+.^`|~".contains(&byte))
        {
            return Err(format!("an odd header name: {name:?}"));
        }
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let values = |name: &str| headers.iter().filter(|(known, _)| known == name).count();
    for (name, most) in [
        ("host", 1),
        ("content-length", 1),
        ("transfer-encoding", 0),
        ("auth-token", 0),
        ("upgrade", 0),
        ("http2-settings", 0),
        ("connection", 0),
        ("te", 0),
        ("trailer", 0),
        ("expect", 0),
        ("x-trailer", 0),
    ] {
        if values(name) > most {
            return Err(format!("{} lines of {name}", values(name)));
        }
    }
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    if header("host") != Some("backend.example") {
        return Err(format!("the Host is not the backend's: {:?}", header("host")));
    }
    let length = match header("content-length") {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().unwrap_or(0),
        Some(other) => return Err(format!("an odd Content-Length: {other:?}")),
        None => 0,
    };
    let mut body = vec![0; length];
    input.read_exact(&mut body).map_err(|error| format!("a body that is cut short: {error}"))?;
    Ok(Some(Seen { what: format!("{method} {target}"), headers, body }))
}

/// An answer as a client reads it.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: Vec<u8>,
}

/// Splits what a connection brought into whole answers, and holds each to the contract.
fn answers(bytes: &[u8]) -> Result<Vec<Answer>, String> {
    let mut rest = bytes;
    let mut answers = Vec::new();
    while !rest.is_empty() {
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n").ok_or("an answer without an end of its head")?;
        let (head, after) = (String::from_utf8_lossy(&rest[..end]), &rest[end + 4..]);
        let status: u16 = head
            .strip_prefix("HTTP/1.1 ")
            .and_then(|head| head.get(..3)?.parse().ok())
            .ok_or(format!("no status line: {:?}", shown(rest)))?;
        rest = after;
        if status == 100 {
            continue;
        }
        let header = |name: &str| {
            head.lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        };
        let length: usize = header("content-length").and_then(|digits| digits.parse().ok()).unwrap_or(0);
        // The answer to HEAD has its length and no body.
        let has_no_body = rest.len() < length || (rest.starts_with(b"HTTP/1.1 ") && length > 0);
        let body = if has_no_body { &rest[..0] } else { &rest[..length] };
        rest = &rest[body.len()..];
        if !STATUSES.contains(&status) {
            return Err(format!("the status {status}"));
        }
        if header("transaction-id").is_none() {
            return Err("no Transaction-Id".to_owned());
        }
        if !matches!(status, 200 | 204) {
            if has_no_body {
                answers.push(Answer { status, body: Vec::new() });
                continue;
            }
            error_object(header("content-type"), body)?;
        }
        answers.push(Answer { status, body: body.to_vec() });
    }
    Ok(answers)
}

/// Exactly four strings in `error`, and nothing beside it.
fn error_object(kind: Option<&str>, body: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(body).into_owned();
    let value: Value = serde_json::from_slice(body).map_err(|error| format!("{error}: {text}"))?;
    let outer = value.as_object().filter(|outer| outer.len() == 1);
    let error = outer.and_then(|outer| outer.get("error")?.as_object());
    let whole = error.is_some_and(|error| {
        let members = ["type", "title", "detail", "instance"];
        error.len() == members.len() && members.iter().all(|name| error.get(*name).is_some_and(Value::is_string))
    });
    if whole && kind == Some("application/json") {
        Ok(())
    } else {
        Err(format!("not an error object ({kind:?}): {text}"))
    }
}

fn decoded(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').collect();
    let mut out = Vec::new();
    for group in digits.chunks(4) {
        let bits = group.iter().fold(0, |bits, byte| bits << 6 | value(*byte)) << (6 * (4 - group.len()));
        out.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    out
}

fn encoded(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let mut four = [0; 4];
        four[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(four);
        for place in 0..4 {
            let digit = DIGITS[usize::try_from(bits >> (18 - 6 * place) & 63).unwrap()];
            out.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// One line of a corpus.
struct Entry {
    name: String,
    expect: String,
    bytes: Vec<u8>,
}

fn corpus(file: &Path) -> Vec<Entry> {
    let text = std::fs::read_to_string(file).unwrap();
    let text_of = |line: &Value, names: &[&str]| {
        let found = names.iter().find_map(|name| line[*name].as_str());
        found.unwrap_or_default().to_owned()
    };
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["b64"].is_string())
        .map(|line| Entry {
            name: text_of(&line, &["name", "title", "id"]),
            expect: text_of(&line, &["expect"]),
            bytes: decoded(&text_of(&line, &["b64"])),
        })
        .collect()
}

const RAW_CORPORA: [&str; 2] = ["http11probe.jsonl", "llhttp_requests_host.jsonl"];

/// Products that serve every route a request of the corpora can mean: without bodies, and with any
/// JSON as the body.
fn all_routes(entries: &[Entry]) -> String {
    let mut routes: BTreeMap<bool, BTreeSet<String>> = BTreeMap::new();
    for entry in entries {
        let text = String::from_utf8_lossy(&entry.bytes);
        let words: Vec<_> = text.split_ascii_whitespace().take(2).collect();
        let [method, target] = words.as_slice() else { continue };
        let path = match target.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => target,
        };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let route = format!("{method} {path}");
        if RouteText::from_text(&route).is_ok() {
            let has_body = !matches!(*method, "GET" | "DELETE");
            routes.entry(has_body).or_default().insert(route);
        }
    }
    let list = |has_body: bool| {
        let quoted: Vec<_> = routes[&has_body].iter().map(|route| format!("'{}'", route.replace('\'', "''"))).collect();
        quoted.join(", ")
    };
    format!(
        "  with:\n    upstream: backend\n    token_headers: [Auth-Token]\n    routes: [{}]\n    body: {{ max: 1MiB }}\n  \
         without:\n    upstream: backend\n    token_headers: [Auth-Token]\n    routes: [{}]\n",
        list(true),
        list(false)
    )
}

/// The request with a token and a media type behind its request line, and with ones for its body,
/// which is then JSON of the same length: whatever is framed soundly is forwarded.
fn with_token(bytes: &[u8]) -> Option<Vec<u8>> {
    let start = bytes.iter().position(|byte| !b"\r\n".contains(byte))?;
    let line_end = start + bytes[start..].windows(2).position(|two| two == b"\r\n")? + 2;
    let mut out = bytes[..line_end].to_vec();
    out.extend_from_slice(format!("Auth-Token: {TOKEN}\r\nContent-Type: application/json\r\n").as_bytes());
    out.extend_from_slice(&bytes[line_end..]);
    if let Some(head_end) = out.windows(4).position(|four| four == b"\r\n\r\n") {
        let (head, body) = out.split_at_mut(head_end + 4);
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        if head.contains("transfer-encoding") {
            fill_chunks(body);
        } else if let Some(body) = length.and_then(|length: usize| body.get_mut(..length)) {
            body.fill(b'1');
        }
    }
    Some(out)
}

/// Puts ones for the data of chunks, as far as the sizes can be read.
fn fill_chunks(mut body: &mut [u8]) {
    loop {
        let digits = body.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = std::str::from_utf8(&body[..digits]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let line_end = body.windows(2).position(|two| two == b"\r\n");
        let (Some(size @ 1..), Some(line_end)) = (size, line_end) else {
            return;
        };
        let Some(end) = size.checked_add(line_end + 2).filter(|end| *end <= body.len()) else {
            return;
        };
        body[line_end + 2..end].fill(b'1');
        body = &mut body[end..];
        if !body.starts_with(b"\r\n") {
            return;
        }
        body = &mut body[2..];
    }
}

/// Runs the replay script against a gateway of its own; its report on the one corpus.
fn run_script(shared: &Path, corpus: &Path, products: &str) -> Value {
    let [origin] = free_ports();
    let gateway = Gateway::start(origin, products);
    let report = Scratch::new();
    let out = report.0.join("report.json");
    let mut script = Command::new("python3")
        .arg(shared.join("tools/http1_corpus.py"))
        .args(["--target", &format!("127.0.0.1:{}", gateway.port), "--origin-port", &origin.to_string()])
        .args(["--timeout", "1", "--json"])
        .arg(&out)
        .arg("--corpus")
        .arg(corpus)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let ended = loop {
        match script.try_wait().unwrap() {
            Some(status) => break status.success(),
            None if begun.elapsed() > Duration::from_secs(120) => {
                let _ = script.kill();
                let _ = script.wait();
                break false;
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    assert!(ended, "the script failed or took too long");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(out).unwrap()).unwrap();
    report.as_object().unwrap().values().next().unwrap().clone()
}

#[test]
fn the_replay_script_finds_nothing_unclean() {
    let Some(shared) = shared("the replay of raw requests") else {
        return;
    };
    let scratch = Scratch::new();
    let files: Vec<_> = RAW_CORPORA.iter().map(|name| shared.join("corpora").join(name)).collect();
    let everything: Vec<_> = files.iter().flat_map(|file| corpus(file)).collect();
    let products = all_routes(&everything);
    let mut runs = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let tokens = scratch.0.join(&name);
        let lines = corpus(&file).into_iter().filter_map(|entry| {
            let bytes = with_token(&entry.bytes)?;
            Some(json!({"name": entry.name, "expect": entry.expect, "b64": encoded(&bytes)}).to_string() + "\n")
        });
        std::fs::write(&tokens, lines.collect::<String>()).unwrap();
        runs.push((name.clone(), false, file));
        runs.push((name, true, tokens));
    }
    let reports: Vec<_> = std::thread::scope(|scope| {
        let started: Vec<_> = runs
            .iter()
            .map(|(name, tokens, file)| (name, *tokens, scope.spawn(|| run_script(&shared, file, &products))))
            .collect();
        started.into_iter().map(|(name, tokens, run)| (name, tokens, run.join().unwrap())).collect()
    });
    for (name, tokens, report) in reports {
        let count = |key: &str| report[key].as_u64().unwrap();
        println!(
            "{name}{}: {} requests, {} forwarded, {} refused, dirty {}, desync {}, first answers {}",
            if tokens { " with a token" } else { "" },
            count("n"),
            count("forwarded"),
            count("n") - count("forwarded"),
            count("dirty"),
            count("desync"),
            report["first_status"]
        );
        assert_eq!((count("dirty"), count("desync")), (0, 0), "{report:#}");
        assert_eq!(count("forwarded") > 0, tokens, "{report:#}");
    }
}

#[test]
fn every_answer_to_a_corpus_is_whole_and_of_the_closed_set() {
    let Some(shared) = shared("the answers to raw requests") else {
        return;
    };
    let entries: Vec<_> = RAW_CORPORA.iter().flat_map(|name| corpus(&shared.join("corpora").join(name))).collect();
    let backend = Backend::start();
    let gateway = Gateway::start(backend.port, &all_routes(&entries));
    let with_tokens = entries.iter().filter_map(|entry| Some((entry, with_token(&entry.bytes)?)));
    let cases: Vec<_> = entries.iter().map(|entry| (entry, entry.bytes.clone())).chain(with_tokens).collect();
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<(BTreeMap<u16, usize>, Vec<String>, usize)> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some((entry, bytes)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = gateway.send(bytes);
                    let mut outcomes = outcomes.lock().unwrap();
                    match answers(&answer) {
                        Ok(answers) if answers.is_empty() => {
                            // Nothing but line ends is no request that could be answered.
                            let blank = bytes.iter().all(|byte| b"\r\n".contains(byte));
                            outcomes.2 += 1;
                            if !blank {
                                outcomes.1.push(format!("{}: no answer to {:?}", entry.name, shown(bytes)));
                            }
                        }
                        Ok(answers) => {
                            answers.iter().for_each(|answer| *outcomes.0.entry(answer.status).or_default() += 1)
                        }
                        Err(fault) => outcomes.1.push(format!("{}: {fault}", entry.name)),
                    }
                }
            });
        }
    });
    let (statuses, faults, silent) = outcomes.into_inner().unwrap();
    println!(
        "{} requests, {} forwarded, {silent} without an answer, answers by status {statuses:?}",
        cases.len(),
        backend.take().len()
    );
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(statuses.get(&200).is_some_and(|count| *count > 0));
}

#[test]
fn no_broken_document_reaches_the_backend() {
    const REFERENCE: &str =
        "headers: { Reference-ID: { pattern: '[a-z0-9-]+', echo: true, problem: reference-id-invalid } }";
    let Some(shared) = shared("the JSON documents") else {
        return;
    };
    let entries = corpus(&shared.join("corpora/jsontestsuite.jsonl"));
    let phone = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/phone.schema.json")).unwrap();
    let phone: Value = serde_json::from_str(&phone).unwrap();
    let backend = Backend::start();
    let gateway = Gateway::start(
        backend.port,
        &format!(
            "  any:\n    upstream: backend\n    token_headers: [Auth-Token]\n    routes: [POST /any]\n    {REFERENCE}\n    \
             body: {{ max: 1MiB }}\n  \
             phone:\n    upstream: backend\n    token_headers: [Auth-Token]\n    routes: [POST /phone]\n    {REFERENCE}\n    \
             body: {{ max: 1MiB, schema: {phone}, problems: [{{ at: /number, when: missing, problem: number-missing }}] }}\n"
        ),
    );
    let mut counts: BTreeMap<(&str, &str, u16), usize> = BTreeMap::new();
    for (number, entry) in entries.iter().enumerate() {
        for path in ["any", "phone"] {
            let mut bytes = format!(
                "POST /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuth-Token: {TOKEN}\r\nReference-ID: {path}-{number}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                entry.bytes.len()
            )
            .into_bytes();
            bytes.extend_from_slice(&entry.bytes);
            let answers = answers(&gateway.send(&bytes)).unwrap_or_else(|fault| panic!("{}: {fault}", entry.name));
            let [answer] = answers.as_slice() else { panic!("{}: {answers:?}", entry.name) };
            assert!(matches!(answer.status, 200 | 400), "{}: {answer:?}", entry.name);
            // The contract refuses repeated keys, which the suite accepts.
            let repeated_key = entry.name.contains("duplicated_key");
            if path == "any" && entry.expect == "accept" && !repeated_key {
                assert_eq!(answer.status, 200, "{}: {}", entry.name, shown(&answer.body));
            }
            if entry.expect == "reject" || repeated_key {
                assert_eq!(answer.status, 400, "{}", entry.name);
            }
            *counts.entry((path, &entry.expect, answer.status)).or_default() += 1;
        }
    }
    let mut delivered = 0;
    for seen in backend.take() {
        let reference = seen.header("reference-id").unwrap();
        let entry = &entries[reference.rsplit('-').next().unwrap().parse::<usize>().unwrap()];
        assert_ne!(entry.expect, "reject", "{}", entry.name);
        // A byte order mark is no part of the body.
        let body = entry.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&entry.bytes);
        assert_eq!(seen.body, body, "{}", entry.name);
        delivered += 1;
    }
    println!(
        "{} documents, twice each: {delivered} forwarded, answers by product, verdict and status {counts:?}",
        entries.len()
    );
    assert!(delivered > 0);
}

/// What a client sends on one connection, and the expected result. In the bytes `@POST`, `@GET` and `@TO path` begin a
/// sound request, `@HEADERS` are its headers, `@NEXT` is a whole sound request for /hidden, and `@BODY` is one as the
/// body of another request, with its length.
struct Raw {
    name: &'static str,
    bytes: &'static str,
    /// The statuses of the answers, in order.
    answers: &'static [u16],
    /// Method, target and body of what the backend sees.
    seen: &'static [&'static str],
}

const fn raw(name: &'static str, bytes: &'static str, answers: &'static [u16], seen: &'static [&'static str]) -> Raw {
    Raw { name, bytes, answers, seen }
}

const FORWARDED: &[&str] = &["POST /lookup {}"];
const NEXT_ALONE: &[&str] = &["POST /hidden {}"];
const BOTH: &[&str] = &["POST /lookup {}", "POST /hidden {}"];

const RAW: &[Raw] = &[
    // Sound requests, so that the refusals below refuse what they say.
    raw("sound", "@POST\r\nContent-Length: 2\r\n\r\n{}", &[200], FORWARDED),
    raw("sound twice", "@POST\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[200, 200], BOTH),
    raw(
        "sound in chunks",
        "@POST\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n@NEXT",
        &[200, 200],
        BOTH,
    ),
    raw("sound without a body", "@GET\r\n\r\n@NEXT", &[200, 200], &["GET /plain ", "POST /hidden {}"]),
    raw(
        "a request within a string",
        "@POST\r\nContent-Length: 32\r\n\r\n{\"a\":\"GET /hidden HTTP/1.1\\r\\n\"}",
        &[200],
        &["POST /lookup {\"a\":\"GET /hidden HTTP/1.1\\r\\n\"}"],
    ),
    raw("closed after one", "@POST\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[200], FORWARDED),
    raw("HTTP/1.0", "POST /lookup HTTP/1.0\r\n@HEADERS\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[200], FORWARDED),
    raw("a blank line before", "\r\n@POST\r\nContent-Length: 2\r\n\r\n{}", &[200], FORWARDED),
    raw(
        "the line end that some clients send behind a body",
        "@POST\r\nContent-Length: 2\r\n\r\n{}\r\n@NEXT",
        &[200, 200],
        BOTH,
    ),
    // Two lengths (CL.TE, TE.CL, TE.TE, CL.CL).
    raw("CL.TE", "@POST\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n@NEXT", &[400], &[]),
    raw(
        "TE.CL",
        "@POST\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n2\r\n{}\r\n0\r\n\r\n@NEXT",
        &[400],
        &[],
    ),
    raw(
        "TE.TE",
        "@POST\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n@NEXT",
        &[400],
        &[],
    ),
    raw(
        "the same TE twice",
        "@POST\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n@NEXT",
        &[400],
        &[],
    ),
    raw("TE of two codings", "@POST\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n@NEXT", &[400], &[]),
    raw("chunked is not last", "@POST\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n@NEXT", &[400], &[]),
    raw("chunked twice in one line", "@POST\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n@NEXT", &[400], &[]),
    raw("nearly chunked", "@POST\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n@NEXT", &[400], &[]),
    raw("a parameter of chunked", "@POST\r\nTransfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n@NEXT", &[400], &[]),
    raw("a vertical tab before chunked", "@POST\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n@NEXT", &[400], &[]),
    raw("a space before the colon", "@POST\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n@NEXT", &[400], &[]),
    raw(
        "TE in HTTP/1.0",
        "POST /lookup HTTP/1.0\r\n@HEADERS\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n@NEXT",
        &[400],
        &[],
    ),
    raw("an empty TE", "@POST\r\nTransfer-Encoding:\r\n\r\n@NEXT", &[400], &[]),
    raw("equal CLs", "@POST\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("unequal CLs", "@POST\r\nContent-Length: 2\r\nContent-Length: 0\r\n\r\n{}@NEXT", &[400], &[]),
    raw("a list of CLs", "@POST\r\nContent-Length: 2, 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("a plus in CL", "@POST\r\nContent-Length: +2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("a minus in CL", "@POST\r\nContent-Length: -2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("a hexadecimal CL", "@POST\r\nContent-Length: 0x2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("an empty CL", "@POST\r\nContent-Length:\r\n\r\n@NEXT", &[400], &[]),
    raw("a CL beyond all numbers", "@POST\r\nContent-Length: 18446744073709551618\r\n\r\n{}@NEXT", &[400], &[]),
    raw("a CL beyond the limit", "@POST\r\nContent-Length: 18446744073709551615\r\n\r\n{}@NEXT", &[400], &[]),
    raw("digits of another script in CL", "@POST\r\nContent-Length: \u{662}\r\n\r\n{}@NEXT", &[400], &[]),
    // Lines.
    raw(
        "bare LF behind the request line",
        "POST /lookup HTTP/1.1\n@HEADERS\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[400],
        &[],
    ),
    raw("bare LF behind a header", "@POST\r\nX-A: b\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("bare LF ends the head", "@POST\r\nContent-Length: 2\r\n\n{}@NEXT", &[400], &[]),
    raw(
        "bare CR in a value",
        "@POST\r\nX-A: b\rTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[400],
        &[],
    ),
    raw(
        "obs-fold of a value",
        "@POST\r\nX-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[400],
        &[],
    ),
    raw("obs-fold of TE", "@POST\r\nTransfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n@NEXT", &[400], &[]),
    raw(
        "a space before the first header",
        "POST /lookup HTTP/1.1\r\n X-A: b\r\n@HEADERS\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[400],
        &[],
    ),
    raw("NUL in a value", "@POST\r\nX-A: b\0c\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("NUL in a name", "@POST\r\nX\0A: b\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("a line without a colon", "@POST\r\nX-A b\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("a header without a name", "@POST\r\n: b\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("three blank lines before", "\r\n\r\n\r\n@POST\r\nContent-Length: 2\r\n\r\n{}", &[400], &[]),
    raw(
        "two spaces in the request line",
        "POST  /lookup HTTP/1.1\r\n@HEADERS\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[400],
        &[],
    ),
    raw(
        "a tab in the request line",
        "POST\t/lookup HTTP/1.1\r\n@HEADERS\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[400],
        &[],
    ),
    raw("no version", "POST /lookup\r\n@HEADERS\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("another version", "POST /lookup HTTP/1.2\r\n@HEADERS\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw(
        "a version in small letters",
        "POST /lookup http/1.1\r\n@HEADERS\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[400],
        &[],
    ),
    raw("a head that never ends", "@POST\r\nContent-Le", &[408], &[]),
    raw("a body that never ends", "@POST\r\nContent-Length: 3\r\n\r\n{}", &[408], &[]),
    // Chunks.
    raw(
        "an extension",
        "@POST\r\nTransfer-Encoding: chunked\r\n\r\n2;a=\"b\"\r\n{}\r\n0;c\r\n\r\n@NEXT",
        &[200, 200],
        BOTH,
    ),
    raw(
        "an extension with a bare LF",
        "@POST\r\nTransfer-Encoding: chunked\r\n\r\n2;a\n{}\r\n0\r\n\r\n@NEXT",
        &[400],
        &[],
    ),
    raw(
        "an extension with a bare CR",
        "@POST\r\nTransfer-Encoding: chunked\r\n\r\n2;a\rb\r\n{}\r\n0\r\n\r\n@NEXT",
        &[400],
        &[],
    ),
    raw(
        "an extension without a size",
        "@POST\r\nTransfer-Encoding: chunked\r\n\r\n;a\r\n{}\r\n0\r\n\r\n@NEXT",
        &[400],
        &[],
    ),
    raw("a size with 0x", "@POST\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n@NEXT", &[400], &[]),
    raw("a size with a plus", "@POST\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n@NEXT", &[400], &[]),
    raw("a size with a space", "@POST\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n@NEXT", &[400], &[]),
    raw(
        "a size that wraps around",
        "@POST\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n@NEXT",
        &[400],
        &[],
    ),
    raw(
        "data longer than its size",
        "@POST\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n@NEXT",
        &[400],
        &[],
    ),
    raw("data without a line end", "@POST\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n@NEXT", &[400], &[]),
    raw("a bare LF behind data", "@POST\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\n0\r\n\r\n@NEXT", &[400], &[]),
    raw(
        "a trailer",
        "@POST\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Trailer: b\r\n\r\n@NEXT",
        &[200, 200],
        BOTH,
    ),
    raw(
        "trailers of weight",
        "@POST\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nContent-Length: 99\r\nAuth-Token: x\r\nHost: b\r\n\r\n@NEXT",
        &[200, 200],
        BOTH,
    ),
    raw(
        "a trailer without a colon",
        "@POST\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nGET /hidden HTTP/1.1\r\n\r\n@NEXT",
        &[400],
        &[],
    ),
    raw(
        "a folded trailer",
        "@POST\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Trailer: b\r\n c\r\n\r\n@NEXT",
        &[400],
        &[],
    ),
    raw("chunks without an end", "@POST\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", &[408], &[]),
    // Hosts and targets.
    raw("absolute form", "@TO http://a/lookup\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[200, 200], BOTH),
    raw("absolute form of another host", "@TO http://b/lookup\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("userinfo in absolute form", "@TO http://a@a/lookup\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("another scheme", "@TO ftp://a/lookup\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw(
        "userinfo in the Host",
        "POST /lookup HTTP/1.1\r\nHost: a@b\r\nAuth-Token: @TOKEN\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[400],
        &[],
    ),
    raw(
        "a path in the Host",
        "POST /lookup HTTP/1.1\r\nHost: a/b\r\nAuth-Token: @TOKEN\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[400],
        &[],
    ),
    raw(
        "no Host",
        "POST /lookup HTTP/1.1\r\nAuth-Token: @TOKEN\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[400],
        &[],
    ),
    raw("two Hosts", "@POST\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw(
        "an empty Host",
        "POST /lookup HTTP/1.1\r\nHost:\r\nAuth-Token: @TOKEN\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[400],
        &[],
    ),
    raw("a dot segment", "@TO /lookup/../hidden\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("an encoded dot segment", "@TO /lookup/%2e%2E/hidden\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("an empty segment", "@TO //lookup\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("an encoded slash", "@TO /lookup%2fhidden\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("an encoded backslash", "@TO /lookup%5c\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("a backslash", "@TO /\\lookup\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("an encoded NUL", "@TO /lookup%00\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("a parameter of the path", "@TO /lookup;a\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("a fragment", "@TO /lookup#a\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("a broken encoding", "@TO /lookup%4\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("a path that is not ASCII", "@TO /lookup\u{e9}\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("no slash", "@TO lookup\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw("an encoded letter", "@TO /%6cookup\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[404, 200], NEXT_ALONE),
    raw("another case", "@TO /Lookup\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[404, 200], NEXT_ALONE),
    raw(
        "tricks in the query",
        "@TO /lookup?a=/../%2f;b//\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[200, 200],
        &["POST /lookup?a=/../%2f;b// {}", "POST /hidden {}"],
    ),
    // Headers that must not pass, or that end what they are in.
    raw(
        "underscores",
        "@POST\r\nContent_Length: 99\r\nTransfer_Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[200, 200],
        BOTH,
    ),
    raw(
        "an underscore in the token's name",
        "POST /lookup HTTP/1.1\r\nHost: a\r\nAuth_Token: @TOKEN\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[400, 200],
        NEXT_ALONE,
    ),
    raw(
        "hop-by-hop by name",
        "@POST\r\nConnection: Content-Length, Host, X-Trailer\r\nX-Trailer: a\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[200, 200],
        BOTH,
    ),
    raw("two tokens", "@POST\r\nAuth-Token: other\r\nContent-Length: 2\r\n\r\n{}@NEXT", &[400], &[]),
    raw(
        "an early Upgrade",
        "@POST\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[200, 200],
        BOTH,
    ),
    raw(
        "an Upgrade to HTTP/2",
        "@POST\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[200, 200],
        BOTH,
    ),
    raw("CONNECT", "CONNECT a:80 HTTP/1.1\r\n@HEADERS\r\n\r\n@NEXT", &[400], &[]),
    raw("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n@NEXT", &[400], &[]),
    raw("TRACE", "TRACE /lookup HTTP/1.1\r\n@HEADERS\r\n\r\n@NEXT", &[404, 200], NEXT_ALONE),
    raw(
        "a method in small letters",
        "post /lookup HTTP/1.1\r\n@HEADERS\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[404, 200],
        NEXT_ALONE,
    ),
    raw(
        "Expect with a body at once",
        "@POST\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}@NEXT",
        &[200, 200],
        BOTH,
    ),
    raw(
        "Expect with a refused token",
        "POST /lookup HTTP/1.1\r\nHost: a\r\nAuth-Token: other\r\nExpect: 100-continue\r\n@BODY@NEXT",
        &[401],
        &[],
    ),
    // A request as the body of one that is refused: it stays a body.
    raw("hidden behind an unknown path", "@TO /nowhere\r\n@BODY@NEXT", &[404, 200], NEXT_ALONE),
    raw("hidden behind no token", "POST /lookup HTTP/1.1\r\nHost: a\r\n@BODY@NEXT", &[400, 200], NEXT_ALONE),
    raw(
        "hidden behind an unknown token",
        "POST /lookup HTTP/1.1\r\nHost: a\r\nAuth-Token: other\r\n@BODY@NEXT",
        &[401, 200],
        NEXT_ALONE,
    ),
    raw("hidden behind an Accept", "@POST\r\nAccept: text/html\r\n@BODY@NEXT", &[406, 200], NEXT_ALONE),
    raw(
        "hidden behind a media type",
        "POST /lookup HTTP/1.1\r\nHost: a\r\nAuth-Token: @TOKEN\r\nContent-Type: text/plain\r\n@BODY@NEXT",
        &[415, 200],
        NEXT_ALONE,
    ),
    raw("hidden behind a coding", "@POST\r\nContent-Encoding: gzip\r\n@BODY@NEXT", &[415, 200], NEXT_ALONE),
    raw("hidden behind a product without bodies", "@GET\r\n@BODY@NEXT", &[400, 200], NEXT_ALONE),
    raw("hidden in a body that is not JSON", "@POST\r\n@BODY@NEXT", &[400, 200], NEXT_ALONE),
    raw("hidden behind a length beyond the limit", "@POST\r\nContent-Length: 9999999\r\n\r\n@NEXT", &[400], &[]),
    raw(
        "hidden in the chunks of a refused request",
        "@TO /nowhere\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n@NEXT",
        &[404, 200],
        NEXT_ALONE,
    ),
    raw(
        "hidden behind broken chunks of a refused request",
        "@TO /nowhere\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n@NEXT",
        &[404],
        &[],
    ),
];

/// The bytes of a case with its abbreviations written out.
fn written_out(bytes: &str) -> Vec<u8> {
    let headers = format!("Host: a\r\nAuth-Token: {TOKEN}\r\nContent-Type: application/json");
    let next = format!("POST /hidden HTTP/1.1\r\n{headers}\r\nContent-Length: 2\r\n\r\n{{}}");
    let mut text = bytes.replace("@POST", "@TO /lookup").replace("@GET", "GET /plain HTTP/1.1\r\n@HEADERS");
    while let Some((before, rest)) = text.split_once("@TO ") {
        let (target, after) = rest.split_once("\r\n").unwrap();
        text = format!("{before}POST {target} HTTP/1.1\r\n@HEADERS\r\n{after}");
    }
    text.replace("@HEADERS", &headers)
        .replace("@BODY", &format!("Content-Length: {}\r\n\r\n{next}", next.len()))
        .replace("@NEXT", &next)
        .replace("@TOKEN", TOKEN)
        .into_bytes()
}

#[test]
fn nothing_hidden_reaches_the_backend() {
    let backend = Backend::start();
    let gateway = Gateway::start(
        backend.port,
        "  with:\n    upstream: backend\n    token_headers: [Auth-Token]\n    routes: [POST /lookup, POST /hidden]\n    \
         body: { max: 16KiB }\n  \
         without:\n    upstream: backend\n    token_headers: [Auth-Token]\n    routes: [GET /plain]\n",
    );
    let mut faults = Vec::new();
    let mut forwarded = 0;
    for case in RAW {
        let answer = gateway.send(&written_out(case.bytes));
        let seen: Vec<_> = backend
            .take()
            .iter()
            .map(|seen| format!("{} {}", seen.what, String::from_utf8_lossy(&seen.body)))
            .collect();
        forwarded += seen.len();
        let statuses: Result<Vec<_>, _> =
            answers(&answer).map(|answers| answers.iter().map(|answer| answer.status).collect());
        if statuses.as_deref() != Ok(case.answers) || seen != case.seen {
            faults.push(format!("{}: {statuses:?} {seen:?}", case.name));
        }
    }
    // What is still on its way would be seen by now.
    std::thread::sleep(Duration::from_millis(100));
    assert!(backend.take().is_empty());
    println!("{} raw cases, {forwarded} requests forwarded", RAW.len());
    assert!(faults.is_empty(), "{faults:#?}");
}
