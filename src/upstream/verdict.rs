//! What the outcome of a request says about its server.
//!
//! A failure is an outcome that another server might have avoided: no connection, a broken connection, an answer that
//! is not HTTP, not JSON or only interim, 502, 503 and 504. Any other status shows that the server works; a 500 can be
//! caused by one request, which must not shut everybody out. An exchange that was abandoned, at the request's deadline
//! or because its client disconnected, is a failure only if it lasted longer than `slow_after`, so that a client with a
//! short deadline does not affect others. Whether the server or the request is at fault is decided in `blame.rs`.

use std::time::Duration;

/// What a request says about its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Sound,
    /// It failed before it received a byte of the request, so the request is not the cause.
    Unreachable,
    /// It failed after it received the request, which may be the cause.
    Failed,
    /// Nothing.
    Unknown,
}

impl Verdict {
    /// The verdict on a status.
    pub fn of_status(code: u16) -> Verdict {
        match code {
            100..=199 | 502..=504 => Verdict::Failed,
            _ => Verdict::Sound,
        }
    }

    /// The verdict on an exchange that was abandoned after this time.
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
