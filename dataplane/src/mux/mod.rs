//! The mux lane on a worker: streams of a smux carrier on one side, visitors' or targets' sockets on the other.
//!
//! The protocol is `kariz_proto::smux`; here is what moves bytes for it. There is no queue in the direction of the
//! carrier: when the carrier has room, the scheduler names the stream whose turn it is, and that stream's socket is
//! read straight into the frame that goes out. In the other direction the payload is written to the stream's
//! socket straight from the buffer that the carrier was read into; only what a slow socket does not take is kept,
//! bounded by the stream's window.
//!
//! | file | what it is |
//! |---|---|
//! | `stream` | one stream and its socket |
//! | `send` | filling frames and sending them |
//! | `receive` | reading the carrier and handing payloads on |
//! | `backlog` | what a slow socket has not taken yet |
//! | `open` | server: a visitor becomes a stream |
//! | `accept` | client: a stream becomes a target's connection |

mod accept;
mod backlog;
mod open;
mod receive;
mod send;
mod stream;

use crate::flow::deliver_rest;
use crate::net::Sock;
use crate::signal::{Signal, Wake};
use crate::worker::{Gauge, Worker, spawn};
use futures_util::future::{Either, select};
use kariz_proto::control::{Counter, ServiceId};
use kariz_proto::model::MuxParams;
use kariz_proto::smux::{Config, Mux, Role, StreamId, Streams};
use monoio::time::sleep;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};
use stream::Stream;

/// Why a stream was aborted: the `reason` of an RST frame (`proto/SESSION.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Abort {
    /// The visitor or target reset its connection.
    Peer = 1,
    /// A visitor was refused.
    Refused = 2,
}

/// Bytes that the kernel holds for a carrier beyond what is under way: a batch or two. What lies there has had its turn
/// already, and the most urgent stream has to wait behind it.
const UNSENT_BYTES: u32 = 128 << 10;

/// One mux carrier.
pub(crate) struct Carrier {
    sock: Sock,
    mux: RefCell<Mux>,
    streams: RefCell<Streams<Rc<Stream>>>,
    /// Client: what its streams are for.
    service: Option<ServiceId>,
    concurrency: usize,
    /// Payload of a full frame: at least 1.
    frame_size: usize,
    /// There is something to send.
    outgoing: Wake,
    /// There is room again for what the carrier brings.
    resume: Wake,
    /// Kept between reads for its memory; empty otherwise.
    work: RefCell<Vec<receive::Work>>,
    retired: Cell<bool>,
    closed: Signal,
    _counted: (Box<dyn Any>, Gauge),
}

impl Carrier {
    /// Server: a carrier that a client dialled. `share` is kept as long as the carrier lives.
    pub(crate) fn accepted(
        worker: &Rc<Worker>,
        sock: Sock,
        params: &MuxParams,
        kariz: bool,
        share: Box<dyn Any>,
    ) -> Rc<Self> {
        Self::start(worker, sock, Role::Accepted, params, kariz, None, share)
    }

    /// Client: a carrier that was dialled for a service.
    pub(crate) fn dialled(
        worker: &Rc<Worker>,
        sock: Sock,
        params: &MuxParams,
        kariz: bool,
        service: ServiceId,
        share: Box<dyn Any>,
    ) -> Rc<Self> {
        Self::start(worker, sock, Role::Dialled, params, kariz, Some(service), share)
    }

    fn start(
        worker: &Rc<Worker>,
        sock: Sock,
        role: Role,
        params: &MuxParams,
        kariz: bool,
        service: Option<ServiceId>,
        share: Box<dyn Any>,
    ) -> Rc<Self> {
        sock.limit_unsent(UNSENT_BYTES);
        let params = MuxParams {
            concurrency: params.usable_concurrency(),
            ..*params
        };
        // The server opens no more streams than the lower `mux_concurrency` of both ends; one that is over there may be
        // a moment longer alive at the client. (The windows are shared out among this many.)
        let mut config = Config::new(params, kariz);
        config.max_streams *= 2;
        let carrier = Rc::new(Self {
            sock,
            mux: RefCell::new(Mux::new(role, config, Instant::now())),
            streams: RefCell::default(),
            service,
            concurrency: params.concurrency.into(),
            frame_size: usize::from(params.frame_size).max(1),
            outgoing: Wake::default(),
            resume: Wake::default(),
            work: RefCell::default(),
            retired: Cell::new(false),
            closed: Signal::default(),
            _counted: (share, worker.gauge(Counter::CarriersBusy)),
        });
        spawn(worker, live(worker.clone(), carrier.clone()));
        carrier
    }

    /// How many further visitors it takes.
    pub(crate) fn room(&self) -> usize {
        if self.retired.get() || self.closed.is_raised() {
            return 0;
        }
        self.concurrency.saturating_sub(self.streams.borrow().len())
    }

    /// Whether it bears no visitor.
    pub(crate) fn is_unused(&self) -> bool {
        self.streams.borrow().is_empty()
    }

    /// Whether it is over.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_raised()
    }

    /// Waits until it is over.
    pub(crate) async fn closed(&self) {
        self.closed.raised().await;
    }

    /// No further visitors; it ends with its last one.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        self.outgoing.wake();
    }

    fn stream(&self, id: StreamId) -> Option<Rc<Stream>> {
        self.streams.borrow().get(&id).cloned()
    }

    /// The stream is over on this side, cleanly or not.
    fn forget(&self, stream: &Stream) {
        self.streams.borrow_mut().remove(&stream.id);
        self.outgoing.wake();
        // What the stream had not consumed may have been what held the carrier back.
        self.resume.wake();
    }

    /// Aborts a stream: the peer sees a reset, and so does the socket here.
    fn abort(&self, stream: &Stream, reason: Abort) {
        stream.log_reset(match reason {
            Abort::Peer => "its connection here broke",
            Abort::Refused => "refused",
        });
        self.mux.borrow_mut().reset(stream.id, reason as u32);
        stream.die();
        self.forget(stream);
    }
}

/// Runs a carrier to its end: sending, receiving and its timers side by side; whichever ends first ends all.
async fn live(worker: Rc<Worker>, carrier: Rc<Carrier>) {
    let end = CarrierEnd {
        worker: &worker,
        carrier: &carrier,
    };
    let cause = {
        let (sending, receiving) = (
            pin!(send::run(&worker, &carrier)),
            pin!(receive::run(&worker, &carrier)),
        );
        match select(select(sending, receiving), pin!(timers(&worker, &carrier))).await {
            Either::Left((Either::Left((cause, _)) | Either::Right((cause, _)), _)) => cause,
            Either::Right((cause, _)) => cause,
        }
    };
    if let Err(ref error) = cause {
        tracing::debug!(streams = carrier.streams.borrow().len(), %error, "mux carrier lost");
    }
    end.end_streams();
    match cause {
        // Retired and empty: what was sent last (an RST, a FIN) is to arrive.
        Ok(()) if carrier.sock.finish().is_ok() => deliver_rest(&worker, &carrier.sock).await,
        // Streams that only write out what they have keep the carrier: the peer is not to wait for them.
        _ => carrier.sock.abort(),
    }
}

/// The end of a carrier, also by a panic of its task: nobody is to wait for a stream that nobody moves.
struct CarrierEnd<'a> {
    worker: &'a Worker,
    carrier: &'a Carrier,
}

impl CarrierEnd<'_> {
    fn end_streams(&self) {
        let Self { worker, carrier } = self;
        let counters = carrier.mux.borrow().counters();
        worker.counters.add(Counter::ResetAsFin as usize, counters.reset_as_fin);
        worker
            .counters
            .add(Counter::StaleFrames as usize, counters.stale_frames);
        carrier.closed.raise();
        // Lost with streams on it: each of them is reset, but for those that have everything and only write it out.
        let streams = carrier.streams.take();
        let lost = streams.into_values().filter(|stream| !stream.can_finish_alone());
        lost.for_each(|stream| stream.die());
    }
}

impl Drop for CarrierEnd<'_> {
    fn drop(&mut self) {
        if !self.carrier.closed.is_raised() {
            self.end_streams();
            self.carrier.sock.abort();
        }
    }
}

/// Keep-alive, the end of a carrier that is silent for too long, and visitors that are never answered.
async fn timers(worker: &Worker, carrier: &Carrier) -> Result<(), CarrierError> {
    loop {
        let next = carrier.mux.borrow().next_timeout();
        let wait = next.map_or(CHECK_INTERVAL, |at| {
            at.saturating_duration_since(Instant::now()).min(CHECK_INTERVAL)
        });
        sleep(wait).await;
        carrier
            .mux
            .borrow_mut()
            .handle_timeout(Instant::now())
            .map_err(|_| CarrierError::Silent)?;
        open::expire(worker, carrier);
        if carrier.mux.borrow().has_pending() {
            carrier.outgoing.wake();
        }
    }
}

/// How often a carrier's streams are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What ended a carrier.
#[derive(Debug, thiserror::Error)]
enum CarrierError {
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    #[error("the peer closed it")]
    Closed,
    #[error("the peer is silent")]
    Silent,
    #[error("the peer broke the protocol: {0}")]
    Violation(#[from] kariz_proto::smux::Violation),
}
