//! One visitor in the direct lane: Open goes out together with the visitor's first bytes, Ready comes back before
//! the target's; from then on the carrier is the visitor's.

use super::serving::IdleCarrier;
use crate::flow::{Before, End, Fault, relay};
use crate::limit::Limiter;
use crate::net::Sock;
use crate::preamble;
use crate::service::{Service, Visitor, refuse};
use crate::tally::Share;
use crate::worker::Worker;
use kariz_proto::control::{CarrierKey, Counter, RefuseReason, Voucher};
use kariz_proto::session::carrier::{MAX_OPEN_BYTES, Open, OpenError, Ready};
use monoio::time::timeout;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// How long the client may take to reach the target. It has its own `dial_timeout`; this one is for a client that
/// says nothing at all.
pub(crate) const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves one visitor to its end.
pub(super) fn serve(
    worker: Rc<Worker>,
    service: Rc<Service>,
    visitor: Visitor,
    share: Share,
    carrier: IdleCarrier,
) -> impl Future<Output = ()> {
    let peer = visitor.peer;
    let spec = service.spec.borrow().clone();
    let session = carrier.session.spec();
    let limiter = worker.budgets.limiter(&[&spec.budgets, &session.budgets]);
    let open = Open {
        service: spec.name.clone(),
        port_offset: visitor.port_offset,
        stream_id: 0,
        priority: spec.priority,
        visitor: peer,
    };
    let mut first = open.encode(Some((&session.carrier_key, &carrier.voucher)));
    let auth = (session.carrier_key.clone(), carrier.voucher);
    let sock = Sock::new(visitor.fd, &worker.sockets);
    if let Ok(sock) = &sock {
        preamble::proxy_header(&mut first, spec.proxy_protocol, peer, sock);
    }
    let counted = (visitor.admission, share, carrier.share);
    let carrier = carrier.sock;
    // Everything that lasts as long as the visitor is captured once; the rest is boxed and gone after the first bytes.
    async move {
        let _gauges = (worker.gauge(Counter::Visitors), worker.gauge(Counter::CarriersBusy));
        let Ok(sock) = &sock else {
            return refuse(&worker, &service, peer, RefuseReason::Internal);
        };
        let up = first_flight(&worker, sock, &carrier, first, &limiter);
        let down = ready(&worker, &carrier, sock, auth);
        let before: (Before<'_>, Before<'_>) = (Some(Box::pin(up)), Some(Box::pin(down)));
        match relay(&worker, sock, &carrier, &limiter, before).await {
            End::Complete => {}
            End::Fault(Fault::Refused(reason)) => refuse(&worker, &service, peer, reason),
            End::Fault(fault) => {
                worker.count(Counter::Resets);
                tracing::debug!(service = %service.spec.borrow().name, %peer, %fault, "visitor reset");
            }
        }
        drop(counted);
    }
}

/// Sends Open and whatever the visitor has said already in one go.
async fn first_flight(
    worker: &Worker,
    visitor: &Sock,
    carrier: &Sock,
    mut first: Vec<u8>,
    limiter: &Limiter,
) -> Result<(), Fault> {
    let room = limiter.room();
    {
        let mut scratch = worker.scratch.borrow_mut();
        let most = worker.buffers.next_size().min(room);
        if most > 0
            && let Some(bytes @ 1..) = visitor.recv(&mut scratch[..most]).map_err(Fault::Source)?
        {
            first.extend_from_slice(&scratch[..bytes]);
            limiter.spend(bytes);
            worker.counters.add(Counter::BytesIn as usize, bytes as u64);
        }
    }
    carrier.send_all(&first).await.map_err(|error| match error.kind() {
        // The carrier died while it was idle: nothing of the visitor is lost on anybody but the visitor.
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Fault::Refused(RefuseReason::CarrierLost),
        _ => Fault::Sink(error),
    })
}

/// Waits for Ready and hands on what came after it.
async fn ready(worker: &Worker, carrier: &Sock, visitor: &Sock, auth: (CarrierKey, Voucher)) -> Result<(), Fault> {
    let ready = timeout(READY_TIMEOUT, read_ready(worker, carrier, (&auth.0, &auth.1))).await;
    let rest = ready.unwrap_or(Err(Fault::Refused(RefuseReason::TargetTimeout)))?;
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
        fn size<A, B, C, D, E, F>(_: fn(A, B, C, D, E) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(serve) <= 1536, "{} bytes", size(serve));
    }
}
