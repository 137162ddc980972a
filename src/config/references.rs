//! `${env:NAME}` and `${file:PATH}` in values of the configuration: references to an environment variable or to the
//! text of a file, so that secrets need not be in the configuration.
//!
//! One line end at the end is removed, which most editors and `echo` add; otherwise they are used as they are. The
//! result is checked like a written value.

use super::source::Source;
use super::units::{FromText, Referred};
use crate::config::yaml::invisible;
use crate::platform::files::BYTE_ORDER_MARK;

/// The most bytes of a referenced file.
const MAX_VALUE_BYTES: u64 = 64 * 1024;

const WANTED: &str = "write ${env:NAME}, ${file:PATH}, or $${ for the characters themselves";

/// Replaces the references in a text with their values.
///
/// # Errors
/// What is wrong with a reference, with its name but never its value.
pub fn expanded(text: &str, source: &Source) -> Result<String, String> {
    let mut value = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find("${") {
        let (before, reference) = rest.split_at(begin);
        if let Some(escaped) = before.strip_suffix('$') {
            value.extend([escaped, "${"]);
            rest = reference.strip_prefix("${").unwrap_or_default();
            continue;
        }
        value.push_str(before);
        let inside = reference.strip_prefix("${").unwrap_or_default();
        let (inside, after) = inside.split_once('}').ok_or_else(|| format!("has a ${{ without its }}; {WANTED}"))?;
        let found = of(inside, source)?;
        // A file has lost its byte order mark already.
        value.push_str(without_line_end(found.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&found)));
        rest = after;
    }
    value.push_str(rest);
    Ok(value)
}

/// Resolves a value of an included account. In these files only some values can be references, since most are written
/// by programs.
///
/// # Errors
/// As of [`expanded`], or that the value is not one of its kind.
pub fn referred<T: FromText>(value: Referred<T>, source: &Source) -> Result<T, String> {
    match value {
        Referred::Value(value) => Ok(value),
        Referred::Reference(text) => T::from_text(&expanded(&text, source)?).map_err(Into::into),
    }
}

fn of(reference: &str, source: &Source) -> Result<String, String> {
    match reference.split_once(':') {
        Some(("env", name)) => of_environment(name, std::env::var(name)),
        Some(("file", path)) => source.small_text(path, MAX_VALUE_BYTES).map_err(|error| {
            format!("takes its value from a file that cannot be read ({error}); name one that this user may read")
        }),
        _ => Err(format!("has an unknown ${{…}}; {WANTED}")),
    }
}

fn of_environment(name: &str, found: Result<String, std::env::VarError>) -> Result<String, String> {
    if let Some(what) = invisible(name) {
        return Err(format!("names an environment variable with {what}; correct its name"));
    }
    found.map_err(|error| match error {
        std::env::VarError::NotPresent => format!(
            "takes its value from the environment variable {name}, which is not set; set it, or correct its name"
        ),
        std::env::VarError::NotUnicode(_) => {
            format!("takes its value from the environment variable {name}, which is not UTF-8; set it again")
        }
    })
}

fn without_line_end(value: &str) -> &str {
    let value = value.strip_suffix('\n').unwrap_or(value);
    value.strip_suffix('\r').unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: Source = Source::Embedded(&[
        ("plain", "s3cret"),
        ("unix", "s3cret\n"),
        ("windows", "s3cret\r\n"),
        ("two", "s3cret\n\n"),
        ("marked", "\u{feff}s3cret\n"),
        ("spaces", "  s3cret \n"),
        ("empty", ""),
        ("dollar", "${env:HOME}"),
    ]);

    #[test]
    fn references_stand_for_their_values_without_one_line_end() {
        for (text, expected) in [
            ("none", Ok("none")),
            ("${file:plain}", Ok("s3cret")),
            ("${file:unix}", Ok("s3cret")),
            ("${file:windows}", Ok("s3cret")),
            ("${file:two}", Ok("s3cret\n")),
            ("${file:spaces}", Ok("  s3cret ")),
            ("${file:marked}", Ok("s3cret")),
            ("Bearer ${file:unix}/${file:empty}x", Ok("Bearer s3cret/x")),
            ("${file:dollar}", Ok("${env:HOME}")),
            ("$${file:unix}", Ok("${file:unix}")),
            ("5 $ and $$", Ok("5 $ and $$")),
            ("${env:TOLLGATE_HAS_NO_SUCH}", Err("the environment variable TOLLGATE_HAS_NO_SUCH, which is not set")),
            ("${env:A\u{200b}B}", Err("names an environment variable with U+200B (a zero-width space) at character 2")),
            ("${file:nowhere}", Err("cannot be read (does not exist)")),
            ("${env:PATH", Err("has a ${ without its }")),
            ("${vault:key}", Err("has an unknown ${…}")),
            ("${}", Err("has an unknown ${…}")),
        ] {
            match (expanded(text, &FILES), expected) {
                (Ok(value), Ok(expected)) => assert_eq!(value, expected, "{text}"),
                (Err(what), Err(expected)) => assert!(what.contains(expected), "{text}: {what}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_variable_is_taken_as_a_file_is() {
        let path = std::env::var("PATH").unwrap();
        assert_eq!(expanded("${env:PATH}", &FILES), Ok(path));
        for (value, expected) in [("s3cret\r\n", "s3cret"), ("s3cret\n", "s3cret"), ("s3cret ", "s3cret ")] {
            let found = of_environment("A", Ok(value.to_owned())).unwrap();
            assert_eq!(without_line_end(&found), expected);
        }
        let not_unicode = Err(std::env::VarError::NotUnicode("".into()));
        assert!(
            of_environment("A", not_unicode).unwrap_err().contains("the environment variable A, which is not UTF-8")
        );
    }
}
