//! The services of one session at the client.

use crate::model::{MAX_SERVICES, ServiceName};
use crate::session::message::{kind_to_wire, mux_number, outcome_from_wire};
use crate::session::proof::{Binding, Prover, check, prove};
use crate::session::{
    MAX_REGISTER_REQUESTS, ServiceOffer, ServiceOutcome, ServiceStatus, SessionError, Violation, wire,
};
use std::collections::BTreeMap;

/// Number of the question that Auth is; Registers count from 1.
const AUTH: u64 = 0;

/// What was offered, and what became of it. At most [`MAX_SERVICES`] and [`MAX_REGISTER_REQUESTS`].
#[derive(Default)]
pub(in crate::session) struct Offered {
    services: BTreeMap<ServiceName, Service>,
    requests: BTreeMap<u64, Vec<ServiceName>>,
    last_request: u64,
}

struct Service {
    offer: ServiceOffer,
    /// The server has the token too: it has proven so in this session, or it knows the secret of a ticket.
    server_proven: bool,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waits for the answer to this question.
    Asked(u64),
    Answered(ServiceOutcome),
}

/// What a session does about a Want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum Wanted {
    Dial,
    /// It crossed a Register or Unregister.
    Ignore,
}

impl Offered {
    /// Begins with these services; the offers of Auth.
    pub(in crate::session) fn offer_all(&mut self, offers: &[ServiceOffer], binding: &Binding) -> Vec<wire::Offer> {
        self.ask(AUTH, offers.to_vec(), binding)
    }

    /// Begins with the services of a ticket, which both ends have proven already.
    pub(in crate::session) fn resume(&mut self, offers: &[ServiceOffer]) {
        for offer in offers {
            let service = Service {
                offer: offer.clone(),
                server_proven: true,
                state: State::Asked(AUTH),
            };
            self.services.insert(offer.name.clone(), service);
        }
    }

    /// The Register for further offers; `None` if there are none.
    pub(in crate::session) fn register(
        &mut self,
        offers: Vec<ServiceOffer>,
        binding: &Binding,
    ) -> Result<Option<wire::Register>, SessionError> {
        if offers.is_empty() {
            return Ok(None);
        }
        let mut names: Vec<_> = offers.iter().map(|offer| offer.name.clone()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(SessionError::Duplicate);
        }
        let new = names.iter().filter(|name| !self.services.contains_key(*name)).count();
        if self.services.len() + new > MAX_SERVICES || self.requests.len() >= MAX_REGISTER_REQUESTS {
            return Err(SessionError::Limit);
        }
        self.last_request += 1;
        let request = self.last_request;
        self.requests.insert(request, names);
        let services = self.ask(request, offers, binding);
        Ok(Some(wire::Register { request, services }))
    }

    fn ask(&mut self, request: u64, offers: Vec<ServiceOffer>, binding: &Binding) -> Vec<wire::Offer> {
        let mut asked = Vec::with_capacity(offers.len());
        for offer in offers {
            asked.push(wire::Offer {
                name: offer.name.to_string(),
                kind: kind_to_wire(offer.kind).into(),
                proof: prove(&offer.token, Prover::Client, binding, &offer.name).to_vec(),
                connection_pool: offer.connection_pool,
                mux_concurrency: offer.mux_concurrency.into(),
                mux_version: mux_number(offer.mux_version),
            });
            let service = Service {
                server_proven: false,
                state: State::Asked(request),
                offer,
            };
            self.services.insert(service.offer.name.clone(), service);
        }
        asked
    }

    /// Takes the answer to Auth.
    pub(in crate::session) fn accepted(
        &mut self,
        results: &[wire::Result],
        binding: &Binding,
    ) -> Result<(), Violation> {
        let names: Vec<_> = self.services.keys().cloned().collect();
        self.answer(AUTH, &names, results, binding).map(|_| ())
    }

    /// Takes the answer to a Register, or news of taken services.
    pub(in crate::session) fn registered(
        &mut self,
        registered: &wire::Registered,
        binding: &Binding,
    ) -> Result<Vec<ServiceStatus>, Violation> {
        if registered.request == AUTH {
            return self.news(&registered.services, binding);
        }
        let names = self
            .requests
            .remove(&registered.request)
            .ok_or(Violation::UnknownRequest)?;
        self.answer(registered.request, &names, &registered.services, binding)
    }

    fn answer(
        &mut self,
        request: u64,
        names: &[ServiceName],
        results: &[wire::Result],
        binding: &Binding,
    ) -> Result<Vec<ServiceStatus>, Violation> {
        let results = by_name(results)?;
        let mut statuses = Vec::with_capacity(names.len());
        for name in names {
            // Dropped or offered anew in the meantime: the answer is to a question that nobody asks any more.
            let Some(service) = self
                .services
                .get_mut(name)
                .filter(|service| service.state == State::Asked(request))
            else {
                continue;
            };
            // A service that the answer leaves out is refused.
            let refused = wire::Result::default();
            let result = results.get(&**name).copied().unwrap_or(&refused);
            statuses.push(service.answer(result, binding)?);
        }
        Ok(statuses)
    }

    /// Services that were taken and have come free.
    fn news(&mut self, results: &[wire::Result], binding: &Binding) -> Result<Vec<ServiceStatus>, Violation> {
        let mut statuses = Vec::new();
        for (name, result) in by_name(results)? {
            if let Some(service) = self.services.get_mut(name)
                && service.state == State::Answered(ServiceOutcome::Taken)
            {
                statuses.push(service.answer(result, binding)?);
            }
        }
        Ok(statuses)
    }

    /// Drops services; says which were offered.
    pub(in crate::session) fn drop(&mut self, names: &[ServiceName]) -> Vec<ServiceName> {
        let removed = names.iter().filter(|name| self.services.remove(*name).is_some());
        removed.cloned().collect()
    }

    /// The server drops services; says which it had or would have. What is being asked about is answered later.
    pub(in crate::session) fn dropped(&mut self, names: &[ServiceName]) -> Vec<ServiceName> {
        let answered = |name: &ServiceName| {
            let service = self.services.get(name);
            service.is_some_and(|service| matches!(service.state, State::Answered(_)))
        };
        let names: Vec<_> = names.iter().filter(|name| answered(name)).cloned().collect();
        self.drop(&names)
    }

    /// What to do about a Want. Nothing is ever dialled for a service that the server has not proven.
    pub(in crate::session) fn wanted(&self, name: &ServiceName) -> Result<Wanted, Violation> {
        match self.services.get(name).map(|service| service.state) {
            None | Some(State::Asked(_)) => Ok(Wanted::Ignore),
            Some(State::Answered(ServiceOutcome::Ok { .. })) => Ok(Wanted::Dial),
            Some(State::Answered(_)) => Err(Violation::UnprovenService),
        }
    }

    /// Whether the server has proven at least one service.
    pub(in crate::session) fn is_server_proven(&self) -> bool {
        self.services.values().any(|service| service.server_proven)
    }

    /// Outcomes in the order of `offers`, of those that are answered.
    pub(in crate::session) fn statuses(&self, offers: &[ServiceOffer]) -> Vec<ServiceStatus> {
        let answered = offers
            .iter()
            .filter_map(|offer| match self.services.get(&offer.name)?.state {
                State::Answered(outcome) => Some(ServiceStatus {
                    name: offer.name.clone(),
                    outcome,
                }),
                State::Asked(_) => None,
            });
        answered.collect()
    }

    /// The offers that a ticket given now speaks for.
    pub(in crate::session) fn granted(&self) -> Vec<ServiceOffer> {
        let granted = |service: &&Service| matches!(service.state, State::Answered(ServiceOutcome::Ok { .. }));
        self.services
            .values()
            .filter(granted)
            .map(|service| service.offer.clone())
            .collect()
    }

    pub(in crate::session) fn contains(&self, name: &ServiceName) -> bool {
        self.services.contains_key(name)
    }
}

impl Service {
    fn answer(&mut self, result: &wire::Result, binding: &Binding) -> Result<ServiceStatus, Violation> {
        let mut outcome = outcome_from_wire(result)?;
        let name = &self.offer.name;
        if !matches!(outcome, ServiceOutcome::Refused(_)) && !self.server_proven {
            self.server_proven = check(&self.offer.token, Prover::Server, binding, name, &result.proof);
            if !self.server_proven {
                outcome = ServiceOutcome::ServerUnproven;
            }
        }
        if let ServiceOutcome::Ok { mux_version } = outcome
            && mux_version > self.offer.mux_version
        {
            return Err(Violation::Field("mux_version"));
        }
        self.state = State::Answered(outcome);
        Ok(ServiceStatus {
            name: name.clone(),
            outcome,
        })
    }
}

fn by_name(results: &[wire::Result]) -> Result<BTreeMap<&str, &wire::Result>, Violation> {
    if results.len() > MAX_SERVICES {
        return Err(Violation::TooManyServices);
    }
    let by_name: BTreeMap<_, _> = results.iter().map(|result| (result.name.as_str(), result)).collect();
    if by_name.len() != results.len() {
        return Err(Violation::DuplicateService);
    }
    Ok(by_name)
}
