//! From the first byte to Accept at the client (`proto/SESSION.md`, Handshake and Resumption).

use super::ClientSession;
use crate::session::base::clean;
use crate::session::carrier::{PREFIX_CONTROL, PREFIX_RESUME};
use crate::session::message::VERSION;
use crate::session::noise::{MAX_NOISE_BYTES, Role, Seed, full, resume};
use crate::session::wire::control::Message;
use crate::session::{CloseCause, CloseReason, Features, MAX_HELLO_BYTES, ResumptionTicket, Violation, wire};
use prost::Message as _;
use snow::HandshakeState;
use std::time::Instant;

/// Where a connection stands.
pub(super) enum State {
    /// Nothing was sent. Only while the machine is made, and after its handshake has failed.
    Start,
    /// Waits for the Challenge of a full handshake.
    Hello(Box<HandshakeState>),
    /// Waits for the Challenge of a resumption, or for the word that a full handshake is needed.
    Resuming(Box<HandshakeState>, Box<ResumptionTicket>),
    /// Waits for Accept.
    Auth,
    /// The session is up.
    Up,
}

impl ClientSession {
    /// Sends the Hello of a full handshake.
    pub(super) fn begin_full(&mut self) {
        // The seed is there: a connection makes one full handshake.
        let Some(seed) = self.seed.take() else {
            return;
        };
        let mut handshake = full(Role::Initiator, &PREFIX_CONTROL, seed);
        self.base.link.send_raw(PREFIX_CONTROL.to_vec());
        let hello = self.hello(&mut handshake);
        self.base.link.send_block(&hello);
        self.state = State::Hello(Box::new(handshake));
    }

    /// Sends ticket and Hello of a resumption.
    pub(super) fn begin_resumption(&mut self, ticket: ResumptionTicket, seed: Seed) {
        let length = u16::try_from(ticket.ticket.len()).expect("a ticket's length was checked when it came");
        let clear = [&PREFIX_RESUME[..], &length.to_be_bytes(), &ticket.ticket].concat();
        let mut handshake = resume(Role::Initiator, &clear, seed, &ticket.secret);
        self.base.link.send_raw(clear);
        let hello = self.hello(&mut handshake);
        self.base.link.send_block(&hello);
        self.state = State::Resuming(Box::new(handshake), Box::new(ticket));
    }

    fn hello(&self, handshake: &mut HandshakeState) -> Vec<u8> {
        let hello = wire::Hello {
            version: VERSION,
            instance: self.config.instance.0.to_vec(),
            features: self.config.features.0,
            required: Features::of_lane(self.config.lane).0,
        };
        let mut frame = vec![0; MAX_HELLO_BYTES];
        let length = handshake
            .write_message(&hello.encode_to_vec(), &mut frame)
            .expect("it is the initiator's turn, and the Hello is short");
        frame.truncate(length);
        frame
    }

    /// Does one thing with what was received; false if there is too little for it.
    pub(super) fn step(&mut self, now: Instant) -> Result<bool, Violation> {
        match &self.state {
            State::Start => Err(Violation::Unexpected("bytes")),
            State::Hello(_) | State::Resuming(..) => {
                let Some(frame) = self.base.link.block(MAX_NOISE_BYTES, Violation::HandshakeTooLong)? else {
                    return Ok(false);
                };
                self.handle_challenge(now, &frame)?;
                Ok(true)
            }
            State::Auth | State::Up => {
                let Some(message) = self.base.link.message()? else {
                    return Ok(false);
                };
                if let Some(message) = message.message {
                    self.handle_message(now, message)?;
                }
                Ok(true)
            }
        }
    }

    fn handle_challenge(&mut self, now: Instant, frame: &[u8]) -> Result<(), Violation> {
        let (mut handshake, ticket) = match std::mem::replace(&mut self.state, State::Start) {
            State::Hello(handshake) => (handshake, None),
            State::Resuming(..) if frame.is_empty() => {
                self.begin_full();
                return Ok(());
            }
            State::Resuming(handshake, ticket) => (handshake, Some(ticket)),
            State::Start | State::Auth | State::Up => return Err(Violation::Unexpected("Challenge")),
        };
        let mut payload = vec![0; MAX_NOISE_BYTES];
        let length = handshake
            .read_message(frame, &mut payload)
            .map_err(|_| Violation::Decrypt)?;
        let challenge = wire::Challenge::decode(&payload[..length]).map_err(|_| Violation::Malformed)?;
        if let Some(refused) = challenge.refused {
            self.base
                .finish(CloseReason::ProtocolError, CloseCause::Refused(clean(&refused.text)));
            return Ok(());
        }
        self.features = self.chosen(challenge.version, Features(challenge.features))?;
        self.binding = self.base.link.secure(*handshake);
        match (ticket, challenge.accept) {
            (None, None) => self.send_auth(),
            (Some(ticket), Some(accept)) => self.handle_resumed(now, &ticket, accept),
            (None, Some(_)) => Err(Violation::Unexpected("Accept")),
            (Some(_), None) => Err(Violation::Field("accept")),
        }
    }

    /// Checks what the server chose.
    fn chosen(&self, version: u32, chosen: Features) -> Result<Features, Violation> {
        let not_offered = chosen.without(self.config.features);
        let missing = Features::of_lane(self.config.lane).without(chosen);
        if version != VERSION {
            Err(Violation::Version(version))
        } else if !not_offered.is_empty() {
            Err(Violation::FeaturesNotOffered(not_offered.0))
        } else if !missing.is_empty() {
            Err(Violation::RequiredFeatures(missing.0))
        } else {
            Ok(chosen)
        }
    }

    fn send_auth(&mut self) -> Result<(), Violation> {
        let services = self.offered.offer_all(&self.config.services, &self.binding);
        self.base.send(Message::Auth(wire::Auth { services }));
        self.state = State::Auth;
        Ok(())
    }
}
