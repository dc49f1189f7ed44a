//! What the machines need to know beforehand, and the bounds of the protocol.

use super::{Features, KnownServices, ServiceOffer, TicketIssuer};
use crate::control::InstanceId;
use crate::model::Lane;
use std::sync::Arc;
use std::time::Duration;

/// Longest control message in bytes: an Auth with [`crate::model::MAX_SERVICES`] services and the longest names
/// fits.
pub const MAX_MESSAGE_BYTES: usize = 160 * 1024;
/// Longest frame of the handshake's first message in bytes, so that an unknown peer costs one small buffer.
pub const MAX_HELLO_BYTES: usize = 1024;
/// Most vouchers in one Want.
pub const MAX_VOUCHERS_PER_WANT: usize = 1024;
/// Most Registers of a client that wait for an answer.
pub const MAX_REGISTER_REQUESTS: usize = 16;
/// Most messages of a client in a second.
pub const MAX_MESSAGES_PER_SECOND: u32 = 4096;
/// Most bytes that wait for `poll_transmit`; beyond them the peer counts as stalled.
pub const MAX_TRANSMIT_BYTES: usize = 1 << 20;
/// Longest text of a Close in bytes; longer ones are cut.
pub const MAX_TEXT_BYTES: usize = 256;
/// Heartbeats without a byte after which a peer counts as gone.
pub const MISSED_HEARTBEATS: u32 = 3;

/// What a client's machine has to know.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// This process.
    pub instance: InstanceId,
    /// The lane that the transport names; required of the server.
    pub lane: Lane,
    /// What is offered: usually [`Features::offered`].
    pub features: Features,
    /// 1 to [`crate::model::MAX_SERVICES`], names distinct.
    pub services: Vec<ServiceOffer>,
    /// Interval of pings; the shorter one of this and the server's is used.
    pub heartbeat: Duration,
    /// Limit for everything before `Established`.
    pub handshake_timeout: Duration,
}

/// What a server's machine has to know.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The lane that the transport names; required of the client.
    pub lane: Lane,
    /// What is supported: usually [`Features::offered`].
    pub features: Features,
    /// Interval of pings, told to the client.
    pub heartbeat: Duration,
    /// Limit for everything before `Established`, the driver's decision not counted.
    pub handshake_timeout: Duration,
    /// The services at the time of the connection; see `set_services`.
    pub services: Arc<KnownServices>,
    /// Seals and opens tickets; one for the whole server.
    pub tickets: Arc<TicketIssuer>,
}
