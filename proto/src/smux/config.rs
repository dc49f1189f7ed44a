//! What is agreed about a carrier before its first frame.

use crate::model::{MuxParams, MuxVersion};
use std::time::Duration;

/// Which end of the carrier this is: it decides whose stream ids are odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// This end dialled: its streams are 3, 5, 7 and so on.
    Dialled,
    /// This end accepted: its streams are 2, 4, 6 and so on.
    Accepted,
}

/// Parameters of one [`super::Mux`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Version on every frame of both ends; nothing negotiates it on the wire.
    pub version: MuxVersion,
    /// Largest payload of a frame that is sent, in bytes; 0 counts as 1. Any size is received.
    pub frame_size: u16,
    /// Bytes that may be received and not yet consumed, over all streams.
    pub receive_buffer: u32,
    /// Largest receive window of one stream in bytes (v2); above [`super::MAX_WINDOW`] counts as that.
    pub stream_buffer: u32,
    /// Streams at a time, of both ends together.
    pub max_streams: u32,
    /// Whether the other end is Kariz too: RST frames, exact half-close, a first UPD before anything is consumed, strict
    /// rules. Otherwise it is taken for Go's smux.
    pub kariz: bool,
    /// Interval of NOP frames.
    pub keep_alive: Duration,
    /// How long a carrier without a received byte is taken for living.
    pub dead_after: Duration,
    /// Towards a foreign peer: how long a stream that it opened is held back until its first data
    /// (`spec/smux.md`, Rules: Go loses what arrives earlier).
    pub hold_back: Duration,
}

impl Config {
    /// The service's parameters with the timing of `spec/smux.md`: NOP every 10 s, dead after 60 s, held back 20 ms.
    ///
    /// `kariz` says that both ends agreed on RST, exact half-close and early UPD in the session's hello.
    pub fn new(params: MuxParams, kariz: bool) -> Self {
        Self {
            version: params.version,
            frame_size: params.frame_size,
            receive_buffer: params.receive_buffer,
            stream_buffer: params.stream_buffer,
            max_streams: params.concurrency.into(),
            kariz,
            keep_alive: Duration::from_secs(10),
            dead_after: Duration::from_secs(60),
            hold_back: Duration::from_millis(20),
        }
    }

    pub(super) fn is_v2(&self) -> bool {
        self.version == MuxVersion::V2
    }

    pub(super) fn version_byte(&self) -> u8 {
        match self.version {
            MuxVersion::V1 => 1,
            MuxVersion::V2 => 2,
        }
    }
}
