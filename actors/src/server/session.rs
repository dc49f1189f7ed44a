//! One client at the server, with or without a control carrier.

use super::services::{Release, Serve, Served, Services};
use super::sessions::{Answered, Claim, Draining, Sessions, Unclaim};
use crate::driver::{Driver, now, random};
use crate::limits::{Budgets, Limits, Scope, SetBudgets};
use crate::shared::{Held, Shared};
use kameo::prelude::*;
use kariz_proto::control::{
    BudgetSet, CarrierKey, Command, Epoch, InstanceId, ServedService, ServiceId, SessionId, SessionSpec, Voucher,
};
use kariz_proto::model::{Limits as LimitSpec, ServiceName};
use kariz_proto::session::{
    CloseCause, CloseReason, Closed, Features, Grant, KnownServices, MAX_VOUCHERS_PER_WANT, ProvenService,
    ServerEstablished, ServerEvent, ServerSession, TICKET_LIFETIME,
};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Vouchers that wait to be told to the client; more are dropped, and their workers ask again.
pub(crate) const MAX_PENDING_VOUCHERS: usize = 8192;

/// Listeners of a session that has ended stay open this long for a successor that has the services already.
pub(crate) const RELEASE_LINGER: Duration = Duration::from_secs(1);

/// One authenticated client. Lives from its first control carrier until it has had none for `session_timeout`.
pub(crate) struct Session {
    shared: Arc<Shared>,
    limits: ActorRef<Limits>,
    services: ActorRef<Services>,
    sessions: ActorRef<Sessions>,
    id: SessionId,
    instance: InstanceId,
    peer: SocketAddr,
    carrier: Option<Carrier>,
    /// What the client has proven.
    offers: BTreeMap<ServiceName, Offer>,
    wants: BTreeMap<ServiceId, Vec<Voucher>>,
    waiting_vouchers: usize,
    /// Without a control carrier: when the session is over.
    ends: Option<Instant>,
    /// Somebody wants to know whether the client is alive.
    asked: bool,
    known: Arc<KnownServices>,
    budgets: Budgets,
    drain: watch::Receiver<Option<Instant>>,
    end: Option<End>,
    _gauge: Held,
}

struct Carrier {
    driver: Box<Driver<ServerSession>>,
    epoch: Epoch,
    key: CarrierKey,
    features: Features,
    ticket_due: Instant,
    draining: bool,
}

struct Offer {
    proven: ProvenService,
    /// Whether the client was told that it serves this.
    told: bool,
    /// Present while the session owns the service.
    served: Option<Served>,
}

/// How a session ends.
struct End {
    reason: String,
    linger: Duration,
}

/// What a session starts with.
pub(crate) struct SessionArgs {
    pub(crate) shared: Arc<Shared>,
    pub(crate) limits: ActorRef<Limits>,
    pub(crate) services: ActorRef<Services>,
    pub(crate) sessions: ActorRef<Sessions>,
    pub(crate) attach: Attach,
}

/// A (new) control carrier.
pub(crate) struct Attach {
    pub(crate) driver: Box<Driver<ServerSession>>,
    pub(crate) established: ServerEstablished,
    pub(crate) proven: Vec<ProvenService>,
    /// Those of `proven` that the session owns now.
    pub(crate) granted: Vec<ProvenService>,
    pub(crate) peer: SocketAddr,
}

/// A worker needs carriers.
pub(crate) struct Want {
    pub(crate) session: SessionId,
    pub(crate) epoch: Epoch,
    pub(crate) service: ServiceId,
    pub(crate) vouchers: Vec<Voucher>,
}

/// What became of a [`Claim`].
pub(crate) struct ClaimAnswer {
    pub(crate) epoch: Epoch,
    pub(crate) request: u64,
    pub(crate) proven: Vec<ProvenService>,
    pub(crate) granted: Vec<Grant>,
}

/// The session owns these services now.
pub(crate) struct Granted(pub(crate) Vec<ServiceName>);

/// Others own these services for good.
pub(crate) struct NotGranted(pub(crate) Vec<ServiceName>);

/// Others have taken these services.
pub(crate) struct Revoked(pub(crate) Vec<ServiceName>);

/// Somebody wants a service of the session: is its client alive?
pub(crate) struct PingHolder;

/// The specification has changed.
pub(crate) struct Reload;

impl Actor for Session {
    type Args = SessionArgs;
    type Error = Infallible;

    async fn on_start(args: SessionArgs, _: ActorRef<Self>) -> Result<Self, Infallible> {
        let SessionArgs {
            shared,
            limits,
            services,
            sessions,
            attach,
        } = args;
        let mut session = Self {
            id: attach.established.session,
            instance: attach.established.instance,
            peer: attach.peer,
            carrier: None,
            offers: BTreeMap::new(),
            wants: BTreeMap::new(),
            waiting_vouchers: 0,
            ends: None,
            asked: false,
            known: shared.known_services(),
            budgets: Budgets::default(),
            drain: shared.drain(),
            end: None,
            _gauge: Held::new(&shared, |gauges| &gauges.sessions),
            shared,
            limits,
            services,
            sessions,
        };
        session.set_budgets().await;
        session.attach(attach).await;
        Ok(session)
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<mailbox::Signal<Self>>, Infallible> {
        loop {
            if self.end.is_some() {
                return Ok(None);
            }
            // Wants that came together go out together.
            if mailbox.is_empty() {
                self.send_wants();
            }
            let due = self.carrier.as_ref().map(|carrier| carrier.ticket_due).or(self.ends);
            tokio::select! {
                signal = mailbox.recv() => return Ok(signal),
                event = event(&mut self.carrier) => self.on_event(event).await,
                Ok(()) = self.drain.changed() => self.drain(),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.on_due(),
            }
        }
    }

    /// However it ends (time, a panic, the registry's end), the workers and the services are told.
    async fn on_stop(&mut self, _: WeakActorRef<Self>, reason: ActorStopReason) -> Result<(), Infallible> {
        let end = self.end.take().unwrap_or_else(|| End {
            reason: if reason.is_normal() {
                "stopped".into()
            } else {
                "internal error".into()
            },
            linger: self
                .shared
                .spec()
                .server
                .as_ref()
                .map_or(RELEASE_LINGER, |server| server.session_timeout),
        });
        self.shared.tell(Command::SessionDown { session: self.id }).await;
        let release = Release {
            session: self.id,
            names: None,
            linger: end.linger,
            reason: "session down",
        };
        let close = SetBudgets {
            scope: Scope::Session(self.id),
            limits: LimitSpec::default(),
        };
        if self.services.tell(release).await.is_err() | self.limits.tell(close).await.is_err() {
            tracing::debug!(session_id = %self.id, "the control plane is stopping");
        }
        tracing::info!(session_id = %self.id, peer = %self.peer, reason = end.reason, "session down");
        Ok(())
    }
}

/// What happens on the carrier, if there is one.
async fn event(carrier: &mut Option<Carrier>) -> ServerEvent {
    match carrier {
        Some(carrier) => carrier.driver.event().await,
        None => std::future::pending().await,
    }
}

impl Session {
    async fn attach(&mut self, attach: Attach) {
        let Attach {
            driver,
            established,
            proven,
            granted,
            peer,
        } = attach;
        self.peer = peer;
        self.ends = None;
        if let Some(mut old) = self.carrier.take() {
            old.driver.machine.close(
                now(),
                CloseReason::Normal,
                Duration::ZERO,
                "replaced by a newer connection",
            );
            tokio::spawn(old.driver.finish());
        }
        let told = |name: &ServiceName| established.services.iter().any(|service| service.name == *name);
        let before = std::mem::take(&mut self.offers);
        self.offers = proven
            .into_iter()
            .map(|proven| {
                (
                    proven.name.clone(),
                    Offer {
                        told: told(&proven.name),
                        proven,
                        served: None,
                    },
                )
            })
            .collect();
        self.wants.clear();
        self.waiting_vouchers = 0;
        self.known = self.shared.known_services();
        self.carrier = Some(Carrier {
            driver,
            epoch: established.epoch,
            key: established.carrier_key,
            features: established.features,
            ticket_due: Instant::now() + TICKET_LIFETIME / 2,
            draining: false,
        });
        let gone: Vec<ServiceName> = before
            .into_keys()
            .filter(|name| !self.offers.contains_key(name))
            .collect();
        if !gone.is_empty() {
            self.give_up(gone, "not offered any more").await;
        }
        self.serve(granted.into_iter().map(|service| service.name).collect())
            .await;
        if let Some(carrier) = &mut self.carrier {
            carrier.driver.machine.set_services(self.known.clone());
        }
        tracing::info!(
            session_id = %self.id,
            peer = %self.peer,
            instance = ?self.instance,
            epoch = established.epoch.0,
            resumed = established.resumed,
            services = self.offers.values().filter(|offer| offer.served.is_some()).count(),
            "session up"
        );
        if self.drain.borrow().is_some() {
            self.drain();
        }
    }

    /// Owns services from now on: opens them, tells the workers, then the client.
    async fn serve(&mut self, names: Vec<ServiceName>) {
        let names: Vec<ServiceName> = names
            .into_iter()
            .filter(|name| self.offers.contains_key(name))
            .collect();
        if !names.is_empty() {
            let served = self
                .services
                .ask(Serve {
                    session: self.id,
                    names: names.clone(),
                })
                .await
                .unwrap_or_default();
            for served in served {
                if let Some(offer) = self.offers.get_mut(&served.name) {
                    offer.served = Some(served);
                }
            }
        }
        self.say().await;
        let untold: Vec<ServiceName> = names
            .into_iter()
            .filter(|name| {
                self.offers
                    .get(name)
                    .is_some_and(|offer| !offer.told && offer.served.is_some())
            })
            .collect();
        if let (Some(carrier), false) = (&mut self.carrier, untold.is_empty())
            && carrier.driver.machine.grant(now(), &untold).is_ok()
        {
            for name in &untold {
                if let Some(offer) = self.offers.get_mut(name) {
                    offer.told = true;
                }
            }
        }
    }

    /// Tells the workers what the session serves.
    async fn say(&mut self) {
        let (Some(carrier), Some(server)) = (&self.carrier, &self.shared.spec().server) else {
            return;
        };
        if carrier.draining {
            return;
        }
        let services = self.offers.values().filter_map(|offer| {
            let served = offer.served.as_ref()?;
            let mut mux = served.mux;
            mux.version = offer.proven.mux_version;
            Some(ServedService {
                service: served.id,
                pool: offer.proven.connection_pool,
                mux,
            })
        });
        let spec = SessionSpec {
            session: self.id,
            epoch: carrier.epoch,
            carrier_key: carrier.key.clone(),
            lane: server.transport.lane(),
            kariz_mux: carrier.features.contains(Features::KARIZ_MUX),
            max_carriers: server.max_carriers,
            max_visitors: server.session_limits.visitors,
            budgets: BudgetSet {
                session: self.budgets.pair(),
                ..BudgetSet::default()
            },
            services: services.collect(),
        };
        self.shared.tell(Command::SessionUp(Arc::new(spec))).await;
    }

    async fn set_budgets(&mut self) {
        let limits = self
            .shared
            .spec()
            .server
            .as_ref()
            .map(|server| server.session_limits)
            .unwrap_or_default();
        let set = SetBudgets {
            scope: Scope::Session(self.id),
            limits,
        };
        self.budgets = self.limits.ask(set).await.unwrap_or_default();
    }

    async fn on_event(&mut self, event: ServerEvent) {
        match event {
            ServerEvent::Registering { request, proven } => {
                let Some(carrier) = &self.carrier else { return };
                let claim = Claim {
                    session: self.id,
                    epoch: carrier.epoch,
                    request,
                    proven,
                };
                self.report(claim).await;
            }
            ServerEvent::Unregistered { services } => self.give_up(services, "unregistered").await,
            ServerEvent::Pong { .. } => {
                if std::mem::take(&mut self.asked) {
                    self.report(Answered(self.id)).await;
                }
            }
            ServerEvent::PeerClosing { reason, deadline, text } => {
                tracing::info!(session_id = %self.id, peer = %self.peer, %reason, ?deadline, text, "client goes away");
                if let Some(carrier) = &mut self.carrier {
                    carrier.draining = true;
                }
                self.lost_for_workers().await;
                self.report(Draining(self.id)).await;
            }
            ServerEvent::Closed(closed) => self.on_closed(closed).await,
            // These come before a session is one.
            ServerEvent::Authenticated(_) | ServerEvent::Established(_) => {}
        }
    }

    /// The control carrier is gone; the client may come back.
    async fn on_closed(&mut self, closed: Closed) {
        self.lost_for_workers().await;
        if let Some(carrier) = self.carrier.take() {
            tokio::spawn(carrier.driver.finish());
        }
        let by_peer = matches!(closed.cause, CloseCause::Peer(_));
        if by_peer && closed.reason == CloseReason::Normal {
            self.end = Some(End {
                reason: closed.cause.to_string(),
                linger: RELEASE_LINGER,
            });
            return;
        }
        let timeout = self
            .shared
            .spec()
            .server
            .as_ref()
            .map_or(Duration::ZERO, |server| server.session_timeout);
        self.ends = Some(Instant::now() + timeout);
        tracing::info!(session_id = %self.id, peer = %self.peer, reason = %closed.cause, "control carrier lost");
    }

    async fn lost_for_workers(&mut self) {
        if let Some(carrier) = &self.carrier {
            self.shared
                .tell(Command::SessionLost {
                    session: self.id,
                    epoch: carrier.epoch,
                })
                .await;
        }
    }

    fn on_due(&mut self) {
        match &mut self.carrier {
            Some(carrier) => {
                carrier.ticket_due = Instant::now() + TICKET_LIFETIME / 2;
                if let Err(error) = carrier.driver.machine.send_ticket(now(), &mut random) {
                    tracing::debug!(session_id = %self.id, reason = %error, "no fresh ticket");
                }
            }
            None => {
                self.end = Some(End {
                    reason: "session_timeout".into(),
                    linger: RELEASE_LINGER,
                })
            }
        }
    }

    fn drain(&mut self) {
        let until = *self.drain.borrow_and_update();
        if let (Some(until), Some(carrier)) = (until, &mut self.carrier) {
            let deadline = until.saturating_duration_since(Instant::now());
            carrier
                .driver
                .machine
                .close(now(), CloseReason::GoingAway, deadline, "draining");
        }
    }

    fn send_wants(&mut self) {
        let (Some(carrier), false) = (&mut self.carrier, self.wants.is_empty()) else {
            return;
        };
        self.waiting_vouchers = 0;
        let Some(lane) = self.shared.spec().server.as_ref().map(|server| server.transport.lane()) else {
            return;
        };
        for (service, vouchers) in std::mem::take(&mut self.wants) {
            let mut served = self.offers.values().filter_map(|offer| offer.served.as_ref());
            let Some(served) = served.find(|served| served.id == service) else {
                continue;
            };
            for vouchers in vouchers.chunks(MAX_VOUCHERS_PER_WANT) {
                if let Err(error) = carrier.driver.machine.want(now(), &served.name, lane, vouchers) {
                    tracing::debug!(session_id = %self.id, service = &*served.name, reason = %error, "want dropped");
                }
            }
        }
    }

    /// Services that the session does not serve any more, by the client's or the configuration's wish.
    async fn give_up(&mut self, names: Vec<ServiceName>, reason: &'static str) {
        self.offers.retain(|name, _| !names.contains(name));
        self.report(Unclaim {
            session: self.id,
            names: names.clone(),
        })
        .await;
        let release = Release {
            session: self.id,
            names: Some(names),
            linger: RELEASE_LINGER,
            reason,
        };
        if self.services.tell(release).await.is_err() {
            tracing::debug!(session_id = %self.id, "the control plane is stopping");
        }
        self.say().await;
    }

    /// Services that others have.
    async fn lose(&mut self, names: &[ServiceName]) {
        let told: Vec<ServiceName> = names
            .iter()
            .filter(|name| self.offers.get(*name).is_some_and(|offer| offer.told))
            .cloned()
            .collect();
        for name in names {
            if let Some(offer) = self.offers.get_mut(name) {
                offer.told = false;
                offer.served = None;
            }
        }
        self.say().await;
        self.unregister(&told);
    }

    fn unregister(&mut self, names: &[ServiceName]) {
        if let (Some(carrier), false) = (&mut self.carrier, names.is_empty())
            && let Err(error) = carrier.driver.machine.unregister(now(), names)
        {
            tracing::debug!(session_id = %self.id, reason = %error, "the client was not told of dropped services");
        }
    }

    async fn reload(&mut self) {
        let known = self.shared.known_services();
        let old = std::mem::replace(&mut self.known, known.clone());
        if let Some(carrier) = &mut self.carrier {
            carrier.driver.machine.set_services(known.clone());
        }
        let gone: Vec<ServiceName> = self
            .offers
            .keys()
            .filter(|name| known.get(*name) != old.get(*name))
            .cloned()
            .collect();
        if !gone.is_empty() {
            self.unregister(&gone);
            self.give_up(gone, "configuration").await;
        }
        self.set_budgets().await;
        let names = self.offers.iter().filter(|(_, offer)| offer.served.is_some());
        let names = names.map(|(name, _)| name.clone()).collect();
        self.serve(names).await;
    }

    /// Says something to the registry, which never waits for a session.
    async fn report<M: Send + 'static>(&mut self, message: M)
    where
        Sessions: Message<M>,
    {
        if self.sessions.tell(message).await.is_err() {
            tracing::debug!(session_id = %self.id, "the control plane is stopping");
        }
    }
}

impl Message<Attach> for Session {
    type Reply = ();

    async fn handle(&mut self, attach: Attach, _: &mut Context<Self, ()>) {
        self.attach(attach).await;
    }
}

impl Message<Want> for Session {
    type Reply = ();

    async fn handle(&mut self, want: Want, _: &mut Context<Self, ()>) {
        let current = self.carrier.as_ref().is_some_and(|carrier| carrier.epoch == want.epoch);
        if !current || self.waiting_vouchers + want.vouchers.len() > MAX_PENDING_VOUCHERS {
            return;
        }
        self.waiting_vouchers += want.vouchers.len();
        self.wants.entry(want.service).or_default().extend(want.vouchers);
    }
}

impl Message<ClaimAnswer> for Session {
    type Reply = ();

    async fn handle(&mut self, answer: ClaimAnswer, _: &mut Context<Self, ()>) {
        let Some(carrier) = self.carrier.as_mut().filter(|carrier| carrier.epoch == answer.epoch) else {
            return;
        };
        if let Err(error) = carrier
            .driver
            .machine
            .answer_register(now(), answer.request, &answer.granted)
        {
            tracing::debug!(session_id = %self.id, reason = %error, "a registration could not be answered");
        }
        let mut granted = Vec::new();
        for (proven, grant) in answer.proven.into_iter().zip(answer.granted) {
            let told = grant == Grant::Ok;
            if told {
                granted.push(proven.name.clone());
            }
            self.offers.insert(
                proven.name.clone(),
                Offer {
                    proven,
                    told,
                    served: None,
                },
            );
        }
        self.serve(granted).await;
    }
}

impl Message<Granted> for Session {
    type Reply = ();

    async fn handle(&mut self, Granted(names): Granted, _: &mut Context<Self, ()>) {
        self.serve(names).await;
    }
}

impl Message<NotGranted> for Session {
    type Reply = ();

    async fn handle(&mut self, NotGranted(names): NotGranted, _: &mut Context<Self, ()>) {
        if names
            .iter()
            .any(|name| self.offers.get(name).is_some_and(|offer| offer.told))
        {
            self.lose(&names).await;
        }
    }
}

impl Message<Revoked> for Session {
    type Reply = ();

    async fn handle(&mut self, Revoked(names): Revoked, _: &mut Context<Self, ()>) {
        self.lose(&names).await;
    }
}

impl Message<PingHolder> for Session {
    type Reply = ();

    async fn handle(&mut self, PingHolder: PingHolder, _: &mut Context<Self, ()>) {
        if let Some(carrier) = &mut self.carrier
            && carrier.driver.machine.ping(now()).is_ok()
        {
            self.asked = true;
        }
    }
}

impl Message<Reload> for Session {
    type Reply = ();

    async fn handle(&mut self, Reload: Reload, _: &mut Context<Self, ()>) {
        self.reload().await;
    }
}
