//! One HTTP/1.1 connection, as the original's server speaks it (`spec/node-marzban.md`, 1.1 and 1.2).
//!
//! hyper reads and writes. What is different here: a request that cannot be read is answered with a text of our own (see
//! [`gate`]), an answer can close the connection without saying so, and the stream always comes back to the caller, who
//! ends it so that the client reads all that was written, or goes on with it as a WebSocket.

mod access;
mod gate;
mod request;
mod response;

pub use access::ACCESS_LOG;
pub(crate) use access::log;
pub(crate) use request::{BODY_TIMEOUT, BodyFault, BodyRoom, Head, Incoming, read_body};
pub(crate) use response::{Content, json, method_not_allowed, redirect, text, upgrade, websocket_refusal};

use self::gate::{Gate, Phase};
use crate::shared::Guarded;
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

/// How long a connection may be idle, and how long a head may take. The original's 5 s race with panels that keep their
/// connections and do not repeat a POST (`spec/node-marzban.md`, 2).
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// Most bytes of a request's head.
pub(crate) const MAX_HEAD_BYTES: usize = 64 << 10;

/// What a request that is no HTTP is answered with.
const INVALID_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    connection: close\r\n\
    \r\n\
    Invalid HTTP request received.";

/// What a request is answered with. `U` is what the caller wants to keep of one that became a WebSocket.
pub(crate) enum Answer<U> {
    /// A response, and the connection goes on.
    Respond(Response<Bytes>),
    /// A response of the node's other kind of panels, which may go on for long.
    Foreign(Response<tonic::body::Body>),
    /// A response, and then the end of the connection, which the response does not announce.
    RespondAndClose(Response<Bytes>),
    /// The request was no HTTP after all: [`INVALID_REQUEST`].
    Invalid,
    /// The response 101; the stream goes back to the caller.
    Upgrade(Response<Bytes>, U),
}

/// What comes back when HTTP is over.
pub(crate) struct Over<IO, U> {
    pub(crate) stream: IO,
    /// Received and not looked at.
    pub(crate) rest: Bytes,
    /// Set if the connection is a WebSocket now.
    pub(crate) upgrade: Option<U>,
}

/// What follows the response under way.
enum Then<U> {
    Next,
    Close,
    Invalid,
    Upgrade(U),
}

/// Serves requests until one of the sides ends the connection or `stop` becomes true. Never ends `stream` itself.
pub(crate) async fn serve<IO, U, S, F>(stream: IO, mut stop: watch::Receiver<bool>, service: S) -> Over<IO, U>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Answer<U>>,
{
    let phase = Arc::new(Phase::default());
    let then = Guarded::new(Then::Next);
    let respond = |request| {
        // A request behind an answer that closes the connection is not looked at any more.
        let answer = matches!(*then.lock(), Then::Next).then(|| service(request));
        phase.begin();
        let (phase, then) = (&phase, &then);
        Box::pin(async move {
            let Some(answer) = answer else { return Err(NoResponse) };
            let (response, follows) = match answer.await {
                Answer::Respond(response) => (Some(response.map(gate::own)), Then::Next),
                Answer::Foreign(response) => (Some(response.map(gate::foreign)), Then::Next),
                Answer::RespondAndClose(response) => (Some(response.map(gate::own)), Then::Close),
                Answer::Invalid => (None, Then::Invalid),
                Answer::Upgrade(response, kept) => (Some(response.map(gate::own)), Then::Upgrade(kept)),
            };
            *then.lock() = follows;
            let response = response.ok_or(NoResponse)?;
            Ok(response.map(|body| gate::Body::new(body, phase.clone())))
        })
    };
    let mut connection = http1::Builder::new()
        .auto_date_header(false)
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_header_size(MAX_HEAD_BYTES)
        .serve_connection(Gate::new(TokioIo::new(stream), phase.clone()), service_fn(respond));
    let ended = {
        let mut stopped = pin!(stop.wait_for(|stop| *stop));
        poll_fn(|context| {
            if let Poll::Ready(ended) = connection.poll_without_shutdown(context) {
                return Poll::Ready(ended);
            }
            let closing = matches!(*then.lock(), Then::Close);
            if phase.is_idle() && (closing || stopped.as_mut().poll(context).is_ready()) {
                return Poll::Ready(Ok(()));
            }
            Poll::Pending
        })
        .await
    };
    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner().into_inner();
    let then = std::mem::replace(&mut *then.lock(), Then::Next);
    let invalid = matches!(then, Then::Invalid) || ended.is_err_and(|error| error.is_parse());
    if invalid {
        // A client that is gone does not miss it.
        let _ = stream.write_all(INVALID_REQUEST).await;
        let _ = stream.flush().await;
    }
    let upgrade = match then {
        Then::Upgrade(kept) => Some(kept),
        _ => None,
    };
    Over {
        stream,
        rest: parts.read_buf,
        upgrade,
    }
}

/// Tells hyper to end the connection without a word.
#[derive(Debug, thiserror::Error)]
#[error("there is no response")]
struct NoResponse;
