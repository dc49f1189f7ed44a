//! The actor that knows which panel controls the core (`spec/node-marzban.md`, 1.4).
//!
//! Whatever these panels do to the core goes through here, in the order in which it came: a panel whose place was taken while its
//! configuration was being read can no longer start anything.

use super::core::{Launch, Mode, Offer, OutcomeSender, Owner, Prepared, Stop, Supervisor};
use super::gozargah::{Ledger, Live};
use super::state::{Session, State};
use kameo::prelude::*;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

/// The session's actor.
pub(crate) struct NodeSession {
    state: Arc<State>,
    supervisor: ActorRef<Supervisor>,
    /// Of the panels of the other kind, whose core may be taken over.
    live: Live,
    ledger: Ledger,
}

/// A panel takes control. Whoever had it before has lost it, and with it the core, unless `KARIZ_SOFT_TAKEOVER` keeps that for
/// the new one. Answered with the new session's id.
pub(crate) struct Connect {
    pub(crate) panel: IpAddr,
}

/// The id of a session.
#[derive(Debug, Clone, Copy, Reply)]
pub(crate) struct SessionId(pub(crate) Uuid);

/// Nobody is in control any more; the core is stopped.
pub(crate) struct Disconnect;

/// Starts the core for the panel in control. Answered with `false` if that is not `session`; else through `outcome`.
pub(crate) struct StartCore {
    pub(crate) session: Uuid,
    pub(crate) mode: Mode,
    pub(crate) config: Prepared,
    pub(crate) outcome: OutcomeSender,
}

/// A panel of the other kind starts a core: nobody of this one is in control any more. Whatever was asked for before is under way
/// when this is answered, and so is replaced.
pub(crate) struct Displace;

/// Stops the core for the panel in control. Answered with `false` if that is not `session`.
pub(crate) struct StopCore {
    pub(crate) session: Uuid,
}

impl Actor for NodeSession {
    type Args = (Arc<State>, Live, Ledger, ActorRef<Supervisor>);
    type Error = Infallible;

    async fn on_start((state, live, ledger, supervisor): Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        // The session outlives the actor that had it: the panel does not notice.
        Ok(Self {
            state,
            supervisor,
            live,
            ledger,
        })
    }
}

impl NodeSession {
    fn is_in_control(&self, session: Uuid) -> bool {
        self.state.session().is_some_and(|current| current.id == session)
    }

    async fn stop_core(&self) {
        // The supervisor answers at once. An error says that it is being restarted, and that stops its core.
        let _ = self.supervisor.ask(Stop { owner: Owner::Marzban }).await;
    }
}

impl Message<Connect> for NodeSession {
    type Reply = SessionId;

    async fn handle(&mut self, Connect { panel }: Connect, _: &mut Context<Self, SessionId>) -> SessionId {
        let id = Session::new_id();
        let before = self.state.session();
        self.state.set_session(Some(Session { id, panel }));
        if before.is_some() {
            tracing::warn!("New connection from {panel}, Core control access was taken away from previous client.");
            if self.state.settings.soft_takeover {
                // As in `stop_core`.
                let _ = self.supervisor.ask(Offer).await;
            } else {
                self.stop_core().await;
            }
        }
        tracing::info!("{panel} connected, Session ID = \"{id}\".");
        SessionId(id)
    }
}

impl Message<Disconnect> for NodeSession {
    type Reply = ();

    async fn handle(&mut self, Disconnect: Disconnect, _: &mut Context<Self, ()>) {
        if let Some(Session { id, panel }) = self.state.session() {
            tracing::info!("{panel} disconnected, Session ID = \"{id}\".");
        }
        self.state.set_session(None);
        self.stop_core().await;
    }
}

impl Message<StartCore> for NodeSession {
    type Reply = bool;

    async fn handle(&mut self, start: StartCore, _: &mut Context<Self, bool>) -> bool {
        if !self.is_in_control(start.session) {
            return false;
        }
        if self.state.is_started_for(Owner::Gozargah) {
            self.live.read_out(&self.ledger).await;
        }
        let launch = Launch {
            owner: Owner::Marzban,
            mode: start.mode,
            config: start.config,
            outcome: start.outcome,
        };
        // An error drops the outcome's sender, by which the one who asked learns of it.
        let _ = self.supervisor.tell(launch).await;
        true
    }
}

impl Message<Displace> for NodeSession {
    type Reply = ();

    async fn handle(&mut self, Displace: Displace, _: &mut Context<Self, ()>) {
        if let Some(Session { panel, .. }) = self.state.session() {
            tracing::warn!("{panel} has lost control of the core to a panel of another kind");
            self.state.set_session(None);
        }
    }
}

impl Message<StopCore> for NodeSession {
    type Reply = bool;

    async fn handle(&mut self, StopCore { session }: StopCore, _: &mut Context<Self, bool>) -> bool {
        let allowed = self.is_in_control(session);
        if allowed {
            self.stop_core().await;
        }
        allowed
    }
}
