//! The example files of Rocket's documentation run unchanged, and both ends meet.

use super::super::{Options, load};
use kariz_proto::model::{ClientSpec, ServerSpec, Spec};
use std::path::PathBuf;

fn example(name: &str) -> Spec {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/rocket-examples")
        .join(name);
    let loaded = load(&path, Options::default()).unwrap_or_else(|problems| panic!("{name}:\n{problems}"));
    for warning in &loaded.warnings {
        let about_secrets = warning.expected.contains("short token") || warning.expected.contains("a secret in a file");
        assert!(about_secrets, "{name}: {warning}");
    }
    loaded.spec
}

fn pair(name: &str) -> (ServerSpec, ClientSpec) {
    let server = example(&format!("{name}-server.toml")).server.unwrap();
    let client = example(&format!("{name}-client.toml")).client.unwrap();
    (server, client)
}

#[test]
fn both_ends_of_each_example_meet() {
    for name in ["simple", "services", "every-key"] {
        let (server, client) = pair(name);
        assert_eq!(server.transport, client.transport, "{name}");
        let server_tokens: Vec<_> = server
            .services
            .iter()
            .map(|(name, service)| (name, &service.token))
            .collect();
        let client_tokens: Vec<_> = client
            .services
            .iter()
            .map(|(name, service)| (name, &service.token))
            .collect();
        assert_eq!(server_tokens, client_tokens, "{name}");
        assert!(!server_tokens.is_empty(), "{name}");
        let ports: Vec<_> = server.listen.iter().map(|listen| listen.ports).collect();
        assert!(
            client.remotes.iter().all(|remote| ports.contains(&remote.ports)),
            "{name}"
        );
    }
}

#[test]
fn short_forms_of_addresses_are_written_out() {
    let (server, client) = pair("every-key");
    assert_eq!(server.services["web"].listen.to_string(), "0.0.0.0:2057");
    assert_eq!(client.services["web"].target.to_string(), "127.0.0.1:5201");
    let listen: Vec<_> = server.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, [":4040", ":4041"]);
    let remotes: Vec<_> = client.remotes.iter().map(ToString::to_string).collect();
    assert_eq!(remotes, ["127.0.0.1:4040", "127.0.0.1:4041"]);
}

#[test]
fn values_of_services_arrive_beside_defaults() {
    let (server, client) = pair("services");
    assert_eq!(server.services["ssh"].mux.concurrency, 32);
    assert_eq!(server.services["ssh"].visitor_socket.keep_alive.unwrap().as_secs(), 60);
    assert_eq!(server.services["web"].visitor_socket.keep_alive.unwrap().as_secs(), 20);
    assert_eq!(server.carrier_socket.keep_alive.unwrap().as_secs(), 30);
    assert_eq!(client.services["ssh"].connection_pool, 4);
    assert_eq!(client.services["ssh"].retry_interval.as_secs(), 5);
}
