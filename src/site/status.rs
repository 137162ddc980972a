//! The public status of the products: how available they were, how fast, and what was wrong.
//!
//! Requests leave one count each (`traffic.rs`), which a thread (`recorder.rs`) rolls up
//! (`history.rs`), watches for incidents (`burn.rs`, `incident.rs`), hands to the ledger's thread to
//! be written down, and makes pages of (`report.rs` and what renders it). Nothing of a customer and
//! no backend is part of any of it, and no page says how much traffic there was. Below the recorder
//! time is an argument.

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

/// What the configuration says of the status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusSettings {
    pub burn: Burn,
    pub notices: Box<[Notice]>,
}

/// The longest step of the history.
const LONGEST_STEP: Seconds = 60;

/// Steps that the shortest window has at the least.
const STEPS_OF_A_WINDOW: Seconds = 5;

impl StatusSettings {
    /// How many seconds a step of the history has: a minute, or less where a window is short.
    pub fn step(&self) -> Seconds {
        (self.burn.shortest() / STEPS_OF_A_WINDOW).clamp(1, LONGEST_STEP)
    }
}
