//! The environment and `.env`.

use super::reader::MAX_NAMED_LINES;
use super::*;
use std::os::unix::fs::PermissionsExt;

/// A folder with a core and a panel's certificate.
fn folder() -> (tempfile::TempDir, [(&'static str, String); 2]) {
    let folder = tempfile::tempdir().unwrap();
    let core = folder.path().join("xray");
    std::fs::write(&core, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&core, std::fs::Permissions::from_mode(0o755)).unwrap();
    let panel = folder.path().join("panel.pem");
    std::fs::write(&panel, "").unwrap();
    let shown = |path: PathBuf| path.display().to_string();
    let variables = [
        ("XRAY_EXECUTABLE_PATH", shown(core)),
        ("SSL_CLIENT_CERT_FILE", shown(panel)),
    ];
    (folder, variables)
}

fn read(more: &[(&str, &str)], dotenv: &str) -> Reading {
    let (folder, variables) = folder();
    let below = folder.path().join("below");
    std::fs::create_dir(&below).unwrap();
    std::fs::write(folder.path().join(".env"), dotenv).unwrap();
    let environment = |name: &str| {
        let given = more
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned());
        given.or_else(|| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.clone())
        })
    };
    super::read(&environment, &below)
}

#[test]
fn what_is_not_set_has_the_originals_default() {
    let settings = read(&[], "").settings.unwrap();
    assert_eq!(
        (settings.service_host.as_str(), settings.service_port),
        ("0.0.0.0", 62050)
    );
    assert_eq!((settings.api_host.as_str(), settings.api_port), ("0.0.0.0", 62051));
    assert_eq!(
        settings.files.certificate,
        Path::new("/var/lib/marzban-node/ssl_cert.pem")
    );
    assert_eq!(settings.files.key, Path::new("/var/lib/marzban-node/ssl_key.pem"));
    assert_eq!(settings.assets, Path::new("/usr/local/share/xray"));
    assert!(settings.inbounds.is_empty() && !settings.debug && !settings.soft_takeover);
}

#[test]
fn the_environment_goes_before_the_file_and_the_file_before_the_default() {
    let file = "SERVICE_PORT = \"1000\"\nXRAY_API_PORT=2_000 # why not\nINBOUNDS=VLESS TCP, TROJAN ,,\n";
    let settings = read(&[("SERVICE_PORT", " 3000 "), ("DEBUG", "Yes")], file)
        .settings
        .unwrap();
    assert_eq!((settings.service_port, settings.api_port), (3000, 2000));
    assert_eq!(settings.inbounds, ["VLESS TCP", "TROJAN"]);
    assert!(settings.debug);
}

#[test]
fn every_problem_is_named_at_once_with_the_originals_status() {
    let refused = read(&[("SERVICE_PORT", "x"), ("XRAY_API_PORT", "65536"), ("DEBUG", "2")], "")
        .settings
        .unwrap_err();
    let named: Vec<_> = refused.problems.iter().map(|problem| problem.variable).collect();
    assert_eq!(named, ["SERVICE_PORT", "XRAY_API_PORT", "DEBUG"]);
    assert_eq!(refused.exit, 1);
    assert_eq!(
        refused.problems[0].to_string(),
        "SERVICE_PORT=x: expected a number from 0 to 65535"
    );
    for (variable, value, exit) in [
        ("SERVICE_PROTOCOL", "rpyc", 0),
        ("SERVICE_PROTOCOL", "soap", 0),
        ("KARIZ_PANEL_GENERATION", "g2", 1),
        ("LOG_BUFFER_SIZE", "0", 1),
        ("STARTUP_LOG_TAIL_SIZE", "-1", 1),
        ("SSL_CLIENT_CERT_FILE", "", 0),
        ("SSL_CLIENT_CERT_FILE", "/nowhere/panel.pem", 0),
        ("XRAY_EXECUTABLE_PATH", "/nowhere/xray", 1),
        ("XRAY_EXECUTABLE_PATH", "/", 1),
    ] {
        let refused = read(&[(variable, value)], "").settings.unwrap_err();
        let named: Vec<_> = refused.problems.iter().map(|problem| problem.variable).collect();
        assert_eq!(
            (named.as_slice(), refused.exit),
            ([variable].as_slice(), exit),
            "{variable}={value}"
        );
    }
}

#[test]
fn numbers_and_words_are_read_as_python_does() {
    for (text, number) in [
        ("1", 1),
        (" +1_0\n", 10),
        ("-5", -5),
        ("007", 7),
        ("۶۲۰۵۰", 62050),
        ("٦2", 62),
    ] {
        assert_eq!(value::int(text), Some(number), "{text:?}");
    }
    for text in ["", "_1", "1_", "1__0", "1.0", "0x1", "+ 1", "99999999999999999999"] {
        assert_eq!(value::int(text), None, "{text:?}");
    }
    assert_eq!(
        (value::truth("ON"), value::truth("f"), value::truth("")),
        (Some(true), Some(false), Some(false))
    );
}

/// What `parse` makes of a text: `NAME=value`, sorted by name.
fn parsed(text: &str) -> Vec<String> {
    let environment = |name: &str| (name == "HOME").then(|| "/root".to_owned());
    let parsed = dotenv::parse(text, &environment);
    let shown = parsed.variables.iter().map(|(name, value)| format!("{name}={value}"));
    shown.collect()
}

/// The right side is what python-dotenv 1.0.1 said.
#[test]
fn a_file_is_read_as_python_dotenv_reads_it() {
    for (text, variables) in [
        ("A=b", &["A=b"][..]),
        (" export  A =  b  ", &["A=b"]),
        ("export\tA=b", &["A=b"]),
        ("exportA=b", &["exportA=b"]),
        ("export =b", &[]),
        ("A=b c # comment", &["A=b c"]),
        ("A=b#c", &["A=b#c"]),
        ("A=b #", &["A=b"]),
        ("A= # c", &["A=# c"]),
        ("A=1#", &["A=1#"]),
        ("A==b", &["A==b"]),
        ("#A=1", &[]),
        ("  # c\n A=1", &["A=1"]),
        ("A=", &["A="]),
        ("A=''", &["A="]),
        ("A=\"a\"#c", &["A=a"]),
        ("A=\\'x", &["A=\\'x"]),
        ("A=b\\n", &["A=b\\n"]),
        ("A='it\\'s'", &["A=it's"]),
        ("A='\\n\\\\'", &["A=\\n\\"]),
        ("A='x ${HOME}'", &["A=x /root"]),
        ("A=\"b\\n\\\"c\\\" \\d\"", &["A=b\n\"c\" \\d"]),
        ("A=\"\\q\\a\\u0041\\\\\"", &["A=\\q\u{7}\\u0041\\"]),
        ("A=\"x\\\"\nB=1\n", &["A=x\\", "B=1"]),
        ("A=\"a\\\nb\"", &["A=a\\\nb"]),
        ("A=\"two\nlines\"", &["A=two\nlines"]),
        ("A=\"x\ny\" z\nB=1\n", &["B=1"]),
        ("A='\nB=1\nC='", &["A=\nB=1\nC="]),
        ("A=\"x\nB=1\n", &["B=1"]),
        ("A='a'b\nB=1", &["B=1"]),
        ("=x\nB=1", &["B=1"]),
        ("A\nB=1", &["B=1"]),
        ("A b\nB=1", &["B=1"]),
        ("A: b\nB=1", &["B=1"]),
        ("'A B'=1", &["A B=1"]),
        ("''=1\nB=2", &["B=2"]),
        ("'A=1\nB=2", &["B=2"]),
        ("A\u{a0}=\u{a0}b\u{a0}", &["A=b"]),
        ("A=a\r\nB=\"1\r\n2\"\r\nC=3\rD=4", &["A=a", "B=1\n2", "C=3", "D=4"]),
        ("A=1\nA=${A}2", &["A=12"]),
        ("A=1\nA\nB=${A}2", &["B=2"]),
        ("A=${B}\nB=2", &["A=", "B=2"]),
        ("A=${HOME}/x${NONE:-y}${NONE}", &["A=/root/xy"]),
        ("A=${X:-$HOME}", &["A=$HOME"]),
        ("A=${X:y}", &["A=${X:y}"]),
        ("A=${HOME", &["A=${HOME"]),
        ("A=${}", &["A="]),
        ("A=$HOME", &["A=$HOME"]),
    ] {
        assert_eq!(parsed(text), variables, "{text:?}");
    }
    // There the mark belongs to the name, which nobody means.
    assert_eq!(parsed("\u{feff}A=1"), ["A=1"]);
}

#[test]
fn lines_that_are_not_understood_are_named() {
    let text = "# comment\r\n\r\nA=1\r\n=bad\nB='open\nC=\"x\" y\nD\nE=${A}2\n";
    assert_eq!(parsed(text), ["A=1", "E=12"]);
    assert_eq!(dotenv::parse(text, &|_| None).bad_lines, [4, 5, 6]);
    let many = "?? no line\n".repeat(MAX_NAMED_LINES + 3);
    let warnings = read(&[], &many).warnings;
    assert_eq!(warnings.len(), MAX_NAMED_LINES + 1);
    assert!(
        warnings[MAX_NAMED_LINES].ends_with(".env: and 3 lines more"),
        "{warnings:?}"
    );
}

#[test]
fn a_file_that_doubles_itself_does_not_fill_the_memory() {
    let mut text = "A=0123456789\n".to_owned();
    text.push_str(&"A=${A}${A}\n".repeat(64));
    let parsed = dotenv::parse(&text, &|_| None);
    assert!(!parsed.bad_lines.is_empty());
    assert!(parsed.variables["A"].len() < 4 << 20);
}

#[test]
fn a_large_file_is_read_in_no_time() {
    let text = "A=${A}\n\n=\n".repeat(100_000);
    let parsed = dotenv::parse(&text, &|_| None);
    assert_eq!(parsed.bad_lines.len(), 100_000);
}

proptest::proptest! {
    #[test]
    fn any_text_is_read(text in "[A'\"=#\\\\$\\{\\}: \\n\\ret:-]{0,60}") {
        let parsed = dotenv::parse(&text, &|_| None);
        let lines = text.replace("\r\n", "\n").replace('\r', "\n").matches('\n').count() + 1;
        proptest::prop_assert!(parsed.bad_lines.is_sorted());
        proptest::prop_assert!(parsed.bad_lines.iter().all(|line| (1..=lines).contains(line)));
        proptest::prop_assert!(parsed.variables.keys().all(|name| !name.is_empty()));
    }
}

#[test]
fn a_core_without_a_path_is_looked_for() {
    let (folder, _) = folder();
    let search = format!("/nowhere:{}", folder.path().display());
    let settings = read(&[("XRAY_EXECUTABLE_PATH", "xray"), ("PATH", &search)], "")
        .settings
        .unwrap();
    assert_eq!(settings.core, folder.path().join("xray"));
    let refused = read(&[("XRAY_EXECUTABLE_PATH", "xray"), ("PATH", "/nowhere")], "")
        .settings
        .unwrap_err();
    assert_eq!(refused.problems[0].variable, "XRAY_EXECUTABLE_PATH");
}

#[test]
fn a_key_goes_before_certificates_and_is_never_shown() {
    const KEY: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
    let of_key = read(&[("API_KEY", KEY), ("SSL_CLIENT_CERT_FILE", "")], "");
    let key = Uuid::parse_str(KEY).unwrap();
    assert_eq!(of_key.settings.unwrap().access, Access::Key(key));
    assert_eq!(of_key.warnings, [""; 0]);
    assert_eq!(
        read(&[("API_KEY", "")], "").settings.unwrap().access,
        Access::Certificate
    );
    for bad in ["secret", "00000000-0000-0000-0000-000000000000"] {
        let refused = read(&[("API_KEY", bad)], "").settings.unwrap_err();
        let problem = refused.problems[0].to_string();
        assert!(problem.starts_with("API_KEY=") && !problem.contains(bad), "{problem}");
    }
    let go = [
        ("API_KEY", KEY),
        ("SERVICE_PROTOCOL", "grpc"),
        ("NODE_HOST", "127.0.0.3"),
        ("XRAY_API_PORT", "62050"),
    ];
    let settings = read(&go, "").settings.unwrap();
    assert_eq!(settings.service_host, "127.0.0.3");
    assert_eq!((settings.protocols, settings.log_lines), (Protocols::Grpc, 10_000));
    assert_eq!(settings.files.key, Path::new("/var/lib/pg-node/certs/ssl_key.pem"));
    let neither = read(&[("SSL_CLIENT_CERT_FILE", "")], "").settings.unwrap_err();
    assert!(neither.problems[0].reason.contains("API_KEY"), "{:?}", neither.problems);
}

#[test]
fn what_would_keep_every_core_from_starting_is_a_problem() {
    let named = |variables: &[(&str, &str)]| {
        let refused = read(variables, "").settings.err();
        refused.map(|refused| (refused.exit, refused.problems[0].variable))
    };
    assert_eq!(named(&[("XRAY_API_PORT", "62050")]), Some((1, "XRAY_API_PORT")));
    assert_eq!(named(&[("XRAY_API_PORT", "0")]), Some((1, "XRAY_API_PORT")));
    assert_eq!(named(&[("XRAY_API_HOST", "localhost")]), Some((1, "XRAY_API_HOST")));
    let apart = [
        ("SERVICE_HOST", "127.0.0.1"),
        ("XRAY_API_HOST", "127.0.0.2"),
        ("XRAY_API_PORT", "62050"),
    ];
    assert_eq!(named(&apart), None);
    assert_eq!(named(&[("XRAY_API_HOST", "::")]), None);
}

#[test]
fn a_core_for_another_machine_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let core = folder.path().join("xray");
    let problem = |bytes: &[u8]| {
        std::fs::write(&core, bytes).unwrap();
        std::fs::set_permissions(&core, std::fs::Permissions::from_mode(0o755)).unwrap();
        let refused = read(&[("XRAY_EXECUTABLE_PATH", core.to_str().unwrap())], "")
            .settings
            .err();
        refused
            .map(|refused| refused.problems[0].reason.clone())
            .unwrap_or_default()
    };
    let mut program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    program.truncate(64);
    assert_eq!(problem(&program), "");
    program[18] ^= 0xff;
    assert!(problem(&program).contains("another machine"));
    assert!(problem(b"<html>").contains("no program"));
    assert!(problem(b"").contains("no program"));
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem() {
    let (folder, _variables) = folder();
    std::fs::write(folder.path().join(".env"), b"SERVICE_PORT=\xff").unwrap();
    let refused = super::read(&|_| None, folder.path()).settings.unwrap_err();
    assert_eq!((refused.exit, refused.problems[0].variable), (1, ".env"));
}

#[test]
fn a_core_that_outlives_its_node_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let core = folder.path().join("xray");
    std::fs::write(&core, "#!/bin/sh\n").unwrap();
    let said = || read(&[("XRAY_EXECUTABLE_PATH", core.to_str().unwrap())], "").warnings;
    let warnings = |mode| {
        std::fs::set_permissions(&core, std::fs::Permissions::from_mode(mode)).unwrap();
        said()
    };
    assert_eq!(warnings(0o755), [""; 0]);
    let [warning] = &warnings(0o4755)[..] else { panic!() };
    assert!(warning.contains("lives on if the node is killed"), "{warning}");
    // cap_net_bind_service+ep, in the second form of them (linux/capability.h). Only root may set it.
    assert_eq!(warnings(0o755), [""; 0]);
    let capability: [u32; 5] = [0x0200_0001, 1 << 10, 0, 0, 0];
    let bytes: Vec<u8> = capability.iter().flat_map(|word| word.to_le_bytes()).collect();
    match rustix::fs::setxattr(&core, "security.capability", &bytes, rustix::fs::XattrFlags::empty()) {
        Ok(()) => assert_eq!(said().len(), 1),
        Err(error) => eprintln!("skipped: file capabilities cannot be set here: {error}"),
    }
}

#[test]
fn an_empty_host_means_every_address() {
    let settings = read(&[("SERVICE_HOST", ""), ("XRAY_API_HOST", "")], "")
        .settings
        .unwrap();
    assert_eq!((&*settings.service_host, &*settings.api_host), ("0.0.0.0", "0.0.0.0"));
}

#[test]
fn the_pem_files_are_known_whatever_else_is_wrong() {
    let environment = |name: &str| match name {
        "SERVICE_PORT" => Some("x".to_owned()),
        "SSL_KEY_FILE" => Some("/k".to_owned()),
        _ => None,
    };
    let files = super::read(&environment, Path::new("/")).files;
    assert_eq!(files.key, Path::new("/k"));
    assert_eq!(files.certificate, Path::new("/var/lib/marzban-node/ssl_cert.pem"));
    assert_eq!(files.client_certificates, Path::new(""));
}

#[test]
fn generations_protocols_and_files_are_as_they_are_set() {
    let plain = read(&[], "").settings.unwrap();
    let told = |settings: &Settings| (settings.protocols, settings.generation, settings.log_lines);
    assert_eq!(told(&plain), (Protocols::Both, Generation::G3, 100));
    assert_eq!((plain.startup_log_lines, &plain.generated), (200, &None));
    let set = [
        ("SERVICE_PROTOCOL", "rest"),
        ("KARIZ_PANEL_GENERATION", "g1"),
        ("LOG_BUFFER_SIZE", "20"),
        ("GENERATED_CONFIG_PATH", "/tmp/generated"),
    ];
    let settings = read(&set, "").settings.unwrap();
    assert_eq!(told(&settings), (Protocols::Rest, Generation::G1, 20));
    assert_eq!(settings.generated.as_deref(), Some(Path::new("/tmp/generated")));
    let debug = read(&[("DEBUG", "true")], "").settings.unwrap();
    assert!(debug.generated.is_some_and(|path| path.ends_with("generated")));
}
