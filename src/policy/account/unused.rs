//! Copies of accounts of which nothing is used: for requests that are judged and not sent.
//!
//! A copy shares what never changes with its account, and nothing that is counted.

use std::sync::Arc;

use super::{Account, CreditAccounts};
use crate::policy::credits::CreditAccount;
use crate::policy::rate::{Rate, Tat};

impl Account {
    /// The same account as if nobody had used it. Its balances have nothing yet; the first grant of each is as
    /// configured, or `credits`.
    pub fn unused(&self, credits: Option<u64>) -> Account {
        Account {
            name: Arc::clone(&self.name),
            rate: self.rate.unused(),
            meter: self.meter.as_ref().map(|meter| Arc::new(meter.unused())),
            account_info_rate: Tat::default(),
            credit_accounts: self.credit_accounts.unused(credits),
            keys: self.keys.clone(),
        }
    }
}

impl CreditAccounts {
    fn unused(&self, credits: Option<u64>) -> CreditAccounts {
        let copy = |known: &Arc<CreditAccount>| {
            let (account, product) = (Arc::clone(&known.account), Arc::clone(&known.product));
            Arc::new(CreditAccount::new(account, product, credits.unwrap_or(known.first_grant)))
        };
        match self {
            CreditAccounts::None => CreditAccounts::None,
            CreditAccounts::One(product, known) => CreditAccounts::One(*product, copy(known)),
            CreditAccounts::Several(several) => {
                CreditAccounts::Several(several.iter().map(|(product, known)| (*product, copy(known))).collect())
            }
        }
    }
}

impl Rate {
    fn unused(&self) -> Rate {
        match self {
            Rate::Unlimited => Rate::Unlimited,
            Rate::Limited(window, _) => Rate::within(Arc::clone(window)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::policy::limit::{Asker, Limits};
    use crate::policy::meter::Meter;
    use crate::policy::now::Now;
    use crate::policy::rate::{Allowance, Window};

    const NOW: Now = Now { monotonic: Duration::ZERO, unix_seconds: 1_800_000_000, unix_nanos: 0 };

    #[test]
    fn what_a_copy_uses_is_not_used_of_its_account() {
        let one = NonZeroU32::MIN;
        let allowance = Allowance { limit: one, period: Duration::from_secs(60), burst: one };
        let credits = Arc::new(CreditAccount::new("acme".into(), "plate".into(), 7));
        assert!(credits.balance().grant(3));
        let account = Account {
            name: "acme".into(),
            rate: Rate::within(Arc::new(Window::new(allowance))),
            meter: Some(Arc::new(Meter::new("acme".into(), None, Arc::new(Limits::of(&[])), Some(one)))),
            account_info_rate: Tat::default(),
            credit_accounts: vec![(0, Arc::clone(&credits))].into(),
            keys: smallvec::SmallVec::new(),
        };
        for (stated, granted) in [(None, 7), (Some(1), 1)] {
            let copy = account.unused(stated);
            assert_eq!((copy.rate.take(NOW), copy.rate.take(NOW).is_err()), (Ok(()), true));
            let _seat = copy.meter.as_ref().unwrap().enter().unwrap();
            let of_copy = copy.credit_accounts.of(0).unwrap();
            assert_eq!((of_copy.first_grant, of_copy.snapshot().granted), (granted, 0));
            assert!(of_copy.balance().grant(granted));
        }
        assert_eq!(credits.snapshot().available, 3);
        assert_eq!(account.meter.as_ref().unwrap().in_flight().map(|(now, _)| now), Some(0));
        assert!(account.limits(Asker { product: None, token: "" }, NOW).is_empty());
        assert_eq!(account.rate.take(NOW), Ok(()));
    }
}
