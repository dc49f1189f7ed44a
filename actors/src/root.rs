//! The top of the supervision tree (the table in the crate's documentation).

use crate::client::{Client, Targets};
use crate::dataplane::Arrival;
use crate::gate::{Gate, GateArgs};
use crate::limits::Limits;
use crate::relay::Relay;
use crate::server::{ServerRole, Services, Sessions};
use crate::shared::Shared;
use crate::watch::WorkerWatch;
use kameo::prelude::*;
use kameo::supervision::{RestartPolicy, SupervisedActorBuilder};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};

/// An actor that dies more often than this within [`RESTART_WINDOW`] takes its supervisor with it.
pub(crate) const MAX_RESTARTS: u32 = 5;

/// See [`MAX_RESTARTS`].
pub(crate) const RESTART_WINDOW: Duration = Duration::from_secs(10);

/// Spawns and supervises everything else; has no state that could break.
pub(crate) struct Root {
    children: Children,
}

/// The actors that the public interface talks to. The references stay good when an actor is restarted.
#[derive(Clone, Reply)]
pub(crate) struct Children {
    pub(crate) limits: ActorRef<Limits>,
    pub(crate) services: ActorRef<Services>,
    pub(crate) sessions: ActorRef<Sessions>,
    pub(crate) targets: ActorRef<Targets>,
    pub(crate) client: ActorRef<Client>,
    pub(crate) relay: ActorRef<Relay>,
}

/// Asks for the actors.
pub(crate) struct GetChildren;

/// The data plane's messages, as they survive a restart of the actor that reads them.
pub(crate) type Arrivals = Arc<Mutex<mpsc::Receiver<Arrival>>>;

impl Actor for Root {
    type Args = (Arc<Shared>, Arrivals);
    type Error = Infallible;

    async fn on_start((shared, arrivals): Self::Args, me: ActorRef<Self>) -> Result<Self, Infallible> {
        let limits = restarted(Limits::supervise(&me, shared.clone())).spawn().await;
        let watch = restarted(WorkerWatch::supervise(&me, (shared.clone(), limits.clone())))
            .spawn()
            .await;
        let role = restarted(ServerRole::supervise(&me, (shared.clone(), limits.clone())))
            .spawn()
            .await;
        let targets = restarted(Targets::supervise(&me, shared.clone())).spawn().await;
        let client = restarted(Client::supervise(&me, shared.clone())).spawn().await;
        let relay = restarted(Relay::supervise(&me, (shared.clone(), limits.clone())))
            .spawn()
            .await;
        let (services, sessions) = ServerRole::children(&role).await;
        let gate = GateArgs {
            shared,
            arrivals,
            sessions: sessions.clone(),
            targets: targets.clone(),
            relay: relay.clone(),
            watch,
        };
        restarted(Gate::supervise(&me, gate)).spawn().await;
        Ok(Self {
            children: Children {
                limits,
                services,
                sessions,
                targets,
                client,
                relay,
            },
        })
    }
}

/// The usual policy: always back, until it happens too often.
pub(crate) fn restarted<S: Actor, C: Actor>(
    child: SupervisedActorBuilder<'_, S, C>,
) -> SupervisedActorBuilder<'_, S, C> {
    child
        .restart_policy(RestartPolicy::Permanent)
        .restart_limit(MAX_RESTARTS, RESTART_WINDOW)
}

impl Message<GetChildren> for Root {
    type Reply = Children;

    async fn handle(&mut self, GetChildren: GetChildren, _: &mut Context<Self, Children>) -> Children {
        self.children.clone()
    }
}
