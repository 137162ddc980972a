//! Colours: parsing, mixing, and the contrast that WCAG 2.2 requires.

use std::fmt;

/// The minimum contrast between text and its background (WCAG 2.2, success criterion 1.4.3, level
/// AA, for text of any size).
pub const LEAST_CONTRAST: f64 = 4.5;

/// The number of steps in the search for a quieter colour.
const STEPS: u8 = 20;

/// A colour of sRGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub [u8; 3]);

impl Colour {
    /// Parses `#rrggbb` or `#rgb`.
    pub fn parse(text: &str) -> Option<Colour> {
        let digits = text.strip_prefix('#')?.as_bytes();
        let digit = |place: usize| {
            let digit = char::from(*digits.get(place)?).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        let channel = |number: usize| match digits.len() {
            3 => Some(digit(number)? * 17),
            6 => Some(digit(2 * number)? * 16 + digit(2 * number + 1)?),
            _ => None,
        };
        Some(Colour([channel(0)?, channel(1)?, channel(2)?]))
    }

    /// Mixes in another colour; `parts` is its share in twentieths.
    pub fn mixed(self, other: Colour, parts: u8) -> Colour {
        let (Colour([r, g, b]), Colour([other_r, other_g, other_b])) = (self, other);
        let mix = |own: u8, other: u8| {
            let own = u16::from(own) * u16::from(STEPS.saturating_sub(parts));
            let sum = own + u16::from(other) * u16::from(parts.min(STEPS));
            u8::try_from(sum / u16::from(STEPS)).unwrap_or(u8::MAX)
        };
        Colour([mix(r, other_r), mix(g, other_g), mix(b, other_b)])
    }

    /// Relative luminance, from 0 to 1 (WCAG 2.2, definition).
    fn luminance(self) -> f64 {
        let linear = |channel: u8| {
            let value = f64::from(channel) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let Colour([r, g, b]) = self;
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    }

    /// The contrast of two colours, from 1 to 21 (WCAG 2.2, definition of contrast ratio).
    pub fn contrast(self, other: Colour) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Colour([r, g, b]) = self;
        write!(formatter, "#{r:02x}{g:02x}{b:02x}")
    }
}

/// The colours of one scheme, light or dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    pub text: Colour,
    pub background: Colour,
    /// Links and marks.
    pub accent: Colour,
}

impl Default for Palette {
    fn default() -> Palette {
        Palette::LIGHT
    }
}

impl Palette {
    pub const LIGHT: Palette = Palette {
        text: Colour([0x1c, 0x21, 0x28]),
        background: Colour([0xff, 0xff, 0xff]),
        accent: Colour([0x0b, 0x57, 0xa8]),
    };
    pub const DARK: Palette = Palette {
        text: Colour([0xe4, 0xe8, 0xee]),
        background: Colour([0x14, 0x18, 0x1f]),
        accent: Colour([0x8a, 0xb8, 0xf5]),
    };

    /// The background of code and tables: the page's background with a little of the text's colour.
    pub fn surface(self) -> Colour {
        self.background.mixed(self.text, 1)
    }

    /// Separator lines.
    pub fn line(self) -> Colour {
        self.background.mixed(self.text, 4)
    }

    /// Secondary text: as pale as it can be while it meets the minimum contrast.
    pub fn quiet(self) -> Colour {
        let readable = |colour: Colour| colour.contrast(self.surface()) >= LEAST_CONTRAST;
        (0..=8).rev().map(|parts| self.text.mixed(self.background, parts)).find(|c| readable(*c)).unwrap_or(self.text)
    }

    /// The first of its colours that has too little contrast with its background, and that
    /// contrast.
    pub fn unreadable(self) -> Option<(&'static str, f64)> {
        let worst = |colour: Colour| colour.contrast(self.background).min(colour.contrast(self.surface()));
        [("text", worst(self.text)), ("accent", worst(self.accent))]
            .into_iter()
            .find(|(_, contrast)| *contrast < LEAST_CONTRAST)
    }

    /// The colours as custom properties of CSS.
    pub fn properties(self) -> String {
        let Palette { text, background, accent } = self;
        let (surface, line, quiet) = (self.surface(), self.line(), self.quiet());
        format!(
            "--text:{text};--background:{background};--accent:{accent};--surface:{surface};--line:{line};--quiet:{quiet};"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_three_or_six_digits() {
        for (text, colour) in [
            ("#0b57a8", Some([0x0b, 0x57, 0xa8])),
            ("#FFF", Some([255, 255, 255])),
            ("#abc", Some([0xaa, 0xbb, 0xcc])),
            ("0b57a8", None),
            ("#12345", None),
            ("#12345g", None),
            ("red", None),
            ("", None),
        ] {
            assert_eq!(Colour::parse(text), colour.map(Colour), "{text}");
        }
        assert_eq!(Colour([0x0b, 0x57, 0xa8]).to_string(), "#0b57a8");
    }

    #[test]
    fn contrast_is_that_of_the_standard() {
        let of = |one: &str, two: &str| Colour::parse(one).unwrap().contrast(Colour::parse(two).unwrap());
        for (one, two, expected) in [
            ("#000", "#fff", 21.0),
            ("#fff", "#fff", 1.0),
            ("#777777", "#ffffff", 4.478),
            ("#767676", "#ffffff", 4.542),
            ("#0000ff", "#ffffff", 8.592),
        ] {
            assert!((of(one, two) - expected).abs() < 0.01, "{one} {two}: {}", of(one, two));
        }
    }

    #[test]
    fn the_defaults_can_be_read_and_others_are_told() {
        for palette in [Palette::LIGHT, Palette::DARK] {
            assert_eq!(palette.unreadable(), None);
            assert!(palette.quiet().contrast(palette.background) >= LEAST_CONTRAST);
            assert_ne!(palette.quiet(), palette.text);
        }
        let yellow = Palette { accent: Colour([255, 220, 0]), ..Palette::LIGHT };
        assert_eq!(yellow.unreadable().map(|(what, _)| what), Some("accent"));
        let grey = Palette { text: Colour([0x99, 0x99, 0x99]), ..Palette::LIGHT };
        assert_eq!(grey.unreadable().map(|(what, _)| what), Some("text"));
    }
}
