//! A configuration that is being made: what it will say, and its text with comments.
//!
//! Where its parts come from, questions or a document, is not known here.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::backend::Backend;

/// What a first configuration says.
#[derive(Clone, Debug)]
pub struct Draft {
    /// How the configuration's file is called.
    pub file: String,
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub public_url: String,
    pub backend: Backend,
    /// The header of the backend's own key, which the gateway could add.
    pub backend_key: Option<String>,
    pub product: String,
    /// The name of the service on its pages.
    pub title: Option<String>,
    /// As `token_in` has them.
    pub token_places: Vec<String>,
    /// Media types of answers and of bodies, if they are not JSON alone.
    pub accept: Vec<String>,
    pub content_type: Vec<String>,
    pub routes: Vec<RouteDraft>,
    /// What becomes of some statuses of the backend.
    pub answers: BTreeMap<u16, &'static str>,
    /// Statuses that are documented and left as they are, each with its description.
    pub other_answers: BTreeMap<u16, String>,
    pub answer_headers: Vec<String>,
    /// JSON Schemas beside the configuration, by their files' names.
    pub files: BTreeMap<String, String>,
    /// The line of the first token.
    pub token_line: String,
}

/// A route.
#[derive(Clone, Debug, Default)]
pub struct RouteDraft {
    pub method: String,
    pub path: String,
    /// What a document says of it in a line.
    pub summary: Option<String>,
    pub parameters: Vec<ParameterDraft>,
    pub query: Vec<ParameterDraft>,
    /// The rules for its body, if it has one.
    pub body: Option<BodyDraft>,
    /// The file of the schema of its answers.
    pub answer_schema: Option<String>,
}

/// The rules for a parameter.
#[derive(Clone, Debug, Default)]
pub struct ParameterDraft {
    pub name: String,
    pub pattern: Option<String>,
    pub max: Option<usize>,
    pub one_of: Vec<String>,
    pub number: Option<NumberDraft>,
    pub required: bool,
    pub repeat: bool,
    pub description: Option<String>,
    pub example: Option<String>,
    /// What a document says of it that is not checked, for a comment.
    pub unchecked: Vec<String>,
}

/// The rule for a number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumberDraft {
    /// Only whole numbers.
    pub is_whole: bool,
    pub least: Option<String>,
    pub most: Option<String>,
}

/// The rules for a body.
#[derive(Clone, Debug, Default)]
pub struct BodyDraft {
    /// The file of its schema.
    pub schema: Option<String>,
}

/// The longest line of a comment, and of a description, in characters.
const MAX_LINE: usize = 200;

/// A text as a value of YAML that means just that text: quoted, and without references to variables or files.
pub fn quoted(text: &str) -> String {
    quoted_key(&text.replace("${", "$${"))
}

/// The same as a key, in which there are no references.
fn quoted_key(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"]
            .iter()
            .any(|word| word.eq_ignore_ascii_case(text));
    if is_plain {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            character if is_odd(character) => match u32::from(character) {
                code @ 0..=0xffff => out += &format!("\\u{code:04x}"),
                code => out += &format!("\\U{code:08x}"),
            },
            character => out.push(character),
        }
    }
    out + "\""
}

/// Whether a character would change how a line is read or seen.
fn is_odd(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{fffe}' | '\u{ffff}')
}

/// The first line of a text, without what does not fit into a line.
pub fn in_a_line(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default().trim();
    let seen = line.chars().map(|character| if is_odd(character) { ' ' } else { character });
    let mut cut: String = seen.take(MAX_LINE).collect();
    if line.chars().count() > MAX_LINE {
        cut.push('…');
    }
    cut.trim().to_owned()
}

/// A route, or its path, without quotes if it needs none.
fn as_route(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" /{}_.~-".contains(&byte));
    if is_plain { text.to_owned() } else { quoted(text) }
}

fn list(words: &[String]) -> String {
    format!("[{}]", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", "))
}

impl Draft {
    /// Its text.
    pub fn text(&self) -> String {
        let mut out = self.head();
        out += &self.product_lines();
        for route in &self.routes {
            out += &route.text(&self.backend.prefix);
        }
        out += &self.answer_lines();
        out += &format!(
            "    # What a lookup costs (docs/credits.md). It needs `ledger: {{ file: ledger.db }}` at the left margin, and\n    \
             # `credits: {{ {0}: 1000 }}` in accounts.\n    \
             # credits: {{ hold: [{{ add: 1 }}], price: [{{ add: 1 }}] }}\n\n\
             # Who may ask, and how often. `tollgate token new` makes more tokens.\n\
             accounts:\n  first:\n    rate: {{ limit: 60/min }}\n    tokens:\n      {1}\n",
            self.product, self.token_line
        );
        out
    }

    fn head(&self) -> String {
        let Draft { listen, admin, public_url, backend, .. } = self;
        let mut out = format!(
            "# Tollgate in front of {}. `tollgate check --config {}` looks for mistakes;\n\
             # docs/your-own-api.md says what else a product can have, config/gateway.yaml explains every key.\n\n\
             # Where clients connect, and where operators look (/healthz, /metrics).\n\
             listen: {listen}\nadmin: {admin}\n\
             # The URL that clients know: errors link to pages below it.\n\
             public_url: {}\n",
            backend.url,
            in_a_line(&self.file),
            quoted(public_url)
        );
        if let Some(title) = &self.title {
            out += &format!("pages: {{ name: {} }}\n", quoted(title));
        }
        out += &format!("\nupstreams:\n  backend:\n    servers: [{}]\n", quoted(&backend.server));
        if let Some(host) = &backend.host {
            out += &format!("    host: {}\n", quoted(host));
        }
        if backend.has_tls {
            out += "    # TLS, verified with the authorities of this machine; `ca: FILE` names others.\n    tls: {}\n";
        }
        let key = self.backend_key.as_deref().unwrap_or("X-Backend-Key");
        out += &format!(
            "    # The backend's own key, if it wants one; a client's token is never forwarded.\n    \
             # add_headers: {{ {}: \"${{env:BACKEND_KEY}}\" }}\n",
            in_a_line(key)
        );
        out
    }

    fn product_lines(&self) -> String {
        let mut out = format!(
            "\nproducts:\n  {}:\n    upstream: backend\n    \
             # Where clients put their token: header NAME, bearer, basic user, basic password or query NAME.\n    \
             token_in: {}\n",
            quoted_key(&self.product),
            list(&self.token_places)
        );
        for (key, types) in [("accept", &self.accept), ("content_type", &self.content_type)] {
            if !types.is_empty() {
                out += &format!("    {key}: {}\n", list(types));
            }
        }
        out + "    routes:\n"
    }

    fn answer_lines(&self) -> String {
        let mut out = String::new();
        if !self.other_answers.is_empty() {
            out += "    # The backend has more answers. Without a line of their own, 400 and 422 are body-invalid, 408, 429, 502,\n    \
                    # 503 and 504 upstream-unavailable, and others upstream-failed. To let clients see one:\n    \
                    # answers: { 404: { status: 200, price: [{ add: 1 }] } }\n";
            for (status, description) in &self.other_answers {
                out += &format!("    #   {status}  {}\n", in_a_line(description)).replace("  \n", "\n");
            }
        }
        if !self.answers.is_empty() {
            out += "    answers:\n";
            for (status, treatment) in &self.answers {
                out += &format!("      {status}: {treatment}\n");
            }
        }
        if !self.answer_headers.is_empty() {
            out += &format!("    answer_headers: {}\n", list(&self.answer_headers));
        }
        out
    }
}

impl RouteDraft {
    fn text(&self, prefix: &str) -> String {
        let RouteDraft { method, path, summary, parameters, query, body, answer_schema } = self;
        let mut out = String::new();
        if let Some(summary) = summary.as_deref().map(in_a_line).filter(|summary| !summary.is_empty()) {
            out += &format!("      # {summary}\n");
        }
        out += &format!("      - route: {}\n", as_route(&format!("{method} {path}")));
        if prefix.is_empty() && parameters.is_empty() && query.is_empty() && body.is_none() && answer_schema.is_none() {
            return out;
        }
        for (key, rules) in [("parameters", parameters), ("query", query)] {
            if !rules.is_empty() {
                out += &format!("        {key}:\n");
                rules.iter().for_each(|rule| out += &rule.text());
            }
        }
        if !prefix.is_empty() {
            out += &format!("        rewrite: {}\n", as_route(&format!("{prefix}{path}")));
        }
        if let Some(BodyDraft { schema }) = body {
            out += "        # A body has to be JSON of at most this size";
            out += &match schema {
                Some(file) => {
                    format!(", and follow the schema.\n        body: {{ max: 16KiB, schema: {} }}\n", quoted(file))
                }
                None => ". `schema: FILE` adds a JSON Schema.\n        body: { max: 16KiB }\n".to_owned(),
            };
        }
        if let Some(file) = answer_schema {
            out += &format!("        answer_schema: {}\n", quoted(file));
        }
        out
    }
}

impl ParameterDraft {
    fn text(&self) -> String {
        let ParameterDraft { name, pattern, max, one_of, number, required, repeat, description, example, unchecked } =
            self;
        let mut keys = Vec::new();
        if let Some(pattern) = pattern {
            keys.push(format!("pattern: {}", quoted(pattern)));
        }
        if let Some(max) = max {
            keys.push(format!("max: {max}"));
        }
        if !one_of.is_empty() {
            // Numbers and words such as true have quotes, so that they are texts.
            keys.push(format!("one_of: {}", list(one_of)));
        }
        keys.extend(number.as_ref().map(NumberDraft::text));
        if *required {
            keys.push("required: true".to_owned());
        }
        if *repeat {
            keys.push("repeat: true".to_owned());
        }
        for (key, text) in [("description", description), ("example", example)] {
            if let Some(text) = text {
                keys.push(format!("{key}: {}", quoted(text)));
            }
        }
        let comment = match unchecked.is_empty() {
            true => String::new(),
            false => format!("          # Not checked: {}.\n", in_a_line(&unchecked.join(", "))),
        };
        comment + &format!("          {}: {{ {} }}\n", quoted_key(name), keys.join(", ")).replace("{  }", "{}")
    }
}

impl NumberDraft {
    fn text(&self) -> String {
        let bounds = [("min", &self.least), ("max", &self.most)];
        let bounds = bounds.into_iter().filter_map(|(key, bound)| Some(format!("{key}: {}", bound.as_ref()?)));
        let key = if self.is_whole { "integer" } else { "number" };
        format!("{key}: {{ {} }}", bounds.collect::<Vec<_>>().join(", ")).replace("{  }", "{}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml::{Mistakes, read};

    #[test]
    fn a_text_is_read_as_it_was() {
        for text in [
            "plain",
            "two words",
            "true",
            "12",
            "a: b # c",
            "\"q\" \\ 'x'",
            "tab\tand\nline",
            "\u{85}\u{2028}\u{feff}",
            "é 漢 🦀",
            "null",
            "~",
            "-",
            "{a}",
            "[a]",
            "&a *a",
            "%",
            "@",
            "`",
            "",
            " x ",
            "\u{0}\u{7f}",
            "NaN",
            "1e3",
            "0x10",
            "No",
        ] {
            let mut mistakes = Mistakes::default();
            let yaml = format!("{}: {}\n", quoted_key(text), quoted(text));
            let (value, _) = read::<serde_json::Value>("f", &yaml, &mut mistakes).unwrap();
            assert!(mistakes.is_empty(), "{mistakes} {yaml}");
            assert_eq!(value, serde_json::json!({ text: text }), "{yaml}");
        }
        assert_eq!(quoted("${file:/etc/passwd}"), "\"$${file:/etc/passwd}\"");
    }

    #[test]
    fn a_comment_stays_in_its_line() {
        assert_eq!(in_a_line("  one\ntwo"), "one");
        assert_eq!(in_a_line("a\u{2028}b\u{85}c\u{202e}"), "a b c");
        assert_eq!(in_a_line(&"x".repeat(500)).chars().count(), MAX_LINE + 1);
    }
}
