//! What a session serves, and who is told of it.

use super::{RELEASE_LINGER, Session};
use crate::driver::now;
use crate::limits::{Scope, SetBudgets};
use crate::server::services::{Release, Serve, Served};
use crate::server::sessions::{Unclaim, Yielded};
use kariz_proto::control::{BudgetSet, Command, ServedService, SessionSpec};
use kariz_proto::model::ServiceName;
use kariz_proto::session::{Features, MAX_VOUCHERS_PER_WANT, ProvenService};
use std::sync::Arc;

/// A service that the client has proven.
pub(super) struct Offer {
    pub(super) proven: ProvenService,
    /// Whether the client was told that it serves this.
    pub(super) told: bool,
    /// Present while the session owns the service.
    pub(super) served: Option<Served>,
}

impl Offer {
    /// Proven, not served yet.
    pub(super) fn new(proven: ProvenService, told: bool) -> Self {
        Self {
            proven,
            told,
            served: None,
        }
    }
}

impl Session {
    /// Owns services from now on: opens them, tells the workers, then the client.
    pub(super) async fn serve(&mut self, names: Vec<ServiceName>) {
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
    pub(super) async fn say(&mut self) {
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
            if offer.proven.mux_concurrency > 0 {
                mux.concurrency = mux.concurrency.min(offer.proven.mux_concurrency);
            }
            mux.concurrency = mux.usable_concurrency();
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

    pub(super) async fn set_budgets(&mut self) {
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

    pub(super) fn send_wants(&mut self) {
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
    pub(super) async fn give_up(&mut self, names: Vec<ServiceName>, reason: &'static str) {
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
    pub(super) async fn lose(&mut self, names: Vec<ServiceName>) {
        let told: Vec<ServiceName> = names
            .iter()
            .filter(|name| self.offers.get(*name).is_some_and(|offer| offer.told))
            .cloned()
            .collect();
        for name in &names {
            if let Some(offer) = self.offers.get_mut(name) {
                offer.told = false;
                offer.served = None;
            }
        }
        self.say().await;
        self.unregister(&told);
        self.report(Yielded(names)).await;
    }

    /// Whether the client believes that it serves this.
    pub(super) fn was_told(&self, name: &ServiceName) -> bool {
        self.offers.get(name).is_some_and(|offer| offer.told)
    }

    fn unregister(&mut self, names: &[ServiceName]) {
        if let (Some(carrier), false) = (&mut self.carrier, names.is_empty())
            && let Err(error) = carrier.driver.machine.unregister(now(), names)
        {
            tracing::debug!(session_id = %self.id, reason = %error, "the client was not told of dropped services");
        }
    }

    pub(super) async fn reload(&mut self) {
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
}
