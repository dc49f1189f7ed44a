//! A flag that tasks of one worker can wait for.

use slab::Slab;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Raised once; whoever waits, or comes later, sees it. Bound: one entry for each task that waits now.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    raised: Cell<bool>,
    waiting: RefCell<Slab<Waker>>,
}

impl Signal {
    /// Raises it and wakes everybody.
    pub(crate) fn raise(&self) {
        self.raised.set(true);
        for (_, waker) in self.waiting.borrow().iter() {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.raised.get()
    }

    /// Waits until it is raised.
    pub(crate) async fn raised(&self) {
        let mut place = Place {
            signal: self,
            key: None,
        };
        poll_fn(|cx| {
            if self.raised.get() {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            match place.key {
                Some(key) => waiting[key].clone_from(cx.waker()),
                None => place.key = Some(waiting.insert(cx.waker().clone())),
            }
            Poll::Pending
        })
        .await;
    }

    /// Tasks that wait.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.waiting.borrow().len()
    }
}

/// Where a waiting task's waker lies. It has to go with the task's wait: a carrier waits for the end of a session
/// that outlives it, and a waker keeps the memory of its task.
struct Place<'a> {
    signal: &'a Signal,
    key: Option<usize>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.signal.waiting.borrow_mut().remove(key);
        }
    }
}

/// Wakes one task of this worker; a wake that comes while nobody waits is kept.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    woken: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Wake {
    pub(crate) fn wake(&self) {
        self.woken.set(true);
        if let Some(waker) = self.waiting.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Waits for the next wake, or takes the one that was kept. Only one task may wait at a time.
    pub(crate) async fn woken(&self) {
        poll_fn(|cx| {
            if self.woken.replace(false) {
                return Poll::Ready(());
            }
            *self.waiting.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::task::noop_waker_ref;
    use std::pin::pin;
    use std::task::Context;

    #[test]
    fn a_wait_that_is_given_up_leaves_nothing_behind() {
        let signal = Signal::default();
        let mut cx = Context::from_waker(noop_waker_ref());
        {
            let (mut one, mut other) = (pin!(signal.raised()), pin!(signal.raised()));
            assert!(one.poll_unpin(&mut cx).is_pending());
            assert!(one.poll_unpin(&mut cx).is_pending());
            assert!(other.poll_unpin(&mut cx).is_pending());
            assert_eq!(signal.waiting(), 2);
        }
        assert_eq!(signal.waiting(), 0);
        signal.raise();
        assert!(signal.raised().now_or_never().is_some());
    }
}
