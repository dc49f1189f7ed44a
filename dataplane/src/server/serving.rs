//! One service on one worker: who serves it, its ready carriers, its waiting visitors, and asking for more.

use super::demand::Demand;
use super::session::Session;
use super::{CarrierArrival, Errand, direct};
use crate::mux;
use crate::net::{Sock, Watched};
use crate::service::{Service, Visitor, refuse};
use crate::tally::Share;
use crate::worker::{Worker, spawn};
use kariz_proto::control::{Epoch, Event, RefuseReason, ServedService, ServiceId, SessionId, Voucher, WorkerIndex};
use kariz_proto::model::Lane;
use monoio::time::sleep;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a visitor waits for a carrier (`spec/session.md`, Who owns a service).
pub(crate) const VISITOR_WAIT: Duration = Duration::from_secs(10);

/// Visitors that one worker lets wait for one service; a further one is refused.
const MAX_WAITING: usize = 4096;

/// How long a voucher is good for: dialling may take 10 s, the Hello another 5.
const VOUCHER_LIFETIME: Duration = Duration::from_secs(15);

/// Vouchers in one Want, so that it fits into one message.
const MAX_VOUCHERS_PER_WANT: usize = 512;

/// Wants within this time are gathered into one.
const WANT_GATHER: Duration = Duration::from_millis(2);

pub(crate) struct Serving {
    pub(crate) service: ServiceId,
    worker: WorkerIndex,
    pub(crate) demand: Demand,
    bound: RefCell<Option<Bound>>,
    idle: RefCell<VecDeque<IdleCarrier>>,
    carriers: RefCell<Vec<Rc<mux::Carrier>>>,
    /// Each is let go by the socket table before it moves on or is dropped: hence the order.
    waiting: RefCell<VecDeque<(Watched, Visitor)>>,
    asked: Cell<usize>,
    gathering: Cell<bool>,
}

/// The session that serves, and how.
#[derive(Clone)]
struct Bound {
    session: Rc<Session>,
    epoch: Epoch,
    served: ServedService,
}

/// A carrier of the direct lane that waits for its visitor.
pub(crate) struct IdleCarrier {
    pub(crate) sock: Sock,
    pub(crate) session: Rc<Session>,
    pub(crate) voucher: Voucher,
    pub(crate) share: Share,
}

impl Serving {
    pub(super) fn new(worker: WorkerIndex, service: ServiceId) -> Self {
        Self {
            service,
            worker,
            demand: Demand::new(Instant::now()),
            bound: RefCell::default(),
            idle: RefCell::default(),
            carriers: RefCell::default(),
            waiting: RefCell::default(),
            asked: Cell::new(0),
            gathering: Cell::new(false),
        }
    }

    pub(super) fn is_served_by(&self, session: SessionId) -> bool {
        self.bound
            .borrow()
            .as_ref()
            .is_some_and(|bound| bound.session.spec().session == session)
    }

    /// A session (or a new epoch of it) serves from now on. Carriers of before bear their visitors to the end.
    pub(super) fn bind(self: &Rc<Self>, worker: &Rc<Worker>, session: &Rc<Session>, served: &ServedService) {
        let spec = session.spec();
        let goes_on = |bound: &Bound| bound.epoch == spec.epoch && bound.session.spec().session == spec.session;
        if !self.bound.borrow().as_ref().is_some_and(goes_on) {
            self.close_idle();
            self.asked.set(0);
        }
        *self.bound.borrow_mut() = Some(Bound {
            session: session.clone(),
            epoch: spec.epoch,
            served: served.clone(),
        });
        self.refill(worker);
    }

    pub(super) fn unbind(&self) {
        *self.bound.borrow_mut() = None;
        self.close_idle();
    }

    /// Closes what has no visitor; carriers with visitors get no new ones.
    pub(super) fn close_idle(&self) {
        self.idle.borrow_mut().clear();
        self.carriers
            .borrow_mut()
            .drain(..)
            .for_each(|carrier| carrier.retire());
    }

    /// Resets every waiting visitor.
    pub(super) fn turn_away(&self, worker: &Worker, reason: RefuseReason) {
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        let Some(service) = worker.services.get(self.service) else {
            return;
        };
        waiting
            .iter()
            .for_each(|(_, visitor)| refuse(worker, &service, visitor.peer, reason));
    }

    /// A voucher was redeemed or has expired.
    pub(super) fn voucher_back(&self, errand: &Errand) {
        let current = self
            .bound
            .borrow()
            .as_ref()
            .is_some_and(|bound| (bound.session.spec().session, bound.epoch) == (errand.session, errand.epoch));
        if current {
            self.asked.set(self.asked.get().saturating_sub(1));
        }
    }

    /// A genuine carrier for this service: whoever waits longest gets it, else it waits itself.
    pub(super) fn carrier(self: &Rc<Self>, worker: &Rc<Worker>, session: &Rc<Session>, arrival: CarrierArrival) {
        let serves = |bound: &Bound| Rc::ptr_eq(&bound.session, session);
        if !self.bound.borrow().as_ref().is_some_and(serves) {
            // Another session has taken the service over while the carrier was on its way.
            return;
        }
        let Some(share) = session.carrier(worker) else { return };
        let Ok(sock) = Sock::new(arrival.fd, &worker.sockets) else {
            return;
        };
        let spec = session.spec();
        match spec.lane {
            Lane::Direct => {
                let voucher = arrival.hello.voucher;
                self.idle.borrow_mut().push_back(IdleCarrier {
                    sock,
                    session: session.clone(),
                    voucher,
                    share,
                });
            }
            Lane::Mux => {
                let Some(served) = self.bound.borrow().as_ref().map(|bound| bound.served.clone()) else {
                    return;
                };
                let carrier = mux::Carrier::accepted(worker, sock, &served.mux, spec.kariz_mux, Box::new(share));
                self.carriers.borrow_mut().push(carrier);
            }
        }
        self.serve_waiting(worker);
        self.publish(worker);
    }

    /// Whether a visitor could be served here and now.
    pub(super) fn place_here(&self, worker: &Worker, service: &Service) -> bool {
        self.publish_to(worker, service) > 0
    }

    /// Serves a visitor, after [`Serving::place_here`] said that there is a place.
    pub(super) fn serve(self: &Rc<Self>, worker: &Rc<Worker>, service: &Rc<Service>, visitor: Visitor) {
        let Some(bound) = self.bound.borrow().clone() else {
            return refuse(worker, service, visitor.peer, RefuseReason::NoSession);
        };
        let Some(share) = bound.session.visitor(worker) else {
            return refuse(worker, service, visitor.peer, RefuseReason::VisitorLimit);
        };
        match bound.session.spec().lane {
            Lane::Direct => match self.take_idle() {
                Some(carrier) => spawn(
                    worker,
                    direct::serve(worker.clone(), service.clone(), visitor, share, carrier),
                ),
                None => self.wait_or_refuse(worker, service, visitor),
            },
            Lane::Mux => match self.roomiest() {
                Some(carrier) => carrier.open(worker, service, visitor, Box::new(share), &bound.session.spec().budgets),
                None => self.wait_or_refuse(worker, service, visitor),
            },
        }
        self.publish(worker);
        self.refill(worker);
    }

    fn wait_or_refuse(&self, worker: &Worker, service: &Service, visitor: Visitor) {
        let peer = visitor.peer;
        if let Err(reason) = self.wait(worker, visitor) {
            refuse(worker, service, peer, reason);
        }
    }

    /// Queues a visitor until a carrier comes or [`VISITOR_WAIT`] has passed.
    pub(super) fn wait(&self, worker: &Worker, visitor: Visitor) -> Result<(), RefuseReason> {
        if worker.draining.get() {
            return Err(RefuseReason::Draining);
        }
        if self.waiting.borrow().len() >= MAX_WAITING {
            return Err(RefuseReason::NoCarrier);
        }
        let watched = worker.sockets.watch(&visitor.fd);
        self.waiting.borrow_mut().push_back((watched, visitor));
        Ok(())
    }

    /// The next carrier whose peer has not gone away while it waited.
    fn take_idle(&self) -> Option<IdleCarrier> {
        let mut idle = self.idle.borrow_mut();
        std::iter::from_fn(|| idle.pop_front()).find(is_alive)
    }

    fn roomiest(&self) -> Option<Rc<mux::Carrier>> {
        let carriers = self.carriers.borrow();
        carriers
            .iter()
            .filter(|carrier| carrier.room() > 0)
            .max_by_key(|carrier| carrier.room())
            .cloned()
    }

    fn serve_waiting(self: &Rc<Self>, worker: &Rc<Worker>) {
        let Some(service) = worker.services.get(self.service) else {
            return;
        };
        while self.place_here(worker, &service) {
            let Some((watched, visitor)) = self.waiting.borrow_mut().pop_front() else {
                break;
            };
            drop(watched);
            self.serve(worker, &service, visitor);
        }
    }

    /// Visitors that could be served here and now; tells the other workers.
    fn publish(&self, worker: &Worker) {
        if let Some(service) = worker.services.get(self.service) {
            self.publish_to(worker, &service);
        }
    }

    fn publish_to(&self, worker: &Worker, service: &Service) -> usize {
        let streams: usize = self.carriers.borrow().iter().map(|carrier| carrier.room()).sum();
        let room = self.idle.borrow().len() + streams;
        service.shared.room[usize::from(worker.index.0)].store(room as u64, Ordering::Relaxed);
        room
    }

    /// Asks for carriers if fewer are there or under way than are going to be needed.
    pub(super) fn refill(self: &Rc<Self>, worker: &Rc<Worker>) {
        if self.missing(worker) == 0 || self.gathering.replace(true) {
            return;
        }
        let serving = self.clone();
        let held = worker.clone();
        spawn(worker, async move {
            sleep(WANT_GATHER).await;
            serving.gathering.set(false);
            serving.ask(&held);
        });
    }

    /// Carriers to ask for now.
    fn missing(&self, worker: &Worker) -> usize {
        let bound = self.bound.borrow();
        let Some(bound) = bound
            .as_ref()
            .filter(|bound| !bound.session.is_lost() && !worker.draining.get())
        else {
            return 0;
        };
        let workers = worker.shared.seats.len();
        let pool = bound.served.pool as usize;
        let floor = pool / workers + usize::from(usize::from(self.worker.0) < pool % workers);
        let visitors = self.waiting.borrow().len() + self.demand.expected(Instant::now());
        let needed = match bound.session.spec().lane {
            Lane::Direct => (floor + visitors).saturating_sub(self.idle.borrow().len()),
            Lane::Mux => {
                let per_carrier = usize::from(bound.served.mux.concurrency);
                let carriers = self.carriers.borrow();
                let room: usize = carriers.iter().map(|carrier| carrier.room()).sum();
                let for_visitors = visitors.saturating_sub(room).div_ceil(per_carrier);
                floor.saturating_sub(carriers.len()).max(for_visitors)
            }
        };
        needed
            .saturating_sub(self.asked.get())
            .min(usize::try_from(bound.session.carriers_left()).unwrap_or(usize::MAX))
    }

    fn ask(&self, worker: &Worker) {
        let missing = self.missing(worker);
        let Some(bound) = self.bound.borrow().clone().filter(|_| missing > 0) else {
            return;
        };
        let spec = bound.session.spec();
        let now = Instant::now();
        let errand = Errand {
            session: spec.session,
            epoch: spec.epoch,
            service: self.service,
            asked: now,
        };
        let mut table = worker.server.vouchers.borrow_mut();
        let vouchers: Vec<_> = (0..missing.min(MAX_VOUCHERS_PER_WANT))
            .map_while(|_| table.issue(now, VOUCHER_LIFETIME, errand, &mut random))
            .collect();
        self.asked.set(self.asked.get() + vouchers.len());
        drop(table);
        worker.emit(Event::Want {
            session: spec.session,
            epoch: spec.epoch,
            service: self.service,
            vouchers,
        });
    }

    /// Visitors that wait, and carriers without a visitor.
    pub(super) fn gauges(&self) -> (usize, usize) {
        let unused = self
            .carriers
            .borrow()
            .iter()
            .filter(|carrier| carrier.is_unused())
            .count();
        (self.waiting.borrow().len(), self.idle.borrow().len() + unused)
    }

    /// Once a second.
    pub(super) fn tick(self: &Rc<Self>, worker: &Rc<Worker>) {
        self.idle.borrow_mut().retain(is_alive);
        self.carriers.borrow_mut().retain(|carrier| !carrier.is_closed());
        self.trim(worker);
        // In the mux lane a stream that ended has made room without a carrier having come.
        self.serve_waiting(worker);
        self.expire(worker);
        let waited = self
            .waiting
            .borrow()
            .front()
            .map(|(_, visitor)| visitor.arrived.elapsed());
        if waited.is_some_and(|waited| waited >= self.demand.patience()) {
            // What was asked for should be here by now: a Want or a dial was lost, and is not waited for.
            self.asked.set(0);
        }
        self.publish(worker);
        self.refill(worker);
    }

    /// Gives carriers back that were wanted for a rush that is over, a quarter of them at a time.
    fn trim(&self, worker: &Worker) {
        let bound = self.bound.borrow();
        let Some(bound) = bound.as_ref() else { return };
        let pool = (bound.served.pool as usize).div_ceil(worker.shared.seats.len());
        let enough = pool + self.demand.expected(Instant::now());
        let mut idle = self.idle.borrow_mut();
        let spare = idle.len().saturating_sub(enough).div_ceil(4);
        idle.drain(..spare);
        // Mux carriers bear many visitors each: beyond the floor those without any can go.
        let mut carriers = self.carriers.borrow_mut();
        let mut spare = carriers.len().saturating_sub(pool).div_ceil(4);
        carriers.retain(|carrier| {
            let goes = spare > 0 && carrier.is_unused() && !carrier.is_closed();
            if goes {
                spare -= 1;
                carrier.retire();
            }
            !goes
        });
    }

    fn expire(&self, worker: &Worker) {
        let Some(service) = worker.services.get(self.service) else {
            return;
        };
        let reason = if self.bound.borrow().is_some() {
            RefuseReason::NoCarrier
        } else {
            RefuseReason::NoSession
        };
        let mut waiting = self.waiting.borrow_mut();
        while waiting
            .front()
            .is_some_and(|(_, visitor)| visitor.arrived.elapsed() >= VISITOR_WAIT)
        {
            if let Some((watched, visitor)) = waiting.pop_front() {
                drop(watched);
                refuse(worker, &service, visitor.peer, reason);
            }
        }
    }
}

fn random(bytes: &mut [u8]) {
    // The kernel's generator only fails where the system call does not exist.
    getrandom::fill(bytes).expect("the kernel has no random numbers");
}

/// An idle carrier says nothing: bytes, an end or an error all mean that it is of no use.
fn is_alive(carrier: &IdleCarrier) -> bool {
    matches!(carrier.sock.peek(&mut [0]), Ok(None))
}
