//! Reading the carrier and handing payloads on.

use super::stream::{self, Stream, Writing};
use super::{Abort, Carrier, CarrierError, accept, open};
use crate::worker::{PanicPoint, Worker};
use kariz_proto::control::Counter;
use kariz_proto::smux::Incoming;
use std::io::IoSlice;
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

/// Bytes that a carrier may bring before others get a turn.
const TURN_BYTES: usize = 1 << 20;

/// Payloads of one stream that are written with one call.
const MAX_SLICES: usize = 16;

/// Frames of one read for which a carrier keeps the memory.
const MAX_KEPT_WORK: usize = 64;

/// What one read brought, in order. Payloads are ranges of the scratch buffer.
pub(super) enum Work {
    Data(Rc<Stream>, Range<usize>),
    Ended(Rc<Stream>),
    Reset(Rc<Stream>),
}

/// What a delivery asks for.
enum After {
    Consumed(usize),
    Preamble,
    Abort,
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
    worker.may_panic(PanicPoint::Carrier);
    let input = &scratch[..bytes];
    let mut work = carrier.work.take();
    let stream = |id| carrier.stream(id);
    let parsed = carrier
        .mux
        .borrow_mut()
        .receive(Instant::now(), input, &mut |incoming| match incoming {
            Incoming::Opened(id) => accept::opened(worker, carrier, id),
            Incoming::Data(id, data) => work.extend(stream(id).map(|stream| Work::Data(stream, range_in(input, data)))),
            Incoming::Fin(id) => work.extend(stream(id).map(Work::Ended)),
            Incoming::Reset(id, _) => work.extend(stream(id).map(Work::Reset)),
        });
    hand_on(worker, carrier, &work, input);
    work.clear();
    if work.capacity() <= MAX_KEPT_WORK {
        carrier.work.replace(work);
    }
    if parsed.is_err() {
        worker.count(Counter::Violations);
    }
    parsed?;
    if carrier.mux.borrow().has_pending() {
        carrier.outgoing.wake();
    }
    Ok(Some(bytes))
}

/// Where in `whole` its `part` is.
fn range_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

/// Works off what a read brought. Payloads of one stream that follow each other are written at once, so that its
/// reader is woken once.
fn hand_on(worker: &Rc<Worker>, carrier: &Rc<Carrier>, mut work: &[Work], input: &[u8]) {
    while let Some(first) = work.first() {
        let (Work::Data(stream, _) | Work::Ended(stream) | Work::Reset(stream)) = first;
        let mut done = 1;
        // A step before this one may have aborted the stream: a FIN that comes right behind a refusal must not end the
        // visitor's socket cleanly.
        if !stream.is_dead() {
            match first {
                Work::Data(..) => {
                    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                    let mut count = 0;
                    let same = work.iter().map_while(|next| match next {
                        Work::Data(other, range) if Rc::ptr_eq(stream, other) => Some(range.clone()),
                        _ => None,
                    });
                    for (slice, range) in slices.iter_mut().zip(same) {
                        *slice = IoSlice::new(&input[range]);
                        count += 1;
                    }
                    finish(worker, carrier, stream, deliver(worker, stream, &slices[..count]));
                    done = count;
                }
                Work::Ended(_) => ended(carrier, stream),
                Work::Reset(_) => {
                    worker.count(Counter::Resets);
                    stream.log_reset("the other end reset it");
                    stream.die();
                    carrier.forget(stream);
                }
            }
        }
        work = &work[done..];
    }
}

fn ended(carrier: &Carrier, stream: &Stream) {
    if stream.preamble.borrow().is_some() {
        // Ended before its session message was complete: there is nothing to serve.
        return carrier.abort(stream, Abort::Refused);
    }
    stream.writing.set(Writing::Ending);
    if let Some(sock) = stream.sock.get() {
        // Also a socket that never takes the rest has to come to an end.
        sock.mark_half_closed();
    }
    stream::end_if_drained(carrier, stream);
}

fn finish(worker: &Rc<Worker>, carrier: &Rc<Carrier>, stream: &Rc<Stream>, after: After) {
    match after {
        After::Consumed(0) => {}
        After::Consumed(bytes) => carrier.mux.borrow_mut().consumed(stream.id, bytes),
        After::Preamble => match carrier.service {
            None => open::ready(worker, carrier, stream),
            Some(service) => accept::open(worker, carrier, stream, service),
        },
        After::Abort => carrier.abort(stream, Abort::Peer),
    }
}

/// Gives payloads to the stream's socket; keeps what the socket does not take.
fn deliver(worker: &Rc<Worker>, stream: &Rc<Stream>, payloads: &[IoSlice<'_>]) -> After {
    if let Some(preamble) = stream.preamble.borrow_mut().as_mut() {
        // Bound: the stream's window; who goes on without a complete message is found out in `finish`.
        payloads.iter().for_each(|payload| preamble.extend_from_slice(payload));
        return After::Preamble;
    }
    if stream.is_refused() {
        return After::Consumed(payloads.iter().map(|payload| payload.len()).sum());
    }
    let direct = stream.backlog.borrow().is_empty() && stream.room() == usize::MAX;
    let sent = match stream
        .sock
        .get()
        .filter(|_| direct)
        .map(|sock| sock.send_vectored(payloads))
    {
        Some(Ok(sent)) => sent.unwrap_or(0),
        Some(Err(_)) => return After::Abort,
        None => 0,
    };
    if sent > 0 {
        stream.count(worker, true, sent);
    }
    let mut skip = sent;
    for payload in payloads {
        let taken = skip.min(payload.len());
        skip -= taken;
        if taken < payload.len() {
            keep(worker, stream, &payload[taken..]);
        }
    }
    After::Consumed(sent)
}

/// Hands on what came behind the session layer's message at the beginning of a stream.
pub(super) fn pass_on(worker: &Rc<Worker>, carrier: &Rc<Carrier>, stream: &Rc<Stream>, rest: &[u8]) {
    if !rest.is_empty() {
        finish(worker, carrier, stream, deliver(worker, stream, &[IoSlice::new(rest)]));
    }
}

/// Keeps bytes until the socket takes them.
fn keep(worker: &Worker, stream: &Stream, data: &[u8]) {
    worker.counters.add(Counter::MuxBuffered as usize, data.len() as u64);
    stream.backlog.borrow_mut().push(&worker.buffers, data);
    stream.kick();
}
