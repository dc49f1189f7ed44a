//! `[server]`: the public end of the tunnel.

use super::{Limits, ListenAddr, MuxParams, ServiceName, SocketOptions, Token, Transport};
use std::collections::BTreeMap;
use std::time::Duration;

/// What `[server]` asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerSpec {
    /// Where clients connect: at least one.
    pub listen: Vec<ListenAddr>,
    /// Carrier and lane.
    pub transport: Transport,
    /// Options of carrier sockets.
    pub carrier_socket: SocketOptions,
    /// Interval of pings on the control carrier.
    pub heartbeat: Duration,
    /// How long a session lives without a control carrier.
    pub session_timeout: Duration,
    /// Most carriers of one session.
    pub max_carriers: u32,
    /// `[server.limits]`: budget of each session.
    pub session_limits: Limits,
    /// The services by name: at most [`super::MAX_SERVICES`].
    pub services: BTreeMap<ServiceName, ServerService>,
}

/// What `[server.services.NAME]` asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerService {
    /// Where visitors arrive.
    pub listen: ListenAddr,
    /// The secret that a client proves.
    pub token: Token,
    /// Options of visitors' sockets.
    pub visitor_socket: SocketOptions,
    /// smux parameters (mux lane only).
    pub mux: MuxParams,
    /// 0 (most urgent) to 3.
    pub priority: u8,
    /// PROXY protocol header to put before a visitor's bytes.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Budget of the service.
    pub limits: Limits,
}

/// Version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Text header.
    V1,
    /// Binary header.
    V2,
}
