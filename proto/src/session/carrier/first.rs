//! The first bytes of a connection at the server.

use super::frame::{MAC_BYTES, MAX_CARRIER_MESSAGE_BYTES, MAX_LENGTH_BYTES, split};
use super::{CarrierError, CarrierHello};

/// Most bytes that [`parse_first`] may have to see before it has an answer.
pub const MAX_FIRST_BYTES: usize = PREFIX_BYTES + MAX_LENGTH_BYTES + MAX_CARRIER_MESSAGE_BYTES + MAC_BYTES;

/// Length of magic, version and kind.
pub(in crate::session) const PREFIX_BYTES: usize = 4;
/// A control carrier with a full handshake.
pub(in crate::session) const PREFIX_CONTROL: [u8; PREFIX_BYTES] = *b"KZ\x01\x01";
/// A control carrier that resumes a session with a ticket.
pub(in crate::session) const PREFIX_RESUME: [u8; PREFIX_BYTES] = *b"KZ\x01\x02";
/// A data carrier.
pub(super) const PREFIX_CARRIER: [u8; PREFIX_BYTES] = *b"KZ\x01\x03";

const MAGIC: [u8; 2] = *b"KZ";
const VERSION: u8 = 1;

/// What a fresh connection wants to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum First {
    /// More bytes are needed; all that came so far is well-formed.
    Incomplete,
    /// A control carrier (full handshake or resumption). The connection goes to the control plane together with
    /// every byte read so far: none is consumed.
    Control,
    /// A data carrier.
    Carrier {
        /// What it says of itself. **Not authenticated** before [`CarrierHello::verify`] is true and the voucher
        /// was taken from its worker's table.
        hello: CarrierHello,
        /// Length of the first message; what follows is the carrier's own (smux frames in the mux lane).
        consumed: usize,
    },
}

/// Looks at everything that was read of a fresh connection so far.
///
/// Decides on garbage with its first wrong byte, on a control carrier after four bytes, and on a data carrier after
/// at most [`MAX_FIRST_BYTES`]. Source: `proto/SESSION.md`, First bytes.
///
/// # Errors
/// Any [`CarrierError`] but `Mac`: close the connection, nothing is said to the peer.
pub fn parse_first(bytes: &[u8]) -> Result<First, CarrierError> {
    if bytes.iter().zip(MAGIC).any(|(byte, magic)| *byte != magic) {
        return Err(CarrierError::NotKariz);
    }
    if let Some(version) = bytes.get(2).filter(|version| **version != VERSION) {
        return Err(CarrierError::Version(*version));
    }
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
        return Ok(First::Incomplete);
    };
    match *prefix {
        PREFIX_CONTROL | PREFIX_RESUME => Ok(First::Control),
        PREFIX_CARRIER => {
            let Some(split) = split(rest, true)? else {
                return Ok(First::Incomplete);
            };
            Ok(First::Carrier {
                hello: CarrierHello::decode(split.message, split.mac)?,
                consumed: PREFIX_BYTES + split.consumed,
            })
        }
        [_, _, _, kind] => Err(CarrierError::Kind(kind)),
    }
}
