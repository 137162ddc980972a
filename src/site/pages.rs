//! The gateway's pages: problems, reference and OpenAPI, generated from the policy in force.
//!
//! All are rendered when a configuration is loaded, so that they are always up to date, and are served from memory
//! (`policy/page.rs`). Nothing here names accounts, tokens, networks or backends.

mod answered;
pub mod draft;
pub mod example;
pub mod fields;
pub mod formats;
pub mod headers;
pub mod markdown;
pub mod openapi;
pub mod prices;
pub mod problems;
pub mod product;
pub mod reference;
pub mod shell;

use std::sync::Arc;

use crate::platform::pace;
use crate::policy::Policy;
use crate::policy::page::{Draft, Freshness, Page, PageEntry, PageTable};
use crate::policy::paths::Endpoint;
use crate::policy::rate::{Rate, Window};
use crate::site::brand::Site;

use draft::{Drafted, ICON_PATH, Own, STYLE_PATH, rendered};
use markdown::ExtraPage;
use shell::Shell;

/// Renders all pages of a policy and adds them to it. Pages that are the same in `before`, the page table of the
/// previous policy, are not compressed again.
pub fn publish(policy: &mut Policy, own: &Own, before: Option<&PageTable>) {
    let mut pages = vec![(STYLE_PATH.to_owned(), vec![style_sheet(&own.site)])];
    if let Some(logo) = &own.site.logo {
        let draft = Draft::new(logo.media_type, logo.bytes.clone(), Freshness::Asset);
        pages.push((logo.path.to_string(), vec![draft]));
    }
    pages.push((ICON_PATH.to_owned(), vec![icon(&own.site)]));
    let (rate, same_rate) = usual_rate(policy);
    pages.extend(problems::pages(policy, own, rate));
    pages.extend(reference::pages(policy, own, (rate, same_rate)));
    pages.extend(own.extra.iter().map(|extra| extra_page(&own.site, extra)));
    for (path, drafts) in pages {
        let known = before.and_then(|before| before.find(&own.site.served(&path))).map(PageEntry::page);
        put(policy, &own.site, &path, Page::following(drafts, known.as_deref()));
        pace::step();
    }
    for path in start_paths(policy, &own.site) {
        let known = before.and_then(|before| before.find(&path)).map(PageEntry::page);
        let page = Page::following(start_page(&own.site), known.as_deref());
        add(policy, &path, |pages| pages.add(&path, page));
    }
}

/// The paths of the start page, as they appear in requests: the root of the service and that of its pages. A path that
/// a product uses is left to the product.
fn start_paths(policy: &Policy, site: &Site) -> Vec<String> {
    let base = &site.served_base;
    let mut paths = vec!["/".to_owned()];
    if !base.is_empty() {
        paths.extend([base.to_string(), format!("{base}/")]);
    }
    paths.retain(|path| policy.paths.find_anywhere(path).is_none());
    paths
}

#[derive(askama::Template)]
#[template(path = "start.html")]
struct StartHtml<'a> {
    shell: Shell<'a>,
}

/// The start page: an HTML page with links for people, and the OpenAPI document for programs, which accept anything or
/// ask for JSON.
fn start_page(site: &Site) -> Vec<Draft> {
    let mut links = serde_json::json!({
        "name": &*site.name,
        "openapi": site.url("/openapi.json"),
        "reference": site.url("/reference"),
        "problems": site.url("/problems"),
    });
    if let Some(links) = links.as_object_mut().filter(|_| site.has_status) {
        links.insert("status".to_owned(), site.url("/status.json").into());
    }
    let about = "Links to the documentation of this API.";
    let mut shell = Shell::new(site, "/", "Start", about);
    shell.alternate = Some("application/json");
    vec![Draft::json(&links, Freshness::Document), rendered(&StartHtml { shell })]
}

#[derive(askama::Template)]
#[template(path = "extra.html")]
struct ExtraHtml<'a> {
    shell: Shell<'a>,
    html: &'a str,
}

/// A page that the operator has written.
fn extra_page(site: &Site, extra: &ExtraPage) -> Drafted {
    let path = extra.path();
    let shell = Shell::new(site, &path, &*extra.title, &*extra.title);
    let html = rendered(&ExtraHtml { shell, html: &extra.html });
    (path, vec![html])
}

/// The most frequent rate of accounts, if any has one, and whether all of them have it.
fn usual_rate(policy: &Policy) -> (Option<&Arc<Window>>, bool) {
    let mut counted: Vec<(&Arc<Window>, usize)> = Vec::new();
    // Accounts with several limits have none that is usual.
    let mut has_others = false;
    for account in policy.accounts.iter().take(ACCOUNTS_LOOKED_AT) {
        has_others |= account.meter.is_some();
        let Rate::Limited(window, _) = &account.rate else { continue };
        match counted.iter_mut().find(|(known, _)| Arc::ptr_eq(known, window)) {
            Some((_, count)) => *count += 1,
            None => counted.push((window, 1)),
        }
    }
    let same = counted.len() <= 1 && !has_others;
    (counted.into_iter().max_by_key(|(_, count)| *count).map(|(window, _)| window), same)
}

/// The number of accounts whose rates are compared; there may be millions.
const ACCOUNTS_LOOKED_AT: usize = 1000;

/// The icon: a gate in the operator's colour.
fn icon(site: &Site) -> Draft {
    let (back, front) = (site.light.accent, site.light.background);
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><rect width=\"32\" height=\"32\" rx=\"7\" fill=\"{back}\"/>\
         <path d=\"M8 7v18M24 7v18M8 12h16M8 18h16\" stroke=\"{front}\" stroke-width=\"3\" stroke-linecap=\"round\"/></svg>\n"
    );
    Draft::new("image/svg+xml", svg.into(), Freshness::Asset)
}

/// The one style sheet, with the operator's colours.
pub fn style(site: &Site) -> String {
    let (light, dark) = (site.light.properties(), site.dark.properties());
    let colours =
        format!(":root{{color-scheme:light dark;{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}\n");
    colours + include_str!("pages/style.css")
}

/// The style sheet as it is served.
pub fn style_sheet(site: &Site) -> Draft {
    Draft::new("text/css; charset=utf-8", style(site).into(), Freshness::Asset)
}

/// Serves a page at a path (without the base), for GET and HEAD.
pub fn put(policy: &mut Policy, site: &Site, path: &str, page: Page) {
    let served = site.served(path);
    add(policy, &served, |pages| pages.add(&served, page));
}

/// The same for a page that `policy.pages.replace` can replace at any time, and that a reload keeps.
pub fn put_live(policy: &mut Policy, site: &Site, path: &str, page: Arc<Page>) {
    let served = site.served(path);
    add(policy, &served, |pages| pages.add_live(&served, page));
}

/// Puts a page onto the table, and its path among those that are served.
fn add(policy: &mut Policy, served: &str, add: impl FnOnce(&mut PageTable) -> Option<u16>) {
    // While a policy is made, nobody else has its frame.
    let Some(frame) = Arc::get_mut(&mut policy.frame) else { return };
    let Some(place) = add(&mut frame.pages) else { return };
    for method in ["GET", "HEAD"] {
        // A path that is taken stays as it is.
        let _ = frame.paths.insert(None, method, served, Endpoint::Page(place));
    }
}
