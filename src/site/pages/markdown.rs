//! Pages that the operator writes in Markdown (CommonMark, with tables).
//!
//! HTML in the text is escaped, and links can only be web, mail or page links, so that a text from
//! elsewhere is harmless. The page's title is its only heading of level 1; headings in the text are
//! moved below it.

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// A page that the operator has written.
#[derive(Clone, Debug)]
pub struct ExtraPage {
    pub title: Box<str>,
    pub slug: Box<str>,
    /// Its text as safe HTML.
    pub html: String,
}

impl ExtraPage {
    /// Its path, without the base.
    pub fn path(&self) -> String {
        format!("/pages/{}", self.slug)
    }
}

/// Converts a text to safe HTML that can follow a heading of level 1. `base` is put in front of
/// links that begin with a slash, which are links to other pages.
pub fn to_html(text: &str, base: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let highest = Parser::new_ext(text, options).filter_map(level_of).min();
    let below = |level: HeadingLevel| below(level, highest);
    let events = Parser::new_ext(text, options).map(|event| match event {
        Event::Html(raw) | Event::InlineHtml(raw) => Event::Text(raw),
        Event::Start(Tag::Heading { level, id, classes, attrs }) => {
            Event::Start(Tag::Heading { level: below(level), id, classes, attrs })
        }
        Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(below(level))),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url: harmless(dest_url, base), title, id })
        }
        // Pictures are not loaded; their alternative text is shown instead.
        Event::Start(Tag::Image { .. }) => Event::Start(Tag::Emphasis),
        Event::End(TagEnd::Image) => Event::End(TagEnd::Emphasis),
        other => other,
    });
    let mut html = String::with_capacity(text.len() * 2);
    html::push_html(&mut html, events);
    html
}

/// The level of a heading, if the event begins one.
fn level_of(event: Event<'_>) -> Option<HeadingLevel> {
    match event {
        Event::Start(Tag::Heading { level, .. }) => Some(level),
        _ => None,
    }
}

/// The level of a heading after the move: the text's highest level becomes level 2, since level 1
/// is the page's title and no level may be skipped.
fn below(level: HeadingLevel, highest: Option<HeadingLevel>) -> HeadingLevel {
    const LEVELS: [HeadingLevel; 5] =
        [HeadingLevel::H2, HeadingLevel::H3, HeadingLevel::H4, HeadingLevel::H5, HeadingLevel::H6];
    let deeper = number_of(level).saturating_sub(highest.map_or(1, number_of));
    LEVELS.get(deeper).copied().unwrap_or(HeadingLevel::H6)
}

/// A level as a number, from 1.
fn number_of(level: HeadingLevel) -> usize {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

/// The target of a link, or `#content` if the target could run a script.
fn harmless<'t>(target: CowStr<'t>, base: &str) -> CowStr<'t> {
    const SCHEMES: [&str; 3] = ["https:", "http:", "mailto:"];
    let lower_case = target.trim().to_ascii_lowercase();
    let has_scheme = lower_case.split(['/', '?', '#']).next().is_some_and(|start| start.contains(':'));
    let known = SCHEMES.iter().any(|scheme| lower_case.starts_with(scheme));
    if has_scheme && !known {
        CowStr::Borrowed("#content")
    } else if target.starts_with('/') && !target.starts_with("//") {
        format!("{base}{target}").into()
    } else {
        target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_run_is_shown_as_text_or_leads_nowhere() {
        for (text, html) in [
            ("# A\n\nb *c*", "<h2>A</h2>\n<p>b <em>c</em></p>\n"),
            ("## A\n\n#### B", "<h2>A</h2>\n<h4>B</h4>"),
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("a <b onclick=x>c</b>", "<p>a &lt;b onclick=x&gt;c&lt;/b&gt;</p>\n"),
            ("[a](https://b.example/?c&d)", "<p><a href=\"https://b.example/?c&amp;d\">a</a></p>\n"),
            ("[a](/problems)", "<p><a href=\"/docs/problems\">a</a></p>\n"),
            ("[a](JavaScript:alert(1))", "<p><a href=\"#content\">a</a></p>\n"),
            ("[a](data:text/html,b)", "<p><a href=\"#content\">a</a></p>\n"),
            ("![a](https://b.example/c.png)", "<p><em>a</em></p>\n"),
        ] {
            assert_eq!(to_html(text, "/docs").trim(), html.trim(), "{text}");
        }
        assert!(to_html("| a |\n|---|\n| b |", "").contains("<td>b</td>"));
    }
}
