//! What a request asks for, and its body.

use bytes::Bytes;
use http_body_util::BodyExt;
pub(crate) use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::{HeaderMap, Request, Version};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Largest body in bytes. The original has no bound; the largest configuration it was seen with has 30 MB.
pub(crate) const MAX_BODY_BYTES: usize = 256 << 20;

/// Room that is made for a body before its first byte has come, whatever the client announces.
const FIRST_ROOM_BYTES: usize = 1 << 20;

/// What a location keeps as it is besides letters and digits: as the original's framework quotes it.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'/')
    .remove(b'%')
    .remove(b'#')
    .remove(b'?')
    .remove(b'=')
    .remove(b'@')
    .remove(b'[')
    .remove(b']')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';');

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// The path, percent-decoded once.
    pub(crate) path: String,
    /// What follows the question mark; empty if there is none.
    pub(crate) query: String,
    host: Option<String>,
    /// Whether it wants to become a WebSocket.
    pub(crate) is_websocket: bool,
}

impl Head {
    /// Reads it; `None` if the request is not HTTP/1.1 as it has to be: without exactly one host.
    pub(crate) fn read<B>(request: &Request<B>) -> Option<Self> {
        let headers = request.headers();
        let mut hosts = headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => Some(String::from_utf8_lossy(host.as_bytes()).into_owned()),
            (None, None) if request.version() < Version::HTTP_11 => None,
            _ => return None,
        };
        let uri = request.uri();
        // A target with scheme and host in it is a path that nothing is at.
        let path = match uri.scheme() {
            Some(_) => uri.to_string(),
            None => percent_decode_str(uri.path()).decode_utf8_lossy().into_owned(),
        };
        Some(Self {
            path,
            query: uri.query().unwrap_or_default().to_owned(),
            host,
            is_websocket: has_token(headers, &CONNECTION, "upgrade") && has_token(headers, &UPGRADE, "websocket"),
        })
    }

    /// The address of `path` at the same host, with the same query. `local` is the host if the client named none.
    pub(crate) fn location(&self, path: &str, local: SocketAddr) -> String {
        let host = self.host.clone().unwrap_or_else(|| local.to_string());
        let mut location = format!("https://{host}{path}");
        if !self.query.is_empty() {
            location.push('?');
            location.push_str(&self.query);
        }
        utf8_percent_encode(&location, QUOTED).to_string()
    }
}

/// Whether one of the words in a header is `token`, in any case.
fn has_token(headers: &HeaderMap, name: &hyper::header::HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(token))
}

/// How long a body may stand still. One whose client is gone without a word would be kept for ever.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Most bytes of all bodies that are there at a time. What comes on top waits, for [`BODY_TIMEOUT`] at most.
const MAX_BYTES_OF_ALL: usize = 2 * MAX_BODY_BYTES;

/// Room for the bodies of all requests together. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct BodyRoom(Arc<Semaphore>);

impl Default for BodyRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_BYTES_OF_ALL)))
    }
}

impl BodyRoom {
    /// Gauge: bytes that are taken; at most [`MAX_BYTES_OF_ALL`].
    pub(crate) fn taken(&self) -> usize {
        MAX_BYTES_OF_ALL - self.0.available_permits()
    }

    /// Takes room for some bytes, as soon as there is so much.
    ///
    /// # Errors
    /// There is none for [`BODY_TIMEOUT`].
    pub(crate) async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, BodyFault> {
        let bytes = u32::try_from(bytes).map_err(|_| BodyFault::TooLarge)?;
        let taken = timeout(BODY_TIMEOUT, self.0.clone().acquire_many_owned(bytes)).await;
        taken.map_err(|_| BodyFault::Stalled)?.map_err(|_| BodyFault::Stalled)
    }
}

/// A whole body. Its room is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// It has more than [`MAX_BODY_BYTES`].
    TooLarge,
    /// Nothing came for [`BODY_TIMEOUT`], or there was no room for what came.
    Stalled,
    /// The client broke off, or what it sent is no HTTP.
    Broken,
}

/// Reads a body to its end.
///
/// # Errors
/// See [`BodyFault`].
pub(crate) async fn read_body(mut body: Incoming, all: &BodyRoom) -> Result<Body, BodyFault> {
    let announced = hyper::body::Body::size_hint(&body).lower();
    if announced > MAX_BODY_BYTES as u64 {
        return Err(BodyFault::TooLarge);
    }
    let mut whole: Option<Vec<u8>> = None;
    let mut first = Bytes::new();
    let mut room: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = timeout(BODY_TIMEOUT, body.frame())
        .await
        .map_err(|_| BodyFault::Stalled)?
    {
        let Ok(part) = frame.map_err(|_| BodyFault::Broken)?.into_data() else {
            continue;
        };
        let taken = all.take(part.len()).await?;
        match &mut room {
            Some(room) => room.merge(taken),
            None => room = Some(taken),
        }
        // Most bodies come in one piece, which is not copied.
        if first.is_empty() && whole.is_none() {
            first = part;
            continue;
        }
        let whole = whole.get_or_insert_with(|| {
            let room = usize::try_from(announced).unwrap_or(usize::MAX).min(FIRST_ROOM_BYTES);
            let mut whole = Vec::with_capacity(room);
            whole.extend_from_slice(&first);
            whole
        });
        if whole.len() + part.len() > MAX_BODY_BYTES {
            return Err(BodyFault::TooLarge);
        }
        whole.extend_from_slice(&part);
    }
    Ok(Body {
        bytes: whole.map_or(first, Bytes::from),
        _room: room,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &str, headers: &[(&str, &str)], version: Version) -> Option<Head> {
        let builder = Request::builder().method("POST").uri(target).version(version);
        let builder = headers
            .iter()
            .fold(builder, |builder, (name, value)| builder.header(*name, *value));
        Head::read(&builder.body(()).unwrap())
    }

    #[test]
    fn a_host_is_needed_once() {
        assert!(head("/", &[], Version::HTTP_11).is_none());
        assert!(head("/", &[("host", "a"), ("host", "b")], Version::HTTP_11).is_none());
        assert!(head("/", &[("host", "a")], Version::HTTP_11).is_some());
        assert!(head("/", &[], Version::HTTP_10).is_some());
    }

    #[test]
    fn paths_are_decoded_once() {
        let path = |target| head(target, &[("host", "a")], Version::HTTP_11).unwrap().path;
        assert_eq!(path("/%70ing"), "/ping");
        assert_eq!(path("/%2570ing"), "/%70ing");
        assert_eq!(path("//ping"), "//ping");
        assert_eq!(path("http://a/ping"), "http://a/ping");
    }

    #[test]
    fn a_location_keeps_host_and_query() {
        let local = "127.0.0.1:62050".parse().unwrap();
        let with_host = head("/ping/?a=b%20c", &[("host", "node:1")], Version::HTTP_11).unwrap();
        assert_eq!(with_host.location("/ping", local), "https://node:1/ping?a=b%20c");
        let without = head("/ping/", &[], Version::HTTP_10).unwrap();
        assert_eq!(without.location("/ping", local), "https://127.0.0.1:62050/ping");
    }

    #[test]
    fn a_websocket_is_recognised_among_other_words() {
        let websocket = |connection, upgrade| {
            let headers = [("host", "a"), ("connection", connection), ("upgrade", upgrade)];
            head("/logs", &headers, Version::HTTP_11).unwrap().is_websocket
        };
        assert!(websocket("keep-alive, Upgrade", "WebSocket"));
        assert!(!websocket("keep-alive", "websocket"));
        assert!(!websocket("upgrade", "h2c"));
    }
}
