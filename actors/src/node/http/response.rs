//! The shapes that answers have. Headers are in the order in which the original sends them.

use bytes::Bytes;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, HeaderValue, LOCATION, SEC_WEBSOCKET_ACCEPT,
    SERVER, UPGRADE,
};
use hyper::{Response, StatusCode};
use std::time::SystemTime;

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// JSON, as nearly everything here.
    Json,
    /// Plain text.
    Text,
    /// A page for a browser.
    Html,
}

impl Content {
    fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
        }
    }
}

/// An answer with a body.
pub(crate) fn text(status: StatusCode, content: Content, body: impl Into<Bytes>) -> Response<Bytes> {
    let body = body.into();
    let mut response = bare(status);
    length_and_type(&mut response, &body, content);
    *response.body_mut() = body;
    response
}

/// JSON, written compactly by the caller.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    text(status, Content::Json, body)
}

/// 405: the path is there, but not for this method.
pub(crate) fn method_not_allowed(allowed: &'static str) -> Response<Bytes> {
    let body = Bytes::from_static(br#"{"detail":"Method Not Allowed"}"#);
    let mut response = bare(StatusCode::METHOD_NOT_ALLOWED);
    put(&mut response, ALLOW, HeaderValue::from_static(allowed));
    length_and_type(&mut response, &body, Content::Json);
    *response.body_mut() = body;
    response
}

/// 307: the same request, somewhere else. A location that cannot be a header's value is left out.
pub(crate) fn redirect(location: &str) -> Response<Bytes> {
    let mut response = bare(StatusCode::TEMPORARY_REDIRECT);
    put(&mut response, CONTENT_LENGTH, HeaderValue::from_static("0"));
    if let Ok(location) = HeaderValue::try_from(location) {
        put(&mut response, LOCATION, location);
    }
    response
}

/// 101: from here on a WebSocket. `key` is what the client sent (RFC 6455, 4.2.2).
pub(crate) fn upgrade(key: &[u8]) -> Response<Bytes> {
    let mut response = bare(StatusCode::SWITCHING_PROTOCOLS);
    put(&mut response, UPGRADE, HeaderValue::from_static("websocket"));
    put(&mut response, CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key);
    if let Ok(accept) = HeaderValue::try_from(accept) {
        put(&mut response, SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// A WebSocket that is refused before it is one.
pub(crate) fn websocket_refusal(status: StatusCode, body: &'static str) -> Response<Bytes> {
    let mut response = bare(status);
    let media_type = if body.is_empty() {
        "text/plain"
    } else {
        Content::Text.media_type()
    };
    put(&mut response, CONTENT_LENGTH, body.len().into());
    put(&mut response, CONTENT_TYPE, HeaderValue::from_static(media_type));
    put(&mut response, CONNECTION, HeaderValue::from_static("close"));
    *response.body_mut() = Bytes::from_static(body.as_bytes());
    response
}

/// What every answer begins with.
fn bare(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())) {
        put(&mut response, DATE, date);
    }
    put(&mut response, SERVER, HeaderValue::from_static("uvicorn"));
    response
}

fn length_and_type(response: &mut Response<Bytes>, body: &Bytes, content: Content) {
    put(response, CONTENT_LENGTH, body.len().into());
    put(response, CONTENT_TYPE, HeaderValue::from_static(content.media_type()));
}

fn put(response: &mut Response<Bytes>, name: HeaderName, value: HeaderValue) {
    response.headers_mut().insert(name, value);
}
