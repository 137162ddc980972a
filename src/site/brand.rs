//! How the pages look and whose they are: the operator's name, logo, colours, support and menu.
//!
//! Values here were checked when the configuration was read, contrast included. What is written on
//! the pages is `pages.rs`.

use crate::site::colour::Palette;

/// What all pages have in common.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// What the service is called, at the top of every page.
    pub name: Box<str>,
    /// What links to pages begin with, without a slash at its end.
    pub public_url: Box<str>,
    /// Where clients send their requests: what examples and OpenAPI name.
    pub api_url: Box<str>,
    /// The path of `public_url`: what stands in front of every link between pages. It is empty
    /// where pages begin at the root.
    pub link_base: Box<str>,
    /// The same as requests for pages have it when they arrive here.
    pub served_base: Box<str>,
    pub logo: Option<Logo>,
    pub light: Palette,
    pub dark: Palette,
    pub support: Support,
    /// The main menu, in its order.
    pub menu: Vec<Link>,
    /// Whether there is a status page, to which problems of ours link.
    pub has_status: bool,
    /// The digest of the style sheet, which its link ends with.
    pub style_tag: Box<str>,
}

/// A link between pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub title: Box<str>,
    /// The path of a page, without the base in front of it.
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
    /// Where it stands, without the base in front of it.
    pub path: Box<str>,
    /// The digest of its bytes, which its link ends with.
    pub tag: Box<str>,
    pub media_type: &'static str,
    pub bytes: bytes::Bytes,
}

/// Whom readers can ask.
#[derive(Clone, Debug, Default)]
pub struct Support {
    pub email: Option<Box<str>>,
    pub url: Option<Box<str>>,
}

impl Site {
    /// A link to a page as browsers follow it.
    pub fn link(&self, path: &str) -> String {
        format!("{}{path}", self.link_base)
    }

    /// A page's path as requests for it have it when they arrive.
    pub fn served(&self, path: &str) -> String {
        format!("{}{path}", self.served_base)
    }

    /// Whether a path, as requests have it, is kept for pages.
    pub fn reserves(&self, path: &str) -> bool {
        const WHOLE: [&str; 4] = ["/openapi.json", "/status", "/status.json", "/status.atom"];
        const BELOW: [&str; 3] = ["/problems", "/reference", "/pages"];
        let Some(rest) = path.strip_prefix(&*self.served_base) else { return false };
        let below = |start: &str| rest.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        WHOLE.contains(&rest) || BELOW.into_iter().any(below)
    }

    /// The whole URL of a page.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.public_url)
    }
}
