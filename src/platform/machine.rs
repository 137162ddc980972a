//! What this machine is called.

/// The name of this machine, for people; empty if it has none.
pub fn name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}
