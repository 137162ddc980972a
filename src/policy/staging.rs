//! A new policy for a share of the accounts first: which accounts those are, and when what came of them says that it has to
//! go back.
//!
//! Nothing here counts or exchanges policies: that is `gateway/stage.rs` and `operate/reload/staged.rs`.

use std::time::Duration;

/// How a new policy is staged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StagingRules {
    pub share: AccountShare,
    /// For how long it is for the share alone.
    pub lasts: Duration,
    /// The most percentage points by which refusals of the share may rise.
    pub refusals: u32,
    /// The same for failures.
    pub failures: u32,
    /// Requests of the share that are waited for before they are compared with anything.
    pub least_requests: u64,
}

/// A share of the accounts in percent. The same account is in it every time, and in each greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountShare(pub u32);

impl AccountShare {
    /// Whether an account is in it, by a hash of its name: FNV-1a, whose bits are mixed once more, since those of names that
    /// differ in their last letter alone are close together.
    pub fn has(self, account: &str) -> bool {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let hash = account.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
        let mixed = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        (mixed ^ mixed >> 33) % 100 < u64::from(self.0)
    }
}

/// How requests of some accounts have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// All that were answered, refusals among them.
    pub requests: u64,
    /// Refused for what the client has sent, or for what its account may do (4xx).
    pub refused: u64,
    /// Refused for what went wrong in the gateway or behind it (5xx).
    pub failed: u64,
}

impl Ends {
    /// What came since an earlier count.
    pub fn since(self, before: Ends) -> Ends {
        Ends {
            requests: self.requests.saturating_sub(before.requests),
            refused: self.refused.saturating_sub(before.refused),
            failed: self.failed.saturating_sub(before.failed),
        }
    }

    /// Refusals in percent of the requests.
    pub fn refused_percent(self) -> f64 {
        fraction(self.refused, self.requests) * 100.0
    }

    /// Failures in percent of the requests.
    pub fn failed_percent(self) -> f64 {
        fraction(self.failed, self.requests) * 100.0
    }
}

fn fraction(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { whole(part) / whole(of) }
}

/// A count as a float. Those of requests are far below the integers that a float cannot tell apart.
#[allow(clippy::cast_precision_loss)]
fn whole(count: u64) -> f64 {
    count as f64
}

/// Requests of the share and of all other accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BothEnds {
    pub share: Ends,
    pub others: Ends,
}

impl BothEnds {
    /// What came since an earlier count.
    pub fn since(self, before: BothEnds) -> BothEnds {
        BothEnds { share: self.share.since(before.share), others: self.others.since(before.others) }
    }
}

/// What is to become of a policy that is staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is too early to say.
    Wait,
    /// Its time is over, and nothing has risen beyond its bound.
    ForAll,
    /// Refusals have risen beyond their bound.
    TooManyRefusals,
    /// Failures have.
    TooManyFailures,
}

impl StagingRules {
    /// Judges what has come so far, `after` the beginning, beside what came in as long a time `before` it.
    ///
    /// What counts is by how much more the share's percentage has risen than that of all other accounts, which keep the policy
    /// before: a backend that fails for all says nothing about the new policy. Where the share had no requests before, it is
    /// compared with the others as they are now. A rise that can be chance counts as none.
    pub fn judge(&self, before: BothEnds, now: BothEnds, after: Duration) -> Verdict {
        if now.share.requests >= self.least_requests {
            let base = if before.share.requests == 0 { now.others } else { before.share };
            let is_beyond = |percent: fn(Ends) -> f64, bound: u32| {
                let of_others = if before.others.requests == 0 || before.share.requests == 0 {
                    0.0
                } else {
                    percent(now.others) - percent(before.others)
                };
                let rise = percent(now.share) - percent(base) - of_others.max(0.0);
                rise > f64::from(bound) + ROUNDING && rise > ERRORS * standard_error(percent, now.share, base)
            };
            if is_beyond(Ends::failed_percent, self.failures) {
                return Verdict::TooManyFailures;
            }
            if is_beyond(Ends::refused_percent, self.refusals) {
                return Verdict::TooManyRefusals;
            }
        }
        if after >= self.lasts { Verdict::ForAll } else { Verdict::Wait }
    }
}

/// What percentages may be off by rounding.
const ROUNDING: f64 = 1e-9;

/// The standard errors that a rise has to exceed. It is looked at every second, so that two of them would often be exceeded by
/// chance.
const ERRORS: f64 = 3.0;

/// The standard error of a difference of two percentages that are the same in truth (the pooled two-proportion test).
fn standard_error(percent: fn(Ends) -> f64, one: Ends, other: Ends) -> f64 {
    let [of_one, of_other] = [one.requests, other.requests].map(|requests| 1.0 / whole(requests));
    let weighed = percent(one) / 100.0 * whole(one.requests) + percent(other) / 100.0 * whole(other.requests);
    let pooled = weighed / (whole(one.requests) + whole(other.requests));
    100.0 * (pooled * (1.0 - pooled) * (of_one + of_other)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: StagingRules = StagingRules {
        share: AccountShare(10),
        lasts: Duration::from_secs(300),
        refusals: 5,
        failures: 1,
        least_requests: 100,
    };

    fn ends(requests: u64, refused: u64, failed: u64) -> Ends {
        Ends { requests, refused, failed }
    }

    #[test]
    fn a_share_has_that_many_accounts_and_the_same_each_time() {
        let names: Vec<String> = (0..20_000).map(|number| format!("customer-{number}")).collect();
        for percent in [1, 2, 10, 50, 99] {
            let (share, greater) = (AccountShare(percent), AccountShare(percent + 1));
            let count = names.iter().filter(|name| share.has(name)).count();
            let (count, wanted) = (u32::try_from(count).unwrap(), percent * 200);
            assert!(count.abs_diff(wanted) < 200, "{count} of {wanted}");
            assert!(
                names.iter().all(|name| !share.has(name) || greater.has(name)),
                "each greater share has them as well"
            );
        }
        assert!(names.iter().all(|name| AccountShare(100).has(name) && !AccountShare(0).has(name)));
    }

    #[test]
    fn what_has_risen_beyond_its_bound_goes_back() {
        let before = BothEnds { share: ends(1000, 20, 1), others: ends(9000, 180, 9) };
        let early = Duration::from_secs(10);
        for (share, others, after, expected) in [
            // Nothing is different.
            (ends(100, 2, 0), ends(900, 18, 1), early, Verdict::Wait),
            (ends(100, 2, 0), ends(900, 18, 1), RULES.lasts, Verdict::ForAll),
            // Too few requests to say anything, until the time is over.
            (ends(99, 99, 0), ends(900, 18, 1), early, Verdict::Wait),
            (ends(0, 0, 0), ends(0, 0, 0), RULES.lasts, Verdict::ForAll),
            // 7 % is at the bound, 8 % beyond it.
            (ends(100, 7, 0), ends(900, 18, 1), early, Verdict::Wait),
            (ends(100, 8, 0), ends(900, 18, 1), early, Verdict::TooManyRefusals),
            (ends(100, 8, 0), ends(900, 18, 1), RULES.lasts, Verdict::TooManyRefusals),
            (ends(1000, 20, 12), ends(900, 18, 1), early, Verdict::TooManyFailures),
            // The backend fails for all: that is not the new policy's fault.
            (ends(1000, 20, 500), ends(9000, 180, 4500), early, Verdict::Wait),
            // It fails more for the share.
            (ends(1000, 20, 600), ends(9000, 180, 4500), early, Verdict::TooManyFailures),
            // That others became better excuses nothing, and accuses nothing either.
            (ends(1000, 20, 1), ends(9000, 0, 0), early, Verdict::Wait),
        ] {
            let now = BothEnds { share, others };
            assert_eq!(RULES.judge(before, now, after), expected, "{now:?} after {after:?}");
        }
    }

    #[test]
    fn a_rise_that_can_be_chance_counts_as_none() {
        let before = BothEnds { share: ends(1000, 0, 9), others: ends(1000, 0, 9) };
        for (requests, failed, expected) in [(100, 3, Verdict::Wait), (10_000, 300, Verdict::TooManyFailures)] {
            let now = BothEnds { share: ends(requests, 0, failed), others: ends(1000, 0, 9) };
            assert_eq!(RULES.judge(before, now, Duration::from_secs(1)), expected, "{failed} of {requests}");
        }
    }

    #[test]
    fn without_a_time_before_the_share_is_compared_with_the_others() {
        let now = |refused| BothEnds { share: ends(100, refused, 0), others: ends(900, 18, 0) };
        let early = Duration::from_secs(1);
        assert_eq!(RULES.judge(BothEnds::default(), now(7), early), Verdict::Wait);
        assert_eq!(RULES.judge(BothEnds::default(), now(8), early), Verdict::TooManyRefusals);
        assert_eq!(RULES.judge(BothEnds::default(), BothEnds::default(), RULES.lasts), Verdict::ForAll);
    }
}
