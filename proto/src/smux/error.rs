//! Everything that can go wrong on a mux carrier.

use super::StreamId;
use std::time::Duration;

/// A breach of the protocol by the peer; the carrier has to be closed at once (`spec/smux.md`, Rules).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// A frame of another version than the agreed one.
    #[error("frame of version {0}")]
    WrongVersion(u8),
    /// A command that the agreed version and features do not have.
    #[error("unknown command {0}")]
    UnknownCommand(u8),
    /// SYN, FIN or NOP with a payload, or UPD or RST of another length than theirs.
    #[error("command {command} with {length} bytes")]
    WrongLength {
        /// The frame's command.
        command: u8,
        /// The frame's payload length in bytes.
        length: u16,
    },
    /// The peer opened a stream with an id of this end's parity.
    #[error("stream {0} opened by the wrong end")]
    WrongParity(StreamId),
    /// The peer opened a stream that is open.
    #[error("stream {0} opened twice")]
    AlreadyOpen(StreamId),
    /// The peer opened a stream with an id that was passed.
    #[error("stream {0} opened with an id that was passed")]
    IdTooLow(StreamId),
    /// A frame for a stream that nobody opened.
    #[error("frame for stream {0} that was never opened")]
    NeverOpened(StreamId),
    /// More data than the stream's window allows (v2).
    #[error("stream {0} exceeds its window")]
    WindowExceeded(StreamId),
    /// Data after FIN, from a peer with exact half-close.
    #[error("data on stream {0} after its end")]
    DataAfterFin(StreamId),
    /// A second FIN, from a peer with exact half-close.
    #[error("second end of stream {0}")]
    SecondFin(StreamId),
    /// UPD acknowledges bytes that were not sent.
    #[error("more consumed than sent on stream {0}")]
    ConsumedTooMuch(StreamId),
    /// UPD acknowledges less than an earlier one, from a Kariz peer.
    #[error("consumed runs backwards on stream {0}")]
    ConsumedRewound(StreamId),
    /// UPD with a window above [`super::MAX_WINDOW`].
    #[error("window of stream {0} is too large")]
    WindowTooLarge(StreamId),
    /// UPD takes back a window that was promised, from a Kariz peer.
    #[error("window of stream {0} taken back")]
    WindowTakenBack(StreamId),
    /// The peer opens streams and does not read their refusals: [`super::MAX_PENDING_RESETS`] wait to be sent.
    #[error("too many resets wait to be read")]
    ResetFlood,
}

/// Why no stream can be opened on this carrier; the driver takes another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OpenError {
    /// [`super::Config::max_streams`] are open.
    #[error("too many streams")]
    TooManyStreams,
    /// Stream ids are used up: open a new carrier and let this one run dry.
    #[error("stream ids are used up")]
    IdsExhausted,
    /// [`super::MAX_PENDING_RESETS`] wait to be sent.
    #[error("too many resets wait to be sent")]
    ResetBacklog,
    /// The carrier ended with a violation.
    #[error("carrier is broken: {0}")]
    Broken(Violation),
}

/// Why first bytes were not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum QueueError {
    /// The stream is not open, or this end finished it.
    #[error("stream is not open for sending")]
    NotOpen,
    /// Longer than [`super::MAX_FIRST_BYTES`].
    #[error("first bytes are too long")]
    TooLong,
    /// First bytes are queued already, or data was sent.
    #[error("stream has sent or queued bytes already")]
    NotFirst,
}

/// No byte arrived for [`super::Config::dead_after`]: the peer is taken for dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no byte received for {silence:?}")]
pub struct Dead {
    /// Time since the last received byte.
    pub silence: Duration,
}
