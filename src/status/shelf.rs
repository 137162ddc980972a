//! The status pages on the policy's shelf: put up when a configuration is loaded, and exchanged under
//! way. Requests only ever read what is there.

use std::sync::Arc;

use serde_json::Value;

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

/// Puts the pages up for a policy that nothing is known for yet.
pub fn publish(policy: &mut Policy, now: Seconds) {
    let report = Report::new(&Book::new(policy.status.clone()), &names(policy), now);
    for (path, page) in rendered(&report, &policy.site) {
        pages::put_live(policy, path, page);
    }
    let schema: Value = serde_json::from_str(json::SCHEMA).unwrap_or_default();
    pages::put(policy, SCHEMA, Page::new([Rendition::json(&schema, Freshness::Document)]));
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
