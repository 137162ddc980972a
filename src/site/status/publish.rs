//! The status pages in the policy's page table: added when a configuration is loaded, and replaced
//! when the status changes. Requests only read them.

use std::sync::{Arc, LazyLock};

use super::book::Book;
use super::feed::{FEED, PAGE, feed};
use super::html::{JSON, SCHEMA, html};
use super::json;
use super::report::Report;
use crate::platform::pace;
use crate::policy::Policy;
use crate::policy::page::{Draft, Freshness, Page, PageTable, Rendition};
use crate::policy::seconds::Seconds;
use crate::site::brand::Site;
use crate::site::pages;
use crate::site::status::StatusSettings;

/// The names of a policy's products, in its order.
pub fn names(policy: &Policy) -> Vec<Arc<str>> {
    policy.products.iter().map(|product| Arc::clone(&product.name)).collect()
}

/// The paths of the pages that change.
const PATHS: [&str; 3] = [JSON, FEED, PAGE];

/// The schema of the JSON, rendered once.
static SCHEMA_RENDITION: LazyLock<Rendition> =
    LazyLock::new(|| Draft::new("application/schema+json", json::SCHEMA.into(), Freshness::Document).ready());

/// Adds the pages to a policy: those of the previous policy, or else pages without products. They
/// are replaced soon after the policy has come into force.
pub fn publish(policy: &mut Policy, site: &Site, status: &StatusSettings, now: Seconds, before: Option<&PageTable>) {
    let known = |path| before?.find(&site.served(path)).map(|page_entry| (path, page_entry.page()));
    let known: Option<Vec<_>> = PATHS.into_iter().map(known).collect();
    let pages = known.unwrap_or_else(|| {
        let report = Report::new(&Book::new(status.clone()), &[], now);
        let pages = rendered(&report, site).into_iter();
        pages.map(|(path, page)| (path, Arc::new(page))).collect()
    });
    for (path, page) in pages {
        pages::put_live(policy, site, path, page);
    }
    pages::put(policy, site, SCHEMA, Page::new([SCHEMA_RENDITION.clone()]));
}

/// Whether a policy has the pages at all.
pub fn is_served(policy: &Policy, site: &Site) -> bool {
    policy.pages.find(&site.served(PAGE)).is_some()
}

/// Replaces the pages of a policy that is in force.
pub fn replace(policy: &Policy, site: &Site, report: &Report) {
    for (path, page) in rendered(report, site) {
        policy.pages.replace(&site.served(path), page);
    }
}

fn rendered(report: &Report, site: &Site) -> Vec<(&'static str, Page)> {
    let ready = |draft: Draft| {
        pace::step();
        draft.ready()
    };
    let json = ready(Draft::json(&json::json(report), Freshness::Live));
    let atom = Draft::new("application/atom+xml; charset=utf-8", feed(report, site).into(), Freshness::Live);
    // A page that cannot be rendered does not affect the others.
    let html = html(report, site).map(|text| ready(Draft::html(text, Freshness::Live)));
    let html = html.map(|html| (PAGE, Page::new([html, json.clone()])));
    [(JSON, Page::new([json])), (FEED, Page::new([ready(atom)]))].into_iter().chain(html).collect()
}
