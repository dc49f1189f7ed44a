//! Visitors that wait for a carrier, the longest first.

use crate::net::{Watched, was_reset};
use crate::service::{Service, Visitor, refuse};
use crate::worker::Worker;
use kariz_proto::control::RefuseReason;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

/// How long a visitor waits for a carrier (`spec/session.md`, Who owns a service).
pub(super) const VISITOR_WAIT: Duration = Duration::from_secs(10);

/// Visitors that one worker lets wait for one service; a further one is refused.
const MAX_WAITING: usize = 4096;

#[derive(Default)]
pub(super) struct Waiting {
    /// Each is let go by the socket table before it moves on or is dropped: hence the order.
    queue: RefCell<VecDeque<(Watched, Visitor)>>,
    /// Those whose carrier was dead already: they wait on their own.
    returned: Cell<usize>,
}

/// Counts a visitor among those that wait until it is dropped.
pub(super) struct Returned<'a>(&'a Waiting);

impl Drop for Returned<'_> {
    fn drop(&mut self) {
        self.0.returned.set(self.0.returned.get() - 1);
    }
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.queue.borrow().len() + self.returned.get()
    }

    /// A visitor that had a carrier needs another one; `None` if there are too many that wait.
    pub(super) fn returned(&self) -> Option<Returned<'_>> {
        (self.len() < MAX_WAITING).then(|| {
            self.returned.set(self.returned.get() + 1);
            Returned(self)
        })
    }

    /// How long the first has waited.
    pub(super) fn longest(&self) -> Option<Duration> {
        self.queue
            .borrow()
            .front()
            .map(|(_, visitor)| visitor.arrived.elapsed())
    }

    /// Queues a visitor until a carrier comes or [`VISITOR_WAIT`] has passed.
    ///
    /// # Errors
    /// Why it may not wait. It is reset.
    pub(super) fn push(&self, worker: &Worker, visitor: Visitor) -> Result<(), RefuseReason> {
        if worker.draining.get() {
            return Err(RefuseReason::Draining);
        }
        if self.len() >= MAX_WAITING {
            return Err(RefuseReason::NoCarrier);
        }
        let watched = worker.sockets.watch(&visitor.fd);
        self.queue.borrow_mut().push_back((watched, visitor));
        Ok(())
    }

    /// The next one. Those that have left meanwhile cost nobody a carrier.
    pub(super) fn pop(&self, worker: &Worker, service: &Service) -> Option<Visitor> {
        loop {
            let (watched, visitor) = self.queue.borrow_mut().pop_front()?;
            drop(watched);
            if !was_reset(&visitor.fd) {
                return Some(visitor);
            }
            refuse(worker, service, visitor.peer, RefuseReason::VisitorLeft);
        }
    }

    /// Lets those go who have left, and turns those away who have waited for [`VISITOR_WAIT`].
    pub(super) fn expire(&self, worker: &Worker, service: &Service, reason: RefuseReason) {
        self.queue.borrow_mut().retain(|(_, visitor)| {
            let verdict = if was_reset(&visitor.fd) {
                Some(RefuseReason::VisitorLeft)
            } else {
                (visitor.arrived.elapsed() >= VISITOR_WAIT).then_some(reason)
            };
            if let Some(reason) = verdict {
                refuse(worker, service, visitor.peer, reason);
            }
            verdict.is_none()
        });
    }

    /// Resets every one.
    pub(super) fn turn_away(&self, worker: &Worker, service: &Service, reason: RefuseReason) {
        for (_, visitor) in self.queue.take() {
            refuse(worker, service, visitor.peer, reason);
        }
    }
}
