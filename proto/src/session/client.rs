//! The client's end of a control carrier.

use super::{ClientConfig, ClientEvent, CloseReason, Random, ResumptionTicket, ServiceOffer, SessionError};
use crate::model::ServiceName;
use bytes::Bytes;
use std::time::{Duration, Instant};

/// The client's machine: one per connection, sans-IO.
///
/// After every call that takes `now`, drain [`Self::poll_transmit`] and [`Self::poll_event`], and call
/// [`Self::handle_timeout`] when [`Self::poll_timeout`] has passed. Source: `proto/SESSION.md`.
pub struct ClientSession {
    _private: (),
}

impl ClientSession {
    /// Begins a session; the first flight is ready for `poll_transmit` at once.
    ///
    /// `resume` is used if it is still valid and was given for exactly these services; if the server does not know
    /// it any more, the machine goes on with a full handshake on the same connection.
    pub fn new(now: Instant, config: ClientConfig, resume: Option<ResumptionTicket>, random: &mut dyn Random) -> Self {
        let _ = (now, config, resume, random);
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

    /// What happened, in order. [`ClientEvent::Closed`] is the last.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
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

    /// Offers further services, or known ones with a new token, pool or version. Answered by
    /// [`ClientEvent::Registered`].
    ///
    /// # Errors
    /// Not established, too many services or requests, a name twice: nothing was sent.
    pub fn register(&mut self, now: Instant, services: Vec<ServiceOffer>) -> Result<(), SessionError> {
        let _ = (now, services);
        unimplemented!()
    }

    /// Drops services: nothing of them is said or wanted any more. Names that are not offered are skipped.
    ///
    /// # Errors
    /// Not established.
    pub fn unregister(&mut self, now: Instant, services: &[ServiceName]) -> Result<(), SessionError> {
        let _ = (now, services);
        unimplemented!()
    }

    /// Pings outside the heartbeat; the answer is [`ClientEvent::Pong`].
    ///
    /// # Errors
    /// Not established.
    pub fn ping(&mut self, now: Instant) -> Result<(), SessionError> {
        let _ = now;
        unimplemented!()
    }

    /// Ends the session. With [`CloseReason::GoingAway`] the control carrier stays (pings go on) until the deadline
    /// or a second `close`; with any other reason, or before the session is up, it ends at once.
    pub fn close(&mut self, now: Instant, reason: CloseReason, deadline: Duration, text: &str) {
        let _ = (now, reason, deadline, text);
        unimplemented!()
    }

    /// Whether [`ClientEvent::Closed`] was or will be the next event; `poll_transmit` may still have bytes.
    pub fn is_closed(&self) -> bool {
        unimplemented!()
    }
}
