//! Copies of accounts of which nothing is used, or as much as of the live ones: for requests that are judged and have no effect.
//!
//! A copy shares what never changes with its account, and nothing that is counted.

use std::sync::Arc;

use super::{Account, CreditAccounts};
use crate::policy::credits::CreditAccount;
use crate::policy::now::Now;
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

    /// The same account as a copy of which as much is used as of `live`, the account in force of its name: rates, quotas and
    /// balances begin there, and requests in flight with none. What is held counts as spent, since it mostly will be. A balance
    /// that is not in force yet begins with its first grant.
    pub fn beginning_as(&self, live: Option<&Account>, now: Now) -> Account {
        let copy = self.unused(None);
        match (&copy.meter, live.and_then(|live| live.meter.as_ref())) {
            // One meter does not go on with the other, which still counts.
            (Some(meter), Some(of_live)) => meter.at_least(&of_live.usage(now), now),
            (Some(_) | None, _) => live.into_iter().for_each(|live| copy.inherit(live, now)),
        }
        for own in copy.credit_accounts.iter() {
            let known = live.and_then(|live| live.credit_accounts.iter().find(|known| known.product == own.product));
            let is_begun = known
                .map(|known| known.shown())
                .filter(|known| known.granted > 0)
                .is_some_and(|known| own.balance().load(known.granted, known.spent.saturating_add(known.held)));
            if !is_begun {
                // What cannot be counted is a mistake of the configuration already.
                let _ = own.balance().grant(own.first_grant);
            }
        }
        copy
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
    use std::num::{NonZeroU32, NonZeroU64};
    use std::time::Duration;

    use super::*;
    use crate::policy::limit::{Asker, Limits, Owner};
    use crate::policy::meter::Meter;
    use crate::policy::plan::{Allowances, Quota};
    use crate::policy::rate::{Allowance, Window};

    const NOW: Now = Now { monotonic: Duration::ZERO, unix_seconds: 1_800_000_000, unix_nanos: 0 };

    #[test]
    fn a_copy_begins_with_what_is_used_and_counts_for_itself() {
        let two = NonZeroU32::new(2).unwrap();
        let allowance = Allowance { limit: two, period: Duration::from_secs(60), burst: two };
        let asker = Asker { product: None, token: "" };
        let limits = || {
            let quota = Quota { day: NonZeroU64::new(2), month: None };
            Arc::new(Limits::of(&[(Owner::Account, Allowances { rates: Box::from([allowance]), quota })]))
        };
        let account = |meter: bool, first_grant| Account {
            name: "acme".into(),
            rate: if meter { Rate::Unlimited } else { Rate::within(Arc::new(Window::new(allowance))) },
            meter: meter.then(|| Arc::new(Meter::new("acme".into(), None, limits(), None))),
            account_info_rate: Tat::default(),
            credit_accounts: vec![(0, Arc::new(CreditAccount::new("acme".into(), "plate".into(), first_grant)))].into(),
            keys: smallvec::SmallVec::new(),
        };
        let take = |account: &Account| match &account.meter {
            Some(meter) => meter.take_rates(asker, NOW).and_then(|()| meter.take_quotas(asker, NOW).map(drop)).is_ok(),
            None => account.rate.take(NOW).is_ok(),
        };
        for (of_live, of_candidate) in [(false, false), (true, true), (false, true), (true, false)] {
            let live = account(of_live, 9);
            let credits = live.credit_accounts.of(0).unwrap();
            assert!(credits.balance().grant(9) && take(&live));
            credits.hold(3).unwrap().settle(3);
            let held = credits.hold(2).unwrap();
            let copy = account(of_candidate, 50).beginning_as(Some(&live), NOW);
            let of_copy = copy.credit_accounts.of(0).unwrap();
            assert_eq!((of_copy.snapshot().granted, of_copy.snapshot().available), (9, 4));
            of_copy.hold(4).unwrap().settle(4);
            assert_eq!([take(&copy), take(&copy)], [true, false], "{of_live} {of_candidate}");
            // What the copy has counted is not counted of the live account.
            drop(held);
            assert_eq!((credits.snapshot().available, [take(&live), take(&live)]), (6, [true, false]));
        }
        let new = account(false, 50).beginning_as(None, NOW);
        assert_eq!(new.credit_accounts.of(0).unwrap().snapshot().available, 50);
    }

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
