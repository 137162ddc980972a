//! What is known of a request or an answer: the tests that passed, and the quantities.

/// The most quantities of requests that one tariff counts, and the most of answers.
pub const MAX_QUANTITIES: usize = 4;

/// The tests that passed, one bit each, and the quantities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    pub(super) bits: u64,
    quantities: [u32; MAX_QUANTITIES],
}

impl Passed {
    /// The tests with these bits.
    pub fn of_bits(bits: u64) -> Passed {
        Passed { bits, quantities: [0; MAX_QUANTITIES] }
    }

    /// The same with every quantity, or with one of them.
    pub fn with(mut self, quantity: Option<usize>, number: u32) -> Passed {
        for (index, known) in self.quantities.iter_mut().enumerate() {
            if quantity.is_none_or(|wanted| wanted == index) {
                *known = number;
            }
        }
        self
    }

    pub(super) fn has(self, test: u8) -> bool {
        self.bits >> test & 1 == 1
    }

    pub(super) fn quantity(self, quantity: u8) -> u32 {
        self.quantities.get(usize::from(quantity)).copied().unwrap_or(0)
    }

    pub(super) fn set(&mut self, quantity: u8, number: u32) {
        if let Some(known) = self.quantities.get_mut(usize::from(quantity)) {
            *known = number;
        }
    }
}
