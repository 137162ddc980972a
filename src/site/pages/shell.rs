//! The frame of every page: its head, menu and foot, as `templates/base.html` writes them.
//!
//! A template of another module begins with `{% extends "base.html" %}`, has its text in the block
//! `content`, and its struct has a field `shell`.

use super::draft::{ICON_PATH, STYLE_PATH};
use crate::site::brand::{Link, Site};

/// What the frame has to know of a page.
#[derive(Debug)]
pub struct Shell<'s> {
    pub site: &'s Site,
    /// The page's own title: its heading, and in front of the site's name in the window.
    pub title: String,
    /// One sentence for search engines and previews.
    pub description: String,
    /// The page's path, without the base.
    pub path: String,
    /// The pages above this one, from the top.
    pub trail: Vec<Link>,
    /// The pages beside this one, which stand in a menu of their own.
    pub beside: Vec<Link>,
    /// The media type of the same page for programs, if there is one.
    pub alternate: Option<&'static str>,
}

impl<'s> Shell<'s> {
    /// The frame of a page that stands at the top of the menu.
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

    /// The link to the style sheet, which changes with it.
    pub fn style(&self) -> String {
        format!("{}?{}", self.site.link(STYLE_PATH), self.site.style_tag)
    }

    /// The logo's link.
    pub fn logo(&self) -> Option<String> {
        self.site.logo.as_ref().map(|logo| format!("{}?{}", self.site.link(&logo.path), logo.tag))
    }

    /// The picture beside the title of the window.
    pub fn icon(&self) -> String {
        self.logo().unwrap_or_else(|| format!("{}?{}", self.site.link(ICON_PATH), self.site.style_tag))
    }

    /// What a link to a page says of it to a screen reader: that it is this page, or that this page
    /// is below it.
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
