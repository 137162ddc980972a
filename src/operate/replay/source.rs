//! The files of a replay: those that are named, those of a journal's directory, and standard input.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::telemetry::journal::files;
use crate::telemetry::journal::reading::{Damage, Reader, read};

/// The name of standard input.
const STDIN: &str = "-";

/// The most damages that are told one by one.
pub const MOST_TOLD: usize = 100;

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    pub file: String,
    /// Where, and what.
    pub what: String,
}

/// Damages: the first of them, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damages {
    pub told: Vec<Unread>,
    pub count: u64,
}

impl Damages {
    /// Adds one.
    pub fn add(&mut self, file: &str, what: String) {
        self.count = self.count.saturating_add(1);
        if self.told.len() < MOST_TOLD {
            self.told.push(Unread { file: file.to_owned(), what });
        }
    }
}

/// Every file of some arguments, in their order: of a directory those of its journal, the oldest first.
pub fn files(arguments: &[PathBuf], damages: &mut Damages) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for argument in arguments {
        if !argument.is_dir() {
            all.push(argument.clone());
            continue;
        }
        match files::list(argument) {
            Ok(listed) if listed.is_empty() => {
                damages.add(&argument.display().to_string(), "has no files of a journal".to_owned());
            }
            Ok(listed) => all.extend(listed),
            Err(error) => damages.add(&argument.display().to_string(), error.to_string()),
        }
    }
    all
}

/// Hands the lines of a file to a function; what cannot be read is added to the damages.
pub fn lines(file: &Path, damages: &mut Damages, each: impl FnMut(&mut Damages, u64, &str)) {
    let name = file.display().to_string();
    let mut reading = Reading { name: &name, damages, each };
    let outcome = if file == Path::new(STDIN) {
        read(&mut io::stdin().lock(), &mut reading)
    } else {
        File::open(file).and_then(|mut file| read(&mut file, &mut reading))
    };
    if let Err(error) = outcome {
        damages.add(&name, error.to_string());
    }
}

struct Reading<'r, F> {
    name: &'r str,
    damages: &'r mut Damages,
    each: F,
}

impl<F: FnMut(&mut Damages, u64, &str)> Reader for Reading<'_, F> {
    fn line(&mut self, number: u64, text: &str) {
        (self.each)(self.damages, number, text);
    }

    fn damage(&mut self, Damage { byte, what }: Damage) {
        self.damages.add(self.name, format!("byte {byte}: {what}"));
    }
}
