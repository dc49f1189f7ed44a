//! One service on one worker: who serves it, its ready carriers, and which visitor gets which.

use super::demand::Demand;
use super::session::Session;
use super::waiting::{VISITOR_WAIT, Waiting};
use super::{CarrierArrival, Errand, direct};
use crate::mux;
use crate::net::{Sock, was_reset};
use crate::service::{Service, Visitor, refuse};
use crate::tally::Share;
use crate::worker::{Worker, spawn};
use kariz_proto::control::{Epoch, RefuseReason, ServedService, ServiceId, SessionId, Voucher};
use kariz_proto::model::Lane;
use monoio::time::sleep;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often a visitor whose carrier was dead looks for another one.
const ANOTHER_LOOK: Duration = Duration::from_millis(10);

pub(crate) struct Serving {
    pub(crate) service: ServiceId,
    pub(super) demand: Demand,
    pub(super) bound: RefCell<Option<Bound>>,
    /// Direct lane: carriers that wait for their visitor.
    pub(super) idle: RefCell<VecDeque<IdleCarrier>>,
    /// Mux lane: carriers that take further visitors.
    pub(super) carriers: RefCell<Vec<Rc<mux::Carrier>>>,
    pub(super) waiting: Waiting,
    /// Carriers that were asked for and have not come yet.
    pub(super) asked: Cell<usize>,
    /// A Want is about to go out.
    pub(super) gathering: Cell<bool>,
}

/// The session that serves, and how.
#[derive(Clone)]
pub(super) struct Bound {
    pub(super) session: Rc<Session>,
    pub(super) epoch: Epoch,
    pub(super) served: ServedService,
}

/// A carrier of the direct lane that waits for its visitor.
pub(crate) struct IdleCarrier {
    pub(crate) sock: Sock,
    pub(crate) session: Rc<Session>,
    pub(crate) voucher: Voucher,
    /// Counts it for as long as it lives.
    pub(crate) _share: Share,
}

impl Serving {
    pub(super) fn new(service: ServiceId) -> Self {
        Self {
            service,
            demand: Demand::new(Instant::now()),
            bound: RefCell::default(),
            idle: RefCell::default(),
            carriers: RefCell::default(),
            waiting: Waiting::default(),
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
            self.demand.set_distance(None);
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
        if let Some(service) = worker.services.get(self.service) {
            self.waiting.turn_away(worker, &service, reason);
        }
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
        if !self.demand.knows_distance() {
            self.demand.set_distance(sock.round_trip());
            self.refill(worker);
        }
        let spec = session.spec();
        match spec.lane {
            Lane::Direct if self.is_surplus(worker) => return,
            Lane::Direct => {
                let voucher = arrival.hello.voucher;
                self.idle.borrow_mut().push_back(IdleCarrier {
                    sock,
                    session: session.clone(),
                    voucher,
                    _share: share,
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
                    direct::serve(worker.clone(), service.clone(), self.clone(), visitor, share, carrier),
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
        if let Err(reason) = self.waiting.push(worker, visitor) {
            refuse(worker, service, peer, reason);
        }
    }

    /// The next carrier whose peer has not gone away while it waited.
    fn take_idle(&self) -> Option<IdleCarrier> {
        let mut idle = self.idle.borrow_mut();
        std::iter::from_fn(|| idle.pop_front()).find(is_alive)
    }

    /// A carrier for a visitor whose first one was dead already. It waits as long as any visitor may.
    pub(super) async fn another(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        visitor: &Sock,
        arrived: Instant,
    ) -> Option<IdleCarrier> {
        let _returned = self.waiting.returned()?;
        let is_open = || worker.services.get(self.service).is_some() && !worker.draining.get();
        while arrived.elapsed() < VISITOR_WAIT && is_open() && !was_reset(visitor) {
            if let Some(carrier) = self.take_idle() {
                self.publish(worker);
                self.refill(worker);
                return Some(carrier);
            }
            self.refill(worker);
            sleep(ANOTHER_LOOK).await;
        }
        None
    }

    fn roomiest(&self) -> Option<Rc<mux::Carrier>> {
        let carriers = self.carriers.borrow();
        carriers
            .iter()
            .filter(|carrier| carrier.room() > 0)
            .max_by_key(|carrier| carrier.room())
            .cloned()
    }

    pub(super) fn serve_waiting(self: &Rc<Self>, worker: &Rc<Worker>) {
        let Some(service) = worker.services.get(self.service) else {
            return;
        };
        while self.place_here(worker, &service) {
            let Some(visitor) = self.waiting.pop(worker, &service) else {
                break;
            };
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

    /// Visitors that wait, and carriers without a visitor.
    pub(super) fn gauges(&self) -> (usize, usize) {
        let unused = self
            .carriers
            .borrow()
            .iter()
            .filter(|carrier| carrier.is_unused())
            .count();
        (self.waiting.len(), self.idle.borrow().len() + unused)
    }

    /// Once a second.
    pub(super) fn tick(self: &Rc<Self>, worker: &Rc<Worker>) {
        self.idle.borrow_mut().retain(is_alive);
        self.carriers.borrow_mut().retain(|carrier| !carrier.is_closed());
        self.trim(worker);
        // In the mux lane a stream that ended has made room without a carrier having come.
        self.serve_waiting(worker);
        self.expire(worker);
        if self
            .waiting
            .longest()
            .is_some_and(|waited| waited >= self.demand.patience())
        {
            // What was asked for should be here by now: a Want or a dial was lost, and is not waited for.
            self.asked.set(0);
        }
        self.publish(worker);
        self.refill(worker);
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
        self.waiting.expire(worker, &service, reason);
    }
}

/// An idle carrier says nothing: bytes, an end or an error all mean that it is of no use.
fn is_alive(carrier: &IdleCarrier) -> bool {
    matches!(carrier.sock.peek(&mut [0]), Ok(None))
}
