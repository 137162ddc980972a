//! Shadows as the thread that reloads has them: a candidate is loaded as a configuration is, judges beside the one in force,
//! and is put in force or dropped.
//!
//! To promote a candidate is to put the text of its file in place of that of the configuration, and to load that: so what was
//! measured is in force after the next start as well. How a candidate judges is `gateway/shadow.rs`.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, Permissions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::accounts::{self, AccountSource};
use super::{content, tests_first};
use crate::config::yaml::Mistakes;
use crate::config::{self, Config, MAX_FILE_BYTES, Predecessor, Read, Start};
use crate::gateway::Gateway;
use crate::gateway::shadow::state::Why;
use crate::gateway::shadow::{Candidate, Shadow};
use crate::gateway::snapshot::Snapshot;
use crate::ledger::Ledger;
use crate::platform::clock::unix_seconds;
use crate::platform::files;
use crate::policy::account::directory::change::AccountChange;

/// The end of the name under which the file is kept that a promoted candidate replaces.
const BEFORE: &str = ".before";

/// Something that is to be done with a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Have the candidate in this file judge.
    Start(PathBuf),
    Promote,
    Drop,
}

/// Why it was not done.
#[derive(Debug)]
pub enum ShadowError {
    /// What is wrong with the candidate, or cannot change while the process runs.
    Mistakes(Mistakes),
    /// What to do instead.
    Refused(Cow<'static, str>),
}

impl fmt::Display for ShadowError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShadowError::Mistakes(mistakes) => mistakes.fmt(formatter),
            ShadowError::Refused(why) => formatter.write_str(why),
        }
    }
}

impl std::error::Error for ShadowError {}

impl From<Mistakes> for ShadowError {
    fn from(mistakes: Mistakes) -> ShadowError {
        ShadowError::Mistakes(mistakes)
    }
}

/// No candidate judges.
pub const NONE: ShadowError =
    ShadowError::Refused(Cow::Borrowed("There is no shadow. Start one with `tollgate shadow start`."));

/// A candidate that judges, and the files that it was made of.
#[derive(Debug)]
pub struct Measured {
    path: PathBuf,
    read: Read,
    /// A digest of what the files held when they were read.
    content: [u8; 32],
}

/// What a candidate is loaded beside.
#[derive(Clone, Copy)]
pub struct Beside<'w> {
    /// The file of the configuration in force.
    pub own: &'w Path,
    pub gateway: &'w Gateway,
    pub ledger: &'w Arc<Ledger>,
    /// What can only be set at the start.
    pub start: &'w Start,
    pub store: Option<&'w dyn AccountSource>,
}

/// A candidate that has begun.
pub struct Begun {
    pub measured: Measured,
    /// What it is, in words.
    pub summary: String,
    /// The snapshot before, for whoever frees it.
    pub before: Arc<Snapshot>,
}

fn refused(why: String) -> ShadowError {
    ShadowError::Refused(format!("Nothing was started. {why}").into())
}

/// Loads a candidate and has it judge from now on, in place of one that may judge already.
///
/// # Errors
/// Every mistake in it, a test of it that fails, what cannot change while the process runs, or that its file is elsewhere.
pub fn start(path: &Path, beside: Beside<'_>) -> Result<Begun, ShadowError> {
    let path = &as_from(beside.own, path)?;
    let snapshot = beside.gateway.snapshot();
    let in_force = &snapshot.policy;
    let credit_account = |account: &str, product: &str| beside.ledger.credit_account(account, product);
    let predecessor = Predecessor { policy: in_force, credit_account: &credit_account };
    let loaded_at = SystemTime::now();
    let (loaded, read) = config::load_and_note(path, Some(&predecessor));
    let content = content::of_all(&read);
    if content::any_newer(&read, loaded_at) {
        return Err(refused("Files of the candidate are being written; try again.".to_owned()));
    }
    let name = path.display().to_string();
    let by = (&**in_force, beside.store);
    let mut config = loaded.and_then(|config| tests_first::pass(config, beside.start, by, (&name, unix_seconds())))?;
    accounts::beside(&mut config.policy, in_force, beside.store)
        .map_err(|why| refused(format!("The store cannot be read: {why}.")))?;
    let (summary, warnings) = (config.summary(&name), warnings(&config));
    let ledger = Arc::clone(beside.ledger);
    let granted = move |account: &str, product: &str| {
        ledger.credit_account(account, product).map(|credit_account| credit_account.shown().granted)
    };
    let candidate = Candidate { file: &name, policy: &config.policy, in_force, granted: Box::new(granted) };
    let started = Shadow::start(candidate, beside.gateway.now());
    let shadow = started.map_err(|why| refused(format!("There is no thread for the candidate: {why}.")))?;
    beside.gateway.shadows().begins(&shadow);
    let before = beside.gateway.shadow_by(Some(shadow));
    log::info!(target: "tollgate::shadow", "the shadow of {name} judges beside the configuration in force");
    Ok(Begun { measured: Measured { path: path.to_owned(), read, content }, summary: summary + &warnings, before })
}

fn warnings(config: &Config) -> String {
    config.warnings.iter().take(config::MOST_WARNINGS).map(|warning| format!("  {warning}\n")).collect()
}

/// The path of a candidate in the way that the configuration in force was named: from the same working directory, so that
/// files which both name have the same paths.
///
/// # Errors
/// That it is elsewhere than beside the configuration in force: names in it would lead to other files once it has taken that
/// one's place, and nobody is to have files of the machine read by way of their mistakes.
fn as_from(own: &Path, path: &Path) -> Result<PathBuf, ShadowError> {
    let directory = |path: &Path| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new(".")).canonicalize().ok()
    };
    let is_beside = directory(own).is_some_and(|own| directory(path) == Some(own));
    if !is_beside {
        return Err(refused(format!("Put the candidate into the directory of {}.", own.display())));
    }
    match path.file_name() {
        Some(name) if Some(name) != own.file_name() => Ok(own.with_file_name(name)),
        Some(_) | None => Err(refused("This file is in force; name another one.".to_owned())),
    }
}

/// Ends the candidate that judges, if one does; the snapshot before comes back.
pub fn end(gateway: &Gateway, why: Why) -> Option<Arc<Snapshot>> {
    let snapshot = gateway.snapshot();
    snapshot.shadow.as_ref()?.state().end(why);
    Some(gateway.shadow_by(None))
}

/// Lets go of a candidate that has ended by itself, or that has not come to an end with one item until `now` for long.
pub fn watch(gateway: &Gateway, now: Instant) -> Option<Arc<Snapshot>> {
    let snapshot = gateway.snapshot();
    let state = snapshot.shadow.as_ref()?.state();
    state.watch(now);
    state.ended().map(|_| gateway.shadow_by(None))
}

/// Has the candidate follow changes of the store's accounts that have come into force.
pub fn follow(gateway: &Gateway, changes: &[AccountChange], store: Option<&dyn AccountSource>) {
    let snapshot = gateway.snapshot();
    let Some(shadow) = &snapshot.shadow else { return };
    match accounts::changes_beside(changes, (shadow.frame(), &snapshot.policy), store) {
        Ok(changes) => shadow.change_accounts(&changes, &snapshot.policy, gateway.now()),
        Err(why) => {
            log::warn!(target: "tollgate::shadow", "the shadow does not know changed accounts, which will differ: {why}");
        }
    }
}

/// What a promoted candidate has replaced.
pub struct Replaced {
    path: PathBuf,
    text: Vec<u8>,
}

impl Measured {
    /// Puts the text of the candidate in place of the configuration's, whose text is kept beside it. Nothing is loaded yet.
    ///
    /// # Errors
    /// That files of the candidate are not what was measured, or that the file cannot be written; then nothing has changed.
    pub fn replace(&self, own: &Path) -> Result<Replaced, ShadowError> {
        let refused = |why: String| ShadowError::Refused(format!("Nothing was changed. {why}").into());
        let read = |path: &Path| files::bytes(path, MAX_FILE_BYTES);
        let cannot = |path: &Path, why: &dyn fmt::Display| {
            refused(format!(
                "{}: {why}. Put the text of {} there yourself; it counts within a second.",
                path.display(),
                self.path.display()
            ))
        };
        // A link stays one.
        let path = own.canonicalize().map_err(|why| cannot(own, &why))?;
        let candidate = read(&self.path).map_err(|why| cannot(&self.path, &why))?;
        // Behind the text that was read, so that it is what was measured.
        if content::of_all(&self.read) != self.content {
            let why = format!("Files of {} have changed since; start its shadow again.", self.path.display());
            return Err(refused(why));
        }
        let text = read(&path).map_err(|why| cannot(&path, &why))?;
        if text != candidate {
            write(&with_end(&path, BEFORE), &text, &path).map_err(|why| cannot(&path, &why))?;
            write(&path, &candidate, &path).map_err(|why| cannot(&path, &why))?;
        }
        Ok(Replaced { path, text })
    }
}

impl Replaced {
    /// Puts the text back that was there.
    pub fn undo(&self) {
        if let Err(why) = write(&self.path, &self.text, &self.path) {
            let before = with_end(&self.path, BEFORE);
            log::error!(
                target: "tollgate::shadow",
                "{} could not be put back: {why}; its text is in {}",
                self.path.display(),
                before.display()
            );
        }
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

/// Writes a file as a whole or not at all, with the permissions of another one.
fn write(path: &Path, text: &[u8], like: &Path) -> std::io::Result<()> {
    let permissions: Permissions = fs::metadata(like)?.permissions();
    let unfinished = with_end(path, ".new");
    let written = fs::File::create(&unfinished).and_then(|mut file| {
        file.set_permissions(permissions)?;
        file.write_all(text)?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&unfinished, path));
    renamed.inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
    // So that the name is on the disk as well; not every file system can say so of a directory.
    if let Some(Ok(directory)) = path.parent().map(fs::File::open) {
        let _ = directory.sync_all();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_named_as_the_configuration_in_force_is() {
        // Tests are run in the directory of the manifest.
        let whole = std::env::current_dir().unwrap();
        for (own, path, expected) in [
            (PathBuf::from("Cargo.toml"), whole.join("deny.toml"), Some(PathBuf::from("deny.toml"))),
            (PathBuf::from("./Cargo.toml"), PathBuf::from("deny.toml"), Some(PathBuf::from("./deny.toml"))),
            (whole.join("Cargo.toml"), PathBuf::from("deny.toml"), Some(whole.join("deny.toml"))),
            (PathBuf::from("Cargo.toml"), whole.join("Cargo.toml"), None),
            (PathBuf::from("Cargo.toml"), whole.join("src/lib.rs"), None),
        ] {
            let found = as_from(&own, &path).ok();
            assert_eq!(found, expected, "{} beside {}", path.display(), own.display());
        }
    }
}
