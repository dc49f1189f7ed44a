//! Giving others a turn.
//!
//! A task that wakes itself goes to the front of monoio's run queue and starves timers and I/O. So a task that has
//! moved its share parks here, and comes back after the worker has been to its ring once.

use super::bell::EventBell;
use crate::sync::mailbox::Bell;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::{Poll, Waker};

pub(crate) struct Turns {
    parked: RefCell<Vec<Waker>>,
    bell: EventBell,
}

impl Turns {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            parked: RefCell::default(),
            bell: EventBell::new()?,
        })
    }

    /// Lets every other task and the ring have a turn first.
    pub(crate) async fn pass(&self) {
        let mut parked = false;
        poll_fn(|cx| {
            if parked {
                return Poll::Ready(());
            }
            parked = true;
            let mut waiting = self.parked.borrow_mut();
            if waiting.is_empty() {
                self.bell.ring();
            }
            waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Wakes the parked ones each time that the ring was visited; runs for as long as the worker.
    pub(crate) async fn serve(&self) -> io::Result<()> {
        let ear = self.bell.ear()?;
        loop {
            ear.heard().await?;
            for waker in std::mem::take(&mut *self.parked.borrow_mut()) {
                waker.wake();
            }
        }
    }
}
