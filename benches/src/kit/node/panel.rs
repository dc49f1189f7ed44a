//! A panel: HTTP/1.1 over TLS with a client certificate, one blocking connection. Cheap enough not to be what is measured.

use super::place::Pair;
use anyhow::{Context, Result, bail, ensure};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// The name in a node's certificate (`spec/node-marzban.md`, section 2).
const NODE_NAME: &str = "Gozargah";

/// Longer than any answer takes that is still one.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Headers of an answer.
const MAX_HEADERS: usize = 32;

/// A connection of a panel, with its session.
pub(crate) struct Panel {
    stream: StreamOwned<ClientConnection, TcpStream>,
    /// What came and was not used.
    unread: Vec<u8>,
    session: String,
}

impl Panel {
    /// Connects to a node that shows the certificate of `node`, and takes a session.
    pub(crate) fn connect(address: SocketAddr, node: &Pair, own: &Pair) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(node)?)?;
        let key = PrivateKeyDer::from_pem_file(&own.key).with_context(|| own.key.display().to_string())?;
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate(own)?], key)?;
        let tcp = TcpStream::connect(address).context("connecting to the node")?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(ANSWER_LIMIT))?;
        let connection = ClientConnection::new(Arc::new(config), ServerName::try_from(NODE_NAME)?)?;
        let mut panel = Self {
            stream: StreamOwned::new(connection, tcp),
            unread: Vec::new(),
            session: String::new(),
        };
        let answer = panel.post("/connect", &json!({}))?;
        let session = answer["session_id"].as_str().context("/connect gives a session")?;
        panel.session = session.to_owned();
        Ok(panel)
    }

    /// The bytes of a `/start` or `/restart` with this configuration.
    pub(crate) fn run_request(&self, path: &str, config: &str) -> Vec<u8> {
        let body = json!({ "session_id": self.session, "config": config });
        request(path, body.to_string().as_bytes())
    }

    /// Sends such a request; fails unless the core runs then.
    pub(crate) fn run(&mut self, request: &[u8]) -> Result<()> {
        let answer: Value = serde_json::from_slice(&self.ask(request)?)?;
        ensure!(answer["started"] == true, "the core is not started: {answer}");
        Ok(())
    }

    /// `/stop` and everything else that takes the session alone.
    pub(crate) fn tell(&mut self, path: &str) -> Result<Value> {
        let body = json!({ "session_id": self.session });
        self.post(path, &body)
    }

    /// The bytes of a `/ping`, to be sent again and again.
    pub(crate) fn ping_request(&self) -> Vec<u8> {
        request("/ping", json!({ "session_id": self.session }).to_string().as_bytes())
    }

    /// Sends what is a whole request, and reads its answer, which has to be a 200.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        self.stream.write_all(request)?;
        self.stream.flush()?;
        self.answer()
    }

    fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        let answer = self
            .ask(&request(path, body.to_string().as_bytes()))
            .with_context(|| path.to_owned())?;
        Ok(serde_json::from_slice(&answer)?)
    }

    fn answer(&mut self) -> Result<Vec<u8>> {
        let head = loop {
            if let Some(head) = Head::read(&self.unread)? {
                break head;
            }
            self.more()?;
        };
        let end = head.len + head.body;
        while self.unread.len() < end {
            self.more()?;
        }
        let body = self.unread[head.len..end].to_vec();
        self.unread.drain(..end);
        ensure!(
            head.status == 200,
            "{}: {}",
            head.status,
            String::from_utf8_lossy(&body)
        );
        Ok(body)
    }

    fn more(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        let count = self.stream.read(&mut buffer)?;
        ensure!(count > 0, "the node ended the connection");
        self.unread.extend_from_slice(&buffer[..count]);
        Ok(())
    }
}

/// What the kit needs of the head of an answer.
struct Head {
    len: usize,
    status: u16,
    body: usize,
}

impl Head {
    /// `None` if there is more of it to come.
    fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(len) = head.parse(bytes)? else {
            return Ok(None);
        };
        let Some(length) = head
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        else {
            bail!("an answer has no length: {:?}", String::from_utf8_lossy(bytes));
        };
        Ok(Some(Self {
            len,
            status: head.code.context("an answer has a status")?,
            body: std::str::from_utf8(length.value)?.parse()?,
        }))
    }
}

fn request(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn certificate(pair: &Pair) -> Result<CertificateDer<'static>> {
    CertificateDer::from_pem_file(&pair.certificate).with_context(|| pair.certificate.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_long_it_is() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        let head = Head::read(whole).unwrap().expect("it is whole");
        assert_eq!((head.len, head.status, head.body), (whole.len() - 2, 200, 2));
        assert!(Head::read(&whole[..30]).unwrap().is_none());
        assert!(Head::read(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(Head::read(b"\x15\x03\x01").is_err());
    }
}
