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
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

/// Hands events to the actors that they concern and gives each control carrier a handshake of its own. Waits for
/// nobody: what an actor has no room for is dropped and counted, since every event is said again while it holds.
pub(crate) struct Gate {
    args: GateArgs,
    /// One task for each connection that has not authenticated yet: at most `max_handshakes`.
    handshakes: JoinSet<()>,
    /// The same tasks, oldest first.
    pending: VecDeque<Pending>,
    arrivals_open: bool,
}

/// A real client has answered after this.
const SPEAKS_AT_ONCE: Duration = Duration::from_millis(500);

/// A connection that has not authenticated yet.
struct Pending {
    task: AbortHandle,
    peer: SocketAddr,
    since: Instant,
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
            pending: VecDeque::new(),
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
        let shared = self.args.shared.clone();
        if shared.is_draining() {
            return shared.handshake_refused(carrier.peer, "draining");
        }
        if shared.is_barred(carrier.peer) {
            return shared.handshake_refused(carrier.peer, "too many failures");
        }
        self.make_room();
        let (sessions, peer) = (self.args.sessions.clone(), carrier.peer);
        let task = self.handshakes.spawn(async move {
            let _gauge = Held::new(&shared, |gauges| &gauges.handshakes);
            handshake(&shared, &sessions, carrier).await;
        });
        self.pending.push_back(Pending {
            task,
            peer,
            since: Instant::now(),
        });
    }

    /// The oldest handshake gives way when there are too many: it has had the most time, and a real client answers at
    /// once. Otherwise whoever opens many and says nothing would keep the clients out.
    fn make_room(&mut self) {
        let shared = &self.args.shared;
        let most = shared.spec().runtime.max_handshakes as usize;
        self.pending.retain(|pending| !pending.task.is_finished());
        while self.pending.len() >= most
            && let Some(oldest) = self.pending.pop_front()
        {
            oldest.task.abort();
            // In a crowd also those have to give way who have just come: that is not their fault.
            if oldest.since.elapsed() < SPEAKS_AT_ONCE {
                shared.handshake_dropped(oldest.peer, &"too many handshakes");
            } else {
                shared.handshake_failed(oldest.peer, &"too many handshakes");
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::Idle;
    use crate::limits::Limits;
    use crate::server::ServerRole;
    use kariz_proto::control::{Epoch, SessionId};
    use kariz_proto::model::Spec;
    use std::time::Duration;
    use tokio::sync::{Mutex, mpsc};
    use tokio::time::sleep;

    fn want() -> Event {
        Event::Want {
            session: SessionId(1),
            epoch: Epoch(1),
            service: ServiceId(1),
            vouchers: Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn events_beyond_the_mailbox_of_the_sessions_are_dropped_and_counted() {
        let shared = Shared::new(Spec::default(), Arc::new(Idle));
        let limits = Limits::spawn(shared.clone());
        let role = ServerRole::spawn((shared.clone(), limits));
        let (_, sessions) = ServerRole::children(&role).await;
        let args = GateArgs {
            shared: shared.clone(),
            arrivals: Arc::new(Mutex::new(mpsc::channel(1).1)),
            sessions,
            targets: Targets::prepare().actor_ref().clone(),
            relay: Relay::prepare().actor_ref().clone(),
            watch: WorkerWatch::prepare().actor_ref().clone(),
        };
        let Ok(mut gate) = Gate::on_start(args, Gate::prepare().actor_ref().clone()).await;
        let dropped = || shared.gauges.events_dropped.load(Ordering::Relaxed);
        sleep(Duration::from_secs(1)).await;
        // Nobody else has a turn while nothing is awaited.
        (0..1024).for_each(|_| gate.event(want()));
        assert_eq!(dropped(), 0);
        gate.event(want());
        assert_eq!(dropped(), 1);
        sleep(Duration::from_secs(1)).await;
        gate.event(want());
        assert_eq!(dropped(), 1);
    }
}
