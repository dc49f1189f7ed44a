//! Open: the server brings a visitor.

use super::CarrierError;
use super::frame::{append, mac, split, voucher_bytes};
use crate::control::{CarrierKey, Voucher};
use crate::model::{MAX_SERVICE_NAME_BYTES, ServiceName};
use crate::session::wire;
use hmac::Mac;
use prost::Message;
use std::net::{IpAddr, SocketAddr};

/// Least urgent priority.
pub const MAX_PRIORITY: u8 = 3;

const LABEL: &[u8] = b"kariz1 open";

/// One visitor: first message from the server on a direct carrier or on a mux stream. The visitor's first bytes
/// may follow directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Which service it wants: 1 to 64 bytes.
    pub service: ServiceName,
    /// Port of the public range minus its first port.
    pub port_offset: u16,
    /// Name of the visitor in the logs of both ends; comes back in Ready.
    pub stream_id: u64,
    /// 0 (most urgent) to [`MAX_PRIORITY`].
    pub priority: u8,
    /// The visitor's address (flow label and scope of an IPv6 address are not carried).
    pub visitor: SocketAddr,
}

impl Open {
    /// The message with its frame: at most [`super::MAX_OPEN_BYTES`].
    ///
    /// `auth` is carrier key and voucher on a direct carrier, `None` inside a mux stream.
    pub fn encode(&self, auth: Option<(&CarrierKey, &Voucher)>) -> Vec<u8> {
        let visitor_ip = match self.visitor.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let message = wire::Open {
            service: self.service.to_string(),
            port_offset: self.port_offset.into(),
            stream_id: self.stream_id,
            priority: self.priority.into(),
            visitor_ip,
            visitor_port: self.visitor.port().into(),
            required: 0,
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

    /// Reads an Open from the beginning of `bytes`; says how many bytes it took. `Ok(None)`: more bytes are needed,
    /// at most [`super::MAX_OPEN_BYTES`] in all.
    ///
    /// # Errors
    /// With `auth`, [`CarrierError::Mac`] before anything of the message is looked at; then what is wrong with it.
    pub fn decode(bytes: &[u8], auth: Option<(&CarrierKey, &Voucher)>) -> Result<Option<(Self, usize)>, CarrierError> {
        let Some(split) = split(bytes, auth.is_some())? else {
            return Ok(None);
        };
        if let Some((key, voucher)) = auth {
            mac(key, LABEL, &voucher_bytes(voucher), split.message)
                .verify_slice(split.mac)
                .map_err(|_| CarrierError::Mac)?;
        }
        let open = wire::Open::decode(split.message).map_err(|_| CarrierError::Malformed)?;
        Ok(Some((Self::from_wire(&open)?, split.consumed)))
    }

    fn from_wire(open: &wire::Open) -> Result<Self, CarrierError> {
        if open.required != 0 {
            return Err(CarrierError::RequiredFeatures(open.required));
        }
        let port = u16::try_from(open.visitor_port).map_err(|_| CarrierError::Field("visitor_port"))?;
        Ok(Self {
            service: parse_service(&open.service).ok_or(CarrierError::Field("service"))?,
            port_offset: u16::try_from(open.port_offset).map_err(|_| CarrierError::Field("port_offset"))?,
            stream_id: open.stream_id,
            priority: u8::try_from(open.priority)
                .ok()
                .filter(|priority| *priority <= MAX_PRIORITY)
                .ok_or(CarrierError::Field("priority"))?,
            visitor: SocketAddr::new(ip_from(&open.visitor_ip)?, port),
        })
    }
}

/// The name of a service as a peer says it: within its bound, and fit for a log line.
pub(in crate::session) fn parse_service(name: &str) -> Option<ServiceName> {
    let fits = (1..=MAX_SERVICE_NAME_BYTES).contains(&name.len()) && !name.contains(char::is_control);
    fits.then(|| name.into())
}

fn ip_from(octets: &[u8]) -> Result<IpAddr, CarrierError> {
    <[u8; 4]>::try_from(octets)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .map_err(|_| CarrierError::Field("visitor_ip"))
}
