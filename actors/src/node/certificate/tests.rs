//! Pairs that are made, that belong together, and that panels can use.

use super::*;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A pair in a folder of its own.
fn files(folder: &Path) -> Files {
    Files {
        certificate: folder.join("cert.pem"),
        key: folder.join("key.pem"),
        client_certificates: PathBuf::new(),
    }
}

/// A pair of the fixtures.
fn fixture(certificate: &str, key: &str) -> Files {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/pki");
    Files {
        certificate: folder.join(certificate).with_extension("pem"),
        key: folder.join(key).with_extension("key"),
        client_certificates: PathBuf::new(),
    }
}

#[test]
fn a_missing_pair_is_made_and_suits_panels() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    assert!(ensure(&files).unwrap());
    let pair = Pair::load(&files).unwrap();
    assert_eq!(pair.warnings(), Vec::<String>::new());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&files.key), 0o600);
    assert!(!ensure(&files).unwrap(), "a pair that is there was made again");
    let before = std::fs::read(&files.certificate).unwrap();
    std::fs::remove_file(&files.key).unwrap();
    assert!(ensure(&files).unwrap());
    assert_ne!(before, std::fs::read(&files.certificate).unwrap());
}

#[test]
fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = ensure(&files(&folder.path().join("nowhere"))).unwrap_err().to_string();
    assert!(
        error.starts_with("SSL_CERT_FILE=") && error.contains("nowhere/key.pem"),
        "{error}"
    );
}

#[test]
fn the_originals_pair_loads_and_suits() {
    let files = fixture("node-original", "node-original");
    assert_eq!(Pair::load(&files).unwrap().warnings(), Vec::<String>::new());
}

#[test]
fn a_key_that_belongs_to_another_certificate_is_refused() {
    let files = fixture("node-original", "panel-rsa");
    let error = Pair::load(&files).unwrap_err().to_string();
    assert!(error.contains("does not belong to the certificate"), "{error}");
}

#[test]
fn what_panels_cannot_use_is_said() {
    for (name, key, part) in [
        ("unsuitable-issued", "node-p256", "issued by somebody else"),
        ("unsuitable-name", "node-p256", "not for the name Gozargah"),
        ("unsuitable-ed25519", "unsuitable-ed25519", "Ed25519"),
    ] {
        let files = fixture(name, key);
        let warnings = Pair::load(&files).unwrap().warnings();
        assert!(
            warnings.len() == 1 && warnings[0].contains(part),
            "{name}: {warnings:?}"
        );
    }
}

#[test]
fn a_pair_that_cannot_be_made_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    std::fs::write(&key, "old").unwrap();
    assert!(make(&folder.path().join("nowhere/cert.pem"), &key, Kind::P256).is_err());
    assert!(make(&key, &key, Kind::P256).is_err());
    // Containers make a folder of a file that is not there.
    let mounted = folder.path().join("cert.pem");
    std::fs::create_dir(&mounted).unwrap();
    assert!(make(&mounted, &key, Kind::P256).is_err());
    std::fs::remove_dir(&mounted).unwrap();
    let bundle = ["authority.pem", "stranger.pem"]
        .map(|name| std::fs::read(fixture(name, name).certificate).unwrap())
        .concat();
    std::fs::write(&mounted, &bundle).unwrap();
    assert!(make(&mounted, &key, Kind::P256).is_err());
    assert_eq!(std::fs::read(&mounted).unwrap(), bundle);
    std::fs::remove_file(&mounted).unwrap();
    assert_eq!(std::fs::read(&key).unwrap(), b"old");
    let names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["key.pem"]);
}

#[test]
fn what_was_left_behind_lends_the_key_neither_mode_nor_place() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let beside = folder.path().join(format!("key.pem.{}.new", std::process::id()));
    let elsewhere = folder.path().join("elsewhere");
    std::fs::write(&elsewhere, "").unwrap();
    std::os::unix::fs::symlink(&elsewhere, &beside).unwrap();
    make(&certificate, &key, Kind::P256).unwrap();
    assert_eq!(std::fs::read(&elsewhere).unwrap(), b"");
    assert_eq!(
        std::fs::symlink_metadata(&key).unwrap().permissions().mode() & 0o7777,
        0o600
    );
}

#[test]
fn a_certificate_that_has_expired_is_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new([NAME.to_owned()]).unwrap();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, NAME);
    parameters.not_after = rcgen::date_time_ymd(2020, 1, 1);
    std::fs::write(&files.certificate, parameters.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    let warnings = Pair::load(&files).unwrap().warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("expired"), "{warnings:?}");
}

#[test]
fn an_rsa_pair_loads_and_suits() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    make(&files.certificate, &files.key, Kind::Rsa { bits: 2048 }).unwrap();
    let pair = Pair::load(&files).unwrap();
    assert_eq!(pair.warnings(), Vec::<String>::new());
    assert_eq!(pair.key.algorithm(), SignatureAlgorithm::RSA);
    let (_, parsed) = x509_parser::parse_x509_certificate(&pair.chain[0]).unwrap();
    assert_eq!(parsed.version(), x509_parser::x509::X509Version::V3);
    let days = (parsed.validity().not_after.timestamp() - parsed.validity().not_before.timestamp()) / 86_400;
    assert_eq!(days, 36_500);
    // Too short for TLS: refused when it is made, not when it is used.
    assert!(make(&files.certificate, &files.key, Kind::Rsa { bits: 1024 }).is_err());
}
