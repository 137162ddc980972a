//! Pages of the operator's own words, in Markdown (CommonMark, with tables).
//!
//! HTML in the text is shown as text and not as HTML, and links lead to the web, to mail or to other
//! pages, so that a text from elsewhere can do no harm. The page's title is its first heading, and
//! headings in the text come below it.

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// A page of the operator's.
#[derive(Clone, Debug)]
pub struct ExtraPage {
    pub title: Box<str>,
    pub slug: Box<str>,
    /// Its text as HTML that is safe to be shown.
    pub html: String,
}

impl ExtraPage {
    /// Where it stands, without the base.
    pub fn path(&self) -> String {
        format!("/pages/{}", self.slug)
    }
}

/// A text as HTML that is safe to be shown below a heading of the first level. `base` comes in front
/// of links to other pages, which begin with a slash.
pub fn to_html(text: &str, base: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let events = Parser::new_ext(text, options).map(|event| match event {
        Event::Html(raw) | Event::InlineHtml(raw) => Event::Text(raw),
        Event::Start(Tag::Heading { level, id, classes, attrs }) => {
            Event::Start(Tag::Heading { level: below(level), id, classes, attrs })
        }
        Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(below(level))),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url: harmless(dest_url, base), title, id })
        }
        // Pictures from elsewhere are not loaded: what describes them is shown.
        Event::Start(Tag::Image { .. }) => Event::Start(Tag::Emphasis),
        Event::End(TagEnd::Image) => Event::End(TagEnd::Emphasis),
        other => other,
    });
    let mut html = String::with_capacity(text.len() * 2);
    html::push_html(&mut html, events);
    html
}

/// One level below, since the page's title is above all.
fn below(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H2,
        HeadingLevel::H2 => HeadingLevel::H3,
        HeadingLevel::H3 => HeadingLevel::H4,
        HeadingLevel::H4 => HeadingLevel::H5,
        HeadingLevel::H5 | HeadingLevel::H6 => HeadingLevel::H6,
    }
}

/// A link's target, or nothing where it could run something.
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
