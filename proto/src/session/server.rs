//! The server's end of a control carrier.

use super::{CloseReason, Decision, Grant, KnownServices, Random, ServerConfig, ServerEvent, SessionError};
use crate::control::Voucher;
use crate::model::{Lane, ServiceName};
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The server's machine: one per connection, sans-IO. Driven as [`super::ClientSession`] is.
///
/// Its first input is everything that was read so far, prefix included ([`super::carrier::First::Control`]).
pub struct ServerSession {
    _private: (),
}

impl ServerSession {
    /// Waits for a client's first flight.
    pub fn new(now: Instant, config: ServerConfig, random: &mut dyn Random) -> Self {
        let _ = (now, config, random);
        unimplemented!()
    }

    /// Takes bytes that were received, all of them.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        let _ = (now, bytes);
        unimplemented!()
    }

    /// The stream has ended or failed.
    pub fn handle_eof(&mut self, now: Instant) {
        let _ = now;
        unimplemented!()
    }

    /// Bytes to send, in order.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        unimplemented!()
    }

    /// What happened, in order. [`ServerEvent::Closed`] is the last.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        unimplemented!()
    }

    /// When `handle_timeout` has to be called next; may change with every other call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        unimplemented!()
    }

    /// Does what is due at `now`; harmless if nothing is.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
        unimplemented!()
    }

    /// Answers [`ServerEvent::Authenticated`]: carrier key, resumption secret and ticket are made from `random`.
    ///
    /// # Errors
    /// No such question is open (the client is gone, or it was answered).
    pub fn accept(&mut self, now: Instant, decision: Decision, random: &mut dyn Random) -> Result<(), SessionError> {
        let _ = (now, decision, random);
        unimplemented!()
    }

    /// Answers [`ServerEvent::Registering`]; grants as in [`Decision::grants`].
    ///
    /// # Errors
    /// No such question is open.
    pub fn answer_register(&mut self, now: Instant, request: u64, grants: &[Grant]) -> Result<(), SessionError> {
        let _ = (now, request, grants);
        unimplemented!()
    }

    /// Grants services that were answered with [`Grant::Taken`] and have come free. Others are skipped.
    ///
    /// # Errors
    /// Not established.
    pub fn grant(&mut self, now: Instant, services: &[ServiceName]) -> Result<(), SessionError> {
        let _ = (now, services);
        unimplemented!()
    }

    /// Drops services of the session (reload, take-over): tells the client. Unknown names are skipped.
    ///
    /// # Errors
    /// Not established.
    pub fn unregister(&mut self, now: Instant, services: &[ServiceName]) -> Result<(), SessionError> {
        let _ = (now, services);
        unimplemented!()
    }

    /// From now on Registers are checked against these services.
    pub fn set_services(&mut self, services: Arc<KnownServices>) {
        let _ = services;
        unimplemented!()
    }

    /// Asks the client for one carrier per voucher, at most [`super::MAX_VOUCHERS_PER_WANT`].
    ///
    /// # Errors
    /// Not established, going away, too many vouchers, or the service is not granted.
    pub fn want(
        &mut self,
        now: Instant,
        service: &ServiceName,
        lane: Lane,
        vouchers: &[Voucher],
    ) -> Result<(), SessionError> {
        let _ = (now, service, lane, vouchers);
        unimplemented!()
    }

    /// Gives the client a fresh ticket. The machine itself gives one with Accept, and another before that one
    /// expires is up to the driver ([`super::TICKET_LIFETIME`]).
    ///
    /// # Errors
    /// Not established, or the services do not fit into a ticket.
    pub fn send_ticket(&mut self, now: Instant, random: &mut dyn Random) -> Result<(), SessionError> {
        let _ = (now, random);
        unimplemented!()
    }

    /// Pings outside the heartbeat (is the holder of a service alive?); the answer is [`ServerEvent::Pong`].
    ///
    /// # Errors
    /// Not established.
    pub fn ping(&mut self, now: Instant) -> Result<(), SessionError> {
        let _ = now;
        unimplemented!()
    }

    /// Ends the session as [`super::ClientSession::close`] does.
    pub fn close(&mut self, now: Instant, reason: CloseReason, deadline: Duration, text: &str) {
        let _ = (now, reason, deadline, text);
        unimplemented!()
    }

    /// Whether [`ServerEvent::Closed`] was or will be the next event; `poll_transmit` may still have bytes.
    pub fn is_closed(&self) -> bool {
        unimplemented!()
    }
}
