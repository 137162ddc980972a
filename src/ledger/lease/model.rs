//! Nodes, centre and janitor in a world of lost messages, crashes, partitions and failovers, explored.
//!
//! The types of the protocol themselves are run; what must hold is counted beside them, from what requests have really
//! held and got (`check`). `search` goes through every order of events within bounds, `schedule` through random ones
//! that are longer, and `mutants` breaks each rule and shows what goes wrong.

mod action;
mod check;
mod digest;
mod exhaustive;
mod heal;
mod mutants;
mod options;
pub mod schedule;
mod search;
pub mod setup;
mod words;
pub mod world;
