//! Comparing secrets: the time that it takes tells nothing of where they differ.

/// Whether two texts are the same, in a time that only their lengths decide.
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_same_or_not() {
        for (one, other, same) in [("", "", true), ("abc", "abc", true), ("abc", "abd", false), ("abc", "ab", false)] {
            assert_eq!(is_same(one.as_bytes(), other.as_bytes()), same, "{one} {other}");
        }
    }
}
