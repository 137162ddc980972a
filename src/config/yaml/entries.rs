//! Splits a long mapping into separate texts, so that each entry can be read by itself.

/// Splits a file that has nothing but a block mapping below one key. Each part has one entry, or some
/// in a row, and reads below the same key as it does in the whole; `None` if the file is written in
/// another way.
///
/// Only lines and their indentation are examined. If that is not enough, as for an alias of an
/// anchor in another entry, the part has a mistake, and the file has to be read as a whole.
pub fn entries<'t>(text: &'t str, key: &str) -> Option<Vec<&'t str>> {
    let mut starts = Vec::new();
    let (mut end, mut is_below, mut indentation) = (0, false, None);
    for line in text.split_inclusive('\n') {
        let begin = end;
        end += line.len();
        let content = line.trim_start_matches(' ');
        if content.trim_end().is_empty() || content.starts_with('#') {
            continue;
        }
        let spaces = line.len() - content.len();
        if !is_below {
            let rest = line.strip_prefix(key)?.strip_prefix(':')?;
            is_below = rest.trim().is_empty() || rest.starts_with(" #");
            is_below.then_some(())?;
            continue;
        }
        let own = *indentation.get_or_insert(spaces);
        if spaces < own || spaces == 0 || content.starts_with('\t') {
            return None;
        }
        if spaces == own {
            starts.push(begin);
        }
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(begin, end)| text.get(*begin..end)).collect()
}

#[cfg(test)]
mod tests {
    use super::entries;

    #[test]
    fn a_block_mapping_is_split_and_nothing_else_is() {
        for (text, expected) in [
            (
                "k:\n  a: 1\n  b:\n    c: 2\n\n  # of d\n  d: 3",
                Some(vec!["  a: 1\n", "  b:\n    c: 2\n\n  # of d\n", "  d: 3"]),
            ),
            ("# first\n\nk: # here\n a: 1\n", Some(vec![" a: 1\n"])),
            ("k:\r\n  a: 1\r\n  b: 2\r\n", Some(vec!["  a: 1\r\n", "  b: 2\r\n"])),
            (
                "k:\n  a: |\n    # text\n      b: 1\n  b: 2\n",
                Some(vec!["  a: |\n    # text\n      b: 1\n", "  b: 2\n"]),
            ),
            ("k:\n", Some(vec![])),
            ("", Some(vec![])),
            ("k: {}\n", None),
            ("k:\na: 1\n", None),
            ("k:\n  a: 1\nother: 2\n", None),
            ("k:\n  a: 1\n b: 2\n", None),
            ("k:\n\ta: 1\n", None),
            ("k:\n  a: 1\n  \tb: 2\n", None),
            ("---\nk:\n  a: 1\n", None),
            ("k:\n  a: 1\n---\nk:\n  b: 1\n", None),
            ("\u{feff}k:\n  a: 1\n", None),
            ("keys:\n  a: 1\n", None),
            ("k:#\n  a: 1\n", None),
        ] {
            assert_eq!(entries(text, "k"), expected, "{text:?}");
        }
    }
}
