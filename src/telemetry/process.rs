//! What the kernel says of the process, as every exporter of Prometheus shows it.
//!
//! It is read when somebody asks.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The unit of times in `/proc`, which Linux fixes for all programs (`USER_HZ`).
const TICKS_A_SECOND: f64 = 100.0;

/// What is known of the process at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    pub threads: u64,
    pub open_descriptors: u64,
    pub max_descriptors: u64,
}

impl Process {
    /// Reads what is known now; what cannot be read is 0.
    pub fn read() -> Process {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Process {
            cpu_seconds: cpu_seconds(&stat).unwrap_or(0.0),
            resident_bytes: field("VmRSS:").saturating_mul(1024),
            virtual_bytes: field("VmSize:").saturating_mul(1024),
            threads: field("Threads:"),
            open_descriptors: fs::read_dir("/proc/self/fd")
                .map_or(0, |entries| u64::try_from(entries.count()).unwrap_or(u64::MAX)),
            max_descriptors: rlimit::Resource::NOFILE.get_soft().unwrap_or(0),
        }
    }
}

/// The time that all threads have had, in the kernel and outside it. The name of the program comes
/// before it in brackets, and may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut ticks = fields.split(' ').skip(11);
    let (user, system): (f64, f64) = (ticks.next()?.parse().ok()?, ticks.next()?.parse().ok()?);
    Some((user + system) / TICKS_A_SECOND)
}

/// When the process began, in seconds since 1970; `running` is how long that is ago.
pub fn began(running: Duration) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(running).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_seen() {
        let process = Process::read();
        assert!(process.resident_bytes > 1 << 20 && process.virtual_bytes >= process.resident_bytes, "{process:?}");
        assert!(process.threads >= 1 && process.open_descriptors >= 3, "{process:?}");
        assert!(process.max_descriptors >= process.open_descriptors, "{process:?}");
        let stat = "1 (a) b) R 2 3 4 5 6 7 8 9 10 11 250 150 0 0";
        assert_eq!(cpu_seconds(stat), Some(4.0));
        assert_eq!(cpu_seconds("nonsense"), None);
    }
}
