//! A browser, the demo, and what both are asked.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value, json};
use thirtyfour::common::command::{Command as DriverCommand, ExtensionCommand};
use thirtyfour::{Capabilities, WebDriver};

/// The window of a small phone, in CSS pixels.
pub const PHONE: (u32, u32) = (360, 740);

/// The window of a desktop.
pub const DESKTOP: (u32, u32) = (1280, 900);

/// How long the driver may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process that ends with the test.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// The demo, and where it is.
pub fn demo() -> (Process, String) {
    let (listen, admin) = (free_address(), free_address());
    let mut child = Command::new(target().join("debug/tollgate"))
        .args(["demo", "--listen", &listen.to_string(), "--admin", &admin.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("listens"), "{first}");
    (Process(child), format!("http://{listen}"))
}

/// The driver, and a browser without a window.
pub async fn browser() -> (Process, WebDriver) {
    let address = free_address();
    let driver = Command::new("chromedriver")
        .arg(format!("--port={}", address.port()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver, which `tests/browse/run` installs");
    let driver = Process(driver);
    let begun = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        assert!(begun.elapsed() < PATIENCE, "the driver does not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let capabilities = json!({
        "goog:chromeOptions": { "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"] },
        "goog:loggingPrefs": { "browser": "ALL" },
    });
    let capabilities: Capabilities = serde_json::from_value(capabilities).unwrap();
    (driver, WebDriver::new(format!("http://{address}"), capabilities).await.unwrap())
}

/// A command of Chromium's own.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl ExtensionCommand for Extension {
    fn parameters_json(&self) -> Option<Value> {
        Some(self.body.clone())
    }

    fn method(&self) -> http::Method {
        http::Method::POST
    }

    fn endpoint(&self) -> Arc<str> {
        self.path.into()
    }
}

async fn extension(client: &WebDriver, path: &'static str, body: Value) -> Value {
    let command = DriverCommand::ExtensionCommand(Box::new(Extension { path, body }));
    client.handle().cmd(command).await.unwrap().value().unwrap()
}

pub async fn devtools(client: &WebDriver, method: &str, parameters: Value) -> Value {
    extension(client, "/goog/cdp/execute", json!({ "cmd": method, "params": parameters })).await
}

/// The result of a script.
pub async fn run(client: &WebDriver, script: &str) -> Value {
    client.execute(script, Vec::new()).await.unwrap().json().clone()
}

pub async fn window(client: &WebDriver, (width, height): (u32, u32)) {
    let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
    devtools(client, "Emulation.setDeviceMetricsOverride", size).await;
}

pub async fn scheme(client: &WebDriver, scheme: &str) {
    let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    devtools(client, "Emulation.setEmulatedMedia", features).await;
}

/// The messages of the console since the last call.
pub async fn console(client: &WebDriver) -> Vec<String> {
    let log = extension(client, "/se/log", json!({ "type": "browser" })).await;
    log.as_array().unwrap().iter().map(|entry| entry["message"].to_string()).collect()
}

/// The findings of axe on the page.
pub async fn violations(client: &WebDriver, axe: &str) -> Vec<String> {
    run(client, axe).await;
    let script = "const done = arguments[arguments.length - 1];
        axe.run(document, { resultTypes: ['violations'] }).then(result => done(result.violations.map(
            found => found.id + ': ' + found.help + ' at ' + found.nodes.map(node => node.target.join(' ')).join(', '))),
            error => done(['axe failed: ' + error]));";
    let found = client.execute_async(script, Vec::new()).await.unwrap();
    found.json().as_array().unwrap().iter().map(Value::to_string).collect()
}

/// Saves a picture of the whole page.
pub async fn picture(client: &WebDriver, name: &str) {
    let image = devtools(client, "Page.captureScreenshot", json!({ "captureBeyondViewport": true })).await;
    let bytes = base64::engine::general_purpose::STANDARD.decode(image["data"].as_str().unwrap()).unwrap();
    let directory = target().join("browse");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(format!("{name}.png")), bytes).unwrap();
}

pub fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target")
}
