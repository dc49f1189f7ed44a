//! Who owns a service at a server.

use crate::control::{Epoch, InstanceId, SessionId};
use crate::model::ServiceName;
use std::collections::{BTreeMap, VecDeque};
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
    /// Until when the holder may answer, and whose claim hangs on it. At most [`MAX_WAITERS`].
    contest: Option<(Instant, VecDeque<SessionId>)>,
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
    /// Too many others claim or wait for it: it counts as taken, and the claimant does not wait in line.
    Taken {
        /// Who holds it.
        holder: SessionId,
    },
}

/// What a claim that was contested, or a session that waited in line, comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// About which service.
    pub service: ServiceName,
    /// For whom.
    pub claimant: SessionId,
    /// What the claimant is told.
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
        let known = self.instances.get(&instance).copied();
        known
            .and_then(|session| Some((session, Epoch(self.epoch(session)?.0.wrapping_add(1)))))
            .unwrap_or((fresh, Epoch(1)))
    }

    /// Puts a session up, as [`Self::preview`] said. A session that was draining is not any more.
    pub fn attach(&mut self, instance: InstanceId, fresh: SessionId) -> (SessionId, Epoch) {
        let (session, epoch) = self.preview(instance, fresh);
        self.instances.insert(instance, session);
        let member = Member {
            instance,
            epoch,
            draining: false,
        };
        self.sessions.insert(session, member);
        (session, epoch)
    }

    /// Whether [`Self::claim`] by this instance would be granted at once, without changing anything.
    pub fn is_free_for(&self, service: &ServiceName, instance: InstanceId) -> bool {
        let holder = self.holder(service).and_then(|holder| self.sessions.get(&holder));
        holder.is_none_or(|holder| holder.draining || holder.instance == instance)
    }

    /// Claims a service for an attached session. A service without holder, with a draining one, or held by the
    /// claimant already is granted at once.
    pub fn claim(&mut self, now: Instant, service: &ServiceName, claimant: SessionId) -> Claim {
        let draining = self.holder(service).is_some_and(|holder| self.is_draining(holder));
        let entry = self.services.entry(service.clone()).or_default();
        match entry.holder {
            Some(holder) if holder != claimant && !draining => entry.contest(now, holder, claimant),
            holder => {
                entry.give_to(claimant);
                Claim::Granted {
                    from: holder.filter(|holder| *holder != claimant),
                }
            }
        }
    }

    /// A holder answered a ping: those who contest its services get [`Outcome::Taken`].
    pub fn answered(&mut self, holder: SessionId) -> Vec<Verdict> {
        let held = self
            .services
            .iter_mut()
            .filter(|(_, entry)| entry.holder == Some(holder));
        held.flat_map(|(service, entry)| entry.confirm_holder(service, holder))
            .collect()
    }

    /// When [`Self::handle_timeout`] has something to decide.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let contests = self.services.values().filter_map(|entry| entry.contest.as_ref());
        contests.map(|(deadline, _)| *deadline).min()
    }

    /// Decides contests whose holder has not answered: the first newcomer has the service, the others wait in line.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Verdict> {
        let due = |entry: &Entry| entry.contest.as_ref().is_some_and(|(deadline, _)| now >= *deadline);
        let due = self.services.iter_mut().filter(|(_, entry)| due(entry));
        due.flat_map(|(service, entry)| entry.pass_on(service)).collect()
    }

    /// A session gives up a service (Unregister, or the service is gone from the configuration), or waits for it no
    /// longer: the next in line has it.
    pub fn release(&mut self, service: &ServiceName, session: SessionId) -> Vec<Verdict> {
        let Some(entry) = self.services.get_mut(service) else {
            return Vec::new();
        };
        let verdicts = entry.without(service, session);
        if entry.is_empty() {
            self.services.remove(service);
        }
        verdicts
    }

    /// A session is going away: each of its services goes to the next in line; what nobody waits for stays with it
    /// until somebody claims it. It waits for nothing any more.
    pub fn drain(&mut self, session: SessionId) -> Vec<Verdict> {
        if let Some(member) = self.sessions.get_mut(&session) {
            member.draining = true;
        }
        let entries = self.services.iter_mut();
        entries
            .flat_map(|(service, entry)| {
                entry.forget(session);
                let awaited = !entry.waiters.is_empty() || entry.contest.is_some();
                if entry.holder == Some(session) && awaited {
                    entry.pass_on(service)
                } else {
                    Vec::new()
                }
            })
            .collect()
    }

    /// A session is over: it holds, waits for and contests nothing any more.
    pub fn remove(&mut self, session: SessionId) -> Vec<Verdict> {
        if let Some(member) = self.sessions.remove(&session) {
            self.instances.remove(&member.instance);
        }
        let entries = self.services.iter_mut();
        let verdicts = entries
            .flat_map(|(service, entry)| entry.without(service, session))
            .collect();
        self.services.retain(|_, entry| !entry.is_empty());
        verdicts
    }

    /// Who serves a service.
    pub fn holder(&self, service: &ServiceName) -> Option<SessionId> {
        self.services.get(service)?.holder
    }

    /// The current epoch of a session.
    pub fn epoch(&self, session: SessionId) -> Option<Epoch> {
        self.sessions.get(&session).map(|member| member.epoch)
    }

    fn is_draining(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|member| member.draining)
    }
}

impl Entry {
    fn is_empty(&self) -> bool {
        self.holder.is_none() && self.waiters.is_empty() && self.contest.is_none()
    }

    fn give_to(&mut self, session: SessionId) {
        self.forget(session);
        self.holder = Some(session);
    }

    /// The session neither waits nor contests any more.
    fn forget(&mut self, session: SessionId) {
        self.waiters.retain(|waiter| *waiter != session);
        if let Some((_, newcomers)) = &mut self.contest {
            newcomers.retain(|newcomer| *newcomer != session);
        }
        if self.contest.as_ref().is_some_and(|(_, newcomers)| newcomers.is_empty()) {
            self.contest = None;
        }
    }

    fn contest(&mut self, now: Instant, holder: SessionId, claimant: SessionId) -> Claim {
        let (_, newcomers) = self
            .contest
            .get_or_insert_with(|| (now + HOLDER_ANSWER, VecDeque::new()));
        if !newcomers.contains(&claimant) {
            if newcomers.len() >= MAX_WAITERS {
                return Claim::Taken { holder };
            }
            newcomers.push_back(claimant);
        }
        Claim::Contested { holder }
    }

    /// The holder lives: newcomers wait in line, as far as there is room.
    fn confirm_holder(&mut self, service: &ServiceName, holder: SessionId) -> Vec<Verdict> {
        let newcomers = self.contest.take().map(|(_, newcomers)| newcomers).unwrap_or_default();
        newcomers
            .into_iter()
            .map(|claimant| {
                if !self.waiters.contains(&claimant) && self.waiters.len() < MAX_WAITERS {
                    self.waiters.push_back(claimant);
                }
                Verdict {
                    service: service.clone(),
                    claimant,
                    outcome: Outcome::Taken { holder },
                }
            })
            .collect()
    }

    /// The holder loses the service to the first in line; newcomers come before those who were told to wait,
    /// because they wait for a word.
    fn pass_on(&mut self, service: &ServiceName) -> Vec<Verdict> {
        let from = self.holder.take();
        let newcomer = self
            .contest
            .as_ref()
            .and_then(|(_, newcomers)| newcomers.front().copied());
        let Some(next) = newcomer.or_else(|| self.waiters.front().copied()) else {
            return Vec::new();
        };
        self.give_to(next);
        let granted = Verdict {
            service: service.clone(),
            claimant: next,
            outcome: Outcome::Granted { from },
        };
        std::iter::once(granted)
            .chain(self.confirm_holder(service, next))
            .collect()
    }

    fn without(&mut self, service: &ServiceName, session: SessionId) -> Vec<Verdict> {
        self.forget(session);
        if self.holder != Some(session) {
            return Vec::new();
        }
        self.holder = None;
        self.pass_on(service)
    }
}

#[cfg(test)]
mod tests;
