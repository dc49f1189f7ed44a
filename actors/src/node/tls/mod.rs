//! TLS as panels need it (`spec/node-marzban.md`, 1.1, 2 and 2.1): 1.2 and 1.3, the client's certificate pinned, no ALPN.

mod pinned;
mod spki;
#[cfg(test)]
mod tests;

pub(crate) use spki::public_key;

use self::pinned::Pinned;
use super::StartError;
use super::certificate::{self, Pair};
use super::settings::Settings;
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::CertificateDer;
use std::sync::Arc;

/// What the node's port speaks. A pair that is missing is made, and one that panels cannot use is warned about.
///
/// # Errors
/// A certificate or key cannot be used.
pub(crate) fn for_node(settings: &Settings) -> Result<Arc<ServerConfig>, StartError> {
    if certificate::ensure(settings)? {
        tracing::info!("made the certificate {}", settings.certificate.display());
    }
    let pair = Pair::load(settings)?;
    for warning in warnings(&pair, settings) {
        tracing::warn!("{warning}");
    }
    with_panels(pair, settings)
}

/// Looks at certificates and keys as [`for_node`] does, makes nothing, and returns the warnings.
///
/// # Errors
/// As [`for_node`].
pub(crate) fn check(settings: &Settings) -> Result<Vec<String>, StartError> {
    if !certificate::is_there(settings) {
        // What the panels' file is used with does not matter for whether it can be used.
        panels(settings)?;
        return Ok(vec![format!(
            "SSL_CERT_FILE={}: certificate or key are missing, the node will make both",
            settings.certificate.display()
        )]);
    }
    let pair = Pair::load(settings)?;
    let warnings = warnings(&pair, settings);
    with_panels(pair, settings)?;
    Ok(warnings)
}

fn warnings(pair: &Pair, settings: &Settings) -> Vec<String> {
    let named = |warning| format!("SSL_CERT_FILE={}: {warning}", settings.certificate.display());
    pair.warnings().into_iter().map(named).collect()
}

fn with_panels(pair: Pair, settings: &Settings) -> Result<Arc<ServerConfig>, StartError> {
    server_config(pair, panels(settings)?).map_err(|error| wrong_panels(settings, error.to_string()))
}

fn panels(settings: &Settings) -> Result<Vec<CertificateDer<'static>>, StartError> {
    certificate::certificates(&settings.client_certificates).map_err(|reason| wrong_panels(settings, reason))
}

fn wrong_panels(settings: &Settings, reason: String) -> StartError {
    StartError::Certificate {
        variable: "SSL_CLIENT_CERT_FILE",
        path: settings.client_certificates.clone(),
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
    let certified = CertifiedKey::new(pair.chain, pair.key);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    // Panels do not resume, and what is resumed is not verified again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
