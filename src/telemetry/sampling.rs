//! The operator's choices about telemetry: metrics by account or token, which requests get a log
//! line or spans, and whether trace headers are passed on.
//!
//! The destinations of lines and spans are in `telemetry.rs`.

use crate::policy::problem::Row;

/// The most series that one configuration may have by account or by token.
pub const MAX_SERIES: usize = 100_000;

/// The choices.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Metrics by account.
    pub by_account: bool,
    /// Metrics by token.
    pub by_token: bool,
    /// The most series of either kind; further accounts and tokens are counted as `other`.
    pub max_series: usize,
    /// Which of the answered requests (200 and 204) get a line of the access log.
    pub ok_lines: Share,
    /// Which of the refused requests get one, by row; refusals with other rows always do.
    pub refused_lines: Box<[(Row, Share)]>,
    /// Whether backends get a `traceparent`, the client's or a new one.
    pub traceparent: bool,
    /// Which requests get spans.
    pub spans: Share,
    /// A request with a sampled `traceparent` always gets spans.
    pub trust_sampled: bool,
}

impl Sampling {
    /// Which of the requests refused with this row get an access log line.
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

/// A share of all requests, chosen by random bits of the request's id, so that every component
/// makes the same choice for a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(f64);

/// The number of random bits that decide: as many as a trace id is guaranteed to have (W3C Trace
/// Context level 2, section "Random Trace ID Flag").
const BITS: i32 = 56;

impl Share {
    /// Every request.
    pub const ALL: Share = Share(1.0);

    /// A share from 0 to 1; `None` for anything else.
    pub fn new(share: f64) -> Option<Share> {
        (0.0..=1.0).contains(&share).then_some(Share(share))
    }

    /// The share as a number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// Whether a request with this id belongs to the share.
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
