//! The status pages on the policy's shelf: put up when a configuration is loaded, and exchanged under
//! way. Requests only ever read what is there.

use std::sync::{Arc, LazyLock};

use super::book::Book;
use super::feed::{FEED, PAGE, feed};
use super::html::{JSON, SCHEMA, html};
use super::report::Report;
use super::{history::Seconds, json};
use crate::page::{Freshness, Page, Rendition};
use crate::pages;
use crate::policy::Policy;
use crate::site::Site;

/// The names of a policy's products, in its order.
pub fn names(policy: &Policy) -> Vec<Arc<str>> {
    policy.products.iter().map(|product| Arc::clone(&product.name)).collect()
}

/// The schema of the JSON, made ready once.
static SCHEMA_RENDITION: LazyLock<Rendition> =
    LazyLock::new(|| Rendition::new("application/schema+json", json::SCHEMA.into(), Freshness::Document));

/// Puts the pages up for a policy that nothing is known for yet. They name no product before they
/// have been exchanged for the first time, which happens as soon as the policy is in force.
pub fn publish(policy: &mut Policy, now: Seconds) {
    let report = Report::new(&Book::new(policy.status.clone()), &[], now);
    for (path, page) in rendered(&report, &policy.site) {
        pages::put_live(policy, path, page);
    }
    pages::put(policy, SCHEMA, Page::new([SCHEMA_RENDITION.clone()]));
}

/// Whether a policy has the pages at all.
pub fn is_served(policy: &Policy) -> bool {
    policy.pages.find(&policy.site.served(PAGE)).is_some()
}

/// Exchanges the pages of a policy that is in force.
pub fn replace(policy: &Policy, report: &Report) {
    for (path, page) in rendered(report, &policy.site) {
        policy.pages.replace(&policy.site.served(path), page);
    }
}

fn rendered(report: &Report, site: &Site) -> Vec<(&'static str, Page)> {
    let value = json::json(report);
    let json = || Rendition::json(&value, Freshness::Live);
    let atom = Rendition::new("application/atom+xml; charset=utf-8", feed(report, site).into(), Freshness::Live);
    // Of a page that cannot be written the others are there all the same.
    let html = html(report, site).map(|text| Page::new([Rendition::html(text, Freshness::Live), json()]));
    let mut pages = vec![(JSON, Page::new([json()])), (FEED, Page::new([atom]))];
    pages.extend(html.map(|page| (PAGE, page)));
    pages
}
