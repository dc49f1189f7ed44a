//! Every socket that a worker owns, by descriptor: for the sweep, for the end of a drain, and for the case that
//! the worker itself dies.

use super::sys::{self, TcpInfo};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

/// How long sent bytes may stay without any sign of life from the peer. A peer with a zero window still
/// acknowledges probes, so a slow reader never counts as dead (`spec/session.md`, Liveness).
pub(crate) const DEAD_PEER_TIMEOUT: Duration = Duration::from_secs(300);

/// How long nothing may move on a connection of which one direction has ended.
pub(crate) const HALF_CLOSED_IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// Sockets that one step of the sweep looks at, so that it never holds the worker for long.
const SWEEP_STEP: usize = 512;

/// Names a socket in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketKey(usize);

#[derive(Debug)]
struct Entry {
    fd: RawFd,
    half_closed: Cell<bool>,
}

/// Keeps a descriptor in its table until dropped: for a socket that no task waits for yet.
#[derive(Debug)]
pub(crate) struct Watched {
    table: Rc<SocketTable>,
    key: SocketKey,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.table.remove(self.key);
    }
}

/// The sockets of one worker.
#[derive(Debug, Default)]
pub(crate) struct SocketTable {
    entries: RefCell<Slab<Entry>>,
    next_swept: Cell<usize>,
}

impl SocketTable {
    pub(super) fn insert(&self, fd: RawFd) -> SocketKey {
        SocketKey(self.entries.borrow_mut().insert(Entry {
            fd,
            half_closed: Cell::new(false),
        }))
    }

    /// Watches over a descriptor. The result has to be dropped before the descriptor is closed or moves on.
    pub(crate) fn watch(self: &Rc<Self>, fd: &OwnedFd) -> Watched {
        Watched {
            table: self.clone(),
            key: self.insert(fd.as_raw_fd()),
        }
    }

    pub(super) fn remove(&self, key: SocketKey) {
        self.entries.borrow_mut().try_remove(key.0);
    }

    pub(super) fn mark_half_closed(&self, key: SocketKey) {
        if let Some(entry) = self.entries.borrow().get(key.0) {
            entry.half_closed.set(true);
        }
    }

    /// Number of sockets.
    pub(crate) fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks at the next sockets in turn and resets those whose peer is dead or whose half-closed connection has
    /// come to rest. Returns how many were reset. Their tasks wake up with an error.
    pub(crate) fn sweep(&self) -> usize {
        let entries = self.entries.borrow();
        let capacity = entries.capacity();
        if capacity == 0 {
            return 0;
        }
        let first = self.next_swept.get() % capacity;
        let last = capacity.min(first + SWEEP_STEP);
        self.next_swept.set(last);
        (first..last)
            .filter_map(|key| entries.get(key))
            .filter(|entry| sys::of_raw(entry.fd).is_some_and(|info| entry.is_stale(&info)))
            .filter(|entry| sys::abort_raw(entry.fd))
            .count()
    }

    /// Resets every connection and closes every socket, also listeners, under tasks that will never run again.
    pub(crate) fn abort_and_close_all(&self) {
        self.abort_all();
        for entry in self.entries.borrow_mut().drain() {
            sys::close_raw(entry.fd);
        }
    }

    /// Resets every connection at once. Their tasks wake up with an error. Listeners are left alone.
    pub(crate) fn abort_all(&self) -> usize {
        self.entries
            .borrow()
            .iter()
            .filter(|(_, entry)| sys::abort_raw(entry.fd))
            .count()
    }
}

impl Entry {
    fn is_stale(&self, info: &TcpInfo) -> bool {
        let dead = info.unsent_or_unacked && info.since_last_ack > DEAD_PEER_TIMEOUT;
        let at_rest = self.half_closed.get() && info.since_last_data > HALF_CLOSED_IDLE_TIMEOUT;
        dead || at_rest
    }
}
