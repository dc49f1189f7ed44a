//! `kariz node`, `kariz check --node` and `kariz cert node` where they end by themselves: statuses and what is said.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// A folder with a core that is never run, a panel's certificate, and no `.env`.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let core = folder.path().join("xray");
    fs::write(&core, "#!/bin/sh\nsleep 60\n").expect("written");
    fs::set_permissions(&core, fs::Permissions::from_mode(0o755)).expect("mode");
    assert_eq!(
        run(
            folder.path(),
            &["cert", "node", "--cert", "panel.pem", "--key", "panel.key"],
            &[]
        )
        .status
        .code(),
        Some(0)
    );
    folder
}

/// Runs the binary in `folder` with a good environment, but for `changes`.
fn run(folder: &Path, arguments: &[&str], changes: &[(&str, &str)]) -> Output {
    let path = |name: &str| folder.join(name).display().to_string();
    Command::new(env!("CARGO_BIN_EXE_kariz"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("SERVICE_HOST", "127.0.0.1")
        .env("SERVICE_PORT", "0")
        .env("XRAY_EXECUTABLE_PATH", path("xray"))
        .env("XRAY_ASSETS_PATH", folder)
        .env("SSL_CERT_FILE", path("cert.pem"))
        .env("SSL_KEY_FILE", path("key.pem"))
        .env("SSL_CLIENT_CERT_FILE", path("panel.pem"))
        .envs(changes.iter().copied())
        .output()
        .expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_refused_environment_ends_with_the_originals_status_and_names_the_variable() {
    let folder = folder();
    for (variable, value, status) in [
        ("SERVICE_PORT", "port", 1),
        ("XRAY_API_PORT", "70000", 1),
        ("DEBUG", "perhaps", 1),
        ("XRAY_EXECUTABLE_PATH", "/nowhere/xray", 1),
        ("SERVICE_PROTOCOL", "rpyc", 0),
        ("SERVICE_PROTOCOL", "soap", 0),
        ("SSL_CLIENT_CERT_FILE", "/nowhere/panel.pem", 0),
        ("SSL_CLIENT_CERT_FILE", "", 0),
    ] {
        let output = run(folder.path(), &["node"], &[(variable, value)]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{variable}={value}: {said}");
        assert!(
            said.contains(&format!("ERROR: {variable}={value}: ")),
            "{variable}={value}: {said}"
        );
        let checked = run(folder.path(), &["check", "--node"], &[(variable, value)]);
        let report = text(&checked.stdout);
        assert_eq!(checked.status.code(), Some(64), "{variable}={value}: {report}");
        assert!(
            report.contains(&format!("error: {variable}={value}: ")),
            "{variable}={value}: {report}"
        );
    }
}

#[test]
fn certificates_that_cannot_be_read_end_the_node_with_1() {
    let folder = folder();
    fs::write(folder.path().join("garbage.pem"), "-----BEGIN CERTIFICATE-----\nx\n").expect("written");
    let garbage = folder.path().join("garbage.pem").display().to_string();
    for variable in ["SSL_CERT_FILE", "SSL_CLIENT_CERT_FILE"] {
        fs::copy(folder.path().join("panel.key"), folder.path().join("key.pem")).expect("copied");
        let output = run(folder.path(), &["node"], &[(variable, &garbage)]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{variable}: {said}");
        assert!(
            said.contains(&format!("ERROR: {variable}={garbage}: ")),
            "{variable}: {said}"
        );
    }
}

#[test]
fn an_address_in_use_ends_the_node_with_75() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let output = run(folder.path(), &["node"], &[("SERVICE_PORT", &port)]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{said}");
    assert!(said.contains(&format!("SERVICE_PORT={port}: cannot listen")), "{said}");
}

#[test]
fn check_says_what_is_found_and_makes_nothing() {
    let folder = folder();
    let output = run(folder.path(), &["check", "--node"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).ends_with("environment: ok; 0 errors, 1 warning\n"));
    assert!(!folder.path().join("cert.pem").exists());
    fs::write(folder.path().join(".env"), "INBOUNDS = VLESS TCP, TROJAN\nnot a line\n").expect("written");
    let report = text(&run(folder.path(), &["check", "--node"], &[]).stdout);
    assert!(report.contains(".env: line 2 is not understood"), "{report}");
}

#[test]
fn cert_makes_a_pair_and_replaces_none_unless_told() {
    let folder = folder();
    let output = run(folder.path(), &["cert", "node"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let key = folder.path().join("key.pem");
    let mode = fs::metadata(&key).expect("the key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = fs::read(&key).expect("the key");
    assert_eq!(run(folder.path(), &["cert", "node"], &[]).status.code(), Some(64));
    assert_eq!(fs::read(&key).expect("the key"), before);
    assert_eq!(
        run(folder.path(), &["cert", "node", "--force"], &[]).status.code(),
        Some(0)
    );
    assert_ne!(fs::read(&key).expect("the key"), before);
}

#[test]
fn check_says_everything_at_once_and_a_pair_that_cannot_be_made_is_an_error() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("garbage.pem"), "garbage").expect("written");
    let output = run(
        folder.path(),
        &["check", "--node"],
        &[
            ("SERVICE_PORT", "port"),
            ("SSL_CERT_FILE", &path("nowhere/cert.pem")),
            ("SSL_CLIENT_CERT_FILE", &path("garbage.pem")),
        ],
    );
    let report = text(&output.stdout);
    assert_eq!(output.status.code(), Some(64), "{report}");
    for part in [
        "error: SERVICE_PORT=port: ".to_owned(),
        format!(
            "error: SSL_CERT_FILE, SSL_KEY_FILE: a file is missing, and the node cannot make the pair: {}: its folder",
            path("nowhere/cert.pem")
        ),
        format!("error: SSL_CLIENT_CERT_FILE={}: ", path("garbage.pem")),
        "environment: refused; 3 errors, 0 warnings\n".to_owned(),
    ] {
        assert!(report.contains(&part), "{part:?} is not in:\n{report}");
    }
}

#[test]
fn cert_makes_an_rsa_pair_on_request() {
    let folder = folder();
    let output = run(folder.path(), &["cert", "node", "--rsa", "--bits", "2048"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let key = fs::read_to_string(folder.path().join("key.pem")).expect("the key");
    // A P-256 key has 241 bytes.
    assert!(
        key.starts_with("-----BEGIN PRIVATE KEY-----") && key.len() > 1500,
        "{}",
        key.len()
    );
    let output = run(folder.path(), &["check", "--node"], &[]);
    assert!(text(&output.stdout).ends_with("environment: ok; 0 errors, 0 warnings\n"));
    for wrong in [&["--bits", "2048"][..], &["--rsa", "--bits", "1024"]] {
        let output = run(folder.path(), &[&["cert", "node", "--force"], wrong].concat(), &[]);
        assert_eq!(output.status.code(), Some(64), "{wrong:?}");
    }
}
