//! Reading the carrier and handing payloads on.

use super::stream::{self, Stream, Writing};
use super::{Abort, Carrier, CarrierError, accept, open};
use crate::worker::Worker;
use kariz_proto::control::Counter;
use kariz_proto::smux::{Incoming, StreamId};
use std::rc::Rc;
use std::time::Instant;

/// Bytes that a carrier may bring before others get a turn.
const TURN_BYTES: usize = 1 << 20;

/// What a piece of input asks for after the protocol has seen all of it.
enum After {
    Consumed(StreamId, usize),
    Preamble(Rc<Stream>),
    Abort(Rc<Stream>),
    Ended(Rc<Stream>),
    Reset(Rc<Stream>),
}

impl After {
    /// A step before this one has aborted the stream. A FIN that comes right behind a refusal must not end the
    /// visitor's socket cleanly.
    fn is_too_late(&self) -> bool {
        match self {
            After::Consumed(..) => false,
            After::Preamble(stream) | After::Abort(stream) | After::Ended(stream) | After::Reset(stream) => {
                stream.is_dead()
            }
        }
    }
}

/// Receives until the carrier ends; its end is always a fault of somebody, for a retired carrier ends by sending.
pub(super) async fn run(worker: &Rc<Worker>, carrier: &Rc<Carrier>) -> Result<(), CarrierError> {
    let mut since_turn = 0;
    loop {
        if carrier.mux.borrow().receive_paused() {
            carrier.resume.woken().await;
            continue;
        }
        match step(worker, carrier)? {
            None => {
                carrier.sock.readable().await?;
                since_turn = 0;
            }
            Some(0) if carrier.is_unused() => return Ok(()),
            Some(0) => return Err(CarrierError::Closed),
            Some(bytes) => since_turn += bytes,
        }
        if since_turn >= TURN_BYTES {
            worker.turns.pass().await;
            since_turn = 0;
        }
    }
}

/// One read and everything that follows from it, without waiting.
fn step(worker: &Rc<Worker>, carrier: &Rc<Carrier>) -> Result<Option<usize>, CarrierError> {
    let mut scratch = worker.scratch.borrow_mut();
    let Some(bytes) = carrier.sock.recv(&mut scratch)? else {
        return Ok(None);
    };
    let mut after = Vec::new();
    let result = carrier
        .mux
        .borrow_mut()
        .receive(Instant::now(), &scratch[..bytes], &mut |incoming| match incoming {
            Incoming::Opened(id) => accept::opened(worker, carrier, id),
            Incoming::Data(id, data) => {
                after.extend(carrier.stream(id).and_then(|stream| deliver(worker, &stream, data)))
            }
            Incoming::Fin(id) => after.extend(carrier.stream(id).map(After::Ended)),
            Incoming::Reset(id, _) => after.extend(carrier.stream(id).map(After::Reset)),
        });
    drop(scratch);
    for step in after {
        finish_step(worker, carrier, step);
    }
    if result.is_err() {
        worker.count(Counter::Violations);
    }
    result?;
    if carrier.mux.borrow().has_pending() {
        carrier.outgoing.wake();
    }
    Ok(Some(bytes))
}

fn finish_step(worker: &Rc<Worker>, carrier: &Rc<Carrier>, step: After) {
    if step.is_too_late() {
        return;
    }
    match step {
        After::Consumed(id, bytes) => carrier.mux.borrow_mut().consumed(id, bytes),
        After::Preamble(stream) => match carrier.service {
            None => open::ready(worker, carrier, &stream),
            Some(service) => accept::open(worker, carrier, &stream, service),
        },
        After::Abort(stream) => carrier.abort(&stream, Abort::Peer),
        After::Ended(stream) => {
            if stream.preamble.borrow().is_some() {
                // Ended before its session message was complete: there is nothing to serve.
                return carrier.abort(&stream, Abort::Refused);
            }
            stream.writing.set(Writing::Ending);
            if let Some(sock) = stream.sock.get() {
                // Also a socket that never takes the rest has to come to an end.
                sock.mark_half_closed();
            }
            stream::end_if_drained(carrier, &stream);
        }
        After::Reset(stream) => {
            worker.count(Counter::Resets);
            stream.die();
            carrier.forget(&stream);
        }
    }
}

/// Gives a payload to the stream's socket; keeps what the socket does not take.
fn deliver(worker: &Rc<Worker>, stream: &Rc<Stream>, data: &[u8]) -> Option<After> {
    if let Some(preamble) = stream.preamble.borrow_mut().as_mut() {
        // Bound: the stream's window; who goes on without a complete message is found out in `finish_step`.
        preamble.extend_from_slice(data);
        return Some(After::Preamble(stream.clone()));
    }
    if stream.is_refused() {
        return Some(After::Consumed(stream.id, data.len()));
    }
    let direct = stream.backlog.borrow().is_empty() && stream.room() == usize::MAX;
    let sent = match stream.sock.get().filter(|_| direct).map(|sock| sock.send(data)) {
        Some(Ok(sent)) => sent.unwrap_or(0),
        Some(Err(_)) => return Some(After::Abort(stream.clone())),
        None => 0,
    };
    if sent > 0 {
        stream.count(worker, true, sent);
    }
    if sent < data.len() {
        keep(worker, stream, &data[sent..]);
    }
    (sent > 0).then_some(After::Consumed(stream.id, sent))
}

/// The first `consumed` bytes of a stream were the session layer's; hands on what came after them.
pub(super) fn pass_on(worker: &Rc<Worker>, carrier: &Rc<Carrier>, stream: &Rc<Stream>, got: &[u8], consumed: usize) {
    carrier.mux.borrow_mut().consumed(stream.id, consumed);
    if let Some(after) = got
        .get(consumed..)
        .filter(|rest| !rest.is_empty())
        .and_then(|rest| deliver(worker, stream, rest))
    {
        finish_step(worker, carrier, after);
    }
}

/// Keeps bytes until the socket takes them.
fn keep(worker: &Worker, stream: &Stream, data: &[u8]) {
    worker.counters.add(Counter::MuxBuffered as usize, data.len() as u64);
    stream.backlog.borrow_mut().push(&worker.buffers, data);
    stream.kick();
}
