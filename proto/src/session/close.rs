//! How a session ends.

use super::Violation;
use std::fmt;

/// Why a session ends, as it crosses the wire (`proto/SESSION.md`, Close).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum CloseReason {
    /// Nothing is wrong.
    Normal = 0,
    /// The process is stopping; visitors may go on until the deadline.
    GoingAway = 1,
    /// The peer broke the protocol.
    ProtocolError = 2,
    /// The peer was silent, or too slow.
    Timeout = 3,
    /// The peer sent too much.
    RateLimitExceeded = 4,
    /// A fault of the sender.
    InternalError = 5,
}

impl CloseReason {
    /// Every reason, in the order of the numbers.
    pub const ALL: [Self; 6] = [
        Self::Normal,
        Self::GoingAway,
        Self::ProtocolError,
        Self::Timeout,
        Self::RateLimitExceeded,
        Self::InternalError,
    ];

    /// The reason with this number; one of a later version counts as [`CloseReason::InternalError`].
    pub fn from_wire(number: u32) -> Self {
        usize::try_from(number)
            .ok()
            .and_then(|index| Self::ALL.get(index).copied())
            .unwrap_or(Self::InternalError)
    }

    /// The word that logs use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::GoingAway => "going_away",
            Self::ProtocolError => "protocol_error",
            Self::Timeout => "timeout",
            Self::RateLimitExceeded => "rate_limit_exceeded",
            Self::InternalError => "internal_error",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The end of a control carrier: the last event of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Reason that was sent or received, or that fits best.
    pub reason: CloseReason,
    /// What led to it.
    pub cause: CloseCause,
}

/// What ended a control carrier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseCause {
    /// `close` was called on this end; with [`CloseReason::GoingAway`] the deadline has passed.
    #[error("closed by this end")]
    Local,
    /// The peer sent Close; with [`CloseReason::GoingAway`] its deadline has passed.
    #[error("closed by the peer: {0}")]
    Peer(String),
    /// The stream ended without a Close.
    #[error("connection lost")]
    Lost,
    /// The peer broke the protocol.
    #[error("protocol violation: {0}")]
    Violation(#[from] Violation),
    /// `handshake_timeout` passed before the session was up.
    #[error("handshake timed out")]
    HandshakeTimeout,
    /// Three heartbeats passed without a byte.
    #[error("peer is silent")]
    Silent,
    /// The peer does not read: [`super::MAX_TRANSMIT_BYTES`] wait for it.
    #[error("peer does not read")]
    Stalled,
    /// Not one service was proven: wrong tokens or unknown names (both ends say this).
    #[error("no service was accepted")]
    Rejected,
    /// Client: the server refused version or features, with this text.
    #[error("refused by the server: {0}")]
    Refused(String),
}

impl CloseCause {
    /// The word that logs and counters use.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Peer(_) => "peer",
            Self::Lost => "lost",
            Self::Violation(violation) => violation.as_str(),
            Self::HandshakeTimeout => "handshake_timeout",
            Self::Silent => "silent",
            Self::Stalled => "stalled",
            Self::Rejected => "rejected",
            Self::Refused(_) => "refused",
        }
    }
}
