//! How requests end of the accounts for which a new policy counts first, and of all others.

use std::sync::Arc;

use super::counters::Count;
use super::tables::Ending;
use crate::policy::staging::{AccountShare, BothEnds, Ends, StagingRules};

/// Which accounts a request is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounts {
    Share,
    Others,
}

/// The counts of both.
#[derive(Debug)]
pub struct StagingCounts {
    /// The accounts that are told apart.
    pub share: AccountShare,
    of_share: EndCounts,
    of_others: EndCounts,
}

#[derive(Debug, Default)]
struct EndCounts {
    requests: Count,
    refused: Count,
    failed: Count,
}

impl StagingCounts {
    /// Counts that begin at 0.
    fn new(share: AccountShare) -> StagingCounts {
        StagingCounts { share, of_share: EndCounts::default(), of_others: EndCounts::default() }
    }

    /// Those of a configuration with these rules: the ones of the configuration before, if they are of the same accounts.
    pub fn following(before: Option<&Arc<StagingCounts>>, rules: Option<StagingRules>) -> Option<Arc<StagingCounts>> {
        let share = rules?.share;
        let known = before.filter(|counts| counts.share == share);
        Some(known.map_or_else(|| Arc::new(StagingCounts::new(share)), Arc::clone))
    }

    /// The accounts that one belongs to.
    pub fn accounts_of(&self, account: &str) -> Accounts {
        if self.share.has(account) { Accounts::Share } else { Accounts::Others }
    }

    /// Counts the end of a request, with its status. One whose client has gone was not answered, and a preflight is nobody's.
    pub(super) fn count(&self, accounts: Accounts, ending: Ending, status: u16, is_failure: bool) {
        let counts = match accounts {
            Accounts::Share => &self.of_share,
            Accounts::Others => &self.of_others,
        };
        match ending {
            Ending::Gone | Ending::Preflight => return,
            Ending::Refused(_) if is_failure || status >= 500 => counts.failed.add_one(),
            Ending::Refused(_) => counts.refused.add_one(),
            Ending::Answered | Ending::Passed(_) if is_failure => counts.failed.add_one(),
            Ending::Answered | Ending::Passed(_) => {}
        }
        counts.requests.add_one();
    }

    /// All of them so far.
    pub fn ends(&self) -> BothEnds {
        let ends = |counts: &EndCounts| Ends {
            requests: counts.requests.sum(),
            refused: counts.refused.sum(),
            failed: counts.failed.sum(),
        };
        BothEnds { share: ends(&self.of_share), others: ends(&self.of_others) }
    }
}
