//! The centre of leases in PostgreSQL: each message of the protocol is one transaction.
//!
//! What a transaction decides is `lease::centre`, the very code that the model explores. Around it, the rows that it
//! looks at are read and locked, and those that it has changed are written. No rule of the protocol is here, and no
//! clock takes part.
//!
//! | file | what |
//! |---|---|
//! | `names` | numbers for accounts and products, which the protocol's keys have |
//! | `rows` | keys, counters and states as the tables have them |
//! | `load` | the part of the centre that a message is about, read and locked |
//! | `save` | what has changed of it, written |
//! | `centre` | the transactions of the protocol |
//! | `grants` | what there is to lease: grants, limits of quotas, periods that are over |
//! | `entries` | what people are shown: grants, balances of all gateways together, gateways |
//!
//! Transactions run beside each other, and come to what one after the other would have:
//!
//! * the row of an identity is locked by whatever it writes, and by who fences it; its leases, recalls and unpaid
//!   charges are written under that lock alone;
//! * a balance is locked by who decides by it (acquisitions and late charges), in one order of names; all others add a
//!   difference to it. The row of a quota's period is kept from being removed meanwhile;
//! * while an epoch is closed, or ends, its one row is locked by everybody. An epoch never closes again, and a server
//!   has one history from its start to its end, so that nothing has to be locked while it is open.
//!
//! Who found others in the way (SQLSTATE 40001, 40P01, or a row that was added meanwhile) begins anew. Nothing outlasts a
//! transaction, so that a pooler may stand between.

pub mod centre;
pub mod entries;
pub mod grants;
mod load;
pub mod names;
mod rows;
mod save;
#[cfg(test)]
mod tests;
