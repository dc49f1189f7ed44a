//! The server's end of a control carrier.

mod assume;
mod handshake;
mod held;
mod live;
mod offer;

use super::base::{Base, CommonEvent};
use super::message::{lane_to_wire, unregister};
use super::noise::Seed;
use super::proof::Binding;
use super::wire::control::Message;
use super::{
    CloseReason, Closed, Decision, Features, Grant, KnownServices, MAX_VOUCHERS_PER_WANT, Random, ServerConfig,
    ServerEvent, SessionError, carrier, wire,
};
use crate::control::{InstanceId, Voucher};
use crate::model::{Lane, ServiceName};
use bytes::Bytes;
use handshake::State;
use held::Held;
use live::Flood;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The server's machine: one per connection, sans-IO. Driven as [`super::ClientSession`] is.
///
/// Its first input is everything that was read so far, prefix included ([`super::carrier::First::Control`]).
pub struct ServerSession {
    pub(super) base: Base<ServerEvent>,
    config: ServerConfig,
    state: State,
    /// For the one ephemeral key of the handshake.
    seed: Option<Seed>,
    features: Features,
    pub(super) binding: Binding,
    /// The client's process, once the session is up.
    instance: InstanceId,
    held: Held,
    flood: Flood,
}

impl ServerSession {
    /// Waits for a client's first flight.
    pub fn new(now: Instant, config: ServerConfig, random: &mut dyn Random) -> Self {
        Self {
            base: Base::new(now + config.handshake_timeout),
            config,
            state: State::Prefix { may_resume: true },
            seed: Some(Seed::draw(random)),
            features: Features::default(),
            binding: Binding::default(),
            instance: InstanceId([0; 16]),
            held: Held::default(),
            flood: Flood::new(now),
        }
    }

    /// Takes bytes that were received, all of them.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        if !self.base.receive(now, bytes) {
            return;
        }
        while !self.base.is_closed() {
            match self.step(now) {
                Ok(true) => {}
                Ok(false) => break,
                Err(violation) => self.base.fail(violation),
            }
        }
    }

    /// The stream has ended or failed.
    pub fn handle_eof(&mut self, _now: Instant) {
        self.base.handle_eof();
    }

    /// Bytes to send, in order.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.base.link.poll_transmit()
    }

    /// What happened, in order. [`ServerEvent::Closed`] is the last.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.base.events.pop_front()
    }

    /// When `handle_timeout` has to be called next; may change with every other call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.base.poll_timeout()
    }

    /// Does what is due at `now`; harmless if nothing is.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.base.handle_timeout(now);
    }

    /// Answers [`ServerEvent::Authenticated`]: carrier key, resumption secret and ticket are made from `random`.
    ///
    /// # Errors
    /// No such question is open (the client is gone, or it was answered).
    pub fn accept(&mut self, now: Instant, decision: Decision, random: &mut dyn Random) -> Result<(), SessionError> {
        if self.base.is_closed() {
            return Err(SessionError::NoSuchRequest);
        }
        self.answer_auth(now, &decision, random)
    }

    /// Answers [`ServerEvent::Registering`]; grants as in [`Decision::grants`].
    ///
    /// # Errors
    /// No such question is open.
    pub fn answer_register(&mut self, _now: Instant, request: u64, grants: &[Grant]) -> Result<(), SessionError> {
        self.base.check_established()?;
        let question = self.held.answer(request).ok_or(SessionError::NoSuchRequest)?;
        self.send_registered(request, &question.offers, grants);
        let services = self.held.remove(&question.dropped);
        if !services.is_empty() {
            self.base.events.push_back(ServerEvent::Unregistered { services });
        }
        Ok(())
    }

    /// Grants services that were answered with [`Grant::Taken`] and have come free. Others are skipped.
    ///
    /// # Errors
    /// Not established.
    pub fn grant(&mut self, _now: Instant, services: &[ServiceName]) -> Result<(), SessionError> {
        self.base.check_established()?;
        let services = self.held.grant(services, &self.binding);
        if !services.is_empty() {
            self.base
                .send(Message::Registered(wire::Registered { request: 0, services }));
        }
        Ok(())
    }

    /// Drops services of the session (reload, take-over): tells the client. Unknown names are skipped.
    ///
    /// # Errors
    /// Not established.
    pub fn unregister(&mut self, _now: Instant, services: &[ServiceName]) -> Result<(), SessionError> {
        self.base.check_established()?;
        let dropped = self.held.remove(services);
        if !dropped.is_empty() {
            self.base.send(unregister(&dropped));
        }
        Ok(())
    }

    /// From now on Registers are checked against these services.
    pub fn set_services(&mut self, services: Arc<KnownServices>) {
        self.config.services = services;
    }

    /// Asks the client for one carrier per voucher, at most [`MAX_VOUCHERS_PER_WANT`].
    ///
    /// # Errors
    /// Not established, going away, too many vouchers, or the service is not granted.
    pub fn want(
        &mut self,
        _now: Instant,
        service: &ServiceName,
        lane: Lane,
        vouchers: &[Voucher],
    ) -> Result<(), SessionError> {
        self.base.check_open()?;
        if vouchers.len() > MAX_VOUCHERS_PER_WANT {
            return Err(SessionError::Limit);
        }
        if !self.held.is_granted(service) {
            return Err(SessionError::NotGranted);
        }
        if !vouchers.is_empty() {
            self.base.send(Message::Want(wire::Want {
                service: service.to_string(),
                lane: lane_to_wire(lane).into(),
                vouchers: vouchers
                    .iter()
                    .map(|voucher| carrier::voucher_bytes(voucher).to_vec())
                    .collect(),
            }));
        }
        Ok(())
    }

    /// Gives the client a fresh ticket for the services that it has now. The machine itself gives one with Accept;
    /// another before that one expires ([`super::TICKET_LIFETIME`]) or after a Register is up to the driver.
    ///
    /// # Errors
    /// Not established, or the services do not fit into a ticket.
    pub fn send_ticket(&mut self, now: Instant, random: &mut dyn Random) -> Result<(), SessionError> {
        self.base.check_open()?;
        let ticket = self.make_ticket(now, random).ok_or(SessionError::NoTicket)?;
        self.base.send(Message::Ticket(ticket));
        Ok(())
    }

    /// Pings outside the heartbeat (is the holder of a service alive?); the answer is [`ServerEvent::Pong`].
    ///
    /// # Errors
    /// Not established.
    pub fn ping(&mut self, now: Instant) -> Result<(), SessionError> {
        self.base.ping(now)
    }

    /// Ends the session as [`super::ClientSession::close`] does.
    pub fn close(&mut self, now: Instant, reason: CloseReason, deadline: Duration, text: &str) {
        self.base.close(now, reason, deadline, text);
    }

    /// Whether [`ServerEvent::Closed`] was or will be the next event; `poll_transmit` may still have bytes.
    pub fn is_closed(&self) -> bool {
        self.base.is_closed()
    }
}

impl CommonEvent for ServerEvent {
    fn closed(closed: Closed) -> Self {
        Self::Closed(closed)
    }

    fn pong(rtt: Duration) -> Self {
        Self::Pong { rtt }
    }

    fn peer_closing(reason: CloseReason, deadline: Duration, text: String) -> Self {
        Self::PeerClosing { reason, deadline, text }
    }
}
