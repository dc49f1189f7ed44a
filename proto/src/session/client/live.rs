//! From Accept to the end at the client.

use super::ClientSession;
use super::handshake::State;
use super::offered::Wanted;
use crate::control::{CarrierKey, Epoch, SessionId};
use crate::session::message::{lane_from_wire, name, service_name, service_names};
use crate::session::wire::control::Message;
use crate::session::{
    ClientEstablished, ClientEvent, CloseCause, CloseReason, MAX_TICKET_BYTES, MAX_VOUCHERS_PER_WANT, ResumptionTicket,
    TICKET_LIFETIME, Violation, carrier, wire,
};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Shortest heartbeat that a server may ask for.
const MIN_HEARTBEAT: Duration = Duration::from_millis(10);

impl ClientSession {
    pub(in crate::session) fn handle_message(&mut self, now: Instant, message: Message) -> Result<(), Violation> {
        if matches!(self.state, State::Auth) {
            return match message {
                Message::Accept(accept) => self.handle_accept(now, accept),
                Message::Close(_) => self.base.handle_common(now, message).map(|_| ()),
                other => Err(Violation::Unexpected(name(&other))),
            };
        }
        match self.base.handle_common(now, message)? {
            None => Ok(()),
            Some(Message::Registered(registered)) => {
                let services = self.offered.registered(&registered, &self.binding)?;
                if !services.is_empty() {
                    self.base.events.push_back(ClientEvent::Registered { services });
                }
                Ok(())
            }
            Some(Message::Unregister(unregister)) => {
                let services = self.offered.dropped(&service_names(&unregister.services)?);
                if !services.is_empty() {
                    self.base.events.push_back(ClientEvent::Dropped { services });
                }
                Ok(())
            }
            Some(Message::Want(want)) => self.handle_want(&want),
            Some(Message::Ticket(ticket)) => self.handle_ticket(now, ticket),
            Some(other) => Err(Violation::Unexpected(name(&other))),
        }
    }

    fn handle_accept(&mut self, now: Instant, accept: wire::Accept) -> Result<(), Violation> {
        self.offered.accepted(&accept.services, &self.binding)?;
        if accept.session == 0 && accept.epoch == 0 && !self.offered.is_server_proven() {
            self.base.finish(CloseReason::ProtocolError, CloseCause::Rejected);
            return Ok(());
        }
        if !self.offered.is_server_proven() {
            return Err(Violation::ServerProof);
        }
        self.establish(now, accept, false)
    }

    /// Takes the answer to a resumption: confirms it, and registers what the ticket did not speak for.
    pub(super) fn handle_resumed(
        &mut self,
        now: Instant,
        ticket: &ResumptionTicket,
        accept: wire::Accept,
    ) -> Result<(), Violation> {
        self.offered.resume(&ticket.services);
        self.offered.accepted(&accept.services, &self.binding)?;
        self.establish(now, accept, true)?;
        // The server changes nothing before the first transport message.
        let _ = self.base.ping(now);
        let rest = self
            .config
            .services
            .iter()
            .filter(|offer| !self.offered.contains(&offer.name));
        let rest = rest.cloned().collect();
        // The rest is bounded by the configuration, which holds no more services than a session may have.
        if let Ok(Some(register)) = self.offered.register(rest, &self.binding) {
            self.base.send(Message::Register(register));
        }
        Ok(())
    }

    fn establish(&mut self, now: Instant, accept: wire::Accept, resumed: bool) -> Result<(), Violation> {
        let carrier_key = <[u8; 32]>::try_from(&accept.carrier_key[..]).map_err(|_| Violation::Field("carrier_key"))?;
        let heartbeat = Duration::from_millis(accept.heartbeat_ms.into());
        if heartbeat < MIN_HEARTBEAT {
            return Err(Violation::Field("heartbeat_ms"));
        }
        self.state = State::Up;
        self.base.establish(now, heartbeat.min(self.config.heartbeat));
        self.base.events.push_back(ClientEvent::Established(ClientEstablished {
            session: SessionId(accept.session),
            epoch: Epoch(accept.epoch),
            carrier_key: CarrierKey(carrier_key),
            resumed,
            features: self.features,
            max_carriers: accept.max_carriers,
            max_visitors: (accept.max_visitors > 0).then_some(accept.max_visitors),
            services: self.offered.statuses(&self.config.services),
        }));
        accept.ticket.map_or(Ok(()), |ticket| self.handle_ticket(now, ticket))
    }

    fn handle_want(&mut self, want: &wire::Want) -> Result<(), Violation> {
        if want.vouchers.len() > MAX_VOUCHERS_PER_WANT {
            return Err(Violation::TooManyVouchers);
        }
        let lane = lane_from_wire(want.lane)?;
        if lane != self.config.lane {
            return Err(Violation::WrongLane);
        }
        let service = service_name(&want.service)?;
        let vouchers = want.vouchers.iter().map(|bytes| carrier::voucher_from(bytes));
        let vouchers = vouchers
            .collect::<Option<Vec<_>>>()
            .ok_or(Violation::Field("vouchers"))?;
        if self.offered.wanted(&service)? == Wanted::Dial && !vouchers.is_empty() {
            self.base.events.push_back(ClientEvent::Want {
                service,
                lane,
                vouchers,
            });
        }
        Ok(())
    }

    fn handle_ticket(&mut self, now: Instant, ticket: wire::Ticket) -> Result<(), Violation> {
        let secret = <[u8; 32]>::try_from(&ticket.secret[..]).map_err(|_| Violation::Field("secret"))?;
        if ticket.ticket.is_empty() || ticket.ticket.len() > MAX_TICKET_BYTES {
            return Err(Violation::Field("ticket"));
        }
        let lifetime = Duration::from_secs(ticket.lifetime_s.into()).min(TICKET_LIFETIME);
        self.base.events.push_back(ClientEvent::Ticket(ResumptionTicket {
            ticket: ticket.ticket,
            secret: Zeroizing::new(secret),
            expires: now + lifetime,
            services: self.offered.granted(),
        }));
        Ok(())
    }
}
