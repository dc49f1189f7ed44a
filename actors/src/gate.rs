//! Where the data plane's messages come in.

use crate::client::Targets;
use crate::client::targets::DialFailed as TargetFailed;
use crate::dataplane::{Arrival, ControlCarrier};
use crate::relay::{DialFailed as RemoteFailed, Relay};
use crate::root::Arrivals;
use crate::server::handshake::handshake;
use crate::server::{Sessions, Want};
use crate::shared::{Held, Role, Shared};
use crate::watch::{Replaced, WorkerWatch};
use kameo::error::SendError;
use kameo::prelude::*;
use kariz_proto::control::{Event, ServiceId};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::task::JoinSet;

/// Hands events to the actors that they concern and gives each control carrier a handshake of its own. Waits for
/// nobody: what an actor has no room for is dropped and counted, since every event is said again while it holds.
pub(crate) struct Gate {
    args: GateArgs,
    /// One task for each connection that has not authenticated yet: at most `max_handshakes`.
    handshakes: JoinSet<()>,
    arrivals_open: bool,
}

/// Who gets what.
#[derive(Clone)]
pub(crate) struct GateArgs {
    pub(crate) shared: Arc<Shared>,
    pub(crate) arrivals: Arrivals,
    pub(crate) sessions: ActorRef<Sessions>,
    pub(crate) targets: ActorRef<Targets>,
    pub(crate) relay: ActorRef<Relay>,
    pub(crate) watch: ActorRef<WorkerWatch>,
}

impl Actor for Gate {
    type Args = GateArgs;
    type Error = Infallible;

    async fn on_start(args: GateArgs, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self {
            args,
            handshakes: JoinSet::new(),
            arrivals_open: true,
        })
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<mailbox::Signal<Self>>, Infallible> {
        loop {
            let arrivals = self.args.arrivals.clone();
            tokio::select! {
                signal = mailbox.recv() => return Ok(signal),
                Some(_) = self.handshakes.join_next() => {}
                arrival = async { arrivals.lock().await.recv().await }, if self.arrivals_open => match arrival {
                    Some(Arrival::Control(carrier)) => self.control(carrier),
                    Some(Arrival::Event(event)) => self.event(event),
                    None => self.arrivals_open = false,
                },
            }
        }
    }
}

impl Gate {
    fn control(&mut self, carrier: ControlCarrier) {
        let shared = &self.args.shared;
        // Finished handshakes that were not collected yet do not count.
        while self.handshakes.try_join_next().is_some() {}
        let limit = shared.spec().runtime.max_handshakes as usize;
        if shared.is_draining() || self.handshakes.len() >= limit {
            let refused = shared.gauges.handshakes_refused.fetch_add(1, Ordering::Relaxed) + 1;
            if shared.may_log_handshake() {
                let reason = if shared.is_draining() {
                    "draining"
                } else {
                    "too many handshakes"
                };
                tracing::warn!(peer = %carrier.peer, reason, refused, "control carrier refused");
            }
            return;
        }
        let (shared, sessions) = (shared.clone(), self.args.sessions.clone());
        self.handshakes.spawn(async move {
            let _gauge = Held::new(&shared, |gauges| &gauges.handshakes);
            handshake(&shared, &sessions, carrier).await;
        });
    }

    fn event(&mut self, event: Event) {
        let GateArgs {
            shared,
            sessions,
            watch,
            ..
        } = &self.args;
        let delivered = match event {
            Event::Want {
                session,
                epoch,
                service,
                vouchers,
            } => delivered(
                sessions
                    .tell(Want {
                        session,
                        epoch,
                        service,
                        vouchers,
                    })
                    .try_send(),
            ),
            Event::DialFailed { service, .. } => self.dial_failed(service),
            Event::WorkerReplaced { worker, cause } => delivered(watch.tell(Replaced { worker, cause }).try_send()),
            Event::Drained => {
                shared.drained();
                true
            }
        };
        if !delivered {
            shared.gauges.events_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn dial_failed(&self, service: ServiceId) -> bool {
        match self.args.shared.service(service) {
            Some((Role::Client, name)) => delivered(self.args.targets.tell(TargetFailed(name)).try_send()),
            Some((Role::Relay, name)) => delivered(self.args.relay.tell(RemoteFailed(name)).try_send()),
            Some((Role::Server, _)) | None => true,
        }
    }
}

fn delivered<M>(sent: Result<(), SendError<M>>) -> bool {
    sent.is_ok()
}
