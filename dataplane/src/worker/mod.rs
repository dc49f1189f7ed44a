//! A worker: one pinned thread, one ring, and everything that lives on it.

mod bell;
mod dispatch;
mod mail;
mod run;
mod spawn;
mod turns;

pub(crate) use bell::EventBell;
pub(crate) use mail::{Listeners, Mail, Seat, ServiceKind, Shared, visitor_bound};
pub(crate) use run::{Start, run};
pub(crate) use spawn::spawn;
pub(crate) use turns::Turns;

use crate::client::ClientRole;
use crate::limit::Budgets;
use crate::net::SocketTable;
use crate::pool::{BufferPool, PipePool};
use crate::server::ServerRole;
use crate::service::Services;
use crate::sync::counters::Counters;
use kariz_proto::control::{Counter, Event, WorkerIndex};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// Size of the scratch buffer that every synchronous read of a worker goes through.
pub(crate) const SCRATCH_BYTES: usize = 256 << 10;

/// How many counters a worker has.
pub(crate) const COUNTERS: usize = Counter::ALL.len();

/// The state of one worker. Its tasks share it by `Rc`; nothing in it crosses threads but `shared`.
pub(crate) struct Worker {
    pub(crate) index: WorkerIndex,
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<Counters<COUNTERS>>,
    pub(crate) sockets: Rc<SocketTable>,
    pub(crate) buffers: Rc<BufferPool>,
    pub(crate) pipes: Rc<PipePool>,
    /// Borrowed for one receive and one send, never across an await.
    pub(crate) scratch: RefCell<Box<[u8]>>,
    pub(crate) turns: Turns,
    pub(crate) budgets: Budgets,
    pub(crate) services: Services,
    pub(crate) server: ServerRole,
    pub(crate) client: ClientRole,
    pub(crate) draining: Cell<bool>,
    /// Where the next panic is to happen.
    #[cfg(feature = "fault-injection")]
    pub(crate) panics: Cell<Option<PanicPoint>>,
}

impl Worker {
    /// This worker's place among the workers.
    pub(crate) fn seat(&self) -> &Seat {
        &self.shared.seats[usize::from(self.index.0)]
    }

    /// The same as a number.
    pub(crate) fn place(&self) -> usize {
        usize::from(self.index.0)
    }

    pub(crate) fn count(&self, counter: Counter) {
        self.counters.add(counter as usize, 1);
    }

    /// Adds to a gauge until the guard is dropped.
    pub(crate) fn gauge(&self, counter: Counter) -> Gauge {
        self.counters.add(counter as usize, 1);
        Gauge {
            counters: self.counters.clone(),
            counter,
        }
    }

    /// Tells the control plane; counts what it has no room for.
    pub(crate) fn emit(&self, event: Event) {
        if self.shared.sink.event(event).is_err() {
            self.count(Counter::EventsLost);
        }
    }
}

/// Where a test may have a worker panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PanicPoint {
    /// In the task of one visitor, with its connections in hand.
    Visitor,
    /// In the task of a mux carrier, with its streams in hand.
    Carrier,
    /// In the task of a connection that has not authenticated.
    Handshake,
}

impl Worker {
    /// Panics if a test wants it here.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn may_panic(&self, at: PanicPoint) {
        if self.panics.get() == Some(at) {
            self.panics.set(None);
            panic!("told to panic");
        }
    }

    /// Does nothing: there are no tests here.
    #[cfg(not(feature = "fault-injection"))]
    pub(crate) fn may_panic(&self, _: PanicPoint) {}
}

/// Keeps one unit on a gauge. Only for the worker's own thread.
pub(crate) struct Gauge {
    counters: Arc<Counters<COUNTERS>>,
    counter: Counter,
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.counters.sub(self.counter as usize, 1);
    }
}
