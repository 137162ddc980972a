//! A set of products, as the bits of one word.

/// Products that one configuration can have: a set of them is the bits of one word.
pub const MAX_PRODUCTS: usize = 64;

/// The products that a token covers, by their indexes in the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProductSet(u64);

/// All products of some sets.
impl FromIterator<ProductSet> for ProductSet {
    fn from_iter<I: IntoIterator<Item = ProductSet>>(sets: I) -> ProductSet {
        ProductSet(sets.into_iter().fold(0, |all, set| all | set.0))
    }
}

impl ProductSet {
    /// Adds a product.
    pub fn insert(&mut self, index: u8) {
        self.0 |= 1u64.checked_shl(u32::from(index)).unwrap_or(0);
    }

    /// The products, in the order of their indexes.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let index = u8::try_from(left.trailing_zeros()).ok().filter(|_| left != 0)?;
            left &= left - 1;
            Some(index)
        })
    }

    /// Whether the product is covered.
    pub fn contains(self, index: u8) -> bool {
        self.0 & 1u64.checked_shl(u32::from(index)).unwrap_or(0) != 0
    }

    /// Whether no product is.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}
