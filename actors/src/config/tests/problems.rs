//! What is refused, and how it is said.

use super::super::{MAX_PROBLEMS, Options, Severity};
use super::{CLIENT, SERVER, read, read_with, refusal};

#[test]
fn every_problem_of_a_file_is_reported_in_one_go() {
    let text = "\
[server]
bind_addr = 4040
transport = \"udp\"
default_token = \"0123456789abcdef\"
keep_alive = \"soon\"
mss = 70000
max_cariers = 3

[server.services.web]
bind_addr = \"example.com:80\"
type = \"udp\"
priority = 4

[client]
remote_addr = \"192.0.2.1:4000-4001\"
transport = \"wsmux\"

[client.services.ssh]
local_addr = \"127.0.0.1:22\"
connection_pool = true
";
    let found = refusal(text);
    let expected = [
        (2, "server.bind_addr = 4040"),
        (3, "server.transport = \"udp\": expected one of \"tcp\", \"tcpmux\""),
        (5, "server.keep_alive = \"soon\""),
        (6, "server.mss = 70000"),
        (
            7,
            "server.max_cariers: unknown key, the nearest known key is max_carriers",
        ),
        (10, "server.services.web.bind_addr = \"example.com:80\""),
        (
            11,
            "server.services.web.type = \"udp\": not available yet, what works now is \"tcp\"",
        ),
        (
            12,
            "server.services.web.priority = 4: expected a whole number from 0 to 3",
        ),
        (15, "client.remote_addr = \"192.0.2.1:4000-4001\""),
        (
            16,
            "client.transport = \"wsmux\": not available yet, what works now is one of \"tcp\", \"tcpmux\"",
        ),
        (18, "client.services.ssh.token: missing"),
        (20, "client.services.ssh.connection_pool = true"),
    ];
    let errors: Vec<_> = found.iter().filter(|problem| problem.starts_with("error")).collect();
    assert_eq!(errors.len(), expected.len(), "{found:#?}");
    for ((line, phrase), problem) in expected.iter().zip(errors) {
        assert!(
            problem.starts_with(&format!("error: line {line}: {phrase}")),
            "{problem} is not {line}: {phrase}"
        );
    }
}

#[test]
fn unknown_keys_are_warnings_when_lenient() {
    let text = format!("{SERVER}heartbeet = 3\n[server.services.a]\nbind_addr = \":1\"\n");
    assert_eq!(
        refusal(&text),
        ["error: line 5: server.heartbeet: unknown key, the nearest known key is heartbeat"]
    );
    let loaded = read_with(&text, Options { lenient: true }).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(loaded.warnings[0].severity, Severity::Warning);
    assert_eq!(loaded.warnings[0].line, Some(5));
}

#[test]
fn transports_to_come_are_named_as_such() {
    let phrase = "not available yet, what works now is one of \"tcp\", \"tcpmux\"";
    for transport in ["tls", "ws", "wss", "tlsmux", "wsmux", "wssmux", "quic", "jetstream"] {
        let text = SERVER.replace("tcpmux", transport);
        let found = refusal(&text);
        assert!(found.iter().any(|problem| problem.contains(phrase)), "{found:?}");
    }
}

#[test]
fn required_keys_are_named() {
    let found = refusal("[server]\n[server.services.a]\n[client]\n[client.services.a]\n[relay.services.b]\n");
    let missing: Vec<_> = found
        .iter()
        .filter_map(|problem| problem.split_once(": missing"))
        .map(|(key, _)| key)
        .collect();
    assert_eq!(
        missing,
        [
            "error: line 1: server.bind_addr",
            "error: line 1: server.transport",
            "error: line 2: server.services.a.bind_addr",
            "error: line 2: server.services.a.token",
            "error: line 3: client.remote_addr",
            "error: line 3: client.transport",
            "error: line 4: client.services.a.local_addr",
            "error: line 4: client.services.a.token",
            "error: line 5: relay.services.b.bind_addr",
            "error: line 5: relay.services.b.remote_addr",
        ]
    );
    assert_eq!(
        refusal(""),
        ["error: expected at least one of [server], [client] and [relay]"]
    );
}

#[test]
fn refused_values_are_not_missing_too() {
    let found =
        refusal("[server]\nbind_addrs = 3\ntransport = 4\ndefault_token = 5\n[server.services.a]\nbind_addr = 6\n");
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(!found.iter().any(|problem| problem.contains("missing")), "{found:#?}");
}

#[test]
fn broken_lines_are_reported_beside_wrong_values() {
    let found = refusal("[server]\ntransport = tcp\nmss = -1\nmss = 2\n[server.services.a\ntoken = \"x\n");
    let starts = [
        "error: line 2: not TOML: a word without quotes",
        "error: line 3: server.mss = -1",
        "error: line 4: mss: given twice",
    ];
    for start in starts {
        assert!(
            found.iter().any(|problem| problem.starts_with(start)),
            "{start}: {found:#?}"
        );
    }
    assert!(
        found
            .iter()
            .any(|problem| problem.starts_with("error: line 5: not TOML")),
        "{found:#?}"
    );
}

#[test]
fn secrets_are_never_shown() {
    let texts = [
        format!("{SERVER}token = \"hunter2hunter2\"\n"),
        format!("{SERVER}defaul_token = \"hunter2hunter2\"\n"),
        format!("{SERVER}[server.services.a]\nbind_addr = \":1\"\ntoken = [\"hunter2hunter2\"]\n"),
        format!("{SERVER}[server.services.a]\nbind_addr = {{ token = \"hunter2hunter2\" }}\n"),
        format!("{SERVER}[server.services]\na = \"hunter2hunter2\"\n"),
        "[server]\ntoken = \"hunter2hunter2\n".to_owned(),
        "[server]\ntoken = hunter2hunter2\n".to_owned(),
        "server = \"hunter2hunter2\"\n".to_owned(),
    ];
    for text in texts {
        let found = refusal(&text);
        assert!(!found.iter().any(|problem| problem.contains("hunter2")), "{found:?}");
    }
    let short = read(&format!(
        "{SERVER}[server.services.a]\nbind_addr = \":1\"\ntoken = \"hunter2\"\n"
    ))
    .unwrap();
    assert_eq!(short.warnings.len(), 1);
    assert!(!format!("{short:?}").contains("hunter2"));
}

#[test]
fn addresses_of_two_services_must_not_meet() {
    for (first, second) in [
        (":80", "192.0.2.1:80"),
        ("0.0.0.0:80", "192.0.2.1:80"),
        ("0.0.0:80", "0.0.0.0:80"),
        ("[::]:80", "[::1]:80"),
        ("[::]:80", "0.0.0.0:80"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1:80"),
        (":80", "[::1]:80"),
        ("0.0.0.0:1000-1100", "127.0.0.1:1050"),
        (":1000-1100", ":1100-1200"),
        ("192.0.2.1:80", ":4040"),
    ] {
        let text = format!(
            "{SERVER}[server.services.a]\nbind_addr = \"{first}\"\n[relay.services.b]\nbind_addr = \"{second}\"\nremote_addr = \"h.example:1-101\"\n"
        );
        let found = refusal(&text);
        assert!(
            found.iter().any(|problem| problem.contains("listens on (line")),
            "{first} {second}: {found:?}"
        );
    }
}

#[test]
fn addresses_that_do_not_meet_are_accepted() {
    for (first, second) in [
        ("0.0.0.0:80", "[::1]:80"),
        ("192.0.2.1:80", "192.0.2.2:80"),
        (":80", ":81"),
        (":1000-1099", ":1100-1199"),
        ("127.0.0.1:80", "[::1]:80"),
    ] {
        let text = format!(
            "{SERVER}[server.services.a]\nbind_addr = \"{first}\"\n[server.services.b]\nbind_addr = \"{second}\"\n"
        );
        assert!(read(&text).is_ok(), "{first} {second}: {:?}", read(&text));
    }
}

#[test]
fn ranges_need_as_many_ports_or_one_at_the_target() {
    let relay = |bind: &str, remote: &str| {
        read(&format!(
            "[relay.services.a]\nbind_addr = \"{bind}\"\nremote_addr = \"{remote}\"\n"
        ))
    };
    let tunnel = |bind: &str, target: &str| {
        read(&format!(
            "{SERVER}[server.services.a]\nbind_addr = \"{bind}\"\n{CLIENT}[client.services.a]\nlocal_addr = \"{target}\"\n"
        ))
    };
    for (bind, target, fits) in [
        (":4000-4100", "127.0.0.1:5000-5100", true),
        (":4000-4100", "127.0.0.1:5000", true),
        (":4000-4100", "127.0.0.1:5000-5099", false),
        (":4000", "127.0.0.1:5000-5001", false),
        (":4100-4000", "127.0.0.1:5000", false),
    ] {
        assert_eq!(relay(bind, target).is_ok(), fits, "{bind} {target}");
        let bind = bind
            .replace(":4000", ":3000")
            .replace("-4100", "-3100")
            .replace(":4100-4000", ":3100-3000");
        assert_eq!(tunnel(&bind, target).is_ok(), fits, "{bind} {target}");
    }
}

#[test]
fn services_of_both_ends_are_compared() {
    let text = format!(
        "{SERVER}[server.services.a]\nbind_addr = \":1\"\n[server.services.c]\nbind_addr = \":2\"\n{}\
         [client.services.b]\nlocal_addr = \":1\"\n[client.services.c]\nlocal_addr = \":2\"\ntoken = \"another token, long\"\n",
        CLIENT.replace("tcpmux", "tcp")
    );
    let loaded = read(&text).unwrap();
    let warned: Vec<_> = loaded.warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(
        warned,
        [
            "server.services.a",
            "client.transport",
            "client.services.b",
            "client.services.c"
        ]
    );
}

#[test]
fn a_stream_buffer_is_not_above_the_receive_buffer() {
    let found = refusal(&format!("{SERVER}default_mux_streambuffer = \"5MiB\"\n"));
    assert!(
        found
            .iter()
            .any(|problem| problem.contains("line 5: server.default_mux_streambuffer = \"5MiB\"")),
        "{found:?}"
    );
    let found = refusal(&format!(
        "{SERVER}[server.services.a]\nbind_addr = \":1\"\nmux_recievebuffer = \"1MiB\"\n"
    ));
    assert!(
        found[0].contains("line 7: server.services.a.mux_recievebuffer = \"1MiB\""),
        "{found:?}"
    );
}

#[test]
fn keys_without_effect_are_warned_about() {
    let text = format!(
        "{}retry_max = 3\n[server.services.a]\nbind_addr = \":1\"\nmux_concurrency = 3\n",
        SERVER.replace("tcpmux", "tcp")
    );
    let warned: Vec<_> = read(&text)
        .unwrap()
        .warnings
        .into_iter()
        .map(|warning| warning.key)
        .collect();
    assert_eq!(warned, ["server.retry_max", "server.services.a.mux_concurrency"]);
}

#[test]
fn more_streams_than_the_receive_buffer_has_room_for_are_warned_about() {
    let warnings = |streams: u32, buffer: &str| {
        let text = format!(
            "{SERVER}[server.services.a]\nbind_addr = \":1\"\nmux_concurrency = {streams}\nmux_recievebuffer = \"{buffer}\"\n"
        );
        read(&text).unwrap().warnings
    };
    assert!(warnings(32, "4MiB").is_empty());
    assert!(warnings(128, "16MiB").is_empty());
    let [warning] = &warnings(33, "4MiB")[..] else {
        panic!("one warning")
    };
    assert_eq!(warning.key, "server.services.a.mux_concurrency");
    assert!(warning.expected.contains("32 are used"), "{}", warning.expected);
}

#[test]
fn one_spelling_of_a_key_is_enough() {
    let found = refusal(&format!(
        "{SERVER}default_mux_recievebuffer = 9000000\ndefault_mux_receivebuffer = 9000000\n"
    ));
    assert!(found.iter().any(|problem| problem.contains("given twice")), "{found:?}");
}

#[test]
fn problems_have_a_bound() {
    let mut text = String::from("[server]\n");
    for number in 0..MAX_PROBLEMS + 500 {
        text.push_str(&format!("x{number} = 1\n"));
    }
    let problems = read(&text).unwrap_err();
    let errors = problems
        .list
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .count();
    assert_eq!(errors, MAX_PROBLEMS);
    // Besides the unknown keys: bind_addr and transport.
    assert_eq!(problems.left_out, 502);
}

#[test]
fn errors_are_not_crowded_out_by_warnings() {
    let mut text = String::from("[relay]\nservices.a.bind_addr = \":1\"\n");
    text.push_str(&CLIENT.replace("0123456789abcdef", "short"));
    for number in 0..600 {
        text.push_str(&format!(
            "[client.services.s{number}]\nlocal_addr = \":1\"\ntoken = \"short\"\nmux_version = 1\n"
        ));
    }
    let text = text.replace("tcpmux", "tcp");
    let problems = read(&text).unwrap_err();
    let errors: Vec<_> = problems
        .list
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].key, "relay.services.a.remote_addr");
    assert_eq!((problems.list.len(), problems.left_out), (MAX_PROBLEMS + 1, 201));
}
