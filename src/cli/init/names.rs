//! Names of products, made of words that somebody else has chosen.

/// A name of small letters, digits and hyphens.
pub fn slug(text: &str) -> String {
    const MAX_NAME: usize = 40;
    let plain =
        text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' });
    let plain: String = plain.collect();
    let words: Vec<&str> = plain.split('-').filter(|word| !word.is_empty()).collect();
    let mut name = words.join("-");
    name.truncate(MAX_NAME);
    name.trim_end_matches('-').to_owned()
}

/// The last literal segment of a path that is not a version.
pub fn name_of(path: &str) -> String {
    let is_version = |word: &str| {
        word.strip_prefix('v').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut words = path.split('/').filter(|segment| !segment.contains('{')).map(slug);
    let named = words.rfind(|word| !word.is_empty() && !is_version(word));
    named.unwrap_or_else(|| "lookup".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_called_like_what_it_looks_up() {
        for (path, name) in [
            ("/v1/vat/{number}", "vat"),
            ("/v1/{number}", "lookup"),
            ("/", "lookup"),
            ("/hello.json", "hello-json"),
            ("/names/check/v2", "check"),
        ] {
            assert_eq!(name_of(path), name, "{path}");
        }
        assert_eq!(slug("  Größe & Co. (v2) "), "gr-e-co-v2");
    }
}
