//! The listening sockets: bound here, or taken over from a previous process, and passed to Pingora.
//!
//! Pingora could bind them as well, but if it fails, only a task ends and the process stays alive;
//! and the sockets must be kept here to be handed to a successor. The listeners themselves are in
//! `listener.rs`.

use std::fmt;
use std::fs::Permissions;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pingora_core::apps::ServerApp;
use pingora_core::listeners::ListenerConfig;
use pingora_core::protocols::l4::stream::L4BufferSettings;
use pingora_core::server::{ListenFds, ShutdownWatch};
use pingora_core::services::listening::Service;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

use crate::downstream::listener::{At, Listener, Listeners};
use crate::downstream::proxy_protocol::READ_BUFFER_BYTES;

/// The most connections that may wait to be accepted; the kernel's own limit is lower.
const BACKLOG: i32 = 65_535;

/// A listening socket.
#[derive(Debug)]
pub struct Socket {
    /// Its address or path.
    pub name: String,
    socket: OwnedFd,
}

impl Socket {
    /// A socket that was made by another process.
    pub fn taken_over(name: String, socket: OwnedFd) -> Socket {
        Socket { name, socket }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Why an address cannot be listened on.
#[derive(Debug)]
pub struct ListenError {
    /// The address, or the path.
    name: String,
    cause: Option<io::Error>,
    /// What to do about it, if the cause does not say.
    advice: &'static str,
}

impl fmt::Display for ListenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ListenError { name, cause, advice } = self;
        match cause {
            Some(cause) if advice.is_empty() => write!(formatter, "cannot listen on {name}: {cause}"),
            Some(cause) => write!(formatter, "cannot listen on {name}: {cause}; {advice}"),
            None => write!(formatter, "cannot listen on {name}: {advice}"),
        }
    }
}

impl std::error::Error for ListenError {}

/// All listening sockets of the process, until it closes them. A successor that was handed one
/// keeps it.
#[derive(Debug)]
pub struct Sockets(Mutex<Vec<Socket>>);

impl Sockets {
    /// Opens all listeners. A socket that was taken over is used if it has the same name; the
    /// others are closed in this process.
    ///
    /// # Errors
    /// The first that cannot be listened on.
    pub fn open(
        listeners: &Listeners,
        others: impl Iterator<Item = SocketAddr>,
        mut taken_over: Vec<Socket>,
    ) -> Result<Sockets, ListenError> {
        let mut open = |name: String, make: &dyn Fn() -> Result<OwnedFd, ListenError>| match taken_over
            .iter()
            .position(|socket| socket.name == name)
        {
            Some(place) => Ok(taken_over.swap_remove(place)),
            None => make().map(|socket| Socket { name, socket }),
        };
        let mut sockets = Vec::new();
        for listener in &listeners.0 {
            sockets.push(match &listener.at {
                At::Address(address) => open(name(&listener.at), &|| on_address(*address))?,
                At::Unix { path, mode } => open(name(&listener.at), &|| on_path(path, *mode))?,
            });
        }
        for address in others {
            sockets.push(open(address.to_string(), &|| on_address(address))?);
        }
        Ok(Sockets(Mutex::new(sockets)))
    }

    /// Duplicates all of them.
    ///
    /// # Errors
    /// If the process has too few file descriptors.
    pub fn copies(&self) -> Result<Vec<Socket>, ListenError> {
        self.copies_of(|_| true)
    }

    fn copies_of(&self, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Socket>, ListenError> {
        let copy = |Socket { name, socket }: &Socket| {
            let cannot = |error| ListenError { name: name.clone(), cause: Some(error), advice: "" };
            let socket = socket.try_clone().map_err(cannot)?;
            Ok(Socket { name: name.clone(), socket })
        };
        self.held().iter().filter(|socket| is_wanted(&socket.name)).map(copy).collect()
    }

    /// Closes all of them.
    pub fn close(&self) {
        self.held().clear();
    }

    fn held(&self) -> MutexGuard<'_, Vec<Socket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A service for clients on all listeners. `begun` is dropped when it accepts connections.
    ///
    /// # Errors
    /// If the process has too few file descriptors.
    pub fn serve<A>(
        &self,
        name: &str,
        app: A,
        listeners: &Listeners,
        begun: Sender<()>,
    ) -> Result<Listening<A>, ListenError> {
        let mut service = Service::new(name.to_owned(), app);
        for listener in &listeners.0 {
            service.add_listener(endpoint(listener));
        }
        let names: Vec<String> = listeners.0.iter().map(|listener| self::name(&listener.at)).collect();
        let sockets = self.copies_of(|name| names.iter().any(|own| own == name))?;
        Ok(Listening { service, sockets, begun: Some(begun) })
    }

    /// A service for one address, with a thread of its own.
    ///
    /// # Errors
    /// If the process has too few file descriptors.
    pub fn serve_one<A>(
        &self,
        name: &str,
        app: A,
        address: SocketAddr,
        begun: Sender<()>,
    ) -> Result<Listening<A>, ListenError> {
        let mut service = Service::new(name.to_owned(), app);
        service.threads = Some(1);
        service.add_tcp(&address.to_string());
        let own = address.to_string();
        let sockets = self.copies_of(|name| name == own)?;
        Ok(Listening { service, sockets, begun: Some(begun) })
    }
}

/// A Pingora service with its listening sockets.
pub struct Listening<A> {
    service: Service<A>,
    sockets: Vec<Socket>,
    /// Dropped when connections are accepted.
    begun: Option<Sender<()>>,
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> pingora_core::services::Service for Listening<A> {
    async fn start_service(&mut self, fds: Option<ListenFds>, shutdown: ShutdownWatch, listeners_per_fd: usize) {
        if let Some(fds) = &fds {
            for Socket { name, socket } in self.sockets.drain(..) {
                fds.lock().add(name, socket.into_raw_fd());
            }
        }
        drop(self.begun.take());
        self.service.start_service(fds, shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads()
    }
}

/// The name of a socket, which Pingora uses as well.
fn name(at: &At) -> String {
    match at {
        At::Address(address) => address.to_string(),
        At::Unix { path, .. } => path.to_string_lossy().into_owned(),
    }
}

fn on_address(address: SocketAddr) -> Result<OwnedFd, ListenError> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let listening = || -> rustix::io::Result<OwnedFd> {
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        if address.is_ipv6() && address.ip().is_unspecified() {
            // IPv4 and IPv6, whatever the machine's default is.
            sockopt::set_ipv6_v6only(&socket, false)?;
        }
        bind(&socket, &address)?;
        listen(&socket, BACKLOG)?;
        Ok(socket)
    };
    listening().map_err(|error| ListenError {
        name: address.to_string(),
        cause: Some(error.into()),
        advice: "free the address, or choose another one",
    })
}

/// Makes a socket at a path. An existing file is removed only if it is a socket on which no process
/// listens any more.
fn on_path(path: &Path, mode: u32) -> Result<OwnedFd, ListenError> {
    let cannot =
        |cause: Option<io::Error>, advice| Err(ListenError { name: path.display().to_string(), cause, advice });
    if path.to_str().is_none() {
        return cannot(None, "the path is not UTF-8; choose another path");
    }
    match std::fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            return cannot(None, "a file that is not a socket exists there; remove it, or choose another path");
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            return cannot(None, "another process listens there; end that process, or choose another path");
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return cannot(Some(error), "choose another path"),
    }
    // The file may not exist: what matters is whether a new one can be made.
    let _ = std::fs::remove_file(path);
    let listening = || {
        let socket = UnixListener::bind(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(mode))?;
        socket.set_nonblocking(true)?;
        listen(&socket, BACKLOG)?;
        Ok(OwnedFd::from(socket))
    };
    match listening() {
        Ok(socket) => Ok(socket),
        Err::<_, io::Error>(error) => cannot(Some(error), "make its directory, and allow this user to write there"),
    }
}

/// A listener for Pingora.
fn endpoint(listener: &Listener) -> ListenerConfig {
    let endpoint = match &listener.at {
        At::Address(address) => ListenerConfig::tcp(address.to_string()),
        At::Unix { mode, .. } => ListenerConfig::uds(name(&listener.at)).permissions(Permissions::from_mode(*mode)),
    };
    // The gateway reads into its own buffers and writes whole answers. Only a PROXY header is read
    // in small pieces.
    endpoint.l4_buffer(match &listener.proxies {
        None => L4BufferSettings::unbuffered(),
        Some(_) => L4BufferSettings::new(READ_BUFFER_BYTES, 0),
    })
}
