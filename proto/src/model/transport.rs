//! How client and server reach each other: the carrier and the lane that a `transport` names.

use crate::smux::INITIAL_WINDOW;

/// The `transport` key: a pair of carrier and lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `tcp`: one TCP connection for each visitor.
    Tcp,
    /// `tcpmux`: smux on few TCP connections.
    TcpMux,
}

impl Transport {
    /// What the bytes travel on.
    pub fn carrier(self) -> Carrier {
        match self {
            Self::Tcp | Self::TcpMux => Carrier::Tcp,
        }
    }

    /// How one visitor crosses.
    pub fn lane(self) -> Lane {
        match self {
            Self::Tcp => Lane::Direct,
            Self::TcpMux => Lane::Mux,
        }
    }
}

/// What one connection between client and server is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// A bare TCP connection.
    Tcp,
}

/// How one visitor crosses between server and client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// On a carrier of its own.
    Direct,
    /// As a smux stream on a shared carrier.
    Mux,
}

/// smux protocol version (`spec/smux.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MuxVersion {
    /// No flow control per stream.
    V1,
    /// Windows per stream.
    V2,
}

/// The `mux_*` keys of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MuxParams {
    /// Version that this end asks for; the lower one of both ends is spoken.
    pub version: MuxVersion,
    /// Largest payload of a frame that is sent, in bytes: 1 to 65535.
    pub frame_size: u16,
    /// Bytes that may be buffered for one carrier: at least `stream_buffer`.
    pub receive_buffer: u32,
    /// Bytes that may be buffered for one stream: at most 2147483647.
    pub stream_buffer: u32,
    /// Streams on a carrier before another carrier is asked for: at least 1.
    pub concurrency: u16,
}

impl MuxParams {
    /// How many streams a carrier really gets. With v2 each of them may begin with [`INITIAL_WINDOW`] bytes before
    /// anything can be told to it, and the carrier has to have room for all of it, or a slow stream would hold up the
    /// others; half of the room is left for windows that grow (`spec/smux.md`, Rules for us).
    pub fn usable_concurrency(&self) -> u16 {
        match self.version {
            MuxVersion::V1 => self.concurrency,
            MuxVersion::V2 => {
                let fitting = (self.receive_buffer / 2 / INITIAL_WINDOW).max(1);
                self.concurrency.min(u16::try_from(fitting).unwrap_or(u16::MAX))
            }
        }
    }
}

impl Default for MuxParams {
    fn default() -> Self {
        Self {
            version: MuxVersion::V2,
            frame_size: 32768,
            receive_buffer: 4 << 20,
            stream_buffer: 2 << 20,
            concurrency: 16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_streams_than_the_receive_buffer_has_room_for() {
        let params = |concurrency, version| MuxParams {
            concurrency,
            version,
            ..MuxParams::default()
        };
        assert_eq!(params(16, MuxVersion::V2).usable_concurrency(), 16);
        assert_eq!(params(200, MuxVersion::V2).usable_concurrency(), 32);
        assert_eq!(params(200, MuxVersion::V1).usable_concurrency(), 200);
        let small = MuxParams {
            receive_buffer: 1,
            ..MuxParams::default()
        };
        assert_eq!(small.usable_concurrency(), 1);
    }
}
