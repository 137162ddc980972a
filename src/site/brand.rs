//! The look of the pages and the operator's identity: name, logo, colours, support contacts and
//! menu.
//!
//! All values were checked when the configuration was read, contrast included. The content of the
//! pages is in `pages.rs`.

use super::destinations::Destinations;
use crate::site::colour::Palette;

/// The settings that all pages share.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// The name of the service, shown at the top of every page.
    pub name: Box<str>,
    /// The start of the URL of every page, without a trailing slash.
    pub public_url: Box<str>,
    /// The base URL for clients' requests, as examples and the OpenAPI document show it.
    pub api_url: Box<str>,
    /// The path of `public_url`, which is put in front of every link between pages. Empty if the
    /// pages are at the root.
    pub link_base: Box<str>,
    /// The same prefix as it appears in requests that arrive here; a proxy in front may have
    /// removed it.
    pub served_base: Box<str>,
    pub logo: Option<Logo>,
    pub light: Palette,
    pub dark: Palette,
    pub support: Support,
    /// The links that problem details can contain.
    pub destinations: Destinations,
    /// The main menu, in the order in which it is shown.
    pub menu: Vec<Link>,
    /// Whether there is a status page. Pages of problems that the service may have caused link to
    /// it.
    pub has_status: bool,
    /// The digest of the style sheet, appended to its link so that caches see a new one.
    pub style_tag: Box<str>,
}

/// A link between pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub title: Box<str>,
    /// The path of a page, without the base.
    pub path: Box<str>,
}

impl Link {
    /// A link to a page.
    pub fn new(title: impl Into<Box<str>>, path: impl Into<Box<str>>) -> Link {
        Link { title: title.into(), path: path.into() }
    }
}

/// The operator's logo.
#[derive(Clone, Debug)]
pub struct Logo {
    /// Its path, without the base.
    pub path: Box<str>,
    /// The digest of its bytes, appended to its link.
    pub tag: Box<str>,
    pub media_type: &'static str,
    pub bytes: bytes::Bytes,
}

/// Contacts for readers.
#[derive(Clone, Debug, Default)]
pub struct Support {
    pub email: Option<Box<str>>,
    pub url: Option<Box<str>>,
}

impl Site {
    /// The path of a page for a link in a browser.
    pub fn link(&self, path: &str) -> String {
        format!("{}{path}", self.link_base)
    }

    /// The path of a page as it appears in requests that arrive here.
    pub fn served(&self, path: &str) -> String {
        format!("{}{path}", self.served_base)
    }

    /// Whether a path, as it appears in requests, is reserved for pages.
    pub fn reserves(&self, path: &str) -> bool {
        const WHOLE: [&str; 4] = ["/openapi.json", "/status", "/status.json", "/status.atom"];
        const BELOW: [&str; 3] = ["/problems", "/reference", "/pages"];
        let Some(rest) = path.strip_prefix(&*self.served_base) else { return false };
        let below = |start: &str| rest.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        WHOLE.contains(&rest) || BELOW.into_iter().any(below)
    }

    /// The full URL of a page.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.public_url)
    }
}
