//! Clients: listeners and their sockets, the PROXY protocol, and the connections of HTTP/1 and HTTP/2 that drive the
//! gateway. Requests are judged in `gateway` and `policy`.

pub mod accept;
pub(crate) mod http1;
pub mod http2;
pub mod listener;
pub mod proxy_protocol;
pub mod serve;
pub(crate) mod sockets;
