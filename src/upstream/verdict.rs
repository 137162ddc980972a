//! What a request says of the server that it was sent to.
//!
//! A failure is what another server might not have done: no connection, a connection that broke,
//! an answer that is not HTTP, not JSON or interim alone, 502, 503 and 504. Any other status shows a server that
//! works; a 500 can be the doing of one request, which must not shut everybody out. An exchange that
//! was given up, at the request's deadline or because its client left, is a failure only after
//! the server has had the time that the operator calls slow, so that a client with a short deadline
//! harms nobody else. Whose failure it is, the server's or the request's, is `blame.rs`.

use std::time::Duration;

/// What a request says of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Sound,
    /// It has failed before it had a byte of the request: the request can have nothing to do with it.
    Unreachable,
    /// It has failed with the request, and may have failed by it.
    Failed,
    /// Nothing.
    Unknown,
}

impl Verdict {
    /// What the status of an answer says.
    pub fn of_status(code: u16) -> Verdict {
        match code {
            100..=199 | 502..=504 => Verdict::Failed,
            _ => Verdict::Sound,
        }
    }

    /// What an exchange says that was given up after so long.
    pub fn of_abandoned(waited: Duration, slow_after: Duration) -> Verdict {
        if waited >= slow_after { Verdict::Failed } else { Verdict::Unknown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_statuses_of_servers_out_of_order_are_failures() {
        for code in (100..600).chain([999]) {
            let failed = code < 200 || [502, 503, 504].contains(&code);
            let wanted = if failed { Verdict::Failed } else { Verdict::Sound };
            assert_eq!(Verdict::of_status(code), wanted, "{code}");
        }
    }

    #[test]
    fn an_exchange_given_up_early_says_nothing() {
        let slow_after = Duration::from_secs(5);
        for (waited, verdict) in [(0, Verdict::Unknown), (4999, Verdict::Unknown), (5000, Verdict::Failed)] {
            assert_eq!(Verdict::of_abandoned(Duration::from_millis(waited), slow_after), verdict, "{waited} ms");
        }
    }
}
