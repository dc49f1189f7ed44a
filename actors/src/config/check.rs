//! What only shows when sections and services are seen together.

use super::raw::{RawClient, RawFile, RawServer};
use super::reader::{Field, Place, Reader};
use super::value::PublicListen;
use kariz_proto::model::{HostPort, ListenAddr, Spec};

/// Most public ports of one file, ranges counted in full.
pub(super) const MAX_PUBLIC_PORTS: usize = 65_536;

/// Reports conflicts between sections and between services.
pub(super) fn across_sections(raw: &RawFile, spec: &Spec, reader: &mut Reader<'_>) {
    bind_conflicts(raw, reader);
    if let (Some(server), Some(client)) = (&raw.server, &raw.client) {
        both_ends(server, client, spec, reader);
    }
}

/// Reports a target whose ports do not fit the public ones: it needs as many, or one.
pub(super) fn ports_fit(
    bind: &Field<PublicListen>,
    target: &HostPort,
    place: &Place,
    shown: &Option<String>,
    reader: &mut Reader<'_>,
) {
    let (public, inner) = (bind.value.0.ports.count(), target.ports.count());
    if inner != 1 && inner != public {
        let expected = format!(
            "{inner} ports, expected one, or as many as {} has ({public})",
            bind.place.key
        );
        reader.error(place, shown.clone(), expected);
    }
}

/// An address that will be listened on.
struct Bind<'a> {
    listen: ListenAddr,
    place: &'a Place,
    shown: &'a Option<String>,
    /// Whether visitors arrive there, rather than clients.
    public: bool,
}

fn bind_conflicts(raw: &RawFile, reader: &mut Reader<'_>) {
    let binds = binds(raw);
    let public_ports: usize = binds
        .iter()
        .filter(|bind| bind.public)
        .map(|bind| bind.listen.ports.count())
        .sum();
    if let Some(last) = binds.last().filter(|_| public_ports > MAX_PUBLIC_PORTS) {
        let expected =
            format!("{public_ports} public ports with this one, expected at most {MAX_PUBLIC_PORTS} in a file");
        reader.error(last.place, last.shown.clone(), expected);
    }
    for (index, bind) in binds.iter().enumerate() {
        let same_list = |other: &&Bind<'_>| !bind.public && !other.public && other.listen == bind.listen;
        if let Some(taken) = binds[..index]
            .iter()
            .filter(|other| !same_list(other))
            .find(|other| bind.listen.overlaps(other.listen))
        {
            let expected = format!(
                "an address that {} listens on (line {}), expected one that is free",
                taken.place.key, taken.place.line
            );
            reader.error(bind.place, bind.shown.clone(), expected);
        }
    }
}

/// Every address of the file, in the order of lines.
fn binds(raw: &RawFile) -> Vec<Bind<'_>> {
    let mut binds = Vec::new();
    if let Some(Field { value: server, .. }) = &raw.server {
        let carriers = server
            .bind_addr
            .iter()
            .chain(server.bind_addrs.iter().flat_map(|list| &list.value.0));
        binds.extend(carriers.map(|field| Bind {
            listen: field.value.0,
            place: &field.place,
            shown: &field.shown,
            public: false,
        }));
    }
    let server = raw.server.iter().flat_map(|server| &server.value.services);
    let server = server
        .flat_map(|services| &services.value.0)
        .filter_map(|(_, service)| service.value.bind_addr.as_ref());
    let relay = raw.relay.iter().flat_map(|relay| &relay.value.services);
    let relay = relay
        .flat_map(|services| &services.value.0)
        .filter_map(|(_, service)| service.value.bind_addr.as_ref());
    binds.extend(server.chain(relay).map(|field| Bind {
        listen: field.value.0,
        place: &field.place,
        shown: &field.shown,
        public: true,
    }));
    binds.sort_by_key(|bind| bind.place.line);
    binds
}

/// Compares a server and a client in one file. They need not be meant for each other, so that most of it is worth
/// a warning only.
fn both_ends(server: &Field<RawServer>, client: &Field<RawClient>, spec: &Spec, reader: &mut Reader<'_>) {
    if reader.is_refused(&server.place, "services") || reader.is_refused(&client.place, "services") {
        return;
    }
    let (raw_server, raw_client) = (&server.value, &client.value);
    if let (Some(server), Some(client)) = (&raw_server.transport, &raw_client.transport)
        && server.value != client.value
    {
        reader.warning(
            &client.place,
            client.shown.clone(),
            format!("expected the transport of {}", server.place.key),
        );
    }
    let server_services = raw_server
        .services
        .as_ref()
        .map_or(&[][..], |services| &services.value.0);
    let client_services = raw_client
        .services
        .as_ref()
        .map_or(&[][..], |services| &services.value.0);
    for (name, service) in server_services {
        let Some((_, counterpart)) = client_services.iter().find(|(other, _)| other == name) else {
            reader.warning(
                &service.place,
                None,
                "no such service in [client], expected it at both ends",
            );
            continue;
        };
        if let (Some(bind), Some(target)) = (&service.value.bind_addr, &counterpart.value.local_addr) {
            ports_fit(bind, &target.value.0, &target.place, &target.shown, reader);
        }
        let server_token = spec
            .server
            .as_ref()
            .and_then(|server| server.services.get(name))
            .map(|service| &service.token);
        let client_token = spec
            .client
            .as_ref()
            .and_then(|client| client.services.get(name))
            .map(|service| &service.token);
        if let (Some(server_token), Some(client_token)) = (server_token, client_token)
            && server_token != client_token
        {
            let expected = format!("expected the token that {} has", service.place.key);
            reader.warning(&counterpart.place, None, expected);
        }
    }
    for (name, service) in client_services {
        if !server_services.iter().any(|(other, _)| other == name) {
            reader.warning(
                &service.place,
                None,
                "no such service in [server], expected it at both ends",
            );
        }
    }
}
