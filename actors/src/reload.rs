//! What of a specification can change while the process runs.

use kariz_proto::model::{ClientSpec, RuntimeSpec, ServerSpec, Spec};

/// Sections and keys that differ and need a restart.
pub(crate) fn needs_restart(old: &Spec, new: &Spec) -> Vec<&'static str> {
    let mut keys = Vec::new();
    let mut differs = |key: &'static str, differs: bool| {
        if differs {
            keys.push(key);
        }
    };
    match (&old.server, &new.server) {
        (Some(old), Some(new)) => {
            differs("server.bind_addrs", old.listen != new.listen);
            differs("server.transport", old.transport != new.transport);
            differs("server carrier sockets", old.carrier_socket != new.carrier_socket);
        }
        (old, new) => differs("server", old.is_some() != new.is_some()),
    }
    match (&old.client, &new.client) {
        (Some(old), Some(new)) => {
            differs("client.remote_addrs", old.remotes != new.remotes);
            differs("client.strategy", old.strategy != new.strategy);
            differs("client.transport", old.transport != new.transport);
            differs("client carrier sockets", old.carrier_socket != new.carrier_socket);
        }
        (old, new) => differs("client", old.is_some() != new.is_some()),
    }
    let (mut before, mut after) = (old.runtime.clone(), new.runtime.clone());
    // The program changes the log level and the bound on visitors itself; the time to drain is read when it is needed.
    for runtime in [&mut before, &mut after] {
        runtime.log_level = old.runtime.log_level;
        runtime.max_visitors = old.runtime.max_visitors;
        runtime.drain_timeout = old.runtime.drain_timeout;
    }
    differs("runtime", before != after);
    keys
}

/// The new specification with everything that [`needs_restart`] names as it was.
pub(crate) fn keep_fixed(old: &Spec, new: Spec) -> Spec {
    let server = match (&old.server, new.server) {
        (Some(old), Some(new)) => Some(ServerSpec {
            listen: old.listen.clone(),
            transport: old.transport,
            carrier_socket: old.carrier_socket,
            ..new
        }),
        (old, _) => old.clone(),
    };
    let client = match (&old.client, new.client) {
        (Some(old), Some(new)) => Some(ClientSpec {
            remotes: old.remotes.clone(),
            strategy: old.strategy,
            transport: old.transport,
            carrier_socket: old.carrier_socket,
            ..new
        }),
        (old, _) => old.clone(),
    };
    // The workers took theirs at the start.
    let runtime = RuntimeSpec {
        max_handshakes: old.runtime.max_handshakes,
        handshake_timeout: old.runtime.handshake_timeout,
        ..new.runtime
    };
    Spec {
        server,
        client,
        runtime,
        ..new
    }
}
