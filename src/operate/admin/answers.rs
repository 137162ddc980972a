//! The answers of the admin API, as types: written by the gateway, read by the command line, and
//! described by the OpenAPI document.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ledger::entry::{Entry, Statement};
use crate::site::status::notice::Shown;

/// The state of the process.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Status")]
pub struct Status {
    /// `ok`.
    pub status: String,
}

/// Upstreams with their servers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Upstreams")]
pub struct Upstreams {
    /// One object for each upstream: its name, its breaker, its servers, and its limit of requests if it has one.
    pub upstreams: Vec<Value>,
}

/// The configuration in force.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Configuration")]
pub struct Config {
    /// The configuration with all defaults, and with `***` instead of secrets.
    pub config: Value,
    /// The number of accounts; if there are many, only the first are shown.
    pub accounts_in_all: usize,
}

/// The answer to a reload.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Reloaded")]
pub struct Reloaded {
    /// `reloaded`.
    pub status: String,
    /// What has changed.
    pub detail: String,
}

/// The answer to an upgrade.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Upgraded {
    /// `upgraded`.
    pub status: String,
    /// The process ID of the successor.
    pub process: u32,
}

/// The candidate that is to judge.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShadowStart {
    /// The full path of its file, in the directory of the configuration in force.
    pub config: String,
}

/// The answer to a start, a promotion or the end of a shadow.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Shadowed {
    /// `started`, `promoted` or `dropped`.
    pub status: String,
    /// What it is, in words.
    pub detail: String,
}

/// The answer to the end of a stage.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Staged {
    /// `promoted` or `back`.
    pub status: String,
    /// What it is, in words.
    pub detail: String,
}

/// The notes and the maintenance of the status page.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Notices")]
pub struct Notices {
    pub notices: Vec<Shown>,
}

/// Some balances.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Balances")]
pub struct Balances {
    pub balances: Vec<Statement>,
}

/// Some rows of the ledger.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Entries")]
pub struct Entries {
    pub entries: Vec<Entry>,
}

/// Why a request was refused.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Refusal")]
pub struct Refusal {
    /// `refused`.
    pub status: String,
    /// What is wrong, and what to do instead.
    pub detail: String,
}
