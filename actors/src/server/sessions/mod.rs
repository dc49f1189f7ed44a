//! Who is connected, and who owns which service.

mod messages;

pub(crate) use messages::{Answered, Apply, Claim, Decide, Draining, Establish, Unclaim, Yielded};

use super::services::Services;
use super::session::{self, Attach, Notice, Session, SessionArgs};
use crate::driver::{now, random};
use crate::limits::Limits;
use crate::shared::Shared;
use kameo::prelude::*;
use kariz_proto::control::SessionId;
use kariz_proto::model::ServiceName;
use kariz_proto::session::{
    AuthRequest, Claim as Claimed, CloseReason, Decision, Grant, Outcome, Ownership, ProvenService, Verdict,
};
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep_until;

/// Most sessions at a time.
pub(crate) const MAX_SESSIONS: usize = 4096;

/// Messages that may wait for this actor; Wants beyond that are dropped and said again.
pub(crate) const MAILBOX: usize = 1024;

/// Registry of sessions and owner of the ownership rules. Never waits for a session: a session waits for it. One that
/// does not keep up with what it is told is killed, and its client comes back.
pub(crate) struct Sessions {
    shared: Arc<Shared>,
    limits: ActorRef<Limits>,
    services: ActorRef<Services>,
    me: ActorRef<Self>,
    ownership: Ownership,
    sessions: HashMap<SessionId, Entry>,
    actors: HashMap<ActorId, SessionId>,
    /// What the message being handled has brought about for sessions; empty between messages.
    notices: HashMap<SessionId, Notice>,
}

struct Entry {
    actor: ActorRef<Session>,
    peer: SocketAddr,
    /// Contests that were logged: the losers try again and again.
    logged: HashSet<ServiceName>,
}

impl Actor for Sessions {
    type Args = (Arc<Shared>, ActorRef<Limits>, ActorRef<Services>);
    type Error = Infallible;

    async fn on_start((shared, limits, services): Self::Args, me: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self {
            shared,
            limits,
            services,
            me,
            ownership: Ownership::new(),
            sessions: HashMap::new(),
            actors: HashMap::new(),
            notices: HashMap::new(),
        })
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<mailbox::Signal<Self>>, Infallible> {
        loop {
            let due = self.ownership.poll_timeout();
            tokio::select! {
                signal = mailbox.recv() => return Ok(signal),
                () = sleep_until(due.unwrap_or_else(now).into()), if due.is_some() => {
                    let verdicts = self.ownership.handle_timeout(now());
                    self.carry_out(verdicts);
                    self.send_notices();
                }
            }
        }
    }

    /// A session's end ends nothing else.
    async fn on_link_died(
        &mut self,
        _: WeakActorRef<Self>,
        actor: ActorId,
        _: ActorStopReason,
    ) -> Result<ControlFlow<ActorStopReason>, Infallible> {
        if let Some(session) = self.actors.remove(&actor) {
            self.sessions.remove(&session);
            let verdicts = self.ownership.remove(session);
            self.carry_out(verdicts);
            self.send_notices();
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What is known of the sessions is gone with this actor, so they go too.
    async fn on_stop(&mut self, _: WeakActorRef<Self>, _: ActorStopReason) -> Result<(), Infallible> {
        for entry in self.sessions.values() {
            entry.actor.kill();
        }
        Ok(())
    }
}

impl Sessions {
    fn decide(&self, request: &AuthRequest) -> Option<Decision> {
        let spec = self.shared.spec();
        let server = spec.server.as_ref()?;
        let mut fresh = [0; 8];
        random(&mut fresh);
        let (session, epoch) = self
            .ownership
            .preview(request.instance, SessionId(u64::from_be_bytes(fresh)));
        if !self.has_room_for(session) {
            return None;
        }
        let grant = |service: &ProvenService| match self.ownership.is_free_for(&service.name, request.instance) {
            true => Grant::Ok,
            false => Grant::Taken,
        };
        Some(Decision {
            session,
            epoch,
            max_carriers: server.max_carriers,
            max_visitors: server.session_limits.visitors,
            grants: request.proven.iter().map(grant).collect(),
        })
    }

    /// Whether a session is there already, or another one may be.
    fn has_room_for(&self, session: SessionId) -> bool {
        let fits = self.sessions.contains_key(&session) || self.sessions.len() < MAX_SESSIONS;
        if !fits {
            tracing::warn!(reason = "too many sessions", limit = MAX_SESSIONS, "session refused");
        }
        fits
    }

    async fn establish(
        &mut self,
        Establish {
            mut driver,
            established,
            proven,
            peer,
        }: Establish,
    ) {
        let (session, epoch, instance) = (established.session, established.epoch, established.instance);
        // Another carrier of the same client may have been faster since this one's epoch was chosen.
        if self.ownership.preview(instance, session) != (session, epoch) {
            tracing::debug!(%peer, session_id = %session, reason = "overtaken", "session refused");
            return;
        }
        // Others may have come up since this one was let in.
        if !self.has_room_for(session) {
            let machine = &mut driver.machine;
            machine.close(now(), CloseReason::RateLimitExceeded, Duration::ZERO, "no room");
            tokio::spawn(driver.finish());
            return;
        }
        self.ownership.attach(instance, session);
        let granted = proven
            .iter()
            .filter(|service| self.claim(&service.name, session, peer))
            .cloned()
            .collect();
        let attach = Attach {
            driver,
            established,
            proven,
            granted,
            peer,
        };
        match self.sessions.get_mut(&session) {
            Some(entry) => {
                entry.peer = peer;
                if entry.actor.tell(attach).try_send().is_err() {
                    entry.actor.kill();
                }
            }
            None => {
                let args = SessionArgs {
                    shared: self.shared.clone(),
                    limits: self.limits.clone(),
                    services: self.services.clone(),
                    sessions: self.me.clone(),
                    attach,
                };
                let actor = Session::spawn_link_with_mailbox(&self.me, args, mailbox::bounded(session::MAILBOX)).await;
                self.actors.insert(actor.id(), session);
                self.sessions.insert(
                    session,
                    Entry {
                        actor,
                        peer,
                        logged: HashSet::new(),
                    },
                );
            }
        }
    }

    /// Whether a session has a service now. If somebody else has it who may be dead, a verdict follows.
    fn claim(&mut self, service: &ServiceName, session: SessionId, peer: SocketAddr) -> bool {
        match self.ownership.claim(now(), service, session) {
            Claimed::Granted { from } => {
                if let Some(from) = from.filter(|from| *from != session) {
                    self.notice(from).revoked.push(service.clone());
                }
                true
            }
            Claimed::Contested { holder } => {
                tracing::debug!(service = &**service, session_id = %session, %peer, %holder, "service contested");
                self.notice(holder).ping = true;
                false
            }
            Claimed::Taken { holder } => {
                self.log_taken(service, session, holder);
                false
            }
        }
    }

    fn carry_out(&mut self, verdicts: Vec<Verdict>) {
        for Verdict {
            service,
            claimant,
            outcome,
        } in verdicts
        {
            match outcome {
                Outcome::Granted { from } => {
                    if let Some(from) = from.filter(|from| *from != claimant) {
                        self.notice(from).revoked.push(service.clone());
                    }
                    self.notice(claimant).granted.push(service);
                }
                Outcome::Taken { holder } => {
                    self.log_taken(&service, claimant, holder);
                    self.notice(claimant).not_granted.push(service);
                }
            }
        }
    }

    fn log_taken(&mut self, service: &ServiceName, claimant: SessionId, holder: SessionId) {
        let holder_peer = self.sessions.get(&holder).map(|entry| entry.peer);
        let Some(entry) = self.sessions.get_mut(&claimant) else {
            return;
        };
        if entry.logged.insert(service.clone()) {
            tracing::warn!(
                service = &**service,
                session_id = %claimant,
                peer = %entry.peer,
                holder = holder_peer.map(tracing::field::display),
                reason = "taken",
                "service refused: another living client serves it"
            );
        }
    }

    /// What a session is going to be told.
    fn notice(&mut self, session: SessionId) -> &mut Notice {
        self.notices.entry(session).or_default()
    }

    /// Tells every session what has come together for it.
    fn send_notices(&mut self) {
        for (session, notice) in std::mem::take(&mut self.notices) {
            self.tell(session, notice);
        }
    }

    /// Tells a session something that it has to know.
    fn tell<M: Send + 'static>(&self, session: SessionId, message: M)
    where
        Session: Message<M>,
    {
        if let Some(entry) = self.sessions.get(&session)
            && entry.actor.tell(message).try_send().is_err()
        {
            entry.actor.kill();
        }
    }
}

#[cfg(test)]
mod tests;
