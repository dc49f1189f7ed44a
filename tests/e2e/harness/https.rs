//! HTTPS with raw bytes: what is sent and what came back are exactly what the test wrote and sees.
//!
//! The server's certificate is kept, not judged: openssl and the panel's own libraries do that in other tests.

use super::visitor::End;
use super::wait::within;
use super::{Context, Result, SOON, SocketAddr, bail, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::ring::default_provider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A head that is longer than this is a fault of the server.
const MAX_HEAD: usize = 64 << 10;

/// A file of `tests/fixtures/pki`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/pki")
        .join(name)
}

/// What a client shows and which versions it speaks. Clones share it.
#[derive(Debug, Clone)]
pub struct Login(Arc<ClientConfig>);

impl Login {
    /// The panel that nodes of the tests trust: an RSA key with an X.509 v1 certificate, as Marzban makes them.
    pub fn panel() -> Result<Self> {
        Self::with("panel-v1-rsa.pem", "panel-rsa.key", rustls::ALL_VERSIONS)
    }

    /// Certificate and key from two fixtures. They need not belong together.
    pub fn with(certificate: &str, key: &str, versions: &[&'static SupportedProtocolVersion]) -> Result<Self> {
        let chain = CertificateDer::pem_file_iter(fixture(certificate))?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(fixture(key))?;
        let key = default_provider().key_provider.load_private_key(key)?;
        // Unlike `CertifiedKey::from_der` this takes v1 certificates and keys that belong to another certificate.
        Self::new(Some(CertifiedKey::new(chain, key)), versions)
    }

    /// A client that has no certificate.
    pub fn anonymous(versions: &[&'static SupportedProtocolVersion]) -> Result<Self> {
        Self::new(None, versions)
    }

    /// The same client, which offers protocols (ALPN).
    pub fn offering(self, protocols: &[&str]) -> Self {
        let mut config = ClientConfig::clone(&self.0);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self(Arc::new(config))
    }

    /// The first bytes of a handshake.
    pub fn hello(&self) -> Result<Vec<u8>> {
        let mut client = rustls::ClientConnection::new(self.0.clone(), ServerName::try_from("node.test")?)?;
        let mut hello = Vec::new();
        client.write_tls(&mut hello)?;
        Ok(hello)
    }

    fn new(identity: Option<CertifiedKey>, versions: &[&'static SupportedProtocolVersion]) -> Result<Self> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody));
        let mut config = match identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }
}

/// Takes every certificate and every signature.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_tls12_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A connection.
#[derive(Debug)]
pub struct Https {
    stream: TlsStream<TcpStream>,
    unread: Vec<u8>,
}

impl Https {
    /// Connects and shakes hands.
    pub async fn open(address: SocketAddr, login: &Login) -> Result<Self> {
        let stream = within(SOON, "connecting", TcpStream::connect(address)).await??;
        Self::over(stream, login).await
    }

    /// Connects from a given source address and shakes hands.
    pub async fn open_from(source: IpAddr, address: SocketAddr, login: &Login) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(source, 0))?;
        let stream = within(SOON, "connecting", socket.connect(address)).await??;
        Self::over(stream, login).await
    }

    async fn over(stream: TcpStream, login: &Login) -> Result<Self> {
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("node.test")?;
        let connector = TlsConnector::from(login.0.clone());
        // On the heap: the tests' own futures stay small.
        let handshake = Box::pin(connector.connect(name, stream));
        let stream = within(SOON, "a TLS handshake", handshake).await??;
        let unread = Vec::new();
        Ok(Self { stream, unread })
    }

    /// The certificate that the server showed.
    pub fn certificate(&self) -> Result<Vec<u8>> {
        let shown = self.stream.get_ref().1.peer_certificates();
        let leaf = shown
            .and_then(<[_]>::first)
            .context("the server showed a certificate")?;
        Ok(leaf.to_vec())
    }

    /// The protocol that the server chose (ALPN).
    pub fn protocol(&self) -> Option<String> {
        let chosen = self.stream.get_ref().1.alpn_protocol()?;
        Some(String::from_utf8_lossy(chosen).into_owned())
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        Ok(within(SOON, "sending", write).await??)
    }

    /// Sends a request and reads its answer.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        self.send(request).await?;
        self.answer(request.starts_with(b"HEAD ")).await
    }

    /// Reads the next answer; one without `content-length` goes to the end of the connection.
    pub async fn answer(&mut self, to_head: bool) -> Result<Answer> {
        within(SOON, "an answer", self.read_answer(to_head)).await?
    }

    async fn read_answer(&mut self, to_head: bool) -> Result<Answer> {
        let end = loop {
            if let Some(at) = find(&self.unread, b"\r\n\r\n") {
                break at + 4;
            }
            ensure!(self.unread.len() < MAX_HEAD, "the head of an answer has no end");
            if !self.more().await? {
                bail!(
                    "the connection ended in the head of an answer: {:?}",
                    String::from_utf8_lossy(&self.unread)
                );
            }
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).context("a head is UTF-8")?;
        let mut answer = Answer { head, body: Vec::new() };
        let length = answer.header("content-length").map(str::parse::<usize>).transpose()?;
        match length {
            _ if to_head || answer.status() == 101 => {}
            Some(length) => {
                while self.unread.len() < length {
                    ensure!(self.more().await?, "the connection ended in the body of an answer");
                }
                answer.body = self.unread.drain(..length).collect();
            }
            None => {
                while self.more().await? {}
                answer.body = std::mem::take(&mut self.unread);
            }
        }
        Ok(answer)
    }

    /// Reads what is there; whether there was anything but the end.
    async fn more(&mut self) -> Result<bool> {
        match self.stream.read_buf(&mut self.unread).await {
            Ok(count) => Ok(count > 0),
            // The end without TLS's own farewell.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error).context("reading from the node"),
        }
    }

    /// Reads to the end, within `limit`: what came, and how it ended.
    pub async fn end(&mut self, limit: std::time::Duration) -> Result<(Vec<u8>, End)> {
        let read = async {
            loop {
                match self.more().await {
                    Ok(true) => {}
                    Ok(false) => break End::Clean,
                    Err(error) => break ended(&error),
                }
            }
        };
        let end = within(limit, "the end of a connection", read).await?;
        Ok((std::mem::take(&mut self.unread), end))
    }

    /// The stream below, for another protocol. Nothing may be unread.
    pub fn into_stream(self) -> Result<TlsStream<TcpStream>> {
        ensure!(self.unread.is_empty(), "{} bytes are unread", self.unread.len());
        Ok(self.stream)
    }
}

/// A TLS alert is a way to say that it is over; a reset is not.
fn ended(error: &anyhow::Error) -> End {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    match kind {
        Some(std::io::ErrorKind::InvalidData) => End::Clean,
        _ => End::Reset,
    }
}

/// Where `part` begins in `whole`.
fn find(whole: &[u8], part: &[u8]) -> Option<usize> {
    whole.windows(part.len()).position(|window| window == part)
}

/// An answer of the server.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status line and headers, with the empty line behind them.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The status code; 0 if the first line has none.
    pub fn status(&self) -> u16 {
        let code = self.head.split(' ').nth(1);
        code.and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// The value of the first header `name`, written in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.split("\r\n").skip(1);
        headers
            .filter_map(|line| line.split_once(": "))
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("a body is JSON: {:?}", self.text()))
    }

    /// Fails with the whole answer unless the status is `status`.
    pub fn expect(self, status: u16) -> Result<Self> {
        let got = self.status();
        ensure!(
            got == status,
            "{status} was expected: {:?} {:?}",
            self.head,
            self.text()
        );
        Ok(self)
    }

    /// All of it, with `{date}` in place of the date, which has to be that of now.
    pub fn masked(&self) -> Result<String> {
        const CLOCK_TOLERANCE_S: u64 = 60;
        let mut head = self.head.clone();
        if let Some(date) = self.header("date") {
            let said = httpdate::parse_http_date(date).with_context(|| format!("a date is one: {date:?}"))?;
            ensure!(
                httpdate::fmt_http_date(said) == date,
                "a date is written otherwise: {date:?}"
            );
            let apart = said.elapsed().unwrap_or_else(|error| error.duration());
            ensure!(apart.as_secs() < CLOCK_TOLERANCE_S, "the date is {date}");
            head = head.replacen(date, "{date}", 1);
        }
        Ok(head + &self.text())
    }
}
