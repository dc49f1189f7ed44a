//! One visitor in the direct lane: Open goes out together with the visitor's first bytes, Ready comes back before
//! the target's; from then on the carrier is the visitor's.

use super::serving::IdleCarrier;
use super::session::Share;
use crate::flow::{End, Fault, Pump, join, linger};
use crate::limit::Limiter;
use crate::net::Sock;
use crate::preamble;
use crate::service::{Service, Visitor, refuse};
use crate::worker::Worker;
use kariz_proto::control::{Counter, RefuseReason, Voucher};
use kariz_proto::session::carrier::{MAX_OPEN_BYTES, Open, OpenError, Ready};
use monoio::time::timeout;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// How long the client may take to reach the target. It has its own `dial_timeout`; this one is for a client that
/// says nothing at all.
pub(crate) const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves one visitor to its end.
pub(super) async fn serve(
    worker: Rc<Worker>,
    service: Rc<Service>,
    visitor: Visitor,
    share: Share,
    carrier: IdleCarrier,
) {
    let gauge = (
        worker.gauge(Counter::Visitors),
        worker.gauge(Counter::CarriersBusy),
        visitor.admission,
        share,
    );
    let peer = visitor.peer;
    let IdleCarrier {
        sock: carrier,
        session,
        voucher,
        share: of_session,
    } = carrier;
    let spec = service.spec.borrow().clone();
    let Ok(visitor_sock) = Sock::new(visitor.fd, &worker.sockets) else {
        return refuse(&worker, &service, peer, RefuseReason::Internal);
    };
    let session_spec = session.spec();
    let limiter = worker.budgets.limiter(&[&spec.budgets, &session_spec.budgets]);
    let auth = (&session_spec.carrier_key, &voucher);
    let open = Open {
        service: spec.name.clone(),
        port_offset: visitor.port_offset,
        stream_id: 0,
        priority: spec.priority,
        visitor: peer,
    };
    let mut first = open.encode(Some(auth));
    preamble::proxy_header(&mut first, spec.proxy_protocol, peer, &visitor_sock);
    let key = session_spec.carrier_key.clone();
    drop((session_spec, session));

    let up = async {
        first_flight(&worker, &visitor_sock, &carrier, first, &limiter).await?;
        let pump = Pump {
            worker: &worker,
            from: &visitor_sock,
            to: &carrier,
            limiter: &limiter,
            bytes: Counter::BytesIn,
        };
        pump.run().await
    };
    let down = async {
        let ready = timeout(READY_TIMEOUT, ready(&worker, &carrier, (&key, &voucher))).await;
        let rest = ready.unwrap_or(Err(Fault::Refused(RefuseReason::TargetTimeout)))?;
        worker.count(Counter::Opened);
        visitor_sock.send_all(&rest).await.map_err(Fault::Sink)?;
        worker.counters.add(Counter::BytesOut as usize, rest.len() as u64);
        drop(rest);
        let pump = Pump {
            worker: &worker,
            from: &carrier,
            to: &visitor_sock,
            limiter: &limiter,
            bytes: Counter::BytesOut,
        };
        pump.run().await
    };
    let (up_done, down_done, end) = join(&visitor_sock, &carrier, up, down).await;
    match end {
        End::Complete => {}
        End::Fault(Fault::Refused(reason)) => refuse(&worker, &service, peer, reason),
        End::Fault(fault) => {
            worker.count(Counter::Resets);
            tracing::debug!(service = %spec.name, %peer, %fault, "visitor reset");
            if down_done {
                linger(&worker, visitor_sock);
            }
            if up_done {
                linger(&worker, carrier);
            }
        }
    }
    drop((gauge, of_session));
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

/// Reads Ready; returns what came after it.
async fn ready(
    worker: &Worker,
    carrier: &Sock,
    auth: (&kariz_proto::control::CarrierKey, &Voucher),
) -> Result<Vec<u8>, Fault> {
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
