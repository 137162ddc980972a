//! An account's credits for a product, and the hold of a request on them.
//!
//! A [`Hold`] that is dropped, for whatever reason, returns its credits; only [`Hold::settle`]
//! spends them. Nothing is stored here; that is done by the ledger.

mod atomic;
pub mod balance;
mod shared;

use std::fmt;
use std::sync::Arc;

use crate::policy::credits::balance::{Balance, BalanceSnapshot, Short};
use crate::policy::credits::shared::SharedBalance;
use crate::policy::problem::{Hint, Problem, Row};

/// The refusal of a request that could cost more than its account has.
pub const TOO_FEW: Problem = Problem::new(Row::CreditsInsufficient, "the balance cannot cover the highest price");

/// Why a request is refused although its account has the credits.
pub const TOO_MUCH_HELD: &str = "requests in flight hold too many credits of one account";

/// An account's credits for one product.
pub struct CreditAccount {
    pub account: Arc<str>,
    pub product: Arc<str>,
    /// What the configuration grants, once.
    pub first_grant: u64,
    /// What this process may sell: everything, or a lease of it.
    balance: Balance,
    shared: SharedBalance,
}

impl CreditAccount {
    /// A credit account without credits: even the first grant comes from the ledger.
    pub fn new(account: Arc<str>, product: Arc<str>, first_grant: u64) -> CreditAccount {
        let (balance, shared) = (Balance::default(), SharedBalance::default());
        CreditAccount { account, product, first_grant, balance, shared }
    }

    /// Holds credits until the hold is settled or dropped.
    ///
    /// # Errors
    /// `credits-insufficient` if fewer are available.
    pub fn hold(self: &Arc<Self>, amount: u32) -> Result<Hold<'_>, Problem> {
        match self.balance.hold(amount) {
            Ok(()) => Ok(Hold { credit_account: Some(self), amount, left: None }),
            Err(Short::Credits) => Err(TOO_FEW),
            Err(Short::Room) => Err(Problem::new(Row::Overloaded, TOO_MUCH_HELD).with(Hint::RetryAfter(1))),
        }
    }

    /// The balance, for the ledger.
    pub fn balance(&self) -> &Balance {
        &self.balance
    }

    /// The balance at one moment, as far as it is here.
    pub fn snapshot(&self) -> BalanceSnapshot {
        self.balance.snapshot()
    }

    /// The balance of the account, as people see it: where gateways share it, all of it, as of the last time that the
    /// others were heard of.
    pub fn shown(&self) -> BalanceSnapshot {
        self.shared.with(self.snapshot())
    }

    /// Whether it was heard of the others that share the balance.
    pub fn is_shown(&self) -> bool {
        self.shared.is_known()
    }

    /// What the account has been granted, and what was spent of it beyond what this process has spent since its ledger began;
    /// less than zero where that is more. For whoever shares the account with other gateways.
    pub fn share(&self, granted: u64, spent_elsewhere: i64) {
        self.shared.set(granted, spent_elsewhere);
    }

    /// The available credits, as people see them.
    fn available(&self) -> u64 {
        if self.shared.is_known() { self.shown().available } else { self.balance.available() }
    }

    /// Account and product, by which credit accounts are sorted.
    pub fn key(&self) -> (&str, &str) {
        (&self.account, &self.product)
    }
}

impl fmt::Debug for CreditAccount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Licence({}, {}, {:?})", self.account, self.product, self.snapshot())
    }
}

/// Credits that are held for one request. Dropping it returns them.
#[derive(Debug)]
#[must_use = "a hold that is dropped returns its credits"]
pub struct Hold<'p> {
    credit_account: Option<&'p Arc<CreditAccount>>,
    amount: u32,
    /// The remaining credits, if another process has the balance.
    left: Option<u64>,
}

impl<'p> Hold<'p> {
    /// The hold of a request that costs nothing.
    pub const fn nothing() -> Hold<'p> {
        Hold { credit_account: None, amount: 0, left: None }
    }

    /// The account; `None` for a request that costs nothing.
    pub fn credit_account(&self) -> Option<&'p Arc<CreditAccount>> {
        self.credit_account
    }

    /// The same hold on a balance that another process has, with the remaining credits there.
    pub fn kept_elsewhere(mut self, left: u64) -> Hold<'p> {
        self.left = Some(left);
        self
    }

    /// The available credits.
    pub fn left(&self) -> u64 {
        let here = || self.credit_account.map_or(0, |credit_account| credit_account.available());
        self.left.unwrap_or_else(here)
    }

    /// The held credits.
    pub fn amount(&self) -> u32 {
        self.amount
    }

    /// Returns what is held beyond the price of an answer, which is known before the answer is sent: whoever has received
    /// it finds the rest available. A hold on a balance of another process stays as it is until its end.
    pub fn reduce(&mut self, price: u32) {
        if let (Some(credit_account), None) = (self.credit_account, self.left) {
            let rest = self.amount.saturating_sub(price);
            credit_account.balance.settle(rest, 0);
            self.amount -= rest;
        }
    }

    /// What a client is told of an answer that costs `price`, at most what is held.
    pub fn receipt(&self, price: u32) -> Receipt {
        let charged = price.min(self.amount);
        let given_back = u64::from(self.amount.saturating_sub(charged));
        Receipt { charged, remaining: self.left().saturating_add(given_back) }
    }

    /// Spends `price`, at most what is held, and returns the rest.
    pub fn settle(mut self, price: u32) {
        self.end(price);
    }

    fn end(&mut self, price: u32) {
        if let Some(credit_account) = self.credit_account.take() {
            credit_account.balance.settle(self.amount, price);
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.end(0);
    }
}

/// The charge and balance for the answer to a paying client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub charged: u32,
    /// The available credits.
    pub remaining: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::credits::balance::{MAX_CREDITS, MAX_HELD};

    fn credit_account(granted: u64) -> Arc<CreditAccount> {
        let credit_account = Arc::new(CreditAccount::new("acme".into(), "plate".into(), 0));
        assert!(credit_account.balance().grant(granted));
        credit_account
    }

    fn numbers(credit_account: &CreditAccount) -> [u64; 4] {
        let BalanceSnapshot { granted, available, held, spent } = credit_account.snapshot();
        [granted, available, held, spent]
    }

    #[test]
    fn five_credits_buy_exactly_five_plain_lookups() {
        let credit_account = credit_account(5);
        for left in (0..5).rev() {
            credit_account.hold(1).unwrap().settle(1);
            assert_eq!(numbers(&credit_account), [5, left, 0, 5 - left]);
        }
        assert_eq!(credit_account.hold(1).unwrap_err().row, Row::CreditsInsufficient);
    }

    #[test]
    fn a_hold_that_is_dropped_is_given_back_also_by_a_panic() {
        let credit_account = credit_account(3);
        let hold = credit_account.hold(3).unwrap();
        assert_eq!(numbers(&credit_account), [3, 0, 3, 0]);
        assert_eq!(credit_account.hold(1).unwrap_err().row, Row::CreditsInsufficient);
        drop(hold);
        assert_eq!(numbers(&credit_account), [3, 3, 0, 0]);
        let panicked = std::panic::catch_unwind(|| {
            let _hold = credit_account.hold(2).unwrap();
            panic!("on purpose");
        });
        assert!(panicked.is_err());
        assert_eq!(numbers(&credit_account), [3, 3, 0, 0]);
    }

    #[test]
    fn a_price_is_never_above_what_was_held() {
        let credit_account = credit_account(10);
        credit_account.hold(2).unwrap().settle(7);
        assert_eq!(numbers(&credit_account), [10, 8, 0, 2]);
        credit_account.hold(3).unwrap().settle(1);
        assert_eq!(numbers(&credit_account), [10, 7, 0, 3]);
    }

    #[test]
    fn what_is_held_beyond_the_price_is_available_before_the_answer_is_sent() {
        let credit_account = credit_account(10);
        let mut hold = credit_account.hold(4).unwrap();
        hold.reduce(1);
        assert_eq!((hold.amount(), numbers(&credit_account)), (1, [10, 9, 1, 0]));
        // A price is final, and at most what is held.
        hold.reduce(7);
        hold.settle(1);
        assert_eq!(numbers(&credit_account), [10, 9, 0, 1]);
        let mut given_back = credit_account.hold(4).unwrap();
        given_back.reduce(2);
        drop(given_back);
        assert_eq!(numbers(&credit_account), [10, 9, 0, 1]);
        let mut elsewhere = credit_account.hold(3).unwrap().kept_elsewhere(40);
        elsewhere.reduce(1);
        assert_eq!(elsewhere.amount(), 3, "the other process knows the hold as it was");
        Hold::nothing().reduce(5);
    }

    #[test]
    fn what_is_held_or_spent_cannot_be_withdrawn() {
        let credit_account = credit_account(10);
        credit_account.hold(4).unwrap().settle(4);
        let hold = credit_account.hold(3).unwrap();
        assert!(!credit_account.balance().withdraw(4));
        assert_eq!(numbers(&credit_account), [10, 3, 3, 4]);
        assert!(credit_account.balance().withdraw(3));
        assert_eq!(numbers(&credit_account), [7, 0, 3, 4]);
        hold.settle(3);
        assert_eq!(numbers(&credit_account), [7, 0, 0, 7]);
    }

    #[test]
    fn a_balance_counts_up_to_its_limits_and_no_further() {
        let credit_account = credit_account(MAX_CREDITS);
        assert!(!credit_account.balance().grant(1));
        let most = u32::try_from(MAX_HELD).unwrap();
        let hold = credit_account.hold(most).unwrap();
        assert_eq!(credit_account.hold(1).unwrap_err().row, Row::Overloaded);
        drop(hold);
        assert_eq!(numbers(&credit_account), [MAX_CREDITS, MAX_CREDITS, 0, 0]);
    }

    #[test]
    fn a_balance_takes_over_its_past_if_it_can_count_it() {
        for (granted, spent, taken) in [
            (100, 40, true),
            (7, 7, true),
            (0, 0, true),
            (MAX_CREDITS, 0, true),
            (MAX_CREDITS + 1, 0, false),
            (6, 7, false),
            (u64::MAX, 1, false),
        ] {
            let balance = Balance::default();
            assert_eq!(balance.load(granted, spent), taken, "{granted} and {spent}");
            let seen = balance.snapshot();
            let expected = if taken { (granted, granted - spent, 0, spent) } else { (0, 0, 0, 0) };
            assert_eq!((seen.granted, seen.available, seen.held, seen.spent), expected, "{granted} and {spent}");
        }
        let balance = Balance::default();
        assert!(balance.can_grant(MAX_CREDITS) && !balance.can_grant(MAX_CREDITS + 1) && !balance.can_grant(u64::MAX));
        assert!(balance.load(10, 4) && balance.can_grant(MAX_CREDITS - 10) && !balance.can_grant(MAX_CREDITS - 9));
        balance.refund(3);
        assert_eq!(balance.available(), 9);
        let seen = balance.snapshot();
        assert_eq!((seen.granted, seen.spent), (10, 1), "what was spent is less, and nothing was granted");
    }

    #[test]
    fn a_hold_says_what_it_is_and_what_is_left_beside_it() {
        let credit_account = credit_account(10);
        assert_eq!(credit_account.key(), ("acme", "plate"));
        let hold = credit_account.hold(3).unwrap();
        assert_eq!((hold.amount(), hold.left()), (3, 7));
        assert!(hold.credit_account().is_some_and(|of| Arc::ptr_eq(of, &credit_account)));
        // Another process keeps the balance: what is here is not what counts.
        let hold = hold.kept_elsewhere(41);
        assert_eq!((hold.amount(), hold.left()), (3, 41));
        hold.settle(1);
        assert_eq!(numbers(&credit_account), [10, 9, 0, 1]);
        let nothing = Hold::nothing();
        assert_eq!((nothing.amount(), nothing.left()), (0, 0));
        assert!(nothing.credit_account().is_none());
        nothing.settle(5);
        assert!(format!("{credit_account:?}").contains("acme, plate"), "{credit_account:?}");
    }
}
