//! What is written in one transaction: which rows stand for which charges, and in which order.

use std::sync::Arc;

use super::entry::{Draft, FIRST_GRANT, Kind, Position, Reference};
use super::{Charge, Stage};
use crate::policy::credits::Licence;

/// Charges of one licence in one batch that get a row each, with their Transaction-Ids; when there
/// are more, they share one row.
const MAX_SINGLE_ROWS: usize = 16;

/// What is written in one transaction.
#[derive(Default)]
pub struct Batch {
    pub position: Position,
    pub drafts: Vec<Draft>,
    pub charges: Vec<Charge>,
    pub first_grants: Vec<Arc<Licence>>,
    /// A licence that is granted so much, or of which so much is taken back.
    pub correction: Option<(Arc<Licence>, i64)>,
}

impl Batch {
    /// A batch of charges. `is_due` tells whether the first grant of a licence is not written yet.
    pub fn of_charges(position: Position, mut charges: Vec<Charge>, is_due: impl Fn(&Arc<Licence>) -> bool) -> Batch {
        // Nobody waits for these any more.
        charges.retain(|charge| !matches!(&charge.stage, Stage::Waiting(waiting) if waiting.is_closed()));
        // Equal licences come to stand together, and what is given back before what may already be
        // paid with it. A refund's own charge was written before, by another batch.
        charges.sort_by_key(|charge| (address(&charge.licence), !matches!(charge.stage, Stage::Undelivered)));
        let mut batch = Batch { position, ..Batch::default() };
        for group in charges.chunk_by(|one, other| address(&one.licence) == address(&other.licence)) {
            if let Some(first) = group.first().filter(|first| is_due(&first.licence)) {
                batch.first_grant(&first.licence);
            }
            let single = |charge: &Charge| group.len() <= MAX_SINGLE_ROWS || !matches!(charge.stage, Stage::Delivered);
            batch.drafts.extend(group.iter().filter(|charge| single(charge)).map(draft_of_one));
            let shared: Vec<&Charge> = group.iter().filter(|charge| !single(charge)).collect();
            batch.drafts.extend(draft_of_several(&shared));
        }
        batch.charges = charges;
        batch
    }

    /// Adds the first grant of a licence, which has to stand before its other rows.
    pub fn first_grant(&mut self, licence: &Arc<Licence>) {
        let amount = i64::try_from(licence.first_grant).unwrap_or(i64::MAX);
        self.drafts.push(Draft {
            key: Some(FIRST_GRANT.to_owned()),
            by: "configuration".to_owned(),
            why: "the account's first grant".to_owned(),
            ..draft(licence, Kind::Grant, amount)
        });
        self.first_grants.push(Arc::clone(licence));
    }
}

/// A row with nothing but what every row has.
pub fn draft(licence: &Licence, kind: Kind, amount: i64) -> Draft {
    Draft {
        account: Arc::clone(&licence.account),
        product: Arc::clone(&licence.product),
        kind,
        amount,
        lookups: 0,
        reference: Reference::Batch,
        key: None,
        by: "gateway".to_owned(),
        why: String::new(),
    }
}

fn draft_of_one(charge: &Charge) -> Draft {
    let credits = i64::from(charge.credits);
    let (kind, amount, why) = match charge.stage {
        Stage::Delivered | Stage::Waiting(_) => (Kind::Charge, -credits, ""),
        Stage::Undelivered => (Kind::Refund, credits, "the answer was not delivered"),
    };
    Draft {
        lookups: 1,
        reference: Reference::Transaction(charge.transaction),
        why: why.to_owned(),
        ..draft(&charge.licence, kind, amount)
    }
}

fn draft_of_several(charges: &[&Charge]) -> Option<Draft> {
    let licence = &charges.first()?.licence;
    let credits: i64 = charges.iter().map(|charge| i64::from(charge.credits)).sum();
    let lookups = i64::try_from(charges.len()).unwrap_or(i64::MAX);
    Some(Draft { lookups, ..draft(licence, Kind::Charge, -credits) })
}

/// What tells one licence from another without comparing names.
pub fn address(licence: &Arc<Licence>) -> usize {
    Arc::as_ptr(licence).addr()
}
