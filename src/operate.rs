//! The process: start, signals, reload, certificates, upgrade, the admin API and its metrics, the recorder and the store of
//! the status, `explain`, and the demo.

pub mod admin;
pub(crate) mod alerts;
pub(crate) mod answer_recorder;
pub mod api;
pub(crate) mod billing;
pub mod cases;
pub(crate) mod certificates;
pub mod demo;
pub mod expiry_metrics;
pub mod explain;
pub mod failure;
pub mod importing;
pub(crate) mod jwks;
pub mod metrics;
pub mod output;
pub mod reload;
pub mod replay;
pub mod server;
pub mod shadow;
pub mod stage;
pub mod status_recorder;
pub mod status_store;
pub mod store_feed;
pub mod upgrade;
pub(crate) mod usage_recorder;
