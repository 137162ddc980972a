//! The kernel's figures about the process, under the standard names of Prometheus clients.
//!
//! They are read when metrics are scraped.

use std::fs;
use std::time::Duration;

use crate::platform::clock::since_1970;

/// The unit of times in `/proc`, which Linux fixes for all programs (`USER_HZ`).
const TICKS_A_SECOND: f64 = 100.0;

/// The figures of the process at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    pub cpu_seconds: Option<f64>,
    pub resident_bytes: Option<u64>,
    pub virtual_bytes: Option<u64>,
    pub threads: Option<u64>,
    pub open_descriptors: Option<u64>,
    pub max_descriptors: Option<u64>,
}

impl Process {
    /// Reads the figures. What cannot be read is left out, since a 0 would be misleading.
    pub fn read() -> Process {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        };
        let kibibytes = |name: &str| field(name).map(|number| number.saturating_mul(1024));
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Process {
            cpu_seconds: cpu_seconds(&stat),
            resident_bytes: kibibytes("VmRSS:"),
            virtual_bytes: kibibytes("VmSize:"),
            threads: field("Threads:"),
            open_descriptors: fs::read_dir("/proc/self/fd")
                .ok()
                .and_then(|entries| u64::try_from(entries.count()).ok()),
            max_descriptors: rlimit::Resource::NOFILE.get_soft().ok(),
        }
    }
}

/// The CPU time of all threads, in user and kernel mode. The fields follow the name of the program,
/// which is in brackets and may contain any character.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut ticks = fields.split(' ').skip(11);
    let (user, system): (f64, f64) = (ticks.next()?.parse().ok()?, ticks.next()?.parse().ok()?);
    Some((user + system) / TICKS_A_SECOND)
}

/// When the process started, in seconds since 1970; `running` is its age.
pub fn began(running: Duration) -> f64 {
    since_1970().saturating_sub(running).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_seen() {
        let process = Process::read();
        assert!(process.resident_bytes > Some(1 << 20), "{process:?}");
        assert!(process.virtual_bytes >= process.resident_bytes, "{process:?}");
        assert!(process.threads >= Some(1) && process.open_descriptors >= Some(3), "{process:?}");
        assert!(process.max_descriptors >= process.open_descriptors, "{process:?}");
        let stat = "1 (a) b) R 2 3 4 5 6 7 8 9 10 11 250 150 0 0";
        assert_eq!(cpu_seconds(stat), Some(4.0));
        assert_eq!(cpu_seconds("nonsense"), None);
    }
}
