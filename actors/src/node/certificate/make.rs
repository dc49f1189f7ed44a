//! Making a pair: P-256, or RSA on request, self-signed, for a hundred years, as panels want it (`spec/node-marzban.md`,
//! Rules for us).

use super::NAME;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA512, date_time_ymd,
};
use rsa::pkcs8::EncodePrivateKey;
use rustix::fs::Access;
use rustls_pki_types::PrivatePkcs8KeyDer;
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::NamedTempFile;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// From yesterday on, so that a panel whose clock is behind takes the certificate at once.
const VALIDITY_DAYS: u32 = 100 * 365;

/// A file that is larger than this holds more than a certificate.
const MAX_REPLACED_BYTES: u64 = 64 << 10;

/// What kind of key is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ECDSA on the curve P-256.
    P256,
    /// RSA with a modulus of so many bits: 2048 to 4096, since TLS takes no others here. 4096 take seconds.
    Rsa {
        /// How many.
        bits: usize,
    },
}

impl Kind {
    fn generate(self) -> io::Result<KeyPair> {
        match self {
            Self::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other),
            Self::Rsa { bits } => {
                let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).map_err(io::Error::other)?;
                let key = key.to_pkcs8_der().map_err(io::Error::other)?;
                let key = PrivatePkcs8KeyDer::from(key.as_bytes());
                KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_RSA_SHA512).map_err(io::Error::other)
            }
        }
    }
}

/// Makes a key and a certificate for it and puts them into two files; what was there before is replaced. The key can be
/// read by its owner alone. If it is broken off in the midst of it there is no certificate, and a node makes both anew.
///
/// # Errors
/// As [`check`], or a file cannot be written. Then nothing is replaced.
pub fn make(certificate: &Path, key: &Path, kind: Kind) -> io::Result<()> {
    check(certificate, key)?;
    let pair = kind.generate()?;
    let certificate_pem = sign(&pair).map_err(io::Error::other)?;
    let key_file = beside(key, 0o600, &pair.serialize_pem())?;
    let certificate_file = beside(certificate, 0o644, &certificate_pem)?;
    // Never a certificate beside the key of another one.
    match std::fs::remove_file(certificate) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(named(certificate, &error)),
        _ => {}
    }
    put(key_file, key)?;
    put(certificate_file, certificate)
}

/// Whether a pair could be put into these two files, as far as one can see without doing it.
///
/// # Errors
/// They are one, there is something at one of them that is no file or holds many certificates, or their folder is missing or
/// cannot be written to.
pub fn check(certificate: &Path, key: &Path) -> io::Result<()> {
    if certificate == key {
        return Err(refused(key, "certificate and key need a file each"));
    }
    for path in [key, certificate] {
        let folder = folder(path);
        if !folder.is_dir() {
            return Err(refused(path, "its folder is not there, and the node makes no folders"));
        }
        rustix::fs::access(folder, Access::WRITE_OK).map_err(|error| named(folder, &error.into()))?;
        match path.symlink_metadata() {
            Ok(there) if !there.is_file() && !there.is_symlink() => return Err(refused(path, "it is no file")),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(named(path, &error)),
            _ => {}
        }
    }
    // SSL_CERT_FILE is OpenSSL's variable, too, and names the authorities of the whole machine there.
    let is_large = certificate
        .metadata()
        .is_ok_and(|there| there.len() > MAX_REPLACED_BYTES);
    match is_large || super::certificates(certificate).is_ok_and(|bundle| bundle.len() > 1) {
        true => Err(refused(
            certificate,
            "it holds more than one certificate, and is not replaced by one",
        )),
        false => Ok(()),
    }
}

fn refused(path: &Path, reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {reason}", path.display()))
}

fn folder(path: &Path) -> &Path {
    let parent = path.parent().filter(|folder| *folder != Path::new(""));
    parent.unwrap_or(Path::new("."))
}

/// The certificate, as PEM.
fn sign(pair: &KeyPair) -> Result<String, rcgen::Error> {
    let mut parameters = CertificateParams::new([NAME.to_owned()])?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, NAME);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    parameters.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(DAY);
    parameters.not_after = parameters.not_before + DAY * VALIDITY_DAYS;
    parameters.self_signed(pair).map(|signed| signed.pem())
}

/// A file beside `path` with this text, complete before it gets its name: nobody ever reads half of it.
fn beside(path: &Path, mode: u32, text: &str) -> io::Result<NamedTempFile> {
    let write = || {
        let permissions = Permissions::from_mode(mode);
        let mut file = tempfile::Builder::new()
            .permissions(permissions)
            .tempfile_in(folder(path))?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(|error: io::Error| named(path, &error))
}

fn put(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.persist(path).map_err(|error| named(path, &error.error))?;
    Ok(())
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
