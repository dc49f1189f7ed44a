//! Pairs that are made, that belong together, and that panels can use.

use super::*;
use crate::node::settings::Settings;
use std::os::unix::fs::PermissionsExt;

fn settings(folder: &Path) -> Settings {
    Settings {
        service_host: "127.0.0.1".into(),
        service_port: 0,
        api_host: "127.0.0.1".into(),
        api_port: 0,
        core: "/bin/true".into(),
        assets: folder.into(),
        certificate: folder.join("cert.pem"),
        key: folder.join("key.pem"),
        client_certificates: folder.join("panel.pem"),
        inbounds: Vec::new(),
        debug: false,
    }
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/node/tls/fixtures")
        .join(name)
}

#[test]
fn a_missing_pair_is_made_and_suits_panels() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    assert!(ensure(&settings).unwrap());
    let pair = Pair::load(&settings).unwrap();
    assert_eq!(pair.warnings(), Vec::<String>::new());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&settings.key), 0o600);
    assert!(!ensure(&settings).unwrap(), "a pair that is there was made again");
    let before = std::fs::read(&settings.certificate).unwrap();
    std::fs::remove_file(&settings.key).unwrap();
    assert!(ensure(&settings).unwrap());
    assert_ne!(before, std::fs::read(&settings.certificate).unwrap());
}

#[test]
fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = ensure(&settings(&folder.path().join("nowhere")))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("SSL_CERT_FILE=") && error.contains("nowhere/key.pem"),
        "{error}"
    );
}

#[test]
fn the_originals_pair_loads_and_suits() {
    let mut settings = settings(Path::new("/"));
    (settings.certificate, settings.key) = (fixture("server-v1.pem"), fixture("server-v1.key"));
    assert_eq!(Pair::load(&settings).unwrap().warnings(), Vec::<String>::new());
}

#[test]
fn a_key_that_belongs_to_another_certificate_is_refused() {
    let mut settings = settings(Path::new("/"));
    (settings.certificate, settings.key) = (fixture("server-v1.pem"), fixture("panel-v1.key"));
    let error = Pair::load(&settings).unwrap_err().to_string();
    assert!(error.contains("does not belong to the certificate"), "{error}");
}

#[test]
fn what_panels_cannot_use_is_said() {
    for (name, part) in [
        ("issued", "issued by somebody else"),
        ("other-name", "not for the name Gozargah"),
        ("ed25519", "Ed25519"),
    ] {
        let mut settings = settings(Path::new("/"));
        (settings.certificate, settings.key) = (fixture(&format!("{name}.pem")), fixture(&format!("{name}.key")));
        let warnings = Pair::load(&settings).unwrap().warnings();
        assert!(
            warnings.len() == 1 && warnings[0].contains(part),
            "{name}: {warnings:?}"
        );
    }
}
