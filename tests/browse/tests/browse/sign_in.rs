//! Signing in to the portal through a real OpenID Connect provider (npm's `oidc-provider`), in a browser.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use thirtyfour::prelude::*;

use crate::support::{Process, browser, devtools, free_address, target};

/// How long a step may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A gateway whose portal lets in whom a provider vouches for, and the provider.
struct SingleSignOn {
    _gateway: Process,
    _provider: Process,
    _directory: Directory,
    portal: String,
}

fn provider(address: &str, portal: &str) -> Process {
    let mut child = Command::new("node")
        .arg("provider.js")
        .arg(address.rsplit(':').next().unwrap())
        .arg(format!("{portal}/sign-in/provider/back"))
        .current_dir(target().join("oidc"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("node, which `tests/browse/run` needs");
    let (mut first, mut said) = (String::new(), BufReader::new(child.stdout.take().unwrap()));
    said.read_line(&mut first).unwrap();
    assert!(first.starts_with("issuer "), "{first}");
    // It ends when nobody reads what it says.
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    Process(child)
}

fn gateway(directory: &Path, portal: &str, issuer: &str) -> Process {
    let (listen, admin) = (free_address(), free_address());
    let address = portal.trim_start_matches("http://");
    let text = format!(
        "listen: {listen}\nadmin: {admin}\npublic_url: http://{listen}\n\
         upstreams: {{ lookup: {{ servers: [127.0.0.1:9] }} }}\n\
         products: {{ plate: {{ upstream: lookup, routes: [POST /lookup], token_headers: [Auth-Token] }} }}\n\
         store: {{ sqlite: store.db }}\nledger: {{ file: ledger.db }}\n\
         portal:\n  listen: {address}\n  sign_in:\n    password: false\n    oidc:\n      name: Example ID\n      \
         issuer: {issuer}\n      client_id: tollgate\n      client_secret: a secret of the tests\n      \
         scopes: [openid, email, profile, groups]\n      operators: {{ gateway-admins: admin }}\n"
    );
    let file = directory.join("gateway.yaml");
    std::fs::write(&file, text).unwrap();
    let child = Command::new(target().join("debug/tollgate"))
        .args(["run", "--config", file.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let process = Process(child);
    let begun = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        assert!(begun.elapsed() < PATIENCE, "the gateway does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    process
}

fn single_sign_on() -> SingleSignOn {
    let name = format!("tollgate-sign-in-{}-{}", std::process::id(), free_address().port());
    let directory = Directory(std::env::temp_dir().join(name));
    std::fs::create_dir(&directory.0).unwrap();
    let (portal, issuer) = (format!("http://{}", free_address()), format!("http://{}", free_address()));
    let provider = provider(&issuer, &portal);
    let gateway = gateway(&directory.0, &portal, &issuer);
    SingleSignOn { _gateway: gateway, _provider: provider, _directory: directory, portal }
}

/// Goes through the provider's pages as somebody, until the portal has a page.
async fn sign_in(client: &WebDriver, portal: &str, email: &str) -> String {
    client.goto(&format!("{portal}/sign-in")).await.unwrap();
    client.find(By::PartialLinkText("Example ID")).await.unwrap().click().await.unwrap();
    let begun = Instant::now();
    loop {
        let here = client.current_url().await.unwrap().to_string();
        assert!(begun.elapsed() < PATIENCE, "{here} leads no further");
        tokio::time::sleep(Duration::from_millis(100)).await;
        if here.starts_with(portal) && !here.contains("/sign-in/provider") && !here.ends_with("/sign-in") {
            return client.find(By::Css("body")).await.unwrap().text().await.unwrap();
        }
        if here.starts_with(portal) {
            let text = client.find(By::Css("body")).await.unwrap().text().await.unwrap();
            if text.contains("no access") {
                return text;
            }
            continue;
        }
        if let Ok(login) = client.find(By::Css("input[name=login]")).await {
            let _ = login.clear().await;
            let _ = login.send_keys(email).await;
            if let Ok(password) = client.find(By::Css("input[name=password]")).await {
                let _ = password.send_keys("anything").await;
            }
        }
        if let Ok(button) = client.find(By::Css("button[type=submit], [type=submit]")).await {
            // The page may be another one by now.
            let _ = button.click().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_provider_vouches_for_is_let_in_by_their_groups() {
    let single = single_sign_on();
    let (_driver, client) = browser().await;
    let text = sign_in(&client, &single.portal, "ann@example.com").await;
    assert!(text.contains("There is no account in the store.") && text.contains("Plans"), "an operator: {text}");
    devtools(&client, "Network.clearBrowserCookies", json!({})).await;
    let text = sign_in(&client, &single.portal, "eve@example.com").await;
    assert!(text.contains("You have no access here"), "nobody has invited her: {text}");
    client.quit().await.unwrap();
}
