//! Asking a service's client for carriers (Want), and giving back those that are not needed any more.

use super::Errand;
use super::serving::{Bound, Serving};
use crate::worker::{Worker, spawn};
use kariz_proto::control::{Event, Voucher};
use kariz_proto::model::Lane;
use monoio::time::sleep;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long a voucher is good for: dialling may take 10 s, the Hello another 5.
const VOUCHER_LIFETIME: Duration = Duration::from_secs(15);

/// Vouchers in one Want, so that it fits into one message.
const MAX_VOUCHERS_PER_WANT: usize = 512;

/// Wants within this time are gathered into one.
const WANT_GATHER: Duration = Duration::from_millis(2);

impl Serving {
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
        let floor = self.floor(worker, bound);
        let visitors = self.waiting.len() + self.expected(worker);
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

    /// Idle carriers to keep ready: this worker's share of `connection_pool`.
    fn floor(&self, worker: &Worker, bound: &Bound) -> usize {
        let pool = bound.served.pool as usize;
        let pool = match bound.session.spec().lane {
            Lane::Direct => self.demand.scaled(pool),
            Lane::Mux => pool,
        };
        let workers = worker.shared.seats.len();
        pool / workers + usize::from(worker.place() < pool % workers)
    }

    /// Visitors that will arrive before a carrier that is asked for now. Where there is no room for them nobody is asked ahead:
    /// carriers would take the descriptors that visitors need.
    fn expected(&self, worker: &Worker) -> usize {
        match worker.shared.shortage.is_there() {
            true => 0,
            false => self.demand.expected(Instant::now()),
        }
    }

    /// Whether a carrier that has just come is one too many while descriptors are short.
    pub(super) fn is_surplus(&self, worker: &Worker) -> bool {
        let enough = || {
            let bound = self.bound.borrow();
            let floor = bound.as_ref().map_or(0, |bound| self.floor(worker, bound));
            floor + self.waiting.len()
        };
        worker.shared.shortage.is_there() && self.idle.borrow().len() >= enough()
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
        let vouchers: Vec<Voucher> = (0..missing.min(MAX_VOUCHERS_PER_WANT))
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

    /// Gives carriers back that were wanted for a rush that is over, a quarter of them at a time.
    pub(super) fn trim(&self, worker: &Worker) {
        let bound = self.bound.borrow();
        let Some(bound) = bound.as_ref() else { return };
        let floor = self.floor(worker, bound);
        let enough = floor + self.expected(worker);
        let mut idle = self.idle.borrow_mut();
        let spare = idle.len().saturating_sub(enough).div_ceil(4);
        idle.drain(..spare);
        // Mux carriers bear many visitors each: beyond the floor those without any can go.
        let mut carriers = self.carriers.borrow_mut();
        let mut spare = carriers.len().saturating_sub(floor).div_ceil(4);
        carriers.retain(|carrier| {
            let goes = spare > 0 && carrier.is_unused() && !carrier.is_closed();
            if goes {
                spare -= 1;
                carrier.retire();
            }
            !goes
        });
    }
}

fn random(bytes: &mut [u8]) {
    // The kernel's generator only fails where the system call does not exist.
    getrandom::fill(bytes).expect("the kernel has no random numbers");
}
