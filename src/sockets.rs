//! The sockets that clients connect to: tried out at start, handed to Pingora, and waited for.
//!
//! They are tried out before Pingora binds them, since its own failure to bind ends a task and
//! leaves the process alive. Which there are is `listener.rs`.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use pingora_core::listeners::{ListenerConfig, TcpSocketOptions};
use pingora_core::protocols::l4::stream::L4BufferSettings;

use crate::listener::{At, Listener, Listeners};
use crate::proxied::READ_BUFFER_BYTES;

/// How often it is tried to connect to a listener that is not there yet.
const READY_CHECK: Duration = Duration::from_millis(5);

/// Tries whether all addresses can be listened on.
///
/// # Errors
/// A message for the operator.
pub fn try_out(listeners: &Listeners, others: impl Iterator<Item = SocketAddr>) -> Result<(), String> {
    // All are held at once, so that two equal ones are found, and let go for Pingora to bind.
    let mut held = Vec::new();
    for listener in &listeners.0 {
        match &listener.at {
            At::Address(address) => held.push(hold(*address)?),
            At::Unix { path, .. } => try_path(path)?,
        }
    }
    for address in others {
        held.push(hold(address)?);
    }
    Ok(())
}

fn hold(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address)
        .map_err(|error| format!("cannot listen on {address}: {error}; free the address, or choose another one"))
}

/// Makes sure that a socket can be made at a path. What is there is removed only if it is a socket
/// that nobody listens on any more, as a process leaves it behind.
fn try_path(path: &Path) -> Result<(), String> {
    let cannot = |why: &str| Err(format!("cannot listen on {}: {why}", path.display()));
    match std::fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            return cannot("there is something else than a socket; remove it, or choose another path");
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            return cannot("somebody listens there; end that process, or choose another path");
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return cannot(&format!("{error}; choose another path")),
    }
    // It may be there or not: what counts is whether a new one can be made.
    let _ = std::fs::remove_file(path);
    match UnixListener::bind(path) {
        Ok(_) => Ok(()),
        Err(error) => cannot(&format!("{error}; make its directory, and let this user write there")),
    }
}

/// The listeners as they are given to Pingora, which binds one after the other.
pub fn in_order(listeners: &Listeners) -> impl Iterator<Item = &Listener> {
    let plain = listeners.0.iter().filter(|listener| listener.is_plain());
    listeners.0.iter().filter(|listener| !listener.is_plain()).chain(plain)
}

/// A listener as Pingora knows it.
pub fn endpoint(listener: &Listener) -> ListenerConfig {
    let endpoint = match &listener.at {
        At::Address(address) => {
            let endpoint = ListenerConfig::tcp(address.to_string());
            if address.ip().is_unspecified() && address.is_ipv6() {
                // Both kinds of addresses, whatever the machine's own default is.
                let mut options = TcpSocketOptions::default();
                options.ipv6_only = Some(false);
                endpoint.tcp_socket_options(options)
            } else {
                endpoint
            }
        }
        At::Unix { path, mode } => {
            ListenerConfig::uds(path.to_string_lossy()).permissions(Permissions::from_mode(*mode))
        }
    };
    // The gateway reads into its own buffers and writes whole answers. Only a PROXY header is read
    // in small pieces.
    endpoint.l4_buffer(match &listener.proxies {
        None => L4BufferSettings::unbuffered(),
        Some(_) => L4BufferSettings::new(READ_BUFFER_BYTES, 0),
    })
}

/// Comes back when clients can connect to every listener, which is when they can to the last, and
/// operators to theirs.
pub fn wait_for_all(listeners: &Listeners, admin: SocketAddr) {
    let Some(last) = in_order(listeners).last() else { return };
    let connects = || match &last.at {
        At::Address(address) => TcpStream::connect(address).is_ok(),
        // One that is for others alone is there as well.
        At::Unix { path, .. } => {
            UnixStream::connect(path).map_or_else(|error| error.kind() == ErrorKind::PermissionDenied, |_| true)
        }
    };
    while !connects() || TcpStream::connect(admin).is_err() {
        std::thread::sleep(READY_CHECK);
    }
}
