//! Secrets that must not show up in a log.

use std::fmt;
use zeroize::Zeroizing;

/// The shared secret of a service. Its `Debug` form never shows it, its memory is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<Vec<u8>>);

impl Token {
    /// Below this many bytes `kariz check` warns.
    pub const RECOMMENDED_MIN_BYTES: usize = 16;

    /// Wraps a secret.
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The secret itself, for a MAC and nothing else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether the secret is short enough to deserve a warning.
    pub fn is_short(&self) -> bool {
        self.0.len() < Self::RECOMMENDED_MIN_BYTES
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
