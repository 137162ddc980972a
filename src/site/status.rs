//! The public status of the products: how available they were, how fast, and what was wrong.
//!
//! Each request adds one count (`telemetry/traffic.rs`). A thread (`operate/status_recorder.rs`)
//! rolls the counts up (`history.rs`), looks for incidents (`burn.rs`, `incident.rs`), has the
//! ledger's thread write both to disk, and renders the pages (`report.rs`, `html.rs`, `json.rs`,
//! `feed.rs`). Nothing here identifies a customer or a backend, and no page shows how much traffic
//! there was. Here, time is an argument.

pub mod book;
pub mod burn;
pub mod example;
mod feed;
pub mod history;
mod html;
pub mod incident;
mod json;
pub mod notice;
pub mod publish;
pub mod report;

use crate::policy::seconds::Seconds;
use burn::Burn;
use notice::Notice;

/// The configuration of the status page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusSettings {
    pub burn: Burn,
    pub notices: Box<[Notice]>,
}

/// The longest step of the history.
const LONGEST_STEP: Seconds = 60;

/// The fewest steps in the shortest window.
const STEPS_OF_A_WINDOW: Seconds = 5;

impl StatusSettings {
    /// The length of a step of the history, in seconds: a minute, or less if a window is short.
    pub fn step(&self) -> Seconds {
        (self.burn.shortest() / STEPS_OF_A_WINDOW).clamp(1, LONGEST_STEP)
    }
}
