//! What a lookup is given and what it finds.
//!
//! How it is found is `look_up.rs`.

use std::sync::Arc;

use super::idempotency::Lead;
use super::idempotency::kept_answer::KeptAnswer;
use super::shares::Share;
use super::snapshot::Snapshot;
use crate::ledger::bill::Bill;
use crate::policy::admit::Headroom;
use crate::policy::http::head::Head;
use crate::policy::respond::{Context, Delivered};
use crate::upstream::exchange::Answer;

/// The answer to a lookup, and what is due for it.
pub(super) struct LookedUp<'g> {
    pub found: Found<'g>,
    pub bill: Bill<'g>,
    /// Of an answer that is kept and not paid yet.
    pub lead: Option<Lead<'g>>,
    /// Where accounts share the requests of the gateway.
    pub share: Option<Share<'g>>,
}

/// Where an answer is from.
pub(super) enum Found<'g> {
    Asked(Answer<'g>),
    /// An earlier request with the same key; with the headers that pass.
    Kept(Arc<KeptAnswer>, Vec<(u8, Box<[u8]>)>),
}

impl Found<'_> {
    /// The answer as it is passed on.
    pub(super) fn delivered(&self) -> Delivered<'_> {
        match self {
            Found::Asked(answer) => answer.delivered(),
            Found::Kept(answer, passed) => Delivered {
                body: &answer.body,
                passing: &answer.passing,
                content_type: answer.content_type.as_deref(),
                passed,
                is_replayed: true,
            },
        }
    }
}

/// What of a lookup stays the same from its head to its answer.
#[derive(Clone, Copy)]
pub(super) struct Lookup<'a, 'g> {
    pub snapshot: &'g Snapshot,
    pub head: &'a Head<'a>,
    pub context: &'a Context<'a, 'a>,
    pub headroom: Headroom,
}
