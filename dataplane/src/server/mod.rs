//! The public end of the tunnel on a worker: carriers come in, visitors go out on them.
//!
//! | file | what it is |
//! |---|---|
//! | `handshake` | fresh connections on a carrier listener: who are they, and to which worker do they belong |
//! | `session` | sessions, as the control plane tells of them |
//! | `serving` | one service: who serves it, its ready carriers, and which visitor gets which |
//! | `waiting` | visitors that wait for a carrier |
//! | `asking` | asking for carriers (Want), and giving them back |
//! | `demand` | how many carriers a service is going to need |
//! | `direct` | one visitor on a carrier of its own |

mod asking;
mod demand;
mod direct;
mod handshake;
mod serving;
mod session;
mod waiting;

pub(crate) use direct::{READY_TIMEOUT, reason_of};
pub(crate) use handshake::{CarrierArrival, Handshakes, listen};
pub(crate) use serving::Serving;
pub(crate) use session::{Session, SessionShared};

use crate::service::{Service, Visitor, hand_to, refuse, welcome};
use crate::worker::Worker;
use kariz_proto::control::{Counter, Epoch, RefuseReason, ServiceId, SessionId, SessionSpec, WorkerIndex};
use kariz_proto::session::VoucherTable;
use kariz_proto::session::carrier::CarrierHello;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// The server's side of one worker. Empty in a process that is none.
pub(crate) struct ServerRole {
    sessions: RefCell<HashMap<SessionId, Rc<Session>>>,
    serving: RefCell<HashMap<ServiceId, Rc<Serving>>>,
    vouchers: RefCell<VoucherTable<Errand>>,
    pub(crate) handshakes: Handshakes,
}

/// What a voucher was given out for, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errand {
    session: SessionId,
    epoch: Epoch,
    service: ServiceId,
    asked: Instant,
}

/// Vouchers of one worker that may be out at a time.
const MAX_VOUCHERS: usize = 65536;

/// Where a visitor of a tunnelled service goes: to a carrier of this worker, to a worker that has one, or into the
/// queue until one comes.
pub(crate) fn visit(worker: &Rc<Worker>, service: &Rc<Service>, visitor: Visitor) {
    let serving = worker.server.serving(visitor.service);
    serving.demand.arrival();
    // Who came earlier has the first place that comes free.
    let has_place = serving.waiting.len() == 0 && serving.place_here(worker, service);
    let is_crowded = worker.shared.visitors.relief(worker.place()).is_some();
    if has_place && !is_crowded {
        return serving.serve(worker, service, visitor);
    }
    let visitor = match hand_over(worker, service, visitor) {
        Ok(()) => return,
        Err(visitor) if has_place => return serving.serve(worker, service, visitor),
        Err(visitor) => visitor,
    };
    let peer = visitor.peer;
    match serving.waiting.push(worker, visitor) {
        Ok(()) => {
            serving.serve_waiting(worker);
            serving.refill(worker);
        }
        Err(reason) => refuse(worker, service, peer, reason),
    }
}

/// Posts a visitor to a worker that says it has room. A visitor moves once.
fn hand_over(worker: &Worker, service: &Service, visitor: Visitor) -> Result<(), Visitor> {
    if visitor.moved {
        return Err(visitor);
    }
    let here = usize::from(worker.index.0);
    let room = service
        .shared
        .room
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != here);
    let best = room.map(|(index, room)| (room.load(Ordering::Relaxed), index)).max();
    let Some((1.., there)) = best else { return Err(visitor) };
    // Taken at once, so that a burst does not all go to the one carrier that somebody had.
    let room = &service.shared.room[there];
    if room
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(1))
        .is_err()
    {
        return Err(visitor);
    }
    hand_to(worker, there, visitor)
}

/// A visitor from another worker.
pub(crate) fn visitor_arrived(worker: &Rc<Worker>, visitor: Visitor) {
    worker.count(Counter::HandedOver);
    // A service that was closed meanwhile takes its queued visitors with it: they are reset.
    if let Some(service) = worker.services.get(visitor.service) {
        welcome(worker, &service, visitor);
    }
}

/// A carrier whose voucher this worker gave out: checks what only this worker can check, and puts it to use.
pub(crate) fn carrier_arrived(worker: &Rc<Worker>, arrival: CarrierArrival) {
    let role = &worker.server;
    let session = role.sessions.borrow().get(&arrival.hello.session).cloned();
    let genuine = session.filter(|session| arrival.hello.verify(&session.spec().carrier_key));
    let errand = genuine
        .as_ref()
        .and_then(|_| role.vouchers.borrow_mut().take(Instant::now(), &arrival.hello.voucher));
    if errand.is_none() && role.is_late(&arrival.hello) {
        return role
            .handshakes
            .dropped(worker, arrival.peer, "of a control carrier that was replaced");
    }
    let (Some(session), Some(errand)) = (genuine, errand) else {
        return role
            .handshakes
            .failed(worker, arrival.peer, "forged, used or late voucher");
    };
    let Some(serving) = role.serving.borrow().get(&errand.service).cloned() else {
        return;
    };
    serving.voucher_back(&errand);
    if errand.session != arrival.hello.session || errand.epoch != session.spec().epoch || session.is_lost() {
        return;
    }
    worker.count(Counter::Carriers);
    // One that nobody accepted for want of descriptors says nothing about its way here.
    if !worker.shared.shortage.was_met_since(errand.asked) {
        serving.demand.refilled(errand.asked.elapsed());
    }
    serving.carrier(worker, &session, arrival);
}

impl ServerRole {
    pub(crate) fn new(worker: WorkerIndex) -> Self {
        Self {
            sessions: RefCell::default(),
            serving: RefCell::default(),
            vouchers: RefCell::new(VoucherTable::new(worker, MAX_VOUCHERS)),
            handshakes: Handshakes::default(),
        }
    }

    fn serving(&self, service: ServiceId) -> Rc<Serving> {
        let mut serving = self.serving.borrow_mut();
        serving
            .entry(service)
            .or_insert_with(|| Rc::new(Serving::new(service)))
            .clone()
    }

    /// A session has a (new) control carrier: its services are served by it from now on.
    pub(crate) fn session_up(&self, worker: &Rc<Worker>, spec: &Arc<SessionSpec>, shared: &Arc<SessionShared>) {
        let session = {
            let mut sessions = self.sessions.borrow_mut();
            let session = sessions
                .entry(spec.session)
                .or_insert_with(|| Rc::new(Session::new(spec.clone(), shared.clone())));
            session.renew(spec.clone());
            session.clone()
        };
        let served: HashMap<_, _> = spec.services.iter().map(|served| (served.service, served)).collect();
        for serving in self.serving.borrow().values() {
            if serving.is_served_by(spec.session) && !served.contains_key(&serving.service) {
                serving.unbind();
            }
        }
        for service in &spec.services {
            self.serving(service.service).bind(worker, &session, service);
        }
    }

    /// The control carrier is lost: what is idle is closed, visitors wait.
    pub(crate) fn session_lost(&self, id: SessionId, epoch: Epoch) {
        let session = self.sessions.borrow().get(&id).cloned();
        if let Some(session) = session.filter(|session| session.spec().epoch == epoch) {
            session.lose();
            self.served_by(id).iter().for_each(|serving| serving.close_idle());
        }
    }

    /// The session is over: its services have nobody.
    pub(crate) fn session_down(&self, worker: &Worker, id: SessionId) {
        self.sessions.borrow_mut().remove(&id);
        for serving in self.served_by(id) {
            serving.unbind();
            serving.turn_away(worker, RefuseReason::NoSession);
        }
    }

    /// Whoever waits is turned away; what is idle is closed.
    pub(crate) fn drain(&self, worker: &Worker) {
        for serving in self.serving.borrow().values() {
            serving.close_idle();
            serving.turn_away(worker, RefuseReason::Draining);
        }
    }

    /// Once a second: vouchers, waiting visitors and idle carriers whose time has passed.
    pub(crate) fn tick(&self, worker: &Rc<Worker>) {
        let all: Vec<_> = self.serving.borrow().values().cloned().collect();
        while let Some(errand) = self.late_voucher() {
            if let Some(serving) = self.serving.borrow().get(&errand.service) {
                serving.voucher_back(&errand);
            }
        }
        all.iter().for_each(|serving| serving.tick(worker));
    }

    /// Visitors that wait, carriers without a visitor, and vouchers that are out.
    pub(crate) fn gauges(&self) -> (usize, usize, usize) {
        let (waiting, idle) = self
            .serving
            .borrow()
            .values()
            .map(|serving| serving.gauges())
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (waiting, idle, self.vouchers.borrow().len())
    }

    /// The public service is closed: nobody waits for it any more.
    pub(crate) fn service_closed(&self, worker: &Worker, service: ServiceId) {
        let serving = self.serving.borrow_mut().remove(&service);
        if let Some(serving) = serving {
            serving.turn_away(worker, RefuseReason::NoSession);
            serving.unbind();
        }
    }

    /// Whether a carrier claims to be of an older epoch of a session that there is: its key is not known any more.
    fn is_late(&self, hello: &CarrierHello) -> bool {
        let sessions = self.sessions.borrow();
        let session = sessions.get(&hello.session);
        session.is_some_and(|session| hello.epoch < session.spec().epoch)
    }

    fn late_voucher(&self) -> Option<Errand> {
        self.vouchers.borrow_mut().expire(Instant::now())
    }

    fn served_by(&self, id: SessionId) -> Vec<Rc<Serving>> {
        self.serving
            .borrow()
            .values()
            .filter(|serving| serving.is_served_by(id))
            .cloned()
            .collect()
    }
}
