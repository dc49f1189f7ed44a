//! The client's end of a control carrier.

mod assume;
mod handshake;
mod live;
mod offered;

use super::base::{Base, CommonEvent};
use super::message::unregister;
use super::noise::Seed;
use super::proof::Binding;
use super::wire::control::Message;
use super::{
    ClientConfig, ClientEvent, CloseReason, Closed, Features, Random, ResumptionTicket, ServiceOffer, SessionError,
};
use crate::model::ServiceName;
use bytes::Bytes;
use handshake::State;
use offered::Offered;
use std::time::{Duration, Instant};

/// The client's machine: one per connection, sans-IO.
///
/// After every call that takes `now`, drain [`Self::poll_transmit`] and [`Self::poll_event`], and call
/// [`Self::handle_timeout`] when [`Self::poll_timeout`] has passed. Source: `proto/SESSION.md`.
pub struct ClientSession {
    pub(super) base: Base<ClientEvent>,
    config: ClientConfig,
    state: State,
    /// For the ephemeral key of a full handshake.
    seed: Option<Seed>,
    features: Features,
    pub(super) binding: Binding,
    offered: Offered,
}

impl ClientSession {
    /// Begins a session; the first flight is ready for `poll_transmit` at once.
    ///
    /// `resume` is used if it is still valid and every service that it was given for is still offered as it was;
    /// what else is offered is registered once the session is up. If the server does not know the ticket any more,
    /// the machine goes on with a full handshake on the same connection.
    pub fn new(now: Instant, config: ClientConfig, resume: Option<ResumptionTicket>, random: &mut dyn Random) -> Self {
        let mut session = Self {
            base: Base::new(now + config.handshake_timeout),
            state: State::Start,
            seed: Some(Seed::draw(random)),
            features: Features::default(),
            binding: Binding::default(),
            offered: Offered::default(),
            config,
        };
        match resume.filter(|ticket| ticket.fits(now, &session.config.services)) {
            Some(ticket) => session.begin_resumption(ticket, Seed::draw(random)),
            None => session.begin_full(),
        }
        session
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

    /// What happened, in order. [`ClientEvent::Closed`] is the last.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
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

    /// Offers further services, or known ones with a new token, pool or version. Answered by
    /// [`ClientEvent::Registered`].
    ///
    /// # Errors
    /// Not established, going away, too many services or requests, a name twice: nothing was sent.
    pub fn register(&mut self, _now: Instant, services: Vec<ServiceOffer>) -> Result<(), SessionError> {
        self.base.check_open()?;
        let register = self.offered.register(services, &self.binding)?;
        if let Some(register) = register {
            self.base.send(Message::Register(register));
        }
        Ok(())
    }

    /// Drops services: nothing of them is said or wanted any more. Names that are not offered are skipped.
    ///
    /// # Errors
    /// Not established.
    pub fn unregister(&mut self, _now: Instant, services: &[ServiceName]) -> Result<(), SessionError> {
        self.base.check_established()?;
        let dropped = self.offered.drop(services);
        if !dropped.is_empty() {
            self.base.send(unregister(&dropped));
        }
        Ok(())
    }

    /// Pings outside the heartbeat; the answer is [`ClientEvent::Pong`].
    ///
    /// # Errors
    /// Not established.
    pub fn ping(&mut self, now: Instant) -> Result<(), SessionError> {
        self.base.ping(now)
    }

    /// Ends the session. With [`CloseReason::GoingAway`] the control carrier stays (pings go on) until the deadline
    /// or a second `close`; with any other reason, or before the session is up, it ends at once.
    pub fn close(&mut self, now: Instant, reason: CloseReason, deadline: Duration, text: &str) {
        self.base.close(now, reason, deadline, text);
    }

    /// Whether [`ClientEvent::Closed`] was or will be the next event; `poll_transmit` may still have bytes.
    pub fn is_closed(&self) -> bool {
        self.base.is_closed()
    }
}

impl CommonEvent for ClientEvent {
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
