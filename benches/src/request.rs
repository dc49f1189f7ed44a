//! What a visitor asks of the kit's target, in the first bytes of its connection.
//!
//! Layout, integers big-endian: `"KZB1"`, work (1 byte), check (1 byte), the target's pace in Mbit/s (2 bytes, 0 for
//! none), seed (8 bytes), length (8 bytes). A sink answers the end of the data with a receipt: bytes received (8 bytes), position of the first
//! wrong byte or all ones (8 bytes).

use crate::pattern::Check;

const MAGIC: &[u8; 4] = b"KZB1";

/// Size of an encoded [`Request`], in bytes.
pub const REQUEST_LEN: usize = 24;

/// Size of an encoded [`Receipt`], in bytes.
pub const RECEIPT_LEN: usize = 16;

/// A length that stands for "until the visitor goes".
pub const ENDLESS: u64 = u64::MAX;

/// What the target does on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Kind of work.
    pub work: Work,
    /// How thoroughly the target compares what it receives (only for [`Work::Sink`]).
    pub check: Check,
    /// Names the [`Pattern`](crate::pattern::Pattern) of the stream.
    pub seed: u64,
    /// Bytes that this connection is to carry after the request, or [`ENDLESS`].
    pub length: u64,
    /// How fast the target sends ([`Work::Source`]), in Mbit/s; 0: as fast as it can.
    pub mbit_per_s: u16,
}

/// Kinds of work that the target knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Work {
    /// Sends every byte after the request back, and closes its side after the visitor closed its own.
    Echo = 0,
    /// Compares what comes with the pattern, and answers the visitor's end with a [`Receipt`]: an answer after
    /// half-close.
    Sink = 1,
    /// Sends `length` bytes of the pattern, closes its side, waits for the visitor's end.
    Source = 2,
    /// Sends `length` bytes of the pattern and then resets the connection.
    Reset = 3,
}

/// What a sink saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Bytes received after the request.
    pub received: u64,
    /// Position of the first wrong byte.
    pub mismatch: Option<u64>,
}

/// The first bytes of a connection were no [`Request`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a request of the benchmark kit")]
pub struct BadRequest;

impl Request {
    /// A request with full checking.
    pub fn new(work: Work, seed: u64, length: u64) -> Self {
        Self {
            work,
            check: Check::Full,
            seed,
            length,
            mbit_per_s: 0,
        }
    }

    /// The bytes to send.
    pub fn encode(&self) -> [u8; REQUEST_LEN] {
        let mut bytes = [0; REQUEST_LEN];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = self.work as u8;
        bytes[5] = u8::from(self.check == Check::Sampled);
        bytes[6..8].copy_from_slice(&self.mbit_per_s.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.seed.to_be_bytes());
        bytes[16..].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// Reads what [`Request::encode`] made.
    ///
    /// # Errors
    /// [`BadRequest`] for anything else.
    pub fn parse(bytes: &[u8; REQUEST_LEN]) -> Result<Self, BadRequest> {
        let work = match bytes[4] {
            0 => Work::Echo,
            1 => Work::Sink,
            2 => Work::Source,
            3 => Work::Reset,
            _ => return Err(BadRequest),
        };
        let check = match bytes[5] {
            0 => Check::Full,
            1 => Check::Sampled,
            _ => return Err(BadRequest),
        };
        if &bytes[..4] != MAGIC {
            return Err(BadRequest);
        }
        Ok(Self {
            work,
            check,
            seed: number(&bytes[8..16]),
            length: number(&bytes[16..]),
            mbit_per_s: u16::from_be_bytes([bytes[6], bytes[7]]),
        })
    }
}

impl Receipt {
    /// The bytes to send.
    pub fn encode(&self) -> [u8; RECEIPT_LEN] {
        let mut bytes = [0; RECEIPT_LEN];
        bytes[..8].copy_from_slice(&self.received.to_be_bytes());
        bytes[8..].copy_from_slice(&self.mismatch.unwrap_or(u64::MAX).to_be_bytes());
        bytes
    }

    /// Reads what [`Receipt::encode`] made.
    pub fn parse(bytes: &[u8; RECEIPT_LEN]) -> Self {
        let mismatch = number(&bytes[8..]);
        Self {
            received: number(&bytes[..8]),
            mismatch: (mismatch != u64::MAX).then_some(mismatch),
        }
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_receipts_survive_the_wire() {
        for work in [Work::Echo, Work::Sink, Work::Source, Work::Reset] {
            for check in [Check::Full, Check::Sampled] {
                let request = Request {
                    work,
                    check,
                    seed: 0x0102_0304_0506_0708,
                    length: ENDLESS,
                    mbit_per_s: 500,
                };
                assert_eq!(Request::parse(&request.encode()), Ok(request));
            }
        }
        for mismatch in [None, Some(12)] {
            let receipt = Receipt { received: 99, mismatch };
            assert_eq!(Receipt::parse(&receipt.encode()), receipt);
        }
    }

    #[test]
    fn foreign_first_bytes_are_refused() {
        assert_eq!(Request::parse(b"GET / HTTP/1.1\r\nHost: ab"), Err(BadRequest));
        let mut bytes = Request::new(Work::Echo, 1, 2).encode();
        bytes[4] = 9;
        assert_eq!(Request::parse(&bytes), Err(BadRequest));
    }
}
