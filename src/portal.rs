//! The Self Service Portal: customers and operators in a browser.
//!
//! It has a listener and a thread of its own. A page is made on the server and works without script. It never reads or
//! changes what is in the store itself: it asks the management API, in this process, for the person who has signed in
//! (`ask.rs`), so that who may do what stands in one table, that of the API (`operate/api/routes.rs`).
//!
//! * `router.rs` is the table of pages: method, path, who is let in, handler; `visit.rs` is what a handler is given;
//! * `form.rs` reads forms, and refuses those of other sites;
//! * `look.rs` tells an account of operators who look at it;
//! * `frame.rs` is the frame of every page, `answer.rs` what is sent;
//! * `sign_in/` is who people are; `pages/` has a file for each topic; `chart.rs` draws.

pub mod answer;
pub mod ask;
pub mod chart;
pub mod demo;
pub mod form;
pub mod frame;
pub mod look;
pub mod pages;
pub mod people;
pub mod router;
pub mod sign_in;
pub mod visit;
pub mod words;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod path_tests;
#[cfg(test)]
mod secret_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk_tests;

use std::sync::Arc;

use crate::config::portal::PortalSettings;
use crate::gateway::Gateway;
use crate::gateway::snapshot::Settings;
use crate::ledger::store::Store;
use crate::operate::api::client::InProcess;
use sign_in::SignIn;

/// What every page is made with.
pub struct Portal {
    pub api: InProcess,
    /// For people and their sessions alone; everything else is asked of the API.
    pub store: Arc<Store>,
    pub settings: PortalSettings,
    pub gateway: Arc<Gateway>,
    /// What signing in needs.
    pub sign_in: SignIn,
}

impl Portal {
    /// The settings of the configuration in force, with the look of the pages.
    pub fn look(&self) -> Arc<Settings> {
        Arc::clone(&self.gateway.snapshot().settings)
    }
}
