//! A session with a server, as the control plane tells of it.

use crate::signal::Signal;
use kariz_proto::control::LinkSpec;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One epoch of a session on one worker.
pub(crate) struct Link {
    pub(crate) spec: Arc<LinkSpec>,
    carriers: Arc<AtomicU64>,
    next_local: Cell<usize>,
    closed: Rc<Signal>,
}

/// Counts one carrier of a session until it is dropped.
pub(crate) struct Share(Arc<AtomicU64>);

impl Drop for Share {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Link {
    pub(super) fn new(spec: Arc<LinkSpec>, carriers: Arc<AtomicU64>) -> Self {
        Self {
            spec,
            carriers,
            next_local: Cell::new(0),
            closed: Rc::default(),
        }
    }

    /// The same epoch with another specification: carriers of before go on.
    pub(super) fn renewed(&self, spec: Arc<LinkSpec>) -> Self {
        Self {
            spec,
            carriers: self.carriers.clone(),
            next_local: self.next_local.clone(),
            closed: self.closed.clone(),
        }
    }

    /// Idle carriers end.
    pub(super) fn close(&self) {
        self.closed.raise();
    }

    /// Waits until the epoch is over.
    pub(super) async fn closed(&self) {
        self.closed.raised().await;
    }

    /// Counts a carrier, unless the session has its most.
    pub(super) fn carrier(&self) -> Option<Share> {
        let share = Share(self.carriers.clone());
        let before = self.carriers.fetch_add(1, Ordering::AcqRel);
        (before < u64::from(self.spec.max_carriers)).then_some(share)
    }

    /// The source address whose turn it is.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        let turn = self.next_local.replace(self.next_local.get().wrapping_add(1));
        let fitting = |addr: &&SocketAddr| addr.is_ipv4() == self.spec.remote.is_ipv4();
        let count = self.spec.local_addrs.iter().filter(fitting).count();
        self.spec
            .local_addrs
            .iter()
            .filter(fitting)
            .nth(turn.checked_rem(count)?)
            .copied()
    }
}
