//! The content of one transaction: which charges share a row, and the order of rows.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::entry::{Draft, FIRST_GRANT, Kind, Position, Reference};
use super::order::{Charge, Stage};
use crate::policy::credits::CreditAccount;
use crate::policy::meter::Meter;

/// The most charges of one credit account in one batch that get a row each, with their Transaction-Ids; more than that
/// share one row.
const MAX_SINGLE_ROWS: usize = 16;

/// The content of one transaction.
#[derive(Default)]
pub struct Batch {
    pub position: Position,
    pub drafts: Vec<Draft>,
    pub charges: Vec<Charge>,
    pub first_grants: Vec<Arc<CreditAccount>>,
    /// A credit account and the amount that is granted to it or taken from it.
    pub correction: Option<(Arc<CreditAccount>, i64)>,
    /// Accounts whose quotas have counted, and who waits until that is written.
    pub counted: Vec<Arc<Meter>>,
    pub waiting: Vec<oneshot::Sender<()>>,
}

impl Batch {
    /// A batch of charges. `is_due` returns whether the first grant of a credit account has not been written yet.
    pub fn of_charges(
        position: Position,
        mut charges: Vec<Charge>,
        is_due: impl Fn(&Arc<CreditAccount>) -> bool,
    ) -> Batch {
        // Drops charges whose answer has been given up meanwhile.
        charges.retain(|charge| !matches!(&charge.stage, Stage::Waiting(waiting) if waiting.is_closed()));
        // Groups rows by credit account, refunds before charges that may use them. The charge of a refund was written
        // by an earlier batch.
        charges.sort_by_key(|charge| (address(&charge.credit_account), !matches!(charge.stage, Stage::Undelivered)));
        let mut batch = Batch { position, ..Batch::default() };
        for group in charges.chunk_by(|one, other| address(&one.credit_account) == address(&other.credit_account)) {
            if let Some(first) = group.first().filter(|first| is_due(&first.credit_account)) {
                batch.first_grant(&first.credit_account);
            }
            let single = |charge: &Charge| group.len() <= MAX_SINGLE_ROWS || !matches!(charge.stage, Stage::Delivered);
            batch.drafts.extend(group.iter().filter(|charge| single(charge)).map(draft_of_one));
            let shared: Vec<&Charge> = group.iter().filter(|charge| !single(charge)).collect();
            batch.drafts.extend(draft_of_several(&shared));
        }
        batch.charges = charges;
        batch
    }

    /// Adds the first grant of a credit account, which must come before its other rows.
    pub fn first_grant(&mut self, credit_account: &Arc<CreditAccount>) {
        let amount = i64::try_from(credit_account.first_grant).unwrap_or(i64::MAX);
        self.drafts.push(Draft {
            key: Some(FIRST_GRANT.to_owned()),
            by: "configuration".to_owned(),
            why: "the account's first grant".to_owned(),
            ..draft(credit_account, Kind::Grant, amount)
        });
        self.first_grants.push(Arc::clone(credit_account));
    }
}

/// A row with only the required members.
pub fn draft(credit_account: &CreditAccount, kind: Kind, amount: i64) -> Draft {
    Draft {
        account: Arc::clone(&credit_account.account),
        product: Arc::clone(&credit_account.product),
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
        ..draft(&charge.credit_account, kind, amount)
    }
}

fn draft_of_several(charges: &[&Charge]) -> Option<Draft> {
    let credit_account = &charges.first()?.credit_account;
    let credits: i64 = charges.iter().map(|charge| i64::from(charge.credits)).sum();
    let lookups = i64::try_from(charges.len()).unwrap_or(i64::MAX);
    Some(Draft { lookups, ..draft(credit_account, Kind::Charge, -credits) })
}

/// An address that identifies a credit account without comparing names.
pub fn address(credit_account: &Arc<CreditAccount>) -> usize {
    Arc::as_ptr(credit_account).addr()
}
