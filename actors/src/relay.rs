//! The relay: forwardings without a tunnel.

use crate::limits::{Budgets, Limits, Scope};
use crate::names::{REFRESH_FLOOR, REFRESH_INTERVAL, literal};
use crate::plane::StartError;
use crate::public::{self, REOPEN_INTERVAL};
use crate::shared::{Role, Shared};
use kameo::prelude::*;
use kariz_proto::control::{Command, CommandError, PublicService, RelayRemote, ServiceId};
use kariz_proto::model::{RelayService, RelaySpec, ServiceName, diff};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

/// Keeps the data plane's forwardings as the specification says and their names resolved.
pub(crate) struct Relay {
    shared: Arc<Shared>,
    limits: ActorRef<Limits>,
    services: BTreeMap<ServiceName, Forwarding>,
    /// Budgets of the process that the data plane was told.
    process: Budgets,
    refresh: Interval,
    /// When to try again what could not be opened or moved.
    again: Option<Instant>,
    /// Lookups under way: at most one for each forwarding.
    lookups: JoinSet<(ServiceName, Vec<Vec<IpAddr>>)>,
}

struct Forwarding {
    spec: RelayService,
    id: ServiceId,
    /// One list for each remote.
    addresses: Vec<Vec<IpAddr>>,
    looked_up: Instant,
    looking_up: bool,
}

/// Makes the forwardings what the specification in force says. Answered with the first failure; the other services are
/// opened regardless.
pub(crate) struct Apply;

/// Tests that every public address can be listened on. Said at the start, where a predecessor may still have them.
pub(crate) struct Probe;

/// A remote of this service could not be dialled.
pub(crate) struct DialFailed(pub(crate) ServiceName);

impl Actor for Relay {
    type Args = (Arc<Shared>, ActorRef<Limits>);
    type Error = Infallible;

    async fn on_start((shared, limits): Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        let mut refresh = interval_at(Instant::now() + REFRESH_INTERVAL, REFRESH_INTERVAL);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut relay = Self {
            shared,
            limits,
            services: BTreeMap::new(),
            process: Budgets::default(),
            refresh,
            again: None,
            lookups: JoinSet::new(),
        };
        // A successor of a relay that panicked takes over what is open: the ids are the same, so that opening again
        // changes nothing for anybody. At the very first start, the answer to `Apply` says what failed.
        if relay.shared.has_services(Role::Relay) {
            let _ = relay.apply().await;
        }
        Ok(relay)
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<mailbox::Signal<Self>>, Infallible> {
        loop {
            tokio::select! {
                signal = mailbox.recv() => return Ok(signal),
                _ = self.refresh.tick() => self.look_up_all(),
                () = sleep_until(self.again.unwrap_or_else(Instant::now)), if self.again.is_some() => {
                    // What still fails was logged, and is due again.
                    let _ = self.apply().await;
                }
                Some(Ok((name, addresses))) = self.lookups.join_next() => self.looked_up(&name, addresses).await,
            }
        }
    }
}

impl Relay {
    async fn apply(&mut self) -> Result<(), StartError> {
        let spec = self.shared.spec();
        let none = RelaySpec::default();
        let wanted = &spec.relay.as_ref().unwrap_or(&none).services;
        let running: BTreeMap<_, _> = self
            .services
            .iter()
            .map(|(name, service)| (name.clone(), service.spec.clone()))
            .collect();
        let difference = diff(&running, wanted);
        for name in &difference.removed {
            self.close(name).await;
        }
        let process = self.shared.budgets.lock().get(Scope::Process);
        let all_again = process != std::mem::replace(&mut self.process, process);
        for name in public::in_the_way(&difference.changed, |spec| spec.listen) {
            self.close(name).await;
        }
        let mut outcome = Ok(());
        for (name, service) in wanted {
            if !all_again && running.get(name) == Some(service) {
                continue;
            }
            if let Err(error) = self.open(name, service).await {
                tracing::error!(service = &**name, reason = %error, "service failed");
                outcome = outcome.and(Err(error.into()));
            }
        }
        self.again = outcome.is_err().then(|| Instant::now() + REOPEN_INTERVAL);
        outcome
    }

    async fn open(&mut self, name: &ServiceName, spec: &RelayService) -> Result<(), CommandError> {
        let id = self.shared.service_id(Role::Relay, name);
        let mut addresses = resolve(&self.shared, spec).await;
        if let Some(before) = self.services.get(name) {
            for (remote, found) in spec.remotes.iter().zip(&mut addresses) {
                // A lookup that fails takes nothing away.
                let place = before.spec.remotes.iter().position(|known| known == remote);
                if let Some(place) = place.filter(|_| found.is_empty()) {
                    found.clone_from(&before.addresses[place]);
                }
            }
        }
        let forwarding = Forwarding {
            spec: spec.clone(),
            id,
            addresses,
            looked_up: Instant::now(),
            looking_up: false,
        };
        let opened = self.say(name, &forwarding).await;
        if opened.is_ok() && self.services.insert(name.clone(), forwarding).is_none() {
            tracing::info!(service = &**name, listen = %spec.listen, "service up");
        }
        opened
    }

    async fn close(&mut self, name: &ServiceName) {
        self.services.remove(name);
        if let Some(service) = self.shared.forget_service(Role::Relay, name) {
            public::close(&self.shared, &self.limits, service).await;
            tracing::info!(service = &**name, reason = "configuration", "service down");
        }
    }

    /// Tells the data plane how a forwarding is now.
    async fn say(&self, name: &ServiceName, forwarding: &Forwarding) -> Result<(), CommandError> {
        let Forwarding {
            spec, id, addresses, ..
        } = forwarding;
        let public = PublicService {
            service: *id,
            name: name.clone(),
            listen: spec.listen,
            socket: spec.socket,
            priority: 0,
            proxy_protocol: spec.proxy_protocol,
            max_visitors: spec.limits.visitors,
            budgets: public::budgets(&self.shared, &self.limits, *id, spec.limits).await,
        };
        let remote = RelayRemote {
            remotes: spec.remotes.iter().cloned().zip(addresses.iter().cloned()).collect(),
            strategy: spec.strategy,
            dial_timeout: spec.dial_timeout,
        };
        self.shared
            .data_plane
            .submit(Command::OpenRelay(Arc::new(public), Arc::new(remote)))
            .await
    }

    fn look_up_all(&mut self) {
        let names: Vec<ServiceName> = self.services.keys().cloned().collect();
        for name in names {
            self.look_up(&name, REFRESH_FLOOR);
        }
    }

    /// Resolves the names of a forwarding in the background, unless that was done less than `floor` ago.
    fn look_up(&mut self, name: &ServiceName, floor: Duration) {
        let Some(forwarding) = self.services.get_mut(name) else {
            return;
        };
        let only_literals = forwarding
            .spec
            .remotes
            .iter()
            .all(|remote| literal(&remote.host).is_some());
        if only_literals || forwarding.looking_up || forwarding.looked_up.elapsed() < floor {
            return;
        }
        forwarding.looking_up = true;
        let (shared, spec, name) = (self.shared.clone(), forwarding.spec.clone(), name.clone());
        self.lookups.spawn(async move { (name, resolve(&shared, &spec).await) });
    }

    async fn looked_up(&mut self, name: &ServiceName, found: Vec<Vec<IpAddr>>) {
        let Some(mut forwarding) = self.services.remove(name) else {
            return;
        };
        forwarding.looking_up = false;
        forwarding.looked_up = Instant::now();
        let mut changed = false;
        if found.len() == forwarding.addresses.len() {
            for (old, new) in forwarding.addresses.iter_mut().zip(found) {
                // A lookup that fails takes nothing away: the addresses of before are the best guess there is.
                if !new.is_empty() && *old != new {
                    *old = new;
                    changed = true;
                }
            }
        }
        if changed && let Err(error) = self.say(name, &forwarding).await {
            tracing::warn!(service = &**name, reason = %error, "the data plane did not take new addresses");
        }
        self.services.insert(name.clone(), forwarding);
    }
}

/// The addresses of every remote, looked up side by side.
async fn resolve(shared: &Arc<Shared>, spec: &RelayService) -> Vec<Vec<IpAddr>> {
    let mut lookups = JoinSet::new();
    for (index, remote) in spec.remotes.iter().enumerate() {
        let (shared, host) = (shared.clone(), remote.host.clone());
        lookups.spawn(async move { (index, shared.resolver.resolve(&host).await) });
    }
    let mut found = vec![Vec::new(); spec.remotes.len()];
    while let Some(result) = lookups.join_next().await {
        if let Ok((index, addresses)) = result {
            found[index] = addresses;
        }
    }
    found
}

impl Message<Probe> for Relay {
    type Reply = Result<(), StartError>;

    async fn handle(&mut self, Probe: Probe, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let spec = self.shared.spec();
        let services = spec.relay.iter().flat_map(|relay| relay.services.values());
        public::probe(&self.shared, services.map(|service| service.listen)).await
    }
}

impl Message<Apply> for Relay {
    type Reply = Result<(), StartError>;

    async fn handle(&mut self, Apply: Apply, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        self.apply().await
    }
}

impl Message<DialFailed> for Relay {
    type Reply = ();

    async fn handle(&mut self, DialFailed(name): DialFailed, _: &mut Context<Self, ()>) {
        self.look_up(&name, REFRESH_FLOOR);
    }
}
