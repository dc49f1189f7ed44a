//! Proofs of a service's token, in both directions (`proto/SESSION.md`, Proofs).

use crate::model::Token;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a session's proofs are bound to: the Noise handshake hash. Where a carrier is TLS or QUIC, the exporter's
/// value takes its place, and nothing else changes.
pub(super) type Binding = [u8; 32];

/// Which end proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prover {
    Client,
    Server,
}

/// `HMAC-SHA256(token, label | binding | service)`.
pub(super) fn prove(token: &Token, prover: Prover, binding: &Binding, service: &str) -> [u8; 32] {
    let label: &[u8] = match prover {
        Prover::Client => b"kariz1 client",
        Prover::Server => b"kariz1 server",
    };
    mac(token, label, binding, service).finalize().into_bytes().into()
}

/// Whether a proof is right. Constant time.
pub(super) fn check(token: &Token, prover: Prover, binding: &Binding, service: &str, proof: &[u8]) -> bool {
    let label: &[u8] = match prover {
        Prover::Client => b"kariz1 client",
        Prover::Server => b"kariz1 server",
    };
    mac(token, label, binding, service).verify_slice(proof).is_ok()
}

/// Mark of a token in a ticket, so that a ticket dies with the token.
pub(super) fn ticket_tag(token: &Token, binding: &Binding, service: &str) -> [u8; 16] {
    let full: [u8; 32] = mac(token, b"kariz1 ticket", binding, service)
        .finalize()
        .into_bytes()
        .into();
    let mut tag = [0; 16];
    tag.copy_from_slice(&full[..16]);
    tag
}

/// Whether a ticket's mark is that of the token. Constant time.
pub(super) fn check_ticket_tag(token: &Token, binding: &Binding, service: &str, tag: &[u8]) -> bool {
    tag.len() == 16
        && mac(token, b"kariz1 ticket", binding, service)
            .verify_truncated_left(tag)
            .is_ok()
}

fn mac(token: &Token, label: &[u8], binding: &Binding, service: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(token.expose()).expect("HMAC takes a key of any length");
    mac.update(label);
    mac.update(binding);
    mac.update(service.as_bytes());
    mac
}
