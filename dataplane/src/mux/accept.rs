//! Client: a stream becomes a target's connection.

use super::receive;
use super::stream::{self, Side, Stream};
use super::{Abort, Carrier};
use crate::client::dial;
use crate::worker::{Worker, spawn};
use kariz_proto::control::{Counter, ServiceId};
use kariz_proto::session::carrier::{MAX_OPEN_BYTES, Open, OpenError, Ready};
use kariz_proto::smux::StreamId;
use std::rc::Rc;

/// The server has opened a stream; its Open is still to come. Called while the protocol is at work.
pub(super) fn opened(worker: &Worker, carrier: &Carrier, id: StreamId) {
    let stream = Stream::new(worker, id, Side::Inner, None);
    carrier.streams.borrow_mut().insert(id, Rc::new(stream));
}

/// Looks whether Open is complete; if so, the target is dialled.
pub(super) fn open(worker: &Rc<Worker>, carrier: &Rc<Carrier>, stream: &Rc<Stream>, service: ServiceId) {
    let Some(got) = stream.preamble.borrow_mut().take() else {
        return;
    };
    match Open::decode(&got, None) {
        Ok(None) if got.len() < MAX_OPEN_BYTES => *stream.preamble.borrow_mut() = Some(got),
        Ok(Some((open, consumed))) => {
            {
                let mut mux = carrier.mux.borrow_mut();
                mux.set_priority(stream.id, open.priority);
                mux.consumed_before_answer(stream.id, consumed);
            }
            receive::pass_on(worker, carrier, stream, got.get(consumed..).unwrap_or_default());
            spawn(
                worker,
                connect(worker.clone(), carrier.clone(), stream.clone(), service, open),
            );
        }
        Ok(None) | Err(_) => carrier.abort(stream, Abort::Refused),
    }
}

/// Dials the target and answers Ready. What the visitor says meanwhile is kept, bounded by the stream's window.
async fn connect(worker: Rc<Worker>, carrier: Rc<Carrier>, stream: Rc<Stream>, service: ServiceId, open: Open) {
    let attended = stream::Attended::new(&carrier, &stream);
    let gauge = worker.gauge(Counter::Targets);
    let target = worker
        .client
        .target(service)
        .filter(|target| target.name == open.service);
    let dialled = match &target {
        Some(target) => dial(&worker, target, open.port_offset).await,
        None => Err(OpenError::Unreachable),
    };
    if stream.is_dead() {
        return;
    }
    let answer = Ready {
        stream_id: open.stream_id,
        result: dialled.as_ref().map(|_| ()).map_err(|error| *error),
    };
    let queued = carrier.mux.borrow_mut().queue_first(stream.id, answer.encode(None));
    carrier.outgoing.wake();
    match (dialled, target) {
        (Ok(sock), Some(target)) if queued.is_ok() => {
            worker.count(Counter::Opened);
            stream.limit(worker.budgets.limiter(&[&target.budgets]));
            *stream.counted.borrow_mut() = Some(Box::new(gauge));
            let _ = stream.sock.set(sock);
            stream::start(&worker, &carrier, &stream);
            // A connection that is new has room.
            stream::flush(&worker, &carrier, &stream);
        }
        _ => stream::refuse(&worker, &carrier, &stream),
    }
    attended.done();
}
