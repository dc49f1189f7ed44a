//! Raw sections become specifications: defaults are filled in, rules between keys of a section are checked.

mod client;
mod common;
mod process;
mod relay;
mod server;

use super::raw::RawFile;
use super::reader::{Place, Reader};
use kariz_proto::model::Spec;

/// The specification of a file. Where a problem was reported, the part that has it is left out; the result is for
/// use only if there was none.
pub(super) fn spec(raw: &RawFile, reader: &mut Reader<'_>) -> Spec {
    if raw.server.is_none() && raw.client.is_none() && raw.relay.is_none() {
        reader.missing_section("expected at least one of [server], [client] and [relay]");
    }
    let mut runtime = process::runtime(raw.runtime.as_ref().map(|section| &section.value));
    let levels = [
        raw.server.as_ref().map(|server| &server.value.log_level),
        raw.client.as_ref().map(|client| &client.value.log_level),
    ];
    runtime.log_level = process::most_talkative(levels);
    Spec {
        server: raw.server.as_ref().and_then(|server| server::server(server, reader)),
        client: raw.client.as_ref().and_then(|client| client::client(client, reader)),
        relay: raw.relay.as_ref().map(|relay| relay::relay(relay, reader)),
        limits: process::limits(raw.limits.as_ref(), reader),
        runtime,
    }
}

/// Warns about a section that would have nothing to do.
fn warn_without_services(count: usize, place: &Place, reader: &mut Reader<'_>) {
    if count == 0 {
        reader.warning(place, None, "no services, expected at least one under services.NAME");
    }
}
