//! The status as a feed: `/status.atom`, one entry for each incident and each notice (RFC 4287).
//!
//! An entry keeps its id; when it changes, so does `updated`.

use atom_syndication::{Content, Entry, Feed, FixedDateTime, Generator, Link, Person, Text};

use super::notice::Moment;
use super::report::{IncidentText, NoticeText, Report};
use crate::site::brand::Site;

/// The paths of the page and of the feed, without the site's base.
pub const PAGE: &str = "/status";
pub const FEED: &str = "/status.atom";

/// The text of the feed.
pub fn feed(report: &Report, site: &Site) -> String {
    let page = site.url(PAGE);
    let mut entries: Vec<Entry> = report.incidents.iter().map(|told| incident(told, &page)).collect();
    let said = report.notes.iter().chain(&report.maintenance).chain(&report.past);
    entries.extend(said.map(|said| notice(said, &page)));
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.updated));
    Feed {
        title: Text::plain(format!("{}: status", site.name)),
        id: site.url(FEED),
        updated: time(report.updated()),
        authors: vec![Person { name: site.name.to_string(), ..Person::default() }],
        links: vec![link(page, "alternate", "text/html"), link(site.url(FEED), "self", "application/atom+xml")],
        generator: Some(Generator { value: "Tollgate".to_owned(), ..Generator::default() }),
        entries,
        ..Feed::default()
    }
    .to_string()
}

fn incident(told: &IncidentText, page: &str) -> Entry {
    let stage = if told.ended.is_some() { "ended" } else { "ongoing" };
    entry(&told.id, format!("{} ({stage})", told.title), &told.text, told.started, told.updated, page)
}

fn notice(said: &NoticeText, page: &str) -> Entry {
    entry(&said.id, said.heading(), &said.text, said.begins().min(said.updated), said.updated, page)
}

fn entry(id: &str, title: String, text: &str, published: u64, updated: u64, page: &str) -> Entry {
    let url = format!("{page}#{}", anchor(id));
    Entry {
        title: Text::plain(title),
        id: url.clone(),
        updated: time(updated),
        published: Some(time(published)),
        links: vec![link(url, "alternate", "text/html")],
        content: Some(Content {
            content_type: Some("text".to_owned()),
            value: Some(text.to_owned()),
            ..Content::default()
        }),
        ..Entry::default()
    }
}

/// An id as a link fragment: names of products may have any characters.
pub fn anchor(id: &str) -> String {
    id.chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '_' })
        .collect()
}

fn link(href: String, rel: &str, kind: &str) -> Link {
    Link { href, rel: rel.to_owned(), mime_type: Some(kind.to_owned()), ..Link::default() }
}

fn time(at: u64) -> FixedDateTime {
    Moment(at).utc().fixed_offset()
}
