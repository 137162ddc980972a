//! An example as a shell command.

use std::fmt::Write as _;

use super::request::{Body, Example};

impl Example {
    /// The request as a curl command; `-i` also shows the head of the answer.
    pub fn curl(&self, api_url: &str) -> String {
        let mut curl = String::new();
        match &self.body {
            Body::Spaces(count) => {
                let _ = write!(curl, "head -c {count} /dev/zero | tr '\\0' ' ' | ");
            }
            Body::NeverSent(seconds) => {
                let _ = write!(curl, "sleep {seconds} | ");
            }
            Body::Nothing | Body::Text(_) => {}
        }
        let has_body = self.body != Body::Nothing;
        let method = match (&*self.method, has_body) {
            ("GET", false) | ("POST", true) if !matches!(self.body, Body::NeverSent(_)) => String::new(),
            (method, _) => format!(" -X {method}"),
        };
        let _ = write!(curl, "curl -i{method} {}", quoted(&format!("{api_url}{}", self.path)));
        for (name, value) in &self.headers {
            let _ = write!(curl, " \\\n  -H {}", quoted(&format!("{name}: {value}")));
        }
        match &self.body {
            Body::Nothing => {}
            Body::Text(text) => {
                let _ = write!(curl, " \\\n  -d {}", quoted(text));
            }
            Body::Spaces(_) => curl += " \\\n  --data-binary @-",
            Body::NeverSent(_) => curl += " \\\n  -T .",
        }
        if self.times > 1 {
            let numbers: Vec<String> = (1..=self.times).map(|number| number.to_string()).collect();
            curl = format!("for n in {}; do\n{curl}\ndone", numbers.join(" "));
        }
        curl
    }
}

/// Quotes a text as one word of a shell. A variable is still expanded.
fn quoted(text: &str) -> String {
    let is_variable = [": $TOKEN", " $TOKEN", "=$TOKEN", "-$n"].iter().any(|end| text.ends_with(end));
    if is_variable {
        format!("\"{text}\"")
    } else if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/._-".contains(&byte)) && !text.is_empty() {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
