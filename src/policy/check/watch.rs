//! What a token's lists would have refused, if they were not only watched.
//!
//! A list that is watched refuses nothing. What it would have refused is noted for the request, and counted when the
//! request is over.

use crate::policy::problem::Row;

/// The lists that would have refused a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    pub networks: bool,
    pub domains: bool,
}

impl Watched {
    /// The rows of both lists, in the order of [`Watched::flags`].
    pub const ROWS: [Row; 2] = [Row::IpNotAllowed, Row::DomainNotAllowed];

    /// Whether each list would have refused.
    pub fn flags(self) -> [bool; 2] {
        [self.networks, self.domains]
    }

    /// The rows that the request would have been refused with, the first of them in force.
    pub fn rows(self) -> impl Iterator<Item = Row> {
        Watched::ROWS.into_iter().zip(self.flags()).filter(|(_, watched)| *watched).map(|(row, _)| row)
    }
}
