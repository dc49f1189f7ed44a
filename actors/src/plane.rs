//! The control plane as a whole: started, reloaded, drained, looked at.

use crate::dataplane::{Arrival, DataPlane};
use crate::limits::{Scope, SetBudgets};
use crate::reload::{keep_fixed, needs_restart};
use crate::root::{Children, GetChildren, Root};
use crate::shared::{Gauges, Shared};
use crate::{client, relay, server};
use kameo::prelude::*;
use kariz_proto::control::{Command, CommandError, WorkerSnapshot};
use kariz_proto::model::{Carrier, ListenAddr, Spec};
use kariz_proto::session::MISSED_HEARTBEATS;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

/// The running control plane. Dropping it ends its actors at once.
pub struct ControlPlane {
    shared: Arc<Shared>,
    root: ActorRef<Root>,
    children: Children,
}

/// Why the control plane could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on: in use, not permitted, or not of this machine. Exit code 75.
    #[error("cannot listen on {listen}: {error}")]
    Listen {
        /// The address, with the port that failed.
        listen: ListenAddr,
        /// The kernel's answer.
        error: std::io::Error,
    },
    /// The data plane or an actor ended during the start. Exit code 70.
    #[error("a part of the program ended while it was starting")]
    Ended,
}

impl From<CommandError> for StartError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Listen { listen, error } => Self::Listen { listen, error },
            CommandError::Stopped => Self::Ended,
        }
    }
}

/// What a reload could not change while the process runs: section or key, for the log. Everything else is in force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReloadReport {
    /// Needs a restart.
    pub needs_restart: Vec<&'static str>,
}

/// Counters and gauges of the control plane, and those of the workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlSnapshot {
    /// Gauge: control carriers that have not authenticated yet; bounded by `runtime.max_handshakes`.
    pub handshakes: u64,
    /// Control carriers dropped unseen: the process drains, or their source has failed too often.
    pub handshakes_refused: u64,
    /// Control carriers that failed to authenticate, or gave way when there were too many.
    pub handshakes_failed: u64,
    /// Gauge: sessions at the server, those without a control carrier included.
    pub sessions: u64,
    /// Control carriers of the server that came with a ticket instead of a full handshake.
    pub resumed: u64,
    /// Gauge: established sessions of the client.
    pub links: u64,
    /// Gauge: services of the server whose public listeners are open.
    pub services_open: u64,
    /// Events that an actor had no room for.
    pub events_dropped: u64,
    /// Workers that died and were replaced.
    pub workers_replaced: u64,
    /// The workers' own.
    pub workers: Vec<WorkerSnapshot>,
}

impl ControlPlane {
    /// Starts what the specification asks for. Fails if an address cannot be listened on; never because of the
    /// network. Has to be called on a tokio runtime, which the actors then live on.
    pub async fn start(
        spec: Spec,
        data_plane: Arc<dyn DataPlane>,
        arrivals: mpsc::Receiver<Arrival>,
    ) -> Result<Self, StartError> {
        let shared = Shared::new(spec, data_plane);
        let root = Root::spawn((shared.clone(), Arc::new(Mutex::new(arrivals))));
        let children = root.ask(GetChildren).await.map_err(|_| StartError::Ended)?;
        let plane = Self { shared, root, children };
        plane.open().await?;
        Ok(plane)
    }

    async fn open(&self) -> Result<(), StartError> {
        let spec = self.shared.spec();
        let Children {
            limits,
            services,
            relay,
            ..
        } = &self.children;
        let process = SetBudgets {
            scope: Scope::Process,
            limits: spec.limits,
        };
        limits.ask(process).await.map_err(|_| StartError::Ended)?;
        if let Some(server) = &spec.server {
            services.ask(server::services::Probe).await.map_err(answer)?;
            for &listen in &server.listen {
                let command = Command::ListenCarriers {
                    listen,
                    socket: server.carrier_socket,
                    control_timeout: server.heartbeat * MISSED_HEARTBEATS,
                };
                self.shared.data_plane.submit(command).await?;
            }
        }
        relay.ask(relay::Probe).await.map_err(answer)?;
        relay.ask(relay::Apply).await.map_err(answer)?;
        self.apply_client().await;
        let transports = spec.server.iter().map(|server| server.transport);
        let mut transports = transports.chain(spec.client.iter().map(|client| client.transport));
        if transports.any(|transport| transport.carrier() == Carrier::Tcp) {
            tracing::warn!("visitors' data on plain TCP carriers is not encrypted: whoever is on the path can read it");
        }
        Ok(())
    }

    async fn apply_client(&self) {
        let Children { targets, client, .. } = &self.children;
        // The links come after the targets, so that no visitor arrives for a target that the workers do not know.
        let told = targets.ask(client::targets::Apply).await.is_ok() && client.ask(client::Apply).await.is_ok();
        if !told {
            tracing::error!("the client's actors are restarting: they read the specification when they are back");
        }
    }

    /// Puts another specification in force: services of every role, limits and tokens. What has not changed is not
    /// touched. Sections and keys that only a restart can change are logged and returned.
    pub async fn reload(&self, spec: Spec) -> ReloadReport {
        let old = self.shared.spec();
        let report = ReloadReport {
            needs_restart: needs_restart(&old, &spec),
        };
        for key in &report.needs_restart {
            tracing::warn!(key, "this change needs a restart");
        }
        let spec = keep_fixed(&old, spec);
        let limits = spec.limits;
        self.shared.set_spec(spec);
        let Children {
            limits: limiter,
            services,
            sessions,
            relay,
            ..
        } = &self.children;
        let done = limiter
            .ask(SetBudgets {
                scope: Scope::Process,
                limits,
            })
            .await
            .is_ok()
            & services.ask(server::services::Apply).await.is_ok()
            & sessions.ask(server::Apply).await.is_ok();
        if let Err(error) = relay.ask(relay::Apply).await {
            tracing::error!(reason = %error, "a relay service could not be opened");
        }
        if !done {
            tracing::error!("an actor is restarting: it reads the specification when it is back");
        }
        self.apply_client().await;
        report
    }

    /// Stops accepting, tells the peers that this process goes away, and waits until every visitor has ended, at most
    /// until the deadline. Whether every visitor ended by itself.
    pub async fn drain(&self, deadline: Duration) -> bool {
        let mut drained = self.shared.begin_drain(deadline);
        self.shared.tell(Command::Drain { deadline }).await;
        let ended = timeout(deadline, drained.wait_for(|drained| *drained))
            .await
            .is_ok_and(|ended| ended.is_ok());
        tracing::info!(reason = if ended { "visitors ended" } else { "deadline" }, "drained");
        ended
    }

    /// Waits until the control plane has broken down: an actor died again and again. The process should then exit
    /// with 70, for its supervisor to start it anew.
    pub async fn failed(&self) {
        self.root.wait_for_shutdown().await;
    }

    /// The specification in force: what the last reload has made of it.
    pub fn spec(&self) -> Arc<Spec> {
        self.shared.spec()
    }

    /// Counters and gauges at this moment.
    pub fn snapshot(&self) -> ControlSnapshot {
        let read = |gauge: fn(&Gauges) -> &AtomicU64| gauge(&self.shared.gauges).load(Ordering::Relaxed);
        ControlSnapshot {
            handshakes: read(|gauges| &gauges.handshakes),
            handshakes_refused: read(|gauges| &gauges.handshakes_refused),
            handshakes_failed: read(|gauges| &gauges.handshakes_failed),
            sessions: read(|gauges| &gauges.sessions),
            resumed: read(|gauges| &gauges.resumed),
            links: read(|gauges| &gauges.links),
            services_open: read(|gauges| &gauges.services_open),
            events_dropped: read(|gauges| &gauges.events_dropped),
            workers_replaced: read(|gauges| &gauges.workers_replaced),
            workers: self.shared.data_plane.snapshots(),
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.root.kill();
    }
}

/// A failure that an actor answered with, or that it could not answer.
fn answer<M>(error: SendError<M, StartError>) -> StartError {
    match error {
        SendError::HandlerError(error) => error,
        _ => StartError::Ended,
    }
}
