//! Every key, set to something that is not its default, arrives in the specification.

use super::read;
use kariz_proto::model::{ClientService, IoDriver, LogFormat, LogLevel, MuxVersion, ProxyProtocol, RelayService};
use kariz_proto::model::{Rate, ServerService, Spec, Strategy, Transport};
use std::collections::BTreeSet;
use std::time::Duration;

/// One key: its dotted path, a value as TOML, and what the specification has to say.
#[derive(Clone, Copy)]
struct Row(&'static str, &'static str, fn(&Spec) -> bool);

/// A file with every section; each row adds its key or replaces the value.
const BASE: &str = r#"
server.bind_addr = ":4040"
server.transport = "tcpmux"
server.default_token = "0123456789abcdef"
server.services.NAME.bind_addr = ":80"
client.remote_addr = "192.0.2.1:4040"
client.transport = "tcpmux"
client.default_token = "0123456789abcdef"
client.services.NAME.local_addr = "127.0.0.1:80"
relay.services.NAME.bind_addr = ":81"
relay.services.NAME.remote_addr = "192.0.2.9:81"
"#;

fn with(key: &str, value: &str) -> String {
    let mut text: String = BASE
        .lines()
        .filter(|line| !line.starts_with(&format!("{key} ")))
        .map(|line| format!("{line}\n"))
        .collect();
    text.push_str(&format!("{key} = {value}\n"));
    // A burst says nothing without its rate.
    if let Some(section) = key.strip_suffix("burst_bytes") {
        text.push_str(&format!("{section}bytes_per_second = 70\n"));
    }
    if let Some(section) = key.strip_suffix("burst_messages") {
        text.push_str(&format!("{section}messages_per_second = 80\n"));
    }
    text
}

#[test]
fn every_key_arrives_in_the_specification() {
    let untouched = read(BASE).unwrap().spec;
    for Row(key, value, arrived) in rows() {
        let loaded = read(&with(key, value)).unwrap_or_else(|problems| panic!("{key} = {value}:\n{problems}"));
        assert!(
            arrived(&loaded.spec),
            "{key} = {value} did not arrive: {:?}",
            loaded.spec
        );
        let no_effect = WITHOUT_EFFECT.contains(&key);
        assert_eq!(arrived(&untouched), no_effect, "{key} = {value} is the default");
        assert_eq!(loaded.spec == untouched, no_effect, "{key} = {value} changes nothing");
    }
}

#[test]
fn every_key_has_a_row() {
    let keys = crate::config::keys();
    let keys: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
    let rows: BTreeSet<&str> = rows().iter().map(|row| row.0).collect();
    assert_eq!(keys, rows);
}

/// Keys that are accepted and checked, but have nothing to act on: `edge_ip` without ws and wss, tcp as the only
/// type there is, and what the other end decides.
const WITHOUT_EFFECT: &[&str] = &[
    "client.edge_ip",
    "client.session_timeout",
    "server.retry_max",
    "server.services.NAME.type",
    "client.services.NAME.type",
    "relay.services.NAME.type",
];

fn rows() -> Vec<Row> {
    [
        server_rows(),
        server_service_rows(),
        client_rows(),
        client_service_rows(),
        relay_rows(),
        process_rows(),
    ]
    .concat()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn server_service(spec: &Spec) -> &ServerService {
    &spec.server.as_ref().unwrap().services["NAME"]
}

fn client_service(spec: &Spec) -> &ClientService {
    &spec.client.as_ref().unwrap().services["NAME"]
}

fn relay_service(spec: &Spec) -> &RelayService {
    &spec.relay.as_ref().unwrap().services["NAME"]
}

macro_rules! rows {
    ($($key:literal = $value:literal => |$spec:ident| $arrived:expr;)+) => {
        vec![$(Row($key, $value, |$spec| $arrived)),+]
    };
    (server: $($key:literal = $value:literal => |$server:ident| $arrived:expr;)+) => {
        vec![$(Row($key, $value, |spec| { let $server = spec.server.as_ref().unwrap(); $arrived })),+]
    };
    (client: $($key:literal = $value:literal => |$client:ident| $arrived:expr;)+) => {
        vec![$(Row($key, $value, |spec| { let $client = spec.client.as_ref().unwrap(); $arrived })),+]
    };
}

fn server_rows() -> Vec<Row> {
    let mut rows = rows! { server:
        "server.bind_addr" = "\":4041\"" => |server| server.listen[0].to_string() == ":4041";
        "server.bind_addrs" = "[\"10.1:5\", \"[::1]:6\"]" => |server| {
            server.listen.iter().map(ToString::to_string).collect::<Vec<_>>() == [":4040", "10.0.0.1:5", "[::1]:6"]
        };
        "server.transport" = "\"tcp\"" => |server| server.transport == Transport::Tcp;
        "server.so_rcvbuf" = "\"1MiB\"" => |server| server.carrier_socket.receive_buffer == Some(1 << 20);
        "server.so_sndbuf" = "65536" => |server| server.carrier_socket.send_buffer == Some(65536);
        "server.mss" = "1340" => |server| server.carrier_socket.mss == Some(1340);
        "server.keep_alive" = "\"1m30s\"" => |server| server.carrier_socket.keep_alive == Some(seconds(90));
        "server.disable_nodelay" = "true" => |server| !server.carrier_socket.no_delay;
        "server.heartbeat" = "7" => |server| server.heartbeat == seconds(7);
        "server.session_timeout" = "31.5" => |server| server.session_timeout == Duration::from_millis(31_500);
        "server.retry_max" = "9" => |server| server.session_timeout == seconds(30);
        "server.max_carriers" = "99" => |server| server.max_carriers == 99;
        "server.limits.bytes_per_second" = "\"1MB\"" => |server| {
            server.session_limits.bytes == Some(Rate { per_second: 1_000_000, burst: 1_000_000 })
        };
        "server.limits.burst_bytes" = "90" => |server| {
            server.session_limits.bytes == Some(Rate { per_second: 70, burst: 90 })
        };
        "server.limits.messages_per_second" = "30" => |server| {
            server.session_limits.messages == Some(Rate { per_second: 30, burst: 30 })
        };
        "server.limits.burst_messages" = "90" => |server| {
            server.session_limits.messages == Some(Rate { per_second: 80, burst: 90 })
        };
        "server.limits.visitors" = "11" => |server| server.session_limits.visitors == Some(11);
    };
    rows.extend(rows! {
        "server.default_token" = "{ env = \"TOKEN\" }" => |spec| {
            server_service(spec).token.expose() == b"from the environment"
        };
        "server.log_level" = "\"debug\"" => |spec| spec.runtime.log_level == LogLevel::Debug;
        "server.default_disable_nodelay" = "true" => |spec| !server_service(spec).visitor_socket.no_delay;
        "server.default_keep_alive" = "0" => |spec| server_service(spec).visitor_socket.keep_alive.is_none();
        "server.default_mux_concurrency" = "17" => |spec| server_service(spec).mux.concurrency == 17;
        "server.default_mux_version" = "1" => |spec| server_service(spec).mux.version == MuxVersion::V1;
        "server.default_mux_framesize" = "65535" => |spec| server_service(spec).mux.frame_size == 65535;
        "server.default_mux_recievebuffer" = "\"8MiB\"" => |spec| server_service(spec).mux.receive_buffer == 8 << 20;
        "server.default_mux_receivebuffer" = "\"9MiB\"" => |spec| server_service(spec).mux.receive_buffer == 9 << 20;
        "server.default_mux_streambuffer" = "\"1MiB\"" => |spec| server_service(spec).mux.stream_buffer == 1 << 20;
    });
    rows
}

fn server_service_rows() -> Vec<Row> {
    rows! {
        "server.services.NAME.bind_addr" = "\"0.0.0:5000-5100\"" => |spec| {
            server_service(spec).listen.to_string() == "0.0.0.0:5000-5100"
        };
        "server.services.NAME.type" = "\"tcp\"" => |spec| spec.server.as_ref().unwrap().services.contains_key("NAME");
        "server.services.NAME.token" = "\"a token of its own\"" => |spec| {
            server_service(spec).token.expose() == b"a token of its own"
        };
        "server.services.NAME.disable_nodelay" = "true" => |spec| !server_service(spec).visitor_socket.no_delay;
        "server.services.NAME.keep_alive" = "21" => |spec| {
            server_service(spec).visitor_socket.keep_alive == Some(seconds(21))
        };
        "server.services.NAME.mux_concurrency" = "18" => |spec| server_service(spec).mux.concurrency == 18;
        "server.services.NAME.mux_version" = "1" => |spec| server_service(spec).mux.version == MuxVersion::V1;
        "server.services.NAME.mux_framesize" = "\"16KiB\"" => |spec| server_service(spec).mux.frame_size == 16384;
        "server.services.NAME.mux_recievebuffer" = "5000000" => |spec| server_service(spec).mux.receive_buffer == 5_000_000;
        "server.services.NAME.mux_receivebuffer" = "6000000" => |spec| server_service(spec).mux.receive_buffer == 6_000_000;
        "server.services.NAME.mux_streambuffer" = "1000000" => |spec| server_service(spec).mux.stream_buffer == 1_000_000;
        "server.services.NAME.priority" = "3" => |spec| server_service(spec).priority == 3;
        "server.services.NAME.proxy_protocol" = "\"v2\"" => |spec| {
            server_service(spec).proxy_protocol == Some(ProxyProtocol::V2)
        };
        "server.services.NAME.limits.bytes_per_second" = "50" => |spec| {
            server_service(spec).limits.bytes == Some(Rate { per_second: 50, burst: 50 })
        };
        "server.services.NAME.limits.burst_bytes" = "\"1KiB\"" => |spec| {
            server_service(spec).limits.bytes == Some(Rate { per_second: 70, burst: 1024 })
        };
        "server.services.NAME.limits.messages_per_second" = "51" => |spec| {
            server_service(spec).limits.messages == Some(Rate { per_second: 51, burst: 51 })
        };
        "server.services.NAME.limits.burst_messages" = "52" => |spec| {
            server_service(spec).limits.messages == Some(Rate { per_second: 80, burst: 52 })
        };
        "server.services.NAME.limits.visitors" = "12" => |spec| server_service(spec).limits.visitors == Some(12);
    }
}

fn client_rows() -> Vec<Row> {
    let mut rows = rows! { client:
        "client.remote_addr" = "\"server.example.com:443\"" => |client| {
            client.remotes[0].to_string() == "server.example.com:443"
        };
        "client.remote_addrs" = "[\"[2001:db8::1]:5\"]" => |client| client.remotes.last().unwrap().to_string() == "[2001:db8::1]:5";
        "client.strategy" = "\"balance\"" => |client| client.strategy == Strategy::Balance;
        "client.transport" = "\"tcp\"" => |client| client.transport == Transport::Tcp;
        "client.local_addrs" = "[\"127.0.1:0\", \"::1\"]" => |client| {
            client.local_addrs == ["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()]
        };
        "client.edge_ip" = "\"127.0.0.2\"" => |client| client.remotes[0].host == "192.0.2.1";
        "client.so_rcvbuf" = "1094304" => |client| client.carrier_socket.receive_buffer == Some(1_094_304);
        "client.so_sndbuf" = "4194304" => |client| client.carrier_socket.send_buffer == Some(4_194_304);
        "client.mss" = "1200" => |client| client.carrier_socket.mss == Some(1200);
        "client.keep_alive" = "33" => |client| client.carrier_socket.keep_alive == Some(seconds(33));
        "client.disable_nodelay" = "true" => |client| !client.carrier_socket.no_delay;
        "client.heartbeat" = "0.5" => |client| client.heartbeat == Duration::from_millis(500);
        "client.session_timeout" = "31" => |client| client.heartbeat == seconds(5);
        "client.retry_max" = "\"8s\"" => |client| client.retry_max == seconds(8);
        "client.max_carriers" = "98" => |client| client.max_carriers == 98;
    };
    rows.extend(rows! {
        "client.default_token" = "\"another default token\"" => |spec| {
            client_service(spec).token.expose() == b"another default token"
        };
        "client.log_level" = "\"trace\"" => |spec| spec.runtime.log_level == LogLevel::Trace;
        "client.default_disable_nodelay" = "true" => |spec| !client_service(spec).target_socket.no_delay;
        "client.default_keep_alive" = "19" => |spec| client_service(spec).target_socket.keep_alive == Some(seconds(19));
        "client.default_mux_concurrency" = "9" => |spec| client_service(spec).mux.concurrency == 9;
        "client.default_mux_version" = "1" => |spec| client_service(spec).mux.version == MuxVersion::V1;
        "client.default_mux_framesize" = "4096" => |spec| client_service(spec).mux.frame_size == 4096;
        "client.default_mux_recievebuffer" = "5000001" => |spec| client_service(spec).mux.receive_buffer == 5_000_001;
        "client.default_mux_receivebuffer" = "5000002" => |spec| client_service(spec).mux.receive_buffer == 5_000_002;
        "client.default_mux_streambuffer" = "4000000" => |spec| client_service(spec).mux.stream_buffer == 4_000_000;
        "client.default_retry_interval" = "2" => |spec| {
            client_service(spec).retry_interval == seconds(2) && spec.client.as_ref().unwrap().retry_interval == seconds(2)
        };
        "client.default_dial_timeout" = "4" => |spec| {
            client_service(spec).dial_timeout == seconds(4) && spec.client.as_ref().unwrap().dial_timeout == seconds(4)
        };
        "client.default_connection_pool" = "16" => |spec| client_service(spec).connection_pool == 16;
    });
    rows
}

fn client_service_rows() -> Vec<Row> {
    rows! {
        "client.services.NAME.local_addr" = "\"127.0.1:5201\"" => |spec| {
            client_service(spec).target.to_string() == "127.0.0.1:5201"
        };
        "client.services.NAME.type" = "\"tcp\"" => |spec| spec.client.as_ref().unwrap().services.contains_key("NAME");
        "client.services.NAME.token" = "\"a token of its own\"" => |spec| {
            client_service(spec).token.expose() == b"a token of its own"
        };
        "client.services.NAME.connection_pool" = "3" => |spec| client_service(spec).connection_pool == 3;
        "client.services.NAME.retry_interval" = "6" => |spec| client_service(spec).retry_interval == seconds(6);
        "client.services.NAME.dial_timeout" = "\"1m\"" => |spec| client_service(spec).dial_timeout == seconds(60);
        "client.services.NAME.disable_nodelay" = "true" => |spec| !client_service(spec).target_socket.no_delay;
        "client.services.NAME.keep_alive" = "22" => |spec| {
            client_service(spec).target_socket.keep_alive == Some(seconds(22))
        };
        "client.services.NAME.mux_concurrency" = "18" => |spec| client_service(spec).mux.concurrency == 18;
        "client.services.NAME.mux_version" = "1" => |spec| client_service(spec).mux.version == MuxVersion::V1;
        "client.services.NAME.mux_framesize" = "16000" => |spec| client_service(spec).mux.frame_size == 16000;
        "client.services.NAME.mux_recievebuffer" = "5000000" => |spec| client_service(spec).mux.receive_buffer == 5_000_000;
        "client.services.NAME.mux_receivebuffer" = "6000000" => |spec| client_service(spec).mux.receive_buffer == 6_000_000;
        "client.services.NAME.mux_streambuffer" = "1000000" => |spec| client_service(spec).mux.stream_buffer == 1_000_000;
    }
}

fn relay_rows() -> Vec<Row> {
    rows! {
        "relay.services.NAME.bind_addr" = "\"127.1:82\"" => |spec| relay_service(spec).listen.to_string() == "127.0.0.1:82";
        "relay.services.NAME.remote_addr" = "\"a.example:82\"" => |spec| {
            relay_service(spec).remotes[0].to_string() == "a.example:82"
        };
        "relay.services.NAME.remote_addrs" = "[\"a.example:82\", \"b.example:83\"]" => |spec| {
            relay_service(spec).remotes.len() == 3
        };
        "relay.services.NAME.strategy" = "\"balance\"" => |spec| relay_service(spec).strategy == Strategy::Balance;
        "relay.services.NAME.type" = "\"tcp\"" => |spec| spec.relay.as_ref().unwrap().services.contains_key("NAME");
        "relay.services.NAME.proxy_protocol" = "\"v1\"" => |spec| {
            relay_service(spec).proxy_protocol == Some(ProxyProtocol::V1)
        };
        "relay.services.NAME.dial_timeout" = "3" => |spec| relay_service(spec).dial_timeout == seconds(3);
        "relay.services.NAME.keep_alive" = "0" => |spec| relay_service(spec).socket.keep_alive.is_none();
        "relay.services.NAME.disable_nodelay" = "true" => |spec| !relay_service(spec).socket.no_delay;
        "relay.services.NAME.limits.bytes_per_second" = "50" => |spec| {
            relay_service(spec).limits.bytes == Some(Rate { per_second: 50, burst: 50 })
        };
        "relay.services.NAME.limits.burst_bytes" = "60" => |spec| {
            relay_service(spec).limits.bytes == Some(Rate { per_second: 70, burst: 60 })
        };
        "relay.services.NAME.limits.messages_per_second" = "51" => |spec| {
            relay_service(spec).limits.messages == Some(Rate { per_second: 51, burst: 51 })
        };
        "relay.services.NAME.limits.burst_messages" = "52" => |spec| {
            relay_service(spec).limits.messages == Some(Rate { per_second: 80, burst: 52 })
        };
        "relay.services.NAME.limits.visitors" = "13" => |spec| relay_service(spec).limits.visitors == Some(13);
    }
}

fn process_rows() -> Vec<Row> {
    rows! {
        "limits.bytes_per_second" = "50" => |spec| spec.limits.bytes == Some(Rate { per_second: 50, burst: 50 });
        "limits.burst_bytes" = "60" => |spec| spec.limits.bytes == Some(Rate { per_second: 70, burst: 60 });
        "limits.messages_per_second" = "51" => |spec| spec.limits.messages == Some(Rate { per_second: 51, burst: 51 });
        "limits.burst_messages" = "52" => |spec| spec.limits.messages == Some(Rate { per_second: 80, burst: 52 });
        "limits.visitors" = "14" => |spec| spec.limits.visitors == Some(14);
        "runtime.workers" = "3" => |spec| spec.runtime.workers == Some(3);
        "runtime.pin" = "false" => |spec| !spec.runtime.pin;
        "runtime.io" = "\"epoll\"" => |spec| spec.runtime.io == IoDriver::Epoll;
        "runtime.log_format" = "\"json\"" => |spec| spec.runtime.log_format == LogFormat::Json;
        "runtime.drain_timeout" = "0" => |spec| spec.runtime.drain_timeout == Duration::ZERO;
        "runtime.max_visitors" = "5000" => |spec| spec.runtime.max_visitors == Some(5000);
        "runtime.max_handshakes" = "64" => |spec| spec.runtime.max_handshakes == 64;
        "runtime.handshake_timeout" = "\"250ms\"" => |spec| {
            spec.runtime.handshake_timeout == Duration::from_millis(250)
        };
    }
}
