//! `[server]` and its services.

use super::super::value::{
    CarrierListen, FrameSize, KeepAlive, List, MaxCarriers, Mss, MuxBuffer, MuxConcurrency, PositiveDuration, Priority,
    PublicListen, Secret, ServiceType, Services, SocketBuffer,
};
use super::{RawLimits, section};
use kariz_proto::model::{LogLevel, MuxVersion, ProxyProtocol, Transport};

section! {
    /// `[server]`.
    RawServer {
        bind_addr: CarrierListen,
        bind_addrs: List<CarrierListen>,
        transport: Transport,
        default_token: Secret,
        log_level: LogLevel,
        so_rcvbuf: SocketBuffer,
        so_sndbuf: SocketBuffer,
        mss: Mss,
        keep_alive: KeepAlive,
        disable_nodelay: bool,
        default_disable_nodelay: bool,
        default_keep_alive: KeepAlive,
        default_mux_concurrency: MuxConcurrency,
        default_mux_version: MuxVersion,
        default_mux_framesize: FrameSize,
        default_mux_receivebuffer("default_mux_recievebuffer", "default_mux_receivebuffer"): MuxBuffer,
        default_mux_streambuffer: MuxBuffer,
        heartbeat: PositiveDuration,
        session_timeout: PositiveDuration,
        retry_max: PositiveDuration,
        max_carriers: MaxCarriers,
        limits: RawLimits,
        services: Services<RawServerService>,
    }
}

section! {
    /// `[server.services.NAME]`.
    RawServerService {
        bind_addr: PublicListen,
        kind("type"): ServiceType,
        token: Secret,
        disable_nodelay: bool,
        keep_alive: KeepAlive,
        mux_concurrency: MuxConcurrency,
        mux_version: MuxVersion,
        mux_framesize: FrameSize,
        mux_receivebuffer("mux_recievebuffer", "mux_receivebuffer"): MuxBuffer,
        mux_streambuffer: MuxBuffer,
        priority: Priority,
        proxy_protocol: ProxyProtocol,
        limits: RawLimits,
    }
}
