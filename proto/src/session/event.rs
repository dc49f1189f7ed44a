//! What the machines ask of their drivers and tell them.

use super::{CloseReason, Closed, Features, Grant, ProvenService, ResumptionTicket, ServiceStatus};
use crate::control::{CarrierKey, Epoch, InstanceId, SessionId, Voucher};
use crate::model::{Lane, ServiceName};
use std::time::Duration;

/// What happened at a client's end of a control carrier.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent {
    /// The session is up.
    Established(ClientEstablished),
    /// Answer to `register`, or news of services that were [`super::ServiceOutcome::Taken`].
    Registered {
        /// Each with its outcome.
        services: Vec<ServiceStatus>,
    },
    /// The server has dropped services: nothing of them is wanted any more. They may be registered again.
    Dropped {
        /// Which.
        services: Vec<ServiceName>,
    },
    /// Dial a carrier for each voucher. Only ever said of a service that both ends have proven.
    Want {
        /// For which service.
        service: ServiceName,
        /// On which lane.
        lane: Lane,
        /// 1 to [`super::MAX_VOUCHERS_PER_WANT`].
        vouchers: Vec<Voucher>,
    },
    /// A ticket for the next connection to this server. Replaces older ones.
    Ticket(ResumptionTicket),
    /// The peer answered a ping.
    Pong {
        /// Round-trip time.
        rtt: Duration,
    },
    /// The server is draining: dial the next one; no new visitors come, old ones may go on.
    PeerClosing {
        /// [`CloseReason::GoingAway`].
        reason: CloseReason,
        /// Until when the peer goes on, from now.
        deadline: Duration,
        /// For the log.
        text: String,
    },
    /// The end. Nothing follows; drain `poll_transmit`, then close the connection.
    Closed(Closed),
}

/// A session from the client's side.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientEstablished {
    /// The server's name for it.
    pub session: SessionId,
    /// Of this control carrier.
    pub epoch: Epoch,
    /// For the carriers of this epoch.
    pub carrier_key: CarrierKey,
    /// Whether a ticket was used.
    pub resumed: bool,
    /// Agreed features.
    pub features: Features,
    /// Most carriers that the server allows.
    pub max_carriers: u32,
    /// Most visitors that the server sends at a time; `None` is no limit.
    pub max_visitors: Option<u32>,
    /// Every offered service with its outcome, in the order of the offer.
    pub services: Vec<ServiceStatus>,
}

/// What happened at a server's end of a control carrier.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerEvent {
    /// A client has proven services: decide, then call `accept`. **Change nothing yet** (look at
    /// [`super::Ownership`], ping a holder, but neither raise an epoch nor take over).
    Authenticated(AuthRequest),
    /// The session is up: now change epoch and owners. Follows `accept` at once after a full handshake, and with the
    /// client's first transport message after a resumption.
    Established(ServerEstablished),
    /// The client offers further services and has proven these: answer with `answer_register`.
    Registering {
        /// Name of the question.
        request: u64,
        /// At least one; those that were not proven are answered by the machine.
        proven: Vec<ProvenService>,
    },
    /// The client drops services.
    Unregistered {
        /// Which; all were granted or taken.
        services: Vec<ServiceName>,
    },
    /// The peer answered a ping.
    Pong {
        /// Round-trip time.
        rtt: Duration,
    },
    /// The client is draining: its services go to another client, its visitors may go on.
    PeerClosing {
        /// [`CloseReason::GoingAway`].
        reason: CloseReason,
        /// Until when the peer goes on, from now.
        deadline: Duration,
        /// For the log.
        text: String,
    },
    /// The end. Nothing follows; drain `poll_transmit`, then close the connection.
    Closed(Closed),
}

/// A client that has proven at least one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthRequest {
    /// Its process.
    pub instance: InstanceId,
    /// Whether a ticket was used.
    pub resumed: bool,
    /// Agreed features.
    pub features: Features,
    /// In the order of the offer.
    pub proven: Vec<ProvenService>,
    /// Names that were offered and refused, for the log.
    pub refused: Vec<ServiceName>,
}

/// The driver's answer to an [`AuthRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Name of the session.
    pub session: SessionId,
    /// Epoch that this control carrier gets.
    pub epoch: Epoch,
    /// Most carriers of the session.
    pub max_carriers: u32,
    /// Most visitors at a time; `None` is no limit.
    pub max_visitors: Option<u32>,
    /// One for each service of [`AuthRequest::proven`], in that order; a missing one is [`Grant::Limit`].
    pub grants: Vec<Grant>,
}

/// A session from the server's side.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerEstablished {
    /// As decided.
    pub session: SessionId,
    /// As decided.
    pub epoch: Epoch,
    /// The client's process.
    pub instance: InstanceId,
    /// For the carriers of this epoch.
    pub carrier_key: CarrierKey,
    /// Whether a ticket was used.
    pub resumed: bool,
    /// Agreed features.
    pub features: Features,
    /// The services that were granted.
    pub services: Vec<ProvenService>,
}
