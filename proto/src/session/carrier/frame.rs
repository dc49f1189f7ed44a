//! The frame around every message on a carrier: length, message, and a MAC where nothing else authenticates.

use super::CarrierError;
use crate::control::{CarrierKey, Voucher, WorkerIndex};
use hmac::{Hmac, KeyInit, Mac};
use prost::Message;
use sha2::Sha256;

/// Longest message on a carrier in bytes, without length and MAC. Version 1 needs at most 120; the rest is room for
/// fields of later versions.
pub const MAX_CARRIER_MESSAGE_BYTES: usize = 512;

/// Most bytes of one Open or Ready, with length and MAC.
pub const MAX_OPEN_BYTES: usize = MAX_LENGTH_BYTES + MAX_CARRIER_MESSAGE_BYTES + MAC_BYTES;

/// Length of HMAC-SHA256.
pub(super) const MAC_BYTES: usize = 32;
/// Longest length (a varint) of a message within bounds.
pub(super) const MAX_LENGTH_BYTES: usize = 2;
/// Length of an encoded voucher.
pub(in crate::session) const VOUCHER_BYTES: usize = 18;

/// One frame, cut out of what was received.
pub(super) struct Split<'a> {
    pub(super) message: &'a [u8],
    /// Empty in a frame without MAC.
    pub(super) mac: &'a [u8],
    pub(super) consumed: usize,
}

/// Cuts the first frame out of `bytes`; `None` if it is incomplete.
pub(super) fn split(bytes: &[u8], with_mac: bool) -> Result<Option<Split<'_>>, CarrierError> {
    let mut length = 0;
    for (index, byte) in bytes.iter().enumerate() {
        if index == MAX_LENGTH_BYTES {
            return Err(CarrierError::TooLong);
        }
        length |= usize::from(byte & 0x7f) << (7 * index);
        if length > MAX_CARRIER_MESSAGE_BYTES {
            return Err(CarrierError::TooLong);
        }
        if byte & 0x80 == 0 {
            return Ok(cut(bytes, index + 1, length, with_mac));
        }
    }
    Ok(None)
}

fn cut(bytes: &[u8], start: usize, length: usize, with_mac: bool) -> Option<Split<'_>> {
    let end = start + length;
    let consumed = end + if with_mac { MAC_BYTES } else { 0 };
    Some(Split {
        message: bytes.get(start..end)?,
        mac: bytes.get(end..consumed)?,
        consumed,
    })
}

/// Appends a frame; `mac` computes the MAC of the message's bytes, if it has one.
pub(super) fn append(out: &mut Vec<u8>, message: &impl Message, mac: impl FnOnce(&[u8]) -> Option<[u8; MAC_BYTES]>) {
    let message = message.encode_to_vec();
    debug_assert!(message.len() <= MAX_CARRIER_MESSAGE_BYTES);
    prost::encoding::encode_varint(message.len() as u64, out);
    out.extend_from_slice(&message);
    if let Some(mac) = mac(&message) {
        out.extend_from_slice(&mac);
    }
}

/// HMAC-SHA256 under the carrier key over a label, what the MAC is bound to, and the message.
pub(super) fn mac(key: &CarrierKey, label: &[u8], bound: &[u8], message: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes a key of any length");
    mac.update(label);
    mac.update(bound);
    mac.update(message);
    mac
}

/// A voucher as it crosses the wire: worker index, big-endian, then the random bytes.
pub(in crate::session) fn voucher_bytes(voucher: &Voucher) -> [u8; VOUCHER_BYTES] {
    let mut bytes = [0; VOUCHER_BYTES];
    let (worker, random) = bytes.split_at_mut(2);
    worker.copy_from_slice(&voucher.worker.0.to_be_bytes());
    random.copy_from_slice(&voucher.random);
    bytes
}

/// The reverse of [`voucher_bytes`]; `None` if the length is wrong.
pub(in crate::session) fn voucher_from(bytes: &[u8]) -> Option<Voucher> {
    let (worker, random) = bytes.split_first_chunk::<2>()?;
    Some(Voucher {
        worker: WorkerIndex(u16::from_be_bytes(*worker)),
        random: random.try_into().ok()?,
    })
}
