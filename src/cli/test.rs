//! `tollgate test`: runs the tests of a configuration, or makes one of a request.
//!
//! What comes of them is `operate/cases.rs`; nothing is sent anywhere, and no gateway has to run.

use std::io::Write;

use clap::Args;

use crate::config::argument::ConfigFile;
use crate::config::cases::{Bearer, TestCase};
use crate::config::yaml::Mistakes;
use crate::config::{self, Config};
use crate::operate::cases::compare::Difference;
use crate::operate::cases::{self, MAX_TIME, Outcome, Outcomes, Surroundings, record};
use crate::operate::explain::FlagsBesideTarget;
use crate::operate::failure::Failure;
use crate::operate::output;
use crate::operate::store_feed;
use crate::platform::clock::unix_seconds;
use crate::platform::count::counted;

/// Examples, for the help.
pub const EXAMPLES: &str = "Examples:
  tollgate test --config gateway.yaml
  tollgate test --config gateway.yaml 'no token' 'a lookup is paid'
  tollgate test --config gateway.yaml --record /v1/lookup -H \"Auth-Token: $TOKEN\" \\
      -H 'Content-Type: application/json' -d '{\"number\":\"DE811907980\"}'
  tollgate test --config gateway.yaml --record --account acme --token web /v1/vat/DE811907980

The exit status is 0 if all tests pass or a test was printed, 1 if one fails or the configuration has
mistakes, and 2 if the arguments have mistakes.";

/// What is to be tested, or recorded.
#[derive(Args, Clone, Debug)]
pub struct Command {
    #[command(flatten)]
    config: ConfigFile,
    /// Names of tests, instead of all; with --record the path of a request, or a whole URL.
    #[arg(value_name = "NAME")]
    words: Vec<String>,
    /// Print one JSON document instead of text.
    #[arg(long, conflicts_with = "record")]
    json: bool,
    /// Print a test for the configuration that expects what comes of a request now. In place of a token it names the
    /// account and the token.
    #[arg(long)]
    record: bool,
    /// The name of the test that is recorded. Default: what comes of the request.
    #[arg(long, requires = "record", value_name = "TEXT")]
    name: Option<String>,
    /// The account that asks, instead of a header with a token.
    #[arg(long, requires_all = ["record", "token"], value_name = "NAME")]
    account: Option<String>,
    /// The name of the account's token.
    #[arg(long, requires_all = ["record", "account"], value_name = "NAME")]
    token: Option<String>,
    #[command(flatten)]
    request: FlagsBesideTarget,
}

/// Carries the command out.
///
/// # Errors
/// That a test fails, or what is wrong with the configuration or the flags.
pub fn run(command: Command, out: &mut impl Write) -> Result<(), Failure> {
    let Command { config: ConfigFile { config: path }, words, json, record, name, account, token, request } = command;
    if !record && !request.is_empty() {
        return Err(Failure::Arguments("the flags of a request are for --record; add it, or leave them out".into()));
    }
    let asked = match (record, words.as_slice()) {
        (false, _) => None,
        (true, [target]) => Some(request.read(target)?),
        (true, _) => return Err(Failure::Arguments("--record takes one path, as in --record /v1/lookup".into())),
    };
    let mut config = config::load(&path)?;
    let has_read_store = take_in_store(&mut config)?;
    if let Some(asked) = asked {
        let bearer = account.zip(token).map(|(account, token)| Bearer { account, token });
        let text = record::record(&config.policy, &asked, bearer, name);
        return output::say(out, &text.map_err(|why| why.to_string())?);
    }
    let chosen = chosen(&config.tests, &words)?;
    let by = Surroundings { policy: &config.policy, has_read_store, now: unix_seconds() };
    let outcomes = cases::run(chosen, by);
    let name = path.display().to_string();
    output::say(out, &if json { as_json(&outcomes, &name) } else { as_text(&outcomes, &name) })?;
    if is_good(&outcomes) { Ok(()) } else { Err(Failure::Printed) }
}

/// A configuration whose tests pass, with the warnings about them. It has the accounts of its store already.
///
/// # Errors
/// Each test that fails.
pub fn tested(mut config: Config) -> Result<Config, Mistakes> {
    if config.tests.is_empty() {
        return Ok(config);
    }
    let has_read_store = config.store.as_ref().is_none_or(store_feed::is_there);
    let by = Surroundings { policy: &config.policy, has_read_store, now: unix_seconds() };
    let warnings = cases::check(&config.tests, by)?;
    config.warnings.extend(warnings);
    Ok(config)
}

/// Adds the accounts of the store, if there is one; whether they are known then.
fn take_in_store(config: &mut Config) -> Result<bool, Failure> {
    let Some(store) = &config.store else { return Ok(true) };
    // What of it is not in force is not tested either.
    let _ = store_feed::take_in(store, &mut config.policy)?;
    Ok(store_feed::is_there(store))
}

/// The tests of some names, or all.
fn chosen<'c>(tests: &'c [TestCase], names: &[String]) -> Result<Vec<&'c TestCase>, Failure> {
    if let Some(unknown) = names.iter().find(|name| !tests.iter().any(|case| *case.name == ***name)) {
        let known: Vec<&str> = tests.iter().map(|case| &*case.name).collect();
        let known = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        return Err(Failure::Arguments(format!("the configuration has no test {unknown:?}; {known}").into()));
    }
    let is_chosen = |case: &&TestCase| names.is_empty() || names.iter().any(|name| **name == *case.name);
    Ok(tests.iter().filter(is_chosen).collect())
}

fn is_good(outcomes: &Outcomes<'_>) -> bool {
    outcomes.not_run == 0 && outcomes.of_tests.iter().all(Outcome::has_passed)
}

fn as_text(outcomes: &Outcomes<'_>, config: &str) -> String {
    let mut text = String::new();
    for outcome in &outcomes.of_tests {
        let Outcome { case, differences, ends } = outcome;
        let verdict = if outcome.has_passed() { "ok    " } else { "FAILED" };
        let note = if *ends { " (will fail once its token has ended; write `at`)" } else { "" };
        text += &format!("{verdict}  {}{note}\n", case.name);
        for Difference { expected, got } in differences {
            text += &format!("        expected {expected}, got {got}\n");
        }
        if !outcome.has_passed() {
            text += &format!("        at {}:{}:{}\n", case.place.file, case.place.line, case.place.column);
        }
    }
    let failed = outcomes.of_tests.iter().filter(|outcome| !outcome.has_passed()).count();
    let ran = counted(outcomes.of_tests.len(), "test");
    text += &match failed {
        0 => format!("{config}: {ran}, none failed\n"),
        failed => format!("{config}: {ran}, {failed} failed\n"),
    };
    if outcomes.not_run > 0 {
        let left = counted(outcomes.not_run, "more test");
        text += &format!("{left} not run, since those before took {} s\n", MAX_TIME.as_secs());
    }
    text
}

fn as_json(outcomes: &Outcomes<'_>, config: &str) -> String {
    let tests = outcomes.of_tests.iter().map(|outcome| {
        let Outcome { case, differences, .. } = outcome;
        let differences = differences.iter();
        let differences: Vec<_> = differences
            .map(|Difference { expected, got }| serde_json::json!({ "expected": expected, "got": got }))
            .collect();
        serde_json::json!({
            "name": &*case.name,
            "passed": outcome.has_passed(),
            "file": &*case.place.file,
            "line": case.place.line,
            "column": case.place.column,
            "differences": differences,
        })
    });
    let document = serde_json::json!({
        "version": 1,
        "config": config,
        "good": is_good(outcomes),
        "not_run": outcomes.not_run,
        "tests": tests.collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}
