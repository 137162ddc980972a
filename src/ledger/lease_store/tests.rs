//! The centre in a database, compared with the centre of the model, and with several that write at once.

mod beside;
mod compare;
mod history;
mod single;
mod tables;
