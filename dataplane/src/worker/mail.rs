//! What reaches a worker from other threads, and what all workers share.

use super::bell::EventBell;
use super::{COUNTERS, Worker};
use crate::handle::Sink;
use crate::net::Shortage;
use crate::relay::Remotes;
use crate::server::CarrierArrival;
use crate::service::{ServiceShared, Visitor};
use crate::sync::counters::Counters;
use crate::sync::lease::Lease;
use crate::sync::mailbox::Mailbox;
use crate::tally::Tally;
use kariz_proto::control::{
    BudgetId, Epoch, LinkId, LinkSpec, PublicService, ServiceId, SessionId, SessionSpec, TargetSpec, Voucher,
};
use kariz_proto::model::RuntimeSpec;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// Messages that a worker's mailbox holds; the host waits when it is full, workers keep what they wanted to post.
pub(crate) const MAILBOX_CAPACITY: usize = 4096;

/// What all workers of a data plane share. Only counts and mailboxes: no worker ever waits for another.
pub(crate) struct Shared {
    pub(crate) seats: Vec<Seat>,
    pub(crate) sink: Arc<dyn Sink>,
    /// Visitors of the whole process.
    pub(crate) visitors: Arc<Tally>,
    /// Most visitors of the whole process.
    pub(crate) max_visitors: AtomicU64,
    /// Most unauthenticated connections of one worker.
    pub(crate) max_handshakes: usize,
    /// How long a connection may take to say who it is.
    pub(crate) handshake_timeout: Duration,
    /// Whether accepting pauses, or did a moment ago.
    pub(crate) shortage: Shortage,
}

/// A worker's place: outlives the worker, so that its successor finds what was posted.
pub(crate) struct Seat {
    pub(crate) mailbox: Mailbox<Mail, EventBell>,
    pub(crate) counters: Arc<Counters<COUNTERS>>,
}

/// The listeners of a service for one worker, by port offset.
pub(crate) type Listeners = Vec<OwnedFd>;

/// What a public service is for.
#[derive(Debug, Clone)]
pub(crate) enum ServiceKind {
    /// Visitors cross the tunnel.
    Tunnel,
    /// Visitors go to these remotes.
    Relay(Arc<Remotes>),
}

/// A message for a worker.
pub(crate) enum Mail {
    /// A carrier listener, and `TCP_USER_TIMEOUT` of the control carriers that come in on it.
    ListenCarriers(OwnedFd, Duration),
    OpenService {
        spec: Arc<PublicService>,
        kind: ServiceKind,
        shared: Arc<ServiceShared>,
        listeners: Listeners,
    },
    CloseService(ServiceId),
    SessionUp(Arc<SessionSpec>, Arc<crate::server::SessionShared>),
    SessionLost(SessionId, Epoch),
    SessionDown(SessionId),
    LinkUp(Arc<LinkSpec>, Arc<Tally>),
    Dial {
        link: LinkId,
        service: ServiceId,
        vouchers: Vec<Voucher>,
    },
    LinkDown(LinkId),
    Target(Arc<TargetSpec>),
    TargetGone(ServiceId),
    OpenBudget(BudgetId, Arc<Lease>),
    CloseBudget(BudgetId),
    Drain(Instant),
    /// End at once, leaving nothing behind.
    Stop,
    /// A visitor from a worker that has no carrier for it.
    Visitor(Visitor),
    /// A carrier whose voucher this worker gave out.
    Carrier(Box<CarrierArrival>),
    /// The worker's main task panics.
    #[cfg(feature = "fault-injection")]
    Die,
    /// The next task that comes to this point panics.
    #[cfg(feature = "fault-injection")]
    Panic(super::PanicPoint),
}

impl Worker {
    /// Posts to another worker.
    ///
    /// # Errors
    /// Gives the mail back if that worker's mailbox is full.
    pub(crate) fn post(&self, to: usize, mail: Mail) -> Result<(), Mail> {
        match self.shared.seats.get(to) {
            Some(seat) => seat.mailbox.post(mail),
            None => Err(mail),
        }
    }
}

impl Shared {
    pub(crate) fn new(runtime: &RuntimeSpec, sink: Arc<dyn Sink>) -> io::Result<Self> {
        let workers = runtime.workers.map_or_else(crate::host::default_workers, usize::from);
        let seats: io::Result<Vec<_>> = (0..workers)
            .map(|_| {
                Ok(Seat {
                    mailbox: Mailbox::new(MAILBOX_CAPACITY, EventBell::new()?),
                    counters: Arc::default(),
                })
            })
            .collect();
        Ok(Self {
            seats: seats?,
            sink,
            visitors: Tally::new(workers),
            max_visitors: AtomicU64::new(visitor_bound(runtime.max_visitors)),
            max_handshakes: (runtime.max_handshakes as usize).div_ceil(workers),
            handshake_timeout: runtime.handshake_timeout,
            shortage: Shortage::default(),
        })
    }
}

/// What the operator says, or what the descriptor limit allows.
pub(crate) fn visitor_bound(configured: Option<u32>) -> u64 {
    configured.map_or_else(crate::host::default_max_visitors, u64::from)
}
