//! What could not be taken over from a document, and where it is.

/// The most places that are shown for one reason, and the most reasons.
const MAX_PLACES: usize = 20;
const MAX_REASONS: usize = 500;

/// The notes, in the order in which their reasons came up.
#[derive(Debug, Default)]
pub struct Notes {
    /// The configuration comes from answers and flags, of which nothing is left out.
    pub is_by_hand: bool,
    reasons: Vec<(String, Vec<String>, usize)>,
    more: usize,
}

impl Notes {
    /// Adds a place to a reason.
    pub fn add(&mut self, what: impl Into<String>, place: impl Into<String>) {
        let (what, place) = (in_a_line(&what.into()), in_a_line(&place.into()));
        if let Some((_, places, more)) = self.reasons.iter_mut().find(|(known, ..)| *known == what) {
            if places.contains(&place) {
                return;
            }
            match places.len() < MAX_PLACES {
                true => places.push(place),
                false => *more = more.saturating_add(1),
            }
        } else if self.reasons.len() < MAX_REASONS {
            self.reasons.push((what, vec![place], 0));
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// The list for the operator; nothing if there are none.
    pub fn text(&self) -> String {
        if self.reasons.is_empty() {
            return String::new();
        }
        let mut out = String::from("Not taken over, or not as it is:\n");
        for (what, places, more) in &self.reasons {
            out += &format!("  * {what}\n");
            places.iter().for_each(|place| out += &format!("      {place}\n"));
            if *more > 0 {
                out += &format!("      and at {more} more\n");
            }
        }
        if self.more > 0 {
            out += &format!("  * and {} more\n", self.more);
        }
        out + "\n"
    }
}

/// A text of the document as it can be shown: in one line, and without control characters.
fn in_a_line(text: &str) -> String {
    const MAX_SHOWN: usize = 300;
    let seen = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    seen.take(MAX_SHOWN).collect()
}
