//! The services of one session at the server.

use super::offer::{Checked, result};
use crate::model::{MAX_SERVICES, ServiceName};
use crate::session::message::mux_number;
use crate::session::proof::{Binding, ticket_tag};
use crate::session::{Grant, MAX_REGISTER_REQUESTS, ProvenService, Violation, wire};
use std::collections::BTreeMap;

/// What a session serves, waits for, and has asked about. At most [`MAX_SERVICES`] and
/// [`MAX_REGISTER_REQUESTS`].
#[derive(Default)]
pub(in crate::session) struct Held {
    services: BTreeMap<ServiceName, (Checked, Grant)>,
    requests: BTreeMap<u64, Request>,
}

/// A Register that the driver has not answered yet.
pub(in crate::session) struct Request {
    pub(in crate::session) offers: Vec<Checked>,
    /// Offers that the client has dropped since.
    pub(in crate::session) dropped: Vec<ServiceName>,
}

impl Held {
    /// Records the driver's grants for proven offers, in their order. Those at a limit are not held.
    pub(in crate::session) fn record(&mut self, offers: &[Checked], grants: &[Grant]) {
        let proven = offers.iter().filter(|offer| offer.token().is_some());
        for (index, offer) in proven.enumerate() {
            let name = offer.service.name.clone();
            match grants.get(index).copied().unwrap_or(Grant::Limit) {
                Grant::Limit => {
                    self.services.remove(&name);
                }
                grant => {
                    self.services.insert(name, (offer.clone(), grant));
                }
            }
        }
    }

    /// Whether the session has room for these offers.
    pub(in crate::session) fn has_room(&self, offers: &[Checked]) -> bool {
        let new = offers
            .iter()
            .filter(|offer| !self.services.contains_key(&offer.service.name))
            .count();
        let asked: usize = self.requests.values().map(|request| request.offers.len()).sum();
        self.services.len() + asked + new <= MAX_SERVICES
    }

    /// Keeps a question until it is answered.
    pub(in crate::session) fn ask(&mut self, request: u64, offers: Vec<Checked>) -> Result<(), Violation> {
        if self.requests.len() >= MAX_REGISTER_REQUESTS {
            return Err(Violation::TooManyRequests);
        }
        let question = Request {
            offers,
            dropped: Vec::new(),
        };
        if self.requests.insert(request, question).is_some() {
            return Err(Violation::Field("request"));
        }
        Ok(())
    }

    /// The question that is answered now.
    pub(in crate::session) fn answer(&mut self, request: u64) -> Option<Request> {
        self.requests.remove(&request)
    }

    /// The client drops services; says which were held. What is still asked about is dropped when it is answered.
    pub(in crate::session) fn drop(&mut self, names: &[ServiceName]) -> Vec<ServiceName> {
        for Request { offers, dropped } in self.requests.values_mut() {
            let asked = offers
                .iter()
                .map(|offer| &offer.service.name)
                .filter(|name| names.contains(name));
            dropped.extend(asked.cloned().collect::<Vec<_>>());
        }
        self.remove(names)
    }

    /// The server drops services; says which were held.
    pub(in crate::session) fn remove(&mut self, names: &[ServiceName]) -> Vec<ServiceName> {
        let removed = names.iter().filter(|name| self.services.remove(*name).is_some());
        removed.cloned().collect()
    }

    /// Turns taken services into granted ones; the messages that say so.
    pub(in crate::session) fn grant(&mut self, names: &[ServiceName], binding: &Binding) -> Vec<wire::Result> {
        let mut results = Vec::new();
        for name in names {
            if let Some((offer, grant)) = self.services.get_mut(name)
                && *grant == Grant::Taken
                && let Some(token) = offer.token()
            {
                *grant = Grant::Ok;
                results.push(result(offer, token, Grant::Ok, Some(binding)));
            }
        }
        results
    }

    pub(in crate::session) fn is_granted(&self, name: &ServiceName) -> bool {
        matches!(self.services.get(name), Some((_, Grant::Ok)))
    }

    /// The services that are granted.
    pub(in crate::session) fn granted(&self) -> impl Iterator<Item = &Checked> {
        let granted = self.services.values().filter(|(_, grant)| *grant == Grant::Ok);
        granted.map(|(offer, _)| offer)
    }

    pub(in crate::session) fn granted_services(&self) -> Vec<ProvenService> {
        self.granted().map(|offer| offer.service.clone()).collect()
    }

    /// The granted services as a ticket remembers them.
    pub(in crate::session) fn ticket_services(&self, binding: &Binding) -> Vec<wire::TicketService> {
        let proven = self.granted().filter_map(|offer| Some((offer, offer.token()?)));
        proven
            .map(|(offer, token)| wire::TicketService {
                name: offer.service.name.to_string(),
                connection_pool: offer.service.connection_pool,
                mux_concurrency: offer.service.mux_concurrency.into(),
                mux_version: mux_number(offer.asked),
                token_tag: ticket_tag(token, binding, &offer.service.name).to_vec(),
            })
            .collect()
    }
}
