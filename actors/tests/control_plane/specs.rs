//! Specifications for the tests.

use kariz_proto::model::{
    ClientService, ClientSpec, HostPort, Limits, ListenAddr, MuxParams, PortRange, RelayService, RelaySpec,
    RuntimeSpec, ServerService, ServerSpec, ServiceName, SocketOptions, Spec, Strategy, Token, Transport,
};
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) const TOKEN: &str = "a token of some length";

/// A listening address on every interface.
pub(crate) fn listen(port: u16) -> ListenAddr {
    ListenAddr {
        ip: None,
        ports: PortRange::single(port),
    }
}

pub(crate) fn host_port(text: &str) -> HostPort {
    let (host, port) = text.rsplit_once(':').unwrap();
    HostPort {
        host: host.into(),
        ports: PortRange::single(port.parse().unwrap()),
    }
}

pub(crate) fn server_service(port: u16, token: &str) -> ServerService {
    ServerService {
        listen: listen(port),
        token: Token::new(token),
        visitor_socket: SocketOptions::default(),
        mux: MuxParams::default(),
        priority: 1,
        proxy_protocol: None,
        limits: Limits::default(),
    }
}

/// A server with services on ports from 4000.
pub(crate) fn server(names: &[&str]) -> Spec {
    let services = names
        .iter()
        .zip(4000..)
        .map(|(name, port)| ((*name).into(), server_service(port, TOKEN)));
    let server = ServerSpec {
        listen: vec![listen(2000)],
        transport: Transport::Tcp,
        carrier_socket: SocketOptions::default(),
        heartbeat: Duration::from_secs(5),
        session_timeout: Duration::from_secs(30),
        max_carriers: 4096,
        session_limits: Limits::default(),
        services: services.collect(),
    };
    Spec {
        server: Some(server),
        ..Spec::default()
    }
}

pub(crate) fn client_service(token: &str) -> ClientService {
    ClientService {
        target: host_port("127.0.0.1:22"),
        token: Token::new(token),
        connection_pool: 8,
        retry_interval: Duration::from_secs(3),
        dial_timeout: Duration::from_secs(10),
        target_socket: SocketOptions::default(),
        mux: MuxParams::default(),
    }
}

/// A client of the given servers with the given services.
pub(crate) fn client(remotes: &[&str], names: &[&str]) -> Spec {
    let services: BTreeMap<ServiceName, ClientService> = names
        .iter()
        .map(|name| ((*name).into(), client_service(TOKEN)))
        .collect();
    let client = ClientSpec {
        remotes: remotes.iter().map(|text| host_port(text)).collect(),
        strategy: Strategy::Failover,
        transport: Transport::Tcp,
        local_addrs: Vec::new(),
        carrier_socket: SocketOptions::default(),
        heartbeat: Duration::from_secs(5),
        retry_interval: Duration::from_secs(3),
        retry_max: Duration::from_secs(5),
        dial_timeout: Duration::from_secs(10),
        max_carriers: 4096,
        services,
    };
    Spec {
        client: Some(client),
        ..Spec::default()
    }
}

/// A relay with one forwarding for each name on ports from 5000.
pub(crate) fn relay(names: &[&str]) -> Spec {
    let service = |port| RelayService {
        listen: listen(port),
        remotes: vec![host_port("127.0.0.1:80"), host_port("127.0.0.2:80")],
        strategy: Strategy::Failover,
        dial_timeout: Duration::from_secs(10),
        socket: SocketOptions::default(),
        proxy_protocol: None,
        limits: Limits::default(),
    };
    let services = names
        .iter()
        .zip(5000..)
        .map(|(name, port)| ((*name).into(), service(port)))
        .collect();
    Spec {
        relay: Some(RelaySpec { services }),
        ..Spec::default()
    }
}

/// With other limits on handshakes.
pub(crate) fn with_handshakes(mut spec: Spec, max: u32) -> Spec {
    spec.runtime = RuntimeSpec {
        max_handshakes: max,
        ..RuntimeSpec::default()
    };
    spec
}
