//! What the gateway's pages say: problems, reference, OpenAPI, made from the policy in force.
//!
//! All are rendered when a configuration is loaded, so that they can never be out of date, and are
//! served from memory (`page.rs`). Nothing here names accounts, tokens, networks or backends.

pub mod shell;

use crate::page::{Freshness, Page, Rendition};
use crate::policy::{Endpoint, Policy};
use crate::site::Site;

/// Where the style sheet stands.
pub const STYLE_PATH: &str = "/pages/style.css";

/// The one style sheet, with the operator's colours.
pub fn style(site: &Site) -> String {
    let (light, dark) = (site.light.properties(), site.dark.properties());
    let colours =
        format!(":root{{color-scheme:light dark;{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}\n");
    colours + include_str!("pages/style.css")
}

/// The style sheet as it is served.
pub fn style_page(site: &Site) -> Page {
    Page::new([Rendition::new("text/css; charset=utf-8", style(site).into(), Freshness::Asset)])
}

/// Puts a page up at a path, which is without the base, for GET and HEAD.
pub fn put(policy: &mut Policy, path: &str, page: Page) {
    let served = policy.site.served(path);
    let place = policy.pages.add(&served, page);
    route(policy, &served, place);
}

/// The same for a page that `policy.pages.replace` exchanges under way, and that a reload keeps.
pub fn put_live(policy: &mut Policy, path: &str, page: Page) {
    let served = policy.site.served(path);
    let place = policy.pages.add_live(&served, page);
    route(policy, &served, place);
}

fn route(policy: &mut Policy, served: &str, place: Option<u16>) {
    let Some(place) = place else { return };
    for method in ["GET", "HEAD"] {
        policy.paths.insert(method, served, Endpoint::Page(place));
    }
}
