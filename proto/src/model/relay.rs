//! `[relay]`: forwarding without a tunnel.

use super::{HostPort, Limits, ListenAddr, ProxyProtocol, ServiceName, SocketOptions, Strategy};
use std::collections::BTreeMap;
use std::time::Duration;

/// What `[relay]` asks for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RelaySpec {
    /// The forwardings by name: at most [`super::MAX_SERVICES`].
    pub services: BTreeMap<ServiceName, RelayService>,
}

/// What `[relay.services.NAME]` asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct RelayService {
    /// Where visitors arrive.
    pub listen: ListenAddr,
    /// Where their connections go: at least one.
    pub remotes: Vec<HostPort>,
    /// How several remotes are used.
    pub strategy: Strategy,
    /// Limit for dialling a remote.
    pub dial_timeout: Duration,
    /// Options of both sockets of a visitor.
    pub socket: SocketOptions,
    /// PROXY protocol header to put before a visitor's bytes.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Budget of the service.
    pub limits: Limits,
}
