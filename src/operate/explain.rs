//! `tollgate explain`: explains the answer to a request, without a running gateway.
//!
//! The decision is made by the very functions that the gateway calls, with an observer that writes down each
//! check (`observer.rs`). Nothing is sent anywhere: what depends on time, on traffic or on a backend (the
//! deadline, rates that are used up, balances, the upstream's answer) is said to depend on it.

pub(crate) mod answer;
pub(crate) mod asked;
pub(crate) mod carried;
pub(crate) mod dry_run;
mod facts;
mod findings;
mod flags;
mod outcome;
mod places;
pub(crate) mod seen;
mod show;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use clap::Args;

pub use answer::Answer;
pub use asked::Asked;
pub use findings::{Finding, Verdict};
pub use flags::{Flags, FlagsBesideTarget};
pub use outcome::{Explanation, Outcome};
pub use places::{Location, Places};

use crate::config::argument::ConfigFile;
use crate::config::{self, Config};
use crate::operate::failure::Failure;
use crate::operate::store_feed;
use crate::policy::Policy;
use crate::policy::check::watch::Watched;
use crate::policy::problem::Problem;
use dry_run::Ending;
use findings::Report;

/// What is to be explained, and how it is to be told.
#[derive(Args, Clone, Debug)]
pub struct Command {
    /// The YAML file.
    #[command(flatten)]
    config: ConfigFile,
    /// Only the checks that apply to the request and were made.
    #[arg(long)]
    short: bool,
    /// One JSON document instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    request: Flags,
}

/// Carries the command out: the text that it prints, and whether the request is refused.
///
/// # Errors
/// What is wrong with the configuration or the flags.
pub fn run(command: Command) -> Result<(String, bool), Failure> {
    let Command { config: ConfigFile { config: path }, short, json, request } = command;
    let asked = request.read()?;
    let (read_config, places) = read(&path)?;
    let mut explanation = explain(&read_config, &places, &asked);
    if short {
        explanation.findings.retain(|finding| finding.verdict.was_made());
    }
    let config = path.display().to_string();
    let text = if json {
        show::as_json(&explanation, &asked, &config)
    } else {
        show::as_text(&explanation, &asked, &config, std::io::stdout().is_terminal())
    };
    Ok((text, explanation.outcome.is_refusal()))
}

/// A configuration as it is explained: its policy, with the accounts of its store, and where everything stands in files.
///
/// # Errors
/// Every mistake of the configuration, or that its store cannot be read.
pub fn read(path: &Path) -> Result<(Config, Places), Failure> {
    let (config, read) = config::load_and_note(path, None);
    let mut config = config?;
    if let Some(store) = &config.store {
        // What of it is not in force is not explained either.
        let _ = store_feed::take_in(store, &mut config.policy)?;
    }
    Ok((config, Places::read(path, &read)?))
}

/// Explains what becomes of one request. Every rate counts as if it were its first one.
pub fn explain(config: &Config, places: &Places, asked: &Asked) -> Explanation {
    let Config { policy, settings, .. } = config;
    dry_run::evaluate(policy, asked, |dry_run| {
        let findings = Report::findings(policy, places, asked, dry_run);
        let outcome = match &dry_run.ending {
            Ending::Refused(problem) => refused(policy, dry_run, *problem),
            Ending::Preflight(_) => Outcome::Preflight,
            Ending::Enquiry(_) => Outcome::Told,
            Ending::Page(..) => Outcome::Page,
            Ending::Forwarded(paid) => Outcome::Forwarded {
                upstream: settings
                    .upstreams
                    .get(paid.admission().product().upstream)
                    .map_or_else(String::new, |upstream| upstream.name.to_string()),
                deadline_seconds: paid.admission().deadline().as_secs(),
                held: paid.held(),
            },
        };
        Explanation { findings, outcome, answer: answer::of(policy, asked, dry_run) }
    })
}

/// What became of a request that is judged by a policy alone, without the files that it was made of.
#[derive(Debug)]
pub struct Judged {
    pub findings: Vec<Finding>,
    /// The product that the request was for.
    pub product: Option<Arc<str>>,
    pub refusal: Option<RefusedBy>,
    /// The lists that are only watched and would have refused it.
    pub watched: Watched,
}

/// What refused a request.
#[derive(Debug)]
pub struct RefusedBy {
    /// The position of the check in the order of all.
    pub position: usize,
    /// The slug of the problem, in the product's own words.
    pub problem: String,
    pub status: u16,
    /// Why, in the words of the log.
    pub reason: &'static str,
}

/// Judges one request. Every rate counts as if it were its first one.
pub fn judge(policy: &Policy, asked: &Asked) -> Judged {
    let places = Places::nowhere();
    dry_run::evaluate(policy, asked, |dry_run| {
        let refused = dry_run.checks.iter().find_map(|(check, refusal)| Some((check.position(), (*refusal)?)));
        let wording = dry_run.trail.product.map_or(&policy.wording, |product| &product.wording);
        let refusal = refused.map(|(position, Problem { row, reason, .. })| {
            let words = wording.words(row);
            RefusedBy { position, problem: words.slug.to_string(), status: words.status.code(), reason }
        });
        Judged {
            findings: Report::findings(policy, &places, asked, dry_run),
            product: dry_run.trail.product.map(|product| Arc::clone(&product.name)),
            refusal,
            watched: dry_run.trail.watched,
        }
    })
}

fn refused(policy: &Policy, dry_run: &dry_run::DryRun<'_, '_>, problem: Problem) -> Outcome {
    let wording = dry_run.trail.product.map_or(&policy.wording, |product| &product.wording);
    let slug = &wording.words(problem.row).slug;
    Outcome::Refused { problem: slug.to_string(), reason: problem.reason }
}
