//! The results of the health checks of one server.
//!
//! The checks are made in `probe.rs`. Only one task writes here; all requests read.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::upstream::settings::HealthRule;

/// Whether a server may get requests, and the number of checks in a row with the opposite result. A
/// server counts as healthy until its checks have failed, so that a start does not wait for them.
#[derive(Debug, Default)]
pub struct Health {
    down: AtomicBool,
    contrary: AtomicU32,
}

impl Health {
    /// Whether the server may get requests.
    pub fn is_up(&self) -> bool {
        !self.down.load(Ordering::Relaxed)
    }

    /// Counts a check; true if it changed the state of the server.
    pub fn count(&self, passed: bool, rule: &HealthRule) -> bool {
        let up = self.is_up();
        if passed == up {
            self.contrary.store(0, Ordering::Relaxed);
            return false;
        }
        let contrary = self.contrary.load(Ordering::Relaxed).saturating_add(1);
        let needed = if up { rule.failures } else { rule.successes };
        let turns = contrary >= needed;
        self.contrary.store(if turns { 0 } else { contrary }, Ordering::Relaxed);
        if turns {
            self.down.store(up, Ordering::Relaxed);
        }
        turns
    }

    /// Forgets all checks, when the server is not checked any more.
    pub fn reset(&self) {
        self.contrary.store(0, Ordering::Relaxed);
        self.down.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::upstream::settings::Probe;

    #[test]
    fn checks_in_a_row_turn_a_server() {
        // Each letter is a check, passed or failed; the case of what follows says whether it is up.
        for (failures, successes, checks, standings) in [
            (3, 2, "ppffpfffppfp", "UUUUUUUddUUU"),
            (3, 2, "fffpfpp", "UUddddU"),
            (1, 1, "fpfp", "dUdU"),
            (2, 3, "ffppfppp", "UddddddU"),
        ] {
            let health = Health::default();
            let rule = HealthRule {
                probe: Probe::Connect,
                interval: Duration::from_secs(1),
                timeout: Duration::from_secs(1),
                failures,
                successes,
            };
            assert!(health.is_up());
            let mut before = 'U';
            for (check, standing) in checks.chars().zip(standings.chars()) {
                assert_eq!(health.count(check == 'p', &rule), standing != before, "{checks} {check}");
                assert_eq!(health.is_up(), standing == 'U', "{checks}");
                before = standing;
            }
            health.reset();
            assert!(health.is_up());
        }
    }
}
