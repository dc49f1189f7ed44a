//! One visitor in the direct lane: Open goes out together with the visitor's first bytes, Ready comes back before
//! the target's; from then on the carrier is the visitor's.

use super::serving::{IdleCarrier, Serving};
use crate::flow::{Fault, MAX_SAID_BYTES, Opening, Said, relay};
use crate::limit::Limiter;
use crate::net::Sock;
use crate::preamble;
use crate::service::{Service, Visitor, refuse};
use crate::tally::Share;
use crate::worker::{PanicPoint, Worker};
use kariz_proto::control::{CarrierKey, Counter, RefuseReason, Voucher};
use kariz_proto::session::carrier::{MAX_OPEN_BYTES, Open, OpenError, Ready};
use monoio::time::timeout;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// How long the client may take to reach the target. It has its own `dial_timeout`; this one is for a client that
/// says nothing at all.
pub(crate) const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves one visitor to its end.
pub(super) fn serve(
    worker: Rc<Worker>,
    service: Rc<Service>,
    serving: Rc<Serving>,
    visitor: Visitor,
    share: Share,
    carrier: IdleCarrier,
) -> impl Future<Output = ()> {
    let (peer, arrived, port_offset) = (visitor.peer, visitor.arrived, visitor.port_offset);
    let limiter = {
        let (spec, session) = (service.spec.borrow(), carrier.session.spec());
        worker.budgets.limiter(&[&spec.budgets, &session.budgets])
    };
    let sock = Sock::new(visitor.fd, &worker.sockets);
    let counted = (visitor.admission, share);
    // Everything that lasts as long as the visitor is captured once; the rest is boxed and gone after the first bytes.
    async move {
        let _gauges = (worker.gauge(Counter::Visitors), worker.gauge(Counter::CarriersBusy));
        let Ok(sock) = &sock else {
            return refuse(&worker, &service, peer, RefuseReason::Internal);
        };
        worker.may_panic(PanicPoint::Visitor);
        let mut carrier = carrier;
        let said = Said::new(&worker.counters);
        let end = loop {
            let first = open(&service, &carrier, (peer, port_offset), sock);
            let auth = (carrier.session.spec().carrier_key.clone(), carrier.voucher);
            let opening = Opening {
                up: Some(Box::pin(first_flight(
                    &worker,
                    sock,
                    &carrier.sock,
                    first,
                    (&limiter, &said),
                ))),
                down: Some(Box::pin(ready(&worker, &carrier.sock, sock, auth, &said))),
                said: Some(&said),
            };
            let end = relay(&worker, sock, &carrier.sock, &limiter, opening).await;
            // The carrier was dead already, and the client has seen nothing of the visitor.
            let lost = matches!(end, Err(Fault::Sink(_) | Fault::Refused(RefuseReason::CarrierLost)));
            if !(lost && said.can_be_repeated() && carrier.sock.met_nobody()) {
                break end;
            }
            match Box::pin(serving.another(&worker, sock, arrived)).await {
                Some(another) => carrier = another,
                None => break end,
            }
        };
        match end {
            Ok(()) => {}
            Err(Fault::Refused(reason)) => refuse(&worker, &service, peer, reason),
            Err(fault) => {
                worker.count(Counter::Resets);
                let (spec, session) = (service.spec.borrow(), carrier.session.spec());
                tracing::debug!(service = %spec.name, %peer, session_id = %session.session, bytes = %sock.traffic(), reason = %fault, "visitor reset");
            }
        }
        drop(counted);
    }
}

/// Open for a visitor, and the PROXY header behind it.
fn open(service: &Service, carrier: &IdleCarrier, (peer, port_offset): (SocketAddr, u16), sock: &Sock) -> Vec<u8> {
    let spec = service.spec.borrow();
    let open = Open {
        service: spec.name.clone(),
        port_offset,
        stream_id: 0,
        priority: spec.priority,
        visitor: peer,
    };
    let mut first = open.encode(Some((&carrier.session.spec().carrier_key, &carrier.voucher)));
    preamble::proxy_header(&mut first, spec.proxy_protocol, peer, sock);
    first
}

/// Sends Open and whatever the visitor has said already in one go.
async fn first_flight(
    worker: &Worker,
    visitor: &Sock,
    carrier: &Sock,
    mut first: Vec<u8>,
    (limiter, said): (&Limiter, &Said<'_>),
) -> Result<(), Fault> {
    if !said.repeat(&mut first) {
        let room = limiter.room();
        let mut scratch = worker.scratch.borrow_mut();
        let most = MAX_SAID_BYTES.min(room);
        if most > 0
            && let Some(bytes @ 1..) = visitor.recv(&mut scratch[..most]).map_err(Fault::Source)?
        {
            said.note(&scratch[..bytes]);
            first.extend_from_slice(&scratch[..bytes]);
            limiter.spend(bytes);
            worker.counters.add(Counter::BytesIn as usize, bytes as u64);
        }
    }
    carrier.send_all(&first).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Fault::Refused(RefuseReason::CarrierLost),
        _ => Fault::Sink(error),
    })
}

/// Waits for Ready and hands on what came after it.
async fn ready(
    worker: &Worker,
    carrier: &Sock,
    visitor: &Sock,
    auth: (CarrierKey, Voucher),
    said: &Said<'_>,
) -> Result<(), Fault> {
    let ready = timeout(READY_TIMEOUT, read_ready(worker, carrier, (&auth.0, &auth.1))).await;
    let rest = ready.unwrap_or(Err(Fault::Refused(RefuseReason::TargetTimeout)))?;
    said.was_heard();
    worker.count(Counter::Opened);
    worker.counters.add(Counter::BytesOut as usize, rest.len() as u64);
    visitor.send_all(&rest).await.map_err(Fault::Sink)
}

/// Reads Ready; returns what came after it.
async fn read_ready(worker: &Worker, carrier: &Sock, auth: (&CarrierKey, &Voucher)) -> Result<Vec<u8>, Fault> {
    let lost = || Fault::Refused(RefuseReason::CarrierLost);
    let mut got = Vec::new();
    loop {
        let received = {
            let mut scratch = worker.scratch.borrow_mut();
            let received = carrier.recv(&mut scratch[..MAX_OPEN_BYTES]).map_err(|_| lost())?;
            got.extend_from_slice(&scratch[..received.unwrap_or(0)]);
            received
        };
        match received {
            None => {
                carrier.readable().await.map_err(|_| lost())?;
                continue;
            }
            Some(0) => return Err(lost()),
            Some(_) => {}
        }
        match Ready::decode(&got, Some(auth)).map_err(|_| lost())? {
            None => {}
            Some((Ready { result: Ok(()), .. }, consumed)) => return Ok(got.split_off(consumed)),
            Some((Ready { result: Err(error), .. }, _)) => return Err(Fault::Refused(reason_of(error))),
        }
    }
}

/// The target's fault in the words of a refusal.
pub(crate) fn reason_of(error: OpenError) -> RefuseReason {
    match error {
        OpenError::Refused => RefuseReason::TargetRefused,
        OpenError::Unreachable => RefuseReason::TargetUnreachable,
        OpenError::Timeout => RefuseReason::TargetTimeout,
        OpenError::Limit => RefuseReason::VisitorLimit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an idle visitor of the direct lane costs is mostly this.
    #[test]
    fn task_of_a_visitor_stays_small() {
        fn size<A, B, C, D, E, G, F>(_: fn(A, B, C, D, E, G) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(serve) <= 1216, "{} bytes", size(serve));
    }
}
