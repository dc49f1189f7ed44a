//! The last value within each bound is accepted, and the next one is not.

use super::super::{MAX_FILE_BYTES, Options, load};
use super::{CLIENT, SERVER, read};

/// Whether a server, a client or `[runtime]` with this key and value is accepted.
fn accepts(section: &str, key: &str, value: &str) -> bool {
    let text = match section {
        "server" => format!("{SERVER}{key} = {value}\n"),
        "client" => format!("{CLIENT}{key} = {value}\n"),
        _ => format!("{SERVER}[{section}]\n{key} = {value}\n"),
    };
    read(&text).is_ok()
}

#[test]
fn numbers_are_accepted_up_to_their_bounds() {
    let rate: u64 = 1 << 40;
    for (section, key, last) in [
        ("runtime", "workers", 256),
        ("runtime", "max_visitors", u32::MAX.into()),
        ("server", "max_carriers", 65_536),
        ("server", "default_mux_concurrency", 65_535),
        ("server", "default_mux_framesize", 65_535),
        ("server", "default_mux_recievebuffer", i32::MAX as u64),
        ("server", "so_sndbuf", i32::MAX as u64),
        ("server", "mss", 32_767),
        ("server", "limits.visitors", u32::MAX.into()),
        ("limits", "bytes_per_second", rate),
        ("limits", "bytes_per_second = 1\nburst_bytes", rate),
        ("limits", "messages_per_second", rate),
        ("limits", "messages_per_second = 1\nburst_messages", rate),
        ("client", "max_carriers = 65536\ndefault_connection_pool", 65_536),
        ("server", "services.a.bind_addr = \":1\"\nservices.a.priority", 3),
    ] {
        assert!(accepts(section, key, &last.to_string()), "{key} = {last}");
        assert!(!accepts(section, key, &(last + 1).to_string()), "{key} = {last} + 1");
    }
}

#[test]
fn durations_are_accepted_up_to_a_day_and_keep_alive_up_to_the_kernels_limit() {
    for (section, key, last, beyond) in [
        ("client", "retry_max", "\"24h\"", "\"24h 1ns\""),
        ("client", "retry_max", "86400", "86401"),
        ("runtime", "drain_timeout", "86400", "86400.1"),
        ("client", "keep_alive", "32767", "32768"),
    ] {
        assert!(accepts(section, key, last), "{key} = {last}");
        assert!(!accepts(section, key, beyond), "{key} = {beyond}");
    }
}

#[test]
fn host_names_and_their_labels_are_accepted_up_to_their_bounds() {
    let remote = |host: &str| accepts("client", "remote_addrs", &format!("[\"{host}:1\"]"));
    let label = "a".repeat(63);
    assert!(remote(&format!("{label}.example")));
    assert!(!remote(&format!("{label}a.example")));
    // Three labels of 64 bytes with their dots, and 61 bytes.
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    assert_eq!(longest.len(), 253);
    assert!(remote(&longest));
    assert!(!remote(&format!("{longest}b")));
    // The dot of the root does not count.
    assert!(remote(&format!("{longest}.")));
}

#[test]
fn files_are_read_up_to_their_bound() {
    let path = std::env::temp_dir().join(format!("kariz-config-{}.toml", std::process::id()));
    let mut text = format!("{SERVER}#");
    text.push_str(&"x".repeat(MAX_FILE_BYTES as usize - text.len()));
    std::fs::write(&path, &text).unwrap();
    let longest = load(&path, Options::default());
    std::fs::write(&path, text + "x").unwrap();
    let longer = load(&path, Options::default());
    std::fs::remove_file(&path).unwrap();
    assert!(longest.is_ok(), "{longest:?}");
    let problems = longer.unwrap_err().list;
    assert!(problems.len() == 1 && problems[0].expected.ends_with("it has more than 1048576 bytes"));
}

#[test]
fn secret_files_are_read_up_to_their_bound() {
    let path = std::env::temp_dir().join(format!("kariz-secret-{}", std::process::id()));
    let token = format!("{{ file = \"{}\" }}", path.display());
    let text = SERVER.replace("\"0123456789abcdef\"", &token);
    let config = path.with_extension("toml");
    std::fs::write(&config, text).unwrap();
    let taken = [4096, 4097].map(|length| {
        std::fs::write(&path, "x".repeat(length) + "\r\n").unwrap();
        load(&config, Options::default()).is_ok()
    });
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(&config).unwrap();
    assert_eq!(taken, [true, false]);
}
