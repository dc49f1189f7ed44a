//! What a link has offered its server, and what came of it.

use crate::driver::random;
use kariz_proto::model::{ClientService, ClientSpec, MuxParams, ServiceName};
use kariz_proto::session::{Backoff, ServiceKind, ServiceOffer, ServiceOutcome, ServiceStatus};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Services that are due within this time of each other are offered together.
pub(crate) const TOGETHER: Duration = Duration::from_secs(1);

/// The services of one link by name.
pub(crate) struct Offers {
    retry_max: Duration,
    entries: BTreeMap<ServiceName, Entry>,
}

struct Entry {
    spec: ClientService,
    state: State,
    backoff: Backoff,
    /// A refusal was logged; the next one of the same streak is not.
    logged: bool,
}

enum State {
    /// The server has not answered yet.
    Offered,
    /// Both ends have proven the token.
    Serving(MuxParams),
    /// Not accepted, or not offered yet: to be offered then.
    Due(Instant),
}

impl Offers {
    /// Everything is going to be offered with the handshake.
    pub(crate) fn new(spec: &ClientSpec) -> Self {
        let entry = |service: &ClientService| Entry::new(service, spec.retry_max, State::Offered);
        let entries = spec
            .services
            .iter()
            .map(|(name, service)| (name.clone(), entry(service)))
            .collect();
        Self {
            retry_max: spec.retry_max,
            entries,
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
                    entry.backoff.succeeded(now);
                    entry.logged = false;
                    if !matches!(entry.state, State::Serving(_)) {
                        tracing::info!(service = &**name, server, "service up");
                    }
                    entry.state = State::Serving(mux);
                }
                refused => entry.refused(name, &format!("{refused:?}"), now, server),
            }
        }
    }

    /// The server has dropped services; they are offered again.
    pub(crate) fn dropped(&mut self, services: &[ServiceName], now: Instant, server: &str) {
        for name in services {
            if let Some(entry) = self.entries.get_mut(name) {
                entry.refused(name, "dropped by the server", now, server);
            }
        }
    }

    /// When something has to be offered again.
    pub(crate) fn due(&self) -> Option<Instant> {
        let due = self.entries.values().filter_map(|entry| match entry.state {
            State::Due(at) => Some(at),
            _ => None,
        });
        due.min()
    }

    /// What has to be offered now, and what would have to be a moment later: hundreds of services that were refused
    /// together are offered again in a few messages, not one by one.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<ServiceOffer> {
        let mut offers = Vec::new();
        for (name, entry) in &mut self.entries {
            if matches!(entry.state, State::Due(at) if at <= now + TOGETHER) {
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
                entry.state = State::Due(now + entry.backoff.failed(now, &mut random));
            }
        }
    }

    /// Takes over another specification. What is new or offered differently is due now; returns what is gone.
    pub(crate) fn reload(&mut self, spec: &ClientSpec, now: Instant) -> Vec<ServiceName> {
        self.retry_max = spec.retry_max;
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
                    let entry = Entry::new(service, self.retry_max, State::Due(now));
                    self.entries.insert(name.clone(), entry);
                }
            }
        }
        removed
    }
}

impl Entry {
    fn new(spec: &ClientService, retry_max: Duration, state: State) -> Self {
        let backoff = Backoff::new(spec.retry_interval, retry_max);
        Self {
            spec: spec.clone(),
            state,
            backoff,
            logged: false,
        }
    }

    fn refused(&mut self, name: &ServiceName, reason: &str, now: Instant, server: &str) {
        if !std::mem::replace(&mut self.logged, true) {
            tracing::warn!(service = &**name, server, reason, "service not accepted");
        }
        self.state = State::Due(now + self.backoff.failed(now, &mut random));
    }
}

fn offer(name: &ServiceName, service: &ClientService) -> ServiceOffer {
    ServiceOffer {
        name: name.clone(),
        kind: ServiceKind::Tcp,
        token: service.token.clone(),
        connection_pool: service.connection_pool,
        mux_version: service.mux.version,
    }
}
