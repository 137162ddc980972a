//! The gateway as a separate process: started with a configuration, observed, and cleaned up.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{CANARY, Client, Http2, PATIENCE, Request, Response, TlsSettings, Version, Wire};

/// How often a start is retried after a conflict of ports.
const ATTEMPTS: usize = 5;

/// The name of a copy of the program.
const COPY: &str = "program";

/// What is replaced by a free address.
const FREE: &str = "$FREE";

/// The program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_tollgate");

/// A running gateway, which ends with this value.
pub struct Gateway {
    child: Child,
    /// Processes that have followed the first one.
    successors: Vec<u32>,
    address: SocketAddr,
    admin: SocketAddr,
    /// The addresses that stand in the configuration in place of `$FREE`.
    more: Vec<SocketAddr>,
    /// What the links to problem pages begin with.
    public_url: String,
    directory: PathBuf,
    output: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

/// A configuration with these addresses instead of its own, and the further ones that it asks for with `FREE`.
fn with_addresses(yaml: &str, address: SocketAddr, admin: SocketAddr) -> (String, Vec<SocketAddr>) {
    let mut text: String = yaml
        .lines()
        .filter(|line| !line.starts_with("listen:") && !line.starts_with("admin:"))
        .fold(String::new(), |text, line| text + line + "\n");
    text += &format!("listen: {address}\nadmin: {admin}\n");
    let mut more = Vec::new();
    while text.contains(FREE) {
        let free = free_address();
        text = text.replacen(FREE, &free.to_string(), 1);
        more.push(free);
    }
    (text, more)
}

/// The files beside a configuration: the given ones, and those that the shipped configurations name.
fn write_files(directory: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        fs::create_dir_all(directory.join(name).parent().unwrap()).unwrap();
        fs::write(directory.join(name), content).unwrap();
    }
    for shipped in [
        "logo.svg",
        "terms.md",
        "phone.schema.json",
        "email.schema.json",
        "phone.answer.schema.json",
        "email.answer.schema.json",
        "demo.md",
    ] {
        let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config").join(shipped);
        fs::copy(from, directory.join(shipped)).unwrap();
    }
}

impl Gateway {
    /// Starts the program with a configuration; its `listen` and `admin` are replaced by free ports.
    pub fn start(yaml: &str) -> Gateway {
        Gateway::start_with(yaml, &[])
    }

    /// The same, by another program, such as one that bounds what this one may use.
    pub fn start_under(by: &[&str], yaml: &str) -> Gateway {
        Gateway::start_all(by, yaml, &[], &[])
    }

    /// The same, with variables of the environment.
    pub fn start_with(yaml: &str, environment: &[(&str, &str)]) -> Gateway {
        Gateway::start_all(&[], yaml, environment, &[])
    }

    /// The same, with more files beside the configuration, in which each `$FREE` is replaced by a
    /// free address.
    pub fn start_with_files(yaml: &str, files: &[(&str, &str)]) -> Gateway {
        Gateway::start_all(&[], yaml, &[], files)
    }

    /// The same, with variables of the environment as well.
    pub fn start_all_with(yaml: &str, environment: &[(&str, &str)], files: &[(&str, &str)]) -> Gateway {
        Gateway::start_all(&[], yaml, environment, files)
    }

    /// Starts a copy of the program beside its configuration, which can be replaced.
    pub fn start_copy(yaml: &str) -> Gateway {
        Gateway::start_all(&[COPY], yaml, &[], &[])
    }

    fn start_all(by: &[&str], yaml: &str, environment: &[(&str, &str)], files: &[(&str, &str)]) -> Gateway {
        let public_url =
            yaml.lines().find_map(|line| line.strip_prefix("public_url: ")).expect("a public_url").to_owned();
        for _ in 0..ATTEMPTS {
            if let Some(gateway) = Gateway::try_start(by, yaml, &public_url, environment, files) {
                return gateway;
            }
        }
        panic!("the gateway did not start {ATTEMPTS} times");
    }

    fn try_start(
        by: &[&str],
        yaml: &str,
        public_url: &str,
        environment: &[(&str, &str)],
        files: &[(&str, &str)],
    ) -> Option<Gateway> {
        let (address, admin) = (free_address(), free_address());
        let (text, more) = with_addresses(yaml, address, admin);
        let directory = directory();
        let config = directory.join("tollgate.yaml");
        fs::write(&config, text).unwrap();
        write_files(&directory, files);
        let copy = directory.join(COPY);
        let words: Vec<PathBuf> = if by == [COPY] {
            fs::copy(PROGRAM, &copy).unwrap();
            vec![copy]
        } else {
            by.iter().copied().chain([PROGRAM]).map(PathBuf::from).collect()
        };
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .arg("run")
            .arg("--config")
            .arg(&config)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Arc::new(Mutex::new(Vec::new()));
        let (out, ready) = collect(child.stdout.take().unwrap(), Arc::clone(&output));
        let (err, _) = collect(child.stderr.take().unwrap(), Arc::clone(&output));
        let public_url = public_url.to_owned();
        let successors = Vec::new();
        let gateway =
            Gateway { child, successors, address, admin, more, public_url, directory, output, readers: vec![out, err] };
        // The first line says that clients can connect; its absence that the program has ended.
        match ready.recv_timeout(PATIENCE) {
            Ok(()) => Some(gateway),
            Err(_) => {
                let said = gateway.output();
                assert!(said.is_empty() || said.contains("cannot listen"), "no start: {said}");
                None
            }
        }
    }

    /// The process ID.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new connection for HTTP/1.
    pub fn connect(&self) -> Client {
        self.connect_over(Wire::tcp(self.address))
    }

    /// A client of HTTP/1 on a connection that is there already.
    pub fn connect_over(&self, wire: Wire) -> Client {
        Client::over(wire, &self.public_url)
    }

    /// The address in place of a `$FREE`, counted from 0.
    pub fn more(&self, number: usize) -> SocketAddr {
        self.more[number]
    }

    /// The path of a file beside the configuration.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Puts other content into a file beside the configuration, in one step.
    pub fn replace(&self, name: &str, content: &str) {
        let new = self.file(&format!("{name}.new"));
        fs::write(&new, content).unwrap();
        fs::rename(new, self.file(name)).unwrap();
    }

    /// The error message of a further process that cannot start with a configuration.
    pub fn fails_to_start(&self, yaml: &str) -> String {
        let config = self.file("second.yaml");
        let text = format!("{yaml}listen: {}\nadmin: {}\n", free_address(), free_address());
        fs::write(&config, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        let output = command.arg("run").arg("--config").arg(&config).stdin(Stdio::null()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// A metric's value from the admin listener; 0 if it does not exist.
    pub fn metric<N: std::str::FromStr + Default>(&self, name: &str) -> N {
        let (_, text) = self.ask_admin("GET", "/metrics", &[], "");
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or_default()
    }

    /// A new connection for HTTP/2 over TLS.
    pub fn connect_http2_tls(&self, address: SocketAddr, settings: &TlsSettings) -> Http2 {
        Http2::connect_tls(address, &self.public_url, settings)
    }

    /// A new connection for HTTP/2.
    pub fn connect_http2(&self) -> Http2 {
        Http2::connect(self.address, &self.public_url, 65_535)
    }

    /// A new connection for HTTP/2 of a client that takes no bodies.
    pub fn connect_http2_without_window(&self) -> Http2 {
        Http2::connect(self.address, &self.public_url, 0)
    }

    /// Sends the bytes of one request over a connection of its own.
    pub fn exchange(&self, bytes: impl AsRef<[u8]>) -> Response {
        let mut client = self.connect();
        client.send(bytes);
        client.response()
    }

    /// Sends one request over a connection of its own.
    pub fn send(&self, version: Version, request: &Request) -> Response {
        match version {
            Version::Http1 => {
                let mut client = self.connect();
                client.request(request);
                client.response()
            }
            Version::Http2 => self.connect_http2().exchange(request),
        }
    }

    /// Where operators connect.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Sends a request to the admin listener: the status and the body.
    pub fn ask_admin(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.admin));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = agent.run(request.body(body).unwrap()).unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    /// The configuration that the program was started with.
    pub fn config(&self) -> PathBuf {
        self.directory.join("tollgate.yaml")
    }

    /// Kills the program.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells the program to stop gracefully.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends the program a signal.
    pub fn signal(&self, name: &str) {
        assert!(send_signal(self.child.id(), name));
    }

    /// The program's own file, if it was started as a copy.
    pub fn program(&self) -> PathBuf {
        self.directory.join(COPY)
    }

    /// Hands over to a successor, by the admin listener: the status and the answer.
    pub fn upgrade(&mut self) -> (u16, String) {
        let (code, answer) = loop {
            let (code, answer) = self.ask_admin("POST", "/upgrade", &[], "");
            // The process before may still be there for a moment.
            if !answer.contains("has just taken over") {
                break (code, answer);
            }
        };
        if code == 200 {
            let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
            self.successors.push(answer["process"].as_u64().unwrap() as u32);
        }
        (code, answer)
    }

    /// The process that serves at the moment.
    pub fn latest(&self) -> u32 {
        self.successors.last().copied().unwrap_or_else(|| self.child.id())
    }

    /// A successor that serves, recognized by its output.
    pub fn follow(&mut self, process: u32) {
        self.successors.push(process);
    }

    /// Waits for the program to end.
    pub fn wait_for_end(&mut self, allowance: Duration) -> Option<ExitStatus> {
        let begun = Instant::now();
        // The standard library has no wait with a time-out.
        while begun.elapsed() < allowance {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// Waits until the program has written something.
    pub fn wait_for_output(&self, what: &str) {
        let begun = Instant::now();
        while !self.output().contains(what) {
            assert!(begun.elapsed() < PATIENCE, "the gateway never wrote {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Everything that the program has written so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().unwrap()).into_owned()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for successor in &self.successors {
            send_signal(*successor, "KILL");
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        let _ = fs::remove_dir_all(&self.directory);
        let output = self.output();
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "the gateway wrote:\n{output}");
        } else {
            assert!(!output.contains(CANARY), "a token, number or reference in: {output}");
            assert!(!output.contains("panic"), "a panic: {output}");
        }
    }
}

/// Sends a process a signal; returns whether it existed.
pub fn send_signal(process: u32, name: &str) -> bool {
    let command = format!("kill -{name} {process} 2>/dev/null");
    Command::new("sh").args(["-c", &command]).status().unwrap().success()
}

/// Collects what the program writes; the receiver is told of the first line.
fn collect(from: impl Read + Send + 'static, into: Arc<Mutex<Vec<u8>>>) -> (JoinHandle<()>, Receiver<()>) {
    let (first, told) = channel();
    let reader = std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            into.lock().unwrap().append(&mut line);
            let _ = first.send(());
        }
    });
    (reader, told)
}

/// A new directory that no other test has.
pub fn directory() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("tollgate-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let directory = std::env::temp_dir().join(name);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// An address that is free at the moment. Its port is below those that the kernel gives to
/// outgoing connections, of which the tests open many.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_000;
    const PORTS: u16 = 22_000;
    let start = (std::process::id().wrapping_mul(331) % u32::from(PORTS)) as u16;
    loop {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS) % PORTS;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// An address where nothing listens.
pub fn closed_port() -> SocketAddr {
    free_address()
}
