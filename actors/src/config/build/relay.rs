//! `[relay]` and its services.

use super::super::raw::{RawRelay, RawRelayService};
use super::super::reader::{Field, Reader};
use super::common::{stream_socket, union, value_or};
use super::process::limits;
use kariz_proto::model::{RelayService, RelaySpec, SocketOptions, Strategy};
use std::time::Duration;

const DEFAULT_DIAL_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn relay(section: &Field<RawRelay>, reader: &mut Reader<'_>) -> RelaySpec {
    let Field { value: raw, place, .. } = section;
    let services = raw.services.as_ref().map_or(&[][..], |services| &services.value.0);
    super::warn_without_services(services.len(), place, reader);
    let services = services
        .iter()
        .filter_map(|(name, service)| Some((name.clone(), self::service(service, reader)?)))
        .collect();
    RelaySpec { services }
}

fn service(service: &Field<RawRelayService>, reader: &mut Reader<'_>) -> Option<RelayService> {
    let Field { value: raw, place, .. } = service;
    if raw.bind_addr.is_none() {
        reader.missing(place, &["bind_addr"], "where visitors arrive, such as \"0.0.0.0:80\"");
    }
    if raw.remote_addr.is_none() && raw.remote_addrs.is_none() {
        reader.missing(
            place,
            &["remote_addr", "remote_addrs"],
            "where they go, such as \"192.0.2.1:443\" (or remote_addrs)",
        );
    }
    let remotes = union(&raw.remote_addr, &raw.remote_addrs);
    for remote in &remotes {
        if let Some(bind) = &raw.bind_addr {
            super::super::check::ports_fit(bind, &remote.value.0, &remote.place, &remote.shown, reader);
        }
    }
    let limits = limits(raw.limits.as_ref(), reader);
    Some(RelayService {
        listen: raw.bind_addr.as_ref()?.value.0,
        remotes: remotes.into_iter().map(|field| field.value.0.clone()).collect(),
        strategy: value_or(&raw.strategy, Strategy::default()),
        dial_timeout: raw
            .dial_timeout
            .as_ref()
            .map_or(DEFAULT_DIAL_TIMEOUT, |field| field.value.0),
        socket: stream_socket(&raw.keep_alive, &raw.disable_nodelay, SocketOptions::default()),
        proxy_protocol: raw.proxy_protocol.as_ref().map(|field| field.value),
        limits,
    })
}
