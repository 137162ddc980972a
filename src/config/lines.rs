//! JSON Lines: one account a line, of which many are compiled at once and in several threads.

use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::sync::Arc;

use super::account::{Compiled, Rules};
use super::file;
use super::pace::Pace;
use crate::account::Account;
use crate::yaml::{self, Mistakes, Place};

/// Bytes of one line: one account with all its tokens.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// Lines that are compiled at once, as long as they do not have more bytes than one may have.
const LINES_AT_ONCE: usize = 8192;

/// Threads that compile, where there are so many cores.
const MAX_THREADS: usize = 8;

/// Fewer lines than this are no work for another thread.
const LINES_WORTH_A_THREAD: usize = 512;

/// Some lines in a row that are not blank.
#[derive(Default)]
pub struct Batch<'c> {
    pub text: String,
    pub lines: Vec<Line<'c>>,
    /// The line behind them, if it is too long to be read.
    pub too_long: Option<usize>,
    /// Lines that were read, in this batch and all before it.
    count: usize,
}

/// One line.
pub struct Line<'c> {
    /// Its number in the file, from 1.
    pub number: usize,
    pub fingerprint: u64,
    /// What it was made into before.
    pub kept: Option<&'c [Arc<Account>]>,
    /// What it is made into now; `None` for one with mistakes.
    pub compiled: Option<(String, Compiled)>,
    range: Range<usize>,
}

impl Line<'_> {
    /// Its text, without the end of the line.
    pub fn text<'t>(&self, batch: &'t str) -> &'t str {
        batch.get(self.range.clone()).unwrap_or_default().trim_end()
    }

    fn compile(&mut self, batch: &str, rules: &Rules<'_>) {
        let mut mistakes = Mistakes::default();
        let line = serde_json::from_str::<file::AccountLine>(self.text(batch)).ok();
        let compiled = line.and_then(|line| rules.compile_line(line, &Place::default(), &mut mistakes));
        self.compiled = compiled.filter(|_| mistakes.is_empty());
    }
}

impl Batch<'_> {
    /// Reads the next lines; `false` at the end of the file.
    ///
    /// # Errors
    /// Those of reading, and that a line is not UTF-8.
    pub fn fill(&mut self, from: &mut impl BufRead) -> io::Result<bool> {
        self.text.clear();
        self.lines.clear();
        let most = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX);
        while self.lines.len() < LINES_AT_ONCE && self.text.len() < MAX_LINE_BYTES {
            let begin = self.text.len();
            let read = from.by_ref().take(most + 1).read_line(&mut self.text)?;
            if read == 0 {
                break;
            }
            self.count += 1;
            if read > MAX_LINE_BYTES {
                self.too_long = Some(self.count);
                return Ok(true);
            }
            let range = begin..self.text.len();
            if self.text.get(begin..).is_some_and(|text| !text.trim().is_empty()) {
                let line = Line { number: self.count, fingerprint: 0, kept: None, compiled: None, range };
                self.lines.push(line);
            }
        }
        Ok(!self.text.is_empty())
    }

    /// Compiles the lines that are not kept, at a pace that leaves the processor to others or at once.
    pub fn compile(&mut self, rules: &Rules<'_>, paced: bool) {
        let mut changed: Vec<&mut Line<'_>> = self.lines.iter_mut().filter(|line| line.kept.is_none()).collect();
        let text = &*self.text;
        let compile = |lines: &mut [&mut Line<'_>]| {
            let pace = paced.then(Pace::default);
            for line in lines {
                pace.iter().for_each(Pace::step);
                line.compile(text, rules);
            }
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min(MAX_THREADS).min(changed.len() / LINES_WORTH_A_THREAD).max(1);
        let share = changed.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let mut shares = changed.chunks_mut(share);
            let own = shares.next();
            for other in shares {
                scope.spawn(|| compile(other));
            }
            own.into_iter().for_each(compile);
        });
    }
}

/// Reads a line with mistakes again, for their places.
pub fn reread(rules: &Rules<'_>, text: &str, at_line: &Place, mistakes: &mut Mistakes) -> Option<(String, Compiled)> {
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
