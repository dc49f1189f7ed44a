//! `[client]`: the inner end of the tunnel.

use super::{HostPort, MuxParams, ServiceName, SocketOptions, Token, Transport};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// What `[client]` asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientSpec {
    /// Server addresses: at least one, in order of preference.
    pub remotes: Vec<HostPort>,
    /// How several server addresses are used.
    pub strategy: Strategy,
    /// Carrier and lane; has to fit the server's.
    pub transport: Transport,
    /// Source addresses of carriers, used in turn; empty leaves it to the kernel. Port 0 is any.
    pub local_addrs: Vec<SocketAddr>,
    /// Options of carrier sockets.
    pub carrier_socket: SocketOptions,
    /// Interval of pings on the control carrier.
    pub heartbeat: Duration,
    /// Upper bound of the first retry.
    pub retry_interval: Duration,
    /// Cap of the backoff after the first ten seconds.
    pub retry_max: Duration,
    /// Limit for dialling the server.
    pub dial_timeout: Duration,
    /// Most carriers of one session.
    pub max_carriers: u32,
    /// The services by name: at most [`super::MAX_SERVICES`].
    pub services: BTreeMap<ServiceName, ClientService>,
}

/// What `[client.services.NAME]` asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientService {
    /// Where visitors' connections go.
    pub target: HostPort,
    /// The secret that is proven to the server, and that the server has to prove.
    pub token: Token,
    /// Idle carriers kept ready.
    pub connection_pool: u32,
    /// Upper bound of the first retry for this service's registration.
    pub retry_interval: Duration,
    /// Limit for dialling the target.
    pub dial_timeout: Duration,
    /// Options of the target's socket.
    pub target_socket: SocketOptions,
    /// smux parameters (mux lane only).
    pub mux: MuxParams,
}

/// How several remote addresses are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// The first that works, back to the first when it recovers.
    #[default]
    Failover,
    /// All at once.
    Balance,
}
