//! The tests of the gateway from outside: the real program, real connections, and backends that
//! misbehave on purpose.
#![allow(dead_code)] // Each binary uses a part of what tests share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::needless_borrows_for_generic_args,
    clippy::nonminimal_bool
)]

mod admin;
mod alerts;
mod billing;
mod cases;
mod changes;
mod cluster;
mod command_line;
mod contract;
mod corpora;
mod credits;
mod database;
mod delivery;
mod dependencies;
mod documents;
mod examples;
mod explain;
mod faults;
mod init;
mod journal;
mod limits;
mod listeners;
mod lists;
mod management;
mod order;
mod overload;
mod pages;
mod problems;
mod reload;
mod schema;
mod servers;
mod shadow;
mod shape;
mod staged;
mod status;
mod store;
mod support;
mod telemetry;
mod tls;
mod traces;
mod upgrade;
mod upstream;
mod usage;
