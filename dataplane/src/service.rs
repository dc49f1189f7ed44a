//! Public services on a worker: listeners, accepting, and admitting visitors. What then happens to a visitor is the
//! business of the server role (tunnel) or of the relay role.

use crate::net::{ACCEPT_BATCH, ACCEPT_PAUSE, Accept, Accepted, Sock, accept};
use crate::signal::Signal;
use crate::tally::{Share, Tally};
use crate::worker::{Mail, ServiceKind, Worker, spawn};
use crate::{relay, server};
use futures_util::future::{Either, select};
use kariz_proto::control::{Counter, PublicService, RefuseReason, ServiceId};
use monoio::time::sleep;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The public services of one worker.
#[derive(Default)]
pub(crate) struct Services {
    by_id: RefCell<HashMap<ServiceId, Rc<Service>>>,
    /// When a refusal was last logged, and how many were not since then. Bound: one entry for each reason.
    logged: RefCell<HashMap<RefuseReason, (Instant, u64)>>,
}

/// A public service on one worker.
pub(crate) struct Service {
    pub(crate) spec: RefCell<Arc<PublicService>>,
    pub(crate) kind: RefCell<ServiceKind>,
    pub(crate) shared: Arc<ServiceShared>,
    closing: Signal,
}

/// What the workers share about a service: counts only.
#[derive(Debug)]
pub(crate) struct ServiceShared {
    /// Visitors that each worker could serve at once.
    pub(crate) room: Vec<AtomicU64>,
    visitors: Arc<Tally>,
}

/// A visitor that was admitted: travels to another worker at most once, before any of its bytes were read.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) fd: OwnedFd,
    pub(crate) peer: SocketAddr,
    pub(crate) service: ServiceId,
    /// Which port of the public range.
    pub(crate) port_offset: u16,
    pub(crate) arrived: Instant,
    /// It has come from another worker already.
    pub(crate) moved: bool,
    pub(crate) admission: Admission,
}

/// Counts a visitor of the process and of its service until it is dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    shares: [Share; 2],
}

impl ServiceShared {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            room: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            visitors: Tally::new(workers),
        }
    }

    /// A worker is dead.
    pub(crate) fn forget(&self, worker: usize) {
        self.room[worker].store(0, Ordering::Relaxed);
        self.visitors.forget(worker);
    }
}

impl Admission {
    /// Admits a visitor, unless a bound is reached.
    fn try_new(worker: &Worker, service: &Service) -> Option<Self> {
        let most = service.spec.borrow().max_visitors.map_or(u64::MAX, u64::from);
        let of_process = worker
            .shared
            .visitors
            .take(worker.place(), worker.shared.max_visitors.load(Ordering::Relaxed))?;
        let of_service = service.shared.visitors.take(worker.place(), most)?;
        Some(Self {
            shares: [of_process, of_service],
        })
    }

    /// The visitor belongs to another worker from now on.
    pub(crate) fn move_to(&mut self, worker: usize) {
        self.shares.iter_mut().for_each(|share| share.move_to(worker));
    }
}

impl Services {
    /// Opens a service, changes what holds for the next visitors of one that is open (then without listeners), or
    /// moves it: new listeners take the place of those that it had. Who waits for a carrier goes on waiting.
    pub(crate) fn open(
        &self,
        worker: &Rc<Worker>,
        spec: Arc<PublicService>,
        kind: ServiceKind,
        shared: Arc<ServiceShared>,
        listeners: Vec<OwnedFd>,
    ) {
        let id = spec.service;
        let open = self.by_id.borrow().get(&id).cloned();
        let service = match open {
            Some(service) if listeners.is_empty() => {
                *service.spec.borrow_mut() = spec;
                *service.kind.borrow_mut() = kind;
                service
            }
            old => {
                if let Some(old) = old {
                    old.closing.raise();
                }
                let service = Rc::new(Service {
                    spec: RefCell::new(spec),
                    kind: RefCell::new(kind),
                    shared,
                    closing: Signal::default(),
                });
                self.by_id.borrow_mut().insert(id, service.clone());
                service
            }
        };
        for (offset, fd) in (0..).zip(listeners) {
            match Sock::new(fd, &worker.sockets) {
                Ok(listener) => spawn(worker, serve(worker.clone(), service.clone(), offset, listener)),
                Err(error) => tracing::error!(service = %service.spec.borrow().name, %error, "cannot watch a listener"),
            }
        }
    }

    /// Takes what is queued at the listeners, then closes them. Visitors live on.
    pub(crate) fn close(&self, id: ServiceId) {
        if let Some(service) = self.by_id.borrow_mut().remove(&id) {
            service.closing.raise();
        }
    }

    /// Closes every service.
    pub(crate) fn close_all(&self) {
        self.by_id
            .borrow_mut()
            .drain()
            .for_each(|(_, service)| service.closing.raise());
    }

    pub(crate) fn get(&self, id: ServiceId) -> Option<Rc<Service>> {
        self.by_id.borrow().get(&id).cloned()
    }

    /// Whether a refusal may be logged now; if so, how many were not since the last one.
    fn may_log(&self, reason: RefuseReason) -> Option<u64> {
        let mut logged = self.logged.borrow_mut();
        if let Some((last, silent)) = logged.get_mut(&reason)
            && last.elapsed() < REFUSAL_LOG_INTERVAL
        {
            *silent += 1;
            return None;
        }
        let before = logged.insert(reason, (Instant::now(), 0));
        Some(before.map_or(0, |(_, silent)| silent))
    }
}

async fn serve(worker: Rc<Worker>, service: Rc<Service>, port_offset: u16, listener: Sock) {
    accept_loop(&worker, &listener, &service.closing, |accepted| {
        worker.count(Counter::Accepted);
        let Some(admission) = Admission::try_new(&worker, &service) else {
            return refuse(&worker, &service, accepted.peer, RefuseReason::VisitorLimit);
        };
        let visitor = Visitor {
            fd: accepted.fd,
            peer: accepted.peer,
            service: service.spec.borrow().service,
            port_offset,
            arrived: Instant::now(),
            moved: false,
            admission,
        };
        welcome(&worker, &service, visitor);
    })
    .await;
    listener.stop_listening();
}

/// Sends a visitor on its way.
pub(crate) fn welcome(worker: &Rc<Worker>, service: &Rc<Service>, visitor: Visitor) {
    let kind = service.kind.borrow().clone();
    match kind {
        ServiceKind::Tunnel => server::visit(worker, service, visitor),
        ServiceKind::Relay(remotes) => relay::visit(worker, service, remotes, visitor),
    }
}

/// Posts a visitor to another worker. A visitor moves once, before any byte of it was read.
///
/// # Errors
/// Gives it back if that worker's mailbox is full.
pub(crate) fn hand_to(worker: &Worker, there: usize, mut visitor: Visitor) -> Result<(), Visitor> {
    visitor.moved = true;
    visitor.admission.move_to(there);
    worker.post(there, Mail::Visitor(visitor)).map_err(|mail| match mail {
        Mail::Visitor(mut visitor) => {
            visitor.admission.move_to(worker.place());
            visitor
        }
        _ => unreachable!("a mailbox gives back what was posted"),
    })
}

/// Counts and logs a visitor that is turned away; dropping its armed socket resets it.
pub(crate) fn refuse(worker: &Worker, service: &Service, peer: SocketAddr, reason: RefuseReason) {
    worker.count(Counter::Refused);
    let Some(not_logged) = worker.services.may_log(reason) else {
        return;
    };
    let name = service.spec.borrow().name.clone();
    tracing::warn!(service = %name, %peer, reason = reason.as_str(), not_logged, "visitor refused");
}

/// A worker logs at most one refusal for each reason in this time; the next line tells how many were not logged.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Accepts until `closing` is raised and the queue is empty. Never spins: out of descriptors, it rests.
pub(crate) async fn accept_loop(
    worker: &Rc<Worker>,
    listener: &Sock,
    closing: &Signal,
    mut take: impl FnMut(Accepted),
) {
    let mut exhausted = false;
    loop {
        let last = closing.is_raised();
        let mut taken = 0;
        let rest = loop {
            match accept(listener) {
                Accept::Connection(accepted) => {
                    exhausted = false;
                    take(accepted);
                }
                Accept::Gone => {}
                Accept::Empty if last => return,
                Accept::Empty => break false,
                Accept::Exhausted(error) => {
                    worker.count(Counter::AcceptPaused);
                    worker.shared.shortage.met();
                    if !exhausted {
                        tracing::error!(%error, "accepting pauses: out of descriptors or memory");
                    }
                    exhausted = true;
                    break true;
                }
                Accept::Broken(error) => {
                    tracing::error!(%error, "a listener is broken");
                    return;
                }
            }
            taken += 1;
            if taken == ACCEPT_BATCH {
                worker.turns.pass().await;
                taken = 0;
            }
        };
        if rest {
            if last {
                return;
            }
            sleep(ACCEPT_PAUSE).await;
        } else if let Either::Left((Err(error), _)) = select(pin!(listener.readable()), pin!(closing.raised())).await {
            tracing::error!(%error, "cannot wait for a listener");
            return;
        }
    }
}
