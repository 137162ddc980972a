//! The reference of the configuration in Markdown, generated from the JSON Schema for editors, which is generated from
//! the types that read the file: so every key is described.
//!
//! Each mapping has a table of its keys, their types, defaults and meaning. Examples are from `config/gateway.yaml`,
//! without its comments.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use schemars::Schema;
use serde_json::Value;

use super::schema::{Kind, of};
use super::units::{Bytes, Decimal, FromText, HeaderName, Mode, PerPeriod, PublicUrl, Referred, RouteText};
use crate::policy::account::{Digest, Expiry};
use crate::policy::check::domain::Pattern;
use crate::policy::check::number::Number;
use crate::policy::http::media::MediaType;
use crate::upstream::settings::Address;

/// The source of the examples.
const GATEWAY: &str = include_str!("../../config/gateway.yaml");

const INTRODUCTION: &str = "# Configuration

Every key of the YAML file that `tollgate run --config FILE` serves. This page is made from the types that read the
file (`tollgate schema --markdown` prints it); `config/gateway.yaml` explains the same keys in their places, and
`tollgate schema` prints a JSON Schema for editors.

- `tollgate check --config FILE` tells every mistake at once, each with its line and column and how to mend it.
- A key that is not listed here is a mistake, and so is a key that is written twice or left blank.
- Durations have a unit (`500ms`, `5s`, `2m`, `1h`, `7d`), and sizes too (`512B`, `16KiB`, `1MiB`).
- Paths of files start from the directory of the configuration.
- The file is loaded again when it changes, with everything that it names; one with mistakes changes nothing.
";

/// A mapping to describe, and its path.
struct Mapping {
    /// Its name among the definitions of the schema; `None` is the file itself.
    definition: Option<String>,
    /// Its first path, as in `upstreams.NAME.tls`.
    path: String,
    /// Further paths of the same mapping.
    also: Vec<String>,
}

/// The whole page.
pub fn markdown() -> String {
    let schema = of(Kind::Config);
    let root = schema.as_value();
    let mappings = mappings(root);
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n## Mappings\n\n");
    for mapping in &mappings {
        let _ = writeln!(page, "- [{}](#{})", mapping.title(), anchor(&mapping.path));
    }
    for mapping in &mappings {
        section(&mut page, root, mapping, &mappings);
    }
    page
}

impl Mapping {
    fn title(&self) -> &str {
        if self.path.is_empty() { "The file" } else { &self.path }
    }

    fn schema<'s>(&self, root: &'s Value) -> &'s Value {
        match &self.definition {
            Some(name) => root.pointer(&format!("/definitions/{name}")).unwrap_or(&Value::Null),
            None => root,
        }
    }
}

/// Every mapping once, in the order in which a reader meets them.
fn mappings(root: &Value) -> Vec<Mapping> {
    let mut found = vec![Mapping { definition: None, path: String::new(), also: Vec::new() }];
    let mut waiting: VecDeque<(String, String)> = named(root, "").collect();
    while let Some((name, path)) = waiting.pop_front() {
        let Some(definition) = root.pointer(&format!("/definitions/{name}")) else { continue };
        if definition.get("properties").is_none() {
            continue;
        }
        if let Some(known) = found.iter_mut().find(|known| known.definition.as_ref() == Some(&name)) {
            known.also.push(path);
            continue;
        }
        // Mappings inside it come before its siblings.
        let within: Vec<_> = named(definition, &path).collect();
        for one in within.into_iter().rev() {
            waiting.push_front(one);
        }
        found.push(Mapping { definition: Some(name), path, also: Vec::new() });
    }
    found
}

/// The definitions that the keys of a mapping name, and where they stand.
fn named<'s>(mapping: &'s Value, path: &'s str) -> impl Iterator<Item = (String, String)> + 's {
    let properties = mapping.get("properties").and_then(Value::as_object).into_iter().flatten();
    properties.flat_map(move |(key, value)| {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let (definitions, suffix) = names_in(value);
        definitions.into_iter().map(move |name| (name, format!("{path}{suffix}")))
    })
}

/// The definitions in a value, and what follows its key in a path that leads to them.
fn names_in(value: &Value) -> (Vec<String>, &'static str) {
    let inner = [("items", "[]"), ("additionalProperties", ".NAME")];
    for (key, suffix) in inner {
        if let Some(inner) = value.get(key).filter(|inner| inner.is_object()) {
            return (references(inner), suffix);
        }
    }
    (references(value), "")
}

fn references(value: &Value) -> Vec<String> {
    let alternatives = ["allOf", "anyOf"].into_iter().filter_map(|key| value.get(key)?.as_array()).flatten();
    let all = std::iter::once(value).chain(alternatives);
    let all = all.filter_map(|value| value.get("$ref")?.as_str()?.rsplit('/').next());
    all.map(str::to_owned).collect()
}

fn section(page: &mut String, root: &Value, mapping: &Mapping, mappings: &[Mapping]) {
    let schema = mapping.schema(root);
    let _ = writeln!(page, "\n<a id=\"{}\"></a>\n## {}\n", anchor(&mapping.path), mapping.title());
    if let (Some(words), false) = (text(schema, "description"), mapping.path.is_empty()) {
        let _ = writeln!(page, "{}\n", escaped(words));
    }
    if !mapping.also.is_empty() {
        let also: Vec<String> = mapping.also.iter().map(|path| format!("`{path}`")).collect();
        let _ = writeln!(page, "The same mapping is used at {}.\n", also.join(", "));
    }
    page.push_str("| Key | Holds | Default | Meaning |\n| --- | --- | --- | --- |\n");
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |key: &str| required.is_some_and(|keys| keys.iter().any(|required| required == key));
    for (key, value) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let (meaning, default) = meaning(text(value, "description").unwrap_or_default());
        let default = if is_required(key) { "**required**".to_owned() } else { escaped(default) };
        let holds = holds(root, value, mappings);
        let _ = writeln!(page, "| `{key}` | {holds} | {default} | {} |", escaped(meaning));
    }
    if let Some(example) = example(&mapping.path) {
        let _ = writeln!(page, "\n```yaml\n{example}```");
    }
}

/// A description without its default, and the default.
fn meaning(description: &str) -> (&str, &str) {
    match description.split_once("Default: ") {
        Some((meaning, default)) => (meaning.trim(), default.trim().trim_end_matches('.')),
        None => (description, ""),
    }
}

/// What a value holds: its kind and range, with a link if it is a mapping.
fn holds(root: &Value, value: &Value, mappings: &[Mapping]) -> String {
    if let Some(items) = value.get("items") {
        return format!("list of {}", holds(root, items, mappings));
    }
    if let Some(inner) = value.get("additionalProperties").filter(|inner| inner.is_object()) {
        return format!("mapping of names to {}", holds(root, inner, mappings));
    }
    if let Some(kind) = language(value) {
        return kind.to_owned();
    }
    let names = references(value);
    let words = names.iter().map(|name| reference(root, name, mappings));
    let others = value.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    let others = others.filter(|other| other.get("$ref").is_none()).map(|other| holds(root, other, mappings));
    let alternatives: Vec<String> = others.chain(words).collect();
    if alternatives.is_empty() { plain(value) } else { alternatives.join(" or ") }
}

/// A definition: a link to its table, or the words that it allows.
fn reference(root: &Value, name: &str, mappings: &[Mapping]) -> String {
    if let Some(mapping) = mappings.iter().find(|mapping| mapping.definition.as_deref() == Some(name)) {
        return format!("[mapping](#{})", anchor(&mapping.path));
    }
    let words = root.pointer(&format!("/definitions/{name}/oneOf")).and_then(Value::as_array);
    let words = words.into_iter().flatten().filter_map(|word| text(word, "const"));
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ")
}

/// A language of values that has a name of its own.
fn language(value: &Value) -> Option<&'static str> {
    let languages: [(Schema, &str); 17] = [
        (Duration::schema(), "duration"),
        (Bytes::schema(), "size"),
        (PerPeriod::schema(), "rate, as in `150/min`"),
        (SocketAddr::schema(), "address and port"),
        (Address::schema(), "address or name with port"),
        (IpNet::schema(), "address or network"),
        (Pattern::schema(), "host, as in `app.example.com` or `*.example.com`"),
        (MediaType::schema(), "media type"),
        (Digest::schema(), "digest, as in `sha256:…`"),
        (Referred::<Digest>::schema(), "digest, as in `sha256:…`, or `${…}`"),
        (Expiry::schema(), "day, as in `2027-06-30`"),
        (Mode::schema(), "mode, as in `\"0660\"`"),
        (RouteText::schema(), "method and path, as in `POST /lookup`"),
        (HeaderName::schema(), "name of a header"),
        (PublicUrl::schema(), "URL"),
        (Number::schema(), "number"),
        (Decimal::schema(), "number or text"),
    ];
    let says = |schema: &Schema| {
        let keys = schema.as_value().as_object();
        keys.is_some_and(|keys| keys.iter().all(|(key, wanted)| value.get(key) == Some(wanted)))
    };
    languages.into_iter().find(|(schema, _)| says(schema)).map(|(_, name)| name)
}

/// The type of a value that has no name of its own, with its range.
fn plain(value: &Value) -> String {
    if let Some(word) = text(value, "const") {
        return format!("`{word}`");
    }
    if let Some(values) = value.get("enum").and_then(Value::as_array) {
        return values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
    }
    let kind = match value.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => "any value".to_owned(),
    };
    let kind = match kind.as_str() {
        "string" => "text",
        "integer" => "whole number",
        "boolean" => "`true` or `false`",
        kind => kind,
    };
    match (number(value, "minimum"), number(value, "maximum")) {
        (Some(least), Some(most)) => format!("{kind} from {least} to {most}"),
        (Some(least), None) => format!("{kind} from {least} on"),
        (None, Some(most)) => format!("{kind} up to {most}"),
        (None, None) => kind.to_owned(),
    }
}

fn number(value: &Value, key: &str) -> Option<String> {
    value.get(key).map(|number| number.to_string().trim_end_matches(".0").to_owned())
}

fn text<'s>(value: &'s Value, key: &str) -> Option<&'s str> {
    value.get(key).and_then(Value::as_str)
}

/// The name of a section in links.
fn anchor(path: &str) -> String {
    if path.is_empty() { "file".to_owned() } else { path.replace("[]", "").replace('.', "-").to_lowercase() }
}

/// Escapes a text for a table cell in Markdown, except for code.
fn escaped(words: &str) -> String {
    let pieces = words.split('`').enumerate();
    let pieces = pieces.map(|(number, piece)| {
        let piece = piece.replace('|', "\\|");
        if number % 2 == 0 { piece.replace('*', "\\*").replace('<', "&lt;") } else { piece }
    });
    pieces.collect::<Vec<_>>().join("`")
}

/// What `gateway.yaml` writes for a key of the root, or for all of them that are one line; nothing for what
/// is within those.
fn example(path: &str) -> Option<String> {
    let lines: Vec<&str> = GATEWAY.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let lines: Vec<&str> = lines.into_iter().filter(|line| !line.trim().is_empty()).collect();
    let is_key = |line: &str| !line.starts_with(' ');
    if path.is_empty() {
        let single = lines.iter().filter(|line| is_key(line) && !line.ends_with(':'));
        return Some(single.fold(String::new(), |text, line| text + line + "\n"));
    }
    let key = path.trim_end_matches("[]").trim_end_matches(".NAME");
    let mut own = lines.into_iter().skip_while(|line| **line != *format!("{key}:"));
    let first = own.next()?;
    let rest = own.take_while(|line| !is_key(line));
    Some(rest.fold(format!("{first}\n"), |text, line| text + line + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page in the repository, which `UPDATE=1` updates.
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");

    #[test]
    fn the_page_is_what_the_types_say() {
        let page = markdown();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(PAGE, &page).unwrap();
        }
        assert!(
            std::fs::read_to_string(PAGE).unwrap() == page,
            "docs/configuration.md is out of date; UPDATE=1 updates it"
        );
    }

    #[test]
    fn every_key_has_a_row_and_every_link_an_end() {
        let page = markdown();
        let schema = of(Kind::Config);
        let root = schema.as_value();
        let definitions = root["definitions"].as_object().unwrap().values().chain([root]);
        let mut keys = 0;
        for properties in definitions.filter_map(|definition| definition.get("properties")?.as_object()) {
            for key in properties.keys() {
                keys += 1;
                assert!(page.contains(&format!("\n| `{key}` | ")), "{key}");
            }
        }
        let rows = page.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, keys);
        for row in page.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> =
                row.replace("\\|", "").split('|').map(|cell| if cell.trim().is_empty() { "" } else { "x" }).collect();
            assert_eq!((cells.len(), cells[2], cells[4]), (6, "x", "x"), "{row}");
        }
        for link in page.split("](#").skip(1) {
            let (name, _) = link.split_once(')').unwrap();
            assert!(page.contains(&format!("<a id=\"{name}\">")), "{name}");
        }
    }
}
