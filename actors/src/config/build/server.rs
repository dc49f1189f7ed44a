//! `[server]` and its services.

use super::super::raw::{RawServer, RawServerService};
use super::super::reader::{Field, Reader};
use super::common::{CarrierKeys, DefaultToken, MuxKeys, stream_socket, union};
use super::process::limits;
use kariz_proto::model::{MuxParams, ServerService, ServerSpec, SocketOptions, Transport};
use std::time::Duration;

const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(5);
const DEFAULT_SESSION_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_MAX_CARRIERS: u32 = 4096;
/// Between the classes, so that a service can be put before or behind those that say nothing.
const DEFAULT_PRIORITY: u8 = 1;

pub(super) fn server(section: &Field<RawServer>, reader: &mut Reader<'_>) -> Option<ServerSpec> {
    let Field { value: raw, place, .. } = section;
    let defaults = Defaults {
        transport: raw.transport.as_ref().map(|field| field.value),
        token: DefaultToken::of(&raw.default_token, place, reader),
        socket: stream_socket(
            &raw.default_keep_alive,
            &raw.default_disable_nodelay,
            SocketOptions::default(),
        ),
        mux: MuxKeys::from(raw).over(MuxParams::default(), reader),
    };
    if raw.bind_addr.is_none() && raw.bind_addrs.is_none() {
        reader.missing(
            place,
            &["bind_addr", "bind_addrs"],
            "where clients connect, such as \":4040\" (or bind_addrs)",
        );
    }
    if raw.transport.is_none() {
        reader.missing(place, &["transport"], "\"tcp\" or \"tcpmux\"");
    }
    if let Some(retry_max) = &raw.retry_max {
        reader.warning(
            &retry_max.place,
            retry_max.shown.clone(),
            "without effect in [server], expected in [client]",
        );
    }
    let heartbeat = raw.heartbeat.as_ref().map_or(DEFAULT_HEARTBEAT, |field| field.value.0);
    let session_timeout = raw
        .session_timeout
        .as_ref()
        .map_or(DEFAULT_SESSION_TIMEOUT, |field| field.value.0);
    if let Some(written) = raw
        .session_timeout
        .as_ref()
        .or(raw.heartbeat.as_ref())
        .filter(|_| session_timeout < heartbeat)
    {
        reader.error(
            &written.place,
            written.shown.clone(),
            "expected a session_timeout that is not below the heartbeat",
        );
    }
    let raw_services = raw.services.as_ref().map_or(&[][..], |services| &services.value.0);
    super::warn_without_services(raw_services.len(), place, reader);
    let services = raw_services
        .iter()
        .filter_map(|(name, service)| Some((name.clone(), self::service(service, &defaults, reader)?)))
        .collect();
    Some(ServerSpec {
        listen: union(&raw.bind_addr, &raw.bind_addrs)
            .into_iter()
            .map(|field| field.value.0)
            .collect(),
        transport: defaults.transport?,
        carrier_socket: CarrierKeys {
            so_rcvbuf: &raw.so_rcvbuf,
            so_sndbuf: &raw.so_sndbuf,
            mss: &raw.mss,
            keep_alive: &raw.keep_alive,
            disable_nodelay: &raw.disable_nodelay,
        }
        .options(),
        heartbeat,
        session_timeout,
        max_carriers: raw
            .max_carriers
            .as_ref()
            .map_or(DEFAULT_MAX_CARRIERS, |field| field.value.0),
        session_limits: limits(raw.limits.as_ref(), reader),
        services,
    })
}

/// What services have that do not say otherwise.
struct Defaults {
    transport: Option<Transport>,
    token: DefaultToken,
    socket: SocketOptions,
    mux: MuxParams,
}

fn service(service: &Field<RawServerService>, defaults: &Defaults, reader: &mut Reader<'_>) -> Option<ServerService> {
    let Field { value: raw, place, .. } = service;
    if raw.bind_addr.is_none() {
        reader.missing(place, &["bind_addr"], "where visitors arrive, such as \"0.0.0.0:80\"");
    }
    let keys = MuxKeys::from(raw);
    keys.warn_without_mux(defaults.transport, reader);
    let mux = keys.over(defaults.mux, reader);
    let token = defaults.token.or(&raw.token, place, reader);
    let limits = limits(raw.limits.as_ref(), reader);
    Some(ServerService {
        listen: raw.bind_addr.as_ref()?.value.0,
        token: token?,
        visitor_socket: stream_socket(&raw.keep_alive, &raw.disable_nodelay, defaults.socket),
        mux,
        priority: raw
            .priority
            .as_ref()
            .and_then(|field| u8::try_from(field.value.0).ok())
            .unwrap_or(DEFAULT_PRIORITY),
        proxy_protocol: raw.proxy_protocol.as_ref().map(|field| field.value),
        limits,
    })
}
