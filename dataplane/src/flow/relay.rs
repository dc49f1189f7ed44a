//! Both directions of a connection, and its honest end (`spec/session.md`, Visitors).

use super::pump::{Fault, Pump};
use super::said::Said;
use crate::limit::Limiter;
use crate::net::Sock;
use crate::worker::{Worker, spawn};
use kariz_proto::control::Counter;
use monoio::time::sleep;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// How long the end of a complete direction may take to be delivered after the other one failed.
const LINGER_TIMEOUT: Duration = Duration::from_secs(30);
const LINGER_STEP: Duration = Duration::from_millis(20);

/// What has to happen in a direction before its bytes go through. Boxed: it is over soon, and its memory with it.
pub(crate) type Before<'a> = Option<Pin<Box<dyn Future<Output = Result<(), Fault>> + 'a>>>;

/// What goes before the bytes of the visitor, and of the target.
#[derive(Default)]
pub(crate) struct Opening<'a> {
    pub(crate) up: Before<'a>,
    pub(crate) down: Before<'a>,
    /// Where to note what the visitor says until it was heard.
    pub(crate) said: Option<&'a Said<'a>>,
}

/// Moves bytes between a visitor and what stands for its target until both directions have ended or one failed.
///
/// # Errors
/// What broke it off; the other side saw that as a reset.
///
/// After a fault a socket whose write direction was ended cleanly delivers what it has; the others are armed, and
/// reset when the caller drops them.
///
/// (Not an `async fn`: that would hold the arguments twice.)
pub(crate) fn relay<'a>(
    worker: &'a Worker,
    visitor: &'a Sock,
    target: &'a Sock,
    limiter: &'a Limiter,
    opening: Opening<'a>,
) -> impl Future<Output = Result<(), Fault>> + 'a {
    let mut up = Pump::new(worker, (visitor, target), limiter, Counter::BytesIn, opening.said);
    let mut down = Pump::new(worker, (target, visitor), limiter, Counter::BytesOut, None);
    let (before_up, before_down) = (opening.up, opening.down);
    async move {
        let (up_done, down_done, end) = {
            let up = pin!(direction(before_up, &mut up));
            let down = pin!(direction(before_down, &mut down));
            join(visitor, target, up, down).await
        };
        if let Err(Fault::Source(_) | Fault::Sink(_)) = end {
            if down_done {
                target.abort();
                Box::pin(deliver_rest(worker, visitor)).await;
            } else if up_done {
                visitor.abort();
                Box::pin(deliver_rest(worker, target)).await;
            }
        }
        end
    }
}

/// One direction from its beginning to its end.
#[expect(clippy::manual_async_fn, reason = "an async fn would hold its arguments twice")]
fn direction<'p, 'a>(
    before: Before<'a>,
    pump: &'p mut Pump<'a>,
) -> impl Future<Output = Result<(), Fault>> + use<'p, 'a> {
    async move {
        if let Some(before) = before {
            before.await?;
        }
        pump.run().await
    }
}

/// Runs two directions side by side. Returns whether the first and the second were complete, and how it ended:
/// the first fault ends both.
async fn join(
    one: &Sock,
    other: &Sock,
    mut up: Pin<&mut impl Future<Output = Result<(), Fault>>>,
    mut down: Pin<&mut impl Future<Output = Result<(), Fault>>>,
) -> (bool, bool, Result<(), Fault>) {
    let (mut up_done, mut down_done) = (false, false);
    let end = poll_fn(|cx| {
        if !up_done && let Poll::Ready(result) = up.as_mut().poll(cx) {
            match result {
                Ok(()) => up_done = true,
                Err(fault) => return Poll::Ready(Err(fault)),
            }
        }
        if !down_done && let Poll::Ready(result) = down.as_mut().poll(cx) {
            match result {
                Ok(()) => down_done = true,
                Err(fault) => return Poll::Ready(Err(fault)),
            }
        }
        if up_done && down_done {
            return Poll::Ready(Ok(()));
        }
        if up_done || down_done {
            one.mark_half_closed();
            other.mark_half_closed();
        }
        Poll::Pending
    })
    .await;
    (up_done, down_done, end)
}

/// Keeps a socket whose write direction was ended cleanly until the peer has everything.
pub(crate) fn linger(worker: &Rc<Worker>, sock: Sock) {
    let held = worker.clone();
    spawn(worker, async move { deliver_rest(&held, &sock).await });
}

/// Waits until the peer has everything that was sent, throwing away what it still sends: a close with unread bytes
/// would reset the connection and lose what is under way.
pub(crate) async fn deliver_rest(worker: &Worker, sock: &Sock) {
    for _ in 0..LINGER_TIMEOUT.as_millis() / LINGER_STEP.as_millis() {
        let open = matches!(sock.recv(&mut worker.scratch.borrow_mut()), Ok(None | Some(1..)));
        if !open || sock.undelivered() == 0 {
            return;
        }
        sleep(LINGER_STEP).await;
    }
}
