//! One attempt to have a session with one server, and that session until its control carrier is lost.

use super::dial::Reached;
use super::offers::Offers;
use super::{Client, Ended, Leaving, NewTicket, Up};
use crate::driver::{Driver, now, random};
use crate::shared::{Held, Role, Shared};
use kameo::prelude::*;
use kariz_proto::control::{Command, InstanceId, LinkId, LinkSpec};
use kariz_proto::model::{ClientSpec, ServiceName};
use kariz_proto::session::{
    ClientConfig, ClientEstablished, ClientEvent, ClientSession, CloseReason, Closed, Features, ResumptionTicket,
};
use std::convert::Infallible;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// A link's work. Ends when the attempt has failed or the control carrier is lost; the client decides what comes then.
pub(crate) struct Link {
    id: ActorId,
    args: LinkArgs,
    phase: Phase,
    offers: Offers,
    /// Present while the workers know the session.
    established: Option<ClientEstablished>,
    /// No new visitors come.
    leaving: bool,
    drain: watch::Receiver<Option<Instant>>,
    gauge: Option<Held>,
}

enum Phase {
    Dialling(Pin<Box<dyn Future<Output = std::io::Result<Reached>> + Send>>),
    Connected {
        driver: Box<Driver<ClientSession>>,
        remote: SocketAddr,
    },
    Done,
}

/// What a link starts with.
pub(crate) struct LinkArgs {
    pub(crate) shared: Arc<Shared>,
    pub(crate) client: ActorRef<Client>,
    pub(crate) spec: Arc<ClientSpec>,
    pub(crate) link: LinkId,
    pub(crate) instance: InstanceId,
    pub(crate) ticket: Option<ResumptionTicket>,
    /// The connection to be.
    pub(crate) reach: Pin<Box<dyn Future<Output = std::io::Result<Reached>> + Send>>,
    /// For the log.
    pub(crate) server: String,
}

/// The services have changed.
pub(crate) struct Reload;

/// Another link has taken over: say goodbye. Visitors live on.
pub(crate) struct Retire;

impl Actor for Link {
    type Args = LinkArgs;
    type Error = Infallible;

    async fn on_start(mut args: LinkArgs, me: ActorRef<Self>) -> Result<Self, Infallible> {
        let reach = std::mem::replace(&mut args.reach, Box::pin(pending()));
        Ok(Self {
            id: me.id(),
            phase: Phase::Dialling(reach),
            offers: Offers::new(&args.spec),
            established: None,
            leaving: false,
            drain: args.shared.drain(),
            gauge: None,
            args,
        })
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<mailbox::Signal<Self>>, Infallible> {
        loop {
            let due = self.established.as_ref().and_then(|_| self.offers.due());
            tokio::select! {
                signal = mailbox.recv() => return Ok(signal),
                happened = happening(&mut self.phase) => match happened {
                    Happened::Reached(Ok(reached)) => self.connected(reached),
                    Happened::Reached(Err(error)) => self.ended(error.to_string(), false).await,
                    Happened::Event(event) => self.on_event(*event).await,
                    Happened::Done => return Ok(None),
                },
                Ok(()) = self.drain.changed() => self.on_drain().await,
                () = sleep_until(due.unwrap_or_else(now).into()), if due.is_some() => self.register(),
            }
        }
    }

    async fn on_stop(&mut self, _: WeakActorRef<Self>, _: ActorStopReason) -> Result<(), Infallible> {
        self.down().await;
        Ok(())
    }
}

enum Happened {
    Reached(std::io::Result<Reached>),
    Event(Box<ClientEvent>),
    Done,
}

async fn happening(phase: &mut Phase) -> Happened {
    match phase {
        Phase::Dialling(reach) => Happened::Reached(reach.await),
        Phase::Connected { driver, .. } => Happened::Event(Box::new(driver.event().await)),
        Phase::Done => Happened::Done,
    }
}

impl Link {
    fn connected(&mut self, (stream, remote): Reached) {
        let LinkArgs {
            spec,
            shared,
            instance,
            ticket,
            ..
        } = &mut self.args;
        let lane = spec.transport.lane();
        let config = ClientConfig {
            instance: *instance,
            lane,
            features: Features::offered(lane),
            services: self.offers.all(),
            heartbeat: spec.heartbeat,
            handshake_timeout: shared.spec().runtime.handshake_timeout,
        };
        let machine = ClientSession::new(now(), config, ticket.take(), &mut random);
        self.phase = Phase::Connected {
            driver: Box::new(Driver::new(machine, stream)),
            remote,
        };
    }

    async fn on_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Established(established) => self.up(established).await,
            ClientEvent::Registered { services } => {
                self.offers.answered(&services, now(), &self.args.server);
                self.say().await;
            }
            ClientEvent::Dropped { services } => {
                self.offers.dropped(&services, now(), &self.args.server);
                self.say().await;
            }
            ClientEvent::Want { service, vouchers, .. } => {
                let id = self.args.shared.known_service(Role::Client, &service);
                if let (Some(service), false) = (id, self.leaving) {
                    self.args
                        .shared
                        .tell(Command::Dial {
                            link: self.args.link,
                            service,
                            vouchers,
                        })
                        .await;
                }
            }
            ClientEvent::Ticket(ticket) => {
                self.report(NewTicket {
                    link: self.args.link,
                    ticket,
                })
                .await
            }
            ClientEvent::Pong { rtt } => {
                tracing::trace!(server = self.args.server, ?rtt, "pong");
            }
            ClientEvent::PeerClosing { deadline, text, .. } => {
                tracing::info!(
                    server = self.args.server,
                    ?deadline,
                    text,
                    reason = "going_away",
                    "server goes away"
                );
                self.down().await;
                self.report(Leaving(self.id)).await;
            }
            ClientEvent::Closed(closed) => self.closed(closed).await,
        }
    }

    async fn up(&mut self, established: ClientEstablished) {
        let Phase::Connected { remote, .. } = &self.phase else {
            return;
        };
        tracing::info!(
            session_id = %established.session,
            peer = %remote,
            server = self.args.server,
            epoch = established.epoch.0,
            resumed = established.resumed,
            "session up"
        );
        self.offers.answered(&established.services, now(), &self.args.server);
        self.established = Some(established);
        self.gauge = Some(Held::new(&self.args.shared, |gauges| &gauges.links));
        self.say().await;
        self.report(Up(self.id)).await;
        if self.drain.borrow().is_some() {
            self.on_drain().await;
        }
    }

    /// Tells the workers what holds for the session now.
    async fn say(&mut self) {
        let (Some(established), Phase::Connected { remote, .. }, false) =
            (&self.established, &self.phase, self.leaving)
        else {
            return;
        };
        let LinkArgs { shared, spec, link, .. } = &self.args;
        let services = self.offers.serving().filter_map(|(name, mux)| {
            let id = shared.known_service(Role::Client, name)?;
            Some((id, mux))
        });
        let spec = LinkSpec {
            link: *link,
            session: established.session,
            epoch: established.epoch,
            carrier_key: established.carrier_key.clone(),
            lane: spec.transport.lane(),
            kariz_mux: established.features.contains(Features::KARIZ_MUX),
            remote: *remote,
            local_addrs: spec.local_addrs.clone(),
            socket: spec.carrier_socket,
            dial_timeout: spec.dial_timeout,
            max_carriers: spec.max_carriers.min(established.max_carriers),
            services: services.collect(),
        };
        shared.tell(Command::LinkUp(Arc::new(spec))).await;
    }

    /// Tells the workers once that no new visitors come on this session.
    async fn down(&mut self) {
        if self.established.is_some() && !std::mem::replace(&mut self.leaving, true) {
            self.args.shared.tell(Command::LinkDown { link: self.args.link }).await;
        }
    }

    async fn closed(&mut self, closed: Closed) {
        self.down().await;
        if let Phase::Connected { driver, remote } = std::mem::replace(&mut self.phase, Phase::Done) {
            if let Some(established) = &self.established {
                tracing::info!(session_id = %established.session, peer = %remote, reason = %closed.cause, "session down");
            }
            tokio::spawn(driver.finish());
        }
        self.gauge = None;
        self.ended(closed.cause.to_string(), closed.reason == CloseReason::GoingAway)
            .await;
    }

    async fn ended(&mut self, reason: String, going_away: bool) {
        self.phase = Phase::Done;
        if self.established.is_none() {
            tracing::warn!(server = self.args.server, reason, "no session with the server");
        }
        // One that no server has seen is as good as before.
        if let Some(ticket) = self.args.ticket.take() {
            let link = self.args.link;
            self.report(NewTicket { link, ticket }).await;
        }
        let was_up = self.established.is_some();
        self.report(Ended {
            link: self.id,
            was_up,
            going_away,
        })
        .await;
    }

    /// Offers again what was not accepted.
    fn register(&mut self) {
        let Phase::Connected { driver, .. } = &mut self.phase else {
            return;
        };
        let offers = self.offers.take_due(now());
        if offers.is_empty() {
            return;
        }
        let names: Vec<ServiceName> = offers.iter().map(|offer| offer.name.clone()).collect();
        if let Err(error) = driver.machine.register(now(), offers) {
            tracing::debug!(server = self.args.server, reason = %error, "services were not offered again");
            self.offers.postpone(&names, now());
        }
    }

    async fn on_drain(&mut self) {
        let until = *self.drain.borrow_and_update();
        let Some(until) = until else { return };
        if self.established.is_none() {
            self.phase = Phase::Done;
            return;
        }
        self.down().await;
        self.close(until.saturating_duration_since(Instant::now()));
    }

    fn close(&mut self, deadline: Duration) {
        if let Phase::Connected { driver, .. } = &mut self.phase {
            driver
                .machine
                .close(now(), CloseReason::GoingAway, deadline, "draining");
        }
    }

    async fn reload(&mut self) {
        let shared = self.args.shared.spec();
        let Some(spec) = &shared.client else { return };
        let removed = self.offers.reload(spec, now());
        self.args.spec = Arc::new(spec.clone());
        let (Phase::Connected { driver, .. }, Some(_)) = (&mut self.phase, &self.established) else {
            return;
        };
        if !removed.is_empty()
            && let Err(error) = driver.machine.unregister(now(), &removed)
        {
            tracing::debug!(server = self.args.server, reason = %error, "services were not unregistered");
        }
        self.register();
        self.say().await;
    }

    async fn report<M: Send + 'static>(&mut self, message: M)
    where
        Client: Message<M>,
    {
        if self.args.client.tell(message).await.is_err() {
            tracing::debug!(server = self.args.server, "the control plane is stopping");
        }
    }
}

impl Message<Reload> for Link {
    type Reply = ();

    async fn handle(&mut self, Reload: Reload, _: &mut Context<Self, ()>) {
        self.reload().await;
    }
}

impl Message<Retire> for Link {
    type Reply = ();

    async fn handle(&mut self, Retire: Retire, _: &mut Context<Self, ()>) {
        self.down().await;
        if let Phase::Connected { driver, .. } = &mut self.phase {
            driver.machine.close(
                now(),
                CloseReason::Normal,
                Duration::ZERO,
                "another server is preferred",
            );
        } else {
            self.phase = Phase::Done;
        }
    }
}
