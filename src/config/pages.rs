//! `pages`: where they are, how they look, and the operator's own pages.
//!
//! Their content is in `site/pages/`. Colours with too little contrast are mistakes here.

use sha2::{Digest, Sha256};

use super::common::{check_name, listed};
use super::source::Source;
use super::units::{FromText, Parsed, PublicUrl, WebLink};
use crate::config::yaml::{Mistakes, Place, Written};
use crate::site::brand::{Link, Logo, Site, Support};
use crate::site::colour::{LEAST_CONTRAST, Palette};
use crate::site::destinations::Destinations;
use crate::site::pages::markdown::{self, ExtraPage};

/// The most bytes of a logo, which is sent with every first visit.
const MAX_LOGO_BYTES: u64 = 256 * 1024;

/// The most bytes of one page of the operator.
const MAX_MARKDOWN_BYTES: u64 = 256 * 1024;

/// The most pages of the operator, all of which are in the menu.
const MAX_EXTRA_PAGES: usize = 16;

/// The default name of the service.
const DEFAULT_NAME: &str = "API";

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::{PublicUrl, Text, WebLink};
    use crate::config::yaml::{Listed, Written};
    use crate::site::colour::Colour;

    /// The pages: where they are, and how they look.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Pages {
        /// Whether pages are served. Default: true.
        pub serve: Written<bool>,
        /// The path prefix of requests for pages. Default: the path of `public_url`, which is right unless a proxy in
        /// front removes a part of it; / is the root.
        pub path: Written<String>,
        /// The base URL for lookups, in examples and OpenAPI. Default: `public_url` without `path`.
        pub api_url: Text<PublicUrl>,
        /// The name of the service. Default: API.
        pub name: Written<String>,
        /// An SVG or PNG file beside this one, at most 256KiB. Default: none.
        pub logo: Written<String>,
        /// Colours for light and dark screens. Text and accent must have a contrast of 4.5 with the background.
        pub colours: Written<Colours>,
        /// A link to the site where customers manage their tokens, credits and lists, for problems and pages. Default:
        /// the URL of `portal`, if there is one.
        pub portal: Text<WebLink>,
        /// Contacts, shown at the foot of every page and in problems. Default: none.
        pub support: Written<Support>,
        /// Your own pages in the menu, at /pages/ and their slug: Markdown files beside this one. Default: none.
        pub extra: Written<Listed<ExtraPage>>,
    }

    /// Colours of the pages.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Colours {
        /// For light screens.
        pub light: Written<Palette>,
        /// For dark screens.
        pub dark: Written<Palette>,
    }

    /// Colours for one kind of screen.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Palette {
        /// The text colour, in hexadecimal digits.
        pub text: Text<Colour>,
        /// The background colour, in hexadecimal digits.
        pub background: Text<Colour>,
        /// The colour of links, in hexadecimal digits.
        pub accent: Text<Colour>,
    }

    /// Contacts for readers.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Support {
        /// An e-mail address.
        pub email: Written<String>,
        /// The URL of a support page.
        pub url: Text<WebLink>,
    }

    /// A page that the operator has written.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["title", "slug", "file"]))]
    pub struct ExtraPage {
        /// Its title in the menu.
        pub title: Written<String>,
        /// The last part of its path.
        pub slug: Written<String>,
        /// A Markdown file beside this one. HTML in it is escaped.
        pub file: Written<String>,
    }
}

/// The pages of a configuration.
pub struct Compiled {
    /// `None`: no pages.
    pub site: Option<Site>,
    /// The destinations for problem details; pages only if they are served.
    pub destinations: Destinations,
    pub extra: Vec<ExtraPage>,
}

/// Compiles `pages`.
pub fn compile(
    pages: Written<written::Pages>,
    (public_url, own_portal): (&str, Option<Box<str>>),
    source: &Source,
    mistakes: &mut Mistakes,
) -> Compiled {
    let place = pages.place().cloned().unwrap_or_default();
    let pages = pages.take().unwrap_or_default();
    let serve = pages.serve.take().unwrap_or(true);
    let link_base = path_of(public_url);
    let served_base = base(pages.path, mistakes).unwrap_or_else(|| link_base.clone());
    let colours = pages.colours.take().unwrap_or_default();
    let light = palette(colours.light, Palette::LIGHT, mistakes);
    let dark = palette(colours.dark, Palette::DARK, mistakes);
    let extra = extra(pages.extra, &place, &link_base, source, mistakes);
    let mut menu = vec![Link::new("Reference", "/reference"), Link::new("Problems", "/problems")];
    menu.push(Link::new("OpenAPI", "/reference/api"));
    menu.push(Link::new("Status", "/status"));
    menu.extend(extra.iter().map(|page| Link::new(&*page.title, page.path())));
    let support = support(pages.support, mistakes);
    let page = |path: &str| serve.then(|| format!("{public_url}{path}").into());
    let portal_mends = pages.portal.is_missing() && own_portal.is_some();
    let destinations = Destinations {
        portal_mends,
        portal: pages.portal.take().map(|Parsed(WebLink(url))| url).or(own_portal),
        formats: page("/reference/formats"),
        rates: page("/reference/rate-limits"),
        status: page("/status"),
        support: support.url.clone().or_else(|| support.email.clone()),
    };
    let mut site = Site {
        name: name(pages.name, mistakes),
        public_url: public_url.into(),
        api_url: pages.api_url.take().map_or_else(|| api_url(public_url, &served_base), |Parsed(PublicUrl(url))| url),
        link_base,
        served_base,
        logo: logo(pages.logo, source, mistakes),
        light,
        dark,
        support,
        destinations: destinations.clone(),
        menu,
        has_status: true,
        style_tag: Box::default(),
    };
    site.style_tag = tag(crate::site::pages::style(&site).as_bytes());
    Compiled { site: serve.then_some(site), destinations, extra }
}

/// The path of a URL without a trailing slash.
fn path_of(url: &str) -> Box<str> {
    url::Url::parse(url).map(|url| url.path().trim_end_matches('/').into()).unwrap_or_default()
}

/// The default of `api_url`: `public_url` without the part of its path that is in requests for pages.
fn api_url(public_url: &str, served_base: &str) -> Box<str> {
    public_url.strip_suffix(served_base).unwrap_or(public_url).into()
}

/// A digest to append to a link, so that the link changes with the content.
fn tag(bytes: &[u8]) -> Box<str> {
    const BYTES: usize = 6;
    let digest = Sha256::digest(bytes);
    digest.iter().take(BYTES).fold(String::new(), |tag, byte| tag + &format!("{byte:02x}")).into()
}

fn base(path: Written<String>, mistakes: &mut Mistakes) -> Option<Box<str>> {
    let place = path.place().cloned().unwrap_or_default();
    let path = path.take()?;
    let trimmed = path.trim_end_matches('/');
    let fits = path == "/" || is_route(trimmed);
    if !fits {
        mistakes.push(place, "is not a path that pages can be below; write one as in /docs, or / for the root");
    }
    Some(trimmed.into())
}

/// Whether a path can be the prefix of others in a request.
fn is_route(path: &str) -> bool {
    super::units::RouteText::from_text(&format!("GET {path}")).is_ok()
}

fn name(name: Written<String>, mistakes: &mut Mistakes) -> Box<str> {
    if let Written::Here(name, place) = &name {
        check_name(name, place, mistakes);
    }
    name.take().map_or(DEFAULT_NAME.into(), Into::into)
}

fn palette(written: Written<written::Palette>, otherwise: Palette, mistakes: &mut Mistakes) -> Palette {
    let place = written.place().cloned();
    let written::Palette { text, background, accent } = written.take().unwrap_or_default();
    let palette = Palette {
        text: text.take().map_or(otherwise.text, |Parsed(colour)| colour),
        background: background.take().map_or(otherwise.background, |Parsed(colour)| colour),
        accent: accent.take().map_or(otherwise.accent, |Parsed(colour)| colour),
    };
    if let Some(place) = place
        && let Some((what, contrast)) = palette.unreadable()
    {
        let what = format!(
            "has a colour with too little contrast: {what} on its background has {contrast:.1}; choose colours with at least {LEAST_CONTRAST} (WCAG AA)"
        );
        mistakes.push(place, what);
    }
    palette
}

fn support(written: Written<written::Support>, mistakes: &mut Mistakes) -> Support {
    let written::Support { email, url } = written.take().unwrap_or_default();
    if let Written::Here(email, place) = &email {
        let plain = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"'&?,;:".contains(&byte))
        };
        if !email.split_once('@').is_some_and(|(user, host)| plain(user) && plain(host) && !host.contains('@')) {
            mistakes.push(place.clone(), "is not an e-mail address; write one as in support@example.com");
        }
    }
    Support { email: email.take().map(Into::into), url: url.take().map(|Parsed(WebLink(url))| url) }
}

fn logo(written: Written<String>, source: &Source, mistakes: &mut Mistakes) -> Option<Logo> {
    let place = written.place().cloned().unwrap_or_default();
    let file = written.take()?;
    let bytes = match source.bytes(&file, MAX_LOGO_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => {
            let what = format!("names a file that cannot be read ({error}); write its path from this file's directory");
            mistakes.push(place, what);
            return None;
        }
    };
    const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    let is_svg = std::str::from_utf8(&bytes).is_ok_and(|text| text.contains("<svg"));
    let (name, media_type) = match (bytes.starts_with(PNG_SIGNATURE), is_svg) {
        (true, _) => ("logo.png", "image/png"),
        (false, true) => ("logo.svg", "image/svg+xml"),
        (false, false) => {
            mistakes.push(place, "names a file that is neither SVG nor PNG; name one that is");
            return None;
        }
    };
    Some(Logo { path: format!("/pages/{name}").into(), tag: tag(&bytes), media_type, bytes: bytes.into() })
}

fn extra(
    written: Written<crate::config::yaml::Listed<written::ExtraPage>>,
    parent: &Place,
    link_base: &str,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Vec<ExtraPage> {
    if written.is_missing() {
        return Vec::new();
    }
    let pages = listed(written, parent, "extra", "write at least one page, or remove the key", mistakes);
    let mut kept: Vec<ExtraPage> = Vec::new();
    for (number, (page, place)) in pages.into_iter().enumerate() {
        if number == MAX_EXTRA_PAGES {
            mistakes.push(place.clone(), format!("is one page too many; write at most {MAX_EXTRA_PAGES}"));
        }
        let slug_place = page.slug.place().cloned().unwrap_or_else(|| place.clone());
        let title = page.title.require(&place, "title", "write its title in the menu", mistakes);
        let slug = page.slug.require(&place, "slug", "write the last part of its path, as in terms", mistakes);
        let text = markdown_file(page.file, &place, source, mistakes);
        let (Some(title), Some(slug), Some(text)) = (title, slug, text) else { continue };
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if slug.is_empty() || !slug.bytes().all(plain) {
            mistakes.push(slug_place, "is not a slug; use lower-case letters, digits and hyphens, as in terms");
        } else if kept.iter().any(|earlier| *earlier.slug == *slug) {
            mistakes.push(slug_place, "is used by another page; give each page its own");
        }
        kept.push(ExtraPage { title: title.into(), slug: slug.into(), html: markdown::to_html(&text, link_base) });
    }
    kept
}

fn markdown_file(file: Written<String>, parent: &Place, source: &Source, mistakes: &mut Mistakes) -> Option<String> {
    let place = file.place().cloned().unwrap_or_default();
    let file = file.require(parent, "file", "name a Markdown file beside this one", mistakes)?;
    match source.small_text(&file, MAX_MARKDOWN_BYTES) {
        Ok(text) => Some(text),
        Err(error) => {
            let what = format!("names a file that cannot be read ({error}); write its path from this file's directory");
            mistakes.push(place, what);
            None
        }
    }
}
