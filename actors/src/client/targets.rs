//! Where the client's visitors go: targets and the addresses of their names.

use crate::limits::{Budgets, Scope};
use crate::names::{LOOKUP_TIMEOUT, REFRESH_FLOOR, REFRESH_INTERVAL, literal};
use crate::shared::{Role, Shared};
use kameo::prelude::*;
use kariz_proto::control::{BudgetSet, Command, TargetSpec};
use kariz_proto::model::{ClientService, ServiceName, diff};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout_at};

/// Keeps the data plane's targets as the specification says and their names resolved.
pub(crate) struct Targets {
    shared: Arc<Shared>,
    targets: BTreeMap<ServiceName, Target>,
    /// Budgets of the process that the data plane was told.
    process: Budgets,
    refresh: Interval,
    /// Lookups under way: at most one for each target.
    lookups: JoinSet<(ServiceName, Vec<IpAddr>)>,
}

struct Target {
    spec: ClientService,
    addresses: Vec<IpAddr>,
    looked_up: Instant,
    looking_up: bool,
}

/// Makes the targets what the specification in force says; answered when the data plane knows them, resolved or not.
pub(crate) struct Apply;

/// The target of this service could not be dialled.
pub(crate) struct DialFailed(pub(crate) ServiceName);

impl Actor for Targets {
    type Args = Arc<Shared>;
    type Error = Infallible;

    async fn on_start(shared: Arc<Shared>, _: ActorRef<Self>) -> Result<Self, Infallible> {
        let mut refresh = interval_at(Instant::now() + REFRESH_INTERVAL, REFRESH_INTERVAL);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut targets = Self {
            shared,
            targets: BTreeMap::new(),
            process: Budgets::default(),
            refresh,
            lookups: JoinSet::new(),
        };
        // The successor of an actor that panicked has to know again what the workers know; at the very first start
        // nothing is said before it is asked for.
        if targets.shared.has_services(Role::Client) {
            targets.apply().await;
        }
        Ok(targets)
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
                Some(Ok((name, addresses))) = self.lookups.join_next() => self.looked_up(&name, addresses).await,
            }
        }
    }
}

impl Targets {
    async fn apply(&mut self) {
        let spec = self.shared.spec();
        let none = BTreeMap::new();
        let wanted = spec.client.as_ref().map_or(&none, |client| &client.services);
        let running: BTreeMap<_, _> = self
            .targets
            .iter()
            .map(|(name, target)| (name.clone(), target.spec.clone()))
            .collect();
        for name in diff(&running, wanted).removed {
            self.targets.remove(name);
            if let Some(service) = self.shared.forget_service(Role::Client, name) {
                self.shared.tell(Command::TargetGone { service }).await;
            }
        }
        let process = self.shared.budgets.lock().get(Scope::Process);
        let all_again = process != std::mem::replace(&mut self.process, process);
        let mut found = self.resolve(wanted, &running).await;
        for (name, spec) in wanted {
            if !all_again && running.get(name) == Some(spec) {
                continue;
            }
            let before = self
                .targets
                .remove(name)
                .map(|target| target.addresses)
                .unwrap_or_default();
            let addresses = found.remove(name).unwrap_or(before);
            let target = Target {
                spec: spec.clone(),
                addresses,
                looked_up: Instant::now(),
                looking_up: false,
            };
            self.say(name, &target).await;
            self.targets.insert(name.clone(), target);
            self.look_up(name);
        }
    }

    /// Looks the hosts of new and changed targets up side by side.
    async fn resolve(
        &self,
        wanted: &BTreeMap<ServiceName, ClientService>,
        running: &BTreeMap<ServiceName, ClientService>,
    ) -> BTreeMap<ServiceName, Vec<IpAddr>> {
        let mut lookups = JoinSet::new();
        for (name, spec) in wanted {
            if running
                .get(name)
                .is_none_or(|before| before.target.host != spec.target.host)
            {
                let (shared, name, host) = (self.shared.clone(), name.clone(), spec.target.host.clone());
                lookups.spawn(async move { (name, shared.resolver.resolve(&host).await) });
            }
        }
        let mut found = BTreeMap::new();
        // Names that take longer are left to the background.
        let deadline = Instant::now() + LOOKUP_TIMEOUT;
        while let Ok(Some(lookup)) = timeout_at(deadline, lookups.join_next()).await {
            found.extend(lookup);
        }
        found
    }

    async fn say(&self, name: &ServiceName, Target { spec, addresses, .. }: &Target) {
        let process = self.shared.budgets.lock().get(Scope::Process);
        let target = TargetSpec {
            service: self.shared.service_id(Role::Client, name),
            name: name.clone(),
            addresses: addresses.clone(),
            ports: spec.target.ports,
            socket: spec.target_socket,
            dial_timeout: spec.dial_timeout,
            budgets: BudgetSet {
                process: process.pair(),
                ..BudgetSet::default()
            },
        };
        self.shared.tell(Command::Target(Arc::new(target))).await;
    }

    fn look_up_all(&mut self) {
        let names: Vec<ServiceName> = self.targets.keys().cloned().collect();
        for name in names {
            self.look_up(&name);
        }
    }

    /// Resolves the name of a target in the background, unless that was done a moment ago and with success.
    fn look_up(&mut self, name: &ServiceName) {
        let Some(target) = self.targets.get_mut(name) else {
            return;
        };
        let host = &target.spec.target.host;
        let fresh = !target.addresses.is_empty() && target.looked_up.elapsed() < REFRESH_FLOOR;
        if literal(host).is_some() || target.looking_up || fresh {
            return;
        }
        target.looking_up = true;
        let (shared, name, host) = (self.shared.clone(), name.clone(), host.clone());
        self.lookups
            .spawn(async move { (name, shared.resolver.resolve(&host).await) });
    }

    async fn looked_up(&mut self, name: &ServiceName, found: Vec<IpAddr>) {
        let Some(mut target) = self.targets.remove(name) else {
            return;
        };
        target.looking_up = false;
        target.looked_up = Instant::now();
        // A lookup that fails takes nothing away: the addresses of before are the best guess there is.
        if !found.is_empty() && found != target.addresses {
            target.addresses = found;
            self.say(name, &target).await;
        }
        self.targets.insert(name.clone(), target);
    }
}

impl Message<Apply> for Targets {
    type Reply = ();

    async fn handle(&mut self, Apply: Apply, _: &mut Context<Self, ()>) {
        self.apply().await;
    }
}

impl Message<DialFailed> for Targets {
    type Reply = ();

    async fn handle(&mut self, DialFailed(name): DialFailed, _: &mut Context<Self, ()>) {
        self.look_up(&name);
    }
}
