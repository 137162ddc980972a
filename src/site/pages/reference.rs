//! The reference: authentication, formats, rates, credits and deadlines, generated from the policy
//! in force.

use std::sync::Arc;

use askama::Template;

use super::draft::{Drafted, Own, rendered};
use super::formats::{self, FormatView};
use super::openapi::shown::{self, Operation};
use super::product::View;
use super::shell::Shell;
use super::{headers, openapi, product};
use crate::platform::pace;
use crate::policy::format::kind::{Format, Formats};
use crate::policy::page::{Draft, Freshness};
use crate::policy::rate::{Allowance, Window};
use crate::policy::respond::EXPOSED_HEADERS;
use crate::policy::{AccountInfo, Policy};
use crate::site::brand::Link;

macro_rules! template {
    ($name:ident, $path:literal) => {
        #[derive(Template)]
        #[template(path = $path)]
        struct $name<'a> {
            shell: Shell<'a>,
            facts: &'a Facts<'a>,
        }
    };
}

template!(IndexHtml, "reference.html");
template!(AuthenticationHtml, "authentication.html");
template!(RatesHtml, "rates.html");
template!(FormatsHtml, "formats.html");
template!(CreditsHtml, "credits.html");
template!(BrowsersHtml, "browsers.html");
template!(DeadlinesHtml, "deadlines.html");

#[derive(Template)]
#[template(path = "product.html")]
struct ProductHtml<'a> {
    shell: Shell<'a>,
    view: &'a View<'a>,
}

#[derive(Template)]
#[template(path = "api.html")]
struct ApiHtml<'a> {
    shell: Shell<'a>,
    operations: Vec<Operation>,
}

/// The facts that all pages of the reference use.
struct Facts<'p> {
    products: Vec<View<'p>>,
    rate: Option<Allowance>,
    /// Whether all accounts have that rate.
    same_rate: bool,
    rate_headers: [headers::Meaning; 5],
    credit_headers: [headers::Meaning; 2],
    has_credits: bool,
    exposed: Vec<&'static str>,
    nesting: u8,
    /// The formats of all products.
    formats: Vec<FormatView>,
    enquiry_path: &'static str,
    /// The pages of the reference.
    pages: Vec<Link>,
}

impl Facts<'_> {
    /// Whether there is another format than JSON.
    fn has_several_formats(&self) -> bool {
        self.formats.len() > 1
    }

    /// `JSON, XML or MessagePack`.
    fn format_names(&self) -> String {
        Formats::new(self.products.iter().flat_map(|view| view.product.media.formats.iter())).in_words()
    }

    /// Whether some product has XML.
    fn has_xml(&self) -> bool {
        self.products.iter().any(|view| view.product.media.formats.has(Format::Xml))
    }

    /// The period of the rate as text.
    fn period(&self) -> &'static str {
        match self.rate.map(|rate| rate.period.as_secs()) {
            Some(1) => "second",
            Some(60) => "minute",
            Some(3600) => "hour",
            Some(86_400) => "day",
            Some(_) | None => "period",
        }
    }
}

/// The pages of the reference, each with its path. `usual_rate` is the most frequent rate of
/// accounts, and whether all have it.
pub fn pages(policy: &Policy, own: &Own, usual_rate: (Option<&Arc<Window>>, bool)) -> Vec<Drafted> {
    let facts = facts(policy, own, usual_rate);
    let shell = |path: &str, title: &str, about: &str| {
        let mut shell = Shell::new(&own.site, path, title, about);
        shell.beside.clone_from(&facts.pages);
        if path != "/reference" {
            shell.trail = vec![Link::new("Reference", "/reference")];
        }
        shell
    };
    let facts = &facts;
    let mut pages = Vec::new();
    let mut add = |path: &str, html: Draft| pages.push((path.to_owned(), vec![html]));
    macro_rules! page {
        ($template:ident, $path:literal, $title:literal, $about:literal) => {
            add($path, rendered(&$template { shell: shell($path, $title, $about), facts }));
        };
    }
    page!(IndexHtml, "/reference", "Reference", "How to use this API, generated from the rules that are in force.");
    page!(
        AuthenticationHtml,
        "/reference/authentication",
        "Authentication",
        "How to send a token, and what it is valid for."
    );
    page!(
        RatesHtml,
        "/reference/rate-limits",
        "Rate limiting",
        "How many requests an account can send, and which headers say so."
    );
    page!(FormatsHtml, "/reference/formats", "Supported data formats", "The formats of requests and responses.");
    if facts.has_credits {
        page!(CreditsHtml, "/reference/credits", "Credits and prices", "What a lookup costs, and when it is free.");
    }
    page!(
        BrowsersHtml,
        "/reference/browsers",
        "Browsers and allowlists",
        "Requests from web pages, and restricting where a token can be used."
    );
    page!(DeadlinesHtml, "/reference/deadlines", "Deadlines", "How long a request can take.");
    for view in &facts.products {
        let path = product_path(view);
        let shell = shell(&path, &view.title, &view.description);
        add(&path, rendered(&ProductHtml { shell, view }));
    }
    let document = openapi::document(policy, own, &facts.products);
    pace::step();
    let about = "Every path, status and header, as OpenAPI has it.";
    let mut shell = shell("/reference/api", "OpenAPI", about);
    // This page is in the main menu itself.
    shell.trail.clear();
    add("/reference/api", rendered(&ApiHtml { shell, operations: shown::operations(&document) }));
    pace::step();
    pages.push(("/openapi.json".to_owned(), vec![Draft::json(&document, Freshness::Document)]));
    pace::step();
    pages
}

fn product_path(view: &View<'_>) -> String {
    format!("/reference/products/{}", view.slug)
}

fn facts<'p>(policy: &'p Policy, own: &Own, (rate, same_rate): (Option<&Arc<Window>>, bool)) -> Facts<'p> {
    let products = product::all(policy, own);
    let has_credits = products.iter().any(|view| view.product.is_priced);
    let mut pages = vec![
        Link::new("Overview", "/reference"),
        Link::new("Authentication", "/reference/authentication"),
        Link::new("Rate limiting", "/reference/rate-limits"),
        Link::new("Supported data formats", "/reference/formats"),
    ];
    if has_credits {
        pages.push(Link::new("Credits and prices", "/reference/credits"));
    }
    pages.push(Link::new("Browsers and allowlists", "/reference/browsers"));
    pages.push(Link::new("Deadlines", "/reference/deadlines"));
    pages.extend(products.iter().map(|view| Link::new(&*view.title, product_path(view))));
    let formats = formats::of(&products);
    Facts {
        products,
        rate: rate.map(|window| window.allowance()),
        same_rate,
        rate_headers: headers::RATE,
        credit_headers: headers::CREDITS,
        has_credits,
        exposed: EXPOSED_HEADERS.split(", ").collect(),
        formats,
        nesting: crate::policy::check::body::document::MAX_NESTING,
        enquiry_path: AccountInfo::PATH,
        pages,
    }
}
