//! A pass-through on Pingora's `ProxyHttp`, without any policy: the cost of a proxy that is built
//! the usual way on the same library as the gateway.
//!
//!     passthrough LISTEN BACKEND

use std::net::SocketAddr;

use async_trait::async_trait;
use pingora_core::Result;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

struct PassThrough {
    backend: SocketAddr,
}

#[async_trait]
impl ProxyHttp for PassThrough {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.backend, false, String::new())))
    }
}

fn main() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(backend)) = (arguments.next(), arguments.next()) else {
        return Err("usage: passthrough LISTEN BACKEND".to_owned());
    };
    let backend = backend.parse().map_err(|_| "BACKEND is not an address and a port".to_owned())?;
    let conf = ServerConf { threads: 1, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, PassThrough { backend });
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever()
}
