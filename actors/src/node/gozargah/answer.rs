//! The body of an answer whose end matters: one with counters, which are owed again if it gets lost, and one that goes on for
//! as long as the panel listens.

use super::ledger::Owed;
use super::live::Live;
use crate::node::stream::Outgoing;
use bytes::Bytes;
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
    is_over: bool,
}

/// Has the end of `body` noted, on the connection that it goes out on.
pub(super) fn noted(body: Body, at_end: AtEnd, outgoing: Outgoing) -> Body {
    Body::new(Noted {
        inner: body,
        rest: Bytes::new(),
        at_end: Some(at_end),
        mark: outgoing.bytes(),
        outgoing,
        is_over: false,
    })
}

impl Noted {
    fn next_chunk(&mut self) -> Frame<Bytes> {
        let chunk = self.rest.split_to(self.rest.len().min(CHUNK_BYTES));
        self.mark = self.outgoing.bytes() + chunk.len() as u64;
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
            Err(trailers) => trailers,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
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
            Some(AtEnd::Delivered(owed)) if self.is_over || self.is_end_stream() => {
                self.outgoing.when_sent(self.mark, move || owed.delivered());
            }
            // Dropped before its end, it has not been delivered.
            Some(AtEnd::Delivered(_)) | None => {}
        }
    }
}
