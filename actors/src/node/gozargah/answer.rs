//! The body of an answer whose end matters: one with counters, which are owed again if it gets lost, and one that goes on for
//! as long as the panel listens.

use super::ledger::Owed;
use super::live::Live;
use crate::node::stream::Outgoing;
use bytes::Bytes;
use hyper::Version;
use hyper::body::{Body as _, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tonic::Status;
use tonic::body::Body;

/// Most bytes that are handed to the connection at a time. It takes the next ones when it has room for them: what is left of a
/// large answer to a panel that reads no more is seen to be left.
const CHUNK_BYTES: usize = 16 << 10;

/// What an answer's end means.
#[derive(Clone)]
pub(super) enum AtEnd {
    /// These counters have been delivered, if all of it has gone out.
    Delivered(Arc<Owed>),
    /// A call has gone well that lasted until now.
    Touch(Live),
}

/// A body whose end is noted.
struct Noted {
    inner: Body,
    /// What was taken of `inner` and not yet handed on.
    rest: Bytes,
    at_end: Option<AtEnd>,
    outgoing: Outgoing,
    /// Bytes of the connection that have gone out when all that was handed on has.
    mark: u64,
    /// Whether the connection asks until there is nothing more. HTTP/2 does, and takes a part before it has room for it; HTTP/1.1
    /// knows the length and asks no more.
    is_asked_to_the_end: bool,
    is_over: bool,
}

/// Has the end of `body` noted, on the connection that it goes out on.
pub(super) fn noted(body: Body, at_end: AtEnd, outgoing: Outgoing, version: Version) -> Body {
    Body::new(Noted {
        inner: body,
        rest: Bytes::new(),
        at_end: Some(at_end),
        mark: outgoing.bytes(),
        outgoing,
        is_asked_to_the_end: version == Version::HTTP_2,
        is_over: false,
    })
}

impl Noted {
    fn next_chunk(&mut self) -> Frame<Bytes> {
        let chunk = self.rest.split_to(self.rest.len().min(CHUNK_BYTES));
        // A connection of HTTP/2 takes many chunks before the first of them has gone out.
        self.mark = self.mark.max(self.outgoing.bytes()) + chunk.len() as u64;
        Frame::data(chunk)
    }
}

impl hyper::body::Body for Noted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.next_chunk())));
        }
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            end => {
                self.is_over = end.is_none();
                return Poll::Ready(end);
            }
        };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                self.next_chunk()
            }
            Err(trailers) => {
                // They are the last, and nobody asks again.
                self.is_over = true;
                trailers
            }
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || (!self.is_asked_to_the_end && self.rest.is_empty() && self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.inner.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        match self.at_end.take() {
            Some(AtEnd::Touch(live)) => live.touch(),
            Some(AtEnd::Delivered(owed)) if self.is_end_stream() => {
                self.outgoing.when_sent(self.mark, move || owed.delivered());
            }
            // Dropped before its end, it has not been delivered.
            Some(AtEnd::Delivered(_)) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::gozargah::ledger::Ledger;
    use crate::node::stream::Stream;
    use http_body_util::{BodyExt, Empty, Full};
    use hyper::client::conn::{http1, http2};
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use hyper_util::server::conn::auto;
    use kariz_proto::xray::app::stats::command::Stat as Counter;
    use std::convert::Infallible;
    use std::time::Duration;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{Instant, sleep};

    /// More than all windows and buffers of a test's connection together.
    const ANSWER_BYTES: usize = 1 << 20;

    /// What HTTP/2 takes at once, long before it has gone out.
    const QUEUED_BYTES: usize = 200 << 10;

    /// A connection on which each request is answered with counters.
    fn server(ledger: &Ledger, bytes: usize) -> DuplexStream {
        let (client, server) = duplex(8 << 10);
        let (stream, ledger) = (Stream::new(server), ledger.clone());
        let outgoing = stream.outgoing();
        let respond = service_fn(move |request: Request<hyper::body::Incoming>| {
            let counter = Counter {
                name: "user>>>a>>>traffic>>>uplink".into(),
                value: 5,
            };
            let owed = AtEnd::Delivered(ledger.owed(vec![counter], ledger.panel(), true));
            let body = Body::new(Full::new(Bytes::from(vec![7; bytes])));
            let response = Response::new(noted(body, owed, outgoing.clone(), request.version()));
            async { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            // The client ends it.
            let _ = builder.serve_connection(TokioIo::new(stream), respond).await;
        });
        client
    }

    async fn becomes(ledger: &Ledger, owed: usize) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while ledger.len() != owed {
            assert!(Instant::now() < deadline, "{} counters are owed", ledger.len());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks, and reads the answer up to so many bytes before the connection is dropped.
    async fn ask(ledger: &Ledger, bytes: usize, is_http2: bool, read: usize) {
        let io = TokioIo::new(server(ledger, bytes));
        let request = Request::new(Empty::<Bytes>::new());
        let (response, driver) = if is_http2 {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            let driver = tokio::spawn(async { drop(connection.await) });
            (sender.send_request(request).await.unwrap(), driver)
        } else {
            let (mut sender, connection) = http1::handshake(io).await.unwrap();
            let driver = tokio::spawn(async { drop(connection.await) });
            (sender.send_request(request).await.unwrap(), driver)
        };
        let (mut body, mut count) = (response.into_body(), 0);
        while count < read {
            let frame = body.frame().await.expect("there is more").unwrap();
            count += frame.data_ref().map_or(0, Bytes::len);
        }
        if read == bytes {
            sleep(Duration::from_millis(100)).await;
        }
        driver.abort();
    }

    #[tokio::test]
    async fn what_was_read_to_its_end_is_owed_no_more() {
        for is_http2 in [false, true] {
            for bytes in [0, 100, QUEUED_BYTES, ANSWER_BYTES] {
                let ledger = Ledger::default();
                ask(&ledger, bytes, is_http2, bytes).await;
                sleep(Duration::from_millis(100)).await;
                assert_eq!(ledger.len(), 0, "{bytes} bytes, over HTTP/2: {is_http2}");
            }
        }
    }

    #[tokio::test]
    async fn what_was_not_read_to_its_end_is_owed_again() {
        for is_http2 in [false, true] {
            for read in [0, ANSWER_BYTES / 2] {
                let ledger = Ledger::default();
                ask(&ledger, ANSWER_BYTES, is_http2, read).await;
                becomes(&ledger, 1).await;
            }
        }
    }

    #[tokio::test]
    async fn what_the_connection_has_only_taken_has_not_gone_out() {
        let (_client, server) = duplex(2 * QUEUED_BYTES);
        let mut stream = Stream::new(server);
        let (ledger, outgoing) = (Ledger::default(), stream.outgoing());
        let counter = Counter {
            name: "user>>>a>>>traffic>>>uplink".into(),
            value: 5,
        };
        let owed = ledger.owed(vec![counter], ledger.panel(), true);
        let is_owed = || Arc::strong_count(&owed) > 1;
        let answer = Body::new(Full::new(Bytes::from(vec![7; QUEUED_BYTES])));
        let mut body = noted(answer, AtEnd::Delivered(owed.clone()), outgoing, Version::HTTP_2);
        let mut taken = Vec::new();
        while let Some(frame) = body.frame().await {
            taken.push(frame.unwrap().into_data().unwrap());
        }
        drop(body);
        for chunk in taken {
            assert!(is_owed(), "delivered before its last part has gone out");
            stream.write_all(&chunk).await.unwrap();
            stream.flush().await.unwrap();
        }
        assert!(!is_owed());
    }

    #[tokio::test]
    async fn a_call_that_is_cancelled_has_not_been_answered() {
        let ledger = Ledger::default();
        let io = TokioIo::new(server(&ledger, ANSWER_BYTES));
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(async { drop(connection.await) });
        let first = sender.send_request(Request::new(Empty::<Bytes>::new())).await.unwrap();
        // The stream is reset, and the connection goes on.
        drop(first);
        becomes(&ledger, 1).await;
        let second = sender.send_request(Request::new(Empty::<Bytes>::new())).await.unwrap();
        assert_eq!(
            second.into_body().collect().await.unwrap().to_bytes().len(),
            ANSWER_BYTES
        );
    }
}
