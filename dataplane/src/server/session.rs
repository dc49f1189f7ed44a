//! Sessions, as the control plane tells of them.

use kariz_proto::control::SessionSpec;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A session on one worker.
pub(crate) struct Session {
    spec: RefCell<Arc<SessionSpec>>,
    pub(crate) shared: Arc<SessionShared>,
    lost: Cell<bool>,
}

/// What the workers share about a session: counts only.
#[derive(Debug, Default)]
pub(crate) struct SessionShared {
    carriers: Arc<AtomicU64>,
    visitors: Arc<AtomicU64>,
}

/// Counts one carrier or visitor of a session until it is dropped.
#[derive(Debug)]
pub(crate) struct Share(Arc<AtomicU64>);

impl Drop for Share {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
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
        u64::from(self.spec.borrow().max_carriers).saturating_sub(self.shared.carriers.load(Ordering::Acquire))
    }

    /// Counts a carrier, unless the session has its most.
    pub(super) fn carrier(&self) -> Option<Share> {
        counted(&self.shared.carriers, self.spec.borrow().max_carriers.into())
    }

    /// Counts a visitor, unless the session has its most.
    pub(super) fn visitor(&self) -> Option<Share> {
        counted(
            &self.shared.visitors,
            self.spec.borrow().max_visitors.map_or(u64::MAX, u64::from),
        )
    }
}

fn counted(count: &Arc<AtomicU64>, most: u64) -> Option<Share> {
    let share = Share(count.clone());
    (count.fetch_add(1, Ordering::AcqRel) < most).then_some(share)
}
