//! Everything that a peer can do wrong on a control carrier.

use super::CloseReason;

/// A breach of the protocol by the peer. Each ends the control carrier, with [`Violation::reason`] if the peer can
/// be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// The first bytes are not those of a control carrier of this version.
    #[error("bad first bytes")]
    BadPrefix,
    /// A frame is longer than the handshake allows.
    #[error("handshake message too long")]
    HandshakeTooLong,
    /// A ticket is longer than [`super::MAX_TICKET_BYTES`].
    #[error("ticket too long")]
    TicketTooLong,
    /// A Noise message cannot be decrypted: tampered with, replayed, or from somebody else.
    #[error("decryption failed")]
    Decrypt,
    /// A frame is too short to be a Noise message.
    #[error("frame too short")]
    FrameTooShort,
    /// A message is longer than [`super::MAX_MESSAGE_BYTES`].
    #[error("message too long")]
    MessageTooLong,
    /// A message is not well-formed protobuf.
    #[error("malformed message")]
    Malformed,
    /// A message that is not allowed from this end or at this time.
    #[error("unexpected {0}")]
    Unexpected(&'static str),
    /// The named field is missing or outside its bounds.
    #[error("bad value in field {0}")]
    Field(&'static str),
    /// The peer speaks another version of the protocol.
    #[error("unsupported version {0}")]
    Version(u32),
    /// The peer requires features that this end lacks, or lacks ones that this end requires: the bits.
    #[error("features {0:#x} are not on both ends")]
    RequiredFeatures(u64),
    /// The server chose features that the client did not offer.
    #[error("features {0:#x} were not offered")]
    FeaturesNotOffered(u64),
    /// A ticket was brought by another instance than it was given to.
    #[error("ticket of another instance")]
    ForeignTicket,
    /// Auth or Register without a service.
    #[error("no services")]
    NoServices,
    /// More services than [`crate::model::MAX_SERVICES`].
    #[error("too many services")]
    TooManyServices,
    /// One Auth or Register names a service twice.
    #[error("duplicate service")]
    DuplicateService,
    /// The server accepted services and proved none of them: an impostor.
    #[error("server proved no service")]
    ServerProof,
    /// The server wants carriers for a service that it did not prove.
    #[error("want for an unproven service")]
    UnprovenService,
    /// The server wants more than [`super::MAX_VOUCHERS_PER_WANT`] carriers at once.
    #[error("too many vouchers")]
    TooManyVouchers,
    /// The server wants carriers on a lane that was not agreed on.
    #[error("want for another lane")]
    WrongLane,
    /// The client has more than [`super::MAX_REGISTER_REQUESTS`] unanswered Registers.
    #[error("too many open requests")]
    TooManyRequests,
    /// An answer to a Register that was never sent.
    #[error("answer without a question")]
    UnknownRequest,
    /// A Pong without a Ping.
    #[error("unsolicited pong")]
    UnsolicitedPong,
    /// More than [`super::MAX_MESSAGES_PER_SECOND`] messages of a client in a second.
    #[error("too many messages")]
    Flood,
}

impl Violation {
    /// The reason that goes into the Close.
    pub fn reason(self) -> CloseReason {
        match self {
            Self::Flood | Self::TooManyRequests => CloseReason::RateLimitExceeded,
            _ => CloseReason::ProtocolError,
        }
    }

    /// The word that logs and counters use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadPrefix => "bad_prefix",
            Self::HandshakeTooLong => "handshake_too_long",
            Self::TicketTooLong => "ticket_too_long",
            Self::Decrypt => "decrypt",
            Self::FrameTooShort => "frame_too_short",
            Self::MessageTooLong => "message_too_long",
            Self::Malformed => "malformed",
            Self::Unexpected(_) => "unexpected",
            Self::Field(_) => "field",
            Self::Version(_) => "version",
            Self::RequiredFeatures(_) => "required_features",
            Self::FeaturesNotOffered(_) => "features_not_offered",
            Self::ForeignTicket => "foreign_ticket",
            Self::NoServices => "no_services",
            Self::TooManyServices => "too_many_services",
            Self::DuplicateService => "duplicate_service",
            Self::ServerProof => "server_proof",
            Self::UnprovenService => "unproven_service",
            Self::TooManyVouchers => "too_many_vouchers",
            Self::WrongLane => "wrong_lane",
            Self::TooManyRequests => "too_many_requests",
            Self::UnknownRequest => "unknown_request",
            Self::UnsolicitedPong => "unsolicited_pong",
            Self::Flood => "flood",
        }
    }
}
