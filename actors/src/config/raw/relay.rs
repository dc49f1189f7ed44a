//! `[relay]` and its services.

use super::super::value::{KeepAlive, List, PositiveDuration, PublicListen, ServiceType, Services, Target};
use super::{RawLimits, section};
use kariz_proto::model::{ProxyProtocol, Strategy};

section! {
    /// `[relay]`.
    RawRelay {
        services: Services<RawRelayService>,
    }
}

section! {
    /// `[relay.services.NAME]`.
    RawRelayService {
        bind_addr: PublicListen,
        remote_addr: Target,
        remote_addrs: List<Target>,
        strategy: Strategy,
        kind("type"): ServiceType,
        proxy_protocol: ProxyProtocol,
        dial_timeout: PositiveDuration,
        keep_alive: KeepAlive,
        disable_nodelay: bool,
        limits: RawLimits,
    }
}
