//! Fresh connections on a carrier listener: until they have said who they are, each costs one small buffer, and
//! there is a bound on how many there are, on how long they take, and on how often one address may fail.

use super::carrier_arrived;
use crate::handle::ControlArrival;
use crate::net::options::set_user_timeout;
use crate::net::{Accepted, Sock, disarm};
use crate::service::accept_loop;
use crate::signal::Signal;
use crate::worker::{Mail, PanicPoint, Worker, spawn};
use futures_util::future::{Either, select};
use kariz_proto::control::Counter;
use kariz_proto::session::Sources;
use kariz_proto::session::carrier::{CarrierHello, First, MAX_FIRST_BYTES, parse_first};
use monoio::time::timeout;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

/// At most one log line about failed handshakes in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Why a connection had to give way.
const TOO_MANY: &str = "too many handshakes";

/// A real client has spoken after this.
const SPEAKS_AT_ONCE: Duration = Duration::from_millis(500);

/// A carrier that said its Hello: travels to the worker whose voucher it bears.
pub(crate) struct CarrierArrival {
    pub(crate) fd: OwnedFd,
    pub(crate) peer: SocketAddr,
    pub(crate) hello: CarrierHello,
}

/// One unauthenticated connection.
struct Handshake {
    since: Instant,
    evicted: Signal,
    counted: Cell<bool>,
}

/// A connection's place among the unauthenticated ones until it is dropped.
struct Place {
    worker: Rc<Worker>,
    handshake: Rc<Handshake>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.worker.server.handshakes.leave(&self.worker, &self.handshake);
    }
}

/// The unauthenticated connections of one worker.
#[derive(Default)]
pub(crate) struct Handshakes {
    /// Oldest first; ended ones are weak and dead.
    pending: RefCell<VecDeque<Weak<Handshake>>>,
    count: Cell<usize>,
    sources: RefCell<Sources>,
    last_logged: Cell<Option<Instant>>,
    closing: Signal,
}

impl Handshakes {
    /// No further carrier is accepted.
    pub(crate) fn close(&self) {
        self.closing.raise();
    }

    /// Counts and logs (rarely) a connection that was dropped, and charges its source.
    pub(crate) fn failed(&self, worker: &Worker, peer: SocketAddr, reason: &str) {
        self.sources.borrow_mut().failed(peer.ip(), Instant::now());
        self.dropped(worker, peer, reason);
    }

    /// The same where it may not be the peer's fault.
    pub(crate) fn dropped(&self, worker: &Worker, peer: SocketAddr, reason: &str) {
        worker.count(Counter::HandshakesFailed);
        if self.last_logged.get().is_none_or(|last| last.elapsed() >= LOG_INTERVAL) {
            self.last_logged.set(Some(Instant::now()));
            let total = worker.counters.get(Counter::HandshakesFailed as usize);
            tracing::warn!(%peer, reason, total, "connection dropped before it was authenticated");
        }
    }

    fn is_barred(&self, ip: IpAddr) -> bool {
        self.sources.borrow_mut().is_barred(ip, Instant::now())
    }

    /// Registers a handshake; the oldest one gives way when there are too many. It has had the most time, and a
    /// real client speaks at once.
    fn enter(&self, worker: &Rc<Worker>, most: usize) -> Place {
        let handshake = Rc::new(Handshake {
            since: Instant::now(),
            evicted: Signal::default(),
            counted: Cell::new(false),
        });
        let mut pending = self.pending.borrow_mut();
        while pending.front().is_some_and(|oldest| oldest.strong_count() == 0) {
            pending.pop_front();
        }
        if self.count.get() >= most
            && let Some(oldest) = std::iter::from_fn(|| pending.pop_front()).find_map(|oldest| oldest.upgrade())
        {
            oldest.evicted.raise();
            self.leave(worker, &oldest);
        }
        // Ended ones in the middle are dropped before they can double the queue.
        if pending.len() > 2 * most {
            pending.retain(|entry| entry.strong_count() > 0);
        }
        pending.push_back(Rc::downgrade(&handshake));
        handshake.counted.set(true);
        self.count.set(self.count.get() + 1);
        worker
            .counters
            .set(Counter::Handshakes as usize, self.count.get() as u64);
        Place {
            worker: worker.clone(),
            handshake,
        }
    }

    /// It is over, or has to give way: it does not count any more.
    fn leave(&self, worker: &Worker, handshake: &Handshake) {
        if handshake.counted.replace(false) {
            self.count.set(self.count.get() - 1);
            worker
                .counters
                .set(Counter::Handshakes as usize, self.count.get() as u64);
        }
    }
}

/// Accepts carriers on a listener for as long as the worker does not drain.
pub(crate) async fn listen(worker: Rc<Worker>, listener: Sock, control_timeout: Duration) {
    accept_loop(&worker, &listener, &worker.server.handshakes.closing, |accepted| {
        if worker.server.handshakes.is_barred(accepted.peer.ip()) {
            worker.count(Counter::HandshakesFailed);
            return;
        }
        spawn(&worker, introduce(worker.clone(), accepted, control_timeout));
    })
    .await;
    listener.stop_listening();
}

async fn introduce(worker: Rc<Worker>, accepted: Accepted, control_timeout: Duration) {
    let peer = accepted.peer;
    let handshakes = &worker.server.handshakes;
    let place = handshakes.enter(&worker, worker.shared.max_handshakes);
    worker.may_panic(PanicPoint::Handshake);
    let outcome = match Sock::new(accepted.fd, &worker.sockets) {
        Ok(sock) => first_message(&worker, sock, &place.handshake.evicted).await,
        Err(_) => Err("the worker has no room"),
    };
    let since = place.handshake.since;
    drop(place);
    match outcome {
        Ok((First::Carrier { hello, .. }, fd, _)) => route(&worker, CarrierArrival { fd, peer, hello }),
        Ok((_, fd, first)) => {
            // A control carrier bears no visitor: its last word (Close) is to arrive, and a path that is cut is to
            // be noticed. Options that the kernel refuses leave it as it is.
            let _ = disarm(&fd).and_then(|()| set_user_timeout(&fd, control_timeout));
            if worker.shared.sink.control(ControlArrival { fd, first, peer }).is_err() {
                handshakes.dropped(&worker, peer, "too many sessions at once");
            }
        }
        // In a crowd also those have to give way who have just come.
        Err(TOO_MANY) if since.elapsed() < SPEAKS_AT_ONCE => handshakes.dropped(&worker, peer, TOO_MANY),
        Err(reason) => handshakes.failed(&worker, peer, reason),
    }
}

async fn first_message(
    worker: &Worker,
    sock: Sock,
    evicted: &Signal,
) -> Result<(First, OwnedFd, Vec<u8>), &'static str> {
    let mut first = Vec::new();
    let parsed = {
        let reading = pin!(timeout(
            worker.shared.handshake_timeout,
            read_first(worker, &sock, &mut first)
        ));
        match select(reading, pin!(evicted.raised())).await {
            Either::Left((Ok(parsed), _)) => parsed?,
            Either::Left((Err(_), _)) => return Err("silence"),
            Either::Right(_) => return Err(TOO_MANY),
        }
    };
    Ok((parsed, sock.into_fd(), first))
}

/// Reads until the first message is complete. A carrier's Hello is followed by nothing until it is answered, so
/// what comes with it is a violation; a control carrier's bytes go on to whoever speaks with it.
async fn read_first(worker: &Worker, sock: &Sock, first: &mut Vec<u8>) -> Result<First, &'static str> {
    loop {
        match receive_into(worker, sock, first).map_err(|_| "reset")? {
            None => {
                sock.readable().await.map_err(|_| "reset")?;
                continue;
            }
            Some(0) => return Err("closed"),
            Some(_) => {}
        }
        match parse_first(first).map_err(|error| error.as_str())? {
            First::Incomplete if first.len() == MAX_FIRST_BYTES => return Err("first message too long"),
            First::Incomplete => {}
            First::Carrier { consumed, .. } if consumed < first.len() => return Err("bytes after a carrier's hello"),
            parsed => return Ok(parsed),
        }
    }
}

fn receive_into(worker: &Worker, sock: &Sock, first: &mut Vec<u8>) -> io::Result<Option<usize>> {
    let mut scratch = worker.scratch.borrow_mut();
    let received = sock.recv(&mut scratch[..MAX_FIRST_BYTES - first.len()])?;
    first.extend_from_slice(&scratch[..received.unwrap_or(0)]);
    Ok(received)
}

/// Brings a carrier to the worker that asked for it.
fn route(worker: &Rc<Worker>, arrival: CarrierArrival) {
    let owner = usize::from(arrival.hello.voucher.worker.0);
    if owner == usize::from(worker.index.0) {
        return carrier_arrived(worker, arrival);
    }
    worker.count(Counter::HandedOver);
    if let Err(Mail::Carrier(arrival)) = worker.post(owner, Mail::Carrier(Box::new(arrival))) {
        worker
            .server
            .handshakes
            .dropped(worker, arrival.peer, "no such worker, or it is busy");
    }
}
