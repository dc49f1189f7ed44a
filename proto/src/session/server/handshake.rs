//! From the first byte to Auth at the server (`proto/SESSION.md`, Handshake and Resumption).

use super::ServerSession;
use super::live::Pending;
use super::offer::{Checked, check_ticket};
use crate::control::InstanceId;
use crate::session::carrier::{PREFIX_BYTES, PREFIX_CONTROL, PREFIX_RESUME};
use crate::session::link::FRAME_HEADER_BYTES;
use crate::session::message::{VERSION, instance};
use crate::session::noise::{MAX_NOISE_BYTES, Role, full, resume};
use crate::session::{
    CloseCause, CloseReason, Features, MAX_HELLO_BYTES, MAX_TICKET_BYTES, ServerEstablished, Violation, wire,
};
use prost::Message as _;
use snow::HandshakeState;
use std::time::Instant;

/// Where a connection stands.
pub(super) enum State {
    /// Waits for the prefix; a second time, after a ticket was refused, only for that of a full handshake.
    Prefix { may_resume: bool },
    /// Waits for the Hello of a full handshake.
    Hello,
    /// Waits for ticket and Hello of a resumption.
    Ticket,
    /// Waits for Auth.
    Auth { instance: InstanceId },
    /// Waits for the driver.
    Deciding(Box<Pending>),
    /// Waits for the first transport message of a client that resumes: until then nothing has changed.
    Confirming(Box<ServerEstablished>),
    /// The session is up.
    Up,
}

impl ServerSession {
    /// Does one thing with what was received; false if there is too little for it.
    pub(super) fn step(&mut self, now: Instant) -> Result<bool, Violation> {
        match self.state {
            State::Prefix { may_resume } => self.read_prefix(may_resume),
            State::Hello => self.read_hello(),
            State::Ticket => self.read_ticket(now),
            State::Deciding(_) if self.base.link.pending().is_empty() => Ok(false),
            State::Deciding(_) => Err(Violation::Unexpected("bytes before Accept")),
            State::Auth { .. } | State::Confirming(_) | State::Up => {
                let Some(message) = self.base.link.message()? else {
                    return Ok(false);
                };
                self.flood.count(now)?;
                if let Some(message) = message.message {
                    self.handle_message(now, message)?;
                }
                Ok(true)
            }
        }
    }

    fn read_prefix(&mut self, may_resume: bool) -> Result<bool, Violation> {
        let pending = self.base.link.pending();
        let begins = |prefix: [u8; PREFIX_BYTES]| pending.iter().zip(prefix).all(|(byte, wanted)| *byte == wanted);
        if !(begins(PREFIX_CONTROL) || may_resume && begins(PREFIX_RESUME)) {
            return Err(Violation::BadPrefix);
        }
        if pending.len() < PREFIX_BYTES {
            return Ok(false);
        }
        self.state = if begins(PREFIX_CONTROL) {
            State::Hello
        } else {
            State::Ticket
        };
        self.base.link.consume(PREFIX_BYTES);
        Ok(true)
    }

    fn read_hello(&mut self) -> Result<bool, Violation> {
        let Some(frame) = self.base.link.block(MAX_HELLO_BYTES, Violation::HandshakeTooLong)? else {
            return Ok(false);
        };
        let seed = self.seed.take().ok_or(Violation::Unexpected("Hello"))?;
        let mut handshake = full(Role::Responder, &PREFIX_CONTROL, seed);
        let hello = read_hello(&mut handshake, &frame)?;
        let instance = instance(&hello.instance)?;
        let Some(challenge) = self.choose(&mut handshake, &hello)? else {
            return Ok(false);
        };
        self.base.link.send_block(&write(&mut handshake, &challenge));
        self.binding = self.base.link.secure(handshake);
        self.state = State::Auth { instance };
        Ok(true)
    }

    fn read_ticket(&mut self, now: Instant) -> Result<bool, Violation> {
        let Some((ticket, hello_length)) = self.peek_resumption()? else {
            return Ok(false);
        };
        let opened = self.config.tickets.open(now, &ticket);
        let prologue = self.base.link.pending()[..FRAME_HEADER_BYTES + ticket.len()].to_vec();
        self.base.link.consume(prologue.len());
        let frame = self
            .base
            .link
            .block(hello_length, Violation::HandshakeTooLong)?
            .unwrap_or_default();
        let resumed = opened.and_then(|ticket| Some((check_ticket(&ticket, &self.config.services)?, ticket)));
        let Some((offers, ticket)) = resumed.filter(|(offers, _)| !offers.is_empty()) else {
            return Ok(self.refuse_ticket());
        };
        self.resume(now, &[&PREFIX_RESUME, &prologue[..]].concat(), &frame, &ticket, offers)
    }

    /// Ticket and length of the Hello, once both are complete; nothing is consumed.
    fn peek_resumption(&self) -> Result<Option<(Vec<u8>, usize)>, Violation> {
        let Some((ticket, rest)) = peek_block(self.base.link.pending(), MAX_TICKET_BYTES, Violation::TicketTooLong)?
        else {
            return Ok(None);
        };
        let hello = peek_block(rest, MAX_HELLO_BYTES, Violation::HandshakeTooLong)?;
        Ok(hello.map(|(hello, _)| (ticket.to_vec(), hello.len())))
    }

    fn resume(
        &mut self,
        now: Instant,
        prologue: &[u8],
        frame: &[u8],
        ticket: &wire::TicketState,
        offers: Vec<Checked>,
    ) -> Result<bool, Violation> {
        let Ok(secret) = <[u8; 32]>::try_from(&ticket.secret[..]) else {
            return Ok(self.refuse_ticket());
        };
        // The seed is cloned: a ticket that turns out to be used leaves it to the full handshake, and this key was
        // not shown to anybody.
        let seed = self.seed.clone().ok_or(Violation::Unexpected("ticket"))?;
        let mut handshake = resume(Role::Responder, prologue, seed, &secret);
        let hello = read_hello(&mut handshake, frame)?;
        let instance = instance(&hello.instance)?;
        if instance.0[..] != ticket.instance[..] {
            return Err(Violation::ForeignTicket);
        }
        if !self.config.tickets.redeem(now, ticket) {
            return Ok(self.refuse_ticket());
        }
        if self.choose(&mut handshake, &hello)?.is_none() {
            return Ok(false);
        }
        self.binding.copy_from_slice(handshake.get_handshake_hash());
        self.ask(Pending {
            instance,
            offers,
            resuming: Some(handshake),
        });
        Ok(true)
    }

    /// Says, in clear, that a full handshake has to follow on this connection.
    fn refuse_ticket(&mut self) -> bool {
        self.base.link.send_block(&[]);
        self.state = State::Prefix { may_resume: false };
        true
    }

    /// Chooses features. If version or features do not fit, says so in the Challenge and ends.
    fn choose(
        &mut self,
        handshake: &mut HandshakeState,
        hello: &wire::Hello,
    ) -> Result<Option<wire::Challenge>, Violation> {
        let (theirs, required) = (Features(hello.features), Features(hello.required));
        let missing = required.without(self.config.features) | Features::of_lane(self.config.lane).without(theirs);
        let violation = if hello.version != VERSION {
            Some(Violation::Version(hello.version))
        } else if !missing.is_empty() {
            Some(Violation::RequiredFeatures(missing.0))
        } else {
            None
        };
        let Some(violation) = violation else {
            self.features = theirs & self.config.features;
            return Ok(Some(wire::Challenge {
                version: VERSION,
                features: self.features.0,
                ..wire::Challenge::default()
            }));
        };
        let refusal = wire::Challenge {
            version: VERSION,
            refused: Some(wire::Refused {
                features: missing.0,
                text: violation.to_string(),
            }),
            ..wire::Challenge::default()
        };
        self.base.link.send_block(&write(handshake, &refusal));
        self.base
            .finish(CloseReason::ProtocolError, CloseCause::Violation(violation));
        Ok(None)
    }
}

/// Writes the second handshake message.
pub(super) fn write(handshake: &mut HandshakeState, challenge: &wire::Challenge) -> Vec<u8> {
    let mut frame = vec![0; MAX_NOISE_BYTES];
    let length = handshake
        .write_message(&challenge.encode_to_vec(), &mut frame)
        .expect("it is the responder's turn, and the Challenge is bounded");
    frame.truncate(length);
    frame
}

fn read_hello(handshake: &mut HandshakeState, frame: &[u8]) -> Result<wire::Hello, Violation> {
    let mut payload = [0; MAX_HELLO_BYTES];
    let length = handshake
        .read_message(frame, &mut payload)
        .map_err(|_| Violation::Decrypt)?;
    wire::Hello::decode(&payload[..length]).map_err(|_| Violation::Malformed)
}

/// A block's content, and what follows it.
type Block<'a> = (&'a [u8], &'a [u8]);

/// The block at the beginning of `bytes` and what follows it; `None` if it is incomplete.
fn peek_block(bytes: &[u8], longest: usize, too_long: Violation) -> Result<Option<Block<'_>>, Violation> {
    let Some((length, rest)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes(*length));
    if length > longest {
        return Err(too_long);
    }
    Ok(rest.split_at_checked(length))
}
