//! Making a pair: P-256, self-signed, for a hundred years, as panels want it (`spec/node-marzban.md`, Rules for us).

use super::NAME;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// From yesterday on, so that a panel whose clock is behind takes the certificate at once.
const VALIDITY_DAYS: u32 = 100 * 365;

/// Makes a key and a certificate for it and puts them into two files; what was there before is replaced. The key can be
/// read by its owner alone.
///
/// # Errors
/// A file cannot be written, for instance because its folder is missing.
pub fn make(certificate: &Path, key: &Path) -> io::Result<()> {
    let (certificate_pem, key_pem) = generate().map_err(io::Error::other)?;
    // The key first: with a certificate and no key the next start makes both anew.
    write(key, 0o600, &key_pem)?;
    write(certificate, 0o644, &certificate_pem)
}

fn generate() -> Result<(String, String), rcgen::Error> {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut parameters = CertificateParams::new([NAME.to_owned()])?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, NAME);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    parameters.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(DAY);
    parameters.not_after = parameters.not_before + DAY * VALIDITY_DAYS;
    let signed = parameters.self_signed(&pair)?;
    Ok((signed.pem(), pair.serialize_pem()))
}

/// Writes a file beside `path` and renames it: nobody ever reads half of it.
fn write(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut beside = OsString::from(path);
    beside.push(format!(".{}.new", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&beside)
        .map_err(named)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&beside);
    }
    written.map_err(named)
}
