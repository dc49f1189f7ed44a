//! The environment and `.env`.

use super::*;

/// A folder with a core and a panel's certificate.
fn folder() -> (tempfile::TempDir, [(&'static str, String); 2]) {
    use std::os::unix::fs::PermissionsExt;
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

fn read(more: &[(&str, &str)], dotenv: &str) -> Result<Read, Refused> {
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
    Settings::read(&environment, &below)
}

#[test]
fn what_is_not_set_has_the_originals_default() {
    let settings = read(&[], "").unwrap().settings;
    assert_eq!(
        (settings.service_host.as_str(), settings.service_port),
        ("0.0.0.0", 62050)
    );
    assert_eq!((settings.api_host.as_str(), settings.api_port), ("0.0.0.0", 62051));
    assert_eq!(settings.certificate, Path::new("/var/lib/marzban-node/ssl_cert.pem"));
    assert_eq!(settings.key, Path::new("/var/lib/marzban-node/ssl_key.pem"));
    assert_eq!(settings.assets, Path::new("/usr/local/share/xray"));
    assert!(settings.inbounds.is_empty() && !settings.debug);
}

#[test]
fn the_environment_goes_before_the_file_and_the_file_before_the_default() {
    let file = "SERVICE_PORT = \"1000\"\nXRAY_API_PORT=2_000 # why not\nINBOUNDS=VLESS TCP, TROJAN ,,\n";
    let settings = read(&[("SERVICE_PORT", " 3000 "), ("DEBUG", "Yes")], file)
        .unwrap()
        .settings;
    assert_eq!((settings.service_port, settings.api_port), (3000, 2000));
    assert_eq!(settings.inbounds, ["VLESS TCP", "TROJAN"]);
    assert!(settings.debug);
}

#[test]
fn every_problem_is_named_at_once_with_the_originals_status() {
    let refused = read(&[("SERVICE_PORT", "x"), ("XRAY_API_PORT", "65536"), ("DEBUG", "2")], "").unwrap_err();
    let named: Vec<_> = refused.problems.iter().map(|problem| problem.variable).collect();
    assert_eq!(named, ["SERVICE_PORT", "XRAY_API_PORT", "DEBUG"]);
    assert_eq!(refused.exit, 1);
    assert_eq!(
        refused.problems[0].to_string(),
        "SERVICE_PORT=x: expected a number from 0 to 65535"
    );
    for (variable, value, exit) in [
        ("SERVICE_PROTOCOL", "rpyc", 0),
        ("SERVICE_PROTOCOL", "grpc", 0),
        ("SSL_CLIENT_CERT_FILE", "", 0),
        ("SSL_CLIENT_CERT_FILE", "/nowhere/panel.pem", 0),
        ("XRAY_EXECUTABLE_PATH", "/nowhere/xray", 1),
        ("XRAY_EXECUTABLE_PATH", "/", 1),
    ] {
        let refused = read(&[(variable, value)], "").unwrap_err();
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
    for (text, number) in [("1", 1), (" +1_0\n", 10), ("-5", -5), ("007", 7)] {
        assert_eq!(value::int(text), Some(number), "{text:?}");
    }
    for text in ["", "_1", "1_", "1__0", "1.0", "0x1", "+ 1", "99999999999999999999"] {
        assert_eq!(value::int(text), None, "{text:?}");
    }
    assert_eq!(
        (value::truth("ON"), value::truth("f"), value::truth("")),
        (Some(true), Some(false), None)
    );
}

#[test]
fn a_file_is_read_as_python_dotenv_reads_it() {
    let environment = |name: &str| (name == "HOME").then(|| "/root".to_owned());
    let parsed = |text: &str| dotenv::parse(text, &environment);
    for (line, value) in [
        ("A=b", "b"),
        (" export  A =  b  ", "b"),
        ("A=b c # comment", "b c"),
        ("A=b#c", "b#c"),
        ("A='b # \\'c\\' ${HOME}' # comment", "b # 'c' ${HOME}"),
        ("A=\"b\\n\\\"c\\\" \\d\"", "b\n\"c\" \\d"),
        ("A=\"two\nlines\"", "two\nlines"),
        ("A=", ""),
        ("'A'=b", "b"),
        ("A=${HOME}/x${NONE:-y}${NONE}", "/root/xy"),
        ("A=$HOME", "$HOME"),
    ] {
        let got = parsed(line);
        assert_eq!(got.variables, [("A".to_owned(), value.to_owned())], "{line:?}");
        assert!(got.bad_lines.is_empty(), "{line:?}");
    }
    let got = parsed("\u{feff}# comment\r\n\r\nA=1\r\n=bad\nB='open\nC=\"x\" y\nD\nE=${A}2\n");
    let names: Vec<_> = got
        .variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(names, ["A=1", "E=12"]);
    assert_eq!(got.bad_lines, [4, 5, 6]);
}
