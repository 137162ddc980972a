//! The findings of `tollgate check`, for people and for programs.
//!
//! For people, each finding is a line in a format that editors understand, `file:line:column: key: message`, then the
//! line of the file with a caret under the place. For programs, it is a JSON document:
//!
//! | member | what it is |
//! |---|---|
//! | `version` | 1, until a member changes its meaning or goes; members can be added |
//! | `config` | the file that was checked |
//! | `good` | whether a gateway would start with it, and no warning was denied |
//! | `mistakes`, `warnings` | how many there are |
//! | `findings` | the first thousand of either, in the order of file, line and column |
//! | `summary` | what the configuration amounts to, or null |
//!
//! A finding has `severity` (`mistake` or `warning`), `file`, `line` and `column` (from 1, in
//! characters), `key` (such as `products.plate.rate`, or null) and `message`.
//!
//! Lines of files are shown to the operator; possible secrets in them are masked, since the output of checks may be
//! stored.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

use super::loaded::Config;
use crate::config::yaml::{Mistakes, Place};
use crate::platform::count::counted;
use crate::platform::files;

/// The most characters of a line that are shown, around the place.
const SHOWN_CHARACTERS: usize = 100;

/// How many of them are before the place, if the line is longer.
const SHOWN_BEFORE: usize = 60;

/// The bytes of a line that are kept. A place beyond them is only possible in a very long line of JSON.
const KEPT_BYTES: usize = 64 * 1024;

/// Keys whose values are or may be secrets.
const SECRET_KEYS: [&str; 5] = ["hash", "admin_token", "reference_key", "authorization", "password"];

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot come into force.
    Mistake,
    /// Allowed, but probably not intended.
    Warning,
}

/// A finding as programs read it.
#[derive(Debug, Serialize)]
struct Finding<'f> {
    severity: Severity,
    file: &'f str,
    line: usize,
    column: usize,
    key: Option<&'f str>,
    message: &'f str,
}

/// Everything that a check has found.
#[derive(Debug)]
pub struct Findings {
    name: String,
    mistakes: Mistakes,
    summary: Option<String>,
    deny_warnings: bool,
}

impl Findings {
    /// The findings of a configuration that was loaded from a file; certificates are compared with a time. With
    /// `deny_warnings` a warning counts as a mistake.
    pub fn new(name: &str, loaded: Result<Config, Mistakes>, now: SystemTime, deny_warnings: bool) -> Findings {
        let (mut mistakes, mut summary) = (Mistakes::default(), None);
        match loaded {
            Ok(config) => {
                summary = Some(config.summary(name));
                for overdue in config.overdue(now) {
                    let file = Arc::from(overdue.file.display().to_string());
                    mistakes.push(Place { file, line: 1, column: 1, path: ".".into() }, overdue.what);
                }
                config.warnings.into_iter().for_each(|warning| mistakes.warn(warning.place, warning.what));
            }
            Err(found) => mistakes = found,
        }
        Findings { name: name.to_owned(), mistakes, summary, deny_warnings }
    }

    /// Whether the configuration may be used.
    pub fn is_good(&self) -> bool {
        self.mistakes.is_empty() && (!self.deny_warnings || self.mistakes.warnings().next().is_none())
    }

    /// The summary, if the configuration may be used.
    pub fn summary(&self) -> Option<&str> {
        self.summary.as_deref().filter(|_| self.is_good())
    }

    /// All findings, with the lines of the files.
    pub fn as_text(&self) -> String {
        let mut all: Vec<(&Place, String)> = Vec::new();
        all.extend(self.mistakes.iter().map(|mistake| (&mistake.place, mistake.to_string())));
        all.extend(self.mistakes.warnings().map(|warning| (&warning.place, warning.to_string())));
        all.sort();
        let lines = lines_of(all.iter().map(|(place, _)| *place));
        let mut text = String::new();
        for (place, told) in all {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{told}");
            if let Some(line) = lines.get(&(&*place.file, place.line)) {
                text.push_str(&excerpt(line, place));
            }
        }
        let more = self.mistakes.len().saturating_sub(self.mistakes.iter().count());
        if more > 0 {
            let _ = writeln!(text, "and {}", counted(more, "more mistake"));
        }
        if self.mistakes.is_empty() && !self.is_good() {
            let count = self.mistakes.warnings().count();
            let _ = writeln!(text, "{}: {count} warning{} denied", self.name, if count == 1 { " is" } else { "s are" });
        }
        text
    }

    /// All findings for programs.
    pub fn as_json(&self) -> String {
        let finding = |severity, place: &'_ Place, message| (severity, place.clone(), message);
        let mistakes = self.mistakes.iter().map(|found| finding(Severity::Mistake, &found.place, &*found.what));
        let warnings = self.mistakes.warnings().map(|found| finding(Severity::Warning, &found.place, &*found.what));
        let mut all: Vec<_> = mistakes.chain(warnings).collect();
        all.sort_by(|(one, a, _), (other, b, _)| (a, one).cmp(&(b, other)));
        let findings: Vec<Finding<'_>> = all
            .iter()
            .map(|(severity, place, message)| Finding {
                severity: *severity,
                file: &place.file,
                line: place.line,
                column: place.column,
                key: Some(&*place.path).filter(|path| !matches!(*path, "" | ".")),
                message,
            })
            .collect();
        let document = serde_json::json!({
            "version": 1,
            "config": self.name,
            "good": self.is_good(),
            "mistakes": self.mistakes.len(),
            "warnings": self.mistakes.warnings().count(),
            "findings": findings,
            "summary": self.summary(),
        });
        format!("{document:#}\n")
    }
}

/// The lines at some places, each file read once.
fn lines_of<'p>(places: impl Iterator<Item = &'p Place>) -> BTreeMap<(&'p str, usize), String> {
    let mut wanted: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for place in places {
        wanted.entry(&place.file).or_default().push(place.line);
    }
    let mut lines = BTreeMap::new();
    for (name, mut numbers) in wanted {
        numbers.sort_unstable();
        let Ok(file) = files::open(Path::new(name)) else { continue };
        let mut file = BufReader::new(file);
        let mut bytes = Vec::new();
        let last = numbers.last().copied().unwrap_or(0);
        for number in 1..=last {
            match files::line(&mut file, KEPT_BYTES, &mut bytes) {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
            if numbers.binary_search(&number).is_ok() {
                let line = String::from_utf8_lossy(&bytes);
                lines.insert((name, number), line.trim_start_matches(files::BYTE_ORDER_MARK).to_owned());
            }
        }
    }
    lines
}

/// A line of a file with its number, and a caret under a place in it. Empty if the line is not text any more or has no
/// such place.
fn excerpt(line: &str, place: &Place) -> String {
    let covered = covered(line, &place.path);
    let characters: Vec<char> =
        covered.trim_end().chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect();
    let column = place.column.saturating_sub(1);
    if characters.is_empty() || column > characters.len() {
        return String::new();
    }
    let first = if characters.len() > SHOWN_CHARACTERS { column.saturating_sub(SHOWN_BEFORE) } else { 0 };
    let shown: String = characters.iter().skip(first).take(SHOWN_CHARACTERS).collect();
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    let before = " ".repeat(column.saturating_sub(first));
    format!("  {number} | {shown}\n  {margin} | {before}^\n")
}

/// Masks the secrets in a line, character by character: the values of secret keys, values of added headers, and
/// digests.
fn covered(line: &str, path: &str) -> String {
    let mut characters: Vec<char> = line.chars().collect();
    let lower: Vec<char> = characters.iter().map(char::to_ascii_lowercase).collect();
    for key in SECRET_KEYS.map(|key| key.chars().collect::<Vec<char>>()) {
        for begin in 0..lower.len() {
            if lower.get(begin..).is_some_and(|rest| rest.starts_with(&key)) {
                cover_value(&mut characters, begin.saturating_add(key.len()));
            }
        }
    }
    if ["add_headers", "otlp.headers", "billing.headers"].iter().any(|headers| path.contains(headers)) {
        (0..characters.len()).for_each(|place| {
            if characters.get(place) == Some(&':') {
                cover_value(&mut characters, place);
            }
        });
    }
    if path.starts_with("tests[") {
        cover_test(&mut characters, &lower);
    }
    for marked in ["sha256:", "whsec_"].map(|mark| mark.chars().collect::<Vec<char>>()) {
        for begin in 0..characters.len() {
            if characters.get(begin..).is_some_and(|rest| rest.starts_with(&marked)) {
                let is_part = |sign: char| sign.is_ascii_alphanumeric() || "+/=".contains(sign);
                cover(&mut characters, begin.saturating_add(marked.len()), is_part);
            }
        }
    }
    characters.into_iter().collect()
}

/// Masks whatever a line of a test says but its name: requests can have tokens, and the numbers of people.
fn cover_test(characters: &mut [char], lower: &[char]) {
    let find = |word: &str| {
        let word: Vec<char> = word.chars().collect();
        (0..lower.len()).find(|place| lower.get(*place..).is_some_and(|rest| rest.starts_with(&word)))
    };
    let line: String = lower.iter().collect();
    let is_name = line.trim_start_matches([' ', '-', '{', '"', '\'']).starts_with("name");
    let words = ["request", "answer", "expect", "credits"].into_iter().filter_map(find).min();
    let begin = if is_name { words } else { find(":").map(|place| place.saturating_add(1)) };
    if let Some(begin) = begin {
        cover(characters, begin, |_| true);
    }
}

/// Masks the value after a key that ends before a place, if there is one.
fn cover_value(characters: &mut [char], end: usize) {
    let is = |place: usize, wanted: &[char]| characters.get(place).is_some_and(|sign| wanted.contains(sign));
    let mut place = end;
    while is(place, &['"', '\'', ' ']) {
        place = place.saturating_add(1);
    }
    let is_json = place.checked_sub(1).is_some_and(|before| is(before, &['"']));
    if !is(place, &[':']) || !(is_json || is(place.saturating_add(1), &[' '])) {
        return;
    }
    place = place.saturating_add(1);
    while is(place, &[' ']) {
        place = place.saturating_add(1);
    }
    // A reference to a secret is shown.
    if is(place, &['$']) || (is(place, &['"', '\'']) && is(place.saturating_add(1), &['$'])) || is(place, &['{', '[']) {
        return;
    }
    match characters.get(place).copied() {
        Some(quote @ ('"' | '\'')) => cover(characters, place.saturating_add(1), |sign| sign != quote),
        _ => cover(characters, place, |sign| !",}]#".contains(sign)),
    }
}

fn cover(characters: &mut [char], from: usize, is_part: impl Fn(char) -> bool) {
    let rest = characters.iter_mut().skip(from);
    rest.take_while(|sign| is_part(**sign)).for_each(|sign| *sign = '*');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::Scratch;

    fn found(text: &str, deny_warnings: bool) -> (Scratch, Findings) {
        let scratch = Scratch::new();
        scratch.write("main.yaml", text);
        let path = scratch.path().join("main.yaml").display().to_string();
        let mut mistakes = Mistakes::default();
        let place = |line, column, key: &str| Place { file: path.as_str().into(), line, column, path: key.into() };
        if text.contains("bad") {
            mistakes.push(place(2, 6, "a.b"), "is bad; write good");
            mistakes.push(place(1, 1, "."), "is all wrong");
        }
        mistakes.warn(place(3, 4, "c"), "is odd; write 1");
        let findings = Findings { name: path, mistakes, summary: Some("good".to_owned()), deny_warnings };
        (scratch, findings)
    }

    #[test]
    fn people_get_the_line_with_a_caret() {
        let (scratch, findings) = found("a:\n  b: bad\nc: 2\n", false);
        let expected = "D/main.yaml:1:1: is all wrong\n  1 | a:\n    | ^\n\
                        D/main.yaml:2:6: a.b: is bad; write good\n  2 |   b: bad\n    |      ^\n\
                        D/main.yaml:3:4: c: warning: is odd; write 1\n  3 | c: 2\n    |    ^\n";
        assert_eq!(findings.as_text(), expected.replace('D', &scratch.path().display().to_string()));
        assert!(!findings.is_good() && findings.summary().is_none());
    }

    #[test]
    fn programs_get_a_document() {
        let (_scratch, findings) = found("a:\n  b: bad\nc: 2\n", false);
        let document: serde_json::Value = serde_json::from_str(&findings.as_json()).unwrap();
        let told = (&document["version"], &document["good"], &document["mistakes"], &document["warnings"]);
        assert_eq!(told, (&1.into(), &false.into(), &2.into(), &1.into()));
        assert_eq!(document["findings"][0]["key"], serde_json::Value::Null);
        let file = document["config"].clone();
        assert_eq!(
            document["findings"][1],
            serde_json::json!({ "severity": "mistake", "file": file, "line": 2, "column": 6, "key": "a.b", "message": "is bad; write good" })
        );
        assert_eq!(document["findings"][2]["severity"], "warning");
        assert_eq!(document["summary"], serde_json::Value::Null);
    }

    #[test]
    fn warnings_are_denied_only_where_that_is_wanted() {
        let (_scratch, findings) = found("a: 1\nb: 2\nc: 2\n", false);
        assert!(findings.is_good() && findings.summary() == Some("good"));
        let (_scratch, findings) = found("a: 1\nb: 2\nc: 2\n", true);
        assert!(!findings.is_good() && findings.summary().is_none());
        assert!(findings.as_text().ends_with("main.yaml: 1 warning is denied\n"), "{}", findings.as_text());
    }

    #[test]
    fn what_can_be_a_secret_is_covered_and_keeps_its_length() {
        for (line, path, expected) in [
            (
                "- { name: a, hash: \"sha256:00ff\", products: [p] }",
                "a",
                "- { name: a, hash: \"***********\", products: [p] }",
            ),
            ("{\"hash\":\"x y\",\"products\":[]}", "a", "{\"hash\":\"***\",\"products\":[]}"),
            ("admin_token: hunter2 # ours", "a", "admin_token: ********# ours"),
            ("  X-Key: hunter2", "upstreams.a.add_headers.X-Key", "  X-Key: *******"),
            ("add_headers: { A: 'b c', D: e }", "upstreams.a.add_headers.A", "add_headers: { A: '***', D: **}"),
            ("  X-Key: \"${env:KEY}\"", "upstreams.a.add_headers.X-Key", "  X-Key: \"${env:KEY}\""),
            ("- sha256:00ff", "a", "- sha256:****"),
            ("rate: 5/s", "a", "rate: 5/s"),
            ("  - name: no token", "tests[0]", "  - name: no token"),
            ("- {name: a, request: {x: y}}", "tests[0]", "- {name: a, ****************"),
            ("      Auth-Token: a, b", "tests[0].request.headers.Auth-Token", "      Auth-Token:*****"),
        ] {
            assert_eq!(covered(line, path), expected);
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_place_and_tabs_are_one_character() {
        let place = Place { line: 7, column: 201, path: "a".into(), ..Place::default() };
        let line = format!("{}X{}", "x".repeat(200), "y".repeat(200));
        let expected = format!("  7 | {}X{}\n    | {}^\n", "x".repeat(60), "y".repeat(39), " ".repeat(60));
        assert_eq!(excerpt(&line, &place), expected);
        let place = Place { line: 1, column: 2, path: "a".into(), ..Place::default() };
        assert_eq!(excerpt("\ta", &place), "  1 |  a\n    |  ^\n");
        assert_eq!(excerpt("", &place), "");
    }
}
