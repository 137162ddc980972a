//! What commands share that have a running gateway do something, by way of its admin API.

use std::io::Write;
use std::path::Path;

use serde::Deserialize;

use crate::config;
use crate::operate::admin::client::Client;
use crate::operate::failure::Failure;
use crate::operate::output::say;

/// What a gateway of an earlier version says.
const NOTHING: &str = "the running version of the gateway does not support this; upgrade it";

/// What was done, in words. Other members of the answer are not needed here.
#[derive(Deserialize)]
struct Done {
    detail: String,
}

/// The running gateway of a configuration, which may be of an earlier version.
///
/// # Errors
/// Every mistake in the configuration.
pub fn client(config: &Path) -> Result<Client, Failure> {
    Ok(Client::new(&config::load(config)?, NOTHING))
}

/// Has it do what a POST without a body asks for, and prints what was done.
///
/// # Errors
/// Why it was not done.
pub fn done(config: &Path, path: &str, out: &mut impl Write) -> Result<(), Failure> {
    let Done { detail } = client(config)?.post(path, None, &())?;
    say(out, format!("{}\n", detail.trim_end()))
}
