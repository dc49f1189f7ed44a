//! One client at the server, with or without a control carrier.

mod messages;
mod serving;

pub(crate) use messages::{Attach, ClaimAnswer, Notice, Reload, Want};

use super::services::{Release, Services};
use super::sessions::{Answered, Claim, Draining, Sessions};
use crate::driver::{Driver, now, random};
use crate::limits::{Budgets, Limits, Scope, SetBudgets};
use crate::shared::{Held, Shared};
use kameo::prelude::*;
use kariz_proto::control::{CarrierKey, Command, Epoch, InstanceId, ServiceId, SessionId, Voucher};
use kariz_proto::model::{Limits as LimitSpec, ServiceName};
use kariz_proto::session::{
    CloseCause, CloseReason, Closed, Features, KnownServices, ServerEvent, ServerSession, TICKET_LIFETIME,
};
use serving::Offer;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Vouchers that wait to be told to the client; more are dropped, and their workers ask again.
pub(crate) const MAX_PENDING_VOUCHERS: usize = 8192;

/// Messages that may wait for a session. Wants take no more than half of it, so that what a session has to know always
/// finds room unless it hangs.
pub(crate) const MAILBOX: usize = 512;

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
            reason: match reason {
                ActorStopReason::Panicked(_) => "internal error".into(),
                _ if self.drain.borrow().is_some() => "draining".into(),
                _ => "stopped".into(),
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
            .map(|proven| (proven.name.clone(), Offer::new(proven.clone(), told(&proven.name))))
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
        self.serve(granted.into_iter().map(|service| service.name).collect())
            .await;
        if !gone.is_empty() {
            self.give_up(gone, "not offered any more").await;
        }
        if let Some(carrier) = &mut self.carrier {
            carrier.driver.machine.set_services(self.known.clone());
        }
        if established.resumed {
            self.shared.gauges.resumed.fetch_add(1, Ordering::Relaxed);
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

    fn ping(&mut self) {
        if let Some(carrier) = &mut self.carrier
            && carrier.driver.machine.ping(now()).is_ok()
        {
            self.asked = true;
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
