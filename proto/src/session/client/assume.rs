//! A live session without a handshake, for the fuzz bodies: nothing can be encrypted, so nothing is sent.

use super::ClientSession;
use super::handshake::State;
use crate::session::message::mux_number;
use crate::session::proof::{Prover, prove};
use crate::session::wire;
use std::time::Instant;

impl ClientSession {
    /// Acts as if the server had proven the first service and said nothing of the others.
    pub(in crate::session) fn assume_established(&mut self, now: Instant) {
        let offers = self.offered.offer_all(&self.config.services, &self.binding);
        let first = self.config.services.iter().zip(offers).next();
        let results = first.map(|(service, offer)| wire::Result {
            name: offer.name,
            outcome: wire::result::Outcome::Ok.into(),
            proof: prove(&service.token, Prover::Server, &self.binding, &service.name).to_vec(),
            mux_version: mux_number(service.mux_version),
            ..wire::Result::default()
        });
        let answered = self.offered.accepted(results.as_slice(), &self.binding);
        debug_assert!(answered.is_ok());
        self.state = State::Up;
        self.base.establish(now, self.config.heartbeat);
    }
}
