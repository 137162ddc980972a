//! The weights of accounts, by which they share what there is not enough of.

/// How much an account gets beside others where they have to share: as much more as its weight is larger than theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Weight(u8);

impl Weight {
    /// The largest weight.
    pub const MAX: u8 = 100;

    /// A weight from 1 to [`Weight::MAX`]; `None` if it is another number.
    pub fn new(weight: u32) -> Option<Weight> {
        u8::try_from(weight).ok().filter(|weight| (1..=Weight::MAX).contains(weight)).map(Weight)
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Weight {
        Weight(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_from_1_to_100() {
        for (number, weight) in [(0, None), (1, Some(1)), (100, Some(100)), (101, None), (257, None)] {
            assert_eq!(Weight::new(number).map(Weight::get), weight, "{number}");
        }
        assert_eq!(Weight::default().get(), 1);
    }
}
