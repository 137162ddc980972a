//! Where a client with a problem can get help: the operator's portal and support, and pages of this service (contract,
//! section 2).
//!
//! Problem details name them in braces. The names are replaced when a policy is made; a sentence that names a
//! destination which is not configured is left out. The details are in `policy/problem/messages.rs`.

/// One destination that a detail can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    Portal,
    Formats,
    Rates,
    Status,
    Support,
}

impl Destination {
    /// All of them, in the order in which lists show them.
    pub const ALL: [Destination; 5] =
        [Destination::Portal, Destination::Formats, Destination::Rates, Destination::Status, Destination::Support];

    /// The word that stands for it in details, in braces.
    pub const fn word(self) -> &'static str {
        match self {
            Destination::Portal => "portal",
            Destination::Formats => "formats_page",
            Destination::Rates => "rate_page",
            Destination::Status => "status_page",
            Destination::Support => "support",
        }
    }

    /// Its title on pages.
    pub const fn title(self) -> &'static str {
        match self {
            Destination::Portal => "Self Service Portal",
            Destination::Formats => "Supported data formats",
            Destination::Rates => "Rate limiting",
            Destination::Status => "Service status",
            Destination::Support => "Support",
        }
    }

    /// The destination that a word stands for.
    pub fn from_word(word: &str) -> Option<Destination> {
        Destination::ALL.into_iter().find(|destination| destination.word() == word)
    }

    fn is_named_in(self, text: &str) -> bool {
        text.contains(&format!("{{{}}}", self.word()))
    }
}

/// The destinations that are configured: URLs, and for support an e-mail address if it has no page.
#[derive(Clone, Debug, Default)]
pub struct Destinations {
    pub portal: Option<Box<str>>,
    /// The portal is this gateway's own, which has a page that mends each problem.
    pub portal_mends: bool,
    pub formats: Option<Box<str>>,
    pub rates: Option<Box<str>>,
    pub status: Option<Box<str>>,
    pub support: Option<Box<str>>,
}

impl Destinations {
    /// The URL or address of a destination; `None` if it is not configured.
    pub fn of(&self, destination: Destination) -> Option<&str> {
        match destination {
            Destination::Portal => &self.portal,
            Destination::Formats => &self.formats,
            Destination::Rates => &self.rates,
            Destination::Status => &self.status,
            Destination::Support => &self.support,
        }
        .as_deref()
    }

    /// The same for the detail of one problem, by its slug: the portal's page that mends it.
    pub fn for_problem(&self, slug: &str) -> Destinations {
        let mends = self.portal.as_deref().filter(|_| self.portal_mends);
        let portal = mends.map(|portal| format!("{}/fix/{slug}", portal.trim_end_matches('/')).into());
        Destinations { portal: portal.or_else(|| self.portal.clone()), ..self.clone() }
    }

    /// The configured destinations that a detail names, with their URLs.
    pub fn named_in(&self, detail: &str) -> Vec<(Destination, &str)> {
        let named = Destination::ALL.into_iter().filter(|destination| destination.is_named_in(detail));
        named.filter_map(|destination| Some((destination, self.of(destination)?))).collect()
    }

    /// Replaces the destinations in a detail, and leaves out the sentences that name one which is not configured.
    pub fn fill(&self, detail: &str) -> String {
        let leads_nowhere =
            |sentence: &&str| Destination::ALL.into_iter().any(|to| self.of(to).is_none() && to.is_named_in(sentence));
        let kept: String = sentences(detail).filter(|sentence| !leads_nowhere(sentence)).collect();
        let filled = |text: String, to: Destination| match self.of(to) {
            Some(place) => text.replace(&format!("{{{}}}", to.word()), place),
            None => text,
        };
        Destination::ALL.into_iter().fold(kept, filled).trim_end().to_owned()
    }
}

/// The sentences of a text, each with the spaces that follow it.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut characters = rest.char_indices().peekable();
        let mut end = rest.len();
        while let Some((_, character)) = characters.next() {
            if let Some((next, following)) = characters.peek()
                && matches!(character, '.' | '!' | '?')
                && following.is_whitespace()
            {
                end = rest.get(*next..).map_or(end, |after| rest.len() - after.trim_start().len());
                break;
            }
        }
        let (sentence, after) = rest.split_at(end);
        rest = after;
        Some(sentence)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_about_a_place_that_does_not_exist_vanishes() {
        let destinations = Destinations {
            portal: Some("https://portal.example.com/?a=b. c".into()),
            support: Some("help@example.com".into()),
            ..Destinations::default()
        };
        for (detail, filled) in [
            ("Send a token.", "Send a token."),
            ("Send a token. Sign in ({portal}).", "Send a token. Sign in (https://portal.example.com/?a=b. c)."),
            ("Slow down. See {rate_page}.", "Slow down."),
            ("See {rate_page}. Slow down.", "Slow down."),
            ("Wait! Is it us? See {status_page}.  Then ask {support}.", "Wait! Is it us? Then ask help@example.com."),
            ("Ask {support} or see {formats_page}.", ""),
            ("Write {\"number\": \"+44\"} in v1.2 of {field}.", "Write {\"number\": \"+44\"} in v1.2 of {field}."),
            ("Ask {support} twice: {support}", "Ask help@example.com twice: help@example.com"),
            ("Größe. {portal}…", "Größe. https://portal.example.com/?a=b. c…"),
            ("", ""),
        ] {
            assert_eq!(destinations.fill(detail), filled, "{detail}");
        }
        let named = destinations.named_in("{rate_page} {support} {portal}");
        let named: Vec<Destination> = named.into_iter().map(|(destination, _)| destination).collect();
        assert_eq!(named, [Destination::Portal, Destination::Support]);
    }

    #[test]
    fn the_portal_of_the_gateway_has_a_page_for_each_problem() {
        let portal = |portal_mends| Destinations {
            portal: Some("https://portal.example.com/".into()),
            portal_mends,
            ..Destinations::default()
        };
        let filled = |of: Destinations| of.for_problem("ip-not-allowed").fill("Sign in ({portal}).");
        assert_eq!(filled(portal(true)), "Sign in (https://portal.example.com/fix/ip-not-allowed).");
        assert_eq!(filled(portal(false)), "Sign in (https://portal.example.com/).");
    }

    #[test]
    fn each_has_a_word_of_its_own() {
        for destination in Destination::ALL {
            assert_eq!(Destination::from_word(destination.word()), Some(destination));
        }
        assert_eq!(Destination::from_word("field"), None);
    }
}
