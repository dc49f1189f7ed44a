//! What a link has offered its server, and what came of it.

use crate::driver::random;
use kariz_proto::model::{ClientService, ClientSpec, MuxParams, ServiceName};
use kariz_proto::session::{Backoff, ServiceKind, ServiceOffer, ServiceOutcome, ServiceStatus};
use std::collections::BTreeMap;
use std::time::Instant;

/// The services of one link by name. What was refused is offered again all together, so that hundreds of services do
/// not come one by one.
pub(crate) struct Offers {
    backoff: Backoff,
    /// When what is due is offered again.
    retry: Option<Instant>,
    entries: BTreeMap<ServiceName, Entry>,
}

struct Entry {
    spec: ClientService,
    state: State,
    /// A refusal was logged; the next one of the same streak is not.
    logged: bool,
}

enum State {
    /// The server has not answered yet.
    Offered,
    /// Both ends have proven the token.
    Serving(MuxParams),
    /// Not accepted, or not offered yet: to be offered with the next retry.
    Due,
}

impl Offers {
    /// Everything is going to be offered with the handshake.
    pub(crate) fn new(spec: &ClientSpec) -> Self {
        let entries = spec.services.iter();
        Self {
            backoff: backoff(spec),
            retry: None,
            entries: entries
                .map(|(name, service)| (name.clone(), Entry::new(service, State::Offered)))
                .collect(),
        }
    }

    /// Every service, for the handshake.
    pub(crate) fn all(&self) -> Vec<ServiceOffer> {
        self.entries
            .iter()
            .map(|(name, entry)| offer(name, &entry.spec))
            .collect()
    }

    /// The services that visitors may come for, with the parameters agreed on.
    pub(crate) fn serving(&self) -> impl Iterator<Item = (&ServiceName, MuxParams)> {
        self.entries.iter().filter_map(|(name, entry)| match entry.state {
            State::Serving(mux) => Some((name, mux)),
            _ => None,
        })
    }

    /// The server has answered.
    pub(crate) fn answered(&mut self, services: &[ServiceStatus], now: Instant, server: &str) {
        for ServiceStatus { name, outcome } in services {
            let Some(entry) = self.entries.get_mut(name) else {
                continue;
            };
            match outcome {
                ServiceOutcome::Ok { mux_version } => {
                    let mut mux = entry.spec.mux;
                    mux.version = *mux_version;
                    entry.logged = false;
                    if !matches!(entry.state, State::Serving(_)) {
                        tracing::info!(service = &**name, server, "service up");
                    }
                    entry.state = State::Serving(mux);
                }
                refused => entry.refused(name, &format!("{refused:?}"), server),
            }
        }
        self.arm(now);
    }

    /// The server has dropped services; they are offered again.
    pub(crate) fn dropped(&mut self, services: &[ServiceName], now: Instant, server: &str) {
        for name in services {
            if let Some(entry) = self.entries.get_mut(name) {
                entry.refused(name, "dropped by the server", server);
            }
        }
        self.arm(now);
    }

    /// When something has to be offered again.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.retry
    }

    /// What has to be offered now.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<ServiceOffer> {
        if self.retry.take_if(|at| *at <= now).is_none() {
            return Vec::new();
        }
        let mut offers = Vec::new();
        for (name, entry) in &mut self.entries {
            if matches!(entry.state, State::Due) {
                entry.state = State::Offered;
                offers.push(offer(name, &entry.spec));
            }
        }
        offers
    }

    /// These could not be offered now after all.
    pub(crate) fn postpone(&mut self, names: &[ServiceName], now: Instant) {
        for name in names {
            if let Some(entry) = self.entries.get_mut(name) {
                entry.state = State::Due;
            }
        }
        self.arm(now);
    }

    /// Sets the next retry if there is something to retry and none is set.
    fn arm(&mut self, now: Instant) {
        if !self.entries.values().any(|entry| matches!(entry.state, State::Due)) {
            self.backoff.succeeded(now);
        } else if self.retry.is_none() {
            self.retry = Some(now + self.backoff.failed(now, &mut random));
        }
    }

    /// Takes over another specification. What is new or offered differently is due now; returns what is gone.
    pub(crate) fn reload(&mut self, spec: &ClientSpec, now: Instant) -> Vec<ServiceName> {
        let removed: Vec<ServiceName> = self
            .entries
            .keys()
            .filter(|name| !spec.services.contains_key(*name))
            .cloned()
            .collect();
        for name in &removed {
            self.entries.remove(name);
            tracing::info!(service = &**name, reason = "configuration", "service down");
        }
        for (name, service) in &spec.services {
            match self.entries.get_mut(name) {
                Some(entry) if offer(name, &entry.spec) == offer(name, service) => {
                    if let State::Serving(mux) = &mut entry.state {
                        *mux = MuxParams {
                            version: mux.version,
                            ..service.mux
                        };
                    }
                    entry.spec = service.clone();
                }
                _ => {
                    self.entries.insert(name.clone(), Entry::new(service, State::Due));
                    self.retry = Some(now);
                }
            }
        }
        removed
    }
}

impl Entry {
    fn new(spec: &ClientService, state: State) -> Self {
        Self {
            spec: spec.clone(),
            state,
            logged: false,
        }
    }

    fn refused(&mut self, name: &ServiceName, reason: &str, server: &str) {
        if !std::mem::replace(&mut self.logged, true) {
            tracing::warn!(service = &**name, server, reason, "service not accepted");
        }
        self.state = State::Due;
    }
}

/// The first wait is within the shortest `retry_interval` of any service.
fn backoff(spec: &ClientSpec) -> Backoff {
    let intervals = spec.services.values().map(|service| service.retry_interval);
    Backoff::new(intervals.min().unwrap_or(spec.retry_interval), spec.retry_max)
}

fn offer(name: &ServiceName, service: &ClientService) -> ServiceOffer {
    ServiceOffer {
        name: name.clone(),
        kind: ServiceKind::Tcp,
        token: service.token.clone(),
        connection_pool: service.connection_pool,
        mux_version: service.mux.version,
        mux_concurrency: service.mux.usable_concurrency(),
    }
}
