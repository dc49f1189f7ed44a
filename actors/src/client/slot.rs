//! One session's worth of server addresses.

use kameo::prelude::*;
use kariz_proto::session::Backoff;
use std::time::Instant;

use super::link::Link;

/// A list of servers of which one is used at a time (failover: all of them; balance: one slot for each).
///
/// Which comes next is decided here and nowhere else.
pub(crate) struct Slot {
    /// Indices into the client's servers, in order of preference.
    servers: Vec<usize>,
    /// Position of the server that is used or tried.
    at: usize,
    pub(crate) current: Option<Running>,
    /// A link to a server that comes earlier in the list, while it is being tried.
    pub(crate) candidate: Option<Running>,
    pub(crate) backoff: Backoff,
    /// When to try the next server (no current link) or a better one (with a current link).
    pub(crate) due: Option<Instant>,
}

/// A link actor of a slot.
pub(crate) struct Running {
    pub(crate) position: usize,
    pub(crate) actor: ActorRef<Link>,
    pub(crate) up: bool,
}

impl Slot {
    pub(crate) fn new(servers: Vec<usize>, backoff: Backoff, now: Instant) -> Self {
        Self {
            servers,
            at: 0,
            current: None,
            candidate: None,
            backoff,
            due: Some(now),
        }
    }

    /// The server at a position of the list.
    pub(crate) fn server(&self, position: usize) -> usize {
        self.servers[position % self.servers.len()]
    }

    /// Position of the server to use now.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The server in use is the one at this position.
    pub(crate) fn settle(&mut self, position: usize) {
        self.at = position;
    }

    /// The attempt has failed, or the server goes away: the next one of the list.
    pub(crate) fn advance(&mut self) {
        self.at = (self.at + 1) % self.servers.len();
    }

    /// A session was lost: the list from its beginning.
    pub(crate) fn rewind(&mut self) {
        self.at = 0;
    }
}
