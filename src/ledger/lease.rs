//! Credits across nodes by leases: the protocol, as pure types without I/O, clock and randomness.
//!
//! The *centre* (rows in one database) has for each credit account what was granted and what is allotted; a *node* has
//! what it took of that as a lease, sells it without asking anybody, and writes it in its own journal. Three counters
//! of a lease only grow and are sent as totals: `taken`, `returned`, `spent`. So a message that arrives twice, late or
//! never changes nothing, and `granted = available + Σ(taken - returned)` at every moment.
//!
//! | file | what |
//! |---|---|
//! | [`terms`] | the times that all agree on, and every rule by name |
//! | [`message`] | requests, answers, counters, epochs |
//! | [`node`] | one identity of a node: its states, its requests, what it makes of answers |
//! | [`holding`] | what one identity has of one key: holds, charges, returns |
//! | [`demand`] | how much to ask for, when to return, what to tell a request that finds too little |
//! | [`driver`] | what a gateway sends, and when |
//! | [`centre`] | the rows, and one function for each transaction |
//! | [`janitor`] | which identities have been silent for too long, by counted heartbeats |
//! | [`table`] | a small ordered table |
//!
//! An identity is joining, live, draining, expired, and at its end retired or fenced; never live again. A process that
//! starts, or whose identity has ended, takes a new one. What the journal of an ended identity still has to be paid is
//! charged where credits are available, and otherwise written down as unpaid: the operator's gift.
//!
//! A failover that lost commits begins a new epoch. No credits are leased in it until all live identities have declared
//! their counters, or have been silent for long enough to be fenced.
//!
//! `model/` (tests) runs nodes, centre and janitor through every order of messages, losses, crashes and failovers within
//! bounds, and breaks each rule to show what it is for.

pub mod centre;
pub mod demand;
pub mod driver;
pub mod holding;
pub mod janitor;
pub mod message;
#[cfg(test)]
pub(super) mod model;
pub mod node;
pub mod table;
pub mod terms;
