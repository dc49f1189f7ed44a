//! The body of a call over gRPC, which takes room among the bodies of all calls for as long as it is held.

use crate::node::http::{BODY_TIMEOUT, BodyRoom};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;

/// The body.
pub(super) struct Charged {
    inner: Incoming,
    all: BodyRoom,
    /// A part that waits for its room.
    waiting: Option<(Bytes, BoxFuture<'static, Option<OwnedSemaphorePermit>>)>,
    taken: Option<OwnedSemaphorePermit>,
    /// When a part has to have come: room that is taken is taken from other panels.
    deadline: Pin<Box<Sleep>>,
}

/// Has `body` take room in `all`, part by part, and give it back when it is dropped: then its message has been read.
pub(super) fn charged(body: Incoming, all: &BodyRoom) -> Charged {
    Charged {
        inner: body,
        all: all.clone(),
        waiting: None,
        taken: None,
        deadline: Box::pin(sleep(BODY_TIMEOUT)),
    }
}

impl Body for Charged {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.waiting.is_none() {
            let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    ready!(self.deadline.as_mut().poll(cx));
                    let reason = format!("no part of the message within {BODY_TIMEOUT:?}");
                    return Poll::Ready(Some(Err(Status::deadline_exceeded(reason))));
                }
            };
            let frame = match frame {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(Status::from_error(error.into())))),
                None => return Poll::Ready(None),
            };
            match frame.into_data() {
                Ok(data) => {
                    let (all, bytes) = (self.all.clone(), data.len());
                    let room = async move { all.take(bytes).await.ok() };
                    self.waiting = Some((data, Box::pin(room)));
                }
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let Some((_, room)) = &mut self.waiting else {
            return Poll::Ready(None);
        };
        let room = ready!(room.as_mut().poll(cx));
        let Some((data, _)) = self.waiting.take() else {
            return Poll::Ready(None);
        };
        let Some(room) = room else {
            let reason = "there is no room for the message beside those of other calls";
            return Poll::Ready(Some(Err(Status::resource_exhausted(reason))));
        };
        match &mut self.taken {
            Some(taken) => taken.merge(room),
            None => self.taken = Some(room),
        }
        self.deadline.as_mut().reset(Instant::now() + BODY_TIMEOUT);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt, stream};
    use http_body_util::{BodyExt, StreamBody};
    use hyper::client::conn::http2;
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use std::convert::Infallible;
    use std::time::Duration;
    use tokio::io::duplex;

    /// Sends parts, of which each comes after a pause, and then none any more; what the server makes of it, and after what time.
    async fn sent(parts: usize, pause: Duration) -> (Result<usize, Status>, Duration) {
        let (client, server) = duplex(1 << 20);
        let room = BodyRoom::default();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let all = room.clone();
        let respond = service_fn(move |request: Request<Incoming>| {
            let (tell, all) = (tell.clone(), all.clone());
            async move {
                let read = charged(request.into_body(), &all).collect().await;
                tell.send(read.map(|whole| whole.to_bytes().len())).unwrap();
                Ok::<_, Infallible>(Response::new(http_body_util::Empty::<Bytes>::new()))
            }
        });
        let serving = tokio::spawn(async move {
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(server), respond).await;
        });
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(client))
            .await
            .unwrap();
        let driver = tokio::spawn(async { drop(connection.await) });
        let begin = Instant::now();
        let part = stream::iter(0..parts).then(move |_| async move {
            sleep(pause).await;
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[7; 100])))
        });
        let body = StreamBody::new(Box::pin(part.chain(stream::pending())));
        let call = tokio::spawn(async move { sender.send_request(Request::new(body)).await.map(drop) });
        let read = told.recv().await.unwrap();
        let after = begin.elapsed();
        assert_eq!(room.taken(), 0, "the room is not given back");
        call.abort();
        driver.abort();
        serving.abort();
        (read, after)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stands_still_is_given_up() {
        let (read, after) = sent(1, Duration::ZERO).await;
        assert_eq!(read.unwrap_err().code(), tonic::Code::DeadlineExceeded);
        assert!((BODY_TIMEOUT..2 * BODY_TIMEOUT).contains(&after), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_goes_on_is_not() {
        let pause = BODY_TIMEOUT * 2 / 3;
        let (read, after) = sent(4, pause).await;
        read.unwrap_err();
        assert!(after >= 4 * pause + BODY_TIMEOUT, "{after:?}");
    }
}
