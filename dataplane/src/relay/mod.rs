//! The relay role: accept, dial one of the remotes, move bytes. No tunnel.

mod remotes;

pub(crate) use remotes::Remotes;

use crate::flow::{Opening, relay};
use crate::net::{Sock, connect_any, is_shortage};
use crate::preamble;
use crate::service::{Admission, Service, Visitor, hand_to, refuse};
use crate::tally::Share;
use crate::worker::{Gauge, PanicPoint, Worker, spawn};
use kariz_proto::control::{Counter, Event, PublicService, RefuseReason};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

/// Sends a visitor to a remote.
pub(crate) fn visit(worker: &Rc<Worker>, service: &Rc<Service>, remotes: Arc<Remotes>, visitor: Visitor) {
    let relief = worker.shared.visitors.relief(worker.place());
    let visitor = match relief.filter(|_| !visitor.moved) {
        Some(there) => match hand_to(worker, there, visitor) {
            Ok(()) => return,
            Err(visitor) => visitor,
        },
        None => visitor,
    };
    spawn(worker, serve(worker.clone(), service.clone(), remotes, visitor));
}

async fn serve(worker: Rc<Worker>, service: Rc<Service>, remotes: Arc<Remotes>, visitor: Visitor) {
    let peer = visitor.peer;
    let counted = (worker.gauge(Counter::Visitors), visitor.admission);
    let spec = service.spec.borrow().clone();
    let Ok(visitor_sock) = Sock::new(visitor.fd, &worker.sockets) else {
        return refuse(&worker, &service, peer, RefuseReason::Internal);
    };
    let (remote, share) = match reach(&worker, &service, &spec, &remotes, visitor.port_offset).await {
        Ok(reached) => reached,
        Err(reason) => return refuse(&worker, &service, peer, reason),
    };
    drop(remotes);
    let mut header = Vec::new();
    preamble::proxy_header(&mut header, spec.proxy_protocol, peer, &visitor_sock);
    if remote.send_all(&header).await.is_err() {
        return refuse(&worker, &service, peer, RefuseReason::TargetUnreachable);
    }
    worker.count(Counter::Opened);
    // The way here took far more memory than what is left: a task of its own lets go of it.
    spawn(
        &worker,
        cross(worker.clone(), visitor_sock, remote, (spec, peer), (counted, share)),
    );
}

/// Moves the bytes of a visitor whose remote is connected.
fn cross(
    worker: Rc<Worker>,
    visitor: Sock,
    remote: Sock,
    (spec, peer): (Arc<PublicService>, SocketAddr),
    counted: ((Gauge, Admission), Option<Share>),
) -> impl Future<Output = ()> {
    let limiter = worker.budgets.limiter(&[&spec.budgets]);
    async move {
        worker.may_panic(PanicPoint::Visitor);
        if let Err(fault) = relay(&worker, &visitor, &remote, &limiter, Opening::default()).await {
            worker.count(Counter::Resets);
            tracing::debug!(service = %spec.name, %peer, bytes = %visitor.traffic(), reason = %fault, "visitor reset");
        }
        drop(counted);
    }
}

/// Connects to the first remote that answers, in the order that the strategy and the remotes' health give.
async fn reach(
    worker: &Rc<Worker>,
    service: &Service,
    spec: &PublicService,
    remotes: &Remotes,
    port_offset: u16,
) -> Result<(Sock, Option<Share>), RefuseReason> {
    let mut reason = RefuseReason::TargetUnreachable;
    for index in remotes.order() {
        let Some((name, addrs, remote)) = remotes.get(index, port_offset) else {
            continue;
        };
        let share = remote.visitor(worker);
        match connect_any(&addrs, &spec.socket, &worker.sockets, remotes.spec.dial_timeout).await {
            Ok(sock) => {
                remote.reached(&spec.name, name);
                return Ok((sock, share));
            }
            Err(error) => {
                reason = reason_of(&error);
                tracing::debug!(service = %spec.name, remote = %name, %error, "remote not reached");
                worker.emit(Event::DialFailed { service: spec.service });
                if !addrs.is_empty() && !is_shortage(&error) {
                    remote.failed(worker, service, name, port_offset);
                }
            }
        }
    }
    Err(reason)
}

fn reason_of(error: &io::Error) -> RefuseReason {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => RefuseReason::TargetRefused,
        io::ErrorKind::TimedOut => RefuseReason::TargetTimeout,
        _ if is_shortage(error) => RefuseReason::VisitorLimit,
        _ => RefuseReason::TargetUnreachable,
    }
}
