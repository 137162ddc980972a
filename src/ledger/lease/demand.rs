//! How much to ask for, when to return, and what a request is told that finds too little. Sizes only: nothing of it is
//! needed for safety.

use super::terms::Time;

/// Half of what an average still has of demand is older than this, in milliseconds.
const MEMORY: Time = 10_000;
/// For how long a lease is to be enough. More is asked for at half, so that 75 seconds without the centre refuse nothing.
const HORIZON: Time = 150_000;
/// The same where the balance is far above what is used.
const LONG_HORIZON: Time = 600_000;
/// How many times what is used in the long horizon must be available for it.
const RICH: u128 = 1_000;
/// After which time without demand everything is returned.
pub const IDLE: Time = 60_000;
/// How long a request waits for other holders, at most.
pub const RECALL_PATIENCE: Time = 1_000;
/// Thousandths of credits, so that slow demand is not rounded away.
const MILLI: u128 = 1_000;

/// The demand for one key on one node: a moving average in thousandths of a credit per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    per_second: u128,
    /// Credits since the last step.
    since: u64,
    stepped: Time,
    /// When credits were used last.
    used: Time,
}

impl Demand {
    pub fn new(now: Time) -> Demand {
        Demand { stepped: now, used: now, ..Demand::default() }
    }

    /// Credits were held by a request, or wished for.
    pub fn count(&mut self, credits: u64, now: Time) {
        self.since += credits;
        self.used = now;
    }

    /// Ends an interval: the average moves towards what it has seen, the more the longer it was.
    pub fn step(&mut self, now: Time) {
        let length = u128::from(now.saturating_sub(self.stepped));
        if length == 0 {
            return;
        }
        let seen = u128::from(self.since) * MILLI * 1_000 / length;
        let memory = u128::from(MEMORY);
        self.per_second = (self.per_second * memory + seen * length) / (memory + length);
        (self.since, self.stepped) = (0, now);
    }

    /// Credits for so many milliseconds.
    fn within(&self, length: Time) -> u128 {
        self.per_second * u128::from(length) / (MILLI * 1_000)
    }

    /// What to have on lease, if so much is left at the centre: at least the highest price. The centre grants at most
    /// half of what it has.
    pub fn target(&self, left: u64, highest_price: u64) -> u64 {
        let long = self.within(LONG_HORIZON);
        let wanted = if u128::from(left) > long * RICH { long } else { self.within(HORIZON) };
        u64::try_from(wanted).unwrap_or(u64::MAX).max(highest_price)
    }

    /// What to ask for: nothing while at least half of the target is on hand.
    pub fn want(&self, on_hand: u64, left: u64, highest_price: u64) -> Option<u64> {
        let target = self.target(left, highest_price);
        (on_hand < target.div_ceil(2).max(highest_price)).then(|| target.saturating_sub(on_hand).max(highest_price))
    }

    /// Whether nothing was used for so long that everything is returned.
    pub fn is_idle(&self, now: Time) -> bool {
        now.saturating_sub(self.used) >= IDLE
    }
}

/// What becomes of a request that finds too few credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Holders have not answered yet.
    Wait,
    /// All have answered: there are too few credits (`credits-insufficient`).
    Insufficient,
    /// Some cannot be reached: whether there are enough is unknown (`credits-unavailable`).
    Unavailable,
}

/// Judges a shortage: so many holders have not answered, for so many milliseconds.
pub fn shortage(recalled: u64, waited: Time) -> Shortage {
    match recalled {
        0 => Shortage::Insufficient,
        _ if waited < RECALL_PATIENCE => Shortage::Wait,
        _ => Shortage::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Demand of so many credits in each second, for so many seconds.
    fn steady(credits: u64, seconds: u64) -> Demand {
        let mut demand = Demand::new(0);
        for second in 1..=seconds {
            demand.count(credits, second * 1_000);
            demand.step(second * 1_000);
        }
        demand
    }

    #[test]
    fn the_target_is_the_demand_of_a_horizon() {
        for (credits, seconds, left, price, expected) in [
            // Nothing was used: the highest price.
            (0, 60, 1_000, 5, 5..=5),
            // 10 a second for 150 s, or for 10 min where there is plenty.
            (10, 300, 1_000, 5, 1_450..=1_500),
            (10, 300, 1_000_000_000, 5, 5_900..=6_000),
            // Just begun.
            (10, 1, 1_000, 5, 130..=140),
            // Less than the price.
            (1, 300, 1_000, 200, 200..=200),
        ] {
            let target = steady(credits, seconds).target(left, price);
            assert!(expected.contains(&target), "{credits} a second for {seconds} s, {left} left: {target}");
        }
    }

    #[test]
    fn more_is_asked_for_at_half() {
        let demand = steady(10, 300);
        let target = demand.target(1_000, 1);
        for (on_hand, expected) in [(target, None), (target / 2 + 1, None), (10, Some(target - 10)), (0, Some(target))]
        {
            assert_eq!(demand.want(on_hand, 1_000, 1), expected, "{on_hand} on hand of {target}");
        }
        assert_eq!(Demand::new(0).want(0, 1_000, 7), Some(7));
    }

    #[test]
    fn what_is_idle_is_returned() {
        let mut demand = Demand::new(5);
        assert!(!demand.is_idle(IDLE) && demand.is_idle(IDLE + 5));
        demand.count(1, IDLE);
        assert!(!demand.is_idle(IDLE + 5));
    }

    #[test]
    fn a_shortage_is_certain_only_when_all_have_answered() {
        let cases = [
            (0, 0, Shortage::Insufficient),
            (2, RECALL_PATIENCE - 1, Shortage::Wait),
            (2, RECALL_PATIENCE, Shortage::Unavailable),
            (0, RECALL_PATIENCE, Shortage::Insufficient),
        ];
        for (recalled, waited, expected) in cases {
            assert_eq!(shortage(recalled, waited), expected, "{recalled} after {waited} ms");
        }
    }
}
