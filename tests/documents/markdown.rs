//! Markdown as far as the documents' tests need it: blocks, headings and links.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Component, Path, PathBuf};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Markdown file of the project, with its text. What is built, and pages that the program itself
/// serves (in config/), are not documents.
pub fn documents() -> Vec<(PathBuf, String)> {
    const NOT_DOCUMENTS: [&str; 4] = ["target", ".git", "node_modules", "config"];
    let mut waiting = vec![root().to_owned()];
    let mut found = Vec::new();
    while let Some(place) = waiting.pop() {
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !NOT_DOCUMENTS.contains(&name.as_str()) {
                    waiting.push(path);
                }
            } else if name.ends_with(".md") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

/// One fenced block: its info string, its text, and the line that it begins in.
#[derive(Debug)]
pub struct Block {
    pub info: String,
    pub text: String,
    pub line: usize,
}

/// What a document has for the test, in order.
#[derive(Debug)]
pub enum Part {
    Block(Block),
    /// The rest of a `<!-- docs-test: … -->`.
    Directive(String),
    /// A line of prose.
    Line(String),
}

/// The parts of a document. A fence may be indented, as in a list; its text then is as well.
pub fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut open: Option<(usize, Block)> = None;
    for (number, line) in text.lines().enumerate() {
        let bare = line.trim_start();
        match &mut open {
            Some(_) if bare == "```" => parts.extend(open.take().map(|(_, block)| Part::Block(block))),
            Some((indent, block)) => {
                let line = line.get(*indent..).unwrap_or_else(|| line.trim_start());
                writeln!(block.text, "{line}").unwrap();
            }
            None => match (bare.strip_prefix("```"), bare.strip_prefix("<!-- docs-test: ")) {
                (Some(info), _) => {
                    let block = Block { info: info.to_owned(), text: String::new(), line: number + 1 };
                    open = Some((line.len() - bare.len(), block));
                }
                (None, Some(directive)) => {
                    let directive = directive.strip_suffix(" -->").expect("a directive ends in its line");
                    parts.push(Part::Directive(directive.to_owned()));
                }
                (None, None) => parts.push(Part::Line(line.to_owned())),
            },
        }
    }
    assert!(open.is_none(), "a block without an end: {open:?}");
    parts
}

/// The anchors of a document, as GitHub makes them of headings, and those that it writes itself.
pub fn anchors(text: &str) -> HashSet<String> {
    let mut anchors = HashSet::new();
    for part in parts(text) {
        let Part::Line(line) = part else { continue };
        if let Some(id) = line.strip_prefix("<a id=\"").and_then(|rest| rest.split('"').next()) {
            anchors.insert(id.to_owned());
        }
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let anchor: String = title
            .trim()
            .to_lowercase()
            .chars()
            .filter_map(|letter| match letter {
                ' ' => Some('-'),
                letter if letter.is_alphanumeric() || letter == '-' || letter == '_' => Some(letter),
                _ => None,
            })
            .collect();
        let mut unique = anchor.clone();
        let mut further = 0;
        while !anchors.insert(unique.clone()) {
            further += 1;
            unique = format!("{anchor}-{further}");
        }
    }
    anchors
}

/// The targets of all links in a document's prose: `[…](…)`, `[…]: …` and `href="…"`.
pub fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for part in parts(text) {
        let Part::Line(line) = part else { continue };
        // What stands between backticks is text.
        let prose: String =
            line.split('`').enumerate().filter(|(place, _)| place % 2 == 0).map(|(_, piece)| piece).collect();
        let inline = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        links.extend(inline.map(str::to_owned));
        let quoted = prose.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        links.extend(quoted.map(str::to_owned));
        if let Some((_, target)) = prose.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            links.push(target.trim().to_owned());
        }
    }
    links
}

/// A path without its `.` and `..`.
pub fn straight(path: &Path) -> PathBuf {
    let mut straight = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                straight.pop();
            }
            Component::CurDir => {}
            part => straight.push(part),
        }
    }
    straight
}

/// Why a link leads nowhere; `None` if it leads somewhere, or is not ours.
pub fn broken(from: &Path, text: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let to = if file.is_empty() { from.to_owned() } else { straight(&from.parent().unwrap().join(file)) };
    if !to.starts_with(root()) {
        return Some("leaves the project".to_owned());
    }
    if !to.exists() {
        return Some("no such file".to_owned());
    }
    let anchor = anchor?;
    let there = if file.is_empty() { text.to_owned() } else { fs::read_to_string(&to).unwrap_or_default() };
    (!anchors(&there).contains(anchor)).then(|| "no such heading".to_owned())
}
