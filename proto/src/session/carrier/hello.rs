//! The first flight of a data carrier.

use super::CarrierError;
use super::first::PREFIX_CARRIER;
use super::frame::{MAC_BYTES, append, mac, voucher_bytes, voucher_from};
use crate::control::{CarrierKey, Epoch, SessionId, Voucher};
use crate::session::wire;
use bytes::Bytes;
use hmac::Mac;
use prost::Message;

const LABEL: &[u8] = b"kariz1 carrier";

/// What a data carrier says of itself: usable at once, no round trip (`spec/session.md`, Security).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarrierHello {
    /// The session that it claims to belong to.
    pub session: SessionId,
    /// The control carrier's epoch in which its voucher was given out.
    pub epoch: Epoch,
    /// The voucher; names the worker that has to take the connection.
    pub voucher: Voucher,
    /// HMAC-SHA256 under the carrier key.
    pub mac: [u8; 32],
    /// The message's bytes as they came: the MAC covers them, and with them the fields of later versions.
    message: Bytes,
}

impl CarrierHello {
    /// The whole first flight, prefix and MAC included: at most [`super::MAX_FIRST_BYTES`].
    pub fn encode(key: &CarrierKey, session: SessionId, epoch: Epoch, voucher: &Voucher) -> Vec<u8> {
        let message = wire::CarrierHello {
            session: session.0,
            epoch: epoch.0,
            voucher: voucher_bytes(voucher).to_vec(),
            required: 0,
        };
        let mut out = PREFIX_CARRIER.to_vec();
        append(&mut out, &message, |message| {
            Some(mac(key, LABEL, &PREFIX_CARRIER, message).finalize().into_bytes().into())
        });
        out
    }

    /// Whether the MAC is right under this key. Constant time.
    pub fn verify(&self, key: &CarrierKey) -> bool {
        mac(key, LABEL, &PREFIX_CARRIER, &self.message)
            .verify_slice(&self.mac)
            .is_ok()
    }

    pub(super) fn decode(message: &[u8], mac: &[u8]) -> Result<Self, CarrierError> {
        let hello = wire::CarrierHello::decode(message).map_err(|_| CarrierError::Malformed)?;
        if hello.required != 0 {
            return Err(CarrierError::RequiredFeatures(hello.required));
        }
        let mac: [u8; MAC_BYTES] = mac.try_into().map_err(|_| CarrierError::Mac)?;
        Ok(Self {
            session: SessionId(hello.session),
            epoch: Epoch(hello.epoch),
            voucher: voucher_from(&hello.voucher).ok_or(CarrierError::Field("voucher"))?,
            mac,
            message: Bytes::copy_from_slice(message),
        })
    }
}
