//! Sessions, as the control plane tells of them.

use crate::tally::{Share, Tally};
use crate::worker::Worker;
use kariz_proto::control::SessionSpec;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// A session on one worker.
pub(crate) struct Session {
    spec: RefCell<Arc<SessionSpec>>,
    pub(crate) shared: Arc<SessionShared>,
    lost: Cell<bool>,
}

/// What the workers share about a session: counts only.
#[derive(Debug)]
pub(crate) struct SessionShared {
    carriers: Arc<Tally>,
    visitors: Arc<Tally>,
}

impl SessionShared {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            carriers: Tally::new(workers),
            visitors: Tally::new(workers),
        }
    }

    /// A worker is dead.
    pub(crate) fn forget(&self, worker: usize) {
        self.carriers.forget(worker);
        self.visitors.forget(worker);
    }
}

impl Session {
    pub(super) fn new(spec: Arc<SessionSpec>, shared: Arc<SessionShared>) -> Self {
        Self {
            spec: RefCell::new(spec),
            shared,
            lost: Cell::new(false),
        }
    }

    pub(super) fn renew(&self, spec: Arc<SessionSpec>) {
        *self.spec.borrow_mut() = spec;
        self.lost.set(false);
    }

    pub(super) fn lose(&self) {
        self.lost.set(true);
    }

    /// Whether the control carrier is lost.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.get()
    }

    pub(crate) fn spec(&self) -> Arc<SessionSpec> {
        self.spec.borrow().clone()
    }

    /// How many further carriers the session may have.
    pub(super) fn carriers_left(&self) -> u64 {
        u64::from(self.spec.borrow().max_carriers).saturating_sub(self.shared.carriers.total())
    }

    /// Counts a carrier, unless the session has its most.
    pub(super) fn carrier(&self, worker: &Worker) -> Option<Share> {
        let most = self.spec.borrow().max_carriers;
        self.shared.carriers.take(worker.place(), most.into())
    }

    /// Counts a visitor, unless the session has its most.
    pub(super) fn visitor(&self, worker: &Worker) -> Option<Share> {
        let most = self.spec.borrow().max_visitors.map_or(u64::MAX, u64::from);
        self.shared.visitors.take(worker.place(), most)
    }
}
