//! A gateway that serves in the process of a test or benchmark.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::{GetSocketDigest, SocketDigest};
use tollgate::downstream::listener::Listener;
use tollgate::downstream::serve;
use tollgate::gateway::Gateway;

/// Serves connections on threads of their own; returns the address.
pub fn serve_on_threads(gateway: &Arc<Gateway>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, gateway) = (listener.local_addr().unwrap(), Arc::clone(gateway));
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        // One for all, since idle connections to the backend belong to it.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (accepted, _) = listener.accept().await.unwrap();
                let digest = SocketDigest::from_raw_fd(accepted.as_raw_fd());
                let mut stream = Stream::from(accepted);
                stream.set_socket_digest(digest);
                let gateway = Arc::clone(&gateway);
                tokio::spawn(async move {
                    let (_running, shutdown) = tokio::sync::watch::channel(false);
                    serve::serve(&gateway, Box::new(stream), &Listener::plain(address), &shutdown).await;
                });
            }
        });
    });
    address
}
