//! The sockets that are listened on: bound here, or taken over from a process before this one, and
//! given to Pingora.
//!
//! Pingora could bind them as well, but its failure to do so ends a task and leaves the process
//! alive; and whoever hands his sockets to a successor must still have them. Which there are is
//! `listener.rs`.

use std::fs::Permissions;
use std::io::ErrorKind;
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

/// Connections that may wait to be accepted; the kernel has a limit of its own below.
const BACKLOG: i32 = 65_535;

/// A socket that is listened on.
#[derive(Debug)]
pub struct Socket {
    /// Its address or path.
    pub name: String,
    socket: OwnedFd,
}

impl Socket {
    /// One that was made by another process.
    pub fn taken_over(name: String, socket: OwnedFd) -> Socket {
        Socket { name, socket }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// All sockets of a process, until it closes them. Whoever was given one has it longer.
#[derive(Debug)]
pub struct Sockets(Mutex<Vec<Socket>>);

impl Sockets {
    /// Listens everywhere. What was taken over is used where it has the same name; of the rest,
    /// this process closes its own end.
    ///
    /// # Errors
    /// A message for the operator.
    pub fn open(
        listeners: &Listeners,
        others: impl Iterator<Item = SocketAddr>,
        mut taken_over: Vec<Socket>,
    ) -> Result<Sockets, String> {
        let mut open = |name: String, make: &dyn Fn() -> Result<OwnedFd, String>| match taken_over
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

    /// Copies of all of them.
    ///
    /// # Errors
    /// When the process has too few file descriptors.
    pub fn copies(&self) -> Result<Vec<Socket>, String> {
        self.copies_of(|_| true)
    }

    fn copies_of(&self, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Socket>, String> {
        let copy = |Socket { name, socket }: &Socket| {
            let socket = socket.try_clone().map_err(|error| format!("cannot listen on {name}: {error}"))?;
            Ok(Socket { name: name.clone(), socket })
        };
        self.held().iter().filter(|socket| is_wanted(&socket.name)).map(copy).collect()
    }

    /// Lets all of them go.
    pub fn close(&self) {
        self.held().clear();
    }

    fn held(&self) -> MutexGuard<'_, Vec<Socket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A service for clients on all listeners. `begun` is let go when it accepts connections.
    ///
    /// # Errors
    /// When the process has too few file descriptors.
    pub fn serve<A>(
        &self,
        name: &str,
        app: A,
        listeners: &Listeners,
        begun: Sender<()>,
    ) -> Result<Listening<A>, String> {
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
    /// When the process has too few file descriptors.
    pub fn serve_one<A>(
        &self,
        name: &str,
        app: A,
        address: SocketAddr,
        begun: Sender<()>,
    ) -> Result<Listening<A>, String> {
        let mut service = Service::new(name.to_owned(), app);
        service.threads = Some(1);
        service.add_tcp(&address.to_string());
        let own = address.to_string();
        let sockets = self.copies_of(|name| name == own)?;
        Ok(Listening { service, sockets, begun: Some(begun) })
    }
}

/// A service of Pingora's with the sockets that it is to listen on.
pub struct Listening<A> {
    service: Service<A>,
    sockets: Vec<Socket>,
    /// Let go when connections are accepted.
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

/// What a socket is called, by Pingora as well.
fn name(at: &At) -> String {
    match at {
        At::Address(address) => address.to_string(),
        At::Unix { path, .. } => path.to_string_lossy().into_owned(),
    }
}

fn on_address(address: SocketAddr) -> Result<OwnedFd, String> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let listening = || -> rustix::io::Result<OwnedFd> {
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        if address.is_ipv6() && address.ip().is_unspecified() {
            // Both kinds of addresses, whatever the machine's own default is.
            sockopt::set_ipv6_v6only(&socket, false)?;
        }
        bind(&socket, &address)?;
        listen(&socket, BACKLOG)?;
        Ok(socket)
    };
    listening().map_err(|error| {
        let error = std::io::Error::from(error);
        format!("cannot listen on {address}: {error}; free the address, or choose another one")
    })
}

/// Makes a socket at a path. What is there is removed only if it is a socket that nobody listens on
/// any more, as a process leaves it behind.
fn on_path(path: &Path, mode: u32) -> Result<OwnedFd, String> {
    let cannot = |why: &str| Err(format!("cannot listen on {}: {why}", path.display()));
    if path.to_str().is_none() {
        return cannot("the path is not UTF-8; choose another path");
    }
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
    let listening = || {
        let socket = UnixListener::bind(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(mode))?;
        socket.set_nonblocking(true)?;
        listen(&socket, BACKLOG)?;
        Ok(OwnedFd::from(socket))
    };
    match listening() {
        Ok(socket) => Ok(socket),
        Err::<_, std::io::Error>(error) => {
            cannot(&format!("{error}; make its directory, and let this user write there"))
        }
    }
}

/// A listener as Pingora knows it.
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
