//! The documents: every relative link leads somewhere, every command runs, the generated table is the
//! program's own, and the README stays short.
//!
//! Blocks of code are told apart by their info strings; CONTRIBUTING.md describes them. Each document runs in a
//! directory of its own, with ports of its own, in the order of its blocks.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use tollgate::policy::problem::table_as_markdown;

use crate::support::{closed_port, directory};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tollgate");

/// The longest README: one screen of text and a picture.
const README_LINES: usize = 120;
const README_WORDS: usize = 900;

/// Ports that documents write, each replaced by a free one.
const PORTS: [&str; 3] = ["8080", "9901", "9001"];

/// Documents that are made by changes of their own, and that others link to already.
const AWAITED: [&str; 2] = ["docs/configuration.md", "docs/runbooks.md"];

/// How long one block may take.
const BLOCK_PATIENCE: Duration = Duration::from_secs(60);

/// What stands around the generated table.
const TABLE_BEGINS: &str = "<!-- problems: begin -->\n\n";
const TABLE_ENDS: &str = "\n<!-- problems: end -->";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Markdown file of the project, with its text. What is built, and pages that the program itself
/// serves (in config/), are not documents.
fn documents() -> Vec<(PathBuf, String)> {
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
struct Block {
    info: String,
    text: String,
    line: usize,
}

/// What a document has for the test, in order.
#[derive(Debug)]
enum Part {
    Block(Block),
    /// The rest of a `<!-- docs-test: … -->`.
    Directive(String),
    /// A line of prose.
    Line(String),
}

/// The parts of a document. A fence may be indented, as in a list; its text then is as well.
fn parts(text: &str) -> Vec<Part> {
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
fn anchors(text: &str) -> HashSet<String> {
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
fn links(text: &str) -> Vec<String> {
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
fn straight(path: &Path) -> PathBuf {
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
fn broken(from: &Path, text: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let to = if file.is_empty() { from.to_owned() } else { straight(&from.parent().unwrap().join(file)) };
    if !to.starts_with(root()) {
        return Some("leaves the project".to_owned());
    }
    if AWAITED.iter().any(|awaited| to == root().join(awaited)) && !to.exists() {
        return None;
    }
    if !to.exists() {
        return Some("no such file".to_owned());
    }
    let anchor = anchor?;
    let there = if file.is_empty() { text.to_owned() } else { fs::read_to_string(&to).unwrap_or_default() };
    (!anchors(&there).contains(anchor)).then(|| "no such heading".to_owned())
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut mistakes = Vec::new();
    let mut followed = 0;
    for (path, text) in documents() {
        for link in links(&text) {
            followed += 1;
            if let Some(why) = broken(&path, &text, &link) {
                mistakes.push(format!("{}: {link}: {why}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(mistakes.is_empty(), "{mistakes:#?}");
    assert!(followed > 50, "only {followed} links were found");
}

#[test]
fn a_broken_link_is_found() {
    let here = root().join("docs/README.md");
    let text = "# One\n## A `b` (c)\n[x](#one) [y](#a-b-c)\n";
    assert!(links(text).iter().all(|link| broken(&here, text, link).is_none()));
    for link in ["nothing.md", "#two", "contract.md#section-99", "../../elsewhere.md", "../Cargo.toml#section"] {
        assert!(broken(&here, text, link).is_some(), "{link}");
    }
}

#[test]
fn every_document_can_be_reached_from_the_readme() {
    let documents = documents();
    let mut seen = HashSet::from([root().join("README.md")]);
    let mut waiting: Vec<PathBuf> = seen.iter().cloned().collect();
    while let Some(path) = waiting.pop() {
        let Some((_, text)) = documents.iter().find(|(known, _)| *known == path) else { continue };
        for link in links(text) {
            let file = link.split('#').next().unwrap_or_default();
            let to = straight(&path.parent().unwrap().join(file));
            if !file.is_empty() && seen.insert(to.clone()) {
                waiting.push(to);
            }
        }
    }
    let lost: Vec<_> = documents.iter().filter(|(path, _)| !seen.contains(path)).map(|(path, _)| path).collect();
    assert!(lost.is_empty(), "no link leads to {lost:?}");
}

/// Source text that cites the contract leads to a section that is there.
#[test]
fn every_section_of_the_contract_that_is_cited_is_there() {
    let contract = anchors(&fs::read_to_string(root().join("docs/contract.md")).unwrap());
    let mut cited = 0;
    let mut waiting = vec![root().join("src"), root().join("tests")];
    while let Some(place) = waiting.pop() {
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("documents.rs") {
                let text = fs::read_to_string(&path).unwrap();
                for words in ["contract, section ", "contract section "] {
                    for rest in text.split(words).skip(1) {
                        let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
                        cited += 1;
                        assert!(contract.contains(&format!("section-{number}")), "{}: {number}", path.display());
                    }
                }
            }
        }
    }
    assert!(cited >= 20, "only {cited} citations were found");
}

/// With UPDATE=1 the table is put into the document.
#[test]
fn the_contract_has_the_table_of_problems() {
    let path = root().join("docs/contract.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(TABLE_BEGINS).expect("a place for the table");
    let (table, behind) = rest.split_once(TABLE_ENDS).expect("an end of the table");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{before}{TABLE_BEGINS}{}{TABLE_ENDS}{behind}", table_as_markdown())).unwrap();
        return;
    }
    assert_eq!(table, table_as_markdown(), "run UPDATE=1 cargo test --test main documents");
}

#[test]
fn the_readme_is_one_screen() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let (lines, words) = (text.lines().count(), text.split_whitespace().count());
    assert!(lines <= README_LINES, "{lines} lines; move something to docs/");
    assert!(words <= README_WORDS, "{words} words; move something to docs/");
}

#[test]
fn a_block_that_is_not_run_says_why() {
    for (path, text) in documents() {
        let mut before = String::new();
        for part in parts(&text) {
            match part {
                Part::Line(line) => before = line,
                Part::Block(block) if block.info.contains("no-run") => {
                    let why = before.trim_start().starts_with("<!-- not run by the tests: ");
                    assert!(why, "{}:{} is not run and does not say why", path.display(), block.line);
                }
                Part::Block(_) | Part::Directive(_) => {}
            }
        }
    }
}

/// One document while its blocks run.
struct Run {
    path: PathBuf,
    directory: PathBuf,
    ports: Vec<(&'static str, String)>,
    background: Vec<Child>,
    printed: String,
    /// Blocks that were run, started or checked.
    blocks: usize,
}

impl Run {
    fn of(path: &Path) -> Run {
        let directory = directory();
        copy(&root().join("config"), &directory);
        let ports = PORTS.map(|port| (port, closed_port().port().to_string())).to_vec();
        Run { path: path.to_owned(), directory, ports, background: Vec::new(), printed: String::new(), blocks: 0 }
    }

    /// The text with free ports.
    fn here(&self, text: &str) -> String {
        self.ports.iter().fold(text.to_owned(), |text, (written, free)| text.replace(written, free))
    }

    fn command(&self, text: &str) -> Command {
        let program = Path::new(PROGRAM).parent().unwrap().display();
        let path = format!("{program}:{}", std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("bash");
        command
            .args(["-eu", "-o", "pipefail", "-c", &self.here(text)])
            .current_dir(&self.directory)
            .env("PATH", path)
            .env("HOME", &self.directory)
            .env("no_proxy", "*")
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0);
        command
    }

    /// Where in the document something went wrong.
    fn place(&self, block: &Block) -> String {
        format!("{}:{}", self.path.display(), block.line)
    }

    /// Runs a block to its end.
    fn run(&mut self, block: &Block) {
        let mut child = self.command(&block.text).stderr(Stdio::piped()).spawn().unwrap();
        let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let reader = std::thread::spawn(move || {
            let mut text = Vec::new();
            out.read_to_end(&mut text).unwrap();
            text
        });
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            err.read_to_end(&mut text).unwrap();
            text
        });
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > BLOCK_PATIENCE {
                end(&mut child);
                panic!("{} takes too long", self.place(block));
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        self.printed = String::from_utf8_lossy(&reader.join().unwrap()).into_owned();
        let errors = String::from_utf8_lossy(&errors.join().unwrap()).into_owned();
        assert!(status.success(), "{}: {status}\n{}{errors}", self.place(block), self.printed);
        self.printed += &errors;
    }

    /// Starts a command, and waits for its first line.
    fn start(&mut self, command: &str) {
        let mut child = self.command(command).stderr(Stdio::null()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (sender, first) = channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = out.read_line(&mut line);
            let _ = sender.send(line);
            let _ = std::io::copy(&mut out, &mut std::io::sink());
        });
        self.background.push(child);
        let line = first.recv_timeout(BLOCK_PATIENCE).unwrap_or_default();
        assert!(!line.is_empty(), "{}: {command} did not start", self.path.display());
    }

    /// Writes a block of YAML into a file, and checks it if it is a whole configuration.
    fn check(&mut self, block: &Block, name: &str) {
        let text = self.here(&block.text);
        fs::write(self.directory.join(name), &text).unwrap();
        if !text.lines().any(|line| line.starts_with("public_url:")) {
            return;
        }
        let check = format!("tollgate check --config {name}");
        self.run(&Block { info: String::new(), text: check, line: block.line });
    }

    fn take(&mut self, part: &Part) {
        match part {
            Part::Line(_) => {}
            Part::Directive(directive) => match directive.split_once(' ') {
                Some(("background", command)) => self.start(command),
                Some(("prints", text)) => {
                    assert!(self.printed.contains(text), "{}: no {text} in {}", self.path.display(), self.printed);
                }
                None if directive == "stop" => self.stop(),
                _ => panic!("{}: no such directive: {directive}", self.path.display()),
            },
            Part::Block(block) => self.take_block(block),
        }
    }

    fn take_block(&mut self, block: &Block) {
        let words: Vec<&str> = block.info.split_whitespace().collect();
        match words.as_slice() {
            ["sh", "no-run"] => return,
            ["sh"] => self.run(block),
            ["sh", "background"] => self.start(&block.text),
            ["yaml", file] => {
                let name = file.strip_prefix("file=").expect("a file's name");
                self.check(block, name);
            }
            ["yaml"] => self.check(block, "block.yaml"),
            [] | ["json" | "http" | "text" | "rust"] => return,
            _ => panic!("{}: the test does not know the info string {:?}", self.place(block), block.info),
        }
        self.blocks += 1;
    }

    fn stop(&mut self) {
        self.background.drain(..).for_each(|mut child| end(&mut child));
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Copies a directory with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let there = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &there);
        } else {
            fs::copy(&path, there).unwrap();
        }
    }
}

/// Ends a process of ours with all that it has started: it leads a group of its own.
fn end(child: &mut Child) {
    let group = format!("-{}", child.id());
    let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    let _ = child.wait();
}

/// Runs every document that has something to run, all at once; how many blocks there were.
fn run(wanted: impl Fn(&Path) -> bool) -> usize {
    let documents = documents();
    std::thread::scope(|scope| {
        let runs: Vec<_> = documents
            .iter()
            .filter(|(path, _)| wanted(path))
            .map(|(path, text)| {
                scope.spawn(|| {
                    let mut run = Run::of(path);
                    parts(text).iter().for_each(|part| run.take(part));
                    run.blocks
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().expect("a document that runs")).sum()
    })
}

#[test]
fn the_commands_of_the_readme_run() {
    assert!(run(|path| path == root().join("README.md")) >= 5);
}

#[test]
fn the_commands_of_the_documents_run() {
    let docs = root().join("docs");
    assert!(run(|path| path.starts_with(&docs)) >= 15);
}
