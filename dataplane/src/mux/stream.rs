//! One stream and the socket that belongs to it.

use super::backlog::Backlog;
use super::{Abort, Carrier};
use crate::flow::deliver_rest;
use crate::limit::{Limiter, REST};
use crate::net::Sock;
use crate::service::Service;
use crate::sync::counters::Counters;
use crate::worker::{COUNTERS, PanicPoint, Worker, spawn};
use futures_util::future::{Fuse, FusedFuture, FutureExt};
use kariz_proto::control::Counter;
use kariz_proto::smux::StreamId;
use monoio::time::sleep;
use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

/// A stream on this worker. The protocol's state is in the carrier's `Mux`; here is the socket's.
pub(super) struct Stream {
    pub(super) id: StreamId,
    /// Client: set once the target is connected.
    pub(super) sock: OnceCell<Sock>,
    limiter: RefCell<Limiter>,
    pub(super) reading: Cell<Reading>,
    pub(super) writing: Cell<Writing>,
    pub(super) backlog: RefCell<Backlog>,
    /// The beginning of the stream, until the session layer's message (Open, Ready) is complete.
    pub(super) preamble: RefCell<Option<Vec<u8>>>,
    side: Side,
    /// Server: whose stream it is.
    pub(super) visit: Option<Visit>,
    pub(super) since: Instant,
    dead: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// Counts that last as long as the stream.
    pub(super) counted: RefCell<Option<Box<dyn Any>>>,
    counters: Arc<Counters<COUNTERS>>,
}

/// Server: the visitor of a stream.
pub(super) struct Visit {
    pub(super) service: Rc<Service>,
    pub(super) peer: SocketAddr,
}

/// Which counters the stream's bytes go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The socket is a visitor's.
    Public,
    /// The socket is a target's.
    Inner,
}

/// The direction from the socket to the carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// The socket has nothing; its task waits for it.
    Empty,
    /// The socket has something; the scheduler knows.
    Ready,
    /// Held back by a rate limit, or not connected yet.
    Held,
    /// The socket has ended and the scheduler knows.
    Ended,
}

/// The direction from the carrier to the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    /// More may come.
    Open,
    /// The peer has ended; the backlog is still to be written.
    Ending,
    /// The socket's write direction was ended.
    Ended,
}

impl Stream {
    pub(super) fn new(worker: &Worker, id: StreamId, side: Side, visit: Option<Visit>) -> Self {
        Self {
            id,
            sock: OnceCell::new(),
            limiter: RefCell::default(),
            reading: Cell::new(Reading::Held),
            writing: Cell::new(Writing::Open),
            backlog: RefCell::default(),
            preamble: RefCell::new(Some(Vec::new())),
            side,
            visit,
            since: Instant::now(),
            dead: Cell::new(false),
            waker: RefCell::default(),
            counted: RefCell::default(),
            counters: worker.counters.clone(),
        }
    }

    /// Ends the stream's task; its socket is closed, which resets it unless it was ended cleanly.
    pub(super) fn die(&self) {
        self.dead.set(true);
        self.kick();
    }

    /// One line for a stream that does not end cleanly.
    pub(super) fn log_reset(&self, reason: &str) {
        tracing::debug!(
            stream_id = self.id,
            service = self
                .visit
                .as_ref()
                .map(|visit| visit.service.spec.borrow().name.to_string()),
            peer = self.visit.as_ref().map(|visit| visit.peer.to_string()),
            bytes = self.sock.get().map(|sock| sock.traffic().to_string()),
            reason,
            "stream reset"
        );
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.get()
    }

    /// Has the stream's task look at its state.
    pub(super) fn kick(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Client: there is no target, and the server was told. What still comes for it is thrown away.
    pub(super) fn is_refused(&self) -> bool {
        self.sock.get().is_none() && self.reading.get() == Reading::Ended
    }

    /// The peer has ended it and everything has arrived: what is left is to write the backlog.
    pub(super) fn can_finish_alone(&self) -> bool {
        self.writing.get() == Writing::Ending && self.sock.get().is_some()
    }

    /// Both directions are through.
    fn is_complete(&self) -> bool {
        self.reading.get() == Reading::Ended && self.writing.get() == Writing::Ended
    }

    /// Counts bytes in the direction from the carrier to the socket, or the other one.
    pub(super) fn count(&self, worker: &Worker, to_socket: bool, bytes: usize) {
        let out = (self.side == Side::Public) == to_socket;
        let counter = if out { Counter::BytesOut } else { Counter::BytesIn };
        worker.counters.add(counter as usize, bytes as u64);
        self.limiter.borrow().spend(bytes);
    }

    /// What the stream counts against from now on.
    pub(super) fn limit(&self, limiter: Limiter) {
        *self.limiter.borrow_mut() = limiter;
    }

    /// Bytes that a rate limit allows now.
    pub(super) fn room(&self) -> usize {
        self.limiter.borrow().room()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let kept = self.backlog.get_mut().len();
        self.counters.sub(Counter::MuxBuffered as usize, kept as u64);
    }
}

/// Starts to move bytes between a stream and its (now connected) socket.
pub(super) fn start(worker: &Rc<Worker>, carrier: &Rc<Carrier>, stream: &Rc<Stream>) {
    stream.reading.set(Reading::Empty);
    spawn(worker, run(worker.clone(), carrier.clone(), stream.clone()));
}

/// Aborts a stream whose task ends before its time: by a panic.
pub(super) struct Attended<'a> {
    carrier: &'a Carrier,
    stream: &'a Stream,
}

impl<'a> Attended<'a> {
    pub(super) fn new(carrier: &'a Carrier, stream: &'a Stream) -> Self {
        Self { carrier, stream }
    }

    /// The task has come to its end, and the stream goes on without it.
    pub(super) fn done(self) {
        std::mem::forget(self);
    }
}

impl Drop for Attended<'_> {
    fn drop(&mut self) {
        if !self.stream.is_dead() {
            self.carrier.abort(self.stream, Abort::Peer);
        }
    }
}

/// Waits for the socket on behalf of the carrier's tasks, which do the moving.
async fn run(worker: Rc<Worker>, carrier: Rc<Carrier>, stream: Rc<Stream>) {
    let _attended = Attended::new(&carrier, &stream);
    worker.may_panic(PanicPoint::Visitor);
    let Some(sock) = stream.sock.get() else { return };
    let mut readable = pin!(Fuse::terminated());
    let mut writable = pin!(Fuse::terminated());
    poll_fn(|cx| {
        if stream.is_dead() {
            return Poll::Ready(());
        }
        if stream.reading.get() == Reading::Empty {
            if readable.is_terminated() {
                readable.set(sock.readable().fuse());
            }
            match readable.as_mut().poll(cx) {
                Poll::Ready(Ok(())) => {
                    stream.reading.set(Reading::Ready);
                    carrier.mux.borrow_mut().set_ready(stream.id, true);
                    carrier.outgoing.wake();
                }
                Poll::Ready(Err(_)) => carrier.abort(&stream, Abort::Peer),
                Poll::Pending => {}
            }
        }
        while !stream.is_dead() && !stream.backlog.borrow().is_empty() {
            if writable.is_terminated() {
                writable.set(sock.writable().fuse());
            }
            match writable.as_mut().poll(cx) {
                Poll::Ready(Ok(())) => {
                    if !flush(&worker, &carrier, &stream) {
                        break;
                    }
                }
                Poll::Ready(Err(_)) => carrier.abort(&stream, Abort::Peer),
                Poll::Pending => break,
            }
        }
        if stream.is_dead() {
            return Poll::Ready(());
        }
        *stream.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    })
    .await;
    // It counts until everything is delivered: a drain waits for that.
    let counted = stream.counted.take();
    if stream.writing.get() == Writing::Ended && stream.reading.get() != Reading::Ended {
        Box::pin(deliver_rest(&worker, sock)).await;
    }
    drop(counted);
}

/// Writes what the socket takes of the backlog. Returns whether there is a point in waiting for the socket: not
/// while a rate limit holds the stream back, a timer sees to that.
pub(super) fn flush(worker: &Rc<Worker>, carrier: &Rc<Carrier>, stream: &Rc<Stream>) -> bool {
    let Some(sock) = stream.sock.get() else { return false };
    let mut written = 0;
    let mut held = false;
    let result = loop {
        let mut backlog = stream.backlog.borrow_mut();
        if backlog.is_empty() {
            break Ok(());
        }
        let room = stream.room();
        if room == 0 {
            held = true;
            break Ok(());
        }
        let front = backlog.front();
        match sock.send(&front[..front.len().min(room)]) {
            Ok(Some(bytes)) => {
                backlog.advance(bytes);
                stream.count(worker, true, bytes);
                worker.counters.sub(Counter::MuxBuffered as usize, bytes as u64);
                written += bytes;
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    if written > 0 {
        carrier.mux.borrow_mut().consumed(stream.id, written);
        carrier.outgoing.wake();
        carrier.resume.wake();
    }
    if result.is_err() {
        carrier.abort(stream, Abort::Peer);
        return true;
    }
    if held {
        rest(worker, stream);
        return false;
    }
    end_if_drained(carrier, stream);
    true
}

/// Client: no target was reached, and the answer that says so is queued. The server aborts the stream when it reads
/// it, or ends it where there is no RST; what came for the target is thrown away.
pub(super) fn refuse(worker: &Worker, carrier: &Carrier, stream: &Stream) {
    stream.reading.set(Reading::Ended);
    let kept = std::mem::take(&mut *stream.backlog.borrow_mut()).len();
    worker.counters.sub(Counter::MuxBuffered as usize, kept as u64);
    {
        let mut mux = carrier.mux.borrow_mut();
        mux.consumed(stream.id, kept);
        mux.finish(stream.id);
    }
    carrier.outgoing.wake();
    carrier.resume.wake();
    end_if_drained(carrier, stream);
}

/// Ends the socket's write direction once the peer has ended and everything is written; forgets a stream that is
/// through in both directions.
pub(super) fn end_if_drained(carrier: &Carrier, stream: &Stream) {
    if stream.writing.get() == Writing::Ending && stream.backlog.borrow().is_empty() {
        let ended = stream.sock.get().map(|sock| {
            sock.mark_half_closed();
            sock.finish()
        });
        match ended {
            None if stream.is_refused() => stream.writing.set(Writing::Ended),
            None => return,
            Some(Ok(())) => stream.writing.set(Writing::Ended),
            Some(Err(_)) => return carrier.abort(stream, Abort::Peer),
        }
    }
    if stream.is_complete() || (stream.writing.get() == Writing::Ended && carrier.is_closed()) {
        stream.die();
        carrier.forget(stream);
    }
}

/// Has the stream's task look again after a rate limit's rest.
pub(super) fn rest(worker: &Rc<Worker>, stream: &Rc<Stream>) {
    let stream = stream.clone();
    spawn(worker, async move {
        sleep(REST).await;
        if stream.reading.get() == Reading::Held && stream.sock.get().is_some() {
            stream.reading.set(Reading::Empty);
        }
        stream.kick();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an idle visitor of the mux lane costs is mostly this.
    #[test]
    fn stream_and_its_task_stay_small() {
        fn size<A, B, C, F>(_: fn(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let total = size(run) + size_of::<Stream>();
        assert!(total <= 1024, "{total} bytes");
    }
}
