//! The Noise handshakes, with the caller's randomness.

use super::{Random, random::random_bytes};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash};
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

/// Longest Noise message in bytes.
pub(super) const MAX_NOISE_BYTES: usize = 65535;
/// What authentication adds to a transport message.
pub(super) const TAG_BYTES: usize = 16;

const FULL: &str = "Noise_NN_25519_ChaChaPoly_SHA256";
const RESUME: &str = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";

/// Randomness for one ephemeral key.
#[derive(Clone)]
pub(super) struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    pub(super) fn draw(random: &mut dyn Random) -> Self {
        Self(Zeroizing::new(random_bytes(random)))
    }
}

/// Which end of a handshake is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Initiator,
    Responder,
}

/// A full handshake. The prologue is what went over the wire in clear before it.
pub(super) fn full(role: Role, prologue: &[u8], seed: Seed) -> HandshakeState {
    build(FULL, role, prologue, seed, None)
}

/// A resumption with its secret as the psk.
pub(super) fn resume(role: Role, prologue: &[u8], seed: Seed, secret: &[u8; 32]) -> HandshakeState {
    build(RESUME, role, prologue, seed, Some(secret))
}

fn build(name: &str, role: Role, prologue: &[u8], seed: Seed, psk: Option<&[u8; 32]>) -> HandshakeState {
    const ENABLED: &str = "the pattern's names and primitives are compiled in";
    let params = name.parse().expect(ENABLED);
    let mut builder = Builder::with_resolver(params, Box::new(SeededResolver(seed)))
        .prologue(prologue)
        .expect(ENABLED);
    if let Some(psk) = psk {
        builder = builder.psk(0, psk).expect(ENABLED);
    }
    match role {
        Role::Initiator => builder.build_initiator(),
        Role::Responder => builder.build_responder(),
    }
    .expect(ENABLED)
}

/// snow's own primitives with the caller's randomness.
struct SeededResolver(Seed);

impl CryptoResolver for SeededResolver {
    fn resolve_rng(&self) -> Option<Box<dyn snow::types::Random>> {
        Some(Box::new(OneShot(Some(self.0.0.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// Gives its bytes once: an NN handshake makes exactly one ephemeral key.
struct OneShot(Option<Zeroizing<[u8; 32]>>);

impl snow::types::Random for OneShot {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        let bytes = self.0.take().ok_or(snow::Error::Rng)?;
        if dest.len() != bytes.len() {
            return Err(snow::Error::Rng);
        }
        dest.copy_from_slice(&*bytes);
        Ok(())
    }
}
