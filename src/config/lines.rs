//! JSON Lines files with one account per line.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use super::account::{self, AccountContext, Compiled};
use crate::config::yaml::{self, Mistakes, Place};
use crate::platform::files::{self, BYTE_ORDER_MARK, Spot, Unreadable};

/// The most bytes of one line: one account with all its tokens.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// The lines of a file, one after the other.
pub struct Lines<R> {
    from: R,
    bytes: Vec<u8>,
    /// The number of the last line that was read, from 1.
    number: usize,
    /// How many bytes may still be read.
    left: u64,
}

/// The next item of a file.
pub enum Next<'t> {
    /// A line that is not blank, without its end.
    Line(usize, &'t str),
    /// A line that is too long.
    TooLong(usize),
    /// A line that is not UTF-8.
    NotUtf8(Spot),
    /// A file in another encoding.
    OtherEncoding(Unreadable),
    /// The rest of a file that is too large.
    TooLarge,
    End,
}

impl<R: BufRead> Lines<R> {
    /// Reads the lines of a file of at most `most` bytes.
    pub fn new(from: R, most: u64) -> Lines<R> {
        Lines { from, bytes: Vec::new(), number: 0, left: most }
    }

    /// Reads the next line that is not blank.
    ///
    /// # Errors
    /// Those of reading.
    pub fn next(&mut self) -> io::Result<Next<'_>> {
        let most = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        loop {
            self.bytes.clear();
            let read = self.from.by_ref().take(most).read_until(b'\n', &mut self.bytes)?;
            if read == 0 {
                return Ok(Next::End);
            }
            self.number += 1;
            let Some(left) = u64::try_from(read).ok().and_then(|read| self.left.checked_sub(read)) else {
                return Ok(Next::TooLarge);
            };
            self.left = left;
            if read > MAX_LINE_BYTES {
                return Ok(Next::TooLong(self.number));
            }
            if !self.bytes.trim_ascii().is_empty() {
                break;
            }
        }
        if self.number == 1
            && let Err(why) = files::check_encoding(&self.bytes)
        {
            return Ok(Next::OtherEncoding(why));
        }
        match std::str::from_utf8(&self.bytes) {
            Ok(text) => {
                let text = if self.number == 1 { text.trim_start_matches(BYTE_ORDER_MARK) } else { text };
                Ok(Next::Line(self.number, text.trim_end()))
            }
            Err(error) => {
                let spot = files::spot(&self.bytes, error.valid_up_to());
                Ok(Next::NotUtf8(spot.on_line(self.number)))
            }
        }
    }
}

/// Compiles the account of a line, with its name. A line without mistakes and warnings is read by the fast parser;
/// otherwise it is read again by the parser that knows places.
pub fn compile(
    rules: &AccountContext<'_>,
    text: &str,
    at_line: &Place,
    mistakes: &mut Mistakes,
) -> Option<(String, Compiled)> {
    let mut of_line = Mistakes::default();
    let line = serde_json::from_str::<account::written::AccountLine>(text).ok();
    let compiled = line.and_then(|line| rules.compile_line(line, at_line, &mut of_line));
    let is_plain = of_line.is_empty() && of_line.warnings().next().is_none();
    compiled.filter(|_| is_plain).or_else(|| reread(rules, text, at_line, mistakes))
}

fn reread(
    rules: &AccountContext<'_>,
    text: &str,
    at_line: &Place,
    mistakes: &mut Mistakes,
) -> Option<(String, Compiled)> {
    let mut of_line = Mistakes::default();
    let lines_before = at_line.line.saturating_sub(1);
    let account = yaml::read_after::<account::written::AccountLine>(&at_line.file, lines_before, text, &mut of_line)
        .and_then(|(line, place)| rules.compile_line(line, &place, &mut of_line));
    mistakes.take_over(of_line, |place| Place { file: Arc::clone(&at_line.file), line: at_line.line, ..place });
    account
}
