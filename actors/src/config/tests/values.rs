//! Durations, sizes and addresses: what is written is what is meant, and arbitrary text does no harm.

use super::super::fuzz::fuzz_config;
use super::{CLIENT, SERVER, read};
use bytesize::ByteSize;
use kariz_proto::model::{ClientSpec, HostPort, ListenAddr, PortRange, ServerSpec, Spec};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

fn server(keys: &str) -> Option<ServerSpec> {
    read(&format!("{SERVER}{keys}\n"))
        .ok()
        .and_then(|loaded| loaded.spec.server)
}

fn client(keys: &str) -> Option<ClientSpec> {
    read(&format!("{CLIENT}{keys}\n"))
        .ok()
        .and_then(|loaded| loaded.spec.client)
}

fn relay(bind: &str, remote: &str) -> Option<Spec> {
    read(&format!(
        "[relay.services.a]\nbind_addr = \"{bind}\"\nremote_addr = \"{remote}\"\n"
    ))
    .ok()
    .map(|loaded| loaded.spec)
}

fn ports() -> impl Strategy<Value = PortRange> {
    prop_oneof![
        (1u16..).prop_map(PortRange::single),
        (1u16.., 1u16..).prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).expect("in order")),
    ]
}

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-z0-9_-]{0,20}[a-z0-9])?(\\.[a-z]([a-z0-9-]{0,10}[a-z0-9])?){1,3}"
}

proptest! {
    #[test]
    fn arbitrary_text_does_no_harm(text in any::<String>()) {
        fuzz_config(text.as_bytes());
    }

    #[test]
    fn arbitrary_values_do_no_harm(value in "[ -~]{0,40}", text in any::<String>()) {
        for key in ["bind_addr", "so_rcvbuf", "keep_alive", "heartbeat", "mss", "transport", "default_token", "bind_addrs"] {
            fuzz_config(format!("[server]\n{key} = {value}\n").as_bytes());
            fuzz_config(format!("[server]\n{key} = '''{text}'''\n").as_bytes());
        }
        for key in ["remote_addr", "local_addrs", "edge_ip", "strategy", "services"] {
            fuzz_config(format!("[client]\n{key} = {value}\n{key}x = '''{text}'''\n").as_bytes());
        }
    }

    #[test]
    fn durations_survive_being_written(millis in 10u64..=86_400_000) {
        let duration = Duration::from_millis(millis);
        let written = humantime::format_duration(duration);
        prop_assert_eq!(client(&format!("retry_max = \"{written}\"")).unwrap().retry_max, duration);
        let seconds = duration.as_secs_f64();
        let read = client(&format!("retry_max = {seconds:?}")).unwrap().retry_max;
        prop_assert!(read.abs_diff(duration) < Duration::from_micros(1), "{:?} {:?}", read, duration);
    }

    #[test]
    fn whole_seconds_are_durations(seconds in 1u64..=86_400) {
        prop_assert_eq!(client(&format!("retry_max = {seconds}")).unwrap().retry_max, Duration::from_secs(seconds));
    }

    #[test]
    fn sizes_survive_being_written(bytes in 1u32..=i32::MAX as u32, kib in 1u32..=(1 << 20)) {
        let buffer = |value: String| server(&format!("so_rcvbuf = {value}")).unwrap().carrier_socket.receive_buffer;
        prop_assert_eq!(buffer(bytes.to_string()), Some(bytes));
        prop_assert_eq!(buffer(format!("\"{bytes}B\"")), Some(bytes));
        prop_assert_eq!(buffer(format!("\"{}\"", ByteSize::b(bytes.into()).0)), Some(bytes));
        prop_assert_eq!(buffer(format!("\"{kib}KiB\"")), Some(kib << 10));
    }

    #[test]
    fn listen_addresses_survive_being_written(ip in any::<Option<IpAddr>>(), ports in ports()) {
        let listen = ListenAddr { ip, ports };
        let spec = relay(&listen.to_string(), "a.example:1").unwrap();
        // An IPv4 address in IPv6 clothes is the IPv4 address.
        let listen = ListenAddr { ip: ip.map(|ip| ip.to_canonical()), ports };
        prop_assert_eq!(spec.relay.unwrap().services["a"].listen, listen);
    }

    #[test]
    fn targets_survive_being_written(host in prop_oneof![name(), any::<IpAddr>().prop_map(|ip| ip.to_string())], ports in ports()) {
        let target = HostPort { host, ports };
        let text = target.to_string();
        let spec = client(&format!("[client.services.a]\nlocal_addr = \"{text}\"")).unwrap();
        prop_assert_eq!(&spec.services["a"].target, &target);
    }

    #[test]
    fn short_forms_mean_what_the_c_library_says(last in 0u32..1 << 24, first in any::<u8>()) {
        let expected = Ipv4Addr::from(u32::from(first) << 24 | last);
        let spec = relay(&format!("{first}.{last}:9"), "a.example:1").unwrap();
        prop_assert_eq!(spec.relay.unwrap().services["a"].listen.ip, Some(IpAddr::V4(expected)));
    }
}

#[test]
fn durations_out_of_bounds_are_refused() {
    for value in [
        "0", "-1", "0.001", "86401", "nan", "inf", "-0.5", "1e300", "true", "\"soon\"", "\"\"", "\"25h\"", "[1]",
    ] {
        assert!(client(&format!("retry_max = {value}")).is_none(), "{value}");
    }
    for value in ["32768", "1.5", "\"1500ms\"", "-1"] {
        assert!(client(&format!("keep_alive = {value}")).is_none(), "{value}");
    }
    assert_eq!(client("keep_alive = 0").unwrap().carrier_socket.keep_alive, None);
}

#[test]
fn sizes_out_of_bounds_are_refused() {
    for value in [
        "-1",
        "2147483648",
        "\"2GiB\"",
        "1.5",
        "\"lots\"",
        "\"\"",
        "\"99999999999999999999GiB\"",
        "true",
    ] {
        assert!(server(&format!("so_sndbuf = {value}")).is_none(), "{value}");
    }
    assert_eq!(server("so_sndbuf = 0").unwrap().carrier_socket.send_buffer, None);
}

#[test]
fn numbers_out_of_bounds_are_refused() {
    for keys in [
        "mss = 87",
        "mss = 32768",
        "max_carriers = 0",
        "max_carriers = 65537",
        "default_mux_version = 0",
        "default_mux_version = 3",
        "default_mux_concurrency = 0",
        "default_mux_concurrency = 65536",
        "default_mux_framesize = 0",
        "default_mux_framesize = 65536",
        "default_mux_streambuffer = 0",
        "default_mux_recievebuffer = 2147483648",
        "heartbeat = 40",
        "limits.bytes_per_second = 0",
        "limits.visitors = 0",
        "limits.burst_bytes = 1",
        "limits.messages_per_second = \"1k\"",
        "services.a = { bind_addr = \":1\", priority = -1 }",
        "services.a = { bind_addr = \":1\", priority = 4 }",
    ] {
        assert!(server(keys).is_none(), "{keys}");
    }
    for keys in [
        "default_connection_pool = 4097",
        "services.a = { local_addr = \":1\", connection_pool = 5000 }",
    ] {
        assert!(client(keys).is_none(), "{keys}");
    }
    for keys in [
        "workers = 0",
        "workers = 257",
        "max_handshakes = 0",
        "max_visitors = 4294967296",
        "drain_timeout = -1",
    ] {
        assert!(read(&format!("{SERVER}[runtime]\n{keys}\n")).is_err(), "{keys}");
    }
}

#[test]
fn addresses_that_mean_nothing_are_refused() {
    for bind in [
        "",
        ":",
        "80",
        "0.0.0.0",
        ":0",
        ":65536",
        ":+1",
        ":1-",
        ":-1",
        ":2-1",
        ":1-2-3",
        "::1:80",
        "[::1",
        "[::1]80",
        "[1.2.3.4]:1",
        "256.0.0.1:1",
        "1.2.3.4.5:1",
        "host:1",
        " :1",
        "0.0.0.0:1 ",
        "[fe80::1%eth0]:1",
        "0x:1",
    ] {
        assert!(relay(bind, "a.example:1").is_none(), "{bind:?}");
    }
    for remote in [
        "",
        "a.example",
        "a.example:0",
        "a..example:1",
        "-a.example:1",
        "a-.example:1",
        "a example:1",
        "1.2.3.256:1",
        "a.example.1:1",
        "http://a.example:1",
        "a.example:1/x",
        "user@a.example:1",
        "[a.example]:1",
        "::1:1",
        "\u{e9}.example:1",
    ] {
        assert!(relay(":1", remote).is_none(), "{remote:?}");
    }
    let long = format!("{}.example:1", "a".repeat(64));
    assert!(relay(":1", &long).is_none());
    let longer = format!("{}example:1", "abcdefg.".repeat(31));
    assert!(relay(":1", &longer).is_none());
}

#[test]
fn a_target_without_a_host_is_this_machine() {
    let spec = client("[client.services.a]\nlocal_addr = \":8080\"").unwrap();
    assert_eq!(spec.services["a"].target.to_string(), "127.0.0.1:8080");
    assert!(client("remote_addrs = [\":4040\"]").is_none());
}

#[test]
fn log_level_is_that_of_the_most_talkative_section() {
    let level = |server: &str, client: &str| {
        let text = format!("{SERVER}log_level = \"{server}\"\n{CLIENT}log_level = \"{client}\"\n");
        format!("{:?}", read(&text).unwrap().spec.runtime.log_level)
    };
    assert_eq!(level("panic", "fatal"), "Error");
    assert_eq!(level("error", "warn"), "Warn");
    assert_eq!(level("debug", "error"), "Debug");
    assert_eq!(level("info", "trace"), "Trace");
}

#[test]
fn secrets_have_bounds_and_one_source() {
    for token in [
        "\"\"",
        "{}",
        "{ env = \"TOKEN\", file = \"x\" }",
        "{ env = 3 }",
        "{ environment = \"TOKEN\" }",
        "{ env = \"NOT_SET\" }",
        "{ file = \"/etc/hostname\" }",
        "3",
        "[\"x\"]",
    ] {
        let text = SERVER.replace("\"0123456789abcdef\"", token);
        assert!(read(&text).is_err(), "{token}");
    }
    let text = SERVER.replace("0123456789abcdef", &"x".repeat(4097));
    assert!(read(&text).is_err());
    let text = SERVER.replace("0123456789abcdef", &"x".repeat(4096));
    assert!(read(&text).is_ok());
}

#[test]
fn names_and_numbers_of_services_have_bounds() {
    let services = |count: usize| -> String {
        (0..count)
            .map(|number| format!("[server.services.s{number}]\nbind_addr = \":{}\"\n", number + 5000))
            .collect()
    };
    assert!(server(&services(1024)).is_some());
    assert!(server(&services(1025)).is_none());
    let named = |name: &str| server(&format!("[server.services.\"{name}\"]\nbind_addr = \":1\"\n"));
    assert!(named(&"n".repeat(64)).is_some());
    for name in ["", "a\\nb", &"n".repeat(65)] {
        assert!(named(name).is_none(), "{name:?}");
    }
    let list = |count: usize| format!("bind_addrs = [{}]", "\":4040\", ".repeat(count));
    assert!(server(&list(64)).is_some());
    assert!(server(&list(65)).is_none());
    let ranges = |last: u16| {
        let relay = |name: &str, bind: String| {
            format!("[relay.services.{name}]\nbind_addr = \"{bind}\"\nremote_addr = \"a.example:1\"\n")
        };
        read(&(relay("a", "10.0.0.1:1-65535".to_owned()) + &relay("b", format!("10.0.0.2:1-{last}"))))
    };
    assert!(ranges(1).is_ok());
    assert!(ranges(2).is_err());
}
