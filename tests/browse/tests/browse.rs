//! The pages of the demo in a real browser: every link resolves, the console has no messages,
//! nothing has to be scrolled sideways on a phone, and axe finds no barrier, in light and dark.
//!
//! Needs Chromium, its driver, axe-core and the program, which `make browse` gets. Pictures of some
//! pages are left in `target/browse`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "browse/portal.rs"]
mod portal;
#[path = "browse/sign_in.rs"]
mod sign_in;
#[path = "browse/support.rs"]
mod support;

use std::collections::{BTreeSet, VecDeque};

use serde_json::json;
use support::{DESKTOP, PHONE, browser, console, demo, picture, run, scheme, target, violations, window};
use thirtyfour::WebDriver;

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
