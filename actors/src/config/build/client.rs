//! `[client]` and its services.

use super::super::raw::{RawClient, RawClientService};
use super::super::reader::{Field, Reader};
use super::common::{CarrierKeys, DefaultToken, MuxKeys, stream_socket, union, value_or};
use kariz_proto::model::{ClientService, ClientSpec, MuxParams, SocketOptions, Strategy, Transport};
use std::time::Duration;

const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(5);
const DEFAULT_RETRY_INTERVAL: Duration = Duration::from_secs(3);
const DEFAULT_RETRY_MAX: Duration = Duration::from_secs(5);
const DEFAULT_DIAL_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_MAX_CARRIERS: u32 = 4096;
/// Idle carriers of a service where neither it nor the section says a number.
const DEFAULT_CONNECTION_POOL: u32 = 8;

pub(super) fn client(section: &Field<RawClient>, reader: &mut Reader<'_>) -> Option<ClientSpec> {
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
        retry_interval: raw
            .default_retry_interval
            .as_ref()
            .map_or(DEFAULT_RETRY_INTERVAL, |field| field.value.0),
        dial_timeout: raw
            .default_dial_timeout
            .as_ref()
            .map_or(DEFAULT_DIAL_TIMEOUT, |field| field.value.0),
        connection_pool: raw
            .default_connection_pool
            .as_ref()
            .map_or(DEFAULT_CONNECTION_POOL, |field| field.value.0),
        max_carriers: raw
            .max_carriers
            .as_ref()
            .map_or(DEFAULT_MAX_CARRIERS, |field| field.value.0),
    };
    if raw.remote_addr.is_none() && raw.remote_addrs.is_none() {
        reader.missing(
            place,
            &["remote_addr", "remote_addrs"],
            "the server, such as \"server.example.com:4040\" (or remote_addrs)",
        );
    }
    if raw.transport.is_none() {
        reader.missing(place, &["transport"], "\"tcp\" or \"tcpmux\", the same as the server's");
    }
    if let Some(timeout) = &raw.session_timeout {
        reader.warning(
            &timeout.place,
            timeout.shown.clone(),
            "without effect in [client], expected in [server]",
        );
    }
    if let Some(pool) = raw
        .default_connection_pool
        .as_ref()
        .filter(|pool| pool.value.0 > defaults.max_carriers)
    {
        let expected = format!("expected at most max_carriers ({})", defaults.max_carriers);
        reader.error(&pool.place, pool.shown.clone(), expected);
    }
    let raw_services = raw.services.as_ref().map_or(&[][..], |services| &services.value.0);
    super::warn_without_services(raw_services.len(), place, reader);
    let services = raw_services
        .iter()
        .filter_map(|(name, service)| Some((name.clone(), self::service(service, &defaults, reader)?)))
        .collect();
    Some(ClientSpec {
        remotes: union(&raw.remote_addr, &raw.remote_addrs)
            .into_iter()
            .map(|field| field.value.0.clone())
            .collect(),
        strategy: value_or(&raw.strategy, Strategy::default()),
        transport: defaults.transport?,
        local_addrs: raw
            .local_addrs
            .iter()
            .flat_map(|list| &list.value.0)
            .map(|field| field.value.0)
            .collect(),
        carrier_socket: CarrierKeys {
            so_rcvbuf: &raw.so_rcvbuf,
            so_sndbuf: &raw.so_sndbuf,
            mss: &raw.mss,
            keep_alive: &raw.keep_alive,
            disable_nodelay: &raw.disable_nodelay,
        }
        .options(),
        heartbeat: raw.heartbeat.as_ref().map_or(DEFAULT_HEARTBEAT, |field| field.value.0),
        retry_interval: defaults.retry_interval,
        retry_max: raw.retry_max.as_ref().map_or(DEFAULT_RETRY_MAX, |field| field.value.0),
        dial_timeout: defaults.dial_timeout,
        max_carriers: defaults.max_carriers,
        services,
    })
}

/// What services have that do not say otherwise.
struct Defaults {
    transport: Option<Transport>,
    token: DefaultToken,
    socket: SocketOptions,
    mux: MuxParams,
    retry_interval: Duration,
    dial_timeout: Duration,
    connection_pool: u32,
    max_carriers: u32,
}

fn service(service: &Field<RawClientService>, defaults: &Defaults, reader: &mut Reader<'_>) -> Option<ClientService> {
    let Field { value: raw, place, .. } = service;
    if raw.local_addr.is_none() {
        reader.missing(
            place,
            &["local_addr"],
            "where visitors' connections go, such as \"127.0.0.1:8080\"",
        );
    }
    if let Some(pool) = raw
        .connection_pool
        .as_ref()
        .filter(|pool| pool.value.0 > defaults.max_carriers)
    {
        let expected = format!("expected at most max_carriers ({})", defaults.max_carriers);
        reader.error(&pool.place, pool.shown.clone(), expected);
    }
    let keys = MuxKeys::from(raw);
    keys.warn_without_mux(defaults.transport, reader);
    let mux = keys.over(defaults.mux, reader);
    let token = defaults.token.or(&raw.token, place, reader);
    Some(ClientService {
        target: raw.local_addr.as_ref()?.value.0.clone(),
        token: token?,
        connection_pool: raw
            .connection_pool
            .as_ref()
            .map_or(defaults.connection_pool, |field| field.value.0),
        retry_interval: raw
            .retry_interval
            .as_ref()
            .map_or(defaults.retry_interval, |field| field.value.0),
        dial_timeout: raw
            .dial_timeout
            .as_ref()
            .map_or(defaults.dial_timeout, |field| field.value.0),
        target_socket: stream_socket(&raw.keep_alive, &raw.disable_nodelay, defaults.socket),
        mux,
    })
}
