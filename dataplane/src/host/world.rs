//! What still holds, so that it can be said again to a worker's successor.

use super::Leases;
use crate::net::listener::{self, START_PATIENCE};
use crate::relay::Remotes;
use crate::server::SessionShared;
use crate::service::ServiceShared;
use crate::tally::Tally;
use crate::worker::{Listeners, Mail, ServiceKind};
use kariz_proto::control::{
    BudgetId, Command, CommandError, LinkId, LinkSpec, PublicService, ServiceId, SessionId, SessionSpec, TargetSpec,
};
use kariz_proto::model::{ListenAddr, SocketOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Mail with the worker that it is for.
pub(crate) type Addressed = Vec<(usize, Mail)>;

/// Everything that holds. Bounded by the configuration and by what the control plane admits.
pub(crate) struct World {
    workers: usize,
    /// Carrier listeners: for each address, one for each worker, and `TCP_USER_TIMEOUT` of its control carriers.
    carriers: Vec<(Vec<OwnedFd>, Duration)>,
    services: BTreeMap<ServiceId, OpenService>,
    sessions: BTreeMap<SessionId, (Arc<SessionSpec>, Arc<SessionShared>)>,
    lost: BTreeSet<SessionId>,
    links: BTreeMap<LinkId, (Arc<LinkSpec>, Arc<Tally>)>,
    targets: BTreeMap<ServiceId, Arc<TargetSpec>>,
    budgets: BTreeSet<BudgetId>,
    leases: Leases,
    next_dialler: usize,
    /// Set once, by [`Command::Drain`].
    drain_until: Option<Instant>,
}

struct OpenService {
    spec: Arc<PublicService>,
    kind: ServiceKind,
    shared: Arc<ServiceShared>,
    /// By port offset, then by worker.
    listeners: Vec<Vec<OwnedFd>>,
}

impl World {
    pub(super) fn new(workers: usize, leases: Leases) -> Self {
        Self {
            workers,
            carriers: Vec::new(),
            services: BTreeMap::new(),
            sessions: BTreeMap::new(),
            lost: BTreeSet::new(),
            links: BTreeMap::new(),
            targets: BTreeMap::new(),
            budgets: BTreeSet::new(),
            leases,
            next_dialler: 0,
            drain_until: None,
        }
    }

    /// Takes a command in; returns what the workers have to be told.
    pub(super) fn apply(&mut self, command: Command) -> Result<Addressed, CommandError> {
        match command {
            Command::ListenCarriers {
                listen,
                socket,
                control_timeout,
            } => self.listen_carriers(listen, &socket, control_timeout),
            Command::ProbeListen { listen } => {
                listener::probe(listen, START_PATIENCE).map_err(listen_error)?;
                Ok(Vec::new())
            }
            Command::OpenService(spec) => self.open_service(spec, ServiceKind::Tunnel),
            Command::OpenRelay(spec, remotes) => {
                let before = match self.services.get(&spec.service).map(|open| &open.kind) {
                    Some(ServiceKind::Relay(before)) => Some(before.as_ref()),
                    _ => None,
                };
                let remotes = Remotes::new(remotes, before, self.workers);
                self.open_service(spec, ServiceKind::Relay(Arc::new(remotes)))
            }
            Command::CloseService { service } => {
                // Dropping the host's duplicates first: the workers' own descriptors keep the queues alive until
                // they have emptied them.
                self.services.remove(&service);
                Ok(self.everybody(|_| Mail::CloseService(service)))
            }
            Command::Dial {
                link,
                service,
                vouchers,
            } => {
                let mut shares = vec![Vec::new(); self.workers];
                for voucher in vouchers {
                    shares[self.next_dialler % self.workers].push(voucher);
                    self.next_dialler = self.next_dialler.wrapping_add(1);
                }
                let shares = shares
                    .into_iter()
                    .enumerate()
                    .filter(|(_, vouchers)| !vouchers.is_empty());
                Ok(shares
                    .map(|(worker, vouchers)| {
                        (
                            worker,
                            Mail::Dial {
                                link,
                                service,
                                vouchers,
                            },
                        )
                    })
                    .collect())
            }
            Command::SessionUp(spec) => {
                let shared = self
                    .sessions
                    .get(&spec.session)
                    .map(|(_, shared)| shared.clone())
                    .unwrap_or_else(|| Arc::new(SessionShared::new(self.workers)));
                self.lost.remove(&spec.session);
                self.sessions.insert(spec.session, (spec.clone(), shared.clone()));
                Ok(self.everybody(|_| Mail::SessionUp(spec.clone(), shared.clone())))
            }
            Command::SessionLost { session, epoch } => {
                if self.sessions.get(&session).is_some_and(|(spec, _)| spec.epoch == epoch) {
                    self.lost.insert(session);
                }
                Ok(self.everybody(|_| Mail::SessionLost(session, epoch)))
            }
            Command::SessionDown { session } => {
                self.sessions.remove(&session);
                self.lost.remove(&session);
                Ok(self.everybody(|_| Mail::SessionDown(session)))
            }
            Command::LinkUp(spec) => {
                let carriers = self
                    .links
                    .get(&spec.link)
                    .map(|(_, count)| count.clone())
                    .unwrap_or_else(|| Tally::new(self.workers));
                self.links.insert(spec.link, (spec.clone(), carriers.clone()));
                Ok(self.everybody(|_| Mail::LinkUp(spec.clone(), carriers.clone())))
            }
            Command::LinkDown { link } => {
                self.links.remove(&link);
                Ok(self.everybody(|_| Mail::LinkDown(link)))
            }
            Command::Target(spec) => {
                self.targets.insert(spec.service, spec.clone());
                Ok(self.everybody(|_| Mail::Target(spec.clone())))
            }
            Command::TargetGone { service } => {
                self.targets.remove(&service);
                Ok(self.everybody(|_| Mail::TargetGone(service)))
            }
            Command::OpenBudget { budget } => {
                self.budgets.insert(budget);
                let leases = self.leases.open(budget, self.workers);
                Ok(self.everybody(|worker| Mail::OpenBudget(budget, leases[worker].clone())))
            }
            Command::CloseBudget { budget } => {
                self.budgets.remove(&budget);
                self.leases.close(budget);
                Ok(self.everybody(|_| Mail::CloseBudget(budget)))
            }
            Command::Drain { deadline } => Ok(self.drain(deadline)),
        }
    }

    /// Everything that a fresh worker in this place has to know, in an order in which it can be understood.
    pub(super) fn recall(&self, worker: usize) -> Vec<Mail> {
        let mut mail = Vec::new();
        for budget in &self.budgets {
            let leases = self.leases.open(*budget, self.workers);
            mail.push(Mail::OpenBudget(*budget, leases[worker].clone()));
        }
        mail.extend(self.services.values().filter_map(|service| service.mail(worker).ok()));
        let live = self
            .sessions
            .values()
            .filter(|(spec, _)| !self.lost.contains(&spec.session));
        mail.extend(live.map(|(spec, shared)| Mail::SessionUp(spec.clone(), shared.clone())));
        mail.extend(self.targets.values().map(|spec| Mail::Target(spec.clone())));
        mail.extend(
            self.links
                .values()
                .map(|(spec, carriers)| Mail::LinkUp(spec.clone(), carriers.clone())),
        );
        let listeners = self.carriers.iter().filter_map(|(listeners, timeout)| {
            Some(Mail::ListenCarriers(listeners[worker].try_clone().ok()?, *timeout))
        });
        mail.extend(listeners);
        mail.extend(self.drain_until.map(Mail::Drain));
        mail
    }

    /// A worker is dead: what it had counted is counted no more, and nobody hands visitors over to what it had.
    /// Sessions and links that are over are not known here any more, and their counts bound nobody.
    pub(super) fn forget(&self, worker: usize) {
        for service in self.services.values() {
            service.shared.forget(worker);
            if let ServiceKind::Relay(remotes) = &service.kind {
                remotes.forget(worker);
            }
        }
        self.sessions.values().for_each(|(_, shared)| shared.forget(worker));
        self.links.values().for_each(|(_, carriers)| carriers.forget(worker));
    }

    fn listen_carriers(
        &mut self,
        listen: ListenAddr,
        socket: &SocketOptions,
        control_timeout: Duration,
    ) -> Result<Addressed, CommandError> {
        let mut addressed = Vec::new();
        for listeners in listener::open(listen, socket, self.workers, None, START_PATIENCE).map_err(listen_error)? {
            for (worker, fd) in listeners.iter().enumerate() {
                let fd = fd.try_clone().map_err(|error| listen_error((listen, error)))?;
                addressed.push((worker, Mail::ListenCarriers(fd, control_timeout)));
            }
            self.carriers.push((listeners, control_timeout));
        }
        Ok(addressed)
    }

    /// Opens a service, changes it, or moves it to another address.
    fn open_service(&mut self, spec: Arc<PublicService>, kind: ServiceKind) -> Result<Addressed, CommandError> {
        if let Some(open) = self.services.get_mut(&spec.service)
            && open.spec.listen == spec.listen
            && open.spec.socket.has_same_buffers(&spec.socket)
        {
            for fd in open.listeners.iter().flatten() {
                // Accepted sockets inherit these. A listener that does not take one keeps what it had.
                let _ = crate::net::options::set_on_connected(fd, &spec.socket);
            }
            (open.spec, open.kind) = (spec, kind);
            return Ok((0..self.workers).map(|worker| (worker, open.update())).collect());
        }
        // A service that moves opens its new listeners beside the old ones (which may have some of the ports), and
        // only then do the workers close those: if it cannot, nothing has changed.
        let old = self.services.get(&spec.service);
        let own = old.map(|open| open.spec.listen);
        // Every service was probed at the start; later on nobody is to wait for an address that is taken.
        let listeners =
            listener::open(spec.listen, &spec.socket, self.workers, own, Duration::ZERO).map_err(listen_error)?;
        let shared = old.map_or_else(
            || Arc::new(ServiceShared::new(self.workers)),
            |open| open.shared.clone(),
        );
        let open = OpenService {
            spec,
            kind,
            shared,
            listeners,
        };
        let mail: io::Result<Addressed> = (0..self.workers)
            .map(|worker| Ok((worker, open.mail(worker)?)))
            .collect();
        let addressed = mail.map_err(|error| listen_error((open.spec.listen, error)))?;
        self.services.insert(open.spec.service, open);
        Ok(addressed)
    }

    fn drain(&mut self, deadline: Duration) -> Addressed {
        self.services.clear();
        self.carriers.clear();
        let until = Instant::now() + deadline;
        self.drain_until = Some(until);
        self.everybody(|_| Mail::Drain(until))
    }

    fn everybody(&self, mail: impl Fn(usize) -> Mail) -> Addressed {
        (0..self.workers).map(|worker| (worker, mail(worker))).collect()
    }
}

impl OpenService {
    /// Everything about the service, with the worker's own listeners.
    fn mail(&self, worker: usize) -> io::Result<Mail> {
        let listeners: io::Result<Listeners> = self.listeners.iter().map(|port| port[worker].try_clone()).collect();
        Ok(Mail::OpenService {
            spec: self.spec.clone(),
            kind: self.kind.clone(),
            shared: self.shared.clone(),
            listeners: listeners?,
        })
    }

    /// What has changed, for workers that have their listeners.
    fn update(&self) -> Mail {
        Mail::OpenService {
            spec: self.spec.clone(),
            kind: self.kind.clone(),
            shared: self.shared.clone(),
            listeners: Vec::new(),
        }
    }
}

fn listen_error((listen, error): (ListenAddr, io::Error)) -> CommandError {
    CommandError::Listen { listen, error }
}
