//! Who owns a service at a server.

use crate::control::{Epoch, InstanceId, SessionId};
use crate::model::ServiceName;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// How long a holder may take to answer a ping before a newcomer has its service.
pub const HOLDER_ANSWER: Duration = Duration::from_secs(2);
/// Most sessions that wait for one service.
pub const MAX_WAITERS: usize = 16;

/// Sessions of a server, and which of them serves which service (`spec/session.md`, Who owns a service). Sans-IO.
#[derive(Debug, Default)]
pub struct Ownership {
    sessions: BTreeMap<SessionId, Member>,
    instances: BTreeMap<InstanceId, SessionId>,
    services: BTreeMap<ServiceName, Entry>,
}

#[derive(Debug)]
struct Member {
    instance: InstanceId,
    epoch: Epoch,
    draining: bool,
}

#[derive(Debug, Default)]
struct Entry {
    holder: Option<SessionId>,
    /// Sessions that have proven the token and wait for the holder to go, oldest first.
    waiters: VecDeque<SessionId>,
    /// Until when the holder may answer, if it was asked.
    asked: Option<Instant>,
    /// Newcomers whose claim hangs on that answer.
    newcomers: BTreeSet<SessionId>,
}

/// What a claim comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The claimant has the service.
    Granted {
        /// Who loses it: tell it with `unregister`.
        from: Option<SessionId>,
    },
    /// Another instance holds it: ping the holder. A [`Verdict`] follows within [`HOLDER_ANSWER`].
    Contested {
        /// Whom to ping.
        holder: SessionId,
    },
}

/// How a contest or a departure was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// About which service.
    pub service: ServiceName,
    /// For whom.
    pub claimant: SessionId,
    /// `Some(loser)` if the claimant has the service now; `None` if it is taken.
    pub outcome: Outcome,
}

/// Outcome of a [`Verdict`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The claimant has the service now: grant it, and tell the loser.
    Granted {
        /// Who lost it, if there was a holder.
        from: Option<SessionId>,
    },
    /// The holder is alive. The claimant waits in line and gets [`Outcome::Granted`] when the holder goes.
    Taken {
        /// Who holds it.
        holder: SessionId,
    },
}

impl Ownership {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which session and epoch this instance gets on a new control carrier, without changing anything: its own one
    /// with the next epoch, else `fresh` with epoch 1.
    pub fn preview(&self, instance: InstanceId, fresh: SessionId) -> (SessionId, Epoch) {
        let _ = (instance, fresh);
        unimplemented!()
    }

    /// Puts a session up, as [`Self::preview`] said. A session that was draining is not any more.
    pub fn attach(&mut self, instance: InstanceId, fresh: SessionId) -> (SessionId, Epoch) {
        let _ = (instance, fresh);
        unimplemented!()
    }

    /// Whether [`Self::claim`] by this instance would be granted at once, without changing anything.
    pub fn is_free_for(&self, service: &ServiceName, instance: InstanceId) -> bool {
        let _ = (service, instance);
        unimplemented!()
    }

    /// Claims a service for an attached session. A service without holder, with a draining one, or held by the same
    /// instance is granted at once.
    pub fn claim(&mut self, now: Instant, service: &ServiceName, claimant: SessionId) -> Claim {
        let _ = (now, service, claimant);
        unimplemented!()
    }

    /// A holder answered a ping: those who contest its services get [`Outcome::Taken`].
    pub fn answered(&mut self, holder: SessionId) -> Vec<Verdict> {
        let _ = holder;
        unimplemented!()
    }

    /// When [`Self::handle_timeout`] has something to decide.
    pub fn poll_timeout(&self) -> Option<Instant> {
        unimplemented!()
    }

    /// Decides contests whose holder has not answered.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Verdict> {
        let _ = now;
        unimplemented!()
    }

    /// A session gives up a service (Unregister, or the service is gone from the configuration): the next in line
    /// has it.
    pub fn release(&mut self, service: &ServiceName, session: SessionId) -> Option<Verdict> {
        let _ = (service, session);
        unimplemented!()
    }

    /// A session is going away: each of its services goes to the next in line; what nobody waits for stays with it
    /// until somebody claims it.
    pub fn drain(&mut self, session: SessionId) -> Vec<Verdict> {
        let _ = session;
        unimplemented!()
    }

    /// A session is over: it holds, waits for and contests nothing any more.
    pub fn remove(&mut self, session: SessionId) -> Vec<Verdict> {
        let _ = session;
        unimplemented!()
    }

    /// Who serves a service.
    pub fn holder(&self, service: &ServiceName) -> Option<SessionId> {
        self.services.get(service)?.holder
    }

    /// The current epoch of a session.
    pub fn epoch(&self, session: SessionId) -> Option<Epoch> {
        self.sessions.get(&session).map(|member| member.epoch)
    }
}
