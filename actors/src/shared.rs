//! What all actors of one control plane share, and what outlives each of them.

use crate::dataplane::DataPlane;
use crate::driver::{now, random};
use crate::limits::BudgetTable;
use crate::names::Resolver;
use kariz_proto::control::{BudgetId, Command, LinkId, ServiceId};
use kariz_proto::model::{ServiceName, Spec};
use kariz_proto::session::{KnownServices, Sources, TicketIssuer};
use std::collections::HashMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Refused and failed handshakes are logged once in this time; the counters have them all.
const HANDSHAKE_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Handed to every actor; a restarted actor finds here what its predecessor must not take with it.
pub(crate) struct Shared {
    pub(crate) data_plane: Arc<dyn DataPlane>,
    pub(crate) ids: Ids,
    /// Names of the services that exist now.
    pub(crate) services: Guarded<ServiceIds>,
    pub(crate) resolver: Resolver,
    pub(crate) gauges: Gauges,
    /// The open budgets.
    pub(crate) budgets: Guarded<BudgetTable>,
    /// Seals and opens the tickets of all sessions.
    pub(crate) tickets: Arc<TicketIssuer>,
    spec: watch::Sender<InForce>,
    /// Until when visitors may go on, once the process is draining.
    drain: watch::Sender<Option<Instant>>,
    /// Whether all visitors have ended.
    drained: watch::Sender<bool>,
    handshake_logged: Guarded<Option<Instant>>,
    /// Who failed to authenticate, and how often.
    sources: Guarded<Sources>,
}

/// The specification in force, and what follows from it.
struct InForce {
    spec: Arc<Spec>,
    known: Arc<KnownServices>,
}

impl InForce {
    fn new(spec: Spec) -> Self {
        let services = spec.server.iter().flat_map(|server| &server.services);
        let known = services.map(|(name, service)| (name.clone(), service.into())).collect();
        Self {
            spec: Arc::new(spec),
            known: Arc::new(known),
        }
    }
}

impl Shared {
    pub(crate) fn new(spec: Spec, data_plane: Arc<dyn DataPlane>) -> Arc<Self> {
        Arc::new(Self {
            data_plane,
            ids: Ids::default(),
            services: Guarded::default(),
            resolver: Resolver::default(),
            gauges: Gauges::default(),
            budgets: Guarded::default(),
            tickets: Arc::new(TicketIssuer::new(now(), &mut random)),
            spec: watch::Sender::new(InForce::new(spec)),
            drain: watch::Sender::new(None),
            drained: watch::Sender::new(false),
            handshake_logged: Guarded::default(),
            sources: Guarded::default(),
        })
    }

    /// The specification in force.
    pub(crate) fn spec(&self) -> Arc<Spec> {
        self.spec.borrow().spec.clone()
    }

    /// The server's services as the session machines have to know them.
    pub(crate) fn known_services(&self) -> Arc<KnownServices> {
        self.spec.borrow().known.clone()
    }

    /// Puts another specification in force; the actors are told by whoever calls this.
    pub(crate) fn set_spec(&self, spec: Spec) {
        self.spec.send_replace(InForce::new(spec));
    }

    /// Changes when draining begins.
    pub(crate) fn drain(&self) -> watch::Receiver<Option<Instant>> {
        self.drain.subscribe()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drain.borrow().is_some()
    }

    /// Has every session and link tell its peer. What is returned becomes true when all visitors have ended.
    pub(crate) fn begin_drain(&self, deadline: Duration) -> watch::Receiver<bool> {
        self.drain.send_replace(Some(Instant::now() + deadline));
        self.drained.subscribe()
    }

    /// All visitors have ended.
    pub(crate) fn drained(&self) {
        self.drained.send_replace(true);
    }

    /// Whether connections of `peer` have failed too often lately.
    pub(crate) fn is_barred(&self, peer: SocketAddr) -> bool {
        self.sources.lock().is_barred(peer.ip(), now())
    }

    /// Counts and logs (rarely) a control carrier that was dropped without a look at it.
    pub(crate) fn handshake_refused(&self, peer: SocketAddr, reason: &str) {
        let refused = self.gauges.handshakes_refused.fetch_add(1, Ordering::Relaxed) + 1;
        if self.may_log_handshake() {
            tracing::warn!(%peer, reason, refused, "control carrier refused");
        }
    }

    /// Counts and logs (rarely) a control carrier that did not authenticate, and charges its source.
    pub(crate) fn handshake_failed(&self, peer: SocketAddr, reason: &dyn Display) {
        self.sources.lock().failed(peer.ip(), now());
        self.handshake_dropped(peer, reason);
    }

    /// The same where it may not be the peer's fault.
    pub(crate) fn handshake_dropped(&self, peer: SocketAddr, reason: &dyn Display) {
        let failed = self.gauges.handshakes_failed.fetch_add(1, Ordering::Relaxed) + 1;
        if self.may_log_handshake() {
            tracing::warn!(%peer, %reason, failed, "control carrier did not authenticate");
        }
    }

    fn may_log_handshake(&self) -> bool {
        let mut logged = self.handshake_logged.lock();
        let may = logged.is_none_or(|at| at.elapsed() >= HANDSHAKE_LOG_INTERVAL);
        if may {
            *logged = Some(Instant::now());
        }
        may
    }

    /// Says a command whose failure concerns nobody but the log.
    pub(crate) async fn tell(&self, command: Command) {
        if let Err(error) = self.data_plane.submit(command).await {
            tracing::warn!(reason = %error, "the data plane did not take a command");
        }
    }

    /// The id of a service in a role; a new one if it has none yet.
    pub(crate) fn service_id(&self, role: Role, name: &ServiceName) -> ServiceId {
        let mut services = self.services.lock();
        if let Some(id) = services.by_name.get(&(role, name.clone())) {
            return *id;
        }
        let id = ServiceId(self.ids.services.fetch_add(1, Ordering::Relaxed));
        services.by_name.insert((role, name.clone()), id);
        services.by_id.insert(id, (role, name.clone()));
        id
    }

    /// The id of a service in a role, if it has one.
    pub(crate) fn known_service(&self, role: Role, name: &ServiceName) -> Option<ServiceId> {
        self.services.lock().by_name.get(&(role, name.clone())).copied()
    }

    /// Whether any service of a role has an id: after a start, the trace of a predecessor.
    pub(crate) fn has_services(&self, role: Role) -> bool {
        self.services.lock().by_name.keys().any(|(of, _)| *of == role)
    }

    /// Forgets a service that is gone; the same name gets another id if it ever comes back.
    pub(crate) fn forget_service(&self, role: Role, name: &ServiceName) -> Option<ServiceId> {
        let mut services = self.services.lock();
        let id = services.by_name.remove(&(role, name.clone()))?;
        services.by_id.remove(&id);
        Some(id)
    }

    /// Which service an event talks about.
    pub(crate) fn service(&self, id: ServiceId) -> Option<(Role, ServiceName)> {
        self.services.lock().by_id.get(&id).cloned()
    }
}

/// Source of the process-local names. None is ever given out twice.
#[derive(Default)]
pub(crate) struct Ids {
    services: AtomicU32,
    links: AtomicU32,
    budgets: AtomicU32,
}

impl Ids {
    pub(crate) fn link(&self) -> LinkId {
        LinkId(self.links.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn budget(&self) -> BudgetId {
        BudgetId(self.budgets.fetch_add(1, Ordering::Relaxed))
    }
}

/// A section of the configuration. The same service name may occur in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Server,
    Client,
    Relay,
}

/// The services that exist now, in both directions; at most [`kariz_proto::model::MAX_SERVICES`] for each role.
#[derive(Default)]
pub(crate) struct ServiceIds {
    by_name: HashMap<(Role, ServiceName), ServiceId>,
    by_id: HashMap<ServiceId, (Role, ServiceName)>,
}

/// Counters and gauges of the control plane itself. Read by [`crate::ControlPlane::snapshot`].
#[derive(Default)]
pub(crate) struct Gauges {
    /// Gauge: control carriers that have not authenticated yet.
    pub(crate) handshakes: AtomicU64,
    /// Control carriers dropped unseen: the process drains, or their source had failed too often.
    pub(crate) handshakes_refused: AtomicU64,
    /// Control carriers that did not authenticate: garbage, silence, a wrong token, or too many others came.
    pub(crate) handshakes_failed: AtomicU64,
    /// Gauge: sessions at the server.
    pub(crate) sessions: AtomicU64,
    /// Control carriers of the server that came with a ticket.
    pub(crate) resumed: AtomicU64,
    /// Gauge: sessions of the client.
    pub(crate) links: AtomicU64,
    /// Gauge: services whose public listeners are open.
    pub(crate) services_open: AtomicU64,
    /// Events dropped because the actor they were for did not keep up.
    pub(crate) events_dropped: AtomicU64,
    /// Workers that died and were replaced.
    pub(crate) workers_replaced: AtomicU64,
}

/// Counts one up for as long as it lives.
pub(crate) struct Held {
    shared: Arc<Shared>,
    gauge: fn(&Gauges) -> &AtomicU64,
}

impl Held {
    pub(crate) fn new(shared: &Arc<Shared>, gauge: fn(&Gauges) -> &AtomicU64) -> Self {
        gauge(&shared.gauges).fetch_add(1, Ordering::Relaxed);
        Self {
            shared: shared.clone(),
            gauge,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        (self.gauge)(&self.shared.gauges).fetch_sub(1, Ordering::Relaxed);
    }
}

/// A value behind a lock that is held for a few instructions and never across an await.
///
/// A panic of the actor that held it does not make it unusable: the successor's first act is to go through it.
#[derive(Default)]
pub(crate) struct Guarded<T>(Mutex<T>);

impl<T> Guarded<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
