//! Text that says a second, such as a date header, kept for as long as the second is the same.

use std::cell::RefCell;

/// The text of a second, made anew only when the second is another one. One for each thread.
#[derive(Debug)]
pub struct TextOfSecond(RefCell<(u64, String)>);

impl TextOfSecond {
    /// One that has no text yet.
    pub const fn new() -> TextOfSecond {
        TextOfSecond(RefCell::new((u64::MAX, String::new())))
    }

    /// Lends the text of a second; `make` makes it.
    pub fn with<T>(&self, second: u64, make: impl FnOnce() -> String, lend: impl FnOnce(&str) -> T) -> T {
        let mut known = self.0.borrow_mut();
        let (known_second, text) = &mut *known;
        if *known_second != second {
            (*known_second, *text) = (second, make());
        }
        lend(text)
    }
}

impl Default for TextOfSecond {
    fn default() -> TextOfSecond {
        TextOfSecond::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_second_is_made_once() {
        let text = TextOfSecond::new();
        let mut made = 0;
        for second in [0, 0, 7, 7, 0] {
            let mut make = || {
                made += 1;
                second.to_string()
            };
            assert_eq!(text.with(second, &mut make, str::to_owned), second.to_string());
        }
        assert_eq!(made, 3);
    }
}
