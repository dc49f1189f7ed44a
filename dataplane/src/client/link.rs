//! A session with a server, as the control plane tells of it.

use crate::signal::Signal;
use crate::tally::{Share, Tally};
use crate::worker::Worker;
use kariz_proto::control::LinkSpec;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

/// One epoch of a session on one worker.
pub(crate) struct Link {
    pub(crate) spec: Arc<LinkSpec>,
    carriers: Arc<Tally>,
    next_local: Cell<usize>,
    closed: Rc<Signal>,
}

impl Link {
    pub(super) fn new(spec: Arc<LinkSpec>, carriers: Arc<Tally>) -> Self {
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
    pub(super) fn carrier(&self, worker: &Worker) -> Option<Share> {
        self.carriers.take(worker.place(), self.spec.max_carriers.into())
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
