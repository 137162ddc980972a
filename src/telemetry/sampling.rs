//! What the operator wants to see of single requests: whose figures are shown apart, which requests
//! get a line or spans, and whether traces are passed on.
//!
//! Where lines and spans go is `telemetry.rs`.

use crate::policy::problem::Row;

/// Figures that one configuration may have by account or by token, counted as series.
pub const MAX_SERIES: usize = 100_000;

/// What is seen of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Figures by account.
    pub by_account: bool,
    /// Figures by token.
    pub by_token: bool,
    /// Series of either that are shown; accounts and tokens beyond them are counted as `other`.
    pub max_series: usize,
    /// Which of the answered requests (200 and 204) get a line of the access log.
    pub ok_lines: Share,
    /// Which of the requests that a row refused get one; those of other rows always do.
    pub refused_lines: Box<[(Row, Share)]>,
    /// `traceparent` is passed on to backends, or made.
    pub traceparent: bool,
    /// Which requests get spans.
    pub spans: Share,
    /// A request whose `traceparent` is sampled gets spans whatever the share is.
    pub trust_sampled: bool,
}

impl Sampling {
    /// Which of the requests that a row refused get a line of the access log.
    pub fn lines_of(&self, row: Row) -> Share {
        self.refused_lines.iter().find(|(known, _)| *known == row).map_or(Share::ALL, |(_, share)| *share)
    }
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            by_account: false,
            by_token: false,
            max_series: 1000,
            ok_lines: Share::ALL,
            refused_lines: Box::default(),
            traceparent: true,
            spans: Share::ALL,
            trust_sampled: false,
        }
    }
}

/// A share of all requests, chosen by random bits that the requests have anyway, so that all who see
/// a request make the same choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(f64);

/// Random bits that a choice looks at: as many as a trace's id has for sure (W3C Trace Context
/// level 2, section "Random Trace ID Flag").
const BITS: i32 = 56;

impl Share {
    /// Every request.
    pub const ALL: Share = Share(1.0);

    /// A share from 0 to 1; `None` for anything else.
    pub fn new(share: f64) -> Option<Share> {
        (0.0..=1.0).contains(&share).then_some(Share(share))
    }

    /// The share as it is written.
    pub fn get(self) -> f64 {
        self.0
    }

    /// Whether a request with such an id is one of the share.
    pub fn includes(self, id: [u8; 16]) -> bool {
        let [.., a, b, c, d, e, f, g] = id;
        let high = u32::from_be_bytes([0, a, b, c]);
        let low = u32::from_be_bytes([d, e, f, g]);
        // Exact: 56 bits, of which a double keeps the 53 highest.
        let fraction = (f64::from(high) * 2_f64.powi(32) + f64::from(low)) / 2_f64.powi(BITS);
        fraction < self.0 || self.0 >= 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_from_0_to_1_and_takes_that_many() {
        for share in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Share::new(share).is_none(), "{share}");
        }
        for share in [0.0, 0.01, 0.5, 1.0] {
            let taken = (0..10_000).filter(|_| Share::new(share).unwrap().includes(*uuid::Uuid::new_v4().as_bytes()));
            let taken = f64::from(u32::try_from(taken.count()).unwrap()) / 10_000.0;
            assert!((taken - share).abs() < 0.03, "{share}: {taken}");
        }
        let least = [0; 16];
        let most = [255; 16];
        assert!(Share::new(1.0).unwrap().includes(most) && !Share::new(0.0).unwrap().includes(least));
        assert!(Share::new(0.5).unwrap().includes(least) && !Share::new(0.5).unwrap().includes(most));
    }
}
