//! The body of a call over gRPC, which takes room among the bodies of all calls for as long as it is held.

use crate::node::http::BodyRoom;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

/// The body.
pub(super) struct Charged {
    inner: Incoming,
    all: BodyRoom,
    /// A part that waits for its room.
    waiting: Option<(Bytes, BoxFuture<'static, Option<OwnedSemaphorePermit>>)>,
    taken: Option<OwnedSemaphorePermit>,
}

/// Has `body` take room in `all`, part by part, and give it back when it is dropped: then its message has been read.
pub(super) fn charged(body: Incoming, all: &BodyRoom) -> Charged {
    Charged {
        inner: body,
        all: all.clone(),
        waiting: None,
        taken: None,
    }
}

impl Body for Charged {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.waiting.is_none() {
            let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
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
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
