//! What the registry is told and asked.

use super::Sessions;
use crate::driver::Driver;
use crate::server::session::{self, ClaimAnswer, Reload, Want};
use kameo::prelude::*;
use kariz_proto::control::{Epoch, SessionId};
use kariz_proto::model::ServiceName;
use kariz_proto::session::{AuthRequest, Decision, Grant, ProvenService, ServerEstablished, ServerSession};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

/// What a client that has proven services gets. Changes nothing. `None` if there is no room for another session.
pub(crate) struct Decide(pub(crate) AuthRequest);

/// A session is up.
pub(crate) struct Establish {
    pub(crate) driver: Box<Driver<ServerSession>>,
    pub(crate) established: ServerEstablished,
    /// Everything that the client has proven, granted or not.
    pub(crate) proven: Vec<ProvenService>,
    pub(crate) peer: SocketAddr,
}

/// A session's client offers further services. Answered by [`ClaimAnswer`].
pub(crate) struct Claim {
    pub(crate) session: SessionId,
    pub(crate) epoch: Epoch,
    pub(crate) request: u64,
    pub(crate) proven: Vec<ProvenService>,
}

/// A session gives up services.
pub(crate) struct Unclaim {
    pub(crate) session: SessionId,
    pub(crate) names: Vec<ServiceName>,
}

/// A session's client answered a ping.
pub(crate) struct Answered(pub(crate) SessionId);

/// A session's client is going away.
pub(crate) struct Draining(pub(crate) SessionId);

/// A session has told the workers that others serve these.
pub(crate) struct Yielded(pub(crate) Vec<ServiceName>);

/// Has the sessions look at the specification in force.
pub(crate) struct Apply;

impl Message<Decide> for Sessions {
    type Reply = Option<Decision>;

    async fn handle(&mut self, Decide(request): Decide, _: &mut Context<Self, Self::Reply>) -> Option<Decision> {
        self.decide(&request)
    }
}

impl Message<Establish> for Sessions {
    type Reply = ();

    async fn handle(&mut self, message: Establish, _: &mut Context<Self, ()>) {
        self.establish(message).await;
        self.send_notices();
    }
}

impl Message<Claim> for Sessions {
    type Reply = ();

    async fn handle(
        &mut self,
        Claim {
            session,
            epoch,
            request,
            proven,
        }: Claim,
        _: &mut Context<Self, ()>,
    ) {
        let Some(peer) = self.sessions.get(&session).map(|entry| entry.peer) else {
            return;
        };
        let granted = proven
            .iter()
            .map(|service| match self.claim(&service.name, session, peer) {
                true => Grant::Ok,
                false => Grant::Taken,
            })
            .collect();
        let answer = ClaimAnswer {
            epoch,
            request,
            proven,
            granted,
        };
        self.tell(session, answer);
        self.send_notices();
    }
}

impl Message<Unclaim> for Sessions {
    type Reply = ();

    async fn handle(&mut self, Unclaim { session, names }: Unclaim, _: &mut Context<Self, ()>) {
        let verdicts = names
            .iter()
            .flat_map(|name| self.ownership.release(name, session))
            .collect();
        self.carry_out(verdicts);
        self.send_notices();
    }
}

impl Message<Answered> for Sessions {
    type Reply = ();

    async fn handle(&mut self, Answered(session): Answered, _: &mut Context<Self, ()>) {
        let verdicts = self.ownership.answered(session);
        self.carry_out(verdicts);
        self.send_notices();
    }
}

impl Message<Draining> for Sessions {
    type Reply = ();

    async fn handle(&mut self, Draining(session): Draining, _: &mut Context<Self, ()>) {
        let verdicts = self.ownership.drain(session);
        self.carry_out(verdicts);
        self.send_notices();
    }
}

impl Message<Yielded> for Sessions {
    type Reply = ();

    async fn handle(&mut self, Yielded(names): Yielded, _: &mut Context<Self, ()>) {
        for holder in names
            .iter()
            .filter_map(|name| self.ownership.holder(name))
            .collect::<Vec<_>>()
        {
            self.notice(holder).again = true;
        }
        self.send_notices();
    }
}

impl Message<Want> for Sessions {
    type Reply = ();

    async fn handle(&mut self, want: Want, _: &mut Context<Self, ()>) {
        let Some(entry) = self.sessions.get(&want.session) else {
            return;
        };
        let room = entry.actor.mailbox_sender().capacity().unwrap_or(0);
        if room <= session::MAILBOX / 2 || entry.actor.tell(want).try_send().is_err() {
            self.shared.gauges.events_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Message<Apply> for Sessions {
    type Reply = ();

    async fn handle(&mut self, Apply: Apply, _: &mut Context<Self, ()>) {
        for session in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.tell(session, Reload);
        }
    }
}
