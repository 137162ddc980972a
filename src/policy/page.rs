//! Pages for people and programs: their bytes, ready to be sent, by path.
//!
//! A page is made when the configuration is loaded, or is replaced at any time like the status
//! page; a request only selects a media type by Accept and a coding by Accept-Encoding, or gets a
//! 304 if the client has the page already. The content is made in `site/pages/`.

use std::io::Write;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::policy::http::head::Lines;
use crate::policy::http::media::{JSON, MediaType, preferred, takes_coding};
use crate::policy::problem::{Problem, Row};

/// The most bytes of one page, before it is compressed. Pages are held in memory.
pub const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The fewest bytes of a page that is compressed: a smaller one fits into one packet anyway.
const MIN_GZIP_BYTES: usize = 1024;

/// The bytes of a digest that distinguish pages.
const ETAG_BYTES: usize = 16;

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerScope {
    All,
    /// Only products.
    Lookups,
    /// Only pages.
    Pages,
}

/// How long browsers and caches may keep a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Text that a reload can change: requested again after a minute.
    Document,
    /// Styles and logos, whose links change with them.
    Asset,
    /// What can change at any time, such as the status page.
    Live,
}

impl Freshness {
    /// `Cache-Control` (RFC 9111, section 5.2).
    pub const fn cache_control(self) -> &'static str {
        match self {
            Freshness::Document => "public, max-age=60",
            Freshness::Asset => "public, max-age=86400",
            Freshness::Live => "public, max-age=10",
        }
    }
}

/// The page at a path, in each of its media types; the first is for clients that accept anything.
#[derive(Debug)]
pub struct Page {
    renditions: Box<[Rendition]>,
}

/// The content of a page in one media type, before it is prepared for sending.
#[derive(Debug)]
pub struct Draft {
    content_type: &'static str,
    freshness: Freshness,
    bytes: Bytes,
}

/// A page in one media type, ready to be sent.
#[derive(Clone, Debug)]
pub struct Rendition {
    media_type: MediaType,
    /// `Content-Type`, with its parameters.
    pub content_type: &'static str,
    pub freshness: Freshness,
    plain: Encoded,
    /// `None` if it would not be smaller.
    gzip: Option<Encoded>,
}

/// The bytes of a page in one coding.
#[derive(Clone, Debug)]
pub struct Encoded {
    pub bytes: Bytes,
    /// `ETag`, with its quotes (RFC 9110, section 8.8.3).
    pub etag: Box<str>,
    /// `Content-Encoding`, if there is one.
    pub coding: Option<&'static str>,
}

/// The only coding of pages beside none.
const GZIP: &str = "gzip";

impl Page {
    /// A page with renditions; without any, it matches no request.
    pub fn new(renditions: impl IntoIterator<Item = Rendition>) -> Page {
        Page { renditions: renditions.into_iter().collect() }
    }

    /// A page from drafts that replaces another one. Unchanged renditions are reused.
    pub fn following(drafts: impl IntoIterator<Item = Draft>, before: Option<&Page>) -> Page {
        let known = |draft: &Draft| before?.renditions.iter().find(|rendition| draft.is_said_by(rendition)).cloned();
        Page::new(drafts.into_iter().map(|draft| known(&draft).unwrap_or_else(|| draft.ready())))
    }

    /// The index of the rendition that a request prefers.
    ///
    /// # Errors
    /// `accept-unsupported`.
    pub fn choose(&self, lines: &Lines<'_>) -> Result<usize, Problem> {
        preferred(lines, self.renditions.iter().map(|rendition| &rendition.media_type))
            .ok_or(Problem::new(Row::AcceptUnsupported, "no media range of Accept matches a type of the page"))
    }

    /// The rendition at an index.
    pub fn rendition(&self, index: usize) -> Option<&Rendition> {
        self.renditions.get(index)
    }
}

impl Draft {
    /// Text for people.
    pub fn html(text: String, freshness: Freshness) -> Draft {
        Draft::new("text/html; charset=utf-8", text.into(), freshness)
    }

    /// The same for programs.
    pub fn json(value: &serde_json::Value, freshness: Freshness) -> Draft {
        Draft::new(JSON, format!("{value:#}\n").into(), freshness)
    }

    /// Bytes of any type; `content_type` is a media type, with parameters or without.
    pub fn new(content_type: &'static str, bytes: Bytes, freshness: Freshness) -> Draft {
        Draft { content_type, freshness, bytes }
    }

    /// Whether a rendition was made from the same content.
    fn is_said_by(&self, rendition: &Rendition) -> bool {
        let Draft { content_type, freshness, bytes } = self;
        rendition.content_type == *content_type && rendition.freshness == *freshness && rendition.plain.bytes == *bytes
    }

    /// Compresses it and gives it its tags.
    pub fn ready(self) -> Rendition {
        let Draft { content_type, freshness, bytes } = self;
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let digest = Sha256::digest(&bytes);
        let tag = digest.iter().take(ETAG_BYTES).fold(String::new(), |tag, byte| tag + &format!("{byte:02x}"));
        let gzip = compressed(&bytes).map(|bytes| Encoded {
            bytes,
            etag: format!("\"{tag}-gzip\"").into(),
            coding: Some(GZIP),
        });
        Rendition {
            media_type: MediaType::parse(essence).unwrap_or_else(|_| MediaType::any_bytes()),
            content_type,
            freshness,
            plain: Encoded { bytes, etag: format!("\"{tag}\"").into(), coding: None },
            gzip,
        }
    }
}

impl Rendition {
    /// The bytes in the coding that suits a request.
    pub fn encoded_for(&self, lines: &Lines<'_>) -> &Encoded {
        self.gzip.as_ref().filter(|_| takes_coding(lines, GZIP)).unwrap_or(&self.plain)
    }

    /// The bytes without a coding.
    pub fn plain(&self) -> &Bytes {
        &self.plain.bytes
    }
}

impl Encoded {
    /// Whether the client has exactly these bytes (RFC 9110, section 13.1.2).
    pub fn is_known_to(&self, lines: &Lines<'_>) -> bool {
        // Our own tags have no comma, so splitting a foreign tag at one is harmless.
        let mut tags = lines.values("if-none-match").flat_map(|value| value.split(|byte| *byte == b','));
        tags.any(|tag| {
            let tag = tag.trim_ascii();
            tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == self.etag.as_bytes()
        })
    }
}

/// The bytes compressed with gzip (RFC 1952), if that makes them smaller.
fn compressed(bytes: &[u8]) -> Option<Bytes> {
    if bytes.len() < MIN_GZIP_BYTES {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), Compression::default());
    // Writing into a vector cannot fail; a page that could not be compressed is sent as it is.
    encoder.write_all(bytes).ok()?;
    let compressed = encoder.finish().ok()?;
    (compressed.len() < bytes.len() / 10 * 9).then(|| compressed.into())
}

/// All pages of a policy, by the indexes that its paths have for them.
#[derive(Debug, Default)]
pub struct PageTable {
    pages: Vec<PageEntry>,
}

/// One entry of the page table. Its page can be replaced while requests read it.
#[derive(Debug)]
pub struct PageEntry {
    path: Box<str>,
    page: ArcSwap<Page>,
    /// Whether the page is updated at run time, and so is kept when the configuration changes.
    live: bool,
}

impl PageEntry {
    /// The current page.
    pub fn page(&self) -> Arc<Page> {
        self.page.load_full()
    }

    /// Its path, as in requests.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl PageTable {
    /// Adds a page; returns its index, or `None` if there are too many.
    pub fn add(&mut self, path: &str, page: Page) -> Option<u16> {
        self.push(path, Arc::new(page), false)
    }

    /// The same for a page that is updated at run time, which a reload keeps.
    pub fn add_live(&mut self, path: &str, page: Arc<Page>) -> Option<u16> {
        self.push(path, page, true)
    }

    fn push(&mut self, path: &str, page: Arc<Page>, live: bool) -> Option<u16> {
        let index = u16::try_from(self.pages.len()).ok()?;
        self.pages.push(PageEntry { path: path.into(), page: ArcSwap::new(page), live });
        Some(index)
    }

    /// The page at an index.
    pub fn at(&self, index: u16) -> Option<&PageEntry> {
        self.pages.get(usize::from(index))
    }

    /// All pages.
    pub fn iter(&self) -> impl Iterator<Item = &PageEntry> {
        self.pages.iter()
    }

    /// The page at a path, as in requests.
    pub fn find(&self, path: &str) -> Option<&PageEntry> {
        self.pages.iter().find(|page_entry| *page_entry.path == *path)
    }

    /// Replaces a page that is updated at run time; returns whether it exists.
    pub fn replace(&self, path: &str, page: Page) -> bool {
        let page_entry = self.find(path).filter(|page_entry| page_entry.live);
        page_entry.inspect(|page_entry| page_entry.page.store(Arc::new(page))).is_some()
    }

    /// Takes over the pages that are updated at run time from the previous page table.
    pub fn inherit(&self, before: &PageTable) {
        for page_entry in self.pages.iter().filter(|page_entry| page_entry.live) {
            if let Some(known) = before.find(&page_entry.path).filter(|known| known.live) {
                page_entry.page.store(known.page());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn with<T>(fields: &[(&'static str, &str)], judge: impl FnOnce(&Lines<'_>) -> T) -> T {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        judge(&Lines { fields: &fields, ..Lines::UNREADABLE })
    }

    fn page() -> Page {
        let html = Draft::html("<p>words</p>".repeat(500), Freshness::Document);
        Page::following([html, Draft::json(&serde_json::json!({ "words": 500 }), Freshness::Document)], None)
    }

    #[test]
    fn the_type_follows_accept_and_html_comes_first() {
        for (accept, index) in [
            (None, Some(0)),
            (Some("*/*"), Some(0)),
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), Some(0)),
            (Some("application/json"), Some(1)),
            (Some("application/json, text/html;q=0.9"), Some(1)),
            (Some("application/problem+json"), None),
            (Some("image/png"), None),
        ] {
            let fields: Vec<_> = accept.map(|accept| ("Accept", accept)).into_iter().collect();
            assert_eq!(with(&fields, |lines| page().choose(lines).ok()), index, "{accept:?}");
        }
    }

    #[test]
    fn gzip_is_for_those_who_take_it_and_holds_the_same() {
        let page = page();
        let html = page.rendition(0).unwrap();
        for (accepted, coding) in [
            (None, None),
            (Some("gzip"), Some("gzip")),
            (Some("br, GZIP;q=0.5"), Some("gzip")),
            (Some("gzip;q=0"), None),
            (Some("*"), Some("gzip")),
            (Some("gzip;q=0, *"), None),
            (Some("br"), None),
            (Some("identity"), None),
            (Some(""), None),
        ] {
            let fields: Vec<_> = accepted.map(|accepted| ("Accept-Encoding", accepted)).into_iter().collect();
            with(&fields, |lines| assert_eq!(html.encoded_for(lines).coding, coding, "{accepted:?}"));
        }
        let gzip = html.gzip.as_ref().unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&*gzip.bytes).read_to_string(&mut text).unwrap();
        assert_eq!(text.as_bytes(), html.plain());
        assert_ne!(gzip.etag, html.plain.etag);
        assert!(page.rendition(1).unwrap().gzip.is_none(), "too short to be compressed");
    }

    #[test]
    fn what_the_client_has_is_known_by_its_tag() {
        let page = page();
        let encoded = &page.rendition(0).unwrap().plain;
        let etag = &*encoded.etag;
        for (sent, known) in [
            (etag.to_owned(), true),
            (format!("W/{etag}"), true),
            (format!("\"a\", {etag}"), true),
            ("*".to_owned(), true),
            ("\"a\"".to_owned(), false),
            (etag.trim_matches('"').to_owned(), false),
        ] {
            assert_eq!(with(&[("If-None-Match", &sent)], |lines| encoded.is_known_to(lines)), known, "{sent}");
        }
        assert!(!with(&[], |lines| encoded.is_known_to(lines)));
    }

    #[test]
    fn what_says_the_same_is_not_compressed_again() {
        let before = page();
        let draft = |words: &str, freshness| Draft::html(words.repeat(500), freshness);
        let gzip = |page: &Page| page.rendition(0).unwrap().gzip.as_ref().unwrap().bytes.clone();
        for (draft, is_same) in [
            (draft("<p>words</p>", Freshness::Document), true),
            (draft("<p>words</p>", Freshness::Live), false),
            (draft("<p>other</p>", Freshness::Document), false),
            (Draft::new("text/plain", "<p>words</p>".repeat(500).into(), Freshness::Document), false),
        ] {
            let text = draft.bytes.clone();
            let after = Page::following([draft], Some(&before));
            assert_eq!(after.rendition(0).unwrap().plain(), &text);
            assert_eq!(gzip(&after).as_ptr() == gzip(&before).as_ptr(), is_same, "{:?}", after.rendition(0));
        }
    }

    #[test]
    fn live_pages_survive_a_change_and_others_do_not() {
        let text = |word: &str| Page::new([Draft::html(word.to_owned(), Freshness::Live).ready()]);
        let page_table = || {
            let mut page_table = PageTable::default();
            assert_eq!(page_table.add("/a", text("first")), Some(0));
            assert_eq!(page_table.add_live("/live", text("first").into()), Some(1));
            page_table
        };
        let words = |page_table: &PageTable, path: &str| {
            let page = page_table.find(path).unwrap().page();
            String::from_utf8(page.rendition(0).unwrap().plain().to_vec()).unwrap()
        };
        let (before, after) = (page_table(), page_table());
        assert!(before.replace("/live", text("second")));
        assert!(!before.replace("/a", text("second")) && !before.replace("/b", text("second")));
        after.inherit(&before);
        assert_eq!((words(&after, "/live"), words(&after, "/a")), ("second".to_owned(), "first".to_owned()));
    }
}
