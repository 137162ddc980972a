//! What pages are drafted from and what a draft is: the operator's own words, the paths that all pages
//! link to, and a template made into a page for people.

use super::example::Tokens;
use super::markdown::ExtraPage;
use crate::platform::pace;
use crate::policy::page::{Draft, Freshness};
use crate::site::brand::Site;

/// What the operator adds to the pages.
#[derive(Debug)]
pub struct Own {
    /// How the pages look and what they are about.
    pub site: Site,
    /// Words for problems, by slug.
    pub words: Vec<(Box<str>, OwnWords)>,
    pub extra: Vec<ExtraPage>,
    /// Whose tokens examples show.
    pub examples: Tokens,
}

/// The operator's own words for a row's page.
#[derive(Clone, Debug, Default)]
pub struct OwnWords {
    pub meaning: Option<String>,
    pub causes: Vec<String>,
    pub remedy: Vec<String>,
}

/// A page's path, which is without the base, and what it says in each of its media types.
pub type Drafted = (String, Vec<Draft>);

/// A template as a page for people. One that could not be rendered, which nothing can cause, says so.
pub fn rendered(template: &impl askama::Template) -> Draft {
    pace::step();
    let text = template.render().unwrap_or_else(|_| "This page could not be written.".to_owned());
    Draft::html(text, Freshness::Document)
}

/// Where the style sheet stands.
pub const STYLE_PATH: &str = "/pages/style.css";

/// Where the picture stands that browsers show beside a title when there is no logo.
pub const ICON_PATH: &str = "/pages/icon.svg";
