//! The frame of every page: its head, menu and foot, as `templates/base.html` writes them.
//!
//! A page's template begins with `{% extends "base.html" %}` and has its text in the block
//! `content`; its struct has a field `shell`.

use super::draft::{ICON_PATH, STYLE_PATH};
use crate::site::brand::{Link, Site};

/// What the frame needs to know about a page.
#[derive(Debug)]
pub struct Shell<'s> {
    pub site: &'s Site,
    /// The page's title: its heading, and with the site's name the title of the window.
    pub title: String,
    /// One sentence for search engines and previews.
    pub description: String,
    /// The page's path, without the base.
    pub path: String,
    /// The pages above this one, from the top.
    pub trail: Vec<Link>,
    /// The pages in the menu beside this page.
    pub beside: Vec<Link>,
    /// The media type of the same page for programs, if there is one.
    pub alternate: Option<&'static str>,
}

impl<'s> Shell<'s> {
    /// The frame of a page at the top level of the menu.
    pub fn new(site: &'s Site, path: &str, title: impl Into<String>, description: impl Into<String>) -> Shell<'s> {
        Shell {
            site,
            title: title.into(),
            description: description.into(),
            path: path.to_owned(),
            trail: Vec::new(),
            beside: Vec::new(),
            alternate: None,
        }
    }

    /// The link to the style sheet, which changes when the style sheet does.
    pub fn style(&self) -> String {
        format!("{}?{}", self.site.link(STYLE_PATH), self.site.style_tag)
    }

    /// The logo's link.
    pub fn logo(&self) -> Option<String> {
        self.site.logo.as_ref().map(|logo| format!("{}?{}", self.site.link(&logo.path), logo.tag))
    }

    /// The link to the icon.
    pub fn icon(&self) -> String {
        self.logo().unwrap_or_else(|| format!("{}?{}", self.site.link(ICON_PATH), self.site.style_tag))
    }

    /// The `aria-current` of a link: `page` if it links to this page, `true` if this page is below
    /// it.
    pub fn current(&self, path: &str) -> &'static str {
        if *path == *self.path {
            "page"
        } else if self.trail.iter().any(|link| *link.path == *path) {
            "true"
        } else {
            "false"
        }
    }
}
