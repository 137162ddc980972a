//! The Self Service Portal: customers and operators in a browser.
//!
//! It has a listener and a thread of its own. A page is made on the server and works without script. It never reads or
//! changes what is in the store itself: it asks the management API, in this process, for the person who has signed in
//! (`ask.rs`), so that who may do what stands in one table, that of the API (`operate/api/routes.rs`).
//!
//! * `page.rs` is a page: method, path, who is let in, handler; `visit.rs` is what a handler is given;
//! * `router.rs` is the table of all pages, and the way from a request to a handler; `state.rs` is what lives as long as
//!   the portal does;
//! * `form.rs` reads forms, and refuses those of other sites;
//! * `look.rs` tells an account of operators who look at it;
//! * `frame.rs` is the frame of every page, `answer.rs` what is sent;
//! * `change_mail.rs` tells owners what was changed;
//! * `sign_in/` is who people are; `pages/` has a file for each topic; `chart.rs` draws.

pub mod answer;
pub mod ask;
pub mod change_mail;
pub mod chart;
pub mod demo;
pub mod form;
pub mod frame;
pub mod look;
mod mailing;
pub mod page;
pub mod pages;
pub mod people;
pub mod person;
pub mod router;
pub mod sign_in;
pub mod state;
pub mod visit;
pub mod words;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod path_tests;
#[cfg(test)]
mod secret_tests;
#[cfg(test)]
mod shadow_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk_tests;
