//! The style sheet, the logo, and the one script, without which everything works too.

use axum::http::Method;
use bytes::Bytes;

use crate::portal::answer;
use crate::portal::page::{Page, open};
use crate::portal::visit::{Shown, Trouble, Visit};
use crate::site::pages::style;

/// What the portal adds to the style of the public pages.
const OWN_STYLE: &str = include_str!("portal.css");

/// Copies to the clipboard, and times in the viewer's zone.
const HELPERS: &str = include_str!("helpers.js");

const ICON: &str = include_str!("icon.svg");

/// These files.
pub fn pages() -> Vec<Page> {
    vec![
        open(Method::GET, "/assets/style.css", style_sheet),
        open(Method::GET, "/assets/helpers.js", |_| async {
            Ok(answer::asset("text/javascript; charset=utf-8", HELPERS))
        }),
        open(Method::GET, "/assets/icon.svg", |_| async { Ok(answer::asset("image/svg+xml", ICON)) }),
        open(Method::GET, "/assets/logo", logo),
    ]
}

async fn style_sheet(visit: Visit) -> Shown {
    Ok(answer::asset("text/css; charset=utf-8", style(&visit.look.site) + OWN_STYLE))
}

async fn logo(visit: Visit) -> Shown {
    let Some(logo) = &visit.look.site.logo else { return Err(Trouble::NotFound) };
    Ok(answer::asset(logo.media_type, Bytes::clone(&logo.bytes)))
}
