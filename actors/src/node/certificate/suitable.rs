//! Whether panels can work with a certificate: what they check is in `spec/node-marzban.md`, 2, item 4.

use super::NAME;
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// Why they could not; a sentence for each reason.
pub(super) fn warnings(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = parse_x509_certificate(certificate) else {
        return vec!["the node's certificate is not understood: panels may not take it".to_owned()];
    };
    let mut warnings = Vec::new();
    if certificate.issuer() != certificate.subject() {
        warnings.push(
            "the node's certificate was issued by somebody else: panels trust the certificate itself and need one that is \
             self-signed (`kariz cert node` makes it)"
                .to_owned(),
        );
    }
    if !certificate.validity().is_valid() {
        warnings.push(
            "the node's certificate has expired or is not valid yet: panels refuse it (`kariz cert node` makes another)"
                .to_owned(),
        );
    }
    // Names in the extension put the common name out of use.
    let names = certificate.subject_alternative_name().ok().flatten();
    let is_named = match names {
        Some(names) => names
            .value
            .general_names
            .iter()
            .any(|name| matches!(name, GeneralName::DNSName(name) if name.eq_ignore_ascii_case(NAME))),
        None => certificate
            .subject()
            .iter_common_name()
            .any(|name| name.as_str().is_ok_and(|name| name.eq_ignore_ascii_case(NAME))),
    };
    if !is_named {
        warnings.push(format!(
            "the node's certificate is not for the name {NAME}, which panels ask for: they cannot reach the core's API \
             (`kariz cert node` makes one)"
        ));
    }
    warnings
}
