//! The node's own certificate and key: read, made where they are missing, and looked at with the eyes of a panel
//! (`spec/node-marzban.md`, 1.8 and 2).

mod make;
mod suitable;

pub use make::{Kind, check, make};

use super::StartError;
use super::settings::Files;
use rustls::SignatureAlgorithm;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;

/// The name that panels expect in a node's certificate, whatever the node's address is.
pub const NAME: &str = "Gozargah";

/// Most certificates in one file.
const MAX_CERTIFICATES: usize = 256;

/// Largest PEM file in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A certificate with its chain, and the key that belongs to it.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The node's certificate first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: Arc<dyn rustls::sign::SigningKey>,
}

impl Pair {
    /// Reads the pair.
    ///
    /// # Errors
    /// A file cannot be read or is no PEM, the key is of a kind that TLS does not know, or the two do not belong together.
    pub fn load(files: &Files) -> Result<Self, StartError> {
        let (certificate, key_file) = (&files.certificate, &files.key);
        let wrong = |variable, path: &Path, reason: String| StartError::Certificate {
            variable,
            path: path.to_owned(),
            reason,
        };
        let chain = certificates(certificate).map_err(|reason| wrong("SSL_CERT_FILE", certificate, reason))?;
        let wrong_key = |reason| wrong("SSL_KEY_FILE", key_file, reason);
        let text = read(key_file).map_err(wrong_key)?;
        let key =
            PrivateKeyDer::from_pem_slice(&text).map_err(|error| wrong_key(format!("no private key: {error}")))?;
        let key = rustls::crypto::ring::sign::any_supported_type(&key)
            .map_err(|error| wrong_key(format!("a key that cannot be used: {error}")))?;
        let public = super::tls::public_key(&chain[0])
            .map_err(|error| wrong("SSL_CERT_FILE", certificate, format!("no certificate: {error}")))?;
        if key.public_key().is_some_and(|own| own.as_ref() != public.as_ref()) {
            return Err(wrong_key(format!(
                "the key does not belong to the certificate SSL_CERT_FILE={}",
                certificate.display()
            )));
        }
        Ok(Self { chain, key })
    }

    /// Why panels could not work with this certificate, if there is a reason.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = suitable::warnings(&self.chain[0]);
        if self.key.algorithm() == SignatureAlgorithm::ED25519 {
            warnings
                .push("the node's key is of the kind Ed25519, which panels cannot use for the core's API".to_owned());
        }
        warnings
    }
}

/// Makes the pair if one of its files is missing, as the original does. Says whether it did.
///
/// # Errors
/// The folder is missing or cannot be written to.
pub fn ensure(files: &Files) -> Result<bool, StartError> {
    if is_there(files) {
        return Ok(false);
    }
    make(&files.certificate, &files.key, Kind::P256).map_err(|error| StartError::Certificate {
        variable: "SSL_CERT_FILE",
        path: files.certificate.clone(),
        reason: format!("the pair is missing and cannot be made: {error}"),
    })?;
    Ok(true)
}

/// Whether both files of the pair are there.
pub(super) fn is_there(files: &Files) -> bool {
    files.certificate.is_file() && files.key.is_file()
}

/// All certificates in a PEM file; at least one.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text)
        .take(MAX_CERTIFICATES + 1)
        .collect();
    let certificates = certificates.map_err(|error| format!("no PEM: {error}"))?;
    match certificates.len() {
        0 => Err("there is no certificate in it".to_owned()),
        count if count > MAX_CERTIFICATES => Err(format!("there are more than {MAX_CERTIFICATES} certificates in it")),
        _ => Ok(certificates),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("it has more than {MAX_FILE_BYTES} bytes"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
