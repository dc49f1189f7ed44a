//! Services as they are offered, proven and answered.

use crate::model::{MuxVersion, ServerService, ServiceName, Token};
use std::collections::BTreeMap;

/// A service that a client offers to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceOffer {
    /// Under which both ends know it.
    pub name: ServiceName,
    /// What its visitors are.
    pub kind: ServiceKind,
    /// Proven in both directions, never sent.
    pub token: Token,
    /// Idle carriers that the client wants kept ready.
    pub connection_pool: u32,
    /// smux version that the client asks for.
    pub mux_version: MuxVersion,
    /// Streams on a carrier before another one is wanted; 0 leaves it to the server.
    pub mux_concurrency: u16,
}

/// What the visitors of a service are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServiceKind {
    /// TCP connections.
    Tcp,
}

/// What a server has to know of a service to check a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownService {
    /// The secret.
    pub token: Token,
    /// smux version that the server asks for.
    pub mux_version: MuxVersion,
}

impl From<&ServerService> for KnownService {
    fn from(service: &ServerService) -> Self {
        Self {
            token: service.token.clone(),
            mux_version: service.mux.version,
        }
    }
}

/// The services of a server by name.
pub type KnownServices = BTreeMap<ServiceName, KnownService>;

/// A service whose token the client has proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenService {
    /// Which.
    pub name: ServiceName,
    /// Idle carriers that the client wants kept ready.
    pub connection_pool: u32,
    /// Agreed smux version: the lower one of both ends.
    pub mux_version: MuxVersion,
    /// Streams on a carrier that the client wants at most; 0 leaves it to the server.
    pub mux_concurrency: u16,
}

/// The server's driver's answer to a proven service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grant {
    /// The session serves it from now on.
    Ok,
    /// Another living instance serves it.
    Taken,
    /// A bound on services is reached.
    Limit,
}

/// What became of a service that the client offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceStatus {
    /// Which.
    pub name: ServiceName,
    /// The outcome.
    pub outcome: ServiceOutcome,
}

/// The outcome of an offer, as the client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServiceOutcome {
    /// Both ends have proven the token: visitors may come.
    Ok {
        /// Agreed smux version.
        mux_version: MuxVersion,
    },
    /// The server does not take it, for this reason.
    Refused(Refusal),
    /// Another living instance serves it: try again later, or wait for a [`super::ClientEvent::Registered`].
    Taken,
    /// A bound on services is reached.
    Limit,
    /// The server accepted it without proving the token: nothing of it is acted on.
    ServerUnproven,
}

/// Why a service was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Not said: no other service of the session is proven.
    Unsaid,
    /// The server has no service of that name.
    UnknownService,
    /// The token is wrong.
    WrongToken,
    /// The server's service is of another kind.
    Kind,
}
