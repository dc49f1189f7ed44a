//! TLS from a panel's side: one blocking connection, to a node whose certificate is known.

use super::pair::Pair;
use anyhow::{Context, Result};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// The name in a node's certificate (`spec/node-marzban.md`, section 2).
const NODE_NAME: &str = "Gozargah";

/// Longer than any answer takes that is still one.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// A connection with TLS.
pub(super) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Connects to a node that shows the certificate of `node`; shows that of `own`, if there is one, and offers `protocols` (ALPN).
pub(super) fn connect(address: SocketAddr, node: &Pair, own: Option<&Pair>, protocols: &[&str]) -> Result<Stream> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(node)?)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match own {
        Some(own) => {
            let key = PrivateKeyDer::from_pem_file(&own.key).with_context(|| own.key.display().to_string())?;
            builder.with_client_auth_cert(vec![certificate(own)?], key)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let tcp = TcpStream::connect(address).context("connecting to the node")?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(ANSWER_LIMIT))?;
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from(NODE_NAME)?)?;
    Ok(StreamOwned::new(connection, tcp))
}

fn certificate(pair: &Pair) -> Result<CertificateDer<'static>> {
    CertificateDer::from_pem_file(&pair.certificate).with_context(|| pair.certificate.display().to_string())
}
