//! `tollgate replay`: judges the decisions of a journal again under another configuration, and says what changes.
//!
//! The decision is made by the functions that the gateway calls. What a journal cannot decide is counted by its kind, and
//! never guessed (`replay/verdict.rs`). Rates and quotas count from nothing, by the times of the journal.

mod beside;
pub mod candidate;
mod chain;
mod in_flight;
pub mod judge;
mod order;
mod paths;
mod price;
pub mod replayed;
mod request;
mod show;
pub mod source;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod verdict;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::argument::ConfigFile;
use crate::operate::failure::Failure;
use crate::telemetry::journal::line::{Line, Rules};
use candidate::Candidate;
use judge::Judge;
use order::{InOrder, Waiting};
use replayed::Replayed;
use source::Damages;
use tally::Tally;

/// The most versions of a policy whose rules are known at a time.
const MOST_VERSIONS: usize = 1024;

/// What is to be judged again, and how it is told.
#[derive(Args, Clone, Debug)]
pub struct Command {
    /// The YAML file of the candidate.
    #[command(flatten)]
    config: ConfigFile,
    /// One JSON document instead of text.
    #[arg(long)]
    json: bool,
    /// Files of a journal, directories with such files, or - for standard input.
    #[arg(required = true, value_name = "JOURNAL")]
    journal: Vec<PathBuf>,
}

/// Carries the command out: the text that it prints, and whether something would be decided otherwise.
///
/// # Errors
/// What is wrong with the configuration, or that no decision could be read.
pub fn run(command: Command) -> Result<(String, bool), Failure> {
    let Command { config: ConfigFile { config }, json, journal } = command;
    let candidate = Candidate::read(&config)?;
    let replayed = replay(&candidate, &journal);
    if replayed.tally.decisions == 0 {
        let why = replayed.damages.told.first().map_or_else(String::new, |one| format!(": {}: {}", one.file, one.what));
        return Err(format!("no decision could be read{why}").into());
    }
    let name = config.display().to_string();
    let text = if json { show::as_json(&replayed, &name) } else { show::as_text(&replayed, &name) };
    Ok((text, replayed.tally.differs()))
}

/// Judges all decisions of some files and directories again.
pub fn replay(candidate: &Candidate, journal: &[PathBuf]) -> Replayed {
    let mut damages = Damages::default();
    let files = source::files(journal, &mut damages);
    let mut replay = Replay {
        judge: Judge::new(candidate),
        order: InOrder::default(),
        rules: BTreeMap::new(),
        tally: Tally::default(),
        names: files.iter().map(|file| file.display().to_string()).collect(),
    };
    for (file, index) in files.iter().zip(0..) {
        source::lines(Path::new(file), &mut damages, |damages, number, text| replay.take(index, number, text, damages));
    }
    while let Some(next) = replay.order.next() {
        replay.judge(&next, &mut damages);
    }
    Replayed { files: replay.names, tally: replay.tally, late: replay.order.late(), damages }
}

/// A replay under way.
struct Replay<'c> {
    judge: Judge<'c>,
    order: InOrder,
    /// By the version of the policy.
    rules: BTreeMap<String, Rules>,
    tally: Tally,
    names: Vec<String>,
}

impl Replay<'_> {
    /// Takes the next line of a file.
    fn take(&mut self, file: usize, number: u64, text: &str, damages: &mut Damages) {
        // Decisions are read once it is their turn.
        if Line::is_decision(text) {
            if let Some(next) = self.order.add(file, number, text) {
                self.judge(&next, damages);
            }
            return;
        }
        match Line::read(text) {
            Ok(Line::Rules(rules)) => {
                if self.rules.len() >= MOST_VERSIONS && !self.rules.contains_key(&rules.rules_of) {
                    self.rules.pop_first();
                }
                self.rules.insert(rules.rules_of.clone(), *rules);
            }
            Ok(Line::Beginning(_) | Line::Decision(_)) => {}
            Err(what) => self.complain(file, number, &what, damages),
        }
    }

    fn judge(&mut self, next: &Waiting, damages: &mut Damages) {
        match Line::read(&next.text) {
            Ok(Line::Decision(decision)) => {
                let verdict = self.judge.judge(&decision, self.rules.get(&*decision.policy));
                self.tally.add(&decision, &verdict, (next.file, next.line));
            }
            Ok(Line::Beginning(_) | Line::Rules(_)) => {}
            Err(what) => self.complain(next.file, next.line, &what, damages),
        }
    }

    fn complain(&self, file: usize, number: u64, what: &str, damages: &mut Damages) {
        let name = self.names.get(file).map_or("", |name| name);
        damages.add(name, format!("line {number}: {what}"));
    }
}
