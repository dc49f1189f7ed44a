//! `[client]` and its services.

use super::super::value::{
    ConnectionPool, EdgeAddr, FrameSize, KeepAlive, List, MaxCarriers, Mss, MuxBuffer, MuxConcurrency,
    PositiveDuration, Remote, Secret, ServiceType, Services, SocketBuffer, SourceAddr, Target,
};
use super::section;
use kariz_proto::model::{LogLevel, MuxVersion, Strategy, Transport};

section! {
    /// `[client]`.
    RawClient {
        remote_addr: Remote,
        remote_addrs: List<Remote>,
        strategy: Strategy,
        transport: Transport,
        default_token: Secret,
        local_addrs: List<SourceAddr>,
        edge_ip: EdgeAddr,
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
        default_retry_interval: PositiveDuration,
        default_dial_timeout: PositiveDuration,
        default_connection_pool: ConnectionPool,
        heartbeat: PositiveDuration,
        session_timeout: PositiveDuration,
        retry_max: PositiveDuration,
        max_carriers: MaxCarriers,
        services: Services<RawClientService>,
    }
}

section! {
    /// `[client.services.NAME]`.
    RawClientService {
        local_addr: Target,
        kind("type"): ServiceType,
        token: Secret,
        connection_pool: ConnectionPool,
        retry_interval: PositiveDuration,
        dial_timeout: PositiveDuration,
        disable_nodelay: bool,
        keep_alive: KeepAlive,
        mux_concurrency: MuxConcurrency,
        mux_version: MuxVersion,
        mux_framesize: FrameSize,
        mux_receivebuffer("mux_recievebuffer", "mux_receivebuffer"): MuxBuffer,
        mux_streambuffer: MuxBuffer,
    }
}
