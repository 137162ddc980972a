//! Notifications to the supervisor of the process, if it has asked for them: systemd's
//! `Type=notify`.
//!
//! The protocol is one datagram to the socket that `NOTIFY_SOCKET` names (sd_notify(3)).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Sends a notification such as `READY=1`; does nothing without a supervisor.
pub fn tell(what: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return };
    let sent = address(name.as_bytes()).and_then(|address| {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to_addr(what.as_bytes(), &address)
    });
    if let Err(error) = sent {
        log::warn!(target: "tollgate::supervisor", "cannot notify the supervisor of {what}: {error}");
    }
}

/// The interval of watchdog notifications, if the supervisor wants them: half of the time after
/// which it considers the process hung (sd_watchdog_enabled(3)).
pub fn watchdog() -> Option<Duration> {
    interval(&std::env::var("WATCHDOG_USEC").ok()?)
}

/// Half of a time in microseconds. `WATCHDOG_PID` is ignored: after an upgrade, the successor has
/// the environment of its predecessor, and takes over its watchdog.
fn interval(microseconds: &str) -> Option<Duration> {
    let microseconds: u64 = microseconds.parse().ok().filter(|time| *time > 1)?;
    Some(Duration::from_micros(microseconds / 2))
}

/// A path, or after an `@` a name in the abstract namespace.
fn address(name: &[u8]) -> std::io::Result<SocketAddr> {
    match name.split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_told_twice_in_its_time() {
        for (written, wanted) in [("30000000", Some(Duration::from_secs(15))), ("0", None), ("1", None), ("soon", None)]
        {
            assert_eq!(interval(written), wanted, "{written}");
        }
    }

    #[test]
    fn a_supervisor_is_found_by_a_path_or_an_abstract_name() {
        assert_eq!(
            address(b"/run/systemd/notify").unwrap().as_pathname().unwrap().to_str(),
            Some("/run/systemd/notify")
        );
        assert_eq!(address(b"@notify").unwrap().as_abstract_name(), Some(b"notify".as_slice()));
    }
}
