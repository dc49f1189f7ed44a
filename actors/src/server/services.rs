//! The public services: which exist, which are open, and for whom.

use crate::limits::{Budgets, Limits, Scope};
use crate::plane::StartError;
use crate::public::{self, REOPEN_INTERVAL};
use crate::shared::{Held, Role, Shared};
use kameo::prelude::*;
use kariz_proto::control::{Command, CommandError, PublicService, ServiceId, SessionId};
use kariz_proto::model::{MuxParams, ServerService, ServiceName, diff};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Opens the public listeners of what is served and closes them afterwards.
pub(crate) struct Services {
    shared: Arc<Shared>,
    limits: ActorRef<Limits>,
    services: BTreeMap<ServiceName, Public>,
    /// Budgets of the process that the data plane was told for open services.
    process: Budgets,
}

struct Public {
    spec: ServerService,
    holder: Option<SessionId>,
    /// Present while its listeners are open.
    open: Option<Held>,
    /// They are open as an older specification says, because the data plane did not take the one in force.
    stale: bool,
    /// When to try again to open or to move (holder), or to close (open, no holder).
    due: Option<Instant>,
}

/// Tests that every public address can be listened on.
pub(crate) struct Probe;

/// Makes the services what the specification in force says.
pub(crate) struct Apply;

/// A session serves these services from now on; whoever served them before does not. Their listeners are opened.
/// Answered with those that exist, once the data plane knows them.
pub(crate) struct Serve {
    pub(crate) session: SessionId,
    pub(crate) names: Vec<ServiceName>,
}

/// A service that may be served.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) name: ServiceName,
    pub(crate) id: ServiceId,
    pub(crate) mux: MuxParams,
}

/// A session does not serve these services any more (all of its services without a list). Their listeners are closed,
/// after `linger` if nobody else has them by then.
pub(crate) struct Release {
    pub(crate) session: SessionId,
    pub(crate) names: Option<Vec<ServiceName>>,
    pub(crate) linger: Duration,
    pub(crate) reason: &'static str,
}

impl Actor for Services {
    type Args = (Arc<Shared>, ActorRef<Limits>);
    type Error = Infallible;

    async fn on_start((shared, limits): Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        let mut services = Self {
            shared,
            limits,
            services: BTreeMap::new(),
            process: Budgets::default(),
        };
        services.apply().await;
        services.inherit();
        Ok(services)
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<mailbox::Signal<Self>>, Infallible> {
        loop {
            let due = self.services.values().filter_map(|service| service.due).min();
            tokio::select! {
                signal = mailbox.recv() => return Ok(signal),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.act().await,
            }
        }
    }
}

impl Services {
    /// What a predecessor that panicked had opened stays open for as long as a client may take to come back.
    fn inherit(&mut self) {
        let Some(linger) = self.shared.spec().server.as_ref().map(|server| server.session_timeout) else {
            return;
        };
        for (name, service) in &mut self.services {
            if self.shared.known_service(Role::Server, name).is_some() {
                service.due = Some(Instant::now() + linger);
            }
        }
    }

    async fn apply(&mut self) {
        let spec = self.shared.spec();
        let none = BTreeMap::new();
        let wanted = spec.server.as_ref().map_or(&none, |server| &server.services);
        let running = self
            .services
            .iter()
            .map(|(name, service)| (name.clone(), service.spec.clone()))
            .collect();
        let difference = diff(&running, wanted);
        for name in difference.removed {
            self.close(name, "configuration").await;
            self.services.remove(name);
            self.shared.forget_service(Role::Server, name);
        }
        for (name, spec) in difference.added {
            self.services.insert(
                name.clone(),
                Public {
                    spec: spec.clone(),
                    holder: None,
                    open: None,
                    stale: false,
                    due: None,
                },
            );
        }
        for name in public::in_the_way(&difference.changed, |spec| spec.listen) {
            self.close(name, "configuration").await;
        }
        for (name, _, new) in difference.changed {
            let Some(service) = self.services.get_mut(name) else {
                continue;
            };
            service.spec = new.clone();
            if service.open.is_some() {
                self.say_again(name).await;
            } else {
                self.open(name).await;
            }
        }
        let process = self.shared.budgets.lock().get(Scope::Process);
        if process != std::mem::replace(&mut self.process, process) {
            let names: Vec<_> = self.services.keys().cloned().collect();
            for name in names {
                self.say_again(&name).await;
            }
        }
    }

    async fn serve(&mut self, Serve { session, names }: Serve) -> Vec<Served> {
        let mut served = Vec::new();
        for name in names {
            let Some(service) = self.services.get_mut(&name) else {
                continue;
            };
            service.holder = Some(session);
            service.due = service.stale.then(|| Instant::now() + REOPEN_INTERVAL);
            let mux = service.spec.mux;
            self.open(&name).await;
            served.push(Served {
                id: self.shared.service_id(Role::Server, &name),
                mux,
                name,
            });
        }
        served
    }

    async fn release(
        &mut self,
        Release {
            session,
            names,
            linger,
            reason,
        }: Release,
    ) {
        let names = names.unwrap_or_else(|| self.services.keys().cloned().collect());
        for name in names {
            let Some(service) = self.services.get_mut(&name) else {
                continue;
            };
            if service.holder != Some(session) {
                continue;
            }
            service.holder = None;
            service.due = None;
            if linger.is_zero() {
                self.close(&name, reason).await;
            } else if service.open.is_some() {
                service.due = Some(Instant::now() + linger);
            }
        }
    }

    /// Opens and closes what is due.
    async fn act(&mut self) {
        let now = Instant::now();
        let due: Vec<ServiceName> = self
            .services
            .iter()
            .filter(|(_, service)| service.due.is_some_and(|due| due <= now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            let Some(service) = self.services.get_mut(&name) else {
                continue;
            };
            service.due = None;
            match service.holder {
                Some(_) if service.open.is_some() => self.say_again(&name).await,
                Some(_) => self.open(&name).await,
                None => self.close(&name, "session_timeout").await,
            }
        }
    }

    /// Opens the listeners of a service that a session holds, if they are not open.
    async fn open(&mut self, name: &ServiceName) {
        let Some(service) = self.services.get(name) else { return };
        let (Some(session), None) = (service.holder, &service.open) else {
            return;
        };
        let id = self.shared.service_id(Role::Server, name);
        let outcome = self.say(name, id).await;
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        match outcome {
            Ok(()) => {
                service.open = Some(Held::new(&self.shared, |gauges| &gauges.services_open));
                tracing::info!(service = &**name, session_id = %session, listen = %service.spec.listen, "service up");
            }
            Err(error) => {
                service.due = Some(Instant::now() + REOPEN_INTERVAL);
                tracing::error!(service = &**name, session_id = %session, reason = %error, "service failed");
            }
        }
    }

    /// Closes the listeners of a service, if they are or may be open.
    async fn close(&mut self, name: &ServiceName, reason: &'static str) {
        let Some(id) = self.shared.known_service(Role::Server, name) else {
            return;
        };
        public::close(&self.shared, &self.limits, id).await;
        if self
            .services
            .get_mut(name)
            .and_then(|service| {
                service.stale = false;
                service.open.take()
            })
            .is_some()
        {
            tracing::info!(service = &**name, reason, "service down");
        }
    }

    /// Tells the data plane what holds for the next visitors of an open service.
    async fn say_again(&mut self, name: &ServiceName) {
        if self.services.get(name).is_none_or(|service| service.open.is_none()) {
            return;
        }
        let id = self.shared.service_id(Role::Server, name);
        let outcome = self.say(name, id).await;
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        service.stale = outcome.is_err();
        if let Err(error) = outcome {
            tracing::error!(service = &**name, reason = %error, "service keeps its old settings");
            if service.holder.is_some() {
                service.due = Some(Instant::now() + REOPEN_INTERVAL);
            }
        }
    }

    async fn say(&self, name: &ServiceName, id: ServiceId) -> Result<(), CommandError> {
        let Some(Public { spec, .. }) = self.services.get(name) else {
            return Ok(());
        };
        let public = PublicService {
            service: id,
            name: name.clone(),
            listen: spec.listen,
            socket: spec.visitor_socket,
            priority: spec.priority,
            proxy_protocol: spec.proxy_protocol,
            max_visitors: spec.limits.visitors,
            budgets: public::budgets(&self.shared, &self.limits, id, spec.limits).await,
        };
        self.shared
            .data_plane
            .submit(Command::OpenService(Arc::new(public)))
            .await
    }
}

impl Message<Probe> for Services {
    type Reply = Result<(), StartError>;

    async fn handle(&mut self, Probe: Probe, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let listens = self.services.values().map(|service| service.spec.listen);
        public::probe(&self.shared, listens).await
    }
}

impl Message<Apply> for Services {
    type Reply = ();

    async fn handle(&mut self, Apply: Apply, _: &mut Context<Self, ()>) {
        self.apply().await;
    }
}

impl Message<Serve> for Services {
    type Reply = Vec<Served>;

    async fn handle(&mut self, message: Serve, _: &mut Context<Self, Self::Reply>) -> Vec<Served> {
        self.serve(message).await
    }
}

impl Message<Release> for Services {
    type Reply = ();

    async fn handle(&mut self, message: Release, _: &mut Context<Self, ()>) {
        self.release(message).await;
    }
}
