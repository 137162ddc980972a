//! The configuration: mistakes with a place in the file and no control character, YAML that another reader understands in
//! the same way, and memory in proportion to the file.

use serde_json::Value;
use tollgate::config::yaml::{self, Mistakes};
use tollgate::config::{self, shown};
use tollgate::operate::demo;

use crate::memory;

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The gateway's reader ends the last line of a block where the file does not.
    as_others_do(&if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") });
    // The pages of a configuration are made when it is read, of fixed templates.
    let parsed =
        memory::within((64 << 20) + data.len() * 1024, "a configuration", || config::parse("f", text, &demo::SOURCE));
    match parsed {
        Ok(config) => {
            hold(config.warnings.iter().map(|warning| (warning.place.line, warning.to_string())), text);
            let written = shown::yaml(&config.policy, &config.settings).expect("what is shown can be written");
            let mut mistakes = Mistakes::default();
            let again = yaml::read::<Value>("shown", &written, &mut mistakes);
            assert!(again.is_some() && mistakes.is_empty(), "{mistakes}\n{written}");
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            hold(mistakes.iter().map(|mistake| (mistake.place.line, mistake.to_string())), text);
        }
    }
}

/// Holds the form of mistakes and warnings.
fn hold(told: impl Iterator<Item = (usize, String)>, text: &str) {
    // A carriage return alone is a line break as well (YAML 1.2, section 5.4).
    let lines = text.replace("\r\n", "\n").split(['\n', '\r']).count();
    for (line, words) in told {
        assert!((1..=lines + 1).contains(&line), "line {line} of {words}");
        assert!(!words.chars().any(char::is_control), "{words:?}");
    }
}

/// Whether a plain scalar between braces or brackets may begin with a question mark: one in YAML 1.2 (section 7.3.3), and
/// a key in 1.1, which serde_yaml reads.
fn begins_with_a_question_mark(text: &str) -> bool {
    text.split('?').rev().skip(1).any(|before| before.trim_end().ends_with(['{', '[', ',']))
}

/// Whether there is a character that ends a line in YAML 1.1 and is one like others in 1.2 (section 5.4): the next line
/// of ISO 6429, and Unicode's separators of lines and paragraphs.
fn has_another_line_break(text: &str) -> bool {
    text.contains(['\u{85}', '\u{2028}', '\u{2029}'])
}

/// Whether the name of an anchor or alias has a character that is one of names in YAML 1.2 (section 6.9.2) and ends them
/// in 1.1.
fn has_another_anchor(text: &str) -> bool {
    let ends = |letter: char| letter.is_whitespace() || "[]{},".contains(letter);
    let mut names = text.split(['&', '*']).skip(1).filter_map(|after| after.split(ends).next());
    names.any(|name| !name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter)))
}

/// Compares the shape of a document, and its texts, with serde_yaml's. A document that is no collection is no
/// configuration, and those who read 1.1 want the lines of one in block style to be indented (example 9.5 of 1.2 is not).
fn as_others_do(text: &str) {
    if begins_with_a_question_mark(text) || has_another_line_break(text) || has_another_anchor(text) {
        return;
    }
    let mut mistakes = Mistakes::default();
    let ours =
        memory::within((1 << 20) + text.len() * 1024, "a document", || yaml::read::<Value>("f", text, &mut mistakes));
    if let Some((ours, _)) = ours
        && mistakes.is_empty()
        && (ours.is_array() || ours.is_object())
        && let Ok(theirs) = serde_yaml::from_str::<serde_yaml::Value>(text)
    {
        assert!(is_alike(&ours, &theirs), "{ours} is not {theirs:?}");
    }
}

fn is_alike(ours: &Value, theirs: &serde_yaml::Value) -> bool {
    match (ours, theirs) {
        (_, serde_yaml::Value::Tagged(tagged)) => is_alike(ours, &tagged.value),
        (Value::Array(ours), serde_yaml::Value::Sequence(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| is_alike(ours, theirs))
        }
        (Value::Object(ours), serde_yaml::Value::Mapping(theirs)) => {
            ours.len() == theirs.len()
                && theirs.iter().all(|(key, theirs)| {
                    key.as_str().is_none_or(|key| ours.get(key).is_some_and(|ours| is_alike(ours, theirs)))
                })
        }
        (Value::String(ours), serde_yaml::Value::String(theirs)) => ours == theirs,
        (Value::Array(_) | Value::Object(_), _) => false,
        (_, serde_yaml::Value::Sequence(_) | serde_yaml::Value::Mapping(_)) => false,
        // YAML 1.1 and 1.2 have other words for the same scalars.
        _ => true,
    }
}
