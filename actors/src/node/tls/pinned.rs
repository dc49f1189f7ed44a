//! Who may connect: whoever has the key of one of the certificates that are known, byte for byte, or one that is chained to
//! them.
//!
//! Panels' certificates are of version 1, or authorities that act as their own clients; OpenSSL takes both, webpki neither
//! (`spec/node-marzban.md`, 2.1). So a known certificate is compared and nothing in it is looked at but its key.

use super::spki::public_key;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

/// The verifier.
#[derive(Debug)]
pub(super) struct Pinned {
    known: Vec<CertificateDer<'static>>,
    /// For certificates that are chained to a known one; there is none if no known one may sign others.
    chains: Option<Arc<dyn ClientCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    /// Knows these certificates.
    ///
    /// # Errors
    /// One of them is no certificate, or there is none.
    pub(super) fn new(known: Vec<CertificateDer<'static>>, provider: &Arc<CryptoProvider>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in &known {
            // webpki looks at nothing in an anchor, least of all whether it is one.
            match is_authority(certificate)? {
                true => roots.add(certificate.clone())?,
                false => drop(public_key(certificate).map_err(|_| CertificateError::BadEncoding)?),
            }
        }
        let chains = match roots.is_empty() {
            true => None,
            false => Some(chains(roots, provider)?),
        };
        Ok(Self {
            known,
            chains,
            algorithms: provider.signature_verification_algorithms,
        })
    }
}

fn chains(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| Error::General(error.to_string()))
}

/// Whether a certificate may sign others, as OpenSSL sees it: it says that it is an authority and not that it signs no
/// certificates, or it is of the first version, which could say neither, and signed itself.
fn is_authority(certificate: &CertificateDer<'_>) -> Result<bool, Error> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    if parsed.version() != X509Version::V3 {
        return Ok(parsed.subject().as_raw() == parsed.issuer().as_raw());
    }
    let constraints = parsed.basic_constraints().map_err(|_| CertificateError::BadEncoding)?;
    let usage = parsed.key_usage().map_err(|_| CertificateError::BadEncoding)?;
    let signs = usage.is_none_or(|usage| usage.value.key_cert_sign());
    Ok(signs && constraints.is_some_and(|constraints| constraints.value.ca))
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Without hints a client offers what it has.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.known.iter().any(|known| known.as_ref() == end_entity.as_ref()) {
            return Ok(ClientCertVerified::assertion());
        }
        match &self.chains {
            Some(chains) => chains.verify_client_cert(end_entity, intermediates, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = public_key(certificate).map_err(|_| CertificateError::BadEncoding)?;
        let key = webpki::RawPublicKeyEntity::try_from(&key).map_err(|_| CertificateError::BadEncoding)?;
        // In TLS 1.2 a scheme leaves the curve open.
        let mut mapping = self.algorithms.mapping.iter();
        let (_, algorithms) = mapping
            .find(|(scheme, _)| *scheme == signed.scheme)
            .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        let is_valid = algorithms
            .iter()
            .any(|algorithm| key.verify_signature(*algorithm, message, signed.signature()).is_ok());
        match is_valid {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(CertificateError::BadSignature.into()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = public_key(certificate).map_err(|_| CertificateError::BadEncoding)?;
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
