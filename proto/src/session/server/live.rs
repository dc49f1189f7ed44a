//! From Auth to the end at the server: services, and what the driver decides about them.

use super::ServerSession;
use super::handshake::{State, write};
use super::offer::{Checked, check_offers, results};
use crate::control::{CarrierKey, InstanceId};
use crate::session::message::{VERSION, name, service_names};
use crate::session::random::random_bytes;
use crate::session::wire::control::Message;
use crate::session::{
    AuthRequest, CloseCause, CloseReason, Decision, Grant, MAX_MESSAGES_PER_SECOND, Random, ServerEstablished,
    ServerEvent, SessionError, TICKET_LIFETIME, Violation, wire,
};
use snow::HandshakeState;
use std::time::{Duration, Instant};

/// A client that waits for the driver's decision.
pub(super) struct Pending {
    pub(super) instance: InstanceId,
    pub(super) offers: Vec<Checked>,
    /// The handshake whose second message carries the answer, in a resumption.
    pub(super) resuming: Option<HandshakeState>,
}

/// Counts a client's messages in the current second.
pub(super) struct Flood {
    since: Instant,
    messages: u32,
}

impl Flood {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            messages: 0,
        }
    }

    pub(super) fn count(&mut self, now: Instant) -> Result<(), Violation> {
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            *self = Self::new(now);
        }
        self.messages += 1;
        if self.messages > MAX_MESSAGES_PER_SECOND {
            return Err(Violation::Flood);
        }
        Ok(())
    }
}

impl ServerSession {
    pub(in crate::session) fn handle_message(&mut self, now: Instant, message: Message) -> Result<(), Violation> {
        if let State::Auth { instance } = self.state {
            return match message {
                Message::Auth(auth) => self.handle_auth(instance, &auth),
                other => Err(Violation::Unexpected(name(&other))),
            };
        }
        if let State::Confirming(established) = std::mem::replace(&mut self.state, State::Up) {
            self.establish(now, *established);
        }
        match self.base.handle_common(now, message)? {
            None => Ok(()),
            Some(Message::Register(register)) => self.handle_register(register),
            Some(Message::Unregister(unregister)) => {
                let services = self.held.drop(&service_names(&unregister.services)?);
                if !services.is_empty() {
                    self.base.events.push_back(ServerEvent::Unregistered { services });
                }
                Ok(())
            }
            Some(other) => Err(Violation::Unexpected(name(&other))),
        }
    }

    fn handle_auth(&mut self, instance: InstanceId, auth: &wire::Auth) -> Result<(), Violation> {
        let offers = check_offers(&auth.services, &self.config.services, &self.binding)?;
        if offers.iter().all(|offer| offer.token().is_none()) {
            let accept = wire::Accept {
                services: results(&offers, &[], Some(&self.binding), false),
                ..wire::Accept::default()
            };
            self.base.send(Message::Accept(accept));
            self.base.finish(CloseReason::ProtocolError, CloseCause::Rejected);
            return Ok(());
        }
        self.ask(Pending {
            instance,
            offers,
            resuming: None,
        });
        Ok(())
    }

    /// Leaves a client to the driver, which has all the time it needs.
    pub(super) fn ask(&mut self, pending: Pending) {
        let (proven, refused): (Vec<_>, Vec<_>) = pending.offers.iter().partition(|offer| offer.token().is_some());
        let request = AuthRequest {
            instance: pending.instance,
            resumed: pending.resuming.is_some(),
            features: self.features,
            proven: proven.into_iter().map(|offer| offer.service.clone()).collect(),
            refused: refused.into_iter().map(|offer| offer.service.name.clone()).collect(),
        };
        self.base.events.push_back(ServerEvent::Authenticated(request));
        self.base.handshake_deadline = None;
        self.state = State::Deciding(Box::new(pending));
    }

    pub(super) fn answer_auth(
        &mut self,
        now: Instant,
        decision: &Decision,
        random: &mut dyn Random,
    ) -> Result<(), SessionError> {
        let pending = match std::mem::replace(&mut self.state, State::Up) {
            State::Deciding(pending) => *pending,
            other => {
                self.state = other;
                return Err(SessionError::NoSuchRequest);
            }
        };
        self.held.record(&pending.offers, &decision.grants);
        let carrier_key = CarrierKey(random_bytes(random));
        let binding = pending.resuming.is_none().then_some(&self.binding);
        let mut accept = wire::Accept {
            session: decision.session.0,
            epoch: decision.epoch.0,
            carrier_key: carrier_key.0.to_vec(),
            ticket: None,
            heartbeat_ms: u32::try_from(self.config.heartbeat.as_millis()).unwrap_or(u32::MAX),
            max_carriers: decision.max_carriers,
            max_visitors: decision.max_visitors.unwrap_or(0),
            services: results(&pending.offers, &decision.grants, binding, true),
        };
        let established = ServerEstablished {
            session: decision.session,
            epoch: decision.epoch,
            instance: pending.instance,
            carrier_key,
            resumed: pending.resuming.is_some(),
            features: self.features,
            services: self.held.granted_services(),
        };
        accept.ticket = self.make_ticket_for(now, pending.instance, random);
        match pending.resuming {
            Some(handshake) => self.answer_resumption(now, handshake, accept, established),
            None => {
                self.base.send(Message::Accept(accept));
                self.establish(now, established);
            }
        }
        Ok(())
    }

    fn answer_resumption(
        &mut self,
        now: Instant,
        mut handshake: HandshakeState,
        accept: wire::Accept,
        established: ServerEstablished,
    ) {
        let challenge = wire::Challenge {
            version: VERSION,
            features: self.features.0,
            refused: None,
            accept: Some(accept),
        };
        self.base.link.send_block(&write(&mut handshake, &challenge));
        self.binding = self.base.link.secure(handshake);
        self.base.handshake_deadline = Some(now + self.config.handshake_timeout);
        self.state = State::Confirming(Box::new(established));
    }

    fn establish(&mut self, now: Instant, established: ServerEstablished) {
        self.instance = established.instance;
        self.base.establish(now, self.config.heartbeat);
        self.base.events.push_back(ServerEvent::Established(established));
    }

    fn handle_register(&mut self, register: wire::Register) -> Result<(), Violation> {
        let offers = check_offers(&register.services, &self.config.services, &self.binding)?;
        let (proven, refused): (Vec<_>, Vec<_>) = offers.iter().partition(|offer| offer.token().is_some());
        let proven: Vec<_> = proven.into_iter().map(|offer| offer.service.clone()).collect();
        let has_room = self.held.has_room(&offers);
        // What was held and is not proven any more, or finds no room, is lost.
        let lost = refused
            .into_iter()
            .map(|offer| &offer.service)
            .chain(proven.iter().filter(|_| !has_room));
        let services = self
            .held
            .drop(&lost.map(|service| service.name.clone()).collect::<Vec<_>>());
        if !services.is_empty() {
            self.base.events.push_back(ServerEvent::Unregistered { services });
        }
        if proven.is_empty() || !has_room {
            self.send_registered(register.request, &offers, &[]);
            return Ok(());
        }
        self.held.ask(register.request, offers)?;
        self.base.events.push_back(ServerEvent::Registering {
            request: register.request,
            proven,
        });
        Ok(())
    }

    /// Answers a Register. The session has proven a service before, so that reasons may be named.
    pub(super) fn send_registered(&mut self, request: u64, offers: &[Checked], grants: &[Grant]) {
        self.held.record(offers, grants);
        let services = results(offers, grants, Some(&self.binding), true);
        self.base
            .send(Message::Registered(wire::Registered { request, services }));
    }

    pub(super) fn make_ticket(&self, now: Instant, random: &mut dyn Random) -> Option<wire::Ticket> {
        self.make_ticket_for(now, self.instance, random)
    }

    fn make_ticket_for(&self, now: Instant, instance: InstanceId, random: &mut dyn Random) -> Option<wire::Ticket> {
        let services = self.held.ticket_services(&self.binding);
        if services.is_empty() {
            return None;
        }
        let secret: [u8; 32] = random_bytes(random);
        let state = wire::TicketState {
            instance: instance.0.to_vec(),
            secret: secret.to_vec(),
            binding: self.binding.to_vec(),
            services,
            ..wire::TicketState::default()
        };
        Some(wire::Ticket {
            ticket: self.config.tickets.seal(now, state, random)?,
            secret: secret.to_vec(),
            lifetime_s: u32::try_from(TICKET_LIFETIME.as_secs()).unwrap_or(u32::MAX),
        })
    }
}
