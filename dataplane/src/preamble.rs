//! What goes before a visitor's own bytes.

use crate::net::{Sock, unmapped};
use kariz_proto::model::ProxyProtocol;
use std::net::SocketAddr;

/// Appends the PROXY protocol header that the target is to see, if the service wants one.
pub(crate) fn proxy_header(out: &mut Vec<u8>, version: Option<ProxyProtocol>, visitor: SocketAddr, sock: &Sock) {
    let Some(version) = version else { return };
    let local = rustix::net::getsockname(sock)
        .ok()
        .and_then(|addr| SocketAddr::try_from(addr).ok());
    out.extend_from_slice(&kariz_proto::proxy_protocol::header(
        version,
        visitor,
        unmapped(local.unwrap_or(visitor)),
    ));
}
