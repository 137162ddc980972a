//! Runs a document: its commands in a separate directory and on its own ports.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::markdown::{Block, Part, root};
use crate::support::{closed_port, directory};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tollgate");

/// Ports that documents write, each replaced by a free one.
const PORTS: [&str; 4] = ["8080", "9901", "9001", "9091"];

/// How long one block may take.
const BLOCK_PATIENCE: Duration = Duration::from_secs(60);

/// One document while its blocks run.
pub struct Run {
    path: PathBuf,
    directory: PathBuf,
    ports: Vec<(&'static str, String)>,
    background: Vec<Child>,
    printed: String,
    /// Blocks that were run, started or checked.
    pub blocks: usize,
}

impl Run {
    pub fn of(path: &Path) -> Run {
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
        if !["public_url:", "products:"].iter().all(|key| text.lines().any(|line| line.starts_with(key))) {
            return;
        }
        let check = format!("tollgate check --config {name}");
        self.run(&Block { info: String::new(), text: check, line: block.line });
    }

    pub fn take(&mut self, part: &Part) {
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

/// Ends a process of ours with all its children: it leads its own process group.
fn end(child: &mut Child) {
    let group = format!("-{}", child.id());
    let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    let _ = child.wait();
}
