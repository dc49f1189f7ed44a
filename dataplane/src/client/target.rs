//! Dialling the target of a visitor.

use crate::net::{Sock, connect_any, is_shortage};
use crate::worker::Worker;
use kariz_proto::control::{Event, TargetSpec};
use kariz_proto::session::carrier::OpenError;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

/// Where the visitors of a service go.
pub(crate) type Target = Arc<TargetSpec>;

/// A connected target, or what the server is to be told.
pub(crate) type Dialled = Result<Sock, OpenError>;

/// Connects to the target for a visitor at `port_offset` of the public range.
pub(crate) async fn dial(worker: &Rc<Worker>, target: &TargetSpec, port_offset: u16) -> Dialled {
    let port = target.ports.at(port_offset).ok_or(OpenError::Unreachable)?;
    let addrs: Vec<_> = target.addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
    let result = connect_any(&addrs, &target.socket, &worker.sockets, target.dial_timeout).await;
    result.map_err(|error| {
        worker.emit(Event::DialFailed {
            service: target.service,
        });
        tracing::debug!(service = %target.name, %error, "target not reached");
        open_error(&error)
    })
}

/// The kernel's answer in the words of Ready.
fn open_error(error: &io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => OpenError::Refused,
        io::ErrorKind::TimedOut => OpenError::Timeout,
        _ if is_shortage(error) => OpenError::Limit,
        _ => OpenError::Unreachable,
    }
}
