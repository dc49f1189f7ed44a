//! TLS 1.2 and 1.3 as panels need it: for Marzban the client's certificate pinned and no ALPN (`spec/node-marzban.md`, 1.1, 2
//! and 2.1), for those that show a key no certificate and HTTP/2 among the protocols (`spec/node-panel.md`, Rules for us).

mod pinned;
mod spki;
#[cfg(test)]
mod tests;

pub(crate) use spki::public_key;

use self::pinned::Pinned;
use super::certificate::{self, Pair};
use super::settings::{Access, Files, Settings};
use super::{Checked, StartError};
use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::CertificateDer;
use std::path::Path;
use std::sync::Arc;

/// What the node's port speaks. A pair that is missing is made, and one that panels cannot use is warned about.
///
/// # Errors
/// A certificate or key cannot be used.
pub(crate) fn for_node(settings: &Settings) -> Result<Servers, StartError> {
    let files = &settings.files;
    if certificate::ensure(files)? {
        tracing::info!("made the certificate {}", files.certificate.display());
        if settings.access != Access::Certificate {
            tracing::warn!(
                "SSL_CERT_FILE={}: it names no address, and panels that show a key ask for the one under which they know the node",
                files.certificate.display()
            );
        }
    }
    let pair = Pair::load(files)?;
    match settings.access {
        Access::Certificate => {
            for warning in warnings(&pair, &files.certificate) {
                tracing::warn!("{warning}");
            }
            let panels_file = &files.client_certificates;
            let usual = server_config(pair, panels(panels_file)?);
            let usual = usual.map_err(|error| wrong_panels(panels_file, error.to_string()))?;
            let mut http2 = ServerConfig::clone(&usual);
            http2.alpn_protocols = vec![HTTP2.to_vec()];
            let http2 = Arc::new(http2);
            Ok(Servers { usual, http2 })
        }
        Access::Key(_) => {
            let usual = keyed_server_config(pair).map_err(|error| StartError::Internal(error.to_string()))?;
            let http2 = usual.clone();
            Ok(Servers { usual, http2 })
        }
    }
}

/// HTTP/2 as it is offered in a handshake (RFC 7301).
const HTTP2: &[u8] = b"h2";

/// What the node's port speaks, by what clients offer.
pub(crate) struct Servers {
    usual: Arc<ServerConfig>,
    /// For clients that offer nothing else: gRPC's libraries want to hear that it is taken. To those that offer HTTP/1.1, too,
    /// it is not offered where Marzban's interface is, which has no HTTP/2.
    http2: Arc<ServerConfig>,
}

impl Servers {
    /// What is spoken with the client of this hello.
    pub(crate) fn of(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let mut offered = hello.alpn().into_iter().flatten();
        match (offered.next(), offered.next()) {
            (Some(HTTP2), None) => self.http2.clone(),
            _ => self.usual.clone(),
        }
    }
}

/// Looks at certificates and keys as [`for_node`] does, and makes nothing. Panels' certificates that are not there are not
/// its business.
pub(crate) fn check(files: &Files, access: Access, found: &mut Checked) {
    if certificate::is_there(files) {
        match Pair::load(files) {
            Ok(pair) if access == Access::Certificate => found.warnings.extend(warnings(&pair, &files.certificate)),
            Ok(_) => {}
            Err(error) => found.problems.push(error.to_string()),
        }
    } else {
        check_making(files, found);
    }
    if access == Access::Certificate && files.client_certificates.is_file() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pinned = panels(&files.client_certificates).and_then(|panels| {
            Pinned::new(panels, &provider).map_err(|error| wrong_panels(&files.client_certificates, error.to_string()))
        });
        found.problems.extend(pinned.err().map(|error| error.to_string()));
    }
}

/// Whether a pair that is missing can be made.
fn check_making(files: &Files, found: &mut Checked) {
    match certificate::check(&files.certificate, &files.key) {
        Ok(()) => found.warnings.push(format!(
            "SSL_CERT_FILE={}: certificate or key are missing, the node will make both",
            files.certificate.display()
        )),
        Err(error) => found.problems.push(format!(
            "SSL_CERT_FILE, SSL_KEY_FILE: a file is missing, and the node cannot make the pair: {error}"
        )),
    }
}

fn warnings(pair: &Pair, certificate: &Path) -> Vec<String> {
    let named = |warning| format!("SSL_CERT_FILE={}: {warning}", certificate.display());
    pair.warnings().into_iter().map(named).collect()
}

fn panels(path: &Path) -> Result<Vec<CertificateDer<'static>>, StartError> {
    certificate::certificates(path).map_err(|reason| wrong_panels(path, reason))
}

fn wrong_panels(path: &Path, reason: String) -> StartError {
    StartError::Certificate {
        variable: "SSL_CLIENT_CERT_FILE",
        path: path.to_owned(),
        reason,
    }
}

/// The configuration for a pair and the certificates of those who may connect.
///
/// # Errors
/// One of them is no certificate.
pub(super) fn server_config(
    pair: Pair,
    panels: Vec<CertificateDer<'static>>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Pinned::new(panels, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(VERSIONS)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(shown(pair));
    // Panels do not resume, and what is resumed is not verified again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The configuration for panels that show a key instead: no client certificates, and HTTP/2 among the protocols.
fn keyed_server_config(pair: Pair) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(VERSIONS)?
        .with_no_client_auth()
        .with_cert_resolver(shown(pair));
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

fn shown(pair: Pair) -> Arc<SingleCertAndKey> {
    Arc::new(SingleCertAndKey::from(CertifiedKey::new(pair.chain, pair.key)))
}
