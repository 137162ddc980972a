//! What pages are made from: the operator's own texts, the paths that all pages link to, and
//! templates rendered as HTML.

use super::example::Tokens;
use super::markdown::ExtraPage;
use crate::platform::pace;
use crate::policy::page::{Draft, Freshness};
use crate::site::brand::Site;

/// The operator's additions to the pages.
#[derive(Debug)]
pub struct Own {
    /// The look of the pages and what they describe.
    pub site: Site,
    /// The operator's texts for problems, by slug.
    pub words: Vec<(Box<str>, OwnWords)>,
    pub extra: Vec<ExtraPage>,
    /// Whose tokens examples show.
    pub examples: Tokens,
}

/// The operator's own text for the page of a row.
#[derive(Clone, Debug, Default)]
pub struct OwnWords {
    /// The detail as it is written, with the destinations that it names in braces.
    pub detail: Option<String>,
    pub meaning: Option<String>,
    pub causes: Vec<String>,
    pub remedy: Vec<String>,
}

/// A page's path, without the base, and its content in each of its media types.
pub type Drafted = (String, Vec<Draft>);

/// Renders a template as an HTML page. If that fails, which should not happen, the page says so.
pub fn rendered(template: &impl askama::Template) -> Draft {
    pace::step();
    let text = template.render().unwrap_or_else(|_| "This page could not be written.".to_owned());
    Draft::html(text, Freshness::Document)
}

/// The path of the style sheet.
pub const STYLE_PATH: &str = "/pages/style.css";

/// The path of the icon that browsers show beside the title if there is no logo.
pub const ICON_PATH: &str = "/pages/icon.svg";
