//! Server: a visitor becomes a stream.

use super::stream::{self, Reading, Side, Stream, Visit};
use super::{Abort, Carrier, receive};
use crate::net::Sock;
use crate::preamble;
use crate::server::{READY_TIMEOUT, reason_of};
use crate::service::{Service, Visitor, refuse};
use crate::worker::Worker;
use kariz_proto::control::{BudgetSet, Counter, RefuseReason};
use kariz_proto::session::carrier::{MAX_OPEN_BYTES, Open, Ready};
use std::any::Any;
use std::rc::Rc;

impl Carrier {
    /// Opens a stream for a visitor; its first bytes follow Open without waiting for Ready.
    pub(crate) fn open(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        service: &Rc<Service>,
        visitor: Visitor,
        share: Box<dyn Any>,
        session_budgets: &BudgetSet,
    ) {
        let peer = visitor.peer;
        let spec = service.spec.borrow().clone();
        let Ok(sock) = Sock::new(visitor.fd, &worker.sockets) else {
            return refuse(worker, service, peer, RefuseReason::Internal);
        };
        let Ok(id) = self.mux.borrow_mut().open(spec.priority) else {
            // Out of ids, or the peer's bound: no further visitor on this carrier.
            self.retire();
            return refuse(worker, service, peer, RefuseReason::NoCarrier);
        };
        let open = Open {
            service: spec.name.clone(),
            port_offset: visitor.port_offset,
            stream_id: id.into(),
            priority: spec.priority,
            visitor: peer,
        };
        let mut first = open.encode(None);
        preamble::proxy_header(&mut first, spec.proxy_protocol, peer, &sock);
        let queued = self.mux.borrow_mut().queue_first(id, first);
        debug_assert!(
            queued.is_ok(),
            "Open and a PROXY header fit into a stream's first bytes"
        );
        let visit = Visit {
            service: service.clone(),
            peer,
        };
        let stream = Rc::new(Stream::new(worker, id, Side::Public, Some(visit)));
        stream.limit(worker.budgets.limiter(&[&spec.budgets, session_budgets]));
        let gauge = worker.gauge(Counter::Visitors);
        *stream.counted.borrow_mut() = Some(Box::new((visitor.admission, share, gauge)));
        let _ = stream.sock.set(sock);
        self.streams.borrow_mut().insert(id, stream.clone());
        stream::start(worker, self, &stream);
        // Most visitors speak first, and have done so by now: what they say goes out with Open.
        stream.reading.set(Reading::Ready);
        self.mux.borrow_mut().set_ready(id, true);
        self.outgoing.wake();
    }
}

/// Refuses visitors whose client has said nothing at all for too long.
pub(super) fn expire(worker: &Worker, carrier: &Carrier) {
    let late = |stream: &&Rc<Stream>| stream.preamble.borrow().is_some() && stream.since.elapsed() > READY_TIMEOUT;
    let streams: Vec<_> = carrier.streams.borrow().values().filter(late).cloned().collect();
    streams
        .iter()
        .for_each(|stream| turn_away(worker, carrier, stream, RefuseReason::TargetTimeout));
}

/// Looks whether Ready is complete, and what it says.
pub(super) fn ready(worker: &Rc<Worker>, carrier: &Rc<Carrier>, stream: &Rc<Stream>) {
    let Some(got) = stream.preamble.borrow_mut().take() else {
        return;
    };
    match Ready::decode(&got, None) {
        Ok(None) if got.len() < MAX_OPEN_BYTES => *stream.preamble.borrow_mut() = Some(got),
        Ok(Some((Ready { result: Ok(()), .. }, consumed))) => {
            worker.count(Counter::Opened);
            carrier.mux.borrow_mut().consumed(stream.id, consumed);
            receive::pass_on(worker, carrier, stream, got.get(consumed..).unwrap_or_default());
        }
        Ok(Some((Ready { result: Err(error), .. }, _))) => turn_away(worker, carrier, stream, reason_of(error)),
        Ok(None) | Err(_) => turn_away(worker, carrier, stream, RefuseReason::CarrierLost),
    }
}

fn turn_away(worker: &Worker, carrier: &Carrier, stream: &Stream, reason: RefuseReason) {
    if let Some(visit) = &stream.visit {
        refuse(worker, &visit.service, visit.peer, reason);
    }
    carrier.abort(stream, Abort::Refused);
}
