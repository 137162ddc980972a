//! JSON Lines: one account a line.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use super::account::{AccountContext, Compiled};
use super::file;
use crate::config::yaml::{self, Mistakes, Place};

/// Bytes of one line: one account with all its tokens.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// The lines of a file, one after the other.
pub struct Lines<R> {
    from: R,
    text: String,
    /// The number of the last line that was read, from 1.
    number: usize,
}

/// What comes next in a file.
pub enum Next<'t> {
    /// A line that is not blank, without its end.
    Line(usize, &'t str),
    /// A line with more bytes than one may have.
    TooLong(usize),
    End,
}

impl<R: BufRead> Lines<R> {
    pub fn new(from: R) -> Lines<R> {
        Lines { from, text: String::new(), number: 0 }
    }

    /// Reads the next line that is not blank.
    ///
    /// # Errors
    /// Those of reading, and that it is not UTF-8.
    pub fn next(&mut self) -> io::Result<Next<'_>> {
        let most = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX);
        loop {
            self.text.clear();
            if self.from.by_ref().take(most + 1).read_line(&mut self.text)? == 0 {
                return Ok(Next::End);
            }
            self.number += 1;
            if self.text.len() > MAX_LINE_BYTES {
                return Ok(Next::TooLong(self.number));
            }
            if !self.text.trim().is_empty() {
                return Ok(Next::Line(self.number, self.text.trim_end()));
            }
        }
    }
}

/// Compiles the account of a line, with its name. A line without mistakes is read by the fast parser; one
/// that has any is read again by the one that knows places.
pub fn compile(
    rules: &AccountContext<'_>,
    text: &str,
    at_line: &Place,
    mistakes: &mut Mistakes,
) -> Option<(String, Compiled)> {
    let mut of_line = Mistakes::default();
    let line = serde_json::from_str::<file::AccountLine>(text).ok();
    let compiled = line.and_then(|line| rules.compile_line(line, at_line, &mut of_line));
    compiled.filter(|_| of_line.is_empty()).or_else(|| reread(rules, text, at_line, mistakes))
}

fn reread(
    rules: &AccountContext<'_>,
    text: &str,
    at_line: &Place,
    mistakes: &mut Mistakes,
) -> Option<(String, Compiled)> {
    let mut of_line = Mistakes::default();
    // Blank lines before it, so that a message that names two lines is right about both.
    let text = "\n".repeat(at_line.line.saturating_sub(1)) + text;
    let account = yaml::read::<file::AccountLine>(&at_line.file, &text, &mut of_line)
        .and_then(|(line, place)| rules.compile_line(line, &place, &mut of_line));
    for mistake in of_line.iter() {
        let place = Place { file: Arc::clone(&at_line.file), line: at_line.line, ..mistake.place.clone() };
        mistakes.push(place, mistake.what.clone());
    }
    account
}
