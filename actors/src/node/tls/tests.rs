//! Handshakes in memory: versions of TLS and X.509, kinds of keys, and who is kept out.

use super::*;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConnection, ResolvesClientCert};
use rustls::server::ServerConnection;
use rustls::sign::SigningKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, ServerName, UnixTime};
use std::path::PathBuf;

const TLS12: &SupportedProtocolVersion = &rustls::version::TLS12;
const TLS13: &SupportedProtocolVersion = &rustls::version::TLS13;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/pki")
        .join(name)
}

fn chain(name: &str) -> Vec<CertificateDer<'static>> {
    certificate::certificates(&path(&format!("{name}.pem"))).unwrap()
}

fn key(name: &str) -> Arc<dyn SigningKey> {
    let key = PrivateKeyDer::from_pem_file(path(&format!("{name}.key"))).unwrap();
    rustls::crypto::ring::sign::any_supported_type(&key).unwrap()
}

/// A panel takes whatever certificate the node has, and compares it later.
#[derive(Debug)]
struct TakesAny;

impl ServerCertVerifier for TakesAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_tls12_signature(message, certificate, signed)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::ring::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What came out of a handshake: the server's verdict, and whether the client has seen the server's certificate.
fn shake(
    (server, server_key): (&str, &str),
    known: &[&str],
    client: Option<(&str, &str)>,
    version: &'static SupportedProtocolVersion,
) -> (Result<(), Error>, bool) {
    let pair = Pair {
        chain: chain(server),
        key: key(server_key),
    };
    let known = known.iter().flat_map(|name| chain(name)).collect();
    let server = server_config(pair, known).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TakesAny));
    let config = match client {
        Some((certificate, signer)) => {
            let certified = CertifiedKey::new(chain(certificate), key(signer));
            let resolver: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(certified));
            builder.with_client_cert_resolver(resolver)
        }
        None => builder.with_no_client_auth(),
    };
    let name = ServerName::try_from("node").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    let mut verdict = Ok(());
    for _ in 0..10 {
        pass(&mut client, &mut server);
        if let Err(error) = server.process_new_packets() {
            verdict = Err(error);
        }
        pass(&mut server, &mut client);
        // What the client thinks of it does not matter here.
        let _ = client.process_new_packets();
    }
    assert!(verdict.is_err() || !server.is_handshaking(), "neither done nor refused");
    (verdict, client.peer_certificates().is_some())
}

/// Carries what one side has to send to the other.
fn pass<A, B>(from: &mut rustls::ConnectionCommon<A>, to: &mut rustls::ConnectionCommon<B>) {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).unwrap();
    }
    let mut wire = wire.as_slice();
    while !wire.is_empty() {
        to.read_tls(&mut wire).unwrap();
        // An error is met again by the one who looks at it.
        let _ = to.process_new_packets();
    }
}

const NODE: (&str, &str) = ("node-original", "node-original");

#[test]
fn known_certificates_of_any_kind_are_let_in() {
    for version in [TLS12, TLS13] {
        for panel in [
            // What the panel makes is of the same kind as what the original node makes.
            ("node-original", "node-original"),
            ("panel-v1-rsa", "panel-rsa"),
            ("panel-v1-p256", "panel-p256"),
            ("panel-ca-rsa", "panel-rsa"),
            ("panel-ca-p256", "panel-p256"),
        ] {
            for node in [NODE, ("node-v3-p256", "node-p256")] {
                let (verdict, _) = shake(node, &["stranger", panel.0], Some(panel), version);
                assert_eq!(verdict, Ok(()), "{panel:?} at {node:?}");
            }
        }
    }
}

#[test]
fn a_certificate_that_a_known_one_issued_is_let_in() {
    for version in [TLS12, TLS13] {
        let (verdict, _) = shake(NODE, &["authority"], Some(("chained", "panel-p256")), version);
        assert_eq!(verdict, Ok(()));
    }
}

#[test]
fn a_panel_that_is_no_authority_vouches_for_nobody() {
    let minted = Some(("minted", "stranger"));
    for version in [TLS12, TLS13] {
        for known in [&["panel-v3-p256"][..], &["panel-v3-p256", "authority"]] {
            let (verdict, _) = shake(NODE, known, minted, version);
            assert!(verdict.is_err(), "whoever has a panel's key could let in others");
            let (verdict, _) = shake(NODE, known, Some(("panel-v3-p256", "panel-p256")), version);
            assert_eq!(verdict, Ok(()));
        }
        let (verdict, _) = shake(NODE, &["panel-ca-p256"], minted, version);
        assert_eq!(verdict, Ok(()), "an authority with that name and key does");
    }
}

#[test]
fn strangers_are_kept_out_and_still_see_the_nodes_certificate() {
    for version in [TLS12, TLS13] {
        for client in [
            None,
            Some(("stranger", "stranger")),
            Some(("panel-v1-p256", "panel-p256")),
        ] {
            let (verdict, has_seen) = shake(NODE, &["panel-v1-rsa"], client, version);
            assert!(verdict.is_err(), "{client:?} was let in");
            assert!(has_seen, "{client:?} has not seen the certificate");
        }
    }
}

#[test]
fn a_known_certificate_without_its_key_is_worth_nothing() {
    for version in [TLS12, TLS13] {
        for client in [("panel-v1-rsa", "node-rsa"), ("panel-v1-p256", "node-p256")] {
            let (verdict, _) = shake(NODE, &[client.0], Some(client), version);
            assert!(verdict.is_err(), "{client:?} was let in");
        }
    }
}
