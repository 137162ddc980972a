//! The pages of the demo in a real browser: every link resolves, the console has no messages,
//! nothing has to be scrolled sideways on a phone, and axe finds no barrier, in light and dark.
//!
//! Needs Chromium, its driver, axe-core and the program, which `make browse` gets. Pictures of some
//! pages are left in `target/browse`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeSet, VecDeque};
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
const PHONE: (u32, u32) = (360, 740);

/// The window of a desktop.
const DESKTOP: (u32, u32) = (1280, 900);

/// Pages of which pictures are kept.
const PICTURED: [(&str, &str); 7] = [
    ("/status", "status"),
    ("/problems", "index"),
    ("/problems/rate-exceeded", "problem"),
    ("/reference", "reference"),
    ("/reference/products/phone", "product"),
    ("/reference/api", "openapi"),
    ("/pages/about", "about"),
];

/// How long the driver may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// The demo, and where it is.
fn demo() -> (Process, String) {
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
async fn browser() -> (Process, WebDriver) {
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

async fn devtools(client: &WebDriver, method: &str, parameters: Value) -> Value {
    extension(client, "/goog/cdp/execute", json!({ "cmd": method, "params": parameters })).await
}

/// The result of a script.
async fn run(client: &WebDriver, script: &str) -> Value {
    client.execute(script, Vec::new()).await.unwrap().json().clone()
}

async fn window(client: &WebDriver, (width, height): (u32, u32)) {
    let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
    devtools(client, "Emulation.setDeviceMetricsOverride", size).await;
}

async fn scheme(client: &WebDriver, scheme: &str) {
    let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    devtools(client, "Emulation.setEmulatedMedia", features).await;
}

/// The messages of the console since the last call.
async fn console(client: &WebDriver) -> Vec<String> {
    let log = extension(client, "/se/log", json!({ "type": "browser" })).await;
    log.as_array().unwrap().iter().map(|entry| entry["message"].to_string()).collect()
}

/// The findings of axe on the page.
async fn violations(client: &WebDriver, axe: &str) -> Vec<String> {
    run(client, axe).await;
    let script = "const done = arguments[arguments.length - 1];
        axe.run(document, { resultTypes: ['violations'] }).then(result => done(result.violations.map(
            found => found.id + ': ' + found.help + ' at ' + found.nodes.map(node => node.target.join(' ')).join(', '))),
            error => done(['axe failed: ' + error]));";
    let found = client.execute_async(script, Vec::new()).await.unwrap();
    found.json().as_array().unwrap().iter().map(Value::to_string).collect()
}

/// Saves a picture of the whole page.
async fn picture(client: &WebDriver, name: &str) {
    let image = devtools(client, "Page.captureScreenshot", json!({ "captureBeyondViewport": true })).await;
    let bytes = base64::engine::general_purpose::STANDARD.decode(image["data"].as_str().unwrap()).unwrap();
    let directory = target().join("browse");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(format!("{name}.png")), bytes).unwrap();
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target")
}

/// Looks at one page in every way; what is wrong with it.
async fn look(client: &WebDriver, url: &str, path: &str, axe: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let pictured = PICTURED.iter().find(|(known, _)| *known == path).map(|(_, name)| *name);
    for (size, name) in [(DESKTOP, "desktop"), (PHONE, "phone")] {
        for colours in ["light", "dark"] {
            window(client, size).await;
            scheme(client, colours).await;
            client.goto(&format!("{url}{path}")).await.unwrap();
            let found = violations(client, axe).await;
            wrong.extend(found.into_iter().map(|found| format!("{path}, {name}, {colours}: {found}")));
            let widths = "return [document.documentElement.scrollWidth, window.innerWidth]";
            let widths = run(client, widths).await;
            if widths[0].as_u64() > widths[1].as_u64() {
                wrong.push(format!("{path}, {name}: is {widths} pixels wide"));
            }
            if let Some(picture_name) = pictured {
                picture(client, &format!("{picture_name}-{name}-{colours}")).await;
            }
        }
    }
    wrong.extend(console(client).await.into_iter().map(|said| format!("{path}: the console says {said}")));
    wrong
}

/// The links of the page in the browser: each with its path and its fragment.
async fn links(client: &WebDriver, url: &str) -> Vec<(String, String)> {
    let all = run(client, "return [...document.querySelectorAll('a[href]')].map(a => a.href)").await;
    let links = all.as_array().unwrap().iter().filter_map(|link| link.as_str()?.strip_prefix(url).map(str::to_owned));
    links
        .map(|link| match link.split_once('#') {
            Some((path, fragment)) => (path.to_owned(), fragment.to_owned()),
            None => (link, String::new()),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_can_read_every_page() {
    let axe = std::fs::read_to_string(target().join("axe/package/axe.min.js"))
        .expect("axe-core, which `tests/browse/run` gets");
    let (_demo, url) = demo();
    let (_driver, client) = browser().await;
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::from(["/reference".to_owned()]);
    let mut waiting = VecDeque::from(["/reference".to_owned()]);
    while let Some(path) = waiting.pop_front() {
        let answer = ureq::get(format!("{url}{path}")).header("Accept", "text/html,*/*;q=0.8").call();
        let Ok(mut answer) = answer else {
            wrong.push(format!("{path} is not there"));
            continue;
        };
        let html = answer.headers()["content-type"].to_str().unwrap().starts_with("text/html");
        assert!(!answer.body_mut().read_to_string().unwrap().is_empty());
        if !html {
            continue;
        }
        wrong.extend(look(&client, &url, &path, &axe).await);
        for (link, fragment) in links(&client, &url).await {
            if link == path && !fragment.is_empty() {
                let known = format!("return document.getElementById('{fragment}') !== null");
                if run(&client, &known).await != json!(true) {
                    wrong.push(format!("{path}: nothing is at #{fragment}"));
                }
            }
            if seen.insert(link.clone()) {
                waiting.push_back(link);
            }
        }
    }
    client.quit().await.unwrap();
    assert!(seen.len() > 40, "only {} pages were found: {seen:?}", seen.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} addresses, no barrier, no word on the console", seen.len());
}
