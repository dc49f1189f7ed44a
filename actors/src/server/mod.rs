//! The server's side of the tunnel.

pub(crate) mod handshake;
pub(crate) mod services;
mod session;
mod sessions;

pub(crate) use services::Services;
pub(crate) use session::Want;
pub(crate) use sessions::{Apply, Sessions};

use crate::limits::Limits;
use crate::root::restarted;
use crate::shared::Shared;
use kameo::prelude::*;
use kameo::supervision::SupervisionStrategy;
use std::convert::Infallible;
use std::sync::Arc;

/// Supervises services and sessions: each relies on what the other knows, so they are restarted together. Sessions
/// end with that; their clients come back by themselves.
pub(crate) struct ServerRole {
    services: ActorRef<Services>,
    sessions: ActorRef<Sessions>,
}

struct GetChildren;

/// The role's actors.
#[derive(Clone, Reply)]
pub(crate) struct ServerChildren(ActorRef<Services>, ActorRef<Sessions>);

impl Actor for ServerRole {
    type Args = (Arc<Shared>, ActorRef<Limits>);
    type Error = Infallible;

    fn supervision_strategy() -> SupervisionStrategy {
        SupervisionStrategy::OneForAll
    }

    async fn on_start((shared, limits): Self::Args, me: ActorRef<Self>) -> Result<Self, Infallible> {
        let services = restarted(Services::supervise(&me, (shared.clone(), limits.clone())))
            .spawn()
            .await;
        let args = (shared, limits, services.clone());
        let mailbox = mailbox::bounded(sessions::MAILBOX);
        let sessions = restarted(Sessions::supervise(&me, args))
            .spawn_with_mailbox(mailbox)
            .await;
        Ok(Self { services, sessions })
    }
}

impl ServerRole {
    /// The actors below a role that was just started.
    pub(crate) async fn children(role: &ActorRef<Self>) -> (ActorRef<Services>, ActorRef<Sessions>) {
        let ServerChildren(services, sessions) = role
            .ask(GetChildren)
            .await
            .expect("a role that was just started answers");
        (services, sessions)
    }
}

impl Message<GetChildren> for ServerRole {
    type Reply = ServerChildren;

    async fn handle(&mut self, GetChildren: GetChildren, _: &mut Context<Self, Self::Reply>) -> ServerChildren {
        ServerChildren(self.services.clone(), self.sessions.clone())
    }
}
