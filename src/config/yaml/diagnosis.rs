//! Why a text is not YAML, and where: the parser reports where it stopped, which is often far after the mistake.
//!
//! The text is scanned again for common mistakes: unclosed quotes and brackets, tabs, stars without quotes. Only broken
//! texts are scanned, so a wrong guess cannot refuse a good configuration.

use super::words::not_yaml;

/// What has to be fixed, and where (line and column from 1).
pub(super) struct Diagnosis {
    pub line: usize,
    pub column: usize,
    pub what: String,
}

/// Finds what has to be fixed; `line`, `column` and `words` are where and why the parser stopped.
pub(super) fn diagnose(text: &str, line: usize, column: usize, words: &str) -> Diagnosis {
    star(text, line, column)
        .or_else(|| unclosed(text).filter(|opened| (opened.line, opened.column) <= (line, column)).map(Opened::told))
        .unwrap_or_else(|| Diagnosis { line, column, what: not_yaml(words) })
}

/// The first tab in an indentation. YAML does not allow it, but the parser accepts some as spaces, so keys would belong
/// elsewhere than they seem to.
pub(super) fn tab(text: &str) -> Option<Diagnosis> {
    memchr::memchr(b'\t', text.as_bytes())?;
    let mut scan = Scan::default();
    for (number, line) in text.lines().enumerate() {
        let content = line.trim_start_matches([' ', '\t']);
        let indentation = line.get(..line.len().saturating_sub(content.len())).unwrap_or_default();
        // Within brackets, as in JSON, indentation does not matter.
        let is_free = content.is_empty() || content.starts_with(['#', '{', '[']) || scan.is_inside(line);
        if !is_free && let Some(place) = indentation.find('\t') {
            let what = String::from("is indented with a tab; use spaces");
            return Some(Diagnosis { line: number.saturating_add(1), column: place.saturating_add(1), what });
        }
        if scan.line(line, number.saturating_add(1)).is_some() {
            return None;
        }
    }
    None
}

/// A value that begins with a star, such as a domain, where the parser stopped.
fn star(text: &str, line: usize, column: usize) -> Option<Diagnosis> {
    let written = text.lines().nth(line.saturating_sub(1))?;
    // The parser stops at the star, or after the name that follows it.
    let before: String = written.chars().take(column).collect();
    let place = before.rfind('*')?;
    let begins = before.get(..place)?.trim_end().chars().next_back();
    let rest: String = written.chars().skip(before.get(..place)?.chars().count().saturating_add(1)).collect();
    let is_pattern = rest.starts_with(['.', '/', '-', '*', ' ', ',', ']', '}']) || rest.is_empty();
    let is_value = begins.is_none_or(|before| matches!(before, '[' | ',' | ':' | '-' | '{'));
    if !is_value {
        return None;
    }
    let what = if is_pattern {
        "begins with `*`, which stands for an alias in YAML; put the value in quotes"
    } else {
        "is an alias for an anchor that is not written above; write the value out, or put it in quotes if the `*` belongs to it"
    };
    let column = before.get(..place)?.chars().count().saturating_add(1);
    Some(Diagnosis { line, column, what: String::from(what) })
}

/// A quote or bracket and its position.
#[derive(Clone, Copy)]
struct Opened {
    sign: char,
    line: usize,
    column: usize,
}

impl Opened {
    fn told(self) -> Diagnosis {
        let Opened { sign, line, column } = self;
        let what = match sign {
            '[' => "opens a list with `[` that is not closed; add the missing `]`",
            '{' => "opens a mapping with `{` that is not closed; add the missing `}`",
            '\'' => "opens a quoted text with `'` that is not closed; add the missing `'`",
            _ => "opens a quoted text with `\"` that is not closed; add the missing `\"`",
        };
        Diagnosis { line, column, what: String::from(what) }
    }
}

/// The first quote or bracket that is not closed.
fn unclosed(text: &str) -> Option<Opened> {
    let mut scan = Scan::default();
    for (number, line) in text.lines().enumerate() {
        if let Some(opened) = scan.line(line, number.saturating_add(1)) {
            return Some(opened);
        }
    }
    scan.brackets.first().copied().or(scan.quote)
}

/// The state of a scan.
#[derive(Default)]
struct Scan {
    /// Brackets that are open.
    brackets: Vec<Opened>,
    /// The quote that is open.
    quote: Option<Opened>,
    /// The indentation of the line whose value is a block of text.
    block: Option<usize>,
}

impl Scan {
    /// Whether a line continues a block scalar.
    fn is_in_block(&self, line: &str) -> bool {
        self.block.is_some_and(|block| line.trim().is_empty() || spaces_before(line) > block)
    }

    /// Whether a line continues something that an earlier one has opened.
    fn is_inside(&self, line: &str) -> bool {
        !self.brackets.is_empty() || self.quote.is_some() || self.is_in_block(line)
    }

    /// Scans a line; returns a quote that should have been closed earlier.
    fn line(&mut self, line: &str, number: usize) -> Option<Opened> {
        let indentation = spaces_before(line);
        if self.is_in_block(line) {
            return None;
        }
        self.block = None;
        // The last character before the current one, without spaces, and whether there were spaces.
        let (mut before, mut spaced) = (None, true);
        let mut characters = line.chars().enumerate().peekable();
        while let Some((place, sign)) = characters.next() {
            let here = Opened { sign, line: number, column: place.saturating_add(1) };
            if let Some(quote) = self.quote {
                let next = characters.peek().map(|(_, next)| *next);
                match (quote.sign, sign) {
                    ('"', '\\') | ('\'', '\'') if sign == '\\' || next == Some('\'') => drop(characters.next()),
                    (open, close) if open == close => {
                        self.quote = None;
                        // A quote from an earlier line that is closed by the opening quote of another text.
                        let goes_on = next.is_some_and(|next| !" \t,]}:#".contains(next));
                        if goes_on && quote.line < number {
                            return Some(quote);
                        }
                    }
                    _ => {}
                }
                (before, spaced) = (Some('"'), false);
                continue;
            }
            if sign == '#' && spaced {
                break;
            }
            if sign == ' ' || sign == '\t' {
                spaced = true;
                continue;
            }
            self.sign(here, begins(before, spaced));
            (before, spaced) = (Some(sign), false);
        }
        let is_block = self.brackets.is_empty() && self.quote.is_none() && announces_a_block(line);
        self.block = is_block.then_some(indentation);
        None
    }

    fn sign(&mut self, here: Opened, begins_a_value: bool) {
        match here.sign {
            '"' | '\'' if begins_a_value => self.quote = Some(here),
            '[' | '{' if begins_a_value => self.brackets.push(here),
            ']' | '}' => drop(self.brackets.pop()),
            _ => {}
        }
    }
}

fn spaces_before(line: &str) -> usize {
    line.len().saturating_sub(line.trim_start_matches(' ').len())
}

/// Whether a value can begin after a character, with or without spaces.
fn begins(before: Option<char>, spaced: bool) -> bool {
    match before {
        None | Some('[' | '{' | ',') => true,
        Some(':' | '-' | '?') => spaced,
        Some(_) => false,
    }
}

/// Whether a line ends in `|` or `>`, so that a block scalar follows.
fn announces_a_block(line: &str) -> bool {
    let line = line.split(" #").next().unwrap_or(line).trim_end();
    let line = line.trim_end_matches(['+', '-', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
    line.ends_with(": |") || line.ends_with(": >") || line.ends_with("- |") || line.ends_with("- >")
}
