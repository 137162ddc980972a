//! What a client's bytes travel on: TCP, a Unix socket, or TLS over either.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use super::PATIENCE;
use super::tls::TlsSettings;

pub enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    pub fn tcp(address: SocketAddr) -> Wire {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Wire::Tcp(stream)
    }

    pub fn unix(path: &Path) -> Wire {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Wire::Unix(stream)
    }

    /// Makes the handshake over a new connection, behind bytes that go first; `None` if the gateway
    /// refuses it.
    pub fn tls(address: SocketAddr, first: &[u8], settings: &TlsSettings) -> Option<Wire> {
        let Wire::Tcp(mut stream) = Wire::tcp(address) else { unreachable!() };
        stream.write_all(first).unwrap();
        let mut connection = settings.connection();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).ok()?;
        }
        Some(Wire::Tls(Box::new(StreamOwned::new(connection, stream))))
    }

    pub fn tls_connection(&self) -> &ClientConnection {
        match self {
            Wire::Tls(stream) => &stream.conn,
            Wire::Tcp(_) | Wire::Unix(_) => panic!("no TLS"),
        }
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        match self {
            Wire::Tcp(stream) => stream.shutdown(Shutdown::Write).unwrap(),
            Wire::Unix(stream) => stream.shutdown(Shutdown::Write).unwrap(),
            Wire::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
        }
    }

    /// Checks that nothing comes for so long.
    pub fn assert_silent(&mut self, allowance: Duration) {
        let Wire::Tcp(stream) = self else { panic!("not over plain TCP") };
        stream.set_read_timeout(Some(allowance)).unwrap();
        let mut byte = [0; 1];
        match stream.peek(&mut byte) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(0) => panic!("the connection ended"),
            other => panic!("not silent: {other:?}"),
        }
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Wire::Tcp(stream) => stream.read(into),
            Wire::Unix(stream) => stream.read(into),
            Wire::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Wire::Tcp(stream) => stream.write(bytes),
            Wire::Unix(stream) => stream.write(bytes),
            Wire::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Wire::Tcp(stream) => stream.flush(),
            Wire::Unix(stream) => stream.flush(),
            Wire::Tls(stream) => stream.flush(),
        }
    }
}
