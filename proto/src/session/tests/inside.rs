//! What tests do to machines from the inside: speak as a liar, read as an impostor.

use crate::model::Token;
use crate::session::proof::{Prover, prove};
use crate::session::wire::control::Message;
use crate::session::{ClientSession, ServerSession};
use std::time::Instant;

impl ServerSession {
    /// Sends a message that the machine itself would not send.
    pub(super) fn send_for_tests(&mut self, message: Message) {
        self.base.link.send(message);
    }

    /// Decrypts a message without acting on it.
    pub(super) fn read_for_tests(&mut self, bytes: &[u8]) -> Message {
        self.base.link.receive(bytes);
        self.base.link.message().unwrap().unwrap().message.unwrap()
    }

    /// Takes a message as if it had been decrypted.
    pub(super) fn take_for_tests(&mut self, now: Instant, message: Message) {
        if let Err(violation) = self.handle_message(now, message) {
            self.base.fail(violation);
        }
    }
}

impl ClientSession {
    /// Takes a message as if it had been decrypted.
    pub(super) fn take_for_tests(&mut self, now: Instant, message: Message) {
        if let Err(violation) = self.handle_message(now, message) {
            self.base.fail(violation);
        }
    }

    /// Decrypts a message without acting on it.
    pub(super) fn read_for_tests(&mut self, bytes: &[u8]) -> Message {
        self.base.link.receive(bytes);
        self.base.link.message().unwrap().unwrap().message.unwrap()
    }

    /// A frame with these decrypted bytes.
    pub(super) fn seal_for_tests(&mut self, plain: &[u8]) -> Vec<u8> {
        self.base.link.send_plain(plain);
        self.base.link.poll_transmit().unwrap().to_vec()
    }

    /// The client's proof in this session.
    pub(super) fn proof_for_tests(&self, service: &str, token: &str) -> Vec<u8> {
        prove(&Token::new(token), Prover::Client, &self.binding, service).to_vec()
    }

    /// The server's proof in this session.
    pub(super) fn server_proof_for_tests(&self, service: &str, token: &str) -> Vec<u8> {
        prove(&Token::new(token), Prover::Server, &self.binding, service).to_vec()
    }
}
