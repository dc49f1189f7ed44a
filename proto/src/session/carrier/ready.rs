//! Ready: the client's answer to Open.

use super::CarrierError;
use super::frame::{append, mac, split, voucher_bytes};
use crate::control::{CarrierKey, RefuseReason, Voucher};
use crate::session::wire;
use hmac::Mac;
use prost::Message;

const LABEL: &[u8] = b"kariz1 ready";

/// Whether a visitor's target is connected: first message from the client on a direct carrier (after its hello) or
/// on a mux stream. The target's first bytes may follow directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// As in the Open.
    pub stream_id: u64,
    /// Connected, or why not.
    pub result: Result<(), OpenError>,
}

/// Why a target was not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OpenError {
    /// It refused the connection.
    #[error("target refused the connection")]
    Refused,
    /// There is no way to it, its name means nothing, or the service is unknown to the client.
    #[error("target unreachable")]
    Unreachable,
    /// It did not answer in time.
    #[error("target did not answer in time")]
    Timeout,
    /// The client has no room for another visitor.
    #[error("client at its limit")]
    Limit,
}

impl From<OpenError> for RefuseReason {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Refused => Self::TargetRefused,
            OpenError::Unreachable => Self::TargetUnreachable,
            OpenError::Timeout => Self::TargetTimeout,
            OpenError::Limit => Self::VisitorLimit,
        }
    }
}

impl Ready {
    /// The message with its frame: at most [`super::MAX_OPEN_BYTES`]. `auth` as in [`super::Open::encode`].
    pub fn encode(&self, auth: Option<(&CarrierKey, &Voucher)>) -> Vec<u8> {
        let result = match self.result {
            Ok(()) => wire::ready::Result::Connected,
            Err(OpenError::Refused) => wire::ready::Result::Refused,
            Err(OpenError::Unreachable) => wire::ready::Result::Unreachable,
            Err(OpenError::Timeout) => wire::ready::Result::Timeout,
            Err(OpenError::Limit) => wire::ready::Result::Limit,
        };
        let message = wire::Ready {
            stream_id: self.stream_id,
            result: result.into(),
        };
        let mut out = Vec::new();
        append(&mut out, &message, |message| {
            auth.map(|(key, voucher)| {
                mac(key, LABEL, &voucher_bytes(voucher), message)
                    .finalize()
                    .into_bytes()
                    .into()
            })
        });
        out
    }

    /// Reads a Ready from the beginning of `bytes`, as [`super::Open::decode`] does.
    ///
    /// # Errors
    /// As there. An error kind of a later version reads as [`OpenError::Unreachable`].
    pub fn decode(bytes: &[u8], auth: Option<(&CarrierKey, &Voucher)>) -> Result<Option<(Self, usize)>, CarrierError> {
        let Some(split) = split(bytes, auth.is_some())? else {
            return Ok(None);
        };
        if let Some((key, voucher)) = auth {
            mac(key, LABEL, &voucher_bytes(voucher), split.message)
                .verify_slice(split.mac)
                .map_err(|_| CarrierError::Mac)?;
        }
        let ready = wire::Ready::decode(split.message).map_err(|_| CarrierError::Malformed)?;
        let result = match wire::ready::Result::try_from(ready.result) {
            Ok(wire::ready::Result::Connected) => Ok(()),
            Ok(wire::ready::Result::Refused) => Err(OpenError::Refused),
            Ok(wire::ready::Result::Unreachable) | Err(_) => Err(OpenError::Unreachable),
            Ok(wire::ready::Result::Timeout) => Err(OpenError::Timeout),
            Ok(wire::ready::Result::Limit) => Err(OpenError::Limit),
        };
        let ready = Self {
            stream_id: ready.stream_id,
            result,
        };
        Ok(Some((ready, split.consumed)))
    }
}
