//! Checks every interleaving of threads on the atomics of a balance, with the model checker loom.
//!
//! A separate binary, since the same file that the gateway uses is compiled again here, with loom's
//! atomics.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)] // A test may end in a panic.

#[allow(dead_code)]
#[path = "../src/policy/credits/balance.rs"]
mod balance;

mod atomic {
    pub use loom::sync::atomic::{AtomicU64, Ordering};

    /// Loom has to be told that a thread waits for another one.
    pub fn spin_loop() {
        loom::thread::yield_now();
    }
}

use balance::{Balance, BalanceSnapshot};
use loom::sync::Arc;
use loom::thread;

fn balance(granted: u64) -> Arc<Balance> {
    let balance = Arc::new(Balance::default());
    assert!(balance.grant(granted));
    balance
}

/// What holds at every moment.
fn assert_books(snapshot: BalanceSnapshot) {
    let BalanceSnapshot { granted, available, held, spent } = snapshot;
    assert_eq!(granted, available + held + spent);
}

#[test]
fn the_last_credit_is_spent_once() {
    loom::model(|| {
        let balance = balance(1);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let balance = Arc::clone(&balance);
                thread::spawn(move || {
                    let held = balance.hold(1).is_ok();
                    if held {
                        balance.settle(1, 1);
                    }
                    held
                })
            })
            .collect();
        let successes = threads.into_iter().map(|thread| thread.join().unwrap()).filter(|held| *held).count();
        assert_eq!(successes, 1);
        assert_eq!(balance.snapshot(), BalanceSnapshot { granted: 1, available: 0, held: 0, spent: 1 });
    });
}

#[test]
fn what_one_gives_back_another_can_hold() {
    loom::model(|| {
        let balance = balance(2);
        let other = Arc::clone(&balance);
        let given_back = thread::spawn(move || {
            if other.hold(2).is_ok() {
                other.settle(2, 0);
            }
        });
        let charged = balance.hold(1).is_ok();
        if charged {
            balance.settle(1, 1);
        }
        given_back.join().unwrap();
        let spent = u64::from(charged);
        assert_eq!(balance.snapshot(), BalanceSnapshot { granted: 2, available: 2 - spent, held: 0, spent });
    });
}

#[test]
fn a_withdrawal_and_a_hold_never_take_the_same_credit() {
    loom::model(|| {
        let balance = balance(1);
        let other = Arc::clone(&balance);
        let holder = thread::spawn(move || {
            let held = other.hold(1).is_ok();
            if held {
                other.settle(1, 1);
            }
            held
        });
        let withdrawn = balance.withdraw(1);
        let held = holder.join().unwrap();
        assert!(withdrawn != held, "one of the two, not both and not neither");
        let spent = u64::from(held);
        assert_eq!(balance.snapshot(), BalanceSnapshot { granted: spent, available: 0, held: 0, spent });
    });
}

#[test]
fn every_snapshot_adds_up_while_credits_are_granted_and_spent() {
    loom::model(|| {
        let balance = balance(1);
        let (granter, spender) = (Arc::clone(&balance), Arc::clone(&balance));
        let granted = thread::spawn(move || assert!(granter.grant(2)));
        let spent = thread::spawn(move || {
            assert!(spender.hold(1).is_ok());
            spender.settle(1, 1);
        });
        let seen = balance.snapshot();
        assert_books(seen);
        assert!(seen.spent <= 1, "a grant is never taken for something spent: {seen:?}");
        granted.join().unwrap();
        spent.join().unwrap();
        assert_eq!(balance.snapshot(), BalanceSnapshot { granted: 3, available: 2, held: 0, spent: 1 });
    });
}
